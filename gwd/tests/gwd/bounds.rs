//! Limits of the process. Connections and requests above a limit are refused and counted, and those
//! below it are served. Workers share connections evenly.

use std::io::Write as _;
use std::sync::mpsc;

use crate::fixture::*;
use gwd::node::{Bounds, Node, Settings};

/// Serves the test gateway with these limits of the process.
fn bounded(shop: &Shop, workers: usize, bounds: Bounds) -> Served {
    let mut node = Node::start(Settings {
        workers,
        bounds,
        ..settings()
    })
    .unwrap();
    let version = shop.build(&mut node, bundle::digest::Digest::of(b"one"));
    node.bind(&version).unwrap();
    node.publish(&version, 1);
    let address = node.listeners()["public"];
    Served { node, address }
}

const GET: &str = "GET /a HTTP/1.1\r\nhost: h\r\n\r\n";

/// Opens a connection and completes one request on it.
fn served(address: std::net::SocketAddr) -> Client {
    let mut client = Client::connect(address);
    client.send(GET);
    assert_eq!(client.answer().status, 200);
    client
}

#[test]
fn connections_are_limited_over_all_listeners() {
    let upstream = Upstream::saying("ok");
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    shop.more_listeners = vec![listener("second", "127.0.0.1:0")];
    let bounds = Bounds {
        connections: 2,
        ..Bounds::NONE
    };
    let gateway = bounded(&shop, 1, bounds);
    let first = served(gateway.address);
    let _second = served(gateway.address);
    let other = gateway.node.listeners()["second"];
    let rest = Client::connect(other).rest();
    assert!(rest.starts_with("HTTP/1.1 503 "), "{rest}");
    assert!(rest.contains("retry-after: 1"), "{rest}");
    let shed = gateway.metric("gwd_overload_shed_total", &["\"connections\""]);
    assert_eq!(shed, 1.0);
    drop(first);
    eventually("a new connection is served", || {
        let mut client = Client::connect(gateway.address);
        client.send(GET);
        client.rest_or_head().contains(" 200 ")
    });
}

#[test]
fn connections_are_limited_for_each_address() {
    let upstream = Upstream::saying("ok");
    let shop = shop(upstream.address, vec![op("GET", "/a")]);
    let bounds = Bounds {
        connections_per_address: 1,
        ..Bounds::NONE
    };
    let gateway = bounded(&shop, 1, bounds);
    let _first = served(gateway.address);
    let rest = Client::connect(gateway.address).rest();
    assert!(rest.starts_with("HTTP/1.1 503 "), "{rest}");
    let labels = ["connections_per_address"];
    assert_eq!(gateway.metric("gwd_overload_shed_total", &labels), 1.0);
    assert_eq!(status_elsewhere(gateway.address), "200");
}

/// Sends a GET from another client address and returns the status. Every address in 127.0.0.0/8
/// belongs to the loopback interface.
fn status_elsewhere(gateway: std::net::SocketAddr) -> String {
    let other = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let from: std::net::SocketAddr = "127.0.0.2:0".parse().unwrap();
    other.bind(&from.into()).unwrap();
    other.connect(&gateway.into()).unwrap();
    let mut other: std::net::TcpStream = other.into();
    other.write_all(GET.as_bytes()).unwrap();
    let mut start = [0; 12];
    std::io::Read::read_exact(&mut other, &mut start).unwrap();
    String::from_utf8_lossy(&start[9..]).into_owned()
}

/// Checks that one client address leaves a quarter of an upstream's 128 request permits to other
/// addresses. `limit` sets the limit of 128.
fn leaves_a_quarter(limit: impl Fn(&mut bundle::ir::Upstream)) {
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let upstream = Upstream::start(move |seen, stream| {
        if seen.head.starts_with("GET /slow ") {
            let _gone = released.lock().unwrap().recv();
        }
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    });
    let mut shop = shop(upstream.address, vec![op("GET", "/a"), op("GET", "/slow")]);
    limit(&mut shop.upstreams[0]);
    let gateway = bounded(&shop, 1, Bounds::NONE);
    let mut clients: Vec<Client> = (0..120)
        .map(|_| {
            let mut client = Client::connect(gateway.address);
            client.send("GET /slow HTTP/1.1\r\nhost: h\r\n\r\n");
            client
        })
        .collect();
    let shed = || gateway.metric("gwd_overload_shed_total", &["requests_per_address"]);
    // The first 64 of the 120 requests do not count against the address. The next 32, a quarter of
    // the limit, use up its share.
    eventually("requests above the share are refused", || shed() == 24.0);
    assert_eq!(get(gateway.address, "/a").status, 503);
    assert_eq!(status_elsewhere(gateway.address), "200");
    drop(release);
    let served = clients
        .iter_mut()
        .map(|client| client.answer().status)
        .filter(|status| *status == 200)
        .count();
    assert_eq!(served, 96);
    assert_eq!(get(gateway.address, "/a").status, 200, "permits are free");
}

