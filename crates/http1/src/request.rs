//! Head of a client's request.
//!
//! The parser first searches for the end of the head, line by line, then parses the whole head at
//! once. Bytes that arrive in pieces are therefore searched only once. A line that ends in LF alone
//! is refused: a proxy in front of the gateway might not treat LF as a line end (RFC 9112 §2.2).

use std::mem::MaybeUninit;

use bytes::{Buf as _, Bytes, BytesMut};
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING,
};
use http::{Method, Uri, Version};

use crate::body::Length;
use crate::framing::{ContentLength, ends_chunked, has_token};

/// Number of fields that are parsed without an allocation.
const FIELDS_USUAL: usize = 100;
/// Maximum length of a target that `http` accepts, in bytes.
const TARGET_BYTES_MAX: usize = 65_534;

/// Limits on a request head.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum length of the head, in bytes.
    pub bytes: usize,
    /// Maximum number of fields.
    pub fields: usize,
}

/// Head of a request.
pub struct Head {
    pub method: Method,
    pub target: Uri,
    pub version: Version,
    pub headers: HeaderMap,
    /// Framing of the body.
    pub length: Length,
    /// True if the client wants to reuse the connection (RFC 9112 §9.3).
    pub keeps_connection: bool,
    /// True if the client waits for `100 Continue` before it sends the body (RFC 9110 §10.1.1).
    pub expects_continue: bool,
    /// True if the client accepts trailers (RFC 9110 §10.1.4).
    pub takes_trailers: bool,
}

/// Reason why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The head is malformed.
    Invalid,
    /// The framing of the body is ambiguous.
    Framing,
    /// The head has more bytes or more fields than the limits allow.
    TooLarge,
    /// The target is too long.
    TargetTooLong,
}

/// Takes a head from the buffer. `None` if the head is incomplete. `seen` is the number of bytes
/// searched by earlier calls, 0 for the first call. `spare` is an empty map, which is reused for
/// the fields.
///
/// # Errors
/// The head is malformed or exceeds a limit.
pub fn parse(
    read: &mut BytesMut,
    seen: &mut usize,
    limits: Limits,
    spare: &mut HeaderMap,
) -> Result<Option<Head>, Error> {
    if *seen == 0 {
        skip_empty_lines(read)?;
    }
    let Some(length) = end(read, seen)? else {
        return match read.len() > limits.bytes {
            true => Err(Error::TooLarge),
            false => Ok(None),
        };
    };
    if length > limits.bytes {
        return Err(Error::TooLarge);
    }
    *seen = 0;
    let bytes = read.split_to(length).freeze();
    let head = if limits.fields <= FIELDS_USUAL {
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS_USUAL];
        take_apart(&bytes, &mut fields, spare)
    } else {
        let mut fields = vec![MaybeUninit::uninit(); limits.fields];
        take_apart(&bytes, &mut fields, spare)
    };
    if head.is_err() {
        put_back(&bytes, read);
    }
    head.map(Some)
}

/// Puts a refused head back at the front of the buffer, so that the caller can log the head.
#[cold]
fn put_back(head: &[u8], read: &mut BytesMut) {
    let behind = std::mem::take(read);
    read.extend_from_slice(head);
    read.extend_from_slice(&behind);
}

/// Skips empty lines before a head (RFC 9112 §2.2).
fn skip_empty_lines(read: &mut BytesMut) -> Result<(), Error> {
    while read.starts_with(b"\r\n") {
        read.advance(2);
    }
    match read.first() {
        // Refuse bytes of another protocol early, because they may never contain a line end.
        Some(byte) if *byte != b'\r' && !is_token(*byte) => Err(Error::Invalid),
        _ => Ok(()),
    }
}

/// Finds the end of the head and returns the head's length. `None` if the head is incomplete.
/// `seen` is the number of bytes that were searched before.
fn end(read: &[u8], seen: &mut usize) -> Result<Option<usize>, Error> {
    for at in memchr::memchr_iter(b'\n', &read[*seen..]) {
        let at = *seen + at;
        if at == 0 || read[at - 1] != b'\r' {
            return Err(Error::Framing);
        }
        if at >= 3 && read[at - 2] == b'\n' {
            return Ok(Some(at + 1));
        }
    }
    // Search again from the start: a CR alone may be half of an empty line before the head.
    *seen = if read == b"\r" { 0 } else { read.len() };
    Ok(None)
}

