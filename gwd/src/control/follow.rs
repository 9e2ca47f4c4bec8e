//! Following the channel: reads the channel's head from the store and decides whether to act on it
//! (release.md §5, §6).

use bundle::follow;
use bundle::refused::{Blame, Refused};
use bundle::store::folder::Folder;
use serde_json::json;

use super::{Control, Replica, advice};
use crate::runtime::program_log::{Level, event};

impl Control {
    /// Rereads the trust file, the secrets and the store, and follows the channel.
    pub(super) fn poll_store(&mut self) {
        let began_ms = self.now_ms();
        self.schedule.begin();
        self.node.registry.bundles().polls += 1;
        self.reload_trust();
        self.refresh_secrets();
        if let Some(watcher) = &mut self.watcher {
            watcher.refresh(&self.secrets.folders());
        }
        match self.follow() {
            Ok(()) => {
                self.alarm("channel-forked", false);
                self.alarm("channel-replayed", false);
                let shown = self.last_error.as_ref();
                if self.logged.store.take().is_some() && shown.is_some_and(|e| e.bundle.is_none()) {
                    self.last_error = None;
                    event(
                        Level::Info,
                        "the channel can be followed again",
                        json!({"channel": self.plan.channel.as_str()}),
                    );
                }
            }
            Err(refused) => self.cannot_follow(refused),
        }
        self.check_expiry();
        self.update_status();
        // The interval until the next read begins at the end of this read.
        self.polled_at_ms = self.now_ms();
        self.schedule.end(began_ms, self.polled_at_ms);
    }

    pub(super) fn cannot_follow(&mut self, refused: Refused) {
        // If the store could not be read, leave the alarms unchanged: their conditions are then
        // unknown.
        let replayed = refused.reason() == "replayed";
        if replayed || refused.blame() != Blame::Store {
            let forked = matches!(refused, Refused::Forked { .. });
            self.alarm("channel-forked", forked);
            self.alarm("channel-replayed", replayed);
        }
        if self.logged.store.as_ref() == Some(&refused) {
            // The last error may be cleared although the registry is unreachable, because a read of
            // the registry's copy can succeed.
            if self.last_error.is_none() {
                self.note_error(None, &refused);
            }
            return;
        }
        event(
            Level::Error,
            "the channel cannot be followed; the current version keeps serving",
            json!({
                "channel": self.plan.channel.as_str(),
                "reason": refused.reason(),
                "error": refused.to_string(),
                "do": advice(&refused),
            }),
        );
        self.count_activation("failed", &refused.reason());
        self.note_error(None, &refused);
        self.logged.store = Some(refused);
    }

    /// Reads the revocations and the channel's head from the store, and applies them. For a
    /// registry, reads the copy, and fails afterwards if the last update of the copy has failed.
    pub(super) fn follow(&mut self) -> Result<(), Refused> {
        let followed = self.follow_store();
        self.follow_candidate();
        let failed = self.replica.as_ref().and_then(Replica::error);
        followed.and(failed.map_or(Ok(()), Err))
    }

    fn follow_store(&mut self) -> Result<(), Refused> {
        self.run_bundle_on_hold();
        let store = Folder::open(&self.plan.store)?;
        self.follow_revocations(&store);
        let mut passed = std::mem::take(&mut self.passed);
        let head = follow::head_past(&store, &self.context(), &self.memory, &mut passed);
        self.passed = passed;
        let Some(head) = head? else {
            return Ok(());
        };
        let accepted = head.accepted;
        self.take_revocations(&store, accepted.revocations());
        let news = self.memory.record != Some(accepted.pointer());
        self.head = Some(accepted.clone());
        self.drop_banned();
        let followed = match self.followed_record(&accepted) {
            Ok(followed) => followed,
            Err(refused) => {
                if news {
                    self.remember(&store, &accepted);
                }
                return Err(refused);
            }
        };
        let bundle = followed.bundle();
        if self.is_blocked_by_hold(&followed) {
            self.refusals
                .await_only(&self.awaited_hold().into_iter().collect());
            if news {
                self.remember(&store, &accepted);
            }
            self.log_hold(&accepted);
            return Ok(());
        }
        if self.running.is_some_and(|running| running.bundle == bundle) {
            let candidate = self.awaited_candidate();
            self.refusals.await_only(&candidate.into_iter().collect());
            // The channel names the running bundle: earlier errors are obsolete, except that of a
            // candidate that is tried again.
            let failed = self.last_error.as_ref().and_then(|error| error.bundle);
            if failed.is_none() || failed != candidate {
                self.last_error = None;
            }
            if news {
                self.renew(&store, &followed, &accepted);
            }
            if !self.holds_candidate() {
                self.end_hold("the channel names the running bundle");
            }
            return Ok(());
        }
        let awaited = self.awaited_hold();
        self.refusals
            .await_only(&awaited.into_iter().chain([bundle]).collect());
        let record = followed.pointer().digest;
        self.refusals.forget_other_record(&bundle, record);
        if self.refusals.waits(&bundle, self.now_ms()) {
            return Ok(());
        }
        // The sum over all requests takes time, so it is computed only for a guard.
        let rollout = accepted.record().rollout.as_ref();
        let has_guard = rollout.is_some_and(|rollout| rollout.guard.is_some());
        let before = has_guard.then(|| self.requests_before());
        let was = self.running.map(|running| running.bundle);
        match self.activate(&store, &followed, &accepted) {
            Ok(()) => self.begin_guard(&accepted, (was, &before.unwrap_or_default())),
            Err(refused) => {
                self.refuse(&followed, &refused);
                if self.memory.record != Some(accepted.pointer()) {
                    self.remember(&store, &accepted);
                }
            }
        }
        Ok(())
    }

    /// Raises an alarm if the channel's head has expired and was not renewed. Serving continues.
    pub(super) fn check_expiry(&mut self) {
        let ends = self.head.as_ref().and_then(|head| head.record().expires);
        let now = self.context().now;
        self.alarm("record-expired", ends.is_some_and(|at| at <= now));
    }
}
