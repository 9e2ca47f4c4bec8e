//! Slow uploads: an upstream's request permits remain available for requests that make progress.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use policy::traffic::retry::Condition;

use crate::fixture::*;
use crate::frames::{DATA, HEADERS, Raw, begins, frame};
use crate::http2::http2;
use crate::retries::retries;

const SHED: &str = "gwd_overload_shed_total";

/// Clients that each upload 10,000 pieces at five pieces a second, until this value is dropped.
struct Trickle {
    clients: Vec<Client>,
    stop: Arc<AtomicBool>,
}

impl Trickle {
    fn start(served: &Served, count: usize, piece: usize) -> Self {
        let length = piece * 10_000;
        let piece = "x".repeat(piece);
        let clients: Vec<Client> = (0..count)
            .map(|_| {
                let mut client = Client::connect(served.address);
                client.send(&format!(
                    "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\nx"
                ));
                client
            })
            .collect();
        let stop = Arc::<AtomicBool>::default();
        let ended = Arc::clone(&stop);
        let mut streams: Vec<_> = clients.iter().map(Client::another).collect();
        std::thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) {
                for stream in &mut streams {
                    let _closed = stream.write_all(piece.as_bytes());
                }
                std::thread::park_timeout(Duration::from_millis(200));
            }
        });
        Self { clients, stop }
    }
}

