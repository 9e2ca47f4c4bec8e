//! Rule for an operation without an `operationId`.

use diag::{Diagnostic, Level, Lint, Sink};

use super::is_blank;
use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0710",
    name: "missing-operation-id",
    level: Level::Warn,
    summary: "an operation without an id",
    explain: "With an `operationId` the operation keeps its name in diffs, metrics and logs when its path changes; generators make \
the names of functions from it. Without one gwc calls it `METHOD api:/template`.",
    bad: v30!("paths:\n  /a:\n    get: {responses: {'200': {description: ok}}}\n"),
    good: v30!("paths:\n  /a:\n    get: {operationId: a, responses: {'200': {description: ok}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    if is_blank(place.node, "operationId") {
        sink.push(
            Diagnostic::new(&LINT, place.at, "the operation has no id")
                .help("add an `operationId`"),
        );
    }
}
