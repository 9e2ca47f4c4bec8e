//! Conversion of a shape to JSON Schema (draft 2020-12), for editors.
//!
//! The schema is as strict as [`super::check`] where JSON Schema can express this, and never
//! stricter. A variable (`${var:NAME}`) is allowed for every scalar, `null` for every optional
//! value.

use serde_json::{Map, Value, json};

use super::{NameKeys, Need, Object, Rule, Shape, Variant};

const VARIABLE: &str = r"\$\{var:[A-Za-z0-9_]+\}";
const SECRET: &str = r"\$\{(env:[A-Za-z0-9_]+|file:/[^}]*)\}";
/// Pattern of a string that is not a reference such as `${env:NAME}`.
const LITERAL: &str = r"(?!\$\{)[\s\S]*";
const NAME: &str = "[A-Za-z0-9][A-Za-z0-9._-]{0,127}";

/// Returns the JSON Schema of a shape.
#[must_use]
pub fn json_schema(shape: &Shape) -> Value {
    match shape {
        Shape::Any => json!({}),
        Shape::Bool => or_variable(&json!({"type": "boolean"})),
        Shape::True => or_variable(&json!({"const": true})),
        Shape::Text | Shape::NamePattern(_) => scalar_or(&[VARIABLE, LITERAL]),
        Shape::Form(form) | Shape::Expression(form) => pattern(&[form.pattern, VARIABLE]),
        Shape::Name(what) => {
            let mut schema = pattern(&[NAME, VARIABLE]);
            schema["description"] = format!("the name of {what}").into();
            schema
        }
        Shape::WordOrName(word, what) => {
            let mut schema = pattern(&[NAME, VARIABLE]);
            schema["description"] = format!("`{word}`, or the name of {what}").into();
            schema
        }
        Shape::Secret => pattern(&[SECRET]),
        Shape::TextOrSecret => scalar_or(&[SECRET, VARIABLE, LITERAL]),
        Shape::Integer(min, i64::MAX) => or_variable(&json!({"type": "integer", "minimum": min})),
        Shape::Integer(min, max) => {
            or_variable(&json!({"type": "integer", "minimum": min, "maximum": max}))
        }
        Shape::Duration => pattern(&["[0-9]+(ms|s|m|min|h|d)", VARIABLE]),
        Shape::Timeout => pattern(&["0*[1-9][0-9]*(ms|s|m|min|h|d)", VARIABLE]),
        Shape::Rate => pattern(&["0*[1-9][0-9]*/(s|m|min|h|d)", VARIABLE]),
        Shape::Size => pattern(&["[0-9]+(B|KiB|MiB|GiB|kB|MB|GB)", VARIABLE]),
        Shape::Percent => pattern(&[r"0*([0-9]{1,2}(\.[0-9]{1,4})?|100(\.0{1,4})?)%", VARIABLE]),
        Shape::Sha256 => pattern(&["[0-9A-Fa-f]{64}", VARIABLE]),
        Shape::Date => pattern(&[
            "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])",
            VARIABLE,
        ]),
        Shape::Word(words) => words_schema(words.iter().copied()),
        Shape::Partly(runs, later) => words_schema(runs.iter().chain(*later).copied()),
        Shape::List(item) => json!({"type": "array", "items": json_schema(item)}),
        Shape::Several(item) => json!({"type": "array", "items": json_schema(item), "minItems": 1}),
        Shape::Map(value) | Shape::ByName(NameKeys::Define(_), value) => map_schema(&[NAME], value),
        Shape::Table(value) | Shape::ByName(NameKeys::Refer(_), value) => {
            json!({"type": "object", "additionalProperties": json_schema(value)})
        }
        Shape::Keyed(form, value) => map_schema(&[form.pattern], value),
        Shape::Known(keys, value) => json!({
            "type": "object", "propertyNames": {"enum": (keys.known)()},
            "additionalProperties": json_schema(value),
        }),
        Shape::Object(object) => object_schema(object, None),
        Shape::Kinds(variants) => {
            let kinds = variants.iter();
            let kinds: Vec<Value> = kinds
                .map(|variant| object_schema(variant.object, Some(variant)))
                .collect();
            json!({"oneOf": kinds})
        }
        Shape::Either(shapes) => {
            let shapes: Vec<Value> = shapes.iter().map(json_schema).collect();
            json!({"anyOf": shapes})
        }
    }
}

/// Schema of a string that matches one of these patterns completely.
fn pattern(patterns: &[&str]) -> Value {
    json!({"type": "string", "pattern": whole(patterns)})
}

fn whole(patterns: &[&str]) -> String {
    format!("^({})$", patterns.join("|"))
}

