//! HTTP/1 connections (RFC 9112): a loop of request head, exchange and response.
//!
//! After half a second without activity, a connection is parked: it releases its buffers and only
//! waits for bytes (data-plane.md §2).

mod early;
mod send;
mod turn;
mod wire;

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use ::http1::body::Length;
use ::http1::request::{Head, Limits};
use http::Request;
use policy::Reject;

use crate::limits::budget::HTTP1_BYTES;
use crate::listen::ListenSocket;
use crate::message::incoming::Incoming;
use crate::message::io::ClientIo;
use crate::message::transfer::Phase;
use crate::proxy::connection::{Conn, linger, wait_for_memory};
use crate::proxy::exchange::answer;
use crate::proxy::refused::log_refused_head;
use crate::proxy::stream::Stream;
use crate::proxy::tunnel::Tunnel;
use send::{RequestTraits, Then};
use turn::Turn;
use wire::Wire;

/// Minimum of the parser's limit on the number of fields. If the listener's limit is lower, the
/// parser still accepts the request, so that the edge can reject it with a regular response.
const FIELDS_MIN: usize = 100;

/// Reason why a connection serves no more exchanges.
enum End {
    /// The client closed the connection, or the last response was sent. Contains the tunnel that
    /// takes over the connection, if there is one.
    Over(Option<Box<Tunnel>>),
    /// The input is not a valid request, or its head did not arrive in time.
    Refused(&'static Reject),
    /// The connection has been idle for a while: its buffers are released until bytes arrive (it is
    /// parked).
    Quiet,
    /// The client has accepted no response data within its time limit.
    Stalled,
    /// The end of the connection delimits a response, and that response was cut short.
    CutShort,
}

/// Serves an HTTP/1 connection until it ends.
pub(crate) async fn serve(conn: &Rc<Conn>, mut io: ClientIo) {
    let stream = Stream::of_connection(conn);
    loop {
        if !parked(&stream, &io).await {
            return io.send_close_notify();
        }
        let Some(share) = wait_for_memory(conn, HTTP1_BYTES, &stream.transfer.deadline).await
        else {
            return;
        };
        let wire = Wire::new(io, &stream);
        let end = Box::pin(active(&wire)).await;
        let Some((back, unread)) = wire.take() else {
            return;
        };
        drop(wire);
        match end {
            End::Quiet => {
                conn.hop.take();
                conn.worker.parked_one();
                drop(share);
                conn.worker.waiting.wake_one();
                io = back;
            }
            end => {
                Box::pin(finish(&stream, end, back, &unread)).await;
                drop(share);
                return conn.worker.waiting.wake_one();
            }
        }
    }
}

/// Waits, without buffers, until bytes arrive. Returns false after the idle timeout, or if the
/// connection has to end.
async fn parked(stream: &Stream, io: &ClientIo) -> bool {
    stream.transfer.deadline.set(stream.idle_until_ms());
    let _counted = ParkedCount::count(&stream.socket);
    poll_fn(|cx| {
        stream.transfer.deadline.register(cx.waker());
        if io.poll_readable(cx).is_ready() {
            return Poll::Ready(true);
        }
        if stream.transfer.deadline.expired() || stream.idle_ends() {
            return Poll::Ready(false);
        }
        Poll::Pending
    })
    .await
}

/// Serves exchanges until the connection has to be parked or closed.
async fn active(wire: &Rc<Wire>) -> End {
    let stream = &wire.stream;
    let turn = Turn::default();
    let mut serving = pin!(exchanges(wire, &turn));
    stream.watch_quiet();
    poll_fn(|cx| {
        stream.transfer.deadline.register(cx.waker());
        let expired = stream.transfer.deadline.expired();
        if expired {
            match stream.transfer.phase() {
                Phase::Head => return Poll::Ready(End::Refused(&early::HEADER_TIMEOUT)),
                Phase::Body if stream.is_given_up() => return Poll::Ready(End::Stalled),
                Phase::Idle | Phase::Exchange | Phase::Body => {}
            }
        }
        turn.begin();
        match serving.as_mut().poll(cx) {
            Poll::Ready(end) => Poll::Ready(end),
            // The next requests have arrived already: do not park the connection.
            Poll::Pending if turn.has_ended() => Poll::Pending,
            // Poll once more before parking, because bytes may have arrived meanwhile.
            Poll::Pending if expired && stream.transfer.phase() == Phase::Idle => {
                if !stream.response.unflushed.get() {
                    return Poll::Ready(End::Quiet);
                }
                let until_ms = stream.idle_until_ms();
                if until_ms <= stream.worker.clock.now_ms() {
                    return Poll::Ready(End::Stalled);
                }
                stream.transfer.deadline.set(until_ms);
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Serves the exchanges of a connection one after another.
async fn exchanges(wire: &Rc<Wire>, turn: &Turn) -> End {
    let limits = Limits {
        bytes: usize::try_from(wire.stream.limits.header_bytes).unwrap_or(usize::MAX),
        fields: usize::try_from(wire.stream.limits.headers)
            .unwrap_or(usize::MAX)
            .max(FIELDS_MIN),
    };
    loop {
        let head = match poll_fn(|cx| wire.poll_head(cx, limits)).await {
            Ok(Some(head)) => head,
            Ok(None) => return End::Over(None),
            Err(error) => return End::Refused(early::reject(error)),
        };
        let traits = RequestTraits::of(&head);
        let response = {
            let mut answer = pin!(answer(Rc::clone(&wire.stream), request(wire, head)));
            poll_fn(|cx| match answer.as_mut().poll(cx) {
                Poll::Ready(response) => Poll::Ready(Some(response)),
                Poll::Pending if wire.has_gone(cx) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            })
            .await
        };
        let Some(response) = response else {
            return End::Over(None);
        };
        match send::send(wire, response, &traits).await {
            Then::Again => turn.answered().await,
            Then::Close => return End::Over(None),
            Then::Tunnel(tunnel) => return End::Over(Some(tunnel)),
            Then::Reset => return End::CutShort,
        }
    }
}

/// Converts a head to a request. Its body is read on demand.
fn request(wire: &Rc<Wire>, head: Head) -> Request<Incoming> {
    let body = match head.length {
        Length::Known(0) => Incoming::Empty,
        _ => wire.incoming(),
    };
    let mut request = Request::new(body);
    *request.method_mut() = head.method;
    *request.uri_mut() = head.target;
    *request.version_mut() = head.version;
    *request.headers_mut() = head.headers;
    request
}

/// Ends the connection. Depending on the reason, runs a tunnel, sends a last response, or resets
/// the connection.
async fn finish(stream: &Stream, end: End, mut io: ClientIo, unread: &[u8]) {
    match end {
        End::Quiet => return,
        End::Stalled | End::CutShort => return io.reset(),
        End::Refused(reject) => {
            stream.worker.shard.rejected_early(reject.code);
            log_refused_head(stream, reject, unread);
            io.try_write(&early::response(reject));
        }
        End::Over(tunnel) => {
            if let Some(tunnel) = tunnel {
                tunnel.run(&mut io, unread).await;
            }
        }
    }
    linger(stream, &stream.transfer.deadline, io).await;
}

/// Counts an idle connection without buffers as parked, until this value is dropped.
struct ParkedCount<'s>(&'s ListenSocket);

impl<'s> ParkedCount<'s> {
    fn count(socket: &'s ListenSocket) -> Self {
        socket.parked.fetch_add(1, Ordering::Relaxed);
        Self(socket)
    }
}

impl Drop for ParkedCount<'_> {
    fn drop(&mut self) {
        self.0.parked.fetch_sub(1, Ordering::Relaxed);
    }
}
