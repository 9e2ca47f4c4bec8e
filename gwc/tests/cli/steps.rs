//! Progressive releases: `release.steps`, `gwc promote`, `gwc abort`, `gwc release status`, and the
//! steps in the output of other commands.

use bundle::digest::Digest;
use serde_json::{Value, json};

use crate::nodes::Gateway;
use crate::project::{Ended, Project};

const KEY: [&str; 3] = ["--key", "keys/release.pem", "--yes"];

/// Creates a released project whose releases have the steps 5 % and 50 %.
pub(crate) fn stepped() -> Project {
    let project = Project::released();
    let store = "release: {store: releases, ";
    let steps = format!("{store}steps: [{{nodes: 5%}}, {{nodes: 50%}}], ");
    project.edit("gateway.yaml", store, &steps);
    let plan = project.run(&["plan", "--format", "json"]);
    let plan = plan.json("plan/v1");
    assert_eq!(plan["changes"][0]["id"], "release-steps-changed");
    let ack = format!(
        "{}=agreed",
        plan["changes"][0]["fingerprint"].as_str().unwrap()
    );
    with(&project, "apply", &["--ack", &ack])
        .with(0)
        .contains("new rules");
    project
}

/// Runs a command that signs.
pub(crate) fn with(project: &Project, command: &str, more: &[&str]) -> Ended {
    let mut arguments = vec![command];
    arguments.extend(KEY);
    arguments.extend(more);
    project.run(&arguments)
}

/// Records of the channel, newest first.
pub(crate) fn records(project: &Project) -> Vec<Value> {
    let history = project.run(&["history", "--format", "json"]).with(0);
    let records = history.json("history/v1")["records"].clone();
    records.as_array().unwrap().clone()
}

/// Starts a release with steps. Returns the project, and the bundles before and in the release.
pub(crate) fn begun() -> (Project, String, String) {
    let project = stepped();
    let before = records(&project)[0]["bundle"].as_str().unwrap().to_owned();
    project.change("6s");
    let applied = with(&project, "apply", &["--format", "json"]).with(0);
    let applied = applied.json("apply/v1");
    assert_eq!(applied["rollout"]["nodes"], "5%");
    let bundle = applied["bundle"].as_str().unwrap().to_owned();
    (project, before, bundle)
}

/// Name of a node inside (`true`) or outside of a share of 5 % of the nodes of a bundle.
pub(crate) fn node(bundle: &str, inside: bool) -> String {
    let position = |name: &str| {
        let hash = Digest::of(format!("{bundle}\n{name}").as_bytes()).hex();
        (u128::from_str_radix(&hash[..16], 16).unwrap() * 1_000_000) >> 64
    };
    let mut names = (0..).map(|number| format!("gw-{number}"));
    names
        .find(|name| match inside {
            true => position(name) < 50_000,
            false => position(name) >= 500_000,
        })
        .unwrap()
}

/// Simulated gateway that has read the newest record.
pub(crate) fn gateway(name: &str, bundle: &str, serial: u64) -> Gateway {
    Gateway::new(json!({
        "schema": "status/v1", "node": name, "bundle": bundle, "serial": serial, "project": "shop",
        "channel": "prod", "hold": null, "resident": [], "last_error": null, "refused": [],
        "head": {"serial": serial}, "revocations": 0,
    }))
}

#[test]
fn first_release_reaches_all_gateways() {
    let project = Project::new();
    let store = "release: {store: releases, ";
    project.edit(
        "gateway.yaml",
        store,
        &format!("{store}steps: [{{nodes: 5%}}], "),
    );
    project
        .apply("first")
        .with(0)
        .contains("no earlier version");
    assert_eq!(records(&project)[0]["rollout"], Value::Null);
}

