//! Buffers of an HTTP/1 connection: unparsed input and unsent output.
//!
//! The connection's task reads heads and writes responses. The task that forwards a request's body
//! reads the body directly from these buffers, without a channel in between.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use ::http1::body::{Body, Next};
use ::http1::request::{self, Head, Limits};
use bytes::{Buf as _, Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use tokio::io::AsyncWrite as _;
use tokio_util::io::poll_read_buf;

use crate::message::incoming::{Http1BodyError as Broken, Http1Connection, Incoming};
use crate::message::io::ClientIo;
use crate::proxy::stream::Stream;

/// Capacity to reserve in the input buffer for heads and for bodies, if less than [`ROOM_MIN`] is
/// left.
const HEAD_ROOM: usize = 8 << 10;
const BODY_ROOM: usize = 16 << 10;
const ROOM_MIN: usize = 1 << 10;
/// Number of unsent bytes at which no more response data is requested.
const OUT_MAX: usize = 16 << 10;
/// Maximum capacity of the output buffer that is kept between responses.
const OUT_KEPT: usize = 16 << 10;
/// Maximum bytes that are read after a request, in order to detect a closed connection.
const AHEAD_MAX: usize = 64 << 10;
/// Maximum bytes of an unwanted body that are discarded in order to reuse the connection.
const UNWANTED_MAX: usize = 64 << 10;
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// HTTP/1 connection with its buffers.
pub(super) struct Wire {
    pub(super) stream: Rc<Stream>,
    state: RefCell<State>,
}

struct State {
    /// I/O of the connection, or `None` once it was taken.
    io: Option<ClientIo>,
    read: BytesMut,
    /// Number of bytes of the incomplete head that the parser has scanned.
    seen: usize,
    /// Number of the current request, so that no exchange reads the body of another one.
    number: u64,
    body: Body,
    /// True if the client announced the current request as its last one.
    is_last: bool,
    /// True once the client has closed its sending side after its last request.
    is_half_closed: bool,
    /// True while the client waits for 100 (Continue).
    owes_continue: bool,
    /// True if the request body is invalid or ended early, so that nothing can be read after it.
    broken: bool,
    /// Output buffer. The bytes before index `written` have been sent.
    out: Vec<u8>,
    written: usize,
}

// === impl Wire ===

impl Wire {
    pub(super) fn new(io: ClientIo, stream: &Rc<Stream>) -> Rc<Self> {
        Rc::new(Self {
            stream: Rc::clone(stream),
            state: RefCell::new(State {
                io: Some(io),
                read: BytesMut::new(),
                seen: 0,
                number: 0,
                body: Body::none(),
                is_last: false,
                is_half_closed: false,
                owes_continue: false,
                broken: false,
                out: Vec::new(),
                written: 0,
            }),
        })
    }

    /// Takes the I/O and the unparsed input. Later reads fail. `None`: the I/O was taken before.
    pub(super) fn take(&self) -> Option<(ClientIo, Bytes)> {
        let state = &mut *self.state.borrow_mut();
        let read = std::mem::take(&mut state.read);
        Some((state.io.take()?, read.freeze()))
    }

    /// Reads the next request head. `None` if the client closed the connection, or if the
    /// connection has to end.
    pub(super) fn poll_head(
        &self,
        cx: &mut Context<'_>,
        limits: Limits,
    ) -> Poll<Result<Option<Head>, request::Error>> {
        let state = &mut *self.state.borrow_mut();
        let spare_maps = &self.stream.worker.spare_maps;
        loop {
            if !state.read.is_empty() {
                let mut fields = spare_maps.take();
                let parsed = request::parse(&mut state.read, &mut state.seen, limits, &mut fields);
                if let Some(head) = parsed? {
                    state.number += 1;
                    state.body = Body::new(&head.length);
                    state.is_last = !head.keeps_connection;
                    state.owes_continue = head.expects_continue;
                    return Poll::Ready(Ok(Some(head)));
                }
                spare_maps.keep(fields);
            }
            if !state.read.is_empty() {
                self.stream.head_begins();
            } else if self.stream.idle_ends() {
                return Poll::Ready(Ok(None));
            }
            if !matches!(ready!(state.poll_read(cx, HEAD_ROOM)), Ok(1..)) {
                return Poll::Ready(Ok(None));
            }
        }
    }

    /// Returns the body of the current request.
    pub(super) fn incoming(self: &Rc<Self>) -> Incoming {
        let number = self.state.borrow().number;
        Incoming::http1(Rc::clone(self) as Rc<dyn Http1Connection>, number)
    }

    /// True if the client is known to be gone. Not checked while the client still sends its body,
    /// or if it has sent much data after its request. A client that announced its last request may
    /// close its sending side and wait for the response (RFC 9112 §9.6). If the response is an
    /// endless stream, such a client counts as gone, because its departure could not be detected
    /// otherwise.
    pub(super) fn has_gone(&self, cx: &mut Context<'_>) -> bool {
        let state = &mut *self.state.borrow_mut();
        if state.is_half_closed {
            return self.stream.transfer.endless.get();
        }
        while state.body.is_ended() && state.read.len() < AHEAD_MAX {
            match state.poll_read(cx, HEAD_ROOM) {
                Poll::Pending => return false,
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0)) if state.is_last => {
                    state.is_half_closed = true;
                    return self.stream.transfer.endless.get();
                }
                Poll::Ready(Ok(0) | Err(_)) => return true,
            }
        }
        false
    }

    /// Like [`Self::has_gone`], while a response is sent: a broken upload also means that the
    /// client is gone.
    pub(super) fn has_left(&self, cx: &mut Context<'_>) -> bool {
        self.state.borrow().broken || self.has_gone(cx)
    }

    /// True if the request's body has been read completely.
    pub(super) fn is_read(&self) -> bool {
        self.state.borrow().body.is_ended()
    }

    /// Passes the output buffer to `write`, which appends bytes to the buffer.
    pub(super) fn write(&self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.state.borrow_mut().out);
    }

    /// Records that a response begins. A 100 (Continue) is no longer needed.
    pub(super) fn response_begins(&self) {
        self.state.borrow_mut().owes_continue = false;
    }

    /// True if so many bytes wait to be sent that no more data should be requested.
    pub(super) fn is_full(&self) -> bool {
        self.state.borrow().out.len() >= OUT_MAX
    }

    /// Sends the output buffer, and then a piece that is not copied into it.
    pub(super) fn poll_flush(
        &self,
        cx: &mut Context<'_>,
        piece: &mut Bytes,
    ) -> Poll<io::Result<()>> {
        let state = &mut *self.state.borrow_mut();
        if !state.out.is_empty() || !piece.is_empty() {
            self.stream.response.unflushed.set(true);
            ready!(state.poll_write(cx))?;
            while !piece.is_empty() {
                let io = state.io.as_mut().ok_or(io::ErrorKind::NotConnected)?;
                let wrote = ready!(Pin::new(io).poll_write(cx, piece))?;
                piece.advance(some(wrote)?);
            }
        }
        if self.stream.response.unflushed.get() {
            let io = state.io.as_mut().ok_or(io::ErrorKind::NotConnected)?;
            ready!(Pin::new(io).poll_flush(cx))?;
            self.stream.response.unflushed.set(false);
        }
        Poll::Ready(Ok(()))
    }

    /// Ends a response. Returns true if another request can be read from the connection.
    pub(super) fn response_ended(&self) -> bool {
        let state = &mut *self.state.borrow_mut();
        if state.out.capacity() > OUT_KEPT {
            state.out = Vec::new();
        }
        state.number += 1;
        state.body.is_ended() && !state.broken
    }

    /// Discards the rest of the request's body, as far as it has arrived. Returns true if the body
    /// has been read completely.
    pub(super) fn discard(&self) -> bool {
        let state = &mut *self.state.borrow_mut();
        state.number += 1;
        let mut unwanted = 0;
        while !state.body.is_ended() && !state.broken && unwanted < UNWANTED_MAX {
            match state.body.next(&mut state.read) {
                Ok(Next::More) => {
                    let mut cx = Context::from_waker(std::task::Waker::noop());
                    let read = state.poll_read(&mut cx, BODY_ROOM);
                    if !matches!(read, Poll::Ready(Ok(1..))) {
                        return false;
                    }
                }
                Ok(Next::Data(data)) => unwanted += data.len(),
                Ok(Next::Trailers(_) | Next::Done) => {}
                Err(_) => return false,
            }
        }
        state.body.is_ended() && !state.broken
    }
}

