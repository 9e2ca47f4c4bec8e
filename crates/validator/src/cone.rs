//! Cone of an operation: the part of a table of schemas that can be reached from the operation,
//! with a digest.

use bundle::ir::{ContractOperation, Value};
use rustc_hash::FxHashMap;
use sha2::{Digest as _, Sha256};

/// Operation with the schemas that it reaches, numbered by first visit. Operations of different
/// APIs or versions with the same messages have equal digests.
#[derive(Clone, Debug)]
pub struct Cone {
    /// Messages of the operation.
    pub operation: ContractOperation,
    /// Schemas that the operation reaches. [`Value::Node`] is an index in this list.
    pub schemas: Vec<Value>,
    /// SHA-256 of `operation` and `schemas`.
    pub digest: [u8; 32],
}

impl Cone {
    /// Collects the schemas of `schemas` that an operation reaches. A reference to a missing schema
    /// becomes a reference to a schema that accepts every value.
    #[must_use]
    pub fn of(operation: &ContractOperation, schemas: &[Value]) -> Self {
        let mut operation = ContractOperation {
            key: String::new(),
            ..operation.clone()
        };
        let mut numbers: FxHashMap<u32, u32> = FxHashMap::default();
        let mut order: Vec<u32> = Vec::new();
        let mut number = |node: u32| {
            *numbers.entry(node).or_insert_with(|| {
                order.push(node);
                u32::try_from(order.len() - 1).unwrap_or(u32::MAX)
            })
        };
        operation.each_value_mut(&mut |value| *value = value.with_nodes(&mut number));
        let mut reached: Vec<Value> = Vec::new();
        while let Some(node) = order.get(reached.len()).copied() {
            let mut number = |node: u32| {
                *numbers.entry(node).or_insert_with(|| {
                    order.push(node);
                    u32::try_from(order.len() - 1).unwrap_or(u32::MAX)
                })
            };
            let value = schemas.get(node as usize);
            reached.push(value.map_or(Value::Bool(true), |value| value.with_nodes(&mut number)));
        }
        let bytes = bundle::codec::encode(&operation);
        let mut hash = Sha256::new_with_prefix((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
        hash.update(bundle::codec::encode(&reached));
        Self {
            operation,
            schemas: reached,
            digest: hash.finalize().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bundle::ir::{Body, MediaType, Set};

    use super::*;

    fn operation(key: &str, edge: u32) -> ContractOperation {
        let definition = Value::Map(vec![("schema".into(), Value::Node(edge))]);
        ContractOperation {
            key: key.into(),
            deprecated: false,
            parameters: Vec::new(),
            body: Some(Body {
                required: true,
                media_types: Set::new(vec![MediaType {
                    name: "application/json".into(),
                    definition,
                }])
                .unwrap(),
            }),
            responses: Vec::new(),
            security: None,
        }
    }

    fn refers(edge: u32) -> Value {
        Value::Map(vec![("items".into(), Value::Node(edge))])
    }

    #[test]
    fn digest_depends_on_reached_schemas_alone() {
        let text = Value::Map(vec![("type".into(), Value::Text("string".into()))]);
        let other = Value::Map(vec![("type".into(), Value::Text("null".into()))]);
        let here = Cone::of(
            &operation("a/x", 0),
            &[refers(1), text.clone(), other.clone()],
        );
        let there = Cone::of(&operation("b/y", 2), &[other.clone(), text, refers(1)]);
        assert_eq!(here.digest, there.digest);
        assert_eq!(here.schemas.len(), 2);
        let changed = Cone::of(&operation("a/x", 0), &[refers(1), other]);
        assert_ne!(here.digest, changed.digest);
        let circular = Cone::of(&operation("a/x", 0), &[refers(0)]);
        assert_eq!(circular.schemas, [refers(0)]);
        let nowhere = Cone::of(&operation("a/x", 9), &[]);
        assert_eq!(nowhere.schemas, [Value::Bool(true)]);
    }
}
