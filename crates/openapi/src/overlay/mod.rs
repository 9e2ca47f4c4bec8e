//! Overlays (OpenAPI Overlay 1.0 and 1.1): changes to a document in a separate file, so that the
//! document stays as its authors or generators wrote it.
//!
//! [`apply`] changes the tree with spans. Added values keep their spans in the overlay. Values are
//! copied before they change ([`edit`]), so that the change affects neither aliases nor other APIs
//! that use the same file. Targets are JSONPath ([`target`]).

use std::collections::{BTreeMap, BTreeSet};

use diag::{Diagnostic, FileId, NodeId, NodeRef, Sink};

use sources::project::files::{Document, Files};

mod edit;
pub mod lints;
pub mod plain;
mod read;
mod steps;
pub mod target;

use edit::{EditedDocument, Wrong};
use lints::{OVERLAY_APPENDS_LIST, OVERLAY_MATCHES_NOTHING, OVERLAY_MISMATCH};
use read::OverlayPaths;
use target::{Path, Step, Targets};

/// Applies an overlay to a document. Mistakes are reported at their source location in the overlay,
/// and invalid actions are skipped.
pub fn apply(files: &mut Files, document: &mut Document, overlay: FileId, sink: &mut Sink) {
    let Some(root) = files.root(overlay) else {
        return;
    };
    document.overlays.push(overlay);
    let extended = OverlayPaths {
        overlay: files.sources.file(overlay).path(),
        path: files.sources.file(document.file).path(),
    };
    let actions = read::actions(files.tree.at(root), extended, sink);
    let mut edited = EditedDocument::new(&mut files.tree, document.root);
    let mut targets = Targets::after(files.overlay_steps);
    for action in &actions {
        if run(action, &mut edited, &mut targets, sink).is_err() {
            break;
        }
    }
    document.root = edited.root();
    files.overlay_steps = files.overlay_steps.saturating_add(targets.steps_taken());
}

/// Action on the values that a target selects.
struct Action {
    target: NodeId,
    change: Change,
}

enum Change {
    Update(NodeId),
    /// JSONPath of the value to copy (Overlay 1.1).
    Copy(NodeId),
    Remove,
}

/// The document exceeds its limits; the remaining actions are skipped.
struct Stop;

fn run(
    action: &Action,
    edited: &mut EditedDocument<'_>,
    targets: &mut Targets,
    sink: &mut Sink,
) -> Result<(), Stop> {
    let Some(paths) = targets.find(edited, action.target, sink) else {
        return Ok(());
    };
    let target = edited.at(action.target);
    if paths.is_empty() {
        let text = diag::suggest::shown(target.as_str().unwrap_or_default());
        sink.push(
            Diagnostic::new(
                &OVERLAY_MATCHES_NOTHING,
                target.span(),
                format!("the target `{text}` matches nothing"),
            )
            .help("fix the path, which the document may no longer have, or remove the action"),
        );
        return Ok(());
    }
    match action.change {
        Change::Remove => remove(&paths, target.id(), edited, targets, sink),
        Change::Update(update) => {
            return merge(&paths, action.target, update, edited, targets, sink);
        }
        Change::Copy(source) => {
            let Some(sources) = targets.find(edited, source, sink) else {
                return Ok(());
            };
            let [source_path] = &sources[..] else {
                sink.push(Diagnostic::new(
                    &OVERLAY_MISMATCH,
                    edited.at(source).span(),
                    format!(
                        "`copy` needs exactly one value, this selects {}",
                        sources.len()
                    ),
                ));
                return Ok(());
            };
            if let Some(value) = edited.find(source_path).map(NodeRef::id) {
                edited.share(value);
                return merge(&paths, action.target, value, edited, targets, sink);
            }
        }
    }
    Ok(())
}

