//! HTTP/2 connections to an upstream that several clients share: neither a request nor the slowness
//! of one client affects the others.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use policy::traffic::circuit_breaker::{self, Numbers, Scope};

use crate::fixture::*;
use crate::http2_upstream::{Http2Upstream, ReceivedRequest, head, ok, pour, whole};

/// Bytes of a large field, which gwd itself accepts.
const LARGE: usize = 10_000;

/// Breaker that one failure opens for a minute.
fn fuse() -> circuit_breaker::Checked {
    circuit_breaker::Checked {
        numbers: Numbers {
            consecutive_failures: Some(1),
            open_ms: 60_000,
            open_max_ms: 60_000,
            ..Numbers::default()
        },
        scope: Scope::Upstream,
    }
}

/// Upstream that accepts header lists of 8 KiB, and the paths that it has seen.
fn strict() -> (Http2Upstream, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let paths = Arc::clone(&seen);
    let mut builder = h2::server::Builder::new();
    builder.max_header_list_size(8 << 10);
    let upstream = Http2Upstream::with(builder, usize::MAX, move |_, asked: ReceivedRequest| {
        paths.lock().unwrap().push(asked.0.uri().path().to_owned());
        async move {
            let (request, mut respond) = asked;
            if whole(request.into_body()).await.is_ok() {
                let mut stream = respond.send_response(head(200), false).unwrap();
                stream.send_data(Bytes::from_static(b"ok"), true).unwrap();
            }
        }
    });
    (upstream, seen)
}

#[test]
fn header_list_over_the_peer_s_maximum_is_not_sent() {
    let (upstream, seen) = strict();
    let ops = ["/a", "/large", "/trailers"].map(|path| op("GET", path));
    let mut shop = upstream.behind(ops.into());
    shop.upstreams[0].circuit_breaker = Some(fuse());
    let served = shop.serve();
    // The first request must wait for the peer's SETTINGS; the second one finds them.
    for _ in 0..2 {
        let large = format!("x-large: {}\r\n", "l".repeat(LARGE));
        let answer = fetch(served.address, "GET", "/large", &large);
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (431, "upstream_head_too_large")
        );
        let answer = get(served.address, "/a");
        assert_eq!(answer.status, 200, "no failure of the upstream");
    }
    assert_eq!(*seen.lock().unwrap(), ["/a", "/a"]);
}

#[test]
fn trailers_over_the_peer_s_maximum_are_not_sent() {
    let (upstream, _seen) = strict();
    let mut shop = upstream.behind(vec![op("GET", "/a"), op("POST", "/a").streaming()]);
    shop.upstreams[0].circuit_breaker = Some(fuse());
    let served = shop.serve();
    assert_eq!(get(served.address, "/a").status, 200);
    let mut client = Client::connect(served.address);
    client.send(&format!(
        "POST /a HTTP/1.1\r\nhost: h\r\nte: trailers\r\ntransfer-encoding: chunked\r\n\
         trailer: x-sum\r\n\r\n3\r\nabc\r\n0\r\nx-sum: {}\r\n\r\n",
        "l".repeat(LARGE)
    ));
    assert_eq!(client.answer().status, 431);
    assert_eq!(get(served.address, "/a").status, 200);
}

#[test]
fn slow_readers_do_not_hold_up_other_responses() {
    let begun = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&begun);
    let upstream = Http2Upstream::start(move |_, asked: ReceivedRequest| {
        let count = Arc::clone(&count);
        async move {
            if asked.0.uri().path() != "/long" {
                return ok(asked).await;
            }
            count.fetch_add(1, Ordering::SeqCst);
            let (_request, mut respond) = asked;
            let mut stream = respond.send_response(head(200), false).unwrap();
            pour(&mut stream, Bytes::from(vec![b'x'; 64 << 20])).await;
        }
    });
    let served = upstream
        .behind(vec![op("GET", "/a"), op("GET", "/long")])
        .serve();
    let readers: Vec<_> = (0..12)
        .map(|_| {
            let mut reader = Client::connect(served.address);
            reader.send("GET /long HTTP/1.1\r\nhost: h\r\n\r\n");
            reader
        })
        .collect();
    eventually("all responses are under way", || {
        begun.load(Ordering::SeqCst) == readers.len()
    });
    // The windows of nearly all streams are used up.
    let windows = f64::from(11 * (64 << 10));
    eventually("responses wait for their readers", || {
        served.metric("gwd_buffered_bytes", &[]) >= windows
    });
    for _ in 0..3 {
        assert_eq!(get(served.address, "/a").status, 200);
    }
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 1, "shared");
}

