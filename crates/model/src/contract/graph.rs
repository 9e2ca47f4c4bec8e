//! Table of nodes during construction, and its canonical form. In the canonical form, nodes with
//! equal meaning are one node, and nodes are numbered by first visit.

use std::collections::VecDeque;

use bundle::ir::Value;
use rustc_hash::FxHashMap;

use super::normal::{Rewritten, Surroundings, rewritten};
use super::refine::{classes, sets_of};

/// Maximum number of rounds of [`Graph::simplify`]. Each round removes one more level of schemas
/// that only wrap another schema, such as `allOf` with one member.
const ROUNDS_MAX: usize = 16;

/// Nodes under construction, indexed by the ids that [`Graph::reserve`] returns.
#[derive(Default)]
pub(super) struct Graph {
    drafts: Vec<Draft>,
    /// First node of each literal. Later nodes with an equal value refer to it.
    known: FxHashMap<Value, u32>,
    /// First node of each schema, by value. A schema never shares its node with a literal, because
    /// [`Self::simplify`] rewrites schemas.
    known_schemas: FxHashMap<Value, u32>,
    /// Nodes that are schemas.
    schemas: Vec<u32>,
}

enum Draft {
    /// Reserved node whose value is not set yet.
    Open,
    /// The node has the same meaning as another node and refers to it.
    Same(u32),
    /// The node has a value.
    Node(Value),
}

/// Canonical form of a [`Graph`].
pub(super) struct Canonical {
    /// Nodes of the graph. An edge is an index into this list.
    pub nodes: Vec<Value>,
    /// Index in `nodes` for each reserved node. `None` if the node is not reachable.
    pub number: Vec<Option<u32>>,
}

impl Graph {
    /// Reserves a node.
    pub(super) fn reserve(&mut self) -> u32 {
        let id = u32::try_from(self.drafts.len()).expect("fewer nodes than the tree has");
        self.drafts.push(Draft::Open);
        id
    }

    /// Sets the value of a node that is a schema.
    pub(super) fn fill_schema(&mut self, id: u32, value: Value) {
        let first = *self.known_schemas.entry(value.clone()).or_insert(id);
        self.drafts[id as usize] = match first == id {
            true => Draft::Node(value),
            false => Draft::Same(first),
        };
        self.schemas.push(id);
    }

    /// Sets the value of a node that is a literal.
    pub(super) fn fill(&mut self, id: u32, value: Value) {
        let first = *self.known.entry(value.clone()).or_insert(id);
        self.drafts[id as usize] = if first == id {
            Draft::Node(value)
        } else {
            Draft::Same(first)
        };
    }

    /// Makes a node refer to another node.
    pub(super) fn same(&mut self, id: u32, other: u32) {
        self.drafts[id as usize] = Draft::Same(other);
    }

    /// Follows `Draft::Same` references from a node to the node that contains the value.
    pub(super) fn find(&self, mut id: u32) -> u32 {
        // A chain longer than the number of drafts is circular.
        for _ in 0..self.drafts.len() {
            match &self.drafts[id as usize] {
                Draft::Same(other) => id = *other,
                Draft::Open | Draft::Node(_) => break,
            }
        }
        id
    }

