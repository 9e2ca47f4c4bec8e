//! Tests of gates, and of the two ways to acknowledge a change: `--ack` and the acknowledgement
//! file.

use serde_json::{Value, json};

use crate::project::Project;

/// Keys of an acknowledgement entry besides its fingerprint, for the change of [`opened`].
const NAMED: &str = "kind: security-requirement-removed, operation: orders/listOrders";

/// Creates a released project, and then makes one operation public in the sources. Returns the
/// fingerprint of this change.
fn opened() -> (Project, String) {
    let project = Project::new();
    let text = project.read("gateway.yaml");
    project.write(
        "gateway.yaml",
        format!("{text}acknowledge: reviewed.yaml\n"),
    );
    project.write("reviewed.yaml", "[]\n");
    project.apply("first").with(0);
    project.edit(
        "orders.yaml",
        "operationId: listOrders,",
        "operationId: listOrders, security: [], x-gateway: {public: true},",
    );
    let by = plan(&project, &[], 1)["gates"][0]["by"].clone();
    let by = by.as_array().expect("a list");
    assert_eq!(by.len(), 1);
    (project, by[0].as_str().expect("a fingerprint").to_owned())
}

fn plan(project: &Project, more: &[&str], code: i32) -> Value {
    let ended = project.run(&[&["plan", "--format", "json"], more].concat());
    ended.with(code).json("plan/v1")
}

#[test]
fn ack_option_accepts_one_change_with_a_reason() {
    let (project, fingerprint) = opened();
    let ack = format!("{fingerprint}=the list is public");
    let document = plan(&project, &["--ack", &ack], 0);
    let change = |document: &Value| -> Value {
        let changes = document["changes"].as_array().unwrap().iter();
        let mut named = changes.filter(|change| change["fingerprint"] == fingerprint.as_str());
        named.next().unwrap()["acked"].clone()
    };
    assert_eq!(
        change(&document),
        json!({"reason": "the list is public", "by": "tester", "file": null, "line": null})
    );
    assert_eq!(document["gates"][0]["tripped"], false);
    assert_eq!(document["result"], "changes");
    let short = format!("{}=why", &fingerprint[..12]);
    let without = format!("{fingerprint}=");
    for bad in [&*short, "nothex=why", &*without, ""] {
        project.run(&["plan", "--ack", bad]).with(64);
    }
    project
        .run(&["plan", "--ack", &fingerprint])
        .with(64)
        .contains(&format!("write --ack {fingerprint}=REASON"));
    let zeros = format!("{}=why", "0".repeat(32));
    let ended = project.run(&["plan", "--ack", &zeros]).with(1);
    assert!(
        ended
            .err
            .contains("warning: no change has the fingerprint 000000000000"),
        "{}",
        ended.err
    );
}

#[test]
fn acknowledged_changes_pass_with_author_and_reason() {
    let (project, fingerprint) = opened();
    project.run(&["plan"]).with(1).contains("reviewed.yaml");
    project.write("reviewed.yaml", "");
    let ended = project.run(&["plan"]).with(1);
    // The line that the plan prints can be copied into the acknowledgement file.
    let line = ended
        .out
        .lines()
        .find_map(|line| line.trim().strip_prefix("- {"))
        .expect("a line for the file");
    let line = line
        .replace("WHY", "\"ticket 12: the list is public\"")
        .replace("WHO", "ann");
    project.write("reviewed.yaml", format!("# reviewed\n- {{{line}\n"));
    let document = plan(&project, &[], 0);
    let changes = document["changes"].as_array().unwrap().iter();
    let acked: Vec<&Value> = changes
        .map(|change| &change["acked"])
        .filter(|acked| !acked.is_null())
        .collect();
    assert_eq!(
        acked,
        [
            &json!({"reason": "ticket 12: the list is public", "by": "ann", "file": "reviewed.yaml", "line": 2})
        ]
    );
    assert_eq!(document["acknowledgements"][0]["state"], "used");
    assert_eq!(
        document["acknowledgements"][0]["fingerprint"],
        fingerprint.as_str()
    );
    // An acknowledgement does not change the bundle, and `gwc apply` accepts the same
    // acknowledgement.
    project
        .apply("public list")
        .with(0)
        .contains("acknowledged by ann: ticket 12");
    // After the release, the acknowledgement is unused. A warning names its position in the file.
    let ended = project.run(&["plan"]).with(0);
    assert!(
        ended
            .err
            .contains("reviewed.yaml:2:3: warning: no change has the fingerprint"),
        "{}",
        ended.err
    );
    // A rollback shows the change as well, and the acknowledgement applies to it.
    project
        .run(&[
            "rollback",
            "--key",
            "keys/release.pem",
            "--yes",
            "--reason",
            "back",
        ])
        .with(0)
        .contains("strengthen");
}

