//! Idle timeouts of response bodies and WebSockets, and the maximum age of connections. The tests
//! use short timeouts.

use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use gwd::node::{AccessLog, Settings, TimeLimits};
use h2::Reason;

use crate::fixture::*;
use crate::frames::*;
use crate::http2::{Http2, http2, to};
use crate::http2_upstream::{Http2Upstream, ReceivedRequest, head};
use crate::websocket::{HANDSHAKE, agree, websocket};

const REQUESTS: &str = "http_server_request_duration_seconds_count";
const CALLS: &str = "gwd_upstream_connections";

fn time_limits(stream_idle_ms: u64) -> Settings {
    Settings {
        time_limits: TimeLimits {
            stream_idle_ms,
            ..TimeLimits::DEFAULT
        },
        ..settings()
    }
}

/// Starts an upstream that sends these fields and this part of its body, and then nothing. `/ok`
/// gets a complete response.
fn silent(fields: &'static str, body: &'static str) -> Upstream {
    Upstream::start(move |seen, stream| {
        if seen.line().contains(" /ok ") {
            say(stream, "content-length: 2\r\n", "ok");
            return Then::Keep;
        }
        say(stream, fields, body);
        Then::Leave
    })
}

fn ops() -> Vec<Op> {
    vec![op("GET", "/a"), op("POST", "/a"), op("GET", "/ok")]
}

/// Checks that the timeout counts against the upstream and that the upstream's connection is
/// closed.
fn is_the_upstreams(served: &Served, times: f64) {
    eventually("the timeout is counted", || {
        let labels = ["status_code=\"200\"", "error_type=\"upstream_timeout\""];
        served.metric(REQUESTS, &labels) == times
    });
    eventually("the upstream's connection is closed", || {
        served.metric(CALLS, &[]) == 0.0
    });
    assert_eq!(served.metric(REQUESTS, &["client_closed"]), 0.0);
}

#[test]
fn silent_upstream_ends_its_response_midway() {
    let sized = silent("content-length: 100\r\n", "hello");
    let chunked = silent("transfer-encoding: chunked\r\n", "5\r\nhello\r\n");
    let folder = tempfile::tempdir().unwrap();
    for (name, upstream, request, end) in [
        ("sized", &sized, "GET /a HTTP/1.1\r\n", "\r\n\r\nhello"),
        (
            "chunked",
            &chunked,
            "GET /a HTTP/1.1\r\n",
            "\r\n\r\n5\r\nhello\r\n",
        ),
    ] {
        let path = folder.path().join(name);
        let served = shop(upstream.address, ops()).serve_by(Settings {
            access_log: AccessLog::File(path.clone()),
            ..time_limits(300)
        });
        let mut client = Client::connect(served.address);
        client.send(&format!("{request}host: h\r\n\r\n"));
        let whole = client.rest();
        assert!(whole.starts_with("HTTP/1.1 200 "), "{name}: {whole}");
        assert!(whole.ends_with(end), "{name}: {whole}");
        is_the_upstreams(&served, 1.0);
        let mut text = String::new();
        eventually("the request is logged", || {
            text = std::fs::read_to_string(&path).unwrap_or_default();
            text.ends_with('\n')
        });
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        let reasons = ["status", "reason", "error_origin", "reason_detail"].map(|key| &line[key]);
        assert_eq!(
            reasons,
            [
                &serde_json::json!(200),
                &"upstream_timeout".into(),
                &"upstream".into(),
                &"no byte of the body arrived for 300 ms".into()
            ]
        );
        assert_eq!(get(served.address, "/ok").text(), "ok", "{name}");
    }
}

#[test]
fn close_delimited_body_cut_short_is_a_reset() {
    let upstream = silent("transfer-encoding: chunked\r\n", "5\r\nhello\r\n");
    let served = shop(upstream.address, ops()).serve_by(time_limits(300));
    let mut client = Client::connect(served.address);
    client.send("GET /a HTTP/1.0\r\nhost: h\r\n\r\n");
    client.head();
    let (mut stream, mut body) = (client.another(), Vec::new());
    body.extend_from_slice(&client.bytes(5));
    assert_eq!(body, b"hello");
    let end = stream.read(&mut [0]).unwrap_err();
    assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset, "{end}");
    is_the_upstreams(&served, 1.0);
}

