//! Record of a call to an upstream, over all attempts, for metrics and the access log.

use std::sync::Arc;

use http::StatusCode;

use crate::telemetry::shard::Label;
use crate::upstream::call_cx::CallCx;
use crate::upstream::call_trace::CallTrace;
use crate::upstream::hosts::Endpoint;

/// Record of a call to an upstream, over all attempts. Times are in nanoseconds of the clock.
#[derive(Default)]
pub(crate) struct CallRecord {
    /// Metric id of the upstream.
    pub(crate) uid: u32,
    /// Target of the last attempt. `None` before the first attempt.
    pub(crate) endpoint: Option<Arc<Endpoint>>,
    pub(crate) attempts: u8,
    /// Reasons of the retries. Only the first four are stored.
    pub(crate) retry_reasons: [&'static str; 4],
    /// Reason why a retry was not made although the retry policy applies.
    pub(crate) given_up: &'static str,
    /// Last circuit state that an attempt met, other than `closed`: `half-open` if the attempt was a
    /// probe, `open` if a breaker refused it. Empty if there was none.
    pub(crate) circuit_state: &'static str,
    /// Status of the response; 0 without one.
    pub(crate) status: u16,
    /// Time at which the last attempt requested a connection.
    connect_began_ns: u64,
    /// Time for which the request waited until a connection could be opened.
    pub(crate) wait_ns: u64,
    /// Time it took to open connections.
    pub(crate) connect_ns: u64,
    /// Time at which the last attempt was sent; 0 before that.
    pub(crate) began_ns: u64,
    /// Time at which the response head arrived; 0 without one.
    pub(crate) head_ns: u64,
    /// Spans of the attempts. `None`: traces are off.
    pub(crate) trace: Option<CallTrace>,
}

impl CallRecord {
    /// Record of a call that has not begun.
    pub(crate) fn new(uid: u32, trace: Option<CallTrace>) -> Self {
        Self {
            uid,
            trace,
            ..Self::default()
        }
    }

    /// Records an attempt at a target.
    pub(crate) fn tried(&mut self, endpoint: &Arc<Endpoint>, calls: &CallCx) {
        if let Some(trace) = &mut self.trace {
            trace.attempt_begins(endpoint, calls);
        }
        self.attempts = self.attempts.saturating_add(1);
        self.endpoint = Some(Arc::clone(endpoint));
    }

    /// Records the result of circuit breakers for an attempt: true for a probe, `None` if a breaker
    /// refused the attempt.
    pub(crate) fn breakers_asked(&mut self, is_probe: Option<bool>) {
        match is_probe {
            None => self.circuit_state = "open",
            Some(true) => self.circuit_state = "half-open",
            Some(false) => {}
        }
    }

    /// Records that an attempt requests a connection.
    pub(crate) fn connect_begins(&mut self, now_ns: u64) {
        self.connect_began_ns = now_ns;
    }

    /// Records the end of an attempt to get a connection, successful or not. `dialled_ns` is the
    /// time at which opening began, if a new connection was opened.
    pub(crate) fn connect_ends(&mut self, now_ns: u64, dialled_ns: Option<u64>) {
        let dialled_ns = dialled_ns.unwrap_or(now_ns);
        self.wait_ns += dialled_ns.saturating_sub(self.connect_began_ns);
        self.connect_ns += now_ns.saturating_sub(dialled_ns);
    }

    /// Records that the request is sent to the upstream. Returns the time in milliseconds.
    pub(crate) fn begins(&mut self, now_ns: u64) -> u64 {
        self.began_ns = now_ns;
        now_ns / 1_000_000
    }

    /// Records a retry and its reason.
    pub(crate) fn retried(&mut self, calls: &CallCx, reason: &'static str) {
        if let Some(free) = self.retry_reasons.iter_mut().find(|one| one.is_empty()) {
            *free = reason;
        }
        calls.shard.retried(self.uid, Label(reason));
        self.attempt_ended(Err(reason), || calls.clock.now_ns());
    }

    /// Records the end of an attempt: the response's status, or the reason of the failure. Does
    /// nothing if no attempt runs, or traces are off.
    pub(crate) fn attempt_ended(
        &mut self,
        outcome: Result<StatusCode, &'static str>,
        now_ns: impl FnOnce() -> u64,
    ) {
        if let Some(trace) = &mut self.trace {
            trace.attempt_ended(outcome, now_ns);
        }
    }

    /// Records the reason why a retry was not made although the retry policy applies.
    #[cold]
    pub(crate) fn retry_given_up(&mut self, why: &'static str) {
        self.given_up = why;
    }

    /// Records that the response head has arrived.
    pub(crate) fn head(&mut self, status: StatusCode, now_ns: u64) {
        self.head_ns = now_ns;
        self.status = status.as_u16();
        self.attempt_ended(Ok(status), || now_ns);
    }
}
