//! One HTTP/1 connection's bytes: what has been read and not used, and what waits to be written.
//!
//! The connection's task reads heads and writes responses. Whoever forwards a request's body reads
//! it here, in whatever task that is, so that no piece of it passes a channel.

use std::cell::RefCell;
use std::fmt;
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

use crate::proxy::io::ClientIo;
use crate::proxy::stream::Stream;

/// Room for heads, and for bodies, that is made where less than [`ROOM_MIN`] is left.
const HEAD_ROOM: usize = 8 << 10;
const BODY_ROOM: usize = 16 << 10;
const ROOM_MIN: usize = 1 << 10;
/// Bytes that may wait to be written before more is asked for.
const OUT_MAX: usize = 16 << 10;
/// Room for what is written that a connection keeps.
const OUT_KEPT: usize = 16 << 10;
/// Bytes that are read of what stands behind a request, to see whether the client stays.
const AHEAD_MAX: usize = 64 << 10;
/// Maximum bytes of an unwanted body that are discarded for the next request.
const UNWANTED_MAX: usize = 64 << 10;
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A connection.
pub(super) struct Wire {
    pub(super) stream: Rc<Stream>,
    state: RefCell<State>,
}

struct State {
    /// None once somebody else has it.
    io: Option<ClientIo>,
    read: BytesMut,
    /// Bytes of an incomplete head that have been scanned.
    seen: usize,
    /// Counts the requests, so that no exchange reads another's body.
    number: u64,
    body: Body,
    /// The client sends nothing behind the request that came last.
    is_last: bool,
    /// True once the client has closed its side after its last request.
    said_all: bool,
    /// The client waits for `100 Continue`.
    owes_continue: bool,
    /// Nothing can be read any more.
    broken: bool,
    /// Bytes to be written, from `written` on.
    out: Vec<u8>,
    written: usize,
}

/// The body of a request.
pub(crate) struct Incoming {
    wire: Rc<Wire>,
    number: u64,
}

