//! Findings about refused values. Their texts refer to the schema and never contain the value.

use std::fmt::Write as _;

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use policy::invalid::{Finding, Part};
use policy::logged::write_byte;
use serde_json::Value;

use crate::content;
use crate::limits;
use crate::members::{self, Members};
use crate::steps::Schema;

/// Maximum number of findings for one message.
pub(crate) const FINDINGS_MAX: usize = 20;
/// Maximum length of a pointer or a description, in bytes.
const TEXT_MAX: usize = 300;

/// Checks a value and the letter case of its member names. Adds at most [`FINDINGS_MAX`] findings.
pub(crate) fn check(
    (schema, members): (&Schema, &Members),
    value: &Value,
    part: &Part,
    findings: &mut Vec<Finding>,
) {
    match schema.is_valid(value) {
        Some(true) => check_names(value, members, part, findings),
        Some(false) => describe_all(schema, value, part, findings),
        None => findings.push(finding(part.clone(), "", TOO_DEEP)),
    }
}

/// Adds findings about members whose names differ from a described name only in letter case, or in
/// what follows a NUL. Some servers read them as the described member.
fn check_names(value: &Value, described: &Members, part: &Part, findings: &mut Vec<Finding>) {
    members::in_other_case(value, described, &mut |pointer, name| {
        let is_full = findings.len() >= FINDINGS_MAX;
        if !is_full {
            let detail = format!("has a name that some servers read as `{name}`");
            findings.push(finding_at(part.clone(), pointer, detail));
        }
        is_full
    });
}

/// Adds the findings about a value that does not match its schema.
fn describe_all(schema: &Schema, value: &Value, part: &Part, findings: &mut Vec<Finding>) {
    let mut found = schema.describe(value, |errors| {
        let mut found = Vec::new();
        for error in errors {
            add(&error, part, &mut found);
            if found.len() >= FINDINGS_MAX {
                break;
            }
        }
        found
    });
    if found.is_empty() {
        found.push(finding(part.clone(), "", NO_MATCH));
    }
    let left = FINDINGS_MAX.saturating_sub(findings.len());
    findings.extend(found.into_iter().take(left));
}

/// Checks a text in several interpretations. At least one must match; otherwise adds the findings
/// of the first interpretation.
pub(crate) fn check_readings(
    (schema, members): (&Schema, &Members),
    readings: impl Iterator<Item = Option<Value>>,
    part: &Part,
    findings: &mut Vec<Finding>,
) {
    let mut first: Option<Value> = None;
    for value in readings.flatten() {
        if first.as_ref() == Some(&value) {
            continue;
        }
        match schema.is_valid(&value) {
            Some(true) => return check_names(&value, members, part, findings),
            Some(false) => {
                first.get_or_insert(value);
            }
            None => return findings.push(finding(part.clone(), "", TOO_DEEP)),
        }
    }
    match first {
        Some(value) => describe_all(schema, &value, part, findings),
        None => findings.push(finding(part.clone(), "", NO_FORM)),
    }
}

const NO_MATCH: &str = "does not match the schema";
const TOO_DEEP: &str = "takes too much work to be checked";
const NO_FORM: &str = "does not have the described serialization, or gives a value twice";

/// Creates a finding about the member `name` of the part's value, or about the value itself if the
/// name is empty.
pub(crate) fn finding(part: Part, name: &str, detail: &str) -> Finding {
    let name = name.replace('~', "~0").replace('/', "~1");
    let pointer = match name.is_empty() {
        true => String::new(),
        false => format!("/{name}"),
    };
    Finding {
        part,
        pointer: fragment(&pointer),
        detail: detail.to_owned(),
    }
}

/// Creates a finding at a JSON pointer into the part's value.
pub(crate) fn finding_at(part: Part, pointer: &str, detail: String) -> Finding {
    Finding {
        part,
        pointer: fragment(pointer),
        detail: bounded(detail),
    }
}

/// Adds the findings for an error: one finding for each unexpected property, otherwise one finding.
fn add(error: &ValidationError<'_>, part: &Part, findings: &mut Vec<Finding>) {
    let at = error.instance_path().as_str();
    let mut push = |pointer: &str, detail: String| {
        if findings.len() < FINDINGS_MAX {
            findings.push(Finding {
                part: part.clone(),
                pointer: fragment(pointer),
                detail: bounded(detail),
            });
        }
    };
    match error.kind() {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            for name in unexpected {
                let name = name.replace('~', "~0").replace('/', "~1");
                push(
                    &format!("{at}/{name}"),
                    format!("is not described ({})", error.kind().keyword()),
                );
            }
        }
        Kind::Custom { keyword, message } if keyword == content::KEYWORD => {
            let (pointer, detail) = content::parts(message);
            push(&format!("{at}{pointer}"), detail.to_owned());
        }
        kind => push(at, describe(kind)),
    }
}

