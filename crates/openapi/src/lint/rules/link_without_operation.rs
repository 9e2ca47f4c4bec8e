//! Rule for a link without an operation.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0380",
    name: "link-without-operation",
    level: Level::Error,
    summary: "a link that names no operation",
    explain: "A link names the next operation by `operationId` or `operationRef` (OpenAPI 3.0.4 §4.8.20).",
    bad: v30!("paths: {}\ncomponents: {links: {L: {description: d}}}\n"),
    good: v30!(
        "paths: {/a: {get: {operationId: here, responses: {'200': {description: ok}}}}}\n",
        "components: {links: {L: {operationId: here}}}\n"
    ),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let names = ["operationId", "operationRef"];
    if names.iter().all(|key| place.node.get(key).is_none()) {
        sink.push(
            Diagnostic::new(&LINT, place.at, "the link names no operation")
                .help("add `operationId`, the id of an operation"),
        );
    }
}
