//! Body of a request copy for a mirror, streamed to the mirror while the client sends the body.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use crate::limits::budget::Memory;
use crate::limits::buffered::Buffered;
use crate::runtime::deadlines::Slot;

/// Maximum bytes that are buffered for a mirror that is slower than the client.
const KEPT_BYTES_MAX: u64 = 1 << 20;

/// Buffer between the client's upload and the connection to the mirror.
pub(crate) struct Flow {
    max_body_bytes: u64,
    /// Number of bytes that the mirror has not taken; `None` if the length of the body is unknown.
    left: Cell<Option<u64>>,
    queue: RefCell<VecDeque<Bytes>>,
    kept: Buffered,
    /// True once the client has sent the whole body.
    ended: Cell<bool>,
    /// Label of the outcome in the metrics, if the copy was abandoned. `None`: it continues.
    abandoned: Cell<Option<&'static str>>,
    must_yield: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// Deadline of the task that sends the copy.
    pub(crate) deadline: Slot,
}

impl Flow {
    /// Creates an empty buffer for a body of at most `max_body_bytes`. `length`: length of the
    /// body, if known.
    pub(super) fn new(
        max_body_bytes: u64,
        length: Option<u64>,
        memory: &Arc<Memory>,
        deadline: Slot,
    ) -> Rc<Self> {
        Rc::new(Self {
            max_body_bytes,
            left: Cell::new(length),
            queue: RefCell::default(),
            kept: Buffered::new(memory),
            ended: Cell::new(false),
            abandoned: Cell::new(None),
            must_yield: Cell::new(false),
            waker: RefCell::default(),
            deadline,
        })
    }

    /// True if more than a quarter of [`KEPT_BYTES_MAX`] was buffered after the last push. Later
    /// calls return false until the next push.
    pub(super) fn take_must_yield(&self) -> bool {
        self.must_yield.replace(false)
    }

    /// True once the client has sent the whole body.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.get()
    }

    /// Label of the outcome in the metrics, if the copy was abandoned. `None`: it continues.
    pub(crate) fn abandoned(&self) -> Option<&'static str> {
        self.abandoned.get()
    }

    /// Abandons the copy if the body, with `received` bytes so far, is too large. Returns `true` if
    /// the copy continues.
    pub(super) fn check_max_body(&self, received: u64) -> bool {
        if received > self.max_body_bytes {
            self.give_up("too_large");
        }
        self.abandoned.get().is_none()
    }

    /// Adds data of the body. Abandons the copy if too much data waits for the mirror.
    pub(super) fn push(&self, data: Bytes) {
        if self.abandoned.get().is_some() || data.is_empty() {
            return;
        }
        self.kept.add(data.len());
        self.queue.borrow_mut().push_back(data);
        self.must_yield.set(self.kept.bytes() > KEPT_BYTES_MAX / 4);
        match self.kept.bytes() > KEPT_BYTES_MAX || !self.kept.may_grow() {
            true => self.give_up("overflow"),
            false => self.wake(),
        }
    }

    /// Marks the body as complete. The mirror must respond by `until_ms`, in milliseconds of the
    /// clock.
    pub(super) fn end(&self, until_ms: u64) {
        self.ended.set(true);
        self.deadline.set(until_ms);
        self.wake();
    }

    /// Abandons the copy. Only the first outcome is recorded.
    pub(crate) fn give_up(&self, outcome: &'static str) {
        if self.abandoned.get().is_none() {
            self.abandoned.set(Some(outcome));
        }
        self.queue.borrow_mut().clear();
        self.kept.set(0);
        // The mirror's connection may be blocked in a write, in which it does not read the body.
        // Set its deadline to 0 to wake it.
        self.deadline.set(0);
        self.wake();
    }

    /// Returns the next data for the mirror, or `None` at the end.
    ///
    /// # Errors
    /// If the copy was abandoned.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Option<Result<Bytes, CopyAbandoned>>> {
        if self.abandoned.get().is_some() {
            return Poll::Ready(Some(Err(CopyAbandoned)));
        }
        let next = self.queue.borrow_mut().pop_front();
        match next {
            Some(data) => {
                self.kept.sub(data.len());
                let left = self.left.get();
                self.left
                    .set(left.map(|left| left.saturating_sub(data.len() as u64)));
                Poll::Ready(Some(Ok(data)))
            }
            None if self.ended.get() => Poll::Ready(None),
            None => {
                self.waker.replace(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }

    /// True if the mirror has taken the complete body.
    pub(crate) fn is_end(&self) -> bool {
        self.ended.get() && self.abandoned.get().is_none() && self.queue.borrow().is_empty()
    }

    /// Number of bytes that the mirror has not taken, if known.
    pub(crate) fn left(&self) -> Option<u64> {
        self.left.get()
    }

    fn wake(&self) {
        let waker = self.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Error for a copy that was abandoned.
pub(crate) struct CopyAbandoned;
