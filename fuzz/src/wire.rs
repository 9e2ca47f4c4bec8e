//! Fuzz targets for bytes in front of HTTP, and for HTTP/1 and HTTP/2 messages.

use bytes::BytesMut;
use engine::hpack::{Inspected, Inspector, Part};
use engine::proxy_protocol::{HEADER_BYTES_MAX, Header, parse};
use http::{HeaderMap, Method};
use http1::body::{Body, Length, Next};
use http1::request::{self, Limits};
use http1::response;

/// Fuzz target for PROXY headers. The result for a complete header must not depend on the bytes
/// after the header. No shorter prefix may be a complete header with another result. After a
/// refusal, longer prefixes must also be refused.
pub fn proxy_header(data: &[u8]) {
    let read = parse(data);
    let end = match read {
        Ok(Header::Whole { length, .. }) => length,
        Ok(Header::Partial) | Err(_) => data.len(),
    };
    assert!(end <= data.len());
    assert!(read.is_err() || end <= HEADER_BYTES_MAX);
    assert_eq!(parse(&data[..end]), read);
    let more = [data, b"\r\n"].concat();
    let mut refused = false;
    for cut in 0..end.min(HEADER_BYTES_MAX) {
        let part = parse(&data[..cut]);
        assert!(!refused || part.is_err());
        refused |= part.is_err();
        assert!(!matches!(part, Ok(Header::Whole { .. })) || read == part);
    }
    if let Ok(Header::Whole { .. }) | Err(_) = read {
        assert_eq!(parse(&more), read);
    }
}

/// Fuzz target for HTTP/2 header blocks on one connection. One byte with the length precedes each
/// block. If a block is malformed, its replacement must be well-formed and change the dynamic table
/// in the same way.
pub fn header_block(data: &[u8]) {
    let (mut client, mut library) = (Inspector::new(), Inspector::new());
    let mut rest = data;
    while let Some((length, more)) = rest.split_first() {
        let (block, more) = more.split_at(usize::from(*length).min(more.len()));
        rest = more;
        let part = match length % 2 {
            0 => Part::Head,
            _ => Part::Trailers,
        };
        let seen = match client.inspect(block, part) {
            Err(_) => return,
            Ok(Inspected::WellFormed) => library.inspect(block, Part::Head),
            Ok(Inspected::Malformed(replaced)) => library.inspect(&replaced, Part::Head),
        };
        assert_eq!(seen, Ok(Inspected::WellFormed));
        assert!(client.sizes().eq(library.sizes()));
        assert!(client.sizes().sum::<usize>() <= 4_096);
    }
}

/// Fuzz target for HTTP/1 requests on one connection. The result must not depend on how the bytes
/// are split. No byte may be used twice.
pub fn http1_requests(data: &[u8]) {
    in_pieces(data, |read, seen| {
        let limits = Limits {
            bytes: 1 << 10,
            fields: 16,
        };
        let head = request::parse(read, seen, limits, &mut HeaderMap::new());
        let head = head.map_err(drop)?;
        Ok(head.map(|head| {
            assert!(head.headers.len() <= 16 && head.target.to_string().find('#').is_none());
            (format!("{} {}", head.method, head.target), head.length)
        }))
    });
}

/// Fuzz target for HTTP/1 responses to GET on one connection, with the same conditions as
/// [`http1_requests`].
pub fn http1_responses(data: &[u8]) {
    in_pieces(data, |read, seen| {
        let head = response::parse(read, seen, 1 << 10, &mut HeaderMap::new());
        let Some(head) = head.map_err(drop)? else {
            return Ok(None);
        };
        let length = head.length(&Method::GET).map_err(drop)?;
        *seen = 0;
        Ok(Some((head.status.to_string(), length)))
    });
}

/// Parses messages from the whole data, and from pieces of several sizes. The results must be
/// equal.
fn in_pieces(data: &[u8], mut head: impl FnMut(&mut BytesMut, &mut usize) -> Read) {
    let whole = messages(data, data.len().max(1), &mut head);
    for size in [1, 2, 3, 7, 64] {
        assert_eq!(messages(data, size, &mut head), whole, "in pieces of {size}");
    }
}

