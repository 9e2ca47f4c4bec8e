//! Comparison of the parts of requests that limits, destinations, `csrf` and validation depend on:
//! keys of limits, conditions of splits, hash inputs of upstreams, the fields of browsers, and the
//! request that is validated.
//!
//! The settings of these policies are compared elsewhere. Here, both sides read the same field,
//! cookie or query parameter. The difference is that the gateway newly removes or writes it before
//! the policy reads it, or no longer does so. A limit then counts other callers together, and
//! requests go to another destination. Expressions and services read fields as well: see `claims`.

use std::collections::{BTreeMap, BTreeSet};

use bundle::digest::Digest;
use bundle::ir;
use engine::credentials_remove as removes;
use policy::auth::Place;
use policy::conditions::Condition;
use policy::guard::validate;
use policy::traffic::split;
use policy::validation::Undeclared;
use policy::{Checked, Phase, Protection};

use super::handling::place_text;
use super::reads::{self, ChainChanges, ChangedFields};
use super::{Access, Difference, Route, Verdict, removals};
use crate::Class;

/// Setting that reads a part of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reader {
    /// `key` of a limit.
    Limit,
    /// `when` of a split.
    Split,
    /// `hash_on` of the operation's upstream.
    Hash,
    /// Policy `csrf`.
    Csrf,
    /// Request validation.
    Validation,
    /// Policy of this kind that refuses requests because of their content.
    Content(&'static str),
}

/// Fields that the decision of `csrf` depends on. `csrf` also reads the host, which no earlier
/// policy changes.
const BROWSER: [&str; 3] = ["origin", "sec-fetch-mode", "sec-fetch-site"];

/// Value of a request that a setting reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Input {
    /// Field, cookie or query parameter.
    Part(Place),
    /// Client's address.
    Address,
    /// Request with its body.
    Message,
}

impl Input {
    /// Input of a key such as `header:X-Tenant`. `None` for keys that read other values, such as
    /// `consumer`.
    fn of_key(key: &str) -> Option<Self> {
        match key {
            "address" => Some(Self::Address),
            key => place_of(key).map(Self::Part),
        }
    }

    fn of_field(name: &str) -> Self {
        Self::Part(Place::Header(name.to_owned()))
    }

    fn shown(&self) -> String {
        match self {
            Self::Part(place) => place_text(place),
            Self::Address => "address".to_owned(),
            Self::Message => "request".to_owned(),
        }
    }
}

/// Origins of the parts of requests, by the kind of setting that reads a part.
type Origins<'a> = BTreeMap<(Reader, Input), Vec<Origin<'a>>>;

/// Origin of a part of requests that one setting reads.
#[derive(Clone, Debug)]
struct Origin<'a> {
    /// Name of the policy, empty at the end of the chain, and the digest of its settings. A policy
    /// can read thousands of parts, each with an origin.
    policy: (&'a str, Digest),
    /// Removals and values of the gateway before the setting reads the part.
    text: String,
}

/// Texts of the origins that are new: a policy of both versions had a different text before, or a
/// new policy has a text that no old policy had.
fn new_origins(before: &[Origin<'_>], after: &[Origin<'_>]) -> BTreeSet<String> {
    let is_known = |origin: &Origin<'_>| {
        let same = |is_same: fn(&Origin<'_>, &Origin<'_>) -> bool| {
            before.iter().find(|before| is_same(before, origin))
        };
        let same = same(|one, other| one.policy == other.policy)
            .or_else(|| same(|one, other| one.policy.0 == other.policy.0))
            .or_else(|| same(|one, other| one.policy.1 == other.policy.1));
        match same {
            Some(before) => before.text == origin.text,
            None => before.iter().any(|before| before.text == origin.text),
        }
    };
    let new = after.iter().filter(|origin| !is_known(origin));
    new.map(|origin| origin.text.clone()).collect()
}

/// Returns at most one difference per kind of setting and part of the request.
pub(super) fn compare(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    let after = origins(new);
    if after.is_empty() {
        return Vec::new();
    }
    let mut before = origins(old);
    let pairs = after.into_iter().filter_map(|(key, after)| {
        let before = before.remove(&key)?;
        Some((key, before, after))
    });
    let changed = pairs.filter_map(|(key, before, after)| {
        let new = new_origins(&before, &after);
        let before: BTreeSet<String> = before.into_iter().map(|origin| origin.text).collect();
        (!new.is_empty()).then_some((key, before, new))
    });
    let differences = changed.flat_map(|((reader, input), before, after)| {
        let (class, id, setting) = match reader {
            Reader::Limit => (Some(Class::Relax), "limit-key-changed", "key of a limit"),
            Reader::Split => (Some(Class::Moved), "traffic-moved", "split when"),
            Reader::Hash => (Some(Class::Moved), "traffic-moved", "upstream hash_on"),
            Reader::Csrf => (None, "csrf-changed", "csrf"),
            Reader::Validation => (None, "request-validation-changed", "validate"),
            Reader::Content(kind) => (None, "guard-changed", kind),
        };
        let subject = format!("{setting}, {}", input.shown());
        let values = (shown(&before), shown(&after));
        let mut found = super::one("inputs", Verdict::Incomparable, id, &subject, values);
        for one in &mut found {
            one.class = class;
        }
        found
    });
    differences.collect()
}

