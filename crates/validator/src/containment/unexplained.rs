//! Values that the wide schema refuses not only for known reasons. A pair of schemas can have a
//! difference of a low level, or a difference inside, beside one that breaks clients.

use bundle::ir::Value;
use serde_json::Value as Json;

use super::exact::{Explained, Form};
use super::text::Reader;
use super::validators::{Checker, Patterns};
use super::{Containment, Doubt, violations};

impl<'a> Containment<'a> {
    /// Returns the smallest value found that the narrow schema accepts and the wide one refuses,
    /// also for a cause that is not in `explained`.
    pub fn unexplained(
        &mut self,
        (narrow, wide): (&'a Value, &'a Value),
        form: Form,
        explained: &Explained<'_, 'a>,
    ) -> Option<Json> {
        let first = self.samples((narrow, wide), form)?;
        let found = self.first_unexplained(first, (narrow, wide), form, explained);
        found.or_else(|| {
            let left = &mut self.violations;
            let values = violations::values(self.solver.nodes, (narrow, wide), &[], left);
            let values = super::smallest_first(values);
            self.first_unexplained(values, (narrow, wide), form, explained)
        })
    }

    /// True if a pair has an unexplained value ([`Self::unexplained`]) when patterns that cannot be
    /// enforced are left out. The value shows that the pair may break, but is no witness: the narrow
    /// schema may refuse it because of such a pattern.
    pub fn may_be_unexplained(
        &mut self,
        (narrow, wide): (&'a Value, &'a Value),
        explained: &Explained<'_, 'a>,
    ) -> bool {
        let sides = [narrow, wide].map(|side| self.solver.id(side));
        let mut doubts = sides.into_iter().filter_map(|id| self.validators.doubt(id));
        if !doubts.any(|doubt| doubt == Doubt::Keyword("pattern")) {
            return false;
        }
        self.patterns = Patterns::Omitted;
        let found = self.unexplained((narrow, wide), Form::Json, explained);
        self.patterns = Patterns::Enforced;
        found.is_some()
    }

    /// First of these values that is a witness with an unexplained cause.
    fn first_unexplained(
        &mut self,
        values: Vec<Json>,
        (narrow, wide): (&'a Value, &'a Value),
        form: Form,
        explained: &Explained<'_, 'a>,
    ) -> Option<Json> {
        let mut shown = Vec::new();
        let further = values.len();
        let reader = Reader::new(self.solver.nodes, (narrow, wide), form);
        let is_last = |value: Json, wide: &Checker<'_, '_>| {
            let readings = reader.readings(&value).unwrap_or_default();
            if readings
                .iter()
                .all(|value| !explained.explains(value, wide))
            {
                shown.push(value);
            }
            // A value that shows a difference of an inner pair is excluded below.
            !shown.is_empty() && explained.pairs.is_empty()
        };
        self.each_shown(values, (narrow, wide), form, (further, is_last));
        let pairs = explained.pairs.iter();
        let pairs = pairs.flat_map(|((one, other), _)| [*one, *other]);
        let pairs: Vec<(&'a Value, u64)> = pairs
            .map(|schema| (schema, self.solver.id(schema)))
            .collect();
        let checkers = self.validators.compiled(&pairs, self.patterns)?;
        let is_of_pair = |value: &Json| {
            let mut pairs = explained.pairs.iter().zip(checkers.chunks_exact(2));
            pairs.any(|((_, outside), pair)| {
                let value = &outside.removed_from(value);
                pair[0].is_valid(value) != Some(false) && pair[1].is_valid(value) != Some(true)
            })
        };
        shown.into_iter().find(|value| !is_of_pair(value))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::super::brute::{classes, node};
    use super::*;
    use crate::lower::Direction;

    #[test]
    fn new_property_that_a_condition_names_is_unexplained() {
        for schema in [
            json!({"type": "object", "if": {"required": ["a"]}, "then": {"required": ["b"]}}),
            json!({"type": "object", "dependentRequired": {"a": ["b"]}}),
        ] {
            let mut wide = schema.clone();
            wide["properties"] = json!({"a": {"type": "string"}});
            let mut table = Vec::new();
            let edges = (node(&mut table, &schema), node(&mut table, &wide));
            let ranks = classes(&table);
            let class = |node: u32| ranks[node as usize];
            let limits = (100_000, 10);
            let mut containment =
                Containment::new(&table, &class, Direction::Request, limits).described();
            let found =
                containment.unexplained((&edges.0, &edges.1), Form::Json, &Explained::default());
            let members = found.as_ref().and_then(Json::as_object).expect("an object");
            assert!(
                !members["a"].is_string() && members.contains_key("b"),
                "{found:?}"
            );
        }
    }
}
