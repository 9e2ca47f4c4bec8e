//! Limits that count requests of several operations with one counter. If one counter is split into
//! several, the limit admits more requests. If several counters are joined, the limit admits fewer.
//!
//! The comparison is by cells of requests (see [`crate::routing`]), so that a new name of an
//! operation, API or policy cannot hide a change.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use bundle::ir::{self, Link};
use policy::StateId;
use policy::declared::Value as Written;
use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::Value;

use super::line::Line;
use super::operations::settings;
use super::restart;
use super::shown::policy_value;
use crate::pairs::reference;
use crate::{Change, Class, Plan, Section};

/// Kinds of policies that have a counter.
const COUNTS: [&str; 3] = ["rate_limit", "quota", "concurrency"];

/// Operation, with its API and mount.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OperationAt<'a> {
    pub(crate) api: &'a ir::Api,
    pub(crate) mount: &'a ir::Mount,
    pub(crate) operation: &'a ir::Operation,
}

/// Cells of requests that both sides serve. A cell is a set of requests that one operation handles
/// on the old side and one operation on the new side.
#[derive(Debug)]
pub(crate) struct Cells<'a> {
    gateways: [&'a ir::Gateway; 2],
    known: FxHashSet<[usize; 4]>,
    cells: Vec<[OperationAt<'a>; 2]>,
}

/// Counter of a policy on one side.
struct Counter<'a> {
    policy: &'a ir::Policy,
    /// Name of the policy, with its API if a document defines it.
    name: String,
    /// Name of the policy for display, with its API if a document defines it, and with the
    /// operation if each operation has a counter.
    label: String,
    /// Id of the route (`KEY@MOUNT`), if each route has a counter. Otherwise empty.
    route: String,
    /// Indices of the cells whose requests the counter counts.
    cells: Vec<usize>,
}

/// Counters on one side, and for each cell of requests the counters that count it.
struct Counters<'a> {
    all: Vec<Counter<'a>>,
    of_cell: Vec<Vec<usize>>,
}

impl<'a> Cells<'a> {
    /// Creates an empty set of cells of two gateways. `None` if a side has no policy with a
    /// counter.
    pub(crate) fn new(old: &'a ir::Gateway, new: &'a ir::Gateway) -> Option<Self> {
        let counts = |gateway: &ir::Gateway| {
            let own = gateway.apis.iter().flat_map(|api| &api.policies);
            let mut all = gateway.shared.policies.iter().chain(own);
            all.any(is_enforced)
        };
        (counts(old) && counts(new)).then(|| Self {
            gateways: [old, new],
            known: FxHashSet::default(),
            cells: Vec::new(),
        })
    }

    /// Adds a cell: requests that `old` served and `new` serves.
    pub(crate) fn add(&mut self, old: OperationAt<'a>, new: OperationAt<'a>) {
        let address = |one: OperationAt<'_>| {
            let mount = std::ptr::from_ref(one.mount) as usize;
            [std::ptr::from_ref(one.operation) as usize, mount]
        };
        let ([a, b], [c, d]) = (address(old), address(new));
        if self.known.insert([a, b, c, d]) {
            self.cells.push([old, new]);
        }
    }

    /// Reports counters that are split, joined or restarted.
    pub(crate) fn compare(&self, plan: &mut Plan) {
        let [was, is] = [0, 1].map(|side| self.counters(side));
        for (index, counter) in was.all.iter().enumerate() {
            for (cell, successor) in was.uncounted_cells(index, &is) {
                let labels = (&*counter.label, successor);
                self.push((Class::Relax, "limit-split"), labels, cell, plan);
            }
        }
        let mut restarted = BTreeSet::new();
        for (index, counter) in was.all.iter().enumerate() {
            let successors = was.candidates(index, &is);
            let successors: BTreeSet<usize> =
                successors.into_iter().flat_map(|(_, all)| all).collect();
            let successors: Vec<&Counter<'_>> =
                successors.into_iter().map(|at| &is.all[at]).collect();
            let same_route = |successor: &Counter<'_>| successor.route == counter.route;
            let is_known = successors.iter().any(|successor| {
                successor.policy.state == counter.policy.state && same_route(successor)
            });
            // Policies with the same name are compared where they are defined.
            let other = successors
                .into_iter()
                .filter(|successor| successor.name != counter.name || !same_route(successor));
            let class = |successor: &Counter<'_>| restart::class(&successor.policy.checked);
            for successor in other.filter(|_| !is_known && !is_concurrency(counter)) {
                if restarted.insert((&counter.name, &successor.name)) {
                    plan.changes.push(Change::new(
                        Section::Policy,
                        class(successor),
                        restart::RESTARTED,
                        format!("policy {} -> {}", counter.label, successor.label),
                        "its counters".into(),
                        "new counters".into(),
                    ));
                }
            }
        }
        for (index, counter) in is.all.iter().enumerate() {
            for (cell, before) in is.uncounted_cells(index, &was) {
                let labels = (&*before.label, counter);
                self.push((Class::Tighten, "limit-joined"), labels, cell, plan);
            }
        }
    }

    fn push(
        &self,
        (class, id): (Class, &'static str),
        (old, new): (&str, &Counter<'_>),
        cell: usize,
        plan: &mut Plan,
    ) {
        let OperationAt { api, operation, .. } = self.cells[cell][1];
        let new_label = Value::from(new.label.as_str());
        let mut change = Change::new(
            Section::Policy,
            class,
            id,
            "policies",
            old.into(),
            new_label,
        );
        change.bound = policy_value(&new.policy.checked).to_string();
        plan.changes.push(change.of(reference(api, operation)));
    }

    /// Counters on one side, and for each cell of requests the counters that count it.
    fn counters(&self, side: usize) -> Counters<'a> {
        let shared = &self.gateways[side].shared;
        let mut counters = Counters {
            all: Vec::new(),
            of_cell: Vec::new(),
        };
        let mut known: FxHashMap<(StateId, &str, String), usize> = FxHashMap::default();
        for (cell, sides) in self.cells.iter().enumerate() {
            let OperationAt {
                api,
                mount,
                operation,
            } = sides[side];
            let treatment = &api.treatments[operation.treatment as usize];
            let mut own = Vec::new();
            for link in &treatment.chain {
                let (mut label, policy) = match link {
                    Link::Authenticate => continue,
                    Link::Shared(name) => (name.clone(), shared.policies.get(name)),
                    Link::Own(name) => (format!("{}/{name}", api.name), api.policies.get(name)),
                };
                let Some(policy) = policy.filter(|policy| is_enforced(policy)) else {
                    continue;
                };
                let name = label.clone();
                let mut route = String::new();
                if by_route(policy) {
                    route = format!("{}@{}", operation.key, mount.name);
                    label = format!("{label} of {route}");
                }
                let key = (policy.state, policy.checked.kind(), route.clone());
                let index = *known.entry(key).or_insert_with(|| {
                    counters.all.push(Counter {
                        policy,
                        name,
                        label,
                        route,
                        cells: Vec::new(),
                    });
                    counters.all.len() - 1
                });
                if !own.contains(&index) {
                    own.push(index);
                    counters.all[index].cells.push(cell);
                }
            }
            counters.of_cell.push(own);
        }
        counters
    }
}

