//! Search for the smallest request that two tables assign to two given owners.
//!
//! A route owns (serves) the requests that it matches, except those that a route of higher
//! precedence matches. The search walks the paths through both tables together, segment by segment,
//! shortest first. If a route of higher precedence matches a path, the path is excluded, unless the
//! request can fail the conditions of that route.
//!
//! Upstreams may read an ambiguous path in several ways. With `path_readings: strict`, the gateway
//! serves such a path only if one route owns all readings, and at least one reading is unambiguous.
//! A change of such a path is then also a change of the unambiguous reading. The search therefore
//! looks for unambiguous paths first. If it finds none, it looks for ambiguous paths, but only if
//! the template of an owner is ambiguous or an owner has `path_readings: keep`. The engine of each
//! side decides whether it refuses such a path ([`Handling`]).

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeSet, BinaryHeap, HashSet};
use std::sync::OnceLock;

use bundle::digest::Digest;
use bundle::ir::{self, Condition, Segment};
use policy::auth;

use rustc_hash::FxHashMap;

use super::found::Found;
use super::index::{Entry, Index, ROOT};
use super::table::{Route, Tier};
use super::texts::{Rivals, Steps, fresh, matches, texts, with_upper_escapes};
use crate::details::is_unserved;
use crate::values::{Seen, Values, values};

/// Step limit for all searches in two tables, to which [`STEPS_PER_ROUTE`] is added for each route.
const STEPS_MAX: usize = 4_000_000;

/// Steps added to the limit for each route. The size of the tables alone never exceeds the limit.
const STEPS_PER_ROUTE: usize = 200;

/// Cost of comparing two routes that may match common requests, in steps.
pub(super) const STEPS_OF_PAIR: usize = 4;

/// Cost of a cell whose requests change owner, in steps. Each such cell is a change with a witness:
/// 100,000 of them would make a plan of hundreds of megabytes.
pub(super) const STEPS_OF_CELL: usize = 36;

/// Relation of a route to the table of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// The other table has a route with the same requests and the same precedence.
    Kept,
    /// The other table has no such route.
    Changed,
    /// The route is ignored when the table is searched for routes with common requests.
    Ignored,
}

/// Handling of a path that upstreams may read in several ways, by the engine of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handling {
    /// The route that matches the path serves the request.
    Served,
    /// The gateway refuses the request because of its path (400 `path_ambiguous`).
    Refused,
    /// The listener changes the path before the routes are compared (`merge_slashes`).
    Rewritten,
}

/// Function that returns the handling of a request with an ambiguous path by one side.
pub(super) type HandlingOf<'t> = dyn Fn(&Found) -> Handling + Sync + 't;

/// Routes of one side, with indexes of their templates.
pub(super) struct Table<'t, 'a> {
    pub(super) routes: &'t [Route<'a>],
    pub(super) index: Index<'t>,
    /// Index of the described routes that the other table also has.
    kept: Index<'t>,
    /// Index of the other routes that serve requests. Excludes ignored routes.
    changed: Index<'t>,
    /// Index of the routes that match requests but do not serve them (answer 404).
    withheld: Index<'t>,
    /// Index of the routes with ambiguous templates.
    ambiguous: Index<'t>,
    /// Handling of ambiguous paths by this side. `None`: every path is served.
    pub(super) handling: Option<&'t HandlingOf<'t>>,
    /// True if at least one route has conditions on fields or parameters.
    pub(super) conditioned: bool,
    /// True if the conditions of the two tables name different query parameters that some servers
    /// treat as the same parameter.
    pub(super) has_lookalikes: bool,
    /// Number of remaining steps for matching patterns. The first table's number is used for both
    /// tables.
    pub(super) steps: Steps,
    /// Number of remaining steps for searches. The first table's number is used for both tables.
    pub(super) searches: Steps,
    /// Positions of each operation's routes in the table, by operation key.
    of_operation: OnceLock<FxHashMap<&'t str, Vec<u32>>>,
    /// Digests of the texts that describe which requests each route matches.
    digests: OnceLock<Vec<Digest>>,
    /// Methods that the routes name.
    methods: OnceLock<BTreeSet<&'t str>>,
    /// Value of a parameter that no template of the two tables has as a literal. The first table's
    /// value is used for both tables.
    unnamed: OnceLock<String>,
}

