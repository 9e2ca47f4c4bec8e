//! `gwc replay` with logs of gwd, which name the caller: decisions about access, and the requests
//! that upstreams receive.

use serde_json::{Value, json};

use crate::project::Project;

/// `auth_method` of a caller with an API key.
const KEY: &str = "header x-key by keys";
/// `auth_method` of a caller with a token.
const TOKEN: &str = "bearer by idp";

/// gateway.yaml. `groups`: those of the consumer `bolt`.
fn gateway(groups: &str) -> String {
    format!(
        "version: 1
name: shop
apis: {{a: {{path: a.yaml}}}}
auth:
  keys: {{kind: api_key}}
  idp: {{kind: jwt, issuer: \"https://idp.example.org\", audience: [shop], algorithms: [ES256]}}
consumers:
  acme: {{groups: [staff], keys: [{{sha256: {}}}]}}
  bolt: {{groups: [{groups}], keys: [{{sha256: {}}}]}}
upstreams:
  u: {{targets: {{x: {{url: \"http://127.0.0.1:9000\"}}}}}}
  v: {{targets: {{x: {{url: \"http://127.0.0.1:9001\"}}}}}}
policies:
  staff: {{kind: authorize, groups: [staff]}}
  mark: {{kind: headers, request: {{set: {{X-Mark: \"1\"}}}}}}
  inner: {{kind: ip_filter, allow: [10.0.0.0/8]}}
defaults: {{upstream: u, timeout: 5s}}
",
        "a".repeat(64),
        "b".repeat(64),
    )
}

/// Document with operations of these names. Each is GET `/NAME` with the given members.
fn document(operations: &[(&str, &str)]) -> String {
    let paths = operations.iter().map(|(name, more)| {
        format!(
            "  /{name}: {{get: {{operationId: {name}, {more}, responses: {{\"200\": {{description: fine}}}}}}}}\n"
        )
    });
    let paths: String = paths.collect();
    format!(
        "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\npaths:\n{paths}components:\n  securitySchemes:\n    \
         key: {{type: apiKey, in: header, name: X-Key, x-gateway: {{auth: keys}}}}\n    \
         oauth: {{type: oauth2, flows: {{clientCredentials: {{tokenUrl: \"https://idp.example.org/token\", \
         scopes: {{read: r, write: w}}}}}}, x-gateway: {{auth: idp}}}}\n"
    )
}

const BY_KEY: &str = "security: [{key: []}]";
const PUBLIC: &str = "security: [], x-gateway: {public: true}";

/// Project with the folders `old` and `new`. Each operation has its members on both sides.
fn compared(operations: &[(&str, &str, &str)], groups: [&str; 2]) -> Project {
    let project = Project::empty();
    let olds: Vec<(&str, &str)> = operations.iter().map(|one| (one.0, one.1)).collect();
    let news: Vec<(&str, &str)> = operations.iter().map(|one| (one.0, one.2)).collect();
    for (folder, side, groups) in [("old", olds, groups[0]), ("new", news, groups[1])] {
        std::fs::create_dir(project.file(folder)).unwrap();
        project.write(&format!("{folder}/gateway.yaml"), gateway(groups));
        project.write(&format!("{folder}/a.yaml"), document(&side));
    }
    project
}

/// Line of gwd's log about a request of an operation.
fn line(operation: &str, more: &Value) -> Value {
    let mut line = json!({"timestamp": "x", "http_method": "GET", "host": "a.test",
        "path": format!("/{operation}"), "client_ip": "192.0.2.1", "bundle": "x", "serial": 1});
    let (fields, more) = (line.as_object_mut().unwrap(), more.as_object().unwrap());
    fields.extend(more.clone());
    line
}

fn by_key(operation: &str, consumer: &str) -> Value {
    line(
        operation,
        &json!({"consumer_id": consumer, "auth_method": KEY}),
    )
}

/// Line of NGINX's log, which names no caller.
fn unnamed(operation: &str) -> String {
    format!(
        "192.0.2.1 - - [10/Oct/2026:13:55:36 +0000] \"GET /{operation} HTTP/1.1\" 200 5 \"-\" \"c\""
    )
}

/// Effect and owners of a line: `refused a/x -> not_authorized [strengthen]`, with the classes of
/// lines about access. `same` without a difference.
fn effect(project: &Project, line: &str) -> String {
    project.write("one.log", format!("{line}\n"));
    let arguments = [
        "replay", "one.log", "--old", "old", "--new", "new", "--format", "json",
    ];
    let document = project.run(&arguments).with(0).json("replay/v1");
    assert_eq!(
        (&document["requests"], &document["unread"]),
        (&json!(1), &json!(0)),
        "{line}"
    );
    let Some(group) = document["groups"].get(0) else {
        assert_eq!(document["counts"]["same"], 1, "{document}");
        return "same".to_owned();
    };
    let text = |key: &str| group[key].as_str().unwrap().to_owned();
    let classes: Vec<&str> = group["classes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .filter(|class| *class != "changed")
        .collect();
    format!(
        "{} {} -> {} [{}]",
        text("effect"),
        text("old"),
        text("new"),
        classes.join(" ")
    )
}

#[test]
fn refused_request_of_a_removed_operation_is_same() {
    let internal = "security: [{key: []}], x-gateway: {internal: true}";
    let project = compared(
        &[("gone", BY_KEY, internal), ("kept", BY_KEY, BY_KEY)],
        ["users", "users"],
    );
    let with = |reason: &str| line("gone", &json!({"reason": reason})).to_string();
    let refused = "refused a/gone -> no_route []";
    for (line, expected) in [
        (with("credential_missing"), "same"),
        (with("insufficient_scope"), "same"),
        (with("rate_limited"), refused),
        (with("upstream_timeout"), refused),
        // The log is of a version without the operation.
        (with("no_route"), refused),
        (by_key("gone", "acme").to_string(), refused),
    ] {
        assert_eq!(effect(&project, &line), expected, "{line}");
    }
    // Requests that differ in the reason alone are told apart.
    let served = by_key("gone", "acme").to_string();
    let log = [with("credential_missing"), served, with("token_invalid")].join("\n");
    project.write("gwd.log", log);
    let arguments = ["replay", "gwd.log", "--old", "old", "--new", "new"];
    let arguments = [&arguments[..], &["--format", "json"]].concat();
    let document = project.run(&arguments).with(0).json("replay/v1");
    let counts = &document["counts"];
    assert_eq!(
        (&counts["refused"], &counts["same"]),
        (&json!(1), &json!(2))
    );
}

#[test]
fn caller_of_the_log_is_decided() {
    let staff = "security: [{key: []}], x-gateway: {policies: [staff]}";
    let read = "security: [{oauth: [read]}]";
    let write = "security: [{oauth: [read, write]}]";
    let inner = "security: [{key: []}], x-gateway: {policies: [inner]}";
    let project = compared(
        &[
            ("staff", BY_KEY, staff),
            ("opened", BY_KEY, PUBLIC),
            ("closed", PUBLIC, BY_KEY),
            ("scoped", read, write),
            ("inner", BY_KEY, inner),
            ("kept", BY_KEY, BY_KEY),
        ],
        ["users", "users"],
    );
    let token = |scope: &str| {
        line(
            "scoped",
            &json!({"auth_method": TOKEN, "subject": "s", "scope": scope}),
        )
        .to_string()
    };
    let mut near = by_key("inner", "acme");
    near["client_ip"] = "10.1.2.3".into();
    let mut limited = by_key("staff", "bolt");
    limited["reason"] = "rate_limited".into();
    let missing = |operation: &str| {
        line(
            operation,
            &json!({"reason": "credential_missing", "status": 401}),
        )
        .to_string()
    };
    for (line, expected) in [
        (by_key("staff", "acme").to_string(), "same"),
        (
            by_key("staff", "bolt").to_string(),
            "refused a/staff -> not_authorized [strengthen]",
        ),
        (
            limited.to_string(),
            "refused a/staff -> not_authorized [strengthen]",
        ),
        // The old side does not refuse the caller for this reason, so the log is of another version.
        (
            line(
                "staff",
                &json!({"consumer_id": "bolt", "auth_method": KEY, "reason": "not_authorized"}),
            )
            .to_string(),
            "undetermined a/staff -> a/staff [strengthen]",
        ),
        (
            by_key("staff", "nobody").to_string(),
            "undetermined a/staff -> a/staff [strengthen]",
        ),
        (
            line("staff", &json!({})).to_string(),
            "undetermined a/staff -> a/staff [strengthen]",
        ),
        (
            unnamed("staff"),
            "undetermined a/staff -> a/staff [strengthen]",
        ),
        (
            missing("opened"),
            "served credential_missing -> a/opened [weaken]",
        ),
        (
            by_key("opened", "acme").to_string(),
            "rewritten a/opened -> a/opened [weaken]",
        ),
        (missing("kept"), "same"),
        (
            line("closed", &json!({})).to_string(),
            "undetermined a/closed -> a/closed [strengthen]",
        ),
        (token("read write"), "same"),
        (
            token("read"),
            "refused a/scoped -> insufficient_scope [strengthen]",
        ),
        (
            line("scoped", &json!({"auth_method": TOKEN})).to_string(),
            "undetermined a/scoped -> a/scoped [strengthen]",
        ),
        (
            by_key("inner", "acme").to_string(),
            "refused a/inner -> ip_denied [strengthen]",
        ),
        (near.to_string(), "same"),
        (by_key("kept", "acme").to_string(), "same"),
    ] {
        assert_eq!(effect(&project, &line), expected, "{line}");
    }
}

#[test]
fn requests_of_a_changed_consumer_are_decided() {
    let staff = "security: [{key: []}], x-gateway: {policies: [staff]}";
    let operations = [("staff", staff, staff), ("all", BY_KEY, BY_KEY)];
    let project = compared(&operations, ["staff", "users"]);
    let refused = "refused a/staff -> not_authorized [grant strengthen]";
    for (operation, consumer, expected) in [
        ("staff", "bolt", refused),
        ("staff", "acme", "same"),
        ("all", "bolt", "same"),
    ] {
        let line = by_key(operation, consumer).to_string();
        assert_eq!(effect(&project, &line), expected, "{line}");
    }
    // With one of two keys removed, the log does not show which one the caller used.
    let keys = format!("keys: [{{sha256: {}}}]", "b".repeat(64));
    let two = format!(
        "keys: [{{sha256: {}}}, {{sha256: {}}}]",
        "b".repeat(64),
        "c".repeat(64)
    );
    project.write("old/gateway.yaml", gateway("staff").replace(&keys, &two));
    project.write("new/gateway.yaml", gateway("staff"));
    let line = by_key("all", "bolt").to_string();
    assert_eq!(
        effect(&project, &line),
        "undetermined a/all -> a/all [strengthen]"
    );
    project.write("old/gateway.yaml", gateway("staff"));
    // The key of a removed consumer is not accepted. A renamed consumer keeps its key.
    let without = gateway("staff").replace(
        &format!(
            "  bolt: {{groups: [staff], keys: [{{sha256: {}}}]}}\n",
            "b".repeat(64)
        ),
        "",
    );
    project.write("new/gateway.yaml", without);
    assert!(effect(&project, &line).starts_with("refused a/all -> credential_invalid "));
    project.write(
        "new/gateway.yaml",
        gateway("staff").replace("bolt:", "volt:"),
    );
    assert_eq!(
        effect(&project, &line),
        "rewritten a/all -> a/all [strengthen]"
    );
}

#[test]
fn requests_for_upstreams_are_compared() {
    let with = |more: &str| format!("security: [{{key: []}}], x-gateway: {{{more}}}");
    let (marked, other, slow, path) = (
        with("policies: [mark]"),
        with("upstream: v"),
        with("timeout: 9s"),
        with("rewrite: {path: /new}"),
    );
    let project = compared(
        &[
            ("marked", BY_KEY, &marked),
            ("other", BY_KEY, &other),
            ("slow", BY_KEY, &slow),
            ("path", BY_KEY, &path),
            ("kept", BY_KEY, BY_KEY),
        ],
        ["users", "users"],
    );
    for (operation, effect_name) in [
        ("marked", "rewritten"),
        ("other", "rerouted"),
        ("slow", "changed"),
        ("path", "rewritten"),
        ("kept", "same"),
    ] {
        for line in [unnamed(operation), by_key(operation, "acme").to_string()] {
            let found = effect(&project, &line);
            assert!(found.starts_with(effect_name), "{line}: {found}");
        }
        // The upstream receives no request that the gateway refuses.
        let refused = line(
            operation,
            &json!({"reason": "credential_missing", "status": 401}),
        );
        assert_eq!(
            effect(&project, &refused.to_string()) == "same",
            operation != "slow",
            "{operation}"
        );
    }
}
