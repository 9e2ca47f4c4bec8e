//! Quoting of the new values in the edits of a fix.
//!
//! A rule gives only the new value. This module adds the quotes that the replaced value has. An
//! edit is dropped if it would cause a new mistake: if it renames a key to a name that the map
//! already has, or if the old text spans several lines.

use diag::diagnostic::Edit;
use diag::{Diagnostic, Span};

use sources::project::files::Files;
use sources::syntax::Notation;

/// Quotes the edits of a finding's fix. If one edit is not possible, removes all of them.
pub(super) fn spelled(files: &Files, mut finding: Diagnostic) -> Diagnostic {
    let edits: Option<Vec<Edit>> = finding.fix.iter().map(|edit| one(files, edit)).collect();
    finding.fix = edits.unwrap_or_default();
    finding
}

fn one(files: &Files, edit: &Edit) -> Option<Edit> {
    let old = files.sources.text(edit.span);
    // A range to remove already includes the adjacent comma or line end ([`super::edit`]).
    if edit.text.is_empty() {
        return Some(edit.clone());
    }
    if old.contains('\n') || names_neighbour(files, edit) {
        return None;
    }
    let path = files.sources.file(edit.span.file).path();
    let json = Notation::of_path(path) == Notation::Json;
    let new = edit.text.as_str();
    let quoted = |text: &str| text.len() >= 2 && text.starts_with(['"', '\'']);
    // Insertions and texts that are already quoted are used unchanged.
    let text = if old.is_empty() || quoted(new) {
        new.to_owned()
    } else if old.starts_with('\'') && old.len() >= 2 {
        format!("'{}'", new.replace('\'', "''"))
    } else if quoted(old) || !(json || is_plain(new)) {
        serde_json::Value::from(new).to_string()
    } else {
        new.to_owned()
    };
    Some(Edit {
        span: edit.span,
        text,
    })
}

/// True if a string needs no quotes in YAML in any context.
fn is_plain(text: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || "-_./$+".contains(c);
    text.chars().all(plain) && !text.starts_with('-')
}

/// True if an edit renames a key to a key that the map already has.
fn names_neighbour(files: &Files, edit: &Edit) -> bool {
    let Some(root) = files.root(edit.span.file) else {
        return false;
    };
    let inside = |outer: Span| outer.start <= edit.span.start && edit.span.end <= outer.end;
    let mut node = files.tree.at(root);
    loop {
        if node.entries().any(|(entry, _)| entry.key_span == edit.span) {
            return node.get(&edit.text).is_some();
        }
        let mut children = node.entries().map(|(_, value)| value).chain(node.items());
        let child =
            children.find(|child| child.span().file == edit.span.file && inside(child.span()));
        match child {
            Some(child) => node = child,
            None => return false,
        }
    }
}
