//! Tests of routes that compete for requests, compared with brute force: prefixes, patterns,
//! conditions, priorities, case and trailing slashes, for every path of up to three segments. The
//! tests implement matching and precedence a second time.

use std::collections::BTreeSet;

use model::compile;
use serde_json::{Map, Value, json};
use sources::project::files::Files;
use sources::syntax::Limits;

use crate::dice::Dice;

/// Segments of request paths. `z` represents all other texts.
const TEXTS: &[&str] = &["a", "A", "b", "B", "ab", "az", "zb", "Az", "zB", "z", ""];
/// Segments of templates. `*` represents a parameter.
const PIECES: &[&str] = &["a", "A", "b", "*", "*", "a*", "*b"];

#[derive(Clone, Debug, PartialEq, Eq)]
struct Route {
    pieces: Vec<&'static str>,
    prefix: bool,
    folded: bool,
    /// True if a trailing slash is ignored.
    loose: bool,
    priority: i64,
    /// True if the route requires a header field.
    conditional: bool,
    method: &'static str,
}

/// Template of a route: the written template, or (`twin`) the template with or without trailing
/// slash.
#[derive(Clone, Debug)]
struct Template {
    pieces: Vec<&'static str>,
    twin: bool,
}

type Request = (Vec<&'static str>, bool);

fn route(dice: &mut Dice) -> Route {
    let mut pieces: Vec<&'static str> = (0..=dice.roll(2))
        .map(|_| PIECES[dice.roll(PIECES.len())])
        .collect();
    let prefix = dice.chance(2);
    if !prefix && dice.chance(2) {
        pieces.push("");
    }
    Route {
        pieces,
        prefix,
        folded: dice.chance(3),
        loose: dice.chance(3),
        priority: i64::try_from(dice.roll(10) / 7).expect("small"),
        conditional: dice.chance(2),
        method: if dice.chance(8) { "get" } else { "post" },
    }
}

impl Route {
    fn templates(&self) -> Vec<Template> {
        let own = Template {
            pieces: self.pieces.clone(),
            twin: false,
        };
        let mut all = vec![own];
        if self.loose && !self.prefix {
            let mut pieces = self.pieces.clone();
            if pieces.last() == Some(&"") {
                pieces.pop();
            } else {
                pieces.push("");
            }
            all.push(Template { pieces, twin: true });
        }
        all
    }

    fn matches(&self, template: &Template, path: &[&str]) -> bool {
        let enough = if self.prefix {
            path.len() >= template.pieces.len()
        } else {
            path.len() == template.pieces.len()
        };
        let same = |a: &str, b: &str| {
            if self.folded {
                a.eq_ignore_ascii_case(b)
            } else {
                a == b
            }
        };
        let piece = |(piece, text): (&&str, &&str)| match piece.split_once('*') {
            None => same(piece, text),
            Some((head, tail)) => {
                text.len() > head.len() + tail.len()
                    && same(&text[..head.len()], head)
                    && same(&text[text.len() - tail.len()..], tail)
            }
        };
        enough && template.pieces.iter().zip(path).all(piece)
    }

    /// True for each request of `all` that this route would receive with this template if there
    /// were no other routes.
    fn requests(&self, template: &Template, all: &[Request]) -> Vec<bool> {
        let takes =
            |(path, field): &Request| (*field || !self.conditional) && self.matches(template, path);
        all.iter().map(takes).collect()
    }

    /// Precedence of two templates that match the same path; the greater one wins. Segments are
    /// compared from the left: a literal, a pattern by its literal bytes, a parameter. The end of a
    /// template ranks above the rest of a prefix. Among equal templates, segments that compare
    /// letter case rank above those that ignore it.
    fn rank(&self, template: &Template) -> (Vec<(i32, usize, bool)>, Vec<bool>) {
        let piece = |piece: &&str| match *piece {
            "*" => (0, 0, false),
            text if text.contains('*') => (1, text.len(), text.starts_with('a')),
            _ => (2, 0, false),
        };
        let mut rank: Vec<_> = template.pieces.iter().map(piece).collect();
        rank.push((if self.prefix { -2 } else { -1 }, 0, false));
        let is_exact = |piece: &&str| !self.folded && !matches!(*piece, "*" | "");
        (rank, template.pieces.iter().map(is_exact).collect())
    }

    fn key(&self, index: usize) -> String {
        let mut text = String::new();
        for (at, piece) in self.pieces.iter().enumerate() {
            text.push('/');
            text.push_str(&piece.replace('*', &format!("{{p{index}x{at}}}")));
        }
        text
    }
}

fn requests() -> Vec<Request> {
    let mut all = Vec::new();
    let mut last = vec![Vec::new()];
    for _ in 0..3 {
        let longer = last.iter().flat_map(|path: &Vec<&'static str>| {
            TEXTS
                .iter()
                .map(move |text| [path.clone(), vec![*text]].concat())
        });
        last = longer.collect();
        all.extend(
            last.iter()
                .flat_map(|path| [(path.clone(), false), (path.clone(), true)]),
        );
    }
    all
}

