//! Checks that every test that `docs/rfc.md` and `SECURITY.md` name exists.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Collects every Rust source below a folder, with its text.
fn sources(folder: &Path, found: &mut BTreeMap<PathBuf, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.insert(path, text);
        }
    }
}

/// True if a source contains a test with this name. A name in quotes is the name of a table row.
fn has(text: &str, name: &str) -> bool {
    if name.starts_with('"') {
        return text.contains(&format!("row(\n            {name},"));
    }
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let head = format!("fn {name}()");
    lines
        .windows(2)
        .any(|pair| pair[0] == "#[test]" && pair[1].starts_with(&head))
}

fn all_sources(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    for folder in [
        "gwc/tests",
        "gwd",
        "crates/bundle",
        "crates/engine",
        "crates/http1",
        "crates/policy",
        "tests/tests",
    ] {
        sources(&root.join(folder), &mut files);
    }
    files
}

/// Checks that all tests that a line cites as `file.rs::name` exist.
fn exist(files: &BTreeMap<PathBuf, String>, line: &str, named: &[&str]) {
    for reference in named {
        let (file, name) = reference
            .split_once("::")
            .unwrap_or_else(|| panic!("{line}"));
        let here: Vec<_> = files
            .iter()
            .filter(|(path, _)| path.ends_with(file))
            .collect();
        assert!(!here.is_empty(), "there is no {file}: {line}");
        let known = here.iter().any(|(_, text)| has(text, name));
        assert!(known, "{file} has no test {name}: {line}");
    }
}

#[test]
fn every_attack_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let files = all_sources(&root);
    let page = std::fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let rows: Vec<&str> = rows
        .filter(|line| !line.starts_with("| Attack |"))
        .collect();
    assert!(rows.len() > 20, "{} attacks", rows.len());
    for line in rows {
        let tests = line.rsplit('|').nth(1).unwrap();
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test: {line}");
        exist(&files, line, &named);
    }
}

#[test]
fn every_requirement_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let files = all_sources(&root);
    let page = std::fs::read_to_string(root.join("docs/rfc.md")).unwrap();
    let mut rows = 0;
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        if line.starts_with("| § |") {
            continue;
        }
        rows += 1;
        let tests = line.rsplit('|').nth(1).unwrap();
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test: {line}");
        exist(&files, line, &named);
    }
    assert!(rows > 50, "{rows} requirements");
    for rfc in ["9110", "9112", "9113", "6455", "8441", "9209"] {
        assert!(page.contains(&format!("RFC {rfc}")), "{rfc}");
    }
}
