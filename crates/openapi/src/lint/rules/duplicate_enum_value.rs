//! Rule for a value that occurs twice in an `enum`.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink, Span};

use std::collections::HashMap;

use crate::lint::{Place, edit};
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0342",
    name: "duplicate-enum-value",
    level: Level::Warn,
    summary: "a value that occurs twice in an `enum`",
    explain: "The values of an `enum` are a set; the second one has no effect and is most likely a mistake.",
    bad: v30!("paths: {}\ncomponents: {schemas: {A: {type: string, enum: [a, a]}}}\n"),
    good: v30!("paths: {}\ncomponents: {schemas: {A: {type: string, enum: [a, b]}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    if let Some(values) = place.node.get("enum") {
        twice(place, values, &LINT, sink);
    }
}

/// Maximum number of duplicates that are reported individually for each list. The rest are counted.
const REPORTED_MAX: usize = 20;

/// Reports scalars that occur more than once in a list whose items must be unique.
pub(super) fn twice(
    place: &Place<'_, '_>,
    list: NodeRef<'_>,
    lint: &'static Lint,
    sink: &mut Sink,
) {
    let mut reported = 0;
    let mut rest: Option<(Span, usize)> = None;
    let mut first_of: HashMap<(&str, &str), Span> = HashMap::new();
    for (index, value) in list.items().enumerate() {
        let null = value.is_null().then_some("null");
        let Some(text) = value.scalar_text().or(null) else {
            continue;
        };
        let Some(first) = first_of.get(&(value.kind_name(), text)) else {
            first_of.insert((value.kind_name(), text), value.span());
            continue;
        };
        if reported == REPORTED_MAX {
            let (_, count) = rest.get_or_insert((value.span(), 0));
            *count += 1;
            continue;
        }
        reported += 1;
        let message = format!("`{}` occurs twice", text.escape_debug());
        let finding = Diagnostic::new(lint, value.span(), message).related(*first, "first here");
        sink.push(
            match edit::item_removed(place.resolver.files(), list, index) {
                Some(gone) => finding.fix(gone, ""),
                None => finding,
            },
        );
    }
    if let Some((at, count)) = rest {
        let others = match count {
            1 => "this value is".to_owned(),
            _ => format!("this and {} more values are", count - 1),
        };
        sink.push(Diagnostic::new(
            lint,
            at,
            format!("{others} already in the list"),
        ));
    }
}
