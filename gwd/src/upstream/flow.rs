//! Body of a mirrored copy, streamed while the client sends it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use crate::buffered::Buffered;
use crate::deadlines::Slot;

/// Maximum buffered bytes for a mirror that is slower than the client.
const KEPT_BYTES_MAX: u64 = 1 << 20;

/// Buffer between the client's upload and the mirror's connection.
pub(crate) struct Flow {
    pub(super) max_body_bytes: u64,
    /// Bytes that the mirror has not taken, if the length of the body is known.
    pub(super) left: Cell<Option<u64>>,
    pub(super) queue: RefCell<VecDeque<Bytes>>,
    pub(super) kept: Buffered,
    /// True once the client has sent the whole body.
    pub(super) ended: Cell<bool>,
    /// Outcome of a copy that was given up.
    pub(super) given_up: Cell<Option<&'static str>>,
    pub(super) wants_turn: Cell<bool>,
    pub(super) waker: RefCell<Option<Waker>>,
    pub(super) deadline: Slot,
}

impl Flow {
    /// True unless the copy was given up. Gives it up if `came` bytes exceed its maximum.
    pub(super) fn goes_on(&self, came: u64) -> bool {
        if came > self.max_body_bytes {
            self.give_up("too_large");
        }
        self.given_up.get().is_none()
    }

    /// Adds a part of the body. Gives the copy up if too much waits for the mirror.
    pub(super) fn push(&self, data: Bytes) {
        if self.given_up.get().is_some() || data.is_empty() {
            return;
        }
        self.kept.add(data.len());
        self.queue.borrow_mut().push_back(data);
        self.wants_turn.set(self.kept.bytes() > KEPT_BYTES_MAX / 4);
        match self.kept.bytes() > KEPT_BYTES_MAX || !self.kept.may_grow() {
            true => self.give_up("overflow"),
            false => self.wake(),
        }
    }

    /// Marks the body as complete. The mirror has to respond by `until_ms`.
    pub(super) fn end(&self, until_ms: u64) {
        self.ended.set(true);
        self.deadline.set(until_ms);
        self.wake();
    }

    /// Ends the copy. The first outcome counts.
    pub(super) fn give_up(&self, outcome: &'static str) {
        if self.given_up.get().is_none() {
            self.given_up.set(Some(outcome));
        }
        self.queue.borrow_mut().clear();
        self.kept.set(0);
        // The mirror's connection may be blocked in a write and not read the body: wake it by its
        // deadline.
        self.deadline.set(0);
        self.wake();
    }

    /// The next part for the mirror; none at the end.
    ///
    /// # Errors
    /// The copy was given up.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Option<Result<Bytes, GivenUp>>> {
        if self.given_up.get().is_some() {
            return Poll::Ready(Some(Err(GivenUp)));
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

    /// True if the mirror has taken the whole body.
    pub(crate) fn is_end(&self) -> bool {
        self.ended.get() && self.given_up.get().is_none() && self.queue.borrow().is_empty()
    }

    /// Bytes that the mirror has not taken, if they are known.
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

/// The copy was given up.
pub(crate) struct GivenUp;
