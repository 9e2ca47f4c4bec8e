//! Comparison of the trie with the naive model, and with matchit where the rules agree.

use std::sync::Arc;

use bundle::ir::{self, Set, Template};
use engine::router::{self, ApiRouter, Found, HostTable};
use policy::RequestHead;

use super::naive::{self, Answer, Condition, Request, Route, Test};
use super::tables::{self, Dice, Kind};

const PLAIN: Kind = Kind {
    mounts: 1,
    patterns: false,
    prefixes: false,
    priorities: false,
    conditions: false,
    loose: false,
};

#[test]
fn the_trie_answers_as_a_naive_table_does() {
    let kinds = [
        (PLAIN, 150),
        (
            Kind {
                patterns: true,
                prefixes: true,
                ..PLAIN
            },
            900,
        ),
        (
            Kind {
                patterns: true,
                prefixes: true,
                priorities: true,
                ..PLAIN
            },
            500,
        ),
        (
            Kind {
                mounts: 3,
                patterns: true,
                prefixes: true,
                priorities: true,
                ..PLAIN
            },
            500,
        ),
        (
            Kind {
                mounts: 2,
                patterns: true,
                prefixes: true,
                priorities: true,
                conditions: true,
                ..PLAIN
            },
            250,
        ),
        (
            Kind {
                patterns: true,
                prefixes: true,
                loose: true,
                ..PLAIN
            },
            700,
        ),
        (
            Kind {
                mounts: 3,
                patterns: true,
                prefixes: true,
                priorities: true,
                conditions: true,
                loose: true,
            },
            400,
        ),
    ];
    let (mut compared, mut refused) = (0u64, 0);
    for (kind, count) in kinds {
        let requests = tables::requests(kind);
        let heads: Vec<RequestHead> = requests.iter().map(head).collect();
        for seed in 0..count {
            let mut dice = Dice::new(seed);
            let bases = tables::bases(&mut dice, kind);
            let routes = tables::table(&mut dice, kind, &bases);
            let Some(table) = build(&routes, &bases) else {
                refused += 1;
                continue;
            };
            let plain = naive::Table::new(&routes);
            for (request, head) in requests.iter().zip(&heads) {
                let answer = table.answer(head);
                let expected = plain.answer(request);
                assert_eq!(
                    answer, expected,
                    "{request:?}\nseed {seed} of {kind:?}\n{routes:#?}"
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 2_000_000, "only {compared} requests compared");
    assert!(refused > 50, "only {refused} tables had identical routes");
}

#[test]
fn trie_agrees_with_matchit_on_common_templates() {
    let requests = tables::requests(PLAIN);
    let mut compared = 0;
    for seed in 0..400 {
        let mut dice = Dice::new(seed);
        let mut routes = tables::table(&mut dice, PLAIN, &[""]);
        routes.dedup_by(|a, b| a.template == b.template);
        for route in &mut routes {
            route.method = "GET";
        }
        let mut oracle = matchit::Router::new();
        for route in &routes {
            let inserted = oracle.insert(named(&route.template), route.key.clone());
            inserted.unwrap_or_else(|error| panic!("seed {seed}: {error}\n{routes:#?}"));
        }
        let table = build(&routes, &[""]).expect("no two templates are alike");
        for request in requests.iter().filter(|request| request.method == "GET") {
            let expected = match oracle.at(&request.path) {
                Ok(found) => Answer::Owner(found.value.clone()),
                Err(_) => Answer::Nothing,
            };
            let answer = table.answer(&head(request));
            assert_eq!(
                answer, expected,
                "{} seed {seed}\n{routes:#?}",
                request.path
            );
            compared += 1;
        }
    }
    assert!(compared > 100_000);
}

#[test]
fn literals_of_any_length_and_number_are_distinct() {
    let long = "abcdefghijklmnopqrstuvwxyz-and-so-on";
    let lengths = (1..=long.len()).map(|length| long[..length].to_owned());
    let numbers = (0..300).map(|number| format!("svc{number}"));
    let names: Vec<String> = lengths.chain(numbers).collect();
    // Generate many siblings, and long literals in sequence.
    let templates = |name: &String| [format!("/{name}"), format!("/{name}/{name}/{{}}/{long}")];
    let route = |template: &String| Route {
        key: template.clone(),
        mount: 0,
        method: "GET",
        template: template.clone(),
        prefix: false,
        priority: 0,
        conditions: Vec::new(),
        folded: false,
        twin: false,
        base: String::new(),
    };
    let routes: Vec<Route> = names
        .iter()
        .flat_map(templates)
        .map(|one| route(&one))
        .collect();
    let table = build(&routes, &[""]).expect("no two templates are alike");
    let answer = |path: &str| {
        table.answer(&head(&Request {
            method: "GET",
            path: path.to_owned(),
            header: None,
            query: None,
        }))
    };
    for route in &routes {
        let path = route.template.replace("{}", "x");
        assert_eq!(answer(&path), Answer::Owner(route.key.clone()));
        for other in [
            format!("{path}~"),
            format!("{path}!"),
            path.replacen('/', "/~", 1),
        ] {
            assert_eq!(answer(&other), Answer::Nothing, "{other:?}");
        }
    }
    assert_eq!(answer("/svc300"), Answer::Nothing);
    assert_eq!(answer(&format!("/{long}o")), Answer::Nothing);
}

/// Routing table of the engine. `routers` contains the router of each mount, in which the test
/// looks up the keys of operations.
struct Table {
    hosts: HostTable,
    routers: Vec<Arc<ApiRouter>>,
}

/// Builds the engine's table. `None` if two routes are identical; the engine must then refuse them
/// as well.
fn build(routes: &[Route], bases: &[&str]) -> Option<Table> {
    let same = |a: &Route, b: &Route| a.mount == b.mount && naive::identical(a, b);
    let twins = routes
        .iter()
        .enumerate()
        .any(|(index, route)| routes[index + 1..].iter().any(|other| same(route, other)));
    let mut hosts = HostTable::default();
    let mut routers = Vec::new();
    let mut refused = false;
    for (mount, base) in bases.iter().enumerate() {
        let own = routes.iter().filter(|route| route.mount == mount);
        let operations = own.map(|route| operation(route, base)).collect();
        match ApiRouter::build(Set::new(operations).expect("keys are numbers"), &[]) {
            Ok(router) => {
                let router = Arc::new(router);
                let number = u32::try_from(mount).expect("few mounts");
                hosts.add(None, base, number, &router);
                routers.push(router);
            }
            Err(_) => refused = true,
        }
    }
    assert_eq!(refused, twins, "{routes:#?}");
    // The table accepts identical routes of two mounts; gwc and `build` refuse them.
    let clash = routes.iter().enumerate().any(|(index, route)| {
        routes[index + 1..]
            .iter()
            .any(|other| naive::identical(route, other))
    });
    (!clash).then_some(Table { hosts, routers })
}

impl Table {
    fn answer(&self, head: &RequestHead) -> Answer {
        match router::find(&self.hosts, head) {
            Found::Operation {
                mount, operation, ..
            } => {
                let operations = self.routers[mount as usize].operations();
                Answer::Owner(operations[operation as usize].key.clone())
            }
            Found::Nothing => Answer::Nothing,
            Found::NoConditionMatched => Answer::NoCondition,
            Found::MethodNotAllowed(methods) => {
                Answer::Allow(methods.iter().map(ToString::to_string).collect())
            }
        }
    }
}

fn operation(route: &Route, base: &str) -> ir::Operation {
    let below = &route.template[base.len()..];
    let template = if below.is_empty() {
        Template::parse("/").expect("the root").into_prefix()
    } else {
        let template = Template::parse(&named(below)).expect("a template");
        let template = if route.prefix {
            template.into_prefix()
        } else {
            template
        };
        if route.folded {
            template.into_folded()
        } else {
            template
        }
    };
    ir::Operation {
        key: route.key.clone(),
        method: route.method.to_owned(),
        template,
        conditions: route.conditions.iter().map(condition).collect(),
        priority: route.priority,
        treatment: 0,
        trailing_slash: if route.twin {
            ir::TrailingSlash::Ignore
        } else {
            ir::TrailingSlash::Strict
        },
        owns: ir::Owns::Described,
    }
}

/// Names the parameters: `{}` becomes `{p0}`, `{p1}`, …
fn named(template: &str) -> String {
    let mut text = String::new();
    for (index, piece) in template.split("{}").enumerate() {
        if index > 0 {
            text.push_str(&format!("{{p{index}}}"));
        }
        text.push_str(piece);
    }
    text
}

fn condition(condition: &Condition) -> ir::Condition {
    let test = |test: &Test| match test {
        Test::Exact(text) => ir::Test::Exact((*text).to_owned()),
        Test::Prefix(text) => ir::Test::Prefix((*text).to_owned()),
        Test::Present => ir::Test::Present,
    };
    match condition {
        Condition::Header(name, how) => ir::Condition::Header((*name).to_owned(), test(how)),
        Condition::Query(name, how) => ir::Condition::Query((*name).to_owned(), test(how)),
    }
}

fn head(request: &Request) -> RequestHead {
    let mut target = request.path.clone();
    if let Some(query) = request.query {
        target.push('?');
        target.push_str(query);
    }
    let mut headers = http::HeaderMap::new();
    if let Some((name, value)) = request.header {
        headers.insert(name, http::HeaderValue::from_static(value));
    }
    RequestHead {
        is_ambiguous: false,
        method: request.method.parse().expect("a method"),
        target: target.parse().expect("a target"),
        host: "h".into(),
        headers,
    }
}
