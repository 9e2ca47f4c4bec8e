//! Tests of changes of policies, limits and destinations for a request: a new operation name or
//! path must not hide a change.

use plan::{Class, Plan};

use crate::{DOCUMENT, GATEWAY, edit, lines, plan};

/// Lines of a plan with this class.
fn of(plan: &Plan, class: Class) -> Vec<String> {
    let lines_of_changes = lines(plan).into_iter().zip(&plan.changes);
    lines_of_changes
        .filter(|(_, change)| change.class == class)
        .map(|(line, _)| line)
        .collect()
}

/// Plan after edits of gateway.yaml and of the document.
fn edited(gateway: &[(&str, &str)], document: &[(&str, &str)]) -> Plan {
    let apply = |text: &str, edits: &[(&str, &str)]| {
        let edits = edits.iter();
        edits.fold(text.to_owned(), |text, (from, to)| edit(&text, from, to))
    };
    let new = (apply(GATEWAY, gateway), apply(DOCUMENT, document));
    plan((GATEWAY, DOCUMENT), (&new.0, &new.1))
}

const LIST: &str = "{operationId: listOrders, summary: List,";

#[test]
fn renamed_api_hides_no_lost_limit() {
    let plan = edited(
        &[("apis: {a:", "apis: {b:")],
        &[(
            LIST,
            "{operationId: listOrders, x-gateway: {policies: [edge]}, summary: List,",
        )],
    );
    assert_eq!(
        of(&plan, Class::Relax),
        ["policy relax policies-changed b/listOrders"]
    );
}

#[test]
fn renamed_api_hides_no_longer_timeout() {
    let plan = edited(
        &[("apis: {a:", "apis: {b:")],
        &[(
            LIST,
            "{operationId: listOrders, x-gateway: {timeout: 9s}, summary: List,",
        )],
    );
    assert_eq!(
        of(&plan, Class::Relax),
        ["policy relax timeout-changed b/listOrders"]
    );
}

#[test]
fn renamed_api_with_own_policy_hides_no_rate() {
    let own = |rate: &str, document: &str| {
        let section = format!(
            "x-gateway: {{policies: {{own: {{kind: rate_limit, limit: {rate}}}}}, defaults: {{policies: [own]}}}}\npaths:\n"
        );
        edit(document, "paths:\n", &section)
    };
    let renamed = edit(GATEWAY, "apis: {a:", "apis: {b:");
    let plan = plan(
        (GATEWAY, &own("10/s", DOCUMENT)),
        (&renamed, &own("99/s", DOCUMENT)),
    );
    let relaxed = of(&plan, Class::Relax);
    assert!(
        relaxed
            .iter()
            .any(|line| line.starts_with("policy relax rate-changed b/")),
        "{relaxed:?}"
    );
}

#[test]
fn new_id_at_another_path_hides_no_lost_limit() {
    // Replace the old path by a template of the new operation, which also matches other paths.
    let plan = edited(
        &[],
        &[
            (
                "  /status:\n",
                "  /{page}:\n    parameters: [{name: page, in: path, required: true, schema: {type: string}}]\n",
            ),
            (
                "operationId: getStatus, security: [], x-gateway: {public: true}",
                "operationId: getPage, security: [], x-gateway: {public: true, policies: [edge]}",
            ),
        ],
    );
    assert_eq!(
        of(&plan, Class::Relax),
        ["policy relax policies-changed a/getPage"]
    );
}

#[test]
fn limit_replaced_by_another_kind_is_relax() {
    let wait = [
        (
            "policies:\n",
            "policies:\n  few: {kind: concurrency, limit: 3}\n",
        ),
        ("[slow, edge]", "[few, edge]"),
    ];
    let plan = edited(&wait, &[]);
    let relaxed = of(&plan, Class::Relax);
    assert_eq!(relaxed.len(), 1, "{:?}", lines(&plan));
    assert!(
        relaxed[0].starts_with("policy relax policies-changed"),
        "{relaxed:?}"
    );
}

