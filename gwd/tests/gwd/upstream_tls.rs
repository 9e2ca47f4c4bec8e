//! TLS towards upstreams: verified certificates, client certificates, live replacement, and ALPN.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bundle::digest::Digest;
use bundle::ir::{self, UpstreamProtocol, UpstreamTls};
use policy::declared::{Scalar, Settings, Value};
use policy::upstream::Active;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use rustls::{HandshakeKind, RootCertStore, ServerConnection, StreamOwned};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::fixture::*;
use crate::pki::{Authority, Pem, Secrets, this_year};
use crate::world::{Process, World};

// === the upstream

/// An HTTP/1.1 server over TLS that answers with a description of its client. `/a/held` waits until
/// the test releases it.
pub(crate) struct TlsUpstream {
    pub(crate) address: SocketAddr,
    config: Arc<Mutex<Arc<ServerConfig>>>,
    connections: Arc<AtomicUsize>,
    held: Arc<HeldConnections>,
}

#[derive(Default)]
struct HeldConnections {
    count: AtomicUsize,
    let_go: AtomicBool,
}

impl TlsUpstream {
    pub(crate) fn start(config: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let upstream = Self {
            address: listener.local_addr().unwrap(),
            config: Arc::new(Mutex::new(Arc::new(config))),
            connections: Arc::default(),
            held: Arc::default(),
        };
        let (config, count) = (
            Arc::clone(&upstream.config),
            Arc::clone(&upstream.connections),
        );
        let held_connections = Arc::clone(&upstream.held);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let number = count.fetch_add(1, Ordering::SeqCst);
                let config = Arc::clone(&config.lock().unwrap());
                let held_connections = Arc::clone(&held_connections);
                std::thread::spawn(move || answer(stream, config, number, &held_connections));
            }
        });
        upstream
    }

    pub(crate) fn exchange(&self, config: ServerConfig) {
        *self.config.lock().unwrap() = Arc::new(config);
    }

    /// True if a request waits at `/a/held`.
    pub(crate) fn holds(&self) -> bool {
        self.held.count.load(Ordering::SeqCst) > 0
    }

    pub(crate) fn let_go(&self) {
        self.held.let_go.store(true, Ordering::SeqCst);
    }

    /// Gateway in front of this server.
    fn behind(&self, tls: UpstreamTls) -> Shop {
        behind(self.address, tls)
    }
}

pub(crate) fn behind(address: SocketAddr, tls: UpstreamTls) -> Shop {
    let mut shop = shop(address, vec![op("GET", "/a").prefix()]);
    let main = &mut shop.upstreams[0];
    let targets = main.targets.iter().cloned().map(|mut target| {
        target.tls = true;
        target
    });
    main.targets = ir::Set::new(targets.collect()).unwrap();
    main.tls = Some(tls);
    shop
}

fn answer(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    number: usize,
    connections: &HeldConnections,
) {
    let session = ServerConnection::new(config).unwrap();
    let mut stream = StreamOwned::new(session, stream);
    let mut head = Vec::new();
    let mut byte = [0];
    loop {
        head.clear();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                Ok(_) | Err(_) => return,
            }
        }
        let session = &stream.conn;
        let client = session.peer_certificates().map(|all| {
            let (_, certificate) = X509Certificate::from_der(&all[0]).unwrap();
            certificate.subject().to_string()
        });
        let alpn = session.alpn_protocol().map(String::from_utf8_lossy);
        let body = format!(
            "sni={} client={} alpn={} resumed={} connection={number}",
            session.server_name().unwrap_or("-"),
            client.as_deref().unwrap_or("-"),
            alpn.as_deref().unwrap_or("-"),
            session.handshake_kind() == Some(HandshakeKind::Resumed),
        );
        let request = String::from_utf8_lossy(&head);
        if request.contains("/a/held") {
            connections.count.fetch_add(1, Ordering::SeqCst);
            eventually("the held request is released", || {
                connections.let_go.load(Ordering::SeqCst)
            });
        }
        let closes = request.contains("/a/close");
        let connection = if closes { "close" } else { "keep-alive" };
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nconnection: {connection}\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let _gone = stream.write_all(answer.as_bytes());
        if closes {
            stream.conn.send_close_notify();
            let _gone = stream.flush();
            return;
        }
    }
}

