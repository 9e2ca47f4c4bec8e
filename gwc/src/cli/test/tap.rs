//! Test results in the Test Anything Protocol, version 14.

use std::fmt::Write as _;

use super::Results;
use diag::text::printable;

/// Renders the results as a TAP document.
pub(super) fn render(results: &Results<'_>) -> String {
    let mut out = format!("TAP version 14\n1..{}\n", results.tests.len());
    for (number, test) in results.tests.iter().enumerate() {
        let result = if test.failed() { "not ok" } else { "ok" };
        let name = printable(&test.case.name.value);
        // `#` begins a directive in TAP, and `\` an escape.
        let name = name.replace('\\', "\\\\").replace('#', "\\#");
        let _ = write!(out, "{result} {} - {name}", number + 1);
        if let Some(why) = &test.skipped {
            let _ = write!(out, " # SKIP {}", printable(why));
        }
        out.push('\n');
        if !test.failed() {
            continue;
        }
        let place = &test.place;
        let at = format!("{}{}:{}", results.folder, place.file, place.line);
        let text = |text: &str| serde_json::Value::from(printable(text)).to_string();
        let _ = writeln!(out, "  ---\n  at: {}\n  failures:", text(&at));
        for line in super::lines(test) {
            let _ = writeln!(out, "    - {}", text(&line));
        }
        out.push_str("  ...\n");
    }
    out
}
