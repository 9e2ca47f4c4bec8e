//! HTTP/2 connections (RFC 9113): hyper's server, over an I/O that collects writes.
//!
//! Each stream has its own task and its own deadline. hyper does not poll a response body while the
//! client's window is closed, so the task watches the deadline. If the deadline passes, the task
//! resets the stream; the connection continues.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::error::Error as _;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use http::{Request, Response};
use hyper::body::Body as _;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;

use crate::limits::budget::HTTP2_BYTES;
use crate::limits::inbox::UnreadBody;
use crate::listen::spread::{Loads, STREAM_WEIGHT};
use crate::message::gather::gather;
use crate::message::incoming::Incoming;
use crate::message::io::ClientIo;
use crate::message::pace::Pace;
use crate::message::transfer::Phase;
use crate::proxy::backlog::{Backlog, Sending};
use crate::proxy::client_frames::{HEADER_LIST_MIN, TOO_LARGE};
use crate::proxy::connection::{Conn, NoTimer, linger, wait_for_memory};
use crate::proxy::exchange::answer;
use crate::proxy::goaway::{Ending, GoAway, Resets};
use crate::proxy::guarded::InspectedIo;
use crate::proxy::refused::log_refused_connection;
use crate::proxy::respond;
use crate::proxy::stream::Stream;
use crate::runtime::deadlines::Slot;

/// Maximum concurrent streams of a client's connection (data-plane.md §1).
const STREAMS_MAX: u32 = 128;
/// Receive windows of a stream and of the connection, in bytes.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Maximum receive window of a connection, as a fraction of the memory limit: 1/1,024. The window
/// is at least [`WINDOW_MIN`] bytes, the protocol's initial window (RFC 9113 §6.9.2).
const WINDOW_PART: u64 = 1_024;
const WINDOW_MIN: u32 = 65_535;
/// Maximum bytes of a response that are buffered while the stream's window is closed.
const SEND_BUFFER: usize = 64 << 10;
/// Maximum number of streams that the client has reset before they were accepted. Above it, h2 ends
/// the connection with all streams. [`super::flood`] limits all resets of the client (Rapid Reset,
/// CVE-2023-44487). This limit only bounds the memory for one read: 256 heads.
const RESET_BEFORE_ACCEPT_MAX: usize = 256;
/// Maximum number of streams that the gateway has reset because of errors of the client. Above it,
/// h2 ends the connection with all streams. Protects against a client that ignores GOAWAY
/// (MadeYouReset, CVE-2025-8671). The number exceeds that of [`Resets::are_many`] by more than the
/// streams that a client may open before GOAWAY arrives.
const RESET_BY_US_MAX: usize = 1_024;
/// Idle timeout of a connection while memory is scarce: 1s.
const IDLE_WANTED_MS: u64 = 1_000;
/// Maximum time that an idle connection stays open after GOAWAY: 5s.
const GOODBYE_MS: u64 = 5_000;

