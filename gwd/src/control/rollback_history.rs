//! Rollback history of this node: decides which bundle is the previous one.
//!
//! A rollback undoes everything after its target, whether the channel or an operator caused it. Two
//! rollbacks therefore go back two steps and never return to the bundle that the first one left.
//! `gwc rollback` has the same rule for the channel; this module applies it to the bundles that ran
//! on this node.

use bundle::digest::Digest;
use bundle::statement::predicate::RecordKind;
use serde::{Deserialize, Serialize};

/// Maximum number of bundles in the rollback history.
const STEPS_MAX: usize = 20;

/// Stack of activated bundles. The last one is the running bundle; a rollback removes all bundles
/// after its target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct RollbackHistory(Vec<Step>);

/// Bundle in the rollback history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    pub(crate) bundle: Digest,
    /// Serial of the record that introduced the bundle.
    pub(crate) serial: u64,
}

/// Fields of a channel record that the history depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moved {
    pub(crate) step: Step,
    pub(crate) kind: RecordKind,
}

impl RollbackHistory {
    /// Bundle `steps` steps before the running bundle, or `None` if the history is shorter.
    pub(crate) fn back(&self, running: &Digest, steps: usize) -> Option<Digest> {
        let at = self.0.iter().rposition(|step| step.bundle == *running)?;
        let at = at.checked_sub(steps)?;
        self.0.get(at).map(|step| step.bundle)
    }

    /// Lowest serial of a record in the history, or `None` if the history is empty.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.0.iter().map(|step| step.serial).min()
    }

    /// Updates the history after the channel activated a bundle. `records` are channel records up
    /// to the record of the bundle, oldest first. If one of them may be a rollback, they must reach
    /// back at least to the oldest bundle of the history. Otherwise the last record is sufficient.
    pub(crate) fn follow(&mut self, records: &[Moved]) {
        let Some(last) = records.last() else { return };
        if records
            .iter()
            .any(|moved| moved.kind == RecordKind::Rollback)
        {
            let known = channel(records);
            self.0
                .retain(|step| known.iter().any(|at| at.bundle == step.bundle));
        }
        let before = self.position(&last.step.bundle);
        match (last.kind, before) {
            (RecordKind::Rollback, Some(at)) => self.0.truncate(at + 1),
            (RecordKind::Rollback | RecordKind::Release | RecordKind::Pin, _) => {
                self.push(last.step);
            }
        }
    }

    /// Updates the history for an operator's switch: bundles after the target are removed.
    /// `step.serial` is the serial of the newest record on this node that names the bundle.
    pub(crate) fn switch(&mut self, step: Step) {
        match self.position(&step.bundle) {
            Some(at) => self.0.truncate(at + 1),
            None => {
                self.0.retain(|known| known.serial < step.serial);
                self.push(step);
            }
        }
    }

    fn position(&self, bundle: &Digest) -> Option<usize> {
        self.0.iter().rposition(|step| step.bundle == *bundle)
    }

    fn push(&mut self, step: Step) {
        match self.0.last_mut() {
            Some(last) if last.bundle == step.bundle => {}
            _ => self.0.push(step),
        }
        let surplus = self.0.len().saturating_sub(STEPS_MAX);
        self.0.drain(..surplus);
    }
}

/// Returns the history of the channel after `records`. A rollback to a bundle that no earlier
/// record names leaves only this bundle, because the bundle is older than all others.
fn channel(records: &[Moved]) -> Vec<Step> {
    let mut history: Vec<Step> = Vec::new();
    for (at, Moved { step, kind }) in records.iter().enumerate() {
        let before = history
            .iter()
            .rposition(|known| known.bundle == step.bundle);
        let seen = records[..at]
            .iter()
            .any(|known| known.step.bundle == step.bundle);
        match (kind, before) {
            (RecordKind::Rollback, Some(before)) => history.truncate(before + 1),
            (RecordKind::Rollback, None) if !seen => history = vec![*step],
            (RecordKind::Rollback | RecordKind::Release | RecordKind::Pin, _) => {
                if history.last().is_none_or(|last| last.bundle != step.bundle) {
                    history.push(*step);
                }
            }
        }
    }
    history
}

#[cfg(test)]
mod tests {
    use super::*;
    use RecordKind::{Pin, Release, Rollback};

