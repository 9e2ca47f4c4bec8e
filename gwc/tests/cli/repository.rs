//! Git repositories prepared by an attacker: comparisons with `git:REV`, and the Git fields of
//! build statements.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;

use crate::git::{committed, git};
use crate::project::{Ended, Project, command, copy, run};

/// Creates a project in the folder `deploy` of a repository, committed on `main`.
fn in_folder() -> Project {
    let shop = Project::new();
    let outer = Project::empty();
    copy(shop.path(), &outer.file("deploy"));
    outer.write(".gitignore", "*.pem\nreleases/\n");
    git(outer.path(), &["init", "-q", "-b", "main"]);
    commit(outer.path());
    outer
}

fn commit(folder: &Path) -> String {
    git(folder, &["add", "-A"]);
    git(folder, &["commit", "-qm", "one"]);
    git(folder, &["rev-parse", "HEAD"])
}

/// Makes the first operation public.
fn expose_operation(project: &Project, file: &str) {
    project.edit(
        file,
        "{operationId: listOrders,",
        "{operationId: listOrders, security: [], x-gateway: {public: true},",
    );
}

fn against(folder: &Path, revision: &str) -> Ended {
    run(command(folder).args(["plan", "--format", "json", "--against", revision]))
}

/// Checks that the plan reports the operation that became public.
fn assert_exposed(ended: Ended) {
    let plan = ended.with(1).json("plan/v1");
    let changes = plan["changes"].as_array().expect("a list");
    assert!(
        changes
            .iter()
            .any(|change| change["class"] == "weaken" && change["operation"]["id"] == "listOrders"),
        "{plan:#}"
    );
}

/// Commits a bare repository into `deploy`, in whose branch `main` the operation is already public.
fn plant(outer: &Project) -> String {
    let stranger = Project::empty();
    copy(&outer.file("deploy"), stranger.path());
    git(stranger.path(), &["init", "-q", "-b", "main"]);
    git(
        stranger.path(),
        &["add", "gateway.yaml", "orders.yaml", "trust.json"],
    );
    git(stranger.path(), &["commit", "-qm", "theirs"]);
    let theirs = git(stranger.path(), &["rev-parse", "HEAD"]);
    for part in ["HEAD", "objects", "refs", "config", "index"] {
        copy(
            &stranger.file(".git").join(part),
            &outer.file("deploy").join(part),
        );
    }
    outer.write(
        "deploy/config",
        "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tworktree = .\n",
    );
    theirs
}

#[test]
fn plan_with_planted_bare_repository_ignores_it() {
    let outer = in_folder();
    git(outer.path(), &["checkout", "-qb", "theirs"]);
    expose_operation(&outer, "deploy/orders.yaml");
    plant(&outer);
    commit(outer.path());
    assert_exposed(against(&outer.file("deploy"), "git:main"));
}

