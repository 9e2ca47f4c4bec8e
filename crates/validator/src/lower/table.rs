//! References in a table of schemas.

use bundle::ir::Value;

/// Returns the node to which a reference leads, or any other value unchanged.
pub(crate) fn resolved<'a>(nodes: &'a [Value], value: &'a Value) -> &'a Value {
    match value {
        Value::Node(node) => nodes.get(*node as usize).unwrap_or(&Value::Bool(true)),
        value => value,
    }
}

/// Number of the node that a schema is or refers to. `None` for a schema outside of the table.
pub(crate) fn node_number(nodes: &[Value], schema: &Value) -> Option<u32> {
    if let Value::Node(node) = schema {
        return Some(*node);
    }
    // `schema` may be an element of the table itself instead of a reference to it.
    let address = std::ptr::from_ref(schema) as usize;
    let offset = address.wrapping_sub(nodes.as_ptr() as usize);
    let node = u32::try_from(offset / size_of::<Value>()).ok()?;
    (node < count(nodes)).then_some(node)
}

/// Number of nodes of a table.
pub(super) fn count(nodes: &[Value]) -> u32 {
    u32::try_from(nodes.len()).unwrap_or(u32::MAX)
}

/// Nodes to which a node refers with keywords for the same value, such as `allOf`.
pub(super) fn beside(nodes: &[Value], node: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let Some(schema) = nodes.get(node as usize) else {
        return found;
    };
    for (key, value) in schema.entries() {
        match &**key {
            "allOf" | "anyOf" | "oneOf" | "dependentSchemas" => {
                resolved(nodes, value).each_node(&mut |edge| found.push(edge));
            }
            "not" | "if" | "then" | "else" | "$ref" => {
                value.each_node(&mut |edge| found.push(edge));
            }
            "discriminator" if schema.get("oneOf").is_some() => {
                let mapping = resolved(nodes, value).get("mapping");
                let mapping = mapping.map(|mapping| resolved(nodes, mapping));
                mapping
                    .into_iter()
                    .for_each(|mapping| mapping.each_node(&mut |edge| found.push(edge)));
            }
            _ => {}
        }
    }
    found
}
