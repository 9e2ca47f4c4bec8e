//! What should run, and making it run: the control thread (release.md §5, §6).
//!
//! Plain blocking code over one queue of events: the store or the trust file may have changed,
//! an operator asks for something, time has passed. For a new bundle the order is verify,
//! resolve secrets, build, bind, persist, publish, acknowledge, answer; among resident versions
//! publish, acknowledge, persist, answer. Any failure leaves everything as it was.

mod cold;
mod load;
mod refusals;
mod secrets;
mod state;
mod status;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bundle::channel::{Accepted, Context, Memory};
use bundle::digest::Digest;
use bundle::follow;
use bundle::ir::PROVIDES;
use bundle::moment::Moment;
use bundle::name::ChannelName;
use bundle::refused::Refused;
use bundle::store::folder::Folder;
use bundle::store::{Blobs, WriteError, sweep};
use bundle::trust::Trust;
use policy::Revoked;
use serde_json::json;

use crate::node::{Node, Version};
use crate::telemetry::program::{Level, audit, event};

pub(crate) use cold::StartError;
use refusals::Refusals;
use state::{Hold, Ran, State};
pub(crate) use status::Status;
use watch::Watcher;

/// How often the store is looked at without being told to.
const POLL: Duration = Duration::from_secs(5);
/// How often small matters are looked after.
const TICK: Duration = Duration::from_secs(2);
/// Records whose bundles stay on disk.
const ON_DISK: usize = 20;
/// Bundles younger than this stay, too.
const YOUNG_S: u64 = 3_600;
/// How often names and addresses that nobody uses are given up.
const TIDY_MS: u64 = 60_000;
/// Records of the state folder among which break-glass finds its target.
const KEPT_MAX: usize = 200;

/// How the control thread is set up.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) store: PathBuf,
    pub(crate) channel: ChannelName,
    pub(crate) trust: TrustSource,
    pub(crate) state: PathBuf,
    /// Snapshots kept in memory.
    pub(crate) keep: usize,
    pub(crate) secret_dir: PathBuf,
    pub(crate) secret_env_prefix: String,
}

/// Whom to believe.
#[derive(Clone, Debug)]
pub(crate) enum TrustSource {
    File(PathBuf),
    /// `--insecure-allow-unsigned`
    Nobody,
}

/// What the control thread is told.
#[derive(Debug)]
pub(crate) enum Event {
    /// The store, the trust file or a secret may have changed.
    Look,
    /// The same, and somebody waits until it has been looked at.
    Notified(Answer),
    /// Run a bundle that is here.
    Switch {
        to: Target,
        sticky: bool,
        who: String,
        answer: Answer,
    },
    /// End the hold.
    Resume { who: String, answer: Answer },
    /// Stop: with a drain, or at once.
    Stop { who: String },
}

/// Which bundle.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    Bundle(Digest),
    /// The one that ran so many before the running one.
    Back(usize),
}

/// Where an answer goes.
pub(crate) type Answer = tokio::sync::oneshot::Sender<Result<serde_json::Value, Trouble>>;

/// Why an operator's wish was not fulfilled.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
}

/// An operator's switch.
#[derive(Clone, Copy, Debug)]
struct Switched {
    /// Whether a restart would know of it.
    durable: bool,
    /// From taking the order to the last worker's acknowledgement.
    took_ns: u64,
}

/// A version in memory.
#[derive(Debug)]
struct Resident {
    version: Version,
    /// The newest record that names it.
    accepted: Accepted,
}

/// What runs.
#[derive(Clone, Copy, Debug)]
struct Running {
    bundle: Digest,
    serial: u64,
    since: Moment,
}

