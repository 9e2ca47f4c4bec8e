//! Tests of authorization services (`forward_auth`): forwarded fields, addresses, and outages that
//! a caller can cause.

use crate::{DOCUMENT, GATEWAY, edit, lines, plan};

/// gateway.yaml with these settings of the upstream `auth` and of the policy `ask`.
fn gateway(upstream: &str, policy: &str) -> String {
    let gateway = edit(
        GATEWAY,
        "upstreams:\n",
        &format!(
            "upstreams:\n  auth: {{targets: {{a: {{url: \"http://auth.internal:9000\"}}}}{upstream}}}\n"
        ),
    );
    let gateway = edit(
        &gateway,
        "policies:\n",
        &format!("policies:\n  ask: {{kind: forward_auth, upstream: auth{policy}}}\n"),
    );
    edit(&gateway, "[slow, edge]", "[slow, ask, edge]")
}

fn found(old: &str, new: &str) -> Vec<String> {
    lines(&plan((old, DOCUMENT), (new, DOCUMENT)))
}

const ALL: &str = "a/createOrder+a/deleteOrder+a/getOrder+a/getStatus+a/listOrders";

#[test]
fn new_service_names_the_host_and_its_credentials() {
    let asking = gateway("", "");
    let plan = plan((GATEWAY, DOCUMENT), (&asking, DOCUMENT));
    let sent: Vec<_> = plan
        .changes
        .iter()
        .filter(|change| change.id == "credentials-sent")
        .collect();
    let [sent] = sent.as_slice() else {
        panic!("{:?}", lines(&plan));
    };
    assert_eq!(sent.class.name(), "moved");
    assert_eq!(sent.subject, "credentials to auth.internal:9000");
    assert_eq!(sent.new, "authorization, cookie");
    assert_eq!(sent.operations.join("+"), ALL);
    assert!(!plan.tripped(&["move".into()], &[]).is_empty());
    let place = sent.source_new.as_ref().expect("a place");
    let line = asking.lines().nth(place.line as usize - 1);
    assert!(line.is_some_and(|line| line.contains("ask")), "{place:?}");
}

#[test]
fn line_lists_only_newly_sent_credentials() {
    let sent = |old: &str, new: &str| -> Vec<String> {
        let plan = plan((old, DOCUMENT), (new, DOCUMENT));
        let changes = plan.changes.iter();
        let changes = changes.filter(|change| change.id == "credentials-sent");
        changes
            .map(|change| format!("{}: {} -> {}", change.subject, change.old, change.new))
            .collect()
    };
    let (plain, tokens) = (
        gateway("", ", request_headers: [Accept]"),
        gateway("", ", request_headers: [Authorization]"),
    );
    // No credential is forwarded.
    assert_eq!(sent(GATEWAY, &plain), [""; 0]);
    assert_eq!(
        sent(&plain, &tokens),
        ["credentials to auth.internal:9000: null -> \"authorization\""]
    );
    assert_eq!(sent(&tokens, &plain), [""; 0]);
    // The service receives the field in which a scheme has its credential, regardless of the
    // field's name.
    let key = gateway("", ", request_headers: [X-Key]");
    assert_eq!(
        sent(&plain, &key),
        ["credentials to auth.internal:9000: null -> \"x-key\""]
    );
    // The policy and the upstream are renamed, but the service is the same.
    let renamed = edit(&tokens, "  ask: {", "  query: {");
    let renamed = edit(&renamed, "[slow, ask, edge]", "[slow, query, edge]");
    assert_eq!(sent(&tokens, &renamed), [""; 0]);
    let renamed = edit(&tokens, "  auth: {", "  identity: {");
    let renamed = edit(&renamed, "upstream: auth", "upstream: identity");
    assert_eq!(sent(&tokens, &renamed), [""; 0]);
    // Another service receives the credentials.
    let other = edit(&tokens, "upstream: auth,", "upstream: v,");
    assert_eq!(
        sent(&tokens, &other),
        ["credentials to 127.0.0.1:9001: null -> \"authorization\""]
    );
}

