//! Progressive release: whether this node runs the bundle of the channel's head, or that of the
//! head's base (release.md §6).

use bundle::channel::Accepted;
use bundle::digest::Digest;
use bundle::follow;
use bundle::refused::Refused;

use super::Control;
use super::share::NodeRollout;

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
