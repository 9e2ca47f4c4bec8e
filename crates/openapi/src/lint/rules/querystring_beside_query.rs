//! Rule for a `querystring` parameter together with another query parameter.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink};

use crate::lint::Place;
use crate::spec::Version;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0347",
    name: "querystring-beside-query",
    level: Level::Error,
    summary: "a `querystring` parameter together with another query parameter",
    explain: "A parameter with `in: querystring` (OpenAPI 3.2) describes the whole query, so there \
can be only one, and no parameter with `in: query` beside it.",
    bad: &[(
        "openapi.yaml",
        "openapi: 3.2.0\ninfo: {title: t, version: \"1\"}\npaths: {/a: {parameters: [{name: q, in: querystring, content: {text/plain: {}}}, {name: p, in: query, schema: {}}]}}\n",
    )],
    good: &[(
        "openapi.yaml",
        "openapi: 3.2.0\ninfo: {title: t, version: \"1\"}\npaths: {/a: {parameters: [{name: q, in: querystring, content: {text/plain: {}}}]}}\n",
    )],
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    // Before 3.2, `querystring` is an unknown value, which another rule reports.
    if place.version < Version::V32 {
        return;
    }
    let list = place
        .node
        .get("parameters")
        .and_then(|list| place.resolver.resolve(list));
    let mut whole: Option<NodeRef<'_>> = None;
    let mut single: Option<NodeRef<'_>> = None;
    for item in list.into_iter().flat_map(NodeRef::items) {
        let parameter = place.resolver.resolve(item);
        let Some(kind) = parameter.and_then(|parameter| parameter.get("in")) else {
            continue;
        };
        let other = match kind.as_str() {
            Some("querystring") => whole.replace(kind).or(single),
            Some("query") => {
                single = Some(kind);
                whole
            }
            _ => None,
        };
        if let Some(other) = other {
            sink.push(
                Diagnostic::new(
                    &LINT,
                    kind.span(),
                    "the query is already described as a whole or in part",
                )
                .related(other.span(), "by this one"),
            );
        }
    }
}
