//! Limits that count requests of several operations with one counter. If one counter is split into
//! several, the limit admits more requests. If several counters are joined, the limit admits fewer.
//!
//! The comparison is by cells of requests (see [`crate::routing`]), so that a new name of an
//! operation, API or policy cannot hide a change.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use bundle::digest::Digest;
use bundle::ir::{self, Link};
use policy::StateId;
use policy::declared::Settings;
use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::Value;

use super::line::Line;
use super::operations::settings;
use super::restart;
use super::shown::policy_value;
use crate::pairs::reference;
use crate::{Change, Class, Plan, Section};

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
    /// Number of the policy's definition in [`Definitions`].
    definition: usize,
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
#[derive(Default)]
struct Counters<'a> {
    all: Vec<Counter<'a>>,
    /// All different lists of counters that count a cell.
    lists: Vec<CounterList<'a>>,
    /// Index of the list of each cell. Thousands of cells can have the same list.
    of_cell: Vec<usize>,
}

/// Counters that count the same cells.
struct CounterList<'a> {
    /// Indices of the counters.
    counters: Vec<usize>,
    /// Kinds and names of their policies.
    named: FxHashSet<(&'a str, &'a str)>,
}

/// Cells of a counter with the same candidates.
struct CandidateCells {
    cells: Vec<usize>,
    candidates: Vec<usize>,
}

/// Definitions of the limits of both sides. Equal definitions have the same number, and each pair
/// is compared only once.
#[derive(Default)]
struct Definitions {
    numbers: FxHashMap<Vec<u8>, usize>,
    tightness: RefCell<FxHashMap<(usize, usize), bool>>,
}

/// Properties of a policy that has a counter.
#[derive(Clone, Copy)]
struct Limit {
    definition: usize,
    by_route: bool,
}

impl Definitions {
    /// Properties of a policy. `None` if the policy does not enforce a limit.
    fn limit(&mut self, policy: &ir::Policy) -> Option<Limit> {
        if !is_enforced(policy) {
            return None;
        }
        let next = self.numbers.len();
        let definition = self.numbers.entry(bundle::codec::encode(&policy.checked));
        Some(Limit {
            definition: *definition.or_insert(next),
            by_route: by_route(policy),
        })
    }

