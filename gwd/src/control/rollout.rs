//! Progressive release: whether this node runs the bundle of the channel's head, or that of the
//! head's base (release.md §6).

use bundle::channel::Accepted;
use bundle::digest::Digest;
use bundle::follow;
use bundle::refused::Refused;
use bundle::statement::predicate::Rollout;

use super::Control;
use super::reverify::is_verdict;
use super::share::NodeRollout;

impl Control {
    /// Record that this node follows: the head or the head's base. The node follows the base if it
    /// is outside the share of a progressive release. It also follows the base if it serves only a
    /// share of its requests with the head's bundle. A node changes to the other record if the
    /// bundle of its own record is revoked or withdrawn.
    ///
    /// # Errors
    /// The reason why the base cannot be used, if the node needs it.
    pub(super) fn followed_record(&mut self, head: &Accepted) -> Result<Accepted, Refused> {
        let Some(rollout) = head.record().rollout.clone() else {
            self.rollout = None;
            return Ok(head.clone());
        };
        let before = self.rollout.take();
        let base = match Self::known_base(before.as_ref(), head) {
            Some(base) => Ok(base),
            None => self.verified_base(head),
        };
        self.set_rollout(head, rollout, base, before.as_ref())
    }

    /// Verifies the base again, after the trust file or the head of this node has changed without a
    /// read of the store. A base that was verified before is dropped only if its verification
    /// fails, and not if the store cannot be read.
    pub(super) fn reverify_rollout(&mut self) {
        let before = self.rollout.take();
        let Some(head) = self.head.clone() else {
            return;
        };
        let Some(rollout) = head.record().rollout.clone() else {
            return;
        };
        let base = match self.verified_base(&head) {
            Err(refused) if !is_verdict(&refused) => {
                let known = Self::known_base(before.as_ref(), &head);
                known.ok_or(refused)
            }
            base => base,
        };
        let _followed = self.set_rollout(&head, rollout, base, before.as_ref());
    }

    /// Base record of a progressive release, if it was verified before for the same head of the
    /// channel.
    fn known_base(before: Option<&NodeRollout>, head: &Accepted) -> Option<Accepted> {
        let known = before.filter(|known| known.head == head.pointer())?;
        known.base.clone().ok()
    }

    fn verified_base(&self, head: &Accepted) -> Result<Accepted, Refused> {
        let base = follow::rollout_base(&self.blobs(), &self.context(), head)?;
        Ok(base.expect("the head has a step"))
    }

    /// Sets the place of this node in a progressive release. Returns the record that the node
    /// follows.
    fn set_rollout(
        &mut self,
        head: &Accepted,
        rollout: Rollout,
        base: Result<Accepted, Refused>,
        before: Option<&NodeRollout>,
    ) -> Result<Accepted, Refused> {
        let belongs = rollout.includes(&self.node.shared.node, &head.bundle());
        // A node that serves both versions follows the base; the head's bundle serves beside it.
        let runs_head = belongs && !rollout.splits_requests();
        let followed = match (&base, runs_head) {
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
