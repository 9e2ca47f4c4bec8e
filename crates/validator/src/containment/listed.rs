//! Texts of schemas that list all their values, such as `enum`.

use bundle::ir::Value;
use serde_json::Value as Json;

use super::Containment;
use super::exact::Form;
use super::text::Reader;
use crate::lower::resolved;
use crate::samples::literal;

/// Maximum number of listed values whose text is read.
const LISTED_MAX: usize = 256;

impl<'a> Containment<'a> {
    /// True if the narrow schema lists all its values, as `enum` does, and the wide one accepts the
    /// text of each of them as a scalar or as a list of one item.
    pub fn is_read(&mut self, narrow: &'a Value, wide: &'a Value) -> bool {
        static BOTH: [Value; 2] = [Value::Bool(true), Value::Bool(false)];
        let nodes = self.solver.nodes;
        let narrow = resolved(nodes, narrow);
        let is_boolean = || narrow.get("type") == Some(&Value::Text("boolean".into()));
        let values: &[Value] = match (narrow.get("const"), narrow.get("enum")) {
            (Some(value), _) => std::slice::from_ref(value),
            (None, Some(list)) => resolved(nodes, list).items(),
            (None, None) if is_boolean() => &BOTH,
            (None, None) => return false,
        };
        let reader = Reader::new(nodes, (narrow, wide), Form::Text);
        let all = [(wide, self.solver.id(wide))];
        let Some(checkers) = self.validators.compiled(&all, self.patterns) else {
            return false;
        };
        let accepts = |value: &Json| checkers[0].is_valid(value) == Some(true);
        values.len() <= LISTED_MAX
            && values.iter().all(|value| {
                let value = literal((nodes, value));
                let readings = reader.whole(&value);
                readings.is_some_and(|all| all.iter().any(accepts))
            })
    }
}
