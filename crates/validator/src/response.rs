//! Validators of an operation's responses: status, header fields and body.

use bundle::ir::{self, ParameterPlace};
use http::header::{CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, SET_COOKIE};
use http::{HeaderName, StatusCode};
use policy::invalid::{Finding, Part};

use crate::compile::{Compiling, Uncompilable};
use crate::media::{Form, MediaType};
use crate::operation::{Body, BodyKind, Operation, of_header};
use crate::parameters::{self, Head, Parameter};
use crate::words;

/// Validators of the responses with one status or class of statuses.
pub(crate) struct Response {
    statuses: Statuses,
    headers: Vec<Parameter>,
    pub(crate) body: Body,
}

/// Statuses that a response of the description covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Statuses {
    /// One status.
    One(u16),
    /// All statuses with this first digit, such as `4XX`.
    Class(u16),
    /// All statuses that no other response covers.
    Default,
}

/// Action for a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseUse {
    /// The description says nothing about the response, or nothing that can be checked.
    Undescribed,
    /// Status and header fields match; the body is not checked.
    Pass,
    /// Status and header fields match. The whole body is read and checked by [`Operation::body`].
    Read(BodyKind),
}

impl Operation {
    /// Checks status and header fields of a response. `is_checked` returns false for the name of a
    /// field that the gateway sets or removes. `has_body` is false for a response without content
    /// (RFC 9110 §6.4.1).
    ///
    /// A status of the class 2xx must be described. Other statuses are not checked if they are not
    /// described, because most descriptions leave out errors and redirects.
    ///
    /// # Errors
    /// Returns the findings if the response does not match its description.
    pub fn response(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        (has_body, is_checked): (bool, impl Fn(&HeaderName) -> bool),
    ) -> Result<ResponseUse, Vec<Finding>> {
        let described = self.responses.iter().enumerate();
        let described = described.filter_map(|(index, one)| {
            let rank = one.statuses.rank(status.as_u16())?;
            Some((rank, index, one))
        });
        let Some((_, index, response)) = described.max_by_key(|(rank, ..)| *rank) else {
            let is_partial = status == StatusCode::PARTIAL_CONTENT;
            if self.responses.is_empty() || !status.is_success() || is_partial {
                return Ok(ResponseUse::Undescribed);
            }
            let detail = format!("{} is not described", status.as_u16());
            return Err(vec![words::finding(Part::Status, "", &detail)]);
        };
        let mut findings = Vec::new();
        let head = Head {
            path: "",
            bound: &[],
            query: None,
            headers,
        };
        parameters::check(&response.headers, &head, &mut findings);
        findings.retain(|finding| match &finding.part {
            Part::Header(name) => {
                HeaderName::from_bytes(name.as_bytes()).is_ok_and(|name| is_checked(&name))
            }
            _ => true,
        });
        if !findings.is_empty() {
            return Err(findings);
        }
        if !has_body || headers.contains_key(CONTENT_RANGE) {
            return Ok(ResponseUse::Pass);
        }
        let kind = response.kind(index, headers);
        kind.map_err(|finding| vec![finding])
    }
}

