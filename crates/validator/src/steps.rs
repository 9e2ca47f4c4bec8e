//! Bound on the work of one check.
//!
//! A recursive schema with alternatives can be evaluated a number of times that is exponential in
//! the depth of the value: at each level, each alternative checks the levels below again. Each
//! evaluation of a recursive schema therefore counts as one step. A value is refused if its check
//! needs more steps than the value's size allows.
//!
//! Schemas without recursion can also need much work: `allOf: [X, X]` on twenty levels evaluates X
//! a million times. A description of errors contains an error for each item, alternative and
//! required name. Each evaluation of a definition or alternative therefore adds the size of its
//! schema to the cost of the check.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use jsonschema::{Keyword, ValidationError, Validator};
use serde_json::{Map, Value, json};

/// Keyword that counts a step. Valid while steps are left.
pub(crate) const KEYWORD: &str = "x-gwd-step";
/// Keyword that adds its value to the cost of the check. Valid while the cost is below its maximum.
pub(crate) const COST: &str = "x-gwd-cost";
/// Keyword that refers to a validator that is compiled when a value reaches it. Its value is the
/// number of the schema's node.
pub(crate) const DEFERRED: &str = "x-gwd-deferred";

/// Steps allowed for a check of any value. [`STEPS_PER_NODE`] is added for each JSON value.
const STEPS_MIN: u64 = 2_000;
/// Additional steps allowed for each JSON value in the checked value, including the value itself.
const STEPS_PER_NODE: u64 = 16;
/// Maximum number of steps of a check, regardless of the size of the value.
const STEPS_MAX: u64 = 4_000_000;

/// Costs allowed for a check of any value. [`COSTS_PER_NODE`] is added for each JSON value.
const COSTS_MIN: u64 = 2_000_000;
/// Additional costs allowed for each JSON value in the checked value, including the value itself.
const COSTS_PER_NODE: u64 = 1_000;
/// Maximum costs of a check, regardless of the size of the value. Such a check takes about a
/// second.
const COSTS_MAX: u64 = 50_000_000;
/// Maximum cost of a description of errors. Each unit of cost allows about one error, which takes
/// 500 bytes.
const DESCRIPTION_COSTS_MAX: u64 = 50_000;

/// Maximum number of steps of a brief check ([`briefly`]). Such a check takes less than a
/// millisecond.
const STEPS_BRIEF_MAX: u64 = 500;
/// Maximum cost of a brief check. A check of this cost takes about a millisecond.
const COSTS_BRIEF_MAX: u64 = 50_000;

/// State of a brief check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Brief {
    /// Checks are not brief.
    Off,
    /// The checks so far were brief.
    Running,
    /// A check has exceeded the limits of a brief check.
    Exceeded,
}

thread_local! {
    /// State of the brief check of this thread.
    static BRIEF: Cell<Brief> = const { Cell::new(Brief::Off) };
    /// Remaining steps of the current check. `None`: the check needed too many steps, or cost too
    /// much.
    static LEFT: Cell<Option<u64>> = const { Cell::new(Some(0)) };
    /// Remaining cost of the current check.
    static COSTS_LEFT: Cell<u64> = const { Cell::new(0) };
    /// Total cost of all checks of this thread. Wraps around.
    static COSTS: Cell<u64> = const { Cell::new(0) };
    /// Number of JSON values that a check visits in addition to those in the checked value: the
    /// values of JSON inside a string.
    static FURTHER_NODES: Cell<u64> = const { Cell::new(0) };
}

