//! Tests of [`super`], alone and with h2 behind it.

use super::*;

const STREAM_1: u32 = 1;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [a, b, c, kind, flags];
    [&head[..], &stream.to_be_bytes(), payload].concat()
}

fn setting(id: u16, value: u32) -> Vec<u8> {
    let parameter = [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &parameter)
}

/// Returns the preface and a SETTINGS frame, followed by `frames`.
fn after_settings(frames: &[Vec<u8>]) -> Vec<u8> {
    let begin = [vec![7; PREFACE_BYTES], frame(SETTINGS, 0, 0, &[])].concat();
    [begin, frames.concat()].concat()
}

/// Bytes that h2 gets if the input arrives in pieces of this length, and the error of the
/// inspection.
fn inspected(bytes: &[u8], piece: usize) -> (Vec<u8>, Option<Reason>) {
    let mut frames = ClientFrames::new(Clock::new(), 65_536);
    let (mut kept, mut passed) = (Vec::new(), Vec::new());
    for part in bytes.chunks(piece) {
        kept.extend_from_slice(part);
        loop {
            let progress = frames.inspect(&kept);
            passed.extend(kept.drain(..progress.passed));
            match progress.then {
                Then::More => break,
                Then::Replace(length, bytes) => {
                    kept.drain(..length);
                    passed.extend(bytes);
                }
                Then::End(reason) => return (passed, Some(reason)),
            }
        }
    }
    assert!(kept.is_empty(), "{kept:?}");
    (passed, None)
}

#[test]
fn wrong_frames_are_seen_however_they_come() {
    let good = after_settings(&[frame(PING, 0, 0, &[7; 8]), setting(4, WINDOW_MAX)]);
    let request = [0x82, 0x86, 0x84];
    let ended = frame(HEADERS, END_STREAM | END_HEADERS, STREAM_1, &request);
    let block = frame(HEADERS, 0, 3, &request);
    let cases = [
        (frame(PING, 0, 0, &[7; 7]), Reason::FRAME_SIZE_ERROR),
        (
            frame(WINDOW_UPDATE, 0, 0, &[7; 3]),
            Reason::FRAME_SIZE_ERROR,
        ),
        (
            frame(0xEE, 0, 0, &[7; PAYLOAD_BYTES + 1]),
            Reason::FRAME_SIZE_ERROR,
        ),
        (setting(4, WINDOW_MAX + 1), Reason::FLOW_CONTROL_ERROR),
        (frame(PUSH_PROMISE, 0, 1, &[7; 4]), Reason::PROTOCOL_ERROR),
        (
            frame(HEADERS, END_HEADERS, 3, &[0xFF; 9]),
            Reason::COMPRESSION_ERROR,
        ),
        (
            frame(HEADERS, END_HEADERS | PADDED, 3, &[2, 7]),
            Reason::PROTOCOL_ERROR,
        ),
        (
            [&block[..], &frame(PING, 0, 0, &[7; 8])].concat(),
            Reason::PROTOCOL_ERROR,
        ),
        (
            [&block[..], &frame(CONTINUATION, 0, 5, &[])].concat(),
            Reason::PROTOCOL_ERROR,
        ),
        (
            [&block[..], &frame(CONTINUATION, 0, 3, &[]).repeat(22)].concat(),
            Reason::ENHANCE_YOUR_CALM,
        ),
    ];
    for (wrong, reason) in cases {
        let bytes = [&good[..], &wrong, &good].concat();
        for piece in [1, 3, 8, 9, 10, bytes.len()] {
            let (passed, seen) = inspected(&bytes, piece);
            assert_eq!(seen, Some(reason), "pieces of {piece}");
            assert_eq!(passed, good, "pieces of {piece}");
        }
    }
    let bytes = [&good[..], &ended, &frame(DATA, 0, STREAM_1, &[7])].concat();
    let (passed, seen) = inspected(&bytes, 1);
    assert_eq!(
        (passed, seen),
        ([good, ended].concat(), Some(Reason::STREAM_CLOSED))
    );
}

