//! Cold start: runs the held bundle or, without a hold, the bundle of the channel's head. If the
//! head's bundle cannot run, the last good bundle runs. Older bundles are never tried (release.md
//! §6).

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use arc_swap::ArcSwap;
use bundle::channel::{self, Context, Memory};
use bundle::digest::Digest;
use bundle::follow::{self, SkippedRecords};
use bundle::name::ProjectName;
use bundle::refused::{Blame, Refused};
use bundle::store::folder::Folder;
use bundle::store::{Chain, Store};
use bundle::trust::Trust;
use serde_json::{Value, json};

use super::describe::Described;
use super::guard::Guards;
use super::read_schedule::ReadSchedule;
use super::refusals::Refusals;
use super::secrets;
use super::state::{RunHistory, State, lost_record, read_history};
use super::watch::{Hint, Watcher};
use super::{
    Control, Event, LoggedTroubles, Plan, Replica, Status, TRUST_BYTES_MAX, TrustSource, advice,
    now,
};
use crate::node::Node;
use crate::quotas::QuotaWriter;
use crate::runtime::files::read_file;
use crate::runtime::program_log::{Level, event};

/// Maximum number of records in the state folder that are checked for damage, newest first.
const CHECKED_MAX: usize = 20;

/// Reason why gwd does not start.
#[derive(Debug)]
pub(crate) enum StartError {
    /// No trust file, or verification failed and no other bundle can run. Exit code 4.
    Untrusted(String),
    /// The state folder cannot be used. Exit code 65.
    State(Refused),
    /// The store cannot be used, and gwd needs it to start. Exit code 69.
    Unreachable(Refused),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untrusted(why) => f.write_str(why),
            Self::State(refused) => write!(f, "{refused}"),
            Self::Unreachable(refused) => write!(f, "{refused}"),
        }
    }
}

/// Reads the trust file. `None` if unsigned bundles are allowed.
fn trust(plan: &Plan) -> Result<Option<(Trust, Vec<u8>)>, StartError> {
    let TrustSource::File(path) = &plan.trust else {
        return Ok(None);
    };
    let bytes = read_file(path, TRUST_BYTES_MAX).map_err(|error| {
        StartError::Untrusted(format!(
            "the trust file `{}` cannot be read: {error}; gwd needs one (`gwc keygen` and `gwc trust` make it)",
            path.display()
        ))
    })?;
    let trust = Trust::parse(&bytes)
        .map_err(|refused| StartError::Untrusted(format!("`{}`: {refused}", path.display())))?;
    Ok(Some((trust, bytes)))
}

/// Returns a trust that accepts unsigned bundles of one project: the project in the channel's
/// newest record.
fn insecure(plan: &Plan, store: &dyn Store) -> Result<(Trust, Vec<u8>), StartError> {
    let project = claimed_project(plan, store).map_err(StartError::Unreachable)?;
    Ok((Trust::insecure_allow_unsigned(project), Vec::new()))
}

/// Opens the state folder, with the lock that another process handed over if there is one.
fn open_state(plan: &Plan, lock: Option<File>) -> Result<State, Refused> {
    match lock {
        Some(lock) => State::taken_over(&plan.state, lock),
        None => State::open(&plan.state),
    }
}

/// Calls [`insecure`] for the store's folder or, for a registry, the folder of its copy. Fails if
/// the last update of the copy failed.
fn insecure_in_folder(
    plan: &Plan,
    replica: Option<&Replica>,
) -> Result<(Trust, Vec<u8>), StartError> {
    match replica.and_then(Replica::error) {
        Some(refused) => Err(StartError::Unreachable(refused)),
        None => insecure(
            plan,
            &Folder::open(&plan.store).map_err(StartError::Unreachable)?,
        ),
    }
}

/// Logs a warning if unsigned bundles are allowed.
fn warn_if_insecure(trust: &Trust) {
    if trust.is_insecure() {
        event(
            Level::Warn,
            "INSECURE: unsigned bundles are allowed; anyone who can write to the store \
            controls this gateway. Start with --trust instead of --insecure-allow-unsigned",
            json!({"insecure_allow_unsigned": true}),
        );
    }
}

/// Reads the counters of quotas, and starts the thread that saves them.
fn keeper(plan: &Plan, node: &Node, state: &State) -> Result<QuotaWriter, StartError> {
    let lock = state.lock().try_clone_to_owned();
    let keeper = lock.and_then(|lock| QuotaWriter::start(&node.shared, &plan.state, lock));
    keeper.map_err(|error| {
        StartError::State(Refused::StateNotDurable {
            why: format!("`{}`: {error}", plan.state.display()),
        })
    })
}

