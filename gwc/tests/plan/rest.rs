//! Tests of requests that no document describes. The plan must report refused requests that become
//! allowed, with a witness.

use plan::{Change, Outcome, Plan};

use crate::{GATEWAY, edit, plan};

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: t, version: "1"}
x-gateway: {}
security: [{key: []}]
paths:
  /orders: {get: {operationId: list, responses: {"200": {description: fine}}}}
  /orders/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string}}]
    get: {operationId: get, responses: {"200": {description: fine}}}
    delete: {operationId: purge, x-gateway: {internal: true}, responses: {"200": {description: fine}}}
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}
    pair: {type: http, scheme: basic, x-gateway: {auth: staff}}
"#;

fn with(settings: &str) -> String {
    edit(
        DOCUMENT,
        "x-gateway: {}",
        &format!("x-gateway: {{{settings}}}"),
    )
}

fn planned(old: &str, new: &str) -> Plan {
    plan((GATEWAY, old), (GATEWAY, new))
}

/// Changes as sorted lines `SECTION CLASS ID OPERATIONS`.
pub(crate) fn lines(plan: &Plan) -> Vec<String> {
    let mut lines = crate::lines(plan);
    lines.sort();
    lines
}

/// Method, URL, old outcome and new outcome in the witness of the only change with this id.
fn shown<'p>(plan: &'p Plan, id: &str) -> (&'p str, &'p str, &'p Outcome, &'p Outcome) {
    let found: Vec<&Change> = plan.changes.iter().filter(|one| one.id == id).collect();
    assert_eq!(found.len(), 1, "{id}: {:?}", lines(plan));
    let witness = found[0].witness.as_ref().expect("a request shows it");
    (&witness.method, &witness.url, &witness.old, &witness.new)
}

#[test]
fn undescribed_paths_are_exposed_and_closed() {
    let (closed, open) = (with(""), with("unmatched: u"));
    let plan = planned(&closed, &open);
    assert_eq!(
        lines(&plan),
        [
            "routing added operation-added a#unmatched",
            "security expose operation-exposed a#unmatched",
        ]
    );
    let (method, url, old, new) = shown(&plan, "operation-exposed");
    assert_eq!((method, url), ("GET", "http://gateway/"));
    assert_eq!(*old, Outcome::Refused { status: 404 });
    assert!(matches!(new, Outcome::Served { .. }), "{new:?}");
    assert_eq!(
        lines(&planned(&open, &closed)),
        ["routing removed operation-removed a#unmatched"]
    );
}

#[test]
fn undeclared_methods_that_pass_are_exposed() {
    let plan = planned(&with(""), &with("undeclared_methods: pass"));
    assert_eq!(
        lines(&plan),
        [
            "routing added operation-added a#undeclared",
            "security expose operation-exposed a#undeclared",
        ]
    );
    let (method, url, old, _) = shown(&plan, "operation-exposed");
    assert_eq!((method, url), ("PUT", "http://gateway/orders"));
    assert_eq!(*old, Outcome::Refused { status: 405 });
    for change in &plan.changes {
        assert_eq!(
            plan::report::what(change),
            "* 2 paths: /orders, /orders/{id} (a#undeclared)"
        );
        assert!(change.paths().iter().eq(&["/orders", "/orders/{id}"]));
    }
}

#[test]
fn unmatched_that_is_open_to_everyone_weakens() {
    let open = edit(
        &with("unmatched: u, public: true"),
        "security: [{key: []}]",
        "security: []",
    );
    let described = "get: {operationId: list, ";
    let secured = "get: {operationId: list, security: [{key: []}], ";
    let (open, closed) = (
        edit(&open, described, secured),
        edit(&with(""), described, secured),
    );
    let id = "get: {operationId: get, ";
    let secured = "get: {operationId: get, security: [{key: []}], ";
    let (open, closed) = (edit(&open, id, secured), edit(&closed, id, secured));
    assert_eq!(
        lines(&planned(&closed, &open)),
        [
            "routing added operation-added a#unmatched",
            "security weaken operation-exposed a#unmatched",
        ]
    );
}

