//! `gwc revoke`.

use bundle::store::folder::Folder;
use bundle::store::{Chain, Store as _};

use crate::project::Project;

#[test]
fn what_runs_needs_a_way_out() {
    let project = Project::released();
    let first = project.history()[0].1.clone();
    project.change("6s");
    project.apply("second").with(0);
    let head = project.history()[0].1.clone();
    let key = ["--key", "keys/release.pem", "--reason", "leak"];
    let run = |more: &[&str]| {
        let mut arguments = vec!["revoke"];
        arguments.extend(more);
        arguments.extend(key);
        project.run(&arguments)
    };
    run(&[&head]).with(64).says("--then rollback:");
    run(&[&head, "--then", "later"]).with(64);
    run(&[&head, "--then", "rollback:-1"])
        .with(64)
        .says("--yes");
    run(&[&head, "--then", &format!("rollback:{head}"), "--yes"]).with(64);
    assert_eq!(project.history().len(), 2);
    let document = run(&[&head, "--then", "rollback:-1", "--yes", "--format", "json"])
        .with(0)
        .json("revoke/v1");
    assert_eq!(
        (&document["list"], &document["serial"]),
        (&1.into(), &3.into())
    );
    assert_eq!(project.history()[0].1, first);
    project.apply("again").with(4).says("revoked");
}

#[test]
fn a_stolen_signing_key_counts_no_more() {
    let project = Project::new();
    project
        .run(&["keygen", "second", "--owner", "second"])
        .with(0);
    project
        .run(&[
            "apply",
            "--key",
            "keys/second.pem",
            "--yes",
            "--reason",
            "first",
        ])
        .with(0);
    project.change("6s");
    project.apply("by the thief").with(0);
    let trust: serde_json::Value = serde_json::from_str(&project.read("trust.json")).unwrap();
    let id = |at: usize| trust["keys"][at]["id"].as_str().unwrap().to_owned();
    let run = |stolen: &str, by: &str| {
        let key = format!("keys/{by}.pem");
        project.run(&["revoke", "--signing-key", stolen, "--key", &key])
    };
    run("nonsense", "second").with(64).says("64 lower-case");
    run(&"0".repeat(64), "second").with(64).says("no key");
    run(&id(0), "release").with(4).says("revoked");
    run(&id(0), "second")
        .with(0)
        .says("goes back from serial 2 to serial 1")
        .says("revocation list 1");
    project.apply("again").with(4).says("revoked");
    let history = project.run(&["history"]).with(0).out;
    assert!(!history.contains("by the thief"), "{history}");
    // The way back: a record above the thief's, by a key that still counts.
    project
        .run(&[
            "apply",
            "--key",
            "keys/second.pem",
            "--yes",
            "--reason",
            "ours",
        ])
        .with(0)
        .says("serial 3");
}

#[test]
fn credentials_by_their_hash_only() {
    let project = Project::released();
    let run =
        |text: &str| project.run(&["revoke", "--credential", text, "--key", "keys/release.pem"]);
    let failed = run("my-secret-token").with(64);
    assert!(!failed.err.contains("my-secret-token"), "{}", failed.err);
    run(&"ab".repeat(32))
        .with(0)
        .says("no consumer of what channel prod runs")
        .says("revocation list 1");
    run(&"cd".repeat(32)).with(0).says("revocation list 2");
    project
        .run(&["revoke", "--key", "keys/release.pem"])
        .with(64);
    project.run(&["keygen", "ci", "--roles", "build"]).with(0);
    project
        .run(&[
            "revoke",
            "--credential",
            &"ef".repeat(32),
            "--key",
            "keys/ci.pem",
        ])
        .with(4)
        .says("role `revoke`");
}

#[test]
fn record_after_a_revocation_names_the_newest_list() {
    let project = Project::released();
    let hash = "ab".repeat(32);
    let key = ["--key", "keys/release.pem", "--reason", "leak"];
    let arguments = ["revoke", "--credential", &hash];
    project.run(&[&arguments[..], &key].concat()).with(0);
    project
        .apply("nothing new")
        .with(0)
        .says("nothing to do")
        .says("names revocation list 0, the store has list 1");
    let named = |project: &Project| {
        let store = Folder::open(&project.file("releases")).unwrap();
        let chain = Chain::Channel("prod".parse().unwrap());
        let newest = *store.serials(&chain).unwrap().last().unwrap();
        let digest = store.link(&chain, newest).unwrap().unwrap();
        let record = bundle::channel::read(&store, &digest).unwrap().record;
        record.revocations.map_or(0, |list| list.serial)
    };
    assert_eq!(named(&project), 0);
    project.change("6s");
    project.apply("the next").with(0);
    assert_eq!(named(&project), 1);
    let back = ["rollback", "-1", "--yes"];
    project.run(&[&back[..], &key].concat()).with(0);
    assert_eq!(named(&project), 1);
}
