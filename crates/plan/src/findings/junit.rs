//! Format `junit`: JUnit XML. Each change is a test case, which fails if its level is `error`.
//! Without changes there is one passing case, because readers treat a suite without cases as an
//! error.

use std::fmt::Write as _;

use diag::Level;
use diag::xml::escaped;

use crate::report::Report;

/// Renders the changes as a JUnit XML document.
#[must_use]
pub fn render(report: &Report<'_>) -> String {
    let findings = super::of(report);
    let failures = findings.iter().filter(|one| one.level == Level::Error);
    let counts = format!(
        "name=\"gwc plan\" tests=\"{}\" failures=\"{}\" errors=\"0\"",
        findings.len().max(1),
        failures.count()
    );
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n  <testsuite {counts} skipped=\"0\">\n"
    );
    if findings.is_empty() {
        out.push_str("    <testcase name=\"no changes\" classname=\"gwc plan\"/>\n");
    }
    for finding in &findings {
        let path = escaped(finding.path());
        let level = finding.level.name();
        let message = escaped(&finding.message);
        let _ = writeln!(
            out,
            "    <testcase name=\"{} [{}]\" classname=\"{path}\" file=\"{path}\" line=\"{}\">",
            finding.change.id,
            finding.change.short(),
            finding.line(),
        );
        let _ = match finding.level {
            Level::Error => writeln!(
                out,
                "      <failure type=\"{}\" message=\"{message}\">{message}</failure>",
                finding.change.class.name()
            ),
            Level::Warn | Level::Info => {
                writeln!(out, "      <system-out>{level}: {message}</system-out>")
            }
        };
        out.push_str("    </testcase>\n");
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}
