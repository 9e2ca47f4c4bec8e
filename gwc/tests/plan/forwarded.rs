//! Credentials, and fields that override path or method, that upstreams start or stop to receive.

use crate::{DOCUMENT, GATEWAY, edit, lines, plan};

/// Lines with this id: of the change, and of the reverse change.
fn both(id: &str, old: &str, new: &str) -> [Vec<String>; 2] {
    let about = |old: &str, new: &str| {
        let all = lines(&plan((GATEWAY, old), (GATEWAY, new)));
        let about = all.into_iter().filter(|line| line.contains(id));
        about.collect::<Vec<_>>()
    };
    [about(old, new), about(new, old)]
}

/// Document with a public operation and other settings of its security scheme.
fn beside_public(settings: &str) -> String {
    let public = edit(
        DOCUMENT,
        "{operationId: listOrders,",
        "{operationId: listOrders, security: [{}], x-gateway: {public: true},",
    );
    edit(&public, "x-gateway: {auth: keys}", settings)
}

#[test]
fn stripping_applies_to_operations_without_the_key() {
    let kept = beside_public("x-gateway: {auth: keys}");
    let stripped = beside_public("x-gateway: {auth: keys, strip_credential: true}");
    let [forwards, backwards] = both("credential-", &kept, &stripped);
    for (lines, class) in [(forwards, "strengthen"), (backwards, "weaken")] {
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(class), "{lines:?}");
        assert!(lines[0].contains("a/listOrders"), "{lines:?}");
        assert!(lines[0].contains("a/getOrder"), "{lines:?}");
    }
}

#[test]
fn removed_requirement_keeps_its_key_stripped() {
    let stripped = edit(
        DOCUMENT,
        "x-gateway: {auth: keys}",
        "x-gateway: {auth: keys, strip_credential: true}",
    );
    let public = beside_public("x-gateway: {auth: keys, strip_credential: true}");
    assert_eq!(both("credential-", &stripped, &public), [[""; 0], [""; 0]]);
}

#[test]
fn added_requirement_may_forward_a_key() {
    let stripped = edit(
        DOCUMENT,
        "x-gateway: {auth: keys}",
        "x-gateway: {auth: keys, strip_credential: true}",
    );
    let two = edit(
        &stripped,
        "    pair:",
        "    raw: {type: apiKey, in: header, name: X-Key, x-gateway: {verify: upstream}}\n    pair:",
    );
    let asked = edit(
        &two,
        "security: [], x-gateway: {public: true},",
        "security: [{raw: []}],",
    );
    let [forwards, backwards] = both("credential-", &two, &asked);
    for (lines, class) in [(forwards, "weaken"), (backwards, "strengthen")] {
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(class), "{lines:?}");
        assert!(lines[0].ends_with("a/getStatus"), "{lines:?}");
    }
}

#[test]
fn place_that_comes_with_its_requirement_has_no_line() {
    let bearer = edit(
        DOCUMENT,
        "    pair:",
        "    token: {type: http, scheme: bearer, x-gateway: {auth: keys, strip_credential: true}}\n    pair:",
    );
    let asked = edit(
        &bearer,
        "security: [], x-gateway: {public: true},",
        "security: [{token: []}],",
    );
    // Operations that do not require the new scheme no longer forward its credentials, and are
    // reported.
    let [forwards, backwards] = both("credential-", DOCUMENT, &asked);
    for (lines, class) in [(forwards, "strengthen"), (backwards, "weaken")] {
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(class), "{lines:?}");
        assert!(!lines[0].contains("a/getStatus"), "{lines:?}");
    }
}

#[test]
fn parameter_kept_from_the_upstream_is_moved() {
    let with = |forward: &str| {
        let parameters = format!(
            "{{operationId: listOrders, parameters: [{{name: debug, in: query, schema: {{type: string}}{forward}}}],"
        );
        edit(DOCUMENT, "{operationId: listOrders,", &parameters)
    };
    let (forwarded, kept) = (with(""), with(", x-gateway: {forward: false}"));
    let changes = both("operation-setting-changed", &forwarded, &kept);
    for lines in changes {
        let expected = "policy moved operation-setting-changed a/listOrders";
        assert_eq!(lines, [expected]);
    }
    let default = with(", x-gateway: {forward: true}");
    assert_eq!(both("", &forwarded, &default), [[""; 0], [""; 0]]);
}

#[test]
fn declared_override_field_weakens() {
    let declared = edit(
        DOCUMENT,
        "{operationId: listOrders,",
        "{operationId: listOrders, parameters: [{name: X-Original-URL, in: header, schema: {type: string}}, \
         {name: X-Other, in: header, schema: {type: string}}],",
    );
    let [forwards, backwards] = both("operation-setting-changed", DOCUMENT, &declared);
    for (lines, class) in [(forwards, "weaken"), (backwards, "strengthen")] {
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(class), "{lines:?}");
        assert!(lines[0].contains("a/listOrders"), "{lines:?}");
    }
}
