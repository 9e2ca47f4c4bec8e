//! Tests of listeners in plans: trusted proxies, peers that may connect, and accepted spellings of
//! paths.

use plan::Outcome;

use crate::{DOCUMENT, GATEWAY, edit, lines, plan};

#[test]
fn additional_trusted_proxy_weakens() {
    let listener = |more: &str| {
        edit(
            GATEWAY,
            "auth:",
            &format!("listeners: {{public: {{address: \"127.0.0.1:8080\"{more}}}}}\nauth:"),
        )
    };
    let lines = lines(&plan(
        (&listener(""), DOCUMENT),
        (&listener(", trusted_proxies: [10.0.0.0/8]"), DOCUMENT),
    ));
    assert_eq!(
        lines,
        ["security weaken trusted-proxy-added listener public trusted_proxies"]
    );
}

#[test]
fn proxy_protocol_added_trusts_addresses_and_exposes() {
    let listener = |header: &str| {
        edit(
            GATEWAY,
            "auth:",
            &format!("listeners: {{public: {{address: \"127.0.0.1:8080\"{header}}}}}\nauth:"),
        )
    };
    let lines_of = |old: &str, new: &str| {
        lines(&plan(
            (&listener(old), DOCUMENT),
            (&listener(new), DOCUMENT),
        ))
    };
    let from = ", proxy_protocol: {from: [10.0.0.0/8]}";
    let setting = "listener-setting-changed listener public proxy_protocol.timeout";
    assert_eq!(
        lines_of("", from),
        [
            "security weaken trusted-proxy-added listener public proxy_protocol.from",
            "routing removed peers-refused listener public proxy_protocol",
            &format!("policy changed {setting}"),
        ]
    );
    assert_eq!(
        lines_of(from, ", proxy_protocol: {from: [10.0.0.0/8], timeout: 5s}"),
        [format!("policy relax {setting}")]
    );
    assert_eq!(
        lines_of(from, ", proxy_protocol: {from: [10.0.0.0/9]}"),
        [
            "security strengthen trusted-proxy-removed listener public proxy_protocol.from",
            "routing removed peers-refused listener public proxy_protocol",
        ]
    );
    let plan = plan((&listener(from), DOCUMENT), (&listener(""), DOCUMENT));
    assert_eq!(
        lines(&plan),
        [
            "security weaken peers-admitted listener public proxy_protocol",
            "security strengthen trusted-proxy-removed listener public proxy_protocol.from",
            &format!("policy changed {setting}"),
        ]
    );
    let witness = plan.changes[0].witness.as_ref().expect("a witness");
    assert_eq!(
        (witness.url.as_str(), &witness.old, witness.peer),
        (
            "http://gateway/status",
            &Outcome::Closed,
            Some([203, 0, 113, 1].into())
        )
    );
    assert_eq!(
        witness.new,
        Outcome::Served {
            operation: "a/getStatus".into(),
            upstream: Some("u".into()),
        }
    );
}

#[test]
fn proxy_protocol_off_exposes_what_needs_a_key() {
    let closed = edit(DOCUMENT, "security: [], x-gateway: {public: true}, ", "");
    let listener = |header: &str| {
        let listeners =
            format!("listeners: {{public: {{address: \"127.0.0.1:8080\"{header}}}}}\nauth:");
        edit(GATEWAY, "auth:", &listeners)
    };
    let plan = plan(
        (&listener(", proxy_protocol: {from: [10.0.0.0/8]}"), &closed),
        (&listener(""), &closed),
    );
    assert!(
        lines(&plan)
            .contains(&"security expose peers-admitted listener public proxy_protocol".to_owned()),
        "{:?}",
        lines(&plan)
    );
    let admitted = plan
        .changes
        .iter()
        .find(|change| change.id == "peers-admitted");
    let witness = admitted.and_then(|change| change.witness.as_ref());
    let witness = witness.expect("a witness");
    assert_eq!(witness.old, Outcome::Closed);
    assert!(matches!(witness.new, Outcome::Served { .. }), "{witness:?}");
}

#[test]
fn proxies_that_a_new_listener_trusts_weaken() {
    let trusting = edit(
        GATEWAY,
        "auth:",
        "listeners: {public: {address: \"127.0.0.1:8080\"}, inner: {address: \"127.0.0.1:8081\", trusted_proxies: [0.0.0.0/0]}}\nauth:",
    );
    let more = lines(&plan((GATEWAY, DOCUMENT), (&trusting, DOCUMENT)));
    assert!(
        more.contains(
            &"security weaken trusted-proxy-added listener inner trusted_proxies".to_owned()
        ),
        "{more:?}"
    );
}

