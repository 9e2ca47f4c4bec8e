//! Types of the values that a schema allows for a text. gwd reads texts by the same types
//! ([`crate::kinds`]).

use bundle::ir::Value;
use rustc_hash::FxHashSet;

use crate::kinds::admits_any;
use crate::lower::resolved;

/// Maximum number of schemas that are read for one value. With more schemas, all types count.
const SCHEMAS_MAX: usize = 256;

const OTHER: u8 = 1;
const NUMBER: u8 = 2;
const ARRAY: u8 = 4;
const OBJECT: u8 = 8;
const ALL: u8 = OTHER | NUMBER | ARRAY | OBJECT;

/// Set of types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Types(u8);

impl Types {
    /// Types that the schemas of one value name, also in their alternatives and listed values.
    pub(super) fn of(nodes: &[Value], schemas: &[&Value]) -> Self {
        let Some(all) = applied(nodes, schemas) else {
            return Self(ALL);
        };
        let mut found = 0;
        let mut structured = 0;
        let entries = all.iter().flat_map(|schema| {
            let entries = schema.entries().iter();
            entries.map(move |(key, value)| (*schema, key, value))
        });
        for (schema, key, value) in entries {
            let value = resolved(nodes, value);
            match (&**key, value) {
                ("type", Value::Text(name)) => found |= of_type(name),
                ("type", names) => names.items().iter().for_each(|one| {
                    if let Value::Text(name) = resolved(nodes, one) {
                        found |= of_type(name);
                    }
                }),
                ("const", value) => found |= of_value(value),
                ("enum", values) => values.items().iter().for_each(|one| {
                    found |= of_value(resolved(nodes, one));
                }),
                ("anyOf" | "oneOf", _) if admits_any(nodes, schema, key) => {
                    found |= OTHER | NUMBER;
                }
                ("properties", _) => structured |= OBJECT,
                ("items", _) => structured |= ARRAY,
                _ => {}
            }
        }
        Self(match (found, structured) {
            (0, 0) => OTHER | NUMBER,
            (0, structured) => structured,
            (found, _) => found,
        })
    }

    /// True if values can be numbers that are no integers.
    pub(super) fn has_number(self) -> bool {
        self.0 & NUMBER != 0
    }

    /// True if values can be neither arrays nor objects.
    pub(super) fn has_scalar(self) -> bool {
        self.0 & (OTHER | NUMBER) != 0
    }

    /// True if values can be arrays.
    pub(super) fn has_array(self) -> bool {
        self.0 & ARRAY != 0
    }

    /// True if values can be objects.
    pub(super) fn has_object(self) -> bool {
        self.0 & OBJECT != 0
    }

    /// True if all values are arrays.
    pub(super) fn is_array(self) -> bool {
        self.0 == ARRAY
    }

    /// True if all values are objects.
    pub(super) fn is_object(self) -> bool {
        self.0 == OBJECT
    }
}

/// Names in `properties` of a schema and of the schemas that it applies to the same value.
pub(super) fn property_names<'a>(nodes: &'a [Value], schema: &'a Value) -> FxHashSet<&'a str> {
    let all = applied(nodes, &[schema]).unwrap_or_default().into_iter();
    let properties = all.filter_map(|schema| schema.get("properties"));
    let names = properties.flat_map(|all| resolved(nodes, all).entries());
    names.map(|(name, _)| &**name).collect()
}

/// Schemas, with those that they apply to the same value. `None` if there are too many.
fn applied<'a>(nodes: &'a [Value], schemas: &[&'a Value]) -> Option<Vec<&'a Value>> {
    let mut all = Vec::new();
    let mut waiting = schemas.to_vec();
    let mut seen = FxHashSet::default();
    while let Some(schema) = waiting.pop() {
        let schema = resolved(nodes, schema);
        if !seen.insert(std::ptr::from_ref(schema)) {
            continue;
        }
        if all.len() == SCHEMAS_MAX {
            return None;
        }
        all.push(schema);
        for (key, value) in schema.entries() {
            match &**key {
                "allOf" | "anyOf" | "oneOf" => waiting.extend(resolved(nodes, value).items()),
                "$ref" => waiting.push(value),
                _ => {}
            }
        }
    }
    Some(all)
}

fn of_type(name: &str) -> u8 {
    match name {
        "number" => NUMBER,
        "array" => ARRAY,
        "object" => OBJECT,
        "null" => 0,
        _ => OTHER,
    }
}

fn of_value(value: &Value) -> u8 {
    match value {
        Value::Decimal(_) => NUMBER,
        Value::List(_) | Value::Set(_) => ARRAY,
        Value::Map(_) => OBJECT,
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Text(_) | Value::Node(_) => OTHER,
    }
}
