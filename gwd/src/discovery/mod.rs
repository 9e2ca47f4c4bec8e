//! Discovery of the hosts of upstreams: resolves names and watches files on its own thread, while a
//! version in memory uses them (semantics.md §4, data-plane.md §5).
//!
//! Each name or file is a [`Source`]. Upstreams and versions with the same query share its source.
//! Each upstream of each version in memory is a [`Follower`] of its sources. When the hosts of a
//! source change, gwd updates the hosts of the source's followers. Workers use the new hosts from
//! the next request on.
//!
//! A new kind of source needs a variant of [`QueryTarget`] and an arm in
//! [`DiscoveryThread::follow`].

pub(crate) mod dns;
pub mod file;
mod share;
pub(crate) mod source;
mod times;

pub(crate) use share::share_out;
pub use source::DiscoveredHost;
pub use times::Times;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::AbortHandle;

use crate::runtime::clock::Clock;
use crate::runtime::program_log::{Level, event};
use crate::runtime::random::Random;

use dns::{Dns, DnsQuery};
use source::{Answer, HostQuery, QueryEffect, QueryTarget, Source};

/// Maximum number of concurrent DNS queries.
const QUESTIONS_MAX: usize = 64;
/// Interval of the checks for changed name resolution settings of the system: 2s.
const SYSTEM_TICK: Duration = Duration::from_secs(2);
/// Interval of the checks for replaced files: 250ms.
const FILE_TICK: Duration = Duration::from_millis(250);
/// Time for which a source that no version in memory uses is still queried: 10 minutes. A rollback
/// within that time does not wait for an answer (release.md §7).
const IDLE_MS: u64 = 600_000;

/// Settings of host discovery.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Name servers to query. Default: those of the system.
    pub name_servers: Vec<SocketAddr>,
    /// Time limits of queries and answers.
    pub times: Times,
}

/// Upstream of a version in memory whose hosts come from sources.
pub(crate) trait Follower: Send + Sync {
    /// Sources of the upstream's hosts.
    fn sources(&self) -> Vec<Arc<Source>>;

    /// Replaces the upstream's hosts by the hosts of its sources.
    fn renew(&self, now_ms: u64);
}

