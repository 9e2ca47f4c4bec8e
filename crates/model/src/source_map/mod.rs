//! Source artifact: source locations and prose of the routes in a bundle.
//!
//! The artifact is stored beside the bundle and not in it, because source locations and prose are
//! not behaviour. Plans use it for the source locations of the old side and for the section DOCS;
//! gwd may show it.

mod concealed;
mod fields;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use diag::{FileId, NodeId, NodeRef, SourceFile, Span};
use serde::{Deserialize, Serialize};

use self::fields::Setters;
use crate::compile::Compiled;
use crate::contract::prose::{Prose, Texts};
use crate::rules::Rules;
use crate::{Api, Operation};
use sources::parallel;

pub use self::concealed::Concealed;
pub use crate::place::Place;

/// Current version of the format.
const VERSION: u32 = 4;

/// Oldest readable version. An artifact of an older version is ignored; messages then have less
/// detail.
const OLDEST_VERSION: u32 = 3;

/// Content of the source artifact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceMap {
    /// Format version: 4. Version 3 has no source locations of descriptions and security schemes.
    pub version: u32,
    /// SHA-256 of every file that was read, by path.
    pub files: BTreeMap<String, String>,
    /// Source locations of the fields of operations. Equal maps are stored once, because most
    /// operations of a document have equal maps.
    pub fields: Vec<Fields>,
    /// Sources of operations, by key.
    pub operations: BTreeMap<String, OperationSource>,
    /// Source locations of definitions and keys in gateway.yaml and in documents, by subject:
    /// `policy NAME`, `scheme API/NAME`, `defaults.policies`, `prose API: info title`, …
    pub definitions: BTreeMap<String, Place>,
    /// Prose of whole documents, by API.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub apis: BTreeMap<String, ApiProse>,
    /// Rules of the project. `None` for a single document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Rules>,
    /// Texts that plans must not show. Never stored.
    #[serde(skip)]
    pub concealed: Concealed,
}

/// Prose of a document outside its operations. Contains the first 120 characters of each text, and
/// a digest if the text is longer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiProse {
    /// Prose by subject: `info title`, `tag NAME description`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub document: BTreeMap<String, String>,
    /// Texts of schemas by keyword. Equal texts are stored once.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub schemas: BTreeMap<String, BTreeSet<String>>,
    /// Names of the document's security schemes, with their names in the bundle.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub schemes: BTreeMap<String, String>,
}

/// Source locations and prose of one operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationSource {
    /// Source location of the operation's method.
    pub place: Place,
    /// Path as written in the document.
    pub path: String,
    /// `operationId` of the operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Owner of the operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Index in [`SourceMap::fields`].
    pub fields: usize,
    /// Summary of the operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Description of the operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Tags of the operation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Texts of its parts, by subject (`response 200 description`), shortened as in [`ApiProse`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prose: BTreeMap<String, String>,
    /// Line of each text, by subject, if the text is in the file of [`Self::place`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lines: BTreeMap<String, u32>,
}

/// Fields, each with the source location that set it.
pub type Fields = BTreeMap<String, FieldSource>;

/// Source location of a field's value, and the source locations that it overrides.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FieldSource {
    /// Value set in a file.
    Written {
        /// Location in the source.
        place: Place,
        /// Source locations of the values that it overrides, nearest first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        overrides: Vec<Place>,
        /// For a policy, the level that added it to the chain.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<From>,
    },
    /// Built-in default.
    Default {
        /// Name of the default.
        default: String,
    },
}

/// Level that added a policy to a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum From {
    /// `required` of gateway.yaml.
    Required,
    /// `defaults` of gateway.yaml.
    Defaults,
    /// `defaults` of the document.
    Document,
    /// `x-gateway` of the path item.
    Path,
    /// `x-gateway` of the operation.
    Operation,
}

