//! Tests that commands in messages can be run exactly as printed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::project::{Ended, Project, command, copy, run};

/// Runs a printed command line in a shell in this folder. `--yes` is added in place of an answer to
/// the prompt.
fn paste(folder: &Path, line: &str) -> Ended {
    let program = Path::new(env!("CARGO_BIN_EXE_gwc"));
    let path = format!(
        "{}:{}",
        program.parent().expect("it has a folder").display(),
        std::env::var("PATH").unwrap_or_default()
    );
    run(Command::new("sh")
        .args(["-c", line])
        .current_dir(folder)
        .env("PATH", path)
        .env("GWC_ACTOR", "tester")
        .env("NO_COLOR", "1"))
}

/// Creates a project with its own store and channel in a folder whose name contains a space.
/// Commands run in the parent folder.
fn elsewhere() -> Project {
    let outer = Project::empty();
    let shop = Project::new();
    copy(shop.path(), &outer.file("my shop"));
    fs::rename(outer.file("my shop/keys"), outer.file("the keys")).expect("there is room");
    outer
}

/// Releases the project with every option set, and returns the output.
fn apply(outer: &Project, timeout: &str) -> Ended {
    let gateway = outer.read("my shop/gateway.yaml");
    let at = gateway.find("timeout: ").expect("there is one");
    let end = gateway[at..].find('}').expect("it ends") + at;
    outer.write(
        "my shop/gateway.yaml",
        format!("{}timeout: {timeout}{}", &gateway[..at], &gateway[end..]),
    );
    let words = [
        "--project",
        "my shop",
        "apply",
        "--key",
        "the keys/release.pem",
        "--store",
        "a store",
        "--channel",
        "test",
        "--yes",
        "--reason",
        "x",
    ];
    run(command(outer.path()).args(words)).with(0)
}

/// Collects the commands in backticks from the code of all Rust files below a folder, without
/// comments. The value is the path of a file that contains the command.
fn printed(folder: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            printed(&path, found);
            continue;
        }
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("it can be read");
        let lines = text.lines().map(str::trim_start);
        let code: Vec<&str> = lines.filter(|line| !line.starts_with("//")).collect();
        // Join string literals that continue on the next line after a backslash.
        let code = code.join("\n").replace("\\\n", "");
        let commands = code.split("`gwc ").skip(1);
        let commands = commands.filter_map(|rest| rest.split_once('`'));
        for (command, _) in commands {
            found.insert(command.to_owned(), path.display().to_string());
        }
    }
}

#[test]
fn printed_commands_have_known_options() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeMap::new();
    printed(&root.join("src"), &mut found);
    printed(&root.join("../gwd/src"), &mut found);
    let mut helps: BTreeMap<Vec<&str>, Ended> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut count = 0;
    for (line, file) in &found {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_part = |c: char| c.is_ascii_lowercase() || c == '-';
        let is_name = |word: &&&str| !word.starts_with('-') && word.chars().all(is_part);
        let depth = if words.first() == Some(&"trust") {
            2
        } else {
            1
        };
        let names: Vec<&str> = words
            .iter()
            .take(depth)
            .take_while(is_name)
            .copied()
            .collect();
        if names.is_empty() {
            continue;
        }
        count += 1;
        let help = helps
            .entry(names.clone())
            .or_insert_with(|| run(command(root).args(&names).arg("--help")));
        if help.code != 0 {
            wrong.push(format!("{file}: `gwc {line}`: there is no such command"));
            continue;
        }
        if line.contains('…') {
            wrong.push(format!("{file}: `gwc {line}` cannot be pasted"));
        }
        let options = words.iter().filter(|word| word.starts_with("--"));
        for option in options {
            let option = option.split('=').next().unwrap_or(option);
            let mut known = help.out.split([' ', '\n', '[', ',']);
            if !known.any(|word| word == option) {
                wrong.push(format!("{file}: `gwc {line}`: there is no {option}"));
            }
        }
    }
    assert!(count > 30, "{count} commands");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn apply_without_nodes_says_that_none_was_queried() {
    let outer = elsewhere();
    let applied = apply(&outer, "6s");
    assert!(
        applied.out.contains("no gateway was queried"),
        "{}",
        applied.out
    );
}

