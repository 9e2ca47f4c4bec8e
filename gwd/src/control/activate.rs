//! Activation of a bundle, or its refusal: verify, resolve secrets, build, bind, persist, publish
//! (release.md §6).

use std::time::Duration;

use bundle::channel::{self, Accepted, LinkedRecord};
use bundle::follow;
use bundle::ir::provides;
use bundle::refused::Refused;
use bundle::statement::predicate::RecordKind;
use bundle::store::Batch;
use bundle::store::folder::Folder;
use serde_json::json;

use super::rollback_history::{Moved, Step};
use super::state::RunHistory;
use super::{Control, Resident, Running, advice, load, now, secrets};
use crate::runtime::program_log::{Audit, Level, OK, event};

/// Maximum wait until the hosts of the upstreams are resolved, at the first start (5s) and at other
/// activations (1s). A rollback does not wait.
const FIRST_HOSTS: Duration = Duration::from_secs(5);
const HOSTS: Duration = Duration::from_secs(1);
/// Maximum time for fetching the key sets that a version adds, at a start and at other activations:
/// 5s. A rollback or a switch by an operator does not wait.
pub(super) const KEYS: Duration = Duration::from_secs(5);
/// Maximum time for compiling validators before a switch to a new version (2s), and before a
/// rollback (200ms).
const WARM: Duration = Duration::from_secs(2);
const WARM_ROLLBACK: Duration = Duration::from_millis(200);
/// Maximum number of channel records that are read to find the rollback targets.
const MOVES_MAX: usize = 1_000;

impl Control {
    /// Activates the bundle of a record. A version that is still in memory is not built again.
    /// `head`: newest record of the channel, which is `accepted` itself unless this node follows
    /// the base of a progressive release.
    pub(super) fn activate(
        &mut self,
        from: &Folder,
        accepted: &Accepted,
        head: &Accepted,
    ) -> Result<(), Refused> {
        let began_ns = self.node.shared.clock.now_ns();
        let bundle = accepted.bundle();
        let serial = accepted.pointer().serial;
        let was = self.running.map(|running| running.bundle);
        if let Some(refused) = self.banned(&bundle) {
            return Err(refused);
        }
        let mut ran = self.ran.clone();
        ran.hold = None;
        ran.rollbacks.follow(&self.moves(from, accepted));
        ran.record_run(bundle, serial, now());
        if accepted.pointer() != head.pointer() {
            let batch = follow::record_to_keep(from, &self.state.layout, head)?;
            self.state.commit(&batch, None)?;
        }
        let was_resident = self.resident(&bundle).is_some();
        if was_resident {
            // The channel's record must survive a restart: refuse the activation if the record
            // cannot be written.
            let batch = follow::record_to_keep(from, &self.state.layout, accepted)?;
            self.state.commit(&batch, Some(&ran))?;
        }
        let version = match self.take_resident(&bundle) {
            Some(resident) => Resident {
                accepted: accepted.clone(),
                ..resident
            },
            None => self.prepare(from, accepted, Some(&ran))?,
        };
        self.node.publish(&version.version, serial);
        let took_ns = self.node.shared.clock.now_ns().saturating_sub(began_ns);
        // From here on no step can fail. The fault point can only kill the process.
        let _published = fault::point("activate.published");
        self.ran = ran;
        self.last_error = None;
        self.add_running(version);
        // After one record is remembered, older records are detected as replays.
        self.replay_protected |= self.memory.record.is_some();
        self.alarm("state-damaged", false);
        self.accept(head);
        self.sources_due.push(accepted.clone());
        self.clean_up_due = true;
        let record = accepted.record();
        {
            let mut bundles = self.node.registry.bundles();
            bundles.activation_seconds.observe(took_ns as f64 / 1e9);
            let age_s = now().unix_s().saturating_sub(record.created.unix_s());
            bundles.propagation_seconds.observe(age_s as f64);
            if record.kind == RecordKind::Rollback {
                bundles.rollbacks += 1;
            }
        }
        self.count_activation("ok", "");
        Audit {
            what: what(record.kind),
            who: &record.actor,
            from: was.map(|id| id.to_string()),
            to: Some(bundle.to_string()),
            why: Some(&record.reason),
            result: OK,
        }
        .write(
            "a bundle was activated",
            json!({
                "serial": serial,
                "channel": self.plan.channel.as_str(),
                "resident": was_resident,
                "took_ms": took_ns as f64 / 1e6,
            }),
        );
        Ok(())
    }

