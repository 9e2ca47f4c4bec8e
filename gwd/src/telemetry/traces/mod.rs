//! Traces of requests (OpenTelemetry): a SERVER span for each request, a CLIENT span for each
//! attempt at an upstream (observability.md §4).
//!
//! A worker decides at the request's head if the trace is sampled ([`Tracer`]). At the end of a
//! sampled request it passes the spans to one thread through a bounded queue. The thread sends them
//! to the collector ([`export`]). If the queue is full, spans are dropped and counted, so that no
//! request waits. Requests that are not sampled allocate no memory for traces.

pub(crate) mod b3;
mod collector;
mod connection;
mod context;
mod encode;
mod export;
mod span;

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use tokio_rustls::TlsConnector;

pub(crate) use collector::trusting;
pub(crate) use context::{Span, Threshold, TraceContext, Tracer, write_hex};
pub(crate) use export::Exporter;
pub(crate) use span::{AttemptSpan, ClientSide, RequestSpans, shortened};

/// Settings of the export of traces.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Collector that gets the spans.
    pub endpoint: Endpoint,
    /// Fields of the requests to the collector.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Maximum time to deliver a batch, all its retries included.
    pub timeout: Duration,
    /// Attributes of the resource, by name.
    pub resource: Vec<(String, String)>,
    /// Share of the requests without a parent that are sampled. Range: 0–1.
    pub ratio: f64,
    /// Form of the B3 fields that upstreams get, in addition to `traceparent`. `None`: B3 fields of
    /// clients are neither read nor changed.
    pub b3: Option<b3::Form>,
}

/// Address of a collector.
#[derive(Clone)]
pub struct Endpoint {
    /// Host name or IP address, IPv6 without brackets.
    pub host: String,
    /// Port of the collector.
    pub port: u16,
    /// Value of `Host` in requests to the collector.
    pub authority: HeaderValue,
    /// Path of the requests, such as `/v1/traces`.
    pub path: String,
    /// TLS client settings for `https`. `None`: `http`.
    pub(crate) tls: Option<TlsConnector>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// Formats an endpoint as the URL of its requests.
impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = match self.tls {
            Some(_) => "https",
            None => "http",
        };
        let authority = self.authority.to_str().unwrap_or_default();
        write!(f, "{scheme}://{authority}{}", self.path)
    }
}
