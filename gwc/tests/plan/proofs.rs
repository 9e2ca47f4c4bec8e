//! Tests of proofs of possession (`dpop`) in plans: single edits with exactly the expected lines,
//! and witnesses that the old and the new engine have evaluated.

use plan::{Outcome, Plan, Side};

use crate::{edit, lines, side};

const GATEWAY: &str = r#"version: 1
name: shop
apis: {a: {path: api.yaml}}
listeners: {public: {address: "127.0.0.1:8080"}}
upstreams: {u: {targets: {a: {url: "http://127.0.0.1:9000"}}}}
auth:
  idp: {kind: jwt, issuer: i, audience: [a], algorithms: [EdDSA], jwks: {keys: [{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}]}}
  bound: {kind: dpop, token: idp}
  strict: {kind: dpop, token: idp, nonce: true, window: 30s}
  asked: {kind: introspection, url: "https://i.test/in", client_id: g, client_secret: "${env:GWS_I}"}
  opaque: {kind: dpop, token: asked}
defaults: {upstream: u}
"#;

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: t, version: "1"}
paths:
  /bearer: {get: {operationId: bearer, security: [{bearer: []}], responses: {"200": {description: fine}}}}
  /bound: {get: {operationId: bound, security: [{bound: [read]}], responses: {"200": {description: fine}}}}
  /strict: {get: {operationId: strict, security: [{strict: []}], responses: {"200": {description: fine}}}}
  /opaque: {get: {operationId: opaque, security: [{opaque: []}], responses: {"200": {description: fine}}}}
components:
  securitySchemes:
    bearer: {type: http, scheme: bearer, x-gateway: {auth: idp}}
    bound: {type: oauth2, flows: {clientCredentials: {tokenUrl: "https://i.test/t", scopes: {read: r, write: w}}}, x-gateway: {auth: bound}}
    strict: {type: http, scheme: dpop, x-gateway: {auth: strict}}
    opaque: {type: apiKey, in: header, name: Authorization, x-gateway: {auth: opaque}}
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

/// Edit: old text, new text, expected lines, and the proof of the first line's witness.
type Edit = (
    &'static str,
    &'static str,
    &'static [&'static str],
    Option<&'static str>,
);

const OF_GATEWAY: &[Edit] = &[
    (
        "dpop, token: idp}",
        "dpop, token: idp, algorithms: [ES256, RS256]}",
        &["security weaken verifier-changed a/bound"],
        Some("witness RS256 60000"),
    ),
    (
        "dpop, token: idp}",
        "dpop, token: idp, algorithms: [ES256], window: 60s}",
        &[],
        None,
    ),
    (
        "dpop, token: idp}",
        "dpop, token: idp, window: 90s}",
        &["security weaken verifier-changed a/bound"],
        Some("witness ES256 90000"),
    ),
    (
        "dpop, token: idp}",
        "dpop, token: idp, nonce: true}",
        &["security strengthen verifier-changed a/bound"],
        Some("witness ES256 60000"),
    ),
    (
        "nonce: true, window: 30s",
        "window: 30s",
        &["security weaken verifier-changed a/strict"],
        Some("witness ES256 30000"),
    ),
    (
        "nonce: true, window: 30s",
        "nonce: true, window: 10s",
        &["security strengthen verifier-changed a/strict"],
        Some("witness ES256 30000 nonce"),
    ),
    (
        // A client that knows the secret can create nonces in advance.
        "nonce: true, window: 30s",
        "nonce: true, nonce_secret: '${env:GWS_I}', window: 30s",
        &[
            "security incomparable verifier-changed a/strict",
            "security changed secret-flow-added auth strict nonce_secret",
        ],
        None,
    ),
    (
        "dpop, token: idp}",
        "dpop, token: asked}",
        &[
            "security incomparable verifier-changed a/bound",
            "security moved credentials-sent a/bound",
        ],
        Some("witness ES256 60000"),
    ),
    (
        "audience: [a]",
        "audience: [a, b]",
        &[
            "security weaken verifier-changed a/bearer",
            "security weaken verifier-changed a/bound",
            "security weaken verifier-changed a/strict",
        ],
        None,
    ),
];

const OF_DOCUMENT: &[Edit] = &[
    (
        "security: [{bound: [read]}]",
        "security: [{bound: [write]}]",
        &["security incomparable security-requirement-changed a/bound"],
        Some("witness ES256 60000"),
    ),
    (
        "security: [{bound: [read]}]",
        "security: [{bound: [read]}, {bearer: []}]",
        &["security weaken security-requirement-changed a/bound"],
        None,
    ),
    (
        "security: [{bound: [read]}]",
        "security: [{bearer: []}]",
        &["security incomparable security-requirement-changed a/bound"],
        None,
    ),
];

