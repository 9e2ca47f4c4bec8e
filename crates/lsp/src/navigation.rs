//! Definitions and references of names.

use std::path::Path;

use diag::Span;
use lsp_types::Location;

use crate::diagnostics::Spans;
use crate::names::{self, Names, Role};
use crate::project::Checked;
use crate::text::Encoding;

/// Place of the definition of the name, or of the target of the reference, at a byte offset.
pub(crate) fn definition(
    checked: &Checked,
    (path, offset): (&Path, usize),
    encoding: Encoding,
) -> Option<Location> {
    let mut spans = Spans::new(checked, encoding);
    let all = Names::of(checked, false);
    let named = all.at(checked, (path, offset));
    let target = named.and_then(|name| all.targets(&name).first().copied());
    if let Some(definition) = target.and_then(|target| all.place(target)) {
        return spans.location_in(definition.compiled, definition.span);
    }
    let file = checked.file_at(path)?;
    let target = names::reference_target(checked, file, offset)?;
    spans.location(first_line(target))
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
    place: (&Path, usize),
    with_definition: bool,
    encoding: Encoding,
) -> Vec<Location> {
    let all = Names::of(checked, true);
    let mut spans = Spans::new(checked, encoding);
    let name = all.at(checked, place);
    let target = name.and_then(|name| all.targets(&name).first().copied());
    let found = target.map_or_else(Vec::new, |target| all.references(target));
    let found = found
        .into_iter()
        .filter(|one| with_definition || one.role != Role::Definition);
    let found = found.filter_map(|one| spans.location_in(one.compiled, one.span));
    found.collect()
}