impl State {
    /// Reads more of a body. First sends 100 (Continue) if the client waits for it.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if std::mem::take(&mut self.owes_continue) {
            self.out.extend_from_slice(CONTINUE);
        }
        if self.written < self.out.len()
            && let Poll::Ready(Err(error)) = self.poll_write(cx)
        {
            return Poll::Ready(Err(error));
        }
        self.poll_read(cx, BODY_ROOM)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<usize>> {
        let Some(io) = &mut self.io else {
            return Poll::Ready(Ok(0));
        };
        if self.read.capacity() - self.read.len() < ROOM_MIN {
            self.read.reserve(room);
        }
        poll_read_buf(Pin::new(io), cx, &mut self.read)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.out.len() {
            let io = self.io.as_mut().ok_or(io::ErrorKind::NotConnected)?;
            let wrote = ready!(Pin::new(io).poll_write(cx, &self.out[self.written..]))?;
            self.written += some(wrote)?;
        }
        self.out.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

/// Converts a write of 0 bytes to an error: the socket is closed for writing.
fn some(wrote: usize) -> io::Result<usize> {
    match wrote {
        0 => Err(io::ErrorKind::WriteZero.into()),
        wrote => Ok(wrote),
    }
}

// === impl Http1Connection for Wire ===

impl Http1Connection for Wire {
    fn poll_body(
        &self,
        number: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let state = &mut *self.state.borrow_mut();
        if state.number != number || state.broken {
            return Poll::Ready(Some(Err(Broken::Gone)));
        }
        loop {
            let next = state.body.next(&mut state.read);
            if state.body.is_ended() {
                // Wake the connection's task: from now on it must detect a closed connection.
                self.stream.transfer.deadline.wake_other(cx.waker());
            }
            let broken = match next {
                Ok(Next::Data(data)) => {
                    // The client sends its body without waiting for 100 (Continue).
                    state.owes_continue = false;
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Ok(Next::Trailers(trailers)) => {
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                Ok(Next::Done) => return Poll::Ready(None),
                Ok(Next::More) => {
                    let polled = state.poll_more(cx);
                    self.stream.transfer.client_polled(&polled);
                    match ready!(polled) {
                        Ok(1..) => continue,
                        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                            Broken::Gone
                        }
                        Ok(0) | Err(_) => Broken::Early,
                    }
                }
                Err(malformed) => {
                    self.stream.chunk_line_refused();
                    Broken::Malformed(malformed)
                }
            };
            state.broken = true;
            return Poll::Ready(Some(Err(broken)));
        }
    }

    fn is_end_stream(&self, number: u64) -> bool {
        let state = self.state.borrow();
        state.number == number && state.body.is_ended()
    }

    fn has_begun(&self) -> bool {
        !self.state.borrow().read.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.state.borrow().body.left();
        left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
