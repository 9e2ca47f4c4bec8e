//! Context of consecutive exchanges: an HTTP/1 connection, or one stream of HTTP/2.
//!
//! Exchanges of an HTTP/1 connection are sequential and share a deadline and a phase. An HTTP/2
//! connection has one such context per open stream, each with one exchange.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Context;

use http::HeaderName;

use crate::deadlines::Slot;
use crate::inbox::Reading;
use crate::proxy::body::ResponseBody;
use crate::proxy::connection::Conn;
use crate::proxy::tunnel::Tunnel;
use crate::upstream::mirror::Copies;

/// Time without activity after which an HTTP/1 connection is parked: 500ms (data-plane.md §2).
const PARK_MS: u64 = 500;
/// Like [`PARK_MS`], while memory is scarce: 20ms.
const PARK_WANTED_MS: u64 = 20;
/// Maximum time to send the end of a response after its deadline: 1s.
const LAST_WORD_MS: u64 = 1_000;

/// Phase of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Between two exchanges.
    Idle,
    /// The head of a request is incomplete.
    Head,
    /// The exchange watches the deadline itself.
    Exchange,
    /// The response's body is sent; at the deadline the stream ends.
    Body,
}

/// Context of an exchange: its connection and its current request.
pub(crate) struct Stream {
    conn: Rc<Conn>,
    pub(crate) deadline: Slot,
    /// Maximum bytes of the current request's body.
    pub(crate) body_bytes_max: Cell<u64>,
    /// Mirrored copies that receive the body of the current request.
    pub(crate) copies: Cell<Option<Rc<Copies>>>,
    /// Fields that trailers of the current request may not bring, if it may have trailers.
    pub(crate) request_fields: RefCell<Arc<[HeaderName]>>,
    /// Fields that trailers of the current response may not bring.
    pub(crate) response_fields: RefCell<Arc<[HeaderName]>>,
    /// True while a panicked exchange is dropped.
    pub(crate) panicked: Cell<bool>,
    /// True if written bytes were not flushed.
    pub(crate) unflushed: Cell<bool>,
    /// Tunnel that the connection carries once the response's head is written.
    pub(crate) tunnel: Cell<Option<Box<Tunnel>>>,
    /// True if the current request is gRPC.
    pub(crate) is_grpc: Cell<bool>,
    /// True if the client's gRPC deadline has passed.
    pub(crate) past_deadline: Cell<bool>,
    /// True if the upstream may pause the current response without a limit.
    pub(crate) endless: Cell<bool>,
    /// True if the upstream has sent nothing since the client took its last bytes.
    pub(crate) upstream_silent: Cell<bool>,
    /// True if that pause exceeded the idle timeout.
    pub(crate) upstream_timed_out: Cell<bool>,
    /// Bytes of the current request's body that were read.
    uploaded: Cell<u64>,
    /// Bytes of the upload that arrived while the client had a response to take, since the last
    /// call of [`Self::take_uploaded_meanwhile`].
    uploaded_meanwhile: Cell<u64>,
    /// Response that began before its request was sent completely; over HTTP/2 only.
    early: RefCell<Weak<RefCell<ResponseBody>>>,
    /// Counter of the request's body bytes while they wait; over HTTP/2 only.
    reading: Option<Reading>,
    /// True if there is only one exchange: HTTP/2.
    single: bool,
    phase: Cell<Phase>,
    /// Time at which the idle timeout ends.
    idle_until_ms: Cell<u64>,
}

impl Stream {
    /// Context of an HTTP/1 connection that is idle from now on.
    pub(crate) fn of_connection(conn: &Rc<Conn>) -> Rc<Self> {
        let stream = Self::new(conn, false);
        let now_ms = conn.worker.shared.clock.now_ms();
        stream
            .idle_until_ms
            .set(now_ms + conn.limits.idle_timeout_ms);
        Rc::new(stream)
    }

    /// Context of an HTTP/2 stream whose head has arrived.
    pub(crate) fn of_request(conn: &Rc<Conn>, reading: Option<Reading>) -> Rc<Self> {
        Rc::new(Self {
            reading,
            ..Self::new(conn, true)
        })
    }

