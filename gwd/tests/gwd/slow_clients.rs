//! Slow clients: heads and bodies that arrive slowly, responses that are read slowly, and clients
//! that have vanished. The tests use short timeouts and the default values of other limits.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bundle::digest::Digest;
use gwd::node::{Node, Settings, TimeLimits};
use policy::{Form, SecretCell, SecretRef, SecretUnavailable, Secrets};
use socket2::{SockFilter, SockRef};

use crate::fixture::*;
use crate::frames::*;

const TIME_LIMITS: TimeLimits = TimeLimits {
    grace_ms: 400,
    bytes_per_s: 2_000,
    half_open_ms: 2_000,
    ..TimeLimits::DEFAULT
};
const REJECTIONS: &str = "gwd_rejections_total";

/// Serves a gateway with short timeouts, and secrets in files.
fn serve(shop: &Shop) -> Served {
    serve_files(shop, TIME_LIMITS)
}

/// Serves a gateway with these timeouts, and secrets in files.
pub(crate) fn serve_files(shop: &Shop, time_limits: TimeLimits) -> Served {
    let mut node = Node::start(Settings {
        time_limits,
        ..settings()
    })
    .unwrap();
    let assembly = node.parts().assemble(&shop.gateway()).unwrap();
    let version = node.build(&assembly, Digest::of(b"one"), &Files).unwrap();
    node.bind(&version).unwrap();
    node.publish(&version, 1);
    let address = node.listeners()["public"];
    Served { node, address }
}

/// Source of secrets in files.
pub(crate) struct Files;

impl Secrets for Files {
    fn cell(&self, reference: &SecretRef, _: Form) -> Result<Arc<SecretCell>, SecretUnavailable> {
        match reference {
            SecretRef::File(path) => Ok(SecretCell::new(std::fs::read(path).unwrap())),
            SecretRef::Env(_) => Err(SecretUnavailable {
                reference: reference.clone(),
                reason: "secret-missing",
            }),
        }
    }
}

/// Starts an upstream that sends 64 MiB.
fn endless_upstream() -> Upstream {
    Upstream::start(|_, stream| {
        say(stream, "content-length: 67108864\r\n", "");
        let piece = [b'z'; 65_536];
        for _ in 0..1_024 {
            if stream.write_all(&piece).is_err() {
                break;
            }
        }
        Then::Close
    })
}

fn open_connections(served: &Served) -> f64 {
    served.metric("gwd_downstream_connections", &[])
}

/// Writes a piece of a body each time the interval `every` has passed, until the gateway responds
/// or `total` has passed. Returns the elapsed time.
fn trickle(client: &Client, piece: &[u8], every: Duration, total: Duration) -> Duration {
    let mut stream = client.another();
    stream.set_nonblocking(true).unwrap();
    let began = Instant::now();
    while began.elapsed() < total {
        let _closed = stream.write_all(piece);
        std::thread::park_timeout(every);
        let mut byte = [0];
        match stream.peek(&mut byte) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            _ => break,
        }
    }
    stream.set_nonblocking(false).unwrap();
    began.elapsed()
}

const POST: &str = "POST /a HTTP/1.1\r\nhost: shop.example\r\n";

#[test]
fn stalled_or_trickled_upload_is_408() {
    let upstream = Upstream::echoing();
    let served = serve(&shop(upstream.address, vec![op("POST", "/a")]));
    for (what, piece) in [
        ("silence", &b""[..]),
        ("a trickle of 200 bytes a second", &[b'x'; 10]),
    ] {
        let mut client = Client::connect(served.address);
        client.send(&format!("{POST}content-length: 1000000\r\n\r\n"));
        let took = trickle(&client, piece, Duration::from_millis(50), WAIT_MAX);
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (408, "request_timeout"),
            "{what}"
        );
        assert!(took < Duration::from_secs(5), "{what}: {took:?}");
    }
    // Chunks of one byte also count as slow.
    let mut client = Client::connect(served.address);
    client.send(&format!("{POST}transfer-encoding: chunked\r\n\r\n"));
    trickle(&client, b"1\r\nx\r\n", Duration::from_millis(50), WAIT_MAX);
    assert_eq!(client.answer().status, 408);
}

#[test]
fn upload_at_min_rate_or_with_a_slow_upstream_passes() {
    let upstream = Upstream::start(|seen, stream| {
        // Wait for longer than any timeout of a client.
        std::thread::park_timeout(Duration::from_millis(900));
        let body = seen.body.len().to_string();
        say(
            stream,
            &format!("content-length: {}\r\n", body.len()),
            &body,
        );
        Then::Keep
    });
    let served = serve(&shop(upstream.address, vec![op("POST", "/a")]));
    let mut client = Client::connect(served.address);
    client.send(&format!("{POST}content-length: 10000\r\n\r\n"));
    for _ in 0..100 {
        client.send(&"x".repeat(100));
        std::thread::park_timeout(Duration::from_millis(10));
    }
    assert_eq!(client.answer().text(), "10000");
}

