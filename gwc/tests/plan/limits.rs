//! Tests of limits whose store or cost changes.

use crate::{DOCUMENT, GATEWAY, edit, lines, plan};

const SLOW: &str = "slow: {kind: rate_limit, limit: 10/s, burst: 5}";

/// A change between local counters and a store keeps what was used. Another store begins at zero.
#[test]
fn store_of_a_limit_relaxes_and_restarts_nothing() {
    for limit in [
        "{kind: rate_limit, limit: 10/s, burst: 5MORE}",
        "{kind: quota, limit: 100, period: monthMORE}",
    ] {
        let with = |store: &str, on_outage: &str, more: &str| {
            let limit = format!("slow: {}", limit.replace("MORE", more));
            let stores = format!(
                "stores:\n  {store}: {{kind: redis, url: \"${{env:STORE}}\", on_outage: {on_outage}}}\npolicies:"
            );
            let gateway = edit(GATEWAY, SLOW, &limit);
            edit(&gateway, "policies:", &stores)
        };
        let found = |old: &str, new: &str| {
            let lines = lines(&plan((old, DOCUMENT), (new, DOCUMENT)));
            assert!(!lines.join(" ").contains("policy-restarted"), "{lines:?}");
            let lines = lines.into_iter();
            let limit =
                lines.filter(|line| line.starts_with("policy ") && line.contains("slow store"));
            limit
                .map(|line| line.replace("policy-changed policy slow ", ""))
                .collect::<Vec<_>>()
        };
        let local = with("s", "closed", "");
        let shared = with("s", "closed", ", store: s");
        let open = with("s", "open", ", store: s");
        let renamed = with("t", "closed", ", store: t");
        let other = edit(&shared, "env:STORE", "env:OTHER");
        assert_eq!(
            found(&local, &shared),
            [
                "policy tighten store",
                "policy tighten store.on_outage",
                "policy changed store.prefix",
                "policy changed store.url",
            ]
        );
        assert_eq!(
            found(&shared, &local),
            [
                "policy relax store",
                "policy relax store.on_outage",
                "policy changed store.prefix",
                "policy changed store.url",
            ]
        );
        assert_eq!(found(&shared, &open), ["policy relax store.on_outage"]);
        assert_eq!(found(&open, &shared), ["policy tighten store.on_outage"]);
        assert_eq!(found(&shared, &renamed), ["policy changed store"]);
        assert_eq!(found(&shared, &other), ["policy relax store.url"]);
    }
}

/// gwc compares two costs by proof. An absent cost is that of the operation.
#[test]
fn cost_of_a_limit_is_compared_by_proof() {
    let with = |cost: &str| {
        let more = match cost {
            "" => String::new(),
            cost => format!(", cost: \"{cost}\""),
        };
        let slow = format!("slow: {{kind: rate_limit, limit: 10/s, burst: 5{more}}}");
        edit(GATEWAY, SLOW, &slow)
    };
    for (old, new, class) in [
        ("", "cost * 2", "tighten"),
        ("cost * 2", "", "relax"),
        ("2", "3", "tighten"),
        ("size(request.path)", "size(request.host)", "relax"),
        ("2", "1 + 1", "changed"),
    ] {
        let plan = plan((&with(old), DOCUMENT), (&with(new), DOCUMENT));
        let expected = format!("policy {class} policy-changed policy slow cost");
        assert_eq!(lines(&plan), [expected], "{old} -> {new}");
    }
}
