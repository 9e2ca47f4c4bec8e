//! Tests of the section RULES of plans. The gates of the old version apply to changes of gates,
//! keys and other rules.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

use crate::git::{commit, committed};
use crate::project::Project;

/// Creates a project on `main` with an acknowledgement file and a lint level.
fn ruled() -> Project {
    let project = committed();
    let text = project.read("gateway.yaml");
    project.write(
        "gateway.yaml",
        format!(
            "{}tests: [one.yaml]\nacknowledge: reviewed.yaml\nlint: {{missing-license: warn}}\nrequired: {{allow_public: [\"orders/status\"]}}\n",
            text.replace("gates: [weaken]", "gates: [expose]")
        ),
    );
    project.write("reviewed.yaml", "[]\n");
    project.write("other.yaml", "[]\n");
    project.write("one.yaml", "[]\n");
    project.edit(
        "orders.yaml",
        "components:",
        "  /status: {get: {operationId: status, security: [], x-gateway: {public: true}, responses: {\"200\": {description: fine}}}}\ncomponents:",
    );
    commit(&project, "rules");
    project
}

fn plan(project: &Project, more: &[&str], code: i32) -> Value {
    let base = ["plan", "--format", "json", "--against", "git:main"];
    let ended = project.run(&[&base, more].concat());
    ended.with(code).json("plan/v1")
}

/// Ids of the changes in the section RULES.
fn rules(plan: &Value) -> Vec<String> {
    let changes = plan["changes"].as_array().expect("a list").iter();
    changes
        .filter(|change| change["section"] == "rules")
        .map(|change| change["id"].as_str().expect("a text").to_owned())
        .collect()
}

#[track_caller]
fn trips(project: &Project, id: &str) -> Value {
    let plan = plan(project, &[], 1);
    assert_eq!(rules(&plan), [id], "{plan:#}");
    let gates = plan["gates"].as_array().expect("a list");
    let gate = gates.iter().find(|gate| gate["name"] == "rules");
    assert_eq!(gate.expect("it is on")["tripped"], true);
    assert_eq!(plan["result"], "blocked");
    plan
}

#[test]
fn each_change_of_the_rules_alone_trips_a_gate() {
    for (old, new, id) in [
        ("gates: [expose]", "gates: []", "gate-removed"),
        ("gates: [expose]", "gates: [expose, relax]", "gate-added"),
        ("tests: [one.yaml]\n", "", "tests-removed"),
        ("tests: [one.yaml]", "tests: [other.yaml]", "tests-removed"),
        (
            "tests: [one.yaml]",
            "tests: [one.yaml, \"!one.yaml\"]",
            "tests-removed",
        ),
        (
            "acknowledge: reviewed.yaml",
            "acknowledge: other.yaml",
            "acknowledge-file-changed",
        ),
        (
            "lint: {missing-license: warn}",
            "lint: {missing-license: off}",
            "lint-level-changed",
        ),
        (
            "[\"orders/status\"]",
            "[\"orders/*\"]",
            "allow-public-changed",
        ),
        ("channel: prod", "channel: test", "channel-changed"),
        ("store: releases", "store: elsewhere", "store-changed"),
        (
            "store: releases",
            "store: releases, steps: [{nodes: 5%}]",
            "release-steps-changed",
        ),
    ] {
        let project = ruled();
        plan(&project, &[], 0);
        project.edit("gateway.yaml", old, new);
        trips(&project, id);
    }
}

