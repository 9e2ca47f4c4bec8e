//! Following the channel: what the store's head says, and whether it is acted upon
//! (release.md §5, §6).

use bundle::channel::{Accepted, Context};
use bundle::follow;
use bundle::refused::Refused;
use bundle::store::folder::Folder;
use serde_json::json;

use super::{Control, advice, now};
use crate::telemetry::program::{Level, event};

impl Control {
    /// Looks at the trust file and the store, and follows the channel.
    pub(super) fn look(&mut self) {
        self.reload_trust();
        if let Some(watcher) = &mut self.watcher {
            watcher.refresh();
        }
        match self.follow() {
            Ok(()) => {
                let told = self.last_error.as_ref();
                if self.store_error.take().is_some() && told.is_some_and(|e| e.bundle.is_none()) {
                    self.last_error = None;
                }
            }
            Err(refused) => self.cannot_follow(refused),
        }
        self.update_status();
    }

    pub(super) fn cannot_follow(&mut self, refused: Refused) {
        if self.store_error.as_ref() == Some(&refused) {
            return;
        }
        event(
            Level::Error,
            "the channel cannot be followed; what runs goes on running",
            json!({
                "channel": self.plan.channel.as_str(),
                "reason": refused.reason(),
                "error": refused.to_string(),
                "do": advice(&refused),
            }),
        );
        self.count_activation("failed", &refused.reason());
        self.note_error(None, &refused);
        self.store_error = Some(refused);
    }

    /// What the store's head says, acted upon.
    pub(super) fn follow(&mut self) -> Result<(), Refused> {
        let store = Folder::open(&self.plan.store)?;
        let context = Context {
            trust: &self.trust,
            channel: &self.plan.channel,
            now: now(),
        };
        let Some(head) = follow::head(&store, &context, &self.memory)? else {
            return Ok(());
        };
        if let Some(refused) = &head.revocations_refused {
            event(
                Level::Warn,
                "the store's newest revocation list is not taken; the known one stays in force",
                json!({"reason": refused.reason(), "error": refused.to_string()}),
            );
        }
        let accepted = head.accepted;
        self.take_revocations(&store, &accepted);
        self.drop_withdrawn(&accepted);
        let news = self.memory.record != Some(accepted.pointer());
        self.head = Some(accepted.clone());
        let bundle = accepted.bundle();
        if self.is_held(&accepted) {
            if news {
                self.remember(&store, &accepted);
                event(
                    Level::Warn,
                    "the channel moved, but this node is held; `gwd resume` ends that",
                    json!({"head": bundle.to_string(), "serial": accepted.pointer().serial}),
                );
            }
            return Ok(());
        }
        if self.running.is_some_and(|running| running.bundle == bundle) {
            if news {
                self.renew(&store, &accepted);
            }
            return Ok(());
        }
        if self.refusals.waits(&bundle, self.now_ms()) {
            return Ok(());
        }
        if let Err(refused) = self.activate(&store, &accepted) {
            self.refuse(bundle, &refused);
            self.remember(&store, &accepted);
        }
        Ok(())
    }

    /// Whether an operator's hold stands against this record.
    fn is_held(&self, accepted: &Accepted) -> bool {
        let hold = self.ran.hold.as_ref();
        hold.is_some_and(|hold| hold.sticky || hold.from == accepted.bundle())
    }
}
