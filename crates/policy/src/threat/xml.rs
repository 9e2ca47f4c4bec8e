//! Limits on XML 1.0, checked byte by byte.
//!
//! A document type declaration is refused, and with it every entity that is not predefined (XML 1.0
//! §4.6) and every external subset. Inclusion (XInclude) is refused by its namespace. End tags must
//! match start tags, because a lenient parser would otherwise see another depth. The memory depends
//! on the maximum depth and on the length of the names of open elements, which is limited
//! ([`OPEN_NAMES_MAX`]).

use super::rules::{self, Search};
use super::utf8::Utf8;
use super::{Violation, XmlLimits, bytes, more};

/// Maximum length of the names of all open elements together, in bytes.
const OPEN_NAMES_MAX: usize = 16 << 10;
/// Maximum length of an XML declaration, in bytes.
const DECLARATION_MAX: usize = 256;
/// Maximum length of a reference (`&#x10FFFF;`), in bytes without `&` and `;`.
const REFERENCE_MAX: usize = 8;
/// Namespace of elements that include other resources (XInclude 1.0 §3).
const XINCLUDE: &[u8] = b"http://www.w3.org/2001/XInclude";

/// Byte order mark in UTF-8.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// Position of the scanner in the grammar of XML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Character data, or white space outside the root element.
    Text,
    /// After `&`.
    Reference(Within),
    /// After `<`.
    Less,
    /// After `<!`, while `--` or `[CDATA[` is incomplete.
    Bang,
    /// In a comment: number of `-` before the next byte, at most 2.
    Comment(u8),
    /// In a CDATA section: number of `]` before the next byte, at most 2.
    Cdata(u8),
    /// In a processing instruction; true directly after `?`.
    Instruction(bool),
    /// In the name of a start tag.
    OpenName,
    /// In a start tag after its name; true directly after white space.
    InTag(bool),
    /// In the name of an attribute.
    AttributeName,
    /// Between the name of an attribute and `=`.
    BeforeEquals,
    /// After `=`, before the quote.
    BeforeValue,
    /// In the value of an attribute. Contains the quote that ends it.
    Value(u8),
    /// After `/` in a start tag.
    Slash,
    /// In the name of an end tag: number of matched bytes.
    CloseName(usize),
    /// After the name of an end tag.
    AfterCloseName,
}

/// Part of the document in which a reference occurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    Text,
    Value(u8),
}

/// Open element.
#[derive(Clone, Copy, Debug)]
struct Element {
    /// Start of the element's name in [`Xml::names`].
    name: usize,
    children: u32,
}

/// Scanner of an XML document.
#[derive(Debug)]
pub(super) struct Xml {
    limits: XmlLimits,
    state: State,
    elements: Vec<Element>,
    /// Concatenated names of the open elements.
    names: Vec<u8>,
    attributes: u32,
    /// Length of the current text, value or name, in bytes.
    length: u64,
    /// Bytes of a construct that is checked when it is complete: the text after `<!`, a reference,
    /// or the XML declaration.
    part: Vec<u8>,
    /// Number of bytes of the current attribute value, as long as the value is a prefix of
    /// [`XINCLUDE`]. `None` if the value differs from this prefix.
    included: Option<usize>,
    tokens: u64,
    /// State of the UTF-8 check. `None` for ISO-8859-1 and its superset windows-1252.
    utf8: Option<Utf8>,
    /// True if the current instruction is the XML declaration.
    is_declaration: bool,
    /// True once the root element began.
    has_root: bool,
    /// Number of bytes of the byte order mark that were read.
    start: u64,
    read: u64,
    /// Search for rules in texts and values. `None`: there are no rules.
    search: Option<Search>,
}

