//! Rule for an operation without a success response.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0714",
    name: "missing-success-response",
    level: Level::Warn,
    summary: "an operation without a success response",
    explain: "No response of the operation has a status of 2xx or 3xx, so that a success is undocumented. `default` \
stands for the statuses that are not listed.",
    bad: v30!("paths:\n  /a:\n    get: {responses: {'404': {description: gone}}}\n"),
    good: v30!("paths:\n  /a:\n    get: {responses: {'200': {description: ok}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let succeeds = |status: &str| status.starts_with(['2', '3']) || status == "default";
    if let Some(responses) = place.node.get("responses")
        && responses.is_map()
        && responses.get("$ref").is_none()
        && !responses.entries().any(|(entry, _)| succeeds(&entry.key))
    {
        sink.push(
            Diagnostic::new(&LINT, place.at, "no response has a success status")
                .help("add a success response: `'200': {description: …}`"),
        );
    }
}
