//! Reloading the trust file and verifying accepted records again (release.md §4, §5, §6).

use std::collections::BTreeSet;

use bundle::channel::{self, Accepted, Context, Memory};
use bundle::digest::Digest;
use bundle::follow::{self, SkippedRecords};
use bundle::ir::provides;
use bundle::refused::{Blame, Refused};
use bundle::revocation::{self, Revocations};
use bundle::statement::predicate::Pointer;
use bundle::trust::Trust;
use serde_json::json;

use super::{Control, KEPT_MAX, TRUST_BYTES_MAX, TrustSource};
use crate::runtime::files::read_file;
use crate::runtime::program_log::{Audit, Level, OK, event};

impl Control {
    /// Reloads the trust file. If the file cannot be read, the previous trust stays in force.
    pub(super) fn reload_trust(&mut self) {
        let TrustSource::File(path) = &self.plan.trust else {
            return;
        };
        let Ok(bytes) = read_file(path, TRUST_BYTES_MAX) else {
            return self.alarm("trust-unreadable", true);
        };
        if bytes == self.trust_bytes {
            self.logged.trust = None;
            self.alarm("trust-unreadable", false);
            if self.reverify_due {
                self.reverify_statements();
            }
            return;
        }
        let file = path.display().to_string();
        let fresh = Digest::of(&bytes);
        let audit = Audit {
            what: "trust",
            who: &file,
            from: Some(Digest::of(&self.trust_bytes).to_string()),
            to: Some(fresh.to_string()),
            why: None,
            result: OK,
        };
        match Trust::parse(&bytes) {
            Err(refused) if self.logged.trust != Some(fresh) => {
                let result = &*refused.reason();
                Audit { result, ..audit }.write(
                    "the changed trust file cannot be used; the previous one stays in force",
                    json!({"error": refused.to_string()}),
                );
                self.logged.trust = Some(fresh);
                self.alarm("trust-unreadable", true);
            }
            Err(_) => self.alarm("trust-unreadable", true),
            Ok(trust) => {
                audit.write("the trust file was read again", json!({}));
                self.logged.trust = None;
                self.logged.store = None;
                self.alarm("trust-unreadable", false);
                let floors = trust.floors(&self.plan.channel);
                self.replay_protected |= floors.min_serial > 0;
                self.revocations_protected |= trust.has_floors(&self.plan.channel);
                self.trust = trust;
                self.trust_bytes = bytes;
                self.refusals.forget_all();
                self.reverify_statements();
            }
        }
    }

    /// Verifies accepted statements again after the trust file has changed. If the running version
    /// is no longer trusted, it keeps serving and an alarm is raised. Other versions that are no
    /// longer trusted are dropped.
    pub(super) fn reverify_statements(&mut self) {
        self.passed = SkippedRecords::default();
        match self.verified_memory() {
            Ok(memory) => {
                self.reverify_due = false;
                self.memory = memory;
            }
            Err(refused) => {
                if !self.reverify_due {
                    event(
                        Level::Error,
                        "the state folder cannot be read; its records are verified again once it can be read",
                        json!({"error": refused.to_string()}),
                    );
                }
                self.reverify_due = true;
            }
        }
        self.head = self.remembered_head();
        self.reverify_rollout();
        self.apply_revocations();
        self.reverify_loaded_versions();
    }

    /// Verifies the remembered records and revocations with the current keys. After a failed write,
    /// memory can have newer items than the state folder. Such an item is dropped only if it can be
    /// read and its verification fails.
    fn verified_memory(&self) -> Result<Memory, Refused> {
        let layout = &self.state.layout;
        let blobs = self.blobs();
        let context = self.context();
        let lists = self.verified_lists(&context)?;
        let mut memory = follow::remember_under(layout, &context, lists)?;
        memory.require_serial(self.lost_record);
        let known = memory.record.map_or(0, |pointer| pointer.serial);
        let ahead = self.memory.record.filter(|ahead| ahead.serial > known);
        if let Some(ahead) = ahead {
            match channel::recall(&blobs, &context, &memory, ahead) {
                Ok(accepted) => memory = accepted.memory(),
                Err(refused) if !is_verdict(&refused) => memory.record = Some(ahead),
                Err(_) => {}
            }
        }
        Ok(memory)
    }

