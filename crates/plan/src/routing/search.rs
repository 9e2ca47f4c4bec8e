//! Search for the smallest request that two tables give to two owners.
//!
//! A route owns the requests that it matches, except those that a route of higher precedence
//! matches. The search walks the paths through both tables at once, segment by segment, shortest
//! first. A matching route of higher precedence rules a path out, unless the request can avoid its
//! conditions.
//!
//! Upstreams may read a path in several ways. With `path_readings: strict`, such a path is served
//! only if the same route owns every reading, and at least one reading is unambiguous. Each change
//! to such a path is therefore also a change to that reading, so the search skips the path. Only
//! routes with `path_readings: keep` own ambiguous paths themselves.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeSet, BinaryHeap, HashSet};
use std::sync::OnceLock;

use bundle::digest::Digest;
use bundle::ir::{Condition, Segment};

use rustc_hash::FxHashMap;

use super::index::{Entry, Index, ROOT};
use super::table::{Route, Tier};
use super::texts::{Rivals, Steps, texts};
use super::values::{Values, values};

/// Steps of all searches of two tables, besides [`STEPS_PER_ROUTE`] for each route.
const STEPS_MAX: usize = 4_000_000;

/// Steps that each route of two tables adds: what grows with the tables alone is never too much.
const STEPS_PER_ROUTE: usize = 200;

/// Steps for two routes that may have requests in common.
pub(super) const STEPS_OF_PAIR: usize = 4;

/// Steps for requests that one route lost to another: a change with its witness is made of each.
/// Of 100,000 such changes a plan has hundreds of megabytes.
pub(super) const STEPS_OF_CELL: usize = 36;

/// Relation of a route to the other side's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The other table has a route that matches the same requests and has the same order.
    Kept,
    /// The other table has none.
    Changed,
    /// Not looked for among the routes that overlap with another.
    Ignored,
}

/// One side's routes with their templates' indexes.
#[derive(Debug)]
pub(super) struct Table<'t, 'a> {
    pub(super) routes: &'t [Route<'a>],
    pub(super) index: Index<'t>,
    /// Described routes that the other table has as well.
    kept: Index<'t>,
    /// Other routes that serve.
    changed: Index<'t>,
    /// Routes that are not served.
    withheld: Index<'t>,
    /// True if fields or parameters select any of its routes.
    pub(super) conditioned: bool,
    /// Steps for the texts of patterns, of both tables if this one is the first.
    pub(super) steps: Steps,
    /// Steps for searches, of both tables if this one is the first.
    pub(super) searches: Steps,
    /// Indices of the routes of each operation, by operation key.
    of_operation: OnceLock<FxHashMap<&'t str, Vec<u32>>>,
    /// Digests of the requests of each route.
    digests: OnceLock<Vec<Digest>>,
}

impl<'t, 'a> Table<'t, 'a> {
    /// `standing` has an element for each route. `others` is the number of the other table's
    /// routes.
    pub(super) fn new(routes: &'t [Route<'a>], standing: &[Standing], others: usize) -> Self {
        let entry = |at: u32| -> Entry<'t> {
            let route = &routes[at as usize];
            (at, &route.template, route.priority())
        };
        let all = 0..u32::try_from(routes.len()).expect("fewer than 2^32 routes");
        let index = |takes: &dyn Fn(&Route<'_>, Standing) -> bool| {
            let taken = all.clone().filter(|at| {
                let at = *at as usize;
                takes(&routes[at], standing[at])
            });
            Index::new(taken.map(entry))
        };
        let is_kept = |route: &Route<'_>, standing| {
            standing == Standing::Kept && route.tier == Tier::Described
        };
        let allowance = STEPS_MAX + STEPS_PER_ROUTE * (routes.len() + others);
        Self {
            routes,
            index: index(&|_, _| true),
            kept: index(&|route, standing| route.serves && is_kept(route, standing)),
            changed: index(&|route, standing| {
                route.serves && !is_kept(route, standing) && standing != Standing::Ignored
            }),
            withheld: index(&|route, _| !route.serves),
            conditioned: routes.iter().any(|route| !route.conditions().is_empty()),
            steps: Steps::default(),
            searches: Steps::new(allowance),
            of_operation: OnceLock::new(),
            digests: OnceLock::new(),
        }
    }

    /// A table that is not compared with another.
    pub(super) fn alone(routes: &'t [Route<'a>]) -> Self {
        Self::new(routes, &vec![Standing::Ignored; routes.len()], 0)
    }

    /// The routes of this table with which a route of the other table, that this one has not, may
    /// have requests in common, in the table's order.
    ///
    /// A kept route of higher precedence is left out: it is in both tables, and in neither does it
    /// own requests of the other route.
    pub(super) fn exchanging(&self, route: &Route<'_>) -> Vec<u32> {
        let mut routes = self.changed.overlapping(&route.template);
        if route.tier == Tier::Described {
            let priority = route.priority();
            routes.extend(self.kept.overlapping_below(&route.template, priority));
            routes.sort_unstable();
        }
        routes.retain(|at| self.routes[*at as usize].meets(route));
        routes
    }

    /// Nodes of its indexes that were visited for templates in common.
    pub(super) fn visited(&self) -> usize {
        let indexes = [&self.kept, &self.changed, &self.withheld];
        indexes.into_iter().map(Index::visited).sum()
    }

    /// A digest of the requests of some routes.
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

    /// Requests that an operation matches here; they identify an earlier version of it.
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
        let said: Vec<String> = routes
            .map(|at| self.routes[*at as usize].requests())
            .collect();
        said.join("; ")
    }
}