impl SourceMap {
    /// Builds the source map of a compiled project.
    #[must_use]
    pub fn of(compiled: &Compiled) -> Self {
        let sources = &compiled.files.sources;
        let place = |span| Place::of(sources, span);
        let files = sources.iter().map(|(_, file)| file).collect();
        let files = parallel::map(files, |file: &SourceFile| {
            let digest = bundle::digest::Digest::of(file.text().as_bytes());
            (file.path().to_owned(), digest.hex())
        });
        let mut map = Self {
            version: VERSION,
            files: files.into_iter().collect(),
            concealed: Concealed::of(&compiled.files),
            ..Self::default()
        };
        let Some(model) = &compiled.model else {
            return map;
        };
        let settings = &model.settings;
        let tree = &compiled.files.tree;
        map.rules = Some(Rules::of(compiled, settings, &model.apis));
        let mut define = |subject: String, span, node: Option<NodeId>| {
            if let Some(node) = node {
                add_inside(&subject, ' ', tree.at(node), &place, &mut map.definitions);
            }
            map.definitions.insert(subject, place(span));
        };
        for entry in &settings.policies {
            define(
                format!("policy {}", entry.value.name),
                entry.span,
                entry.node,
            );
        }
        for entry in &settings.upstreams {
            define(
                format!("upstream {}", entry.value.ir.name),
                entry.span,
                entry.node,
            );
        }
        for entry in &settings.auth {
            define(format!("auth {}", entry.value.name), entry.span, entry.node);
        }
        for entry in &settings.consumers {
            // A project may have very many consumers, so store only the place of each name.
            define(format!("consumer {}", entry.value.name), entry.span, None);
        }
        for entry in &settings.listeners {
            define(
                format!("listener {}", entry.value.name),
                entry.span,
                entry.node,
            );
        }
        for api in &model.apis {
            define(format!("api {}", api.name), api.span, None);
            for entry in &api.policies {
                let subject = format!("policy {}/{}", api.name, entry.value.name);
                define(subject, entry.span, entry.node);
            }
            for entry in &api.upstreams {
                let subject = format!("upstream {}", entry.value.ir.name);
                define(subject, entry.span, entry.node);
            }
            for entry in &api.auth {
                define(format!("auth {}", entry.value.name), entry.span, entry.node);
            }
            for mount in &api.mounts {
                let subject = format!("mount {}/{}", api.name, mount.value.name);
                define(subject, mount.span, mount.node);
            }
            for scheme in &api.spec.schemes {
                let subject = format!("scheme {}/{}", api.name, scheme.name.value);
                define(subject, scheme.name.span, Some(scheme.node));
            }
        }
        if let Some(file) = &settings.acknowledge {
            define("acknowledge".to_owned(), file.span, None);
        }
        for (name, (_, span)) in &settings.lint {
            define(format!("lint {name}"), *span, None);
        }
        let root = compiled.files.root(FileId(0)).map(|root| tree.at(root));
        for (key, subject) in [("gates", "gate"), ("release", "release")] {
            if let Some(node) = root.and_then(|root| root.get(key)) {
                define(subject.to_owned(), node.span(), None);
            }
        }
        let required = [
            ("policies", &settings.required.policies),
            ("auth", &settings.required.auth),
        ];
        for (key, names) in required {
            for name in names {
                define(format!("required {key} {}", name.value), name.span, None);
            }
        }
        // Add every other key of gateway.yaml.
        let others = root.into_iter().flat_map(NodeRef::entries);
        let others = others.filter(|(entry, _)| !DEFINED.contains(&&*entry.key));
        for (entry, node) in others {
            add_inside(&entry.key, '.', node, &place, &mut map.definitions);
            let key = entry.key.to_string();
            let own = place(entry.key_span);
            map.definitions.entry(key).or_insert(own);
        }
        let apis = parallel::map(model.apis.iter().collect(), |api: &Api| {
            let prose = Prose::new(&compiled.files, &api.document);
            let setters = Setters::new(compiled, settings, api);
            let mut known: HashMap<Fields, usize> = HashMap::new();
            let source = |operation: &Operation| {
                let written = &api.spec.paths[operation.place.0].operations[operation.place.1];
                let text = |text: &Option<diag::Spanned<String>>| {
                    text.as_ref().map(|text| text.value.clone())
                };
                let next = known.len();
                let at = place(operation.span);
                let prose = prose.of_operation(written);
                let mut lines = BTreeMap::new();
                let own = [
                    ("summary", &written.summary),
                    ("description", &written.description),
                ];
                let own = own.into_iter();
                let own = own.filter_map(|(key, text)| Some((key, text.as_ref()?.span)));
                let own = own.chain(written.tags.first().map(|tag| ("tags", tag.span)));
                let parts = prose
                    .iter()
                    .map(|(about, (_, span))| (about.as_str(), *span));
                for (about, span) in own.chain(parts) {
                    let own = place(span);
                    if own.file == at.file {
                        lines.insert(about.to_owned(), own.line);
                    }
                }
                let source = OperationSource {
                    place: at,
                    path: operation.path.clone(),
                    id: operation.id.clone(),
                    owner: operation.owner.clone(),
                    fields: *known.entry(setters.of(operation)).or_insert(next),
                    summary: text(&written.summary),
                    description: text(&written.description),
                    tags: written.tags.iter().map(|tag| tag.value.clone()).collect(),
                    prose: texts(prose),
                    lines,
                };
                (operation.key.clone(), source)
            };
            let mut operations: Vec<_> = api.operations.iter().map(source).collect();
            operations.extend(api.rest.iter().map(|rest| {
                let next = known.len();
                let source = OperationSource {
                    place: place(rest.span),
                    path: "/".to_owned(),
                    owner: rest.owner.clone(),
                    fields: *known.entry(setters.of_rest(rest)).or_insert(next),
                    ..OperationSource::default()
                };
                (rest.key.clone(), source)
            }));
            let lowered = compiled.lowered.as_ref();
            let schemas = lowered.and_then(|lowered| lowered.prose.get(&api.name));
            let document = prose.of_document();
            let places = document.iter().map(|(about, (_, span))| {
                let subject = format!("prose {}: {about}", api.name);
                (subject, place(*span))
            });
            let places: Vec<(String, Place)> = places.collect();
            let whole = ApiProse {
                document: texts(document),
                schemas: schemas.cloned().unwrap_or_default(),
                schemes: api.scheme_names.clone(),
            };
            let mut fields: Vec<(Fields, usize)> = known.into_iter().collect();
            fields.sort_unstable_by_key(|(_, index)| *index);
            (operations, fields, (api.name.clone(), whole), places)
        });
        for (operations, fields, (name, whole), places) in apis {
            map.definitions.extend(places);
            let offset = map.fields.len();
            map.fields
                .extend(fields.into_iter().map(|(fields, _)| fields));
            map.operations
                .extend(operations.into_iter().map(|(key, mut operation)| {
                    operation.fields += offset;
                    (key, operation)
                }));
            map.apis.insert(name, whole);
        }
        map
    }

