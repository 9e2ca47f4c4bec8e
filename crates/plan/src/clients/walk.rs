//! Walk over the pairs of schemas of all operations. A pair of schemas is compared once, even if
//! many operations reach it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bundle::ir;
use model::contract::joint::Joint;
use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::Value as Json;

use super::enclosing::{self, Outer};
use super::meaning::{self, Judge};
use super::messages::{self, Parts, Root};
use super::operations::OperationPair;
use super::schema::{self, Finding, Local, Role};
use vocab::checks;

/// Difference between two contracts, with the operations that it concerns.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) finding: Finding,
    /// Path of the schema in the message.
    pub(super) path: String,
    /// Keys of the operations, sorted.
    pub(super) operations: Vec<String>,
    /// Number of messages that contain the value.
    pub(super) messages: usize,
    /// Path to the schema of the value, from a part of a message.
    pub(super) schema_path: SchemaPath,
    /// Parts of messages that contain the value, with the keys of their operations.
    pub(super) parts: BTreeSet<(String, String)>,
    /// Body with the value that shows the break. `None`: no such body is known.
    pub(super) body: Option<Json>,
    /// True if the path leads into a parameter or header as in [`Root::is_plain`].
    pub(super) is_plain: bool,
}

/// Path from a part of an operation's message (such as its body) to a schema.
#[derive(Clone, Debug, Default)]
pub(super) struct SchemaPath {
    /// Keys of the operation in the old and the new contract.
    pub(super) keys: [String; 2],
    /// Name of the message's part, as in the source locations.
    pub(super) part: String,
    /// Steps, with the numbers of the schemas in the old and the new contract.
    pub(super) steps: Vec<(String, u32, u32)>,
}

/// Numbers of an old and a new schema that are compared, and their role in the message.
type Node = (u32, u32, Role);

/// Messages that contain a pair of schemas.
#[derive(Default)]
struct ContainingMessages {
    /// Shortest path to the pair.
    path: Option<String>,
    schema_path: SchemaPath,
    /// Outer pairs on that path.
    outers: Vec<Outer>,
    operations: Vec<String>,
    messages: usize,
    parts: BTreeSet<(String, String)>,
    /// True if the path leads into a parameter or header as in [`Root::is_plain`].
    is_plain: bool,
    /// True if some path to the pair contains no outer pair that was shown to break no client.
    breaks: bool,
}

/// Pair of schemas that was reached in one message.
struct Visit {
    pair: usize,
    /// Index of the visit from which this pair was reached, and index of the pair among the
    /// children of that visit. `None` for the root of a message.
    from: Option<(usize, usize)>,
    /// Length of the path to the pair, in bytes.
    length: usize,
}

/// The operation whose messages are compared.
struct Compared<'a> {
    /// Key of the operation that is reported. `None` for a webhook.
    key: Option<&'a str>,
    /// Keys of the operation in the old and the new contract.
    keys: [&'a str; 2],
    /// Text with which the paths of all messages of the operation begin.
    within: &'a str,
    /// True if the new operation was compared with another old operation before.
    is_repeated: bool,
}

pub(super) struct Walk<'j> {
    pub(super) joint: &'j Joint,
    numbers: FxHashMap<Node, usize>,
    /// Compared pairs, with their differences.
    pairs: Vec<((u32, u32), Local)>,
    /// Messages that contain each pair with differences.
    reached: BTreeMap<usize, ContainingMessages>,
    /// Differences outside schemas.
    records: Vec<Record>,
    /// Indices of `records` by the new operation, callback or webhook that was compared.
    compared: FxHashMap<String, Vec<usize>>,
    judge: Judge<'j>,
    /// Results of [`Self::is_harmless`], by the index of the pair.
    harmless: FxHashMap<usize, bool>,
}

impl<'j> Walk<'j> {
    /// `class` is [`Joint::rank`].
    pub(super) fn new(joint: &'j Joint, class: &'j dyn Fn(u32) -> u32) -> Self {
        Self {
            joint,
            judge: Judge::new(joint, class),
            harmless: FxHashMap::default(),
            numbers: FxHashMap::default(),
            pairs: Vec::new(),
            reached: BTreeMap::new(),
            records: Vec::new(),
            compared: FxHashMap::default(),
        }
    }

    /// Compares an old and a new operation that clients call.
    pub(super) fn operation(
        &mut self,
        old: &ir::ContractOperation,
        new: &ir::ContractOperation,
        pair: &OperationPair<'_>,
    ) {
        let parts = messages::of_operation(self.joint, (old, new), pair);
        let compared = Compared {
            key: Some(&new.key),
            keys: [&old.key, &new.key],
            within: "",
            is_repeated: self.compared.contains_key(&new.key),
        };
        self.add(&compared, parts);
    }

