//! Rule for two limits on the same side of a number.

use diag::{Diagnostic, Kind, Level, Lint, Sink};

use crate::lint::Place;
use crate::spec::Version;
use sources::v31;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0370",
    name: "doubled-limit",
    level: Level::Warn,
    summary: "two limits on the same side of a number",
    explain: "From 3.1 on `exclusiveMinimum` is a number of its own. Beside `minimum`, only the \
stricter of the two applies. The same holds for `exclusiveMaximum` beside `maximum`. Keep the \
stricter one.",
    bad: v31!(
        "paths: {}\ncomponents: {schemas: {A: {type: integer, minimum: 1, exclusiveMinimum: 0}}}\n"
    ),
    good: v31!("paths: {}\ncomponents: {schemas: {A: {type: integer, exclusiveMinimum: 0}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    for (one, other) in [
        ("minimum", "exclusiveMinimum"),
        ("maximum", "exclusiveMaximum"),
    ] {
        if place.version >= Version::V31
            && let Some((first, _)) = place.node.entry(one)
            && let Some((second, value)) = place.node.entry(other)
            && matches!(value.kind(), Kind::Number(_))
        {
            let message = format!("`{one}` and `{other}` limit the same end of the range");
            sink.push(
                Diagnostic::new(&LINT, second.key_span, message)
                    .related(first.key_span, "the other limit")
                    .help("keep the stricter one"),
            );
        }
    }
}
