//! Format `gitlab`: GitLab's code quality report, a JSON list that merge requests show.
//! <https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format>

use diag::Level;
use serde_json::{Value, json};

use openapi::lint::fingerprint;

use super::report::{Report, sentence};

/// Renders the findings as a JSON list.
#[must_use]
pub fn render(report: &Report<'_>) -> String {
    let fingerprints = fingerprint::all(report.files, report.findings);
    let issues: Vec<Value> = report
        .findings
        .iter()
        .zip(fingerprints)
        .map(|(finding, fingerprint)| {
            let place = report.files.sources.position(finding.span);
            let severity = match finding.level {
                Level::Error => "major",
                Level::Warn => "minor",
                Level::Info => "info",
            };
            json!({
                "description": sentence(finding),
                "check_name": finding.lint.name,
                "fingerprint": fingerprint,
                "severity": severity,
                "location": {
                    "path": report.seen_path(finding.span),
                    "lines": {"begin": place.line, "end": place.end_line},
                },
            })
        })
        .collect();
    diag::json::pretty(&Value::from(issues))
}
