//! Fixture: a project in a Git repository, for commands that read revisions.

use std::path::Path;
use std::process::Command;

use crate::project::Project;

/// Runs git with a user name and without the user's configuration.
pub(crate) fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=T", "-c", "user.email=t@example.org"])
        .args([
            "-c",
            "protocol.file.allow=always",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("git is there");
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Creates a project that is committed on `main`.
pub(crate) fn committed() -> Project {
    let project = Project::new();
    project.write(".gitignore", "*.pem\n/releases/\n/elsewhere/\n");
    git(project.path(), &["init", "-q", "-b", "main"]);
    commit(&project, "one");
    project
}

/// Commits all files. Returns the commit's id.
pub(crate) fn commit(project: &Project, message: &str) -> String {
    git(project.path(), &["add", "-A"]);
    git(project.path(), &["commit", "-qm", message]);
    git(project.path(), &["rev-parse", "HEAD"])
}
