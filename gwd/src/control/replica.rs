//! Copy of a registry in the state folder, updated by a thread of its own.
//!
//! The control thread reads the copy like any store in a folder, so that a slow or missing registry
//! never delays requests of operators. The thread polls the registry for changes at an interval
//! with jitter, and at once after `POST /v1/notify`. While the registry cannot be reached, further
//! registries with copies are polled in their order. While none can be reached, the interval grows.
//! The polls of many nodes therefore do not coincide when the registry returns.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use bundle::channel;
use bundle::digest::Digest;
use bundle::moment::Moment;
use bundle::name::ChannelName;
use bundle::refused::Refused;
use bundle::store::folder::Folder;
use bundle::store::{Chain, Store as _, WriteError};
use registry::mirror::{Behind, Chains, Extent, Mirror, ReaderNeeds};
use registry::{Address, Registry, Settings};
use serde_json::{Value, json};

use super::poll_schedule;
use crate::runtime::clock;
use crate::runtime::program_log::{Level, event};

/// Name of the copy's folder in the state folder.
pub(super) const FOLDER: &str = "registry";
/// File in the copy's folder with the time of the last successful update.
const UPDATED: &str = "updated";
/// Maximum wait for the first update at a start, if the node already has records of the channel:
/// 3s.
const FIRST: Duration = Duration::from_secs(3);
/// Number of polls after which all links are compared, not only the newest ones.
const COMPLETE_EVERY: u32 = 20;
/// Maximum number of records whose bundles the control thread has requested.
const WANTED_MAX: usize = 16;

/// Registries to copy from.
#[derive(Clone, Debug)]
pub(crate) struct RegistryPlan {
    /// Registry of `--store`, then those of `--registry-fallback`. Each poll tries them in this
    /// order, until one answers.
    pub(crate) sources: Vec<Source>,
    /// Interval of the polls of the registry.
    pub(crate) poll: Duration,
}

/// A registry, and the settings of connections to it.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) address: Address,
    pub(crate) settings: Settings,
}

/// Copy to make: channel of a registry, folder of the copy, and the node's state folder.
#[derive(Clone, Debug)]
pub(super) struct CopyPlan {
    pub(super) registry: RegistryPlan,
    pub(super) channel: ChannelName,
    pub(super) copy: PathBuf,
    pub(super) state: PathBuf,
}

/// Message from the thread that updates the copy to the control thread. `A`: sender of the result
/// to a waiting operator.
#[derive(Debug)]
pub(super) enum News<A> {
    /// The copy, or the reason why it cannot be updated, has changed.
    Changed,
    /// The copy was updated, as this operator requested.
    Copied(A),
}

/// Handle of the thread that updates the copy.
#[derive(Debug)]
pub(super) struct Replica<A> {
    /// Registry of `--store`.
    address: Address,
    channel: ChannelName,
    orders: Sender<Order<A>>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
enum Order<A> {
    /// Update the copy now and report the result to the operator.
    Now(A),
    /// Update the copy soon, because it lacks a bundle.
    Wanted,
}

#[derive(Debug, Default)]
struct State {
    /// Reason why the last update failed, from the registry of `--store`.
    error: Option<Refused>,
    /// Registry that answered the last successful update. `None`: none since the start.
    answered: Option<Address>,
    /// Registries that did not answer the last update, with the reasons.
    silent: Vec<(Address, Refused)>,
    /// End of the last update, also of a failed one. `None`: none has ended since the start.
    polled: Option<Moment>,
    /// Time of the last successful update, also by an earlier process. `None`: never updated.
    updated: Option<Moment>,
    /// Newest record after the last successful update. `None`: the channel had none.
    newest: Option<NewestRecord>,
    /// Number of updates from the registry of `--store` since the start.
    succeeded: u64,
    /// Number of updates from other registries since the start.
    replaced: u64,
    /// Number of failed updates since the start.
    failed: u64,
    /// Records whose bundles are needed.
    wanted: BTreeSet<Digest>,
}

/// Newest record of a copy. Its signatures are not checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NewestRecord {
    serial: u64,
    digest: Digest,
    /// Bundle that the record names. `None`: the record cannot be read.
    bundle: Option<Digest>,
}

