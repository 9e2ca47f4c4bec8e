//! Failing upstreams: dead, slow, or violating the protocol. Also clients that disconnect.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::fixture::*;
use crate::http2_upstream::{Http2Upstream, ReceivedRequest, head};

#[test]
fn an_upstream_that_cannot_be_reached_is_502() {
    let served = shop(dead(), vec![op("GET", "/a")]).serve();
    let answer = get(served.address, "/a");
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (502, "upstream_connect_failed")
    );
    assert_eq!(
        answer.field("proxy-status"),
        ["gwd; error=connection_refused"]
    );
}

#[test]
fn a_dead_target_costs_no_request() {
    let upstream = Upstream::saying("ok");
    let mut shop = shop(upstream.address, vec![op("GET", "/a"), op("POST", "/a")]);
    shop.upstreams = vec![service("main", &[dead(), upstream.address])];
    let served = shop.serve();
    for _ in 0..10 {
        assert_eq!(get(served.address, "/a").status, 200);
        let answer = fetch(served.address, "POST", "/a", "content-length: 0\r\n");
        assert_eq!(answer.status, 200, "no request was sent to the failed host");
    }
}

#[test]
fn an_upstream_without_targets_is_503() {
    let upstream = Upstream::saying("ok");
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    let mut service = service("main", &[upstream.address]);
    let targets = service.targets.iter().cloned().map(|mut target| {
        target.weight = 0;
        target
    });
    service.targets = bundle::ir::Set::new(targets.collect()).unwrap();
    shop.upstreams = vec![service];
    let served = shop.serve();
    let answer = get(served.address, "/a");
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (503, "no_healthy_upstream")
    );
    assert_eq!(answer.field("retry-after"), ["1"]);
}

#[test]
fn a_slow_answer_is_504() {
    let (_never, wait) = gate();
    let upstream = Upstream::start(move |_, _| {
        let _ends_with_the_test = wait.lock().unwrap().recv();
        Then::Close
    });
    let mut slow = op("GET", "/a");
    slow.timeout_ms = 60;
    let served = shop(upstream.address, vec![slow]).serve();
    let mut client = Client::connect(served.address);
    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (504, "upstream_timeout")
    );
    assert_eq!(
        answer.field("proxy-status"),
        ["gwd; error=http_response_timeout"]
    );
    client.send("GET /nothing HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(
        client.answer().status,
        404,
        "the client's connection stays open"
    );
}

#[test]
fn upstream_timeout_begins_after_the_request_was_sent() {
    let upstream = Upstream::echoing();
    let mut slow = op("POST", "/a");
    slow.timeout_ms = 100;
    let served = shop(upstream.address, vec![slow]).serve();
    let mut client = Client::connect(served.address);
    client.send("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\na");
    // Wait for longer than the request timeout. During an upload only the upload's own deadline
    // applies.
    std::thread::sleep(std::time::Duration::from_millis(250));
    client.send("b");
    assert_eq!(client.answer().status, 200);
}

/// Starts an upstream that answers the first request of each connection, and closes the connection
/// when a second request arrives.
fn rude() -> (Upstream, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let upstream = Upstream::start(move |seen, stream| {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        if number == 1 && seen.connection == 0 {
            return Then::Close;
        }
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    });
    (upstream, count)
}

