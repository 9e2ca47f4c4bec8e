//! Exact comparison of routing: which route handles which requests before and after a release, and
//! which callers may send these requests.
//!
//! The requests of a listener and host are divided into cells. The owner of a request is the route
//! that handles it. All requests of a cell have the same owner in the old table, and the same owner
//! in the new table. Between two routes that are the same in both tables, no requests change owner.
//! Each cell with two different owners therefore involves a route that is new, removed or changed.
//! [`search`] finds the smallest request of a cell from the two tables alone, or finds that the
//! cell is empty. Both engines then decide that request.

mod affected;
mod automata;
mod cell;
mod destinations;
mod digests;
mod engines;
mod example;
mod found;
mod index;
mod logins;
mod logouts;
mod messages;
mod new_refusals;
mod peers;
mod refusals;
mod replies;
mod round;
mod search;
mod served;
mod settings;
mod shadow;
mod spellings;
mod table;
mod texts;
mod unshown;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use bundle::digest::Digest;
use bundle::ir;
use engine::BuildError;
use rustc_hash::{FxHashMap, FxHashSet};

use super::details::{ApiSide, LimitedCells, Line, are_compared, of_cell};
use super::security::schemas::{self, EnforcedDescriptions};
use super::security::{self, Access, Difference, describe};
use super::witness::Draft;
use super::{Change, Class, Plan, Section, Side};
use crate::gates::NOT_COMPARED;
use cell::Cells;
use digests::digest_of;
use engines::Engines;
use found::Found;
use index::{Entry, Index};
use model::lower::Lowered;
use replies::{GATEWAY, REPLIED, answer, are_newly_sent, refuses};
use search::{Owner, Relation, STEPS_OF_CELL, STEPS_OF_PAIR, Table, smallest};
pub(super) use served::ServedPairs;
use settings::{ChangedRoutes, Settings};
use sources::parallel;
use table::{Mounted, Place, Route, Signature, Tier, places, routes};

/// Compares which routes handle which requests, and which callers may send the requests. Without an
/// old side, compares with an empty gateway. Returns the operations that serve the same requests.
///
/// # Errors
/// Returns an error if the engine of a side cannot be built.
pub(super) fn compare<'a>(
    old: Option<&'a Side>,
    new: &'a Side,
    plan: &mut Plan,
) -> Result<ServedPairs<'a>, BuildError> {
    let before = plan.changes.len();
    let (was, is) = (old.map(|side| &side.lowered), &new.lowered);
    let mut served = ServedPairs::between(was.map(|was| &was.gateway), &is.gateway);
    let of = |side: &Lowered| ir::IdentityFields::of_gateway(&side.gateway);
    let identities = Identities {
        old: was.map(of).unwrap_or_default(),
        new: of(is),
    };
    let mut results = BTreeSet::new();
    let mut laid = Vec::new();
    let mut logouts = logouts::LostLogoutPaths::default();
    let mut logins = was.map(|was| logins::Logins::new(&was.gateway, &is.gateway));
    let sides: Vec<&Lowered> = was.into_iter().chain([is]).collect();
    let mounted = (was.map(Mounted::of), Mounted::of(is));
    for place in places(&sides) {
        let before = mounted.0.as_ref().map_or(&[][..], |was| was.owners(&place));
        let after = mounted.1.owners(&place);
        // Hosts with the same mounts are compared once.
        if results.insert((place.listener.clone(), names(before), names(after))) {
            if let Some(was) = was {
                let (old, new) = ((&was.gateway, before), (&is.gateway, after));
                logouts.add(&place, old, new);
                if let Some(logins) = &mut logins {
                    logins.add(&place, old, new);
                }
            }
            let sides = ((was, before), (is, after));
            laid.push(Overlay::new(place, sides, &identities));
        }
    }
    let mut limited = was.and_then(|was| LimitedCells::new(&was.gateway, &is.gateway));
    for overlay in &laid {
        overlay.add_kept(limited.as_mut(), &mut served);
    }
    logouts.report(plan);
    laid.retain(Overlay::is_changed);
    let listeners = peers::Changed::of(was, is);
    let logins = was.zip(logins.filter(|logins| !logins.is_empty()));
    if !laid.is_empty() || !listeners.is_empty() || logins.is_some() {
        let engines = Engines::build(old, new)?;
        if let Some((was, logins)) = &logins {
            let ask = |draft: &Draft| engines.outcomes(draft);
            let identities = [&identities.old, &identities.new];
            logins.report((was, is), (identities, &ask), plan);
        }
        for listener in listeners {
            listener.compare((was, is), &engines, plan);
        }
        for overlay in &laid {
            let context = (&engines, &identities);
            let found = (limited.as_mut(), &mut served);
            overlay.compare((was, is), context, found, plan);
        }
    }
    plan.changes.extend(served.take_moved());
    served.name_partly_removed(&mut plan.changes[before..]);
    // Do not compare counters of limits if a host could not be compared: the requests of that host
    // are missing from `limited`.
    limited = limited.filter(|_| plan.too_large.is_empty());
    if let Some(was) = was {
        for (before, after) in round::compare(&was.gateway, &is.gateway, &served.kept(), plan) {
            if let Some(limited) = &mut limited {
                limited.add(before, after);
            }
        }
    }
    if let Some(limited) = limited {
        limited.compare(plan);
    }
    Ok(served)
}