fn document(routes: &[Route]) -> String {
    let mut paths = Map::new();
    for (index, route) in routes.iter().enumerate() {
        let names = (0..route.pieces.len()).filter(|at| route.pieces[*at].contains('*'));
        let parameters: Vec<Value> = names
            .map(|at| json!({"name": format!("p{index}x{at}"), "in": "path", "required": true, "schema": {"type": "string"}}))
            .collect();
        let mut operation = json!({"parameters": parameters, "operationId": format!("r{index}"), "responses": {"200": {"description": "fine"}}});
        if route.conditional {
            operation["x-gateway"] = json!({"match": {"headers": {"h": {"present": "true"}}}});
        }
        let mut extension = json!({"priority": route.priority, "case_insensitive": route.folded});
        extension["trailing_slash"] = if route.loose { "ignore" } else { "strict" }.into();
        if route.prefix {
            extension["match"] = "prefix".into();
        }
        paths.insert(
            route.key(index),
            json!({"x-gateway": extension, route.method: operation}),
        );
    }
    json!({"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": paths}).to_string()
}

/// Route with its templates: `twin` of each template, and the requests that it would receive alone.
struct Alone<'r> {
    route: &'r Route,
    templates: Vec<(bool, Vec<bool>)>,
}

impl<'r> Alone<'r> {
    fn new(route: &'r Route, all: &[Request]) -> Self {
        let templates = route.templates().into_iter();
        Self {
            route,
            templates: templates
                .map(|template| (template.twin, route.requests(&template, all)))
                .collect(),
        }
    }
}

fn subset(a: &[bool], b: &[bool]) -> bool {
    a.iter().zip(b).all(|(a, b)| !a || *b)
}

fn disjoint(a: &[bool], b: &[bool]) -> bool {
    a.iter().zip(b).all(|(a, b)| !(*a && *b))
}

/// Expected finding about two routes with the same method.
fn expected(left: &Alone<'_>, right: &Alone<'_>) -> Option<&'static str> {
    let (a, b) = (left.route, right.route);
    if a.method != b.method {
        return None;
    }
    let alike = a.priority == b.priority && a.conditional == b.conditional;
    if alike && left.templates[0].1 == right.templates[0].1 {
        return Some("identical-route");
    }
    for (lesser, greater) in [(left, right), (right, left)] {
        let covered = lesser.templates.iter().all(|(own_twin, own)| {
            greater.templates.iter().any(|(twin, other)| {
                // If only one of the routes has a condition, compare only requests with the
                // required field. Each path has two requests: without the field, then with it.
                let same_path = match lesser.route.conditional == greater.route.conditional {
                    true => own == other,
                    false => own
                        .chunks(2)
                        .zip(other.chunks(2))
                        .all(|(a, b)| a[1] == b[1]),
                };
                subset(own, other) && !(*twin && !own_twin && same_path)
            })
        });
        if covered && lesser.route.priority < greater.route.priority {
            return Some("never-wins");
        }
    }
    if !alike || a.conditional {
        return None;
    }
    let pairs = left
        .templates
        .iter()
        .flat_map(|own| right.templates.iter().map(move |other| (own, other)));
    for ((own_twin, own), (twin, other)) in pairs {
        let contend = !disjoint(own, other) && !subset(own, other) && !subset(other, own);
        if contend && !(*own_twin && *twin) {
            return Some("ambiguous-template");
        }
    }
    None
}

