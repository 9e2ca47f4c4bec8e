//! Scan of request bodies for structures that could exhaust a parser, while the bodies are
//! streamed.
//!
//! A scanner reads each byte once, in constant time, and its memory has a fixed maximum. The scan
//! runs before any other part of the gateway stores or parses the body.

mod form;
mod json;
mod rules;
mod unknown;
mod utf8;
mod xml;

use std::sync::Arc;

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use minicbor::{Decode, Encode};

use crate::invalid::{Finding, Invalid, Part};
use crate::reject::Reject;

use rules::Search;
pub use rules::{Rule, Rules};
use unknown::Unknown;

/// Refusal: a body exceeds a limit, or its structure cannot be checked.
pub static REFUSED: Reject = Reject::new(400, "threat_detected", "The content of the request is not accepted").with_meaning("a `threat` policy refuses the structure of the body, or one of its `rules` matches the request");

/// Maximum depth of arrays and objects, or of elements, if the policy does not set `depth`.
pub const DEPTH_DEFAULT: u32 = 64;

/// Limits on JSON bodies. A limit that is `None` does not apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct JsonLimits {
    /// Maximum depth of arrays and objects, 1 to 1,000.
    #[n(0)]
    pub depth: u32,
    /// Maximum number of members of an object.
    #[n(1)]
    pub keys: Option<u32>,
    /// Maximum number of items of an array.
    #[n(2)]
    pub items: Option<u32>,
    /// Maximum length of a name, in bytes of UTF-8 without escapes.
    #[n(3)]
    pub key_bytes: Option<u64>,
    /// Maximum length of a string, in bytes of UTF-8 without escapes.
    #[n(4)]
    pub string_bytes: Option<u64>,
    /// Maximum number of names and values in the body.
    #[n(5)]
    pub tokens: Option<u32>,
}

/// Limits on XML bodies. A limit that is `None` does not apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct XmlLimits {
    /// Maximum depth of elements, 1 to 1,000.
    #[n(0)]
    pub depth: u32,
    /// Maximum number of child elements of an element.
    #[n(1)]
    pub children: Option<u32>,
    /// Maximum number of attributes of an element.
    #[n(2)]
    pub attributes: Option<u32>,
    /// Maximum length of a name of an element or attribute, in bytes.
    #[n(3)]
    pub name_bytes: Option<u64>,
    /// Maximum length of a text, an attribute value, a comment or a processing instruction, in
    /// bytes.
    #[n(4)]
    pub text_bytes: Option<u64>,
    /// Maximum number of elements, attributes, texts, comments and processing instructions in the
    /// body.
    #[n(5)]
    pub tokens: Option<u32>,
}

/// Scan of a request's body by one policy.
#[derive(Clone, Debug)]
pub struct Scan {
    /// Name of the policy.
    pub policy: Arc<str>,
    /// True if the policy logs violations and does not refuse the request.
    pub logs: bool,
    /// Limits on JSON. `None`: JSON is not scanned.
    pub json: Option<JsonLimits>,
    /// Limits on XML. `None`: XML is not scanned.
    pub xml: Option<XmlLimits>,
    /// Rules that look for injection. `None`: texts are not searched.
    pub rules: Option<Arc<Rules>>,
}

/// Reason why a body is refused. Contains no text of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Broken rule, for example `has more than 32 levels`.
    pub detail: String,
    /// Number of bytes of the body before the byte that broke the rule.
    pub at: u64,
}

/// State of a scan, kept between two parts of a body.
#[derive(Debug)]
pub struct Scanner(Kind);

#[derive(Debug)]
enum Kind {
    Json(json::Json),
    Xml(xml::Xml),
    /// Urlencoded form, with the number of bytes read.
    Form(form::Form, u64),
    /// Body without a media type, before its format is known.
    Unknown(Unknown),
    /// Body of a format without limits, which is not scanned.
    Free,
    /// Body whose structure cannot be scanned, for example because it is compressed. Contains the
    /// reason.
    Hidden(&'static str),
}

/// Format of a body, with the charset of its media type.
type Described = (Option<String>, Format);

/// Format of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json { is_sequence: bool },
    Xml,
    Form,
    Other,
}

// === impl Scan ===

