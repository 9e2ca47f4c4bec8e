//! Tests of the files that gwc writes, inside the project or at the path of an option: gwc follows
//! no symbolic links, and overwrites no foreign files.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use crate::git::{commit, committed, git};
use crate::project::{Project, command, run};

const STRANGER: &str = "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"x\",\"digest\":\"sha256:00\",\"size\":1,\"annotations\":{\"org.opencontainers.image.ref.name\":\"v1\"}}]}";

/// Creates an image layout that gwc did not write.
fn layout(folder: &Path) {
    fs::create_dir_all(folder.join("blobs/sha256")).expect("there is room");
    fs::write(
        folder.join("oci-layout"),
        "{\"imageLayoutVersion\":\"1.0.0\"}",
    )
    .expect("there is room");
    fs::write(folder.join("index.json"), STRANGER).expect("there is room");
}

fn index(folder: &Path) -> String {
    fs::read_to_string(folder.join("index.json")).expect("it is there")
}

const APPLY: [&str; 6] = [
    "apply",
    "--yes",
    "--reason",
    "x",
    "--key",
    "keys/release.pem",
];

#[test]
fn store_in_a_folder_of_git_is_refused() {
    let shop = Project::new();
    let gateway = shop.read("gateway.yaml");
    for store in [
        ".git",
        ".git/objects",
        "a/.git/x",
        ".GIT",
        ".git.",
        "git~1/x",
        ".g\\u200cit",
    ] {
        let text = gateway.replace("store: releases", &format!("store: \"{store}\""));
        shop.write("gateway.yaml", text);
        for arguments in [&["build"][..], &APPLY, &["plan"], &["gc"], &["history"]] {
            let ended = shop.run(arguments).with(64);
            ended.contains("lies in a folder of Git");
        }
        assert!(!shop.file(".git").exists(), "{store}");
    }
    let text = gateway.replace("store: releases", "store: .github/releases");
    shop.write("gateway.yaml", text);
    shop.run(&["build"]).with(0);
}

#[test]
fn store_outside_the_project_is_refused() {
    let outer = Project::empty();
    let shop = Project::new();
    crate::project::copy(shop.path(), &outer.file("shop"));
    layout(&outer.file("theirs"));
    let absolute = outer.file("theirs");
    let absolute = absolute.to_str().expect("a name");
    for store in [absolute, "../theirs", "a/../../theirs"] {
        outer.write(
            "shop/gateway.yaml",
            shop.read("gateway.yaml")
                .replace("store: releases", &format!("store: \"{store}\"")),
        );
        for arguments in [&["build"][..], &APPLY, &["plan"], &["gc"], &["history"]] {
            run(command(&outer.file("shop")).args(arguments))
                .with(64)
                .contains("lies outside the project");
        }
        assert_eq!(index(&outer.file("theirs")), STRANGER);
    }
}

#[test]
fn store_behind_a_link_is_refused() {
    let outer = Project::empty();
    crate::project::copy(Project::new().path(), &outer.file("shop"));
    layout(&outer.file("theirs"));
    symlink("../theirs", outer.file("shop/releases")).expect("there is room");
    for arguments in [&["build"][..], &APPLY] {
        run(command(&outer.file("shop")).args(arguments))
            .with(64)
            .contains("is a symbolic link");
    }
    assert_eq!(index(&outer.file("theirs")), STRANGER);
    // Create a symbolic link inside the store.
    fs::remove_file(outer.file("shop/releases")).expect("it is there");
    fs::create_dir(outer.file("shop/releases")).expect("there is room");
    let names = [
        "blobs",
        "channels",
        "index.json",
        "index.lock",
        "oci-layout",
        "revocations",
        "store.lock",
    ];
    for name in names {
        let link = outer.file("shop/releases").join(name);
        let target = outer.file("theirs").join(name);
        let before = target.exists();
        symlink(&target, &link).expect("there is room");
        let ended = run(command(&outer.file("shop")).arg("build"));
        assert_ne!(ended.code, 0, "{name}");
        assert!(ended.err.contains("symbolic link"), "{name}: {ended:?}");
        assert_eq!(target.exists(), before, "{name}");
        fs::remove_file(&link).expect("it is there");
    }
    assert_eq!(
        fs::read_dir(outer.file("theirs/blobs/sha256"))
            .expect("it is there")
            .count(),
        0
    );
}

