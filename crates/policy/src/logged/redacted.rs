//! Values that the findings of validation do not describe: values of schemas with `redact`, and of
//! parameters that logs do not show.

use std::cell::LazyCell;
use std::fmt::Write as _;

use minicbor::{Decode, Encode};

use super::form::{LogForm, LoggedLocation, LoggedParameter};
use super::names::MemberNames;
use crate::invalid::{Finding, Part};

/// Detail of a finding about a redacted value.
const NO_MATCH: &str = "does not match the schema";
/// Segment of a JSON pointer that matches any name or index.
pub const ANY: &str = "*";

/// Location of redacted values in the messages of an operation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(map)]
pub struct RedactedValue {
    /// Direction of the message.
    #[n(0)]
    pub message: Message,
    /// Location in the body or parameter: a JSON pointer (RFC 6901) as a URI fragment. The segment
    /// [`ANY`] matches any name or index.
    #[n(1)]
    pub place: String,
    /// Parameter that contains the values. `None`: the body.
    #[n(2)]
    pub parameter: Option<RedactedParameter>,
}

/// Parameter of a request, or field of a response, with redacted values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum RedactedParameter {
    /// Path parameter.
    #[n(0)]
    Path(#[n(0)] String),
    /// Query parameter.
    #[n(1)]
    Query(#[n(0)] String),
    /// Field, named in lower case.
    #[n(2)]
    Header(#[n(0)] String),
    /// Cookie.
    #[n(3)]
    Cookie(#[n(0)] String),
}

/// Direction of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Message {
    /// From a client to an upstream.
    #[n(0)]
    Request,
    /// From an upstream to a client.
    #[n(1)]
    Response,
}

// === impl RedactedValue ===

impl RedactedValue {
    /// Direction and location, in the form in which settings refer to the value.
    #[must_use]
    pub fn label(&self) -> String {
        let message = match self.message {
            Message::Request => "request",
            Message::Response => "response",
        };
        let parameter = self.parameter.as_ref().map(|one| match one {
            RedactedParameter::Path(name) => format!("path {name} "),
            RedactedParameter::Query(name) => format!("query {name} "),
            RedactedParameter::Header(name) => format!("header {name} "),
            RedactedParameter::Cookie(name) => format!("cookie {name} "),
        });
        format!("{message} {}{}", parameter.unwrap_or_default(), self.place)
    }
}

// === impl RedactedParameter ===

impl RedactedParameter {
    /// Name of a query parameter. `None` for other parameters.
    fn in_query(&self) -> Option<&str> {
        match self {
            Self::Query(name) => Some(name),
            Self::Path(_) | Self::Header(_) | Self::Cookie(_) => None,
        }
    }

    /// Name of the parameter. `None` unless `part` is this parameter. Always `None` for query
    /// parameters, whose names servers read in several ways ([`MemberNames`]).
    fn name_of(&self, part: &Part) -> Option<&str> {
        let is_own = match (self, part) {
            (Self::Path(own), Part::Path(name)) | (Self::Cookie(own), Part::Cookie(name)) => {
                **own == **name
            }
            (Self::Header(own), Part::Header(name)) => own.eq_ignore_ascii_case(name),
            (
                Self::Path(_) | Self::Cookie(_) | Self::Header(_) | Self::Query(_),
                Part::Body
                | Part::Status
                | Part::Path(_)
                | Part::Cookie(_)
                | Part::Header(_)
                | Part::Query(_),
            ) => false,
        };
        let (Self::Path(name) | Self::Query(name) | Self::Header(name) | Self::Cookie(name)) = self;
        is_own.then_some(name)
    }
}

/// Shortens the pointers of findings inside redacted values, because names inside the values may be
/// data. Also applies to parameters with redacted values, and to parameters with a form for logs.
pub fn redact_findings(
    findings: &mut Vec<Finding>,
    message: Message,
    (redacted, logged): (&[RedactedValue], &[LoggedParameter]),
) {
    let own = || redacted.iter().filter(|one| one.message == message);
    let hidden = logged.iter().filter(|one| one.form != LogForm::Keep);
    let hidden = hidden.filter_map(|one| match (message, one.place) {
        (Message::Request, LoggedLocation::Path) => Some(RedactedParameter::Path(one.name.clone())),
        (Message::Request, LoggedLocation::Query) => {
            Some(RedactedParameter::Query(one.name.clone()))
        }
        (Message::Request, LoggedLocation::UserAgent) | (Message::Response, _) => None,
    });
    let hidden: Vec<RedactedParameter> = match findings.is_empty() {
        true => Vec::new(),
        false => hidden
            .chain(own().filter_map(|one| one.parameter.clone()))
            .collect(),
    };
    let in_query: Vec<&str> = hidden
        .iter()
        .filter_map(RedactedParameter::in_query)
        .collect();
    let names = LazyCell::new(|| MemberNames::new(in_query.iter().map(|name| name.as_bytes())));
    let inside = findings.iter_mut();
    for finding in inside.filter(|one| one.part != Part::Body) {
        let name = match &finding.part {
            Part::Query(written) => names.find(written.as_bytes()).map(|at| in_query[at]),
            part => hidden.iter().find_map(|one| one.name_of(part)),
        };
        let Some(name) = name else { continue };
        let is_inner = match &mut finding.part {
            Part::Query(written) => {
                let is_inner = **written != *name && written.contains(['[', '.']);
                *written = name.into();
                is_inner
            }
            Part::Body | Part::Status | Part::Path(_) | Part::Header(_) | Part::Cookie(_) => false,
        };
        if is_inner || within(&finding.pointer, "#").is_some() {
            "#".clone_into(&mut finding.pointer);
            finding.detail = NO_MATCH.to_owned();
        }
    }
    let in_body = || own().filter(|one| one.parameter.is_none());
    for finding in findings.iter_mut().filter(|one| one.part == Part::Body) {
        let length = in_body()
            .filter_map(|one| within(&finding.pointer, &one.place))
            .min();
        if let Some(length) = length {
            finding.pointer.truncate(length);
            finding.detail = NO_MATCH.to_owned();
        }
    }
    findings.dedup();
}

/// Length of the beginning of `pointer` that matches `place`. `None` unless `pointer` is longer
/// than `place` and begins with it.
fn within(pointer: &str, place: &str) -> Option<usize> {
    let mut rest = pointer.split('/');
    let mut length = 0;
    for wanted in place.split('/') {
        let segment = rest.next()?;
        if wanted != ANY && wanted != segment {
            return None;
        }
        length += segment.len() + 1;
    }
    rest.next().map(|_| length - 1)
}

/// Encodes the name of a member as a segment of a pointer.
#[must_use]
pub fn segment(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.replace('~', "~0").replace('/', "~1").bytes() {
        write_byte(byte, &mut out);
    }
    out
}

/// Appends a byte of a JSON pointer to a URI fragment.
pub fn write_byte(byte: u8, out: &mut String) {
    match byte {
        b'/' | b'~' | b'-' | b'.' | b'_' | b'$' | b'@' | b':' => out.push(char::from(byte)),
        byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
        byte => {
            let _infallible = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_end_at_redacted_values() {
        let redacted = |message, place: &str| RedactedValue {
            message,
            place: place.to_owned(),
            parameter: None,
        };
        let all = [
            redacted(Message::Request, "#/people/*/names"),
            redacted(Message::Request, &format!("#/{}", segment("a/ü*"))),
            redacted(Message::Response, "#"),
        ];
        let shown = |message, part: &Part, pointer: &str| {
            let mut findings = vec![Finding {
                part: part.clone(),
                pointer: pointer.to_owned(),
                detail: "rule".to_owned(),
            }];
            redact_findings(&mut findings, message, (&all, &[]));
            findings.remove(0).pointer
        };
        let request = |pointer| shown(Message::Request, &Part::Body, pointer);
        assert_eq!(request("#/people/3/names/bob"), "#/people/3/names");
        assert_eq!(request("#/people/3/names/bob/0"), "#/people/3/names");
        assert_eq!(request("#/people/3/names"), "#/people/3/names");
        assert_eq!(request("#/people/3/age/x"), "#/people/3/age/x");
        assert_eq!(request("#/people/3"), "#/people/3");
        assert_eq!(request("#/a~1%C3%BC%2A/x"), "#/a~1%C3%BC%2A");
        assert_eq!(shown(Message::Response, &Part::Body, "#/x/y"), "#");
        let query = Part::Query("q".into());
        assert_eq!(shown(Message::Response, &query, "#/x"), "#/x");
    }

    #[test]
    fn findings_have_no_names_inside_parameters() {
        use RedactedParameter::{Cookie, Header, Query};
        let redacted = |message, parameter| RedactedValue {
            message,
            place: "#".to_owned(),
            parameter: Some(parameter),
        };
        let all = [
            redacted(Message::Request, Query("who".to_owned())),
            redacted(Message::Request, Header("x-who".to_owned())),
            redacted(Message::Request, Cookie("who".to_owned())),
            redacted(Message::Response, Header("x-who".to_owned())),
        ];
        let logged = [("a", LogForm::Hash), ("b", LogForm::Keep)].map(|(name, form)| {
            let place = LoggedLocation::Query;
            let name = name.to_owned();
            LoggedParameter { place, name, form }
        });
        let shown = |message, part: Part, pointer: &str| {
            let mut findings = vec![Finding {
                part,
                pointer: pointer.to_owned(),
                detail: "rule".to_owned(),
            }];
            redact_findings(&mut findings, message, (&all, &logged));
            let finding = findings.remove(0);
            let name = finding.part.name().unwrap_or_default();
            format!("{name} {} {}", finding.pointer, finding.detail)
        };
        let request = |part, pointer| shown(Message::Request, part, pointer);
        for (part, pointer, expected) in [
            (
                Part::Query("who".into()),
                "#/PLANTED",
                "who # does not match the schema",
            ),
            (Part::Query("who".into()), "#", "who # rule"),
            (
                Part::Query("who[PLANTED]".into()),
                "#",
                "who # does not match the schema",
            ),
            (
                Part::Query("WHO[]".into()),
                "#",
                "who # does not match the schema",
            ),
            (
                Part::Query("a".into()),
                "#/PLANTED",
                "a # does not match the schema",
            ),
            (Part::Query("b".into()), "#/x", "b #/x rule"),
            (Part::Query("other".into()), "#/x", "other #/x rule"),
            (
                Part::Header("X-Who".into()),
                "#/PLANTED",
                "X-Who # does not match the schema",
            ),
            (Part::Header("who".into()), "#/x", "who #/x rule"),
            (
                Part::Cookie("who".into()),
                "#/PLANTED",
                "who # does not match the schema",
            ),
            (Part::Path("who".into()), "#/x", "who #/x rule"),
            (Part::Body, "#/x", " #/x rule"),
        ] {
            assert_eq!(request(part, pointer), expected);
        }
        let field = || Part::Header("X-Who".into());
        let response = shown(Message::Response, field(), "#/PLANTED");
        assert_eq!(response, "X-Who # does not match the schema");
        let cookie = shown(Message::Response, Part::Cookie("who".into()), "#/x");
        assert_eq!(cookie, "who #/x rule");
    }

    #[test]
    fn findings_inside_one_value_are_one() {
        let finding = |pointer: &str| Finding {
            part: Part::Body,
            pointer: pointer.to_owned(),
            detail: "rule".to_owned(),
        };
        let mut findings = vec![finding("#/a/b"), finding("#/a/c"), finding("#/a")];
        let redacted = RedactedValue {
            message: Message::Request,
            place: "#/a".to_owned(),
            parameter: None,
        };
        redact_findings(&mut findings, Message::Request, (&[redacted], &[]));
        let [inside, own] = &findings[..] else {
            panic!("{findings:?}")
        };
        assert_eq!((&*inside.pointer, &*inside.detail), ("#/a", NO_MATCH));
        assert_eq!((&*own.pointer, &*own.detail), ("#/a", "rule"));
    }
}
