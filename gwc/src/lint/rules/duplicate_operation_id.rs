//! Two operations with one `operationId`.

use std::collections::HashMap;

use diag::{Diagnostic, Level, Lint, Sink, Span};

use crate::lint::Whole;
use crate::lint::sample::v30;

/// The finding.
pub(super) static LINT: Lint = Lint {
    code: "GW0320",
    name: "duplicate-operation-id",
    level: Level::Error,
    summary: "two operations with one `operationId`",
    explain: "The `operationId` is what plans, metrics, logs and clients call an operation, so it must be unique in the \
document. Letter case counts.",
    bad: v30!(
        "paths:\n  /a:\n    get: {operationId: list, responses: {'200': {description: ok}}}\n",
        "    post: {operationId: list, responses: {'200': {description: ok}}}\n"
    ),
    good: v30!(
        "paths:\n  /a:\n    get: {operationId: list, responses: {'200': {description: ok}}}\n",
        "    post: {operationId: create, responses: {'200': {description: ok}}}\n"
    ),
};

pub(super) fn check(whole: &Whole<'_, '_>, sink: &mut Sink) {
    let mut first_of: HashMap<&str, Span> = HashMap::new();
    for operation in whole.spec.paths.iter().flat_map(|path| &path.operations) {
        let Some(id) = &operation.operation_id else {
            continue;
        };
        let Some(first) = first_of.get(id.value.as_str()) else {
            first_of.insert(&id.value, id.span);
            continue;
        };
        // A path item that two paths refer to is one text.
        if *first != id.span {
            sink.push(
                Diagnostic::new(
                    &LINT,
                    id.span,
                    format!(
                        "the operationId `{}` is used twice",
                        id.value.escape_debug()
                    ),
                )
                .label("again here")
                .related(*first, "first here"),
            );
        }
    }
}
