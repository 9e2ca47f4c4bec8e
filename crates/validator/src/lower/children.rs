//! Conversion of keywords whose schemas apply to the items or properties of a value.
//!
//! A document contains all schemas that its schema refers to, or defers the large ones below items
//! and properties. A deferred schema is a reference by [`steps::DEFERRED`] to a validator that is
//! compiled when a value reaches it.

use bundle::ir::Value;
use rustc_hash::FxHashSet;
use serde_json::{Map, Value as Json, json};

use super::Lowering;
use crate::steps;

/// Maximum number of nodes below a schema that is not deferred.
const CONTAINED_MAX: usize = 8;

impl<'a> Lowering<'a> {
    /// Builds documents that defer schemas from now on.
    pub(crate) fn defer(&mut self) {
        self.deferred.get_or_insert_default();
    }

    /// Converts a keyword whose schemas apply to the items or properties of a value.
    pub(super) fn lower_children(
        &mut self,
        (key, value): (&'a str, &'a Value),
        out: &mut Map<String, Json>,
    ) {
        match key {
            "additionalProperties"
            | "propertyNames"
            | "contains"
            | "unevaluatedItems"
            | "unevaluatedProperties" => {
                let schema = self.child(value);
                out.insert(key.to_string(), steps::costly(schema));
            }
            "items" => match self.resolve(value) {
                Value::List(_) => {
                    let items = self.children(value);
                    out.insert("prefixItems".into(), items.into());
                }
                _ => {
                    let schema = self.child(value);
                    out.insert("items".into(), steps::costly(schema));
                }
            },
            "prefixItems" => {
                let items = self.children(value);
                out.insert("prefixItems".into(), items.into());
            }
            "properties" => {
                let schemas = self.children_by_key(value);
                out.insert(key.to_string(), schemas.into());
            }
            _ => {}
        }
    }

    /// Converts `patternProperties`. Returns true if a pattern that cannot be enforced was left
    /// out.
    pub(super) fn lower_patterns(&mut self, value: &'a Value, out: &mut Map<String, Json>) -> bool {
        let all = self.children_by_key(value);
        let count = all.len();
        let kept: Map<String, Json> = self
            .resolve(value)
            .entries()
            .iter()
            .filter(|(pattern, _)| self.patterns.get(&**pattern) == Some(&true))
            .filter_map(|(pattern, _)| {
                let schema = all.get(&**pattern)?.clone();
                Some((pattern.to_string(), steps::costly(schema)))
            })
            .collect();
        let drops_pattern = kept.len() < count;
        out.insert("patternProperties".into(), kept.into());
        drops_pattern
    }

    /// Converts the schema of an item or of a property.
    fn child(&mut self, value: &'a Value) -> Json {
        match value {
            Value::Node(node) if self.is_deferred(*node) => json!({steps::DEFERRED: node}),
            value => self.schema(value, None),
        }
    }

    fn children(&mut self, value: &'a Value) -> Vec<Json> {
        let items = self.resolve(value).items();
        items.iter().map(|item| self.child(item)).collect()
    }

    fn children_by_key(&mut self, value: &'a Value) -> Map<String, Json> {
        let entries = self.resolve(value).entries().iter();
        entries
            .map(|(key, value)| (key.to_string(), self.child(value)))
            .collect()
    }

    /// True if documents refer to a node without containing it.
    fn is_deferred(&mut self, node: u32) -> bool {
        let Some(deferred) = &self.deferred else {
            return false;
        };
        if let Some(known) = deferred.get(&node) {
            return *known;
        }
        let is_deferred = self.is_large(node);
        if let Some(deferred) = &mut self.deferred {
            deferred.insert(node, is_deferred);
        }
        is_deferred
    }

    /// True if more than [`CONTAINED_MAX`] nodes are below a node, or the node itself.
    fn is_large(&self, node: u32) -> bool {
        let mut seen: FxHashSet<u32> = FxHashSet::default();
        let mut waiting = vec![node];
        let mut is_below_itself = false;
        while let Some(next) = waiting.pop() {
            self.node(next).each_node(&mut |below| {
                is_below_itself |= below == node;
                if seen.len() <= CONTAINED_MAX && seen.insert(below) {
                    waiting.push(below);
                }
            });
            if is_below_itself || seen.len() > CONTAINED_MAX {
                return true;
            }
        }
        false
    }
}
