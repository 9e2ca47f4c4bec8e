//! Schemas of two contracts in one graph, in which schemas with the same meaning have one number.

use bundle::digest::Digest;
use bundle::ir::{self, Value};
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use super::equality;
use super::refine::{classes, sets_of};
use vocab::gateway::FINGERPRINT_DIGITS;

/// Maximum number of nodes that one JSON value shows. Larger values end in a digest.
const NODES_MAX: usize = 64;

/// Key of a digest that stands for a schema in a JSON value.
const SHORTENED: &str = "$recursive";

/// Schemas of an old and a new contract in one graph.
pub struct Joint {
    nodes: Vec<Value>,
    /// Class of each node. Nodes with the same meaning have the same class.
    rank: Vec<u32>,
    /// Index of the first node of the new contract.
    start: u32,
    digests: RefCell<FxHashMap<u32, String>>,
    /// Nodes that JSON values contain only as a digest, by digest.
    shortened: RefCell<BTreeMap<String, u32>>,
}

/// Progress of writing one JSON value.
struct Written {
    /// Nodes that contain the current one.
    ancestors: Vec<u32>,
    /// Number of nodes so far, and the maximum.
    count: usize,
    count_max: usize,
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
            shortened: RefCell::default(),
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

    /// Number of the first node of the new contract.
    #[must_use]
    pub fn start(&self) -> u32 {
        self.start
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
    /// schema after the first 64, is written as `{"$recursive": DIGEST}`. [`Self::shortened`]
    /// returns these schemas.
    #[must_use]
    pub fn json(&self, value: &Value) -> serde_json::Value {
        let mut written = Written {
            ancestors: Vec::new(),
            count: 0,
            count_max: NODES_MAX,
        };
        self.json_within(value, &mut written)
    }

    /// Schemas that values of [`Self::json`] contain only as a digest, by digest, with those inside
    /// them. Each schema has its own keywords, and digests in place of the schemas inside.
    #[must_use]
    pub fn shortened<'v>(
        &self,
        values: impl IntoIterator<Item = &'v serde_json::Value>,
    ) -> BTreeMap<String, serde_json::Value> {
        let mut waiting = Vec::new();
        for value in values {
            digests_in(value, &mut waiting);
        }
        let mut found = BTreeMap::new();
        while let Some(digest) = waiting.pop() {
            let node = self.shortened.borrow().get(&digest).copied();
            let Some(node) = node.filter(|_| !found.contains_key(&digest)) else {
                continue;
            };
            let mut written = Written {
                ancestors: Vec::new(),
                count: 0,
                count_max: 0,
            };
            let schema = self.json_within(&self.nodes[node as usize], &mut written);
            digests_in(&schema, &mut waiting);
            found.insert(digest, schema);
        }
        found
    }

    fn json_within(&self, value: &Value, written: &mut Written) -> serde_json::Value {
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
                .map(|item| self.json_within(item, written))
                .collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|(key, value)| (key.to_string(), self.json_within(value, written)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            Value::Node(node) => {
                written.count += 1;
                if written.ancestors.contains(node) || written.count > written.count_max {
                    let digest = self.digest(*node);
                    let mut shortened = self.shortened.borrow_mut();
                    shortened.entry(digest.clone()).or_insert(*node);
                    return [(SHORTENED.to_owned(), serde_json::Value::from(digest))]
                        .into_iter()
                        .collect::<serde_json::Map<_, _>>()
                        .into();
                }
                written.ancestors.push(*node);
                let value = self.json_within(&self.nodes[*node as usize], written);
                written.ancestors.pop();
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

/// Adds the digests of shortened schemas in a value of [`Joint::json`] to a list.
fn digests_in(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(entries) => {
            if let (Some(digest), 1) = (entries.get(SHORTENED), entries.len()) {
                found.extend(digest.as_str().map(str::to_owned));
            }
            entries.values().for_each(|value| digests_in(value, found));
        }
        serde_json::Value::Array(items) => {
            items.iter().for_each(|item| digests_in(item, found));
        }
        _ => {}
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
