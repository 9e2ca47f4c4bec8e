//! Tests of client certificates in plans: single edits with their exact expected lines, and
//! witnesses that the old and the new engine have evaluated.

use plan::{Outcome, Plan, Side};
use policy::auth::mtls::Source;

use crate::{edit, lines, side};

const GATEWAY: &str = r#"version: 1
name: shop
apis: {a: {path: api.yaml}}
listeners:
  public:
    address: "127.0.0.1:8443"
    protocol: https
    trusted_proxies: [10.0.0.0/8]
    tls: {certificates: {main: {cert: "${file:/run/tls.pem}", key: "${file:/run/tls.key}"}}, client_auth: {ca: "${file:/run/ca.pem}", mode: optional}}
upstreams: {u: {targets: {a: {url: "http://127.0.0.1:9000"}}}}
auth:
  named: {kind: mtls, sans: [a.test, b.test]}
  mesh: {kind: mtls, spiffe: ["spiffe://t/ns/*/a", "spiffe://t/ns/x/b"]}
  staff: {kind: mtls, subjects: ["CN=a,O=b"]}
  proxied: {kind: mtls, header: Client-Cert}
  tokens: {kind: jwt, issuer: i, audience: [a], algorithms: [EdDSA], jwks: {keys: [{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}]}}
  bound: {kind: jwt, issuer: i, audience: [b], algorithms: [EdDSA], jwks: {keys: [{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}]}, certificate_binding: required}
  asked: {kind: introspection, url: "https://i.test/in", client_id: g, client_secret: "${env:GWS_I}", certificate_binding: optional, certificate_header: Client-Cert}
  keys: {kind: api_key}
consumers: {acme: {certificates: [{san: a.test}]}}
defaults: {upstream: u}
required: {allow_public: ["a/open"]}
"#;

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: t, version: "1"}
paths:
  /named: {get: {operationId: named, security: [{named: []}], responses: {"200": {description: fine}}}}
  /mesh: {get: {operationId: mesh, security: [{mesh: []}], responses: {"200": {description: fine}}}}
  /staff: {get: {operationId: staff, security: [{staff: []}], responses: {"200": {description: fine}}}}
  /proxied: {get: {operationId: proxied, security: [{proxied: []}], responses: {"200": {description: fine}}}}
  /tokens: {get: {operationId: tokens, security: [{tokens: []}], responses: {"200": {description: fine}}}}
  /bound: {get: {operationId: bound, security: [{bound: []}], responses: {"200": {description: fine}}}}
  /both: {get: {operationId: both, security: [{bound: [], staff: []}], responses: {"200": {description: fine}}}}
  /asked: {get: {operationId: asked, security: [{asked: []}], responses: {"200": {description: fine}}}}
  /open: {get: {operationId: open, security: [], x-gateway: {public: true}, responses: {"200": {description: fine}}}}
components:
  securitySchemes:
    named: {type: mutualTLS, x-gateway: {auth: named}}
    mesh: {type: mutualTLS, x-gateway: {auth: mesh}}
    staff: {type: mutualTLS, x-gateway: {auth: staff}}
    proxied: {type: mutualTLS, x-gateway: {auth: proxied}}
    tokens: {type: http, scheme: bearer, x-gateway: {auth: tokens}}
    bound: {type: http, scheme: bearer, x-gateway: {auth: bound}}
    asked: {type: http, scheme: bearer, x-gateway: {auth: asked}}
    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}
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

/// Edit: old text, new text, expected lines, and the names in the certificate of the first line's
/// witness.
type Edit = (
    &'static str,
    &'static str,
    &'static [&'static str],
    Option<&'static str>,
);

