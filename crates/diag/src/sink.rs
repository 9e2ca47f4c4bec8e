//! Collector of findings. Readers add findings to the collector and continue reading.

use crate::diagnostic::{Diagnostic, Level, Lint};

/// Collector of findings.
#[derive(Default)]
pub struct Sink {
    findings: Vec<Diagnostic>,
}

impl Sink {
    /// Adds a finding.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.findings.push(diagnostic);
    }

    /// Adds the findings of another sink.
    pub fn append(&mut self, mut other: Self) {
        self.findings.append(&mut other.findings);
    }

    /// Findings so far, in the order in which they were added.
    #[must_use]
    pub fn findings(&self) -> &[Diagnostic] {
        &self.findings
    }

    /// Raises the level of all findings of a lint to error.
    pub fn raise(&mut self, lint: &'static Lint) {
        let those = self.findings.iter_mut();
        those
            .filter(|finding| std::ptr::eq(finding.lint, lint))
            .for_each(|finding| finding.level = Level::Error);
    }

    /// True if one of the findings is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.level == Level::Error)
    }

    /// Returns the findings sorted by source location, code and message, without duplicates.
    #[must_use]
    pub fn into_sorted(self) -> Vec<Diagnostic> {
        let mut findings = self.findings;
        findings.sort_by(|a, b| {
            (a.span, a.lint.code, &a.message).cmp(&(b.span, b.lint.code, &b.message))
        });
        findings.dedup_by(|a, b| {
            a.span == b.span && a.lint.code == b.lint.code && a.message == b.message
        });
        findings
    }
}
