//! Listeners behind a load balancer: PROXY protocol headers, versions 1 and 2.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use bundle::digest::Digest;
use bundle::ir;
use gwd::node::{Bounds, Node, Settings};

use crate::fixture::*;
use crate::pki::{Authority, Secrets};
use crate::tls::{https, start, tls};
use crate::websocket::{HANDSHAKE, websocket};
use crate::world::World;

const REJECTIONS: &str = "gwd_rejections_total";
const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n";
const GET: &str = "GET /a HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n";
/// Request for an operation without WebSocket of [`websocket`], which keeps the connection open.
const PLAIN: &str = "GET /plain HTTP/1.1\r\nhost: shop.example\r\n\r\n";

/// A version 2 header for the client 192.0.2.7 over IPv4, with extensions after the addresses.
fn v2(extensions: &[u8]) -> Vec<u8> {
    let addresses = [192, 0, 2, 7, 198, 51, 100, 1, 0xDC, 0x04, 0x01, 0xBB];
    binary(0x21, 0x11, &[&addresses, extensions].concat())
}

fn binary(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
    [
        b"\r\n\r\n\0\r\nQUIT\n",
        &[command, family][..],
        &length,
        addresses,
    ]
    .concat()
}

fn from(ranges: &[&str], timeout_ms: u64) -> Option<ir::ProxyProtocol> {
    let ranges = ranges.iter();
    Some(ir::ProxyProtocol {
        from: ranges
            .map(|range| ir::Cidr::parse(range).unwrap())
            .collect(),
        timeout_ms,
    })
}

/// A gateway that trusts load balancers on this machine.
fn balanced(upstream: &Upstream) -> Shop {
    let mut shop = shop(upstream.address, vec![op("GET", "/a").prefix()]);
    shop.listener.proxy_protocol = from(&["127.0.0.0/8"], 60_000);
    shop
}

/// Opens a connection and sends a PROXY header.
fn through(address: SocketAddr, header: &[u8]) -> Client {
    let client = Client::connect(address);
    client.another().write_all(header).unwrap();
    client
}

/// Sends a request and returns the client address that the upstream receives.
fn client_address_seen(address: SocketAddr, header: &[u8], fields: &str) -> String {
    let mut client = through(address, header);
    client.send(&GET.replace("connection", &format!("{fields}connection")));
    let answer = client.answer();
    assert_eq!(answer.status, 200, "{answer:?}");
    let text = answer.text();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("x-forwarded-for: "));
    line.unwrap_or(text).to_owned()
}

#[test]
fn client_address_comes_from_the_header() {
    let upstream = Upstream::echoing();
    let served = balanced(&upstream).serve();
    let mut v6 = [0; 36];
    v6[..4].copy_from_slice(&[0x20, 0x01, 0x0D, 0xB8]);
    v6[15] = 7;
    let cases: [(&str, Vec<u8>, &str); 9] = [
        ("version 1", V1.to_vec(), "192.0.2.7"),
        (
            "version 1, IPv6",
            b"PROXY TCP6 2001:db8::7 ::1 1 443\r\n".to_vec(),
            "2001:db8::7",
        ),
        ("version 2", v2(&[]), "192.0.2.7"),
        ("version 2, IPv6", binary(0x21, 0x21, &v6), "2001:db8::7"),
        (
            "with extensions",
            v2(&[0x02, 0, 4, b's', b'h', b'o', b'p', 0x04, 0, 0]),
            "192.0.2.7",
        ),
        // Connections that the balancer makes for itself, or without a client address.
        (
            "UNKNOWN",
            b"PROXY UNKNOWN 192.0.2.7 ? 1 2\r\n".to_vec(),
            "127.0.0.1",
        ),
        (
            "LOCAL",
            binary(0x20, 0x11, &[192, 0, 2, 7, 0, 0, 0, 0, 0, 0, 0, 0]),
            "127.0.0.1",
        ),
        (
            "a UNIX socket",
            binary(0x21, 0x31, &[b'/'; 216]),
            "127.0.0.1",
        ),
        ("unspecified", binary(0x21, 0x00, &[]), "127.0.0.1"),
    ];
    for (what, header, client) in cases {
        assert_eq!(
            client_address_seen(served.address, &header, ""),
            client,
            "{what}"
        );
    }
}

