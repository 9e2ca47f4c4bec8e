//! Routes with paths that the old side refuses (400 `path_ambiguous`) and that the new side may
//! serve because other routes changed.
//!
//! The gateway refuses a path that servers may read as a path of a route with other access rules.
//! [`super::refusals`] proposes such paths and lets the engines decide them. This module ensures
//! that no such route is missed. It compares only templates and access rules, and may therefore
//! return routes without such a path. A changed route counts only if no route of the new side
//! serves some of its requests. If another route serves them with wider access, that route has its
//! own line.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::hash::Hash;

use bundle::ir::{Segment, Template};
use engine::{RouteRef, folding, readings};
use rustc_hash::{FxHashMap, FxHashSet};
use sources::parallel;

use super::cell::{Cause, Cells, RoutePair};
use super::index::Index;
use super::spellings::is_of_rest;
use super::table::{Route, Tier};
use super::{Same, same};

/// Handling of the requests of a [`Region`] by a side.
#[derive(Clone, Copy, Debug)]
enum Owner {
    /// The route with this index serves the requests.
    Route(u32),
    /// An `internal` operation matches the requests.
    Internal,
    /// The path of the requests has operations, but none with their method (405).
    Undeclared,
    /// No route serves the requests.
    Unserved,
}

/// Requests of a changed route, and their owners on both sides.
#[derive(Debug)]
pub(super) struct Region {
    cause: Cause,
    owners: [Vec<Owner>; 2],
    /// True if `owners` contains the owners that the comparison of requests found. False if
    /// `owners` contains all routes that may match some of the requests.
    is_exact: bool,
    /// Template of the route for servers that ignore letter case and final slashes.
    template: Template,
    /// True if described paths of the old side overlap the template of the route.
    was_described: bool,
    /// True if an operation with conditions on the old side may describe the path.
    was_conditional: bool,
    /// True if an operation of the new side describes all paths of the route.
    is_described: bool,
    /// True if the new side has a mount with the base path of the route.
    is_mounted: bool,
    /// Routes of the old side that overlap the template of the changed route, one for each
    /// [`effect`]. Servers may read a path as a path of one of these routes, although no operation
    /// describes that path in this spelling. Empty if an operation of the new side has the
    /// template.
    unspelled: Vec<u32>,
    /// Methods of the `internal` operations of the new side that match all paths of the route.
    internal: Vec<String>,
}

/// All [`Region`]s of the changed routes at a listener and host.
pub(super) struct Regions {
    all: Vec<Region>,
}

/// Search for the routes that changes of [`Regions`] affect.
pub(super) struct Affected<'c, 'r, 'a> {
    cells: &'c Cells<'r, 'a>,
    regions: &'c Regions,
    /// Index of the regions by template.
    index: Index<'c>,
    /// Routes of the engine on each side, by the index of the route in the table. `None` for routes
    /// that serve no requests.
    engines: [Vec<Option<RouteRef<'c>>>; 2],
}

/// Relation of a path to a different interpretation of the path by a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// The paths differ in letter case or in the final slash only.
    Spelling,
    /// The other path may be any path: the route also forwards ambiguous paths
    /// (`path_readings: keep`).
    Any,
}

/// Maximum number of segments of the templates in an index. A search takes time and memory
/// quadratic in that number.
const SEGMENTS_MAX: usize = 64;

/// Template itself, or its first [`SEGMENTS_MAX`] segments as a prefix if it has more segments.
fn shortened(template: &Template) -> Cow<'_, Template> {
    match template.segments().len() > SEGMENTS_MAX {
        true => Cow::Owned(template.clone().cut(SEGMENTS_MAX)),
        false => Cow::Borrowed(template),
    }
}

/// True if all paths of a template end in a slash.
fn ends_in_slash(template: &Template) -> bool {
    let is_slash = |segment: &Segment| *segment == Segment::Literal(String::new());
    template.segments().last().is_some_and(is_slash)
}

