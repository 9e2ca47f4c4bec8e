//! Limits on JSON (RFC 8259), checked byte by byte.
//!
//! The scanner keeps one entry per open array or object, so that its memory depends on the maximum
//! depth alone. It accepts exactly the grammar of RFC 8259: another parser must not see a string
//! where the scanner sees structure.

use super::rules::{self, Search};
use super::utf8::Utf8;
use super::{JsonLimits, Violation, bytes, more};

/// Maximum length of a number, in bytes. Some servers need time quadratic in the number of digits.
pub(super) const NUMBER_BYTES_MAX: u64 = 1_024;

/// Position of the scanner in the grammar of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the value of a member, or before the value of the whole text.
    Value,
    /// After `[`: before the first item or `]`.
    ItemOrEnd,
    /// After `{`: before the first name or `}`.
    NameOrEnd,
    /// After a comma in an object: a name must follow.
    Name,
    /// After a name, before `:`.
    Colon,
    /// After a value inside an array or object.
    CommaOrEnd,
    /// After the whole value.
    Done,
    /// Inside a string; true for a name.
    Text(bool),
    /// Inside a string after a backslash; true for a name.
    Escape(bool),
    /// Inside the digits of `\u`: true for a name, number of missing digits, and value so far.
    Hex(bool, u8, u16),
    /// Inside a number.
    Number(Digits),
    /// Inside `true`, `false` or `null`: the missing bytes.
    Literal(&'static [u8]),
}

/// Position of the scanner in the grammar of a JSON number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Digits {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    Exponent,
    Sign,
    Power,
}

/// Open array or object.
#[derive(Clone, Copy, Debug)]
struct Level {
    is_object: bool,
    /// Number of items or members so far.
    count: u32,
}

/// Scanner of a JSON text, or of a sequence of texts.
#[derive(Debug)]
pub(super) struct Json {
    limits: JsonLimits,
    /// True if the body may have several texts (NDJSON, RFC 7464).
    is_sequence: bool,
    state: State,
    levels: Vec<Level>,
    /// Length of the current string, name or number, in bytes of UTF-8 without escapes.
    length: u64,
    tokens: u64,
    utf8: Utf8,
    /// Number of bytes read.
    read: u64,
    /// True if at least one text is complete.
    found: bool,
    /// Search for rules in names and strings. `None`: there are no rules.
    search: Option<Search>,
}

impl Json {
    pub(super) fn new(limits: JsonLimits, is_sequence: bool, search: Option<Search>) -> Self {
        Self {
            limits,
            is_sequence,
            state: State::Value,
            levels: Vec::new(),
            length: 0,
            tokens: 0,
            utf8: Utf8::default(),
            read: 0,
            found: false,
            search,
        }
    }

