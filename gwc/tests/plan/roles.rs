//! Tests of roles in security requirements (OpenAPI 3.1): single edits with exactly the expected
//! lines, and witnesses that the old and the new engine have evaluated.

use plan::{Outcome, Plan, Side};

use crate::{edit, lines, side};

const GATEWAY: &str = r#"version: 1
name: shop
apis: {a: {path: api.yaml}}
listeners:
  public:
    address: "127.0.0.1:8443"
    protocol: https
    tls: {certificates: {main: {cert: "${file:/run/tls.pem}", key: "${file:/run/tls.key}"}}, client_auth: {ca: "${file:/run/ca.pem}", mode: optional}}
upstreams: {u: {targets: {a: {url: "http://127.0.0.1:9000"}}}}
auth:
  idp: {kind: jwt, issuer: i, audience: [a], algorithms: [EdDSA], jwks: {keys: [{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}]}}
  keys: {kind: api_key}
  people: {kind: basic}
  machines: {kind: mtls}
consumers:
  acme: {keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}], claims: {roles: [admin, reader]}}
defaults: {upstream: u}
"#;

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: t, version: "1"}
paths:
  /key: {get: {operationId: key, security: [{key: [admin]}], responses: {"200": {description: fine}}}}
  /token: {get: {operationId: token, security: [{bearer: [admin, reader]}], responses: {"200": {description: fine}}}}
  /two: {get: {operationId: two, security: [{key: [admin], basic: []}], responses: {"200": {description: fine}}}}
  /machine: {get: {operationId: machine, security: [{machine: []}], responses: {"200": {description: fine}}}}
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}
    basic: {type: http, scheme: basic, x-gateway: {auth: people}}
    bearer: {type: http, scheme: bearer, x-gateway: {auth: idp}}
    machine: {type: mutualTLS, x-gateway: {auth: machines}}
"#;

fn planned(from: &str, to: &str) -> Plan {
    let of =
        |document: &str| -> Side { side(&[("gateway.yaml", GATEWAY), ("api.yaml", document)]) };
    let document = edit(DOCUMENT, from, to);
    let plan = plan::compare(Some(&of(DOCUMENT)), &of(&document)).expect("both sides build");
    assert_eq!(plan.bugs, Vec::<String>::new(), "{from} -> {to}");
    plan
}

/// Edit of the document: old text, new text, expected lines, and true if the first line has a
/// witness.
type Edit = (&'static str, &'static str, &'static [&'static str], bool);

const EDITS: &[Edit] = &[
    (
        "{key: [admin]}]",
        "{key: []}]",
        &["security weaken security-requirement-changed a/key"],
        true,
    ),
    (
        "{key: [admin]}]",
        "{key: [admin, reader]}]",
        &["security strengthen security-requirement-changed a/key"],
        true,
    ),
    (
        "{key: [admin]}]",
        "{key: [reader]}]",
        &["security incomparable security-requirement-changed a/key"],
        true,
    ),
    (
        "{key: [admin]}]",
        "{key: [admin]}, {key: [admin, reader]}]",
        &["policy changed security-restated a/key"],
        false,
    ),
    ("[admin, reader]", "[reader, admin, admin]", &[], false),
    (
        "{bearer: [admin, reader]}",
        "{bearer: [admin]}",
        &["security weaken security-requirement-changed a/token"],
        true,
    ),
    (
        "{bearer: [admin, reader]}",
        "{bearer: []}",
        &["security weaken security-requirement-changed a/token"],
        true,
    ),
    // Both credentials belong to one consumer, so the same callers are admitted. The plan compares
    // requirements by credential place, so it reports the change nevertheless.
    (
        "{key: [admin], basic: []}",
        "{key: [], basic: [admin]}",
        &["security incomparable security-requirement-changed a/two"],
        false,
    ),
    (
        "{key: [admin], basic: []}",
        "{key: [], basic: []}",
        &["security weaken security-requirement-changed a/two"],
        true,
    ),
    // Witnesses never contain certificates of consumers.
    (
        "{machine: []}",
        "{machine: [admin]}",
        &["security strengthen security-requirement-changed a/machine"],
        true,
    ),
];

#[test]
fn roles_are_compared_and_shown() {
    for (from, to, expected, has_witness) in EDITS {
        let plan = planned(from, to);
        assert_eq!(lines(&plan), *expected, "{from} -> {to}");
        let Some(change) = plan.changes.first() else {
            continue;
        };
        assert_eq!(change.witness.is_some(), *has_witness, "{from} -> {to}");
        let Some(witness) = &change.witness else {
            continue;
        };
        let outcomes = [&witness.old, &witness.new];
        let is_refused = |one: &&Outcome| **one == Outcome::Refused { status: 403 };
        let refused = outcomes.iter().filter(|one| is_refused(one)).count();
        assert_eq!(refused, 1, "{from} -> {to}: {witness:?}");
    }
}

#[test]
fn witness_names_the_roles_of_its_caller() {
    let plan = planned("{key: [admin]}]", "{key: [reader]}]");
    let change = plan.changes.first().expect("a change");
    assert_eq!(change.old, "header x-key by keys with role admin");
    assert_eq!(change.new, "header x-key by keys with role reader");
    let witness = change.witness.as_ref().expect("a witness");
    let roles: Vec<&[String]> = witness
        .credentials
        .iter()
        .map(|one| one.roles.as_slice())
        .collect();
    assert_eq!(roles, [["reader".to_owned()]]);
}
