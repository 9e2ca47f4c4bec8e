//! A worker: one thread that accepts, decides and forwards, alone.
//!
//! Each has a single-threaded runtime, its own socket of every address, its own upstream pools
//! and metric cells. Nothing in here locks. What a worker shares with the process is in
//! [`Shared`].

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::sync::{Notify, mpsc};

use crate::clock;
use crate::deadlines::Deadlines;
use crate::listen::ListenSocket;
use crate::proxy::connection;
use crate::published::{Current, Shared};
use crate::random::Random;
use crate::telemetry::access_log;
use crate::telemetry::shard::Shard;
use crate::upstream::{Service, pool::Pools};

/// What the control thread asks of a worker.
#[derive(Debug)]
pub(crate) enum Command {
    /// Look at the epoch.
    Switch,
    /// Accept connections here.
    Listen(Arc<ListenSocket>, std::net::TcpListener),
    /// Take what waits at this address, then stop accepting there.
    Unlisten(u32, std::sync::mpsc::Sender<()>),
    /// Tell every connection to end after its exchange.
    Drain,
}

/// Commands that may wait for a worker.
pub(crate) const COMMANDS_MAX: usize = 1_024;

/// One worker.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) deadlines: Rc<Deadlines>,
    pub(crate) shard: Shard,
    pub(crate) random: Random,
    pub(crate) log: access_log::Writer,
    pub(crate) pools: Pools,
    view: RefCell<Option<Rc<View>>>,
    epoch: Cell<u64>,
    draining: Cell<bool>,
    /// Wall clock minus monotonic clock, in milliseconds.
    wall_ms: Cell<u64>,
    log_waits: Notify,
}

/// The running version as one worker sees it.
pub(crate) struct View {
    current: Option<Arc<Current>>,
    shared: Arc<Shared>,
    /// By upstream index; made when first used.
    services: Box<[OnceCell<Service>]>,
}

/// What a worker is made of.
pub(crate) struct Parts {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) shard: Shard,
    pub(crate) log: access_log::Writer,
}

/// Runs a worker on the calling thread until its commands end.
///
/// # Errors
/// If the runtime cannot be made.
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

impl Worker {
    async fn serve(parts: Parts) {
        let Parts {
            index,
            shared,
            mut commands,
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
            pools: Pools::default(),
            view: RefCell::new(None),
            epoch: Cell::new(0),
            draining: Cell::new(false),
            wall_ms: Cell::new(clock::unix_ms().saturating_sub(shared.clock.now_ms())),
            log_waits: Notify::new(),
            shared,
        });
        tokio::task::spawn_local(async move { deadlines.run().await });
        tokio::task::spawn_local(Rc::clone(&worker).sweep());
        tokio::task::spawn_local(Rc::clone(&worker).flush_log());
        let mut accepting: FxHashMap<u32, Rc<Notify>> = FxHashMap::default();
        while let Some(command) = commands.recv().await {
            match command {
                Command::Switch => {
                    worker.view();
                    worker.deadlines.wake_all();
                }
                Command::Listen(socket, listener) => {
                    let stop = Rc::new(Notify::new());
                    accepting.insert(socket.id, Rc::clone(&stop));
                    let worker = Rc::clone(&worker);
                    tokio::task::spawn_local(connection::accept(worker, socket, listener, stop));
                }
                Command::Unlisten(id, done) => {
                    if let Some(stop) = accepting.remove(&id) {
                        stop.notify_one();
                        tokio::task::yield_now().await;
                    }
                    worker.deadlines.wake_all();
                    let _gone = done.send(());
                }
                Command::Drain => {
                    worker.draining.set(true);
                    worker.deadlines.wake_all();
                }
            }
        }
    }

    /// The running version, for one exchange; none before the first bundle.
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
            services: (0..upstreams).map(|_| OnceCell::new()).collect(),
        });
        let before = self.view.replace(Some(view));
        drop(before);
        self.epoch.set(epoch);
        self.shared.acknowledge(self.index, epoch);
    }

    /// Whether connections end after their exchange.
    pub(crate) fn draining(&self) -> bool {
        self.draining.get()
    }

    /// The wall clock at a monotonic time, at most a second off after the clock was set.
    pub(crate) fn unix_ms(&self, now_ns: u64) -> u64 {
        self.wall_ms.get() + now_ns / 1_000_000
    }

    /// Once a second: what can wait that long.
    async fn sweep(self: Rc<Self>) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now_ms = self.shared.clock.now_ms();
            self.wall_ms.set(clock::unix_ms().saturating_sub(now_ms));
            self.pools.sweep(now_ms);
        }
    }

    /// Lines of the access log wait to be handed over.
    pub(crate) fn flush_log_soon(&self) {
        self.log_waits.notify_one();
    }

    async fn flush_log(self: Rc<Self>) {
        loop {
            self.log_waits.notified().await;
            tokio::time::sleep(Duration::from_millis(access_log::FLUSH_MS)).await;
            self.log.flush(&self.shared);
        }
    }

    /// Counters of rare events.
    pub(crate) fn counters(&self) -> &crate::telemetry::process::Counters {
        &self.shared.process
    }
}

// === impl View ===

impl View {
    pub(crate) fn current(&self) -> &Current {
        self.current.as_deref().expect("taken only when dropped")
    }

    /// One service's targets, as this worker balances and pools them.
    pub(crate) fn service(&self, worker: &Worker, upstream: u32) -> &Service {
        let index = upstream as usize;
        self.services[index].get_or_init(|| {
            let loaded = &self.current().loaded;
            Service::new(
                worker,
                &loaded.snapshot.upstreams()[index],
                &loaded.endpoints[index],
                loaded.upstream_uids[index],
            )
        })
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

/// Counts a connection of a listener for as long as it is held.
pub(crate) struct Counted(pub(crate) Arc<ListenSocket>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
