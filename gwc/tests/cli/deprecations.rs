//! Tests of `deprecations` (notice that clients get before an operation is removed), and of sunsets
//! and stability levels of documents.

use serde_json::Value;

use crate::git::{commit, committed};
use crate::project::Project;

const OWN: &str = "get: {operationId: getOrder,";
const OTHER: &str = "get: {operationId: listOrders,";

fn noticed() -> Project {
    let project = committed();
    let setting = "gates: [break]\ndeprecations: {notice_days: 1, apis: {orders: 90}}";
    project.edit("gateway.yaml", "gates: [weaken]", setting);
    commit(&project, "notice");
    project
}

#[test]
fn notice_of_an_unknown_api_is_an_error() {
    let project = noticed();
    project.edit("gateway.yaml", "apis: {orders: 90}", "apis: {order: 90}");
    let ended = project.run(&["lint"]).with(1);
    ended
        .contains("there is no API `order`")
        .contains("write `orders`");
}

fn state(project: &Project, text: &str) {
    project.edit("orders.yaml", OWN, &format!("{OWN} {text},"));
}

fn remove(project: &Project) {
    let text = project.read("orders.yaml");
    let (before, rest) = text.split_once("  /orders/{id}:\n").expect("it is there");
    let (_, after) = rest.split_once("components:").expect("it is there");
    project.write("orders.yaml", format!("{before}components:{after}"));
}

/// Lines of the section BREAKING as `LEVEL ID`, and the names of the tripped gates.
fn plan(project: &Project) -> (Vec<String>, Vec<String>) {
    let ended = project.run(&["plan", "--format", "json", "--against", "git:main"]);
    let plan = ended.json("plan/v1");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let all = plan["changes"].as_array().expect("a list").iter();
    let all = all.filter(|one| one["section"] == "breaking");
    let lines = all.map(|one| format!("{} {}", text(&one["level"]), text(&one["id"])));
    let gates = plan["gates"].as_array().expect("a list").iter();
    let gates = gates.filter(|gate| gate["tripped"] == true);
    (
        lines.collect(),
        gates.map(|gate| text(&gate["name"])).collect(),
    )
}

fn none() -> Vec<String> {
    Vec::new()
}

#[test]
fn removed_operation_needs_a_passed_sunset() {
    for (stated, line, gates) in [
        (
            "",
            "error api-path-removed-without-deprecation",
            vec!["break"],
        ),
        (
            "deprecated: true",
            "error api-path-removed-before-sunset",
            vec!["break"],
        ),
        (
            "deprecated: true, x-sunset: 2999-01-01",
            "error api-path-removed-before-sunset",
            vec!["break"],
        ),
        (
            "deprecated: true, x-sunset: soon",
            "error api-path-sunset-parse",
            vec!["break"],
        ),
        (
            "deprecated: true, x-sunset: 2020-01-01",
            "info api-path-removed-with-deprecation",
            vec![],
        ),
    ] {
        let project = noticed();
        if !stated.is_empty() {
            state(&project, stated);
            commit(&project, "stated");
        }
        remove(&project);
        let gates: Vec<String> = gates.into_iter().map(str::to_owned).collect();
        assert_eq!(plan(&project), (vec![line.to_owned()], gates), "{stated}");
    }
}

#[test]
fn new_sunset_is_after_the_notice_period() {
    for (stated, line, trips) in [
        (
            "deprecated: true, x-sunset: 2999-01-01",
            "info endpoint-deprecated-with-sunset",
            false,
        ),
        (
            "deprecated: true, x-sunset: 2020-01-01",
            "error api-sunset-date-too-small",
            true,
        ),
        (
            "deprecated: true, x-sunset: 2020-01-01, x-stability-level: beta",
            "error api-sunset-date-too-small",
            true,
        ),
    ] {
        let project = noticed();
        state(&project, stated);
        let (lines, gates) = plan(&project);
        assert!(lines.contains(&line.to_owned()), "{stated}: {lines:?}");
        assert!(
            !lines.contains(&"info endpoint-deprecated".to_owned()),
            "{lines:?}"
        );
        assert_eq!(gates.contains(&"break".to_owned()), trips, "{stated}");
    }
    let project = noticed();
    state(&project, "deprecated: true");
    let expected = [
        "error api-deprecated-sunset-missing",
        "info endpoint-deprecated",
    ];
    assert_eq!(plan(&project).0, expected);
}

