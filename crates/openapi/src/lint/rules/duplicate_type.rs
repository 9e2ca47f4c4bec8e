//! Rule for a type that occurs twice in `type`.

use diag::{Level, Lint, Sink};

use super::duplicate_enum_value::twice;
use crate::lint::Place;
use crate::spec::Version;
use sources::v31;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0389",
    name: "duplicate-type",
    level: Level::Warn,
    summary: "a type that occurs twice in `type`",
    explain: "The types in `type` are a set (JSON Schema 2020-12 validation §6.1.1): the second one has no effect and \
is most likely a mistake.",
    bad: v31!("paths: {}\ncomponents: {schemas: {A: {type: [string, string]}}}\n"),
    good: v31!("paths: {}\ncomponents: {schemas: {A: {type: [string, 'null']}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    // 3.0 has no lists of types; another rule reports such a list.
    if let Some(list) = place.node.get("type")
        && place.version >= Version::V31
    {
        twice(place, list, &LINT, sink);
    }
}
