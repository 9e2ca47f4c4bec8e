//! Circuit breakers, with upstreams that fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bundle::digest::Digest;
use policy::traffic::circuit_breaker::{self, Numbers, Scope};
use policy::traffic::retry::Condition;

use crate::fixture::*;
use crate::retries::retries;

pub(crate) fn breaker(consecutive: u64, scope: Scope) -> circuit_breaker::Checked {
    circuit_breaker::Checked {
        numbers: Numbers {
            consecutive_failures: Some(consecutive),
            open_ms: 100,
            open_max_ms: 200,
            ..Numbers::default()
        },
        scope,
    }
}

#[test]
fn breaker_opens_and_closes_with_the_upstream() {
    let status = Arc::new(AtomicUsize::new(500));
    let upstream = Upstream::telling(&status);
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    shop.upstreams[0].circuit_breaker = Some(breaker(3, Scope::Upstream));
    let served = shop.serve();
    for _ in 0..3 {
        assert_eq!(get(served.address, "/a").status, 500);
    }
    let answer = get(served.address, "/a");
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (503, "circuit_open")
    );
    assert_eq!(answer.field("retry-after"), ["1"]);
    assert_eq!(upstream.seen().len(), 3);
    assert_eq!(served.metric("gwd_circuit_state", &["main"]), 2.0);
    status.store(404, Ordering::SeqCst);
    eventually("a response with 4xx closes the breaker", || {
        get(served.address, "/a").status == 404
    });
    assert_eq!(get(served.address, "/a").status, 404);
    assert_eq!(served.metric("gwd_circuit_state", &["main"]), 0.0);
    let opened = served.metric("gwd_circuit_transitions_total", &["to=\"open\""]);
    assert_eq!(opened, 1.0);
}

