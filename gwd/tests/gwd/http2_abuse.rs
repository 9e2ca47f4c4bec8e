//! HTTP/2 clients that cause useless work. Each client is limited, counted and disconnected, while
//! other connections of the same worker are served.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::fixture::*;
use crate::frames::*;
use crate::http2::http2;

const REJECTIONS: &str = "gwd_rejections_total";

/// Function that returns the bytes of a step of a flood, given the number of the step.
type Wave = fn(u32) -> Vec<u8>;

/// Sends the steps of a flood until the gateway ends the connection. Returns the code of its
/// GOAWAY.
fn flood(address: SocketAddr, first: &[u8], wave: Wave) -> Option<u32> {
    let mut raw = Raw::connect(address);
    raw.send(first);
    let mut writer = Raw(raw.0.try_clone().unwrap(), false);
    let sending = std::thread::spawn(move || {
        // More steps than any limit allows, so that the test ends in any case.
        let waves = 0..200_000_u32;
        for number in waves.step_by(100) {
            let batch: Vec<u8> = (number..number + 100).flat_map(wave).collect();
            if !writer.send(&batch) {
                return;
            }
        }
        drop(writer.0.shutdown(std::net::Shutdown::Write));
    });
    let code = raw.goodbye();
    sending.join().unwrap();
    code
}

fn odd(number: u32) -> u32 {
    2 * number + 1
}

#[test]
fn floods_are_closed_while_others_are_served() {
    let floods: [(&str, Vec<u8>, Wave); 11] = [
        ("PING", Vec::new(), |_| frame(PING, 0, 0, b"12345678")),
        ("SETTINGS", Vec::new(), |_| frame(SETTINGS, 0, 0, &[])),
        ("SETTINGS with something in them", Vec::new(), |at| {
            let many: Vec<u8> = (0..100).flat_map(|_| setting(1, at % 2 * 4_096)).collect();
            frame(SETTINGS, 0, 0, &many)
        }),
        ("PRIORITY", Vec::new(), |at| {
            frame(PRIORITY, 0, odd(at % 1_000), &[0, 0, 0, 0, 1])
        }),
        ("WINDOW_UPDATE", Vec::new(), |_| {
            frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes())
        }),
        ("WINDOW_UPDATE of a stream", begins(1), |_| {
            frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes())
        }),
        ("unknown frames", Vec::new(), |_| frame(0xEE, 0, 0, b"")),
        ("empty DATA", begins(1), |_| frame(DATA, 0, 1, b"")),
        (
            "CONTINUATION (CVE-2024-27316)",
            frame(HEADERS, END, 1, &request("GET", &[])),
            |_| frame(CONTINUATION, 0, 1, &field("a", "b")),
        ),
        ("rapid reset (CVE-2023-44487)", Vec::new(), |at| {
            let stream = odd(at);
            [
                asks(stream),
                frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()),
            ]
            .concat()
        }),
        ("made you reset (CVE-2025-8671)", Vec::new(), |at| {
            // A body shorter than its content-length makes the gateway reset the stream.
            let stream = odd(at);
            let head = request("POST", &[("content-length", "9")]);
            let head = frame(HEADERS, END_HEADERS, stream, &head);
            [head, frame(DATA, END, stream, b"x")].concat()
        }),
    ];
    let upstream = Upstream::saying("ok");
    let served = http2(shop(
        upstream.address,
        vec![op("GET", "/a"), op("POST", "/a")],
    ))
    .serve();
    let calm = || served.metric(REJECTIONS, &["reason=\"http2_enhance_your_calm\""]);
    for (done, (what, first, wave)) in floods.into_iter().enumerate() {
        let over = AtomicBool::new(false);
        let (code, slowest) = std::thread::scope(|scope| {
            let neighbour = scope.spawn(|| {
                let mut client = crate::http2::Http2::connect(served.address);
                let mut slowest = Duration::ZERO;
                while !over.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    assert_eq!(client.get("/a").head.status(), 200, "{what}");
                    slowest = slowest.max(began.elapsed());
                }
                slowest
            });
            let code = flood(served.address, &first, wave);
            over.store(true, Ordering::Relaxed);
            (code, neighbour.join().unwrap())
        });
        assert_eq!(code, Some(ENHANCE_YOUR_CALM), "{what}");
        eventually("the closed connection is counted", || {
            calm() == done as f64 + 1.0
        });
        assert!(slowest < Duration::from_secs(2), "{what}: {slowest:?}");
    }
}

