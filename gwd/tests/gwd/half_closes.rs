//! Clients that close their sending side and continue to read (RFC 9112 §9.6).

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::Sender;
use std::time::Duration;

use crate::fixture::*;
use crate::pki::Authority;
use crate::slow_clients::serve_files;
use crate::tls::with_certificate_of;

const LARGE: usize = 24 << 20;
const CLOSES: &str = "GET /large HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n";

/// Starts an upstream that answers when the test sends on the returned channel: `ok`, or 24 MiB at
/// `/large`.
fn patient() -> (Sender<()>, Upstream) {
    let (proceed, wait) = gate();
    let upstream = Upstream::start(move |seen, stream| {
        if wait.lock().unwrap().recv().is_err() {
            return Then::Close;
        }
        let body = match seen.line().contains("/large") {
            true => "z".repeat(LARGE),
            false => "ok".to_owned(),
        };
        say(
            stream,
            &format!("content-length: {}\r\n", body.len()),
            &body,
        );
        Then::Keep
    });
    (proceed, upstream)
}

fn ops() -> Vec<Op> {
    vec![op("GET", "/a"), op("GET", "/large"), op("POST", "/a")]
}

/// Makes the upstream answer after the gateway has noticed that the client closed its sending side.
fn answer_later(proceed: &Sender<()>, upstream: &Upstream, count: usize) {
    eventually("the upstream has the request", || {
        upstream.seen().len() == count
    });
    std::thread::park_timeout(Duration::from_millis(100));
    proceed.send(()).unwrap();
}

#[test]
fn half_close_after_connection_close_is_answered() {
    let (proceed, upstream) = patient();
    let served = shop(upstream.address, ops()).serve();
    for (nth, (request, length)) in [
        ("GET /a HTTP/1.0\r\nhost: shop.example\r\n\r\n", 2),
        ("GET /large HTTP/1.0\r\nhost: shop.example\r\n\r\n", LARGE),
        (CLOSES, LARGE),
        (
            "POST /a HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc",
            2,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = Client::connect(served.address);
        client.send(request);
        client.another().shutdown(Shutdown::Write).unwrap();
        answer_later(&proceed, &upstream, nth + 1);
        let answer = client.answer();
        assert_eq!((answer.status, answer.body.len()), (200, length), "{request}");
        assert!(client.closed());
    }
    let errors = ["error_type=\"client_closed\""];
    let requests = "http_server_request_duration_seconds_count";
    assert_eq!(served.metric(requests, &errors), 0.0);
}

#[test]
fn the_same_over_tls_with_its_close_notify() {
    let (proceed, upstream) = patient();
    let mut shop = shop(upstream.address, ops());
    let authority = Authority::new("ca");
    let _certificate = with_certificate_of(&authority, &mut shop);
    let served = serve_files(&shop, gwd::node::TimeLimits::DEFAULT);
    let session = authority.client("shop.example");
    let stream = TcpStream::connect(served.address).unwrap();
    stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
    let mut client = rustls::StreamOwned::new(session, stream);
    client.write_all(CLOSES.as_bytes()).unwrap();
    client.conn.send_close_notify();
    client.flush().unwrap();
    client.sock.shutdown(Shutdown::Write).unwrap();
    answer_later(&proceed, &upstream, 1);
    let mut whole = Vec::new();
    // The connection must end with close_notify; `read_to_end` returns an error otherwise.
    client.read_to_end(&mut whole).unwrap();
    assert!(whole.starts_with(b"HTTP/1.1 200 "));
    assert!(whole.ends_with(b"zzzz"));
    let head = whole.windows(4).position(|four| four == b"\r\n\r\n");
    assert_eq!(whole.len() - head.unwrap() - 4, LARGE);
}

#[test]
fn half_close_on_a_kept_connection_counts_as_gone() {
    let (_never, upstream) = patient();
    let served = shop(upstream.address, ops()).serve();
    let mut client = Client::connect(served.address);
    client.send("GET /a HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    eventually("the upstream has the request", || {
        upstream.seen().len() == 1
    });
    client.another().shutdown(Shutdown::Write).unwrap();
    assert!(client.closed());
    eventually("the request is counted as 499", || {
        served.metric(
            "http_server_request_duration_seconds_count",
            &["status_code=\"499\"", "client_closed"],
        ) == 1.0
    });
}

#[test]
fn endless_response_ends_at_a_half_close() {
    let upstream = Upstream::start(|_, stream| {
        say(stream, "content-type: text/event-stream\r\n", "data: 1\n\n");
        Then::Leave
    });
    let mut events = op("GET", "/a");
    events.forwarding.stream = true;
    let served = shop(upstream.address, vec![events]).serve();
    let mut client = Client::connect(served.address);
    client.send("GET /a HTTP/1.0\r\nhost: shop.example\r\n\r\n");
    client.head();
    assert_eq!(client.some(9), "data: 1\n\n");
    client.another().shutdown(Shutdown::Write).unwrap();
    eventually("the upstream's connection is closed", || {
        served.metric("gwd_upstream_connections", &[]) == 0.0
    });
}

#[test]
fn half_close_inside_a_body_is_400() {
    let (_never, upstream) = patient();
    let served = shop(upstream.address, ops()).serve();
    for framing in [
        "content-length: 100\r\n\r\nabc",
        "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "transfer-encoding: chunked\r\n\r\n64\r\nabc",
    ] {
        let mut client = Client::connect(served.address);
        client.send(&format!("POST /a HTTP/1.1\r\nhost: h\r\n{framing}"));
        client.another().shutdown(Shutdown::Write).unwrap();
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, "request_body_invalid"),
            "{framing}"
        );
        assert!(client.closed());
    }
    eventually("the upstream's connections are closed", || {
        served.metric("gwd_upstream_connections", &[]) == 0.0
    });
    let whole = upstream
        .seen()
        .iter()
        .filter(|seen| seen.body.len() >= 100)
        .count();
    assert_eq!(whole, 0);
}
