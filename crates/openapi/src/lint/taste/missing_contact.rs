//! Rule for an API without a contact.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0700",
    name: "missing-contact",
    level: Level::Warn,
    summary: "an API without a contact",
    explain: "`info.contact` names a contact for clients, and the owner of the API for colleagues.",
    bad: v30!("paths: {}\n"),
    good: &[(
        "openapi.yaml",
        "openapi: 3.0.3\ninfo: {title: t, version: \"1\", contact: {name: n}}\npaths: {}\n",
    )],
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    if place.node.get("contact").is_none() {
        sink.push(
            Diagnostic::new(&LINT, place.at, "`info` has no `contact`")
                .help("add `contact: {name: …, url: …, email: …}`"),
        );
    }
}