#[test]
fn breaker_is_half_open_on_time_without_requests() {
    let upstream = Upstream::telling(&Arc::new(AtomicUsize::new(500)));
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    shop.upstreams[0].circuit_breaker = Some(breaker(1, Scope::Upstream));
    let served = shop.serve();
    assert_eq!(get(served.address, "/a").status, 500);
    eventually("the breaker is half open", || {
        served.metric("gwd_circuit_state", &["main"]) == 1.0
    });
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn an_open_breaker_stays_open_over_a_switch() {
    let upstream = Upstream::telling(&Arc::new(AtomicUsize::new(500)));
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    let mut breaker = breaker(1, Scope::Upstream);
    (breaker.numbers.open_ms, breaker.numbers.open_max_ms) = (60_000, 60_000);
    shop.upstreams[0].circuit_breaker = Some(breaker);
    let mut served = shop.serve();
    assert_eq!(get(served.address, "/a").status, 500);
    shop.expose_bundle = true;
    let version = shop.build(&mut served.node, Digest::of(b"two"));
    served.node.publish(&version, 2);
    assert_eq!(get(served.address, "/a").problem(), "circuit_open");
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn attempt_that_opens_the_breaker_is_the_response() {
    for scope in [Scope::Upstream, Scope::Target] {
        let failing = Upstream::telling(&Arc::new(AtomicUsize::new(500)));
        for (address, expected) in [
            (dead(), (502, "upstream_connect_failed")),
            (failing.address, (500, "-")),
        ] {
            let mut shop = shop(address, vec![op("GET", "/a")]);
            let on = [Condition::ConnectFailure, Condition::ServerError];
            shop.upstreams[0].retries = Some(retries(3, &on));
            shop.upstreams[0].circuit_breaker = Some(breaker(1, scope));
            shop.upstreams[0]
                .circuit_breaker
                .as_mut()
                .unwrap()
                .numbers
                .open_ms = 60_000;
            let served = shop.serve();
            let answer = get(served.address, "/a");
            let code = match answer.status {
                500 => "-".to_owned(),
                _ => answer.problem(),
            };
            assert_eq!((answer.status, code.as_str()), expected, "{scope:?}");
            assert_eq!(get(served.address, "/a").status, 503, "{scope:?}");
        }
        assert_eq!(failing.seen().len(), 1, "{scope:?}");
    }
}

#[test]
fn breaker_of_a_target_leaves_the_others_alone() {
    let status = Arc::new(AtomicUsize::new(500));
    let (bad, good) = (Upstream::telling(&status), Upstream::saying("ok"));
    let mut shop = shop(bad.address, vec![op("GET", "/a")]);
    let mut main = service("main", &[bad.address, good.address]);
    main.circuit_breaker = Some(breaker(2, Scope::Target));
    main.circuit_breaker.as_mut().unwrap().numbers.open_ms = 60_000;
    shop.upstreams = vec![main];
    let served = shop.serve();
    let failed = (0..20).filter(|_| get(served.address, "/a").status == 500);
    assert_eq!(failed.count(), 2);
}

#[test]
fn a_client_that_leaves_a_probe_gives_its_place_back() {
    let hang = Arc::new(AtomicBool::new(false));
    let status = Arc::new(AtomicUsize::new(500));
    let (hanging, current) = (Arc::clone(&hang), Arc::clone(&status));
    let (arrived, there) = std::sync::mpsc::channel();
    let (_never, wait) = gate();
    let upstream = Upstream::start(move |_, stream| {
        use std::io::Write as _;
        if hanging.load(Ordering::SeqCst) {
            arrived.send(()).unwrap();
            let _ends_with_the_test = wait.lock().unwrap().recv();
            return Then::Close;
        }
        let head = format!(
            "HTTP/1.1 {} Told\r\ncontent-length: 0\r\n\r\n",
            current.load(Ordering::SeqCst)
        );
        let _gone = stream.write_all(head.as_bytes());
        Then::Keep
    });
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    let mut breaker = breaker(1, Scope::Upstream);
    // A probe without a result would block further probes for this time.
    (breaker.numbers.open_ms, breaker.numbers.open_max_ms) = (4_000, 4_000);
    shop.upstreams[0].circuit_breaker = Some(breaker);
    let served = shop.serve();
    assert_eq!(get(served.address, "/a").status, 500);
    hang.store(true, Ordering::SeqCst);
    let mut client = Client::connect(served.address);
    eventually("a probe is forwarded", || {
        client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
        loop {
            if there.recv_timeout(Duration::from_millis(50)).is_ok() {
                return true;
            }
            if client.is_answered() {
                assert_eq!(client.answer().status, 503);
                return false;
            }
        }
    });
    hang.store(false, Ordering::SeqCst);
    status.store(200, Ordering::SeqCst);
    assert_eq!(get(served.address, "/a").status, 503, "one probe at once");
    drop(client);
    let start = std::time::Instant::now();
    eventually("another probe is forwarded", || {
        get(served.address, "/a").status == 200
    });
    assert!(start.elapsed() < Duration::from_millis(3_500));
}

/// Starts a gateway whose breaker opens for one second at the first failure. Opens the breaker with
/// a failed request, and waits until it is half open. The upstream then responds with 200.
fn half_open(scope: Scope) -> (Upstream, Served) {
    let status = Arc::new(AtomicUsize::new(500));
    let upstream = Upstream::telling(&status);
    let mut shop = shop(upstream.address, vec![op("GET", "/a"), op("POST", "/a")]);
    let mut breaker = breaker(1, scope);
    (breaker.numbers.open_ms, breaker.numbers.open_max_ms) = (1_000, 60_000);
    shop.upstreams[0].circuit_breaker = Some(breaker);
    let served = shop.serve();
    assert_eq!(get(served.address, "/a").status, 500);
    status.store(200, Ordering::SeqCst);
    eventually("the breaker is half open", || {
        served.metric("gwd_circuit_state", &["main"]) == 1.0
    });
    (upstream, served)
}

#[test]
fn unfinished_upload_is_no_probe() {
    for (length, sent) in [(100, 3), (1 << 20, 70 << 10)] {
        let (_upstream, served) = half_open(Scope::Upstream);
        let mut slow = Client::connect(served.address);
        let head = format!("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\n");
        slow.send(&format!("{head}{}", "x".repeat(sent)));
        eventually("gwd has the request", || {
            served.metric("http_server_active_requests", &[]) == 1.0
        });
        assert_eq!(get(served.address, "/a").status, 200, "{length}");
        eventually("the probe closes the breaker", || {
            served.metric("gwd_circuit_state", &["main"]) == 0.0
        });
        slow.send(&"x".repeat(length - sent));
        assert_eq!(slow.answer().status, 200, "{length}");
    }
}

#[test]
fn complete_uploads_are_probes() {
    let (_upstream, served) = half_open(Scope::Upstream);
    let mut client = Client::connect(served.address);
    client.send("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhe");
    client.send("llo");
    assert_eq!(client.answer().status, 200);
    assert_eq!(served.metric("gwd_circuit_state", &["main"]), 0.0);
}

#[test]
fn time_of_a_slow_client_is_no_slow_call() {
    const SLOW: Duration = Duration::from_millis(1_500);
    let upstream = Upstream::saying("ok");
    for scope in [Scope::Upstream, Scope::Target] {
        let mut shop = shop(upstream.address, vec![op("GET", "/a"), op("POST", "/a")]);
        let mut breaker = breaker(1, scope);
        breaker.numbers = Numbers {
            consecutive_failures: None,
            slow_ms: Some(1_000),
            slow_ppm: Some(1),
            min_requests: 1,
            open_ms: 60_000,
            open_max_ms: 60_000,
            ..breaker.numbers
        };
        shop.upstreams[0].circuit_breaker = Some(breaker);
        let served = shop.serve();
        let mut client = Client::connect(served.address);
        client.send("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\no");
        // Wait for a fixed time, because the test is about a client that sends slowly.
        std::thread::sleep(SLOW);
        client.send("k");
        assert_eq!(client.answer().status, 200, "{scope:?}");
        assert_eq!(get(served.address, "/a").status, 200, "{scope:?}");
    }
}

/// Starts an upstream that gives each request half a second, as servers with a read timeout do, and
/// then closes the connection without a response. Complete requests for `/fail` end in the same way
/// at once, all others are answered.
fn impatient() -> std::net::SocketAddr {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let talk = |mut stream: std::net::TcpStream| {
        let limit = Duration::from_millis(500);
        stream.set_read_timeout(Some(limit)).unwrap();
        let mut read = Vec::new();
        while !read.ends_with(b"ok") && !read.ends_with(b"\r\n\r\n") {
            let mut some = [0; 4096];
            match stream.read(&mut some) {
                Ok(0) | Err(_) => return,
                Ok(count) => read.extend(&some[..count]),
            }
            if read.starts_with(b"POST") && read.ends_with(b"\r\n\r\n") {
                read.push(b'.');
            }
        }
        if !String::from_utf8_lossy(&read).contains("/fail") {
            let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
    };
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || stream.map(talk));
        }
    });
    address
}

