//! Gates: a gate blocks releases with changes of certain classes until these changes are
//! acknowledged.

use super::{Change, Class, Plan, Section};

/// Id of a change for a difference that no rule of the comparison describes. The class of the
/// difference is unknown, so the change trips every gate.
const UNCLASSIFIED: &str = "unclassified";

/// Id of the line for paths that exceed the step limit of the comparison. The uncompared paths may
/// have changes of any class, so the line trips every gate.
pub(crate) const NOT_COMPARED: &str = "paths-not-compared";

/// Id of the line for parts of the new version that were not compared because of errors. These parts
/// may have changes of any class, so the line trips every gate.
pub const LEFT_OUT: &str = "sources-not-compared";

/// Id of the line for a witness that does not show its change. Another line of the plan is then
/// wrong, so this line trips every gate.
pub(crate) const SELF_CHECK: &str = "self-check-failed";

impl Plan {
    /// Gates that the plan trips, each with the fingerprints of its unacknowledged changes.
    #[must_use]
    pub fn tripped(&self, gates: &[String], acknowledged: &[String]) -> Vec<(String, Vec<String>)> {
        let tripped = gates.iter().map(|gate| {
            let by = self
                .changes
                .iter()
                .filter(|change| change.trips(gate) && !acknowledged.contains(&change.fingerprint));
            (
                gate.clone(),
                by.map(|change| change.fingerprint.clone())
                    .collect::<Vec<_>>(),
            )
        });
        tripped.filter(|(_, by)| !by.is_empty()).collect()
    }
}

impl Change {
    /// True if the change, or a change that its line summarises, trips the gate.
    pub(crate) fn trips(&self, gate: &str) -> bool {
        let has_summarised_trip = || self.stands_for.iter().any(|class| class.trips(gate));
        let is_expected = self.is_retired && gate == "break";
        self.class.trips(gate) && !is_expected
            || has_summarised_trip()
            || [UNCLASSIFIED, NOT_COMPARED, LEFT_OUT, SELF_CHECK].contains(&self.id)
            || gate == model::rules::GATE && self.section == Section::Rules
    }
}

impl Class {
    /// True if changes of this class trip the gate.
    pub fn trips(self, gate: &str) -> bool {
        match gate {
            "weaken" => matches!(self, Self::Weaken | Self::Incomparable),
            "expose" => self == Self::Expose,
            "grant" => self == Self::Grant,
            "relax" => self == Self::Relax,
            "break" => matches!(self, Self::Break | Self::Removed),
            "remove" => self == Self::Removed,
            "move" => self == Self::Moved,
            model::rules::GATE => self == Self::Rules,
            _ => false,
        }
    }
}
