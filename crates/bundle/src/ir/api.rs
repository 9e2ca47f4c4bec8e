//! Behaviour of one API: its mounts, and the routing and processing of its operations.

use minicbor::{Decode, Encode};
use policy::Policy as _;
pub use policy::conditions::{Condition, Test};
use policy::declared::{Settings, Value};
use policy::traffic::retry;

use super::forwarding::Forwarding;
use super::messages::Messages;
use super::security::{Scheme, Security};
use super::set::{Named, Set};
use super::shared::Policy;
use super::template::Template;

/// Behaviour of an API: one blob of the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Api {
    /// Name of the API.
    #[n(0)]
    pub name: String,
    /// Mounts at which the API is served.
    #[n(1)]
    pub mounts: Set<Mount>,
    /// Security schemes that operations use.
    #[n(2)]
    pub schemes: Set<Scheme>,
    /// Policies that the API's own document defines.
    #[n(3)]
    pub policies: Set<Policy>,
    /// Settings for processing requests (treatments), without duplicates. The treatments are in the
    /// order of their first use by the sorted operations.
    #[n(4)]
    pub treatments: Vec<Treatment>,
    /// Operations of the API, by key.
    #[n(5)]
    pub operations: Set<Operation>,
    /// Settings of the whole API that this version of gwd cannot run yet.
    #[n(6)]
    pub declared: Settings,
    /// Requests that only operations with `internal: true` describe, sorted. `API#undeclared` and
    /// `API#unmatched` do not serve these requests.
    #[n(7)]
    #[cbor(skip_if = "Vec::is_empty")]
    pub hidden: Vec<Hidden>,
    /// Custom responses for errors of the API's routes: `REASON/status`, `REASON/body`,
    /// `REASON/content_type`.
    #[n(8)]
    #[cbor(skip_if = "Settings::is_empty")]
    pub errors: Settings,
    /// Descriptions of the messages that operations validate. `None` if no operation validates
    /// requests or responses.
    #[n(9)]
    pub messages: Option<Messages>,
}

impl Api {
    /// Settings of the whole API under their keys in `x-gateway`, which plans compare.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let errors = self.errors.clone();
        self.declared.clone().with_below(&["errors"], errors)
    }
}

/// Mount of an API: the hosts, the base path and the listeners at which it is reachable.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Mount {
    /// Name of the mount, unique in the API.
    #[n(0)]
    pub name: String,
    /// Host names in lower case, sorted. A name is exact, or begins with `*.` before at least two
    /// labels. Empty: any host.
    #[n(1)]
    pub hosts: Vec<String>,
    /// Path prefix of every template: empty, or `/…` without a final slash.
    #[n(2)]
    pub base_path: String,
    /// True if the base path is removed from the path that the upstream receives.
    #[n(3)]
    pub strip_base_path: bool,
    /// Names of the listeners that serve the mount, sorted.
    #[n(4)]
    pub listeners: Vec<String>,
}

/// Operation of an API.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Operation {
    /// `API/operationId`, or `METHOD API:/template` if the operation has no id.
    #[n(0)]
    pub key: String,
    /// The method in upper case.
    #[n(1)]
    pub method: String,
    /// The path template, normalised, below the mount.
    #[n(2)]
    pub template: Template,
    /// Additional conditions that a request must satisfy (`match`), sorted.
    #[n(3)]
    pub conditions: Vec<Condition>,
    /// Priority of the operation. The router compares priorities before all other criteria and
    /// selects the highest.
    #[n(4)]
    pub priority: i32,
    /// Index of the operation's treatment in [`Api::treatments`].
    #[n(5)]
    pub treatment: u32,
    /// Handling of paths that differ from the template only by the final slash.
    #[n(6)]
    pub trailing_slash: TrailingSlash,
    /// Kind of requests that the operation serves.
    #[n(7)]
    #[cbor(skip_if = "Owns::is_described")]
    pub owns: Owns,
}

/// Requests of an API that an operation serves: described ones, or those that no operation
/// describes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Owns {
    /// Requests that match the operation's method, template and conditions.
    #[default]
    #[n(0)]
    Described,
    /// Requests whose path matches a template of the API, with a method that no operation at this
    /// path has (`API#undeclared`). The method and template of the operation are not used.
    #[n(1)]
    Undeclared,
    /// Requests below the mount whose path matches no template of the host (`API#unmatched`). The
    /// method and template of the operation are not used.
    #[n(2)]
    Unmatched,
}

