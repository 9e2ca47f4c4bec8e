//! Listeners from which operations send requests to upstreams. A listener determines who may
//! connect, and which statements about clients the gateway trusts. A request that a weaker listener
//! newly sends has weaker protection, even if the operation is the same.
//!
//! A change of a mount, path, rewrite, upstream or target can send a request from a further
//! listener.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::ends::{End, Sent};
use super::mappings::covers_hosts;
use super::{
    Allowance, Exceeded, Index, NotCompared, Outbound, Place, method_contains, methods_meet,
    within_limit,
};

/// Requests that an operation of the new version sends to an upstream from a listener. In the old
/// version, no operation sent all of them from this listener.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin<'n> {
    /// Index of the operation among the operations of the new version.
    pub operation: usize,
    /// Name of the listener in the new version.
    pub listener: &'n str,
    /// Indices of the operations of the old version that sent such requests from other listeners.
    /// Empty if no operation sent them.
    pub before: Vec<usize>,
}

/// Function that returns true if the old operation at an index admits all callers of the new
/// operation at an index and a listener.
type Admits<'f> = &'f (dyn Fn(usize, (usize, &str)) -> bool + Sync);

/// Names of listeners in the new version, each with its name in the old version.
type Listeners<'l> = BTreeMap<&'l str, Option<&'l str>>;

/// Listener and destination (host, method, path).
type ListenerEnd<'e> = (&'e str, [&'e str; 3]);

/// All new origins of requests to upstreams.
#[derive(Debug)]
pub struct Origins<'n> {
    /// Origins in the order of their operations.
    pub all: Vec<Origin<'n>>,
    /// Operations that could not be compared.
    pub not_compared: NotCompared,
}

/// Finds the requests that operations of the new version newly send from listeners. `listeners`:
/// names of the compared listeners, each with its name in the old version.
///
/// `old`: the operations of the old version with the servers of their upstreams. Further items have
/// the same operations with other servers. An item counts only for requests that no operation of
/// the items before it sent. `admits` returns true if the old operation at an index admits all
/// callers of the new operation at an index and a listener. Another old operation counts only for
/// the same client requests.
#[must_use]
pub fn new_origins<'n>(
    old: &[Outbound<'_>],
    (new, compared): (&Outbound<'n>, Vec<usize>),
    listeners: &Listeners<'_>,
    admits: Admits<'_>,
) -> Origins<'n> {
    let old: Vec<Senders<'_>> = old.iter().map(Senders::of).collect();
    let key = |at: usize| new.operations[at].place.key.to_owned();
    let (found, not_compared) = within_limit(compared, key, |at, allowance| {
        let mut found = BTreeSet::new();
        let place = new.operations[at].place;
        let operation = &new.operations[at];
        let sent = operation.ends.iter().chain(&operation.inherited);
        for end in sent.filter(|end| end.sent != Sent::Nothing) {
            let admits = |old: usize, listener: &str| admits(old, (at, listener));
            for (listener, before) in unsent(&old, (place, end), listeners, admits, allowance)? {
                found.insert(Origin {
                    operation: at,
                    listener,
                    before,
                });
            }
        }
        Ok(found)
    });
    Origins {
        all: found.into_iter().flat_map(|(_, found)| found).collect(),
        not_compared,
    }
}

/// Listener, and the indices of the old operations that sent the same requests from other
/// listeners.
type Unsent<'n> = (&'n str, Vec<usize>);

/// Listeners of an operation from which no old operation sent the requests to `end`. An old
/// operation can have sent only some of them. Each such part of the requests is a separate item.
fn unsent<'n>(
    old: &[Senders<'_>],
    (place, end): (&'n Place<'n>, &End),
    listeners: &Listeners<'_>,
    admits: impl Fn(usize, &str) -> bool,
    allowance: &mut Allowance,
) -> Result<Vec<Unsent<'n>>, Exceeded> {
    let own = place.mount.listeners.iter().map(String::as_str);
    let mut own: Vec<(&str, Option<&str>)> = own
        .filter_map(|name| Some((name, *listeners.get(name)?)))
        .collect();
    for senders in old {
        let counts =
            |at: usize, listener: &str| senders.has_same_clients(at, place) || admits(at, listener);
        own.retain(|(listener, was)| {
            !was.is_some_and(|was| senders.is_sent(was, end, |at| counts(at, listener)))
        });
        if own.is_empty() {
            return Ok(Vec::new());
        }
        let near = senders.near(end, allowance)?;
        if near.is_empty() {
            continue;
        }
        let (whole, parts) = senders.parts(end, &near);
        // The router of the old version selected none of these operations for requests to `end`.
        if parts.is_empty() {
            continue;
        }
        let mut found = Vec::new();
        for (listener, was) in own {
            let was_sent =
                |at: usize| was.is_some_and(|was| senders.is_at(at, was)) && counts(at, listener);
            let is_whole = |(at, its): &(usize, &End)| {
                was_sent(*at) && !senders.outbound.is_separated((*at, its), end, was)
            };
            if whole.iter().any(is_whole) {
                continue;
            }
            // Skip operations that include all requests to `end`: those that the router selected
            // are in `whole`.
            let own_near = near.iter();
            let own_near = own_near.filter(|(at, its)| !contains(its, end) && was_sent(*at));
            let own_near: Vec<&End> = own_near.map(|(_, its)| *its).collect();
            for (part, before) in &parts {
                if !is_sent(&own_near, part, allowance)? {
                    found.push((listener, before.clone()));
                }
            }
        }
        return Ok(found);
    }
    Ok(own
        .into_iter()
        .map(|(name, _)| (name, Vec::new()))
        .collect())
}

