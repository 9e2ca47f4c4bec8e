//! Client and upstream connections: reuse, pipelining, overload, timeouts, drain.

use std::io::Write as _;
use std::time::Duration;

use crate::fixture::*;
use crate::frames::{self, DATA, END, END_HEADERS, HEADERS, Raw};
use crate::http2::http2;
use gwd::node::AccessLog;

#[test]
fn connections_are_kept_on_both_sides() {
    let upstream = Upstream::saying("ok");
    let served = shop(upstream.address, vec![op("GET", "/a")]).serve();
    let mut client = Client::connect(served.address);
    for _ in 0..20 {
        client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
        assert_eq!(client.answer().text(), "ok");
    }
    let connections: std::collections::BTreeSet<usize> =
        upstream.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections.len(), 1, "one upstream connection for all");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::echoing();
    let served = shop(upstream.address, vec![op("GET", "/a").prefix()]).serve();
    let mut client = Client::connect(served.address);
    let requests: String = (0..10)
        .map(|i| format!("GET /a/{i} HTTP/1.1\r\nhost: h\r\n\r\n"))
        .collect();
    client.send(&requests);
    for i in 0..10 {
        let answer = client.answer();
        assert!(
            answer.text().starts_with(&format!("GET /a/{i} ")),
            "{}",
            answer.text()
        );
    }
}

/// A connection lets others run between pipelined requests that it answers without waiting. It
/// answers all of them, without further input from the client.
#[test]
fn many_pipelined_refusals_are_answered_in_order() {
    let upstream = Upstream::echoing();
    let served = shop(upstream.address, vec![op("GET", "/a").prefix()]).serve();
    let mut client = Client::connect(served.address);
    let requests: String = (0..200)
        .map(|i| {
            let path = if i % 50 == 49 { "a" } else { "none" };
            format!("GET /{path}/{i} HTTP/1.1\r\nhost: h\r\n\r\n")
        })
        .collect();
    client.send(&requests);
    for i in 0..200 {
        let answer = client.answer();
        match i % 50 {
            49 => assert!(answer.text().starts_with(&format!("GET /a/{i} "))),
            _ => assert_eq!(answer.status, 404, "{i}"),
        }
    }
}