#[test]
fn service_at_another_host_weakens() {
    let old = gateway("", "");
    for (from, to, id) in [
        (
            "http://auth.internal:9000",
            "http://other.internal:9000",
            "targets-changed",
        ),
        (
            "http://auth.internal:9000",
            "http://auth.internal:9000/other",
            "targets-changed",
        ),
        (
            "targets: {a: {url: \"http://auth.internal:9000\"}}",
            "targets: {a: {url: \"http://auth.internal:9000\"}, b: {url: \"http://more.internal:9000\"}}",
            "targets-changed",
        ),
        (
            "internal:9000\"}}",
            "internal:9000\"}}, host_header: other.internal",
            "host-header-changed",
        ),
    ] {
        let new = edit(&old, from, to);
        let plan = plan((&old, DOCUMENT), (&new, DOCUMENT));
        let expected = format!("security weaken {id} {ALL}");
        assert!(lines(&plan).contains(&expected), "{to}: {:?}", lines(&plan));
        for gate in ["weaken", "move"] {
            assert!(!plan.tripped(&[gate.into()], &[]).is_empty(), "{to} {gate}");
        }
        let mut changes = plan.changes.iter();
        let weaken = changes.find(|change| change.class.name() == "weaken");
        let place = weaken.and_then(|change| change.source_new.as_ref());
        let line = place.and_then(|place| new.lines().nth(place.line as usize - 1));
        assert!(
            line.is_some_and(|line| line.starts_with("  auth: ")),
            "{line:?}"
        );
    }
    // Another target of the upstream only moves the requests. The removal of a host admits no
    // additional caller.
    let other = edit(&old, "127.0.0.1:9001", "127.0.0.1:9002");
    assert_eq!(
        found(&old, &other),
        ["upstream moved targets-changed upstream v targets.a.url"]
    );
    let two = edit(
        &old,
        "{a: {url: \"http://auth.internal:9000\"}}",
        "{a: {url: \"http://auth.internal:9000\"}, b: {url: \"http://more.internal:9000\"}}",
    );
    assert!(
        found(&two, &old)
            .iter()
            .all(|line| line.starts_with("upstream moved targets-changed upstream auth targets.b")),
        "{:?}",
        found(&two, &old)
    );
}

#[test]
fn outage_that_can_be_forced_weakens_with_open() {
    let settings = [
        (
            ", limits: {requests: 100}",
            ", limits: {requests: 10}",
            "upstream-setting-changed",
        ),
        (
            ", timeouts: {connect: 2s}",
            ", timeouts: {connect: 1s}",
            "connect-timeout-changed",
        ),
        (
            "",
            ", circuit_breaker: {consecutive_failures: 3}",
            "upstream-setting-changed",
        ),
        (
            ", circuit_breaker: {consecutive_failures: 5}",
            ", circuit_breaker: {consecutive_failures: 3}",
            "upstream-setting-changed",
        ),
        (
            ", circuit_breaker: {failure_ratio: 50%, window: 10s}",
            ", circuit_breaker: {failure_ratio: 50%, window: 5s}",
            "upstream-setting-changed",
        ),
    ];
    for (old, new, id) in settings {
        let open = ", on_outage: open";
        let weaken = format!("security weaken {id} {ALL}");
        let loud = found(&gateway(old, open), &gateway(new, open));
        assert_eq!(loud, [weaken.as_str()], "{new}");
        // Only a stricter limit allows a caller to cause an outage.
        if !new.contains("window") {
            let back = found(&gateway(new, open), &gateway(old, open));
            assert!(back.iter().all(|line| !line.contains("weaken")), "{back:?}");
        }
        // Without `on_outage: open`, an outage refuses requests.
        let quiet = found(&gateway(old, ""), &gateway(new, ""));
        assert!(
            quiet.iter().all(|line| !line.contains("weaken")),
            "{quiet:?}"
        );
        // Only the operations with the policy have a line about access. The stricter limit also
        // applies to other requests of the upstream.
        let document = edit(
            DOCUMENT,
            "operationId: getOrder,",
            "operationId: getOrder, x-gateway: {policies: [slow], upstream: auth},",
        );
        let asking = |settings| gateway(settings, open);
        let plan = plan((&asking(old), &document), (&asking(new), &document));
        let some = ALL.replace("a/getOrder+", "");
        let lines = lines(&plan);
        assert!(
            lines.contains(&format!("security weaken {id} {some}")),
            "{lines:?}"
        );
        assert_eq!(lines.len(), 2, "{lines:?}");
    }
}

#[test]
fn source_of_a_field_that_a_service_reads_counts() {
    // The second service decides by a field that the first service writes.
    let with = |chain: &str| {
        let named = gateway("", ", response_headers: [X-User]");
        let reader =
            "  who: {kind: forward_auth, upstream: auth, path: /who, request_headers: [X-User]}\n";
        let named = edit(&named, "policies:\n", &format!("policies:\n{reader}"));
        edit(&named, "[slow, ask, edge]", chain)
    };
    let (after, before) = (
        with("[slow, ask, who, edge]"),
        with("[slow, who, ask, edge]"),
    );
    for (old, new) in [(&after, &before), (&before, &after)] {
        let plan = plan((old, DOCUMENT), (new, DOCUMENT));
        let mut changes = plan.changes.iter();
        let line = changes.find(|change| change.id == "authorization-changed");
        let line = line.unwrap_or_else(|| panic!("{:?}", lines(&plan)));
        assert_eq!(line.class.name(), "incomparable");
        assert!(!plan.tripped(&["weaken".into()], &[]).is_empty());
    }
}

