//! Rule for tags that are not in alphabetical order.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink, Span};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0706",
    name: "unsorted-tags",
    level: Level::Warn,
    summary: "tags that are not in alphabetical order",
    explain: "Many generators show groups of operations in the order of `tags`. In alphabetical \
    order, readers find a group easily.",
    bad: v30!("paths: {}\ntags: [{name: b}, {name: a}]\n"),
    good: v30!("paths: {}\ntags: [{name: a}, {name: b}]\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let tags = place.node.get("tags").into_iter().flat_map(NodeRef::items);
    let names = tags.filter_map(|tag| tag.get("name"));
    let names: Vec<(&str, Span)> = names
        .filter_map(|name| Some((name.as_str()?, name.span())))
        .collect();
    for pair in names.windows(2) {
        let [(before, first), (name, span)] = pair else {
            continue;
        };
        if name.to_lowercase() < before.to_lowercase() {
            let message = format!("`{}` belongs before this", name.escape_debug());
            sink.push(Diagnostic::new(&LINT, *span, message).related(
                *first,
                "alphabetically after this \
                    tag",
            ));
        }
    }
}
