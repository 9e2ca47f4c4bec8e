//! First releases: nothing is deployed, and nothing is an alarm.

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
    assert_eq!(
        line.new,
        "5 operations, 1 of them without a credential that the gateway checks"
    );
    let witness = line.witness.as_ref().expect("a witness");
    assert_eq!(witness.url, "http://gateway/status");
    assert!(!plan.no_op);
    assert_eq!(plan.tripped(&["weaken".into()], &[]), []);
    assert_eq!(plan.tripped(&["expose".into()], &[]).len(), 1);
    // Another treatment needs another look.
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
