//! Equivalence classes of graph nodes: the coarsest partition that is stable under the edges. The
//! order of the classes depends only on meaning.
//!
//! Nodes are first sorted by shape, which is their content without edges. Each round then splits
//! blocks of nodes by the blocks to which the edges of the nodes lead. The rank of a block is the
//! number of nodes before it, so splitting a block does not change the ranks of other blocks. Only
//! blocks with an edge to a node whose rank changed are examined again (as in Larsson and
//! Sadakane's suffix sorting, but on graphs). The first round that separates two nodes decides
//! their order. The order of two nodes depends only on the nodes that they reach in that number of
//! steps. Other nodes and repetitions in the source have no effect.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::ops::Range;

use bundle::ir::Value;
use rustc_hash::FxHashMap;

/// Maximum number of edge visits for one graph. Real graphs need a few dozen visits per edge. Only
/// hostile documents reach the limit; all nodes then count as different.
const LOOKS_MAX: usize = 400_000_000;

/// Result of [`classes`].
pub(crate) struct Classes {
    /// Rank of each node. Equivalent nodes have the same rank.
    pub rank: Vec<u32>,
}

/// Computes the equivalence classes of nodes. The order of edges in a [`Value::Set`] is ignored.
pub(crate) fn classes(nodes: &[&Value]) -> Classes {
    let count = u32::try_from(nodes.len()).expect("nodes are numbered in 32 bits");
    let edges = Edges::of(nodes);
    let mut run = Run::begin(nodes, &edges);
    let mut dirty: Vec<u32> = run.blocks_of(0..count).collect();
    let mut looks = 0;
    while !dirty.is_empty() {
        let mut changed = Vec::new();
        for start in dirty {
            run.split(start, &mut changed, &mut looks);
        }
        if looks > LOOKS_MAX {
            for (at, node) in run.order.iter().enumerate() {
                run.rank[*node as usize] = u32::try_from(at).unwrap_or(u32::MAX);
            }
            break;
        }
        for (node, rank) in &changed {
            run.rank[*node as usize] = *rank;
        }
        let parents = changed.iter().flat_map(|(node, _)| edges.parents(*node));
        let mut next: Vec<u32> = parents
            .map(|parent| run.rank[*parent as usize])
            .filter(|start| run.len[*start as usize] > 1)
            .collect();
        next.sort_unstable();
        next.dedup();
        dirty = next;
    }
    Classes { rank: run.rank }
}

/// Ranges of edges that belong to sets. Edges within such a range have no order.
pub(crate) fn sets_of(value: &Value) -> Vec<Range<usize>> {
    fn walk(value: &Value, at: &mut usize, sets: &mut Vec<Range<usize>>) {
        match value {
            Value::Node(_) => *at += 1,
            Value::List(items) => items.iter().for_each(|item| walk(item, at, sets)),
            Value::Set(items) => {
                let start = *at;
                items.iter().for_each(|item| walk(item, at, sets));
                if *at - start > 1 {
                    sets.push(start..*at);
                }
            }
            Value::Map(entries) => entries.iter().for_each(|(_, value)| walk(value, at, sets)),
            Value::Null
            | Value::Bool(_)
            | Value::Integer(_)
            | Value::Decimal(_)
            | Value::Text(_) => {}
        }
    }
    let mut sets = Vec::new();
    walk(value, &mut 0, &mut sets);
    sets
}

/// Edges of all nodes in both directions, each direction in one vector.
struct Edges {
    to: Vec<u32>,
    to_start: Vec<usize>,
    from: Vec<u32>,
    from_start: Vec<usize>,
}

impl Edges {
    fn of(nodes: &[&Value]) -> Self {
        let mut to = Vec::new();
        let mut to_start = vec![0];
        for node in nodes {
            node.each_node(&mut |edge| to.push(edge));
            to_start.push(to.len());
        }
        let mut from_start = vec![0; nodes.len() + 1];
        for edge in &to {
            from_start[*edge as usize + 1] += 1;
        }
        for node in 0..nodes.len() {
            from_start[node + 1] += from_start[node];
        }
        let mut next = from_start.clone();
        let mut from = vec![0; to.len()];
        for (node, edges) in to_start.windows(2).enumerate() {
            for edge in &to[edges[0]..edges[1]] {
                let place = &mut next[*edge as usize];
                from[*place] = u32::try_from(node).unwrap_or(u32::MAX);
                *place += 1;
            }
        }
        Self {
            to,
            to_start,
            from,
            from_start,
        }
    }

    fn targets(&self, node: u32) -> &[u32] {
        &self.to[self.to_start[node as usize]..self.to_start[node as usize + 1]]
    }

    fn parents(&self, node: u32) -> &[u32] {
        &self.from[self.from_start[node as usize]..self.from_start[node as usize + 1]]
    }
}

