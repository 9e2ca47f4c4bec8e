//! One client connection: served by hyper, watched by one deadline.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use bundle::ir::ListenerLimits;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::net::TcpStream;

use crate::accept::LAST_EXCHANGE_MS;
use crate::deadlines::Slot;
use crate::listen::ListenSocket;
use crate::proxy::body::ResponseBody;
use crate::proxy::exchange::exchange;
use crate::proxy::respond;
use crate::proxy::socket::ClientSocket;
use crate::telemetry::process::Shed;
use crate::worker::{Counted, Worker};

/// How long after a drain began a connection without any exchange yet may begin its first.
const FIRST_EXCHANGE_MS: u64 = 1_000;
/// How long a client may go on sending after the gateway has said its last word.
const LINGER_MS: u64 = 2_000;
/// Bytes that are thrown away meanwhile.
const LINGER_BYTES_MAX: usize = 1 << 20;
/// hyper's smallest buffer.
const BUFFER_BYTES_MIN: usize = 8_192;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Between two exchanges.
    Idle,
    /// A head has begun.
    Head,
    /// The exchange watches the deadline itself.
    Exchange,
    /// The response's body is on its way; the deadline is the connection's end.
    Body,
}

/// What an exchange knows of its connection.
pub(crate) struct Conn {
    pub(crate) worker: Rc<Worker>,
    pub(crate) socket: Arc<ListenSocket>,
    pub(crate) peer: IpAddr,
    pub(crate) deadline: Slot,
    /// Bytes that the body of the current request may have.
    pub(crate) body_bytes_max: Cell<u64>,
    /// Set while an exchange that panicked is taken down.
    pub(crate) panicked: Cell<bool>,
    phase: Cell<Phase>,
    /// No exchange has begun yet.
    fresh: Cell<bool>,
    mid_head: Cell<bool>,
    /// When the last bytes came; 0 once an exchange has begun with them.
    read_ns: Cell<u64>,
    header_timeout_ms: u64,
    idle_timeout_ms: u64,
    _counted: Counted,
}

/// Why a connection ended.
enum End {
    /// hyper is done with it: the client closed, or the last response was sent.
    Done(Result<(), hyper::Error>),
    Idle,
    HeaderTimeout,
    Stalled,
}

/// Takes a connection, or sheds it where its listener has as many as it may.
pub(crate) fn begin(
    worker: &Rc<Worker>,
    socket: &Arc<ListenSocket>,
    stream: TcpStream,
    peer: SocketAddr,
) {
    let before = socket.connections.fetch_add(1, Ordering::Relaxed);
    let counted = Counted(Arc::clone(socket));
    let Some(limits) = limits(worker, socket) else {
        return;
    };
    if before >= limits.connections {
        worker.counters().shed(Shed::Connections);
        let _nobody_listens = stream.try_write(respond::OVERLOADED);
        return;
    }
    // Without it Nagle's algorithm delays small responses; a failure only costs that.
    let _delayed = stream.set_nodelay(true);
    let conn = Rc::new(Conn {
        worker: Rc::clone(worker),
        socket: Arc::clone(socket),
        peer: peer.ip().to_canonical(),
        deadline: worker.deadlines.slot(),
        body_bytes_max: Cell::new(u64::MAX),
        panicked: Cell::new(false),
        phase: Cell::new(Phase::Idle),
        fresh: Cell::new(true),
        mid_head: Cell::new(false),
        read_ns: Cell::new(0),
        header_timeout_ms: limits.header_timeout_ms,
        idle_timeout_ms: limits.idle_timeout_ms,
        _counted: counted,
    });
    tokio::task::spawn_local(serve(conn, stream, limits));
}

fn limits(worker: &Worker, socket: &ListenSocket) -> Option<ListenerLimits> {
    let newest = worker.view()?;
    let (view, listener) = worker.view_at(&newest, socket)?;
    let listeners = view.current().loaded.snapshot.listeners();
    Some(listeners[listener].limits.clone())
}

async fn serve(conn: Rc<Conn>, stream: TcpStream, limits: ListenerLimits) {
    let header_bytes = usize::try_from(limits.header_bytes).unwrap_or(usize::MAX);
    let mut builder = http1::Builder::new();
    builder
        .writev(false) // one `send` of head and body: 4 % less CPU (proxy-performance.md)
        .max_header_size(header_bytes)
        .max_buf_size(header_bytes.max(BUFFER_BYTES_MIN) + BUFFER_BYTES_MIN)
        .timer(NoTimer)
        .header_read_timeout(None);
    if limits.headers > 100 {
        // hyper's own limit of 100 is free, another one costs an allocation per request.
        builder.max_headers(usize::try_from(limits.headers).unwrap_or(usize::MAX));
    }
    let service = {
        let conn = Rc::clone(&conn);
        service_fn(move |request| answer(Rc::clone(&conn), request))
    };
    let socket = ClientSocket::new(stream, Rc::clone(&conn));
    let mut http = builder.serve_connection(socket, service);
    let now_ms = conn.worker.shared.clock.now_ms();
    conn.deadline.set(now_ms + conn.idle_timeout_ms);
    let mut told = false;
    let end = poll_fn(|cx| {
        conn.deadline.register(cx.waker());
        if conn.deadline.expired() {
            match conn.phase.get() {
                Phase::Idle => return Poll::Ready(End::Idle),
                Phase::Head => return Poll::Ready(End::HeaderTimeout),
                Phase::Body => return Poll::Ready(End::Stalled),
                Phase::Exchange => {}
            }
        }
        if !told && conn.ending() {
            told = true;
            Pin::new(&mut http).graceful_shutdown();
        }
        Pin::new(&mut http).poll(cx).map(End::Done)
    })
    .await;
    let socket = http.into_parts().io;
    finish(&conn, end, socket).await;
}

