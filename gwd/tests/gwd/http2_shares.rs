//! Limits on the connections to an HTTP/2 upstream, and on their streams, that one client may use:
//! other clients are still served.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::fixture::*;
use crate::http2_upstream::{Http2Upstream, ReceivedRequest, head, ok, whole};
use crate::shared_http2::{breaker, reader};

/// Source address of a second client, which is in no common network with the usual client address
/// of tests.
const OTHER_CLIENT: [u8; 4] = [127, 0, 2, 1];

#[test]
fn draining_connections_refuse_no_other_client() {
    let waiting = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&waiting);
    let upstream = Http2Upstream::start(move |_, exchange: ReceivedRequest| {
        let count = Arc::clone(&count);
        async move {
            let path = exchange.0.uri().path().to_owned();
            if path == "/a" {
                return ok(exchange).await;
            }
            let (_request, mut respond) = exchange;
            if path == "/long" {
                let mut stream = respond.send_response(head(200), false).unwrap();
                let _reset = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
                return;
            }
            count.fetch_add(1, Ordering::SeqCst);
            let _reset = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
            count.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let paths = ["/a", "/long", "/wait"];
    let mut shop = upstream.behind(paths.map(|path| op("GET", path)).into());
    shop.upstreams[0].limits.connections = 4;
    let served = shop.serve();
    let mut clients = Vec::new();
    for source in [[127, 0, 0, 1], [127, 0, 0, 1], [127, 0, 3, 1]] {
        let mut long = Client::connect_from(source, served.address);
        long.send("GET /long HTTP/1.1\r\nhost: h\r\n\r\n");
        assert!(long.head().starts_with("HTTP/1.1 200"));
        clients.push(long);
        let mut gone = Client::connect_from(source, served.address);
        gone.send("GET /wait HTTP/1.1\r\nhost: h\r\n\r\n");
        eventually("the request waits", || waiting.load(Ordering::SeqCst) == 1);
        drop(gone);
        eventually("the request ends", || waiting.load(Ordering::SeqCst) == 0);
    }
    // Three of the four connections are in use and draining: on each, a request was cancelled
    // before the upstream had sent anything after that request. The fourth one is reserved for
    // exclusive exchanges.
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 3);
    let other = || {
        let mut client = Client::connect_from(OTHER_CLIENT, served.address);
        client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
        client.answer().status
    };
    assert_eq!(other(), 200);
    assert_eq!(
        upstream.connections.load(Ordering::SeqCst),
        3,
        "a draining connection"
    );
    // The client that cancelled these exchanges gets the fourth connection for one exchange, and
    // its next exchange must wait.
    for number in 1..=2 {
        let mut long = Client::connect(served.address);
        long.send("GET /long HTTP/1.1\r\nhost: h\r\n\r\n");
        match number {
            1 => assert!(long.head().starts_with("HTTP/1.1 200")),
            _ => eventually("the request waits for a connection", || {
                served.metric("gwd_upstream_pending_requests", &[]) == 1.0
            }),
        }
        clients.push(long);
        assert_eq!(upstream.connections.load(Ordering::SeqCst), 4);
        assert_eq!(other(), 200);
    }
    // All exchanges end. After that, all clients share connections again.
    clients.clear();
    eventually("all exchanges end", || {
        served.metric("gwd_upstream_connections_active", &[]) == 0.0
    });
    assert_eq!((other(), get(served.address, "/a").status), (200, 200));
}

#[test]
fn clients_have_shares_of_exclusive_connections() {
    let (upstream, seen) = reader();
    let mut shop = upstream.behind(vec![op("GET", "/a"), op("POST", "/upload")]);
    shop.upstreams[0].limits.connections = 128;
    let served = shop.serve();
    let begin = |mut client: Client| {
        let large = "x".repeat(3_000);
        client.send(&format!(
            "POST /upload HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n\
             bb8\r\n{large}\r\n"
        ));
        client
    };
    let mut uploads = Vec::new();
    for number in 1..=96 {
        uploads.push(begin(Client::connect(served.address)));
        eventually("the upload has begun", || {
            seen.lock().unwrap().len() == number
        });
    }
    let refused = begin(Client::connect(served.address)).answer();
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (503, "upstream_overflow")
    );
    let mut other = begin(Client::connect_from(OTHER_CLIENT, served.address));
    eventually("the upload of another client has begun", || {
        seen.lock().unwrap().len() == 97
    });
    other.send("0\r\n\r\n");
    assert_eq!(other.answer().status, 200);
    assert_eq!(get(served.address, "/a").status, 200);
}

#[test]
fn connection_that_overloads_its_server_is_replaced() {
    let upstream = Http2Upstream::start(|connection, exchange: ReceivedRequest| async move {
        if connection > 0 {
            return ok(exchange).await;
        }
        let (_request, mut respond) = exchange;
        respond.send_reset(h2::Reason::ENHANCE_YOUR_CALM);
    });
    let served = upstream
        .behind(vec![op("GET", "/a"), op("POST", "/a")])
        .serve();
    // A request that is not idempotent is sent only once.
    let post = |expected: u16| {
        let mut client = Client::connect(served.address);
        client.send("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\n\r\nx");
        assert_eq!(client.answer().status, expected);
    };
    post(502);
    post(200);
    assert_eq!(get(served.address, "/a").status, 200);
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 2);
}