    /// Compares two versions of a request that the API sends.
    pub(super) fn outgoing(
        &mut self,
        owner: Option<&str>,
        within: &str,
        old: &ir::ContractOperation,
        new: &ir::ContractOperation,
    ) {
        let parts = messages::of_outgoing(self.joint, old, new);
        let compared = Compared {
            key: owner,
            keys: [&old.key, &new.key],
            within: &format!("{within} "),
            is_repeated: self.compared.contains_key(&new.key),
        };
        self.add(&compared, parts);
    }

    /// Adds a webhook or callback that only one side has, as one difference.
    pub(super) fn whole(
        &mut self,
        owner: Option<&str>,
        within: &str,
        what: &str,
        (old, new): (Json, Json),
    ) {
        let end = if old.is_null() { "added" } else { "removed" };
        let Some(check) = checks::of(&format!("{what}-{end}")) else {
            return;
        };
        let finding = Finding {
            id: check.id,
            level: check.level,
            at: String::new(),
            keyword: "",
            old,
            new,
            decision: None,
            witness: None,
        };
        self.records.push(Record {
            finding,
            path: within.to_owned(),
            operations: owner.map(str::to_owned).into_iter().collect(),
            messages: 1,
            schema_path: SchemaPath::default(),
            parts: BTreeSet::new(),
            body: None,
            is_plain: false,
        });
    }

    fn add(&mut self, compared: &Compared<'_>, parts: Parts) {
        let known = self
            .compared
            .entry(compared.keys[1].to_owned())
            .or_default();
        for (path, part, finding) in parts.findings {
            let path = format!("{}{path}", compared.within);
            let mut same = known.iter().map(|at| &self.records[*at]);
            if same.any(|one| one.path == path && one.finding == finding) {
                continue;
            }
            known.push(self.records.len());
            self.records.push(Record {
                finding,
                path,
                operations: compared.key.map(str::to_owned).into_iter().collect(),
                messages: 1,
                parts: BTreeSet::from([compared.part(&part)]),
                schema_path: compared.schema_path(part, Vec::new()),
                body: None,
                is_plain: false,
            });
        }
        for root in parts.schemas {
            self.message(compared, &root);
        }
    }

    /// Visits all pairs of schemas of a message, in order of their depth.
    fn message(&mut self, compared: &Compared<'_>, root: &Root) {
        let first = self.number((root.pair.0, root.pair.1, root.role));
        let breaking = self.breaking(first);
        let mut seen: FxHashSet<usize> = FxHashSet::from_iter([first]);
        let start = format!("{}{}", compared.within, root.path);
        let mut visits = vec![Visit {
            pair: first,
            from: None,
            length: start.len(),
        }];
        let mut at = 0;
        while at < visits.len() {
            let Visit { pair, length, .. } = visits[at];
            for child in 0..self.pairs[pair].1.children.len() {
                let inner = &self.pairs[pair].1.children[child];
                let node = (inner.pair.0, inner.pair.1, inner.role);
                let length = length + inner.step.len();
                let next = self.number(node);
                if seen.insert(next) {
                    visits.push(Visit {
                        pair: next,
                        from: Some((at, child)),
                        length,
                    });
                }
            }
            if !self.pairs[pair].1.findings.is_empty() {
                let reached = self.reached.entry(pair).or_default();
                reached.operations.extend(compared.key.map(str::to_owned));
                reached.breaks |= breaking.contains(&pair);
                let is_new = reached.parts.insert(compared.part(&root.part));
                // Count each message once, even if its operation is in several pairs.
                reached.messages += usize::from(is_new || !compared.is_repeated);
                if reached
                    .path
                    .as_ref()
                    .is_none_or(|known| length <= known.len())
                {
                    let found = message_path(&self.pairs, self.joint, &visits, at);
                    let path = format!("{start}{}", found.path);
                    let is_better = |known: &String| (path.len(), &path) < (known.len(), known);
                    if reached.path.as_ref().is_none_or(is_better) {
                        reached.path = Some(path);
                        reached.outers = found.outers;
                        reached.is_plain = root.is_plain;
                        reached.schema_path = compared.schema_path(root.part.clone(), found.steps);
                    }
                }
            }
            at += 1;
        }
    }

    /// Pairs that are reached from a pair, but not through a pair that was shown to break no
    /// client.
    fn breaking(&mut self, first: usize) -> FxHashSet<usize> {
        let mut found = FxHashSet::default();
        let mut waiting = vec![first];
        while let Some(pair) = waiting.pop() {
            if self.is_harmless(pair) || !found.insert(pair) {
                continue;
            }
            for child in 0..self.pairs[pair].1.children.len() {
                let inner = &self.pairs[pair].1.children[child];
                let next = self.number((inner.pair.0, inner.pair.1, inner.role));
                waiting.push(next);
            }
        }
        found
    }