#[test]
fn no_command_changes_files_behind_links_of_the_store() {
    let hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let other = hash.replace("9f86", "9f87");
    let signed = ["--key", "keys/release.pem", "--reason", "x", "--yes"];
    let project = Project::released();
    project.change("6s");
    project.apply("two").with(0);
    // `revocations` exists only after a revocation.
    let revoke = |hash| [&["revoke", "--credential", hash][..], &signed].concat();
    project.run(&revoke(hash)).with(0);
    let revoke = revoke(&other);
    let rollback = [&["rollback"][..], &signed].concat();
    let commands = [&revoke[..], &rollback, &["gc", "--keep", "1"]];
    let store = project.file("releases");
    for name in ["blobs/sha256", "channels/prod", "revocations"] {
        let (inside, outside) = (store.join(name), project.file("out"));
        fs::rename(&inside, &outside).expect("it is there");
        symlink(&outside, &inside).expect("there is room");
        let before = names(&outside);
        for command in commands {
            let ended = project.run(command);
            assert_ne!(ended.code, 0, "{name} {command:?}");
            assert!(ended.err.contains("symbolic link"), "{name}: {ended:?}");
            assert_eq!(names(&outside), before, "{name} {command:?}");
        }
        fs::remove_file(&inside).expect("it is there");
        fs::rename(&outside, &inside).expect("it is there");
    }
    project.run(&rollback).with(0);
}

/// Names of the files of a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("it is there");
    let names = entries.map(|entry| entry.expect("it is readable").file_name());
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into()).collect();
    names.sort();
    names
}

#[test]
fn foreign_index_is_not_overwritten() {
    let project = Project::new();
    layout(&project.file("theirs"));
    for arguments in [&["build"][..], &APPLY] {
        let ended = project.run(&[arguments, &["--store", "theirs"]].concat());
        assert_ne!(ended.code, 0, "{ended:?}");
        assert!(
            ended.err.contains("images that gwc did not write"),
            "{ended:?}"
        );
    }
    assert_eq!(index(&project.file("theirs")), STRANGER);
    // gwc reuses its own store, even if the index is damaged.
    project.run(&["build"]).with(0);
    project.run(&["build"]).with(0);
    project.write("releases/index.json", "{");
    project.run(&["build"]).with(0);
}

#[test]
fn output_through_a_committed_link_is_refused() {
    let project = committed();
    let victim = Project::empty();
    victim.write("victim", "theirs");
    fs::create_dir(victim.file("folder")).expect("there is room");
    symlink(victim.file("victim"), project.file("out.json")).expect("there is room");
    symlink(victim.file("absent"), project.file("dangling.json")).expect("there is room");
    symlink(victim.file("folder"), project.file("out")).expect("there is room");
    commit(&project, "links");
    for file in ["out.json", "dangling.json", "out/file.json"] {
        let output = format!("json={file}");
        for arguments in [
            &["plan", "-o", file][..],
            &["build", "-o", file],
            &["lint", "--output", &output],
            &["lint", "--write-baseline", file],
        ] {
            let ended = project.run(arguments);
            assert_ne!(ended.code, 0, "{arguments:?}: {ended:?}");
            assert!(
                ended.err.contains("is a symbolic link") || ended.err.contains("is not a baseline"),
                "{arguments:?}: {ended:?}"
            );
        }
    }
    for arguments in [
        &["strip", "-o", "out"][..],
        &["keygen", "other", "--out", "out"],
    ] {
        let ended = project.run(arguments);
        assert_ne!(ended.code, 0, "{arguments:?}: {ended:?}");
    }
    assert_eq!(victim.read("victim"), "theirs");
    assert!(!victim.file("absent").exists());
    assert_eq!(
        fs::read_dir(victim.file("folder"))
            .expect("it is there")
            .count(),
        0
    );
}

#[test]
fn store_option_behind_a_committed_link_is_refused() {
    let project = Project::new();
    project.write(".gitignore", "*.pem\n");
    git(project.path(), &["init", "-q", "-b", "main"]);
    let victim = Project::empty();
    symlink(victim.path(), project.file("out")).expect("there is room");
    symlink(victim.file("absent"), project.file("dangling")).expect("there is room");
    commit(&project, "links");
    for store in [
        "out",
        "out/store",
        "out/new/store",
        "dangling",
        "./out/store",
    ] {
        for arguments in [
            &["build"][..],
            &APPLY,
            &["status"],
            &["gc"],
            &["push"],
            &["pull"],
        ] {
            let option = match arguments {
                ["push" | "pull"] => vec![store],
                _ => vec!["--store", store],
            };
            let ended = project.run(&[arguments, &option].concat());
            assert_ne!(ended.code, 0, "{arguments:?} {store}: {ended:?}");
            assert!(
                ended.err.contains("is a symbolic link"),
                "{arguments:?} {store}: {ended:?}"
            );
        }
    }
    assert_eq!(names(victim.path()), [""; 0]);
    // A link outside of any project and work tree belongs to the user.
    let outer = Project::empty();
    symlink(victim.path(), outer.file("mine")).expect("there is room");
    let mine = outer.file("mine");
    project
        .run(&["build", "--store", mine.to_str().expect("a name")])
        .with(0);
}