/// If the project's folder is a link, gwc would read both versions from the link's target.
#[test]
fn plan_of_a_linked_project_folder_is_refused() {
    let outer = in_folder();
    git(outer.path(), &["checkout", "-qb", "theirs"]);
    fs::rename(outer.file("deploy"), outer.file("elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", outer.file("deploy")).unwrap();
    commit(outer.path());
    let linked = outer.file("deploy");
    let named = ["plan", "--project", "deploy", "--against", "git:main"];
    run(command(outer.path()).args(named))
        .with(64)
        .contains("is a symbolic link");
    let mut inside = command(&linked);
    inside
        .env("PWD", &linked)
        .args(["plan", "--against", "git:main"]);
    run(&mut inside).with(64).contains("is a symbolic link");
    against(&outer.file("elsewhere"), "git:main:deploy").with(0);
}

/// A process that starts inside a link without `PWD` cannot know the link.
#[test]
fn plan_in_a_folder_that_became_a_link_is_refused() {
    let outer = in_folder();
    let (deploy, lax) = (outer.file("deploy"), outer.file("lax"));
    fs::create_dir(&lax).unwrap();
    for file in ["gateway.yaml", "orders.yaml"] {
        fs::copy(deploy.join(file), lax.join(file)).unwrap();
    }
    expose_operation(&outer, "lax/orders.yaml");
    git(outer.path(), &["add", "-A"]);
    commit(outer.path());
    fs::remove_dir_all(&deploy).unwrap();
    std::os::unix::fs::symlink("lax", &deploy).unwrap();
    let from = |folder: &Path, side: &str| {
        let mut started = command(folder);
        let plan = ["plan", "--format", "json", "--against", side];
        run(started.env_remove("PWD").args(plan))
    };
    // Only tracked links count.
    from(&deploy, "git:main").with(0);
    git(outer.path(), &["add", "-A"]);
    from(&deploy, "git:main")
        .with(64)
        .contains("the path `deploy` of the repository leads to the project in the folder `lax`");
    from(&lax, "git:main:lax").with(0);
    assert_exposed(from(&deploy, "git:main:deploy"));
}

/// `path` is a tracked path over a link, which another commit lets end at another folder.
#[test]
fn plan_over_a_link_with_another_target_is_refused() {
    for (path, link) in [("current", "current"), ("ci/shop", "ci")] {
        let outer = in_folder();
        let (old, new) = (outer.file("deploy"), outer.file("other/shop"));
        fs::create_dir_all(&new).unwrap();
        for file in ["gateway.yaml", "orders.yaml"] {
            fs::copy(old.join(file), new.join(file)).unwrap();
        }
        expose_operation(&outer, "other/shop/orders.yaml");
        let set = |target: &str| {
            let _ = fs::remove_file(outer.file(link));
            std::os::unix::fs::symlink(target, outer.file(link)).unwrap();
            git(outer.path(), &["add", "-A"]);
        };
        let from = |side: &str| {
            let mut started = command(&outer.file(path));
            let plan = ["plan", "--format", "json", "--against", side];
            run(started.env_remove("PWD").args(plan))
        };
        let nested = path != link;
        fs::create_dir(outer.file("first")).unwrap();
        fs::rename(&old, outer.file("first/shop")).unwrap();
        set(if nested { "first" } else { "first/shop" });
        commit(outer.path());
        // The same link in both versions.
        from("git:main").with(0);
        set(if nested { "other" } else { "other/shop" });
        from("git:main")
            .with(64)
            .contains("but in that revision it leads to the folder `first/shop`");
        assert_exposed(from("git:main:first/shop"));
    }
}

#[test]
fn plan_over_two_links_is_refused() {
    let outer = in_folder();
    let new = outer.file("v2");
    fs::create_dir(&new).unwrap();
    for file in ["gateway.yaml", "orders.yaml"] {
        fs::copy(outer.file("deploy").join(file), new.join(file)).unwrap();
    }
    expose_operation(&outer, "v2/orders.yaml");
    fs::rename(outer.file("deploy"), outer.file("v1")).unwrap();
    let link = |target: &str, path: &str| {
        let path = outer.file(path);
        let _ = fs::remove_file(&path);
        fs::create_dir_all(path.parent().expect("a folder")).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
        git(outer.path(), &["add", "-A"]);
    };
    link("../v1", "d0/shop");
    link("../v2", "d1/shop");
    link("d0", "l1");
    commit(outer.path());
    let plan = || {
        let mut started = command(&outer.file("l1/shop"));
        run(started
            .env_remove("PWD")
            .args(["plan", "--against", "git:main"]))
    };
    plan().with(0);
    link("d1", "l1");
    plan()
        .with(64)
        .contains("but in that revision it leads to the folder `v1`");
}

#[test]
fn record_names_no_commit_of_a_planted_repository() {
    let outer = in_folder();
    outer.edit("deploy/gateway.yaml", "5s", "6s");
    let theirs = plant(&outer);
    let ours = commit(outer.path());
    let deploy = outer.file("deploy");
    let apply = [
        "apply",
        "--yes",
        "--reason",
        "x",
        "--key",
        "keys/release.pem",
    ];
    run(command(&deploy).args(apply)).with(0);
    let history = run(command(&deploy).args(["history", "--format", "json"])).with(0);
    let record = &history.json("history/v1")["records"][0]["git"];
    assert_eq!(record["commit"], ours.as_str());
    assert_ne!(record["commit"], theirs.as_str());
    assert_eq!(record["dirty"], false);
}

#[test]
fn statement_with_assumed_unchanged_file_is_dirty() {
    let outer = in_folder();
    outer.edit("deploy/gateway.yaml", "5s", "6s");
    git(
        outer.path(),
        &["update-index", "--assume-unchanged", "deploy/gateway.yaml"],
    );
    let deploy = outer.file("deploy");
    let apply = [
        "apply",
        "--yes",
        "--reason",
        "x",
        "--key",
        "keys/release.pem",
    ];
    run(command(&deploy).args(apply)).with(0);
    let history = run(command(&deploy).args(["history", "--format", "json"])).with(0);
    let record = &history.json("history/v1")["records"][0]["git"];
    assert_eq!(record["dirty"], true);
}

#[test]
fn statement_with_windows_line_ends_is_clean() {
    let outer = in_folder();
    let deploy = outer.file("deploy");
    git(outer.path(), &["config", "core.autocrlf", "true"]);
    fs::remove_file(deploy.join("orders.yaml")).expect("it is there");
    git(outer.path(), &["checkout", "--", "deploy/orders.yaml"]);
    assert!(outer.read("deploy/orders.yaml").contains("\r\n"));
    let apply = [
        "apply",
        "--yes",
        "--reason",
        "x",
        "--key",
        "keys/release.pem",
    ];
    run(command(&deploy).args(apply)).with(0);
    let history = run(command(&deploy).args(["history", "--format", "json"])).with(0);
    let record = &history.json("history/v1")["records"][0]["git"];
    assert_eq!(record["dirty"], false);
}

#[test]
fn repository_that_lacks_gateway_yaml_is_not_used() {
    let outer = in_folder();
    let deploy = outer.file("deploy");
    git(&deploy, &["init", "-q", "-b", "main"]);
    git(&deploy, &["add", "orders.yaml"]);
    git(&deploy, &["commit", "-qm", "one"]);
    against(&deploy, "git:main")
        .with(65)
        .contains("does not track `gateway.yaml`");
    let apply = [
        "apply",
        "--yes",
        "--reason",
        "x",
        "--key",
        "keys/release.pem",
    ];
    run(command(&deploy).args(apply)).with(0);
    let history = run(command(&deploy).args(["history", "--format", "json"])).with(0);
    let history = history.json("history/v1");
    assert_eq!(history["records"][0]["git"], json!(null));
}

#[test]
fn invalid_dot_git_beside_bare_files_is_an_error() {
    let outer = in_folder();
    expose_operation(&outer, "deploy/orders.yaml");
    plant(&outer);
    fs::create_dir(outer.file("deploy/.git")).expect("there is room");
    against(&outer.file("deploy"), "git:main")
        .with(65)
        .contains("is not a Git repository");
}

#[test]
fn core_worktree_does_not_change_the_compared_project() {
    let outer = in_folder();
    expose_operation(&outer, "deploy/orders.yaml");
    // `core.worktree` leads to a folder with another project.
    let other = Project::new();
    for (key, value) in [
        ("core.worktree", other.path().to_str().expect("a name")),
        ("core.bare", "false"),
    ] {
        git(outer.path(), &["config", key, value]);
    }
    assert_exposed(against(&outer.file("deploy"), "git:main"));
    git(outer.path(), &["config", "--unset", "core.worktree"]);
    git(outer.path(), &["config", "core.bare", "true"]);
    assert_exposed(against(&outer.file("deploy"), "git:main"));
}

#[test]
fn include_path_does_not_change_the_compared_project() {
    let outer = in_folder();
    expose_operation(&outer, "deploy/orders.yaml");
    let other = Project::new();
    outer.write(
        "theirs",
        format!(
            "[core]\n\tworktree = {}\n\tignorecase = true\n",
            other.path().display()
        ),
    );
    let file = outer.file("theirs");
    let file = file.to_str().expect("a name");
    git(outer.path(), &["config", "include.path", file]);
    assert_exposed(against(&outer.file("deploy"), "git:main"));
}

#[test]
fn objects_of_alternates_are_read_and_checked() {
    let outer = in_folder();
    let clone = Project::empty();
    let shared = clone.file("shared");
    git(
        clone.path(),
        &[
            "clone",
            "-q",
            "--shared",
            outer.path().to_str().expect("a name"),
            "shared",
        ],
    );
    assert!(shared.join(".git/objects/info/alternates").exists());
    expose_operation(&clone, "shared/deploy/orders.yaml");
    assert_exposed(against(&shared.join("deploy"), "git:main"));
    // Replace an object in the alternate object store by one with other content.
    let closed = git(outer.path(), &["rev-parse", "main:deploy/orders.yaml"]);
    let open = git(&shared, &["hash-object", "-w", "deploy/orders.yaml"]);
    let path = |folder: &Path, id: &str| folder.join(".git/objects").join(&id[..2]).join(&id[2..]);
    let target = path(outer.path(), &closed);
    fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).expect("it is there");
    fs::copy(path(&shared, &open), &target).expect("both are there");
    let ended = against(&shared.join("deploy"), "git:main");
    assert_ne!(ended.code, 0, "{ended:?}");
    assert!(!ended.out.contains("\"no_op\": true"), "{ended:?}");
}

