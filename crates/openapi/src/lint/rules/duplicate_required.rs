//! Rule for a property that occurs twice in `required`.

use diag::{Level, Lint, Sink};

use super::duplicate_enum_value::twice;
use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0373",
    name: "duplicate-required",
    level: Level::Warn,
    summary: "a property that occurs twice in `required`",
    explain: "The names in `required` are a set; the second one has no effect and is most likely a mistake.",
    bad: v30!(
        "paths: {}\ncomponents: {schemas: {A: {type: object, required: [a, a], properties: {a: {type: string}}}}}\n"
    ),
    good: v30!(
        "paths: {}\ncomponents: {schemas: {A: {type: object, required: [a], properties: {a: {type: string}}}}}\n"
    ),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let Some(list) = place.node.get("required") else {
        return;
    };
    twice(place, list, &LINT, sink);
}
