//! Tests of plans for consumers that own tokens, by issuer and subject or by issuer and client.

use crate::{edit, lines, plan};

const GATEWAY: &str = r#"version: 1
name: shop
apis: {a: {path: api.yaml}}
upstreams: {u: {targets: {a: {url: "http://127.0.0.1:9000"}}}}
auth:
  tokens: {kind: jwt, issuer: i, audience: [a], algorithms: [EdDSA], jwks: {keys: [{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}]}}
  keys: {kind: api_key}
consumers:
  acme: {groups: [gold], tokens: [{issuer: i, client: acme-app}]}
  ends: {tokens: [{issuer: i, subject: late, not_after: 2027-01-01}]}
policies:
  each: {kind: rate_limit, limit: 10/s, key: consumer}
  gold: {kind: authorize, groups: [gold]}
defaults: {upstream: u, policies: [each, gold]}
"#;

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: t, version: "1"}
paths:
  /tokens: {get: {operationId: tokens, security: [{tokens: []}], responses: {"200": {description: fine}}}}
components:
  securitySchemes:
    tokens: {type: http, scheme: bearer, x-gateway: {auth: tokens, forward_as: X-Caller}}
    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}
"#;

/// Lines of the plan for an edit of the gateway.
fn planned(from: &str, to: &str) -> Vec<String> {
    lines(&plan(
        (GATEWAY, DOCUMENT),
        (&edit(GATEWAY, from, to), DOCUMENT),
    ))
}

const ACME: &str = "[{issuer: i, client: acme-app}]";

#[test]
fn new_holder_is_granted() {
    for more in [
        "[{issuer: i, client: acme-app}, {issuer: i, client: other}]",
        "[{issuer: i, client: acme-app}, {issuer: i, subject: acme-app}]",
        "[{issuer: i, client: acme-app}, {issuer: j, client: acme-app}]",
    ] {
        assert_eq!(
            planned(ACME, more),
            ["security grant credential-added consumer acme"]
        );
    }
    // The order of the entries makes no difference.
    let two = "[{issuer: i, client: acme-app}, {issuer: i, subject: s}]";
    let turned = "[{issuer: i, subject: s}, {issuer: i, client: acme-app}]";
    let (old, new) = (edit(GATEWAY, ACME, two), edit(GATEWAY, ACME, turned));
    assert_eq!(lines(&plan((&old, DOCUMENT), (&new, DOCUMENT))), [""; 0]);
}

#[test]
fn removed_holder_stays_admitted_alone() {
    let kept = [
        "security incomparable credential-removed consumer acme",
        "security incomparable identity-field-changed consumer acme request header x-caller",
        "policy relax limit-key-changed policy each key, consumer acme",
    ];
    assert_eq!(planned(ACME, "[]"), kept);
    // The entry is valid until the end of 2027-01-01. Without the entry, its tokens are admitted
    // after that day, too.
    let found = planned("[{issuer: i, subject: late, not_after: 2027-01-01}]", "[]");
    let granted = "security grant credential-removed consumer ends".to_owned();
    assert!(found.contains(&granted), "{found:?}");
    // The client moves to another consumer.
    let moved = edit(GATEWAY, ACME, "[]");
    let ends = "[{issuer: i, subject: late, not_after: 2027-01-01}";
    let moved = edit(
        &moved,
        ends,
        &format!("{ends}, {{issuer: i, client: acme-app}}"),
    );
    assert_eq!(
        lines(&plan((GATEWAY, DOCUMENT), (&moved, DOCUMENT))),
        [
            "security grant credential-added consumer ends",
            "security strengthen credential-removed consumer acme",
        ]
    );
    // A gateway without verifiers of tokens admits none.
    let keys = |gateway: &str| {
        let start = gateway.find("  tokens: {kind").expect("a verifier");
        let end = start + gateway[start..].find('\n').expect("a line") + 1;
        format!("{}{}", &gateway[..start], &gateway[end..])
    };
    let document = edit(DOCUMENT, "[{tokens: []}]", "[{key: []}]");
    let at = document.find("    tokens: {type").expect("a scheme");
    let end = at + document[at..].find('\n').expect("a line") + 1;
    let document = format!("{}{}", &document[..at], &document[end..]);
    let (old, new) = (keys(GATEWAY), keys(&edit(GATEWAY, ACME, "[]")));
    assert_eq!(
        lines(&plan((&old, &document), (&new, &document))),
        ["security strengthen credential-removed consumer acme"]
    );
}

#[test]
fn later_end_of_a_holder_is_granted() {
    for (end, line) in [
        ("2028-01-01", "grant credential-prolonged"),
        ("2026-01-01", "strengthen credential-shortened"),
    ] {
        assert_eq!(
            planned("2027-01-01", end),
            [format!("security {line} consumer ends")]
        );
    }
}

#[test]
fn notes_of_a_consumer_are_no_right() {
    let noted = "acme: {metadata: {contact: ops, ticket: \"7\"}, groups:";
    let with = edit(GATEWAY, "acme: {groups:", noted);
    let changed = |old: &str, new: &str| lines(&plan((old, DOCUMENT), (new, DOCUMENT)));
    assert_eq!(
        changed(GATEWAY, &with),
        [
            "policy changed consumer-changed consumer acme metadata.contact",
            "policy changed consumer-changed consumer acme metadata.ticket",
        ]
    );
    let other = edit(&with, "contact: ops", "contact: dev");
    assert_eq!(
        changed(&with, &other),
        ["policy changed consumer-changed consumer acme metadata.contact"]
    );
}

#[test]
fn expression_reads_the_owner_of_a_token() {
    let gateway = edit(
        GATEWAY,
        "gold: {kind: authorize, groups: [gold]}",
        "gold: {kind: authorize, expression: \"auth.consumer != 'acme'\"}",
    );
    let moved = edit(&gateway, ACME, "[]");
    let ends = "[{issuer: i, subject: late, not_after: 2027-01-01}";
    let moved = edit(
        &moved,
        ends,
        &format!("{ends}, {{issuer: i, client: acme-app}}"),
    );
    let found = lines(&plan((&gateway, DOCUMENT), (&moved, DOCUMENT)));
    assert!(
        found.iter().any(|line| line.contains("a/tokens")),
        "{found:?}"
    );
}
