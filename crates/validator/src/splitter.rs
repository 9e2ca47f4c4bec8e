//! Splitter of a sequence into items. The sequence may arrive in pieces of any length.
//!
//! The formats are lines of JSON (`application/x-ndjson`, `application/jsonl`), JSON text sequences
//! (RFC 7464) and event streams (WHATWG HTML §9.2). The splitter stores no bytes of the body: it
//! reports for each piece how many bytes are inside an item. Callers store the bytes of an
//! incomplete item.

use crate::media::SequenceFormat;

/// Record separator that begins an item of a JSON text sequence.
pub(crate) const SEPARATOR: u8 = 0x1e;
/// Byte order mark, which may begin an event stream.
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// Piece at the beginning of the bytes passed to [`Splitter::next`]. The number is the length in
/// bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes outside of items: blank lines and comments.
    Between(usize),
    /// Bytes of an item that continues after these bytes.
    Inside(usize),
    /// The last bytes of an item. The length is 0 if the item ended with the previous bytes.
    End(usize),
}

/// State of splitting a sequence into its items.
#[derive(Debug)]
pub struct Splitter(State);

#[derive(Debug)]
enum State {
    /// JSON lines. True inside an item.
    Lines(bool),
    Records(Records),
    Events(Events),
}

/// State of a JSON text sequence. An item ends at the line feed after its JSON text, so that it is
/// complete before the next item begins. An item without valid JSON ends at the next separator.
#[derive(Debug, Default)]
struct Records {
    is_inside: bool,
    /// True if the item has a byte that is neither its separator nor white space.
    has_text: bool,
    in_string: bool,
    is_escaped: bool,
    /// Number of open arrays and objects.
    depth: u32,
}

/// State inside an event stream.
#[derive(Debug, Default)]
struct Events {
    /// Number of bytes of the byte order mark at the beginning of the stream that were read. 3: no
    /// further bytes of the mark are expected.
    mark: usize,
    /// True if the current block has a line that is not a comment.
    is_inside: bool,
    /// True if the current line has a byte.
    in_line: bool,
    /// True if the last byte was CR. A line feed after it belongs to the same line end.
    after_cr: bool,
}

impl Splitter {
    pub(crate) fn new(format: SequenceFormat) -> Self {
        Self(match format {
            SequenceFormat::Lines => State::Lines(false),
            SequenceFormat::Records => State::Records(Records::default()),
            SequenceFormat::Events => State::Events(Events::default()),
        })
    }

    /// Finds the first piece of `bytes`, which follow the bytes of the previous pieces. Call it
    /// again with the bytes after the piece. A piece of length 0 is a [`Piece::End`], or means that
    /// there are no bytes.
    pub fn next(&mut self, bytes: &[u8]) -> Piece {
        match &mut self.0 {
            State::Lines(is_inside) => line(is_inside, bytes),
            State::Records(records) => records.next(bytes),
            State::Events(events) => events.next(bytes),
        }
    }

    /// Ends the sequence. Returns true if the bytes after the last `Piece::End` are a further item.
    pub fn end(&mut self) -> bool {
        match &mut self.0 {
            State::Lines(is_inside) => std::mem::take(is_inside),
            State::Records(records) => std::mem::take(&mut records.is_inside),
            State::Events(events) => std::mem::take(&mut events.is_inside),
        }
    }
}

/// True for white space of JSON (RFC 8259 §2).
pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn line(is_inside: &mut bool, bytes: &[u8]) -> Piece {
    if !*is_inside {
        let blanks = bytes.iter().take_while(|byte| is_blank(**byte)).count();
        if blanks > 0 || bytes.is_empty() {
            return Piece::Between(blanks);
        }
        *is_inside = true;
    }
    match bytes.iter().position(|byte| *byte == b'\n') {
        None => Piece::Inside(bytes.len()),
        Some(at) => {
            *is_inside = false;
            Piece::End(at + 1)
        }
    }
}

// === impl Records ===

impl Records {
    fn next(&mut self, bytes: &[u8]) -> Piece {
        let mut rest = bytes.iter().enumerate();
        if !self.is_inside {
            let blanks = bytes.iter().take_while(|byte| is_blank(**byte)).count();
            if blanks > 0 || bytes.is_empty() {
                return Piece::Between(blanks);
            }
            *self = Self {
                is_inside: true,
                has_text: bytes[0] != SEPARATOR,
                ..Self::default()
            };
            if bytes[0] == SEPARATOR {
                rest.next();
            }
        }
        for (at, byte) in rest {
            if *byte == SEPARATOR {
                self.is_inside = false;
                return Piece::End(at);
            }
            if *byte == b'\n' && self.is_complete() {
                self.is_inside = false;
                return Piece::End(at + 1);
            }
            self.read(*byte);
        }
        Piece::Inside(bytes.len())
    }

    /// True if a complete JSON text was read.
    fn is_complete(&self) -> bool {
        self.has_text && !self.in_string && self.depth == 0
    }

