//! Comparison of cells. A cell is a set of requests that one route handles on the old side and one
//! route on the new side. Each change in a cell has a witness.

use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::Value;

use super::digests::{digest_of, treated};
use super::settings::ChangedRoutes;
use super::spellings::may_be_missed;
use super::table::{has, owner};
use super::{
    Engines, Found, Owner, Pair, Pairs, Place, Route, STEPS_OF_CELL, STEPS_OF_PAIR, Table, Task,
    describe, same, smallest,
};
use crate::details::{ApiSide, ends, goes_elsewhere};
use crate::security::schemas;
use crate::security::{NOT_SERVED, Tokens};
use crate::values::Values;
use crate::{Change, Class, RequestPlace, Section, Witness};
use model::lower::Lowered;

/// Maximum number of routes that are compared one by one with a route, if requests moved between
/// them and that route. Above this number, similar routes are compared as a group, because many
/// overlapping templates would give one line for each pair.
const EXACT_MAX: usize = 64;

/// Reason for a missing witness: no request is handled differently because of the change.
pub(super) const NO_REQUEST: &str = "no request is handled differently because of the change";

/// Reason for a missing witness: the gateway refused each ambiguous path that the search tried.
const REFUSED_PATHS: &str = "no example: the gateway refuses the paths that gwc tried";

/// Comparison of the cells (sets of requests) at one listener and host.
pub(super) struct Cells<'c, 'a> {
    pub(super) place: &'c Place,
    pub(super) tables: [&'c Table<'c, 'a>; 2],
    pub(super) sides: (Option<&'c Lowered>, &'c Lowered),
    pub(super) pairs: Pairs<'c>,
    pub(super) engines: &'c Engines,
    pub(super) changed: &'c ChangedRoutes,
}

/// Results of comparing a set of cells: changes, errors, and moved routes.
#[derive(Debug, Default)]
pub(super) struct CellResults {
    pub(super) changes: Vec<Change>,
    /// Messages about witnesses that do not show their change. Each is a bug in the comparison.
    pub(super) bugs: Vec<String>,
    /// Reason why the next change has no witness: gwc cannot run a policy of the route. `None`: gwc
    /// can run all policies.
    pub(super) undecidable: Option<&'static str>,
    /// Pairs of an old route that lost requests and the new route that now serves the requests.
    pub(super) moved: Vec<(u32, u32)>,
    /// Pairs of an old and a new route that serve the same requests. If there are many candidates,
    /// some pairs may serve no common request.
    pub(super) exchanged: Vec<(u32, u32)>,
    /// Routes of the old side with requests that are no longer served, and routes of the new side
    /// with requests that were not served before.
    pub(super) served: [FxHashSet<u32>; 2],
    /// Pairs of routes that may serve common requests, although the search found no example
    /// request.
    pub(super) missed: Vec<(u32, u32)>,
    /// Routes of each table that were compared only through another route of their group, and that
    /// may have gained or lost requests.
    pub(super) others: [Vec<u32>; 2],
}

/// Requests of a route that only one side serves, because the other side refuses their paths.
pub(super) struct Refusals {
    /// Side that serves the requests: 0 is the old side.
    pub(super) side: usize,
    /// Index of the route.
    pub(super) route: u32,
    /// Text that identifies the requests and their causes, for fingerprints.
    pub(super) bound: String,
    pub(super) results: CellResults,
}

/// Index of a route that may cause refusals, with its side (0: old, 1: new).
#[derive(Clone, Copy, Debug)]
pub(super) struct Cause {
    pub(super) side: usize,
    pub(super) at: u32,
    /// True if the route exists on one side only or has another treatment on the other side.
    pub(super) is_changed: bool,
}

/// Pair of routes that match the same requests on both sides.
#[derive(Clone, Copy, Debug)]
pub(super) struct RoutePair {
    pub(super) before: u32,
    pub(super) after: u32,
    /// True if the treatments differ.
    pub(super) is_changed: bool,
}

impl Refusals {
    /// Appends `bound`, which identifies further refused requests and their causes, to the
    /// fingerprint texts of this value and of its changes.
    pub(super) fn extend(&mut self, bound: &str) {
        self.bound.push_str(bound);
        for change in &mut self.results.changes {
            change.bound.push_str(bound);
        }
    }
}

/// Set of requests with the same route (or no route) on the old side, and the same route (or no
/// route) on the new side. Never empty.
pub(super) struct Cell {
    pub(super) owners: [Owner; 2],
    /// Smallest request of the cell, without credentials.
    pub(super) bare: Found,
    /// True if only requests with the path of `bare` show the change.
    pub(super) has_fixed_path: bool,
}

impl<'a> Cells<'_, 'a> {
    /// Compares all non-empty cells with requests of the route that `task` names.
    pub(super) fn of(&self, task: Task) -> CellResults {
        let mut results = CellResults::default();
        match task {
            Task::Both(before, after) => {
                if !self.served_by_both(before, after, &mut results) {
                    self.unreached(before, after, &mut results);
                }
            }
            Task::New(after) => {
                let route = self.after(after);
                let others = self.tables[0].exchanging(route);
                self.exchanged(0, (after, &others), &mut results);
                self.newly_served((after, true), &mut results);
            }
            Task::Gone(before) => {
                let route = self.before(before);
                // The task of a new route compares the requests that moved from this route to the
                // new route.
                let others = self.tables[1].exchanging(route);
                self.exchanged(1, (before, &others), &mut results);
                self.no_longer_served(before, &mut results);
            }
            Task::Rest(before, after) => {
                self.newly_served((after, false), &mut results);
                self.no_longer_served(before, &mut results);
            }
        }
        results
    }