    /// Rewrites all schemas to their normal form. Must be called when all nodes have values.
    pub(super) fn simplify(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let values = self.schemas.iter().filter_map(|id| self.value(*id));
            let has = |key: &str| values.clone().any(|value| value.get(key).is_some());
            let around = Surroundings {
                at: &|node| self.value(self.find(node)),
                counts_properties: has("unevaluatedProperties"),
                counts_items: has("unevaluatedItems"),
            };
            let rewrites = self.schemas.iter().filter_map(|id| {
                let draft = match rewritten(self.value(*id)?, &around) {
                    Rewritten::No => return None,
                    Rewritten::To(value) => Draft::Node(value),
                    Rewritten::Same(other) => Draft::Same(other),
                };
                Some((*id, draft))
            });
            let rewrites: Vec<(u32, Draft)> = rewrites.collect();
            if rewrites.is_empty() {
                break;
            }
            for (id, draft) in rewrites {
                self.drafts[id as usize] = draft;
            }
        }
    }

    fn value(&self, id: u32) -> Option<&Value> {
        match &self.drafts[id as usize] {
            Draft::Node(value) => Some(value),
            Draft::Open | Draft::Same(_) => None,
        }
    }

    /// Returns the canonical form of everything reachable from `roots`.
    pub(super) fn canonical(self, roots: &[u32]) -> Canonical {
        let ends = self.ends();
        let mut nodes: Vec<Value> = Vec::new();
        let mut place: Vec<u32> = vec![u32::MAX; self.drafts.len()];
        let any = || Value::Bool(true);
        for (id, draft) in self.drafts.into_iter().enumerate() {
            let value = match draft {
                Draft::Node(value) => value,
                // Only circular references remain without a value; they are reported as errors.
                Draft::Open => any(),
                Draft::Same(_) if ends[id] as usize == id => any(),
                Draft::Same(_) => continue,
            };
            place[id] = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
            nodes.push(value);
        }
        for (id, end) in ends.iter().enumerate() {
            place[id] = place[*end as usize];
        }
        let nodes: Vec<Value> = nodes
            .into_iter()
            .map(|node| node.with_nodes(&mut |edge| place[edge as usize]))
            .collect();
        let starts = roots.iter().map(|root| place[*root as usize]);
        let (table, number) = numbered(&nodes, starts);
        Canonical {
            nodes: table,
            number: place.iter().map(|node| number[*node as usize]).collect(),
        }
    }

    /// End of the chain of references of each node. For a circular chain, the smallest node of the
    /// cycle.
    fn ends(&self) -> Vec<u32> {
        let mut ends: Vec<u32> = vec![u32::MAX; self.drafts.len()];
        for start in 0..self.drafts.len() {
            let mut path = Vec::new();
            let mut at = start;
            let end = loop {
                if ends[at] != u32::MAX {
                    break ends[at];
                }
                if let Some(first) = path.iter().position(|node| *node == at) {
                    let least = path[first..].iter().min().copied().unwrap_or(at);
                    break u32::try_from(least).unwrap_or(u32::MAX);
                }
                let Draft::Same(other) = &self.drafts[at] else {
                    break u32::try_from(at).unwrap_or(u32::MAX);
                };
                path.push(at);
                at = *other as usize;
            };
            path.into_iter().for_each(|node| ends[node] = end);
            if ends[at] == u32::MAX {
                ends[at] = end;
            }
        }
        ends
    }
}

/// Numbers one node of each equivalence class by first visit, breadth first. Returns these nodes by
/// number, and for each node the number of its class. `None` if no node of the class was visited.
fn numbered(nodes: &[Value], starts: impl Iterator<Item = u32>) -> (Vec<Value>, Vec<Option<u32>>) {
    let rank = classes(&nodes.iter().collect::<Vec<_>>()).rank;
    // Number of each equivalence class, indexed by the rank of the class.
    let mut numbers: Vec<Option<u32>> = vec![None; nodes.len()];
    let mut table: Vec<Value> = Vec::new();
    let mut waiting: VecDeque<u32> = VecDeque::new();
    let mut count = 0;
    let mut visit = |node: u32, waiting: &mut VecDeque<u32>| {
        *numbers[rank[node as usize] as usize].get_or_insert_with(|| {
            waiting.push_back(node);
            count += 1;
            count - 1
        })
    };
    for start in starts {
        visit(start, &mut waiting);
        while let Some(node) = waiting.pop_front() {
            let value = &nodes[node as usize];
            let mut edges = Vec::new();
            value.each_node(&mut |edge| edges.push(edge));
            for set in sets_of(value) {
                edges[set].sort_by_key(|edge| rank[*edge as usize]);
            }
            let mut edges = edges.into_iter();
            table.push(
                value.with_nodes(&mut |edge| visit(edges.next().unwrap_or(edge), &mut waiting)),
            );
        }
    }
    let number = rank.iter().map(|rank| numbers[*rank as usize]).collect();
    (table, number)
}
