//! Rule for two operations with the same `operationId`.

use std::collections::HashMap;

use diag::{Diagnostic, Level, Lint, NodeId, Sink, Span};

use crate::lint::Whole;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0320",
    name: "duplicate-operation-id",
    level: Level::Error,
    summary: "two operations with one `operationId`",
    explain: "Plans, metrics, logs and clients identify an operation by its `operationId`, so it \
must be unique in the document. Letter case counts.",
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
    // For each id: the span of its first use, the node of that operation, and the span and text of
    // its path template.
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
            // If an overlay's wildcard adds one `operationId` to two operations, both uses have the
            // same span. Report them as duplicates, too.
            let put_in = overlays.contains(&id.span.file) && *node != operation.node;
            let finding = if *first != id.span || put_in {
                let message = format!("the operationId `{shown}` is used twice");
                Diagnostic::new(&LINT, id.span, message)
                    .label("again here")
                    .related(*first, "first here")
            } else if first_path == &path.template.span {
                // With a YAML alias, two methods of one path may share the text of their
                // operationId.
                let message = format!("two methods of `{template}` have the operationId `{shown}`");
                Diagnostic::new(&LINT, id.span, message)
                    .label("both are the same node, because of an alias or an overlay")
                    .help("describe each method separately")
            } else {
                let message = format!(
                    "`{}` and `{template}` are one path item, so that the operationId `{shown}` is used twice",
                    path.template.value
                );
                Diagnostic::new(&LINT, path.template.span, message)
                    .label("refers to the same path item")
                    .related(*first_path, "the other path")
                    .related(*first, "the id is here")
                    .help(
                        "describe one of them separately, or remove the ids from the shared path \
item",
                    )
            };
            sink.push(finding);
        }
    }
}