impl Xml {
    /// Creates a scanner. `latin`: the `Content-Type` field declares ISO-8859-1.
    pub(super) fn new(limits: XmlLimits, latin: bool, search: Option<Search>) -> Self {
        Self {
            limits,
            state: State::Text,
            elements: Vec::new(),
            names: Vec::new(),
            attributes: 0,
            length: 0,
            part: Vec::new(),
            included: None,
            tokens: 0,
            utf8: (!latin).then(Utf8::default),
            is_declaration: false,
            has_root: false,
            start: 0,
            read: 0,
            search,
        }
    }

    /// Reads the next bytes.
    ///
    /// # Errors
    /// The limit that the body exceeds, a declaration that is refused, or the first syntax error.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        for byte in bytes {
            let fits = match &mut self.utf8 {
                Some(utf8) => utf8.add(*byte),
                None => true,
            };
            let stepped = match (fits, byte) {
                (false, _) => Err("is not UTF-8".to_owned()),
                (true, 0x00..=0x08 | 0x0b | 0x0c | 0x0e..=0x1f) => Err(syntax()),
                (true, byte) => self.step(*byte),
            };
            if let Err(detail) = stepped {
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
        let is_whole = self.state == State::Text && self.elements.is_empty() && self.has_root;
        let is_text = self.utf8.is_none_or(Utf8::is_whole);
        match is_whole && is_text {
            true => Ok(()),
            false => Err(Violation {
                detail: "ends inside an XML document".to_owned(),
                at: self.read,
            }),
        }
    }

    fn step(&mut self, byte: u8) -> Result<(), String> {
        match self.state {
            State::Text => return self.text(byte),
            State::Reference(within) => return self.reference(byte, within),
            State::Less => return self.less(byte),
            State::Bang => return self.bang(byte),
            State::Comment(dashes) => return self.comment(byte, dashes),
            State::Cdata(brackets) => return self.cdata(byte, brackets),
            State::Instruction(is_ending) => return self.instruction(byte, is_ending),
            State::OpenName => match byte {
                b'>' | b'/' => return self.tag(byte, false),
                _ if is_space(byte) => self.state = State::InTag(true),
                _ if !is_name(byte) => return Err(syntax()),
                _ => {
                    self.names.push(byte);
                    if self.names.len() > OPEN_NAMES_MAX {
                        return Err(bytes(OPEN_NAMES_MAX as u64, "names of open elements"));
                    }
                    return self.name_grows();
                }
            },
            State::InTag(is_after_space) => return self.tag(byte, is_after_space),
            State::AttributeName => match byte {
                b'=' => self.state = State::BeforeValue,
                _ if is_space(byte) => self.state = State::BeforeEquals,
                _ if is_name(byte) => return self.name_grows(),
                _ => return Err(syntax()),
            },
            State::BeforeEquals if byte == b'=' => self.state = State::BeforeValue,
            State::BeforeValue if matches!(byte, b'"' | b'\'') => {
                (self.length, self.included) = (0, Some(0));
                self.state = State::Value(byte);
            }
            State::BeforeEquals | State::BeforeValue if is_space(byte) => {}
            State::BeforeEquals | State::BeforeValue => return Err(syntax()),
            State::Value(quote) => return self.value(byte, quote),
            State::Slash if byte == b'>' => self.closes(),
            State::Slash => return Err(syntax()),
            State::CloseName(matched) => return self.close_name(byte, matched),
            State::AfterCloseName => match byte {
                b'>' => self.closes(),
                _ if is_space(byte) => {}
                _ => return Err(syntax()),
            },
        }
        Ok(())
    }

    fn text(&mut self, byte: u8) -> Result<(), String> {
        let is_inside = !self.elements.is_empty();
        match byte {
            b'<' => self.state = State::Less,
            b'&' if is_inside => self.refers(Within::Text),
            _ if is_inside => {
                if self.length == 0 {
                    self.token()?;
                }
                self.searches(byte)?;
                return self.text_grows(1);
            }
            _ if is_space(byte) => {}
            // Accept the byte order mark at the beginning only.
            _ if self.utf8.is_some() && self.mark_continues(byte) => {
                self.start = self.read + 1;
            }
            _ => return Err(syntax()),
        }
        Ok(())
    }