/// Reads the number of received bytes that the gateway has not read yet, as the kernel reports
/// them.
fn unread(client: &TcpStream) -> u64 {
    let port = |address: SocketAddr| format!(":{:04X}", address.port());
    let ends = [client.peer_addr().unwrap(), client.local_addr().unwrap()].map(port);
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let row = table.lines().find(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.len() > 4 && words[1].ends_with(&ends[0]) && words[2].ends_with(&ends[1])
    });
    let queues = row
        .and_then(|row| row.split_whitespace().nth(4))
        .unwrap_or("0:1");
    u64::from_str_radix(&queues[queues.find(':').unwrap() + 1..], 16).unwrap()
}

#[test]
fn header_in_pieces_is_read_up_to_its_last_byte() {
    let upstream = Upstream::echoing();
    let served = balanced(&upstream).serve();
    for header in [V1.to_vec(), v2(&[0x02, 0, 4, b's', b'h', b'o', b'p'])] {
        let whole = [&header[..], GET.as_bytes()].concat();
        for cut in 1..header.len() + 4 {
            let mut client = through(served.address, &whole[..cut]);
            let stream = client.another();
            eventually("the first piece is read", || unread(&stream) == 0);
            (&stream).write_all(&whole[cut..]).unwrap();
            let answer = client.answer();
            assert!(
                answer.text().contains("x-forwarded-for: 192.0.2.7\r\n"),
                "cut at {cut}"
            );
        }
        // Send the header byte by byte.
        let mut client = Client::connect(served.address);
        let mut stream = client.another();
        for byte in &header {
            stream.write_all(&[*byte]).unwrap();
            eventually("the byte is read", || unread(&stream) == 0);
        }
        client.send(GET);
        assert_eq!(client.answer().status, 200);
    }
}

#[test]
fn invalid_header_closes_silently_and_is_counted() {
    let upstream = Upstream::echoing();
    let served = balanced(&upstream).serve();
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    let cases: [(&str, Vec<u8>, &str); 9] = [
        ("HTTP", GET.into(), "proxy_header_missing"),
        (
            "a handshake of TLS",
            b"\x16\x03\x01\x02\x00".to_vec(),
            "proxy_header_missing",
        ),
        ("nothing like it", vec![0xFF; 4_096], "proxy_header_missing"),
        ("a line of 108 bytes", long.into(), "proxy_header_invalid"),
        (
            "an address that is none",
            b"PROXY TCP4 a b 1 2\r\n".to_vec(),
            "proxy_header_invalid",
        ),
        (
            "5 KiB",
            binary(0x21, 0x11, &[0; 5_000]),
            "proxy_header_invalid",
        ),
        (
            "a command that is none",
            binary(0x2F, 0x11, &[0; 12]),
            "proxy_header_invalid",
        ),
        (
            "addresses cut off",
            binary(0x21, 0x21, &[0; 12]),
            "proxy_header_invalid",
        ),
        (
            "an extension cut off",
            v2(&[0xEA, 0, 9, 1]),
            "proxy_header_invalid",
        ),
    ];
    for (what, bytes, reason) in cases {
        let count = || served.metric(REJECTIONS, &[reason]);
        let before = count();
        let mut client = Client::connect(served.address);
        let _closed = client.another().write_all(&bytes);
        let _closed = client.another().write_all(GET.as_bytes());
        assert!(client.closed(), "{what}");
        eventually(what, || count() == before + 1.0);
    }
    // Disconnect in the middle of the header, and without sending a byte, as tests of an open port
    // do.
    drop(through(served.address, &V1[..20]));
    drop(Client::connect(served.address));
    let invalid = || served.metric(REJECTIONS, &["proxy_header_invalid"]);
    eventually("invalid headers are counted", || invalid() == 7.0);
    eventually("all connections are closed", || {
        served.metric("gwd_downstream_connections", &[]) == 0.0
    });
    assert_eq!(invalid(), 7.0, "a connection without bytes is not a client");
    assert!(upstream.seen().is_empty());
}

