//! Tests of first releases: without an old version, a plan has one line for each API, and no line
//! about weaker protection.

use plan::compare;

use crate::{DOCUMENT, GATEWAY, edit, lines};

#[test]
fn first_release_is_one_line_for_each_api() {
    let new = crate::side(&[("gateway.yaml", GATEWAY), ("api.yaml", DOCUMENT)]);
    let plan = compare(None, &new).unwrap();
    assert_eq!(lines(&plan), ["security expose first-release a/getStatus"]);
    let [line] = &plan.changes[..] else {
        panic!("{:?}", plan.changes);
    };
    assert_eq!(line.subject, "api a at listener public");
    assert_eq!(line.new, "5 operations: 1 open to anyone (getStatus)");
    let witness = line.witness.as_ref().expect("a witness");
    assert_eq!(witness.url, "http://gateway/status");
    assert!(!plan.no_op);
    assert_eq!(plan.tripped(&["weaken".into()], &[]), []);
    assert_eq!(plan.tripped(&["expose".into()], &[]).len(), 1);
    // Changed settings of the operation need a new acknowledgement.
    let gateway = edit(GATEWAY, "limit: 10/s", "limit: 20/s");
    let other = crate::side(&[("gateway.yaml", &gateway), ("api.yaml", DOCUMENT)]);
    let other = compare(None, &other).unwrap();
    assert_ne!(other.changes[0].fingerprint, line.fingerprint);
    let closed = edit(DOCUMENT, "security: [], x-gateway: {public: true},", "");
    let closed = crate::side(&[("gateway.yaml", GATEWAY), ("api.yaml", &closed)]);
    let closed = compare(None, &closed).unwrap();
    assert_eq!(
        lines(&closed),
        [
            "routing added first-release a/createOrder+a/deleteOrder+a/getOrder+a/getStatus+a/listOrders"
        ]
    );
}

#[test]
fn first_release_with_trusted_proxies_is_no_weaken() {
    let gateway = format!(
        "{GATEWAY}listeners: {{public: {{address: \"127.0.0.1:8080\", trusted_proxies: [10.0.0.0/8]}}}}\n"
    );
    let new = crate::side(&[("gateway.yaml", &gateway), ("api.yaml", DOCUMENT)]);
    let plan = compare(None, &new).unwrap();
    assert_eq!(plan.tripped(&["weaken".into()], &[]), []);
}

#[test]
fn operations_of_unverified_credentials_are_counted() {
    let document = edit(DOCUMENT, "/status:", "/status-of-the-shop:");
    let document = edit(&document, "{auth: staff}", "{verify: upstream}");
    let listed = edit(
        &document,
        "operationId: listOrders,",
        "operationId: listOrders, security: [{pair: []}],",
    );
    let first = |document: &str| {
        let new = crate::side(&[("gateway.yaml", GATEWAY), ("api.yaml", document)]);
        let plan = compare(None, &new).unwrap();
        let line = plan.changes.into_iter().next().expect("a line");
        let witness = line.witness.expect("a witness").url;
        (line.new, line.operation.expect("an operation").key, witness)
    };
    let url = "http://gateway/status-of-the-shop".to_owned();
    assert_eq!(
        first(&listed),
        (
            "5 operations: 1 open to anyone (getStatus), 2 whose credentials only the upstream checks (createOrder, listOrders)".into(),
            "a/getStatus".into(),
            url
        )
    );
    let closed = edit(&listed, "security: [], x-gateway: {public: true},", "");
    let (text, operation, witness) = first(&closed);
    assert_eq!(
        text,
        "5 operations: 2 whose credentials only the upstream checks (createOrder, listOrders)"
    );
    assert_eq!(operation, "a/createOrder");
    assert_eq!(witness, "http://gateway/orders");
}
