//! Rule for a body without an example.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0726",
    name: "missing-example",
    level: Level::Warn,
    summary: "a body without an example",
    explain: "People copy examples; gwc checks each one against its schema. An example of a media \
type, or of its schema, is enough.",
    bad: v30!(
        "paths:\n  /a:\n    get: {responses: {'200': {description: ok, content: {text/plain: {schema: {type: string}}}}}}\n"
    ),
    good: v30!(
        "paths:\n  /a:\n    get: {responses: {'200': {description: ok, content: {text/plain: {schema: {type: string}, example: a}}}}}\n"
    ),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let has = |node: NodeRef<'_>| {
        ["example", "examples"]
            .iter()
            .any(|key| node.get(key).is_some())
    };
    let schema = place.node.get("schema");
    let schema = schema.and_then(|schema| place.resolver.resolve(schema));
    if !has(place.node) && !schema.is_some_and(has) {
        sink.push(Diagnostic::new(&LINT, place.at, "this body has no example"));
    }
}
