//! Tests of refused paths that open, compared with an enumeration. Both engines decide thousands of
//! requests for random pairs of projects with two APIs. If an operation serves a request that the
//! old version refused as `path_ambiguous`, the plan must have a line about that operation.

use std::collections::BTreeSet;

use engine::{PATH_AMBIGUOUS, Verdict};
use plan::ask::{Oracle, Question};
use plan::witness::AT_S;
use plan::{Change, Class, Side};

use crate::dice::Dice;
use crate::{GATEWAY, Purpose, compiled, edit};

const PATHS: [&str; 17] = [
    "/a/{x}",
    "/a/b",
    "/A/b",
    "/{x}/B",
    "/a/b/",
    "/É/{x}",
    "/é/b",
    "/{x}",
    "/a%2F{x}",
    "/a",
    "/A-{x}",
    "/b",
    "/pkg/{x}/{y}",
    "/pkg/a/b",
    "/@b",
    "/a/{x}:b",
    "/a%3Ab",
];
const SETTINGS: [&str; 16] = [
    "",
    "",
    "",
    "",
    "case_insensitive: true",
    "path_readings: keep",
    "path_readings: keep",
    "match: prefix",
    "match: prefix, path_readings: keep",
    "match: prefix, case_insensitive: true",
    "trailing_slash: ignore",
    "trailing_slash: redirect",
    "trailing_slash: redirect, case_insensitive: true",
    "priority: 3",
    "priority: 3, match: prefix",
    "match: {headers: {X-V: {exact: \"1\"}}}",
];
const ACCESS: [&str; 3] = [
    "security: [{}], x-gateway: {public: true}",
    "tags: []",
    "x-gateway: {internal: true}",
];
const METHODS: [&str; 4] = ["get", "get", "head", "delete"];
const ROOTS: [&str; 5] = [
    "",
    "unmatched: u",
    "unmatched: u, public: true",
    "undeclared_methods: pass",
    "undeclared_methods: pass, public: true",
];
const MOUNTS: [&str; 4] = [
    "{base_path: /a}",
    "{base_path: /B, strip_base_path: true}",
    "{base_path: /v, strip_base_path: true}",
    "{base_path: /v}",
];
const SEGMENTS: [&str; 22] = [
    "a",
    "A",
    "b",
    "B",
    "x",
    "v",
    "",
    "pkg",
    "%C3%89",
    "%C3%A9",
    "a-x",
    "b;v",
    "a%2Fb",
    "a%2FA",
    "..%2Fa",
    "..%2Fa%2Fb",
    "..%2F..%2Fa",
    "x%2F..%2Fb",
    "..%2Fb",
    "%40b",
    "a:b",
    "x%3AB",
];

/// Operation: path, method, settings and access.
type Item = (&'static str, &'static str, &'static str, &'static str);

#[derive(Clone, Debug)]
struct Document {
    items: Vec<Item>,
    root: &'static str,
}

#[derive(Clone, Debug)]
struct World {
    documents: [Document; 2],
    mount: &'static str,
}

fn item(dice: &mut Dice) -> Item {
    (
        dice.pick(&PATHS),
        dice.pick(&METHODS),
        dice.pick(&SETTINGS),
        dice.pick(&ACCESS),
    )
}

impl Document {
    fn new(dice: &mut Dice, count: usize) -> Self {
        let mut document = Self {
            items: Vec::new(),
            root: dice.pick(&ROOTS),
        };
        (0..count).for_each(|_| document.add(dice));
        document
    }

    fn add(&mut self, dice: &mut Dice) {
        let one = item(dice);
        if self
            .items
            .iter()
            .all(|other| (other.0, other.1) != (one.0, one.1))
        {
            self.items.push(one);
        }
    }

