//! Tests of the comparison of settings, including settings that gwd does not support yet: single
//! edits with their exact expected lines.

use std::collections::BTreeSet;

use plan::{self, Plan, Side};

use crate::edit;

const GATEWAY: &str = r#"version: 1
name: shop
apis: {a: {path: api.yaml}}
listeners:
  public:
    address: "127.0.0.1:8443"
    protocol: https
    trusted_proxies: [10.0.0.0/8]
    tls: {certificates: {main: {cert: "${file:/run/tls.pem}", key: "${file:/run/tls.key}"}}, min_version: "1.3", client_auth: {ca: "${file:/run/ca.pem}", mode: required}}
upstreams:
  u: {targets: {a: {url: "https://u.internal:9000"}}, tls: {sni: u.internal, ca: "${file:/run/u.pem}"}, timeouts: {connect: 1s}, limits: {connections: 100}}
  plain: {targets: {a: {url: "http://p.internal:9000"}}}
auth:
  idp: {kind: jwt, issuer: "https://idp", audience: [orders], jwks_url: "https://idp/keys", algorithms: [RS256], max_lifetime: 1h, token_bytes: 8KiB}
  other: {kind: jwt, issuer: "https://idp", audience: [orders], jwks_url: "https://idp/keys", algorithms: [RS256], max_lifetime: 1h, token_bytes: 8KiB}
  keys: {kind: api_key}
consumers:
  acme: {groups: [partners], keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}]}
policies:
  waf: {kind: graphql_guard, depth: 32}
  deep: {kind: threat, json: {depth: 33, items: 100}, xml: {attributes: 5}}
  office: {kind: ip_filter, allow: [10.0.0.0/8, 192.0.2.0/24]}
  web: {kind: cors, origins: ["https://app.example"], methods: [PUT], max_age: 10m}
  page: {kind: csrf, mode: block}
  admins: {kind: authorize, groups: [admin], scopes: [write]}
  ask: {kind: forward_auth, url: "https://ask.example/", on_outage: closed}
  day: {kind: quota, limit: 1000, period: day}
required: {policies: [waf], auth: [idp, keys, other], allow_public: ["a/status"]}
defaults: {upstream: u, policies: [office, web, page, day, deep], timeout: 5s, validate: {request: block, response: log}}
"#;

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: t, version: "1"}
security: [{token: [read]}]
paths:
  /orders:
    get: {operationId: list, responses: {"200": {description: fine}}}
    post: {operationId: make, x-gateway: {+policies: [admins, ask], cost: 5}, responses: {"200": {description: fine}}}
  /status:
    get: {operationId: status, security: [], x-gateway: {public: true, policies: []}, responses: {"200": {description: fine}}}
components:
  securitySchemes:
    token: {type: oauth2, flows: {clientCredentials: {tokenUrl: "https://idp/t", scopes: {read: r}}}, x-gateway: {auth: idp, strip_credential: true, claims_to_headers: {sub: X-User}}}
    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}
"#;

fn side(gateway: &str, document: &str) -> Side {
    crate::later(&[("gateway.yaml", gateway), ("api.yaml", document)])
}

fn planned(gateway: &str, document: &str) -> Plan {
    let plan = plan::compare(Some(&side(GATEWAY, DOCUMENT)), &side(gateway, document))
        .expect("both sides build");
    assert_eq!(plan.bugs, Vec::<String>::new());
    plan
}

/// Changes as lines `SECTION CLASS ID SUBJECT: OPERATIONS`.
fn lines(plan: &Plan) -> Vec<String> {
    let line = |change: &plan::Change| {
        let (section, class) = (change.section.name(), change.class.name());
        let line = format!("{section} {class} {} {}", change.id, change.subject);
        match change.operations.is_empty() {
            true => line,
            false => format!("{line}: {}", change.operations.join("+")),
        }
    };
    plan.changes.iter().map(line).collect()
}

