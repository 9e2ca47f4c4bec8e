//! Tests of requests that are refused because servers may read their path in several ways, compared
//! with an enumeration. Both engines decide thousands of paths for random pairs of small documents.
//! If only one version serves a request, the plan must have a line that opens or closes an
//! operation.

use engine::{PATH_AMBIGUOUS, Verdict};
use plan::ask::{Oracle, Question};
use plan::witness::AT_S;
use plan::{Class, Side};

use crate::dice::Dice;
use crate::{GATEWAY, Purpose, compiled, edit};

const PATHS: [&str; 14] = [
    "/a/{x}", "/a/b", "/A/b", "/a/B", "/{x}/b", "/a/b/", "/a/{x}/", "/a;v/{x}", "/a%2Fb", "/a.",
    "/a//b", "/a", "/A/{x}", "/a-{x}/b",
];
/// Operation of the path with `//`.
const DOUBLED: &str = "a/o10";
const SETTINGS: [&str; 7] = [
    "",
    "",
    "",
    "case_insensitive: true",
    "path_readings: keep",
    "match: prefix",
    "trailing_slash: ignore",
];
const ACCESS: [&str; 3] = [
    "security: [{}], x-gateway: {public: true}",
    "tags: []",
    "x-gateway: {internal: true}",
];
const ROOTS: [&str; 5] = [
    "",
    "",
    "unmatched: u",
    "unmatched: v, public: true",
    "undeclared_methods: pass",
];
const SEGMENTS: [&str; 18] = [
    "a",
    "A",
    "b",
    "B",
    "x",
    "",
    "a;v",
    "b;v",
    "b.",
    "a%2Fb",
    "..%2Fa",
    "..;",
    "a%2F",
    "b%3F",
    "A%2FB",
    "..%2Fa%2Fb",
    "a-x",
    "A-x",
];

/// Path item: path, settings, access of its GET operation.
type Item = (&'static str, &'static str, &'static str);

#[derive(Clone, Debug)]
struct World {
    items: Vec<Item>,
    root: &'static str,
    merges: bool,
    has_policies: bool,
}

fn item(dice: &mut Dice) -> Item {
    (dice.pick(&PATHS), dice.pick(&SETTINGS), dice.pick(&ACCESS))
}

fn world(dice: &mut Dice) -> World {
    let mut items: Vec<Item> = Vec::new();
    for _ in 0..2 + dice.below(3) {
        let one = item(dice);
        if items.iter().all(|other| other.0 != one.0) {
            items.push(one);
        }
    }
    World {
        items,
        root: dice.pick(&ROOTS),
        merges: dice.chance(1),
        has_policies: dice.chance(5),
    }
}

fn edited(dice: &mut Dice, world: &World) -> World {
    let mut world = world.clone();
    let at = dice.below(world.items.len());
    match dice.below(6) {
        0 => drop(world.items.remove(at)),
        1 => {
            let one = item(dice);
            if world.items.iter().all(|other| other.0 != one.0) {
                world.items.push(one);
            }
        }
        2 => world.items[at].1 = dice.pick(&SETTINGS),
        3 => world.items[at].2 = dice.pick(&ACCESS),
        4 => world.root = dice.pick(&ROOTS),
        _ => world.merges = !world.merges,
    }
    world
}

impl World {
    fn gateway(&self) -> String {
        let listeners = format!(
            "listeners: {{main: {{address: \"127.0.0.1:8080\", merge_slashes: {}}}}}\ndefaults:",
            self.merges
        );
        let gateway = edit(GATEWAY, "defaults:", &listeners);
        match self.has_policies {
            true => gateway,
            false => edit(&gateway, ", policies: [slow, edge]", ""),
        }
    }

    fn document(&self) -> String {
        let items = self.items.iter().zip(0..).map(|((path, settings, access), number)| {
            let parameters = match path.contains("{x}") {
                true => "{name: x, in: path, required: true, schema: {type: string}}",
                false => "",
            };
            format!(
                "  \"{path}\":\n    parameters: [{parameters}]\n    x-gateway: {{{settings}}}\n    get: {{operationId: o{}, {access}, responses: {{\"200\": {{description: fine}}}}}}\n",
                PATHS.iter().position(|one| one == path).unwrap_or(number)
            )
        });
        let security = match self.root.contains("public") {
            true => "[{}]",
            false => "[{key: []}]",
        };
        let items = items
            .collect::<String>()
            .replace("tags: []", "security: [{key: []}]");
        format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\nx-gateway: {{{}}}\nsecurity: {security}\npaths:\n{items}components:\n  securitySchemes:\n    key: {{type: apiKey, in: header, name: X-Key, x-gateway: {{auth: keys}}}}\n",
            self.root
        )
    }

    fn side(&self) -> Option<Side> {
        let files = [
            ("gateway.yaml", self.gateway()),
            ("api.yaml", self.document()),
        ];
        let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
        compiled(&files, Purpose::Run).ok()
    }
}

