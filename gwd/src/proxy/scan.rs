//! What hyper leaves to us on the bytes of a request (data-plane.md §11).
//!
//! The scan follows the framing (head, data, chunk sizes, trailers) on the bytes just read,
//! below hyper, and refuses what hyper lets pass or repairs silently: Transfer-Encoding together
//! with Content-Length (RFC 9112 §6.1), LF without CR, a fragment in the request line, control
//! bytes in chunk lines. An offence
//! in a head turns the LF into NUL, so that hyper itself answers 400 and closes; one in a chunk
//! line ends the connection. Behind an offence, or where hyper will refuse anyway, nothing is
//! judged any more.

use memchr::memchr;

/// Where in the framing the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before or in a head.
    Head,
    /// In a body of known length.
    Data { left: u64 },
    /// In a chunk's size line.
    Size {
        size: u64,
        digits: u8,
        extension: bool,
    },
    /// In a chunk.
    Chunk { left: u64 },
    /// Behind a chunk: CR, LF.
    ChunkEnd { left: u8 },
    /// In the trailer section.
    Trailer { empty: bool },
    /// hyper refuses what comes, or has refused.
    Blind,
}

/// A chunk line with bytes that nobody may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadChunkLine;

/// Longest beginning of a line that is kept while the rest has not arrived. Names and values
/// that matter are shorter.
const CARRY_MAX: usize = 128;

/// The scan of one connection.
#[derive(Debug)]
pub(crate) struct Scan {
    state: State,
    /// The beginning of an unfinished line of a head.
    carry: Vec<u8>,
    /// Whether the request line of this head has passed.
    in_fields: bool,
    /// A `#` stood in the beginning of the request line.
    fragment: bool,
    last: u8,
    length: Option<u64>,
    chunked: bool,
    offended: bool,
}

