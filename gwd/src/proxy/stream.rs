//! Context of exchanges: an HTTP/1 connection, or one HTTP/2 stream.
//!
//! The exchanges of an HTTP/1 connection run one after another and share a deadline and a phase. An
//! HTTP/2 connection has one such context per open stream, each with one exchange.

use std::cell::Cell;
use std::ops::Deref;
use std::rc::Rc;

use crate::limits::inbox::UnreadBody;
use crate::message::failure::{Failure, Kind};
use crate::message::transfer::{Phase, Transfer};
use crate::proxy::connection::Conn;
use crate::proxy::response_state::ResponseState;
use crate::runtime::deadlines::LimitOf;

/// Time without activity after which an HTTP/1 connection is parked, that is, releases its buffers:
/// 500ms (data-plane.md §2).
const PARK_MS: u64 = 500;
/// Like [`PARK_MS`], but while memory is scarce: 20ms.
const PARK_WANTED_MS: u64 = 20;

/// Context of exchanges: the connection, and the state of the current exchange.
pub(crate) struct Stream {
    conn: Rc<Conn>,
    /// Deadline and phase of the current exchange, and the state of its request body.
    pub(crate) transfer: Rc<Transfer>,
    pub(crate) response: ResponseState,
    /// True while the exchange is dropped after a panic.
    pub(crate) panicked: Cell<bool>,
    /// True for an HTTP/2 stream, which has only one exchange.
    single: bool,
    /// Time at which the idle timeout passes, in milliseconds of the clock.
    idle_until_ms: Cell<u64>,
}

impl Stream {
    /// Context of a new HTTP/1 connection, whose idle timeout starts now.
    pub(crate) fn of_connection(conn: &Rc<Conn>) -> Rc<Self> {
        let idle_until_ms = conn.worker.clock.now_ms() + conn.limits.idle_timeout_ms;
        Self::new(conn, Phase::Idle, None, idle_until_ms)
    }

    /// Context of an HTTP/2 stream whose request head has arrived.
    pub(crate) fn of_request(conn: &Rc<Conn>, reading: Option<UnreadBody>) -> Rc<Self> {
        Self::new(conn, Phase::Exchange, reading, u64::MAX)
    }

    fn new(
        conn: &Rc<Conn>,
        phase: Phase,
        reading: Option<UnreadBody>,
        idle_until_ms: u64,
    ) -> Rc<Self> {
        let (deadline, clock) = (conn.worker.deadlines.slot(), conn.worker.clock);
        Rc::new(Self {
            conn: Rc::clone(conn),
            transfer: Transfer::new(deadline, clock, conn.time_limits(), phase, reading),
            response: ResponseState::default(),
            panicked: Cell::new(false),
            single: phase == Phase::Exchange,
            idle_until_ms: Cell::new(idle_until_ms),
        })
    }

    /// Time at which the idle timeout passes, in milliseconds of the clock.
    pub(crate) fn idle_until_ms(&self) -> u64 {
        self.idle_until_ms.get()
    }

    /// Starts the timeout for a request head, unless it has started already.
    pub(crate) fn head_begins(&self) {
        if self.transfer.phase() == Phase::Idle {
            let until_ms = self.worker.clock.now_ms() + self.limits.header_timeout_ms;
            self.transfer.phase_begins(Phase::Head, until_ms);
        }
    }

    /// Starts an exchange and resets the state of the previous one.
    pub(crate) fn exchange_begins(&self) {
        self.fresh.set(false);
        self.transfer.exchange_begins();
        self.response.exchange_begins();
    }

    /// Sets the time at which the connection is parked again. The bytes that woke the connection
    /// are not always the start of a request.
    pub(crate) fn watch_quiet(&self) {
        let park_ms = self.worker.clock.now_ms() + self.park_ms();
        let until_ms = park_ms.min(self.idle_until_ms.get());
        self.transfer.deadline.set(until_ms);
    }

    /// True if a response whose deadline has passed must be dropped, because it may neither
    /// continue nor end with an error or a gRPC status.
    pub(crate) fn is_given_up(&self) -> bool {
        self.response.is_given_up(&self.transfer, &self.worker)
    }

    /// Failure of a request whose time limit has passed before its response. Removes the limit, so
    /// that the response can be sent.
    pub(crate) fn limit_failure(&self) -> Failure {
        let deadline = &self.transfer.deadline;
        let kind = match deadline.limit_expired() {
            Some(LimitOf::Operation) => Kind::Timeout,
            Some(LimitOf::Client | LimitOf::Credential) | None => Kind::DeadlineExceeded,
        };
        deadline.no_limit();
        Failure::new(kind)
    }

    /// Ends an exchange. An HTTP/1 connection becomes idle. The client of an HTTP/2 stream gets
    /// time to accept the rest of the response.
    pub(crate) fn exchange_ended(&self, now_ms: u64) {
        self.transfer.deadline.no_limit();
        if self.single {
            // The client has this time to accept response data that is still buffered.
            let until_ms = now_ms + self.transfer.time_limits.grace_ms;
            self.transfer.phase_begins(Phase::Body, until_ms);
        } else {
            let idle_ms = self.limits.idle_timeout_ms;
            self.idle_until_ms.set(now_ms + idle_ms);
            let until_ms = now_ms + idle_ms.min(self.park_ms());
            self.transfer.phase_begins(Phase::Idle, until_ms);
        }
    }

    fn park_ms(&self) -> u64 {
        match self.worker.budgets.memory.is_scarce() {
            true => PARK_WANTED_MS,
            false => PARK_MS,
        }
    }
}

impl Deref for Stream {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.conn
    }
}
