//! Schemas of two contracts in one graph, in which schemas with the same meaning have one number.

use bundle::digest::Digest;
use bundle::ir::{self, Value};
use rustc_hash::FxHashMap;
use serde_json::json;
use std::cell::RefCell;
use std::collections::VecDeque;

use super::equality;
use super::refine::{classes, sets_of};
use vocab::gateway::FINGERPRINT_DIGITS;

/// Maximum number of nodes that one JSON value shows. Larger values end in a digest.
const NODES_MAX: usize = 512;

/// Schemas of an old and a new contract in one graph.
pub struct Joint {
    nodes: Vec<Value>,
    /// Class of each node. Nodes with the same meaning have the same class.
    rank: Vec<u32>,
    /// Index of the first node of the new contract.
    start: u32,
    digests: RefCell<FxHashMap<u32, String>>,
}

impl Joint {
    /// Joins the schemas of two contracts.
    #[must_use]
    pub fn new(old: &ir::Contract, new: &ir::Contract) -> Self {
        let mut nodes = old.schemas.clone();
        let start = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
        let others = new.schemas.iter();
        nodes.extend(others.map(|node| node.with_nodes(&mut |edge| edge + start)));
        let rank = classes(&nodes.iter().collect::<Vec<_>>()).rank;
        Self {
            nodes,
            rank,
            start,
            digests: RefCell::default(),
        }
    }

    /// Converts a value of the new contract to the node numbers of this graph.
    #[must_use]
    pub fn of_new(&self, value: &Value) -> Value {
        value.with_nodes(&mut |edge| edge + self.start)
    }

    /// Converts the index of a node in this graph to the index in the schemas of its contract.
    #[must_use]
    pub fn own_number(&self, node: u32) -> u32 {
        node.checked_sub(self.start).unwrap_or(node)
    }

    /// Follows an edge: returns the value of the node to which the edge leads. For any other value,
    /// returns the value itself.
    #[must_use]
    pub fn at<'v>(&'v self, value: &'v Value) -> &'v Value {
        match value {
            Value::Node(node) => &self.nodes[*node as usize],
            value => value,
        }
    }

    /// The value of a node.
    #[must_use]
    pub fn node(&self, node: u32) -> &Value {
        &self.nodes[node as usize]
    }

    /// Nodes of both contracts.
    #[must_use]
    pub fn nodes(&self) -> &[Value] {
        &self.nodes
    }

    /// Number of the equivalence class of a node. Nodes with the same meaning have the same number.
    #[must_use]
    pub fn rank(&self, node: u32) -> u32 {
        self.rank[node as usize]
    }

    /// True if two values have the same meaning.
    #[must_use]
    pub fn same(&self, a: &Value, b: &Value) -> bool {
        equality::same(&self.rank, a, b)
    }

    /// Members of each list that are missing in the other list. A member that occurs several times
    /// must also occur as often in the other list.
    #[must_use]
    pub fn unmatched<'v>(
        &self,
        a: &'v [Value],
        b: &'v [Value],
    ) -> (Vec<&'v Value>, Vec<&'v Value>) {
        equality::unmatched(&self.rank, a, b)
    }

    /// Returns a value as JSON, with the schemas inside. A schema that contains itself, and each
    /// schema after the first 512, is written as `{"$recursive": DIGEST}`.
    #[must_use]
    pub fn json(&self, value: &Value) -> serde_json::Value {
        self.json_within(value, &mut Vec::new(), &mut 0)
    }

    fn json_within(
        &self,
        value: &Value,
        ancestors: &mut Vec<u32>,
        count: &mut usize,
    ) -> serde_json::Value {
        match value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Integer(value) => (*value).into(),
            Value::Decimal(text) => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => number.into(),
                Ok(_) | Err(_) => (**text).into(),
            },
            Value::Text(text) => (**text).into(),
            Value::List(items) | Value::Set(items) => items
                .iter()
                .map(|item| self.json_within(item, ancestors, count))
                .collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|(key, value)| (key.to_string(), self.json_within(value, ancestors, count)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            Value::Node(node) => {
                *count += 1;
                if ancestors.contains(node) || *count > NODES_MAX {
                    return json!({"$recursive": self.digest(*node)});
                }
                ancestors.push(*node);
                let value = self.json_within(&self.nodes[*node as usize], ancestors, count);
                ancestors.pop();
                value
            }
        }
    }

    /// Digest of the complete contract of an operation. `is_new` is true for an operation of the
    /// new contract.
    #[must_use]
    pub fn digest_of(&self, operation: &ir::ContractOperation, is_new: bool) -> String {
        let mut bytes = bundle::codec::encode(&ir::ContractOperation {
            key: String::new(),
            ..operation.clone()
        });
        let start = if is_new { self.start } else { 0 };
        operation.each_value(&mut |value| {
            value.each_node(&mut |node| bytes.extend(self.digest(node + start).bytes()));
        });
        bound(&bytes)
    }

    /// Digest of everything that is reachable from a node. Nodes with equal meaning have equal
    /// digests.
    #[must_use]
    pub fn digest(&self, node: u32) -> String {
        let rank = self.rank(node);
        if let Some(known) = self.digests.borrow().get(&rank) {
            return known.clone();
        }
        let mut number: FxHashMap<u32, u32> = FxHashMap::default();
        let mut waiting = VecDeque::from([node]);
        number.insert(rank, 0);
        let mut bytes = Vec::new();
        while let Some(node) = waiting.pop_front() {
            let value = self.node(node);
            let mut edges = Vec::new();
            value.each_node(&mut |edge| edges.push(edge));
            // Ranks are computed for both contracts together, so both versions order the members of
            // a set equally.
            for set in sets_of(value) {
                edges[set].sort_by_key(|edge| self.rank(*edge));
            }
            let mut edges = edges.into_iter();
            bytes.extend(bundle::codec::encode(&value.with_nodes(&mut |edge| {
                let edge = edges.next().unwrap_or(edge);
                let next = u32::try_from(number.len()).unwrap_or(u32::MAX);
                *number.entry(self.rank(edge)).or_insert_with(|| {
                    waiting.push_back(edge);
                    next
                })
            })));
        }
        let digest = bound(&bytes);
        self.digests.borrow_mut().insert(rank, digest.clone());
        digest
    }
}

/// Hexadecimal SHA-256 of these bytes, cut to the length of a fingerprint. A shorter digest would
/// not be safe, because an acknowledgement covers the content that the digest identifies.
fn bound(bytes: &[u8]) -> String {
    Digest::of(bytes).hex()[..FINGERPRINT_DIGITS].to_owned()
}

/// Digest of the complete contract of an API.
#[must_use]
pub fn digest_of_all(contract: &ir::Contract) -> String {
    bound(&bundle::codec::encode(contract))
}
