//! Rule for a callback's key that is not a runtime expression.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use crate::lint::template::{self, Part};
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0345",
    name: "malformed-expression",
    level: Level::Warn,
    summary: "a callback's key that is not a runtime expression",
    explain: "A callback's key is a URL in which `{$request.body#/url}` and the like stand for values of the exchange (OpenAPI, \
Runtime Expressions). Callbacks are not routed, but clients are generated from them.",
    bad: v30!(
        "paths: {}\n",
        "components: {callbacks: {C: {\"{$request.bdy#/url}\": {post: {responses: {'200': {description: ok}}}}}}}\n"
    ),
    good: v30!(
        "paths: {}\n",
        "components: {callbacks: {C: {\"{$request.body#/url}\": {post: {responses: {'200': {description: ok}}}}}}}\n"
    ),
};

pub(super) fn check(key: &str, place: &Place<'_, '_>, sink: &mut Sink) {
    let parts = template::parts(key);
    let fine = if key.starts_with('$') {
        is_expression(key)
    } else {
        parts.into_iter().all(|part| match part {
            Part::Literal { .. } => true,
            Part::Parameter { name, .. } => !name.starts_with('$') || is_expression(name),
            Part::Unclosed { .. } | Part::Unopened { .. } => false,
        })
    };
    if !fine {
        sink.push(
            Diagnostic::new(
                &LINT,
                place.at,
                format!("`{}` is not a runtime expression", key.escape_debug()),
            )
            .help("expressions are `$url`, `$method`, `$statusCode`, `$request.…` and `$response.…` with `header.NAME`, `query.NAME`, `path.NAME` or `body#/POINTER`"),
        );
    }
}

fn is_expression(text: &str) -> bool {
    if matches!(text, "$url" | "$method" | "$statusCode") {
        return true;
    }
    let source = text
        .strip_prefix("$request.")
        .or_else(|| text.strip_prefix("$response."));
    source.is_some_and(|source| {
        let named = ["header.", "query.", "path."];
        let is_named = named.iter().any(|kind| {
            source
                .strip_prefix(kind)
                .is_some_and(|name| !name.is_empty())
        });
        is_named
            || source == "body"
            || source
                .strip_prefix("body#")
                .is_some_and(|pointer| pointer.is_empty() || pointer.starts_with('/'))
    })
}
