//! Rule for an empty list of alternatives.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0383",
    name: "empty-alternatives",
    level: Level::Warn,
    summary: "an empty list of alternatives",
    explain: "`anyOf`, `oneOf`, `enum` and `type` without an entry leave no valid value; `allOf` \
without one has no effect. JSON Schema requires at least one entry.",
    bad: v30!("paths: {}\ncomponents: {schemas: {A: {anyOf: []}}}\n"),
    good: v30!(
        "paths: {}\ncomponents: {schemas: {A: {anyOf: [{type: string}, {type: integer}]}}}\n"
    ),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    for key in ["anyOf", "oneOf", "allOf", "enum", "type"] {
        if let Some((entry, list)) = place.node.entry(key)
            && list.is_list()
            && list.items().len() == 0
        {
            let message = match key {
                "allOf" => "`allOf` is empty: it has no effect".to_owned(),
                _ => format!("`{key}` is empty: no value is valid"),
            };
            sink.push(
                Diagnostic::new(&LINT, entry.key_span, message)
                    .help(format!("add an entry, or remove `{key}`")),
            );
        }
    }
}
