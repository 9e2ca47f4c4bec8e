//! Search for parts of a schema, or of schemas that it references, that are not enforced.

use bundle::ir::Value;
use rustc_hash::FxHashSet;

use super::{Lowering, NotEnforced};

impl<'a> Lowering<'a> {
    /// First part that is not enforced, of a schema or of the schemas that it references.
    pub(crate) fn not_enforced_in(&self, schema: &'a Value) -> Option<NotEnforced> {
        let mut seen: FxHashSet<u32> = FxHashSet::default();
        let mut waiting = vec![(None, schema)];
        while let Some((node, schema)) = waiting.pop() {
            let in_cycle = |node: u32| self.cycles.range((node, 0)..=(node, u32::MAX)).count() > 0;
            if node.is_some_and(in_cycle) {
                return Some(NotEnforced::Cycle);
            }
            let mut entries = schema.entries().iter();
            let found = entries.find_map(|(key, value)| self.not_enforced_by(key, value));
            if found.is_some() {
                return found;
            }
            schema.each_node(&mut |node| {
                if seen.insert(node) {
                    waiting.push((Some(node), self.node(node)));
                }
            });
        }
        None
    }

    /// Part of one keyword that is not enforced. Does not examine the schemas inside the keyword.
    fn not_enforced_by(&self, key: &str, value: &'a Value) -> Option<NotEnforced> {
        let value = self.resolve(value);
        let patterns: Vec<&str> = match (key, value) {
            ("$dynamicRef", _) => return Some(NotEnforced::DynamicRef),
            ("pattern", Value::Text(text)) => vec![text],
            ("patternProperties", _) => value.entries().iter().map(|(name, _)| &**name).collect(),
            _ => return None,
        };
        let mut patterns = patterns.into_iter();
        let found = patterns.find(|one| self.patterns.get(one) == Some(&false))?;
        Some(NotEnforced::Pattern(found.into()))
    }
}
