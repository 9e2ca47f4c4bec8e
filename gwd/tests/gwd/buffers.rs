//! Bytes buffered in the process are counted while they are buffered, and limited (data-plane.md
//! §10).

use std::io::Write as _;
use std::net::SocketAddr;

use bytes::Bytes;
use policy::traffic::retry::Condition;

use crate::client_groups::peak_bytes;
use crate::fixture::*;
use crate::frames::*;
use crate::http2::http2;
use crate::http2_upstream::{Http2Upstream, head, pour};
use crate::retries::retries;
use crate::routes::mirror;
use crate::websocket::HANDSHAKE;
use crate::world::{Process, World};

const BUFFERED: &str = "gwd_buffered_bytes";
/// Flow-control window of a client: the maximum of HTTP/2.
const OPEN: u32 = (1 << 31) - 1;

fn buffered(served: &Served) -> f64 {
    served.metric(BUFFERED, &[])
}

fn nothing_waits(served: &Served) {
    eventually("no bytes are buffered", || buffered(served) == 0.0);
}

/// Starts an upstream that answers with a body of this length.
fn large(bytes: usize) -> Upstream {
    Upstream::start(move |_, stream| {
        static PIECE: [u8; 1 << 16] = [b'z'; 1 << 16];
        say(stream, &format!("content-length: {bytes}\r\n"), "");
        for _ in 0..bytes >> 16 {
            if stream.write_all(&PIECE).is_err() {
                return Then::Close;
            }
        }
        Then::Keep
    })
}

/// Connects an HTTP/2 client with the largest flow-control windows, which reads nothing from its
/// socket.
fn greedy(address: SocketAddr) -> Raw {
    let mut raw = Raw::bare(address);
    // A small receive buffer, so that unread data stays in the gateway.
    let socket = socket2::SockRef::from(&raw.0);
    socket.set_recv_buffer_size(64 << 10).unwrap();
    raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    raw.send(&frame(SETTINGS, 0, 0, &setting(4, OPEN)));
    raw.send(&frame(SETTINGS, END, 0, &[]));
    let more = OPEN - 65_535;
    raw.send(&frame(WINDOW_UPDATE, 0, 0, &more.to_be_bytes()));
    raw
}

#[test]
fn unread_response_is_counted_until_taken_or_dropped() {
    let upstream = large(8 << 20);
    let served = http2(shop(upstream.address, vec![op("GET", "/a")])).serve();
    let mut raw = greedy(served.address);
    for stream in [1, 3, 5, 7] {
        raw.send(&asks(stream));
    }
    eventually("response bytes are buffered", || {
        buffered(&served) > 100_000.0
    });
    // The limit covers the data of four streams in h2, and data that the gateway has collected for
    // writing.
    assert!(buffered(&served) < 2e6, "{}", buffered(&served));
    // Reset one stream. Its buffered data is freed together with that of the other streams, when
    // the client reads.
    raw.send(&frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes()));
    let mut ended = 0;
    while ended < 3 {
        let frame = raw.next().unwrap();
        ended += usize::from(frame.kind == DATA && frame.flags & END != 0);
    }
    nothing_waits(&served);
    let mut raw = greedy(served.address);
    raw.send(&asks(1));
    eventually("response bytes are buffered again", || {
        buffered(&served) > 60_000.0
    });
    drop(raw);
    nothing_waits(&served);
}

/// Two uploads of one connection wait for the only connection of their upstream. Their bytes count
/// until one upload is reset and the other is read.
#[test]
fn unread_upload_is_counted_until_read_or_dropped() {
    let (release, wait) = gate();
    let upstream = Upstream::start(move |seen, stream| {
        if seen.body.is_empty() {
            let _gone = wait.lock().unwrap().recv();
        }
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    });
    let mut shop = shop(upstream.address, vec![op("GET", "/a"), op("POST", "/a")]);
    shop.upstreams[0].limits.connections = 1;
    shop.upstreams[0].connect_timeout_ms = 20_000;
    let served = http2(shop).serve();
    let mut first = Client::connect(served.address);
    first.send("GET /a HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    eventually("the upstream has the first request", || {
        upstream.seen().len() == 1
    });
    let mut raw = Raw::connect(served.address);
    // Wait until the gateway has enlarged the connection's window.
    raw.find(|frame| frame.kind == WINDOW_UPDATE).unwrap();
    for stream in [1, 3] {
        raw.send(&begins(stream));
        for _ in 0..6 {
            raw.send(&frame(DATA, 0, stream, &[0; 10_000]));
        }
    }
    eventually("both uploads are buffered", || {
        buffered(&served) == 120_000.0
    });
    raw.send(&frame(RST_STREAM, 0, 3, &8_u32.to_be_bytes()));
    raw.send(&frame(DATA, END, 1, &[0; 5_000]));
    release.send(()).unwrap();
    assert_eq!(first.answer().status, 200);
    drop(first);
    let answer = raw.find(|frame| frame.kind == HEADERS).unwrap();
    assert_eq!((answer.stream, answer.status()), (1, 200));
    assert_eq!(upstream.seen()[1].body.len(), 65_000);
    nothing_waits(&served);
}

