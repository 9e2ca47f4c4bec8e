//! Format `junit`: JUnit XML. Each finding is a test case, which fails if its level is at or above
//! `--fail-on`. Without findings there is one passing case, because readers treat a suite without
//! cases as an error.

use std::fmt::Write as _;

use diag::xml::escaped;

use super::report::{Report, sentence};

/// Renders the findings as a JUnit XML document.
#[must_use]
pub fn render(report: &Report<'_>) -> String {
    let stops = |finding: &&diag::Diagnostic| finding.level >= report.fail_on;
    let failures = report.findings.iter().filter(stops).count();
    let tests = report.findings.len().max(1);
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"gwc lint\" tests=\"{tests}\" failures=\"{failures}\" \
errors=\"0\">\n  <testsuite name=\"gwc lint\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" skipped=\"0\">\n"
    );
    if report.findings.is_empty() {
        out.push_str("    <testcase name=\"no findings\" classname=\"gwc lint\"/>\n");
    }
    for finding in report.findings {
        let place = report.files.sources.position(finding.span);
        let path = report.seen_path(finding.span);
        let at = format!("{path}:{}:{}", place.line, place.column);
        let _ = writeln!(
            out,
            "    <testcase name=\"{}\" classname=\"{}\" file=\"{}\" line=\"{}\">",
            escaped(&format!(
                "{} {} at {}:{}",
                finding.lint.code, finding.lint.name, place.line, place.column
            )),
            escaped(&path),
            escaped(&path),
            place.line,
        );
        let level = finding.level.name();
        let message = escaped(&sentence(finding));
        let _ = if stops(&finding) {
            writeln!(
                out,
                "      <failure type=\"{level}\" message=\"{message}\">{}: {message}</failure>",
                escaped(&at)
            )
        } else {
            writeln!(
                out,
                "      <system-out>{}: {level}: {message}</system-out>",
                escaped(&at)
            )
        };
        out.push_str("    </testcase>\n");
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}
