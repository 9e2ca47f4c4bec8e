//! Control thread: decides which bundle runs and activates it (release.md §5, §6).
//!
//! The thread runs blocking code over one queue of events: changes of the store or the trust file,
//! requests of operators, and timers. The steps of an activation are:
//!
//! - new bundle: verify, resolve secrets, build, bind, persist, publish, acknowledge, respond
//! - record that names a version in memory: persist, publish, acknowledge, respond
//! - operator's switch to a version in memory: publish, acknowledge, persist, respond
//!
//! A failure before `publish` leaves everything unchanged.

mod activate;
mod beside;
mod cold;
mod describe;
mod follow;
mod guard;
mod hold;
mod keep;
mod key_sets;
mod load;
mod operator;
mod poll_schedule;
mod read_schedule;
mod refusals;
mod release_guard;
mod replica;
mod reverify;
mod revoke;
mod rollback_history;
mod rollout;
mod secrets;
mod share;
mod side_by_side;
mod sprt;
mod state;
mod status;
mod watch;
mod webhook;

use std::collections::BTreeSet;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use arc_swap::ArcSwap;
use bundle::channel::{Accepted, Context, Memory};
use bundle::digest::Digest;
use bundle::follow::SkippedRecords;
use bundle::moment::Moment;
use bundle::name::ChannelName;
use bundle::refused::Refused;
use bundle::store::Store;
use bundle::store::folder::Folder;
use bundle::trust::{KeyState, Scope, Trust, TrustedKey};
use policy::SecretRef;
use serde_json::json;

use crate::listen::handover::{self, Offer};
use crate::node::{Node, Version};
use crate::quotas::QuotaWriter;
use crate::runtime::program_log::{Audit, Level, OK, event};

pub(crate) use cold::StartError;
use describe::Described;
use guard::Guards;
use refusals::Refusals;
use replica::{CopyPlan, News};
pub(crate) use replica::{RegistryPlan, Source};
use share::{Beside, NodeRollout};
use state::{RunHistory, State};
pub(crate) use status::Status;
use watch::Watcher;

/// Interval at which the store is read without a file event: 5s.
const POLL_MS: u64 = 5_000;
/// Interval of the control thread's periodic maintenance: 2s.
const TICK_MS: u64 = 2_000;
/// Minimum pause before a refused bundle is retried: 500ms.
const PAUSE_MS: u64 = 500;
/// Remaining validity of a signing key below which an alarm is raised: 30 days.
const KEY_ENDS_SOON_S: u64 = 30 * 86_400;
/// Time for which the alarm about full rate-limit tables stays after the last key that found no
/// free slot: 60s.
const CROWDED_MS: u64 = 60_000;
/// Time for which the first start retries to listen on an address in use: 10s.
const BUSY_START_MS: u64 = 10_000;
/// Maximum length of a trust file, in bytes.
const TRUST_BYTES_MAX: u64 = 1 << 20;
/// Maximum number of records in the state folder that are searched for the target of an operator's
/// switch.
const KEPT_MAX: usize = 200;

/// Settings of the control thread.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Folder of the store. For a registry, the folder of its copy.
    pub(crate) store: PathBuf,
    /// Registry whose channel is copied to `store`. `None`: the store is a folder.
    pub(crate) registry: Option<RegistryPlan>,
    pub(crate) channel: ChannelName,
    pub(crate) trust: TrustSource,
    pub(crate) state: PathBuf,
    /// Maximum number of versions in memory, including the running one.
    pub(crate) keep: usize,
    pub(crate) secret_dir: PathBuf,
    pub(crate) secret_env_prefix: String,
}

/// Source of the trusted keys.
#[derive(Clone, Debug)]
pub(crate) enum TrustSource {
    File(PathBuf),
    /// No trusted keys (`--insecure-allow-unsigned`).
    Disabled,
}

/// Copy of a registry. An operator who waits for an update of the copy gets the result through an
/// [`Answer`].
type Replica = replica::Replica<Answer>;

impl Plan {
    /// Folder with the copy of a registry, inside the state folder `state`.
    pub(crate) fn copy_folder(state: &Path) -> PathBuf {
        state.join(replica::FOLDER)
    }

    /// Opens the store itself. For a registry, this is the remote repository and not its copy.
    fn open_store(&self) -> Result<Box<dyn Store>, Refused> {
        Ok(match &self.registry {
            Some(registry) => Box::new(registry.first().open()?),
            None => Box::new(Folder::open(&self.store)?),
        })
    }