    /// Source of an operation's field. `None` if it is unknown.
    #[must_use]
    pub fn field(&self, operation: &OperationSource, name: &str) -> Option<&FieldSource> {
        self.fields.get(operation.fields)?.get(name)
    }

    /// Encodes the artifact.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("maps of strings can be written")
    }

    /// Decodes an artifact. `None` if it is damaged or its version is not supported. Callers
    /// continue without it, because it only adds detail to messages.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes)
            .ok()
            .filter(|map: &Self| (OLDEST_VERSION..=VERSION).contains(&map.version))
    }
}

/// Keys of gateway.yaml whose entries are named definitions. Each entry has a subject.
const DEFINED: [&str; 9] = [
    "apis",
    "listeners",
    "upstreams",
    "auth",
    "consumers",
    "policies",
    "gates",
    "release",
    "lint",
];

/// Prose without the source locations.
fn texts(prose: Texts) -> BTreeMap<String, String> {
    let prose = prose.into_iter();
    prose.map(|(about, (text, _))| (about, text)).collect()
}

/// Adds the source locations of all values inside a definition. The key path of a value is its
/// subject.
fn add_inside(
    subject: &str,
    separator: char,
    node: NodeRef<'_>,
    place: &impl Fn(Span) -> Place,
    definitions: &mut BTreeMap<String, Place>,
) {
    for (entry, value) in node.entries() {
        let subject = format!("{subject}{separator}{}", entry.key);
        add_inside(&subject, '.', value, place, definitions);
        // If the patch of an environment sets the value, use the place in the patch, because the
        // key itself is in gateway.yaml.
        let is_patched = !value.is_map() && value.span().file != entry.key_span.file;
        let span = match is_patched {
            true => value.span(),
            false => entry.key_span,
        };
        definitions.insert(subject, place(span));
    }
}
