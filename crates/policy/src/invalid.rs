//! Results of the validation of messages against the API description: refusals and findings.

use std::fmt;

use crate::reject::Reject;

/// Refusal: the request does not match the description of the operation.
pub static REQUEST: Reject = Reject::new(
    400,
    "request_invalid",
    "The request does not match the description of the API",
)
.with_meaning("the request does not match the description of its operation (`validate`)");
/// Refusal: the operation does not accept the media type or content coding of the body.
pub static MEDIA_TYPE: Reject = Reject::new(
    415,
    "media_type_unsupported",
    "The body has a media type that the operation does not accept",
)
.with_meaning("the body has a media type that the operation does not describe (`validate`)");
/// Refusal: the validator of the operation was not ready in time.
pub static UNAVAILABLE: Reject = Reject::new(
    503,
    "validator_unavailable",
    "The message cannot be validated now",
)
.with_meaning("the request cannot be checked against its description now (`validate`)");
/// Refusal: the response of the upstream does not match the description of the operation.
pub static RESPONSE: Reject = Reject::new(
    502,
    "response_invalid",
    "The service's response does not match the description of the API",
);

/// Refusal: the body is longer than the maximum for validation.
pub static TOO_LARGE: Reject = Reject::new(413, "body_too_large", "The body is too large");

/// Refusals that only validation uses.
pub static REJECTS: &[&Reject] = &[&REQUEST, &MEDIA_TYPE, &UNAVAILABLE, &RESPONSE];

/// Part of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The body.
    Body,
    /// A path parameter.
    Path(Box<str>),
    /// A query parameter.
    Query(Box<str>),
    /// A header field.
    Header(Box<str>),
    /// A cookie.
    Cookie(Box<str>),
    /// The status of a response.
    Status,
}

/// Difference between a message and its description. Contains no values of the message; the pointer
/// contains only names and indices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Part of the message.
    pub part: Part,
    /// Location in the value of the part: a JSON pointer (RFC 6901) as a URI fragment.
    pub pointer: String,
    /// Rule of the schema that the value does not match.
    pub detail: String,
}

/// Result for a message that does not match the description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Refusal of the message.
    pub reject: &'static Reject,
    /// Differences between the message and the description, at most 20.
    pub findings: Vec<Finding>,
}

// === impl Part ===

impl Part {
    /// Location of the part: the value of `in` in OpenAPI, or `body`.
    #[must_use]
    pub fn place(&self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Path(_) => "path",
            Self::Query(_) => "query",
            Self::Header(_) => "header",
            Self::Cookie(_) => "cookie",
            Self::Status => "status",
        }
    }

    /// Name of the parameter, field or cookie. `None` for the body, the whole path and the whole
    /// query.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Body | Self::Status => None,
            Self::Path(name) | Self::Query(name) | Self::Header(name) | Self::Cookie(name) => {
                Some(&**name).filter(|name| !name.is_empty())
            }
        }
    }
}

// === impl Invalid ===

impl Invalid {
    /// Text of the first three findings, for logs.
    #[must_use]
    pub fn summary(&self) -> String {
        let first = self.findings.iter().take(3).map(|finding| {
            let (part, pointer) = (finding.part.place(), &finding.pointer);
            let name = finding.part.name().unwrap_or_default();
            format!("{part} {name}{pointer} {}", finding.detail)
        });
        first.collect::<Vec<_>>().join("; ")
    }
}

/// Formats the findings as the array of the member `errors` of a problem document (RFC 9457).
impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (index, finding) in self.findings.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{{\"in\":\"{}\"", finding.part.place())?;
            if let Some(name) = finding.part.name() {
                f.write_str(",\"name\":")?;
                string(name, f)?;
            }
            f.write_str(",\"pointer\":")?;
            string(&finding.pointer, f)?;
            f.write_str(",\"detail\":")?;
            string(&finding.detail, f)?;
            f.write_str("}")?;
        }
        f.write_str("]")
    }
}

/// Writes a JSON string (RFC 8259 §7).
fn string(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_written_as_json() {
        let finding = |part: Part| Finding {
            part,
            pointer: "#/a%20b".into(),
            detail: "must match the pattern `\"\\d\n`".into(),
        };
        let invalid = Invalid {
            reject: &REQUEST,
            findings: vec![finding(Part::Body), finding(Part::Query("q\"".into()))],
        };
        assert_eq!(
            invalid.to_string(),
            "[{\"in\":\"body\",\"pointer\":\"#/a%20b\",\"detail\":\"must match the pattern `\\\"\\\\d\\u000a`\"},\
{\"in\":\"query\",\"name\":\"q\\\"\",\"pointer\":\"#/a%20b\",\"detail\":\"must match the pattern `\\\"\\\\d\\u000a`\"}]"
        );
    }
}
