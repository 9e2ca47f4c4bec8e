//! CLIENT spans of a call to an upstream, one for each attempt.

use engine::edge::{TRACEPARENT, TRACESTATE};
use engine::forward::TRACEPARENT_BYTES;
use http::{HeaderValue, StatusCode};
use policy::RequestHead;

use crate::telemetry::traces::{AttemptSpan, Span, TraceContext, b3};
use crate::upstream::address::Address;
use crate::upstream::call_cx::CallCx;
use crate::upstream::hosts::Endpoint;

/// Trace context of a call to an upstream, with the spans of its attempts.
pub(crate) struct CallTrace {
    /// Span of the current attempt; the SERVER span before the first one.
    span: Span,
    /// True if the client states its context in `traceparent`.
    has_traceparent: bool,
    /// Form of the B3 fields. `None`: no B3 fields.
    b3: Option<b3::Form>,
    /// Spans of the attempts. Empty if the trace is not sampled.
    attempts: Vec<AttemptSpan>,
}

impl CallTrace {
    /// Trace of a call that has made no attempt.
    pub(crate) fn new(context: &TraceContext) -> Self {
        Self {
            span: context.server,
            has_traceparent: context.has_traceparent,
            b3: context.b3,
            attempts: Vec::new(),
        }
    }

    /// Removes the client's trace context from the head. Keeps `tracestate` if the client sent a
    /// valid `traceparent` (W3C Trace Context §3.3).
    pub(crate) fn take_place_in(&self, head: &mut RequestHead) {
        head.headers.remove(&TRACEPARENT);
        if !self.has_traceparent {
            head.headers.remove(&TRACESTATE);
        }
        if self.b3.is_some() {
            b3::remove(&mut head.headers);
        }
    }

    /// Replaces the client's trace context in the head by the current attempt's, or by that of the
    /// SERVER span before the first attempt.
    pub(crate) fn insert_into(&self, head: &mut RequestHead) {
        self.take_place_in(head);
        let value = HeaderValue::from_bytes(&self.traceparent());
        let value = value.expect("hex digits and dashes");
        head.headers.insert(&TRACEPARENT, value);
        self.insert_b3(head);
    }

    /// Sets the B3 fields for the current attempt, if upstreams get them.
    pub(crate) fn insert_b3(&self, head: &mut RequestHead) {
        if let Some(form) = self.b3 {
            b3::insert(self.span, form, &mut head.headers);
        }
    }

    /// Value of `traceparent` for the current attempt.
    pub(crate) fn traceparent(&self) -> [u8; TRACEPARENT_BYTES] {
        self.span.traceparent()
    }

    /// Begins the span of an attempt at a host.
    pub(super) fn attempt_begins(&mut self, endpoint: &Endpoint, calls: &CallCx) {
        self.span = self.span.child(&calls.random);
        if self.span.is_sampled() {
            self.record_attempt(endpoint, calls);
        }
    }

    #[cold]
    fn record_attempt(&mut self, endpoint: &Endpoint, calls: &CallCx) {
        let (peer, peer_port) = match &endpoint.address {
            Address::Inet(address) => (address.ip().to_string(), address.port()),
            Address::Unix(path) => (path.display().to_string(), 0),
        };
        self.attempts.push(AttemptSpan {
            span: self.span,
            began_ns: calls.clock.now_ns(),
            ended_ns: 0,
            server: endpoint.target.host.as_str().into(),
            port: endpoint.target.port,
            peer: peer.into(),
            peer_port,
            status: 0,
            error: "",
        });
    }

    /// Ends the span of the current attempt, unless it has ended.
    pub(super) fn attempt_ended(
        &mut self,
        outcome: Result<StatusCode, &'static str>,
        now_ns: impl FnOnce() -> u64,
    ) {
        let Some(attempt) = self.attempts.last_mut().filter(|one| one.is_open()) else {
            return;
        };
        attempt.ended_ns = now_ns();
        match outcome {
            Ok(status) => attempt.status = status.as_u16(),
            Err(reason) => attempt.error = reason,
        }
    }

    /// Takes the spans at the end of the exchange. `is_answered`: the last attempt's response was
    /// forwarded. Its span then ends now, with `error` if the response broke off. A span that has
    /// not ended gets `error` as well.
    pub(crate) fn take_attempts(
        &mut self,
        is_answered: bool,
        error: &'static str,
        now_ns: u64,
    ) -> Vec<AttemptSpan> {
        if let Some(last) = self.attempts.last_mut()
            && (is_answered || last.is_open())
        {
            last.ended_ns = now_ns;
            last.error = error;
        }
        std::mem::take(&mut self.attempts)
    }
}