#[test]
fn silent_upstream_resets_stream_or_ends_grpc_call() {
    let upstream = silent("content-length: 100\r\n", "hello");
    let grpc = silent(
        "content-type: application/grpc\r\ntransfer-encoding: chunked\r\n",
        "5\r\n\0\0\0\0\0\r\n",
    );
    let mut shop = http2(shop(upstream.address, ops()));
    shop.upstreams.push(service("grpc", &[grpc.address]));
    shop.ops.push(op("POST", "/grpc").upstream("grpc"));
    let served = shop.serve_by(time_limits(300));
    let mut client = Http2::connect(served.address);
    let begun = client.begin(to("GET", "/a"), None);
    let Err(error) = client.end(begun) else {
        panic!("it has no end")
    };
    assert!(error.is_reset() && error.is_remote(), "{error}");
    is_the_upstreams(&served, 1.0);

    let mut request = to("POST", "/grpc");
    let kind = "application/grpc".parse().unwrap();
    request.headers_mut().insert("content-type", kind);
    let begun = client.begin(request, None);
    let whole = client.end(begun).unwrap();
    assert_eq!(whole.body, [0; 5]);
    let trailers = whole.trailers.unwrap();
    assert_eq!(trailers["grpc-status"], "4");
    assert_eq!(
        trailers["grpc-message"],
        "The service did not continue in time (upstream_timeout)"
    );
    is_the_upstreams(&served, 2.0);
    assert_eq!(client.get("/ok").text(), "ok", "the connection continues");
}

#[test]
fn silent_http2_upstream_stream_is_reset_alone() {
    let (sender, resets) = mpsc::channel();
    let upstream = Http2Upstream::start(move |_, (request, mut respond): ReceivedRequest| {
        let sender = sender.clone();
        async move {
            if request.uri().path() == "/ok" {
                return crate::http2_upstream::ok((request, respond)).await;
            }
            let mut stream = respond.send_response(head(200), false).unwrap();
            let some = Bytes::from_static(b"hello");
            stream.send_data(some, false).unwrap();
            let reason = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
            sender.send(reason.unwrap()).unwrap();
        }
    });
    let served = upstream.behind(ops()).serve_by(time_limits(300));
    let mut client = Client::connect(served.address);
    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    assert!(client.rest().ends_with("5\r\nhello\r\n"));
    assert_eq!(resets.recv_timeout(WAIT_MAX).unwrap(), Reason::CANCEL);
    assert_eq!(get(served.address, "/ok").text(), "ok");
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 1);
    let labels = ["error_type=\"upstream_timeout\""];
    assert_eq!(served.metric(REQUESTS, &labels), 1.0);
}

#[test]
fn slow_upstream_with_regular_bytes_is_read_on() {
    let upstream = Upstream::start(|_, stream| {
        say(stream, "content-length: 10\r\n", "");
        for _ in 0..10 {
            std::thread::park_timeout(Duration::from_millis(100));
            stream.write_all(b"x").unwrap();
        }
        Then::Keep
    });
    let served = shop(upstream.address, ops()).serve_by(time_limits(600));
    assert_eq!(get(served.address, "/a").text(), "xxxxxxxxxx");
}

#[test]
fn upload_that_the_upstream_ignores_is_its_failure() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = listener.local_addr().unwrap();
    let served = shop(upstream, ops()).serve_by(time_limits(500));
    let mut client = Client::connect(served.address);
    client.send("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 1073741824\r\n\r\n");
    let mut writer = client.another();
    let writing = std::thread::spawn(move || {
        let piece = vec![b'x'; 1 << 20];
        while writer.write_all(&piece).is_ok() {}
    });
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (504, "upstream_timeout")
    );
    assert_eq!(served.metric(CALLS, &[]), 0.0);
    drop(served);
    writing.join().unwrap();
}

/// Starts an upstream that accepts every WebSocket handshake and reports when the gateway has
/// closed the connection.
fn upstream_reporting_ends() -> (Upstream, mpsc::Receiver<()>) {
    let (sender, ends) = mpsc::channel();
    let upstream = Upstream::start(move |seen, stream| {
        let then = agree(seen, stream);
        sender.send(()).unwrap();
        then
    });
    (upstream, ends)
}

fn tunnel_idle(tunnel_idle_ms: u64) -> Settings {
    Settings {
        time_limits: TimeLimits {
            tunnel_idle_ms,
            ..TimeLimits::DEFAULT
        },
        ..settings()
    }
}

