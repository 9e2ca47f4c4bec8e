//! Limits that count requests of several operations with one counter. If one counter is split into
//! several, the limit admits more; if counters are joined, it admits less.
//!
//! The comparison is by cells of requests (see [`crate::routing`]), so that a new name of an
//! operation, API or policy cannot hide a change.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir::{self, Link};
use policy::StateId;
use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::Value;

use super::operations::{Line, policy_value, settings};
use super::restart;
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

/// Cells of requests that both sides serve. Each cell has an operation on the old side and one on
/// the new side.
#[derive(Debug)]
pub(crate) struct Cells<'a> {
    gateways: [&'a ir::Gateway; 2],
    known: FxHashSet<[usize; 4]>,
    cells: Vec<[OperationAt<'a>; 2]>,
}

/// Counter on one side.
struct Counter<'a> {
    policy: &'a ir::Policy,
    /// Name of the policy, with its API if a document defines it.
    name: String,
    /// Name of the policy for display, with its API if a document defines it, and with the
    /// operation if each operation has a counter.
    label: String,
    /// Indices of the cells that the counter counts.
    cells: Vec<usize>,
}

/// Counters on one side, and the counters of each cell.
struct Counters<'a> {
    all: Vec<Counter<'a>>,
    of_cell: Vec<Vec<usize>>,
}

impl<'a> Cells<'a> {
    /// Creates an empty set of cells. `None` if a side has no policy with a counter.
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

    /// Adds a cell of requests that `old` served and `new` serves.
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
            let covering = was.covering(index, &is);
            let is_kept = covering.iter().any(|other| {
                is_same_name(counter, &is.all[*other]) || is_as_tight(counter, &is.all[*other])
            });
            // A looser counter that covers all cells is reported with its settings, unless a
            // counter that is as tight as this one takes over some of the cells.
            let mut others = counter.cells.iter().flat_map(|cell| &is.of_cell[*cell]);
            let is_compared = !covering.is_empty()
                && !others.any(|other| {
                    !covering.contains(other) && is_as_tight(counter, &is.all[*other])
                });
            if is_kept || is_compared {
                continue;
            }
            for (cell, heir) in was.heirs(index, &is) {
                let told = (&*counter.label, heir);
                self.push((Class::Relax, "limit-split"), told, cell, plan);
            }
        }
        let mut restarted = BTreeSet::new();
        for (index, counter) in was.all.iter().enumerate() {
            let heirs = was.shares(index, &is).into_iter();
            let heirs: Vec<&Counter<'_>> = heirs.map(|(at, _)| &is.all[at]).collect();
            let mut kept = heirs.iter().map(|heir| heir.policy.state);
            let is_known = kept.any(|state| state == counter.policy.state);
            // Policies with the same name are compared where they are defined.
            let other = heirs.into_iter().filter(|heir| heir.name != counter.name);
            let class = |heir: &Counter<'_>| restart::class(&heir.policy.checked);
            for heir in other.filter(|_| !is_known && !is_concurrency(counter)) {
                if restarted.insert((&counter.name, &heir.name)) {
                    plan.changes.push(Change::new(
                        Section::Policy,
                        class(heir),
                        restart::RESTARTED,
                        format!("policy {} -> {}", counter.name, heir.name),
                        "its counters".into(),
                        "new counters".into(),
                    ));
                }
            }
        }
        for (index, counter) in is.all.iter().enumerate() {
            if !is.covering(index, &was).is_empty() {
                continue;
            }
            for (cell, before) in is.heirs(index, &was) {
                let told = (&*before.label, counter);
                self.push((Class::Tighten, "limit-joined"), told, cell, plan);
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
        let told = Value::from(new.label.as_str());
        let mut change = Change::new(Section::Policy, class, id, "policies", old.into(), told);
        change.bound = policy_value(&new.policy.checked).to_string();
        plan.changes.push(change.of(reference(api, operation)));
    }

    /// Counters on one side, with the counters of each cell.
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
                let key = (policy.state, policy.checked.kind(), route);
                let index = *known.entry(key).or_insert_with(|| {
                    counters.all.push(Counter {
                        policy,
                        name,
                        label,
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
    /// Counters in `other` that count cells of the counter at `index` and have the same kind of
    /// policy. The value is the number of common cells.
    fn shares(&self, index: usize, other: &Counters<'_>) -> BTreeMap<usize, usize> {
        let counter = &self.all[index];
        let mut shares = BTreeMap::new();
        for cell in &counter.cells {
            for at in &other.of_cell[*cell] {
                if is_same_kind(counter, &other.all[*at]) {
                    *shares.entry(*at).or_default() += 1;
                }
            }
        }
        shares
    }

    /// Counters in `other` that each count all cells of the counter at `index`. Cells that no
    /// counter of the same kind counts are ignored: another line reports that these cells no longer
    /// have a limit.
    fn covering(&self, index: usize, other: &Counters<'_>) -> Vec<usize> {
        let counter = &self.all[index];
        let has_one = |cell: &&usize| {
            let mut all = other.of_cell[**cell].iter();
            all.any(|at| is_same_kind(counter, &other.all[*at]))
        };
        let counted = counter.cells.iter().filter(has_one).count();
        let shares = self.shares(index, other).into_iter();
        let covering = shares.filter(|(_, share)| *share == counted);
        covering.map(|(at, _)| at).collect()
    }

    /// Cells of a counter that its successor on the other side does not count, each with a counter
    /// that counts it. The successor is the counter that counts most of the cells; of several such
    /// counters, the counter with the same name.
    fn heirs<'o>(&self, index: usize, other: &'o Self) -> Vec<(usize, &'o Counter<'a>)> {
        let counter = &self.all[index];
        let shares = self.shares(index, other).into_iter();
        let kept = shares.max_by_key(|(at, share)| {
            let heir = &other.all[*at];
            let is_same = (heir.label == counter.label, is_same_name(counter, heir));
            (*share, is_same, std::cmp::Reverse(*at))
        });
        let Some((kept, _)) = kept else {
            return Vec::new();
        };
        let cells = counter.cells.iter().filter_map(|cell| {
            let of_cell = &other.of_cell[*cell];
            if of_cell.contains(&kept) {
                return None;
            }
            let mut others = of_cell.iter().map(|at| &other.all[*at]);
            Some((*cell, others.find(|heir| is_same_kind(counter, heir))?))
        });
        cells.collect()
    }
}

/// True if a policy counts requests and refuses those beyond its limit.
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

/// True if the counter belongs to a `concurrency` policy, whose count ends with the requests.
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

/// True if the new counter is at least as tight as the old one.
fn is_as_tight(old: &Counter<'_>, new: &Counter<'_>) -> bool {
    let mut lines: Vec<Line> = Vec::new();
    settings("", &old.policy.checked, &new.policy.checked, &mut lines);
    is_same_kind(old, new) && lines.iter().all(|line| line.class != Class::Relax)
}
