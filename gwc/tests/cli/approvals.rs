//! `gwc approve` and `gwc trust approvals`: two owners approve a release on two machines, one after
//! the other.

use serde_json::{Value, json};

use crate::project::{Ended, Project, copy};

const RELEASE: [&str; 3] = ["--key", "keys/release.pem", "--yes"];

/// Creates a project with a key for releases, and keys of the approvers `ann` and `bob`.
fn with_approvers() -> Project {
    let project = Project::new();
    for owner in ["ann", "bob"] {
        let keygen = ["keygen", owner, "--roles", "approve"];
        project.run(&keygen).with(0);
    }
    project
}

/// Creates a released project whose channel needs approvals of `ann` and `bob`. The file
/// `open.json` is the trust file without this rule.
fn ruled() -> Project {
    let project = with_approvers();
    apply(&project, &[]).with(0);
    project.write("open.json", project.read("trust.json"));
    project
        .run(&["trust", "approvals", "2"])
        .with(0)
        .contains("channel prod requires approvals of 2 owners, after record 1");
    project
}

/// Checkout of the same sources on another machine, with the key of one owner.
fn checkout(project: &Project, owner: &str) -> Project {
    let other = Project::empty();
    std::fs::create_dir(other.file("keys")).expect("there is room");
    let key = format!("keys/{owner}.pem");
    for name in ["gateway.yaml", "orders.yaml", "trust.json", key.as_str()] {
        copy(&project.file(name), &other.file(name));
    }
    other
}

fn approve(project: &Project, owner: &str, more: &[&str]) -> Ended {
    let key = format!("keys/{owner}.pem");
    let mut arguments = vec!["approve", "--key", &key, "--yes"];
    arguments.extend(more);
    project.run(&arguments)
}

fn apply(project: &Project, more: &[&str]) -> Ended {
    let mut arguments = vec!["apply"];
    arguments.extend(RELEASE);
    arguments.extend(more);
    project.run(&arguments)
}

/// Approvals of the records, newest first.
fn approved(project: &Project) -> Vec<Value> {
    let history = project.run(&["history", "--format", "json"]).with(0);
    let records = history.json("history/v1")["records"].clone();
    let records = records.as_array().expect("a list").iter();
    records.map(|record| record["approvals"].clone()).collect()
}

fn owners(names: &[&str]) -> Value {
    json!({"owners": names, "required": true, "reason": null})
}

#[test]
fn two_owners_approve_on_two_machines() {
    let one = ruled();
    one.change("6s");
    let two = checkout(&one, "bob");
    let store = one.file("releases").display().to_string();
    apply(&one, &[])
        .with(4)
        .contains("approvals-missing")
        .contains("0 of the 2 owners")
        .contains("approved by: no owner")
        .contains("2 more must run `gwc approve ");
    assert_eq!(one.history().len(), 1);

    let first = approve(&one, "ann", &["plan.json"]).with(65);
    first.contains("plan.json");
    one.run(&["plan", "-o", "plan.json"]).with(0);
    let first = approve(&one, "ann", &["plan.json"]).with(0);
    let first = first.contains("1 of 2 owners have approved this change: ann");
    first.contains("next, for 1 more: gwc approve ");
    let refused = apply(&one, &[])
        .with(4)
        .contains("approved by: ann. 1 more must run");
    assert!(refused.out.contains("timeout"), "the plan: {}", refused.out);

    let bundle = two.build();
    let second = approve(&two, "bob", &[&bundle[..19], "--store", &store]).with(0);
    second
        .contains("2 of 2 owners have approved this change: ann, bob")
        .contains("next: gwc apply --key KEY --store ");
    let status = one.run(&["status", "--format", "json"]).with(0);
    let status = status.json("fleet/v1")["approvals"].clone();
    assert_eq!(status["record"]["required"], false);
    assert_eq!(status["next"][0]["bundle"], bundle.as_str());
    assert_eq!(status["next"][0]["owners"], json!(["ann", "bob"]));
    one.run(&["status"])
        .contains("is approved by ann, bob (2 of 2)");

    apply(&one, &["--dry-run"])
        .with(0)
        .contains("2 of 2 owners have approved this change: ann, bob");
    let applied = apply(&one, &["plan.json", "--format", "json"]).with(0);
    let applied = applied.json("apply/v1");
    assert_eq!(applied["serial"], 2);
    assert_eq!(applied["approvals"]["owners"], json!(["ann", "bob"]));
    let before = json!({"owners": [], "required": false, "reason": null});
    assert_eq!(approved(&one), [owners(&["ann", "bob"]), before]);
    one.run(&["history"])
        .contains("approved by ann, bob")
        .contains("needs no approvals");
    one.run(&["status"]).contains("approved by ann, bob");
    let verified = one.run(&["verify", &bundle]).with(0);
    let verified = verified.contains("record 2 of channel prod: approved by ann, bob");
    let statements = verified.out.matches("approve statement").count();
    assert_eq!(statements, 2, "{}", verified.out);
}

