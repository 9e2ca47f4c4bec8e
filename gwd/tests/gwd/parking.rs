//! Idle HTTP/1 connections hold no buffers, and clients notice no difference.

use std::time::Duration;

use crate::fixture::*;
use crate::world::{Process, World};

const CONNECTIONS: &str = "gwd_downstream_connections";

fn parked(served: &Served) -> f64 {
    served.metric(CONNECTIONS, &["state=\"idle\""])
}

#[test]
fn idle_connection_is_parked_and_wakes_for_bytes() {
    let upstream = Upstream::echoing();
    let served = shop(upstream.address, vec![op("GET", "/a").prefix()]).serve();
    let mut client = Client::connect(served.address);
    eventually("the connection is parked", || parked(&served) == 1.0);
    for round in 0..3 {
        client.send(&format!("GET /a/{round} HTTP/1.1\r\nhost: h\r\n\r\n"));
        let answer = client.answer();
        assert!(answer.text().starts_with(&format!("GET /a/{round} ")));
        eventually("the connection is parked again", || parked(&served) == 1.0);
    }
    assert_eq!(served.metric(CONNECTIONS, &["state=\"active\""]), 0.0);
    drop(client);
    eventually("no connection is parked", || parked(&served) == 0.0);
}

#[test]
fn half_a_head_is_not_parked_and_empty_lines_are() {
    let upstream = Upstream::saying("ok");
    let served = shop(upstream.address, vec![op("GET", "/a")]).serve();
    let mut client = Client::connect(served.address);
    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n\r\n");
    assert_eq!(client.answer().text(), "ok");
    eventually("the connection is parked", || parked(&served) == 1.0);
    client.send("GET /a HTT");
    eventually("the connection is no longer parked", || {
        parked(&served) == 0.0
    });
    std::thread::park_timeout(Duration::from_millis(1_300));
    assert_eq!(parked(&served), 0.0, "a head has begun");
    client.send("P/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(client.answer().text(), "ok");
}

#[test]
fn unread_response_survives_parking() {
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
    eventually("the connection is parked", || parked(&served) == 1.0);
    assert!(client.closed());
}

/// Reads the private memory of a process, in bytes.
fn resident_bytes(gwd: &Process) -> u64 {
    let status = std::fs::read_to_string(gwd.root().with_file_name("status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn idle_connection_keeps_no_memory_of_its_requests() {
    const CLIENTS: u16 = 400;
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let shop = shop(upstream.address, vec![op("GET", "/a")]);
    let bundle = world.release(&shop.gateway());
    let gwd = Process::spawn(world.trusted().args(["--workers", "1"]));
    gwd.wait_for(&bundle);
    let idle = || gwd.metric(CONNECTIONS, &["state=\"idle\""]);
    let clients_with_responses = |clients: u16| -> Vec<Client> {
        let each = (0..clients).map(|_| {
            let mut client = Client::connect(gwd.public());
            client.send("GET /a HTTP/1.1\r\nhost: shop.example\r\n\r\n");
            assert_eq!(client.answer().text(), "ok");
            client
        });
        each.collect()
    };
    let warm = clients_with_responses(300);
    eventually("all connections are parked", || idle() == 300.0);
    drop(warm);
    eventually("all connections are closed", || idle() == 0.0);
    let before = resident_bytes(&gwd);
    let _clients = clients_with_responses(CLIENTS);
    eventually("all connections are parked", || {
        idle() == f64::from(CLIENTS)
    });
    let most = before + u64::from(CLIENTS) * (8 << 10);
    eventually("the buffers are freed", || resident_bytes(&gwd) <= most);
}
