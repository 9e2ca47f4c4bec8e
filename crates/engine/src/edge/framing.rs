//! Checks of message framing, and of padded values in HTTP/2 (RFC 9112 §6, RFC 9113 §8).

use http::Version;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use policy::Reject;

use crate::edge::refusals::FRAMING_INVALID;

/// Checks the framing fields. `Transfer-Encoding` may occur once, must be exactly `chunked`, and is
/// allowed only in HTTP/1.1 and without `Content-Length` (RFC 9112 §6). Equal `Content-Length`
/// fields are merged into one; different ones are refused.
pub(super) fn framing(headers: &mut HeaderMap, version: Version) -> Result<(), &'static Reject> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    if let (Some(first), Some(second)) = (lengths.next(), lengths.next()) {
        if first != second || lengths.any(|other| other != first) {
            return Err(&FRAMING_INVALID);
        }
        let first = first.clone();
        headers.insert(CONTENT_LENGTH, first);
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else {
        return Ok(());
    };
    let single = codings.next().is_none() && coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    let alone = !headers.contains_key(CONTENT_LENGTH);
    if single && alone && version == Version::HTTP_11 {
        Ok(())
    } else {
        Err(&FRAMING_INVALID)
    }
}

/// True if a value begins or ends with white space. HTTP/2 forbids such white space (RFC 9113
/// §8.2.1); HTTP/1 strips it.
pub(super) fn is_padded(value: &HeaderValue) -> bool {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let bytes = value.as_bytes();
    blank(bytes.first()) || blank(bytes.last())
}