    /// Route of the old side with this index.
    pub(super) fn before(&self, at: u32) -> &Route<'a> {
        &self.tables[0].routes[at as usize]
    }

    /// Route of the new side with this index.
    pub(super) fn after(&self, at: u32) -> &Route<'a> {
        &self.tables[1].routes[at as usize]
    }

    /// Route that may cause refusals.
    pub(super) fn cause(&self, cause: Cause) -> &Route<'a> {
        &self.tables[cause.side].routes[cause.at as usize]
    }

    /// Compares the requests that `route` serves on one side and a route of table `side` serves on
    /// the other side. If there are many such routes, compares only one route of each group with
    /// equal treatment.
    fn exchanged(&self, side: usize, (route, others): (u32, &[u32]), results: &mut CellResults) {
        let exchange = |other: u32, results: &mut CellResults| match side {
            0 => self.served_by_both(other, route, results),
            _ => self.served_by_both(route, other, results),
        };
        if others.len() <= EXACT_MAX {
            for other in others {
                exchange(*other, results);
            }
            return;
        }
        let mut alike: FxHashMap<_, Vec<u32>> = FxHashMap::default();
        let lowered = [self.sides.0, Some(self.sides.1)][side];
        for other in others {
            let it = &self.tables[side].routes[*other as usize];
            // Routes whose policies read the name of the operation are compared one by one.
            let access = lowered.map(|lowered| same(lowered, it));
            let same = (access, it.method, it.redirects(), &*it.mount.name);
            alike.entry(same).or_default().push(*other);
        }
        let mut alike: Vec<Vec<u32>> = alike.into_values().collect();
        alike.sort_unstable();
        for group in alike {
            let before = results.changes.len();
            let mut members = group.iter();
            let Some(first) = members.find(|other| exchange(**other, results)) else {
                continue;
            };
            let rest: Vec<u32> = members.copied().collect();
            results
                .exchanged
                .extend(rest.iter().map(|other| match side {
                    0 => (*other, route),
                    _ => (route, *other),
                }));
            results.others[side].extend(&rest);
            if rest.is_empty() {
                continue;
            }
            let digest = self.tables[side].digest_of(&rest).hex();
            let first = &self.tables[side].routes[*first as usize];
            for change in &mut results.changes[before..] {
                change.bound.push_str(&digest);
                if change.id == "owner-changed" {
                    let text = format!("{} and up to {} more", owner(first), rest.len());
                    match side {
                        0 => change.old = text.into(),
                        _ => change.new = text.into(),
                    }
                }
            }
        }
    }

    /// Compares the requests that `before` served and `after` now serves. Returns false if there
    /// are no such requests.
    fn served_by_both(&self, before: u32, after: u32, results: &mut CellResults) -> bool {
        let (was, is) = (self.before(before), self.after(after));
        let pair = self.pairs.of(was, is);
        if !is_moved(was, is) && !pair.differs() {
            results.exchanged.push((before, after));
            return true;
        }
        let searches = &self.tables[0].searches;
        let owners = [Owner::Route(before), Owner::Route(after)];
        let searched = searches.take(STEPS_OF_PAIR).then(|| self.cell(owners));
        let Some(cell) = searched.flatten().filter(|_| searches.take(STEPS_OF_CELL)) else {
            return false;
        };
        self.compare_served(&cell, (before, after), results);
        true
    }

    /// Compares the requests of a cell, which `before` served and `after` now serves.
    fn compare_served(&self, cell: &Cell, (before, after): (u32, u32), results: &mut CellResults) {
        let (was, is) = (self.before(before), self.after(after));
        let pair = self.pairs.of(was, is);
        let moved = is_moved(was, is);
        results.exchanged.push((before, after));
        if moved || was.signature() != is.signature() {
            results.moved.push((before, after));
        }
        if moved {
            self.owner_changed(cell, (was, is), results);
        }
        if was.redirects() || is.redirects() {
            // The comparison of policies reports changed redirects.
            return;
        }
        if pair.upstream {
            let mut change = Change::new(
                Section::Routing,
                Class::Moved,
                "upstream-changed",
                "upstream",
                self.pairs.upstream_name(was).into(),
                self.pairs.upstream_name(is).into(),
            );
            change.bound = self.servers(was, is);
            let witness = self.differs(cell, results);
            self.push(
                results,
                change,
                is,
                witness,
                "no example: both versions treat every example request alike",
            );
        }
        for line in self.pairs.lines(was, is) {
            let section = line.section();
            let mut change = line.in_section(section);
            if goes_elsewhere(change.class, change.id) {
                change.bound = self.ends(is);
            }
            self.push(results, change, is, None, NO_REQUEST);
        }
        self.compare_access(&pair, Some(cell), (before, after), results);
        self.messages(&pair, cell, is, results);
        if let Some(descriptions) = &pair.restated {
            self.push(
                results,
                restated(descriptions),
                is,
                None,
                "the same requests are admitted",
            );
        }
    }

    /// Digest of the upstreams to which the new side sends the requests of a route.
    fn ends(&self, is: &Route<'a>) -> String {
        let side = ApiSide {
            api: is.api,
            shared: &self.sides.1.gateway.shared,
        };
        ends(side, is.treatment())
    }

    /// Reports that another operation serves the requests of a cell, or that the operation has
    /// another name.
    fn owner_changed(
        &self,
        cell: &Cell,
        (was, is): (&Route<'a>, &Route<'a>),
        results: &mut CellResults,
    ) {
        let renamed = was.is_renamed(is);
        let (section, class, id, subject) = match renamed {
            true => (
                Section::Docs,
                Class::Changed,
                "operation-renamed",
                "operationId",
            ),
            false => (Section::Routing, Class::Moved, "owner-changed", "route"),
        };
        let name = |route: &Route<'_>| match renamed {
            true => route.operation.key.clone(),
            false => owner(route),
        };
        let (old, new) = (name(was).into(), name(is).into());
        let mut change = Change::new(section, class, id, subject, old, new);
        if renamed {
            return self.push(results, change, is, None, NO_REQUEST);
        }
        change.bound = self.servers(was, is);
        let witness = self.differs(cell, results);
        self.push(results, change, is, witness, NO_REQUEST);
    }

    /// Adds the differences in access to the requests of a cell to `results`. Without a cell, the
    /// lines have no witness.
    pub(super) fn compare_access(
        &self,
        pair: &Pair,
        cell: Option<&Cell>,
        (before, after): (u32, u32),
        results: &mut CellResults,
    ) {
        let (was, is) = (self.before(before), self.after(after));
        // If a policy of the old route refused every caller, no caller had access before.
        let is_refusing = self.pairs.earlier(was, is).is_unserved();
        for difference in &pair.access {
            let is_exposed = is_refusing && difference.component == "who";
            let opened = is_exposed.then(|| self.pairs.after(is).is_open());
            let Some((class, id)) = difference.class_and_id(opened) else {
                continue;
            };
            let mut change = Change::new(
                difference.section(),
                class,
                id,
                difference.subject.clone(),
                difference.old.clone(),
                difference.new.clone(),
            );
            change.bound = was.requests();
            change.bound.push_str(&difference.bound);
            if difference.component == "who" {
                change.bound.push_str(&pair.requirements_digest);
            }
            if id == "operation-exposed" {
                change.bound.push_str(&treated(self.sides, is, self.place));
            }
            if goes_elsewhere(class, id) {
                change.bound.push_str(&self.ends(is));
            }
            let Some(cell) = cell else {
                self.push(results, change, is, None, REFUSED_PATHS);
                continue;
            };
            let mut witness = None;
            if difference.component == "who" && difference.why_none.is_none() {
                let (old_who, new_who) = (self.pairs.earlier(was, is), self.pairs.after(is));
                // Find a caller that only one side admits: the new side, unless the change only
                // makes access stricter.
                let opens = class != Class::Strengthen;
                let uncovered = if opens {
                    new_who.who().uncovered(old_who.who())
                } else {
                    old_who.who().uncovered(new_who.who())
                };
                if let Some(uncovered) = uncovered {
                    let alternative = (uncovered.index, Some(&uncovered.tokens));
                    witness = self.admitted_caller(cell, &[alternative], opens, results);
                }
            }
            if difference.component == "from" && difference.why_none.is_none() {
                witness = self.caller_from(cell, class != Class::Strengthen, results);
            }
            if difference.id == "undeclared-params-changed" && difference.why_none.is_none() {
                let (was, is) = (self.pairs.before(was), self.pairs.after(is));
                let example = schemas::undescribed(&was, &is);
                witness = example.and_then(|example| self.with_message(cell, example, results));
            }
            let why_none = difference.why_none.unwrap_or(NO_REQUEST);
            self.push(results, change, is, witness, why_none);
        }
    }

    /// Reports differences in settings, except access, of a route that exists on both sides but
    /// serves no request on one side, because other routes take precedence.
    fn unreached(&self, before: u32, after: u32, results: &mut CellResults) {
        let (was, is) = (self.before(before), self.after(after));
        if may_be_missed(was) || may_be_missed(is) {
            results.missed.push((before, after));
        }
        let descriptions = (
            describe(&was.treatment().security),
            describe(&is.treatment().security),
        );
        if descriptions.0 != descriptions.1 {
            self.push(
                results,
                restated(&descriptions),
                is,
                None,
                "no request reaches the operation",
            );
        }
        if was.treatment().upstream != is.treatment().upstream {
            let change = Change::new(
                Section::Upstream,
                Class::Changed,
                "upstream-changed",
                "upstream",
                was.treatment().upstream.clone().into(),
                is.treatment().upstream.clone().into(),
            );
            self.push(
                results,
                change,
                is,
                None,
                "no request reaches the operation",
            );
        }
    }

    /// Reports requests that a route of the new side serves and that were not served before.
    /// `is_new` is true if the old side has no route with the same requests.
    fn newly_served(&self, (after, is_new): (u32, bool), results: &mut CellResults) {
        let owners = [Owner::Unserved, Owner::Route(after)];
        let route = self.after(after);
        if route.redirects() {
            return;
        }
        let cell = self.cell(owners);
        if cell.is_some() || is_new && may_be_missed(route) {
            results.served[1].insert(after);
            self.newly_served_in(cell.as_ref(), (after, ""), results);
        }
    }

    /// Reports the requests of a cell, which were not served before. Without a cell, the lines have
    /// no witness. `extra` becomes a part of the fingerprint.
    pub(super) fn newly_served_in(
        &self,
        cell: Option<&Cell>,
        (after, extra): (u32, &str),
        results: &mut CellResults,
    ) {
        let route = self.after(after);
        let known = self.sides.0.is_some_and(|side| has(side, route));
        let id = match known {
            true => "requests-added",
            false => "operation-added",
        };
        let mut change = Change::new(
            Section::Routing,
            Class::Added,
            id,
            "route",
            Value::Null,
            owner(route).into(),
        );
        let access = self.pairs.after(route);
        let before = self.tables[0].requests_of(&route.operation.key) + extra;
        let before = before + &self.changed_around(route);
        change.access = Some(describe(&route.treatment().security));
        change.bound.clone_from(&before);
        let every = route.treatment().security.indices();
        let every: Vec<(usize, Option<&Tokens>)> = every.map(|index| (index, None)).collect();
        let witness = cell.and_then(|cell| match access.is_unserved() {
            true => self.differs(cell, results),
            false => self.admitted_caller(cell, &every, true, results),
        });
        let why_none = match cell {
            Some(_) => NO_REQUEST,
            None => REFUSED_PATHS,
        };
        let why_none = results.undecidable.unwrap_or(why_none);
        self.push(results, change, route, witness.clone(), why_none);
        // In a first release all operations are new, so only operations that are open to everyone
        // get this line. If a policy refuses every caller, there is no access to report.
        if access.is_unserved() {
            return self.new_refusal((route, &access), &before, results);
        }
        if self.sides.0.is_none() && !access.is_open() {
            return;
        }
        let class = if access.is_open() {
            Class::Weaken
        } else {
            Class::Expose
        };
        let mut change = Change::new(
            Section::Security,
            class,
            "operation-exposed",
            "security",
            NOT_SERVED.into(),
            describe(&route.treatment().security).into(),
        );
        let treated = treated(self.sides, route, self.place);
        change.bound = before + &digest_of(self.sides.1, route) + &treated;
        self.push(results, change, route, witness, why_none);
    }

    /// Reports requests that a route of the old side served and that are no longer served.
    fn no_longer_served(&self, before: u32, results: &mut CellResults) {
        let owners = [Owner::Route(before), Owner::Unserved];
        let route = self.before(before);
        let cell = self.cell(owners);
        if let Some(cell) = cell.filter(|_| !route.redirects()) {
            results.served[0].insert(before);
            self.no_longer_served_in(&cell, (before, ""), results);
        }
    }

    /// Reports the requests of a cell, which are no longer served. `extra` becomes a part of the
    /// fingerprint.
    pub(super) fn no_longer_served_in(
        &self,
        cell: &Cell,
        (before, extra): (u32, &str),
        results: &mut CellResults,
    ) {
        let route = self.before(before);
        let id = if has(self.sides.1, route) {
            "requests-removed"
        } else {
            "operation-removed"
        };
        let mut change = Change::new(
            Section::Routing,
            Class::Removed,
            id,
            "route",
            owner(route).into(),
            Value::Null,
        );
        change.access = Some(describe(&route.treatment().security));
        change.bound = self.tables[1].requests_of(&route.operation.key) + extra;
        change.bound.push_str(&self.changed_around(route));
        let every = route.treatment().security.indices();
        let every: Vec<(usize, Option<&Tokens>)> = every.map(|index| (index, None)).collect();
        let witness = match self.pairs.before(route).is_unserved() {
            true => self.differs(cell, results),
            false => self.admitted_caller(cell, &every, false, results),
        };
        self.push(results, change, route, witness, NO_REQUEST);
    }

    /// Text that identifies the routes that only one side has and that match requests of a template
    /// without serving them. Such a route can make other routes gain or lose requests, so the
    /// fingerprints of those routes' changes must contain the text.
    fn changed_around(&self, route: &Route<'_>) -> String {
        let mut texts = Vec::new();
        for (table, changed) in self.tables.iter().zip(self.changed) {
            let withheld = table.withheld_at(&route.template).into_iter();
            let withheld = withheld.filter(|at| changed[*at as usize]);
            texts.extend(withheld.map(|at| table.routes[at as usize].requests()));
        }
        texts.join("; ")
    }

    /// Returns the cell of requests with these owners. `None` if there are no such requests.
    fn cell(&self, owners: [Owner; 2]) -> Option<Cell> {
        let bare = smallest(self.tables, owners, &Values::default())?;
        Some(Cell {
            owners,
            bare,
            has_fixed_path: false,
        })
    }

    /// Digests of the upstreams of two routes, for the fingerprint. Without the digests, an
    /// acknowledgement would also cover other definitions under the same names.
    fn servers(&self, was: &Route<'_>, is: &Route<'_>) -> String {
        let sides = [self.sides.0, Some(self.sides.1)];
        let descriptions = sides.into_iter().zip([was, is]).map(|(side, route)| {
            let name = &route.treatment().upstream;
            let upstream = side.and_then(|side| side.gateway.shared.upstreams.get(name));
            let written = upstream.map(bundle::codec::encode).unwrap_or_default();
            let digest = bundle::digest::Digest::of(&written).hex();
            format!("{} {digest}", route.requests())
        });
        descriptions.collect::<Vec<_>>().join("; ")
    }

    pub(super) fn push(
        &self,
        results: &mut CellResults,
        change: Change,
        route: &Route<'_>,
        witness: Option<Witness>,
        why_none: &'static str,
    ) {
        let mut change = about(change, route, self.place);
        let why_none = results.undecidable.take().unwrap_or(why_none);
        change.why_none = witness.is_none().then_some(why_none);
        change.witness = witness;
        results.changes.push(change);
    }
}

/// True if requests go to another route. Two routes that redirect give the same response.
fn is_moved(was: &Route<'_>, is: &Route<'_>) -> bool {
    was.id() != is.id() && !(was.redirects() && is.redirects())
}

/// Creates a change for a requirement that admits the same callers in another form: another
/// verifier name, another order, or a credential that the upstream newly receives or no longer
/// receives.
fn restated((was, is): &(String, String)) -> Change {
    Change::new(
        Section::Policy,
        Class::Changed,
        "security-restated",
        "security",
        was.as_str().into(),
        is.as_str().into(),
    )
}

/// Adds the operation of a route, and the listener and host of its requests, to a change.
pub(super) fn about(change: Change, route: &Route<'_>, place: &Place) -> Change {
    let mut change = change.of(route.reference());
    change.places.insert(RequestPlace {
        listener: place.listener.clone(),
        hosts: route.mount.hosts.clone(),
        template: route.template.to_string(),
        requests: route.requests(),
    });
    change
}
