//! `gwc apply` and `gwc history`.

use serde_json::{Value, json};

use crate::project::Project;

#[test]
fn history_lists_releases_with_their_fields() {
    let project = Project::new();
    let id = project.build();
    let ended = project.apply("first").with(0).contains("serial 1");
    assert!(ended.out.contains(&id));
    assert!(ended.out.contains("no earlier version to go back to"));
    project.change("6s");
    project
        .apply("second")
        .with(0)
        .contains("rollback ready: gwc rollback");
    let ended = project.run(&["history", "--format", "json"]).with(0);
    let history = ended.json("history/v1");
    let records = history["records"].as_array().unwrap();
    assert_eq!(records.len(), 2);
    assert_eq!(records[0]["serial"], 2);
    assert_eq!(records[0]["kind"], "release");
    assert_eq!(records[0]["actor"], "tester");
    assert_eq!(records[0]["reason"], "second");
    assert_eq!(records[0]["git"], Value::Null, "this folder is not in Git");
    assert_eq!(records[0]["signed"]["owners"], json!(["release"]));
    assert_eq!(records[1]["bundle"], id.as_str());
    project.run(&["history"]).with(0).contains("first");
}

#[test]
fn apply_without_a_terminal_needs_its_options() {
    let project = Project::new();
    project
        .run(&["apply", "--key", "keys/release.pem"])
        .with(64)
        .contains("--yes");
    assert!(!project.file("releases").exists());
    project.run(&["apply", "--yes"]).with(64);
    project
        .run(&[
            "apply",
            "--key",
            "keys/release.pem",
            "--yes",
            "--wait",
            "3s",
        ])
        .with(64);
    project
        .run(&[
            "apply",
            "--key",
            "k",
            "--yes",
            "--node",
            "localhost:1",
            "--wait",
            "3",
        ])
        .with(64)
        .contains("unit");
}

#[test]
fn apply_of_the_same_bundle_adds_no_record() {
    let project = Project::released();
    let document = project
        .run(&["apply", "--key", "keys/release.pem", "--format", "json"])
        .with(0)
        .json("apply/v1");
    assert_eq!(document["no_op"], true);
    assert_eq!(document["serial"], 1);
    project.edit("orders.yaml", "title: Orders", "title: All orders");
    project.apply("prose").with(0).contains("nothing to do");
    assert_eq!(project.history().len(), 1);
}

#[test]
fn a_dry_run_writes_nothing() {
    let project = Project::new();
    let document = project
        .run(&["apply", "--dry-run", "--format", "json"])
        .with(0)
        .json("apply/v1");
    assert_eq!(document["result"], "changes");
    assert_eq!(document["plan"]["schema"], "plan/v1");
    assert!(!project.file("releases").exists());
}

#[test]
fn apply_with_a_differing_plan_file_is_refused() {
    let project = Project::released();
    project.change("6s");
    let with = |plan: &str| project.run(&["apply", plan, "--key", "keys/release.pem", "--yes"]);
    project.run(&["plan", "-o", "plan.json"]).with(0);
    let plan: Value = serde_json::from_str(&project.read("plan.json")).unwrap();

    // Remove the changes from the plan file.
    let mut less = plan.clone();
    less["changes"].as_array_mut().unwrap().clear();
    project.write("less.json", less.to_string());
    with("less.json")
        .with(3)
        .contains("does not match the current changes");
    let mut ungated = plan.clone();
    ungated["gates"] = json!([]);
    project.write("ungated.json", ungated.to_string());
    with("ungated.json").with(3).contains("gates");
    let mut other = plan;
    other["base"]["record"] = json!("sha256:00");
    project.write("other.json", other.to_string());
    with("other.json").with(3);

    // Change the sources after the plan was made.
    project.change("8s");
    with("plan.json").with(3).contains("these sources build");
    project.change("6s");

    // Unreadable plan files are refused.
    with("missing.json").with(65);
    project.write("garbled.json", b"{\"schema\": \"plan/v1\", ");
    with("garbled.json").with(65);
    project.write("binary.json", [0u8, 255, 3]);
    with("binary.json").with(65);
    project.write("wrong.json", "{\"schema\": \"lint/v1\"}");
    with("wrong.json").with(65);
    assert_eq!(project.history().len(), 1);

    with("plan.json").with(0).contains("serial 2");
    // Apply the plan a second time: the channel has moved.
    let stale = project.run(&[
        "apply",
        "plan.json",
        "--key",
        "keys/release.pem",
        "--yes",
        "--format",
        "json",
    ]);
    let failure = stale.with(3).json("error/v1");
    assert_eq!(failure["error"]["code"], "stale");
    assert_eq!(failure["error"]["exit"], 3);
}

