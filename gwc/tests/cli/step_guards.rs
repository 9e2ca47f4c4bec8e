//! Guards of progressive releases: their rules, and the commands that stop at them.

use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::nodes::Gateway;
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

/// In a step with a share of the requests, the base serves the others: `serial` is that of the base.
#[test]
fn promote_goes_on_after_a_passed_guard_of_requests() {
    let project = Project::released();
    let store = "release: {store: releases, ";
    let steps = format!("{store}steps: [{{traffic: 50%}}], guard: {{errors: 1%, for: 1s}}, ");
    project.edit("gateway.yaml", store, &steps);
    let plan = project.run(&["plan", "--format", "json"]).json("plan/v1");
    let changes = plan["changes"].as_array().unwrap();
    let names = changes
        .iter()
        .map(|one| one["fingerprint"].as_str().unwrap());
    let acks: Vec<String> = names.map(|name| format!("--ack={name}=agreed")).collect();
    let acks: Vec<&str> = acks.iter().map(String::as_str).collect();
    with(&project, "apply", &acks).with(0);
    let before = records(&project)[0]["bundle"].as_str().unwrap().to_owned();
    project.change("6s");
    with(&project, "apply", &[]).with(0);
    let bundle = records(&project)[0]["bundle"].as_str().unwrap().to_owned();
    let passed = gateway("gw", &before, 2);
    passed.say("accepted", json!({"serial": 3}));
    passed.say(
        "rollout",
        json!({"candidate": bundle, "requests": {}, "guard": {"result": "passed"}}),
    );
    let node = ["--node", &*passed.at, "--wait", "0s", "--wait-guard", "5s"];
    let promoted = with(&project, "promote", &node);
    assert_eq!(
        records(&project)[0]["rollout"],
        serde_json::Value::Null,
        "{}",
        promoted.err
    );
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
    // Without gateways, only the time of the guard is known.
    with(&project, "promote", &[])
        .with(5)
        .contains("release-guard-testing")
        .contains("the guard of step 1 of 3: 5% of the gateways has no result: its time ends at 20")
        .contains("without --node, the results of the guard on the gateways are unknown");
    with(&project, "promote", &["--over-guard"]).with(0);
    assert_eq!(records(&project)[0]["rollout"]["guard"], expected);
}

#[test]
fn webhook_is_part_of_the_guard_in_records() {
    let project = stepped();
    let steps = "steps: [{nodes: 5%}, {nodes: 50%}], ";
    let webhook = "{url: 'https://judge.example/gate', interval: 30s, failures: 2, \
                   on_outage: fail, authorization: '${file:/run/secrets/judge}'}";
    let guard = format!("{steps}guard: {{for: 5m, webhook: {webhook}}}, ");
    project.edit("gateway.yaml", steps, &guard);
    let plan = project.run(&["plan", "--format", "json"]).json("plan/v1");
    let ack = plan["changes"][0]["fingerprint"].as_str().unwrap();
    project.change("6s");
    with(&project, "apply", &["--ack", &format!("{ack}=agreed")]).with(0);
    let expected = "requests: 200, for: 300000ms, webhook: https://judge.example/gate, \
                    interval: 30000ms, timeout: 5000ms, failures: 2, on_outage: fail, \
                    authorization: ${file:/run/secrets/judge}";
    assert_eq!(records(&project)[0]["rollout"]["guard"], expected);
}

#[test]
fn promote_stops_at_an_unanswered_webhook() {
    let (project, before, bundle) = begun();
    let silent = gateway(&node(&bundle, true), &bundle, 3);
    let webhook = json!({"passed": 0, "failed": 0, "unanswered": 4,
                         "last": {"error": "no connection"}});
    silent.say(
        "rollout",
        json!({"guard": {"result": "no-answer", "webhook": webhook}}),
    );
    assert_ne!(before, bundle);
    let node = ["--node", &*silent.at, "--wait", "0s"];
    with(&project, "promote", &node)
        .with(5)
        .contains("release-guard-no-answer")
        .contains(&silent.at);
    project
        .run(&["release", "status", "--node", &silent.at])
        .with(0)
        .contains(
            "guard no-answer (webhook: 0 passed, 0 failed, 4 unanswered, last: no connection)",
        );
    let over = [&node[..], &["--over-guard"]].concat();
    with(&project, "promote", &over).with(0);
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
        (
            "steps: [{nodes: 5%}], guard: {webhook: {url: 'http://judge.example/'}}",
            "loopback",
        ),
        (
            "steps: [{nodes: 5%}], guard: {webhook: {url: 'https://j/', interval: 10ms}}",
            "an interval outside",
        ),
        (
            "steps: [{nodes: 5%}], guard: {webhook: {url: 'https://j/', interval: 5s, timeout: 6s}}",
            "a timeout that is longer",
        ),
    ] {
        let project = Project::bare();
        let store = "release: {store: releases, ";
        project.edit("gateway.yaml", store, &format!("{store}{release}, "));
        project.run(&["lint"]).with(1).contains(message);
    }
}

