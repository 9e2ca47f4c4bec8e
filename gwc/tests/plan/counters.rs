//! Tests of limits whose counter several operations share: no renaming may hide that a counter is
//! split.

use plan::{Class, Plan};

use crate::{DOCUMENT, GATEWAY, edit, lines, plan, side};

const LIST: &str = "{operationId: listOrders, summary: List,";
const SLOW: &str = "slow: {kind: rate_limit, limit: 10/s, burst: 5}";

/// Lines about counters with this class, as `ID OPERATIONS: OLD -> NEW`.
fn counter_lines(plan: &Plan, class: Class) -> Vec<String> {
    let ids = ["limit-split", "limit-joined"];
    let changes = plan.changes.iter();
    let changes = changes.filter(|change| change.class == class && ids.contains(&change.id));
    let line = |change: &plan::Change| {
        let of = change.operations.join("+");
        format!("{} {of}: {} -> {}", change.id, change.old, change.new)
    };
    changes.map(line).collect()
}

/// Asserts the lines about counters for an edit (`forwards`) and for its reverse (`backwards`).
#[track_caller]
fn split(old: (&str, &str), new: (&str, &str), forwards: &[&str], backwards: &[&str]) {
    let there = plan(old, new);
    assert_eq!(
        counter_lines(&there, Class::Relax),
        forwards,
        "{:?}",
        lines(&there)
    );
    let mut changes = there.changes.iter();
    let is_tripped =
        changes.any(|change| change.class == Class::Relax && change.id != "policy-restarted");
    assert_eq!(is_tripped, !forwards.is_empty(), "{:?}", lines(&there));
    let back = plan(new, old);
    assert_eq!(
        counter_lines(&back, Class::Tighten),
        backwards,
        "{:?}",
        lines(&back)
    );
    assert_eq!(
        counter_lines(&back, Class::Relax),
        [""; 0],
        "{:?}",
        lines(&back)
    );
}

/// gateway.yaml with a second limit that is equal to `slow`.
fn two() -> String {
    let late = format!("{SLOW}\n  late: {{kind: rate_limit, limit: 10/s, burst: 5}}");
    edit(GATEWAY, SLOW, &late)
}

#[test]
fn renamed_operation_hides_no_split_counter() {
    let named = "{operationId: listAll, x-gateway: {policies: [late, edge]}, summary: List,";
    split(
        (&two(), DOCUMENT),
        (&two(), &edit(DOCUMENT, LIST, named)),
        &["limit-split a/listAll: \"slow\" -> \"late\""],
        &["limit-joined a/listOrders: \"late\" -> \"slow\""],
    );
}

#[test]
fn renamed_api_hides_no_split_counter() {
    let own = "{operationId: listOrders, x-gateway: {policies: [late, edge]}, summary: List,";
    let gateway = edit(&two(), "apis: {a:", "apis: {b:");
    split(
        (&two(), DOCUMENT),
        (&gateway, &edit(DOCUMENT, LIST, own)),
        &["limit-split b/listOrders: \"slow\" -> \"late\""],
        &["limit-joined a/listOrders: \"late\" -> \"slow\""],
    );
    // Rename only the API.
    split((&two(), DOCUMENT), (&gateway, DOCUMENT), &[], &[]);
}

/// Document that defines these policies itself. `names`: default list of policies of the
/// operations.
fn own(policies: &str, names: &str) -> String {
    let keys =
        format!("x-gateway: {{policies: {{{policies}}}, defaults: {{policies: [{names}]}}}}");
    edit(DOCUMENT, "paths:\n", &format!("{keys}\npaths:\n"))
}

