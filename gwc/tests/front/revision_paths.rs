//! Comparison of paths in a revision with paths in its checkout, over random forests of symbolic
//! links.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use sources::project::files::Refusal;
use sources::project::revision::{End, Revision};

use crate::dice::Dice;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn git(folder: &Path, arguments: &[&str]) {
    let output = Command::new("git")
        .args(["-c", "user.name=T", "-c", "user.email=t@example.org"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("git is there");
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
}

/// Random path of up to five segments, some of them `..`, `.` and empty.
fn path(dice: &mut Dice) -> String {
    let count = 1 + dice.roll(5);
    let segments: Vec<&str> = (0..count)
        .map(|_| match dice.roll(10) {
            0..3 => "..",
            3 => [".", ""][dice.roll(2)],
            _ => dice.pick(&NAMES),
        })
        .collect();
    segments.join("/").trim_start_matches('/').to_owned()
}

/// Fills a folder with files, folders and links at random.
fn fill(dice: &mut Dice, folder: &Path, depth: usize) {
    // Git tracks no empty folders.
    fs::write(folder.join("keep"), "x").expect("there is room");
    for name in NAMES {
        let entry = folder.join(name);
        match dice.roll(6) {
            0 => fs::write(entry, "x").expect("there is room"),
            1 | 2 if depth < 3 => {
                fs::create_dir(&entry).expect("there is room");
                fill(dice, &entry, depth + 1);
            }
            3 | 4 => {
                let target = path(dice);
                if !target.is_empty() {
                    symlink(target, entry).expect("there is room");
                }
            }
            _ => {}
        }
    }
}

/// End of a path on disk, relative to the root. `None` if it is missing or outside.
fn on_disk(root: &Path, path: &str) -> Option<End> {
    let end = root.join(path).canonicalize().ok()?;
    let inside = end.strip_prefix(root).ok()?;
    let inside = inside.to_str().expect("UTF-8").to_owned();
    Some(match end.is_dir() {
        true => End::Folder(inside),
        false => End::File(inside),
    })
}

#[test]
fn revision_resolves_paths_as_a_checkout_does() {
    let (mut found, mut outside) = (0, 0);
    let mut over_links = BTreeSet::new();
    for seed in 0..60 {
        let dice = &mut Dice(seed);
        let outer = tempfile::tempdir().expect("there is room");
        let root = outer
            .path()
            .canonicalize()
            .expect("it is there")
            .join("root");
        fs::create_dir(&root).expect("there is room");
        fill(dice, &root, 0);
        git(&root, &["init", "-q", "-b", "main"]);
        git(&root, &["add", "-A"]);
        git(&root, &["commit", "-qm", "one"]);
        let revision = Revision::find(&root, "main").expect("it is there");
        for _ in 0..400 {
            let path = path(dice);
            let expected = on_disk(&root, &path);
            let resolved = revision.resolve(&path);
            if resolved == Err(Refusal::Outside) {
                // A path that leaves the repository may return to it on disk, under the name of
                // the checkout. No name in the forest is this name.
                outside += 1;
                assert_eq!(expected, None, "{seed} {path}");
                continue;
            }
            let resolved = resolved.ok();
            assert_eq!(resolved, expected, "{seed} {path}");
            if let Some(End::File(end) | End::Folder(end)) = resolved {
                found += 1;
                if end != path {
                    over_links.insert((seed, path));
                }
            }
        }
    }
    assert!(found > 2_000 && outside > 500, "{found} {outside}");
    assert!(over_links.len() > 300, "{}", over_links.len());
}