#[test]
fn upload_of_a_refused_request_is_counted_briefly() {
    let upstream = Upstream::saying("ok");
    let served = http2(shop(upstream.address, vec![op("POST", "/b")])).serve();
    let mut raw = Raw::connect(served.address);
    for at in 0..20 {
        let stream = 2 * at + 1;
        raw.send(&begins(stream));
        raw.send(&frame(DATA, 0, stream, &[0; 16_384]));
        let refused = raw.find(|frame| frame.kind == HEADERS).unwrap();
        assert_eq!(refused.status(), 404);
        raw.send(&frame(DATA, END, stream, &[0; 16_384]));
    }
    raw.send(&asks(1_001));
    raw.find(|frame| frame.kind == HEADERS && frame.stream == 1_001)
        .unwrap();
    nothing_waits(&served);
}

#[test]
fn body_kept_for_a_retry_counts_until_the_response() {
    let (release, wait) = gate();
    let upstream = Upstream::start(move |_, stream| {
        let _gone = wait.lock().unwrap().recv();
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    });
    let mut shop = shop(upstream.address, vec![op("PUT", "/a")]);
    shop.upstreams[0].retries = Some(retries(1, &[Condition::GatewayError]));
    let served = shop.serve();
    let mut client = Client::connect(served.address);
    let put = "PUT /a HTTP/1.1\r\nhost: h\r\ncontent-length: 40000\r\n\r\n";
    client.send(&format!("{put}{}", "x".repeat(40_000)));
    eventually("the body is kept", || buffered(&served) == 40_000.0);
    release.send(()).unwrap();
    assert_eq!(client.answer().status, 200);
    nothing_waits(&served);
    // The client closes the connection in the middle of its body.
    client.send(&format!("{put}{}", "x".repeat(30_000)));
    eventually("the memory for the body is reserved", || {
        buffered(&served) == 40_000.0
    });
    drop(client);
    nothing_waits(&served);
}

#[test]
fn body_kept_for_a_mirror_counts_until_sent() {
    let upstream = Upstream::saying("ok");
    let (release, wait) = gate();
    let shadow = Upstream::start(move |_, stream| {
        let _gone = wait.lock().unwrap().recv();
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    });
    let mut shop = shop(upstream.address, vec![op("POST", "/a").policy("shadow")]);
    shop.upstreams.push(service("next", &[shadow.address]));
    shop.policies.push(mirror("shadow", "next"));
    let served = shop.serve();
    let mut client = Client::connect(served.address);
    client.send("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\nhello");
    eventually("a part of the body is kept", || buffered(&served) == 5.0);
    client.send(" you");
    assert_eq!(client.answer().status, 200);
    nothing_waits(&served);
    drop(release);
}

#[test]
fn unread_websocket_bytes_are_counted() {
    let upstream = Upstream::start(|seen, stream| {
        assert_eq!(seen.field("sec-websocket-version"), ["13"]);
        let head = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        // WebSocket frames of 125 bytes to a client that does not read.
        let frame = [&[0x82, 125][..], &[0; 125]].concat();
        while stream.write_all(&frame.repeat(100)).is_ok() {}
        Then::Close
    });
    let served = shop(upstream.address, vec![op("GET", "/ws").websocket()]).serve();
    let mut client = Client::connect(served.address);
    client.send(HANDSHAKE);
    client.head();
    eventually("WebSocket bytes are buffered", || buffered(&served) > 0.0);
    assert!(
        buffered(&served) <= (32 << 10) as f64,
        "one read of one way"
    );
    drop(client);
    nothing_waits(&served);
}

