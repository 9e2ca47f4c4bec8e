//! Tests of requests that the gateway refuses (400 `path_ambiguous`) because of another operation.
//! A change of that operation opens or closes these requests, although the operation that serves
//! them does not change.

use plan::{Class, Outcome, Plan, Witness};

use crate::{GATEWAY, edit, plan};

const PUBLIC: &str = "security: [{}], x-gateway: {public: true}";
const INTERNAL: &str = "x-gateway: {internal: true}";
const KEY: &str = "tags: []";
const FINE: &str = "responses: {\"200\": {description: fine}}";

/// Document with these path items: path, settings of the path item, settings of its GET operation.
fn document(root: &str, items: &[(&str, &str, &str)]) -> String {
    let items = items.iter().zip(0..).map(|((path, item, operation), number)| {
        let names = path.split(['{', '}']).skip(1).step_by(2);
        let parameters: Vec<String> = names
            .map(|name| {
                format!("{{name: {name}, in: path, required: true, schema: {{type: string}}}}")
            })
            .collect();
        format!(
            "  \"{path}\":\n    parameters: [{}]\n    x-gateway: {{{item}}}\n    get: {{operationId: o{number}, {operation}, {FINE}}}\n",
            parameters.join(", ")
        )
    });
    format!(
        "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\nx-gateway: {{{root}}}\nsecurity: [{{key: []}}]\npaths:\n{}components:\n  securitySchemes:\n    key: {{type: apiKey, in: header, name: X-Key, x-gateway: {{auth: keys}}}}\n",
        items.collect::<String>()
    )
}

fn planned(gateway: (&str, &str), old: &str, new: &str) -> Plan {
    let plan = plan((gateway.0, old), (gateway.1, new));
    assert_eq!(plan.bugs, Vec::<String>::new());
    plan
}

/// Lines with a witness that one version refuses and the other version serves, as `Class URL`.
/// `is_open`: true for witnesses that the new version serves.
fn lines(plan: &Plan, is_open: bool) -> Vec<String> {
    let served = |outcome: &Outcome| matches!(outcome, Outcome::Served { .. });
    let shows = |one: &&Witness| match is_open {
        true => !served(&one.old) && served(&one.new),
        false => served(&one.old) && !served(&one.new),
    };
    let class = |one: &Class| match is_open {
        true => matches!(one, Class::Weaken | Class::Expose),
        false => matches!(one, Class::Removed),
    };
    let lines = plan.changes.iter().filter(|one| class(&one.class));
    let mut lines: Vec<String> = lines
        .filter_map(|one| {
            let witness = one.witness.as_ref().filter(shows)?;
            Some(format!("{:?} {}", one.class, witness.url))
        })
        .collect();
    lines.sort();
    lines
}

fn stops(plan: &Plan, gate: &str) -> bool {
    !plan.tripped(&[gate.to_owned()], &[]).is_empty()
}

/// Compares two documents in both directions. The plan from `closed` to `open` must open exactly
/// this request, in a line of this class.
fn assert_opens(closed: &str, open: &str, (class, path): (&str, &str)) {
    assert_opens_in((GATEWAY, GATEWAY), closed, open, (class, path));
}

fn assert_opens_in(gateways: (&str, &str), closed: &str, open: &str, (class, path): (&str, &str)) {
    let plan = planned(gateways, closed, open);
    let expected = format!("{class} http://gateway{path}");
    assert_eq!(lines(&plan, true), [expected], "{path} {:#?}", plan.changes);
    assert!(stops(&plan, &class.to_lowercase()), "{path}");
    let plan = planned((gateways.1, gateways.0), open, closed);
    let expected = format!("Removed http://gateway{path}");
    assert_eq!(lines(&plan, false), [expected], "{path}");
    assert!(stops(&plan, "remove"), "{path}");
}

#[test]
fn internal_operation_in_another_case_opens() {
    let public = ("/users/{x}", "", PUBLIC);
    let closed = document("", &[public, ("/Users/admin", "", INTERNAL)]);
    let open = document("", &[public]);
    assert_opens(&closed, &open, ("Weaken", "/users/admin"));
    // The gateway refuses the declared path of an operation for all callers.
    let own = ("/users/admin", "", KEY);
    let closed = document("", &[own, ("/Users/admin", "", INTERNAL)]);
    assert_opens(&closed, &document("", &[own]), ("Expose", "/users/admin"));
}

