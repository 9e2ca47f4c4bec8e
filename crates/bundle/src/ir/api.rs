//! One API's behaviour: where it is mounted, how each operation is routed and treated.

use minicbor::{Decode, Encode};
use policy::Policy as _;
pub use policy::conditions::{Condition, Test};
use policy::declared::{Settings, Value};
use policy::traffic::retry;

use super::forwarding::Forwarding;
use super::security::{Scheme, Security};
use super::set::{Named, Set};
use super::shared::Policy;
use super::template::Template;

/// An API's behaviour: one blob of the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Api {
    /// Its name.
    #[n(0)]
    pub name: String,
    /// Mounts at which it is served.
    #[n(1)]
    pub mounts: Set<Mount>,
    /// Its security schemes: those that an operation uses.
    #[n(2)]
    pub schemes: Set<Scheme>,
    /// Policies that the document names for itself.
    #[n(3)]
    pub policies: Set<Policy>,
    /// Treatments of requests: each different one once, in the order of first use by the sorted
    /// operations.
    #[n(4)]
    pub treatments: Vec<Treatment>,
    /// Its operations by key.
    #[n(5)]
    pub operations: Set<Operation>,
    /// Settings of the whole API that gwd cannot run yet.
    #[n(6)]
    pub declared: Settings,
    /// Requests that are described and nobody may make, sorted: an operation that gets what is
    /// not described does not get these.
    #[n(7)]
    #[cbor(skip_if = "Vec::is_empty")]
    pub hidden: Vec<Hidden>,
    /// Form of errors of the API's routes: `REASON/status`, `REASON/body`, `REASON/content_type`.
    #[n(8)]
    #[cbor(skip_if = "Settings::is_empty")]
    pub errors: Settings,
}

impl Api {
    /// Settings of the whole API under the words of `x-gateway`, for comparison.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let errors = self.errors.clone();
        self.declared.clone().with_below(&["errors"], errors)
    }
}

/// A place where an API can be reached.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Mount {
    /// Its name, unique in the API.
    #[n(0)]
    pub name: String,
    /// Hosts in lower case, sorted: exact, or `*.` and at least two labels. None: any host.
    #[n(1)]
    pub hosts: Vec<String>,
    /// Path prefix of every template: empty, or `/…` without a final slash.
    #[n(2)]
    pub base_path: String,
    /// True if the base path is stripped for the upstream.
    #[n(3)]
    pub strip_base_path: bool,
    /// The listeners it answers on, sorted.
    #[n(4)]
    pub listeners: Vec<String>,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Operation {
    /// `API/operationId`, or `METHOD API:/template` without one.
    #[n(0)]
    pub key: String,
    /// The method in upper case.
    #[n(1)]
    pub method: String,
    /// The path template, normalised, below the mount.
    #[n(2)]
    pub template: Template,
    /// Further conditions, sorted.
    #[n(3)]
    pub conditions: Vec<Condition>,
    /// Greater wins before anything else is compared.
    #[n(4)]
    pub priority: i32,
    /// Its place in [`Api::treatments`].
    #[n(5)]
    pub treatment: u32,
    /// Behaviour for the path that differs from the template by its final slash.
    #[n(6)]
    pub trailing_slash: TrailingSlash,
    /// Requests that it owns.
    #[n(7)]
    #[cbor(skip_if = "Owns::is_described")]
    pub owns: Owns,
}

/// Requests of its API that an operation owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Owns {
    /// Those that its method, template and conditions describe.
    #[default]
    #[n(0)]
    Described,
    /// Those whose path is one of the API's templates and whose method is none of an operation's
    /// there (`API#undeclared`). Its own method and template say nothing.
    #[n(1)]
    Undeclared,
    /// Those below the mount whose path no template of the host matches (`API#unmatched`). Its own
    /// method and template say nothing.
    #[n(2)]
    Unmatched,
}

/// Requests that are described and nobody may make (`internal: true`), at the path with and
/// without a final slash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct Hidden {
    /// The method in upper case.
    #[n(0)]
    pub method: String,
    /// The path template, normalised, below the mount.
    #[n(1)]
    pub template: Template,
}

/// Behaviour for the path that differs from a template by its final slash. An operation that is
/// declared there comes first. Default: `Strict`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum TrailingSlash {
    /// The path does not match.
    #[default]
    #[n(0)]
    Strict,
    /// 308 to the path as it is declared; the query is kept.
    #[n(1)]
    Redirect,
    /// The path belongs to the same operation.
    #[n(2)]
    Ignore,
}

/// Processing of a request whose operation is known: security, chain, upstream and limits.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Treatment {
    /// The security requirement.
    #[n(0)]
    pub security: Security,
    /// The chain in order.
    #[n(1)]
    pub chain: Vec<Link>,
    /// The service that gets the request.
    #[n(2)]
    pub upstream: String,
    /// Milliseconds from the end of the request to the head of the response.
    #[n(3)]
    pub timeout_ms: u64,
    /// Bytes of a request's body; none: no limit.
    #[n(4)]
    pub max_body_bytes: Option<u64>,
    /// Settings of the treatment that gwd cannot run yet.
    #[n(5)]
    pub declared: Settings,
    /// Settings of how requests are forwarded.
    #[n(6)]
    #[cbor(skip_if = "Forwarding::is_default")]
    pub forwarding: Forwarding,
    /// Retry settings. None: those of a policy of the chain, else the upstream's.
    #[n(7)]
    pub retries: Option<retry::Checked>,
    /// Admitted readings of an ambiguous path.
    #[n(8)]
    #[cbor(skip_if = "PathReadings::is_strict")]
    pub path_readings: PathReadings,
}

/// Admitted readings of a path that common upstreams may take for another one (semantics.md §2,
/// step 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum PathReadings {
    /// Those that the same route owns.
    #[default]
    #[n(0)]
    Strict,
    /// Also those that nobody owns, and those of operations with the same access.
    #[n(1)]
    Keep,
}

impl PathReadings {
    /// True if every reading must be the same route's.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        *self == Self::Strict
    }
}

/// One step of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Link {
    /// The security requirement.
    #[n(0)]
    Authenticate,
    /// A policy of the gateway, by name.
    #[n(1)]
    Shared(#[n(0)] String),
    /// A policy of this API, by name.
    #[n(2)]
    Own(#[n(0)] String),
}

impl Owns {
    /// True if a method and a template describe the requests.
    #[must_use]
    pub fn is_described(&self) -> bool {
        *self == Self::Described
    }

    /// Method of an operation that gets requests which no operation describes.
    pub const ANY_METHOD: &str = "*";
}

impl Treatment {
    /// Settings beside access, chain, service and limits, in the form in which settings are
    /// compared.
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