#[test]
fn replaced_commit_is_compared_as_it_was_made() {
    let outer = in_folder();
    let ours = git(outer.path(), &["rev-parse", "HEAD"]);
    expose_operation(&outer, "deploy/orders.yaml");
    let theirs = commit(outer.path());
    git(outer.path(), &["replace", &ours, &theirs]);
    assert_exposed(against(&outer.file("deploy"), &format!("git:{ours}")));
}

#[test]
fn grafted_history_is_refused() {
    let outer = in_folder();
    expose_operation(&outer, "deploy/orders.yaml");
    let second = commit(outer.path());
    let third = {
        outer.write("note", "x");
        commit(outer.path())
    };
    git(
        outer.path(),
        &["config", "advice.graftFileDeprecated", "false"],
    );
    let grafts = outer.file(".git/info/grafts");
    fs::create_dir_all(grafts.parent().expect("a folder")).expect("there is room");
    fs::write(&grafts, format!("{third} {second}\n")).expect("there is room");
    against(&outer.file("deploy"), "git:HEAD~2")
        .with(65)
        .contains("changes the commit history");
    fs::write(&grafts, "").expect("there is room");
    assert_exposed(against(&outer.file("deploy"), "git:HEAD~2"));
}

#[test]
fn linked_work_tree_is_compared_with_its_own_files() {
    let outer = in_folder();
    git(
        outer.path(),
        &["worktree", "add", "-q", "-b", "next", "linked"],
    );
    let deploy = outer.file("linked/deploy");
    expose_operation(&outer, "linked/deploy/orders.yaml");
    assert_exposed(against(&deploy, "git:main"));
    git(&deploy, &["checkout", "-q", "--", "."]);
    outer.edit("linked/deploy/gateway.yaml", "5s", "6s");
    git(&outer.file("linked"), &["commit", "-qam", "two"]);
    let head = git(&outer.file("linked"), &["rev-parse", "HEAD"]);
    copy(&outer.file("deploy/keys"), &deploy.join("keys"));
    let apply = [
        "apply",
        "--yes",
        "--reason",
        "x",
        "--key",
        "keys/release.pem",
    ];
    run(command(&deploy).args(apply)).with(0);
    let history = run(command(&deploy).args(["history", "--format", "json"])).with(0);
    let record = &history.json("history/v1")["records"][0]["git"];
    assert_eq!(record["commit"], head.as_str());
    assert_eq!(record["dirty"], false);
}

