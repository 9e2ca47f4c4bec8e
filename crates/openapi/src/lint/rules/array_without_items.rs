//! Rule for an array schema without `items` in OpenAPI 3.0.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use crate::spec::Version;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0335",
    name: "array-without-items",
    level: Level::Error,
    summary: "an array schema without `items` in OpenAPI 3.0",
    explain: "OpenAPI 3.0 requires `items` beside `type: array`; `items: {}` allows anything.",
    bad: v30!("paths: {}\ncomponents: {schemas: {A: {type: array}}}\n"),
    good: v30!("paths: {}\ncomponents: {schemas: {A: {type: array, items: {}}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    if place.version != Version::V30 {
        return;
    }
    let Some(kind) = place.node.get("type") else {
        return;
    };
    if kind.as_str() == Some("array") && place.node.get("items").is_none() {
        sink.push(
            Diagnostic::new(&LINT, kind.span(), "an array needs `items`")
                .help("`items: {}` allows anything"),
        );
    }
}