/// Names of APIs and their mounts.
fn names(owners: &[(&ir::Api, &ir::Mount)]) -> Vec<(String, String)> {
    let name = |(api, mount): &(&ir::Api, &ir::Mount)| (api.name.clone(), mount.name.clone());
    owners.iter().map(name).collect()
}

/// Identity fields of the upstreams of both sides.
struct Identities {
    old: ir::IdentityFields,
    new: ir::IdentityFields,
}

/// Reason why paths were not compared: matching of patterns exceeds the step limit.
const PATTERNS: &str = "comparing the patterns with several parameters in one segment takes too \
many steps; use fewer of them, or separate the parameters by `/`";

/// Maximum number of paths that a message about exceeded step limits names.
const PATHS_NAMED_MAX: usize = 3;

/// Names the paths with the most parameters in one segment.
fn patterns(routes: &[&[Route<'_>]]) -> String {
    let mut paths: BTreeSet<(Reverse<usize>, String)> = BTreeSet::new();
    for route in routes.iter().copied().flatten() {
        let segments = route.template.segments().iter();
        let most = segments.map(|segment| match segment {
            ir::Segment::Pattern(pattern) => pattern.rest.len(),
            ir::Segment::Literal(_) | ir::Segment::Folded(_) | ir::Segment::Parameter(_) => 0,
        });
        let most = most.max().unwrap_or(0);
        if most > 1 {
            paths.insert((Reverse(most), route.template.to_string()));
        }
    }
    let named = paths.iter().take(PATHS_NAMED_MAX);
    let named: Vec<String> = named.map(|(_, path)| format!("`{path}`")).collect();
    let more = match paths.len().saturating_sub(PATHS_NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(" ({}{more})", named.join(", "))
}

/// Reason why paths were not compared: too many pairs of routes exchange requests.
const OVERLAPS: &str = "too many paths overlap and change at once, and each pair that exchanges \
requests is a change; change fewer paths at a time, or use paths that do not overlap";

/// Routes of both sides at one listener and host.
struct Overlay<'a> {
    place: Place,
    old: Vec<Route<'a>>,
    new: Vec<Route<'a>>,
    tasks: Vec<Task>,
    /// Pairs of an old and a new route, by index, with the same requests and the same access.
    kept: Vec<(u32, u32)>,
    changed: ChangedRoutes,
}

/// Route or pair of routes whose requests are compared.
#[derive(Clone, Copy, Debug)]
enum Task {
    /// Route that both sides have, but whose requests are handled differently.
    Both(u32, u32),
    /// Route that both sides have, and that may gain or lose requests because other routes changed.
    /// The route is for undescribed requests, or its template overlaps a template of [`bordering`].
    Rest(u32, u32),
    /// Route that only the new table has.
    New(u32),
    /// Route that only the old table has.
    Gone(u32),
}

/// Side of a comparison, with its mounts at one listener and host.
type ServingSide<'o, 'a, L> = (L, &'o [(&'a ir::Api, &'a ir::Mount)]);

impl<'a> Overlay<'a> {
    fn new(
        place: Place,
        ((was, before), (is, after)): (
            ServingSide<'_, 'a, Option<&'a Lowered>>,
            ServingSide<'_, 'a, &'a Lowered>,
        ),
        identities: &Identities,
    ) -> Self {
        let auth = |side: &'a Lowered| &side.gateway.shared.auth;
        let merges = was.is_some_and(|was| place.merges_slashes(was));
        let old = routes(before, was.map(auth), merges);
        let new = routes(after, Some(auth(is)), place.merges_slashes(is));
        let signed = |routes: &[Route<'_>]| -> Vec<Signature> {
            parallel::map(routes.iter().collect(), |route: &Route<'_>| {
                route.signature()
            })
        };
        let (old_signed, new_signed) = (signed(&old), signed(&new));
        // Leave out routes that serve no requests.
        let serving = |routes: &[Route<'_>], signed: &[Signature]| -> Vec<(Signature, u32)> {
            let numbered = signed.iter().cloned().zip(0u32..);
            let serving = numbered.filter(|(_, at)| routes[*at as usize].serves);
            serving.collect()
        };
        let changed = [(&old_signed, &new_signed), (&new_signed, &old_signed)];
        let changed: ChangedRoutes = changed.map(|(own, other)| {
            let other: FxHashSet<&Signature> = other.iter().collect();
            own.iter().map(|one| !other.contains(one)).collect()
        });
        let (old_serving, new_serving) = (serving(&old, &old_signed), serving(&new, &new_signed));
        // Undescribed requests matter only if a route serves them.
        let gets_rest = |route: &Route<'_>| !route.operation.owns.is_described();
        let shifts = new.iter().any(|route| route.serves && gets_rest(route))
            && changed.iter().flatten().any(|is_changed| *is_changed);
        let listed = |serving: &[(Signature, u32)]| -> FxHashMap<Signature, u32> {
            serving.iter().cloned().collect()
        };
        let (old_list, new_list) = (listed(&old_serving), listed(&new_serving));
        let bordering = Index::new(bordering((&old, &old_signed), (&new, &new_signed)));
        let pairs = Pairs::new((was, is), &place.listener, identities);
        let mut tasks: Vec<Task> = Vec::new();
        let mut kept = Vec::new();
        for (signature, at) in &new_serving {
            let at = *at;
            match old_list.get(signature) {
                None => tasks.push(Task::New(at)),
                Some(before) => {
                    let (was, is) = (&old[*before as usize], &new[at as usize]);
                    match was.id() != is.id() || pairs.of(was, is).differs() {
                        true => tasks.push(Task::Both(*before, at)),
                        false => kept.push((*before, at)),
                    }
                    let may_shift = !bordering.overlapping(&is.template).is_empty();
                    if shifts && gets_rest(is) || may_shift {
                        tasks.push(Task::Rest(*before, at));
                    }
                }
            }
        }
        let gone = old_serving.iter();
        let gone = gone.filter(|(signature, _)| !new_list.contains_key(signature));
        tasks.extend(gone.map(|(_, at)| Task::Gone(*at)));
        Self {
            place,
            old,
            new,
            tasks,
            kept,
            changed,
        }
    }

    /// True if a route changed, if a route that serves no requests exists on one side only, or if
    /// other settings of routes may change which requests are refused.
    fn is_changed(&self) -> bool {
        let mut settings = Settings::default();
        let mut differ = |(before, after): &(u32, u32)| {
            settings.differ(&self.old[*before as usize], &self.new[*after as usize])
        };
        !self.tasks.is_empty()
            || self.changed.iter().flatten().any(|is_changed| *is_changed)
            || self.kept.iter().any(&mut differ) && spellings::may_refuse([&self.old, &self.new])
    }

    /// Adds the cells of the routes that both sides have to the comparisons of counters and of
    /// contracts.
    fn add_kept(&self, limited: Option<&mut LimitedCells<'a>>, served: &mut ServedPairs<'a>) {
        if let Some(limited) = limited {
            for pair in &self.kept {
                self.add(*pair, limited);
            }
        }
        self.add_served(&self.kept, served);
    }

    /// Adds pairs of routes that serve some of the same requests to the comparison of contracts.
    fn add_served(&self, pairs: &[(u32, u32)], served: &mut ServedPairs<'a>) {
        for (before, after) in pairs {
            served.add(&self.old[*before as usize], &self.new[*after as usize]);
        }
    }

    /// Adds the cell of an old and a new route to the comparison of counters.
    fn add(&self, (before, after): (u32, u32), limited: &mut LimitedCells<'a>) {
        let (old, new) = (&self.old[before as usize], &self.new[after as usize]);
        if !old.redirects() && !new.redirects() {
            limited.add(old.operation_at(), new.operation_at());
        }
    }

    /// Relation of each route to the routes of the other side, for the searches.
    fn relations(&self) -> [Vec<Relation>; 2] {
        let mut relations = [&self.old, &self.new].map(|routes| vec![Relation::Kept; routes.len()]);
        for task in &self.tasks {
            match task {
                Task::Gone(at) => relations[0][*at as usize] = Relation::Changed,
                // Requests that move from a removed route to a new route are compared once, by the
                // task of the new route.
                Task::New(at) => relations[1][*at as usize] = Relation::Ignored,
                Task::Both(..) | Task::Rest(..) => {}
            }
        }
        relations
    }

    fn compare(
        &self,
        (was, is): (Option<&Lowered>, &Lowered),
        (engines, identities): (&Engines, &Identities),
        (mut limited, pairs): (Option<&mut LimitedCells<'a>>, &mut ServedPairs<'a>),
        plan: &mut Plan,
    ) {
        let before = (plan.changes.len(), plan.bugs.len());
        let relations = self.relations();
        let mut old = Table::new(&self.old, &relations[0], self.new.len());
        let mut new = Table::new(&self.new, &relations[1], self.old.len());
        Table::compare_names([&mut old, &mut new]);
        let handling =
            [0, 1].map(|side| move |found: &Found| engines.handling(side, &self.place, found));
        old.handling = Some(&handling[0]);
        new.handling = Some(&handling[1]);
        let cells = Cells {
            place: &self.place,
            tables: [&old, &new],
            sides: (was, is),
            pairs: Pairs::new((was, is), &self.place.listener, identities),
            engines,
            changed: &self.changed,
        };
        let results = parallel::map(self.tasks.clone(), |task| cells.of(task));
        let mut moved = BTreeSet::new();
        let mut others = [FxHashSet::default(), FxHashSet::default()];
        let (mut exchanged, mut missed) = (BTreeSet::new(), Vec::new());
        let mut served = [FxHashSet::default(), FxHashSet::default()];
        for results in results {
            plan.changes.extend(results.changes);
            plan.bugs.extend(results.bugs);
            moved.extend(results.moved);
            for (all, own) in served.iter_mut().zip(results.served) {
                all.extend(own);
            }
            for pair in &results.exchanged {
                if let Some(limited) = &mut limited {
                    self.add(*pair, limited);
                }
            }
            exchanged.extend(results.exchanged);
            missed.extend(results.missed);
            for (all, own) in others.iter_mut().zip(results.others) {
                all.extend(own);
            }
        }
        if was.is_some() {
            let pairs = (&*self.tasks, &*self.kept);
            let refusals = cells.refusals(pairs, (&exchanged, &served), &self.changed);
            cells.report_refusals(refusals, &served, (before.0, plan));
        }
        for pair in missed {
            let results = cells.missed(pair, &plan.changes[before.0..]);
            plan.changes.extend(results.changes);
        }
        if !old.searches.are_spent() {
            let shadows = cells.shadows(&self.tasks, &moved, &others);
            plan.changes.extend(shadows);
        }
        plan.steps += old.searches.taken() + old.visited() + new.visited();
        let reasons = [(&old.steps, PATTERNS), (&old.searches, OVERLAPS)];
        let spent = reasons.into_iter().find(|(steps, _)| steps.are_spent());
        if let Some((_, reason)) = spent {
            // Drop the results of this listener and host: they are incomplete, and depend on the
            // order in which threads used up the step limit.
            plan.changes.truncate(before.0);
            plan.bugs.truncate(before.1);
            self.report_not_compared(reason, plan);
            let both = self.tasks.iter().filter_map(|task| match task {
                Task::Both(before, after) => Some((*before, *after)),
                Task::Rest(..) | Task::New(_) | Task::Gone(_) => None,
            });
            exchanged = both.collect();
        }
        let exchanged: Vec<(u32, u32)> = exchanged.into_iter().collect();
        self.add_served(&exchanged, pairs);
    }
}

impl Overlay<'_> {
    /// Reports that this listener and host were not compared.
    fn report_not_compared(&self, reason: &'static str, plan: &mut Plan) {
        let Place { listener, host, .. } = &self.place;
        let place = format!("the listener `{listener}`, host `{host}`");
        let paths = match reason {
            PATTERNS => patterns(&[&self.old, &self.new]),
            _ => String::new(),
        };
        let problem = format!("the paths of {place}{paths} cannot be compared: {reason}");
        plan.too_large.push(problem);
        if let Some(old) = plan.old {
            plan.changes
                .push(self.not_compared((old, plan.new), reason));
        }
    }

    /// Creates one line for all changes of this listener and host, which were not compared. The
    /// line may hide changes of any class. An acknowledgement covers only these two bundles.
    fn not_compared(&self, (old, new): (Digest, Digest), reason: &'static str) -> Change {
        let Place { listener, host } = &self.place;
        let subject = format!("paths of listener {listener}, host {host}");
        let mut change = Change::new(
            Section::Security,
            Class::Incomparable,
            NOT_COMPARED,
            subject,
            old.to_string().into(),
            new.to_string().into(),
        );
        change.why_none = Some(reason);
        change
    }
}

/// Templates of certain routes that only one side has, as entries of an index. These are paths of
/// logins, `internal` operations, and ambiguous templates, for which the gateway may refuse
/// requests. Because of such a route, an unchanged route may gain or lose requests.
fn bordering<'r>(
    (old, old_signed): (&'r [Route<'_>], &'r [Signature]),
    (new, new_signed): (&'r [Route<'_>], &'r [Signature]),
) -> impl Iterator<Item = Entry<'r>> {
    let of = |routes: &'r [Route<'_>], signed: &'r [Signature]| {
        let all = routes.iter().zip(signed);
        let bordering = all.filter(|(route, _)| match route.tier {
            Tier::Login => true,
            Tier::Described => !route.serves || route.is_ambiguous(),
            Tier::Unmatched | Tier::Undeclared | Tier::Withheld => false,
        });
        let templates = bordering.map(|(route, signature)| (signature, &*route.template));
        templates.collect::<BTreeMap<&Signature, &ir::Template>>()
    };
    let (was, is) = (of(old, old_signed), of(new, new_signed));
    let only = |own: &BTreeMap<&Signature, &'r ir::Template>, other: &BTreeMap<_, _>| {
        let own = own
            .iter()
            .filter(|(signature, _)| !other.contains_key(*signature));
        own.map(|(_, template)| *template).collect::<Vec<_>>()
    };
    let changed = only(&was, &is).into_iter().chain(only(&is, &was));
    let changed: BTreeSet<&ir::Template> = changed.collect();
    (0u32..)
        .zip(changed)
        .map(|(at, template)| (at, template, 0))
}