/// Serves an HTTP/2 connection until it ends.
pub(crate) async fn serve(conn: &Rc<Conn>, io: ClientIo) {
    let deadline = conn.worker.deadlines.slot();
    deadline.set(conn.worker.clock.now_ms() + conn.limits.idle_timeout_ms);
    let Some(_share) = wait_for_memory(conn, HTTP2_BYTES, &deadline).await else {
        return;
    };
    drop(deadline);
    let windows = Windows::of(conn);
    let header_bytes = u32::try_from(conn.limits.header_bytes).unwrap_or(u32::MAX);
    let backlog = Backlog::new(conn, windows.connection);
    let clock = conn.worker.clock;
    let ending = Ending::default();
    let (guard_backlog, guard_ending) = (Rc::clone(&backlog), Rc::clone(&ending));
    let guarded = InspectedIo::new(io, clock, header_bytes, guard_backlog, guard_ending);
    let (gather, drain) = gather(guarded);
    let streams = Rc::new(Streams {
        loads: conn.worker.shared.loads.clone(),
        worker: conn.worker.index,
        active: Cell::new(0),
        newcomer: RefCell::new(None),
    });
    let mut builder = http2::Builder::new(Spawner(Rc::clone(&streams)));
    builder
        .timer(NoTimer)
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(windows.stream)
        .initial_connection_window_size(windows.connection)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(header_bytes.max(HEADER_LIST_MIN))
        .max_pending_accept_reset_streams(RESET_BEFORE_ACCEPT_MAX)
        .max_local_error_reset_streams(RESET_BY_US_MAX)
        .enable_connect_protocol();
    let service = {
        let (conn, streams) = (Rc::clone(conn), Rc::clone(&streams));
        let backlog = Rc::clone(&backlog);
        service_fn(move |request: Request<hyper::body::Incoming>| {
            let has_body = !request.body().is_end_stream();
            let reading = has_body.then(|| UnreadBody::new(&backlog.inbox));
            let stream = Stream::of_request(&conn, reading);
            streams.newcomer.replace(Some(Rc::clone(&stream)));
            answer_boxed(stream, request, Rc::clone(&backlog))
        })
    };
    let resets = Rc::new(Resets::default());
    let io = GoAway::new(gather, Rc::clone(&ending), Rc::clone(&resets)).announcing(header_bytes);
    let mut http = builder.serve_connection(io, service);
    let mut watch = Watch::new(conn);
    let error = poll_fn(|cx| {
        watch.deadline.register(cx.waker());
        if watch.begin_goaway(resets.are_many() || drain.look(|io| io.is_half_flooded())) {
            Pin::new(&mut http).graceful_shutdown();
        }
        let done = Pin::new(&mut http).poll(cx);
        let drained = drain.poll(cx);
        let refused = drain.look(|guarded| guarded.take_refused(&resets.take_malformed()));
        refused.into_iter().for_each(|head| head.record(conn));
        backlog.after_poll(drain.waiting(), drain.look(|io| io.unread_bytes()));
        if let Poll::Ready(done) = done {
            return Poll::Ready(done.err());
        }
        if matches!(drained, Poll::Ready(Err(_))) {
            return Poll::Ready(None);
        }
        let blocked = drained.is_pending();
        if watch.look(streams.active.get() > 0, blocked, || drain.take_progress()) {
            return Poll::Ready(None);
        }
        Poll::Pending
    })
    .await;
    let Some(reason) = error.as_ref().and_then(goaway_reason) else {
        return;
    };
    let reason = ending.get().unwrap_or(reason);
    let reason = metric_reason(reason);
    conn.worker.shard.rejected_early(reason);
    log_refused_connection(conn, reason);
    drop(http);
    if let Some(guarded) = drain.into_inner() {
        linger(conn, &watch.deadline, guarded.into_inner()).await;
    }
}

/// Runs one exchange, as [`answer`] does, in a boxed future. The future has a size of some
/// kilobytes; the box prevents copies. Not inlined, so that the future is created on the heap.
#[inline(never)]
fn answer_boxed(
    stream: Rc<Stream>,
    request: Request<hyper::body::Incoming>,
    backlog: Rc<Backlog>,
) -> Pin<Box<impl Future<Output = Result<Response<Sending>, Infallible>>>> {
    Box::pin(async move {
        if stream.limits.header_bytes < u64::from(HEADER_LIST_MIN)
            && request.headers().contains_key(TOO_LARGE)
        {
            let response = respond::head_too_large();
            return Ok(response.map(|body| backlog.sending(body, &stream)));
        }
        let request = request.map(|body| Incoming::http2(body, &stream.transfer));
        let response = answer(Rc::clone(&stream), request).await;
        Ok(response.map(|body| backlog.sending(body, &stream)))
    })
}

/// Error code of the GOAWAY frame with which the gateway ended the connection because of an error.
/// `None`: the connection ended in another way.
fn goaway_reason(error: &hyper::Error) -> Option<h2::Reason> {
    let error = error.source()?.downcast_ref::<h2::Error>()?;
    if !error.is_go_away() || !error.is_library() {
        return None;
    }
    error.reason()
}

