//! Tests of routes of several APIs at several mounts, compared with brute force: every listener,
//! host and path over a small alphabet. The tests implement the selection of the mount a second
//! time (semantics.md §1).

use std::collections::{BTreeMap, BTreeSet};

use model::compile;
use sources::project::files::Files;
use sources::syntax::Limits;

use crate::dice::Dice;

const LISTENERS: &[&str] = &["l", "m"];
/// Hosts in requests.
const HOSTS: &[&str] = &["h.test", "g.test", "a.h.test", "b.h.test"];
/// Hosts of mounts. An empty text means a mount without hosts.
const NAMED: &[&str] = &["", "", "h.test", "g.test", "*.h.test", "a.h.test"];
const BASES: &[&str] = &["", "/x", "/x/y"];
const TEXTS: &[&str] = &["a", "x", "y", "z"];
const PIECES: &[&str] = &["a", "x", "y", "*", "*"];

struct Mount {
    hosts: Vec<&'static str>,
    base: &'static str,
    listeners: Vec<&'static str>,
}

struct Api {
    mounts: Vec<Mount>,
    templates: Vec<Vec<&'static str>>,
}

fn mount(dice: &mut Dice) -> Mount {
    let mut hosts: Vec<&'static str> = (0..=dice.roll(2)).map(|_| dice.pick(NAMED)).collect();
    hosts.retain(|host| !host.is_empty());
    hosts.sort_unstable();
    hosts.dedup();
    let mut listeners = vec![dice.pick(LISTENERS)];
    if dice.roll(3) == 0 {
        listeners = LISTENERS.to_vec();
    }
    Mount {
        hosts,
        base: dice.pick(BASES),
        listeners,
    }
}

fn api(dice: &mut Dice) -> Api {
    let mut mounts = vec![mount(dice)];
    if dice.roll(3) == 0 {
        mounts.push(mount(dice));
    }
    let mut templates: Vec<Vec<&'static str>> = Vec::new();
    for _ in 0..=dice.roll(2) {
        let template: Vec<_> = (0..=dice.roll(2)).map(|_| dice.pick(PIECES)).collect();
        if !templates.contains(&template) {
            templates.push(template);
        }
    }
    Api { mounts, templates }
}

fn names(mount: &Mount, listener: &str, named: &str) -> bool {
    mount.listeners.contains(&listener)
        && if named.is_empty() {
            mount.hosts.is_empty()
        } else {
            mount.hosts.contains(&named)
        }
}

/// Host pattern that is selected for a host at a listener: the host itself, its parent with `*.`,
/// or the empty text.
fn winning(apis: &[Api], listener: &str, host: &str) -> String {
    let parent = host.split_once('.').map_or("", |(_, parent)| parent);
    [host.to_owned(), format!("*.{parent}"), String::new()]
        .into_iter()
        .find(|named| {
            named.is_empty()
                || apis
                    .iter()
                    .flat_map(|api| &api.mounts)
                    .any(|mount| names(mount, listener, named))
        })
        .unwrap_or_default()
}

fn paths() -> Vec<Vec<&'static str>> {
    let mut all = Vec::new();
    let mut last = vec![Vec::new()];
    for _ in 0..4 {
        let longer = last.iter().flat_map(|path: &Vec<&'static str>| {
            TEXTS
                .iter()
                .map(move |text| [path.clone(), vec![*text]].concat())
        });
        last = longer.collect();
        all.extend(last.iter().cloned());
    }
    all
}

fn matches(base: &str, template: &[&str], path: &[&str]) -> bool {
    let whole: Vec<&str> = base
        .split('/')
        .skip(1)
        .chain(template.iter().copied())
        .collect();
    whole.len() == path.len()
        && whole
            .iter()
            .zip(path)
            .all(|(piece, text)| *piece == "*" || piece == text)
}

