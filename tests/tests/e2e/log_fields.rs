//! Tests of fields of the access log: those of policies of the kind `log_fields`, and of the rate
//! limit.

use e2e::gateway::{Gateway, Options};
use e2e::project::Project;
use e2e::upstream::{Answer, Upstream};
use serde_json::{Value, json};

const DOCUMENT: &str = r##"openapi: 3.1.0
info: {title: s, version: "1"}
security: [{key: []}]
paths:
  /orders/{order}:
    get:
      operationId: order
      parameters:
        - {name: order, in: path, required: true, schema: {type: string}}
        - {name: mail, in: query, schema: {type: string}, x-gateway: {log: redact}}
        - {name: X-Person, in: header, schema: {$ref: "#/components/schemas/Secret"}}
      x-gateway: {+policies: [own]}
      responses: {"200": {description: ok}}
  /plain: {get: {operationId: plain, responses: {"200": {description: ok}}}}
  /few: {get: {operationId: few, x-gateway: {+policies: [few]}, responses: {"200": {description: ok}}}}
x-gateway:
  policies:
    own:
      kind: log_fields
      fields:
        order: {from: "path:order", form: hash}
        mail: "query:mail"
        person: "header:x-person"
        code: {from: "query:code", form: keep}
        token: {from: "header:x-token", form: keep}
components:
  schemas: {Secret: {type: string, x-gateway: {redact: true}}}
  securitySchemes: {key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}}
"##;

/// SHA-256 of the key `letmein`.
const KEY: &str = "1c8bfe8f801d79745c4631d09fff36c82aa37fc4cce4fc946683d7b336b63032";

/// Gateway whose operations all have the policy `tenants`, and the operation `order` another one.
fn scene() -> (Upstream, Project, Gateway) {
    let upstream = Upstream::scripted(|_| Answer::ok(""));
    let gateway = format!(
        "version: 1\nname: s\napis: {{s: {{path: openapi.yaml}}}}\n\
         listeners: {{public: {{address: \"127.0.0.1:8080\"}}}}\n\
         upstreams: {{main: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n\
         auth: {{keys: {{kind: api_key}}}}\n\
         consumers: {{acme: {{keys: [{{sha256: {KEY}}}], claims: {{org: north}}}}}}\n\
         policies:\n  tenants: {{kind: log_fields, fields: {{tenant: \"header:X-Tenant\", \
         org: \"claim:org\", theme: \"cookie:theme\"}}}}\n  \
         few: {{kind: rate_limit, limit: 2/h, burst: 2, key: consumer}}\n  \
         inject: {{kind: headers, request: {{set: {{X-Internal: \"${{env:GWS_INTERNAL}}\"}}}}}}\n  \
         injected: {{kind: log_fields, fields: {{internal: \"header:X-Internal\"}}}}\n\
         defaults: {{upstream: main, policies: [tenants, inject, injected]}}\n\
         release: {{store: releases, channel: prod}}\n",
        upstream.url(),
    );
    let project = Project::with(&gateway, DOCUMENT);
    project.keygen();
    project.apply();
    let gateway = Options::of(&project).workers(1);
    let gateway = gateway.variable("GWS_INTERNAL", "PLANTED").start();
    (upstream, project, gateway)
}

/// Sends a request. Returns the status and the object `fields` of its log line.
fn fields(gateway: &Gateway, target: &str, headers: &str) -> (u16, Value) {
    let response = gateway.ask(&format!("GET {target} HTTP/1.1\nhost: h{headers}"));
    let id = response.header("x-request-id").expect("an id");
    let line = gateway.access_log().line(id);
    assert!(!line.to_string().contains("PLANTED"), "{line}");
    (response.status, line["fields"].clone())
}

#[test]
fn fields_of_policies_are_in_the_log() {
    let (_upstream, _project, gateway) = scene();
    let key = "\nx-key: letmein";
    let headers = format!("{key}\nx-tenant: a\nx-tenant: b\"[31m\ncookie: a=1; theme=dark");
    let (status, plain) = fields(&gateway, "/plain", &headers);
    assert_eq!(status, 200);
    // A policy sets `X-Internal` to a secret of the gateway.
    assert_eq!(
        plain,
        json!({"internal": "REDACTED", "org": "north", "tenant": "a, b\"[31m", "theme": "dark"})
    );
    // Some servers read such values as further parameters.
    for target in [
        "/orders/7?code=1;access_token=PLANTED",
        "/orders/7?code=/a%3Faccess_token=PLANTED%26b=1",
    ] {
        assert_eq!(
            fields(&gateway, target, key).1["code"],
            "REDACTED",
            "{target}"
        );
    }
    let headers = format!("{key}\nx-token: https://h/a?access_token=PLANTED#b");
    assert_eq!(
        fields(&gateway, "/orders/7", &headers).1["token"],
        "REDACTED"
    );
    let headers = format!("{key}\nx-person: PLANTED\nx-token: kept");
    let target = "/orders/7%20x?mail=PLANTED&code=DE%0A";
    let (_, order) = fields(&gateway, target, &headers);
    let hash = order["order"].as_str().expect("a hash").to_owned();
    assert!(hash.starts_with("hash:") && hash.len() == 21, "{hash}");
    assert_eq!(
        order,
        json!({"internal": "REDACTED", "org": "north", "order": hash, "mail": "REDACTED", "person": "REDACTED",
               "code": "DE\n", "token": "kept"})
    );
    let (_, long) = fields(
        &gateway,
        &format!("/orders/7?code={}", "x".repeat(1_000)),
        key,
    );
    assert_eq!(long["code"], "x".repeat(256), "bounded");
    assert_eq!(fields(&gateway, "/nothing", key), (404, Value::Null));
    gateway.stops_clean();
}

#[test]
fn rate_limit_of_a_request_is_in_the_log() {
    let (_upstream, _project, gateway) = scene();
    for (status, remaining) in [(200, 1), (200, 0), (429, 0)] {
        let response = gateway.ask("GET /few HTTP/1.1\nhost: h\nx-key: letmein");
        assert_eq!(response.status, status);
        let id = response.header("x-request-id").expect("an id");
        let line = gateway.access_log().line(id);
        assert_eq!(line["ratelimit_policy"], "few", "{line}");
        assert_eq!(line["ratelimit_remaining"], remaining, "{line}");
        assert_eq!(line["channel"], "prod");
    }
    let response = gateway.ask("GET /plain HTTP/1.1\nhost: h\nx-key: letmein");
    let id = response.header("x-request-id").expect("an id");
    assert_eq!(gateway.access_log().line(id).get("ratelimit_policy"), None);
    gateway.stops_clean();
}

#[test]
fn refused_requests_have_the_fields_too() {
    let (_upstream, _project, gateway) = scene();
    let refused = fields(&gateway, "/plain", "\nx-tenant: a\nx-key: PLANTED");
    assert_eq!(refused, (401, json!({"tenant": "a"})));
    assert_eq!(fields(&gateway, "/plain", "").1, Value::Null, "no value");
    gateway.stops_clean();
}
