//! Format `jsonl`: the findings of `lint/v1` as one JSON document per line, for stream readers.

use super::json;
use super::report::Report;

/// Renders one line with a JSON document for each finding.
#[must_use]
pub fn render(report: &Report<'_>) -> String {
    let lines = json::findings(report).into_iter();
    lines
        .map(|finding| diag::json::line(&finding) + "\n")
        .collect()
}
