//! Rule for two operations with the same description.

use std::collections::HashMap;

use diag::{Diagnostic, Level, Lint, Sink, Span};

use crate::lint::Whole;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0731",
    name: "description-twice",
    level: Level::Info,
    summary: "two operations with one description",
    explain: "A copied description is right for at most one of the two operations.",
    bad: v30!(
        "paths:\n  /a:\n    get: {description: gets it, responses: {'200': {description: ok}}}\n    post: {description: gets it, responses: {'200': {description: ok}}}\n"
    ),
    good: v30!(
        "paths:\n  /a:\n    get: {description: gets it, responses: {'200': {description: ok}}}\n    post: {description: makes it, responses: {'200': {description: ok}}}\n"
    ),
};

pub(super) fn check(whole: &Whole<'_, '_>, sink: &mut Sink) {
    let mut first_of: HashMap<&str, Span> = HashMap::new();
    let operations = whole.spec.paths.iter().flat_map(|path| &path.operations);
    for text in operations.filter_map(|operation| operation.description.as_ref()) {
        let key = text.value.trim();
        if key.is_empty() {
            continue;
        }
        match first_of.get(key) {
            None => drop(first_of.insert(key, text.span)),
            // Operations of a path item that several paths share have the same text. This is not a
            // duplicate.
            Some(first) if *first == text.span => {}
            Some(first) => sink.push(
                Diagnostic::new(
                    &LINT,
                    text.span,
                    "another operation has the same description",
                )
                .related(*first, "first here"),
            ),
        }
    }
}
