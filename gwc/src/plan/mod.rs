//! The plan: what a release changes, by meaning, not by text (plan.md).
//!
//! [`compare`] reads two sides; [`cells`] finds who owns which requests on each of them,
//! [`security`] orders who may call, [`witness`] shows it with a request that both engines are
//! asked; [`details`] compares the rest. [`json`] and [`human`] say it.

mod cells;
mod contract;
pub mod details;
pub mod human;
pub mod json;
pub mod security;
mod witness;

use bundle::digest::Digest;
use serde_json::Value;

use crate::lower::Lowered;
use crate::source_map::{Place, SourceMap};

/// One side of a comparison.
#[derive(Debug)]
pub struct Side {
    /// The bundle's id.
    pub bundle: Digest,
    /// What it means.
    pub lowered: Lowered,
    /// What it was written as, where that is known.
    pub source: Option<SourceMap>,
}

/// What a release changes.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The bundle that is compared with.
    pub old: Option<Digest>,
    /// The bundle that would run.
    pub new: Digest,
    /// The changes, in the order in which they are said.
    pub changes: Vec<Change>,
    /// Whether nothing would happen.
    pub no_op: bool,
    /// What could not be read: `source` of the old side.
    pub missing: Vec<&'static str>,
    /// Witnesses that did not show what they should: bugs of ours.
    pub bugs: Vec<String>,
}

/// The sections of a plan, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// Whether a door opens or closes.
    Security,
    /// Who owns which requests.
    Routing,
    /// What clients see.
    Breaking,
    /// What the gateway does to requests.
    Policy,
    /// Where requests go.
    Upstream,
    /// Prose.
    Docs,
}

/// The classes of changes (plan.md, *Classes*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Some request that was refused is let in.
    Weaken,
    /// Both directions at once.
    Incomparable,
    /// Somebody may call what nobody could.
    Expose,
    /// A new consumer or credential.
    Grant,
    /// Some request that was let in is refused.
    Strengthen,
    /// Requests are newly served.
    Added,
    /// Requests are no longer served.
    Removed,
    /// Requests are served by another operation or upstream.
    Moved,
    /// A number lets more through.
    Relax,
    /// A number lets less through.
    Tighten,
    /// Anything else that is different.
    Changed,
    /// Prose.
    Doc,
}

/// One change; equal ones of many operations are one with a count.
#[derive(Clone, Debug)]
pub struct Change {
    /// Where it stands.
    pub section: Section,
    /// What it is.
    pub class: Class,
    /// What exactly, kebab-case.
    pub id: &'static str,
    /// The operation, or the first of them.
    pub operation: Option<OperationRef>,
    /// The keys of all of them.
    pub operations: Vec<String>,
    /// What of it.
    pub subject: String,
    /// Before.
    pub old: Value,
    /// After.
    pub new: Value,
    /// Where the old value was written.
    pub source_old: Option<Place>,
    /// Where the new value is written.
    pub source_new: Option<Place>,
    /// A request that is treated differently.
    pub witness: Option<Witness>,
    /// Why there is none.
    pub why_none: Option<&'static str>,
    /// Names the change: structure, not text.
    pub fingerprint: String,
}

/// An operation, as plans name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRef {
    /// Its key.
    pub key: String,
    /// Its operationId.
    pub id: Option<String>,
    /// Its method.
    pub method: String,
    /// Its path, the mount's base path included.
    pub path: String,
    /// Its mount.
    pub mount: String,
    /// A host it answers for; empty for any.
    pub host: String,
    /// Its API.
    pub api: String,
}

/// A request that both engines were asked, with what they said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// The method.
    pub method: String,
    /// The URL.
    pub url: String,
    /// Further fields.
    pub headers: Vec<(String, String)>,
    /// The credentials it carries.
    pub credentials: Vec<WitnessCredential>,
    /// What the old gateway does.
    pub old: Outcome,
    /// What the new gateway does.
    pub new: Outcome,
}

/// A credential of a witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessCredential {
    /// The scheme, as the bundle names it.
    pub scheme: String,
    /// `valid`, or `forged` where only its presence counts.
    pub state: &'static str,
    /// Scopes.
    pub scopes: Vec<String>,
}