    /// Name of the store for messages: address of the registry, or path of the folder.
    fn store_name(&self) -> String {
        match &self.registry {
            Some(registry) => registry.first().address.to_string(),
            None => self.store.display().to_string(),
        }
    }

    /// Starts the thread that copies the registry. `None`: the store is a folder.
    fn start_replica(&self, events: Sender<Event>) -> Result<Option<Replica>, Refused> {
        let Some(registry) = &self.registry else {
            return Ok(None);
        };
        let plan = CopyPlan {
            registry: registry.clone(),
            channel: self.channel.clone(),
            copy: self.store.clone(),
            state: self.state.clone(),
        };
        let report = move |news| {
            let _stopped = events.send(match news {
                News::Changed => Event::Look,
                News::Copied(answer) => Event::Copied(answer),
            });
        };
        Replica::start(plan, report).map(Some)
    }
}

/// Event that the control thread handles. The thread handles requests of operators and signals
/// before it reads the store.
#[derive(Debug)]
pub(crate) enum Event {
    /// Read the store, the trust file and the secrets again: one of them may have changed.
    Look,
    /// Read the store again, and send the result to the operator who waits for it.
    Notified(Answer),
    /// The copy of the registry was updated for the operator who waits for a read of the store.
    Copied(Answer),
    /// Activate another bundle of this node.
    Switch {
        order: RequestedSwitch,
        who: String,
        answer: Answer,
    },
    /// End the hold and follow the channel again.
    Resume { who: String, answer: Answer },
    /// Hand over to another process, which connected with this stream.
    HandOver(UnixStream),
    /// Stop the process with a drain, because `who` has requested it.
    Stop { who: String },
}

/// Request of an operator to run a bundle on this node.
#[derive(Clone, Debug)]
pub(crate) struct RequestedSwitch {
    pub(crate) what: Switch,
    pub(crate) to: Target,
    /// True if the hold lasts until `gwd resume`, even if the channel moves to another bundle.
    pub(crate) sticky: bool,
    /// Reason that the operator states.
    pub(crate) why: Option<String>,
}

/// Command that the operator used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Switch {
    Activate,
    Rollback,
}

/// Bundle that an operator selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Bundle(Digest),
    /// First hex digits of a bundle id. Exactly one bundle on this node must match.
    Prefix(String),
    /// Number of steps back in the rollback history.
    Back(usize),
}

/// Sender of the result to the operator who waits for it.
pub(crate) type Answer = tokio::sync::oneshot::Sender<Result<serde_json::Value, OperatorError>>;

/// Failure of an operator's request.
#[derive(Clone, Debug)]
pub(crate) struct OperatorError {
    /// Status code of the HTTP response.
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    /// Exit code of the command line (command-line.md): 4 if verification failed, 5 if a retry may
    /// succeed, 65 if the bundle does not exist, 69 if the store is unreachable.
    pub(crate) exit: u8,
}

/// Version in memory, ready to run.
#[derive(Debug)]
struct Resident {
    version: Version,
    /// Newest record that names the version's bundle.
    accepted: Accepted,
    /// Secrets that the version uses.
    secrets: BTreeSet<SecretRef>,
    /// True if a trusted signature covers the version. Without such a signature, the version can
    /// keep running, but cannot be started again.
    is_signed_by_trusted_key: bool,
}

/// The running bundle, with the serial of its record and the start time.
#[derive(Clone, Copy, Debug)]
struct Running {
    bundle: Digest,
    serial: u64,
    since: Moment,
}

/// Reason why the control thread ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The process was requested to stop.
    Stop,
    /// Another process has taken over.
    HandedOver,
    /// The first start failed, because another process uses an address.
    PortBusy,
}

