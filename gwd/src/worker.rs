//! Worker: state of one thread, which accepts connections and handles their requests.
//!
//! Each worker has a single-threaded runtime, its own socket for every address, its own connection
//! pools, and its own metric cells. Nothing here takes a lock. State of the whole process is in
//! [`Shared`]. `node::thread` runs the worker.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use policy::auth::jwt::TokenCache;
use rustc_hash::FxHashMap;
use tokio::sync::{Notify, mpsc};

use crate::limits::budget::LocalQuota;
use crate::limits::waiting::Waiting;
use crate::listen::ListenSocket;
use crate::listen::accept::LAST_EXCHANGE_MS;
use crate::listen::spread::{Peers, TransferredConnection};
use crate::published::{Current, Loaded, Shared};
use crate::runtime::clock;
use crate::runtime::deadlines::Deadlines;
use crate::telemetry::access_log;
use crate::telemetry::shard::Shard;
use crate::telemetry::traces::Tracer;
use crate::upstream::call_cx::CallCx;
use crate::upstream::pool::PooledUpstream;
use crate::upstream::service::Service;

/// Number of parked connections (idle, without buffers) after which unused memory is returned to
/// the system.
const PARKED_MIN: usize = 256;

/// Time for which a replaced version is kept because the new version does not name one of its
/// addresses: 3s. During this time, connections that were accepted at the address may still begin
/// an exchange.
const LEFT_MS: u64 = LAST_EXCHANGE_MS + 1_000;

/// State of one worker.
pub(crate) struct Worker {
    /// Resources for calls to upstreams. `Worker` dereferences to these resources.
    calls: CallCx,
    pub(crate) deadlines: Rc<Deadlines>,
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) log: access_log::Writer,
    /// Sampler of traces. `None`: traces are off.
    pub(crate) tracer: Option<Tracer>,
    /// Notified when the access log has lines to flush.
    pub(crate) log_waits: Notify,
    /// Permits of this worker, from the process-wide limit on requests in progress.
    pub(crate) requests: LocalQuota,
    pub(crate) waiting: Waiting,
    /// Cache of tokens that this worker has verified.
    pub(crate) tokens: TokenCache,
    /// Number of requests of which copies are being sent to mirrors.
    pub(crate) copied: Cell<usize>,
    peers: Peers,
    view: RefCell<Option<Rc<View>>>,
    epoch: Cell<u64>,
    /// Time at which the drain started, in milliseconds of the clock; `None`: no drain. While
    /// draining, each connection ends after its current exchange.
    draining_ms: Cell<Option<u64>>,
    /// Time at which open tunnels are closed, in milliseconds of the monotonic clock.
    tunnels_end_ms: Cell<u64>,
    /// Unix time in seconds after which all connections are woken, because the certificate of a
    /// client with an open response or tunnel may have expired.
    certificate_ends_s: Cell<u64>,
    /// By socket id: last version that named an address which the running version no longer names.
    /// Contains the time in milliseconds at which that version was replaced.
    left: RefCell<FxHashMap<u32, (Rc<View>, u64)>>,
    /// Unix time in milliseconds at time 0 of the monotonic clock.
    wall_ms: Cell<u64>,
    /// Current value of `Date`, updated once a second.
    date: Cell<[u8; clock::HTTP_DATE_BYTES]>,
    /// Number of connections that were parked since memory was last returned to the system.
    parked: Cell<usize>,
    /// Notified when unused memory should be returned to the system.
    pub(crate) many_parked: Notify,
}

/// Version of the configuration as used by one worker.
pub(crate) struct View {
    current: Option<Arc<Current>>,
    /// Role of the candidate beside this version.
    beside: Beside,
    /// True for the candidate of a progressive release.
    is_candidate: bool,
    shared: Arc<Shared>,
    /// Services, by index of the upstream. Created at first use, and again when the hosts have
    /// changed.
    services: Box<[RefCell<Option<Rc<Service>>>]>,
}