/// What a gateway does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is no gateway yet.
    Nothing,
    /// It goes to the operation's upstream, or the operation's policy answers.
    Served {
        /// The operation's key.
        operation: String,
    },
    /// It is refused.
    Refused {
        /// The status.
        status: u16,
    },
}

/// Compares two sides. Nothing is compared with an empty gateway.
///
/// # Errors
/// A side that cannot be built.
pub fn compare(old: Option<&Side>, new: &Side) -> Result<Plan, engine::BuildError> {
    let mut plan = Plan {
        old: old.map(|side| side.bundle),
        new: new.bundle,
        changes: Vec::new(),
        no_op: false,
        missing: Vec::new(),
        bugs: Vec::new(),
    };
    let same_meaning = old.is_some_and(|old| {
        old.lowered.gateway == new.lowered.gateway && old.lowered.contracts == new.lowered.contracts
    });
    if !same_meaning {
        let sides = cells::Sides {
            old: old.map(cells::Asked::build).transpose()?,
            new: cells::Asked::build(new)?,
        };
        cells::compare(&sides, &mut plan);
        details::compare(old.map(|side| &side.lowered), &new.lowered, &mut plan);
        if let Some(old) = old.filter(|_| plan.changes.is_empty()) {
            // Never silent: what no rule names is still said.
            plan.changes.push(Change::new(
                Section::Policy,
                Class::Changed,
                "unclassified",
                "bundle",
                old.bundle.to_string().into(),
                new.bundle.to_string().into(),
            ));
        }
    }
    match (old.map(|side| &side.source), &new.source) {
        (Some(Some(before)), Some(after)) => contract::docs(before, after, &mut plan),
        (Some(None), _) => plan.missing.push("source"),
        (Some(Some(_)), None) | (None, _) => {}
    }
    add_places(
        &mut plan,
        old.and_then(|side| side.source.as_ref()),
        new.source.as_ref(),
    );
    plan.changes = group(std::mem::take(&mut plan.changes));
    plan.no_op = plan.changes.is_empty();
    Ok(plan)
}

impl Plan {
    /// How many changes there are of a class, operations counted.
    #[must_use]
    pub fn count(&self, class: Class) -> usize {
        self.changes
            .iter()
            .filter(|change| change.class == class)
            .map(Change::count)
            .sum()
    }

    /// The gates that trip, each with the fingerprints of its changes that nobody acknowledged.
    #[must_use]
    pub fn tripped(&self, gates: &[String], acknowledged: &[String]) -> Vec<(String, Vec<String>)> {
        let tripped = gates.iter().map(|gate| {
            let by = self.changes.iter().filter(|change| {
                change.class.trips(gate) && !acknowledged.contains(&change.fingerprint)
            });
            (
                gate.clone(),
                by.map(|change| change.fingerprint.clone())
                    .collect::<Vec<_>>(),
            )
        });
        tripped.filter(|(_, by)| !by.is_empty()).collect()
    }
}

impl Section {
    /// All of them, in their order.
    pub const ALL: [Self; 6] = [
        Self::Security,
        Self::Routing,
        Self::Breaking,
        Self::Policy,
        Self::Upstream,
        Self::Docs,
    ];

    /// In lower case, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Security => "security",
            Self::Routing => "routing",
            Self::Breaking => "breaking",
            Self::Policy => "policy",
            Self::Upstream => "upstream",
            Self::Docs => "docs",
        }
    }
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Weaken,
        Self::Incomparable,
        Self::Expose,
        Self::Grant,
        Self::Strengthen,
        Self::Added,
        Self::Removed,
        Self::Moved,
        Self::Relax,
        Self::Tighten,
        Self::Changed,
        Self::Doc,
    ];

    /// As in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Weaken => "weaken",
            Self::Incomparable => "incomparable",
            Self::Expose => "expose",
            Self::Grant => "grant",
            Self::Strengthen => "strengthen",
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Moved => "moved",
            Self::Relax => "relax",
            Self::Tighten => "tighten",
            Self::Changed => "changed",
            Self::Doc => "doc",
        }
    }

    /// How much a reviewer should care: `error`, `warn` or `info`.
    #[must_use]
    pub fn level(self) -> &'static str {
        match self {
            Self::Weaken | Self::Incomparable => "error",
            Self::Expose | Self::Grant | Self::Removed | Self::Moved => "warn",
            Self::Strengthen
            | Self::Added
            | Self::Relax
            | Self::Tighten
            | Self::Changed
            | Self::Doc => "info",
        }
    }

    fn trips(self, gate: &str) -> bool {
        match gate {
            "weaken" => matches!(self, Self::Weaken | Self::Incomparable),
            "expose" => self == Self::Expose,
            "grant" => self == Self::Grant,
            "relax" => self == Self::Relax,
            "remove" => self == Self::Removed,
            "move" => self == Self::Moved,
            _ => false,
        }
    }
}

