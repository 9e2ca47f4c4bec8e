//! Properties that messages of one direction do not contain: `readOnly` in requests, `writeOnly` in
//! responses.

use std::ops::Range;

use bundle::ir::Value;
use rustc_hash::{FxHashMap, FxHashSet};

use super::table::{beside, count, node_number, resolved};

/// Maximum number of names that are noted for the schemas of a table. Above it, a name that one
/// schema marks is not required by any.
const NAMES_MAX: usize = 1_000_000;

/// Names of the required properties that messages of one direction may omit, for each schema of a
/// table. A property is marked by a schema of the same value: another object may have a property of
/// the same name that is required.
pub(crate) struct NotRequired<'a> {
    nodes: &'a [Value],
    /// Names by the number of the node. `None`: too many names, or schemas whose targets depend on
    /// the path (`$dynamicRef`).
    by_node: Option<FxHashMap<u32, FxHashSet<&'a str>>>,
    /// Names that any schema marks. They apply to a schema that is no node of the table.
    all: FxHashSet<&'a str>,
    none: FxHashSet<&'a str>,
}

impl<'a> NotRequired<'a> {
    /// Collects the names that the schemas `own` of the table `nodes` mark with `keyword`.
    pub(crate) fn of(nodes: &'a [Value], own: Range<u32>, keyword: &str) -> Self {
        let mut all = FxHashSet::default();
        let mut marks = Vec::new();
        for node in own {
            let names = marked(nodes, &nodes[node as usize], keyword);
            if !names.is_empty() {
                all.extend(names.iter().copied());
                marks.push((node, names));
            }
        }
        Self {
            nodes,
            by_node: by_node(nodes, &marks),
            all,
            none: FxHashSet::default(),
        }
    }

    /// Collects the names of a table of one contract.
    pub(crate) fn of_table(nodes: &'a [Value], keyword: &str) -> Self {
        Self::of(nodes, 0..count(nodes), keyword)
    }

    /// Names that a schema need not require. `schema` is a schema of the table.
    pub(crate) fn names(&self, schema: &Value) -> &FxHashSet<&'a str> {
        match (node_number(self.nodes, schema), &self.by_node) {
            (Some(node), Some(by_node)) => by_node.get(&node).unwrap_or(&self.none),
            _ => &self.all,
        }
    }
}

/// Names by node: those that a schema marks apply to all schemas of the same value. These are the
/// schemas that lead to it, and the schemas to which they lead.
fn by_node<'a>(
    nodes: &'a [Value],
    marks: &[(u32, FxHashSet<&'a str>)],
) -> Option<FxHashMap<u32, FxHashSet<&'a str>>> {
    let mut found: FxHashMap<u32, FxHashSet<&'a str>> = FxHashMap::default();
    if marks.is_empty() {
        return Some(found);
    }
    if nodes.iter().any(|node| node.get("$dynamicRef").is_some()) {
        return None;
    }
    let below: Vec<Vec<u32>> = (0..count(nodes)).map(|node| beside(nodes, node)).collect();
    let mut above = vec![Vec::new(); nodes.len()];
    for (from, edges) in (0u32..).zip(&below) {
        for to in edges {
            if let Some(all) = above.get_mut(*to as usize) {
                all.push(from);
            }
        }
    }
    let mut left = NAMES_MAX;
    for (node, names) in marks {
        let leading = reached(&above, vec![*node]);
        for node in reached(&below, leading) {
            left = left.checked_sub(names.len())?;
            found.entry(node).or_default().extend(names);
        }
    }
    Some(found)
}

/// Nodes that edges reach from these nodes, with the nodes themselves.
fn reached(edges: &[Vec<u32>], from: Vec<u32>) -> Vec<u32> {
    let mut seen: FxHashSet<u32> = from.iter().copied().collect();
    let mut all = from;
    let mut next = 0;
    while let Some(node) = all.get(next) {
        let own = edges.get(*node as usize).into_iter().flatten();
        let new: Vec<u32> = own.copied().filter(|to| seen.insert(*to)).collect();
        all.extend(new);
        next += 1;
    }
    all
}

/// Names of the properties that a schema marks with `keyword`.
fn marked<'a>(nodes: &'a [Value], schema: &'a Value, keyword: &str) -> FxHashSet<&'a str> {
    let properties = schema.get("properties").map(|all| resolved(nodes, all));
    let properties = properties.map(Value::entries).unwrap_or_default().iter();
    let names = properties.filter(|(_, schema)| is_of_other_direction(nodes, schema, keyword));
    names.map(|(name, _)| &**name).collect()
}

/// Names of the properties that the schemas of a table mark with `keyword`.
pub(super) fn properties_of<'a>(nodes: &'a [Value], keyword: &str) -> FxHashSet<&'a str> {
    let all = nodes.iter().map(|node| marked(nodes, node, keyword));
    all.flatten().collect()
}

/// True for the schema of a property with `readOnly: true`, which requests need not contain.
#[must_use]
pub fn is_read_only(nodes: &[Value], schema: &Value) -> bool {
    is_of_other_direction(nodes, schema, "readOnly")
}

/// True if the schema has `keyword: true`, or a schema that always applies with it (`allOf`,
/// `$ref`). Visits each schema of the table once.
pub(crate) fn is_of_other_direction(nodes: &[Value], schema: &Value, keyword: &str) -> bool {
    let mut seen = FxHashSet::default();
    let mut waiting = vec![schema];
    while let Some(schema) = waiting.pop() {
        if let Value::Node(node) = schema
            && !seen.insert(*node)
        {
            continue;
        }
        let schema = resolved(nodes, schema);
        if schema.get(keyword) == Some(&Value::Bool(true)) {
            return true;
        }
        for part in ["allOf", "$ref"]
            .into_iter()
            .filter_map(|key| schema.get(key))
        {
            match resolved(nodes, part) {
                Value::List(items) | Value::Set(items) => waiting.extend(items),
                _ => waiting.push(part),
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::containment::brute::node;

    /// Names of each node that requires properties, in order.
    fn names(schema: &serde_json::Value) -> Vec<Vec<String>> {
        let mut table = Vec::new();
        let _root = node(&mut table, schema);
        let all = NotRequired::of_table(&table, "readOnly");
        let requiring = table.iter().filter(|node| node.get("required").is_some());
        let of = |node: &Value| {
            let mut names: Vec<String> = all
                .names(node)
                .iter()
                .map(|name| (*name).to_owned())
                .collect();
            names.sort();
            names
        };
        requiring.map(of).collect()
    }

    #[test]
    fn names_belong_to_the_schemas_of_one_value() {
        let mark = json!({"properties": {"id": {"readOnly": true}}});
        let needs = json!({"required": ["id"]});
        for (schema, expected) in [
            (
                json!({"required": ["id"], "properties": {"id": {"readOnly": true}}}),
                "id",
            ),
            (
                json!({"required": ["id"], "properties": {"id": {"allOf": [{"readOnly": true}]}}}),
                "id",
            ),
            (json!({"allOf": [needs, mark]}), "id"),
            (json!({"anyOf": [{"allOf": [needs]}, {"not": mark}]}), "id"),
            (json!({"if": mark, "then": needs}), "id"),
            (json!({"required": ["id"], "allOf": [mark]}), "id"),
            // Another value of the message has a property of the same name.
            (
                json!({"required": ["id"], "properties": {"inner": mark}}),
                "",
            ),
            (json!({"items": mark, "required": ["id"]}), ""),
            (json!({"properties": {"one": mark, "other": needs}}), ""),
        ] {
            assert_eq!(names(&schema).concat().join(" "), expected, "{schema}");
        }
    }
}
