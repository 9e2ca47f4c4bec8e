//! Making a bundle the running one, or refusing it: verify, resolve secrets, build, bind,
//! persist, publish (release.md §6).

use bundle::channel::{Accepted, Context};
use bundle::digest::Digest;
use bundle::follow;
use bundle::ir::PROVIDES;
use bundle::refused::Refused;
use bundle::statement::predicate::RecordKind;
use bundle::store::folder::Folder;
use serde_json::json;

use super::keep::not_durable;
use super::state::Ran;
use super::{Control, Resident, Running, advice, load, now};
use crate::node::Version;
use crate::telemetry::program::{Level, audit, event};

impl Control {
    /// Makes the bundle of a record the running one; among residents only the pointer moves.
    pub(super) fn activate(&mut self, from: &Folder, accepted: &Accepted) -> Result<(), Refused> {
        let began_ms = self.now_ms();
        let bundle = accepted.bundle();
        let pointer = accepted.pointer();
        let was = self.running.map(|running| running.bundle);
        let resident = self.resident(&bundle).map(|known| known.version.clone());
        let was_resident = resident.is_some();
        let mut ran = self.ran.clone();
        ran.hold = None;
        ran.runs(bundle);
        let version = match resident {
            Some(version) => {
                if accepted.revocations().has_bundle(&bundle) {
                    return Err(Refused::Revoked { bundle });
                }
                self.node.publish(&version, pointer.serial);
                version
            }
            None => {
                let version = self.prepare(from, accepted, Some(&ran))?;
                self.node.publish(&version, pointer.serial);
                version
            }
        };
        self.ran = ran;
        self.last_error = None;
        self.runs(version, accepted.clone());
        // From the second record on, the first one protects.
        self.replay_protected |= self.memory.record.is_some();
        self.memory = accepted.memory();
        if was_resident {
            self.persist_record(from, accepted);
            self.persist_ran();
        } else {
            self.keep_source(from, accepted);
            self.clean_up();
        }
        let created = accepted.record().created;
        let took_ms = self.now_ms().saturating_sub(began_ms);
        {
            let mut bundles = self.node.registry.bundles();
            bundles.activation_seconds.observe(took_ms as f64 / 1e3);
            let age_s = now().unix_s().saturating_sub(created.unix_s());
            bundles.propagation_seconds.observe(age_s as f64);
            if accepted.record().kind == RecordKind::Rollback {
                bundles.rollbacks += 1;
            }
        }
        self.count_activation("ok", "");
        audit(
            "a bundle was activated",
            json!({
                "from": was.map(|id| id.to_string()),
                "to": bundle.to_string(),
                "serial": pointer.serial,
                "channel": self.plan.channel.as_str(),
                "who": accepted.record().actor,
                "why": accepted.record().reason,
                "resident": was_resident,
                "took_ms": took_ms,
                "result": "ok",
            }),
        );
        Ok(())
    }

    /// The source is many times the behaviour: it is kept when the bundle runs already.
    fn keep_source(&self, from: &Folder, accepted: &Accepted) {
        if from.root() == self.state.layout.root() {
            return;
        }
        if let Err(error) = follow::keep_source(from, &self.state.layout, accepted) {
            event(
                Level::Warn,
                "the bundle runs, but its source cannot be kept; without the store it cannot be explained by places in the source",
                json!({"bundle": accepted.bundle().to_string(), "error": error.to_string()}),
            );
        }
    }

    /// Verifies, builds, binds and persists; nothing that runs is touched. `ran` is written with
    /// it where the bundle is to run.
    pub(super) fn prepare(
        &mut self,
        from: &Folder,
        accepted: &Accepted,
        ran: Option<&Ran>,
    ) -> Result<Version, Refused> {
        let context = Context {
            trust: &self.trust,
            channel: &self.plan.channel,
            now: now(),
        };
        let verified = follow::bundle(from, &context, accepted, PROVIDES)?;
        let assembly = load::assembly(&verified, from, self.node.parts())?;
        let version = self
            .node
            .build(&assembly, accepted.bundle(), &self.secrets)?;
        self.node.bind(&version)?;
        if from.root() != self.state.layout.root() {
            follow::keep(from, &self.state.layout, accepted, &verified).map_err(not_durable)?;
        }
        if let Some(ran) = ran {
            self.state.write(ran)?;
        }
        Ok(version)
    }

    /// The running bundle under a newer record: a pin, or a rollback to where we are.
    pub(super) fn renew(&mut self, store: &Folder, accepted: &Accepted) {
        let bundle = accepted.bundle();
        if let Some(at) = self
            .residents
            .iter()
            .position(|known| known.version.bundle() == bundle)
        {
            self.residents[at].accepted = accepted.clone();
            let version = self.residents[at].version.clone();
            self.node.publish(&version, accepted.pointer().serial);
        }
        if let Some(running) = &mut self.running {
            running.serial = accepted.pointer().serial;
        }
        self.remember(store, accepted);
        audit(
            "the running bundle was named again",
            json!({
                "bundle": bundle.to_string(),
                "serial": accepted.pointer().serial,
                "who": accepted.record().actor,
                "why": accepted.record().reason,
            }),
        );
    }

    /// A version runs: it is the newest resident, and those beyond the limit go.
    pub(super) fn runs(&mut self, version: Version, accepted: Accepted) {
        let bundle = version.bundle();
        self.refusals.forget(&bundle);
        self.running = Some(Running {
            bundle,
            serial: accepted.pointer().serial,
            since: now(),
        });
        self.residents
            .retain(|known| known.version.bundle() != bundle);
        self.residents.insert(0, Resident { version, accepted });
        self.residents.truncate(self.plan.keep.max(1));
        let serial = self.residents[0].accepted.pointer().serial;
        let revoked = self.memory.revocations.has_bundle(&bundle);
        self.alarm("running-revoked", revoked);
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

    /// A bundle is refused: what runs stays.
    pub(super) fn refuse(&mut self, bundle: Digest, refused: &Refused) {
        let now_ms = self.now_ms();
        self.refusals.add(bundle, refused.clone(), now_ms);
        self.count_activation("failed", &refused.reason());
        self.note_error(Some(bundle), refused);
        event(
            Level::Error,
            "a bundle is refused; what runs goes on running",
            json!({
                "bundle": bundle.to_string(),
                "reason": refused.reason(),
                "error": refused.to_string(),
                "again": if refused.permanent() { "never" } else { "with growing waits" },
                "do": advice(refused),
            }),
        );
    }
}
