//! Tests of effective destinations: the policies of a chain that decide where requests and clients
//! are sent.

use crate::gates::{UPSTREAM, both, gateway, upstream};
use crate::{DOCUMENT, GATEWAY, edit, lines, plan};

const EDGE: &str = "edge: {kind: headers, response: {remove: [Server]}}";

/// gateway.yaml with further policies and a chain of policies.
fn chain(policies: &str, names: &str) -> String {
    let text = edit(GATEWAY, "policies:\n", &format!("policies:\n{policies}"));
    edit(&text, "[slow, edge]", names)
}

const CHAINS: [(&str, &str); 6] = [
    (
        "{kind: split, among: [{upstream: u}]}",
        "{kind: split, among: [{upstream: v}]}",
    ),
    (
        "{kind: redirect, host: a.example}",
        "{kind: redirect, host: b.example}",
    ),
    (
        "{kind: respond, status: 200, body: x}",
        "{kind: respond, status: 302, headers: {Location: \"https://b.example/\"}}",
    ),
    (
        "{kind: respond, status: 200, body: x}",
        "{kind: redirect, host: b.example}",
    ),
    (
        "{kind: headers, response: {set: {Location: \"https://a.example/\"}}}",
        "{kind: headers, response: {set: {Location: \"https://b.example/\"}}}",
    ),
    (
        "{kind: rewrite, path: \"/a{path}\"}",
        "{kind: rewrite, path: \"/b{path}\"}",
    ),
];

#[test]
fn order_that_changes_the_destination_moves() {
    for (first, second) in CHAINS {
        let policies = format!("  one: {first}\n  two: {second}\n");
        both(
            "traffic-moved",
            (&chain(&policies, "[one, two]"), DOCUMENT),
            (&chain(&policies, "[two, one]"), DOCUMENT),
            ("moved", "moved"),
        );
    }
}

#[test]
fn required_order_that_changes_the_destination_moves() {
    let (first, second) = CHAINS[1];
    let required = |names: &str| {
        let text = chain(&format!("  one: {first}\n  two: {second}\n"), "[slow]");
        format!("{text}required: {{policies: [{names}]}}\n")
    };
    both(
        "traffic-moved",
        (&required("one, two"), DOCUMENT),
        (&required("two, one"), DOCUMENT),
        ("moved", "moved"),
    );
}

#[test]
fn order_with_the_same_destination_is_no_move() {
    for policies in [
        "  one: {kind: mirror, upstream: v}\n  two: {kind: mirror, upstream: u}\n",
        "  one: {kind: split, among: [{upstream: v}]}\n  two: {kind: split, among: [{upstream: v}]}\n",
        "  one: {kind: rewrite, path: /a}\n  two: {kind: rewrite, host: b.example}\n",
    ] {
        let sides = (chain(policies, "[one, two]"), chain(policies, "[two, one]"));
        let found = lines(&plan((&sides.0, DOCUMENT), (&sides.1, DOCUMENT)));
        assert!(
            found
                .iter()
                .all(|line| line.starts_with("policy changed policies-changed")),
            "{found:?}"
        );
    }
}

#[test]
fn location_of_the_upstream_again_moves() {
    let edge = |response: &str| format!("edge: {{kind: headers, response: {{{response}}}}}");
    gateway(
        "traffic-moved",
        EDGE,
        (
            &edge("remove: [Location, Server]"),
            &edge("remove: [Server]"),
        ),
        ("moved", "moved"),
    );
    let text = edit(GATEWAY, EDGE, &edge("remove: [Location]"));
    both(
        "traffic-moved",
        (&text, DOCUMENT),
        (&edit(&text, "[slow, edge]", "[slow]"), DOCUMENT),
        ("moved", "moved"),
    );
}

#[test]
fn location_without_rewrite_responses_moves() {
    gateway(
        "upstream-setting-changed",
        UPSTREAM,
        (&upstream(", rewrite_responses: [location]"), UPSTREAM),
        ("moved", "moved"),
    );
    gateway(
        "upstream-setting-changed",
        UPSTREAM,
        (&upstream(", rewrite_responses: [cookies]"), UPSTREAM),
        ("incomparable", "incomparable"),
    );
}

