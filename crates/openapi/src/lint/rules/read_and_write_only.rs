//! Rule for a property that is both `readOnly` and `writeOnly`.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0374",
    name: "read-and-write-only",
    level: Level::Warn,
    summary: "a property that is both `readOnly` and `writeOnly`",
    explain: "A property that is both can be sent neither in requests nor in responses. OpenAPI \
forbids it.",
    bad: v30!(
        "paths: {}\ncomponents: {schemas: {A: {type: string, readOnly: true, writeOnly: true}}}\n"
    ),
    good: v30!("paths: {}\ncomponents: {schemas: {A: {type: string, readOnly: true}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let is = |key| place.node.get(key).and_then(NodeRef::as_bool) == Some(true);
    if is("readOnly")
        && is("writeOnly")
        && let Some((first, _)) = place.node.entry("readOnly")
        && let Some((second, _)) = place.node.entry("writeOnly")
    {
        sink.push(
            Diagnostic::new(
                &LINT,
                second.key_span,
                "a value that is read-only and write-only can never be sent",
            )
            .related(first.key_span, "the other keyword")
            .help("remove one of the two"),
        );
    }
}