/// Edits of gateway.yaml (old and new text), each with its expected lines.
const OF_GATEWAY: &[(&str, &str, &[&str])] = &[
    (
        r#"audience: [orders]"#,
        r#"audience: [orders, shop]"#,
        &["security weaken verifier-changed security: a/list+a/make"],
    ),
    (
        r#"issuer: "https://idp""#,
        r#"issuer: "https://idq""#,
        &["security incomparable verifier-changed security: a/list+a/make"],
    ),
    (
        r#"jwks_url: "https://idp/keys""#,
        r#"jwks_url: "https://idq/keys""#,
        &[
            "security incomparable verifier-changed security: a/list+a/make",
            "upstream changed upstream-added upstream https://idq",
        ],
    ),
    (
        r#"jwks_url: "https://idp/keys", algorithms: [RS256]"#,
        r#"secret: "${env:GWS_K}", algorithms: [HS256]"#,
        &[
            "security incomparable verifier-changed security: a/list+a/make",
            "security changed secret-flow-added auth idp secret",
        ],
    ),
    (
        r#"algorithms: [RS256]"#,
        r#"algorithms: [RS256, ES256]"#,
        &["security weaken verifier-changed security: a/list+a/make"],
    ),
    (
        r#"max_lifetime: 1h"#,
        r#"max_lifetime: 2h"#,
        &["security weaken verifier-changed security: a/list+a/make"],
    ),
    (
        r#"max_lifetime: 1h, token"#,
        r#"leeway: 60s, max_lifetime: 1h, token"#,
        &[],
    ),
    (
        r#"token_bytes: 8KiB"#,
        r#"token_bytes: 8KiB, resource_metadata: "https://a.example/.well-known/oauth-protected-resource""#,
        &["policy moved verifier-changed auth idp resource_metadata"],
    ),
    (
        r#"token_bytes: 8KiB"#,
        r#"token_bytes: 16KiB"#,
        &["policy relax verifier-changed auth idp token_bytes"],
    ),
    (
        r#"policies: [waf], auth"#,
        r#"auth"#,
        &[
            "security weaken guard-removed graphql_guard: a/list+a/make+a/status",
            "rules weaken required-policy-dropped required policies waf",
            "policy changed policies-changed policies: a/list",
            "policy changed policies-changed policies: a/make",
            "policy changed policies-changed policies: a/status",
        ],
    ),
    (
        r#"auth: [idp, keys, other]"#,
        r#"auth: [idp, other]"#,
        &["rules strengthen required-auth-dropped required auth keys"],
    ),
    (
        r#"allow_public: ["a/status"]"#,
        r#"allow_public: ["a/*"]"#,
        &["rules weaken allow-public-changed required allow_public"],
    ),
    (
        r#"origins: ["https://app.example"]"#,
        r#"origins: ["https://*.example"]"#,
        &["security weaken cors-changed cors: a/list+a/make"],
    ),
    (
        r#"methods: [PUT], max_age"#,
        r#"methods: [PUT], credentials: true, max_age"#,
        &["security weaken cors-changed cors: a/list+a/make"],
    ),
    (
        r#"max_age: 10m"#,
        r#"max_age: 20m"#,
        &["policy relax policy-changed policy web max_age"],
    ),
    (
        r#"mode: block"#,
        r#"mode: log"#,
        &["security weaken csrf-changed csrf: a/list+a/make"],
    ),
    (
        r#"groups: [admin], scopes"#,
        r#"groups: [admin, staff], scopes"#,
        &["security weaken authorization-changed authorize: a/make"],
    ),
    (
        r#"scopes: [write]"#,
        r#"scopes: [write, delete]"#,
        &["security strengthen authorization-changed authorize: a/make"],
    ),
    (
        r#"on_outage: closed"#,
        r#"on_outage: open"#,
        &["security weaken authorization-changed authorize: a/make"],
    ),
    (
        r#"limit: 1000,"#,
        r#"limit: 2000,"#,
        &["policy relax policy-changed policy day limit"],
    ),
    (
        r#"depth: 32"#,
        r#"depth: 64"#,
        &["policy relax policy-changed policy waf depth"],
    ),
    (
        "depth: 33",
        "depth: 34",
        &["policy relax policy-changed policy deep json.depth"],
    ),
    (
        ", items: 100",
        "",
        &[
            "security weaken guard-changed threat: a/list+a/make",
            "policy relax policy-changed policy deep json.items",
        ],
    ),
    (
        "attributes: 5",
        "attributes: 4",
        &["policy tighten policy-changed policy deep xml.attributes"],
    ),
    (
        "{attributes: 5}}",
        "{attributes: 5}, rules: [sql_union]}",
        &[
            "security strengthen guard-changed threat: a/list+a/make",
            "policy tighten policy-changed policy deep rules.sql_union",
        ],
    ),
    (
        "{attributes: 5}}",
        "{attributes: 5}, mode: log}",
        &[
            "security weaken guard-removed threat: a/list+a/make",
            "policy relax policy-changed policy deep mode",
        ],
    ),
    (
        r#"request: block"#,
        r#"request: log"#,
        &["security weaken request-validation-changed validate.request: a/list+a/make+a/status"],
    ),
    (
        r#"response: log"#,
        r#"response: block"#,
        &[
            "security strengthen response-validation-changed validate.response: a/list+a/make+a/status",
        ],
    ),
    (
        r#"min_version: "1.3""#,
        r#"min_version: "1.2""#,
        &["security weaken listener-tls-version-changed listener public tls.min_version"],
    ),
    (
        r#"mode: required"#,
        r#"mode: optional"#,
        &["security weaken client-auth-changed listener public tls.client_auth.mode"],
    ),
    (
        r#"ca: "${file:/run/ca.pem}""#,
        r#"ca: "${file:/run/cb.pem}""#,
        &[
            "security incomparable client-authority-changed listener public tls.client_auth.ca",
            "security changed secret-flow-added listener public tls.client_auth.ca",
        ],
    ),
    (
        r#"ca: "${file:/run/u.pem}""#,
        r#"ca: "${file:/run/u.pem}", verify: false"#,
        &["security weaken upstream-verification-changed upstream u tls.verify"],
    ),
    (
        r#"url: "https://u.internal:9000""#,
        r#"url: "http://u.internal:9000""#,
        &[
            "security weaken upstream-protocol-changed upstream u targets.a.url",
            "upstream moved targets-changed upstream u targets.a.url",
        ],
    ),
    (
        r#"trusted_proxies: [10.0.0.0/8]"#,
        r#"trusted_proxies: [10.0.0.0/8, 10.1.0.0/16]"#,
        &["security changed trusted-proxies-restated listener public trusted_proxies"],
    ),
    (
        r#"trusted_proxies: [10.0.0.0/8]"#,
        r#"trusted_proxies: [10.0.0.0/8, 172.16.0.0/12]"#,
        &["security weaken trusted-proxy-added listener public trusted_proxies"],
    ),
    (
        r#"allow: [10.0.0.0/8, 192.0.2.0/24]"#,
        r#"allow: [10.0.0.0/8, 192.0.0.0/16]"#,
        &["security weaken address-filter-changed from: a/list+a/make"],
    ),
    (
        r#"allow: [10.0.0.0/8, 192.0.2.0/24]"#,
        r#"allow: [10.0.0.0/8]"#,
        &["security strengthen address-filter-changed from: a/list+a/make"],
    ),
    (
        r#"allow: [10.0.0.0/8, 192.0.2.0/24]"#,
        r#"allow: [10.0.0.0/9, 10.128.0.0/9, 192.0.2.0/24]"#,
        &["policy changed setting-restated policy office allow"],
    ),
    (
        r#"groups: [partners]"#,
        r#"groups: [partners, admin]"#,
        &["security grant consumer-right-added consumer acme groups"],
    ),
    (
        r#"{groups: [partners], "#,
        r#"{"#,
        &["security strengthen consumer-right-removed consumer acme groups"],
    ),
    (
        r#"connections: 100"#,
        r#"connections: 200"#,
        &["policy relax upstream-setting-changed upstream u limits.connections"],
    ),
    (
        r#"p.internal:9000"}}}"#,
        r#"p.internal:9000"}}, proxy_protocol: v2}"#,
        &["security incomparable upstream-setting-changed upstream plain proxy_protocol"],
    ),
    (
        r#"p.internal:9000"}}}"#,
        r#"p.internal:9000"}}, rewrite_responses: [location]}"#,
        &["upstream moved upstream-setting-changed upstream plain rewrite_responses"],
    ),
    (
        r#"limits: {connections: 100}"#,
        r#"limits: {connections: 100, response_header_bytes: 128KiB}"#,
        &["policy relax upstream-setting-changed upstream u limits.response_header_bytes"],
    ),
    (
        r#"connect: 1s"#,
        r#"connect: 500ms"#,
        &["policy tighten connect-timeout-changed upstream u timeouts.connect"],
    ),
];

