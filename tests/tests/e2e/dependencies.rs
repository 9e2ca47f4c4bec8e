//! Checks that dependencies comply with `deny.toml`: licences, sources and bans. Advisories are not
//! checked here, because they need a database from the network. `cargo deny check advisories`
//! checks them.

use std::process::Command;

use e2e::binaries;
use serde_json::Value;
use spdx::expression::Expression;
use spdx::{LicenseReq, ParseMode};

/// Registry of every dependency outside the workspace.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version", "1"])
        .current_dir(binaries::workspace())
        .output()
        .expect("cargo can be run");
    assert!(output.status.success(), "cargo metadata failed");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("metadata is JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

fn deny() -> toml::Table {
    let text = std::fs::read_to_string(binaries::workspace().join("deny.toml"));
    text.expect("deny.toml is there")
        .parse()
        .expect("deny.toml is TOML")
}

/// Allowed licences, by their SPDX names.
fn allowed(deny: &toml::Table) -> Vec<String> {
    let list = deny["licenses"]["allow"].as_array().expect("a list");
    list.iter()
        .map(|one| one.as_str().expect("text").to_owned())
        .collect()
}

/// True if the allowed licences satisfy a licence expression.
fn fits(expression: &str, allowed: &[String]) -> bool {
    let expression = Expression::parse_mode(expression, ParseMode::LAX)
        .unwrap_or_else(|error| panic!("{expression}: {error}"));
    expression.evaluate(|required: &LicenseReq| allowed.contains(&required.to_string()))
}

#[test]
fn licences_fit_deny_toml() {
    let allowed = allowed(&deny());
    let mut wrong = Vec::new();
    for package in packages() {
        let name = package["name"].as_str().expect("a name");
        match package["license"].as_str() {
            Some(expression) if fits(expression, &allowed) => {}
            // This crate has a licence file instead of an expression.
            None if name == "libyaml-safer" && package["license_file"] == "LICENSE-MIT" => {}
            other => wrong.push(format!("{name}: {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(!fits("GPL-3.0-only", &allowed));
    assert!(!fits("MIT AND GPL-3.0-only", &allowed));
    assert!(fits("MIT OR GPL-3.0-only", &allowed));
}

#[test]
fn sources_and_bans_fit_deny_toml() {
    let deny = deny();
    let banned: Vec<&str> = deny["bans"]["deny"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["crate"].as_str().expect("a name"))
        .collect();
    for package in packages() {
        let name = package["name"].as_str().expect("a name");
        assert!(!banned.contains(&name), "{name} is banned");
        let source = package["source"].as_str();
        assert!(
            source.is_none_or(|source| source == REGISTRY),
            "{name} comes from {source:?}"
        );
    }
}

/// The fuzz targets are a separate workspace, which `make test` does not build offline.
#[test]
fn lock_file_of_the_fuzz_targets_fits_the_workspace() {
    let folder = binaries::workspace();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--format-version", "1"])
        .args(["--manifest-path", "fuzz/Cargo.toml"])
        .current_dir(folder)
        .output()
        .expect("cargo can be run");
    // The command may fail because crates that only the fuzz targets use are not downloaded. Cargo
    // has already checked the lock file then.
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!error.contains("lock file"), "{error}");
    let versions = |path: &str| -> std::collections::BTreeMap<String, Vec<String>> {
        let text = std::fs::read_to_string(folder.join(path)).expect("a lock file");
        let lock: toml::Table = text.parse().expect("TOML");
        let mut versions: std::collections::BTreeMap<String, Vec<String>> = Default::default();
        for package in lock["package"].as_array().expect("packages") {
            let text = |key: &str| package[key].as_str().expect("a text").to_owned();
            versions
                .entry(text("name"))
                .or_default()
                .push(text("version"));
        }
        versions
    };
    let (own, all) = (versions("fuzz/Cargo.lock"), versions("Cargo.lock"));
    for (name, own) in &own {
        let known = all.get(name).unwrap_or(own);
        let other = own.iter().find(|version| !known.contains(version));
        assert!(
            other.is_none(),
            "{name} {other:?} instead of {known:?}: run `cargo update -p {name} --precise VERSION` in fuzz"
        );
    }
}
