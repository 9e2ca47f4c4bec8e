//! Tree with spans: the content of YAML and JSON texts, with the source location of each key and
//! value.
//!
//! One arena contains the nodes of all files that a command reads. An overlay can therefore insert
//! a node of one file into another file, and a YAML alias can share the node that it names. Nodes
//! are never removed.
//!
//! The arena consists of segments, one for each file. The ids of a file's nodes are reserved first
//! ([`Tree::set_aside`]). The file is then read into a tree of its own ([`Tree::part`]), which is
//! added to the arena ([`Tree::take`]). Files can therefore be read in parallel, and ids do not
//! depend on the order in which the files are finished.

use std::sync::Arc;

use crate::span::Span;

/// Id of a node in a [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// Number of ids in one block. A block belongs to one segment. See [`NodeId::block`].
pub const BLOCK: usize = 256;

/// Arena of nodes.
#[derive(Clone, Default)]
pub struct Tree {
    segments: Vec<Segment>,
    /// Index in `segments` for each block of ids, beginning with the block `first`. `u32::MAX` for
    /// a block without nodes.
    blocks: Vec<u32>,
    /// Number of the first block of ids in this tree.
    first: usize,
    /// Id of the next node.
    next: u32,
}

/// Nodes with consecutive ids.
#[derive(Clone)]
struct Segment {
    base: u32,
    /// Trees of several compilations share the nodes of a file that has not changed.
    nodes: Arc<Vec<Node>>,
}

/// Value and its source location.
#[derive(Clone, Debug)]
pub struct Node {
    /// Span of the whole value. A block map or list extends from its first key or dash to its last
    /// value.
    pub span: Span,
    /// Kind of the node, with its value.
    pub kind: Kind,
}

/// Kind of a node, with its value. Numbers keep their text, so that messages show `1.10` and `010`
/// as written.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// `null`, `~` or an empty value.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number of the YAML 1.2 core schema or JSON, as written.
    Number(Box<str>),
    /// Any other scalar.
    String(Box<str>),
    /// A sequence.
    List(Vec<NodeId>),
    /// A mapping in source order, with unique keys.
    Map(Vec<Entry>),
}

/// Key with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Text of the key. Scalars other than strings use their source text (`200`, `true`).
    pub key: Box<str>,
    /// Source location of the key.
    pub key_span: Span,
    /// Node of the value.
    pub value: NodeId,
}

impl NodeId {
    /// Block of the id, and index in the block, which is less than [`BLOCK`]. Used for sparse
    /// tables by node id.
    #[must_use]
    pub fn block(self) -> (u32, usize) {
        (self.0 / BLOCK as u32, self.0 as usize % BLOCK)
    }
}

impl Tree {
    /// Creates a tree for the nodes of one file. `first` is the id of the first node, reserved by
    /// [`Tree::set_aside`]. `expected` is the expected number of nodes.
    #[must_use]
    pub fn part(first: NodeId, expected: usize) -> Self {
        Self {
            segments: vec![Segment {
                base: first.0,
                nodes: Arc::new(Vec::with_capacity(expected)),
            }],
            blocks: Vec::new(),
            first: first.0 as usize / BLOCK,
            next: first.0,
        }
    }

    /// Creates a tree for one file from its nodes. `first` is the id of the first node, reserved by
    /// [`Tree::set_aside`].
    #[must_use]
    pub fn of_nodes(first: NodeId, nodes: Arc<Vec<Node>>) -> Self {
        let base = first.0;
        let count = u32::try_from(nodes.len()).expect("fewer than 2^32 nodes");
        Self {
            blocks: vec![0; nodes.len().div_ceil(BLOCK)],
            first: base as usize / BLOCK,
            next: base.checked_add(count).expect("fewer than 2^32 nodes"),
            segments: vec![Segment { base, nodes }],
        }
    }

    /// Nodes of a tree that [`Tree::part`] created, in the order of their ids.
    #[must_use]
    pub fn into_nodes_of_part(mut self) -> Arc<Vec<Node>> {
        let segment = self.segments.pop();
        segment.map(|segment| segment.nodes).unwrap_or_default()
    }

    /// Reserves `count` consecutive ids for the nodes of one file, and returns the first id. `None`
    /// if there are not enough ids.
    pub fn set_aside(&mut self, count: usize) -> Option<NodeId> {
        let first = self.next.checked_next_multiple_of(BLOCK as u32)?;
        let end = first.checked_add(u32::try_from(count).ok()?)?;
        self.next = end.checked_next_multiple_of(BLOCK as u32)?;
        Some(NodeId(first))
    }