/// State of the refinement.
struct Run<'e> {
    edges: &'e Edges,
    /// All nodes, grouped by block.
    order: Vec<u32>,
    /// Start of the block of each node in `order`.
    rank: Vec<u32>,
    /// Number of members of each block, by the index at which the block starts.
    len: Vec<u32>,
    /// Index in `sets` of the shape (content without edges) of each node.
    shape: Vec<u32>,
    /// Ranges of edges that belong to sets, by shape.
    sets: Vec<Vec<Range<usize>>>,
    /// Blocks to which the edges of the members of the current block lead.
    signatures: Vec<u32>,
}

impl<'e> Run<'e> {
    fn begin(nodes: &[&Value], edges: &'e Edges) -> Self {
        let mut known: FxHashMap<Shape<'_>, u32> = FxHashMap::default();
        let mut shapes: Vec<Shape<'_>> = Vec::new();
        let shape: Vec<u32> = nodes
            .iter()
            .map(|node| {
                let next = u32::try_from(shapes.len()).unwrap_or(u32::MAX);
                let index = *known.entry(Shape(node)).or_insert(next);
                if index == next {
                    shapes.push(Shape(node));
                }
                index
            })
            .collect();
        let mut sorted: Vec<usize> = (0..shapes.len()).collect();
        sorted.sort_unstable_by(|a, b| shapes[*a].cmp(&shapes[*b]));
        let mut sizes = vec![0_u32; shapes.len()];
        shape.iter().for_each(|shape| sizes[*shape as usize] += 1);
        let mut len = vec![0; nodes.len()];
        let mut starts = vec![0_u32; shapes.len()];
        let mut at = 0;
        for index in sorted {
            starts[index] = at;
            len[at as usize] = sizes[index];
            at += sizes[index];
        }
        let rank: Vec<u32> = shape.iter().map(|shape| starts[*shape as usize]).collect();
        let mut next = starts;
        let mut order = vec![0; nodes.len()];
        for (node, shape) in shape.iter().enumerate() {
            let place = &mut next[*shape as usize];
            order[*place as usize] = u32::try_from(node).unwrap_or(u32::MAX);
            *place += 1;
        }
        Self {
            edges,
            order,
            rank,
            len,
            shape,
            sets: shapes.iter().map(|shape| sets_of(shape.0)).collect(),
            signatures: Vec::new(),
        }
    }

    /// Blocks with more than one member in a range of `order`.
    fn blocks_of(&self, part: Range<u32>) -> impl Iterator<Item = u32> {
        part.filter(|start| self.len[*start as usize] > 1)
    }

    /// Splits the block that starts at `start` by the targets of its members' edges. Adds each node
    /// with a new rank to `changed`, and the number of edges read to `looks`. The ranks take effect
    /// at the end of the round.
    fn split(&mut self, start: u32, changed: &mut Vec<(u32, u32)>, looks: &mut usize) {
        let members = start as usize..(start + self.len[start as usize]) as usize;
        let first = self.order[members.start];
        let width = self.edges.targets(first).len();
        *looks += width * members.len();
        if width == 0 {
            return;
        }
        self.signatures.clear();
        for member in &self.order[members.clone()] {
            let at = self.signatures.len();
            let targets = self.edges.targets(*member).iter();
            let ranks = targets.map(|target| self.rank[*target as usize]);
            self.signatures.extend(ranks);
            for set in &self.sets[self.shape[*member as usize] as usize] {
                self.signatures[at + set.start..at + set.end].sort_unstable();
            }
        }
        let signature = |index: usize| &self.signatures[index * width..(index + 1) * width];
        if (1..members.len()).all(|index| signature(index) == signature(0)) {
            return;
        }
        let mut sorted: Vec<usize> = (0..members.len()).collect();
        sorted.sort_by(|a, b| signature(*a).cmp(signature(*b)));
        let mut block = start;
        let mut ranks = Vec::with_capacity(sorted.len());
        for (at, index) in sorted.iter().enumerate() {
            if at > 0 && signature(sorted[at - 1]) != signature(*index) {
                block = start + u32::try_from(at).unwrap_or(u32::MAX);
            }
            ranks.push(block);
        }
        let nodes: Vec<u32> = sorted
            .iter()
            .map(|index| self.order[members.start + index])
            .collect();
        self.len[members.clone()].fill(0);
        for (at, (node, rank)) in nodes.iter().zip(&ranks).enumerate() {
            self.order[members.start + at] = *node;
            self.len[*rank as usize] += 1;
            if *rank != start {
                changed.push((*node, *rank));
            }
        }
    }
}

/// Wrapper that compares a value without its edges.
#[derive(Clone, Copy)]
struct Shape<'v>(&'v Value);

impl PartialEq for Shape<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Shape<'_> {}

impl PartialOrd for Shape<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Shape<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.0, other.0)
    }
}

