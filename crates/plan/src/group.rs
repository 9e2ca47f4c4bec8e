//! Merging of equal changes of several operations into one line.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::change::Decision;
use super::{Change, Class, Member, OperationLine, RequestPlace, Section};
use sources::parallel;
use vocab::checks::Level;

/// Properties that equal changes have in common. For the sections Routing and Docs, the properties
/// include the operation, because each route has its own requests.
type Key = (
    Section,
    Class,
    &'static str,
    String,
    String,
    String,
    String,
    Option<Verdict>,
    Option<String>,
);

/// Level, name of the decision and witness of a change for API clients. A merged change has one
/// witness, which must show the change in each of its operations.
type Verdict = (Level, Option<&'static str>, Option<String>);

/// Merges equal changes of several operations, or of one operation at several places. Keeps the
/// smallest witness. Sorts by section, class and key of the first operation.
pub(super) fn group(changes: Vec<Change>) -> Vec<Change> {
    let mut grouped: Vec<Group> = Vec::new();
    let mut known: HashMap<Key, usize> = HashMap::new();
    for change in parallel::map(changes, Change::named) {
        let by_operation = matches!(change.section, Section::Routing | Section::Docs);
        let operation = change.operation.as_ref().map(|operation| &operation.key);
        let key = (
            change.section,
            change.class,
            change.id,
            change.subject.clone(),
            change.old.to_string(),
            change.new.to_string(),
            change
                .message
                .as_ref()
                .map_or_else(String::new, |message| message.within.clone()),
            change.message.as_ref().map(|message| {
                (
                    message.level,
                    message.decision.map(Decision::name),
                    message.witness.as_ref().map(ToString::to_string),
                )
            }),
            operation.filter(|_| by_operation).cloned(),
        );
        // Changes without an operation are never merged.
        match known.get(&key).filter(|_| operation.is_some()) {
            Some(index) => grouped[*index].add(change),
            None => {
                known.insert(key, grouped.len());
                grouped.push(Group::new(change));
            }
        }
    }
    drop(known);
    let mut changes: Vec<Change> = parallel::map(grouped, Group::into_change);
    sort(&mut changes);
    changes
}

/// Sorts changes in the order of a plan.
pub(super) fn sort(changes: &mut [Change]) {
    changes.sort_by(|a, b| {
        let key = |change: &Change| (change.section, change.class);
        key(a)
            .cmp(&key(b))
            .then_with(|| a.operations.cmp(&b.operations))
            .then_with(|| a.subject.cmp(&b.subject))
            .then_with(|| a.id.cmp(b.id))
            .then_with(|| a.fingerprint.cmp(&b.fingerprint))
    });
}

/// True if a change is a better example than an equal change: it has a smaller witness, or its
/// operation comes first.
fn is_better(change: &Change, than: &Change) -> bool {
    let key = |change: &'_ Change| {
        change
            .operation
            .as_ref()
            .map(|operation| operation.key.clone())
    };
    match (&change.witness, &than.witness) {
        (Some(a), Some(b)) if a.size() != b.size() => a.size() < b.size(),
        (Some(_), None) => true,
        (None, Some(_)) => false,
        _ => key(change) < key(than),
    }
}

struct Group {
    first: Change,
    /// Parts of the group, by the operations of their changes.
    parts: BTreeMap<Vec<String>, Part>,
}

/// Changes of a group that concern the same operations, for requests at several listeners or
/// mounts.
#[derive(Default)]
struct Part {
    places: BTreeSet<RequestPlace>,
    members: BTreeSet<Member>,
}

impl Group {
    fn new(mut first: Change) -> Self {
        let mut parts = BTreeMap::new();
        Part::take(&mut parts, &mut first);
        Self { first, parts }
    }

    fn add(&mut self, mut change: Change) {
        Part::take(&mut self.parts, &mut change);
        if let (Some(own), Some(more)) = (&mut self.first.message, &change.message) {
            own.messages += more.messages;
        }
        // Keep the smallest witness and the operation that it belongs to.
        if is_better(&change, &self.first) {
            self.first.witness = change.witness;
            self.first.why_none = change.why_none;
            self.first.operation = change.operation;
        }
    }

    fn into_change(self) -> Change {
        let mut change = self.first;
        let is_one = self.parts.len() == 1;
        let operations: BTreeSet<&String> = self.parts.keys().flatten().collect();
        change.operations = operations.into_iter().cloned().collect();
        let mut members: BTreeSet<Member> = BTreeSet::new();
        for (operations, part) in self.parts {
            let line = match is_one || part.members.len() < 2 {
                true => None,
                false => Some(part.line(&change, operations)),
            };
            change.places.extend(part.places);
            members.extend(part.members.into_iter().map(|member| Member {
                line: line.clone(),
                ..member
            }));
        }
        if members.len() < 2 {
            return change;
        }
        change.members = members.into_iter().collect();
        change.bound = bound(&change.members);
        change.named()
    }
}

impl Part {
    /// Moves the operations and request places of a change to the part with these operations.
    fn take(parts: &mut BTreeMap<Vec<String>, Self>, change: &mut Change) {
        let member = Member {
            fingerprint: change.fingerprint.clone(),
            base: change.base.clone(),
            about: change.about(),
            line: None,
        };
        let operations = std::mem::take(&mut change.operations);
        let part = parts.entry(operations).or_default();
        part.members.insert(member);
        part.places.append(&mut change.places);
    }

    /// Fingerprints of the line that a plan would contain if the group had only this part.
    fn line(&self, whole: &Change, operations: Vec<String>) -> OperationLine {
        let alone = Change {
            operations,
            places: self.places.clone(),
            bound: bound(&self.members),
            ..whole.clone()
        };
        let alone = alone.named();
        OperationLine {
            fingerprint: alone.fingerprint,
            base: alone.base,
        }
    }
}

/// Part of the fingerprint of a merged change: the fingerprints of its members.
fn bound<'m>(members: impl IntoIterator<Item = &'m Member>) -> String {
    let members = members.into_iter();
    let members: Vec<&str> = members.map(|member| &*member.fingerprint).collect();
    members.join(" ")
}
