//! Settings of a channel in the trust file: minimum serials, and the approvals that a change of the
//! channel needs.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// Maximum number of owners that must approve a change of a channel.
pub const APPROVALS_MAX: u32 = 16;

/// Minimum serials of a channel, set by `gwc trust floor`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Floors {
    /// Minimum serial of a record. Default: 0.
    pub min_serial: u64,
    /// Minimum serial of a revocation list. Default: 0.
    pub min_revocations: u64,
}

/// Approvals that each new bundle of a channel needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApprovalRule {
    /// Minimum number of different owners: the larger one of `approvals` and `thresholds.approve`.
    pub owners: u32,
    /// Newest record that needs no approvals (`approvals_after`). The records before it need none
    /// either. `None`: all records need approvals.
    pub after: Option<Digest>,
}

/// Entry of `channels` in the trust file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChannelSettings {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) min_serial: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) min_revocations: Option<u64>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) approvals: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) approvals_after: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) accepted_until: Option<Digest>,
}

impl ChannelSettings {
    pub(super) fn floors(&self) -> Floors {
        Floors {
            min_serial: self.min_serial.unwrap_or(0),
            min_revocations: self.min_revocations.unwrap_or(0),
        }
    }

    /// True if the entry sets a minimum serial, or requires no approvals.
    pub(super) const fn has_floors(&self) -> bool {
        self.approvals == 0 || self.min_serial.is_some() || self.min_revocations.is_some()
    }

    /// Reason why the approvals are not valid.
    pub(super) const fn fault(&self) -> Option<&'static str> {
        if self.approvals > APPROVALS_MAX {
            return Some("`approvals` must be at most 16");
        }
        if self.approvals == 0 && self.approvals_after.is_some() {
            return Some("`approvals_after` has no effect without `approvals`");
        }
        None
    }
}

/// Leaves out `approvals: 0`, so that trust files without approvals remain equal byte for byte.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}
