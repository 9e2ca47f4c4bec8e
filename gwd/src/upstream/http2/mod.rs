//! HTTP/2 client (RFC 9113): the `h2` crate over an I/O that collects writes. Each exchange drives
//! its own stream.
//!
//! A [`Connection`] is shared by as many exchanges as the peer allows. Its own task only moves
//! frames. The task of an exchange sends the request's body and reads the response, so that
//! deadlines, backpressure and cancellation work per exchange: dropping a call or a body resets
//! only its own stream. hyper's client would need two more tasks per exchange, and does not report
//! interim responses.

mod body;
mod error;
mod exchange;
mod tunnel;
mod upload;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::PingPong;
use h2::client::{Builder, ResponseFuture, SendRequest};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper_util::rt::TokioIo;
use tokio::sync::Notify;

pub(crate) use body::Incoming;
pub(crate) use error::Error;
use exchange::Exchange;
pub(crate) use tunnel::{Answer, Tunnel};
use upload::Upload;

use crate::limits::budget::Memory;
use crate::limits::inbox::{Inbox, Metered, UnreadBody, Watch};
use crate::message::body::{Gate, RequestBody};
use crate::message::gather::gather;
use crate::telemetry::shard::PoolGauge;
use crate::upstream::call::STATUS_MAX;
use crate::upstream::connection_shares::ConnectionCharge;
use crate::upstream::room::{OpenConnection, Room};
use crate::upstream::sharing::FIELD_OVERHEAD;
use crate::upstream::socket::UpstreamSocket;

/// Receive window of a stream, in bytes. It bounds the bytes of a response that wait for a slow
/// client. The value is the same as over HTTP/1.1, so that a client with many streams takes no more
/// memory.
const STREAM_WINDOW: u32 = 64 << 10;
/// Receive window of the connection, in bytes: the protocol's maximum. With a smaller window,
/// responses that wait for slow clients would block all other responses of the connection (nghttpx
/// has the same default).
const CONNECTION_WINDOW: u32 = i32::MAX as u32;
/// Maximum bytes of unread responses that are counted for a connection: the windows of 128 streams,
/// a usual maximum. The bytes of abandoned responses are counted until the connection has no unread
/// response, so that the count needs a bound.
const UNREAD_COUNTED: u32 = 8 << 20;
/// Maximum bytes of a request that are buffered while the stream's window is closed.
const SEND_BUFFER: usize = 64 << 10;
/// Maximum interim responses before the final one.
const INTERIM_MAX: usize = 16;
/// Maximum size of a request's header list that is sent before the peer's SETTINGS have arrived, in
/// bytes. Larger requests wait for the SETTINGS: the peer may close a connection whose requests
/// exceed its SETTINGS_MAX_HEADER_LIST_SIZE, with all other exchanges on it.
const HEADER_LIST_UNASKED: u32 = 4 << 10;
/// Time for which writes may be blocked before the connection is closed: 30s.
const WRITE_DEADLINE_MS: u64 = 30_000;

static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Connection to an upstream, shared by its exchanges.
#[derive(Clone)]
pub(crate) struct Connection {
    send: SendRequest<Bytes>,
    scheme: Scheme,
    state: Rc<State>,
    /// Exchange for which the connection is reserved. The exchange counts from the reservation on.
    reserved: Option<Rc<Exchange>>,
    /// Client address of the next exchange. `None` for an exchange of the gateway itself.
    client: Option<IpAddr>,
}

/// Parameters of a new HTTP/2 connection to an upstream.
pub(crate) struct Bounds {
    /// Scheme of all requests on the connection (RFC 9113 §8.3.1).
    pub(crate) scheme: Scheme,
    /// Maximum concurrent streams until the peer announces its maximum.
    pub(crate) streams: usize,
    /// Maximum size of a response's fields, in bytes.
    pub(crate) head_bytes_max: u32,
    /// Notified when an exchange ends, for requests that wait to share the connection.
    pub(crate) room: Rc<Room>,
    /// Count of the pool's open connections of this kind.
    pub(crate) counted: OpenConnection,
    /// Memory budget in which unread data of the connection is counted.
    pub(crate) memory: Arc<Memory>,
}

