//! Tests of operations whose path an upstream may read as another path (`/a%2Fb`, `/a;b`, `/a.`),
//! and of `internal` operations next to templates. The plan must report requests that become open,
//! with a witness.

use plan::{Class, Outcome, Plan};

use crate::{GATEWAY, edit, plan};

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: t, version: "1"}
x-gateway: {}
security: [{key: []}]
paths:
  /packages/{name}:
    parameters: [{name: name, in: path, required: true, schema: {type: string}}]
    get: {operationId: package, responses: {"200": {description: fine}}}
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}
"#;

/// Document with settings of the API. `path`, `keys`: path and keys of an additional operation.
fn with(root: &str, (path, keys): (&str, &str)) -> String {
    let document = edit(DOCUMENT, "x-gateway: {}", &format!("x-gateway: {{{root}}}"));
    let item = format!(
        "paths:\n  \"{path}\":\n    x-gateway: {{path_readings: keep}}\n    get: {{operationId: own, {keys}, responses: {{\"200\": {{description: fine}}}}}}\n"
    );
    edit(&document, "paths:\n", &item)
}

/// Document with settings of the API, without the operation of [`with`].
fn without(root: &str) -> String {
    edit(DOCUMENT, "x-gateway: {}", &format!("x-gateway: {{{root}}}"))
}

fn planned(old: &str, new: &str) -> Plan {
    planned_in(GATEWAY, old, new)
}

/// Plan of two documents with a gateway.yaml.
fn planned_in(gateway: &str, old: &str, new: &str) -> Plan {
    let plan = plan((gateway, old), (gateway, new));
    assert_eq!(plan.bugs, Vec::<String>::new());
    plan
}

/// Witnesses of the lines that report more access, as `Class METHOD URL`. Both engines confirm that
/// the old version refuses and the new version serves the request.
fn opened(plan: &Plan) -> Vec<String> {
    let lines = plan.changes.iter();
    let lines = lines.filter(|one| matches!(one.class, Class::Weaken | Class::Expose));
    let mut opened: Vec<String> = lines
        .map(|one| {
            let witness = one.witness.as_ref().expect("a request shows it");
            assert!(matches!(witness.new, Outcome::Served { .. }), "{witness:?}");
            assert!(
                matches!(witness.old, Outcome::Refused { .. }),
                "{witness:?}"
            );
            format!("{:?} {} {}", one.class, witness.method, witness.url)
        })
        .collect();
    opened.sort();
    opened.dedup();
    opened
}

fn stops(plan: &Plan, gate: &str) -> bool {
    !plan.tripped(&[gate.to_owned()], &[]).is_empty()
}

const PUBLIC: &str = "security: [{}], x-gateway: {public: true}";
const INTERNAL: &str = "x-gateway: {internal: true}";
const PATHS: [&str; 5] = [
    "/npm/@acme%2Fcore",
    "/npm/a;b",
    "/npm/a.",
    "/npm//a",
    "/npm/a%252Fb",
];

#[test]
fn new_public_operation_with_an_ambiguous_path_opens() {
    // Do not use `unmatched` here, because another reading of the path would then belong to an
    // operation with other access rules.
    for root in ["", "undeclared_methods: pass"] {
        for path in PATHS {
            let plan = planned(&without(root), &with(root, (path, PUBLIC)));
            let expected = format!("Weaken GET http://gateway{path}");
            assert!(
                opened(&plan).contains(&expected),
                "{root} {path} {:?}",
                opened(&plan)
            );
            assert!(stops(&plan, "weaken"), "{root} {path}");
        }
    }
}

#[test]
fn ambiguous_path_of_an_internal_operation_opens() {
    let root = "unmatched: u";
    let kept = edit(GATEWAY, "defaults: {", "defaults: {path_readings: keep, ");
    for (gateway, path) in PATHS
        .iter()
        .flat_map(|path| [(GATEWAY, path), (&kept, path)])
    {
        let plan = planned_in(gateway, &with(root, (path, INTERNAL)), &without(root));
        let expected = format!("Expose GET http://gateway{path}");
        assert_eq!(opened(&plan), [expected], "{path}");
        assert!(stops(&plan, "expose"), "{path}");
    }
}

#[test]
fn ambiguous_path_below_a_public_prefix_opens() {
    let prefix = "  /files:\n    x-gateway: {match: prefix}\n    get: {operationId: files, security: [{}], x-gateway: {public: true}, responses: {\"200\": {description: fine}}}\n";
    let beside =
        |document: &str| edit(document, "components:\n", &format!("{prefix}components:\n"));
    let keys = "tags: []";
    let (old, new) = (with("", ("/files/a%2Fb", keys)), without(""));
    let plan = planned(&beside(&old), &beside(&new));
    assert_eq!(opened(&plan), ["Weaken GET http://gateway/files/a%2Fb"]);
    assert!(stops(&plan, "weaken"));
}

#[test]
fn internal_path_of_a_public_template_opens() {
    let public = |document: &str| {
        edit(
            document,
            "get: {operationId: package, ",
            "get: {operationId: package, security: [{}], x-gateway: {public: true}, ",
        )
    };
    let (hidden, open) = (
        public(&with("", ("/packages/admin", INTERNAL))),
        public(&without("")),
    );
    let plan = planned(&hidden, &open);
    assert_eq!(opened(&plan), ["Weaken GET http://gateway/packages/admin"]);
    assert!(stops(&plan, "weaken"));
    let closed = planned(&open, &hidden);
    let removed = closed
        .changes
        .iter()
        .filter(|one| one.id == "requests-removed");
    let removed = removed.map(|one| one.witness.as_ref().expect("a request shows it"));
    let removed: Vec<&str> = removed.map(|witness| witness.url.as_str()).collect();
    assert_eq!(removed, ["http://gateway/packages/admin"]);
}