/// Candidate of a progressive release beside a version.
pub(crate) enum Beside {
    /// There is no candidate.
    Nothing,
    /// The candidate serves a share of the requests.
    Candidate(Rc<View>),
    /// The candidate decides a share of the requests too ([`Current::shadow`]).
    Shadow,
}

// === impl Worker ===

impl Worker {
    /// Creates a worker without a version to serve. `peers` are the senders to all workers.
    pub(crate) fn new(
        index: usize,
        shared: Arc<Shared>,
        peers: Peers,
        shard: Shard,
        (log, tracer): (access_log::Writer, Option<Tracer>),
    ) -> Rc<Self> {
        let calls = CallCx::new(shared.clock, shard, &shared.budgets);
        Rc::new(Self {
            calls,
            deadlines: Deadlines::new(shared.clock),
            index,
            log,
            tracer,
            log_waits: Notify::new(),
            requests: LocalQuota::new(&shared.budgets.requests, peers.len()),
            waiting: Waiting::default(),
            peers,
            tokens: TokenCache::default(),
            copied: Cell::new(0),
            view: RefCell::new(None),
            epoch: Cell::new(0),
            draining_ms: Cell::new(None),
            tunnels_end_ms: Cell::new(u64::MAX),
            certificate_ends_s: Cell::new(u64::MAX),
            left: RefCell::default(),
            wall_ms: Cell::new(clock::unix_ms().saturating_sub(shared.clock.now_ms())),
            date: Cell::new(clock::http_date()),
            parked: Cell::new(0),
            many_parked: Notify::new(),
            shared,
        })
    }

    /// Resources for calls to upstreams.
    pub(crate) fn calls(&self) -> &CallCx {
        &self.calls
    }

    /// Running version for one exchange, or `None` before the first activation.
    pub(crate) fn view(&self) -> Option<Rc<View>> {
        let epoch = self.shared.epoch();
        if epoch != self.epoch.get() {
            self.refresh();
        }
        self.view.borrow().as_ref().map(Rc::clone)
    }

    /// Version that this worker uses now. Does not check if a newer version was published. `None`
    /// before the first activation.
    pub(crate) fn current_view(&self) -> Option<Rc<View>> {
        self.view.borrow().as_ref().map(Rc::clone)
    }

    #[cold]
    fn refresh(&self) {
        let Some(current) = self.shared.current() else {
            return;
        };
        let epoch = current.epoch;
        let view = Rc::new(View::of(&self.shared, current, false));
        let before = self.view.replace(Some(Rc::clone(&view)));
        if let Some(before) = before {
            self.remember_left(&before, &view);
        }
        self.epoch.set(epoch);
        self.shared.acknowledge(self.index, epoch);
    }

    /// Version and listener index for a connection at an address: the running version, otherwise
    /// the candidate beside it. If neither names the address, for a short time the last version
    /// that named it. `None` if no such version is kept.
    pub(crate) fn view_at(
        &self,
        newest: &Rc<View>,
        socket: &ListenSocket,
    ) -> Option<(Rc<View>, usize)> {
        match newest.listener(socket.id) {
            Some(listener) => Some((Rc::clone(newest), listener)),
            None => self.view_elsewhere(newest, socket.id),
        }
    }

    #[cold]
    fn view_elsewhere(&self, newest: &View, socket: u32) -> Option<(Rc<View>, usize)> {
        if let Some(candidate) = newest.candidate()
            && let Some(listener) = candidate.listener(socket)
        {
            return Some((Rc::clone(candidate), listener));
        }
        let left = self.left.borrow();
        let (view, _) = left.get(&socket)?;
        Some((Rc::clone(view), view.listener(socket)?))
    }

    /// Stores, for each address that the new versions do not name, the previous version that names
    /// it.
    fn remember_left(&self, before: &Rc<View>, now: &View) {
        let now_ms = self.clock.now_ms();
        let mut left = self.left.borrow_mut();
        left.retain(|socket, _| !now.names(*socket));
        for view in std::iter::once(before).chain(before.candidate()) {
            for socket in (0u32..).take(view.current().listener_of_socket.len()) {
                if view.listener(socket).is_some() && !now.names(socket) {
                    left.entry(socket)
                        .or_insert_with(|| (Rc::clone(view), now_ms));
                }
            }
        }
    }

