//! Functions that write header fields and chunks of HTTP/1 messages to a buffer.

use http::HeaderMap;

/// Last chunk of a body, before the trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n";

/// Writes a field line.
#[inline]
pub fn field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes `Content-Length`.
pub fn content_length(length: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"content-length: ");
    number::<10>(length, out);
    out.extend_from_slice(b"\r\n");
}

/// Writes the line before a chunk's data of `length` bytes. The caller writes CR LF after the data.
pub fn chunk_line(length: usize, out: &mut Vec<u8>) {
    number::<16>(length as u64, out);
    out.extend_from_slice(b"\r\n");
}

/// Writes the last chunk and the trailers.
pub fn chunked_end(trailers: Option<&HeaderMap>, out: &mut Vec<u8>) {
    out.extend_from_slice(LAST_CHUNK);
    for (name, value) in trailers.into_iter().flatten() {
        field(name.as_str().as_bytes(), value.as_bytes(), out);
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes a number in a base that is a constant, so that the compiler avoids divisions and
/// formatting.
fn number<const BASE: u64>(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdef"[usize::try_from(value % BASE).unwrap_or(0)];
        value /= BASE;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_standard_library() {
        for value in [0, 1, 9, 10, 15, 16, 255, 1 << 20, u64::MAX] {
            let mut out = Vec::new();
            content_length(value, &mut out);
            assert_eq!(out, format!("content-length: {value}\r\n").into_bytes());
            let Ok(length) = usize::try_from(value) else {
                continue;
            };
            let mut out = Vec::new();
            chunk_line(length, &mut out);
            assert_eq!(out, format!("{length:x}\r\n").into_bytes());
        }
    }
}
