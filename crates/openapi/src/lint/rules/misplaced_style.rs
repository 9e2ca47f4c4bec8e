//! Rule for `style`, `explode` or `allowReserved` where the parameter does not support it.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink, suggest};

use crate::lint::Place;
use crate::spec::Version;
use crate::spec::objects::HEADER;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0360",
    name: "misplaced-style",
    level: Level::Error,
    summary: "a `style`, `explode` or `allowReserved` that does not apply to the parameter",
    explain: "The possible styles of a value depend on its location: `simple`, `label` and \
`matrix` in a path; `form`, `spaceDelimited`, `pipeDelimited` and `deepObject` in the query; \
`simple` in a header; `form` (3.2: also `cookie`) in a cookie. `allowReserved` controls \
percent-encoding: until 3.1 it applies only to the query, and it never applies to headers. \
Parameters and headers with `content` are written as their media type says, and so is the query as \
a whole (`in: querystring`): they have no style, and until 3.1 no `example` beside `content`.",
    bad: v30!(
        "paths: {}\ncomponents: {parameters: {P: {name: p, in: header, style: form, schema: {type: string}}}}\n"
    ),
    good: v30!(
        "paths: {}\ncomponents: {parameters: {P: {name: p, in: header, style: simple, schema: {type: string}}}}\n"
    ),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let kind = match place.node.get("in").and_then(NodeRef::as_str) {
        _ if place.object_is(&HEADER) => "header",
        Some(kind) => kind,
        None => return,
    };
    let whole = kind == "querystring";
    if whole || place.node.get("content").is_some() {
        let fields = ["style", "explode", "allowReserved"];
        let fields = fields.into_iter().chain(whole.then_some("schema"));
        // From 3.2 on, examples are also allowed beside `content`.
        let examples = ["example", "examples"];
        let until_31 = examples
            .into_iter()
            .filter(|_| place.version < Version::V32);
        let fields = fields.chain(until_31);
        for (entry, _) in fields.filter_map(|key| place.node.entry(key)) {
            let message = if whole {
                format!("`{}` does not apply to the whole query", entry.key)
            } else {
                format!("`{}` has no effect beside `content`", entry.key)
            };
            sink.push(Diagnostic::new(&LINT, entry.key_span, message).help(
                "remove it: the media type under `content` determines the notation of the value",
            ));
        }
        return;
    }
    let style = place.node.get("style");
    // The structure check already restricts the style of a header object, so check only parameters.
    if !place.object_is(&HEADER)
        && let Some(style) = style
        && let Some(text) = style.as_str()
    {
        let styles = styles(kind, place.version);
        if !styles.is_empty() && !styles.contains(&text) {
            sink.push(
                Diagnostic::new(
                    &LINT,
                    style.span(),
                    format!(
                        "a {kind} parameter cannot have the style `{}`",
                        text.escape_debug()
                    ),
                )
                .label(suggest::one_of(styles.iter().copied(), 8)),
            );
        }
    }
    let cookie = style.and_then(NodeRef::as_str) == Some("cookie");
    let elsewhere = kind != "query" && place.version < Version::V32;
    if (kind == "header" || cookie || elsewhere)
        && let Some((entry, _)) = place.node.entry("allowReserved")
    {
        let level = if place.version == Version::V30 {
            Level::Warn
        } else {
            Level::Error
        };
        sink.push(
            Diagnostic::new(
                &LINT,
                entry.key_span,
                match kind {
                    "path" | "cookie" if !cookie => {
                        "until OpenAPI 3.1 `allowReserved` applies only to the query"
                    }
                    _ => "values are not percent-encoded here, so `allowReserved` has no effect",
                },
            )
            .help("remove it")
            .level(level),
        );
    }
}

/// Styles allowed at a location (OpenAPI 3.2 §4.12.3). Empty for an unknown location.
fn styles(kind: &str, version: Version) -> &'static [&'static str] {
    match kind {
        "path" => &["simple", "label", "matrix"],
        "query" => &["form", "spaceDelimited", "pipeDelimited", "deepObject"],
        "header" => &["simple"],
        "cookie" if version >= Version::V32 => &["form", "cookie"],
        "cookie" => &["form"],
        _ => &[],
    }
}