#[test]
fn stale_connection_is_replaced_once_if_repeatable() {
    let (upstream, count) = rude();
    let served = shop(upstream.address, vec![op("GET", "/a")]).serve();
    assert_eq!(get(served.address, "/a").status, 200);
    assert_eq!(
        get(served.address, "/a").status,
        200,
        "sent again on a new connection"
    );
    assert_eq!(count.load(Ordering::SeqCst), 3);
    let seen = upstream.seen();
    assert_eq!(seen[2].field("via"), ["1.1 gwd"], "prepared once");
    assert_eq!(seen[2].field("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(
        served.metric("gwd_upstream_retries_total", &["reused_conn_reset"]),
        1.0
    );
}

#[test]
fn possibly_processed_post_is_not_repeated() {
    let (_upstream, count) = rude();
    let served = shop(_upstream.address, vec![op("POST", "/a")]).serve();
    let post = || fetch(served.address, "POST", "/a", "content-length: 0\r\n");
    assert_eq!(post().status, 200);
    let answer = post();
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (502, "upstream_reset")
    );
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[test]
fn a_fresh_connection_that_breaks_is_not_tried_again() {
    let upstream = Upstream::start(|_, _| Then::Close);
    let served = shop(upstream.address, vec![op("GET", "/a")]).serve();
    let answer = get(served.address, "/a");
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (502, "upstream_reset")
    );
    let expected = ["gwd; error=connection_terminated"];
    assert_eq!(answer.field("proxy-status"), expected);
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn truncated_response_is_truncated_at_the_client() {
    let upstream = Upstream::start(|_, stream| {
        say(stream, "content-length: 100\r\n", "only this");
        Then::Close
    });
    let served = shop(upstream.address, vec![op("GET", "/a")]).serve();
    let answer = get(served.address, "/a");
    assert_eq!(
        (answer.status, answer.body.len()),
        (200, 9),
        "cut, not padded"
    );
    let upstream = Upstream::start(|_, stream| {
        say(stream, "transfer-encoding: chunked\r\n", "3\r\nabc\r\n");
        Then::Close
    });
    let served = shop(upstream.address, vec![op("GET", "/a")]).serve();
    let mut client = Client::connect(served.address);
    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    assert!(
        !client.rest().contains("\r\n0\r\n"),
        "no end that the upstream did not send"
    );
}

/// Sends a request to an upstream that repeats these bytes instead of a response. Returns the
/// status and problem code that the client gets.
fn babble(bytes: &'static [u8]) -> (u16, String) {
    let upstream = Upstream::start(move |seen, stream| {
        if seen.line().contains("/fine") {
            say(stream, "content-length: 2\r\n", "ok");
            return Then::Keep;
        }
        while stream.write_all(bytes).is_ok() {}
        Then::Close
    });
    let served = shop(upstream.address, vec![op("GET", "/a"), op("GET", "/fine")]).serve();
    let answer = get(served.address, "/a");
    assert_eq!(
        get(served.address, "/fine").text(),
        "ok",
        "other exchanges continue"
    );
    (answer.status, answer.problem())
}

#[test]
fn flood_of_interim_responses_or_fields_is_502() {
    let protocol = (502, "upstream_protocol_error".to_owned());
    assert_eq!(
        babble(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
        protocol
    );
    assert_eq!(babble(b"HTTP/1.1 102 Processing\r\n\r\n"), protocol);
    // A status line, followed by folded field lines without an end.
    assert_eq!(
        babble(b"HTTP/1.1 200 OK\r\nx: "),
        protocol,
        "one field that never ends"
    );
    assert_eq!(babble(&[b'x'; 4_096]), protocol, "no status line at all");
}

#[test]
fn status_101_over_http2_is_502() {
    let upstream = Http2Upstream::start(|_, (request, mut respond): ReceivedRequest| async move {
        if request.uri().path() == "/a" {
            respond.send_informational(head(101)).unwrap();
        }
        let _gone = respond.send_response(head(204), true);
    });
    let ops = vec![op("GET", "/a"), op("GET", "/fine")];
    let served = upstream.behind(ops).serve();
    let answer = get(served.address, "/a");
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (502, "upstream_protocol_error")
    );
    assert_eq!(get(served.address, "/fine").status, 204);
}

#[test]
fn half_a_head_is_502_and_nothing_of_it_passes() {
    let upstream = Upstream::start(|_, stream| {
        let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\nx-half: yes\r\ncontent-le");
        Then::Close
    });
    let served = shop(upstream.address, vec![op("GET", "/a")]).serve();
    let answer = get(served.address, "/a");
    assert_eq!(answer.status, 502);
    assert!(answer.field("x-half").is_empty());
    assert!(
        answer.problem().starts_with("upstream_"),
        "{}",
        answer.problem()
    );
}

#[test]
fn a_body_that_is_too_large_is_413() {
    let upstream = Upstream::echoing();
    let mut small = op("POST", "/a");
    small.max_body_bytes = Some(10);
    let served = shop(upstream.address, vec![small]).serve();
    let mut client = Client::connect(served.address);
    client.send("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 11\r\n\r\n");
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (413, "body_too_large")
    );
    assert!(upstream.seen().is_empty(), "the length alone is enough");
    let mut client = Client::connect(served.address);
    client
        .send("POST /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n8\r\n12345678\r\n");
    client.send("8\r\n12345678\r\n0\r\n\r\n");
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (413, "body_too_large")
    );
    let mut client = Client::connect(served.address);
    client.send("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\n1234567890");
    assert_eq!(client.answer().status, 200);
}

