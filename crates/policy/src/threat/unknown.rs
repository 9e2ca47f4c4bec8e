//! Detection of the format of a body without a media type, by its first bytes (XML 1.0 appendix F,
//! RFC 4627 §3).

use std::sync::Arc;

use super::form::Form;
use super::json::Json;
use super::rules::{Rules, Search};
use super::xml::Xml;
use super::{JsonLimits, Kind, OTHER_CHARSET, Scan, XmlLimits};

/// Number of bytes that are needed to detect the encoding of a text.
const START: usize = 4;

/// Body without a media type, until four bytes and a byte that is not white space have arrived.
#[derive(Debug)]
pub(super) struct Unknown {
    json: Option<JsonLimits>,
    xml: Option<XmlLimits>,
    rules: Option<Arc<Rules>>,
    /// First bytes of the body, at most [`START`].
    start: Vec<u8>,
}

impl Unknown {
    pub(super) fn new(scan: &Scan) -> Self {
        Self {
            json: scan.json,
            xml: scan.xml,
            rules: scan.rules.clone(),
            start: Vec::new(),
        }
    }

    /// Reads the next bytes of the body. When the format is known, returns the scanner and the
    /// bytes that it must read.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Option<(Kind, Vec<u8>)> {
        let missing = START.saturating_sub(self.start.len()).min(bytes.len());
        let (begin, rest) = bytes.split_at(missing);
        self.start.extend(begin);
        if self.start.len() < START {
            return None;
        }
        let kind = self.kind(rest)?;
        Some((kind, [&self.start, rest].concat()))
    }

    /// Ends the body. Returns the scanner, and the bytes that it must read.
    pub(super) fn end(&mut self) -> (Kind, Vec<u8>) {
        let kind = self.kind(&[]).unwrap_or(Kind::Free);
        (kind, std::mem::take(&mut self.start))
    }

    /// Scanner for the detected format. `None` while the body has nothing but white space and a
    /// byte order mark. `rest` are the bytes that follow the field `start`.
    fn kind(&self, rest: &[u8]) -> Option<Kind> {
        if is_wide(&self.start) {
            return Some(Kind::Hidden(OTHER_CHARSET));
        }
        let is_skipped =
            |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0xef | 0xbb | 0xbf);
        let first = self
            .start
            .iter()
            .chain(rest)
            .find(|byte| !is_skipped(byte))?;
        let search = || self.rules.as_ref().map(Search::new);
        Some(match (first, self.json, self.xml) {
            (b'{' | b'[', Some(limits), _) => Kind::Json(Json::new(limits, false, search())),
            (b'<', _, Some(limits)) => Kind::Xml(Xml::new(limits, false, search())),
            // Scan any other body as a form, because some servers parse a body without a media type
            // as a form.
            _ => search().map_or(Kind::Free, |search| Kind::Form(Form::new(search, true), 0)),
        })
    }
}

/// True if parsers read a JSON or XML text that begins with these bytes as UTF-16, UTF-32 or
/// EBCDIC.
fn is_wide(start: &[u8]) -> bool {
    let is_mark = |byte: u8| matches!(byte, b'<' | b'[' | b'{' | b'"');
    let is_text = |byte: u8| is_mark(byte) || matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    match *start {
        [0xfe, 0xff, ..] | [0xff, 0xfe, ..] => true,
        [0, 0, 0xfe, 0xff] | [0x4c, 0x6f, 0xa7, 0x94] => true,
        [0, 0, 0, last] => is_mark(last),
        [0, one, ..] | [one, 0, ..] => is_text(one),
        _ => false,
    }
}
