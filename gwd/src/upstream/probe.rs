//! Performs one health check of a host: opens a TCP connection, and sends a GET or a
//! `grpc.health.v1.Health/Check` if configured.
//!
//! Each check opens a connection of its own, with TLS if requests use TLS. A check therefore also
//! tests if the host accepts new connections. The caller limits the time.

use std::convert::Infallible;

use bundle::ir::{ProxyVersion, UpstreamProtocol};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, TE, USER_AGENT};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt as _, Empty, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use policy::upstream::{Active, ActiveKind};

use crate::runtime::informational::InformationalLimit;
use crate::tls::connector::{Connector, Offer};
use crate::upstream::connect::{Dial, NewConnection, Purpose, dial};
use crate::upstream::hosts::Endpoint;
use crate::upstream::proxy_header::header;
use crate::upstream::socket::UpstreamSocket;

/// Maximum length of a response body that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Uncompressed gRPC frame with an empty `HealthCheckRequest`, which is for the whole server.
const WHOLE_SERVER: [u8; 5] = [0; 5];
/// Value of `HealthCheckResponse.ServingStatus` for a healthy server (`SERVING`).
const SERVING: u64 = 1;

/// Connection parameters of a host, the same as for requests.
pub(crate) struct ProbeConnection<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) tls: Option<&'a Connector>,
    pub(crate) protocol: UpstreamProtocol,
    pub(crate) proxy_protocol: Option<ProxyVersion>,
    /// Value for `Host` or `:authority`, unless the check configures one.
    pub(crate) authority: &'a str,
}

/// Performs a health check.
///
/// # Errors
/// If the check failed. The error is the reason.
pub(crate) async fn ask(active: &Active, connection: ProbeConnection<'_>) -> Result<(), String> {
    let offer = match (active.kind, connection.protocol) {
        (ActiveKind::Grpc, _) => Offer::Http2,
        (_, UpstreamProtocol::H1) => Offer::Http1,
        (_, UpstreamProtocol::H2c | UpstreamProtocol::H2) => Offer::Http2,
        (_, UpstreamProtocol::Auto) => Offer::Either,
    };
    let Endpoint { address, target } = connection.endpoint;
    let header = connection
        .proxy_protocol
        .map(|version| header(version, None));
    let opened = dial(Dial {
        address,
        name: &target.host,
        tls: connection.tls,
        offer,
        purpose: Purpose::Check,
        header,
    });
    let opened = opened.await;
    let opened = opened.map_err(|failure| match failure.why {
        Some(why) => why.into(),
        None => failure.kind.info().title.to_owned(),
    })?;
    match active.kind {
        ActiveKind::Tcp => Ok(()),
        ActiveKind::Http => http(active, opened, &connection).await,
        ActiveKind::Grpc => grpc(active, opened, &connection).await,
    }
}

async fn http(
    active: &Active,
    opened: NewConnection,
    connection: &ProbeConnection<'_>,
) -> Result<(), String> {
    let host = active.host.as_deref().unwrap_or(connection.authority);
    if opened.http2 {
        let target = format!("{}://{host}{}", connection.scheme(), active.path);
        let request = request(active, Method::GET, &target, Empty::<Bytes>::new())?;
        let answered = async |answer| check_response(active, answer).await;
        return ask_http2(opened.socket, request, answered).await;
    }
    let request = request(active, Method::GET, &active.path, Empty::<Bytes>::new());
    let mut request = request?;
    request.headers_mut().insert(HOST, value(host)?);
    let handshake = http1::handshake(TokioIo::new(opened.socket)).await;
    let (mut sender, connection) = handshake.map_err(|error| broken(&error))?;
    let limit = InformationalLimit::of(&mut request);
    let exchange = async {
        let answer = sender.send_request(request);
        let answer = async { answer.await.map_err(|error| broken(&error)) };
        check_response(active, limit.within(answer).await?).await
    };
    alongside(connection, exchange).await
}

/// Sends a request over HTTP/2 and calls `check` with the response.
async fn ask_http2<B>(
    socket: UpstreamSocket,
    request: Request<B>,
    check: impl AsyncFnOnce(Response<Incoming>) -> Result<(), String>,
) -> Result<(), String>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
{
    let opened = http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await;
    let (mut sender, connection) = opened.map_err(|error| broken(&error))?;
    let exchange = async {
        let answer = sender.send_request(request).await;
        check(answer.map_err(|error| broken(&error))?).await
    };
    alongside(connection, exchange).await
}

/// Checks the status of a response, and its body if the check has `body`.
async fn check_response(active: &Active, answer: Response<Incoming>) -> Result<(), String> {
    let status = answer.status().as_u16();
    if !active.statuses.contains(&status) {
        return Err(format!("it answered {status}"));
    }
    let Some(part) = &active.body else {
        return Ok(());
    };
    let body = whole(answer.into_body()).await?.0;
    match memchr::memmem::find(&body, part.as_bytes()) {
        Some(_) => Ok(()),
        None => Err("its answer does not contain the expected text".to_owned()),
    }
}