impl Scan {
    /// Scanner for the body of a request with these header fields. `None` if the policy does not
    /// limit the body's format.
    #[must_use]
    pub fn scanner(&self, headers: &HeaderMap) -> Option<Scanner> {
        let values = headers.get_all(CONTENT_TYPE).iter();
        let mut formats = values.map(|value| value.to_str().ok().and_then(format));
        let first = formats.next().flatten();
        let others: Vec<_> = formats.filter(|other| *other != first).collect();
        let kind = self.kind(first, headers);
        if others.is_empty() {
            return kind.map(Scanner);
        }
        // If there are several `Content-Type` fields with different values, servers differ in the
        // field that they use.
        let mut kinds = others.into_iter().map(|other| self.kind(other, headers));
        let is_scanned = kind.is_some() || kinds.any(|other| other.is_some());
        is_scanned.then_some(Scanner(Kind::Hidden("has several media types")))
    }

    /// Scanner for a body of one format. `described` is `None` if the media type is missing or
    /// unreadable. Returns `None` if the policy does not limit the format.
    fn kind(&self, described: Option<Described>, headers: &HeaderMap) -> Option<Kind> {
        let Some((charset, format)) = described else {
            return Some(match is_coded(headers) {
                true => Kind::Hidden(CODED),
                false => Kind::Unknown(Unknown::new(self)),
            });
        };
        let latin = charset.map_or(Some(false), |name| xml::is_latin(&name));
        let search = || self.rules.as_ref().map(Search::new);
        let kind = match (format, latin) {
            (Format::Form, None) => search().map(|_| Kind::Hidden(OTHER_CHARSET)),
            (Format::Form, Some(_)) => {
                search().map(|search| Kind::Form(form::Form::new(search, true), 0))
            }
            (Format::Json { .. }, None | Some(true)) => {
                self.json.map(|_| Kind::Hidden(OTHER_CHARSET))
            }
            (Format::Xml, None) => self.xml.map(|_| Kind::Hidden(OTHER_CHARSET)),
            (Format::Json { is_sequence }, Some(false)) => self
                .json
                .map(|limits| Kind::Json(json::Json::new(limits, is_sequence, search()))),
            (Format::Xml, Some(latin)) => self
                .xml
                .map(|limits| Kind::Xml(xml::Xml::new(limits, latin, search()))),
            (Format::Other, _) => None,
        };
        kind.map(|kind| match is_coded(headers) {
            true => Kind::Hidden(CODED),
            false => kind,
        })
    }

    /// Searches the path and the query of a request with the rules. Returns the first match.
    #[must_use]
    pub fn target(&self, path: &str, query: Option<&str>) -> Option<Invalid> {
        let rules = self.rules.as_ref()?;
        let find = |text: &str, is_form: bool| {
            let mut form = form::Form::new(Search::new(rules), is_form);
            let mut bytes = text.bytes();
            let found = bytes.try_for_each(|byte| form.add(byte));
            found.and_then(|()| form.end()).err()
        };
        let in_path = find(path, false).map(|rule| (Part::Path("".into()), rule));
        let in_query = || Some((Part::Query("".into()), find(query?, true)?));
        let (part, rule) = in_path.or_else(in_query)?;
        Some(Invalid {
            reject: &REFUSED,
            findings: vec![Finding {
                part,
                pointer: "#".to_owned(),
                detail: rules::detail(rule),
            }],
        })
    }
}

// === impl Scanner ===

impl Scanner {
    /// Reads the next bytes of the body.
    ///
    /// # Errors
    /// The body exceeds a limit, or its structure cannot be checked. The scan has then ended.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        if let Kind::Unknown(unknown) = &mut self.0 {
            let Some((kind, begin)) = unknown.read(bytes) else {
                return Ok(());
            };
            self.0 = kind;
            return self.read(&begin);
        }
        match &mut self.0 {
            Kind::Json(json) => json.read(bytes),
            Kind::Xml(xml) => xml.read(bytes),
            Kind::Form(form, read) => bytes.iter().try_for_each(|byte| {
                form.add(*byte).map_err(|rule| Violation {
                    detail: rules::detail(rule),
                    at: *read,
                })?;
                *read += 1;
                Ok(())
            }),
            Kind::Free | Kind::Unknown(..) => Ok(()),
            Kind::Hidden(_) if bytes.is_empty() => Ok(()),
            Kind::Hidden(detail) => Err(Violation {
                detail: (*detail).to_owned(),
                at: 0,
            }),
        }
    }

    /// Ends the scan at the end of the body.
    ///
    /// # Errors
    /// The body is incomplete, or a body without a media type is refused.
    pub fn end(&mut self) -> Result<(), Violation> {
        if let Kind::Unknown(unknown) = &mut self.0 {
            let (kind, begin) = unknown.end();
            self.0 = kind;
            self.read(&begin)?;
        }
        match &mut self.0 {
            Kind::Json(json) => json.end(),
            Kind::Xml(xml) => xml.end(),
            Kind::Form(form, read) => form.end().map_err(|rule| Violation {
                detail: rules::detail(rule),
                at: *read,
            }),
            Kind::Free | Kind::Unknown(..) | Kind::Hidden(_) => Ok(()),
        }
    }
}

