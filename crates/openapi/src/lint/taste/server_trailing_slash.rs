//! Rule for a server whose URL ends in a slash.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0722",
    name: "server-trailing-slash",
    level: Level::Warn,
    summary: "a server whose URL ends in a slash",
    explain: "Paths begin with a slash and are appended to the URL, so that clients send `//`, which is another path.",
    bad: v30!("paths: {}\nservers: [{url: 'https://a.test/v1/'}]\n"),
    good: v30!("paths: {}\nservers: [{url: 'https://a.test/v1'}]\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    if let Some(url) = place.node.get("url")
        && let Some(text) = url.as_str()
        && text.len() > 1
        && text.ends_with('/')
    {
        sink.push(
            Diagnostic::new(
                &LINT,
                url.span(),
                "the URL ends in a slash, and each path begins with one",
            )
            .help("remove the last slash")
            .fix(url.span(), text.trim_end_matches('/')),
        );
    }
}