#[test]
fn rollback_needs_no_new_approvals() {
    let project = ruled();
    project.change("6s");
    for owner in ["ann", "bob"] {
        approve(&project, owner, &[]).with(0);
    }
    apply(&project, &[]).with(0);
    let back = |target: &str| {
        let mut arguments = vec!["rollback", target];
        arguments.extend(RELEASE);
        project.run(&arguments)
    };
    back("-1").with(0);
    let bundle = project.history()[1].1.clone();
    back(&bundle).with(0);
    let approved = approved(&project);
    assert_eq!(approved[0], owners(&["ann", "bob"]));
    assert_eq!(approved[1]["required"], false);
}

#[test]
fn approvals_count_for_one_base_only() {
    let project = ruled();
    project.change("6s");
    for owner in ["ann", "bob"] {
        approve(&project, owner, &[]).with(0);
    }
    project.change("7s");
    apply(&project, &[]).with(4).contains("0 of the 2 owners");
    for owner in ["ann", "bob"] {
        approve(&project, owner, &[]).with(0);
    }
    apply(&project, &[]).with(0);
    project.change("6s");
    apply(&project, &[])
        .with(4)
        .contains("0 of the 2 owners")
        .contains("2 more must run");
}

#[test]
fn approval_of_another_plan_is_named() {
    let one = ruled();
    one.change("6s");
    let two = checkout(&one, "bob");
    two.edit("gateway.yaml", "gates: [weaken]", "gates: [weaken, relax]");
    let store = one.file("releases").display().to_string();
    let blocked = approve(&two, "bob", &["--store", &store, "--format", "json"]).with(1);
    let plan = blocked.json("approve/v1")["plan"].clone();
    let changes = plan["changes"].as_array().expect("a list").iter();
    let mut acks: Vec<String> = Vec::new();
    for change in changes {
        let fingerprint = change["fingerprint"].as_str().expect("digits");
        acks.push(format!("--ack={fingerprint}=agreed"));
    }
    let mut more = vec!["--store", store.as_str()];
    more.extend(acks.iter().map(String::as_str));
    approve(&two, "bob", &more)
        .with(0)
        .contains("1 of 2 owners");
    approve(&one, "ann", &[])
        .with(0)
        .contains("1 of 2 owners have approved this change: ann")
        .contains("not counted: the approval of bob is for another plan");
    apply(&one, &[])
        .with(4)
        .contains("not counted: the approval of bob is for another plan");
}

#[test]
fn wrong_arguments_of_an_approval_are_refused() {
    let project = ruled();
    approve(&project, "ann", &[])
        .with(0)
        .contains("nothing to approve: channel prod runs ");
    project.change("6s");
    approve(&project, "ann", &["0123abcd"])
        .with(1)
        .contains("nothing was signed");
    approve(&project, "ann", &["zz"])
        .with(64)
        .contains("neither a file nor");
    for time in ["59s", "31d", "3"] {
        approve(&project, "ann", &["--expires", time]).with(64);
    }
    approve(&project, "release", &[])
        .with(4)
        .contains("wrong-role")
        .contains("gwc keygen NAME --roles approve");
    project
        .run(&["approve", "--key", "keys/ann.pem"])
        .with(64)
        .contains("--yes");
    // A plan of other sources, and a plan that a gate blocks.
    project.run(&["plan", "-o", "plan.json"]).with(0);
    project.change("7s");
    approve(&project, "ann", &["plan.json"])
        .with(3)
        .contains("stale");
    project.edit(
        "orders.yaml",
        "operationId: listOrders,",
        "operationId: listOrders, security: [], x-gateway: {public: true},",
    );
    approve(&project, "ann", &[])
        .with(1)
        .contains("gate-tripped");
    let status = project.run(&["status", "--format", "json"]).with(0);
    assert_eq!(status.json("fleet/v1")["approvals"]["next"], json!([]));
}

#[test]
fn channel_without_a_rule_lists_approvals_too() {
    let project = Project::new();
    project
        .run(&["keygen", "ann", "--roles", "approve"])
        .with(0);
    approve(&project, "ann", &[])
        .with(0)
        .contains("without a record")
        .contains("requires no approvals of channel prod");
    apply(&project, &[])
        .with(0)
        .contains("owners have approved this change: ann");
    assert_eq!(approved(&project), [Value::Null]);
    project
        .run(&["verify", &project.history()[0].1])
        .with(0)
        .contains("approve statement");
}

#[test]
fn rule_from_the_first_record_covers_it() {
    let project = with_approvers();
    project
        .run(&["trust", "approvals", "2"])
        .with(0)
        .contains("from its first record on");
    apply(&project, &[]).with(4).contains("approvals-missing");
    for owner in ["ann", "bob"] {
        approve(&project, owner, &[]).with(0);
    }
    apply(&project, &[]).with(0);
    assert_eq!(approved(&project), [owners(&["ann", "bob"])]);
}

