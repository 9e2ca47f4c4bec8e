//! Spans of one request, as the worker collects them.
//!
//! Texts are those that the access log shows: a path without hidden values, and no query.

use std::net::IpAddr;

use http::Method;

use super::context::{Span, TraceContext};

/// Maximum length of an attribute that a client chooses, in bytes. Bounds the memory of the queue.
const TEXT_BYTES_MAX: usize = 1_024;

/// Spans of a sampled request: the SERVER span, and a CLIENT span for each attempt. Times are in
/// nanoseconds of the clock.
#[derive(Debug)]
pub(crate) struct RequestSpans {
    pub(crate) context: TraceContext,
    pub(crate) began_ns: u64,
    pub(crate) ended_ns: u64,
    pub(crate) method: Method,
    /// Path as the access log shows it.
    pub(crate) path: Box<str>,
    /// Version of HTTP, such as `1.1`.
    pub(crate) protocol: &'static str,
    pub(crate) peer: IpAddr,
    /// Client, and scheme and host of its request. `None`: the edge refused the request.
    pub(crate) client: Option<ClientSide>,
    /// Template and id of the route. `None`: the request matches none.
    pub(crate) route: Option<(Box<str>, Box<str>)>,
    /// Name of the upstream that the route selects. Empty if the request is not forwarded.
    pub(crate) upstream: Box<str>,
    /// Id of the bundle. Empty if none served the request.
    pub(crate) bundle: Box<str>,
    pub(crate) request_id: Box<str>,
    /// Consumer of the request's credential.
    pub(crate) consumer: Option<Box<str>>,
    pub(crate) user_agent: Option<Box<str>>,
    /// Status of the response; 0 without one.
    pub(crate) status: u16,
    /// Reason of a refusal or failure, as in the access log. Empty without one.
    pub(crate) reason: &'static str,
    /// Party that caused the failure, as in the access log.
    pub(crate) origin: &'static str,
    pub(crate) attempts: Vec<AttemptSpan>,
}

/// Client of a request, and what it requested.
#[derive(Debug)]
pub(crate) struct ClientSide {
    pub(crate) address: IpAddr,
    pub(crate) scheme: &'static str,
    pub(crate) host: Box<str>,
}

/// CLIENT span of an attempt at an upstream. Times are in nanoseconds of the clock.
#[derive(Debug)]
pub(crate) struct AttemptSpan {
    pub(crate) span: Span,
    pub(crate) began_ns: u64,
    /// End of the attempt; 0 while it runs.
    pub(crate) ended_ns: u64,
    /// Host name or address of the target, as in the bundle.
    pub(crate) server: Box<str>,
    /// Port of the target; 0 for a Unix socket.
    pub(crate) port: u16,
    /// IP address or Unix socket of the host.
    pub(crate) peer: Box<str>,
    /// Port of the host; 0 for a Unix socket.
    pub(crate) peer_port: u16,
    /// Status of the response; 0 without one.
    pub(crate) status: u16,
    /// Reason of the attempt's failure. Empty without one.
    pub(crate) error: &'static str,
}

impl RequestSpans {
    /// Number of spans.
    pub(crate) fn count(&self) -> u64 {
        1 + self.attempts.len() as u64
    }
}

impl AttemptSpan {
    /// True while the attempt runs.
    pub(crate) fn is_open(&self) -> bool {
        self.ended_ns == 0
    }
}

/// Text of at most [`TEXT_BYTES_MAX`] bytes: the beginning of `text`.
pub(crate) fn shortened(text: &str) -> Box<str> {
    text[..text.floor_char_boundary(TEXT_BYTES_MAX)].into()
}
