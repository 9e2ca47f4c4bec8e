//! Retention for restarts and rollbacks, and clean-up of the rest: in the state folder and in
//! memory.
//!
//! Revocations, records and break-glass act in memory even where the state folder cannot be
//! written; then the node says so and tries again (release.md §6).

use bundle::channel::Accepted;
use bundle::digest::Digest;
use bundle::follow;
use bundle::ir::provides;
use bundle::moment::Moment;
use bundle::refused::{Blame, Refused};
use bundle::revocation::Revocations;
use bundle::store::folder::Folder;
use bundle::store::{Blobs, Chain, Store as _, WriteError};
use bundle::sweep;
use serde_json::json;

use super::state::Ran;
use super::{Control, now};
use crate::node::Version;
use crate::program_log::{Level, event};

/// Records whose bundles stay on disk.
const ON_DISK: usize = 20;
/// Bundles younger than this stay, too.
const YOUNG_S: u64 = 3_600;
/// Interval at which unused names and addresses are dropped: 60s.
const TIDY_MS: u64 = 60_000;

impl Control {
    /// Remembers an accepted record even if its bundle does not run, so that an older record cannot
    /// come back.
    pub(super) fn remember(&mut self, from: &Folder, accepted: &Accepted) {
        self.accept(accepted);
        self.persist_record(from, accepted);
    }

    /// Remembers it in memory.
    pub(super) fn accept(&mut self, accepted: &Accepted) {
        let created = self.memory.created;
        let earlier = self.memory.record;
        self.revocations_protected |=
            earlier.is_some_and(|known| known.serial < accepted.pointer().serial);
        self.memory = accepted.memory();
        self.memory.created = self.memory.created.max(created);
    }

    pub(super) fn persist_record(&mut self, from: &Folder, accepted: &Accepted) {
        let kept = self.state.check().map_err(WriteError::from);
        let kept = kept.and_then(|()| follow::keep_record(from, &self.state.layout, accepted));
        self.note_kept(kept);
    }

    pub(super) fn persist_list(&mut self, from: &Folder, list: &Revocations) {
        let kept = self.state.check().map_err(WriteError::from);
        let kept = kept.and_then(|()| follow::keep_list(from, &self.state.layout, list));
        self.note_kept(kept);
    }

    /// Writes what ran. Tells whether a restart would know all that is remembered.
    pub(super) fn persist_ran(&mut self) -> bool {
        let kept = self.state.write(&self.ran);
        let fine = kept.is_ok();
        self.note_kept(kept.map_err(WriteError::Refused));
        if fine {
            self.alarm("state-damaged", false);
        }
        self.durable
    }

    fn note_kept(&mut self, kept: Result<(), WriteError>) {
        let Err(error) = kept else { return };
        if self.durable {
            event(
                Level::Error,
                "the state folder cannot be written; a restart would not know what is in force now",
                json!({
                    "reason": "state-not-durable",
                    "error": error.to_string(),
                    "do": "make the state folder writable and give it space; gwd tries again",
                }),
            );
        }
        self.durable = false;
        self.alarm("state-not-durable", true);
    }

    /// Notices that the state folder is not what it was: emptied, replaced, renamed, taken by
    /// another process. Then all that is remembered is written again.
    pub(super) fn check_state(&mut self) {
        if self.durable {
            let kept = self.state.check().and_then(|()| self.remembers());
            self.note_kept(kept.map_err(WriteError::Refused));
        }
        if !self.durable && self.keep_all().is_ok() {
            self.durable = true;
            self.alarm("state-not-durable", false);
            self.alarm("state-damaged", false);
        }
    }

    /// Checks that the state folder has what a restart needs.
    fn remembers(&self) -> Result<(), Refused> {
        let layout = &self.state.layout;
        let channel = Chain::Channel(self.plan.channel.clone());
        let record = self.memory.record.map(|pointer| (channel, pointer));
        let list = self.memory.revocations.pointer();
        let list = list.map(|pointer| (Chain::Revocations, pointer));
        let mut whole = self.ran == Ran::default() || self.state.has_ran();
        for (chain, pointer) in record.into_iter().chain(list) {
            whole &= layout.link(&chain, pointer.serial)? == Some(pointer.digest);
        }
        if whole {
            return Ok(());
        }
        Err(Refused::StateNotDurable {
            why: format!("`{}` has lost what was kept there", layout.root().display()),
        })
    }

