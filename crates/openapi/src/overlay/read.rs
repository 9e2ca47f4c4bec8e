//! Reader of an overlay file: its fields, and its actions in order.

use diag::{Diagnostic, NodeRef, Sink, Span, suggest};

use super::lints::{MALFORMED_OVERLAY, OVERLAY_DOES_NOTHING, OVERLAY_OF_ANOTHER};
use super::{Action, Change};
use crate::spec::first_key;
use sources::project::files::{join, percent_decoded};

/// Paths of an overlay and of the document to which it is applied.
#[derive(Clone, Copy)]
pub(super) struct OverlayPaths<'p> {
    /// Path of the overlay in the project.
    pub(super) overlay: &'p str,
    /// Path of the document.
    pub(super) path: &'p str,
}

/// Reads the actions of an overlay. Invalid actions are reported and left out.
pub(super) fn actions(
    root: NodeRef<'_>,
    document: OverlayPaths<'_>,
    sink: &mut Sink,
) -> Vec<Action> {
    if !root.is_map() {
        report(
            root.span(),
            "an overlay must be a map with `overlay`, `info` and `actions`",
            sink,
        );
        return Vec::new();
    }
    keys(
        root,
        "an overlay",
        &["overlay", "info", "extends", "actions"],
        sink,
    );
    let Some(copies) = version(root, sink) else {
        return Vec::new();
    };
    match root.get("info") {
        Some(info) if info.is_map() => {
            keys(
                info,
                "the info object",
                &["title", "version", "description"],
                sink,
            );
            for key in ["title", "version"] {
                let value = info.get(key);
                text(info, value, key, sink);
            }
        }
        Some(info) => report(info.span(), "`info` must be a map", sink),
        None => report(first_key(root), "the field `info` is missing", sink),
    }
    if let Some(value) = root.get("extends") {
        match value.as_str() {
            Some(text) => extends(value, text, document, sink),
            None => report(value.span(), "`extends` is a URL", sink),
        }
    }
    let Some(list) = root.get("actions") else {
        report(first_key(root), "the field `actions` is missing", sink);
        return Vec::new();
    };
    if list.items().len() == 0 {
        report(
            list.span(),
            "`actions` must be a list with at least one action",
            sink,
        );
    }
    let mut read = Vec::new();
    for (index, item) in list.items().enumerate() {
        let again = list.items().take(index).find(|before| same(*before, item));
        if let Some(before) = again {
            sink.push(
                Diagnostic::new(
                    &MALFORMED_OVERLAY,
                    first_key(item),
                    "the same action occurs twice",
                )
                .related(first_key(before), "first here"),
            );
            continue;
        }
        read.extend(action(item, copies, sink));
    }
    read
}

/// Warns about an overlay whose `extends` names another document. A URL is not checked, because gwc
/// does not fetch it.
fn extends(value: NodeRef<'_>, text: &str, document: OverlayPaths<'_>, sink: &mut Sink) {
    let path = text.split(['#', '?']).next().unwrap_or_default();
    let path = percent_decoded(path).unwrap_or_else(|| path.to_owned());
    let folder = document
        .overlay
        .rsplit_once('/')
        .map_or("", |(folder, _)| folder);
    match join(folder, &path) {
        Ok(path) if path != document.path => {}
        Ok(_) | Err(_) => return,
    }
    let message = format!(
        "this overlay extends `{}`, but is applied to `{}`",
        text.escape_debug(),
        document.path.escape_debug()
    );
    sink.push(
        Diagnostic::new(&OVERLAY_OF_ANOTHER, value.span(), message)
            .help("list the overlay at the API whose document it extends, or change `extends`, which is relative to the file of the overlay"),
    );
}

