//! Worker: a thread that accepts connections, and decides on and forwards requests on its own.
//!
//! Each worker has a single-threaded runtime, its own socket for every address, its own connection
//! pools, and its own metric cells. Nothing here takes a lock. State of the whole process is in
//! [`Shared`].

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use policy::auth::jwt::TokenCache;
use rustc_hash::FxHashMap;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};

use crate::limits::budget::LocalQuota;
use crate::limits::memory;
use crate::limits::waiting::Waiting;
use crate::listen::ListenSocket;
use crate::listen::accept::{Accepting, LAST_EXCHANGE_MS, Server};
use crate::listen::spread::{Handed, Peers};
use crate::proxy::arrival;
use crate::published::{Current, Shared};
use crate::runtime::clock;
use crate::runtime::deadlines::Deadlines;
use crate::runtime::random::Random;
use crate::runtime::vital;
use crate::spare::SpareMaps;
use crate::telemetry::access_log;
use crate::telemetry::process::Shed;
use crate::telemetry::shard::Shard;
use crate::upstream::{Service, effects, pool::Pools};

/// Command from the control thread to a worker.
#[derive(Debug)]
pub(crate) enum Command {
    /// Use the version that was published, and acknowledge its epoch.
    Switch,
    /// Listen at an address and accept connections.
    Listen(
        Arc<ListenSocket>,
        Vec<std::net::TcpListener>,
        std::sync::mpsc::Sender<io::Result<()>>,
    ),
    /// Allow no new handshakes at an address, accept those in progress for the given time, then
    /// stop listening and drop the sender.
    Leave(u32, Duration, std::sync::mpsc::Sender<()>),
    /// Stop accepting at an address without any change to its sockets, which another process uses
    /// as well.
    Abandon(u32),
    /// Close every connection after its current exchange, and tunnels after the given time.
    Drain(Duration),
}

/// Maximum number of commands in a worker's queue.
pub(crate) const COMMANDS_MAX: usize = 1_024;

/// Number of parked connections after which unused memory is returned to the system, and the delay
/// before that (250ms).
const PARKED_MIN: usize = 256;
const PARKED_TICK: Duration = Duration::from_millis(250);

/// Time for which the last version that named an address is kept: 3s. During this time, connections
/// that were accepted at the address may still begin an exchange.
const LEFT_MS: u64 = LAST_EXCHANGE_MS + 1_000;

/// Interval at which the duration of an event loop turn is measured: 100ms.
const LAG_TICK: Duration = Duration::from_millis(100);

/// While connections wait for memory: interval at which some of them are woken to try again (10ms),
/// and their number (32).
const ROOM_TICK: Duration = Duration::from_millis(10);
const ROOM_EACH: usize = 32;

/// State of one worker.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) deadlines: Rc<Deadlines>,
    pub(crate) shard: Shard,
    pub(crate) random: Random,
    pub(crate) log: access_log::Writer,
    /// Local part of the limit on requests in progress.
    pub(crate) requests: LocalQuota,
    pub(crate) waiting: Waiting,
    pub(crate) pools: Pools,
    /// Notified when requests wait for a connection and this worker has an idle one.
    pub(crate) wanted: Arc<Notify>,
    pub(crate) spare_maps: SpareMaps,
    /// Cache of tokens that this worker has verified.
    pub(crate) tokens: TokenCache,
    /// Number of requests that are being copied to mirrors.
    pub(crate) copied: Cell<usize>,
    peers: Peers,
    view: RefCell<Option<Rc<View>>>,
    epoch: Cell<u64>,
    /// Start of the drain, since which connections end after their exchange. Milliseconds of the
    /// clock.
    draining_ms: Cell<Option<u64>>,
    /// Time at which open tunnels are closed, in milliseconds of the monotonic clock.
    tunnels_end_ms: Cell<u64>,
    /// Last version that named an address, by socket id, with the time at which it was replaced.
    left: RefCell<FxHashMap<u32, (Rc<View>, u64)>>,
    /// Difference of the wall clock and the monotonic clock, in milliseconds.
    wall_ms: Cell<u64>,
    /// Current value of `Date`, updated once a second.
    date: Cell<[u8; clock::HTTP_DATE_BYTES]>,
    log_waits: Notify,
    /// Number of connections that were parked since memory was last returned to the system.
    parked: Cell<usize>,
    many_parked: Notify,
}