#[test]
fn first_sunset_of_a_deprecated_operation_is_late() {
    let too_early = "error api-sunset-date-too-small".to_owned();
    for (stated, sunset, trips) in [
        ("deprecated: true", "2020-01-01", true),
        ("deprecated: true, x-sunset: soon", "2020-01-01", true),
        ("deprecated: true", "2999-01-01", false),
    ] {
        let project = noticed();
        state(&project, stated);
        commit(&project, "deprecated");
        let text = project.read("orders.yaml");
        let new = format!("deprecated: true, x-sunset: {sunset}");
        project.write("orders.yaml", text.replacen(stated, &new, 1));
        let (lines, gates) = plan(&project);
        assert_eq!(lines.contains(&too_early), trips, "{stated}: {lines:?}");
        assert_eq!(gates.contains(&"break".to_owned()), trips, "{stated}");
    }
}

#[test]
fn enforced_sunset_needs_the_notice() {
    let far = "deprecated: true, x-sunset: 2999-01-01";
    for (stated, added) in [
        ("", "x-gateway: {deprecated: {sunset: 2020-01-01}}"),
        ("", "x-gateway: {policies: [leaving]}"),
        (far, "x-gateway: {deprecated: {sunset: 2020-01-01}}"),
        (far, "x-gateway: {policies: [leaving]}"),
        (far, "x-gateway: {policies: [later, leaving]}"),
    ] {
        let project = noticed();
        let policies = "policies: {leaving: {kind: deprecation, sunset: 2020-01-01}, \
                        later: {kind: deprecation, sunset: 2999-01-01}, ";
        project.edit("gateway.yaml", "policies: {", policies);
        if !stated.is_empty() {
            state(&project, stated);
        }
        commit(&project, "stated");
        state(&project, added);
        let (lines, gates) = plan(&project);
        let early =
            ["too-small", "changed-too-small"].map(|end| format!("error api-sunset-date-{end}"));
        let is_early = lines.iter().any(|line| early.contains(line));
        assert!(is_early, "{stated}, {added}: {lines:?}");
        assert!(gates.contains(&"break".to_owned()), "{stated}, {added}");
    }
}

#[test]
fn new_name_hides_no_early_sunset() {
    for (from, to) in [
        ("operationId: getOrder,", "operationId: readOrder,"),
        ("operationId: getOrder,", ""),
    ] {
        let project = noticed();
        state(&project, "deprecated: true, x-sunset: 2999-01-01");
        commit(&project, "deprecated");
        project.edit("orders.yaml", from, to);
        project.edit("orders.yaml", "2999-01-01", "2020-01-01");
        let (lines, gates) = plan(&project);
        let early = "error api-sunset-date-changed-too-small".to_owned();
        assert!(lines.contains(&early), "{to}: {lines:?}");
        assert_eq!(gates, ["break"], "{to}");
    }
    // Two operations exchange their ids.
    let project = noticed();
    state(&project, "deprecated: true, x-sunset: 2999-01-01");
    commit(&project, "deprecated");
    for (from, to) in [
        ("operationId: getOrder,", "operationId: other,"),
        ("operationId: listOrders,", "operationId: getOrder,"),
        ("operationId: other,", "operationId: listOrders,"),
        ("2999-01-01", "2020-01-01"),
    ] {
        project.edit("orders.yaml", from, to);
    }
    let (lines, gates) = plan(&project);
    let early = "error api-sunset-date-changed-too-small".to_owned();
    assert!(lines.contains(&early), "{lines:?}");
    assert!(gates.contains(&"break".to_owned()));
}

