//! Rule for an operation without any response.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0379",
    name: "empty-responses",
    level: Level::Warn,
    summary: "an operation without any response",
    explain: "`responses` must have at least one entry; without one the response of the operation \
is unknown.",
    bad: v30!("paths:\n  /a:\n    get: {responses: {}}\n"),
    good: v30!("paths:\n  /a:\n    get: {responses: {'200': {description: ok}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let own = |key: &str| !key.starts_with("x-");
    if !place.node.entries().any(|(entry, _)| own(&entry.key)) {
        sink.push(
            Diagnostic::new(&LINT, place.at, "there is no response")
                .help("add one: `'200': {description: …}`, or `default`"),
        );
    }
}
