//! Tests of changes that start or end the forwarding of credentials to an upstream. The same holds
//! for fields that override the path or method.

use crate::{DOCUMENT, GATEWAY, edit, lines, plan};

/// Lines with this id in the plan of a change, and in the plan of the reverse change.
fn both(id: &str, old: &str, new: &str) -> [Vec<String>; 2] {
    let about = |old: &str, new: &str| {
        let all = lines(&plan((GATEWAY, old), (GATEWAY, new)));
        let about = all.into_iter().filter(|line| line.contains(id));
        about.collect::<Vec<_>>()
    };
    [about(old, new), about(new, old)]
}

/// Document with a public operation, and with these settings of the security scheme.
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
    // Callers of a public operation can omit the key. Callers of other operations cannot.
    for (lines, operation, class) in [
        (&forwards, "a/listOrders", "strengthen"),
        (&forwards, "a/getOrder", "incomparable"),
        (&backwards, "a/listOrders", "weaken"),
        (&backwards, "a/getOrder", "weaken"),
    ] {
        let mut about = lines.iter().filter(|line| line.contains(operation));
        let line = about.next().map_or("", String::as_str);
        assert!(line.contains(class), "{operation} {lines:?}");
        assert!(about.next().is_none(), "{operation} {lines:?}");
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
    let required = edit(
        &two,
        "security: [], x-gateway: {public: true},",
        "security: [{raw: []}],",
    );
    let [forwards, backwards] = both("credential-", &two, &required);
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
    let required = edit(
        &bearer,
        "security: [], x-gateway: {public: true},",
        "security: [{token: []}],",
    );
    // Operations that do not require the new scheme no longer forward its credentials, and are
    // reported.
    let [forwards, backwards] = both("credential-", DOCUMENT, &required);
    for (lines, class) in [(forwards, "strengthen"), (backwards, "weaken")] {
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(class), "{lines:?}");
        assert!(!lines[0].contains("a/getStatus"), "{lines:?}");
    }
}

/// Two documents in which `listOrders` has this parameter. The second document sets `forward:
/// false` for it.
fn with_parameter(parameter: &str) -> [String; 2] {
    let with = |forward: &str| {
        let parameters = format!(
            "{{operationId: listOrders, parameters: [{{{parameter}, schema: {{type: string}}{forward}}}],"
        );
        edit(DOCUMENT, "{operationId: listOrders,", &parameters)
    };
    [with(""), with(", x-gateway: {forward: false}")]
}

#[test]
fn parameter_that_the_upstream_receives_weakens() {
    for place in ["query", "cookie"] {
        let [forwarded, kept] = with_parameter(&format!("name: debug, in: {place}"));
        let [adds, removes] = both("operation-setting-changed", &forwarded, &kept);
        assert_eq!(
            adds,
            ["security strengthen operation-setting-changed a/listOrders"]
        );
        assert_eq!(
            removes,
            ["security weaken operation-setting-changed a/listOrders"]
        );
    }
    let [forwarded, _] = with_parameter("name: debug, in: query");
    let [default, _] = with_parameter("name: debug, in: query, x-gateway: {forward: true}");
    assert_eq!(both("", &forwarded, &default), [[""; 0], [""; 0]]);
}

#[test]
fn header_parameter_is_compared_as_a_removed_field() {
    for (name, classes) in [
        ("X-Debug", ["strengthen", "weaken"]),
        ("X-User", ["strengthen", "weaken"]),
        ("X-HTTP-Method-Override", ["strengthen", "weaken"]),
        // A request without the field may be admitted by the upstream.
        ("X-CSRF-Token", ["incomparable", "incomparable"]),
        ("If-Match", ["incomparable", "incomparable"]),
    ] {
        let [forwarded, kept] = with_parameter(&format!("name: {name}, in: header"));
        let lines = both("identity-field-changed", &forwarded, &kept);
        for (lines, class) in lines.into_iter().zip(classes) {
            let expected = format!("security {class} identity-field-changed a/listOrders");
            assert_eq!(lines, [expected], "{name}");
        }
    }
}

/// The upstream has never received a request without the credential, and may serve such a request.
#[test]
fn removed_credential_may_admit_more() {
    for (place, name) in [("query", "key"), ("header", "X-Other-Key")] {
        let with = |forward: &str| {
            let scheme = format!(
                "    other: {{type: apiKey, in: {place}, name: {name}, x-gateway: {{auth: keys}}}}\n    pair:"
            );
            let document = edit(DOCUMENT, "    pair:", &scheme);
            edit(
                &document,
                "{operationId: listOrders,",
                &format!(
                    "{{operationId: listOrders, security: [{{other: []}}], parameters: [{{name: {name}, in: {place}, schema: {{type: string}}{forward}}}],"
                ),
            )
        };
        let (forwarded, kept) = (with(""), with(", x-gateway: {forward: false}"));
        let [removes, adds] = both("security", &forwarded, &kept);
        assert!(
            removes[0].starts_with("security incomparable "),
            "{removes:?}"
        );
        let classes = ["security weaken ", "security incomparable "];
        let trips = classes.iter().any(|class| adds[0].starts_with(class));
        assert!(trips, "{adds:?}");
    }
}

#[test]
fn less_hidden_parameter_in_the_log_weakens() {
    let with = |name: &str, log: &str| {
        let parameters = format!(
            "{{operationId: listOrders, parameters: [{{name: {name}, in: query, schema: {{type: string}}{log}}}],"
        );
        edit(DOCUMENT, "{operationId: listOrders,", &parameters)
    };
    let form = |form: &str| format!(", x-gateway: {{log: {form}}}");
    for (name, less, more) in [
        ("email", String::new(), form("redact")),
        ("email", String::new(), form("hash")),
        ("email", form("hash"), form("redact")),
        ("code", form("keep"), String::new()),
    ] {
        let sides = [with(name, &less), with(name, &more)];
        let [hides, shows] = both("operation-setting-changed", &sides[0], &sides[1]);
        for (lines, class) in [(hides, "strengthen"), (shows, "weaken")] {
            let expected = format!("security {class} operation-setting-changed a/listOrders");
            assert_eq!(lines, [expected], "{name}{less} {more}");
        }
    }
    let usual = [("email", "keep"), ("code", "redact")];
    for (name, word) in usual {
        let sides = [with(name, ""), with(name, &form(word))];
        assert_eq!(both("", &sides[0], &sides[1]), [[""; 0], [""; 0]], "{name}");
    }
}

#[test]
fn value_that_is_no_longer_redacted_weakens() {
    let with = |schema: &str| {
        let body = format!(
            "{{operationId: listOrders, requestBody: {{content: {{application/json: {{schema: {schema}}}}}}},"
        );
        edit(DOCUMENT, "{operationId: listOrders,", &body)
    };
    let shown = with("{properties: {a: {}, b: {items: {}}}}");
    let redacted = with("{properties: {a: {}, b: {items: {x-gateway: {redact: true}}}}}");
    let [hides, shows] = both("operation-setting-changed", &shown, &redacted);
    assert_eq!(
        hides,
        ["security strengthen operation-setting-changed a/listOrders"]
    );
    assert_eq!(
        shows,
        ["security weaken operation-setting-changed a/listOrders"]
    );
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