/// Memory addresses of a route's treatment, operation and mount. The addresses of operation and
/// mount are 0 unless a policy reads their names or requests are checked against their description.
/// Routes with equal addresses have equal access.
type Same = (usize, usize, usize);

/// Differences between operation treatments of the two sides. Each pair is compared only once.
struct Pairs<'a> {
    sides: (Option<&'a Lowered>, &'a Lowered),
    listener: &'a str,
    identities: &'a Identities,
    known: Mutex<FxHashMap<(Same, Same), Arc<Pair>>>,
}

/// Differences between the treatments (effective settings) of an old and a new route.
#[derive(Debug)]
struct Pair {
    access: Vec<Difference>,
    /// Descriptions of the old and the new security requirement, if both admit the same callers but
    /// are written differently. Otherwise `None`.
    restated: Option<(String, String)>,
    /// True if the requests go to another upstream.
    upstream: bool,
    /// Differences between the messages that the two sides accept. `None`: no difference.
    enforced: Option<EnforcedDescriptions>,
    /// Digest of the definitions to which the security requirements of both sides refer by name.
    requirements_digest: String,
}

impl Pair {
    fn differs(&self) -> bool {
        !self.access.is_empty()
            || self.restated.is_some()
            || self.upstream
            || self.enforced.is_some()
    }
}

