//! Tunnels over HTTP/2 (RFC 8441): an extended CONNECT, whose stream carries bytes in both
//! directions after the upstream has accepted.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use h2::ext::Protocol;
use h2::{Ping, PingPong, Reason, RecvStream, SendStream};
use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Call, Connection, Error, Exchange, Incoming, State, check_head, prepare};
use crate::limits::inbox::UnreadBody;
use crate::message::body::RequestBody;

/// Response to a request for a tunnel.
pub(crate) enum Answer {
    Tunnel(Tunnel),
    /// The status is 2xx, but the stream is no tunnel: the response has `Content-Length`, has the
    /// status 204 or 205, or has ended.
    Invalid,
    Declined(Box<Incoming>),
}

/// Stream of a tunnel to the upstream. Dropping this value before both directions have ended resets
/// the stream.
pub(crate) struct Tunnel {
    send: SendStream<Bytes>,
    receive: RecvStream,
    /// Bytes that arrived and were not read yet.
    came: Bytes,
    send_ended: bool,
    receive_ended: bool,
    reading: UnreadBody,
    exchange: Exchange,
}

/// PING in progress. Dropping this value returns the PING handle to the connection.
struct PingInProgress<'a> {
    ping: Option<PingPong>,
    state: &'a State,
}

// === impl Connection ===

impl Connection {
    /// Requests a tunnel. Returns its stream if the upstream accepts, otherwise the upstream's
    /// response. `request` is the request for HTTP/1.1, without the fields of the handshake.
    ///
    /// # Errors
    /// [`Error::NoTunnels`] if the upstream does not support tunnels; another error if there is no
    /// response.
    pub(crate) async fn tunnel(
        mut self,
        request: Request<RequestBody>,
        protocol: Protocol,
    ) -> Result<Response<Answer>, Error> {
        if !self.has_tunnels().await {
            return Err(Error::NoTunnels);
        }
        let exchange = Exchange::new(self.state, self.client);
        let ready = poll_fn(|cx| self.send.poll_ready(cx)).await;
        ready.map_err(Error::Unsent)?;
        let (mut head, _) = prepare(request, self.scheme)?;
        *head.method_mut() = Method::CONNECT;
        head.extensions_mut().insert(protocol);
        check_head(&exchange.state, &head).await?;
        let sent = self.send.send_request(head, false);
        let (response, mut send) = sent.map_err(Error::Unsent)?;
        let mut call = Call {
            response,
            upload: None,
            watch: None,
            events: exchange.state.events.get(),
            interim: 0,
            _reading: UnreadBody::new(&exchange.state.inbox),
            exchange,
            answered: false,
        };
        let answered = poll_fn(|cx| call.poll(None, cx)).await;
        call.answered = true;
        let response = answered.map_err(|error| call.exchange.state.on_error(error))?;
        let exchange = call.exchange.again();
        let agreed = response.status().is_success();
        let is_bounded = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT]
            .contains(&response.status())
            || response.headers().contains_key(CONTENT_LENGTH);
        Ok(response.map(|receive| match agreed {
            true if is_bounded || receive.is_end_stream() => {
                send.send_reset(Reason::CANCEL);
                Answer::Invalid
            }
            true => Answer::Tunnel(Tunnel::new(send, receive, exchange)),
            false => {
                // Ignore an error: the stream may have ended already.
                let _gone = send.send_data(Bytes::new(), true);
                Answer::Declined(Box::new(Incoming::new(receive, None, exchange)))
            }
        }))
    }

    /// True if the peer supports extended CONNECT. The peer's SETTINGS announce the support (RFC
    /// 8441 §3); this function waits for them.
    async fn has_tunnels(&self) -> bool {
        let known = || self.send.is_extended_connect_protocol_enabled();
        self.state.settle(known).await;
        known()
    }
}

// === impl State ===

impl State {
    /// Waits until the peer's SETTINGS have arrived, or the connection has ended. Ends early if
    /// `is_known` returns true. A PING is sent, whose response arrives after the SETTINGS.
    pub(super) async fn settle(&self, is_known: impl Fn() -> bool) {
        loop {
            if is_known() || self.settled.get() {
                return;
            }
            let notified = self.settling.notified();
            match PingInProgress::begin(self) {
                Some(mut ping) => {
                    let ponged = poll_fn(|cx| ping.poll(cx)).await;
                    self.settled.set(true);
                    if ponged.is_err() {
                        self.retired.set(true);
                    }
                }
                None => notified.await,
            }
        }
    }
}

// === impl PingInProgress ===

impl<'a> PingInProgress<'a> {
    fn begin(state: &'a State) -> Option<Self> {
        let mut ping = state.ping.take()?;
        // Ignore an error: a PING that is already in progress serves the same purpose.
        let _result = ping.send_ping(Ping::opaque());
        let ping = Some(ping);
        Some(Self { ping, state })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        match &mut self.ping {
            Some(ping) => ping.poll_pong(cx).map_ok(drop),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl Drop for PingInProgress<'_> {
    fn drop(&mut self) {
        self.state.ping.replace(self.ping.take());
        self.state.settling.notify_waiters();
    }
}

// === impl Tunnel ===

impl Tunnel {
    fn new(send: SendStream<Bytes>, receive: RecvStream, exchange: Exchange) -> Self {
        Self {
            send,
            receive,
            came: Bytes::new(),
            send_ended: false,
            receive_ended: false,
            reading: UnreadBody::new(&exchange.state.inbox),
            exchange,
        }
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.came.is_empty() && !this.receive_ended {
            let polled = this.receive.poll_data(cx);
            if polled.is_pending() {
                this.reading.mark_consumed();
            }
            match ready!(polled) {
                Some(Ok(data)) => {
                    this.exchange.state.record_event();
                    this.reading.subtract_read(data.len());
                    this.came = data;
                }
                // Ignore NO_ERROR: after the end of its data, the upstream may report that it
                // stopped reading (RFC 9113 §8.1).
                Some(Err(error)) if error.reason() != Some(Reason::NO_ERROR) => {
                    return Poll::Ready(Err(io::Error::other(error)));
                }
                Some(Err(_)) | None => this.receive_ended = true,
            }
        }
        let length = this.came.len().min(buffer.remaining());
        buffer.put_slice(&this.came[..length]);
        this.came.advance(length);
        // The reader has read these bytes: release their flow-control window.
        let _gone = this.receive.flow_control().release_capacity(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.send.reserve_capacity(bytes.len());
        let mut room = this.send.capacity();
        if room == 0 && !bytes.is_empty() {
            room = match ready!(this.send.poll_capacity(cx)) {
                Some(granted) => granted.map_err(io::Error::other)?,
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            };
        }
        let length = room.min(bytes.len());
        let piece = Bytes::copy_from_slice(&bytes[..length]);
        let sent = this.send.send_data(piece, false);
        Poll::Ready(sent.map(|()| length).map_err(io::Error::other))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Nothing to do: the connection's task sends the written bytes.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !std::mem::replace(&mut this.send_ended, true) {
            // Ignore an error: the stream may have ended already.
            let _gone = this.send.send_data(Bytes::new(), true);
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        if !(self.send_ended && self.receive_ended) {
            self.send.send_reset(Reason::CANCEL);
        }
    }
}