/// The control thread's own.
pub(crate) struct Control {
    plan: Plan,
    node: Node,
    secrets: secrets::Registry,
    trust: Trust,
    trust_bytes: Vec<u8>,
    state: State,
    ran: Ran,
    memory: Memory,
    /// Whether a record had been accepted before this start, or a floor is set.
    replay_protected: bool,
    head: Option<Accepted>,
    running: Option<Running>,
    /// The newest first.
    residents: Vec<Resident>,
    refusals: Refusals,
    last_error: Option<status::LastError>,
    /// Why the store could not be read the last time.
    store_error: Option<Refused>,
    alarms: Vec<&'static str>,
    tidy_at_ms: u64,
    status: Arc<ArcSwap<Status>>,
    watcher: Option<Watcher>,
}

impl Control {
    /// Serves events until told to stop. Returns the node for its drain.
    pub(crate) fn run(mut self, events: &Receiver<Event>) -> Node {
        let mut next_poll_ms = self.now_ms() + millis(POLL);
        loop {
            let now_ms = self.now_ms();
            let retry_ms = self.refusals.next_ms().unwrap_or(u64::MAX);
            let wake_ms = next_poll_ms.min(retry_ms).min(now_ms + millis(TICK));
            let wait = Duration::from_millis(wake_ms.saturating_sub(now_ms));
            match events.recv_timeout(wait) {
                Ok(Event::Look) => self.look(),
                Ok(Event::Notified(answer)) => {
                    self.look();
                    let _gone = answer.send(Ok(self.status_json()));
                }
                Ok(Event::Switch {
                    to,
                    sticky,
                    who,
                    answer,
                }) => {
                    let result = self.break_glass(to, sticky, &who);
                    let _gone = answer.send(result);
                }
                Ok(Event::Resume { who, answer }) => {
                    self.resume(&who);
                    let _gone = answer.send(Ok(self.status_json()));
                }
                Ok(Event::Stop { who }) => {
                    audit("stopping", json!({"who": who}));
                    return self.node;
                }
                Err(RecvTimeoutError::Disconnected) => return self.node,
                Err(RecvTimeoutError::Timeout) => {
                    let now_ms = self.now_ms();
                    let due = self.refusals.next_ms().is_some_and(|at_ms| now_ms >= at_ms);
                    if due || now_ms >= next_poll_ms {
                        next_poll_ms = now_ms + millis(POLL);
                        self.look();
                    }
                    self.secrets.refresh();
                    self.tidy();
                }
            }
        }
    }