    /// Adds the nodes of a tree that [`Tree::part`] created. Trees must be added in the order of
    /// their ids.
    pub fn take(&mut self, part: Self) {
        for segment in part.segments {
            self.reach(segment.base);
            self.segments.push(segment);
            let index = u32::try_from(self.segments.len() - 1).expect("fewer than 2^32 files");
            let blocks = part.blocks.len();
            self.blocks.extend(std::iter::repeat_n(index, blocks));
        }
    }

    /// Extends the table `blocks` so that its next entry is the block that begins with the id
    /// `base`.
    fn reach(&mut self, base: u32) {
        let blocks = base as usize / BLOCK - self.first;
        assert!(self.blocks.len() <= blocks, "parts are added in order");
        // Mark the blocks whose ids were reserved but have no nodes.
        self.blocks.resize(blocks, u32::MAX);
    }

    /// Adds a node.
    pub fn push(&mut self, span: Span, kind: Kind) -> NodeId {
        let id = self.next;
        let open = self.segments.last_mut().filter(|segment| {
            usize::try_from(id - segment.base).is_ok_and(|len| len == segment.nodes.len())
        });
        let Some(segment) = open else {
            let base = self.next.checked_next_multiple_of(BLOCK as u32);
            let base = base.expect("fewer than 2^32 nodes");
            self.reach(base);
            self.next = base;
            self.segments.push(Segment {
                base,
                nodes: Arc::default(),
            });
            return self.push(span, kind);
        };
        Arc::make_mut(&mut segment.nodes).push(Node { span, kind });
        if (id as usize).is_multiple_of(BLOCK) {
            let index = u32::try_from(self.segments.len() - 1).expect("fewer than 2^32 files");
            self.blocks.push(index);
        }
        self.next = id.checked_add(1).expect("fewer than 2^32 nodes");
        NodeId(id)
    }

    /// Highest used or reserved id, plus one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.next as usize
    }

    /// True if the tree has no nodes yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.next == 0
    }

    /// Iterates over the nodes in the order of their ids.
    pub fn nodes(&self) -> impl Iterator<Item = NodeRef<'_>> {
        self.segments.iter().flat_map(|segment| {
            let ids = (segment.base..).map(NodeId);
            ids.zip(&*segment.nodes).map(|(id, _)| self.at(id))
        })
    }

    /// Returns a node that the caller changes in place, such as a node that an overlay has copied.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        let segment = self.blocks[id.0 as usize / BLOCK - self.first];
        let segment = &mut self.segments[segment as usize];
        &mut Arc::make_mut(&mut segment.nodes)[(id.0 - segment.base) as usize]
    }

    /// Returns a node for reading.
    #[must_use]
    pub fn at(&self, id: NodeId) -> NodeRef<'_> {
        NodeRef { tree: self, id }
    }

    fn node(&self, id: NodeId) -> &Node {
        let segment = self.blocks[id.0 as usize / BLOCK - self.first];
        let segment = &self.segments[segment as usize];
        &segment.nodes[(id.0 - segment.base) as usize]
    }
}

/// Node with its tree. Cheap to copy.
#[derive(Clone, Copy)]
pub struct NodeRef<'t> {
    tree: &'t Tree,
    id: NodeId,
}

impl<'t> NodeRef<'t> {
    /// Id of the node.
    #[must_use]
    pub fn id(self) -> NodeId {
        self.id
    }

