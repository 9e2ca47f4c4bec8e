//! Head of an upstream's response.

use std::mem::MaybeUninit;

use bytes::BytesMut;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use http::{Method, StatusCode, Version};

use crate::Malformed;
use crate::body::Length;
use crate::framing::{ContentLength, has_token};

/// Number of fields that are parsed without an allocation.
const FIELDS_USUAL: usize = 128;
/// Maximum number of fields. The length of the head is limited as well.
const FIELDS_MAX: usize = 1_024;
/// First bytes of every status line.
const BEGINNING: &[u8] = b"HTTP/1.";
const NO_HEAD: Error = Error::malformed("a malformed head");

/// Head of a response.
pub struct Head {
    pub status: StatusCode,
    pub version: Version,
    pub headers: HeaderMap,
    /// True if the head has a Transfer-Encoding.
    coded: bool,
    /// True if the connection can be reused after the body (RFC 9112 §9.3).
    pub keeps_connection: bool,
}

/// Reason why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    Malformed(Malformed),
    TooLarge,
}

/// Takes a head of at most `bytes_max` bytes from the buffer. `None` if the head is incomplete.
/// `seen` is the number of bytes searched by earlier calls, 0 for the first call. `spare` is an
/// empty map, which is reused for the fields. Lines may end in LF alone, because old servers send
/// such lines.
///
/// # Errors
/// The head is malformed or too large.
pub fn parse(
    read: &mut BytesMut,
    seen: &mut usize,
    bytes_max: usize,
    spare: &mut HeaderMap,
) -> Result<Option<Head>, Error> {
    let length = match end(read, seen)? {
        Some(length) if length <= bytes_max => length,
        None if read.len() <= bytes_max => return Ok(None),
        Some(_) | None => return Err(Error::TooLarge),
    };
    *seen = 0;
    let bytes = read.split_to(length).freeze();
    let mut usual = [const { MaybeUninit::uninit() }; FIELDS_USUAL];
    let mut many = Vec::new();
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let mut result = config.parse_response_with_uninit_headers(&mut parsed, &bytes, &mut usual);
    if result == Err(httparse::Error::TooManyHeaders) {
        many.resize_with(FIELDS_MAX, MaybeUninit::uninit);
        parsed = httparse::Response::new(&mut []);
        result = config.parse_response_with_uninit_headers(&mut parsed, &bytes, &mut many);
    }
    match result {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Error::TooLarge),
        _ => return Err(NO_HEAD),
    }
    let version = match parsed.version {
        Some(1) => Version::HTTP_11,
        _ => Version::HTTP_10,
    };
    let status = parsed
        .code
        .and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or(Error::malformed("a malformed status"))?;
    let mut headers = std::mem::take(spare);
    headers.reserve(parsed.headers.len());
    let mut coded = false;
    let (mut close, mut keep_alive) = (false, false);
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes())
            .map_err(|_| Error::malformed("a field without a name"))?;
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(field.value))
            .map_err(|_| Error::malformed("a malformed field value"))?;
        match name {
            TRANSFER_ENCODING => coded = true,
            CONNECTION => {
                close |= has_token(&value, "close");
                keep_alive |= has_token(&value, "keep-alive");
            }
            _ => {}
        }
        headers.append(name, value);
    }
    Ok(Some(Head {
        status,
        version,
        coded,
        keeps_connection: !close && (version == Version::HTTP_11 || keep_alive),
        headers,
    }))
}

/// Finds the end of the head and returns the head's length. `None` if the head is incomplete.
/// Refuses bytes of another protocol early.
fn end(read: &[u8], seen: &mut usize) -> Result<Option<usize>, Error> {
    let compared = read.len().min(BEGINNING.len());
    if *seen < BEGINNING.len() && read[..compared] != BEGINNING[..compared] {
        return Err(NO_HEAD);
    }
    let from = seen.saturating_sub(2);
    for at in memchr::memchr_iter(b'\n', &read[from..]) {
        match &read[from + at + 1..] {
            [b'\n', ..] => return Ok(Some(from + at + 2)),
            [b'\r', b'\n', ..] => return Ok(Some(from + at + 3)),
            _ => {}
        }
    }
    *seen = read.len();
    Ok(None)
}

// === impl Head ===

impl Head {
    /// Framing of the body of a response to a request with this method.
    ///
    /// # Errors
    /// The framing fields are malformed or contradict each other.
    pub fn length(&self, method: &Method) -> Result<Length, Malformed> {
        let chunked = self.is_chunked()?;
        let mut length = ContentLength::default();
        for value in self.headers.get_all(CONTENT_LENGTH) {
            length.note(value)?;
        }
        Ok(match length.0 {
            _ if is_bodiless(method, self.status) => Length::Known(0),
            _ if chunked => Length::Chunked,
            Some(length) => Length::Known(length),
            None => Length::UntilClose,
        })
    }

    /// True if the body is chunked. Any other transfer coding is an error.
    fn is_chunked(&self) -> Result<bool, Malformed> {
        if !self.coded {
            return Ok(false);
        }
        let mut codings = self.headers.get_all(TRANSFER_ENCODING).iter();
        let Some(coding) = codings.next() else {
            return Ok(false);
        };
        let single = codings.next().is_none() && coding.as_bytes().eq_ignore_ascii_case(b"chunked");
        let alone = !self.headers.contains_key(CONTENT_LENGTH);
        if single && alone && self.version == Version::HTTP_11 {
            Ok(true)
        } else {
            Err(Malformed(
                "a Transfer-Encoding other than a single `chunked`",
            ))
        }
    }
}

impl Error {
    const fn malformed(why: &'static str) -> Self {
        Self::Malformed(Malformed(why))
    }
}

/// True if a response has no body because of its status or the request's method, regardless of its
/// fields (RFC 9112 §6.3).
#[must_use]
pub fn is_bodiless(method: &Method, status: StatusCode) -> bool {
    *method == Method::HEAD
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Idle timeout that the peer announced, in seconds, from `Keep-Alive: timeout=N` (RFC 2068
/// §19.7.1). `None`: not announced.
#[must_use]
pub fn keep_alive_s(value: &HeaderValue) -> Option<u32> {
    let parameters = value.to_str().ok()?.split(',');
    let mut pairs = parameters.filter_map(|parameter| parameter.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("timeout"))?;
    value.trim().trim_matches('"').parse().ok()
}
