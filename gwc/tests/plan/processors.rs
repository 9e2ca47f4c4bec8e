//! Tests of external processors (`ext_proc`): the service that inspects messages, the inspected
//! parts, and the effect of an outage.

use crate::{DOCUMENT, GATEWAY, edit, lines, plan};

/// gateway.yaml with these settings of the policy `inspect`, which every operation has.
fn gateway(settings: &str) -> String {
    let upstream = |name: &str| {
        format!(
            "  {name}: {{protocol: h2c, targets: {{a: {{url: \"http://{name}.internal:9002\"}}}}}}\n"
        )
    };
    let upstreams = format!("upstreams:\n{}{}", upstream("waf"), upstream("other"));
    let gateway = edit(GATEWAY, "upstreams:\n", &upstreams);
    let policy = format!("policies:\n  inspect: {{kind: ext_proc, {settings}}}\n");
    let gateway = edit(&gateway, "policies:\n", &policy);
    edit(&gateway, "[slow, edge]", "[slow, inspect, edge]")
}

/// Lines of the plan between two settings.
fn found(old: &str, new: &str) -> Vec<String> {
    let (old, new) = (gateway(old), gateway(new));
    lines(&plan((&old, DOCUMENT), (&new, DOCUMENT)))
}

const ALL: &str = "a/createOrder+a/deleteOrder+a/getOrder+a/getStatus+a/listOrders";

#[test]
fn outage_and_parts_are_changes_of_access() {
    let base = "upstream: waf";
    for (settings, forth, back) in [
        ("upstream: waf, on_outage: open", "weaken", "strengthen"),
        (
            "upstream: waf, request_body: buffered",
            "incomparable",
            "incomparable",
        ),
        (
            "upstream: waf, response: headers",
            "incomparable",
            "incomparable",
        ),
        (
            "upstream: waf, response: headers, response_body: buffered",
            "incomparable",
            "incomparable",
        ),
        (
            "upstream: waf, request_headers: [X-A]",
            "incomparable",
            "incomparable",
        ),
    ] {
        for (old, new, class) in [(base, settings, forth), (settings, base, back)] {
            let expected = format!("security {class} authorization-changed {ALL}");
            let found = found(old, new);
            assert!(found.contains(&expected), "{old} {new}: {found:?}");
        }
    }
}

#[test]
fn removed_and_changed_processors_are_reported() {
    let with = gateway("upstream: waf");
    let without = edit(&with, "[slow, inspect, edge]", "[slow, edge]");
    let removed = lines(&plan((&with, DOCUMENT), (&without, DOCUMENT)));
    let expected = format!("security weaken authorization-removed {ALL}");
    assert!(removed.contains(&expected), "{removed:?}");

    let added = plan((&without, DOCUMENT), (&with, DOCUMENT));
    let sent = added
        .changes
        .iter()
        .find(|one| one.id == "credentials-sent");
    let sent = sent.expect("a line about credentials");
    assert_eq!(sent.subject, "credentials to waf.internal:9002");
    assert_eq!(sent.new, "authorization, cookie, x-key");

    let moved = found("upstream: waf", "upstream: other");
    for expected in [
        format!("security incomparable authorization-changed {ALL}"),
        format!("security moved credentials-sent {ALL}"),
    ] {
        assert!(moved.contains(&expected), "{moved:?}");
    }
    let other_upstream = found(
        "upstream: waf, request_headers: [Accept]",
        "upstream: other, request_headers: [Accept]",
    );
    let expected = format!("security moved service-asked {ALL}");
    assert!(other_upstream.contains(&expected), "{other_upstream:?}");
}

#[test]
fn body_of_responses_is_a_part_of_its_own() {
    let head = "upstream: waf, response: headers";
    let body = "upstream: waf, response: headers, response_body: buffered";
    let expected = format!("security incomparable authorization-changed {ALL}");
    for (old, new) in [(head, body), (body, head)] {
        let found = found(old, new);
        assert!(found.contains(&expected), "{old} {new}: {found:?}");
    }
}

#[test]
fn limits_relax_and_tighten() {
    let body = "upstream: waf, request_body: buffered";
    for (settings, word) in [
        ("max_body: 2MiB", "relax"),
        ("timeout: 2s", "relax"),
        ("timeout: 9ms", "tighten"),
    ] {
        let settings = format!("{body}, {settings}");
        let found = found(body, &settings);
        assert!(
            found.iter().any(|line| line.contains(word)),
            "{settings}: {found:?}"
        );
    }
}

#[test]
fn processor_at_another_host_weakens() {
    let old = gateway("upstream: waf");
    let new = edit(
        &old,
        "http://waf.internal:9002",
        "http://elsewhere.internal:9002",
    );
    let found = lines(&plan((&old, DOCUMENT), (&new, DOCUMENT)));
    let expected = format!("security weaken targets-changed {ALL}");
    assert!(found.contains(&expected), "{found:?}");
}
