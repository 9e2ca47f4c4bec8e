//! Tests of changes that look stricter, but let the author of the change choose requests, links or
//! limits.

use crate::gates::{UPSTREAM, both, gateway, upstream};
use crate::{DOCUMENT, GATEWAY, edit};

#[test]
fn health_check_path_or_field_change_is_moved() {
    const MOVED: (&str, &str) = ("moved", "moved");
    for (old, new) in [
        ("", ", health: {active: {path: /admin/delete}}"),
        ("", ", health: {active: {headers: {X-User: root}}}"),
        (
            ", health: {active: {interval: 1s}}",
            ", health: {active: {interval: 1s, path: /up}}",
        ),
        (
            ", health: {active: {path: /up}}",
            ", health: {active: {path: /up, host: a.example}}",
        ),
    ] {
        let sides = (upstream(old), upstream(new));
        gateway("traffic-moved", UPSTREAM, (&sides.0, &sides.1), MOVED);
    }
}

#[test]
fn share_of_a_mirror_moves_traffic() {
    let edge = "edge: {kind: headers, response: {remove: [Server]}}";
    let moved = ("moved", "moved");
    let policy = |percent: &str| format!("edge: {{kind: mirror, upstream: v, percent: {percent}}}");
    let (few, all) = (policy("0.0001%"), policy("100%"));
    gateway("traffic-moved", edge, (&few, &all), moved);
    let list = "{operationId: listOrders, summary: List,";
    let operation = |percent: &str| {
        let own = format!("x-gateway: {{mirror: {{upstream: v, percent: {percent}}}}}");
        edit(
            DOCUMENT,
            list,
            &format!("{{operationId: listOrders, {own}, summary: List,"),
        )
    };
    let (few, all) = (operation("0.0001%"), operation("100%"));
    both("traffic-moved", (GATEWAY, &few), (GATEWAY, &all), moved);
}

#[test]
fn new_deprecation_link_weakens() {
    let edge = "edge: {kind: headers, response: {remove: [Server]}}";
    let leaving = |link: &str| {
        let policy = format!("{edge}\n  old: {{kind: deprecation, since: 2026-01-01{link}}}");
        let gateway = edit(GATEWAY, edge, &policy);
        edit(
            &gateway,
            "policies: [slow, edge]",
            "policies: [slow, edge, old]",
        )
    };
    let link = |host: &str| leaving(&format!(", link: \"https://{host}/v2\""));
    let (none, one, two) = (leaving(""), link("a.example"), link("b.example"));
    let compare = |old: &str, new: &str, classes| {
        both(
            "response-field-changed",
            (old, DOCUMENT),
            (new, DOCUMENT),
            classes,
        );
    };
    compare(&none, &one, ("weaken", "strengthen"));
    compare(&one, &two, ("incomparable", "incomparable"));
}

#[test]
fn written_csrf_fields_are_incomparable() {
    let edge = "response: {remove: [Server]}";
    for field in ["X-Requested-With", "X-CSRF-Token"] {
        let set = format!("{edge}, request: {{set: {{{field}: x}}}}");
        let other = ("incomparable", "incomparable");
        gateway("identity-field-changed", edge, (edge, &set), other);
    }
}

#[test]
fn max_body_above_the_limit_of_checks_relaxes() {
    let edge = "edge: {kind: headers, response: {remove: [Server]}}";
    let with = |check: &str, more: &str, policies: &str| {
        let policies = policies.to_owned();
        let own = format!(
            "{edge}\n  check: {{kind: validate, request: {check}}}\n  long: {{kind: body_limit, request: 8MiB}}"
        );
        let gateway = edit(GATEWAY, edge, &own);
        let defaults = format!("policies: [slow, edge, check{policies}]{more}");
        edit(&gateway, "policies: [slow, edge]", &defaults)
    };
    for (check, more, policies, classes) in [
        ("block", ", max_body: 8MiB", "", ("relax", "relax")),
        ("block", ", max_body: 1MiB", "", ("tighten", "relax")),
        ("log", ", max_body: 8MiB", "", ("tighten", "relax")),
    ] {
        let (old, new) = (with(check, "", ""), with(check, more, policies));
        both(
            "max-body-changed",
            (&old, DOCUMENT),
            (&new, DOCUMENT),
            classes,
        );
    }
    let (old, new) = (with("block", "", ""), with("block", "", ", long"));
    let plan = crate::plan((&old, DOCUMENT), (&new, DOCUMENT));
    assert!(!plan.tripped(&["relax".into()], &[]).is_empty());
}

#[test]
fn max_body_that_stops_body_validation_weakens() {
    let post = "{operationId: createOrder,";
    assert!(DOCUMENT.contains(post), "{DOCUMENT}");
    let body = |media: &str, max: &str| {
        let own = format!("x-gateway: {{validate: {{request: block}}, max_body: {max}}}");
        let schema = "{type: object, properties: {a: {type: integer, maximum: 10}}}";
        let body = format!("requestBody: {{content: {{{media}: {{schema: {schema}}}}}}}");
        edit(DOCUMENT, post, &format!("{post} {own}, {body},"))
    };
    let (short, long) = (
        body("multipart/form-data", "8MiB"),
        body("multipart/form-data", "9MiB"),
    );
    let classes = ("weaken", "strengthen");
    both(
        "request-body-unchecked",
        (GATEWAY, &short),
        (GATEWAY, &long),
        classes,
    );
    // Longer bodies of other media types are refused.
    let (short, long) = (
        body("application/json", "8MiB"),
        body("application/json", "9MiB"),
    );
    let plan = crate::plan((GATEWAY, &short), (GATEWAY, &long));
    let found = plan
        .changes
        .iter()
        .any(|change| change.id == "request-body-unchecked");
    assert!(!found, "{:?}", plan.changes);
}
