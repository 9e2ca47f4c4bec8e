//! State folder and memory of the node: keeps the data that restarts and rollbacks need, and
//! removes other data.
//!
//! Revocations, records and local switches take effect in memory even if the state folder cannot be
//! written. The node then raises an alarm and retries the write (release.md §6).

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

use super::state::RunHistory;
use super::{Control, now};
use crate::node::Version;
use crate::runtime::program_log::{Level, event};

/// Number of newest records whose bundles stay on disk.
const ON_DISK: usize = 20;
/// Minimum age of bundles that are removed from the state folder: 1 hour.
const YOUNG_S: u64 = 3_600;
/// Interval at which unused metric names and listening addresses are dropped: 60s.
const TIDY_MS: u64 = 60_000;

impl Control {
    /// Stores an accepted channel record, in memory and on disk, even if its bundle does not run.
    /// This prevents a replay of older records.
    pub(super) fn remember(&mut self, from: &Folder, accepted: &Accepted) {
        self.accept(accepted);
        self.persist_record(from, accepted);
    }

    /// Stores an accepted channel record in memory.
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

    /// Writes the history of running bundles. Returns true if the state folder then has everything
    /// that a restart needs.
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
                "the state folder cannot be written; after a restart, gwd would use an older state",
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

    /// Detects that the state folder was emptied, replaced, renamed or taken over by another
    /// process, and writes its content again.
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

    /// Checks that the state folder has the newest record, the revocation list and the history that
    /// are in memory.
    fn remembers(&self) -> Result<(), Refused> {
        let layout = &self.state.layout;
        let channel = Chain::Channel(self.plan.channel.clone());
        let record = self.memory.record.map(|pointer| (channel, pointer));
        let list = self.memory.revocations.pointer();
        let list = list.map(|pointer| (Chain::Revocations, pointer));
        let mut whole = self.ran == RunHistory::default() || self.state.has_ran();
        for (chain, pointer) in record.into_iter().chain(list) {
            whole &= layout.link(&chain, pointer.serial)? == Some(pointer.digest);
        }
        if whole {
            return Ok(());
        }
        Err(Refused::StateNotDurable {
            why: format!(
                "files are missing in the state folder `{}`",
                layout.root().display()
            ),
        })
    }

    /// Writes everything that a restart needs: revocation list, newest record, versions in memory,
    /// and history.
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
                // The running version is no longer trusted: do not store it for a restart.
                Err(WriteError::Refused(refused)) if refused.blame() == Blame::Signer => {}
                Err(error) if Some(known.version.bundle()) == running => return Err(error),
                // Ignore other failures: they prevent only a rollback to this version, and that
                // rollback reports the error.
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

    /// Source of the blobs of the state folder. The store is the fallback, because writes to the
    /// state folder may have failed.
    pub(super) fn blobs(&self) -> Behind {
        Behind {
            state: self.state.layout.clone(),
            store: Folder::open(&self.plan.store).ok(),
        }
    }

    /// Copies source artifacts into the state folder. Source artifacts are many times larger than
    /// their bundles and needed only for explanations, so activations do not wait for them.
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
                    "cannot copy the source of a bundle from the store; without the store, explanations of requests (`/v1/explain`) have no source locations",
                    json!({"bundle": accepted.bundle().to_string(), "error": error.to_string()}),
                );
            }
        }
    }

    /// Removes bundles from the state folder, except recent bundles, bundles in the history, and
    /// bundles in memory. Bundles that must not be started are removed at any age.
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

    /// Frees unused data periodically, and soon after the versions in memory have changed.
    pub(super) fn tidy(&mut self) {
        self.node.free_unused_versions();
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

/// State folder, with the store as the fallback, as one source of blobs; see [`Control::blobs`].
pub(super) struct Behind {
    state: Folder,
    store: Option<Folder>,
}

impl Blobs for Behind {
    fn fetch(&self, digest: &Digest, bytes_max: u64) -> Result<Option<Vec<u8>>, Refused> {
        match (self.state.fetch(digest, bytes_max), &self.store) {
            (Ok(Some(bytes)), None) => Ok(Some(bytes)),
            // A copy with another digest is damaged: read the store's copy.
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

/// Converts a failed write to the state folder to a refusal.
pub(super) fn not_durable(error: WriteError) -> Refused {
    match error {
        WriteError::Refused(Refused::StoreUnreachable { why }) => Refused::StateNotDurable { why },
        WriteError::Refused(refused) => refused,
        WriteError::Conflict { serial } => Refused::Forked { serial },
    }
}
