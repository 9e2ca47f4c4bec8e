//! Inspection of the header blocks that HTTP/2 clients send (RFC 7541; RFC 9113 §4.3, §8.1, §8.2).
//!
//! The HTTP/2 library (h2) reports a block that cannot be decoded and a malformed field with the
//! same connection error. It ignores pseudo-fields in trailers. [`Inspector`] therefore reads each
//! block before the library, and reports a block that cannot be decoded. For a malformed message it
//! returns a replacement block, for which the library resets the stream. The replacement has a
//! valid field of the same size for every malformed field, so that the library's table stays equal
//! to the client's. Its last field makes the message malformed for the library.
//!
//! A CONNECT request with content (RFC 9110 §9.3.6) is malformed as well: hyper 1.12 ends the whole
//! connection for it.
//!
//! The inspector stores 8 bytes for each entry of the dynamic table, and not the entry's text. It
//! allocates memory only when the table grows and for malformed messages.

mod huffman;

use std::collections::VecDeque;

/// Maximum size of the dynamic table, in bytes: the default of SETTINGS_HEADER_TABLE_SIZE, which
/// gwd does not change.
const TABLE_BYTES: usize = 4_096;
/// Size of an entry without its name and its value, in bytes (RFC 7541 §4.1).
const ENTRY_BYTES: usize = 32;
/// Maximum number of bytes after the first byte of an encoded integer. The HTTP/2 library has the
/// same limit.
const INTEGER_BYTES: usize = 4;
/// Maximum length of a field name that the HTTP/2 library accepts, in bytes.
const NAME_BYTES: usize = 65_535;
/// Length of the longest name that is recognised, `content-length`, in bytes.
const KNOWN_BYTES: usize = 14;
/// Literal field `connection` with an empty value. It makes any message malformed, because it is
/// connection-specific (RFC 9113 §8.2.2).
const MALFORMED: &[u8] = b"\x10\x0Aconnection\x00";

const INDEXED: u8 = 0x80;
const INDEXING: u8 = 0x40;
const SIZE_UPDATE: u8 = 0x20;
const HUFFMAN: u8 = 0x80;

/// Length of a text in the Huffman code of HPACK, in bytes (RFC 7541 appendix B).
pub fn coded_bytes(text: &[u8]) -> usize {
    huffman::coded_bytes(text)
}

/// Part of a message to which a header block belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Request line and fields.
    Head,
    /// Trailers, which have no pseudo-fields.
    Trailers,
}

/// Result of an inspection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inspected {
    /// All fields of the block are well-formed. The library checks all other rules for messages.
    WellFormed,
    /// The message is malformed. Contains the replacement block for the library.
    Malformed(Vec<u8>),
}

/// Reason why the connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// The block cannot be decoded (COMPRESSION_ERROR, RFC 9113 §4.3).
    Compression,
    /// The block is malformed, and its replacement for the HTTP/2 library would be too long.
    Unreplaceable,
}

/// State of a client's header compression.
#[derive(Debug)]
pub struct Inspector {
    /// Dynamic table, newest entry first.
    entries: VecDeque<Entry>,
    /// Size of all entries, in bytes (RFC 7541 §4.1).
    size: usize,
    /// Maximum size of the table that the client has chosen, in bytes.
    size_max: usize,
    /// Size of the header list in the last inspected block, in bytes.
    list_bytes: usize,
}

/// Entry of the dynamic table.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Size of name, value and [`ENTRY_BYTES`]; at most [`TABLE_BYTES`].
    size: u16,
    name: Name,
    malformed: bool,
    shows: Shows,
}

/// Property of a message that follows from one of its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shows {
    Nothing,
    /// The method is CONNECT.
    Connect,
    /// `content-length` is not zero.
    Content,
}

/// Name of a field.
#[derive(Clone, Copy, Debug)]
struct Name {
    kind: Kind,
    /// Length of the name in bytes. Values above `u16::MAX` are stored as `u16::MAX`.
    length: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Field,
    /// `content-length`.
    Length,
    Method,
    /// `:path`: path and query, never a fragment (RFC 9113 §8.3.1).
    Path,
    /// `:scheme`, `:authority` or `:protocol`.
    Pseudo,
    /// Name that is not valid in a request. The library's table has a valid name instead.
    Malformed,
}

