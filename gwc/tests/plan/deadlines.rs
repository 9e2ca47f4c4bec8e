//! Tests of requests to services that decide about access: timeouts, forwarded fields, and the
//! order of policies.

use crate::{DOCUMENT, GATEWAY, edit, lines, plan};

const ALL: &str = "a/createOrder+a/deleteOrder+a/getOrder+a/getStatus+a/listOrders";

/// gateway.yaml with further policies, and with this list of policies.
fn gateway(policies: &str, chain: &str) -> String {
    let gateway = edit(GATEWAY, "policies:\n", &format!("policies:\n{policies}"));
    edit(&gateway, "[slow, edge]", chain)
}

/// gateway.yaml with an authorization service (`forward_auth`), and a timeout of the operations.
fn asking(settings: &str, timeout: &str) -> String {
    let gateway = gateway(
        &format!("  ask: {{kind: forward_auth, upstream: v{settings}}}\n"),
        "[slow, ask, edge]",
    );
    edit(&gateway, "timeout: 5s", &format!("timeout: {timeout}"))
}

/// Lines of the section Security of a plan.
fn security(old: (&str, &str), new: (&str, &str)) -> Vec<String> {
    let mut found = lines(&plan(old, new));
    found.retain(|line| line.starts_with("security "));
    found
}

#[test]
fn shorter_timeout_with_open_outage_weakens() {
    let between = |settings: &str, old: &str, new: &str| {
        let (old, new) = (asking(settings, old), asking(settings, new));
        security((&old, DOCUMENT), (&new, DOCUMENT))
    };
    let open = ", on_outage: open";
    let line = |class: &str| [format!("security {class} authorization-changed {ALL}")];
    assert_eq!(between(open, "5s", "300ms"), line("weaken"));
    assert_eq!(between(open, "300ms", "5s"), line("strengthen"));
    assert_eq!(between(open, "900ms", "300ms"), line("weaken"));
    // The request to the service ends before the timeout of the operation.
    assert_eq!(between(open, "5s", "2s"), [""; 0]);
    let brief = ", on_outage: open, timeout: 100ms";
    assert_eq!(between(brief, "5s", "300ms"), [""; 0]);
    // With the default `on_outage`, an outage refuses requests.
    assert_eq!(between("", "5s", "300ms"), [""; 0]);
}

#[test]
fn timeout_from_any_source_is_compared() {
    let old = asking(", on_outage: open", "5s");
    let with = |keys: &str| {
        let to = format!("operationId: getOrder, x-gateway: {{{keys}}},");
        edit(DOCUMENT, "operationId: getOrder,", &to)
    };
    let weaken = ["security weaken authorization-changed a/getOrder"];
    assert_eq!(
        security((&old, DOCUMENT), (&old, &with("timeout: 50ms"))),
        weaken
    );
    let quick = edit(
        &old,
        "policies:\n",
        "policies:\n  quick: {kind: timeout, request: 50ms}\n",
    );
    let document = with("+policies: [quick]");
    assert_eq!(security((&quick, DOCUMENT), (&quick, &document)), weaken);
    // The policy itself has a shorter timeout.
    let brief = asking(", on_outage: open, timeout: 50ms", "5s");
    let found = security((&old, DOCUMENT), (&brief, DOCUMENT));
    assert_eq!(
        found,
        [format!("security weaken authorization-changed {ALL}")]
    );
}

#[test]
fn shorter_timeout_ends_an_introspection_that_opens() {
    let gateway = |on_outage: &str, timeout: &str| {
        let gateway = edit(
            GATEWAY,
            "auth: {",
            &format!(
                "auth: {{intro: {{kind: introspection, url: \"https://idp.example/ask\", client_id: gw, client_secret: \"${{env:A}}\"{on_outage}}}, "
            ),
        );
        edit(&gateway, "timeout: 5s", &format!("timeout: {timeout}"))
    };
    let document = edit(
        DOCUMENT,
        "operationId: getOrder,",
        "operationId: getOrder, security: [{token: []}],",
    );
    let document = format!(
        "{document}    token: {{type: http, scheme: bearer, x-gateway: {{auth: intro}}}}\n"
    );
    let between = |on_outage: &str, old: &str, new: &str| {
        let (old, new) = (gateway(on_outage, old), gateway(on_outage, new));
        security((&old, &document), (&new, &document))
    };
    let cached = ", on_outage: cached";
    assert_eq!(
        between(cached, "5s", "10ms"),
        ["security weaken verifier-changed a/getOrder"]
    );
    assert_eq!(
        between(cached, "10ms", "5s"),
        ["security strengthen verifier-changed a/getOrder"]
    );
    assert_eq!(between(cached, "9s", "8s"), [""; 0]);
    assert_eq!(between("", "5s", "10ms"), [""; 0]);
}

#[test]
fn field_that_a_later_service_sets_trips_the_gate() {
    let policies = "  ask: {kind: forward_auth, upstream: v, response_headers: [X-User]}\n  staff: {kind: authorize, expression: 'request.headers[\"x-user\"] == \"root\"'}\n";
    let of = |chain: &str| gateway(policies, chain);
    let (after, before) = (
        of("[slow, ask, staff, edge]"),
        of("[slow, staff, ask, edge]"),
    );
    for (old, new) in [(&after, &before), (&before, &after)] {
        let plan = plan((old, DOCUMENT), (new, DOCUMENT));
        let found = lines(&plan);
        assert!(
            found.contains(&format!(
                "security incomparable authorization-changed {ALL}"
            )),
            "{found:?}"
        );
        assert!(!plan.tripped(&["weaken".into()], &[]).is_empty());
    }
    // The expression reads a field that the service does not set.
    let other = |gateway: &str| edit(gateway, "[\"x-user\"]", "[\"x-other\"]");
    let found = security((&other(&after), DOCUMENT), (&other(&before), DOCUMENT));
    assert_eq!(found, [""; 0]);
}

#[test]
fn service_that_gets_other_fields_trips_the_gate() {
    let of = |fields: &str| asking(&format!(", request_headers: [{fields}]"), "5s");
    let line = [format!("security incomparable authorization-changed {ALL}")];
    let between = |old: &str, new: &str| security((old, DOCUMENT), (new, DOCUMENT));
    let (two, one) = (of("Accept, X-Tenant"), of("Accept"));
    assert_eq!(between(&two, &one), line);
    assert_eq!(between(&one, &two), line);
    // The default fields are forwarded.
    let plain = asking("", "5s");
    let written = of("Accept, Authorization, Cookie");
    assert_eq!(between(&plain, &written), [""; 0]);
    assert_eq!(between(&plain, &one), line);
}
