//! Tests of `gwc gc`: removed files, kept files, and runs that refuse to remove anything.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::project::Project;

/// Creates three releases that are two hours old.
fn aged() -> Project {
    let project = Project::released();
    for (timeout, reason) in [("6s", "second"), ("7s", "third")] {
        project.change(timeout);
        project.apply(reason).with(0);
    }
    age(&project.file("releases"));
    project
}

fn age(folder: &Path) {
    for path in files(folder) {
        let file = File::options().write(true).open(path).unwrap();
        let then = SystemTime::now() - Duration::from_secs(7_200);
        file.set_modified(then).unwrap();
    }
}

fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_none_or(|extension| extension != "lock") {
            found.insert(path);
        }
    }
    found
}

#[test]
fn gc_removes_only_files_that_no_record_needs() {
    let project = aged();
    let history = project.history();
    let before = files(&project.file("releases"));
    let dry = project.run(&["gc", "--keep", "1", "--dry-run", "--format", "json"]);
    let dry = dry.with(0).json("gc/v1");
    assert_eq!(
        (&dry["result"], &dry["dry_run"]),
        (&"changes".into(), &true.into())
    );
    assert_eq!(files(&project.file("releases")), before);

    let done = project.run(&["gc", "--keep", "1", "--format", "json"]);
    let done = done.with(0).json("gc/v1");
    let gone: BTreeSet<&str> = done["bundles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_str().unwrap())
        .collect();
    assert_eq!(
        gone,
        history[1..].iter().map(|(_, id)| id.as_str()).collect()
    );
    assert_eq!(done["files"], dry["files"]);
    let after = files(&project.file("releases"));
    let removed: BTreeSet<_> = before.difference(&after).collect();
    assert_eq!(done["files"], removed.len());
    assert!(
        removed
            .iter()
            .all(|path| path.to_string_lossy().contains("/blobs/sha256/"))
    );

    assert_eq!(project.history(), history, "every record is still there");
    project
        .run(&["verify", &history[0].1, "--extract", "x"])
        .with(0);
    project
        .run(&["rollback", "-1", "--key", "keys/release.pem", "--yes"])
        .with(4)
        .contains("blob-missing");
    project
        .run(&["gc", "--keep", "1"])
        .with(0)
        .contains("nothing to remove; 1 bundle kept");
    // A removed bundle can be released again.
    project.change("6s");
    project.apply("again").with(0);
}

#[test]
fn gc_keeps_young_bundles_and_temporary_files() {
    let project = aged();
    project.change("8s");
    project.run(&["build"]).with(0);
    let folders = ["", "blobs/sha256", "channels/prod"];
    let leftovers = folders.map(|folder| project.file("releases").join(folder).join(".tmp-1-1"));
    for path in &leftovers {
        fs::write(path, "half").unwrap();
    }
    project
        .run(&["gc"])
        .with(0)
        .contains("nothing to remove; 3 bundles kept");
    age(&project.file("releases"));
    let done = project
        .run(&["gc", "--format", "json"])
        .with(0)
        .json("gc/v1");
    assert_eq!(
        (
            &done["temporary"],
            done["bundles"].as_array().unwrap().len()
        ),
        (&3.into(), 1)
    );
    assert!(leftovers.iter().all(|path| !path.exists()));
}

#[test]
fn a_damaged_record_keeps_everything() {
    let project = aged();
    let link = project.file("releases/channels/prod/00000000000000000001");
    let digest = fs::read_to_string(&link).unwrap();
    let hex = digest.trim().trim_start_matches("sha256:").to_owned();
    let record = project.file("releases/blobs/sha256").join(hex);
    let before = files(&project.file("releases"));
    let good = fs::read(&record).unwrap();
    let damaged = String::from_utf8(good.clone())
        .unwrap()
        .replace("record", "recorD");
    fs::write(&record, damaged).unwrap();
    project
        .run(&["gc", "--keep", "1"])
        .with(4)
        .contains("bad-digest");
    fs::write(&record, good).unwrap();
    fs::write(&link, "not a digest\n").unwrap();
    project
        .run(&["gc", "--keep", "1"])
        .with(4)
        .contains("malformed");
    assert_eq!(files(&project.file("releases")), before);
}

/// Anybody with a key that is revoked later can publish many records.
#[test]
fn gc_keeps_what_gateways_accept() {
    let project = Project::new();
    project.run(&["keygen", "stolen"]).with(0);
    project.apply("first").with(0);
    let running = project.history()[0].1.clone();
    for timeout in ["6s", "7s", "8s"] {
        project.change(timeout);
        let stolen = ["apply", "--key", "keys/stolen.pem", "--yes"];
        project.run(&stolen).with(0);
    }
    let id = &*project.key_id("stolen");
    let revoke = [
        "revoke",
        "--signing-key",
        id,
        "--key",
        "keys/release.pem",
        "--yes",
    ];
    project.run(&revoke).with(0);
    let gc = [
        "gc",
        "--keep",
        "1",
        "--older-than",
        "0s",
        "--format",
        "json",
    ];
    // As a scheduled job on the host of the store does.
    let of_store = [&gc[..], &["--store", "releases"]].concat();
    for command in [&of_store[..], &gc] {
        let removed = project.run(command).with(0).json("gc/v1")["bundles"].clone();
        let removed = removed.as_array().unwrap();
        assert!(!removed.contains(&running.clone().into()), "{removed:?}");
    }
    project.run(&["plan"]).with(0);
    assert_eq!(project.history()[0].1, running);
    // If the newest record cannot be verified, it is unknown what gateways run.
    let trusted = project.read("trust.json");
    project.run(&["keygen", "stranger"]).with(0);
    project.change("9s");
    let stranger = ["apply", "--key", "keys/stranger.pem", "--yes"];
    let acks = project.acks(&[]);
    let acks: Vec<&str> = acks.iter().map(String::as_str).collect();
    project.run(&[&stranger[..], &acks].concat()).with(0);
    project.write("trust.json", trusted);
    project
        .run(&gc)
        .with(4)
        .contains("record 5 of channel prod");
}

#[test]
fn gc_needs_only_a_store_and_valid_options() {
    let project = aged();
    let store = project.file("releases");
    let nowhere = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = crate::project::command(nowhere.path());
        crate::project::run(command.arg("gc").args(arguments))
    };
    let kept = run(&["--store", store.to_str().unwrap()]).with(0);
    kept.contains("3 bundles kept")
        .contains("there is no trust file");
    let trust = project.file("trust.json");
    let (store, trust) = (store.to_str().unwrap(), trust.to_str().unwrap());
    let kept = run(&["--store", store, "--trust", trust]).with(0);
    assert!(!kept.err.contains("warning"), "{}", kept.err);
    run(&["--store", "nowhere"])
        .with(69)
        .contains("no store at");
    run(&[]).with(65).contains("gateway.yaml");
    run(&["--keep", "0"]).with(64);
    run(&["--older-than", "3"])
        .with(64)
        .contains("unit is missing");
}
