//! Requests that the gateway refuses on one side only because of another operation (400
//! `path_ambiguous`), while the same operation would serve them on both sides.
//!
//! The gateway refuses a path if a server may read it as a path of an operation with other access
//! rules. A change of that other operation therefore opens or closes paths of operations that did
//! not change. [`super::spellings`] proposes such paths, and the engines of both sides decide them.

use std::collections::BTreeSet;

use bundle::ir::{Condition, Template};
use engine::path::is_ambiguous;
use rustc_hash::{FxHashMap, FxHashSet};
use sources::parallel;

use super::cell::{Cell, CellResults, Cells};
use super::index::Index;
use super::search::STEPS_OF_CELL;
use super::settings::{ChangedRoutes, Settings, address};
use super::spellings::{
    LetterCases, ambiguous_paths, common_path, described, escaped_to, in_other_cases, is_of_rest,
    is_read_in_other_ways, own_paths, read_as, with_below,
};
use super::table::{Route, Tier};
use super::{Found, Owner, Task};
use crate::values::{Values, values};
use crate::witness::Draft;

/// Number of routes of each group with equal treatment that are tried as readings of a path.
const TRIED_MAX: usize = 3;

/// Maximum number of paths that are tried for a route.
const PATHS_MAX: usize = 2_000;

/// Route of a side that may cause refusals, by its index.
#[derive(Clone, Copy, Debug)]
struct Cause {
    side: usize,
    at: u32,
    /// True if the route exists on one side only or has another treatment on the other side.
    is_changed: bool,
}

/// Routes that may cause refusals of requests of other routes.
struct Causes {
    all: Vec<Cause>,
    /// Spellings of the templates of all routes.
    cases: LetterCases,
    /// Templates of the paths that a server may read as paths of a route, with the route.
    neighbours: Vec<(Cause, Template)>,
    /// True if the template of a changed route has a segment that another one spells differently.
    has_changed_spellings: bool,
    /// Representatives of the routes with equal treatment.
    groups: Vec<Cause>,
}

/// Pair of routes that match the same requests on both sides.
#[derive(Clone, Copy, Debug)]
struct Kept {
    before: u32,
    after: u32,
    /// True if the treatments differ.
    is_changed: bool,
}

