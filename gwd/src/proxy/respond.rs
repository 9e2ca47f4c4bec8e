//! Responses by the gateway, and heads of forwarded responses. This module builds all responses of
//! exchanges.
//!
//! Problem documents (RFC 9457) have a stable reason for the client, without internals.
//! `Proxy-Status` (RFC 9209) states that the gateway made the response, and why. Internal causes
//! are only logged.

use std::sync::Arc;

use bytes::Bytes;
use engine::{CREDENTIAL_EXPIRED, ChainStep, Decided, Refusal, RouteRef, edge};
use http::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
    TRANSFER_ENCODING, VIA, WWW_AUTHENTICATE,
};
use http::{Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use policy::{Reject, Reply};

use crate::message::failure::{Failure, Kind};
use crate::message::websocket;
use crate::proxy::download::{Download, ResponseBody};
use crate::proxy::grpc;
use crate::proxy::outgoing::{OutgoingBody, OutgoingResponse, problem, shaped};
use crate::proxy::record::Record;
use crate::proxy::stream::Stream;
use crate::proxy::tunnel::Tunnel;
use crate::telemetry::process::LimitedResource;
use crate::upstream::send::Answered;
use crate::upstream::transport;
use crate::upstream::upgrade::Switched;
use crate::worker::View;

/// Methods that operations can have.
const SERVED_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// Response to a connection beyond a connection limit; sent before anything is read.
pub(crate) const OVERLOADED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
content-type: application/problem+json\r\ncontent-length: 110\r\nretry-after: 1\r\n\
proxy-status: gwd; error=connection_limit_reached\r\nconnection: close\r\n\r\n\
{\"type\":\"urn:gwd:problem:overload\",\"title\":\"Too many connections\",\"status\":503,\"code\":\"overload\",\"detail\":\"\"}\n";

static NOTHING_RUNS: Reject = Reject::new(503, "not_ready", "The gateway is not ready");
static OVERLOAD: Reject = Reject::new(503, "overload", "The gateway is overloaded");
static PANICKED: Reject = Reject::new(500, "internal_error", "Internal error of the gateway");
static LISTENER_GONE: Reject = Reject::new(404, "no_route", "No route matches this request");

/// Builds the response to a rejection by routing, authentication or a policy, and records the
/// rejection.
pub(crate) fn refused(
    refusal: &Refusal,
    decided: &Decided<'_>,
    request_id: &HeaderValue,
    record: &mut Record,
) -> OutgoingResponse {
    let reject = refusal.reject;
    record.refused(reject, refusal.reason, refusing_step(decided));
    let mut made = problem(reject, "http_request_denied", Some(request_id));
    if let Some(allow) = &refusal.allow {
        made.headers.insert(ALLOW, allow.clone());
    }
    if matches!(made.status.as_u16(), 401 | 403)
        && let Some(route) = &decided.route
    {
        for challenge in route.treatment.challenges(reject) {
            made.headers.append(WWW_AUTHENTICATE, challenge.clone());
        }
        for wanted in route.treatment.accepted_signatures(reject) {
            let name = HeaderName::from_static("accept-signature");
            made.headers.append(name, wanted.clone());
        }
    }
    made
}

/// Builds the response to a request whose credential ended while its body was sent (`streams:
/// close`). Closes the connection, because the remaining body is not read.
pub(crate) fn credential_expired(
    route: &RouteRef<'_>,
    request_id: &HeaderValue,
    record: &mut Record,
) -> OutgoingResponse {
    let reject = &CREDENTIAL_EXPIRED;
    record.credential_expired();
    let mut made = problem(reject, "http_request_denied", Some(request_id));
    for challenge in route.treatment.challenges(reject) {
        made.headers.append(WWW_AUTHENTICATE, challenge.clone());
    }
    made.close = true;
    made
}

/// Name of the step of the chain that rejected the request.
fn refusing_step(decided: &Decided<'_>) -> Arc<str> {
    thread_local! {
        // Allocate each name once per worker, not per rejection.
        static NAMES: [Arc<str>; 2] = ["router".into(), "authenticate".into()];
    }
    let last = decided
        .route
        .as_ref()
        .and_then(|route| route.treatment.chain.get(decided.ran.checked_sub(1)?));
    match last {
        Some(ChainStep::Filter(name, _)) => Arc::clone(name),
        Some(ChainStep::Authenticate | ChainStep::Strip | ChainStep::RemoveParameters) => {
            NAMES.with(|names| Arc::clone(&names[1]))
        }
        None if decided.is_own() => NAMES.with(|names| Arc::clone(&names[1])),
        None => NAMES.with(|names| Arc::clone(&names[0])),
    }
}

/// Builds the response that a policy has chosen, and records it.
pub(crate) fn replied(
    reply: &Reply,
    decided: &Decided<'_>,
    record: &mut Record,
) -> OutgoingResponse {
    match reply.refusal {
        Some(reject) => record.refused(reject, reject.code, refusing_step(decided)),
        None => record.answered_by_gateway(reply.status),
    }
    OutgoingResponse {
        status: reply.status,
        headers: reply.headers.clone(),
        body: OutgoingBody::Own(reply.body.clone()),
        problem: None,
        close: false,
    }
}

/// Converts the upstream's response for the client: removes the hop-by-hop fields. Fails if the
/// response must not be forwarded (data-plane.md §11).
pub(crate) fn forwarded(mut answered: Answered) -> Result<OutgoingResponse, Failure> {
    let status = answered.response.status();
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Failure::because(
            Kind::Protocol,
            &"the upstream switched protocols without an upgrade request",
        ));
    }
    let mut headers = std::mem::take(answered.response.headers_mut());
    check_framing(&headers, answered.response.version())?;
    let keep_alive = strip(&mut headers);
    remove_gateway_fields(&mut headers);
    if answered.response.version() <= Version::HTTP_11 {
        answered.lease.kept_for(keep_alive.as_ref());
    }
    Ok(OutgoingResponse {
        status,
        headers,
        body: OutgoingBody::Upstream(answered),
        problem: None,
        close: false,
    })
}

