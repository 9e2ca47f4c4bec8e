//! Openings: requests to upstreams that a change opens to further callers. These callers could not
//! reach the host, method and path through the old gateway, but can through the new one.
//!
//! The comparison of routes covers requests of clients. An operation can move to another path,
//! method, host or listener and still send the same requests to its upstream. For clients, it is
//! then a new operation. Only a comparison of the requests that upstreams receive shows that access
//! became weaker.

use std::collections::BTreeSet;

use bundle::ir;
use rustc_hash::FxHashMap;

use super::ends::End;
use super::{
    Allowance, Exceeded, Index, NotCompared, Outbound, OutboundOperation, are_routed, is_beside,
    method_contains, reaches, within_limit,
};

/// Version of the gateway to which an operation belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The gateway before the change.
    Old,
    /// The gateway after the change.
    New,
}

/// Part of the access to an operation that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extent {
    /// Callers: credentials, client addresses, claims.
    Callers,
    /// Checks of requests that do not depend on the caller: validation, guards, limits.
    Checks,
    /// Callers, and all checks of their requests.
    Access,
}

/// Operation of the new version that admits more callers to a method, host and path of an upstream,
/// or checks their requests less. Another operation of the new version, or the operations of the
/// old version that reached the same requests, are stricter.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Index of the less strict operation among the operations of the new version.
    pub operation: usize,
    /// Method, host and path at the upstream.
    pub reached: String,
    /// Indices of the operations of the new version that send the same requests to the upstream, but
    /// admit fewer callers or check more.
    pub beside: Vec<usize>,
    /// Indices of the stricter operations of the old version that reached the same requests, the
    /// most similar first. Empty if `beside` has operations.
    pub before: Vec<usize>,
    /// True if only the name of the upstream connects `before` with this operation: the old
    /// upstream of this name had other servers.
    pub by_name: bool,
}

/// All openings of a change.
#[derive(Debug)]
pub struct Openings {
    /// Openings in the order of their operations.
    pub all: Vec<Opening>,
    /// Operations that could not be compared.
    pub not_compared: NotCompared,
}

/// Function that returns true if an operation of the new version gives no more access than another
/// operation. Its arguments are the compared part of access, the index of the operation, and the
/// version and index of the other operation.
type IsWithin<'f> = &'f (dyn Fn(Extent, usize, (Side, usize)) -> bool + Sync);

/// Finds the openings of a change. `is_within` compares the access to an operation of the new
/// version with the access to another operation.
///
/// `renewed`: the operations of the old version whose upstreams have the servers of the new version
/// ([`super::Shared::with_targets_of`]). An upstream with other servers is still the same upstream,
/// so its old operations are compared, too.
#[must_use]
pub fn openings(
    (old, renewed): (&Outbound<'_>, Option<&Outbound<'_>>),
    new: &Outbound<'_>,
    is_within: IsWithin<'_>,
) -> Openings {
    let by_server = Comparison::of((old, new), is_within);
    let by_name = renewed.map(|old| Comparison::of((old, new), is_within));
    let sends = |at: &usize| new.operations[*at].ends.iter().any(End::is_sent);
    let candidates = (0..new.operations.len()).filter(sends);
    let key = |at: usize| new.operations[at].place.key.to_owned();
    let (found, not_compared) = within_limit(candidates.collect(), key, |at, allowance| {
        let mut found = Vec::new();
        let operation = &new.operations[at];
        let ends = operation.ends.iter().chain(&operation.inherited);
        for end in ends.filter(|end| end.is_sent()) {
            let kept = by_server.kept(at, end);
            if by_server.is_any_within(at, &kept) {
                continue;
            }
            let opening = by_server.opening((at, end), &kept, allowance)?;
            let named = match &by_name {
                Some(by_name) => by_name.further_opening((at, end), allowance)?,
                None => None,
            };
            let named = named.and_then(|named| further(named, opening.as_ref()));
            found.extend(opening.into_iter().chain(named));
        }
        Ok(found)
    });
    Openings {
        all: found.into_iter().flat_map(|(_, found)| found).collect(),
        not_compared,
    }
}

/// Opening that compares upstreams by name, without the operations of `known`, the opening that
/// compares upstreams by servers. `None` if no operation is left, or if the opening has stricter
/// operations of the new version.
fn further(mut named: Opening, known: Option<&Opening>) -> Option<Opening> {
    let is_known = |at: &usize| known.is_some_and(|known| known.before.contains(at));
    let is_beside = |one: &Opening| !one.beside.is_empty();
    if is_beside(&named) || known.is_some_and(is_beside) {
        return None;
    }
    named.before.retain(|at| !is_known(at));
    named.by_name = true;
    (!named.before.is_empty()).then_some(named)
}