#[test]
fn weakened_test_trips_a_gate() {
    let project = ruled();
    let closed =
        "- {name: closed, request: GET /orders, expect: {decision: reject, status: 401}}\n";
    let open = "- {name: open, request: [GET /status], expect: {decision: forward}}\n";
    project.write("one.yaml", format!("{closed}{open}"));
    assert!(rules(&plan(&project, &[], 0)).is_empty(), "added tests");
    commit(&project, "tests");
    let edited = |from: &str, to: &str| format!("{}{open}", closed.replace(from, to));
    let changed = "changed: one.yaml: closed";
    for (text, new) in [
        (edited(", status: 401", ""), changed),
        (
            edited("decision: reject, status: 401", "decision: forward"),
            changed,
        ),
        (edited("GET /orders", "GET /status"), changed),
        (edited("expect:", "headers: {X-Key: a}, expect:"), changed),
        (edited("expect:", "body: {a: 1}, expect:"), changed),
        (open.to_owned(), "removed: one.yaml: closed"),
        (
            "[]\n".to_owned(),
            "removed: one.yaml: closed, one.yaml: open",
        ),
    ] {
        project.write("one.yaml", &text);
        let document = trips(&project, "tests-changed");
        assert_eq!(document["changes"][0]["new"], new, "{text}");
    }
    // Another order, another name, and further requests and expectations lose nothing.
    for text in [
        format!("{open}{closed}"),
        edited("name: closed", "name: anonymous"),
        edited("GET /orders", "[GET /status, GET /orders]"),
        edited("status: 401", "status: 401, operation: orders/listOrders"),
    ] {
        project.write("one.yaml", &text);
        assert!(rules(&plan(&project, &[], 0)).is_empty(), "{text}");
    }
}

/// Another edit of the same operation, such as a new path or another address of the upstream, hides
/// no operation that an invariant no longer selects.
#[test]
fn moved_operation_leaves_no_invariant_silently() {
    let id = "operationId: getOrder,";
    for (selection, edits) in [
        (
            "{tags: [pii]}",
            [
                ("orders.yaml", " tags: [pii],", String::new()),
                ("orders.yaml", "/orders/{id}:", "/things/{id}:".to_owned()),
                ("orders.yaml", "title: Orders", "title: Others".to_owned()),
            ],
        ),
        (
            "{path: /orders/*}",
            [
                (
                    "orders.yaml",
                    id,
                    format!("{id} x-gateway: {{rewrite: {{path: \"/orders/{{id}}\"}}}},"),
                ),
                ("orders.yaml", "/orders/{id}:", "/things/{id}:".to_owned()),
                (
                    "gateway.yaml",
                    "127.0.0.1:9000",
                    "127.0.0.1:9009".to_owned(),
                ),
            ],
        ),
    ] {
        let project = committed();
        let gateway = project.read("gateway.yaml");
        project.write(
            "gateway.yaml",
            format!("{gateway}invariants: [held.yaml]\n"),
        );
        project.write(
            "held.yaml",
            format!("- {{name: held, where: {selection}, require: {{auth: [keys]}}}}\n"),
        );
        project.edit("orders.yaml", id, &format!("{id} tags: [pii],"));
        commit(&project, "invariant");
        for (file, from, to) in &edits {
            project.edit(file, from, to);
        }
        let found = rules(&plan(&project, &[], 1));
        let narrowed = "invariant-narrowed".to_owned();
        assert!(found.contains(&narrowed), "{selection}: {found:?}");
    }
}

#[test]
fn change_of_the_trust_file_trips_a_gate() {
    let project = ruled();
    project.run(&["keygen", "other"]).with(0);
    let document = trips(&project, "trust-changed");
    assert!(document["changes"][0]["new"].to_string().contains("other"));
    // Replace the key by a key with another state and the same name.
    let trust = project.read("trust.json");
    commit(&project, "keys");
    project.write("trust.json", trust.replacen("\"active\"", "\"retired\"", 1));
    assert_ne!(project.read("trust.json"), trust);
    let document = plan(&project, &[], 1);
    assert_eq!(rules(&document), ["trust-changed"]);
    project.write("trust.json", "{");
    assert!(!rules(&plan(&project, &[], 1)).is_empty());
}

