//! Bound on the work of one check.
//!
//! A recursive schema with alternatives can be evaluated a number of times that is exponential in
//! the depth of the value: at each level, each alternative checks the levels below again. Each
//! evaluation of a recursive schema is therefore a counted step. A value whose check needs more
//! steps than its size allows is refused.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use jsonschema::{Keyword, ValidationError, Validator};
use serde_json::{Map, Value, json};

/// Keyword that counts a step, and holds while steps are left.
pub(crate) const KEYWORD: &str = "x-gwd-step";

/// Steps for each value.
const STEPS_MIN: u64 = 2_000;
/// Further steps for each JSON value inside the value.
const STEPS_PER_NODE: u64 = 16;
/// Maximum number of steps for a value.
const STEPS_MAX: u64 = 4_000_000;

thread_local! {
    /// Steps that the current check has left. `None`: a check needed more.
    static LEFT: Cell<Option<u64>> = const { Cell::new(Some(0)) };
}

/// Implementation of [`KEYWORD`].
pub(crate) struct Step;

impl Step {
    fn take() -> bool {
        let left = LEFT.get().and_then(|left| left.checked_sub(1));
        LEFT.set(left);
        left.is_some()
    }
}

impl<'i> Keyword<'i> for Step {
    fn validate(&self, _: &'i Value) -> Result<(), ValidationError<'i>> {
        match Self::take() {
            true => Ok(()),
            false => Err(ValidationError::custom("no step is left")),
        }
    }

    fn is_valid(&self, _: &'i Value) -> bool {
        Self::take()
    }
}

/// Runs a check of a value with this number of JSON values inside. `None` if the check needs too
/// many steps: its result is then wrong.
pub(crate) fn within<T>(nodes: u64, check: impl FnOnce() -> T) -> Option<T> {
    let steps = STEPS_MIN.saturating_add(nodes.saturating_mul(STEPS_PER_NODE));
    LEFT.set(Some(steps.min(STEPS_MAX)));
    let result = check();
    LEFT.get().map(|_| result)
}

/// True if a value matches a schema. `None` if that takes too many steps.
pub(crate) fn is_valid(schema: &Validator, value: &Value) -> Option<bool> {
    within(nodes(value), || schema.is_valid(value))
}

/// Number of JSON values inside a value, with itself.
pub(crate) fn nodes(value: &Value) -> u64 {
    1 + match value {
        Value::Array(items) => items.iter().map(nodes).sum(),
        Value::Object(members) => members.values().map(nodes).sum(),
        _ => 0,
    }
}

/// Makes each definition that is part of a cycle of references count its evaluations. The
/// definition becomes the `then` of an `if` that counts, so that its evaluation ends at once when
/// no steps are left.
pub(crate) fn count(defs: &mut Map<String, Value>) {
    for name in circular(defs) {
        if let Some(def) = defs.get_mut(&name) {
            let counted = json!({"if": {KEYWORD: true}, "else": false});
            let schema = std::mem::replace(def, counted);
            def["then"] = schema;
        }
    }
}

/// Names of definitions that are part of a cycle of references, or on a path between two cycles.
fn circular(defs: &Map<String, Value>) -> BTreeSet<String> {
    let edges: BTreeMap<&str, BTreeSet<&str>> = defs
        .iter()
        .map(|(name, def)| {
            let mut to = BTreeSet::new();
            references(def, &mut to);
            (name.as_str(), to)
        })
        .collect();
    let mut inside: BTreeSet<&str> = edges.keys().copied().collect();
    // Remove definitions without a reference from or to the others, until none is left.
    loop {
        let named: BTreeSet<&str> = inside
            .iter()
            .flat_map(|name| edges[name].iter().copied())
            .collect();
        let before = inside.len();
        inside.retain(|name| named.contains(name));
        let left = inside.clone();
        inside.retain(|name| edges[name].iter().any(|to| left.contains(to)));
        if inside.len() == before {
            return inside.into_iter().map(str::to_owned).collect();
        }
    }
}

/// Collects the names of the definitions that a schema refers to.
fn references<'s>(schema: &'s Value, to: &mut BTreeSet<&'s str>) {
    match schema {
        Value::Array(items) => items.iter().for_each(|item| references(item, to)),
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref")
                && let Some(name) = reference.strip_prefix("#/$defs/")
            {
                to.insert(name);
            }
            members.values().for_each(|value| references(value, to));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_in_circles_are_found() {
        let to = |names: &[&str]| {
            let all = names
                .iter()
                .map(|name| json!({"$ref": format!("#/$defs/{name}")}));
            json!({"properties": {"p": {"oneOf": all.collect::<Vec<_>>()}}})
        };
        let defs = json!({
            "root": to(&["a", "own"]),
            "a": to(&["b"]),
            "b": to(&["a", "leaf"]),
            "own": to(&["own"]),
            "leaf": to(&[]),
            "after": to(&["leaf"]),
        });
        let found = circular(defs.as_object().unwrap());
        assert_eq!(Vec::from_iter(found), ["a", "b", "own"]);
    }

    #[test]
    fn check_without_steps_has_no_result() {
        assert_eq!(within(0, Step::take), Some(true));
        let takes = |count: u64| within(1, || (0..count).all(|_| Step::take()));
        assert_eq!(takes(STEPS_MIN + STEPS_PER_NODE), Some(true));
        assert_eq!(takes(STEPS_MIN + STEPS_PER_NODE + 1), None);
        // The next check starts with all its steps.
        assert_eq!(takes(1), Some(true));
    }
}
