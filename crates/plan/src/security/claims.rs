//! Conditions on callers besides credentials: `authorize`, `forward_auth` and `ext_proc`.
//!
//! All conditions must hold. A condition is a scope, a list of which one item suffices, or opaque
//! (an expression, another service). Opaque conditions can only be equal or different. Two
//! expressions are equal if they have the same text and read the same values of the configuration.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use policy::Checked;
use policy::auth::Place;
use policy::declared::{Scalar, Settings};
use policy::guard::{ext_proc, forward_auth};

use super::reads::{ChainChanges, ChangedFields, Reads};
use super::removals;
use super::{Access, Difference, Verdict, verifier::value_text as value};

/// Condition on a caller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Clause {
    /// The credential must have this scope.
    Scope(String),
    /// The claim, groups or roles named by the first string must contain one of these values.
    OneOf(String, BTreeSet<String>),
    /// Condition that cannot be analysed. Compared as text, and by the values that it reads.
    Opaque(String, Reads),
    /// The service must admit the caller.
    Answer(Question),
}

/// Request of a `forward_auth` or `ext_proc` policy to its service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Question {
    /// Identity of the service ([`service`]). Fields of its response are compared as request
    /// fields.
    service: String,
    /// Parts of the messages that the service receives and by which it decides, such as request
    /// fields. Each field has its source; `None`: the client. If the parts or their sources differ,
    /// the decision may differ.
    sent: BTreeMap<String, Option<String>>,
    /// Path, host and method of the client's request, which the service gets. Empty if clients send
    /// the same requests to both sides.
    request: Reads,
    /// Timeout in milliseconds after which all callers are admitted because the service does not
    /// answer. `None` if a failure admits no caller.
    open_ms: Option<u64>,
    /// Name of the policy.
    name: String,
    /// Time for which an answer that admits a caller is cached, in milliseconds. After a caller has
    /// lost its access, the policy admits it for this time.
    cache_ms: u64,
}

impl Clause {
    /// True for a list of values of the claim, groups or roles named `name`.
    fn is_one_of(&self, name: &str) -> bool {
        matches!(self, Self::OneOf(what, _) if what == name)
    }

    fn implies(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::OneOf(what, own), Self::OneOf(theirs, wider)) => {
                what == theirs && own.is_subset(wider)
            }
            (Self::Opaque(own, reads), Self::Opaque(theirs, others)) => {
                own == theirs && reads.implies(others)
            }
            (Self::Answer(own), Self::Answer(theirs)) => own.implies(theirs),
            (own, other) => own == other,
        }
    }
}

impl Question {
    fn of(
        question: &forward_auth::Checked,
        (name, settings): (&str, &Settings),
        (access, before): (&Access<'_>, Option<&Access<'_>>),
        changes: Option<&ChainChanges<'_>>,
    ) -> Self {
        let text = |key| settings.text(&[key]).unwrap_or_default();
        let upstream = service(text("upstream"), access, before);
        let changed = changes.and_then(|changes| changes.before(name));
        let sent = fields_sent(access, changed, Some(question.sent()));
        Self {
            service: [text("url"), upstream, text("path")].join(" "),
            sent,
            request: Reads::of_request(access),
            open_ms: question
                .is_open()
                .then(|| question.timeout_ms().min(access.deadline_ms())),
            name: name.to_owned(),
            cache_ms: question.cache_ms(),
        }
    }

