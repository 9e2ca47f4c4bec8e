//! Memory accounting for data that waits in a client's HTTP/2 connection (data-plane.md §10):
//! uploads that were received but not read, responses that the client has not taken, and data
//! collected for sending.
//!
//! hyper and h2 store this data. An [`Inbox`] counts uploads. Responses are counted by their
//! pieces, which h2 drops when it has sent them or when their stream is reset.
//!
//! If the process buffers too much, gwd does not read from a connection with unread uploads. It
//! also adds no bytes to a response while its connection has unsent bytes. A connection without
//! waiting data is not affected.

use std::cell::RefCell;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};

use crate::limits::buffered::Buffered;
use crate::limits::inbox::Inbox;
use crate::limits::waiting::QueueEntry;
use crate::proxy::connection::Conn;
use crate::proxy::download::ResponseBody;
use crate::proxy::stream::Stream;
use crate::upstream::transport::CallError;
use crate::worker::Worker;

/// Bytes buffered for one client connection: uploads that the upstream has not taken, and responses
/// that the client has not taken.
pub(crate) struct Backlog {
    worker: Rc<Worker>,
    /// Client address of the connection.
    client: IpAddr,
    /// Counts the bytes of uploads that were received but not read.
    pub(super) inbox: Rc<Inbox>,
    downloads: Buffered,
    gathered: Buffered,
    /// Bytes that were received and are not passed to h2 yet: an incomplete header block.
    withheld: Buffered,
    /// Last entry of this connection in the queue of connections that wait for memory. `None`:
    /// reading has never been paused.
    place: RefCell<Option<Rc<QueueEntry>>>,
}

/// Response body whose bytes are counted until the client has taken them.
pub(super) struct Sending {
    body: BodyOwner,
    backlog: Rc<Backlog>,
    place: Option<Rc<QueueEntry>>,
}

/// Response body, owned by hyper alone or shared with the stream.
enum BodyOwner {
    /// Body that only hyper uses. hyper does not poll it while the client reads nothing.
    Alone(ResponseBody),
    /// Body of a response that began before its request was sent completely. The stream's task uses
    /// this body, too: while the client reads nothing, the task sends the rest of the request.
    Early(Rc<RefCell<ResponseBody>>),
}

/// Piece of a response that counts as buffered until h2 drops it.
pub(super) struct Piece {
    bytes: Bytes,
    size: usize,
    backlog: Rc<Backlog>,
}

// === impl Backlog ===

impl Backlog {
    pub(super) fn new(conn: &Conn, window: u32) -> Rc<Self> {
        let worker = &conn.worker;
        let memory = &worker.budgets.memory;
        Rc::new(Self {
            worker: Rc::clone(worker),
            client: conn.peer,
            inbox: Inbox::new(memory, window),
            downloads: Buffered::new(memory),
            gathered: Buffered::new(memory),
            withheld: Buffered::new(memory),
            place: RefCell::new(None),
        })
    }

    /// True if the connection may be read; otherwise the task of `cx` is woken later. Reading is
    /// always allowed while response bytes wait for the client. Window updates arrive on the same
    /// connection as uploads, and uploads are limited by their own windows.
    pub(super) fn may_read(&self, cx: &Context<'_>) -> bool {
        let must_wait = self.inbox.must_wait() || self.withheld.must_wait();
        if !must_wait || self.downloads.bytes() > 0 {
            return true;
        }
        let place = &mut *self.place.borrow_mut();
        self.worker.waiting.queue(self.client, place, cx.waker());
        false
    }

    /// Updates the number of bytes that were received and are not passed to h2 yet.
    pub(super) fn withhold(&self, bytes: usize) {
        self.withheld.set(bytes as u64);
    }

    /// Updates the counts after the connection was polled. `gathered`: number of bytes that are
    /// collected and not written. `withheld`: number of received bytes that are not passed to h2
    /// yet.
    pub(super) fn after_poll(&self, gathered: usize, withheld: usize) {
        self.gathered.set(gathered as u64);
        self.withhold(withheld);
        self.inbox.after_poll();
        self.downloads.publish();
    }

    /// Wraps a response body so that its bytes are counted.
    pub(super) fn sending(self: &Rc<Self>, body: ResponseBody, stream: &Stream) -> Sending {
        let body = match body.is_early() {
            false => BodyOwner::Alone(body),
            true => {
                let body = Rc::new(RefCell::new(body));
                stream.response.responds_early(&body);
                BodyOwner::Early(body)
            }
        };
        Sending {
            body,
            backlog: Rc::clone(self),
            place: None,
        }
    }
}

// === impl Sending ===

impl Body for Sending {
    type Data = Piece;
    type Error = CallError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, CallError>>> {
        let Self {
            body,
            backlog,
            place,
        } = self.get_mut();
        if backlog.downloads.must_wait() {
            let waiting = &backlog.worker.waiting;
            waiting.queue(backlog.client, place, cx.waker());
            return Poll::Pending;
        }
        let polled = match body {
            BodyOwner::Alone(body) => Pin::new(body).poll_frame(cx),
            BodyOwner::Early(body) => Pin::new(&mut *body.borrow_mut()).poll_frame(cx),
        };
        polled.map_ok(|frame| frame.map_data(|bytes| Piece::new(bytes, backlog)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            BodyOwner::Alone(body) => body.is_end_stream(),
            BodyOwner::Early(body) => body.borrow().is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            BodyOwner::Alone(body) => body.size_hint(),
            BodyOwner::Early(body) => body.borrow().size_hint(),
        }
    }
}

// === impl Piece ===

impl Piece {
    fn new(bytes: Bytes, backlog: &Rc<Backlog>) -> Self {
        backlog.downloads.add(bytes.len());
        Self {
            size: bytes.len(),
            bytes,
            backlog: Rc::clone(backlog),
        }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }

    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        self.bytes.copy_to_bytes(length)
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.backlog.downloads.sub(self.size);
    }
}