#[test]
fn access_to_unmatched_requests_is_compared() {
    let both = with("unmatched: u, undeclared_methods: pass");
    let weaker = edit(
        &both,
        "security: [{key: []}]",
        "security: [{key: []}, {pair: []}]",
    );
    let plan = planned(&both, &weaker);
    assert!(
        lines(&plan).contains(
            &"security weaken security-requirement-changed a#undeclared+a#unmatched+a/get+a/list"
                .to_owned()
        ),
        "{:#?}",
        lines(&plan)
    );
}

/// If a document describes or hides fewer requests, the `unmatched` operation receives the other
/// requests. Each line has a witness.
#[test]
fn removed_description_moves_requests_to_unmatched() {
    let rest = with("unmatched: v, undeclared_methods: pass");
    let gone = edit(
        &rest,
        "  /orders: {get: {operationId: list, responses: {\"200\": {description: fine}}}}\n",
        "",
    );
    let plan = planned(&rest, &gone);
    assert_eq!(
        lines(&plan),
        [
            "routing moved owner-changed a#unmatched",
            "routing moved owner-changed a#unmatched",
            "routing moved upstream-changed a#unmatched",
        ]
        .map(str::to_owned)
    );
    // No operation received requests for the internal operation's path, with or without a trailing
    // slash.
    let hidden = "    delete: {operationId: purge, x-gateway: {internal: true}, responses: {\"200\": {description: fine}}}\n";
    let plan = planned(&rest, &edit(&rest, hidden, ""));
    assert_eq!(
        lines(&plan),
        [
            "routing added requests-added a#undeclared",
            "routing added requests-added a#unmatched",
            "security expose operation-exposed a#undeclared+a#unmatched",
        ]
    );
    let added = plan
        .changes
        .iter()
        .find(|one| one.operations == ["a#undeclared"]);
    let witness = added.and_then(|one| one.witness.as_ref());
    let witness = witness.expect("a request shows it");
    assert_eq!(
        (witness.method.as_str(), witness.url.as_str()),
        ("DELETE", "http://gateway/orders/0")
    );
    assert_eq!(witness.old, Outcome::Refused { status: 405 });
    // A second internal operation on the same path hides no further requests.
    let strict = with("unmatched: v");
    let more = edit(
        &strict,
        hidden,
        &(hidden.to_owned()
            + &hidden.replace("delete: {operationId: purge", "patch: {operationId: mend")),
    );
    assert_eq!(
        lines(&planned(&strict, &more)),
        ["routing changed internal-changed api a internal"]
    );
    // Without an operation for undescribed requests, no request moves to another operation.
    assert_eq!(
        lines(&planned(&with(""), &edit(&with(""), hidden, ""))),
        ["routing changed internal-changed api a internal"]
    );
}

/// A prefix route describes every path, so the `unmatched` operation receives no requests. The plan
/// must report it nevertheless.
#[test]
fn unmatched_without_requests_has_a_line() {
    let id = "  /orders/{id}:\n";
    let all = |settings: &str| {
        edit(
            &with(settings),
            id,
            &format!(
                "  /:\n    x-gateway: {{match: prefix}}\n    get: {{operationId: all, responses: {{\"200\": {{description: fine}}}}}}\n{id}"
            ),
        )
    };
    assert_eq!(
        lines(&planned(&all(""), &all("unmatched: u"))),
        ["routing added operation-added a#unmatched"]
    );
}

#[test]
fn request_that_fails_a_condition_is_not_undeclared() {
    let rest = with("undeclared_methods: pass");
    let conditioned = edit(
        &rest,
        "get: {operationId: list, ",
        "get: {operationId: list, x-gateway: {match: {headers: {X-Kind: {exact: new}}}}, ",
    );
    let plan = planned(&rest, &conditioned);
    assert_eq!(lines(&plan), ["routing removed requests-removed a/list"]);
}