/// Data of the thread that updates the copy.
struct Updater<T> {
    plan: CopyPlan,
    /// Copies from each source, into the same folder.
    mirrors: Vec<(Address, Mirror)>,
    /// Index of the source that last answered for the channel.
    used: usize,
    /// Index of the source that was queried last.
    asked: usize,
    state: Arc<Mutex<State>>,
    /// Sends news to the control thread.
    report: T,
    failures: u32,
}

impl RegistryPlan {
    /// Registry of `--store`.
    pub(super) fn first(&self) -> &Source {
        &self.sources[0]
    }
}

impl Source {
    /// Opens the registry itself and not its copy. Sends no request.
    pub(super) fn open(&self) -> Result<Registry, Refused> {
        Registry::open(self.address.clone(), &self.settings)
    }
}

impl CopyPlan {
    /// Opens all registries for copying. Sends no request.
    fn mirrors(&self) -> Result<Vec<(Address, Mirror)>, Refused> {
        let sources = self.registry.sources.iter();
        let opened = sources.map(|source| {
            let mirror = Mirror::new(source.open()?, &self.copy, self.channel.clone());
            Ok((source.address.clone(), mirror))
        });
        opened.collect()
    }
}

impl<A: Send + 'static> Replica<A> {
    /// Starts the thread that updates the copy, and waits for the first update. The wait is short
    /// if the node already has records of the channel. `report` sends events to the control thread.
    ///
    /// # Errors
    /// If the CA certificates cannot be read.
    pub(super) fn start(
        plan: CopyPlan,
        report: impl Fn(News<A>) + Send + 'static,
    ) -> Result<Self, Refused> {
        let mirrors = plan.mirrors()?;
        let address = plan.registry.first().address.clone();
        let channel = plan.channel.clone();
        let state = Arc::new(Mutex::new(State {
            updated: read_updated(&plan.copy),
            newest: read_newest(&plan),
            ..State::default()
        }));
        // Ignore an error, for example on a read-only file system: the folder may already contain
        // everything that a start needs. Otherwise the start fails later.
        let _read_only = Folder::create(&plan.copy);
        let chain = Chain::Channel(plan.channel.clone());
        let has_records = |folder: &PathBuf| {
            let serials = Folder::open(folder).and_then(|folder| folder.serials(&chain));
            serials.is_ok_and(|serials| !serials.is_empty())
        };
        let can_start = has_records(&plan.copy) || has_records(&plan.state);
        let mut updater = Updater {
            plan,
            mirrors,
            used: 0,
            asked: 0,
            state: Arc::clone(&state),
            report,
            failures: 0,
        };
        let (orders, queue) = mpsc::channel();
        let (first, updated) = mpsc::channel();
        let started = thread::Builder::new()
            .name("registry".to_owned())
            .spawn(move || {
                updater.update(Extent::Links);
                let _late = first.send(());
                updater.run(&queue);
            });
        started.map_err(|error| Refused::StoreUnreachable {
            why: error.to_string(),
        })?;
        match can_start {
            true => drop(updated.recv_timeout(FIRST)),
            false => drop(updated.recv()),
        }
        Ok(Self {
            address,
            channel,
            orders,
            state,
        })
    }

    /// Reason why the last update of the copy failed. `None`: it succeeded.
    pub(super) fn error(&self) -> Option<Refused> {
        self.lock().error.clone()
    }

    /// Updates the copy at once, and then sends [`News::Copied`] with `answer` to the control
    /// thread.
    pub(super) fn update_now(&self, answer: A) {
        let _stopped = self.orders.send(Order::Now(answer));
    }

    /// Requests a copy of the bundle of `record`, which need not be the newest record: the newest
    /// record may be signed by a revoked key.
    pub(super) fn want(&self, record: Digest) {
        let mut state = self.lock();
        if state.wanted.len() >= WANTED_MAX {
            state.wanted.clear();
        }
        if state.wanted.insert(record) {
            let _stopped = self.orders.send(Order::Wanted);
        }
    }

    /// Part of the status: the registry, the last poll and its result, and the age of the copy.
    pub(super) fn status(&self) -> Value {
        let state = self.lock();
        let now_s = now().unix_s();
        let age_s = |at: Option<Moment>| at.map(|at| now_s.saturating_sub(at.unix_s()));
        let newest = state.newest.map(|newest| {
            json!({
                "serial": newest.serial,
                "digest": newest.digest.to_string(),
                "bundle": newest.bundle.map(|bundle| bundle.to_string()),
            })
        });
        let silent = state.silent.iter().map(
            |(address, why)| json!({"address": address.to_string(), "error": why.to_string()}),
        );
        json!({
            "address": self.address.to_string(),
            "host": self.address.authority(),
            "repository": self.address.repository(),
            "channel": self.channel.as_str(),
            "polled": state.polled.map(|at| at.to_string()),
            "polled_age_s": age_s(state.polled),
            "error": state.error.as_ref().map(ToString::to_string),
            "answered": state.answered.as_ref().map(ToString::to_string),
            "silent": silent.collect::<Vec<_>>(),
            "updated": state.updated.map(|at| at.to_string()),
            "age_s": age_s(state.updated),
            "newest": newest,
        })
    }

    /// Numbers of updates since the start, by result.
    pub(super) fn polls(&self) -> [(&'static str, u64); 3] {
        let state = self.lock();
        [
            ("ok", state.succeeded),
            ("fallback", state.replaced),
            ("failed", state.failed),
        ]
    }

    /// Time of the last successful update (Unix time in seconds). 0: never.
    pub(super) fn updated_unix_s(&self) -> u64 {
        self.lock().updated.map_or(0, Moment::unix_s)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Updater<T> {
    /// Updates the copy until the control thread ends.
    fn run<A>(&mut self, orders: &Receiver<Order<A>>)
    where
        T: Fn(News<A>),
    {
        let mut polls: u32 = 0;
        loop {
            let (answer, extent) = match orders.recv_timeout(self.pause()) {
                Ok(Order::Now(answer)) => (Some(answer), Extent::Links),
                Ok(Order::Wanted) => (None, Extent::Heads),
                Err(RecvTimeoutError::Timeout) => {
                    polls = polls.wrapping_add(1);
                    let extent = match polls.is_multiple_of(COMPLETE_EVERY) {
                        true => Extent::Links,
                        false => Extent::Heads,
                    };
                    (None, extent)
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut answers: Vec<A> = answer.into_iter().collect();
            // One update answers all commands that wait.
            while let Ok(order) = orders.try_recv() {
                if let Order::Now(answer) = order {
                    answers.push(answer);
                }
            }
            let changed = self.update(extent);
            if changed {
                (self.report)(News::Changed);
            }
            for answer in answers {
                (self.report)(News::Copied(answer));
            }
        }
    }

    /// Updates the copy once. Returns true if the control thread should read the copy or the error.
    fn update(&mut self, extent: Extent) -> bool {
        let wanted = ReaderNeeds {
            since: self.remembered(&Chain::Channel(self.plan.channel.clone())),
            revocations_since: self.remembered(&Chain::Revocations),
            records: self.lock().wanted.clone(),
        };
        let mut silent = Vec::new();
        let updated = self.first_answer(extent, &wanted, &mut silent);
        let (changed, error) = match updated {
            (changed, true) => (changed, None),
            (changed, false) => (changed, silent.first().map(|(_, why)| why.clone())),
        };
        self.failures = match error {
            None => 0,
            Some(_) => self.failures.saturating_add(1),
        };
        let newest = match error {
            None => read_newest(&self.plan),
            Some(_) => None,
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let has_changed = changed || state.error != error || state.silent != silent;
        let at = now();
        state.polled = Some(at);
        if error.is_some() {
            state.failed += 1;
        } else {
            match self.used {
                0 => state.succeeded += 1,
                _ => state.replaced += 1,
            }
            let before = state.answered.replace(self.mirrors[self.used].0.clone());
            self.log_answering(before.as_ref(), silent.first());
            state.updated = Some(at);
            state.newest = newest;
            // Only the age in the status depends on this file.
            let file = self.plan.copy.join(UPDATED);
            let _read_only = std::fs::write(file, at.unix_s().to_string());
        }
        state.error = error;
        state.silent = silent;
        has_changed
    }

    /// Logs a change of the registry that answers. `before`: registry that answered the last
    /// successful update. `silent`: first registry that did not answer, with the reason.
    fn log_answering(&self, before: Option<&Address>, silent: Option<&(Address, Refused)>) {
        let (first, used) = (&self.mirrors[0].0, &self.mirrors[self.used].0);
        if before.unwrap_or(first) == used {
            return;
        }
        match silent.filter(|_| used != first) {
            Some((address, why)) => event(
                Level::Warn,
                "another registry answers instead of the first one",
                json!({
                    "registry": used.to_string(),
                    "silent": address.to_string(),
                    "error": why.to_string(),
                    "do": "check the registry of --store",
                }),
            ),
            None => event(
                Level::Info,
                "the registry of --store answers again",
                json!({"registry": used.to_string()}),
            ),
        }
    }

    /// Updates each chain of the copy from the first registry that answers and is not behind.
    /// Returns whether the copy has changed, and whether a registry answered for the channel. Adds
    /// the registries that did not answer, or are behind, to `silent`.
    fn first_answer(
        &mut self,
        extent: Extent,
        wanted: &ReaderNeeds,
        silent: &mut Vec<(Address, Refused)>,
    ) -> (bool, bool) {
        let behind = match self.mirrors.len() {
            1 => Behind::Copied,
            _ => Behind::Skipped,
        };
        let (mut left, mut changed, mut is_empty) = (Chains::BOTH, false, false);
        for (at, (address, mirror)) in self.mirrors.iter_mut().enumerate() {
            if self.asked != at {
                // A different source may have changed the copy since the last update from this
                // source.
                mirror.compare_all();
                self.asked = at;
            }
            let why = match mirror.update(extent, (left, behind), wanted, now()) {
                Ok(updated) => {
                    changed |= updated.changed;
                    is_empty |= updated.is_empty;
                    if left.channel && !updated.skipped.channel {
                        self.used = at;
                    }
                    left = updated.skipped;
                    match updated.why {
                        None => return (changed, true),
                        Some(why) => why,
                    }
                }
                Err(WriteError::Refused(refused)) => refused,
                Err(conflict @ WriteError::Conflict { .. }) => Refused::StoreUnreachable {
                    why: conflict.to_string(),
                },
            };
            silent.push((address.clone(), why));
        }
        // If the registries that answer have no records of the channel, the update has succeeded.
        (changed, !left.channel || is_empty)
    }

    /// Highest serial of a chain in the state folder. 0: none.
    fn remembered(&self, chain: &Chain) -> u64 {
        let serials = Folder::open(&self.plan.state).and_then(|folder| folder.serials(chain));
        serials
            .ok()
            .and_then(|all| all.last().copied())
            .unwrap_or(0)
    }

    /// Wait before the next poll.
    fn pause(&self) -> Duration {
        let random = RandomState::new().hash_one(self.failures);
        poll_schedule::pause(self.plan.registry.poll, self.failures, random)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> Moment {
    Moment::from_unix_s(clock::unix_s())
}

fn read_updated(folder: &Path) -> Option<Moment> {
    let text = std::fs::read_to_string(folder.join(UPDATED)).ok()?;
    text.trim().parse().ok().map(Moment::from_unix_s)
}

/// Reads the newest record of the channel in the copy. `None`: there is none, or the copy cannot be
/// read.
fn read_newest(plan: &CopyPlan) -> Option<NewestRecord> {
    let copy = Folder::open(&plan.copy).ok()?;
    let chain = Chain::Channel(plan.channel.clone());
    let serial = copy.serials(&chain).ok()?.last().copied()?;
    let digest = copy.link(&chain, serial).ok()??;
    let bundle = channel::read(&copy, &digest).ok().map(|read| read.bundle);
    Some(NewestRecord {
        serial,
        digest,
        bundle,
    })
}
