//! Retries, circuit breakers and health checks that are added, removed or changed.

use crate::gates::{UPSTREAM, both, gateway, upstream};
use crate::{DOCUMENT, GATEWAY, edit};

const AGAIN: &str = "again: {kind: retry, attempts: 3, on: [5xx]}";
const LIST: &str = "{operationId: listOrders,";

/// [`GATEWAY`] with these policies. `used`: policies that the defaults of the project add.
fn with(policies: &str, used: &str) -> String {
    let gateway = edit(
        GATEWAY,
        "policies:\n",
        &format!("policies:\n  {policies}\n"),
    );
    edit(&gateway, "[slow, edge]", &format!("[slow, edge{used}]"))
}

fn own(retries: &str) -> String {
    let list = format!("{LIST} x-gateway: {{{retries}}},");
    edit(DOCUMENT, LIST, &list)
}

#[test]
fn retry_policy_that_comes_is_relax() {
    for policy in [AGAIN, "again: {kind: retry}"] {
        both(
            "operation-setting-changed",
            (GATEWAY, DOCUMENT),
            (&with(policy, ", again"), DOCUMENT),
            ("relax", "tighten"),
        );
    }
    let (old, new) = (own(""), own("retries: {}"));
    both(
        "operation-setting-changed",
        (GATEWAY, &old),
        (GATEWAY, &new),
        ("relax", "tighten"),
    );
}

#[test]
fn nearer_retries_are_compared_with_those_replaced() {
    let shared = with(AGAIN, ", again");
    both(
        "operation-setting-changed",
        (&shared, DOCUMENT),
        (&shared, &own("retries: {attempts: 1, on: [5xx]}")),
        ("tighten", "relax"),
    );
    // The last policy in the chain applies.
    let two = |order: &str| {
        with(
            &format!("{AGAIN}\n  once: {{kind: retry, on: [5xx]}}"),
            order,
        )
    };
    both(
        "operation-setting-changed",
        (&two(", again, once"), DOCUMENT),
        (&two(", once, again"), DOCUMENT),
        ("relax", "tighten"),
    );
    let ours = edit(
        &shared,
        UPSTREAM,
        &upstream(", retries: {attempts: 2, on: [5xx]}"),
    );
    let theirs = edit(&ours, "[slow, edge, again]", "[slow, edge]");
    both(
        "operation-setting-changed",
        (&theirs, DOCUMENT),
        (&ours, DOCUMENT),
        ("relax", "tighten"),
    );
}

#[test]
fn added_or_removed_upstream_settings_have_a_class() {
    for (old, new, classes) in [
        ("", ", retries: {}", ("relax", "tighten")),
        (
            "",
            ", retries: {attempts: 4, per_try_timeout: 1s}",
            ("relax", "tighten"),
        ),
        (
            "",
            ", circuit_breaker: {consecutive_failures: 5, open: 1ms}",
            ("tighten", "relax"),
        ),
        ("", ", health: {active: {}}", ("tighten", "relax")),
        (
            "",
            ", health: {active: {timeout: 1s, interval: 1s}}",
            ("tighten", "relax"),
        ),
        (
            "",
            ", health: {passive: {consecutive_5xx: 3}}",
            ("tighten", "relax"),
        ),
        ("", ", proxy_protocol: v2", ("incomparable", "weaken")),
    ] {
        let sides = (upstream(old), upstream(new));
        gateway(
            "upstream-setting-changed",
            UPSTREAM,
            (&sides.0, &sides.1),
            classes,
        );
    }
}

#[test]
fn numbers_of_breakers_and_checks_have_a_class() {
    const RELAX: (&str, &str) = ("relax", "tighten");
    let breaker = |more: &str| format!(", circuit_breaker: {{failure_ratio: 50%{more}}}");
    let passive = |more: &str| format!(", health: {{passive: {{{more}}}}}");
    let active = |more: &str| format!(", health: {{active: {{timeout: 1s{more}}}}}");
    for (old, new) in [
        (breaker(""), breaker(", min_requests: 21")),
        (breaker(""), breaker(", half_open_requests: 2")),
        (breaker(""), breaker(", open: 1ms")),
        (breaker(""), breaker(", open_max: 40s")),
        (
            passive("consecutive_5xx: 3"),
            passive("consecutive_5xx: 3, success_rate: {stdev_factor: 3000}"),
        ),
        (
            passive("consecutive_5xx: 3, success_rate: {stdev_factor: 3000}"),
            passive("consecutive_5xx: 3, success_rate: {stdev_factor: 0}"),
        ),
        (
            passive("consecutive_5xx: 3, failure_ratio: 20%"),
            passive("consecutive_5xx: 3, failure_ratio: 40%"),
        ),
        (
            passive("consecutive_5xx: 3"),
            passive("consecutive_5xx: 3, consecutive_local_failures: 100000"),
        ),
        (active(""), active(", interval: 60s")),
        (active(""), active(", statuses: [200, 500]")),
    ] {
        let sides = (upstream(&old), upstream(&new));
        gateway(
            "upstream-setting-changed",
            UPSTREAM,
            (&sides.0, &sides.1),
            RELAX,
        );
    }
    let policy = |more: &str| {
        with(
            &format!("breaker: {{kind: circuit_breaker, failure_ratio: 50%{more}}}"),
            ", breaker",
        )
    };
    both(
        "policy-changed",
        (&policy(""), DOCUMENT),
        (&policy(", open: 1ms"), DOCUMENT),
        RELAX,
    );
}