#[test]
fn renamed_internal_operation_opens_and_closes() {
    let public = ("/users/{x}", "", PUBLIC);
    let old = document("", &[public, ("/Users/admin", "", INTERNAL)]);
    let new = document("", &[public, ("/Users/root", "", INTERNAL)]);
    let plan = planned((GATEWAY, GATEWAY), &old, &new);
    assert_eq!(lines(&plan, true), ["Weaken http://gateway/users/admin"]);
    assert_eq!(lines(&plan, false), ["Removed http://gateway/users/root"]);
}

#[test]
fn protected_operation_in_another_case_opens() {
    let public = ("/users/{x}", "", PUBLIC);
    let closed = document("", &[public, ("/Users/admin", "", KEY)]);
    let open = document("", &[public]);
    let plan = planned((GATEWAY, GATEWAY), &closed, &open);
    assert_eq!(lines(&plan, true), ["Weaken http://gateway/users/admin"]);
}

#[test]
fn internal_operation_of_another_slash_opens() {
    let public = ("/users/{x}/", "", PUBLIC);
    let closed = document("", &[public, ("/users/admin", "", INTERNAL)]);
    let open = document("", &[public]);
    let plan = planned((GATEWAY, GATEWAY), &closed, &open);
    assert_eq!(lines(&plan, true), ["Weaken http://gateway/users/admin/"]);
}

#[test]
fn internal_operation_behind_escapes_opens() {
    let files = ("/files", "match: prefix, path_readings: keep", PUBLIC);
    let closed = document("", &[files, ("/admin/{x}", "", INTERNAL)]);
    let open = document("", &[files]);
    assert_opens(&closed, &open, ("Weaken", "/files/..%2Fadmin%2F0"));
    let package = ("/pkg/{name}/v", "path_readings: keep", PUBLIC);
    let closed = document("", &[package, ("/admin", "", INTERNAL)]);
    let open = document("", &[package]);
    assert_opens(&closed, &open, ("Weaken", "/pkg/..%2Fadmin%3F/v"));
}

#[test]
fn new_operation_for_unmatched_paths_closes() {
    let package = ("/pkg/{name}", "path_readings: keep", PUBLIC);
    let open = document("", &[package]);
    let closed = document("unmatched: v", &[package]);
    let plan = planned((GATEWAY, GATEWAY), &open, &closed);
    assert_eq!(lines(&plan, false).len(), 1, "{:?}", lines(&plan, false));
    assert!(stops(&plan, "remove"));
    let package = ("/pkg/@scope%2Fname", "", PUBLIC);
    let open = document("", &[package]);
    let closed = document("unmatched: v", &[package]);
    assert_opens(&closed, &open, ("Weaken", "/pkg/@scope%2Fname"));
}

#[test]
fn operation_with_a_refused_path_opens() {
    // Another reading of the path belongs to the public operation for unmatched requests.
    let root = "unmatched: u, public: true";
    let of = |own| {
        let document = document(root, &[("/a;v/{p}", "", own)]);
        edit(
            &document,
            "security: [{key: []}]\npaths",
            "security: [{}]\npaths",
        )
    };
    let (closed, open) = (of("security: [{key: []}]"), of(PUBLIC));
    // In the new version, `#unmatched` also serves the path in other letter cases. One line names
    // both operations.
    let plan = planned((GATEWAY, GATEWAY), &closed, &open);
    assert_eq!(lines(&plan, true), ["Weaken http://gateway/A;V/0"]);
    let weaker = plan.changes.iter().filter(|one| one.class == Class::Weaken);
    let operations: Vec<&String> = weaker.flat_map(|one| &one.operations).collect();
    assert_eq!(operations, ["a#unmatched", "a/o0"]);
    let plan = planned((GATEWAY, GATEWAY), &open, &closed);
    let expected = ["/A;V/0", "/a;v/0"].map(|path| format!("Removed http://gateway{path}"));
    assert_eq!(lines(&plan, false), expected);
}

#[test]
fn reading_of_an_ambiguous_template_opens() {
    let own = ("/a;v/{p}", "", PUBLIC);
    let closed = document("", &[own, ("/a/secret", "", INTERNAL)]);
    let open = document("", &[own]);
    assert_opens(&closed, &open, ("Weaken", "/a;v/secret"));
}

#[test]
fn path_of_a_listener_without_merging_opens() {
    let listener = "listeners: {main: {address: \"127.0.0.1:8080\", merge_slashes: true}}\n";
    let merging = edit(GATEWAY, "defaults:", &format!("{listener}defaults:"));
    let keeping = merging.replace("merge_slashes: true", "merge_slashes: false");
    let one = document("", &[("/debug//heap", "", PUBLIC)]);
    assert_opens_in((&merging, &keeping), &one, &one, ("Weaken", "/debug//heap"));
}

