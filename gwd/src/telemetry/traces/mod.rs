//! Traces of requests (OpenTelemetry): a SERVER span for each request, a CLIENT span for each
//! attempt at an upstream (observability.md §4).
//!
//! A worker decides at the request's head if the trace is sampled ([`Tracer`]). At the end of a
//! sampled request it passes the spans to one thread through a bounded queue. The thread sends them
//! to the collector ([`export`], [`super::otlp`]). If the queue is full, spans are dropped and counted, so that no
//! request waits. Requests that are not sampled allocate no memory for traces.

pub(crate) mod b3;
mod context;
mod encode;
mod export;
mod span;

use super::otlp::ExportSettings;
pub(crate) use context::{Span, Threshold, TraceContext, Tracer, write_hex};
pub(crate) use export::{SpanExport, SpanQueue};
pub(crate) use span::{AttemptSpan, ClientSide, RequestSpans, shortened};

/// Settings of traces.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Settings of the export.
    pub export: ExportSettings,
    /// Share of the requests without a parent that are sampled. Range: 0–1.
    pub ratio: f64,
    /// Form of the B3 fields that upstreams get, in addition to `traceparent`. `None`: B3 fields of
    /// clients are neither read nor changed.
    pub b3: Option<b3::Form>,
}