/// Removes fields that only the gateway itself may set.
fn remove_gateway_fields(headers: &mut HeaderMap) {
    if !headers
        .keys()
        .any(|name| edge::is_reserved_for_gateway(name.as_str()))
    {
        return;
    }
    let names = headers.keys().cloned();
    let removed: Vec<HeaderName> = names
        .filter(|name| edge::is_reserved_for_gateway(name.as_str()))
        .collect();
    for name in removed {
        headers.remove(name);
    }
}

/// Builds the response that switches the client's connection to WebSocket, after the upstream has
/// switched.
pub(crate) fn switched(mut switched: Box<Switched>) -> OutgoingResponse {
    let mut headers = std::mem::take(&mut switched.headers);
    strip(&mut headers);
    remove_gateway_fields(&mut headers);
    let status = if switched.handshake.is_http2() {
        StatusCode::OK // RFC 8441 §4
    } else {
        StatusCode::SWITCHING_PROTOCOLS
    };
    OutgoingResponse {
        status,
        headers,
        body: OutgoingBody::Tunnel(switched),
        problem: None,
        close: false,
    }
}

/// Builds the response that rejects a WebSocket handshake, and records the rejection.
pub(crate) fn not_upgraded(
    reject: &'static Reject,
    request_id: &HeaderValue,
    record: &mut Record,
) -> OutgoingResponse {
    record.refused(reject, reject.code, "websocket".into());
    let mut made = problem(reject, "http_upgrade_failed", Some(request_id));
    made.headers.extend(websocket::additional_field(reject));
    made
}

/// Checks `Transfer-Encoding`. Only a single `chunked` over HTTP/1.1, without `Content-Length`, is
/// valid.
fn check_framing(headers: &HeaderMap, version: Version) -> Result<(), Failure> {
    let Some(coding) = headers.get(TRANSFER_ENCODING) else {
        return Ok(());
    };
    let single = headers.get_all(TRANSFER_ENCODING).iter().count() == 1
        && coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    if single && !headers.contains_key(CONTENT_LENGTH) && version == Version::HTTP_11 {
        return Ok(());
    }
    Err(Failure::because(
        Kind::Protocol,
        &"the response's Transfer-Encoding is not a single `chunked`",
    ))
}

/// Removes hop-by-hop fields (RFC 9110 §7.6.1) and `Server`. Returns the value of `Keep-Alive`, if
/// there is one.
fn strip(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let mut keep_alive = None;
    let mut removed: Vec<HeaderName> = Vec::new();
    let mut announced = false;
    let mut vias: Vec<Option<HeaderValue>> = Vec::new();
    for (name, value) in headers.iter() {
        // Skip a field whose first byte shows that it is none of the fields below.
        if !matches!(
            name.as_str().as_bytes()[0],
            b'c' | b'h' | b'k' | b'p' | b's' | b't' | b'u' | b'v'
        ) {
            continue;
        }
        match name.as_str() {
            "connection" => {
                removed.push(CONNECTION);
                edge::nominated(value, &mut removed);
            }
            "trailer" => announced = true,
            "via" => vias.push(edge::foreign_hops(value)),
            "keep-alive" => {
                keep_alive = Some(value.clone());
                removed.push(name.clone());
            }
            "http2-settings" | "proxy-connection" | "proxy-authenticate" | "server" | "te"
            | "transfer-encoding" | "upgrade" => removed.push(name.clone()),
            _ => {}
        }
    }
    // Announce only fields that are allowed in trailers.
    if announced {
        edge::announce(headers, &[]);
    }
    if !vias.is_empty() {
        headers.remove(VIA);
        for value in vias.into_iter().flatten() {
            headers.append(VIA, value);
        }
    }
    for name in removed {
        headers.remove(name);
    }
    keep_alive
}

