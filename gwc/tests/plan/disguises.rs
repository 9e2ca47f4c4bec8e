//! Tests of changes of numbers and settings in combination with a renaming (API, operation,
//! parameter, policies, upstream), or with a move of the policies. The combination must have every
//! gated class that the change has alone.

use std::collections::BTreeSet;

use plan::Class;

use crate::side;

const GATEWAY: &str = "version: 1
name: s
apis: {a: {path: api.yaml}}
listeners: {public: {address: \"127.0.0.1:8080\"}}
upstreams:
  u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}
  v: {targets: {a: {url: \"http://127.0.0.1:9001\"}}}
auth: {keys: {kind: api_key}}
consumers: {acme: {keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}]}}
policies:
  r: {kind: rate_limit, limit: 10/s, burst: 5}
  q: {kind: quota, limit: 100, period: month}
  c: {kind: concurrency, limit: 5}
  bl: {kind: body_limit, request: 1KiB}
  ip: {kind: ip_filter, allow: [10.0.0.0/8]}
  th: {kind: threat, json: {depth: 4}}
defaults: {upstream: u, timeout: 5s, max_body: 1MiB, policies: [r, q, c, bl, ip, th]}
";

/// Document with these `x-gateway` settings of a path item and of its operation, and this maximum
/// length of a string in the body.
fn document(of_path: &str, of_operation: &str, length_max: &str) -> String {
    format!(
        "openapi: 3.1.0
info: {{title: t, version: \"1\"}}
security: [{{key: []}}]
paths:
  /a/{{id}}:
    x-gateway: {{{of_path}}}
    parameters: [{{name: id, in: path, required: true, schema: {{type: string}}}}]
    post:
      operationId: op
      x-gateway: {{{of_operation}}}
      requestBody: {{content: {{application/json: {{schema: {{type: object, properties: {{a: {{type: string, maxLength: {length_max}}}}}, required: [a]}}}}}}}}
      responses: {{'200': {{description: d}}}}
components: {{securitySchemes: {{key: {{type: apiKey, in: header, name: X-Key, x-gateway: {{auth: keys}}}}}}}}
"
    )
}

/// File and position in it that an edit changes.
#[derive(Clone, Copy)]
enum At {
    Gateway,
    Path,
    Operation,
    Schema,
}

use At::{Gateway, Operation, Path, Schema};

/// Edits: position, old text, new text. Each edit changes which requests are served, how many, or
/// from which upstream.
const EDITS: [(At, &str, &str); 22] = [
    (Gateway, "limit: 10/s", "limit: 99/s"),
    (Gateway, "burst: 5", "burst: 50"),
    (Gateway, "limit: 100,", "limit: 1000,"),
    (Gateway, "period: month", "period: day"),
    (Gateway, "limit: 5}", "limit: 50}"),
    (Gateway, "request: 1KiB", "request: 1MiB"),
    (Gateway, "10.0.0.0/8]", "10.0.0.0/7]"),
    (Gateway, "depth: 4", "depth: 40"),
    (Gateway, "timeout: 5s", "timeout: 9s"),
    (Gateway, "max_body: 1MiB", "max_body: 9MiB"),
    (Path, "path_readings: strict", "path_readings: keep"),
    (Path, "match: template", "match: prefix"),
    (Operation, "timeout: 3s", "timeout: 8s"),
    (Operation, "max_body: 1KiB", "max_body: 2MiB"),
    (
        Operation,
        "retries: {attempts: 1}",
        "retries: {attempts: 9}",
    ),
    (
        Operation,
        "validate: {request: block}",
        "validate: {request: log}",
    ),
    (
        Operation,
        "validate: {request: block}",
        "validate: {request: off}",
    ),
    (Operation, "upstream: u", "upstream: v"),
    (Operation, "internal: true", "internal: false"),
    (Operation, "cost: 5", "cost: 1"),
    (Operation, "idempotent: false", "idempotent: true"),
    (Schema, "5", "500"),
];

/// Project: gateway.yaml and the document.
type Files = (String, String);

/// Old and new version of the project for an edit.
fn sides((at, old, new): (At, &str, &str)) -> [Files; 2] {
    [old, new].map(|value| {
        let gateway = match at {
            Gateway => GATEWAY.replacen(old, value, 1),
            Path | Operation | Schema => GATEWAY.to_owned(),
        };
        let validated = "validate: {request: block}";
        let (of_path, of_operation, length_max) = match at {
            Gateway => ("", validated, "5"),
            Path => (value, validated, "5"),
            Operation => ("", value, "5"),
            Schema => ("", validated, value),
        };
        (gateway, document(of_path, of_operation, length_max))
    })
}

const POLICIES: [&str; 6] = ["r", "q", "c", "bl", "ip", "th"];

/// Renames one kind of item in a project, or moves the list of policies, as given by `disguise`.
/// Makes no other change.
fn disguised((gateway, document): Files, disguise: &str) -> Files {
    let list = POLICIES.join(", ");
    let (mut gateway, mut document) = (gateway, document);
    match disguise {
        "api" => gateway = gateway.replace("apis: {a: ", "apis: {b: "),
        "operation" => document = document.replace("operationId: op", "operationId: other"),
        "parameter" => {
            document = document
                .replace("{id}", "{key}")
                .replace("name: id", "name: key");
        }
        "policies" => {
            for name in POLICIES {
                gateway =
                    gateway.replace(&format!("  {name}: {{kind"), &format!("  {name}2: {{kind"));
            }
            let renamed = POLICIES.map(|name| format!("{name}2")).join(", ");
            gateway = gateway.replace(&format!("[{list}]"), &format!("[{renamed}]"));
        }
        "upstream" => {
            gateway = gateway
                .replace("  u: {targets", "  w: {targets")
                .replace("upstream: u", "upstream: w");
            document = document.replace("upstream: u", "upstream: w");
        }
        "place" => {
            let policies = format!("policies: [{list}]");
            gateway = gateway.replace(&format!(", {policies}"), "");
            let of_operation = "operationId: op\n      x-gateway: {";
            document = document.replace(of_operation, &format!("{of_operation}{policies}, "));
        }
        _ => panic!("no disguise `{disguise}`"),
    }
    (gateway, document)
}

/// Classes with a gate among the changes between two projects.
fn gated(old: &Files, new: &Files) -> BTreeSet<Class> {
    let of =
        |(gateway, document): &Files| side(&[("gateway.yaml", gateway), ("api.yaml", document)]);
    let plan = plan::compare(Some(&of(old)), &of(new)).expect("both sides build");
    assert_eq!(plan.bugs, Vec::<String>::new());
    let ungated = [
        Class::Strengthen,
        Class::Tighten,
        Class::Added,
        Class::Changed,
        Class::Doc,
    ];
    let classes = plan.changes.iter().map(|change| change.class);
    classes.filter(|class| !ungated.contains(class)).collect()
}

#[test]
fn disguises_hide_no_gated_class() {
    let mut hidden = Vec::new();
    let mut gates = 0;
    for edit in EDITS {
        let [old, new] = sides(edit);
        let plain = gated(&old, &new);
        gates += usize::from(!plain.is_empty());
        for disguise in [
            "api",
            "operation",
            "parameter",
            "policies",
            "upstream",
            "place",
        ] {
            let found = gated(&old, &disguised(new.clone(), disguise));
            let lost: Vec<&Class> = plain.difference(&found).collect();
            if !lost.is_empty() {
                hidden.push(format!(
                    "{} → {} as another {disguise}: {lost:?} is lost",
                    edit.1, edit.2
                ));
            }
        }
    }
    assert!(gates >= 18, "{gates} edits have a gated class");
    assert!(hidden.is_empty(), "{hidden:#?}");
}
