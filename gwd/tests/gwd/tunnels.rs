//! WebSockets to upstreams over HTTP/2 (RFC 8441).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::Reason;

use crate::fixture::*;
use crate::http2_upstream::{Http2Upstream, ReceivedRequest, head, ok, pour};
use crate::websocket::HANDSHAKE;

/// Accepts an extended CONNECT, sends `hello` and echoes all bytes.
async fn echo_tunnel((request, mut respond): ReceivedRequest) {
    assert_eq!(request.method(), "CONNECT");
    let protocol = request.extensions().get::<h2::ext::Protocol>().unwrap();
    assert_eq!(protocol.as_str(), "websocket");
    let description =
        format!("{:?}", request.headers()).replace(|c: char| !c.is_ascii_graphic(), " ");
    let mut answer = head(200);
    let headers = answer.headers_mut();
    headers.insert("x-asked", description.parse().unwrap());
    headers.insert("sec-websocket-protocol", "chat".parse().unwrap());
    let mut stream = respond.send_response(answer, false).unwrap();
    pour(&mut stream, Bytes::from_static(b"hello")).await;
    let mut body = request.into_body();
    while let Some(Ok(data)) = body.data().await {
        body.flow_control().release_capacity(data.len()).unwrap();
        pour(&mut stream, data).await;
    }
    let _gone = stream.send_data(Bytes::new(), true);
}

fn with_tunnels() -> h2::server::Builder {
    let mut builder = h2::server::Builder::new();
    builder.enable_connect_protocol();
    builder
}

#[test]
fn http1_websocket_becomes_a_stream_of_http2() {
    const SIZE: usize = 6 << 20;
    let upstream = Http2Upstream::with(with_tunnels(), usize::MAX, |_, received| {
        echo_tunnel(received)
    });
    let served = upstream.behind(vec![op("GET", "/ws").websocket()]).serve();
    for _ in 0..2 {
        let mut client = Client::connect(served.address);
        client.send(HANDSHAKE);
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        for expected in [
            // Response value for the sample key of RFC 6455 §1.3.
            "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
            "sec-websocket-protocol: chat",
            "upgrade: websocket",
        ] {
            assert!(head.contains(expected), "{expected}: {head}");
        }
        let received = head
            .lines()
            .find(|line| line.starts_with("x-asked"))
            .unwrap();
        assert!(
            received.contains(r#""sec-websocket-version": "13""#),
            "{received}"
        );
        for gone in ["-key", r#""connection""#, r#""upgrade""#] {
            assert!(!received.contains(gone), "{gone}: {received}");
        }
        assert_eq!(client.some(5), "hello");
        let mut writer = client.another();
        let sent = std::thread::spawn(move || {
            use std::io::Write as _;
            writer.write_all(&vec![b'm'; SIZE]).unwrap();
        });
        assert_eq!(client.bytes(SIZE), vec![b'm'; SIZE]);
        sent.join().unwrap();
        // The client's half-close ends the stream, and the end of the stream closes the client's
        // connection.
        client
            .another()
            .shutdown(std::net::Shutdown::Write)
            .unwrap();
        assert!(client.closed());
    }
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 1, "shared");
}

#[test]
fn http2_upstream_without_websockets_is_reported() {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let without = Http2Upstream::start(move |_, exchange| {
        count.fetch_add(1, Ordering::SeqCst);
        ok(exchange)
    });
    let served = without.behind(vec![op("GET", "/ws").websocket()]).serve();
    let mut client = Client::connect(served.address);
    client.send(HANDSHAKE);
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (502, "upstream_protocol_error")
    );
    assert_eq!(
        requests.load(Ordering::SeqCst),
        0,
        "the upstream got no request"
    );

    let declines = |_, (_, mut respond): ReceivedRequest| async move {
        let mut stream = respond.send_response(head(403), false).unwrap();
        stream.send_data(Bytes::from_static(b"no"), true).unwrap();
    };
    let upstream = Http2Upstream::with(with_tunnels(), usize::MAX, declines);
    let served = upstream.behind(vec![op("GET", "/ws").websocket()]).serve();
    let mut client = Client::connect(served.address);
    for _ in 0..2 {
        client.send(HANDSHAKE);
        let answer = client.answer();
        assert_eq!((answer.status, answer.text()), (403, "no"));
    }
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 1);

    // The upstream resets the stream in the middle, so the client's connection is reset.
    let breaks = |_, (_, mut respond): ReceivedRequest| async move {
        let mut stream = respond.send_response(head(200), false).unwrap();
        pour(&mut stream, Bytes::from_static(b"hello")).await;
        tokio::task::yield_now().await;
        stream.send_reset(Reason::INTERNAL_ERROR);
    };
    let upstream = Http2Upstream::with(with_tunnels(), usize::MAX, breaks);
    let served = upstream.behind(vec![op("GET", "/ws").websocket()]).serve();
    let mut client = Client::connect(served.address);
    client.send(HANDSHAKE);
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    assert!("hello".starts_with(&client.rest()));
}

/// RFC 6455 §4.1: a client must fail a connection with a protocol that it did not offer.
#[test]
fn http2_tunnel_with_another_protocol_is_refused() {
    let upstream = Http2Upstream::with(with_tunnels(), usize::MAX, |_, received| {
        echo_tunnel(received)
    });
    let served = upstream.behind(vec![op("GET", "/ws").websocket()]).serve();
    let mut client = Client::connect(served.address);
    client.send(&HANDSHAKE.replace("sec-websocket-protocol: chat\r\n", ""));
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (502, "upstream_protocol_error")
    );
}

/// An upstream that answers an extended CONNECT like a GET has not accepted the WebSocket.
#[test]
fn http2_response_with_an_end_is_no_tunnel() {
    let counted = ("content-length", "5");
    for (status, field, is_last) in [
        (200, Some(counted), false),
        (204, None, true),
        (204, None, false),
        (205, None, false),
        (200, None, true),
    ] {
        let upstream = Http2Upstream::with(
            with_tunnels(),
            usize::MAX,
            move |_, exchange: ReceivedRequest| async move {
                let (_request, mut respond) = exchange;
                let mut head = head(status);
                if let Some((name, value)) = field {
                    let value = http::HeaderValue::from_static(value);
                    head.headers_mut().insert(name, value);
                }
                let mut stream = respond.send_response(head, is_last).unwrap();
                if !is_last {
                    pour(&mut stream, Bytes::from_static(b"hello")).await;
                }
            },
        );
        let served = upstream.behind(vec![op("GET", "/ws").websocket()]).serve();
        let mut client = Client::connect(served.address);
        client.send(HANDSHAKE);
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (502, "upstream_protocol_error"),
            "{status} {field:?} {is_last}"
        );
    }
}
