//! JSON Merge Patch (RFC 7396) for the tree of gateway.yaml.
//!
//! Maps are merged, any other value replaces the old one, and `null` removes it. No node is changed
//! in place: a changed map becomes a new node, so that gateway.yaml without the patch can be
//! checked as well.

use diag::{Diagnostic, Kind, NodeId, NodeRef, Sink};

use super::{Environment, Origins, entries};
use sources::project::files::Files;
use vocab::environment_lints::{MISPLACED_PATCH, PATCH_REMOVES_NOTHING};

/// Applies the patch of an environment and returns the new root. Returns `root` if there is no
/// valid patch.
pub(super) fn apply(
    files: &mut Files,
    root: NodeId,
    environment: &Environment,
    origins: &mut Origins,
    sink: &mut Sink,
) -> NodeId {
    let named = files.tree.at(environment.node).get("patch");
    let Some((path, span)) =
        named.and_then(|node| Some((node.scalar_text()?.to_owned(), node.span())))
    else {
        return root;
    };
    let Some((_, patch)) = files.load(&path, span, sink) else {
        return root;
    };
    let node = files.tree.at(patch);
    if node.is_null() {
        return root;
    }
    if !node.is_map() {
        sink.push(
            Diagnostic::new(
                &MISPLACED_PATCH,
                node.span(),
                format!("a patch must be a map, this is {}", node.kind_name()),
            )
            .related(span, "the patch is named here")
            .help("write what differs under the same keys as in gateway.yaml"),
        );
        return root;
    }
    let mut fixed = false;
    for (entry, _) in node
        .entries()
        .filter(|(entry, _)| vocab::FIXED.contains(&&*entry.key))
    {
        fixed = true;
        sink.push(
            Diagnostic::new(
                &MISPLACED_PATCH,
                entry.key_span,
                format!("a patch cannot change `{}`", entry.key),
            )
            .related(span, "the patch is named here")
            .help("this key is the same in every environment; change it in gateway.yaml"),
        );
    }
    if fixed {
        return root;
    }
    merge(files, root, patch, "", origins, sink)
}

/// Merges `patch` into `target`. Both are maps.
fn merge(
    files: &mut Files,
    target: NodeId,
    patch: NodeId,
    path: &str,
    origins: &mut Origins,
    sink: &mut Sink,
) -> NodeId {
    let mut merged = entries(files.tree.at(target));
    for change in entries(files.tree.at(patch)) {
        let at = merged.iter().position(|entry| entry.key == change.key);
        let value = files.tree.at(change.value);
        if value.is_null() {
            match at {
                Some(at) => {
                    origins
                        .removed
                        .push((change.key.to_string(), change.key_span));
                    merged.remove(at);
                }
                None => sink.push(removes_nothing(value, &change, path)),
            }
            continue;
        }
        let is_map = value.is_map();
        let old = at.map(|at| merged[at].value);
        let value = match old {
            Some(old) if is_map && files.tree.at(old).is_map() => {
                let around = files.tree.at(old).span();
                origins.changed.push((around, change.key_span));
                let path = format!("{path}{}.", change.key);
                merge(files, old, change.value, &path, origins, sink)
            }
            Some(old) => {
                let (new, old) = (
                    files.tree.at(change.value).span(),
                    files.tree.at(old).span(),
                );
                origins.overridden.insert(new, old);
                pruned(files, change.value, sink)
            }
            None => pruned(files, change.value, sink),
        };
        match at {
            // The key keeps its original span; the value comes from the patch.
            Some(at) => merged[at].value = value,
            None => merged.push(diag::tree::Entry { value, ..change }),
        }
    }
    let span = files.tree.at(target).span();
    files.tree.push(span, Kind::Map(merged))
}

/// Removes the `null` entries of a value that a patch adds. Reports them, because a new value has
/// no entries that `null` could remove.
fn pruned(files: &mut Files, value: NodeId, sink: &mut Sink) -> NodeId {
    let node = files.tree.at(value);
    if !node.is_map() {
        return value;
    }
    let mut kept = Vec::new();
    for entry in entries(node) {
        let node = files.tree.at(entry.value);
        if node.is_null() {
            sink.push(removes_nothing(node, &entry, ""));
            continue;
        }
        let value = pruned(files, entry.value, sink);
        kept.push(diag::tree::Entry { value, ..entry });
    }
    let span = files.tree.at(value).span();
    files.tree.push(span, Kind::Map(kept))
}

fn removes_nothing(null: NodeRef<'_>, entry: &diag::tree::Entry, path: &str) -> Diagnostic {
    let span = if null.span().start == null.span().end {
        entry.key_span
    } else {
        null.span()
    };
    Diagnostic::new(
        &PATCH_REMOVES_NOTHING,
        span,
        format!("there is no `{path}{}` to remove", entry.key.escape_debug()),
    )
    .help("fix the name, which may have changed in gateway.yaml, or remove the line")
}