#[test]
fn release_goes_from_step_to_step() {
    let (project, _, bundle) = begun();
    let step = |number: u32, nodes: &str| json!([number, 3, nodes, 2]);
    let newest = |project: &Project| {
        let records = records(project);
        let (kind, rollout) = (records[0]["kind"].clone(), records[0]["rollout"].clone());
        assert_eq!(records[0]["bundle"], bundle.as_str());
        let fields = ["step", "of", "nodes"].map(|field| rollout[field].clone());
        let [number, of, nodes] = fields;
        (kind, json!([number, of, nodes, rollout["base"]["serial"]]))
    };
    assert_eq!(newest(&project), ("release".into(), step(1, "5%")));
    project
        .run(&["history"])
        .contains("step 1 of 3: 5% of the gateways, the others stay with serial 2");
    project.run(&["status"]).contains("step 1 of 3");
    project
        .run(&["verify", &bundle])
        .with(0)
        .contains("step 1 of 3: 5%");
    project
        .run(&["plan"])
        .contains("is in a progressive release, step 1 of 3");
    with(&project, "apply", &[])
        .with(0)
        .contains("nothing to do");

    let promoted = with(
        &project,
        "promote",
        &["--format", "json", "--reason", "fine"],
    )
    .with(0);
    let promoted = promoted.json("promote/v1");
    assert_eq!(
        (&promoted["from"]["step"], &promoted["rollout"]["step"]),
        (&1.into(), &2.into())
    );
    assert_eq!(newest(&project), ("pin".into(), step(2, "50%")));
    with(&project, "promote", &[])
        .with(0)
        .contains("the release is complete");
    assert_eq!(newest(&project).0, "pin");
    assert_eq!(records(&project)[0]["rollout"], Value::Null);
    with(&project, "promote", &[])
        .with(65)
        .contains("serial 5 is for all gateways");
    with(&project, "abort", &[])
        .with(65)
        .contains("no progressive release");
    project
        .run(&["release", "status"])
        .with(0)
        .contains("no progressive release");
}

#[test]
fn release_reaches_all_gateways_on_request() {
    let project = stepped();
    project.change("6s");
    with(&project, "apply", &["--all-nodes"]).with(0);
    assert_eq!(records(&project)[0]["rollout"], Value::Null);
    project.change("7s");
    with(&project, "apply", &[]).with(0).contains("step 1 of 3");
    with(&project, "apply", &["--all-nodes"])
        .with(64)
        .contains("gwc promote --to-all");
    with(&project, "promote", &["--to-all"])
        .with(0)
        .contains("all gateways");
    assert_eq!(records(&project)[0]["rollout"], Value::Null);
}

#[test]
fn another_release_in_progress_is_refused() {
    let (project, before, bundle) = begun();
    project.change("7s");
    let refused = with(&project, "apply", &[]).with(5);
    refused.contains("`gwc promote`").contains("`gwc abort`");
    with(&project, "apply", &["--all-nodes"])
        .with(5)
        .contains("release-in-progress");
    with(&project, "apply", &["--dry-run"]).with(5);
    assert_eq!(records(&project).len(), 3, "nothing was published");
    with(&project, "rollback", &[&bundle])
        .with(0)
        .contains("`gwc promote`");

    let aborted = with(
        &project,
        "abort",
        &["--format", "json", "--reason", "errors"],
    )
    .with(0);
    assert_eq!(aborted.json("rollback/v1")["bundle"], before.as_str());
    let newest = &records(&project)[0];
    assert_eq!(
        (&newest["kind"], &newest["bundle"]),
        (&"rollback".into(), &before.into())
    );
    assert_eq!(newest["rollout"], Value::Null);
    with(&project, "apply", &[]).with(0).contains("step 1 of 3");
    // A rollback ends the release, too.
    with(&project, "rollback", &[]).with(0);
    assert_eq!(records(&project)[0]["rollout"], Value::Null);
}

#[test]
fn steps_of_a_begun_release_do_not_change() {
    let (project, _, _) = begun();
    project.edit("gateway.yaml", "{nodes: 50%}", "{nodes: 90%}");
    with(&project, "promote", &[])
        .with(0)
        .contains("50% of the gateways");
    // A record of changed rules keeps the step.
    let plan = project.run(&["plan", "--format", "json"]).json("plan/v1");
    let ack = format!(
        "{}=agreed",
        plan["changes"][0]["fingerprint"].as_str().unwrap()
    );
    with(&project, "apply", &["--all-nodes", "--ack", &ack])
        .with(64)
        .contains("gwc promote --to-all");
    with(&project, "apply", &["--ack", &ack])
        .with(0)
        .contains("step 2 of 3: 50%");
    assert_eq!(records(&project)[0]["rollout"]["step"], 2);
}

#[test]
fn plan_from_before_a_release_is_stale() {
    let project = stepped();
    project.change("6s");
    project.run(&["plan", "-o", "plan.json"]);
    with(&project, "apply", &["plan.json"])
        .with(0)
        .contains("step 1 of 3");
    project.change("7s");
    with(&project, "apply", &["plan.json"]).with(3);
    with(&project, "promote", &[]).with(0);
    project.change("6s");
    with(&project, "apply", &["plan.json"])
        .with(3)
        .contains("serial 2");
}

