//! Format `concise`: one line per finding, `file:line:column: error[GW0123]: message; help: text`.

use std::fmt::Write as _;

use diag::text::printable;

use super::report::{Report, sentence};

/// Renders one line for each finding.
#[must_use]
pub fn render(report: &Report<'_>) -> String {
    let mut out = String::new();
    for finding in report.findings {
        let place = report.files.sources.position(finding.span);
        let _ = writeln!(
            out,
            "{}:{}:{}: {}[{}]: {}",
            printable(&report.seen_path(finding.span)),
            place.line,
            place.column,
            finding.level.name(),
            finding.lint.code,
            printable(&sentence(finding)).replace('\t', " "),
        );
    }
    out
}