    /// Verifies, builds and binds a bundle without effect on the running version. If the bundle is
    /// going to run because of a record, `ran` is the history of bundles, including this one. The
    /// bundle and the history are then written in one transaction. `None`: a bundle of the state
    /// folder is loaded, and nothing is written.
    pub(super) fn prepare(
        &mut self,
        from: &Folder,
        accepted: &Accepted,
        ran: Option<&RunHistory>,
    ) -> Result<Resident, Refused> {
        if let Some(refused) = self.banned(&accepted.bundle()) {
            return Err(refused);
        }
        let verified = follow::bundle(from, &self.context(), accepted, provides())?;
        let assembly = load::assembly(&verified, from, self.node.parts())?;
        let version = self
            .node
            .build(&assembly, accepted.bundle(), &self.secrets)?;
        self.node.bind(&version)?;
        let limit = match (self.running, accepted.record().kind) {
            (None, _) => FIRST_HOSTS,
            (Some(_), RecordKind::Rollback) => Duration::ZERO,
            (Some(_), RecordKind::Release | RecordKind::Pin) => HOSTS,
        };
        self.node.wait_for_hosts(&version, limit);
        // Without `ran`, the version is loaded for an operator, or for a later rollback.
        let is_release = ran.is_some() && accepted.record().kind != RecordKind::Rollback;
        if self.running.is_none() || is_release {
            self.node.fetch_keys(&version, KEYS);
        }
        let limit = match accepted.record().kind {
            RecordKind::Rollback => WARM_ROLLBACK,
            RecordKind::Release | RecordKind::Pin => WARM,
        };
        self.node.warm_validators(&version, limit);
        passed(fault::point("activate.built"))?;
        if let Some(ran) = ran {
            let is_kept = from.root() == self.state.layout.root();
            let batch = if is_kept {
                Batch::default()
            } else {
                follow::to_keep(from, &self.state.layout, accepted, &verified)?
            };
            self.state.commit(&batch, Some(ran))?;
            passed(fault::point("activate.persisted"))?;
        }
        Ok(Resident {
            version,
            accepted: accepted.clone(),
            secrets: secrets::references(&assembly),
            is_signed_by_trusted_key: true,
        })
    }

    /// Channel records that update the rollback history, oldest first. For a release or pin
    /// directly after the running record, only the record of `accepted`; otherwise all records
    /// since the oldest rollback target.
    fn moves(&self, store: &Folder, accepted: &Accepted) -> Vec<Moved> {
        let record = accepted.record();
        let mut moves = vec![Moved {
            step: Step {
                bundle: accepted.bundle(),
                serial: record.serial,
            },
            kind: record.kind,
        }];
        let running = self.running.and_then(|it| self.resident(&it.bundle));
        let upon = running.map(|resident| resident.accepted.pointer().digest);
        if record.kind != RecordKind::Rollback && record.previous == upon {
            return moves;
        }
        let oldest = self.ran.rollbacks.oldest().unwrap_or(record.serial);
        let mut previous = record.previous;
        while let Some(digest) = previous
            && moves.len() < MOVES_MAX
            && moves.last().is_some_and(|moved| moved.step.serial > oldest)
            && let Ok(LinkedRecord { bundle, record }) = channel::read(store, &digest)
        {
            previous = record.previous;
            moves.push(Moved {
                step: Step {
                    bundle,
                    serial: record.serial,
                },
                kind: record.kind,
            });
        }
        moves.reverse();
        moves
    }

