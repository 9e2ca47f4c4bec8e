//! Patterns in `.gitignore` and `.gitattributes` that take exponential time to match.

use std::time::{Duration, Instant};

use crate::git::{commit, committed, git};
use crate::project::Project;

/// Maximum time of a command. gwc stops after 10 s of matching.
const ENDS_IN: Duration = Duration::from_secs(60);

/// Pattern that matches no name of letters `a`, after a number of attempts that is exponential in
/// its length.
fn pattern() -> String {
    format!("{}*b", "*a".repeat(25))
}

/// Adds a file with a long name, to which the document refers.
fn with_long_name() -> (Project, String) {
    let project = committed();
    git(project.path(), &["checkout", "-qb", "theirs"]);
    let name = format!("{}.yaml", "a".repeat(120));
    project.write(&name, "a: {type: string}\n");
    let text = project.read("orders.yaml").replacen(
        "description: fine",
        &format!(
            "description: fine, content: {{application/json: {{schema: {{$ref: \"{name}#/a\"}}}}}}"
        ),
        1,
    );
    project.write("orders.yaml", text);
    (project, name)
}

#[test]
fn ignore_rule_with_many_wildcards_is_refused() {
    let (project, name) = with_long_name();
    project.write(".gitignore", format!("*.pem\n{}\n", pattern()));
    git(project.path(), &["add", "-f", "."]);
    git(project.path(), &["commit", "-qm", "theirs"]);
    // Without `--base`, ignore rules do not matter for tracked files.
    project.run(&["lint"]).with(0);
    let start = Instant::now();
    project
        .run(&["lint", "--base", "git:main", "--format", "concise"])
        .with(1)
        .contains(&name)
        .contains("`.gitignore:2`");
    git(project.path(), &["rm", "-q", "--cached", &name]);
    project
        .run(&["lint", "--format", "concise"])
        .with(1)
        .contains("`.gitignore:2`");
    assert!(start.elapsed() < ENDS_IN, "{:?}", start.elapsed());
}

#[test]
fn attribute_with_many_wildcards_ends() {
    let (project, name) = with_long_name();
    commit(&project, "theirs");
    project.write(".gitattributes", format!("{} ident\n", pattern()));
    git(project.path(), &["add", "-A"]);
    git(project.path(), &["commit", "-qm", "attributes"]);
    // The file differs from its blob, so that its attributes decide.
    project.write(&name, "a: {type: number}\n");
    let start = Instant::now();
    let ended = project.run(&["plan", "--against", "git:main"]);
    assert!(start.elapsed() < ENDS_IN, "{:?}", start.elapsed());
    ended.with(65).contains("take more than");
}
