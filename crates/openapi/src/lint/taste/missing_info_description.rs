//! Rule for an API without a description.

use diag::{Diagnostic, Level, Lint, Sink};

use super::is_blank;
use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0702",
    name: "missing-info-description",
    level: Level::Warn,
    summary: "an API without a description",
    explain: "`info.description` is the first thing that readers of generated documentation look for.",
    bad: v30!("paths: {}\n"),
    good: &[(
        "openapi.yaml",
        "openapi: 3.0.3\ninfo: {title: t, version: \"1\", description: d}\npaths: {}\n",
    )],
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    if is_blank(place.node, "description") {
        sink.push(
            Diagnostic::new(&LINT, place.at, "the API has no description")
                .help("add a `description`"),
        );
    }
}
