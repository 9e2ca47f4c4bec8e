//! The order of semantics.md §1, written down a second time and as plainly as possible: every
//! route is tried, and the greatest of those that hold wins. Shares nothing with the engine.

use std::cmp::Ordering;

/// A route as a person would note it.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) key: String,
    pub(crate) mount: usize,
    pub(crate) method: &'static str,
    /// `/a/{}/b{}`, names erased; a base path is part of it.
    pub(crate) template: String,
    pub(crate) prefix: bool,
    pub(crate) priority: i32,
    pub(crate) conditions: Vec<Condition>,
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

/// A request as a person would note it.
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

/// Who owns a request.
pub(crate) fn answer(routes: &[Route], request: &Request) -> Answer {
    let there: Vec<&Route> = routes
        .iter()
        .filter(|route| path_holds(route, &request.path))
        .collect();
    let explicit = |route: &Route| route.method == request.method;
    let has_method =
        |route: &Route| explicit(route) || request.method == "HEAD" && route.method == "GET";
    let candidates = there.iter().filter(|route| {
        has_method(route) && route.conditions.iter().all(|c| condition_holds(c, request))
    });
    let winner = candidates.max_by(|a, b| {
        a.priority
            .cmp(&b.priority)
            .then_with(|| compare_paths(a, b))
            // An explicit HEAD wins at the same template.
            .then_with(|| explicit(a).cmp(&explicit(b)))
            .then_with(|| compare_conditions(&a.conditions, &b.conditions))
    });
    if let Some(winner) = winner {
        return Answer::Owner(winner.key.clone());
    }
    if there.is_empty() {
        return Answer::Nothing;
    }
    if there.iter().any(|route| has_method(route)) {
        return Answer::NoCondition;
    }
    let mut methods: Vec<String> = there.iter().map(|route| route.method.to_owned()).collect();
    if methods.iter().any(|method| method == "GET") {
        methods.push("HEAD".to_owned());
    }
    methods.sort();
    methods.dedup();
    Answer::Allow(methods)
}

/// Whether two routes can never be told apart.
pub(crate) fn identical(a: &Route, b: &Route) -> bool {
    let mut left = a.conditions.clone();
    let mut right = b.conditions.clone();
    left.sort();
    right.sort();
    a.method == b.method && a.template == b.template && a.prefix == b.prefix && left == right
}

fn segments(text: &str) -> Vec<&str> {
    text.split('/').skip(1).collect()
}

fn path_holds(route: &Route, path: &str) -> bool {
    let (template, path) = (segments(&route.template), segments(path));
    let long_enough = if route.prefix {
        path.len() >= template.len()
    } else {
        path.len() == template.len()
    };
    long_enough
        && template
            .iter()
            .zip(&path)
            .all(|(template, segment)| segment_holds(template, segment))
}

/// Any division of the text into non-empty parameters will do.
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

/// literal > pattern > parameter; the end of a template > the rest of a prefix.
fn compare_paths(a: &Route, b: &Route) -> Ordering {
    let (left, right) = (segments(&a.template), segments(&b.template));
    for index in 0..left.len().max(right.len()) {
        let order = match (left.get(index), right.get(index)) {
            (Some(a), Some(b)) => compare_segments(a, b),
            // One of them is a prefix that ends earlier, and loses here.
            (Some(_), None) => Ordering::Greater,
            (None, Some(_)) => Ordering::Less,
            (None, None) => Ordering::Equal,
        };
        if order.is_ne() {
            return order;
        }
    }
    (!a.prefix).cmp(&!b.prefix)
}

fn compare_segments(a: &str, b: &str) -> Ordering {
    let kind = |segment: &str| match segment {
        "{}" => 0,
        _ if segment.contains("{}") => 1,
        _ => 2,
    };
    if kind(a) != kind(b) || kind(a) != 1 {
        return kind(a).cmp(&kind(b));
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
        .then(b.cmp(a))
}

/// More fields; more parameters; exact > longer prefix > present, the sharpest first; bytes.
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