/// Project of the old side. Two APIs have paths in common; only `orders` has an operation for
/// `/orders/{id}`.
fn with_two_apis() -> Project {
    let project = noticed();
    let orders = project.read("orders.yaml");
    project.edit(
        "gateway.yaml",
        "{path: orders.yaml}",
        "{path: orders.yaml}, single: {path: single.yaml}",
    );
    let single = orders.replace("  /orders:\n", "  /single:\n");
    let single = single.replace("listOrders", "listSingle");
    let (before, rest) = single.split_once("  /orders/{id}:\n").expect("it is there");
    let (_, after) = rest.split_once("components:").expect("it is there");
    project.write("single.yaml", format!("{before}components:{after}"));
    state(&project, "deprecated: true, x-sunset: 2999-01-01");
    commit(&project, "two");
    project
}

#[test]
fn move_to_another_api_hides_no_early_sunset() {
    for (name, sunset, trips) in [
        ("getOrder", "2020-01-01", true),
        ("readOrder", "2020-01-01", true),
        ("readOrder", "2999-01-01", false),
    ] {
        let project = with_two_apis();
        let text = project.read("orders.yaml");
        let (_, rest) = text.split_once("  /orders/{id}:\n").expect("it is there");
        let (item, _) = rest.split_once("components:").expect("it is there");
        let item = item.replace("getOrder", name).replace("2999-01-01", sunset);
        remove(&project);
        let moved = format!("  /orders/{{id}}:\n{item}components:");
        project.edit("single.yaml", "components:", &moved);
        let (lines, gates) = plan(&project);
        let early = "error api-sunset-date-changed-too-small".to_owned();
        assert_eq!(lines.contains(&early), trips, "{name}: {lines:?}");
        assert_eq!(gates.contains(&"break".to_owned()), trips, "{name}");
    }
}

#[test]
fn known_sunset_is_neither_deleted_nor_too_early() {
    let stated = "deprecated: true, x-sunset: 2999-06-01";
    for (to, line) in [
        ("deprecated: true", "error sunset-deleted"),
        (
            "deprecated: true, x-sunset: 2020-01-01",
            "error api-sunset-date-changed-too-small",
        ),
        (
            "deprecated: true, x-sunset: 2999-05-01",
            "info api-sunset-date-changed-too-small",
        ),
        (
            "deprecated: true, x-sunset: later",
            "error api-deprecated-sunset-parse",
        ),
    ] {
        let project = noticed();
        state(&project, stated);
        commit(&project, "stated");
        project.edit("orders.yaml", stated, to);
        assert_eq!(plan(&project).0, [line], "{to}");
    }
    let project = noticed();
    state(&project, stated);
    commit(&project, "stated");
    project.edit("orders.yaml", "2999-06-01", "2999-07-01");
    assert_eq!(plan(&project), (none(), none()));
}

#[test]
fn stability_of_an_operation_does_not_decrease() {
    let project = noticed();
    state(&project, "x-stability-level: beta");
    assert_eq!(plan(&project).0, ["error api-stability-decreased"]);
    commit(&project, "beta");
    project.edit(
        "orders.yaml",
        "x-stability-level: beta",
        "x-stability-level: stable",
    );
    assert_eq!(plan(&project).0, ["info api-stability-increased"]);
    project.edit(
        "orders.yaml",
        "x-stability-level: stable",
        "x-stability-level: solid",
    );
    assert_eq!(plan(&project).0, ["error api-invalid-stability-level"]);
}

#[test]
fn shorter_notice_does_not_pass_its_own_gate() {
    let project = noticed();
    project.edit("gateway.yaml", "orders: 90", "orders: 0");
    state(&project, "deprecated: true, x-sunset: 2020-01-01");
    let (lines, gates) = plan(&project);
    assert_eq!(lines, ["error api-sunset-date-too-small"]);
    assert_eq!(gates, ["break", "rules"]);
    // A policy that the same change adds does not apply to the removal.
    let project = committed();
    project.edit("gateway.yaml", "gates: [weaken]", "gates: [break]");
    state(&project, "deprecated: true, x-sunset: 2020-01-01");
    commit(&project, "no policy");
    remove(&project);
    project.edit(
        "gateway.yaml",
        "gates: [break]",
        "gates: [break]\ndeprecations: {notice_days: 1}",
    );
    assert_eq!(plan(&project).1, ["break", "rules"]);
}