/// Required owner of a request on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Any owner, or none.
    Anyone,
    /// No route owns the request.
    Nobody,
    /// The route with this index.
    Route(u32),
}

/// Request without its listener and host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) values: Values,
}

/// Returns the smallest request that the tables give to these owners, or none. The request already
/// contains the values in `sent`. At least one owner must be a route.
pub(super) fn smallest(
    tables: [&Table<'_, '_>; 2],
    owners: [Owner; 2],
    sent: &Values,
) -> Option<Found> {
    let side = owners.iter().position(|owner| *owner == Owner::Nobody);
    let bare = smallest_of(tables, owners, sent);
    let (Some(side), Some(route)) = (side, owning(tables, owners).first().copied()) else {
        return bare;
    };
    // Withheld requests have no owner either.
    let withheld = tables[side].withheld.overlapping(&route.template);
    let found = withheld.into_iter().filter_map(|at| {
        let mut owners = owners;
        owners[side] = Owner::Route(at);
        smallest_of(tables, owners, sent)
    });
    found.chain(bare).min_by_key(Found::length)
}

/// Returns the routes among the owners.
fn owning<'s, 'a>(tables: [&'s Table<'_, 'a>; 2], owners: [Owner; 2]) -> Vec<&'s Route<'a>> {
    let routes = tables.into_iter().zip(owners);
    let routes = routes.filter_map(|(table, owner)| match owner {
        Owner::Route(route) => Some(&table.routes[route as usize]),
        Owner::Anyone | Owner::Nobody => None,
    });
    routes.collect()
}

fn smallest_of(tables: [&Table<'_, '_>; 2], owners: [Owner; 2], sent: &Values) -> Option<Found> {
    let owning = owning(tables, owners);
    let keeps = owning.iter().all(|route| {
        let readings = &route.treatment().path_readings;
        !readings.is_strict()
    });
    let search = |method| {
        let search = Search {
            keeps,
            tables,
            owners,
            owning: &owning,
            method,
            sent,
        };
        search.run()
    };
    // HEAD falls back to GET, so a GET route that lost HEAD differs for HEAD only.
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

/// Methods that some route names, and one method that no route names. Excludes methods that are
/// never served.
fn every_method<'s>(tables: [&'s Table<'_, '_>; 2]) -> BTreeSet<&'s str> {
    let routes = tables.into_iter().flat_map(|table| table.routes);
    let mut methods: BTreeSet<&str> = routes.filter_map(|route| route.method).collect();
    if methods.contains("GET") {
        methods.insert("HEAD");
    }
    let usual = [
        "GET", "PUT", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "QUERY",
    ];
    let other = usual.into_iter().find(|method| !methods.contains(method));
    methods.extend(other);
    methods.retain(|method| !matches!(*method, "TRACE" | "CONNECT"));
    methods
}

impl Found {
    fn length(&self) -> usize {
        self.method.len() + self.path.len() + self.values.length()
    }
}

