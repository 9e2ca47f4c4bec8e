//! Copies of a request for mirrors, while the body is received.
//!
//! A body of up to 64 KiB is buffered until it is complete. The copy of a longer body, up to the
//! mirror's `max_body`, is streamed as a [`Flow`].

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use crate::limits::budget::Memory;
use crate::limits::buffered::Buffered;
use crate::message::flow::Flow;
use crate::runtime::clock::Clock;
use crate::runtime::deadlines::Deadlines;

/// Maximum bytes of a body that are buffered for copies. Longer bodies are streamed.
const BODY_BYTES_MAX: usize = 64 << 10;

/// Copy of a request that has not been sent.
pub(crate) trait Unsent {
    /// Maximum length of a body that the mirror gets (`max_body`), in bytes.
    fn max_body_bytes(&self) -> u64;

    /// Sends the copy to its mirror, with this body.
    fn send(self: Box<Self>, body: CopiedBody);

    /// Drops the copy without sending it. `outcome`: label in the metrics.
    fn give_up(self: Box<Self>, outcome: &'static str);
}

/// Body of a mirror copy.
pub(crate) enum CopiedBody {
    Whole(Bytes),
    Flow(Rc<Flow>),
}

/// Resources of the worker that mirrored requests use, and the timeout of their responses.
pub(crate) struct CopyCx {
    pub(crate) clock: Clock,
    pub(crate) deadlines: Rc<Deadlines>,
    pub(crate) memory: Arc<Memory>,
    /// Time for the response of a mirror after the request was sent completely, in milliseconds.
    pub(crate) timeout_ms: u64,
}

/// Copies of one request while its body is received. Dropping this value early abandons the copies.
pub(crate) struct Copies {
    cx: CopyCx,
    /// Copies that wait for the complete body before they are sent.
    waiting: RefCell<Vec<Box<dyn Unsent>>>,
    /// Copies that are being streamed.
    flows: RefCell<Vec<Rc<Flow>>>,
    length: Option<u64>,
    /// Number of body bytes received so far.
    received_bytes: Cell<u64>,
    body: RefCell<Vec<u8>>,
    /// Memory accounting of `body`.
    kept: RefCell<Buffered>,
}

impl Copies {
    /// Creates copies of a request whose body has not been read. `length`: length of the body in
    /// bytes, if the request head announces it.
    pub(crate) fn new(cx: CopyCx, waiting: Vec<Box<dyn Unsent>>, length: Option<u64>) -> Rc<Self> {
        Rc::new(Self {
            waiting: RefCell::new(waiting),
            flows: RefCell::default(),
            length,
            received_bytes: Cell::new(0),
            body: RefCell::default(),
            kept: RefCell::new(Buffered::new(&cx.memory)),
            cx,
        })
    }

    /// Adds data of the body to the copies.
    pub(crate) fn take(&self, data: &[u8]) {
        let received_bytes = self.received_bytes.get() + data.len() as u64;
        self.received_bytes.set(received_bytes);
        self.flows
            .borrow_mut()
            .retain(|flow| flow.check_max_body(received_bytes));
        let too_large = |copy: &mut Box<dyn Unsent>| received_bytes > copy.max_body_bytes();
        for copy in self.waiting.borrow_mut().extract_if(.., too_large) {
            copy.give_up("too_large");
        }
        if self.flows.borrow().is_empty() && self.waiting.borrow().is_empty() {
            return self.keep_nothing();
        }
        if !self.waiting.borrow().is_empty() {
            let mut body = self.body.borrow_mut();
            if body.len() + data.len() <= BODY_BYTES_MAX {
                body.extend_from_slice(data);
                let kept = self.kept.borrow();
                kept.set(body.len() as u64);
                let may_grow = kept.may_grow();
                drop((body, kept));
                if !may_grow {
                    self.keep_nothing();
                    self.give_up("overflow");
                }
                return;
            }
            drop(body);
            self.stream_waiting();
        }
        let data = Bytes::copy_from_slice(data);
        for flow in &*self.flows.borrow() {
            flow.push(data.clone());
        }
    }

    /// True if the upload must yield to the mirrors' tasks: much data waits for a mirror. Each call
    /// of this function resets the condition.
    pub(crate) fn must_yield(&self) -> bool {
        let flows = self.flows.borrow();
        flows.iter().any(|flow| flow.take_must_yield())
    }

    /// Completes the copies at the end of the body: sends the buffered copies and ends the streamed
    /// copies.
    pub(crate) fn send(&self) {
        let body = self.take_body();
        for copy in std::mem::take(&mut *self.waiting.borrow_mut()) {
            copy.send(CopiedBody::Whole(body.clone()));
        }
        for flow in std::mem::take(&mut *self.flows.borrow_mut()) {
            flow.end(self.cx.clock.now_ms() + self.cx.timeout_ms);
        }
    }

    /// Begins to stream the copies, starting with the bytes received so far, because the body is
    /// too long to be buffered.
    fn stream_waiting(&self) {
        let begun = self.take_body();
        for copy in std::mem::take(&mut *self.waiting.borrow_mut()) {
            let deadline = self.cx.deadlines.slot();
            let max_body_bytes = copy.max_body_bytes();
            let flow = Flow::new(max_body_bytes, self.length, &self.cx.memory, deadline);
            flow.push(begun.clone());
            self.flows.borrow_mut().push(Rc::clone(&flow));
            copy.send(CopiedBody::Flow(flow));
        }
    }

    fn take_body(&self) -> Bytes {
        let kept = self.kept.replace(Buffered::new(&self.cx.memory));
        kept.hold(self.body.take())
    }

    fn keep_nothing(&self) {
        self.body.take();
        self.kept.borrow().set(0);
    }

    fn give_up(&self, outcome: &'static str) {
        for copy in std::mem::take(&mut *self.waiting.borrow_mut()) {
            copy.give_up(outcome);
        }
        for flow in std::mem::take(&mut *self.flows.borrow_mut()) {
            flow.give_up(outcome);
        }
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        self.give_up("incomplete");
    }
}
