//! Tests of levels for checks of client contracts: `break_levels` of gateway.yaml and
//! `x-gateway-lint` of operations. If the old and the new version set different levels, the higher
//! level applies.

use serde_json::Value;

use crate::git::{commit, committed};
use crate::project::Project;

const REMOVED: &str = "response-optional-property-removed";

/// Document with two operations that return the same component.
const DOCUMENT: &str = "openapi: 3.1.0
info: {title: Orders, version: \"1\"}
security: [{key: []}]
paths:
  /orders:
    get: {operationId: listOrders, responses: {\"200\": {$ref: '#/components/responses/Order'}}}
  /orders/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string}}]
    get: {operationId: getOrder, responses: {\"200\": {$ref: '#/components/responses/Order'}}}
components:
  responses:
    Order: {description: fine, content: {application/json: {schema: {$ref: '#/components/schemas/Order'}}}}
  schemas:
    Order: {type: object, properties: {id: {type: string}, note: {type: string}}}
  securitySchemes: {key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}}
";

fn described() -> Project {
    let project = committed();
    project.edit("gateway.yaml", "gates: [weaken]", "gates: [break]");
    project.write("orders.yaml", DOCUMENT);
    commit(&project, "described");
    project
}

fn remove_note(project: &Project) {
    project.edit("orders.yaml", ", note: {type: string}", "");
}

fn plan(project: &Project, code: i32) -> Value {
    let ended = project.run(&["plan", "--format", "json", "--against", "git:main"]);
    ended.with(code).json("plan/v1")
}

/// Changes of a plan, as `LEVEL CLASS ID OPERATIONS`.
fn changes(plan: &Value) -> Vec<String> {
    let all = plan["changes"].as_array().expect("a list").iter();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    all.map(|one| {
        let keys = one["operations"].as_array().expect("a list").iter();
        let keys = keys.map(text).collect::<Vec<_>>().join(" ");
        let (level, class, id) = (text(&one["level"]), text(&one["class"]), text(&one["id"]));
        format!("{level} {class} {id} {keys}").trim_end().to_owned()
    })
    .collect()
}

fn tripped(plan: &Value) -> Vec<&str> {
    let gates = plan["gates"].as_array().expect("a list").iter();
    let gates = gates.filter(|gate| gate["tripped"] == true);
    gates.filter_map(|gate| gate["name"].as_str()).collect()
}

#[test]
fn raised_level_trips_the_gate_at_once() {
    let project = described();
    remove_note(&project);
    let own = plan(&project, 0);
    let both = "orders/getOrder orders/listOrders";
    assert_eq!(changes(&own), [format!("warn changed {REMOVED} {both}")]);
    let setting = format!("gates: [break]\nbreak_levels: {{{REMOVED}: error}}");
    project.edit("gateway.yaml", "gates: [break]", &setting);
    let raised = plan(&project, 1);
    assert_eq!(
        changes(&raised),
        [
            "warn rules break-level-changed".to_owned(),
            format!("error break {REMOVED} {both}")
        ]
    );
    assert_eq!(tripped(&raised), ["break", "rules"]);
}

#[test]
fn lowered_level_does_not_pass_its_own_gate() {
    let project = described();
    let setting = format!("gates: [break]\nbreak_levels: {{{REMOVED}: error}}");
    project.edit("gateway.yaml", "gates: [break]", &setting);
    commit(&project, "strict");
    remove_note(&project);
    let lowered = format!("{{{REMOVED}: error}}");
    project.edit("gateway.yaml", &lowered, &format!("{{{REMOVED}: info}}"));
    let same = plan(&project, 1);
    assert_eq!(tripped(&same), ["break", "rules"]);
    // Lower the level in one commit, and remove the property in a later commit.
    project.write("orders.yaml", DOCUMENT);
    commit(&project, "lowered");
    remove_note(&project);
    let later = plan(&project, 0);
    let both = "orders/getOrder orders/listOrders";
    assert_eq!(changes(&later), [format!("info changed {REMOVED} {both}")]);
    let diff = ["diff", "git:main", ".", "--fail-on", "break"];
    project.run(&diff).with(0);
}

#[test]
fn allowed_check_of_one_operation_has_its_line() {
    let project = described();
    let setting = format!("gates: [break]\nbreak_levels: {{{REMOVED}: error}}");
    project.edit("gateway.yaml", "gates: [break]", &setting);
    let allow = format!("get: {{x-gateway-lint: {{allow: [{REMOVED}]}}, operationId: getOrder,");
    let own = "get: {operationId: getOrder,";
    commit(&project, "strict");
    project.edit("orders.yaml", own, &allow);
    assert_eq!(
        changes(&plan(&project, 1)),
        ["warn rules lint-allow-changed"]
    );
    remove_note(&project);
    assert_eq!(tripped(&plan(&project, 1)), ["break", "rules"]);
    project.write("orders.yaml", DOCUMENT.replace(own, &allow));
    commit(&project, "allowed");
    remove_note(&project);
    assert_eq!(
        changes(&plan(&project, 1)),
        [
            format!("error break {REMOVED} orders/listOrders"),
            format!("info changed {REMOVED} orders/getOrder")
        ]
    );
}

/// Clients of a removed operation did not accept a check that another operation allows.
#[test]
fn allow_of_the_next_operation_hides_no_break() {
    for (allow, expected) in [
        (
            String::new(),
            format!("error break {REMOVED} orders/getOrder"),
        ),
        (
            format!("x-gateway-lint: {{allow: [{REMOVED}]}}, "),
            format!("info changed {REMOVED} orders/getOrder"),
        ),
    ] {
        let project = described();
        let setting = format!("gates: [break]\nbreak_levels: {{{REMOVED}: error}}");
        project.edit("gateway.yaml", "gates: [break]", &setting);
        let whole = "responses: {\"200\": {$ref: '#/components/responses/Order'}}}\n";
        let short = "responses: {\"200\": {description: fine, content: {application/json: {schema: {type: object, properties: {id: {type: string}}}}}}}}\n";
        let latest = format!("  /orders/latest:\n    get: {{{allow}operationId: latest, {whole}");
        let document = DOCUMENT.replace(
            &format!("get: {{operationId: getOrder, {whole}"),
            &format!("get: {{x-gateway-lint: {{allow: [{REMOVED}]}}, operationId: getOrder, {short}{latest}"),
        );
        project.write("orders.yaml", &document);
        commit(&project, "latest");
        // Requests for `/orders/latest` now belong to `getOrder`.
        project.write("orders.yaml", document.replace(&latest, ""));
        let ended = project.run(&["plan", "--format", "json", "--against", "git:main"]);
        let found = changes(&serde_json::from_str(&ended.out).expect("JSON"));
        assert!(found.contains(&expected), "{allow}: {found:?}");
    }
}

#[test]
fn allowed_check_of_a_lone_document_counts() {
    let project = Project::new();
    project.write("old.yaml", DOCUMENT);
    let wider = DOCUMENT.replace("note: {type: string}", "note: {type: [string, integer]}");
    project.write("new.yaml", &wider);
    let diff = ["diff", "old.yaml", "new.yaml", "--fail-on", "break"];
    project.run(&diff).with(1);
    let root = "info: {title: Orders, version: \"1\"}";
    let allowed =
        format!("x-gateway-lint: {{allow: [response-property-list-of-types-widened]}}\n{root}");
    project.write("new.yaml", wider.replace(root, &allowed));
    project.run(&diff).with(1);
    project.write("old.yaml", DOCUMENT.replace(root, &allowed));
    project.run(&diff).with(0);
}

#[test]
fn baseline_of_breaks_covers_only_its_entries() {
    let project = Project::new();
    project.write("old.yaml", DOCUMENT);
    let text = "note: {type: string}";
    let one = DOCUMENT.replace(text, "note: {type: [string, integer]}");
    project.write("new.yaml", &one);
    let diff = ["diff", "old.yaml", "new.yaml", "--fail-on", "break"];
    let with = |option: &str, code| {
        let more = [&diff[..], &[option, "known.json"]].concat();
        project.run(&more).with(code)
    };
    with("--baseline", 65);
    project.write("known.json", "{}");
    with("--write-baseline", 65);
    std::fs::remove_file(project.path().join("known.json")).expect("it exists");
    with("--write-baseline", 0);
    with("--baseline", 0);
    project.write(
        "new.yaml",
        one.replace("id: {type: string}", "id: {type: [string, integer]}"),
    );
    with("--baseline", 1);
    project.write("new.yaml", DOCUMENT);
    assert!(with("--baseline", 0).err.contains("stale entry"));
}

#[test]
fn unknown_check_is_an_error_with_a_suggestion() {
    let project = described();
    let setting = "gates: [break]\nbreak_levels: {response-optional-property-remove: info}";
    project.edit("gateway.yaml", "gates: [break]", setting);
    let ended = project.run(&["lint", "--format", "concise"]).with(1);
    assert!(ended.out.contains("there is no check"), "{}", ended.out);
    project.run(&["lint", "--fix"]).with(0);
    assert!(project.read("gateway.yaml").contains(REMOVED));
}

#[test]
fn allowed_check_without_effect_is_a_finding() {
    let allow = format!("x-gateway-lint: {{allow: [{REMOVED}]}}");
    let finding = format!("info[GW0309]: `{REMOVED}` has no effect here");
    for (before, after, count) in [
        (
            "security: [{key: []}]\n",
            format!("security: [{{key: []}}]\n{allow}\n"),
            0,
        ),
        ("  /orders:\n", format!("  /orders:\n    {allow}\n"), 0),
        (
            "operationId: getOrder",
            format!("{allow}, operationId: getOrder"),
            0,
        ),
        (
            "Order: {type: object",
            format!("Order: {{{allow}, type: object"),
            1,
        ),
        (
            "Order: {description: fine",
            format!("Order: {{{allow}, description: fine"),
            1,
        ),
        (
            "key: {type: apiKey",
            format!("key: {{{allow}, type: apiKey"),
            1,
        ),
        // Webhooks and callbacks have no levels of their own.
        (
            "paths:\n",
            format!(
                "webhooks: {{made: {{{allow}, post: {{{allow}, responses: {{}}}}}}}}\npaths:\n"
            ),
            2,
        ),
        (
            "operationId: getOrder",
            format!(
                "callbacks: {{done: {{'{{$url}}': {{post: {{{allow}, responses: {{}}}}}}}}}}, operationId: getOrder"
            ),
            1,
        ),
    ] {
        let project = described();
        project.edit("orders.yaml", before, &after);
        let lint = project.run(&["lint", "--format", "concise"]).with(0).out;
        assert_eq!(lint.matches(&finding).count(), count, "{after}: {lint}");
    }
    let project = described();
    let gateway = project.read("gateway.yaml");
    project.write("gateway.yaml", format!("{gateway}{allow}\n"));
    let lint = project.run(&["lint", "--format", "concise"]).with(0).out;
    assert_eq!(lint.matches(&finding).count(), 1, "{lint}");
}

#[test]
fn warning_of_a_check_can_be_raised_to_its_own_level() {
    let project = described();
    let bounded = DOCUMENT.replace(
        "get: {operationId: getOrder, ",
        "post: {operationId: putOrder, requestBody: {content: {application/json: {schema: {type: array, items: {type: string}}}}}, responses: {}}\n    get: {operationId: getOrder, ",
    );
    project.write("orders.yaml", &bounded);
    let raised = "break_levels: {request-schema-narrowed: error}\ngates: [break]";
    project.edit("gateway.yaml", "gates: [break]", raised);
    commit(&project, "raised");
    project.edit(
        "orders.yaml",
        "items: {type: string}}",
        "items: {type: string}, maxItems: 9}",
    );
    let plan = plan(&project, 1);
    let lines = changes(&plan);
    let expected = "error break request-schema-narrowed ";
    assert!(
        lines.iter().any(|line| line.starts_with(expected)),
        "{lines:?}"
    );
    assert_eq!(tripped(&plan), ["break"]);
}
