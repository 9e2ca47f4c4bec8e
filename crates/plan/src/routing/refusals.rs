//! Requests that the gateway refuses on one side only because of another operation (400
//! `path_ambiguous`), while the same operation would serve them on both sides.
//!
//! The gateway refuses a path if a server may read it as a path of an operation with other access
//! rules. A change of that other operation can therefore make the gateway serve or refuse paths of
//! operations that did not change. [`super::spellings`] proposes such paths, and the engines of
//! both sides decide them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use bundle::ir::{Condition, Template};
use engine::path::is_ambiguous;
use rustc_hash::{FxHashMap, FxHashSet};
use sources::parallel;

use super::affected::{Affected, Alike, Regions};
use super::cell::{Cause, Cell, CellResults, Cells, Refusals, RoutePair};
use super::index::Index;
use super::search::STEPS_OF_CELL;
use super::settings::{ChangedRoutes, Settings, address};
use super::spellings::{
    LetterCases, ambiguous_paths, common_path, described, escaped_to, has_other_readings,
    in_other_cases, is_of_rest, own_paths, read_as, with_below,
};
use super::table::Tier;
use super::{Found, Owner, Plan, Task};
use crate::values::{Values, values};
use crate::{Change, Class, Section};

/// Number of routes of each group with equal treatment that are tried as readings of a path.
const TRIED_MAX: usize = 3;

/// Reason for a missing witness: both sides refuse all paths that were tried.
const NO_PATH: &str = "no example: both versions treat every path that was tried alike";

/// Maximum number of paths that are tried for a route.
const PATHS_MAX: usize = 2_000;

/// Routes that may cause refusals of requests of other routes.
struct Causes {
    /// Spellings of the templates of all routes.
    cases: LetterCases,
    /// Templates of the paths that a server may read as paths of a route, with the route.
    neighbours: Vec<(Cause, Template)>,
    /// True if the template of a changed route has a segment that another template spells in
    /// another letter case.
    has_changed_spellings: bool,
    /// Representatives of the routes with equal treatment.
    groups: Vec<Cause>,
    /// Changed routes.
    changed: Vec<Cause>,
}