impl<'a> Counters<'a> {
    /// Cells of the counter at `index`, each with its candidates: counters of the same kind on the
    /// other side that may count the requests of the cell.
    ///
    /// If another counter of the cell on this side has the name of a candidate, the candidate is
    /// the successor of that other counter. The candidate is then accepted only if it is at least
    /// as tight as the counter at `index`. Cells without candidates are left out: another line
    /// reports that such cells have lost their limit.
    fn candidates(&self, index: usize, other: &Self) -> Vec<(usize, Vec<usize>)> {
        let counter = &self.all[index];
        let mut known: FxHashMap<*const ir::Policy, bool> = FxHashMap::default();
        let cells = counter.cells.iter().filter_map(|cell| {
            let may_succeed = |at: &usize| {
                let new = &other.all[*at];
                let mut beside = self.of_cell[*cell].iter().map(|at| &self.all[*at]);
                is_same_kind(counter, new)
                    && (is_same_name(counter, new)
                        || !beside.any(|one| is_same_kind(one, new) && is_same_name(one, new))
                        || *known
                            .entry(std::ptr::from_ref(new.policy))
                            .or_insert_with(|| is_as_tight(counter, new)))
            };
            let all: Vec<usize> = other.of_cell[*cell]
                .iter()
                .copied()
                .filter(may_succeed)
                .collect();
            (!all.is_empty()).then_some((*cell, all))
        });
        cells.collect()
    }

    /// Returns the cells of a counter that its successor on the other side does not count. Each
    /// cell comes with the best candidate that counts its requests. Empty if the successor counts
    /// all cells.
    ///
    /// The successor is the best candidate by these criteria, in this order: the closest match
    /// ([`Closeness`]), not [`looser_candidates`], the most cells, the same name.
    fn uncounted_cells<'o>(&self, index: usize, other: &'o Self) -> Vec<(usize, &'o Counter<'a>)> {
        let counter = &self.all[index];
        let cells = self.candidates(index, other);
        let mut shares: BTreeMap<usize, usize> = BTreeMap::new();
        for at in cells.iter().flat_map(|(_, all)| all) {
            *shares.entry(*at).or_default() += 1;
        }
        let mut ranks: FxHashMap<*const ir::Policy, Closeness> = FxHashMap::default();
        for at in shares.keys() {
            let successor = &other.all[*at];
            let rank = ranks.entry(std::ptr::from_ref(successor.policy));
            rank.or_insert_with(|| Closeness::of(counter, successor));
        }
        let rank = |at: usize| ranks[&std::ptr::from_ref(other.all[at].policy)];
        let looser = looser_candidates(&cells, other, &rank);
        let order = |at: usize| {
            let successor = &other.all[at];
            let is_same = (
                successor.label == counter.label,
                is_same_name(counter, successor),
            );
            let is_looser = looser.contains(&std::ptr::from_ref(successor.policy));
            (rank(at), !is_looser, shares[&at], is_same, Reverse(at))
        };
        let Some(kept) = shares.keys().copied().max_by_key(|at| order(*at)) else {
            return Vec::new();
        };
        let left = cells.iter().filter(|(_, all)| !all.contains(&kept));
        let left = left.filter_map(|(cell, all)| {
            let successor = all.iter().copied().max_by_key(|at| order(*at))?;
            Some((*cell, &other.all[successor]))
        });
        left.collect()
    }
}