/// String literal.
#[derive(Clone, Copy)]
struct Text<'b> {
    bytes: &'b [u8],
    is_huffman: bool,
}

/// Block that is being read.
struct Block<'b> {
    bytes: &'b [u8],
    at: usize,
    /// Offset of the field that is being read.
    begin: usize,
    /// Replacement block for the HTTP/2 library. `None` until the first malformed field.
    replaced: Option<Vec<u8>>,
    is_malformed: bool,
    is_connect: bool,
    has_content: bool,
    /// Size of the fields that were read, in bytes.
    list_bytes: usize,
}

// === impl Inspector ===

impl Default for Inspector {
    fn default() -> Self {
        Self::new()
    }
}

impl Inspector {
    /// Creates an inspector for a new connection.
    pub fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            size_max: TABLE_BYTES,
            list_bytes: 0,
        }
    }

    /// Size of the header list in the last inspected block, in bytes (RFC 9113 §6.5.2).
    pub fn list_bytes(&self) -> usize {
        self.list_bytes
    }

    /// Sizes of the entries of the dynamic table, newest first.
    pub fn sizes(&self) -> impl Iterator<Item = usize> {
        self.entries.iter().map(|entry| usize::from(entry.size))
    }

    /// Inspects a complete header block.
    ///
    /// # Errors
    /// Returns the reason why the connection must be closed. The inspector cannot be used
    /// afterwards.
    pub fn inspect(&mut self, block: &[u8], part: Part) -> Result<Inspected, Invalid> {
        let mut block = Block {
            bytes: block,
            at: 0,
            begin: 0,
            replaced: None,
            is_malformed: false,
            is_connect: false,
            has_content: false,
            list_bytes: 0,
        };
        let mut has_fields = false;
        while let Some(&first) = block.bytes.get(block.at) {
            block.begin = block.at;
            if first & INDEXED == 0 && first & INDEXING == 0 && first & SIZE_UPDATE != 0 {
                if has_fields {
                    return Err(Invalid::Compression);
                }
                let size = block.integer(5)?;
                self.resize(size)?;
                continue;
            }
            has_fields = true;
            let kind = if first & INDEXED != 0 {
                self.indexed(&mut block)?
            } else {
                self.literal(&mut block, first & INDEXING != 0)?
            };
            let is_field = matches!(kind, Kind::Field | Kind::Length);
            block.is_malformed |= part == Part::Trailers && !is_field;
        }
        block.is_malformed |= part == Part::Head && block.is_connect && block.has_content;
        self.list_bytes = block.list_bytes;
        Ok(block.end())
    }

    /// Inspects an indexed field (RFC 7541 §6.1).
    fn indexed(&self, block: &mut Block<'_>) -> Result<Kind, Invalid> {
        let index = block.integer(7)?;
        let (name, is_malformed) = match index.checked_sub(STATIC_NAMES.len() + 1) {
            None => {
                let name = static_name(index)?;
                block.list_bytes +=
                    ENTRY_BYTES + usize::from(name.length) + static_value_bytes(index);
                (name, name.kind == Kind::Malformed)
            }
            Some(dynamic) => {
                let entry = self.entries.get(dynamic).ok_or(Invalid::Compression)?;
                block.list_bytes += usize::from(entry.size);
                block.note(entry.shows);
                (entry.name, entry.malformed)
            }
        };
        if is_malformed {
            block.omit();
        } else {
            block.keep();
        }
        Ok(name.kind)
    }

    /// Inspects a literal field (RFC 7541 §6.2).
    fn literal(&mut self, block: &mut Block<'_>, indexing: bool) -> Result<Kind, Invalid> {
        let index = block.integer(if indexing { 6 } else { 4 })?;
        let mut name_length = 0;
        let mut name = match index.checked_sub(STATIC_NAMES.len() + 1) {
            None if index == 0 => {
                let text = block.text()?;
                let (name, length) = text.name()?;
                name_length = length;
                name
            }
            None => static_name(index)?,
            Some(dynamic) => {
                let entry = self.entries.get(dynamic);
                entry.ok_or(Invalid::Compression)?.name
            }
        };
        name_length = name_length.max(name.length.into());
        let name_end = block.at;
        let (is_valid, value_length, shows) = block.text()?.value(name.kind)?;
        block.note(shows);
        if !is_valid && name.kind == Kind::Method && value_length == 0 {
            // The library cannot store an empty method in its table, so also replace the name.
            name.kind = Kind::Malformed;
        }
        let malformed = name.kind == Kind::Malformed || !is_valid;
        let size = ENTRY_BYTES + name_length + value_length;
        block.list_bytes += size;
        if indexing {
            self.insert(size, name, (malformed, shows));
        }
        match malformed {
            false => block.keep(),
            true if !indexing => block.omit(),
            true if name.kind == Kind::Malformed => block.replace_field(size)?,
            true => block.replace_value(name_end, value_length, name.kind)?,
        }
        Ok(name.kind)
    }

    /// Inserts an entry; removes the oldest ones to make room (RFC 7541 §4.4).
    fn insert(&mut self, size: usize, name: Name, (malformed, shows): (bool, Shows)) {
        self.shrink(self.size_max.saturating_sub(size));
        if size <= self.size_max
            && let Ok(small) = u16::try_from(size)
        {
            self.size += size;
            self.entries.push_front(Entry {
                size: small,
                name,
                malformed,
                shows,
            });
        }
    }

    /// Applies a dynamic table size update (RFC 7541 §6.3).
    fn resize(&mut self, size_max: usize) -> Result<(), Invalid> {
        if size_max > TABLE_BYTES {
            return Err(Invalid::Compression);
        }
        self.size_max = size_max;
        self.shrink(size_max);
        Ok(())
    }

    /// Removes the oldest entries until the table has at most this size.
    fn shrink(&mut self, size: usize) {
        while self.size > size
            && let Some(oldest) = self.entries.pop_back()
        {
            self.size -= usize::from(oldest.size);
        }
    }
}

