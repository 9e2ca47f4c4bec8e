//! Format `jsonl`: the findings of `lint/v1`, one JSON document per line, for programs that read a
//! stream.

use super::{Report, json};

/// Renders the lines.
#[must_use]
pub fn render(report: &Report<'_>) -> String {
    let lines = json::findings(report).into_iter();
    lines.map(|finding| format!("{finding}\n")).collect()
}