    /// True if the byte continues the byte order mark.
    fn mark_continues(&self, byte: u8) -> bool {
        let position = usize::try_from(self.read).unwrap_or(usize::MAX);
        self.start == self.read && MARK.get(position) == Some(&byte)
    }

    fn refers(&mut self, within: Within) {
        self.part.clear();
        self.state = State::Reference(within);
    }

    fn reference(&mut self, byte: u8, within: Within) -> Result<(), String> {
        if byte != b';' {
            self.part.push(byte);
            let known = byte.is_ascii_alphanumeric() || (byte == b'#' && self.part.len() == 1);
            return match known && self.part.len() <= REFERENCE_MAX {
                true => Ok(()),
                false => Err(entity()),
            };
        }
        let character = character(&self.part).ok_or_else(entity)?;
        self.state = match within {
            Within::Text => State::Text,
            Within::Value(quote) => State::Value(quote),
        };
        if let Within::Value(_) = within {
            self.compares(u8::try_from(u32::from(character)).unwrap_or(0));
        }
        if within == Within::Text && self.length == 0 {
            self.token()?;
        }
        if let Some(search) = &mut self.search {
            search.add_char(character).map_err(rules::detail)?;
        }
        self.text_grows(character.len_utf8() as u64)
    }

    fn less(&mut self, byte: u8) -> Result<(), String> {
        self.length = 0;
        self.part.clear();
        self.state = match byte {
            b'/' if !self.elements.is_empty() => {
                self.search_ends()?;
                State::CloseName(0)
            }
            b'?' => {
                self.token()?;
                self.is_declaration = self.read == self.start + 1;
                State::Instruction(false)
            }
            b'!' => State::Bang,
            _ if is_name_start(byte) => {
                self.search_ends()?;
                self.opens()?;
                self.names.push(byte);
                return self.name_grows();
            }
            _ => return Err(syntax()),
        };
        Ok(())
    }

    /// Begins an element.
    fn opens(&mut self) -> Result<(), String> {
        self.token()?;
        match self.elements.last_mut() {
            None if self.has_root => return Err(syntax()),
            None => {}
            Some(parent) => {
                parent.children = parent.children.saturating_add(1);
                match self.limits.children {
                    Some(most) if parent.children > most => {
                        return Err(more(
                            most.into(),
                            "child of an element",
                            "children of an element",
                        ));
                    }
                    _ => {}
                }
            }
        }
        if self.elements.len() as u64 >= u64::from(self.limits.depth) {
            return Err(more(self.limits.depth.into(), "level", "levels"));
        }
        self.has_root = true;
        self.attributes = 0;
        self.elements.push(Element {
            name: self.names.len(),
            children: 0,
        });
        self.state = State::OpenName;
        Ok(())
    }

    /// Reads a byte of a start tag outside names and values.
    fn tag(&mut self, byte: u8, is_after_space: bool) -> Result<(), String> {
        self.length = 0;
        self.state = match byte {
            b'>' => State::Text,
            b'/' => State::Slash,
            _ if is_space(byte) => State::InTag(true),
            _ if is_after_space && is_name_start(byte) => {
                self.token()?;
                self.attributes = self.attributes.saturating_add(1);
                match self.limits.attributes {
                    Some(most) if self.attributes > most => {
                        let many = "attributes of an element";
                        return Err(more(most.into(), "attribute of an element", many));
                    }
                    _ => {}
                }
                self.state = State::AttributeName;
                return self.name_grows();
            }
            _ => return Err(syntax()),
        };
        Ok(())
    }

    fn value(&mut self, byte: u8, quote: u8) -> Result<(), String> {
        match byte {
            b'<' => Err(syntax()),
            b'&' => {
                self.refers(Within::Value(quote));
                Ok(())
            }
            _ if byte == quote => {
                self.search_ends()?;
                self.state = State::InTag(false);
                match self.included {
                    Some(length) if length == XINCLUDE.len() => {
                        Err("includes other resources (XInclude)".to_owned())
                    }
                    _ => Ok(()),
                }
            }
            _ => {
                self.compares(byte);
                self.searches(byte)?;
                self.text_grows(1)
            }
        }
    }