#[test]
fn printed_rollback_runs_as_it_is() {
    let outer = elsewhere();
    apply(&outer, "6s");
    let applied = apply(&outer, "7s");
    let line = applied
        .out
        .lines()
        .find_map(|line| line.strip_prefix("rollback ready: "));
    let (line, _) = line
        .expect("it is printed")
        .split_once("   (to ")
        .expect("it ends");
    paste(outer.path(), &format!("{line} --yes"))
        .with(0)
        .contains("serial 3");
    // Run the command that `gwc history` printed inside the project's folder.
    let inside = outer.file("my shop");
    fs::rename(outer.file("the keys"), inside.join("keys")).expect("there is room");
    let history = ["history", "--store", "../a store", "--channel", "test"];
    apply_inside(&inside);
    let applied = run(command(&inside).args(history)).with(0).out;
    let line = applied
        .lines()
        .find_map(|line| line.split_once("  (gwc "))
        .expect("a way back")
        .1;
    let line = line.strip_suffix(')').expect("it ends");
    paste(&inside, &format!("gwc {line} --yes"))
        .with(0)
        .contains("serial 5");
}

/// Releases a fourth version from inside the project's folder.
fn apply_inside(folder: &Path) {
    let gateway = fs::read_to_string(folder.join("gateway.yaml")).expect("it is there");
    fs::write(folder.join("gateway.yaml"), gateway.replace("7s", "8s")).expect("there is room");
    let words = [
        "apply",
        "--key",
        "keys/release.pem",
        "--store",
        "../a store",
        "--channel",
        "test",
        "--yes",
        "--reason",
        "x",
    ];
    run(command(folder).args(words)).with(0);
}

#[test]
fn printed_revocation_runs_as_it_is() {
    let project = Project::released();
    project.edit("gateway.yaml", "9f86d081884c7d65", "aaaad081884c7d65");
    project.apply("another credential").with(0);
    let back = [
        "rollback",
        "--key",
        "keys/release.pem",
        "--yes",
        "--reason",
        "x",
    ];
    let output = project.run(&back).with(0).out;
    let line = output
        .lines()
        .find(|line| line.contains("gwc revoke --credential"));
    let line = line.expect("it is printed").trim();
    // The command prompts, and a test has no terminal.
    paste(project.path(), &format!("{line} --yes"))
        .with(0)
        .contains("revocation list 1 is published");
}

#[test]
fn first_steps_that_init_prints_work() {
    let folder = tempfile::tempdir().expect("there is room");
    let output = run(command(folder.path()).args(["init", "it's a shop"]))
        .with(0)
        .out;
    let (_, steps) = output.split_once("Next:\n").expect("steps");
    let (release, serve) = steps.split_once("  gwd run ").expect("gwd is started");
    let script = format!(
        "set -e\n{}",
        release.replace("gwc apply ", "gwc apply --yes ")
    );
    let ended = paste(folder.path(), &script).with(0).contains("serial 1");
    assert!(ended.out.contains("min_serial"), "a floor: {}", ended.out);
    let project = folder.path().join("it's a shop");
    for file in ["releases", "trust.json"] {
        assert!(serve.contains(file), "{serve}");
        assert!(project.join(file).exists(), "{file}");
    }
    let request = serve.lines().last().expect("a request");
    assert_eq!(request, "  curl -i http://127.0.0.1:8080/greetings");
}

#[test]
fn lint_warns_of_a_signing_key_that_ends() {
    let project = Project::new();
    project.run(&["lint"]).with(0).contains("no findings");
    let mut trust: serde_json::Value =
        serde_json::from_str(&project.read("trust.json")).expect("JSON");
    let end = trust["keys"][0]["not_after"]
        .as_str()
        .expect("a moment")
        .to_owned();
    trust["keys"][0]["not_before"] = "2020-01-01T00:00:00Z".into();
    trust["keys"][0]["not_after"] = "2020-02-01T00:00:00Z".into();
    project.write("trust.json", trust.to_string());
    project
        .run(&["lint", "--format", "concise"])
        .with(0)
        .contains("GW0544")
        .contains("of `release` has expired (2020-02-01)");
    // `gwc build` does not depend on the clock.
    let ended = project.run(&["build"]).with(0);
    assert!(!ended.err.contains("warning"), "{ended:?}");
    trust["keys"][0]["not_after"] = end.into();
    project.write("trust.json", trust.to_string());
    project.run(&["lint"]).with(0).contains("no findings");
}