/// State of a connection, which its task and its exchanges share.
struct State {
    /// Number of exchanges in progress.
    active: Cell<usize>,
    /// True once the connection gets no more exchanges.
    retired: Cell<bool>,
    /// True once the server may end the connection, for example after many cancelled exchanges.
    /// Such a connection takes no new streams, unless the upstream has reached its connection
    /// limit.
    is_draining: Cell<bool>,
    /// True once the connection must be closed together with its exchanges.
    aborted: Cell<bool>,
    /// True while writes to the peer are blocked.
    blocked: Cell<bool>,
    blocked_since_ms: Cell<Option<u64>>,
    /// Time since which the connection has no exchange, as determined by [`Connection::sweep`].
    idle_since_ms: Cell<Option<u64>>,
    /// Number of exchanges that ended before their response was complete.
    resets: Cell<u32>,
    /// Number of responses that violated the protocol, each on its own stream.
    faults: Cell<u32>,
    /// Number of bodies that wait for flow-control window.
    stalled: Cell<usize>,
    /// Number of events on all streams, which show that the peer is alive.
    events: Cell<u64>,
    task: RefCell<Option<Waker>>,
    /// TLS error that ended the connection.
    tls: RefCell<Option<rustls::Error>>,
    /// Handle for a PING. The response to a PING shows that the peer's SETTINGS have arrived.
    /// `None` while a tunnel request uses the handle.
    ping: RefCell<Option<PingPong>>,
    /// True once the peer's SETTINGS have arrived, or the connection has ended.
    settled: Cell<bool>,
    settling: Notify,
    gauge: Arc<PoolGauge>,
    /// Notified when an exchange ends, for requests that wait to share the connection.
    room: Rc<Room>,
    counted: OpenConnection,
    /// Charge of a draining connection to the client that caused the state. `None`: the connection
    /// is not draining, or no client caused it.
    draining_charge: RefCell<Option<ConnectionCharge>>,
    /// Count of response bytes that arrived and were not read.
    inbox: Rc<Inbox>,
}

/// Failed request to an upstream.
pub(crate) struct Refused {
    pub(crate) error: Error,
    /// Request, if no byte of it was sent.
    pub(crate) unsent: Option<Request<RequestBody>>,
}

// === impl Connection ===

impl Connection {
    /// Begins HTTP/2 on a new connection. A task on this thread moves the connection's frames.
    ///
    /// # Errors
    /// If the preface cannot be written.
    pub(crate) async fn open(
        socket: UpstreamSocket,
        bounds: Bounds,
        gauge: &Arc<PoolGauge>,
    ) -> Result<Self, h2::Error> {
        let Bounds {
            scheme,
            streams,
            head_bytes_max,
            room,
            counted,
            memory,
        } = bounds;
        let (gather, drain) = gather(TokioIo::new(socket));
        let inbox = Inbox::new(&memory, UNREAD_COUNTED);
        let metered = Metered::new(TokioIo::new(gather), &inbox);
        let handshake = Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_max_send_streams(streams)
            .max_send_buffer_size(SEND_BUFFER)
            .max_header_list_size(head_bytes_max)
            .max_local_error_reset_streams(Some(exchange::FAULTS_ERROR))
            .enable_push(false)
            .handshake::<_, Bytes>(metered);
        let (send, mut connection) = handshake.await?;
        gauge.idle(1);
        let ping = connection.ping_pong();
        let state = Rc::new(State::new(ping, (room, counted), inbox, gauge));
        let watched = Rc::clone(&state);
        tokio::task::spawn_local(async move {
            poll_fn(|cx| {
                watched.task.replace(Some(cx.waker().clone()));
                let done = std::pin::Pin::new(&mut connection).poll(cx);
                let drained = drain.poll(cx);
                watched.blocked.set(drained.is_pending());
                watched.inbox.after_poll();
                if let Poll::Ready(Err(_)) = &done {
                    // Get the TLS error from the session: h2 keeps only the text of an I/O error.
                    let failure = drain.look(|io| io.inner_mut().tls_failure());
                    watched.tls.replace(failure);
                }
                let over = done.is_ready() || watched.aborted.get();
                match over || matches!(drained, Poll::Ready(Err(_))) {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            })
            .await;
            watched.retired.set(true);
            watched.settled.set(true);
            watched.settling.notify_waiters();
            // Drop the connection in this task: that notifies its exchanges.
            drop(connection);
        });
        Ok(Self {
            send,
            scheme,
            state,
            reserved: None,
            client: None,
        })
    }

    /// Reserves the connection for one exchange, which is counted from now on.
    pub(crate) fn reserve(&self) -> Self {
        Self {
            reserved: Some(Rc::new(Exchange::new(Rc::clone(&self.state), None))),
            ..self.clone()
        }
    }

    /// Sets the client of the next exchange. `None`: the exchange is of the gateway itself.
    pub(crate) fn for_client(self, client: Option<IpAddr>) -> Self {
        Self { client, ..self }
    }

    /// True if the connection accepts more exchanges and the server is not expected to end it
    /// ([`Self::is_draining`]), as far as can be known without I/O.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_usable() && !self.is_draining()
    }

