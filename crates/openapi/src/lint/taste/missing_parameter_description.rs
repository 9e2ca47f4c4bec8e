//! Rule for a parameter without a description.

use diag::{Diagnostic, Level, Lint, Sink};

use super::is_blank;
use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0713",
    name: "missing-parameter-description",
    level: Level::Warn,
    summary: "a parameter without a description",
    explain: "The name of a parameter rarely explains its values.",
    bad: v30!("paths: {}\ncomponents: {parameters: {P: {name: p, in: query, schema: {}}}}\n"),
    good: v30!(
        "paths: {}\ncomponents: {parameters: {P: {name: p, in: query, description: d, schema: {}}}}\n"
    ),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    if is_blank(place.node, "description") {
        sink.push(
            Diagnostic::new(&LINT, place.at, "the parameter has no description")
                .help("add a `description`"),
        );
    }
}