/// Pointer and text of an error inside a value. The pointer includes the first unexpected property,
/// if any.
pub(crate) fn described(error: &ValidationError<'_>) -> (String, String) {
    let mut found = Vec::new();
    add(error, &Part::Body, &mut found);
    let detail = found.into_iter().next().map(|one| one.detail);
    let mut pointer = error.instance_path().as_str().to_owned();
    if let Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } =
        error.kind()
        && let Some(name) = unexpected.first()
    {
        pointer.push('/');
        pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
    }
    (pointer, detail.unwrap_or_else(|| NO_MATCH.to_owned()))
}

/// Text of a finding for an error of the JSON Schema library.
fn describe(kind: &Kind) -> String {
    let list = |values: &Value| {
        let values = values.as_array().map(Vec::as_slice).unwrap_or_default();
        let texts: Vec<String> = values.iter().map(Value::to_string).collect();
        texts.join(", ")
    };
    match kind {
        Kind::AdditionalItems { limit } => format!("must have at most {limit} items"),
        Kind::AnyOf { .. } => "must match a schema of `anyOf`".to_owned(),
        Kind::OneOfNotValid { .. } => "must match a schema of `oneOf`".to_owned(),
        Kind::OneOfMultipleValid { .. } => {
            "must match exactly one schema of `oneOf`, and matches several".to_owned()
        }
        Kind::Constant { expected_value } => format!("must be {expected_value}"),
        Kind::Contains => "must have an item that matches `contains`".to_owned(),
        Kind::Enum { options } => format!("must be one of {}", list(options)),
        Kind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("must be greater than {limit}"),
        Kind::Maximum { limit } => format!("must be at most {limit}"),
        Kind::Minimum { limit } => format!("must be at least {limit}"),
        Kind::FalseSchema => "must be absent".to_owned(),
        Kind::Format { format } => format!("must have the format `{format}`"),
        Kind::MaxItems { limit } => format!("must have at most {limit} items"),
        Kind::MinItems { limit } => format!("must have at least {limit} items"),
        Kind::MaxLength { limit } => format!("must have at most {limit} characters"),
        Kind::MinLength { limit } => format!("must have at least {limit} characters"),
        Kind::MaxProperties { limit } => format!("must have at most {limit} properties"),
        Kind::MinProperties { limit } => format!("must have at least {limit} properties"),
        Kind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}"),
        Kind::Not { .. } => "must not match the schema of `not`".to_owned(),
        Kind::Pattern { pattern } => format!("must match the pattern `{pattern}`"),
        Kind::PropertyNames { .. } => "has a name that `propertyNames` does not allow".to_owned(),
        Kind::Required { property } => format!("must have the property {property}"),
        Kind::Type { kind } => {
            let mut text = String::from("must be of type ");
            match kind {
                TypeKind::Single(one) => {
                    let _infallible = write!(text, "{one}");
                }
                TypeKind::Multiple(all) => {
                    for (index, one) in all.iter().enumerate() {
                        let or = if index > 0 { " or " } else { "" };
                        let _infallible = write!(text, "{or}{one}");
                    }
                }
            }
            text
        }
        Kind::UnevaluatedItems { .. } => "has items that are not described".to_owned(),
        Kind::UniqueItems => "must have no equal items".to_owned(),
        Kind::Custom { keyword, message } if keyword == limits::KEYWORD => message.clone(),
        Kind::AdditionalProperties { .. }
        | Kind::UnevaluatedProperties { .. }
        | Kind::BacktrackLimitExceeded { .. }
        | Kind::RegexEngineFailure { .. }
        | Kind::ContentEncoding { .. }
        | Kind::ContentMediaType { .. }
        | Kind::Custom { .. }
        | Kind::FromUtf8 { .. }
        | Kind::Referencing(_) => format!("does not match `{}`", kind.keyword()),
    }
}

/// Encodes a JSON pointer (RFC 6901) as a URI fragment, as in RFC 9457.
fn fragment(pointer: &str) -> String {
    let mut out = String::with_capacity(pointer.len() + 1);
    out.push('#');
    for byte in pointer.bytes() {
        if out.len() > TEXT_MAX {
            out.push('…');
            break;
        }
        write_byte(byte, &mut out);
    }
    out
}

fn bounded(mut text: String) -> String {
    if text.len() > TEXT_MAX {
        text.truncate(text.floor_char_boundary(TEXT_MAX));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_uri_fragments_of_bounded_length() {
        assert_eq!(fragment(""), "#");
        assert_eq!(fragment("/a b/~1/ä"), "#/a%20b/~1/%C3%A4");
        assert!(fragment(&"/a".repeat(10_000)).len() < TEXT_MAX + 10);
        assert!(bounded("ä".repeat(1_000)).len() <= TEXT_MAX + 3);
    }
}
