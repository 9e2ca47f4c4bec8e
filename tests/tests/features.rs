//! Checks that third-party crates have the same features in every build: of `gwc`, of `gwd`, of one
//! crate with its tests, and of the whole workspace. With different features, Cargo would compile a
//! crate twice, and tests would run other code than the shipped code. To fix a failure, add a row
//! to `crates/workspace-hack/Cargo.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Runs `cargo tree` for `selection` and returns the features of each third-party crate.
fn features(selection: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args([
            "tree", "--locked", "--prefix", "none", "--format", "{p}|{f}",
        ])
        .args(selection)
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mut crates: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines() {
        let line = line.trim_end_matches(" (*)");
        let Some((package, features)) = line.split_once('|') else {
            continue;
        };
        let is_ours = package.contains(" (/");
        if !is_ours {
            crates
                .entry(package.to_owned())
                .or_default()
                .insert(features.to_owned());
        }
    }
    crates
}

#[test]
fn third_party_crates_have_equal_features_in_builds() {
    const WITH_TESTS: &str = "normal,build,dev";
    let whole = features(&["--workspace", "-e", WITH_TESTS]);
    assert!(whole.len() > 200, "{}", whole.len());
    let builds: [&[&str]; 6] = [
        &["-p", "gwc", "-e", "normal,build"],
        &["-p", "gwd", "-e", "normal,build"],
        &["-p", "e2e", "-e", WITH_TESTS],
        &["-p", "policy", "-e", WITH_TESTS],
        &["-p", "plan", "-e", WITH_TESTS],
        &["-p", "bundle", "-e", WITH_TESTS],
    ];
    let mut differences = Vec::new();
    for build in builds {
        for (package, found) in features(build) {
            if whole.get(&package) != Some(&found) {
                differences.push(format!(
                    "{package}\n  {build:?}: {found:?}\n  workspace: {:?}",
                    whole.get(&package)
                ));
            }
        }
    }
    assert!(
        differences.is_empty(),
        "add a row to crates/workspace-hack/Cargo.toml:\n{}",
        differences.join("\n")
    );
}