impl<'t, 'a> Table<'t, 'a> {
    /// Builds a table. `standing` contains the relation of each route to the other table. `others`
    /// is the number of routes in the other table.
    pub(super) fn new(routes: &'t [Route<'a>], standing: &[Relation], others: usize) -> Self {
        let entry = |at: u32| -> Entry<'t> {
            let route = &routes[at as usize];
            (at, &route.template, route.priority)
        };
        let all = 0..u32::try_from(routes.len()).expect("fewer than 2^32 routes");
        let index = |takes: &dyn Fn(&Route<'_>, Relation) -> bool| {
            let taken = all.clone().filter(|at| {
                let at = *at as usize;
                takes(&routes[at], standing[at])
            });
            Index::new(taken.map(entry))
        };
        let is_kept = |route: &Route<'_>, standing| {
            standing == Relation::Kept && route.tier == Tier::Described
        };
        let allowance = STEPS_MAX + STEPS_PER_ROUTE * (routes.len() + others);
        Self {
            routes,
            index: index(&|_, _| true),
            kept: index(&|route, standing| route.serves && is_kept(route, standing)),
            changed: index(&|route, standing| {
                route.serves && !is_kept(route, standing) && standing != Relation::Ignored
            }),
            withheld: index(&|route, _| !route.serves),
            ambiguous: index(&|route, _| route.is_ambiguous()),
            handling: None,
            conditioned: routes.iter().any(|route| !route.conditions.is_empty()),
            has_lookalikes: false,
            steps: Steps::default(),
            searches: Steps::new(allowance),
            of_operation: OnceLock::new(),
            digests: OnceLock::new(),
            methods: OnceLock::new(),
            unnamed: OnceLock::new(),
        }
    }

    /// Compares the parameters in the conditions of two tables. See [`Table::has_lookalikes`].
    pub(super) fn compare_names(pair: [&mut Self; 2]) {
        let names: BTreeSet<&str> = pair
            .iter()
            .flat_map(|table| table.routes)
            .flat_map(|route| route.conditions)
            .filter_map(|condition| match condition {
                Condition::Query(name, _) => Some(name.as_str()),
                Condition::Header(..) => None,
            })
            .collect();
        let mut known = BTreeSet::new();
        let is_known = |name: &&str| {
            let readings = BTreeSet::from_iter(auth::readings(name.as_bytes()));
            let known = readings.into_iter().map(|reading| known.insert(reading));
            known.fold(false, |is_known, is_new| is_known | !is_new)
        };
        let has_lookalikes = names.iter().any(is_known);
        for table in pair {
            table.has_lookalikes = has_lookalikes;
        }
    }

    /// Builds a table that is not compared with another one.
    pub(super) fn alone(routes: &'t [Route<'a>]) -> Self {
        Self::new(routes, &vec![Relation::Ignored; routes.len()], 0)
    }

    /// Returns, in table order, the routes of this table that can match some requests of `route`.
    /// `route` exists only in the other version.
    ///
    /// Leaves out the routes that both tables contain and that precede `route`. No request moves
    /// between these and `route`. Also leaves out ignored routes and routes that serve no requests.
    pub(super) fn exchanging(&self, route: &Route<'_>) -> Vec<u32> {
        let mut routes = self.changed.overlapping(&route.template);
        if route.tier == Tier::Described {
            let priority = route.priority;
            routes.extend(self.kept.overlapping_below(&route.template, priority));
            routes.sort_unstable();
        }
        routes.retain(|at| self.routes[*at as usize].meets(route));
        routes
    }

    /// Methods that the routes name.
    fn methods(&self) -> &BTreeSet<&'t str> {
        let named = || self.routes.iter().filter_map(|route| route.method);
        self.methods.get_or_init(|| named().collect())
    }

    /// Routes that match requests of this template but do not serve them.
    pub(super) fn withheld_at(&self, template: &ir::Template) -> Vec<u32> {
        self.withheld.overlapping(template)
    }

    /// Number of index nodes visited in searches for overlapping templates.
    pub(super) fn visited(&self) -> usize {
        let indexes = [&self.kept, &self.changed, &self.withheld];
        indexes.into_iter().map(Index::visited).sum()
    }

    /// Digest of the texts that describe which requests these routes match.
    pub(super) fn digest_of(&self, routes: &[u32]) -> Digest {
        let digests = self.digests.get_or_init(|| {
            let requests = self.routes.iter().map(Route::requests);
            requests.map(|text| Digest::of(text.as_bytes())).collect()
        });
        let bytes = routes
            .iter()
            .flat_map(|at| digests[*at as usize].as_bytes());
        Digest::of(&bytes.copied().collect::<Vec<u8>>())
    }

    /// Text that identifies the requests that an operation matches in this table. The plan uses
    /// this text to find an earlier version of the operation under another key.
    pub(super) fn requests_of(&self, key: &str) -> String {
        let known = self.of_operation.get_or_init(|| {
            let mut known: FxHashMap<&str, Vec<u32>> = FxHashMap::default();
            let serving = self.routes.iter().zip(0u32..);
            for (route, at) in serving.filter(|(route, _)| route.serves) {
                known.entry(&route.operation.key).or_default().push(at);
            }
            known
        });
        let routes = known.get(key).into_iter().flatten();
        let lines: Vec<String> = routes
            .map(|at| self.routes[*at as usize].requests())
            .collect();
        lines.join("; ")
    }
}