impl Change {
    /// A change of something that is no operation's.
    #[must_use]
    pub fn new(
        section: Section,
        class: Class,
        id: &'static str,
        subject: impl Into<String>,
        old: Value,
        new: Value,
    ) -> Self {
        Self {
            section,
            class,
            id,
            operation: None,
            operations: Vec::new(),
            subject: subject.into(),
            old,
            new,
            source_old: None,
            source_new: None,
            witness: None,
            why_none: None,
            fingerprint: String::new(),
        }
        .named()
    }

    /// The change of one operation.
    #[must_use]
    pub fn of(mut self, operation: OperationRef) -> Self {
        self.operations = vec![operation.key.clone()];
        self.operation = Some(operation);
        self.named()
    }

    /// How many operations it reaches.
    #[must_use]
    pub fn count(&self) -> usize {
        self.operations.len().max(1)
    }

    /// Class, id, operation key, subject, digests of old and new value: an acknowledgement binds
    /// old and new.
    fn named(mut self) -> Self {
        let digest = |value: &Value| Digest::of(value.to_string().as_bytes()).hex();
        let text = format!(
            "{}\n{}\n{}\n{}\n{}\n{}",
            self.class.name(),
            self.id,
            self.operations.join(" "),
            self.subject,
            digest(&self.old),
            digest(&self.new)
        );
        self.fingerprint = Digest::of(text.as_bytes()).hex()[..12].to_owned();
        self
    }
}

/// Equal changes of several operations become one; the order is section, class, then the first
/// operation's key.
fn group(changes: Vec<Change>) -> Vec<Change> {
    let mut grouped: Vec<Change> = Vec::new();
    let mut known: std::collections::HashMap<
        (Section, Class, &'static str, String, String, String),
        usize,
    > = std::collections::HashMap::new();
    for change in changes {
        // Routes are told one by one: each is another set of requests.
        let alone = change.section == Section::Routing
            || change.section == Section::Docs
            || change.operation.is_none();
        let key = (
            change.section,
            change.class,
            change.id,
            change.subject.clone(),
            change.old.to_string(),
            change.new.to_string(),
        );
        match known.get(&key).filter(|_| !alone) {
            Some(index) => {
                let first: &mut Change = &mut grouped[*index];
                if !first.operations.contains(&change.operations[0]) {
                    first.operations.extend(change.operations);
                }
            }
            None => {
                known.insert(key, grouped.len());
                grouped.push(change);
            }
        }
    }
    for change in &mut grouped {
        change.operations.sort();
        *change = change.clone().named();
    }
    grouped.sort_by(|a, b| {
        (a.section, a.class, &a.operations, &a.subject, a.id).cmp(&(
            b.section,
            b.class,
            &b.operations,
            &b.subject,
            b.id,
        ))
    });
    grouped
}

fn add_places(plan: &mut Plan, old: Option<&SourceMap>, new: Option<&SourceMap>) {
    let place = |map: Option<&SourceMap>, change: &Change| {
        let map = map?;
        match &change.operation {
            Some(operation) => {
                let written = map.operations.get(&operation.key)?;
                match written.fields.get(&change.subject) {
                    Some(crate::source_map::FieldSource::Written { place, .. }) => {
                        Some(place.clone())
                    }
                    _ => Some(written.place.clone()),
                }
            }
            None => map.definitions.get(&change.subject).cloned(),
        }
    };
    for change in &mut plan.changes {
        change.source_old = place(old, change);
        change.source_new = place(new, change);
    }
}
