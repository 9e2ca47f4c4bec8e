//! Format `gitlab`: GitLab's code quality report, a JSON list that merge requests show.
//! <https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format>

use diag::Level;
use serde_json::{Value, json};

use crate::report::Report;

/// Renders the changes as a JSON list.
#[must_use]
pub fn render(report: &Report<'_>) -> String {
    let issues: Vec<Value> = super::of(report)
        .iter()
        .map(|finding| {
            let severity = match finding.level {
                Level::Error => "major",
                Level::Warn => "minor",
                Level::Info => "info",
            };
            json!({
                "description": finding.message,
                "check_name": finding.change.id,
                "fingerprint": finding.change.fingerprint,
                "severity": severity,
                "location": {"path": finding.path(), "lines": {"begin": finding.line()}},
            })
        })
        .collect();
    diag::json::pretty(&Value::from(issues))
}
