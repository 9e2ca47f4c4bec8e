//! Descriptions of the messages that a gateway validates: a part of the API's contract.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use super::contract::{Contract, ContractOperation};
use super::set::Set;
use super::value::Value;

/// Descriptions of the messages that an API validates.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Messages {
    /// Validated operations, by key. An operation has only the messages that are validated.
    #[n(0)]
    pub operations: Set<ContractOperation>,
    /// Nodes of all schemas that the operations reach. [`Value::Node`] is an index in this list.
    /// Operations share nodes. The order is that of a breadth-first walk.
    #[n(1)]
    pub schemas: Vec<Value>,
}

/// Kinds of messages of an operation that are validated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ValidatedMessages {
    /// True if requests are validated.
    pub requests: bool,
    /// True if responses are validated.
    pub responses: bool,
}

impl Messages {
    /// Extracts the descriptions of the requests and responses that the operations with these keys
    /// validate. `None` if the contract has none of these operations.
    #[must_use]
    pub fn of(contract: &Contract, keys: &BTreeMap<&str, ValidatedMessages>) -> Option<Self> {
        let wanted = contract.operations.iter();
        let wanted = wanted.filter_map(|operation| {
            let validated = keys.get(operation.key.as_str())?;
            Some((operation, *validated))
        });
        let mut numbers = Numbers::default();
        let operations = wanted.map(|(operation, validated)| {
            let mut operation = ContractOperation {
                deprecated: false,
                ..operation.clone()
            };
            if !validated.requests {
                operation.parameters.clear();
                operation.body = None;
            }
            if !validated.responses {
                operation.responses.clear();
            }
            operation.each_value_mut(&mut |value| {
                *value = value.with_nodes(&mut |node| numbers.of(node));
            });
            operation
        });
        let operations: Vec<ContractOperation> = operations.collect();
        if operations.is_empty() {
            return None;
        }
        let mut schemas: Vec<Value> = Vec::new();
        while let Some(node) = numbers.order.get(schemas.len()).copied() {
            let value = contract.schemas.get(node as usize);
            let value = value.map(|value| value.with_nodes(&mut |node| numbers.of(node)));
            schemas.push(value.unwrap_or(Value::Bool(true)));
        }
        Some(Self {
            operations: Set::new(operations).expect("a subset has unique names"),
            schemas,
        })
    }

    /// True if an operation has a sequence whose items gwd checks with an `itemSchema`. Multipart
    /// bodies do not count: gwd does not check their parts with an `itemSchema`.
    #[must_use]
    pub fn has_items(&self) -> bool {
        let mut types = self.operations.iter().flat_map(|operation| {
            let body = operation.body.iter().flat_map(|body| &body.media_types);
            let responses = operation.responses.iter();
            body.chain(responses.flat_map(|response| &response.media_types))
        });
        types.any(|one| {
            one.definition.get("itemSchema").is_some() && !one.name.starts_with("multipart/")
        })
    }

    /// True if every node index in operations and nodes is valid.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        let mut closed = true;
        let mut see = |node: u32| closed &= (node as usize) < self.schemas.len();
        for operation in &self.operations {
            operation.each_value(&mut |value| value.each_node(&mut see));
        }
        let nodes = self.schemas.iter();
        nodes.for_each(|node| node.each_node(&mut see));
        closed
    }
}

/// New indices of nodes, assigned in the order of the first visit.
#[derive(Default)]
struct Numbers {
    known: BTreeMap<u32, u32>,
    order: Vec<u32>,
}

impl Numbers {
    fn of(&mut self, node: u32) -> u32 {
        *self.known.entry(node).or_insert_with(|| {
            self.order.push(node);
            u32::try_from(self.order.len() - 1).unwrap_or(u32::MAX)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Parameter, ParameterPlace};

    fn operation(key: &str, edge: u32) -> ContractOperation {
        ContractOperation {
            key: key.into(),
            deprecated: true,
            parameters: vec![Parameter {
                place: ParameterPlace::Query,
                name: "q".into(),
                required: false,
                definition: Value::Map(vec![("schema".into(), Value::Node(edge))]),
            }],
            body: None,
            responses: Vec::new(),
            security: None,
        }
    }

    #[test]
    fn only_reached_schemas_of_named_operations_stay() {
        let text = Value::Text("string".into());
        let contract = Contract {
            name: "a".into(),
            operations: Set::new(vec![
                operation("a/one", 0),
                operation("a/three", 2),
                operation("a/two", 2),
            ])
            .unwrap(),
            outgoing: Set::default(),
            schemas: vec![
                Value::Bool(true),
                text.clone(),
                Value::Map(vec![("items".into(), Value::Node(1))]),
            ],
            names_only: false,
        };
        let both = ValidatedMessages {
            requests: true,
            responses: true,
        };
        let messages = Messages::of(
            &contract,
            &BTreeMap::from([("a/two", both), ("a/three", both)]),
        );
        let messages = messages.unwrap();
        assert_eq!(messages.operations.len(), 2);
        let items = Value::Map(vec![("items".into(), Value::Node(1))]);
        assert_eq!(messages.schemas, [items, text], "shared, and renumbered");
        assert!(messages.is_closed());
        assert_eq!(Messages::of(&contract, &BTreeMap::new()), None);
        let open = Messages {
            schemas: Vec::new(),
            ..messages
        };
        assert!(!open.is_closed());
    }
}