    fn of_processor(
        processor: &ext_proc::Checked,
        name: &str,
        (access, before): (&Access<'_>, Option<&Access<'_>>),
        changes: Option<&ChainChanges<'_>>,
    ) -> Self {
        let names = processor.sent();
        let names = names.map(|names| names.iter().map(String::as_str).collect());
        let changed = changes.and_then(|changes| changes.before(name));
        let mut sent = fields_sent(access, changed, names);
        if processor.reads_body() {
            let before = changed.map(ChangedFields::processors);
            let source = before.filter(|before| !before.is_empty());
            sent.insert("request body".to_owned(), source.map(str::to_owned));
        }
        if processor.reads_response() {
            sent.insert("response headers".to_owned(), None);
        }
        if processor.reads_response_body() {
            sent.insert("response body".to_owned(), None);
        }
        Self {
            service: format!("ext_proc {}", service(processor.service(), access, before)),
            sent,
            request: Reads::of_request(access),
            open_ms: processor
                .is_open()
                .then(|| processor.timeout_ms().min(access.deadline_ms())),
            name: name.to_owned(),
            cache_ms: 0,
        }
    }

    /// True if every caller that this condition admits is also admitted by `other`. If a failure of
    /// the service admits everyone, a shorter timeout admits more, because failures are then more
    /// frequent. The comparison of definitions covers the cache of a policy with the same name.
    fn implies(&self, other: &Self) -> bool {
        let is_within = match (self.open_ms, other.open_ms) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(theirs)) => own >= theirs,
        };
        let is_fresh = self.cache_ms <= other.cache_ms || self.name == other.name;
        let is_same = self.service == other.service && self.sent == other.sent;
        is_same && self.request.implies(&other.request) && is_within && is_fresh
    }
}

/// Name that identifies the upstream of a service. If the old side (`before`) has no upstream of
/// this name, but an equal one, the upstream has been renamed: the result is the old name.
fn service<'n>(name: &'n str, access: &Access<'_>, before: Option<&Access<'n>>) -> &'n str {
    let upstreams = before.and_then(|before| Some(&before.route?.gateway.shared.upstreams));
    let Some(upstreams) = upstreams.filter(|known| known.get(name).is_none()) else {
        return name;
    };
    let own = access.route.and_then(|route| {
        let upstreams = &route.gateway.shared.upstreams;
        upstreams.get(name)
    });
    let is_equal = |other: &&ir::Upstream| {
        let (name, state) = (other.name.clone(), other.state);
        own.is_some_and(|own| {
            let renamed = ir::Upstream {
                name,
                state,
                ..own.clone()
            };
            renamed == **other
        })
    };
    upstreams
        .iter()
        .find(is_equal)
        .map_or(name, |other| other.name.as_str())
}

/// Request fields and query that the service of a policy receives, each with its source (`None`:
/// the client). `changed`: changes before the policy. `names`: names of the fields; `None` for all
/// fields.
fn fields_sent(
    access: &Access<'_>,
    changed: Option<&ChangedFields<'_>>,
    names: Option<Vec<&str>>,
) -> BTreeMap<String, Option<String>> {
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let source = |name| some(changed?.described(name));
    let mut sent: BTreeMap<String, Option<String>> = match names {
        Some(names) => names
            .into_iter()
            .map(|name| (name.to_owned(), source(Some(name))))
            .collect(),
        None => [("*".to_owned(), source(None))].into(),
    };
    let is_parameter = |place: &Place| matches!(place, Place::Query(_));
    let query = access
        .route
        .map(|route| removals::stripped(route, is_parameter));
    sent.insert("the query".to_owned(), query.and_then(some));
    sent
}

/// Compares the conditions of two chains.
pub(super) fn compare(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    let (was, is) = (
        RequiredClaims::of(old, None),
        RequiredClaims::of(new, Some(old)),
    );
    let verdict = Verdict::of(was.implies(&is), is.implies(&was));
    let id = super::presence_id(
        (was.clauses.is_empty(), is.clauses.is_empty()),
        [
            "authorization-added",
            "authorization-removed",
            "authorization-changed",
        ],
    );
    let bound = is.read(&was);
    let mut found = super::one("claims", verdict, id, "authorize", (was.text, is.text));
    for one in &mut found {
        one.bound.clone_from(&bound);
    }
    found
}

struct RequiredClaims {
    clauses: BTreeSet<Clause>,
    text: String,
}