/// Reads the project name in the channel's newest record, without verifying the record.
fn claimed_project(plan: &Plan, store: &dyn Store) -> Result<ProjectName, Refused> {
    let chain = Chain::Channel(plan.channel.clone());
    let newest = store.serials(&chain)?.pop();
    let digest = newest
        .map(|serial| store.listed_link(&chain, serial))
        .transpose()?
        .ok_or_else(|| Refused::StoreUnreachable {
            why: format!(
                "channel `{}` has no record yet. `--insecure-allow-unsigned` takes the project \
                from a record: release to this channel, or select another one with `--channel`",
                plan.channel
            ),
        })?;
    Ok(channel::read(store, &digest)?.record.project)
}

impl Control {
    /// Creates the control thread's state and runs the best allowed bundle. If no bundle can run,
    /// [`Self::nothing_runs`] decides whether gwd waits for one.
    ///
    /// # Errors
    /// See [`StartError`].
    pub(crate) fn start(
        plan: Plan,
        mut node: Node,
        lock: Option<File>,
        events: Sender<Event>,
        status: Arc<ArcSwap<Status>>,
    ) -> Result<Self, StartError> {
        let trusted = trust(&plan)?;
        let state = open_state(&plan, lock).map_err(StartError::State)?;
        let replica = plan
            .start_replica(events.clone())
            .map_err(StartError::Unreachable)?;
        let (trust, trust_bytes) = match trusted {
            Some(trusted) => trusted,
            None => insecure_in_folder(&plan, replica.as_ref())?,
        };
        warn_if_insecure(&trust);
        node.quotas = Some(keeper(&plan, &node, &state)?);
        let trust_file = match &plan.trust {
            TrustSource::File(path) => Some(path.as_path()),
            TrustSource::Disabled => None,
        };
        let secrets = &plan.secret_dir;
        let schedule = ReadSchedule::default();
        let hint = Hint {
            pending: schedule.pending(),
            events,
        };
        let watcher = Watcher::start(&plan.store, &plan.channel, trust_file, secrets, hint);
        let floors = trust.floors(&plan.channel);
        let mut control = Self {
            secrets: secrets::Registry::new(
                plan.secret_dir.clone(),
                plan.secret_env_prefix.clone(),
            )
            .with_copies(&plan.state),
            ran: RunHistory::default(),
            lost_record: 0,
            durable: state.writable(),
            state,
            memory: Memory::default(),
            replay_protected: floors.min_serial > 0,
            revocations_protected: trust.has_floors(&plan.channel),
            head: None,
            rollout: None,
            guards: Guards::default(),
            beside: None,
            running: None,
            residents: Vec::new(),
            dropped: BTreeSet::new(),
            refusals: Refusals::default(),
            last_error: None,
            logged: LoggedTroubles::default(),
            passed: SkippedRecords::default(),
            described: Described::default(),
            alarms: Vec::new(),
            polled_at_ms: 0,
            schedule,
            full_tables: super::FullTables::default(),
            tidy_at_ms: 0,
            sources_due: Vec::new(),
            warmed: None,
            clean_up_due: true,
            reverify_due: false,
            busy_since_ms: None,
            status,
            watcher,
            replica,
            plan,
            node,
            trust,
            trust_bytes,
        };
        control.begin()?;
        Ok(control)
    }

    fn begin(&mut self) -> Result<(), StartError> {
        let remembered = follow::remember(&self.state.layout, &self.context());
        self.memory = remembered.map_err(StartError::State)?;
        self.read_what_ran();
        self.memory.require_serial(self.lost_record);
        self.replay_protected |= self.memory.record.is_some() || self.lost_record > 0;
        self.revocations_protected |= self.remembers_two_records();
        if !self.replay_protected {
            event(
                Level::Warn,
                "replay-unprotected: neither a state folder nor a floor in the trust file has the \
                channel's last serial",
                json!({"do": "keep the state folder, or write floors with `gwc trust floor`"}),
            );
        }
        if !self.revocations_protected {
            event(
                Level::Warn,
                "revocations-unprotected: the store could withhold a revocation list, which this \
                node cannot detect; a revoked credential may still be accepted",
                json!({
                    "known": self.memory.revocations.serial(),
                    "do": "write floors with `gwc trust floor` (0 is enough), or publish another record",
                }),
            );
        }
        if !self.durable {
            self.alarm("state-not-durable", true);
            event(
                Level::Warn,
                "the state folder can be read but not written: releases are refused until it can be written",
                json!({"state": self.plan.state.display().to_string()}),
            );
        }
        self.head = self.remembered_head();
        self.apply_revocations();
        self.reverify_rollout();
        let followed = self.follow();
        if let Err(refused) = &followed {
            self.cannot_follow(refused.clone());
        }
        // While a hold lasts, the last good bundle is the held one, and no other bundle may be
        // started.
        if self.running.is_none()
            && self.ran.hold.is_none()
            && let Some(last) = self.ran.last()
        {
            match self.run_kept(last) {
                Ok(()) => event(
                    Level::Warn,
                    "the channel's head cannot run; the last good bundle runs",
                    json!({"bundle": last.to_string()}),
                ),
                Err(refused) => event(
                    Level::Error,
                    "the last good bundle cannot run either",
                    json!({"bundle": last.to_string(), "reason": refused.reason(), "error": refused.to_string(), "do": advice(&refused)}),
                ),
            }
        }
        self.follow_candidate();
        self.polled_at_ms = self.now_ms();
        self.check_expiry();
        self.refresh_secrets();
        if let Some(watcher) = &mut self.watcher {
            watcher.refresh(&self.secrets.folders());
        }
        self.update_status();
        if self.running.is_none() {
            self.nothing_runs(followed)?;
        }
        Ok(())
    }