#[test]
fn submodule_is_compared_with_a_note() {
    let shop = Project::new();
    shop.write(".gitignore", "*.pem\nreleases/\n");
    git(shop.path(), &["init", "-q", "-b", "main"]);
    commit(shop.path());
    let outer = Project::empty();
    git(outer.path(), &["init", "-q", "-b", "main"]);
    let from = shop.path().to_str().expect("a name");
    git(
        outer.path(),
        &["submodule", "--quiet", "add", from, "deploy"],
    );
    commit(outer.path());
    expose_operation(&outer, "deploy/orders.yaml");
    let ended = against(&outer.file("deploy"), "git:main");
    let plan = ended.json("plan/v1");
    assert!(
        plan["notes"].to_string().contains("submodule `deploy`"),
        "{plan:#}"
    );
    assert_exposed(ended);
}

/// Files and folders of old revisions are not in a partial clone.
#[test]
fn partial_clone_is_refused_with_advice() {
    for filter in ["--filter=blob:none", "--filter=tree:0"] {
        let project = committed();
        git(
            project.path(),
            &["config", "uploadpack.allowFilter", "true"],
        );
        project.change("7s");
        commit(project.path());
        let copies = Project::empty();
        let url = format!("file://{}", project.path().display());
        git(copies.path(), &["clone", "-q", filter, &url, "partial"]);
        let partial = copies.file("partial");
        let against = ["plan", "--against", "git:HEAD~1"];
        run(command(&partial).args(against))
            .with(65)
            .contains("partial clone")
            .contains("git fetch --refetch --no-filter");
        git(&partial, &["fetch", "-q", "--refetch", "--no-filter"]);
        run(command(&partial).args(against))
            .with(0)
            .contains("timeout");
    }
}