#[test]
fn client_that_cancels_running_requests_gets_goaway() {
    // An upstream that never answers, so that a stream is active until it is reset.
    let (release, gate) = gate();
    let upstream = Upstream::start(move |_, _| {
        let _released = gate.lock().unwrap().recv();
        Then::Close
    });
    let served = http2(shop(upstream.address, vec![op("GET", "/a")])).serve();
    let mut raw = Raw::connect(served.address);
    let reading = Raw(raw.0.try_clone().unwrap(), false);
    // The GOAWAY comes after about 500 streams, and the client waits for each of them to
    // start.
    let patient = Some(20 * WAIT_MAX);
    reading.0.set_read_timeout(patient).unwrap();
    let goodbye = std::thread::spawn(move || {
        let mut reading = reading;
        let goaway = reading.find(|frame| frame.kind == GOAWAY);
        goaway.map(|frame| frame.code())
    });
    let mut opened = 0;
    for at in 0..2_000 {
        if !raw.send(&asks(odd(at))) {
            break;
        }
        opened += 1;
        // Wait until the request is in progress and no longer queued.
        eventually("the request is in progress", || {
            goodbye.is_finished() || served.metric("http_server_active_requests", &[]) >= 1.0
        });
        if !raw.send(&frame(RST_STREAM, 0, odd(at), &8_u32.to_be_bytes())) {
            break;
        }
        eventually("the request has ended", || {
            goodbye.is_finished() || served.metric("http_server_active_requests", &[]) == 0.0
        });
        if goodbye.is_finished() {
            break;
        }
    }
    assert_eq!(goodbye.join().unwrap(), Some(NO_ERROR));
    assert!((450..1_900).contains(&opened), "{opened}");
    drop(release);
}

/// The streams of one connection can be of different clients, if the connection is that of a proxy.
#[test]
fn faulty_streams_do_not_end_other_streams() {
    let waves: [(&str, Wave); 4] = [
        ("malformed heads", |at| {
            let head = request("GET", &[("Upper", "x")]);
            frame(HEADERS, END | END_HEADERS, odd(at), &head)
        }),
        ("short bodies", |at| {
            let head = request("POST", &[("content-length", "9")]);
            let head = frame(HEADERS, END_HEADERS, odd(at), &head);
            [head, frame(DATA, END, odd(at), b"x")].concat()
        }),
        ("windows that overflow", |at| {
            let update = frame(WINDOW_UPDATE, 0, odd(at), &0x7FFF_FFFF_u32.to_be_bytes());
            [begins(odd(at)), update].concat()
        }),
        ("cancelled requests", |at| {
            let reset = frame(RST_STREAM, 0, odd(at), &8_u32.to_be_bytes());
            [asks(odd(at)), reset].concat()
        }),
    ];
    for (name, wave) in waves {
        let (release, gate) = gate();
        let upstream = Upstream::start(move |request, stream| {
            if request.head.starts_with("PUT ") {
                let _released = gate.lock().unwrap().recv();
            }
            say(stream, "content-length: 2\r\n", "ok");
            Then::Keep
        });
        let ops = ["GET", "POST", "PUT"].map(|method| op(method, "/a"));
        let ops = ops.into();
        let served = http2(shop(upstream.address, ops)).serve();
        let mut raw = Raw::connect(served.address);
        let head = request("PUT", &[]);
        raw.send(&frame(HEADERS, END | END_HEADERS, 1, &head));
        eventually("the request is in progress", || {
            served.metric("http_server_active_requests", &[]) == 1.0
        });
        // The gateway acknowledges each PING after the frames before it.
        let goaway = (1..1_000).find_map(|at| {
            raw.send(&[wave(at), frame(PING, 0, 0, b"12345678")].concat());
            let answer = raw.find(|frame| match frame.kind {
                PING => frame.flags & 1 != 0,
                kind => kind == GOAWAY || kind == HEADERS && frame.stream == 1,
            });
            let answer = answer.unwrap_or_else(|| panic!("{name}: the connection ends at {at}"));
            (answer.kind != PING).then_some((at, answer))
        });
        let (at, goaway) = goaway.unwrap_or_else(|| panic!("{name}: no GOAWAY"));
        assert_eq!((goaway.kind, goaway.code()), (GOAWAY, NO_ERROR), "{name}");
        assert!(at > 200, "{name}: {at}");
        drop(release);
        let answer = raw.find(|frame| frame.kind == HEADERS && frame.stream == 1);
        assert_eq!(answer.unwrap().status(), 200, "{name}");
    }
}