struct Search<'s, 't, 'a> {
    tables: [&'s Table<'t, 'a>; 2],
    owners: [Owner; 2],
    owning: &'s [&'s Route<'a>],
    method: &'s str,
    sent: &'s Values,
    /// True if every owner has `path_readings: keep`, so ambiguous paths count too.
    keeps: bool,
}

/// State of the search: a path prefix and the routes that still match.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    /// Length in bytes of the path and, for a complete request, of its values.
    length: usize,
    path: String,
    segments: usize,
    /// Nodes of each table's templates.
    nodes: [Vec<u32>; 2],
    /// Routes of higher precedence that match every continuation if their conditions hold.
    against: Vec<(usize, u32)>,
    /// Values of the request that ends here.
    end: Option<Values>,
}

impl<'s> Search<'s, '_, '_> {
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
            // Segments beyond the deepest template change nothing.
            None => {
                1 + self
                    .tables
                    .map(|table| table.index.depth)
                    .into_iter()
                    .max()?
            }
        };
        let most = if self.owning.iter().all(|route| prefix(&route)) {
            most.max(least)
        } else {
            most
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
            // A segment after an empty one makes an ambiguous path.
            let ends_empty = !self.keeps && state.path.ends_with('/');
            let known = (state.nodes.clone(), state.against.clone());
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

    /// Returns the states with one more segment.
    fn longer(&self, state: &State) -> Vec<State> {
        let musts: Vec<&Segment> = self
            .owning
            .iter()
            .filter_map(|route| route.template.segments().get(state.segments))
            .collect();
        let mut rivals = Rivals::default();
        // A literal leaves one text.
        if !musts.iter().any(|must| matches!(must, Segment::Literal(_))) {
            for (table, nodes) in self.tables.iter().zip(&state.nodes) {
                for node in nodes {
                    table.index.rivals(*node, &mut rivals);
                }
            }
        }
        let next = texts(&musts, &rivals, &self.tables[0].steps)
            .into_iter()
            .filter_map(|text| {
                let mut nodes = [Vec::new(), Vec::new()];
                for ((table, from), to) in self.tables.iter().zip(&state.nodes).zip(&mut nodes) {
                    for node in from {
                        table.index.step(*node, &text, to);
                    }
                    to.sort_unstable();
                }
                let path = format!("{}/{text}", state.path);
                if !self.keeps && engine::path::is_ambiguous(&path) {
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

    /// Applies the routes of higher precedence that match everything below this path. Returns none
    /// if such a route has no conditions to avoid.
    fn entered(&self, mut state: State) -> Option<State> {
        for (side, table) in self.tables.iter().enumerate() {
            for node in &state.nodes[side] {
                for route in table.index.rests(*node) {
                    if self.is_against(side, *route) {
                        if table.routes[*route as usize].conditions().is_empty() {
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

    /// Completes the request at this state, or returns none.
    fn ended(&self, state: &State) -> Option<State> {
        let mut against: Vec<&[Condition]> = Vec::new();
        let conditions = |side: usize, route: u32| {
            let table: &'s Table<'_, '_> = self.tables[side];
            table.routes[route as usize].conditions()
        };
        for (side, table) in self.tables.iter().enumerate() {
            for route in state.nodes[side]
                .iter()
                .flat_map(|node| table.index.ends(*node))
            {
                if self.is_against(side, *route) {
                    against.push(conditions(side, *route));
                }
            }
        }
        against.extend(
            state
                .against
                .iter()
                .map(|(side, route)| conditions(*side, *route)),
        );
        let wanted: Vec<&Condition> = self
            .owning
            .iter()
            .flat_map(|route| route.conditions())
            .collect();
        let values = values(&wanted, self.sent, &against)?;
        Some(State {
            length: state.path.len() + values.length(),
            end: Some(values),
            ..state.clone()
        })
    }

    /// Returns true if a route would own a request that must be another's.
    fn is_against(&self, side: usize, route: u32) -> bool {
        let routes = self.tables[side].routes;
        let rival = &routes[route as usize];
        let stands = match self.owners[side] {
            Owner::Anyone => false,
            Owner::Nobody => true,
            Owner::Route(owner) => {
                owner != route && rival.compare(&routes[owner as usize], self.method).is_gt()
            }
        };
        stands && rival.takes(self.method)
    }
}

impl Ord for State {
    /// Orders shorter requests first, then by bytes.
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