/// Version as used by one worker.
pub(crate) struct View {
    current: Option<Arc<Current>>,
    shared: Arc<Shared>,
    /// Services, by index of the upstream. Created at first use, and again when the hosts have
    /// changed.
    services: Box<[RefCell<Option<Rc<Service>>>]>,
}

/// Parts from which a worker is built.
pub(crate) struct Parts {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: mpsc::Receiver<Command>,
    /// Senders to all workers.
    pub(crate) peers: Peers,
    /// Receiver of connections that other workers have accepted for this one.
    pub(crate) handed: mpsc::Receiver<Handed>,
    pub(crate) shard: Shard,
    pub(crate) log: access_log::Writer,
}

/// Runs a worker on the calling thread until the sender of commands is dropped.
///
/// # Errors
/// If the runtime cannot be created.
pub(crate) fn run(parts: Parts) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, Worker::serve(parts));
    Ok(())
}

// === impl Worker ===

impl Server for Worker {
    fn accepted(self: &Rc<Self>, socket: &Arc<ListenSocket>, stream: TcpStream, peer: SocketAddr) {
        arrival::accepted(self, socket, stream, peer);
    }

    fn exhausted(&self) {
        self.counters().shed(Shed::FileDescriptors);
    }

    fn half_open(&self) -> Duration {
        Duration::from_millis(self.shared.patience.half_open_ms)
    }

    fn now_ms(&self) -> u64 {
        self.shared.clock.now_ms()
    }

    fn wake_all(&self) {
        self.deadlines.wake_all();
    }
}

impl Worker {
    async fn serve(parts: Parts) {
        let Parts {
            index,
            shared,
            mut commands,
            peers,
            mut handed,
            shard,
            log,
        } = parts;
        let deadlines = Deadlines::new(shared.clock);
        let worker = Rc::new(Self {
            index,
            deadlines: Rc::clone(&deadlines),
            shard,
            random: Random::new(),
            log,
            requests: LocalQuota::new(&shared.budgets.requests, peers.len()),
            waiting: Waiting::default(),
            peers,
            pools: Pools::default(),
            wanted: Arc::default(),
            spare_maps: SpareMaps::default(),
            tokens: TokenCache::default(),
            copied: Cell::new(0),
            view: RefCell::new(None),
            epoch: Cell::new(0),
            draining_ms: Cell::new(None),
            tunnels_end_ms: Cell::new(u64::MAX),
            left: RefCell::default(),
            wall_ms: Cell::new(clock::unix_ms().saturating_sub(shared.clock.now_ms())),
            date: Cell::new(clock::http_date()),
            log_waits: Notify::new(),
            parked: Cell::new(0),
            many_parked: Notify::new(),
            shared,
        });
        vital::spawn_local(async move { deadlines.run().await });
        vital::spawn_local(Rc::clone(&worker).sweep());
        vital::spawn_local(Rc::clone(&worker).watch_lag());
        vital::spawn_local(Rc::clone(&worker).flush_log());
        vital::spawn_local(Rc::clone(&worker).give_back());
        vital::spawn_local(Rc::clone(&worker).give_room());
        vital::spawn_local(Rc::clone(&worker).give_way());
        vital::spawn_local({
            let worker = Rc::clone(&worker);
            async move {
                while let Some(handed) = handed.recv().await {
                    arrival::take(&worker, handed);
                }
            }
        });
        let mut accepting: FxHashMap<u32, Accepting> = FxHashMap::default();
        while let Some(command) = commands.recv().await {
            match command {
                Command::Switch => {
                    if let Some(view) = worker.view() {
                        worker.refresh_keys(&view);
                    }
                    worker.deadlines.wake_all();
                }
                Command::Listen(socket, listeners, done) => {
                    accepting.retain(|_, accepting| !accepting.is_over());
                    let id = socket.id;
                    // If the worker is still leaving the address, abort that first.
                    drop(accepting.remove(&id));
                    let begun = Accepting::begin(&worker, &socket, listeners)
                        .map(|begun| drop(accepting.insert(id, begun)));
                    let _gone = done.send(begun);
                }
                Command::Leave(id, handshakes, done) => {
                    if let Some(accepting) = accepting.get_mut(&id) {
                        accepting.leave(handshakes, &done);
                    }
                }
                Command::Abandon(id) => drop(accepting.remove(&id)),
                Command::Drain(tunnels) => {
                    let now_ms = worker.shared.clock.now_ms();
                    let tunnels_ms = u64::try_from(tunnels.as_millis()).unwrap_or(u64::MAX);
                    worker.draining_ms.set(Some(now_ms));
                    let tunnels_end_ms = now_ms.saturating_add(tunnels_ms);
                    worker.tunnels_end_ms.set(tunnels_end_ms);
                    worker.deadlines.wake_all();
                }
            }
        }
    }

