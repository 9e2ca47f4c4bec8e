//! Limits of an upstream: connections over all workers, and the length of a response head.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bundle::ir::UpstreamProtocol;
use bytes::Bytes;
use h2::server::Builder;
use http::Response;
use policy::upstream::{Active, ActiveKind};

use crate::fixture::*;
use crate::http2_upstream::Http2Upstream;
use crate::websocket::{HANDSHAKE, agree};

/// Starts an upstream that delays each response until the test sends on the returned channel.
fn holding() -> (Upstream, mpsc::Sender<()>) {
    let (go, wait) = gate();
    let upstream = Upstream::start(move |_, stream| {
        let _ends_with_the_test = wait.lock().unwrap().recv();
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    });
    (upstream, go)
}

fn narrow(upstream: &Upstream, connections: u64) -> Shop {
    let ops = vec![
        op("GET", "/a"),
        op("POST", "/a"),
        op("GET", "/ws").websocket(),
    ];
    let mut shop = shop(upstream.address, ops);
    shop.upstreams[0].limits.connections = connections;
    shop
}

fn waiting(served: &Served) -> f64 {
    served.metric("gwd_upstream_pending_requests", &["main"])
}

#[test]
fn waiting_request_gets_a_returned_connection() {
    let (upstream, go) = holding();
    let served = narrow(&upstream, 1).serve();
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(served.address)).collect();
    for (count, client) in clients.iter_mut().enumerate() {
        client.send("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n");
        eventually("the request waits", || waiting(&served) == count as f64);
    }
    for _ in 0..3 {
        go.send(()).unwrap();
    }
    for client in &mut clients {
        assert_eq!(client.answer().status, 200);
    }
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 1);
    let full = served.metric("gwd_upstream_connections_full_total", &["main"]);
    assert_eq!(full, 2.0);
}

#[test]
fn workers_share_the_connection_limit_of_an_upstream() {
    let (upstream, go) = holding();
    let served = narrow(&upstream, 3).serve_with(3, gwd::node::AccessLog::Off);
    let address = served.address;
    let clients: Vec<_> = (0..12)
        .map(|_| std::thread::spawn(move || get(address, "/a").status))
        .collect();
    eventually("three requests are sent and nine wait", || {
        upstream.seen().len() == 3 && waiting(&served) == 9.0
    });
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 3);
    for _ in 0..12 {
        go.send(()).unwrap();
    }
    for client in clients {
        assert_eq!(client.join().unwrap(), 200);
    }
    assert_eq!(waiting(&served), 0.0);
}

#[test]
fn late_and_excess_waiters_are_refused() {
    let (upstream, go) = holding();
    let mut shop = narrow(&upstream, 1);
    shop.ops[0].timeout_ms = 300;
    shop.upstreams[0].limits.pending = 1;
    let served = shop.serve();
    let mut first = Client::connect(served.address);
    first.send("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n");
    eventually("the upstream has the first request", || {
        upstream.seen().len() == 1
    });
    let mut second = Client::connect(served.address);
    let start = std::time::Instant::now();
    second.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    eventually("the second request waits", || waiting(&served) == 1.0);
    let third = get(served.address, "/a");
    assert!(start.elapsed() < Duration::from_millis(270), "at once");
    let second = second.answer();
    // Allow 20 ms less than 300 ms: deadlines have a resolution of a millisecond, and the clock is
    // read once per loop.
    assert!(start.elapsed() >= Duration::from_millis(280), "in its time");
    for answer in [second, third] {
        let status_and_problem = (answer.status, answer.problem());
        assert_eq!(status_and_problem, (503, "upstream_overflow".to_owned()));
        assert_eq!(answer.field("retry-after"), ["1"]);
    }
    go.send(()).unwrap();
    assert_eq!(first.answer().status, 200);
    assert_eq!(waiting(&served), 0.0);
}

#[test]
fn idle_connection_elsewhere_makes_room() {
    let upstreams = [Upstream::saying("ok"), Upstream::saying("ok")];
    let mut shop = narrow(&upstreams[0], 1);
    shop.upstreams[0].targets =
        service("main", &upstreams.each_ref().map(|one| one.address)).targets;
    shop.upstreams[0].connect_timeout_ms = 1_500;
    let served = shop.serve_with(3, gwd::node::AccessLog::Off);
    for round in 0..60 {
        let method = if round % 2 == 0 { "GET" } else { "POST" };
        let answer = fetch(served.address, method, "/a", "content-length: 0\r\n");
        assert_eq!(answer.status, 200, "request {round}");
    }
    let opened = upstreams.iter();
    let opened = opened.map(|one| one.connections.load(Ordering::SeqCst));
    assert!(opened.sum::<usize>() > 2, "they were closed for each other");
}

