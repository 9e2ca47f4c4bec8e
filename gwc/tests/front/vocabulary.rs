//! The vocabulary as a whole: every key of a rich project is known, and what cannot run yet says so.

use std::collections::BTreeSet;

use gwc::project::files::Files;
use gwc::syntax::Limits;

const GATEWAY: &str = r#"# yaml-language-server: $schema=../schemas/gateway.schema.json
version: 1
name: shop
owner: platform
apis:
  orders:
    path: apis/orders.yaml
    overlays: [apis/orders.gw.yaml]
    mounts:
      - {name: v2, hosts: [api.shop.example], base_path: /orders/v2, strip_base_path: true, listeners: [public]}
listeners:
  public: {address: "0.0.0.0:8443", protocol: https, trusted_proxies: [10.0.0.0/8],
           tls: {certificates: {main: {cert: "${file:/run/secrets/tls.pem}", key: "${file:/run/secrets/tls.key}"}}}}
upstreams:
  orders: {targets: {a: {url: "http://orders:8080/api", weight: 1}}, timeouts: {connect: 1s, request: 5s}, host_header: upstream}
  files: {dns: {name: files.internal, port: 8080}}
auth:
  idp: {kind: jwt, issuer: "${var:IDP}", audience: [orders], jwks_url: "https://idp.shop.example/keys", algorithms: [RS256, ES256]}
  keys: {kind: api_key}
plans: {gold: {policies: [gold_rate]}}
consumers:
  acme: {plan: gold, groups: [partners], keys: [{sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", not_after: 2027-06-30}]}
policies:
  waf: {kind: threat, json: {depth: 32}}
  per_client: {kind: rate_limit, limit: 100/s, burst: 20, key: consumer, anonymous: address}
  gold_rate: {kind: rate_limit, limit: 1000/s, burst: 200, key: consumer}
  web: {kind: cors, origins: ["https://app.shop.example"], credentials: true}
required: {policies: [waf], allow_public: ["orders/getStatus"]}
defaults: {upstream: orders, listeners: [public], policies: [per_client], timeout: 10s, validate: {request: block}}
environments:
  prod: {patch: env/prod.yaml, vars: {IDP: "https://idp.shop.example"}, release: {channel: prod}}
release: {store: ./releases, channel: staging}
gates: [weaken, break, remove]
"#;

const OVERLAY: &str = r#"overlay: 1.0.0
info: {title: orders behind the gateway, version: "1"}
actions:
  - {target: "$", update: {x-gateway: {owner: team-orders, undeclared_methods: deny}}}
  - {target: "$.components.securitySchemes.oauth", update: {x-gateway: {auth: idp, claims_to_headers: {sub: X-User}}}}
  - {target: "$.components.securitySchemes.key", update: {x-gateway: {auth: keys, strip_credential: true}}}
  - {target: "$.paths['/{id}:cancel'].post", update: {x-gateway: {+policies: [web], timeout: 2s}}}
  - {target: "$.paths['/export'].get", update: {x-gateway: {security: [{oauth: [admin]}], cost: 50}}}
  - {target: "$.paths['/files'].post", update: {x-gateway: {upstream: files, rewrite: {path: "/up{path}"}, max_body: 50MiB}}}
  - {target: "$.paths['/status'].get", update: {x-gateway: {public: true}}}
"#;

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: orders, version: "1"}
security: [{key: []}]
paths:
  /{id}:cancel:
    post: {operationId: cancel, parameters: [{name: id, in: path, required: true, schema: {type: string}}], responses: {"204": {description: done}}}
  /export: {get: {operationId: export, responses: {"200": {description: fine}}}}
  /files: {post: {operationId: upload, responses: {"201": {description: made}}}}
  /status: {get: {operationId: getStatus, security: [], responses: {"200": {description: fine}}}}
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Key}
    oauth: {type: oauth2, flows: {clientCredentials: {tokenUrl: "https://idp.shop.example/token", scopes: {admin: all}}}}
"#;

#[test]
fn a_rich_project_is_known_and_what_cannot_run_says_so_at_its_place() {
    let files = [
        ("gateway.yaml", GATEWAY),
        ("apis/orders.yaml", DOCUMENT),
        ("apis/orders.gw.yaml", OVERLAY),
        ("env/prod.yaml", "defaults: {timeout: 5s}\n"),
    ];
    let compiled = gwc::compile::project(Files::in_memory(files, Limits::default()), &Vec::new());
    let errors: Vec<String> = compiled
        .findings
        .iter()
        .filter(|finding| finding.level == diag::Level::Error)
        .map(|finding| format!("{}: {}", finding.lint.name, finding.message))
        .collect();
    assert_eq!(errors, [""; 0]);
    let later: BTreeSet<&str> = compiled
        .findings
        .iter()
        .filter(|finding| finding.lint.name == "not-available")
        .map(|finding| compiled.files.sources.text(finding.span))
        .collect();
    let expected = [
        "https",
        "tls",
        "dns",
        "jwt",
        "plans",
        "plan",
        "groups",
        "threat",
        "cors",
        "validate",
        "break",
        "claims_to_headers",
        "cost",
        "rewrite",
    ];
    for word in expected {
        assert!(
            later.contains(word),
            "`{word}` should say that it is not available: {later:?}"
        );
    }
    assert!(compiled.lowered.is_none(), "nothing is built from it");
    let stopped = compiled.for_lowering();
    let levels = stopped
        .findings
        .iter()
        .filter(|finding| finding.lint.name == "not-available");
    assert!(
        levels
            .into_iter()
            .all(|finding| finding.level == diag::Level::Error)
    );
}