/// Owner that a request must have on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Any route, or no route.
    Anyone,
    /// No route matches the request.
    Unserved,
    /// The route with this index.
    Route(u32),
    /// The route with this index matches the request, and the gateway refuses the request because
    /// of its path.
    Refused(u32),
}

impl Owner {
    /// Index of the route. `None` for [`Self::Anyone`] and [`Self::Unserved`].
    fn route(self) -> Option<u32> {
        match self {
            Self::Route(route) | Self::Refused(route) => Some(route),
            Self::Anyone | Self::Unserved => None,
        }
    }
}

/// Finds the smallest request that the tables assign to these owners. `None` if there is no such
/// request. The request already contains the values in `sent`. At least one owner must be a route.
pub(super) fn smallest(
    tables: [&Table<'_, '_>; 2],
    owners: [Owner; 2],
    sent: &Values,
) -> Option<Found> {
    let side = owners.iter().position(|owner| *owner == Owner::Unserved);
    let bare = smallest_of(tables, owners, sent);
    let (Some(side), Some(route)) = (side, owning(tables, owners).first().copied()) else {
        return bare;
    };
    let table = tables[side];
    let with = |owner: Owner| {
        let mut owners = owners;
        owners[side] = owner;
        smallest_of(tables, owners, sent)
    };
    // A request also has no owner if it matches a route that serves no requests.
    let withheld = table.withheld.overlapping(&route.template).into_iter();
    let found = withheld.map(Owner::Route).filter_map(with).chain(bare);
    let found = found.min_by_key(|found| (engine::path::is_ambiguous(&found.path), found.length()));
    if found.is_some() || table.handling.is_none() {
        return found;
    }
    // A request also has no owner if the gateway refuses its path.
    let refusing = match route.is_ambiguous() {
        true => &table.index,
        false => &table.ambiguous,
    };
    let refusing = refusing.overlapping(&route.template).into_iter();
    let serving = refusing.filter(|at| table.routes[*at as usize].serves);
    let found = serving.map(Owner::Refused).filter_map(with);
    found.min_by_key(Found::length)
}

