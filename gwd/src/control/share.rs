//! Place of this node in a progressive release: its share, the base, and the bundle that this node
//! follows.

use bundle::channel::Accepted;
use bundle::digest::Digest;
use bundle::refused::Refused;
use bundle::rollout::percent;
use bundle::statement::predicate::{Pointer, Rollout};
use serde_json::{Value, json};

use crate::metrics::registry::totals::ServedTotals;
use crate::runtime::program_log::{Level, event};

/// Progressive release that the channel's head describes, as it concerns this node.
#[derive(Clone, Debug)]
pub(super) struct NodeRollout {
    /// Record of the head.
    pub(super) head: Pointer,
    /// Bundle of the head.
    pub(super) candidate: Digest,
    pub(super) rollout: Rollout,
    /// True if this node belongs to the share that runs the candidate, for all of its requests or
    /// for a share of them.
    pub(super) belongs: bool,
    /// Verified base of the head, or the reason why it cannot be used.
    pub(super) base: Result<Accepted, Refused>,
    /// Bundle that this node follows. `None`: the base cannot be used, and the node needs it.
    pub(super) follows: Option<Digest>,
}

/// Candidate that serves a share of the requests.
#[derive(Debug)]
pub(super) struct Beside {
    pub(super) candidate: Digest,
    /// Record with the current step.
    pub(super) head: Pointer,
    /// Counters when the candidate began to serve requests.
    pub(super) before: ServedTotals,
}

impl NodeRollout {
    /// Head and followed bundle. The node logs a change of this pair.
    pub(super) fn decision(&self) -> (Pointer, Option<Digest>) {
        (self.head, self.follows)
    }

    /// True if this node serves or decides a share of its requests with the candidate, and follows
    /// the base, which serves the others.
    pub(super) fn serves_two(&self) -> bool {
        let base = self.base_bundle();
        let has_two = base.is_some() && self.follows == base && base != Some(self.candidate);
        self.belongs && self.rollout.splits_requests() && has_two
    }

    pub(super) fn log(&self) {
        let (level, message) = match (self.follows, self.belongs) {
            (None, true) => (
                Level::Error,
                "this node belongs to the share of a progressive release, and the base cannot be \
                 used for its other requests; the current version keeps serving",
            ),
            (None, false) => (
                Level::Error,
                "this node is outside of the share of a progressive release, and the base cannot \
                 be used; the current version keeps serving",
            ),
            (Some(_), true) if self.serves_two() && self.rollout.is_shadow() => (
                Level::Info,
                "this node belongs to the share of a progressive release; the channel's head \
                 decides a share of its requests too, and serves none",
            ),
            (Some(_), true) if self.serves_two() => (
                Level::Info,
                "this node belongs to the share of a progressive release; it serves a share of its \
                 requests with the channel's head",
            ),
            (Some(follows), true) if follows != self.candidate => (
                Level::Warn,
                "the bundle of a progressive release is revoked or withdrawn; this node follows \
                 the base",
            ),
            (Some(_), true) => (
                Level::Info,
                "this node belongs to the share of a progressive release; it follows the \
                 channel's head",
            ),
            (Some(follows), false) if follows == self.candidate => (
                Level::Warn,
                "the base of a progressive release is revoked or withdrawn; this node follows the \
                 channel's head",
            ),
            (Some(_), false) => (
                Level::Info,
                "this node is outside of the share of a progressive release; it follows the base",
            ),
        };
        let mut values = self.json();
        values["serial"] = self.head.serial.into();
        values["follows"] = json!(self.follows.map(|bundle| bundle.to_string()));
        event(level, message, values);
    }

    /// Bundle of the base. `None`: the base cannot be used.
    pub(super) fn base_bundle(&self) -> Option<Digest> {
        self.base.as_ref().ok().map(Accepted::bundle)
    }

    /// Progressive release as JSON, for the status of this node.
    pub(super) fn json(&self) -> Value {
        let base = self.base.as_ref().ok();
        json!({
            "step": self.rollout.step,
            "of": self.rollout.of(),
            "nodes": percent(self.rollout.nodes_ppm()),
            "traffic": percent(self.rollout.traffic_ppm()),
            "shadow": self.rollout.is_shadow().then(|| percent(self.rollout.shadow_ppm())),
            "belongs": self.belongs,
            "base": base.map(|base| base.bundle().to_string()),
            "base_serial": self.rollout.base.serial,
            "base_refused": self.base.as_ref().err().map(Refused::reason),
            "candidate": self.candidate.to_string(),
        })
    }

    /// Labels and value of the metric `gwd_release_step`: the number of steps, true if this node
    /// belongs to the share, and the current step.
    pub(super) fn metric(&self) -> (usize, bool, u32) {
        (self.rollout.of(), self.belongs, self.rollout.step)
    }
}
