//! Changes: the lines of a plan, and their parts.

use std::collections::BTreeSet;

use bundle::digest::Digest;
use policy::auth::mtls::Source;
use serde_json::Value;
use validator::containment::Doubt;
use validator::example_response::ResponseExample;

use super::class::{Class, Section};
use super::operation_ref::OperationRef;
use model::acknowledge;
use model::source_map::Place;
use vocab::checks::Level;

use crate::callers::Callers;
use crate::reach::Reach;

/// Change in a plan. Equal changes of several operations are merged into one.
#[derive(Clone, Debug)]
pub struct Change {
    /// Section of the plan.
    pub section: Section,
    /// Class of the change.
    pub class: Class,
    /// Kind of the change, in kebab-case; see [`crate::ids`].
    pub id: &'static str,
    /// First operation that the change concerns. `None` if the change concerns no operation.
    pub operation: Option<OperationRef>,
    /// Keys of all operations that the change concerns.
    pub operations: Vec<String>,
    /// Operations that use the changed definition. `None` if the change concerns operations itself,
    /// or no operation uses the definition.
    pub reaches: Option<Reach>,
    /// Part of the configuration that changed, such as `upstream orders timeouts.connect`.
    pub subject: String,
    /// Value on the old side.
    pub old: Value,
    /// Value on the new side.
    pub new: Value,
    /// Source location of the old value. `None` if it is unknown or there is no old value.
    pub source_old: Option<Place>,
    /// Source location of the new value. `None` if it is unknown or there is no new value.
    pub source_new: Option<Place>,
    /// Setting of gateway.yaml that operations inherit and that has the value, such as
    /// `defaults.policies`. `None` for all other values.
    pub cause: Option<String>,
    /// Listeners and mounts of the requests that the change concerns. Empty for a change that
    /// concerns no requests.
    pub places: BTreeSet<RequestPlace>,
    /// Environments that contain the change. An empty name is the project without an environment.
    pub environments: BTreeSet<String>,
    /// Classes of other changes that this change summarises. The change also trips the gates of
    /// these classes.
    pub stands_for: BTreeSet<Class>,
    /// True for an operation that is removed after its sunset, with the notice that the old version
    /// requires. The change does not trip the gate `break`, because clients had notice.
    pub is_retired: bool,
    /// Digest of the definitions to which the old and new values refer by name. Part of the
    /// fingerprint, never shown.
    pub bound: String,
    /// Merged changes, if there are several. The change is acknowledged if all merged changes are
    /// acknowledged.
    pub members: Vec<Member>,
    /// Part of the message that differs, for a change of a client contract. `None` for other
    /// changes.
    pub message: Option<Box<Message>>,
    /// Credentials that the operation requires. `Some` only if either the old or the new version
    /// serves the requests, but not both.
    pub access: Option<String>,
    /// Callers of the logged requests that the change concerns. `None`: no log was replayed, or the
    /// change concerns no clients.
    pub met: Option<Callers>,
    /// Request whose outcomes show the difference. `None`: no such request was built.
    pub witness: Option<Witness>,
    /// Reason why there is no witness. `None` if there is a witness or no reason is known.
    pub why_none: Option<&'static str>,
    /// Stable identifier, computed from the structure of the change and not from its text.
    /// Includes the environments.
    pub fingerprint: String,
    /// Fingerprint without the environments. Equal changes in several environments have equal base
    /// fingerprints.
    pub base: String,
}

/// Details of a change in the messages (requests and responses) of API clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Severity for clients.
    pub level: Level,
    /// `request`, `response` or `none`.
    pub direction: &'static str,
    /// Path of the value in the message, such as `body.items[].price`.
    pub path: String,
    /// Keyword that differs.
    pub keyword: String,
    /// Number of messages that contain the value: bodies, parameters and headers of operations.
    pub messages: usize,
    /// Message parts, media types, keywords and alternatives on the path to the value.
    /// Distinguishes changes with equal paths. Part of the fingerprint, never shown.
    pub within: String,
    /// Result of the proof that the difference breaks no client. `None`: the level of the check
    /// applies.
    pub decision: Option<Decision>,
    /// Value at [`Self::path`] that shows the break. In a request, only the old side accepts the
    /// value; in a response, only the new side. `None`: no such value is known.
    pub witness: Option<Value>,
    /// Whole body that contains [`Self::witness`] and shows the break. `None`: no such body is
    /// known.
    pub body: Option<Value>,
    /// True for a value of a parameter or header whose text is the value itself: without `style`,
    /// `explode` and `content`.
    pub is_plain: bool,
}

