//! Symbolic links in revisions: gwc resolves them as a file system does in a checkout.

use std::fs;
use std::os::unix::fs::symlink;

use crate::git::{commit, committed, git};

#[test]
fn dot_dot_behind_a_link_is_resolved_as_on_disk() {
    let project = committed();
    let closed = project.read("orders.yaml");
    let open = closed.replace(
        "{operationId: listOrders,",
        "{operationId: listOrders, security: [], x-gateway: {public: true},",
    );
    fs::create_dir_all(project.file("deep/folder")).expect("there is room");
    project.write("deep/folder/keep", "");
    project.write("deep/real.yaml", &closed);
    project.write("real.yaml", &open);
    fs::remove_file(project.file("orders.yaml")).expect("it is there");
    // Without following `x`, `x/..` would be the project's folder, whose `real.yaml` is open.
    symlink("deep/folder", project.file("x")).expect("there is room");
    symlink("x/../real.yaml", project.file("orders.yaml")).expect("there is room");
    commit(&project, "links");
    project
        .run(&["diff", "git:main", ".", "--fail-on", "any"])
        .with(0);
    git(project.path(), &["checkout", "-qb", "theirs"]);
    project.write("deep/real.yaml", &open);
    commit(&project, "theirs");
    project
        .run(&["plan", "--against", "git:main"])
        .with(1)
        .contains("weaken");
}