#[test]
fn one_of_two_operations_of_a_path_is_removed() {
    for (stated, line) in [
        ("", "error api-removed-without-deprecation"),
        (
            "deprecated: true, x-sunset: 2999-01-01, ",
            "error api-removed-before-sunset",
        ),
        (
            "deprecated: true, x-sunset: 2020-01-01, ",
            "info api-removed-with-deprecation",
        ),
    ] {
        let project = noticed();
        let post = "responses: {\"200\": {description: fine}}";
        let two = format!("post: {{operationId: addOrder, {stated}{post}}}\n    {OTHER}");
        project.edit("orders.yaml", OTHER, &two);
        commit(&project, "two");
        project.edit("orders.yaml", &two, OTHER);
        assert_eq!(plan(&project).0, [line], "{stated}");
    }
}

/// Writes a parameter `limit` of `listOrders`, with further fields, and one without changes.
fn parameter(project: &Project, stated: &str) {
    let text = project.read("orders.yaml");
    let without = match text.split_once(" parameters: [{name: limit,") {
        Some((before, rest)) => {
            let (_, after) = rest
                .split_once("}}],")
                .expect("the list of parameters ends");
            format!("{before}{after}")
        }
        None => text,
    };
    let written = match stated {
        "none" => without,
        stated => without.replacen(
            OTHER,
            &format!("{OTHER} parameters: [{{name: limit, in: query{stated}, schema: {{type: integer}}}}],"),
            1,
        ),
    };
    project.write("orders.yaml", written);
}

/// Lines of BREAKING between two states of the parameter.
fn between_parameters(old: &str, new: &str) -> Vec<String> {
    let project = noticed();
    if old != "none" {
        parameter(&project, old);
        commit(&project, "a parameter");
    }
    parameter(&project, new);
    plan(&project).0
}

#[test]
fn parameter_is_removed_after_its_sunset() {
    for (old, line) in [
        ("", "warn request-parameter-removed"),
        (
            ", deprecated: true",
            "error request-parameter-removed-before-sunset",
        ),
        (
            ", deprecated: true, x-sunset: 2999-01-01",
            "error request-parameter-removed-before-sunset",
        ),
        (
            ", deprecated: true, x-sunset: soon",
            "error request-parameter-sunset-parse",
        ),
        (
            ", deprecated: true, x-sunset: 2020-01-01",
            "info request-parameter-removed-with-deprecation",
        ),
        (", x-sunset: 2020-01-01", "warn request-parameter-removed"),
    ] {
        assert_eq!(between_parameters(old, "none"), [line], "{old}");
    }
}

#[test]
fn deprecated_parameter_has_a_sunset() {
    let deprecated = ", deprecated: true";
    for (old, new, expected) in [
        ("", "", "error request-parameter-deprecated-sunset-missing"),
        (
            "",
            ", x-sunset: 2020-01-01",
            "error request-parameter-sunset-date-too-small",
        ),
        (
            "",
            ", x-sunset: soon",
            "error request-parameter-sunset-parse",
        ),
        (
            "",
            ", x-sunset: 2999-01-01",
            "info request-parameter-deprecated",
        ),
    ] {
        let lines = between_parameters(old, &format!("{deprecated}{new}"));
        assert_eq!(lines, [expected], "{old} {new}");
    }
    for (old, new, expected) in [
        ("2999-01-01", "", "error request-parameter-sunset-deleted"),
        (
            "2999-01-01",
            ", x-sunset: 2020-01-01",
            "error request-parameter-sunset-date-changed-too-small",
        ),
        (
            "2999-01-01",
            ", x-sunset: 2998-01-01",
            "info request-parameter-sunset-date-changed-too-small",
        ),
    ] {
        let old = format!("{deprecated}, x-sunset: {old}");
        let lines = between_parameters(&old, &format!("{deprecated}{new}"));
        assert_eq!(lines, [expected], "{old} {new}");
    }
    // A new parameter needs no notice.
    let new = ", deprecated: true, x-sunset: 2020-01-01";
    let lines = between_parameters("none", new);
    assert_eq!(lines, ["info new-optional-request-parameter"]);
}

