//! Checks that the tables of ARCHITECTURE.md on the life of a request and of a document name files
//! and functions that exist.

use std::path::Path;

/// Headings of the sections with these tables.
const SECTIONS: [&str; 2] = ["## The life of a request", "## The life of a document"];

/// Path of a source file from the root of the repository. Other paths in the tables begin in
/// `gwd/src`.
fn from_root(written: &str) -> String {
    let roots = ["crates/", "gwc/", "gwd/"];
    match roots.iter().any(|root| written.starts_with(root)) {
        true => written.to_owned(),
        false => format!("gwd/src/{written}"),
    }
}

/// Second cell of each row of the tables.
fn places(text: &str) -> Vec<&str> {
    let mut is_section = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.starts_with("## ") {
            is_section = SECTIONS.contains(&line);
        } else if is_section && line.starts_with('|') {
            found.extend(line.split('|').nth(2));
        }
    }
    found
}

#[test]
fn architecture_names_existing_functions() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let mut count = 0;
    let mut missing = Vec::new();
    for cell in places(&text) {
        for place in cell.split(';') {
            let mut source = String::new();
            for name in place.split('`').skip(1).step_by(2) {
                if name.ends_with(".rs") {
                    let path = root.join(from_root(name));
                    match std::fs::read_to_string(path) {
                        Ok(text) => source = text,
                        Err(_) => missing.push(name),
                    }
                    continue;
                }
                count += 1;
                let is_there = ['(', '<']
                    .iter()
                    .any(|next| source.contains(&format!("fn {name}{next}")));
                if !is_there {
                    missing.push(name);
                }
            }
        }
    }
    assert!(count > 50, "only {count} functions found");
    assert!(missing.is_empty(), "{missing:?}");
}
