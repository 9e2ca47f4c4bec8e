//! Tests of policies of the old version that have no readable settings. The plan compares
//! everything else, unless the policy decides about access.

use model::compile::Purpose;
use plan::compare;

use crate::{DOCUMENT, GATEWAY, compiled, edit, side};

#[test]
fn policy_without_readable_settings_is_compared() {
    for (broken, fixed) in [
        ("{kind: rate_limit}", "{kind: rate_limit, limit: 5/s}"),
        ("{kind: quota}", "{kind: quota, limit: 5, period: day}"),
        ("{kind: concurrency}", "{kind: concurrency, limit: 5}"),
    ] {
        for name in ["edge", "other"] {
            let (old, new) = (gateway(broken, "edge"), gateway(fixed, name));
            let files = [("gateway.yaml", old.as_str()), ("api.yaml", DOCUMENT)];
            let old = compiled(&files, Purpose::Past).expect("the rest compiles");
            let new = side(&[("gateway.yaml", &new), ("api.yaml", DOCUMENT)]);
            let plan = compare(Some(&old), &new).expect("both sides build");
            assert_ne!(plan.changes.len(), 0, "{broken} {name}");
        }
    }
}

#[test]
fn unreadable_policy_of_access_is_not_left_out() {
    for broken in [
        "{kind: authorize, group: [g]}",
        "{kind: headers, request: {remove: [X-A], set: {\"b ad\": x}}}",
        "{kind: ip_filter}",
        "{kind: body_limit, request: 1 KBi}",
    ] {
        let gateway = gateway(broken, "edge");
        let files = [("gateway.yaml", gateway.as_str()), ("api.yaml", DOCUMENT)];
        assert!(compiled(&files, Purpose::Past).is_err(), "{broken}");
    }
}

/// gateway.yaml with a policy, in place of `edge`.
fn gateway(policy: &str, name: &str) -> String {
    let named = edit(GATEWAY, "[slow, edge]", &format!("[slow, {name}]"));
    let own = format!("  {name}: {policy}\n");
    edit(
        &named,
        "  edge: {kind: headers, response: {remove: [Server]}}\n",
        &own,
    )
}