impl RequiredClaims {
    /// Requirements of one side. `before`: the old side, if `access` is the new side.
    fn of(access: &Access<'_>, before: Option<&Access<'_>>) -> Self {
        let mut clauses = BTreeSet::new();
        let changes = changes(access);
        let changes = changes.as_ref();
        let mut authorize = Vec::new();
        let mut read = Vec::new();
        for policy in access.chain() {
            if policy.checked.kind() == "authorize" {
                let settings = policy.checked.settings();
                let reads = || Reads::of(policy, access, changes);
                authorized(&settings, reads, &mut clauses);
                authorize.push((policy.name.as_str(), settings));
            }
        }
        for clause in &clauses {
            if let Clause::Opaque(_, reads) = clause {
                read.extend(reads.descriptions());
            }
        }
        let mut forward = access.policies("forward_auth");
        forward.extend(access.policies("ext_proc"));
        let mut ended = Vec::new();
        for policy in access.chain() {
            let (question, timeout_ms) = match &policy.checked {
                Checked::ForwardAuth(one) => {
                    let settings = policy.checked.settings();
                    let named = (policy.name.as_str(), &settings);
                    let question = Question::of(one, named, (access, before), changes);
                    (question, one.timeout_ms())
                }
                Checked::ExtProc(one) => {
                    let name = policy.name.as_str();
                    let question = Question::of_processor(one, name, (access, before), changes);
                    (question, one.timeout_ms())
                }
                _ => continue,
            };
            if let Some(ms) = question.open_ms.filter(|ms| *ms < timeout_ms) {
                ended.push(format!("{} for {}", policy.name, Scalar::Duration(ms)));
            }
            let written = question.sent.iter();
            let written = written.filter_map(|(name, source)| Some((name, source.as_ref()?)));
            read.extend(written.map(|(name, source)| format!("{name} is {source}")));
            read.extend(question.request.descriptions());
            clauses.insert(Clause::Answer(question));
        }
        let lines = authorize.iter().chain(&forward).map(|(name, settings)| {
            let settings = settings.iter();
            let settings =
                settings.map(|one| format!(" {}: {}", one.path.join("."), value(&one.value)));
            format!("{name}{}", settings.collect::<String>())
        });
        let mut lines: Vec<String> = lines.collect();
        if !ended.is_empty() {
            lines.push(format!("waits within the timeout: {}", ended.join(", ")));
        }
        if !read.is_empty() {
            read.sort();
            read.dedup();
            lines.push(format!("where {}", read.join(", ")));
        }
        let text = match lines.is_empty() {
            true => "nothing more".to_owned(),
            false => lines.join(", and "),
        };
        Self { clauses, text }
    }

    /// Digest of all values that the expressions of both sides read.
    fn read(&self, before: &Self) -> String {
        let clauses = before.clauses.iter().chain(&self.clauses);
        let reads = clauses.filter_map(|clause| match clause {
            Clause::Opaque(_, reads) => Some(format!("{reads:?}")),
            Clause::Scope(_) | Clause::OneOf(..) | Clause::Answer(_) => None,
        });
        let digest = bundle::digest::Digest::of(reads.collect::<String>().as_bytes());
        digest.hex()
    }

    fn implies(&self, other: &Self) -> bool {
        let implied = |required: &Clause| match required {
            Clause::Scope(_) => self.clauses.contains(required),
            // The clauses of one claim are next to each other.
            Clause::OneOf(what, _) => {
                let first = Clause::OneOf(what.clone(), BTreeSet::new());
                let own = self.clauses.range(first..);
                let mut own = own.take_while(|own| own.is_one_of(what));
                own.any(|own| own.implies(required))
            }
            Clause::Opaque(..) | Clause::Answer(_) => {
                self.clauses.iter().any(|own| own.implies(required))
            }
        };
        other.clauses.iter().all(implied)
    }
}

