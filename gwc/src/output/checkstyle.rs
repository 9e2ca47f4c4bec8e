//! Format `checkstyle`: Checkstyle XML, which most continuous-integration servers read.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use diag::xml::escaped;
use diag::{Diagnostic, Level};

use super::report::{Report, sentence};

/// Renders the findings as a Checkstyle XML document, grouped by file.
#[must_use]
pub fn render(report: &Report<'_>) -> String {
    let mut by_file: BTreeMap<String, Vec<&Diagnostic>> = BTreeMap::new();
    for finding in report.findings {
        let path = report.seen_path(finding.span);
        by_file.entry(path).or_default().push(finding);
    }
    let mut out =
        String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<checkstyle version=\"4.3\">\n");
    for (path, findings) in by_file {
        let _ = writeln!(out, "  <file name=\"{}\">", escaped(&path));
        for finding in findings {
            let place = report.files.sources.position(finding.span);
            let severity = match finding.level {
                Level::Error => "error",
                Level::Warn => "warning",
                Level::Info => "info",
            };
            let _ = writeln!(
                out,
                "    <error line=\"{}\" column=\"{}\" severity=\"{severity}\" message=\"{}\" source=\"gwc.{}.{}\"/>",
                place.line,
                place.column,
                escaped(&sentence(finding)),
                finding.lint.code,
                finding.lint.name,
            );
        }
        out.push_str("  </file>\n");
    }
    out.push_str("</checkstyle>\n");
    out
}