/// Requests that an operation with `internal: true` describes, with and without a final slash. The
/// gateway does not serve these requests (404), unless an operation of higher precedence matches
/// them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct Hidden {
    /// The method in upper case.
    #[n(0)]
    pub method: String,
    /// The path template, normalised, below the mount.
    #[n(1)]
    pub template: Template,
    /// Additional conditions of the operation (`match`), sorted.
    #[n(2)]
    #[cbor(skip_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Priority of the operation, as [`Operation::priority`].
    #[n(3)]
    #[cbor(skip_if = "is_usual")]
    pub priority: i32,
    /// Names of the upstreams to which the operation would send its requests, sorted. With
    /// `path_readings: keep`, the gateway forwards no request that these upstreams may read as a
    /// request of the operation.
    #[n(4)]
    #[cbor(skip_if = "Vec::is_empty")]
    pub upstreams: Vec<String>,
}

impl Hidden {
    /// True if `other` describes the same requests.
    #[must_use]
    pub fn has_requests_of(&self, other: &Self) -> bool {
        self.method == other.method
            && self.template == other.template
            && self.conditions == other.conditions
            && self.priority == other.priority
    }
}

/// True for the default priority.
fn is_usual(priority: &i32) -> bool {
    *priority == 0
}

/// Handling of a path that differs from a template only by its final slash. An operation whose
/// template matches the path exactly takes precedence. Default: `Strict`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum TrailingSlash {
    /// The path does not match.
    #[default]
    #[n(0)]
    Strict,
    /// Redirect (308) to the path of the template, with the same query.
    #[n(1)]
    Redirect,
    /// The path belongs to the same operation.
    #[n(2)]
    Ignore,
}

/// Settings for the requests of one operation: security, chain, upstream and limits.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Treatment {
    /// Security requirement of the operation.
    #[n(0)]
    pub security: Security,
    /// Steps of the chain in order.
    #[n(1)]
    pub chain: Vec<Link>,
    /// Name of the upstream that gets the requests.
    #[n(2)]
    pub upstream: String,
    /// Timeout from the end of the request to the response head, in milliseconds.
    #[n(3)]
    pub timeout_ms: u64,
    /// Maximum length of a request body, in bytes. `None`: unlimited.
    #[n(4)]
    pub max_body_bytes: Option<u64>,
    /// Settings of the treatment that this version of gwd cannot run yet.
    #[n(5)]
    pub declared: Settings,
    /// Settings for the forwarding of requests.
    #[n(6)]
    #[cbor(skip_if = "Forwarding::is_default")]
    pub forwarding: Forwarding,
    /// Retry settings. `None`: those of a policy in the chain, else those of the upstream.
    #[n(7)]
    pub retries: Option<retry::Checked>,
    /// Rule for paths that upstreams may interpret as other paths.
    #[n(8)]
    #[cbor(skip_if = "PathReadings::is_strict")]
    pub path_readings: PathReadings,
}

/// Rule for ambiguous paths: paths that common upstreams may interpret as other paths (semantics.md
/// §2, step 4). Default: `Strict`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum PathReadings {
    /// All interpretations of a path must match the same route.
    #[default]
    #[n(0)]
    Strict,
    /// An interpretation may also match no route, or an operation of the API with the same
    /// security, chain and upstream.
    #[n(1)]
    Keep,
}

impl PathReadings {
    /// True if all interpretations of a path must match the same route.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        *self == Self::Strict
    }
}

/// Step of the chain of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Link {
    /// Checks the security requirement.
    #[n(0)]
    Authenticate,
    /// Runs a policy of gateway.yaml, by name.
    #[n(1)]
    Shared(#[n(0)] String),
    /// Runs a policy of this API, by name.
    #[n(2)]
    Own(#[n(0)] String),
}

impl Owns {
    /// True if the operation serves the requests of its method and template.
    #[must_use]
    pub fn is_described(&self) -> bool {
        *self == Self::Described
    }

    /// Method in the key of `API#undeclared` and `API#unmatched`.
    pub const ANY_METHOD: &str = "*";
}

impl Treatment {
    /// Settings other than security, chain, upstream and limits, which plans compare.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let mut settings = self.declared.clone();
        if !self.forwarding.is_default() {
            settings = settings.with_below(&[], self.forwarding.settings());
        }
        match self.retries.as_ref().map(retry::Checked::settings) {
            None => settings,
            Some(retries) if retries.is_empty() => settings.with(&["retries"], Value::Empty),
            Some(retries) => settings.with_below(&["retries"], retries),
        }
    }
}

impl Named for Api {
    fn name(&self) -> &str {
        &self.name
    }
}
impl Named for Mount {
    fn name(&self) -> &str {
        &self.name
    }
}
impl Named for Operation {
    fn name(&self) -> &str {
        &self.key
    }
}