#[test]
fn warnings_about_unused_entries_are_bounded() {
    let (project, _) = opened();
    let entry = |index: usize| {
        format!("- {{fingerprint: \"{index:032x}\", {NAMED}, reason: why, by: ann}}\n")
    };
    let entries: String = (0..60).map(entry).collect();
    project.write("reviewed.yaml", entries);
    let ended = project.run(&["plan"]).with(1);
    let ended = ended.contains("warning: 10 more acknowledgements have no effect");
    let named = ended.err.matches("no change has the fingerprint").count();
    assert_eq!(named, 50, "{}", ended.err);
}

#[test]
fn expired_acknowledgement_does_not_apply() {
    let (project, fingerprint) = opened();
    let until = |day: &str| {
        project.write(
            "reviewed.yaml",
            format!("- {{fingerprint: \"{fingerprint}\", {NAMED}, reason: why, by: ann, until: {day}}}\n"),
        );
    };
    until("2020-01-31");
    let ended = project.run(&["plan"]).with(1);
    assert!(
        ended
            .err
            .contains("reviewed.yaml:1:3: warning: the acknowledgement of")
            && ended.err.contains("expired after 2020-01-31"),
        "{}",
        ended.err
    );
    project.apply("too late").with(1);
    until("2999-01-31");
    plan(&project, &[], 0);
    // An expired entry does not hide a later entry for the same change. A number is a valid
    // `reason`.
    let line = |reason: &str, day: &str| {
        format!(
            "- {{fingerprint: \"{fingerprint}\", {NAMED}, reason: {reason}, by: ann, until: {day}}}\n"
        )
    };
    project.write(
        "reviewed.yaml",
        line("old", "2020-01-31") + &line("4711", "2999-01-31"),
    );
    let ended = project.run(&["plan"]).with(0);
    assert!(
        ended.out.contains("acknowledged by ann: 4711")
            && ended.err.contains("reviewed.yaml:1:3: warning")
            && ended.err.contains("another one applies; remove this one"),
        "{}{}",
        ended.out,
        ended.err
    );
}

#[test]
fn acknowledgement_of_health_covers_no_heap_dump() {
    let (project, fingerprint) = opened();
    // An entry with a matching fingerprint (as after a hash collision) that describes another
    // change does not apply.
    project.write(
        "reviewed.yaml",
        format!("- {{fingerprint: \"{fingerprint}\", kind: security-requirement-removed, operation: orders/health, reason: why, by: ann}}\n"),
    );
    let ended = project.run(&["plan", "--format", "json"]).with(1);
    assert_eq!(
        ended.json("plan/v1")["acknowledgements"][0]["state"],
        "mismatched"
    );
    assert!(
        ended.err.contains("reviewed.yaml:1:3: warning")
            && ended
                .err
                .contains("another kind of change or another operation"),
        "{}",
        ended.err
    );
    project.apply("covered?").with(1);
    project.write(
        "reviewed.yaml",
        format!("- {{fingerprint: \"{fingerprint}\", {NAMED}, reason: why, by: ann}}\n"),
    );
    project.run(&["plan"]).with(0);
}