// === impl Block ===

impl<'b> Block<'b> {
    /// Reads an integer with a prefix of the given number of bits (RFC 7541 §5.1).
    fn integer(&mut self, prefix: u32) -> Result<usize, Invalid> {
        let mask = (1_usize << prefix) - 1;
        let first = self.byte()?;
        let mut value = usize::from(first) & mask;
        if value < mask {
            return Ok(value);
        }
        for shift in (0..).step_by(7).take(INTEGER_BYTES) {
            let byte = self.byte()?;
            value += usize::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Invalid::Compression)
    }

    fn byte(&mut self) -> Result<u8, Invalid> {
        let byte = self.bytes.get(self.at).ok_or(Invalid::Compression)?;
        self.at += 1;
        Ok(*byte)
    }

    /// Reads a string literal (RFC 7541 §5.2).
    fn text(&mut self) -> Result<Text<'b>, Invalid> {
        let first = self.bytes.get(self.at).ok_or(Invalid::Compression)?;
        let is_huffman = first & HUFFMAN != 0;
        let length = self.integer(7)?;
        let bytes = self.bytes[self.at..]
            .get(..length)
            .ok_or(Invalid::Compression)?;
        self.at += length;
        Ok(Text { bytes, is_huffman })
    }

    fn note(&mut self, shows: Shows) {
        self.is_connect |= shows == Shows::Connect;
        self.has_content |= shows == Shows::Content;
    }

    /// Appends the current field to the replacement block. Does nothing if there is no replacement
    /// block.
    fn keep(&mut self) {
        if let Some(replaced) = &mut self.replaced {
            replaced.extend_from_slice(&self.bytes[self.begin..self.at]);
        }
    }

    /// Leaves the current malformed field out of the replacement block, which is created if
    /// necessary. Only for a field that is not inserted into the table.
    fn omit(&mut self) {
        self.replaced();
    }

    /// Appends a valid field of the same size instead of a field with a malformed name.
    fn replace_field(&mut self, size: usize) -> Result<(), Invalid> {
        let value = (size - ENTRY_BYTES)
            .checked_sub(1)
            .ok_or(Invalid::Unreplaceable)?;
        let replaced = self.replaced();
        replaced.extend_from_slice(b"\x40\x01x");
        write_value(replaced, value, b'x');
        self.is_moderate()
    }

    /// Appends a field with a valid value of the same length instead of a malformed value.
    fn replace_value(&mut self, name_end: usize, length: usize, kind: Kind) -> Result<(), Invalid> {
        let name = &self.bytes[self.begin..name_end];
        let replaced = self.replaced();
        replaced.extend_from_slice(name);
        let first = if kind == Kind::Path { b'/' } else { b'x' };
        write_value(replaced, length, first);
        self.is_moderate()
    }

    /// Replacement block for the library. The first call creates it with the fields before the
    /// current one.
    fn replaced(&mut self) -> &mut Vec<u8> {
        self.is_malformed = true;
        let before = &self.bytes[..self.begin];
        self.replaced.get_or_insert_with(|| before.to_vec())
    }

    /// Fails if the replacement block is too long. A short literal can refer to a long name, so
    /// that many malformed fields could need a long block.
    fn is_moderate(&self) -> Result<(), Invalid> {
        let length = self.replaced.as_ref().map_or(0, Vec::len);
        match length <= self.bytes.len() + 2 * TABLE_BYTES {
            true => Ok(()),
            false => Err(Invalid::Unreplaceable),
        }
    }

    fn end(self) -> Inspected {
        if !self.is_malformed {
            return Inspected::WellFormed;
        }
        Inspected::Malformed(malformed(self.replaced.as_deref().unwrap_or(self.bytes)))
    }
}

