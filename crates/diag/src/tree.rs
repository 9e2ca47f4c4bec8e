//! The spanned tree: what a YAML or JSON text says, with the place of each key and value.
//!
//! One arena holds the nodes of all files of a run, so that an overlay can graft a node of one
//! file into another and a YAML alias can be the node it names. Nodes are never removed.

use crate::span::Span;

/// A node in a [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// The arena.
#[derive(Clone, Default)]
pub struct Tree {
    nodes: Vec<Node>,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// The whole value; for a block map or list from its first key or dash to its last value.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
}

/// What a node is. Numbers keep their text, so that `1.10` and `010` are told as written.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number by the rules of the YAML 1.2 core schema or JSON, as written.
    Number(Box<str>),
    /// Any other scalar.
    String(Box<str>),
    /// A sequence.
    List(Vec<NodeId>),
    /// A mapping in source order; keys are unique.
    Map(Vec<Entry>),
}

/// One key with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key's text; scalars that are not strings are their own text (`200`, `true`).
    pub key: Box<str>,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: NodeId,
}

impl Tree {
    /// Adds a node.
    pub fn push(&mut self, span: Span, kind: Kind) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).expect("fewer than 2^32 nodes"));
        self.nodes.push(Node { span, kind });
        id
    }

    /// The number of nodes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no node yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// A node to change in place (a parser closing a list, an overlay on its own copy).
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0 as usize]
    }

    /// A node to read.
    #[must_use]
    pub fn at(&self, id: NodeId) -> NodeRef<'_> {
        NodeRef { tree: self, id }
    }
}

/// A node together with the tree it lives in; cheap to copy.
#[derive(Clone, Copy)]
pub struct NodeRef<'t> {
    tree: &'t Tree,
    id: NodeId,
}

impl<'t> NodeRef<'t> {
    /// The node's id.
    #[must_use]
    pub fn id(self) -> NodeId {
        self.id
    }

    /// The tree.
    #[must_use]
    pub fn tree(self) -> &'t Tree {
        self.tree
    }

    /// Where it stands.
    #[must_use]
    pub fn span(self) -> Span {
        self.node().span
    }

    /// What it is.
    #[must_use]
    pub fn kind(self) -> &'t Kind {
        &self.node().kind
    }

    /// What it is, for messages: `a string`, `a list`, …
    #[must_use]
    pub fn kind_name(self) -> &'static str {
        match self.kind() {
            Kind::Null => "nothing",
            Kind::Bool(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::String(_) => "a string",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }

    /// The value of a key.
    #[must_use]
    pub fn get(self, key: &str) -> Option<Self> {
        self.entry(key).map(|(_, value)| value)
    }

    /// A key with its value.
    #[must_use]
    pub fn entry(self, key: &str) -> Option<(&'t Entry, Self)> {
        self.entries().find(|(entry, _)| &*entry.key == key)
    }

    /// The entries of a map in source order; none for anything else.
    pub fn entries(self) -> impl DoubleEndedIterator<Item = (&'t Entry, Self)> + ExactSizeIterator {
        let entries: &[Entry] = match self.kind() {
            Kind::Map(entries) => entries,
            _ => &[],
        };
        entries
            .iter()
            .map(move |entry| (entry, self.tree.at(entry.value)))
    }

    /// The items of a list; none for anything else.
    pub fn items(self) -> impl DoubleEndedIterator<Item = Self> + ExactSizeIterator {
        let items: &[NodeId] = match self.kind() {
            Kind::List(items) => items,
            _ => &[],
        };
        items.iter().map(move |id| self.tree.at(*id))
    }

    /// The text of a string (not of a number or a boolean).
    #[must_use]
    pub fn as_str(self) -> Option<&'t str> {
        match self.kind() {
            Kind::String(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a scalar as it would be read as a string; none for null, lists and maps.
    #[must_use]
    pub fn scalar_text(self) -> Option<&'t str> {
        match self.kind() {
            Kind::String(text) | Kind::Number(text) => Some(text),
            Kind::Bool(true) => Some("true"),
            Kind::Bool(false) => Some("false"),
            Kind::Null | Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// The value of a boolean.
    #[must_use]
    pub fn as_bool(self) -> Option<bool> {
        match self.kind() {
            Kind::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The value of a whole number that fits.
    #[must_use]
    pub fn as_i64(self) -> Option<i64> {
        match self.kind() {
            Kind::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// Whether it is null.
    #[must_use]
    pub fn is_null(self) -> bool {
        matches!(self.kind(), Kind::Null)
    }

    /// Whether it is a map.
    #[must_use]
    pub fn is_map(self) -> bool {
        matches!(self.kind(), Kind::Map(_))
    }

    /// Whether it is a list.
    #[must_use]
    pub fn is_list(self) -> bool {
        matches!(self.kind(), Kind::List(_))
    }

    fn node(self) -> &'t Node {
        &self.tree.nodes[self.id.0 as usize]
    }
}