/// State of the control thread.
pub(crate) struct Control {
    plan: Plan,
    node: Node,
    secrets: secrets::Registry,
    trust: Trust,
    trust_bytes: Vec<u8>,
    state: State,
    ran: RunHistory,
    /// Serial of the newest record that `ran` names, if the state folder lost it before the start;
    /// otherwise 0. Older records are refused.
    lost_record: u64,
    memory: Memory,
    /// True if the state folder has everything that a restart needs. False after a failed write,
    /// which is retried.
    durable: bool,
    /// True if replays are detected: a floor is set, or a record was accepted before the current
    /// one.
    replay_protected: bool,
    /// True if gwd would notice that the store withholds a revocation list: the trust file has a
    /// floor, or a record was accepted after an earlier one. Each record names the newest list at
    /// its time.
    revocations_protected: bool,
    /// Newest accepted record. `None`: no record was accepted yet.
    head: Option<Accepted>,
    /// Progressive release of the head. `None`: the head is complete, or was not read yet.
    rollout: Option<NodeRollout>,
    guards: Guards,
    /// Candidate that serves a share of the requests beside the running bundle. `None`: the running
    /// bundle serves all requests.
    beside: Option<Beside>,
    /// Records that were skipped because their signing key is revoked. gwd does not verify them
    /// again.
    passed: SkippedRecords,
    running: Option<Running>,
    /// Versions in memory, newest first.
    residents: Vec<Resident>,
    /// Descriptions of bundles that ran, for the admin interface.
    described: Described,
    /// Revoked or withdrawn bundles that were already dropped from memory.
    dropped: BTreeSet<Digest>,
    refusals: Refusals,
    last_error: Option<status::LastError>,
    /// Conditions that were logged already and are not logged again.
    logged: LoggedTroubles,
    alarms: Vec<&'static str>,
    polled_at_ms: u64,
    schedule: read_schedule::ReadSchedule,
    full_tables: FullTables,
    tidy_at_ms: u64,
    /// True if the state folder may contain unused bundles.
    clean_up_due: bool,
    /// Records whose source artifact is not in the state folder yet.
    sources_due: Vec<Accepted>,
    /// Bundle that was last loaded in advance for a rollback. `None`: no bundle since the start.
    warmed: Option<Digest>,
    /// Time since which no bundle runs because an address is in use. `None`: no address is in use,
    /// or a bundle runs.
    busy_since_ms: Option<u64>,
    /// True if the trust file changed, but the state folder could not be read to verify its
    /// statements again.
    reverify_due: bool,
    status: Arc<ArcSwap<Status>>,
    watcher: Option<Watcher>,
    /// Copy of the registry. `None`: the store is a folder.
    replica: Option<Replica>,
}

/// Counts how often keys found no free slot in the rate-limit tables.
#[derive(Debug, Default)]
struct FullTables {
    /// Number of keys without a free slot, as of the last check.
    count: u64,
    /// Time at which the count last grew, or `None` if it has not grown since the start.
    grew_ms: Option<u64>,
}

/// Conditions that were logged already, so that further reads do not log them again.
#[derive(Debug, Default)]
struct LoggedTroubles {
    /// Error of the last read of the store, if it failed and was logged.
    store: Option<Refused>,
    /// Reason why the store's newest revocation list was refused. `None`: it was accepted.
    list: Option<Refused>,
    /// Digest of the trust file, if the last read rejected it.
    trust: Option<Digest>,
    /// Serial of the channel's head, if a hold blocks it.
    blocked_serial: Option<u64>,
}