/// Edits of the document (old and new text), each with its expected lines.
const OF_DOCUMENT: &[(&str, &str, &[&str])] = &[
    (
        r#"auth: idp, strip"#,
        r#"auth: other, strip"#,
        &["policy changed security-restated security: a/list+a/make"],
    ),
    (
        r#"strip_credential: true, "#,
        r#""#,
        &[
            "security weaken credential-forwarded security bearer: a/list+a/make+a/status",
            // The authorization service newly receives the token.
            "security incomparable authorization-changed authorize: a/make",
        ],
    ),
    (
        r#"{sub: X-User}"#,
        r#"{sub: X-User, email: X-Mail}"#,
        &[
            "security strengthen identity-field-changed request header x-mail: a/list+a/make",
            "security strengthen identity-field-changed request header x-mail: a/status",
        ],
    ),
    (
        r#"security: [{token: [read]}]"#,
        r#"security: [{token: []}]"#,
        &["security weaken security-requirement-changed security: a/list+a/make"],
    ),
    (
        r#"security: [{token: [read]}]"#,
        r#"security: [{key: []}]"#,
        &["security incomparable security-requirement-changed security: a/list+a/make"],
    ),
    (
        r#"cost: 5"#,
        r#"cost: 1"#,
        &["policy relax operation-setting-changed cost: a/make"],
    ),
    (
        r#"+policies: [admins, ask]"#,
        r#"+policies: [admins]"#,
        &[
            "security weaken authorization-changed authorize: a/make",
            "policy changed policies-changed policies: a/make",
        ],
    ),
    (
        r#"{operationId: list,"#,
        r#"{operationId: list, x-gateway: {upstream: plain},"#,
        &[
            "security weaken upstream-transport-changed upstream: a/list",
            "routing moved upstream-changed upstream: a/list",
            "policy relax upstream-setting-changed upstream u -> plain limits.connections: a/list",
            "policy relax connect-timeout-changed upstream u -> plain timeouts.connect: a/list",
        ],
    ),
    (
        r#"{operationId: list,"#,
        r#"{operationId: list, x-gateway: {validate: {request: off}},"#,
        &[
            "security weaken request-validation-changed validate.request: a/list",
            "security weaken response-validation-changed validate.response: a/list",
        ],
    ),
    (
        r#"{operationId: list,"#,
        r#"{operationId: list, x-gateway: {policies: [web, page, day, deep]},"#,
        &[
            "security weaken address-filter-removed from: a/list",
            "policy changed policies-changed policies: a/list",
        ],
    ),
];

