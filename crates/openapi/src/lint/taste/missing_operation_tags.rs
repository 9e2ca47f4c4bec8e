//! Rule for an operation without a tag.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0711",
    name: "missing-operation-tags",
    level: Level::Warn,
    summary: "an operation without a tag",
    explain: "Documentation shows operations by their tags; one without a tag ends up under \"default\".",
    bad: v30!("paths:\n  /a:\n    get: {responses: {'200': {description: ok}}}\n"),
    good: v30!("paths:\n  /a:\n    get: {tags: [a], responses: {'200': {description: ok}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let tags = place.node.get("tags");
    if tags.is_none_or(|tags| tags.is_list() && tags.items().len() == 0) {
        sink.push(
            Diagnostic::new(&LINT, place.at, "the operation has no tag").help("add `tags: [NAME]`"),
        );
    }
}
