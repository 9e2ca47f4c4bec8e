//! Code lenses: access, upstream and policies of each operation.

use std::path::Path;

use lsp_types::{CodeLens, Command};

use crate::diagnostics::Spans;
use crate::effective;
use crate::project::Checked;
use crate::text::Encoding;

/// Code lenses of a document, one for each operation.
pub(crate) fn lenses(checked: &Checked, path: &Path, encoding: Encoding) -> Vec<CodeLens> {
    let mut spans = Spans::new(checked, encoding);
    let operations = effective::operations(checked, path).into_iter();
    let lenses = operations.map(|operation| CodeLens {
        range: spans.range(operation.span),
        // A command without a name is shown and does nothing.
        command: Some(Command::new(
            effective::summary(operation),
            String::new(),
            None,
        )),
        data: None,
    });
    lenses.collect()
}