    /// Compares the next byte of an attribute's value with [`XINCLUDE`].
    fn compares(&mut self, byte: u8) {
        self.included = self
            .included
            .filter(|length| XINCLUDE.get(*length) == Some(&byte))
            .map(|length| length + 1);
    }

    fn close_name(&mut self, byte: u8, matched: usize) -> Result<(), String> {
        let start = self.elements.last().map_or(0, |element| element.name);
        let name = self.names.get(start..).unwrap_or_default();
        let is_whole = matched == name.len();
        self.state = match byte {
            b'>' if is_whole => {
                self.closes();
                return Ok(());
            }
            _ if is_whole && is_space(byte) => State::AfterCloseName,
            _ if name.get(matched) == Some(&byte) => State::CloseName(matched + 1),
            _ => return Err("has an end tag without its start tag".to_owned()),
        };
        Ok(())
    }

    /// Ends the innermost element.
    fn closes(&mut self) {
        if let Some(element) = self.elements.pop() {
            self.names.truncate(element.name);
        }
        self.length = 0;
        self.state = State::Text;
    }

    fn bang(&mut self, byte: u8) -> Result<(), String> {
        self.part.push(byte);
        let part = &*self.part;
        if b"DOCTYPE".starts_with(part) || b"ENTITY".starts_with(part) {
            return Err("declares a document type (DOCTYPE)".to_owned());
        }
        match part {
            b"--" => {
                self.token()?;
                self.state = State::Comment(0);
            }
            b"[CDATA[" if !self.elements.is_empty() => {
                self.token()?;
                self.state = State::Cdata(0);
            }
            _ if b"--".starts_with(part) || b"[CDATA[".starts_with(part) => {}
            _ => return Err(syntax()),
        }
        Ok(())
    }

    fn comment(&mut self, byte: u8, dashes: u8) -> Result<(), String> {
        self.state = match (dashes, byte) {
            (2, b'>') => {
                self.length = 0;
                State::Text
            }
            (2, _) => return Err(syntax()),
            (_, b'-') => State::Comment(dashes + 1),
            _ => State::Comment(0),
        };
        match self.state {
            State::Text => Ok(()),
            _ => self.text_grows(1),
        }
    }

    fn cdata(&mut self, byte: u8, brackets: u8) -> Result<(), String> {
        self.state = match (brackets, byte) {
            (2, b'>') => {
                self.length = 0;
                State::Text
            }
            (_, b']') => State::Cdata((brackets + 1).min(2)),
            _ => State::Cdata(0),
        };
        match self.state {
            State::Text => Ok(()),
            _ => {
                // Do not search brackets, because the last two belong to the end mark `]]>`.
                if byte != b']' {
                    self.searches(byte)?;
                }
                self.text_grows(1)
            }
        }
    }

    fn instruction(&mut self, byte: u8, is_ending: bool) -> Result<(), String> {
        if is_ending && byte == b'>' {
            self.state = State::Text;
            self.length = 0;
            let declared = self.part.strip_prefix(b"xml");
            let rest = declared.filter(|rest| rest.first().is_some_and(|byte| is_space(*byte)));
            return match rest {
                None if self.part.eq_ignore_ascii_case(b"xml?") => Err(syntax()),
                None => Ok(()),
                Some(_) if !self.is_declaration => Err(syntax()),
                Some(rest) => match encoding(rest) {
                    Some(Encoding::Utf8) => Ok(()),
                    Some(Encoding::Latin) => {
                        self.utf8 = None;
                        Ok(())
                    }
                    None => Err("has an encoding other than UTF-8 or ISO-8859-1".to_owned()),
                },
            };
        }
        if self.part.is_empty() && !is_name_start(byte) {
            return Err(syntax());
        }
        // Keep the whole XML declaration for its check. Of other instructions, keep only the first
        // bytes.
        if self.part.len() < DECLARATION_MAX {
            self.part.push(byte);
        } else if self.part.starts_with(b"xml") && self.is_declaration {
            return Err(syntax());
        }
        self.state = State::Instruction(byte == b'?');
        self.text_grows(1)
    }

