//! Access to nodes during the conversion of a document.

use diag::tree::Entry;
use diag::{Kind, NodeId, Span};

use sources::project::files::Files;

/// Tree that the conversion reads and extends.
pub(super) struct Nodes<'f> {
    pub(super) files: &'f mut Files,
}

/// Map of the converted document, while its entries are added.
pub(super) struct Map {
    span: Span,
    entries: Vec<Entry>,
}

impl Map {
    pub(super) fn new(span: Span) -> Self {
        Self {
            span,
            entries: Vec::new(),
        }
    }

    /// Adds an entry, unless the key exists.
    pub(super) fn put(&mut self, key: &str, key_span: Span, value: NodeId) {
        if !self.has(key) {
            self.entries.push(Entry {
                key: key.into(),
                key_span,
                value,
            });
        }
    }

    /// Copies an entry, unless its key exists.
    pub(super) fn keep(&mut self, entry: &Entry) {
        self.put(&entry.key, entry.key_span, entry.value);
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| &*entry.key == key)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl Nodes<'_> {
    pub(super) fn span(&self, node: NodeId) -> Span {
        self.files.tree.at(node).span()
    }

    pub(super) fn get(&self, node: NodeId, key: &str) -> Option<NodeId> {
        self.files.tree.at(node).get(key).map(|value| value.id())
    }

    pub(super) fn entry(&self, node: NodeId, key: &str) -> Option<Entry> {
        let found = self.files.tree.at(node).entry(key);
        found.map(|(entry, _)| entry.clone())
    }

    pub(super) fn entries(&self, node: NodeId) -> Vec<Entry> {
        let entries = self.files.tree.at(node).entries();
        entries.map(|(entry, _)| entry.clone()).collect()
    }

    pub(super) fn items(&self, node: NodeId) -> Vec<NodeId> {
        let items = self.files.tree.at(node).items();
        items.map(|item| item.id()).collect()
    }

    pub(super) fn string(&self, node: NodeId) -> Option<String> {
        self.files.tree.at(node).as_str().map(str::to_owned)
    }

    /// Returns the string value of a key. `None` if the key is absent or its value is not a string.
    pub(super) fn string_of(&self, node: NodeId, key: &str) -> Option<String> {
        self.string(self.get(node, key)?)
    }

    pub(super) fn is_map(&self, node: NodeId) -> bool {
        self.files.tree.at(node).is_map()
    }

    pub(super) fn is_true(&self, node: NodeId, key: &str) -> bool {
        let value = self.files.tree.at(node).get(key);
        value.and_then(|value| value.as_bool()) == Some(true)
    }

    pub(super) fn push(&mut self, span: Span, kind: Kind) -> NodeId {
        self.files.tree.push(span, kind)
    }

    pub(super) fn text(&mut self, text: &str, span: Span) -> NodeId {
        self.push(span, Kind::String(text.into()))
    }

    pub(super) fn bool(&mut self, value: bool, span: Span) -> NodeId {
        self.push(span, Kind::Bool(value))
    }

    pub(super) fn map(&mut self, map: Map) -> NodeId {
        self.push(map.span, Kind::Map(map.entries))
    }
}