impl<'a> Pairs<'a> {
    fn new(
        sides: (Option<&'a Lowered>, &'a Lowered),
        listener: &'a str,
        identities: &'a Identities,
    ) -> Self {
        Self {
            sides,
            listener,
            identities,
            known: Mutex::default(),
        }
    }

    fn of(&self, before: &Route<'_>, after: &Route<'_>) -> Arc<Pair> {
        let key = (
            self.sides.0.map_or((0, 0, 0), |side| same(side, before)),
            same(self.sides.1, after),
        );
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pair) = known().get(&key) {
            return Arc::clone(pair);
        }
        let (was, is) = (before.treatment(), after.treatment());
        let sides = (self.earlier(before, after), self.after(after));
        let mut access = security::differences(&sides.0, &sides.1);
        if are_newly_sent(self.sides, before, after) {
            access
                .iter_mut()
                .for_each(|one| one.why_none = Some(REPLIED));
        }
        let descriptions = (describe(&was.security), describe(&is.security));
        let is_who_changed = access
            .iter()
            .any(|difference| difference.component == "who");
        let pair = Arc::new(Pair {
            restated: (!is_who_changed && descriptions.0 != descriptions.1).then_some(descriptions),
            upstream: self.upstream_name(before) != self.upstream_name(after),
            enforced: schemas::enforced(&sides.0, &sides.1),

            requirements_digest: [self.sides.0, Some(self.sides.1)]
                .into_iter()
                .zip([before, after])
                .map(|(side, route)| side.map_or_else(String::new, |side| digest_of(side, route)))
                .collect::<Vec<_>>()
                .join(" "),
            access,
        });
        known().insert(key, Arc::clone(&pair));
        pair
    }

    /// Compares policies, limits and settings of two operations that are not compared by key.
    fn lines(&self, before: &Route<'_>, after: &Route<'_>) -> Vec<Line> {
        let Some(was) = self.sides.0 else {
            return Vec::new();
        };
        let known = are_compared((before.api, before.operation), (after.api, after.operation));
        if known {
            return Vec::new();
        }
        let old = ApiSide {
            api: before.api,
            shared: &was.gateway.shared,
        };
        let new = ApiSide {
            api: after.api,
            shared: &self.sides.1.gateway.shared,
        };
        of_cell((old, before.treatment()), (new, after.treatment()))
    }

    /// Callers that have access to a route of the old side.
    fn before<'r>(&self, route: &Route<'r>) -> Access<'r>
    where
        'a: 'r,
    {
        match self.sides.0 {
            Some(side) => self.access((side, &self.identities.old), route),
            None => Access::none(),
        }
    }

    /// Callers that have access to a route of the old side. No callers, if a policy of the old
    /// route answered all requests and the new route sends them to an upstream.
    fn earlier<'r>(&self, before: &Route<'r>, after: &Route<'_>) -> Access<'r>
    where
        'a: 'r,
    {
        let access = self.before(before);
        match are_newly_sent(self.sides, before, after) {
            true => access.refused(),
            false => access,
        }
    }

    /// Callers that have access to a route of the new side.
    fn after<'r>(&self, route: &Route<'r>) -> Access<'r>
    where
        'a: 'r,
    {
        self.access((self.sides.1, &self.identities.new), route)
    }

    fn access<'r>(
        &self,
        (side, identities): (&'a Lowered, &'a ir::IdentityFields),
        route: &Route<'r>,
    ) -> Access<'r>
    where
        'a: 'r,
    {
        // A route that only redirects or refuses every caller gives access to no caller.
        if route.redirects() {
            return Access::none();
        }
        let place = (route.api, route.mount);
        let access = Access::of(
            &side.gateway,
            place,
            route.operation,
            self.listener,
            identities,
        );
        match refuses(side, route) {
            true => access.refused(),
            false => access,
        }
    }

    /// Name of the upstream that receives a route's requests, or [`GATEWAY`] if a policy responds.
    fn upstream_name<'r>(&self, route: &Route<'r>) -> &'r str {
        let sides = self.sides.0.into_iter().chain([self.sides.1]);
        // Look up policies on the side of the route's API, because the other side may define other
        // policies with the same names.
        let own = sides
            .filter(|side| {
                let api = side.gateway.apis.get(&route.api.name);
                api.is_some_and(|api| std::ptr::eq(api, route.api))
            })
            .find_map(|side| answer(side, route));
        match own {
            Some(_) => GATEWAY,
            None => {
                let treatment: &'r ir::Treatment =
                    &route.api.treatments[route.operation.treatment as usize];
                &treatment.upstream
            }
        }
    }
}

fn same(side: &Lowered, route: &Route<'_>) -> Same {
    let treatment = route.treatment();
    let address = std::ptr::from_ref(treatment) as usize;
    let described = route.api.messages.as_ref();
    let described = described.and_then(|all| all.operations.get(&route.operation.key));
    let reads_route = security::reads_route(&side.gateway, route.api, treatment);
    match reads_route || described.is_some() {
        false => (address, 0, 0),
        true => {
            let operation = std::ptr::from_ref(route.operation) as usize;
            (address, operation, std::ptr::from_ref(route.mount) as usize)
        }
    }
}
