//! Removes the wrappers of a schema that have no effect: an `allOf` with one member, members of
//! `allOf` that admit everything, and a `$ref` with only annotations beside it.

use bundle::ir::Value;
use model::contract::joint::Joint;

/// Maximum number of nested wrappers that are removed.
const DEPTH_MAX: usize = 16;

/// Returns the schema of a node without its outer wrappers (see the module documentation).
pub(super) fn of(joint: &Joint, node: &Value) -> Value {
    let mut at = node.clone();
    for _ in 0..DEPTH_MAX {
        let Some(next) = opened(joint, &at) else {
            break;
        };
        at = next;
    }
    at
}

/// Removes the outermost wrapper from a schema. `None` if the schema has no wrapper.
fn opened(joint: &Joint, schema: &Value) -> Option<Value> {
    let Value::Map(entries) = schema else {
        return None;
    };
    let key = ["allOf", "$ref"]
        .into_iter()
        .find(|key| schema.get(key).is_some())?;
    let value = schema.get(key)?;
    let members: Vec<&Value> = match (key, value) {
        ("$ref", Value::Node(_)) => vec![value],
        ("$ref", _) => return None,
        _ => joint.at(value).items().iter().collect(),
    };
    let others = entries.iter().filter(|(name, _)| **name != *key);
    let others: Vec<(Box<str>, Value)> = others.cloned().collect();
    let effective: Vec<&Value> = members
        .iter()
        .copied()
        .filter(|member| !is_any(joint.at(member)))
        .collect();
    let inner = match effective[..] {
        [] => return Some(Value::Map(others)),
        [one] => joint.at(one),
        _ if effective.len() < members.len() => {
            let kept = Value::Set(effective.into_iter().cloned().collect());
            let mut all = others;
            all.push((key.into(), kept));
            all.sort_by(|a, b| a.0.cmp(&b.0));
            return Some(Value::Map(all));
        }
        _ => return None,
    };
    if !others.iter().all(|(name, _)| is_annotation(name)) || !matches!(inner, Value::Map(_)) {
        return None;
    }
    let mut all = others;
    for (name, value) in inner.entries() {
        if !all.iter().any(|(known, _)| known == name) {
            all.push((name.clone(), value.clone()));
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Some(Value::Map(all))
}

/// True for a schema that admits every value.
fn is_any(schema: &Value) -> bool {
    match schema {
        Value::Bool(value) => *value,
        Value::Map(entries) => entries.iter().all(|(name, _)| is_annotation(name)),
        _ => false,
    }
}

/// True for keywords that admit every value.
pub(crate) fn is_annotation(key: &str) -> bool {
    matches!(
        key,
        "readOnly"
            | "writeOnly"
            | "deprecated"
            | "default"
            | "xml"
            | "x-sunset"
            | "x-stability-level"
    )
}