#[test]
fn withdrawn_base_needs_a_release_to_all_gateways() {
    let project = stepped();
    let base = records(&project)[0]["bundle"].as_str().unwrap().to_owned();
    project.change("6s");
    with(&project, "apply", &["--withdraw", &base])
        .with(64)
        .contains("--all-nodes");
    with(&project, "apply", &[]).with(0);
    with(&project, "promote", &["--withdraw", &base])
        .with(64)
        .contains("gwc promote --to-all --withdraw");
    with(&project, "promote", &["--withdraw", &base, "--to-all"]).with(0);
    assert_eq!(records(&project)[0]["withdraw"], json!([base]));
}

#[test]
fn revoked_base_is_no_base() {
    let project = stepped();
    let base = records(&project)[0]["bundle"].as_str().unwrap().to_owned();
    project.change("6s");
    with(&project, "apply", &["--all-nodes"]).with(0);
    let newest = records(&project)[0]["bundle"].as_str().unwrap().to_owned();
    let then = format!("rollback:{base}");
    with(&project, "revoke", &[&newest, "--then", &then]).with(0);
    project.change("7s");
    with(&project, "apply", &[]).with(0).contains("step 1 of 3");
    // The gateways outside of the share run the base.
    with(&project, "revoke", &[&base])
        .with(0)
        .contains("they change to");
    let bundle = records(&project)[0]["bundle"].as_str().unwrap().to_owned();
    let gateways = [true, false].map(|inside| gateway(&node(&bundle, inside), &bundle, 5));
    let nodes = ["--node", &*gateways[0].at, &*gateways[1].at];
    project.run(&[&["drift"], &nodes[..]].concat()).with(0);
    project
        .run(&[&["release", "status"], &nodes[..]].concat())
        .with(0)
        .contains("is revoked or withdrawn: all gateways change to")
        .lacks("differs");
    // A gateway that stays with the base differs.
    gateways[1].say("bundle", base.as_str().into());
    project.run(&[&["drift"], &nodes[..]].concat()).with(1);
}

#[test]
fn gateways_with_the_same_name_are_a_warning() {
    let (project, before, bundle) = begun();
    let outside = [0; 2].map(|_| gateway(&node(&bundle, false), &before, 3));
    let nodes = ["--node", &*outside[0].at, &*outside[1].at];
    let status = project.run(&[&["release", "status"], &nodes[..]].concat());
    let warning = format!("have the same name `{}`", node(&bundle, false));
    status.with(0).contains(&warning);
    let one = ["--node", &*outside[0].at, &*outside[0].at];
    let status = project.run(&[&["release", "status"], &one[..]].concat());
    status.with(0).lacks("the same name");
    // No gateway of the list belongs to the share.
    with(&project, "apply", &nodes)
        .with(0)
        .contains("none of these gateways belongs to the share")
        .lacks("every gateway");
}