#[test]
fn listener_that_merges_slashes_weakens() {
    let with = |settings: &str| {
        let listeners = format!("listeners: {{public: {{address: \"127.0.0.1:0\"{settings}}}}}\n");
        format!("{GATEWAY}{listeners}")
    };
    let plan = plan(
        (&with(""), DOCUMENT),
        (&with(", merge_slashes: true"), DOCUMENT),
    );
    assert_eq!(
        lines(&plan),
        ["security weaken listener-setting-changed listener public merge_slashes"]
    );
}

/// Keys below a node of a schema, each with its path. The keys of maps are `*`.
fn keys_below(node: &serde_json::Value, path: &str, keys: &mut Vec<String>) {
    let variants = node["anyOf"].as_array().into_iter().flatten();
    let nodes = variants.chain([node]);
    let is_object = |one: &&serde_json::Value| {
        one["properties"].is_object() || one["additionalProperties"].is_object()
    };
    let Some(object) = nodes.into_iter().find(is_object) else {
        keys.push(path.to_owned());
        return;
    };
    for (key, below) in object["properties"].as_object().into_iter().flatten() {
        keys_below(below, &format!("{path}.{key}"), keys);
    }
    if object["additionalProperties"].is_object() {
        keys_below(&object["additionalProperties"], &format!("{path}.*"), keys);
    }
}

#[test]
fn each_key_of_a_listeners_tls_has_its_class() {
    let all = "certificates: {main: {cert: \"${file:/t/c}\", key: \"${file:/t/k}\"}}, min_version: \"1.3\", client_auth: {ca: \"${file:/t/ca}\", crl: \"${file:/t/crl}\", mode: required}";
    let listener = |tls: &str| {
        let listener = format!(
            "listeners: {{public: {{address: \"127.0.0.1:8080\", protocol: https, tls: {{{tls}}}}}}}\nauth:"
        );
        edit(GATEWAY, "auth:", &listener)
    };
    let line_of = |old: &str, new: &str| {
        let lines = lines(&plan(
            (&listener(old), DOCUMENT),
            (&listener(new), DOCUMENT),
        ));
        // Skip the separate line about the reference to the secret.
        let mut lines = lines.into_iter();
        lines
            .find(|line| line.contains("listener public tls") && !line.contains("secret-flow"))
            .unwrap_or_default()
    };
    let mut decided = Vec::new();
    for (key, from, to, line) in [
        (
            "certificates.*.cert",
            "/t/c}",
            "/t/c2}",
            "policy changed listener-setting-changed",
        ),
        (
            "certificates.*.key",
            "/t/k}",
            "/t/k2}",
            "security incomparable listener-key-changed",
        ),
        (
            "min_version",
            "1.3",
            "1.2",
            "security weaken listener-tls-version-changed",
        ),
        (
            "client_auth.ca",
            "/t/ca}",
            "/t/ca2}",
            "security incomparable client-authority-changed",
        ),
        (
            "client_auth.crl",
            "/t/crl}",
            "/t/crl2}",
            "security incomparable client-revocation-changed",
        ),
        (
            "client_auth.mode",
            "required",
            "optional",
            "security weaken client-auth-changed",
        ),
    ] {
        let found = line_of(all, &all.replace(from, to));
        assert!(found.starts_with(line), "{key}: {found}");
        decided.push(format!("tls.{key}"));
    }
    let second = "}, b: {cert: \"${file:/t/c}\", key: \"${file:/t/k2}\"}}, min";
    let more = all.replace("}}, min", second);
    assert!(line_of(all, &more).starts_with("security weaken listener-key-changed"));
    assert!(line_of(&more, all).starts_with("security strengthen listener-key-changed"));
    let renamed = line_of(all, &all.replace("main:", "other:"));
    assert!(renamed.starts_with("policy changed "), "{renamed}");
    // The table must contain every key of the schema.
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../schemas/gateway.schema.json"
    );
    let schema = std::fs::read_to_string(path).expect("the schema");
    let schema: serde_json::Value = serde_json::from_str(&schema).expect("JSON");
    let mut keys = Vec::new();
    keys_below(&schema["properties"]["listeners"], "listeners", &mut keys);
    let tls = keys
        .iter()
        .filter_map(|key| key.strip_prefix("listeners.*."));
    let mut tls: Vec<&str> = tls.filter(|key| key.starts_with("tls.")).collect();
    tls.sort_unstable();
    decided.sort();
    assert_eq!(tls, decided);
}
