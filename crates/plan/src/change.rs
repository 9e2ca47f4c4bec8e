//! Change: one line of a plan, and the names of its parts.

use std::collections::BTreeSet;

use bundle::digest::Digest;
use serde_json::Value;

use model::acknowledge;
use model::source_map::Place;

/// Section of a plan. Plans list sections in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// Access: requests that are newly let in or refused.
    Security,
    /// Changes of gates, acknowledgements, lint levels and other rules that judge changes.
    Rules,
    /// Ownership of requests by operations.
    Routing,
    /// The contract that clients see.
    Breaking,
    /// Treatment of requests by the gateway.
    Policy,
    /// Upstream of requests.
    Upstream,
    /// Descriptions, summaries and other prose.
    Docs,
}

/// Class of a change (plan.md, *Classes*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Some request that was refused is now admitted.
    Weaken,
    /// Some request is newly admitted and another is newly refused.
    Incomparable,
    /// Requests that were not served can be made by some callers.
    Expose,
    /// A new consumer or credential.
    Grant,
    /// The rules that judge changes differ.
    Rules,
    /// Some request that was admitted is now refused.
    Strengthen,
    /// Requests are newly served.
    Added,
    /// Requests are no longer served.
    Removed,
    /// Requests are served by another operation or upstream.
    Moved,
    /// An operation lost its last request to other operations, or serves requests again.
    Shadowed,
    /// A limit lets more through.
    Relax,
    /// A limit lets less through.
    Tighten,
    /// Any other difference.
    Changed,
    /// Prose only.
    Doc,
}

/// One change. Equal changes of several operations are merged into one.
#[derive(Clone, Debug)]
pub struct Change {
    /// Section of the plan.
    pub section: Section,
    /// Class of the change.
    pub class: Class,
    /// Kind of the change, kebab-case.
    pub id: &'static str,
    /// First operation that the change concerns. None for a change outside operations.
    pub operation: Option<OperationRef>,
    /// Keys of all operations that the change concerns.
    pub operations: Vec<String>,
    /// The part that changed.
    pub subject: String,
    /// Value on the old side.
    pub old: Value,
    /// Value on the new side.
    pub new: Value,
    /// Place of the old value.
    pub source_old: Option<Place>,
    /// Place of the new value.
    pub source_new: Option<Place>,
    /// Listeners and mounts of its requests; empty if it is not about requests.
    pub places: BTreeSet<RequestPlace>,
    /// Environments that have the change. The empty name is the project without an environment.
    pub environments: BTreeSet<String>,
    /// Classes of the changes that this one represents, if it represents several. It also trips
    /// their gates.
    pub stands_for: BTreeSet<Class>,
    /// Identity of the old and new value if these are names. Part of the fingerprint, never shown.
    pub bound: String,
    /// Fingerprints of the merged changes, if there are several. Acknowledging each of them
    /// acknowledges this change.
    pub members: Vec<Member>,
    /// Request that shows the difference.
    pub witness: Option<Witness>,
    /// Reason why there is no witness.
    pub why_none: Option<&'static str>,
    /// Stable identifier of the change, computed from its structure and not from its text.
    pub fingerprint: String,
}

/// One of the changes that are merged into a [`Change`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Fingerprint of the merged change.
    pub fingerprint: String,
    /// Subject of the merged change, as in [`Change::about`].
    pub about: String,
}

/// Listener and mount of a change's requests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestPlace {
    /// Name of the listener.
    pub listener: String,
    /// Hosts of the mount. Empty: any host.
    pub hosts: Vec<String>,
    /// Path template, with the base path of the mount.
    pub template: String,
    /// Key of those requests, not for display: method, kind of template, conditions, priority.
    pub requests: String,
}

/// Reference to an operation, as plans show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRef {
    /// Key of the operation.
    pub key: String,
    /// `operationId` of the operation.
    pub id: Option<String>,
    /// HTTP method.
    pub method: String,
    /// Path template, with the base path of the mount.
    pub path: String,
    /// Name of the mount.
    pub mount: String,
    /// A host that the operation serves. Empty: any host.
    pub host: String,
    /// Name of the API.
    pub api: String,
}

/// A request with the answers of both engines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// HTTP method.
    pub method: String,
    /// URL of the request.
    pub url: String,
    /// Header fields other than those of the credentials.
    pub headers: Vec<(String, String)>,
    /// Credentials that the request carries.
    pub credentials: Vec<WitnessCredential>,
    /// Name of the listener that gets it.
    pub listener: String,
    /// Peer that opens the connection, if the peer decides. Default: an address outside every list.
    pub peer: Option<std::net::IpAddr>,
    /// Outcome at the old gateway.
    pub old: Outcome,
    /// Outcome at the new gateway.
    pub new: Outcome,
}

/// Credential that a witness carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessCredential {
    /// Name of the security scheme in the bundle.
    pub scheme: String,
    /// `valid`, or `forged` if only the presence of the credential counts.
    pub state: &'static str,
    /// Scopes of the credential.
    pub scopes: Vec<String>,
}

/// Outcome of a request at a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No gateway exists on this side yet.
    Nothing,
    /// The request goes to the operation's upstream, or the operation's policy responds.
    Served {
        /// Key of the operation that serves the request.
        operation: String,
        /// Upstream of the request; none if the gateway answers.
        upstream: Option<String>,
    },
    /// The connection is closed before a request is read.
    Closed,
    /// The request is refused.
    Refused {
        /// HTTP status of the refusal.
        status: u16,
    },
}