/// Label in the metrics for the reason of a GOAWAY.
fn metric_reason(reason: h2::Reason) -> &'static str {
    match reason {
        h2::Reason::ENHANCE_YOUR_CALM => "http2_enhance_your_calm",
        h2::Reason::PROTOCOL_ERROR => "http2_protocol_error",
        h2::Reason::FLOW_CONTROL_ERROR => "http2_flow_control_error",
        h2::Reason::FRAME_SIZE_ERROR => "http2_frame_size_error",
        h2::Reason::COMPRESSION_ERROR => "http2_compression_error",
        h2::Reason::STREAM_CLOSED => "http2_stream_closed",
        _ => "http2_error",
    }
}

/// Initial receive windows of a stream and of the connection, in bytes.
struct Windows {
    stream: u32,
    connection: u32,
}

impl Windows {
    /// Windows of a new connection. With a memory limit, the connection's window is at most a
    /// [`WINDOW_PART`]th of the limit, but at least [`WINDOW_MIN`].
    fn of(conn: &Conn) -> Self {
        let memory = conn.worker.budgets.memory.max();
        let part = memory.map_or(u32::MAX, |max| {
            u32::try_from(max / WINDOW_PART).unwrap_or(u32::MAX)
        });
        let connection = part.clamp(WINDOW_MIN, CONNECTION_WINDOW);
        Self {
            stream: connection.min(STREAM_WINDOW),
            connection,
        }
    }
}

/// Monitor that decides when the gateway ends the connection.
struct Watch<'c> {
    conn: &'c Conn,
    deadline: Slot,
    /// Time since which the connection has had no open stream, in milliseconds of the clock. `None`
    /// while a stream is open.
    idle_since_ms: Option<u64>,
    /// Time budget of the client for reading data.
    pace: Pace,
    /// Time until which the client must accept unsent data, in milliseconds of the clock. `None` if
    /// no data is blocked.
    blocked_until_ms: Option<u64>,
    /// Time from which the connection is too old, in milliseconds of the clock: the client then
    /// gets GOAWAY.
    old_at_ms: u64,
    /// Time at which GOAWAY was sent, in milliseconds of the clock. `None` before that.
    goaway_sent_ms: Option<u64>,
}

/// Executor that runs each stream in a task and watches the stream's deadline.
#[derive(Clone)]
struct Spawner(Rc<Streams>);

/// Open streams of a connection.
struct Streams {
    loads: Loads,
    worker: usize,
    active: Cell<usize>,
    /// Stream whose task hyper spawns next. `None`: hyper spawns a task of its own.
    newcomer: RefCell<Option<Rc<Stream>>>,
}

/// Guard that counts an open stream until it is dropped.
struct Open(Rc<Streams>);

impl<'c> Watch<'c> {
    fn new(conn: &'c Conn) -> Self {
        let now_ms = conn.worker.clock.now_ms();
        let age_max_ms = conn.time_limits().http2_age_max_ms;
        let jitter_ms = conn.worker.random.next() % (age_max_ms / 5).max(1);
        let watch = Self {
            conn,
            deadline: conn.worker.deadlines.slot(),
            idle_since_ms: Some(now_ms),
            pace: Pace::new(&conn.time_limits()),
            blocked_until_ms: None,
            old_at_ms: now_ms.saturating_add(age_max_ms - jitter_ms),
            goaway_sent_ms: None,
        };
        watch.deadline.set(watch.next_ms());
        watch
    }