/// Schema of any scalar. A string must match one of these patterns.
fn scalar_or(patterns: &[&str]) -> Value {
    json!({"type": ["string", "number", "boolean"], "pattern": whole(patterns)})
}

fn or_variable(schema: &Value) -> Value {
    json!({"anyOf": [schema, pattern(&[VARIABLE])]})
}

/// Schema of a value that is one of `words` or a variable. Also allows a word in the form of a
/// number, because YAML reads `308` and `1.2` as numbers.
fn words_schema<'w>(words: impl Iterator<Item = &'w str>) -> Value {
    let spelled = |word: &'w str| {
        let number = word
            .parse::<f64>()
            .ok()
            .and_then(|_| serde_json::from_str(word).ok());
        [Some(Value::from(word)), number].into_iter().flatten()
    };
    let words: Vec<Value> = words.flat_map(spelled).collect();
    or_variable(&json!({"enum": words}))
}

fn map_schema(keys: &[&str], value: &Shape) -> Value {
    json!({"type": "object", "propertyNames": {"pattern": whole(keys)},
           "additionalProperties": json_schema(value)})
}

fn object_schema(object: &Object, variant: Option<&Variant>) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    if let Some(variant) = variant {
        let doc = described(object.what, variant.runs);
        properties.insert(
            "kind".into(),
            json!({"const": variant.kind, "description": doc}),
        );
        required.push("kind");
    }
    for field in object.fields {
        let mut schema = json_schema(&field.shape);
        // Keep only the description of the key, because editors show the innermost description.
        if let Some(inner) = schema.as_object_mut() {
            inner.remove("description");
        }
        // Allow `null`, which restores the built-in default.
        if field.need != Need::Required {
            schema = json!({"anyOf": [schema, {"type": "null"}]});
        }
        let doc = described(field.doc, field.need != Need::NotAvailable);
        if let Value::Object(schema) = &mut schema {
            schema.insert("description".into(), doc.into());
        }
        properties.insert(field.key.into(), schema);
        if field.need == Need::Required {
            required.push(field.key);
        }
    }
    let mut schema = json!({"type": "object", "description": object.what, "properties": properties,
        "required": required, "patternProperties": {"^x-gateway-(ext-.*|lint)$": {}}, "additionalProperties": false});
    let rules: Vec<Value> = object.rules.iter().flat_map(rule_schemas).collect();
    if !rules.is_empty() {
        schema["allOf"] = rules.into();
    }
    schema
}

/// Returns the schema of a JSON Merge Patch (RFC 7396) for values of `schema`: every key is
/// optional and may be `null`.
#[must_use]
pub fn merge_patch(schema: &Value) -> Value {
    match schema {
        Value::Object(map) => {
            let mut patch = Map::new();
            for (key, value) in map {
                let value = match key.as_str() {
                    // Rules about several keys apply only after the merge, so leave them out.
                    "required" | "allOf" => continue,
                    "properties" => nullable_values(value),
                    "additionalProperties" if value.is_object() => nullable(value),
                    _ => merge_patch(value),
                };
                // Without `kind`, a value may fit several alternatives.
                let key = if key == "oneOf" { "anyOf" } else { key };
                patch.insert(key.to_owned(), value);
            }
            Value::Object(patch)
        }
        Value::Array(items) => items.iter().map(merge_patch).collect(),
        other => other.clone(),
    }
}

fn nullable(schema: &Value) -> Value {
    json!({"anyOf": [merge_patch(schema), {"type": "null"}]})
}

fn nullable_values(properties: &Value) -> Value {
    let entries = properties.as_object().into_iter().flatten();
    let entries = entries.map(|(key, value)| (key.clone(), nullable(value)));
    Value::Object(entries.collect())
}

fn described(doc: &str, runs: bool) -> String {
    match runs {
        true => doc.to_owned(),
        false => format!("{doc} (not available yet: lint checks it, build stops there)"),
    }
}

fn rule_schemas(rule: &Rule) -> Vec<Value> {
    let there = |key: &&str| json!({"required": [key]});
    match rule {
        Rule::One(keys) => {
            let each: Vec<Value> = keys.iter().map(there).collect();
            vec![json!({"oneOf": each})]
        }
        Rule::AnyOf(keys) => {
            let each: Vec<Value> = keys.iter().map(there).collect();
            vec![json!({"anyOf": each})]
        }
        Rule::Apart(keys, _) => {
            let pairs = keys.iter().enumerate().flat_map(|(at, one)| {
                let others = keys[at + 1..].iter();
                others.map(move |other| json!({"not": {"required": [one, other]}}))
            });
            pairs.collect()
        }
        Rule::Elsewhere(_) | Rule::Holds(_) => Vec::new(),
    }
}
