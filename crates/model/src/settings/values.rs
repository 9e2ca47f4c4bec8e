//! Values that several parts of gateway.yaml share: lists and objects of names, and upstreams.

use bundle::ir;
use diag::shape;
use diag::{NodeRef, Spanned};
use policy::declared::{self, whole};
use policy::escapes::is_dot_segment;

use crate::Defined;

/// Upstream with the timeout that its operations inherit.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Upstream in the form of the bundle.
    pub ir: ir::Upstream,
    /// Key `timeouts.request`, in milliseconds. `None`: not set.
    pub request_timeout_ms: Option<Spanned<u64>>,
}

/// Reads a policy or verifier of a kind that gwd does not support yet.
pub(super) fn declared_kind(
    kind: &str,
    node: NodeRef<'_>,
    shape: &shape::Shape,
) -> declared::Checked {
    declared::Checked {
        kind: kind.to_owned(),
        settings: whole(node, shape).without(|path| path == ["kind"]),
    }
}

/// Name in the bundle of an upstream or verifier that a document defines: `API/NAME`. Names in
/// gateway.yaml contain no `/`.
pub(crate) fn name_in(api: &str, name: &str) -> String {
    format!("{api}/{name}")
}

/// Bundle name of a verifier to which another verifier refers. `definition`: bundle name of the
/// referring verifier. One document contains both verifiers, or gateway.yaml does.
pub(crate) fn named_beside(definition: &str, name: &str) -> String {
    match definition.split_once('/') {
        Some((api, _)) => name_in(api, name),
        None => name.to_owned(),
    }
}

/// True if a path contains a segment `.` or `..`, percent-encoded or not. Such a path would resolve
/// to a different path.
pub(super) fn has_dots(path: &str) -> bool {
    path.split('/').any(is_dot_segment)
}

/// Reads a list of names.
pub(crate) fn name_list(node: Option<NodeRef<'_>>) -> Vec<Spanned<String>> {
    let items = node.into_iter().flat_map(NodeRef::items);
    items
        .filter_map(|item| Some(Spanned::new(item.scalar_text()?.to_owned(), item.span())))
        .collect()
}

/// Values by name.
pub(super) type Entries<T> = Vec<(String, Defined<T>)>;

/// Reads the entries of the object under `key`, each with the location of its name. `make` reads
/// one entry.
pub(super) fn entries<'t, T>(
    root: NodeRef<'t>,
    key: &str,
    mut make: impl FnMut(String, NodeRef<'t>) -> Option<T>,
) -> Entries<T> {
    let all = root.get(key).into_iter().flat_map(NodeRef::entries);
    let made = all.filter_map(|(entry, node)| {
        let value = make(entry.key.to_string(), node)?;
        let defined = Defined {
            value,
            span: entry.key_span,
            node: Some(node.id()),
        };
        Some((entry.key.to_string(), defined))
    });
    made.collect()
}
