//! Counters of limits that restart at a release, so that each caller can use the whole limit again.

use policy::Checked;

use crate::Class;

/// Id of a line about restarted counters.
pub(super) const RESTARTED: &str = "policy-restarted";

/// Maximum recovery time of a limit, in milliseconds, up to which a restart of its counter does not
/// count as `relax`. A caller could instead wait for the recovery.
const SHORT_MS: u64 = 60_000;

/// Class of a restart of a policy's counters. A restart of daily or monthly limits admits more
/// requests (`relax`); a restart of a limit that recovers within [`SHORT_MS`] has the class
/// `changed`.
pub(super) fn class(checked: &Checked) -> Class {
    match checked.recovery_ms() > SHORT_MS {
        true => Class::Relax,
        false => Class::Changed,
    }
}
