//! Sources whose bytes in the work tree differ from their blobs in Git, by attributes that a pull
//! request sets.

use std::fs;

use crate::git::{commit, committed, git};
use crate::project::Project;

const PLAN: [&str; 3] = ["plan", "--against", "git:main"];

/// Checks out the files again, so that Git converts them.
fn checkout(project: &Project, file: &str) {
    fs::remove_file(project.file(file)).expect("it is there");
    git(project.path(), &["checkout", "--", file]);
    assert_eq!(git(project.path(), &["status", "--short"]), "");
}

#[track_caller]
fn assert_refused(project: &Project, attribute: &str) {
    for arguments in [
        &PLAN[..],
        &["plan", "--against", "git:main", "--base", "git:main"],
        &["diff", "git:main", "."],
        &["diff", ".", "git:main"],
        &["lint", "--base", "git:main"],
        &["build", "--base", "git:main"],
    ] {
        project
            .run(arguments)
            .with(65)
            .contains("`orders.yaml` differs from its content in Git")
            .contains(attribute);
    }
    project.run(&["lint"]);
}

#[test]
fn source_with_an_expanded_id_is_refused() {
    let project = committed();
    git(project.path(), &["checkout", "-qb", "theirs"]);
    project.edit(
        "orders.yaml",
        "{operationId: listOrders,",
        "{operationId: listOrders, x-rev: \"$Id$\",",
    );
    project.write(".gitattributes", "orders.yaml ident\n");
    commit(&project, "theirs");
    checkout(&project, "orders.yaml");
    assert!(project.read("orders.yaml").contains("$Id: "));
    assert_refused(&project, "attribute `ident`");
    // Without an id in the file, the attribute changes nothing.
    project.edit("orders.yaml", "$Id: ", "$No: ");
    commit(&project, "no id");
    checkout(&project, "orders.yaml");
    project.run(&PLAN).with(0);
}

#[test]
fn source_in_another_encoding_is_refused() {
    let project = committed();
    git(project.path(), &["checkout", "-qb", "theirs"]);
    // `¥` of Git is `\` in the work tree, and escapes the quote after it.
    let text = project.read("orders.yaml").replace(
        "{operationId: listOrders,",
        "{x-a: \"\\\", security: [], x-b: \", operationId: listOrders,",
    );
    project.write("orders.yaml", &text);
    let encoding = "orders.yaml working-tree-encoding=SHIFT_JISX0213\n";
    project.write(".gitattributes", encoding);
    commit(&project, "theirs");
    checkout(&project, "orders.yaml");
    let blob = git(project.path(), &["show", "HEAD:orders.yaml"]);
    assert!(blob.contains('¥'), "{blob}");
    assert_refused(&project, "attribute `working-tree-encoding`");
}

#[test]
fn filtered_source_is_refused() {
    let project = committed();
    for (kind, with) in [("clean", "s/FINE/fine/"), ("smudge", "s/fine/FINE/")] {
        let filter = format!("sed {with}");
        git(
            project.path(),
            &["config", &format!("filter.x.{kind}"), &filter],
        );
    }
    project.write(".gitattributes", "orders.yaml filter=x\n");
    commit(&project, "filter");
    checkout(&project, "orders.yaml");
    assert!(project.read("orders.yaml").contains("FINE"));
    assert_refused(&project, "attribute `filter`");
}

#[test]
fn assumed_unchanged_source_is_refused() {
    for flag in ["assume-unchanged", "skip-worktree"] {
        let project = committed();
        project.edit("orders.yaml", "description: fine", "description: good");
        project.run(&PLAN).with(0);
        git(
            project.path(),
            &["update-index", &format!("--{flag}"), "orders.yaml"],
        );
        assert_refused(&project, "--no-assume-unchanged");
    }
}

#[test]
fn source_with_windows_line_ends_is_compared() {
    let project = committed();
    for attributes in ["* text eol=crlf\n", "* text=auto eol=crlf\n"] {
        project.write(".gitattributes", attributes);
        commit(&project, "line ends");
        for file in ["orders.yaml", "gateway.yaml"] {
            checkout(&project, file);
            assert!(project.read(file).contains("\r\n"));
        }
        project.run(&PLAN).with(0);
        project.run(&["lint", "--base", "git:main"]).with(0);
        project
            .run(&["diff", "git:main:orders.yaml", "orders.yaml"])
            .with(0);
    }
}
