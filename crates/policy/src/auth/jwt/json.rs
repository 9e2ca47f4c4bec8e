//! Strict parser of the JSON in a token (RFC 8259).
//!
//! The parser refuses texts that other parsers may read differently: objects with duplicate members
//! at any level (RFC 7519 §4), and lone surrogates. Numbers keep their text. Nesting depth is
//! limited; the length of the text limits the memory.

/// Maximum nesting depth of lists and objects.
const DEPTH_MAX: usize = 16;

/// Average number of bytes that an allocation takes in addition to its content.
pub(in crate::auth) const ALLOCATION_BYTES: usize = 16;

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as written.
    Number(Box<str>),
    /// A string, unescaped.
    Text(Box<str>),
    /// A list.
    List(Vec<Self>),
    /// An object.
    Object(Object),
}

/// Members of an object, sorted by name, without duplicates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object(Vec<(Box<str>, Json)>);

/// Error: the text is not JSON, is nested too deeply or has a duplicate member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotJson;

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

/// Parses a text that consists of one object.
///
/// # Errors
/// The text is not UTF-8, or not a single valid object.
pub fn object(bytes: &[u8]) -> Result<Object, NotJson> {
    let text = std::str::from_utf8(bytes).map_err(|_| NotJson)?;
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.blank();
    match value {
        Json::Object(object) if reader.at == text.len() => Ok(object),
        _ => Err(NotJson),
    }
}

impl Object {
    /// Creates an object. `members` must be sorted by name and without duplicates.
    pub(in crate::auth) fn new(members: Vec<(Box<str>, Json)>) -> Self {
        debug_assert!(members.is_sorted_by(|one, other| one.0 < other.0));
        Self(members)
    }

    /// Value of the member with this name. `None` if the object has no such member.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Json> {
        let found = self.0.binary_search_by(|(known, _)| (**known).cmp(name));
        found.ok().map(|index| &self.0[index].1)
    }

    /// Estimated size of the members in memory, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let of = |(name, value): &(Box<str>, Json)| ALLOCATION_BYTES + name.len() + value.bytes();
        let members = self.0.iter().map(of);
        size_of_val(&*self.0) + members.sum::<usize>()
    }

    /// Members, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }
}

