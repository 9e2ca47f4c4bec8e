//! What comes over the wire before HTTP.

use engine::proxy_protocol::{HEADER_BYTES_MAX, Header, parse};

/// PROXY headers: a whole one stays the same whatever follows, every beginning of it may become
/// one, and what is refused is refused for good.
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

/// Headers to begin with.
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