    /// True if the connection accepts more exchanges, as far as can be known without I/O.
    pub(crate) fn is_usable(&self) -> bool {
        !self.state.retired.get()
    }

    /// True if the server may end the connection, for example after many cancelled exchanges.
    pub(crate) fn is_draining(&self) -> bool {
        self.state.is_draining.get()
    }

    /// True if the pool must drop the connection: it accepts no exchange, or it is draining and has
    /// no exchange left.
    pub(crate) fn is_done(&self) -> bool {
        !self.is_usable() || self.is_draining() && self.active() == 0
    }

    /// Maximum concurrent exchanges, as last announced by the peer. Until then [`Bounds::streams`].
    pub(crate) fn streams(&self) -> usize {
        self.send.current_max_send_streams()
    }

    /// Number of exchanges in progress.
    pub(crate) fn active(&self) -> usize {
        self.state.active.get()
    }

    /// True if the connection has no exchange, or less than four fifths of the maximum and no body
    /// that waits for flow-control window.
    pub(crate) fn has_room(&self) -> bool {
        let active = self.state.active.get();
        active == 0
            || !self.is_stalled() && active.saturating_mul(5) < self.streams().saturating_mul(4)
    }

    /// True if a body waits for flow-control window. Bodies of other exchanges would also wait, and
    /// some servers (HAProxy) then process no request of the connection.
    pub(crate) fn is_stalled(&self) -> bool {
        self.state.stalled.get() > 0
    }

    /// True if the connection should stay in its pool: it accepts exchanges, and has been idle for
    /// less than `idle_timeout_ms`. A connection whose writes have been blocked for
    /// [`WRITE_DEADLINE_MS`] is closed here.
    pub(crate) fn sweep(&self, now_ms: u64, idle_timeout_ms: u64) -> bool {
        let State {
            active,
            blocked,
            blocked_since_ms,
            idle_since_ms,
            ..
        } = &*self.state;
        let since = |was: &Cell<Option<u64>>, still: bool| {
            was.set(still.then(|| was.get().unwrap_or(now_ms)));
            was.get().map_or(0, |since_ms| now_ms - since_ms)
        };
        if since(blocked_since_ms, blocked.get()) >= WRITE_DEADLINE_MS {
            self.state.abort();
        }
        !self.is_done() && since(idle_since_ms, active.get() == 0) < idle_timeout_ms
    }

    /// Sends a request and waits for the head of the final response. A `100 Continue` opens `gate`.
    /// If the upstream responds early, the rest of the request is sent while the response's body is
    /// read.
    pub(crate) async fn call(
        self,
        request: Request<RequestBody>,
        gate: Option<&Arc<Gate>>,
    ) -> Result<Response<Incoming>, Refused> {
        let Self {
            mut send,
            scheme,
            state,
            reserved: _reserved,
            client,
        } = self;
        let exchange = Exchange::new(state, client);
        if let Err(error) = poll_fn(|cx| send.poll_ready(cx)).await {
            exchange.state.retired.set(true);
            return Err(Refused {
                error: Error::Unsent(error),
                unsent: Some(request),
            });
        }
        let (head, body) = prepare(request, scheme).map_err(Refused::of)?;
        check_head(&exchange.state, &head)
            .await
            .map_err(Refused::of)?;
        let ended = body.is_end_stream();
        let (response, stream) = match send.send_request(head, ended) {
            Ok(sent) => sent,
            Err(error) => {
                let state = &exchange.state;
                state.retired.set(!state.is_stream_error(&error));
                return Err(Refused::of(Error::Unsent(error)));
            }
        };
        let mut call = Call {
            response,
            watch: (!ended).then(|| Watch::new(&exchange.state.inbox, stream.stream_id().as_u32())),
            upload: (!ended).then(|| Upload::new(stream, body, &exchange)),
            events: exchange.state.events.get(),
            interim: 0,
            _reading: UnreadBody::new(&exchange.state.inbox),
            exchange,
            answered: false,
        };
        let answered = poll_fn(|cx| call.poll(gate, cx)).await;
        call.answered = true;
        let response =
            answered.map_err(|error| Refused::of(call.exchange.state.on_error(error)))?;
        let upload = call.upload.take().zip(call.watch.take());
        let exchange = call.exchange.again();
        Ok(response.map(|stream| Incoming::new(stream, upload, exchange)))
    }
}