/// Reason why a body cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The connection was reset, or serves another request.
    Gone,
    /// The client will send no more; it may still wait for an answer.
    Early,
    /// The received data is not a valid body.
    Malformed(::http1::Malformed),
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
                said_all: false,
                owes_continue: false,
                broken: false,
                out: Vec::new(),
                written: 0,
            }),
        })
    }

    /// The connection itself, and what was read from it too early; nobody else reads it any more.
    pub(super) fn take(&self) -> Option<(ClientIo, Bytes)> {
        let state = &mut *self.state.borrow_mut();
        let read = std::mem::take(&mut state.read);
        Some((state.io.take()?, read.freeze()))
    }

    /// The next request; none where the client has gone, or the connection has to end.
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

    /// The body of the request that came last.
    pub(super) fn incoming(self: &Rc<Self>) -> Incoming {
        Incoming {
            number: self.state.borrow().number,
            wire: Rc::clone(self),
        }
    }

    /// True if the client has gone, as far as is visible. A client that still sends its body, or
    /// that has sent much behind its request, counts as present. A client that announced its last
    /// request may close its side and wait for the response (RFC 9112 §9.6), except for a response
    /// without an end: its departure would go unnoticed.
    pub(super) fn has_gone(&self, cx: &mut Context<'_>) -> bool {
        let state = &mut *self.state.borrow_mut();
        if state.said_all {
            return self.stream.endless.get();
        }
        while state.body.is_ended() && state.read.len() < AHEAD_MAX {
            match state.poll_read(cx, HEAD_ROOM) {
                Poll::Pending => return false,
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0)) if state.is_last => {
                    state.said_all = true;
                    return self.stream.endless.get();
                }
                Poll::Ready(Ok(0) | Err(_)) => return true,
            }
        }
        false
    }

    /// The same while a response is sent: whoever has broken its upload off waits for nothing.
    pub(super) fn has_left(&self, cx: &mut Context<'_>) -> bool {
        self.state.borrow().broken || self.has_gone(cx)
    }

    /// True if all of the request has been read.
    pub(super) fn is_read(&self) -> bool {
        self.state.borrow().body.is_ended()
    }

    /// Lets somebody write behind what waits to be written.
    pub(super) fn write(&self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.state.borrow_mut().out);
    }

    /// A response begins: whoever waits for `100 Continue` gets that instead.
    pub(super) fn response_begins(&self) {
        self.state.borrow_mut().owes_continue = false;
    }

    /// True if so much waits to be written that no more data is taken.
    pub(super) fn is_full(&self) -> bool {
        self.state.borrow().out.len() >= OUT_MAX
    }

    /// Writes all that waits, and then a piece without copying it.
    pub(super) fn poll_flush(
        &self,
        cx: &mut Context<'_>,
        piece: &mut Bytes,
    ) -> Poll<io::Result<()>> {
        let state = &mut *self.state.borrow_mut();
        if !state.out.is_empty() || !piece.is_empty() {
            self.stream.unflushed.set(true);
            ready!(state.poll_write(cx))?;
            while !piece.is_empty() {
                let io = state.io.as_mut().ok_or(io::ErrorKind::NotConnected)?;
                let wrote = ready!(Pin::new(io).poll_write(cx, piece))?;
                piece.advance(some(wrote)?);
            }
        }
        if self.stream.unflushed.get() {
            let io = state.io.as_mut().ok_or(io::ErrorKind::NotConnected)?;
            ready!(Pin::new(io).poll_flush(cx))?;
            self.stream.unflushed.set(false);
        }
        Poll::Ready(Ok(()))
    }

    /// The response has been sent. Whether another request can be read behind the one that it
    /// answers.
    pub(super) fn response_ended(&self) -> bool {
        let state = &mut *self.state.borrow_mut();
        if state.out.capacity() > OUT_KEPT {
            state.out = Vec::new();
        }
        state.number += 1;
        state.body.is_ended() && !state.broken
    }

    /// Discards the rest of the request's body, as far as it has arrived. True if that was all of
    /// it.
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
                // From here on the connection's task looks whether the client stays.
                self.stream.deadline.wake_other(cx.waker());
            }
            let broken = match next {
                Ok(Next::Data(data)) => {
                    // It did not wait.
                    state.owes_continue = false;
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Ok(Next::Trailers(trailers)) => {
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                Ok(Next::Done) => return Poll::Ready(None),
                Ok(Next::More) => match ready!(state.poll_more(cx)) {
                    Ok(1..) => continue,
                    Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Broken::Gone,
                    Ok(0) | Err(_) => Broken::Early,
                },
                Err(malformed) => {
                    self.stream.chunk_line_refused();
                    Broken::Malformed(malformed)
                }
            };
            state.broken = true;
            return Poll::Ready(Some(Err(broken)));
        }
    }
}

impl State {
    /// Reads more of a body, for which the client may wait to be asked.
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

/// A socket that takes nothing takes nothing ever.
fn some(wrote: usize) -> io::Result<usize> {
    match wrote {
        0 => Err(io::ErrorKind::WriteZero.into()),
        wrote => Ok(wrote),
    }
}

// === impl Incoming ===

impl Incoming {
    /// The next piece.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.wire.poll_body(self.number, cx)
    }

    /// True if no more data follows.
    pub(crate) fn is_end_stream(&self) -> bool {
        let state = self.wire.state.borrow();
        state.number == self.number && state.body.is_ended()
    }

    /// True if some of the body came with the head.
    pub(crate) fn has_begun(&self) -> bool {
        !self.wire.state.borrow().read.is_empty()
    }

    /// Remaining bytes, as far as they are known.
    pub(crate) fn size_hint(&self) -> SizeHint {
        let left = self.wire.state.borrow().body.left();
        left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the connection was reset"),
            Self::Early => f.write_str("the body ended early"),
            Self::Malformed(malformed) => malformed.fmt(f),
        }
    }
}

impl std::error::Error for Broken {}
