//! Lower bound of the length of a JSON text that a schema of a contract accepts.

use bundle::ir::Value;
use validator::is_read_only;

/// Maximum number of schemas that are read for one bound. Schemas beyond it have the bound 1.
const SCHEMAS_MAX: u32 = 10_000;
/// Maximum nesting of schemas. Deeper and recursive schemas have the bound 1.
const DEPTH_MAX: u32 = 32;

/// Minimum length in bytes of a JSON text in UTF-8 that a schema accepts in a request. The result
/// is a lower bound: keywords such as `pattern`, `not` and `if` are ignored.
pub(crate) fn least_bytes(schema: &Value, nodes: &[Value]) -> u64 {
    let mut reader = Reader {
        nodes,
        left: SCHEMAS_MAX,
    };
    reader.schema(schema, 0)
}

struct Reader<'a> {
    nodes: &'a [Value],
    left: u32,
}

impl<'a> Reader<'a> {
    fn resolved(&self, value: &'a Value) -> &'a Value {
        let mut value = value;
        for _ in 0..DEPTH_MAX {
            match value {
                Value::Node(node) => match self.nodes.get(*node as usize) {
                    Some(next) => value = next,
                    None => return value,
                },
                other => return other,
            }
        }
        value
    }

    fn schema(&mut self, schema: &'a Value, depth: u32) -> u64 {
        self.left = self.left.saturating_sub(1);
        let schema = self.resolved(schema);
        if self.left == 0 || depth == DEPTH_MAX || schema.entries().is_empty() {
            return 1;
        }
        let is_nullable = schema.get("nullable") == Some(&Value::Bool(true));
        let mut least = self.of_types(schema, depth);
        if let Some(value) = schema.get("const") {
            least = least.max(self.literal(self.resolved(value), depth));
        }
        if let Some(values) = schema.get("enum") {
            let values = self.resolved(values).items().iter();
            let all = values.map(|value| self.literal(self.resolved(value), depth));
            least = least.max(all.min().unwrap_or(1));
        }
        if let Some(target) = schema.get("$ref") {
            least = least.max(self.schema(target, depth + 1));
        }
        for (key, is_all) in [("allOf", true), ("anyOf", false), ("oneOf", false)] {
            let members = schema.get(key).map(|value| self.resolved(value).items());
            let members = members.unwrap_or_default().iter();
            let all = members.map(|member| self.schema(member, depth + 1));
            let bound = match is_all {
                true => all.max(),
                false => all.min(),
            };
            least = least.max(bound.unwrap_or(1));
        }
        match is_nullable {
            true => least.min("null".len() as u64),
            false => least,
        }
    }

    /// Minimum over the types that the schema allows.
    fn of_types(&mut self, schema: &'a Value, depth: u32) -> u64 {
        let Some(types) = schema.get("type").map(|types| self.resolved(types)) else {
            return 1;
        };
        let names: Vec<&Value> = match types {
            Value::Text(_) => vec![types],
            types => types.items().iter().map(|one| self.resolved(one)).collect(),
        };
        let bounds = names.into_iter().map(|name| match name {
            Value::Text(name) => match &**name {
                "boolean" | "null" => 4,
                "string" => number(schema, "minLength").saturating_add(2),
                "array" => self.array(schema, depth),
                "object" => self.object(schema, depth),
                _ => 1,
            },
            _ => 1,
        });
        bounds.min().unwrap_or(1)
    }

    /// Minimum length of an array: `[`, items, commas, `]`.
    fn array(&mut self, schema: &'a Value, depth: u32) -> u64 {
        let count = number(schema, "minItems");
        if count == 0 {
            return 2;
        }
        // With `prefixItems`, `items` is not the schema of all items.
        let item = match (schema.get("items"), schema.get("prefixItems")) {
            (Some(items), None) => self.schema(items, depth + 1),
            _ => 1,
        };
        count
            .saturating_mul(item.saturating_add(1))
            .saturating_add(1)
    }

    /// Minimum length of an object: `{`, members, commas, `}`. A member that the schema does not
    /// name takes at least the 4 bytes of `"":0`.
    fn object(&mut self, schema: &'a Value, depth: u32) -> u64 {
        let (mut members, mut bytes) = (0, 0_u64);
        let required = schema.get("required").map(|value| self.resolved(value));
        let properties = schema.get("properties").map(|value| self.resolved(value));
        for name in required.map(Value::items).unwrap_or_default() {
            let Value::Text(name) = self.resolved(name) else {
                continue;
            };
            let property = properties.and_then(|properties| properties.get(name));
            if property.is_some_and(|property| is_read_only(self.nodes, property)) {
                continue;
            }
            let value = property.map_or(1, |property| self.schema(property, depth + 1));
            members += 1;
            bytes = bytes
                .saturating_add(value)
                .saturating_add(name.len() as u64 + 3);
        }
        let others = number(schema, "minProperties").saturating_sub(members);
        let bytes = bytes.saturating_add(others.saturating_mul(4));
        let commas = (members + others).saturating_sub(1);
        bytes.saturating_add(commas).saturating_add(2)
    }

    /// Minimum length of this value as JSON, in bytes. Numbers count as 1 byte, because they have
    /// several spellings.
    fn literal(&self, value: &'a Value, depth: u32) -> u64 {
        let inner = |value: &'a Value| match depth < DEPTH_MAX {
            true => self.literal(self.resolved(value), depth + 1),
            false => 1,
        };
        match value {
            Value::Text(text) => text.len() as u64 + 2,
            Value::Bool(true) | Value::Null => 4,
            Value::Bool(false) => 5,
            Value::List(items) | Value::Set(items) => {
                let items: u64 = items.iter().map(|item| inner(item) + 1).sum();
                items.max(1) + 1
            }
            Value::Map(entries) => {
                let members = entries.iter();
                let members = members.map(|(name, value)| name.len() as u64 + 4 + inner(value));
                members.sum::<u64>().max(1) + 1
            }
            Value::Integer(_) | Value::Decimal(_) | Value::Node(_) => 1,
        }
    }
}