#[test]
fn redirect_with_other_status_or_query_moves() {
    let with = |more: &str| {
        chain(
            &format!("  away: {{kind: redirect, host: b.example{more}}}\n"),
            "[slow, edge, away]",
        )
    };
    for (old, new) in [
        ("", ", status: 302"),
        (", keep_query: false", ", keep_query: true"),
    ] {
        both(
            "traffic-moved",
            (&with(old), DOCUMENT),
            (&with(new), DOCUMENT),
            ("moved", "moved"),
        );
    }
    let respond = |status: u16| {
        chain(
            &format!("  away: {{kind: respond, status: {status}, headers: {{Location: /b}}}}\n"),
            "[slow, edge, away]",
        )
    };
    both(
        "traffic-moved",
        (&respond(200), DOCUMENT),
        (&respond(302), DOCUMENT),
        ("moved", "moved"),
    );
    // With 307 and 308, clients send method and body again.
    for (old, new, class) in [
        (302, 307, "moved"),
        (303, 308, "moved"),
        (301, 303, "changed"),
        (307, 308, "changed"),
    ] {
        let (was, is) = (respond(old), respond(new));
        let id = match class {
            "moved" => "traffic-moved",
            _ => "policy-changed",
        };
        both(id, (&was, DOCUMENT), (&is, DOCUMENT), (class, class));
    }
}

#[test]
fn retries_that_ignore_retry_after_are_relax() {
    gateway(
        "upstream-setting-changed",
        UPSTREAM,
        (
            &upstream(", retries: {attempts: 2, respect_retry_after: true}"),
            &upstream(", retries: {attempts: 2}"),
        ),
        ("relax", "tighten"),
    );
}

#[test]
fn cors_max_age_is_compared_with_its_default() {
    let with = |more: &str| {
        chain(
            &format!("  web: {{kind: cors, origins: [\"https://a.example\"]{more}}}\n"),
            "[slow, edge, web]",
        )
    };
    both(
        "policy-changed",
        (&with(""), DOCUMENT),
        (&with(", max_age: 600s"), DOCUMENT),
        ("relax", "tighten"),
    );
}

#[test]
fn client_certificate_of_the_gateway_is_access() {
    let tls = |name: &str| {
        let own = match name {
            "" => String::new(),
            name => format!(
                "client_cert: {{cert: \"${{file:/run/{name}.pem}}\", key: \"${{file:/run/{name}.key}}\"}}"
            ),
        };
        format!(
            "u: {{targets: {{a: {{url: \"https://shop.example\"}}}}, tls: {{sni: shop.example, {own}}}}}"
        )
    };
    for (old, new, classes) in [
        ("a", "b", ("incomparable", "incomparable")),
        ("a", "", ("weaken", "incomparable")),
    ] {
        gateway(
            "upstream-client-certificate-changed",
            UPSTREAM,
            (&tls(old), &tls(new)),
            classes,
        );
    }
}

#[test]
fn fields_about_page_and_path_are_identity() {
    for name in [
        "X-Rewrite-URL",
        "X_HTTP_Method",
        "X-Method-Override",
        "Origin",
        "Referer",
        "Sec-Fetch-Site",
    ] {
        let with = format!(
            "edge: {{kind: headers, request: {{set: {{{name}: x}}}}, response: {{remove: [Server]}}}}"
        );
        gateway(
            "identity-field-changed",
            EDGE,
            (EDGE, &with),
            ("incomparable", "incomparable"),
        );
    }
}

#[test]
fn shares_per_request_instead_of_per_caller_move() {
    let gateway = |more: &str| {
        let split =
            format!("  canary: {{kind: split{more}, among: [{{upstream: u}}, {{upstream: v}}]}}\n");
        chain(&split, "[slow, canary]")
    };
    let (callers, requests) = (gateway(""), gateway(", sticky: false"));
    let plan = plan((&callers, DOCUMENT), (&requests, DOCUMENT));
    assert_eq!(
        lines(&plan),
        ["policy moved traffic-moved policy canary sticky"]
    );
    both(
        "traffic-moved",
        (&callers, DOCUMENT),
        (&requests, DOCUMENT),
        ("moved", "moved"),
    );
}