#[test]
fn nodes_outside_of_the_share_are_not_awaited() {
    let project = stepped();
    let before = records(&project)[0]["bundle"].as_str().unwrap().to_owned();
    project.change("6s");
    let built = project
        .run(&["build", "--format", "json"])
        .with(0)
        .json("build/v1");
    let bundle = built["bundle"].as_str().unwrap().to_owned();
    let inside = gateway(&node(&bundle, true), &before, 2);
    let outside = gateway(&node(&bundle, false), &before, 2);
    // A gateway of the share that does not run the bundle in time is an error.
    let late = ["--node", &*outside.at, &*inside.at, "--wait", "300ms"];
    let late = with(&project, "apply", &late).with(5);
    assert!(
        late.err.contains(&inside.at) && !late.err.contains(&outside.at),
        "{}",
        late.err
    );

    inside.say("bundle", bundle.as_str().into());
    let nodes = ["--node", &*outside.at, &*inside.at];
    let applied = with(&project, "apply", &nodes).with(0);
    let applied = applied
        .contains(&format!(
            "({}): is outside of the share, runs {}",
            node(&bundle, false),
            &before[7..19]
        ))
        .contains(&format!(
            "({}): belongs to the share, runs {}",
            node(&bundle, true),
            &bundle[7..19]
        ));
    applied.contains("every gateway of the share runs");

    let mut status = vec!["release", "status"];
    status.extend(nodes);
    let human = project.run(&status).with(0);
    human
        .contains("step 1 of 3: 5% of the gateways")
        .contains("belongs to the share, runs");
    status.extend(["--format", "json"]);
    let document = project.run(&status).with(0).json("release-status/v1");
    let belongs = [0, 1].map(|at: usize| document["nodes"][at]["belongs"].clone());
    assert_eq!(belongs, [false, true]);
    assert!(
        document["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .all(|node| node["agrees"] == true)
    );
    assert_eq!(document["base_bundle"], before.as_str());
    // `gwc drift` knows which bundle each gateway should run.
    let drift = |code| {
        let mut arguments = vec!["drift"];
        arguments.extend(nodes);
        project.run(&arguments).with(code)
    };
    drift(0);
    outside.say("bundle", bundle.as_str().into());
    drift(1).contains("differs from the channel");
}

#[test]
fn promote_stops_at_a_node_on_hold() {
    let (project, before, bundle) = begun();
    let inside = gateway(&node(&bundle, true), &before, 3);
    inside.say(
        "hold",
        json!({"from": bundle, "to": before, "sticky": false}),
    );
    let node_arguments = ["--node", &*inside.at];
    with(&project, "promote", &node_arguments)
        .with(5)
        .contains("on hold");
    assert_eq!(records(&project).len(), 3);
    let over = ["--node", &*inside.at, "--over-hold", "--wait", "0s"];
    with(&project, "promote", &over)
        .with(0)
        .contains("step 2 of 3");
}

#[test]
fn steps_that_do_not_increase_are_findings() {
    for (steps, message) in [
        ("[{nodes: 50%}, {nodes: 5%}]", "not greater than 50%"),
        ("[{nodes: 100%}]", "must not be listed"),
        ("[{nodes: 0%}]", "the share is 0 %"),
        ("[{nodes: 5}]", "unit"),
        ("[{traffic: 0%}]", "the share is 0 %"),
        ("[{nodes: 100%, traffic: 100%}]", "must not be listed"),
        ("[{nodes: 10%}, {traffic: 10%}]", "not greater than 10%"),
        (
            "[{nodes: 20%, traffic: 50%}, {traffic: 5%}]",
            "not greater than 10% (50% of 20%)",
        ),
        ("[{shadow: 0%}]", "the share is 0 %"),
        ("[{shadow: 101%}]", "expected a percentage"),
        ("[{shadow: 5%, traffic: 5%}]", "shadow"),
        (
            "[{shadow: 50%}, {nodes: 20%, shadow: 50%}]",
            "greater than 50%",
        ),
        ("[{nodes: 5%}, {shadow: 10%}]", "follows a step without it"),
        ("[{requests: 5%}]", "requests"),
        ("[{}]", "nodes"),
    ] {
        let project = Project::bare();
        let store = "release: {store: releases, ";
        project.edit("gateway.yaml", store, &format!("{store}steps: {steps}, "));
        project.run(&["lint"]).with(1).contains(message);
    }
}

/// Gateway that serves the bundle of the release beside the base.
fn splitting(name: &str, base: &str, candidate: &str, serial: u64) -> Gateway {
    let gateway = gateway(name, base, serial);
    gateway.say(
        "rollout",
        json!({"candidate": candidate, "requests": {"base": 90, "candidate": 10}}),
    );
    gateway
}

#[test]
fn steps_of_requests_begin_continue_and_end() {
    let project = Project::released();
    let store = "release: {store: releases, ";
    let steps = format!(
        "{store}steps: [{{nodes: 5%}}, {{nodes: 50%, traffic: 20%}}, {{traffic: 50%}}], \
         sticky: {{header: X-User}}, testers: {{header: X-Release}}, "
    );
    project.edit("gateway.yaml", store, &steps);
    let plan = project.run(&["plan", "--format", "json"]).json("plan/v1");
    let changes = plan["changes"].as_array().unwrap();
    let ids: Vec<&Value> = changes.iter().map(|change| &change["id"]).collect();
    assert_eq!(
        ids,
        [
            "release-steps-changed",
            "release-sticky-changed",
            "release-testers-changed"
        ]
    );
    assert_eq!(changes[0]["new"], "5%, nodes 50% traffic 20%, traffic 50%");
    let acks = changes.iter().map(|change| {
        let fingerprint = change["fingerprint"].as_str().unwrap();
        format!("{fingerprint}=agreed")
    });
    let acks: Vec<String> = acks.collect();
    let acks: Vec<&str> = acks.iter().flat_map(|ack| ["--ack", ack]).collect();
    with(&project, "apply", &acks).with(0).contains("new rules");
    let before = records(&project)[0]["bundle"].as_str().unwrap().to_owned();
    project.change("6s");
    with(&project, "apply", &[]).with(0);
    let bundle = records(&project)[0]["bundle"].as_str().unwrap().to_owned();
    with(&project, "promote", &[])
        .with(0)
        .contains("step 2 of 4: 20% of the requests of 50% of the gateways");
    let rollout = records(&project)[0]["rollout"].clone();
    assert_eq!(
        ["nodes", "traffic", "sticky", "testers"].map(|key| rollout[key].clone()),
        ["50%", "20%", "header x-user", "header x-release"].map(Value::from)
    );
    let serves = splitting(&node(&bundle, true), &before, &bundle, 5);
    let alone = gateway(&node(&bundle, true), &before, 5);
    let waits = |at: &str, code| {
        let arguments = ["--node", at, "--wait", "1s"];
        with(&project, "promote", &arguments).with(code)
    };
    waits(&serves.at, 0).contains("step 3 of 4: 50% of the requests");
    let status = [
        "release",
        "status",
        "--node",
        &*serves.at,
        "--node",
        &*alone.at,
    ];
    project
        .run(&status)
        .contains("(90 and 10 requests)")
        .contains("differs from the channel");
    // After an abort, no gateway serves two versions.
    let abort = ["--node", &*serves.at, "--wait", "1s"];
    with(&project, "abort", &abort).with(5);
    assert_eq!(records(&project)[0]["bundle"], before.as_str());
}

#[test]
fn choice_without_a_step_of_requests_is_a_finding() {
    for (release, message) in [
        (
            "steps: [{nodes: 5%}], sticky: {cookie: sid}",
            "without a step",
        ),
        (
            "steps: [{nodes: 5%}], testers: {header: a}",
            "without a step",
        ),
        (
            "steps: [{traffic: 5%}], sticky: {header: a, cookie: b}",
            "cookie",
        ),
        (
            "steps: [{traffic: 5%}], testers: {header: \"a b\"}",
            "field",
        ),
        (
            "steps: [{traffic: 5%}], sticky: {header: Authorization}",
            "it changes with each new",
        ),
        (
            "steps: [{traffic: 5%}], sticky: {header: cookie}",
            "sticky: {cookie: NAME}",
        ),
        (
            "steps: [{traffic: 5%}], testers: {header: host}",
            "header: x-release",
        ),
    ] {
        let project = Project::bare();
        let store = "release: {store: releases, ";
        project.edit("gateway.yaml", store, &format!("{store}{release}, "));
        project.run(&["lint"]).with(1).contains(message);
    }
}

/// The bundle of the gateways outside of the share was signed by a stolen key.
#[test]
fn revoked_key_of_the_base_can_be_replaced() {
    let project = Project::new();
    project.run(&["keygen", "old"]).with(0);
    let store = "release: {store: releases, ";
    let steps = format!("{store}steps: [{{nodes: 5%}}, {{nodes: 50%}}], ");
    project.edit("gateway.yaml", store, &steps);
    project
        .run(&["apply", "--key", "keys/old.pem", "--yes"])
        .with(0);
    let base = records(&project)[0]["bundle"].as_str().unwrap().to_owned();
    project.change("6s");
    with(&project, "apply", &[]).with(0);
    // Another channel of the store.
    let id = project.key_id("old");
    let other = ["--signing-key", &id, "--channel", "test"];
    let other = with(&project, "revoke", &other).with(64);
    other.contains("the base of the progressive release in channel prod");
    let other = with(&project, "revoke", &[&base, "--channel", "test"]).with(64);
    other.contains("the gateways outside of the share of the progressive release in channel prod");
    let revoked = with(&project, "revoke", &["--signing-key", &id]).with(0);
    revoked
        .contains("the base of the progressive release in channel prod")
        .contains("`gwc sign ");
    let status = project.run(&["status"]).with(0);
    status.contains("warning: gateways that start refuse bundle");
    with(&project, "abort", &[]).with(4).contains("`gwc sign ");
    project.edit("gateway.yaml", "6s", "5s");
    project
        .run(&["sign", &base, "--key", "keys/release.pem"])
        .with(0);
    with(&project, "abort", &[]).with(0);
    assert_eq!(records(&project)[0]["bundle"], base.as_str());
    let status = project.run(&["status"]).with(0);
    assert!(!status.err.contains("warning"), "{}", status.err);
}
