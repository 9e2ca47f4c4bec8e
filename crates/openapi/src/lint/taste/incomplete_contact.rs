//! Rule for a contact without a name, a URL or an e-mail address.

use diag::{Diagnostic, Level, Lint, Sink};

use super::is_blank;
use crate::lint::Place;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0701",
    name: "incomplete-contact",
    level: Level::Warn,
    summary: "a contact without a name, a URL or an e-mail address",
    explain: "A useful contact has a `name` and a way to reach it (`url`, `email`).",
    bad: &[(
        "openapi.yaml",
        "openapi: 3.0.3\ninfo: {title: t, version: \"1\", contact: {name: n}}\npaths: {}\n",
    )],
    good: &[(
        "openapi.yaml",
        "openapi: 3.0.3\ninfo: {title: t, version: \"1\", contact: {name: n, url: 'https://a.example', email: a@a.example}}\npaths: {}\n",
    )],
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let fields = ["name", "url", "email"].into_iter();
    let missing: Vec<&str> = fields.filter(|field| is_blank(place.node, field)).collect();
    if !missing.is_empty() {
        let message = format!("the contact has no `{}`", missing.join("`, no `"));
        sink.push(Diagnostic::new(&LINT, place.at, message));
    }
}