    /// Applies a newer head, if this node follows a record that names the running bundle. Such a
    /// record is a pin, a rollback to the same bundle, or the base of a progressive release.
    pub(super) fn renew(&mut self, store: &Folder, accepted: &Accepted, head: &Accepted) {
        let bundle = accepted.bundle();
        let serial = accepted.pointer().serial;
        self.replay_protected |= self.memory.record.is_some();
        let known = self.resident(&bundle);
        if known.is_some_and(|known| known.accepted.pointer() == accepted.pointer()) {
            self.remember(store, head);
            return;
        }
        if accepted.pointer() != head.pointer() {
            self.persist_record(store, accepted);
        }
        if let Some(mut resident) = self.take_resident(&bundle) {
            let moves = self.moves(store, accepted);
            self.ran.rollbacks.follow(&moves);
            resident.accepted = accepted.clone();
            self.node.publish(&resident.version, serial);
            self.ran.record_run(bundle, serial, now());
            self.add_running(resident);
        }
        self.remember(store, head);
        self.persist_ran();
        let record = accepted.record();
        Audit {
            what: what(record.kind),
            who: &record.actor,
            from: Some(bundle.to_string()),
            to: Some(bundle.to_string()),
            why: Some(&record.reason),
            result: OK,
        }
        .write(
            "a new record names the running bundle",
            json!({"serial": serial, "channel": self.plan.channel.as_str()}),
        );
    }

    /// Records that a version runs. It becomes the newest version in memory, and the oldest ones
    /// beyond the limit are dropped.
    pub(super) fn add_running(&mut self, resident: Resident) {
        let bundle = resident.version.bundle();
        let serial = resident.accepted.pointer().serial;
        let was = self.running.filter(|running| running.bundle == bundle);
        self.refusals.forget(&bundle);
        if was.is_none() {
            self.restart_guards();
        }
        self.running = Some(Running {
            bundle,
            serial,
            since: was.map_or_else(now, |running| running.since),
        });
        self.describe_running(&resident.accepted);
        self.residents
            .retain(|known| known.version.bundle() != bundle && known.is_signed_by_trusted_key);
        self.residents.insert(0, resident);
        let least = 1 + usize::from(self.awaited_candidate().is_some());
        self.residents.truncate(self.plan.keep.max(least));
        // The previous version may be revoked or withdrawn: drop it, now that it no longer runs.
        self.drop_banned();
        self.alarm("running-untrusted", false);
        let mut bundles = self.node.registry.bundles();
        bundles.running = Some((
            bundle.to_string(),
            serial,
            self.plan.channel.as_str().to_owned(),
        ));
        bundles.last_success_unix_s = now().unix_s() as f64;
        drop(bundles);
        self.tidy_at_ms = 0;
    }

    /// Records that a bundle was refused; the running version is not affected.
    pub(super) fn refuse(&mut self, accepted: &Accepted, refused: &Refused) {
        let now_ms = self.now_ms();
        let bundle = accepted.bundle();
        if let (Some(replica), Refused::BlobMissing { .. }) = (&self.replica, refused) {
            replica.want(accepted.pointer().digest);
        }
        let record = Some(accepted.pointer().digest);
        self.refusals.add(bundle, record, refused.clone(), now_ms);
        self.count_activation("failed", &refused.reason());
        self.note_error(Some(bundle), refused);
        let record = accepted.record();
        Audit {
            what: what(record.kind),
            who: &record.actor,
            from: self.running.map(|running| running.bundle.to_string()),
            to: Some(bundle.to_string()),
            why: Some(&record.reason),
            result: &refused.reason(),
        }
        .write("activation failed", json!({"serial": record.serial}));
        let message = match self.running {
            Some(_) => "a bundle was refused; the current version keeps serving",
            None => "a bundle was refused; this node serves nothing yet",
        };
        event(
            Level::Error,
            message,
            json!({
                "bundle": bundle.to_string(),
                "reason": refused.reason(),
                "error": refused.to_string(),
                "again": if refused.permanent() { "never" } else { "with increasing delays" },
                "do": advice(refused),
            }),
        );
    }
}

/// Name of a record's kind in audit lines.
pub(super) const fn what(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Release => "release",
        RecordKind::Rollback => "rollback",
        RecordKind::Pin => "pin",
    }
}

fn passed(point: std::io::Result<()>) -> Result<(), Refused> {
    point.map_err(|error| Refused::StateNotDurable {
        why: error.to_string(),
    })
}
