//! Comparisons with `git:REV` in folders that have several names by symbolic links. The author of a
//! pull request replaces the folder that a CI job enters by a link to another project.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::git::git;
use crate::project::{Ended, Project, command, run};

/// Writes the shop project into a folder. With `is_open`, the first operation is public.
fn shop(outer: &Project, folder: &str, is_open: bool) {
    let bare = Project::bare();
    fs::create_dir_all(outer.file(folder)).expect("there is room");
    for file in ["gateway.yaml", "orders.yaml"] {
        fs::copy(bare.file(file), outer.file(folder).join(file)).expect("there is room");
    }
    if is_open {
        outer.edit(
            &format!("{folder}/orders.yaml"),
            "{operationId: listOrders,",
            "{operationId: listOrders, security: [], x-gateway: {public: true},",
        );
    }
}

fn link(outer: &Project, target: &str, path: &str) {
    let path = outer.file(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("there is room");
    symlink(target, path).expect("there is room");
}

fn init(folder: &Path) {
    fs::create_dir_all(folder).expect("there is room");
    git(folder, &["init", "-q", "-b", "main"]);
}

fn commit(folder: &Path) {
    git(folder, &["add", "-A"]);
    git(folder, &["commit", "-qm", "one"]);
}

/// Commits the state of the target branch, and starts the branch of the pull request.
fn propose(folder: &Path) {
    commit(folder);
    git(folder, &["checkout", "-qb", "theirs"]);
}

/// Runs a command in a folder, with and without `PWD`.
fn each_way(folder: &Path, arguments: &[&str]) -> [Ended; 2] {
    let mut with = command(folder);
    let mut without = command(folder);
    [
        run(with.env("PWD", folder).args(arguments)),
        run(without.env_remove("PWD").args(arguments)),
    ]
}

const PLAN: [&str; 3] = ["plan", "--against", "git:main"];

#[track_caller]
fn assert_refused(folder: &Path, arguments: &[&str]) {
    let [with, without] = each_way(folder, arguments);
    without.with(64).contains("write git:main:FOLDER");
    // gwc reads no project over a committed link out of the link's repository.
    match with.code {
        65 => with.contains("a symbolic link"),
        _ => with.with(64).contains("write git:main:FOLDER"),
    };
}

#[test]
fn linked_folder_below_the_project_is_refused() {
    let outer = Project::empty();
    init(outer.path());
    shop(&outer, ".", false);
    shop(&outer, "evil", true);
    for folder in ["ops", "evil/ops"] {
        fs::create_dir_all(outer.file(folder)).expect("there is room");
        outer.write(&format!("{folder}/run.sh"), "x");
    }
    propose(outer.path());
    for ended in each_way(&outer.file("ops"), &PLAN) {
        ended.with(0);
    }
    fs::remove_dir_all(outer.file("ops")).expect("it is there");
    link(&outer, "evil/ops", "ops");
    commit(outer.path());
    assert_refused(&outer.file("ops"), &PLAN);
}

#[test]
fn linked_folder_with_a_relative_path_is_refused() {
    let outer = Project::empty();
    init(outer.path());
    shop(&outer, "gw", false);
    shop(&outer, "evil", true);
    propose(outer.path());
    fs::remove_dir_all(outer.file("gw")).expect("it is there");
    link(&outer, "evil", "gw");
    commit(outer.path());
    for side in ["git:main:./", "git:main:../evil"] {
        assert_refused(&outer.file("gw"), &["plan", "--against", side]);
    }
    let gw = outer.file("gw");
    for ended in each_way(&gw, &["plan", "--against", "git:main:gw"]) {
        ended.with(1).contains("weaken");
    }
}

#[test]
fn links_that_hold_links_are_refused() {
    let outer = Project::empty();
    init(outer.path());
    shop(&outer, "gw/x", false);
    shop(&outer, "evil", true);
    propose(outer.path());
    fs::remove_dir_all(outer.file("gw")).expect("it is there");
    link(&outer, "../evil", "a/x");
    link(&outer, "a", "gw");
    commit(outer.path());
    assert_refused(&outer.file("gw/x"), &PLAN);
    // The number of other links is no way around the check.
    for number in 0..1_001 {
        link(&outer, "../evil", &format!("l/{number}"));
    }
    commit(outer.path());
    assert_refused(&outer.file("gw/x"), &PLAN);
}

#[test]
fn link_over_an_equal_link_is_refused() {
    let outer = Project::empty();
    init(outer.path());
    shop(&outer, "old/gw", false);
    shop(&outer, "new/real", true);
    link(&outer, "real", "new/gw");
    link(&outer, "old", "current");
    propose(outer.path());
    for ended in each_way(
        &outer.file("current/gw"),
        &["plan", "--against", "git:main:old/gw"],
    ) {
        ended.with(0);
    }
    fs::remove_file(outer.file("current")).expect("it is there");
    link(&outer, "new", "current");
    commit(outer.path());
    assert_refused(&outer.file("current/gw"), &PLAN);
}

#[test]
fn link_of_a_submodule_is_refused() {
    let theirs = Project::empty();
    init(theirs.path());
    link(&theirs, "../evil", "gw");
    commit(theirs.path());
    let outer = Project::empty();
    init(outer.path());
    shop(&outer, "svc/gw", false);
    shop(&outer, "evil", true);
    propose(outer.path());
    git(outer.path(), &["rm", "-rqf", "svc"]);
    let from = theirs.path().to_str().expect("a name");
    git(outer.path(), &["submodule", "--quiet", "add", from, "svc"]);
    commit(outer.path());
    assert_refused(&outer.file("svc/gw"), &PLAN);
}

#[test]
fn link_in_place_of_a_submodule_is_refused() {
    let theirs = Project::empty();
    init(theirs.path());
    shop(&theirs, "gw", false);
    commit(theirs.path());
    let outer = Project::empty();
    init(outer.path());
    shop(&outer, "other/gw", true);
    let from = theirs.path().to_str().expect("a name");
    git(outer.path(), &["submodule", "--quiet", "add", from, "svc"]);
    propose(outer.path());
    for ended in each_way(&outer.file("svc/gw"), &PLAN) {
        ended.with(0);
    }
    git(outer.path(), &["rm", "-qf", "svc"]);
    let _ = fs::remove_dir_all(outer.file("svc"));
    link(&outer, "other", "svc");
    commit(outer.path());
    assert_refused(&outer.file("svc/gw"), &PLAN);
}

#[test]
fn link_of_the_outer_repository_is_refused() {
    let theirs = Project::empty();
    init(theirs.path());
    shop(&theirs, "evil", true);
    commit(theirs.path());
    let outer = Project::empty();
    init(outer.path());
    shop(&outer, "gw", false);
    let from = theirs.path().to_str().expect("a name");
    git(outer.path(), &["submodule", "--quiet", "add", from, "sub"]);
    propose(outer.path());
    for target in ["sub/evil", "sub"] {
        git(outer.path(), &["rm", "-rqf", "gw"]);
        let _ = fs::remove_dir_all(outer.file("gw"));
        link(&outer, target, "gw");
        commit(outer.path());
        let entered = if target == "sub" { "gw/evil" } else { "gw" };
        assert_refused(&outer.file(entered), &PLAN);
    }
}

/// Without `PWD` and `--project`, the link is not visible.
#[test]
fn link_into_another_checkout_is_refused() {
    let outer = Project::empty();
    init(&outer.file("infra"));
    shop(&outer, "infra/demo", true);
    commit(&outer.file("infra"));
    init(&outer.file("app"));
    shop(&outer, "app/gw", false);
    propose(&outer.file("app"));
    fs::remove_dir_all(outer.file("app/gw")).expect("it is there");
    link(&outer, "../infra/demo", "app/gw");
    commit(&outer.file("app"));
    let gw = outer.file("app/gw");
    let mut entered = command(&gw);
    let refused = run(entered.env("PWD", &gw).args(PLAN)).with(65);
    refused.contains("a symbolic link");
    let named = ["--project", "gw", "plan", "--against", "git:main"];
    for ended in each_way(&outer.file("app"), &named) {
        ended.with(65).contains("is a symbolic link");
    }
}

#[test]
fn deleted_project_is_not_replaced_by_an_outer_one() {
    let outer = Project::empty();
    init(outer.path());
    shop(&outer, ".", true);
    shop(&outer, "gw", false);
    propose(outer.path());
    fs::remove_file(outer.file("gw/gateway.yaml")).expect("it is there");
    commit(outer.path());
    assert_refused(&outer.file("gw"), &PLAN);
    for ended in each_way(outer.path(), &PLAN) {
        ended.with(0);
    }
}

#[test]
fn links_that_the_revision_has_are_accepted() {
    let outer = Project::empty();
    init(outer.path());
    shop(&outer, "gw", false);
    // `all` leads to its own parent, so that the folder has infinitely many names.
    link(&outer, ".", "all");
    link(&outer, "../gw", "ci/shop");
    propose(outer.path());
    let from = |folder: &str| {
        let mut started = command(&outer.file(folder));
        run(started.env_remove("PWD").args(PLAN))
    };
    for folder in ["gw", "ci/shop", "all/ci/shop", "all/all/gw"] {
        from(folder).with(0);
    }
    // With a new link, one of the infinitely many names may lead elsewhere.
    link(&outer, "../gw", "ci/new");
    commit(outer.path());
    from("gw").with(64).contains("write git:main:FOLDER");
    fs::remove_file(outer.file("all")).expect("it is there");
    commit(outer.path());
    from("gw").with(0);
}

#[test]
fn thousands_of_links_are_checked_at_once() {
    let outer = Project::empty();
    init(outer.path());
    shop(&outer, "gw", false);
    for number in 0..40_000 {
        link(&outer, "../gw", &format!("l/{number}"));
    }
    commit(outer.path());
    let start = Instant::now();
    for ended in each_way(&outer.file("gw"), &PLAN) {
        ended.with(0);
    }
    assert!(
        start.elapsed() < Duration::from_secs(60),
        "{:?}",
        start.elapsed()
    );
    fs::remove_dir_all(outer.file("l")).expect("it is there");
    propose(outer.path());
    git(outer.path(), &["branch", "-f", "main"]);
    for number in 0..40_000 {
        link(&outer, "../gw", &format!("l/{number}"));
    }
    commit(outer.path());
    assert_refused(&outer.file("gw"), &PLAN);
}

#[test]
fn linked_folder_outside_the_repository_is_refused() {
    let secret = Project::empty();
    shop(&secret, "gw", false);
    secret.edit("gw/orders.yaml", "title: Orders", "title: TOPSECRET");
    let outer = Project::empty();
    init(outer.path());
    shop(&outer, "gw", false);
    propose(outer.path());
    fs::remove_dir_all(outer.file("gw")).expect("it is there");
    let target = secret.file("gw");
    symlink(&target, outer.file("gw")).expect("there is room");
    commit(outer.path());
    for arguments in [
        &["lint", "gw"][..],
        &["--project", "gw", "lint"],
        &["--project", "gw", "strip"],
        &["--project", "gw", "build", "--store", "../store"],
        &["diff", "git:main:gw", "gw"],
    ] {
        run(command(outer.path()).args(arguments))
            .with(65)
            .contains("is a symbolic link")
            .lacks("TOPSECRET");
    }
    let gw = outer.file("gw");
    run(command(&gw).env("PWD", &gw).arg("strip"))
        .with(65)
        .contains("a symbolic link")
        .lacks("TOPSECRET");
}
