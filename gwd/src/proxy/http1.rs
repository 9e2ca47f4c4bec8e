//! HTTP/1 connections (RFC 9112): served by hyper while something happens, parked while nothing
//! does.
//!
//! An idle connection of hyper's holds 20 KiB. One that stands still for a second gives its I/O
//! back and is watched for bytes only (data-plane.md §2); hyper's part is made anew for them.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use hyper::server::conn::http1;
use hyper::service::service_fn;

use crate::budget::HTTP1_BYTES;
use crate::listen::ListenSocket;
use crate::proxy::connection::{Conn, NoTimer, answer, linger, room};
use crate::proxy::io::{ClientIo, Watched};
use crate::proxy::respond;
use crate::proxy::stream::{Phase, Stream};

/// hyper's smallest buffer.
const BUFFER_BYTES_MIN: usize = 8_192;

/// Why hyper's part ended.
enum End {
    /// The client closed, or the last response was sent.
    Done(Result<(), hyper::Error>),
    /// Nothing happens: it can be parked.
    Quiet,
    HeaderTimeout,
    Stalled,
}

/// Serves a connection to its end.
pub(crate) async fn serve(conn: &Rc<Conn>, io: ClientIo) {
    let stream = Stream::of_connection(conn);
    let mut io = Watched::new(io, Rc::clone(&stream));
    loop {
        if !parked(&stream, &io).await {
            return;
        }
        let Some(share) = room(conn, HTTP1_BYTES, &stream.deadline).await else {
            return;
        };
        let (end, back) = Box::pin(active(&stream, io)).await;
        match end {
            End::Quiet => {
                conn.worker.parked_one();
                drop(share);
                conn.worker.waiting.wake_one();
                io = back;
            }
            end => {
                Box::pin(finish(&stream, end, back)).await;
                drop(share);
                return conn.worker.waiting.wake_one();
            }
        }
    }
}

/// Waits for bytes; false where none came in time or the connection has to end.
async fn parked(stream: &Stream, io: &Watched) -> bool {
    stream.deadline.set(stream.idle_until_ms());
    let _counted = Parked::count(&stream.socket);
    poll_fn(|cx| {
        stream.deadline.register(cx.waker());
        if io.poll_readable(cx).is_ready() {
            return Poll::Ready(true);
        }
        if stream.deadline.expired() || stream.ending() {
            return Poll::Ready(false);
        }
        Poll::Pending
    })
    .await
}

/// Lets hyper serve until it is done or nothing happens any more.
async fn active(stream: &Rc<Stream>, io: Watched) -> (End, Watched) {
    let limits = &stream.limits;
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
        let stream = Rc::clone(stream);
        service_fn(move |request| answer(Rc::clone(&stream), request))
    };
    let mut http = builder.serve_connection(io, service);
    stream.watch_quiet();
    let mut told = false;
    let end = poll_fn(|cx| {
        stream.deadline.register(cx.waker());
        let expired = stream.deadline.expired();
        if expired {
            match stream.phase() {
                Phase::Head => return Poll::Ready(End::HeaderTimeout),
                Phase::Body if !stream.may_be_silent() => return Poll::Ready(End::Stalled),
                Phase::Idle | Phase::Exchange | Phase::Body => {}
            }
        }
        if !told && stream.ending() {
            told = true;
            Pin::new(&mut http).graceful_shutdown();
        }
        match Pin::new(&mut http).poll(cx) {
            Poll::Ready(done) => Poll::Ready(End::Done(done)),
            // Bytes may have come just now.
            Poll::Pending if expired && stream.phase() == Phase::Idle => {
                if !stream.unflushed.get() {
                    return Poll::Ready(End::Quiet);
                }
                let until_ms = stream.idle_until_ms();
                if until_ms <= stream.worker.shared.clock.now_ms() {
                    return Poll::Ready(End::Stalled);
                }
                stream.deadline.set(until_ms);
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    let parts = http.into_parts();
    let mut io = parts.io;
    io.put_back(&parts.read_buf);
    (end, io)
}

/// Counts a connection as parked for as long as it is held.
struct Parked<'s>(&'s ListenSocket);

impl<'s> Parked<'s> {
    fn count(socket: &'s ListenSocket) -> Self {
        socket.parked.fetch_add(1, Ordering::Relaxed);
        Self(socket)
    }
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        self.0.parked.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is left to do when hyper is done.
async fn finish(stream: &Stream, end: End, io: Watched) {
    // Also where it is not carried any more: it holds the stream that holds it.
    let tunnel = stream.tunnel.take();
    match end {
        End::Quiet | End::Stalled => {}
        End::HeaderTimeout => {
            stream.worker.shard.rejected_early("header_timeout");
            let (mut io, _) = io.into_inner();
            io.last_word(respond::HEADER_TIMEOUT);
            linger(stream, &stream.deadline, io).await;
        }
        End::Done(result) => {
            if let Some(tunnel) = tunnel {
                let (mut io, early) = io.into_inner();
                tunnel.run(&mut io, &early).await;
                return linger(stream, &stream.deadline, io).await;
            }
            if let Err(error) = &result
                && (error.is_parse() || error.is_parse_too_large())
            {
                let reason = if error.is_parse_too_large() {
                    "headers_too_large"
                } else if io.scan.offended() {
                    "framing_invalid"
                } else {
                    "head_invalid"
                };
                stream.worker.shard.rejected_early(reason);
            }
            linger(stream, &stream.deadline, io.into_inner().0).await;
        }
    }
}