#[test]
fn every_edit_gives_exactly_its_lines() {
    let mut wrong = Vec::new();
    for (from, to, expected) in OF_GATEWAY {
        let found = lines(&planned(&edit(GATEWAY, from, to), DOCUMENT));
        if found != *expected {
            wrong.push(format!("{from} -> {to}: {found:#?}"));
        }
    }
    for (from, to, expected) in OF_DOCUMENT {
        let found = lines(&planned(GATEWAY, &edit(DOCUMENT, from, to)));
        if found != *expected {
            wrong.push(format!("{from} -> {to}: {found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn same_project_has_an_empty_plan_with_its_limits() {
    let plan = planned(GATEWAY, DOCUMENT);
    assert_eq!(lines(&plan), Vec::<String>::new());
    let other = planned(&edit(GATEWAY, "connect: 1s", "connect: 2s"), DOCUMENT);
    assert_eq!(
        other.notes,
        ["4 secrets or files that gwd reads at load time are not compared"]
    );
}

#[test]
fn gateway_with_unavailable_features_is_refused() {
    let document = edit(DOCUMENT, "cost: 5}", "cost: 5, mock: true}");
    let side = side(GATEWAY, &document);
    let needs: BTreeSet<String> = side.lowered.gateway.needs().into_iter().collect();
    for need in ["policy:graphql_guard", "operation:mock"] {
        assert!(needs.contains(need), "{need}: {needs:?}");
        assert_eq!(bundle::ir::missing(&[need.to_owned()]), Some(need));
    }
    let mut parts = engine::Parts::default();
    let refused = parts.assemble(&side.lowered.gateway).err();
    assert!(
        matches!(refused, Some(engine::BuildError::NotAvailable(_))),
        "{refused:?}"
    );
}

#[test]
fn change_of_unavailable_feature_has_no_witness() {
    let plan = planned(
        &edit(GATEWAY, "audience: [orders]", "audience: [orders, shop]"),
        DOCUMENT,
    );
    let change = &plan.changes[0];
    assert_eq!(change.witness, None);
    assert_eq!(
        change.why_none,
        Some("this version cannot run `graphql_guard`")
    );
    // The source location of the change is the edited verifier, not the security requirement.
    let place = change.source_new.as_ref().expect("a place");
    assert_eq!(place.file, "gateway.yaml");
}

#[test]
fn changed_setting_has_its_value_and_place() {
    let plan = planned(&edit(GATEWAY, "connect: 1s", "connect: 2s"), DOCUMENT);
    let change = &plan.changes[0];
    assert_eq!(
        (change.old.as_str(), change.new.as_str()),
        (Some("1s"), Some("2s"))
    );
    let place = change.source_new.as_ref().expect("a place");
    assert_eq!((place.file.as_str(), place.line), ("gateway.yaml", 11));
    assert!(place.column > 90, "{place:?}");
}

/// Changes each scalar of both texts in turn. Every change must have a line.
#[test]
fn every_changed_setting_is_named_by_a_line() {
    let base = side(GATEWAY, DOCUMENT);
    let mut silent = Vec::new();
    let mut tried = 0;
    let changes = [
        ("32}", "33}"),
        ("10.0.0.0/8, 192", "10.0.0.0/9, 192"),
        ("https://app.example", "https://apq.example"),
        ("[PUT]", "[PATCH]"),
        ("10m", "11m"),
        ("mode: block", "mode: log"),
        ("[admin]", "[boss]"),
        ("[write]", "[rite]"),
        ("ask.example", "asq.example"),
        ("on_outage: closed", "on_outage: open"),
        ("1000, period", "2000, period"),
        ("period: day", "period: week"),
        ("policies: [waf]", "policies: []"),
        ("auth: [idp, keys, other]", "auth: [idp, other]"),
        ("a/status", "a/*"),
        ("upstream: u, policies", "upstream: plain, policies"),
        (
            "[office, web, page, day, deep]",
            "[office, web, page, deep]",
        ),
        ("timeout: 5s", "timeout: 6s"),
        ("request: block", "request: log"),
        ("response: log", "response: off"),
        ("8443", "8444"),
        ("10.0.0.0/8]\n    tls", "10.0.0.0/9]\n    tls"),
        ("tls.pem", "tls2.pem"),
        ("tls.key", "tls2.key"),
        ("\"1.3\"", "\"1.2\""),
        ("ca.pem", "cb.pem"),
        ("mode: required", "mode: optional"),
        ("https://u.internal", "http://u.internal"),
        ("u.internal:9000", "u.internal:9001"),
        ("sni: u.internal", "sni: v.internal"),
        ("/run/u.pem", "/run/v.pem"),
        ("connect: 1s", "connect: 2s"),
        ("connections: 100", "connections: 200"),
        ("p.internal", "q.internal"),
        ("issuer: \"https://idp\"", "issuer: \"https://idq\""),
        ("[orders]", "[orders, b]"),
        ("\"https://idp/keys\"", "\"https://idq/keys\""),
        ("[RS256]", "[RS512]"),
        ("max_lifetime: 1h", "max_lifetime: 2h"),
        ("token_bytes: 8KiB", "token_bytes: 9KiB"),
        ("[partners]", "[partners, x]"),
        ("9f86", "8f86"),
        ("name: shop", "name: shoq"),
    ];
    for (from, to) in changes {
        tried += 1;
        let plan = plan::compare(Some(&base), &side(&edit(GATEWAY, from, to), DOCUMENT))
            .expect("both build");
        if plan.changes.is_empty()
            || plan
                .changes
                .iter()
                .any(|change| change.id == "unclassified")
        {
            silent.push(format!("{from} -> {to}: {:?}", lines(&plan)));
        }
    }
    assert!(tried > 40, "only {tried}");
    assert_eq!(silent, Vec::<String>::new());
}
