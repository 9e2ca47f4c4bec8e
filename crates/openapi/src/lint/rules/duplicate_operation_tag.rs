//! Rule for a tag that one operation lists twice.

use diag::{Level, Lint, Sink};

use super::duplicate_enum_value::twice;
use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0382",
    name: "duplicate-operation-tag",
    level: Level::Warn,
    summary: "a tag that an operation has twice",
    explain: "The tags of an operation are a set; the second one has no effect and is most likely a mistake.",
    bad: v30!("paths:\n  /a:\n    get: {tags: [a, a], responses: {'200': {description: ok}}}\n"),
    good: v30!("paths:\n  /a:\n    get: {tags: [a], responses: {'200': {description: ok}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let Some(list) = place.node.get("tags") else {
        return;
    };
    twice(place, list, &LINT, sink);
}