impl Control {
    /// Handles events until the process stops or another process has taken over. `admin`: address
    /// and socket of the admin interface, for a handover. Returns the node for its drain.
    pub(crate) fn run(
        mut self,
        events: &Receiver<Event>,
        admin: Option<&(String, OwnedFd)>,
    ) -> (Node, Ending) {
        let mut tick_at_ms = self.now_ms() + TICK_MS;
        // Operators who wait for a read of the store. One read answers all of them.
        let mut notified: Vec<Answer> = Vec::new();
        loop {
            // Before each event: neither many events nor a read of the store delay the guard.
            self.check_guard();
            let next_ms = self.next_poll_ms().min(tick_at_ms);
            let next_ms = next_ms.min(self.guards.due_ms());
            let wait_ms = match notified.is_empty() {
                true => next_ms.saturating_sub(self.now_ms()),
                false => 0,
            };
            match events.recv_timeout(Duration::from_millis(wait_ms)) {
                Ok(Event::Look) => self.schedule.record_event(),
                Ok(Event::Notified(answer)) => match &self.replica {
                    Some(replica) => replica.update_now(answer),
                    None => notified.push(answer),
                },
                Ok(Event::Copied(answer)) => notified.push(answer),
                Ok(Event::Switch { answer, .. } | Event::Resume { answer, .. })
                    if answer.is_closed() =>
                {
                    event(
                        Level::Warn,
                        "an admin command was cancelled: its client disconnected before the answer",
                        json!({}),
                    );
                }
                Ok(Event::Switch { order, who, answer }) => {
                    let result = self.break_glass(&order, &who);
                    let _gone = answer.send(result);
                }
                Ok(Event::Resume { who, answer }) => {
                    self.resume(&who);
                    let _gone = answer.send(Ok(self.status_json()));
                }
                Ok(Event::Stop { who }) => {
                    self.keep_sources();
                    let running = self.running.map(|running| running.bundle.to_string());
                    Audit {
                        what: "drain",
                        who: &who,
                        from: running,
                        to: None,
                        why: None,
                        result: OK,
                    }
                    .write("stopping", json!({}));
                    return (self.node, Ending::Stop);
                }
                Ok(Event::HandOver(stream)) => {
                    if self.hand_over(&stream, admin) {
                        return (self.node, Ending::HandedOver);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return (self.node, Ending::Stop),
                // The queue is empty: now read the store.
                Err(RecvTimeoutError::Timeout) => {
                    if !notified.is_empty() || self.now_ms() >= self.next_poll_ms() {
                        self.poll_store();
                    }
                    for answer in notified.drain(..) {
                        let _gone = answer.send(Ok(self.status_json()));
                    }
                    if self.now_ms() >= tick_at_ms {
                        self.tick();
                        if self.port_stays_busy() {
                            return (self.node, Ending::PortBusy);
                        }
                        tick_at_ms = self.now_ms() + TICK_MS;
                    }
                }
            }
        }
    }

    /// Hands sockets, admin interface and state folder over to another process, and waits until
    /// that process serves. Meanwhile, this thread handles no other event. Returns false if the
    /// handover failed.
    fn hand_over(&mut self, stream: &UnixStream, admin: Option<&(String, OwnedFd)>) -> bool {
        self.keep_sources();
        // The new process reads the counters before it serves, so write them now.
        if let Some(quotas) = &self.node.quotas {
            quotas.pause();
        }
        let offered = handover::offer(
            stream,
            &Offer {
                listeners: self.node.descriptors(),
                lock: self.state.lock(),
                admin: admin.map(|(at, socket)| (at.clone(), socket.as_fd())),
            },
        );
        let running = self.running.map(|running| running.bundle.to_string());
        let result = match &offered {
            Ok(()) => OK,
            Err(_) => "not-taken-over",
        };
        Audit {
            what: "hand-over",
            who: "another gwd",
            from: running,
            to: None,
            why: None,
            result,
        }
        .write(
            match offered {
                Ok(()) => "another process has taken over; this one drains its connections",
                Err(_) => "another process failed to take over; this one keeps serving",
            },
            json!({"error": offered.as_ref().err().map(ToString::to_string)}),
        );
        if offered.is_err()
            && let Some(quotas) = &self.node.quotas
        {
            quotas.resume();
        }
        offered.is_ok()
    }

    /// Time of the next read of the store in milliseconds. It is the earliest of three times: after
    /// a file event (at the rate of [`read_schedule::ReadSchedule`]), after the polling interval,
    /// and when a refused bundle is retried.
    fn next_poll_ms(&self) -> u64 {
        let poll_ms = self.polled_at_ms + POLL_MS;
        let retry_ms = self.refusals.next_ms().unwrap_or(u64::MAX);
        let retry_ms = retry_ms.max(self.polled_at_ms + PAUSE_MS);
        retry_ms.min(poll_ms).min(self.schedule.due_ms())
    }

    /// True if an address has been in use for [`BUSY_START_MS`] during the first start. The process
    /// then ends, and its supervisor can restart it.
    fn port_stays_busy(&mut self) -> bool {
        let is_busy = |refused: &Refused| matches!(refused, Refused::PortBusy { .. });
        let mut refusals = self.refusals.iter();
        let busy = refusals.find(|(_, entry)| is_busy(&entry.refused));
        let Some((_, entry)) = busy.filter(|_| self.running.is_none()) else {
            self.busy_since_ms = None;
            return false;
        };
        let error = entry.refused.to_string();
        let now_ms = self.now_ms();
        let since_ms = *self.busy_since_ms.get_or_insert(now_ms);
        let ends = now_ms.saturating_sub(since_ms) >= BUSY_START_MS;
        if ends {
            event(
                Level::Error,
                "gwd does not start: it cannot listen on an address",
                json!({
                    "error": error,
                    "tried_ms": BUSY_START_MS,
                    "do": "free the address, or give the listener another one with --listen NAME=ADDR",
                    "exit": 69,
                }),
            );
        }
        ends
    }

    /// Runs the periodic maintenance of the control thread: secrets, state folder, alarms, clean-up
    /// and status.
    fn tick(&mut self) {
        self.refresh_secrets();
        self.describe();
        self.check_state();
        self.check_limits();
        self.check_keys();
        self.tend_guards();
        if self.running.is_some() {
            self.node.close_unwanted();
        }
        self.tidy();
        self.warm_previous();
        self.keep_sources();
        if self.clean_up_due && self.durable {
            self.clean_up_due = false;
            self.clean_up();
        }
        self.update_status();
    }

    /// Trust, channel and time for verification. The time is the later of the clock's time and the
    /// newest accepted `created` (release.md §5).
    fn context(&self) -> Context<'_> {
        Context {
            trust: &self.trust,
            channel: &self.plan.channel,
            now: now(),
        }
        .after(&self.memory)
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
            event(Level::Info, "the alarm has ended", json!({"alarm": name}));
        }
    }

