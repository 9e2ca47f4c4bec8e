//! Tests of properties that every command must have.

use serde_json::Value;

use crate::project::Project;

/// Names of the commands in the output of `gwc --help`.
fn commands(project: &Project) -> Vec<String> {
    let overview = project.run(&["--help"]).with(0).out;
    let list = overview.split("Commands:\n").nth(1).expect("a list");
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next());
    let names = names.filter(|name| *name != "help");
    names.map(str::to_owned).collect()
}

#[test]
fn reasons_of_errors_are_explained() {
    let project = Project::bare();
    let page = project.run(&["explain", "errors"]).with(0).out;
    for line in [
        "  rate_limited               429  a `rate_limit` is reached",
        "  no_route                   404  no operation has this path",
    ] {
        assert!(page.lines().any(|own| own == line), "{page}");
    }
    let one = project.run(&["explain", "no_route"]).with(0).out;
    assert!(one.contains("`errors` of gateway.yaml can set"), "{one}");
    let all = project.run(&["explain", "errors", "--format", "json"]);
    let all = all.with(0).json("explain/v1");
    assert!(all["reasons"].as_array().is_some_and(|all| all.len() > 50));
    project
        .run(&["explain", "rate_limitted"])
        .with(64)
        .contains("did you mean `rate_limited`?");
}

#[test]
fn kinds_of_changes_are_explained() {
    let project = Project::bare();
    let page = project.run(&["explain", "operation-exposed"]).with(0).out;
    assert!(page.contains("Requests that were not served"), "{page}");
    assert!(page.contains("in the section SECURITY of plans"), "{page}");
    let json = project.run(&["explain", "limit-split", "--format", "json"]);
    assert_eq!(json.with(0).json("explain/v1")["section"], "policy");
}

#[test]
fn every_command_explains_itself() {
    let project = Project::bare();
    let commands = commands(&project);
    assert!(commands.len() > 20, "{commands:?}");
    for command in &commands {
        let ended = project.run(&[command, "--help"]).with(0);
        assert!(
            ended.out.contains("Example") || command == "trust",
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
fn every_command_has_a_manual_page() {
    let project = Project::empty();
    project.run(&["man", "--folder", "pages/man1"]).with(0);
    let text = project.read("pages/man1/gwc-plan.1");
    assert!(text.starts_with(".ie") || text.starts_with(".TH"), "{text}");
    assert!(text.contains(".SH OPTIONS"), "{text}");
    assert_eq!(project.run(&["man", "plan"]).with(0).out, text);
    for command in commands(&project) {
        assert!(
            project
                .file(&format!("pages/man1/gwc-{command}.1"))
                .exists()
        );
    }
    for page in ["gwc.1", "gwc-trust-floor.1"] {
        assert!(
            project.file(&format!("pages/man1/{page}")).exists(),
            "{page}"
        );
    }
    project.run(&["man", "plam"]).with(64).contains("--help");
}

#[test]
fn commands_outside_a_project_name_gateway_yaml() {
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
            .contains("gateway.yaml");
    }
}

#[test]
fn commands_without_a_store_are_refused() {
    let project = Project::new();
    project.run(&["history"]).with(69);
    project
        .run(&["rollback", "--key", "keys/release.pem", "--yes"])
        .with(69);
    // Port 9 (discard) of this machine has no registry.
    project
        .run(&["build", "--store", "oci://127.0.0.1:9/shop"])
        .with(69)
        .contains("oci://127.0.0.1:9/shop");
    // If the store cannot be reached, its revocation list is unknown. The command then fails,
    // instead of accepting the keys with a warning.
    let released = Project::released();
    let ended = released.run(&["history", "--store", "oci://127.0.0.1:9/shop"]);
    let ended = ended.with(69);
    assert!(!ended.err.contains("warning"), "{}", ended.err);
    // A folder with other content is not accepted as a store.
    std::fs::create_dir(project.file("busy")).unwrap();
    project.write("busy/letter.txt", "dear");
    project.run(&["build", "--store", "busy"]).with(4);
}

#[test]
fn short_beginning_of_an_id_is_refused() {
    let project = Project::new();
    project.build();
    project
        .run(&["inspect", "abc"])
        .with(64)
        .contains("at least");
}

/// Commands without a report in JSON, each with the reason.
const WITHOUT_JSON: [(&str, &str); 5] = [
    ("strip", "prints the public document, in YAML or JSON"),
    ("completions", "prints a script for a shell"),
    ("man", "prints or writes manual pages"),
    ("lsp", "speaks the language server protocol"),
    (
        "watch",
        "is for people; scripts run `lint` and `plan` after a save (docs/watch.md)",
    ),
];

#[test]
fn every_command_writes_json() {
    let project = Project::released();
    let id = project.build();
    let credential = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let key = ["--key", "keys/release.pem"];
    let signed = |arguments: &[&'static str]| [arguments, &key[..], &["--yes"]].concat();
    project.write("access.log", "");
    let runs: [Vec<&str>; 31] = [
        vec!["schema"],
        vec!["init"],
        vec!["keygen", "second"],
        vec!["lint"],
        vec!["explain", "GW0101"],
        vec!["rules"],
        vec!["build"],
        vec!["plan"],
        vec!["diff", ".", "."],
        vec!["changelog", ".", "."],
        vec!["replay", "access.log", "--old", "."],
        vec!["sign", &id, "--key", "keys/release.pem"],
        vec!["verify", &id],
        vec!["inspect", &id],
        signed(&["approve"]),
        signed(&["apply"]),
        signed(&["promote"]),
        signed(&["abort"]),
        vec!["release", "status"],
        signed(&["rollback"]),
        vec!["history"],
        vec!["status"],
        vec!["drift", "--node", "unix:/none.sock"],
        signed(&["revoke", "--credential", credential]),
        vec!["push", "copy"],
        vec!["pull", "copy"],
        vec!["gc"],
        vec!["trust", "floor"],
        vec!["trust", "approvals", "0"],
        vec!["route", "GET", "http://127.0.0.1/none"],
        vec!["test"],
    ];
    for command in commands(&project) {
        let is_run = runs.iter().any(|run| run[0] == command);
        let is_exempt = WITHOUT_JSON.iter().any(|(name, _)| *name == command);
        assert!(is_run != is_exempt, "{command}");
    }
    for run in runs {
        let ended = project.run(&[&run[..], &["--format", "json"]].concat());
        let value: Value = serde_json::from_str(&ended.out)
            .unwrap_or_else(|error| panic!("{run:?}: {error}: {} {}", ended.out, ended.err));
        let schema = value["schema"].as_str().unwrap_or_default();
        let value = ended.json(schema);
        // If `drift` or a similar command fails, the document contains `error` in addition to the
        // responses of reachable gateways.
        let is_error = value["result"] == "error";
        assert_eq!(is_error, value["error"].is_object(), "{run:?}: {value}");
    }
}
