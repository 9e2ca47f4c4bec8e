//! The chunked coding (RFC 9112 §7.1), read strictly.

use bytes::{Buf as _, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::Malformed;
use crate::piece::Next;

/// Bytes of a chunk's line, with its extensions.
const LINE_MAX: usize = 4 << 10;
/// Bytes of the trailer section.
const TRAILERS_MAX: usize = 16 << 10;
/// Fields of the trailer section.
const TRAILER_FIELDS_MAX: usize = 64;

/// State of a chunked body that is being read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Chunks {
    /// A chunk's line comes.
    Line,
    /// So many bytes of a chunk are still to come.
    Data(u64),
    /// The line end behind a chunk comes.
    End,
    /// The trailer section comes.
    Trailers,
    Done,
}

impl Chunks {
    /// Takes the next piece from what has been read.
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
                        return Err(Malformed("a chunk that is longer than it says"));
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
    /// Takes the end of the body, where it is here already and has no trailers: so that who
    /// gets the last piece knows that it is.
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

/// A chunk's line: its size; none where it is not whole.
fn line(read: &mut BytesMut) -> Result<Option<u64>, Malformed> {
    let Some(end) = memchr::memchr(b'\n', &read[..read.len().min(LINE_MAX)]) else {
        return if read.len() >= LINE_MAX {
            Err(Malformed("a chunk line without end"))
        } else {
            Ok(None)
        };
    };
    let bad = Malformed("a chunk line that is none");
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
    // Extensions go no further; they may hold anything that is no line end.
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

/// The trailer section; none where it is not whole.
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
    let bad = || Malformed("trailers that are none");
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
