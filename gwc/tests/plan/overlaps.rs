//! Tests of templates that each overlap with half of the others. The work must grow only with the
//! number of templates and moved requests, and a plan with too many lines must end early.

use plan::{Change, Class, Plan};

use crate::side;

const GATEWAY: &str = "version: 1
name: s
apis: {s: {path: api.yaml}}
upstreams:
  u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}
  v: {targets: {a: {url: \"http://127.0.0.1:9001\"}}}
defaults: {upstream: u, security: upstream, timeout: 5s}
";

/// Operation of a document.
struct Operation {
    id: String,
    path: String,
    /// Further keys, each followed by a comma.
    keys: String,
}

/// Edit of the operation `aN` of `/{p}/kN` or `bN` of `/kN/{p}`.
type Edit = fn(usize, &mut Operation);

/// A document with `count` operations.
fn document(count: usize, edit: Edit) -> String {
    let mut text = "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths:\n".to_owned();
    for number in 0..count / 2 {
        let both = [
            (format!("a{number}"), format!("/{{p}}/k{number}")),
            (format!("b{number}"), format!("/k{number}/{{p}}")),
        ];
        for (id, path) in both {
            let keys = String::new();
            let mut operation = Operation { id, path, keys };
            edit(number, &mut operation);
            let Operation { id, path, keys } = operation;
            text.push_str(&format!(
                "  {path}: {{get: {{operationId: {id}, {keys}parameters: [{{name: p, in: path, \
                 required: true, schema: {{type: string}}}}], responses: {{'200': {{description: ok}}}}}}}}\n"
            ));
        }
    }
    text
}

fn plan(count: usize, edit: Edit) -> Plan {
    let compiled = |edit: Edit| {
        let document = document(count, edit);
        side(&[("gateway.yaml", GATEWAY), ("api.yaml", &document)])
    };
    let (old, new) = (compiled(|_, _| ()), compiled(edit));
    let plan = plan::compare(Some(&old), &new).expect("both sides build");
    assert_eq!(plan.bugs, Vec::<String>::new());
    plan
}

/// Moves every other operation to another upstream.
fn upstreams(number: usize, operation: &mut Operation) {
    if number % 2 == 1 {
        operation.keys = "x-gateway: {upstream: v}, ".to_owned();
    }
}

/// Renames every other operation.
fn names(number: usize, operation: &mut Operation) {
    if number % 2 == 1 {
        operation.id.push('x');
    }
}

/// Moves operations from `/{p}/kN` to `/{p}/xN`. The routes `/kN/{p}` have higher precedence, and
/// keep all their requests.
fn lesser_paths(_: usize, operation: &mut Operation) {
    if operation.path.starts_with("/{") {
        operation.path = operation.path.replace('k', "x");
    }
}

/// Moves operations from `/kN/{p}` to `/xN/{p}`. Each takes requests from every `/{p}/kN`.
fn greater_paths(_: usize, operation: &mut Operation) {
    if operation.path.ends_with('}') {
        operation.path = operation.path.replace('k', "x");
    }
}

/// Like [`greater_paths`], and each `/{p}/kN` also gets another timeout, so that no two lines can
/// be combined.
fn greater_paths_beside_others(number: usize, operation: &mut Operation) {
    greater_paths(number, operation);
    if operation.path.starts_with("/{") {
        operation.keys = format!("x-gateway: {{timeout: {}ms}}, ", 1_000 + number);
    }
}

/// Number of operations of all lines about moved requests.
fn moved(plan: &Plan) -> usize {
    let changes = plan.changes.iter();
    let moved = changes.filter(|change| change.class == Class::Moved);
    moved.map(Change::count).sum()
}

#[test]
fn four_thousand_overlapping_paths_are_compared() {
    let [small, large] = [1_000, 4_000].map(|count| {
        let plan = plan(count, greater_paths);
        assert_eq!(plan.too_large, Vec::<String>::new());
        // Each `/kN/{p}` loses requests, and each `/xN/{p}` receives requests.
        assert_eq!(moved(&plan), count);
        let more = format!("@default and up to {} more", count / 2 - 1);
        let moved = plan.changes.iter().filter(|one| one.id == "owner-changed");
        for change in moved {
            let values = [&change.old, &change.new].map(ToString::to_string);
            assert!(values.iter().any(|text| text.contains(&more)), "{values:?}");
        }
        plan.steps
    });
    assert!(large < small * 5, "{small} {large}");
    assert!(large < 4_000 * 150, "{large}");
}

#[test]
fn overlapping_paths_take_linear_steps() {
    let edits: [(&str, Edit); 3] = [
        ("upstreams", upstreams),
        ("names", names),
        ("lesser paths", lesser_paths),
    ];
    for (name, edit) in edits {
        let [small, large] = [200, 800].map(|count| {
            let plan = plan(count, edit);
            assert_eq!(plan.too_large, Vec::<String>::new(), "{name}");
            plan.steps
        });
        assert!(small > 200, "{name}: {small}");
        assert!(large < small * 5, "{name}: {small} {large}");
    }
}

#[test]
fn moved_overlapping_paths_have_a_line_for_each_pair() {
    // There are 20 operations of each kind. Each `/kN/{p}` loses `/kN/kM` to every `/{p}/kM`, and
    // each `/xN/{p}` takes `/xN/kM` from every `/{p}/kM`.
    assert_eq!(moved(&plan(40, greater_paths)), 2 * 20 * 20);
    // `/kN/{p}` receives `/kN/xM` before and after, and `/{p}/kM` never receives `/kN/kM`.
    assert_eq!(moved(&plan(40, lesser_paths)), 0);
}

#[test]
fn overlapping_paths_that_all_move_are_one_line() {
    let plan = plan(1_000, greater_paths_beside_others);
    let lines = plan.changes.iter();
    let lines = lines.filter(|change| change.id == "paths-not-compared");
    let [line] = &lines.collect::<Vec<_>>()[..] else {
        panic!("{:?}", plan.changes);
    };
    assert_eq!(line.class, Class::Incomparable);
    for gate in [
        "weaken", "expose", "grant", "relax", "break", "remove", "move",
    ] {
        let tripped = plan.tripped(&[gate.to_owned()], &[]);
        assert_eq!(tripped.len(), 1, "{gate}");
        let acknowledged = [line.fingerprint.clone()];
        let gates = [gate.to_owned()];
        let left = plan.tripped(&gates, &acknowledged);
        let is_left = |by: &String| *by == line.fingerprint;
        assert!(!left.iter().any(|(_, by)| by.iter().any(is_left)), "{gate}");
    }
    // The plan lists no changes for the paths of this listener and host. A partial list would
    // depend on the order of threads.
    assert_eq!(plan.count(Class::Moved), 0);
    let [problem] = &plan.too_large[..] else {
        panic!("{:?}", plan.too_large);
    };
    let place = "the paths of the listener `public`, host `gateway` cannot be compared: ";
    assert!(problem.starts_with(place), "{problem}");
    assert!(
        problem.contains("change fewer paths at a time"),
        "{problem}"
    );
}

/// A document with `count` operations of one path, which a field with this value selects.
fn by_field(count: usize, value: &str) -> String {
    let mut text = "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths:\n".to_owned();
    for number in 0..count {
        text.push_str(&format!(
            "  '/m/{{p}}#{number}': {{get: {{operationId: o{number}, x-gateway: {{match: \
             {{headers: {{h{number}: {{exact: {value}}}}}}}}}, parameters: [{{name: p, in: path, \
             required: true, schema: {{type: string}}}}], \
             responses: {{'200': {{description: ok}}}}}}}}\n"
        ));
    }
    text
}

#[test]
fn operations_by_field_exchange_requests() {
    let compiled = |value: &str| {
        let document = by_field(12, value);
        side(&[("gateway.yaml", GATEWAY), ("api.yaml", &document)])
    };
    let (old, new) = (compiled("v0"), compiled("v1"));
    let plan = plan::compare(Some(&old), &new).expect("both sides build");
    // A request with the fields of two operations moves from one to the other.
    assert_eq!(plan.too_large, Vec::<String>::new());
    assert!(moved(&plan) > 100, "{}", moved(&plan));
}
