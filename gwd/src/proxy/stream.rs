//! Context of exchanges: an HTTP/1 connection, or one HTTP/2 stream.
//!
//! The exchanges of an HTTP/1 connection run one after another and share a deadline and a phase. An
//! HTTP/2 connection has one such context per open stream, each with one exchange.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Context;

use http::HeaderName;

use crate::limits::inbox::Reading;
use crate::proxy::body::ResponseBody;
use crate::proxy::connection::Conn;
use crate::proxy::tunnel::Tunnel;
use crate::runtime::deadlines::Slot;
use crate::telemetry::process::Shed;
use crate::upstream::mirror::Copies;
use crate::upstream::slow::SlowReading;

/// Time without activity after which an HTTP/1 connection is parked: 500ms (data-plane.md §2).
const PARK_MS: u64 = 500;
/// Like [`PARK_MS`], but while memory is scarce: 20ms.
const PARK_WANTED_MS: u64 = 20;
/// Maximum time to send the end of a response after its deadline: 1s.
const LAST_WORD_MS: u64 = 1_000;

/// Phase of an exchange, which determines what the deadline means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Between two exchanges.
    Idle,
    /// A request head is incomplete.
    Head,
    /// The exchange is in progress and watches the deadline itself.
    Exchange,
    /// The response's body is being sent. If the deadline passes, the stream ends.
    Body,
}

/// Context of exchanges: the connection, and the state of the current request.
pub(crate) struct Stream {
    conn: Rc<Conn>,
    pub(crate) deadline: Slot,
    /// Maximum length of the current request's body, in bytes.
    pub(crate) body_bytes_max: Cell<u64>,
    /// Copies of the current request for mirrors, which receive its body.
    pub(crate) copies: Cell<Option<Rc<Copies>>>,
    /// Fields that trailers of the current request may not contain. Only set if the request can
    /// have trailers.
    pub(crate) request_fields: RefCell<Arc<[HeaderName]>>,
    /// Fields that trailers of the current response may not contain.
    pub(crate) response_fields: RefCell<Arc<[HeaderName]>>,
    /// True while an exchange that panicked is dropped.
    pub(crate) panicked: Cell<bool>,
    /// True if written bytes have not been flushed.
    pub(crate) unflushed: Cell<bool>,
    /// Tunnel that the connection runs after the response head is sent.
    pub(crate) tunnel: Cell<Option<Box<Tunnel>>>,
    /// True if the current request is gRPC.
    pub(crate) is_grpc: Cell<bool>,
    /// True if the client's gRPC deadline has passed.
    pub(crate) past_deadline: Cell<bool>,
    /// True if the current response is a stream, in which the upstream may pause without a limit.
    pub(crate) endless: Cell<bool>,
    /// True if the upstream has sent nothing since the client took the last bytes.
    pub(crate) upstream_silent: Cell<bool>,
    /// True if that silence has exceeded the idle timeout.
    pub(crate) upstream_timed_out: Cell<bool>,
    /// Number of bytes read from the current request's body.
    uploaded: Cell<u64>,
    /// Number of those bytes that arrived while response data waited for the client, since the last
    /// call of [`Self::take_uploaded_meanwhile`].
    uploaded_meanwhile: Cell<u64>,
    /// Count of the client among those that read their responses slowly.
    pub(crate) slow_reading: SlowReading,
    /// Response that began before its request was sent completely. HTTP/2 only.
    early: RefCell<Weak<RefCell<ResponseBody>>>,
    /// Count of body bytes that have arrived and were not read. HTTP/2 only.
    reading: Option<Reading>,
    /// True for an HTTP/2 stream, which has only one exchange.
    single: bool,
    phase: Cell<Phase>,
    /// Time at which the idle timeout passes, in milliseconds of the clock.
    idle_until_ms: Cell<u64>,
}

impl Stream {
    /// Context of a new HTTP/1 connection, whose idle timeout starts now.
    pub(crate) fn of_connection(conn: &Rc<Conn>) -> Rc<Self> {
        let stream = Self::new(conn, false);
        let now_ms = conn.worker.shared.clock.now_ms();
        stream
            .idle_until_ms
            .set(now_ms + conn.limits.idle_timeout_ms);
        Rc::new(stream)
    }

    /// Context of an HTTP/2 stream whose request head has arrived.
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
            slow_reading: SlowReading::default(),
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

    /// Time at which the idle timeout passes, in milliseconds of the clock.
    pub(crate) fn idle_until_ms(&self) -> u64 {
        self.idle_until_ms.get()
    }

    /// Starts the timeout for a request head, unless it has started already.
    pub(crate) fn head_begins(&self) {
        if self.phase.get() == Phase::Idle {
            let now_ms = self.worker.shared.clock.now_ms();
            self.phase.set(Phase::Head);
            self.deadline.set(now_ms + self.limits.header_timeout_ms);
        }
    }

    /// Starts an exchange and resets the state of the previous one.
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

