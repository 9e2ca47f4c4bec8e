//! Upstreams of the load test. One upstream serves bodies, events and WebSockets over HTTP/1.1. The
//! other echoes gRPC streams over HTTP/2.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::channel::Channel;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

use crate::sockets::{self, Side};

/// Interval between two events.
const EVENT: Duration = Duration::from_millis(200);

type Body = BoxBody<Bytes, Infallible>;

/// Starts the HTTP/1.1 upstream. Returns its address.
pub(crate) async fn plain() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _slow = stream.set_nodelay(true);
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(answer))
                    .with_upgrades(),
            );
        }
    });
    address
}

/// Starts the HTTP/2 upstream. Returns its address.
pub(crate) async fn calls() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _slow = stream.set_nodelay(true);
            tokio::spawn(
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .max_concurrent_streams(1_000)
                    .serve_connection(TokioIo::new(stream), service_fn(talk)),
            );
        }
    });
    address
}

/// Test bytes: the byte at position `at` is `at % 251`.
pub(crate) fn pattern(length: usize) -> Bytes {
    (0..length).map(|at| (at % 251) as u8).collect()
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    Ok(match path.as_str() {
        "/socket" => switch(request),
        "/events" => events(),
        "/up" => {
            let body = request.into_body().collect().await;
            let body = body.map(|body| body.to_bytes()).unwrap_or_default();
            let fine = body == pattern(body.len());
            full(format!("{} {fine}", body.len()))
        }
        _ => {
            let length = path.rsplit('/').next().and_then(|text| text.parse().ok());
            full(pattern(length.unwrap_or(0)))
        }
    })
}

fn full(body: impl Into<Bytes>) -> Response<Body> {
    Response::new(Full::new(body.into()).boxed())
}

/// Response with numbered events that never end.
fn events() -> Response<Body> {
    let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
    tokio::spawn(async move {
        for number in 0u64.. {
            let event = Bytes::from(format!("data: {number}\n\n"));
            if sender.send(Frame::data(event)).await.is_err() {
                return;
            }
            tokio::time::sleep(EVENT).await;
        }
    });
    let mut response = Response::new(body.boxed());
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Switches the connection to a WebSocket that echoes messages.
fn switch(request: Request<Incoming>) -> Response<Body> {
    let key = request.headers().get(SEC_WEBSOCKET_KEY);
    let accept = sockets::accept(key.map_or(b"", |key| key.as_bytes()));
    tokio::spawn(async move {
        let Ok(upgraded) = hyper::upgrade::on(request).await else {
            return;
        };
        let mut io = TokioIo::new(upgraded);
        while let Ok(text) = sockets::read(&mut io).await {
            if sockets::write(&mut io, &text, Side::Server).await.is_err() {
                return;
            }
        }
    });
    let mut response = full("");
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::try_from(accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

/// gRPC call that echoes each message when it arrives, and ends with status 0.
async fn talk(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
    tokio::spawn(async move {
        let mut messages = request.into_body();
        while let Some(Ok(frame)) = messages.frame().await {
            // The last frame may contain trailers instead of data.
            if let Ok(data) = frame.into_data()
                && !data.is_empty()
                && sender.send(Frame::data(data)).await.is_err()
            {
                return;
            }
        }
        let name = HeaderName::from_static("grpc-status");
        let trailers = HeaderMap::from_iter([(name, HeaderValue::from_static("0"))]);
        let _gone = sender.send(Frame::trailers(trailers)).await;
    });
    let mut response = Response::new(body.boxed());
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}
