//! Tests that the fingerprint of a change depends on the definition of an upstream, and not only on
//! the upstream's name.

use crate::{DOCUMENT, GATEWAY, edit, plan};

const LIST: &str = "{operationId: listOrders, summary: List,";

/// Definitions of the upstream `w`, all different.
const SERVERS: [&str; 5] = [
    "{targets: {a: {url: \"https://authz.corp.example\"}}}",
    "{targets: {a: {url: \"http://authz.corp.example\"}}}",
    "{targets: {a: {url: \"https://evil.example\"}}}",
    "{targets: {a: {url: \"https://authz.corp.example/other\"}}}",
    "{targets: {a: {url: \"https://authz.corp.example\"}}, tls: {verify: false}}",
];

/// Checks that an acknowledgement of the change `id` depends on the definition of upstream `w`.
#[track_caller]
fn are_bound(id: &str, (old, before): (&str, &str), (new, after): (&str, &str)) {
    let of = |server: &str| -> Vec<String> {
        let with = |gateway: &str| {
            let upstreams = format!("upstreams:\n  w: {server}\n");
            edit(gateway, "upstreams:\n", &upstreams)
        };
        let plan = plan((old, before), (&with(new), after));
        let changes = plan.changes.into_iter().filter(|change| change.id == id);
        changes.map(|change| change.fingerprint).collect()
    };
    let all = SERVERS.map(of);
    assert!(
        all.iter().all(|one| !one.is_empty()),
        "the plan has no {id}"
    );
    for (at, one) in all.iter().enumerate() {
        for other in &all[at + 1..] {
            assert!(one.iter().all(|own| !other.contains(own)), "{id}");
        }
    }
}

fn with_policy(policy: &str, in_chain: bool) -> String {
    let gateway = edit(
        GATEWAY,
        "policies:\n",
        &format!("policies:\n  p: {policy}\n"),
    );
    match in_chain {
        true => edit(&gateway, "[slow, edge]", "[slow, p, edge]"),
        false => gateway,
    }
}

#[test]
fn review_of_an_authorization_service_binds_it() {
    let old = with_policy("{kind: forward_auth, upstream: v}", true);
    let new = with_policy("{kind: forward_auth, upstream: w}", true);
    let id = "authorization-changed";
    are_bound(id, (&old, DOCUMENT), (&new, DOCUMENT));
    let id = "authorization-added";
    are_bound(id, (GATEWAY, DOCUMENT), (&new, DOCUMENT));
    let id = "policies-changed";
    are_bound(id, (GATEWAY, DOCUMENT), (&new, DOCUMENT));
    let id = "credentials-sent";
    are_bound(id, (GATEWAY, DOCUMENT), (&new, DOCUMENT));
}

#[test]
fn service_that_gives_identities_is_bound() {
    let of = |service| {
        let fields = "response_headers: [X-User]";
        with_policy(
            &format!("{{kind: forward_auth, upstream: {service}, {fields}}}"),
            true,
        )
    };
    let id = "identity-field-changed";
    are_bound(id, (GATEWAY, DOCUMENT), (&of("w"), DOCUMENT));
}

#[test]
fn exposed_operation_behind_a_service_is_bound() {
    let new = with_policy("{kind: forward_auth, upstream: w}", false);
    let document = edit(
        DOCUMENT,
        "  /status:\n",
        "  /fresh:\n    get: {operationId: fresh, x-gateway: {policies: [slow, p]}, responses: {\"200\": {description: fine}}}\n  /status:\n",
    );
    are_bound("operation-exposed", (GATEWAY, DOCUMENT), (&new, &document));
}

#[test]
fn copies_and_shares_are_bound() {
    let policy = |kind: &str, name: &str| {
        let settings = match kind {
            "mirror" => format!("upstream: {name}"),
            _ => format!("among: [{{upstream: {name}}}]"),
        };
        with_policy(&format!("{{kind: {kind}, {settings}}}"), true)
    };
    for kind in ["mirror", "split"] {
        let (old, new) = (policy(kind, "v"), policy(kind, "w"));
        are_bound("traffic-moved", (&old, DOCUMENT), (&new, DOCUMENT));
        are_bound("traffic-moved", (GATEWAY, DOCUMENT), (&new, DOCUMENT));
        are_bound("policies-changed", (GATEWAY, DOCUMENT), (&new, DOCUMENT));
    }
    for settings in ["mirror: {upstream: w}", "split: [{upstream: w}]"] {
        let settings =
            format!("{{operationId: listOrders, x-gateway: {{{settings}}}, summary: List,");
        let document = edit(DOCUMENT, LIST, &settings);
        are_bound("traffic-moved", (GATEWAY, DOCUMENT), (GATEWAY, &document));
    }
}

#[test]
fn upstream_that_gets_a_secret_is_bound() {
    let new = edit(
        GATEWAY,
        "response: {remove: [Server]}",
        "request: {set: {X-Token: \"${env:TOKEN}\"}}",
    );
    let there = edit(&new, "defaults: {upstream: u", "defaults: {upstream: w");
    let id = "secret-flow-added";
    are_bound(id, (GATEWAY, DOCUMENT), (&there, DOCUMENT));
    are_bound(id, (&new, DOCUMENT), (&there, DOCUMENT));
}
