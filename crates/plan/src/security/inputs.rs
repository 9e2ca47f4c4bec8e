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
use policy::traffic::split;
use policy::validation::Undeclared;
use policy::{Checked, Phase};

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

/// Part of a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Input {
    Header(String),
    Cookie(String),
    Query(String),
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
        match kind {
            "header" => Some(Self::Header(name.to_ascii_lowercase())),
            "cookie" => Some(Self::Cookie(name.to_owned())),
            "query" => Some(Self::Query(name.to_owned())),
            _ => None,
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Header(name) => format!("header {name}"),
            Self::Cookie(name) => format!("cookie {name}"),
            Self::Query(name) => format!("query {name}"),
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

/// Point in the chain at which a setting reads the request.
#[derive(Clone, Copy)]
enum Point<'p> {
    /// At this policy of the chain.
    Policy(&'p ir::Policy),
    /// At the limits of the caller's plan.
    Plan,
    /// After the chain.
    End,
}

fn origins(access: &Access<'_>) -> Origins {
    let mut origins = Origins::new();
    let Some(route) = access.route else {
        return origins;
    };
    let mut add = |reader, input: Input, point: Point<'_>| {
        let origin = origin(access, route, &input, point);
        origins.entry((reader, input)).or_default().insert(origin);
    };
    let chain = access.chain().map(|policy| (policy, Point::Policy(policy)));
    let shared = route.gateway.shared.policies.iter();
    let of_plans = shared.filter(|policy| policy.checked.settings().get(&["plans"]).is_some());
    for (policy, point) in chain.chain(of_plans.map(|policy| (policy, Point::Plan))) {
        match &policy.checked {
            Checked::Csrf(_) => {
                for name in BROWSER {
                    add(Reader::Csrf, Input::Header(name.to_owned()), point);
                }
            }
            Checked::Split(split) => {
                for input in conditions(split) {
                    add(Reader::Split, input, point);
                }
            }
            limit if policy::is_limit(limit.kind()) => {
                let settings = limit.settings();
                let keys = settings.texts(&["key"]).unwrap_or_default();
                let inputs = keys.into_iter().filter_map(Input::of_key);
                // Other clients share the address of a proxy: the limit is tighter.
                for input in inputs.filter(|input| *input != Input::Address) {
                    add(Reader::Limit, input, point);
                }
            }
            _ => {}
        }
    }
    let split = route.treatment.forwarding.split.as_ref();
    for input in split.into_iter().flat_map(conditions) {
        add(Reader::Split, input, Point::End);
    }
    for (upstream, point) in destinations(access, route) {
        let Some(upstream) = route.gateway.shared.upstreams.get(&upstream) else {
            continue;
        };
        let settings = upstream.balance.settings();
        if let Some(input) = settings.text(&["hash_on"]).and_then(Input::of_key) {
            add(Reader::Hash, input, point);
        }
    }
    origins
}

/// Names of the upstreams that get requests of a route, with the point at which they get them: the
/// upstreams of the operation, of splits and mirrors, and of services that policies call.
fn destinations<'a>(access: &Access<'a>, route: Route<'a>) -> Vec<(String, Point<'a>)> {
    let mut all = vec![(route.treatment.upstream.clone(), Point::End)];
    for (_, checked) in route.treatment.forwarding.steps() {
        let names = checked.upstreams().into_iter();
        all.extend(names.map(|name| (name.to_owned(), Point::End)));
    }
    for policy in access.chain() {
        let point = match policy.checked.kind() {
            "split" | "mirror" => Point::End,
            _ => Point::Policy(policy),
        };
        let names = policy.checked.upstreams().into_iter();
        all.extend(names.map(|name| (name.to_owned(), point)));
    }
    all
}

/// Fields and parameters that the conditions of a split read.
fn conditions(split: &split::Checked) -> impl Iterator<Item = Input> {
    let conditions = split.shares().iter();
    let conditions = conditions.flat_map(|share| share.when.iter().flatten());
    conditions.map(|condition| match condition {
        Condition::Header(name, _) => Input::Header(name.clone()),
        Condition::Query(name, _) => Input::Query(name.clone()),
    })
}

/// Removals and values of the gateway before a setting reads this part of the request. Empty if the
/// setting reads the client's own value.
fn origin(access: &Access<'_>, route: Route<'_>, input: &Input, point: Point<'_>) -> String {
    let is_after_removals = match point {
        Point::Policy(policy) => policy.checked.phase() >= Some(Phase::Transform),
        Point::Plan => false,
        Point::End => true,
    };
    let written = || match point {
        Point::Policy(policy) => identity::read_by(access, &policy.name),
        Point::Plan => identity::read_before(access, Phase::Limit),
        Point::End => identity::read_at_end(access),
    };
    let mut parts = match input {
        Input::Header(name) => vec![reads::described(route, written(), Some(name))],
        Input::Cookie(name) => {
            let is_read = |place: &Place| *place == Place::Cookie(name.clone());
            let field = written().remove("cookie").unwrap_or_default();
            vec![reads::stripped(route, is_read), field]
        }
        Input::Query(name) => {
            let is_read = |place: &Place| *place == Place::Query(name.clone());
            vec![reads::stripped(route, is_read)]
        }
        Input::Address => vec![reads::trusted(route)],
    };
    if is_after_removals {
        let forwarding = &route.treatment.forwarding;
        let is_removed = forwarding.not_forwarded.iter().any(|place| match input {
            // Removed fields are part of the description above.
            Input::Header(_) | Input::Address => false,
            Input::Cookie(name) => *place == Place::Cookie(name.clone()),
            Input::Query(name) => *place == Place::Query(name.clone()),
        });
        parts.extend(is_removed.then(|| "removed (`forward: false`)".to_owned()));
        let checked = forwarding.validate.as_ref();
        let strips = checked.is_some_and(|checked| checked.undeclared == Undeclared::Strip);
        let strips = strips && matches!(input, Input::Query(_));
        parts.extend(strips.then(|| "removed if undeclared".to_owned()));
    }
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}