    /// True if GOAWAY must be sent now: the connection is idle, too old or must end, or many of its
    /// streams were reset (`is_draining`). Returns true at most once per connection.
    fn begin_goaway(&mut self, is_draining: bool) -> bool {
        if self.goaway_sent_ms.is_some() {
            return false;
        }
        let expired = self.deadline.expired();
        // If memory is scarce, check this connection at every wake-up: idle connections are woken
        // once a second.
        let memory_wanted = self.conn.worker.budgets.memory.is_scarce();
        if !expired && !memory_wanted && !is_draining && !self.conn.ending() {
            return false;
        }
        let now_ms = self.conn.worker.clock.now_ms();
        let idle_ms = match memory_wanted {
            true => IDLE_WANTED_MS,
            false => self.conn.limits.idle_timeout_ms,
        };
        let idle = |since_ms| now_ms >= since_ms + idle_ms;
        let ends = is_draining
            || self.conn.ending()
            || now_ms >= self.old_at_ms
            || self.idle_since_ms.is_some_and(idle);
        if ends {
            self.goaway_sent_ms = Some(now_ms);
            self.deadline.set(self.next_ms());
        }
        ends
    }

    /// Updates the state after the connection was polled. `active`: a stream is open. `blocked`:
    /// the client does not accept unsent data. Returns true if the connection must be dropped.
    fn look(&mut self, active: bool, blocked: bool, progress: impl FnOnce() -> u64) -> bool {
        let changed =
            active == self.idle_since_ms.is_some() || blocked != self.blocked_until_ms.is_some();
        if !changed && !self.deadline.expired() {
            return false;
        }
        let shared = &self.conn.worker.shared;
        let now_ms = shared.clock.now_ms();
        self.idle_since_ms = (!active).then(|| self.idle_since_ms.unwrap_or(now_ms));
        let time_limits = self.conn.time_limits();
        self.pace.moved(progress(), now_ms, &time_limits);
        self.blocked_until_ms = blocked.then(|| self.pace.waits(now_ms));
        self.deadline.set(self.next_ms());
        let too_slow = self
            .blocked_until_ms
            .is_some_and(|until_ms| now_ms >= until_ms);
        let is_overdue = self
            .goaway_sent_ms
            .is_some_and(|goaway_sent_ms| now_ms >= goaway_sent_ms + GOODBYE_MS);
        too_slow || !active && is_overdue
    }

    /// Time at which the connection must be checked again, in milliseconds of the clock.
    fn next_ms(&self) -> u64 {
        let mut next_ms = u64::MAX;
        if self.goaway_sent_ms.is_none() {
            next_ms = self.old_at_ms;
            if let Some(since_ms) = self.idle_since_ms {
                next_ms = next_ms.min(since_ms + self.conn.limits.idle_timeout_ms);
            }
        } else if let (Some(goaway_sent_ms), Some(_)) = (self.goaway_sent_ms, self.idle_since_ms) {
            next_ms = goaway_sent_ms + GOODBYE_MS;
        }
        if let Some(until_ms) = self.blocked_until_ms {
            next_ms = next_ms.min(until_ms);
        }
        next_ms
    }
}

impl<F> Executor<F> for Spawner
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, task: F) {
        let Some(stream) = self.0.newcomer.take() else {
            // Without a new stream, the task is hyper's own, for the data of an upgraded stream.
            let open = Open::new(&self.0);
            tokio::task::spawn_local(async move {
                let _open = open;
                task.await;
            });
            return;
        };
        let open = Open::new(&self.0);
        tokio::task::spawn_local(async move {
            let _open = open;
            let mut task = pin!(task);
            poll_fn(|cx| {
                stream.transfer.deadline.register(cx.waker());
                if stream.transfer.phase() == Phase::Body
                    && stream.transfer.deadline.expired()
                    && stream.is_given_up()
                {
                    // Dropping the task resets the stream.
                    return Poll::Ready(());
                }
                let polled = task.as_mut().poll(cx);
                if polled.is_pending() {
                    stream.response.send_upload(cx);
                }
                polled
            })
            .await;
        });
    }
}

impl Open {
    fn new(streams: &Rc<Streams>) -> Self {
        streams.active.set(streams.active.get() + 1);
        streams.loads.add(streams.worker, STREAM_WEIGHT);
        Self(Rc::clone(streams))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let streams = &self.0;
        streams.active.set(streams.active.get() - 1);
        streams.loads.sub(streams.worker, STREAM_WEIGHT);
    }
}
