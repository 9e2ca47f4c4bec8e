//! The head of a response.

use bytes::{Bytes, BytesMut};
use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use http::{StatusCode, Version};
use smallvec::SmallVec;

use super::Error;

/// Fields of a head.
const FIELDS_MAX: usize = 128;

/// A response's head.
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
    /// There is a Transfer-Encoding.
    coded: bool,
    /// The connection can be used again once the body has ended.
    pub(super) keeps_connection: bool,
}

/// Takes a head from what has been read; none where it is not whole. `seen` is how many bytes
/// have been looked at in vain; a head has `bytes_max` at most; the fields go into `spare`.
pub(super) fn parse(
    read: &mut BytesMut,
    seen: &mut usize,
    bytes_max: usize,
    spare: &mut HeaderMap,
) -> Result<Option<Head>, Error> {
    // Most heads come whole. Of one that did not, only what is new is searched for the end.
    if *seen > 0 {
        let from = seen.saturating_sub(3);
        let ends = memchr::memchr_iter(b'\n', &read[from..])
            .any(|at| matches!(&read[from + at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]));
        if !ends {
            return not_whole(read, seen, bytes_max);
        }
    }
    let mut fields = [const { std::mem::MaybeUninit::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let status = config.parse_response_with_uninit_headers(&mut parsed, read, &mut fields);
    let length = match status {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return not_whole(read, seen, bytes_max),
        Err(httparse::Error::TooManyHeaders) => return Err(Error::HeadTooLarge),
        Err(_) => return Err(Error::Invalid("a head that is none")),
    };
    if length > bytes_max {
        return Err(Error::HeadTooLarge);
    }
    let version = match parsed.version {
        Some(1) => Version::HTTP_11,
        _ => Version::HTTP_10,
    };
    let status = parsed
        .code
        .and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or(Error::Invalid("a status that is none"))?;
    // Names and values are taken from the buffer by their places, so that nothing is copied.
    let base = read.as_ptr() as usize;
    let mut places = SmallVec::<[(HeaderName, usize, usize); 16]>::new();
    let (mut coded, mut connected) = (false, false);
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes())
            .map_err(|_| Error::Invalid("a field without a name"))?;
        coded |= name == TRANSFER_ENCODING;
        connected |= name == CONNECTION;
        let at = field.value.as_ptr() as usize - base;
        places.push((name, at, field.value.len()));
    }
    let bytes: Bytes = read.split_to(length).freeze();
    let mut headers = std::mem::take(spare);
    headers.reserve(places.len());
    for (name, at, length) in places {
        let value = HeaderValue::from_maybe_shared(bytes.slice(at..at + length))
            .map_err(|_| Error::Invalid("a field's value that is none"))?;
        headers.append(name, value);
    }
    Ok(Some(Head {
        status,
        version,
        coded,
        keeps_connection: match connected {
            true => keeps_connection(&headers, version),
            false => version == Version::HTTP_11,
        },
        headers,
    }))
}

/// Notes how far was looked; a head that is too large already never becomes whole.
fn not_whole(read: &BytesMut, seen: &mut usize, bytes_max: usize) -> Result<Option<Head>, Error> {
    *seen = read.len();
    if read.len() > bytes_max {
        Err(Error::HeadTooLarge)
    } else {
        Ok(None)
    }
}

/// What Connection says (RFC 9112 §9.3).
fn keeps_connection(headers: &HeaderMap, version: Version) -> bool {
    let has = |token: &str| {
        let values = headers.get_all(CONNECTION).iter();
        let mut tokens = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        tokens.any(|one| one.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    };
    !has("close") && (version == Version::HTTP_11 || has("keep-alive"))
}

/// Content-Length, once or always the same (RFC 9112 §6.3).
pub(super) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Error> {
    let mut length = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        let digits = value.as_bytes();
        let said = std::str::from_utf8(digits)
            .ok()
            .filter(|_| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
            .and_then(|text| text.parse::<u64>().ok())
            .ok_or(Error::Invalid("a Content-Length that is none"))?;
        if length.is_some_and(|before| before != said) {
            return Err(Error::Invalid("two Content-Lengths"));
        }
        length = Some(said);
    }
    Ok(length)
}

/// Whether the body is chunked; every other coding is refused.
pub(super) fn is_chunked(head: &Head) -> Result<bool, Error> {
    if !head.coded {
        return Ok(false);
    }
    let mut codings = head.headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else {
        return Ok(false);
    };
    let single = codings.next().is_none() && coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    let alone = !head.headers.contains_key(CONTENT_LENGTH);
    if single && alone && head.version == Version::HTTP_11 {
        Ok(true)
    } else {
        Err(Error::Invalid(
            "a Transfer-Encoding that is not one `chunked` alone",
        ))
    }
}
