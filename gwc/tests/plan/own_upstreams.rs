//! Upstreams that a document defines itself, before and after a change.

use crate::{GATEWAY, edit, lines, plan};

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: t, version: "1"}
x-gateway: {upstreams: {own: {targets: {x: {url: "http://127.0.0.1:9101"}}}}}
security: [{key: []}]
paths:
  /orders: {get: {operationId: list, x-gateway: {upstream: own}, responses: {"200": {description: fine}}}}
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}
"#;

fn planned(new: &str) -> Vec<String> {
    lines(&plan((GATEWAY, DOCUMENT), (GATEWAY, new)))
}

#[test]
fn setting_of_an_own_upstream_has_its_full_name() {
    assert_eq!(planned(DOCUMENT), Vec::<String>::new());
    let moved = edit(DOCUMENT, ":9101", ":9102");
    assert_eq!(
        planned(&moved),
        ["upstream moved targets-changed upstream a/own targets.x.url"]
    );
    let slower = edit(DOCUMENT, "{own: {", "{own: {timeouts: {connect: 9s}, ");
    assert_eq!(
        planned(&slower),
        ["policy relax connect-timeout-changed upstream a/own timeouts.connect"]
    );
}

#[test]
fn unused_own_upstream_is_reported_as_removed() {
    let left = edit(
        DOCUMENT,
        "x-gateway: {upstreams: {own: {targets: {x: {url: \"http://127.0.0.1:9101\"}}}}}\n",
        "",
    );
    let left = edit(&left, "{upstream: own}", "{upstream: u}");
    assert_eq!(
        planned(&left),
        [
            "routing moved upstream-changed a/list",
            "upstream changed upstream-removed upstream a/own"
        ]
    );
}
