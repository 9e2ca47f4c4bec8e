//! Format `checkstyle`: Checkstyle XML, which most continuous-integration servers read.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use diag::Level;
use diag::xml::escaped;

use super::Finding;
use crate::report::Report;

/// Renders the changes as a Checkstyle XML document, grouped by file.
#[must_use]
pub fn render(report: &Report<'_>) -> String {
    let findings = super::of(report);
    let mut by_file: BTreeMap<&str, Vec<&Finding<'_>>> = BTreeMap::new();
    for finding in &findings {
        by_file.entry(finding.path()).or_default().push(finding);
    }
    let mut out =
        String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<checkstyle version=\"4.3\">\n");
    for (path, findings) in by_file {
        let _ = writeln!(out, "  <file name=\"{}\">", escaped(path));
        for finding in findings {
            let severity = match finding.level {
                Level::Error => "error",
                Level::Warn => "warning",
                Level::Info => "info",
            };
            let _ = writeln!(
                out,
                "    <error line=\"{}\" column=\"{}\" severity=\"{severity}\" message=\"{}\" source=\"gwc.{}\"/>",
                finding.line(),
                finding.at.as_ref().map_or(1, |at| at.column),
                escaped(&finding.message),
                finding.change.id,
            );
        }
        out.push_str("  </file>\n");
    }
    out.push_str("</checkstyle>\n");
    out
}