#[test]
fn failed_upload_logs_the_bytes_that_were_read() {
    let upstream = Upstream::echoing();
    let mut small = op("POST", "/a");
    small.max_body_bytes = Some(10);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let log = gwd::node::AccessLog::File(path.clone());
    let served = shop(upstream.address, vec![small]).serve_with(1, log);
    let mut client = Client::connect(served.address);
    let head = "POST /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";
    client.send(&format!(
        "{head}8\r\n12345678\r\n8\r\n12345678\r\n0\r\n\r\n"
    ));
    assert_eq!(client.answer().status, 413);
    let mut text = String::new();
    eventually("the request is logged", || {
        text = std::fs::read_to_string(&path).unwrap_or_default();
        text.ends_with('\n')
    });
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&line["status"], &line["bytes_in"]),
        (&413.into(), &16.into())
    );
}

#[test]
fn early_response_passes_and_closes_the_connection() {
    let upstream = Upstream::start(|_, stream| {
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    });
    let early = {
        // The upstream answers before the request's body has arrived.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut first = [0; 16];
                std::io::Read::read_exact(&mut stream, &mut first).unwrap();
                let _gone =
                    stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
                std::thread::spawn(move || {
                    let mut scrap = [0; 1024];
                    while std::io::Read::read(&mut stream, &mut scrap).is_ok_and(|n| n > 0) {}
                });
            }
        });
        address
    };
    let mut shop = shop(upstream.address, vec![op("POST", "/a").upstream("early")]);
    shop.upstreams.push(service("early", &[early]));
    let served = shop.serve();
    let mut client = Client::connect(served.address);
    client.send("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 1000000\r\n\r\nabc");
    let answer = client.answer();
    assert_eq!((answer.status, answer.text()), (403, "no"));
    eventually("the connection is closed", || {
        served.metric("gwd_upstream_connections", &["upstream=\"early\""]) == 0.0
    });
}

#[test]
fn a_client_that_goes_away_takes_its_request_with_it() {
    let (_never, wait) = gate();
    let (arrived, there) = std::sync::mpsc::channel();
    let upstream = Upstream::start(move |_, _| {
        arrived.send(()).unwrap();
        let _ends_with_the_test = wait.lock().unwrap().recv();
        Then::Close
    });
    let served = shop(upstream.address, vec![op("GET", "/a")]).serve();
    let mut client = Client::connect(served.address);
    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    there.recv().unwrap();
    drop(client);
    eventually("the request is counted as 499", || {
        served.metric(
            "http_server_request_duration_seconds_count",
            &["status_code=\"499\"", "client_closed"],
        ) == 1.0
    });
    eventually("the upstream's connection is closed", || {
        served.metric("gwd_upstream_connections", &["state=\"active\""]) == 0.0
    });
    assert_eq!(served.metric("http_server_active_requests", &[]), 0.0);
}