/// Total cost of all checks of this thread, for callers that check many values. Wraps around.
pub(crate) fn costs() -> u64 {
    COSTS.get()
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

/// Implementation of [`COST`]. The number is the cost of one evaluation.
pub(crate) struct Cost(u64);

impl Cost {
    /// Reads the cost from the value of the keyword.
    pub(crate) fn of(value: &Value) -> Self {
        Self(value.as_u64().unwrap_or(1))
    }

    fn take(&self) -> bool {
        let left = COSTS_LEFT.get().checked_sub(self.0);
        match left {
            Some(left) => COSTS_LEFT.set(left),
            None => LEFT.set(None),
        }
        left.is_some()
    }
}

impl<'i> Keyword<'i> for Cost {
    fn validate(&self, _: &'i Value) -> Result<(), ValidationError<'i>> {
        match self.take() {
            true => Ok(()),
            false => Err(ValidationError::custom("the check costs too much")),
        }
    }

    fn is_valid(&self, _: &'i Value) -> bool {
        self.take()
    }
}

/// Takes a step of the current check. Returns false if none is left; the result of the check is then
/// invalid.
pub(crate) fn take() -> bool {
    Step::take()
}

/// Adds to the cost of the current check. Returns false if the cost is too high; the result of the
/// check is then invalid.
pub(crate) fn spend(cost: u64) -> bool {
    Cost(cost).take()
}

/// Runs a check without a limit on its cost.
#[cfg(test)]
pub(crate) fn unbounded<T>(check: impl FnOnce() -> T) -> T {
    bounded(u64::MAX, u64::MAX, check).expect("no bound")
}

/// Runs checks of a value that contains JSON inside a string. The checks also visit this JSON,
/// which contains `nodes` JSON values.
pub(crate) fn with_content<T>(nodes: u64, check: impl FnOnce() -> T) -> T {
    FURTHER_NODES.set(nodes);
    let result = check();
    FURTHER_NODES.set(0);
    result
}

/// Runs a check of a value that contains `nodes` JSON values. `None` if the check needs too many
/// steps or costs too much, because its result is then invalid.
fn within<T>(nodes: u64, check: impl FnOnce() -> T) -> Option<T> {
    let costs = COSTS_MIN.saturating_add(nodes.saturating_mul(COSTS_PER_NODE));
    bounded(nodes, costs.min(COSTS_MAX), check)
}

/// Like [`within`], for a description of errors. The maximum cost is lower, because each described
/// error takes memory.
fn describing<T>(nodes: u64, describe: impl FnOnce() -> T) -> Option<T> {
    bounded(nodes, DESCRIPTION_COSTS_MAX, describe)
}

/// Runs checks on a thread whose other work must not be delayed. `None` if a check needs more steps
/// or costs more than a brief check may. The result is then unknown, and the check must run again
/// on a different thread.
pub fn briefly<T>(check: impl FnOnce() -> T) -> Option<T> {
    /// Ends the brief check, also after a panic.
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            BRIEF.set(Brief::Off);
        }
    }
    BRIEF.set(Brief::Running);
    let _end = End;
    let result = check();
    (BRIEF.get() == Brief::Running).then_some(result)
}

fn bounded<T>(nodes: u64, costs: u64, check: impl FnOnce() -> T) -> Option<T> {
    let steps = STEPS_MIN.saturating_add(nodes.saturating_mul(STEPS_PER_NODE));
    let (steps, costs) = match BRIEF.get() {
        Brief::Off => (steps.min(STEPS_MAX), costs),
        Brief::Running => (steps.min(STEPS_BRIEF_MAX), costs.min(COSTS_BRIEF_MAX)),
        Brief::Exceeded => (0, 0),
    };
    LEFT.set(Some(steps));
    COSTS_LEFT.set(costs);
    let result = check();
    let left = LEFT.get();
    if left.is_none() && BRIEF.get() == Brief::Running {
        BRIEF.set(Brief::Exceeded);
    }
    let taken = left.map_or(costs, |_| costs - COSTS_LEFT.get());
    COSTS.set(COSTS.get().wrapping_add(taken));
    left.map(|_| result)
}

/// Adds the size of a schema to the cost of the check at each evaluation. The schema becomes the
/// `then` of an `if` with the keyword [`COST`]. When the cost is too high, the schema accepts
/// everything, so that the check ends soon; its result is then invalid. Boolean schemas and schemas
/// that consist of a reference are unchanged.
pub(crate) fn costly(schema: Value) -> Value {
    let is_cheap = match &schema {
        Value::Object(members) => {
            let refers = ["$ref", DEFERRED].iter();
            members.len() == 1 && refers.into_iter().any(|key| members.contains_key(*key))
        }
        _ => true,
    };
    match is_cheap {
        true => schema,
        false => json!({"if": {COST: nodes(&schema)}, "then": schema}),
    }
}

/// Validator of a schema.
#[derive(Debug)]
pub(crate) struct Schema(Validator);

impl Schema {
    pub(crate) fn new(validator: Validator) -> Self {
        Self(validator)
    }

    /// True if a value matches. `None` if the check takes too many steps or costs too much.
    pub(crate) fn is_valid(&self, value: &Value) -> Option<bool> {
        let nodes = nodes(value) + FURTHER_NODES.get();
        within(nodes, || self.0.is_valid(value))
    }

    /// True if a value matches. Counts as a part of the running check of another value.
    pub(crate) fn is_valid_inside(&self, value: &Value) -> bool {
        self.0.is_valid(value)
    }

    /// First error of a value that does not match. Counts as a part of the running check of another
    /// value.
    pub(crate) fn error_inside<'v>(&self, value: &'v Value) -> Option<ValidationError<'v>> {
        self.0.validate(value).err()
    }

    /// Describes the errors of a value that does not match. `read` receives all errors, or only the
    /// first error if all errors cost too much.
    pub(crate) fn describe<T: Default>(
        &self,
        value: &Value,
        read: impl Fn(&mut dyn Iterator<Item = ValidationError<'_>>) -> T,
    ) -> T {
        let nodes = nodes(value) + FURTHER_NODES.get();
        // `iter_errors` collects the errors of all items and alternatives before it returns the
        // first. If that costs too much, `validate` finds only the first error.
        let all = || read(&mut self.0.iter_errors(value));
        let first = || read(&mut self.0.validate(value).err().into_iter());
        describing(nodes, all)
            .or_else(|| describing(nodes, first))
            .unwrap_or_default()
    }
}

