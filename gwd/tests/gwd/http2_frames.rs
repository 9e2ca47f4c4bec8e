//! Invalid frames, tested one by one like in h2spec: RFC 9113 §3 to §8, and RFC 7541.
//!
//! The gateway does what the section requires, with the error code that the section names. Frames
//! on a stream that the client has ended close the connection instead of the stream (§5.4).

mod cases;
mod targets;

use std::time::Duration;

use crate::fixture::*;
use crate::frames::*;
use crate::http2::http2;
use cases::{cases, settings};

/// Expected result of the invalid bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The connection ends with GOAWAY and this code.
    Ends(u32),
    /// This stream is reset with this code.
    Resets(u32, u32),
    /// This stream gets a response with this status.
    Answers(u32, u16),
    /// No visible result: a later request on the connection is answered.
    GoesOn,
    /// The gateway neither answers nor reports an error. This is never correct.
    Silent,
}

use Fate::{Answers, Ends, GoesOn, Resets, Silent};

/// Stream of the request that is sent last. Its response shows that the connection continues
/// ([`GoesOn`]).
const LATER: u32 = 1_001;

fn observe(raw: &mut Raw, expected: Fate) -> Fate {
    if expected == GoesOn {
        raw.send(&asks(LATER));
    }
    loop {
        let Some(frame) = raw.next() else {
            return if raw.1 { Silent } else { Ends(u32::MAX) };
        };
        let seen = match frame.kind {
            GOAWAY => return Ends(frame.code()),
            RST_STREAM => Resets(frame.stream, frame.code()),
            HEADERS if frame.stream == LATER && frame.status() == 200 => GoesOn,
            HEADERS => Answers(frame.stream, frame.status()),
            _ => continue,
        };
        if seen == expected || matches!(seen, Resets(..)) {
            return seen;
        }
    }
}

