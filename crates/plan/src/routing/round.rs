//! Requests to upstreams that more callers can cause after a change
//! ([`model::outbound::openings`]). Such a change lets an operation reach the upstream path of
//! another operation with stricter access, or replace such an operation. The module also reports
//! operations whose access changed and that serve none of their old requests.

mod identity;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use bundle::digest::Digest;
use bundle::ir;
use model::outbound::{Extent, Opening, Outbound, Side, of_gateway, openings, renamed_upstreams};
use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::Value;

use self::identity::{Identities, Identity};
use crate::details::{ApiSide, Line, OperationAt, are_compared, of_cell};
use crate::pairs::reference;
use crate::security::{
    Access, Difference, Verdict, defined, differences, differences_of_callers,
    differences_of_checks, policies, schemas,
};
use crate::{Change, Class, Plan, Section};

/// Reason for a missing witness of a bypass.
const UNKNOWN: &str = "no example: gwc cannot know which resource the upstream serves at this path";

/// Reason for a missing witness of an operation that was not compared.
const TOO_MANY: &str = "no example: gwc stopped comparing paths at its limit";

/// Reason for a missing witness of weaker access to the same request to an upstream.
const OTHER_REQUEST: &str = "no single example: the upstream receives the same request as before, but clients now send a different request for it";

/// Reason for a missing witness of the access to an operation that moved.
const MOVED: &str =
    "no single example: clients now send other requests to the operation than before";

/// Ids of the lines about requests that no operation served on the old side.
const NEWLY_SERVED: [&str; 3] = ["operation-added", "requests-added", "operation-exposed"];

/// Maximum number of operations of the old side that a line names after `before:`.
const NAMED_MAX: usize = 3;

/// Old operation and its successor: the new operation that sends the same requests to the upstream.
pub(crate) type Successor<'a> = (OperationAt<'a>, OperationAt<'a>);

/// Reports the requests to upstreams that more callers can cause on the new side. Returns the
/// operations that replace other operations at their upstream. `kept`: keys of the operations that
/// serve some of the same requests on both sides.
pub(crate) fn compare<'a>(
    old: &'a ir::Gateway,
    new: &'a ir::Gateway,
    kept: &FxHashSet<&str>,
    plan: &mut Plan,
) -> Vec<Successor<'a>> {
    if is_unchanged(old, new) {
        return Vec::new();
    }
    let (sides, places) = ([old, new], [of_gateway(old), of_gateway(new)]);
    let [was, is] = places
        .each_ref()
        .map(|(shared, places)| Outbound::of(shared, places));
    let is = is.with_inherited(&was);
    let renamed = renamed_upstreams(places.each_ref().map(|(_, places)| &**places));
    let renewed = places[0].0.with_targets_of(&places[1].0, &renamed);
    let renewed = renewed
        .as_ref()
        .map(|shared| Outbound::of(shared, &places[0].1));
    let accesses = Accesses::new(sides, [&was, &is]);
    let is_within = |extent, operation, other| accesses.is_within(extent, operation, other);
    let mut found = openings((&was, renewed.as_ref()), &is, &is_within);
    let moved = accesses.moved_pairs(kept, plan);
    accesses.leave_out_moved(&moved, &mut found.all);
    plan.notes.extend(found.not_compared.gap());
    accesses.not_compared(&found.not_compared.keys().collect(), plan);
    accesses.bypasses(&found.all, plan);
    let successors = accesses.successors(&found.all, plan);
    accesses.moved(&moved, plan);
    successors
}

/// True if both sides send the same requests to upstreams, for the same callers.
fn is_unchanged(old: &ir::Gateway, new: &ir::Gateway) -> bool {
    let shared = (&old.shared, &new.shared);
    let has_same_apis = old.apis.iter().zip(&new.apis).all(|(was, is)| {
        was.name == is.name
            && was.mounts == is.mounts
            && was.operations == is.operations
            && was.hidden == is.hidden
            && was.treatments == is.treatments
            && was.schemes == is.schemes
            && was.policies == is.policies
            && was.messages == is.messages
    });
    old.apis.iter().count() == new.apis.iter().count()
        && has_same_apis
        && shared.0.listeners == shared.1.listeners
        && shared.0.upstreams == shared.1.upstreams
        && have_same_callers(old, new)
}

