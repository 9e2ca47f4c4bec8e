//! What people say about a plan: the gates that are on, and the changes that they acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use super::Plan;
use crate::acknowledge::Acknowledgement;

/// The classes of changes that a gate may stand for.
pub const GATES: [&str; 6] = ["weaken", "expose", "grant", "relax", "remove", "move"];

/// What became of an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A change has its fingerprint.
    Used,
    /// No change has.
    Unused,
    /// A change has, but its time is over.
    Expired,
}

/// Gates and acknowledgements, held against a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Review {
    /// The gates that are on.
    pub gates: Vec<String>,
    /// The project's acknowledgement file, if gateway.yaml names one.
    pub file: Option<String>,
    /// Every acknowledgement that was given, with what became of it.
    pub given: Vec<(Acknowledgement, State)>,
    /// By fingerprint, what lets a change through.
    acknowledged: BTreeMap<String, Acknowledgement>,
}

/// First digits that name several changes.
#[derive(Debug, PartialEq, Eq)]
pub struct Ambiguous {
    /// The digits.
    pub digits: String,
    /// The fingerprints that begin so.
    pub fingerprints: Vec<String>,
}

impl Review {
    /// Holds acknowledgements against a plan; `now_s` in Unix seconds. Of two for one change the
    /// first that has not ended counts.
    ///
    /// # Errors
    /// Digits that name more than one change.
    pub fn new(
        plan: &Plan,
        gates: Vec<String>,
        file: Option<String>,
        given: Vec<Acknowledgement>,
        now_s: u64,
    ) -> Result<Self, Ambiguous> {
        let mut review = Self {
            gates,
            file,
            ..Self::default()
        };
        let lines: BTreeSet<&str> = plan
            .changes
            .iter()
            .map(|change| change.fingerprint.as_str())
            .collect();
        let members = plan.changes.iter().flat_map(|change| &change.members);
        let members: BTreeSet<&str> = members.map(String::as_str).collect();
        for one in given {
            let digits = one.fingerprint.as_str();
            let among = |known: &BTreeSet<&'_ str>| -> Vec<String> {
                known
                    .range(digits..)
                    .take_while(|fingerprint| fingerprint.starts_with(digits))
                    .map(|fingerprint| (*fingerprint).to_owned())
                    .collect()
            };
            let mut named = among(&lines);
            if named.is_empty() {
                named = among(&members);
            }
            let state = match &named[..] {
                [] => State::Unused,
                [_] if one.until.as_ref().is_some_and(|(end, _)| *end <= now_s) => State::Expired,
                [fingerprint] => {
                    review
                        .acknowledged
                        .entry(fingerprint.clone())
                        .or_insert_with(|| one.clone());
                    State::Used
                }
                _ => {
                    return Err(Ambiguous {
                        digits: digits.to_owned(),
                        fingerprints: named,
                    });
                }
            };
            review.given.push((one, state));
        }
        review.of_whole_lines(plan);
        Ok(review)
    }

    /// A line is let through where everything that it brings together is: what was reviewed in two
    /// pull requests is released as one line.
    fn of_whole_lines(&mut self, plan: &Plan) {
        for change in &plan.changes {
            let first = change.members.first();
            let Some(ack) = first
                .and_then(|first| self.acknowledged.get(first))
                .cloned()
            else {
                continue;
            };
            let mut members = change.members.iter();
            if members.all(|member| self.acknowledged.contains_key(member)) {
                self.acknowledged
                    .entry(change.fingerprint.clone())
                    .or_insert(ack);
            }
        }
    }

    /// Who let this change through, if anybody did.
    #[must_use]
    pub fn acknowledgement(&self, fingerprint: &str) -> Option<&Acknowledgement> {
        self.acknowledged.get(fingerprint)
    }

    /// The gates that trip, each with the fingerprints that nobody let through.
    #[must_use]
    pub fn tripped(&self, plan: &Plan) -> Vec<(String, Vec<String>)> {
        let acknowledged: Vec<String> = self.acknowledged.keys().cloned().collect();
        plan.tripped(&self.gates, &acknowledged)
    }

    /// The fingerprints that stop, each once, in the plan's order.
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
    /// As in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::Unused => "unused",
            Self::Expired => "expired",
        }
    }
}
