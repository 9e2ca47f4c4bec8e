//! One line of a plan, and the words for it.

use std::collections::BTreeSet;

use bundle::digest::Digest;
use serde_json::Value;

use model::acknowledge;
use model::source_map::Place;

/// The sections of a plan, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// Access: requests that are newly let in or refused.
    Security,
    /// Gates, acknowledgements, requirements and other rules that judge changes.
    Rules,
    /// Ownership of requests by operations.
    Routing,
    /// The contract that clients see.
    Breaking,
    /// Treatment of requests by the gateway.
    Policy,
    /// Upstream of requests.
    Upstream,
    /// Prose.
    Docs,
}

/// The classes of changes (plan.md, *Classes*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Some request that was refused is let in.
    Weaken,
    /// Both directions at once.
    Incomparable,
    /// Requests that were not served can be made by some callers.
    Expose,
    /// A new consumer or credential.
    Grant,
    /// Rules that judge changes are different.
    Rules,
    /// Some request that was let in is refused.
    Strengthen,
    /// Requests are newly served.
    Added,
    /// Requests are no longer served.
    Removed,
    /// Requests are served by another operation or upstream.
    Moved,
    /// An operation lost the last of its requests to others, or has some again.
    Shadowed,
    /// A number lets more through.
    Relax,
    /// A number lets less through.
    Tighten,
    /// Anything else that is different.
    Changed,
    /// Prose.
    Doc,
}

/// One change; equal ones of many operations are one with a count.
#[derive(Clone, Debug)]
pub struct Change {
    /// Section of the plan.
    pub section: Section,
    /// Class of the change.
    pub class: Class,
    /// Kind of the change, kebab-case.
    pub id: &'static str,
    /// The operation, or the first of them.
    pub operation: Option<OperationRef>,
    /// The keys of all of them.
    pub operations: Vec<String>,
    /// The part that changed.
    pub subject: String,
    /// Before.
    pub old: Value,
    /// After.
    pub new: Value,
    /// Place of the old value.
    pub source_old: Option<Place>,
    /// Place of the new value.
    pub source_new: Option<Place>,
    /// Listeners and mounts of its requests; empty if it is not about requests.
    pub places: BTreeSet<RequestPlace>,
    /// Environments in which it holds; the empty name stands for the project without one.
    pub environments: BTreeSet<String>,
    /// Classes of the changes that it stands for, where it is one line for many: their gates are
    /// tripped, too.
    pub stands_for: BTreeSet<Class>,
    /// Identity of the old and new value if these are names. Part of the fingerprint, never shown.
    pub bound: String,
    /// The fingerprints of the changes that are one line here, where there are several: each of
    /// them acknowledged is the line acknowledged.
    pub members: Vec<Member>,
    /// A request that is treated differently.
    pub witness: Option<Witness>,
    /// Reason why there is no witness.
    pub why_none: Option<&'static str>,
    /// Names the change: structure, not text.
    pub fingerprint: String,
}

/// One of the changes that are one line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Its fingerprint.
    pub fingerprint: String,
    /// Its subject, as [`Change::about`].
    pub about: String,
}

/// Listener and mount of a change's requests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestPlace {
    /// The listener's name.
    pub listener: String,
    /// The mount's hosts; none: any.
    pub hosts: Vec<String>,
    /// The path template, the mount's base path included.
    pub template: String,
    /// Key of those requests, not for display: method, kind of template, conditions, priority.
    pub requests: String,
}

/// An operation, as plans name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRef {
    /// Its key.
    pub key: String,
    /// Its operationId.
    pub id: Option<String>,
    /// Its method.
    pub method: String,
    /// Its path, the mount's base path included.
    pub path: String,
    /// Its mount.
    pub mount: String,
    /// A host it answers for; empty for any.
    pub host: String,
    /// Its API.
    pub api: String,
}

/// A request with the answers of both engines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// The method.
    pub method: String,
    /// The URL.
    pub url: String,
    /// Further fields.
    pub headers: Vec<(String, String)>,
    /// The credentials it carries.
    pub credentials: Vec<WitnessCredential>,
    /// Name of the listener that gets it.
    pub listener: String,
    /// Peer that opens the connection, if that decides. Default: any outsider.
    pub peer: Option<std::net::IpAddr>,
    /// Outcome at the old gateway.
    pub old: Outcome,
    /// Outcome at the new gateway.
    pub new: Outcome,
}

/// A credential of a witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessCredential {
    /// The scheme, as the bundle names it.
    pub scheme: String,
    /// `valid`, or `forged` where only its presence counts.
    pub state: &'static str,
    /// Scopes.
    pub scopes: Vec<String>,
}

/// Outcome of a request at a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is no gateway yet.
    Nothing,
    /// The request goes to the operation's upstream, or the operation's policy responds.
    Served {
        /// The operation's key.
        operation: String,
        /// Upstream of the request; none if the gateway answers.
        upstream: Option<String>,
    },
    /// The connection is closed before a request is read.
    Closed,
    /// The request is refused.
    Refused {
        /// The status.
        status: u16,
    },
}

impl Section {
    /// All of them, in their order.
    pub const ALL: [Self; 7] = [
        Self::Security,
        Self::Rules,
        Self::Routing,
        Self::Breaking,
        Self::Policy,
        Self::Upstream,
        Self::Docs,
    ];

    /// In lower case, as in JSON.
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
    /// All of them.
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

    /// As in JSON.
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
    /// A change of something that is no operation's.
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

    /// The change of one operation.
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

    /// Class, id, operation keys, subject, digests of old and new value and of what they stand for,
    /// and which requests of which listeners it is about: an acknowledgement binds old and new, and
    /// reaches no further.
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

    /// The first digits of the fingerprint, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        short(&self.fingerprint)
    }

    /// Subject of the change, as an acknowledgement names it: the operation's key, the first key
    /// and how many more there are, or the subject of what is no operation's.
    #[must_use]
    pub fn about(&self) -> String {
        match &self.operations[..] {
            [] => self.subject.clone(),
            [one] => one.clone(),
            [first, more @ ..] => format!("{first} and {} more", more.len()),
        }
    }
}

/// The first digits of a fingerprint, for people.
#[must_use]
pub fn short(fingerprint: &str) -> &str {
    fingerprint
        .get(..acknowledge::DIGITS_SHOWN)
        .unwrap_or(fingerprint)
}

impl Witness {
    /// Bytes of method, URL and fields, then the request itself: which of two is smaller.
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