/// Replacement block for a malformed block: the replacement has the same effect on the table, and
/// the library resets the stream.
pub fn malformed(block: &[u8]) -> Vec<u8> {
    [block, MALFORMED].concat()
}

/// Writes a valid HPACK string literal of `length` bytes that begins with `first`. A string longer
/// than the table is shortened: the effect is the same, because every such string empties the
/// table.
fn write_value(block: &mut Vec<u8>, length: usize, first: u8) {
    let length = length.min(TABLE_BYTES);
    if length < 0x7F {
        block.push(length as u8);
    } else {
        let rest = length - 0x7F;
        block.push(0x7F);
        if rest < 0x80 {
            block.push(rest as u8);
        } else {
            block.extend([(rest & 0x7F) as u8 | 0x80, (rest >> 7) as u8]);
        }
    }
    if length > 0 {
        block.push(first);
        block.resize(block.len() + length - 1, b'x');
    }
}

// === impl Text ===

impl Text<'_> {
    /// Calls `each` with every byte of the decoded text.
    fn decode(self, mut each: impl FnMut(u8)) -> Result<(), Invalid> {
        if self.is_huffman {
            return huffman::decode(self.bytes, each).map_err(|_| Invalid::Compression);
        }
        for byte in self.bytes {
            each(*byte);
        }
        Ok(())
    }

    /// Classifies the text as a field name. Also returns its decoded length.
    fn name(self) -> Result<(Name, usize), Invalid> {
        let mut classes = u8::MAX;
        let mut length = 0;
        let mut start = [0; KNOWN_BYTES];
        self.decode(|byte| {
            classes &= CLASSES[usize::from(byte)];
            if let Some(place) = start.get_mut(length) {
                *place = byte;
            }
            length += 1;
        })?;
        let kind = match &start[..length.min(KNOWN_BYTES)] {
            _ if length == 0 || length > NAME_BYTES => Kind::Malformed,
            b"content-length" if length == KNOWN_BYTES => Kind::Length,
            _ if classes & NAME != 0 => Kind::Field,
            b":method" => Kind::Method,
            b":path" => Kind::Path,
            b":scheme" | b":protocol" => Kind::Pseudo,
            b":authority" => Kind::Pseudo,
            _ => Kind::Malformed,
        };
        let name = Name {
            kind,
            length: u16::try_from(length).unwrap_or(u16::MAX),
        };
        Ok((name, length))
    }

    /// Checks the text as the value of a field. Returns true if it is valid, its decoded length,
    /// and the property of the message that follows from it.
    fn value(self, kind: Kind) -> Result<(bool, usize, Shows), Invalid> {
        let mut classes = u8::MAX;
        let mut length = 0;
        let mut start = [0; b"CONNECT".len()];
        let mut is_zero = true;
        self.decode(|byte| {
            classes &= CLASSES[usize::from(byte)];
            if let Some(place) = start.get_mut(length) {
                *place = byte;
            }
            is_zero &= byte == b'0';
            length += 1;
        })?;
        let [first, ..] = start;
        let shows = match kind {
            Kind::Method if length == start.len() && start == *b"CONNECT" => Shows::Connect,
            Kind::Length if !is_zero => Shows::Content,
            _ => Shows::Nothing,
        };
        let is_valid = match kind {
            Kind::Field | Kind::Length => classes & VALUE != 0,
            Kind::Method => classes & TOKEN != 0 && length > 0,
            // Refuse a fragment, which the library would drop, and a query without a path, which it
            // would accept.
            Kind::Path if classes & TARGET == 0 => false,
            Kind::Path if length > 0 && !matches!(first, b'/' | b'*') => false,
            Kind::Path | Kind::Pseudo => classes & ASCII != 0 || self.is_utf8()?,
            Kind::Malformed => false,
        };
        Ok((is_valid, length, shows))
    }

    /// True if the text is UTF-8, which the library requires in pseudo-fields. [`crate::edge`]
    /// later refuses invalid request targets.
    fn is_utf8(self) -> Result<bool, Invalid> {
        let mut text = Vec::new();
        self.decode(|byte| text.push(byte))?;
        Ok(std::str::from_utf8(&text).is_ok())
    }
}