#[test]
fn silent_websocket_ends_in_both_directions() {
    let (upstream, ends) = upstream_reporting_ends();
    let served = http2(websocket(&upstream)).serve_by(tunnel_idle(500));
    let mut client = Client::connect(served.address);
    client.send(HANDSHAKE);
    client.head();
    client.bytes(7);
    // Data in either direction keeps the connection open.
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1_000) {
        client.send("x");
        assert_eq!(client.bytes(1), b"x");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    assert!(client.closed());
    ends.recv_timeout(WAIT_MAX).expect("the upstream is left");
    let labels = ["status_code=\"101\"", "error_type=\"idle_timeout\""];
    eventually("the idle timeout is counted", || {
        served.metric(REQUESTS, &labels) == 1.0
    });
    assert_eq!(served.metric(CALLS, &[]), 0.0);
    eventually("all connections are closed", || {
        served.metric("gwd_downstream_connections", &[]) == 0.0
    });

    // A WebSocket in an HTTP/2 stream ends as well; its connection stays open.
    let mut raw = Raw::connect(served.address);
    let connect = fields(&[
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", "/ws"),
        (":authority", "shop.example"),
        ("sec-websocket-version", "13"),
    ]);
    raw.send(&frame(HEADERS, END_HEADERS, 1, &connect));
    let head = raw.find(|frame| frame.kind == HEADERS).unwrap();
    assert_eq!(head.status(), 200);
    let end = raw
        .find(|frame| frame.kind == RST_STREAM || frame.kind == DATA && frame.flags & END != 0)
        .unwrap();
    assert_eq!(end.stream, 1);
    ends.recv_timeout(WAIT_MAX).expect("the upstream is left");
    let labels = ["status_code=\"200\"", "error_type=\"idle_timeout\""];
    eventually("the idle timeout is counted", || {
        served.metric(REQUESTS, &labels) == 1.0
    });
    raw.send(&frame(PING, 0, 0, &[7; 8]));
    assert!(raw.find(|frame| frame.kind == PING).is_some());
}

fn aged(http2_age_max_ms: u64) -> Settings {
    Settings {
        time_limits: TimeLimits {
            http2_age_max_ms,
            ..TimeLimits::DEFAULT
        },
        ..settings()
    }
}

#[test]
fn old_http2_connection_gets_goaway_and_finishes() {
    let (proceed, wait) = gate();
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let upstream = Upstream::start(move |seen, stream| {
        count.fetch_add(1, Ordering::SeqCst);
        if seen.line().contains(" /a ") {
            wait.lock().unwrap().recv().unwrap();
        }
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    });
    let served = http2(shop(upstream.address, ops())).serve_by(aged(500));
    let (began, mut raw) = (Instant::now(), Raw::connect(served.address));
    raw.send(&asks(1));
    eventually("the upstream has the request", || {
        calls.load(Ordering::SeqCst) == 1
    });
    let goodbye = raw.find(|frame| frame.kind == GOAWAY).unwrap();
    assert_eq!(goodbye.code(), NO_ERROR);
    // The connection ends after 400 to 500 ms, because jitter shortens its maximum age by up to a
    // fifth. Allow 15 ms less for the resolution of deadlines.
    assert!(began.elapsed() >= Duration::from_millis(385));
    proceed.send(()).unwrap();
    let head = raw.find(|frame| frame.kind == HEADERS).unwrap();
    assert_eq!((head.stream, head.status()), (1, 200));
    while raw.next().is_some() {}
    assert!(!raw.1, "the gateway closes behind it");
    eventually("the connection is closed", || {
        served.metric("gwd_downstream_connections", &[]) == 0.0
    });
    let mut client = Http2::connect(served.address);
    assert_eq!(client.get("/ok").text(), "ok");
}

#[test]
fn idle_http2_connection_gets_goaway_and_closes() {
    let upstream = Upstream::saying("ok");
    let mut shop = http2(shop(upstream.address, ops()));
    shop.listener.limits.idle_timeout_ms = 400;
    let served = shop.serve();
    let mut raw = Raw::connect(served.address);
    raw.send(&asks(1));
    let head = raw.find(|frame| frame.kind == HEADERS).unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(raw.goodbye(), Some(NO_ERROR));
    eventually("the connection is closed", || {
        served.metric("gwd_downstream_connections", &[]) == 0.0
    });
}