impl Scan {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Head,
            carry: Vec::new(),
            in_fields: false,
            fragment: false,
            last: 0,
            length: None,
            chunked: false,
            offended: false,
        }
    }

    /// Whether a head has begun and not ended.
    pub(crate) fn in_head(&self) -> bool {
        self.state == State::Head && (self.in_fields || !self.carry.is_empty())
    }

    /// Whether a head was spoilt here, so that hyper refuses it.
    pub(crate) fn offended(&self) -> bool {
        self.offended
    }

    /// Follows the bytes just read.
    pub(crate) fn follow(&mut self, mut bytes: &mut [u8]) -> Result<(), BadChunkLine> {
        while !bytes.is_empty() {
            let used = match self.state {
                State::Blind => return Ok(()),
                State::Head => self.head(bytes),
                State::Data { left } => self.skip(left, bytes.len(), false),
                State::Chunk { left } => self.skip(left, bytes.len(), true),
                State::Size { .. } => self.size(bytes)?,
                State::ChunkEnd { left } => self.chunk_end(left, bytes)?,
                State::Trailer { .. } => self.trailer(bytes)?,
            };
            bytes = &mut bytes[used..];
        }
        Ok(())
    }

    fn skip(&mut self, left: u64, here: usize, chunked: bool) -> usize {
        let used = usize::try_from(left).map_or(here, |left| left.min(here));
        let left = left - used as u64;
        self.state = match (left, chunked) {
            (0, true) => State::ChunkEnd { left: 2 },
            (0, false) => State::Head,
            (_, true) => State::Chunk { left },
            (_, false) => State::Data { left },
        };
        used
    }

    /// One line of a head, or the part of it that is here.
    fn head(&mut self, bytes: &mut [u8]) -> usize {
        let Some(end) = memchr(b'\n', bytes) else {
            self.keep(bytes);
            return bytes.len();
        };
        let before = if end == 0 { self.last } else { bytes[end - 1] };
        if before != b'\r' {
            return self.offend(bytes, end);
        }
        self.last = b'\n';
        let line = &bytes[..end.saturating_sub(1)];
        if !self.in_fields && (self.fragment || memchr(b'#', line).is_some()) {
            // hyper would cut the target there, silently (RFC 9112 §3.2).
            return self.offend(bytes, end);
        }
        if self.carry.is_empty() {
            if line.is_empty() {
                if self.in_fields && self.end_of_head() {
                    return self.offend(bytes, end);
                }
                return end + 1;
            }
            let line = &line[..line.len().min(CARRY_MAX)];
            if self.in_fields {
                if is_endless_length(line) {
                    return self.offend(bytes, end);
                }
                field(line, &mut self.length, &mut self.chunked, &mut self.state);
            }
        } else {
            let mut whole = std::mem::take(&mut self.carry);
            let room = CARRY_MAX.saturating_sub(whole.len());
            whole.extend_from_slice(&line[..line.len().min(room)]);
            if end == 0 {
                // The CR came with the bytes before.
                whole.pop_if(|byte| *byte == b'\r');
            }
            if whole.is_empty() {
                if self.in_fields && self.end_of_head() {
                    return self.offend(bytes, end);
                }
                return end + 1;
            }
            if self.in_fields {
                if is_endless_length(&whole) {
                    return self.offend(bytes, end);
                }
                field(&whole, &mut self.length, &mut self.chunked, &mut self.state);
            }
        }
        self.in_fields = true;
        end + 1
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.fragment |= !self.in_fields && memchr(b'#', bytes).is_some();
        let room = CARRY_MAX.saturating_sub(self.carry.len());
        self.carry
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.last = bytes.last().copied().unwrap_or(self.last);
    }

    /// What follows the head; true for an offence.
    fn end_of_head(&mut self) -> bool {
        let (length, chunked) = (self.length.take(), std::mem::take(&mut self.chunked));
        self.in_fields = false;
        if self.state == State::Blind {
            return false;
        }
        self.state = match (length, chunked) {
            (Some(_), true) => return true,
            (_, true) => State::size(),
            (None | Some(0), false) => State::Head,
            (Some(left), false) => State::Data { left },
        };
        false
    }

    fn offend(&mut self, bytes: &mut [u8], at: usize) -> usize {
        bytes[at] = 0;
        self.state = State::Blind;
        self.offended = true;
        bytes.len()
    }

    fn size(&mut self, bytes: &[u8]) -> Result<usize, BadChunkLine> {
        for (at, &byte) in bytes.iter().enumerate() {
            let State::Size {
                size,
                digits,
                extension,
            } = &mut self.state
            else {
                return Ok(at);
            };
            if self.last == b'\r' && byte != b'\n' {
                return Err(BadChunkLine);
            }
            match byte {
                b'\n' if self.last != b'\r' => return Err(BadChunkLine),
                b'\n' => {
                    self.state = match (*digits, *size) {
                        (0, _) => State::Blind,
                        (_, 0) => State::Trailer { empty: true },
                        (_, left) => State::Chunk { left },
                    };
                }
                b'\r' | b'\t' | b' ' => {}
                0..=0x1F | 0x7F => return Err(BadChunkLine),
                _ if *extension => {}
                b';' => *extension = true,
                digit => match char::from(digit).to_digit(16) {
                    Some(value) if *digits < 16 => {
                        *size = *size << 4 | u64::from(value);
                        *digits += 1;
                    }
                    // hyper takes leading zeros without end; blind behind them nothing would be
                    // judged any more on this connection.
                    Some(_) => return Err(BadChunkLine),
                    None => self.state = State::Blind,
                },
            }
            self.last = byte;
        }
        Ok(bytes.len())
    }

    fn chunk_end(&mut self, left: u8, bytes: &[u8]) -> Result<usize, BadChunkLine> {
        match (left, bytes[0]) {
            (2, b'\r') => self.state = State::ChunkEnd { left: 1 },
            (1, b'\n') => {
                self.last = b'\n';
                self.state = State::size();
            }
            _ => return Err(BadChunkLine),
        }
        Ok(1)
    }

    fn trailer(&mut self, bytes: &[u8]) -> Result<usize, BadChunkLine> {
        for (at, &byte) in bytes.iter().enumerate() {
            let State::Trailer { empty } = &mut self.state else {
                return Ok(at);
            };
            match byte {
                b'\n' if self.last != b'\r' => return Err(BadChunkLine),
                b'\n' if *empty => self.state = State::Head,
                b'\n' => *empty = true,
                b'\r' => {}
                _ => *empty = false,
            }
            self.last = byte;
        }
        Ok(bytes.len())
    }
}

impl State {
    const fn size() -> Self {
        Self::Size {
            size: 0,
            digits: 0,
            extension: false,
        }
    }
}

