//! Plans of consumers and their limits, before and after a change.

use crate::{DOCUMENT, GATEWAY, edit, lines, plan};

const KEY: &str = "sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// gateway.yaml with this content of the section `plans`. `plan`: text for the consumer `acme`,
/// which is its key `plan` or empty.
fn gateway(plan: &str, plans: &str) -> String {
    let text = edit(GATEWAY, "acme: {", &format!("acme: {{{plan}"));
    let limits = "  fast: {kind: rate_limit, limit: 100/s, burst: 50}\n  \
        fast2: {kind: rate_limit, limit: 90/s, burst: 50}\n  \
        few: {kind: concurrency, limit: 3, key: consumer}\n  \
        month: {kind: quota, limit: 1000, period: month, key: consumer}\n";
    let text = edit(&text, "  slow:", &format!("{limits}  slow:"));
    edit(
        &text,
        "defaults:",
        &format!("plans: {{{plans}}}\ndefaults:"),
    )
}

const PLANS: &str = "gold: {policies: [fast]}, silver: {policies: [few]}, both: {policies: [fast, few, month]}, near: {policies: [fast2]}";

/// Lines of the plan with the id `consumer-plan-changed`, as `CLASS SUBJECT`.
fn moved(old: &str, new: &str) -> Vec<String> {
    let plan = plan((old, DOCUMENT), (new, DOCUMENT));
    let changes = plan.changes.iter();
    let moved = changes.filter(|change| change.id == "consumer-plan-changed");
    moved
        .map(|change| format!("{} {}", change.class.name(), change.subject))
        .collect()
}

#[test]
fn consumer_with_another_plan_is_compared_by_limits() {
    for (was, is, class) in [
        ("", "plan: gold, ", Some("tighten")),
        ("plan: gold, ", "", Some("relax")),
        ("plan: gold, ", "plan: silver, ", Some("relax")),
        ("plan: gold, ", "plan: both, ", Some("tighten")),
        ("plan: both, ", "plan: gold, ", Some("relax")),
        ("plan: gold, ", "plan: near, ", Some("tighten")),
        ("plan: near, ", "plan: gold, ", Some("relax")),
        ("plan: gold, ", "plan: gold, ", None),
    ] {
        let found = lines(&plan(
            (&gateway(was, PLANS), DOCUMENT),
            (&gateway(is, PLANS), DOCUMENT),
        ));
        let expected =
            class.map(|class| format!("policy {class} consumer-plan-changed consumer acme plan"));
        assert_eq!(found, Vec::from_iter(expected), "{was} -> {is}");
    }
}

#[test]
fn quota_of_another_plan_begins_anew() {
    let plans = "gold: {policies: [month]}, other: {policies: [again]}";
    for (quota, class, begins) in [
        ("kind: quota, limit: 1000, period: month", "changed", true),
        ("kind: quota, limit: 999, period: month", "tighten", true),
        ("kind: quota, limit: 1001, period: month", "relax", false),
        ("kind: quota, limit: 1000, period: minute", "relax", false),
    ] {
        let with = |plan: &str| {
            let text = gateway(plan, plans);
            let again = format!("  again: {{{quota}, key: consumer}}\n  slow:");
            edit(&text, "  slow:", &again)
        };
        let (old, new) = (with("plan: gold, "), with("plan: other, "));
        let found = lines(&plan((&old, DOCUMENT), (&new, DOCUMENT)));
        let mut expected = vec![format!(
            "policy {class} consumer-plan-changed consumer acme plan"
        )];
        let line =
            "policy relax policy-restarted consumer acme plan: policy plan:month -> plan:again";
        expected.extend(begins.then(|| line.to_owned()));
        expected.sort();
        let mut found = found;
        found.sort();
        assert_eq!(found, expected, "{quota}");
    }
}

#[test]
fn other_quota_of_the_same_plan_begins_anew() {
    let with = |quota: &str| {
        let plans = format!("gold: {{policies: [{quota}]}}, other: {{policies: [month, again]}}");
        let text = gateway("plan: gold, ", &plans);
        let again = "  again: {kind: quota, limit: 1000, period: month, key: consumer}\n  slow:";
        edit(&text, "  slow:", again)
    };
    let found = lines(&plan(
        (&with("month"), DOCUMENT),
        (&with("again"), DOCUMENT),
    ));
    let line = "policy relax policy-restarted consumer acme plan: policy plan:month -> plan:again";
    assert!(found.contains(&line.to_owned()), "{found:?}");
}