/// Reads the version of an overlay. Returns true if the version supports `copy`. `None` if the
/// version is invalid.
fn version(root: NodeRef<'_>, sink: &mut Sink) -> Option<bool> {
    let Some(field) = root.get("overlay") else {
        report(
            first_key(root),
            "this is not an overlay: the field `overlay` is missing",
            sink,
        );
        return None;
    };
    let text = field.as_str().unwrap_or_default();
    let parts: Vec<&str> = text.split('.').collect();
    match parts[..] {
        ["1", "0", patch] if is_number(patch) => Some(false),
        ["1", "1", patch] if is_number(patch) => Some(true),
        _ => {
            let finding = Diagnostic::new(
                &MALFORMED_OVERLAY,
                field.span(),
                "this version of Overlay is not supported",
            );
            sink.push(finding.help("`1.0.0` and `1.1.0` are supported"));
            None
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn action(item: NodeRef<'_>, copies: bool, sink: &mut Sink) -> Option<Action> {
    if !item.is_map() {
        report(item.span(), "an action must be a map with a `target`", sink);
        return None;
    }
    let known: &[&str] = if copies {
        &["target", "description", "update", "remove", "copy"]
    } else {
        &["target", "description", "update", "remove"]
    };
    keys(item, "an action", known, sink);
    let target = item.get("target");
    if !text(item, target, "target", sink) {
        return None;
    }
    let target = target?.id();
    let removes = item.get("remove");
    if let Some(remove) = removes
        && remove.as_bool().is_none()
    {
        report(remove.span(), "`remove` must be `true` or `false`", sink);
        return None;
    }
    if let Some(copy) = item.get("copy").filter(|_| copies)
        && copy.as_str().is_none()
    {
        report(copy.span(), "`copy` must be a JSONPath in a string", sink);
        return None;
    }
    let copy = item.get("copy").filter(|_| copies);
    if let (Some((update, _)), Some((copy, _))) =
        (item.entry("update"), item.entry("copy").filter(|_| copies))
        && removes.and_then(NodeRef::as_bool) != Some(true)
    {
        // By the specification, neither `update` nor `copy` has an effect if the other one is
        // present.
        sink.push(
            Diagnostic::new(
                &MALFORMED_OVERLAY,
                copy.key_span,
                "`update` and `copy` exclude each other",
            )
            .related(update.key_span, "the other field")
            .help("write one action for `copy` and one for `update`, in the order in which they apply"),
        );
        return None;
    }
    let change = if removes.and_then(NodeRef::as_bool) == Some(true) {
        let ignored = ["update", "copy"]
            .into_iter()
            .filter_map(|key| item.entry(key));
        for (entry, _) in ignored {
            let message = format!("`{}` has no effect beside `remove: true`", entry.key);
            let finding = Diagnostic::new(&OVERLAY_DOES_NOTHING, entry.key_span, message);
            sink.push(finding.help("remove it, or write a separate action for it"));
        }
        Change::Remove
    } else if let Some(update) = item.get("update") {
        Change::Update(update.id())
    } else if let Some(copy) = copy {
        Change::Copy(copy.id())
    } else {
        let finding = Diagnostic::new(
            &OVERLAY_DOES_NOTHING,
            first_key(item),
            "the action does nothing",
        );
        sink.push(finding.help("give it an `update`, or `remove: true`"));
        return None;
    };
    Some(Action { target, change })
}

fn text(owner: NodeRef<'_>, value: Option<NodeRef<'_>>, key: &str, sink: &mut Sink) -> bool {
    match value {
        Some(value) if value.as_str().is_some() => return true,
        Some(value) => report(value.span(), &format!("`{key}` is a string"), sink),
        None => report(
            first_key(owner),
            &format!("the field `{key}` is missing"),
            sink,
        ),
    }
    false
}

fn keys(node: NodeRef<'_>, what: &str, known: &[&str], sink: &mut Sink) {
    for (entry, _) in node.entries() {
        if known.contains(&&*entry.key) || entry.key.starts_with("x-") {
            continue;
        }
        let message = format!("{what} has no field `{}`", suggest::shown(&entry.key));
        let mut finding = Diagnostic::new(&MALFORMED_OVERLAY, entry.key_span, message);
        if let Some(near) = suggest::nearest(&entry.key, known.iter().copied()) {
            finding = finding
                .label(format!("did you mean `{near}`?"))
                .fix(entry.key_span, near);
        }
        sink.push(finding);
    }
}

fn report(span: Span, message: &str, sink: &mut Sink) {
    sink.push(Diagnostic::new(&MALFORMED_OVERLAY, span, message));
}

/// True if two values are equal, ignoring the order of keys.
fn same(a: NodeRef<'_>, b: NodeRef<'_>) -> bool {
    if a.is_map() && b.is_map() {
        return a.entries().len() == b.entries().len()
            && a.entries()
                .all(|(entry, value)| b.get(&entry.key).is_some_and(|other| same(value, other)));
    }
    if a.is_list() && b.is_list() {
        return a.items().len() == b.items().len()
            && a.items().zip(b.items()).all(|(a, b)| same(a, b));
    }
    a.kind() == b.kind()
}