/// Template that servers match if they ignore letter case and final slashes.
fn loosened(template: &Template) -> Template {
    let template = shortened(template)
        .into_owned()
        .map_literals(|text| folding::folded(&text));
    match template.twin().filter(|_| ends_in_slash(&template)) {
        Some(twin) => twin,
        None => template,
    }
}

/// True if `outer` matches all paths of `inner`. False if that is unknown.
fn covers(outer: &Template, inner: &Template) -> bool {
    let (own, others) = (outer.segments(), inner.segments());
    let is_long_enough = match outer.is_prefix() {
        true => own.len() <= others.len(),
        false => own.len() == others.len() && !inner.is_prefix(),
    };
    let is_covered = |(own, other): (&Segment, &Segment)| match (own, other) {
        (Segment::Parameter(_), Segment::Literal(text) | Segment::Folded(text)) => !text.is_empty(),
        (Segment::Parameter(_), _) => true,
        (own, other) => own.erased() == other.erased(),
    };
    is_long_enough && own.iter().zip(others).all(is_covered)
}

/// True if a template consists of literals and is no prefix.
fn is_fixed(template: &Template) -> bool {
    let mut segments = template.segments().iter();
    let is_literal =
        |segment: &Segment| matches!(segment, Segment::Literal(_) | Segment::Folded(_));
    !template.is_prefix() && segments.all(is_literal)
}

/// True if a server may read paths of `route` as paths of `other`, given that their [`loosened`]
/// templates overlap. The server ignores letter case. The server also ignores final slashes, unless
/// `route` has exactly one path.
fn is_other_spelling(route: &Route<'_>, other: &Route<'_>) -> bool {
    let (own, others) = (&route.template, &other.template);
    let has_one_path = route.tier == Tier::Described && is_fixed(own);
    !has_one_path || others.is_prefix() || own.segments().len() == others.segments().len()
}

/// True if paths of a route may be paths of the mount of `other` in another letter case.
fn has_other_base(other: &Route<'_>, route: &Route<'_>) -> bool {
    let (base, own) = (&*other.mount.base_path, &*route.mount.base_path);
    let is_below = own.strip_prefix(base);
    if is_below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
        return false;
    }
    // In each segment, a parameter matches both letter cases, and a literal matches only its own
    // case.
    let segments = route.template.segments().iter();
    let mut spelled = base.split('/').skip(1).zip(segments);
    let is_other = |(text, segment): (&str, &Segment)| match segment {
        Segment::Literal(own) => own != text,
        Segment::Pattern(pattern) => !pattern.matches(text),
        Segment::Folded(_) | Segment::Parameter(_) => false,
    };
    is_of_rest(route) || !route.conditions.is_empty() || spelled.any(is_other)
}

impl Owner {
    /// Owner of the requests that `route` matches. `at` is the index of the route.
    fn of(route: &Route<'_>, at: u32) -> Self {
        match route.tier {
            _ if route.serves => Self::Route(at),
            Tier::Undeclared => Self::Undeclared,
            Tier::Unmatched => Self::Unserved,
            Tier::Described | Tier::Withheld | Tier::Login => Self::Internal,
        }
    }
}

/// Routes of the other side that serve the requests of each route.
fn partners(exchanged: impl Iterator<Item = (u32, u32)>) -> [FxHashMap<u32, Vec<u32>>; 2] {
    let mut partners: [FxHashMap<u32, Vec<u32>>; 2] = Default::default();
    for (before, after) in exchanged {
        partners[0].entry(before).or_default().push(after);
        partners[1].entry(after).or_default().push(before);
    }
    partners
}

/// Properties of an old route that decide whether it can be the owner of another reading of a path:
/// treatment, method, mount, and for routes with conditions the route itself.
type Effect<'r> = (Same, Option<&'r str>, &'r str, bool, bool, Option<u32>);