/// Parses a complete head.
fn take_apart<'b>(
    bytes: &'b Bytes,
    fields: &mut [MaybeUninit<httparse::Header<'b>>],
    spare: &mut HeaderMap,
) -> Result<Head, Error> {
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(bytes, fields) {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Error::TooLarge),
        _ => return Err(Error::Invalid),
    }
    let version = match parsed.version {
        Some(1) => Version::HTTP_11,
        _ => Version::HTTP_10,
    };
    let method = parsed.method.unwrap_or_default().as_bytes();
    let method = Method::from_bytes(method).map_err(|_| Error::Invalid)?;
    let target = target(bytes, parsed.path.unwrap_or_default())?;
    let mut headers = std::mem::take(spare);
    headers.reserve(parsed.headers.len());
    let mut length = ContentLength::default();
    let mut chunked = None;
    let (mut close, mut keep_alive) = (false, false);
    let (mut expects_continue, mut takes_trailers) = (false, false);
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Error::Invalid)?;
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(field.value))
            .map_err(|_| Error::Invalid)?;
        match name {
            CONTENT_LENGTH => length.note(&value).map_err(|_| Error::Framing)?,
            TRANSFER_ENCODING => chunked = Some(ends_chunked(&value)),
            CONNECTION => {
                close |= has_token(&value, "close");
                keep_alive |= has_token(&value, "keep-alive");
            }
            EXPECT => expects_continue = value.as_bytes().eq_ignore_ascii_case(b"100-continue"),
            TE => takes_trailers |= has_token(&value, "trailers"),
            _ => {}
        }
        headers.append(name, value);
    }
    let is_11 = version == Version::HTTP_11;
    let length = match (chunked, length.0) {
        (None, length) => Length::Known(length.unwrap_or(0)),
        (Some(true), None) if is_11 => Length::Chunked,
        // Refuse a length together with `chunked`, a last coding other than `chunked`, and codings
        // in HTTP/1.0 (RFC 9112 §6.1).
        (Some(_), _) => return Err(Error::Framing),
    };
    Ok(Head {
        keeps_connection: !close && (is_11 || keep_alive),
        expects_continue: expects_continue && is_11 && length != Length::Known(0),
        method,
        target,
        version,
        headers,
        length,
        takes_trailers,
    })
}

/// Parses the target. A fragment and a query without a path are invalid (RFC 9112 §3.2), although
/// `http` accepts them.
fn target(bytes: &Bytes, target: &str) -> Result<Uri, Error> {
    if target.len() > TARGET_BYTES_MAX {
        return Err(Error::TargetTooLong);
    }
    if memchr::memchr(b'#', target.as_bytes()).is_some() || target.starts_with('?') {
        return Err(Error::Invalid);
    }
    let target = bytes.slice_ref(target.as_bytes());
    Uri::from_maybe_shared(target).map_err(|_| Error::Invalid)
}