#[test]
fn control_frames_with_requests_are_no_flood() {
    let upstream = Upstream::saying("ok");
    let served = http2(shop(upstream.address, vec![op("GET", "/a")])).serve();
    let mut raw = Raw::connect(served.address);
    // These fields are typical for the requests of a browser or a gRPC client. In total, the client
    // sends more than a flood may send.
    for at in 0..1_500 {
        let stream = odd(at);
        raw.send(
            &[
                frame(PRIORITY, 0, stream, &[0, 0, 0, 0, 1]),
                asks(stream),
                frame(WINDOW_UPDATE, 0, 0, &2_u32.to_be_bytes()),
                frame(PING, 0, 0, b"12345678"),
            ]
            .concat(),
        );
        let answer = raw.find(|frame| frame.kind == HEADERS || frame.kind == GOAWAY);
        assert_eq!(answer.unwrap().status(), 200, "request {at}");
    }
}

#[test]
fn smaller_limit_of_heads_refuses_streams_only() {
    let upstream = Upstream::saying("ok");
    let mut shop = http2(shop(
        upstream.address,
        vec![op("GET", "/a"), op("POST", "/a")],
    ));
    shop.listener.limits.header_bytes = 8 << 10;
    let served = shop.serve();
    let mut raw = Raw::connect(served.address);
    // Each field has a size of 153 bytes in the header list (RFC 9113 §6.5.2).
    let value = "x".repeat(120);
    for (at, fields) in [(0, 40), (1, 60), (2, 90), (3, 40)] {
        let block = request("GET", &vec![("a", value.as_str()); fields]);
        raw.send(&frame(HEADERS, END | END_HEADERS, odd(at), &block));
        let answer = raw.find(|frame| frame.stream == odd(at)).unwrap();
        assert_eq!(answer.kind, HEADERS, "{fields} fields");
        let expected = if fields == 40 { 200 } else { 0 };
        assert_eq!(answer.status(), expected, "{fields} fields");
    }
    // A head of 40 KiB, more than four times the limit.
    let block = request("GET", &vec![("a", value.as_str()); 260]);
    let pieces: Vec<&[u8]> = block.chunks(16_000).collect();
    for (at, piece) in pieces.iter().enumerate() {
        let (kind, flags) = match at {
            0 => (HEADERS, END),
            _ if at + 1 == pieces.len() => (CONTINUATION, END_HEADERS),
            _ => (CONTINUATION, 0),
        };
        raw.send(&frame(kind, flags, odd(4), piece));
    }
    let answer = raw.find(|frame| frame.stream == odd(4)).unwrap();
    assert_eq!((answer.kind, answer.status()), (HEADERS, 0));
    // Trailers of the same size reset their stream.
    raw.send(&begins(odd(5)));
    let trailers = fields(&[("b", value.as_str()); 60]);
    raw.send(&frame(HEADERS, END | END_HEADERS, odd(5), &trailers));
    let answer = raw.find(|frame| frame.stream == odd(5)).unwrap();
    assert_eq!(answer.kind, RST_STREAM);
    raw.send(&asks(odd(6)));
    let answer = raw.find(|frame| frame.stream == odd(6)).unwrap();
    assert_eq!(answer.status(), 200);
    eventually("the refused heads are counted", || {
        served.metric(REJECTIONS, &["reason=\"headers_too_large\""]) == 3.0
    });
}

#[test]
fn heads_of_many_frames_are_refused_alone() {
    let upstream = Upstream::saying("ok");
    let mut shop = http2(shop(
        upstream.address,
        vec![op("GET", "/a"), op("POST", "/a")],
    ));
    shop.listener.limits.header_bytes = 40_000;
    let served = shop.serve();
    let mut raw = Raw::connect(served.address);
    let settings = raw.find(|frame| frame.kind == SETTINGS).unwrap();
    let announced = [&[0, 6][..], &40_000_u32.to_be_bytes()].concat();
    let mut parameters = settings.payload.chunks(6);
    assert!(parameters.any(|one| one == announced), "{settings:?}");
    // A request in flight, as of another client of a proxy.
    raw.send(&begins(odd(0)));
    let value = "x".repeat(120);
    // Header blocks of 100 to 262 KB.
    for (at, fields) in [(1, 800), (2, 1_200), (3, 1_600), (4, 2_100)] {
        let block = request("GET", &vec![("a", value.as_str()); fields]);
        let pieces: Vec<&[u8]> = block.chunks(16_000).collect();
        for (index, piece) in pieces.iter().enumerate() {
            let kind = if index == 0 { HEADERS } else { CONTINUATION };
            let ends = if index == 0 { END } else { 0 };
            let last = index + 1 == pieces.len();
            let flags = if last { ends | END_HEADERS } else { ends };
            raw.send(&frame(kind, flags, odd(at), piece));
        }
        let answer = raw.find(|frame| frame.stream == odd(at) || frame.kind == GOAWAY);
        let answer = answer.unwrap();
        assert_eq!(
            (answer.kind, answer.status()),
            (HEADERS, 0),
            "{fields} fields"
        );
    }
    raw.send(&frame(DATA, END, odd(0), b"x"));
    let answer = raw.find(|frame| frame.stream == odd(0) && frame.kind == HEADERS);
    assert_eq!(answer.unwrap().status(), 200);
}