#[test]
fn floor_of_the_trust_file_rises_without_a_gate() {
    let project = ruled();
    // The gate `expose` is active, and an operation is public.
    let first = project.run(&["plan", "--format", "json"]).with(1);
    let by = first.json("plan/v1")["gates"][0]["by"][0].clone();
    let ack = format!("--ack={}=first", by.as_str().expect("digits"));
    project
        .run(&[
            "apply",
            &ack,
            "--yes",
            "--reason",
            "x",
            "--key",
            "keys/release.pem",
        ])
        .with(0);
    project.run(&["trust", "floor"]).with(0);
    let raised = project.read("trust.json");
    assert!(rules(&plan(&project, &[], 0)).is_empty());
    commit(&project, "floor");
    project.write(
        "trust.json",
        raised.replacen("\"min_serial\": 1", "\"min_serial\": 0", 1),
    );
    assert_ne!(project.read("trust.json"), raised);
    trips(&project, "trust-changed");
}

#[test]
fn fewer_approvals_in_the_trust_file_trip_a_gate() {
    let project = ruled();
    let bare = project.read("trust.json");
    let empty = "\"channels\": {}";
    assert!(bare.contains(empty), "{bare}");
    let with = |approvals: u32| {
        let rule = format!("\"channels\": {{\"prod\": {{\"approvals\": {approvals}}}}}");
        bare.replace(empty, &rule)
    };
    project.write("trust.json", with(2));
    assert!(
        rules(&plan(&project, &[], 0)).is_empty(),
        "more is no change"
    );
    commit(&project, "approvals");
    project.write("trust.json", with(1));
    let document = trips(&project, "trust-changed");
    let change = &document["changes"][0];
    assert_eq!(change["subject"], "trust approvals of channel prod");
    assert_eq!((&change["old"], &change["new"]), (&"2".into(), &"1".into()));
    let after = format!(
        "\"approvals\": 2, \"approvals_after\": \"sha256:{}\"",
        "ab".repeat(32)
    );
    project.write("trust.json", with(2).replace("\"approvals\": 2", &after));
    trips(&project, "trust-changed");
}

#[test]
fn acknowledgement_of_no_change_trips_a_gate() {
    let project = ruled();
    let entry = |fingerprint: &str, kind: &str, about: &str| {
        format!(
            "- {{fingerprint: \"{fingerprint}\", kind: {kind}, operation: {about}, reason: r, by: b}}\n"
        )
    };
    let later = entry(&"ab".repeat(16), "operation-exposed", "orders/heapDump");
    project.write("reviewed.yaml", &later);
    let document = trips(&project, "acknowledgement-added");
    // The addition of an acknowledgement can itself be acknowledged. The line of the plan names the
    // change that the new acknowledgement will let pass.
    let change = &document["changes"][0];
    let text = |key: &str| change[key].as_str().expect("a text").to_owned();
    assert!(text("new").contains("orders/heapDump"));
    let about = format!("\"{}\"", text("subject"));
    let both = later + &entry(&text("fingerprint"), "acknowledgement-added", &about);
    project.write("reviewed.yaml", both);
    plan(&project, &[], 0);
    // An acknowledgement that a change uses, or that existed before, is not a change of the rules.
    commit(&project, "later");
    assert!(rules(&plan(&project, &[], 0)).is_empty());
    // Other texts of an acknowledgement let another change pass.
    project.edit("reviewed.yaml", "orders/heapDump", "orders/listOrders");
    trips(&project, "acknowledgement-added");
}