impl Response {
    pub(crate) fn new<'a>(
        written: &'a ir::Response,
        compiling: &mut Compiling<'a>,
    ) -> Result<Self, Uncompilable> {
        let mut headers = Vec::new();
        for field in &written.headers {
            // Fields of `Set-Cookie` cannot be combined to one value (RFC 6265 §3).
            if field.name == SET_COOKIE.as_str() {
                continue;
            }
            let place = ParameterPlace::Header;
            let described = (field.name.as_str(), field.required, &field.says);
            headers.extend(Parameter::described(place, described, compiling)?);
        }
        Ok(Self {
            statuses: Statuses::of(&written.status),
            headers,
            body: Body::new(false, &written.media_types, compiling)?,
        })
    }

    /// Kind of a body with these header fields.
    fn kind(&self, response: usize, headers: &HeaderMap) -> Result<ResponseUse, Finding> {
        let types = &self.body.types;
        if types.is_empty() {
            return Ok(ResponseUse::Undescribed);
        }
        let fault = |detail: &str| Err(of_header("content-type", detail));
        let mut given = headers.get_all(CONTENT_TYPE).iter();
        let (index, given) = match (given.next(), given.next()) {
            (None, _) if types.len() == 1 => (0, None),
            (None, _) => return fault("must be present"),
            (Some(_), Some(_)) => return fault("must be present once"),
            (Some(value), None) => {
                let parsed = value.to_str().ok().and_then(MediaType::parse);
                let Some(parsed) = parsed else {
                    return fault("must be a media type");
                };
                let ranked = types.iter().enumerate();
                let ranked =
                    ranked.filter_map(|(index, one)| Some((one.media_type.rank(&parsed)?, index)));
                match ranked.max_by_key(|(rank, index)| (*rank, usize::MAX - index)) {
                    None => return fault(&self.body.expected()),
                    Some((_, index)) => (index, Some(parsed)),
                }
            }
        };
        let one = &types[index];
        let given = given.as_ref().unwrap_or(&one.media_type);
        // A range such as `*/*` may describe JSON: the type of the response decides how it is read.
        let is_readable = one.schema.is_some() && one.form == given.form() && !given.is_sequence();
        if !is_readable {
            return Ok(ResponseUse::Undescribed);
        }
        if !given.is_utf8() {
            return match one.form {
                Form::Json => fault("must have the charset UTF-8"),
                _ => Ok(ResponseUse::Undescribed),
            };
        }
        let coded = headers.get_all(CONTENT_ENCODING).iter();
        let mut coded = coded.filter(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
        if coded.next().is_some() {
            return Err(of_header("content-encoding", "must be `identity`"));
        }
        Ok(ResponseUse::Read(BodyKind {
            response: Some(response),
            index,
            boundary: given.parameter("boundary").map(Box::from),
        }))
    }
}

impl Statuses {
    /// Statuses of a key under `responses`.
    pub(crate) fn of(key: &str) -> Self {
        if let Ok(status) = key.parse() {
            return Self::One(status);
        }
        let digit = key.strip_suffix("xx").or_else(|| key.strip_suffix("XX"));
        match digit.and_then(|digit| digit.parse().ok()) {
            Some(digit) => Self::Class(digit),
            None => Self::Default,
        }
    }

    /// Rank of this response for the statuses of another key, as of [`Self::rank`]. None if it does
    /// not cover all of them.
    pub(crate) fn covers(self, other: Self) -> Option<u8> {
        match (self, other) {
            (_, Self::One(status)) => self.rank(status),
            (Self::Class(digit), Self::Class(other)) => (digit == other).then_some(1),
            (Self::Default, Self::Class(_) | Self::Default) => Some(0),
            (Self::One(_), _) | (Self::Class(_), Self::Default) => None,
        }
    }