/// Value of a keyword that is a number, such as `minItems`. 0 if the keyword is absent.
fn number(schema: &Value, key: &str) -> u64 {
    match schema.get(key) {
        Some(Value::Integer(number)) => u64::try_from(*number).unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    fn map(entries: &[(&str, Value)]) -> Value {
        let mut entries: Vec<_> = entries
            .iter()
            .map(|(name, value)| ((*name).into(), value.clone()))
            .collect();
        entries.sort();
        Value::Map(entries)
    }

    #[test]
    fn bound_is_the_length_of_the_shortest_text() {
        let string = |least| {
            map(&[
                ("type", text("string")),
                ("minLength", Value::Integer(least)),
            ])
        };
        let list = |items, least| {
            map(&[
                ("type", text("array")),
                ("items", items),
                ("minItems", Value::Integer(least)),
            ])
        };
        let set = |members: &[Value]| Value::Set(members.to_vec());
        let object = |names: &[&str], properties: &[(&str, Value)]| {
            let names = names.iter().map(|name| text(name)).collect();
            map(&[
                ("type", text("object")),
                ("required", Value::Set(names)),
                ("properties", map(properties)),
            ])
        };
        let nodes = [string(9), object(&["a"], &[("a", Value::Node(1))])];
        let read_only = map(&[
            ("readOnly", Value::Bool(true)),
            ("allOf", set(&[string(50)])),
        ]);
        for (schema, shortest) in [
            (Value::Bool(true), "1"),
            (map(&[("type", text("integer"))]), "1"),
            (map(&[("type", text("boolean"))]), "true"),
            (string(3), "\"abc\""),
            (list(string(0), 0), "[]"),
            (list(string(1), 3), "[\"a\",\"a\",\"a\"]"),
            (object(&[], &[("a", string(9))]), "{}"),
            (
                object(&["a", "b"], &[("a", string(2))]),
                "{\"a\":\"xx\",\"b\":0}",
            ),
            (object(&["id"], &[("id", read_only)]), "{}"),
            (
                map(&[
                    ("type", text("object")),
                    ("minProperties", Value::Integer(2)),
                ]),
                "{\"\":0,\"\":0}",
            ),
            (
                map(&[
                    ("type", set(&[text("string"), text("null")])),
                    ("minLength", Value::Integer(9)),
                ]),
                "null",
            ),
            (
                map(&[
                    ("type", text("string")),
                    ("minLength", Value::Integer(9)),
                    ("nullable", Value::Bool(true)),
                ]),
                "null",
            ),
            (map(&[("allOf", set(&[string(1), string(4)]))]), "\"abcd\""),
            (map(&[("oneOf", set(&[string(1), string(4)]))]), "\"a\""),
            (map(&[("enum", set(&[text("abc"), text("de")]))]), "\"de\""),
            (
                map(&[("const", Value::List(vec![Value::Null, Value::Integer(700)]))]),
                "[null,7",
            ),
            (Value::Node(0), "\"123456789\""),
        ] {
            let bound = least_bytes(&schema, &nodes);
            assert!(bound <= shortest.len() as u64 + 1, "{schema:?}");
            let is_exact = !matches!(schema.get("const"), Some(Value::List(_)));
            assert!(
                !is_exact || bound == shortest.len() as u64,
                "{schema:?} {bound}"
            );
        }
        // A recursive schema accepts no finite text. Its bound is finite.
        assert!(least_bytes(&Value::Node(1), &nodes) < 1_000);
    }
}