/// Degree to which a counter of the other side can replace a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Closeness {
    /// Counts other callers.
    OtherCallers,
    /// Counts the same callers with a looser limit.
    SameCallers,
    /// The counter is at least as tight for the same callers. Or both policies have the same name:
    /// the comparison of policies reports their changed settings.
    Equal,
}

impl Closeness {
    fn of(counter: &Counter<'_>, successor: &Counter<'_>) -> Self {
        if is_same_name(counter, successor) || is_as_tight(counter, successor) {
            return Self::Equal;
        }
        match counts_same_callers(counter, successor) {
            true => Self::SameCallers,
            false => Self::OtherCallers,
        }
    }
}

/// Candidates that are looser than another candidate of the same cell with the same closeness. Does
/// not compare policies of [`Closeness::Equal`].
fn looser_candidates(
    cells: &[(usize, Vec<usize>)],
    other: &Counters<'_>,
    rank: &impl Fn(usize) -> Closeness,
) -> FxHashSet<*const ir::Policy> {
    let address = |at: usize| std::ptr::from_ref(other.all[at].policy);
    let mut known = FxHashSet::default();
    let mut looser = FxHashSet::default();
    for (_, all) in cells {
        for (one, by) in all.iter().flat_map(|one| all.iter().map(|by| (*one, *by))) {
            if rank(one) == Closeness::Equal
                || rank(one) != rank(by)
                || address(one) == address(by)
                || !known.insert((address(one), address(by)))
            {
                continue;
            }
            let (one, by) = (&other.all[one], &other.all[by]);
            if is_as_tight(one, by) && !is_as_tight(by, one) {
                looser.insert(std::ptr::from_ref(one.policy));
            }
        }
    }
    looser
}

/// True if a policy counts requests and refuses requests beyond its limit.
fn is_enforced(policy: &ir::Policy) -> bool {
    let checked = &policy.checked;
    COUNTS.contains(&checked.kind()) && checked.settings().text(&["mode"]) != Some("log")
}

/// True if a policy has a counter for each operation.
fn by_route(policy: &ir::Policy) -> bool {
    let settings = policy.checked.settings();
    let keys = settings.texts(&["key"]).unwrap_or_default();
    keys.contains(&"route")
}

/// True if the counter belongs to a `concurrency` policy. Such a counter counts only requests in
/// progress.
fn is_concurrency(counter: &Counter<'_>) -> bool {
    counter.policy.checked.kind() == "concurrency"
}

fn is_same_kind(one: &Counter<'_>, other: &Counter<'_>) -> bool {
    one.policy.checked.kind() == other.policy.checked.kind()
}

/// True if both counters belong to policies with the same name. Another comparison covers the
/// settings of such policies.
fn is_same_name(one: &Counter<'_>, other: &Counter<'_>) -> bool {
    one.policy.name == other.policy.name
}

/// True if the new counter is at least as tight as the old one, for the same callers or more.
fn is_as_tight(old: &Counter<'_>, new: &Counter<'_>) -> bool {
    let mut lines: Vec<Line> = Vec::new();
    settings("", &old.policy.checked, &new.policy.checked, &mut lines);
    is_same_kind(old, new)
        && counts_plans(old, new)
        && lines.iter().all(|line| line.class != Class::Relax)
}

/// True if the new counter groups callers as the old one does, and counts the callers of each plan
/// that the old one counts.
fn counts_same_callers(old: &Counter<'_>, new: &Counter<'_>) -> bool {
    let key = |counter: &Counter<'_>| {
        let settings = counter.policy.checked.settings();
        let keys = settings.iter().filter(|one| one.key() == "key");
        keys.map(|one| (one.path.clone(), one.value.clone()))
            .collect::<Vec<_>>()
    };
    key(old) == key(new) && counts_plans(old, new)
}

/// True if the new counter counts the callers of all plans that the old one counts.
fn counts_plans(old: &Counter<'_>, new: &Counter<'_>) -> bool {
    let [was, is] = [old, new].map(|counter| counter.policy.checked.settings());
    match (was.get(&["plans"]), is.get(&["plans"])) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(Written::Set(was)), Some(Written::Set(is))) => {
            was.iter().all(|plan| is.contains(plan))
        }
        (Some(was), Some(is)) => was == is,
    }
}
