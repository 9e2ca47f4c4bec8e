//! Hover texts: the description of a key, or the effective settings of an operation.

use std::path::Path;

use crate::effective;
use crate::outline::{Kind, Outline};
use crate::project::Checked;
use crate::shapes::{self, FileKind, type_text};

/// Returns the hover text at a byte offset, in Markdown. `None` if there is nothing to describe.
pub(crate) fn hover(
    checked: &Checked,
    path: &Path,
    (text, offset): (&str, usize),
    file: FileKind,
) -> Option<String> {
    let operations = effective::operations(checked, path).into_iter();
    let mut here = operations
        .filter(|one| (one.span.start as usize..=one.span.end as usize).contains(&offset));
    if let Some(operation) = here.next() {
        return Some(effective::table(checked, operation));
    }
    let outline = Outline::of(text);
    let mut entries = outline.entries().iter();
    let entry = entries.rposition(|entry| (entry.at.start..=entry.at.end).contains(&offset))?;
    let Kind::Key(key) = &outline.entries()[entry].kind else {
        return None;
    };
    let parent = outline.entries()[entry].parent;
    let path = parent.map_or_else(Vec::new, |parent| outline.path(parent));
    let kind = shapes::kind_beside(&outline, parent);
    let places = shapes::at(file, &outline, &path).into_iter();
    let mut fields = places.flat_map(|place| shapes::fields(place, kind.as_deref()));
    let field = fields.find(|field| field.key == key)?;
    Some(format!(
        "`{}`: {}\n\n{}",
        field.key,
        type_text(&field.shape),
        field.doc
    ))
}
