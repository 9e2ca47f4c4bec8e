//! Rule for an operation without a summary.

use diag::{Diagnostic, Level, Lint, Sink};

use super::is_blank;
use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0709",
    name: "missing-operation-summary",
    level: Level::Warn,
    summary: "an operation without a summary",
    explain: "Lists of operations show each operation by its summary.",
    bad: v30!("paths:\n  /a:\n    get: {responses: {'200': {description: ok}}}\n"),
    good: v30!("paths:\n  /a:\n    get: {summary: s, responses: {'200': {description: ok}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    if is_blank(place.node, "summary") {
        sink.push(
            Diagnostic::new(&LINT, place.at, "the operation has no summary")
                .help("add a `summary`"),
        );
    }
}
