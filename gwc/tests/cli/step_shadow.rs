//! Shadow steps of a progressive release: `release.steps` with `shadow`, and the differences that the
//! gateways found in the output of commands.

use serde_json::{Value, json};

use crate::nodes::Gateway;
use crate::project::Project;
use crate::steps::{gateway, records, with};

/// Releases a version whose first step compares 10 % of the requests. Returns the project, and the
/// bundles before and in the release.
fn compared() -> (Project, String, String) {
    let project = Project::released();
    let store = "release: {store: releases, ";
    let steps = "steps: [{shadow: 10%}, {traffic: 20%}], guard: {errors: 1%, for: 5m}, ";
    project.edit("gateway.yaml", store, &format!("{store}{steps}"));
    let plan = project.run(&["plan", "--format", "json"]).json("plan/v1");
    let changes = plan["changes"].as_array().unwrap();
    let steps = changes
        .iter()
        .find(|one| one["id"] == "release-steps-changed");
    assert_eq!(steps.unwrap()["new"], "shadow 10%, traffic 20%");
    let acks = changes.iter().map(|change| {
        let fingerprint = change["fingerprint"].as_str().unwrap();
        format!("--ack={fingerprint}=agreed")
    });
    let acks: Vec<String> = acks.collect();
    let acks: Vec<&str> = acks.iter().map(String::as_str).collect();
    with(&project, "apply", &acks).with(0);
    let bundle = |at: usize| records(&project)[at]["bundle"].as_str().unwrap().to_owned();
    let before = bundle(0);
    project.change("6s");
    with(&project, "apply", &[])
        .with(0)
        .contains("step 1 of 3: compares 10% of the requests, serves none");
    let newest = bundle(0);
    (project, before, newest)
}

/// Gateway that compares decisions, with this number of refusals by the candidate.
fn comparing(base: &str, candidate: &str, refused: u64) -> Gateway {
    let gateway = gateway("gw-1", base, 3);
    let sample = json!({"kind": "decision", "method": "GET", "path": "/orders/{id}", "changed": [],
        "base": "orders/getOrder: forwarded to orders", "count": refused,
        "candidate": "orders/getOrder: refused with 401 credential_missing"});
    let comparison = json!({"requests": refused + 90, "equal": 80, "undetermined": 7, "skipped": 3,
        "differences": {"operation": 0, "decision": refused, "upstream": 0, "request": 0},
        "undetermined_steps": {"forward_auth": 7}, "samples": [sample]});
    let rollout = json!({"candidate": candidate, "requests": null, "shadow": "10%",
        "comparison": comparison});
    gateway.say("rollout", rollout);
    gateway
}

/// Lines of `gwc release status` about these gateways.
fn status(project: &Project, gateways: &[&Gateway]) -> Vec<String> {
    let mut arguments = vec!["release", "status", "--node"];
    arguments.extend(gateways.iter().map(|gateway| &*gateway.at));
    let ended = project.run(&arguments).with(0);
    ended.out.lines().map(str::to_owned).collect()
}

#[test]
fn differences_are_part_of_the_release_status() {
    let (project, before, bundle) = compared();
    let (one, two) = (
        comparing(&before, &bundle, 12),
        comparing(&before, &bundle, 30),
    );
    let lines = status(&project, &[&one, &two]);
    let short = |id: &str| id[7..19].to_owned();
    let expected = [
        format!(
            "  {} (gw-1): belongs to the share, runs {}, compares {}",
            one.at,
            short(&before),
            short(&bundle)
        ),
        "  222 requests compared: 160 equal, 42 different (decision 42), 14 undetermined, \
         6 skipped, at 2 gateways"
            .to_owned(),
        "  steps that did not run (forward_auth 14)".to_owned(),
        "  42 x decision: GET /orders/{id}: base orders/getOrder: forwarded to orders; release \
         orders/getOrder: refused with 401 credential_missing"
            .to_owned(),
        "steps: [shadow 10%], traffic 20%, all".to_owned(),
    ];
    for line in expected {
        assert!(lines.contains(&line), "`{line}` in {lines:#?}");
    }
    let arguments = ["release", "status", "--format", "json", "--node", &one.at];
    let document = project.run(&arguments).with(0).json("release-status/v1");
    assert_eq!(document["rollout"]["shadow"], "10%");
    let node = &document["nodes"][0];
    assert_eq!(node["agrees"], true);
    assert_eq!(node["comparison"]["differences"]["decision"], 12);
    // A gateway that does not compare differs from the channel.
    let idle = gateway("gw-1", &before, 3);
    let lines = status(&project, &[&idle]);
    let differs = lines
        .iter()
        .any(|line| line.contains("differs from the channel"));
    assert!(differs, "{lines:#?}");
}

#[test]
fn promote_shows_what_the_gateways_found() {
    let (project, before, bundle) = compared();
    // A shadow step has no guard, whose time would stop the command.
    let found = comparing(&before, &bundle, 12);
    let promoted = with(&project, "promote", &["--node", &found.at, "--wait", "0s"]).with(0);
    promoted
        .contains("102 requests compared: 80 equal, 12 different (decision 12)")
        .contains("12 x decision: GET /orders/{id}: base orders/getOrder: forwarded to orders;")
        .contains("step 2 of 3: 20% of the requests");
    assert_eq!(records(&project)[0]["rollout"]["shadow"], Value::Null);
    assert_eq!(records(&project)[0]["rollout"]["traffic"], "20%");
}

#[test]
fn promote_without_gateways_warns_about_differences() {
    let (project, before, bundle) = compared();
    let idle = gateway("gw-1", &before, 3);
    let arguments = ["--node", &*idle.at, "--wait", "0s", "--format", "json"];
    let promoted = with(&project, "promote", &arguments).with(0);
    let promoted = promoted.contains("no gateway has compared decisions");
    assert_eq!(promoted.json("promote/v1")["comparison"], Value::Null);
    with(&project, "abort", &[]).with(0);

    project.change("7s");
    with(&project, "apply", &[]).with(0);
    let newest = records(&project)[0]["bundle"].as_str().unwrap().to_owned();
    assert_ne!(newest, bundle);
    with(&project, "promote", &[])
        .with(0)
        .contains("without --node, the differences that the gateways found are unknown");
}

#[test]
fn gateways_of_a_shadow_step_are_awaited() {
    let (project, before, bundle) = compared();
    let (found, idle) = (comparing(&before, &bundle, 1), gateway("gw-1", &before, 3));
    let wait =
        |at: &str, code| with(&project, "apply", &["--node", at, "--wait", "300ms"]).with(code);
    wait(&found.at, 0).contains("every gateway of the share compares the decisions of");
    wait(&idle.at, 5).contains("and does not compare decisions yet");
}

#[test]
fn guard_of_shadow_steps_alone_is_a_finding() {
    let project = Project::bare();
    let store = "release: {store: releases, ";
    let release = "steps: [{shadow: 10%}], guard: {errors: 1%}, sticky: {header: x-user}, ";
    project.edit("gateway.yaml", store, &format!("{store}{release}"));
    let findings = project.run(&["lint"]).with(1);
    findings
        .contains("a guard without a step that serves requests")
        .lacks("no effect");
}