/// Request that waits for its response.
struct Call {
    response: ResponseFuture,
    upload: Option<Upload>,
    /// Records if the upstream has ended the response while the request is unfinished. `None` if
    /// the request consists of its head only.
    watch: Option<Watch>,
    /// Value of `State::events` when the call began.
    events: u64,
    interim: usize,
    /// Counts unread bytes of the response's body, which may arrive together with the head.
    _reading: UnreadBody,
    exchange: Exchange,
    answered: bool,
}

impl Call {
    fn poll(
        &mut self,
        gate: Option<&Arc<Gate>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<h2::RecvStream>, Error>> {
        if let Some(upload) = &mut self.upload
            && let Poll::Ready(sent) = upload.poll(cx)
        {
            self.upload = None;
            sent?;
        }
        while let Poll::Ready(Some(interim)) = self.response.poll_informational(cx) {
            self.interim += 1;
            self.exchange.state.record_event();
            let status = interim.map_err(Error::Http2)?.status();
            // HTTP/2 has no status 101 (RFC 9113 §8.6).
            if status == StatusCode::SWITCHING_PROTOCOLS {
                let why = "the response has status 101, which HTTP/2 does not have";
                return Poll::Ready(Err(Error::Invalid(why)));
            }
            if status == StatusCode::CONTINUE
                && let Some(gate) = gate
            {
                gate.open();
                cx.waker().wake_by_ref();
            }
            if self.interim > INTERIM_MAX {
                let why = "too many interim responses";
                return Poll::Ready(Err(Error::Invalid(why)));
            }
        }
        let response = ready!(std::pin::Pin::new(&mut self.response).poll(cx));
        self.exchange.state.record_event();
        let mut response = response.map_err(Error::Http2)?;
        if response.status().as_u16() > STATUS_MAX {
            let why = "the response has a status above 599";
            return Poll::Ready(Err(Error::Invalid(why)));
        }
        // Do not forward the upstream's HTTP version.
        *response.version_mut() = Version::HTTP_11;
        Poll::Ready(Ok(response))
    }
}

impl Drop for Call {
    /// Marks the connection as draining if the call ends without a response and no event has
    /// occurred on the connection since the call began. The peer may be dead, so other requests
    /// should use a different connection.
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        self.exchange.count_cancelled();
        if self.exchange.state.events.get() == self.events {
            self.exchange.drain();
        }
    }
}