/// True for a byte that is allowed in a token (RFC 9110 §5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        bytes: 4_096,
        fields: 8,
    };

    /// Parses heads that arrive in pieces of `size` bytes. Returns a string for each head.
    fn heads(text: &[u8], size: usize) -> Vec<String> {
        let (mut read, mut seen, mut results) = (BytesMut::new(), 0, Vec::new());
        for piece in text.chunks(size) {
            read.extend_from_slice(piece);
            loop {
                match parse(&mut read, &mut seen, LIMITS, &mut HeaderMap::new()) {
                    Ok(Some(head)) => results.push(format!("{} {}", head.method, head.target)),
                    Ok(None) => break,
                    Err(error) => {
                        results.push(format!("{error:?}"));
                        return results;
                    }
                }
            }
        }
        results
    }

    /// Parses heads that arrive in pieces of every size, and checks that the results are equal.
    fn heads_in_pieces_of_any_size(text: &str) -> String {
        let whole = heads(text.as_bytes(), text.len());
        for size in 1..text.len() {
            assert_eq!(heads(text.as_bytes(), size), whole, "{size}: {text:?}");
        }
        whole.join(", ")
    }

    #[test]
    fn heads_are_parsed_from_pieces_of_any_size() {
        for (text, expected) in [
            ("GET /a HTTP/1.1\r\nhost: h\r\n\r\n", "GET /a"),
            ("\r\n\r\nGET /a HTTP/1.1\r\nhost: h\r\n\r\n\r\n", "GET /a"),
            (
                "GET /a HTTP/1.1\r\n\r\nPUT /b HTTP/1.0\r\na: b\r\n\r\nGET /c HT",
                "GET /a, PUT /b",
            ),
            ("GET /a HTTP/1.1\r\nhost: h\r\n", ""),
            ("OPTIONS * HTTP/1.1\r\n\r\n", "OPTIONS *"),
        ] {
            assert_eq!(heads_in_pieces_of_any_size(text), expected, "{text:?}");
        }
    }

    #[test]
    fn malformed_head_is_refused() {
        for (text, error) in [
            ("GET /a HTTP/1.1\nhost: h\r\n\r\n", "Framing"),
            ("GET /a HTTP/1.1\r\nhost: h\nx: y\r\n\r\n", "Framing"),
            ("GET /a HTTP/1.1\r\nhost: h\r\n\n", "Framing"),
            ("\nGET /a HTTP/1.1\r\n\r\n", "Invalid"),
            ("GET /a HTTP/1.1\r\r\nhost: h\r\n\r\n", "Invalid"),
            ("GET /a#b HTTP/1.1\r\n\r\n", "Invalid"),
            ("GET ?a HTTP/1.1\r\n\r\n", "Invalid"),
            ("GET /a HTTP/2.0\r\n\r\n", "Invalid"),
            ("GET /a HTTP/1.1\r\nx : y\r\n\r\n", "Invalid"),
            ("GET /a HTTP/1.1\r\nx: y\r\n z\r\n\r\n", "Invalid"),
            ("\u{16}\u{3}\u{1}", "Invalid"),
            (
                "GET /a HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
                "Framing",
            ),
            (
                "GET /a HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
                "Framing",
            ),
            ("GET /a HTTP/1.1\r\ncontent-length: +1\r\n\r\n", "Framing"),
            (
                "GET /a HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n",
                "Framing",
            ),
            (
                "GET /a HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n",
                "Framing",
            ),
        ] {
            assert_eq!(heads_in_pieces_of_any_size(text), error, "{text:?}");
        }
    }

    #[test]
    fn head_above_a_limit_is_refused() {
        let long = format!("GET /a HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(4_096));
        assert_eq!(heads(long.as_bytes(), 100), ["TooLarge"]);
        assert_eq!(heads(long.as_bytes(), long.len()), ["TooLarge"]);
        let many = format!("GET /a HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(101));
        assert_eq!(heads(many.as_bytes(), many.len()), ["TooLarge"]);
    }

    #[test]
    fn message_and_connection_fields_are_parsed() {
        let parsed = |line: &str, fields: &str| {
            let text = format!("{line}\r\n{fields}\r\n");
            let mut read = BytesMut::from(text.as_str());
            let head = parse(&mut read, &mut 0, LIMITS, &mut HeaderMap::new());
            let head = head.unwrap().unwrap();
            (
                head.length,
                head.keeps_connection,
                head.expects_continue,
                head.takes_trailers,
            )
        };
        let (new, old) = ("POST / HTTP/1.1", "POST / HTTP/1.0");
        let none = || Length::Known(0);
        for (line, fields, expected) in [
            (new, "", (none(), true, false, false)),
            (old, "", (none(), false, false, false)),
            (
                old,
                "connection: x, Keep-Alive\r\n",
                (none(), true, false, false),
            ),
            (
                new,
                "connection: keep-alive\r\nconnection: Close\r\n",
                (none(), false, false, false),
            ),
            (
                new,
                "content-length: 3\r\ncontent-length: 3\r\nexpect: 100-Continue\r\n",
                (Length::Known(3), true, true, false),
            ),
            (
                old,
                "content-length: 3\r\nexpect: 100-continue\r\n",
                (Length::Known(3), false, false, false),
            ),
            (
                new,
                "expect: 100-continue\r\n",
                (none(), true, false, false),
            ),
            (
                new,
                "transfer-encoding: gzip, Chunked\r\nte: trailers\r\n",
                (Length::Chunked, true, false, true),
            ),
        ] {
            assert_eq!(parsed(line, fields), expected, "{line} {fields:?}");
        }
    }
}
