//! Strict decoding of the chunked coding (RFC 9112 §7.1).

use bytes::{Buf as _, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::Malformed;
use crate::piece::Next;

/// Maximum length of the line before a chunk's data (size and extensions), in bytes.
const LINE_MAX: usize = 4 << 10;
/// Maximum length of the trailer section, in bytes.
const TRAILERS_MAX: usize = 16 << 10;
/// Maximum number of fields in the trailer section.
const TRAILER_FIELDS_MAX: usize = 64;

/// State of a chunked body that is being read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Chunks {
    /// The next bytes are the line before a chunk's data.
    Line,
    /// The next bytes are a chunk's data, of which this number of bytes has not been read yet.
    Data(u64),
    /// The next bytes are the line end after a chunk's data.
    End,
    /// The next bytes are the trailer section.
    Trailers,
    Done,
}

impl Chunks {
    /// Takes the next piece of the body from the buffer.
    pub(crate) fn next(&mut self, read: &mut BytesMut) -> Result<Next, Malformed> {
        loop {
            match *self {
                Self::Line => {
                    let Some(size) = line(read)? else {
                        return Ok(Next::More);
                    };
                    *self = if size == 0 {
                        Self::Trailers
                    } else {
                        Self::Data(size)
                    };
                }
                Self::Data(_) if read.is_empty() => return Ok(Next::More),
                Self::Data(left) => {
                    let here =
                        usize::try_from(left).map_or(read.len(), |left| left.min(read.len()));
                    let data = read.split_to(here).freeze();
                    let left = left - here as u64;
                    *self = if left == 0 {
                        Self::End
                    } else {
                        Self::Data(left)
                    };
                    return Ok(Next::Data(data));
                }
                Self::End => {
                    if read.len() < 2 {
                        return Ok(Next::More);
                    }
                    if !read.starts_with(b"\r\n") {
                        return Err(Malformed("a chunk longer than its declared size"));
                    }
                    read.advance(2);
                    *self = Self::Line;
                }
                Self::Trailers => {
                    let Some(trailers) = trailers(read)? else {
                        return Ok(Next::More);
                    };
                    *self = Self::Done;
                    if !trailers.is_empty() {
                        return Ok(Next::Trailers(trailers));
                    }
                }
                Self::Done => return Ok(Next::Done),
            }
        }
    }
}

impl Chunks {
    /// Takes the end of a body without trailers from the buffer, if the end has arrived completely.
    /// If the result is true, the previous piece was the last piece of the body.
    pub(crate) fn ends(&mut self, read: &mut BytesMut) -> bool {
        const END: &[u8] = b"\r\n0\r\n\r\n";
        let ends = *self == Self::End && read.starts_with(END);
        if ends {
            read.advance(END.len());
            *self = Self::Done;
        }
        ends
    }
}

/// Reads the line before a chunk's data and returns the size of the data in bytes. `None` if the
/// line is incomplete.
fn line(read: &mut BytesMut) -> Result<Option<u64>, Malformed> {
    let Some(end) = memchr::memchr(b'\n', &read[..read.len().min(LINE_MAX)]) else {
        return if read.len() >= LINE_MAX {
            Err(Malformed("a chunk line without end"))
        } else {
            Ok(None)
        };
    };
    let bad = Malformed("a malformed chunk line");
    let Some(text) = read[..end].strip_suffix(b"\r") else {
        return Err(bad);
    };
    let digits = text
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    if digits == 0 || digits > 16 {
        return Err(bad);
    }
    // Ignore extensions. HTAB is the only control character that they may contain.
    let rest = text[digits..].trim_ascii_start();
    let clean = rest
        .iter()
        .all(|byte| *byte == b'\t' || *byte >= b' ' && *byte != 0x7F);
    if !clean || !(rest.is_empty() || rest[0] == b';') {
        return Err(bad);
    }
    let size = std::str::from_utf8(&text[..digits])
        .ok()
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or(bad)?;
    read.advance(end + 1);
    Ok(Some(size))
}

/// Reads the fields of the trailer section. `None` if the section is incomplete.
fn trailers(read: &mut BytesMut) -> Result<Option<HeaderMap>, Malformed> {
    if read.starts_with(b"\r\n") {
        read.advance(2);
        return Ok(Some(HeaderMap::new()));
    }
    let Some(end) = memchr::memmem::find(&read[..read.len().min(TRAILERS_MAX)], b"\r\n\r\n") else {
        return if read.len() >= TRAILERS_MAX {
            Err(Malformed("trailers without end"))
        } else {
            Ok(None)
        };
    };
    let section = read.split_to(end + 4);
    if memchr::memchr_iter(b'\n', &section).any(|at| at == 0 || section[at - 1] != b'\r') {
        return Err(Malformed("trailers whose lines do not end in CR LF"));
    }
    let mut fields = [httparse::EMPTY_HEADER; TRAILER_FIELDS_MAX];
    let bad = || Malformed("malformed trailers");
    let Ok(httparse::Status::Complete((_, fields))) =
        httparse::parse_headers(&section, &mut fields)
    else {
        return Err(bad());
    };
    let mut trailers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| bad())?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| bad())?;
        trailers.append(name, value);
    }
    Ok(Some(trailers))
}