#[test]
fn old_clients_get_what_they_understand() {
    let upstream = Upstream::start(|_, stream| {
        say(
            stream,
            "transfer-encoding: chunked\r\n",
            "2\r\nok\r\n0\r\n\r\n",
        );
        Then::Keep
    });
    let served = shop(upstream.address, vec![op("GET", "/a")]).serve();
    let mut client = Client::connect(served.address);
    client.send("GET /a HTTP/1.0\r\nhost: h\r\n\r\n");
    let rest = client.rest();
    assert!(rest.ends_with("\r\n\r\nok"), "no chunks: {rest}");
    let mut client = Client::connect(served.address);
    client.send("GET /a HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
    assert_eq!(client.answer().text(), "ok");
    assert!(client.closed());
}

#[test]
fn head_is_derived_from_get() {
    let upstream = Upstream::start(|seen, stream| {
        let body = if seen.line().starts_with("HEAD") {
            ""
        } else {
            "hello"
        };
        say(stream, "content-length: 5\r\n", body);
        Then::Keep
    });
    let served = shop(upstream.address, vec![op("GET", "/a")]).serve();
    let mut client = Client::connect(served.address);
    for _ in 0..2 {
        client.send("HEAD /a HTTP/1.1\r\nhost: h\r\n\r\n");
        let answer = client.answer_to("HEAD");
        assert_eq!(
            (answer.status, answer.field("content-length")),
            (200, vec!["5"])
        );
        client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
        assert_eq!(client.answer().text(), "hello");
    }
    assert_eq!(upstream.seen()[0].line(), "HEAD /a HTTP/1.1");
}

#[test]
fn response_without_a_body_keeps_the_connection() {
    let upstream = Upstream::start(|seen, stream| {
        let status = if seen.line().contains("/a/304") {
            "304 Not Modified"
        } else {
            "204 No Content"
        };
        let _gone = write!(stream, "HTTP/1.1 {status}\r\netag: \"x\"\r\n\r\n");
        Then::Keep
    });
    let served = shop(upstream.address, vec![op("GET", "/a").prefix()]).serve();
    let mut client = Client::connect(served.address);
    for status in [204, 304, 204] {
        client.send(&format!("GET /a/{status} HTTP/1.1\r\nhost: h\r\n\r\n"));
        assert_eq!(client.answer().status, status);
    }
    assert_eq!(
        upstream
            .connections
            .load(std::sync::atomic::Ordering::SeqCst),
        1
    );
}

#[test]
fn a_listener_sheds_what_is_more_than_it_may_have() {
    let upstream = Upstream::saying("ok");
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    shop.listener.limits.connections = 1;
    let served = shop.serve();
    let mut first = Client::connect(served.address);
    first.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(first.answer().status, 200);
    let mut second = Client::connect(served.address);
    let rest = second.rest();
    assert!(rest.starts_with("HTTP/1.1 503 "), "{rest}");
    assert!(rest.contains("retry-after: 1"), "{rest}");
    assert_eq!(
        served.metric("gwd_overload_shed_total", &["connections"]),
        1.0
    );
    drop(first);
    eventually("a new connection is served", || {
        let mut client = Client::connect(served.address);
        client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
        client.rest_or_head().contains(" 200 ")
    });
}

#[test]
fn an_idle_connection_and_a_slow_head_end() {
    let upstream = Upstream::saying("ok");
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    shop.listener.limits.idle_timeout_ms = 150;
    shop.listener.limits.header_timeout_ms = 80;
    let served = shop.serve();
    let mut idle = Client::connect(served.address);
    idle.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(idle.answer().status, 200);
    assert!(idle.closed(), "idle");
    let mut slow = Client::connect(served.address);
    slow.send("GET /a HTTP/1.1\r\nho");
    let rest = slow.rest();
    assert!(rest.starts_with("HTTP/1.1 408 "), "{rest}");
    assert_eq!(
        served.metric("gwd_rejections_total", &["header_timeout"]),
        1.0
    );
}

#[test]
fn expectation_waits_for_the_chain_and_the_upstream() {
    let upstream = Upstream::echoing();
    let shop = shop(
        upstream.address,
        vec![op("POST", "/a"), op("POST", "/mine").secured("key")],
    );
    let served = shop.serve();
    let mut client = Client::connect(served.address);
    client.send(
        "POST /mine HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n",
    );
    let head = client.head();
    assert!(
        head.starts_with("HTTP/1.1 401 "),
        "no 100 before the chain: {head}"
    );
    let mut client = Client::connect(served.address);
    client.send("POST /a HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 100 "));
    client.send("abc");
    let answer = client.answer();
    assert_eq!(answer.status, 200);
    let seen = upstream.only();
    assert_eq!(
        (seen.field("expect"), &seen.body[..]),
        (vec!["100-continue"], &b"abc"[..])
    );
}

#[test]
fn drain_finishes_requests_and_refuses_connections() {
    let (proceed, wait) = gate();
    let (arrived, there) = std::sync::mpsc::channel();
    let upstream = Upstream::start(move |_, stream| {
        arrived.send(()).unwrap();
        wait.lock().unwrap().recv().unwrap();
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    });
    let mut served = shop(upstream.address, vec![op("GET", "/a")]).serve();
    let address = served.address;
    let mut idle = Client::connect(address);
    let mut busy = Client::connect(address);
    busy.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    there.recv().unwrap();
    let draining = std::thread::spawn(move || {
        let forced = served.node.drain(WAIT_MAX, &|| false);
        (served, forced)
    });
    assert!(idle.closed(), "idle connections end");
    eventually("new connections are refused", || {
        std::net::TcpStream::connect(address).is_err()
    });
    proceed.send(()).unwrap();
    let answer = busy.answer();
    assert_eq!((answer.status, answer.text()), (200, "ok"));
    assert_eq!(answer.field("connection"), ["close"]);
    let (_served, forced) = draining.join().unwrap();
    assert_eq!(forced, 0);
}

