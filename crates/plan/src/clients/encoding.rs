//! `encoding` of media types: how the properties of a form are written.

use bundle::ir::Value;
use model::contract::joint::Joint;

/// Media type of a part with a scalar value.
const TEXT: &str = "text/plain";

/// Properties of a form that are sent as JSON (OpenAPI 3.1, Encoding Object), inside a message that is
/// text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum JsonFields {
    /// The schema does not describe a form.
    None,
    /// Objects, and items of lists that are objects.
    Objects,
    /// Also scalars: an encoding has the content type JSON.
    All,
}

/// Compares the encodings of the properties that both sides have. `None` if they are equal. False if
/// only lists of `contentType` differ, and each sent type is in the list of its receiver. A written
/// default is equal to an absent key (OpenAPI 3.1.1, section 4.8.15). A property that only one side
/// has is reported with its schema. `part`: name of the message's part, with the media type.
/// `sent` and `received`: media type and its `encoding`, of the side that sends messages (the old
/// side for requests), and of the side that must understand them.
pub(super) fn is_break(
    joint: &Joint,
    part: &str,
    (sent, was): (&Value, Option<&Value>),
    (received, is): (&Value, Option<&Value>),
) -> Option<bool> {
    let all = |of: Option<&Value>| -> Vec<(Box<str>, Value)> {
        let entries = of.map(|of| joint.at(of).entries());
        entries.unwrap_or_default().to_vec()
    };
    let has = |media: &Value, name: &str| {
        // A schema without `properties` allows properties of any name.
        properties(joint, media).is_none_or(|all| all.get(name).is_some())
    };
    let (was, is) = (all(was), all(is));
    let mut difference = None;
    for (name, _) in was.iter().chain(&is) {
        let find = |all: &[(Box<str>, Value)], media: &Value| {
            let found = all.iter().find(|(own, _)| own == name);
            found.and_then(|(_, value)| without_defaults(joint, part, (media, name), value))
        };
        match (find(&was, sent), find(&is, received)) {
            (Some(was), Some(is)) if joint.same(&was, &is) => {}
            (Some(was), Some(is)) if accepts_types(joint, &was, &is) => {
                difference.get_or_insert(false);
            }
            (None, None) => {}
            (Some(_), Some(_)) => return Some(true),
            _ if has(sent, name) && has(received, name) => return Some(true),
            _ => {}
        }
    }
    difference
}

/// Fields of a form with this media type that are sent as JSON: by their schema, or by the
/// `contentType` of the old or the new encoding. `sides`: both descriptions of the media type.
pub(super) fn json_fields(joint: &Joint, name: &str, sides: (&Value, &Value)) -> JsonFields {
    if !name.contains("x-www-form-urlencoded") && !name.starts_with("multipart/") {
        return JsonFields::None;
    }
    let encodings = [sides.0, sides.1].map(|side| side.get("encoding").map(|all| joint.at(all)));
    let encodings = encodings.into_iter().flatten().flat_map(Value::entries);
    let mut types = encodings.filter_map(|(_, one)| joint.at(one).get("contentType"));
    let is_json =
        |types: &Value| matches!(joint.at(types), Value::Text(text) if text.contains("json"));
    match types.any(is_json) {
        true => JsonFields::All,
        false => JsonFields::Objects,
    }
}

/// True if two encodings differ only in `contentType`, and the list of `received` has each type of
/// `sent`.
fn accepts_types(joint: &Joint, sent: &Value, received: &Value) -> bool {
    let types = |encoding: &Value| match encoding.get("contentType").map(|types| joint.at(types)) {
        Some(Value::Text(types)) => Some(types.to_ascii_lowercase()),
        _ => None,
    };
    let rest = |encoding: &Value| {
        let entries = encoding.entries().iter();
        Value::Map(
            entries
                .filter(|(key, _)| &**key != "contentType")
                .cloned()
                .collect(),
        )
    };
    let (Some(sent_types), Some(known)) = (types(sent), types(received)) else {
        return false;
    };
    let is_known = |one: &str| known.split(',').any(|other| covers(other.trim(), one));
    joint.same(&rest(sent), &rest(received)) && sent_types.split(',').map(str::trim).all(is_known)
}

/// True if a media type is equal to another one, or a range that contains it.
fn covers(range: &str, name: &str) -> bool {
    let main = range.strip_suffix("/*");
    range == name || range == "*/*" || main.is_some_and(|main| name.split('/').next() == Some(main))
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
