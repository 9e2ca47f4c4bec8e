//! What waits in an HTTP/2 connection of a client, counted (data-plane.md §10): uploads that came
//! and that nobody has read, responses that the client has not taken, and what is gathered to be
//! sent.
//!
//! All of it lies inside of hyper and h2. Responses are counted by their pieces, which h2 drops
//! when they are sent or their stream is reset. Uploads are counted below h2, as DATA frames come,
//! and by the bodies as they are read. What came for a stream that nobody reads any more h2 throws
//! away and tells nobody: as soon as no body may have bytes here, nothing is kept.
//!
//! Where memory is high, a connection is read no further while uploads wait in it, and a response
//! is given no more bytes while others wait to be sent. Whoever keeps nothing goes on.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};

use crate::buffered::Buffered;
use crate::proxy::body::ResponseBody;
use crate::upstream::transport::CallError;
use crate::waiting::Place;
use crate::worker::Worker;

/// What waits in one connection.
pub(crate) struct Backlog {
    worker: Rc<Worker>,
    uploads: Buffered,
    downloads: Buffered,
    gathered: Buffered,
    /// Bytes of uploads that can wait at once: h2 takes no more.
    window: u64,
    /// Request bodies that may have bytes here.
    unread: Cell<usize>,
    /// Bytes came since the last turn ended.
    fresh: Cell<bool>,
    /// Where reading waits for memory.
    place: RefCell<Option<Rc<Place>>>,
}

/// A request's body that may have bytes in its connection.
pub(crate) struct Reading {
    backlog: Rc<Backlog>,
    unread: Cell<bool>,
}

/// A response's body whose bytes are counted until the client has taken them.
pub(super) struct Sending {
    body: ResponseBody,
    backlog: Rc<Backlog>,
    place: Option<Rc<Place>>,
}

/// Bytes of a response on their way through h2.
pub(super) struct Piece {
    bytes: Bytes,
    size: usize,
    backlog: Rc<Backlog>,
}

// === impl Backlog ===

impl Backlog {
    pub(super) fn new(worker: &Rc<Worker>, window: u32) -> Rc<Self> {
        let memory = &worker.shared.budgets.memory;
        Rc::new(Self {
            worker: Rc::clone(worker),
            uploads: Buffered::new(memory),
            downloads: Buffered::new(memory),
            gathered: Buffered::new(memory),
            window: window.into(),
            unread: Cell::new(0),
            fresh: Cell::new(false),
            place: RefCell::new(None),
        })
    }

    /// Whether the client may be read from. Where it may not, whoever asks is woken.
    pub(super) fn may_read(&self, cx: &Context<'_>) -> bool {
        if !self.uploads.must_wait() {
            return true;
        }
        let place = &mut *self.place.borrow_mut();
        self.worker.waiting.queue(place, cx.waker());
        false
    }

    /// So many bytes of uploads came.
    pub(super) fn came(&self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        self.fresh.set(true);
        let kept = self.uploads.bytes() + bytes;
        let over = kept.saturating_sub(self.window);
        self.uploads
            .add(usize::try_from(bytes).unwrap_or(usize::MAX));
        if over > 0 {
            self.uploads
                .sub(usize::try_from(over).unwrap_or(usize::MAX));
        }
    }

    /// The connection has had its turn, and so many bytes are left that the client does not take.
    pub(super) fn turn_ends(&self, gathered: usize) {
        self.gathered.set(gathered as u64);
        match !self.fresh.replace(false) && self.unread.get() == 0 {
            true => self.uploads.set(0),
            false => self.uploads.tell(),
        }
        self.downloads.tell();
    }

    /// A response's body, counted.
    pub(super) fn sending(self: &Rc<Self>, body: ResponseBody) -> Sending {
        Sending {
            body,
            backlog: Rc::clone(self),
            place: None,
        }
    }
}

// === impl Reading ===

impl Reading {
    pub(super) fn new(backlog: &Rc<Backlog>) -> Self {
        backlog.unread.set(backlog.unread.get() + 1);
        Self {
            backlog: Rc::clone(backlog),
            unread: Cell::new(true),
        }
    }

    /// So many bytes of it were read; there may be more.
    pub(crate) fn took(&self, bytes: u64) {
        if !self.unread.replace(true) {
            self.backlog.unread.set(self.backlog.unread.get() + 1);
        }
        self.backlog
            .uploads
            .sub(usize::try_from(bytes).unwrap_or(usize::MAX));
    }

    /// All that came was read, or nobody reads it any more.
    pub(crate) fn is_through(&self) {
        if !self.unread.replace(false) {
            return;
        }
        let unread = self.backlog.unread.get() - 1;
        self.backlog.unread.set(unread);
        if unread == 0 {
            self.backlog.uploads.set(0);
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.is_through();
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
            backlog.worker.waiting.queue(place, cx.waker());
            return Poll::Pending;
        }
        let polled = Pin::new(body).poll_frame(cx);
        polled.map_ok(|frame| frame.map_data(|bytes| Piece::new(bytes, backlog)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
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