    /// True if a pair was shown to break no client.
    fn is_harmless(&mut self, pair: usize) -> bool {
        if let Some(known) = self.harmless.get(&pair) {
            return *known;
        }
        let ((old, new), local) = &self.pairs[pair];
        let is_harmless = self.judge.is_harmless((*old, *new), local.role);
        self.harmless.insert(pair, is_harmless);
        is_harmless
    }

    /// Returns the index of a pair of schemas in a role. Compares the pair if it is new.
    fn number(&mut self, (old, new, role): Node) -> usize {
        let node = (self.joint.rank(old), self.joint.rank(new), role);
        if let Some(known) = self.numbers.get(&node) {
            return *known;
        }
        let at = self.pairs.len();
        self.numbers.insert(node, at);
        let mut local = schema::compare(self.joint, (old, new), role);
        self.judge.judge((old, new), role, &mut local);
        self.pairs.push(((old, new), local));
        at
    }

    /// Returns all differences.
    pub(super) fn finish(mut self) -> Vec<Record> {
        // A pair of schemas that occurs in several roles (as a body, and inside another body) has
        // most of its findings in common: report each of them once.
        let mut known: FxHashMap<_, usize> = FxHashMap::default();
        for (at, reached) in std::mem::take(&mut self.reached) {
            let ((old, new), local) = &mut self.pairs[at];
            let ranks = (self.joint.rank(*old), self.joint.rank(*new));
            let is_response = local.role.is_response;
            // The findings of a pair have the same witness.
            let mut body = None;
            for mut finding in std::mem::take(&mut local.findings) {
                if !reached.breaks {
                    meaning::lower(&mut finding);
                }
                if let (Some(witness), None) = (&finding.witness, &body) {
                    body = enclosing::body(&mut self.judge, &reached.outers, is_response, witness);
                }
                let values = (finding.old.to_string(), finding.new.to_string());
                let key = (
                    ranks,
                    finding.id,
                    finding.keyword,
                    finding.at.clone(),
                    values,
                );
                let whole = finding.witness.as_ref().and(body.clone());
                let record = Record {
                    finding,
                    path: reached.path.clone().unwrap_or_default(),
                    operations: reached.operations.clone(),
                    messages: reached.messages,
                    schema_path: reached.schema_path.clone(),
                    parts: reached.parts.clone(),
                    body: whole,
                    is_plain: reached.is_plain,
                };
                match known.get(&key) {
                    Some(same) => self.records[*same].merge(record),
                    None => {
                        known.insert(key, self.records.len());
                        self.records.push(record);
                    }
                }
            }
        }
        for record in &mut self.records {
            record.operations.sort();
            record.operations.dedup();
        }
        self.records
    }
}

impl Record {
    /// Merges `other`, an equal difference: adds its messages, and keeps the shorter path.
    fn merge(&mut self, other: Self) {
        if other.finding.level > self.finding.level {
            self.finding = other.finding;
        }
        self.operations.extend(other.operations);
        self.messages += other.messages;
        self.parts.extend(other.parts);
        if (other.path.len(), &other.path) < (self.path.len(), &self.path) {
            self.path = other.path;
            self.schema_path = other.schema_path;
            self.is_plain = other.is_plain;
        }
    }
}

impl Compared<'_> {
    /// Key of the operation, and name of a part of its messages.
    fn part(&self, part: &str) -> (String, String) {
        let [_, key] = self.keys;
        (key.to_owned(), format!("{}{part}", self.within))
    }

    fn schema_path(&self, part: String, steps: Vec<(String, u32, u32)>) -> SchemaPath {
        SchemaPath {
            keys: self.keys.map(str::to_owned),
            part,
            steps,
        }
    }
}

/// Path from the root of a message to a pair of schemas.
struct MessagePath {
    path: String,
    /// As in [`SchemaPath`].
    steps: Vec<(String, u32, u32)>,
    outers: Vec<Outer>,
}

/// Path from the root of a message to one of the visited pairs.
fn message_path(
    pairs: &[((u32, u32), Local)],
    joint: &Joint,
    visits: &[Visit],
    mut at: usize,
) -> MessagePath {
    let mut children = VecDeque::new();
    while let Some((from, child)) = visits[at].from {
        let (outer, local) = &pairs[visits[from].pair];
        children.push_front((*outer, &local.children[child]));
        at = from;
    }
    let path = children.iter().map(|(_, child)| child.step.as_str());
    let steps = children.iter().map(|(_, child)| {
        let (old, new) = child.pair;
        (
            child.at.clone(),
            joint.own_number(old),
            joint.own_number(new),
        )
    });
    let outers = children.iter();
    MessagePath {
        path: path.collect(),
        steps: steps.collect(),
        outers: outers
            .map(|(pair, child)| Outer::new(*pair, child))
            .collect(),
    }
}