/// Converts a request to HTTP/2: scheme and authority become part of the target, connection fields
/// are removed, and `Content-Length` is derived from the body.
fn prepare(
    request: Request<RequestBody>,
    scheme: Scheme,
) -> Result<(Request<()>, RequestBody), Error> {
    let (mut parts, body) = request.into_parts();
    let host = parts.headers.remove(HOST);
    let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut target = http::uri::Parts::default();
    target.scheme = Some(scheme);
    target.authority = Some(authority.ok_or(Error::Invalid("Host is not a valid authority"))?);
    let path = parts.uri.path_and_query().cloned();
    target.path_and_query = Some(path.unwrap_or(PathAndQuery::from_static("/")));
    parts.uri =
        Uri::from_parts(target).map_err(|_| Error::Invalid("the target is not a valid URI"))?;
    let headers = &mut parts.headers;
    for name in [
        &CONNECTION,
        &KEEP_ALIVE,
        &PROXY_CONNECTION,
        &TRANSFER_ENCODING,
        &UPGRADE,
        &CONTENT_LENGTH,
    ] {
        headers.remove(name);
    }
    if !body.passes_trailers() {
        headers.remove(TRAILER);
    }
    // Over HTTP/2, `TE` may only contain `trailers` (RFC 9113 §8.2.2).
    if headers.contains_key(TE) {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(length) = body.size_hint().exact()
        && (length > 0 || matches!(parts.method, Method::POST | Method::PUT | Method::PATCH))
    {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    parts.version = Version::HTTP_2;
    Ok((Request::from_parts(parts, ()), body))
}

/// Size of the header list of a request (RFC 9113 §6.5.2), in bytes, pseudo-header fields included.
fn header_list_bytes(head: &Request<()>) -> u64 {
    let uri = head.uri();
    let pseudo = [
        (":method", Some(head.method().as_str())),
        (":scheme", uri.scheme_str()),
        (":authority", uri.authority().map(Authority::as_str)),
        (":path", uri.path_and_query().map(PathAndQuery::as_str)),
    ];
    let pseudo = pseudo
        .iter()
        .filter_map(|(name, value)| value.map(|value| name.len() + value.len() + FIELD_OVERHEAD));
    (pseudo.sum::<usize>() + fields_bytes(head.headers())) as u64
}

/// Size of fields in a header list or in trailers (RFC 9113 §6.5.2), in bytes.
fn fields_bytes(fields: &HeaderMap) -> usize {
    let sizes = fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD);
    sizes.sum()
}

/// Checks that the peer accepts the header list of a request. Waits for the peer's SETTINGS if they
/// have not arrived and the list is larger than [`HEADER_LIST_UNASKED`].
async fn check_head(state: &State, head: &Request<()>) -> Result<(), Error> {
    let bytes = header_list_bytes(head);
    let max = match state.inbox.header_list_max() {
        Some(u32::MAX) => return Ok(()),
        None if bytes <= u64::from(HEADER_LIST_UNASKED) => return Ok(()),
        None => {
            state
                .settle(|| state.inbox.header_list_max().is_some())
                .await;
            state.inbox.header_list_max().unwrap_or(u32::MAX)
        }
        Some(max) => max,
    };
    match bytes > u64::from(max) {
        true => Err(Error::HeadTooLarge { bytes, max }),
        false => Ok(()),
    }
}

// === impl State ===

impl State {
    fn new(
        ping: Option<PingPong>,
        (room, counted): (Rc<Room>, OpenConnection),
        inbox: Rc<Inbox>,
        gauge: &Arc<PoolGauge>,
    ) -> Self {
        Self {
            active: Cell::new(0),
            retired: Cell::new(false),
            aborted: Cell::new(false),
            blocked: Cell::new(false),
            blocked_since_ms: Cell::new(None),
            idle_since_ms: Cell::new(None),
            resets: Cell::new(0),
            faults: Cell::new(0),
            stalled: Cell::new(0),
            events: Cell::new(0),
            task: RefCell::new(None),
            tls: RefCell::new(None),
            ping: RefCell::new(ping),
            settled: Cell::new(false),
            settling: Notify::new(),
            gauge: Arc::clone(gauge),
            room,
            counted,
            draining_charge: RefCell::default(),
            is_draining: Cell::new(false),
            inbox,
        }
    }

    /// Marks the connection as draining, and charges it to a client.
    fn drain(&self, client: Option<IpAddr>) {
        if !self.is_draining.replace(true) {
            let charge = client.map(|client| self.room.charge_draining(client));
            self.draining_charge.replace(charge);
        }
    }

    fn record_event(&self) {
        self.events.set(self.events.get().wrapping_add(1));
    }

    /// True if an error affects only one stream, and the connection remains usable.
    fn is_stream_error(&self, error: &h2::Error) -> bool {
        !self.aborted.get() && (error.is_reset() || error.reason().is_none() && !error.is_io())
    }

    /// Updates the state of the connection after an error. Retires the connection unless the error
    /// affects only one stream, and after many faulty responses. Marks the connection as draining
    /// if it overloads the peer. Replaces an I/O error by the TLS error that caused it.
    fn on_error(&self, error: Error) -> Error {
        if let Error::Http2(error) | Error::Unsent(error) = &error
            && !self.is_stream_error(error)
        {
            self.retired.set(true);
        }
        if let Error::Http2(error) = &error
            && error.is_reset()
            && error.is_library()
        {
            self.count_fault();
        }
        if error.is_of_overload() {
            self.is_draining.set(true);
        }
        match (&error, &*self.tls.borrow()) {
            (Error::Http2(broken), Some(tls)) if broken.is_io() => Error::Tls(tls.clone()),
            _ => error,
        }
    }

    fn abort(&self) {
        self.retired.set(true);
        self.aborted.set(true);
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.gauge.idle(-1);
    }
}

// === impl Refused ===

impl Refused {
    fn of(error: Error) -> Self {
        Self {
            error,
            unsent: None,
        }
    }
}
