//! `gwc rollback` and `gwc trust floor`.

use crate::project::Project;

fn back(project: &Project, more: &[&str]) -> crate::project::Ended {
    let mut arguments = vec!["rollback", "--key", "keys/release.pem", "--yes"];
    arguments.extend(more);
    project.run(&arguments)
}

/// Creates a project with three releases a, b and c. Returns their bundle ids.
fn three() -> (Project, [String; 3]) {
    let project = Project::released();
    project.change("6s");
    project.apply("b").with(0);
    project.change("7s");
    project.apply("c").with(0);
    let history = project.history();
    let ids = [2, 1, 0].map(|at: usize| history[at].1.clone());
    (project, ids)
}

#[test]
fn rollback_goes_back_one_version_each_time() {
    let (project, [a, b, _]) = three();
    let document = back(&project, &["--format", "json", "--reason", "slow"])
        .with(0)
        .json("rollback/v1");
    assert_eq!(
        (&document["serial"], &document["bundle"]),
        (&4.into(), &b.as_str().into())
    );
    back(&project, &[]).with(0).contains("serial 5");
    let history = project.history();
    assert_eq!(history[0], (5, a));
    back(&project, &[])
        .with(65)
        .contains("so there is no earlier one");
}

#[test]
fn rollback_by_steps_and_by_id() {
    let (project, [a, b, c]) = three();
    back(&project, &["-2"]).with(0);
    assert_eq!(project.history()[0].1, a);
    back(&project, &[&c[7..19]]).with(0);
    assert_eq!(project.history()[0].1, c);
    back(&project, &[&b]).with(0);
    back(&project, &[&b]).with(0).contains("nothing to do");
    assert_eq!(project.history().len(), 6);
    back(&project, &["ffffff"]).with(65);
    back(&project, &["-0"]).with(64);
    back(&project, &["nonsense"]).with(64);
    project
        .run(&["rollback", "--key", "keys/release.pem"])
        .with(64)
        .contains("--yes");
}

#[test]
fn rollback_works_with_broken_documents() {
    let (project, _) = three();
    project.write("orders.yaml", b"\xff\0");
    project.edit("gateway.yaml", "kind: rate_limit", "kind: rate_limti");
    back(&project, &[]).with(0);
}

#[test]
fn rollback_works_with_a_damaged_running_bundle() {
    let (project, [_, b, c]) = three();
    let inspected = project.run(&["inspect", &c, "--format", "json"]).with(0);
    let shared = inspected.json("inspect/v1")["layers"][0]["digest"].clone();
    let hex = shared.as_str().unwrap().replace("sha256:", "");
    project.write(&format!("releases/blobs/sha256/{hex}"), "garbage");
    back(&project, &[]).with(0).contains("there is no plan");
    assert_eq!(project.history()[0].1, b);
}

#[test]
fn rollback_counts_readmitted_credentials() {
    let project = Project::released();
    let sha = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let other = sha.replace('9', "1");
    project.edit("gateway.yaml", sha, &other);
    let plan = project.run(&["plan", "--format", "json"]);
    let acks: Vec<String> = plan.json("plan/v1")["changes"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|change| {
            [
                "--ack".to_owned(),
                format!("{}=meant", change["fingerprint"].as_str().unwrap()),
            ]
        })
        .collect();
    let mut arguments = vec!["apply", "--key", "keys/release.pem", "--yes"];
    arguments.extend(acks.iter().map(String::as_str));
    project.run(&arguments).with(0);
    project
        .run(&[
            "revoke",
            "--credential",
            &"ab".repeat(32),
            "--key",
            "keys/release.pem",
            "--yes",
        ])
        .with(0);
    let ended = back(&project, &[]).with(0);
    assert!(
        ended
            .out
            .contains("1 credential withdrawn since would be admitted again"),
        "{}",
        ended.out
    );
    assert!(
        ended
            .out
            .contains(&format!("gwc revoke --credential {sha}")),
        "{}",
        ended.out
    );
}