#[test]
fn init_behind_a_committed_link_is_refused() {
    let folder = Project::empty();
    git(folder.path(), &["init", "-q", "-b", "main"]);
    let victim = Project::empty();
    symlink(victim.path(), folder.file("shop")).expect("there is room");
    for name in ["shop", "shop/new"] {
        let ended = run(command(folder.path()).args(["init", name]));
        assert_ne!(ended.code, 0, "{name}");
        assert!(
            ended.err.contains("is a symbolic link"),
            "{name}: {ended:?}"
        );
    }
    assert_eq!(names(victim.path()), [""; 0]);
}

#[test]
fn trust_file_and_fix_write_through_no_link() {
    let project = Project::new();
    let victim = Project::empty();
    fs::rename(project.file("trust.json"), victim.file("trust.json")).expect("there is room");
    symlink(victim.file("trust.json"), project.file("trust.json")).expect("there is room");
    let before = victim.read("trust.json");
    let ended = project.run(&["keygen", "other"]);
    assert_ne!(ended.code, 0, "{ended:?}");
    assert!(ended.err.contains("is a symbolic link"), "{ended:?}");
    assert_eq!(victim.read("trust.json"), before);
    let text = project
        .read("orders.yaml")
        .replace("description: fine", "descripton: fine");
    project.write("real.yaml", &text);
    fs::remove_file(project.file("orders.yaml")).expect("it is there");
    symlink("real.yaml", project.file("orders.yaml")).expect("there is room");
    project.run(&["lint", "--fix"]);
    assert_eq!(project.read("real.yaml"), text);
}

#[test]
fn output_over_a_tracked_file_is_refused() {
    let project = committed();
    for file in ["orders.yaml", "gateway.yaml", "trust.json"] {
        let before = project.read(file);
        let output = format!("sarif={file}");
        for arguments in [
            &["plan", "-o", file][..],
            &["build", "-o", file],
            &["lint", "--output", &output],
            &["lint", "--write-baseline", file],
        ] {
            let ended = project.run(arguments);
            assert_ne!(ended.code, 0, "{arguments:?}: {ended:?}");
        }
        assert_eq!(project.read(file), before);
    }
    project
        .run(&["strip", "-o", "."])
        .with(64)
        .contains("which this run reads");
    // Files that gwc wrote are overwritten, tracked by Git or not.
    for format in ["json", "sarif", "junit", "checkstyle"] {
        let file = format!("report.{format}");
        let output = format!("{format}={file}");
        project.run(&["lint", "--output", &output]).with(0);
        git(project.path(), &["add", &file]);
        project.run(&["lint", "--output", &output]).with(0);
    }
    for arguments in [["plan", "-o", "plan.json"], ["build", "-o", "shop.tar"]] {
        project.run(&arguments).with(0);
        git(project.path(), &["add", arguments[2]]);
        project.run(&arguments).with(0);
    }
    project.write("notes.txt", "mine");
    git(project.path(), &["add", "notes.txt"]);
    project
        .run(&["plan", "-o", "notes.txt"])
        .with(65)
        .contains("gwc did not make it");
    project.run(&["plan", "-o", "/dev/null"]).with(0);
}

#[test]
fn init_writes_through_no_link() {
    let folder = Project::empty();
    let victim = Project::empty();
    fs::create_dir(folder.file("shop")).expect("there is room");
    symlink(victim.path(), folder.file("shop/.github")).expect("there is room");
    let ended = run(command(folder.path()).args(["init", "shop"]));
    assert_ne!(ended.code, 0);
    assert!(ended.err.contains("is a symbolic link"), "{ended:?}");
    assert_eq!(fs::read_dir(victim.path()).expect("it is there").count(), 0);
}

/// Finds the files and folders below a folder that users other than the owner can write. Leaves out
/// links.
fn writable_by_others(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("it is there") {
        let path = entry.expect("it is there").path();
        let about = path.symlink_metadata().expect("it is there");
        if about.permissions().mode() & 0o022 != 0 && !about.is_symlink() {
            found.push(path.display().to_string());
        }
        if about.is_dir() {
            found.extend(writable_by_others(&path));
        }
    }
    found
}

#[test]
fn files_are_writable_by_their_owner_only() {
    let folder = tempfile::tempdir().expect("there is room");
    let open = |folder: &Path, arguments: &str| {
        let gwc = env!("CARGO_BIN_EXE_gwc");
        let script = format!("umask 0; exec '{gwc}' {arguments}");
        let mut shell = std::process::Command::new("sh");
        run(shell.current_dir(folder).args(["-c", &script])).with(0);
    };
    open(folder.path(), "init shop");
    let shop = folder.path().join("shop");
    open(&shop, "keygen release");
    open(&shop, "apply --key keys/release.pem --yes");
    open(&shop, "build -o bundle.tar");
    assert!(shop.join("releases/index.json").exists() && shop.join("bundle.tar").exists());
    assert_eq!(writable_by_others(folder.path()), Vec::<String>::new());
}