    /// Accepted revocation lists without those whose key the trust file revokes. If a list is
    /// invalid for a different reason, such as a removed key, all accepted lists stay in force.
    /// Only an explicit revocation of a key thus admits revoked credentials again.
    fn verified_lists(&self, context: &Context<'_>) -> Result<Revocations, Refused> {
        let mut lists = follow::accepted_lists(&self.state.layout, context)?;
        let verified: BTreeSet<Pointer> = lists.pointers().collect();
        let in_memory = self.memory.revocations.pointers();
        for pointer in in_memory.filter(|pointer| !verified.contains(pointer)) {
            match revocation::recall(&self.blobs(), context, pointer) {
                Ok(list) => lists.extend(list)?,
                Err(Refused::RevokedKey) => {}
                Err(_) => return Ok(self.memory.revocations.clone()),
            }
        }
        Ok(lists)
    }

    /// Newest accepted record, if it can be read. The bundles that this record withdraws must not
    /// be started, even before the store is read.
    pub(super) fn remembered_head(&self) -> Option<Accepted> {
        let pointer = self.memory.record?;
        let known = self.head.as_ref().filter(|head| head.pointer() == pointer);
        let read = channel::recall(&self.blobs(), &self.context(), &self.memory, pointer).ok();
        read.or_else(|| known.cloned())
    }

    fn reverify_loaded_versions(&mut self) {
        let list = &self.memory.revocations;
        let kept = follow::stored_records(&self.state.layout, &self.context(), list, KEPT_MAX)
            .unwrap_or_default()
            .accepted;
        let verdicts: Vec<(Digest, Result<Accepted, Refused>)> = self
            .residents
            .iter()
            .map(|known| {
                let id = known.version.bundle();
                (id, self.reverify(&known.accepted, &kept))
            })
            .collect();
        let running = self.running.map(|running| running.bundle);
        for (bundle, verdict) in verdicts {
            let runs = running == Some(bundle);
            let mut residents = self.residents.iter_mut();
            let Some(known) = residents.find(|known| known.version.bundle() == bundle) else {
                continue;
            };
            let counts = match verdict {
                Ok(accepted) => {
                    known.accepted = accepted;
                    true
                }
                // A revoked bundle has a separate alarm, so do not raise this one.
                Err(Refused::Revoked { .. }) => true,
                Err(refused) => !is_verdict(&refused),
            };
            known.is_signed_by_trusted_key = counts;
            if runs {
                self.alarm("running-untrusted", !counts);
            } else if !counts {
                self.take_resident(&bundle);
                if self.node.candidate() == Some(bundle) {
                    self.stop_candidate("no trusted signature covers it");
                }
                self.tidy_at_ms = 0;
                event(
                    Level::Warn,
                    "a version in memory was dropped: no trusted signature covers it",
                    json!({"bundle": bundle.to_string()}),
                );
            }
        }
    }

    /// Verifies a version again. Returns a record that verifies and names the version's bundle: the
    /// version's own record, or another one of `kept`.
    fn reverify(&self, accepted: &Accepted, kept: &[Accepted]) -> Result<Accepted, Refused> {
        let (context, blobs) = (self.context(), self.blobs());
        let own = channel::recall(&blobs, &context, &self.memory, accepted.pointer());
        let mut others = kept.iter();
        let accepted = own.or_else(|refused| {
            let other = others.find(|other| other.bundle() == accepted.bundle());
            other.cloned().ok_or(refused)
        })?;
        follow::bundle(&blobs, &context, &accepted, provides())?;
        Ok(accepted)
    }
}

/// True if the verification itself failed. False if the signed statement could not be read, so that
/// its validity is unknown.
pub(super) fn is_verdict(refused: &Refused) -> bool {
    refused.blame() == Blame::Signer
}