/// True if names of verifiers, policies and consumers have the same meaning on both sides.
fn have_same_callers(old: &ir::Gateway, new: &ir::Gateway) -> bool {
    let (was, is) = (&old.shared, &new.shared);
    was.policies == is.policies && was.auth == is.auth && was.consumers == is.consumers
}

/// Key of a comparison of two operations: its extent, true if [`are_compared`] is false for the
/// operations, and the identities of both accesses.
type Compared<'a> = (Extent, bool, [Identity<'a>; 2]);

/// Operations of both sides at their mounts, in the order of [`of_gateway`], and comparisons of
/// their access. Each pair of treatments is compared once.
struct Accesses<'a, 'o> {
    gateways: [&'a ir::Gateway; 2],
    identities: [ir::IdentityFields; 2],
    outbound: [&'o Outbound<'o>; 2],
    places: [Vec<OperationAt<'a>>; 2],
    /// True if names of verifiers, policies and consumers have the same meaning on both sides.
    /// Equal treatments of APIs with equal definitions then give equal access.
    have_same_callers: bool,
    identify: Identities,
    known: Mutex<FxHashMap<Compared<'a>, bool>>,
}

impl<'a, 'o> Accesses<'a, 'o> {
    fn new(gateways: [&'a ir::Gateway; 2], outbound: [&'o Outbound<'o>; 2]) -> Self {
        let places = |gateway: &'a ir::Gateway| {
            let mut places = Vec::new();
            for api in &gateway.apis {
                for mount in &api.mounts {
                    places.extend(api.operations.iter().map(|operation| OperationAt {
                        api,
                        mount,
                        operation,
                    }));
                }
            }
            places
        };
        Self {
            gateways,
            identify: Identities::of(gateways),
            identities: gateways.map(ir::IdentityFields::of_gateway),
            outbound,
            places: gateways.map(places),
            have_same_callers: have_same_callers(gateways[0], gateways[1]),
            known: Mutex::default(),
        }
    }

    fn at(&self, side: Side, at: usize) -> OperationAt<'a> {
        self.places[number(side)][at]
    }

    /// Access to an operation of `side`, and to an operation of the new side. If the second
    /// operation has a listener that the first one does not have, its access is that at this
    /// listener. Otherwise both accesses are at the same listener.
    fn accesses(
        &self,
        (side, before): (Side, OperationAt<'a>),
        after: OperationAt<'a>,
    ) -> [Access<'_>; 2] {
        let known = &before.mount.listeners;
        let mut further = after.mount.listeners.iter();
        let listeners = match further.find(|listener| !known.contains(listener)) {
            Some(further) => [known.first(), Some(further)],
            None => [after.mount.listeners.first(); 2],
        };
        let sides = [
            (side, before, listeners[0]),
            (Side::New, after, listeners[1]),
        ];
        sides.map(|(side, one, listener)| {
            Access::of(
                self.gateways[number(side)],
                (one.api, one.mount),
                one.operation,
                listener.map_or("", String::as_str),
                &self.identities[number(side)],
            )
        })
    }

    /// Accesses as in [`Self::accesses`]. If clients send other requests to the second operation,
    /// the access includes the path, host and method of the requests.
    fn accesses_with_requests(
        &self,
        before: (Side, OperationAt<'a>),
        after: OperationAt<'a>,
    ) -> [Access<'_>; 2] {
        let accesses = self.accesses(before, after);
        match has_same_requests(before.1, after) {
            true => accesses,
            false => accesses.map(Access::with_requests),
        }
    }

    /// True if the operation at index `operation` of the new side gives no more access than the
    /// operation at index `other` of `side`.
    fn is_within(&self, extent: Extent, operation: usize, (side, other): (Side, usize)) -> bool {
        let needs_certificate = self.outbound[number(side)].requires_certificate(other);
        if needs_certificate && !self.outbound[1].requires_certificate(operation) {
            return false;
        }
        let (before, after) = (self.at(side, other), self.at(Side::New, operation));
        let has_same_names = side == Side::New || self.have_same_callers;
        if has_same_names && is_same(before, after) {
            return true;
        }
        let is_other_request = !has_same_requests(before, after);
        let identities = [before, after].map(|one| self.identify.operation(one, is_other_request));
        // If `are_compared` is true, another comparison covers the limits and settings of the two
        // operations.
        let is_other = !are_compared((before.api, before.operation), (after.api, after.operation));
        let key = (extent, is_other, identities);
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(is_within) = known().get(&key) {
            return *is_within;
        }
        let [was, is] = self.accesses_with_requests((side, before), after);
        let opens = |found: &[Difference]| found.iter().any(opens);
        let is_within = match extent {
            Extent::Callers => !opens(&differences_of_callers(&was, &is)),
            Extent::Checks => {
                !opens(&differences_of_checks(&was, &is))
                    && unchecked(&was, &is).iter().all(is_in_path)
                    && !self
                        .looser((side, before), after)
                        .iter()
                        .any(is_looser_check)
            }
            Extent::Access => {
                !opens(&differences(&was, &is))
                    && unchecked(&was, &is).is_empty()
                    && (!is_other || self.looser((side, before), after).is_empty())
            }
        };
        known().insert(key, is_within);
        is_within
    }

    /// Reports operations of the new side that newly reach the upstream path of another operation
    /// with stricter access. Each reported operation has one line.
    fn bypasses(&self, openings: &[Opening], plan: &mut Plan) {
        let mut of_operation: BTreeMap<&str, Vec<&Opening>> = BTreeMap::new();
        for opening in openings.iter().filter(|one| !one.beside.is_empty()) {
            let key = &self.at(Side::New, opening.operation).operation.key;
            of_operation.entry(key).or_default().push(opening);
        }
        for openings in of_operation.into_values() {
            let one = self.at(Side::New, openings[0].operation);
            let protected = openings.iter().flat_map(|one| &one.beside);
            let protected: Vec<&str> = self.keys(Side::New, protected);
            let reached: BTreeSet<&str> = openings.iter().map(|one| one.reached.as_str()).collect();
            let (Some(first), Some(reached_first)) = (protected.first(), reached.first()) else {
                continue;
            };
            let others = match protected.len() {
                1 => (*first).to_owned(),
                all => format!("{first} and {} more", all - 1),
            };
            let mut change = Change::new(
                Section::Security,
                Class::Weaken,
                "way-round-added",
                "way round",
                Value::Null,
                format!("{reached_first} is the path of {others}").into(),
            );
            change.why_none = Some(UNKNOWN);
            // Fingerprint the paths and the treatment, so that an acknowledgement covers exactly
            // these.
            change.bound = format!(
                "{}; {}; {}",
                protected.join(" "),
                Vec::from_iter(reached).join(" "),
                digest(one)
            );
            plan.changes
                .push(change.of(reference(one.api, one.operation)));
        }
    }

    /// Reports operations that replace an operation with stricter access at its upstream. Returns
    /// both operations of each pair.
    fn successors(&self, openings: &[Opening], plan: &mut Plan) -> Vec<Successor<'a>> {
        let mut lines: Vec<Change> = Vec::new();
        let mut pairs = Vec::new();
        for opening in openings {
            let Some(first) = opening.before.first() else {
                continue;
            };
            let (before, after) = (
                self.at(Side::Old, *first),
                self.at(Side::New, opening.operation),
            );
            pairs.push((before, after));
            let keys = self.keys(Side::Old, &opening.before);
            let named = keys.iter().take(NAMED_MAX).copied().collect::<Vec<_>>();
            let more = match keys.len().saturating_sub(NAMED_MAX) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let reached = format!("of {}, before: {}{more}", opening.reached, named.join(", "));
            let bound = format!("{}; {}; {}", keys.join(" "), digest(before), digest(after));
            for mut change in self.lines((*first, opening.operation)) {
                change.subject = format!("{} {reached}", change.subject);
                change.bound.push_str(&bound);
                change.why_none = Some(OTHER_REQUEST);
                let change = change.of(reference(after.api, after.operation));
                let is_known = |line: &Change| {
                    (line.id, &line.subject, &line.operations)
                        == (change.id, &change.subject, &change.operations)
                        && (&line.old, &line.new) == (&change.old, &change.new)
                };
                if !lines.iter().any(is_known) {
                    lines.push(change);
                }
            }
        }
        plan.changes.extend(lines);
        pairs
    }

    /// Lines for the differences between an old operation and its successor by which the successor
    /// admits more.
    fn lines(&self, (was_at, is_at): (usize, usize)) -> Vec<Change> {
        let (before, after) = (self.at(Side::Old, was_at), self.at(Side::New, is_at));
        let [was, is] = self.accesses_with_requests((Side::Old, before), after);
        let found = differences(&was, &is).into_iter().filter(opens);
        let mut lines: Vec<Change> = found.map(line).collect();
        lines.extend(unchecked(&was, &is));
        lines.extend(self.lost_certificate(was_at, is_at));
        let known = are_compared((before.api, before.operation), (after.api, after.operation));
        if !known {
            let looser = self.looser((Side::Old, before), after).into_iter();
            lines.extend(looser.map(|line| {
                let section = line.section();
                Change::new(
                    section,
                    line.class,
                    line.id,
                    line.subject,
                    line.old,
                    line.new,
                )
            }));
        }
        lines
    }

    /// Line about a client certificate that only the old operation requires.
    fn lost_certificate(&self, was_at: usize, is_at: usize) -> Option<Change> {
        let [was, is] = self.outbound;
        let is_lost = was.requires_certificate(was_at) && !is.requires_certificate(is_at);
        is_lost.then(|| {
            Change::new(
                Section::Security,
                Class::Weaken,
                "client-auth-changed",
                "client certificate",
                "required".into(),
                "not required".into(),
            )
        })
    }

    /// Reports changed access to operations with the same key on both sides that serve none of
    /// their old requests any more ([`Self::moved_pairs`]). [`Self::successors`] compares the
    /// operations that send upstream the same requests as an old operation.
    fn moved(&self, pairs: &[(usize, usize)], plan: &mut Plan) {
        let mut known: FxHashMap<[Identity<'_>; 2], Vec<Change>> = FxHashMap::default();
        for (was_at, is_at) in pairs.iter().copied() {
            let sides = [(Side::Old, was_at), (Side::New, is_at)];
            let [before, after] = sides.map(|(side, at)| self.at(side, at));
            let key = [before, after].map(|one| self.identify.operation(one, false));
            let lines = known
                .entry(key)
                .or_insert_with(|| self.lines_of_moved((was_at, is_at)));
            plan.changes.extend(
                lines
                    .iter()
                    .map(|line| line.clone().of(reference(after.api, after.operation))),
            );
        }
    }

    /// Removes the old versions of moved operations ([`Self::moved_pairs`]) from the openings by
    /// the names of upstreams, because [`Self::moved`] compares them.
    fn leave_out_moved(&self, pairs: &[(usize, usize)], openings: &mut [Opening]) {
        let moved: FxHashSet<usize> = pairs.iter().map(|(_, is)| *is).collect();
        let is_moved = |one: &&mut Opening| one.by_name && moved.contains(&one.operation);
        for opening in openings.iter_mut().filter(is_moved) {
            let after = self.at(Side::New, opening.operation);
            opening.before.retain(|at| {
                let before = self.at(Side::Old, *at);
                api_and_key(&before) != api_and_key(&after)
            });
        }
    }

    /// Indices of operations with the same key on both sides that serve none of their old requests
    /// any more. They serve requests that no operation served before. Leaves out operations whose
    /// requests to upstreams are all requests that the old side sent.
    fn moved_pairs(&self, kept: &FxHashSet<&str>, plan: &Plan) -> Vec<(usize, usize)> {
        let new_lines = plan.changes.iter();
        let new_lines = new_lines.filter(|change| NEWLY_SERVED.contains(&change.id));
        let keys = new_lines.filter_map(|change| Some(change.operation.as_ref()?.key.as_str()));
        let moved: FxHashSet<&str> = keys.filter(|key| !kept.contains(key)).collect();
        if moved.is_empty() {
            return Vec::new();
        }
        let is_moved = |side: Side, at: usize, one: &OperationAt<'_>| {
            moved.contains(one.operation.key.as_str())
                && one.operation.owns.is_described()
                && !self.outbound[number(side)].sends_nothing(at)
        };
        let mut before: FxHashMap<(&str, &str), Vec<usize>> = FxHashMap::default();
        for (at, one) in self.places[0].iter().enumerate() {
            if is_moved(Side::Old, at, one) {
                before.entry(api_and_key(one)).or_default().push(at);
            }
        }
        let mut pairs = Vec::new();
        for (at, one) in self.places[1].iter().enumerate() {
            let Some(olds) = before.get(&api_and_key(one)) else {
                continue;
            };
            // Mounts are paired by name. A new mount is compared with the first old one.
            let has_same_mount =
                |was: &&usize| self.at(Side::Old, **was).mount.name == one.mount.name;
            let was = olds.iter().find(has_same_mount).or(olds.first());
            let was = was.filter(|_| is_moved(Side::New, at, one));
            pairs.extend(was.map(|was| (*was, at)));
        }
        if pairs.is_empty() {
            return pairs;
        }
        let [was, is] = self.outbound;
        let olds = 0..self.places[0].len();
        let reached: FxHashSet<String> = olds.flat_map(|at| was.reached(at)).collect();
        pairs.retain(|(_, at)| !is.reached(*at).all(|one| reached.contains(&one)));
        pairs
    }

    /// Lines for all differences in access between an operation and its old version. The caller
    /// adds the operation to the lines.
    fn lines_of_moved(&self, (was_at, is_at): (usize, usize)) -> Vec<Change> {
        let (before, after) = (self.at(Side::Old, was_at), self.at(Side::New, is_at));
        let [was, is] = self.accesses((Side::Old, before), after);
        let found = differences(&was, &is).into_iter();
        let found = found.filter(|one| one.class.is_none() && one.verdict != Verdict::Equal);
        let mut lines: Vec<Change> = found.map(line).collect();
        let unchecked = unchecked(&was, &is).into_iter();
        lines.extend(unchecked.filter(|line| !is_in_path(line)));
        lines.extend(self.lost_certificate(was_at, is_at));
        let bound = format!("; {}; {}", digest(before), digest(after));
        for line in &mut lines {
            line.subject.push_str(" of the moved operation");
            line.bound.push_str(&bound);
            line.why_none = Some(MOVED);
        }
        lines
    }

    /// Limits and settings by which an operation of the new side admits or discloses more than
    /// another operation.
    fn looser(&self, (side, before): (Side, OperationAt<'a>), after: OperationAt<'a>) -> Vec<Line> {
        let of = |side: Side, one: OperationAt<'a>| {
            let of = ApiSide {
                api: one.api,
                shared: &self.gateways[number(side)].shared,
            };
            (of, treatment(one))
        };
        let mut lines = of_cell(of(side, before), of(Side::New, after));
        // The parameters of the two paths can have different names. Only one path may have a
        // setting of a path parameter. This is no difference if the other path has the setting for
        // a parameter with a different name.
        let is_of_path = |line: &Line| line.subject.starts_with("parameters.path.");
        let setting = |line: &Line| {
            let name = line.subject.rsplit('.').next();
            name.unwrap_or_default().to_owned()
        };
        let gained = lines.iter();
        let gained = gained.filter(|line| line.class == Class::Strengthen && is_of_path(line));
        let gained = gained.map(|one| (setting(one), one.new.clone(), one.old.clone()));
        let mut gained: Vec<(String, Value, Value)> = gained.collect();
        lines.retain(|line| match line.class {
            Class::Relax => true,
            Class::Weaken if is_of_path(line) && (line.old.is_null() || line.new.is_null()) => {
                let own = (setting(line), line.old.clone(), line.new.clone());
                let at = gained.iter().position(|one| *one == own);
                at.map(|at| gained.swap_remove(at)).is_none()
            }
            Class::Weaken => true,
            _ => false,
        });
        lines
    }

    /// Reports the changed operations among these keys. The upstream paths of these operations were
    /// not compared, so an operation may reach the upstream path of another operation with stricter
    /// access.
    fn not_compared(&self, keys: &BTreeSet<&str>, plan: &mut Plan) {
        let mut before: FxHashMap<&str, Vec<OperationAt<'a>>> = FxHashMap::default();
        for one in &self.places[0] {
            let key = one.operation.key.as_str();
            if keys.contains(key) {
                before.entry(key).or_default().push(*one);
            }
        }
        let mut reported = BTreeSet::new();
        for one in &self.places[1] {
            let key = one.operation.key.as_str();
            let earlier = before.get(key).map_or(&[][..], Vec::as_slice);
            let mut earlier = earlier.iter();
            let is_kept = self.have_same_callers
                && earlier.any(|was| {
                    was.operation == one.operation
                        && is_same(*was, *one)
                        && self.destinations(Side::Old, *was) == self.destinations(Side::New, *one)
                });
            if !keys.contains(key) || is_kept || !reported.insert(key) {
                continue;
            }
            let mut change = Change::new(
                Section::Security,
                Class::Incomparable,
                "way-round-not-compared",
                "way round",
                Value::Null,
                "not compared".into(),
            );
            change.why_none = Some(TOO_MANY);
            change.bound = format!("{:?} {}", plan.old.map(|old| old.to_string()), plan.new);
            plan.changes
                .push(change.of(reference(one.api, one.operation)));
        }
    }

    /// Digest of the upstreams to which an operation sends requests.
    fn destinations(&self, side: Side, one: OperationAt<'a>) -> String {
        let gateway = self.gateways[number(side)];
        let treatment = treatment(one);
        let chain = policies(gateway, one.api, treatment);
        let names = chain.flat_map(|policy| policy.checked.upstreams());
        let own = std::iter::once(treatment.upstream.as_str());
        let names = own.chain(treatment.forwarding.upstreams()).chain(names);
        defined(&gateway.shared, names)
    }

    /// Keys of operations, each once.
    fn keys<'i>(&self, side: Side, all: impl IntoIterator<Item = &'i usize>) -> Vec<&'a str> {
        let mut keys: Vec<&str> = Vec::new();
        for at in all {
            let key: &'a str = &self.at(side, *at).operation.key;
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys
    }
}

/// Line about a difference in access, without its operation.
fn line(one: Difference) -> Change {
    let class = match one.verdict {
        Verdict::Incomparable => Class::Incomparable,
        Verdict::Strengthen => Class::Strengthen,
        Verdict::Weaken | Verdict::Equal => Class::Weaken,
    };
    let section = Section::Security;
    let mut change = Change::new(section, class, one.id, one.subject, one.old, one.new);
    change.bound = one.bound;
    change
}

fn api_and_key<'a>(one: &OperationAt<'a>) -> (&'a str, &'a str) {
    (&one.api.name, &one.operation.key)
}