#[test]
fn record_has_withdrawn_bundle_and_end_of_rollback() {
    let (project, _) = three();
    let left = project.history()[0].1.clone();
    back(&project, &["-1", "--withdraw", "ffffff"]).with(65);
    back(&project, &["-1", "--expires", "0s"])
        .with(64)
        .contains("less than a second");
    back(&project, &["-1", "--reason", &"x".repeat(1_001)])
        .with(64)
        .contains("longer than 1000 characters");
    let target = project.history()[1].1.clone();
    back(&project, &["-1", "--withdraw", &target])
        .with(64)
        .contains("name an earlier bundle");
    back(&project, &["-1", "--withdraw", &left, "--expires", "2d"]).with(0);
    let document = project.run(&["history", "--format", "json"]).with(0);
    let record = &document.json("history/v1")["records"][0];
    assert_eq!(record["withdraw"], serde_json::json!([left]));
    let moment = |name: &str| record[name].as_str().unwrap().to_owned();
    assert_eq!(
        moment("expires")[11..],
        moment("created")[11..],
        "two days on"
    );
    assert_ne!(moment("expires"), moment("created"));
    project
        .run(&["history"])
        .with(0)
        .contains(&format!("withdraws {}", &left[7..19]));
}

#[test]
fn missing_store_is_not_recreated_below_the_floor() {
    let (project, _) = three();
    project.run(&["trust", "floor"]).with(0);
    std::fs::rename(project.file("releases"), project.file("away")).unwrap();
    project
        .apply("again")
        .with(4)
        .contains("below-floor")
        .contains("that it is mounted");
    assert!(!project.file("releases").exists(), "nothing was made");
    project.run(&["plan"]).with(4).contains("below-floor");
}

#[test]
fn store_that_hides_records_is_not_compared() {
    let (project, _) = three();
    project.run(&["trust", "floor"]).with(0);
    let channel = project.file("releases/channels/prod");
    let mut records: Vec<_> = std::fs::read_dir(&channel)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    records.sort();
    // Remove the newest record from the store, then all other records.
    for hidden in [&records[2..], &records[..2]] {
        for record in hidden {
            std::fs::remove_file(record).unwrap();
        }
        for refused in [project.run(&["plan"]), project.apply("again")] {
            refused.with(4).contains("below-floor");
        }
        for shown in [project.run(&["history"]), project.run(&["status"])] {
            shown.with(0).contains("had record 3");
        }
        let has_records = std::fs::read_dir(&channel).unwrap().next().is_some();
        if has_records {
            back(&project, &["-1"]).with(4).contains("below-floor");
        }
    }
}

#[test]
fn raised_threshold_holds_from_the_next_record() {
    let project = Project::new();
    project.edit("gateway.yaml", "gates: [weaken]\n", "");
    project.apply("first").with(0);
    project.run(&["keygen", "second"]).with(0);
    project.edit("trust.json", "\"release\": 1", "\"release\": 2");
    project
        .run(&["history"])
        .with(0)
        .contains("signature: below-threshold");
    project.change("6s");
    project.apply("by one").with(4).contains("below-threshold");
    let both = [
        "apply",
        "--key",
        "keys/release.pem",
        "--key",
        "keys/second.pem",
        "--yes",
    ];
    // The store cannot tell this record from one that gateways refused: an operator accepts it.
    let refused = project.run(&both).with(4);
    refused.contains("`gwc trust floor --accept-head` accepts them");
    project.run(&["trust", "floor"]).with(4);
    project.run(&["trust", "floor", "--accept-head"]).with(0);
    project.run(&both).with(0).contains("serial 2");
}

#[test]
fn a_revoked_target_is_refused() {
    let (project, [a, ..]) = three();
    project
        .run(&[
            "revoke",
            &a,
            "--key",
            "keys/release.pem",
            "--reason",
            "leak",
            "--yes",
        ])
        .with(0);
    back(&project, &[&a]).with(4).contains("revoked");
    project.run(&["history"]).with(0).contains("REVOKED");
}

#[test]
fn floors_only_rise() {
    let (project, _) = three();
    let document = project
        .run(&["trust", "floor", "--format", "json"])
        .with(0)
        .json("trust-floor/v1");
    assert_eq!(
        (&document["min_serial"], &document["changed"]),
        (&3.into(), &true.into())
    );
    project.edit("trust.json", "\"min_serial\": 3", "\"min_serial\": 9");
    let document = project
        .run(&["trust", "floor", "--format", "json"])
        .with(0)
        .json("trust-floor/v1");
    assert_eq!(
        (&document["min_serial"], &document["changed"]),
        (&9.into(), &false.into())
    );
}