    /// True if the new counter is at least as tight as the old one. Computes the result once for
    /// each pair of definitions.
    fn is_as_tight(&self, old: &Counter<'_>, new: &Counter<'_>) -> bool {
        let pair = (old.definition, new.definition);
        let known = self.tightness.borrow().get(&pair).copied();
        known.unwrap_or_else(|| {
            let found = is_as_tight(old, new);
            self.tightness.borrow_mut().insert(pair, found);
            found
        })
    }
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
        let mut known = Definitions::default();
        let [was, is] = [0, 1].map(|side| self.counters(side, &mut known));
        for (index, counter) in was.all.iter().enumerate() {
            for (cell, successor) in was.uncounted_cells(index, &is, &known) {
                let labels = (&*counter.label, successor);
                self.push((Class::Relax, "limit-split"), labels, cell, plan);
            }
        }
        let mut restarted = BTreeSet::new();
        for index in 0..was.all.len() {
            was.push_restarts(index, &is, &known, &mut restarted, plan);
        }
        for (index, counter) in is.all.iter().enumerate() {
            for (cell, before) in is.uncounted_cells(index, &was, &known) {
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
    fn counters(&self, side: usize, definitions: &mut Definitions) -> Counters<'a> {
        let shared = &self.gateways[side].shared;
        let mut counters = Counters::default();
        let mut limits: FxHashMap<*const ir::Policy, Option<Limit>> = FxHashMap::default();
        let mut known: FxHashMap<(StateId, &str, String), usize> = FxHashMap::default();
        let mut lists: FxHashMap<Vec<usize>, usize> = FxHashMap::default();
        for (cell, sides) in self.cells.iter().enumerate() {
            let OperationAt {
                api,
                mount,
                operation,
            } = sides[side];
            let treatment = &api.treatments[operation.treatment as usize];
            let mut own = Vec::new();
            let mut is_own = FxHashSet::default();
            for link in &treatment.chain {
                let (mut label, policy) = match link {
                    Link::Authenticate => continue,
                    Link::Shared(name) => (name.clone(), shared.policies.get(name)),
                    Link::Own(name) => (format!("{}/{name}", api.name), api.policies.get(name)),
                };
                let Some(policy) = policy else { continue };
                let limit = limits.entry(std::ptr::from_ref(policy));
                let Some(limit) = *limit.or_insert_with(|| definitions.limit(policy)) else {
                    continue;
                };
                let name = label.clone();
                let mut route = String::new();
                if limit.by_route {
                    route = format!("{}@{}", operation.key, mount.name);
                    label = format!("{label} of {route}");
                }
                let key = (policy.state, policy.checked.kind(), route.clone());
                let index = *known.entry(key).or_insert_with(|| {
                    counters.all.push(Counter {
                        policy,
                        definition: limit.definition,
                        name,
                        label,
                        route,
                        cells: Vec::new(),
                    });
                    counters.all.len() - 1
                });
                if is_own.insert(index) {
                    own.push(index);
                    counters.all[index].cells.push(cell);
                }
            }
            let list = match lists.get(&own) {
                Some(list) => *list,
                None => {
                    lists.insert(own.clone(), counters.lists.len());
                    counters.add_list(own)
                }
            };
            counters.of_cell.push(list);
        }
        counters
    }
}

impl<'a> Counters<'a> {
    /// Adds a list of counters and returns its index.
    fn add_list(&mut self, counters: Vec<usize>) -> usize {
        let policies = counters.iter().map(|at| self.all[*at].policy);
        let named = policies.map(|policy| (policy.checked.kind(), policy.name.as_str()));
        let named = named.collect();
        self.lists.push(CounterList { counters, named });
        self.lists.len() - 1
    }

    /// Cells of the counter at `index`, each with its candidates: counters of the same kind on the
    /// other side that may count the requests of the cell.
    ///
    /// If another counter of the cell on this side has the name of a candidate, the candidate is
    /// the successor of that other counter. The candidate is then accepted only if it is at least
    /// as tight as the counter at `index`. Cells without candidates are left out: another line
    /// reports that such cells have lost their limit.
    fn candidates(
        &self,
        index: usize,
        other: &Self,
        definitions: &Definitions,
    ) -> Vec<CandidateCells> {
        let counter = &self.all[index];
        let mut groups: BTreeMap<[usize; 2], Vec<usize>> = BTreeMap::new();
        for cell in &counter.cells {
            let lists = [self.of_cell[*cell], other.of_cell[*cell]];
            groups.entry(lists).or_default().push(*cell);
        }
        let groups = groups.into_iter().map(|([own, theirs], cells)| {
            let beside = &self.lists[own].named;
            let may_succeed = |at: &usize| {
                let new = &other.all[*at];
                let named = (new.policy.checked.kind(), new.policy.name.as_str());
                is_same_kind(counter, new)
                    && (is_same_name(counter, new)
                        || !beside.contains(&named)
                        || definitions.is_as_tight(counter, new))
            };
            let all = other.lists[theirs].counters.iter().copied();
            CandidateCells {
                cells,
                candidates: all.filter(may_succeed).collect(),
            }
        });
        groups.filter(|one| !one.candidates.is_empty()).collect()
    }