/// All sources of the process, with the thread that queries them.
pub(crate) struct Discovery {
    clock: Clock,
    settings: Settings,
    inner: Mutex<Inner>,
    /// Notified when a source has received an answer and its followers are updated.
    answered: Condvar,
    /// Function that is called when the hosts of a source have changed.
    changed: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

struct Inner {
    sources: HashMap<HostQuery, ListedSource>,
    followers: Vec<Weak<dyn Follower>>,
    wanted: watch::Sender<Arc<[Arc<Source>]>>,
}

struct ListedSource {
    source: Arc<Source>,
    /// Time since which no version uses the source, in milliseconds. `None` while a version uses
    /// it.
    idle_since_ms: Option<u64>,
}

// === impl Discovery ===

impl Discovery {
    /// Starts the discovery thread, without any source.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub(crate) fn start(clock: Clock, settings: Settings) -> std::io::Result<Arc<Self>> {
        let (wanted, receiver) = watch::channel(Arc::default());
        let dns = settings.name_servers.clone();
        let discovery = Arc::new(Self {
            clock,
            settings,
            inner: Mutex::new(Inner {
                sources: HashMap::new(),
                followers: Vec::new(),
                wanted,
            }),
            answered: Condvar::new(),
            changed: OnceLock::new(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let weak = Arc::downgrade(&discovery);
        std::thread::Builder::new()
            .name("discovery".into())
            .spawn(move || {
                let asker = DiscoveryThread {
                    discovery: weak,
                    dns: Dns::new(dns),
                    slots: Semaphore::new(QUESTIONS_MAX),
                    again: Notify::new(),
                };
                let local = tokio::task::LocalSet::new();
                local.block_on(&runtime, follow(receiver, Rc::new(asker)));
            })?;
        Ok(discovery)
    }

    /// Sets the function that the discovery thread calls when the hosts of a source have changed.
    pub(crate) fn on_change(&self, changed: impl Fn() + Send + Sync + 'static) {
        let _set_once = self.changed.set(Box::new(changed));
    }

    /// Returns the source for a query, which is queried from now on. Equal queries share one
    /// source.
    pub(crate) fn source(&self, query: HostQuery) -> Arc<Source> {
        let mut inner = self.lock();
        if let Some(known) = inner.sources.get_mut(&query) {
            known.idle_since_ms = None;
            return Arc::clone(&known.source);
        }
        let source = Arc::new(Source::new(query.clone(), self.clock.now_ms()));
        let known = ListedSource {
            source: Arc::clone(&source),
            idle_since_ms: None,
        };
        inner.sources.insert(query, known);
        inner.send_sources();
        source
    }

    /// Updates the hosts of an upstream now, and again whenever the hosts of one of its sources
    /// change.
    pub(crate) fn follow(&self, follower: &Arc<impl Follower + 'static>) {
        if !follower.sources().is_empty() {
            let weak = Arc::downgrade(follower);
            self.lock().followers.push(weak);
        }
        follower.renew(self.clock.now_ms());
    }

    /// Waits until all given sources have an answer, at most until the time limit. Returns the
    /// number of sources without an answer.
    pub(crate) fn wait(&self, sources: &[&Arc<Source>], limit: Duration) -> usize {
        let end = Instant::now() + limit;
        let mut inner = self.lock();
        loop {
            let open = sources.iter().filter(|one| !one.is_settled()).count();
            let left = end.saturating_duration_since(Instant::now());
            if open == 0 || left.is_zero() {
                return open;
            }
            inner = self
                .answered
                .wait_timeout(inner, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Drops sources that no version in memory has used for [`IDLE_MS`]. Called every few seconds.
    pub(crate) fn tidy(&self) {
        let now_ms = self.clock.now_ms();
        let mut inner = self.lock();
        inner.followers.retain(|one| one.strong_count() > 0);
        let followers = inner.followers.iter().filter_map(Weak::upgrade);
        let followers: Vec<Arc<dyn Follower>> = followers.collect();
        let named = followers.iter().flat_map(|one| one.sources());
        let named: HashSet<*const Source> = named.map(|source| Arc::as_ptr(&source)).collect();
        let before = inner.sources.len();
        inner.sources.retain(|_, known| {
            let named = named.contains(&Arc::as_ptr(&known.source));
            if named {
                known.idle_since_ms = None;
            }
            let since_ms = *known.idle_since_ms.get_or_insert(now_ms);
            named || now_ms < since_ms + IDLE_MS
        });
        if inner.sources.len() != before {
            inner.send_sources();
        }
    }

    /// Stores an answer in its source, and updates the followers of the source.
    fn store_answer(&self, source: &Arc<Source>, answer: Answer, chance: u64) -> QueryEffect {
        let now_ms = self.clock.now_ms();
        let effect = source.process_answer(answer, now_ms, &self.settings.times, chance);
        let followers: Vec<Arc<dyn Follower>> = match effect.changed {
            true => self
                .lock()
                .followers
                .iter()
                .filter_map(Weak::upgrade)
                .collect(),
            false => Vec::new(),
        };
        let is_ours = |one: &Arc<Source>| Arc::ptr_eq(one, source);
        let ours = |one: &&Arc<dyn Follower>| one.sources().iter().any(is_ours);
        for follower in followers.iter().filter(ours) {
            follower.renew(now_ms);
        }
        // Notify under the lock, so that a waiter cannot miss the notification between its check
        // and its wait.
        let inner = self.lock();
        source.mark_applied();
        self.answered.notify_all();
        drop(inner);
        if effect.changed
            && let Some(changed) = self.changed.get()
        {
            changed();
        }
        log_effect(source, &effect);
        effect
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discovery").finish_non_exhaustive()
    }
}

impl Inner {
    /// Sends the current list of sources to the discovery thread, which queries exactly these.
    fn send_sources(&self) {
        let all = self.sources.values();
        let all = all.map(|known| Arc::clone(&known.source));
        self.wanted.send_replace(all.collect());
    }
}

/// Logs the changes of a source's state and hosts that an answer caused.
fn log_effect(source: &Source, effect: &QueryEffect) {
    let target = &source.query.target;
    let places = source.places();
    let mut facts = json!({
        "source": target.kind(),
        "name": target.name(),
        "hosts": places.len(),
    });
    match source.why() {
        Some(why) if effect.state_changed || effect.changed => {
            facts["error"] = (*why).into();
            let message = match places.is_empty() {
                true => "no hosts are known; requests fail until there is an answer",
                false => "hosts cannot be resolved; those of the last answer get requests",
            };
            event(Level::Warn, message, facts);
        }
        None if effect.state_changed => event(Level::Info, "hosts are resolved again", facts),
        None if effect.changed => event(Level::Info, "hosts have changed", facts),
        Some(_) | None => {}
    }
}

// === the discovery thread

/// State of the discovery thread.
struct DiscoveryThread {
    discovery: Weak<Discovery>,
    dns: Dns,
    slots: Semaphore,
    /// Notified when the system's settings have changed: all sources are queried again.
    again: Notify,
}

/// Task that queries a source; dropping this value aborts the task.
struct Running(AbortHandle);

/// Runs a task for each wanted source, and aborts the tasks of all other sources. Ends when the
/// sender is dropped.
async fn follow(mut wanted: watch::Receiver<Arc<[Arc<Source>]>>, asker: Rc<DiscoveryThread>) {
    let _system = Running(tokio::task::spawn_local(watch_system(Rc::clone(&asker))).abort_handle());
    let mut running: HashMap<HostQuery, Running> = HashMap::new();
    loop {
        let sources = Arc::clone(&wanted.borrow_and_update());
        running.retain(|query, _| sources.iter().any(|source| source.query == *query));
        for source in sources.iter() {
            let query = source.query.clone();
            running.entry(query).or_insert_with(|| {
                let followed = Rc::clone(&asker).follow(Arc::clone(source));
                Running(tokio::task::spawn_local(followed).abort_handle())
            });
        }
        drop(sources);
        if wanted.changed().await.is_err() {
            return;
        }
    }
}

/// Queries every source again when the system's name resolution settings have changed.
async fn watch_system(asker: Rc<DiscoveryThread>) {
    loop {
        tokio::time::sleep(SYSTEM_TICK).await;
        if asker.dns.is_outdated() {
            asker.again.notify_waiters();
        }
    }
}

impl DiscoveryThread {
    /// Queries a source repeatedly, or watches its file.
    async fn follow(self: Rc<Self>, source: Arc<Source>) {
        match &source.query.target {
            QueryTarget::Addresses { name, port } => {
                self.keep_asking(&source, DnsQuery::Addresses(name, *port))
                    .await;
            }
            QueryTarget::Services { name } => {
                self.keep_asking(&source, DnsQuery::Services(name)).await
            }
            QueryTarget::File { path } => self.keep_looking(&source, path).await,
        }
    }

    async fn keep_asking(&self, source: &Arc<Source>, query: DnsQuery<'_>) {
        let random = Random::new();
        loop {
            let answer = {
                let _slot = self.slots.acquire().await;
                self.dns.ask(query).await
            };
            let Some(discovery) = self.discovery.upgrade() else {
                return;
            };
            let effect = discovery.store_answer(source, answer, random.next());
            drop(discovery);
            let wait = Duration::from_millis(effect.wait_ms);
            let _sooner = tokio::time::timeout(wait, self.again.notified()).await;
        }
    }

    /// Reads a file whenever it has changed. File access runs on another thread.
    async fn keep_looking(&self, source: &Arc<Source>, path: &Path) {
        let mut seen = None;
        loop {
            let (path, before) = (path.to_owned(), seen);
            let looked = tokio::task::spawn_blocking(move || {
                // Take the stamp before reading, so that a write during the read is detected by the
                // next check.
                let stamp = file::stamp(&path);
                let same = before == Some(stamp);
                (stamp, (!same).then(|| file::read(&path)))
            });
            let Ok((stamp, answer)) = looked.await else {
                return;
            };
            seen = Some(stamp);
            let Some(discovery) = self.discovery.upgrade() else {
                return;
            };
            match answer {
                Some(answer) => drop(discovery.store_answer(source, answer, 0)),
                None => source.confirmed(discovery.clock.now_ms()),
            }
            drop(discovery);
            tokio::time::sleep(FILE_TICK).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}
