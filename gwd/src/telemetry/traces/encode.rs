//! Messages of OTLP: spans with the attributes of OpenTelemetry's conventions for HTTP.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, SpanFlags, Status};

use super::span::{AttemptSpan, RequestSpans};
use crate::telemetry::otlp::{number, resource_of, scope, text};

/// Methods that spans name. Others are `_OTHER`, so that clients cannot create names.
const METHODS: [&str; 9] = [
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
];

/// Request to a collector with the spans of several requests. `unix_ns` converts times of the clock
/// to Unix time in nanoseconds.
pub(super) fn request(
    resource: &[(String, String)],
    batch: &[RequestSpans],
    unix_ns: impl Fn(u64) -> u64,
) -> ExportTraceServiceRequest {
    let mut spans = Vec::with_capacity(2 * batch.len());
    for request in batch {
        spans.push(server(request, &unix_ns));
        let attempts = request.attempts.iter().enumerate();
        spans.extend(attempts.map(|(index, one)| client(request, index, one, &unix_ns)));
    }
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: resource_of(resource),
            scope_spans: vec![ScopeSpans {
                scope: scope(),
                spans,
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }],
    }
}

/// SERVER span of a request.
fn server(request: &RequestSpans, unix_ns: impl Fn(u64) -> u64) -> Span {
    let context = &request.context;
    let (method, original) = method(request);
    let mut attributes = vec![
        text("http.request.method", method),
        text("url.path", &request.path),
        text("network.protocol.version", request.protocol),
        text("network.peer.address", &request.peer.to_string()),
        text("gwd.error_origin", request.origin),
    ];
    if let Some(client) = &request.client {
        attributes.push(text("url.scheme", client.scheme));
        let host = client.host.trim_start_matches('[').trim_end_matches(']');
        attributes.push(text("server.address", host));
        attributes.push(text("client.address", &client.address.to_string()));
    }
    if let Some((template, id)) = &request.route {
        attributes.push(text("http.route", template));
        attributes.push(text("gwd.route.id", id));
    }
    let consumer = request.consumer.as_deref();
    for (name, value) in [
        ("http.request.method_original", original.unwrap_or_default()),
        (
            "user_agent.original",
            request.user_agent.as_deref().unwrap_or_default(),
        ),
        ("gwd.bundle.version", &request.bundle),
        ("gwd.request_id", &request.request_id),
        ("gwd.consumer_id", consumer.unwrap_or_default()),
        ("gwd.reason", request.reason),
    ] {
        if !value.is_empty() {
            attributes.push(text(name, value));
        }
    }
    let is_error = request.status >= 500;
    // A response that broke off after its head has a reason as well.
    let broke_off = request.status < 400 && !request.reason.is_empty();
    outcome(
        request.status,
        (request.reason, is_error || broke_off),
        &mut attributes,
    );
    let remote = SpanFlags::ContextHasIsRemoteMask as u32;
    let remote = match context.parent_id {
        Some(_) => remote | SpanFlags::ContextIsRemoteMask as u32,
        None => remote,
    };
    Span {
        trace_id: context.server.trace_id.to_vec(),
        span_id: context.server.span_id.to_vec(),
        parent_span_id: context.parent_id.map_or(Vec::new(), Vec::from),
        flags: u32::from(context.server.flags) | remote,
        name: match &request.route {
            Some((template, _)) => format!("{} {template}", name_of(method)),
            None => name_of(method).to_owned(),
        },
        kind: SpanKind::Server.into(),
        start_time_unix_nano: unix_ns(request.began_ns),
        end_time_unix_nano: unix_ns(request.ended_ns),
        attributes,
        status: status(is_error),
        ..Span::default()
    }
}

/// CLIENT span of an attempt. `index`: position among the attempts of the request.
fn client(
    request: &RequestSpans,
    index: usize,
    attempt: &AttemptSpan,
    unix_ns: impl Fn(u64) -> u64,
) -> Span {
    let (method, _) = method(request);
    let mut attributes = vec![
        text("http.request.method", method),
        text("server.address", &attempt.server),
        text("network.peer.address", &attempt.peer),
        text("gwd.upstream", &request.upstream),
    ];
    if attempt.port != 0 {
        attributes.push(number("server.port", attempt.port.into()));
        attributes.push(number("network.peer.port", attempt.peer_port.into()));
    }
    if index > 0 {
        let count = i64::try_from(index).unwrap_or(i64::MAX);
        attributes.push(number("http.request.resend_count", count));
    }
    let is_error = attempt.status >= 400 || !attempt.error.is_empty();
    outcome(attempt.status, (attempt.error, is_error), &mut attributes);
    Span {
        trace_id: attempt.span.trace_id.to_vec(),
        span_id: attempt.span.span_id.to_vec(),
        parent_span_id: request.context.server.span_id.to_vec(),
        flags: u32::from(attempt.span.flags) | SpanFlags::ContextHasIsRemoteMask as u32,
        name: name_of(method).to_owned(),
        kind: SpanKind::Client.into(),
        start_time_unix_nano: unix_ns(attempt.began_ns),
        end_time_unix_nano: unix_ns(attempt.ended_ns),
        attributes,
        status: status(is_error),
        ..Span::default()
    }
}

/// Method of a request as spans name it, and the original of an unknown one.
fn method(request: &RequestSpans) -> (&str, Option<&str>) {
    let method = request.method.as_str();
    match METHODS.contains(&method) {
        true => (method, None),
        false => ("_OTHER", Some(method)),
    }
}

/// Method in the name of a span.
fn name_of(method: &str) -> &str {
    match method {
        "_OTHER" => "HTTP",
        known => known,
    }
}

/// Adds the status and, for an error, its type: the reason, otherwise the status.
fn outcome(status: u16, (reason, is_error): (&str, bool), attributes: &mut Vec<KeyValue>) {
    if status > 0 {
        attributes.push(number("http.response.status_code", status.into()));
    }
    if is_error {
        let error = match reason {
            "" => status.to_string(),
            reason => reason.to_owned(),
        };
        attributes.push(text("error.type", &error));
    }
}

fn status(is_error: bool) -> Option<Status> {
    is_error.then(|| Status {
        message: String::new(),
        code: StatusCode::Error.into(),
    })
}
