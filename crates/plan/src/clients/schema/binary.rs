//! Writes binary and base64 data of both schemas in one form. OpenAPI 3.0 marks them with `format`
//! (`binary`, `byte`), from 3.1 on `contentMediaType` and `contentEncoding` do (OpenAPI 3.1.1,
//! section 4.4.3.1, "Migrating Binary Descriptions from OAS 3.0").

use bundle::ir::Value;
use model::contract::joint::Joint;

const TYPE: &str = "type";
const FORMAT: &str = "format";
const MEDIA_TYPE: &str = "contentMediaType";
const ENCODING: &str = "contentEncoding";

/// Returns both schemas. If only one of them has the form of 3.0 and the other one describes the
/// same data in the form of 3.1, the first one gets the keywords of the other one. `is_text`: true
/// if messages contain the data itself, and not a JSON value.
pub(super) fn in_one_form(
    joint: &Joint,
    (old, new): (Value, Value),
    is_text: bool,
) -> (Value, Value) {
    match (
        restated(joint, (&old, &new), is_text),
        restated(joint, (&new, &old), is_text),
    ) {
        (Some(old), _) => (old, new),
        (None, Some(new)) => (old, new),
        (None, None) => (old, new),
    }
}

/// Schema with `format: binary` or `byte`, in the form of the other schema. `None` if the schema has
/// no such format, or if the other one does not describe the same data.
fn restated(joint: &Joint, (schema, other): (&Value, &Value), is_text: bool) -> Option<Value> {
    let (Value::Map(entries), Value::Map(_)) = (schema, other) else {
        return None;
    };
    let text = |schema: &Value, key: &str| match schema.get(key).map(|value| joint.at(value)) {
        Some(Value::Text(text)) => Some(text.to_ascii_lowercase()),
        _ => None,
    };
    let is_string = |schema: &Value| text(schema, TYPE).as_deref() == Some("string");
    if !is_string(schema) || other.get(FORMAT).is_some() {
        return None;
    }
    let taken: &[&str] = match text(schema, FORMAT)?.as_str() {
        // Any bytes: of a media type, or without any keyword.
        "binary"
            if other.get(ENCODING).is_none()
                && (is_string(other) && other.get(MEDIA_TYPE).is_some()
                    || is_text && is_any(other)) =>
        {
            &[FORMAT, TYPE, MEDIA_TYPE]
        }
        "byte" if is_string(other) && text(other, ENCODING).as_deref() == Some("base64") => {
            &[FORMAT, MEDIA_TYPE, ENCODING]
        }
        _ => return None,
    };
    let own = entries.iter().filter(|(key, _)| !taken.contains(&&**key));
    let theirs = other.entries().iter();
    let theirs = theirs.filter(|(key, _)| taken.contains(&&**key));
    let mut all: Vec<(Box<str>, Value)> = own.chain(theirs).cloned().collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    Some(Value::Map(all))
}

/// True for a schema that describes at most the media type of its value.
fn is_any(schema: &Value) -> bool {
    let mut entries = schema.entries().iter();
    entries.all(|(key, _)| &**key == MEDIA_TYPE || super::is_annotation(key))
}
