//! Listeners: trusted proxies, peers that may connect, and accepted spellings of paths.

use plan::Outcome;

use crate::{DOCUMENT, GATEWAY, edit, lines, plan};

#[test]
fn a_trusted_proxy_more_weakens() {
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
    let told = |old: &str, new: &str| {
        lines(&plan(
            (&listener(old), DOCUMENT),
            (&listener(new), DOCUMENT),
        ))
    };
    let from = ", proxy_protocol: {from: [10.0.0.0/8]}";
    let setting = "listener-setting-changed listener public proxy_protocol.timeout";
    assert_eq!(
        told("", from),
        [
            "security weaken trusted-proxy-added listener public proxy_protocol.from",
            "routing removed peers-refused listener public proxy_protocol",
            &format!("policy changed {setting}"),
        ]
    );
    assert_eq!(
        told(from, ", proxy_protocol: {from: [10.0.0.0/8], timeout: 5s}"),
        [format!("policy relax {setting}")]
    );
    assert_eq!(
        told(from, ", proxy_protocol: {from: [10.0.0.0/9]}"),
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
        let said = format!("listeners: {{public: {{address: \"127.0.0.1:8080\"{header}}}}}\nauth:");
        edit(GATEWAY, "auth:", &said)
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
fn a_listener_that_merges_slashes_is_told() {
    let with = |said: &str| {
        let listeners = format!("listeners: {{public: {{address: \"127.0.0.1:0\"{said}}}}}\n");
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