    /// Writes all that is remembered: list, newest record, versions in memory, what ran.
    fn keep_all(&mut self) -> Result<(), WriteError> {
        if self.state.check().is_err() {
            self.state.retake()?;
        }
        let layout = self.state.layout.clone();
        let blobs = self.blobs();
        follow::keep_list(&blobs, &layout, &self.memory.revocations)?;
        if let Some(head) = &self.head
            && self.memory.record == Some(head.pointer())
        {
            follow::keep_record(&blobs, &layout, head)?;
        }
        let running = self.running.map(|running| running.bundle);
        for known in &self.residents {
            let kept = self.keep_bundle(&blobs, &known.accepted);
            match kept {
                // What runs and may not be started again is not for a restart.
                Err(WriteError::Refused(refused)) if refused.blame() == Blame::Signer => {}
                Err(error) if Some(known.version.bundle()) == running => return Err(error),
                // Without the others the node is poorer by a way back; that they are not there
                // is told by whoever wants one.
                Ok(()) | Err(_) => {}
            }
        }
        self.state.write(&self.ran)?;
        Ok(self.remembers()?)
    }

    fn keep_bundle(&self, blobs: &Behind, accepted: &Accepted) -> Result<(), WriteError> {
        let verified = follow::bundle(blobs, &self.context(), accepted, provides())?;
        follow::keep(blobs, &self.state.layout, accepted, &verified)
    }

    /// The state folder's blobs, and behind them the store's: what is remembered may not have
    /// been kept.
    pub(super) fn blobs(&self) -> Behind {
        Behind {
            state: self.state.layout.clone(),
            store: Folder::open(&self.plan.store).ok(),
        }
    }

    /// Copies source artifacts into the state folder. They are many times what gwd runs and only
    /// explain it, so nobody waits for them.
    pub(super) fn keep_sources(&mut self) {
        if self.sources_due.is_empty() || self.state.check().is_err() {
            return;
        }
        let due = std::mem::take(&mut self.sources_due);
        let Ok(store) = Folder::open(&self.plan.store) else {
            return;
        };
        for accepted in due {
            if let Err(error) = follow::keep_source(&store, &self.state.layout, &accepted) {
                event(
                    Level::Warn,
                    "a bundle's source cannot be kept; without the store, explanations have no places in the source",
                    json!({"bundle": accepted.bundle().to_string(), "error": error.to_string()}),
                );
            }
        }
    }

    /// Drops bundles from the state folder that nobody can want (neither recent nor running nor
    /// resident), and at once those that must not be started.
    pub(super) fn clean_up(&self) {
        let layout = &self.state.layout;
        let banned = self.all_banned();
        let dropped = sweep::retained(layout, ON_DISK).and_then(|mut kept| {
            kept.extend(self.ran.ran.iter());
            kept.extend(self.residents.iter().map(|known| known.version.bundle()));
            let mut young_since = Moment::from_unix_s(now().unix_s().saturating_sub(YOUNG_S));
            for bundle in &banned {
                kept.remove(bundle);
                if layout.size(bundle)?.is_some() {
                    young_since = Moment::MAX;
                }
            }
            let garbage = sweep::garbage(layout, &kept, young_since)?;
            sweep::remove(layout, &garbage)?;
            Ok(garbage.len())
        });
        if let Err(refused) = dropped {
            event(
                Level::Warn,
                "the state folder cannot be cleaned up; it grows",
                json!({"error": refused.to_string()}),
            );
        }
    }

    /// Soon after the versions in memory have changed, and now and then.
    pub(super) fn tidy(&mut self) {
        self.node.empty_bin();
        let now_ms = self.now_ms();
        if now_ms < self.tidy_at_ms {
            return;
        }
        self.tidy_at_ms = now_ms + TIDY_MS;
        let versions: Vec<Version> = self
            .residents
            .iter()
            .map(|known| known.version.clone())
            .collect();
        self.node.tidy(&versions);
    }
}

/// Two folders as one; see [`Control::blobs`].
pub(super) struct Behind {
    state: Folder,
    store: Option<Folder>,
}

impl Blobs for Behind {
    fn fetch(&self, digest: &Digest, bytes_max: u64) -> Result<Option<Vec<u8>>, Refused> {
        match (self.state.fetch(digest, bytes_max), &self.store) {
            (Ok(Some(bytes)), None) => Ok(Some(bytes)),
            // A damaged copy is not what was asked for.
            (Ok(Some(bytes)), Some(_)) if Digest::of(&bytes) == *digest => Ok(Some(bytes)),
            (_, Some(store)) => store.fetch(digest, bytes_max),
            (other, None) => other,
        }
    }

    fn size(&self, digest: &Digest) -> Result<Option<u64>, Refused> {
        match (self.state.size(digest), &self.store) {
            (Ok(None) | Err(_), Some(store)) => store.size(digest),
            (other, _) => other,
        }
    }
}

/// Refusal for a failed write to the state folder.
pub(super) fn not_durable(error: WriteError) -> Refused {
    match error {
        WriteError::Refused(Refused::StoreUnreachable { why }) => Refused::StateNotDurable { why },
        WriteError::Refused(refused) => refused,
        WriteError::Conflict { serial } => Refused::Forked { serial },
    }
}
