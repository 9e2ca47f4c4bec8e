//! Rule for a document without a list of tags.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0705",
    name: "missing-tags",
    level: Level::Warn,
    summary: "a document without a list of tags",
    explain: "`tags` at the root names and orders the groups that documentation shows.",
    bad: v30!("paths: {}\n"),
    good: v30!("paths: {}\ntags: [{name: a}]\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let tags = place.node.get("tags");
    if tags.is_none_or(|tags| tags.is_list() && tags.items().len() == 0) {
        sink.push(
            Diagnostic::new(&LINT, place.at, "no tags are declared")
                .help("add `tags: [{name: …, description: …}]`"),
        );
    }
}