/// Operation: index of its API, and index of its template.
type Route = (usize, usize);
type ExpectedFindings = BTreeSet<(&'static str, BTreeSet<Route>)>;

/// Returns the expected findings about pairs of operations, and the APIs that have a mount hidden
/// by other APIs.
fn expected(apis: &[Api], paths: &[Vec<&'static str>]) -> (ExpectedFindings, BTreeSet<usize>) {
    let mut pairs = ExpectedFindings::new();
    for listener in LISTENERS {
        for host in HOSTS.iter().chain([&"other.example"]) {
            let named = winning(apis, listener, host);
            // For each operation at each applicable mount: the requests that it matches.
            let mut owned: Vec<(Route, Vec<bool>)> = Vec::new();
            for (number, api) in apis.iter().enumerate() {
                for mount in api
                    .mounts
                    .iter()
                    .filter(|mount| names(mount, listener, &named))
                {
                    for (index, template) in api.templates.iter().enumerate() {
                        let takes = paths.iter().map(|path| matches(mount.base, template, path));
                        owned.push(((number, index), takes.collect()));
                    }
                }
            }
            for (at, (a, left)) in owned.iter().enumerate() {
                for (b, right) in owned[..at].iter().filter(|(b, _)| a != b) {
                    let both = left.iter().zip(right);
                    let any =
                        |test: fn(bool, bool) -> bool| both.clone().any(|(a, b)| test(*a, *b));
                    if !any(|a, b| a && b) {
                        continue;
                    }
                    let pair = BTreeSet::from([*a, *b]);
                    match (any(|a, b| a && !b), any(|a, b| !a && b)) {
                        (false, false) => pairs.insert(("identical-route", pair)),
                        (true, true) => pairs.insert(("ambiguous-template", pair)),
                        _ => false,
                    };
                }
            }
        }
    }
    let mut hidden = BTreeSet::new();
    for (number, api) in apis.iter().enumerate() {
        for mount in api.mounts.iter().filter(|mount| mount.hosts.is_empty()) {
            for listener in &mount.listeners {
                let others = apis.iter().flat_map(|other| &other.mounts);
                let hides = |host: &&str| {
                    let own = api.mounts.iter().any(|own| names(own, listener, host));
                    !own && others.clone().any(|other| names(other, listener, host))
                };
                if NAMED.iter().filter(|host| !host.is_empty()).any(hides) {
                    hidden.insert(number);
                }
            }
        }
    }
    (pairs, hidden)
}

fn gateway(apis: &[Api]) -> String {
    let mut text = String::from(
        "version: 1\nname: s\nlisteners: {l: {address: \"127.0.0.1:1001\"}, m: {address: \"127.0.0.1:1002\"}}\n\
         upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u, security: upstream}\napis:\n",
    );
    for (number, api) in apis.iter().enumerate() {
        text.push_str(&format!(
            "  a{number}:\n    path: a{number}.yaml\n    mounts:\n"
        ));
        for (index, mount) in api.mounts.iter().enumerate() {
            let hosts = match mount.hosts.is_empty() {
                true => String::new(),
                false => format!("hosts: {:?}, ", mount.hosts),
            };
            let base = match mount.base.is_empty() {
                true => String::new(),
                false => format!("base_path: {}, ", mount.base),
            };
            text.push_str(&format!(
                "      - {{name: m{index}, {hosts}{base}listeners: {:?}}}\n",
                mount.listeners
            ));
        }
    }
    text
}

fn document(api: &Api) -> String {
    let mut text = "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths:\n".to_owned();
    for (index, template) in api.templates.iter().enumerate() {
        let mut path = String::new();
        let mut parameters = Vec::new();
        for (at, piece) in template.iter().enumerate() {
            path.push_str(&format!(
                "/{}",
                piece.replace('*', &format!("{{p{index}x{at}}}"))
            ));
            if *piece == "*" {
                parameters.push(format!(
                    "{{name: p{index}x{at}, in: path, required: true, schema: {{type: string}}}}"
                ));
            }
        }
        text.push_str(&format!(
            "  {path}: {{get: {{operationId: r{index}, parameters: [{}], responses: {{\"200\": {{description: ok}}}}}}}}\n",
            parameters.join(", ")
        ));
    }
    text
}

#[test]
fn apis_at_several_mounts_agree_with_brute_force() {
    let full = prerequisite::is_full();
    let paths = paths();
    let mut dice = Dice(3);
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for table in 0..if full { 20_000 } else { 1_500 } {
        let apis: Vec<Api> = (0..2 + dice.roll(2)).map(|_| api(&mut dice)).collect();
        let gateway = gateway(&apis);
        let documents: Vec<String> = apis.iter().map(document).collect();
        let mut files = vec![("gateway.yaml".to_owned(), gateway.clone())];
        for (number, text) in documents.iter().enumerate() {
            files.push((format!("a{number}.yaml"), text.clone()));
        }
        let compiled = compile::project(Files::in_memory(files, Limits::default()), &Vec::new());
        // Skip tables in which two mounts of one API have the same listener, host and base path,
        // because this mistake is no conflict of routes.
        if compiled
            .findings
            .iter()
            .any(|finding| finding.lint.name == "mount-conflict")
        {
            continue;
        }
        let sources = &compiled.files.sources;
        let route = |span: diag::Span| -> Route {
            let file = sources.file(span.file).path();
            let number = file[1..2].parse().expect("a number");
            let index = usize::try_from(sources.position(span).line).expect("small") - 4;
            (number, index)
        };
        let mut reported = ExpectedFindings::new();
        let mut hidden = BTreeSet::new();
        for finding in &compiled.findings {
            match finding.lint.name {
                // Conflicts between two APIs are reported at their mounts, with the pairs of
                // operations.
                name @ "identical-route"
                    if sources.file(finding.span.file).path() == "gateway.yaml" =>
                {
                    for pair in finding.related[1..].chunks(2) {
                        let pair = BTreeSet::from([route(pair[0].0), route(pair[1].0)]);
                        reported.insert((name, pair));
                    }
                }
                name @ ("identical-route" | "ambiguous-template") => {
                    let pair = BTreeSet::from([route(finding.span), route(finding.related[0].0)]);
                    reported.insert((name, pair));
                }
                "host-hides-mount" => {
                    let name = finding.message.rsplit('`').nth(1).expect("an API");
                    hidden.insert(name[1..].parse::<usize>().expect("a number"));
                }
                _ => {}
            }
        }
        // A pair is reported once, with its most severe finding.
        let (should, hiding) = expected(&apis, &paths);
        let by_pair =
            |findings: &ExpectedFindings| -> BTreeMap<BTreeSet<Route>, BTreeSet<&'static str>> {
                let mut map: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
                for (name, pair) in findings {
                    map.entry(pair.clone()).or_default().insert(*name);
                }
                map
            };
        let (reported, should) = (by_pair(&reported), by_pair(&should));
        for (pair, names) in &should {
            let reported_names = reported.get(pair).unwrap_or_else(|| {
                panic!("table {table}: {pair:?} {names:?}\n{gateway}\n{documents:#?}")
            });
            assert!(
                reported_names.is_subset(names),
                "table {table}: {reported_names:?} {names:?}\n{gateway}"
            );
            // `identical-route` is an error. A warning about the same pair must not replace it.
            if names.contains("identical-route") {
                assert!(
                    reported_names.contains("identical-route"),
                    "table {table}: {pair:?}\n{gateway}\n{documents:#?}"
                );
            }
            names
                .iter()
                .for_each(|name| *seen.entry(name).or_default() += 1);
        }
        assert_eq!(
            reported.len(),
            should.len(),
            "table {table}: {reported:?} {should:?}\n{gateway}\n{documents:#?}"
        );
        assert_eq!(hidden, hiding, "table {table}\n{gateway}");
        *seen.entry("host-hides-mount").or_default() += hiding.len();
    }
    assert!(
        seen.len() == 3 && seen.values().all(|count| *count > 50),
        "{seen:?}"
    );
}
