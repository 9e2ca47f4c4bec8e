//! Review of a plan: enabled gates and acknowledged changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Plan;
use model::acknowledge::Acknowledgement;

/// Names of all gates.
pub const GATES: [&str; 7] = [
    "weaken", "expose", "grant", "relax", "remove", "move", "rules",
];

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
    /// Valid acknowledgements by fingerprint.
    acknowledged: BTreeMap<String, Acknowledgement>,
}

impl Review {
    /// Applies acknowledgements to a plan. `now_s` is the Unix time in seconds. If several
    /// acknowledge one change, the first that has not expired is used.
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
        let mut known: HashMap<&str, (&str, String)> = HashMap::new();
        for change in &plan.changes {
            for member in &change.members {
                let about = (change.id, member.about.clone());
                known.entry(&member.fingerprint).or_insert(about);
            }
        }
        for change in &plan.changes {
            known.insert(&change.fingerprint, (change.id, change.about()));
        }
        for one in given {
            let state = match known.get(&*one.fingerprint) {
                None => State::Unused,
                Some((kind, about)) if !one.names(kind, about) => State::Mismatched,
                Some(_) if one.until.as_ref().is_some_and(|(end, _)| *end <= now_s) => {
                    State::Expired
                }
                Some(_) => {
                    review
                        .acknowledged
                        .entry(one.fingerprint.clone())
                        .or_insert_with(|| one.clone());
                    State::Used
                }
            };
            review.given.push((one, state));
        }
        review.of_whole_lines(plan);
        review
    }

    /// Acknowledges a merged change if all its members are acknowledged: changes that were reviewed
    /// in two pull requests may be released as one line.
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

    /// Fingerprints of the changes that block the release, in the order of the plan.
    #[must_use]
    pub fn stopping(&self, plan: &Plan) -> Vec<String> {
        let tripped = self.tripped(plan);
        let stopping: BTreeSet<&String> = tripped.iter().flat_map(|(_, by)| by).collect();
        let mut said = BTreeSet::new();
        plan.changes
            .iter()
            .map(|change| &change.fingerprint)
            .filter(|fingerprint| stopping.contains(fingerprint) && said.insert(*fingerprint))
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
