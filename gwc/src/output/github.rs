//! Format `github`: GitHub's workflow commands, `::error file=…,line=…::message`, shown as
//! annotations.
//!
//! A command ends at the end of its line, a property ends at `,` or `:`, and `%` begins an escape.
//! Quoted text is escaped, so it can neither end a command nor begin another one.
//! <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>

use std::fmt::Write as _;

use diag::Level;

use diag::workflow::{data, property};

use super::report::{Report, sentence};

/// Renders one command for each finding.
#[must_use]
pub fn render(report: &Report<'_>) -> String {
    let mut out = String::new();
    for finding in report.findings {
        let place = report.files.sources.position(finding.span);
        let command = match finding.level {
            Level::Error => "error",
            Level::Warn => "warning",
            Level::Info => "notice",
        };
        let title = format!("{} {}", finding.lint.code, finding.lint.name);
        let _ = write!(
            out,
            "::{command} file={},line={},endLine={}",
            property(&report.seen_path(finding.span)),
            place.line,
            place.end_line
        );
        // GitHub accepts columns only for locations within one line. The end column is inclusive.
        if place.line == place.end_line {
            let last = place.end_column.saturating_sub(1).max(place.column);
            let _ = write!(out, ",col={},endColumn={last}", place.column);
        }
        let _ = writeln!(
            out,
            ",title={}::{}",
            property(&title),
            data(&sentence(finding))
        );
    }
    out
}
