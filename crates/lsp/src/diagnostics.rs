//! Findings of the compiler as diagnostics of the protocol.

use std::collections::BTreeMap;
use std::path::PathBuf;

use diag::{Diagnostic, Level, Span};
use lsp_types::{
    self as lsp, DiagnosticRelatedInformation, DiagnosticSeverity, DiagnosticTag, Location,
    NumberOrString,
};

use model::compile::Compiled;

use crate::project::Checked;
use crate::text::{Encoding, Text};
use crate::uri::uri_of;

/// Name of the server as the source of diagnostics.
pub(crate) const SOURCE: &str = "gwc";

/// Converter from spans to positions of the protocol. Caches the texts of the files.
pub(crate) struct Spans<'c> {
    checked: &'c Checked,
    texts: BTreeMap<PathBuf, Text>,
    encoding: Encoding,
}

impl<'c> Spans<'c> {
    pub(crate) fn new(checked: &'c Checked, encoding: Encoding) -> Self {
        Self {
            checked,
            texts: BTreeMap::new(),
            encoding,
        }
    }

    /// Range of a span.
    pub(crate) fn range(&mut self, span: Span) -> lsp::Range {
        self.range_in(&self.checked.compiled, span)
    }

    /// Range of a span of one of the compilations.
    pub(crate) fn range_in(&mut self, compiled: &Compiled, span: Span) -> lsp::Range {
        let checked = self.checked;
        let text = self
            .texts
            .entry(checked.path_in(compiled, span.file))
            .or_insert_with(|| checked.text_in(compiled, span.file));
        text.range(span.start as usize, span.end as usize, self.encoding)
    }

    /// File and range of a span. `None` if the path of the file has no URI.
    pub(crate) fn location(&mut self, span: Span) -> Option<Location> {
        self.location_in(&self.checked.compiled, span)
    }

    /// File and range of a span of one of the compilations.
    pub(crate) fn location_in(&mut self, compiled: &Compiled, span: Span) -> Option<Location> {
        let uri = uri_of(&self.checked.path_in(compiled, span.file))?;
        Some(Location::new(uri, self.range_in(compiled, span)))
    }
}

/// Diagnostics of all files of a project, by path.
pub(crate) fn all(
    checked: &Checked,
    encoding: Encoding,
) -> BTreeMap<PathBuf, Vec<lsp::Diagnostic>> {
    let mut spans = Spans::new(checked, encoding);
    let mut all: BTreeMap<PathBuf, Vec<lsp::Diagnostic>> = BTreeMap::new();
    for finding in &checked.compiled.findings {
        let path = checked.path_of(finding.span.file);
        all.entry(path)
            .or_default()
            .push(diagnostic(finding, &mut spans));
    }
    all
}

fn diagnostic(finding: &Diagnostic, spans: &mut Spans<'_>) -> lsp::Diagnostic {
    let related = finding.related.iter().filter_map(|(span, message)| {
        Some(DiagnosticRelatedInformation {
            location: spans.location(*span)?,
            message: message.clone(),
        })
    });
    let related: Vec<_> = related.collect();
    let is_unused = finding.lint.name.starts_with("unused-");
    lsp::Diagnostic {
        range: spans.range(finding.span),
        severity: Some(match finding.level {
            Level::Error => DiagnosticSeverity::ERROR,
            Level::Warn => DiagnosticSeverity::WARNING,
            Level::Info => DiagnosticSeverity::INFORMATION,
        }),
        code: Some(NumberOrString::String(finding.lint.name.to_owned())),
        source: Some(SOURCE.to_owned()),
        message: message(finding),
        related_information: (!related.is_empty()).then_some(related),
        tags: is_unused.then(|| vec![DiagnosticTag::UNNECESSARY]),
        ..lsp::Diagnostic::default()
    }
}

/// Message of a finding, with its label and help.
fn message(finding: &Diagnostic) -> String {
    let mut message = finding.message.clone();
    if !finding.label.is_empty() {
        message.push('\n');
        message.push_str(&finding.label);
    }
    if let Some(help) = &finding.help {
        message.push_str("\nhelp: ");
        message.push_str(help);
    }
    message
}