impl<'a> Cells<'_, 'a> {
    /// Compares the refusals of the routes that both sides have, and of requests that moved from one
    /// route to another one (`exchanged`). `tasks` and `kept` contain the routes of both sides. `known` are the routes of each side whose newly served and no longer served requests
    /// are reported already.
    pub(super) fn refusals(
        &self,
        (tasks, kept): (&[Task], &[(u32, u32)]),
        exchanged: &BTreeSet<(u32, u32)>,
        changed: &ChangedRoutes,
        known: &[FxHashSet<u32>; 2],
    ) -> Vec<CellResults> {
        let both = tasks.iter().filter_map(|task| match task {
            Task::Both(before, after) => Some((*before, *after)),
            Task::Rest(..) | Task::New(_) | Task::Gone(_) => None,
        });
        let both: Vec<(u32, u32)> = both.collect();
        let both = both.iter().chain(exchanged).map(|pair| (pair, true));
        let mut settings = Settings::default();
        let kept = kept.iter().map(|pair| {
            let is_changed = settings.differ(self.before(pair.0), self.after(pair.1));
            (pair, is_changed)
        });
        let pairs = both.chain(kept).map(|((before, after), is_changed)| Kept {
            before: *before,
            after: *after,
            is_changed,
        });
        let mut pairs: Vec<Kept> = pairs.collect();
        let causes = self.causes(&pairs, changed);
        if !causes.all.iter().any(|cause| cause.is_changed) {
            return Vec::new();
        }
        pairs.retain(|one| self.may_be_refused(*one, &causes));
        let entries = causes.neighbours.iter().zip(0u32..);
        let index = Index::new(entries.map(|((_, template), at)| (at, template, 0)));
        let found = parallel::map(pairs, |one| self.refusals_of(one, (&causes, &index), known));
        // Several pairs may have the same route.
        let mut reported = FxHashSet::default();
        let mut found: Vec<(usize, u32, CellResults)> = found.into_iter().flatten().collect();
        found.retain(|(side, route, _)| reported.insert((*side, *route)));
        found.into_iter().map(|(_, _, results)| results).collect()
    }

    fn causes(&self, pairs: &[Kept], changed: &ChangedRoutes) -> Causes {
        let mut differs = changed.clone();
        for one in pairs.iter().filter(|one| one.is_changed) {
            differs[0][one.before as usize] = true;
            differs[1][one.after as usize] = true;
        }
        let mut all = Vec::new();
        for (side, table) in self.tables.iter().enumerate() {
            for (route, at) in table.routes.iter().zip(0u32..) {
                let is_changed = differs[side][at as usize];
                // The other side has the same route.
                let is_double = side == 0 && !is_changed;
                let is_cause = match route.tier {
                    Tier::Described => true,
                    Tier::Unmatched | Tier::Undeclared => route.serves,
                    Tier::Login | Tier::Withheld => false,
                };
                if is_cause && !is_double {
                    all.push(Cause {
                        side,
                        at,
                        is_changed,
                    });
                }
            }
        }
        let tables = self.tables.map(|table| table.routes);
        let cases = LetterCases::of(described(tables).map(|route| &route.template));
        let neighbours = all.iter().flat_map(|cause| {
            let route = self.cause(*cause);
            let templates = match route.tier {
                Tier::Described => cases.neighbours(&route.template),
                _ => Vec::new(),
            };
            templates.into_iter().map(|template| (*cause, template))
        });
        let neighbours: Vec<(Cause, Template)> = neighbours.collect();
        let mut changed = all.iter().filter(|cause| cause.is_changed);
        Causes {
            has_changed_spellings: changed
                .any(|cause| cases.has_spellings(&self.cause(*cause).template)),
            neighbours,
            groups: self.groups(&all),
            cases,
            all,
        }
    }

    /// Returns some routes of each group of routes that have the same effect on the refusals of
    /// other routes.
    fn groups(&self, causes: &[Cause]) -> Vec<Cause> {
        let mut counts: FxHashMap<_, usize> = FxHashMap::default();
        let mut chosen = Vec::new();
        for cause in causes {
            let route = self.cause(*cause);
            let treatment = route.serves.then(|| address(route.treatment()));
            let key = (
                (cause.side, cause.is_changed),
                (route.tier as u8, route.method, &*route.mount.name),
                treatment,
            );
            let count = counts.entry(key).or_default();
            *count += 1;
            if *count <= TRIED_MAX {
                chosen.push(*cause);
            }
        }
        chosen
    }

    fn cause(&self, cause: Cause) -> &Route<'a> {
        &self.tables[cause.side].routes[cause.at as usize]
    }

    /// True if the gateway may refuse requests of the pair because of other routes.
    fn may_be_refused(&self, one: Kept, causes: &Causes) -> bool {
        let (was, is) = (self.before(one.before), self.after(one.after));
        causes.cases.has_final_slash()
            || is_of_rest(is)
            || is_read_in_other_ways(was)
            || is_read_in_other_ways(is)
            || causes.cases.has_spellings(&is.template)
            || causes.has_changed_spellings
    }

    /// Compares the refusals of a pair. Returns the side and the index of a route that serves
    /// requests which the other side refuses, with the lines about them.
    fn refusals_of(
        &self,
        one: Kept,
        (causes, index): (&Causes, &Index<'_>),
        known: &[FxHashSet<u32>; 2],
    ) -> Vec<(usize, u32, CellResults)> {
        let mut lines = Vec::new();
        let (was, is) = (self.before(one.before), self.after(one.after));
        // A redirect gives no access.
        if was.redirects() || is.redirects() {
            return lines;
        }
        let mut is_done = [
            known[0].contains(&one.before),
            known[1].contains(&one.after),
        ];
        let mut paths = self.spelled(one, (causes, index));
        // A changed `path_readings` has its own line, which covers such paths.
        let readings = [was, is].map(|route| route.treatment().path_readings);
        if is_read_in_other_ways(is) && (readings[0] == readings[1] || is.is_ambiguous()) {
            paths.extend(self.escaped(one, causes));
        }
        let mut tried = FxHashSet::default();
        paths.retain(|(path, cause)| {
            let conditions = cause.map(|cause| self.cause(cause).conditions);
            tried.insert((path.clone(), conditions))
        });
        paths.sort_by_key(|(path, _)| (is_ambiguous(path), path.len()));
        for (path, cause) in paths.into_iter().take(PATHS_MAX) {
            if is_done == [true, true] || !self.tables[0].searches.take(STEPS_OF_CELL) {
                break;
            }
            let Some(found) = self.request(one, path, cause) else {
                continue;
            };
            let [before, after] = self.path_refusals(one, &found);
            let owners = match (before, after) {
                (Some(true), Some(false)) if !is_done[1] => {
                    [Owner::Nobody, Owner::Route(one.after)]
                }
                (Some(false), Some(true)) if !is_done[0] => {
                    [Owner::Route(one.before), Owner::Nobody]
                }
                _ => continue,
            };
            let bound = cause.map(|cause| self.cause(cause).requests());
            let bound = format!("{} {}", found.path, bound.unwrap_or_default());
            let cell = Cell {
                owners,
                bare: found,
                has_fixed_path: true,
            };
            let mut results = CellResults::default();
            let (side, route) = match owners[0] {
                Owner::Nobody => {
                    self.newly_served_in(&cell, (one.after, &bound), &mut results);
                    (1, one.after)
                }
                _ => {
                    self.no_longer_served_in(&cell, (one.before, &bound), &mut results);
                    (0, one.before)
                }
            };
            is_done[side] = true;
            lines.push((side, route, results));
        }
        lines
    }

    /// Paths of a pair that differ from paths of other routes in letter case or in the final slash,
    /// each with the other route.
    fn spelled(
        &self,
        one: Kept,
        (causes, index): (&Causes, &Index<'_>),
    ) -> Vec<(String, Option<Cause>)> {
        let own = self.after(one.after);
        let (steps, cases) = (&self.tables[0].steps, &causes.cases);
        let has_spellings = cases.has_spellings(&own.template);
        // Requests for paths of these routes may have any letter case.
        let other_cases = |path: &str| match is_of_rest(own) || own.template.is_folded() {
            true => in_other_cases(path),
            false => Vec::new(),
        };
        let own_paths = own_paths(&own.template).into_iter();
        let own_paths = own_paths.flat_map(|path| {
            let other_cases = other_cases(&path);
            std::iter::once(path).chain(other_cases)
        });
        let mut paths: Vec<(String, Option<Cause>)> = own_paths.map(|path| (path, None)).collect();
        for at in index.overlapping(&own.template) {
            let (cause, template) = &causes.neighbours[at as usize];
            let other = self.cause(*cause);
            let is_twin = template.segments().len() != other.template.segments().len();
            // Cells cover the requests that both routes match.
            let is_spelled = is_twin || has_spellings || cases.has_spellings(&other.template);
            if !(cause.is_changed || one.is_changed)
                || !other.meets(own)
                || !(is_of_rest(own) || is_spelled)
            {
                continue;
            }
            let templates = [&own.template, template];
            let Some(path) = common_path(&templates, &other.template, steps) else {
                continue;
            };
            let other_cases = other_cases(&path);
            let found = with_below(&own.template, path)
                .into_iter()
                .chain(other_cases);
            paths.extend(found.map(|path| (path, Some(*cause))));
        }
        paths
    }

    /// Paths of a pair that servers may read as paths of other routes because of escapes, each with
    /// the other route.
    fn escaped(&self, one: Kept, causes: &Causes) -> Vec<(String, Option<Cause>)> {
        let own = self.after(one.after);
        let steps = &self.tables[0].steps;
        let paths = ambiguous_paths(&own.template).into_iter();
        let mut paths: Vec<(String, Option<Cause>)> = paths.map(|path| (path, None)).collect();
        let tried = causes.groups.iter();
        for cause in tried.filter(|cause| cause.is_changed || one.is_changed) {
            let other = self.cause(*cause);
            if other.tier == Tier::Described && !other.meets(own) {
                continue;
            }
            let target = match other.tier {
                // A path below the base path that no template matches.
                Tier::Unmatched => {
                    let depth = self.tables.map(|table| table.index.depth);
                    let below = "/0".repeat(depth[0].max(depth[1]) + 1);
                    Some(format!("{}{below}", other.mount.base_path))
                }
                _ => common_path(&[&other.template], &other.template, steps),
            };
            let escaped = target.and_then(|target| escaped_to(&own.template, &target));
            let readings = match own.is_ambiguous() {
                true => read_as(own, &other.template, steps),
                false => Vec::new(),
            };
            let found = escaped.into_iter().chain(readings);
            paths.extend(found.map(|path| (path, Some(*cause))));
        }
        paths
    }

    /// Request of a pair with this path. It meets the conditions of the pair and, if possible, those
    /// of the other route. `None` if the conditions cannot be met.
    fn request(&self, one: Kept, path: String, cause: Option<Cause>) -> Option<Found> {
        let own = self.after(one.after);
        let cause = cause.map(|cause| self.cause(cause));
        let conditions = |also: &'a [Condition]| {
            let wanted: Vec<&Condition> = own.conditions.iter().chain(also).collect();
            values(&wanted, &Values::default(), &[], |seen| {
                seen.meets(own.conditions)
            })
        };
        let also = cause.map_or(&[][..], |cause| cause.conditions);
        let values = conditions(also).or_else(|| conditions(&[]))?;
        let method = own.method.or(cause.and_then(|cause| cause.method));
        Some(Found {
            method: method.unwrap_or("GET").to_owned(),
            path,
            values,
        })
    }

    /// For each side, true if the gateway refuses a request of a pair because of its path, and false
    /// if not. `None` if another route matches the request.
    fn path_refusals(&self, one: Kept, found: &Found) -> [Option<bool>; 2] {
        let draft = Draft {
            listener: self.place.listener.clone(),
            host: self.place.host.clone(),
            method: found.method.clone(),
            path: found.path.clone(),
            values: found.values.clone(),
            peer: None,
            client: None,
            body: None,
        };
        let owners = [self.before(one.before), self.after(one.after)];
        let engines = [self.engines.old.as_ref(), Some(&self.engines.new)];
        let mut sides = engines.into_iter().zip(owners).map(|(engine, owner)| {
            let (matched, is_refused) = draft.path_refusal(engine?)?;
            (matched == owner.id()).then_some(is_refused)
        });
        [sides.next().flatten(), sides.next().flatten()]
    }
}