/// Changes of the request fields before the policies whose conditions read them. `None` without
/// such a policy.
fn changes<'a>(access: &Access<'a>) -> Option<ChainChanges<'a>> {
    let reads = |policy: &&ir::Policy| match &policy.checked {
        Checked::Authorize(authorize) => authorize.expression().is_some(),
        Checked::ForwardAuth(_) | Checked::ExtProc(_) => true,
        _ => false,
    };
    let readers = access.chain().filter(reads);
    let readers: BTreeSet<&str> = readers.map(|policy| policy.name.as_str()).collect();
    match readers.is_empty() {
        true => None,
        false => ChainChanges::of(access, &readers),
    }
}

/// Adds the conditions of an `authorize` policy. `reads`: values that its expression reads.
fn authorized(settings: &Settings, reads: impl Fn() -> Reads, clauses: &mut BTreeSet<Clause>) {
    for one in settings.iter() {
        let path: Vec<&str> = one.path.iter().map(String::as_str).collect();
        let values = settings.texts(&path).unwrap_or_default();
        let values = values.into_iter().map(str::to_owned);
        match one.key() {
            // A setting without a key sets no condition.
            "" => {}
            "scopes" => clauses.extend(values.map(Clause::Scope)),
            "expression" => clauses.extend(values.map(|source| Clause::Opaque(source, reads()))),
            _ => {
                clauses.insert(Clause::OneOf(path.join(" "), values.collect()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::declared::Value;

    /// Lists of a key of `authorize` in a test. Empty: the key is absent.
    const LISTS: [&[&str]; 4] = [&[], &["a"], &["b"], &["a", "b"]];

    /// Sets of values of one key (scopes, groups, …) that a test caller can have.
    const HELD: [&[&str]; 4] = LISTS;

    /// Keys: scopes, groups, claim `tier`, roles. The numbers are indexes of [`LISTS`].
    type ListIndexes = [usize; 4];

    const PATHS: [&[&str]; 4] = [&["scopes"], &["groups"], &["claims", "tier"], &["roles"]];

    fn settings(written: ListIndexes) -> Settings {
        let mut settings = Settings::default();
        for (path, list) in PATHS.iter().zip(written) {
            let texts = LISTS[list]
                .iter()
                .map(|text| Scalar::Text((*text).to_owned()));
            let texts: Vec<Scalar> = texts.collect();
            if !texts.is_empty() {
                settings = settings.with(path, Value::Set(texts));
            }
        }
        settings
    }

    /// True if the policy admits a caller, who must have all scopes and one value of each other
    /// list.
    fn admits(written: ListIndexes, caller: ListIndexes) -> bool {
        let mut keys = written.iter().zip(caller).enumerate();
        keys.all(|(key, (list, caller))| {
            let (list, caller) = (LISTS[*list], HELD[caller]);
            let has = |text: &&str| caller.contains(text);
            match key {
                0 => list.iter().all(&has),
                _ => list.is_empty() || list.iter().any(has),
            }
        })
    }

    fn every() -> impl Iterator<Item = ListIndexes> {
        (0..256).map(|number| [number & 3, number >> 2 & 3, number >> 4 & 3, number >> 6])
    }

    #[test]
    fn authorize_order_agrees_with_every_caller() {
        let required = |written: ListIndexes| {
            let mut clauses = BTreeSet::new();
            authorized(&settings(written), Reads::default, &mut clauses);
            RequiredClaims {
                clauses,
                text: String::new(),
            }
        };
        let of = |written| {
            let admitted: Vec<bool> = every().map(|caller| admits(written, caller)).collect();
            (written, required(written), admitted)
        };
        let all: Vec<(ListIndexes, RequiredClaims, Vec<bool>)> = every().map(of).collect();
        for (a, own, admitted) in &all {
            for (b, other, wider) in &all {
                let expected = admitted.iter().zip(wider).all(|(own, other)| own <= other);
                assert_eq!(own.implies(other), expected, "{a:?} {b:?}");
            }
        }
    }
}