fn effect<'c>(cells: &'c Cells<'_, '_>, at: u32) -> Effect<'c> {
    let route = cells.before(at);
    let own = (!route.conditions.is_empty()).then_some(at);
    let same = cells.sides.0.map_or((0, 0, 0), |side| same(side, route));
    (
        same,
        route.method,
        &route.mount.name,
        route.serves,
        is_of_rest(route),
        own,
    )
}

/// Value of [`Region::unspelled`] for a route. `around` contains the described routes of the new
/// side that overlap the template of the route.
fn unspelled<'r>(
    cells: &Cells<'_, '_>,
    route: &Route<'_>,
    mut around: impl Iterator<Item = &'r Route<'r>>,
) -> Vec<u32> {
    let is_unspelled = route.tier == Tier::Described
        && ends_in_slash(&route.template) == ends_in_slash(&route.operation.template)
        && !around.any(|other| other.template == route.template);
    if !is_unspelled {
        return Vec::new();
    }
    let all = cells.tables[0].index.overlapping(&route.template);
    first_of_each(all, |at| effect(cells, at))
}

/// First item of each group with the same key.
fn first_of_each<K: Eq + Hash>(all: Vec<u32>, key: impl Fn(u32) -> K) -> Vec<u32> {
    let mut known = FxHashSet::default();
    let mut all = all;
    all.retain(|at| known.insert(key(*at)));
    all
}

/// Pairs of routes between which requests moved. Of the pairs with the same new route, only one is
/// examined for each [`effect`] of the old routes.
pub(super) struct Alike {
    /// Number of the [`effect`] of each old route.
    effects: Vec<u32>,
    known: FxHashSet<(u32, u32)>,
}

impl Alike {
    pub(super) fn new(cells: &Cells<'_, '_>) -> Self {
        let mut numbers = FxHashMap::default();
        let routes = cells.tables[0].routes.iter().zip(0u32..);
        let number = routes.map(|(_, at)| {
            let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
            *numbers.entry(effect(cells, at)).or_insert(next)
        });
        Self {
            effects: number.collect(),
            known: FxHashSet::default(),
        }
    }

    /// True if the pair is the first with its new route and [`effect`] of the old route. Always
    /// true for two routes of one operation at one mount.
    pub(super) fn is_first(&mut self, cells: &Cells<'_, '_>, one: RoutePair) -> bool {
        let (was, is) = (cells.before(one.before), cells.after(one.after));
        let is_own = was.operation.key == is.operation.key && was.mount.name == is.mount.name;
        is_own
            || self
                .known
                .insert((one.after, self.effects[one.before as usize]))
    }
}