impl<'a> Cells<'_, 'a> {
    /// Compares the refusals of the routes that both sides have, and of requests that moved from
    /// one route to another (`exchanged`). `tasks` and `kept` contain the routes of both sides.
    pub(super) fn refusals(
        &self,
        (tasks, kept): (&[Task], &[(u32, u32)]),
        (exchanged, served): (&BTreeSet<(u32, u32)>, &[FxHashSet<u32>; 2]),
        changed: &ChangedRoutes,
    ) -> Vec<Refusals> {
        let both = tasks.iter().filter_map(|task| match task {
            Task::Both(before, after) => Some((*before, *after)),
            Task::Rest(..) | Task::New(_) | Task::Gone(_) => None,
        });
        let both: Vec<(u32, u32)> = both.collect();
        let changed_pairs = both.iter().chain(exchanged).map(|pair| (pair, true));
        let mut settings = Settings::default();
        let kept = kept.iter().map(|pair| {
            let is_changed = settings.differ(self.before(pair.0), self.after(pair.1));
            (pair, is_changed)
        });
        let pairs = changed_pairs
            .chain(kept)
            .map(|((before, after), is_changed)| RoutePair {
                before: *before,
                after: *after,
                is_changed,
            });
        let pairs: Vec<RoutePair> = pairs.collect();
        let causes = self.causes(&pairs, changed);
        if causes.changed.is_empty() {
            return Vec::new();
        }
        // Collect pairs of an old and a new route that serve the same requests: pairs in `kept`,
        // and pairs between which requests moved.
        let tasks = FxHashSet::from_iter(both.iter().copied());
        let same = pairs.iter().map(|one| (one.before, one.after));
        let same = same.filter(|pair| !tasks.contains(pair) && !exchanged.contains(pair));
        let partners = same.chain(exchanged.iter().copied());
        let regions = Regions::of(self, causes.changed.clone(), partners, served);
        let affected = Affected::new(self, &regions);
        let mut alike = Alike::new(self);
        let selected = pairs.into_iter().map(|one| {
            let pair = (one.before, one.after);
            let is_moved = exchanged.contains(&pair) && !tasks.contains(&pair);
            let is_selected = !is_moved || alike.is_first(self, one);
            (one, is_selected.then_some(is_moved))
        });
        let selected: Vec<(RoutePair, Option<bool>)> = selected.collect();
        let mut pairs = parallel::map(selected, |(one, is_moved)| {
            let opened = is_moved.map(|is_moved| affected.opened(one, is_moved));
            (one, opened.unwrap_or_default())
        });
        pairs.retain(|(one, opened)| !opened.is_empty() || self.may_be_refused(*one, &causes));
        let entries = causes.neighbours.iter().zip(0u32..);
        let index = Index::new(entries.map(|((_, template), at)| (at, template, 0)));
        let found = parallel::map(pairs, |(one, opened)| {
            self.refusals_of(one, &opened, (&causes, &index))
        });
        let mut by_route: BTreeMap<(usize, u32), Refusals> = BTreeMap::new();
        for one in found.into_iter().flatten() {
            match by_route.entry((one.side, one.route)) {
                Entry::Vacant(entry) => drop(entry.insert(one)),
                // Several pairs may contain the same route. Add the text of each pair to the
                // fingerprints of the route's changes.
                Entry::Occupied(mut entry) => entry.get_mut().extend(&one.bound),
            }
        }
        by_route.into_values().collect()
    }

    /// Adds the lines of refusals to a plan. If `served` contains the route, other lines from index
    /// `first` on already report its requests. The text of the refusals then only becomes part of
    /// the fingerprints of these lines.
    pub(super) fn report_refusals(
        &self,
        refusals: Vec<Refusals>,
        served: &[FxHashSet<u32>; 2],
        (first, plan): (usize, &mut Plan),
    ) {
        for one in refusals {
            if served[one.side].contains(&one.route) {
                let own = self.tables[one.side].routes[one.route as usize].reference();
                let lines = plan.changes[first..].iter_mut();
                let lines = lines.filter(|line| line.operation.as_ref() == Some(&own));
                lines.for_each(|line| line.bound.push_str(&one.bound));
            } else {
                plan.changes.extend(one.results.changes);
                plan.bugs.extend(one.results.bugs);
            }
        }
    }

    fn causes(&self, pairs: &[RoutePair], differs: &ChangedRoutes) -> Causes {
        let mut differs = differs.clone();
        for one in pairs.iter().filter(|one| one.is_changed) {
            differs[0][one.before as usize] = true;
            differs[1][one.after as usize] = true;
        }
        let (mut all, mut changed) = (Vec::new(), Vec::new());
        for (side, table) in self.tables.iter().enumerate() {
            for (route, at) in table.routes.iter().zip(0u32..) {
                let is_changed = differs[side][at as usize];
                let cause = Cause {
                    side,
                    at,
                    is_changed,
                };
                // Skip an unchanged route of the old side, because the new side has the same route.
                let is_double = side == 0 && !is_changed;
                let is_handled = !matches!(route.tier, Tier::Login | Tier::Withheld);
                let is_cause = route.serves || route.tier == Tier::Described;
                if is_handled && is_cause && !is_double {
                    all.push(cause);
                }
                if is_handled && is_changed {
                    changed.push(cause);
                }
            }
        }
        let tables = self.tables.map(|table| table.routes);
        let cases = LetterCases::of(described(tables).map(|route| &*route.template));
        let neighbours = all.iter().flat_map(|cause| {
            let route = self.cause(*cause);
            let templates = match route.tier {
                Tier::Described => cases.neighbours(&route.template),
                _ => Vec::new(),
            };
            templates.into_iter().map(|template| (*cause, template))
        });
        let neighbours: Vec<(Cause, Template)> = neighbours.collect();
        let mut templates = changed.iter().map(|cause| &self.cause(*cause).template);
        Causes {
            has_changed_spellings: templates.any(|template| cases.has_spellings(template)),
            changed,
            neighbours,
            groups: self.groups(&all),
            cases,
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

    /// True if the gateway may refuse requests of the pair because of other routes.
    fn may_be_refused(&self, one: RoutePair, causes: &Causes) -> bool {
        let (was, is) = (self.before(one.before), self.after(one.after));
        causes.cases.has_final_slash()
            || is_of_rest(is)
            || has_other_readings(was)
            || has_other_readings(is)
            || causes.cases.has_spellings(&is.template)
            || causes.has_changed_spellings
    }

    /// Compares the refusals of a pair of an old and a new route. `affecting`: changed routes that
    /// let the new side serve paths which the old side refuses.
    fn refusals_of(
        &self,
        one: RoutePair,
        affecting: &[Cause],
        (causes, index): (&Causes, &Index<'_>),
    ) -> Vec<Refusals> {
        let mut lines = Vec::new();
        let (was, is) = (self.before(one.before), self.after(one.after));
        // A redirect gives no access.
        if was.redirects() || is.redirects() {
            return lines;
        }
        let mut paths = self.spelled(one, (causes, index));
        // If `path_readings` changed, the plan has a line about this setting. That line covers
        // paths with escapes, unless the template itself is ambiguous.
        let readings = [was, is].map(|route| route.treatment().path_readings);
        if has_other_readings(is) && (readings[0] == readings[1] || is.is_ambiguous()) {
            paths.extend(self.escaped(one, causes));
        }
        let mut tried = FxHashSet::default();
        paths.retain(|(path, cause)| {
            let conditions = cause.map(|cause| self.cause(cause).conditions);
            tried.insert((path.clone(), conditions))
        });
        paths.sort_by_key(|(path, _)| (is_ambiguous(path), path.len()));
        // For the paths that are left out, `affecting` contains the routes that may change their
        // refusal.
        paths.truncate(PATHS_MAX);
        let (mut opened, mut closed) = (Vec::new(), Vec::new());
        for (path, cause) in paths {
            if !self.tables[0].searches.take(STEPS_OF_CELL) {
                return lines;
            }
            for found in self.requests(one, &path, cause) {
                match self.path_refusals(one, &found) {
                    [Some(true), Some(false)] => opened.push((found, cause)),
                    [Some(false), Some(true)] => closed.push((found, cause)),
                    _ => {}
                }
            }
        }
        if let Some(refusals) = self.opened_paths(one, opened, affecting) {
            lines.push(refusals);
        }
        if let Some((cell, bound)) =
            self.of_refusals(closed, [Owner::Route(one.before), Owner::Unserved])
        {
            let mut results = CellResults::default();
            self.no_longer_served_in(&cell, (one.before, &bound), &mut results);
            lines.push(Refusals {
                side: 0,
                route: one.before,
                bound,
                results,
            });
        }
        lines
    }

    /// Line about requests that only the old side refuses. These are the requests in `opened`, and
    /// requests that the new side may serve because the routes in `affecting` changed.
    fn opened_paths(
        &self,
        one: RoutePair,
        opened: Vec<(Found, Option<Cause>)>,
        affecting: &[Cause],
    ) -> Option<Refusals> {
        let digests = [0, 1].map(|side| {
            let own = affecting.iter().filter(|cause| cause.side == side);
            let own: Vec<u32> = own.map(|cause| cause.at).collect();
            self.tables[side].digest_of(&own).hex()
        });
        let texts = digests.concat();
        let mut results = CellResults::default();
        let bound = match self.of_refusals(opened, [Owner::Unserved, Owner::Route(one.after)]) {
            Some((cell, bound)) => {
                let bound = bound + &texts;
                self.newly_served_in(Some(&cell), (one.after, &bound), &mut results);
                bound
            }
            None => {
                let first = affecting.first()?;
                let more = match affecting.len() - 1 {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                let old = format!("refused as paths of {}{more}", self.named(*first));
                let mut change = Change::new(
                    Section::Security,
                    Class::Incomparable,
                    "refused-paths-changed",
                    "paths",
                    old.into(),
                    "may be served".into(),
                );
                change.bound.clone_from(&texts);
                self.push(&mut results, change, self.after(one.after), None, NO_PATH);
                texts
            }
        };
        Some(Refusals {
            side: 1,
            route: one.after,
            bound,
            results,
        })
    }

    /// Method and path of a route, for display.
    fn named(&self, cause: Cause) -> String {
        let route = self.cause(cause);
        let method = route.method.unwrap_or("any method");
        format!("`{method} {}`", route.template)
    }

    /// Cell of requests that one side refuses, and the text that identifies all these requests and
    /// their causes, for fingerprints. The cell contains only the first request, as an example.
    /// `None` if `requests` is empty.
    fn of_refusals(
        &self,
        requests: Vec<(Found, Option<Cause>)>,
        owners: [Owner; 2],
    ) -> Option<(Cell, String)> {
        let texts = requests.iter().map(|(found, cause)| {
            let cause = cause.map(|cause| self.cause(cause).requests());
            format!(
                "{} {} {}",
                found.method,
                found.path,
                cause.unwrap_or_default()
            )
        });
        let texts: BTreeSet<String> = texts.collect();
        let bound = Vec::from_iter(texts).join("; ");
        let (bare, _) = requests.into_iter().next()?;
        let cell = Cell {
            owners,
            bare,
            has_fixed_path: true,
        };
        Some((cell, bound))
    }

    /// Paths of a pair that differ from paths of other routes in letter case or in the final slash,
    /// each with the other route.
    fn spelled(
        &self,
        one: RoutePair,
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
    fn escaped(&self, one: RoutePair, causes: &Causes) -> Vec<(String, Option<Cause>)> {
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

    /// Requests of a pair with this path, one for each method of the two routes that the route of
    /// the pair serves. A GET route also serves HEAD. The requests meet the conditions of the pair
    /// and, if possible, the conditions of the other route. Empty if the conditions cannot be met.
    fn requests(&self, one: RoutePair, path: &str, cause: Option<Cause>) -> Vec<Found> {
        let own = self.after(one.after);
        let cause = cause.map(|cause| self.cause(cause));
        let conditions = |also: &'a [Condition]| {
            let wanted: Vec<&Condition> = own.conditions.iter().chain(also).collect();
            values(&wanted, &Values::default(), &[], |seen| {
                seen.meets(own.conditions)
            })
        };
        let also = cause.map_or(&[][..], |cause| cause.conditions);
        let Some(values) = conditions(also).or_else(|| conditions(&[])) else {
            return Vec::new();
        };
        let named = [own.method, cause.and_then(|cause| cause.method)];
        // `#undeclared` serves methods that no operation of the path has.
        let others = ["GET", "HEAD", "DELETE"].map(Some);
        let others = others.into_iter().filter(|_| own.method.is_none());
        let methods = named.into_iter().chain(others).flatten();
        let mut known = FxHashSet::default();
        let methods = methods.filter(|method| own.takes(method) && known.insert(*method));
        let methods: Vec<&str> = methods.collect();
        let request = |method: &str| Found {
            method: method.to_owned(),
            path: path.to_owned(),
            values: values.clone(),
        };
        methods.into_iter().map(request).collect()
    }

    /// True on a side if the gateway refuses a request of a pair of routes because of its path;
    /// otherwise false. `None` if another route matches the request.
    fn path_refusals(&self, one: RoutePair, found: &Found) -> [Option<bool>; 2] {
        let draft = found.draft(self.place);
        let owners = [self.before(one.before), self.after(one.after)];
        let engines = [self.engines.old.as_ref(), Some(&self.engines.new)];
        let mut sides = engines.into_iter().zip(owners).map(|(engine, owner)| {
            let (matched, is_refused) = draft.path_refusal(engine?)?;
            (matched == owner.id()).then_some(is_refused)
        });
        [sides.next().flatten(), sides.next().flatten()]
    }
}
