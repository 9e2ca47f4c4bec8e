//! Short descriptions of the differences between two contracts.

use std::cell::RefCell;
use std::collections::VecDeque;

use bundle::digest::Digest;
use bundle::ir::{self, Value};
use rustc_hash::{FxHashMap, FxHashSet};

use super::equality::{same, unmatched};
use super::refine::classes;
use vocab::gateway::FINGERPRINT_DIGITS;

/// Hexadecimal SHA-256 of these bytes, cut to the length of a fingerprint. A shorter digest would
/// not be safe, because an acknowledgement covers the content that the digest identifies.
fn bound(bytes: &[u8]) -> String {
    Digest::of(bytes).hex()[..FINGERPRINT_DIGITS].to_owned()
}

/// Maximum number of path segments in a text. A longer path is reduced to its last segments, so
/// that a difference in a shared schema has the same text for every operation.
const SEGMENTS_MAX: usize = 3;
/// Maximum number of characters shown for one value.
const SHOWN_MAX: usize = 80;
/// Maximum number of pairs of nodes that are compared for one part.
const PAIRS_MAX: usize = 200_000;

/// Schemas of the old and the new contract in one graph.
pub struct Graphs {
    nodes: Vec<Value>,
    rank: Vec<u32>,
    /// Index of the first node of the new contract.
    new: u32,
    known: RefCell<FxHashMap<(u32, u32), (String, String)>>,
    digests: RefCell<FxHashMap<u32, String>>,
}

/// Difference between two nodes, and the path that leads to the nodes.
struct Difference {
    path: String,
    old: Option<String>,
    new: Option<String>,
}

impl Graphs {
    /// Joins the schemas of two contracts into one graph.
    pub fn new(old: &ir::Contract, new: &ir::Contract) -> Self {
        let mut nodes = old.schemas.clone();
        let start = u32::try_from(nodes.len()).expect("nodes are numbered in 32 bits");
        let others = new.schemas.iter();
        nodes.extend(others.map(|node| node.with_nodes(&mut |edge| edge + start)));
        let rank = classes(&nodes.iter().collect::<Vec<_>>()).rank;
        Self {
            nodes,
            rank,
            new: start,
            known: RefCell::default(),
            digests: RefCell::default(),
        }
    }

    /// Describes the difference between two values. Both texts are `None` if the values have the
    /// same meaning. If only one value is present, its text is a short form of the value.
    pub fn texts(
        &self,
        old: Option<&Value>,
        new: Option<&Value>,
    ) -> (Option<String>, Option<String>) {
        let new = new.map(|new| new.with_nodes(&mut |edge| edge + self.new));
        match (old, new) {
            (Some(old), Some(new)) if same(&self.rank, old, &new) => (None, None),
            (Some(old), Some(new)) => {
                let (old, new) = self.differences(old, &new);
                (Some(old), Some(new))
            }
            (old, new) => (
                old.map(|value| self.short(value)),
                new.as_ref().map(|value| self.short(value)),
            ),
        }
    }

    /// Describes the difference between two values: one text for the old value, one for the new
    /// value.
    fn differences(&self, old: &Value, new: &Value) -> (String, String) {
        let roots = match (sole_node(old), sole_node(new)) {
            (Some(old), Some(new)) => Some((self.rank[old as usize], self.rank[new as usize])),
            _ => None,
        };
        if let Some(known) = roots.and_then(|roots| self.known.borrow().get(&roots).cloned()) {
            return known;
        }
        let mut walk = Walk {
            graphs: self,
            found: Vec::new(),
            seen: FxHashSet::default(),
            waiting: VecDeque::new(),
        };
        walk.values(old, new, &[]);
        while let Some((old, new, path)) = walk.waiting.pop_front() {
            walk.values(&self.nodes[old as usize], &self.nodes[new as usize], &path);
            if walk.seen.len() > PAIRS_MAX {
                break;
            }
        }
        let texts = self.describe_first(&walk, old, new);
        if let Some(roots) = roots {
            self.known.borrow_mut().insert(roots, texts.clone());
        }
        texts
    }