    /// Raises the alarm about full rate-limit tables while keys find no free slot. The alarm stays
    /// for [`CROWDED_MS`] after the last such key.
    fn check_limits(&mut self) {
        let limits = &self.node.shared.limits;
        let tables = limits.all();
        let counts = tables.map(|(_, table)| table.overflowed() + table.evicted());
        let (count, now_ms) = (counts.iter().sum(), self.now_ms());
        let crowded = &mut self.full_tables;
        if std::mem::replace(&mut crowded.count, count) != count {
            crowded.grew_ms = Some(now_ms);
        }
        let grew_ms = crowded.grew_ms;
        self.alarm(
            "rate-limit-table-full",
            grew_ms.is_some_and(|at_ms| now_ms.saturating_sub(at_ms) < CROWDED_MS),
        );
        let stores = self.node.shared.stores.states();
        let lost = stores.iter().any(|store| !store.is_up);
        self.alarm("store-unreachable", lost);
        let quotas = self.node.quotas.as_ref();
        let failing = quotas.is_some_and(QuotaWriter::fails);
        self.alarm("quotas-not-saved", failing);
    }

    /// Raises the alarm if an active key of this channel expires soon, and updates the metrics of
    /// the keys' expiry times.
    fn check_keys(&mut self) {
        let now = now();
        let channel = self.plan.channel.as_str();
        let of_channel = |key: &&TrustedKey| {
            let named = |scope: &Scope| match scope {
                Scope::All => true,
                Scope::Channel(name) => name.as_str() == channel,
            };
            key.state == KeyState::Active && key.channels.iter().any(named)
        };
        let keys: Vec<&TrustedKey> = self.trust.keys().iter().filter(of_channel).collect();
        let soon = now.plus_s(KEY_ENDS_SOON_S);
        let ends = keys.iter().any(|key| key.not_after <= soon);
        let expiries = keys.iter().map(|key| {
            let id = key.id.to_string();
            let short = id.get(..12).unwrap_or_default().to_owned();
            ((key.owner.clone(), short), key.not_after.unix_s())
        });
        let expiries = expiries.collect();
        self.node.registry.bundles().signing_keys = expiries;
        self.alarm("signing-key-ends", ends);
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

/// Advice for the operator about a refusal.
fn advice(refused: &Refused) -> &'static str {
    use bundle::refused::Blame;
    match refused {
        Refused::Expired { .. } => return "release or pin again: the record is past its `expires`",
        Refused::BelowFloor { .. } => {
            return "check which store this is; if it is the right one, lower `min_serial` of the channel in the trust file";
        }
        Refused::ApprovalsMissing { .. } => {
            return "get the missing approvals (`gwc approve`) and release again with `gwc apply`, or \
roll the channel back with `gwc rollback`";
        }
        Refused::FromTheFuture { .. } => {
            return "check the clocks of this node and of the signer; gwd tries again";
        }
        Refused::PortBusy { .. } => {
            return "free the address, or give the listener another one with --listen NAME=ADDR or \
`listeners` of gateway.yaml; gwd tries again";
        }
        Refused::Forked { .. } => {
            return "two records follow the same record: restore the store that has the accepted \
records, or join the chains with `gwc apply --merge`";
        }
        _ => {}
    }
    match refused.blame() {
        Blame::Bundle => "release a corrected bundle, or roll the channel back with `gwc rollback`",
        Blame::Signer => "check who signed with which key against the trust file (`gwc verify`)",
        Blame::Store => "check the store and the network or mount to it; gwd tries again",
        Blame::Operator => {
            "check this node's trust file, secrets, listening addresses and disk; gwd tries again"
        }
    }
}

/// Current Unix time of the system's clock.
fn now() -> Moment {
    Moment::from_unix_s(crate::runtime::clock::unix_s())
}