fn number(side: Side) -> usize {
    match side {
        Side::Old => 0,
        Side::New => 1,
    }
}

fn treatment(one: OperationAt<'_>) -> &ir::Treatment {
    &one.api.treatments[one.operation.treatment as usize]
}

/// True if clients send the same requests to two operations.
fn has_same_requests(before: OperationAt<'_>, after: OperationAt<'_>) -> bool {
    before.operation.method == after.operation.method
        && before.operation.template == after.operation.template
        && before.mount.base_path == after.mount.base_path
        && before.mount.hosts == after.mount.hosts
}

/// True if two operations of APIs with equal definitions have the same access, if the names of
/// shared definitions have the same meaning for both.
fn is_same(before: OperationAt<'_>, after: OperationAt<'_>) -> bool {
    before.operation.key == after.operation.key
        && has_same_requests(before, after)
        && before.mount == after.mount
        && treatment(before) == treatment(after)
        && before.api.schemes == after.api.schemes
        && before.api.policies == after.api.policies
        && before.api.messages == after.api.messages
}

/// Lines about messages that the new operation accepts and the old operation refuses.
fn unchecked(old: &Access<'_>, new: &Access<'_>) -> Vec<Change> {
    let Some(enforced) = schemas::enforced(old, new) else {
        return Vec::new();
    };
    let lines = enforced.lines().into_iter().map(|(line, _)| line);
    let wider = lines.filter(|line| {
        let classes = [Class::Weaken, Class::Incomparable, Class::Relax];
        classes.contains(&line.class)
    });
    wider
        .map(|line| {
            Change::new(
                line.section,
                line.class,
                line.id,
                line.subject,
                line.old,
                line.new,
            )
        })
        .collect()
}

/// True if a line is about a path parameter. The path templates of two operations need not have the
/// same parameters.
fn is_in_path(line: &Change) -> bool {
    line.subject.starts_with("parameter path ")
}

/// True if a line is about a looser limit of requests or of their bodies.
fn is_looser_check(line: &Line) -> bool {
    let is_of_check = matches!(line.id, "max-body-changed" | "policies-changed")
        || line.subject.starts_with("policies ");
    is_of_check && line.class == Class::Relax
}

fn opens(difference: &Difference) -> bool {
    let is_access = difference.class.is_none();
    is_access && matches!(difference.verdict, Verdict::Weaken | Verdict::Incomparable)
}

/// Digest of the treatment (effective settings) of an operation.
fn digest(one: OperationAt<'_>) -> Digest {
    Digest::of(&bundle::codec::encode(treatment(one)))
}
