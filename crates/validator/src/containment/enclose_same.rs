//! Values that show the differences of an outer and of an inner pair of schemas, which apply to the
//! same value.

use bundle::ir::Value;
use serde_json::Value as Json;

use super::enclose::{self, Position};
use super::exact::Form;
use super::validators::Checker;
use super::{Containment, smallest_first, violations};

impl<'a> Containment<'a> {
    /// Returns a value that shows the difference of an outer pair and of an inner pair that applies
    /// to the same value. `value` shows the inner difference. `None` if no such value was found.
    pub fn enclose_same(
        &mut self,
        outer: (&'a Value, &'a Value),
        inner: (&'a Value, &'a Value),
        (value, form): (&Json, Form),
    ) -> Option<Json> {
        self.enclosed = self.enclosed.checked_sub(1)?;
        let nodes = self.solver.nodes;
        let position = Position::Whole;
        let first = |containment: &mut Self, values: Vec<Json>| {
            let mut shown = Vec::new();
            let further = values.len();
            let add = |value: Json, _: &Checker<'_, '_>| {
                shown.push(value);
                false
            };
            containment.each_shown(values, outer, form, (further, add));
            containment.shown(shown, inner, form)
        };
        let found = first(self, enclose::small(position, value));
        let found = found.or_else(|| {
            let values =
                enclose::samples((nodes, outer.0), position, value, &mut self.search_steps);
            first(self, values)
        });
        found.or_else(|| {
            let left = &mut self.violations;
            let mut values = violations::values(nodes, outer, &[inner.0], left);
            let inside = (outer.0, inner.1);
            values.extend(violations::values(nodes, inside, &[inner.0], left));
            first(self, smallest_first(values))
        })
    }
}
