//! Fixture: small projects in memory or in a folder, and their findings.

use std::path::Path;

use diag::{Diagnostic, FileId, Sink};
use gwc::output::{Report, concise};
use openapi::lint::baseline::Baseline;
use openapi::lint::{Chosen, Levels, ReportSettings};
use openapi::spec::Spec;
use sources::project::files::{Document, Files};
use sources::syntax::Limits;

/// Document or project with its findings.
pub(crate) struct Linted {
    pub(crate) files: Files,
    pub(crate) document: Option<Document>,
    pub(crate) spec: Option<Spec>,
    pub(crate) findings: Vec<Diagnostic>,
}

/// Lints a document in a folder.
pub(crate) fn folder(root: &Path, name: &str) -> Linted {
    lint(
        Files::open(root, Limits::default()).expect("the folder is there"),
        name,
        &[],
        &Levels::new(),
    )
}

/// Lints the first of these files, with the overlays of the files named `overlay…`.
pub(crate) fn memory(texts: &[(&str, &str)]) -> Linted {
    memory_at(texts, &Levels::new())
}

/// Like [`memory`], with these lint levels.
pub(crate) fn memory_at(texts: &[(&str, &str)], levels: &Levels) -> Linted {
    let files = texts.iter().map(|(path, text)| (*path, *text));
    let overlays: Vec<&str> = texts
        .iter()
        .map(|(path, _)| *path)
        .filter(|path| path.starts_with("overlay"))
        .collect();
    lint(
        Files::in_memory(files, Limits::default()),
        texts[0].0,
        &overlays,
        levels,
    )
}

/// Lints one document.
pub(crate) fn text(text: &str) -> Linted {
    memory(&[("openapi.yaml", text)])
}

fn lint(mut files: Files, name: &str, overlays: &[&str], levels: &Levels) -> Linted {
    let settling = ReportSettings {
        levels,
        ..ReportSettings::default()
    };
    let mut sink = Sink::default();
    let file = files.read(name).expect("the document is there");
    files.report(file, &mut sink);
    let Some(root) = files.root(file) else {
        let findings = openapi::lint::findings_to_report(sink, &files, settling);
        return Linted {
            files,
            document: None,
            spec: None,
            findings,
        };
    };
    let mut document = Document {
        file,
        root,
        overlays: Vec::new(),
    };
    for overlay in overlays {
        let overlay: FileId = files.read(overlay).expect("the overlay is there");
        files.report(overlay, &mut sink);
        openapi::overlay::apply(&mut files, &mut document, overlay, &mut sink);
    }
    files.follow(&document);
    openapi::spec::lift::lift(&mut files, &mut document, &mut sink);
    let spec = openapi::check::document(&files, &document, &Chosen::of(levels), &mut sink);
    let mut findings = openapi::lint::findings_to_report(sink, &files, settling);
    if let Ok(file) = files.read("baseline.json") {
        let text = files.sources.file(file).text().to_owned();
        let mut sink = Sink::default();
        let baseline = Baseline::read(&mut files, "baseline.json", text, &mut sink);
        findings = baseline.expect("it is one").apply(&files, findings);
    }
    Linted {
        files,
        document: Some(document),
        spec,
        findings,
    }
}

/// Converts the result of a compilation. Leaves out the document and the specification.
pub(crate) fn of(compiled: model::compile::Compiled) -> Linted {
    Linted {
        files: compiled.files,
        document: None,
        spec: None,
        findings: compiled.findings,
    }
}

impl Linted {
    /// Findings as lines of text.
    pub(crate) fn lines(&self) -> String {
        concise::render(&self.report())
    }

    /// Findings as a report.
    pub(crate) fn report(&self) -> Report<'_> {
        Report {
            files: &self.files,
            folder: "",
            findings: &self.findings,
            environment: None,
            cost: None,
            fail_on: diag::Level::Error,
        }
    }

    /// Names of the findings' lints, in the order of the findings.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.findings
            .iter()
            .map(|finding| finding.lint.name)
            .collect()
    }
}
