//! Tests of findings about credentials that the gateway removes, or that browser pages cannot send.

use model::compile;
use sources::project::files::Files;
use sources::syntax::Limits;

const GATEWAY: &str = "version: 1
name: s
apis: {a: {path: api.yaml}}
auth: {keys: {kind: api_key}, staff: {kind: basic}}
upstreams:
  u: {targets: {x: {url: \"http://127.0.0.1:9000\"}}}
  v: {targets: {x: {url: \"http://127.0.0.1:9001\"}}, lb: maglev, hash_on: \"header:X-Key\"}
policies:
  web: {kind: cors, origins: [\"https://app.example\"], headers: [Content-Type]}
  slow: {kind: rate_limit, limit: 1/s, key: consumer}
defaults: {upstream: u, timeout: 5s}
";

const DOCUMENT: &str = "openapi: 3.1.0
info: {title: t, version: \"1\"}
security: [{key: []}]
paths:
  /a: {get: {operationId: a, x-gateway: {policies: [web, slow]}, responses: {\"200\": {description: ok}}}}
  /b: {get: {operationId: b, x-gateway: {upstream: v}, responses: {\"200\": {description: ok}}}}
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}
    cookie: {type: apiKey, in: cookie, name: sid, x-gateway: {auth: keys}}
    basic: {type: http, scheme: basic, x-gateway: {auth: staff}}
";

/// Messages of a rule after edits of gateway.yaml and of the document, each a pair of old and new
/// text.
fn messages_of(rule: &str, gateway: &[(&str, &str)], document: &[(&str, &str)]) -> Vec<String> {
    let edited = |text: &str, edits: &[(&str, &str)]| {
        edits.iter().fold(text.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from} is not in the text");
            text.replacen(from, to, 1)
        })
    };
    let (gateway, document) = (edited(GATEWAY, gateway), edited(DOCUMENT, document));
    let files = [("gateway.yaml", &*gateway), ("api.yaml", &*document)];
    let compiled = compile::project(Files::in_memory(files, Limits::default()), &Vec::new());
    let findings = compiled.findings.into_iter();
    let findings = findings.filter(|one| one.lint.name == rule);
    findings.map(|one| one.message).collect()
}

#[test]
fn preflight_that_refuses_a_credential_is_found() {
    let messages = |gateway: &[(&str, &str)], document: &[(&str, &str)]| {
        messages_of("credential-not-in-preflight", gateway, document)
    };
    let security = |to: &'static str| ("security: [{key: []}]", to);
    let one = |field: &str| {
        vec![format!(
            "pages cannot send the credential of `a/a`: `web` does not allow `{field}`"
        )]
    };
    assert_eq!(messages(&[], &[]), one("x-key"));
    assert_eq!(
        messages(&[], &[security("security: [{basic: []}]")]),
        one("authorization")
    );
    // Both credentials are required together.
    assert_eq!(
        messages(&[], &[security("security: [{cookie: [], key: []}]")]),
        one("x-key")
    );
    for headers in ["[X-KEY]", "[\"*\"]"] {
        assert_eq!(messages(&[("[Content-Type]", headers)], &[]), [""; 0]);
    }
    // Browser pages can send one of the alternative credentials.
    for security in [
        "security: [{key: []}, {cookie: []}]",
        "security: [{key: []}, {}]",
    ] {
        let public = ("x-gateway: {policies", "x-gateway: {public: true, policies");
        let document = [("security: [{key: []}]", security), public];
        assert_eq!(messages(&[], &document), [""; 0], "{security}");
    }
    // If the policy applies to several operations, the finding names all these operations.
    let both = [("x-gateway: {upstream: v}", "x-gateway: {policies: [web]}")];
    assert_eq!(
        messages(&[], &both),
        ["pages cannot send the credential of `a/a`, `a/b`: `web` does not allow `x-key`"]
    );
    let internal = [(
        "{policies: [web, slow]}",
        "{internal: true, policies: [web, slow]}",
    )];
    assert_eq!(messages(&[], &internal), [""; 0]);
}

#[test]
fn policy_key_that_reads_a_stripped_field_is_found() {
    let messages = |gateway: &[(&str, &str)], document: &[(&str, &str)]| {
        messages_of("stripped-key", gateway, document)
    };
    let strip = ("{auth: keys}", "{auth: keys, strip_credential: true}");
    let one = |key: &str| {
        vec![format!(
            "`{key}` is a credential that `a` removes before it is read here"
        )]
    };
    assert_eq!(messages(&[], &[]), [""; 0]);
    assert_eq!(messages(&[], &[strip]), one("header:X-Key"));
    let hash = |to: &'static str| ("header:X-Key", to);
    for other in ["consumer", "header:X-Other", "cookie:X-Key"] {
        assert_eq!(messages(&[hash(other)], &[strip]), [""; 0], "{other}");
    }
    let cookie = (
        "name: sid, x-gateway: {auth: keys}",
        "name: sid, x-gateway: {auth: keys, strip_credential: true}",
    );
    assert_eq!(
        messages(&[hash("cookie:sid")], &[cookie]),
        one("cookie:sid")
    );
    // No operation of this API uses the upstream.
    assert_eq!(
        messages(&[], &[strip, ("{upstream: v}", "{upstream: u}")]),
        [""; 0]
    );
    // A rate limit that reads the field has the same finding.
    let limit = [hash("consumer"), ("key: consumer", "key: \"header:x-key\"")];
    assert_eq!(messages(&limit, &[strip]), one("header:x-key"));
    assert_eq!(messages(&limit, &[]), [""; 0]);
}

#[test]
fn setting_of_scheme_without_verifier_is_found() {
    let upstream = ("defaults: {", "defaults: {security: upstream, ");
    for (keys, reported_key) in [
        ("strip_credential: true", Some("strip_credential")),
        ("strip_credential: false", None),
        ("forward_as: X-Caller", Some("forward_as")),
        ("claims_to_headers: {sub: X-Sub}", Some("claims_to_headers")),
        ("verify: upstream, strip_credential: true", None),
    ] {
        let document = [("x-gateway: {auth: keys}", format!("x-gateway: {{{keys}}}"))];
        let document = document.each_ref().map(|(from, to)| (*from, to.as_str()));
        let expected =
            reported_key.map(|key| format!("`{key}` has no effect: the scheme names no verifier"));
        assert_eq!(
            messages_of("bad-value", &[upstream], &document),
            Vec::from_iter(expected),
            "{keys}"
        );
    }
}