    /// Counter of the other side that counts all requests of the counter at `index`, for a policy
    /// with the same kind and name. Such a counter is the successor.
    fn namesake<'o>(&self, index: usize, other: &'o Self) -> Option<&'o Counter<'a>> {
        let counter = &self.all[index];
        let first = counter.cells.first()?;
        let list = &other.lists[other.of_cell[*first]];
        let all = list.counters.iter().map(|at| &other.all[*at]);
        let mut same = all.filter(|new| is_same_kind(counter, new) && is_same_name(counter, new));
        same.find(|new| {
            let mut cells = counter.cells.iter();
            cells.all(|cell| new.cells.binary_search(cell).is_ok())
        })
    }

    /// Reports counters with other names that continue the counter at `index`: they begin with no
    /// requests. `reported` has the names of the policies of all reported pairs.
    fn push_restarts(
        &self,
        index: usize,
        other: &Self,
        definitions: &Definitions,
        reported: &mut BTreeSet<(String, String)>,
        plan: &mut Plan,
    ) {
        let counter = &self.all[index];
        let is_continued = |successor: &Counter<'_>| {
            successor.policy.state == counter.policy.state && successor.route == counter.route
        };
        if is_concurrency(counter) || self.namesake(index, other).is_some_and(is_continued) {
            return;
        }
        let successors = self.candidates(index, other, definitions).into_iter();
        let successors: BTreeSet<usize> = successors.flat_map(|one| one.candidates).collect();
        let successors = successors.into_iter().map(|at| &other.all[at]);
        let successors: Vec<&Counter<'_>> = successors.collect();
        if successors.iter().any(|successor| is_continued(successor)) {
            return;
        }
        let mut restarted: BTreeMap<Class, Vec<&str>> = BTreeMap::new();
        for successor in successors {
            // Policies with the same name are compared where they are defined.
            let is_other = successor.name != counter.name || successor.route != counter.route;
            let pair = || (counter.name.clone(), successor.name.clone());
            if is_other && reported.insert(pair()) {
                let class = restart::class(&successor.policy.checked);
                restarted.entry(class).or_default().push(&successor.label);
            }
        }
        for (class, labels) in restarted {
            plan.changes
                .push(restarted_as(class, &counter.label, &labels));
        }
    }

    /// Returns the cells of a counter that its successor on the other side does not count. Each
    /// cell comes with the best candidate that counts its requests. Empty if the successor counts
    /// all cells.
    ///
    /// The successor is the best candidate by these criteria, in this order: the closest match
    /// ([`Closeness`]), not [`looser_candidates`], the most cells, the same name.
    fn uncounted_cells<'o>(
        &self,
        index: usize,
        other: &'o Self,
        definitions: &Definitions,
    ) -> Vec<(usize, &'o Counter<'a>)> {
        // A namesake that counts all cells precedes all other candidates.
        if self.namesake(index, other).is_some() {
            return Vec::new();
        }
        let counter = &self.all[index];
        let groups = self.candidates(index, other, definitions);
        let mut shares: BTreeMap<usize, usize> = BTreeMap::new();
        for one in &groups {
            for at in &one.candidates {
                *shares.entry(*at).or_default() += one.cells.len();
            }
        }
        // All cells have the same candidates, so whichever of them is the successor counts all
        // cells.
        let cells: usize = groups.iter().map(|one| one.cells.len()).sum();
        if shares.values().all(|share| *share == cells) {
            return Vec::new();
        }
        let mut ranks: FxHashMap<*const ir::Policy, Closeness> = FxHashMap::default();
        for at in shares.keys() {
            let successor = &other.all[*at];
            let rank = ranks.entry(std::ptr::from_ref(successor.policy));
            rank.or_insert_with(|| Closeness::of(counter, successor, definitions));
        }
        let rank = |at: usize| ranks[&std::ptr::from_ref(other.all[at].policy)];
        let looser = looser_candidates(&groups, other, definitions, &rank);
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
        let left = groups.iter().filter(|one| !one.candidates.contains(&kept));
        let left = left.filter_map(|one| {
            let successor = one.candidates.iter().copied();
            let successor = successor.max_by_key(|at| order(*at))?;
            let cells = one.cells.iter().copied();
            Some(cells.map(move |cell| (cell, &other.all[successor])))
        });
        let mut left: Vec<(usize, &Counter<'a>)> = left.flatten().collect();
        left.sort_by_key(|(cell, _)| *cell);
        left
    }
}