/// All paths of up to two segments, and random paths of three segments.
fn paths(dice: &mut Dice) -> Vec<String> {
    let mut all = vec!["/".to_owned()];
    let mut last = vec![String::new()];
    for length in 1..=3 {
        let longer = last.iter().flat_map(|path| {
            SEGMENTS
                .iter()
                .map(move |segment| format!("{path}/{segment}"))
        });
        last = longer.collect();
        all.extend(
            last.iter()
                .filter(|_| length < 3 || dice.chance(1))
                .cloned(),
        );
    }
    all
}

/// Operation that serves a GET request, or would serve it with valid credentials. `None` if the
/// gateway refuses the path.
fn serving(oracle: &Oracle, path: &str) -> Option<String> {
    let request = http::Request::get(path).header("host", "gateway").body(());
    let question = Question {
        listener: 0,
        request: request.ok()?.into_parts().0,
        peer: [192, 0, 2, 1].into(),
        certificates: Vec::new(),
        body: None,
        unix_s: AT_S,
    };
    let decided = oracle.ask(&question, |decided, _, _| {
        let is_refused = matches!(&decided.verdict, Verdict::Reject(refusal) if refusal.reject.code == PATH_AMBIGUOUS.code);
        let route = decided.route.filter(|_| !is_refused)?;
        Some(route.operation.key.clone())
    });
    decided.ok().flatten()
}

/// Result of the comparison of two random projects.
#[derive(Debug, Default)]
struct Compared {
    /// Number of requests that only one version serves.
    differing: usize,
    /// True if only one version serves a request with an ambiguous path, and the plan has no line
    /// that could concern this request.
    has_ambiguous_gap: bool,
}

/// Compares a random pair of projects. `None` if one of them has errors.
fn compare(seed: u64) -> Option<Compared> {
    let mut dice = Dice::new(seed);
    let old = world(&mut dice);
    let new = edited(&mut dice, &old);
    let (before, after) = (old.side()?, new.side()?);
    let build = |side: &Side| Oracle::build(&side.lowered.gateway, "b").ok();
    let (was, is) = (build(&before)?, build(&after)?);
    let plan = plan::compare(Some(&before), &after).expect("both sides build");
    assert_eq!(plan.bugs, Vec::<String>::new(), "{seed} {old:?} {new:?}");
    let has = |classes: &[Class]| plan.changes.iter().any(|one| classes.contains(&one.class));
    let opens = has(&[
        Class::Weaken,
        Class::Expose,
        Class::Incomparable,
        Class::Moved,
    ]);
    let closes = has(&[
        Class::Removed,
        Class::Strengthen,
        Class::Incomparable,
        Class::Moved,
    ]);
    let mut compared = Compared::default();
    for path in paths(&mut dice) {
        let owners = (serving(&was, &path), serving(&is, &path));
        let has_line = match &owners {
            (None, Some(_)) => opens,
            // A line that opens another operation is sufficient, too, because the gateway may then
            // refuse requests for its path in other letter cases.
            (Some(_), None) => closes || opens,
            _ => continue,
        };
        compared.differing += 1;
        // The line about `merge_slashes` covers paths with `//`, unless the operation whose
        // template contains `//` serves them.
        let is_doubled = [&owners.0, &owners.1]
            .iter()
            .any(|owner| owner.as_deref() == Some(DOUBLED));
        let is_merged = old.merges != new.merges && path.contains("//") && !is_doubled;
        if has_line || is_merged {
            continue;
        }
        assert!(
            engine::path::is_ambiguous(&path),
            "seed {seed}: {path} {owners:?}\n{}\n{}\n{}",
            old.gateway(),
            old.document(),
            new.document()
        );
        compared.has_ambiguous_gap = true;
    }
    Some(compared)
}

#[test]
fn requests_of_one_side_have_lines() {
    let count: u64 = if prerequisite::is_full() { 1_500 } else { 400 };
    let results: Vec<Option<Compared>> = (0..count).map(compare).collect();
    let compared = results.iter().flatten().count();
    let differing: usize = results.iter().flatten().map(|one| one.differing).sum();
    let gaps = results.iter().flatten();
    let gaps = gaps.filter(|one| one.has_ambiguous_gap).count();
    println!("{compared} pairs compared, {differing} requests that one side serves, {gaps} gaps");
    assert!(compared * 2 > results.len(), "{compared}");
    assert!(differing > results.len(), "{differing}");
    // The plan tries the paths that servers are known to interpret as other paths, but not every
    // combination of escapes, parameters and letter cases.
    assert!(gaps * 50 < compared, "{gaps} of {compared}");
}
