//! Rule for an operation with a tag that the document does not declare.

use std::collections::HashSet;

use diag::{Diagnostic, Level, Lint, NodeRef, Sink, suggest};

use crate::lint::Whole;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0724",
    name: "undeclared-tag",
    level: Level::Warn,
    summary: "an operation with a tag that the document does not declare",
    explain: "OpenAPI allows undeclared tags, but they have no description, and a misspelt tag forms a separate group.",
    bad: v30!("paths:\n  /a:\n    get: {tags: [a], responses: {'200': {description: ok}}}\n"),
    good: v30!(
        "tags: [{name: a}]\npaths:\n  /a:\n    get: {tags: [a], responses: {'200': {description: ok}}}\n"
    ),
};

pub(super) fn check(whole: &Whole<'_, '_>, sink: &mut Sink) {
    let root = whole.resolver.root();
    let tags = root.get("tags").into_iter().flat_map(NodeRef::items);
    let names = tags.filter_map(|tag| tag.get("name")?.as_str());
    let declared: HashSet<&str> = names.collect();
    let operations = whole.spec.paths.iter().flat_map(|path| &path.operations);
    for tag in operations.flat_map(|operation| &operation.tags) {
        if declared.contains(tag.value.as_str()) {
            continue;
        }
        let shown = tag.value.escape_debug();
        let finding = Diagnostic::new(&LINT, tag.span, format!("no tag `{shown}` is declared"));
        let mut sorted: Vec<&str> = declared.iter().copied().collect();
        sorted.sort_unstable();
        sink.push(match suggest::nearest(&tag.value, sorted) {
            Some(near) => finding
                .label(format!("did you mean `{near}`?"))
                .fix(tag.span, near),
            None => finding.help("declare it in `tags` at the root"),
        });
    }
}
