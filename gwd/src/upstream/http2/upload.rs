//! Sending of a request's body on an HTTP/2 stream, as far as flow control allows.
//!
//! Small pieces of a body are gathered into frames of [`FRAME_MIN`] bytes. Servers end a connection
//! with many small DATA frames, and thus the exchanges of other clients on it (Tomcat's
//! `overheadDataThreshold` is 1024 bytes; NGINX: "http2 flood detected"). Pieces of gRPC calls and
//! of operations with `stream: true` are sent at once.
//!
//! Trailers are discarded unless the operation has `stream: true` (RFC 9110 §6.5.1 allows that).
//! NGINX ends a connection on which it receives trailers. In addition, the DATA frame before the
//! trailers does not end the stream, so that servers may count this frame as a small one.

use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::{Reason, SendStream};
use http::HeaderMap;
use http_body::Body as _;

use super::exchange::Exchange;
use super::{Error, HEADER_LIST_UNASKED, State, fields_bytes};
use crate::message::body::RequestBody;
use crate::message::sends::Sends;
use crate::upstream::connection_shares::ConnectionCharge;

/// Minimum size of a DATA frame that does not end the body.
const FRAME_MIN: usize = 2 << 10;

/// Request body that is being sent. Dropping this value before the end of the body resets the
/// stream.
pub(super) struct Upload {
    stream: SendStream<Bytes>,
    body: RequestBody,
    /// Data that waits for flow-control window.
    waiting: Bytes,
    /// Small pieces of the body, together shorter than [`FRAME_MIN`].
    gathered: BytesMut,
    /// Trailers to be sent after `waiting`. `None`: no trailers.
    trailers: Option<HeaderMap>,
    /// True if the body ends with `waiting`.
    last: bool,
    done: bool,
    connection: Rc<State>,
    /// Address of the client. `None` for an exchange of the gateway itself.
    client: Option<IpAddr>,
    /// Present while `waiting` has no window on a shared connection.
    stalled: Option<Stalled>,
}

/// Body that waits for flow-control window on a shared connection. Until this value is dropped, the
/// body is counted for its connection, and the connection is charged to the client like a draining
/// connection.
struct Stalled {
    connection: Rc<State>,
    _charge: Option<ConnectionCharge>,
}

impl Upload {
    pub(super) fn new(stream: SendStream<Bytes>, body: RequestBody, exchange: &Exchange) -> Self {
        Self {
            stream,
            body,
            waiting: Bytes::new(),
            gathered: BytesMut::new(),
            trailers: None,
            last: false,
            done: false,
            connection: Rc::clone(&exchange.state),
            client: exchange.client,
            stalled: None,
        }
    }

    /// Sends available bytes. Ready when all bytes are sent, or when the upstream stops reading. In
    /// the second case, the upstream's response has the reason.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let sent = ready!(self.poll_send(cx));
        self.done = true;
        if sent.is_err() {
            self.cancel();
        }
        Poll::Ready(sent)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.stream.poll_reset(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        loop {
            while !self.waiting.is_empty() {
                self.stream.reserve_capacity(self.waiting.len());
                let mut room = self.stream.capacity();
                if room == 0 {
                    let polled = self.stream.poll_capacity(cx);
                    if polled.is_pending() {
                        self.stall();
                    }
                    room = match ready!(polled) {
                        Some(Ok(room)) => room,
                        Some(Err(_)) | None => return Poll::Ready(Ok(())),
                    };
                }
                self.stalled = None;
                let piece = self.waiting.split_to(room.min(self.waiting.len()));
                let end = self.last && self.waiting.is_empty();
                if self.stream.send_data(piece, end).is_err() || end {
                    return Poll::Ready(Ok(()));
                }
            }
            if let Some(trailers) = self.trailers.take() {
                let _unwanted = self.stream.send_trailers(trailers);
                return Poll::Ready(Ok(()));
            }
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(_)) => return Poll::Ready(Err(Error::Upload)),
                None if self.gathered.is_empty() => {
                    // Ignore an error: the upstream may have stopped reading.
                    let _unwanted = self.stream.send_data(Bytes::new(), true);
                    return Poll::Ready(Ok(()));
                }
                None => {
                    self.last = true;
                    self.waiting = self.gathered.split().freeze();
                    continue;
                }
            };
            match frame.into_data() {
                Ok(data) => {
                    self.last = self.body.is_end_stream();
                    self.gather(data);
                }
                Err(frame) => {
                    let Ok(trailers) = frame.into_trailers() else {
                        continue;
                    };
                    if !self.body.passes_trailers() {
                        continue;
                    }
                    let known = self.connection.inbox.header_list_max();
                    let max = known.unwrap_or(HEADER_LIST_UNASKED);
                    let bytes = fields_bytes(&trailers) as u64;
                    if bytes > u64::from(max) {
                        return Poll::Ready(Err(Error::HeadTooLarge { bytes, max }));
                    }
                    self.waiting = self.gathered.split().freeze();
                    self.trailers = Some(trailers);
                }
            }
        }
    }

    /// Resets the stream of a body that is not complete. Also marks the connection as draining,
    /// because servers end a connection on which many uploads are reset.
    fn cancel(&mut self) {
        self.connection.drain(self.client);
        self.stream.send_reset(Reason::CANCEL);
    }

    /// Counts a body that waits for window.
    fn stall(&mut self) {
        let connection = &self.connection;
        if self.stalled.is_some() || !connection.counted.is_shared() {
            return;
        }
        connection.stalled.set(connection.stalled.get() + 1);
        let client = self.client;
        self.stalled = Some(Stalled {
            connection: Rc::clone(connection),
            _charge: client.map(|client| connection.room.charge_draining(client)),
        });
    }

    /// Adds a piece of the body to the data that is sent next.
    fn gather(&mut self, data: Bytes) {
        let gathers = self.body.sends() == Sends::Upload;
        let is_small = data.len() < FRAME_MIN && !self.last && gathers;
        if self.gathered.is_empty() && !is_small {
            self.waiting = data;
            return;
        }
        self.gathered.extend_from_slice(&data);
        if self.last || self.gathered.len() >= FRAME_MIN || !gathers {
            self.waiting = self.gathered.split().freeze();
        }
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        let stalled = &self.connection.stalled;
        stalled.set(stalled.get() - 1);
        if stalled.get() == 0 {
            self.connection.room.freed(self.connection.active.get());
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.done {
            self.cancel();
        }
    }
}
