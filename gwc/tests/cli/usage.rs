//! Properties of every command.

use crate::project::Project;

const COMMANDS: &[&str] = &[
    "init",
    "keygen",
    "lint",
    "explain",
    "rules",
    "schema",
    "build",
    "plan",
    "sign",
    "verify",
    "inspect",
    "apply",
    "rollback",
    "history",
    "status",
    "drift",
    "revoke",
    "gc",
    "trust",
    "route",
    "completions",
];

#[test]
fn every_command_explains_itself() {
    let project = Project::bare();
    for command in COMMANDS {
        let ended = project.run(&[command, "--help"]).with(0);
        assert!(
            ended.out.contains("Example") || *command == "trust",
            "{command} has no example:\n{}",
            ended.out
        );
        project.run(&[command, "--no-such-option"]).with(64);
    }
    let failed = project
        .run(&["history", "--no-such-option", "--format", "json"])
        .with(64);
    assert_eq!(failed.json("error/v1")["error"]["code"], "usage");
    project.run(&["--version"]).with(0);
}

#[test]
fn outside_a_project() {
    let nowhere = tempfile::tempdir().unwrap();
    for arguments in [
        &["build"][..],
        &["history"],
        &["status"],
        &["apply", "--dry-run"],
    ] {
        let mut command = crate::project::command(nowhere.path());
        crate::project::run(command.args(arguments))
            .with(65)
            .says("gateway.yaml");
    }
}

#[test]
fn without_a_store() {
    let project = Project::new();
    project.run(&["history"]).with(69);
    project
        .run(&["rollback", "--key", "keys/release.pem", "--yes"])
        .with(69);
    project
        .run(&["build", "--store", "oci://registry.example/shop"])
        .with(64)
        .says("registries");
    // A folder that holds something else is not taken for a store.
    std::fs::create_dir(project.file("busy")).unwrap();
    project.write("busy/letter.txt", "dear");
    project.run(&["build", "--store", "busy"]).with(4);
}

#[test]
fn a_beginning_that_several_ids_have() {
    let project = Project::new();
    project.build();
    project.run(&["inspect", "abc"]).with(64).says("at least");
}