    /// Start of the drain in milliseconds of the clock; `None` if the worker does not drain.
    pub(crate) fn draining_ms(&self) -> Option<u64> {
        self.draining_ms.get()
    }

    /// Time from which tunnels are closed, in milliseconds of the clock.
    pub(crate) fn tunnels_end_ms(&self) -> u64 {
        self.tunnels_end_ms.get()
    }

    /// Converts a time of the monotonic clock in nanoseconds to Unix time in milliseconds. After a
    /// change of the wall clock, the value is wrong for at most one second.
    pub(crate) fn unix_ms(&self, now_ns: u64) -> u64 {
        self.wall_ms.get() + now_ns / 1_000_000
    }

    /// Current value for the `Date` field.
    pub(crate) fn date(&self) -> [u8; clock::HTTP_DATE_BYTES] {
        self.date.get()
    }

    /// Starts the drain: connections end after their exchange, and open tunnels after `tunnels`.
    pub(crate) fn drain(&self, tunnels: Duration) {
        let now_ms = self.clock.now_ms();
        let tunnels_ms = u64::try_from(tunnels.as_millis()).unwrap_or(u64::MAX);
        self.draining_ms.set(Some(now_ms));
        self.tunnels_end_ms.set(now_ms.saturating_add(tunnels_ms));
        self.deadlines.wake_all();
    }

    /// Schedules a wake-up of all connections at this Unix time in seconds, accurate to a second.
    pub(crate) fn wake_after(&self, unix_s: u64) {
        let earlier_s = self.certificate_ends_s.get().min(unix_s);
        self.certificate_ends_s.set(earlier_s);
    }

    /// Performs the tasks of each second: heartbeat, wall clock, hosts, idle connections, and
    /// versions that are no longer needed.
    pub(crate) fn tick(&self) {
        let now_ms = self.clock.now_ms();
        self.shared.beat(self.index, now_ms);
        self.wall_ms.set(clock::unix_ms().saturating_sub(now_ms));
        self.date.set(clock::http_date());
        if let Some(view) = self.current_view() {
            view.renew_services(self);
            if let Some(candidate) = view.candidate() {
                candidate.renew_services(self);
            }
        }
        self.pools.sweep(now_ms);
        self.left
            .borrow_mut()
            .retain(|_, (_, since_ms)| now_ms < *since_ms + LEFT_MS);
        let certificate_ended = clock::unix_ms() / 1_000 > self.certificate_ends_s.get();
        if certificate_ended {
            self.certificate_ends_s.set(u64::MAX);
        }
        let is_pressed = self.draining_ms.get().is_some() || self.budgets.memory.is_scarce();
        if certificate_ended || is_pressed {
            self.deadlines.wake_all();
        }
    }

    /// Hands an accepted connection over to another worker. Returns the connection in `Err` if that
    /// worker's queue is full.
    pub(crate) fn hand(
        &self,
        to: usize,
        handed: TransferredConnection,
    ) -> Result<(), TransferredConnection> {
        let sent = self.peers[to].try_send(handed);
        sent.map_err(mpsc::error::TrySendError::into_inner)
    }

    /// Counts a connection that was parked: it is idle and has released its buffers.
    pub(crate) fn parked_one(&self) {
        self.parked.set(self.parked.get() + 1);
        if self.parked.get() == PARKED_MIN {
            self.many_parked.notify_one();
        }
    }

    /// Resets the count of parked connections to 0, because unused memory is returned now.
    pub(crate) fn none_parked(&self) {
        self.parked.set(0);
    }

    /// Schedules a flush of the access log.
    pub(crate) fn flush_log_soon(&self) {
        self.log_waits.notify_one();
    }
}

impl Deref for Worker {
    type Target = CallCx;

    fn deref(&self) -> &CallCx {
        &self.calls
    }
}

// === impl View ===