struct Comparison<'c, 'a> {
    old: &'c Outbound<'a>,
    new: &'c Outbound<'a>,
    /// Destinations of those operations of the new version that have any protection or check.
    guarded: Index<'c>,
    /// Destinations of the old version.
    before: Index<'c>,
    /// Operations of the new version (index and destination), by host, method and path of the
    /// destination.
    reached: FxHashMap<[&'c str; 3], Vec<(usize, &'c End)>>,
    /// Hosts named in mounts of the old version.
    hosts: BTreeSet<&'c str>,
    is_within: IsWithin<'c>,
}

impl<'c, 'a> Comparison<'c, 'a> {
    fn of((old, new): (&'c Outbound<'a>, &'c Outbound<'a>), is_within: IsWithin<'c>) -> Self {
        let mut reached: FxHashMap<[&str; 3], Vec<(usize, &End)>> = FxHashMap::default();
        for (at, operation) in new.operations.iter().enumerate() {
            for end in &operation.ends {
                reached.entry(end.key()).or_default().push((at, end));
            }
        }
        let is_guarded = |operation: &OutboundOperation<'_>| {
            !operation.protection.is_none() || operation.place.has_checks
        };
        let old_operations = old.operations.iter();
        let hosts = old_operations.flat_map(|operation| &operation.place.mount.hosts);
        Self {
            old,
            new,
            guarded: new.index(is_guarded),
            before: old.index(|_| true),
            reached,
            hosts: hosts.map(String::as_str).collect(),
            is_within,
        }
    }

    /// Opening of a destination of the operation at index `at`. `None` if all callers of the
    /// operation could already send the same client requests to this destination.
    fn further_opening(
        &self,
        (at, end): (usize, &End),
        allowance: &mut Allowance,
    ) -> Result<Option<Opening>, Exceeded> {
        let kept = self.kept(at, end);
        match self.is_any_within(at, &kept) {
            true => Ok(None),
            false => self.opening((at, end), &kept, allowance),
        }
    }

    /// Opening of a destination of the operation at index `at`, if there is one. `kept`: operations
    /// of the old version that sent the same client requests to this destination, for fewer
    /// callers.
    fn opening(
        &self,
        (at, end): (usize, &End),
        kept: &[usize],
        allowance: &mut Allowance,
    ) -> Result<Option<Opening>, Exceeded> {
        let beside = self.beside(at, end, allowance)?;
        // Skip client requests that had this destination in the old version, because the
        // comparison of routes covers them.
        let before = match beside.is_empty() && kept.is_empty() {
            true => self.before(at, end, allowance)?,
            false => Vec::new(),
        };
        let extents = match beside.is_empty() {
            true => &[Extent::Access][..],
            false => &[Extent::Callers, Extent::Checks],
        };
        if beside.is_empty() && before.is_empty() || self.was_open(extents, (at, end), allowance)? {
            return Ok(None);
        }
        Ok(Some(Opening {
            operation: at,
            reached: end.reached(),
            beside,
            before,
            by_name: false,
        }))
    }

    /// True if one of the old operations with the indices `olds` admits all callers of the
    /// operation at index `at`.
    fn is_any_within(&self, at: usize, olds: &[usize]) -> bool {
        let mut olds = olds.iter();
        olds.any(|old| self.callers_within(at, (Side::Old, *old)))
    }

    fn callers_within(&self, at: usize, other: (Side, usize)) -> bool {
        (self.is_within)(Extent::Callers, at, other)
    }

    /// Operations of the old version that sent the same client requests to the same destination.
    fn kept(&self, at: usize, end: &End) -> Vec<usize> {
        let operation = &self.new.operations[at];
        let known = self.old.mappings.like(self.new.mappings.get(at));
        let known = known.filter(|at| *at < self.old.operations.len());
        let is_kept = |at: &usize| {
            let old = &self.old.operations[*at];
            let mounts = (operation.place.mount, old.place.mount);
            let mut ends = old.ends.iter();
            (is_beside(mounts.0, mounts.1) || self.had_all_hosts(mounts))
                && ends.any(|its| {
                    its.is_same(end) && its.has_same_captures(end) && its.is_sent_like(end)
                })
        };
        known.filter(is_kept).collect()
    }

    /// True if an operation of the old version served the same client requests, but its rewrite put
    /// other parts of their paths into the destination. The destination then received other
    /// requests.
    fn sends_other_requests(&self, (at, end): (usize, &End), (old, its): (usize, &End)) -> bool {
        let (is, was) = (
            self.new.operations[at].place,
            self.old.operations[old].place,
        );
        is.inbound() == was.inbound() && is.method == was.method && !its.has_same_captures(end)
    }

    /// True if an old mount without hosts served all hosts of a new mount, because no other mount
    /// of the old version named these hosts.
    fn had_all_hosts(&self, (new, old): (&ir::Mount, &ir::Mount)) -> bool {
        let named = |host: &String| self.hosts.contains(host.as_str());
        let mut listeners = new.listeners.iter();
        old.hosts.is_empty()
            && !new.hosts.iter().any(named)
            && listeners.all(|listener| old.listeners.contains(listener))
    }

    /// Operations of the new version with the same destination and stricter access or checks.
    fn beside(
        &self,
        at: usize,
        end: &End,
        allowance: &mut Allowance,
    ) -> Result<Vec<usize>, Exceeded> {
        let operation = &self.new.operations[at];
        let near = allowance.near(end, &self.guarded)?.into_iter();
        let is_stricter = |(other, its): &(usize, &End)| {
            let protected = &self.new.operations[*other];
            protected.place.key != operation.place.key
                && reaches((operation, end), (protected, its))
                && self.is_stricter(at, *other)
        };
        let mut beside: Vec<usize> = near.filter(is_stricter).map(|(other, _)| other).collect();
        beside.dedup();
        Ok(beside)
    }

    /// True if the operation at index `other` of the new version is stricter than the operation at
    /// index `at`: it admits fewer callers or checks their requests more.
    fn is_stricter(&self, at: usize, other: usize) -> bool {
        let (operation, protected) = (&self.new.operations[at], &self.new.operations[other]);
        let admits_more = || {
            !operation.protection.covers(&protected.protection)
                && !self.callers_within(at, (Side::New, other))
        };
        let checks_less = || {
            protected.place.has_checks && !(self.is_within)(Extent::Checks, at, (Side::New, other))
        };
        admits_more() || checks_less()
    }

    /// Operations of the old version with the same destination and stricter access.
    fn before(
        &self,
        at: usize,
        end: &End,
        allowance: &mut Allowance,
    ) -> Result<Vec<usize>, Exceeded> {
        let operation = &self.new.operations[at];
        let near = allowance.near(end, &self.before)?.into_iter();
        let is_stricter = |(other, its): &(usize, &End)| {
            its.is_sent()
                && reaches((operation, end), (&self.old.operations[*other], its))
                && !(self.is_within)(Extent::Access, at, (Side::Old, *other))
                && !self.has_successor((at, end), (*other, its))
        };
        let mut before: Vec<(usize, &End)> = near.filter(is_stricter).collect();
        let order = |(other, its): &(usize, &End)| {
            let is_same = (
                its.is_same(end),
                self.old.operations[*other].place.key == operation.place.key,
            );
            (std::cmp::Reverse(is_same), *other)
        };
        before.sort_by_key(order);
        before.dedup_by_key(|(other, _)| *other);
        Ok(before.into_iter().map(|(other, _)| other).collect())
    }

    /// True if the new version has a successor of the old operation: another operation with the
    /// same destination and no weaker access. The router must decide between the successor and the
    /// operation at index `at`.
    fn has_successor(&self, (at, end): (usize, &End), (old, its): (usize, &End)) -> bool {
        let operation = &self.new.operations[at];
        let all = self.reached.get(&its.key()).into_iter().flatten();
        all.into_iter().any(|(other, other_end)| {
            *other != at
                && other_end.is_sent_like(its)
                && are_routed((operation, end), (&self.new.operations[*other], other_end))
                && self.callers_within(*other, (Side::Old, old))
        })
    }

    /// True if an operation of the old version already gave the callers of the operation at `at`
    /// access to the whole destination. No stricter operation may take precedence over that
    /// operation at the destination.
    fn was_open(
        &self,
        extents: &[Extent],
        (at, end): (usize, &End),
        allowance: &mut Allowance,
    ) -> Result<bool, Exceeded> {
        let near = allowance.near(end, &self.before)?;
        let is_wide = |(other, its): &(usize, &End)| {
            its.is_sent_like(end)
                && !self.sends_other_requests((at, end), (*other, its))
                && !self.old.is_separated((*other, its), end, None)
                && method_contains(&its.method, &end.method)
                && its.raw.contains(&end.raw)
                && extents
                    .iter()
                    .all(|extent| (self.is_within)(*extent, at, (Side::Old, *other)))
        };
        for wide in near.iter().filter(|one| is_wide(one)) {
            let mut is_first = true;
            for (other, its) in &near {
                allowance.take(1)?;
                let old_operation = |at: usize| &self.old.operations[at];
                if are_routed(
                    (old_operation(wide.0), wide.1),
                    (old_operation(*other), its),
                ) && its.raw.overlaps(&end.raw)
                    && !self.callers_within(at, (Side::Old, *other))
                    && !self.has_successor((at, end), (*other, its))
                {
                    is_first = false;
                    break;
                }
            }
            if is_first {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