    /// Rank among the responses that cover a status; the greatest is the most specific. None if
    /// the status is not covered.
    fn rank(self, status: u16) -> Option<u8> {
        match self {
            Self::One(own) => (own == status).then_some(2),
            Self::Class(digit) => (digit == status / 100).then_some(1),
            Self::Default => Some(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use bundle::ir::{ContractOperation, Header, MediaType as Described, Set, Value};
    use http::HeaderValue;

    use super::*;
    use crate::cone::Cone;

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    fn map(entries: &[(&str, Value)]) -> Value {
        let mut entries: Vec<(Box<str>, Value)> = entries
            .iter()
            .map(|(key, value)| ((*key).into(), value.clone()))
            .collect();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        Value::Map(entries.into_iter().map(|(k, v)| (k.into(), v)).collect())
    }

    /// Operation whose responses have JSON objects with the required write-only `secret` and the
    /// required `id`, and a required field `x-page`.
    fn operation() -> Operation {
        let object = map(&[
            ("additionalProperties", Value::Bool(false)),
            (
                "properties",
                map(&[
                    ("id", map(&[("type", text("integer"))])),
                    ("secret", map(&[("writeOnly", Value::Bool(true))])),
                ]),
            ),
            ("required", Value::List(vec![text("id"), text("secret")])),
            ("type", text("object")),
        ]);
        let page = map(&[("schema", map(&[("type", text("integer"))]))]);
        let response = |status: &str, types: &[&str]| ir::Response {
            status: status.into(),
            media_types: Set::new(
                types
                    .iter()
                    .map(|name| Described {
                        name: (*name).into(),
                        says: map(&[("schema", Value::Node(0))]),
                    })
                    .collect(),
            )
            .unwrap(),
            headers: Set::new(vec![Header {
                name: "x-page".into(),
                required: true,
                says: page.clone(),
            }])
            .unwrap(),
        };
        let written = ContractOperation {
            key: "a/x".into(),
            deprecated: false,
            parameters: Vec::new(),
            body: None,
            responses: vec![
                response("200", &["application/json"]),
                response("204", &[]),
                response("4xx", &["application/json", "application/octet-stream"]),
            ],
        };
        Operation::compile(&Cone::of(&written, &[object])).unwrap()
    }

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let fields = fields.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        fields.collect()
    }

    /// Findings about a response, as `PART detail`.
    fn found(status: u16, fields: &[(&'static str, &'static str)], body: &str) -> Vec<String> {
        let operation = operation();
        let status = StatusCode::from_u16(status).unwrap();
        let fields = headers(fields);
        let findings = match operation.response(status, &fields, (true, |_: &HeaderName| true)) {
            Err(findings) => findings,
            Ok(ResponseUse::Read(kind)) => operation.body(&kind, body.as_bytes()),
            Ok(other) => return vec![format!("{other:?}")],
        };
        let told = findings
            .iter()
            .map(|one| format!("{} {}", one.part.place(), one.detail));
        told.collect()
    }

    const JSON: (&str, &str) = ("content-type", "application/json");
    const PAGE: (&str, &str) = ("x-page", "1");

    #[test]
    fn body_is_checked_as_a_response() {
        assert_eq!(found(200, &[JSON, PAGE], r#"{"id":1}"#), [""; 0]);
        assert_eq!(
            found(200, &[JSON, PAGE], r#"{"id":1,"salary":2}"#),
            ["body is not described (additionalProperties)"]
        );
        assert_eq!(
            found(404, &[JSON, PAGE], r#"{"id":"x"}"#).len(),
            1,
            "class of statuses"
        );
    }

    #[test]
    fn success_must_be_described_and_errors_need_not() {
        assert_eq!(found(201, &[JSON], "{}"), ["status 201 is not described"]);
        assert_eq!(found(500, &[JSON], "{}"), ["Undescribed"]);
        assert_eq!(found(206, &[JSON], "{}"), ["Undescribed"]);
    }

    #[test]
    fn header_fields_are_checked() {
        assert_eq!(found(200, &[JSON], "{}"), ["header is required"]);
        assert_eq!(found(200, &[JSON, ("x-page", "one")], "{}").len(), 1);
        let fields = headers(&[JSON]);
        let unchecked =
            operation().response(StatusCode::OK, &fields, (true, |_: &HeaderName| false));
        assert!(matches!(unchecked, Ok(ResponseUse::Read(_))));
    }

    #[test]
    fn media_type_must_be_described_and_readable() {
        let html = ("content-type", "text/html");
        assert_eq!(
            found(200, &[html, PAGE], ""),
            ["header must be one of application/json"]
        );
        assert_eq!(found(200, &[PAGE], r#"{"id":1}"#), [""; 0], "single type");
        assert_eq!(found(400, &[PAGE], ""), ["header must be present"]);
        let binary = ("content-type", "application/octet-stream");
        assert_eq!(found(400, &[binary, PAGE], "x"), ["Undescribed"]);
        let gzip = ("content-encoding", "gzip");
        assert_eq!(
            found(200, &[JSON, PAGE, gzip], ""),
            ["header must be `identity`"]
        );
        assert_eq!(
            found(200, &[JSON, PAGE, ("content-range", "bytes 0-1/2")], ""),
            ["Pass"]
        );
        assert_eq!(found(204, &[PAGE], ""), ["Undescribed"]);
    }
}
