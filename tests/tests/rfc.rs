//! Checks that every test that `docs/rfc.md`, `docs/internals/access-rules.md` and `SECURITY.md`
//! name exists.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Collects every Rust source, case and table below a folder, with its text.
fn sources(folder: &Path, found: &mut BTreeMap<PathBuf, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, found);
        } else if ["rs", "http", "tsv"]
            .map(OsStr::new)
            .map(Some)
            .contains(&path.extension())
        {
            let text = std::fs::read_to_string(&path).unwrap();
            found.insert(path, text);
        }
    }
}

/// True if a file contains a test with this name. A name in quotes is the name of a table row or of
/// a case.
fn has(path: &Path, text: &str, name: &str) -> bool {
    if let Some(quoted) = name.strip_prefix('"') {
        let quoted = quoted.trim_end_matches('"');
        return match path.extension().and_then(OsStr::to_str) {
            Some("http") => text
                .lines()
                .any(|line| line.strip_prefix("### ") == Some(quoted)),
            Some("tsv") => text
                .lines()
                .any(|line| line.split('\t').next() == Some(quoted)),
            _ => text.contains(&format!("row(\n            {name},")),
        };
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
        "tests/cases",
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
        let known = here.iter().any(|(path, text)| has(path, text, name));
        assert!(known, "{file} has no test {name}: {line}");
    }
}

/// Checks that the last cell of each row of a page names tests, and that they exist. `head`:
/// beginning of the first line of a table. Returns the number of rows.
fn check_rows(page: &str, head: &str) -> usize {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let files = all_sources(&root);
    let page = std::fs::read_to_string(root.join(page)).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let rows: Vec<&str> = rows.filter(|line| !line.starts_with(head)).collect();
    for line in &rows {
        let tests = line.rsplit('|').nth(1).unwrap();
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test: {line}");
        exist(&files, line, &named);
    }
    rows.len()
}

#[test]
fn every_attack_names_tests_that_exist() {
    let rows = check_rows("SECURITY.md", "| Attack |");
    assert!(rows > 20, "{rows} attacks");
}

#[test]
fn every_rule_of_access_names_tests_that_exist() {
    let rows = check_rows("docs/internals/access-rules.md", "| Rule |");
    assert!(rows > 100, "{rows} rules");
}

#[test]
fn every_requirement_names_tests_that_exist() {
    let rows = check_rows("docs/rfc.md", "| § |");
    assert!(rows > 50, "{rows} requirements");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rfc.md");
    let page = std::fs::read_to_string(page).unwrap();
    for rfc in ["9110", "9112", "9113", "6455", "8441", "9209"] {
        assert!(page.contains(&format!("RFC {rfc}")), "{rfc}");
    }
}
