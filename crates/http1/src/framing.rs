//! Body framing by Content-Length, Transfer-Encoding and Connection (RFC 9112 §6).

use http::HeaderValue;

use crate::Malformed;

/// Value of Content-Length, collected from its fields. Repeated fields must be equal.
#[derive(Debug, Default)]
pub(crate) struct ContentLength(pub(crate) Option<u64>);

impl ContentLength {
    /// Reads a `Content-Length` field. Fails if its value is malformed or differs from an earlier
    /// field.
    pub(crate) fn note(&mut self, value: &HeaderValue) -> Result<(), Malformed> {
        let digits = value.as_bytes();
        let length = std::str::from_utf8(digits)
            .ok()
            .filter(|_| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
            .and_then(|text| text.parse::<u64>().ok())
            .ok_or(Malformed("a malformed Content-Length"))?;
        match self.0.replace(length) {
            Some(before) if before != length => Err(Malformed("two Content-Lengths")),
            _ => Ok(()),
        }
    }
}

/// True if a comma-separated list contains a token, case-insensitively.
pub(crate) fn has_token(list: &HeaderValue, token: &str) -> bool {
    let mut tokens = list.as_bytes().split(|byte| *byte == b',');
    tokens.any(|one| one.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// True if `chunked` is the last coding in a Transfer-Encoding value.
pub(crate) fn ends_chunked(codings: &HeaderValue) -> bool {
    let last = codings.as_bytes().rsplit(|byte| *byte == b',').next();
    last.is_some_and(|last| last.trim_ascii().eq_ignore_ascii_case(b"chunked"))
}