    fn text(&self) -> String {
        let security = match self.root.contains("public") {
            true => "[{}]",
            false => "[{key: []}]",
        };
        let mut text = format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\nx-gateway: {{{}}}\nsecurity: {security}\npaths:\n",
            self.root
        );
        for path in PATHS {
            let items: Vec<&Item> = self.items.iter().filter(|item| item.0 == path).collect();
            if items.is_empty() {
                continue;
            }
            let name = |name: &str| {
                let parameter =
                    format!("{{name: {name}, in: path, required: true, schema: {{type: string}}}}");
                path.contains(&format!("{{{name}}}")).then_some(parameter)
            };
            let parameters: Vec<String> = ["x", "y"].into_iter().filter_map(name).collect();
            // Conditions are settings of an operation. All other settings belong to the path item.
            let is_condition = |settings: &str| settings.contains("headers");
            let mut own = items.iter().map(|item| item.2);
            let own = own.find(|settings| !is_condition(settings)).unwrap_or("");
            text += &format!(
                "  \"{path}\":\n    x-gateway: {{{own}}}\n    parameters: [{}]\n",
                parameters.join(", ")
            );
            for (path, method, settings, access) in items {
                let number = PATHS.iter().position(|one| one == path).unwrap_or(0);
                let access = access.replace("tags: []", "security: [{key: []}]");
                let own = match (is_condition(settings), access.contains("x-gateway")) {
                    (false, _) => access,
                    (_, true) => {
                        access.replace("x-gateway: {", &format!("x-gateway: {{{settings}, "))
                    }
                    _ => format!("{access}, x-gateway: {{{settings}}}"),
                };
                text += &format!(
                    "    {method}: {{operationId: {method}{number}, {own}, responses: {{\"200\": {{description: fine}}}}}}\n"
                );
            }
        }
        if self.items.is_empty() {
            text = text.replace("paths:\n", "paths: {}\n");
        }
        text + "components:\n  securitySchemes:\n    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}\n"
    }
}

impl World {
    fn new(dice: &mut Dice) -> Self {
        let counts = [2 + dice.below(3), dice.below(3)];
        Self {
            documents: counts.map(|count| Document::new(dice, count)),
            mount: dice.pick(&MOUNTS),
        }
    }

    fn edited(&self, dice: &mut Dice) -> Self {
        let mut world = self.clone();
        for _ in 0..=dice.below(2) {
            let document = &mut world.documents[dice.below(2)];
            let at = dice.below(document.items.len().max(1));
            match (dice.below(6), document.items.get_mut(at)) {
                (0 | 1, Some(_)) => drop(document.items.remove(at)),
                (2, _) => document.add(dice),
                (3, Some(item)) => item.3 = dice.pick(&ACCESS),
                (4, Some(item)) => item.2 = dice.pick(&SETTINGS),
                _ => document.root = dice.pick(&ROOTS),
            }
        }
        world
    }

    fn side(&self) -> Option<Side> {
        let apis = format!(
            "apis: {{a: {{path: api.yaml}}, b: {{path: b.yaml, mount: {}}}}}",
            self.mount
        );
        let gateway = edit(GATEWAY, "apis: {a: {path: api.yaml}}", &apis);
        let gateway = edit(&gateway, ", policies: [slow, edge]", "");
        let [a, b] = self.documents.each_ref().map(Document::text);
        let files = [
            ("gateway.yaml", &*gateway),
            ("api.yaml", &*a),
            ("b.yaml", &*b),
        ];
        compiled(&files, Purpose::Run).ok()
    }
}

/// All paths of up to two segments, and random paths of three and four segments.
fn paths(dice: &mut Dice) -> Vec<String> {
    let mut all = vec!["/".to_owned()];
    let mut last = vec![String::new()];
    for tenths in [10, 10, 2, 1] {
        let longer = last.iter().flat_map(|path| {
            let below = SEGMENTS.iter();
            below.map(move |segment| format!("{path}/{segment}"))
        });
        last = longer.filter(|_| dice.chance(tenths)).collect();
        all.extend(last.iter().cloned());
    }
    all
}

/// Decision of an engine about a request.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    /// The operation with this key serves the request if the credentials are sufficient.
    Serves(String),
    /// The gateway refuses the path of the request.
    RefusesPath,
    Other,
}

fn decision(oracle: &Oracle, (method, path, has_field): (&str, &str, bool)) -> Decision {
    let mut request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("host", "gateway");
    if has_field {
        request = request.header("x-v", "1");
    }
    let Ok(request) = request.body(()) else {
        return Decision::Other;
    };
    let question = Question {
        listener: 0,
        request: request.into_parts().0,
        peer: [192, 0, 2, 1].into(),
        certificates: Vec::new(),
        body: None,
        unix_s: AT_S,
    };
    let decided = oracle.ask(&question, |decided, _, _| {
        match (&decided.verdict, &decided.route) {
            (Verdict::Reject(refusal), _) if refusal.reject.code == PATH_AMBIGUOUS.code => {
                Decision::RefusesPath
            }
            // A redirect is no access.
            (Verdict::Reply(_), _) => Decision::Other,
            (_, Some(route)) => Decision::Serves(route.operation.key.clone()),
            _ => Decision::Other,
        }
    });
    decided.unwrap_or(Decision::Other)
}