#[test]
fn client_requests_to_an_open_service_weaken() {
    // Clients that reach the service's upstream can open its circuit breaker.
    let breaker = ", circuit_breaker: {consecutive_failures: 5}";
    let moved = edit(
        DOCUMENT,
        "security: [], x-gateway: {public: true}",
        "security: [], x-gateway: {public: true, upstream: auth}",
    );
    for (policy, expected) in [(", on_outage: open", true), ("", false)] {
        let gateway = gateway(breaker, policy);
        let plan = plan((&gateway, DOCUMENT), (&gateway, &moved));
        let mut changes = plan.changes.iter();
        let found = changes.find(|change| change.subject == "upstream auth client requests");
        let operations = found.map(|change| (change.class.name(), change.operations.join("+")));
        let all = ("weaken", ALL.to_owned());
        assert_eq!(operations, expected.then_some(all), "{:?}", lines(&plan));
        // Fewer client requests cannot weaken.
        let back = crate::plan((&gateway, &moved), (&gateway, DOCUMENT));
        let mut changes = back.changes.iter();
        assert!(!changes.any(|change| change.subject == "upstream auth client requests"));
    }
}

/// Operations of the `weaken` line about client requests to the upstream of a service.
fn weakened(old: (&str, &str), new: (&str, &str), upstream: &str) -> String {
    let plan = plan(old, new);
    let subject = format!("upstream {upstream} client requests");
    let mut changes = plan.changes.iter();
    let change = changes.find(|change| change.subject == subject);
    change.map_or_else(String::new, |change| {
        assert_eq!(change.class.name(), "weaken");
        change.operations.join("+")
    })
}

#[test]
fn rewritten_requests_to_an_open_service_weaken() {
    let status = |extension: &str| {
        edit(
            DOCUMENT,
            "security: [], x-gateway: {public: true}",
            &format!("security: [], x-gateway: {{public: true{extension}}}"),
        )
    };
    let (open, closed) = (gateway("", ", on_outage: open"), gateway("", ""));
    for (upstream, gateway, expected) in [
        ("auth", &open, ALL),
        ("auth", &closed, ""),
        ("v", &open, ""),
    ] {
        let old = status(&format!(", upstream: {upstream}"));
        let new = status(&format!(", upstream: {upstream}, rewrite: {{path: /fail}}"));
        assert_eq!(
            weakened((gateway, &old), (gateway, &new), "auth"),
            expected,
            "{upstream}"
        );
    }
}

#[test]
fn further_policy_at_an_open_service_weakens() {
    let old = gateway("", ", on_outage: open");
    let more = "policies:\n  more: {kind: forward_auth, upstream: auth, path: /more}\n";
    let new = edit(&old, "policies:\n", more);
    let new = edit(&new, "[slow, ask, edge]", "[slow, ask, more, edge]");
    let of = |new: &str| weakened((&old, DOCUMENT), (new, DOCUMENT), "auth");
    assert_eq!(of(&new), ALL);
    // The policy is only renamed.
    let renamed = edit(&old, "  ask: {", "  query: {");
    assert_eq!(of(&edit(&renamed, "[slow, ask,", "[slow, query,")), "");
}

#[test]
fn renamed_service_is_equal_if_no_client_reaches_it() {
    let old = gateway("", ", on_outage: open");
    let renamed = edit(&old, "  auth: {", "  identity: {");
    let renamed = edit(&renamed, "upstream: auth", "upstream: identity");
    let same = plan((&old, DOCUMENT), (&renamed, DOCUMENT));
    assert!(same.tripped(&["weaken".into()], &[]).is_empty());
    let lines = lines(&same);
    assert!(
        lines.iter().all(|line| !line.contains("unclassified")),
        "{lines:?}"
    );
    // Another target or setting under another name is another service.
    let other = edit(&renamed, "auth.internal:9000", "auth.internal:9001");
    let expected = format!("security incomparable authorization-changed {ALL}");
    assert!(found(&old, &other).contains(&expected));
    // Clients can newly open the circuit breaker of the renamed upstream.
    let moved = edit(
        DOCUMENT,
        "security: [], x-gateway: {public: true}",
        "security: [], x-gateway: {public: true, upstream: identity}",
    );
    let of = |document: &str| weakened((&old, DOCUMENT), (&renamed, document), "identity");
    assert_eq!((of(&moved).as_str(), of(DOCUMENT).as_str()), (ALL, ""));
}
