//! Tests of requests that an operation newly sends from a weaker listener, and of the old operations
//! that count as earlier senders of the same requests.

use crate::side;
use plan::compare;

/// Document of one operation. `rest`: further keys of its `x-gateway`, then of the operation.
fn document(path: &str, id: &str, (settings, security): (&str, &str)) -> String {
    format!(
        "openapi: 3.1.0
info: {{title: t, version: \"1\"}}
paths:
  {path}: {{get: {{operationId: {id}, security: {security}, x-gateway: {{{settings}}}, responses: {{\"200\": {{description: d}}}}}}}}
components:
  securitySchemes:
    k: {{type: apiKey, in: header, name: X-Key, x-gateway: {{auth: keys}}}}
    o: {{type: apiKey, in: header, name: X-Other, x-gateway: {{auth: others}}}}
"
    )
}

const KEY: &str = "[{k: []}]";
const OPEN: &str = "[]";

/// Security lines of a change of the operation of API `c`, as `CLASS ID`. `listeners`: the listener
/// of API `a`, and that of `c` and `b`. `decoy`: an operation of API `b` at another host.
fn found(listeners: [&str; 2], decoy: &str, [old, new]: [(&str, &str); 2]) -> Vec<String> {
    let gateway = format!(
        "version: 1
name: g
apis:
  a: {{path: a.yaml, mount: {{hosts: [a.test], listeners: [first]}}}}
  b: {{path: b.yaml, mount: {{hosts: [h.test], listeners: [second]}}}}
  c: {{path: c.yaml, mount: {{hosts: [a.test], listeners: [second]}}}}
listeners:
  first: {{{}}}
  second: {{{}}}
auth: {{keys: {{kind: api_key}}, others: {{kind: api_key}}}}
upstreams:
  u: {{targets: {{a: {{url: \"http://127.0.0.1:9000\"}}}}}}
  v: {{targets: {{a: {{url: \"http://other.example:9000\"}}}}}}
defaults: {{upstream: u}}
",
        listeners[0], listeners[1]
    );
    let public = if old.1 == OPEN { "public: true" } else { "" };
    let protected = document("/x", "x", (public, old.1));
    let of = |own: (&str, &str)| {
        let own = document("/y", "y", own);
        side(&[
            ("gateway.yaml", gateway.as_str()),
            ("a.yaml", protected.as_str()),
            ("b.yaml", decoy),
            ("c.yaml", own.as_str()),
        ])
    };
    let plan = compare(Some(&of(old)), &of(new)).expect("both sides build");
    let changes = plan.changes.iter();
    let changes = changes.filter(|one| one.class != plan::Class::Moved);
    changes
        .map(|one| format!("{} {}", one.class.name(), one.id))
        .collect()
}

const TO_X: &str = "rewrite: {path: /x}";
const ELSEWHERE: &str = "upstream: v";

/// An operation at another host, or under a condition, receives other requests of clients.
#[test]
fn sender_with_other_clients_hides_no_weaker_listener() {
    let tls = "address: \"127.0.0.1:8443\", protocol: https, tls: {certificates: {m: {cert: \"${file:/c}\", key: \"${file:/k}\"}}}";
    let first = "address: \"127.0.0.1:8081\", limits: {header_bytes: 8KiB}";
    let second = "address: \"127.0.0.1:8082\"";
    let other = "[{o: []}]";
    for (listeners, line) in [
        ([tls, second], "weaken listener-protocol-changed"),
        (
            [
                first,
                "address: \"127.0.0.1:8082\", limits: {header_bytes: 64KiB}",
            ],
            "relax listener-header-bytes-changed",
        ),
    ] {
        for decoy in [
            document("/q", "o", (TO_X, other)),
            document("/y", "o", (TO_X, other)),
        ] {
            let change = [(ELSEWHERE, KEY), (TO_X, KEY)];
            assert_eq!(found(listeners, &decoy, change), [line], "{decoy}");
        }
    }
}

/// Clients of more networks reach the listener from which the request is newly sent.
#[test]
fn listener_of_more_networks_exposes_a_request() {
    let decoy = document("/q", "o", (ELSEWHERE, KEY));
    let listeners = |second: &'static str| ["address: \"127.0.0.1:8081\"", second];
    let open = [
        "public: true, upstream: v",
        "public: true, rewrite: {path: /x}",
    ];
    let wide = "address: \"0.0.0.0:8090\"";
    for (second, security, change, expected) in [
        (wide, OPEN, open, vec!["expose listener-address-changed"]),
        (
            wide,
            KEY,
            [ELSEWHERE, TO_X],
            vec!["expose listener-address-changed"],
        ),
        ("address: \"127.0.0.1:8090\"", OPEN, open, vec![]),
    ] {
        let change = change.map(|settings| (settings, security));
        assert_eq!(
            found(listeners(second), &decoy, change),
            expected,
            "{second}"
        );
    }
}