/// Result of the comparison of two random projects.
#[derive(Debug, Default)]
struct Compared {
    /// Number of requests whose path only the old version refuses.
    opened: usize,
    /// Opened requests whose operation has no line in the plan.
    missed: Vec<String>,
    /// Number of lines about paths that may open.
    lines: usize,
    /// Number of these lines without an opened request.
    unshown: usize,
}

fn is_opening(change: &Change, key: &str) -> bool {
    let mut keys = change.operations.iter();
    let is_about = keys.any(|one| one.split('@').next() == Some(key));
    let opens = matches!(
        change.class,
        Class::Weaken
            | Class::Expose
            | Class::Incomparable
            // A stricter operation can open paths, too: the gateway serves a path with several
            // readings if all their operations have the same access rules.
            | Class::Strengthen
    );
    is_about && opens
}

/// True if a line is about an operation that more callers may use. Such a line also covers paths
/// that a server reads as a path of that operation.
fn is_of_access(change: &Change) -> bool {
    matches!(
        change.id,
        "security-requirement-removed" | "security-requirement-changed" | "operation-exposed"
    )
}

/// Compares a random pair of projects. `None` if one of them has errors.
fn compare(seed: u64) -> Option<Compared> {
    let mut dice = Dice::new(seed);
    let old = World::new(&mut dice);
    let new = old.edited(&mut dice);
    let (before, after) = (old.side()?, new.side()?);
    let build = |side: &Side| Oracle::build(&side.lowered.gateway, "b").ok();
    let (was, is) = (build(&before)?, build(&after)?);
    let plan = plan::compare(Some(&before), &after).expect("both sides build");
    assert_eq!(plan.bugs, Vec::<String>::new(), "{seed} {old:?} {new:?}");
    let mut compared = Compared::default();
    let mut opened = BTreeSet::new();
    for path in paths(&mut dice) {
        let method = dice.pick(&["GET", "GET", "HEAD", "DELETE"]);
        let request = (method, path.as_str(), dice.chance(3));
        if decision(&was, request) != Decision::RefusesPath {
            continue;
        }
        let Decision::Serves(key) = decision(&is, request) else {
            continue;
        };
        compared.opened += 1;
        let mut lines = plan.changes.iter();
        if !lines.any(|change| is_opening(change, &key) || is_of_access(change)) {
            let missed = format!("seed {seed}: {request:?} of {key}");
            compared.missed.push(missed);
        }
        opened.insert(key);
    }
    let lines = plan.changes.iter();
    for line in lines.filter(|change| change.id == "refused-paths-changed") {
        compared.lines += 1;
        let mut keys = line
            .operations
            .iter()
            .filter_map(|one| one.split('@').next());
        compared.unshown += usize::from(!keys.any(|key| opened.contains(key)));
    }
    Some(compared)
}

#[test]
fn opened_paths_have_lines_of_their_operations() {
    let count: u64 = if prerequisite::is_full() { 1_500 } else { 500 };
    let results: Vec<Compared> = (0..count).filter_map(compare).collect();
    let sum = |of: fn(&Compared) -> usize| results.iter().map(of).sum::<usize>();
    let (opened, missed) = (sum(|one| one.opened), sum(|one| one.missed.len()));
    let (lines, unshown) = (sum(|one| one.lines), sum(|one| one.unshown));
    println!(
        "{} pairs compared, {opened} paths open, {missed} without a line; {lines} lines without an example, {unshown} of them without such a path",
        results.len()
    );
    assert!(results.len() as u64 * 3 > count, "{}", results.len());
    assert!(opened as u64 > count, "{opened}");
    // Requests that move between operations with the same access rules have only a line of the
    // class `moved`. The gateway also refuses paths with too many readings, and base paths in other
    // letter cases. Both depend on the literals of other operations.
    let missed: Vec<&String> = results.iter().flat_map(|one| &one.missed).collect();
    assert!(missed.len() * 1_000 < opened, "{missed:?}");
}
