//! Values of a contract: JSON values without floats, sets, and references (edges) to the nodes of
//! the schema graph.

use std::fmt;

use minicbor::data::{Tag, Type};
use minicbor::decode::Error;
use minicbor::{Decode, Decoder, Encode, Encoder};

/// Maximum nesting depth of lists and maps in one value. Deeper values are separate nodes.
pub const VALUE_DEPTH_MAX: usize = 256;

/// CBOR tag "Mathematical finite set".
const SET: Tag = Tag::new(258);
/// CBOR tag "Reference the nth marked value".
const NODE: Tag = Tag::new(29);

/// Value of a contract. In CBOR, null, booleans, 64-bit integers, text, arrays and maps are encoded
/// as usual. Any other number is a byte string with its decimal text. A set is an array with tag
/// 258. An edge (reference to a node) is an unsigned integer with tag 29.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// JSON null.
    Null,
    /// Boolean.
    Bool(bool),
    /// 64-bit integer.
    Integer(i64),
    /// Any other number: `-?DIGITS[eN]`, digits without leading and trailing zeros.
    Decimal(Box<str>),
    /// String.
    Text(Box<str>),
    /// List of values whose order has a meaning.
    List(Vec<Self>),
    /// List of values whose order has no meaning. The list is stored in a canonical order, which
    /// the graph determines.
    Set(Vec<Self>),
    /// Map: entries sorted by key.
    Map(Vec<(Box<str>, Self)>),
    /// Edge: reference to the node with this index in the contract's table of schemas.
    Node(u32),
}

impl Value {
    /// Value of a key in a map. `None` if the key is absent or the value is not a map.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries()
            .binary_search_by(|(name, _)| (**name).cmp(key))
            .ok()
            .map(|index| &self.entries()[index].1)
    }

    /// Entries of a map. Empty for any other value.
    #[must_use]
    pub fn entries(&self) -> &[(Box<str>, Self)] {
        match self {
            Self::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Items of a list or set. Empty for any other value.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match self {
            Self::List(items) | Self::Set(items) => items,
            _ => &[],
        }
    }

    /// Calls `see` with the index of each edge (reference to a node), in order.
    pub fn each_node(&self, see: &mut impl FnMut(u32)) {
        match self {
            Self::Node(node) => see(*node),
            Self::List(items) | Self::Set(items) => {
                items.iter().for_each(|item| item.each_node(see));
            }
            Self::Map(entries) => entries.iter().for_each(|(_, value)| value.each_node(see)),
            Self::Null | Self::Bool(_) | Self::Integer(_) | Self::Decimal(_) | Self::Text(_) => {}
        }
    }

    /// Copies the value, and replaces the index of each edge (reference to a node) by the result of
    /// `name`.
    #[must_use]
    pub fn with_nodes(&self, name: &mut impl FnMut(u32) -> u32) -> Self {
        let mut all = |items: &[Self]| items.iter().map(|item| item.with_nodes(name)).collect();
        match self {
            Self::Node(node) => Self::Node(name(*node)),
            Self::List(items) => Self::List(all(items)),
            Self::Set(items) => Self::Set(all(items)),
            Self::Map(entries) => Self::Map(
                entries
                    .iter()
                    .map(|(key, value)| (key.clone(), value.with_nodes(name)))
                    .collect(),
            ),
            Self::Null | Self::Bool(_) | Self::Integer(_) | Self::Decimal(_) | Self::Text(_) => {
                self.clone()
            }
        }
    }
}

/// Writes the value as JSON on one line. An edge (reference to a node) is written as `{…}`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, items: &[Self]| {
            f.write_str("[")?;
            for (index, item) in items.iter().enumerate() {
                let comma = if index > 0 { ", " } else { "" };
                write!(f, "{comma}{item}")?;
            }
            f.write_str("]")
        };
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Decimal(text) => f.write_str(text),
            Self::Text(text) => {
                f.write_str("\"")?;
                for c in text.chars() {
                    match c {
                        '"' | '\\' => write!(f, "\\{c}")?,
                        c if c.is_control() => write!(f, "{}", c.escape_default())?,
                        c => write!(f, "{c}")?,
                    }
                }
                f.write_str("\"")
            }
            Self::List(items) | Self::Set(items) => list(f, items),
            Self::Map(entries) => {
                f.write_str("{")?;
                for (index, (key, value)) in entries.iter().enumerate() {
                    let comma = if index > 0 { ", " } else { "" };
                    write!(f, "{comma}{}: {value}", Self::Text(key.clone()))?;
                }
                f.write_str("}")
            }
            Self::Node(_) => f.write_str("{…}"),
        }
    }
}