type Read = Result<Option<(String, Length)>, ()>;

/// Messages that the parser reads when the bytes arrive in pieces of `size` bytes.
fn messages(
    data: &[u8],
    size: usize,
    head: &mut impl FnMut(&mut BytesMut, &mut usize) -> Read,
) -> Vec<String> {
    let (mut read, mut seen, mut results) = (BytesMut::new(), 0, Vec::new());
    let mut message: Option<(String, Body, usize)> = None;
    for piece in data.chunks(size) {
        read.extend_from_slice(piece);
        loop {
            let Some((name, body, length)) = &mut message else {
                match head(&mut read, &mut seen) {
                    Ok(Some((name, framing))) => message = Some((name, Body::new(&framing), 0)),
                    Ok(None) => break,
                    Err(()) => {
                        results.push("refused".to_owned());
                        return results;
                    }
                }
                continue;
            };
            match body.next(&mut read) {
                Ok(Next::Data(data)) => *length += data.len(),
                Ok(Next::Trailers(trailers)) => *name += &format!(" {}", trailers.len()),
                Ok(Next::More) => break,
                Ok(Next::Done) => {
                    results.push(format!("{name} {length}"));
                    message = None;
                }
                Err(_) => {
                    results.push("broken".to_owned());
                    return results;
                }
            }
        }
    }
    results.extend(message.map(|(name, _, length)| format!("{name} {length} so far")));
    results
}

/// Sample HTTP/1 requests.
pub(crate) fn requests() -> Vec<Vec<u8>> {
    [
        "GET /a?b=c HTTP/1.1\r\nhost: h\r\nconnection: close, x\r\n\r\n",
        "\r\nPOST /a HTTP/1.1\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\nabcGET * HTTP/1.0\r\n\r\n",
        "PUT http://h/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n3;x=y\r\nabc\r\n0\r\nx: y\r\n\r\n",
        "GET /a#b HTTP/1.1\r\nx : y\n\r\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

/// Sample HTTP/1 responses.
pub(crate) fn responses() -> Vec<Vec<u8>> {
    [
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 3\r\nx: y\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\nHTTP/1.1 204 \r\n\r\n",
        "HTTP/1.0 200 fine\nconnection: keep-alive\n\nuntil the end",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

/// Sample header blocks: the blocks of RFC 7541 appendix C, and blocks with malformed fields.
pub(crate) fn header_blocks() -> Vec<Vec<u8>> {
    vec![
        b"\x14\x82\x86\x84\x41\x0fwww.example.com\x0e\x82\x86\x84\xbe\x58\x08no-cache".to_vec(),
        b"\x1d\x82\x87\x85\xbf\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf"
            .to_vec(),
        b"\x0a\x40\x04Shop\x03a\nb\x02\xbe\xbe\x06\x3f\x03\x7e\x00\x84\xbe".to_vec(),
        b"\x07\x40\x00\x01a\x44\x01/\x03\x20\x3f\x81".to_vec(),
    ]
}

/// Sample PROXY headers.
pub(crate) fn proxy_headers() -> Vec<Vec<u8>> {
    let start = b"\r\n\r\n\0\r\nQUIT\n";
    let v4 = [
        &start[..],
        &[0x21, 0x11, 0, 19, 192, 0, 2, 7, 198, 51, 100, 1, 0, 1, 0, 2],
    ]
    .concat();
    vec![
        b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n".to_vec(),
        b"PROXY TCP6 2001:db8::7 ::1 1 2\r\nGET / HTTP/1.1\r\n".to_vec(),
        b"PROXY UNKNOWN\r\n".to_vec(),
        [&v4[..], &[0x03, 0, 4, 0, 0, 0, 0]].concat(),
        [&v4[..], &[0x02, 0, 4, b's', b'h', b'o', b'p']].concat(),
        [&start[..], &[0x20, 0, 0, 0]].concat(),
    ]
}