/// Whether the first [`CARRY_MAX`] bytes of a line are a Content-Length that goes on: hyper would
/// read its leading zeros to the end, the scan could not, and the two would part company.
fn is_endless_length(line: &[u8]) -> bool {
    const NAME: &[u8] = b"content-length:";
    line.len() >= CARRY_MAX && line[..NAME.len()].eq_ignore_ascii_case(NAME)
}

/// Notes what a field says about the framing.
fn field(line: &[u8], length: &mut Option<u64>, chunked: &mut bool, state: &mut State) {
    // Most names begin otherwise: one byte decides.
    if !matches!(line.first(), Some(b'c' | b'C' | b't' | b'T')) {
        return;
    }
    let Some(colon) = memchr(b':', line) else {
        return;
    };
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    if name.eq_ignore_ascii_case(b"content-length") {
        let said = std::str::from_utf8(value).ok().and_then(|text| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u64>().ok().filter(|_| digits)
        });
        match (said, *length) {
            (Some(said), None) => *length = Some(said),
            (Some(said), Some(before)) if said == before => {}
            // hyper refuses what is no number, and two numbers.
            _ => *state = State::Blind,
        }
    } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
        *chunked = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows `text` in pieces of every size; tells the bytes as hyper sees them.
    fn followed(text: &str) -> Result<String, BadChunkLine> {
        let whole = pieces(text, text.len());
        for size in 1..text.len() {
            assert_eq!(pieces(text, size), whole, "in pieces of {size}: {text:?}");
        }
        whole
    }

    fn pieces(text: &str, size: usize) -> Result<String, BadChunkLine> {
        let mut scan = Scan::new();
        let mut bytes = text.as_bytes().to_vec();
        for piece in bytes.chunks_mut(size.max(1)) {
            scan.follow(piece)?;
        }
        Ok(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn what_is_framed_well_passes_untouched() {
        for text in [
            "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\na\nbPUT / HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4;x=\"y\"\r\na\nb\n\r\n0\r\nX-T: 1\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n\n\n\nGET / HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(followed(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn an_offence_in_a_head_spoils_its_line() {
        for (text, spoilt) in [
            (
                "GET / HTTP/1.1\nHost: h\r\n\r\n",
                "GET / HTTP/1.1\0Host: h\r\n\r\n",
            ),
            (
                "GET / HTTP/1.1\r\nA: b\nHost: h\r\n\r\n",
                "GET / HTTP/1.1\r\nA: b\0Host: h\r\n\r\n",
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\n\n",
                "GET / HTTP/1.1\r\nHost: h\r\n\0",
            ),
            (
                "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n",
                "GET /a#b HTTP/1.1\r\0Host: h\r\n\r\n",
            ),
            (
                "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\u{0}0\r\n\r\n",
            ),
            (
                "POST / HTTP/1.1\r\ntransfer-encoding:chunked\r\nX: 1\r\nCONTENT-LENGTH: 0\r\n\r\n",
                "POST / HTTP/1.1\r\ntransfer-encoding:chunked\r\nX: 1\r\nCONTENT-LENGTH: 0\r\n\r\0",
            ),
        ] {
            assert_eq!(followed(text).as_deref(), Ok(spoilt));
        }
    }

    #[test]
    fn a_length_that_does_not_end_is_an_offence() {
        let head = format!("POST / HTTP/1.1\r\nContent-Length: {}", "0".repeat(200));
        assert_eq!(
            followed(&format!("{head}3\r\n\r\na\nb")),
            Ok(format!("{head}3\r\0\r\na\nb"))
        );
    }

    #[test]
    fn chunk_lines_hold_no_control_bytes_and_no_bare_line_feed() {
        let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        for body in [
            "3\nabc\r\n0\r\n\r\n",
            "3;a=\u{1}\r\nabc\r\n0\r\n\r\n",
            "3\r;\nabc\r\n",
            "3\r\nabc\n0\r\n\r\n",
            "3\r\nabcd\r\n0\r\n\r\n",
            "0\r\nX: y\n\r\n",
            "00000000000000003\r\nabc\r\n0\r\n\r\n",
        ] {
            assert_eq!(
                followed(&format!("{head}{body}")),
                Err(BadChunkLine),
                "{body:?}"
            );
        }
    }
}
