//! References to validators that are compiled when a value reaches them.
//!
//! A schema of an API refers to hundreds of others, of which a small value reaches a few. A
//! validator with deferred references contains only the schemas that apply to the value itself. A
//! check that reaches a schema without validator reports it as missing. The caller compiles the
//! missing validators and repeats the check ([`Table::checked`]).

use std::cell::RefCell;
use std::sync::{Arc, OnceLock, Weak};

use jsonschema::{Keyword, ValidationError};
use serde_json::Value;

use crate::steps::{self, Schema};

thread_local! {
    /// Nodes without validator that the checks of this thread have reached.
    static MISSING: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

/// Validator of each node, once it is compiled. `None`: values of the node cannot be checked.
type Validators = [OnceLock<Option<Schema>>];

/// Validators of the nodes of a schema table.
#[derive(Debug)]
pub(crate) struct Table(Arc<Validators>);

/// Reference to a [`Table`] for the validators in it. If they owned the table, it would never be
/// dropped.
#[derive(Clone, Debug)]
pub(crate) struct TableRef(Weak<Validators>);

/// Implementation of [`steps::DEFERRED`].
pub(crate) struct Deferred {
    table: TableRef,
    node: u32,
}

// === impl Table ===

impl Table {
    /// Creates a table without validators. `nodes`: number of nodes.
    pub(crate) fn new(nodes: usize) -> Self {
        Self((0..nodes).map(|_| OnceLock::new()).collect())
    }

    /// Reference for the validators of this table.
    pub(crate) fn reference(&self) -> TableRef {
        TableRef(Arc::downgrade(&self.0))
    }

    /// Runs a check until all validators that it reaches are compiled. `compile` returns the
    /// validator of a node. `None`: values of the node cannot be checked.
    pub(crate) fn checked<T>(
        &self,
        check: impl Fn() -> T,
        mut compile: impl FnMut(u32) -> Option<Schema>,
    ) -> T {
        loop {
            let result = check();
            let missing = MISSING.take();
            if missing.is_empty() {
                return result;
            }
            for node in missing {
                if let Some(place) = self.0.get(node as usize) {
                    place.get_or_init(|| compile(node));
                }
            }
        }
    }
}

// === impl TableRef ===

impl TableRef {
    /// Creates the keyword from its value, the number of a node.
    pub(crate) fn keyword(&self, node: &Value) -> Deferred {
        let node = node.as_u64().and_then(|node| node.try_into().ok());
        Deferred {
            table: self.clone(),
            node: node.unwrap_or(u32::MAX),
        }
    }
}

// === impl Deferred ===

impl<'i> Keyword<'i> for Deferred {
    fn validate(&self, value: &'i Value) -> Result<(), ValidationError<'i>> {
        match self.is_valid(value) {
            true => Ok(()),
            false => Err(ValidationError::custom("the value does not match")),
        }
    }

    /// Each evaluation counts as a step, because a node can be below itself.
    fn is_valid(&self, value: &'i Value) -> bool {
        if !steps::take() {
            return false;
        }
        let table = self.table.0.upgrade();
        match table
            .as_ref()
            .and_then(|table| table.get(self.node as usize))
        {
            Some(place) => match place.get() {
                Some(Some(schema)) => schema.is_valid_inside(value),
                Some(None) => steps::spend(u64::MAX),
                None => {
                    MISSING.with_borrow_mut(|missing| missing.push(self.node));
                    true
                }
            },
            None => steps::spend(u64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use bundle::ir::Value as Node;
    use serde_json::json;

    use crate::compile::ValidatorBuilder;
    use crate::containment::brute::node;
    use crate::lower::Direction;

    #[test]
    fn deferred_schemas_check_as_whole_documents_do() {
        // Nine properties, so that `item` is deferred; `item` is below itself.
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        let own: serde_json::Map<String, serde_json::Value> = names
            .iter()
            .zip(0..)
            .map(|(name, length)| {
                (
                    name.to_string(),
                    json!({"type": "string", "minLength": length}),
                )
            })
            .collect();
        let inner = json!({"type": "object", "required": ["a"], "properties": own});
        let outer = json!({
            "type": "object",
            "properties": {"one": inner, "list": {"type": "array", "items": inner}},
            "additionalProperties": inner,
        });
        let mut table: Vec<Node> = Vec::new();
        let outer = node(&mut table, &outer);
        let builder = || ValidatorBuilder::new(&table, Direction::Request);
        let whole = builder().validator(&outer).unwrap();
        let (mut parts, deferred) = builder().deferring();
        let part = parts.validator(&outer).unwrap();
        for (value, is_valid) in [
            (json!({}), true),
            (json!({"one": {"a": ""}}), true),
            (json!({"one": {}}), false),
            (json!({"one": {"a": "", "c": "x"}}), false),
            (json!({"list": [{"a": ""}, {"a": "", "b": "x"}]}), true),
            (json!({"list": [{"a": ""}, {"a": "", "b": ""}]}), false),
            (json!({"other": {"a": 1}}), false),
        ] {
            assert_eq!(whole.is_valid(&value), Some(is_valid), "{value}");
            let compile = |node: u32| parts.validator(&table[node as usize]).ok();
            let found = deferred.checked(|| part.is_valid(&value), compile);
            assert_eq!(found, Some(is_valid), "{value}");
        }
    }
}