#[test]
fn floors_of_zero_are_written_once() {
    let project = Project::new();
    project.apply("first").with(0);
    project.edit("gateway.yaml", "channel: prod", "channel: next");
    let floor = || {
        let ended = project.run(&["trust", "floor", "--format", "json"]);
        ended.with(0).json("trust-floor/v1")
    };
    let first = floor();
    let numbers = (&first["min_serial"], &first["min_revocations"]);
    assert_eq!(numbers, (&0.into(), &0.into()));
    assert_eq!(first["changed"], true);
    let text = std::fs::read_to_string(project.file("trust.json")).unwrap();
    assert!(text.contains("\"next\""), "{text}");
    assert_eq!(floor()["changed"], false);
}

#[test]
fn plan_without_source_artifacts_lists_them_missing() {
    let (project, _) = three();
    // Remove the source artifacts from the store, but not bundles and records.
    let mut gone = 0;
    for entry in std::fs::read_dir(project.file("releases/blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        if bytes.starts_with(b"{\"version\":4,\"files\"") {
            std::fs::remove_file(&path).unwrap();
            gone += 1;
        }
    }
    assert_eq!(gone, 3);
    let ended = back(&project, &["--format", "json"]).with(0);
    let document = ended.json("rollback/v1");
    let plan = &document["plan"];
    assert_eq!(plan["missing"], serde_json::json!(["source"]));
    assert!(!plan["changes"].as_array().unwrap().is_empty());
    assert!(plan["changes"][0]["source"]["old"].is_null());
    assert_eq!(plan["changes"][0]["class"], "tighten");
}

/// An added API with `paths: {}` receives the requests below its mount, which the other API
/// received before. The reverse comparison, as for a rollback, removes the added API.
#[test]
fn api_without_operations_is_added_and_removed() {
    let project = Project::bare();
    let document = |paths: &str| {
        format!("openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\npaths: {paths}\n")
    };
    for (folder, second) in [
        ("one", ""),
        ("two", ", a: {path: a.yaml, mount: {base_path: /a}}"),
    ] {
        let gateway = format!(
            "version: 1\nname: s\napis: {{b: {{path: b.yaml, unmatched: u}}{second}}}\n\
             upstreams: {{u: {{targets: {{a: {{url: \"http://127.0.0.1:9000\"}}}}}}}}\n\
             defaults: {{upstream: u, security: upstream}}\n"
        );
        std::fs::create_dir(project.file(folder)).expect("there is room");
        project.write(&format!("{folder}/gateway.yaml"), &gateway);
        let operation = "{/x: {get: {responses: {\"200\": {description: fine}}}}}";
        project.write(&format!("{folder}/b.yaml"), document(operation));
        project.write(&format!("{folder}/a.yaml"), document("{}"));
    }
    for sides in [["one", "two"], ["two", "one"]] {
        let ended = project.run(&["diff", sides[0], sides[1]]).with(0);
        assert!(ended.out.contains("b#unmatched"), "{ended:?}");
    }
}

#[test]
fn bundle_that_was_never_released_is_no_target() {
    let (project, [_, b, _]) = three();
    project.change("8s");
    let id = project.build();
    project
        .run(&["sign", &id, "--key", "keys/release.pem"])
        .with(0);
    back(&project, &[&id])
        .with(65)
        .contains("channel prod never had bundle");
    let then = format!("rollback:{id}");
    let revoke = ["revoke", &project.history()[0].1, "--then", &then];
    project
        .run(&[&revoke[..], &["--key", "keys/release.pem", "--yes"]].concat())
        .with(65)
        .contains("never had bundle");
    assert_eq!(project.history().len(), 3);
    back(&project, &[&b]).with(0);
}

#[test]
fn rules_stay_after_a_rollback() {
    let project = Project::new();
    project.edit("gateway.yaml", "gates: [weaken]\n", "");
    project.apply("first").with(0);
    let without = project.read("gateway.yaml");
    project.write(
        "gateway.yaml",
        format!("{without}gates: [weaken, expose]\n"),
    );
    project.change("6s");
    project.apply("gates").with(0);
    back(&project, &[]).with(0);
    project.write("gateway.yaml", without);
    project.edit(
        "orders.yaml",
        "operationId: listOrders,",
        "operationId: listOrders, security: [], x-gateway: {public: true},",
    );
    for ended in [project.apply("open"), project.run(&["plan"])] {
        ended.with(1).contains("gate-removed");
    }
    assert_eq!(project.history().len(), 3);
}