/// Change for a counter that one or more counters with other names continue. The subject has the
/// first of these names. A digest covers all of them.
fn restarted_as(class: Class, label: &str, successors: &[&str]) -> Change {
    let (first, others) = (successors[0], successors.len() - 1);
    let subject = match others {
        0 => format!("policy {label} -> {first}"),
        _ => format!("policy {label} -> {first} and {others} more"),
    };
    let (old, new) = ("its counters".into(), "new counters".into());
    let mut change = Change::new(
        Section::Policy,
        class,
        restart::RESTARTED,
        subject,
        old,
        new,
    );
    if others > 0 {
        change.bound = Digest::of(successors.join("\0").as_bytes()).hex();
    }
    change
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
    fn of(counter: &Counter<'_>, successor: &Counter<'_>, definitions: &Definitions) -> Self {
        if is_same_name(counter, successor) || definitions.is_as_tight(counter, successor) {
            return Self::Equal;
        }
        match counts_same_callers(counter, successor) {
            true => Self::SameCallers,
            false => Self::OtherCallers,
        }
    }
}

/// Candidates that are looser than another candidate of the same cell with the same closeness. Does
/// not compare policies of [`Closeness::Equal`], and candidates with equal definitions only once.
fn looser_candidates(
    groups: &[CandidateCells],
    other: &Counters<'_>,
    definitions: &Definitions,
    rank: &impl Fn(usize) -> Closeness,
) -> FxHashSet<*const ir::Policy> {
    let mut looser = FxHashSet::default();
    for group in groups {
        let mut alike: BTreeMap<(Closeness, usize), Vec<&Counter<'_>>> = BTreeMap::new();
        for at in &group.candidates {
            let (rank, one) = (rank(*at), &other.all[*at]);
            if rank != Closeness::Equal {
                alike.entry((rank, one.definition)).or_default().push(one);
            }
        }
        for ((rank, _), all) in &alike {
            let one = all[0];
            let mut others = alike.iter().filter(|((other, _), _)| other == rank);
            let is_looser = others.any(|(_, by)| {
                definitions.is_as_tight(one, by[0]) && !definitions.is_as_tight(by[0], one)
            });
            if is_looser {
                looser.extend(all.iter().map(|one| std::ptr::from_ref(one.policy)));
            }
        }
    }
    looser
}

/// True if a policy counts requests and refuses requests beyond its limit.
fn is_enforced(policy: &ir::Policy) -> bool {
    let checked = &policy.checked;
    checked.has_counters() && checked.settings().text(&["mode"]) != Some("log")
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
    if !is_same_kind(old, new) || !counts_plans(old, new) {
        return false;
    }
    let mut lines: Vec<Line> = Vec::new();
    settings("", &old.policy.checked, &new.policy.checked, &mut lines);
    lines.iter().all(|line| line.class != Class::Relax)
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

/// True if the new counter counts the callers of all plans and groups that the old one counts.
fn counts_plans(old: &Counter<'_>, new: &Counter<'_>) -> bool {
    let [was, is] = [old, new].map(|counter| counter.policy.checked.settings());
    let names = |settings: &Settings, key| -> Option<BTreeSet<String>> {
        let names = settings.texts(&[key])?.into_iter();
        Some(names.map(str::to_owned).collect())
    };
    let are_in = |key| {
        let [was, is] = [&was, &is].map(|all| names(all, key).unwrap_or_default());
        was.is_subset(&is)
    };
    match (was.has(&["plans"]), is.has(&["plans"])) {
        (_, false) => true,
        (false, true) => false,
        (true, true) => are_in("plans") && are_in("groups"),
    }
}