/// Maximum length of a body that a sentence quotes, in characters. For a longer body, the sentence
/// quotes only the value that shows the change.
const BODY_MAX: usize = 160;

/// Name for people of a change that may break clients ([`Change::label`]).
pub(crate) const MAY_BREAK: &str = "may break";

impl Message {
    /// Sentence about the message that shows a break: the body, or the parameter or header field
    /// with its value. For a longer body, the sentence quotes the value. `None` without such a
    /// value.
    #[must_use]
    pub fn example(&self) -> Option<String> {
        let value = self.witness.as_ref()?;
        let whole = self.body.as_ref().unwrap_or(value);
        let field = field(&self.path, whole).filter(|_| self.is_plain);
        let body = self.body.as_ref().map(Value::to_string);
        let body = body.filter(|body| body.chars().count() <= BODY_MAX);
        let sides = match self.direction {
            "response" => "new answers may have it, the old contract excludes it",
            _ => "valid before, the new contract excludes it",
        };
        let shown = field.or(body).unwrap_or_else(|| value.to_string());
        Some(format!("{shown} ({sides})"))
    }
}

/// Parameter or header field with a value, as a client sends it: `?limit=200`, `X-Mode: b`. `path`:
/// path of a part of the value in the message. `None` for other parts of a message, for values that
/// are neither scalars nor lists of one scalar, and for parts of objects.
fn field(path: &str, value: &Value) -> Option<String> {
    let (place, name) = path.split_once(' ')?;
    let (place, name) = match (place, name.split_once(" header ")) {
        ("response", Some((_, name))) => ("header", name),
        ("response", None) => return None,
        (place, _) => (place, name),
    };
    let (name, is_list) = match name.strip_suffix("[]") {
        Some(name) => (name, true),
        None => (name, false),
    };
    if name.contains(['.', '[', ' ']) {
        return None;
    }
    let one = match value {
        Value::Array(items) if is_list && items.len() == 1 => &items[0],
        value if !is_list => value,
        _ => return None,
    };
    let text = match one {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) | Value::Null => one.to_string(),
        Value::Array(_) | Value::Object(_) => return None,
    };
    let encoded = diag::uri::path_reference(&text);
    match place {
        "query" => Some(format!("?{}={encoded}", diag::uri::path_reference(name))),
        "path" => Some(format!("{{{name}}} = {encoded}")),
        "header" => Some(format!("{name}: {text}")),
        "cookie" => Some(format!("Cookie: {name}={text}")),
        _ => None,
    }
}

/// Result of the attempt to prove that a difference breaks no client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Containment was proved: all messages of clients that follow the old contract still match.
    Proved,
    /// A value was found that shows the break.
    Refuted,
    /// Neither a proof nor a value that shows a break was found, for this reason. The level of the
    /// keyword's check applies.
    Undecided(Doubt),
}

impl Decision {
    /// Name of the decision in plans.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Proved => "proved",
            Self::Refuted => "refuted",
            Self::Undecided(_) => "undecided",
        }
    }

    /// Reason for which the effect on clients is undecided. `None` for other decisions.
    #[must_use]
    pub fn reason(self) -> Option<String> {
        let Self::Undecided(doubt) = self else {
            return None;
        };
        Some(match doubt {
            Doubt::Limit => "the comparison reached its limit".to_owned(),
            Doubt::Keyword(keyword) => format!("the effect of `{keyword}` cannot be decided"),
            Doubt::Cycle => "a schema applies itself to the same value".to_owned(),
            Doubt::Text => {
                "the value is sent as text, which may be read as another type".to_owned()
            }
            Doubt::NoExample => "neither a proof nor an example was found".to_owned(),
        })
    }
}

/// Change of one operation, merged with equal changes of other operations into one [`Change`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Fingerprint of this operation's change. The environments of the plan line are part of the
    /// fingerprint.
    pub fingerprint: String,
    /// Fingerprint of the merged change without the environments.
    pub base: String,
    /// Subject of the merged change, as in [`Change::about`].
    pub about: String,
    /// Fingerprints of the line that a plan would contain if the change concerned only this
    /// member's operation. An acknowledgement of that line covers all members of the operation.
    /// `None` if the operation has only one member, or if the change concerns no other operations.
    pub line: Option<OperationLine>,
}

/// Fingerprints of the line that a plan would contain if a change concerned one operation only
/// ([`Member::line`]).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OperationLine {
    /// Fingerprint, with the environments of the line.
    pub fingerprint: String,
    /// Fingerprint without the environments.
    pub base: String,
}

