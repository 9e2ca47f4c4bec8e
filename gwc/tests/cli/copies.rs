//! `gwc push` and `gwc pull` between stores in folders.

use crate::project::Project;

fn exists(project: &Project, path: &str) -> bool {
    project.file(path).exists()
}

#[test]
fn pushed_store_is_equal_and_can_be_pulled() {
    let project = Project::released();
    project.change("6s");
    project.apply("second").with(0);
    let pushed = project.run(&["push", "mirror", "usb", "--format", "json"]);
    let pushed = pushed.with(0).json("push/v1");
    assert_eq!(pushed["to"].as_array().map(Vec::len), Some(2));
    assert_eq!(pushed["to"][0]["links"], 2);
    assert_eq!(pushed["to"][0]["bundles"], 2);
    let history = project.history();
    let again = project.run(&["push", "mirror"]).with(0);
    again.contains("has everything already");
    // The copy has all records, and each bundle verifies.
    let listed = project.run(&["history", "--store", "mirror", "--format", "json"]);
    let listed = listed.with(0).json("history/v1");
    assert_eq!(
        listed["records"].as_array().map(Vec::len),
        Some(history.len())
    );
    for (_, id) in &history {
        project.run(&["verify", id, "--store", "mirror"]).with(0);
    }
    std::fs::remove_dir_all(project.file("releases")).unwrap();
    let pulled = project.run(&["pull", "nowhere", "usb", "--format", "json"]);
    let pulled = pulled.with(0);
    assert!(pulled.err.contains("warning"), "{}", pulled.err);
    let pulled = pulled.json("pull/v1");
    assert_eq!(pulled["from"], "usb");
    assert_eq!(project.history(), history);
    project.run(&["status"]).with(0);
}

#[test]
fn a_fork_is_not_overwritten() {
    let project = Project::released();
    project.run(&["push", "mirror"]).with(0);
    project.change("6s");
    project.apply("second").with(0);
    let other = [
        "apply",
        "--store",
        "mirror",
        "--key",
        "keys/release.pem",
        "--yes",
    ];
    let reason = ["--reason", "another second"];
    project.run(&[&other[..], &reason].concat()).with(0);
    for command in ["push", "pull"] {
        let ended = project.run(&[command, "mirror"]).with(3);
        assert!(ended.err.contains("serial 2"), "{}", ended.err);
    }
}

#[test]
fn unknown_channels_and_places_are_refused() {
    let project = Project::released();
    let missing = project
        .run(&["push", "mirror", "--channel", "test"])
        .with(65);
    assert!(missing.err.contains("no channel `test`"), "{}", missing.err);
    assert!(!exists(&project, "mirror"));
    project
        .run(&["push", "mirror", "--channel", "prod"])
        .with(0);
    project.run(&["push", "s3://bucket/x"]).with(64);
    project.run(&["push", "oci://registry.example"]).with(64);
    let secret = project
        .run(&["push", "oci://ann:s3cret@registry.example/x"])
        .with(64);
    assert!(!secret.err.contains("s3cret"), "{}", secret.err);
    project.run(&["pull", "nowhere"]).with(69);
    project
        .run(&["gc", "--store", "oci://registry.example/x"])
        .with(64);
}
