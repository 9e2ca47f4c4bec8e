//! Review of a plan: enabled gates and acknowledged changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::gates::SELF_CHECK;
use super::{Plan, bound};
use model::acknowledge::Acknowledgement;

/// Names of all gates.
pub const GATES: [&str; 8] = [
    "weaken", "expose", "grant", "relax", "remove", "move", "break", "rules",
];

/// Changes and merged changes of a plan, by fingerprint.
pub(super) struct Named<'p> {
    all: Vec<NamedChange<'p>>,
    /// Index of the first change with each fingerprint. The outer key is the set of environments
    /// from which the fingerprints were computed. The empty set is the key of the fingerprints in
    /// the plan.
    known: HashMap<BTreeSet<String>, HashMap<String, usize>>,
}

/// A change or merged change of a plan.
pub(super) struct NamedChange<'p> {
    fingerprint: &'p str,
    base: &'p str,
    kind: &'static str,
    about: String,
    environments: &'p BTreeSet<String>,
}

impl<'p> Named<'p> {
    pub(super) fn of(plan: &'p Plan) -> Self {
        let lines = plan.changes.iter().map(|change| NamedChange {
            fingerprint: &change.fingerprint,
            base: &change.base,
            kind: change.id,
            about: change.about(),
            environments: &change.environments,
        });
        let merged = plan.changes.iter().flat_map(|change| {
            change.members.iter().map(|member| NamedChange {
                fingerprint: &member.fingerprint,
                base: &member.base,
                kind: change.id,
                about: member.about.clone(),
                environments: &change.environments,
            })
        });
        let of_operations = plan.changes.iter().flat_map(|change| {
            let mut last = "";
            change.members.iter().filter_map(move |member| {
                let line = member.line.as_ref()?;
                let is_known = std::mem::replace(&mut last, &line.base) == line.base;
                (!is_known).then(|| NamedChange {
                    fingerprint: &line.fingerprint,
                    base: &line.base,
                    kind: change.id,
                    about: member.about.clone(),
                    environments: &change.environments,
                })
            })
        });
        Self {
            all: lines.chain(merged).chain(of_operations).collect(),
            known: HashMap::new(),
        }
    }

    /// Finds the change with a fingerprint. With `environments`, the fingerprint must be computed
    /// for these environments; the change may then occur in only some of them.
    pub(super) fn find(
        &mut self,
        fingerprint: &str,
        environments: Option<&BTreeSet<String>>,
    ) -> Option<&NamedChange<'p>> {
        let environments = environments.cloned().unwrap_or_default();
        let all = &self.all;
        let known = self.known.entry(environments).or_insert_with_key(|wanted| {
            let mut known = HashMap::new();
            for (index, line) in all.iter().enumerate() {
                let fingerprint = match wanted.is_empty() {
                    true => line.fingerprint.to_owned(),
                    false if line.environments.is_disjoint(wanted) => continue,
                    false => bound(line.base, wanted),
                };
                known.entry(fingerprint).or_insert(index);
            }
            known
        });
        known.get(fingerprint).map(|index| &all[*index])
    }
}

/// State of an acknowledgement with respect to a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A change of the plan has this fingerprint.
    Used,
    /// No change of the plan has this fingerprint.
    Unused,
    /// A change has this fingerprint, but the acknowledgement has expired.
    Expired,
    /// A change has this fingerprint, but the acknowledgement names another kind of change or
    /// another subject.
    Mismatched,
}

/// Gates and acknowledgements applied to a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Review {
    /// Enabled gates.
    pub gates: Vec<String>,
    /// Path of the project's acknowledgement file, if any.
    pub file: Option<String>,
    /// All acknowledgements, each with its state.
    pub given: Vec<(Acknowledgement, State)>,
    /// Fingerprints of known changes, from the baseline of `gwc diff`.
    pub known: Vec<String>,
    /// Fingerprints of the changes for which `gwc diff --fail-on` fails.
    pub failing: Vec<String>,
    /// Valid acknowledgements by fingerprint.
    acknowledged: BTreeMap<String, Acknowledgement>,
}

