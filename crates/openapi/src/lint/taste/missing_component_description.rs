//! Rule for a schema under `components` without a description.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink};

use super::is_blank;
use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0718",
    name: "missing-component-description",
    level: Level::Warn,
    summary: "a schema under `components` without a description",
    explain: "Shared schemas are read by people who did not write them.",
    bad: v30!("paths: {}\ncomponents: {schemas: {A: {type: string}}}\n"),
    good: v30!("paths: {}\ncomponents: {schemas: {A: {type: string, description: d}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let schemas = place
        .node
        .get("schemas")
        .into_iter()
        .flat_map(NodeRef::entries);
    for (entry, schema) in schemas {
        if schema.is_map() && schema.get("$ref").is_none() && is_blank(schema, "description") {
            let message = format!(
                "the schema `{}` has no description",
                entry.key.escape_debug()
            );
            sink.push(Diagnostic::new(&LINT, entry.key_span, message));
        }
    }
}
