//! A value that stands twice in an `enum`.

use diag::{Diagnostic, Level, Lint, Sink, Span};

use std::collections::HashMap;

use crate::lint::Place;
use crate::lint::sample::v30;

/// The finding.
pub(super) static LINT: Lint = Lint {
    code: "GW0342",
    name: "duplicate-enum-value",
    level: Level::Warn,
    summary: "a value that stands twice in an `enum`",
    explain: "The values of an `enum` are a set; the second one changes nothing and is most likely a slip.",
    bad: v30!("paths: {}\ncomponents: {schemas: {A: {type: string, enum: [a, a]}}}\n"),
    good: v30!("paths: {}\ncomponents: {schemas: {A: {type: string, enum: [a, b]}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let Some(values) = place.node.get("enum") else {
        return;
    };
    let mut first_of: HashMap<(&str, &str), Span> = HashMap::new();
    for value in values.items() {
        let Some(text) = value.scalar_text() else {
            continue;
        };
        match first_of.get(&(value.kind_name(), text)) {
            None => drop(first_of.insert((value.kind_name(), text), value.span())),
            Some(first) => sink.push(
                Diagnostic::new(
                    &LINT,
                    value.span(),
                    format!("`{}` stands twice", text.escape_debug()),
                )
                .related(*first, "first here"),
            ),
        }
    }
}
