//! Rule for a callback inside another callback.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0727",
    name: "callback-in-callback",
    level: Level::Warn,
    summary: "a callback of a callback",
    explain: "OpenAPI allows nested callbacks, but tools do not support them.",
    bad: v30!(
        "paths: {}\ncomponents: {callbacks: {C: {'{$request.body#/u}': {post: {responses: {'200': {description: ok}}, callbacks: {D: {'{$request.body#/v}': {}}}}}}}}\n"
    ),
    good: v30!(
        "paths: {}\ncomponents: {callbacks: {C: {'{$request.body#/u}': {post: {responses: {'200': {description: ok}}}}}}}\n"
    ),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let items = place.node.entries().map(|(_, item)| item);
    for operation in items.flat_map(|item| item.entries().map(|(_, operation)| operation)) {
        if let Some((entry, _)) = operation.entry("callbacks") {
            sink.push(Diagnostic::new(
                &LINT,
                entry.key_span,
                "a callback has callbacks of its own",
            ));
        }
    }
}