/// Listener, hosts and path of the requests that a change concerns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestPlace {
    /// Name of the listener.
    pub listener: String,
    /// Hosts of the mount. Empty: any host.
    pub hosts: Vec<String>,
    /// Path template, with the base path of the mount.
    pub template: String,
    /// Text that distinguishes the requests at this place from other requests: method, kind of
    /// template, conditions, priority. Not for display.
    pub requests: String,
}

/// Request with its outcomes on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// HTTP method.
    pub method: String,
    /// URL of the request.
    pub url: String,
    /// Header fields, without the fields that carry the credentials.
    pub headers: Vec<(String, String)>,
    /// Credentials that the request carries.
    pub credentials: Vec<WitnessCredential>,
    /// Name of the listener that receives the request.
    pub listener: String,
    /// Address of the peer, if the outcome depends on it. `None`: an address that is in no
    /// configured list.
    pub peer: Option<std::net::IpAddr>,
    /// Body of the request. `None`: no body.
    pub body: Option<String>,
    /// Response of the upstream, if the outcome depends on its check. `None`: any response.
    pub response: Option<ResponseExample>,
    /// Outcome at the old gateway.
    pub old: Outcome,
    /// Outcome at the new gateway.
    pub new: Outcome,
}

impl Witness {
    /// Client certificates of the request.
    #[must_use]
    pub fn certificates(&self) -> Vec<(Source, String)> {
        let credentials = self.credentials.iter();
        credentials
            .filter_map(|one| one.certificate.clone())
            .collect()
    }
}

/// Credential in a witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessCredential {
    /// Name of the security scheme in the bundle.
    pub scheme: String,
    /// State of the credential: `valid`, or `forged` if only its presence is checked.
    pub state: &'static str,
    /// Scopes of the credential.
    pub scopes: Vec<String>,
    /// Roles of the owner of the credential.
    pub roles: Vec<String>,
    /// Client certificate with its source, as [`policy::auth::mtls::witness`] writes it: one name
    /// per line. `None` for other credentials.
    pub certificate: Option<(Source, String)>,
}

/// Outcome of a request at a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No gateway on this side, as before a first release.
    Nothing,
    /// The request is forwarded to the upstream of an operation, or a policy of the operation
    /// responds.
    Served {
        /// Key of the operation that serves the request.
        operation: String,
        /// Upstream that receives the request. `None` if the gateway responds.
        upstream: Option<String>,
    },
    /// The gateway forwards the request, and ends the body of the response at the first item that
    /// does not match its description.
    Interrupted {
        /// Key of the operation that serves the request.
        operation: String,
    },
    /// The connection is closed before a request is read.
    Closed,
    /// The request is refused, or the gateway replaces the response of the upstream.
    Refused {
        /// HTTP status that the client receives.
        status: u16,
    },
}

