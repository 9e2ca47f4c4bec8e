//! Rule for a parameter or header without exactly one of `schema` and `content`.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use crate::spec::first_key;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0332",
    name: "parameter-without-schema",
    level: Level::Error,
    summary: "a parameter or header without exactly one of `schema` and `content`",
    explain: "A parameter is described either by `schema` or, for serialised values, by `content` \
with exactly one media type.",
    bad: v30!(
        "paths: {}\ncomponents: {parameters: {P: {name: p, in: query, schema: {}, content: {text/plain: {}}}}}\n"
    ),
    good: v30!("paths: {}\ncomponents: {parameters: {P: {name: p, in: query, schema: {}}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let node = place.node;
    match (node.entry("schema"), node.entry("content")) {
        (Some((schema, _)), Some((content, _))) => sink.push(
            Diagnostic::new(
                &LINT,
                content.key_span,
                "both `schema` and `content` describe it",
            )
            .related(schema.key_span, "the other field"),
        ),
        (None, None) => sink.push(Diagnostic::new(
            &LINT,
            first_key(node),
            "neither `schema` nor `content` describes it",
        )),
        (None, Some((content, value))) => {
            let count = value.entries().len();
            if value.is_map() && count != 1 && value.get("$ref").is_none() {
                sink.push(Diagnostic::new(
                    &LINT,
                    content.key_span,
                    format!("`content` must have exactly one media type, but has {count}"),
                ));
            }
        }
        (Some(_), None) => {}
    }
}
