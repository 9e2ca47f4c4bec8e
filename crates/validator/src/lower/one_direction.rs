//! Properties that messages of one direction do not contain: `readOnly` in requests, `writeOnly` in
//! responses.

use bundle::ir::Value;
use rustc_hash::FxHashSet;

use super::table::resolved;

/// Names of the properties that the schemas `own` of the table `nodes` mark with `keyword`.
pub(super) fn properties_of<'a>(
    own: &'a [Value],
    nodes: &'a [Value],
    keyword: &str,
) -> FxHashSet<&'a str> {
    let objects = own.iter().filter_map(|node| node.get("properties"));
    let properties = objects.flat_map(|all| resolved(nodes, all).entries());
    let names = properties.filter(|(_, schema)| is_of_other_direction(nodes, schema, keyword));
    names.map(|(name, _)| &**name).collect()
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
