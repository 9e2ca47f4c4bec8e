//! Types that a schema allows. They determine how a text is converted to a value: `5` may be a
//! number or a string.

use std::cell::Cell;
use std::collections::BTreeSet;

use bundle::ir::Value;
use serde_json::{Number, Value as Json};

use crate::lower::resolved;
use crate::text::{dotted, plain};

/// Types of values that a schema allows. Other assertions of the schema are ignored.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kinds {
    types: u8,
    items: Option<Box<Self>>,
    pub(crate) properties: Vec<(Box<str>, Self)>,
    additional: Option<Box<Self>>,
    with_parts: WithParts,
    /// True if the schema allows no properties other than the described ones.
    pub(crate) is_closed: bool,
}

/// Names of the properties that are objects or arrays. A form or query may write such a property as
/// several fields, such as `a[b]`.
#[derive(Clone, Debug, Default)]
pub(crate) struct WithParts {
    /// Names of all these properties, in the form of [`plain`].
    pub(crate) plain: BTreeSet<String>,
    /// Names that contain dots or brackets, in the form of [`dotted`].
    pub(crate) dotted: BTreeSet<String>,
}

const STRING: u8 = 1;
const NUMBER: u8 = 2;
const BOOLEAN: u8 = 4;
const NULL: u8 = 8;
const ARRAY: u8 = 16;
const OBJECT: u8 = 32;
const INTEGER: u8 = 64;
const SCALARS: u8 = STRING | NUMBER | INTEGER | BOOLEAN;

/// Maximum nesting of the schemas that are read for types. Values in text rarely have more levels.
const DEPTH_MAX: usize = 9;
/// Maximum number of schemas that are read to find the types of one schema.
const SCHEMAS_MAX: u32 = 20_000;

/// Types of a schema that names no types. Its values are read as scalars.
static ANY: Kinds = Kinds {
    types: SCALARS,
    items: None,
    properties: Vec::new(),
    additional: None,
    with_parts: WithParts {
        plain: BTreeSet::new(),
        dotted: BTreeSet::new(),
    },
    is_closed: false,
};