    /// Reads the next bytes.
    ///
    /// # Errors
    /// The limit that the body exceeds, or its first syntax error.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        for byte in bytes {
            if let Err(detail) = self.step(*byte) {
                return Err(Violation {
                    detail,
                    at: self.read,
                });
            }
            self.read += 1;
        }
        Ok(())
    }

    /// Checks at the end of the body that the body is complete.
    ///
    /// # Errors
    /// The body is incomplete.
    pub(super) fn end(&self) -> Result<(), Violation> {
        let is_number = matches!(
            self.state,
            State::Number(Digits::Zero | Digits::Whole | Digits::Fraction | Digits::Power)
        );
        let whole = match self.state {
            State::Done => true,
            State::Value => self.is_sequence && self.found,
            _ => is_number,
        };
        match whole && self.levels.is_empty() {
            true => Ok(()),
            false => Err(Violation {
                detail: "ends inside a JSON value".to_owned(),
                at: self.read,
            }),
        }
    }

    fn step(&mut self, byte: u8) -> Result<(), String> {
        match self.state {
            State::Text(is_name) => self.text(byte, is_name),
            State::Escape(is_name) => self.escape(byte, is_name),
            State::Hex(is_name, missing, value) => self.hex(byte, (is_name, missing, value)),
            State::Number(digits) => self.number(byte, digits),
            State::Literal(rest) => match rest {
                [next, rest @ ..] if *next == byte => {
                    self.state = State::Literal(rest);
                    if rest.is_empty() {
                        self.value_ends();
                    }
                    Ok(())
                }
                _ => Err(syntax()),
            },
            State::Value
            | State::ItemOrEnd
            | State::NameOrEnd
            | State::Name
            | State::Colon
            | State::CommaOrEnd
            | State::Done => self.between(byte),
        }
    }

    /// Reads a byte between two tokens.
    fn between(&mut self, byte: u8) -> Result<(), String> {
        match (self.state, byte) {
            (_, b' ' | b'\t' | b'\n' | b'\r') => {}
            // Separator of texts (RFC 7464 §2.2).
            (State::Value | State::Done, 0x1e) if self.is_sequence && self.levels.is_empty() => {
                self.state = State::Value;
            }
            (State::NameOrEnd | State::CommaOrEnd, b'}') if self.is_in(true) => self.closes(),
            (State::ItemOrEnd | State::CommaOrEnd, b']') if self.is_in(false) => self.closes(),
            (State::NameOrEnd | State::Name, b'"') => {
                self.token()?;
                self.counts(true)?;
                self.length = 0;
                self.state = State::Text(true);
            }
            (State::Colon, b':') => self.state = State::Value,
            (State::CommaOrEnd, b',') => {
                let is_object = self.is_in(true);
                self.state = if is_object { State::Name } else { State::Value };
                if !is_object {
                    self.counts(false)?;
                }
            }
            (State::ItemOrEnd, _) => {
                self.counts(false)?;
                self.value(byte)?;
            }
            (State::Value, _) => self.value(byte)?,
            (State::Done, _) if self.is_sequence => self.value(byte)?,
            _ => return Err(syntax()),
        }
        Ok(())
    }

    /// Reads the first byte of a value.
    fn value(&mut self, byte: u8) -> Result<(), String> {
        self.token()?;
        self.length = 0;
        self.state = match byte {
            b'{' | b'[' => {
                if self.levels.len() as u64 >= u64::from(self.limits.depth) {
                    return Err(more(self.limits.depth.into(), "level", "levels"));
                }
                let is_object = byte == b'{';
                self.levels.push(Level {
                    is_object,
                    count: 0,
                });
                if is_object {
                    State::NameOrEnd
                } else {
                    State::ItemOrEnd
                }
            }
            b'"' => State::Text(false),
            b'-' => State::Number(Digits::Minus),
            b'0' => State::Number(Digits::Zero),
            b'1'..=b'9' => State::Number(Digits::Whole),
            b't' => State::Literal(b"rue"),
            b'f' => State::Literal(b"alse"),
            b'n' => State::Literal(b"ull"),
            _ => return Err(syntax()),
        };
        Ok(())
    }

    fn text(&mut self, byte: u8, is_name: bool) -> Result<(), String> {
        match byte {
            b'"' if self.utf8.is_whole() => {
                if let Some(search) = &mut self.search {
                    search.end().map_err(rules::detail)?;
                }
                if is_name {
                    self.state = State::Colon;
                } else {
                    self.value_ends();
                }
                Ok(())
            }
            b'\\' if self.utf8.is_whole() => {
                self.state = State::Escape(is_name);
                Ok(())
            }
            0x00..=0x1f => Err(syntax()),
            _ if !self.utf8.add(byte) => Err("is not UTF-8".to_owned()),
            _ => {
                self.searches(char::from(byte), true)?;
                self.grows(1, is_name)
            }
        }
    }

    fn escape(&mut self, byte: u8, is_name: bool) -> Result<(), String> {
        match byte {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {
                self.state = State::Text(is_name);
                let character = match byte {
                    b'b' => '\u{8}',
                    b'f' => '\u{c}',
                    b'n' => '\n',
                    b'r' => '\r',
                    b't' => '\t',
                    byte => char::from(byte),
                };
                self.searches(character, false)?;
                self.grows(1, is_name)
            }
            b'u' => {
                self.state = State::Hex(is_name, 4, 0);
                Ok(())
            }
            _ => Err(syntax()),
        }
    }

    fn hex(&mut self, byte: u8, (is_name, missing, value): (bool, u8, u16)) -> Result<(), String> {
        let digit = char::from(byte).to_digit(16).ok_or_else(syntax)?;
        // Cannot fail: a hexadecimal digit is less than 16.
        let value = (value << 4) | u16::try_from(digit).unwrap_or(0);
        if missing > 1 {
            self.state = State::Hex(is_name, missing - 1, value);
            return Ok(());
        }
        self.state = State::Text(is_name);
        // Pass `?` to the search instead of half of a surrogate pair, because no rule contains a
        // character that is encoded as a pair.
        let character = char::from_u32(value.into()).unwrap_or('?');
        self.searches(character, false)?;
        let length = match value {
            0..0x80 => 1,
            // A surrogate pair is a character of four bytes, so each half counts two.
            0x80..0x800 | 0xd800..0xe000 => 2,
            _ => 3,
        };
        self.grows(length, is_name)
    }

    fn number(&mut self, byte: u8, digits: Digits) -> Result<(), String> {
        let next = match (digits, byte) {
            (Digits::Minus, b'0') => Digits::Zero,
            (Digits::Minus, b'1'..=b'9') | (Digits::Whole, b'0'..=b'9') => Digits::Whole,
            (Digits::Zero | Digits::Whole, b'.') => Digits::Point,
            (Digits::Point | Digits::Fraction, b'0'..=b'9') => Digits::Fraction,
            (Digits::Zero | Digits::Whole | Digits::Fraction, b'e' | b'E') => Digits::Exponent,
            (Digits::Exponent, b'+' | b'-') => Digits::Sign,
            (Digits::Exponent | Digits::Sign | Digits::Power, b'0'..=b'9') => Digits::Power,
            (Digits::Zero | Digits::Whole | Digits::Fraction | Digits::Power, _) => {
                self.value_ends();
                // Require a separator between two texts of a sequence: `12` is one number.
                return match (self.state, byte) {
                    (State::Done, b' ' | b'\t' | b'\n' | b'\r' | 0x1e) => self.between(byte),
                    (State::Done, _) => Err(syntax()),
                    _ => self.between(byte),
                };
            }
            _ => return Err(syntax()),
        };
        self.length += 1;
        if self.length >= NUMBER_BYTES_MAX {
            return Err(format!(
                "has a number of more than {NUMBER_BYTES_MAX} bytes"
            ));
        }
        self.state = State::Number(next);
        Ok(())
    }

    fn is_in(&self, object: bool) -> bool {
        self.levels
            .last()
            .is_some_and(|level| level.is_object == object)
    }

    fn closes(&mut self) {
        self.levels.pop();
        self.value_ends();
    }

    fn value_ends(&mut self) {
        self.found |= self.levels.is_empty();
        self.state = match self.levels.is_empty() {
            true => State::Done,
            false => State::CommaOrEnd,
        };
    }

    /// Counts a name or value of the body.
    fn token(&mut self) -> Result<(), String> {
        self.tokens += 1;
        match self.limits.tokens {
            Some(most) if self.tokens > most.into() => {
                Err(more(most.into(), "name or value", "names and values"))
            }
            _ => Ok(()),
        }
    }

    /// Counts an item or member of the innermost array or object.
    fn counts(&mut self, object: bool) -> Result<(), String> {
        let Some(level) = self.levels.last_mut() else {
            return Ok(());
        };
        level.count = level.count.saturating_add(1);
        let (most, one, many) = match object {
            true => (
                self.limits.keys,
                "member in an object",
                "members in an object",
            ),
            false => (self.limits.items, "item in an array", "items in an array"),
        };
        match most {
            Some(most) if level.count > most => Err(more(most.into(), one, many)),
            _ => Ok(()),
        }
    }

    /// Passes a character of a name or string to the search. `is_byte`: `character` is one byte of
    /// UTF-8.
    fn searches(&mut self, character: char, is_byte: bool) -> Result<(), String> {
        let Some(search) = &mut self.search else {
            return Ok(());
        };
        let found = match u8::try_from(character).ok().filter(|_| is_byte) {
            Some(byte) => search.add(byte),
            None => search.add_char(character),
        };
        found.map_err(rules::detail)
    }

    /// Adds `length` bytes to the current string or name, and checks its maximum length.
    fn grows(&mut self, length: u64, is_name: bool) -> Result<(), String> {
        self.length += length;
        let (most, thing) = match is_name {
            true => (self.limits.key_bytes, "a name"),
            false => (self.limits.string_bytes, "a string"),
        };
        match most {
            Some(most) if self.length > most => Err(bytes(most, thing)),
            _ => Ok(()),
        }
    }
}