    /// Describes the first difference, by one text for the old value and one for the new value. If
    /// there are several differences, each text also contains the number of the others and a digest
    /// of all. An acknowledgement therefore covers exactly these differences.
    fn describe_first(&self, walk: &Walk<'_>, old: &Value, new: &Value) -> (String, String) {
        let whole = walk.seen.len() <= PAIRS_MAX;
        let mut found: Vec<&Difference> = walk.found.iter().collect();
        let Some(first) = found.first().copied().filter(|_| whole) else {
            return (self.short(old), self.short(new));
        };
        found.sort_by(|a, b| (&a.path, &a.old, &a.new).cmp(&(&b.path, &b.old, &b.new)));
        found.dedup_by(|a, b| (&a.path, &a.old, &a.new) == (&b.path, &b.old, &b.new));
        let digest = |side: fn(&Difference) -> &Option<String>| {
            let lines = found
                .iter()
                .map(|one| format!("{}\n{:?}\n", one.path, side(one)));
            bound(lines.collect::<String>().as_bytes())
        };
        let text = |one: &Option<String>, digest: String| {
            let text = match one {
                Some(text) if first.path.is_empty() => text.clone(),
                Some(text) => format!("{}: {text}", first.path),
                None => format!("no {}", first.path),
            };
            match found.len() - 1 {
                0 => text,
                more => format!("{text} and {more} more ({digest})"),
            }
        };
        (
            text(&first.old, digest(|one| &one.old)),
            text(&first.new, digest(|one| &one.new)),
        )
    }

    /// Renders a value as a short text. Truncates a longer text and adds a digest.
    fn short(&self, value: &Value) -> String {
        let text = self.spelt(value, 2);
        let mut open = false;
        value.each_node(&mut |node| {
            self.nodes[node as usize].each_node(&mut |_| open = true);
        });
        if text.chars().count() <= SHOWN_MAX && !open {
            return text;
        }
        let mut bytes = bundle::codec::encode(&value.with_nodes(&mut |_| 0));
        value.each_node(&mut |node| bytes.extend(self.digest(node).bytes()));
        let start: String = text.chars().take(SHOWN_MAX).collect();
        let dots = if start.len() < text.len() { "…" } else { "" };
        format!("{start}{dots} ({})", bound(&bytes))
    }

    /// Renders a value as JSON, in which at most `depth` levels of nested nodes are expanded.
    fn spelt(&self, value: &Value, depth: usize) -> String {
        let all = |items: &[Value]| {
            let items = items.iter().take(SHOWN_MAX);
            let items: Vec<String> = items.map(|item| self.spelt(item, depth)).collect();
            items.join(", ")
        };
        match value {
            Value::Node(node) if depth > 0 => self.spelt(&self.nodes[*node as usize], depth - 1),
            Value::List(items) | Value::Set(items) => format!("[{}]", all(items)),
            Value::Map(entries) => {
                let entries = entries.iter().take(SHOWN_MAX);
                let entries: Vec<String> = entries
                    .map(|(key, value)| format!("{key}: {}", self.spelt(value, depth)))
                    .collect();
                format!("{{{}}}", entries.join(", "))
            }
            Value::Null
            | Value::Bool(_)
            | Value::Integer(_)
            | Value::Decimal(_)
            | Value::Text(_)
            | Value::Node(_) => value.to_string(),
        }
    }

