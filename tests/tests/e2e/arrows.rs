//! Checks that dependencies between crates point one way (ARCHITECTURE.md): `diag ← policy ← bundle
//! ← engine ← gwc | gwd`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use e2e::binaries;
use serde_json::Value;

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(binaries::workspace())
        .output()
        .expect("cargo can be run");
    assert!(
        output.status.success(),
        "cargo {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("cargo writes text")
}

/// Reads a dependency tree from `cargo tree`. Returns each crate's name with the crate's enabled
/// features.
fn tree(package: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
    let mut arguments = vec![
        "tree", "--locked", "--prefix", "none", "-e", "normal", "-f", "{p}|{f}",
    ];
    arguments.extend(package);
    let mut crates: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in cargo(&arguments).lines() {
        let (name, features) = line.split_once('|').unwrap_or((line, ""));
        let name = name.split(' ').next().unwrap_or_default().to_owned();
        let features = features.trim_end_matches(" (*)").split(',');
        let features = features.filter(|feature| !feature.is_empty());
        crates
            .entry(name)
            .or_default()
            .extend(features.map(str::to_owned));
    }
    crates
}

#[track_caller]
fn lacks(package: &str, crates: &BTreeMap<String, BTreeSet<String>>, unwanted: &[&str]) {
    for name in unwanted {
        assert!(
            !crates.contains_key(*name),
            "`{name}` is in the tree of {package}"
        );
    }
}

const PARSERS: [&str; 10] = [
    "granit-parser",
    "serde_yaml",
    "serde_yaml_ng",
    "serde-saphyr",
    "saphyr",
    "yaml-rust2",
    "openapiv3",
    "serde_json_path",
    "miette",
    "git2",
];
const WORLD: [&str; 9] = [
    "tokio",
    "hyper",
    "hyper-util",
    "notify",
    "reqwest",
    "socket2",
    "mio",
    "rustls",
    "clap",
];

#[test]
fn gwd_has_no_parser_and_no_compiler_in_its_tree() {
    let crates = tree(&["-p", "gwd"]);
    lacks("gwd", &crates, &PARSERS);
    lacks(
        "gwd",
        &crates,
        &[
            "gwc", "diag", "sources", "vocab", "openapi", "model", "plan",
        ],
    );
    assert!(
        !crates["policy"].contains("author"),
        "gwd has the half of the policies that reads sources"
    );
}

#[test]
fn gwc_is_built_without_the_hooks_of_tests() {
    let crates = tree(&["-p", "gwc"]);
    assert!(
        !crates["plan"].contains("test-hooks"),
        "gwc can leave lines of a plan out"
    );
}

#[test]
fn the_core_knows_no_world() {
    for package in [
        &["-p", "policy"][..],
        &["-p", "bundle", "--no-default-features"],
        &["-p", "engine"],
        &["-p", "http1"],
    ] {
        let crates = tree(package);
        let name = package[1];
        lacks(name, &crates, &WORLD);
        lacks(name, &crates, &PARSERS);
        lacks(name, &crates, &["gwc", "gwd", "diag"]);
    }
    let diag = tree(&["-p", "diag"]);
    lacks("diag", &diag, &WORLD);
    lacks("diag", &diag, &["policy", "bundle", "engine", "gwc", "gwd"]);
}

#[test]
fn crates_depend_only_on_allowed_crates() {
    // Table of the workspace crates that each crate may depend on. The table also applies to
    // dev-dependencies.
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("diag", &[][..]),
        ("fault", &[]),
        ("prerequisite", &[]),
        ("policy", &["diag"]),
        ("bundle", &["fault", "policy", "prerequisite"]),
        ("engine", &["policy", "bundle"]),
        ("registry", &["bundle", "prerequisite"]),
        ("sources", &["bundle", "diag"]),
        ("vocab", &["diag", "policy"]),
        ("openapi", &["diag", "policy", "sources", "vocab"]),
        (
            "model",
            &[
                "bundle",
                "diag",
                "engine",
                "openapi",
                "policy",
                "sources",
                "validator",
                "vocab",
            ],
        ),
        (
            "plan",
            &[
                "bundle",
                "diag",
                "engine",
                "model",
                "policy",
                "sources",
                "validator",
                "vocab",
            ],
        ),
        (
            "lsp",
            &[
                "bundle", "diag", "model", "openapi", "plan", "policy", "sources", "vocab",
            ],
        ),
        (
            "gwc",
            &[
                "diag",
                "fault",
                "lsp",
                "policy",
                "bundle",
                "engine",
                "sources",
                "vocab",
                "openapi",
                "model",
                "plan",
                "prerequisite",
                "registry",
            ],
        ),
        (
            "gwd",
            &[
                "fault",
                "http1",
                "policy",
                "bundle",
                "engine",
                "prerequisite",
                "registry",
                "validator",
            ],
        ),
        ("http1", &[]),
        ("validator", &["bundle", "policy"]),
        ("e2e", &["prerequisite"]),
        ("workspace-hack", &[]),
    ]);
    // This crate unifies the features of third-party crates. Outside tests, only the programs may
    // depend on it.
    let unified = |name: &str, dependency: &Value| {
        let in_tests = dependency["kind"] == "dev";
        dependency["name"] == "workspace-hack"
            && (in_tests || ["gwc", "gwd", "e2e"].contains(&name))
    };
    let metadata = cargo(&["metadata", "--locked", "--no-deps", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&metadata).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let allowed = allowed
            .get(name)
            .unwrap_or_else(|| panic!("`{name}` is new: say here what it may depend on"));
        let dependencies = package["dependencies"].as_array().expect("dependencies");
        for dependency in dependencies.iter().filter(|one| one["path"].is_string()) {
            let other = dependency["name"].as_str().expect("a name");
            let is_allowed = allowed.contains(&other) || unified(name, dependency);
            assert!(is_allowed, "`{name}` depends on `{other}`");
        }
    }
}
