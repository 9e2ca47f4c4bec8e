//! Reading of a message body in pieces from a buffer (RFC 9112 §6.3, §7).

use bytes::BytesMut;

use crate::Malformed;
use crate::chunks::Chunks;

pub use crate::piece::Next;

/// Framing of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Length {
    /// Body of this many bytes (`Content-Length`).
    Known(u64),
    /// Body in the chunked coding (RFC 9112 §7.1).
    Chunked,
    /// Body that ends when the connection is closed. Responses only.
    UntilClose,
}

/// State of a body that is being read.
#[derive(Debug)]
pub struct Body {
    state: State,
    ended: bool,
}

#[derive(Debug)]
enum State {
    Known(u64),
    Chunked(Chunks),
    UntilClose,
}

impl Body {
    /// Creates the state before the first byte of a body with this framing.
    #[must_use]
    pub fn new(length: &Length) -> Self {
        Self {
            ended: *length == Length::Known(0),
            state: match length {
                Length::Known(left) => State::Known(*left),
                Length::Chunked => State::Chunked(Chunks::Line),
                Length::UntilClose => State::UntilClose,
            },
        }
    }

    /// State for a message without a body.
    #[must_use]
    pub fn none() -> Self {
        Self::new(&Length::Known(0))
    }

    /// True if the whole body has been read.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Number of bytes of the body that have not been read. `None` if the length is unknown.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        match self.state {
            State::Known(left) => Some(left),
            State::Chunked(_) | State::UntilClose => None,
        }
    }

    /// True if the body ends only when the connection is closed.
    #[must_use]
    pub fn is_until_close(&self) -> bool {
        matches!(self.state, State::UntilClose)
    }

    /// Records that the peer closed the connection.
    ///
    /// # Errors
    /// The body is incomplete.
    pub fn close(&mut self) -> Result<(), Malformed> {
        self.ended |= self.is_until_close();
        match self.ended {
            true => Ok(()),
            false => Err(Malformed("a body that ends early")),
        }
    }

    /// Takes the next piece from the buffer. If the buffer already contains the end of the body,
    /// [`Self::is_ended`] is true after the last piece.
    ///
    /// # Errors
    /// The bytes are malformed. Do not call this function for the body again.
    pub fn next(&mut self, read: &mut BytesMut) -> Result<Next, Malformed> {
        if self.ended {
            return Ok(Next::Done);
        }
        match &mut self.state {
            State::Known(_) | State::UntilClose if read.is_empty() => Ok(Next::More),
            State::Known(left) => {
                let here = usize::try_from(*left).map_or(read.len(), |left| left.min(read.len()));
                *left -= here as u64;
                self.ended = *left == 0;
                Ok(Next::Data(read.split_to(here).freeze()))
            }
            State::UntilClose => Ok(Next::Data(read.split().freeze())),
            State::Chunked(chunks) => {
                let next = chunks.next(read)?;
                self.ended = match next {
                    Next::Data(_) => chunks.ends(read),
                    Next::Trailers(_) | Next::Done => true,
                    Next::More => false,
                };
                Ok(next)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a body that arrives in pieces of `size` bytes. Returns its data, its number of
    /// trailers, and the bytes after it.
    fn taken(length: &Length, text: &str, size: usize) -> Result<(String, usize, String), ()> {
        let (mut body, mut read) = (Body::new(length), BytesMut::new());
        let (mut data, mut trailers) = (Vec::new(), 0);
        for piece in text.as_bytes().chunks(size) {
            read.extend_from_slice(piece);
            loop {
                match body.next(&mut read).map_err(drop)? {
                    Next::Data(piece) => data.extend_from_slice(&piece),
                    Next::Trailers(fields) => trailers = fields.len(),
                    Next::Done | Next::More => break,
                }
            }
        }
        body.close().map_err(drop)?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Ok((text(&data), trailers, text(&read)))
    }

    /// Reads a body in pieces of every size, and checks that the results are equal.
    fn taken_in_pieces_of_any_size(
        length: &Length,
        text: &str,
    ) -> Result<(String, usize, String), ()> {
        let whole = taken(length, text, text.len());
        for size in 1..text.len() {
            assert_eq!(taken(length, text, size), whole, "{size}: {text:?}");
        }
        whole
    }

    #[test]
    fn body_ends_where_its_framing_says() {
        for (length, text, data, trailers, behind) in [
            (Length::Known(0), "GET", "", 0, "GET"),
            (Length::Known(3), "abcGET", "abc", 0, "GET"),
            (Length::UntilClose, "abc", "abc", 0, ""),
            (
                Length::Chunked,
                "3;x=\"y\"\r\nabc\r\n0a \t;z\r\n0123456789\r\n0\r\n\r\nGET",
                "abc0123456789",
                0,
                "GET",
            ),
            (
                Length::Chunked,
                "1\r\na\r\n00\r\nx: y\r\nx: z\r\n\r\nGET",
                "a",
                2,
                "GET",
            ),
        ] {
            let taken = taken_in_pieces_of_any_size(&length, text);
            assert_eq!(
                taken,
                Ok((data.to_owned(), trailers, behind.to_owned())),
                "{text:?}"
            );
        }
    }

    #[test]
    fn malformed_or_incomplete_body_is_refused() {
        for (length, text) in [
            (Length::Known(3), "ab"),
            (Length::Chunked, "3\r\nabc\r\n"),
            (Length::Chunked, "3\nabc\r\n0\r\n\r\n"),
            (Length::Chunked, "3\r\nabcd\r\n0\r\n\r\n"),
            (Length::Chunked, "3;a=\u{1}\r\nabc\r\n0\r\n\r\n"),
            (Length::Chunked, "+3\r\nabc\r\n0\r\n\r\n"),
            (Length::Chunked, "\r\nabc\r\n0\r\n\r\n"),
            (Length::Chunked, "00000000000000003\r\nabc\r\n0\r\n\r\n"),
            (Length::Chunked, "0\r\nx: y\n\r\n"),
            (Length::Chunked, "0\r\nx y\r\n\r\n"),
            (Length::Chunked, "0\r\n:path: /x\r\n\r\n"),
            (Length::Chunked, "0\r\nx: y\r\n:status: 200\r\n\r\n"),
        ] {
            assert_eq!(
                taken_in_pieces_of_any_size(&length, text),
                Err(()),
                "{text:?}"
            );
        }
    }

    #[test]
    fn the_parts_of_the_chunked_coding_are_bounded() {
        for (begun, more, times) in [("0\r\n", "x: y\r\n", 4_000), ("3;", "x", 5_000)] {
            let mut body = Body::new(&Length::Chunked);
            let mut read = BytesMut::from(begun);
            assert!(matches!(body.next(&mut read), Ok(Next::More)), "{begun:?}");
            read.extend_from_slice(more.repeat(times).as_bytes());
            assert!(body.next(&mut read).is_err(), "{begun:?}");
        }
    }
}