/// Sends a body of 100 bytes, one byte per chunk, with trailers, and then one of 5,000 bytes. Returns
/// the sizes of the DATA frames at the upstream.
fn frames_of(kind: &str) -> Vec<usize> {
    let sizes = Arc::<Mutex<Vec<usize>>>::default();
    let seen = Arc::clone(&sizes);
    let upstream = Http2Upstream::start(move |_, asked: ReceivedRequest| {
        let seen = Arc::clone(&seen);
        async move {
            let (request, respond) = asked;
            let (parts, mut body) = request.into_parts();
            while let Some(Ok(data)) = body.data().await {
                seen.lock().unwrap().push(data.len());
                body.flow_control().release_capacity(data.len()).unwrap();
            }
            ok((http::Request::from_parts(parts, body), respond)).await;
        }
    });
    let served = upstream.behind(vec![op("POST", "/a")]).serve();
    for (count, size) in [(100, 1), (5, 1_000)] {
        let mut client = Client::connect(served.address);
        client.send(&format!(
            "POST /a HTTP/1.1\r\nhost: h\r\nte: trailers\r\ncontent-type: {kind}\r\n\
             transfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n"
        ));
        let chunk = format!("{size:x}\r\n{}\r\n", "x".repeat(size));
        for _ in 0..count {
            client.send(&chunk);
        }
        client.send("0\r\nx-sum: 1\r\n\r\n");
        assert_eq!(client.answer().status, 200);
    }
    let sizes = sizes.lock().unwrap().clone();
    assert_eq!(sizes.iter().sum::<usize>(), 5_100);
    sizes
}

#[test]
fn small_pieces_of_uploads_share_frames() {
    let sizes = frames_of("text/plain");
    assert_eq!(sizes[0], 100, "{sizes:?}");
    let (last, others) = sizes[1..].split_last().unwrap();
    assert!(others.iter().all(|size| *size >= 2_048), "{sizes:?}");
    assert!(*last > 0, "{sizes:?}");
    // Each piece of a gRPC call may be a message that its peer awaits.
    let sizes = frames_of("application/grpc");
    assert!(sizes.len() > 20, "{sizes:?}");
}

#[test]
fn request_trailers_are_not_sent_over_http2() {
    let upstream = Http2Upstream::start(|_, asked: ReceivedRequest| async move {
        let (request, respond) = asked;
        let (parts, mut body) = request.into_parts();
        while let Some(Ok(data)) = body.data().await {
            body.flow_control().release_capacity(data.len()).unwrap();
        }
        let trailers = body.trailers().await.unwrap();
        assert_eq!(trailers.is_some(), parts.uri.path() == "/stream");
        ok((http::Request::from_parts(parts, body), respond)).await;
    });
    let ops = vec![op("POST", "/a"), op("POST", "/stream").streaming()];
    let served = upstream.behind(ops).serve();
    for (path, body) in [
        ("/a", "3\r\nabc\r\n"),
        ("/a", ""),
        ("/stream", "3\r\nabc\r\n"),
    ] {
        let mut client = Client::connect(served.address);
        client.send(&format!(
            "POST {path} HTTP/1.1\r\nhost: h\r\nte: trailers\r\ntransfer-encoding: chunked\r\n\
             trailer: x-sum\r\n\r\n{body}0\r\nx-sum: 1\r\n\r\n"
        ));
        assert_eq!(client.answer().status, 200, "{path}");
    }
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn large_heads_have_a_connection_of_their_own() {
    let upstream = Http2Upstream::start(|_, asked| ok(asked));
    let served = upstream.behind(vec![op("GET", "/a")]).serve();
    for connections in [2, 3] {
        assert_eq!(get(served.address, "/a").status, 200);
        let large = format!("x-large: {}\r\n", "l".repeat(LARGE));
        assert_eq!(fetch(served.address, "GET", "/a", &large).status, 200);
        assert_eq!(upstream.connections.load(Ordering::SeqCst), connections);
    }
}