/// Part of the requests to a destination, and the old operations that sent it.
type Part<'n> = (&'n End, Vec<usize>);

/// True if a destination in `all` includes every request to `part`. Takes one comparison from the
/// allowance for each examined destination.
fn is_sent(all: &[&End], part: &End, allowance: &mut Allowance) -> Result<bool, Exceeded> {
    for own in all {
        allowance.take(1)?;
        if contains(own, part) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// True if `end` includes every request to `other`.
fn contains(end: &End, other: &End) -> bool {
    method_contains(&end.method, &other.method) && end.raw.contains(&other.raw)
}

/// Operations of the old version by the requests that they sent.
struct Senders<'e> {
    index: Index<'e>,
    /// Indices of operations, with the destination, by listener and destination.
    sent: FxHashMap<ListenerEnd<'e>, Vec<(usize, &'e End)>>,
    outbound: &'e Outbound<'e>,
}

impl<'e> Senders<'e> {
    fn of(outbound: &'e Outbound<'e>) -> Self {
        let mut sent: FxHashMap<_, Vec<(usize, &End)>> = FxHashMap::default();
        for (at, operation) in outbound.operations.iter().enumerate() {
            let place = operation.place;
            for end in operation.ends.iter().filter(|end| end.is_sent()) {
                for listener in &place.mount.listeners {
                    let key = (listener.as_str(), end.key());
                    sent.entry(key).or_default().push((at, end));
                }
            }
        }
        Self {
            index: outbound.index(|_| true),
            sent,
            outbound,
        }
    }

    /// True if an operation for which `counts` returns true sent requests to `end` from a listener.
    fn is_sent(&self, listener: &str, end: &End, counts: impl Fn(usize) -> bool) -> bool {
        let mut all = self.sent.get(&(listener, end.key())).into_iter().flatten();
        all.any(|(at, its)| its.is_sent_like(end) && counts(*at))
    }

    /// Destinations of operations that sent requests which the upstream may read as requests to
    /// `end`.
    fn near(
        &self,
        end: &End,
        allowance: &mut Allowance,
    ) -> Result<Vec<(usize, &'e End)>, Exceeded> {
        let mut near = allowance.near(end, &self.index)?;
        near.retain(|(_, its)| {
            let mut readings = end.readings.iter();
            its.is_sent_like(end)
                && methods_meet(&end.method, &its.method)
                && readings.any(|own| its.readings.iter().any(|its| own.overlaps(its)))
        });
        Ok(near)
    }

    /// Divides the requests to `end` by the operations that sent them. Returns the operations that
    /// sent all requests, and each part with all operations that sent it.
    fn parts<'n>(
        &self,
        end: &'n End,
        near: &[(usize, &'n End)],
    ) -> (Vec<(usize, &'n End)>, Vec<Part<'n>>) {
        let mut whole: Vec<(usize, &End)> = Vec::new();
        let mut parts: BTreeMap<[&str; 3], Part<'_>> = BTreeMap::new();
        for (at, its) in near.iter().copied() {
            match contains(its, end) {
                true if self.outbound.is_separated((at, its), end, None) => {}
                true => whole.push((at, its)),
                false => {
                    let part = parts.entry(its.key()).or_insert((its, Vec::new()));
                    part.1.push(at);
                }
            }
        }
        let mut parts: Vec<Part<'_>> = parts.into_values().collect();
        let all: Vec<usize> = whole.iter().map(|(at, _)| *at).collect();
        for (_, before) in &mut parts {
            before.extend(&all);
        }
        if !all.is_empty() {
            parts.push((end, all));
        }
        (whole, parts)
    }

    /// True if the old operation at index `at` received all client requests that the operation of
    /// the new version receives. The comparison of routes then covers its callers.
    fn has_same_clients(&self, at: usize, place: &Place<'_>) -> bool {
        let old = self.outbound.operations[at].place;
        let is_same = (old.api, old.key) == (place.api, place.key);
        let receives_all = !old.is_conditional && covers_hosts(place.mount, old.mount);
        old.method == place.method && old.inbound() == place.inbound() && (is_same || receives_all)
    }

    fn is_at(&self, at: usize, listener: &str) -> bool {
        let mut names = self.outbound.operations[at].place.mount.listeners.iter();
        names.any(|name| name == listener)
    }
}