    /// Sets the deadline for parking, because the bytes that woke the connection may not begin a
    /// request.
    pub(crate) fn watch_quiet(&self) {
        let now_ms = self.worker.shared.clock.now_ms();
        self.deadline
            .set((now_ms + self.park_ms()).min(self.idle_until_ms.get()));
    }

    /// Starts the phase in which the response's body is sent, with its first deadline.
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

    /// Number of bytes read from the current request's body, whether they were forwarded or
    /// discarded.
    pub(crate) fn uploaded(&self) -> u64 {
        self.uploaded.get()
    }

    /// Records that no received bytes of the request's body are unread.
    pub(crate) fn upload_through(&self) {
        if let Some(reading) = &self.reading {
            reading.is_through();
        }
    }

    /// True if response data waits for the client.
    pub(crate) fn response_waits(&self) -> bool {
        self.phase.get() == Phase::Body && !self.upstream_silent.get()
    }

    /// Extends the deadline because the upload makes progress. If response data waits for the
    /// client, the deadline depends on the client's time budget there; the uploaded bytes are added
    /// to it later.
    pub(crate) fn upload_moves(&self, bytes: u64, now_ms: u64) {
        match self.response_waits() {
            true => self
                .uploaded_meanwhile
                .set(self.uploaded_meanwhile.get() + bytes),
            false => self.deadline.set(now_ms + self.stream_idle_ms()),
        }
    }

    /// Number of bytes uploaded while response data waited for the client, since the last call.
    pub(crate) fn take_uploaded_meanwhile(&self) -> u64 {
        self.uploaded_meanwhile.take()
    }

    /// Registers a response that begins while its request is still being sent.
    pub(crate) fn responds_early(&self, body: &Rc<RefCell<ResponseBody>>) {
        *self.early.borrow_mut() = Rc::downgrade(body);
    }

    /// Sends available bytes of the request's body while the client takes nothing of an early
    /// response.
    pub(crate) fn send_upload(&self, cx: &mut Context<'_>) {
        let early = self.early.borrow().upgrade();
        if let Some(body) = early {
            body.borrow_mut().send_upload(cx);
        }
    }

    /// True if a slow upload keeps an upstream's permit busy: the upstream has not responded.
    pub(crate) fn awaits_upload(&self) -> bool {
        self.phase.get() == Phase::Exchange
    }

    /// True if the client's upload has a time budget: the upstream has not responded, and the
    /// request is neither gRPC nor of a streaming operation, in which silence is normal.
    pub(crate) fn is_upload_paced(&self) -> bool {
        self.awaits_upload() && !self.is_grpc.get() && !self.endless.get()
    }

    /// Sets the deadline at the end of the upload: the response timeout, or the idle timeout if the
    /// response has already begun.
    pub(crate) fn upload_ends(&self, now_ms: u64, timeout_ms: u64) {
        let wait_ms = match self.phase.get() {
            Phase::Body => self.stream_idle_ms(),
            Phase::Idle | Phase::Head | Phase::Exchange => timeout_ms,
        };
        self.deadline.set(now_ms + wait_ms);
    }

    /// True if a response whose deadline has passed must be dropped, because it may neither
    /// continue nor end with an error.
    pub(crate) fn is_given_up(&self) -> bool {
        !self.may_read_slowly()
            && !self.may_be_silent()
            && !self.may_tell_deadline()
            && !self.may_tell_silence()
    }

    /// True if a client that has just become slow in reading the response may continue. Sets the
    /// next deadline.
    fn may_read_slowly(&self) -> bool {
        let now_ms = self.worker.shared.clock.now_ms();
        let until_ms = self.slow_reading.until_ms();
        if !self.response_waits() || now_ms >= until_ms || self.deadline.limit_passed(now_ms) {
            return false;
        }
        let has_room = self
            .slow_reading
            .begin(&self.worker.shared.budgets.slow_addresses);
        match has_room {
            true => self.deadline.set(until_ms),
            false => self.worker.counters().shed(Shed::SlowDownloads),
        }
        has_room
    }

    /// True if a response whose deadline has passed may continue: it is a stream, and only the
    /// upstream is silent. Sets the next deadline.
    fn may_be_silent(&self) -> bool {
        let now_ms = self.worker.shared.clock.now_ms();
        let waits = self.upstream_silent.get() && !self.unflushed.get();
        let stays = self.endless.get() && waits && !self.deadline.limit_passed(now_ms);
        if stays {
            self.deadline.set(now_ms + self.stream_idle_ms());
        }
        stays
    }

    /// True if the upstream has just exceeded the idle timeout. The response then ends with an
    /// error, for which it gets [`LAST_WORD_MS`].
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

    /// True if the deadline of a gRPC call has passed during its response. The call then ends with
    /// a status, for which it gets [`LAST_WORD_MS`].
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

    /// Maximum time in milliseconds without progress in a body that has no time budget.
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
            // Buffered response data is sent as the client's window allows.
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
