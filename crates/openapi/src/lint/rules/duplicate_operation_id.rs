//! Rule for two operations with one `operationId`.

use std::collections::HashMap;

use diag::{Diagnostic, Level, Lint, NodeId, Sink, Span};

use crate::lint::Whole;
use sources::v30;

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
    let overlays = &whole.resolver.document().overlays;
    // By id: place of its first use, its operation, and the method and path of that operation.
    let mut first_of: HashMap<&str, (Span, NodeId, Span, &str)> = HashMap::new();
    for path in &whole.spec.paths {
        for operation in &path.operations {
            let Some(id) = &operation.operation_id else {
                continue;
            };
            let template = path.template.value.as_str();
            let here = (id.span, operation.node, path.template.span, template);
            let Some((first, node, first_path, template)) = first_of.get(id.value.as_str()) else {
                first_of.insert(&id.value, here);
                continue;
            };
            let shown = id.value.escape_debug();
            // An id that an overlay's wildcard adds to two operations counts twice.
            let put_in = overlays.contains(&id.span.file) && *node != operation.node;
            let finding = if *first != id.span || put_in {
                let message = format!("the operationId `{shown}` is used twice");
                Diagnostic::new(&LINT, id.span, message)
                    .label("again here")
                    .related(*first, "first here")
            } else if first_path == &path.template.span {
                // By an alias, two methods of one path may share one text.
                let message = format!("two methods of `{template}` have the operationId `{shown}`");
                Diagnostic::new(&LINT, id.span, message)
                    .label("one text, by an alias or an overlay")
                    .help("describe each method by itself")
            } else {
                let message = format!(
                    "`{}` and `{template}` are one path item, so that the operationId `{shown}` is used twice",
                    path.template.value
                );
                Diagnostic::new(&LINT, path.template.span, message)
                    .label("refers to the same path item")
                    .related(*first_path, "the other path")
                    .related(*first, "the id stands here")
                    .help("describe one of them by itself, or take the ids out of the shared path item")
            };
            sink.push(finding);
        }
    }
}
