//! Retries: choice of the host, repeated bodies, and the time limit over all attempts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use policy::traffic::retry::{self, Condition};

use crate::fixture::*;
use crate::http2_upstream::{Http2Upstream, ReceivedRequest, ok};

pub(crate) fn retries(attempts: u64, on: &[Condition]) -> retry::Checked {
    let mut retry = retry::Checked::of(&policy::declared::Settings::default());
    retry.times.attempts = attempts;
    retry.times.backoff_base_ms = 1;
    retry.on = on.to_vec();
    retry
}

#[test]
fn failed_attempt_goes_to_another_host_with_count() {
    let (bad, good) = (
        Upstream::telling(&Arc::new(AtomicUsize::new(503))),
        Upstream::telling(&Arc::new(AtomicUsize::new(200))),
    );
    let mut shop = shop(bad.address, vec![op("GET", "/a"), op("POST", "/a")]);
    let mut main = service("main", &[bad.address, good.address]);
    main.retries = Some(retries(1, &[Condition::GatewayError]));
    shop.upstreams = vec![main];
    let served = shop.serve();
    for _ in 0..10 {
        let answer = fetch(served.address, "GET", "/a", "x-gateway-attempt: 7\r\n");
        assert_eq!(answer.status, 200);
    }
    for seen in good.seen() {
        let tries = seen.field("x-gateway-attempt");
        assert!(tries.is_empty() || tries == ["2"], "{tries:?}");
    }
    assert!(
        bad.seen()
            .iter()
            .all(|seen| seen.field("x-gateway-attempt").is_empty())
    );
    let count = bad.seen().len();
    assert!((4..=6).contains(&count), "{count}: half begin there");
    let retried = served.metric("gwd_upstream_retries_total", &["gateway-error"]);
    assert_eq!(retried, count as f64);
    let mut statuses: Vec<u16> = (0..10)
        .map(|_| fetch(served.address, "POST", "/a", "content-length: 0\r\n").status)
        .collect();
    statuses.sort_unstable();
    assert_eq!(
        (statuses[4], statuses[5]),
        (200, 503),
        "POST is not repeated"
    );
}

/// After all hosts were tried, a retry goes to a host other than the one that has just failed.
#[test]
fn retry_after_all_hosts_avoids_the_last_one() {
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let host = |name: &'static str| {
        let order = Arc::clone(&order);
        Upstream::start(move |_, stream| {
            use std::io::Write as _;
            order.lock().unwrap().push(name);
            let _gone = stream.write_all(b"HTTP/1.1 503 Told\r\ncontent-length: 0\r\n\r\n");
            Then::Keep
        })
    };
    let (a, b) = (host("a"), host("b"));
    let mut shop = shop(a.address, vec![op("GET", "/a")]);
    let mut main = service("main", &[a.address, b.address]);
    main.retries = Some(retries(5, &[Condition::GatewayError]));
    main.balance.lb = policy::upstream::Lb::Random;
    shop.upstreams = vec![main];
    let served = shop.serve();
    for _ in 0..10 {
        assert_eq!(get(served.address, "/a").status, 503);
        let order = std::mem::take(&mut *order.lock().unwrap());
        let is_other = |pair: &[&str]| pair[0] != pair[1];
        assert!(
            order.len() == 6 && order.windows(2).all(is_other),
            "{order:?}"
        );
    }
}

#[test]
fn retries_of_an_operation_override_its_upstream() {
    let status = Arc::new(AtomicUsize::new(500));
    let upstream = Upstream::telling(&status);
    let mut none = op("GET", "/none");
    none.retries = Some(retries(0, &[Condition::ServerError]));
    let mut shop = shop(upstream.address, vec![op("GET", "/a"), none]);
    shop.upstreams[0].retries = Some(retries(2, &[Condition::ServerError]));
    let served = shop.serve();
    assert_eq!(get(served.address, "/none").status, 500);
    assert_eq!(upstream.seen().len(), 1);
    assert_eq!(
        get(served.address, "/a").status,
        500,
        "the client gets the last response"
    );
    assert_eq!(upstream.seen().len(), 4, "one and two more");
}

#[test]
fn body_is_resent_only_if_it_was_kept() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let upstream = Upstream::start(move |seen, stream| {
        use std::io::Write as _;
        let first = counted.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        let status = if first { 503 } else { 200 };
        let body = String::from_utf8_lossy(&seen.body);
        let head = format!(
            "HTTP/1.1 {status} Told\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let _gone = stream.write_all(head.as_bytes());
        Then::Keep
    });
    let mut shop = shop(upstream.address, vec![op("PUT", "/a")]);
    let mut retry = retries(1, &[Condition::GatewayError]);
    retry.times.max_body_bytes = 10;
    shop.upstreams[0].retries = Some(retry);
    let served = shop.serve();
    let mut client = Client::connect(served.address);
    client.send("PUT /a HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhello");
    let answer = client.answer();
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    client.send("PUT /a HTTP/1.1\r\nhost: h\r\ncontent-length: 11\r\n\r\nhello world");
    assert_eq!(client.answer().status, 503, "too large to be kept");
}