#[test]
fn policy_at_each_operation_splits_the_counter() {
    let limit = "{kind: quota, limit: 100, period: day}";
    let old = own(&format!("all: {limit}"), "all");
    let each = format!("one: {limit}, two: {limit}, rest: {limit}");
    let new = own(&each, "rest");
    let new = edit(
        &new,
        LIST,
        "{operationId: listOrders, x-gateway: {policies: [one]}, summary: List,",
    );
    let new = edit(
        &new,
        "{operationId: getOrder,",
        "{operationId: getOrder, x-gateway: {policies: [two]},",
    );
    split(
        (GATEWAY, &old),
        (GATEWAY, &new),
        &[
            "limit-split a/getOrder: \"a/all\" -> \"a/two\"",
            "limit-split a/listOrders: \"a/all\" -> \"a/one\"",
        ],
        &[
            "limit-joined a/getOrder: \"a/two\" -> \"a/all\"",
            "limit-joined a/listOrders: \"a/one\" -> \"a/all\"",
        ],
    );
    // Rename the policy of all operations. They still share one counter.
    let renamed = own(&format!("whole: {limit}"), "whole");
    split((GATEWAY, &old), (GATEWAY, &renamed), &[], &[]);
}

#[test]
fn looser_common_limit_hides_no_split_counter() {
    let limit = |count: u32| format!("{{kind: quota, limit: {count}, period: day}}");
    let old = own(&format!("all: {}", limit(100)), "all");
    let new = own(
        &format!(
            "most: {}, one: {m}, rest: {m}",
            limit(10_000),
            m = limit(100)
        ),
        "most, rest",
    );
    let new = edit(
        &new,
        LIST,
        "{operationId: listOrders, x-gateway: {policies: [most, one]}, summary: List,",
    );
    let plan = plan((GATEWAY, &old), (GATEWAY, &new));
    assert!(
        !plan.tripped(&["relax".into()], &[]).is_empty(),
        "{:?}",
        lines(&plan)
    );
}

#[test]
fn counter_by_route_is_split_with_the_operation() {
    let by = |key: &str| {
        let few = format!("few: {{kind: concurrency, limit: 3, key: {key}}}\n  {SLOW}");
        edit(
            &edit(GATEWAY, SLOW, &few),
            "[slow, edge]",
            "[slow, few, edge]",
        )
    };
    let new = edit(
        DOCUMENT,
        "  /status:\n",
        "  /orders/mine:\n    get: {operationId: getMine, responses: {\"200\": {description: fine}}}\n  /status:\n",
    );
    for key in ["route", "[consumer, route]"] {
        split(
            (&by(key), DOCUMENT),
            (&by(key), &new),
            &[
                "limit-split a/getMine: \"few of a/getOrder@default\" -> \"few of a/getMine@default\"",
            ],
            &[
                "limit-joined a/getOrder: \"few of a/getMine@default\" -> \"few of a/getOrder@default\"",
            ],
        );
    }
    split(
        (&by("consumer"), DOCUMENT),
        (&by("consumer"), &new),
        &[],
        &[],
    );
    // Rename the operation, and then the API.
    let renamed = edit(DOCUMENT, "operationId: getOrder", "operationId: order");
    split((&by("route"), DOCUMENT), (&by("route"), &renamed), &[], &[]);
    let gateway = edit(&by("route"), "apis: {a:", "apis: {b:");
    split((&by("route"), DOCUMENT), (&gateway, DOCUMENT), &[], &[]);
}

#[test]
fn operation_in_another_api_splits_the_counter() {
    let limit = "x-gateway: {policies: {all: {kind: quota, limit: 100, period: day}}, defaults: {policies: [all]}}\n";
    let head = format!("openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\n{limit}paths:\n");
    let path = |name: &str| {
        format!(
            "  /{name}: {{get: {{operationId: {name}, x-gateway: {{public: true}}, responses: {{\"200\": {{description: fine}}}}}}}}\n"
        )
    };
    let gateway = edit(
        GATEWAY,
        "apis: {a: {path: api.yaml}}",
        "apis: {a: {path: api.yaml}, b: {path: other.yaml}}",
    );
    let of = |one: &[&str], other: &[&str]| {
        let whole = |names: &[&str]| {
            let paths = names.iter().map(|name| path(name));
            format!("{head}{}", paths.collect::<String>())
        };
        side(&[
            ("gateway.yaml", &gateway),
            ("api.yaml", &whole(one)),
            ("other.yaml", &whole(other)),
        ])
    };
    let (old, new) = (
        of(&["one", "two", "three"], &["four"]),
        of(&["one", "two"], &["three", "four"]),
    );
    let plan = plan::compare(Some(&old), &new).expect("both sides build");
    assert_eq!(
        counter_lines(&plan, Class::Relax),
        ["limit-split b/three: \"a/all\" -> \"b/all\""],
        "{:?}",
        lines(&plan)
    );
    assert_eq!(
        counter_lines(&plan, Class::Tighten),
        ["limit-joined b/three: \"a/all\" -> \"b/all\""]
    );
}

