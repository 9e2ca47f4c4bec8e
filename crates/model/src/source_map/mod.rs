//! Source artifact: source locations and prose of the routes in a bundle.
//!
//! The artifact is stored beside the bundle and not in it, because source locations and prose do
//! not affect behaviour. Plans use the artifact for the source locations of the old version and for
//! the section DOCS; gwd may show it.

mod concealed;
mod definitions;
mod fields;
mod operations;

use std::collections::{BTreeMap, BTreeSet};

use diag::SourceFile;
use serde::{Deserialize, Serialize};

use self::operations::ApiSources;
use crate::Api;
use crate::compile::Compiled;
use crate::rules::Rules;
use sources::parallel;
use sources::project::files::Files;

pub use self::concealed::ConcealedTexts;
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
    /// Release rules of the project. `None` for a single document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Rules>,
    /// Texts that plans must not show. Never stored.
    #[serde(skip)]
    pub concealed: ConcealedTexts,
    /// True for a single document, which has no release rules. Never stored.
    #[serde(skip)]
    pub is_document: bool,
    /// Places and messages of the errors because of which parts of the sources are missing. Never
    /// stored.
    #[serde(skip)]
    pub left_out: Vec<String>,
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
    /// `operationId` of the operation. `None`: the document sets none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Owner of the operation. `None`: no owner is set.
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
    /// Ids of checks of the client contract that `x-gateway-lint` of the operation, its path item
    /// or the document allows.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allowed_checks: BTreeSet<String>,
    /// Deprecation, sunset and stability of the operation.
    #[serde(default, skip_serializing_if = "Lifecycle::is_default")]
    pub lifecycle: Lifecycle,
    /// Deprecation and sunset of the parameters outside the path, such as `query limit`. Only
    /// parameters that are deprecated or have a sunset.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Lifecycle>,
    /// Texts of the operation's parts, by subject (`response 200 description`), shortened as in
    /// [`ApiProse`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prose: BTreeMap<String, String>,
    /// Line number of each text, by subject, and of the path, under the subject `path`. Only texts
    /// in the file of [`Self::place`] have a line number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lines: BTreeMap<String, u32>,
}

/// Lifecycle of an operation, as its document states it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lifecycle {
    /// Field `deprecated`.
    #[serde(default)]
    pub deprecated: bool,
    /// Field `x-sunset`, otherwise the `sunset` of a `deprecation` policy that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sunset: Option<String>,
    /// Field `x-stability-level`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stability: Option<String>,
}

impl Lifecycle {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Stability levels of `x-stability-level`, the least stable first.
const STABILITY: [&str; 4] = ["draft", "alpha", "beta", "stable"];

/// Rank of a stability level; a higher rank is more stable. An operation or property without a
/// level has the highest rank. `None`: the level is unknown.
#[must_use]
pub fn stability_rank(level: Option<&str>) -> Option<usize> {
    match level {
        None => Some(STABILITY.len()),
        Some(level) => STABILITY.iter().position(|known| *known == level),
    }
}

/// Fields, each with the source location that set it.
pub type Fields = BTreeMap<String, FieldSource>;

/// Source of a field's value: its location and the locations of the values that it overrides, or
/// the name of a built-in default.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FieldSource {
    /// Value set in a file.
    Written {
        /// Location in the source.
        place: Place,
        /// Source locations of the values that this value overrides, nearest first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        overrides: Vec<Place>,
        /// Level that added a policy to the chain. `None` for other values.
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

/// Returns the SHA-256 of every file that was read, by path.
#[must_use]
pub fn digests(files: &Files) -> BTreeMap<String, String> {
    let files = files.sources.iter().map(|(_, file)| file).collect();
    let digests = parallel::map(files, |file: &SourceFile| {
        let digest = bundle::digest::Digest::of(file.text().as_bytes());
        (file.path().to_owned(), digest.hex())
    });
    digests.into_iter().collect()
}

impl SourceMap {
    /// Builds the source map of a compiled project.
    #[must_use]
    pub fn of(compiled: &Compiled) -> Self {
        let mut map = Self {
            version: VERSION,
            files: digests(&compiled.files),
            concealed: ConcealedTexts::of(&compiled.files),
            ..Self::default()
        };
        let Some(model) = &compiled.model else {
            return map;
        };
        let settings = &model.settings;
        map.rules = Some(Rules::of(compiled, settings, &model.apis));
        map.definitions = definitions::all(compiled, model);
        let apis = parallel::map(model.apis.iter().collect(), |api: &Api| {
            ApiSources::of(compiled, settings, api)
        });
        for api in apis {
            api.add_to(&mut map);
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

    /// Decodes an artifact. `None` if the artifact is damaged or its version is not supported.
    /// Callers continue without the artifact, because it only adds detail to messages.
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