impl Regions {
    /// Regions of the changed routes `causes`. `exchanged` contains the pairs of routes that serve
    /// the same requests, `served` the routes of each side whose requests the other side does not
    /// serve.
    pub(super) fn of(
        cells: &Cells<'_, '_>,
        causes: Vec<Cause>,
        exchanged: impl Iterator<Item = (u32, u32)>,
        served: &[FxHashSet<u32>; 2],
    ) -> Self {
        let partners = partners(exchanged);
        let templates = cells.tables.map(|table| {
            let templates = table.routes.iter().map(|route| shortened(&route.template));
            Vec::from_iter(templates)
        });
        let index = |takes: fn(&Route<'_>) -> bool| {
            [0, 1].map(|side| {
                let templates = templates[side].iter().map(|template| &**template);
                let routes = cells.tables[side].routes.iter().zip(templates).zip(0u32..);
                let taken = routes.filter(|((route, _), _)| takes(route));
                Index::new(taken.map(|((_, template), at)| (at, template, 0)))
            })
        };
        // Includes the routes of `internal` operations.
        let described = index(|route| route.tier == Tier::Described);
        let rest = index(|route| route.serves && is_of_rest(route));
        let bases = cells.tables[1].routes.iter();
        let bases: FxHashSet<&str> = bases.map(|route| &*route.mount.base_path).collect();
        let region = |cause: Cause| {
            let Cause { side, at, .. } = cause;
            let route = cells.cause(cause);
            let known = partners[side].get(&at).map_or(&[][..], Vec::as_slice);
            let mut others: Vec<Owner> = known.iter().map(|at| Owner::Route(*at)).collect();
            if served[side].contains(&at) {
                others.push(Owner::Unserved);
            }
            let template = shortened(&route.template);
            let unknown = match is_of_rest(route) && known.is_empty() {
                true => Some(rest[1 - side].overlapping(&template)),
                false if others.is_empty() => Some(cells.tables[1 - side].exchanging(route)),
                false => None,
            };
            let is_exact = unknown.is_none();
            if let Some(all) = unknown {
                others.extend(all.into_iter().map(Owner::Route));
                others.push(Owner::Unserved);
            }
            let before = described[0].overlapping(&template);
            let has_conditions = |at: &u32| !cells.before(*at).conditions.is_empty();
            let around = described[1].overlapping(&template);
            let around = || around.iter().map(|at| cells.after(*at));
            let unspelled = match side {
                0 => unspelled(cells, route, around()),
                _ => Vec::new(),
            };
            let covering = around().filter(|other| covers(&other.template, &route.template));
            let covering: Vec<&Route<'_>> = covering.collect();
            let internal = covering.iter();
            let internal = internal.filter(|other| !other.serves && other.conditions.is_empty());
            let internal = internal.filter_map(|other| other.method.map(str::to_owned));
            Region {
                cause,
                owners: match side {
                    0 => [vec![Owner::of(route, at)], others],
                    _ => [others, vec![Owner::of(route, at)]],
                },
                is_exact,
                template: loosened(&route.template),
                unspelled,
                was_described: !before.is_empty(),
                was_conditional: before.iter().any(has_conditions),
                is_mounted: bases.contains(&*route.mount.base_path),
                is_described: !covering.is_empty(),
                internal: internal.collect(),
            }
        };
        Self {
            all: parallel::map(causes, region),
        }
    }
}

