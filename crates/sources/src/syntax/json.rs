//! JSON parser (RFC 8259) that records source spans: strict, recursive, with limited depth.
//!
//! The project has its own parser, because common JSON libraries do not record the spans of values.
//! The parser reads several hundred megabytes per second.

use diag::tree::Entry;
use diag::{Diagnostic, FileId, Kind, NodeId, Sink, Span, Tree};

use super::lints::{MALFORMED_JSON, TOO_LARGE};
use super::{Limits, MORE_DEPTH, MORE_VALUES, map};

/// Parses a JSON text. Skips a byte order mark at the start.
pub fn parse(
    file: FileId,
    text: &str,
    tree: &mut Tree,
    limits: &Limits,
    sink: &mut Sink,
) -> Option<NodeId> {
    let mut reader = Reader {
        file,
        text,
        bytes: text.as_bytes(),
        at: if text.starts_with('\u{feff}') { 3 } else { 0 },
        depth: 0,
        nodes: 0,
        limits,
        items: Vec::new(),
        entries: Vec::new(),
        tree,
        sink,
    };
    match reader.document() {
        Ok(root) => Some(root),
        Err(finding) => {
            sink.push(*finding);
            None
        }
    }
}

type Read<T> = Result<T, Box<Diagnostic>>;

struct Reader<'a> {
    file: FileId,
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    nodes: usize,
    limits: &'a Limits,
    /// Stacks of the items and entries of all open lists and maps, the innermost last. The end of a
    /// list or map removes its items from the stack, so that its allocation has the exact size.
    items: Vec<NodeId>,
    entries: Vec<Entry>,
    tree: &'a mut Tree,
    sink: &'a mut Sink,
}