impl Kinds {
    /// Collects the types that a schema of a table allows.
    pub(crate) fn of<'a>(nodes: &'a [Value], schema: &'a Value) -> Self {
        // The number of schemas can be exponential in the depth. If there are too many, read fewer
        // levels.
        for depth in [DEPTH_MAX, 4, 2] {
            let left = Cell::new(SCHEMAS_MAX);
            let mut kinds = Self::default();
            kinds.read(nodes, schema, (depth, &left));
            if left.get() > 0 {
                kinds.complete();
                return kinds;
            }
        }
        let mut kinds = Self::default();
        kinds.read(nodes, schema, (1, &Cell::new(u32::MAX)));
        kinds.complete();
        kinds
    }

    /// Adds the types of a schema. Reads at most `levels` nested levels, and at most as many
    /// schemas as `left` allows.
    fn read<'a>(
        &mut self,
        nodes: &'a [Value],
        schema: &'a Value,
        (levels, left): (usize, &Cell<u32>),
    ) {
        left.set(left.get().saturating_sub(1));
        if levels == 0 || left.get() == 0 {
            return;
        }
        let below = (levels - 1, left);
        let inner = |schema: &'a Value| {
            let mut kinds = Self::default();
            kinds.read(nodes, schema, below);
            kinds.complete();
            kinds
        };
        for (key, value) in resolved(nodes, schema).entries() {
            let value = resolved(nodes, value);
            match &**key {
                "type" => match value {
                    Value::Text(name) => self.types |= of_type(name),
                    value => value.items().iter().for_each(|one| {
                        if let Value::Text(name) = resolved(nodes, one) {
                            self.types |= of_type(name);
                        }
                    }),
                },
                "enum" => value.items().iter().for_each(|one| {
                    self.types |= of_value(resolved(nodes, one));
                }),
                "const" => self.types |= of_value(value),
                "nullable" if *value == Value::Bool(true) => self.types |= NULL,
                "$ref" => self.read(nodes, value, below),
                "allOf" | "anyOf" | "oneOf" => {
                    for one in value.items() {
                        self.read(nodes, one, below);
                    }
                    if admits_any(nodes, schema, key) {
                        self.types |= SCALARS;
                    }
                }
                "items" => self.items = Some(Box::new(inner(value))),
                // `complete` merges the properties with equal names.
                "properties" => {
                    let all = value.entries().iter();
                    let all = all.map(|(name, schema)| (name.clone(), inner(schema)));
                    self.properties.extend(all);
                }
                "additionalProperties" => match value {
                    Value::Bool(allowed) => self.is_closed |= !allowed,
                    schema => self.additional = Some(Box::new(inner(schema))),
                },
                _ => {}
            }
        }
    }

    /// Sorts the properties, and completes the types. Of several properties with one name, the
    /// first one gets the types of all.
    fn complete(&mut self) {
        self.properties
            .sort_by(|(one, _), (other, _)| one.cmp(other));
        self.properties.dedup_by(|(name, further), (known, first)| {
            let is_same = name == known;
            if is_same {
                first.types |= further.types;
            }
            is_same
        });
        if self.types == 0 {
            self.types = match (self.properties.is_empty(), self.items.is_some()) {
                (false, _) => OBJECT,
                (true, true) => ARRAY,
                (true, false) => SCALARS,
            };
        }
        let with_parts = self.properties.iter().filter(|(_, own)| own.has_parts());
        for (name, _) in with_parts {
            self.with_parts.plain.insert(plain(name));
            self.with_parts.dotted.extend(dotted(name));
        }
    }

    /// True if the schema allows objects or arrays, which can be written as several fields.
    pub(crate) fn has_parts(&self) -> bool {
        self.has_objects() || self.has_arrays()
    }

    /// Names of the properties that are objects or arrays.
    pub(crate) fn with_parts(&self) -> &WithParts {
        &self.with_parts
    }

    /// True if the schema describes a property with this name.
    pub(crate) fn describes(&self, name: &str) -> bool {
        self.position(name).is_some()
    }

    /// True if the schema allows arrays.
    pub(crate) fn has_arrays(&self) -> bool {
        self.types & ARRAY != 0
    }

    /// True if the schema allows objects.
    pub(crate) fn has_objects(&self) -> bool {
        self.types & OBJECT != 0
    }

    /// True if the schema allows no values other than strings.
    pub(crate) fn is_text(&self) -> bool {
        self.types & !NULL == STRING
    }

    /// True if the schema allows values that are neither arrays nor objects.
    pub(crate) fn has_scalars(&self) -> bool {
        self.types & !(ARRAY | OBJECT) != 0
    }

    /// Types of the items of an array.
    pub(crate) fn item(&self) -> &Self {
        self.items.as_deref().unwrap_or(&ANY)
    }

    /// Types of a property of an object.
    pub(crate) fn property(&self, name: &str) -> &Self {
        match self.position(name) {
            Some(index) => &self.properties[index].1,
            None => self.additional.as_deref().unwrap_or(&ANY),
        }
    }

    /// Index of a property that the schema describes.
    fn position(&self, name: &str) -> Option<usize> {
        let properties = &self.properties;
        let found = properties.binary_search_by(|(known, _)| (**known).cmp(name));
        found.ok()
    }

    /// Structures that values can have: [`STRING`] stands for all scalars.
    fn structures(&self) -> u8 {
        let scalars = if self.has_scalars() { STRING } else { 0 };
        self.types & (ARRAY | OBJECT) | scalars
    }

    /// True if values of these types can have each structure that values of `other` can have:
    /// scalar, array or object.
    pub(crate) fn has_structures_of(&self, other: &Self) -> bool {
        other.structures() & !self.structures() == 0
    }

    /// True if values of these types and of `other` have the same structures, in all parts that
    /// these types describe.
    pub(crate) fn is_structured_like(&self, other: &Self) -> bool {
        let has_items = self.has_arrays();
        self.structures() == other.structures()
            && (!has_items || self.item().is_structured_like(other.item()))
            && self.has_members_like(other)
    }

    /// True if each member of an object that these types describe has the same structures in
    /// `other`.
    pub(crate) fn has_members_like(&self, other: &Self) -> bool {
        let mut described = self.properties.iter();
        described.all(|(name, own)| own.is_structured_like(other.property(name)))
            && self.additional.as_ref().is_none_or(|own| {
                let rest = other.additional.as_deref().unwrap_or(&ANY);
                let mut named = other.properties.iter();
                own.is_structured_like(rest)
                    && named.all(|(name, theirs)| {
                        self.describes(name) || own.is_structured_like(theirs)
                    })
            })
    }

    /// Converts a text to a scalar. If the schema allows both a string and another type, `as_text`
    /// selects the string.
    pub(crate) fn scalar(&self, text: &str, as_text: bool) -> Json {
        let is_text = || Json::String(text.to_owned());
        if self.types & STRING != 0 && (as_text || self.types & SCALARS == STRING) {
            return is_text();
        }
        let number = match self.types & (NUMBER | INTEGER) {
            0 => None,
            INTEGER => integer(text),
            _ => number(text),
        };
        if let Some(number) = number {
            return Json::Number(number);
        }
        match text {
            "true" if self.types & BOOLEAN != 0 => Json::Bool(true),
            "false" if self.types & BOOLEAN != 0 => Json::Bool(false),
            "" | "null" if self.types & NULL != 0 && self.types & STRING == 0 => Json::Null,
            _ => is_text(),
        }
    }
}