fn shown(origins: &BTreeSet<String>) -> String {
    let origins = origins.iter().map(|origin| match origin.as_str() {
        "" => "the client's value",
        origin => origin,
    });
    origins.collect::<Vec<_>>().join("; ")
}

/// Kind of a setting, and the input that the setting reads.
type Read = (Reader, Input);

fn origins<'a>(access: &Access<'a>) -> Origins<'a> {
    let mut origins = Origins::new();
    let Some(route) = access.route else {
        return origins;
    };
    let chain = access.chain();
    let chain = chain.map(|policy| (Some(policy), of_policy(policy, route)));
    let all = chain.chain([(None, of_end(access, route))]);
    let all: Vec<(Option<&ir::Policy>, Vec<Read>)> =
        all.filter(|(_, reads)| !reads.is_empty()).collect();
    if all.is_empty() {
        return origins;
    }
    let readers = all.iter().filter_map(|(policy, _)| *policy);
    let readers: BTreeSet<&str> = readers.map(|policy| policy.name.as_str()).collect();
    let Some(changes) = ChainChanges::of(access, &readers) else {
        return origins;
    };
    for (policy, reads) in all {
        let name = policy.map(|policy| policy.name.as_str());
        let settings = policy.map(|policy| policy.checked.settings());
        let digest = Digest::of(format!("{settings:?}").as_bytes());
        let before = name.and_then(|name| changes.before(name));
        let changes = Changes {
            fields: before.unwrap_or(changes.at_end()),
            removes: policy.is_none_or(|policy| policy.checked.phase() >= Some(Phase::Transform)),
        };
        // A policy can read the same part several times.
        for (reader, input) in BTreeSet::from_iter(reads) {
            let text = origin(route, &input, &changes);
            let policy = (name.unwrap_or_default(), digest);
            let all = origins.entry((reader, input)).or_default();
            all.push(Origin { policy, text });
        }
    }
    origins
}

/// Changes of requests before a setting reads them.
struct Changes<'c, 'a> {
    /// Fields that the gateway changes.
    fields: &'c ChangedFields<'a>,
    /// True if parameters with `forward: false` and undeclared ones have been removed.
    removes: bool,
}

/// Inputs of a policy, and of the upstream of the service that it calls.
fn of_policy(policy: &ir::Policy, route: Route<'_>) -> Vec<Read> {
    match &policy.checked {
        Checked::Csrf(_) => BROWSER
            .map(|name| (Reader::Csrf, Input::of_field(name)))
            .into(),
        Checked::Validate(_) => vec![(Reader::Validation, Input::Message)],
        Checked::Split(split) => of_split(split).collect(),
        // Mirrors send copies only after the chain: see `of_end`.
        Checked::Mirror(_) => Vec::new(),
        // If other clients share the address of a proxy, a limit by address is tighter.
        limit if policy::is_limit(limit.kind()) => {
            let keys = of_limit(limit).into_iter();
            keys.map(|place| (Reader::Limit, Input::Part(place)))
                .collect()
        }
        other => {
            let content = policy::protecting(Protection::Content);
            let content = content.filter(|kind| *kind == other.kind());
            let content = content.flat_map(|kind| {
                let fields = removals::read_by(other).into_iter();
                let fields = fields.map(|name| Input::of_field(&name));
                let inputs = fields.chain([Input::Message]);
                inputs.map(move |input| (Reader::Content(kind), input))
            });
            content.chain(hashed(route, other.upstreams())).collect()
        }
    }
}

