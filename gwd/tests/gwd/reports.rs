//! Reports of gwd's commands: their JSON form, and output pipes without a reader.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::fixture::*;
use crate::world::{Process, World};

/// Commands without `--format`, each with the reason.
const WITHOUT_JSON: [(&str, &str); 3] = [
    (
        "run",
        "prints no report; `--log-format json` sets the form of its log",
    ),
    ("completions", "prints a script for a shell"),
    ("man", "prints or writes manual pages"),
];

/// Names of the commands in the output of `gwd --help`.
fn commands() -> Vec<String> {
    let output = program(&["--help"]).output().unwrap();
    let overview = String::from_utf8(output.stdout).unwrap();
    let list = overview.split("Commands:\n").nth(1).expect("a list");
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next());
    let names = names.filter(|name| *name != "help");
    names.map(str::to_owned).collect()
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gwd"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Creates a command that asks a running gwd.
fn to(running: &Process, world: &World, arguments: &[&str]) -> Command {
    let mut command = program(arguments);
    command
        .args(["--admin", &running.admin.to_string()])
        .arg("--admin-token-file")
        .arg(world.path("token"));
    command
}

/// Creates the command `gwd check` for a node without a state folder.
fn check(world: &World) -> Command {
    let mut command = program(&["check", "--store"]);
    command
        .arg(world.path("store"))
        .arg("--trust")
        .arg(world.path("trust.json"))
        .arg("--state")
        .arg(world.path("no-state"));
    command
}

/// Parses the report of a command, which succeeded, as one JSON document.
#[track_caller]
fn document(command: &mut Command) -> Value {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{command:?}: {text}{error}");
    let value: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{command:?}: {error}: {text}"));
    assert!(value.is_object(), "{command:?}: {value}");
    value
}

#[test]
fn every_command_with_a_report_writes_json() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let (gwd, one, two) = world.two_versions(&upstream);
    let id = two.to_string();
    let runs: [&[&str]; 9] = [
        &["status"],
        &["versions"],
        &["validation", "log", "--reason", "test"],
        &["validation", "restore"],
        &["rollback", "-1"],
        &["activate", &id],
        &["resume"],
        &["tail", "--count", "1"],
        &["drain"],
    ];
    for command in commands() {
        let is_run = command == "check" || runs.iter().any(|run| run[0] == command);
        let is_exempt = WITHOUT_JSON.iter().any(|(name, _)| *name == command);
        assert!(is_run != is_exempt, "{command}");
    }
    assert_eq!(
        document(check(&world).args(["--format", "json"]))["bundle"],
        id
    );
    for run in runs {
        let mut command = to(&gwd, &world, run);
        command.args(["--format", "json"]);
        if run[0] == "tail" {
            // One line is one document. The request must not end before the command is connected,
            // so that requests are sent until the command has its line.
            let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
            eventually("a line of `gwd tail`", || {
                assert_eq!(get(gwd.public(), "/a").status, 200);
                child.try_wait().unwrap().is_some()
            });
            let line = child.wait_with_output().unwrap().stdout;
            assert_eq!(
                serde_json::from_slice::<Value>(&line).unwrap()["path"],
                "/a"
            );
            continue;
        }
        let report = document(&mut command);
        if run[0] == "rollback" {
            assert_eq!(report["bundle"], one.to_string());
        }
    }
}

/// Runs a command whose output pipe has no reader.
fn without_reader(command: &mut Command) -> Output {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let child = command.stdout(writer).stderr(Stdio::piped()).spawn();
    child.unwrap().wait_with_output().unwrap()
}

#[test]
fn closed_output_pipe_is_no_error() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let (gwd, ..) = world.two_versions(&upstream);
    for mut command in [
        check(&world),
        to(&gwd, &world, &["status"]),
        to(&gwd, &world, &["versions"]),
        program(&["--help"]),
        program(&["completions", "bash"]),
        program(&["man"]),
    ] {
        let ended = without_reader(&mut command);
        let error = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(error, "", "{command:?}");
        assert_eq!(ended.status.code(), Some(0), "{command:?}");
    }
}
