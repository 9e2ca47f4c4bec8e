//! `encoding` of media types: how the properties of a form are written.

use bundle::ir::Value;
use model::contract::joint::Joint;

/// Media type of a part with a scalar value.
const TEXT: &str = "text/plain";

/// True if the encodings of the properties that both sides have are equal. A written default is
/// equal to an absent key (OpenAPI 3.1.1, section 4.8.15). A property that only one side has is
/// reported with its schema. `part`: name of the message's part, with the media type. `old` and
/// `new`: media type and its `encoding`.
pub(super) fn is_same(
    joint: &Joint,
    part: &str,
    (old, was): (&Value, Option<&Value>),
    (new, is): (&Value, Option<&Value>),
) -> bool {
    let all = |of: Option<&Value>| -> Vec<(Box<str>, Value)> {
        let entries = of.map(|of| joint.at(of).entries());
        entries.unwrap_or_default().to_vec()
    };
    let has = |media: &Value, name: &str| {
        // A schema without `properties` allows properties of any name.
        properties(joint, media).is_none_or(|all| all.get(name).is_some())
    };
    let (was, is) = (all(was), all(is));
    let mut names = was.iter().chain(&is).map(|(name, _)| name);
    names.all(|name| {
        let find = |all: &[(Box<str>, Value)], media: &Value| {
            let found = all.iter().find(|(own, _)| own == name);
            found.and_then(|(_, value)| without_defaults(joint, part, (media, name), value))
        };
        match (find(&was, old), find(&is, new)) {
            (Some(was), Some(is)) => joint.same(&was, &is),
            (None, None) => true,
            _ => !(has(old, name) && has(new, name)),
        }
    })
}

fn properties<'j>(joint: &'j Joint, media: &'j Value) -> Option<&'j Value> {
    let schema = media.get("schema").map(|schema| joint.at(schema))?;
    schema.get("properties").map(|all| joint.at(all))
}

/// Encoding of a property without the keys that have the default value. `None` without other keys.
fn without_defaults(
    joint: &Joint,
    part: &str,
    (media, name): (&Value, &str),
    encoding: &Value,
) -> Option<Value> {
    let encoding = joint.at(encoding);
    let is_form = encoding
        .get("style")
        .is_none_or(|style| *joint.at(style) == Value::Text("form".into()));
    let property = properties(joint, media).and_then(|all| all.get(name));
    let default = property.and_then(|property| content_type(joint.at(property)));
    // An explicit style replaces the media type of a list or an object, and every `contentType`.
    let is_scalar = default == Some(TEXT) && encoding.get("contentType").is_none();
    let is_plain = is_scalar && part.contains("x-www-form-urlencoded");
    let is_default = |key: &str, value: &Value| match key {
        "style" => is_plain && is_form,
        "explode" => is_plain && *value == Value::Bool(is_form),
        "contentType" => {
            part.contains("multipart/")
                && matches!(value, Value::Text(text) if default == Some(&**text))
        }
        _ => false,
    };
    let entries = encoding.entries().iter();
    let kept = entries.filter(|(key, value)| !is_default(key, joint.at(value)));
    let kept: Vec<(Box<str>, Value)> = kept.cloned().collect();
    (!kept.is_empty()).then_some(Value::Map(kept))
}

/// Media type of the part for a property with this schema. `None` if it is not certain.
fn content_type(schema: &Value) -> Option<&'static str> {
    let is_encoded = ["format", "contentEncoding", "contentMediaType"];
    if is_encoded.iter().any(|key| schema.get(key).is_some()) {
        return None;
    }
    match schema.get("type")? {
        Value::Text(name) => match &**name {
            "object" => Some("application/json"),
            "string" | "integer" | "number" | "boolean" => Some(TEXT),
            _ => None,
        },
        _ => None,
    }
}