    /// Running version for one exchange, or `None` before the first activation.
    pub(crate) fn view(&self) -> Option<Rc<View>> {
        let epoch = self.shared.epoch();
        if epoch != self.epoch.get() {
            self.refresh();
        }
        self.view.borrow().as_ref().map(Rc::clone)
    }

    #[cold]
    fn refresh(&self) {
        let Some(current) = self.shared.current() else {
            return;
        };
        let epoch = current.epoch;
        let upstreams = current.loaded.snapshot.upstreams().len();
        let view = Rc::new(View {
            current: Some(current),
            shared: Arc::clone(&self.shared),
            services: (0..upstreams).map(|_| RefCell::default()).collect(),
        });
        let before = self.view.replace(Some(Rc::clone(&view)));
        if let Some(before) = before {
            self.remember_left(&before, &view);
        }
        self.epoch.set(epoch);
        self.shared.acknowledge(self.index, epoch);
    }

    /// Version and listener index for an exchange at an address: the running version or, for a
    /// short time, the last version that named the address.
    pub(crate) fn view_at(
        &self,
        newest: &Rc<View>,
        socket: &ListenSocket,
    ) -> Option<(Rc<View>, usize)> {
        match newest.listener(socket.id) {
            Some(listener) => Some((Rc::clone(newest), listener)),
            None => self.view_left(socket.id),
        }
    }

    #[cold]
    fn view_left(&self, socket: u32) -> Option<(Rc<View>, usize)> {
        let left = self.left.borrow();
        let (view, _) = left.get(&socket)?;
        Some((Rc::clone(view), view.listener(socket)?))
    }