/// Reason for the refusal of a body with a content coding.
const CODED: &str = "has a content coding, which hides its structure";

/// Reason for the refusal of a body in a charset that no scanner reads.
const OTHER_CHARSET: &str = "has a charset that hides its structure";

/// True if the body has a content coding.
fn is_coded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    codings.any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Subtypes of media types without `+json` whose bodies frameworks parse as JSON, such as reports of
/// browsers (`csp-report`) and requests of the AWS protocols (`x-amz-json-1.1`).
const JSON_TYPES: [&str; 7] = [
    "json",
    "x-json",
    "json5",
    "csp-report",
    "x-amz-json-1.0",
    "x-amz-json-1.1",
    "jsonrequest",
];

/// Subtypes of media types for XML, parts of documents included (RFC 7303 §9).
const XML_TYPES: [&str; 4] = ["xml", "xml-dtd", "xml-external-parsed-entity", "xsl"];

/// Format of a media type, and its `charset`. `None` if the value is not a media type, or has a
/// charset twice. Also `None` for a list (`text/plain; a=b, text/json`), unless its first type is
/// JSON or XML: servers differ in the item of the list that they use.
fn format(value: &str) -> Option<Described> {
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next()?.to_ascii_lowercase();
    let (kind, subtype) = essence.split_once('/')?;
    let is_token = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    if !is_token(kind) || !is_token(subtype) {
        return None;
    }
    let mut charset = None;
    for part in parts {
        let Some((name, value)) = part.split_once('=') else {
            continue;
        };
        let name = name.trim_end().to_ascii_lowercase();
        if name.starts_with("charset") {
            let value = value.trim().trim_matches('"');
            // Treat `charset*` (RFC 8187) as an unsupported charset.
            let value = if name == "charset" { value } else { "*" };
            if charset.replace(value.to_owned()).is_some() {
                return None;
            }
        }
    }
    let is_sequence = matches!(
        subtype,
        "x-ndjson" | "ndjson" | "jsonl" | "x-jsonl" | "jsonlines" | "x-jsonlines" | "json-seq"
    ) || subtype.ends_with("+json-seq");
    let is_json = is_sequence || JSON_TYPES.contains(&subtype) || subtype.ends_with("+json");
    let is_xml = XML_TYPES.contains(&subtype) || subtype.ends_with("+xml");
    let format = match (is_json, is_xml) {
        (true, _) => Format::Json { is_sequence },
        (false, true) => Format::Xml,
        (false, false) if value.contains(',') => return None,
        (false, false) if subtype == "x-www-form-urlencoded" => Format::Form,
        (false, false) => Format::Other,
    };
    Some((charset, format))
}

fn more(most: u64, one: &str, many: &str) -> String {
    let things = if most == 1 { one } else { many };
    format!("has more than {most} {things}")
}

