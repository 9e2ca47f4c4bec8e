//! Thread of a worker: its event loop, the commands of the control thread, and periodic tasks.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use policy::key_cell::KeyCell;
use rustc_hash::FxHashMap;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::effects;
use crate::limits::memory;
use crate::listen::ListenSocket;
use crate::listen::accept::{AcceptLoop, Server};
use crate::listen::spread::{Peers, TransferredConnection};
use crate::proxy::arrival;
use crate::published::{Loaded, Shared};
use crate::runtime::vital;
use crate::telemetry::process::LimitedResource;
use crate::telemetry::shard::Shard;
use crate::telemetry::traces::Tracer;
use crate::telemetry::{access_log, log_batch};
use crate::worker::Worker;

/// Command from the control thread to a worker.
#[derive(Debug)]
pub(crate) enum Command {
    /// Uses the version that was published, and acknowledges its epoch.
    Switch,
    /// Fetches key sets with the upstreams of a version that is not published yet, and drops the
    /// sender afterwards.
    FetchKeys(Arc<Loaded>, Vec<Arc<KeyCell>>, std::sync::mpsc::Sender<()>),
    /// Wakes all connections, because rules for client certificates have changed.
    Wake,
    /// Listens at an address with the given listening sockets and accepts connections. Sends the
    /// result of the start.
    Listen(
        Arc<ListenSocket>,
        Vec<std::net::TcpListener>,
        std::sync::mpsc::Sender<io::Result<()>>,
    ),
    /// Begins to leave the address with this socket id: no new TCP handshakes begin, and handshakes
    /// in progress may continue for the given time. Then stops listening and drops the sender.
    StopListening(u32, Duration, std::sync::mpsc::Sender<()>),
    /// Stops accepting at the address with this socket id. The sockets do not change, because
    /// another process uses them as well.
    Abandon(u32),
    /// Closes every connection after its current exchange, and tunnels after the given time.
    Drain(Duration),
}

/// Maximum number of commands in a worker's queue.
pub(crate) const COMMANDS_MAX: usize = 1_024;

/// Delay after which unused memory is returned to the system, once many idle connections have
/// released their buffers: 250ms.
const PARKED_TICK: Duration = Duration::from_millis(250);

/// Interval at which the duration of an event loop iteration is measured: 100ms.
const LAG_TICK: Duration = Duration::from_millis(100);

/// Interval at which some connections that wait for memory are woken to try again (10ms), and the
/// number of connections woken each time (32).
const ROOM_TICK: Duration = Duration::from_millis(10);
const ROOM_EACH: usize = 32;

/// Parts from which a worker is built.
pub(crate) struct Parts {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: mpsc::Receiver<Command>,
    /// Senders by which this worker hands connections over to the other workers.
    pub(crate) peers: Peers,
    /// Receiver of connections that other workers have accepted for this worker.
    pub(crate) handed: mpsc::Receiver<TransferredConnection>,
    pub(crate) shard: Shard,
    pub(crate) log: access_log::Writer,
    /// Sampler of traces. `None`: traces are off.
    pub(crate) tracer: Option<Tracer>,
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
    local.block_on(&runtime, serve(parts));
    Ok(())
}

impl Server for Worker {
    fn accepted(self: &Rc<Self>, socket: &Arc<ListenSocket>, stream: TcpStream, peer: SocketAddr) {
        arrival::accepted(self, socket, stream, peer);
    }

    fn exhausted(&self) {
        self.shard.process.shed(LimitedResource::FileDescriptors);
    }

    fn half_open(&self) -> Duration {
        Duration::from_millis(self.shared.time_limits.half_open_ms)
    }

    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    fn wake_all(&self) {
        self.deadlines.wake_all();
    }
}

/// Starts the worker's tasks and executes commands.
async fn serve(parts: Parts) {
    let Parts {
        index,
        shared,
        mut commands,
        peers,
        mut handed,
        shard,
        log,
        tracer,
    } = parts;
    let worker = Worker::new(index, shared, peers, shard, (log, tracer));
    let deadlines = Rc::clone(&worker.deadlines);
    vital::spawn_local(async move { deadlines.run().await });
    vital::spawn_local(sweep(Rc::clone(&worker)));
    vital::spawn_local(watch_lag(Rc::clone(&worker)));
    vital::spawn_local(flush_log(Rc::clone(&worker)));
    vital::spawn_local(return_memory(Rc::clone(&worker)));
    vital::spawn_local(wake_memory_waiters(Rc::clone(&worker)));
    vital::spawn_local(close_idle_for_waiters(Rc::clone(&worker)));
    vital::spawn_local({
        let worker = Rc::clone(&worker);
        async move {
            while let Some(handed) = handed.recv().await {
                arrival::take(&worker, handed);
            }
        }
    });
    let mut accepting: FxHashMap<u32, AcceptLoop> = FxHashMap::default();
    while let Some(command) = commands.recv().await {
        execute(command, &worker, &mut accepting);
    }
}

