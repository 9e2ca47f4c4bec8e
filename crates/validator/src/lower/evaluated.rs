//! Search for schemas whose conversion evaluates fewer properties or items than the original.
//! `unevaluatedProperties` and `unevaluatedItems` (JSON Schema 2020-12 core §11) refuse what no
//! other keyword evaluates, so that with such a schema they would refuse valid messages.

use bundle::ir::Value;

use super::{Lowering, find};

impl<'a> Lowering<'a> {
    /// Marks the nodes whose conversion leaves out keywords that evaluate properties or items, and
    /// the nodes that apply such a node to the same value.
    pub(super) fn find_partial(&mut self) {
        let count = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let mut applying: Vec<Vec<u32>> = vec![Vec::new(); self.nodes.len()];
        let mut waiting = Vec::new();
        for node in 0..count {
            for to in self.beside(node) {
                if let Some(all) = applying.get_mut(to as usize) {
                    all.push(node);
                }
            }
            let closes = self.cycles.range((node, 0)..=(node, u32::MAX)).count() > 0;
            if closes || self.leaves_out(self.node(node)) {
                waiting.push(node);
            }
        }
        while let Some(node) = waiting.pop() {
            if self.partial.insert(node) {
                waiting.extend(&applying[node as usize]);
            }
        }
    }

    /// Returns true if the conversion of a node leaves out a keyword that evaluates properties or
    /// items. Does not examine the nodes to which the node refers.
    fn leaves_out(&self, node: &'a Value) -> bool {
        node.entries().iter().any(|(key, value)| match &**key {
            "$dynamicRef" => true,
            "patternProperties" => {
                let mut entries = self.resolve(value).entries().iter();
                entries.any(|(pattern, _)| self.patterns.get(&**pattern) == Some(&false))
            }
            "if" => self.is_loose(value),
            _ => false,
        })
    }

    /// Returns true if `unevaluatedProperties` and `unevaluatedItems` of this schema would refuse
    /// valid messages. `node`: node that contains the schema.
    pub(super) fn is_partial(&self, entries: &'a [(Box<str>, Value)], node: Option<u32>) -> bool {
        let has = |key: &str| find(entries, key).is_some();
        (has("unevaluatedProperties") || has("unevaluatedItems"))
            && node.is_some_and(|node| self.partial.contains(&node))
    }
}