#[test]
fn first_frame_must_be_settings() {
    let preface = vec![7; PREFACE_BYTES];
    let request = frame(HEADERS, END_STREAM | END_HEADERS, STREAM_1, &[0x82]);
    for first in [
        request.clone(),
        frame(SETTINGS, ACK, 0, &[]),
        frame(PING, 0, 0, &[7; 8]),
    ] {
        let bytes = [&preface[..], &first].concat();
        let expected = (preface.clone(), Some(Reason::PROTOCOL_ERROR));
        assert_eq!(inspected(&bytes, 1), expected);
    }
    let bytes = after_settings(&[request]);
    assert_eq!(inspected(&bytes, 5), (bytes.clone(), None));
}

#[test]
fn flood_ends_at_the_same_frame_in_any_pieces() {
    let ping = frame(PING, 0, 0, &[7; 8]);
    let all = after_settings(&[ping.repeat(5_000)]);
    let (passed, reason) = inspected(&all, all.len());
    assert_eq!(reason, Some(Reason::ENHANCE_YOUR_CALM));
    // Of the 1,000 control frames, the first one is SETTINGS.
    assert!(passed.len() >= after_settings(&[ping.repeat(999)]).len());
    assert!(passed.len() < all.len());
}

#[test]
fn malformed_block_is_replaced_in_its_place() {
    let good = frame(HEADERS, END_STREAM | END_HEADERS, 3, &[0x82, 0x86, 0x84]);
    // Header block with the invalid field `A: b` (upper case), which is added to the HPACK dynamic
    // table.
    let block = *b"\x82\x86\x84\x40\x01A\x01b";
    let expected = b"\x82\x86\x84\x40\x01x\x01x\x10\x0Aconnection\x00";
    let whole = |flags, block: &[u8]| frame(HEADERS, flags, STREAM_1, block);
    let flags = END_STREAM | END_HEADERS;
    let forms = [
        whole(flags, &block),
        whole(flags | PADDED, &[&[3][..], &block, &[0; 3]].concat()),
        whole(
            flags | WITH_PRIORITY,
            &[&[0, 0, 0, 9, 9][..], &block].concat(),
        ),
        [
            whole(END_STREAM, &block[..4]),
            frame(CONTINUATION, 0, STREAM_1, &block[4..5]),
            frame(CONTINUATION, END_HEADERS, STREAM_1, &block[5..]),
        ]
        .concat(),
    ];
    for form in forms {
        let bytes = after_settings(&[form, good.clone()]);
        for piece in [1, 7, bytes.len()] {
            let expected = after_settings(&[whole(flags, expected), good.clone()]);
            assert_eq!(inspected(&bytes, piece), (expected, None));
        }
    }
}

#[test]
fn pseudo_fields_are_for_heads_only() {
    let path = [0x84];
    let head = frame(HEADERS, END_HEADERS, STREAM_1, &path);
    let trailers = |block: &[u8]| frame(HEADERS, END_STREAM | END_HEADERS, STREAM_1, block);
    let bytes = after_settings(&[head.clone(), trailers(&path)]);
    let expected = after_settings(&[head, trailers(&hpack::malformed(&path))]);
    assert_eq!(inspected(&bytes, 4), (expected, None));
}

#[test]
fn dependency_on_itself_resets_after_decoding() {
    let payload = [0, 0, 0, 1, 9, 0x84];
    let flags = END_STREAM | END_HEADERS;
    let bytes = after_settings(&[frame(HEADERS, flags | WITH_PRIORITY, STREAM_1, &payload)]);
    let expected = frame(HEADERS, flags, STREAM_1, &hpack::malformed(&[0x84]));
    assert_eq!(inspected(&bytes, 4), (after_settings(&[expected]), None));
}

#[test]
fn long_replacements_come_in_several_frames() {
    let block = vec![b'x'; 2 * PAYLOAD_BYTES + 1];
    let frames = Frame::parse([0, 0, 0, HEADERS, END_STREAM | END_HEADERS, 0, 0, 0, 1]);
    let expected = [
        frame(HEADERS, END_STREAM, STREAM_1, &block[..PAYLOAD_BYTES]),
        frame(CONTINUATION, 0, STREAM_1, &block[..PAYLOAD_BYTES]),
        frame(CONTINUATION, END_HEADERS, STREAM_1, b"x"),
    ];
    assert_eq!(frames.with_block(&block), expected.concat());
}