/// True if `anyOf` or `oneOf` (`keyword`) of a schema has an alternative that admits every value,
/// and the schema itself names no types.
pub(crate) fn admits_any(nodes: &[Value], schema: &Value, keyword: &str) -> bool {
    const TYPED: [&str; 6] = ["type", "enum", "const", "properties", "items", "allOf"];
    let schema = resolved(nodes, schema);
    let is_any = |one: &Value| match resolved(nodes, one) {
        Value::Map(entries) => entries.is_empty(),
        other => *other == Value::Bool(true),
    };
    let members = schema.get(keyword).map(|all| resolved(nodes, all).items());
    matches!(keyword, "anyOf" | "oneOf")
        && members.is_some_and(|all| all.iter().any(is_any))
        && TYPED.iter().all(|key| schema.get(key).is_none())
}

fn of_type(name: &str) -> u8 {
    match name {
        "string" => STRING,
        "number" => NUMBER,
        "integer" => INTEGER,
        "boolean" => BOOLEAN,
        "null" => NULL,
        "array" => ARRAY,
        "object" => OBJECT,
        _ => 0,
    }
}

fn of_value(value: &Value) -> u8 {
    match value {
        Value::Null => NULL,
        Value::Bool(_) => BOOLEAN,
        Value::Integer(_) => INTEGER,
        Value::Decimal(_) => NUMBER,
        Value::Text(_) => STRING,
        Value::List(_) | Value::Set(_) => ARRAY,
        Value::Map(_) => OBJECT,
        Value::Node(_) => 0,
    }
}

/// Parses an integer. `5.0` is one, but a text with an exponent is none: many servers read only the
/// digits before it, so that `99000e-3` would be 99 for the schema and 99000 for them.
fn integer(text: &str) -> Option<Number> {
    let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction);
    let is_integer = !text.contains(['e', 'E']) && fraction.bytes().all(|byte| byte == b'0');
    number(text).filter(|_| is_integer)
}

/// Parses a number in the notation of JSON. Also accepts leading zeros, a plus sign, and numbers
/// such as `.5` and `5.`.
pub(crate) fn number(text: &str) -> Option<Number> {
    if text.is_empty() || text.len() > 64 {
        return None;
    }
    let plain =
        |byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
    if !text.bytes().all(plain) {
        return None;
    }
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    if let Ok(whole) = text.parse::<u64>() {
        return Some(whole.into());
    }
    text.parse::<f64>().ok().and_then(Number::from_f64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_becomes_a_value_of_an_allowed_type() {
        let rows = [
            ("5", NUMBER, false, json!(5)),
            ("-5.50", NUMBER, false, json!(-5.5)),
            ("1e3", NUMBER, false, json!(1000.0)),
            ("5", STRING, false, json!("5")),
            ("5", STRING | NUMBER, false, json!(5)),
            ("5", STRING | NUMBER, true, json!("5")),
            ("x", NUMBER, false, json!("x")),
            ("NaN", NUMBER, false, json!("NaN")),
            ("inf", NUMBER, false, json!("inf")),
            ("true", BOOLEAN, false, json!(true)),
            ("True", BOOLEAN, false, json!("True")),
            ("", NUMBER | NULL, false, json!(null)),
            ("", STRING | NULL, false, json!("")),
            ("18446744073709551615", NUMBER, false, json!(u64::MAX)),
            ("-5", INTEGER, false, json!(-5)),
            ("5.0", INTEGER, false, json!(5.0)),
            ("5.5", INTEGER, false, json!("5.5")),
            ("99000e-3", INTEGER, false, json!("99000e-3")),
            ("1E2", INTEGER, false, json!("1E2")),
            ("1e2", INTEGER | NUMBER, false, json!(100.0)),
        ];
        for (text, types, as_text, expected) in rows {
            let kinds = Kinds {
                types,
                ..Kinds::default()
            };
            assert_eq!(kinds.scalar(text, as_text), expected, "{text} {types}");
        }
    }
    #[test]
    fn properties_with_one_name_have_the_types_of_all() {
        let typed = |name: &str| {
            let name = Value::Text(name.into());
            Value::Map(vec![("type".into(), name)])
        };
        let described = |entries: &[(&str, &str)]| {
            let entries = entries.iter();
            let entries = entries.map(|(name, of)| ((*name).into(), typed(of)));
            Value::Map(vec![("properties".into(), Value::Map(entries.collect()))])
        };
        let all = vec![
            described(&[("a", "string"), ("c", "null")]),
            described(&[("a", "integer"), ("b", "array")]),
        ];
        let schema = Value::Map(vec![("allOf".into(), Value::List(all))]);
        let kinds = Kinds::of(&[], &schema);
        let types = kinds.properties.iter();
        let types: Vec<(&str, u8)> = types.map(|(name, own)| (&**name, own.types)).collect();
        assert_eq!(types, [("a", STRING | INTEGER), ("b", ARRAY), ("c", NULL)]);
        assert_eq!(kinds.types, OBJECT);
        assert!(kinds.with_parts().plain.contains("b"));
    }
}