impl<'c, 'r, 'a> Affected<'c, 'r, 'a> {
    pub(super) fn new(cells: &'c Cells<'r, 'a>, regions: &'c Regions) -> Self {
        let entries = regions.all.iter().zip(0u32..);
        let index = Index::new(entries.map(|(region, at)| (at, &region.template, 0)));
        let engines = [cells.engines.old.as_ref(), Some(&cells.engines.new)].map(|engine| {
            let routes = engine
                .into_iter()
                .flat_map(|engine| engine.snapshot().routes());
            routes.map(|route| (route.id.as_str(), route)).collect()
        });
        let engines: [FxHashMap<&str, RouteRef<'_>>; 2] = engines;
        let engines = [0, 1].map(|side| {
            let routes = cells.tables[side].routes.iter();
            let of_engine = routes.map(|route| engines[side].get(&*route.id()).copied());
            of_engine.collect()
        });
        Self {
            cells,
            regions,
            index,
            engines,
        }
    }

    /// Changed routes that let the new side serve paths of a pair which the old side refuses. With
    /// `is_alike`, the pair stands for all pairs of [`Alike`]. The result then also contains routes
    /// that may open paths of another old route and the same new route.
    pub(super) fn opened(&self, one: RoutePair, is_alike: bool) -> Vec<Cause> {
        let routes = [self.cells.before(one.before), self.cells.after(one.after)];
        let mut alike = Vec::new();
        let own = self.engines[0][one.before as usize].as_ref();
        if own.is_none_or(readings::compares_spellings) {
            alike = self.index.overlapping(&loosened(&routes[1].template));
            if !is_alike && routes[0].template != routes[1].template {
                let of_before = self.index.overlapping(&loosened(&routes[0].template));
                alike.retain(|at| of_before.binary_search(at).is_ok());
            }
        }
        // Many pairs of routes can have moved requests. If the step limit is exceeded, compare
        // nothing.
        if is_alike && !self.cells.tables[0].searches.take(alike.len()) {
            return Vec::new();
        }
        let keeps = [(0, one.before), (1, one.after)].map(|(side, at)| self.keeps_others(side, at));
        let all = &self.regions.all;
        let mut found: BTreeSet<usize> = alike.into_iter().map(|at| at as usize).collect();
        found.retain(|at| {
            is_other_spelling(routes[1], self.cells.cause(all[*at].cause))
                && self.opens(one, &all[*at], Reading::Spelling)
        });
        if keeps.contains(&true) {
            let opened = (0..all.len()).filter(|at| {
                self.reaches(one, &all[*at]) && self.opens(one, &all[*at], Reading::Any)
            });
            found.extend(opened);
        }
        let found = found.into_iter().map(|at| all[at].cause);
        let is_own = |cause: &Cause| [one.before, one.after][cause.side] == cause.at;
        found.filter(|cause| !is_own(cause)).collect()
    }

    /// True if servers may read paths of a pair as paths of a region because of escapes.
    fn reaches(&self, one: RoutePair, region: &Region) -> bool {
        let own = self.cells.after(one.after);
        let has_choice = own.is_ambiguous() || !is_fixed(&own.template);
        has_choice && (!own.mount.strip_base_path || self.is_below(own, region))
    }

    /// True if paths of a region may be below the base path of a route.
    fn is_below(&self, own: &Route<'_>, region: &Region) -> bool {
        let base = own.mount.base_path.split('/').skip(1);
        let mut segments = region.template.segments().iter();
        base.map(folding::folded).all(|text| match segments.next() {
            Some(Segment::Literal(own) | Segment::Folded(own)) => *own == text,
            Some(Segment::Parameter(_) | Segment::Pattern(_)) => true,
            None => region.template.is_prefix(),
        })
    }

    /// True if the new side may serve a path of the pair that the old side refuses. The reason of
    /// the refusal is that a server may read the path as a path of the region.
    fn opens(&self, one: RoutePair, region: &Region, reading: Reading) -> bool {
        let cause = self.cells.cause(region.cause);
        let own = self.cells.after(one.after);
        let is_undescribed = cause.tier == Tier::Unmatched;
        if reading == Reading::Spelling && is_undescribed && !has_other_base(cause, own) {
            // In another letter case, a path of `own` is an undescribed path of `cause` only below
            // another base path.
            return false;
        }
        let has_owner = || own.conditions.is_empty() && covers(&own.template, &cause.template);
        if is_of_rest(cause) && !is_of_rest(own) && has_owner() {
            // `own`, or a route that takes precedence over `own`, serves the requests of the
            // region.
            return false;
        }
        let [befores, afters] = &region.owners;
        // True if the new route of the pair serves requests of the region. Another line reports
        // this.
        let gains = |owner: &Owner| matches!(owner, Owner::Route(at) if *at == one.after);
        if region.is_exact && afters.iter().any(gains) {
            return false;
        }
        if reading == Reading::Spelling && self.has_unspelled(one, region) {
            return true;
        }
        (is_of_rest(own) || cause.meets(own))
            && befores
                .iter()
                .any(|owner| self.refuses(one, *owner, region, reading))
            && afters.iter().any(|owner| self.admits(one, *owner, region))
    }

    /// True if the old side refuses paths of a pair that servers may read as paths of another
    /// route. Only the operation of the region describes these other paths, possibly with another
    /// method.
    fn has_unspelled(&self, one: RoutePair, region: &Region) -> bool {
        let own = self.cells.before(one.before);
        let mut others = region.unspelled.iter();
        others.any(|at| {
            let other = self.cells.before(*at);
            let is_other = *at != one.before && (is_of_rest(other) || other.meets(own));
            is_other && (!other.serves || self.is_refused([one.before, *at], Reading::Spelling))
        })
    }

    /// True if the old side may refuse paths of a pair because `owner` has the requests of the
    /// region.
    fn refuses(&self, one: RoutePair, owner: Owner, region: &Region, reading: Reading) -> bool {
        let own = self.cells.before(one.before);
        let keeps = self.keeps_others(0, one.before);
        let is_rest = is_of_rest(own) && !keeps;
        match owner {
            Owner::Internal => true,
            Owner::Route(at) if !is_of_rest(own) && !self.cells.before(at).meets(own) => false,
            Owner::Route(at) => {
                let may_fail = !self.cells.before(at).conditions.is_empty();
                may_fail && (is_rest || keeps) || self.is_refused([one.before, at], reading)
            }
            Owner::Undeclared => is_rest,
            Owner::Unserved => {
                let cause = self.cells.cause(region.cause);
                let is_other = is_of_rest(cause) && has_other_base(cause, own);
                is_rest && (region.was_described || is_other) || keeps && region.was_conditional
            }
        }
    }

    /// True if the new side may serve paths of a pair because no route serves the requests of the
    /// region.
    fn admits(&self, one: RoutePair, owner: Owner, region: &Region) -> bool {
        let own = self.cells.after(one.after);
        match owner {
            // If a route of the new side admits more callers to the requests of the region, another
            // line reports this difference.
            Owner::Internal | Owner::Route(_) => false,
            Owner::Undeclared | Owner::Unserved => {
                let cause = self.cells.cause(region.cause);
                let is_other = region.is_mounted && has_other_base(cause, own);
                let mut internal = region.internal.iter().map(String::as_str);
                let is_internal = internal.any(|internal| {
                    let get = own.method == Some("HEAD") && internal == "GET";
                    own.method == Some(internal) || get
                });
                match self.keeps_others(1, one.after) {
                    true => !is_internal && self.is_below(own, region),
                    // The new side still refuses an undescribed path in two cases: the requests of
                    // the region get 404 or 405 at a described path, or 404 at another mount.
                    false if is_of_rest(own) => {
                        !matches!(owner, Owner::Undeclared) && !region.is_described && !is_other
                    }
                    false => !is_internal,
                }
            }
        }
    }

    /// True if the old side refuses paths of the first route that servers may read as paths of the
    /// second route.
    fn is_refused(&self, routes: [u32; 2], reading: Reading) -> bool {
        let [own, other] = routes.map(|at| self.engines[0][at as usize].as_ref());
        let (Some(own), Some(other)) = (own, other) else {
            return true;
        };
        match reading {
            Reading::Spelling => readings::has_other_access(own, other),
            Reading::Any => !readings::is_equivalent(own, other),
        }
    }

    /// True if a side serves paths of a route that servers may read as other paths.
    fn keeps_others(&self, side: usize, at: u32) -> bool {
        let route = self.engines[side][at as usize].as_ref();
        route.is_some_and(readings::keeps_others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::spellings::tests::template;

    #[test]
    fn loosened_templates_have_no_case_and_no_final_slash() {
        for (text, expected) in [
            ("/Users/{x}/", "/users/{x}"),
            ("/%C3%89/a", "/é/a"),
            ("/", "/"),
            ("/A*", "/a"),
        ] {
            assert_eq!(loosened(&template(text)).to_string(), expected, "{text}");
        }
    }

    #[test]
    fn covering_templates_match_all_paths() {
        for (outer, inner, expected) in [
            ("/{x}", "/a", true),
            ("/{x}", "/", false),
            ("/a*", "/a/{x}/b", true),
            ("/a*", "/{x}/b", false),
            ("/a", "/a*", false),
            ("/{x}", "/{y}", true),
            ("/a/{x}", "/a", false),
        ] {
            let found = covers(&template(outer), &template(inner));
            assert_eq!(found, expected, "{outer} {inner}");
        }
    }
}
