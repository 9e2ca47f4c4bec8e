//! Tests of operations that replace another operation at its upstream: clients send a different
//! request, but the upstream receives the same request.

use model::compile::Purpose;
use plan::{Class, Plan};

use crate::compiled;

const GATEWAY: &str = "version: 1
name: shop
apis: {a: {path: api.yaml}}
auth: {keys: {kind: api_key}}
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}
consumers:
  acme: {claims: {roles: [admin]}, keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}]}
policies:
  office: {kind: ip_filter, allow: [10.0.0.0/8]}
  halves: {kind: ip_filter, allow: [10.0.0.0/9, 10.128.0.0/9]}
  admins: {kind: authorize, roles: [admin]}
  slow: {kind: rate_limit, limit: 10/s}
  waf: {kind: threat, json: {depth: 4}}
defaults: {upstream: u}
";

const BODY: &str = "requestBody: {content: {application/json: {schema: {type: object}}}}";

/// Document with one operation.
fn document(path: &str, method: &str, settings: &str) -> String {
    format!(
        "openapi: 3.1.0
info: {{title: t, version: \"1\"}}
paths:
  {path}:
    {method}: {{operationId: make, {BODY}, {settings}, responses: {{\"200\": {{description: fine}}}}}}
components:
  securitySchemes: {{key: {{type: apiKey, in: header, name: X-Key, x-gateway: {{auth: keys}}}}}}
"
    )
}

fn planned(old: (&str, &str), new: (&str, &str)) -> Plan {
    let side = |(gateway, document)| {
        let files = [("gateway.yaml", gateway), ("api.yaml", document)];
        compiled(&files, Purpose::Ask).expect("it compiles")
    };
    plan::compare(Some(&side(old)), &side(new)).expect("both sides build")
}

/// Ids of the changes that trip the gates `weaken` and `relax`.
fn gated(plan: &Plan) -> Vec<&'static str> {
    let classes = [Class::Weaken, Class::Incomparable, Class::Relax];
    let changes = plan.changes.iter();
    let changes = changes.filter(|change| classes.contains(&change.class));
    changes.map(|change| change.id).collect()
}

#[test]
fn moved_path_hides_no_weaker_access() {
    let old = document(
        "/items",
        "post",
        "security: [{key: [admin]}], x-gateway: {validate: {request: block}, policies: [office, admins, slow, waf]}",
    );
    for (security, settings, expected) in [
        (
            "[{key: [admin]}]",
            "validate: {request: block}, policies: [office, admins, slow, waf]",
            [].as_slice(),
        ),
        (
            "[{key: [admin]}]",
            "validate: {request: block}, policies: [halves, admins, slow, waf]",
            &[],
        ),
        (
            "[{key: []}]",
            "validate: {request: block}, policies: [office, admins, slow, waf]",
            &["security-requirement-changed"],
        ),
        (
            "[{key: [admin]}]",
            "validate: {request: block}, policies: [office, slow, waf]",
            &["authorization-removed"],
        ),
        (
            "[{key: [admin]}]",
            "validate: {request: block}, policies: [admins, slow, waf]",
            &["address-filter-removed"],
        ),
        (
            "[{key: [admin]}]",
            "policies: [office, admins, slow, waf]",
            &["request-validation-changed"],
        ),
        (
            "[{key: [admin]}]",
            "validate: {request: block}, policies: [office, admins, slow]",
            &["guard-removed"],
        ),
        (
            "[{key: [admin]}]",
            "validate: {request: block}, policies: [office, admins, waf]",
            &["policies-changed"],
        ),
    ] {
        // Each edit changes the path, the method, or the base path or hosts of the mount.
        let moves = [
            ("/things", "post", "rewrite: {path: /items}, ", ""),
            ("/items", "put", "rewrite: {method: POST}, ", ""),
            (
                "/items",
                "post",
                "",
                ", mount: {base_path: /v1, strip_base_path: true}",
            ),
            ("/items", "post", "", ", mount: {hosts: [b.example]}"),
        ];
        for (path, method, rewrite, mount) in moves {
            let settings = format!("security: {security}, x-gateway: {{{rewrite}{settings}}}");
            let new = document(path, method, &settings);
            let gateway = GATEWAY.replace("api.yaml", &format!("api.yaml{mount}"));
            let plan = planned((GATEWAY, &old), (&gateway, &new));
            assert_eq!(gated(&plan), expected, "{path} {method}{mount} {settings}");
            // Renaming the operation in addition must not hide a change.
            let renamed = new.replace("operationId: make", "operationId: create");
            let plan = planned((GATEWAY, &old), (&gateway, &renamed));
            assert_eq!(gated(&plan), expected, "{path} {method}{mount} {settings}");
        }
    }
}

#[test]
fn moved_path_hides_no_wider_check() {
    let checked = "security: [{key: []}], x-gateway: {validate: {request: block}}";
    let moved = checked.replace("{validate", "{rewrite: {path: /items}, validate");
    let narrow =
        |document: String| document.replace("{type: object}", "{type: object, maxProperties: 3}");
    let old = narrow(document("/items", "post", checked));
    let wide = document("/things", "post", &moved);
    let plan = planned((GATEWAY, &old), (GATEWAY, &wide));
    assert_eq!(gated(&plan), ["request-check-widened"]);
    let plan = planned((GATEWAY, &old), (GATEWAY, &narrow(wide)));
    assert_eq!(gated(&plan), [""; 0]);
}

#[test]
fn line_names_the_request_and_its_old_operation() {
    let key = "security: [{key: [admin]}], x-gateway: {rewrite: {path: /items}}";
    let old = document("/items", "post", "security: [{key: [admin]}]");
    let new = document("/things", "post", &key.replace("[admin]", "[]"));
    let new = new.replace("operationId: make", "operationId: create");
    let plan = planned((GATEWAY, &old), (GATEWAY, &new));
    let mut changes = plan.changes.iter();
    let change = changes.find(|change| change.id == "security-requirement-changed");
    let change = change.expect("a line");
    assert_eq!(
        change.subject,
        "security of POST localhost:9000/items, before: a/make"
    );
    assert_eq!(change.old, "header x-key by keys with role admin");
    assert_eq!(change.new, "header x-key by keys");
    assert_eq!(change.operations, ["a/create"]);
}

#[test]
fn access_that_existed_before_is_no_change() {
    // In the old version, `/things` leads to the upstream path `/items` and requires a key without
    // a role.
    let both = |items: &str, things: &str| {
        let plain = document("/items", "post", "security: [{key: [admin]}]");
        let (_, operation) = plain.split_once("/items:").expect("a path");
        let (operation, _) = operation.split_once("components:").expect("its end");
        let other = operation.replace("operationId: make", "operationId: other");
        let other = other.replace("security: [{key: [admin]}]", things);
        let second = format!("  /things:{other}components:");
        plain
            .replace("security: [{key: [admin]}]", items)
            .replace("components:", &second)
    };
    let there = "security: [{key: []}], x-gateway: {rewrite: {path: /items}}";
    let old = both("security: [{key: [admin]}]", there);
    let new = document(
        "/others",
        "post",
        "security: [{key: []}], x-gateway: {rewrite: {path: /items}}",
    );
    let plan = planned((GATEWAY, &old), (GATEWAY, &new));
    assert_eq!(gated(&plan), [""; 0]);
    // In the old version, requests for `/items` belong to the operation that requires a role, and
    // never to `/{x}`.
    let wide = both("security: [{key: [admin]}]", "security: [{key: []}]");
    let wide = wide.replace(
        "  /things:",
        "  /{x}:\n    parameters: [{name: x, in: path, required: true, schema: {type: string}}]",
    );
    let plan = planned((GATEWAY, &wide), (GATEWAY, &new));
    assert!(
        gated(&plan).contains(&"security-requirement-changed"),
        "{:?}",
        gated(&plan)
    );
}

#[test]
fn way_round_that_existed_is_not_added() {
    let old = "security: [], x-gateway: {public: true, policies: [office]}";
    let with = |guard: &str| {
        let open =
            "security: [], x-gateway: {public: true, policies: [GUARD], rewrite: {path: /items}}";
        let plain = document("/items", "post", old);
        let (_, operation) = plain.split_once("/items:").expect("a path");
        let (operation, _) = operation.split_once("components:").expect("its end");
        let other = operation.replace("operationId: make", "operationId: other");
        let other = other.replace(old, &open.replace("GUARD", guard));
        let items = old.replace("[office]", "[office, admins]");
        plain
            .replace(old, &items.replace("security: []", "security: [{key: []}]"))
            .replace("components:", &format!("  /things:{other}components:"))
    };
    let plan = planned((GATEWAY, &with("office")), (GATEWAY, &with("halves")));
    let ids: Vec<&str> = plan.changes.iter().map(|change| change.id).collect();
    assert!(!ids.contains(&"way-round-added"), "{ids:?}");
    let wider = GATEWAY.replace("10.0.0.0/9, 10.128.0.0/9", "10.0.0.0/7");
    let plan = planned((GATEWAY, &with("office")), (&wider, &with("halves")));
    assert!(
        gated(&plan).contains(&"way-round-added"),
        "{:?}",
        gated(&plan)
    );
}

#[test]
fn certificate_is_part_of_the_access_before() {
    let listeners = "listeners:\n  public: {address: \"127.0.0.1:8080\"}\n  inner: {address: \"127.0.0.1:8443\", protocol: https, tls: {certificates: {main: {cert: \"${file:/t/c.pem}\", key: \"${file:/t/k.pem}\"}}, client_auth: {mode: required, ca: \"${file:/t/ca.pem}\"}}}\n";
    let side = |listener: &str, path: &str, settings: &str| {
        let mount = format!("api.yaml, mount: {{listeners: [{listener}]}}");
        let gateway = GATEWAY.replace("api.yaml", &mount) + listeners;
        let settings = format!("security: [{{key: []}}], x-gateway: {{{settings}}}");
        (gateway, document(path, "post", &settings))
    };
    let (old, new) = (
        side("inner", "/items", ""),
        side("public", "/things", "rewrite: {path: /items}"),
    );
    let plan = planned((&old.0, &old.1), (&new.0, &new.1));
    assert_eq!(gated(&plan), ["client-auth-changed"]);
}