/// Behaviours of an upstream that end a request, each with the status that the client gets. `None`:
/// the client disconnects.
fn every_end() -> Vec<(&'static str, Option<u16>)> {
    vec![
        ("answers", Some(200)),
        ("closes", Some(200)),
        ("resets", Some(502)),
        ("breaks off", Some(200)),
        ("hangs", Some(504)),
        ("is left", None),
        ("talks nonsense", Some(502)),
    ]
}

#[test]
fn a_connection_is_given_back_however_it_ends() {
    let how = Arc::new(std::sync::Mutex::new("answers"));
    let current = Arc::clone(&how);
    let upstream = Upstream::start(move |seen, stream| {
        let how = *current.lock().unwrap();
        match how {
            _ if seen.line().contains("/ws") => return agree(seen, stream),
            "answers" => say(stream, "content-length: 2\r\n", "ok"),
            "closes" => say(stream, "connection: close\r\n", "ok"),
            "breaks off" => say(stream, "content-length: 5\r\n", "ok"),
            "talks nonsense" => stream.write_all(b"what?\r\n\r\n").unwrap(),
            "hangs" | "is left" => {
                // Send no response, and wait until the gateway closes the connection.
                let _closed = stream.read(&mut [0]);
            }
            _ => {}
        }
        match how {
            "answers" | "talks nonsense" => Then::Keep,
            _ => Then::Close,
        }
    });
    let mut shop = narrow(&upstream, 1);
    shop.ops[0].timeout_ms = 200;
    shop.upstreams[0].connect_timeout_ms = 1_000;
    let served = shop.serve();
    for (end, status) in every_end() {
        *how.lock().unwrap() = end;
        let before = upstream.seen().len();
        let mut client = Client::connect(served.address);
        client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
        match status {
            Some(status) => {
                let head = client.head();
                assert!(
                    head.starts_with(&format!("HTTP/1.1 {status} ")),
                    "{end}: {head}"
                );
            }
            None => eventually("the upstream has the request", || {
                upstream.seen().len() > before
            }),
        }
        drop(client);
        *how.lock().unwrap() = "answers";
        assert_eq!(
            get(served.address, "/a").status,
            200,
            "after one that {end}"
        );
    }
    let mut client = Client::connect(served.address);
    client.send(HANDSHAKE);
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(get(served.address, "/a").problem(), "upstream_overflow");
    drop(client);
    eventually("the WebSocket's permit is released", || {
        get(served.address, "/a").status == 200
    });
}

#[test]
fn failed_connect_holds_no_permit() {
    let upstream = Upstream::saying("ok");
    let mut shop = narrow(&upstream, 1);
    shop.upstreams.push(service("gone", &[dead()]));
    shop.upstreams[1].limits.connections = 1;
    shop.upstreams[1].connect_timeout_ms = 300;
    // A server that accepts connections and never sends a byte.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut secret = service("secret", &[mute.local_addr().unwrap()]);
    let target = secret.targets.iter().next().unwrap().clone();
    let target = bundle::ir::Target {
        tls: true,
        ..target
    };
    secret.targets = bundle::ir::Set::new(vec![target]).unwrap();
    secret.tls = Some(bundle::ir::UpstreamTls {
        verify: false,
        ..bundle::ir::UpstreamTls::default()
    });
    secret.limits.connections = 1;
    secret.connect_timeout_ms = 200;
    shop.upstreams.push(secret);
    shop.ops.push(op("GET", "/gone").upstream("gone"));
    shop.ops.push(op("GET", "/secret").upstream("secret"));
    let served = shop.serve();
    for _ in 0..3 {
        assert_eq!(
            get(served.address, "/gone").problem(),
            "upstream_connect_failed"
        );
        assert_eq!(
            get(served.address, "/secret").problem(),
            "upstream_connect_timeout"
        );
    }
}

#[test]
fn health_checks_need_no_place() {
    let (upstream, go) = holding();
    let mut shop = narrow(&upstream, 1);
    let mut active = Active::of(&policy::declared::Settings::default());
    (active.kind, active.times.interval_ms) = (ActiveKind::Tcp, 20);
    shop.upstreams[0].health.active = Some(active);
    let served = shop.serve();
    let mut client = Client::connect(served.address);
    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    eventually("the upstream has the request", || {
        upstream.seen().len() == 1
    });
    let passed = || served.metric("gwd_upstream_health_checks_total", &["passed"]);
    let before = passed();
    eventually("more checks have passed", || passed() > before + 2.0);
    go.send(()).unwrap();
    assert_eq!(client.answer().status, 200);
}

