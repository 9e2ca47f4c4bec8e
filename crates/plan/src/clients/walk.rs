//! Walk over the pairs of schemas of all operations. A pair of schemas is compared once, even if
//! many operations reach it.
//!
//! A difference is reported once for each place in the source that has it: once for a component,
//! and once for each schema that is written in place. Two properties with equal schemas therefore
//! have two differences.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use model::contract::joint::Joint;
use model::source_map::Place;
use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::Value as Json;
use validator::containment::Doubt;

use super::enclosing::{self, Outer, Shown};
use super::meaning::{self, SchemaComparison};
use super::messages::{self, Parts, Root};
use super::operations::OperationPair;
use super::schema::{self, Finding, Local, Role};
use super::schema_path::{OuterObject, SchemaPath};
use crate::change::Decision;
use vocab::checks::{self, Level};

/// Difference between two contracts, with the operations that it concerns.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) finding: Finding,
    /// Path of the schema in the message.
    pub(super) path: String,
    /// Keys of the operations whose messages contain the value.
    pub(super) operations: BTreeSet<String>,
    /// Key of the operation with the message of `path` and `body`. `None` for a webhook.
    pub(super) operation: Option<String>,
    /// Numbers of the messages that contain the value.
    pub(super) messages: BTreeSet<usize>,
    /// Path to the schema of the value, from a part of a message.
    pub(super) schema_path: SchemaPath,
    /// Parts of messages that contain the value.
    pub(super) parts: BTreeSet<Part>,
    /// Body with the value that shows the break. `None`: no such body is known.
    pub(super) body: Option<Json>,
    /// True if the path leads into a parameter or header without `style`, `explode` and `content`.
    pub(super) is_plain: bool,
}

/// Numbers of an old and a new schema that are compared, and their role in the message.
type Node = (u32, u32, Role);

/// Part of an operation's messages that contains a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    /// Key of the operation in the new contract.
    pub(super) key: String,
    /// Name of the part, such as `body application/json`.
    pub(super) name: String,
    /// Path of the value, the same for all parts that reach it through the same outer schema.
    pub(super) path: String,
}

/// Edge to a pair of schemas: its outer pair, and the index among the children of that pair.
type Edge = (usize, usize);

/// Maximum number of witnesses of equal differences that are tried for each of them.
const SHARED_MAX: usize = 4;

/// Replaces the outer pair in an [`Edge`] to the root schema of a part, which has no outer pair.
/// The other number of the edge is then the index of the path in [`Walk::starts`].
const NO_OUTER: usize = usize::MAX;

/// A message: body, parameter or header field of an operation.
struct MessageSource {
    /// Key of the operation that is reported. `None` for a webhook.
    operation: Option<String>,
    /// Key of the operation in the new contract, and name of the part.
    part: (String, String),
    schema_path: SchemaPath,
    /// Path of the part, with which the paths of its values begin.
    start: String,
    /// True if the message is a parameter or header without `style`, `explode` and `content`.
    is_plain: bool,
}

/// Messages that reach a pair of schemas through one [`Edge`].
struct Reached {
    /// Shortest path to the pair.
    path: String,
    /// Edges on that path, from the message `message`.
    edges: Vec<Edge>,
    message: usize,
    messages: BTreeSet<usize>,
    /// True if a path to the pair contains no outer pair that was shown to break no client.
    breaks: bool,
    /// True for messages of webhooks. They have lines of their own: settings of operations do not
    /// apply to them.
    of_webhook: bool,
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
    /// Objects of which a part is a property, by the name of the part.
    objects: BTreeMap<String, [Option<OuterObject>; 2]>,
    /// True if the new operation was compared with another old operation before.
    is_repeated: bool,
}