/// TLS settings of a server with these ALPN protocols. With an authority, clients must present a
/// certificate that the authority has issued.
pub(crate) fn server(pem: &Pem, clients: Option<&Authority>, protocols: &[&str]) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(&authority.pem) {
                roots.add(certificate).unwrap();
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let key = PrivateKeyDer::from_pem_slice(pem.key.as_bytes()).unwrap();
    let mut config = builder
        .with_single_cert(certificates(&pem.cert), key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|one| one.as_bytes().into()).collect();
    config
}

fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    let all = CertificateDer::pem_slice_iter(pem.as_bytes());
    all.collect::<Result<_, _>>().unwrap()
}

// === the gateway

/// TLS settings without verification, for tests of other behaviour.
pub(crate) fn unchecked() -> UpstreamTls {
    UpstreamTls {
        verify: false,
        ..UpstreamTls::default()
    }
}

pub(crate) fn checked(secrets: &Secrets, authority: &Authority) -> UpstreamTls {
    UpstreamTls {
        ca: Some(secrets.write("upstream-ca.pem", &authority.pem)),
        ..UpstreamTls::default()
    }
}

pub(crate) fn start(world: &World, shop: &Shop) -> Process {
    let bundle = world.release(&shop.gateway());
    // With one worker there is one connection pool.
    let gwd = Process::spawn(world.trusted().args(["--workers", "1"]));
    gwd.wait_for(&bundle);
    gwd
}

/// Status, problem code and `Proxy-Status` of the response.
fn refused(address: SocketAddr) -> (u16, String, String) {
    let answer = get(address, "/a");
    let proxy_status = answer.field("proxy-status").concat();
    (answer.status, answer.problem(), proxy_status)
}

fn tuple(code: &str, error: &str) -> (u16, String, String) {
    (502, code.to_owned(), format!("gwd; error={error}"))
}

// === tests

#[test]
fn upstream_certificate_needs_authority_name_and_time() {
    let world = World::new();
    let secrets = Secrets::of(&world);
    let (authority, stranger) = (Authority::new("ca"), Authority::new("stranger"));
    let upstream = TlsUpstream::start(server(&authority.issue(&["127.0.0.1"]), None, &[]));
    let tls = checked(&secrets, &authority);
    let gwd = start(&world, &upstream.behind(tls.clone()));
    let address = gwd.public();
    // An IP address is not sent as a server name (RFC 6066 §3).
    let answer = get(address, "/a/close");
    assert_eq!(
        answer.text(),
        "sni=- client=- alpn=- resumed=false connection=0"
    );

    let certificate = tuple("upstream_tls_certificate", "tls_certificate_error");
    let over = authority.issue_as(&["127.0.0.1"], &rcgen::PKCS_ECDSA_P256_SHA256, 3, -1);
    for (what, pem) in [
        ("another name", authority.issue(&["shop.internal"])),
        ("another authority", stranger.issue(&["127.0.0.1"])),
        ("over", over),
    ] {
        upstream.exchange(server(&pem, None, &[]));
        assert_eq!(refused(address), certificate, "{what}");
    }

    // The server name is also the name that is verified.
    upstream.exchange(server(&authority.issue(&["shop.internal"]), None, &[]));
    let named = UpstreamTls {
        sni: Some("shop.internal".into()),
        ..tls
    };
    let second = world.release(&upstream.behind(named).gateway());
    gwd.wait_for(&second);
    let answer = get(address, "/a/close");
    assert!(
        answer.text().starts_with("sni=shop.internal "),
        "{answer:?}"
    );
    let third = world.release(&upstream.behind(UpstreamTls::default()).gateway());
    gwd.wait_for(&third);
    assert_eq!(refused(address), certificate, "not of the system's");

    // Disable verification.
    let fourth = world.release(&upstream.behind(unchecked()).gateway());
    gwd.wait_for(&fourth);
    assert_eq!(get(address, "/a").status, 200);
}

#[test]
fn tls_failures_have_distinct_reasons() {
    let plain = Upstream::start(|_, _| Then::Close);
    let garbage = TcpListener::bind("127.0.0.1:0").unwrap();
    let says = garbage.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in garbage.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut hello = [0; 512];
            let _some = stream.read(&mut hello);
            let _gone = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let served = behind(says, unchecked()).serve();
    assert_eq!(
        refused(served.address),
        tuple("upstream_tls_failed", "tls_protocol_error")
    );
    // A server without TLS parses the ClientHello as a request and closes the connection.
    let served = behind(plain.address, unchecked()).serve();
    let (status, code, _) = refused(served.address);
    assert_eq!((status, code.as_str()), (502, "upstream_connect_failed"));
    // A server that never sends a byte.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut shop = behind(silent.local_addr().unwrap(), unchecked());
    shop.upstreams[0].connect_timeout_ms = 100;
    let served = shop.serve();
    let answer = get(served.address, "/a");
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (504, "upstream_connect_timeout")
    );
    let expected = ["gwd; error=connection_timeout"];
    assert_eq!(answer.field("proxy-status"), expected);
}