    fn step(name: &str, serial: u64) -> Step {
        let bundle = Digest::of(name.as_bytes());
        Step { bundle, serial }
    }

    fn moved(name: &str, serial: u64, kind: RecordKind) -> Moved {
        let step = step(name, serial);
        Moved { step, kind }
    }

    /// Returns the history after [`RollbackHistory::follow`] was called for each of `records`.
    fn history_after(records: &[(&str, RecordKind)]) -> RollbackHistory {
        let mut history = RollbackHistory::default();
        let mut all = Vec::new();
        for (serial, (name, kind)) in (1..).zip(records) {
            all.push(moved(name, serial, *kind));
            history.follow(&all);
        }
        history
    }

    fn back(history: &RollbackHistory, running: &str, steps: usize) -> Option<Digest> {
        history.back(&Digest::of(running.as_bytes()), steps)
    }

    fn is(name: &str) -> Option<Digest> {
        Some(Digest::of(name.as_bytes()))
    }

    #[test]
    fn going_back_twice_goes_further_back() {
        let mut history = history_after(&[("a", Release), ("b", Release), ("c", Release)]);
        assert_eq!(back(&history, "c", 1), is("b"));
        assert_eq!(back(&history, "c", 2), is("a"));
        assert_eq!(back(&history, "c", 3), None);
        history.switch(step("b", 2));
        assert_eq!(back(&history, "b", 1), is("a"));
        history.switch(step("a", 1));
        assert_eq!(back(&history, "a", 1), None, "never forward");
    }

    #[test]
    fn rollback_of_a_node_after_the_channels_goes_further() {
        let records = [
            ("a", Release),
            ("b", Release),
            ("c", Release),
            ("b", Rollback),
        ];
        let history = history_after(&records);
        assert_eq!(back(&history, "b", 1), is("a"));
        let mut more = records.to_vec();
        more.push(("d", Release));
        assert_eq!(back(&history_after(&more), "d", 1), is("b"));
    }

    #[test]
    fn bundle_rolled_back_while_away_is_no_target() {
        // The node ran a, b and c. It was offline until the channel reached d.
        let mut history = history_after(&[("a", Release), ("b", Release), ("c", Release)]);
        history.follow(&[
            moved("a", 1, Release),
            moved("b", 2, Release),
            moved("c", 3, Release),
            moved("b", 4, Rollback),
            moved("d", 5, Release),
        ]);
        assert_eq!(back(&history, "d", 1), is("b"));
    }

    #[test]
    fn rollback_to_an_unknown_bundle_drops_later_ones() {
        // The node began with c. The channel then rolled back to b, which is older.
        let mut history = RollbackHistory::default();
        history.follow(&[moved("c", 3, Release)]);
        history.follow(&[moved("c", 3, Release), moved("b", 4, Rollback)]);
        assert_eq!(back(&history, "b", 1), None);
        let mut history = RollbackHistory::default();
        history.follow(&[moved("a", 1, Release)]);
        history.follow(&[moved("c", 3, Release)]);
        history.follow(&[
            moved("a", 1, Release),
            moved("b", 2, Release),
            moved("c", 3, Release),
            moved("b", 4, Rollback),
        ]);
        assert_eq!(back(&history, "b", 1), is("a"));
    }

    #[test]
    fn operator_at_an_older_bundle_drops_newer_ones() {
        let mut history = history_after(&[("a", Release), ("c", Release), ("d", Release)]);
        // The bundle `older` was released before this node first ran.
        history.switch(step("older", 2));
        assert_eq!(back(&history, "older", 1), is("a"));
        history.switch(step("d", 3));
        assert_eq!(back(&history, "d", 1), is("older"));
    }

    #[test]
    fn pin_adds_no_step_and_history_is_bounded() {
        let history = history_after(&[("a", Release), ("b", Release), ("b", Pin)]);
        assert_eq!(back(&history, "b", 1), is("a"));
        let mut history = RollbackHistory::default();
        for serial in 1..100 {
            history.follow(&[moved(&serial.to_string(), serial, Release)]);
        }
        assert_eq!(history.0.len(), STEPS_MAX);
        assert_eq!(back(&history, "99", 1), is("98"));
    }
}
