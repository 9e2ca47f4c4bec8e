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

/// Circuit breaker that one failure opens for a minute.
pub(crate) fn breaker() -> circuit_breaker::Checked {
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

/// Starts an upstream that accepts header lists of at most 8 KiB. Also returns the list of the
/// paths that the upstream receives.
fn strict() -> (Http2Upstream, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let paths = Arc::clone(&seen);
    let mut builder = h2::server::Builder::new();
    builder.max_header_list_size(8 << 10);
    let upstream = Http2Upstream::with(builder, usize::MAX, move |_, exchange: ReceivedRequest| {
        paths
            .lock()
            .unwrap()
            .push(exchange.0.uri().path().to_owned());
        async move {
            let (request, mut respond) = exchange;
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
    shop.upstreams[0].circuit_breaker = Some(breaker());
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
    shop.upstreams[0].circuit_breaker = Some(breaker());
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
    let upstream = Http2Upstream::start(move |_, exchange: ReceivedRequest| {
        let count = Arc::clone(&count);
        async move {
            if exchange.0.uri().path() != "/long" {
                return ok(exchange).await;
            }
            count.fetch_add(1, Ordering::SeqCst);
            let (_request, mut respond) = exchange;
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
    // The responses have used up the flow-control windows of nearly all streams. The window of a
    // stream is 64 KiB. Up to half of it may be uncounted, because the stream's window update is
    // still pending.
    eventually("responses wait for their readers", || {
        served.metric("gwd_buffered_bytes", &[]) > 11.0 * 3e4
    });
    for _ in 0..3 {
        assert_eq!(get(served.address, "/a").status, 200);
    }
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 1, "shared");
}

/// Sends a body of 100 bytes, one byte per chunk, with trailers, and then a body of 5,000 bytes.
/// Returns the sizes of the DATA frames at the upstream.
fn frames_of(kind: &str) -> Vec<usize> {
    let sizes = Arc::<Mutex<Vec<usize>>>::default();
    let seen = Arc::clone(&sizes);
    let upstream = Http2Upstream::start(move |_, exchange: ReceivedRequest| {
        let seen = Arc::clone(&seen);
        async move {
            let (request, respond) = exchange;
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
    let upstream = Http2Upstream::start(|_, exchange: ReceivedRequest| async move {
        let (request, respond) = exchange;
        let (parts, mut body) = request.into_parts();
        while let Some(Ok(data)) = body.data().await {
            body.flow_control().release_capacity(data.len()).unwrap();
        }
        let trailers = body.trailers().await.unwrap();
        let is_stream = parts.uri.path() == "/stream";
        assert_eq!(trailers.is_some(), is_stream);
        assert_eq!(parts.headers.contains_key("trailer"), is_stream);
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
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 2);
}

#[test]
fn large_heads_have_a_connection_of_their_own() {
    let upstream = Http2Upstream::start(|_, exchange| ok(exchange));
    let served = upstream.behind(vec![op("GET", "/a")]).serve();
    let many: String = (0..61).map(|number| format!("x{number}: a\r\n")).collect();
    // The last value takes 13 bits per byte in the Huffman code of HPACK.
    let large = [("l", LARGE), ("l", 7_200), ("~", 4_500)];
    let large = large.map(|(text, count)| format!("x-large: {}\r\n", text.repeat(count)));
    for fields in large.iter().chain([&many]) {
        assert_eq!(get(served.address, "/a").status, 200);
        assert_eq!(fetch(served.address, "GET", "/a", fields).status, 200);
        // Both connections have been reused.
        assert_eq!(upstream.connections.load(Ordering::SeqCst), 2);
    }
}

#[test]
fn unusual_exchanges_open_no_circuit_breaker() {
    let upstream = Http2Upstream::start(|_, exchange: ReceivedRequest| async move {
        if exchange.0.uri().path() == "/ok" {
            return ok(exchange).await;
        }
        let (_request, mut respond) = exchange;
        respond.send_reset(h2::Reason::ENHANCE_YOUR_CALM);
    });
    let ops = vec![op("GET", "/ok"), op("GET", "/a"), op("POST", "/call")];
    let mut shop = upstream.behind(ops);
    shop.upstreams[0].circuit_breaker = Some(breaker());
    let served = shop.serve();
    let many: String = (0..61).map(|number| format!("x{number}: a\r\n")).collect();
    let coded = format!("x-large: {}\r\n", "~".repeat(2_000));
    for fields in [many, coded] {
        assert_eq!(fetch(served.address, "GET", "/a", &fields).status, 502);
        assert_eq!(get(served.address, "/ok").status, 200);
    }
    let mut call = Client::connect(served.address);
    call.send(
        "POST /call HTTP/1.1\r\nhost: h\r\ncontent-type: application/grpc\r\n\
         transfer-encoding: chunked\r\n\r\n1\r\nx\r\n",
    );
    call.head();
    assert_eq!(get(served.address, "/ok").status, 200);
    assert_eq!(get(served.address, "/a").status, 502);
    assert_eq!(get(served.address, "/ok").status, 503, "an ordinary one");
}

/// Requests that an upstream has seen: path, number of the connection, and `Content-Length`.
pub(crate) type Seen = Arc<Mutex<Vec<(String, usize, Option<String>)>>>;

/// Starts an upstream that reads each request body before it answers. Also returns the list of the
/// requests that the upstream receives.
pub(crate) fn reader() -> (Http2Upstream, Seen) {
    let seen = Seen::default();
    let log = Arc::clone(&seen);
    let upstream = Http2Upstream::start(move |connection, exchange: ReceivedRequest| {
        let (request, respond) = exchange;
        let (parts, body) = request.into_parts();
        let length = parts.headers.get("content-length");
        let length = length.map(|length| length.to_str().unwrap().to_owned());
        let path = parts.uri.path().to_owned();
        log.lock().unwrap().push((path, connection, length));
        async move {
            let mut respond = respond;
            if whole(body).await.is_ok() {
                let mut stream = respond.send_response(head(200), false).unwrap();
                stream.send_data(Bytes::from_static(b"ok"), true).unwrap();
            }
        }
    });
    (upstream, seen)
}

#[test]
fn unfinished_uploads_share_no_connection() {
    let (upstream, seen) = reader();
    let ops = vec![
        op("GET", "/a"),
        op("POST", "/upload"),
        op("POST", "/call"),
        op("POST", "/stream").streaming(),
    ];
    let served = upstream.behind(ops).serve();
    let arrived = |count: usize| {
        eventually("the request has arrived", || {
            seen.lock().unwrap().len() == count
        });
        let (path, connection, _) = seen.lock().unwrap()[count - 1].clone();
        (path, connection)
    };
    let begin = |path: &str, fields: &str, piece: &str| {
        let mut client = Client::connect(served.address);
        client.send(&format!("POST {path} HTTP/1.1\r\nhost: h\r\n{fields}\r\n"));
        client.send(piece);
        client
    };
    let chunked = "transfer-encoding: chunked\r\n";
    let grpc = format!("{chunked}content-type: application/grpc\r\n");
    let large = format!("bb8\r\n{}\r\n", "x".repeat(3_000));
    assert_eq!(get(served.address, "/a").status, 200);
    let mut uploads = Vec::new();
    for (path, fields, piece) in [
        ("/upload", chunked, large.as_str()),
        ("/call", &grpc, "1\r\nx\r\n"),
        ("/stream", chunked, "1\r\nx\r\n"),
        ("/upload", "content-length: 70000\r\n", "some"),
    ] {
        uploads.push(begin(path, fields, piece));
        let number = uploads.len();
        assert_eq!(arrived(number + 1), (path.to_owned(), number));
    }
    // A client that disconnects ends only the upstream connection of its own upload.
    drop(uploads.remove(0));
    assert_eq!(get(served.address, "/a").status, 200);
    assert_eq!(arrived(6).1, 0);
    for upload in &mut uploads[..2] {
        upload.send("0\r\n\r\n");
        assert_eq!(upload.answer().status, 200);
    }
    uploads[2].send(&"x".repeat(69_996));
    assert_eq!(uploads[2].answer().status, 200);
    // A later upload reuses the upstream connection of an earlier upload.
    let mut later = begin("/upload", chunked, &large);
    assert_eq!(arrived(7).1, 2);
    later.send("0\r\n\r\n");
    assert_eq!(later.answer().status, 200);
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 5);
}

#[test]
fn uploads_wait_for_a_connection_of_their_own() {
    let (upstream, seen) = reader();
    let mut shop = upstream.behind(vec![op("GET", "/a"), op("POST", "/upload")]);
    shop.upstreams[0].limits.connections = 1;
    let served = shop.serve();
    assert_eq!(get(served.address, "/a").status, 200);
    let large = "x".repeat(3_000);
    let head = "POST /upload HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut uploads: Vec<_> = (0..2)
        .map(|_| {
            let mut client = Client::connect(served.address);
            client.send(&format!("{head}bb8\r\n{large}\r\n"));
            client
        })
        .collect();
    eventually("one upload waits", || {
        served.metric("gwd_upstream_pending_requests", &[]) == 1.0
            && seen.lock().unwrap().len() == 2
    });
    assert_eq!(
        get(served.address, "/a").status,
        200,
        "it shares a connection"
    );
    for upload in &mut uploads {
        upload.send("0\r\n\r\n");
        assert_eq!(upload.answer().status, 200);
    }
    assert_eq!(get(served.address, "/a").status, 200);
}

#[test]
fn short_upload_is_complete_before_it_is_sent() {
    let (upstream, seen) = reader();
    let ops = vec![op("POST", "/a"), op("POST", "/stream").streaming()];
    let served = upstream.behind(ops).serve();
    let begin = |path: &str, fields: &str, piece: &str| {
        let mut client = Client::connect(served.address);
        client.send(&format!("POST {path} HTTP/1.1\r\nhost: h\r\n{fields}\r\n"));
        client.send(piece);
        client
    };
    let chunked = "transfer-encoding: chunked\r\n";
    let (few, known) = ("3\r\nabc\r\n", "content-length: 6\r\n");
    // These clients disconnect before their bodies are complete: the upstream never gets their
    // requests.
    for (fields, piece) in [(chunked, few), (known, "abc")] {
        drop(begin("/a", fields, piece));
    }
    for (path, fields, piece, rest) in [
        ("/a", chunked, few, "3\r\ndef\r\n0\r\n\r\n"),
        ("/a", known, "abc", "def"),
        ("/stream", known, "abc", "def"),
    ] {
        let mut client = begin(path, fields, piece);
        client.send(rest);
        assert_eq!(client.answer().status, 200);
    }
    let seen = seen.lock().unwrap().clone();
    let expected = ["/a", "/a", "/stream"].map(|path| (path.to_owned(), 0, Some("6".to_owned())));
    assert_eq!(seen, expected);
}

#[test]
fn connection_of_many_cancelled_requests_is_replaced() {
    let (last, waiting) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let (count, newest) = (Arc::clone(&waiting), Arc::clone(&last));
    let upstream = Http2Upstream::start(move |connection, exchange: ReceivedRequest| {
        let (count, newest) = (Arc::clone(&count), Arc::clone(&newest));
        async move {
            newest.store(connection, Ordering::SeqCst);
            if exchange.0.uri().path() == "/a" {
                return ok(exchange).await;
            }
            count.fetch_add(1, Ordering::SeqCst);
            let (_request, mut respond) = exchange;
            let _reset = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
            count.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let served = upstream
        .behind(vec![op("GET", "/a"), op("GET", "/wait")])
        .serve();
    for reset in 1..=16 {
        let mut client = Client::connect(served.address);
        client.send("GET /wait HTTP/1.1\r\nhost: h\r\n\r\n");
        eventually("the request waits", || waiting.load(Ordering::SeqCst) == 1);
        // This response shows the gateway that the connection is alive, so that the next cancelled
        // request alone does not mark the connection as draining.
        assert_eq!(get(served.address, "/a").status, 200);
        drop(client);
        eventually("the request ends", || waiting.load(Ordering::SeqCst) == 0);
        assert_eq!(get(served.address, "/a").status, 200);
        let connection = last.load(Ordering::SeqCst);
        assert_eq!(connection, usize::from(reset == 16), "after {reset}");
    }
}

#[test]
fn connection_of_many_faulty_responses_is_replaced() {
    let (release, gate) = tokio::sync::watch::channel(());
    let is_waiting = Arc::<AtomicUsize>::default();
    let waits = Arc::clone(&is_waiting);
    let upstream = Http2Upstream::start(move |_, exchange: ReceivedRequest| {
        let (mut gate, waits) = (gate.clone(), Arc::clone(&waits));
        async move {
            if exchange.0.uri().path() == "/wait" {
                waits.fetch_add(1, Ordering::SeqCst);
                let _released = gate.changed().await;
                return ok(exchange).await;
            }
            let (_request, mut respond) = exchange;
            let mut response = head(200);
            let length = http::HeaderValue::from_static("5");
            response.headers_mut().insert("content-length", length);
            let mut stream = respond.send_response(response, false).unwrap();
            drop(stream.send_data("abc".into(), true));
        }
    });
    let served = upstream
        .behind(vec![op("GET", "/faulty"), op("GET", "/wait")])
        .serve();
    let mut waiting = Client::connect(served.address);
    waiting.send("GET /wait HTTP/1.1\r\nhost: h\r\n\r\n");
    eventually("the request waits", || {
        is_waiting.load(Ordering::SeqCst) == 1
    });
    let mut faulty = 0;
    while upstream.connections.load(Ordering::SeqCst) == 1 {
        let mut client = Client::connect(served.address);
        client.send("GET /faulty HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
        client.rest();
        faulty += 1;
        assert!(faulty < 200, "the connection is not replaced");
    }
    drop(release);
    assert_eq!(waiting.answer().status, 200);
}

#[test]
fn reset_of_an_upload_ends_a_complete_response_only() {
    let (cut, cuts) = tokio::sync::watch::channel(0);
    let upstream = Http2Upstream::start(move |_, exchange: ReceivedRequest| {
        let mut cuts = cuts.clone();
        async move {
            let (request, mut respond) = exchange;
            let is_complete = request.uri().path() == "/complete";
            let mut stream = respond.send_response(head(200), false).unwrap();
            let half = Bytes::from_static(b"half");
            stream.send_data(half, is_complete).unwrap();
            let count = if is_complete { 1 } else { 2 };
            cuts.wait_for(|cut| *cut == count).await.unwrap();
            stream.send_reset(h2::Reason::NO_ERROR);
        }
    });
    let ops = ["/complete", "/cut"].map(|path| op("POST", path));
    let served = upstream.behind(ops.into()).serve();
    for path in ["/complete", "/cut"] {
        let mut client = Client::connect(served.address);
        client.send(&format!(
            "POST {path} HTTP/1.1\r\nhost: h\r\ncontent-length: 200000\r\n\r\n{}",
            "x".repeat(3_000)
        ));
        assert!(client.head().starts_with("HTTP/1.1 200"));
        cut.send_modify(|count| *count += 1);
        let rest = client.rest();
        assert_eq!(rest.ends_with("0\r\n\r\n"), path == "/complete", "{rest}");
    }
}