#[test]
fn gate_blocks_apply_until_acknowledged() {
    let project = Project::released();
    project.edit(
        "orders.yaml",
        "operationId: listOrders,",
        "operationId: listOrders, security: [], x-gateway: {public: true},",
    );
    let blocked = project
        .apply("open")
        .with(1)
        .contains("SECURITY")
        .contains("weaken");
    assert!(blocked.err.contains("gate-tripped"), "{}", blocked.err);
    assert_eq!(project.history().len(), 1);
    let ended = project.run(&["plan", "--format", "json"]).with(1);
    let plan = ended.json("plan/v1");
    let by = plan["gates"][0]["by"][0].as_str().unwrap().to_owned();
    project
        .run(&[
            "apply",
            "--key",
            "keys/release.pem",
            "--yes",
            "--ack",
            &format!("{by}=meant"),
            "--reason",
            "meant",
        ])
        .with(0);
}

#[test]
fn keys_that_gateways_would_refuse_publish_nothing() {
    let project = Project::new();
    project.edit("gateway.yaml", "gates: [weaken]\n", "");
    project.apply("first").with(0);
    project.change("6s");
    let other = Project::new();
    let strange = other.file("keys/release.pem");
    project
        .run(&["apply", "--key", strange.to_str().unwrap(), "--yes"])
        .with(4)
        .contains("unknown-key");
    project.run(&["keygen", "ci", "--roles", "build"]).with(0);
    project
        .run(&["apply", "--key", "keys/ci.pem", "--yes"])
        .with(4)
        .contains("wrong-role")
        .contains("of ci: roles build, from ");
    project
        .run(&["keygen", "old", "--roles", "build,release"])
        .with(0);
    let trust = project.read("trust.json");
    let mut ended: Value = serde_json::from_str(&trust).unwrap();
    let old = ended["keys"].as_array_mut().unwrap().last_mut().unwrap();
    old["not_before"] = "2020-01-01T00:00:00Z".into();
    old["not_after"] = "2021-01-01T00:00:00Z".into();
    project.write("trust.json", ended.to_string());
    project
        .run(&["apply", "--key", "keys/old.pem", "--yes"])
        .with(4)
        .contains("key-expired")
        .contains(
            "of old: roles build and release, from 2020-01-01T00:00:00Z to 2021-01-01T00:00:00Z",
        );
    project.write("trust.json", trust);
    project
        .run(&["keygen", "rita", "--roles", "release"])
        .with(0);
    project
        .run(&["apply", "--key", "keys/rita.pem", "--yes"])
        .with(4)
        .contains("--build-key");
    project
        .run(&[
            "keygen",
            "far",
            "--roles",
            "release,build",
            "--channels",
            "staging",
        ])
        .with(0);
    project
        .run(&["apply", "--key", "keys/far.pem", "--yes"])
        .with(4)
        .contains("wrong-channel");
    assert_eq!(project.history().len(), 1);
    project
        .run(&[
            "apply",
            "--key",
            "keys/rita.pem",
            "--build-key",
            "keys/ci.pem",
            "--yes",
        ])
        .with(0);
    assert_eq!(project.history().len(), 2);
}

#[test]
fn separate_build_and_release_keys_release() {
    let project = Project::bare();
    project.run(&["keygen", "ci", "--roles", "build"]).with(0);
    project
        .run(&["keygen", "rita", "--roles", "release"])
        .with(0);
    let id = project.build();
    project.run(&["sign", &id, "--key", "keys/ci.pem"]).with(0);
    project
        .run(&["apply", "--key", "keys/rita.pem", "--yes"])
        .with(0);
}

