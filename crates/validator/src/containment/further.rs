//! Sample values of two schemas of different tables, for examples of messages.

use bundle::ir::Value;
use serde_json::Value as Json;

use super::{pool, smallest_first, violations};
use crate::samples::Schema;

/// Maximum number of schemas in both tables together. The tables are copied.
const SCHEMAS_MAX: usize = 20_000;

/// Values that the narrow schema may accept and the wide one may refuse. In contrast to
/// [`crate::samples::Search::values`], a value can violate several keywords, names of properties
/// and schemas in `not`. `left`: remaining steps of all searches. Empty without a second schema.
pub(crate) fn values(
    narrow: Option<Schema<'_>>,
    wide: Option<Schema<'_>>,
    left: &mut u32,
) -> Vec<Json> {
    static ANY: Value = Value::Bool(true);
    let (nodes, narrow) = narrow.unwrap_or((&[], &ANY));
    let Some((others, wide)) = wide else {
        return Vec::new();
    };
    if *left == 0 || nodes.len() + others.len() > SCHEMAS_MAX {
        return Vec::new();
    }
    let start = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
    let mut moved = |node: u32| node + start;
    let wide = wide.with_nodes(&mut moved);
    let mut all = nodes.to_vec();
    all.extend(others.iter().map(|node| node.with_nodes(&mut moved)));
    let mut work = violations::Left::of_steps(*left);
    let mut values = violations::values(&all, (narrow, &wide), &[], &mut work);
    *left = work.in_steps();
    values.extend(pool::values(&all, [narrow, &wide]));
    smallest_first(values)
}