impl Change {
    /// Name of the class for people: `may break` instead of `break` if the effect on clients is
    /// undecided. Gates treat both alike.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self.may_break() {
            true => MAY_BREAK,
            false => self.class.name(),
        }
    }

    /// True for a change of the class `break` whose effect on clients is undecided.
    #[must_use]
    pub fn may_break(&self) -> bool {
        self.class == Class::Break && self.doubt().is_some()
    }

    /// Reason for which the effect of the change on clients is undecided. `None` if it is decided,
    /// if the level of the change is `info`, or if the change does not concern clients.
    #[must_use]
    pub fn doubt(&self) -> Option<String> {
        let message = self.message.as_ref()?;
        let reason = message.decision?.reason();
        reason.filter(|_| message.level > Level::Info)
    }

    /// Severity for reviewers: `error`, `warn` or `info`.
    #[must_use]
    pub fn level(&self) -> &'static str {
        match &self.message {
            Some(message) => message.level.name(),
            None => self.class.level(),
        }
    }

    /// Creates a change without an operation.
    #[must_use]
    pub fn new(
        section: Section,
        class: Class,
        id: &'static str,
        subject: impl Into<String>,
        old: Value,
        new: Value,
    ) -> Self {
        debug_assert!(
            super::ids::of(id).is_some() || vocab::checks::of(id).is_some(),
            "no table contains the id `{id}`"
        );
        Self {
            section,
            class,
            id,
            operation: None,
            operations: Vec::new(),
            reaches: None,
            subject: subject.into(),
            old,
            new,
            source_old: None,
            source_new: None,
            cause: None,
            places: BTreeSet::new(),
            environments: BTreeSet::new(),
            stands_for: BTreeSet::new(),
            is_retired: false,
            bound: String::new(),
            members: Vec::new(),
            message: None,
            access: None,
            met: None,
            witness: None,
            why_none: None,
            fingerprint: String::new(),
            base: String::new(),
        }
    }

    /// Sets the operation that the change concerns.
    #[must_use]
    pub fn of(mut self, operation: OperationRef) -> Self {
        self.operations = vec![operation.key.clone()];
        self.operation = Some(operation);
        self
    }

    /// Number of operations that the change concerns. 1 for a change that concerns no operation.
    #[must_use]
    pub fn count(&self) -> usize {
        self.operations.len().max(1)
    }

    /// Path templates of the requests that the change concerns.
    #[must_use]
    pub fn paths(&self) -> BTreeSet<&str> {
        let places = self.places.iter();
        places.map(|place| place.template.as_str()).collect()
    }

    /// Computes the fingerprint from class, id, operation keys, subject, digests of both values,
    /// the listeners and mounts of the requests, and the environments. An acknowledgement therefore
    /// covers exactly this change.
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
        // The subject of a change of a message may end with a label for readers, which depends on
        // the other lines of the plan.
        let subject = match &self.message {
            Some(message) => &format!("{} {}\n{}", message.path, message.keyword, message.within),
            None => &self.subject,
        };
        let text = format!(
            "{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}",
            self.class.name(),
            self.id,
            self.operations.join(" "),
            subject,
            digest(&self.old),
            digest(&self.new),
            places.join("\n"),
            self.bound,
        );
        self.base = Digest::of(text.as_bytes()).hex()[..acknowledge::DIGITS].to_owned();
        self.bind();
        self
    }

    /// Adds to the fingerprints the name of the environment that the new version replaces at its
    /// channel. An acknowledgement of the same change within one environment does not cover this
    /// change.
    pub(super) fn replaces(&mut self, environment: &str) {
        let rebase = |base: &mut String| {
            let text = format!("{base}\nreplaces {environment}");
            *base = Digest::of(text.as_bytes()).hex()[..acknowledge::DIGITS].to_owned();
        };
        rebase(&mut self.base);
        for member in &mut self.members {
            rebase(&mut member.base);
            if let Some(line) = &mut member.line {
                rebase(&mut line.base);
            }
        }
        self.bind();
    }

    /// Recomputes the fingerprints of the change and of its merged changes for the environments of
    /// the change.
    pub(super) fn bind(&mut self) {
        self.fingerprint = bound(&self.base, &self.environments);
        for member in &mut self.members {
            member.fingerprint = bound(&member.base, &self.environments);
            if let Some(line) = &mut member.line {
                line.fingerprint = bound(&line.base, &self.environments);
            }
        }
    }

    /// First digits of the fingerprint, for display.
    #[must_use]
    pub fn short(&self) -> &str {
        short(&self.fingerprint)
    }

    /// Subject of the change as written in an acknowledgement. For a change of operations: the key
    /// of the first operation, and the number of other operations. For any other change:
    /// [`Self::subject`].
    #[must_use]
    pub fn about(&self) -> String {
        match &self.operations[..] {
            [] => self.subject.clone(),
            [one] => one.clone(),
            [first, more @ ..] => format!("{first} and {} more", more.len()),
        }
    }
}

/// Fingerprint of a change in a set of environments: an acknowledgement for one environment does
/// not cover the same change in another environment. For a project without environments, returns
/// the base fingerprint.
#[must_use]
pub fn bound(base: &str, environments: &BTreeSet<String>) -> String {
    if environments.iter().all(String::is_empty) {
        return base.to_owned();
    }
    let names = environments.iter().map(String::as_str);
    let text = format!("{base}\n{}", names.collect::<Vec<_>>().join("\n"));
    Digest::of(text.as_bytes()).hex()[..acknowledge::DIGITS].to_owned()
}

/// First digits of a fingerprint, for display.
#[must_use]
pub fn short(fingerprint: &str) -> &str {
    fingerprint
        .get(..acknowledge::DIGITS_SHOWN)
        .unwrap_or(fingerprint)
}

impl Witness {
    /// Sort key for finding the smallest witness: total length of method, URL, fields and body in
    /// bytes, then method, then URL.
    pub(super) fn size(&self) -> (usize, &str, &str) {
        let fields: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len() + 4)
            .sum();
        let body = self.body.as_ref().map_or(0, String::len);
        let length = self.method.len() + self.url.len() + fields + body;
        (length, &self.method, &self.url)
    }
}