/// gateway.yaml with these policies in place of `slow`, and a document whose operations
/// `listOrders` and `getOrder` have chains with these names.
fn pair(policies: &str, list: &str, get: &str) -> (String, String) {
    let gateway = edit(GATEWAY, SLOW, policies);
    let gateway = edit(&gateway, "[slow, edge]", "[edge]");
    let document = edit(
        DOCUMENT,
        LIST,
        &format!("{{operationId: listOrders, x-gateway: {{policies: [{list}]}}, summary: List,"),
    );
    let named = format!("{{operationId: getOrder, x-gateway: {{policies: [{get}]}},");
    (gateway, edit(&document, "{operationId: getOrder,", &named))
}

#[test]
fn broader_limit_hides_no_split_counter() {
    for (tight, broad) in [
        (
            "kind: rate_limit, limit: 4/min, key: consumer",
            "kind: rate_limit, limit: 5000/s, key: address",
        ),
        (
            "kind: quota, limit: 100, period: month, key: consumer",
            "kind: quota, limit: 9000, period: month, key: consumer",
        ),
        (
            "kind: concurrency, limit: 5, key: consumer",
            "kind: concurrency, limit: 900, key: address",
        ),
    ] {
        let with = |second: &str| {
            format!(
                "one: {{{tight}}}\n  two: {{{second}}}\n  all: {{{broad}}}\n  late: {{{broad}}}"
            )
        };
        let policies = with(tight);
        let (gateway, old) = pair(&policies, "all, one", "all, one");
        // The broad limit applies in both versions.
        let (_, new) = pair(&policies, "all, one", "all, two");
        split(
            (&gateway, &old),
            (&gateway, &new),
            &["limit-split a/getOrder: \"one\" -> \"two\""],
            &["limit-joined a/getOrder: \"two\" -> \"one\""],
        );
        // The split also adds a second broad limit.
        let (_, new) = pair(&policies, "late, one, all", "late, two, all");
        split(
            (&gateway, &old),
            (&gateway, &new),
            &["limit-split a/getOrder: \"one\" -> \"two\""],
            &["limit-joined a/getOrder: \"two\" -> \"one\""],
        );
        // Both operations change from `one` to `two`, so they still share one counter.
        let (_, new) = pair(&policies, "all, two", "all, two");
        split((&gateway, &old), (&gateway, &new), &[], &[]);
        // One operation loses the limit. This is not a split.
        let (_, new) = pair(&policies, "all, one", "all");
        let less = plan((&gateway, &old), (&gateway, &new));
        assert_eq!(
            counter_lines(&less, Class::Relax),
            [""; 0],
            "{:?}",
            lines(&less)
        );
        let tripped = less.tripped(&["relax".into()], &[]);
        assert!(!tripped.is_empty(), "{:?}", lines(&less));
    }
}

#[test]
fn looser_successors_behind_a_broad_limit_are_split() {
    let limit = |count: u32| format!("{{kind: quota, limit: {count}, period: day, key: consumer}}");
    let policies = format!(
        "one: {}\n  two: {l}\n  three: {l}\n  all: {}",
        limit(100),
        limit(10_000),
        l = limit(120)
    );
    let (gateway, old) = pair(&policies, "one", "one");
    let (_, new) = pair(&policies, "all, two", "all, three");
    let there = plan((&gateway, &old), (&gateway, &new));
    assert_eq!(
        counter_lines(&there, Class::Relax).len(),
        1,
        "{:?}",
        lines(&there)
    );
    // Both operations change to one looser limit.
    let (_, new) = pair(&policies, "all, two", "all, two");
    let there = plan((&gateway, &old), (&gateway, &new));
    assert_eq!(
        counter_lines(&there, Class::Relax),
        [""; 0],
        "{:?}",
        lines(&there)
    );
}