    /// Counts an element, attribute, text, comment or instruction of the body.
    fn token(&mut self) -> Result<(), String> {
        self.tokens += 1;
        match self.limits.tokens {
            Some(most) if self.tokens > most.into() => Err(more(
                most.into(),
                "element, attribute or text",
                "elements, attributes and texts",
            )),
            _ => Ok(()),
        }
    }

    fn text_grows(&mut self, length: u64) -> Result<(), String> {
        self.length += length;
        match self.limits.text_bytes {
            Some(most) if self.length > most => Err(bytes(most, "a text or value")),
            _ => Ok(()),
        }
    }

    fn searches(&mut self, byte: u8) -> Result<(), String> {
        match &mut self.search {
            Some(search) => search.add(byte).map_err(rules::detail),
            None => Ok(()),
        }
    }

    fn search_ends(&mut self) -> Result<(), String> {
        match &mut self.search {
            Some(search) => search.end().map_err(rules::detail),
            None => Ok(()),
        }
    }

    fn name_grows(&mut self) -> Result<(), String> {
        self.length += 1;
        match self.limits.name_bytes {
            Some(most) if self.length > most => Err(bytes(most, "a name")),
            _ => Ok(()),
        }
    }
}

/// Encoding of a document. Markup has the same bytes as in ASCII.
enum Encoding {
    Utf8,
    Latin,
}

/// True if a document with this encoding is ISO-8859-1, or windows-1252, its superset. `None` for
/// an encoding that the scanner cannot read.
pub(super) fn is_latin(encoding: &str) -> Option<bool> {
    let is_any = |known: &[&str]| known.iter().any(|one| one.eq_ignore_ascii_case(encoding));
    if is_any(&["utf-8", "utf8", "us-ascii", "ascii"]) {
        return Some(false);
    }
    is_any(&["iso-8859-1", "latin1", "windows-1252"]).then_some(true)
}

/// Encoding in an XML declaration. Default: UTF-8. `None` for an unsupported encoding.
fn encoding(declaration: &[u8]) -> Option<Encoding> {
    let text = std::str::from_utf8(declaration).ok()?;
    let Some((_, rest)) = text.split_once("encoding") else {
        return Some(Encoding::Utf8);
    };
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let quote = rest
        .chars()
        .next()
        .filter(|one| matches!(one, '"' | '\''))?;
    let (name, more) = rest[1..].split_once(quote)?;
    if more.contains("encoding") {
        return None;
    }
    Some(match is_latin(name)? {
        true => Encoding::Latin,
        false => Encoding::Utf8,
    })
}

/// Character that a reference represents. `None` for an entity that XML does not predefine.
fn character(reference: &[u8]) -> Option<char> {
    let reference = std::str::from_utf8(reference).ok()?;
    let Some(number) = reference.strip_prefix('#') else {
        return Some(match reference {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            _ => return None,
        });
    };
    let number = match number.strip_prefix('x') {
        Some(digits) => u32::from_str_radix(digits, 16).ok()?,
        None => number.parse().ok()?,
    };
    char::from_u32(number).filter(|one| *one >= ' ' || matches!(one, '\t' | '\n' | '\r'))
}

fn syntax() -> String {
    "is not well-formed XML".to_owned()
}

fn entity() -> String {
    "refers to an entity that XML does not define".to_owned()
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':') || byte >= 0x80
}

fn is_name(byte: u8) -> bool {
    is_name_start(byte) || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
}

#[cfg(test)]
mod tests;
