//! Upstreams that receive the client's address by the PROXY protocol.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use bundle::ir::{Cidr, ProxyVersion};
use policy::upstream::{Active, ActiveKind};

use crate::fixture::*;
use crate::pki::Authority;
use crate::upstream_tls::{behind, server, unchecked};
use crate::websocket::HANDSHAKE;

/// First bytes of a version 2 header.
const V2: &[u8] = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a";

/// A server that stores all received bytes and answers every request, any number per connection.
struct Raw {
    address: SocketAddr,
    /// Received bytes of each request, up to the end of its head or the end of the connection.
    came: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Raw {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let came = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let kept = Arc::clone(&came);
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || answer(stream, &kept));
            }
        });
        Self { address, came }
    }

    fn came(&self) -> Vec<Vec<u8>> {
        self.came.lock().unwrap().clone()
    }

    /// Bytes before each request, and the request's head.
    fn split(&self) -> Vec<(Vec<u8>, String)> {
        let came = self.came();
        let came = came.iter().map(|bytes| {
            let at = bytes.windows(5).position(|five| five == b"GET /");
            let (header, head) = bytes.split_at(at.expect("a request"));
            (header.to_vec(), String::from_utf8(head.to_vec()).unwrap())
        });
        came.collect()
    }
}

/// True if the bytes contain a request head. A version 2 header begins with the bytes that end a
/// head.
fn is_request(bytes: &[u8]) -> bool {
    bytes.windows(5).any(|five| five == b"GET /") && bytes.ends_with(b"\r\n\r\n")
}

fn answer(mut stream: TcpStream, kept: &Mutex<Vec<Vec<u8>>>) {
    let mut buffer = [0; 1_024];
    loop {
        let mut bytes = Vec::new();
        let mut open = true;
        while open && !is_request(&bytes) {
            match stream.read(&mut buffer) {
                Ok(read @ 1..) => bytes.extend_from_slice(&buffer[..read]),
                Ok(_) | Err(_) => open = false,
            }
        }
        if !bytes.is_empty() {
            kept.lock().unwrap().push(bytes);
        }
        if !open {
            return;
        }
        // The server keeps the connection open, even if the request says `connection: close`.
        say(&mut stream, "content-length: 2\r\n", "ok");
    }
}

fn telling(upstream: SocketAddr, version: ProxyVersion) -> Shop {
    let mut shop = shop(
        upstream,
        vec![op("GET", "/a"), op("GET", "/ws").websocket()],
    );
    shop.upstreams[0].proxy_protocol = Some(version);
    shop
}

fn v1(client: &str, port: u16, served: &Served) -> Vec<u8> {
    let to = served.address.port();
    format!("PROXY TCP4 {client} 127.0.0.1 {port} {to}\r\n").into_bytes()
}

#[test]
fn request_gets_a_connection_with_its_clients_header() {
    let upstream = Raw::start();
    let served = telling(upstream.address, ProxyVersion::V1).serve();
    let mut clients = [(); 2].map(|()| Client::connect(served.address));
    let ports = clients.each_ref().map(|client| {
        let stream = client.another();
        stream.local_addr().unwrap().port()
    });
    let mut expected = Vec::new();
    for _ in 0..2 {
        for (client, port) in clients.iter_mut().zip(ports) {
            client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
            assert_eq!(client.answer().status, 200);
            expected.push(v1("127.0.0.1", port, &served));
        }
    }
    let split = upstream.split();
    let headers: Vec<Vec<u8>> = split.iter().map(|(header, _)| header.clone()).collect();
    assert_eq!(headers, expected);
    for (_, head) in split {
        assert!(head.contains("\r\nconnection: close\r\n"), "{head}");
    }
}

#[test]
fn version_2_says_the_same_in_binary() {
    let upstream = Raw::start();
    let served = telling(upstream.address, ProxyVersion::V2).serve();
    let mut client = Client::connect(served.address);
    let port = client.another().local_addr().unwrap().port();
    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    let ends = [127, 0, 0, 1, 127, 0, 0, 1];
    let ports = [port.to_be_bytes(), served.address.port().to_be_bytes()].concat();
    let expected = [V2, b"\x21\x11\x00\x0c", &ends, &ports].concat();
    assert_eq!(upstream.split()[0].0, expected);
}

