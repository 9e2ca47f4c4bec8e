//! Plans of consumers whose claims change: effects on limits, targets and request fields that read
//! a claim.

use crate::{edit, lines, plan};

const GATEWAY: &str = r#"version: 1
name: shop
apis: {a: {path: api.yaml}}
upstreams: {u: {targets: {a: {url: "http://127.0.0.1:9000"}, b: {url: "http://127.0.0.1:9001"}}, lb: ketama, hash_on: "claim:tenant"}}
auth:
  keys: {kind: api_key}
consumers:
  acme: {keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}], claims: {tenant: t1, seat: s1}}
policies:
  one: {kind: rate_limit, limit: 3/min, key: "claim:tenant"}
  many: {kind: quota, limit: 9, period: day, key: ["claim:tenant", consumer]}
  few: {kind: concurrency, limit: 2, key: "claim:tenant"}
  shadow: {kind: rate_limit, limit: 4/min, key: "claim:tenant", mode: log}
  other: {kind: rate_limit, limit: 5/min, key: "claim:seat"}
  unused: {kind: rate_limit, limit: 6/min, key: "claim:tenant"}
plans: {gold: {policies: [few]}}
defaults: {upstream: u, policies: [one, many, shadow, other]}
"#;

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: t, version: "1"}
security: [{key: []}]
paths:
  /a: {get: {operationId: a, responses: {"200": {description: fine}}}}
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys, claims_to_headers: {tenant: X-Tenant, seat: X-Seat}}}
"#;

/// Lines of the plan for an edit of the gateway, except those about rights of consumers.
fn planned(from: &str, to: &str) -> Vec<String> {
    let new = edit(GATEWAY, from, to);
    let mut found = lines(&plan((GATEWAY, DOCUMENT), (&new, DOCUMENT)));
    found.retain(|line| !line.contains(" consumer-right-"));
    found
}

#[test]
fn claim_changes_its_limits_targets_and_fields() {
    let tenant = [
        "security incomparable identity-field-changed consumer acme claims.tenant request header x-tenant",
        "policy relax limit-key-changed consumer acme claims.tenant in policy many key",
        "policy relax limit-key-changed consumer acme claims.tenant in policy one key",
        "policy relax limit-key-changed consumer acme claims.tenant in policy plan:few key",
        "upstream moved traffic-moved consumer acme claims.tenant in upstream u hash_on",
    ];
    for to in [
        "claims: {seat: s1}",
        "claims: {tenant: t2, seat: s1}",
        "claims: {tenant: [t1], seat: s1}",
    ] {
        assert_eq!(
            planned("claims: {tenant: t1, seat: s1}", to),
            tenant,
            "{to}"
        );
    }
    assert_eq!(
        planned(", seat: s1}", "}"),
        [
            "security incomparable identity-field-changed consumer acme claims.seat request header x-seat",
            "policy relax limit-key-changed consumer acme claims.seat in policy other key",
        ]
    );
    // A new claim also moves the requests of its consumer.
    let without = edit(GATEWAY, "tenant: t1, ", "");
    let found = lines(&plan((&without, DOCUMENT), (GATEWAY, DOCUMENT)));
    for line in tenant {
        assert!(found.iter().any(|one| one == line), "{line}: {found:?}");
    }
}

/// A claim that the gateway cannot use, such as a map, overrides no claim of a token.
#[test]
fn unusable_claim_lets_the_token_decide() {
    let gateway = GATEWAY
        .replace(
            "keys: {kind: api_key}",
            "keys: {kind: jwt, issuer: \"https://i\", audience: [a], algorithms: [ES256], jwks_url: \"https://i/keys\"}",
        )
        .replace(
            "keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}]",
            "tokens: [{issuer: \"https://i\", subject: s}]",
        );
    let document = DOCUMENT.replace(
        "type: apiKey, in: header, name: X-Key",
        "type: http, scheme: bearer",
    );
    let own = "the token's own claim";
    for (from, to, is_used) in [
        ("tenant: t1", "tenant: {a: b}", false),
        ("tenant: t1", "tenant: {\"0\": t1}", false),
        ("tenant: t1", "tenant: [[t1]]", false),
        ("tenant: t1", "tenant: []", false),
        ("tenant: t1", "tenant: [t2]", true),
        ("tenant: t1", "tenant: t2", true),
    ] {
        let new = edit(&gateway, from, to);
        let plan = plan((&gateway, &document), (&new, &document));
        let mut removed = plan
            .changes
            .iter()
            .filter(|one| one.id == "consumer-right-removed");
        let removed = removed.next().expect("a line");
        let class = if is_used {
            "strengthen"
        } else {
            "incomparable"
        };
        assert_eq!(removed.class.name(), class, "{to}");
        assert_eq!(removed.new == own, !is_used, "{to}");
    }
}

#[test]
fn claim_that_nothing_reads_changes_only_rights() {
    assert_eq!(planned("seat: s1}", "seat: s1, note: n}"), [""; 0]);
    // A removed consumer with keys has no callers any more.
    let start = GATEWAY.find("  acme:").expect("a consumer");
    let end = start + GATEWAY[start..].find('\n').expect("a line") + 1;
    let found = planned(&GATEWAY[start..end], "  beta: {groups: [g]}\n");
    assert!(
        found
            .iter()
            .all(|line| line.contains("credential-removed") || line.contains("beta")),
        "{found:?}"
    );
}

const TOKENS: &str = r#"version: 1
name: shop
apis: {a: {path: api.yaml}}
upstreams: {u: {targets: {a: {url: "http://127.0.0.1:9000"}, b: {url: "http://127.0.0.1:9001"}}, lb: maglev, hash_on: consumer}}
auth:
  tokens: {kind: jwt, issuer: i, audience: [a], algorithms: [EdDSA], jwks: {keys: [{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}]}}
consumers:
  acme: {plan: gold, claims: {tenant: t1}, tokens: [{issuer: i, client: one}, {issuer: i, client: two}]}
policies:
  one: {kind: rate_limit, limit: 3/min, key: "claim:tenant"}
  few: {kind: concurrency, limit: 2, key: consumer}
plans: {gold: {policies: [few]}}
defaults: {upstream: u, policies: [one]}
"#;

#[test]
fn unlisted_token_loses_claims_plan_and_target() {
    let document = edit(
        DOCUMENT,
        "key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys,",
        "key: {type: http, scheme: bearer, x-gateway: {auth: tokens,",
    );
    let expected = [
        "policy relax consumer-plan-changed consumer acme plan",
        "policy relax limit-key-changed consumer acme claims.tenant in policy one key",
        "security incomparable identity-field-changed consumer acme claims.tenant request header x-tenant",
        "upstream moved traffic-moved consumer acme in upstream u hash_on",
    ];
    let start = TOKENS.find("  acme:").expect("a consumer");
    let end = start + TOKENS[start..].find('\n').expect("a line") + 1;
    for new in [
        edit(TOKENS, ", {issuer: i, client: two}", ""),
        edit(TOKENS, &TOKENS[start..end], "  beta: {groups: [g]}\n"),
    ] {
        let found = lines(&plan((TOKENS, &document), (&new, &document)));
        for line in expected {
            assert!(found.iter().any(|one| one == line), "{line}: {found:?}");
        }
    }
}