    /// Stores the previous version for the addresses that the new version does not name.
    fn remember_left(&self, before: &Rc<View>, now: &View) {
        let now_ms = self.shared.clock.now_ms();
        let mut left = self.left.borrow_mut();
        left.retain(|socket, _| now.listener(*socket).is_none());
        for socket in (0u32..).take(before.current().listener_of_socket.len()) {
            if before.listener(socket).is_some() && now.listener(socket).is_none() {
                left.insert(socket, (Rc::clone(before), now_ms));
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

    /// Unix time in milliseconds at a monotonic time. After a change of the wall clock, the value
    /// is wrong for at most one second.
    pub(crate) fn unix_ms(&self, now_ns: u64) -> u64 {
        self.wall_ms.get() + now_ns / 1_000_000
    }

    /// Current value for the `Date` field.
    pub(crate) fn date(&self) -> [u8; clock::HTTP_DATE_BYTES] {
        self.date.get()
    }

    /// Runs periodic tasks once a second.
    async fn sweep(self: Rc<Self>) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let _passed = fault::point("worker.swept");
            let now_ms = self.shared.clock.now_ms();
            self.shared.beat(self.index, now_ms);
            self.wall_ms.set(clock::unix_ms().saturating_sub(now_ms));
            self.date.set(clock::http_date());
            let view = self.view.borrow().as_ref().map(Rc::clone);
            if let Some(view) = view {
                view.renew_services(&self);
                self.refresh_keys(&view);
            }
            self.pools.sweep(now_ms);
            self.left
                .borrow_mut()
                .retain(|_, (_, since_ms)| now_ms < *since_ms + LEFT_MS);
            if self.draining_ms.get().is_some() || self.shared.budgets.memory.is_scarce() {
                self.deadlines.wake_all();
            }
        }
    }

    /// Starts the fetches of key sets that are due; one worker does it for all.
    fn refresh_keys(self: &Rc<Self>, view: &Rc<View>) {
        if self.index == 0 {
            effects::refresh_keys(self, view);
        }
    }

    /// Measures the duration of an event loop turn: a task that yields runs again after all tasks
    /// that were ready at that moment (data-plane.md §4).
    async fn watch_lag(self: Rc<Self>) {
        let lag = self.shard.lag(self.index);
        let mut ticks = tokio::time::interval(LAG_TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let began_ns = self.shared.clock.now_ns();
            tokio::task::yield_now().await;
            lag.observe(self.shared.clock.now_ns() - began_ns);
        }
    }

    /// Hands a connection over to another worker. Returns the connection if that worker's queue is
    /// full.
    pub(crate) fn hand(&self, to: usize, handed: Handed) -> Result<(), Handed> {
        let sent = self.peers[to].try_send(handed);
        sent.map_err(mpsc::error::TrySendError::into_inner)
    }

    /// While connections wait for memory, wakes some of them periodically: memory may have become
    /// available in the meantime.
    async fn give_room(self: Rc<Self>) {
        loop {
            self.waiting.somebody.notified().await;
            while !self.waiting.is_empty() {
                tokio::time::sleep(ROOM_TICK).await;
                for _ in 0..ROOM_EACH {
                    self.waiting.wake_one();
                }
            }
        }
    }

    /// Closes idle upstream connections while requests of other pools wait for permits.
    async fn give_way(self: Rc<Self>) {
        loop {
            self.wanted.notified().await;
            self.pools.give_way();
        }
    }

    /// Counts a connection that was parked.
    pub(crate) fn parked_one(&self) {
        self.parked.set(self.parked.get() + 1);
        if self.parked.get() == PARKED_MIN {
            self.many_parked.notify_one();
        }
    }

    /// Returns unused memory to the system after many connections were parked.
    async fn give_back(self: Rc<Self>) {
        loop {
            self.many_parked.notified().await;
            tokio::time::sleep(PARKED_TICK).await;
            self.parked.set(0);
            memory::give_back(); // about a millisecond
        }
    }

    /// Schedules a flush of the access log.
    pub(crate) fn flush_log_soon(&self) {
        self.log_waits.notify_one();
    }

    async fn flush_log(self: Rc<Self>) {
        loop {
            self.log_waits.notified().await;
            tokio::time::sleep(Duration::from_millis(access_log::FLUSH_MS)).await;
            self.log.flush(&self.shared.process);
        }
    }

    /// Counters of the process for rare events.
    pub(crate) fn counters(&self) -> &crate::telemetry::process::Counters {
        &self.shared.process
    }
}

// === impl View ===

impl View {
    pub(crate) fn current(&self) -> &Current {
        self.current.as_deref().expect("taken only when dropped")
    }

    /// Index of this version's listener at a socket, or `None` if the version does not name the
    /// address.
    pub(crate) fn listener(&self, socket: u32) -> Option<usize> {
        let listeners = &self.current().listener_of_socket;
        listeners.get(socket as usize).copied().flatten()
    }

    /// This worker's service for an upstream, with the current hosts.
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
        let service = Rc::new(Service::new(
            worker,
            &loaded.snapshot.upstreams()[index],
            &loaded.commons[index],
            loaded.connectors[index].as_ref(),
            loaded.upstream_uids[index],
        ));
        self.services[index].replace(Some(Rc::clone(&service)));
        service
    }

    /// Replaces services with outdated hosts, so that this happens even without requests.
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

/// Connection of a listener; counted until this value is dropped.
pub(crate) struct Counted(pub(crate) Arc<ListenSocket>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
