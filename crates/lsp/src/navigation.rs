//! Definitions, references and renaming of names.

use std::collections::HashMap;
use std::path::Path;

use diag::Span;
use diag::shape::is_name;
use lsp_types::{Location, Range, TextEdit, Uri, WorkspaceEdit};

use crate::diagnostics::Spans;
use crate::names;
use crate::project::Checked;
use crate::text::Encoding;

/// Place of the definition of the name, or of the target of the reference, at a byte offset.
pub(crate) fn definition(
    checked: &Checked,
    (path, offset): (&Path, usize),
    encoding: Encoding,
) -> Option<Location> {
    let file = checked.file_at(path)?;
    let all = names::all(checked);
    let named = names::at(&all, file, offset);
    let target = match named.and_then(|name| names::definition(&all, name)) {
        Some(definition) => definition.span,
        None => first_line(names::reference_target(checked, file, offset)?),
    };
    Spans::new(checked, encoding).location(target)
}

/// Reduces a span to its start, because the span may have thousands of lines.
fn first_line(span: Span) -> Span {
    Span {
        end: span.start,
        ..span
    }
}

/// Places of all uses of the name at a byte offset, and of its definition if `with_definition`.
pub(crate) fn references(
    checked: &Checked,
    (path, offset): (&Path, usize),
    with_definition: bool,
    encoding: Encoding,
) -> Vec<Location> {
    let all = names::all(checked);
    let mut spans = Spans::new(checked, encoding);
    let file = checked.file_at(path);
    let name = file.and_then(|file| names::at(&all, file, offset));
    let found = name.map_or_else(Vec::new, |name| names::references(&all, name));
    let found = found
        .into_iter()
        .filter(|one| with_definition || !one.is_definition);
    found.filter_map(|one| spans.location(one.span)).collect()
}

/// Range and text of the name at a byte offset, if it can be renamed.
pub(crate) fn renamed(
    checked: &Checked,
    (path, offset): (&Path, usize),
    encoding: Encoding,
) -> Option<(Range, String)> {
    let file = checked.file_at(path)?;
    let all = names::all(checked);
    let name = names::at(&all, file, offset)?;
    names::definition(&all, name)?;
    let span = inner(checked, name.span, name.text)?;
    let range = Spans::new(checked, encoding).range(span);
    Some((range, name.text.to_owned()))
}

/// Edits that rename the definition at a byte offset and all its uses.
///
/// # Errors
/// Returns a message if there is no name to rename, or the new name is not valid or not free.
#[expect(
    clippy::mutable_key_type,
    reason = "lsp-types has URIs as keys; equality and hash use only their text"
)]
pub(crate) fn rename(
    checked: &Checked,
    (path, offset): (&Path, usize),
    new: &str,
    encoding: Encoding,
) -> Result<WorkspaceEdit, String> {
    let all = names::all(checked);
    let name = checked
        .file_at(path)
        .and_then(|file| names::at(&all, file, offset));
    let name = name.ok_or("there is no name of the project here")?;
    if !is_name(new) {
        let allowed = "letters, digits, `-`, `_` and `.`";
        return Err(format!("`{new}` is not a name: use {allowed}"));
    }
    let is_taken = all
        .iter()
        .any(|one| one.is_definition && one.kind == name.kind && one.text == new);
    if is_taken {
        return Err(format!("{} with the name `{new}` exists", name.kind));
    }
    let mut spans = Spans::new(checked, encoding);
    let mut edits: HashMap<Uri, Vec<TextEdit>> = HashMap::new();
    for one in names::references(&all, name) {
        let span = inner(checked, one.span, one.text);
        let location = span.and_then(|span| spans.location(span));
        let place = location.ok_or_else(|| {
            let (file, line) = (checked.path_of(one.span.file), one.span);
            let line = checked.compiled.files.sources.position(line).line;
            format!(
                "the name is written with escapes at {}:{line}",
                file.display()
            )
        })?;
        let edit = TextEdit::new(place.range, new.to_owned());
        edits.entry(place.uri).or_default().push(edit);
    }
    match edits.is_empty() {
        true => Err(format!("nothing defines `{}`", name.text)),
        false => Ok(WorkspaceEdit::new(edits)),
    }
}

/// Span of a name without its quotes. `None` if the source text writes the name with escapes.
fn inner(checked: &Checked, span: Span, name: &str) -> Option<Span> {
    let at = checked.text(span).find(name)?;
    Some(span.slice(at, at + name.len()))
}