#[test]
fn header_has_the_trusted_client_without_its_port() {
    let upstream = Raw::start();
    let mut shop = telling(upstream.address, ProxyVersion::V1);
    let fields = "x-forwarded-for: 203.0.113.7\r\n";
    let served = shop.serve();
    assert_eq!(fetch(served.address, "GET", "/a", fields).status, 200);
    let header = upstream.split().pop().unwrap().0;
    assert!(
        header.starts_with(b"PROXY TCP4 127.0.0.1 "),
        "{}",
        header.escape_ascii()
    );
    let balancers: Cidr = Cidr::parse("127.0.0.0/8").unwrap();
    shop.listener.trusted_proxies = vec![balancers];
    let served = shop.serve();
    assert_eq!(fetch(served.address, "GET", "/a", fields).status, 200);
    let header = upstream.split().pop().unwrap().0;
    assert_eq!(header, v1("203.0.113.7", 0, &served));
    let fields = "x-forwarded-for: 2001:db8::7\r\n";
    assert_eq!(fetch(served.address, "GET", "/a", fields).status, 200);
    let header = upstream.split().pop().unwrap().0;
    let to = served.address.port();
    let expected = format!("PROXY TCP6 2001:db8::7 ::ffff:127.0.0.1 0 {to}\r\n");
    assert_eq!(header, expected.as_bytes());
}

#[test]
fn websocket_connection_begins_with_the_header() {
    let upstream = Raw::start();
    let served = telling(upstream.address, ProxyVersion::V1).serve();
    let mut client = Client::connect(served.address);
    let port = client.another().local_addr().unwrap().port();
    client.send(HANDSHAKE);
    assert_eq!(client.answer().status, 200, "it speaks none");
    let (header, head) = upstream.split().pop().unwrap();
    assert_eq!(header, v1("127.0.0.1", port, &served));
    assert!(head.contains("\r\nconnection: upgrade\r\n"), "{head}");
}

#[test]
fn header_is_sent_before_tls() {
    let authority = Authority::new("up");
    let config = Arc::new(server(&authority.issue(&["h"]), None, &["http/1.1"]));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let upstream = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut header = Vec::new();
        while !header.ends_with(b"\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            header.push(byte[0]);
        }
        let session = rustls::ServerConnection::new(config).unwrap();
        let mut stream = rustls::StreamOwned::new(session, stream);
        let mut head = [0; 1_024];
        let read = stream.read(&mut head).unwrap();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        stream.write_all(answer).unwrap();
        (header, head[..read].to_vec())
    });
    let mut shop = behind(address, unchecked());
    shop.upstreams[0].proxy_protocol = Some(ProxyVersion::V1);
    let served = shop.serve();
    let mut client = Client::connect(served.address);
    let port = client.another().local_addr().unwrap().port();
    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    let (header, head) = upstream.join().unwrap();
    assert_eq!(header, v1("127.0.0.1", port, &served));
    assert!(head.starts_with(b"GET /a HTTP/1.1\r\n"));
}

#[test]
fn header_of_a_health_check_names_no_client() {
    for (version, expected) in [
        (ProxyVersion::V1, b"PROXY UNKNOWN\r\n".to_vec()),
        (ProxyVersion::V2, [V2, b"\x20\x00\x00\x00"].concat()),
    ] {
        for kind in [ActiveKind::Tcp, ActiveKind::Http] {
            let upstream = Raw::start();
            let mut shop = telling(upstream.address, version);
            let mut active = Active::of(&policy::declared::Settings::default());
            (active.kind, active.times.interval_ms) = (kind, 50);
            shop.upstreams[0].health.active = Some(active);
            let served = shop.serve();
            eventually("a check has passed", || {
                served.metric("gwd_upstream_health_checks_total", &["passed"]) > 0.0
                    && !upstream.came().is_empty()
            });
            let came = upstream.came().remove(0);
            match kind {
                ActiveKind::Tcp => assert_eq!(came, expected),
                _ => assert_eq!(upstream.split()[0].0, expected),
            }
        }
    }
}

#[test]
fn older_connection_is_unused_if_a_header_is_needed() {
    let upstream = Raw::start();
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    let mut served = shop.serve();
    assert_eq!(get(served.address, "/a").status, 200);
    shop.upstreams[0].proxy_protocol = Some(ProxyVersion::V1);
    let two = shop.build(&mut served.node, bundle::digest::Digest::of(b"two"));
    served.node.bind(&two).unwrap();
    served.node.publish(&two, 2);
    assert_eq!(get(served.address, "/a").status, 200);
    let split = upstream.split();
    assert_eq!(split[0].0, b"", "the first connection had no header");
    assert!(split[1].0.starts_with(b"PROXY TCP4 127.0.0.1 "));
}