#[test]
fn only_listed_peers_may_send_a_header() {
    let upstream = Upstream::echoing();
    let mut shop = balanced(&upstream);
    shop.listener.proxy_protocol = from(&["127.0.0.9", "192.0.2.0/24"], 10_000);
    let served = shop.serve();
    let mut client = through(served.address, V1);
    client.send(GET);
    assert!(client.closed());
    eventually("the untrusted header is counted", || {
        served.metric(REJECTIONS, &["proxy_header_untrusted"]) == 1.0
    });
    let balancer = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let balancer = balancer.unwrap();
    let own: SocketAddr = "127.0.0.9:0".parse().unwrap();
    balancer.bind(&own.into()).unwrap();
    balancer.connect(&served.address.into()).unwrap();
    let mut stream: TcpStream = balancer.into();
    stream.write_all(&[V1, GET.as_bytes()].concat()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.contains("x-forwarded-for: 192.0.2.7\r\n"), "{text}");
}

#[test]
fn late_header_ends_the_connection() {
    let upstream = Upstream::echoing();
    let mut shop = balanced(&upstream);
    shop.listener.proxy_protocol = from(&["127.0.0.0/8"], 50);
    let served = shop.serve();
    for part in [&b""[..], &V1[..30]] {
        let before = served.metric(REJECTIONS, &["proxy_header_timeout"]);
        let mut client = through(served.address, part);
        assert!(client.closed());
        eventually("the late header is counted", || {
            served.metric(REJECTIONS, &["proxy_header_timeout"]) == before + 1.0
        });
    }
    // The header arrived in time, so the request itself may be slow.
    let mut client = through(served.address, V1);
    std::thread::park_timeout(std::time::Duration::from_millis(100));
    client.send(GET);
    assert_eq!(client.answer().status, 200);
}

#[test]
fn forwarding_fields_are_trusted_by_header_address() {
    let upstream = Upstream::echoing();
    let mut shop = balanced(&upstream);
    shop.listener.trusted_proxies = ["127.0.0.0/8", "10.0.0.0/8"]
        .map(|range| ir::Cidr::parse(range).unwrap())
        .to_vec();
    let served = shop.serve();
    let forged = "x-forwarded-for: 198.51.100.66\r\n";
    assert_eq!(
        client_address_seen(served.address, V1, forged),
        "192.0.2.7",
        "a client forges"
    );
    let proxy = b"PROXY TCP4 10.0.0.3 198.51.100.1 1 443\r\n";
    assert_eq!(
        client_address_seen(served.address, proxy, forged),
        "198.51.100.66, 10.0.0.3",
        "a proxy behind the balancer is believed"
    );
    let local = binary(0x20, 0, &[]);
    assert_eq!(
        client_address_seen(served.address, &local, forged),
        "198.51.100.66, 127.0.0.1",
        "the balancer speaks for itself"
    );
}

#[test]
fn connections_are_counted_by_header_address() {
    let upstream = Upstream::echoing();
    let mut node = Node::start(Settings {
        bounds: Bounds {
            connections_per_address: 1,
            ..Bounds::NONE
        },
        ..settings()
    })
    .unwrap();
    let version = balanced(&upstream).build(&mut node, Digest::of(b"one"));
    node.bind(&version).unwrap();
    node.publish(&version, 1);
    let address = node.listeners()["public"];
    let keep = GET.replace("close", "keep-alive");
    let mut first = through(address, V1);
    first.send(&keep);
    assert_eq!(first.answer().status, 200);
    let mut second = through(address, V1);
    second.send(&keep);
    assert_eq!(
        second.answer().status,
        503,
        "another one of the same client"
    );
    let mut other = through(address, b"PROXY TCP4 192.0.2.8 198.51.100.1 1 443\r\n");
    other.send(&keep);
    assert_eq!(other.answer().status, 200, "one of another client");
    let shed = metric(
        &node.metrics(),
        "gwd_overload_shed_total",
        &["connections_per_address"],
    );
    assert_eq!(shed, 1.0);
}