impl<C> Encode<C> for Value {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        cx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        match self {
            Self::Null => e.null()?.ok(),
            Self::Bool(value) => e.bool(*value)?.ok(),
            Self::Integer(value) => e.i64(*value)?.ok(),
            Self::Decimal(text) => e.bytes(text.as_bytes())?.ok(),
            Self::Text(text) => e.str(text)?.ok(),
            Self::List(items) => items.encode(e, cx),
            Self::Set(items) => items.encode(e.tag(SET)?, cx),
            Self::Map(entries) => {
                e.map(entries.len() as u64)?;
                for (key, value) in entries {
                    e.str(key)?;
                    value.encode(e, cx)?;
                }
                Ok(())
            }
            Self::Node(node) => e.tag(NODE)?.u32(*node)?.ok(),
        }
    }
}

impl<'b, C> Decode<'b, C> for Value {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, Error> {
        read(d, 0)
    }
}

fn read(d: &mut Decoder<'_>, depth: usize) -> Result<Value, Error> {
    if depth > VALUE_DEPTH_MAX {
        return Err(Error::message("a value is nested too deeply"));
    }
    Ok(match d.datatype()? {
        Type::Null => {
            d.null()?;
            Value::Null
        }
        Type::Bool => Value::Bool(d.bool()?),
        Type::String => Value::Text(d.str()?.into()),
        Type::Bytes => {
            let text = std::str::from_utf8(d.bytes()?);
            Value::Decimal(
                text.map_err(|_| Error::message("a decimal must be text"))?
                    .into(),
            )
        }
        Type::Array => Value::List(items(d, depth)?),
        Type::Map => Value::Map(entries(d, depth)?),
        Type::Tag => match d.tag()? {
            SET => Value::Set(items(d, depth)?),
            NODE => Value::Node(d.u32()?),
            _ => return Err(Error::message("unknown tag of a value")),
        },
        _ => Value::Integer(d.i64()?),
    })
}

fn items(d: &mut Decoder<'_>, depth: usize) -> Result<Vec<Value>, Error> {
    let count = d
        .array()?
        .ok_or(Error::message("a list must have a definite length"))?;
    // Allocate one element at a time, because the encoded length may be wrong.
    (0..count).map(|_| read(d, depth + 1)).collect()
}

fn entries(d: &mut Decoder<'_>, depth: usize) -> Result<Vec<(Box<str>, Value)>, Error> {
    let count = d
        .map()?
        .ok_or(Error::message("a map must have a definite length"))?;
    let mut entries: Vec<(Box<str>, Value)> = Vec::new();
    for _ in 0..count {
        let key: Box<str> = d.str()?.into();
        if entries.last().is_some_and(|(last, _)| *last >= key) {
            return Err(Error::message(
                "the keys of a map must be sorted and unique",
            ));
        }
        entries.push((key, read(d, depth + 1)?));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn a_value_is_read_as_it_was_written() {
        let value = Value::Map(vec![
            (
                "a".into(),
                Value::Set(vec![Value::Null, Value::Bool(true), Value::Node(7)]),
            ),
            (
                "b".into(),
                Value::List(vec![Value::Integer(-1), Value::Decimal("15e-1".into())]),
            ),
            ("c".into(), text("é")),
        ]);
        let bytes = codec::encode(&value);
        assert_eq!(codec::decode::<Value>(&bytes), Ok(value.clone()));
        assert_eq!(
            value.to_string(),
            r#"{"a": [null, true, {…}], "b": [-1, 15e-1], "c": "é"}"#
        );
    }

    #[test]
    fn value_in_another_encoding_is_refused() {
        for bytes in [
            &[0xa2, 0x61, b'b', 0x00, 0x61, b'a', 0x00][..], // keys out of order
            &[0xa2, 0x61, b'a', 0x00, 0x61, b'a', 0x00],     // a repeated key
            &[0x18, 0x01],                                   // an integer with a needless byte
            &[0x9f, 0xff],                                   // a list of indefinite length
            &[0xf9, 0x00, 0x00],                             // a float
            &[0xc1, 0x00],                                   // an unknown tag
        ] {
            assert!(codec::decode::<Value>(bytes).is_err(), "{bytes:x?}");
        }
        let mut deep = vec![0x81; 100_000];
        deep.push(0);
        assert!(codec::decode::<Value>(&deep).is_err());
        // A wrong length must not cause a large allocation.
        let long = [0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert!(codec::decode::<Value>(&long).is_err());
    }
}