    /// True if the state folder has two valid records. The later record names all earlier
    /// revocation lists, so the store cannot withhold one of them unnoticed.
    fn remembers_two_records(&self) -> bool {
        let list = &self.memory.revocations;
        follow::stored_records(&self.state.layout, &self.context(), list, 2)
            .is_ok_and(|kept| kept.accepted.len() == 2)
    }

    /// Reads the history of the bundles that ran, and checks the state folder. Reports damage. A
    /// damaged or missing record may have been the newest, so no older bundle is used instead.
    fn read_what_ran(&mut self) {
        let ran = self.state.ran();
        let list = &self.memory.revocations;
        let kept = follow::stored_records(&self.state.layout, &self.context(), list, CHECKED_MAX);
        let mut damaged: Vec<String> = Vec::new();
        match ran {
            Ok(ran) => self.ran = ran,
            Err(refused) => damaged.push(refused.to_string()),
        }
        self.lost_record =
            lost_record(&self.state.layout, &self.plan.channel, &self.ran).unwrap_or(0);
        if self.lost_record > 0 {
            damaged.push(format!(
                "record {} of gwd.json is missing; older records are refused",
                self.lost_record
            ));
        }
        for (serial, refused) in kept.unwrap_or_default().refused {
            if refused.blame() != Blame::Signer {
                damaged.push(format!("record {serial}: {refused}"));
            }
        }
        if damaged.is_empty() {
            return;
        }
        self.alarm("state-damaged", true);
        event(
            Level::Error,
            "the state folder is damaged; only the channel's head can run",
            json!({
                "state": self.plan.state.display().to_string(),
                "damaged": damaged,
                "do": "check the disk; a release, activation or rollback writes the state again",
            }),
        );
    }

    fn channels_there(&self) -> Vec<String> {
        Folder::open(&self.plan.store)
            .and_then(|store| store.channels())
            .unwrap_or_default()
    }

    /// Decides whether gwd starts without a running bundle. gwd starts and waits for a bundle in
    /// three cases: a held bundle cannot run yet; the channel has no record yet; or the refusal is
    /// temporary and the operator can end it, for example by providing a missing secret.
    ///
    /// # Errors
    /// For all other refusals, including those of a store that cannot be used.
    fn nothing_runs(&self, followed: Result<(), Refused>) -> Result<(), StartError> {
        if self.awaited_hold().is_some() {
            return Ok(());
        }
        let refused = match followed {
            Err(refused) => Some(refused),
            Ok(()) => self
                .refusals
                .iter()
                .map(|(_, entry)| entry.refused.clone())
                .next(),
        };
        match refused {
            None => {
                event(
                    Level::Warn,
                    "the channel has no record yet; waiting for the first release",
                    json!({
                        "channel": self.plan.channel.as_str(),
                        "store": self.plan.store_name(),
                        "channels_there": self.channels_there(),
                        "do": "release to this channel, or select an existing one with --channel",
                    }),
                );
                Ok(())
            }
            Some(refused @ Refused::StoreUnreachable { .. }) => {
                Err(StartError::Unreachable(refused))
            }
            Some(refused) if refused.blame() == Blame::Operator && !refused.permanent() => Ok(()),
            Some(refused) => Err(StartError::Untrusted(format!(
                "no bundle may run: {refused} ({}); {}",
                refused.reason(),
                advice(&refused)
            ))),
        }
    }

    /// Runs a bundle from the state folder, verified like a bundle from the store.
    pub(super) fn run_kept(&mut self, bundle: Digest) -> Result<(), Refused> {
        if let Some(banned) = self.banned(&bundle) {
            return Err(banned);
        }
        let accepted = self.kept_record(&bundle)?;
        let accepted = accepted.ok_or(Refused::BlobMissing { digest: bundle })?;
        let layout = self.state.layout.clone();
        let resident = self.prepare(&layout, &accepted, None)?;
        self.node
            .publish(&resident.version, accepted.pointer().serial);
        self.add_running(resident);
        self.count_activation("ok", "");
        Ok(())
    }

