//! Rule for a server URL at example.com.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0717",
    name: "example-server",
    level: Level::Warn,
    summary: "a server at example.com",
    explain: "The server's address is still the placeholder of a template. In documents that are \
only examples it may stay.",
    bad: v30!("paths: {}\nservers: [{url: 'https://example.com'}]\n"),
    good: v30!("paths: {}\nservers: [{url: 'https://shop.test'}]\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let Some(url) = place.node.get("url") else {
        return;
    };
    let Some(text) = url.as_str() else { return };
    let Some((_, rest)) = text.split_once("://") else {
        return;
    };
    let host = rest.split(['/', ':', '?', '#']).next().unwrap_or_default();
    let domains = ["example.com", "example.org", "example.net"];
    let is_example = |domain: &&str| {
        let before = host.strip_suffix(*domain);
        before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    if domains.iter().any(is_example) {
        sink.push(Diagnostic::new(
            &LINT,
            url.span(),
            "the URL of the server is a placeholder",
        ));
    }
}
