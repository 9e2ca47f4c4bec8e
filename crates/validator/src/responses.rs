//! Checks of an operation's responses: status, header fields and kind of the body.

use http::{HeaderMap, HeaderName, StatusCode};
use policy::invalid::{Finding, Part};

use crate::operation::Operation;
use crate::parameters::{self, Head, field_names};
use crate::response::{Response, ResponseUse};
use crate::words;

impl Operation {
    /// Most specific description of responses with this status, with its index.
    fn described(&self, status: StatusCode) -> Option<(usize, &Response)> {
        let described = self.responses.iter().enumerate();
        let described = described.filter_map(|(index, one)| {
            let rank = one.statuses.rank(status.as_u16())?;
            Some((rank, index, one))
        });
        let best = described.max_by_key(|(rank, ..)| *rank);
        best.map(|(_, index, one)| (index, one))
    }

    /// Checks status and header fields of a response. `has_body`: false for a response without
    /// content (RFC 9110 §6.4.1). `is_checked`: false for the name of a field that the gateway sets
    /// or removes.
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
        let Some((index, response)) = self.described(status) else {
            if self.responses.is_empty() || !status.is_success() {
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
        field_names::check(&response.headers, &head, &mut findings);
        findings.retain(|finding| match &finding.part {
            Part::Header(name) => {
                HeaderName::from_bytes(name.as_bytes()).is_ok_and(|name| is_checked(&name))
            }
            _ => true,
        });
        if !findings.is_empty() {
            return Err(findings);
        }
        if !has_body {
            return Ok(ResponseUse::Pass);
        }
        let kind = response.kind(index, headers);
        kind.map_err(|finding| vec![finding])
    }
}

#[cfg(test)]
mod tests {
    use bundle::ir::{self, ContractOperation, Header, MediaType as Described, Set, Value};
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
        Value::Map(entries)
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
                        definition: map(&[("schema", Value::Node(0))]),
                    })
                    .collect(),
            )
            .unwrap(),
            headers: Set::new(vec![Header {
                name: "x-page".into(),
                required: true,
                definition: page.clone(),
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
            security: None,
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

    /// Checks a response. Returns the findings as `PART detail`, or the [`ResponseUse`] if the body
    /// is not read.
    fn found(status: u16, fields: &[(&'static str, &'static str)], body: &str) -> Vec<String> {
        let operation = operation();
        let status = StatusCode::from_u16(status).unwrap();
        let fields = headers(fields);
        let findings = match operation.response(status, &fields, (true, |_: &HeaderName| true)) {
            Err(findings) => findings,
            Ok(ResponseUse::Read(kind)) => operation.body(&kind, body.as_bytes()),
            Ok(other) => return vec![format!("{other:?}")],
        };
        let lines = findings
            .iter()
            .map(|one| format!("{} {}", one.part.place(), one.detail));
        lines.collect()
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
            found(200, &[JSON, PAGE], ""),
            ["body is not valid JSON"],
            "an empty body"
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
        // No exception for 206, because the gateway never requests a part of the content from the
        // upstream.
        assert_eq!(found(206, &[JSON], "{}"), ["status 206 is not described"]);
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
        let part = ("content-range", "bytes 0-1/2");
        assert_eq!(found(200, &[JSON, PAGE, part], "{").len(), 1);
        assert_eq!(found(204, &[PAGE], ""), ["Undescribed"]);
    }
}
