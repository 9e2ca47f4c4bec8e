//! Tests that the recipes of docs/ci.md for GitLab and for any shell run as they are written, in a
//! clone with the remote `origin`.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::git::{commit, committed, git};
use crate::project::{Ended, Project};

/// Text of a section of the page.
fn section(title: &str) -> String {
    let path = format!("{}/../docs/ci.md", env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(path).expect("the page is there");
    let after = page.split_once(&format!("\n## {title}\n"));
    let (_, after) = after.expect("the section is there");
    let text = after.split("\n## ").next().unwrap_or_default();
    text.to_owned()
}

/// Script of the recipe for any shell.
fn of_shell() -> String {
    let text = section("Any shell");
    let block = text.split("```sh\n").nth(1).expect("a script");
    block.split("```").next().unwrap_or_default().to_owned()
}

/// Lines of `script` of the recipe for GitLab. Its runners end a job at the first command that
/// fails.
fn of_gitlab() -> String {
    let text = section("GitLab");
    let (_, script) = text.split_once("  script:\n").expect("a script");
    let lines = script.lines().map_while(|line| line.strip_prefix("    - "));
    format!("set -e\n{}\n", lines.collect::<Vec<_>>().join("\n"))
}

/// Creates a project on the branch `change` of a clone, with the remote `origin`.
fn clone(origin: &Path) -> Project {
    let project = committed();
    let origin = origin.to_str().expect("UTF-8");
    git(project.path(), &["init", "-q", "--bare", origin]);
    git(project.path(), &["remote", "add", "origin", origin]);
    git(project.path(), &["push", "-q", "origin", "main"]);
    git(project.path(), &["checkout", "-qb", "change"]);
    project
}

/// Runs a script in the project, with the `gwc` of this build.
fn run(project: &Project, script: &str) -> Ended {
    let program = Path::new(env!("CARGO_BIN_EXE_gwc"));
    let folder = program.parent().expect("a folder").display();
    let known = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("sh")
        .args(["-c", script])
        .current_dir(project.path())
        .env("PATH", format!("{folder}:{known}"))
        .env("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "main")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("TMPDIR", project.path().join(".git"))
        .output()
        .expect("sh is there");
    Ended {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Edits of the fixture, with the exit code and true if the recipe gets to the plan: a harmless edit,
/// one that a gate stops, and a mistake.
const EDITS: [(&str, &str, i32, bool); 3] = [
    (
        "operationId: getOrder,",
        "operationId: getOrder, summary: One order,",
        0,
        true,
    ),
    (
        "operationId: getOrder,",
        "operationId: getOrder, security: [], x-gateway: {public: true},",
        1,
        true,
    ),
    (
        "operationId: getOrder,",
        "operationId: listOrders,",
        1,
        false,
    ),
];

#[test]
fn shell_recipe_writes_the_plan() {
    for (from, to, code, has_plan) in EDITS {
        let origin = tempfile::tempdir().expect("a folder");
        let project = clone(origin.path());
        project.edit("orders.yaml", from, to);
        commit(&project, "change");
        let ended = run(&project, &of_shell()).with(code);
        let plan = ended
            .out
            .lines()
            .find_map(|line| line.strip_prefix("plan: "));
        match has_plan {
            false => assert_eq!(plan, None, "{}", ended.out),
            true => {
                let html = fs::read_to_string(plan.expect("a path")).expect("the plan");
                assert!(html.contains("getOrder"), "{html}");
            }
        }
    }
}

#[test]
fn gitlab_recipe_writes_its_reports() {
    for (from, to, code, has_plan) in EDITS {
        let origin = tempfile::tempdir().expect("a folder");
        let project = clone(origin.path());
        project.edit("orders.yaml", from, to);
        commit(&project, "change");
        run(&project, &of_gitlab()).with(code);
        let findings = project.read("gl-code-quality-report.json");
        let findings: serde_json::Value = serde_json::from_str(&findings).expect("JSON");
        let is_wrong = findings.as_array().is_some_and(|all| !all.is_empty());
        assert_eq!(is_wrong, !has_plan, "{findings}");
        let has = |name: &str| project.path().join(name).exists();
        assert_eq!([has("tests.xml"), has("plan.html")], [has_plan; 2]);
    }
}
