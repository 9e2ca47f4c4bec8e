//! Second implementation of the order in semantics.md §1, as simple as possible. It tries every
//! route and selects the matching route of highest precedence. It shares no code with the engine.

use std::cmp::Ordering;

/// A route of the model.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) key: String,
    pub(crate) mount: usize,
    pub(crate) method: &'static str,
    /// Template without parameter names, base path included: `/a/{}/b{}`.
    pub(crate) template: String,
    pub(crate) prefix: bool,
    pub(crate) priority: i32,
    pub(crate) conditions: Vec<Condition>,
    /// True if the template below the base path matches case-insensitively. The base path is always
    /// case-sensitive.
    pub(crate) folded: bool,
    /// True if the route also matches paths with the final slash added or removed.
    pub(crate) twin: bool,
    /// Base path, with which `template` begins.
    pub(crate) base: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Condition {
    Header(&'static str, Test),
    Query(&'static str, Test),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Test {
    Exact(&'static str),
    Prefix(&'static str),
    Present,
}

/// A request for the model.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) header: Option<(&'static str, &'static str)>,
    pub(crate) query: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Owner(String),
    Nothing,
    NoCondition,
    Allow(Vec<String>),
}

/// Routing table of the model: each route, and its trailing-slash variant as a separate entry.
pub(crate) struct Table(Vec<Written>);

struct Written {
    route: Route,
    pieces: Vec<(String, bool)>,
    declared: bool,
}

impl Table {
    pub(crate) fn new(routes: &[Route]) -> Self {
        let mut all = Vec::new();
        let mut write = |route: Route, declared| {
            let pieces = pieces(&route);
            all.push(Written {
                route,
                pieces,
                declared,
            });
        };
        for route in routes {
            write(route.clone(), true);
            if route.twin && !route.prefix {
                let template = match route.template.strip_suffix('/') {
                    Some(without) => without.to_owned(),
                    None => format!("{}/", route.template),
                };
                write(
                    Route {
                        template,
                        ..route.clone()
                    },
                    false,
                );
            }
        }
        Self(all)
    }

    /// Finds the route that a request matches, or the reason why it matches no route.
    pub(crate) fn answer(&self, request: &Request) -> Answer {
        let path = segments(&request.path);
        let lower: Vec<String> = path.iter().map(|text| text.to_ascii_lowercase()).collect();
        let there: Vec<&Written> = self
            .0
            .iter()
            .filter(|written| path_holds(written, &path, &lower))
            .collect();
        let explicit = |route: &Route| route.method == request.method;
        let has_method =
            |route: &Route| explicit(route) || request.method == "HEAD" && route.method == "GET";
        let candidates = there.iter().filter(|written| {
            let route = &written.route;
            has_method(route) && route.conditions.iter().all(|c| condition_holds(c, request))
        });
        let winner = candidates.max_by(|a, b| {
            let (left, right) = (&a.route, &b.route);
            left.priority
                .cmp(&right.priority)
                .then_with(|| compare_paths(a, b))
                // For a HEAD request, a HEAD route takes precedence over a GET route with the same
                // template.
                .then_with(|| explicit(left).cmp(&explicit(right)))
                .then_with(|| a.declared.cmp(&b.declared))
                .then_with(|| compare_conditions(&left.conditions, &right.conditions))
        });
        if let Some(winner) = winner {
            return Answer::Owner(winner.route.key.clone());
        }
        if there.is_empty() {
            return Answer::Nothing;
        }
        if there.iter().any(|written| has_method(&written.route)) {
            return Answer::NoCondition;
        }
        let mut methods: Vec<String> = there
            .iter()
            .map(|written| written.route.method.to_owned())
            .collect();
        if methods.iter().any(|method| method == "GET") {
            methods.push("HEAD".to_owned());
        }
        methods.sort();
        methods.dedup();
        Answer::Allow(methods)
    }
}

/// True if two routes match exactly the same requests.
pub(crate) fn identical(a: &Route, b: &Route) -> bool {
    let mut left = a.conditions.clone();
    let mut right = b.conditions.clone();
    left.sort();
    right.sort();
    a.method == b.method && pieces(a) == pieces(b) && a.prefix == b.prefix && left == right
}

/// Segments of a template, each with true if it matches case-insensitively.
fn pieces(route: &Route) -> Vec<(String, bool)> {
    let base = segments(&route.base).len();
    let piece = |(index, segment): (usize, &str)| {
        let letters = segment
            .replace("{}", "")
            .chars()
            .any(|c| c.is_ascii_alphabetic());
        if route.folded && index >= base && letters {
            (segment.to_ascii_lowercase(), true)
        } else {
            (segment.to_owned(), false)
        }
    };
    segments(&route.template)
        .into_iter()
        .enumerate()
        .map(piece)
        .collect()
}

fn segments(text: &str) -> Vec<&str> {
    text.split('/').skip(1).collect()
}

fn path_holds(written: &Written, path: &[&str], lower: &[String]) -> bool {
    let template = &written.pieces;
    let long_enough = if written.route.prefix {
        path.len() >= template.len()
    } else {
        path.len() == template.len()
    };
    long_enough
        && template.iter().zip(path.iter().zip(lower)).all(
            |((template, folded), (segment, lower))| match folded {
                true => segment_holds(template, lower),
                false => segment_holds(template, segment),
            },
        )
}

/// True if a segment matches for some division of the text into non-empty parameters.
fn segment_holds(template: &str, text: &str) -> bool {
    match template.split_once("{}") {
        None => template == text,
        Some((literal, rest)) => text.strip_prefix(literal).is_some_and(|after| {
            (1..=after.len())
                .filter(|end| after.is_char_boundary(*end))
                .any(|end| segment_holds(rest, &after[end..]))
        }),
    }
}

/// Order of paths: literal > pattern > parameter; exact end > prefix. Among paths of the same form,
/// case-sensitive segments are greater than case-insensitive segments.
fn compare_paths(a: &Written, b: &Written) -> Ordering {
    let (left, right) = (&a.pieces, &b.pieces);
    let letter_case = || {
        let pairs = left.iter().zip(right);
        let mut orders = pairs.map(|(a, b)| b.1.cmp(&a.1).then_with(|| b.0.cmp(&a.0)));
        orders
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    };
    for index in 0..left.len().max(right.len()) {
        let order = match (left.get(index), right.get(index)) {
            (Some(a), Some(b)) => compare_segments(a, b),
            // The template that ends first is a prefix, and the longer template takes precedence
            // over it.
            (Some(_), None) => Ordering::Greater,
            (None, Some(_)) => Ordering::Less,
            (None, None) => Ordering::Equal,
        };
        if order.is_ne() {
            return order;
        }
    }
    let by_end = (!a.route.prefix).cmp(&!b.route.prefix);
    by_end.then_with(letter_case)
}

fn compare_segments((a, _): &(String, bool), (b, _): &(String, bool)) -> Ordering {
    let kind = |segment: &str| match segment {
        "{}" => 0,
        _ if segment.contains("{}") => 1,
        _ => 2,
    };
    let kinds = (kind(a), kind(b));
    if kinds.0 != kinds.1 || kinds.0 != 1 {
        return kinds.0.cmp(&kinds.1);
    }
    let literal_bytes = |segment: &str| segment.replace("{}", "").len();
    let parameters = |segment: &str| segment.matches("{}").count();
    let head = |segment: &str| segment.find("{}").unwrap_or(0);
    let tail = |segment: &str| segment.len() - segment.rfind("{}").map_or(0, |at| at + 2);
    literal_bytes(a)
        .cmp(&literal_bytes(b))
        .then(parameters(b).cmp(&parameters(a)))
        .then(head(a).cmp(&head(b)))
        .then(tail(a).cmp(&tail(b)))
        .then(b.to_ascii_lowercase().cmp(&a.to_ascii_lowercase()))
}

/// Order of conditions: more fields; more parameters; exact > longer prefix > presence, most
/// specific test first; byte order.
fn compare_conditions(a: &[Condition], b: &[Condition]) -> Ordering {
    let headers = |all: &[Condition]| {
        let is_header = |c: &&Condition| matches!(c, Condition::Header(..));
        all.iter().filter(is_header).count()
    };
    let sharpness = |all: &[Condition]| {
        let mut sharpness: Vec<usize> = all.iter().map(sharpness_of).collect();
        sharpness.sort_by_key(|sharpness| std::cmp::Reverse(*sharpness));
        sharpness
    };
    let sorted = |all: &[Condition]| {
        let mut all = all.to_vec();
        all.sort();
        all
    };
    headers(a)
        .cmp(&headers(b))
        .then((a.len() - headers(a)).cmp(&(b.len() - headers(b))))
        .then(sharpness(a).cmp(&sharpness(b)))
        .then(sorted(b).cmp(&sorted(a)))
}

fn sharpness_of(condition: &Condition) -> usize {
    match condition {
        Condition::Header(_, test) | Condition::Query(_, test) => match test {
            Test::Exact(_) => 1_000,
            Test::Prefix(text) => 1 + text.len(),
            Test::Present => 0,
        },
    }
}

fn condition_holds(condition: &Condition, request: &Request) -> bool {
    let passes = |test: &Test, value: &str| match test {
        Test::Exact(text) => value == *text,
        Test::Prefix(text) => value.starts_with(text),
        Test::Present => true,
    };
    match condition {
        Condition::Header(name, test) => request
            .header
            .is_some_and(|(other, value)| other == *name && passes(test, value)),
        Condition::Query(name, test) => request.query.unwrap_or("").split('&').any(|pair| {
            let (other, value) = pair.split_once('=').unwrap_or((pair, ""));
            !pair.is_empty() && other == *name && passes(test, value)
        }),
    }
}