#[test]
fn limit_replaced_by_no_limit_is_relax() {
    let gateway = [
        (
            "policies:\n",
            "policies:\n  more: {kind: headers, response: {remove: [X-A]}}\n",
        ),
        ("[slow, edge]", "[more, edge]"),
    ];
    let relaxed = of(&edited(&gateway, &[]), Class::Relax);
    assert!(
        relaxed[0].starts_with("policy relax policies-changed"),
        "{relaxed:?}"
    );
}

#[test]
fn lost_limit_beside_a_tighter_one_is_no_relax() {
    let both = GATEWAY.replace(
        "policies:\n",
        "policies:\n  tight: {kind: rate_limit, limit: 1/s, burst: 1}\n",
    );
    let old = edit(&both, "[slow, edge]", "[slow, tight, edge]");
    let new = edit(&both, "[slow, edge]", "[tight, edge]");
    let plan = plan((&old, DOCUMENT), (&new, DOCUMENT));
    assert_eq!(of(&plan, Class::Relax), [""; 0]);
}

#[test]
fn limit_with_another_key_is_relax() {
    let keyed =
        |key: &str| format!("slow: {{kind: rate_limit, limit: 10/s, burst: 5, key: {key}}}");
    let plain = "slow: {kind: rate_limit, limit: 10/s, burst: 5}";
    let old = edit(GATEWAY, plain, &keyed("consumer"));
    let new = edit(GATEWAY, plain, &keyed("\"header:X-A\""));
    let plan = plan((&old, DOCUMENT), (&new, DOCUMENT));
    assert_eq!(
        of(&plan, Class::Relax),
        ["policy relax limit-key-changed policy slow key"]
    );
}

#[test]
fn limit_of_one_name_and_another_kind_is_relax() {
    let plan = edited(
        &[(
            "slow: {kind: rate_limit, limit: 10/s, burst: 5}",
            "slow: {kind: concurrency, limit: 5}",
        )],
        &[],
    );
    assert_eq!(
        of(&plan, Class::Relax),
        [
            "policy relax policy-changed policy slow",
            "policy relax policies-changed a/createOrder+a/deleteOrder+a/getOrder+a/getStatus+a/listOrders",
        ]
    );
}

#[test]
fn numbers_of_concurrency_limits_are_compared() {
    let with = |wait: &str| {
        let few = format!("slow: {{kind: concurrency, limit: 5{wait}}}");
        edit(
            GATEWAY,
            "slow: {kind: rate_limit, limit: 10/s, burst: 5}",
            &few,
        )
    };
    for (old, new, expected) in [
        (
            "",
            ", wait: 1s",
            "policy relax policy-changed policy slow wait",
        ),
        (
            ", wait: 1s",
            ", wait: 2s",
            "policy relax policy-changed policy slow wait",
        ),
        (
            ", wait: 2s",
            ", wait: 1s",
            "policy tighten policy-changed policy slow wait",
        ),
        (
            ", algorithm: adaptive, min_limit: 2",
            ", algorithm: adaptive, min_limit: 1",
            "policy tighten policy-changed policy slow min_limit",
        ),
        (
            ", wait: 1s",
            "",
            "policy tighten policy-changed policy slow wait",
        ),
    ] {
        let plan = plan((&with(old), DOCUMENT), (&with(new), DOCUMENT));
        assert_eq!(lines(&plan), [expected], "{old} to {new}");
    }
}

#[test]
fn policy_that_comes_into_use_is_described() {
    let plan = edited(
        &[
            (
                "policies:\n",
                "policies:\n  canary: {kind: split, among: [{upstream: u, weight: 9}, {upstream: v, weight: 1}]}\n",
            ),
            ("[slow, edge]", "[slow, edge, canary]"),
        ],
        &[],
    );
    let change = plan
        .changes
        .iter()
        .find(|change| change.id == "policies-changed")
        .expect("told");
    let value = change.new.to_string();
    for part in ["canary: split", "127.0.0.1:9000", "127.0.0.1:9001"] {
        assert!(value.contains(part), "{value}");
    }
    let moved = of(&plan, Class::Moved);
    assert_eq!(moved.len(), 1, "{:?}", lines(&plan));
    assert!(
        moved[0].starts_with("policy moved traffic-moved"),
        "{moved:?}"
    );
    assert_eq!(plan.tripped(&["move".into()], &[]).len(), 1);
}