#[test]
fn wrong_frame_ends_its_stream_or_connection_only() {
    let upstream = Upstream::echoing();
    let mut shop = shop(upstream.address, vec![op("GET", "/a"), op("POST", "/a")]);
    shop.listener.limits.connections = 1_000;
    let served = http2(shop).serve();
    let mut neighbour = crate::http2::Http2::connect(served.address);
    let all = cases();
    assert!(all.len() >= 95, "{}", all.len());
    let mut wrong = Vec::new();
    for (what, bytes, expected) in all {
        let mut raw = Raw::connect(served.address);
        raw.send(&bytes);
        let seen = observe(&mut raw, expected);
        if seen != expected {
            wrong.push(format!("{what}: {seen:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(neighbour.get("/a").head.status(), 200);
    let panics = served.metric("gwd_panics_total", &[]);
    assert_eq!(panics, 0.0);
}

#[test]
fn frames_in_pieces_end_connections_alike() {
    let upstream = Upstream::echoing();
    let mut shop = shop(upstream.address, vec![op("GET", "/a"), op("POST", "/a")]);
    shop.listener.limits.connections = 1_000;
    let served = http2(shop).serve();
    let mut wrong = Vec::new();
    for (what, bytes, expected) in cases() {
        // Skip long payloads: truncating them tests nothing new.
        if bytes.len() > 1_000 {
            continue;
        }
        let mut raw = Raw::connect(served.address);
        for byte in &bytes {
            raw.send(&[*byte]);
        }
        let seen = observe(&mut raw, expected);
        if seen != expected {
            wrong.push(format!("{what}: {seen:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Literal that is inserted into the table (RFC 7541 §6.2.1).
fn inserted(name: &str, value: &str) -> Vec<u8> {
    let mut field = field(name, value);
    field[0] = 0x40;
    field
}

#[test]
fn malformed_request_keeps_the_field_table() {
    let upstream = Upstream::echoing();
    let served = http2(shop(upstream.address, vec![op("GET", "/a")])).serve();
    let mut raw = Raw::connect(served.address);
    let malformed = [
        request("GET", &[]),
        inserted("x-first", "one"),
        inserted("Shop", "upper case"),
        inserted("x-second", "a\nb"),
        inserted("x-third", "three"),
    ]
    .concat();
    raw.send(&frame(HEADERS, END | END_HEADERS, 1, &malformed));
    let reset = raw.find(|frame| frame.kind == RST_STREAM).unwrap();
    assert_eq!((reset.stream, reset.code()), (1, PROTOCOL_ERROR));
    // Refer to entries 65 and 62 of the dynamic table, and to the name of entry 63 with another
    // value.
    let second = [0x7F, 0x00, 3, b't', b'w', b'o'];
    let fields = [&request("GET", &[])[..], &[0xC1, 0xBE], &second].concat();
    raw.send(&frame(HEADERS, END | END_HEADERS, 3, &fields));
    let answer = raw.find(|frame| frame.stream == 3 && frame.kind == HEADERS);
    assert_eq!(answer.unwrap().status(), 200);
    // Index 65 is now the entry with the upper-case name `Shop`: the message is malformed, and the
    // connection continues.
    let fields = [&request("GET", &[])[..], &[0xC0]].concat();
    raw.send(&frame(HEADERS, END | END_HEADERS, 5, &fields));
    let reset = raw.find(|frame| frame.kind == RST_STREAM).unwrap();
    assert_eq!((reset.stream, reset.code()), (5, PROTOCOL_ERROR));
    raw.send(&asks(7));
    let answer = raw.find(|frame| frame.stream == 7 && frame.kind == HEADERS);
    assert_eq!(answer.unwrap().status(), 200);
    let seen = upstream.seen();
    assert_eq!(seen.len(), 2);
    for (name, value) in [
        ("x-first", "one"),
        ("x-second", "two"),
        ("x-third", "three"),
    ] {
        assert_eq!(seen[0].field(name), [value], "{name}");
        assert!(seen[1].field(name).is_empty(), "{name}");
    }
}

#[test]
fn malformed_trailers_end_the_upstreams_request() {
    let (sender, reported) = std::sync::mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let upstream = Upstream::start(move |request, _| {
        sender.lock().unwrap().send(request.is_whole).unwrap();
        Then::Close
    });
    let served = http2(shop(upstream.address, vec![op("POST", "/a")])).serve();
    let mut raw = Raw::connect(served.address);
    raw.send(&begins(1));
    raw.send(&frame(DATA, 0, 1, b"ab"));
    let trailers = fields(&[("x-sum", "5"), (":path", "/secret")]);
    raw.send(&frame(HEADERS, END | END_HEADERS, 1, &trailers));
    let reset = raw.find(|frame| matches!(frame.kind, RST_STREAM | HEADERS));
    let reset = reset.unwrap();
    assert_eq!((reset.kind, reset.code()), (RST_STREAM, PROTOCOL_ERROR));
    drop((raw, served));
    // The upstream reports nothing if the stream was reset before the gateway had connected.
    let is_whole = reported
        .recv_timeout(Duration::from_secs(5))
        .unwrap_or(false);
    assert!(!is_whole, "the upstream got a whole request");
}

#[test]
fn connection_begins_with_settings() {
    let upstream = Upstream::echoing();
    let served = http2(shop(upstream.address, vec![op("GET", "/a")])).serve();
    let firsts = [
        ("a request", asks(1)),
        ("PING", frame(PING, 0, 0, b"12345678")),
        ("an acknowledgement", frame(SETTINGS, END, 0, &[])),
    ];
    let broken = || served.metric("gwd_rejections_total", &["reason=\"http2_protocol_error\""]);
    for (at, (what, first)) in firsts.into_iter().enumerate() {
        let mut raw = Raw::bare(served.address);
        raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        raw.send(&[first, frame(SETTINGS, 0, 0, &[]), asks(3)].concat());
        assert_eq!(raw.goodbye(), Some(PROTOCOL_ERROR), "{what}");
        eventually("the protocol error is counted", || {
            broken() == at as f64 + 1.0
        });
    }
    assert!(upstream.seen().is_empty());
}

#[test]
fn compression_error_is_counted_and_closes() {
    let upstream = Upstream::echoing();
    let served = http2(shop(upstream.address, vec![op("GET", "/a")])).serve();
    let counted = |reason: &str| {
        let reason = format!("reason=\"{reason}\"");
        served.metric("gwd_rejections_total", &[&reason])
    };
    let mut raw = Raw::connect(served.address);
    raw.send(&asks(1));
    let answer = raw.find(|frame| frame.kind == HEADERS).unwrap();
    assert_eq!((answer.stream, answer.status()), (1, 200));
    raw.send(&frame(HEADERS, END | END_HEADERS, 3, &[0x80]));
    let goodbye = raw.find(|frame| frame.kind == GOAWAY).unwrap();
    assert_eq!(goodbye.code(), COMPRESSION_ERROR);
    // GOAWAY names the last stream that was processed (§6.8).
    assert_eq!(goodbye.payload[..4], 1_u32.to_be_bytes());
    assert!(raw.next().is_none() && !raw.1, "the connection stays open");
    eventually("the compression error is counted", || {
        counted("http2_compression_error") == 1.0
    });
    let mut raw = Raw::connect(served.address);
    raw.send(&[asks(1), frame(DATA, END, 1, b"x")].concat());
    assert_eq!(raw.goodbye(), Some(STREAM_CLOSED));
    eventually("the stream error is counted", || {
        counted("http2_stream_closed") == 1.0
    });
}

#[test]
fn windows_and_pings_follow_the_client() {
    let upstream = Upstream::saying("hello");
    let served = http2(shop(upstream.address, vec![op("GET", "/a")])).serve();
    let mut raw = Raw::connect(served.address);
    // §6.5.3: of two values for one setting, the last is used. §6.9.2: a later value changes the
    // windows of open streams.
    let twice = [setting(4, 3), setting(4, 1)].concat();
    raw.send(&[frame(SETTINGS, 0, 0, &twice), asks(1)].concat());
    let acknowledged = |frame: &Frame| frame.kind == SETTINGS && frame.flags == END;
    assert!(raw.find(acknowledged).is_some());
    let data = |frame: &Frame| frame.kind == DATA;
    assert_eq!(raw.find(data).unwrap().payload, b"h");
    raw.send(&settings(4, 3));
    assert_eq!(raw.find(data).unwrap().payload, b"el");
    // A negative window opens with the update that makes it positive.
    raw.send(&settings(4, 1));
    raw.send(&frame(WINDOW_UPDATE, 0, 1, &2_u32.to_be_bytes()));
    raw.send(&frame(PING, 0, 0, b"12345678"));
    let pong = raw.find(|frame| frame.kind == PING || frame.kind == DATA);
    let pong = pong.unwrap();
    assert_eq!(
        (pong.kind, pong.flags, &*pong.payload),
        (PING, END, &b"12345678"[..])
    );
    raw.send(&frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes()));
    assert_eq!(raw.find(data).unwrap().payload, b"l");
}
