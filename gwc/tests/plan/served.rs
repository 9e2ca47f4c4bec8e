//! Tests of documents that gwd serves. A plan compares their endpoints like operations, and their
//! content by digest.

use crate::rest::lines;
use crate::{GATEWAY, edit, plan};

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: t, version: "1"}
security: [{key: []}]
paths:
  /orders: {get: {operationId: list, summary: Lists orders, responses: {"200": {description: fine}}}}
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}
"#;

/// gateway.yaml of the tests with this value of `serve_document`.
fn serving(value: &str) -> String {
    let with = format!("defaults: {{serve_document: {value}, ");
    edit(GATEWAY, "defaults: {", &with)
}

fn planned(old: (&str, &str), new: (&str, &str)) -> Vec<String> {
    lines(&plan((&serving(old.0), old.1), (&serving(new.0), new.1)))
}

#[test]
fn endpoints_are_added_and_opened_like_operations() {
    assert_eq!(
        planned(("false", DOCUMENT), ("true", DOCUMENT)),
        [
            "routing added operation-added a#document",
            "routing added operation-added a#document-page",
            "security expose operation-exposed a#document+a#document-page",
        ]
    );
    let opened = planned(("true", DOCUMENT), ("{public: true}", DOCUMENT));
    let weaker = "security weaken security-requirement-removed a#document+a#document-page";
    assert!(opened.contains(&weaker.to_owned()), "{opened:?}");
    assert_eq!(
        planned(("true", DOCUMENT), ("{page: false}", DOCUMENT)),
        ["routing removed operation-removed a#document-page"]
    );
}

#[test]
fn changed_descriptions_change_a_served_document() {
    let other = edit(DOCUMENT, "Lists orders", "Lists all orders");
    let described = "docs doc prose-changed a/list";
    assert_eq!(
        planned(("false", DOCUMENT), ("false", &other)),
        [described],
        "not served"
    );
    assert_eq!(
        planned(("true", DOCUMENT), ("true", &other)),
        [
            described,
            "policy changed document-changed policy a/#document document",
            "policy changed document-changed policy a/#document-page document",
        ]
    );
}

#[test]
fn settings_of_the_gateway_do_not_change_the_document() {
    let other = edit(
        DOCUMENT,
        "summary: Lists orders",
        "summary: Lists orders, x-gateway: {timeout: 3s}",
    );
    let reported = planned(("true", DOCUMENT), ("true", &other));
    assert_eq!(reported, ["policy tighten timeout-changed a/list"]);
}