/// Routes among the owners. Leaves out owners that are any route ([`Owner::Anyone`]) or none.
fn owning<'s, 'a>(tables: [&'s Table<'_, 'a>; 2], owners: [Owner; 2]) -> Vec<&'s Route<'a>> {
    let routes = tables.into_iter().zip(owners);
    let routes = routes.filter_map(|(table, owner)| {
        let route = owner.route()?;
        Some(&table.routes[route as usize])
    });
    routes.collect()
}

fn smallest_of(tables: [&Table<'_, '_>; 2], owners: [Owner; 2], sent: &Values) -> Option<Found> {
    let is_refused = owners
        .iter()
        .any(|owner| matches!(owner, Owner::Refused(_)));
    let plain = (!is_refused).then(|| smallest_with((tables, owners), false, sent));
    plain.flatten().or_else(|| {
        let owning = owning(tables, owners);
        may_be_ambiguous(tables, &owning)
            .then(|| smallest_with((tables, owners), true, sent))
            .flatten()
    })
}

/// True if the search for a request must include ambiguous paths: these routes may share an
/// ambiguous path although they share no unambiguous path.
fn may_be_ambiguous(tables: [&Table<'_, '_>; 2], owning: &[&Route<'_>]) -> bool {
    // The gateway answers a login only at its exact path, and not at other spellings of that path.
    if owning.iter().any(|route| route.tier == Tier::Login) {
        return false;
    }
    let keeps = |route: &&Route<'_>| !route.treatment().path_readings.is_strict();
    if tables.iter().all(|table| table.handling.is_none()) {
        return owning.iter().all(keeps);
    }
    let mut owning = owning.iter();
    owning.any(|route| keeps(route) || route.is_ambiguous())
}

/// Finds the smallest request with these owners. Includes ambiguous paths if `ambiguous` is true.
fn smallest_with(
    (tables, owners): ([&Table<'_, '_>; 2], [Owner; 2]),
    ambiguous: bool,
    sent: &Values,
) -> Option<Found> {
    let owning = owning(tables, owners);
    let search = |method| {
        let search = Search {
            ambiguous,
            tables,
            owners,
            owning: &owning,
            method,
            sent,
        };
        search.run()
    };
    // HEAD falls back to GET, so a GET route may differ for HEAD requests only.
    let mut methods: Vec<&str> = Vec::new();
    for method in owning.iter().filter_map(|route| route.method) {
        methods.push(method);
        methods.extend((method == "GET").then_some("HEAD"));
    }
    if methods.is_empty() {
        let found = every_method(tables).into_iter().filter_map(search);
        return found.min_by_key(Found::length);
    }
    methods.retain(|method| owning.iter().all(|route| route.takes(method)));
    methods.sort_by_key(|method| method.len());
    methods.dedup();
    methods.into_iter().find_map(search)
}

/// Methods named in at least one route, and one method named in no route. Leaves out methods that
/// are never served.
fn every_method<'s>(tables: [&'s Table<'_, '_>; 2]) -> BTreeSet<&'s str> {
    let named = tables.into_iter().flat_map(Table::methods);
    let mut methods: BTreeSet<&str> = named.copied().collect();
    if methods.contains("GET") {
        methods.insert("HEAD");
    }
    let usual = [
        "GET", "PUT", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "QUERY",
    ];
    let other = usual.into_iter().find(|method| !methods.contains(method));
    methods.extend(other);
    methods.retain(|method| !is_unserved(method));
    methods
}

struct Search<'s, 't, 'a> {
    tables: [&'s Table<'t, 'a>; 2],
    owners: [Owner; 2],
    owning: &'s [&'s Route<'a>],
    method: &'s str,
    sent: &'s Values,
    /// True if the search includes ambiguous paths.
    ambiguous: bool,
}

/// State of the search: a path prefix, and the routes that can still match.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    /// Length of the path in bytes and, if the request is complete, of its values.
    length: usize,
    path: String,
    segments: usize,
    /// Current nodes of the index tries, for each of the two tables.
    nodes: [Vec<u32>; 2],
    /// Table and index of routes of higher precedence that match every continuation of the path,
    /// provided that the request meets their conditions.
    against: Vec<(usize, u32)>,
    /// Values of the complete request. `None` if the path continues.
    end: Option<Values>,
}

