//! Copy of a request's body, made while the body is streamed to an upstream, so that a retry can
//! send it again.
//!
//! The first attempt reads the client's body and fills the copy. A retry reads the copy, and then
//! the rest of the client's body. The copy is dropped if the body is longer than the retry policy's
//! `max_body`, if memory is scarce, or if the body has trailers. Then the request is not retried.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use crate::limits::budget::Memory;
use crate::limits::buffered::Buffered;
use crate::message::copies::Copies;
use crate::message::incoming::{Broken, Incoming};

/// Client's request body, with a copy of the bytes that were read so far.
pub(crate) struct Tee {
    incoming: RefCell<Incoming>,
    kept: RefCell<Vec<u8>>,
    room: Buffered,
    bytes_max: u64,
    abandoned: Cell<bool>,
    ended: Cell<bool>,
    /// Number of the attempt that may read. Readers of earlier attempts get an error.
    reader: Cell<u32>,
    /// True if the first attempt must wait for 100 (Continue).
    expects_continue: Cell<bool>,
    copies: Option<Rc<Copies>>,
}

/// Reader of the request body for one attempt to send it.
pub(crate) struct Reader {
    tee: Rc<Tee>,
    number: u32,
    offset: usize,
}

/// Part of a request body that a [`Reader`] returns.
pub(crate) enum Part {
    /// Frame that is read from the client for the first time.
    New(Frame<Bytes>),
    /// Bytes from the copy, for a retry.
    Again(Bytes),
}

// === impl Tee ===

impl Tee {
    /// Begins a copy of at most `bytes_max` bytes, which is the policy's `max_body`. If memory
    /// is scarce, returns the body and the mirror copies in `Err`.
    pub(crate) fn new(
        incoming: Incoming,
        memory: &Arc<Memory>,
        bytes_max: u64,
        expects_continue: bool,
        copies: Option<Rc<Copies>>,
    ) -> Result<Rc<Self>, (Incoming, Option<Rc<Copies>>)> {
        let Some(room) = Buffered::reserve(memory, 0) else {
            return Err((incoming, copies));
        };
        Ok(Rc::new(Self {
            incoming: RefCell::new(incoming),
            kept: RefCell::default(),
            room,
            bytes_max,
            abandoned: Cell::new(false),
            ended: Cell::new(false),
            reader: Cell::new(0),
            expects_continue: Cell::new(expects_continue),
            copies,
        }))
    }

    /// Creates a copy of a body whose beginning, `kept`, has been read already; readers get `kept`
    /// first. If the body is longer than `bytes_max`, it can be sent only once.
    pub(crate) fn begun(
        incoming: Incoming,
        kept: Vec<u8>,
        room: Buffered,
        bytes_max: u64,
        copies: Option<Rc<Copies>>,
    ) -> Rc<Self> {
        Rc::new(Self {
            incoming: RefCell::new(incoming),
            kept: RefCell::new(kept),
            room,
            bytes_max,
            abandoned: Cell::new(false),
            ended: Cell::new(false),
            reader: Cell::new(0),
            expects_continue: Cell::new(false),
            copies,
        })
    }

    /// Splits a body that no attempt has read into the client's body, the maximum length of the
    /// copy in bytes, and the mirror copies.
    pub(crate) fn into_streamed(self) -> (Incoming, u64, Option<Rc<Copies>>) {
        (self.incoming.into_inner(), self.bytes_max, self.copies)
    }

    /// Maximum length of the copy, in bytes.
    pub(crate) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// True if a retry can send the body again; false once the copy was dropped.
    pub(crate) fn is_repeatable(&self) -> bool {
        !self.abandoned.get()
    }

    /// Copy of the complete body. `None` if the body has not ended or the copy was dropped.
    pub(crate) fn whole(&self) -> Option<Bytes> {
        let whole = self.ended.get() && self.is_repeatable();
        whole.then(|| Bytes::copy_from_slice(&self.kept.borrow()))
    }

    /// True at the first call, if the body must wait for 100 (Continue).
    pub(crate) fn take_expects_continue(&self) -> bool {
        self.expects_continue.take()
    }

    pub(crate) fn copies(&self) -> Option<Rc<Copies>> {
        self.copies.clone()
    }

    /// Creates a reader from the beginning. Earlier readers get an error.
    pub(crate) fn reader(self: &Rc<Self>) -> Reader {
        self.reader.set(self.reader.get() + 1);
        Reader {
            tee: Rc::clone(self),
            number: self.reader.get(),
            offset: 0,
        }
    }

    /// Number of bytes in the copy.
    pub(crate) fn kept_bytes(&self) -> u64 {
        self.kept.borrow().len() as u64
    }

    fn keep(&self, frame: &Frame<Bytes>) {
        if self.abandoned.get() {
            return;
        }
        let mut kept = self.kept.borrow_mut();
        let fits = frame.data_ref().is_some_and(|data| {
            let length = (kept.len() + data.len()) as u64;
            length <= self.bytes_max && self.room.may_grow()
        });
        match frame.data_ref().filter(|_| fits) {
            Some(data) => {
                kept.extend_from_slice(data);
                self.room.add(data.len());
            }
            None => {
                self.abandoned.set(true);
                *kept = Vec::new();
                self.room.set(0);
            }
        }
    }
}

// === impl Reader ===

impl Reader {
    /// Reads the next part. A reader that was replaced by a later one gets `Err(None)`.
    pub(crate) fn poll_part(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Part, Option<Broken>>>> {
        let tee = &self.tee;
        if tee.reader.get() != self.number {
            return Poll::Ready(Some(Err(None)));
        }
        if tee.is_repeatable() && self.offset < tee.kept.borrow().len() {
            let again = Bytes::copy_from_slice(&tee.kept.borrow()[self.offset..]);
            self.offset += again.len();
            return Poll::Ready(Some(Ok(Part::Again(again))));
        }
        let mut incoming = tee.incoming.borrow_mut();
        let frame = match Pin::new(&mut *incoming).poll_frame(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(None) => {
                tee.ended.set(true);
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Err(error))) => {
                tee.abandoned.set(true);
                return Poll::Ready(Some(Err(Some(error))));
            }
            Poll::Ready(Some(Ok(frame))) => frame,
        };
        tee.keep(&frame);
        self.offset += frame.data_ref().map_or(0, Bytes::len);
        tee.ended.set(incoming.is_end_stream());
        Poll::Ready(Some(Ok(Part::New(frame))))
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        let tee = &self.tee;
        let all_read = !tee.is_repeatable() || self.offset >= tee.kept.borrow().len();
        all_read && tee.incoming.borrow().is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let tee = &self.tee;
        let left = match tee.is_repeatable() {
            true => tee.kept_bytes().saturating_sub(self.offset as u64),
            false => 0,
        };
        match tee.incoming.borrow().size_hint().exact() {
            Some(length) => SizeHint::with_exact(length + left),
            None => SizeHint::default(),
        }
    }
}
