//! Progressive release: whether this node runs the bundle of the channel's head, or that of the
//! head's base (release.md §6).

use bundle::channel::Accepted;
use bundle::digest::Digest;
use bundle::follow;
use bundle::refused::Refused;
use bundle::rollout::percent;
use bundle::statement::predicate::{Pointer, Rollout};
use serde_json::{Value, json};

use super::Control;
use crate::runtime::program_log::{Level, event};

/// Progressive release that the channel's head describes, as it concerns this node.
#[derive(Clone, Debug)]
pub(super) struct NodeRollout {
    /// Record of the head.
    head: Pointer,
    /// Bundle of the head.
    candidate: Digest,
    rollout: Rollout,
    /// True if this node belongs to the share that runs the candidate.
    belongs: bool,
    /// Verified base of the head, or the reason why it cannot be used.
    base: Result<Accepted, Refused>,
    /// Bundle that this node follows. `None`: the base cannot be used, and the node needs it.
    follows: Option<Digest>,
}

impl Control {
    /// Record that this node follows: the head, or the head's base if the node is outside of the
    /// share of a progressive release. A node changes to the other record if the bundle of its own
    /// record is revoked or withdrawn.
    ///
    /// # Errors
    /// The reason why the base cannot be used, if the node is outside of the share.
    pub(super) fn followed_record(&mut self, head: &Accepted) -> Result<Accepted, Refused> {
        let Some(rollout) = head.record().rollout.clone() else {
            self.rollout = None;
            return Ok(head.clone());
        };
        let before = self.rollout.take();
        let known = before
            .as_ref()
            .filter(|known| known.head == head.pointer())
            .and_then(|known| known.base.clone().ok());
        let base = match known {
            Some(base) => Ok(base),
            None => follow::rollout_base(&self.blobs(), &self.context(), head)
                .map(|base| base.expect("the head has a step")),
        };
        let belongs = rollout.includes(&self.node.shared.node, &head.bundle());
        let followed = match (&base, belongs) {
            (Ok(base), true) if self.must_leave(head, base) => Ok(base.clone()),
            (Ok(base), false) if !self.must_leave(base, head) => Ok(base.clone()),
            (_, true) | (Ok(_), false) => Ok(head.clone()),
            (Err(refused), false) => Err(refused.clone()),
        };
        if let (Err(Refused::BlobMissing { .. }), Some(replica)) = (&base, &self.replica) {
            replica.want(rollout.base.digest);
        }
        let node = NodeRollout {
            head: head.pointer(),
            candidate: head.bundle(),
            rollout,
            belongs,
            follows: followed.as_ref().ok().map(Accepted::bundle),
            base,
        };
        if before.is_none_or(|before| before.decision() != node.decision()) {
            node.log();
        }
        self.rollout = Some(node);
        followed
    }

    /// True if the bundle of `own` must not be started and the bundle of `other` may be started.
    fn must_leave(&self, own: &Accepted, other: &Accepted) -> bool {
        self.banned(&own.bundle()).is_some() && self.banned(&other.bundle()).is_none()
    }

    /// Bundle that this node follows: that of the channel's head or of its base. `None`: no record
    /// was accepted yet, or the base is needed and cannot be used.
    pub(super) fn followed_bundle(&self) -> Option<Digest> {
        match &self.rollout {
            Some(rollout) => rollout.follows,
            None => self.head.as_ref().map(Accepted::bundle),
        }
    }
}

impl NodeRollout {
    /// Values whose change is logged.
    fn decision(&self) -> (Pointer, Option<Digest>) {
        (self.head, self.follows)
    }

    fn log(&self) {
        let (level, message) = match (self.follows, self.belongs) {
            (None, _) => (
                Level::Error,
                "this node is outside of the share of a progressive release, and the base cannot \
                 be used; the current version keeps serving",
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

    /// Part of the status.
    pub(super) fn json(&self) -> Value {
        let base = self.base.as_ref().ok();
        json!({
            "step": self.rollout.step,
            "of": self.rollout.of(),
            "nodes": percent(self.rollout.nodes_ppm()),
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