#[test]
fn changed_plan_is_compared_for_its_consumers() {
    let gold = "plan: gold, ";
    let with = |plans: &str| gateway(gold, plans);
    let old = with("gold: {policies: [fast, few]}, other: {policies: [fast, few]}");
    for (plans, class) in [
        (
            "gold: {policies: [fast]}, other: {policies: [fast, few]}",
            Some("relax"),
        ),
        (
            "gold: {policies: [fast, few, month]}, other: {policies: [fast, few]}",
            Some("tighten"),
        ),
        (
            "gold: {policies: [few, fast]}, other: {policies: [few]}",
            None,
        ),
        (
            "gold: {policies: [fast2, few]}, other: {policies: [fast, few]}",
            Some("tighten"),
        ),
    ] {
        let found = moved(&old, &with(plans));
        let expected = class.map(|class| format!("{class} consumer acme plan"));
        assert_eq!(found, Vec::from_iter(expected), "{plans}");
    }
    // Renaming a plan changes no limit.
    let renamed = gateway(
        "plan: golden, ",
        "golden: {policies: [fast, few]}, other: {policies: [fast, few]}",
    );
    assert_eq!(moved(&old, &renamed), ["changed consumer acme plan"]);
    // Consumers with the same plan are reported in one line.
    let beside = |text: String| {
        let bolt = format!(
            "  bolt: {{plan: gold, keys: [{{{}}}]}}\npolicies:",
            KEY.replace("9f86", "9f87")
        );
        edit(
            &text,
            "policies:\n",
            &format!(
                "{}\n",
                bolt.trim_start_matches("  ").replace("bolt", "  bolt")
            ),
        )
    };
    let fewer = with("gold: {policies: [fast]}, other: {policies: [fast, few]}");
    assert_eq!(
        moved(&beside(old), &beside(fewer)),
        ["relax consumer acme and 1 more plan"]
    );
}

#[test]
fn limit_for_a_plan_only_is_relaxed_for_all_others() {
    let all = gateway("", "gold: {policies: [fast]}");
    let only = edit(&all, "{policies: [fast]}", "{policies: [fast, slow]}");
    let only = edit(&only, "policies: [slow, edge]", "policies: [edge]");
    let found = lines(&plan((&all, DOCUMENT), (&only, DOCUMENT)));
    let relaxed = |line: &&String| line.starts_with("policy relax ");
    assert!(found.iter().any(|line| relaxed(&line)), "{found:?}");
    let back = lines(&plan((&only, DOCUMENT), (&all, DOCUMENT)));
    assert!(
        !back
            .iter()
            .any(|line| relaxed(&line) && line.contains("plans")),
        "{back:?}"
    );
}

#[test]
fn acknowledged_consumer_has_the_acknowledged_plan() {
    let old = gateway("", PLANS);
    let with = |rights: &str| {
        let key = KEY.replace("9f86", "9f87");
        let new = format!("  new: {{{rights}keys: [{{{key}}}]}}\npolicies:\n");
        edit(&old, "policies:\n", &new)
    };
    let fingerprint = |rights: &str| {
        let plan = plan((&old, DOCUMENT), (&with(rights), DOCUMENT));
        let mut changes = plan.changes.into_iter();
        let added = changes.find(|change| change.id == "credential-added");
        added.expect("the key has a line").fingerprint
    };
    let of = ["", "plan: gold, ", "plan: silver, ", "groups: [ops], "].map(fingerprint);
    let distinct: std::collections::BTreeSet<&String> = of.iter().collect();
    assert_eq!(distinct.len(), of.len(), "{of:?}");
    // The same plan with a higher limit, which is new in this change.
    let starter = |limit: &str| {
        let new = with("plan: starter, ");
        let starter = "plans: {starter: {policies: [start]}, ";
        let new = edit(&new, "plans: {", starter);
        let policy = format!("policies:\n  start: {{kind: rate_limit, limit: {limit}}}\n");
        let new = edit(&new, "policies:\n", &policy);
        let plan = plan((&old, DOCUMENT), (&new, DOCUMENT));
        let mut changes = plan.changes.into_iter();
        let added = changes.find(|change| change.id == "credential-added");
        added.expect("the key has a line").fingerprint
    };
    assert_ne!(starter("1/h"), starter("1000/s"));
}