    /// Digest of everything that is reachable from a node. Nodes with the same meaning have the
    /// same digest.
    fn digest(&self, node: u32) -> String {
        let rank = self.rank[node as usize];
        if let Some(known) = self.digests.borrow().get(&rank) {
            return known.clone();
        }
        let mut number: FxHashMap<u32, u32> = FxHashMap::default();
        let mut waiting = VecDeque::from([node]);
        number.insert(rank, 0);
        let mut bytes = Vec::new();
        while let Some(node) = waiting.pop_front() {
            let value = &self.nodes[node as usize];
            let mut edges = Vec::new();
            value.each_node(&mut |edge| edges.push(edge));
            // Ranks are computed for both contracts together, so both versions order the members of
            // a set equally.
            for set in super::refine::sets_of(value) {
                edges[set].sort_by_key(|edge| self.rank[*edge as usize]);
            }
            let mut edges = edges.into_iter();
            bytes.extend(bundle::codec::encode(&value.with_nodes(&mut |edge| {
                let edge = edges.next().unwrap_or(edge);
                let next = u32::try_from(number.len()).unwrap_or(u32::MAX);
                *number.entry(self.rank[edge as usize]).or_insert_with(|| {
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

/// Breadth-first walk over pairs of nodes, which visits each pair once. If the walk finds no
/// difference, both versions are equivalent.
struct Walk<'g> {
    graphs: &'g Graphs,
    found: Vec<Difference>,
    seen: FxHashSet<(u32, u32)>,
    waiting: VecDeque<(u32, u32, Vec<String>)>,
}

impl Walk<'_> {
    fn values(&mut self, old: &Value, new: &Value, path: &[String]) {
        if same(&self.graphs.rank, old, new) {
            return;
        }
        match (old, new) {
            (Value::Node(old), Value::Node(new)) => {
                let rank = |node: &u32| self.graphs.rank[*node as usize];
                if self.seen.insert((rank(old), rank(new))) {
                    self.waiting.push_back((*old, *new, path.to_vec()));
                }
            }
            (Value::Map(old), Value::Map(new)) => {
                let keys = old.iter().chain(new).map(|(key, _)| key);
                let keys: std::collections::BTreeSet<&str> = keys.map(|key| &**key).collect();
                let of = |entries: &[(Box<str>, Value)], key: &str| {
                    let at = entries.binary_search_by(|(name, _)| (**name).cmp(key));
                    at.ok().map(|at| entries[at].1.clone())
                };
                for key in keys {
                    let path = deeper(path, key);
                    match (of(old, key), of(new, key)) {
                        (Some(old), Some(new)) => self.values(&old, &new, &path),
                        (old, new) => self.push(&path, old.as_ref(), new.as_ref()),
                    }
                }
            }
            (Value::List(old), Value::List(new)) => {
                for at in 0..old.len().max(new.len()) {
                    let path = deeper(path, &at.to_string());
                    match (old.get(at), new.get(at)) {
                        (Some(old), Some(new)) => self.values(old, new, &path),
                        (old, new) => self.push(&path, old, new),
                    }
                }
            }
            (Value::Set(old), Value::Set(new)) => {
                let (old, new) = unmatched(&self.graphs.rank, old, new);
                let nodes = |all: &[&Value]| all.iter().all(|one| matches!(one, Value::Node(_)));
                if old.len() == new.len() && nodes(&old) && nodes(&new) {
                    for (old, new) in old.into_iter().zip(new) {
                        self.values(old, new, path);
                    }
                } else {
                    let set = |all: Vec<&Value>| {
                        Some(Value::Set(all.into_iter().cloned().collect()))
                            .filter(|set| !set.items().is_empty())
                    };
                    self.push(path, set(old).as_ref(), set(new).as_ref());
                }
            }
            (old, new) => self.push(path, Some(old), Some(new)),
        }
    }

    fn push(&mut self, path: &[String], old: Option<&Value>, new: Option<&Value>) {
        let say = |value: Option<&Value>| value.map(|value| self.graphs.short(value));
        let start = path.len().saturating_sub(SEGMENTS_MAX);
        let dots = if start > 0 { "…/" } else { "" };
        let difference = Difference {
            path: format!("{dots}{}", path[start..].join("/")),
            old: say(old),
            new: say(new),
        };
        self.found.push(difference);
    }
}

fn deeper(path: &[String], key: &str) -> Vec<String> {
    // Extend the path by the keyword that leads to the node.
    let mut path = path.to_vec();
    path.push(key.to_owned());
    path
}

/// Node that a value consists of, if the value is `{schema: NODE}`.
fn sole_node(value: &Value) -> Option<u32> {
    match value.entries() {
        [(key, Value::Node(node))] if &**key == "schema" => Some(*node),
        _ => None,
    }
}