const OF_GATEWAY: &[Edit] = &[
    (
        "sans: [a.test, b.test]",
        "sans: [a.test, b.test, c.test]",
        &["security weaken verifier-changed a/named"],
        Some("san c.test"),
    ),
    (
        "sans: [a.test, b.test]",
        "sans: [B.test]",
        &["security strengthen verifier-changed a/named"],
        Some("san a.test"),
    ),
    (
        "sans: [a.test, b.test]",
        "sans: [b.test, A.TEST]",
        &[],
        None,
    ),
    (
        "kind: mtls, sans: [a.test, b.test]",
        "kind: mtls",
        &["security weaken verifier-changed a/named"],
        Some(""),
    ),
    (
        "sans: [a.test, b.test]",
        "sans: [a.test, b.test], spiffe: [\"spiffe://t/**\"]",
        &["security strengthen verifier-changed a/named"],
        Some("san a.test"),
    ),
    (
        "\"spiffe://t/ns/x/b\"",
        "\"spiffe://t/ns/*/b\"",
        &["security weaken verifier-changed a/mesh"],
        Some("spiffe spiffe://t/ns/witness/b"),
    ),
    (
        "\"spiffe://t/ns/*/a\", \"spiffe://t/ns/x/b\"",
        "\"spiffe://t/ns/**\"",
        &["security weaken verifier-changed a/mesh"],
        Some("spiffe spiffe://t/ns/witness"),
    ),
    (
        "\"spiffe://t/ns/x/b\"",
        "\"spiffe://t/ns/x/b\", \"spiffe://t/ns/x/a\"",
        &["policy changed setting-restated auth mesh spiffe"],
        None,
    ),
    (
        "\"spiffe://t/ns/*/a\"",
        "\"spiffe://t/ns/x/a\"",
        &["security strengthen verifier-changed a/mesh"],
        Some("spiffe spiffe://t/ns/witness/a"),
    ),
    (
        "subjects: [\"CN=a,O=b\"]",
        "subjects: [\"cn = a, O=b\"]",
        &[],
        None,
    ),
    (
        "subjects: [\"CN=a,O=b\"]",
        "subjects: [\"CN=c\"]",
        &[
            "security incomparable verifier-changed a/both",
            "security incomparable verifier-changed a/staff",
        ],
        Some("subject CN=c"),
    ),
    (
        "kind: mtls, header: Client-Cert",
        "kind: mtls",
        &["security incomparable verifier-changed a/proxied"],
        Some(""),
    ),
    (
        "audience: [a], algorithms: [EdDSA]",
        "audience: [a], certificate_binding: optional, algorithms: [EdDSA]",
        &["security weaken verifier-changed a/tokens"],
        Some("subject CN=witness"),
    ),
    (
        "audience: [a], algorithms: [EdDSA]",
        "audience: [a], certificate_binding: required, algorithms: [EdDSA]",
        &["security incomparable verifier-changed a/tokens"],
        Some("subject CN=witness"),
    ),
    (
        ", certificate_binding: required",
        ", certificate_binding: required, certificate_header: Client-Cert",
        &[
            "security incomparable verifier-changed a/both",
            "security incomparable verifier-changed a/bound",
        ],
        None,
    ),
    (
        ", certificate_binding: optional, certificate_header: Client-Cert",
        ", certificate_binding: required, certificate_header: Client-Cert",
        &["security strengthen verifier-changed a/asked"],
        None,
    ),
    (
        ", certificate_binding: optional, certificate_header: Client-Cert",
        "",
        &["security strengthen verifier-changed a/asked"],
        Some("subject CN=witness"),
    ),
    (
        "{san: a.test}",
        "{san: a.test}, {sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}",
        &["security grant credential-added consumer acme"],
        None,
    ),
    (
        "{san: a.test}",
        "{san: a.test, not_after: 2031-01-01}",
        &["security strengthen credential-shortened consumer acme"],
        None,
    ),
    (
        "/run/ca.pem",
        "/run/cb.pem",
        &[
            "security incomparable client-authority-changed listener public tls.client_auth.ca",
            "security changed secret-flow-added listener public tls.client_auth.ca",
        ],
        None,
    ),
];

const OF_DOCUMENT: &[Edit] = &[
    (
        "operationId: named, security: [{named: []}]",
        "operationId: named, security: [{named: []}, {mesh: []}]",
        &["security weaken security-requirement-changed a/named"],
        Some("spiffe spiffe://t/ns/witness/a"),
    ),
    (
        "operationId: named, security: [{named: []}]",
        "operationId: named, security: [{named: [], key: []}]",
        // The key names a consumer, too.
        &["security incomparable security-requirement-changed a/named"],
        None,
    ),
    (
        "operationId: open, security: [], x-gateway: {public: true}",
        "operationId: open, security: [{named: []}]",
        &["security strengthen security-requirement-added a/open"],
        None,
    ),
];

#[test]
fn certificate_edits_give_their_lines_and_witness() {
    let of_gateway = OF_GATEWAY.iter().map(|one| (one, true));
    let all = of_gateway.chain(OF_DOCUMENT.iter().map(|one| (one, false)));
    for ((from, to, expected, names), of_gateway) in all {
        let plan = match of_gateway {
            true => planned(&edit(GATEWAY, from, to), DOCUMENT),
            false => planned(GATEWAY, &edit(DOCUMENT, from, to)),
        };
        assert_eq!(lines(&plan), *expected, "{from} -> {to}");
        let Some(names) = names else { continue };
        let witness = plan.changes[0].witness.as_ref();
        let witness = witness.unwrap_or_else(|| panic!("no witness: {from} -> {to}"));
        let certificates = witness.certificates();
        let shown: Vec<&str> = certificates
            .iter()
            .map(|(_, names)| names.as_str())
            .collect();
        assert_eq!(shown, [*names], "{from} -> {to}");
        let served = |outcome: &Outcome| matches!(outcome, Outcome::Served { .. });
        assert_ne!(served(&witness.old), served(&witness.new), "{from} -> {to}");
    }
}

#[test]
fn witness_has_the_certificate_where_it_counts() {
    let plan = planned(&edit(GATEWAY, ", header: Client-Cert", ""), DOCUMENT);
    let witness = plan.changes[0].witness.as_ref().expect("a witness");
    let served = |outcome: &Outcome| matches!(outcome, Outcome::Served { .. });
    match witness.certificates()[0].0 {
        Source::Connection => assert!(served(&witness.new) && !served(&witness.old)),
        Source::Field => assert!(served(&witness.old) && !served(&witness.new)),
    }
    let text = plan::report::sentence(witness);
    assert!(text.contains("client certificate by proxied"), "{text}");
}
