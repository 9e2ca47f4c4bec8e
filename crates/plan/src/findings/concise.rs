//! Format `concise`: one line per change, `file:line:column: error[id]: class: message`, and one
//! line per note.

use std::fmt::Write as _;

use diag::text::printable;

use crate::report::Report;

/// Renders one line for each change and note. Without a known location, the line starts with the
/// level.
#[must_use]
pub fn render(report: &Report<'_>) -> String {
    let mut out = String::new();
    for finding in super::of(report) {
        if let Some(at) = &finding.at {
            let _ = write!(out, "{}:{}:{}: ", printable(&at.path), at.line, at.column);
        }
        let _ = writeln!(
            out,
            "{}[{}]: {}",
            finding.level.name(),
            finding.change.id,
            printable(&finding.message)
        );
    }
    for note in report.plan.all_notes() {
        let _ = writeln!(out, "note: {}", printable(note));
    }
    out
}