impl Json {
    /// Estimated size of the content in memory, in bytes.
    fn bytes(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) => 0,
            Self::Number(text) | Self::Text(text) => ALLOCATION_BYTES + text.len(),
            Self::List(all) => size_of_val(&**all) + all.iter().map(Self::bytes).sum::<usize>(),
            Self::Object(object) => object.bytes(),
        }
    }

    /// Content of a string. `None` for a value of another type.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Content of a string as a list of one item, or the items of a list of strings. `None` for
    /// another value, or for a list with an item that is not a string.
    #[must_use]
    pub fn texts(&self) -> Option<Vec<&str>> {
        match self {
            Self::Text(text) => Some(vec![text]),
            Self::List(all) => all.iter().map(Self::as_text).collect(),
            _ => None,
        }
    }
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Result<(), NotJson> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(NotJson)
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, NotJson> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(value);
        }
        Err(NotJson)
    }

    fn value(&mut self, depth: usize) -> Result<Json, NotJson> {
        self.blank();
        match self.peek().ok_or(NotJson)? {
            b'{' if depth < DEPTH_MAX => self.members(depth + 1),
            b'[' if depth < DEPTH_MAX => self.items(depth + 1),
            b'"' => Ok(Json::Text(self.string()?)),
            b't' => self.word("true", Json::Bool(true)),
            b'f' => self.word("false", Json::Bool(false)),
            b'n' => self.word("null", Json::Null),
            b'-' | b'0'..=b'9' => self.number(),
            _ => Err(NotJson),
        }
    }

    /// True if another item or member follows; false at the end of a list or object (`end`).
    fn another(&mut self, end: u8) -> Result<bool, NotJson> {
        self.blank();
        if self.take(end).is_ok() {
            return Ok(false);
        }
        self.take(b',')?;
        Ok(true)
    }

    fn members(&mut self, depth: usize) -> Result<Json, NotJson> {
        self.take(b'{')?;
        let mut members: Vec<(Box<str>, Json)> = Vec::new();
        self.blank();
        if self.take(b'}').is_ok() {
            return Ok(Json::Object(Object(members)));
        }
        loop {
            self.blank();
            let name = self.string()?;
            self.blank();
            self.take(b':')?;
            members.push((name, self.value(depth)?));
            if !self.another(b'}')? {
                break;
            }
        }
        members.sort_by(|(a, _), (b, _)| a.cmp(b));
        if members.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(NotJson);
        }
        Ok(Json::Object(Object(members)))
    }

    fn items(&mut self, depth: usize) -> Result<Json, NotJson> {
        self.take(b'[')?;
        let mut items = Vec::new();
        self.blank();
        if self.take(b']').is_ok() {
            return Ok(Json::List(items));
        }
        loop {
            items.push(self.value(depth)?);
            if !self.another(b']')? {
                return Ok(Json::List(items));
            }
        }
    }

    fn digits(&mut self) -> Result<(), NotJson> {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        (self.at > from).then_some(()).ok_or(NotJson)
    }

    fn number(&mut self) -> Result<Json, NotJson> {
        let from = self.at;
        let _ = self.take(b'-');
        if self.take(b'0').is_err() {
            self.digits()?;
        }
        if self.take(b'.').is_ok() {
            self.digits()?;
        }
        if self.take(b'e').is_ok() || self.take(b'E').is_ok() {
            let _ = self.take(b'+').or_else(|_| self.take(b'-'));
            self.digits()?;
        }
        Ok(Json::Number(self.text[from..self.at].into()))
    }

    fn string(&mut self) -> Result<Box<str>, NotJson> {
        self.take(b'"')?;
        let mut unescaped = String::new();
        loop {
            let rest = &self.text[self.at..];
            let mut bytes = rest.bytes();
            // The search stops only at ASCII bytes, so the text is not split within a character:
            // the bytes of all other characters are at least 0x80.
            let plain = bytes.position(|byte| matches!(byte, b'"' | b'\\' | 0..b' '));
            let (plain, end) = rest.split_at(plain.ok_or(NotJson)?);
            self.at += plain.len();
            match end.as_bytes()[0] {
                b'"' => {
                    self.at += 1;
                    if unescaped.is_empty() {
                        return Ok(plain.into());
                    }
                    unescaped.push_str(plain);
                    return Ok(unescaped.into());
                }
                b'\\' => {
                    self.at += 1;
                    unescaped.push_str(plain);
                    unescaped.push(self.escape()?);
                }
                // Control characters are not allowed.
                _ => return Err(NotJson),
            }
        }
    }

    fn escape(&mut self) -> Result<char, NotJson> {
        let kind = self.peek().ok_or(NotJson)?;
        self.at += 1;
        Ok(match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.unit()?;
                if !(0xD800..0xDC00).contains(&first) {
                    // A lone low surrogate is refused as well.
                    return char::from_u32(first).ok_or(NotJson);
                }
                self.take(b'\\')?;
                self.take(b'u')?;
                let second = self.unit()?;
                if !(0xDC00..0xE000).contains(&second) {
                    return Err(NotJson);
                }
                let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                char::from_u32(code).ok_or(NotJson)?
            }
            _ => return Err(NotJson),
        })
    }

    /// Parses the four hexadecimal digits of a `\u` escape.
    fn unit(&mut self) -> Result<u32, NotJson> {
        let digits = self
            .text
            .as_bytes()
            .get(self.at..self.at + 4)
            .ok_or(NotJson)?;
        let digit = |byte: &u8| char::from(*byte).to_digit(16).ok_or(NotJson);
        let mut unit = 0;
        for byte in digits {
            unit = unit << 4 | digit(byte)?;
        }
        self.at += 4;
        Ok(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_they_are_written() {
        let text =
            r#" {"b":[1,-0.5,2E+3,true,null],"a":"\u00e9\ud83d\ude00\n\/","o":{"x":{}},"":[]} "#;
        let read = object(text.as_bytes()).unwrap();
        assert_eq!(read.get("a").unwrap().as_text(), Some("é😀\n/"));
        let number = |text: &str| Json::Number(text.into());
        let expected = vec![
            number("1"),
            number("-0.5"),
            number("2E+3"),
            Json::Bool(true),
            Json::Null,
        ];
        assert_eq!(read.get("b"), Some(&Json::List(expected)));
        assert_eq!(read.get(""), Some(&Json::List(Vec::new())));
        assert_eq!(read.get("c"), None);
        let names: Vec<&str> = read.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["", "a", "b", "o"]);
    }

    #[test]
    fn texts_are_one_or_a_list_of_strings() {
        let read = object(br#"{"one":"a","many":["a","b"],"mixed":["a",1],"number":1}"#).unwrap();
        let texts = |name: &str| read.get(name).unwrap().texts();
        assert_eq!(texts("one"), Some(vec!["a"]));
        assert_eq!(texts("many"), Some(vec!["a", "b"]));
        assert_eq!(texts("mixed"), None);
        assert_eq!(texts("number"), None);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "{",
            "{}x",
            "{} {}",
            "[]",
            "1",
            "\"a\"",
            "{a:1}",
            "{'a':1}",
            "{\"a\":1,}",
            "{\"a\":[1,]}",
            "{\"a\":[,]}",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":01}",
            "{\"a\":+1}",
            "{\"a\":1.}",
            "{\"a\":.5}",
            "{\"a\":1e}",
            "{\"a\":-}",
            "{\"a\":NaN}",
            "{\"a\":Infinity}",
            "{\"a\":True}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\u12\"}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":\"\\ud800\\u0041\"}",
            "{\"a\":\"\\udc00\"}",
            "{\"a\":\"\n\"}",
            "{\"a\":\"\0\"}",
            "{\"a\":\"",
            "\u{feff}{}",
            "{}\0",
            "{}//",
        ] {
            assert_eq!(object(text.as_bytes()), Err(NotJson), "{text:?}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}"), Err(NotJson));
    }

    #[test]
    fn duplicate_member_is_refused() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"b":2,"a":3}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"o":{"x":1,"x":2}}"#,
            r#"{"l":[{"x":1,"x":2}]}"#,
        ] {
            assert_eq!(object(text.as_bytes()), Err(NotJson), "{text}");
        }
        assert!(object(r#"{"a":1,"A":1,"а":1}"#.as_bytes()).is_ok());
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(object(nested(DEPTH_MAX - 1).as_bytes()).is_ok());
        assert!(object(nested(DEPTH_MAX).as_bytes()).is_err());
        assert!(object("{\"a\":".repeat(100_000).as_bytes()).is_err());
    }
}
