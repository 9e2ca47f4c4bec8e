//! Real descriptions are read without an error that they do not deserve.

use std::path::Path;
use std::time::Instant;

use diag::{Level, Sink};
use gwc::output::{Report, human};
use gwc::project::files::{Document, Files};
use gwc::spec::Spec;
use gwc::syntax::Limits;

use crate::corpus;

/// Reads and lints one document of a folder.
fn lint(folder: &Path, name: &str) -> (Files, Option<Spec>, Vec<diag::Diagnostic>) {
    let mut files = Files::open(folder, Limits::default()).expect("the folder is there");
    let mut sink = Sink::default();
    let start = Instant::now();
    let file = files.read(name).expect("the file is there");
    files.report(file, &mut sink);
    let parsed = start.elapsed();
    let Some(root) = files.root(file) else {
        return (files, None, gwc::lint::finish(sink));
    };
    let document = Document {
        file,
        root,
        overlays: Vec::new(),
    };
    files.follow(&document);
    let followed = start.elapsed();
    let spec = gwc::lint::document(&files, &document, &mut sink);
    eprintln!(
        "{name}: parsed {parsed:?}, followed {followed:?}, linted {:?}",
        start.elapsed()
    );
    (files, spec, gwc::lint::finish(sink))
}

#[test]
fn real_documents_are_read() {
    let Some(corpus) = corpus::folder() else {
        return;
    };
    // Each with its operations and the kinds of findings that it deserves.
    let deserved: &[(&str, &str, usize, &[&str])] = &[
        ("specs", "museum.yaml", 8, &[]),
        ("specs", "petstore.yaml", 19, &[]),
        ("specs", "figma.yaml", 47, &[]),
        ("specs", "discord.json", 242, &[]),
        ("specs", "xero_accounting.yaml", 235, &["ignored-sibling"]),
        ("specs", "stripe.yaml", 460, &[]),
        (
            "specs/digitalocean/specification",
            "DigitalOcean-public.v2.yaml",
            659,
            &["unusual-reference"],
        ),
    ];
    for (folder, name, operations, kinds) in deserved {
        let (files, spec, findings) = lint(&corpus.join(folder), name);
        let report = Report {
            files: &files,
            findings: &findings,
            environment: None,
            fail_on: Level::Error,
        };
        let text = human::render(&report, human::Look::default());
        assert!(!report.blocked(), "{text}");
        let mut found: Vec<&str> = findings.iter().map(|finding| finding.lint.name).collect();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, *kinds, "{text}");
        let spec = spec.expect("an OpenAPI document");
        let count: usize = spec.paths.iter().map(|path| path.operations.len()).sum();
        assert_eq!(count, *operations, "{name}");
    }
}
