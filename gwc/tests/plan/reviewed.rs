//! Tests that acknowledgements apply only to the changes that the reviewer saw.

use plan::{Change, Plan, Review};

use crate::edits::LIST;
use crate::{DOCUMENT, GATEWAY, edit, plan};

/// Fingerprints of a plan's changes with this id.
fn fingerprints(plan: &Plan, id: &str) -> Vec<String> {
    let lines = plan.changes.iter().filter(|change| change.id == id);
    lines.map(|change| change.fingerprint.clone()).collect()
}

#[test]
fn review_of_some_requests_covers_no_others() {
    let status = "{operationId: getStatus, security: [], x-gateway: {public: true}";
    let widened = |extension: &str| {
        let document = edit(
            DOCUMENT,
            status,
            &format!(
                "{{operationId: getStatus, security: [], x-gateway: {{public: true{extension}}}"
            ),
        );
        let document = edit(
            &document,
            "  /status:\n",
            match extension {
                "" => "  /status:\n    x-gateway: {case_insensitive: true}\n",
                _ => "  /status:\n    x-gateway: {match: prefix}\n",
            },
        );
        plan((GATEWAY, DOCUMENT), (GATEWAY, &document))
    };
    let (folded, prefix) = (widened(""), widened(", owner: team"));
    for id in ["operation-exposed", "requests-added"] {
        let (one, other) = (fingerprints(&folded, id), fingerprints(&prefix, id));
        assert_eq!((one.len(), other.len()), (1, 1), "{id}");
        assert_ne!(one, other, "{id}");
    }
}

#[test]
fn review_of_a_server_covers_no_namesake() {
    let moved = |port: &str| {
        let gateway = edit(GATEWAY, "http://127.0.0.1:9001", port);
        let document = edit(
            DOCUMENT,
            LIST,
            "{operationId: listOrders, summary: List, x-gateway: {upstream: v},",
        );
        fingerprints(
            &plan((GATEWAY, DOCUMENT), (&gateway, &document)),
            "upstream-changed",
        )
    };
    let (one, other) = (
        moved("http://127.0.0.1:9001"),
        moved("http://127.0.0.1:9666"),
    );
    assert_eq!(one.len(), 1);
    assert_ne!(one, other);
}

#[test]
fn review_of_a_new_listener_covers_its_definition() {
    let listening = |definition: &str| {
        let listeners = format!("listeners: {{one: {{{definition}}}}}\nupstreams:\n");
        let gateway = edit(GATEWAY, "upstreams:\n", &listeners);
        fingerprints(
            &plan((GATEWAY, DOCUMENT), (&gateway, DOCUMENT)),
            "operation-exposed",
        )
    };
    let definitions = [
        "address: \"127.0.0.1:9443\"",
        "address: \"0.0.0.0:9443\"",
        "address: \"127.0.0.1:9443\", merge_slashes: true",
    ];
    let [local, public, merging] = definitions.map(listening);
    assert!(!local.is_empty());
    assert_ne!(local, public);
    assert_ne!(local, merging);
}

#[test]
fn review_of_a_new_operation_covers_its_schemas() {
    let with = |schema: &str| {
        let operation = format!(
            "  /new:\n    post:\n      operationId: new\n      security: []\n      \
             x-gateway: {{public: true, validate: {{request: block}}}}\n      requestBody: \
             {{content: {{application/json: {{schema: {schema}}}}}}}\n      \
             responses: {{\"200\": {{description: fine}}}}\n  /status:\n"
        );
        let document = edit(DOCUMENT, "  /status:\n", &operation);
        fingerprints(
            &plan((GATEWAY, DOCUMENT), (GATEWAY, &document)),
            "operation-exposed",
        )
    };
    let (strict, lax) = (with("{type: object, maxProperties: 1}"), with("{}"));
    assert_eq!(strict.len(), 1);
    assert_ne!(strict, lax);
}

#[test]
fn changes_reviewed_one_by_one_release_together() {
    released_together(GATEWAY);
}

#[test]
fn reviews_hold_over_mounts_and_listeners() {
    let mounted = edit(
        GATEWAY,
        "apis: {a: {path: api.yaml}}\n",
        "apis:\n  a:\n    path: api.yaml\n    mounts:\n      - {name: near, base_path: /v1, listeners: [inner, public]}\n      - {name: far, base_path: /v2, hosts: [far.example], listeners: [public]}\nlisteners: {inner: {address: \"127.0.0.1:8081\"}, public: {address: \"127.0.0.1:8080\"}}\n",
    );
    released_together(&mounted);
}

/// Makes two operations public one by one, acknowledges both changes, and releases both in one
/// plan.
fn released_together(gateway: &str) {
    let open = |text: &str, operation: &str| {
        edit(
            text,
            &format!("{{operationId: {operation},"),
            &format!("{{operationId: {operation}, security: [], x-gateway: {{public: true}},"),
        )
    };
    let first = open(DOCUMENT, "listOrders");
    let second = open(&first, "getOrder");
    let id = "security-requirement-removed";
    let mut given: Vec<String> = Vec::new();
    for (old, new) in [(DOCUMENT, &first), (&first, &second)] {
        given.extend(fingerprints(&plan((gateway, old), (gateway, new)), id));
    }
    let release = plan((gateway, DOCUMENT), (gateway, &second));
    assert_eq!(fingerprints(&release, id).len(), 1, "one line");
    let review = |given: &[String]| {
        let acks = given
            .iter()
            .map(|fingerprint| model::acknowledge::Acknowledgement {
                fingerprint: fingerprint.clone(),
                reason: Some("meant".into()),
                by: Some("ann".into()),
                ..Default::default()
            });
        let gates = vec!["weaken".to_owned()];
        Review::new(&release, gates, None, acks.collect(), 0)
    };
    assert!(review(&given).tripped(&release).is_empty());
    // Each acknowledgement names its own operation.
    let one = |change: &Change| (change.fingerprint.clone(), change.about());
    let mut written: Vec<(String, String)> = Vec::new();
    for (old, new) in [(DOCUMENT, &first), (&first, &second)] {
        let plan = plan((gateway, old), (gateway, new));
        written.extend(
            plan.changes
                .iter()
                .filter(|change| change.id == id)
                .map(one),
        );
    }
    let used_acknowledgements = |written: &[(String, String)]| {
        let acks =
            written.iter().map(
                |(fingerprint, operation)| model::acknowledge::Acknowledgement {
                    fingerprint: fingerprint.clone(),
                    kind: Some(id.into()),
                    operation: Some(operation.clone()),
                    ..Default::default()
                },
            );
        let gates = vec!["weaken".to_owned()];
        Review::new(&release, gates, None, acks.collect(), 0)
            .tripped(&release)
            .len()
    };
    assert_eq!(used_acknowledgements(&written), 0);
    written.reverse();
    let swapped = [
        (written[0].0.clone(), written[1].1.clone()),
        (written[1].0.clone(), written[0].1.clone()),
    ];
    assert_eq!(used_acknowledgements(&swapped), 1);
    assert_eq!(review(&given[..1]).tripped(&release).len(), 1, "half of it");
}