fn compare(a: &Value, b: &Value) -> Ordering {
    let items = |a: &[Value], b: &[Value]| {
        let each = a.iter().zip(b).map(|(a, b)| compare(a, b));
        let first = each.into_iter().find(|order| order.is_ne());
        first.unwrap_or_else(|| a.len().cmp(&b.len()))
    };
    match (a, b) {
        (Value::Node(_), Value::Node(_)) => Ordering::Equal,
        (Value::List(a), Value::List(b)) | (Value::Set(a), Value::Set(b)) => items(a, b),
        (Value::Map(a), Value::Map(b)) => {
            let each = a
                .iter()
                .zip(b)
                .map(|(a, b)| a.0.cmp(&b.0).then_with(|| compare(&a.1, &b.1)));
            let first = each.into_iter().find(|order| order.is_ne());
            first.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        // Values of the same kind compare by value; values of different kinds compare by kind.
        _ => a.cmp(b),
    }
}

impl Hash for Shape<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        fn walk<H: Hasher>(value: &Value, state: &mut H) {
            std::mem::discriminant(value).hash(state);
            match value {
                Value::Node(_) => {}
                Value::List(items) | Value::Set(items) => {
                    items.len().hash(state);
                    items.iter().for_each(|item| walk(item, state));
                }
                Value::Map(entries) => {
                    entries.len().hash(state);
                    for (key, value) in entries {
                        key.hash(state);
                        walk(value, state);
                    }
                }
                Value::Null => {}
                Value::Bool(value) => value.hash(state),
                Value::Integer(value) => value.hash(state),
                Value::Decimal(text) | Value::Text(text) => text.hash(state),
            }
        }
        walk(self.0, state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(title: &str, edges: Value) -> Value {
        Value::Map(vec![
            ("is".into(), Value::Text(title.into())),
            ("to".into(), edges),
        ])
    }

    fn ranks(nodes: &[Value]) -> Vec<u32> {
        classes(&nodes.iter().collect::<Vec<_>>()).rank
    }

    #[test]
    fn cycles_of_equal_nodes_have_equal_ranks() {
        let to = |next| Value::List(vec![Value::Node(next)]);
        let nodes = [
            node("a", to(0)),
            node("a", to(2)),
            node("a", to(1)),
            node("b", to(0)),
            node("b", to(1)),
            node("b", to(3)),
        ];
        let ranks = ranks(&nodes);
        assert!(ranks[0] == ranks[1] && ranks[1] == ranks[2]);
        assert!(ranks[3] == ranks[4] && ranks[3] != ranks[5]);
    }

    #[test]
    fn chains_that_differ_at_the_end_have_other_ranks() {
        // Two chains of a hundred nodes that differ only at the end.
        let mut nodes = Vec::new();
        for chain in 0..2_u32 {
            for at in 0..100_u32 {
                let to = if at == 99 {
                    200 + chain
                } else {
                    chain * 100 + at + 1
                };
                nodes.push(node("n", Value::List(vec![Value::Node(to)])));
            }
        }
        nodes.push(node("x", Value::List(vec![Value::Node(200)])));
        nodes.push(node("y", Value::List(vec![Value::Node(201)])));
        let ranks = ranks(&nodes);
        for at in 0..100 {
            assert!(ranks[at] < ranks[100 + at], "x is before y");
        }
    }

    #[test]
    fn set_order_is_ignored_and_list_order_compared() {
        let pair = |a, b| vec![Value::Node(a), Value::Node(b)];
        let nodes = [
            Value::Bool(true),
            Value::Bool(false),
            node("s", Value::Set(pair(0, 1))),
            node("s", Value::Set(pair(1, 0))),
            node("l", Value::List(pair(0, 1))),
            node("l", Value::List(pair(1, 0))),
            node("s", Value::Set(pair(0, 0))),
        ];
        let ranks = ranks(&nodes);
        assert_eq!(ranks[2], ranks[3]);
        assert_ne!(ranks[4], ranks[5]);
        assert_ne!(ranks[2], ranks[6]);
    }

    #[test]
    fn class_order_is_independent_of_place_and_count() {
        let to = |next| Value::List(vec![Value::Node(next)]);
        // The same graph twice (a → b → c, d → d): first as it is, then with duplicate nodes in
        // another order.
        let once = [
            node("n", to(1)),
            node("n", to(2)),
            node("m", to(2)),
            node("n", to(3)),
        ];
        let twice = [
            node("n", to(4)),
            node("m", to(1)),
            node("n", to(1)),
            node("n", to(2)),
            node("n", to(5)),
            node("n", to(0)),
            node("n", to(1)),
        ];
        let (once, twice) = (ranks(&once), ranks(&twice));
        let order = |ranks: &[u32], picked: [usize; 4]| {
            let mut sorted = picked.map(|node| ranks[node]);
            sorted.sort_unstable();
            picked.map(|node| sorted.iter().position(|rank| *rank == ranks[node]))
        };
        assert_eq!(order(&once, [0, 1, 2, 3]), order(&twice, [3, 2, 1, 0]));
        assert!(twice[0] == twice[4] && twice[2] == twice[6]);
    }
}