/// Builds the response to a failure of the exchange, and records the failure.
pub(crate) fn failed(
    failure: &Failure,
    request_id: &HeaderValue,
    record: &mut Record,
) -> OutgoingResponse {
    let info = failure.kind.info();
    record.failed(failure);
    let alert;
    let proxy_error = match failure.kind {
        // `Proxy-Status` contains the alert's number (RFC 9209 §2.3.15).
        Kind::TlsAlert(id) => {
            alert = format!("{}; alert-id={id}", info.proxy_error);
            &alert
        }
        _ => info.proxy_error,
    };
    let reject = Reject::new(info.status, info.reason, info.title);
    let mut made = problem(&reject, proxy_error, Some(request_id));
    if info.status == 503 {
        let wait_s = match failure.kind {
            Kind::CircuitOpen(wait_s) => wait_s,
            _ => 1,
        };
        made.headers.insert(RETRY_AFTER, HeaderValue::from(wait_s));
    }
    // Close the connection, because the rest of the client's body is not read.
    made.close = matches!(
        failure.kind,
        Kind::TooLarge
            | Kind::ClientBody
            | Kind::ContentDigest
            | Kind::ThreatDetected
            | Kind::RequestInvalid
            | Kind::ClientGone
            | Kind::UploadStalled
    );
    made
}

/// Builds the response to a request head that was rejected before routing. Closes the connection,
/// because the start of the next request is not certain.
pub(crate) fn refused_at_edge(
    reject: &'static Reject,
    view: &View,
    mut record: Box<Record>,
) -> Response<ResponseBody> {
    // Use a new id, because the head is not trusted.
    let request_id = record.new_request_id();
    record.refused_at_edge(view, reject, &request_id);
    let mut made = problem(
        reject,
        if reject.code == "loop_detected" {
            "proxy_loop_detected"
        } else {
            "http_request_error"
        },
        Some(&request_id),
    );
    let snapshot = &view.current().loaded.snapshot;
    let shape = snapshot.error_shape(None, reject.code);
    if let (Some(problem), Some(shape)) = (made.problem, shape) {
        shaped(&mut made, problem, shape, &request_id);
    }
    made.headers.insert(&edge::X_REQUEST_ID, request_id);
    if reject.status == 405 {
        // CONNECT has no path: list all methods that operations can have.
        made.headers
            .insert(ALLOW, HeaderValue::from_static(SERVED_METHODS));
    }
    made.close = true;
    send(made, record)
}

/// Reason why a request is not served, before its head is read.
#[derive(Clone, Copy)]
pub(crate) enum UnservedReason {
    /// The process has reached a limit, such as its memory limit.
    Overloaded(LimitedResource),
    /// No bundle has been activated yet.
    NothingRuns,
    /// The running version does not have the listener.
    ListenerGone,
}

/// Response to a request that is not served.
#[cold]
pub(crate) fn unserved(unserved: UnservedReason, record: Box<Record>) -> Response<ResponseBody> {
    match unserved {
        UnservedReason::Overloaded(what) => overloaded(what, record),
        UnservedReason::NothingRuns => nothing_runs(record),
        UnservedReason::ListenerGone => listener_gone(record),
    }
}

/// Builds the response to a request that arrives before the first activation.
fn nothing_runs(mut record: Box<Record>) -> Response<ResponseBody> {
    record.refused(&NOTHING_RUNS, NOTHING_RUNS.code, "gateway".into());
    let mut made = problem(&NOTHING_RUNS, "proxy_internal_response", None);
    made.close = true;
    send(made, record)
}

/// Builds the response for an overload, and records it: the process has reached the limit `what`.
fn overloaded(what: LimitedResource, mut record: Box<Record>) -> Response<ResponseBody> {
    record.stream().worker.shard.process.shed(what);
    record.refused(&OVERLOAD, OVERLOAD.code, "gateway".into());
    if matches!(what, LimitedResource::RequestsPerAddress) {
        record.blame_client();
    }
    let mut made = problem(&OVERLOAD, "connection_limit_reached", None);
    made.headers.insert(RETRY_AFTER, HeaderValue::from(1));
    // Close the connection: the body is not read, and the connection's buffers are freed.
    made.close = true;
    send(made, record)
}

