//! Rule for a request body of a method that gives bodies no meaning, such as GET.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0732",
    name: "unexpected-body",
    level: Level::Info,
    summary: "a request body for a method that gives it no meaning",
    explain: "RFC 9110 gives a body of GET, HEAD, DELETE and TRACE no meaning: servers and proxies may drop it or refuse the request. OpenAPI 3.0 \
ignores `requestBody` there, 3.1 advises against it. The gateway passes it on.",
    bad: v30!(
        "paths:\n  /a:\n    get: {requestBody: {content: {text/plain: {}}}, responses: {'200': {description: ok}}}\n"
    ),
    good: v30!("paths:\n  /a:\n    get: {responses: {'200': {description: ok}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let method = place.resolver.files().sources.text(place.at);
    let method = method.trim_matches(['"', '\'']).to_ascii_uppercase();
    if ["GET", "HEAD", "DELETE", "TRACE"].contains(&&*method)
        && let Some((entry, _)) = place.node.entry("requestBody")
    {
        let message = format!("a body of {method} has no meaning");
        sink.push(
            Diagnostic::new(&LINT, entry.key_span, message)
                .help("use parameters instead, or the method POST or QUERY"),
        );
    }
}
