//! Tests of edits that lift a check of names: names that some servers read as a described name,
//! and query parameters that an operation does not describe.

use plan::Class;

use crate::{GATEWAY, edit, plan};

/// Lines of the plan for two versions of the operation's description, as `CLASS ID SUBJECT`.
/// `settings`: `x-gateway` of the document. `mode`: mode of validation.
fn found([old, new]: [&str; 2], settings: &str, mode: &str) -> Vec<String> {
    let gateway = edit(
        GATEWAY,
        "timeout: 5s}",
        &format!("timeout: 5s, validate: {{request: {mode}, response: {mode}}}}}"),
    );
    let document = |described: &str| {
        format!(
            "openapi: 3.1.0
info: {{title: t, version: \"1\"}}
x-gateway: {{{settings}}}
security: [{{key: []}}]
paths:
  /orders:
    post: {{operationId: create, {described}}}
components:
  securitySchemes:
    key: {{type: apiKey, in: header, name: X-Key, x-gateway: {{auth: keys}}}}
"
        )
    };
    let plan = plan((&gateway, &document(old)), (&gateway, &document(new)));
    let changes = plan.changes.iter().filter(|one| one.message.is_none());
    let checks = [
        "request-check",
        "request-body",
        "response-check",
        "parameter-",
    ];
    let changes = changes.filter(|one| checks.iter().any(|start| one.id.starts_with(start)));
    changes
        .map(|one| {
            let witness = one.witness.as_ref().map_or("", |_| " *");
            format!("{} {} {}{witness}", one.class.name(), one.id, one.subject)
        })
        .filter(|line| !line.starts_with(Class::Changed.name()))
        .collect()
}

const FINE: &str = "responses: {\"200\": {description: fine}}";

fn body(media_type: &str, properties: &str) -> String {
    format!(
        "{FINE}, requestBody: {{required: true, content: {{{media_type}: {{schema: {{type: object, properties: {{{properties}}}}}}}}}}}"
    )
}

fn parameters(all: &str) -> String {
    format!("{FINE}, parameters: [{all}]")
}

#[test]
fn resembling_member_relaxes_the_check() {
    for (media_type, other) in [
        ("application/json", "Role: {type: string}"),
        ("application/json", "Role: {}"),
        ("application/x-www-form-urlencoded", "Role: {}"),
        ("multipart/form-data", "'role[]': {}"),
    ] {
        let old = body(media_type, "role: {enum: [user]}");
        let new = body(media_type, &format!("role: {{enum: [user]}}, {other}"));
        let lines = found([&old, &new], "", "block");
        let [line] = &lines[..] else {
            panic!("{media_type} {other}: {lines:?}");
        };
        let (relax, other_set) = (
            format!("relax request-check-widened body {media_type} *"),
            format!("incomparable request-check-changed body {media_type}"),
        );
        assert!(*line == relax || line.starts_with(&other_set), "{line}");
        assert_eq!(found([&old, &new], "", "log"), [""; 0]);
    }
    let response = |properties: &str| {
        format!(
            "responses: {{\"200\": {{description: fine, content: {{application/json: {{schema: {{type: object, properties: {{{properties}}}}}}}}}}}}}"
        )
    };
    // A line with a witness ends with ` *`; other tests hold the witnesses.
    let without_mark = |[old, new]: [&String; 2]| -> Vec<String> {
        let lines = found([old, new], "", "block").into_iter();
        lines
            .map(|line| line.trim_end_matches(" *").to_lowercase())
            .collect()
    };
    let (old, new) = (response("role: {}"), response("role: {}, Role: {}"));
    assert_eq!(
        without_mark([&old, &new]),
        ["relax response-check-widened response 200 body application/json"]
    );
    let fields = |more: &str| {
        format!(
            "responses: {{\"200\": {{description: fine, headers: {{X-Role: {{schema: {{enum: [user]}}}}{more}}}}}}}"
        )
    };
    let (old, new) = (fields(""), fields(", X_Role: {schema: {}}"));
    assert_eq!(
        without_mark([&old, &new]),
        ["relax response-check-widened response 200 header x_role"]
    );
    let (old, new) = (response("role: {}"), response("role: {}, rank: {}"));
    assert_eq!(
        without_mark([&old, &new]),
        ["tighten response-check-narrowed response 200 body application/json"]
    );
}

#[test]
fn resembling_parameter_relaxes_the_check() {
    let number = "schema: {type: integer}";
    for (place, name, other) in [
        ("query", "q", "Q"),
        ("header", "X-Q", "X_Q"),
        ("cookie", "q", "Q"),
    ] {
        let own = format!("{{name: {name}, in: {place}, {number}}}");
        let (old, new) = (
            parameters(&own),
            parameters(&format!(
                "{own}, {{name: {other}, in: {place}, schema: {{}}}}"
            )),
        );
        let shown = match place {
            "header" => other.to_ascii_lowercase(),
            _ => other.to_owned(),
        };
        assert_eq!(
            found([&old, &new], "", "block"),
            [format!(
                "relax request-check-widened parameter {place} {shown} *"
            )]
        );
        let tighter = format!("tighten request-check-narrowed parameter {place} {shown}");
        let lines = found([&new, &old], "", "block");
        assert!(lines[0].starts_with(&tighter), "{lines:?}");
    }
    let (old, new) = (
        parameters(&format!("{{name: q, in: query, {number}}}")),
        parameters(&format!("{{name: q, in: query, description: d, {number}}}")),
    );
    assert_eq!(found([&old, &new], "", "block"), [""; 0]);
}

#[test]
fn newly_described_name_is_admitted_or_forwarded() {
    let query = |name: &str, rest: &str| format!("{{name: {name}, in: query, {rest}}}");
    let object = |names: &str| {
        format!("schema: {{type: object, properties: {{{names}}}, additionalProperties: false}}")
    };
    let deep = |schema: &str| format!("style: deepObject, explode: true, {schema}");
    let text = "schema: {type: string}";
    for (old, new, name) in [
        (
            query("q", text),
            format!("{}, {}", query("q", text), query("admin", text)),
            "admin",
        ),
        (
            query("f", &object("b: {}")),
            query("f", &object("b: {}, admin: {}")),
            "f",
        ),
        (
            query("f", &deep(&object("b: {}"))),
            query("f", &deep(&object("b: {}, admin: {}"))),
            "f",
        ),
        (
            query("f", &deep(&object("b: {}"))),
            query("f", &deep("schema: {type: object, properties: {b: {}}}")),
            "f",
        ),
        (
            query("f", "schema: {type: object, properties: {b: {}}}"),
            format!(
                "{}, {}",
                query("f", "schema: {type: object, properties: {b: {}}}"),
                query("B", "schema: {}")
            ),
            "B",
        ),
    ] {
        let (old, new) = (parameters(&old), parameters(&new));
        let relax = format!("relax request-check-widened parameter query {name}");
        let weaken = format!("weaken parameter-forwarded parameter query {name}");
        for mode in ["off", "log", "block"] {
            let lines = found([&old, &new], "undeclared_params: reject", mode);
            // With `block`, the values of the object are compared, too.
            let changed = format!("incomparable request-check-changed parameter query {name}");
            let is_changed = |line: &String| mode == "block" && line.starts_with(&changed);
            let mut all = lines.iter();
            let is_found = all.any(|line| line.starts_with(&relax) || is_changed(line));
            assert!(is_found, "{mode} {new}: {lines:?}");
            let lines = found([&old, &new], "undeclared_params: strip", mode);
            assert!(lines.contains(&weaken), "{mode} {new}: {lines:?}");
            let lines = found([&new, &old], "undeclared_params: strip", mode);
            assert!(
                !lines.iter().any(|line| line.contains("forwarded")),
                "{lines:?}"
            );
        }
    }
    // A parameter that is not forwarded does not reach the upstream.
    let (old, new) = (
        parameters(&query("q", text)),
        parameters(&format!(
            "{}, {}",
            query("q", text),
            query("admin", &format!("x-gateway: {{forward: false}}, {text}"))
        )),
    );
    assert_eq!(
        found([&old, &new], "undeclared_params: strip", "off"),
        [""; 0]
    );
}

#[test]
fn parameter_described_twice_keeps_its_check() {
    let object = "{name: f, in: query, schema: {type: object, properties: {a: {}, b: {}}, additionalProperties: false}}";
    let (both, one) = (
        parameters(&format!(
            "{object}, {{name: a, in: query, schema: {{type: integer}}}}"
        )),
        parameters(object),
    );
    let reject = "undeclared_params: reject";
    assert_eq!(
        found([&both, &one], reject, "block"),
        ["relax request-check-widened parameter query a *"]
    );
    assert_eq!(
        found([&one, &both], reject, "block"),
        ["tighten request-check-narrowed parameter query a *"]
    );
}

#[test]
fn discriminator_makes_a_choice_incomparable() {
    let choice = |more: &str| {
        let one = |name: &str| {
            format!(
                "{{type: object, required: [kind], properties: {{kind: {{type: string}}, {name}: {{type: integer}}}}}}"
            )
        };
        let list = format!("[{}, {}]", one("m"), one("n"));
        format!(
            "{FINE}, requestBody: {{required: true, content: {{application/json: {{schema: {{oneOf: {list}{more}}}}}}}}}"
        )
    };
    let selects = ", discriminator: {propertyName: kind}";
    let (plain, selected) = (choice(""), choice(selects));
    let lines = found([&plain, &selected], "", "block");
    let line = "incomparable request-check-changed body application/json";
    assert!(lines.len() == 1 && lines[0].starts_with(line), "{lines:?}");
    let other = choice(&format!("{selects}, title: t"));
    assert_eq!(found([&selected, &other], "", "block"), [""; 0]);
}
