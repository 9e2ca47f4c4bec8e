//! Tests of policies whose kind changes while their name stays in every chain.

use model::compile::Purpose;
use plan::Plan;

use crate::{DOCUMENT, GATEWAY, compiled, edit, lines};

/// Plan between two versions of a project whose settings gwd may not support yet.
fn plan(old: (&str, &str), new: (&str, &str)) -> Plan {
    let side = |(gateway, document): (&str, &str)| {
        let files = [("gateway.yaml", gateway), ("api.yaml", document)];
        compiled(&files, Purpose::Route).unwrap_or_else(|errors| panic!("{gateway}: {errors}"))
    };
    plan::compare(Some(&side(old)), &side(new)).expect("both build")
}

const EDGE: &str = "edge: {kind: headers, response: {remove: [Server]}}";

/// Policy definitions. The second and third column are the changes when the definition replaces a
/// policy for response fields, and in the reverse case.
const KINDS: &[(&str, &str, &str)] = &[
    (
        "kind: mirror, upstream: v",
        "moved traffic-moved",
        "moved traffic-moved",
    ),
    (
        "kind: split, among: [{upstream: u, weight: 1}, {upstream: v, weight: 9}]",
        "moved traffic-moved",
        "moved traffic-moved",
    ),
    (
        "kind: rewrite, path: /x",
        "moved traffic-moved",
        "moved traffic-moved",
    ),
    (
        "kind: redirect, path: /x",
        "moved traffic-moved",
        "moved traffic-moved",
    ),
    (
        "kind: quota, limit: 5, window: 1d",
        "changed policies-changed",
        "relax policies-changed",
    ),
    (
        "kind: circuit_breaker, consecutive_failures: 3",
        "changed policies-changed",
        "relax policies-changed",
    ),
];

#[track_caller]
fn has(plan: &Plan, change: &str) {
    let lines = lines(plan);
    assert!(
        lines.iter().any(|line| line.contains(change)),
        "{change}: {lines:?}"
    );
}

#[test]
fn policy_of_another_kind_has_lines_in_both_orders() {
    for (settings, comes, goes) in KINDS {
        let other = edit(GATEWAY, EDGE, &format!("edge: {{{settings}}}"));
        has(&plan((GATEWAY, DOCUMENT), (&other, DOCUMENT)), comes);
        has(&plan((&other, DOCUMENT), (GATEWAY, DOCUMENT)), goes);
    }
}

#[test]
fn redefined_name_has_lines_in_both_orders() {
    for (settings, comes, goes) in KINDS {
        let own = format!("x-gateway: {{policies: {{edge: {{{settings}}}}}}}\ninfo:");
        let own = edit(DOCUMENT, "info:", &own);
        let gateway = edit(GATEWAY, &format!("  {EDGE}\n"), "");
        let gateway = edit(&gateway, "[slow, edge]", "[slow]");
        let own = own.replace(
            "{operationId:",
            "{x-gateway: {policies: [slow, edge]}, operationId:",
        );
        let own = own.replace("x-gateway: {public: true}, ", "");
        let own = own.replace(
            "x-gateway: {policies: [slow, edge]}, operationId: getStatus",
            "x-gateway: {public: true, policies: [slow, edge]}, operationId: getStatus",
        );
        has(&plan((GATEWAY, DOCUMENT), (&gateway, &own)), comes);
        has(&plan((&gateway, &own), (GATEWAY, DOCUMENT)), goes);
    }
}

#[test]
fn circuit_breaker_that_opens_later_is_relax() {
    for (old, new) in [
        (
            "slow_calls: {above: 1s, ratio: 50%}",
            "slow_calls: {above: 9s, ratio: 50%}",
        ),
        (
            "slow_calls: {above: 1s, ratio: 50%}",
            "slow_calls: {above: 1s, ratio: 90%}",
        ),
        (
            "failure_ratio: 50%, min_requests: 10",
            "failure_ratio: 50%, min_requests: 1000",
        ),
        (
            "failure_ratio: 50%, window: 10s",
            "failure_ratio: 50%, window: 20s",
        ),
        (
            "consecutive_failures: 3, half_open_requests: 2",
            "consecutive_failures: 3, half_open_requests: 9",
        ),
    ] {
        let upstream = |breaker: &str| {
            let u = "u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}";
            let with = format!("{}, circuit_breaker: {{{breaker}}}}}", &u[..u.len() - 1]);
            edit(GATEWAY, u, &with)
        };
        let policy = |breaker: &str| {
            edit(
                GATEWAY,
                EDGE,
                &format!("edge: {{kind: circuit_breaker, {breaker}}}"),
            )
        };
        let (was, is) = (upstream(old), upstream(new));
        has(
            &plan((&was, DOCUMENT), (&is, DOCUMENT)),
            "relax upstream-setting-changed",
        );
        let (was, is) = (policy(old), policy(new));
        has(
            &plan((&was, DOCUMENT), (&is, DOCUMENT)),
            "relax policy-changed",
        );
    }
}

#[test]
fn listener_with_another_name_is_no_expose() {
    let at = |listeners: &str| format!("{GATEWAY}listeners: {{{listeners}}}\n");
    let old = at("public: {address: \"127.0.0.1:8080\"}, inner: {address: \"127.0.0.1:8081\"}");
    let new = old.replace("public:", "front:").replace("inner:", "back:");
    let plan = plan((&old, DOCUMENT), (&new, DOCUMENT));
    let found = lines(&plan);
    assert_eq!(
        found,
        [
            "routing changed listener-added listener back",
            "routing changed listener-added listener front",
            "routing changed listener-removed listener inner",
            "routing changed listener-removed listener public",
        ]
    );
    // A change in a policy under another name is reported.
    let open = edit(
        DOCUMENT,
        "operationId: deleteOrder, security: [{key: [], pair: []}],",
        "operationId: deleteOrder, security: [], x-gateway: {public: true},",
    );
    let found = lines(&self::plan((&old, DOCUMENT), (&new, &open)));
    assert!(
        found.contains(&"security weaken security-requirement-removed a/deleteOrder".to_owned()),
        "{found:?}"
    );
    // Exchanged names of listeners mean exchanged addresses.
    let exchanged =
        at("inner: {address: \"127.0.0.1:8080\"}, public: {address: \"127.0.0.1:8081\"}");
    let found = lines(&self::plan((&old, DOCUMENT), (&exchanged, DOCUMENT)));
    assert!(!found.is_empty());
}

/// Clients reach a listener by its address, so the comparison is by address, regardless of the
/// listeners' names.
#[test]
fn exchanged_or_inherited_addresses_expose() {
    let at = |public: u16, inner: u16| {
        let text = edit(
            GATEWAY,
            "apis: {a: {path: api.yaml}}",
            "apis: {a: {path: api.yaml, mount: {listeners: [public]}}, b: {path: api.yaml, mount: {listeners: [inner], base_path: /inner}}}",
        );
        format!(
            "{text}listeners: {{public: {{address: \"0.0.0.0:{public}\"}}, inner: {{address: \"0.0.0.0:{inner}\"}}}}\n"
        )
    };
    let old = at(8080, 8081);
    // In the first case, the listeners exchange their addresses. In the second case, `public` gets
    // the address of `inner`, and `inner` another address.
    for new in [at(8081, 8080), at(8081, 8082)] {
        let plan = plan((&old, DOCUMENT), (&new, DOCUMENT));
        let exposed: Vec<_> = plan
            .changes
            .iter()
            .filter(|change| change.class == plan::Class::Expose)
            .collect();
        assert!(!exposed.is_empty(), "{new}\n{:?}", lines(&plan));
    }
}