#[test]
fn mistakes_in_the_file_have_their_places() {
    let project = Project::bare();
    let text = project.read("gateway.yaml");
    project.write(
        "gateway.yaml",
        format!("{text}acknowledge: reviewed.yaml\n"),
    );
    for (written, says) in [
        (
            "- {fingerprint: \"1f0c5b\", reason: why, by: ann}\n",
            "reviewed.yaml:1:17",
        ),
        (
            "- {fingerprint: \"1f0c5b7e9a210c44d0f6a1b2c3d4e5f6\", kind: a, operation: b, by: ann}\n",
            "`reason`",
        ),
        (
            "- {fingerprint: \"1f0c5b7e9a210c44d0f6a1b2c3d4e5f6\", kind: a, operation: b, reason: why}\n",
            "`by`",
        ),
        (
            "- {fingerprint: \"1f0c5b7e9a210c44d0f6a1b2c3d4e5f6\", kind: a, operation: b, reason: why, by: ann, untill: 2030-01-31}\n",
            "`until`",
        ),
        (
            "- {fingerprint: \"1f0c5b7e9a210c44d0f6a1b2c3d4e5f6\", kind: a, operation: b, reason: why, by: ann, until: soon}\n",
            "reviewed.yaml:1:",
        ),
        ("a: b\n", "reviewed.yaml:1:1"),
        (
            "- {fingerprint: \"1f0c5b7e9a210c44d0f6a1b2c3d4e5f6\", operation: b, reason: why, by: ann}\n",
            "`kind`",
        ),
        (
            "- {fingerprint: \"1f0c5b7e9a210c44d0f6a1b2c3d4e5f6\", kind: a, reason: why, by: ann}\n",
            "`operation`",
        ),
        (
            "- {fingerprint: \"1f0c5b7e9a21\", kind: a, operation: b, reason: why, by: ann}\n",
            "32 hexadecimal digits",
        ),
        (
            "- {fingerprint: 12345678901234567890123456789012, kind: a, operation: b, reason: why, by: ann}\n",
            "reviewed.yaml:1:17",
        ),
        (
            "- {fingerprint: 133e4567890112345678901234567890, kind: a, operation: b, reason: why, by: ann}\n",
            "reviewed.yaml:1:17",
        ),
        (
            "- {fingerprint: \"1f0c5b7e9a210c44d0f6a1b2c3d4e5f6\", kind: a, operation: b, reason: \"\", by: ann}\n",
            "`reason` is empty",
        ),
        (
            "- {fingerprint: \"1f0c5b7e9a210c44d0f6a1b2c3d4e5f6\", kind: a, operation: b, reason: why, by: \" \"}\n",
            "`by` is empty",
        ),
    ] {
        project.write("reviewed.yaml", written);
        project
            .run(&["lint", "--format", "concise"])
            .with(1)
            .contains(says);
    }
}

#[test]
fn rollback_shows_gates_and_stops_only_on_request() {
    let project = Project::new();
    project.edit(
        "orders.yaml",
        "operationId: listOrders,",
        "operationId: listOrders, security: [], x-gateway: {public: true},",
    );
    project
        .run(&[
            "apply",
            "--key",
            "keys/release.pem",
            "--yes",
            "--reason",
            "open",
            "--gate",
            "expose",
        ])
        .with(1);
    let document = plan(&project, &["--gate", "expose"], 1);
    let gates = document["gates"].as_array().unwrap().iter();
    let acks = gates
        .flat_map(|gate| gate["by"].as_array().unwrap())
        .map(|by| format!("--ack={}=first", by.as_str().unwrap()));
    let acks: Vec<String> = acks.collect();
    let mut arguments = vec![
        "apply",
        "--gate",
        "expose",
        "--key",
        "keys/release.pem",
        "--yes",
    ];
    arguments.extend(acks.iter().map(String::as_str));
    project.run(&arguments).with(0);
    project.edit(
        "orders.yaml",
        "security: [], x-gateway: {public: true},",
        "",
    );
    project.apply("closed").with(0);
    let back = |more: &[&str]| {
        project.run(
            &[
                &[
                    "rollback",
                    "--key",
                    "keys/release.pem",
                    "--yes",
                    "--reason",
                    "back",
                ],
                more,
            ]
            .concat(),
        )
    };
    let stopped = back(&["--gate", "weaken", "--format", "json"]).with(1);
    let document = stopped.json("rollback/v1");
    assert_eq!(document["result"], "blocked");
    assert_eq!(project.history().len(), 2);
    let by = document["plan"]["gates"][0]["by"][0]
        .as_str()
        .unwrap()
        .to_owned();
    back(&["--gate", "weaken", "--ack", &format!("{by}=as it was")])
        .with(0)
        .contains("acknowledged by tester: as it was");
    project.apply("closed again").with(0);
    let output = back(&[]).with(0).out;
    assert!(
        output.contains("Gates of gateway.yaml (`weaken`"),
        "{output}"
    );
    assert!(!output.contains("is tripped by"), "{output}");
}

#[test]
fn placeholders_of_the_printed_line_are_refused() {
    let (project, fingerprint) = opened();
    let printed = project.run(&["plan"]).with(1).out;
    let mut lines = printed.lines().map(str::trim);
    let line = lines.find(|line| line.starts_with("- {fingerprint"));
    let line = line.expect("the line to add");
    assert!(line.contains(&fingerprint), "{line}");
    let with = |reason: &str, by: &str| {
        let line = line.replace("reason: WHY", &format!("reason: {reason}"));
        let line = line.replace("by: WHO", &format!("by: {by}"));
        project.write("reviewed.yaml", format!("{line}\n"));
    };
    for (reason, by, key) in [
        ("WHY", "ann", "reason"),
        ("the list is public", "WHO", "by"),
        ("\" WHY \"", "ann", "reason"),
    ] {
        with(reason, by);
        project
            .run(&["plan"])
            .with(1)
            .contains(&format!("`{key}` is still the placeholder of the template"));
    }
    with("the list is public", "ann");
    project.run(&["plan"]).with(0);
}