#[test]
fn acknowledged_change_of_the_rules_passes() {
    let project = ruled();
    project.edit("gateway.yaml", "gates: [expose]", "gates: []");
    let document = trips(&project, "gate-removed");
    let fingerprint = document["changes"][0]["fingerprint"]
        .as_str()
        .expect("a text");
    let entry = format!(
        "- {{fingerprint: \"{fingerprint}\", kind: gate-removed, operation: \"gate expose\", reason: r, by: b}}\n"
    );
    let ack = format!("{fingerprint}=meant");
    plan(&project, &["--ack", &ack], 0);
    project.write("reviewed.yaml", &entry);
    plan(&project, &[], 0);
    // An acknowledgement file that the change itself selects cannot acknowledge the change.
    project.write("reviewed.yaml", "[]\n");
    project.write("other.yaml", &entry);
    project.edit(
        "gateway.yaml",
        "acknowledge: reviewed.yaml",
        "acknowledge: other.yaml",
    );
    let document = plan(&project, &[], 1);
    assert_eq!(document["changes"][0]["acked"], Value::Null, "{document:#}");
}

#[test]
fn rules_of_an_old_side_without_gates_trip_nothing() {
    let project = committed();
    project.edit("gateway.yaml", "gates: [weaken]\n", "");
    commit(&project, "no gates");
    project.edit("gateway.yaml", "channel: prod", "channel: test");
    let document = plan(&project, &[], 0);
    assert_eq!(rules(&document), ["channel-changed"]);
    assert_eq!(document["result"], "changes");
    let base = ["plan", "--against", "git:main"];
    project
        .run(&[&base[..], &["--exit-code"]].concat())
        .with(2)
        .contains("RULES");
    project
        .run(&[&base[..], &["--gate", "rules"]].concat())
        .with(1);
}

#[test]
fn rules_of_the_channel_judge_a_release() {
    let project = Project::released();
    project.edit("gateway.yaml", "gates: [weaken]\n", "");
    let ended = project.run(&["plan", "--format", "json"]).with(1);
    assert_eq!(rules(&ended.json("plan/v1")), ["gate-removed"]);
    // Remove the gate together with a change that the gate would have blocked.
    project.edit(
        "orders.yaml",
        "operationId: listOrders,",
        "operationId: listOrders, security: [], x-gateway: {public: true},",
    );
    project
        .apply("open")
        .with(1)
        .contains("gates tripped: weaken")
        .contains("rules");
    assert_eq!(project.history().len(), 1);
    // Restoring the rules is not blocked.
    project.edit(
        "orders.yaml",
        "operationId: listOrders, security: [], x-gateway: {public: true},",
        "operationId: listOrders,",
    );
    let text = project.read("gateway.yaml");
    project.write("gateway.yaml", format!("{text}gates: [weaken]\n"));
    project.change("6s");
    project.apply("slow").with(0);
    project
        .run(&[
            "rollback",
            "--key",
            "keys/release.pem",
            "--yes",
            "--reason",
            "back",
        ])
        .with(0);
}

#[test]
fn comparison_with_one_document_has_no_rules() {
    let project = committed();
    let ended = project.run(&["diff", "orders.yaml", ".", "--format", "json"]);
    assert!(rules(&ended.with(0).json("plan/v1")).is_empty());
}

/// Removes the source artifacts from the store, but not bundles and records.
fn lose_sources(project: &Project) {
    let mut lost = 0;
    for entry in std::fs::read_dir(project.file("releases/blobs/sha256")).expect("a store") {
        let path = entry.expect("it can be read").path();
        let bytes = std::fs::read(&path).expect("it can be read");
        if bytes.starts_with(b"{\"version\":4,\"files\"") {
            std::fs::remove_file(&path).expect("it is there");
            lost += 1;
        }
    }
    assert!(lost > 0);
}

