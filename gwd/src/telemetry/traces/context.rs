//! Trace context of a request: ids and the sampling decision.

use std::hash::{BuildHasher, Hasher, RandomState};

use engine::edge::{TraceParent, trace_parent};
use engine::forward::TRACEPARENT_BYTES;
use http::HeaderMap;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::b3;
use super::span::RequestSpans;
use crate::runtime::random::Random;
use crate::telemetry::process::{Counters, DropReason};
use crate::telemetry::signal::Signal;

/// Flag of a sampled trace (W3C Trace Context §3.2.3.1).
const SAMPLED: u8 = 1;
/// Flags that the gateway forwards: `sampled`, and `random-trace-id` of level 2. Others must be 0.
const KNOWN_FLAGS: u8 = 3;
/// Number of the trace id's last bits that decide about sampling, as OpenTelemetry specifies for
/// consistent sampling.
const RANDOM_BITS: u32 = 56;

/// Ids of one span in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: [u8; 8],
    pub(crate) flags: u8,
}

/// Trace context of a request: the gateway's SERVER span and its parent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TraceContext {
    pub(crate) server: Span,
    /// Id of the client's span. `None`: the trace begins with the SERVER span.
    pub(crate) parent_id: Option<[u8; 8]>,
    /// True if the client decided about sampling, or chose the trace id that decided.
    pub(crate) is_client_decision: bool,
    /// True if the client states its context in `traceparent`, so that `tracestate` belongs to it.
    pub(crate) has_traceparent: bool,
    /// Form of the B3 fields for upstreams. `None`: no B3 fields.
    pub(crate) b3: Option<b3::Form>,
}

/// Smallest number in the decisive bits of a selected trace id: the rejection threshold of
/// OpenTelemetry's consistent sampling.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Threshold(u64);

/// Sampler of one worker, and its access to the queue of finished requests.
pub(crate) struct Tracer {
    queue: mpsc::Sender<Box<RequestSpans>>,
    threshold: Threshold,
    /// Part of the new trace ids of this worker, so that generators of several workers with the
    /// same state create different ids.
    salt: u64,
    /// Form of the B3 fields for upstreams. `None`: B3 fields are not read.
    b3: Option<b3::Form>,
}

impl Span {
    /// True if the spans of the trace are exported.
    pub(crate) fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Child of this span, with a new id.
    pub(crate) fn child(self, random: &Random) -> Self {
        Self {
            span_id: new_span_id(random),
            ..self
        }
    }

    /// Value of `traceparent` that names this span as the parent.
    pub(crate) fn traceparent(self) -> [u8; TRACEPARENT_BYTES] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_hex(&self.trace_id, &mut text[3..35]);
        write_hex(&self.span_id, &mut text[36..52]);
        write_hex(&[self.flags], &mut text[53..55]);
        text
    }
}

impl Tracer {
    pub(in crate::telemetry) fn new(
        queue: mpsc::Sender<Box<RequestSpans>>,
        ratio: f64,
        b3: Option<b3::Form>,
    ) -> Self {
        Self {
            b3,
            queue,
            threshold: Threshold::of(ratio),
            salt: RandomState::new().build_hasher().finish(),
        }
    }

    /// Begins the SERVER span of a request. The parent decides about sampling; without a parent, or
    /// if the parent leaves it open, the ratio decides. `traceparent` takes precedence over B3
    /// fields.
    pub(crate) fn begin(&self, headers: &HeaderMap, random: &Random) -> TraceContext {
        if let Some(parent) = trace_parent(headers) {
            return self.below(parent, random);
        }
        let b3 = self.b3.and_then(|_| b3::read(headers));
        let (ids, is_sampled) = b3.map_or((None, None), |b3| (b3.ids, b3.is_sampled));
        let is_client_decision = ids.is_some() || is_sampled.is_some();
        let (trace_id, parent_id) = match ids {
            Some((trace_id, parent_id)) => (trace_id, Some(parent_id)),
            None => (self.new_trace_id(random), None),
        };
        let is_sampled = is_sampled.unwrap_or_else(|| self.threshold.admits(trace_id));
        TraceContext {
            server: Span {
                trace_id,
                span_id: new_span_id(random),
                flags: u8::from(is_sampled),
            },
            parent_id,
            is_client_decision,
            has_traceparent: false,
            b3: self.b3,
        }
    }

    /// SERVER span below the parent of `traceparent`.
    fn below(&self, parent: TraceParent, random: &Random) -> TraceContext {
        TraceContext {
            server: Span {
                trace_id: parent.trace_id,
                span_id: new_span_id(random),
                flags: parent.flags & KNOWN_FLAGS,
            },
            parent_id: Some(parent.parent_id),
            is_client_decision: true,
            has_traceparent: true,
            b3: self.b3,
        }
    }

