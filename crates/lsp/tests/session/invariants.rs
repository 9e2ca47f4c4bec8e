//! Sessions with files of invariants and of tests.

use serde_json::json;

use crate::{Client, GATEWAY, ORDERS};

const INVARIANTS: &str = "- name: limited
  where: {methods: [GET]}
  require: {kinds: [rate_limit]}
";

const TESTS: &str = "- name: list
  request: GET /orders
  expect: {decision: forward}
";

fn project() -> Client {
    let gateway = format!("{GATEWAY}invariants: [rules.yaml]\ntests: [list.yaml]\n");
    let mut client = Client::start(&[
        ("gateway.yaml", &gateway),
        ("orders.yaml", ORDERS),
        ("rules.yaml", INVARIANTS),
        ("list.yaml", TESTS),
    ]);
    for name in ["gateway.yaml", "orders.yaml", "rules.yaml", "list.yaml"] {
        client.open(name);
    }
    client.await_code("gateway.yaml", "unused-definition", true);
    client
}

#[test]
fn violated_invariant_follows_unsaved_edits() {
    let mut client = project();
    client.change("rules.yaml", &INVARIANTS.replace("rate_limit", "cache"));
    let finding = client.await_code("orders.yaml", "violated-invariant", true);
    let message = finding["message"].as_str().expect("a message");
    assert!(message.contains("`limited`"), "{message}");
    // The finding is at the line of the operation.
    assert_eq!(finding["range"]["start"]["line"], json!(8));
    client.change("rules.yaml", INVARIANTS);
    client.await_code("orders.yaml", "violated-invariant", false);
    // The operation loses its policy.
    client.change("orders.yaml", &ORDERS.replace("[per_client]", "[]"));
    client.await_code("orders.yaml", "violated-invariant", true);
    client.end();
}

#[test]
fn keys_of_invariants_and_tests_are_completed() {
    let mut client = project();
    for (name, text, expected) in [
        ("rules.yaml", "- name: a\n  re^", "require"),
        ("rules.yaml", "- name: a\n  require: {kin^}", "kinds"),
        ("rules.yaml", "- name: a\n  where: {ow^}", "owners"),
        (
            "rules.yaml",
            "- name: a\n  require: {unreachable: ^}",
            "true",
        ),
        ("list.yaml", "- name: a\n  req^", "request"),
        (
            "list.yaml",
            "- name: a\n  request: GET /\n  expect: {dec^}",
            "decision",
        ),
        (
            "list.yaml",
            "- name: a\n  request: GET /\n  expect: {decision: rej^}",
            "reject",
        ),
    ] {
        let labels = client.labels(name, text);
        assert!(labels.contains(&expected.to_owned()), "{text}: {labels:?}");
    }
    client.end();
}

#[test]
fn mistakes_in_both_files_are_found() {
    let mut client = project();
    client.change("rules.yaml", "- {name: a, require: {kind: [cache]}}\n");
    client.await_code("rules.yaml", "unknown-key", true);
    client.change("list.yaml", "- {name: a, requests: GET /}\n");
    client.await_code("list.yaml", "unknown-key", true);
    client.end();
}
