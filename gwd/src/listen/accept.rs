//! Accepting at one address in one worker, and leaving the address without losing connections when
//! the running version no longer names it (release.md §9).
//!
//! Leaving has three steps: no new TCP handshakes begin; handshakes in progress are completed for a
//! while; then the socket, with its queue empty, stops listening. For [`LAST_EXCHANGE_MS`] from the
//! switch of versions, each connection may begin one more exchange, under the last version that
//! named the address. The response has `connection: close`.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::time::Duration;

use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::limits::descriptors;
use crate::listen::{self, ListenSocket};
use crate::runtime::program_log::{Level, event};
use crate::runtime::vital;

/// Time in which a connection may begin one more exchange after the running version has stopped
/// naming its address: 2s.
pub(crate) const LAST_EXCHANGE_MS: u64 = 2_000;
/// Pause of accepting when the process has no file descriptors left: 100ms.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Interface of a worker for the accept loop. The worker serves the accepted connections.
pub(crate) trait Server: 'static {
    /// Takes over an accepted connection.
    fn accepted(self: &Rc<Self>, socket: &Arc<ListenSocket>, stream: TcpStream, peer: SocketAddr);

    /// Counts a connection that could not be accepted because no file descriptor is left.
    fn exhausted(&self);

    /// Time after which a connection with an unresponsive peer is closed.
    fn half_open(&self) -> Duration;

    /// Current time of the worker's clock, in milliseconds.
    fn now_ms(&self) -> u64;

    /// Wakes the tasks of all connections, so that each checks its deadlines.
    fn wake_all(&self);
}

/// Accepting at one address, which has one or more sockets. Dropping this value stops accepting at
/// once; the sockets keep listening.
pub(crate) struct AcceptLoop {
    tasks: Vec<AcceptTask>,
}

/// Socket of the address, with the task that accepts its connections.
struct AcceptTask {
    leave: Option<oneshot::Sender<StopListening>>,
    task: JoinHandle<()>,
}

/// Request to leave the address, that is, to stop listening there.
struct StopListening {
    /// Maximum time until handshakes in progress are complete.
    handshakes: Duration,
    /// Dropped when the socket has stopped listening, which notifies the receiver.
    done: mpsc::Sender<()>,
}

impl AcceptLoop {
    /// Starts listening on each of the sockets, and starts a task for each socket that accepts its
    /// connections.
    ///
    /// # Errors
    /// If the socket cannot listen because no file descriptors are left.
    pub(crate) fn begin(
        worker: &Rc<impl Server>,
        socket: &Arc<ListenSocket>,
        listeners: Vec<std::net::TcpListener>,
    ) -> io::Result<Self> {
        let mut accepting = Self { tasks: Vec::new() };
        for listener in listeners {
            listen::listen(&listener, worker.half_open())?;
            let listener = TcpListener::from_std(listener)?;
            let (leave, order) = oneshot::channel();
            let serving = serve(Rc::clone(worker), Arc::clone(socket), listener, order);
            accepting.tasks.push(AcceptTask {
                leave: Some(leave),
                task: vital::spawn_local(serving),
            });
        }
        Ok(accepting)
    }

    /// Begins to leave the address. `done` is dropped once all its sockets have stopped listening.
    pub(crate) fn leave(&mut self, handshakes: Duration, done: &mpsc::Sender<()>) {
        for leave in self
            .tasks
            .iter_mut()
            .filter_map(|accepting| accepting.leave.take())
        {
            let done = done.clone();
            let _ended = leave.send(StopListening { handshakes, done });
        }
    }

    /// True if no worker accepts connections at the address any more, and the time for last
    /// exchanges has passed.
    pub(crate) fn is_over(&self) -> bool {
        self.tasks
            .iter()
            .all(|accepting| accepting.task.is_finished())
    }
}

impl Drop for AcceptLoop {
    fn drop(&mut self) {
        self.tasks
            .iter()
            .for_each(|accepting| accepting.task.abort());
    }
}

async fn serve(
    worker: Rc<impl Server>,
    socket: Arc<ListenSocket>,
    listener: TcpListener,
    order: oneshot::Receiver<StopListening>,
) {
    let mut order = pin!(order);
    let leave = loop {
        tokio::select! {
            biased;
            leave = &mut order => break leave,
            () = accept_one(&worker, &socket, &listener) => {}
        }
    };
    let Ok(StopListening { handshakes, done }) = leave else {
        return; // the worker ends
    };
    if let Err(error) = listen::begin_no_handshake(&listener) {
        event(
            Level::Warn,
            "an address is closed without a socket filter; a connection that begins at this moment may be reset",
            json!({"listener": &*socket.name, "error": error.to_string()}),
        );
    }
    let mut over = pin!(tokio::time::sleep(handshakes));
    loop {
        tokio::select! {
            biased;
            () = &mut over => break,
            () = accept_one(&worker, &socket, &listener) => {}
        }
    }
    accept_waiting(&worker, &socket, &listener).await;
    listen::stop(&listener);
    drop((listener, done));
    if let Some(left_ms) = socket.left_ms() {
        let rest_ms = (left_ms + LAST_EXCHANGE_MS).saturating_sub(worker.now_ms());
        tokio::time::sleep(Duration::from_millis(rest_ms)).await;
        worker.wake_all();
    }
}

async fn accept_one(worker: &Rc<impl Server>, socket: &Arc<ListenSocket>, listener: &TcpListener) {
    match listener.accept().await {
        Ok((stream, peer)) if !descriptors::is_of_reserve(&stream) => {
            return worker.accepted(socket, stream, peer);
        }
        Err(error) if !is_exhausted(&error) => return,
        // Close the accepted socket: its descriptor is part of the reserve.
        Ok(_) | Err(_) => {}
    }
    worker.exhausted();
    tokio::time::sleep(EXHAUSTED_PAUSE).await;
}

/// Accepts the connections that are queued already, without waiting for more.
async fn accept_waiting(
    worker: &Rc<impl Server>,
    socket: &Arc<ListenSocket>,
    listener: &TcpListener,
) {
    let mut waiting = pin!(poll_fn(|cx| match listener.poll_accept(cx) {
        Poll::Ready(Ok(accepted)) => Poll::Ready(Some(accepted)),
        Poll::Ready(Err(_)) | Poll::Pending => Poll::Ready(None),
    }));
    while let Some((stream, peer)) = waiting.as_mut().await {
        worker.accepted(socket, stream, peer);
    }
}

fn is_exhausted(error: &io::Error) -> bool {
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    const ENOBUFS: i32 = 105;
    const ENOMEM: i32 = 12;
    matches!(
        error.raw_os_error(),
        Some(EMFILE | ENFILE | ENOBUFS | ENOMEM)
    )
}