pub(super) struct Walk<'j> {
    pub(super) joint: &'j Joint,
    numbers: FxHashMap<Node, usize>,
    /// Compared pairs, with their differences.
    pairs: Vec<((u32, u32), Local)>,
    /// Messages that reach each pair with differences, by the edge to it, by [`Reached::breaks`], and
    /// by [`Reached::of_webhook`].
    reached: BTreeMap<usize, BTreeMap<(Edge, bool, bool), Reached>>,
    /// Messages, and differences outside schemas. The number of a message is its index here.
    messages: Vec<Option<MessageSource>>,
    /// Number of the first message of each part.
    parts: FxHashMap<(String, String), usize>,
    /// Number of each path with which the paths of values in a part begin.
    starts: FxHashMap<String, usize>,
    /// Differences outside schemas.
    records: Vec<Record>,
    /// Indices of `records` by the new operation, callback or webhook that was compared.
    compared: FxHashMap<String, Vec<usize>>,
    schemas: SchemaComparison<'j>,
    /// Results of [`Self::is_harmless`], by the index of the pair.
    harmless: FxHashMap<usize, bool>,
}

impl<'j> Walk<'j> {
    /// Creates the walk. `class` is [`Joint::rank`].
    pub(super) fn new(joint: &'j Joint, class: &'j dyn Fn(u32) -> u32) -> Self {
        Self {
            joint,
            schemas: SchemaComparison::new(joint, class),
            harmless: FxHashMap::default(),
            numbers: FxHashMap::default(),
            pairs: Vec::new(),
            reached: BTreeMap::new(),
            messages: Vec::new(),
            parts: FxHashMap::default(),
            starts: FxHashMap::default(),
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
        let mut parts = messages::of_operation(self.joint, (old, new), pair);
        let compared = Compared {
            key: Some(&new.key),
            keys: [&old.key, &new.key],
            within: "",
            objects: std::mem::take(&mut parts.objects),
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
        let mut parts = messages::of_outgoing(self.joint, old, new);
        let compared = Compared {
            key: owner,
            keys: [&old.key, &new.key],
            within: &format!("{within} "),
            objects: std::mem::take(&mut parts.objects),
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
        let message = self.number_message(None);
        self.records.push(Record {
            finding,
            path: within.to_owned(),
            operations: owner.map(str::to_owned).into_iter().collect(),
            operation: owner.map(str::to_owned),
            messages: BTreeSet::from([message]),
            schema_path: SchemaPath::default(),
            parts: BTreeSet::new(),
            body: None,
            is_plain: false,
        });
    }

    fn add(&mut self, compared: &Compared<'_>, parts: Parts) {
        for (path, part, finding) in parts.findings {
            let path = format!("{}{path}", compared.within);
            let key = compared.keys[1];
            let known = self.compared.get(key).into_iter().flatten();
            let mut same = known.map(|at| &self.records[*at]);
            if same.any(|one| one.path == path && one.finding == finding) {
                continue;
            }
            let (key, name) = compared.part(&part);
            let own = Part {
                key,
                name,
                path: path.clone(),
            };
            let message = self.number_message(None);
            let known = self.compared.entry(own.key.clone()).or_default();
            known.push(self.records.len());
            self.records.push(Record {
                finding,
                path,
                operations: compared.key.map(str::to_owned).into_iter().collect(),
                operation: compared.key.map(str::to_owned),
                messages: BTreeSet::from([message]),
                parts: BTreeSet::from([own]),
                schema_path: compared.schema_path(part),
                body: None,
                is_plain: false,
            });
        }
        self.compared
            .entry(compared.keys[1].to_owned())
            .or_default();
        for root in parts.schemas {
            self.message(compared, &root);
        }
    }

    fn number_message(&mut self, message: Option<MessageSource>) -> usize {
        self.messages.push(message);
        self.messages.len() - 1
    }

    /// Number of the message with the schema `root`. A part of an operation that is in several
    /// pairs of operations is one message.
    fn message_of(&mut self, compared: &Compared<'_>, root: &Root) -> usize {
        let part = compared.part(&root.part);
        if compared.is_repeated
            && let Some(known) = self.parts.get(&part)
        {
            return *known;
        }
        let number = self.number_message(Some(MessageSource {
            operation: compared.key.map(str::to_owned),
            part: part.clone(),
            schema_path: compared.schema_path(root.part.clone()),
            start: format!("{}{}", compared.within, root.path),
            is_plain: root.is_plain,
        }));
        self.parts.entry(part).or_insert(number);
        number
    }

    /// Visits all pairs of schemas of a message, in order of their depth.
    fn message(&mut self, compared: &Compared<'_>, root: &Root) {
        let message = self.message_of(compared, root);
        let first = self.number((root.pair.0, root.pair.1, root.role));
        let breaking = self.breaking(first);
        let mut seen: FxHashSet<usize> = FxHashSet::from_iter([first]);
        let start = format!("{}{}", compared.within, root.path);
        let length = start.len();
        let number = self.starts.len();
        let number = *self.starts.entry(start).or_insert(number);
        let edge = (NO_OUTER, number);
        self.reach(
            (first, edge),
            (message, length),
            breaking.contains(&first),
            Vec::new,
        );
        let mut visits = vec![Visit {
            pair: first,
            from: None,
            length,
        }];
        let mut at = 0;
        while at < visits.len() {
            let Visit { pair, length, .. } = visits[at];
            for child in 0..self.pairs[pair].1.children.len() {
                let inner = &self.pairs[pair].1.children[child];
                let node = (inner.pair.0, inner.pair.1, inner.role);
                let length = length + inner.step.len();
                let next = self.number(node);
                let breaks = breaking.contains(&pair) && breaking.contains(&next);
                self.reach((next, (pair, child)), (message, length), breaks, || {
                    edges(&visits, at, child)
                });
                if seen.insert(next) {
                    visits.push(Visit {
                        pair: next,
                        from: Some((at, child)),
                        length,
                    });
                }
            }
            at += 1;
        }
    }

    /// Adds a message that reaches a pair through an edge. `length`: length of the path to the
    /// pair. `edges` returns the edges on that path.
    fn reach(
        &mut self,
        (pair, edge): (usize, Edge),
        (message, length): (usize, usize),
        breaks: bool,
        path: impl FnOnce() -> Vec<Edge>,
    ) {
        if self.pairs[pair].1.findings.is_empty() {
            return;
        }
        let source = self.messages[message].as_ref();
        let of_webhook = source.is_some_and(|message| message.operation.is_none());
        let key = (edge, breaks, of_webhook);
        let known = self.reached.get(&pair);
        let known = known.and_then(|all| all.get(&key));
        let is_candidate = known.is_none_or(|known| length <= known.path.len());
        let found = is_candidate.then(|| {
            let edges = path();
            (self.path_of(message, &edges), edges)
        });
        let found = found.filter(|(path, _)| {
            known.is_none_or(|known| (path.len(), path) < (known.path.len(), &known.path))
        });
        let all = self.reached.entry(pair).or_default();
        let reached = all.entry(key).or_insert_with(|| Reached {
            path: String::new(),
            edges: Vec::new(),
            message,
            messages: BTreeSet::new(),
            breaks,
            of_webhook,
        });
        reached.messages.insert(message);
        if let Some((path, edges)) = found {
            (reached.path, reached.edges, reached.message) = (path, edges, message);
        }
    }

    /// Path of a value in a message.
    fn path_of(&self, message: usize, edges: &[Edge]) -> String {
        let start = self.messages[message].as_ref();
        let mut path = start.map_or_else(String::new, |message| message.start.clone());
        for (outer, child) in edges {
            path.push_str(&self.pairs[*outer].1.children[*child].step);
        }
        path
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
        let is_harmless = self.schemas.is_harmless((*old, *new), local.role);
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
        let schemas = &mut self.schemas;
        let mut is_contained = |pair| schemas.is_contained_member(pair, role);
        let mut local = schema::compare(self.joint, (old, new), role, &mut is_contained);
        self.schemas.compare((old, new), role, &mut local);
        self.pairs.push(((old, new), local));
        at
    }

    /// Returns all differences. `place`: source location of the new schema at the end of a path.
    pub(super) fn finish(mut self, place: impl Fn(&SchemaPath) -> Option<Place>) -> Vec<Record> {
        // A pair of schemas that occurs in several roles (as a body, and inside another body) has
        // most of its findings in common: report each of them once.
        let mut known: FxHashMap<_, usize> = FxHashMap::default();
        self.share_witnesses();
        for (at, edges) in std::mem::take(&mut self.reached) {
            let (old, new) = self.pairs[at].0;
            let ranks = (self.joint.rank(old), self.joint.rank(new));
            let findings = std::mem::take(&mut self.pairs[at].1.findings);
            let mut places: BTreeMap<(Option<Place>, bool), Vec<Reached>> = BTreeMap::new();
            for reached in edges.into_values() {
                let place = place(&self.schema_path(&reached));
                let key = (place, reached.of_webhook);
                places.entry(key).or_default().push(reached);
            }
            for (place, reached) in places {
                for record in self.records_of(at, &findings, reached) {
                    let finding = &record.finding;
                    let values = (finding.old.to_string(), finding.new.to_string());
                    let what = (finding.id, finding.keyword, finding.at.clone());
                    let is_break = finding.level == Level::Error;
                    let verdict = finding.decision.filter(|_| is_break).map(Decision::name);
                    let verdict = (is_break, verdict);
                    let key = (ranks, place.clone(), what, values, verdict);
                    match known.get(&key) {
                        Some(same) => self.records[*same].merge(record),
                        None => {
                            known.insert(key, self.records.len());
                            self.records.push(record);
                        }
                    }
                }
            }
        }
        self.records
    }

    /// Gives equal differences of several pairs a common witness, if a witness of one pair is also
    /// one of the others. The differences then are one change.
    fn share_witnesses(&mut self) {
        let mut equal: BTreeMap<_, Vec<(usize, usize)>> = BTreeMap::new();
        for pair in self.reached.keys() {
            let local = &self.pairs[*pair].1;
            for (at, one) in local.findings.iter().enumerate() {
                let is_open = matches!(
                    one.decision,
                    Some(Decision::Refuted | Decision::Undecided(_))
                );
                if is_open && !local.role.is_text {
                    let values = (one.old.to_string(), one.new.to_string());
                    let key = (one.id, one.keyword, one.at.clone(), values);
                    equal.entry(key).or_default().push((*pair, at));
                }
            }
        }
        for group in equal.into_values().filter(|group| group.len() > 1) {
            let of =
                |(pair, at): &(usize, usize)| self.pairs[*pair].1.findings[*at].witness.clone();
            let mut witnesses: Vec<Json> = group.iter().filter_map(of).collect();
            witnesses.sort_by_cached_key(|one| (one.to_string().len(), one.to_string()));
            witnesses.dedup();
            witnesses.truncate(SHARED_MAX);
            for (pair, at) in group {
                let (nodes, local) = &mut self.pairs[pair];
                let is_response = local.role.is_response;
                let own = &mut local.findings[at];
                let mut shorter = witnesses.iter();
                let found = shorter.find(|one| {
                    own.witness.as_ref() == Some(*one)
                        || self.schemas.is_shown(*nodes, is_response, one)
                });
                if let Some(found) = found {
                    own.decision = Some(Decision::Refuted);
                    own.witness = Some(found.clone());
                }
            }
        }
    }

    /// Records of the differences of a pair at one place of the source. A break is reported only for
    /// the messages that reach the pair through an outer pair that may break clients, too.
    fn records_of(&mut self, pair: usize, findings: &[Finding], all: Vec<Reached>) -> Vec<Record> {
        let (breaks, others): (Vec<&Finding>, Vec<&Finding>) =
            findings.iter().partition(|one| meaning::is_break(one));
        let mut records = self.records_at(pair, &others, &all, true);
        if !breaks.is_empty() {
            let (broken, mut harmless): (Vec<Reached>, Vec<Reached>) =
                all.into_iter().partition(|one| one.breaks);
            let known: BTreeSet<usize> = broken
                .iter()
                .flat_map(|one| &one.messages)
                .copied()
                .collect();
            for one in &mut harmless {
                one.messages.retain(|message| !known.contains(message));
            }
            harmless.retain(|one| !one.messages.is_empty());
            records.extend(self.records_at(pair, &breaks, &broken, true));
            records.extend(self.records_at(pair, &breaks, &harmless, false));
        }
        records
    }

    /// Records of differences of a pair in these messages. `breaks`: false if outer pairs were
    /// shown to break no client.
    fn records_at(
        &mut self,
        pair: usize,
        findings: &[&Finding],
        all: &[Reached],
        breaks: bool,
    ) -> Vec<Record> {
        let by_path = |one: &&Reached| (one.path.len(), one.path.clone());
        let Some(shortest) = all.iter().min_by_key(by_path) else {
            return Vec::new();
        };
        let schema_path = self.schema_path(shortest);
        let outers: Vec<Outer> = shortest
            .edges
            .iter()
            .map(|(outer, child)| {
                let (pair, local) = &self.pairs[*outer];
                Outer::new(*pair, &local.children[*child])
            })
            .collect();
        let (mut operations, mut parts) = (BTreeSet::new(), BTreeSet::new());
        for reached in all {
            for message in &reached.messages {
                let Some(message) = &self.messages[*message] else {
                    continue;
                };
                operations.extend(message.operation.clone());
                let (key, name) = message.part.clone();
                let path = reached.path.clone();
                parts.insert(Part { key, name, path });
            }
        }
        let messages = all.iter().flat_map(|reached| &reached.messages).copied();
        let messages: BTreeSet<usize> = messages.collect();
        let source = self.messages[shortest.message].as_ref();
        let is_plain = source.is_some_and(|message| message.is_plain);
        let operation = source.and_then(|message| message.operation.clone());
        let (nodes, role) = (self.pairs[pair].0, self.pairs[pair].1.role);
        // Findings of a pair can have the same witness.
        let mut shown: Vec<(Json, Option<Shown>)> = Vec::new();
        let mut records = Vec::with_capacity(findings.len());
        for finding in findings {
            let mut finding = (*finding).clone();
            if !breaks {
                meaning::lower(&mut finding);
            }
            let mut body = None;
            if let Some(witness) = finding.witness.take() {
                let known = shown.iter().find(|(known, _)| *known == witness);
                let found = match known {
                    Some((_, found)) => found.clone(),
                    None => enclosing::shown(&mut self.schemas, &outers, (nodes, role), &witness),
                };
                shown.push((witness, found.clone()));
                match found {
                    Some(found) => (finding.witness, body) = (Some(found.value), found.body),
                    None => finding.decision = Some(Decision::Undecided(Doubt::NoExample)),
                }
            }
            records.push(Record {
                body,
                finding,
                path: shortest.path.clone(),
                operations: operations.clone(),
                operation: operation.clone(),
                messages: messages.clone(),
                schema_path: schema_path.clone(),
                parts: parts.clone(),
                is_plain,
            });
        }
        records
    }

    /// Path to the schema of a pair, from a part of a message.
    fn schema_path(&self, reached: &Reached) -> SchemaPath {
        let source = self.messages[reached.message].as_ref();
        let mut path =
            source.map_or_else(SchemaPath::default, |message| message.schema_path.clone());
        path.steps
            .extend(reached.edges.iter().map(|(outer, child)| {
                let child = &self.pairs[*outer].1.children[*child];
                let (old, new) = child.pair;
                let number = |node| self.joint.own_number(node);
                (child.at.clone(), number(old), number(new))
            }));
        path
    }
}

impl Record {
    /// Merges `other`, an equal difference at the same place: adds its messages, and keeps the
    /// shorter path.
    fn merge(&mut self, other: Self) {
        self.operations.extend(other.operations);
        self.messages.extend(other.messages);
        self.parts.extend(other.parts);
        if (other.path.len(), &other.path) < (self.path.len(), &self.path) {
            self.path = other.path;
            self.schema_path = other.schema_path;
            self.is_plain = other.is_plain;
            self.operation = other.operation;
            // The value and the body are those of this path.
            self.finding = other.finding;
            self.body = other.body;
        }
    }
}

impl Compared<'_> {
    /// Key of the operation, and name of a part of its messages.
    fn part(&self, part: &str) -> (String, String) {
        let [_, key] = self.keys;
        (key.to_owned(), format!("{}{part}", self.within))
    }

    fn schema_path(&self, part: String) -> SchemaPath {
        SchemaPath {
            keys: self.keys.map(str::to_owned),
            objects: self.objects.get(&part).cloned().unwrap_or_default(),
            part,
            steps: Vec::new(),
        }
    }
}

/// Edges from the root of a message to a child of one of the visited pairs.
fn edges(visits: &[Visit], mut at: usize, child: usize) -> Vec<Edge> {
    let mut edges = vec![(visits[at].pair, child)];
    while let Some((from, child)) = visits[at].from {
        edges.push((visits[from].pair, child));
        at = from;
    }
    edges.reverse();
    edges
}