    fn read(&mut self, byte: u8) {
        self.has_text |= !is_blank(byte);
        match byte {
            _ if std::mem::take(&mut self.is_escaped) => {}
            b'"' => self.in_string = !self.in_string,
            b'\\' => self.is_escaped = self.in_string,
            b'{' | b'[' if !self.in_string => self.depth = self.depth.saturating_add(1),
            b'}' | b']' if !self.in_string => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

// === impl Events ===

impl Events {
    fn next(&mut self, bytes: &[u8]) -> Piece {
        for (at, byte) in bytes.iter().enumerate() {
            if BYTE_ORDER_MARK.get(self.mark) == Some(byte) {
                self.mark += 1;
                continue;
            }
            self.mark = BYTE_ORDER_MARK.len();
            let is_line_end = matches!(byte, b'\r' | b'\n');
            let begins_item = !self.is_inside && !self.in_line && !is_line_end && *byte != b':';
            if begins_item && at > 0 {
                return Piece::Between(at);
            }
            self.is_inside |= begins_item;
            if std::mem::replace(&mut self.after_cr, *byte == b'\r') && *byte == b'\n' {
                continue;
            }
            let was_in_line = std::mem::replace(&mut self.in_line, !is_line_end);
            if is_line_end && !was_in_line && std::mem::take(&mut self.is_inside) {
                return Piece::End(at + 1);
            }
        }
        match self.is_inside {
            true => Piece::Inside(bytes.len()),
            false => Piece::Between(bytes.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splits a sequence that arrives in these parts. Returns the items, and all bytes between
    /// items.
    fn split(format: SequenceFormat, parts: &[&[u8]]) -> (Vec<Vec<u8>>, Vec<u8>) {
        let mut splitter = Splitter::new(format);
        let (mut items, mut item, mut between) = (Vec::new(), Vec::new(), Vec::new());
        for part in parts {
            let mut rest = *part;
            while !rest.is_empty() {
                let length = match splitter.next(rest) {
                    Piece::Between(length) => {
                        assert!(item.is_empty());
                        between.extend_from_slice(&rest[..length]);
                        length
                    }
                    Piece::Inside(length) => {
                        item.extend_from_slice(&rest[..length]);
                        length
                    }
                    Piece::End(length) => {
                        item.extend_from_slice(&rest[..length]);
                        items.push(std::mem::take(&mut item));
                        length
                    }
                };
                rest = &rest[length..];
            }
        }
        if splitter.end() {
            items.push(item);
        }
        assert!(!splitter.end());
        (items, between)
    }

    /// Asserts the items of a sequence, for every division into three parts and for single bytes.
    fn assert_items(format: SequenceFormat, bytes: &[u8], expected: &[&[u8]]) {
        let assert = |parts: &[&[u8]]| {
            let (items, between) = split(format, parts);
            assert_eq!(items, expected, "{parts:?}");
            let length = items.iter().map(Vec::len).sum::<usize>() + between.len();
            assert_eq!(length, bytes.len(), "{parts:?}");
        };
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                assert(&[&bytes[..first], &bytes[first..second], &bytes[second..]]);
            }
        }
        assert(&bytes.chunks(1).collect::<Vec<_>>());
    }

    #[test]
    fn lines_are_items_and_blank_lines_are_not() {
        let lines = SequenceFormat::Lines;
        assert_items(lines, b"", &[]);
        assert_items(lines, b"\n \r\n\t\n", &[]);
        assert_items(
            lines,
            b"{\"a\":1}\r\n\n  [2]\n\"x\"",
            &[b"{\"a\":1}\r\n", b"[2]\n", b"\"x\""],
        );
        assert_items(
            lines,
            b"\xef\xbb\xbf1\n\x00\n",
            &[b"\xef\xbb\xbf1\n", b"\x00\n"],
        );
    }

    #[test]
    fn records_end_at_their_line_feed_or_separator() {
        let records = SequenceFormat::Records;
        assert_items(
            records,
            b"\x1e{\"a\":\n[1,\n2]}\n\x1e\"\\\"\\\\]\"\n\n\x1e12\n",
            &[
                b"\x1e{\"a\":\n[1,\n2]}\n",
                b"\x1e\"\\\"\\\\]\"\n",
                b"\x1e12\n",
            ],
        );
        // An item with broken JSON ends at the next separator. Text without a separator is an item,
        // too.
        assert_items(
            records,
            b"1\n\x1e\x1e {\"a\x1e[\n]]\n\x1e5",
            &[b"1\n", b"\x1e", b"\x1e {\"a", b"\x1e[\n]]\n", b"\x1e5"],
        );
        assert_items(records, b"", &[]);
    }

    #[test]
    fn events_end_at_an_empty_line() {
        let events = SequenceFormat::Events;
        assert_items(
            events,
            b"data: a\ndata: b\n\ndata\r\n\r\nid: 1\r\r: x\n\n\nretry: 2",
            &[
                b"data: a\ndata: b\n\n",
                b"data\r\n\r",
                b"id: 1\r\r",
                b"retry: 2",
            ],
        );
        assert_items(
            events,
            b"\xef\xbb\xbf: x\r\n\r\ndata: 1\n:y\n\n",
            &[b"data: 1\n:y\n\n"],
        );
        assert_items(events, b"\xef\xbb\xbfdata: 1\r\n\n", &[b"data: 1\r\n\n"]);
        assert_items(events, b"\n\xef\xbb\xbfa\n\n", &[b"\xef\xbb\xbfa\n\n"]);
        assert_items(events, b": x\n: y", &[]);
    }

    /// A receiver can use an item before the next item begins.
    #[test]
    fn item_is_complete_at_its_own_end() {
        for (format, item) in [
            (SequenceFormat::Lines, &b"{\"a\": 1}\n"[..]),
            (SequenceFormat::Lines, b"2\r\n"),
            (SequenceFormat::Records, b"\x1e[1,\n2]\n"),
            (SequenceFormat::Records, b"\x1e12\n"),
            (SequenceFormat::Events, b"data: 1\n\n"),
            (SequenceFormat::Events, b"data: 1\r\r"),
        ] {
            let mut splitter = Splitter::new(format);
            assert_eq!(splitter.next(item), Piece::End(item.len()), "{item:?}");
        }
        // A comment is reported at once, before the end of its block.
        let mut splitter = Splitter::new(SequenceFormat::Events);
        assert_eq!(splitter.next(b": ping\n"), Piece::Between(7));
    }
}
