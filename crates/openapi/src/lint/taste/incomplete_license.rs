//! Rule for a license without a URL or identifier.

use diag::{Diagnostic, Level, Lint, Sink};

use super::is_blank;
use crate::lint::Place;
use crate::spec::Version;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0704",
    name: "incomplete-license",
    level: Level::Warn,
    summary: "a license without a URL or SPDX identifier",
    explain: "A license's `name` alone may mean several texts; `url`, or from 3.1 on the SPDX `identifier`, says which.",
    bad: &[(
        "openapi.yaml",
        "openapi: 3.0.3\ninfo: {title: t, version: \"1\", license: {name: MIT}}\npaths: {}\n",
    )],
    good: &[(
        "openapi.yaml",
        "openapi: 3.0.3\ninfo: {title: t, version: \"1\", license: {name: MIT, url: 'https://a.example'}}\npaths: {}\n",
    )],
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    if is_blank(place.node, "url") && is_blank(place.node, "identifier") {
        let help = if place.version >= Version::V31 {
            "add a `url`, or the SPDX `identifier`"
        } else {
            "add a `url`"
        };
        sink.push(
            Diagnostic::new(&LINT, place.at, "the license has no URL or identifier").help(help),
        );
    }
}
