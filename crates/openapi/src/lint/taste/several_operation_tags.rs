//! Rule for an operation with more than one tag.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0712",
    name: "several-operation-tags",
    level: Level::Warn,
    summary: "an operation with more than one tag",
    explain: "Generators put an operation with two tags into two groups, or two classes.",
    bad: v30!("paths:\n  /a:\n    get: {tags: [a, b], responses: {'200': {description: ok}}}\n"),
    good: v30!("paths:\n  /a:\n    get: {tags: [a], responses: {'200': {description: ok}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let mut tags = place.node.get("tags").into_iter().flat_map(NodeRef::items);
    if let Some(second) = tags.nth(1) {
        sink.push(Diagnostic::new(
            &LINT,
            second.span(),
            "the operation has more than one tag",
        ));
    }
}
