//! Upstreams that a document defines itself, before and after a change. Also copies of upstreams.

use crate::gates::UPSTREAM;
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

#[test]
fn copy_of_an_upstream_adds_to_its_limit() {
    let limited = "u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}, limits: {requests: 10}}";
    let old = edit(GATEWAY, UPSTREAM, limited);
    let copy = limited.replacen("u:", "w:", 1);
    let both = edit(&old, limited, &format!("{limited}\n  {copy}"));
    let moved = edit(
        crate::DOCUMENT,
        "operationId: getOrder,",
        "operationId: getOrder, x-gateway: {upstream: w},",
    );
    let line =
        "policy relax upstream-setting-changed upstream w limits.requests, all of 127.0.0.1:9000";
    let is_reported = |old: (&str, &str), new: (&str, &str)| {
        let found = lines(&plan(old, new));
        found.iter().any(|found| found == line)
    };
    assert!(is_reported((&old, crate::DOCUMENT), (&both, &moved)));
    assert!(!is_reported((&both, &moved), (&old, crate::DOCUMENT)));
    // No operation uses the copy.
    assert!(!is_reported(
        (&old, crate::DOCUMENT),
        (&both, crate::DOCUMENT)
    ));
    // The upstream is only renamed.
    let renamed = edit(&old, limited, &copy);
    let renamed = edit(&renamed, "upstream: u,", "upstream: w,");
    assert!(!is_reported(
        (&old, crate::DOCUMENT),
        (&renamed, crate::DOCUMENT)
    ));
}
