//! Decides if an exchange may share an HTTP/2 connection to an upstream with exchanges of other
//! clients.
//!
//! Servers end a connection, with all its exchanges, because of the requests of a single client:
//! heads that exceed a limit, trailers, many small frames, or stream resets. An exchange therefore
//! shares a connection only if its head is ordinary and its body was complete before it was sent.
//! Any other exchange has a connection for itself, which later exchanges of this kind reuse.

use engine::hpack::coded_bytes;
use policy::RequestHead;

use crate::message::sends::Sends;

/// Maximum size of a shared exchange's header list and of its coded fields, in bytes: 7 KiB. Usual
/// servers accept 8 KiB; the difference is for fields that gwd adds.
const SHARED_BYTES_MAX: usize = 7 << 10;
/// Maximum number of header fields of a request on a connection that several clients share. Tomcat
/// accepts 100, including the fields that gwd adds.
const SHARED_FIELDS_MAX: usize = 60;
/// Size from which a head may exceed the limit of a server, in bytes. The smallest usual limit is 4
/// KiB (uWSGI); the fields that gwd adds are not counted.
const LARGE_HEAD: usize = 3 << 10;
/// Bytes that each field adds to the size of a header list (RFC 9113 §6.5.2).
pub(crate) const FIELD_OVERHEAD: usize = 32;
/// Maximum concurrent streams on a connection that are assumed until the SETTINGS of the upstream
/// arrive.
pub(crate) const STREAMS_ASSUMED: usize = 100;
/// Length of the longest code of HPACK, in bits (RFC 7541 appendix B).
const CODE_BITS_MAX: usize = 30;

/// Use of an HTTP/2 connection by several exchanges. Without effect on HTTP/1 connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// The connection carries exchanges of several clients.
    Shared,
    /// The connection carries one exchange at a time.
    Exclusive,
}

/// Connections that a request accepts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acceptable {
    Any,
    /// A connection that has carried no request yet. If the connection limit is reached, also a
    /// shared connection.
    Unused,
    /// A new connection that is not shared.
    Own,
}

impl Sharing {
    /// Use of an HTTP/2 connection by an exchange.
    pub(crate) fn of(head: &RequestHead, sends: Sends) -> Self {
        match sends == Sends::Nothing && is_ordinary(head) {
            true => Self::Shared,
            false => Self::Exclusive,
        }
    }
}

/// True if a head may exceed the limit of a server.
pub(crate) fn is_large(head: &RequestHead) -> bool {
    let bytes = text_bytes(head) + head.headers.len() * ": \r\n".len();
    bytes >= LARGE_HEAD || head.headers.len() > SHARED_FIELDS_MAX || codes(head) >= LARGE_HEAD
}

/// True if usual servers accept a head over HTTP/2.
fn is_ordinary(head: &RequestHead) -> bool {
    let (fields, bytes) = (head.headers.len(), text_bytes(head));
    // The size as RFC 9113 §6.5.2 defines it, and the size on the wire, which NGINX compares.
    fields <= SHARED_FIELDS_MAX
        && bytes + (fields + 1) * FIELD_OVERHEAD < SHARED_BYTES_MAX
        && (bytes * CODE_BITS_MAX / 8 < SHARED_BYTES_MAX || codes(head) < SHARED_BYTES_MAX)
}

/// Number of bytes of target, names and values.
fn text_bytes(head: &RequestHead) -> usize {
    let fields = head.headers.iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + value.len());
    head.target.as_str().len() + fields.sum::<usize>()
}

/// Size of target, names and values in the Huffman code of HPACK, in bytes.
fn codes(head: &RequestHead) -> usize {
    let fields = head.headers.iter();
    let fields = fields
        .map(|(name, value)| coded_bytes(name.as_str().as_bytes()) + coded_bytes(value.as_bytes()));
    coded_bytes(head.target.as_str().as_bytes()) + fields.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::uri::PathAndQuery;

    use super::*;

    /// Head with this number of fields, each with a value of `length` times `byte`.
    fn head(fields: usize, byte: u8, length: usize) -> RequestHead {
        let mut headers = http::HeaderMap::new();
        for number in 0..fields {
            let name = http::HeaderName::try_from(format!("x{number}")).unwrap();
            let value = HeaderValue::from_bytes(&vec![byte; length]).unwrap();
            headers.insert(name, value);
        }
        RequestHead {
            method: http::Method::GET,
            target: PathAndQuery::from_static("/"),
            host: Box::default(),
            headers,
            is_ambiguous: false,
        }
    }

    #[test]
    fn unusual_heads_share_no_connection() {
        for (fields, byte, length, is_shared, large) in [
            (0, b'a', 0, true, false),
            (10, b'a', 100, true, false),
            (1, b'a', 2_000, true, false),
            (1, b'a', 3_100, true, true),
            (1, b'a', 7_200, false, true),
            (60, b'a', 1, true, false),
            (61, b'a', 1, false, true),
            (60, b'a', 100, false, true),
            // Codes of 13 and of 28 bits.
            (1, b'~', 2_400, true, true),
            (1, b'~', 4_500, false, true),
            (1, 0xF9, 800, true, false),
            (1, 0xF9, 900, true, true),
            (1, 0xF9, 2_100, false, true),
        ] {
            let head = head(fields, byte, length);
            let is = (is_ordinary(&head), is_large(&head));
            assert_eq!(is, (is_shared, large), "{fields} {byte} {length}");
        }
    }
}