#[test]
fn moved_credential_loses_the_limits_of_its_plan() {
    let other = KEY.replace("9f86", "9f87");
    let with = |first: &str, second: &str| {
        let text = gateway("", PLANS);
        edit(
            &text,
            &format!("acme: {{keys: [{{{KEY}}}]}}"),
            &format!("acme: {{{first}}}\n  bolt: {{{second}}}"),
        )
    };
    let third = KEY.replace("9f86", "9f88");
    let old = with(
        &format!("plan: gold, keys: [{{{KEY}}}, {{{third}}}]"),
        &format!("keys: [{{{other}}}]"),
    );
    let new = with(
        &format!("plan: gold, keys: [{{{third}}}]"),
        &format!("keys: [{{{KEY}}}, {{{other}}}]"),
    );
    let line = "relax credentials of consumer acme, now of consumer bolt, plan";
    assert_eq!(moved(&old, &new), [line]);
    // Limits with the key `consumer` count the two consumers separately.
    let found = lines(&plan((&old, DOCUMENT), (&new, DOCUMENT)));
    let split = "policy relax limit-split limits of consumer acme";
    assert!(found.contains(&split.to_owned()), "{found:?}");
    // The other consumer has at least the same limits.
    let both = |text: &str| edit(text, "bolt: {", "bolt: {plan: both, ");
    assert_eq!(moved(&both(&old), &both(&new)), [""; 0]);
    // All credentials of a consumer have a new name, and the same plan.
    let (acme, renamed) = (
        with(
            &format!("plan: gold, keys: [{{{KEY}}}]"),
            &format!("keys: [{{{other}}}]"),
        ),
        with(
            &format!("keys: [{{{other}}}]"),
            &format!("plan: gold, keys: [{{{KEY}}}]"),
        ),
    );
    let renamed = edit(&edit(&renamed, "acme:", "carl:"), "bolt:", "dora:");
    let found = lines(&plan((&acme, DOCUMENT), (&renamed, DOCUMENT)));
    assert!(
        !found.iter().any(|line| line.contains("relax")),
        "{found:?}"
    );
}

/// A group has the limits of all plans that name it. A consumer's own plan replaces them.
#[test]
fn plans_of_groups_are_compared_by_limits() {
    const FAST: &str = "gold: {policies: [fast], groups: [ops]}";
    const FEW: &str = "silver: {policies: [few]}";
    const BOTH: &str = "silver: {policies: [few], groups: [ops]}";
    let with = |consumer: &str, first: &str, second: &str| {
        gateway(
            consumer,
            &format!("{first}, {second}, spare: {{policies: [fast, few]}}"),
        )
    };
    let member = "groups: [dev, ops], ";
    for (old, new, expected) in [
        (
            with("", "gold: {policies: [fast]}", FEW),
            with("", FAST, FEW),
            &["policy tighten group-plan-changed group ops plan"][..],
        ),
        (
            with(member, FAST, FEW),
            with(member, "gold: {policies: [fast]}", FEW),
            &["policy relax group-plan-changed group ops plan"],
        ),
        // Another plan of the same group adds its limits.
        (
            with(member, FAST, FEW),
            with(member, FAST, BOTH),
            &["policy tighten group-plan-changed group ops plan"],
        ),
        (
            with(member, FAST, BOTH),
            with(member, "gold: {policies: [fast]}", BOTH),
            &["policy relax group-plan-changed group ops plan"],
        ),
        // A consumer that joins the group, leaves it, or gets a plan of its own.
        (
            with("groups: [dev], ", FAST, FEW),
            with(member, FAST, FEW),
            &["policy tighten consumer-plan-changed consumer acme plan"],
        ),
        (
            with(member, FAST, FEW),
            with("groups: [dev], ", FAST, FEW),
            &["policy relax consumer-plan-changed consumer acme plan"],
        ),
        (
            with(member, FAST, FEW),
            with("plan: silver, groups: [dev, ops], ", FAST, FEW),
            &["policy relax consumer-plan-changed consumer acme plan"],
        ),
        (
            with("plan: gold, groups: [dev, ops], ", FAST, FEW),
            with(member, FAST, FEW),
            &["policy changed consumer-plan-changed consumer acme plan"],
        ),
    ] {
        let found = lines(&plan((&old, DOCUMENT), (&new, DOCUMENT)));
        let found: Vec<&String> = found
            .iter()
            .filter(|line| line.contains("-plan-"))
            .collect();
        assert_eq!(found, expected, "{old}\n{new}");
    }
}