#[test]
fn trust_file_of_another_project_is_refused() {
    let project = Project::new();
    project.edit("trust.json", "\"shop\"", "\"bank\"");
    project.apply("first").with(4).contains("wrong-project");
}

#[test]
fn record_has_the_git_state_of_the_sources() {
    let project = Project::new();
    project.write(".gitignore", "*.pem\n/releases/\n");
    let git = |args: &[&str]| {
        let output = std::process::Command::new("git")
            .args(["-c", "user.name=T", "-c", "user.email=t@example.org"])
            .args(args)
            .current_dir(project.path())
            .output()
            .expect("git is there");
        assert!(output.status.success(), "git {args:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    git(&["init", "-q"]);
    git(&["add", "-A"]);
    git(&["commit", "-qm", "one"]);
    project.apply("clean").with(0);
    project.change("6s");
    project.apply("dirty").with(0);
    let history = project.run(&["history", "--format", "json"]).with(0);
    let history = history.json("history/v1");
    let (new, old) = (&history["records"][0]["git"], &history["records"][1]["git"]);
    assert_eq!(old["commit"], git(&["rev-parse", "HEAD"]).as_str());
    assert_eq!(old["tree"], git(&["rev-parse", "HEAD^{tree}"]).as_str());
    assert_eq!(
        (&old["dirty"], &new["dirty"]),
        (&json!(false), &json!(true))
    );
}

#[test]
fn edited_plan_file_is_refused_with_the_difference() {
    let project = Project::released();
    project.change("6s");
    project.run(&["plan", "-o", "plan.json"]).with(0);
    let plan: Value = serde_json::from_str(&project.read("plan.json")).unwrap();
    let fingerprint = plan["changes"][0]["fingerprint"]
        .as_str()
        .unwrap()
        .to_owned();
    let with = |edit: &dyn Fn(&mut Value)| {
        let mut edited = plan.clone();
        edit(&mut edited);
        project.write("edited.json", edited.to_string());
        project.run(&["apply", "edited.json", "--key", "keys/release.pem", "--yes"])
    };
    with(&|plan| plan["changes"][0]["new"] = "5s".into())
        .with(3)
        .contains(&format!("differs from the sources in {fingerprint}"));
    with(&|plan| drop(plan["changes"].as_array_mut().unwrap().remove(0)))
        .with(3)
        .contains(&format!(
            "{fingerprint} would happen and is not in the plan"
        ));
    with(&|plan| {
        let mut more = plan["changes"][0].clone();
        more["fingerprint"] = "000000000000".into();
        plan["changes"].as_array_mut().unwrap().push(more);
    })
    .with(3)
    .contains("the sources would not cause 000000000000");
    with(&|plan| plan["counts"]["relax"] = 0.into())
        .with(3)
        .contains("`counts`");
    with(&|plan| plan["no_op"] = true.into())
        .with(3)
        .contains("`no_op`");
    with(&|plan| plan["base"]["serial"] = 7.into())
        .with(3)
        .contains("starts from serial 7 of channel prod, which is at serial 1 now");
    with(&|plan| plan["base"]["record"] = format!("sha256:{}", "0".repeat(64)).into())
        .with(3)
        .contains("differs from the record");
    with(&|plan| plan["base"]["channel"] = "staging".into())
        .with(3)
        .contains("for channel staging, but this command would move channel prod");
    with(&|plan| plan["environment"] = "test".into()).with(64);
    // `gwc apply` ignores acknowledgements in a plan file and evaluates them again; the order of
    // changes is irrelevant.
    with(&|plan| plan["changes"].as_array_mut().unwrap().reverse())
        .with(0)
        .contains("serial 2");
}

#[test]
fn acknowledgements_of_a_plan_file_must_be_repeated() {
    let project = Project::released();
    project.edit(
        "orders.yaml",
        "operationId: listOrders,",
        "operationId: listOrders, security: [], x-gateway: {public: true},",
    );
    let plan = project
        .run(&["plan", "--format", "json"])
        .with(1)
        .json("plan/v1");
    let by = plan["gates"][0]["by"][0].as_str().unwrap().to_owned();
    let ack = format!("{by}=reviewed");
    project
        .run(&["plan", "-o", "plan.json", "--ack", &ack])
        .with(0);
    let apply = |more: &[&str]| {
        project.run(
            &[
                &["apply", "plan.json", "--key", "keys/release.pem", "--yes"],
                more,
            ]
            .concat(),
        )
    };
    apply(&[])
        .with(1)
        .contains("the acknowledgements in the plan file are ignored")
        .contains("gate-tripped");
    assert_eq!(project.history().len(), 1);
    apply(&["--ack", &ack]).with(0);
}

#[test]
fn plan_against_a_bundle_cannot_be_applied() {
    let project = Project::released();
    let id = project.build();
    project.change("6s");
    project
        .run(&["plan", "--against", &id, "-o", "plan.json"])
        .with(0);
    project
        .run(&["apply", "plan.json", "--key", "keys/release.pem", "--yes"])
        .with(3)
        .contains("not with a channel");
    assert_eq!(project.history().len(), 1);
}

#[test]
fn apply_with_other_gates_than_its_plan_is_refused() {
    let project = Project::released();
    project.change("6s");
    project
        .run(&["plan", "--gate", "relax", "-o", "plan.json"])
        .with(1);
    let apply = |plan: &str, more: &[&str]| {
        project.run(&[&["apply", plan, "--key", "keys/release.pem", "--yes"], more].concat())
    };
    apply("plan.json", &[])
        .with(3)
        .contains("made with gates that are not on now: relax")
        .contains("`--gate relax`");
    apply("plan.json", &["--gate", "relax"])
        .with(1)
        .contains("relax (");
    // The blocking gates in a plan file must match its changes. Otherwise, the file was edited.
    let plan: Value = serde_json::from_str(&project.read("plan.json")).unwrap();
    let with = |edit: &dyn Fn(&mut Value)| {
        let mut edited = plan.clone();
        edit(&mut edited);
        project.write("edited.json", edited.to_string());
        apply("edited.json", &["--gate", "relax"])
    };
    assert_eq!(plan["gates"][1]["name"], "relax");
    with(&|plan| plan["gates"] = json!([]))
        .with(3)
        .contains("without the gates that are on now: relax,rules,weaken");
    with(&|plan| plan["gates"][1]["tripped"] = false.into())
        .with(3)
        .contains("the gate relax in the plan does not follow");
    with(&|plan| plan["gates"][1]["by"] = json!([]))
        .with(3)
        .contains("the gate relax in the plan does not follow");
    with(&|plan| {
        plan["gates"][0]["tripped"] = true.into();
        plan["gates"][0]["by"] = plan["gates"][1]["by"].clone();
    })
    .with(3)
    .contains("the gate weaken in the plan does not follow");
    assert_eq!(project.history().len(), 1);
    project.apply("without").with(0);
}

#[test]
fn comment_that_moves_a_change_keeps_its_plan_valid() {
    let project = Project::released();
    project.change("6s");
    project.edit(
        "orders.yaml",
        "operationId: getOrder,",
        "operationId: getOrder, x-gateway: {timeout: 1s},",
    );
    project.run(&["plan", "-o", "plan.json"]).with(0);
    for file in ["orders.yaml", "gateway.yaml"] {
        let text = project.read(file);
        project.write(file, format!("# read me first\n{text}"));
    }
    project
        .run(&["apply", "plan.json", "--key", "keys/release.pem", "--yes"])
        .with(0)
        .contains("serial 2");
}

/// The sources are those of the running version.
#[test]
fn withdrawal_needs_no_other_change() {
    let project = Project::released();
    let first = project.history()[0].1.clone();
    project.change("6s");
    project.apply("second").with(0);
    let key = ["--key", "keys/release.pem", "--yes"];
    let withdraw = [&["apply", "--withdraw", &first], &key[..]].concat();
    project.run(&withdraw).with(0);
    assert_eq!(project.history().len(), 3);
    let newest = project.run(&["history", "--format", "json"]).with(0);
    let newest = newest.json("history/v1")["records"][0].clone();
    assert_eq!(newest["withdraw"][0], first.as_str());
    project.run(&withdraw).with(0).contains("nothing to do");
    assert_eq!(project.history().len(), 3);
}
