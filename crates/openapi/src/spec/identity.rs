//! Identifiers that documents declare: `$id`, `$anchor` and `$dynamicAnchor` of schemas (JSON
//! Schema 2020-12 core §8.2) and `$self` of documents (OpenAPI 3.2). A schema with an `$id` is an
//! embedded schema resource: references inside it are relative to its `$id`.
//!
//! No URI is fetched. A URI is known only if a file of the project declares it.

use std::collections::HashMap;

use diag::{FileId, NodeId, NodeRef};
use fluent_uri::{Uri, UriRef};
use rustc_hash::FxHashSet;

use super::reference::Resolver;

/// Identifiers declared in the files that a document reaches.
#[derive(Default)]
pub(super) struct Identities<'a> {
    by_uri: HashMap<String, NodeId>,
    uri_of: HashMap<NodeId, Uri<String>>,
    anchors: HashMap<(NodeId, &'a str), NodeId>,
    dynamic: HashMap<(NodeId, &'a str), NodeId>,
    /// Node of the embedded schema resource that contains a schema or reference.
    embedded: HashMap<NodeId, NodeId>,
}

/// Keys whose values are data, not schemas. `$id` has no meaning there.
const DATA: &[&str] = &[
    "example",
    "examples",
    "default",
    "enum",
    "const",
    "value",
    "dataValue",
];
/// Keys whose values are maps from names to schemas or objects. The keys of these maps are names
/// and not keywords.
const NAMED: &[&str] = &[
    "properties",
    "patternProperties",
    "dependentSchemas",
    "$defs",
    "definitions",
    "schemas",
];

impl<'a> Identities<'a> {
    /// Reads the identifiers of some files. Each file is given with its root node.
    pub(super) fn read(resolver: &Resolver<'a>, files: &[(FileId, NodeId)]) -> Self {
        let mut found = Self::default();
        let mut seen: FxHashSet<NodeId> = FxHashSet::default();
        let all = resolver.files();
        let overlays = resolver.document().overlays.iter();
        let overlaid = overlays.copied().any(|file| all.identifies(file));
        for (file, root) in files {
            let root = resolver.node(*root);
            let path = resolver.files().sources.file(*file).path();
            let own = place(path);
            let named = root.get("$self").and_then(NodeRef::as_str);
            let uri = match (named, own) {
                (Some(named), Some(own)) => joined(&own, named).or(Some(own)),
                (_, own) => own,
            };
            if let Some(uri) = uri {
                found.by_uri.insert(without_fragment(&uri), root.id());
                found.uri_of.insert(root.id(), uri);
            }
            if overlaid || all.identifies(*file) {
                found.scan(root, &mut seen);
            }
        }
        found
    }

    fn scan(&mut self, root: NodeRef<'a>, seen: &mut FxHashSet<NodeId>) {
        // Each element: a node, its resource, and true if the node's keys are names and not
        // keywords.
        let mut waiting = vec![(root, root.id(), false)];
        while let Some((node, outer, names)) = waiting.pop() {
            if !(node.is_map() || node.is_list()) || !seen.insert(node.id()) {
                continue;
            }
            let mut resource = outer;
            let text = |key: &str| node.get(key).and_then(NodeRef::as_str).filter(|_| !names);
            if let Some(id) = text("$id")
                && let Some(uri) = self.uri_of.get(&outer).and_then(|base| joined(base, id))
            {
                resource = node.id();
                self.by_uri
                    .entry(without_fragment(&uri))
                    .or_insert(resource);
                self.uri_of.insert(resource, uri);
            }
            if resource != root.id() {
                self.embedded.insert(node.id(), resource);
            }
            if let Some(anchor) = text("$anchor") {
                self.anchors.entry((resource, anchor)).or_insert(node.id());
            }
            if let Some(anchor) = text("$dynamicAnchor") {
                self.anchors.entry((resource, anchor)).or_insert(node.id());
                self.dynamic.entry((resource, anchor)).or_insert(node.id());
            }
            waiting.extend(node.items().map(|item| (item, resource, false)));
            for (entry, value) in node.entries() {
                let key = &*entry.key;
                if resource != root.id() && matches!(key, "$ref" | "$dynamicRef") {
                    self.embedded.insert(value.id(), resource);
                }
                if names || !DATA.contains(&key) {
                    waiting.push((value, resource, !names && NAMED.contains(&key)));
                }
            }
        }
    }

    /// Embedded resource that contains a schema or reference. `None` if there is none.
    pub(super) fn embedded(&self, node: NodeId) -> Option<NodeId> {
        self.embedded.get(&node).copied()
    }

    /// True if a schema has a `$dynamicAnchor`. The targets of `$dynamicRef` then depend on the
    /// schemas through which the evaluation came.
    pub(super) fn is_dynamic(&self) -> bool {
        !self.dynamic.is_empty()
    }

    /// Returns the resource with a URI. `path` is relative to the resource `from`.
    pub(super) fn resource(&self, from: NodeId, path: &str) -> Option<NodeId> {
        let uri = joined(self.uri_of.get(&from)?, path)?;
        self.by_uri.get(&without_fragment(&uri)).copied()
    }

    /// Returns the schema with an `$anchor` or `$dynamicAnchor` in a resource.
    pub(super) fn anchor(&self, resource: NodeId, name: &str) -> Option<NodeId> {
        self.anchors.get(&(resource, name)).copied()
    }

    /// Returns the schema with a `$dynamicAnchor` in a resource.
    pub(super) fn dynamic_anchor(&self, resource: NodeId, name: &str) -> Option<NodeId> {
        self.dynamic.get(&(resource, name)).copied()
    }
}

/// Converts the path of a file to a URI, as the base of relative identifiers.
fn place(path: &str) -> Option<Uri<String>> {
    use fluent_uri::pct_enc::{EString, encoder::Path};
    let mut text = EString::<Path>::new();
    text.encode_str::<Path>(path);
    Uri::parse(format!("file:///{text}")).ok()
}

fn joined(base: &Uri<String>, text: &str) -> Option<Uri<String>> {
    let reference = UriRef::parse(text).ok()?;
    // A base URI has no fragment (RFC 3986 §5.1).
    reference.resolve_against(&base.strip_fragment()).ok()
}

fn without_fragment(uri: &Uri<String>) -> String {
    uri.strip_fragment().to_string()
}
