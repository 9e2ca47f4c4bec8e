//! `gwc keygen`.

use std::os::unix::fs::PermissionsExt as _;

use crate::project::Project;

#[test]
fn keygen_writes_a_key_pair_and_a_trust_entry() {
    let project = Project::bare();
    let ended = project
        .run(&["keygen", "ci", "--roles", "build", "--format", "json"])
        .with(0)
        .contains("Never commit `keys/ci.pem`");
    let document = ended.json("keygen/v1");
    assert_eq!(document["roles"], serde_json::json!(["build"]));
    let mode = |name| {
        let data = std::fs::metadata(project.file(name)).unwrap();
        data.permissions().mode() & 0o777
    };
    assert_eq!(mode("keys/ci.pem"), 0o600);
    let private = project.read("keys/ci.pem");
    assert!(private.starts_with("-----BEGIN PRIVATE KEY-----\n"));
    assert!(!ended.out.contains("PRIVATE KEY") && !ended.err.contains("PRIVATE KEY"));
    assert!(
        project
            .read("keys/ci.pub.pem")
            .starts_with("-----BEGIN PUBLIC KEY-----\n")
    );
    let trust: serde_json::Value = serde_json::from_str(&project.read("trust.json")).unwrap();
    assert_eq!(trust["project"], "shop");
    assert_eq!(trust["keys"][0]["id"], document["id"]);
    assert_eq!(trust["keys"][0]["owner"], "ci");

    project
        .run(&[
            "keygen",
            "rita",
            "--roles",
            "release,revoke",
            "--channels",
            "prod",
        ])
        .with(0);
    let trust: serde_json::Value = serde_json::from_str(&project.read("trust.json")).unwrap();
    assert_eq!(trust["keys"].as_array().unwrap().len(), 2);
    assert_eq!(trust["keys"][1]["channels"], serde_json::json!(["prod"]));
}

#[test]
fn end_of_a_key_is_printed_and_reported_in_time() {
    let project = Project::released();
    let ended = project.run(&["keygen", "long", "--days", "400"]).with(0);
    let trust: serde_json::Value = serde_json::from_str(&project.read("trust.json")).unwrap();
    let mut keys = trust["keys"].as_array().unwrap().iter();
    let long = keys.find(|key| key["owner"] == "long").unwrap();
    let day = &long["not_after"].as_str().unwrap()[..10];
    assert!(
        ended.out.contains(&format!("expires {day}")),
        "{}",
        ended.out
    );
    let soon = ["keygen", "soon", "--days", "10", "--format", "json"];
    let document = project.run(&soon).with(0).json("keygen/v1");
    assert!(document["not_after"].is_string(), "{document}");

    project.run(&["status"]).contains("of `soon` expires in");
    let status = project.run(&["status", "--format", "json"]);
    assert!(!status.err.contains("`long`"), "{}", status.err);
    let ending = status.json("fleet/v1")["keys_ending"].clone();
    assert_eq!(ending.as_array().map(Vec::len), Some(1), "{ending}");
    assert_eq!(ending[0]["owner"], "soon");
    assert_eq!(ending[0]["id"], document["id"]);
}

#[test]
fn keygen_overwrites_no_key() {
    let project = Project::new();
    let (key, trust) = (project.read("keys/release.pem"), project.read("trust.json"));
    project
        .run(&["keygen", "release"])
        .with(64)
        .contains("never overwrites");
    assert_eq!(project.read("keys/release.pem"), key);
    assert_eq!(project.read("trust.json"), trust);
}

#[test]
fn keygen_with_invalid_input_writes_nothing() {
    let project = Project::bare();
    for name in ["../evil", "a/b", "", "A b"] {
        project.run(&["keygen", name]).with(64);
    }
    project.run(&["keygen", "x", "--roles", "king"]).with(64);
    project.run(&["keygen", "x", "--days", "0"]).with(64);
    project.write("trust.json", b"\0\xff garbage");
    project
        .run(&["keygen", "x"])
        .with(65)
        .contains("trust file");
    assert!(!project.file("keys").exists(), "nothing was half done");
    let nowhere = tempfile::tempdir().unwrap();
    crate::project::run(crate::project::command(nowhere.path()).args(["keygen", "x"])).with(65);
}

#[test]
fn keygen_warns_of_a_key_that_git_does_not_ignore() {
    let project = Project::bare();
    let git = |args: &[&str]| {
        let status = std::process::Command::new("git")
            .args(args)
            .current_dir(project.path())
            .status();
        assert!(status.is_ok_and(|status| status.success()), "git {args:?}");
    };
    git(&["init", "-q"]);
    project
        .run(&["keygen", "one"])
        .with(0)
        .contains("Git does not ignore");
    project.write(".gitignore", "*.pem\n");
    let ended = project.run(&["keygen", "two"]).with(0);
    assert!(!ended.err.contains("Git does not ignore"), "{}", ended.err);
}
