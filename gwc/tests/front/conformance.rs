//! Tests with conformance suites: gwc reports no errors in documents that a suite calls valid. In
//! invalid documents, gwc reports an error at a location inside the text.

use std::path::{Path, PathBuf};

use prerequisite::corpus;

use crate::project;

/// Documents on which gwc and the suite disagree, with the reason.
const OTHERWISE: &[(&str, &str)] = &[
    (
        "mermade-3.0/pass/gluecon/example3_from_._Different_parameters.md.yaml",
        "two parameters side by side cannot be told apart",
    ),
    (
        "mermade-3.0/pass/resolution/twolevel/subdir1/subdir2/ok.yaml",
        "a part of another document",
    ),
    (
        "mermade-3.0/pass/resolution/twolevel/subdir1/test.yaml",
        "a part of another document",
    ),
    (
        "readme-oas-examples/pass/3.0/json/parameters-common.json",
        "one name twice in a template",
    ),
    (
        "readme-oas-examples/pass/3.0/yaml/parameters-common.yaml",
        "one name twice in a template",
    ),
    (
        "readme-oas-examples/pass/3.0/json/schema-types.json",
        "an array without items in 3.0",
    ),
    (
        "readme-oas-examples/pass/3.0/yaml/schema-types.yaml",
        "an array without items in 3.0",
    ),
];

/// Rules about a whole document, whose findings may be at its first byte.
const WHOLE: &[&str] = &[
    "empty-document",
    "malformed-json",
    "malformed-yaml",
    "missing-field",
    "unsupported-version",
    "wrong-field-type",
];

fn documents(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn conformance_suites_have_their_stated_verdicts() {
    let corpus = corpus::folder();
    let root = corpus.join("conformance");
    let doubtful = std::fs::read_to_string(root.join("doubtful.tsv")).expect("the table");
    let doubtful: Vec<&str> = doubtful
        .lines()
        .filter_map(|row| row.split('\t').next())
        .collect();
    let mut wrong = Vec::new();
    let mut checked = 0;
    for suite in [
        "oas-3.0",
        "oas-3.1",
        "oas-3.2",
        "mermade-3.0",
        "mermade-3.1",
        "readme-oas-examples",
    ] {
        for label in ["pass", "fail"] {
            for path in documents(&root.join(suite).join(label)) {
                let name = path
                    .strip_prefix(&root)
                    .expect("below the root")
                    .to_string_lossy()
                    .into_owned();
                let oas = suite.starts_with("oas-");
                if !oas && doubtful.contains(&name.as_str()) {
                    continue;
                }
                // Lint the whole suite as one project, so that files next to a document are found.
                let folder = root.join(suite);
                let inside = path
                    .strip_prefix(&folder)
                    .expect("below the folder")
                    .to_string_lossy()
                    .into_owned();
                let linted = project::folder(&folder, &inside);
                // A mistake must be reported at its own location, not at the start of the text.
                let placed = |finding: &&diag::Diagnostic| {
                    let at = linted.files.sources.position(finding.span);
                    (at.line, at.column) != (1, 1) || WHOLE.contains(&finding.lint.name)
                };
                let errors = linted.findings.iter().filter(placed).filter(|finding| {
                    let reference =
                        finding.lint.code.starts_with("GW021") || finding.lint.code == "GW0220";
                    finding.level == diag::Level::Error && !(oas && reference)
                });
                checked += 1;
                let otherwise = OTHERWISE.iter().any(|(document, _)| *document == name);
                if ((errors.count() == 0) != (label == "pass")) != otherwise {
                    wrong.push(format!("{name}\n{}", linted.lines()));
                }
            }
        }
    }
    assert_eq!(
        wrong.len(),
        0,
        "{} of {checked}\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
