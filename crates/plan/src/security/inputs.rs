//! Comparison of the parts of requests that limits, destinations and `csrf` depend on: keys of
//! limits, conditions of splits, hash inputs of upstreams, and the fields of browsers.
//!
//! The settings of these policies are compared elsewhere. Here, both sides read the same field,
//! cookie or query parameter, but the gateway newly removes or writes it before the policy reads
//! it, or no longer does so. A limit then counts other callers together, and requests go to another
//! destination. Expressions and services read fields as well: see `claims`.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use policy::auth::Place;
use policy::conditions::Condition;
use policy::guard::validate;
use policy::traffic::split;
use policy::validation::Undeclared;
use policy::{Checked, Phase};

use super::handling::place_text;
use super::{Access, Difference, Route, Verdict, identity, reads};
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
    /// `csrf`.
    Csrf,
}

/// Fields by which `csrf` decides. It also reads the host, which no policy changes before it.
const BROWSER: [&str; 3] = ["origin", "sec-fetch-mode", "sec-fetch-site"];

/// Value of a request that a setting reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Input {
    /// Field, cookie or query parameter.
    Part(Place),
    /// Client's address.
    Address,
}

impl Input {
    /// Input of a key such as `header:X-Tenant`. `None` for keys that read other values, such as
    /// `consumer`.
    fn of_key(key: &str) -> Option<Self> {
        if key == "address" {
            return Some(Self::Address);
        }
        let (kind, name) = key.split_once(':')?;
        let place = match kind {
            "header" => Place::Header(name.to_ascii_lowercase()),
            "cookie" => Place::Cookie(name.to_owned()),
            "query" => Place::Query(name.to_owned()),
            _ => return None,
        };
        Some(Self::Part(place))
    }

    fn of_field(name: &str) -> Self {
        Self::Part(Place::Header(name.to_owned()))
    }

    fn shown(&self) -> String {
        match self {
            Self::Part(place) => place_text(place),
            Self::Address => "address".to_owned(),
        }
    }
}

/// Origins of the parts that each kind of setting reads: what the gateway removes and writes before
/// the setting reads the part.
type Origins = BTreeMap<(Reader, Input), BTreeSet<String>>;

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
    let changed = pairs.filter(|(_, before, after)| before != after);
    let differences = changed.flat_map(|((reader, input), before, after)| {
        let (class, id, setting) = match reader {
            Reader::Limit => (Some(Class::Relax), "limit-key-changed", "key of a limit"),
            Reader::Split => (Some(Class::Moved), "traffic-moved", "split when"),
            Reader::Hash => (Some(Class::Moved), "traffic-moved", "upstream hash_on"),
            Reader::Csrf => (None, "csrf-changed", "csrf"),
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

/// Input of a setting.
type Read = (Reader, Input);

fn origins(access: &Access<'_>) -> Origins {
    let mut origins = Origins::new();
    let Some(route) = access.route else {
        return origins;
    };
    let mut add = |reads: Vec<Read>, written: &dyn Fn() -> BTreeMap<String, String>, removed| {
        if reads.is_empty() {
            return;
        }
        let written = written();
        for (reader, input) in reads {
            let origin = origin(route, &input, &written, removed);
            origins.entry((reader, input)).or_default().insert(origin);
        }
    };
    for policy in access.chain() {
        let is_after_removals = policy.checked.phase() >= Some(Phase::Transform);
        let written = || identity::read_by(access, &policy.name);
        add(of_policy(policy, route), &written, is_after_removals);
    }
    add(
        of_end(access, route),
        &|| identity::read_at_end(access),
        true,
    );
    origins
}

/// Inputs of a policy, and of the upstream of the service that it calls.
fn of_policy(policy: &ir::Policy, route: Route<'_>) -> Vec<Read> {
    match &policy.checked {
        Checked::Csrf(_) => BROWSER
            .map(|name| (Reader::Csrf, Input::of_field(name)))
            .into(),
        Checked::Split(split) => conditions(split).collect(),
        // Requests are distributed after the chain.
        Checked::Mirror(_) => Vec::new(),
        limit if policy::is_limit(limit.kind()) => {
            let settings = limit.settings();
            let keys = settings.texts(&["key"]).unwrap_or_default();
            let inputs = keys.into_iter().filter_map(Input::of_key);
            // Other clients share the address of a proxy: the limit is tighter.
            let inputs = inputs.filter(|input| *input != Input::Address);
            inputs.map(|input| (Reader::Limit, input)).collect()
        }
        service => hashed(route, service.upstreams()).collect(),
    }
}

/// Inputs after the chain: those of the operation's split, and of the upstreams that get requests.
fn of_end(access: &Access<'_>, route: Route<'_>) -> Vec<Read> {
    let forwarding = &route.treatment.forwarding;
    let split = forwarding.split.iter().flat_map(conditions);
    let mut reads: Vec<Read> = split.collect();
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

/// Fields and parameters that the conditions of a split read.
fn conditions(split: &split::Checked) -> impl Iterator<Item = Read> {
    let conditions = split.shares().iter();
    let conditions = conditions.flat_map(|share| share.when.iter().flatten());
    conditions.map(|condition| {
        let place = match condition {
            Condition::Header(name, _) => Place::Header(name.clone()),
            Condition::Query(name, _) => Place::Query(name.clone()),
        };
        (Reader::Split, Input::Part(place))
    })
}

/// Removals and values of the gateway before a setting reads this part of the request. Empty if the
/// setting reads the client's own value. `written`: the fields that the gateway changes before.
/// `removed`: the setting reads after the removal of parameters.
fn origin(
    route: Route<'_>,
    input: &Input,
    written: &BTreeMap<String, String>,
    removed: bool,
) -> String {
    let place = match input {
        Input::Part(place) => place,
        Input::Address => return reads::trusted(route),
    };
    let stripped = || reads::stripped(route, |one| one == place);
    let mut parts = match place {
        Place::Header(name) => vec![reads::described(route, written, Some(name))],
        Place::Cookie(_) => {
            let field = written.get("cookie").cloned();
            vec![stripped(), field.unwrap_or_default()]
        }
        _ => vec![stripped()],
    };
    let forwarding = &route.treatment.forwarding;
    // Removed fields are among those that the gateway changes.
    let is_field = matches!(place, Place::Header(_));
    if removed && !is_field && forwarding.not_forwarded.contains(place) {
        parts.push("removed (`forward: false`)".to_owned());
    }
    let strips = |checked: &validate::Checked| checked.undeclared == Undeclared::Strip;
    let is_parameter = matches!(place, Place::Query(_));
    if removed && is_parameter && forwarding.validate.as_ref().is_some_and(strips) {
        parts.push("removed if undeclared".to_owned());
    }
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}
