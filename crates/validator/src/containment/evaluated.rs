//! Properties that `additionalProperties` and `unevaluatedProperties` leave to other keywords.

use bundle::ir::Value;

use super::one_way::APPLIED;
use super::question::{Solve, entries, property};
use super::value::is_found;

/// Maximum number of members of `allOf` that are read for one schema.
const MEMBERS_MAX: usize = 64;

/// Schema of the properties that no other keyword evaluates.
pub(super) struct Rest<'a> {
    /// Value of `additionalProperties` or `unevaluatedProperties`.
    pub(super) schema: &'a Value,
    /// Schemas whose `properties` and `patternProperties` evaluate the other properties.
    evaluated_by: Vec<&'a Value>,
}

/// Rest of a schema. `None` if the schema has no such keyword, or if it is not certain which
/// properties other keywords evaluate.
pub(super) fn rest<'a>(solver: &dyn Solve<'a>, schema: &'a Value) -> Option<Rest<'a>> {
    if let Some(additional) = schema.get("additionalProperties") {
        return Some(Rest {
            schema: additional,
            evaluated_by: vec![schema],
        });
    }
    let unevaluated = schema.get("unevaluatedProperties")?;
    let mut evaluated_by = Vec::new();
    let mut waiting = vec![schema];
    while let Some(one) = waiting.pop() {
        let is_inner = !std::ptr::eq(one, schema);
        let evaluates_all = ["additionalProperties", "unevaluatedProperties"];
        let is_uncertain = APPLIED
            .iter()
            .any(|key| *key != "allOf" && one.get(key).is_some())
            || one.get("$dynamicRef").is_some()
            || is_inner && evaluates_all.iter().any(|key| one.get(key).is_some())
            || evaluated_by.len() >= MEMBERS_MAX;
        if is_uncertain {
            return None;
        }
        evaluated_by.push(one);
        if let Some(members) = one.get("allOf") {
            let members = solver.at(members).items().iter();
            waiting.extend(members.map(|member| solver.at(member)));
        }
    }
    Some(Rest {
        schema: unevaluated,
        evaluated_by,
    })
}

impl<'a> Rest<'a> {
    /// Patterns of names whose properties are not part of the rest.
    pub(super) fn patterns(&self, solver: &dyn Solve<'a>) -> impl Iterator<Item = &'a str> {
        let all = self.evaluated_by.iter();
        let all = all.flat_map(|schema| entries(solver, schema, "patternProperties"));
        all.map(|(text, _)| &**text)
    }

    /// True if a property is not part of the rest.
    pub(super) fn describes(&self, solver: &dyn Solve<'a>, name: &str) -> bool {
        self.is_named(solver, name) || self.is_matched(solver, name, |found| found == Some(true))
    }

    /// True if a property is not part of the rest, also if it is not certain.
    pub(super) fn may_describe(&self, solver: &dyn Solve<'a>, name: &str) -> bool {
        self.is_named(solver, name) || self.is_matched(solver, name, |found| found != Some(false))
    }

    fn is_named(&self, solver: &dyn Solve<'a>, name: &str) -> bool {
        let mut all = self.evaluated_by.iter();
        all.any(|schema| property(solver, schema, name).is_some())
    }

    fn is_matched(
        &self,
        solver: &dyn Solve<'a>,
        name: &str,
        is_match: impl Fn(Option<bool>) -> bool,
    ) -> bool {
        self.patterns(solver)
            .any(|text| is_match(is_found(text, name)))
    }
}
