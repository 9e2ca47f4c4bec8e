//! Invalid bytes of an HTTP/2 client, and what the gateway does.

use super::Fate::{self, Answers, Ends, GoesOn, Resets};
use crate::frames::*;

/// A request with exactly these fields.
fn head(all: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END | END_HEADERS, 1, &fields(all))
}

/// The valid request with one more field.
fn with(name: &str, value: &str) -> Vec<u8> {
    frame(
        HEADERS,
        END | END_HEADERS,
        1,
        &request("GET", &[(name, value)]),
    )
}

/// A CONNECT request in stream 5 with these fields.
fn connect(flags: u8, more: &[(&str, &str)]) -> Vec<u8> {
    let own = [(":method", "CONNECT"), (":authority", "shop.example")];
    let all = [&own[..], more].concat();
    frame(HEADERS, flags | END_HEADERS, 5, &fields(&all))
}

pub(super) fn settings(id: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &setting(id, value))
}

/// Test cases: section, bytes sent after preface and settings, and expected result.
pub(super) fn cases() -> Vec<(&'static str, Vec<u8>, Fate)> {
    let good = request("GET", &[]);
    let begun = |stream| frame(HEADERS, END, stream, &good);
    let authority = (":authority", "shop.example");
    let (method, scheme, path) = ((":method", "GET"), (":scheme", "http"), (":path", "/a"));
    let too_long = vec![0; 16_385];
    let coded = |more: &[u8]| {
        let block = [&good[..], more].concat();
        frame(HEADERS, END | END_HEADERS, 1, &block)
    };
    let max = 0x7FFF_FFFF_u32;
    let opened = |more: Vec<u8>| [begins(1), more].concat();
    let done = |more: Vec<u8>| [asks(1), more].concat();
    let reset = frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes());
    let was_reset = |more: Vec<u8>| [begins(1), reset.clone(), more].concat();
    let mut cases = vec![
        (
            "4.1 a frame of an unknown type",
            frame(0xEE, 0xFF, 0, b"what"),
            GoesOn,
        ),
        (
            "4.1 an unknown type on a stream",
            opened(frame(0xEE, 0, 1, b"")),
            GoesOn,
        ),
        (
            "4.1 flags that mean nothing",
            frame(PING, 0xFE, 0, b"12345678"),
            GoesOn,
        ),
        (
            "4.1 the reserved bit",
            frame(WINDOW_UPDATE, 0, 1 << 31, &1_u32.to_be_bytes()),
            GoesOn,
        ),
        (
            "4.2 DATA longer than allowed",
            opened(frame(DATA, 0, 1, &too_long)),
            Ends(FRAME_SIZE_ERROR),
        ),
        (
            "4.2 HEADERS longer than allowed",
            frame(HEADERS, END | END_HEADERS, 1, &too_long),
            Ends(FRAME_SIZE_ERROR),
        ),
        (
            "4.3 a header block that is none",
            frame(HEADERS, END | END_HEADERS, 1, &[0xFF; 8]),
            Ends(COMPRESSION_ERROR),
        ),
        (
            "4.3 an index without an entry",
            frame(HEADERS, END | END_HEADERS, 1, &[0xC0]),
            Ends(COMPRESSION_ERROR),
        ),
        (
            "4.3 a table larger than the settings allow",
            frame(
                HEADERS,
                END | END_HEADERS,
                1,
                &[&[0x3F, 0xE1, 0xFF, 0x03], &good[..]].concat(),
            ),
            Ends(COMPRESSION_ERROR),
        ),
        (
            "4.3 trailers that are cut off",
            opened(frame(HEADERS, END | END_HEADERS, 1, &[0x40, 0x0A, b'x'])),
            Ends(COMPRESSION_ERROR),
        ),
        (
            "4.3 a Huffman code that ends with zeros",
            coded(&[0x00, 0x01, b'a', 0x81, 0x18]),
            Ends(COMPRESSION_ERROR),
        ),
        (
            "4.3 a Huffman code with EOS",
            coded(&[0x00, 0x01, b'a', 0x84, 0xFF, 0xFF, 0xFF, 0xFF]),
            Ends(COMPRESSION_ERROR),
        ),
        (
            "4.3 a Huffman code with 8 bits of padding",
            coded(&[0x00, 0x01, b'a', 0x82, 0x1F, 0xFF]),
            Ends(COMPRESSION_ERROR),
        ),
        ("4.3 index 0", coded(&[0x80]), Ends(COMPRESSION_ERROR)),
        (
            "4.3 a new table size behind a field",
            coded(&[0x20]),
            Ends(COMPRESSION_ERROR),
        ),
        (
            "4.3 PRIORITY inside a header block",
            [begun(1), frame(PRIORITY, 0, 1, &[0; 5])].concat(),
            Ends(PROTOCOL_ERROR),
        ),
        (
            "4.3 HEADERS inside another's block",
            [begun(1), asks(3)].concat(),
            Ends(PROTOCOL_ERROR),
        ),
        (
            "5.1 DATA on an idle stream",
            frame(DATA, END, 1, b"x"),
            Ends(PROTOCOL_ERROR),
        ),
        (
            "5.1 RST_STREAM on an idle stream",
            reset.clone(),
            Ends(PROTOCOL_ERROR),
        ),
        (
            "5.1 WINDOW_UPDATE on an idle stream",
            frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes()),
            Ends(PROTOCOL_ERROR),
        ),
        (
            "5.1 CONTINUATION on an idle stream",
            frame(CONTINUATION, END_HEADERS, 1, &good),
            Ends(PROTOCOL_ERROR),
        ),
        (
            "5.1 DATA after END_STREAM",
            done(frame(DATA, END, 1, b"x")),
            Ends(STREAM_CLOSED),
        ),
        (
            "5.1 HEADERS after END_STREAM",
            done(asks(1)),
            Ends(STREAM_CLOSED),
        ),
        (
            "5.1 CONTINUATION after END_STREAM",
            done(frame(CONTINUATION, END_HEADERS, 1, &good)),
            Ends(PROTOCOL_ERROR),
        ),
        (
            "5.1 DATA after RST_STREAM",
            was_reset(frame(DATA, END, 1, b"x")),
            Resets(1, STREAM_CLOSED),
        ),
        (
            "5.1 HEADERS after RST_STREAM",
            was_reset(asks(1)),
            Ends(STREAM_CLOSED),
        ),
        (
            "5.1 WINDOW_UPDATE after RST_STREAM",
            was_reset(frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes())),
            GoesOn,
        ),
        (
            "5.1 PRIORITY after RST_STREAM",
            was_reset(frame(PRIORITY, 0, 1, &[0; 5])),
            GoesOn,
        ),
        (
            "5.1 trailers after END_STREAM of the body",
            opened(
                [
                    frame(DATA, END, 1, b"x"),
                    frame(HEADERS, END | END_HEADERS, 1, &field("a", "b")),
                ]
                .concat(),
            ),
            Ends(STREAM_CLOSED),
        ),
        (
            "5.1 DATA after trailers",
            opened(
                [
                    frame(HEADERS, END | END_HEADERS, 1, &field("a", "b")),
                    frame(DATA, END, 1, b"x"),
                ]
                .concat(),
            ),
            Ends(STREAM_CLOSED),
        ),
        (
            "5.1.1 a stream of the server's",
            asks(2),
            Ends(PROTOCOL_ERROR),
        ),
        (
            "5.1.1 a stream below another",
            [asks(5), asks(3)].concat(),
            Ends(PROTOCOL_ERROR),
        ),
        (
            "5.1.2 more streams than allowed",
            (0..129).flat_map(|at| begins(2 * at + 1)).collect(),
            Resets(257, REFUSED_STREAM),
        ),
        (
            "5.3.1 HEADERS that depend on themselves",
            frame(
                HEADERS,
                END | END_HEADERS | WITH_PRIORITY,
                1,
                &[&[0, 0, 0, 1, 9][..], &good].concat(),
            ),
            Resets(1, PROTOCOL_ERROR),
        ),
        (
            "5.3.1 PRIORITY that depends on itself",
            opened(frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 9])),
            Resets(1, PROTOCOL_ERROR),
        ),
        (
            "5.5 an unknown frame inside a header block",
            [begun(1), frame(0xEE, 0, 1, b"")].concat(),
            Ends(PROTOCOL_ERROR),
        ),
        (
            "6.1 DATA on stream 0",
            frame(DATA, END, 0, b"x"),
            Ends(PROTOCOL_ERROR),
        ),
        (
            "6.1 padding longer than DATA",
            opened(frame(DATA, PADDED | END, 1, &[9, 1])),
            Ends(PROTOCOL_ERROR),
        ),
        (
            "6.2 HEADERS on stream 0",
            frame(HEADERS, END | END_HEADERS, 0, &good),
            Ends(PROTOCOL_ERROR),
        ),
        (
            "6.2 padding longer than HEADERS",
            frame(HEADERS, PADDED | END | END_HEADERS, 1, &[0xFF, 0x82]),
            Ends(PROTOCOL_ERROR),
        ),
        (
            "6.2 HEADERS too short for a priority",
            frame(HEADERS, WITH_PRIORITY | END | END_HEADERS, 1, &[0, 0]),
            Ends(FRAME_SIZE_ERROR),
        ),
        (
            "6.3 PRIORITY on stream 0",
            frame(PRIORITY, 0, 0, &[0; 5]),
            Ends(PROTOCOL_ERROR),
        ),
        (
            "6.3 PRIORITY of another length",
            opened(frame(PRIORITY, 0, 1, &[0; 4])),
            Ends(FRAME_SIZE_ERROR),
        ),
        (
            "6.4 RST_STREAM on stream 0",
            frame(RST_STREAM, 0, 0, &[0; 4]),
            Ends(PROTOCOL_ERROR),
        ),
        (
            "6.4 RST_STREAM of another length",
            opened(frame(RST_STREAM, 0, 1, &[0; 3])),
            Ends(FRAME_SIZE_ERROR),
        ),
        (
            "6.5 an acknowledgement with a payload",
            frame(SETTINGS, END, 0, &setting(4, 9)),
            Ends(FRAME_SIZE_ERROR),
        ),
        (
            "6.5 SETTINGS on a stream",
            frame(SETTINGS, 0, 1, &setting(4, 9)),
            Ends(PROTOCOL_ERROR),
        ),
        (
            "6.5 SETTINGS that break off",
            frame(SETTINGS, 0, 0, &[0, 4, 0]),
            Ends(FRAME_SIZE_ERROR),
        ),
        (
            "6.5 an acknowledgement of nothing",
            frame(SETTINGS, END, 0, &[]),
            Ends(PROTOCOL_ERROR),
        ),
        (
            "6.5.2 ENABLE_PUSH that is not 0 or 1",
            settings(2, 2),
            Ends(PROTOCOL_ERROR),
        ),
        (
            "6.5.2 a window beyond all windows",
            settings(4, max + 1),
            Ends(FLOW_CONTROL_ERROR),
        ),
        (
            "6.5.2 frames smaller than all frames",
            settings(5, 16_383),
            Ends(PROTOCOL_ERROR),
        ),
        (
            "6.5.2 frames larger than all frames",
            settings(5, 1 << 24),
            Ends(PROTOCOL_ERROR),
        ),
        ("6.5.2 an unknown setting", settings(0xEE, 1), GoesOn),
        (
            "6.6 PUSH_PROMISE of a client",
            opened(frame(
                PUSH_PROMISE,
                END_HEADERS,
                1,
                &[&[0, 0, 0, 2][..], &good].concat(),
            )),
            Ends(PROTOCOL_ERROR),
        ),
        (
            "6.7 PING on a stream",
            frame(PING, 0, 1, b"12345678"),
            Ends(PROTOCOL_ERROR),
        ),
        (
            "6.7 PING of another length",
            frame(PING, 0, 0, b"1234567"),
            Ends(FRAME_SIZE_ERROR),
        ),
        (
            "6.7 the answer to no PING",
            frame(PING, END, 0, b"12345678"),
            GoesOn,
        ),
        (
            "6.8 GOAWAY on a stream",
            frame(GOAWAY, 0, 1, &[0; 8]),
            Ends(PROTOCOL_ERROR),
        ),
        (
            "6.8 GOAWAY that breaks off",
            frame(GOAWAY, 0, 0, &[0; 7]),
            Ends(FRAME_SIZE_ERROR),
        ),
        (
            "6.9 a window opened by nothing",
            frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
            Ends(PROTOCOL_ERROR),
        ),
        (
            "6.9 a stream's window opened by nothing",
            opened(frame(WINDOW_UPDATE, 0, 1, &[0; 4])),
            Ends(PROTOCOL_ERROR),
        ),
        (
            "6.9 WINDOW_UPDATE of another length",
            frame(WINDOW_UPDATE, 0, 0, &[0; 3]),
            Ends(FRAME_SIZE_ERROR),
        ),
        (
            "6.9.1 the connection's window overflows",
            frame(WINDOW_UPDATE, 0, 0, &max.to_be_bytes()),
            Ends(FLOW_CONTROL_ERROR),
        ),
        (
            "6.9.1 a stream's window overflows",
            opened(frame(WINDOW_UPDATE, 0, 1, &max.to_be_bytes())),
            Resets(1, FLOW_CONTROL_ERROR),
        ),
        (
            "6.9.2 settings overflow a stream's window",
            opened(
                [
                    frame(WINDOW_UPDATE, 0, 1, &(max - 65_535).to_be_bytes()),
                    settings(4, 65_536),
                ]
                .concat(),
            ),
            Ends(FLOW_CONTROL_ERROR),
        ),
        (
            "6.10 CONTINUATION on stream 0",
            [begun(1), frame(CONTINUATION, END_HEADERS, 0, b"")].concat(),
            Ends(PROTOCOL_ERROR),
        ),
        (
            "6.10 CONTINUATION on another stream",
            [begun(1), frame(CONTINUATION, END_HEADERS, 3, b"")].concat(),
            Ends(PROTOCOL_ERROR),
        ),
        (
            "6.10 DATA inside a header block",
            [begun(1), frame(DATA, END, 1, b"x")].concat(),
            Ends(PROTOCOL_ERROR),
        ),
        (
            "6.10 a block in pieces",
            [
                frame(HEADERS, END, 1, &good[..5]),
                frame(CONTINUATION, 0, 1, &good[5..9]),
                frame(CONTINUATION, END_HEADERS, 1, &good[9..]),
            ]
            .concat(),
            Answers(1, 200),
        ),
        (
            "7 an unknown error code of a stream",
            opened(frame(RST_STREAM, 0, 1, &0xFF_u32.to_be_bytes())),
            GoesOn,
        ),
        (
            "8.1 trailers that do not end the stream",
            opened(frame(HEADERS, END_HEADERS, 1, &field("a", "b"))),
            Resets(1, PROTOCOL_ERROR),
        ),
        (
            "8.1 pseudo-fields in trailers",
            opened(frame(HEADERS, END | END_HEADERS, 1, &field(":path", "/b"))),
            Resets(1, PROTOCOL_ERROR),
        ),
        (
            "8.1.1 less than Content-Length says",
            [
                frame(
                    HEADERS,
                    END_HEADERS,
                    1,
                    &request("POST", &[("content-length", "9")]),
                ),
                frame(DATA, END, 1, b"x"),
            ]
            .concat(),
            Resets(1, PROTOCOL_ERROR),
        ),
        (
            "8.1.1 more than Content-Length says",
            [
                frame(
                    HEADERS,
                    END_HEADERS,
                    1,
                    &request("POST", &[("content-length", "1")]),
                ),
                frame(DATA, END, 1, b"xy"),
            ]
            .concat(),
            Resets(1, PROTOCOL_ERROR),
        ),
        (
            "8.2.1 upper case in a name",
            with("Shop", "x"),
            Resets(1, PROTOCOL_ERROR),
        ),
        (
            "8.2.1 a space in a name",
            with("a b", "x"),
            Resets(1, PROTOCOL_ERROR),
        ),
        (
            "8.2.1 a line feed in a value",
            with("a", "x\ny"),
            Resets(1, PROTOCOL_ERROR),
        ),
        (
            "8.2.1 a NUL in a value",
            with("a", "x\0y"),
            Resets(1, PROTOCOL_ERROR),
        ),
        (
            "8.2.1 upper case in a name of trailers",
            opened(frame(HEADERS, END | END_HEADERS, 1, &field("Shop", "x"))),
            Resets(1, PROTOCOL_ERROR),
        ),
        (
            "8.2.1 a name without a byte",
            with("", "x"),
            Resets(1, PROTOCOL_ERROR),
        ),
        (
            "8.2.1 white space around a value",
            with("a", " x"),
            Answers(1, 400),
        ),
        (
            "8.2.2 Connection",
            with("connection", "keep-alive"),
            Resets(1, PROTOCOL_ERROR),
        ),
        (
            "8.2.2 Transfer-Encoding",
            with("transfer-encoding", "chunked"),
            Resets(1, PROTOCOL_ERROR),
        ),
        (
            "8.2.2 Upgrade",
            with("upgrade", "h2c"),
            Resets(1, PROTOCOL_ERROR),
        ),
        (
            "8.2.2 TE with more than trailers",
            with("te", "trailers, deflate"),
            Resets(1, PROTOCOL_ERROR),
        ),
        (
            "8.3 an unknown pseudo-field",
            with(":shop", "x"),
            Resets(1, PROTOCOL_ERROR),
        ),
        (
            "8.3 a response's pseudo-field",
            with(":status", "200"),
            Resets(1, PROTOCOL_ERROR),
        ),
        (
            "8.3 a pseudo-field behind a field",
            head(&[method, scheme, authority, ("a", "b"), path]),
            Resets(1, PROTOCOL_ERROR),
        ),
        (
            "8.3.1 no method",
            head(&[scheme, path, authority]),
            Resets(1, PROTOCOL_ERROR),
        ),
        (
            "8.3.1 no scheme",
            head(&[method, path, authority]),
            Resets(1, PROTOCOL_ERROR),
        ),
        (
            "8.3.1 no path",
            head(&[method, scheme, authority]),
            Resets(1, PROTOCOL_ERROR),
        ),
        (
            "8.3.1 an empty path",
            head(&[method, scheme, (":path", ""), authority]),
            Resets(1, PROTOCOL_ERROR),
        ),
        (
            "8.3.1 an empty method",
            head(&[(":method", ""), scheme, path, authority]),
            Resets(1, PROTOCOL_ERROR),
        ),
        (
            "8.3.1 a method that is not a token",
            head(&[(":method", "G T"), scheme, path, authority]),
            Resets(1, PROTOCOL_ERROR),
        ),
        (
            "8.3.1 two methods",
            head(&[method, method, scheme, path, authority]),
            Resets(1, PROTOCOL_ERROR),
        ),
        (
            "8.3.1 two paths",
            head(&[method, scheme, path, path, authority]),
            Resets(1, PROTOCOL_ERROR),
        ),
        (
            "8.3.1 two schemes",
            head(&[method, scheme, scheme, path, authority]),
            Resets(1, PROTOCOL_ERROR),
        ),
        (
            "8.3.1 userinfo in the authority",
            head(&[method, scheme, path, (":authority", "u@shop.example")]),
            Answers(1, 400),
        ),
        (
            "8.5 CONNECT with a path",
            head(&[(":method", "CONNECT"), scheme, path, authority]),
            Resets(1, PROTOCOL_ERROR),
        ),
        (
            "RFC 9110 9.3.6 CONNECT with content",
            [begins(3), connect(0, &[("content-length", "5")])].concat(),
            Resets(5, PROTOCOL_ERROR),
        ),
        (
            "RFC 9110 9.3.6 extended CONNECT with content",
            [
                begins(3),
                connect(
                    0,
                    &[
                        (":protocol", "websocket"),
                        scheme,
                        path,
                        ("content-length", "1"),
                    ],
                ),
            ]
            .concat(),
            Resets(5, PROTOCOL_ERROR),
        ),
        (
            "RFC 9110 9.3.6 CONNECT with content of length 0",
            connect(END, &[("content-length", "0")]),
            GoesOn,
        ),
    ];
    cases.extend(super::targets::targets());
    cases
}