#[test]
fn an_operation_that_streams_may_be_silent() {
    let upstream = Upstream::echoing();
    let mut quiet = op("POST", "/a");
    quiet.forwarding.stream = true;
    let served = serve(&shop(upstream.address, vec![quiet]));
    let mut client = Client::connect(served.address);
    client.send(&format!(
        "{POST}transfer-encoding: chunked\r\n\r\n1\r\nx\r\n"
    ));
    std::thread::park_timeout(Duration::from_millis(1_200));
    client.send("1\r\ny\r\n0\r\n\r\n");
    let answer = client.answer();
    assert!(answer.text().ends_with("\nxy"), "{answer:?}");
}

/// Reads the head of a response of 64 MiB, then this number of bytes every 50 ms. Returns the time
/// until the gateway ends the connection.
fn read_slowly(served: &Served, bytes: usize) -> Duration {
    let mut client = Client::connect(served.address);
    SockRef::from(&client.another())
        .set_recv_buffer_size(4_096)
        .unwrap();
    client.send("GET /a HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    client.head();
    let began = Instant::now();
    let mut stream = client.another();
    let mut piece = vec![0; bytes];
    while open_connections(served) > 0.0 && began.elapsed() < WAIT_MAX {
        std::thread::park_timeout(Duration::from_millis(50));
        if bytes > 0 && stream.read(&mut piece).unwrap_or(0) == 0 {
            break;
        }
    }
    began.elapsed()
}

#[test]
fn a_reader_that_takes_nothing_or_a_trickle_is_left() {
    let upstream = endless_upstream();
    let served = serve(&shop(upstream.address, vec![op("GET", "/a")]));
    for bytes in [0, 10] {
        let took = read_slowly(&served, bytes);
        assert!(
            took < Duration::from_secs(10),
            "{bytes} bytes at a time: {took:?}"
        );
        eventually("the connection is closed", || {
            open_connections(&served) == 0.0
        });
    }
    // The gateway reads only as much of the upstream's response as a slow client takes.
    let (mut client, began) = (Client::connect(served.address), Instant::now());
    client.send("GET /a HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n");
    client.head();
    let mut stream = client.another();
    let mut piece = vec![0; 1 << 20];
    let mut total = 0;
    // Read slowly, but faster than the minimum rate.
    while began.elapsed() < Duration::from_millis(1_500) {
        total += stream.read(&mut piece).unwrap();
        std::thread::park_timeout(Duration::from_millis(20));
    }
    total += client.rest().len();
    assert!(total > 60 << 20, "{total}");
}

#[test]
fn a_reader_over_tls_that_takes_nothing_is_left() {
    let upstream = endless_upstream();
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    let _certificate = crate::tls::with_certificate(&mut shop);
    let served = serve(&shop);
    let mut child = Command::new("openssl")
        .args([
            "s_client",
            "-quiet",
            "-connect",
            &served.address.to_string(),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The test does not read curl's output: once the pipe is full, curl stops reading the response.
    let request = "GET /a HTTP/1.1\r\nhost: shop.example\r\n\r\n";
    let mut input = child.stdin.take().unwrap();
    input.write_all(request.as_bytes()).unwrap();
    eventually("the request is in progress", || {
        served.metric("http_server_active_requests", &[]) == 1.0
    });
    eventually("the connection is closed", || {
        open_connections(&served) == 0.0
    });
    assert_eq!(served.metric("http_server_active_requests", &[]), 0.0);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn http2_stream_with_a_closed_window_is_reset_alone() {
    let upstream = endless_upstream();
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    shop.listener.http2 = true;
    let served = serve(&shop);
    let mut raw = Raw::connect(served.address);
    raw.send(&frame(SETTINGS, 0, 0, &setting(4, 0)));
    raw.send(&asks(1));
    assert_eq!(
        raw.find(|frame| frame.kind == HEADERS).unwrap().status(),
        200
    );
    let reset = raw
        .find(|frame| matches!(frame.kind, RST_STREAM | GOAWAY))
        .unwrap();
    assert_eq!((reset.kind, reset.stream), (RST_STREAM, 1));
    eventually("the exchange has ended", || {
        served.metric("http_server_active_requests", &[]) == 0.0
    });
    raw.send(&asks(3));
    assert_eq!(raw.find(|frame| frame.kind == HEADERS).unwrap().stream, 3);
}

#[test]
fn over_http2_a_client_that_reads_nothing_is_left() {
    let upstream = endless_upstream();
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    shop.listener.http2 = true;
    let served = serve(&shop);
    let mut raw = Raw::connect(served.address);
    SockRef::from(&raw.0).set_recv_buffer_size(4_096).unwrap();
    // Set all flow-control windows to their maximum.
    raw.send(&frame(SETTINGS, 0, 0, &setting(4, 0x7FFF_FFFF)));
    raw.send(&frame(WINDOW_UPDATE, 0, 0, &0x7000_0000_u32.to_be_bytes()));
    raw.send(&asks(1));
    eventually("the request is in progress", || {
        served.metric("http_server_active_requests", &[]) == 1.0
    });
    eventually("the connection is closed", || {
        open_connections(&served) == 0.0
    });
    // A client that sends requests and does not read the responses.
    let mut raw = Raw::connect(served.address);
    SockRef::from(&raw.0).set_recv_buffer_size(4_096).unwrap();
    raw.0.set_nonblocking(true).unwrap();
    let pings = frame(PING, 0, 0, b"12345678").repeat(50);
    eventually("the connection is closed", || {
        let _full = raw.0.write(&pings);
        open_connections(&served) == 0.0
    });
}

#[test]
fn stalled_upload_over_http2_is_408() {
    let upstream = Upstream::echoing();
    let mut shop = shop(upstream.address, vec![op("POST", "/a")]);
    shop.listener.http2 = true;
    let served = serve(&shop);
    let mut raw = Raw::connect(served.address);
    raw.send(&begins(1));
    raw.send(&frame(DATA, 0, 1, b"x"));
    let answer = raw.find(|frame| frame.kind == HEADERS).unwrap();
    assert_eq!(
        (answer.stream, answer.status()),
        (1, 0),
        "not in the static table"
    );
    let stalled = served.metric("http_server_request_duration_seconds_count", &["408"]);
    assert_eq!(stalled, 1.0);
}

#[test]
fn heads_that_come_slowly_or_do_not_end_are_given_up() {
    let upstream = Upstream::saying("ok");
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    shop.listener.limits.header_timeout_ms = 300;
    shop.listener.limits.idle_timeout_ms = 600;
    shop.listener.http2 = true;
    let served = serve(&shop);
    let mut client = Client::connect(served.address);
    client.send("GET /a HTTP/1.1\r\nhost: shop.example\r\nx-slow: ");
    let took = trickle(&client, b"x", Duration::from_millis(20), WAIT_MAX);
    assert_eq!(client.answer().status, 408);
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(served.metric(REJECTIONS, &["header_timeout"]), 1.0);
    // Over HTTP/2, an unfinished header block is not a request yet, so the connection counts as
    // idle.
    let mut raw = Raw::connect(served.address);
    raw.send(&frame(HEADERS, END, 1, &request("GET", &[])));
    assert_eq!(raw.goodbye(), Some(NO_ERROR));
    assert!(upstream.seen().is_empty());
}

#[test]
fn heads_that_are_too_large_are_431() {
    let upstream = Upstream::saying("ok");
    let served = serve(&shop(upstream.address, vec![op("GET", "/a")]));
    let field = |length: usize| format!("x-large: {}\r\n", "y".repeat(length));
    for (what, fields) in [
        ("one huge field", field(1 << 20)),
        ("fields of 70 KiB in all", field(10 << 10).repeat(7)),
        ("101 fields", field(1).repeat(101)),
        ("10,000 fields", field(1).repeat(10_000)),
    ] {
        let answer = fetch(served.address, "GET", "/a", &fields);
        assert_eq!(answer.status, 431, "{what}");
    }
    eventually("all rejections are counted", || {
        served.metric(REJECTIONS, &["headers_too_large"]) == 4.0
    });
    assert!(upstream.seen().is_empty());
}

#[test]
fn a_client_that_is_gone_without_a_word_is_noticed() {
    let upstream = Upstream::saying("ok");
    let served = serve(&shop(upstream.address, vec![op("GET", "/a")]));
    let mut client = Client::connect(served.address);
    client.send("GET /a HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    // From now on the client's kernel drops all packets: it neither acknowledges nor resets.
    let stream: TcpStream = client.another();
    let drop_all = [SockFilter::new(0x06, 0, 0, 0)];
    SockRef::from(&stream.as_fd())
        .attach_filter(&drop_all)
        .unwrap();
    let began = Instant::now();
    eventually("the connection is closed", || {
        open_connections(&served) == 0.0
    });
    assert!(began.elapsed() > Duration::from_secs(1));
}