#[test]
fn own_certificate_is_sent_and_replaced_live() {
    let world = World::new();
    let secrets = Secrets::of(&world);
    let (authority, clients) = (Authority::new("ca"), Authority::new("clients"));
    let pem = authority.issue(&["127.0.0.1"]);
    let upstream = TlsUpstream::start(server(&pem, Some(&clients), &["http/1.1"]));
    let own = |name, years| secrets.shown(&clients, name, years);
    let without = checked(&secrets, &authority);
    let gwd = start(&world, &upstream.behind(without.clone()));
    let address = gwd.public();
    // In TLS 1.3, the alert certificate_required comes after the handshake.
    assert_eq!(
        refused(address),
        tuple("upstream_tls_alert", "tls_alert_received; alert-id=116")
    );
    let with = UpstreamTls {
        client_cert: Some(own("alice", 2)),
        ..without
    };
    let second = world.release(&upstream.behind(with).gateway());
    gwd.wait_for(&second);
    let response_text = || get(address, "/a").text().to_owned();
    let first = response_text();
    assert!(
        first.starts_with("sni=- client=CN=alice alpn=http/1.1 "),
        "{first}"
    );
    assert_eq!(response_text(), first, "the connection is used again");
    let end = || {
        gwd.metric(
            "gwd_tls_cert_not_after_timestamp_seconds",
            &["upstream/main"],
        )
    };
    let year = |years: i32| {
        let start = rcgen::date_time_ymd(this_year() + years, 1, 1);
        f64::from(u32::try_from(start.unix_timestamp()).unwrap())
    };
    assert_eq!(end(), year(2));

    own("bob", 3);
    eventually("the new certificate is sent", || {
        response_text().contains("client=CN=bob")
    });
    eventually("the metric has the new expiry", || end() == year(3));
    let after = response_text();
    assert_eq!(response_text(), after, "and its connection used again");

    // An unusable key file changes nothing.
    secrets.write("own.key", "none");
    eventually("status names the broken certificate", || {
        let broken = gwd.status()["broken_certificates"].to_string();
        broken.contains("there is no private key")
    });
    assert_eq!(response_text(), after);
    let events = gwd.events();
    let response_text = events.iter().map(ToString::to_string).collect::<String>();
    assert!(!response_text.contains("PRIVATE KEY"));
}

#[test]
fn authorities_change_live_and_old_peers_close() {
    let world = World::new();
    let secrets = Secrets::of(&world);
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let upstream = TlsUpstream::start(server(&old.issue(&["127.0.0.1"]), None, &[]));
    let gwd = start(&world, &upstream.behind(checked(&secrets, &old)));
    let address = gwd.public();
    assert_eq!(get(address, "/a").status, 200);
    secrets.write("upstream-ca.pem", &new.pem);
    eventually("the idle connection is not used", || {
        get(address, "/a").status == 502
    });
    upstream.exchange(server(&new.issue(&["127.0.0.1"]), None, &[]));
    assert_eq!(get(address, "/a").status, 200);
    // A file without certificates is unusable.
    secrets.write("upstream-ca.pem", "none\n");
    eventually("the status contains the broken CA certificate", || {
        let broken = gwd.status()["broken_certificates"].to_string();
        broken.contains("there is no certificate in PEM")
    });
    assert_eq!(get(address, "/a/close").status, 200);
    assert_eq!(get(address, "/a").status, 200);
}

#[test]
fn many_authorities_are_read_and_endless_ones_are_not() {
    let world = World::new();
    let secrets = Secrets::of(&world);
    let authority = Authority::new("ca");
    let upstream = TlsUpstream::start(server(&authority.issue(&["127.0.0.1"]), None, &[]));
    let mut many = Authority::new("other").pem.repeat(400);
    many.push_str(&authority.pem);
    assert!(many.len() > 128 << 10);
    let with = |name: &str, text: &str| UpstreamTls {
        ca: Some(secrets.write(name, text)),
        ..UpstreamTls::default()
    };
    let gwd = start(&world, &upstream.behind(with("many.pem", &many)));
    assert_eq!(get(gwd.public(), "/a").status, 200);
    let endless = "\n".repeat((1 << 20) + 1);
    world.release(&upstream.behind(with("endless.pem", &endless)).gateway());
    eventually("the bundle is refused", || {
        gwd.status()["last_error"]["reason"] == "secret-not-allowed"
    });
    assert_eq!(get(gwd.public(), "/a").status, 200);
}