/// Number of JSON values in a value, including the value itself.
pub(crate) fn nodes(value: &Value) -> u64 {
    1 + match value {
        Value::Array(items) => items.iter().map(nodes).sum(),
        Value::Object(members) => members.values().map(nodes).sum(),
        _ => 0,
    }
}

/// Adds the size of each definition to the cost of the check at each evaluation. Definitions in a
/// cycle of references also count steps: such a definition becomes the `then` of an `if`, so that
/// its evaluation ends at once when no steps are left.
pub(crate) fn count(defs: &mut Map<String, Value>) {
    let circular = circular(&edges(defs));
    let circular: Vec<String> = circular.into_iter().map(str::to_owned).collect();
    for def in defs.values_mut() {
        *def = costly(def.take());
    }
    for name in circular {
        if let Some(def) = defs.get_mut(&name) {
            let counted = json!({"if": {KEYWORD: true}, "else": false});
            let schema = std::mem::replace(def, counted);
            def["then"] = schema;
        }
    }
}

/// Names of the definitions to which each definition refers, with repetitions.
type Edges<'d> = BTreeMap<&'d str, Vec<&'d str>>;

fn edges(defs: &Map<String, Value>) -> Edges<'_> {
    let edges = defs.iter().map(|(name, def)| {
        let mut to = Vec::new();
        references(def, &mut to);
        to.retain(|name| defs.contains_key(*name));
        (name.as_str(), to)
    });
    edges.collect()
}

/// Names of definitions that are part of a cycle of references, or on a path between two cycles.
fn circular<'d>(edges: &Edges<'d>) -> BTreeSet<&'d str> {
    let mut from: Edges<'d> = BTreeMap::new();
    for (name, to) in edges {
        for to in to {
            from.entry(to).or_default().push(name);
        }
    }
    let count = |edges: &Edges<'d>| -> BTreeMap<&'d str, usize> {
        let names = edges.iter();
        names.map(|(name, others)| (*name, others.len())).collect()
    };
    let (mut outgoing, mut incoming) = (count(edges), count(&from));
    let mut inside: BTreeSet<&str> = edges.keys().copied().collect();
    // Repeatedly remove each definition that has no reference to a remaining definition, or to
    // which no remaining definition refers.
    let mut waiting: Vec<&str> = edges
        .keys()
        .copied()
        .filter(|name| edges[name].is_empty() || !from.contains_key(name))
        .collect();
    while let Some(name) = waiting.pop() {
        if !inside.remove(name) {
            continue;
        }
        for other in &edges[name] {
            waiting.extend(decreased(&mut incoming, other));
        }
        for other in from.get(name).into_iter().flatten() {
            waiting.extend(decreased(&mut outgoing, other));
        }
    }
    inside
}

/// Decreases the count of a name. Returns the name if the count becomes zero.
fn decreased<'d>(counts: &mut BTreeMap<&'d str, usize>, name: &'d str) -> Option<&'d str> {
    let count = counts.get_mut(name)?;
    *count = count.saturating_sub(1);
    (*count == 0).then_some(name)
}

/// Collects the names of the definitions to which a schema refers.
fn references<'s>(schema: &'s Value, to: &mut Vec<&'s str>) {
    match schema {
        Value::Array(items) => items.iter().for_each(|item| references(item, to)),
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref")
                && let Some(name) = reference.strip_prefix("#/$defs/")
            {
                to.push(name);
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
        let edges = edges(defs.as_object().unwrap());
        let found = circular(&edges);
        assert_eq!(Vec::from_iter(found), ["a", "b", "own"]);
    }

    #[test]
    fn brief_check_has_fewer_steps() {
        let all = |count: u64| move || (0..count).all(|_| Step::take());
        let takes = |count: u64| briefly(|| within(100, all(count)));
        assert_eq!(takes(STEPS_BRIEF_MAX), Some(Some(true)));
        assert_eq!(takes(STEPS_BRIEF_MAX + 1), None);
        let spends = |cost: u64| briefly(|| within(100, || spend(cost)));
        assert_eq!(spends(COSTS_BRIEF_MAX), Some(Some(true)));
        assert_eq!(spends(COSTS_BRIEF_MAX + 1), None);
        // A check that is not brief has all its steps again.
        assert_eq!(within(0, all(STEPS_MIN)), Some(true));
    }

    #[test]
    fn check_without_steps_has_no_result() {
        assert_eq!(within(0, Step::take), Some(true));
        let takes = |count: u64| within(1, || (0..count).all(|_| Step::take()));
        assert_eq!(takes(STEPS_MIN + STEPS_PER_NODE), Some(true));
        assert_eq!(takes(STEPS_MIN + STEPS_PER_NODE + 1), None);
        // Each check begins with its full number of steps.
        assert_eq!(takes(1), Some(true));
    }
}
