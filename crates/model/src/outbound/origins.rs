//! Listeners from which operations send requests to upstreams. A listener determines who may
//! connect, and which statements about clients the gateway trusts. A request that a weaker listener
//! newly sends has weaker protection, even if the operation is the same.
//!
//! A change of a mount, path, rewrite, upstream or target can send a request from a further
//! listener.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::{FxHashMap, FxHashSet};

use super::ends::{End, Sent};
use super::{
    Allowance, Exceeded, Index, NotCompared, Outbound, OutboundOperation, Place, method_contains,
    methods_meet, within_limit,
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
    /// Empty if there are none.
    pub before: Vec<usize>,
}

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
/// the items before it sent. `sends` returns false for old operations that never send a request.
#[must_use]
pub fn new_origins<'n>(
    old: &[Outbound<'_>],
    new: &Outbound<'n>,
    listeners: &BTreeMap<&str, Option<&str>>,
    sends: &(dyn Fn(usize) -> bool + Sync),
) -> Origins<'n> {
    let old: Vec<Senders<'_>> = old.iter().map(|old| Senders::of(old, sends)).collect();
    let key = |at: usize| new.0[at].place.key.to_owned();
    let all = (0..new.0.len()).collect();
    let (found, not_compared) = within_limit(all, key, |at, allowance| {
        let mut found = BTreeSet::new();
        let place = new.0[at].place;
        let sent = new.0[at].ends.iter();
        for end in sent.filter(|end| end.sent != Sent::Nothing) {
            for (listener, before) in unsent(&old, (place, end), listeners, allowance)? {
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

/// Listener, and the indices of the old operations that sent the same requests from others.
type Unsent<'n> = (&'n str, Vec<usize>);

/// Listeners of an operation from which no old operation sent the requests to `end`. An old
/// operation can have sent only some of them. Each such part of the requests is a separate item.
fn unsent<'n>(
    old: &[Senders<'_>],
    (place, end): (&'n Place<'n>, &End),
    listeners: &BTreeMap<&str, Option<&str>>,
    allowance: &mut Allowance,
) -> Result<Vec<Unsent<'n>>, Exceeded> {
    let own = place.mount.listeners.iter().map(String::as_str);
    let mut own: Vec<(&str, Option<&str>)> = own
        .filter_map(|name| Some((name, *listeners.get(name)?)))
        .collect();
    for senders in old {
        own.retain(|(_, was)| was.is_none_or(|was| !senders.sent.contains(&(was, end.key()))));
        if own.is_empty() {
            return Ok(Vec::new());
        }
        let near = senders.near(end, allowance)?;
        if near.is_empty() {
            continue;
        }
        let (whole, parts) = senders.parts((place, end), &near);
        let mut found = Vec::new();
        for (listener, was) in own {
            if was.is_some_and(|was| whole.iter().any(|at| senders.is_at(*at, was))) {
                continue;
            }
            // The router did not select an operation that has all requests but is not in `whole`.
            let own_near = near.iter().filter(|(at, its)| {
                !contains(its, end) && was.is_some_and(|was| senders.is_at(*at, was))
            });
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

/// True if one of these destinations includes the whole other destination. Each of them counts as
/// one comparison.
fn is_sent(all: &[&End], part: &End, allowance: &mut Allowance) -> Result<bool, Exceeded> {
    for own in all {
        allowance.take()?;
        if contains(own, part) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// True if a destination includes every request to another destination.
fn contains(end: &End, other: &End) -> bool {
    method_contains(&end.method, &other.method) && end.raw.contains(&other.raw)
}

/// Operations of the old version by the requests that they sent.
struct Senders<'e> {
    operations: &'e [OutboundOperation<'e>],
    index: Index<'e>,
    /// Listeners and destinations (host, method, path).
    sent: FxHashSet<(&'e str, [&'e str; 3])>,
    /// Indices of operations by the path and method of client requests.
    mappings: FxHashMap<(String, &'e str), Vec<usize>>,
    sends: &'e (dyn Fn(usize) -> bool + Sync),
}

impl<'e> Senders<'e> {
    fn of(outbound: &'e Outbound<'e>, sends: &'e (dyn Fn(usize) -> bool + Sync)) -> Self {
        let mut sent = FxHashSet::default();
        let mut mappings: FxHashMap<(String, &str), Vec<usize>> = FxHashMap::default();
        for (at, operation) in outbound.0.iter().enumerate() {
            let place = operation.place;
            let mapping = (place.inbound(), place.method);
            mappings.entry(mapping).or_default().push(at);
            let is_sent = |end: &&End| end.sent == Sent::Requests && sends(at);
            for end in operation.ends.iter().filter(is_sent) {
                let listeners = place.mount.listeners.iter();
                sent.extend(listeners.map(|listener| (listener.as_str(), end.key())));
            }
        }
        Self {
            operations: &outbound.0,
            index: outbound.index(|_| true),
            sent,
            mappings,
            sends,
        }
    }

    /// Destinations of operations that sent requests which the upstream may read as requests to
    /// `end`.
    fn near(
        &self,
        end: &End,
        allowance: &mut Allowance,
    ) -> Result<Vec<(usize, &'e End)>, Exceeded> {
        let mut near = allowance.near(end, &self.index)?;
        near.retain(|(at, its)| {
            let mut readings = end.readings.iter();
            its.sent == Sent::Requests
                && (self.sends)(*at)
                && methods_meet(&end.method, &its.method)
                && readings.any(|own| its.readings.iter().any(|its| own.overlaps(its)))
        });
        Ok(near)
    }

    /// Divides the requests to `end` by the operations that sent them. Returns the operations that
    /// sent all requests, and each part with all operations that sent it.
    fn parts<'n>(
        &self,
        (place, end): (&Place<'_>, &'n End),
        near: &[(usize, &'n End)],
    ) -> (Vec<usize>, Vec<Part<'n>>) {
        let mut whole = Vec::new();
        let mut parts: BTreeMap<[&str; 3], Part<'_>> = BTreeMap::new();
        for (at, its) in near.iter().copied() {
            match contains(its, end) {
                true if end.has_same_path_mapping(its) && self.is_separated(at, place) => {}
                true => whole.push(at),
                false => {
                    let part = parts.entry(its.key()).or_insert((its, Vec::new()));
                    part.1.push(at);
                }
            }
        }
        let mut parts: Vec<Part<'_>> = parts.into_values().collect();
        for (_, before) in &mut parts {
            before.extend(&whole);
        }
        if !whole.is_empty() {
            parts.push((end, whole.clone()));
        }
        (whole, parts)
    }

    /// True if another old operation received the client requests of a new operation, so that the
    /// router did not select the old operation at index `at` for them.
    fn is_separated(&self, at: usize, place: &Place<'_>) -> bool {
        let mount = self.operations[at].place.mount;
        let mapping = (place.inbound(), place.method);
        let mut others = self.mappings.get(&mapping).into_iter().flatten();
        others.any(|other| {
            let beside = self.operations[*other].place.mount;
            let mut shared = beside.listeners.iter();
            *other != at
                && beside.hosts == mount.hosts
                && shared.any(|name| mount.listeners.contains(name))
        })
    }

    fn is_at(&self, at: usize, listener: &str) -> bool {
        let mut names = self.operations[at].place.mount.listeners.iter();
        names.any(|name| name == listener)
    }
}
