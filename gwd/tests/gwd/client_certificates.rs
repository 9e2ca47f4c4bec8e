//! Client certificates that expire or are revoked while their clients are connected.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use bundle::ir;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};

use crate::fixture::*;
use crate::pki::{Authority, Secrets};
use crate::tls::{https, start, tls};
use crate::websocket::{HANDSHAKE, agree};
use crate::world::World;

type Connection = BufReader<StreamOwned<ClientConnection, TcpStream>>;

fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> Connection {
    let name = "shop.example".try_into().unwrap();
    let session = ClientConnection::new(Arc::clone(config), name).unwrap();
    BufReader::new(StreamOwned::new(
        session,
        TcpStream::connect(address).unwrap(),
    ))
}

/// Reads the head of a response.
fn head(connection: &mut Connection) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(connection.read_line(&mut head).unwrap(), 0, "{head}");
    }
    head
}

/// Sends a request and reads the response. Returns the response's status, and true if the response
/// closes the connection.
fn ask(connection: &mut Connection) -> (String, bool) {
    let request = b"GET /a HTTP/1.1\r\nhost: shop.example\r\n\r\n";
    connection.get_mut().write_all(request).unwrap();
    let head = head(connection).to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap();
    let length = length.split('\r').next().unwrap().parse().unwrap();
    connection.read_exact(&mut vec![0; length]).unwrap();
    let closes = head.contains("\r\nconnection: close\r\n");
    (head.split(' ').nth(1).unwrap().to_owned(), closes)
}

#[test]
fn expired_certificates_end_their_connections() {
    let upstream = Upstream::echoing();
    let world = World::new();
    let secrets = Secrets::of(&world);
    let authority = Authority::new("ca");
    let mut tls = tls(vec![
        secrets.certificate("main", &authority.issue(&["shop.example"])),
    ]);
    tls.client_auth = Some(ir::ClientAuth {
        ca: secrets.write("ca.pem", &authority.pem),
        crl: None,
        mode: ir::ClientAuthMode::Optional,
    });
    let gwd = start(&world, &https(&upstream, tls));
    let fleeting = authority.config_with(&authority.issue_for(&["alice"], 5));
    let lasting = authority.config_with(&authority.issue(&["bob"]));
    let (mut alice, mut bob) = (
        connect(gwd.public(), &fleeting),
        connect(gwd.public(), &lasting),
    );
    let served = ("200".to_owned(), false);
    assert_eq!(
        (ask(&mut alice), ask(&mut bob)),
        (served.clone(), served.clone())
    );
    let refused = ("421".to_owned(), true);
    eventually("the certificate has expired", || {
        let result = ask(&mut alice);
        assert!(result == served || result == refused, "{result:?}");
        result == refused
    });
    assert_eq!(ask(&mut bob), served);
    let mut again = connect(gwd.public(), &fleeting);
    assert_eq!(ask(&mut again), refused);
    let kind = again.get_ref().conn.handshake_kind();
    assert_eq!(kind, Some(HandshakeKind::Resumed));
}

/// Handler of an upstream that upgrades WebSockets. Any other response has one chunk and never
/// ends.
fn endless(seen: &Seen, stream: &mut TcpStream) -> Then {
    if !seen.field("upgrade").is_empty() {
        return agree(seen, stream);
    }
    let begin = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n";
    stream.write_all(begin).unwrap();
    let _gone = stream.read(&mut [0]);
    Then::Close
}

#[test]
fn lapsed_certificates_end_streams_and_tunnels() {
    let upstream = Upstream::start(endless);
    let world = World::new();
    let secrets = Secrets::of(&world);
    let authority = Authority::new("ca");
    let mut tls = tls(vec![
        secrets.certificate("main", &authority.issue(&["shop.example"])),
    ]);
    tls.client_auth = Some(ir::ClientAuth {
        ca: secrets.write("ca.pem", &authority.pem),
        crl: Some(secrets.write("crl.pem", &authority.takes_back(99))),
        mode: ir::ClientAuthMode::Required,
    });
    let ops = vec![op("GET", "/a"), op("GET", "/ws").websocket()];
    let mut shop = shop(upstream.address, ops);
    shop.listener.protocol = ir::Protocol::Https(tls);
    let gwd = start(&world, &shop.gateway());
    let issue = |name: &str, serial| {
        let shown = authority.issue_as(&[name], &rcgen::PKCS_ECDSA_P256_SHA256, serial, 2);
        authority.config_with(&shown)
    };
    let (alice, bob) = (issue("alice", 5), issue("bob", 7));
    let carol = authority.config_with(&authority.issue_for(&["carol"], 8));
    let begin = |config: &Arc<ClientConfig>, request: &str, begun: &[u8]| {
        let mut connection = connect(gwd.public(), config);
        connection.get_mut().write_all(request.as_bytes()).unwrap();
        head(&mut connection);
        let mut read = vec![0; begun.len()];
        connection.read_exact(&mut read).unwrap();
        assert_eq!(read, begun);
        let timeout = Some(std::time::Duration::from_secs(30));
        connection.get_ref().sock.set_read_timeout(timeout).unwrap();
        connection
    };
    let tunnel = |config: &Arc<ClientConfig>| begin(config, HANDSHAKE, b"\x81\x05hello");
    let request = "GET /a HTTP/1.1\r\nhost: shop.example\r\n\r\n";
    let response = |config: &Arc<ClientConfig>| begin(config, request, b"2\r\nhi\r\n");
    let (mut expiring, mut expiring_response) = (tunnel(&carol), response(&carol));
    let (mut refused, mut refused_response) = (tunnel(&alice), response(&alice));
    let mut lasting = tunnel(&bob);
    secrets.write("crl.pem", &authority.takes_back(5));
    for (tunnel, response) in [
        (&mut refused, &mut refused_response),
        (&mut expiring, &mut expiring_response),
    ] {
        let mut close = [0; 4];
        tunnel.read_exact(&mut close).unwrap();
        assert_eq!(close, [0x88, 0x02, 0x03, 0xF0], "1008");
        let mut rest = Vec::new();
        let ended = response
            .read_to_end(&mut rest)
            .map_err(|error| error.kind());
        assert_ne!(ended, Err(std::io::ErrorKind::WouldBlock));
        assert!(rest.is_empty(), "{rest:?}");
    }
    let frame = b"\x01\x03abc";
    lasting.get_mut().write_all(frame).unwrap();
    let mut echoed = [0; 5];
    lasting.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, frame);
}