#[test]
fn policy_that_diverts_requests_is_moved() {
    for policy in [
        "{kind: mirror, upstream: v}",
        "{kind: rewrite, path: \"/other\"}",
        "{kind: redirect, host: elsewhere.example}",
        "{kind: respond, status: 200, body: made here}",
    ] {
        let defined = format!("policies:\n  goes: {policy}\n");
        let plan = edited(
            &[
                ("policies:\n", &defined),
                ("[slow, edge]", "[slow, edge, goes]"),
            ],
            &[],
        );
        let moved = of(&plan, Class::Moved);
        assert!(
            moved
                .iter()
                .any(|line| line.starts_with("policy moved traffic-moved")),
            "{policy}: {:?}",
            lines(&plan)
        );
    }
}

#[test]
fn split_and_mirror_of_an_operation_are_moved() {
    for (settings, hosts) in [
        (
            "split: [{upstream: u, weight: 1}, {upstream: v, weight: 1}]",
            "127.0.0.1:9001",
        ),
        ("mirror: {upstream: v}", "127.0.0.1:9001"),
        ("rewrite: {path: /other}", "/other"),
    ] {
        let to = format!("{{operationId: listOrders, x-gateway: {{{settings}}}, summary: List,");
        let plan = edited(&[], &[(LIST, &to)]);
        let mut moved = plan
            .changes
            .iter()
            .filter(|change| change.class == Class::Moved);
        let named = moved
            .clone()
            .all(|change| change.operations == ["a/listOrders"]);
        assert!(named, "{:?}", lines(&plan));
        assert!(
            moved.any(|change| change.new.to_string().contains(hosts)),
            "{settings}: {:?}",
            plan.changes
        );
    }
}

#[test]
fn target_address_and_weight_are_moved() {
    let plan = edited(&[(":9000", ":9009")], &[]);
    assert_eq!(
        of(&plan, Class::Moved),
        ["upstream moved targets-changed upstream u targets.a.url"]
    );
    let two = |weight: u8| {
        format!(
            "u: {{targets: {{a: {{url: \"http://127.0.0.1:9000\", weight: {weight}}}, b: {{url: \"http://127.0.0.1:9002\"}}}}}}"
        )
    };
    let from = "u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}";
    let (old, new) = (edit(GATEWAY, from, &two(2)), edit(GATEWAY, from, &two(3)));
    let plan = self::plan((&old, DOCUMENT), (&new, DOCUMENT));
    assert_eq!(
        lines(&plan),
        ["upstream moved targets-changed upstream u targets.a.weight"]
    );
}

#[test]
fn listener_that_becomes_public_is_expose() {
    let at =
        |address: &str| format!("{GATEWAY}listeners: {{public: {{address: \"{address}\"}}}}\n");
    for (old, new, class) in [
        ("127.0.0.1:8080", "0.0.0.0:8080", "expose"),
        ("127.0.0.1:8080", "10.0.0.1:8080", "expose"),
        ("10.0.0.1:8080", "[::]:8080", "expose"),
        ("127.0.0.1:8080", "[::]:8080", "expose"),
        ("0.0.0.0:8080", "127.0.0.1:8080", "removed"),
        ("127.0.0.1:8080", "127.0.0.1:8081", "removed"),
        ("100.64.0.1:8080", "0.0.0.0:8080", "expose"),
        ("203.0.113.7:8080", "0.0.0.0:8080", "expose"),
        ("8.8.8.8:8080", "0.0.0.0:8080", "expose"),
        ("[2a00::7]:8080", "[::]:8080", "expose"),
        ("[fe80::1%2]:8080", "[fe80::1%3]:8080", "expose"),
        ("10.0.0.1:8080", "192.168.1.1:8080", "expose"),
        ("0.0.0.0:8080", "[::]:8080", "expose"),
        ("10.0.0.1:8080", "10.0.0.2:8080", "removed"),
        ("8.8.8.8:8080", "9.9.9.9:8080", "removed"),
    ] {
        let plan = plan((&at(old), DOCUMENT), (&at(new), DOCUMENT));
        let expected = format!("routing {class} listener-address-changed listener public address");
        assert_eq!(lines(&plan), [expected], "{old} {new}");
    }
}