#[test]
fn sessions_resume_and_other_tls_is_not_reused() {
    let authority = Authority::new("ca");
    let pem = authority.issue(&["127.0.0.1"]);
    let upstream = TlsUpstream::start(server(&pem, None, &[]));
    let mut served = upstream.behind(unchecked()).serve();
    let response_text = |served: &Served, path: &str| get(served.address, path).text().to_owned();
    assert!(response_text(&served, "/a/close").contains("resumed=false"));
    assert!(response_text(&served, "/a/close").contains("resumed=true"));
    assert!(response_text(&served, "/a").ends_with("resumed=true connection=2"));

    // A version with the same TLS settings keeps the connection. A version with another server name
    // opens a new connection.
    let mut publish = |tls: UpstreamTls, number: u8| {
        let mut shop = upstream.behind(tls);
        shop.expose_bundle = true;
        let version = shop.build(&mut served.node, Digest::of(&[number]));
        served.node.publish(&version, number.into());
        response_text(&served, "/a")
    };
    assert!(publish(unchecked(), 2).ends_with("connection=2"));
    let named = UpstreamTls {
        sni: Some("b.internal".into()),
        ..unchecked()
    };
    assert_eq!(
        publish(named, 3),
        "sni=b.internal client=- alpn=- resumed=false connection=3"
    );
    assert!(publish(unchecked(), 4).ends_with("connection=2"));
}

#[test]
fn health_checks_use_the_tls_of_requests() {
    let world = World::new();
    let secrets = Secrets::of(&world);
    let (authority, stranger) = (Authority::new("ca"), Authority::new("stranger"));
    let good = server(&authority.issue(&["127.0.0.1"]), None, &["http/1.1"]);
    let upstream = TlsUpstream::start(good);
    for kind in ["http", "tcp"] {
        let mut shop = upstream.behind(checked(&secrets, &authority));
        let settings = [("interval", 20), ("timeout", 2_000)];
        let settings = settings.iter().fold(Settings::default(), |all, (key, ms)| {
            all.with(&[key], Value::One(Scalar::Duration(*ms)))
        });
        let settings = settings.with(&["kind"], Value::One(Scalar::Text(kind.into())));
        shop.upstreams[0].health.active = Some(Active::of(&settings));
        let gwd = start(&world, &shop);
        let host = upstream.address.to_string();
        let works = || gwd.metric("gwd_upstream_host_healthy", &[&host]) == 1.0;
        eventually("the host is healthy", works);
        upstream.exchange(server(&stranger.issue(&["127.0.0.1"]), None, &[]));
        eventually("the host is unhealthy", || !works());
        let why = gwd.ask("GET", "/v1/status", "").json()["upstreams"].to_string();
        assert!(why.contains("invalid peer certificate"), "{kind}: {why}");
        upstream.exchange(server(
            &authority.issue(&["127.0.0.1"]),
            None,
            &["http/1.1"],
        ));
        eventually("the host is healthy again", works);
    }
}

#[test]
fn a_websocket_goes_over_tls() {
    let authority = Authority::new("ca");
    let pem = authority.issue(&["127.0.0.1"]);
    // The server supports HTTP/2, but a WebSocket connection offers only HTTP/1.1.
    let config = Arc::new(server(&pem, None, &["h2", "http/1.1"]));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let echo = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        // Response value for the sample key of RFC 6455 §1.3.
        let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
             upgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        stream.write_all(answer.as_bytes()).unwrap();
        let mut frame = [0; 9];
        stream.read_exact(&mut frame).unwrap();
        stream.write_all(&frame).unwrap();
        stream.conn.alpn_protocol().map(<[u8]>::to_vec)
    });
    let mut shop = behind(address, unchecked());
    shop.ops = vec![op("GET", "/ws").websocket()];
    shop.upstreams[0].protocol = UpstreamProtocol::Auto;
    let served = shop.serve();
    let mut client = Client::connect(served.address);
    client.send(
        "GET /ws HTTP/1.1\r\nhost: shop.example\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    let frame = [0x81, 0x83, 1, 2, 3, 4, b'a' ^ 1, b'b' ^ 2, b'c' ^ 3];
    client.another().write_all(&frame).unwrap();
    assert_eq!(client.bytes(9), frame);
    assert_eq!(echo.join().unwrap().as_deref(), Some(&b"http/1.1"[..]));
}
