//! Tests of signed requests (`hmac_signature`) in plans: single edits with exactly the expected
//! lines, and witnesses that the old and the new engine have evaluated.

use plan::{Outcome, Plan, Side};

use crate::{edit, lines, side};

const GATEWAY: &str = r#"version: 1
name: shop
apis: {a: {path: api.yaml}}
listeners: {public: {address: "127.0.0.1:8080"}}
upstreams: {u: {targets: {a: {url: "http://127.0.0.1:9000"}}}}
auth:
  signed: {kind: hmac_signature, secrets: {acme: "${env:GWS_ACME}"}}
  narrow: {kind: hmac_signature, secrets: {acme: "${env:GWS_ACME}"}, components: ["@method", "@path"], content_digest: false, nonce: optional, window: 30s}
defaults: {upstream: u}
"#;

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: t, version: "1"}
paths:
  /signed: {get: {operationId: signed, security: [{signed: []}], responses: {"200": {description: fine}}}}
  /narrow: {get: {operationId: narrow, security: [{narrow: []}], responses: {"200": {description: fine}}}}
components:
  securitySchemes:
    signed: {type: apiKey, in: header, name: Signature, x-gateway: {auth: signed}}
    narrow: {type: apiKey, in: header, name: Signature, x-gateway: {auth: narrow}}
"#;

fn planned(gateway: &str, document: &str) -> Plan {
    let of = |gateway: &str, document: &str| -> Side {
        side(&[("gateway.yaml", gateway), ("api.yaml", document)])
    };
    let plan = plan::compare(Some(&of(GATEWAY, DOCUMENT)), &of(gateway, document));
    let plan = plan.expect("both sides build");
    assert_eq!(plan.bugs, Vec::<String>::new());
    plan
}

/// Edit: old text, new text, expected lines, and the signature of the first line's witness.
type Edit = (
    &'static str,
    &'static str,
    &'static [&'static str],
    Option<&'static str>,
);

const ALL: &str = "@authority @method @target-uri digest nonce";

const OF_GATEWAY: &[Edit] = &[
    (
        r#"ACME}"}}"#,
        r#"ACME}"}, components: ["@target-uri", "@authority", "@method"], content_digest: true, nonce: required, window: 300s, algorithms: [hmac-sha256], style: rfc9421}"#,
        &[],
        None,
    ),
    (
        r#"ACME}"}}"#,
        r#"ACME}"}, components: ["@method", "@target-uri"]}"#,
        &["security weaken verifier-changed a/signed"],
        Some("witness hmac-sha256 acme=${env:GWS_ACME} 300000 @method @target-uri digest nonce"),
    ),
    (
        r#"ACME}"}}"#,
        r#"ACME}"}, components: ["@authority", "@method", "@target-uri", "x-date"]}"#,
        &["security strengthen verifier-changed a/signed"],
        Some("witness hmac-sha256 acme=${env:GWS_ACME} 300000 ALL"),
    ),
    (
        r#"ACME}"}}"#,
        r#"ACME}"}, components: ["@method", "@path"]}"#,
        &["security incomparable verifier-changed a/signed"],
        Some("witness hmac-sha256 acme=${env:GWS_ACME} 300000 @method @path digest nonce"),
    ),
    (
        r#"ACME}"}}"#,
        r#"ACME}"}, content_digest: false}"#,
        &["security weaken verifier-changed a/signed"],
        Some(
            "witness hmac-sha256 acme=${env:GWS_ACME} 300000 @authority @method @target-uri nonce",
        ),
    ),
    (
        r#"ACME}"}}"#,
        r#"ACME}"}, nonce: optional}"#,
        &["security weaken verifier-changed a/signed"],
        Some(
            "witness hmac-sha256 acme=${env:GWS_ACME} 300000 @authority @method @target-uri digest",
        ),
    ),
    (
        r#"ACME}"}}"#,
        r#"ACME}"}, window: 301s}"#,
        &["security weaken verifier-changed a/signed"],
        Some("witness hmac-sha256 acme=${env:GWS_ACME} 301000 ALL"),
    ),
    (
        r#"ACME}"}}"#,
        r#"ACME}"}, algorithms: [hmac-sha256, hmac-sha512]}"#,
        &["security weaken verifier-changed a/signed"],
        Some("witness hmac-sha512 acme=${env:GWS_ACME} 300000 ALL"),
    ),
    (
        r#"ACME}"}}"#,
        r#"ACME}"}, algorithms: [hmac-sha512]}"#,
        &["security incomparable verifier-changed a/signed"],
        Some("witness hmac-sha512 acme=${env:GWS_ACME} 300000 ALL"),
    ),
    (
        r#"ACME}"}}"#,
        r#"ACME}", other: "${env:GWS_OTHER}"}}"#,
        &["security weaken verifier-changed a/signed"],
        Some("witness hmac-sha256 other=${env:GWS_OTHER} 300000 ALL"),
    ),
    (
        r#"ACME}"}}"#,
        r#"ACME_2}"}}"#,
        &["security incomparable verifier-changed a/signed"],
        Some("witness hmac-sha256 acme=${env:GWS_ACME_2} 300000 ALL"),
    ),
    (
        "window: 30s",
        "window: 10s",
        &["security strengthen verifier-changed a/narrow"],
        Some("witness hmac-sha256 acme=${env:GWS_ACME} 30000 @method @path"),
    ),
    (
        "content_digest: false, ",
        "",
        &["security strengthen verifier-changed a/narrow"],
        Some("witness hmac-sha256 acme=${env:GWS_ACME} 30000 @method @path"),
    ),
];

const OF_DOCUMENT: &[Edit] = &[(
    "security: [{signed: []}]",
    "security: [{narrow: []}]",
    &["security incomparable security-requirement-changed a/signed"],
    Some("witness hmac-sha256 acme=${env:GWS_ACME} 30000 @method @path"),
)];

#[test]
fn signature_edits_give_their_lines_and_witness() {
    let of_gateway = OF_GATEWAY.iter().map(|one| (one, true));
    let all = of_gateway.chain(OF_DOCUMENT.iter().map(|one| (one, false)));
    for ((from, to, expected, signature), of_gateway) in all {
        let plan = match of_gateway {
            true => planned(&edit(GATEWAY, from, to), DOCUMENT),
            false => planned(GATEWAY, &edit(DOCUMENT, from, to)),
        };
        let mut found = lines(&plan);
        // Ignore lines about secrets that the gateway newly reads, because other tests check them.
        found.retain(|line| !line.contains(" secret-flow-"));
        assert_eq!(found, *expected, "{from} -> {to}");
        let Some(signature) = signature else { continue };
        let witness = plan.changes[0].witness.as_ref();
        let witness = witness.unwrap_or_else(|| panic!("no witness: {from} -> {to}"));
        let field = witness.headers.iter().find(|(name, _)| name == "signature");
        let field = field.map(|(_, value)| value.clone());
        let expected = signature.replace("ALL", ALL);
        assert_eq!(field, Some(expected), "{from} -> {to}");
        let served = |outcome: &Outcome| matches!(outcome, Outcome::Served { .. });
        assert_ne!(served(&witness.old), served(&witness.new), "{from} -> {to}");
    }
}