/// Random number generator splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    fn one_of<'t>(&mut self, texts: &[&'t [u8]]) -> &'t [u8] {
        texts[self.below(texts.len())]
    }

    /// Encodes a random header field in a random HPACK representation. `entries`: number of entries
    /// in the dynamic table.
    fn field(&mut self, entries: usize) -> Vec<u8> {
        let long = &[b'l'; 120][..];
        let names: [&[u8]; 9] = [
            b"a", b"shop", b"Shop", b"a b", b"", b":other", b":path", b":method", long,
        ];
        let values: [&[u8]; 8] = [
            b"",
            b"b",
            b"a\nb",
            b"\xFF",
            b"value",
            long,
            &[b'v'; 126],
            &[0; 100],
        ];
        let first = [0x00, 0x10, 0x40, 0x40, 0x40][self.below(5)];
        let short = |index: usize| u8::try_from(index).unwrap();
        let text = |text: &[u8]| [&[short(text.len())], text].concat();
        let value = text(self.one_of(&values));
        let index = self.below(61 + entries) + 1;
        match self.below(3) {
            0 => vec![0x80 | short(index.min(126))],
            1 if first == 0x40 => [vec![0x40 | short(index.min(62))], value].concat(),
            1 => [vec![first | short(index.min(14))], value].concat(),
            _ => [vec![first], text(self.one_of(&names)), value].concat(),
        }
    }
}

/// Error with which h2 ends a connection, given all bytes of a client.
async fn error_of_h2(bytes: &[u8]) -> Option<Reason> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let (client, server) = tokio::io::duplex(1 << 20);
    let (mut reader, mut writer) = tokio::io::split(client);
    let serve = async {
        let mut connection = h2::server::handshake(server).await.unwrap();
        while let Some(accepted) = connection.accept().await {
            match accepted {
                Ok((_, mut respond)) => drop(respond.send_response(http::Response::new(()), true)),
                Err(error) => return error.reason(),
            }
        }
        None
    };
    let send = async {
        writer.write_all(bytes).await.unwrap();
        writer.shutdown().await.unwrap();
        let mut responses = Vec::new();
        let _closed = reader.read_to_end(&mut responses).await;
    };
    tokio::join!(serve, send).0
}

#[test]
fn h2_keeps_the_same_table_for_any_blocks() {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.build().unwrap();
    let mut malformed = 0;
    for seed in 0..300 {
        let mut dice = Dice(seed);
        let mut frames = ClientFrames::new(Clock::new(), 65_536);
        let mut sent = after_settings(&[]);
        sent[..PREFACE_BYTES].copy_from_slice(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        assert_eq!(frames.inspect(&sent).passed, sent.len());
        for stream in 0..40 {
            let entries = frames.headers.sizes().count();
            let mut block = match dice.below(8) {
                0 => vec![0x3F, dice.below(128) as u8],
                1 => vec![0x3F, 0xE1, 0x1F],
                _ => Vec::new(),
            };
            for _ in 0..dice.below(8) {
                block.extend(dice.field(if block.is_empty() { entries } else { 0 }));
            }
            // Refer to the oldest entry of the dynamic table: if the tables of client and server
            // differ, this entry differs first.
            let flags = END_STREAM | END_HEADERS;
            let block = frame(HEADERS, flags, 4 * stream + 1, &block);
            match frames.inspect(&block) {
                Progress {
                    then: Then::Replace(length, bytes),
                    passed: 0,
                } => {
                    assert_eq!(length, block.len());
                    malformed += 1;
                    sent.extend(bytes);
                }
                Progress {
                    then: Then::More,
                    passed,
                } => {
                    assert_eq!(passed, block.len());
                    sent.extend(block);
                }
                // The block has an index without an entry or an incomplete field: the connection
                // ends.
                Progress {
                    then: Then::End(_), ..
                } => break,
                other => panic!("{other:?}"),
            }
            let oldest = 61 + frames.headers.sizes().count();
            if oldest > 61 && oldest < 0x7F {
                sent.extend(frame(
                    HEADERS,
                    flags,
                    4 * stream + 3,
                    &[0x80 | oldest as u8],
                ));
            }
        }
        let error = runtime.block_on(error_of_h2(&sent));
        assert_eq!(error, None, "seed {seed}");
    }
    assert!(malformed > 1_000, "{malformed}");
}