#[test]
fn short_name_of_several_references_is_refused() {
    let outer = in_folder();
    let deploy = outer.file("deploy");
    git(
        outer.path(),
        &["update-ref", "refs/remotes/origin/main", "main"],
    );
    expose_operation(&outer, "deploy/orders.yaml");
    git(outer.path(), &["commit", "-qam", "two"]);
    assert_exposed(against(&deploy, "git:origin/main"));
    // A tag with the name of the branch hides the branch; an attacker may be allowed to push tags.
    git(outer.path(), &["tag", "origin/main"]);
    for name in [
        "git:origin/main",
        "git:origin/main~0",
        "git:origin/main^{commit}",
    ] {
        let ended = against(&deploy, name).with(65);
        let error = ended.json("error/v1")["error"]["message"].to_string();
        assert!(
            error.contains("refs/tags/origin/main, refs/remotes/origin/main"),
            "{error}"
        );
    }
    assert_exposed(against(&deploy, "git:refs/remotes/origin/main"));
    against(&deploy, "git:refs/tags/origin/main").with(0);
    against(&deploy, "git:HEAD").with(0);
    git(outer.path(), &["tag", "main"]);
    run(command(&deploy).args(["lint", "--base", "git:main"]))
        .with(65)
        .contains("refs/heads/main");
}

#[test]
fn short_name_in_capitals_is_refused() {
    let outer = in_folder();
    let deploy = outer.file("deploy");
    git(outer.path(), &["branch", "PROD"]);
    expose_operation(&outer, "deploy/orders.yaml");
    git(outer.path(), &["commit", "-qam", "two"]);
    assert_exposed(against(&deploy, "git:PROD"));
    // The tag hides the branch.
    git(outer.path(), &["tag", "PROD"]);
    let ended = against(&deploy, "git:PROD").with(65);
    let error = ended.json("error/v1")["error"]["message"].to_string();
    assert!(error.contains("refs/tags/PROD, refs/heads/PROD"), "{error}");
    // Git reads `HEAD` and `ORIG_HEAD` from their own files.
    for name in ["HEAD", "ORIG_HEAD"] {
        git(outer.path(), &["update-ref", name, "HEAD"]);
        for kind in ["tags", "heads"] {
            let reference = format!("refs/{kind}/{name}");
            git(outer.path(), &["update-ref", &reference, "HEAD~1"]);
        }
        against(&deploy, &format!("git:{name}")).with(0);
    }
}

#[test]
fn submodule_in_place_of_the_project_is_refused() {
    let outer = in_folder();
    let stranger = Project::empty();
    copy(&outer.file("deploy"), stranger.path());
    expose_operation(&stranger, "orders.yaml");
    stranger.write(".gitignore", "*.pem\nreleases/\n");
    git(stranger.path(), &["init", "-q", "-b", "main"]);
    commit(stranger.path());
    git(outer.path(), &["checkout", "-qb", "theirs"]);
    git(outer.path(), &["rm", "-rqf", "deploy"]);
    fs::remove_dir_all(outer.file("deploy")).unwrap_or_default();
    let from = stranger.path().to_str().expect("a name");
    git(
        outer.path(),
        &["submodule", "--quiet", "add", from, "deploy"],
    );
    commit(outer.path());
    let ended = against(&outer.file("deploy"), "git:main").with(65);
    let error = ended.json("error/v1")["error"]["message"].to_string();
    assert!(error.contains("git:main:deploy"), "{error}");
    run(command(&outer.file("deploy")).args(["lint", "--base", "git:main"]))
        .with(65)
        .contains("submodule `deploy`");
}

#[test]
fn submodule_of_another_commit_is_refused() {
    let shop = Project::new();
    shop.write(".gitignore", "*.pem\nreleases/\n");
    git(shop.path(), &["init", "-q", "-b", "main"]);
    let pinned = commit(shop.path());
    let outer = Project::empty();
    git(outer.path(), &["init", "-q", "-b", "main"]);
    let from = shop.path().to_str().expect("a name");
    git(
        outer.path(),
        &["submodule", "--quiet", "add", from, "deploy"],
    );
    commit(outer.path());
    let deploy = outer.file("deploy");
    // On the submodule's own branch the operation is already public.
    expose_operation(&outer, "deploy/orders.yaml");
    git(&deploy, &["commit", "-qam", "two"]);
    let ended = against(&deploy, "git:main").with(65);
    let error = ended.json("error/v1")["error"]["message"].to_string();
    assert!(error.contains(&format!("git:{pinned}")), "{error}");
    run(command(&deploy).args(["lint", "--base", "git:main"]))
        .with(65)
        .contains(&format!("git:{pinned}"));
    assert_exposed(against(&deploy, &format!("git:{pinned}")));
}
