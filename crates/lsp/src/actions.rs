//! Code actions: the edits of findings.

use std::collections::HashMap;
use std::path::Path;

use diag::{Diagnostic, Span};
use lsp_types::{CodeAction, CodeActionKind, CodeActionOrCommand, TextEdit, Uri, WorkspaceEdit};

use crate::diagnostics::Spans;
use crate::project::Checked;
use crate::text::Encoding;

/// Kind of the action that applies all edits of a file.
pub(crate) const FIX_ALL: CodeActionKind = CodeActionKind::SOURCE_FIX_ALL;

/// Code actions of a file: one for each finding with edits whose span touches `range` (byte
/// offsets), and one that applies the edits of all findings of the file.
pub(crate) fn actions(
    checked: &Checked,
    path: &Path,
    range: (usize, usize),
    encoding: Encoding,
) -> Vec<CodeActionOrCommand> {
    let mut spans = Spans::new(checked, encoding);
    let findings = || {
        let all = checked.compiled.findings.iter();
        all.filter(|one| !one.fix.is_empty() && checked.path_of(one.span.file) == path)
    };
    let touches = |span: Span| span.start as usize <= range.1 && range.0 <= span.end as usize;
    let near = findings().filter(|finding| touches(finding.span));
    let mut actions: Vec<CodeAction> = near
        .filter_map(|finding| {
            let title = finding
                .help
                .clone()
                .unwrap_or_else(|| finding.message.clone());
            let edit = edit(checked, std::iter::once(finding), &mut spans)?;
            Some(action(
                format!("Fix: {title}"),
                CodeActionKind::QUICKFIX,
                edit,
            ))
        })
        .collect();
    let count = findings().count();
    if count > 0
        && let Some(edit) = edit(checked, findings(), &mut spans)
    {
        let plural = if count == 1 { "" } else { "s" };
        let title = format!("Fix {count} finding{plural} of this file");
        actions.push(action(title, FIX_ALL, edit));
    }
    actions
        .into_iter()
        .map(CodeActionOrCommand::CodeAction)
        .collect()
}

fn action(title: String, kind: CodeActionKind, edit: WorkspaceEdit) -> CodeAction {
    CodeAction {
        title,
        kind: Some(kind),
        edit: Some(edit),
        ..CodeAction::default()
    }
}

/// Edits of findings. A finding whose edits overlap those of an earlier one is left out. `None` if
/// no edit is left.
#[expect(
    clippy::mutable_key_type,
    reason = "lsp-types has URIs as keys; equality and hash use only their text"
)]
fn edit<'c>(
    checked: &Checked,
    findings: impl Iterator<Item = &'c Diagnostic>,
    spans: &mut Spans<'_>,
) -> Option<WorkspaceEdit> {
    let mut taken: Vec<Span> = Vec::new();
    let mut edits: HashMap<Uri, Vec<TextEdit>> = HashMap::new();
    for finding in findings {
        let overlaps = |edit: &diag::diagnostic::Edit| {
            let mut taken = taken.iter();
            taken.any(|other| {
                other.file == edit.span.file
                    && other.start <= edit.span.end
                    && edit.span.start <= other.end
            })
        };
        if finding.fix.iter().any(overlaps) {
            continue;
        }
        for edit in &finding.fix {
            taken.push(edit.span);
            let uri = crate::uri::uri_of(&checked.path_of(edit.span.file))?;
            let range = spans.range(edit.span);
            let edit = TextEdit::new(range, edit.text.clone());
            edits.entry(uri).or_default().push(edit);
        }
    }
    (!edits.is_empty()).then(|| WorkspaceEdit::new(edits))
}
