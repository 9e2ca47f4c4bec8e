//! Client connection from the first byte to closing: detects the protocol and serves the connection
//! with [`http1`] or [`http2`]. [`super::arrival`] accepts connections.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::limits::budget::HANDSHAKE_BYTES;
use crate::message::io::{ClientIo, Transport};
use crate::proxy::connection::{Conn, in_time, linger, wait_for_memory};
use crate::proxy::{http1, http2};
use crate::telemetry::process::LimitedResource;
use crate::tls::TlsListener;
use crate::tls::accept::{self as tls, Signing};

/// Connection preface of an HTTP/2 client (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Protocol that the client uses, as far as it was detected.
enum DetectedProtocol {
    Http1,
    Http2,
    /// No bytes arrived in time, or the client closed the connection.
    Nothing,
}

/// Serves a connection over TLS. The handshake (ALPN) determines the protocol.
pub(super) async fn serve_tls(conn: Rc<Conn>, stream: TcpStream, tls_listener: Arc<TlsListener>) {
    let Some(stream) = Box::pin(handshake(&conn, stream, &tls_listener)).await else {
        return;
    };
    let http2 = conn.tls.get().is_some_and(|facts| facts.http2);
    let io = ClientIo::new(Transport::Tls(Box::new(stream)));
    match http2 {
        true => Box::pin(http2::serve(&conn, io)).await,
        false => http1::serve(&conn, io).await,
    }
}

/// Maximum time that a handshake may wait for its client while others wait for a permit: 1s.
/// Without this limit, a client that stalls its handshake would keep its permit until the handshake
/// times out.
const PRESSED_MS: u64 = 1_000;

/// Performs the TLS handshake after the client has sent its first byte. Returns `None` on failure.
/// Every handshake that begins is counted.
async fn handshake(
    conn: &Rc<Conn>,
    stream: TcpStream,
    tls_listener: &TlsListener,
) -> Option<TlsStream<TcpStream>> {
    let worker = &conn.worker;
    let now_ms = || worker.clock.now_ms();
    let deadline = worker.deadlines.slot();
    deadline.set(now_ms() + tls::HANDSHAKE_MS.min(conn.limits.idle_timeout_ms));
    let io = ClientIo::new(Transport::Tcp(stream));
    in_time(&deadline, poll_fn(|cx| io.poll_readable(cx))).await?;
    let stream = io.into_tcp()?;
    let until_ms = now_ms() + tls::HANDSHAKE_MS;
    deadline.set(until_ms);
    let share = wait_for_memory(conn, HANDSHAKE_BYTES, &deadline).await?;
    let turns = &worker.budgets.handshakes;
    let Some(turn) = in_time(&deadline, turns.take(conn.peer)).await else {
        worker.shard.process.shed(LimitedResource::Handshakes);
        return None;
    };
    let signing = Cell::new(Signing::Not);
    let began_ns = worker.clock.now_ns();
    let shaken = {
        let compute = &worker.shared.compute;
        let mut shaken = pin!(tls::accept(stream, tls_listener, compute, &signing));
        loop {
            deadline.set(until_ms.min(now_ms() + PRESSED_MS));
            let shaken = in_time(&deadline, shaken.as_mut()).await;
            // Do not count an interval in which the gateway computed a signature as slowness of the
            // client.
            let slow = match signing.get() {
                Signing::Not => true,
                Signing::Now => false,
                Signing::Done => {
                    signing.set(Signing::Not);
                    false
                }
            };
            if shaken.is_some() || slow && turns.are_awaited() || now_ms() >= until_ms {
                break shaken;
            }
        }
    };
    drop((turn, share));
    match shaken {
        Some(Ok((stream, facts, outcome))) => {
            worker.shard.handshake(outcome);
            let ended_ns = worker.clock.now_ns();
            let duration_ns = ended_ns.saturating_sub(began_ns);
            worker.shard.handshake_took(duration_ns);
            let _first = conn.tls.set(facts);
            Some(stream)
        }
        Some(Err(failed)) => {
            worker.shard.handshake(failed.outcome);
            let io = ClientIo::new(Transport::Tcp(failed.stream));
            linger(conn, &deadline, io).await;
            None
        }
        None => {
            worker.shard.handshake(tls::TIMED_OUT);
            None
        }
    }
}

/// Serves a connection without TLS. The branches are boxed, because a task is as large as its
/// largest branch, and most connections are idle.
pub(super) async fn serve(conn: Rc<Conn>, mut io: ClientIo, http2: bool) {
    let protocol = if http2 {
        Box::pin(find_out(&conn, &mut io)).await
    } else {
        DetectedProtocol::Http1
    };
    match protocol {
        DetectedProtocol::Http1 => http1::serve(&conn, io).await,
        DetectedProtocol::Http2 => Box::pin(http2::serve(&conn, io)).await,
        DetectedProtocol::Nothing => {}
    }
}

/// Detects the protocol: reads until the received bytes equal the HTTP/2 preface or differ from it.
async fn find_out(conn: &Rc<Conn>, io: &mut ClientIo) -> DetectedProtocol {
    let deadline = conn.worker.deadlines.slot();
    let now_ms = conn.worker.clock.now_ms();
    deadline.set(now_ms + conn.limits.idle_timeout_ms);
    let heard = poll_fn(|cx| match io.poll_readable(cx) {
        Poll::Ready(_) => Poll::Ready(true),
        // While draining, do not wait for a client that has sent nothing.
        Poll::Pending if conn.idle_ends() => Poll::Ready(false),
        Poll::Pending => Poll::Pending,
    });
    if in_time(&deadline, heard).await != Some(true) {
        return DetectedProtocol::Nothing;
    }
    let now_ms = conn.worker.clock.now_ms();
    deadline.set(now_ms + conn.limits.header_timeout_ms);
    let mut bytes = Vec::with_capacity(PREFACE.len());
    while PREFACE.starts_with(&bytes) && bytes.len() < PREFACE.len() {
        let mut rest = vec![0; PREFACE.len() - bytes.len()];
        match in_time(&deadline, io.read(&mut rest)).await {
            Some(Ok(read)) if read > 0 => bytes.extend_from_slice(&rest[..read]),
            Some(_) => return DetectedProtocol::Nothing,
            None => {
                conn.worker.shard.rejected_early("header_timeout");
                return DetectedProtocol::Nothing;
            }
        }
    }
    let protocol = if bytes == PREFACE {
        DetectedProtocol::Http2
    } else {
        DetectedProtocol::Http1
    };
    io.put_back(Bytes::from(bytes));
    protocol
}
