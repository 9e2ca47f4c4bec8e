//! Tests of findings about overlapping routes, compared with brute force over a small alphabet:
//! every path of up to three segments. A table contains the valid values of parameters.

use std::collections::BTreeSet;

use model::compile;
use serde_json::{Map, Value, json};
use sources::project::files::Files;
use sources::syntax::Limits;

use crate::dice::Dice;

/// Segments of request paths. `z` represents all other texts.
const TEXTS: &[&str] = &["a", "b", "1", "z"];
/// Schemas of parameters, each with its valid texts. gwc assumes that two schemas without listed
/// values share values, so all such schemas accept `1` here.
const SCHEMAS: &[(&str, &[&str])] = &[
    (r#"{"type": "string"}"#, &["a", "b", "1", "z"]),
    (r#"{"type": "integer"}"#, &["1"]),
    (r#"{"type": "string", "enum": ["a"]}"#, &["a"]),
    (
        r#"{"type": "string", "pattern": "^[ab1]$"}"#,
        &["a", "b", "1"],
    ),
];

/// Segment of a template: a literal, or a parameter with the index of its schema in [`SCHEMAS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Segment {
    Literal(&'static str),
    Parameter(usize),
}

type Route = Vec<Segment>;

fn route(dice: &mut Dice) -> Route {
    let segment = |dice: &mut Dice| match dice.roll(2) {
        0 => Segment::Literal(TEXTS[dice.roll(3)]),
        _ => Segment::Parameter(dice.roll(SCHEMAS.len())),
    };
    (0..=dice.roll(3)).map(|_| segment(dice)).collect()
}

/// Every path with this number of segments.
fn paths(length: usize) -> Vec<Vec<&'static str>> {
    let mut paths = vec![Vec::new()];
    for _ in 0..length {
        let longer = |path: &Vec<&'static str>| -> Vec<Vec<&'static str>> {
            let with = |text: &&'static str| [path.clone(), vec![*text]].concat();
            TEXTS.iter().map(with).collect()
        };
        paths = paths.iter().flat_map(longer).collect();
    }
    paths
}

fn matches(route: &Route, path: &[&str]) -> bool {
    let one = |(segment, text): (&Segment, &&str)| match segment {
        Segment::Literal(literal) => literal == text,
        Segment::Parameter(_) => true,
    };
    route.len() == path.len() && route.iter().zip(path).all(one)
}

fn is_valid(route: &Route, path: &[&str]) -> bool {
    route.iter().zip(path).all(|(segment, text)| match segment {
        Segment::Literal(_) => true,
        Segment::Parameter(schema) => SCHEMAS[*schema].1.contains(text),
    })
}

/// Name of the expected finding about two routes. `None`: no finding.
fn expected(a: &Route, b: &Route) -> Option<&'static str> {
    if a.len() != b.len() {
        return None;
    }
    let all = paths(a.len());
    let of = |route: &Route| -> BTreeSet<&Vec<&str>> {
        all.iter().filter(|path| matches(route, path)).collect()
    };
    let (left, right) = (of(a), of(b));
    let common: Vec<_> = left.intersection(&right).collect();
    if common.is_empty() {
        return None;
    }
    if left == right {
        return Some("identical-route");
    }
    if left.is_subset(&right) || right.is_subset(&left) {
        return None;
    }
    // Precedence depends on the leftmost segment that is a literal in one route and a parameter in
    // the other.
    let rank = |route: &Route| -> Vec<bool> {
        route
            .iter()
            .map(|segment| matches!(segment, Segment::Literal(_)))
            .collect()
    };
    let (winner, loser) = if rank(a) > rank(b) { (a, b) } else { (b, a) };
    let both = |path: &&&Vec<&str>| is_valid(winner, path) && is_valid(loser, path);
    if common.iter().any(both) {
        return Some("ambiguous-template");
    }
    let captured = common.iter().any(|path| is_valid(loser, path));
    captured.then_some("captured-by-template")
}

fn template(index: usize, route: &Route) -> String {
    let one = |(at, segment): (usize, &Segment)| match segment {
        Segment::Literal(text) => format!("/{text}"),
        Segment::Parameter(_) => format!("/{{p{index}_{at}}}"),
    };
    route.iter().enumerate().map(one).collect()
}

fn document(routes: &[Route]) -> String {
    let mut paths = Map::new();
    for (index, route) in routes.iter().enumerate() {
        let parameter = |(at, segment): (usize, &Segment)| match segment {
            Segment::Literal(_) => None,
            Segment::Parameter(schema) => {
                let schema: Value = serde_json::from_str(SCHEMAS[*schema].0).expect("JSON");
                Some(
                    json!({"name": format!("p{index}_{at}"), "in": "path", "required": true, "schema": schema}),
                )
            }
        };
        let parameters: Vec<Value> = route.iter().enumerate().filter_map(parameter).collect();
        let get = json!({"parameters": parameters, "responses": {"200": {"description": "fine"}}});
        paths.insert(template(index, route), json!({"get": get}));
    }
    json!({"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": paths}).to_string()
}

const GATEWAY: &str = "version: 1\nname: s\napis: {a: {path: api.json}}\n\
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u, security: upstream}\n";

#[test]
fn overlap_findings_agree_with_brute_force() {
    let full = prerequisite::is_full();
    let mut dice = Dice(7);
    let mut wrong = Vec::new();
    let mut kinds: BTreeSet<&str> = BTreeSet::new();
    for _ in 0..if full { 20_000 } else { 2_000 } {
        let mut routes: Vec<Route> = Vec::new();
        for _ in 0..3 {
            let route = route(&mut dice);
            // A document cannot contain the same path without parameters twice.
            let literal = route
                .iter()
                .all(|segment| matches!(segment, Segment::Literal(_)));
            if !(literal && routes.contains(&route)) {
                routes.push(route);
            }
        }
        let text = document(&routes);
        let files = [("gateway.yaml", GATEWAY), ("api.json", text.as_str())];
        let compiled = compile::project(Files::in_memory(files, Limits::default()), &Vec::new());
        let place = |span: diag::Span| {
            compiled
                .files
                .sources
                .text(span)
                .trim_matches('"')
                .to_owned()
        };
        let pair = |one: String, other: String| BTreeSet::from([one, other]);
        let mut reported: Vec<(String, BTreeSet<String>)> = compiled
            .findings
            .iter()
            .filter(|finding| {
                [
                    "identical-route",
                    "ambiguous-template",
                    "captured-by-template",
                ]
                .contains(&finding.lint.name)
            })
            .map(|finding| {
                (
                    finding.lint.name.to_owned(),
                    pair(place(finding.span), place(finding.related[0].0)),
                )
            })
            .collect();
        let mut should: Vec<(String, BTreeSet<String>)> = Vec::new();
        for (index, route) in routes.iter().enumerate() {
            for (other, before) in routes[..index].iter().enumerate() {
                if let Some(name) = expected(before, route) {
                    kinds.insert(name);
                    should.push((
                        name.to_owned(),
                        pair(template(index, route), template(other, before)),
                    ));
                }
            }
        }
        reported.sort();
        should.sort();
        if reported != should {
            wrong.push(format!("{routes:?}\n  said {reported:?}\n  not {should:?}"));
        }
    }
    assert_eq!(kinds.len(), 3, "{kinds:?}");
    assert!(
        wrong.is_empty(),
        "{} tables, the first:\n{}",
        wrong.len(),
        wrong[0]
    );
}

#[test]
fn search_for_overlaps_that_stops_is_reported() {
    let path = |template: &str| {
        let item = json!({"get": {"responses": {"200": {"description": "fine"}}}, "parameters": [
            {"name": "x", "in": "path", "required": true, "schema": {"type": "string"}},
        ]});
        (template.to_owned(), item)
    };
    let templates = ["/{x}/a/a", "/a/{x}/a", "/a/a/{x}"];
    let paths: Map<String, Value> = templates.into_iter().map(path).collect();
    let document =
        json!({"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": paths});
    let reported = |max: usize| {
        let gateway = "version: 1\nname: s\napis: {a: {path: api.json}}\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u, security: upstream}\n";
        let text = document.to_string();
        let files = [("gateway.yaml", gateway), ("api.json", text.as_str())];
        let files = Files::in_memory(files, Limits::default());
        let compile = || compile::project(files, &Vec::new());
        let compiled = model::overlap::with_pairs(max, compile);
        let mut messages = compiled.findings.into_iter().map(|finding| finding.message);
        messages.any(|message| message.contains("not all were compared"))
    };
    assert!(!reported(3));
    assert!(reported(2));
}
