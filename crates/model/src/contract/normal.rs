//! Normal form of a schema, in which different spellings of the same schema are equal. A rewrite
//! must keep the meaning of the schema for every value, and plans need not report it.

use bundle::ir::Value;

/// Surroundings of a schema on which its rewrite depends.
pub(super) struct Surroundings<'g> {
    /// Returns the value of the node with this number.
    pub(super) at: &'g dyn Fn(u32) -> Option<&'g Value>,
    /// True if a schema of the document has `unevaluatedProperties`. The effect of this keyword
    /// depends on the properties that other schemas admit.
    pub(super) counts_properties: bool,
    /// True if a schema of the document has `unevaluatedItems`.
    pub(super) counts_items: bool,
}

/// Result of [`rewritten`].
pub(super) enum Rewritten {
    /// The schema is in normal form.
    No,
    /// Replacement of the schema by another spelling.
    To(Value),
    /// The schema has the same meaning as another node.
    Same(u32),
}

type Entries = Vec<(Box<str>, Value)>;

/// Rewrites a schema once. Inner schemas that are rewritten later may allow further rewrites.
pub(super) fn rewritten(schema: &Value, around: &Surroundings<'_>) -> Rewritten {
    let entries = match schema {
        Value::Bool(true) => return Rewritten::To(Value::Map(Vec::new())),
        Value::Map(entries) => entries,
        _ => return Rewritten::No,
    };
    let has = |key: &str| entries.iter().any(|(name, _)| **name == *key);
    let mut changed = false;
    let mut kept: Entries = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        if has_no_effect(key, value, &has, around) {
            changed = true;
            continue;
        }
        let next = match &**key {
            "allOf" => members(value, around),
            "type" => types(value),
            "enum" if !has("const") && !has("nullable") => {
                if let [only] = value.items() {
                    kept.push(("const".into(), only.clone()));
                    changed = true;
                    continue;
                }
                None
            }
            _ => None,
        };
        changed |= next.is_some();
        match next {
            Some(Value::Set(members)) if members.is_empty() => {}
            Some(next) => kept.push((key.clone(), next)),
            None => kept.push((key.clone(), value.clone())),
        }
    }
    if let [(key, value)] = &kept[..]
        && let Some(only) = wrapped(key, value)
    {
        return Rewritten::Same(only);
    }
    match changed {
        true => {
            kept.sort_by(|a, b| a.0.cmp(&b.0));
            Rewritten::To(Value::Map(kept))
        }
        false => Rewritten::No,
    }
}

/// Node of the only member of `allOf`, `anyOf` or `oneOf`, or of the target of `$ref`. `None` for
/// other keys, and for lists of several members.
fn wrapped(key: &str, value: &Value) -> Option<u32> {
    let only = match (key, value.items()) {
        ("$ref", _) => value,
        ("allOf" | "anyOf" | "oneOf", [only]) => only,
        _ => return None,
    };
    match only {
        Value::Node(node) => Some(*node),
        _ => None,
    }
}

/// True if a keyword with this value has no effect.
fn has_no_effect(
    key: &str,
    value: &Value,
    has: &dyn Fn(&str) -> bool,
    around: &Surroundings<'_>,
) -> bool {
    let counts = around.counts_properties || around.counts_items;
    let is_empty = || match resolved(value, around) {
        Some(Value::Map(entries)) => entries.is_empty(),
        Some(value @ (Value::List(_) | Value::Set(_))) => value.items().is_empty(),
        _ => false,
    };
    let is_any = || is_any(value, around);
    match key {
        "required" | "properties" | "patternProperties" | "dependentRequired"
        | "dependentSchemas" | "prefixItems" | "allOf" => is_empty(),
        "additionalProperties" => !around.counts_properties && is_any(),
        "items" => !around.counts_items && is_any(),
        "propertyNames" => is_any(),
        "not" => resolved(value, around) == Some(&Value::Bool(false)),
        "then" | "else" => !has("if") || !counts && is_any(),
        "if" => !counts && !has("then") && !has("else"),
        "minContains" | "maxContains" => !has("contains"),
        "exclusiveMinimum" | "exclusiveMaximum" => *value == Value::Bool(false),
        _ => false,
    }
}

/// Members of `allOf` without schemas that admit every value. `None` if nothing is left out.
fn members(value: &Value, around: &Surroundings<'_>) -> Option<Value> {
    let Value::Set(members) = value else {
        return None;
    };
    let kept = members.iter().filter(|member| !is_any(member, around));
    let kept: Vec<Value> = kept.cloned().collect();
    (kept.len() < members.len()).then_some(Value::Set(kept))
}

/// Simplifies a list of types: removes `integer` beside `number`, and replaces a list of one name
/// by the name. `None` if the list is already simple.
fn types(value: &Value) -> Option<Value> {
    let Value::Set(names) = value else {
        return None;
    };
    let is = |name: &Value, text: &str| matches!(name, Value::Text(own) if **own == *text);
    let has_number = names.iter().any(|name| is(name, "number"));
    let kept = names
        .iter()
        .filter(|name| !has_number || !is(name, "integer"));
    let kept: Vec<Value> = kept.cloned().collect();
    match &kept[..] {
        [only] => Some(only.clone()),
        _ if kept.len() < names.len() => Some(Value::Set(kept)),
        _ => None,
    }
}

fn resolved<'v, 'g: 'v>(value: &'v Value, around: &Surroundings<'g>) -> Option<&'v Value> {
    match value {
        Value::Node(node) => (around.at)(*node),
        value => Some(value),
    }
}

/// True for a schema that admits every value.
fn is_any(value: &Value, around: &Surroundings<'_>) -> bool {
    let Value::Node(node) = value else {
        return false;
    };
    match (around.at)(*node) {
        Some(Value::Bool(value)) => *value,
        Some(Value::Map(entries)) => entries.is_empty(),
        _ => false,
    }
}
