//! The head of an upstream's response.

use std::mem::MaybeUninit;

use bytes::BytesMut;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use http::{Method, StatusCode, Version};

use crate::Malformed;
use crate::body::Length;
use crate::framing::{ContentLength, has_token};

/// Fields of a response's head that are read without an allocation.
const FIELDS_USUAL: usize = 128;
/// Fields of a response's head. Its bytes are bounded, too.
const FIELDS_MAX: usize = 1_024;
/// Start of every status line.
const BEGINNING: &[u8] = b"HTTP/1.";
const NO_HEAD: Error = Error::malformed("a head that is none");

/// A response's head.
#[derive(Debug)]
pub struct Head {
    pub status: StatusCode,
    pub version: Version,
    pub headers: HeaderMap,
    /// There is a Transfer-Encoding.
    coded: bool,
    /// The connection can be used again once the body has ended (RFC 9112 §9.3).
    pub keeps_connection: bool,
}

/// Reason why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    Malformed(Malformed),
    TooLarge,
}

/// Takes a head from what has been read; none where it is not whole. `seen` is how many bytes of
/// it have been looked at already, and begins at 0; a head has `bytes_max` at most; the fields go
/// into `spare`, which is empty. A line may end in LF alone, as old servers have it.
///
/// # Errors
/// Where it is none, or too large.
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
        .ok_or(Error::malformed("a status that is none"))?;
    let mut headers = std::mem::take(spare);
    headers.reserve(parsed.headers.len());
    let mut coded = false;
    let (mut close, mut keep_alive) = (false, false);
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes())
            .map_err(|_| Error::malformed("a field without a name"))?;
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(field.value))
            .map_err(|_| Error::malformed("a field's value that is none"))?;
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

/// End of the head; none if it has not ended. A client of another protocol is refused early.
fn end(read: &[u8], seen: &mut usize) -> Result<Option<usize>, Error> {
    let told = read.len().min(BEGINNING.len());
    if *seen < BEGINNING.len() && read[..told] != BEGINNING[..told] {
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
    /// Where its fields contradict themselves or each other.
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

    /// True if the body is chunked. Every other transfer coding is an error.
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
                "a Transfer-Encoding that is not one `chunked` alone",
            ))
        }
    }
}

impl Error {
    const fn malformed(why: &'static str) -> Self {
        Self::Malformed(Malformed(why))
    }
}

/// True if a response to a method has no body, whatever its fields say (RFC 9112 §6.3).
#[must_use]
pub fn is_bodiless(method: &Method, status: StatusCode) -> bool {
    *method == Method::HEAD
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Seconds for which the other side keeps the connection, as `Keep-Alive: timeout=N` says among
/// other parameters (RFC 2068 §19.7.1).
#[must_use]
pub fn keep_alive_s(value: &HeaderValue) -> Option<u32> {
    let parameters = value.to_str().ok()?.split(',');
    let mut pairs = parameters.filter_map(|parameter| parameter.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("timeout"))?;
    value.trim().trim_matches('"').parse().ok()
}