#[test]
fn proof_edits_give_their_lines_and_witness() {
    let of_gateway = OF_GATEWAY.iter().map(|one| (one, true));
    let all = of_gateway.chain(OF_DOCUMENT.iter().map(|one| (one, false)));
    for ((from, to, expected, proof), of_gateway) in all {
        let plan = match of_gateway {
            true => planned(&edit(GATEWAY, from, to), DOCUMENT),
            false => planned(GATEWAY, &edit(DOCUMENT, from, to)),
        };
        assert_eq!(lines(&plan), *expected, "{from} -> {to}");
        let Some(proof) = proof else { continue };
        let witness = plan.changes[0].witness.as_ref();
        let witness = witness.unwrap_or_else(|| panic!("no witness: {from} -> {to}"));
        let field = witness.headers.iter().find(|(name, _)| name == "dpop");
        let field = field.map(|(_, value)| value.as_str());
        assert_eq!(field, Some(*proof), "{from} -> {to}");
        let served = |outcome: &Outcome| matches!(outcome, Outcome::Served { .. });
        assert_ne!(served(&witness.old), served(&witness.new), "{from} -> {to}");
    }
}

#[test]
fn token_verifier_of_a_proof_sends_secrets() {
    for (old, new, expected) in [
        (
            "${env:GWS_I}",
            "${env:GWS_J}",
            &["weaken secret-flow-added"][..],
        ),
        (
            "https://i.test/in",
            "https://j.test/in",
            &["weaken secret-flow-added", "moved credentials-sent"],
        ),
    ] {
        let found = lines(&planned(&edit(GATEWAY, old, new), DOCUMENT));
        for line in expected {
            assert!(
                found.iter().any(|one| one.contains(line)),
                "{line}: {found:?}"
            );
        }
    }
    // An operation newly needs a proof, and its tokens go to the endpoint.
    let named = "securitySchemes:\n    bearer: {type: http, scheme: bearer, x-gateway: {auth: ";
    let of = |verifier: &str| {
        let gateway = edit(
            GATEWAY,
            "opaque: {kind: dpop, token: asked}",
            "opaque: {kind: dpop, token: idp}\n  asking: {kind: dpop, token: asked}",
        );
        let document = edit(
            DOCUMENT,
            &format!("{named}idp}}"),
            &format!("{named}{verifier}}}"),
        );
        side(&[("gateway.yaml", &gateway), ("api.yaml", &document)])
    };
    let plan = plan::compare(Some(&of("idp")), &of("asking")).expect("both sides build");
    let found = lines(&plan);
    for line in ["weaken secret-flow-added", "moved credentials-sent"] {
        assert!(
            found.iter().any(|one| one.contains(line)),
            "{line}: {found:?}"
        );
    }
}

/// A store lets a fleet accept each credential once: `tighten`. Nobody gains or loses access.
#[test]
fn store_of_used_credentials_tightens() {
    let with = |store: &str| {
        let stores = "stores: {s: {kind: redis, url: \"${env:STORE}\"}, t: {kind: redis, url: \"${env:STORE}\", prefix: t}}\ndefaults:";
        let text = edit(GATEWAY, "defaults:", stores);
        edit(
            &text,
            "dpop, token: idp}",
            &format!("dpop, token: idp{store}}}"),
        )
    };
    let found = |old: &str, new: &str| {
        let of = |gateway: &str| side(&[("gateway.yaml", gateway), ("api.yaml", DOCUMENT)]);
        let plan = plan::compare(Some(&of(&with(old))), &of(&with(new)));
        let plan = plan.expect("both sides build");
        assert_eq!(plan.bugs, Vec::<String>::new());
        let lines = lines(&plan).into_iter();
        let lines = lines.filter(|line| !line.contains(" secret-flow-"));
        lines
            .map(|line| line.replace(" verifier-changed auth bound", ""))
            .collect::<Vec<_>>()
    };
    let (closed, local) = (", store: s", ", store: s, on_outage: local");
    assert_eq!(
        found("", closed),
        [
            "policy tighten store",
            "policy tighten store.on_outage",
            "policy changed store.prefix",
            "policy changed store.url",
        ]
    );
    assert_eq!(
        found(closed, ""),
        [
            "policy relax store",
            "policy relax store.on_outage",
            "policy changed store.prefix",
            "policy changed store.url",
        ]
    );
    assert_eq!(found(closed, local), ["policy relax store.on_outage"]);
    assert_eq!(found(local, closed), ["policy tighten store.on_outage"]);
    assert_eq!(found(closed, ", store: s, on_outage: closed"), [""; 0]);
    assert_eq!(found("", ", store: local"), [""; 0]);
    // Records in the old store are unknown to the new one: used proofs may be accepted again.
    let other = found(closed, ", store: t");
    assert!(
        other.contains(&"policy relax store.prefix".to_owned()),
        "{other:?}"
    );
}