impl View {
    /// View of a version. `is_candidate`: the version serves requests beside the running version.
    fn of(shared: &Arc<Shared>, current: Arc<Current>, is_candidate: bool) -> Self {
        let upstreams = current.loaded.snapshot.upstreams().len();
        let beside = match (&current.candidate, &current.shadow) {
            (Some(candidate), _) => {
                let version = Arc::clone(&candidate.version);
                Beside::Candidate(Rc::new(Self::of(shared, version, true)))
            }
            (None, Some(_)) => Beside::Shadow,
            (None, None) => Beside::Nothing,
        };
        Self {
            current: Some(current),
            beside,
            is_candidate,
            shared: Arc::clone(shared),
            services: (0..upstreams).map(|_| RefCell::default()).collect(),
        }
    }

    /// View of a version that is not published, for requests that the gateway itself makes before
    /// the switch. The view has no listeners.
    pub(crate) fn unpublished(worker: &Worker, loaded: Arc<Loaded>) -> Self {
        let current = Current {
            epoch: 0,
            loaded,
            revoked: Arc::default(),
            serial: 0,
            listener_of_socket: Box::default(),
            candidate: None,
            shadow: None,
        };
        Self::of(&worker.shared, Arc::new(current), false)
    }

    pub(crate) fn current(&self) -> &Current {
        self.current
            .as_deref()
            .expect("the version is taken only when the view is dropped")
    }

    /// Role of the candidate beside this version.
    pub(crate) const fn beside(&self) -> &Beside {
        &self.beside
    }

    /// View of the candidate that serves a share of the requests beside this version. `None`: this
    /// version serves all requests.
    pub(crate) const fn candidate(&self) -> Option<&Rc<Self>> {
        match &self.beside {
            Beside::Candidate(candidate) => Some(candidate),
            Beside::Nothing | Beside::Shadow => None,
        }
    }

    /// True if this version or its candidate names the address of a socket.
    fn names(&self, socket: u32) -> bool {
        let candidate = self.candidate();
        self.listener(socket).is_some()
            || candidate.is_some_and(|candidate| candidate.listener(socket).is_some())
    }

    /// Index of this version's listener at a socket, or `None` if the version does not name the
    /// address.
    pub(crate) fn listener(&self, socket: u32) -> Option<usize> {
        let listeners = &self.current().listener_of_socket;
        listeners.get(socket as usize).copied().flatten()
    }

    /// Service of this worker for an upstream, with the current hosts.
    pub(crate) fn service(&self, worker: &Worker, upstream: u32) -> Rc<Service> {
        let known = &self.services[upstream as usize];
        if let Some(service) = &*known.borrow()
            && service.is_now()
        {
            return Rc::clone(service);
        }
        self.renew_service(worker, upstream as usize)
    }

    #[cold]
    fn renew_service(&self, worker: &Worker, index: usize) -> Rc<Service> {
        let loaded = &self.current().loaded;
        let common = &loaded.commons[index];
        let of = PooledUpstream {
            upstream: &loaded.snapshot.upstreams()[index],
            state: &common.state,
            uid: loaded.upstream_uids[index],
            connector: loaded.connectors[index].as_ref(),
        };
        let zone = self.shared.zone.as_deref();
        let service = Rc::new(Service::new(
            worker.calls(),
            &of,
            common,
            (zone, self.is_candidate),
        ));
        self.services[index].replace(Some(Rc::clone(&service)));
        service
    }

    /// Replaces services with outdated hosts, even if no request uses the services.
    fn renew_services(&self, worker: &Worker) {
        for (index, known) in self.services.iter().enumerate() {
            let outdated = |service: &Rc<Service>| !service.is_now();
            if known.borrow().as_ref().is_some_and(outdated) {
                self.renew_service(worker, index);
            }
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if let Some(current) = self.current.take() {
            self.shared.discard(current);
        }
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Worker({})", self.index)
    }
}

/// Guard that counts a client connection of a listening socket until it is dropped.
pub(crate) struct Counted(pub(crate) Arc<ListenSocket>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