const GATEWAY: &str = "version: 1\nname: s\napis: {a: {path: api.json}}\n\
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u, security: upstream}\n";

#[test]
fn contending_routes_agree_with_brute_force() {
    let full = prerequisite::is_full();
    let all = requests();
    let mut dice = Dice(11);
    let mut counts: std::collections::BTreeMap<&str, usize> = Default::default();
    for table in 0..if full { 30_000 } else { 3_000 } {
        let mut routes: Vec<Route> = Vec::new();
        for _ in 0..4 {
            let mut route = route(&mut dice);
            if let Some(before) = routes.last().filter(|_| dice.chance(2)) {
                route.pieces.clone_from(&before.pieces);
                route.prefix = before.prefix;
            }
            // A document cannot contain the same path without parameters twice.
            let literal = !route.pieces.iter().any(|piece| piece.contains('*'));
            if !(literal && routes.iter().any(|other| other.key(0) == route.key(0))) {
                routes.push(route);
            }
        }
        let text = document(&routes);
        let files = [("gateway.yaml", GATEWAY), ("api.json", text.as_str())];
        let compiled = compile::project(Files::in_memory(files, Limits::default()), &Vec::new());
        let index = |span: diag::Span| {
            let text = compiled.files.sources.text(span).trim_matches('"');
            routes
                .iter()
                .enumerate()
                .find(|(index, route)| route.key(*index) == text)
                .map(|(index, _)| index)
                .unwrap_or_else(|| panic!("`{text}` is not a path\n{routes:#?}"))
        };
        let mut reported: Vec<(&str, BTreeSet<usize>)> = Vec::new();
        for finding in &compiled.findings {
            let name = finding.lint.name;
            if !["identical-route", "ambiguous-template", "never-wins"].contains(&name) {
                continue;
            }
            let (one, other) = (index(finding.span), index(finding.related[0].0));
            // A route that never wins is reported once, regardless of which route wins.
            reported.push((
                name,
                match name {
                    "never-wins" => BTreeSet::from([one]),
                    _ => BTreeSet::from([one, other]),
                },
            ));
            if name == "ambiguous-template" {
                winner_is_right(&routes, (one, other), &finding.label);
            }
        }
        let mut should: Vec<(&str, BTreeSet<usize>)> = Vec::new();
        let alone: Vec<Alone<'_>> = routes.iter().map(|route| Alone::new(route, &all)).collect();
        for b in 0..routes.len() {
            for a in 0..b {
                let name = expected(&alone[a], &alone[b]);
                should.extend(name.map(|name| match name {
                    "never-wins" if routes[a].priority < routes[b].priority => {
                        (name, BTreeSet::from([a]))
                    }
                    "never-wins" => (name, BTreeSet::from([b])),
                    _ => (name, BTreeSet::from([a, b])),
                }));
            }
        }
        for (name, _) in &should {
            *counts.entry(name).or_default() += 1;
        }
        reported.sort();
        should.sort();
        should.dedup();
        assert_eq!(reported, should, "table {table}\n{routes:#?}");
    }
    assert!(
        counts.len() == 3 && counts.values().all(|count| *count >= 20),
        "{counts:?}"
    );
}

/// Checks the label of a finding. Both routes must match the request in the label, and the route in
/// the label must receive this request.
fn winner_is_right(routes: &[Route], (a, b): (usize, usize), label: &str) {
    let mut quoted = label.split('`').skip(1).step_by(2);
    let (request, key) = (
        quoted.next().expect("a request"),
        quoted.next().expect("a key"),
    );
    let (_, path) = request.split_once(' ').expect("a method");
    let path: Vec<&str> = path.split('/').skip(1).collect();
    let best = |index: usize| {
        let route = &routes[index];
        let templates = route.templates();
        let matching = templates
            .iter()
            .filter(|template| route.matches(template, &path));
        matching
            .map(|template| (route.rank(template), !template.twin))
            .max()
            .unwrap_or_else(|| panic!("`{request}` does not match {route:?}"))
    };
    let winner = if best(a) > best(b) { a } else { b };
    assert_eq!(
        key,
        format!("a/r{winner}"),
        "{label}\n{:?}\n{:?}",
        routes[a],
        routes[b]
    );
}