#[test]
fn large_header_lists_are_refused_and_bombs_close() {
    let upstream = Upstream::saying("ok");
    let served = http2(shop(upstream.address, vec![op("GET", "/a")])).serve();
    // A header block of twice the maximum, in frames of allowed length. The stream is refused, the
    // connection stays open.
    let large = "x".repeat(120);
    let many: Vec<(&str, &str)> = (0..800).map(|_| ("a", large.as_str())).collect();
    let block = request("GET", &many);
    let mut raw = Raw::connect(served.address);
    let pieces: Vec<&[u8]> = block.chunks(16_000).collect();
    raw.send(&frame(HEADERS, END, 1, pieces[0]));
    for (at, piece) in pieces.iter().enumerate().skip(1) {
        let last = at + 1 == pieces.len();
        raw.send(&frame(
            CONTINUATION,
            if last { END_HEADERS } else { 0 },
            1,
            piece,
        ));
    }
    let answer = raw
        .find(|frame| matches!(frame.kind, HEADERS | RST_STREAM | GOAWAY))
        .unwrap();
    assert_eq!(answer.kind, HEADERS, "{answer:?}");
    raw.send(&asks(3));
    let later = raw.find(|frame| frame.stream == 3 && frame.kind == HEADERS);
    assert_eq!(later.unwrap().status(), 200);
    // One large entry of the dynamic table, which thousands of bytes each refer to (CVE-2016-6581).
    let resident = || served.metric("process_resident_memory_bytes", &[]);
    let before = resident();
    let mut raw = Raw::connect(served.address);
    let value = "y".repeat(3_900);
    // A literal field that is added to the dynamic table. Its length takes three bytes (RFC 7541
    // §5.1).
    let entry = [&[0x40, 1, b'b', 0x7F, 0xBD, 0x1D][..], value.as_bytes()].concat();
    assert_eq!(127 + 0x3D + (0x1D << 7), 3_900);
    let first = [request("GET", &[]), entry].concat();
    raw.send(&frame(HEADERS, END | END_HEADERS, 1, &first));
    let bomb = [request("GET", &[]), vec![0xBE; 16_000]].concat();
    let mut stream = 3;
    let answer = loop {
        raw.send(&frame(HEADERS, END | END_HEADERS, stream, &bomb));
        stream += 2;
        let answer = raw.find(|frame| frame.kind == GOAWAY || frame.kind == HEADERS);
        match answer {
            Some(frame) if frame.kind == HEADERS && stream < 200 => {}
            other => break other,
        }
    };
    assert_eq!(answer.map(|frame| frame.code()), Some(ENHANCE_YOUR_CALM));
    assert!(
        resident() < before + (32 << 20) as f64,
        "{}",
        resident() - before
    );
}

#[test]
fn closed_windows_buffer_little_and_delay_no_other() {
    let upstream = Upstream::start(|_, stream| {
        // Use one static buffer for all responses, because the test shares its process with the
        // gateway.
        static PIECE: [u8; 1 << 16] = [b'z'; 1 << 16];
        say(stream, "content-length: 8388608\r\n", "");
        for _ in 0..128 {
            if std::io::Write::write_all(stream, &PIECE).is_err() {
                break;
            }
        }
        Then::Close
    });
    let served = http2(shop(upstream.address, vec![op("GET", "/a").prefix()])).serve();
    let resident = || served.metric("process_resident_memory_bytes", &[]);
    let before = resident();
    let mut raw = Raw::connect(served.address);
    // Set the windows of all streams to 0.
    raw.send(&frame(SETTINGS, 0, 0, &setting(4, 0)));
    for at in 0..100 {
        raw.send(&asks(odd(at)));
    }
    for _ in 0..100 {
        assert_eq!(
            raw.find(|frame| frame.kind == HEADERS).unwrap().status(),
            200
        );
    }
    let mut neighbour = Client::connect(served.address);
    neighbour.send("GET /a HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n");
    assert_eq!(neighbour.answer().body.len(), 8 << 20);
    let used_bytes = resident() - before;
    assert!(
        used_bytes < (64 << 20) as f64,
        "100 stalled bodies of 8 MiB hold {used_bytes} bytes"
    );
    // Open the window of one stream: only that stream makes progress.
    raw.send(&frame(WINDOW_UPDATE, 0, 1, &1_000_u32.to_be_bytes()));
    let data = raw.find(|frame| frame.kind == DATA).unwrap();
    assert_eq!((data.stream, data.payload.len()), (1, 1_000));
}