/// Writes an operation whose request and response have the property `note`, with further keywords
/// of its schema. `operation`: further fields of the operation.
fn property(project: &Project, operation: &str, stated: &str) {
    let text = project.read("orders.yaml");
    let (before, schemes) = text.split_once("components:").expect("it is there");
    let before = match before.split_once("  /notes:") {
        Some((before, _)) => before,
        None => before,
    };
    let (_, schemes) = schemes
        .split_once("  securitySchemes:")
        .expect("it is there");
    let content = "content: {application/json: {schema: {$ref: \"#/components/schemas/Note\"}}}";
    let written = format!(
        "{before}  /notes:\n    post: {{operationId: addNote, {operation} requestBody: {{{content}}}, \
         responses: {{\"200\": {{description: fine, {content}}}}}}}\n\
         components:\n  schemas: {{Note: {{type: object, properties: {{note: {{type: string{stated}}}}}}}}}\n  \
         securitySchemes:{schemes}"
    );
    project.write("orders.yaml", written);
}

/// Lines of BREAKING between two states of the property.
fn between_properties(operation: &str, old: &str, new: &str) -> Vec<String> {
    let project = noticed();
    property(&project, operation, old);
    commit(&project, "a property");
    property(&project, operation, new);
    plan(&project).0
}

#[test]
fn deprecated_property_has_a_sunset() {
    let deprecated = ", deprecated: true";
    for (new, expected) in [
        (
            "",
            [
                "error request-property-deprecated-sunset-missing",
                "error response-property-deprecated-sunset-missing",
            ],
        ),
        (
            ", x-sunset: 2020-01-01",
            [
                "error request-property-sunset-date-too-small",
                "error response-property-sunset-date-too-small",
            ],
        ),
        (
            ", x-sunset: soon",
            [
                "error request-property-deprecated-sunset-invalid",
                "error response-property-deprecated-sunset-invalid",
            ],
        ),
        (
            ", x-sunset: 2999-01-01",
            [
                "info request-property-deprecated-with-sunset",
                "info response-property-deprecated-with-sunset",
            ],
        ),
    ] {
        let lines = between_properties("", "", &format!("{deprecated}{new}"));
        assert_eq!(lines, expected, "{new}");
    }
    // A property of an unstable operation needs no notice.
    let lines = between_properties("x-stability-level: draft,", "", deprecated);
    assert_eq!(
        lines,
        [
            "info request-property-deprecated",
            "info response-property-deprecated"
        ]
    );
    // A sunset without `deprecated: true` has no line, and neither has another sunset.
    for (old, new) in [
        ("", ", x-sunset: 2020-01-01"),
        (
            ", deprecated: true, x-sunset: 2999-01-01",
            ", deprecated: true, x-sunset: 2999-01-02",
        ),
    ] {
        assert_eq!(between_properties("", old, new), ["info contract-restated"]);
    }
}

#[test]
fn stability_level_of_a_property_is_compared() {
    let level = |level: &str| format!(", x-stability-level: {level}");
    let decreased = [
        "error request-property-stability-decreased",
        "error response-property-stability-decreased",
    ];
    let increased = [
        "info request-property-stability-increased",
        "info response-property-stability-increased",
    ];
    for (less, more) in [
        (level("alpha"), level("beta")),
        (level("draft"), level("stable")),
        (level("beta"), String::new()),
    ] {
        assert_eq!(between_properties("", &more, &less), decreased, "{less}");
        assert_eq!(between_properties("", &less, &more), increased, "{less}");
    }
}
