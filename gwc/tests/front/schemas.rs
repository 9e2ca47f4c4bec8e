//! Tests that the files generated from the code are up to date: schemas and documentation pages.
//!
//! `GWC_UPDATE=1 cargo test -p gwc schemas` writes them.

use std::path::Path;

#[test]
fn schema_files_are_current() {
    for (name, schema) in gwc::schemas::all() {
        if name == "trust" {
            continue; // a test of the crate `bundle` compares this schema
        }
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        fresh(&format!("schemas/{name}.schema.json"), &text);
    }
}

#[test]
fn generated_pages_are_current() {
    fresh("docs/diagnostics.md", &gwc::book::diagnostics());
    fresh("docs/changes.md", &gwc::book::changes());
    fresh("docs/breaking-changes.md", &gwc::book::breaking_changes());
    fresh("docs/other-linters.md", &gwc::book::other_linters());
    fresh("docs/vocabulary.md", &gwc::book::vocabulary());
}

fn fresh(path: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    if std::env::var_os("GWC_UPDATE").is_some() {
        std::fs::write(&file, text).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(kept == text, "{path} is stale: run with GWC_UPDATE=1");
}
