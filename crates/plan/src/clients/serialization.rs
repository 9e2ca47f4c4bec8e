//! Serialisation of parameters, header fields and media types: changed keys without an effect.

use bundle::ir::Value;
use model::contract::joint::Joint;
use validator::containment::admits;

use super::schema::{Part, Role};

/// Maximum number of schemas that are read to find the types of a value.
pub(super) const SCHEMAS_MAX: u32 = 1_000;

/// True if a changed key of a parameter, header field or media type has no effect on clients that
/// follow the old contract.
pub(super) fn is_harmless(
    joint: &Joint,
    key: &str,
    (old, new): (&Value, &Value),
    role: Role,
) -> bool {
    match key {
        // gwd reads `deepObject` in one way.
        "explode" if is_deep(old) && is_deep(new) => true,
        // `explode` has an effect on lists and objects, in the style `simple` on objects only
        // (OpenAPI 3.1.1, section 4.8.12.4).
        "explode" => {
            let has_style = old.get("style").or(new.get("style")).is_some();
            let kinds: &[&str] = match is_simple(role.part) && !has_style {
                true => &["object"],
                false => &["array", "object"],
            };
            let is_single = |side: &Value| {
                let schema = side.get("schema");
                schema.is_some_and(|schema| excludes(joint, schema, kinds, &mut { SCHEMAS_MAX }))
            };
            // The schema's own difference says if a single value can be read as a list.
            is_single(if role.is_response { new } else { old })
        }
        // Only query parameters and cookies can be present without a value.
        "allowEmptyValue" => {
            let (narrow, wide) = if role.is_response {
                (new, old)
            } else {
                (old, new)
            };
            is_simple(role.part) || narrow.get(key).is_none() || accepts_empty(joint, wide)
        }
        // Servers read percent-encoded characters as before.
        "allowReserved" => !role.is_response && new.get(key).is_some(),
        _ => false,
    }
}

/// True for a part whose default is the style `simple`.
fn is_simple(part: Part) -> bool {
    matches!(
        part,
        Part::HeaderParameter | Part::PathParameter | Part::ResponseHeader
    )
}

fn is_deep(side: &Value) -> bool {
    side.get("style") == Some(&Value::Text("deepObject".into()))
}

/// True if a parameter accepts the empty text as a value of its schema. gwd reads the text as
/// `null` if the schema allows no strings, and as one item of a list.
fn accepts_empty(joint: &Joint, side: &Value) -> bool {
    let has = |key: &str| side.get(key).is_some();
    let Some(schema) = side
        .get("schema")
        .filter(|_| !has("style") && !has("explode"))
    else {
        return false;
    };
    let admits = |schema, value| admits(joint.nodes(), schema, &value) == Some(true);
    let is_null = || excludes(joint, schema, &["string"], &mut { SCHEMAS_MAX });
    let list = joint.at(schema);
    let is_list = list.get("type") == Some(&Value::Text("array".into()));
    let mut keys = list.entries().iter().map(|(key, _)| &**key);
    let item = list.get("items").filter(|_| is_list);
    let item = item.filter(|_| keys.all(|key| matches!(key, "items" | "type")));
    admits(item.unwrap_or(schema), Value::Text("".into()))
        || is_null() && admits(schema, Value::Null)
}

/// True if no value of a schema has one of these types. Reads `type`, `$ref`, `allOf`, `anyOf` and
/// `oneOf` of at most `left` schemas.
pub(super) fn excludes(joint: &Joint, schema: &Value, kinds: &[&str], left: &mut u32) -> bool {
    let Some(rest) = left.checked_sub(1) else {
        return false;
    };
    *left = rest;
    let schema = joint.at(schema);
    if let Some(kind) = schema.get("type").map(|kind| joint.at(kind)) {
        let is_one = |kind: &Value| matches!(kind, Value::Text(name) if kinds.contains(&&**name));
        return !is_one(kind) && !kind.items().iter().any(is_one);
    }
    let members = |key: &str| schema.get(key).map(|list| joint.at(list).items());
    let all = members("allOf").unwrap_or_default().iter();
    if all
        .chain(schema.get("$ref"))
        .any(|member| excludes(joint, member, kinds, left))
    {
        return true;
    }
    ["anyOf", "oneOf"].into_iter().any(|key| {
        let members = members(key).unwrap_or_default();
        !members.is_empty() && members.iter().all(|one| excludes(joint, one, kinds, left))
    })
}