impl Review {
    /// Applies acknowledgements to a plan. `now_s` is the Unix time in seconds. If several
    /// acknowledgements match one change, the first that has not expired is used. A change of
    /// several environments is acknowledged if it is acknowledged for each of them.
    #[must_use]
    pub fn new(
        plan: &Plan,
        gates: Vec<String>,
        file: Option<String>,
        given: Vec<Acknowledgement>,
        now_s: u64,
    ) -> Self {
        let mut review = Self {
            gates,
            file,
            ..Self::default()
        };
        let mut named = Named::of(plan);
        let mut covered: HashMap<&str, (BTreeSet<&str>, Acknowledgement)> = HashMap::new();
        for one in given {
            let line = named.find(&one.fingerprint, one.environments.as_ref());
            let is_over = one.until.as_ref().is_some_and(|(end, _)| *end <= now_s);
            let state = match line {
                None => State::Unused,
                Some(line) if !one.names(line.kind, &line.about) => State::Mismatched,
                Some(_) if is_over => State::Expired,
                Some(line) => {
                    let is_covered = |name: &&String| {
                        let mut own = one.environments.iter();
                        own.all(|own| own.contains(*name))
                    };
                    let own = line.environments.iter().filter(is_covered);
                    let (known, _) = covered
                        .entry(line.base)
                        .or_insert_with(|| (BTreeSet::new(), one.clone()));
                    known.extend(own.map(String::as_str));
                    review
                        .acknowledged
                        .entry(one.fingerprint.clone())
                        .or_insert_with(|| one.clone());
                    State::Used
                }
            };
            review.given.push((one, state));
        }
        for line in &named.all {
            let ack = covered.get(line.base).filter(|(environments, _)| {
                let mut names = line.environments.iter();
                names.all(|name| environments.contains(name.as_str()))
            });
            if let Some((_, ack)) = ack {
                review
                    .acknowledged
                    .entry(line.fingerprint.to_owned())
                    .or_insert_with(|| ack.clone());
            }
        }
        review.of_operations(plan);
        review.of_whole_lines(plan);
        review
    }

    /// Acknowledges the members of an operation if their `line` is acknowledged: the line that a
    /// plan would contain for this operation alone.
    fn of_operations(&mut self, plan: &Plan) {
        let members = plan.changes.iter().flat_map(|change| &change.members);
        for member in members {
            let line = member.line.as_ref();
            let ack = line.and_then(|line| self.acknowledged.get(&line.fingerprint));
            if let Some(ack) = ack.cloned() {
                let fingerprint = member.fingerprint.clone();
                self.acknowledged.entry(fingerprint).or_insert(ack);
            }
        }
    }

    /// Acknowledges a merged change if all changes that were merged into it are acknowledged.
    /// Changes that were reviewed in two pull requests can therefore be released as one line.
    fn of_whole_lines(&mut self, plan: &Plan) {
        for change in &plan.changes {
            let first = change.members.first();
            let Some(ack) = first
                .and_then(|first| self.acknowledged.get(&first.fingerprint))
                .cloned()
            else {
                continue;
            };
            let mut members = change.members.iter();
            if members.all(|member| self.acknowledged.contains_key(&member.fingerprint)) {
                self.acknowledged
                    .entry(change.fingerprint.clone())
                    .or_insert(ack);
            }
        }
    }

    /// Acknowledgement of the change with this fingerprint.
    #[must_use]
    pub fn acknowledgement(&self, fingerprint: &str) -> Option<&Acknowledgement> {
        self.acknowledged.get(fingerprint)
    }

    /// Tripped gates, each with the fingerprints of its unacknowledged changes.
    #[must_use]
    pub fn tripped(&self, plan: &Plan) -> Vec<(String, Vec<String>)> {
        let acknowledged: Vec<String> = self.acknowledged.keys().cloned().collect();
        plan.tripped(&self.gates, &acknowledged)
    }

    /// Messages about witnesses that do not show their change. Excludes acknowledged changes.
    #[must_use]
    pub fn unconfirmed<'p>(&self, plan: &'p Plan) -> Vec<&'p str> {
        let lines = plan.changes.iter().filter(|change| {
            change.id == SELF_CHECK && !self.acknowledged.contains_key(&change.fingerprint)
        });
        lines.filter_map(|change| change.new.as_str()).collect()
    }

    /// Fingerprints of the changes that block the release, in the order of the plan.
    #[must_use]
    pub fn stopping(&self, plan: &Plan) -> Vec<String> {
        let tripped = self.tripped(plan);
        let stopping: BTreeSet<&String> = tripped.iter().flat_map(|(_, by)| by).collect();
        let mut listed = BTreeSet::new();
        plan.changes
            .iter()
            .map(|change| &change.fingerprint)
            .filter(|fingerprint| stopping.contains(fingerprint) && listed.insert(*fingerprint))
            .cloned()
            .collect()
    }
}

impl State {
    /// Name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::Unused => "unused",
            Self::Expired => "expired",
            Self::Mismatched => "mismatched",
        }
    }
}
