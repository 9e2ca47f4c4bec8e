//! Requests of an HTTP/2 client with malformed targets.

use super::Fate::{self, Answers, Resets};
use crate::frames::*;

/// Requests with malformed targets (RFC 9113 §8.3.1, RFC 9110 §4.2).
pub(super) fn targets() -> Vec<(&'static str, Vec<u8>, Fate)> {
    let with = |method: &'static str, path: &[u8], authority: &[u8]| {
        let block = [
            field(":method", method),
            field(":scheme", "http"),
            field(":path", path),
            field(":authority", authority),
        ];
        frame(HEADERS, END | END_HEADERS, 1, &block.concat())
    };
    let path = |path: &[u8]| with("GET", path, b"shop.example");
    let authority = |authority: &[u8]| with("GET", b"/a", authority);
    let resets = Resets(1, PROTOCOL_ERROR);
    vec![
        ("8.3.1 a fragment", path(b"/a#/b"), resets),
        ("8.3.1 a fragment behind a query", path(b"/a?b#c"), resets),
        ("8.3.1 an empty fragment", path(b"/a#"), resets),
        ("8.3.1 only a fragment", path(b"#a"), resets),
        ("8.3.1 a blank in the path", path(b"/a b"), resets),
        ("8.3.1 a tab in the query", path(b"/a?\tb"), resets),
        ("8.3.1 a NUL in the path", path(b"/a\0"), resets),
        (
            "8.3.1 a line break in the path",
            path(b"/a\r\nb: c"),
            resets,
        ),
        ("8.3.1 a DEL in the path", path(b"/a\x7F"), resets),
        ("8.3.1 a path without a slash", path(b"a"), resets),
        ("8.3.1 only a query", path(b"?a"), resets),
        (
            "8.3.1 a URI as path",
            path(b"http://shop.example/a"),
            resets,
        ),
        ("8.3.1 bytes that are not UTF-8", path(b"/a\xFF"), resets),
        (
            "8.3.1 characters beyond ASCII",
            path("/ä".as_bytes()),
            Answers(1, 400),
        ),
        ("8.3.1 GET of *", path(b"*"), Answers(1, 400)),
        (
            "8.3.1 OPTIONS of *",
            with("OPTIONS", b"*", b"shop.example"),
            Answers(1, 404),
        ),
        (
            "8.3.1 OPTIONS of *a",
            with("OPTIONS", b"*a", b"shop.example"),
            resets,
        ),
        (
            "8.3.1 an empty user",
            authority(b"@shop.example"),
            Answers(1, 400),
        ),
        (
            "8.3.1 a blank in the authority",
            authority(b"shop .example"),
            resets,
        ),
        (
            "8.3.1 a NUL in the authority",
            authority(b"shop.example\0"),
            resets,
        ),
        (
            "8.3.1 a path in the authority",
            authority(b"shop.example/b"),
            resets,
        ),
        (
            "8.3.1 a query in the authority",
            authority(b"shop.example?b"),
            resets,
        ),
        (
            "8.3.1 a fragment in the authority",
            authority(b"shop.example#b"),
            resets,
        ),
        ("8.3.1 two ports", authority(b"shop.example:80:80"), resets),
        ("8.3.1 an empty authority", authority(b""), resets),
    ]
}