#[test]
fn each_try_has_its_time_and_all_of_them_together() {
    let (_never, wait) = gate();
    let upstream = Upstream::start(move |_, _| {
        let _ends_with_the_test = wait.lock().unwrap().recv();
        Then::Close
    });
    let mut slow = op("GET", "/a");
    slow.timeout_ms = 250;
    let mut shop = shop(upstream.address, vec![slow]);
    let mut retry = retries(10, &[Condition::Reset]);
    retry.times.per_try_ms = Some(60);
    shop.upstreams[0].retries = Some(retry);
    let served = shop.serve();
    let start = std::time::Instant::now();
    let answer = get(served.address, "/a");
    assert_eq!(answer.status, 504);
    // The deadline may pass while the last attempt is still connecting.
    let reasons = ["upstream_timeout", "upstream_connect_timeout"];
    assert!(reasons.contains(&answer.problem().as_str()));
    assert!(start.elapsed() < Duration::from_secs(2));
    let tries = upstream.connections.load(Ordering::SeqCst);
    assert!((3..=5).contains(&tries), "{tries}");
}

#[test]
fn storm_of_failures_stays_within_the_retry_budget() {
    const CLIENTS: usize = 40;
    const EACH: usize = 10;
    let status = Arc::new(AtomicUsize::new(503));
    let upstream = Upstream::telling(&status);
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    let mut retry = retries(3, &[Condition::GatewayError]);
    // The backoff is long enough for the retries of all clients to overlap.
    (retry.times.backoff_base_ms, retry.times.backoff_max_ms) = (40, 40);
    shop.upstreams[0].retries = Some(retry);
    let served = shop.serve_with(2, gwd::node::AccessLog::Off);
    let address = served.address;
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(move || {
                let mut client = Client::connect(address);
                for _ in 0..EACH {
                    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
                    assert_eq!(client.answer().status, 503);
                }
            });
        }
    });
    let sent = CLIENTS * EACH;
    let got = upstream.seen().len();
    // The retry budget is a fifth of the requests in flight, but at least a small number.
    assert!(got > sent, "there were second tries");
    assert!(
        got * 10 <= sent * 12 + CLIENTS * 10,
        "{got} requests for {sent}"
    );
    assert!(served.metric("gwd_retry_budget_exhausted_total", &["main"]) > 0.0);
}

/// An upstream with two hosts: one answers 503, the other echoes the request.
fn bad_and_good(ops: Vec<Op>, retry: retry::Checked) -> (Upstream, Upstream, Shop) {
    let bad = Upstream::telling(&Arc::new(AtomicUsize::new(503)));
    let good = Upstream::echoing();
    let mut shop = shop(bad.address, ops);
    let mut main = service("main", &[bad.address, good.address]);
    main.retries = Some(retry);
    shop.upstreams = vec![main];
    (bad, good, shop)
}

const CHUNKED: &str = "PUT /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";

#[test]
fn body_without_length_is_sent_again() {
    let retry = retries(1, &[Condition::GatewayError]);
    let (bad, good, shop) = bad_and_good(vec![op("PUT", "/a")], retry);
    let served = shop.serve();
    for _ in 0..10 {
        let mut client = Client::connect(served.address);
        client.send(&format!("{CHUNKED}5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"));
        assert_eq!(client.answer().status, 200);
    }
    assert_eq!(good.seen().len(), 10);
    assert!(good.seen().iter().all(|seen| seen.body == b"hello world"));
    assert!(bad.seen().len() >= 4, "half of them begin there");
    let given_up = served.metric("gwd_upstream_retries_given_up_total", &[]);
    assert_eq!(given_up, 0.0);
}

#[test]
fn body_that_is_still_sent_goes_on_at_the_next_try() {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let early = listener.local_addr().unwrap();
    let (refused, seen) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"hello\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).unwrap_or(0) == 0 {
                    return;
                }
                head.push(byte[0]);
            }
            let answer = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(answer).unwrap();
            refused.send(()).unwrap();
        }
    });
    let good = Upstream::echoing();
    let mut shop = shop(early, vec![op("PUT", "/a")]);
    let mut main = service("main", &[early, good.address]);
    main.retries = Some(retries(1, &[Condition::GatewayError]));
    shop.upstreams = vec![main];
    let served = shop.serve();
    let mut early_tries = 0;
    for _ in 0..6 {
        let mut client = Client::connect(served.address);
        client.send(&format!("{CHUNKED}5\r\nhello\r\n"));
        let wait = Duration::from_millis(300);
        early_tries += usize::from(seen.recv_timeout(wait).is_ok());
        client.send("6\r\n world\r\n0\r\n\r\n");
        assert_eq!(client.answer().status, 200);
    }
    assert!(early_tries >= 1);
    assert_eq!(good.seen().len(), 6);
    assert!(good.seen().iter().all(|seen| seen.body == b"hello world"));
}