impl Section {
    /// All sections, in the order of a plan.
    pub const ALL: [Self; 7] = [
        Self::Security,
        Self::Rules,
        Self::Routing,
        Self::Breaking,
        Self::Policy,
        Self::Upstream,
        Self::Docs,
    ];

    /// Lower-case name, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Security => "security",
            Self::Rules => "rules",
            Self::Routing => "routing",
            Self::Breaking => "breaking",
            Self::Policy => "policy",
            Self::Upstream => "upstream",
            Self::Docs => "docs",
        }
    }
}

impl Class {
    /// All classes, in the order of a plan.
    pub const ALL: [Self; 14] = [
        Self::Weaken,
        Self::Incomparable,
        Self::Expose,
        Self::Grant,
        Self::Rules,
        Self::Strengthen,
        Self::Added,
        Self::Removed,
        Self::Moved,
        Self::Shadowed,
        Self::Relax,
        Self::Tighten,
        Self::Changed,
        Self::Doc,
    ];

    /// Name of the class in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Weaken => "weaken",
            Self::Incomparable => "incomparable",
            Self::Expose => "expose",
            Self::Grant => "grant",
            Self::Rules => "rules",
            Self::Strengthen => "strengthen",
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Moved => "moved",
            Self::Shadowed => "shadowed",
            Self::Relax => "relax",
            Self::Tighten => "tighten",
            Self::Changed => "changed",
            Self::Doc => "doc",
        }
    }

    /// Severity of the class for reviewers: `error`, `warn` or `info`.
    #[must_use]
    pub fn level(self) -> &'static str {
        match self {
            Self::Weaken | Self::Incomparable => "error",
            Self::Expose
            | Self::Grant
            | Self::Rules
            | Self::Removed
            | Self::Moved
            | Self::Shadowed => "warn",
            Self::Strengthen
            | Self::Added
            | Self::Relax
            | Self::Tighten
            | Self::Changed
            | Self::Doc => "info",
        }
    }
}

impl Change {
    /// Creates a change that concerns no operation.
    #[must_use]
    pub fn new(
        section: Section,
        class: Class,
        id: &'static str,
        subject: impl Into<String>,
        old: Value,
        new: Value,
    ) -> Self {
        debug_assert!(super::ids::of(id).is_some(), "`{id}` is in no table");
        Self {
            section,
            class,
            id,
            operation: None,
            operations: Vec::new(),
            subject: subject.into(),
            old,
            new,
            source_old: None,
            source_new: None,
            places: BTreeSet::new(),
            environments: BTreeSet::new(),
            stands_for: BTreeSet::new(),
            bound: String::new(),
            members: Vec::new(),
            witness: None,
            why_none: None,
            fingerprint: String::new(),
        }
    }

    /// Sets the operation that the change concerns.
    #[must_use]
    pub fn of(mut self, operation: OperationRef) -> Self {
        self.operations = vec![operation.key.clone()];
        self.operation = Some(operation);
        self
    }

    /// Number of operations of the change; 1 for a change of something else.
    #[must_use]
    pub fn count(&self) -> usize {
        self.operations.len().max(1)
    }

    /// Number of path templates of the change.
    #[must_use]
    pub fn templates(&self) -> usize {
        let templates: BTreeSet<&str> = self
            .places
            .iter()
            .map(|place| place.template.as_str())
            .collect();
        templates.len()
    }

    /// Computes the fingerprint from class, id, operation keys, subject, the digests of both values
    /// and the places of the requests. An acknowledgement therefore holds for exactly this change.
    #[must_use]
    pub fn named(mut self) -> Self {
        let digest = |value: &Value| Digest::of(value.to_string().as_bytes()).hex();
        let places: Vec<String> = self
            .places
            .iter()
            .map(|at| {
                let hosts = at.hosts.join(",");
                format!("{} {hosts} {} {}", at.listener, at.template, at.requests)
            })
            .collect();
        let text = format!(
            "{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}",
            self.class.name(),
            self.id,
            self.operations.join(" "),
            self.subject,
            digest(&self.old),
            digest(&self.new),
            places.join("\n"),
            self.bound,
        );
        self.fingerprint = Digest::of(text.as_bytes()).hex()[..acknowledge::DIGITS].to_owned();
        self
    }

    /// First digits of the fingerprint, for display.
    #[must_use]
    pub fn short(&self) -> &str {
        short(&self.fingerprint)
    }

    /// Subject of the change in an acknowledgement: the operation key, or the first key and the
    /// number of further keys. A change outside operations gives its own subject.
    #[must_use]
    pub fn about(&self) -> String {
        match &self.operations[..] {
            [] => self.subject.clone(),
            [one] => one.clone(),
            [first, more @ ..] => format!("{first} and {} more", more.len()),
        }
    }
}

/// First digits of a fingerprint, for display.
#[must_use]
pub fn short(fingerprint: &str) -> &str {
    fingerprint
        .get(..acknowledge::DIGITS_SHOWN)
        .unwrap_or(fingerprint)
}

impl Witness {
    /// Sort key for the smallest witness: bytes of method, URL and fields, then the request itself.
    pub(super) fn size(&self) -> (usize, &str, &str) {
        let fields: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len() + 4)
            .sum();
        let length = self.method.len() + self.url.len() + fields;
        (length, &self.method, &self.url)
    }
}