/// Inputs after the chain: those of the operation's split, and of the upstreams that get requests.
fn of_end(access: &Access<'_>, route: Route<'_>) -> Vec<Read> {
    let forwarding = &route.treatment.forwarding;
    let split = forwarding.split.iter().flat_map(of_split);
    let mut reads: Vec<Read> = split.collect();
    if forwarding.validate.is_some() {
        reads.push((Reader::Validation, Input::Message));
    }
    reads.extend(hashed(route, vec![&route.treatment.upstream]));
    for (_, checked) in forwarding.steps() {
        reads.extend(hashed(route, checked.upstreams()));
    }
    let distributes = |policy: &&ir::Policy| ["split", "mirror"].contains(&policy.checked.kind());
    for policy in access.chain().filter(distributes) {
        reads.extend(hashed(route, policy.checked.upstreams()));
    }
    reads
}

/// Hash inputs of upstreams.
fn hashed<'n>(route: Route<'n>, upstreams: Vec<&'n str>) -> impl Iterator<Item = Read> + use<'n> {
    let all = upstreams.into_iter();
    let all = all.filter_map(move |name| route.gateway.shared.upstreams.get(name));
    all.filter_map(|upstream| {
        let settings = upstream.balance.settings();
        let input = Input::of_key(settings.text(&["hash_on"])?)?;
        Some((Reader::Hash, input))
    })
}

fn of_split(split: &split::Checked) -> impl Iterator<Item = Read> {
    let places = conditions(split).map(Input::Part);
    places.map(|input| (Reader::Split, input))
}

/// Fields and parameters that the conditions of a split read.
pub(super) fn conditions(split: &split::Checked) -> impl Iterator<Item = Place> {
    let conditions = split.shares().iter();
    let conditions = conditions.flat_map(|share| share.when.iter().flatten());
    conditions.map(|condition| match condition {
        Condition::Header(name, _) => Place::Header(name.clone()),
        Condition::Query(name, _) => Place::Query(name.clone()),
    })
}

/// Fields, cookies and parameters in the key of a limit.
pub(super) fn of_limit(limit: &Checked) -> Vec<Place> {
    let settings = limit.settings();
    let keys = settings.texts(&["key"]).unwrap_or_default();
    keys.into_iter().filter_map(place_of).collect()
}

/// Place that a key such as `header:X-Tenant` names. `None` for keys that read other values, such
/// as `consumer`.
fn place_of(key: &str) -> Option<Place> {
    let (kind, name) = key.split_once(':')?;
    match kind {
        "header" => Some(Place::Header(name.to_ascii_lowercase())),
        "cookie" => Some(Place::Cookie(name.to_owned())),
        "query" => Some(Place::Query(name.to_owned())),
        _ => None,
    }
}

/// Removals and values of the gateway before a setting reads this part of the request. Empty if the
/// setting reads the client's own value.
fn origin(route: Route<'_>, input: &Input, changes: &Changes<'_, '_>) -> String {
    let place = match input {
        Input::Part(place) => place,
        Input::Address => return reads::trusted(route),
        Input::Message => return changes.fields.processors().to_owned(),
    };
    let stripped = || removals::stripped(route, |one| removes(one, place));
    let processors = || changes.fields.processors().to_owned();
    let mut parts = match place {
        Place::Header(name) => vec![changes.fields.described(Some(name))],
        Place::Cookie(_) => {
            let field = changes.fields.written("cookie").map(str::to_owned);
            let sessions = removals::session_cookies(route, |one| removes(one, place));
            vec![
                stripped(),
                sessions,
                field.unwrap_or_default(),
                processors(),
            ]
        }
        _ => vec![stripped()],
    };
    let forwarding = &route.treatment.forwarding;
    // The changes of fields already contain removed fields.
    let is_field = matches!(place, Place::Header(_));
    let mut not_forwarded = forwarding.not_forwarded.iter();
    if changes.removes && !is_field && not_forwarded.any(|one| removes(one, place)) {
        parts.push("removed (`forward: false`)".to_owned());
    }
    let strips = |checked: &validate::Checked| checked.undeclared == Undeclared::Strip;
    let is_undeclared = matches!(place, Place::Query(name) if !is_described(route, name));
    if changes.removes && is_undeclared && forwarding.validate.as_ref().is_some_and(strips) {
        parts.push("removed as undeclared".to_owned());
    }
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}

/// True if the operation describes a query parameter with this name, or the object to which it
/// belongs (`filter` for `filter[name]`).
fn is_described(route: Route<'_>, name: &str) -> bool {
    let messages = route.api.messages.as_ref();
    let operation = messages.and_then(|all| all.operations.get(&route.operation.key));
    let mut parameters = operation.iter().flat_map(|one| &one.parameters);
    parameters.any(|one| match one.place {
        ir::ParameterPlace::Query => {
            let rest = name.strip_prefix(one.name.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
        }
        ir::ParameterPlace::Querystring => true,
        _ => false,
    })
}