impl Reader<'_> {
    fn document(&mut self) -> Read<NodeId> {
        let root = self.value()?;
        self.space();
        match self.peek() {
            None => Ok(root),
            Some(_) => Err(self.unexpected("the end of the file")),
        }
    }

    fn value(&mut self) -> Read<NodeId> {
        self.space();
        let start = self.at;
        let kind = match self.peek() {
            Some(b'{') => return self.nested(start, Self::object),
            Some(b'[') => return self.nested(start, Self::array),
            Some(b'"') => Kind::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b'a'..=b'z' | b'A'..=b'Z') => self.word()?,
            _ => return Err(self.unexpected("a value")),
        };
        self.push(start, kind)
    }

    fn push(&mut self, start: usize, kind: Kind) -> Read<NodeId> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes_max {
            let message = format!("the file has more than {} values", self.limits.nodes_max);
            let finding = *self.finding(&TOO_LARGE, start, self.at, message);
            return Err(Box::new(finding.help(MORE_VALUES)));
        }
        Ok(self.tree.push(self.span(start, self.at), kind))
    }

    fn nested(&mut self, start: usize, read: fn(&mut Self) -> Read<Kind>) -> Read<NodeId> {
        self.depth += 1;
        if self.depth > self.limits.depth_max {
            let message = format!(
                "lists and maps are nested deeper than {} levels",
                self.limits.depth_max
            );
            let finding = *self.finding(&TOO_LARGE, start, start + 1, message);
            return Err(Box::new(finding.help(MORE_DEPTH)));
        }
        self.at += 1;
        let kind = read(self)?;
        self.depth -= 1;
        self.push(start, kind)
    }

    fn array(&mut self) -> Read<Kind> {
        let first = self.items.len();
        let opened = self.at - 1;
        self.space();
        if self.eat(b']') {
            return Ok(Kind::List(Vec::new()));
        }
        loop {
            let item = self.value()?;
            self.items.push(item);
            if self.ends(opened, b']')? {
                return Ok(Kind::List(self.items.split_off(first)));
            }
        }
    }

    fn object(&mut self) -> Read<Kind> {
        let first = self.entries.len();
        let opened = self.at - 1;
        self.space();
        if self.eat(b'}') {
            return Ok(Kind::Map(Vec::new()));
        }
        loop {
            self.space();
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a key in double quotes"));
            }
            let key = self.string()?;
            let key_span = self.span(start, self.at);
            self.space();
            if !self.eat(b':') {
                return Err(self.unexpected("`:` after the key"));
            }
            let value = self.value()?;
            self.entries.push(Entry {
                key,
                key_span,
                value,
            });
            if self.ends(opened, b'}')? {
                let entries = self.entries.split_off(first);
                return Ok(Kind::Map(map::unique(entries, self.sink)));
            }
        }
    }

    /// Reads the token after an item or entry. Returns true for the closing bracket, false for a
    /// comma.
    fn ends(&mut self, opened: usize, close: u8) -> Read<bool> {
        self.space();
        if self.eat(close) {
            return Ok(true);
        }
        let comma = self.at;
        if !self.eat(b',') {
            let expected = match close {
                b']' => "`,` or `]`",
                _ => "`,` or `}`",
            };
            let finding = *self.unexpected(expected);
            let opened = self.span(opened, opened + 1);
            return Err(Box::new(finding.related(opened, "opened here")));
        }
        self.space();
        if self.peek() == Some(close) {
            let finding = *self.finding(
                &MALFORMED_JSON,
                comma,
                comma + 1,
                format!("there is a comma before the closing `{}`", close as char),
            );
            let comma = finding.span;
            return Err(Box::new(
                finding
                    .label("JSON has no trailing commas")
                    .help("remove the comma")
                    .fix(comma, ""),
            ));
        }
        Ok(false)
    }

    fn word(&mut self) -> Read<Kind> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_alphanumeric()) {
            self.at += 1;
        }
        match &self.text[start..self.at] {
            "null" => Ok(Kind::Null),
            "true" => Ok(Kind::Bool(true)),
            "false" => Ok(Kind::Bool(false)),
            _ => {
                let word = &self.text[start..self.at.min(start + 40)];
                let message = format!("`{word}` is not JSON");
                let finding = *self.finding(&MALFORMED_JSON, start, self.at, message);
                Err(Box::new(finding.help(
                    "strings need double quotes; the words are `true`, `false` and `null`",
                )))
            }
        }
    }

    fn number(&mut self) -> Read<Kind> {
        let start = self.at;
        self.eat(b'-');
        let zero = self.peek() == Some(b'0');
        let whole = self.digits();
        let mut fine = whole > 0 && !(zero && whole > 1);
        if self.eat(b'.') {
            fine &= self.digits() > 0;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _ = self.eat(b'+') || self.eat(b'-');
            fine &= self.digits() > 0;
        }
        if !fine {
            return Err(self.finding(
                &MALFORMED_JSON,
                start,
                self.at.max(start + 1),
                "this is not a JSON number".into(),
            ));
        }
        Ok(Kind::Number(self.text[start..self.at].into()))
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - start
    }

    fn string(&mut self) -> Read<Box<str>> {
        let opened = self.at;
        self.at += 1;
        let mut run = self.at;
        let mut text = String::new();
        loop {
            let Some(byte) = self.peek() else {
                return Err(self.unclosed(opened));
            };
            match byte {
                b'"' => {
                    let tail = &self.text[run..self.at];
                    self.at += 1;
                    if text.is_empty() {
                        return Ok(tail.into());
                    }
                    text.push_str(tail);
                    return Ok(text.into());
                }
                b'\\' => {
                    text.push_str(&self.text[run..self.at]);
                    text.push(self.escape()?);
                    run = self.at;
                }
                b'\n' | b'\r' => return Err(self.unclosed(opened)),
                0..0x20 => {
                    let message =
                        format!("the control character {byte:#04x} must be written as an escape");
                    return Err(self.finding(&MALFORMED_JSON, self.at, self.at + 1, message));
                }
                _ => self.at += 1,
            }
        }
    }

    fn unclosed(&self, opened: usize) -> Box<Diagnostic> {
        let message = "the string is not closed on its line".to_owned();
        self.finding(&MALFORMED_JSON, opened, self.at, message)
    }

    fn escape(&mut self) -> Read<char> {
        let start = self.at;
        self.at += 1;
        let byte = self.peek();
        self.at += 1;
        let plain = match byte {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte as char,
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(start),
            _ => {
                let message = "JSON does not have this escape".to_owned();
                let finding = *self.finding(&MALFORMED_JSON, start, start + 2, message);
                return Err(Box::new(
                    finding.help(r"a backslash itself is written `\\`"),
                ));
            }
        };
        Ok(plain)
    }

    fn unicode(&mut self, start: usize) -> Read<char> {
        let first = self.hex4(start)?;
        let code = match first {
            0xD800..0xDC00 => {
                if !(self.eat(b'\\') && self.eat(b'u')) {
                    return Err(self.lone_surrogate(start));
                }
                match self.hex4(start)? {
                    second @ 0xDC00..0xE000 => {
                        0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
                    }
                    _ => return Err(self.lone_surrogate(start)),
                }
            }
            code => code,
        };
        char::from_u32(code).ok_or_else(|| self.lone_surrogate(start))
    }

    fn lone_surrogate(&self, start: usize) -> Box<Diagnostic> {
        let message = "half of a surrogate pair is not a character".to_owned();
        self.finding(&MALFORMED_JSON, start, start + 6, message)
    }

    fn hex4(&mut self, start: usize) -> Read<u32> {
        let digits = self.bytes.get(self.at..self.at + 4).unwrap_or_default();
        let code = digits.iter().try_fold(0u32, |code, byte| {
            Some(code << 4 | char::from(*byte).to_digit(16)?)
        });
        match code {
            Some(code) if digits.len() == 4 => {
                self.at += 4;
                Ok(code)
            }
            _ => {
                let message = r"`\u` needs four hexadecimal digits".to_owned();
                Err(self.finding(&MALFORMED_JSON, start, self.at, message))
            }
        }
    }

    fn unexpected(&self, expected: &str) -> Box<Diagnostic> {
        let (message, end) = match self
            .text
            .get(self.at..)
            .and_then(|rest| rest.chars().next())
        {
            Some(found) => (
                format!(
                    "expected {expected}, found `{}`",
                    diag::suggest::shown(&found.to_string())
                ),
                self.at + found.len_utf8(),
            ),
            None => (format!("expected {expected}, but the file ends"), self.at),
        };
        self.finding(&MALFORMED_JSON, self.at, end, message)
    }

    fn finding(
        &self,
        lint: &'static diag::Lint,
        start: usize,
        end: usize,
        message: String,
    ) -> Box<Diagnostic> {
        // An estimated end may be inside a character or past the end of the text.
        let end = self.text.ceil_char_boundary(end.min(self.text.len()));
        Box::new(Diagnostic::new(
            lint,
            self.span(start.min(end), end),
            message,
        ))
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.file, start, end)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }
}
