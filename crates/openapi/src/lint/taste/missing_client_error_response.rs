//! Rule for an operation without a client error response.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0715",
    name: "missing-client-error-response",
    level: Level::Warn,
    summary: "an operation without a response for invalid requests",
    explain: "Every operation can receive an invalid request; a 4xx response documents what \
clients get then.",
    bad: v30!("paths:\n  /a:\n    get: {responses: {'200': {description: ok}}}\n"),
    good: v30!(
        "paths:\n  /a:\n    get: {responses: {'200': {description: ok}, '404': {description: gone}}}\n"
    ),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let refuses = |status: &str| status.starts_with('4') || status == "default";
    if let Some(responses) = place.node.get("responses")
        && responses.is_map()
        && responses.get("$ref").is_none()
        && !responses.entries().any(|(entry, _)| refuses(&entry.key))
    {
        sink.push(
            Diagnostic::new(&LINT, place.at, "no response describes a client error")
                .help("add one: `4XX: {description: …}`"),
        );
    }
}