    fn new(conn: &Rc<Conn>, single: bool) -> Self {
        Self {
            conn: Rc::clone(conn),
            deadline: conn.worker.deadlines.slot(),
            body_bytes_max: Cell::new(u64::MAX),
            copies: Cell::new(None),
            request_fields: RefCell::default(),
            response_fields: RefCell::default(),
            panicked: Cell::new(false),
            unflushed: Cell::new(false),
            tunnel: Cell::new(None),
            is_grpc: Cell::new(false),
            past_deadline: Cell::new(false),
            endless: Cell::new(false),
            upstream_silent: Cell::new(false),
            upstream_timed_out: Cell::new(false),
            uploaded: Cell::new(0),
            uploaded_meanwhile: Cell::new(0),
            early: RefCell::default(),
            reading: None,
            single,
            phase: Cell::new(if single { Phase::Exchange } else { Phase::Idle }),
            idle_until_ms: Cell::new(u64::MAX),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Time at which the idle timeout ends, in milliseconds of the clock.
    pub(crate) fn idle_until_ms(&self) -> u64 {
        self.idle_until_ms.get()
    }

    /// Starts the timeout of a request head.
    pub(crate) fn head_begins(&self) {
        if self.phase.get() == Phase::Idle {
            let now_ms = self.worker.shared.clock.now_ms();
            self.phase.set(Phase::Head);
            self.deadline.set(now_ms + self.limits.header_timeout_ms);
        }
    }

    /// Starts an exchange.
    pub(crate) fn exchange_begins(&self) {
        self.phase.set(Phase::Exchange);
        self.fresh.set(false);
        self.deadline.no_limit();
        self.endless.set(false);
        self.upstream_silent.set(false);
        self.upstream_timed_out.set(false);
        self.uploaded.set(0);
        self.uploaded_meanwhile.set(0);
    }

    /// Sets the deadline for parking: available bytes may be no request.
    pub(crate) fn watch_quiet(&self) {
        let now_ms = self.worker.shared.clock.now_ms();
        self.deadline
            .set((now_ms + self.park_ms()).min(self.idle_until_ms.get()));
    }

    /// Starts the phase of the response's body, with its first deadline.
    pub(crate) fn body_begins(&self, until_ms: u64) {
        self.phase.set(Phase::Body);
        self.deadline.set(until_ms);
    }

    /// Counts bytes that were read from the request's body.
    pub(crate) fn upload_read(&self, bytes: u64) {
        self.uploaded.set(self.uploaded.get() + bytes);
        if let Some(reading) = &self.reading {
            reading.took(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
    }

    /// Bytes read from the current request's body, whether they were forwarded or discarded.
    pub(crate) fn uploaded(&self) -> u64 {
        self.uploaded.get()
    }

    /// Reports that no bytes of the request's body wait to be read.
    pub(crate) fn upload_through(&self) {
        if let Some(reading) = &self.reading {
            reading.is_through();
        }
    }

    /// True if the client has more of a response to take.
    pub(crate) fn response_waits(&self) -> bool {
        self.phase.get() == Phase::Body && !self.upstream_silent.get()
    }

    /// Extends the deadline for an upload. While the client has a response to take, the deadline
    /// depends on its pace there, and these bytes count towards it.
    pub(crate) fn upload_moves(&self, bytes: u64, now_ms: u64) {
        match self.response_waits() {
            true => self
                .uploaded_meanwhile
                .set(self.uploaded_meanwhile.get() + bytes),
            false => self.deadline.set(now_ms + self.stream_idle_ms()),
        }
    }

    /// Bytes uploaded while the client had a response to take, since the last call.
    pub(crate) fn take_uploaded_meanwhile(&self) -> u64 {
        self.uploaded_meanwhile.take()
    }

    /// Registers a response that begins while its request is still being sent.
    pub(crate) fn responds_early(&self, body: &Rc<RefCell<ResponseBody>>) {
        *self.early.borrow_mut() = Rc::downgrade(body);
    }

    /// Sends available bytes of the request's body while the client takes nothing of the response.
    pub(crate) fn send_upload(&self, cx: &mut Context<'_>) {
        let early = self.early.borrow().upgrade();
        if let Some(body) = early {
            body.borrow_mut().send_upload(cx);
        }
    }

    /// True if a slow upload holds an upstream's permit: the upstream has not responded, and the
    /// operation does not stream.
    pub(crate) fn awaits_upload(&self) -> bool {
        self.phase.get() == Phase::Exchange && !self.endless.get()
    }

    /// True if a minimum rate applies to the client's upload: not for gRPC and streaming
    /// operations, where silence is normal, and not once the upstream responds.
    pub(crate) fn is_upload_paced(&self) -> bool {
        self.awaits_upload() && !self.is_grpc.get()
    }

    /// Sets the deadline at the end of the upload: the response timeout, or the idle timeout if the
    /// response has begun.
    pub(crate) fn upload_ends(&self, now_ms: u64, timeout_ms: u64) {
        let wait_ms = match self.phase.get() {
            Phase::Body => self.stream_idle_ms(),
            Phase::Idle | Phase::Head | Phase::Exchange => timeout_ms,
        };
        self.deadline.set(now_ms + wait_ms);
    }

    /// True if a response whose deadline has passed is to be dropped: it may not continue, and no
    /// final error is to be sent.
    pub(crate) fn is_given_up(&self) -> bool {
        !self.may_be_silent() && !self.may_tell_deadline() && !self.may_tell_silence()
    }

    /// True if a stalled response may continue: its upstream may be silent, and the client is not
    /// the cause.
    fn may_be_silent(&self) -> bool {
        let now_ms = self.worker.shared.clock.now_ms();
        let waits = self.upstream_silent.get() && !self.unflushed.get();
        let stays = self.endless.get() && waits && !self.deadline.limit_passed(now_ms);
        if stays {
            self.deadline.set(now_ms + self.stream_idle_ms());
        }
        stays
    }

    /// True if the upstream stalls the response. The response is then aborted, with a second to
    /// send the error.
    fn may_tell_silence(&self) -> bool {
        let waits = self.upstream_silent.get() && !self.unflushed.get();
        let tells = waits && !self.upstream_timed_out.replace(waits);
        if tells {
            let now_ms = self.worker.shared.clock.now_ms();
            self.deadline.no_limit();
            self.deadline.set(now_ms + LAST_WORD_MS);
        }
        tells
    }

    /// True if the deadline of a gRPC call has just passed during its response. The call then ends
    /// with a status, with a second to send it.
    fn may_tell_deadline(&self) -> bool {
        let now_ms = self.worker.shared.clock.now_ms();
        let passed = self.is_grpc.get() && self.deadline.limit_passed(now_ms);
        if passed {
            self.past_deadline.set(true);
            self.deadline.no_limit();
            self.deadline.set(now_ms + LAST_WORD_MS);
        }
        passed
    }

    /// Maximum time without progress in a body to which no client pace applies, in milliseconds.
    fn stream_idle_ms(&self) -> u64 {
        self.patience().stream_idle_ms
    }

    fn park_ms(&self) -> u64 {
        match self.worker.shared.budgets.memory.is_scarce() {
            true => PARK_WANTED_MS,
            false => PARK_MS,
        }
    }

    /// Ends an exchange.
    pub(crate) fn exchange_ended(&self, now_ms: u64) {
        self.deadline.no_limit();
        if self.single {
            // The rest of the response is sent as the client's window allows.
            self.body_begins(now_ms + self.patience().grace_ms);
        } else {
            let idle_ms = self.limits.idle_timeout_ms;
            self.phase.set(Phase::Idle);
            self.idle_until_ms.set(now_ms + idle_ms);
            self.deadline.set(now_ms + idle_ms.min(self.park_ms()));
        }
    }
}

impl Deref for Stream {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.conn
    }
}
