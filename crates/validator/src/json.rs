//! Parser of JSON bodies (RFC 8259): strict, without duplicate names, with limited depth.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Maximum depth of arrays and objects in a body.
pub(crate) const DEPTH_MAX: usize = 64;

/// Parses a body. The error describes the mistake and contains no text of the body.
pub(crate) fn read(bytes: &[u8]) -> Result<Value, &'static str> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Part(0).deserialize(&mut reader).map_err(|e| fault(&e))?;
    reader.end().map_err(|e| fault(&e))?;
    Ok(value)
}

const DUPLICATE: &str = "has a member name twice";
const DEEP: &str = "is nested deeper than 64 levels";

fn fault(error: &serde_json::Error) -> &'static str {
    // Errors of this module begin with one of the constants. The parser appends the position.
    let text = error.to_string();
    match () {
        () if text.starts_with(DUPLICATE) => DUPLICATE,
        () if text.starts_with(DEEP) => DEEP,
        () => "is not valid JSON",
    }
}

/// Reader of a JSON value. The number is the nesting depth of the value.
struct Part(usize);

impl<'de> DeserializeSeed<'de> for Part {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        if self.0 >= DEPTH_MAX {
            return Err(A::Error::custom(DEEP));
        }
        let mut items = Vec::new();
        while let Some(item) = from.next_element_seed(Self(self.0 + 1))? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        if self.0 >= DEPTH_MAX {
            return Err(A::Error::custom(DEEP));
        }
        let mut members = Map::new();
        while let Some(name) = from.next_key::<String>()? {
            let value = from.next_value_seed(Self(self.0 + 1))?;
            // Refuse a duplicate name, because servers differ in which of the two values they use.
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom(DUPLICATE));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_with_duplicates_or_rest_is_refused() {
        let rows: &[(&str, Result<(), &str>)] = &[
            (r#" {"a": [1, -2, 2.5, "x", null, true]} "#, Ok(())),
            (r#"{"a": 1, "a": 1}"#, Err(DUPLICATE)),
            (r#"[{"b": {"a": 1, "\u0061": 2}}]"#, Err(DUPLICATE)),
            ("{} {}", Err("is not valid JSON")),
            ("{", Err("is not valid JSON")),
            ("", Err("is not valid JSON")),
            ("NaN", Err("is not valid JSON")),
            ("\u{feff}{}", Err("is not valid JSON")),
        ];
        for (text, expected) in rows {
            let read = read(text.as_bytes()).map(drop);
            assert_eq!(read, *expected, "{text}");
        }
        assert_eq!(read(b"\"\xff\""), Err("is not valid JSON"));
    }

    #[test]
    fn body_deeper_than_the_limit_is_refused() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(nested(DEPTH_MAX).as_bytes()).is_ok());
        assert_eq!(read(nested(DEPTH_MAX + 1).as_bytes()), Err(DEEP));
        // Parsing must not use stack space for each level, because a client can send a body of any
        // depth.
        assert!(read(nested(1_000_000).as_bytes()).is_err());
    }
}
