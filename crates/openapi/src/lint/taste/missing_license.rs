//! Rule for an API without a license.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0703",
    name: "missing-license",
    level: Level::Warn,
    summary: "an API without a license",
    explain: "`info.license` says under which terms the API may be used.",
    bad: v30!("paths: {}\n"),
    good: &[(
        "openapi.yaml",
        "openapi: 3.0.3\ninfo: {title: t, version: \"1\", license: {name: MIT}}\npaths: {}\n",
    )],
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    if place.node.get("license").is_none() {
        sink.push(
            Diagnostic::new(&LINT, place.at, "the API has no license")
                .help("add `license: {name: …, url: …}`"),
        );
    }
}