#[test]
fn idempotent_request_survives_an_overload() {
    let upstream = Http2Upstream::start(|connection, exchange: ReceivedRequest| async move {
        if connection > 0 || exchange.0.uri().path() == "/first" {
            return ok(exchange).await;
        }
        let (_request, mut respond) = exchange;
        respond.send_reset(h2::Reason::ENHANCE_YOUR_CALM);
    });
    let served = upstream
        .behind(vec![op("GET", "/first"), op("GET", "/a")])
        .serve();
    for path in ["/first", "/a", "/a", "/first"] {
        assert_eq!(get(served.address, path).status, 200, "{path}");
    }
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 2);
}

#[test]
fn one_client_leaves_streams_to_others() {
    let waiting = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&waiting);
    let upstream = Http2Upstream::start(move |_, exchange: ReceivedRequest| {
        let count = Arc::clone(&count);
        async move {
            if exchange.0.uri().path() == "/a" {
                return ok(exchange).await;
            }
            count.fetch_add(1, Ordering::SeqCst);
            let (_request, mut respond) = exchange;
            let _reset = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
        }
    });
    let mut shop = upstream.behind(vec![op("GET", "/a"), op("GET", "/wait")]);
    shop.upstreams[0].limits.connections = 2;
    let served = shop.serve();
    let mut clients = Vec::new();
    // One address may use half of the 200 streams freely, and then at most a quarter more.
    for number in 1..=150 {
        let mut client = Client::connect(served.address);
        client.send("GET /wait HTTP/1.1\r\nhost: h\r\n\r\n");
        eventually("the request waits", || {
            waiting.load(Ordering::SeqCst) == number
        });
        clients.push(client);
    }
    let refused = get(served.address, "/wait");
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (503, "upstream_overflow")
    );
    let mut other = Client::connect_from(OTHER_CLIENT, served.address);
    other.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(other.answer().status, 200);
}

/// Answers `/a`, and holds all other requests until their clients disconnect. Returns the upstream
/// and the number of held requests.
fn holder(builder: h2::server::Builder, goodbye: usize) -> (Http2Upstream, Arc<AtomicUsize>) {
    let waiting = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&waiting);
    let upstream = Http2Upstream::with(builder, goodbye, move |_, exchange: ReceivedRequest| {
        let count = Arc::clone(&count);
        async move {
            if exchange.0.uri().path() == "/a" {
                return ok(exchange).await;
            }
            count.fetch_add(1, Ordering::SeqCst);
            let (_request, mut respond) = exchange;
            let _reset = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
            count.fetch_sub(1, Ordering::SeqCst);
        }
    });
    (upstream, waiting)
}

#[test]
fn connections_after_goaway_refuse_no_other_client() {
    let (upstream, waiting) = holder(h2::server::Builder::new(), 2);
    let mut shop = upstream.behind(vec![op("GET", "/a"), op("GET", "/wait")]);
    shop.upstreams[0].limits.connections = 2;
    let served = shop.serve();
    let mut clients = Vec::new();
    for number in 1..=4 {
        let mut client = Client::connect(served.address);
        client.send("GET /wait HTTP/1.1\r\nhost: h\r\n\r\n");
        clients.push(client);
        eventually("the request waits", || {
            waiting.load(Ordering::SeqCst) == number
        });
        // This is the second request of the connection, after which the upstream accepts no more.
        assert_eq!(get(served.address, "/a").status, 200);
    }
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 4);
}

#[test]
fn wait_for_a_stream_is_no_failure_of_the_host() {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(2);
    let (upstream, waiting) = holder(builder, usize::MAX);
    let mut shop = upstream.behind(vec![op("GET", "/a"), op("GET", "/wait")]);
    shop.upstreams[0].limits.connections = 1;
    shop.upstreams[0].circuit_breaker = Some(breaker());
    for op in shop.ops.iter_mut().filter(|op| op.path == "/a") {
        op.timeout_ms = 500;
    }
    let served = shop.serve();
    assert_eq!(get(served.address, "/a").status, 200);
    let mut clients = Vec::new();
    for number in 1..=2 {
        let mut client = Client::connect(served.address);
        client.send("GET /wait HTTP/1.1\r\nhost: h\r\n\r\n");
        clients.push(client);
        eventually("the request waits", || {
            waiting.load(Ordering::SeqCst) == number
        });
    }
    let refused = get(served.address, "/a");
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (503, "upstream_overflow")
    );
}

#[test]
fn bodies_without_window_hold_up_no_other_body() {
    let seen = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&seen);
    let upstream = Http2Upstream::start(move |_, exchange: ReceivedRequest| {
        let count = Arc::clone(&count);
        async move {
            if exchange.0.uri().path() == "/fast" {
                let (request, mut respond) = exchange;
                if whole(request.into_body()).await.is_ok() {
                    respond.send_response(head(200), true).unwrap();
                }
                return;
            }
            // Hold the request without reading its body.
            count.fetch_add(1, Ordering::SeqCst);
            let (_request, mut respond) = exchange;
            let _reset = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
        }
    });
    let served = upstream
        .behind(vec![op("POST", "/slow"), op("POST", "/fast")])
        .serve();
    let post = |path: &str, size: usize| {
        let mut client = Client::connect(served.address);
        let head = format!("POST {path} HTTP/1.1\r\nhost: h\r\ncontent-length: {size}\r\n\r\n");
        client.send(&(head + &"x".repeat(size)));
        client
    };
    let mut clients = Vec::new();
    for number in 1..=3 {
        clients.push(post("/slow", 60_000));
        eventually("the request has begun", || {
            seen.load(Ordering::SeqCst) == number
        });
    }
    for size in [100, 10_000] {
        assert_eq!(post("/fast", size).answer().status, 200, "{size}");
    }
}
