//! Rule for a tag without a description.

use diag::{Diagnostic, Level, Lint, Sink};

use super::is_blank;
use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0707",
    name: "missing-tag-description",
    level: Level::Warn,
    summary: "a tag without a description",
    explain: "Documentation tools show the description of a tag with its group of operations. \
Without one, readers see only the name of the tag.",
    bad: v30!("paths: {}\ntags: [{name: a}]\n"),
    good: v30!("paths: {}\ntags: [{name: a, description: d}]\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    if is_blank(place.node, "description") {
        sink.push(
            Diagnostic::new(&LINT, place.at, "the tag has no description")
                .help("add a `description`"),
        );
    }
}