#[test]
fn upload_of_a_slow_client_is_no_failure() {
    let address = impatient();
    for scope in [Scope::Upstream, Scope::Target] {
        let ops = vec![op("GET", "/a"), op("POST", "/a"), op("POST", "/fail")];
        let mut shop = shop(address, ops);
        let mut breaker = breaker(2, scope);
        (breaker.numbers.open_ms, breaker.numbers.open_max_ms) = (60_000, 60_000);
        shop.upstreams[0].circuit_breaker = Some(breaker);
        let served = shop.serve();
        for _ in 0..3 {
            let mut slow = Client::connect(served.address);
            slow.send("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\no");
            assert_eq!(slow.answer().problem(), "upstream_reset", "{scope:?}");
        }
        assert_eq!(get(served.address, "/a").status, 200, "{scope:?}");
        // With complete bodies, the same failures count against the upstream.
        let opened = match scope {
            Scope::Upstream => "circuit_open",
            Scope::Target => "no_healthy_upstream",
        };
        for expected in ["upstream_reset", "upstream_reset", opened] {
            let mut client = Client::connect(served.address);
            client.send("POST /fail HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\nok");
            assert_eq!(client.answer().problem(), expected, "{scope:?}");
        }
    }
}

#[test]
fn connection_closed_after_a_large_head_is_no_failure() {
    // Like uWSGI, end the connection without a response if a head has more than 4 KiB.
    let upstream = Upstream::start(|seen, stream| {
        if seen.head.len() > 4_096 || seen.head.contains("/fail") {
            return Then::Close;
        }
        say(stream, "content-length: 0\r\n", "");
        Then::Keep
    });
    for scope in [Scope::Upstream, Scope::Target] {
        let ops = vec![op("GET", "/a"), op("GET", "/fail")];
        let mut shop = shop(upstream.address, ops);
        let mut breaker = breaker(2, scope);
        (breaker.numbers.open_ms, breaker.numbers.open_max_ms) = (60_000, 60_000);
        shop.upstreams[0].circuit_breaker = Some(breaker);
        let served = shop.serve();
        let cookie = format!("cookie: a={}\r\n", "~".repeat(5_000));
        for _ in 0..3 {
            let answer = fetch(served.address, "GET", "/a", &cookie);
            assert_eq!(answer.problem(), "upstream_reset", "{scope:?}");
        }
        assert_eq!(get(served.address, "/a").status, 200, "{scope:?}");
        for _ in 0..2 {
            assert_eq!(get(served.address, "/fail").status, 502, "{scope:?}");
        }
        assert_eq!(get(served.address, "/a").status, 503, "{scope:?}");
    }
}