/// Clients request far more data than the memory limit and read none of it, over HTTP/2 and HTTP/1.
/// The process stays within its limit, other clients are served, and all memory is freed in the
/// end.
#[test]
fn slow_readers_are_bounded_and_others_are_served() {
    // Above 80 % of the limit, new connections wait until slow ones end. The buffers (30 %) and
    // the 1,120 connections must need less than that.
    const MEMORY_MIB: u64 = 192;
    let upstream = large(4 << 20);
    let world = World::new();
    let mut shop = http2(shop(upstream.address, vec![op("GET", "/a")]));
    // One client address may use a quarter of these permits for responses that it reads slowly.
    shop.upstreams[0].limits.requests = 5_000;
    shop.upstreams[0].limits.connections = 5_000;
    let bundle = world.release(&shop.gateway());
    let memory = format!("{MEMORY_MIB}MiB");
    let gwd = Process::spawn(world.trusted().args(["--memory", &memory]));
    gwd.wait_for(&bundle);
    // 100 connections with 10 streams of 64 KiB each could use 64 MiB.
    let mut slow: Vec<Raw> = (0..100).map(|_| greedy(gwd.public())).collect();
    for raw in &mut slow {
        for at in 0..10 {
            raw.send(&asks(2 * at + 1));
        }
    }
    let plain: Vec<Client> = (0..20)
        .map(|_| {
            let mut client = Client::connect(gwd.public());
            client.send("GET /a HTTP/1.1\r\nhost: shop.example\r\n\r\n");
            client
        })
        .collect();
    let waits = || gwd.metric(BUFFERED, &[]);
    eventually("30 MB are buffered", || waits() > 30e6);
    for _ in 0..5 {
        let mut other = Client::connect(gwd.public());
        other.send("GET /a HTTP/1.1\r\nhost: shop.example\r\n\r\n");
        assert_eq!(other.answer().body.len(), 4 << 20);
    }
    let status = gwd.status();
    assert_eq!(status["memory"]["max_bytes"], MEMORY_MIB << 20);
    let buffered_bytes = status["memory"]["buffered_bytes"].as_u64().unwrap();
    // The limit for buffers is 30 %, and each connection can exceed it by one frame.
    assert!(
        buffered_bytes < (MEMORY_MIB << 20) * 4 / 10,
        "{buffered_bytes}"
    );
    let peak = peak_bytes(&gwd) >> 20;
    assert!(peak <= MEMORY_MIB, "{peak} MiB");
    drop((slow, plain));
    eventually("no bytes are buffered", || waits() == 0.0);
}

/// Clients send long header blocks and never complete them. The process stays within its limit, and
/// other clients are served.
#[test]
fn incomplete_heads_are_bounded_and_others_are_served() {
    const MEMORY_MIB: u64 = 96;
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let shop = http2(shop(upstream.address, vec![op("GET", "/a")]));
    let bundle = world.release(&shop.gateway());
    let memory = format!("{MEMORY_MIB}MiB");
    let gwd = Process::spawn(world.trusted().args(["--memory", &memory]));
    gwd.wait_for(&bundle);
    let block = request("GET", &vec![("a", "x".repeat(120).as_str()); 2_000]);
    let mut head = Vec::new();
    for (at, piece) in block.chunks(16_000).enumerate() {
        let (kind, flags) = if at == 0 {
            (HEADERS, END)
        } else {
            (CONTINUATION, 0)
        };
        head.extend(frame(kind, flags, 1, piece));
    }
    // 200 blocks of 250 KB: half of the limit, without the copies of growing buffers.
    let mut waiting: Vec<Raw> = (0..200).map(|_| Raw::connect(gwd.public())).collect();
    for raw in &mut waiting {
        raw.0.set_nonblocking(true).unwrap();
    }
    let mut sent = vec![0; waiting.len()];
    let is_stuck = |sent: &mut [usize], waiting: &mut [Raw]| {
        let mut progress = 0;
        for (raw, sent) in waiting.iter_mut().zip(sent) {
            let written = raw.0.write(&head[*sent..]).unwrap_or(0);
            *sent += written;
            progress += written;
        }
        progress == 0
    };
    let waits = || gwd.metric(BUFFERED, &[]);
    eventually("28 MB are buffered", || {
        is_stuck(&mut sent, &mut waiting) && waits() > 28e6
    });
    for _ in 0..5 {
        let mut other = Client::connect(gwd.public());
        other.send("GET /a HTTP/1.1\r\nhost: shop.example\r\n\r\n");
        assert_eq!(other.answer().status, 200);
    }
    let buffered_bytes = waits() as u64;
    // The limit for buffers is 30 %, and each connection can exceed it by one read.
    assert!(
        buffered_bytes < (MEMORY_MIB << 20) * 4 / 10,
        "{buffered_bytes}"
    );
    let peak = peak_bytes(&gwd) >> 20;
    assert!(peak <= MEMORY_MIB, "{peak} MiB");
}

/// A client reads nothing of a response that comes over HTTP/2. One flow-control window of data
/// stays buffered in the upstream connection, and other streams on it are served.
#[test]
fn responses_in_upstream_connections_are_counted() {
    let upstream = Http2Upstream::start(|_, (_, mut respond)| async move {
        let mut stream = respond.send_response(head(200), false).unwrap();
        pour(&mut stream, Bytes::from_static(&[b'z'; 16 << 20])).await;
        let _gone = stream.send_data(Bytes::new(), true);
    });
    let shop = http2(upstream.behind(vec![op("GET", "/a")]));
    let served = shop.serve();
    let mut raw = greedy(served.address);
    raw.send(&asks(1));
    // The window of a stream is 64 KiB. Up to half of it may be uncounted, because the stream's
    // window update is still pending.
    eventually("response bytes are buffered", || buffered(&served) > 3e4);
    let mut other = Client::connect(served.address);
    other.send("GET /a HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    assert_eq!(other.answer().body.len(), 16 << 20);
    drop(raw);
    nothing_waits(&served);
}
