//! Tests of operations that newly let clients choose the virtual host of a server, through another
//! upstream or without a rewrite.

use plan::Plan;

use crate::side;

/// Upstreams of the old and the new gateway. `u`, `v` and `w` have the same server.
const UPSTREAMS: &str =
    "  u: {host_header: pub.internal, targets: {a: {url: \"http://s.example:9001\"}}}
  v: {targets: {a: {url: \"http://s.example:9001\"}}}
  w: {host_header: upstream, targets: {a: {url: \"http://s.example:9001\"}}}
  o: {targets: {a: {url: \"http://o.example:9001\"}}}
";

fn between(old: (&str, &str), new: (&str, &str)) -> Plan {
    let of = |(upstreams, settings): (&str, &str)| {
        let gateway = format!(
            "version: 1\nname: g\napis: {{a: {{path: api.yaml}}}}\nupstreams:\n{upstreams}\
             policies: {{host: {{kind: rewrite, host: pub.internal}}, away: {{kind: redirect, host: x.example}}}}\n\
             defaults: {{upstream: v, timeout: 5s}}\n"
        );
        let document = format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\npaths:\n  /x:\n    get: {{operationId: x, \
             responses: {{\"200\": {{description: d}}}}, x-gateway: {{public: true, {settings}}}}}\n"
        );
        side(&[("gateway.yaml", &gateway), ("api.yaml", &document)])
    };
    plan::compare(Some(&of(old)), &of(new)).expect("both sides build")
}

/// True if a line of the plan trips the gate `weaken`.
fn weakens(plan: &Plan) -> bool {
    !plan.tripped(&["weaken".to_owned()], &[]).is_empty()
}

#[test]
fn host_that_clients_newly_choose_weakens() {
    let shares = |one: u32, other: u32| {
        format!("split: [{{upstream: u, weight: {one}}}, {{upstream: v, weight: {other}}}]")
    };
    let (half, none) = (shares(50, 50), shares(100, 0));
    let mirrored = "upstream: u, mirror: {upstream: v, percent: 10%}";
    let fixed = "split: [{upstream: u, weight: 1}, {upstream: w, weight: 1}]";
    for (old, new, expected) in [
        ("upstream: u", "upstream: v", true),
        ("upstream: w", "upstream: v", true),
        ("upstream: u", half.as_str(), true),
        ("upstream: u", mirrored, true),
        (fixed, half.as_str(), true),
        (none.as_str(), "upstream: v", true),
        (
            "upstream: v, rewrite: {host: pub.internal}",
            "upstream: v",
            true,
        ),
        ("upstream: v, policies: [host]", "upstream: v", true),
        ("upstream: u", none.as_str(), false),
        ("upstream: u", "upstream: w", false),
        ("upstream: u", "upstream: o", false),
        ("upstream: u", "upstream: v, policies: [host]", false),
        ("upstream: u", "upstream: v, policies: [away]", false),
        (half.as_str(), "upstream: v", false),
        (mirrored, "upstream: v", false),
        ("upstream: v", "upstream: u", false),
    ] {
        let plan = between((UPSTREAMS, old), (UPSTREAMS, new));
        let lines = || plan.changes.iter().map(|one| (one.class, one.id));
        let lines: Vec<_> = lines().collect();
        assert_eq!(weakens(&plan), expected, "{old} -> {new}: {lines:?}");
    }
}

#[test]
fn renamed_upstream_hides_no_chosen_host() {
    let target = "targets: {a: {url: \"http://s.example:9001\"}}";
    let old = format!("  u: {{host_header: pub.internal, {target}}}\n  v: {{{target}}}\n");
    let new = format!("  x: {{{target}}}\n  v: {{{target}}}\n");
    let plan = between((&old, "upstream: u"), (&new, "upstream: x"));
    assert!(weakens(&plan), "{:?}", plan.changes);
}

/// The comparison of the upstream has a line, and the operation has none.
#[test]
fn changed_upstream_has_one_line() {
    let target = "targets: {a: {url: \"http://s.example:9001\"}}";
    let [old, new] = ["host_header: pub.internal, ", ""]
        .map(|host| format!("  u: {{{host}{target}}}\n  v: {{{target}}}\n"));
    let plan = between((&old, "upstream: u"), (&new, "upstream: u"));
    let lines = plan.changes.iter().map(|one| (one.class.name(), one.id));
    let lines: Vec<_> = lines.collect();
    assert_eq!(lines, [("weaken", "host-header-changed")]);
}