#[test]
fn sunset_that_was_over_and_ends_is_expose() {
    let with = |sunset: &str| {
        format!(
            "{{operationId: listOrders, x-gateway: {{deprecated: {{sunset: {sunset}}}}}, summary: List,"
        )
    };
    let old = edit(DOCUMENT, LIST, &with("2020-01-01"));
    let later = edit(DOCUMENT, LIST, &with("2099-01-01"));
    for new in [DOCUMENT, &later] {
        let mut plan = plan((GATEWAY, &old), (GATEWAY, new));
        plan.ended_by("2031-05-01");
        let found = lines(&plan);
        let exposed = found
            .iter()
            .any(|line| line == "security expose sunset-changed a/listOrders");
        assert!(exposed, "{found:?}");
        assert_eq!(plan.tripped(&["expose".into()], &[]).len(), 1);
    }
}

#[test]
fn sunset_in_the_past_is_removed() {
    let gone =
        "{operationId: listOrders, x-gateway: {deprecated: {sunset: 2031-05-01}}, summary: List,";
    let mut plan = edited(&[], &[(LIST, gone)]);
    let sunset = |plan: &Plan| {
        let all = lines(plan).into_iter();
        all.filter(|line| line.contains("sunset-changed"))
            .collect::<Vec<_>>()
    };
    plan.ended_by("2031-05-01");
    assert_eq!(
        sunset(&plan),
        ["policy tighten sunset-changed a/listOrders"]
    );
    let fingerprint = |plan: &Plan| {
        let mut changes = plan.changes.iter();
        let change = changes.find(|change| change.id == "sunset-changed");
        change.expect("it has a line").fingerprint.clone()
    };
    let before = fingerprint(&plan);
    plan.ended_by("2031-05-02");
    assert_eq!(
        sunset(&plan),
        ["policy removed sunset-changed a/listOrders"]
    );
    assert_ne!(fingerprint(&plan), before);
    assert_eq!(plan.tripped(&["remove".into()], &[]).len(), 1);
}

#[test]
fn redirected_slashes_that_are_served_move() {
    let with = |slash: &str| {
        let setting = format!("  /status:\n    x-gateway: {{trailing_slash: {slash}}}\n");
        edit(DOCUMENT, "  /status:\n", &setting)
    };
    for (old, new, class) in [
        ("redirect", "ignore", "moved"),
        ("redirect", "strict", "removed"),
        ("ignore", "redirect", "changed"),
        ("strict", "redirect", "changed"),
    ] {
        let found = lines(&plan((GATEWAY, &with(old)), (GATEWAY, &with(new))));
        let line = format!("policy {class} trailing-slash-changed a/getStatus");
        assert!(found.contains(&line), "{old} to {new}: {found:?}");
    }
}

#[test]
fn earliest_of_several_sunsets_counts() {
    let policies = "policies:\n  a: {kind: deprecation, sunset: 2098-01-01}\n  \
        b: {kind: deprecation, sunset: 2020-01-01}\n";
    let with = edit(GATEWAY, "policies:\n", policies);
    let used = edit(
        &with,
        "policies: [slow, edge]",
        "policies: [slow, edge, a, b]",
    );
    for (old, new, class) in [
        (&*with, &*used, "policy removed"),
        (&used, &with, "security expose"),
    ] {
        let mut plan = plan((old, DOCUMENT), (new, DOCUMENT));
        plan.ended_by("2031-05-01");
        let found = lines(&plan);
        let begin = format!("{class} sunset-changed ");
        let is_found = found.iter().any(|line| line.starts_with(&begin));
        assert!(is_found, "{begin}: {found:?}");
    }
}