async fn grpc(
    active: &Active,
    opened: NewConnection,
    connection: &ProbeConnection<'_>,
) -> Result<(), String> {
    let host = active.host.as_deref().unwrap_or(connection.authority);
    let target = format!(
        "{}://{host}/grpc.health.v1.Health/Check",
        connection.scheme()
    );
    let message = Full::new(Bytes::from_static(&WHOLE_SERVER));
    let mut request = request(active, Method::POST, &target, message)?;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    ask_http2(opened.socket, request, check_grpc_status).await
}

impl ProbeConnection<'_> {
    fn scheme(&self) -> &'static str {
        match self.tls {
            Some(_) => "https",
            None => "http",
        }
    }
}

async fn check_grpc_status(answer: Response<Incoming>) -> Result<(), String> {
    let status = answer.status().as_u16();
    if status != 200 {
        return Err(format!("it answered {status}"));
    }
    let (head, body) = answer.into_parts();
    let (message, trailers) = whole(body).await?;
    // A response without a body (trailers-only) has the gRPC status in its head.
    let fields = trailers.as_ref().unwrap_or(&head.headers);
    let status = fields.get("grpc-status").map(HeaderValue::as_bytes);
    match status {
        Some(b"0") if is_serving(&message) => Ok(()),
        Some(b"0") => Err("its status is not SERVING".to_owned()),
        Some(other) => Err(format!("its grpc-status is {}", other.escape_ascii())),
        None => Err("its response has no grpc-status".to_owned()),
    }
}

/// True if a gRPC frame contains a `HealthCheckResponse` with status `SERVING` (field 1, a varint).
/// As protobuf requires, the last occurrence of the field counts, and other fields are skipped.
fn is_serving(framed: &[u8]) -> bool {
    let Some(([0, length @ ..], message)) = framed.split_first_chunk::<5>() else {
        return false;
    };
    let length = u32::from_be_bytes(*length);
    if usize::try_from(length) != Ok(message.len()) {
        return false;
    }
    let (mut rest, mut status) = (message, 0);
    while !rest.is_empty() {
        let Some(tag) = varint(&mut rest) else {
            return false;
        };
        let skipped = match tag & 7 {
            0 => match varint(&mut rest) {
                Some(number) if tag >> 3 == 1 => {
                    status = number;
                    0
                }
                Some(_) => 0,
                None => return false,
            },
            1 => 8,
            2 => match varint(&mut rest).map(usize::try_from) {
                Some(Ok(length)) => length,
                Some(Err(_)) | None => return false,
            },
            5 => 4,
            _ => return false,
        };
        let Some(left) = rest.get(skipped..) else {
            return false;
        };
        rest = left;
    }
    status == SERVING
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, left) = rest.split_first()?;
        *rest = left;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn request<B>(
    active: &Active,
    method: Method,
    target: &str,
    body: B,
) -> Result<Request<B>, String> {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in &active.headers {
        request = request.header(name, value);
    }
    let request = request.header(USER_AGENT, "gwd-health");
    let built = request.body(body);
    built.map_err(|error| format!("the check's request is not valid: {error}"))
}

fn value(text: &str) -> Result<HeaderValue, String> {
    let value = HeaderValue::from_str(text);
    value.map_err(|_| "the check's `host` is not a valid field value".to_owned())
}

/// Reads a body up to [`ANSWER_BYTES_MAX`]. Returns the body with its trailers.
async fn whole(body: Incoming) -> Result<(Bytes, Option<http::HeaderMap>), String> {
    let collected = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    let collected = collected.map_err(|error| format!("its answer ended early: {error}"))?;
    let trailers = collected.trailers().cloned();
    Ok((collected.to_bytes(), trailers))
}

/// Drives a connection until an exchange on it has ended.
async fn alongside<T>(connection: impl Future, exchange: impl Future<Output = T>) -> T {
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        biased;
        done = &mut exchange => done,
        // The connection has ended: the exchange can still read data that arrived before its end.
        _ended = connection => exchange.await,
    }
}

fn broken(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_serving_message_is_a_success() {
        for good in [
            &[0, 0, 0, 0, 2, 8, 1][..],
            // Unknown field, and a repeated status.
            &[0, 0, 0, 0, 7, 8, 2, 0x12, 1, b'x', 8, 1],
        ] {
            assert!(is_serving(good), "{good:?}");
        }
        for bad in [
            &[][..],
            &[0, 0, 0, 0, 0],
            &[0, 0, 0, 0, 2, 8, 2],
            &[1, 0, 0, 0, 2, 8, 1],
            &[0, 0, 0, 0, 3, 8, 1],
            &[0, 0, 0, 0, 2, 16, 1],
            &[0, 0, 0, 0, 2, 8, 0x81],
            &[0, 0, 0, 0, 3, 0x12, 9, 1],
            &[
                0, 0, 0, 0, 11, 8, 1, 0x12, 255, 255, 255, 255, 255, 255, 255, 1,
            ],
        ] {
            assert!(!is_serving(bad), "{bad:?}");
        }
    }
}
