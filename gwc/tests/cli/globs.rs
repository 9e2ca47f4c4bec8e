//! Patterns of gateway.yaml (`apis_glob`, `tests`) and symbolic links.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::git::{commit, committed};
use crate::project::{Ended, Project};

/// Name of a file that no output may contain.
const CONFIDENTIAL: &str = "confidential-name";

/// A committed project, and a folder outside of it with files of confidential names.
fn beside_a_folder() -> (Project, tempfile::TempDir) {
    let outside = tempfile::tempdir().expect("a folder");
    fs::create_dir(outside.path().join("deep")).expect("created");
    for name in ["", "deep/"] {
        let file = outside.path().join(format!("{name}{CONFIDENTIAL}.yaml"));
        fs::write(file, "a: 1\n").expect("written");
    }
    (committed(), outside)
}

/// Writes patterns into gateway.yaml, commits, and checks the project.
fn lint(project: &Project, gateway: &str, patterns: &str) -> Ended {
    project.write("gateway.yaml", format!("{gateway}{patterns}\n"));
    commit(project, "patterns");
    project.run(&["lint", "--format", "concise"])
}

#[test]
fn pattern_does_not_list_a_folder_outside() {
    let (project, outside) = beside_a_folder();
    let gateway = project.read("gateway.yaml");
    let inside = project.path();
    symlink(outside.path(), inside.join("out")).expect("linked");
    symlink("out", inside.join("chain")).expect("linked");
    fs::create_dir(inside.join("apis")).expect("created");
    symlink("../chain/deep", inside.join("apis/far")).expect("linked");
    symlink("/proc/self", inside.join("process")).expect("linked");
    symlink(".git", inside.join("repository")).expect("linked");
    for folder in ["out", "chain", "out/deep", "apis/far", "process"] {
        for key in ["apis_glob", "tests"] {
            let ended = lint(&project, &gateway, &format!("{key}: [\"{folder}/**\"]"));
            assert_ne!(ended.code, 0, "{ended:?}");
            let out = ended.out;
            assert!(!out.contains(CONFIDENTIAL), "{folder}: {out}");
            assert_eq!(out.matches("outside the project").count(), 1, "{out}");
            assert!(out.contains(&format!("`{folder}`")), "{out}");
        }
    }
    for hidden in [".git", "repository"] {
        let ended = lint(&project, &gateway, &format!("apis_glob: [\"{hidden}/**\"]"));
        assert_ne!(ended.code, 0, "{ended:?}");
        let out = ended.out;
        assert!(!out.contains("HEAD"), "{out}");
        assert_eq!(out.matches("is hidden").count(), 1, "{out}");
    }
}

#[test]
fn pattern_does_not_tell_which_folders_exist() {
    let (project, outside) = beside_a_folder();
    let gateway = project.read("gateway.yaml");
    symlink(outside.path(), project.path().join("out")).expect("linked");
    symlink(outside.path().join("none"), project.path().join("broken")).expect("linked");
    let text = |folder: &str| {
        let glob = lint(&project, &gateway, &format!("apis_glob: [\"{folder}/*\"]"));
        let file = format!("{folder}/{CONFIDENTIAL}.yaml}}");
        let path = lint(&project, &gateway.replace("orders.yaml}", &file), "");
        assert!(glob.code != 0 && path.code != 0, "{glob:?}, {path:?}");
        (glob.out + &path.out).replace(folder, "FOLDER")
    };
    let there = text("out/deep");
    assert!(there.contains("outside the project"), "{there}");
    assert_eq!(text("out/none"), there);
    assert_eq!(text("broken"), there);
}

#[test]
fn pattern_does_not_list_ignored_files_by_a_link() {
    let (project, _) = beside_a_folder();
    let gateway = project.read("gateway.yaml");
    project.write(".gitignore", "/private/\n/releases/\n*.pem\n");
    fs::create_dir(project.path().join("private")).expect("created");
    project.write(&format!("private/{CONFIDENTIAL}.yaml"), "a: 1\n");
    symlink("private", project.path().join("public")).expect("linked");
    let ended = lint(&project, &gateway, "apis_glob: [\"public/*\"]");
    assert!(!ended.out.contains(CONFIDENTIAL), "{ended:?}");
}

#[test]
fn pattern_follows_a_link_within_the_project() {
    let (project, _) = beside_a_folder();
    let gateway = project.read("gateway.yaml");
    fs::create_dir_all(project.path().join("teams/a")).expect("created");
    let document = project.read("orders.yaml").replace("/orders", "/more");
    project.write("teams/a/more.yaml", document);
    symlink("teams/a", project.path().join("relative")).expect("linked");
    let absolute = project.path().join("teams/a");
    symlink(absolute, project.path().join("absolute")).expect("linked");
    for folder in ["relative", "absolute", "teams/a"] {
        lint(
            &project,
            &gateway,
            &format!("apis_glob: [\"{folder}/*.yaml\"]"),
        )
        .with(0);
        let route = ["route", "GET", "/more", "--header", "x-key: test"];
        let out = project.run(&route).out;
        assert!(out.contains("more"), "{folder}: {out}");
    }
}

#[test]
fn pattern_warns_of_matching_links_and_pipes() {
    let (project, _) = beside_a_folder();
    let gateway = project.read("gateway.yaml");
    for folder in ["apis", "other"] {
        fs::create_dir(project.path().join(folder)).expect("created");
    }
    let document = project.read("orders.yaml").replace("/orders", "/more");
    project.write("other/more.yaml", document);
    symlink("../other/more.yaml", project.path().join("apis/more.yaml")).expect("linked");
    make_pipe(&project.path().join("apis/pipe.yaml"));
    symlink("../other", project.path().join("apis/folder")).expect("linked");
    let found = |patterns: &str| {
        let out = lint(&project, &gateway, patterns).with(0).out;
        let is_it = |line: &&str| line.contains("GW0219");
        out.lines().filter(is_it).collect::<Vec<_>>().join("\n")
    };
    let both = found("apis_glob: [\"apis/*.yaml\"]");
    let message = "`apis/more.yaml` is a symbolic link and is skipped; 1 more entry is skipped";
    assert!(both.contains(message), "{both}");
    let pipe = found("tests: [\"apis/p*.yaml\"]");
    let message = "`apis/pipe.yaml` is not a regular file and is skipped";
    assert!(pipe.contains(message), "{pipe}");
    let none = found("apis_glob: [\"apis/*.yaml\", \"!apis/*\"]");
    assert!(none.contains("no file matches"), "{none}");
    assert_eq!(found("apis_glob: [\"other/*.yaml\"]"), "");
}

fn make_pipe(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.expect("mkfifo runs").success());
}

/// An absolute link is not resolved, so it does not tell which folders outside exist.
#[test]
fn link_through_an_outside_folder_is_refused() {
    let project = Project::bare();
    let orders = fs::canonicalize(project.path().join("orders.yaml")).expect("it is there");
    let orders = orders.display();
    let link = project.path().join("link.yaml");
    project.edit("gateway.yaml", "orders.yaml", "link.yaml");
    for outside in ["/usr/..", "/usr/there-is-none/../.."] {
        symlink(format!("{outside}{orders}"), &link).expect("linked");
        let ended = project.run(&["lint"]).with(65);
        ended.contains("outside-project");
        fs::remove_file(&link).expect("it is a link");
    }
    symlink(orders.to_string(), &link).expect("linked");
    project.run(&["lint"]).with(0);
}