fn bytes(most: u64, thing: &str) -> String {
    format!("has {thing} of more than {most} bytes")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn scan(both: bool) -> Scan {
        Scan {
            policy: "waf".into(),
            logs: false,
            json: Some(JsonLimits {
                depth: 1,
                keys: None,
                items: None,
                key_bytes: None,
                string_bytes: None,
                tokens: None,
            }),
            xml: both.then_some(XmlLimits {
                depth: 1,
                children: None,
                attributes: None,
                name_bytes: None,
                text_bytes: None,
                tokens: None,
            }),
            rules: Some(Rules::new(&[Rule::SqlUnion])),
        }
    }

    /// Detail of the violation that a scan finds in a body, for the tests. `None` if the scan
    /// accepts the body.
    fn found(
        scan: &Scan,
        fields: &[(http::HeaderName, &'static str)],
        body: &str,
    ) -> Option<String> {
        let fields = fields.iter().cloned();
        let mut headers = HeaderMap::new();
        fields.for_each(|(name, value)| {
            headers.append(name, HeaderValue::from_static(value));
        });
        let mut scanner = scan.scanner(&headers)?;
        let read = scanner.read(body.as_bytes()).and_then(|()| scanner.end());
        read.err().map(|violation| violation.detail)
    }

    #[test]
    fn media_type_decides_what_is_scanned() {
        let deep = ["[[]]", "<a><b/></a>"];
        for (value, scanned) in [
            ("application/json", [true, true]),
            ("Application/Problem+JSON; charset=\"UTF-8\"", [true, true]),
            ("application/x-ndjson", [true, true]),
            ("text/json", [true, true]),
            ("text/x-json", [true, true]),
            ("application/x-json", [true, true]),
            ("application/json5; charset=utf-8", [true, true]),
            ("application/csp-report", [true, true]),
            ("Application/Reports+JSON", [true, true]),
            ("application/x-amz-json-1.1", [true, true]),
            ("application/jsonrequest", [true, true]),
            ("text/xml;charset=utf-8", [true, true]),
            ("application/soap+xml", [true, true]),
            ("application/xml-external-parsed-entity", [true, true]),
            ("application/xml-dtd", [true, true]),
            ("text/xsl", [true, true]),
            ("text/plain", [false, false]),
            ("application/octet-stream", [false, false]),
            // If the media type is invalid, the first byte determines the format.
            ("json", [true, true]),
            ("text/plain, application/json", [true, true]),
            ("text/plain; a=b, application/json", [true, true]),
            ("text/plain; a=\"b, text/json\"", [true, true]),
            ("application/json; a=b, text/plain", [true, true]),
            (
                "application/json; charset=utf-8; charset=utf-16",
                [true, true],
            ),
        ] {
            let found =
                deep.map(|body| found(&scan(true), &[(CONTENT_TYPE, value)], body).is_some());
            assert_eq!(found, scanned, "{value}");
        }
        let none = deep.map(|body| found(&scan(true), &[], body));
        assert_eq!(none, deep.map(|_| Some("has more than 1 level".to_owned())));
        assert_eq!(found(&scan(true), &[], " plain [[ text"), None);
        assert_eq!(
            found(&scan(false), &[(CONTENT_TYPE, "text/xml")], "<a><b/></a>"),
            None
        );
    }

    #[test]
    fn several_media_types_are_refused_if_one_is_scanned() {
        let form = "application/x-www-form-urlencoded";
        for ([one, other], refused) in [
            (["text/plain", "text/json"], true),
            ([form, "application/json"], true),
            ([form, "text/xml"], true),
            (["application/json", form], true),
            (
                ["application/json", "application/json; charset=utf-16"],
                true,
            ),
            (["text/plain", ""], true),
            (["application/json", "text/json"], false),
            (["text/plain", "text/html"], false),
        ] {
            let fields = [(CONTENT_TYPE, one), (CONTENT_TYPE, other)];
            let found = found(&scan(true), &fields, "[]");
            let expected = refused.then_some("has several media types");
            assert_eq!(found.as_deref(), expected, "{fields:?}");
        }
    }

    #[test]
    fn body_without_media_type_is_known_by_its_start() {
        let scan = scan(true);
        let scanned = |body: &[u8], size: usize| {
            let mut scanner = scan.scanner(&HeaderMap::new()).expect("limits");
            let mut parts = body.chunks(size);
            let read = parts.try_for_each(|part| scanner.read(part));
            let end = read.and_then(|()| scanner.end());
            end.err().map(|violation| violation.detail)
        };
        let utf16 = |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            text.encode_utf16().flat_map(bytes).collect()
        };
        let hidden = Some(OTHER_CHARSET);
        for (body, expected) in [
            (utf16("\u{feff}<a>", u16::to_le_bytes), hidden),
            (utf16("\u{feff}<a>", u16::to_be_bytes), hidden),
            (utf16("<a>", u16::to_be_bytes), hidden),
            (utf16(" [1]", u16::to_be_bytes), hidden),
            (utf16(" {}", u16::to_le_bytes), hidden),
            (b"\0\0\0<\0\0\0a".to_vec(), hidden),
            (b"\0\0\xfe\xff\0\0\0<".to_vec(), hidden),
            (b"\x4c\x6f\xa7\x94\x93".to_vec(), hidden),
            (b"\xef\xbb\xbf []".to_vec(), Some("is not valid JSON")),
            (b"[[".to_vec(), Some("has more than 1 level")),
            (b"[".to_vec(), Some("ends inside a JSON value")),
            (b" ".to_vec(), None),
            (b"".to_vec(), None),
            (
                b"a=union+select".to_vec(),
                Some("matches the rule `sql_union`"),
            ),
            (b"\xff\xd8\xff\xe0 a picture".to_vec(), None),
            (b"\0\0\0\x20ftypisom".to_vec(), None),
        ] {
            for size in [1, 3, 4, 100] {
                assert_eq!(
                    scanned(&body, size).as_deref(),
                    expected,
                    "{body:x?} by {size}"
                );
            }
        }
    }

    #[test]
    fn rules_search_every_text_of_each_format() {
        let (scan, attack) = (scan(true), "x union select 1");
        let form = attack.replace(' ', "+");
        for (media_type, body) in [
            ("application/json", format!("[\"{attack}\"]")),
            ("application/json", format!("{{\"{attack}\":1}}")),
            (
                "application/json",
                "[\"\\u0075nion\\nselect\\t1\"]".to_owned(),
            ),
            ("text/xml", format!("<a>{attack}</a>")),
            ("text/xml", format!("<a b='{attack}'/>")),
            (
                "text/xml",
                "<a>uni&#111;n<![CDATA[ sel]]>ect</a>".to_owned(),
            ),
            ("application/x-www-form-urlencoded", format!("a=1&b={form}")),
        ] {
            let found = found(&scan, &[(CONTENT_TYPE, media_type)], &body);
            assert_eq!(
                found.as_deref(),
                Some("matches the rule `sql_union`"),
                "{body}"
            );
        }
        for (media_type, body) in [
            ("application/json", "[\"union\",\"select\"]"),
            (
                "text/xml",
                "<a b='union' c='select'>union<!-- union select --></a>",
            ),
            ("application/x-www-form-urlencoded", "a=union&b=select"),
        ] {
            let found = found(&scan, &[(CONTENT_TYPE, media_type)], body);
            assert_eq!(found, None, "{body}");
        }
        let target = |path: &str, query| {
            let found = scan.target(path, query)?;
            Some(found.findings[0].part.place())
        };
        assert_eq!(target("/a%20union%20select", None), Some("path"));
        assert_eq!(target("/a", Some("b=1&c=union+select+1")), Some("query"));
        assert_eq!(target("/union", Some("select=1")), None);
    }

    #[test]
    fn hidden_structure_is_refused() {
        let json = (CONTENT_TYPE, "application/json");
        for (fields, refused) in [
            ([json.clone(), (CONTENT_ENCODING, "gzip")], true),
            ([json, (CONTENT_ENCODING, "identity")], false),
            (
                [(CONTENT_TYPE, "text/plain"), (CONTENT_ENCODING, "gzip")],
                false,
            ),
            ([(CONTENT_TYPE, "any"), (CONTENT_ENCODING, "gzip")], true),
        ] {
            let found = found(&scan(true), &fields, "[]");
            assert_eq!(found.is_some(), refused, "{fields:?}");
        }
        for (value, refused) in [
            ("application/json; charset=utf-16", true),
            ("application/json; charset=iso-8859-1", true),
            ("application/json; charset*=utf-8''utf-16", true),
            ("text/xml; charset=utf-16le", true),
            ("text/xml; charset=iso-8859-1", false),
            ("application/x-www-form-urlencoded; charset=ibm037", true),
            ("application/x-www-form-urlencoded; charset=utf-8", false),
        ] {
            let body = if value.contains("xml") { "<a/>" } else { "[]" };
            let found = found(&scan(true), &[(CONTENT_TYPE, value)], body);
            assert_eq!(found.is_some(), refused, "{value}");
        }
    }
}