/// Executes a command. `accepting`: accept loops of the addresses at which the worker accepts
/// connections, by socket id.
fn execute(command: Command, worker: &Rc<Worker>, accepting: &mut FxHashMap<u32, AcceptLoop>) {
    match command {
        Command::Switch => {
            if worker.view().is_some() {
                refresh_keys(worker);
            }
            worker.deadlines.wake_all();
        }
        Command::FetchKeys(loaded, cells, done) => {
            let worker = Rc::clone(worker);
            tokio::task::spawn_local(async move {
                effects::fetch_keys(&worker, loaded, cells).await;
                drop(done);
            });
        }
        Command::Wake => worker.deadlines.wake_all(),
        Command::Listen(socket, listeners, done) => {
            accepting.retain(|_, accepting| !accepting.is_over());
            let id = socket.id;
            // If the worker is still leaving the address, abort that first.
            drop(accepting.remove(&id));
            let begun = AcceptLoop::begin(worker, &socket, listeners)
                .map(|begun| drop(accepting.insert(id, begun)));
            let _gone = done.send(begun);
        }
        Command::StopListening(id, handshakes, done) => {
            if let Some(accepting) = accepting.get_mut(&id) {
                accepting.leave(handshakes, &done);
            }
        }
        Command::Abandon(id) => drop(accepting.remove(&id)),
        Command::Drain(tunnels) => worker.drain(tunnels),
    }
}

/// Runs the worker's periodic tasks once a second.
async fn sweep(worker: Rc<Worker>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let _passed = fault::point("worker.swept");
        worker.tick();
        refresh_keys(&worker);
    }
}

/// Starts the fetches of key sets that are due. One worker does this for the process.
fn refresh_keys(worker: &Rc<Worker>) {
    if worker.index == 0
        && let Some(view) = worker.current_view()
    {
        effects::refresh_keys(worker, &view);
        if let Some(candidate) = view.candidate() {
            effects::refresh_keys(worker, candidate);
        }
    }
}

/// Measures the duration of an event loop iteration: a task that yields runs again after all tasks
/// that were ready at that moment (data-plane.md §4).
async fn watch_lag(worker: Rc<Worker>) {
    let lag = worker.shard.lag(worker.index);
    let mut ticks = tokio::time::interval(LAG_TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let began_ns = worker.clock.now_ns();
        tokio::task::yield_now().await;
        lag.observe(worker.clock.now_ns() - began_ns);
    }
}

/// Periodically wakes some of the connections that wait for memory, because memory may have become
/// available in the meantime.
async fn wake_memory_waiters(worker: Rc<Worker>) {
    loop {
        worker.waiting.entry_added.notified().await;
        while !worker.waiting.is_empty() {
            tokio::time::sleep(ROOM_TICK).await;
            for _ in 0..ROOM_EACH {
                worker.waiting.wake_one();
            }
        }
    }
}

/// Closes idle upstream connections while requests of other pools wait for connection permits.
async fn close_idle_for_waiters(worker: Rc<Worker>) {
    loop {
        worker.pools.wanted.notified().await;
        worker.pools.close_idle();
    }
}

/// Returns unused memory to the system after many idle connections have released their buffers.
async fn return_memory(worker: Rc<Worker>) {
    loop {
        worker.many_parked.notified().await;
        tokio::time::sleep(PARKED_TICK).await;
        worker.none_parked();
        memory::return_memory(); // takes about a millisecond
    }
}

/// Flushes the access log [`FLUSH_MS`](log_batch::FLUSH_MS) after the first line in its buffer.
async fn flush_log(worker: Rc<Worker>) {
    loop {
        worker.log_waits.notified().await;
        tokio::time::sleep(Duration::from_millis(log_batch::FLUSH_MS)).await;
        worker.log.flush(&worker.shared.process);
    }
}