/// What is left to do when hyper is done.
async fn finish(conn: &Conn, end: End, socket: ClientSocket) {
    match end {
        End::Idle | End::Stalled => {}
        End::HeaderTimeout => {
            conn.worker.shard.rejected_early("header_timeout");
            let _nobody_listens = socket.stream.try_write(respond::HEADER_TIMEOUT);
            linger(conn, socket.stream).await;
        }
        End::Done(result) => {
            if let Err(error) = &result
                && (error.is_parse() || error.is_parse_too_large())
            {
                let reason = if error.is_parse_too_large() {
                    "headers_too_large"
                } else if socket.scan.offended() {
                    "framing_invalid"
                } else {
                    "head_invalid"
                };
                conn.worker.shard.rejected_early(reason);
            }
            linger(conn, socket.stream).await;
        }
    }
}

/// Closes so that the client can read the last response: a socket that is closed with unread
/// bytes resets the connection and takes the response with it.
async fn linger(conn: &Conn, mut stream: TcpStream) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    // hyper may have done it already.
    let _done_already = stream.shutdown().await;
    let now_ms = conn.worker.shared.clock.now_ms();
    conn.deadline.set(now_ms + LINGER_MS);
    let mut scrap = [0; 4_096];
    let mut left = LINGER_BYTES_MAX;
    while left > 0 {
        let read = {
            let mut reading = pin!(stream.read(&mut scrap));
            poll_fn(|cx| {
                conn.deadline.register(cx.waker());
                if conn.deadline.expired() {
                    return Poll::Ready(0);
                }
                reading.as_mut().poll(cx).map(|read| read.unwrap_or(0))
            })
            .await
        };
        if read == 0 {
            return;
        }
        left = left.saturating_sub(read);
    }
}

/// One exchange; a panic in it is a 500 and ends nothing else.
async fn answer(
    conn: Rc<Conn>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    conn.phase.set(Phase::Exchange);
    conn.fresh.set(false);
    let mut running = pin!(exchange(&conn, request));
    let response =
        poll_fn(
            |cx| match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx))) {
                Ok(polled) => polled,
                Err(_) => {
                    conn.panicked.set(true);
                    conn.worker.counters().panicked();
                    Poll::Ready(respond::panicked())
                }
            },
        )
        .await;
    Ok(response)
}

// === impl Conn ===

impl Conn {
    /// Bytes have come; `mid_head`: a head has begun and not ended.
    pub(crate) fn bytes_came(&self, mid_head: bool) {
        self.mid_head.set(mid_head);
        let phase = self.phase.get();
        if !matches!(phase, Phase::Idle | Phase::Head) {
            return;
        }
        let now_ns = self.worker.shared.clock.now_ns();
        self.read_ns.set(now_ns);
        if phase == Phase::Idle {
            self.phase.set(Phase::Head);
            self.deadline
                .set(now_ns / 1_000_000 + self.header_timeout_ms);
        }
    }

    /// When the head of the request that begins now ended: with the bytes that were just read,
    /// or, where it had been read before, when its turn came.
    pub(crate) fn head_ended_ns(&self) -> u64 {
        match self.read_ns.take() {
            0 => self.worker.shared.clock.now_ns(),
            read_ns => read_ns,
        }
    }

    /// A chunk line was refused.
    pub(crate) fn chunk_line_refused(&self) {
        self.worker.shard.rejected_early("framing_invalid");
    }

    /// The response's head is made; its body may take as long as it moves.
    pub(crate) fn body_begins(&self, until_ms: u64) {
        self.phase.set(Phase::Body);
        self.deadline.set(until_ms);
    }

    /// The exchange is over.
    pub(crate) fn exchange_ended(&self, now_ms: u64) {
        let (phase, timeout_ms) = if self.mid_head.get() {
            (Phase::Head, self.header_timeout_ms)
        } else {
            (Phase::Idle, self.idle_timeout_ms)
        };
        self.phase.set(phase);
        self.deadline.set(now_ms + timeout_ms);
    }

    /// Whether this connection has to end, where no exchange is under way.
    pub(crate) fn ending(&self) -> bool {
        let begun_by_ms = match (self.worker.draining_ms(), self.socket.left_ms()) {
            (None, None) => return false,
            (Some(draining_ms), _) if self.fresh.get() => draining_ms + FIRST_EXCHANGE_MS,
            (Some(_), _) => return true,
            (None, Some(left_ms)) => left_ms + LAST_EXCHANGE_MS,
        };
        self.worker.shared.clock.now_ms() >= begun_by_ms
    }

    /// Whether the exchange that is under way is the connection's last.
    pub(crate) fn last_exchange(&self) -> bool {
        self.worker.draining_ms().is_some() || self.socket.left_ms().is_some()
    }
}

/// hyper wants a timer to be told that it needs none.
#[derive(Clone, Copy)]
struct NoTimer;

impl hyper::rt::Timer for NoTimer {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        unreachable!("no timeout of hyper's is configured")
    }

    fn sleep_until(&self, _: std::time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        unreachable!("no timeout of hyper's is configured")
    }
}