    /// Looks at the trust file and the store, and follows the channel.
    fn look(&mut self) {
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

    fn cannot_follow(&mut self, refused: Refused) {
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
    fn follow(&mut self) -> Result<(), Refused> {
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

    /// Makes the bundle of a record the running one; among residents only the pointer moves.
    fn activate(&mut self, from: &Folder, accepted: &Accepted) -> Result<(), Refused> {
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
            self.clean_up();
        }
        let created = accepted.record().created;
        let took_ms = self.now_ms().saturating_sub(began_ms);
        {
            let mut bundles = self.node.registry.bundles();
            bundles.activation_seconds.observe(took_ms as f64 / 1e3);
            let age_s = now().unix_s().saturating_sub(created.unix_s());
            bundles.propagation_seconds.observe(age_s as f64);
            if accepted.record().kind == bundle::statement::predicate::RecordKind::Rollback {
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

    /// Verifies, builds, binds and persists; nothing that runs is touched. `ran` is written with
    /// it where the bundle is to run.
    fn prepare(
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
        let gateway = load::gateway(&verified.load_runtime(from)?)?;
        let version = self
            .node
            .build(&gateway, accepted.bundle(), &self.secrets)?;
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
    fn renew(&mut self, store: &Folder, accepted: &Accepted) {
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

    /// What was accepted is remembered even where its bundle does not run, so that an older
    /// record cannot come back.
    fn remember(&mut self, from: &Folder, accepted: &Accepted) {
        self.memory = accepted.memory();
        self.persist_record(from, accepted);
    }

    fn persist_record(&self, from: &Folder, accepted: &Accepted) {
        if let Err(error) = follow::keep_record(from, &self.state.layout, accepted) {
            event(
                Level::Error,
                "a record cannot be kept in the state folder; a restart may not know it",
                json!({"serial": accepted.pointer().serial, "error": error.to_string()}),
            );
        }
    }

    fn persist_ran(&self) -> bool {
        match self.state.write(&self.ran) {
            Ok(()) => true,
            Err(refused) => {
                event(
                    Level::Error,
                    "the state folder cannot be written; a restart would not know what ran",
                    json!({"reason": refused.reason(), "error": refused.to_string()}),
                );
                false
            }
        }
    }

    /// A bundle is refused: what runs stays.
    fn refuse(&mut self, bundle: Digest, refused: &Refused) {
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

    /// Credentials on the list stop working at once, whatever runs; the list outlives restarts.
    fn take_revocations(&mut self, from: &dyn Blobs, accepted: &Accepted) {
        let list = accepted.revocations();
        if *list == self.memory.revocations {
            return;
        }
        self.memory.revocations = list.clone();
        self.apply_revocations();
        if let Err(error) = follow::keep_list(from, &self.state.layout, list) {
            event(
                Level::Error,
                "a revocation list is in force but cannot be kept in the state folder",
                json!({"serial": list.serial(), "error": error.to_string()}),
            );
        }
        audit(
            "a revocation list is in force",
            json!({"serial": list.serial()}),
        );
    }

    fn apply_revocations(&mut self) {
        let list = self.memory.revocations.list();
        let hashes = list.into_iter().flat_map(|list| &list.credentials);
        let revoked = Revoked::new(hashes.map(|digest| *digest.as_bytes()));
        self.node.revoke(revoked);
        let revocations = &self.memory.revocations;
        let running = self.running.map(|running| running.bundle);
        self.residents.retain(|known| {
            let id = known.version.bundle();
            Some(id) == running || !revocations.has_bundle(&id)
        });
        let alarm = running.is_some_and(|id| revocations.has_bundle(&id));
        self.alarm("running-revoked", alarm);
    }

    fn drop_withdrawn(&mut self, accepted: &Accepted) {
        let running = self.running.map(|running| running.bundle);
        let withdrawn = &accepted.record().withdraw;
        self.residents.retain(|known| {
            let id = known.version.bundle();
            Some(id) == running || !withdrawn.contains(&id)
        });
        self.ran
            .ran
            .retain(|id| Some(*id) == running || !withdrawn.contains(id));
    }

    /// An operator wants a bundle that is here to run, whatever the channel says.
    /// Tells the status, and how long the switch took.
    fn break_glass(
        &mut self,
        to: Target,
        sticky: bool,
        who: &str,
    ) -> Result<serde_json::Value, Trouble> {
        let was = self.running.map(|running| running.bundle);
        let result = self.switch(to, sticky);
        let told = match &result {
            Ok(Switched { durable, took_ns }) => {
                json!({"result": "ok", "durable": durable, "switch_us": took_ns / 1_000})
            }
            Err(trouble) => json!({"result": trouble.code, "error": trouble.message}),
        };
        let mut fields = json!({
            "who": who,
            "from": was.map(|id| id.to_string()),
            "to": self.running.map(|running| running.bundle.to_string()),
            "wanted": format!("{to:?}"),
            "sticky": sticky,
        });
        if let (Some(fields), Some(told)) = (fields.as_object_mut(), told.as_object()) {
            fields.extend(told.clone());
        }
        audit("an operator switched bundles", fields);
        self.update_status();
        let Switched { durable, took_ns } = result?;
        let mut status = self.status_json();
        if let Some(status) = status.as_object_mut() {
            status.insert("switch_us".into(), (took_ns / 1_000).into());
            status.insert("durable".into(), durable.into());
        }
        Ok(status)
    }

    fn switch(&mut self, to: Target, sticky: bool) -> Result<Switched, Trouble> {
        let began_ns = self.node.shared.clock.now_ns();
        let target = self.target(to)?;
        if self.memory.revocations.has_bundle(&target) {
            return Err(Trouble::refused(&Refused::Revoked { bundle: target }));
        }
        if let Some(head) = &self.head
            && head.record().withdraw.contains(&target)
        {
            return Err(Trouble::refused(&Refused::Withdrawn { bundle: target }));
        }
        let from = self.running.map(|running| running.bundle);
        let (version, accepted) = match self.resident(&target) {
            Some(known) => (known.version.clone(), known.accepted.clone()),
            None => {
                let accepted = self.kept(&target)?;
                let layout = self.state.layout.clone();
                let version = self
                    .prepare(&layout, &accepted, None)
                    .map_err(|refused| Trouble::refused(&refused))?;
                (version, accepted)
            }
        };
        let serial = accepted.pointer().serial;
        self.node.publish(&version, serial);
        let took_ns = self.node.shared.clock.now_ns().saturating_sub(began_ns);
        let head = self.head.as_ref();
        let at_serial = self.memory.record.map_or(0, |pointer| pointer.serial);
        let is_head = head.is_some_and(|head| head.bundle() == target);
        // Going back twice is still leaving the same bundle.
        let left = self.ran.hold.as_ref().map(|hold| hold.from).or(from);
        self.ran.hold = left.filter(|_| sticky || !is_head).map(|from| Hold {
            from,
            to: target,
            at_serial,
            sticky,
        });
        self.ran.runs(target);
        self.runs(version, accepted);
        let durable = self.persist_ran();
        self.node.registry.bundles().rollbacks += 1;
        self.refusals.forget(&target);
        Ok(Switched { durable, took_ns })
    }

    fn target(&self, to: Target) -> Result<Digest, Trouble> {
        match to {
            Target::Bundle(id) => Ok(id),
            Target::Back(steps) => self.ran.ran.get(steps).copied().ok_or_else(|| {
                Trouble::new(
                    409,
                    "nothing-before",
                    "no bundle ran before this one on this node; name one of `gwd versions`",
                )
            }),
        }
    }

    /// The record that names a bundle which is on disk only.
    fn kept(&self, target: &Digest) -> Result<Accepted, Trouble> {
        let context = Context {
            trust: &self.trust,
            channel: &self.plan.channel,
            now: now(),
        };
        let kept = follow::kept(&self.state.layout, &context, KEPT_MAX)
            .map_err(|refused| Trouble::refused(&refused))?;
        kept.into_iter()
            .filter_map(Result::ok)
            .find(|accepted| accepted.bundle() == *target)
            .ok_or_else(|| {
                Trouble::new(
                    404,
                    "bundle-not-here",
                    &format!(
                        "{target} is not on this node, or no record of this channel names it; see `gwd versions`"
                    ),
                )
            })
    }

    /// Ends the hold; the channel's head runs again.
    fn resume(&mut self, who: &str) {
        let held = self.ran.hold.take();
        self.persist_ran();
        audit(
            "an operator ended the hold",
            json!({"who": who, "held": held.map(|hold| hold.to.to_string())}),
        );
        if let Some(head) = &self.head {
            let id = head.bundle();
            self.refusals.forget(&id);
        }
        self.look();
    }

    /// A version runs: it is the newest resident, and those beyond the limit go.
    fn runs(&mut self, version: Version, accepted: Accepted) {
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

    /// Drops bundles from the state folder that nobody can want: neither recent nor running nor
    /// resident.
    fn clean_up(&self) {
        let layout = &self.state.layout;
        let young_since = Moment::from_unix_s(now().unix_s().saturating_sub(YOUNG_S));
        let dropped = sweep::retained(layout, ON_DISK).and_then(|mut kept| {
            kept.extend(self.ran.ran.iter());
            kept.extend(self.residents.iter().map(|known| known.version.bundle()));
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
    fn tidy(&mut self) {
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

    /// Reads the trust file again; one that cannot be read changes nothing.
    fn reload_trust(&mut self) {
        let TrustSource::File(path) = &self.plan.trust else {
            return;
        };
        let Ok(bytes) = std::fs::read(path) else {
            return self.alarm("trust-unreadable", true);
        };
        if bytes == self.trust_bytes {
            return self.alarm("trust-unreadable", false);
        }
        match Trust::parse(&bytes) {
            Err(refused) => {
                self.alarm("trust-unreadable", true);
                event(
                    Level::Error,
                    "the changed trust file cannot be read; the one before stays in force",
                    json!({"error": refused.to_string()}),
                );
            }
            Ok(trust) => {
                self.alarm("trust-unreadable", false);
                self.trust = trust;
                self.trust_bytes = bytes;
                self.refusals.forget_all();
                self.store_error = None;
                audit("the trust file was read again", json!({}));
                self.judge_anew();
            }
        }
    }

    /// What the changed trust file says about what runs: an alarm, never a stop.
    fn judge_anew(&mut self) {
        let context = Context {
            trust: &self.trust,
            channel: &self.plan.channel,
            now: now(),
        };
        match follow::remember(&self.state.layout, &context) {
            Ok(memory) => self.memory = memory,
            Err(refused) => event(
                Level::Error,
                "the state folder cannot be read again",
                json!({"error": refused.to_string()}),
            ),
        }
        let running = self.residents.first();
        let untrusted = running.is_some_and(|known| {
            follow::bundle(&self.state.layout, &context, &known.accepted, PROVIDES).is_err()
        });
        self.alarm("running-untrusted", untrusted);
    }

    fn resident(&self, bundle: &Digest) -> Option<&Resident> {
        self.residents
            .iter()
            .find(|known| known.version.bundle() == *bundle)
    }

    fn alarm(&mut self, name: &'static str, on: bool) {
        let was = self.alarms.contains(&name);
        if on && !was {
            self.alarms.push(name);
            event(Level::Error, "alarm", json!({"alarm": name}));
        } else if !on && was {
            self.alarms.retain(|known| *known != name);
            event(Level::Info, "the alarm is over", json!({"alarm": name}));
        }
    }

    fn count_activation(&self, result: &'static str, reason: &str) {
        let mut bundles = self.node.registry.bundles();
        let key = (result, reason.to_owned());
        *bundles.activations.entry(key).or_default() += 1;
    }

    fn note_error(&mut self, bundle: Option<Digest>, refused: &Refused) {
        self.last_error = Some(status::LastError {
            bundle,
            reason: refused.reason().into_owned(),
            message: refused.to_string(),
            at: now(),
        });
    }

    fn now_ms(&self) -> u64 {
        self.node.shared.clock.now_ms()
    }
}

impl Trouble {
    fn new(status: u16, code: &str, message: &str) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
        }
    }

    fn refused(refused: &Refused) -> Self {
        Self::new(409, &refused.reason(), &refused.to_string())
    }
}

fn not_durable(error: WriteError) -> Refused {
    match error {
        WriteError::Refused(Refused::StoreUnreachable { why }) => Refused::StateNotDurable { why },
        WriteError::Refused(refused) => refused,
        WriteError::Conflict { serial } => Refused::Forked { serial },
    }
}

/// What somebody at three in the morning should do.
fn advice(refused: &Refused) -> &'static str {
    use bundle::refused::Blame;
    match refused.blame() {
        Blame::Bundle => "release a corrected bundle, or roll the channel back with `gwc rollback`",
        Blame::Signer => "check who signed with which key against the trust file (`gwc verify`)",
        Blame::Store => "check the store and the way to it; it is tried again",
        Blame::Operator => {
            "check this node: trust file, secrets, addresses, disk; it is tried again"
        }
    }
}

/// The wall clock.
fn now() -> Moment {
    Moment::from_unix_s(crate::clock::unix_ms() / 1_000)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