#[test]
fn unknown_rules_of_the_channel_trip_a_gate() {
    let project = Project::released();
    lose_sources(&project);
    // The change removes the gates, and without source artifacts the old gates are unknown.
    project.edit("gateway.yaml", "gates: [weaken]\n", "");
    project.edit(
        "orders.yaml",
        "operationId: listOrders,",
        "operationId: listOrders, security: [], x-gateway: {public: true},",
    );
    let ended = project.run(&["plan", "--format", "json"]).with(1);
    let document = ended.json("plan/v1");
    assert_eq!(rules(&document), ["rules-unknown"]);
    project
        .apply("open")
        .with(1)
        .contains("gates tripped: rules");
    assert_eq!(project.history().len(), 1);
    let changes = document["changes"].as_array().expect("a list");
    let change = changes
        .iter()
        .find(|change| change["id"] == "rules-unknown");
    let fingerprint = change.expect("it is there")["fingerprint"].as_str();
    let ack = format!("{}=known", fingerprint.expect("a text"));
    project.run(&["plan", "--ack", &ack]).with(0);
    // The acknowledgement does not cover later changes of rules.
    project.edit(
        "gateway.yaml",
        "channel: prod",
        "channel: prod}\nlint: {missing-license: warn",
    );
    project.run(&["plan", "--ack", &ack]).with(1);
}

/// Digests of the source artifacts' layers in the store.
fn sources(project: &Project) -> BTreeSet<PathBuf> {
    let blobs = std::fs::read_dir(project.file("releases/blobs/sha256")).expect("a store");
    let paths = blobs.map(|entry| entry.expect("it can be read").path());
    let is_source = |path: &PathBuf| {
        let bytes = std::fs::read(path).expect("it can be read");
        bytes.starts_with(b"{\"version\":4,\"files\"")
    };
    paths.filter(is_source).collect()
}

/// Creates a project whose channel goes back from a second release, and then opens an operation and
/// removes the gate. Returns the project, and the source artifacts of the second release.
fn rolled_back() -> (Project, BTreeSet<PathBuf>) {
    let project = Project::released();
    let first = sources(&project);
    project.change("6s");
    project.apply("second").with(0);
    let second = sources(&project).difference(&first).cloned().collect();
    let back = [
        "rollback",
        "--key",
        "keys/release.pem",
        "--yes",
        "--reason",
        "back",
    ];
    project.run(&back).with(0);
    project.edit("gateway.yaml", "gates: [weaken]\n", "");
    project.edit(
        "orders.yaml",
        "operationId: listOrders,",
        "operationId: listOrders, security: [], x-gateway: {public: true},",
    );
    (project, second)
}

#[test]
fn lost_rules_after_a_rollback_trip_a_gate() {
    let (project, lost) = rolled_back();
    assert_eq!(lost.len(), 1);
    for path in lost {
        std::fs::remove_file(path).expect("it is there");
    }
    let ended = project.run(&["plan", "--format", "json"]).with(1);
    assert_eq!(rules(&ended.json("plan/v1")), ["rules-unknown"]);
    project
        .apply("open")
        .with(1)
        .contains("gates tripped: rules");
    assert_eq!(project.history().len(), 3);
}

#[test]
fn gc_after_a_rollback_keeps_the_rules() {
    let (project, kept) = rolled_back();
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(7_200);
    for entry in std::fs::read_dir(project.file("releases/blobs/sha256")).expect("a store") {
        let path = entry.expect("it can be read").path();
        let file = std::fs::File::options().write(true).open(path);
        file.and_then(|file| file.set_modified(then))
            .expect("it is there");
    }
    project
        .run(&["gc", "--keep", "1"])
        .with(0)
        .contains("removed 1 bundle");
    assert!(kept.iter().all(|path| path.exists()));
    let ended = project.run(&["plan", "--format", "json"]).with(1);
    assert_eq!(rules(&ended.json("plan/v1")), ["gate-removed"]);
    project
        .apply("open")
        .with(1)
        .contains("gates tripped: weaken");
}