#[test]
fn waiting_requests_of_an_address_leave_a_quarter() {
    leaves_a_quarter(|upstream| upstream.limits.requests = 128);
}

/// Over HTTP/1.1, each request occupies a connection of the upstream, so one client address also
/// leaves a quarter of the connections to others.
#[test]
fn connections_of_an_address_leave_a_quarter() {
    leaves_a_quarter(|upstream| upstream.limits.connections = 128);
}

#[test]
fn trusted_proxy_is_not_bounded_by_address() {
    let upstream = Upstream::saying("ok");
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    shop.listener.trusted_proxies = vec![bundle::ir::Cidr::parse("127.0.0.1/32").unwrap()];
    let bounds = Bounds {
        connections_per_address: 1,
        ..Bounds::NONE
    };
    let gateway = bounded(&shop, 1, bounds);
    let _first = served(gateway.address);
    let _second = served(gateway.address);
}

#[test]
fn requests_in_flight_are_limited_and_get_retry_after() {
    let (reached, arrived) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let (reached, released) = (
        std::sync::Mutex::new(reached),
        std::sync::Mutex::new(released),
    );
    let upstream = Upstream::start(move |_, stream| {
        reached.lock().unwrap().send(()).unwrap();
        let _gone = released.lock().unwrap().recv();
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    });
    let shop = shop(upstream.address, vec![op("GET", "/a")]);
    let bounds = Bounds {
        requests: 1,
        ..Bounds::NONE
    };
    let gateway = bounded(&shop, 1, bounds);
    let mut first = Client::connect(gateway.address);
    first.send(GET);
    arrived.recv().unwrap();
    let mut second = Client::connect(gateway.address);
    second.send(GET);
    let answer = second.answer();
    assert_eq!(answer.status, 503);
    assert_eq!(answer.field("retry-after"), ["1"]);
    assert_eq!(answer.json()["code"], "overload");
    assert_eq!(
        gateway.metric("gwd_overload_shed_total", &["requests"]),
        1.0
    );
    release.send(()).unwrap();
    assert_eq!(first.answer().status, 200);
    drop(release);
    first.send(GET);
    assert_eq!(first.answer().status, 200, "its place is free again");
}

/// Many clients send at once, more than the memory limit allows. The gateway delays reading, so
/// that every client is served and none is refused.
#[test]
fn clients_wait_for_memory_and_all_are_served() {
    let upstream = Upstream::saying("ok");
    let shop = shop(upstream.address, vec![op("GET", "/a")]);
    let bounds = Bounds {
        // Connections may always use 10 % of the limit, which is enough for a few connections at a
        // time.
        memory_bytes: 2 << 20,
        ..Bounds::NONE
    };
    let gateway = bounded(&shop, 1, bounds);
    let mut clients: Vec<Client> = (0..60).map(|_| Client::connect(gateway.address)).collect();
    for client in &mut clients {
        client.send(GET);
    }
    for client in &mut clients {
        assert_eq!(client.answer().status, 200);
    }
}

#[test]
fn a_thousand_connections_spread_over_the_workers() {
    let upstream = Upstream::saying("ok");
    let shop = shop(upstream.address, vec![op("GET", "/a")]);
    let gateway = bounded(&shop, 4, Bounds::NONE);
    let _clients: Vec<Client> = (0..1_000)
        .map(|_| Client::connect(gateway.address))
        .collect();
    eventually("all connections are accepted", || {
        gateway.node.connections() == 1_000
    });
    let loads = gateway.node.loads();
    let (least, most) = (loads.iter().min().unwrap(), loads.iter().max().unwrap());
    assert_eq!(loads.iter().sum::<u64>(), 1_000);
    // Allow two more: a connection that is being handed to another worker already counts for that
    // worker.
    assert!(*most <= least + (least / 10).max(8) + 2, "{loads:?}");
}
