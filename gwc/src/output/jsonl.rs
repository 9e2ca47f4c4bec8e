//! One JSON document for each finding, one per line: the findings of `lint/v1` without what
//! stands around them, for programs that read a stream.

use super::{Report, json};

/// Writes the lines.
#[must_use]
pub fn render(report: &Report<'_>) -> String {
    let lines = json::findings(report).into_iter();
    lines.map(|finding| format!("{finding}\n")).collect()
}