    /// Loads the previous version soon after a start, so that a rollback needs no disk access. The
    /// start itself loads only the running version. Each version is tried once.
    pub(super) fn warm_previous(&mut self) {
        let Some(running) = self.running else { return };
        let Some(back) = self.ran.rollbacks.back(&running.bundle, 1) else {
            return;
        };
        let known = self.warmed == Some(back) || self.resident(&back).is_some();
        if known || self.residents.len() >= self.plan.keep || self.banned(&back).is_some() {
            return;
        }
        self.warmed = Some(back);
        let layout = self.state.layout.clone();
        let read = match self.kept_record(&back) {
            Ok(Some(accepted)) => self.prepare(&layout, &accepted, None),
            Ok(None) => return,
            Err(refused) => Err(refused),
        };
        match read {
            Ok(resident) => self.residents.push(resident),
            Err(refused) => event(
                Level::Warn,
                "the previous version cannot be loaded; a rollback to it may be refused",
                json!({"bundle": back.to_string(), "reason": refused.reason(), "error": refused.to_string()}),
            ),
        }
    }

    /// Implements `gwd check`: verifies and builds the bundle of the channel's head, or of its base
    /// if this node is outside of a progressive release. Binds and writes nothing. Ignores holds
    /// and the last good bundle.
    ///
    /// # Errors
    /// If this bundle cannot run. The error is the reason.
    pub(crate) fn check(plan: &Plan, mut node: Node) -> Result<Value, StartError> {
        let trusted = trust(plan)?;
        let store = plan.open_store().map_err(StartError::Unreachable)?;
        let store = &*store;
        let (trust, _) = match trusted {
            Some(trusted) => trusted,
            None => insecure(plan, store)?,
        };
        let context = Context {
            trust: &trust,
            channel: &plan.channel,
            now: now(),
        };
        let memory = match Folder::open(&plan.state) {
            Ok(state) => {
                let mut memory = follow::remember(&state, &context).map_err(StartError::State)?;
                let history = read_history(&plan.state).unwrap_or_default();
                let lost =
                    lost_record(&state, &plan.channel, &history).map_err(StartError::State)?;
                memory.require_serial(lost);
                memory
            }
            Err(_) => Memory::default(),
        };
        let refused = |refused: Refused| match refused {
            Refused::StoreUnreachable { .. } => StartError::Unreachable(refused),
            other => StartError::Untrusted(format!("{other} ({})", other.reason())),
        };
        let head = follow::head(store, &context, &memory)
            .map_err(refused)?
            .ok_or_else(|| {
                StartError::Unreachable(Refused::StoreUnreachable {
                    why: format!(
                        "channel `{}` has no record yet; release to this channel, or select \
                        another one with `--channel`",
                        plan.channel
                    ),
                })
            })?;
        let accepted = head.accepted;
        let rollout = accepted.record().rollout.as_ref();
        let belongs = rollout.is_none_or(|it| it.includes(&node.shared.node, &accepted.bundle()));
        let base = match belongs {
            true => None,
            false => follow::rollout_base(store, &context, &accepted).map_err(refused)?,
        };
        let accepted = base.unwrap_or(accepted);
        let verified =
            follow::bundle(store, &context, &accepted, bundle::ir::provides()).map_err(refused)?;
        let assembly = super::load::assembly(&verified, store, node.parts()).map_err(refused)?;
        let secrets =
            secrets::Registry::new(plan.secret_dir.clone(), plan.secret_env_prefix.clone());
        let version = node
            .build(&assembly, accepted.bundle(), &secrets)
            .map_err(refused)?;
        let snapshot = &version.0.snapshot;
        let listeners = snapshot.listeners().iter().map(|listener| {
            (
                listener.name.to_string(),
                Value::from(listener.address.to_string()),
            )
        });
        Ok(json!({
            "schema": "check/v1",
            "result": "ok",
            "tool": super::status::tool(),
            "environment": Value::Null,
            "bundle": accepted.bundle().to_string(),
            "serial": accepted.pointer().serial,
            "channel": plan.channel.as_str(),
            "signed_by": accepted.signers().owners,
            "revocations": accepted.revocations().serial(),
            "routes": snapshot.route_count(),
            "upstreams": snapshot.upstreams().len(),
            "listeners": listeners.collect::<serde_json::Map<_, _>>(),
            "insecure_allow_unsigned": trust.is_insecure(),
        }))
    }
}