    /// Tree of the node.
    #[must_use]
    pub fn tree(self) -> &'t Tree {
        self.tree
    }

    /// Source location of the node.
    #[must_use]
    pub fn span(self) -> Span {
        self.node().span
    }

    /// Kind of the node, with its value.
    #[must_use]
    pub fn kind(self) -> &'t Kind {
        &self.node().kind
    }

    /// Name of the node's kind for messages: `a string`, `a list`, …
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

    /// Returns the value of a key. `None` for a missing key, and for nodes that are not maps.
    #[must_use]
    pub fn get(self, key: &str) -> Option<Self> {
        self.entry(key).map(|(_, value)| value)
    }

    /// Returns a key with its value. `None` for a missing key, and for nodes that are not maps.
    #[must_use]
    pub fn entry(self, key: &str) -> Option<(&'t Entry, Self)> {
        self.entries().find(|(entry, _)| &*entry.key == key)
    }

    /// Entries of a map in source order. Empty for other nodes.
    pub fn entries(self) -> impl DoubleEndedIterator<Item = (&'t Entry, Self)> + ExactSizeIterator {
        let entries: &[Entry] = match self.kind() {
            Kind::Map(entries) => entries,
            _ => &[],
        };
        entries
            .iter()
            .map(move |entry| (entry, self.tree.at(entry.value)))
    }

    /// Items of a list. Empty for other nodes.
    pub fn items(self) -> impl DoubleEndedIterator<Item = Self> + ExactSizeIterator {
        let items: &[NodeId] = match self.kind() {
            Kind::List(items) => items,
            _ => &[],
        };
        items.iter().map(move |id| self.tree.at(*id))
    }

    /// Text of a string. `None` for numbers and booleans.
    #[must_use]
    pub fn as_str(self) -> Option<&'t str> {
        match self.kind() {
            Kind::String(text) => Some(text),
            _ => None,
        }
    }

    /// Text of a scalar as if it were a string. `None` for null, lists and maps.
    #[must_use]
    pub fn scalar_text(self) -> Option<&'t str> {
        match self.kind() {
            Kind::String(text) | Kind::Number(text) => Some(text),
            Kind::Bool(true) => Some("true"),
            Kind::Bool(false) => Some("false"),
            Kind::Null | Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// Value of a boolean. `None` for other nodes.
    #[must_use]
    pub fn as_bool(self) -> Option<bool> {
        match self.kind() {
            Kind::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// Value of an integer in the range of `i64`. `None` for other nodes.
    #[must_use]
    pub fn as_i64(self) -> Option<i64> {
        match self.kind() {
            Kind::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// True if the node is null.
    #[must_use]
    pub fn is_null(self) -> bool {
        matches!(self.kind(), Kind::Null)
    }

    /// True if the node is a map.
    #[must_use]
    pub fn is_map(self) -> bool {
        matches!(self.kind(), Kind::Map(_))
    }

    /// True if the node is a list.
    #[must_use]
    pub fn is_list(self) -> bool {
        matches!(self.kind(), Kind::List(_))
    }

    fn node(self) -> &'t Node {
        self.tree.node(self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::FileId;

    fn number(tree: &mut Tree, text: &str) -> NodeId {
        tree.push(Span::start_of(FileId(0)), Kind::Number(text.into()))
    }

    #[test]
    fn nodes_of_parts_keep_their_reserved_ids() {
        let mut tree = Tree::default();
        let loose = number(&mut tree, "0");
        let first = tree.set_aside(1000).unwrap();
        let second = tree.set_aside(3).unwrap();
        let mut parts = [Tree::part(first, 0), Tree::part(second, 3)];
        let texts = ["1", "2"].map(|text| text.repeat(2));
        let long: Vec<NodeId> = (0..700).map(|_| number(&mut parts[0], &texts[0])).collect();
        let short = number(&mut parts[1], &texts[1]);
        assert_eq!(parts[0].at(long[699]).scalar_text(), Some("11"));
        parts.into_iter().for_each(|part| tree.take(part));
        let last = number(&mut tree, "3");
        let more: Vec<NodeId> = (0..300).map(|_| number(&mut tree, "4")).collect();
        let text = |id| tree.at(id).scalar_text();
        assert_eq!(
            [text(loose), text(long[0]), text(long[699])],
            [Some("0"), Some("11"), Some("11")]
        );
        assert_eq!(
            [text(short), text(last), text(more[299])],
            [Some("22"), Some("3"), Some("4")]
        );
        assert_eq!(tree.nodes().count(), 1 + 700 + 1 + 1 + 300);
        let mut ids: Vec<u32> = tree.nodes().map(|node| node.id().0).collect();
        ids.dedup();
        assert!(ids.is_sorted() && ids.len() == 1003);
    }

    #[test]
    fn nodes_of_a_part_make_an_equal_part() {
        let mut tree = Tree::default();
        let first = tree.set_aside(600).unwrap();
        let mut part = Tree::part(first, 0);
        let ids: Vec<NodeId> = (0..513).map(|_| number(&mut part, "1")).collect();
        let again = Tree::of_nodes(first, part.clone().into_nodes_of_part());
        assert_eq!(
            (again.len(), again.blocks.len()),
            (part.len(), part.blocks.len())
        );
        tree.take(again);
        assert_eq!(tree.at(ids[512]).scalar_text(), Some("1"));
        tree.node_mut(ids[0]).kind = Kind::Null;
        assert_eq!(part.at(ids[0]).scalar_text(), Some("1"));
    }

    #[test]
    fn ids_run_out_without_a_panic() {
        let mut tree = Tree::default();
        assert!(tree.set_aside(3_000_000_000).is_some());
        assert_eq!(tree.set_aside(3_000_000_000), None);
        assert!(tree.set_aside(1).is_some());
    }
}