#[test]
fn a_drain_that_takes_too_long_counts_what_it_cuts() {
    let (_proceed, wait) = gate();
    let (arrived, there) = std::sync::mpsc::channel();
    let upstream = Upstream::start(move |_, _| {
        arrived.send(()).unwrap();
        let _ends_with_the_test = wait.lock().unwrap().recv();
        Then::Close
    });
    let mut served = shop(upstream.address, vec![op("GET", "/a")]).serve_with(2, AccessLog::Off);
    let mut busy = Client::connect(served.address);
    busy.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    there.recv().unwrap();
    assert_eq!(served.node.drain(Duration::from_millis(20), &|| false), 1);
    assert_eq!(served.metric("gwd_drain_forced_closes_total", &[]), 1.0);
}

#[test]
fn connection_is_used_no_longer_than_its_server_says() {
    // A field in the upstream's responses, and the number of upstream connections that two requests
    // 700 ms apart use.
    for (fields, connections) in [
        ("", 1),
        ("keep-alive: timeout=5, max=100\r\n", 1),
        ("keep-alive: timeout=1\r\n", 2),
    ] {
        let upstream = Upstream::start(move |_, stream| {
            say(stream, &format!("content-length: 2\r\n{fields}"), "ok");
            Then::Keep
        });
        let served = shop(upstream.address, vec![op("GET", "/a")]).serve();
        let mut client = Client::connect(served.address);
        for again in [false, true] {
            if again {
                // With `timeout=1` the gateway reuses the connection for half a second only.
                std::thread::sleep(Duration::from_millis(700));
            }
            client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
            let answer = client.answer();
            assert_eq!(answer.text(), "ok");
            assert!(answer.field("keep-alive").is_empty(), "{}", answer.head);
        }
        let last = upstream.seen().last().map(|seen| seen.connection + 1);
        assert_eq!(last, Some(connections), "{fields}");
    }
}

#[test]
fn expectation_with_a_present_body_does_not_wait() {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // The upstream sends no 100 (Continue) and waits for the whole body.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut seen = Vec::new();
            while !seen.ends_with(b"hello") {
                let mut byte = [0];
                if stream.read(&mut byte).unwrap_or(0) == 0 {
                    return;
                }
                seen.push(byte[0]);
            }
            let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    });
    let served = http2(shop(address, vec![op("POST", "/a")])).serve();
    let mut client = Client::connect(served.address);
    let began = std::time::Instant::now();
    client.send(
        "POST /a HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\nhello",
    );
    assert_eq!(client.answer().status, 200);
    assert!(began.elapsed() < Duration::from_millis(900));
    let began = std::time::Instant::now();
    let mut raw = Raw::connect(served.address);
    let fields = [("expect", "100-continue"), ("content-length", "5")];
    let head = frames::frame(HEADERS, END_HEADERS, 1, &frames::request("POST", &fields));
    raw.send(&[head, frames::frame(DATA, END, 1, b"hello")].concat());
    // A 100 (Continue) may precede the response, if gwd reads the head before the body.
    let is_final = |frame: &frames::Frame| frame.kind == HEADERS && frame.status() == 200;
    let answered = std::iter::from_fn(|| raw.next()).find(is_final);
    assert!(answered.is_some());
    assert!(began.elapsed() < Duration::from_millis(900), "over HTTP/2");
}

#[test]
fn upload_after_a_refusal_is_read_up_to_a_bound() {
    use std::io::Write as _;
    let upstream = Upstream::saying("ok");
    let served = shop(upstream.address, vec![op("POST", "/a")]).serve();
    let mut client = Client::connect(served.address);
    client.send("POST /nothing HTTP/9\r\nhost: h\r\n\r\n");
    let mut stream = client.another();
    let piece = [b'x'; 65_536];
    let sent = (0..2_000).find(|_| stream.write_all(&piece).is_err());
    // Allow more pieces than the limit, because kernel buffers also hold data.
    assert!(sent.is_some_and(|pieces| pieces < 1_600), "{sent:?}");
}