#[test]
fn rule_needs_enough_approvers() {
    let project = Project::released();
    let set = |arguments: &[&str]| project.run(&[&["trust", "approvals"], arguments].concat());
    set(&["1"])
        .with(64)
        .contains("gwc keygen NAME --roles approve");
    project
        .run(&["keygen", "ann", "--roles", "approve"])
        .with(0);
    set(&["2"]).with(64).contains("1 owner has a valid key");
    set(&["17"]).with(64);
    let ended = set(&["1", "--format", "json"]).with(0);
    let ended = ended.json("trust-approvals/v1");
    assert_eq!(ended["approvals"], 1);
    assert!(ended["approvals_after"].is_string());
    project
        .run(&["trust", "floor"])
        .with(0)
        .contains("approvals 1");
    let text = project.read("trust.json");
    assert!(text.contains("\"approvals\": 1"), "{text}");
    set(&["0"]).with(0).contains("requires no approvals");
    assert!(!project.read("trust.json").contains("\"approvals"));
}

#[test]
fn unapproved_head_is_reported() {
    let project = ruled();
    // A release without the rule, as by an attacker with another trust file.
    project.change("6s");
    apply(&project, &["--trust", "open.json"]).with(0);
    project
        .run(&["status"])
        .with(0)
        .contains("gateways refuse it: approvals-missing: 0 of the 2 owners")
        .contains("warning: gateways that have not accepted record 2 of channel prod refuse it");
    let bundle = project.history()[0].1.clone();
    project
        .run(&["verify", &bundle])
        .with(4)
        .contains("error[approvals-missing]");
    assert_eq!(approved(&project)[0]["reason"], "approvals-missing");
    // A rollback leaves the record; a rollback to it is refused.
    let back = |target: &str| {
        let mut arguments = vec!["rollback", target];
        arguments.extend(RELEASE);
        project.run(&arguments)
    };
    back("-1").with(0);
    back(&bundle).with(4).contains("--accept-head");
    assert_eq!(project.history().len(), 3);
    // Another number keeps `approvals_after`. The operator can accept the records until now.
    let same = project.run(&["trust", "approvals", "1"]).with(0);
    same.contains("`approvals_after` is unchanged");
    back(&bundle).with(4);
    let accept = ["trust", "approvals", "2", "--accept-head"];
    project.run(&accept).with(4).contains("(record 2)");
    let refused = [&accept[..], &["--accept-refused"]].concat();
    project.run(&refused).with(0).contains("after record 3");
    back(&bundle).with(0);
}

#[test]
fn operator_can_accept_an_unapproved_head() {
    let project = ruled();
    project.change("6s");
    apply(&project, &["--trust", "open.json"]).with(0);
    project
        .run(&["trust", "approvals", "2"])
        .with(4)
        .contains("record 2 of channel prod")
        .contains("--accept-head");
    project
        .run(&["trust", "approvals", "2", "--accept-head"])
        .with(0)
        .contains("after record 2");
    project.run(&["status"]).contains("needs no approvals");
}

#[test]
fn approvals_are_kept_copied_and_pulled_back() {
    let project = ruled();
    project.change("6s");
    approve(&project, "ann", &[]).with(0);
    let gc = ["gc", "--keep", "1", "--older-than", "0s"];
    project.run(&gc).with(0);
    project
        .run(&["push", "usb"])
        .with(0)
        .contains("2 bundles, 1 approvals");
    let bundle = project.build();
    approve(&project, "bob", &[&bundle, "--store", "usb"])
        .with(0)
        .contains("2 of 2 owners");
    let pulled = project.run(&["pull", "usb", "--format", "json"]).with(0);
    assert_eq!(pulled.json("pull/v1")["to"][0]["approvals"], 1);
    project.run(&gc).with(0);
    apply(&project, &[]).with(0);
    assert_eq!(approved(&project)[0], owners(&["ann", "bob"]));
}

#[test]
fn promote_and_abort_need_no_new_approvals() {
    let project = with_approvers();
    let store = "release: {store: releases, ";
    let steps = format!("{store}steps: [{{nodes: 5%}}, {{nodes: 50%}}], ");
    project.edit("gateway.yaml", store, &steps);
    apply(&project, &[]).with(0);
    project.run(&["trust", "approvals", "2"]).with(0);
    project.change("6s");
    for owner in ["ann", "bob"] {
        approve(&project, owner, &[]).with(0);
    }
    apply(&project, &[]).with(0).contains("step 1 of 3");
    let with = |command: &str| {
        let mut arguments = vec![command];
        arguments.extend(RELEASE);
        project.run(&arguments)
    };
    with("promote").with(0).contains("step 2 of 3");
    with("abort").with(0);
    let approved = approved(&project);
    let both = owners(&["ann", "bob"]);
    assert_eq!((&approved[1], &approved[2]), (&both, &both));
    assert_eq!(approved[0]["required"], false);
}