/// Byte of a field name: a token without upper case (RFC 9113 §8.2.1).
const NAME: u8 = 1;
/// Byte of a field value: no control character except HTAB.
const VALUE: u8 = 2;
/// Byte of a token (RFC 9110 §5.6.2).
const TOKEN: u8 = 4;
const ASCII: u8 = 8;
/// Byte that may occur in a request target: no control character, space or `#`.
const TARGET: u8 = 16;

/// Character classes of each byte.
static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut at = 0;
    while at < 256 {
        let byte = at as u8;
        let is_token = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        if is_token {
            classes[at] |= TOKEN;
            if !byte.is_ascii_uppercase() {
                classes[at] |= NAME;
            }
        }
        if byte >= 0x20 && byte != 0x7F || byte == b'\t' {
            classes[at] |= VALUE;
        }
        if byte.is_ascii() {
            classes[at] |= ASCII;
        }
        if byte > b' ' && byte != 0x7F && byte != b'#' {
            classes[at] |= TARGET;
        }
        at += 1;
    }
    classes
}

/// Name of an entry of the static table.
fn static_name(index: usize) -> Result<Name, Invalid> {
    let at = index.checked_sub(1).ok_or(Invalid::Compression)?;
    let name = STATIC_NAMES.get(at).ok_or(Invalid::Compression)?;
    let kind = match index {
        1 | 6 | 7 => Kind::Pseudo,
        2 | 3 => Kind::Method,
        4 | 5 => Kind::Path,
        28 => Kind::Length,
        // `:status` is only valid in responses.
        8..=14 => Kind::Malformed,
        _ => Kind::Field,
    };
    Ok(Name {
        kind,
        length: name.len() as u16,
    })
}

/// Length of the value of an entry of the static table, in bytes.
fn static_value_bytes(index: usize) -> usize {
    match index {
        2 | 8..=14 => 3,
        3 | 6 => 4,
        4 => 1,
        5 => 11,
        7 => 5,
        16 => 13,
        _ => 0,
    }
}

/// Names of the static table (RFC 7541 appendix A), from index 1.
static STATIC_NAMES: [&str; 61] = [
    ":authority",
    ":method",
    ":method",
    ":path",
    ":path",
    ":scheme",
    ":scheme",
    ":status",
    ":status",
    ":status",
    ":status",
    ":status",
    ":status",
    ":status",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "accept",
    "access-control-allow-origin",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "link",
    "location",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "refresh",
    "retry-after",
    "server",
    "set-cookie",
    "strict-transport-security",
    "transfer-encoding",
    "user-agent",
    "vary",
    "via",
    "www-authenticate",
];

#[cfg(test)]
mod tests;
