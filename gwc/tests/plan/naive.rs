//! Naive routing table that looks up every request, for comparison with plans.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use bundle::ir::{self, Condition, Owns, Segment, Test, TrailingSlash};
use plan::Witness;

use crate::algebra::{Cell, FIELDS, HOSTS, METHODS, Mounted, QUERIES, TEXTS};

/// Every path that can distinguish two templates. Has up to two segments, up to three segments
/// after `/a` (a possible base path), and one more segment for prefixes. Leaves out paths that an
/// upstream may read as another path.
pub(crate) struct Paths(Vec<Vec<&'static str>>);

impl Paths {
    pub(crate) fn new() -> Self {
        let mut all: Vec<Vec<&str>> = Vec::new();
        for a in TEXTS {
            all.push(vec![a]);
            for b in TEXTS {
                all.push(vec![a, b]);
                if a == "a" {
                    for c in TEXTS {
                        all.push(vec![a, b, c]);
                        all.extend(["", "0"].map(|d| vec![a, b, c, d]));
                    }
                } else {
                    all.extend(["", "0"].map(|c| vec![a, b, c]));
                }
            }
        }
        // Leave out paths with an empty inner segment: the gateway treats `//` as `/`, or refuses
        // the path, so such a path has no owner of its own.
        all.retain(|path| {
            path[..path.len() - 1]
                .iter()
                .all(|segment| !segment.is_empty())
        });
        Self(all)
    }
}

/// Set of paths: one bit for each path of [`Paths`].
type Bits = Vec<u64>;

/// Naive table: each route with the paths that it matches, and for each method the routes by
/// precedence.
pub(crate) struct Naive {
    hosts: Vec<&'static str>,
    routes: Vec<Written>,
    /// Indices of the routes of each method, by precedence.
    order: [Vec<usize>; 4],
    mounts: Vec<Mounted>,
    /// Operations for undescribed requests, by host pattern and method, each with the paths that it
    /// receives.
    rest: BTreeMap<&'static str, [Vec<(usize, Bits)>; 4]>,
    descriptions: Vec<PathDescription>,
}

/// Description of a path by an API.
struct PathDescription {
    host: &'static str,
    pieces: Vec<Segment>,
    prefix: bool,
    method: String,
    /// Operation that receives requests for this path with other methods.
    passes: Option<usize>,
}

struct Written {
    label: String,
    id: String,
    redirects: bool,
    host: &'static str,
    method: String,
    pieces: Vec<Segment>,
    prefix: bool,
    conditions: Vec<Condition>,
    priority: i32,
    twin: bool,
    paths: Bits,
    /// Index of the API's mount.
    mount: usize,
    owns: Owns,
    /// True for an internal operation. The gateway serves no requests for its path.
    internal: bool,
}

impl Naive {
    pub(crate) fn new(mounts: &[Mounted], paths: &Paths) -> Self {
        let mut routes = Vec::new();
        for (mount, mounted) in mounts.iter().enumerate() {
            let served = mounted.operations.iter().map(|one| (one.clone(), false));
            let internal = mounted.hidden.iter().map(|one| (internal(one), true));
            for (operation, internal) in served.chain(internal) {
                let mut write = |pieces: Vec<Segment>, twin: bool| {
                    let base = mounted.base.split('/').skip(1);
                    let base = base.map(|text| Segment::Literal(text.into()));
                    let pieces: Vec<Segment> = base.chain(pieces).collect();
                    let prefix = operation.template.is_prefix();
                    let mut bits = vec![0; paths.0.len().div_ceil(64)];
                    for (at, path) in paths.0.iter().enumerate() {
                        if path_holds(&pieces, prefix, path) {
                            bits[at / 64] |= 1 << (at % 64);
                        }
                    }
                    let redirects = twin && operation.trailing_slash == TrailingSlash::Redirect;
                    let id = format!("{}@m", operation.key);
                    routes.push(Written {
                        label: format!("{id}{}", if redirects { " (redirects)" } else { "" }),
                        id,
                        redirects,
                        host: mounted.host,
                        method: operation.method.clone(),
                        pieces,
                        prefix,
                        conditions: operation.conditions.clone(),
                        priority: operation.priority,
                        twin,
                        paths: bits,
                        mount,
                        owns: operation.owns,
                        internal,
                    });
                };
                let declared = operation.template.segments().to_vec();
                write(declared.clone(), false);
                if operation.trailing_slash != TrailingSlash::Strict
                    && !operation.template.is_prefix()
                {
                    let mut twin = declared;
                    if twin.last() == Some(&Segment::Literal(String::new())) {
                        twin.pop();
                    } else {
                        twin.push(Segment::Literal(String::new()));
                    }
                    write(twin, true);
                }
            }
        }
        let order = METHODS.map(|method| {
            let takes = |written: &Written| {
                written.method == method || method == "HEAD" && written.method == "GET"
            };
            let described = |at: &usize| routes[*at].owns == Owns::Described;
            let mut order: Vec<usize> = (0..routes.len()).filter(described).collect();
            order.retain(|at| takes(&routes[*at]));
            order.sort_by(|a, b| compare(&routes[*b], &routes[*a], method));
            order
        });
        let hosts = mounts.iter().map(|mounted| mounted.host).collect();
        let mut naive = Self {
            hosts,
            routes,
            order,
            mounts: mounts.to_vec(),
            descriptions: Vec::new(),
            rest: BTreeMap::new(),
        };
        let mut routes = naive.routes.iter();
        if routes.any(|route| route.owns != Owns::Described) {
            naive.descriptions = naive.descriptions();
            for mounted in mounts {
                let rest = naive.rest_of(mounted.host, paths);
                naive.rest.insert(mounted.host, rest);
            }
        }
        naive
    }

    /// Descriptions of paths by routes, and by hidden operations.
    fn descriptions(&self) -> Vec<PathDescription> {
        let routes = self.routes.iter();
        let described = routes.filter(|route| route.owns == Owns::Described && !route.internal);
        let mut descriptions: Vec<PathDescription> = described
            .map(|route| PathDescription {
                host: route.host,
                pieces: route.pieces.clone(),
                prefix: route.prefix,
                method: route.method.clone(),
                passes: self.gets(route.mount, Owns::Undeclared),
            })
            .collect();
        for mounted in &self.mounts {
            for hidden in &mounted.hidden {
                let base = mounted.base.split('/').skip(1);
                let base = base.map(|text| Segment::Literal(text.into()));
                let below = hidden.template.segments().iter().cloned();
                let pieces: Vec<Segment> = base.chain(below).collect();
                let mut twin = pieces.clone();
                if twin.last() == Some(&Segment::Literal(String::new())) {
                    twin.pop();
                } else {
                    twin.push(Segment::Literal(String::new()));
                }
                let prefix = hidden.template.is_prefix();
                for pieces in [Some(pieces), (!prefix).then_some(twin)] {
                    descriptions.extend(pieces.map(|pieces| PathDescription {
                        host: mounted.host,
                        pieces,
                        prefix,
                        method: hidden.method.clone(),
                        passes: None,
                    }));
                }
            }
        }
        descriptions
    }

    /// Index of an API's operation for undescribed requests of this kind.
    fn gets(&self, mount: usize, owns: Owns) -> Option<usize> {
        let mut routes = self.routes.iter();
        routes.position(|route| route.mount == mount && route.owns == owns)
    }

    fn rest_of(&self, host: &str, paths: &Paths) -> [Vec<(usize, Bits)>; 4] {
        let mut all: [BTreeMap<usize, Bits>; 4] = Default::default();
        for (at, path) in paths.0.iter().enumerate() {
            for (all, owner) in all.iter_mut().zip(self.rest_owners(host, path)) {
                let Some(owner) = owner else { continue };
                let bits = all
                    .entry(owner)
                    .or_insert_with(|| vec![0; paths.0.len().div_ceil(64)]);
                bits[at / 64] |= 1 << (at % 64);
            }
        }
        all.map(|all| all.into_iter().collect())
    }

    /// Index of the API that receives a request without a matching route, by method. If APIs
    /// describe the path, this is the API with the best description. Otherwise it is the API with
    /// the longest base path.
    fn rest_owners(&self, host: &str, path: &[&str]) -> [Option<usize>; 4] {
        let described = self
            .descriptions
            .iter()
            .filter(|described| described.host == host);
        let described: Vec<&PathDescription> = described
            .filter(|described| path_holds(&described.pieces, described.prefix, path))
            .collect();
        let best = described.iter().max_by(|a, b| {
            compare_pieces((&a.pieces, a.prefix), (&b.pieces, b.prefix))
                .then_with(|| a.passes.is_some().cmp(&b.passes.is_some()))
        });
        let Some(best) = best else {
            let begins = |base: &str| {
                let base: Vec<&str> = base.split('/').skip(1).collect();
                path.starts_with(&base)
            };
            let mounts = self.mounts.iter().enumerate();
            let near = mounts.filter(|(_, one)| one.host == host && begins(one.base));
            let near = near.map(|(at, mounted)| {
                let gets = self.gets(at, Owns::Unmatched);
                (mounted.base.len(), gets.is_some(), gets)
            });
            return [near.max().and_then(|(_, _, gets)| gets); 4];
        };
        METHODS.map(|method| {
            let takes = |own: &str| own == method || method == "HEAD" && own == "GET";
            let withheld = described.iter().any(|described| takes(&described.method));
            best.passes.filter(|_| !withheld)
        })
    }

    /// Returns the host pattern that applies to a request: the first of `patterns` that has routes.
    fn first_with_routes(&self, patterns: [&str; 3]) -> Option<&'static str> {
        let mut patterns = patterns.into_iter();
        patterns.find_map(|pattern| self.hosts.iter().copied().find(|host| *host == pattern))
    }

    /// Operation that receives the request of a witness.
    pub(crate) fn owner(&self, witness: &Witness) -> Option<String> {
        let url = witness.url.strip_prefix("http://").expect("http");
        let (host, rest) = url.split_at(url.find('/').expect("a path"));
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path: Vec<&str> = path.split('/').skip(1).collect();
        let fields: Vec<&str> = witness
            .headers
            .iter()
            .filter(|(name, _)| name == "v")
            .map(|(_, value)| value.as_str())
            .collect();
        let queries: Vec<&str> = query.strip_prefix("q=").into_iter().collect();
        let (_, patterns) = HOSTS.iter().find(|(known, _)| *known == host)?;
        let host_pattern = self.first_with_routes(*patterns)?;
        let method = METHODS
            .iter()
            .position(|method| *method == witness.method)?;
        let found = self.order[method]
            .iter()
            .map(|at| &self.routes[*at])
            .find(|route| {
                route.host == host_pattern
                    && path_holds(&route.pieces, route.prefix, &path)
                    && conditions_hold(&route.conditions, &fields, &queries)
            });
        let rest = || self.rest_owners(host_pattern, &path)[method].map(|at| &self.routes[at]);
        let found = found.or_else(rest).filter(|route| !route.internal);
        found.map(|route| route.label.clone())
    }
}