impl Drop for Trickle {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

fn post(served: &Served) -> u16 {
    let mut client = Client::connect(served.address);
    client.send("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\nok");
    client.answer().status
}

#[test]
fn trickled_uploads_leave_half_of_the_upstream() {
    leave_half_of_the_upstream(1);
}

/// Uploads of 500 bytes per second, twice the minimum rate.
#[test]
fn uploads_above_the_least_rate_leave_half_too() {
    leave_half_of_the_upstream(100);
}

fn leave_half_of_the_upstream(piece: usize) {
    let full = prerequisite::is_full();
    let (limit, count) = if full { (1_024, 1_100) } else { (16, 24) };
    let upstream = Upstream::saying("ok");
    let mut shop = shop(upstream.address, vec![op("GET", "/a"), op("POST", "/a")]);
    shop.upstreams[0].limits.requests = limit;
    let served = shop.serve();
    let mut trickle = Trickle::start(&served, count, piece);
    let began = Instant::now();
    eventually("half of the permits are free", || {
        served.metric(SHED, &["slow_uploads"]) as u64 >= limit / 4
    });
    assert!(began.elapsed() < Duration::from_secs(20));
    for _ in 0..20 {
        assert_eq!(get(served.address, "/a").status, 200);
        assert_eq!(post(&served), 200, "an upload that delivers");
    }
    let has_response = trickle
        .clients
        .iter_mut()
        .any(|client| client.is_answered() && client.rest_or_head().contains(" 408 "));
    assert!(has_response, "a client that is given up gets a response");
}

/// Streams of two HTTP/2 connections that each upload one byte at a time.
#[test]
fn trickled_http2_uploads_leave_half_of_the_upstream() {
    let upstream = Upstream::saying("ok");
    let ops = vec![op("GET", "/a"), op("POST", "/a")];
    let mut shop = http2(shop(upstream.address, ops));
    shop.upstreams[0].limits.requests = 16;
    let served = shop.serve();
    let streams: Vec<u32> = (0..12).map(|number| 2 * number + 1).collect();
    let mut raws: Vec<Raw> = (0..2).map(|_| Raw::connect(served.address)).collect();
    for raw in &mut raws {
        for stream in &streams {
            assert!(raw.send(&begins(*stream)));
        }
    }
    let stop = Arc::<AtomicBool>::default();
    let ended = Arc::clone(&stop);
    let mut sockets: Vec<_> = raws.iter().map(|raw| raw.0.try_clone().unwrap()).collect();
    let trickle = std::thread::spawn(move || {
        while !ended.load(Ordering::SeqCst) {
            for socket in &mut sockets {
                for stream in &streams {
                    let _closed = socket.write_all(&frame(DATA, 0, *stream, b"x"));
                }
            }
            std::thread::park_timeout(Duration::from_millis(200));
        }
    });
    eventually("half of the permits are free", || {
        let shed = |resource| served.metric(SHED, &[resource]) as u64;
        shed("slow_uploads") + shed("uploads_per_address") >= 4
    });
    for _ in 0..20 {
        assert_eq!(get(served.address, "/a").status, 200);
        assert_eq!(post(&served), 200, "an upload that delivers");
    }
    let has_response = raws
        .iter_mut()
        .any(|raw| raw.find(|frame| frame.kind == HEADERS).is_some());
    assert!(has_response, "a stream that is given up gets a response");
    stop.store(true, Ordering::SeqCst);
    trickle.thread().unpark();
    trickle.join().unwrap();
}

/// An operation with `stream: true` has no time limit, but its stalled uploads share the same
/// limit.
#[test]
fn silent_streams_leave_half_of_the_upstream() {
    let upstream = Upstream::saying("ok");
    let mut streaming = op("POST", "/s");
    streaming.forwarding.stream = true;
    let mut shop = shop(upstream.address, vec![op("GET", "/a"), streaming]);
    shop.upstreams[0].limits.requests = 16;
    let served = shop.serve();
    let head = "POST /s HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";
    let silent: Vec<Client> = (0..24)
        .map(|_| {
            let mut client = Client::connect(served.address);
            client.send(head);
            client
        })
        .collect();
    eventually("half of the permits are free", || {
        let shed = |resource| served.metric(SHED, &[resource]) as u64;
        shed("slow_uploads") + shed("uploads_per_address") >= 24 - 8
    });
    for _ in 0..20 {
        assert_eq!(get(served.address, "/a").status, 200);
    }
    drop(silent);
}

/// Clients request 64 MiB and read nothing. They hold at most half of the permits.
#[test]
fn slow_readers_leave_half_of_the_upstream() {
    let upstream = Upstream::start(|request, stream| {
        let length = if request.line().contains("/big") {
            64 << 20
        } else {
            2
        };
        say(stream, &format!("content-length: {length}\r\n"), "");
        let piece = [b'z'; 65_536];
        let mut left = length;
        while left > 0 {
            let now = left.min(piece.len());
            if stream.write_all(&piece[..now]).is_err() {
                return Then::Close;
            }
            left -= now;
        }
        Then::Keep
    });
    let mut shop = shop(upstream.address, vec![op("GET", "/a"), op("GET", "/big")]);
    shop.upstreams[0].limits.requests = 16;
    let served = shop.serve();
    let standing: Vec<Client> = (0..14)
        .map(|_| {
            let mut client = Client::connect(served.address);
            client.send("GET /big HTTP/1.1\r\nhost: h\r\n\r\n");
            client
        })
        .collect();
    eventually("half of the permits are free", || {
        served.metric(SHED, &["slow_downloads"]) as u64 >= 14 - 8
    });
    eventually("another request is served", || {
        get(served.address, "/a").status == 200
    });
    for _ in 0..20 {
        assert_eq!(get(served.address, "/a").status, 200);
    }
    drop(standing);
}

/// Clients that send `sent` of 100,000 bytes and then nothing more.
fn stalled(served: &Served, count: usize, sent: usize) -> Vec<Client> {
    let body = "x".repeat(sent);
    let begin = |_| {
        let mut client = Client::connect(served.address);
        client.send(&format!(
            "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 100000\r\n\r\n{body}"
        ));
        client
    };
    (0..count).map(begin).collect()
}

fn post_of(served: &Served, length: usize) -> u16 {
    let mut client = Client::connect(served.address);
    let body = "x".repeat(length);
    client.send(&format!(
        "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\n{body}"
    ));
    client.answer().status
}

fn with_64_requests() -> (Upstream, Served) {
    let upstream = Upstream::saying("ok");
    let mut shop = shop(upstream.address, vec![op("GET", "/a"), op("POST", "/a")]);
    shop.upstreams[0].limits.requests = 64;
    let served = shop.serve();
    (upstream, served)
}

#[test]
fn stalled_uploads_of_an_address_leave_a_part() {
    let (_upstream, served) = with_64_requests();
    let mut refused = 0;
    // Repeat: the permits of the first round are free again after its clients have disconnected.
    for _ in 0..2 {
        // The uploads of one address get half of the permits, and then a quarter more. An eighth
        // more is for uploads that have sent many bytes, as these have.
        let mut clients = stalled(&served, 100, 80_000);
        refused += 40;
        eventually("uploads above the share are refused", || {
            served.metric(SHED, &["uploads_per_address"]) as u64 >= refused
        });
        assert_eq!(get(served.address, "/a").status, 200);
        let has_response = clients
            .iter_mut()
            .any(|client| client.is_answered() && client.rest_or_head().contains(" 503 "));
        assert!(has_response, "a refused client gets a response");
        drop(clients);
        eventually("a new upload is served", || post(&served) == 200);
        refused = served.metric(SHED, &["uploads_per_address"]) as u64;
    }
}

#[test]
fn quick_upload_beside_stalled_ones_is_served() {
    let (upstream, served) = with_64_requests();
    // Begin more uploads than one address may have. They have sent too few bytes to get further
    // permits.
    let stalled = stalled(&served, 100, 1_000);
    for _ in 0..10 {
        assert_eq!(post(&served), 200, "whole at once");
        assert_eq!(
            post_of(&served, 300_000),
            200,
            "longer than what is read first"
        );
    }
    assert_eq!(served.metric(SHED, &["uploads_per_address"]), 0.0);
    let seen = upstream.seen();
    let lengths = seen.iter().map(|request| request.body.len());
    let lengths: Vec<usize> = lengths
        .filter(|length| [2, 300_000].contains(length))
        .collect();
    assert_eq!(lengths, [2, 300_000].repeat(10), "bodies arrive whole");
    drop(stalled);
}

#[test]
fn upload_kept_for_retries_asks_for_no_place_early() {
    let upstream = Upstream::saying("ok");
    let mut shop = shop(upstream.address, vec![op("GET", "/a"), op("POST", "/a")]);
    let main = &mut shop.upstreams[0];
    main.limits.requests = 1;
    main.retries = Some(retries(1, &[Condition::GatewayError]));
    let served = shop.serve();
    let _trickle = Trickle::start(&served, 5, 1);
    for _ in 0..20 {
        assert_eq!(get(served.address, "/a").status, 200);
        assert_eq!(post(&served), 200);
    }
    assert_eq!(served.metric(SHED, &["slow_uploads"]), 0.0);
    assert_eq!(upstream.seen().len(), 40);
}

#[test]
fn slow_upload_that_delivers_again_is_served() {
    let upstream = Upstream::echoing();
    let mut shop = shop(upstream.address, vec![op("POST", "/a")]);
    shop.upstreams[0].limits.requests = 2;
    let served = shop.serve();
    let mut client = Client::connect(served.address);
    client.send("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 50000\r\n\r\n");
    // Pause for longer than the time after which an upload counts as slow.
    std::thread::park_timeout(Duration::from_millis(1_500));
    client.send(&"x".repeat(20_000));
    // An upload that makes progress is no longer slow, so another slow upload is admitted.
    let mut other = Client::connect(served.address);
    other.send("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\n\r\n");
    for _ in 0..4 {
        std::thread::park_timeout(Duration::from_millis(400));
        client.send(&"x".repeat(5_000));
    }
    other.send("x");
    assert_eq!(other.answer().status, 200);
    client.send(&"x".repeat(9_999));
    client.send("x");
    assert_eq!(client.answer().status, 200);
    assert_eq!(served.metric(SHED, &["slow_uploads"]), 0.0);
}

#[test]
fn body_timeout_and_min_rate_of_a_listener_count() {
    let upstream = Upstream::echoing();
    let ops = || vec![op("POST", "/a")];
    let send = |shop: Shop, pieces: u32| {
        let served = shop.serve();
        let mut client = Client::connect(served.address);
        client.send("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 1000\r\n\r\n");
        let mut stream = client.another();
        for _ in 0..pieces {
            let _closed = stream.write_all(&[b'x'; 50]);
            std::thread::park_timeout(Duration::from_millis(100));
        }
        client.answer().status
    };
    let mut impatient = shop(upstream.address, ops());
    impatient.listener.limits.body_timeout_ms = 300;
    assert_eq!(send(impatient, 0), 408, "silence");
    // The client sends 500 bytes per second: less than the minimum rate of `demanding`, more than
    // that of `lenient`.
    let mut demanding = shop(upstream.address, ops());
    demanding.listener.limits.body_timeout_ms = 300;
    demanding.listener.limits.min_rate_bytes = 5_000;
    assert_eq!(send(demanding, 20), 408, "slower than the rate");
    let mut lenient = shop(upstream.address, ops());
    lenient.listener.limits.body_timeout_ms = 300;
    lenient.listener.limits.min_rate_bytes = 100;
    assert_eq!(send(lenient, 20), 200, "faster than the rate");
}

#[test]
fn stream_idle_timeout_of_a_listener_counts() {
    let upstream = Upstream::start(|_, stream| {
        say(stream, "content-length: 100\r\n", "a beginning");
        Then::Leave
    });
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    shop.listener.limits.stream_idle_timeout_ms = 300;
    let served = shop.serve();
    let mut client = Client::connect(served.address);
    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    let began = Instant::now();
    let rest = client.rest();
    assert!(rest.ends_with("a beginning"), "{rest}");
    assert!(began.elapsed() < Duration::from_secs(10));
}