#[test]
fn streams_over_the_usual_number_share_connections() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let (seen, wait) = (Arc::<AtomicUsize>::default(), Arc::clone(&gate));
    let count = Arc::clone(&seen);
    let mut builder = Builder::new();
    builder.max_concurrent_streams(4);
    let upstream = Http2Upstream::with(builder, usize::MAX, move |_, (_, mut respond)| {
        count.fetch_add(1, Ordering::SeqCst);
        let wait = Arc::clone(&wait);
        async move {
            wait.acquire().await.unwrap().forget();
            let mut body = respond.send_response(Response::new(()), false).unwrap();
            body.send_data(Bytes::from_static(b"ok"), true).unwrap();
        }
    });
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    shop.upstreams[0].protocol = UpstreamProtocol::H2c;
    shop.upstreams[0].limits.connections = 1;
    let served = shop.serve();
    let address = served.address;
    // The first response shows how many streams the connection allows.
    gate.add_permits(1);
    assert_eq!(get(address, "/a").status, 200);
    let clients: Vec<_> = (0..7)
        .map(|_| std::thread::spawn(move || get(address, "/a").status))
        .collect();
    eventually("the upstream has its maximum of requests", || {
        seen.load(Ordering::SeqCst) == 5
    });
    gate.add_permits(7);
    for client in clients {
        assert_eq!(client.join().unwrap(), 200);
    }
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn fewer_connections_hold_for_those_that_are_there() {
    let (upstream, go) = holding();
    let mut shop = narrow(&upstream, 4);
    let mut served = shop.serve();
    let address = served.address;
    let clients: Vec<_> = (0..4)
        .map(|_| std::thread::spawn(move || get(address, "/a").status))
        .collect();
    eventually("the upstream has all requests", || {
        upstream.seen().len() == 4
    });
    for _ in 0..4 {
        go.send(()).unwrap();
    }
    for client in clients {
        assert_eq!(client.join().unwrap(), 200);
    }
    let idle = |served: &Served| served.metric("gwd_upstream_connections", &["idle"]);
    assert_eq!(idle(&served), 4.0);
    shop.upstreams[0].limits.connections = 1;
    let two = shop.build(&mut served.node, bundle::digest::Digest::of(b"two"));
    served.node.bind(&two).unwrap();
    served.node.publish(&two, 2);
    go.send(()).unwrap();
    assert_eq!(get(address, "/a").status, 200);
    eventually("the other connections are closed", || idle(&served) == 1.0);
}

/// Starts an upstream that answers with a head of this length.
fn long_headed(bytes: usize) -> Upstream {
    Upstream::start(move |_, stream: &mut TcpStream| {
        let start = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-long: ";
        let rest = bytes - start.len() - 4;
        let head = format!("{start}{}\r\n\r\nok", "a".repeat(rest));
        let _gone = stream.write_all(head.as_bytes());
        Then::Keep
    })
}

#[test]
fn response_head_is_bounded_by_its_upstream() {
    for (bytes, most, status) in [
        (65_536, 65_536, 200),
        (65_537, 65_536, 502),
        (2_048, 2_048, 200),
        (2_049, 2_048, 502),
        (200_000, 262_144, 200),
    ] {
        let upstream = long_headed(bytes);
        let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
        shop.upstreams[0].limits.response_header_bytes = most;
        let served = shop.serve();
        let answer = get(served.address, "/a");
        assert_eq!(answer.status, status, "{bytes} of {most}");
        if status == 502 {
            assert_eq!(answer.problem(), "upstream_protocol_error");
        }
    }
}

#[test]
fn response_fields_over_http2_are_bounded() {
    let long = Arc::new(AtomicBool::new(false));
    let is_long = Arc::clone(&long);
    let upstream = Http2Upstream::start(move |_, (_, mut respond)| {
        let length = if is_long.load(Ordering::SeqCst) {
            3_000
        } else {
            100
        };
        async move {
            let response = Response::builder().header("x-long", "a".repeat(length));
            let _reset = respond.send_response(response.body(()).unwrap(), true);
        }
    });
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    shop.upstreams[0].protocol = UpstreamProtocol::H2c;
    shop.upstreams[0].limits.response_header_bytes = 2_048;
    let served = shop.serve();
    assert_eq!(get(served.address, "/a").status, 200);
    long.store(true, Ordering::SeqCst);
    assert_eq!(
        get(served.address, "/a").problem(),
        "upstream_protocol_error"
    );
}
