//! The source artifact: what a bundle's routes were written as, and where.
//!
//! It stands beside the bundle, never in it: places and prose are not behaviour. Plans read it
//! for the old side's places and for DOCS; gwd may show it.

mod fields;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use diag::{FileId, NodeId, NodeRef, SourceFile, Span};
use serde::{Deserialize, Serialize};

use self::fields::Setters;
use crate::compile::Compiled;
use crate::contract::prose::Prose;
use crate::rules::Rules;
use crate::{Api, Operation};
use sources::parallel;

pub use crate::place::Place;

/// The version of this form. One of another version is not read: it only makes messages richer.
const VERSION: u32 = 3;

/// The artifact's content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceMap {
    /// The version of this form: 3.
    pub version: u32,
    /// Every file that was read, with its sha256.
    pub files: BTreeMap<String, String>,
    /// The places of operations' fields, each different map once: most operations of a document
    /// have theirs from the same lines.
    pub fields: Vec<Fields>,
    /// Operations by key.
    pub operations: BTreeMap<String, OperationSource>,
    /// Definitions of gateway.yaml and of documents: `policy NAME`, `upstream NAME`, …
    pub definitions: BTreeMap<String, Place>,
    /// What documents say as a whole, by API.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub apis: BTreeMap<String, ApiProse>,
    /// The rules of the project; none for one document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Rules>,
}

/// What a document says to people beside its operations. Of a text the first 120 characters are
/// kept, and a digest where it has more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiProse {
    /// By what it is about: `info title`, `tag NAME description`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub document: BTreeMap<String, String>,
    /// The texts of schemas by keyword, each once.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub schemas: BTreeMap<String, BTreeSet<String>>,
    /// What the document calls its security schemes, with the names that they have in a bundle.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub schemes: BTreeMap<String, String>,
}

/// One operation's places and prose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationSource {
    /// Where its method stands.
    pub place: Place,
    /// The path as written.
    pub path: String,
    /// Its operationId.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Who answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Its place in [`SourceMap::fields`].
    pub fields: usize,
    /// Its summary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Its description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// What is said of its parts, by what it is about (`response 200 description`); kept as in
    /// [`ApiProse`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prose: BTreeMap<String, String>,
}

/// Fields with the place that set them.
pub type Fields = BTreeMap<String, FieldSource>;

/// Where a field was set, and what that overrides.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FieldSource {
    /// A file set it.
    Written {
        /// Where.
        place: Place,
        /// What it overrides, nearest first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        overrides: Vec<Place>,
        /// Of a policy: who put it into the chain.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<From>,
    },
    /// Nobody did: the built-in default of this name.
    Default {
        /// The default's name.
        default: String,
    },
}

/// Who put a policy into a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum From {
    /// `required` of gateway.yaml.
    Required,
    /// `defaults` of gateway.yaml.
    Defaults,
    /// `defaults` of the document.
    Document,
    /// The path item.
    Path,
    /// The operation.
    Operation,
}

impl SourceMap {
    /// What a compiled project was written as.
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
            ..Self::default()
        };
        let Some(model) = &compiled.model else {
            return map;
        };
        let settings = &model.settings;
        let tree = &compiled.files.tree;
        map.rules = Some(Rules::of(compiled, settings));
        let mut define = |subject: String, span, node: Option<NodeId>| {
            if let Some(node) = node {
                add_inside(&subject, tree.at(node), &place, &mut map.definitions);
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
            // There may be very many, and a line names a credential, not where it stands.
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
            for mount in &api.mounts {
                let subject = format!("mount {}/{}", api.name, mount.value.name);
                define(subject, mount.span, mount.node);
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
                let source = OperationSource {
                    place: place(operation.span),
                    path: operation.path.clone(),
                    id: operation.id.clone(),
                    owner: operation.owner.clone(),
                    fields: *known.entry(setters.of(operation)).or_insert(next),
                    summary: text(&written.summary),
                    description: text(&written.description),
                    tags: written.tags.iter().map(|tag| tag.value.clone()).collect(),
                    prose: prose.of_operation(written),
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
            let whole = ApiProse {
                document: prose.of_document(),
                schemas: schemas.cloned().unwrap_or_default(),
                schemes: api.scheme_names.clone(),
            };
            let mut fields: Vec<(Fields, usize)> = known.into_iter().collect();
            fields.sort_unstable_by_key(|(_, index)| *index);
            (operations, fields, (api.name.clone(), whole))
        });
        for (operations, fields, (name, whole)) in apis {
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

    /// Where an operation's field was set; none where nobody knows.
    #[must_use]
    pub fn field(&self, operation: &OperationSource, name: &str) -> Option<&FieldSource> {
        self.fields.get(operation.fields)?.get(name)
    }

    /// The artifact's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("maps of strings can be written")
    }

    /// Reads an artifact; none where it is damaged or of another version: it only makes messages
    /// richer.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes)
            .ok()
            .filter(|map: &Self| map.version == VERSION)
    }
}

/// The places of everything that is written in a thing, by its path.
fn add_inside(
    subject: &str,
    node: NodeRef<'_>,
    place: &impl Fn(Span) -> Place,
    definitions: &mut BTreeMap<String, Place>,
) {
    let separator = if subject.split(' ').count() > 2 {
        '.'
    } else {
        ' '
    };
    for (entry, value) in node.entries() {
        let subject = format!("{subject}{separator}{}", entry.key);
        add_inside(&subject, value, place, definitions);
        definitions.insert(subject, place(entry.key_span));
    }
}
