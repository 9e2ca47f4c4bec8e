//! Guards of progressive releases: their rules, and the commands that stop at them.

use serde_json::json;

use crate::project::Project;
use crate::steps::{begun, gateway, node, records, stepped, with};

#[test]
fn promote_stops_at_a_guard_with_few_requests() {
    let (project, _, bundle) = begun();
    let inside = gateway(&node(&bundle, true), &bundle, 3);
    inside.say("rollout", json!({"guard": {"result": "too-few-requests"}}));
    let node = ["--node", &*inside.at, "--wait", "0s"];
    with(&project, "promote", &node)
        .with(5)
        .contains("release-guard-too-few-requests")
        .contains(&inside.at);
    assert_eq!(records(&project).len(), 3);
    let over = [&node[..], &["--over-guard"]].concat();
    with(&project, "promote", &over).with(0);
    assert_eq!(records(&project)[0]["rollout"]["step"], 2);
}

#[test]
fn hold_after_a_failed_guard_has_its_cause() {
    let (project, before, bundle) = begun();
    with(&project, "promote", &["--to-all"]).with(0);
    let node_on_hold = gateway(&node(&bundle, true), &before, 4);
    node_on_hold.say(
        "hold",
        json!({"from": bundle, "to": before, "sticky": false, "guard": "p99"}),
    );
    project.change("7s");
    let refused = with(&project, "apply", &["--node", &node_on_hold.at]).with(5);
    refused
        .contains("because its guard failed by p99, until the channel names another bundle")
        .lacks("manual rollback");
}

#[test]
fn guard_is_a_rule_and_part_of_the_record() {
    let project = stepped();
    let steps = "steps: [{nodes: 5%}, {nodes: 50%}], ";
    let guard = format!("{steps}guard: {{errors: 1%, p99: 50%, for: 5m}}, ");
    project.edit("gateway.yaml", steps, &guard);
    let plan = project.run(&["plan", "--format", "json"]).json("plan/v1");
    assert_eq!(plan["changes"][0]["id"], "release-guard-changed");
    let ack = plan["changes"][0]["fingerprint"].as_str().unwrap();
    let ack = format!("{ack}=agreed");
    project.change("6s");
    with(&project, "apply", &[]).with(1).contains("rules");
    with(&project, "apply", &["--ack", &ack]).with(0);
    let expected = "errors: 1%, p99: 50%, requests: 200, for: 300000ms";
    assert_eq!(records(&project)[0]["rollout"]["guard"], expected);
    with(&project, "promote", &[]).with(0);
    assert_eq!(records(&project)[0]["rollout"]["guard"], expected);
}

#[test]
fn promote_stops_at_a_failed_guard() {
    let (project, before, bundle) = begun();
    let failed = gateway(&node(&bundle, true), &before, 3);
    failed.say(
        "hold",
        json!({"from": bundle, "to": before, "sticky": false}),
    );
    failed.say(
        "rollout",
        json!({"guard": {"result": "failed", "by": "errors"}}),
    );
    let node = ["--node", &*failed.at, "--wait", "0s"];
    with(&project, "promote", &node)
        .with(5)
        .contains("release-guard-failed")
        .contains("(errors)");
    with(&project, "promote", &[&node[..], &["--over-hold"]].concat()).with(5);
    assert_eq!(records(&project).len(), 3);
    let status = ["release", "status", "--node", &failed.at];
    project
        .run(&status)
        .with(0)
        .contains("guard failed by errors");
    with(
        &project,
        "promote",
        &[&node[..], &["--over-guard"]].concat(),
    )
    .with(0);
    assert_eq!(records(&project)[0]["rollout"]["step"], 2);
    // A command that waits does not wait for a gateway whose guard failed.
    let again = ["--node", &failed.at, "--over-guard"];
    with(&project, "promote", &again)
        .with(5)
        .contains("because its guard failed by errors");
}

#[test]
fn guard_without_effect_is_a_finding() {
    for (release, message) in [
        ("guard: {errors: 1%}", "without steps"),
        (
            "steps: [{nodes: 5%}], guard: {requests: 500}",
            "compares nothing",
        ),
        (
            "steps: [{nodes: 5%}], guard: {errors: 0%}",
            "an increase of 0 %",
        ),
        (
            "steps: [{nodes: 5%}], guard: {errors: 1%, for: 10ms}",
            "a time outside",
        ),
        (
            "steps: [{nodes: 5%}], guard: {errors: 1%, requests: 5}",
            "20",
        ),
    ] {
        let project = Project::bare();
        let store = "release: {store: releases, ";
        project.edit("gateway.yaml", store, &format!("{store}{release}, "));
        project.run(&["lint"]).with(1).contains(message);
    }
}