#[test]
fn body_beyond_max_body_is_not_repeated_but_logged() {
    let mut retry = retries(1, &[Condition::GatewayError]);
    retry.times.max_body_bytes = 10;
    let (bad, good, shop) = bad_and_good(vec![op("PUT", "/a")], retry);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let served = shop.serve_with(1, gwd::node::AccessLog::File(path.clone()));
    let long = "x".repeat(100);
    let mut failed = 0;
    for round in 0..8 {
        let mut client = Client::connect(served.address);
        match round % 2 {
            0 => client.send(&format!("{CHUNKED}64\r\n{long}\r\n0\r\n\r\n")),
            _ => client.send(&format!(
                "PUT /a HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\n{long}"
            )),
        }
        failed += usize::from(client.answer().status == 503);
    }
    assert_eq!(bad.seen().len() + good.seen().len(), 8, "each went once");
    assert_eq!(failed, bad.seen().len());
    assert!(failed >= 2);
    let given_up = served.metric("gwd_upstream_retries_given_up_total", &["main"]);
    assert_eq!(given_up, failed as f64);
    eventually("the requests are logged", || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        text.matches(r#""retry_given_up":"max_body""#).count() == failed
    });
}

#[test]
fn grpc_call_is_tried_again_after_its_status() {
    let upstream_with = |status: u8| {
        Upstream::start(move |_, stream| {
            let fields = format!(
                "content-type: application/grpc\r\ngrpc-status: {status}\r\ncontent-length: 0\r\n"
            );
            say(stream, &fields, "");
            Then::Keep
        })
    };
    let (bad, good) = (upstream_with(14), upstream_with(0));
    let mut shop = shop(bad.address, vec![op("POST", "/a")]);
    let mut main = service("main", &[bad.address, good.address]);
    main.retries = Some(retries(1, &[Condition::GrpcUnavailable]));
    shop.upstreams = vec![main];
    let served = shop.serve();
    for _ in 0..6 {
        let mut client = Client::connect(served.address);
        client.send(
            "POST /a HTTP/1.1\r\nhost: h\r\ncontent-type: application/grpc\r\nte: trailers\r\n\
             transfer-encoding: chunked\r\n\r\n5\r\n\0\0\0\0\0\r\n0\r\n\r\n",
        );
        let answer = client.answer();
        assert_eq!(answer.field("grpc-status"), ["0"], "{}", answer.head);
    }
    assert!(good.seen().iter().all(|seen| seen.body == [0; 5]));
    assert!(!bad.seen().is_empty());
}

#[test]
fn replaced_connection_counts_among_the_attempts() {
    let calls = AtomicUsize::new(0);
    let upstream = Upstream::start(move |_, stream| {
        if calls.fetch_add(1, Ordering::SeqCst) > 0 {
            return Then::Close;
        }
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    });
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    shop.upstreams[0].retries = Some(retries(2, &[Condition::Reset]));
    let served = shop.serve();
    assert_eq!(get(served.address, "/a").status, 200);
    assert_eq!(get(served.address, "/a").status, 502);
    assert_eq!(upstream.seen().len(), 1 + 3, "one try and two more");
}

#[test]
fn response_with_many_fields_is_forwarded() {
    let fields: String = (0..400).map(|n| format!("x-{n}: {n}\r\n")).collect();
    let upstream = Upstream::start(move |_, stream| {
        say(stream, &format!("{fields}content-length: 2\r\n"), "ok");
        Then::Keep
    });
    let served = shop(upstream.address, vec![op("GET", "/a")]).serve();
    let answer = get(served.address, "/a");
    assert_eq!((answer.status, answer.text()), (200, "ok"));
    assert_eq!(answer.field("x-399"), ["399"]);
}

#[test]
fn refused_streams_reach_the_upstream_attempts_times() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    let upstream = Http2Upstream::start(move |_, (request, mut respond): ReceivedRequest| {
        let counted = Arc::clone(&counted);
        async move {
            if request.uri().path() == "/a" {
                return ok((request, respond)).await;
            }
            counted.fetch_add(1, Ordering::SeqCst);
            respond.send_reset(h2::Reason::REFUSED_STREAM);
        }
    });
    let refusing = ["GET", "POST"].map(|method| {
        let mut refused = op(method, "/refused");
        refused.retries = Some(retries(2, &[Condition::RefusedStream]));
        refused
    });
    let ops = [vec![op("GET", "/a")], refusing.into()].concat();
    let served = upstream.behind(ops).serve();
    // The first connection has been used when the request is sent.
    assert_eq!(get(served.address, "/a").status, 200);
    for method in ["GET", "POST"] {
        let answer = fetch(served.address, method, "/refused", "content-length: 0\r\n");
        assert_eq!(answer.status, 502, "{method}");
        assert_eq!(tries.swap(0, Ordering::SeqCst), 3, "{method}");
    }
}
