//! Rule for a server URL with a user and a password.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0366",
    name: "credentials-in-url",
    level: Level::Warn,
    summary: "a server whose URL has a user and a password",
    explain: "Every reader of the document has the password, and clients that refuse such URLs (RFC 9110 §4.2.4) \
cannot call the API.",
    bad: v30!("paths: {}\nservers: [{url: 'https://user:secret@a.test'}]\n"),
    good: v30!("paths: {}\nservers: [{url: 'https://a.test'}]\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let Some(url) = place.node.get("url") else {
        return;
    };
    let after = url.as_str().and_then(|text| text.split_once("://"));
    let authority = after.and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
    if authority.is_some_and(|authority| authority.contains('@')) {
        sink.push(
            Diagnostic::new(&LINT, url.span(), "the URL contains credentials")
                .help("remove the text before the `@`, and change the password"),
        );
    }
}
