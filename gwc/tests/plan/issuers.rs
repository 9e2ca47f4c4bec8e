//! Tests that a scheme with a list of verifiers has the same effect as one alternative for each
//! verifier.

use crate::{edit, lines, plan};

const GATEWAY: &str = "version: 1
name: s
apis: {a: {path: api.yaml}}
upstreams: {u: {targets: {a: {url: \"http://u.internal\"}}}}
auth:
  idp: {kind: jwt, issuer: \"https://idp.example\", audience: [s], algorithms: [ES256]}
  partner: {kind: jwt, issuer: \"https://partner.example\", audience: [s], algorithms: [ES256]}
  asked: {kind: introspection, url: \"https://third.example/i\", client_id: c, client_secret: \"${env:GWS_I}\", issuer: \"https://third.example\"}
defaults: {upstream: u, timeout: 5s}
";

const DOCUMENT: &str = "openapi: 3.1.0
info: {title: t, version: \"1\"}
paths:
  /a: {get: {operationId: a, security: [{token: []}], responses: {\"200\": {description: ok}}}}
components:
  securitySchemes:
    token: {type: http, scheme: bearer, x-gateway: {auth: [idp, partner, asked]}}
    one: {type: http, scheme: bearer, x-gateway: {auth: idp}}
    two: {type: http, scheme: bearer, x-gateway: {auth: partner}}
    three: {type: http, scheme: bearer, x-gateway: {auth: asked}}
";

fn changes(from: &str, to: &str) -> Vec<String> {
    lines(&plan(
        (GATEWAY, DOCUMENT),
        (GATEWAY, &edit(DOCUMENT, from, to)),
    ))
}

#[test]
fn list_of_verifiers_is_one_alternative_each() {
    let apart = changes("[{token: []}]", "[{one: []}, {two: []}, {three: []}]");
    assert_eq!(apart, Vec::<String>::new());
    // The order of verifiers does not matter, because the issuer selects one.
    let moved = changes("auth: [idp, partner, asked]", "auth: [asked, idp, partner]");
    assert!(
        moved.iter().all(|line| line.starts_with("policy changed ")),
        "{moved:?}"
    );
}

#[test]
fn verifier_added_to_a_list_is_weaker() {
    let fewer = edit(
        DOCUMENT,
        "auth: [idp, partner, asked]",
        "auth: [idp, asked]",
    );
    for (old, new, class) in [
        (&*fewer, DOCUMENT, "weaken"),
        (DOCUMENT, &*fewer, "strengthen"),
    ] {
        let found = lines(&plan((GATEWAY, old), (GATEWAY, new)));
        let expected = format!("security {class} security-requirement-changed a/a");
        assert!(found.contains(&expected), "{found:?}");
    }
}

/// Two verifiers that swap the claim from which they read are another pair of verifiers. No request
/// shows the change, because the tokens of examples have neither claim.
#[test]
fn swapped_claims_are_no_fault_of_the_plan() {
    for key in ["groups_claim", "scope_claim", "consumer_claim"] {
        let with = |idp: &str, partner: &str| {
            let claim = |issuer: &str, claim: &str| format!("{issuer}\", {key}: {claim},");
            let one = edit(
                GATEWAY,
                "https://idp.example\",",
                &claim("https://idp.example", idp),
            );
            let two = claim("https://partner.example", partner);
            edit(&one, "https://partner.example\",", &two)
        };
        for schemes in ["[{token: []}]", "[{one: []}, {two: []}]"] {
            let document = edit(DOCUMENT, "[{token: []}]", schemes);
            let (old, new) = (with("p", "q"), with("q", "p"));
            let found = lines(&plan((&old, &document), (&new, &document)));
            let line = "security incomparable verifier-changed a/a";
            assert!(found.iter().any(|one| one == line), "{key}: {found:?}");
            let faults = found.iter().filter(|one| one.contains("self-check"));
            assert_eq!(faults.count(), 0, "{key} {schemes}: {found:?}");
        }
    }
}