fn syntax() -> String {
    "is not valid JSON".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: JsonLimits = JsonLimits {
        depth: 64,
        keys: None,
        items: None,
        key_bytes: None,
        string_bytes: None,
        tokens: None,
    };

    /// Result of scanning a whole body at once. Panics if scanning it byte by byte gives another
    /// result.
    fn scan(limits: JsonLimits, is_sequence: bool, body: &[u8]) -> Result<(), String> {
        let run = |size: usize| {
            let mut json = Json::new(limits, is_sequence, None);
            let mut parts = body.chunks(size);
            parts.try_for_each(|part| json.read(part))?;
            json.end()
        };
        let whole = run(body.len().max(1));
        assert_eq!(whole, run(1), "{body:?}");
        whole.map_err(|violation| violation.detail)
    }

    #[test]
    fn body_that_a_parser_accepts_is_accepted() {
        let parts = [
            "{", "}", "[", "]", ",", ":", "\"", "\\", "u", "0041", "1", "0", "-", ".", "e", "+",
            "true", "null", "fals", " ", "\n", "é", "\u{1}", "\u{feff}", "a", "/",
        ];
        // Combine up to three parts to a body, alone or inside one of these frames.
        let frames = [
            ("", ""),
            ("[", "]"),
            ("{\"a\":", "}"),
            ("\"", "\""),
            ("[1,", "]"),
        ];
        for first in parts {
            for second in parts {
                for third in parts.into_iter().chain([""]) {
                    for (before, after) in frames {
                        let body = [before, first, second, third, after].concat();
                        let parsed = serde_json::from_str::<serde_json::Value>(&body);
                        let scanned = scan(NONE, false, body.as_bytes());
                        assert_eq!(scanned.is_ok(), parsed.is_ok(), "{body} {scanned:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn each_limit_refuses_what_is_beyond_it() {
        let rows: &[(JsonLimits, &str, &str, &str)] = &[
            (
                JsonLimits { depth: 2, ..NONE },
                "[[1]]",
                "[[[]]]",
                "has more than 2 levels",
            ),
            (
                JsonLimits { depth: 2, ..NONE },
                "[{},{}]",
                "{\"a\":[{}]}",
                "has more than 2 levels",
            ),
            (
                JsonLimits {
                    keys: Some(2),
                    ..NONE
                },
                r#"[{"a":1,"b":{"a":1,"b":2}},{"c":[1,2,3]}]"#,
                r#"[{"a":{"x":1},"b":2,"c":3}]"#,
                "has more than 2 members in an object",
            ),
            (
                JsonLimits {
                    items: Some(2),
                    ..NONE
                },
                r#"[[1,2],[[],3]]"#,
                r#"[[1,2],[1,[],3]]"#,
                "has more than 2 items in an array",
            ),
            (
                JsonLimits {
                    key_bytes: Some(4),
                    ..NONE
                },
                r#"{"éé":"long text","\u00e9\ud83d":1}"#,
                r#"{"ééa":1}"#,
                "has a name of more than 4 bytes",
            ),
            (
                JsonLimits {
                    string_bytes: Some(4),
                    ..NONE
                },
                r#"{"long name":["abcd","\ud83d\ude00","\n\t\"\\"]}"#,
                r#"["\u20ac\u00e9"]"#,
                "has a string of more than 4 bytes",
            ),
            (
                JsonLimits {
                    tokens: Some(4),
                    ..NONE
                },
                r#"{"a":[1]}"#,
                r#"{"a":[1,2]}"#,
                "has more than 4 names and values",
            ),
        ];
        for (limits, fine, refused, detail) in rows {
            assert_eq!(scan(*limits, false, fine.as_bytes()), Ok(()), "{fine}");
            let found = scan(*limits, false, refused.as_bytes());
            assert_eq!(found, Err((*detail).to_owned()), "{refused}");
        }
        let number = |digits: usize| format!("[{}]", "7".repeat(digits));
        assert_eq!(scan(NONE, false, number(1_024).as_bytes()), Ok(()));
        let long = scan(NONE, false, number(1_025).as_bytes());
        assert_eq!(long, Err("has a number of more than 1024 bytes".to_owned()));
    }

    #[test]
    fn texts_of_a_sequence_are_separated() {
        for body in ["{}\n{}\n", "1\n2", "\u{1e}{}\n\u{1e}3\n", "[1]{}", "1"] {
            assert_eq!(scan(NONE, true, body.as_bytes()), Ok(()), "{body}");
        }
        for body in ["1{}", "", "\n", "{}\n{", "{},{}", "[\u{1e}]"] {
            assert!(scan(NONE, true, body.as_bytes()).is_err(), "{body}");
        }
        assert!(scan(NONE, false, b"{}\n{}").is_err());
    }

    #[test]
    fn bytes_of_another_encoding_are_refused() {
        let bodies: [&[u8]; 5] = [
            b"\"\xff\"",
            b"[\"\xc0\xa2,[[[[\"]",
            b"{\0\"\0a\0\"\0:\0",
            b"\xff\xfe{\0",
            b"\"\xe2\x82\"",
        ];
        for body in bodies {
            assert!(scan(NONE, false, body).is_err(), "{body:?}");
        }
    }
}