#[test]
fn connection_before_the_header_rule_ends() {
    let upstream = Upstream::echoing();
    let mut shop = balanced(&upstream);
    let header = shop.listener.proxy_protocol.take();
    let mut node = Node::start(settings()).unwrap();
    shop.listener.address = "127.0.0.1:0".into();
    let direct = shop.build(&mut node, Digest::of(b"direct"));
    node.bind(&direct).unwrap();
    node.publish(&direct, 1);
    let address = node.listeners()["public"];
    let keep = GET.replace("close", "keep-alive");
    let mut before = Client::connect(address);
    before.send(&keep);
    assert!(before.answer().field("connection").is_empty());
    shop.listener.proxy_protocol = header;
    let balanced = shop.build(&mut node, Digest::of(b"balanced"));
    node.bind(&balanced).unwrap();
    node.publish(&balanced, 2);
    before.send(&keep);
    assert_eq!(before.answer().field("connection"), ["close"]);
    assert!(before.closed());
    let mut after = through(address, V1);
    after.send(GET);
    assert!(
        after
            .answer()
            .text()
            .contains("x-forwarded-for: 192.0.2.7\r\n")
    );
}

/// Publishes a version that requires a PROXY header from `senders`, and sends a request on a
/// connection that was accepted before without a header. Returns the status of the response.
fn status_after_header_rule(senders: &str, request: &str) -> u16 {
    let upstream = Upstream::echoing();
    let mut shop = websocket(&upstream);
    let mut node = Node::start(settings()).unwrap();
    shop.listener.address = "127.0.0.1:0".into();
    let direct = shop.build(&mut node, Digest::of(b"direct"));
    node.bind(&direct).unwrap();
    node.publish(&direct, 1);
    let mut before = Client::connect(node.listeners()["public"]);
    before.send(PLAIN);
    assert_eq!(before.answer().status, 200);
    shop.listener.proxy_protocol = from(&[senders], 60_000);
    let balanced = shop.build(&mut node, Digest::of(b"balanced"));
    node.bind(&balanced).unwrap();
    node.publish(&balanced, 2);
    before.send(request);
    let answer = before.answer();
    assert_eq!(answer.field("connection"), ["close"]);
    assert!(before.closed());
    answer.status
}

#[test]
fn outdated_connection_opens_no_tunnel() {
    assert_eq!(status_after_header_rule("127.0.0.0/8", PLAIN), 200);
    assert_eq!(status_after_header_rule("127.0.0.0/8", HANDSHAKE), 421);
    for request in [PLAIN, HANDSHAKE] {
        assert_eq!(status_after_header_rule("192.0.2.0/24", request), 421);
    }
}

#[test]
fn http2_by_prior_knowledge_follows_a_header() {
    let upstream = Upstream::echoing();
    let mut shop = balanced(&upstream);
    shop.listener.http2 = true;
    let served = shop.serve();
    for header in [V1.to_vec(), v2(&[])] {
        let mut client = crate::http2::Http2::connect_after(served.address, &header);
        let whole = client.get("/a");
        assert!(
            whole.text().contains("x-forwarded-for: 192.0.2.7\r\n"),
            "{}",
            whole.text()
        );
    }
}

#[test]
fn tls_follows_a_header() {
    let upstream = Upstream::echoing();
    let world = World::new();
    let secrets = Secrets::of(&world);
    let pem = Authority::new("ca").issue(&["shop.example"]);
    let mut gateway = https(&upstream, tls(vec![secrets.certificate("main", &pem)]));
    let mut listeners: Vec<ir::Listener> = gateway.shared.listeners.iter().cloned().collect();
    listeners[0].proxy_protocol = from(&["127.0.0.9"], 10_000);
    gateway.shared.listeners = ir::Set::new(listeners).unwrap();
    let gwd = start(&world, &gateway);
    for protocol in ["--http1.1", "--http2"] {
        let curl = |arguments: &[&str]| {
            let output = Command::new("curl")
                .args(["-s", "-k", "--max-time", "10", protocol])
                .args(["-H", "host: shop.example", "--interface", "127.0.0.9"])
                .args(arguments)
                .arg(format!("https://{}/a", gwd.public()))
                .output()
                .unwrap();
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let text = curl(&["--haproxy-protocol"]);
        assert!(text.contains("x-forwarded-for: 127.0.0.9\r\n"), "{text}");
        assert!(text.contains("x-forwarded-proto: https\r\n"), "{text}");
        assert_eq!(curl(&[]), "", "without a header there is no handshake");
    }
    assert_eq!(gwd.metric(REJECTIONS, &["proxy_header_missing"]), 2.0);
}
