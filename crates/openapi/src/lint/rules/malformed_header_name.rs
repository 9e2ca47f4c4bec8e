//! Rule for an invalid header field name.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink, Span};

use crate::lint::Place;
use crate::spec::objects::PARAMETER;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0359",
    name: "malformed-header-name",
    level: Level::Error,
    summary: "a malformed header name",
    explain: "The names of header fields consist of letters, digits and a few signs (RFC 9110 \
§5.1), without spaces, colons or brackets. No request or response can have a header with another \
name.",
    bad: v30!(
        "paths: {}\ncomponents: {parameters: {P: {name: 'X Key', in: header, schema: {type: string}}}}\n"
    ),
    good: v30!(
        "paths: {}\ncomponents: {parameters: {P: {name: X-Key, in: header, schema: {type: string}}}}\n"
    ),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let mut check = |name: &str, span: Span| {
        if http::HeaderName::try_from(name).is_err() {
            sink.push(
                Diagnostic::new(
                    &LINT,
                    span,
                    format!("`{}` cannot be the name of a header", name.escape_debug()),
                )
                .help("use letters, digits and `-`"),
            );
        }
    };
    if place.object_is(&PARAMETER) {
        let is_header = place.node.get("in").and_then(NodeRef::as_str) == Some("header");
        if let Some(name) = place.node.get("name").filter(|_| is_header)
            && let Some(text) = name.as_str()
        {
            check(text, name.span());
        }
        return;
    }
    let headers = place.node.get("headers");
    let headers = headers.and_then(|headers| place.resolver.resolve(headers));
    for (entry, _) in headers.into_iter().flat_map(NodeRef::entries) {
        check(&entry.key, entry.key_span);
    }
}