#[test]
fn webhook_that_rejects_too_late_is_a_warning() {
    for (guard, message, help) in [
        (
            "for: 10m, webhook: {url: 'https://j/', interval: 5m, failures: 3}",
            "3 failing responses at an interval of 5m take at least 10m, and `for` is 10m",
            "write `failures: 2` or less, a shorter `interval`, or a `for` of more than 10m",
        ),
        (
            "errors: 1%, webhook: {url: 'https://j/', failures: 100}",
            "100 failing responses at an interval of 10s take at least 990s, and `for` is 10m",
            "write `failures: 60` or less, a shorter `interval`, or a `for` of more than 990s",
        ),
    ] {
        let project = Project::bare();
        let store = "release: {store: releases, ";
        let steps = format!("{store}steps: [{{nodes: 5%}}], guard: {{{guard}}}, ");
        project.edit("gateway.yaml", store, &steps);
        let ended = project.run(&["lint"]).with(0);
        let out = ended.out.split_whitespace().collect::<Vec<_>>().join(" ");
        let out = out.replace(" │ ", " ");
        assert!(
            out.contains("GW0584") && out.contains("[gateway.yaml:"),
            "{out}"
        );
        assert!(out.contains(message) && out.contains(help), "{out}");
    }
    let project = Project::bare();
    let store = "release: {store: releases, ";
    let guard = "guard: {for: 10m, webhook: {url: 'https://j/', interval: 5m, failures: 2}}, ";
    project.edit(
        "gateway.yaml",
        store,
        &format!("{store}steps: [{{nodes: 5%}}], {guard}"),
    );
    project.run(&["lint"]).with(0).lacks("GW0584");
}

/// Starts a release whose guard lasts one second. Returns the project, and the bundles before and in
/// the release.
fn guarded() -> (Project, String, String) {
    let project = stepped();
    let before = records(&project)[0]["bundle"].as_str().unwrap().to_owned();
    let steps = "steps: [{nodes: 5%}, {nodes: 50%}], ";
    let guard = format!("{steps}guard: {{errors: 1%, for: 1s}}, ");
    project.edit("gateway.yaml", steps, &guard);
    let plan = project.run(&["plan", "--format", "json"]).json("plan/v1");
    let ack = plan["changes"][0]["fingerprint"].as_str().unwrap();
    project.change("6s");
    with(&project, "apply", &["--ack", &format!("{ack}=agreed")]).with(0);
    let bundle = records(&project)[0]["bundle"].as_str().unwrap().to_owned();
    (project, before, bundle)
}

/// Gateway of the share that runs the release and compares.
fn comparing(bundle: &str) -> Gateway {
    let inside = gateway(&node(bundle, true), bundle, 3);
    let guard = json!({"result": "testing", "left_s": 252, "requests": 120});
    inside.say("rollout", json!({"guard": guard}));
    inside
}

#[test]
fn promote_stops_at_a_guard_that_compares() {
    let (project, before, bundle) = guarded();
    let inside = comparing(&bundle);
    let outside = gateway(&node(&bundle, false), &before, 3);
    let nodes = ["--node", &*inside.at, &*outside.at, "--wait", "0s"];
    let refused = with(&project, "promote", &nodes).with(5);
    refused
        .contains("release-guard-testing")
        .contains(&format!(
            "{} compares for 4m 12s more, 120 of at least 200 requests",
            inside.at
        ))
        .contains("--wait-guard DURATION")
        .lacks(&outside.at);
    let to_all = [&nodes[..], &["--to-all"]].concat();
    with(&project, "promote", &to_all).with(5);
    let limited = [&nodes[..], &["--wait-guard", "1s"]].concat();
    with(&project, "promote", &limited)
        .with(5)
        .contains("has no result within 1s")
        .contains("waiting up to 1s for the guard");
    assert_eq!(records(&project).len(), 3);
    let over = [&nodes[..], &["--over-guard"]].concat();
    with(&project, "promote", &over).with(0);
    assert_eq!(records(&project)[0]["rollout"]["step"], 2);
}

#[test]
fn promote_stops_before_gateways_run_the_release() {
    let (project, before, bundle) = guarded();
    let name = node(&bundle, true);
    for (runs, serial, missing) in [
        (&before, 2, "has not accepted serial 3 yet"),
        (&before, 3, "does not run the release yet"),
    ] {
        let late = gateway(&name, runs, serial);
        with(&project, "promote", &["--node", &late.at])
            .with(5)
            .contains(&format!("{} {missing}", late.at));
    }
    // A gateway without a guard, after a restart, compares nothing.
    let restarted = gateway(&name, &bundle, 3);
    let node = [
        "--node",
        &*restarted.at,
        "--wait",
        "0s",
        "--wait-guard",
        "60s",
    ];
    with(&project, "promote", &node).with(0);
}

#[test]
fn promote_waits_for_the_guard() {
    let (project, _, bundle) = guarded();
    let inside = comparing(&bundle);
    let requests = || inside.requests.lock().unwrap().len();
    let promote = |result: &str, code| {
        let before = requests();
        thread::scope(|scope| {
            scope.spawn(|| {
                while requests() < before + 2 {
                    thread::sleep(Duration::from_millis(20));
                }
                inside.say(
                    "rollout",
                    json!({"guard": {"result": result, "by": "errors"}}),
                );
            });
            let node = ["--node", &*inside.at, "--wait", "0s", "--wait-guard", "10m"];
            with(&project, "promote", &node).with(code)
        })
    };
    promote("failed", 5).contains("release-guard-failed");
    assert_eq!(records(&project).len(), 3);
    let guard = json!({"result": "too-few-requests", "requests": 12});
    inside.say("rollout", json!({"guard": guard}));
    promote("passed", 0)
        .contains("waiting up to 10m for the guard")
        .contains("had too few requests, 12 of at least 200 requests");
    assert_eq!(records(&project)[0]["rollout"]["step"], 2);
}
