//! HTTP/1 connections on which nothing happens hold no buffers, and nobody notices.

use std::time::Duration;

use crate::fixture::*;

const CONNECTIONS: &str = "gwd_downstream_connections";

fn parked(served: &Served) -> f64 {
    served.metric(CONNECTIONS, &["state=\"idle\""])
}

#[test]
fn a_connection_without_bytes_is_parked_at_once_and_one_that_stands_still_after_a_second() {
    let upstream = Upstream::echoing();
    let served = shop(upstream.address, vec![op("GET", "/a").prefix()]).serve();
    let mut client = Client::connect(served.address);
    eventually("parked at once", || parked(&served) == 1.0);
    for round in 0..3 {
        client.send(&format!("GET /a/{round} HTTP/1.1\r\nhost: h\r\n\r\n"));
        let answer = client.answer();
        assert!(answer.text().starts_with(&format!("GET /a/{round} ")));
        eventually("parked again", || parked(&served) == 1.0);
    }
    assert_eq!(served.metric(CONNECTIONS, &["state=\"active\""]), 0.0);
    drop(client);
    eventually("gone", || parked(&served) == 0.0);
}

#[test]
fn half_a_head_is_not_parked_and_line_ends_between_requests_are_no_head() {
    let upstream = Upstream::saying("ok");
    let served = shop(upstream.address, vec![op("GET", "/a")]).serve();
    let mut client = Client::connect(served.address);
    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n\r\n");
    assert_eq!(client.answer().text(), "ok");
    eventually("parked behind an empty line", || parked(&served) == 1.0);
    client.send("GET /a HTT");
    eventually("woken", || parked(&served) == 0.0);
    std::thread::park_timeout(Duration::from_millis(1_300));
    assert_eq!(parked(&served), 0.0, "a head has begun");
    client.send("P/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(client.answer().text(), "ok");
}

#[test]
fn a_response_that_the_client_has_not_read_is_not_lost_by_parking() {
    const SIZE: usize = 8 << 20;
    let upstream = Upstream::start(|_, stream| {
        use std::io::Write as _;
        say(stream, &format!("content-length: {SIZE}\r\n"), "");
        let _gone = stream.write_all(&vec![b'x'; SIZE]);
        Then::Keep
    });
    let served = shop(upstream.address, vec![op("GET", "/a")]).serve();
    let mut client = Client::connect(served.address);
    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    std::thread::park_timeout(Duration::from_millis(1_500));
    assert_eq!(client.answer().body.len(), SIZE);
    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(client.answer().body.len(), SIZE);
}

#[test]
fn a_parked_connection_ends_when_its_time_is_over() {
    let upstream = Upstream::saying("ok");
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    shop.listener.limits.idle_timeout_ms = 1_200;
    let served = shop.serve();
    let mut client = Client::connect(served.address);
    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(client.answer().text(), "ok");
    eventually("parked", || parked(&served) == 1.0);
    assert!(client.closed());
}