    fn new_trace_id(&self, random: &Random) -> [u8; 16] {
        // An id of only zeros is invalid, so the lower half is at least 1.
        let [high, low] = [random.next() ^ self.salt, random.next().max(1)];
        (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
    }

    /// Passes the spans of a finished request to the exporting thread.
    pub(crate) fn end(&self, spans: Box<RequestSpans>, process: &Counters) {
        if let Err(error) = self.queue.try_send(spans) {
            let (reason, spans) = match error {
                TrySendError::Full(spans) => (DropReason::QueueFull, spans),
                TrySendError::Closed(spans) => (DropReason::ExporterEnded, spans),
            };
            process.export_dropped(Signal::Traces, reason, spans.count());
        }
    }
}

// === impl Threshold ===

impl Threshold {
    /// Threshold that admits this share of the ids. Range: 0–1.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 2^56"
    )]
    pub(crate) fn of(ratio: f64) -> Self {
        Self(((1.0 - ratio.clamp(0.0, 1.0)) * (1_u64 << RANDOM_BITS) as f64) as u64)
    }

    /// True if the decisive bits of the trace id are not below the threshold.
    pub(crate) fn admits(self, trace_id: [u8; 16]) -> bool {
        let decisive = u128::from_be_bytes(trace_id) & ((1 << RANDOM_BITS) - 1);
        decisive >= u128::from(self.0)
    }
}

fn new_span_id(random: &Random) -> [u8; 8] {
    random.next().max(1).to_be_bytes()
}

/// Writes bytes as hexadecimal digits in lower case. `out` has two digits for each byte.
pub(crate) fn write_hex(bytes: &[u8], out: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(out.chunks_exact_mut(2)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracer(ratio: f64) -> Tracer {
        Tracer::new(mpsc::channel(1).0, ratio, None)
    }

    #[test]
    fn ratio_decides_about_traces_without_parent() {
        let random = Random::new();
        for (ratio, expected) in [(0.0, 0..=0), (0.25, 2_200..=2_800), (1.0, 10_000..=10_000)] {
            let tracer = tracer(ratio);
            let begun = (0..10_000).map(|_| tracer.begin(&HeaderMap::new(), &random).server);
            let sampled = begun.filter(|server| server.is_sampled()).count();
            assert!(expected.contains(&sampled), "{ratio}: {sampled}");
        }
    }

    #[test]
    fn parent_decides_whatever_the_ratio() {
        let random = Random::new();
        for (flags, kept) in [(0, 0), (1, 1), (3, 3), (0xfd, 1)] {
            let parent = TraceParent {
                trace_id: [7; 16],
                parent_id: [9; 8],
                flags,
            };
            for ratio in [0.0, 1.0] {
                let begun = tracer(ratio).below(parent, &random);
                assert_eq!(begun.server.flags, kept);
                assert_eq!(begun.server.trace_id, [7; 16]);
                assert_eq!(begun.parent_id, Some([9; 8]));
                assert_ne!(begun.server.span_id, [9; 8]);
            }
        }
    }

    #[test]
    fn spans_after_the_end_have_their_own_reason() {
        let dropped = |process: &Counters, reason: &str| {
            let all = process.dropped_items(Signal::Traces);
            all.iter().find(|(name, _)| *name == reason).unwrap().1
        };
        let spans = || {
            Box::new(RequestSpans {
                context: tracer(1.0).begin(&HeaderMap::new(), &Random::new()),
                began_ns: 0,
                ended_ns: 1,
                method: http::Method::GET,
                path: "/a".into(),
                protocol: "1.1",
                peer: std::net::Ipv4Addr::LOCALHOST.into(),
                client: None,
                route: None,
                upstream: "".into(),
                bundle: "".into(),
                request_id: "".into(),
                consumer: None,
                user_agent: None,
                status: 200,
                reason: "",
                origin: "none",
                attempts: Vec::new(),
            })
        };
        let process = Counters::default();
        let (queue, received) = mpsc::channel(1);
        let tracer = Tracer::new(queue, 1.0, None);
        for _ in 0..2 {
            tracer.end(spans(), &process);
        }
        assert_eq!(dropped(&process, "queue_full"), 1);
        drop(received);
        tracer.end(spans(), &process);
        assert_eq!(dropped(&process, "queue_full"), 1);
        assert_eq!(dropped(&process, "exporter_ended"), 1);
    }

    #[test]
    fn traceparent_has_the_form_of_the_standard() {
        let span = Span {
            trace_id: std::array::from_fn(|at| u8::try_from(at * 17).unwrap()),
            span_id: [0xab; 8],
            flags: 1,
        };
        assert_eq!(
            span.traceparent().as_slice(),
            b"00-00112233445566778899aabbccddeeff-abababababababab-01"
        );
    }
}