fn merge(
    paths: &[Path],
    target: NodeId,
    update: NodeId,
    edited: &mut EditedDocument<'_>,
    targets: &mut Targets,
    sink: &mut Sink,
) -> Result<(), Stop> {
    if let Some(mixed) = mixed(paths, target, edited) {
        sink.push(mixed);
        return Ok(());
    }
    let mut failed: Option<(Wrong, usize)> = None;
    for path in paths {
        let outcome = edited.merge(path, update);
        targets.changed(edited, path, update);
        match (outcome, &mut failed) {
            (Ok(()), _) => {}
            (Err(_), Some((_, count))) => *count += 1,
            (Err(wrong), None) => failed = Some((wrong, 1)),
        }
        if matches!(failed, Some((Wrong::TooLarge, _))) {
            break;
        }
    }
    let Some((wrong, count)) = failed else {
        return Ok(());
    };
    let stop = matches!(wrong, Wrong::TooLarge);
    let more = match count {
        1 => String::new(),
        count => format!(", and at {} other places", count - 1),
    };
    let target = edited.at(target).span();
    sink.push(match wrong {
        Wrong::Mismatch { here, update } => {
            let (here, update) = (edited.at(here), edited.at(update));
            Diagnostic::new(
                &OVERLAY_MISMATCH,
                update.span(),
                format!(
                    "{} cannot be merged into {}{more}",
                    update.kind_name(),
                    here.kind_name()
                ),
            )
            .related(crate::spec::first_key(here), "the target is here")
            .help("remove the old value with an action of its own first")
        }
        Wrong::AppendsList { name, here, update } => Diagnostic::new(
            &OVERLAY_APPENDS_LIST,
            edited.at(update).span(),
            format!("this would append to an existing `{name}`{more}"),
        )
        .label("an overlay's update concatenates lists")
        .related(edited.at(here).span(), "the list that it would change")
        .help("set `security` in `x-gateway`, where it replaces; or remove the old list with an action of its own first"),
        Wrong::TooLarge => Diagnostic::new(
            &sources::syntax::lints::TOO_LARGE,
            target,
            "this action would make the document too large or too deeply nested",
        ),
    });
    if stop { Err(Stop) } else { Ok(()) }
}

/// Creates the finding for a target that selects values of different types, such as a map and a
/// list. One update cannot apply to all of them (Overlay 1.1 §4.4.3). `None` if all selected values
/// are maps, all are lists, or all are scalars.
fn mixed(paths: &[Path], target: NodeId, edited: &mut EditedDocument<'_>) -> Option<Diagnostic> {
    let mut nodes = paths.iter();
    let mut nodes = std::iter::from_fn(|| {
        let node = nodes.find_map(|path| Some(edited.find(path)?.id()))?;
        let at = edited.at(node);
        Some((node, (at.is_map(), at.is_list())))
    });
    let (first, sort) = nodes.next()?;
    let (other, _) = nodes.find(|(_, other)| *other != sort)?;
    let (first, other) = (edited.at(first), edited.at(other));
    let target = edited.at(target);
    let finding = Diagnostic::new(
        &OVERLAY_MISMATCH,
        target.span(),
        format!(
            "the target selects {} as well as {}",
            first.kind_name(),
            other.kind_name()
        ),
    );
    let first_key = crate::spec::first_key;
    Some(
        finding
            .related(first_key(first), format!("this is {}", first.kind_name()))
            .related(first_key(other), format!("this is {}", other.kind_name()))
            .help(match paths.iter().all(|path| is_in_path_item(path)) {
                true => {
                    "to select the operations without `parameters` and the other keys beside \
them, write `$.paths.*[?@.responses]`"
                }
                false => {
                    "let a target select only maps, only lists or only scalars; write an action \
for each kind"
                }
            }),
    )
}

/// True for the path of an entry of a path item, such as an operation.
fn is_in_path_item(path: &[Step]) -> bool {
    matches!(path, [Step::Key(first), _, _] if &**first == "paths")
}

fn remove(
    paths: &[Path],
    target: NodeId,
    edited: &mut EditedDocument<'_>,
    targets: &mut Targets,
    sink: &mut Sink,
) {
    if paths.iter().any(Vec::is_empty) {
        sink.push(Diagnostic::new(
            &OVERLAY_MISMATCH,
            edited.at(target).span(),
            "the whole document cannot be removed",
        ));
        return;
    }
    // Remove the values of one map or list together. Remove values of later list items first, so
    // that earlier indexes stay valid. Skip a value inside another removed value.
    let mut paths: Vec<&Path> = paths.iter().collect();
    paths.sort_unstable();
    paths.dedup_by(|path, before| path.starts_with(before));
    let mut by_parent: BTreeMap<&[Step], BTreeSet<Step>> = BTreeMap::new();
    for (last, parent) in paths.into_iter().filter_map(|path| path.split_last()) {
        by_parent.entry(parent).or_default().insert(last.clone());
    }
    for (parent, steps) in by_parent.iter().rev() {
        edited.remove(parent, steps);
        targets.removed(parent, steps);
    }
}
