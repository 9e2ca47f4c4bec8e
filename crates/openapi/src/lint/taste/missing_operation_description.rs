//! Rule for an operation without a description.

use diag::{Diagnostic, Level, Lint, Sink};

use super::is_blank;
use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0708",
    name: "missing-operation-description",
    level: Level::Warn,
    summary: "an operation without a description",
    explain: "The description says what an operation does, beyond its one-line summary.",
    bad: v30!("paths:\n  /a:\n    get: {responses: {'200': {description: ok}}}\n"),
    good: v30!("paths:\n  /a:\n    get: {description: d, responses: {'200': {description: ok}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    if is_blank(place.node, "description") {
        sink.push(
            Diagnostic::new(&LINT, place.at, "the operation has no description")
                .help("add a `description`"),
        );
    }
}
