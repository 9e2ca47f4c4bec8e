//! Comparison of schemas `true` and `false`, and of keywords without a check of their own.

use std::collections::BTreeSet;

use bundle::ir::Value;
use vocab::checks::Level;

use super::{Effect, Pair, xml};

/// Keywords that the other files of this folder compare.
const COMPARED: [&str; 42] = [
    "type",
    "nullable",
    "format",
    "enum",
    "const",
    "default",
    "pattern",
    "maximum",
    "exclusiveMaximum",
    "maxLength",
    "maxItems",
    "maxProperties",
    "minimum",
    "exclusiveMinimum",
    "minLength",
    "minItems",
    "minProperties",
    "properties",
    "required",
    "additionalProperties",
    "patternProperties",
    "propertyNames",
    "unevaluatedProperties",
    "dependentRequired",
    "dependentSchemas",
    "items",
    "prefixItems",
    "contains",
    "minContains",
    "maxContains",
    "unevaluatedItems",
    "additionalItems",
    "uniqueItems",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "discriminator",
    "contentSchema",
];

/// Keywords that the comparisons of encoded content and of properties cover.
const BESIDE: [&str; 7] = [
    "contentMediaType",
    "contentEncoding",
    "readOnly",
    "writeOnly",
    "deprecated",
    "x-sunset",
    "x-stability-level",
];

pub(super) fn compare(pair: &mut Pair<'_>) {
    let keys = pair.old.entries().iter().chain(pair.new.entries());
    let keys: BTreeSet<&str> = keys.map(|(key, _)| &**key).collect();
    for key in keys {
        if COMPARED.contains(&key) || BESIDE.contains(&key) || pair.is_same(key) {
            continue;
        }
        if key == "xml" && pair.role.is_xml {
            xml::compare(pair);
            continue;
        }
        if key == "$ref" && pair.both(key).0.is_some() && pair.both(key).1.is_some() {
            pair.inner("$ref", "");
            continue;
        }
        let effect = match (pair.both(key), is_assertion(key)) {
            (_, false) => Effect::Changed,
            ((None, _), true) => Effect::Narrowed,
            ((_, None), true) => Effect::Widened,
            _ => Effect::Changed,
        };
        let (old, new) = pair.both(key);
        let values = (pair.json(old), pair.json(new));
        pair.push(name(key), key, effect, String::new(), values);
        if key == "x-limits" {
            // Only gateways that validate requests enforce the limits.
            pair.at_most(Level::Warn);
        }
        if !is_assertion(key) {
            pair.at_most(Level::Info);
        }
    }
}

/// Compares two schemas of which at least one is `true` or `false`.
pub(super) fn boolean(pair: &mut Pair<'_>) {
    let effect = match (pair.old, pair.new) {
        (Value::Bool(false), _) | (_, Value::Bool(true)) => Effect::Widened,
        _ => Effect::Narrowed,
    };
    let values = (pair.joint.json(pair.old), pair.joint.json(pair.new));
    pair.push("schema", "schema", effect, String::new(), values);
}

/// True for keywords that refuse values.
fn is_assertion(key: &str) -> bool {
    matches!(
        key,
        "multipleOf" | "dependencies" | "$ref" | "$dynamicRef" | "itemSchema" | "x-limits"
    )
}

/// Keyword as shown in a finding; `schema` for a keyword that is not in the list.
fn name(key: &str) -> &'static str {
    let known = ["multipleOf", "dependencies", "$ref", "$dynamicRef", "xml"];
    known
        .into_iter()
        .find(|known| *known == key)
        .unwrap_or("schema")
}
