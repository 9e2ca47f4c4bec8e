//! Rule for a header parameter that OpenAPI ignores.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink};

use crate::lint::Place;
use crate::spec::is_ignored_header;
use crate::spec::objects::PARAMETER;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0333",
    name: "ignored-header-parameter",
    level: Level::Warn,
    summary: "a header that OpenAPI ignores",
    explain: "`content` and `security` describe `Accept`, `Content-Type` and `Authorization`. \
OpenAPI says that parameters of these names are ignored. `Content-Type` among the headers of a \
response or an encoding is ignored, too.",
    bad: v30!(
        "paths: {}\ncomponents: {parameters: {P: {name: Content-Type, in: header, schema: {type: string}}}}\n"
    ),
    good: v30!(
        "paths: {}\ncomponents: {parameters: {P: {name: X-Kind, in: header, schema: {type: string}}}}\n"
    ),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let node = place.node;
    if !place.object_is(&PARAMETER) {
        let headers = node.get("headers");
        let headers = headers.and_then(|headers| place.resolver.resolve(headers));
        for (entry, _) in headers.into_iter().flat_map(NodeRef::entries) {
            if entry.key.eq_ignore_ascii_case("content-type") {
                let message = format!("a header `{}` is ignored here", entry.key.escape_debug());
                let finding = Diagnostic::new(&LINT, entry.key_span, message);
                sink.push(finding.help("remove it; the key under `content` is the media type"));
            }
        }
        return;
    }
    let (Some(name), Some("header")) = (node.get("name"), node.get("in").and_then(NodeRef::as_str))
    else {
        return;
    };
    let text = name.as_str().unwrap_or_default();
    if is_ignored_header(text) {
        sink.push(
            Diagnostic::new(
                &LINT,
                name.span(),
                format!("a header parameter `{text}` is ignored"),
            )
            .help("remove it; media types belong under `content`, credentials under `security`"),
        );
    }
}
