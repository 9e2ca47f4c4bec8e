//! Body of a request of the gateway itself to which messages are added while the response arrives.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

/// Messages of a request's body that the connection has not taken yet.
#[derive(Default)]
pub(crate) struct MessageQueue {
    waiting: RefCell<VecDeque<Bytes>>,
    /// True once the last message was added.
    has_ended: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl MessageQueue {
    /// Begins the body with this message, for the first or another attempt to send the request.
    pub(crate) fn begin(&self, message: Bytes, is_last: bool) {
        self.waiting.borrow_mut().clear();
        self.has_ended.set(false);
        self.push(message, is_last);
    }

    /// Adds a message.
    pub(crate) fn push(&self, message: Bytes, is_last: bool) {
        self.waiting.borrow_mut().push_back(message);
        self.has_ended.set(is_last);
        self.wake();
    }

    /// Ends the body after the messages that were added.
    pub(crate) fn end(&self) {
        self.has_ended.set(true);
        self.wake();
    }

    /// Returns the next message, or `None` at the end.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<Option<Bytes>> {
        let next = self.waiting.borrow_mut().pop_front();
        match next {
            Some(message) => Poll::Ready(Some(message)),
            None if self.has_ended.get() => Poll::Ready(None),
            None => {
                self.waker.replace(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }

    /// True if the connection has taken the whole body.
    pub(super) fn is_end(&self) -> bool {
        self.has_ended.get() && self.waiting.borrow().is_empty()
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}
