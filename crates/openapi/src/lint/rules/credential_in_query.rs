//! Rule for a credential in the URL.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0363",
    name: "credential-in-query",
    level: Level::Warn,
    summary: "a credential in the URL",
    explain: "URLs are stored in access logs, browser histories and `Referer` headers, and the key \
    with them. Use a header field instead.",
    bad: v30!(
        "paths: {}\ncomponents: {securitySchemes: {s: {type: apiKey, in: query, name: key}}}\n"
    ),
    good: v30!(
        "paths: {}\ncomponents: {securitySchemes: {s: {type: apiKey, in: header, name: X-Key}}}\n"
    ),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let text = |key| place.node.get(key).and_then(NodeRef::as_str);
    if text("type") == Some("apiKey")
        && text("in") == Some("query")
        && let Some(kind) = place.node.get("in")
    {
        sink.push(
            Diagnostic::new(&LINT, kind.span(), "the credential is in the URL")
                .help("take it from a header: `in: header`"),
        );
    }
}