impl<'s, 'a> Search<'s, '_, 'a> {
    fn run(&self) -> Option<Found> {
        let lengths = || {
            self.owning
                .iter()
                .map(|route| route.template.segments().len())
        };
        let prefix = |route: &&&Route<'_>| route.template.is_prefix();
        let least = lengths().max().unwrap_or(0).max(1);
        let most = match self.owning.iter().find(|route| !prefix(route)) {
            Some(exact) => exact.template.segments().len(),
            // Segments beyond the depth of the deepest template make no difference.
            None => {
                1 + self
                    .tables
                    .map(|table| table.index.depth)
                    .into_iter()
                    .max()?
            }
        };
        let most = match self.owning.iter().all(|route| prefix(&route)) {
            true => most.max(least),
            false => most,
        };
        let ends = |at: usize| {
            let fits = |route: &&Route<'_>| {
                let length = route.template.segments().len();
                if route.template.is_prefix() {
                    length <= at
                } else {
                    length == at
                }
            };
            at >= least && self.owning.iter().all(fits)
        };
        let mut waiting = BinaryHeap::new();
        let mut seen = HashSet::new();
        let root = State {
            length: 0,
            path: String::new(),
            segments: 0,
            nodes: [vec![ROOT], vec![ROOT]],
            against: Vec::new(),
            end: None,
        };
        waiting.extend(self.entered(root).map(Reverse));
        while let Some(Reverse(state)) = waiting.pop() {
            if let Some(values) = state.end {
                return Some(Found {
                    method: self.method.to_owned(),
                    path: state.path,
                    values,
                });
            }
            // A segment after an empty one makes the path ambiguous.
            let ends_empty = !self.ambiguous && state.path.ends_with('/');
            // The engine decides about the text of an ambiguous path, so that paths with equal
            // nodes may be handled in different ways.
            let text = self.ambiguous.then(|| state.path.clone());
            let known = (state.nodes.clone(), state.against.clone(), text);
            if !seen.insert((state.segments, ends_empty, known)) {
                continue;
            }
            let nodes = state.nodes[0].len() + state.nodes[1].len();
            if !self.tables[0].searches.take(nodes + state.against.len()) {
                return None;
            }
            if ends(state.segments) {
                waiting.extend(self.ended(&state).map(Reverse));
            }
            if state.segments < most {
                waiting.extend(self.longer(&state).into_iter().map(Reverse));
            }
        }
        None
    }

    /// Returns the states that extend this state by a segment.
    fn longer(&self, state: &State) -> Vec<State> {
        let musts: Vec<&Segment> = self
            .owning
            .iter()
            .filter_map(|route| route.template.segments().get(state.segments))
            .collect();
        let mut rivals = Rivals::default();
        // If a segment must be a literal, its text is fixed. Competing segments then need not be
        // collected.
        if !musts.iter().any(|must| matches!(must, Segment::Literal(_))) {
            for (table, nodes) in self.tables.iter().zip(&state.nodes) {
                for node in nodes {
                    table.index.rivals(*node, &mut rivals);
                }
            }
        }
        let mut texts = texts(&musts, &rivals, &self.tables[0].steps);
        if self.ambiguous {
            texts.extend(self.unnamed(&musts));
            texts.dedup();
        }
        let next = texts.into_iter().filter_map(|text| {
            let mut nodes = [Vec::new(), Vec::new()];
            for ((table, from), to) in self.tables.iter().zip(&state.nodes).zip(&mut nodes) {
                for node in from {
                    table.index.step(*node, &text, to);
                }
                to.sort_unstable();
            }
            let path = format!("{}/{text}", state.path);
            if !self.ambiguous && engine::path::is_ambiguous(&path) {
                return None;
            }
            self.entered(State {
                length: path.len(),
                path,
                segments: state.segments + 1,
                nodes,
                against: state.against.clone(),
                end: None,
            })
        });
        next.collect()
    }

    /// Text for a segment with parameters whose values no template has as a literal, so that no
    /// reading of the path belongs to another route by chance. `None` if no such text matches.
    fn unnamed(&self, musts: &[&Segment]) -> Option<String> {
        let value = self.tables[0].unnamed.get_or_init(|| {
            let routes = self.tables.into_iter().flat_map(|table| table.routes);
            let segments = routes.flat_map(|route| route.template.segments());
            let literals = segments.filter_map(|segment| match segment {
                Segment::Literal(text) | Segment::Folded(text) => Some(text.to_ascii_lowercase()),
                Segment::Pattern(_) | Segment::Parameter(_) => None,
            });
            let literals: BTreeSet<String> = literals.collect();
            fresh(|text| literals.contains(text)).unwrap_or_default()
        });
        let text = musts.iter().find_map(|must| match must {
            Segment::Parameter(_) => Some(value.clone()),
            Segment::Pattern(pattern) => {
                let rest = pattern.rest.iter();
                let rest = rest.map(|(_, text)| format!("{value}{text}"));
                let text = pattern.head.clone() + &rest.collect::<String>();
                Some(with_upper_escapes(&text))
            }
            Segment::Literal(_) | Segment::Folded(_) => None,
        })?;
        musts
            .iter()
            .all(|must| matches(must, &text))
            .then_some(text)
    }

    /// Adds the routes of higher precedence that match every path with this prefix. `None` if one
    /// of these routes has no conditions, because that route receives every request with the
    /// prefix.
    fn entered(&self, mut state: State) -> Option<State> {
        for (side, table) in self.tables.iter().enumerate() {
            for node in &state.nodes[side] {
                for route in table.index.rests(*node) {
                    if self.is_against(side, *route) {
                        if table.routes[*route as usize].conditions.is_empty()
                            && !self.may_be_refused(side)
                        {
                            return None;
                        }
                        state.against.push((side, *route));
                    }
                }
            }
        }
        state.against.sort_unstable();
        Some(state)
    }

    /// Completes the request at this state. `None` if the conditions cannot be met.
    fn ended(&self, state: &State) -> Option<State> {
        let mut against: [Vec<&'s Route<'a>>; 2] = Default::default();
        for (side, table) in self.tables.iter().enumerate() {
            let nodes = state.nodes[side].iter();
            for route in nodes.flat_map(|node| table.index.ends(*node)) {
                if self.is_against(side, *route) {
                    against[side].push(&table.routes[*route as usize]);
                }
            }
        }
        for (side, route) in &state.against {
            against[*side].push(&self.tables[*side].routes[*route as usize]);
        }
        let avoided = against.iter().flatten().map(|route| route.conditions);
        let avoided: Vec<&[Condition]> = avoided.collect();
        let to_fail = avoided.iter().filter(|one| !one.is_empty()).count();
        self.tables[0].searches.take(to_fail).then_some(())?;
        let wanted = self.owning.iter().flat_map(|route| route.conditions);
        let wanted: Vec<&Condition> = wanted.collect();
        let values = values(&wanted, self.sent, &avoided, |seen| {
            (0..2).all(|side| self.is_owned(side, &against[side], seen))
        })?;
        if self.ambiguous && engine::path::is_ambiguous(&state.path) {
            let found = Found {
                method: self.method.to_owned(),
                path: state.path.clone(),
                values: values.clone(),
            };
            if !(0..2).all(|side| self.is_handled(side, &found)) {
                return None;
            }
        }
        Some(State {
            length: state.path.len() + values.length(),
            end: Some(values),
            ..state.clone()
        })
    }

    /// True if the engine of a side handles a request with an ambiguous path as its owner requires.
    fn is_handled(&self, side: usize, found: &Found) -> bool {
        let table = self.tables[side];
        let Some(handling) = table.handling else {
            return true;
        };
        match (handling(found), self.owners[side]) {
            (Handling::Rewritten, Owner::Route(_) | Owner::Refused(_)) => false,
            // The routes of this side do not match the path that the listener receives.
            (Handling::Rewritten, Owner::Anyone | Owner::Unserved) => true,
            (handling, Owner::Route(route)) => {
                handling == Handling::Served || !table.routes[route as usize].serves
            }
            (handling, Owner::Refused(_)) => handling == Handling::Refused,
            (Handling::Served | Handling::Refused, Owner::Anyone | Owner::Unserved) => true,
        }
    }

    /// True if the engine of a side assigns a request to the required owner. `against` are the
    /// routes of higher precedence that match its path and method.
    fn is_owned(&self, side: usize, against: &[&Route<'_>], seen: &Seen) -> bool {
        let mut stronger = against.iter().filter(|one| seen.may_meet(one.conditions));
        match self.owners[side] {
            Owner::Anyone => true,
            Owner::Route(owner) | Owner::Refused(owner) => {
                let own = self.tables[side].routes[owner as usize].conditions;
                stronger.next().is_none() && seen.meets(own)
            }
            // The engine refuses an ambiguous request even if another route also matches it.
            Owner::Unserved => stronger
                .max_by(|a, b| a.compare(b, self.method))
                .is_none_or(|first| seen.is_ambiguous(first.conditions)),
        }
    }

    /// True if the engine of a side may refuse requests of the required owner as ambiguous,
    /// although a route without conditions matches them.
    fn may_be_refused(&self, side: usize) -> bool {
        self.owners[side] == Owner::Unserved && self.tables[side].has_lookalikes
    }

    /// True if a route takes precedence over the required owner, so that the request must not match
    /// the route.
    fn is_against(&self, side: usize, route: u32) -> bool {
        let routes = self.tables[side].routes;
        let rival = &routes[route as usize];
        let has_precedence = match self.owners[side] {
            Owner::Anyone => false,
            Owner::Unserved => true,
            Owner::Route(owner) | Owner::Refused(owner) => {
                owner != route && rival.compare(&routes[owner as usize], self.method).is_gt()
            }
        };
        has_precedence && rival.takes(self.method)
    }
}

impl Ord for State {
    /// Orders shorter requests first, and requests of equal length by path.
    fn cmp(&self, other: &Self) -> Ordering {
        (self.length, &self.path, self.end.is_none(), self.segments).cmp(&(
            other.length,
            &other.path,
            other.end.is_none(),
            other.segments,
        ))
    }
}

impl PartialOrd for State {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