#[test]
fn allowed_finding_of_a_document_trips_a_gate() {
    let project = ruled();
    plan(&project, &[], 0);
    project.edit(
        "orders.yaml",
        "    get: {operationId: getOrder,",
        "    get: {x-gateway-lint: {allow: [missing-license]}, operationId: getOrder,",
    );
    let tripped = trips(&project, "lint-allow-changed");
    let changes = tripped["changes"].as_array().expect("a list").iter();
    let change = changes.filter(|change| change["id"] == "lint-allow-changed");
    let subjects: Vec<&str> = change
        .filter_map(|change| change["subject"].as_str())
        .collect();
    assert_eq!(
        subjects,
        ["lint allow orders.yaml#/paths/~1orders~1{id}/get"]
    );
    commit(&project, "allowed");
    plan(&project, &[], 0);
    // Allow another rule at the same node, and remove the allowance.
    project.edit(
        "orders.yaml",
        "allow: [missing-license]",
        "allow: [missing-license, way-round]",
    );
    trips(&project, "lint-allow-changed");
    project.edit(
        "orders.yaml",
        "x-gateway-lint: {allow: [missing-license, way-round]}, ",
        "",
    );
    trips(&project, "lint-allow-changed");
}

#[test]
fn changed_rules_alone_are_recorded_and_apply() {
    let project = Project::new();
    let gated = project.read("gateway.yaml");
    project.write("gateway.yaml", gated.replace("gates: [weaken]\n", ""));
    project.apply("first").with(0);
    project.write("gateway.yaml", &gated);
    project
        .run(&["plan"])
        .with(0)
        .contains("`gwc apply` records the changed rules");
    let planned = ["plan", "-o", "plan.json", "--exit-code"];
    project.run(&planned).with(2);
    let ended = project.run(&[
        "apply",
        "plan.json",
        "--yes",
        "--require-rollback",
        "--key",
        "keys/release.pem",
    ]);
    ended.with(0).contains("the new rules are recorded");
    let history = project.history();
    assert_eq!(history.len(), 2);
    assert_eq!(history[0].1, history[1].1);
    // Releasing the same again does nothing.
    project.apply("again").with(0).contains("nothing to do");
    let plan = project.run(&["plan", "--exit-code"]).with(0);
    assert!(!plan.out.contains("records"), "{}", plan.out);
    // One edit removes the gate and makes an operation public.
    project.edit("gateway.yaml", "gates: [weaken]\n", "");
    project.edit(
        "orders.yaml",
        "components:",
        "  /open: {get: {operationId: open, security: [], x-gateway: {public: true}, responses: {\"200\": {description: fine}}}}\ncomponents:",
    );
    project.apply("open").with(1).contains("gate-tripped");
    // The removed gate also blocks its own removal.
    project.edit("orders.yaml", "  /open: {", "  x-open: {");
    project.apply("gate").with(1).contains("rules (");
    assert_eq!(project.history().len(), 2);
}

#[test]
fn record_of_rules_alone_keeps_what_is_withdrawn() {
    let project = Project::released();
    project.change("6s");
    project.apply("second").with(0);
    let bad = project.history()[0].1.clone();
    let key = ["--key", "keys/release.pem", "--yes", "--reason", "bad"];
    project
        .run(&[&["rollback", "-1", "--withdraw", &bad][..], &key].concat())
        .with(0);
    project.change("5s");
    project
        .apply("the sources follow")
        .with(0)
        .contains("nothing to do");
    project.edit("gateway.yaml", "gates: [weaken]", "gates: [weaken, expose]");
    let plan = plan_of_head(&project);
    let change = &plan["changes"][0];
    let ack = format!(
        "--ack={}=more",
        change["fingerprint"].as_str().expect("digits")
    );
    project
        .run(&[&["apply", &ack][..], &key].concat())
        .with(0)
        .contains("the new rules are recorded");
    let history = project.run(&["history", "--format", "json"]).with(0);
    let newest = &history.json("history/v1")["records"][0];
    assert_eq!(newest["withdraw"], serde_json::json!([bad]), "{newest:#}");
}

fn plan_of_head(project: &Project) -> Value {
    let ended = project.run(&["plan", "--format", "json"]);
    ended.with(1).json("plan/v1")
}