#[test]
fn stricter_operation_admits_what_was_refused() {
    // The paths differ in letter case only. The gateway refuses both until their access is equal.
    let other = ("/Users/admin", "", KEY);
    let old = document("", &[("/users/admin", "", PUBLIC), other]);
    let new = document("", &[("/users/admin", "", KEY), other]);
    let plan = planned((GATEWAY, GATEWAY), &old, &new);
    // One line names both operations. Its witness is a request for the first operation.
    assert_eq!(lines(&plan, true), ["Expose http://gateway/Users/admin"]);
}

#[test]
fn case_insensitive_operation_precedes_a_parameter() {
    let public = ("/users/{x}", "", PUBLIC);
    for other in [KEY, INTERNAL] {
        let open = document("", &[public]);
        let closed = document(
            "",
            &[public, ("/users/admin", "case_insensitive: true", other)],
        );
        let plan = planned((GATEWAY, GATEWAY), &closed, &open);
        assert!(stops(&plan, "weaken"), "{other}");
        let plan = planned((GATEWAY, GATEWAY), &open, &closed);
        let class = if other == KEY {
            Class::Strengthen
        } else {
            Class::Removed
        };
        let is_closed = plan.changes.iter().any(|one| one.class == class);
        assert!(is_closed, "{other} {:?}", plan.changes);
    }
}

#[test]
fn unrelated_operations_open_nothing() {
    let public = ("/users/{x}", "", PUBLIC);
    let others = [
        ("/orders/admin", "", INTERNAL),
        ("/orders/Admin", "", KEY),
        ("/USER/admin", "", KEY),
    ];
    for other in others {
        let plan = planned(
            (GATEWAY, GATEWAY),
            &document("", &[public, other]),
            &document("", &[public]),
        );
        assert_eq!(lines(&plan, true), Vec::<String>::new(), "{}", other.0);
    }
}

#[test]
fn ambiguous_operation_without_an_example_opens() {
    // The gateway refuses the shortest path, because a reading of it is internal.
    let hidden = ("/pkg/0", "", INTERNAL);
    let template = "/pkg%2F{x}";
    let closed = document("", &[hidden, (template, "", KEY)]);
    let open = document("", &[hidden, (template, "", PUBLIC)]);
    let none = document("", &[hidden]);
    for old in [&closed, &none] {
        let plan = planned((GATEWAY, GATEWAY), old, &open);
        assert!(stops(&plan, "weaken"), "{:#?}", plan.changes);
    }
}

#[test]
fn acknowledgement_covers_no_other_internal_path() {
    let files = ("/files", "match: prefix", PUBLIC);
    let paths = ["/files/a", "/files/b"].map(|path| (path, "", INTERNAL));
    let all = document("", &[files, paths[0], paths[1]]);
    let one = document("", &[files, paths[1]]);
    let none = document("", &[files]);
    let fingerprint = |old: &str, new: &str| {
        let plan = planned((GATEWAY, GATEWAY), old, new);
        let mut lines = plan.changes.into_iter();
        let line = lines.find(|line| line.class == Class::Weaken);
        line.expect("a line").fingerprint
    };
    let first = fingerprint(&all, &one);
    assert_ne!(first, fingerprint(&one, &none));
    assert_ne!(first, fingerprint(&all, &none));
    // The same holds for refused paths of other operations.
    let users = ("/users/{x}", "", PUBLIC);
    let paths = ["/Users/a", "/Users/b"].map(|path| (path, "", INTERNAL));
    let all = document("", &[users, paths[0], paths[1]]);
    let one = document("", &[users, paths[1]]);
    let none = document("", &[users]);
    let first = fingerprint(&all, &one);
    assert_ne!(first, fingerprint(&one, &none));
    assert_ne!(first, fingerprint(&all, &none));
}

#[test]
fn refused_head_requests_open() {
    let users = ("/users/{x}", "", PUBLIC);
    let head = |document: String| {
        document.replace(
            "/Users/admin\":\n    parameters: []\n    x-gateway: {}\n    get:",
            "/Users/admin\":\n    parameters: []\n    x-gateway: {}\n    head:",
        )
    };
    let closed = head(document("", &[users, ("/Users/admin", "", INTERNAL)]));
    assert!(closed.contains("head:"), "{closed}");
    let plan = planned((GATEWAY, GATEWAY), &closed, &document("", &[users]));
    assert_eq!(lines(&plan, true), ["Weaken http://gateway/users/admin"]);
}