/// Response if the running version does not have the listener.
fn listener_gone(mut record: Box<Record>) -> Response<ResponseBody> {
    record.refused(&LISTENER_GONE, LISTENER_GONE.code, "gateway".into());
    let mut made = problem(&LISTENER_GONE, "http_request_denied", None);
    made.close = true;
    send(made, record)
}

/// Builds the response after an exchange has panicked. The record is completed when it is dropped.
#[cold]
pub(crate) fn panicked(stream: &Stream) -> Response<ResponseBody> {
    let mut made = problem(&PANICKED, "proxy_internal_error", None);
    if stream.transfer.is_grpc.get() {
        grpc::trailers_only(&mut made, "internal_error");
    }
    let mut response = Response::new(ResponseBody::Own(
        match made.body {
            OutgoingBody::Own(bytes) => bytes,
            OutgoingBody::Upstream(_) | OutgoingBody::Tunnel(_) => Bytes::new(),
        },
        None,
    ));
    *response.status_mut() = made.status;
    *response.headers_mut() = made.headers;
    response.headers_mut().insert(CONNECTION, CLOSE);
    response
}

/// Builds the response. Its body owns the record until the end of the exchange.
pub(crate) fn send(mut made: OutgoingResponse, mut record: Box<Record>) -> Response<ResponseBody> {
    let mut owes_status = false;
    if record.stream().transfer.is_grpc.get() {
        owes_status = grpc_head(&mut made, &mut record);
    }
    let OutgoingResponse {
        status,
        mut headers,
        body,
        close,
        problem: _,
    } = made;
    record.head_made(status);
    if let OutgoingBody::Tunnel(switched) = body {
        return tunnel(*switched, status, headers, record);
    }
    if close || record.stream().last_exchange() {
        headers.insert(CONNECTION, CLOSE);
    }
    let body = match body {
        OutgoingBody::Own(bytes) => ResponseBody::Own(bytes, Some(record)),
        OutgoingBody::Upstream(answered) => {
            let Answered {
                mut response,
                lease,
                progress,
            } = answered;
            ResponseBody::Download(Download::new(
                std::mem::replace(response.body_mut(), transport::Incoming::Gone),
                lease,
                progress,
                record,
                owes_status,
            ))
        }
        OutgoingBody::Tunnel(_) => unreachable!("taken above"),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Prepares a response head for a gRPC client: a response by the gateway becomes a gRPC status.
/// Returns `true` if the upstream's response must be completed by a status after its body.
fn grpc_head(made: &mut OutgoingResponse, record: &mut Record) -> bool {
    match &made.body {
        OutgoingBody::Own(_) => {
            let status = grpc::trailers_only(made, record.reason());
            record.grpc_ended(status);
            false
        }
        OutgoingBody::Upstream(_) if grpc::owes_status(made.status, &made.headers) => {
            grpc::announce(&mut made.headers, record.http_version());
            true
        }
        OutgoingBody::Upstream(_) => {
            record.grpc_ended(grpc::checked_head(made.status, &mut made.headers));
            false
        }
        OutgoingBody::Tunnel(_) => false,
    }
}

/// Builds the response head of a tunnel. Over HTTP/1, the body is the tunnel, which the connection's
/// task runs after the head; over HTTP/2, a separate task runs it.
fn tunnel(
    switched: Switched,
    status: StatusCode,
    mut headers: HeaderMap,
    mut record: Box<Record>,
) -> Response<ResponseBody> {
    let Switched {
        carrier,
        early,
        handshake,
        shown,
        permits,
        ..
    } = switched;
    let upgraded = handshake.agree(&mut headers);
    record.becomes_tunnel();
    let tunnel = Tunnel {
        upstream: carrier,
        early,
        record,
        shown,
        _permits: permits,
    };
    let body = match upgraded {
        None => ResponseBody::Tunnel(Some(Box::new(tunnel))),
        Some(upgraded) => {
            drop(tokio::task::spawn_local(async move {
                if let Ok(client) = upgraded.await {
                    tunnel.run(TokioIo::new(client), &[]).await;
                }
            }));
            ResponseBody::Own(Bytes::new(), None)
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Response 431 to an HTTP/2 head above the maximum size, as h2 sends it: without content.
#[cold]
pub(crate) fn head_too_large() -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Own(Bytes::new(), None));
    *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overload_response_is_framed_right() {
        let text = std::str::from_utf8(OVERLOADED).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())));
    }
}