#[test]
fn limit_of_another_plan_replaces_no_counter() {
    let tight = "{kind: quota, limit: 100, period: day, key: consumer}";
    let policies = format!("one: {tight}\n  two: {tight}\n  gold: {tight}");
    let (gateway, old) = pair(&policies, "one", "one");
    let (_, new) = pair(&policies, "one", "two");
    // Consumers of the plan have a limit for both operations. Other consumers do not.
    let gateway = edit(
        &gateway,
        "defaults:",
        "plans: {gold: {policies: [gold]}}\ndefaults:",
    );
    split(
        (&gateway, &old),
        (&gateway, &new),
        &["limit-split a/getOrder: \"one\" -> \"two\""],
        &["limit-joined a/getOrder: \"two\" -> \"one\""],
    );
}

#[test]
fn renamed_route_restarts_its_counters() {
    let by_route = |kind: &str| {
        edit(
            GATEWAY,
            SLOW,
            &format!("slow: {{kind: {kind}, key: route}}"),
        )
    };
    for (kind, class) in [
        ("rate_limit, limit: 10/s, burst: 5", Class::Changed),
        ("quota, limit: 100, period: month", Class::Relax),
    ] {
        let gateway = by_route(kind);
        let renamed = edit(DOCUMENT, LIST, "{operationId: listAll, summary: List,");
        let plan = plan((&gateway, DOCUMENT), (&gateway, &renamed));
        let restarted: Vec<_> = plan
            .changes
            .iter()
            .filter(|change| change.id == "policy-restarted")
            .map(|change| (change.class, change.subject.as_str()))
            .collect();
        let subject = "policy slow of a/listOrders@default -> slow of a/listAll@default";
        assert_eq!(restarted, [(class, subject)], "{:?}", lines(&plan));
    }
    let gateway = edit(
        GATEWAY,
        SLOW,
        "slow: {kind: rate_limit, limit: 10/s, burst: 5, key: address}",
    );
    let renamed = edit(DOCUMENT, LIST, "{operationId: listAll, summary: List,");
    let plan = plan((&gateway, DOCUMENT), (&gateway, &renamed));
    assert!(
        !lines(&plan)
            .iter()
            .any(|line| line.contains("policy-restarted")),
        "{:?}",
        lines(&plan)
    );
}

#[test]
fn renamed_limits_have_one_line_each() {
    // Equal limits with these names.
    let gateway = |names: [&str; 3]| {
        let limits =
            names.map(|name| format!("{name}: {{kind: quota, limit: 100, period: month}}"));
        let gateway = edit(GATEWAY, SLOW, &limits.join("\n  "));
        edit(
            &gateway,
            "[slow, edge]",
            &format!("[{}, edge]", names.join(", ")),
        )
    };
    let restarted = |names: [&str; 3]| {
        let (old, new) = (gateway(["p", "q", "r"]), gateway(names));
        let plan = plan((&old, DOCUMENT), (&new, DOCUMENT));
        let changes = plan.changes.iter();
        let changes = changes.filter(|change| change.id == "policy-restarted");
        let shown = changes.map(|change| (change.subject.clone(), change.bound.clone()));
        shown.collect::<Vec<_>>()
    };
    let all = restarted(["x", "y", "z"]);
    let subjects: Vec<&str> = all.iter().map(|(subject, _)| subject.as_str()).collect();
    let expected = ["p", "q", "r"].map(|name| format!("policy {name} -> x and 2 more"));
    assert_eq!(subjects, expected);
    // An acknowledgement covers the names that the line does not show.
    let other = restarted(["x", "y", "w"]);
    assert_ne!(all[0].1, other[0].1);
}
