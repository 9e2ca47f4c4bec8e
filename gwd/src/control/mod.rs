//! What should run, and making it run: the control thread (release.md §5, §6).
//!
//! Plain blocking code over one queue of events: the store or the trust file may have changed,
//! an operator asks for something, time has passed. For a new bundle the order is verify,
//! resolve secrets, build, bind, persist, publish, acknowledge, answer; among resident versions
//! publish, acknowledge, persist, answer. Any failure leaves everything as it was.

mod activate;
mod cold;
mod follow;
mod judge;
mod keep;
mod load;
mod operator;
mod refusals;
mod revoke;
mod secrets;
mod state;
mod status;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bundle::channel::{Accepted, Memory};
use bundle::digest::Digest;
use bundle::moment::Moment;
use bundle::name::ChannelName;
use bundle::refused::Refused;
use bundle::trust::Trust;
use serde_json::json;

use crate::node::{Node, Version};
use crate::telemetry::program::{Level, audit, event};

pub(crate) use cold::StartError;
use refusals::Refusals;
use state::{Ran, State};
pub(crate) use status::Status;
use watch::Watcher;

/// How often the store is looked at without being told to.
const POLL: Duration = Duration::from_secs(5);
/// How often small matters are looked after.
const TICK: Duration = Duration::from_secs(2);
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