/// Converts an internal operation to an operation that ignores final slashes.
fn internal(hidden: &ir::Hidden) -> ir::Operation {
    ir::Operation {
        key: String::new(),
        method: hidden.method.clone(),
        template: hidden.template.clone(),
        conditions: hidden.conditions.clone(),
        priority: hidden.priority,
        treatment: 0,
        trailing_slash: TrailingSlash::Ignore,
        owns: Owns::Described,
    }
}

/// Length of the shortest request that one operation receives before and another one after, by pair
/// of operations.
pub(crate) fn differences(old: &Naive, new: &Naive, paths: &Paths) -> BTreeMap<Cell, usize> {
    let mut cells: BTreeMap<Cell, usize> = BTreeMap::new();
    for (host, patterns) in HOSTS {
        // The table handles all hosts without a mount in the same way, so check only one of them.
        let named = [old, new].iter().any(|naive| {
            let mut routes = naive.hosts.iter();
            routes.any(|pattern| *pattern == patterns[0])
        });
        if !named && host != "gateway" {
            continue;
        }
        let host_patterns = (
            old.first_with_routes(patterns),
            new.first_with_routes(patterns),
        );
        for (method, name) in METHODS.iter().enumerate() {
            for fields in FIELDS {
                for queries in QUERIES {
                    let carried = (fields, queries);
                    let was = owned(old, host_patterns.0, method, carried, paths);
                    let is = owned(new, host_patterns.1, method, carried, paths);
                    let more: usize = fields
                        .iter()
                        .map(|value| "v".len() + value.len() + 4)
                        .sum::<usize>()
                        + queries
                            .iter()
                            .map(|value| "?q=".len() + value.len())
                            .sum::<usize>();
                    for (a, mine) in &was {
                        for (b, theirs) in &is {
                            let Some(cell) = cell((old, *a), (new, *b)) else {
                                continue;
                            };
                            for (at, (x, y)) in mine.iter().zip(theirs).enumerate() {
                                let mut both = x & y;
                                while both != 0 {
                                    let path = &paths.0[at * 64 + both.trailing_zeros() as usize];
                                    both &= both - 1;
                                    let path: usize = path.iter().map(|text| text.len() + 1).sum();
                                    let size = name.len() + host.len() + path + more;
                                    let least = cells.entry(cell.clone()).or_insert(size);
                                    *least = size.min(*least);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    cells
}

/// Finds operations of both versions that, at one of the hosts, receive requests for their declared
/// path in only one version. Each operation is paired with the id of the expected change.
pub(crate) fn shadowed(
    old: &Naive,
    new: &Naive,
    paths: &Paths,
) -> BTreeSet<(&'static str, String)> {
    let mut found = BTreeSet::new();
    for (host, patterns) in HOSTS {
        let named = [old, new]
            .iter()
            .any(|naive| naive.hosts.contains(&patterns[0]));
        if !named && host != "gateway" {
            continue;
        }
        let [before, after] = [old, new].map(|naive| {
            let host_pattern = naive.first_with_routes(patterns);
            let mut reached: BTreeMap<&str, bool> = BTreeMap::new();
            for route in naive
                .routes
                .iter()
                .filter(|route| host_pattern == Some(route.host))
            {
                if !route.twin && route.owns == Owns::Described && !route.internal {
                    reached.insert(&route.id, false);
                }
            }
            for method in 0..METHODS.len() {
                for fields in FIELDS {
                    for queries in QUERIES {
                        for (at, mine) in
                            owned(naive, host_pattern, method, (fields, queries), paths)
                        {
                            let route = at
                                .map(|at| &naive.routes[at])
                                .filter(|it| !it.twin && it.owns == Owns::Described);
                            if let Some(route) =
                                route.filter(|_| mine.iter().any(|word| *word != 0))
                            {
                                reached.insert(&route.id, true);
                            }
                        }
                    }
                }
            }
            reached
        });
        for (id, was) in before {
            let key = id.trim_end_matches("@m").to_owned();
            match (was, after.get(id)) {
                (true, Some(false)) => found.insert(("shadow-appears", key)),
                (false, Some(true)) => found.insert(("shadow-disappears", key)),
                _ => false,
            };
        }
    }
    found
}

/// Operations that receive requests with these fields and query parameters, by path. Leaves out
/// paths without an operation.
fn owned(
    naive: &Naive,
    host_pattern: Option<&str>,
    method: usize,
    (fields, queries): (&[&str], &[&str]),
    paths: &Paths,
) -> Vec<(Option<usize>, Bits)> {
    let words = paths.0.len().div_ceil(64);
    let mut left: Bits = vec![u64::MAX; words];
    if let Some(last) = left.last_mut() {
        *last >>= words * 64 - paths.0.len();
    }
    let mut owned: Vec<(Option<usize>, Bits)> = Vec::new();
    for at in &naive.order[method] {
        let route = &naive.routes[*at];
        if host_pattern != Some(route.host) || !conditions_hold(&route.conditions, fields, queries)
        {
            continue;
        }
        let mine: Bits = left.iter().zip(&route.paths).map(|(a, b)| a & b).collect();
        left.iter_mut().zip(&mine).for_each(|(a, b)| *a &= !b);
        if mine.iter().any(|word| *word != 0) {
            owned.push(((!route.internal).then_some(*at), mine));
        }
    }
    let rest = host_pattern.and_then(|host| naive.rest.get(host));
    for (at, bits) in rest.into_iter().flat_map(|rest| &rest[method]) {
        let mine: Bits = left.iter().zip(bits).map(|(a, b)| a & b).collect();
        left.iter_mut().zip(&mine).for_each(|(a, b)| *a &= !b);
        if mine.iter().any(|word| *word != 0) {
            owned.push((Some(*at), mine));
        }
    }
    owned.push((None, left));
    owned
}

/// Cell that a plan reports for the old and the new operation of a request. `None` if it reports
/// nothing.
fn cell((old, a): (&Naive, Option<usize>), (new, b): (&Naive, Option<usize>)) -> Option<Cell> {
    let (a, b) = (a.map(|at| &old.routes[at]), b.map(|at| &new.routes[at]));
    match (a, b) {
        (None, None) => None,
        (Some(a), Some(b)) if a.id == b.id => None,
        // Two redirects are the same response.
        (Some(a), Some(b)) if a.redirects && b.redirects => None,
        // A path that only redirects is not served by an operation.
        (Some(only), None) | (None, Some(only)) if only.redirects => None,
        _ => Some((a.map(|a| a.label.clone()), b.map(|b| b.label.clone()))),
    }
}

fn path_holds(pieces: &[Segment], prefix: bool, path: &[&str]) -> bool {
    let long = if prefix {
        path.len() >= pieces.len()
    } else {
        path.len() == pieces.len()
    };
    long && pieces
        .iter()
        .zip(path)
        .all(|(piece, text)| holds(piece, text))
}

/// True if a text matches a segment: equal literals, and at least one character for each parameter.
fn holds(piece: &Segment, text: &str) -> bool {
    match piece {
        Segment::Literal(own) => own == text,
        Segment::Folded(own) => *own == text.to_ascii_lowercase(),
        Segment::Parameter(_) => !text.is_empty(),
        Segment::Pattern(pattern) => {
            let text = if pattern.folded {
                text.to_ascii_lowercase()
            } else {
                text.to_owned()
            };
            let rest: Vec<&str> = pattern
                .rest
                .iter()
                .map(|(_, literal)| literal.as_str())
                .collect();
            text.strip_prefix(pattern.head.as_str())
                .is_some_and(|text| divides(&rest, text))
        }
    }
}

fn divides(rest: &[&str], text: &str) -> bool {
    match rest.split_first() {
        None => text.is_empty(),
        Some((literal, rest)) => (1..=text.len()).any(|end| {
            text[end..]
                .strip_prefix(literal)
                .is_some_and(|text| divides(rest, text))
        }),
    }
}

fn conditions_hold(conditions: &[Condition], fields: &[&str], queries: &[&str]) -> bool {
    conditions.iter().all(|condition| {
        let (values, test) = match condition {
            Condition::Header(_, test) => (fields, test),
            Condition::Query(_, test) => (queries, test),
        };
        values.iter().any(|value| match test {
            Test::Exact(text) => value == text,
            Test::Prefix(text) => value.starts_with(text.as_str()),
            Test::Present => true,
        })
    })
}

/// Precedence of routes by semantics.md §1, implemented a second time.
fn compare(a: &Written, b: &Written, method: &str) -> Ordering {
    let explicit = |route: &Written| route.method == method;
    a.priority
        .cmp(&b.priority)
        .then_with(|| compare_paths(a, b))
        .then_with(|| explicit(a).cmp(&explicit(b)))
        .then_with(|| b.twin.cmp(&a.twin))
        .then_with(|| compare_conditions(&a.conditions, &b.conditions))
        .then_with(|| b.internal.cmp(&a.internal))
}

fn compare_paths(a: &Written, b: &Written) -> Ordering {
    compare_pieces((&a.pieces, a.prefix), (&b.pieces, b.prefix))
}

fn compare_pieces(
    (a, a_prefix): (&[Segment], bool),
    (b, b_prefix): (&[Segment], bool),
) -> Ordering {
    let letter_case = || {
        let mut orders = a
            .iter()
            .zip(b)
            .map(|(a, b)| exactness(a).cmp(&exactness(b)));
        orders
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    };
    for at in 0..a.len().max(b.len()) {
        let order = match (a.get(at), b.get(at)) {
            (Some(a), Some(b)) => weight(a).cmp(&weight(b)),
            (Some(_), None) => Ordering::Greater,
            (None, _) => Ordering::Less,
        };
        if order.is_ne() {
            return order;
        }
    }
    b_prefix.cmp(&a_prefix).then_with(letter_case)
}

type Weight = (
    u8,
    usize,
    std::cmp::Reverse<usize>,
    usize,
    usize,
    std::cmp::Reverse<String>,
);

/// Order of segments of equal weight: case-sensitive segments first, then by bytes.
fn exactness(piece: &Segment) -> std::cmp::Reverse<(bool, String)> {
    std::cmp::Reverse(match piece {
        Segment::Literal(_) | Segment::Parameter(_) => (false, String::new()),
        Segment::Folded(_) => (true, String::new()),
        Segment::Pattern(pattern) => (pattern.folded, pattern.erased()),
    })
}

/// Weight of a segment, ignoring letter case: literal, pattern, parameter. Patterns compare by
/// literal bytes, fewer parameters, head, tail, then bytes.
fn weight(piece: &Segment) -> Weight {
    use std::cmp::Reverse;
    let none = |kind| (kind, 0, Reverse(0), 0, 0, Reverse(String::new()));
    match piece {
        Segment::Literal(_) | Segment::Folded(_) => none(2),
        Segment::Parameter(_) => none(0),
        Segment::Pattern(pattern) => {
            let literals: Vec<&str> = std::iter::once(pattern.head.as_str())
                .chain(pattern.rest.iter().map(|(_, literal)| literal.as_str()))
                .collect();
            (
                1,
                literals.iter().map(|literal| literal.len()).sum(),
                Reverse(pattern.rest.len()),
                pattern.head.len(),
                literals.last().map_or(0, |literal| literal.len()),
                Reverse(literals.join("{}").to_ascii_lowercase()),
            )
        }
    }
}

fn compare_conditions(a: &[Condition], b: &[Condition]) -> Ordering {
    let fields = |all: &[Condition]| {
        all.iter()
            .filter(|one| matches!(one, Condition::Header(..)))
            .count()
    };
    let sharp = |all: &[Condition]| {
        let mut all: Vec<usize> = all
            .iter()
            .map(|one| match one {
                Condition::Header(_, test) | Condition::Query(_, test) => match test {
                    Test::Exact(_) => 1_000,
                    Test::Prefix(text) => 1 + text.len(),
                    Test::Present => 0,
                },
            })
            .collect();
        all.sort_by(|a, b| b.cmp(a));
        all
    };
    fields(a)
        .cmp(&fields(b))
        .then_with(|| a.len().cmp(&b.len()))
        .then_with(|| sharp(a).cmp(&sharp(b)))
        .then_with(|| b.cmp(a))
}
