//! Retries: where another try goes, what it repeats, how long all may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use policy::traffic::retry::{self, Condition};

use crate::fixture::*;

pub(crate) fn retries(attempts: u64, on: &[Condition]) -> retry::Checked {
    let mut retry = retry::Checked::of(&policy::declared::Settings::default());
    retry.times.attempts = attempts;
    retry.times.backoff_base_ms = 1;
    retry.on = on.to_vec();
    retry
}

#[test]
fn a_failed_try_goes_to_another_host_and_says_which_try_it_is() {
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

#[test]
fn what_an_operation_says_of_retries_comes_before_its_upstream() {
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
        "the last answer is told"
    );
    assert_eq!(upstream.seen().len(), 4, "one and two more");
}

#[test]
fn a_body_is_sent_again_where_it_was_kept_and_only_then() {
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
    // The end may come while the last try still connects.
    let reasons = ["upstream_timeout", "upstream_connect_timeout"];
    assert!(reasons.contains(&answer.problem().as_str()));
    assert!(start.elapsed() < Duration::from_secs(2));
    let tries = upstream.connections.load(Ordering::SeqCst);
    assert!((3..=5).contains(&tries), "{tries}");
}

#[test]
fn a_storm_against_a_failing_upstream_stays_within_the_budget() {
    const CLIENTS: usize = 40;
    const EACH: usize = 10;
    let status = Arc::new(AtomicUsize::new(503));
    let upstream = Upstream::telling(&status);
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    let mut retry = retries(3, &[Condition::GatewayError]);
    // Waits long enough that second tries of all clients would meet.
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
    // A fifth of the first tries in flight, and a few while the clients come and go.
    assert!(got > sent, "there were second tries");
    assert!(
        got * 10 <= sent * 12 + CLIENTS * 10,
        "{got} requests for {sent}"
    );
    assert!(served.metric("gwd_retry_budget_exhausted_total", &["main"]) > 0.0);
}
