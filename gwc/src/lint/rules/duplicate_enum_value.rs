//! A value that stands twice in an `enum`.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink, Span};

use std::collections::HashMap;

use crate::lint::sample::v30;
use crate::lint::{Place, edit};

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
    if let Some(values) = place.node.get("enum") {
        twice(place, values, &LINT, sink);
    }
}

/// Says which scalars of a list that is a set stand in it again.
pub(super) fn twice(
    place: &Place<'_, '_>,
    list: NodeRef<'_>,
    lint: &'static Lint,
    sink: &mut Sink,
) {
    let mut first_of: HashMap<(&str, &str), Span> = HashMap::new();
    for (index, value) in list.items().enumerate() {
        let Some(text) = value.scalar_text() else {
            continue;
        };
        let Some(first) = first_of.get(&(value.kind_name(), text)) else {
            first_of.insert((value.kind_name(), text), value.span());
            continue;
        };
        let message = format!("`{}` stands twice", text.escape_debug());
        let finding = Diagnostic::new(lint, value.span(), message).related(*first, "first here");
        sink.push(
            match edit::item_removed(place.resolver.files(), list, index) {
                Some(gone) => finding.fix(gone, ""),
                None => finding,
            },
        );
    }
}
