//! Assumption that values have only properties that the narrow schema describes.
//!
//! Clients neither send nor read a property that their contract does not name. Without this
//! assumption, each new optional property would be a break, because the old schema accepts any
//! value for it. A property is described if one of these schemas names it or its name's pattern:
//!
//! - a schema that the value matches;
//! - an alternative of `anyOf` or `oneOf` that the value does not need to match, but could match
//!   together with the schemas that it does match;
//! - a schema of `not` or `if`.

use bundle::ir::Value;
use rustc_hash::FxHashSet;

use super::question::{Leaf, Solve};
use super::value::{admits, is_found};

/// Maximum number of schemas that are read for one description.
const SCHEMAS_MAX: usize = 256;

/// Description of one property by schemas that a value may match.
#[derive(Default)]
pub(super) struct Description<'a> {
    pub(super) is_named: bool,
    /// Schemas of the property.
    pub(super) schemas: Vec<&'a Value>,
}

/// True if a schema outside of the leaf's own schemas describes a property.
pub(super) fn is_elsewhere<'a>(
    leaf: &Leaf<'_, 'a>,
    solver: &mut dyn Solve<'a>,
    name: &str,
) -> bool {
    others(leaf, solver, |solver, other| is_named(solver, other, name))
}

/// True if the value of a property may have properties of its own that only schemas outside of the
/// leaf describe. `own`: schemas of the property in the leaf.
pub(super) fn is_open<'a>(
    leaf: &Leaf<'_, 'a>,
    solver: &mut dyn Solve<'a>,
    name: &str,
    own: &[&'a Value],
) -> bool {
    solver.is_described()
        && others(leaf, solver, |solver, other| {
            let found = describe(solver, other, name).schemas;
            let is_own = |one: &&'a Value| {
                let mut own = own.iter();
                own.any(|known| std::ptr::eq(solver.at(known), solver.at(one)))
            };
            !found.iter().all(is_own)
        })
}

/// Like [`is_open`], for items and for properties without a fixed name.
pub(super) fn is_any_open<'a>(leaf: &Leaf<'_, 'a>, solver: &dyn Solve<'a>) -> bool {
    let mut others = leaf.alternatives.iter();
    solver.is_described()
        && (!leaf.conditions.is_empty() || others.any(|other| !has(leaf, solver, other)))
}

fn has<'a>(leaf: &Leaf<'_, 'a>, solver: &dyn Solve<'a>, schema: &'a Value) -> bool {
    let schema = solver.at(schema);
    leaf.flat.iter().any(|own| std::ptr::eq(*own, schema))
}

/// True if `counts` is true for a schema of `not` or `if`, or for an alternative that is not in the
/// leaf and that an object of the leaf may match.
fn others<'a>(
    leaf: &Leaf<'_, 'a>,
    solver: &mut dyn Solve<'a>,
    counts: impl Fn(&dyn Solve<'a>, &'a Value) -> bool,
) -> bool {
    let mut conditions = leaf.conditions.iter();
    if conditions.any(|schema| counts(solver, schema)) {
        return true;
    }
    let alternatives = leaf.alternatives.iter().copied();
    let alternatives = alternatives.filter(|other| !has(leaf, solver, other));
    let alternatives = alternatives.filter(|other| counts(solver, other));
    let alternatives: Vec<&'a Value> = alternatives.collect();
    alternatives.into_iter().any(|other| {
        let mut all = leaf.flat.to_vec();
        all.push(other);
        // With the assumption, this proof would need the same question about inner alternatives.
        !solver.is_no_object(&all)
    })
}

/// True if a schema, or a schema that it applies to the same value, describes a property.
pub(super) fn is_named<'a>(solver: &dyn Solve<'a>, schema: &'a Value, name: &str) -> bool {
    describe(solver, schema, name).is_named
}

/// Description of a property by a schema and by the schemas that it applies to the same value.
fn describe<'a>(solver: &dyn Solve<'a>, schema: &'a Value, name: &str) -> Description<'a> {
    let (all, is_cut) = flattened(solver, [schema], SCHEMAS_MAX);
    let mut found = Description::of(solver, &all, name);
    if is_cut {
        found.is_named = true;
        found.schemas.push(schema);
    }
    found
}

/// At most `max` schemas: these, and those that they apply to the same value. True if there are
/// more.
pub(super) fn flattened<'a>(
    solver: &dyn Solve<'a>,
    schemas: impl IntoIterator<Item = &'a Value>,
    max: usize,
) -> (Vec<&'a Value>, bool) {
    let mut all = Vec::new();
    let mut seen: FxHashSet<*const Value> = FxHashSet::default();
    let mut waiting: Vec<&'a Value> = schemas.into_iter().collect();
    while let Some(schema) = waiting.pop() {
        let schema = solver.at(schema);
        if !seen.insert(std::ptr::from_ref(schema)) {
            continue;
        }
        if all.len() == max {
            return (all, true);
        }
        all.push(schema);
        for (key, value) in schema.entries() {
            match &**key {
                "allOf" | "anyOf" | "oneOf" => waiting.extend(solver.at(value).items()),
                "$ref" | "not" | "if" | "then" | "else" => waiting.push(value),
                "dependentSchemas" => {
                    let all = solver.at(value).entries().iter();
                    waiting.extend(all.map(|(_, schema)| schema));
                }
                _ => {}
            }
        }
    }
    (all, false)
}

impl<'a> Description<'a> {
    /// Description by these schemas themselves ([`flattened`]).
    pub(super) fn of(solver: &dyn Solve<'a>, schemas: &[&'a Value], name: &str) -> Self {
        let mut found = Self::default();
        for schema in schemas {
            for (key, value) in schema.entries() {
                found.keyword(solver, (key, solver.at(value)), name);
            }
        }
        found
    }

    /// Adds what one keyword states about a property.
    fn keyword(&mut self, solver: &dyn Solve<'a>, (key, value): (&str, &'a Value), name: &str) {
        match key {
            "properties" => self.schemas.extend(value.get(name)),
            "patternProperties" => {
                let all = value.entries().iter();
                let all = all.filter(|(text, _)| is_found(text, name) != Some(false));
                self.schemas.extend(all.map(|(_, schema)| schema));
            }
            "additionalProperties" | "unevaluatedProperties" => {
                self.schemas
                    .extend((*value != Value::Bool(false)).then_some(value));
            }
            "dependentSchemas" => self.is_named |= value.get(name).is_some(),
            "required" => self.is_named |= has_text(solver, value, name),
            "dependentRequired" => self.is_named |= is_dependent(solver, value, name),
            "propertyNames" => self.is_named |= names(solver, value, name),
            "const" => self.is_named |= value.get(name).is_some(),
            "enum" => {
                let mut all = value.items().iter();
                self.is_named |= all.any(|one| solver.at(one).get(name).is_some());
            }
            _ => {}
        }
        self.is_named |= !self.schemas.is_empty();
    }
}

/// True if `dependentRequired` names a property.
pub(super) fn is_dependent<'a>(solver: &dyn Solve<'a>, value: &'a Value, name: &str) -> bool {
    let mut all = solver.at(value).entries().iter();
    all.any(|(key, names)| **key == *name || has_text(solver, names, name))
}

fn has_text<'a>(solver: &dyn Solve<'a>, list: &'a Value, text: &str) -> bool {
    let mut all = solver.at(list).items().iter();
    all.any(|one| matches!(one, Value::Text(own) if **own == *text))
}

/// True if a schema of `propertyNames` lists a name or has a pattern for it.
pub(super) fn names<'a>(solver: &dyn Solve<'a>, schema: &'a Value, name: &str) -> bool {
    let schema = solver.at(schema);
    let listing = ["enum", "const", "pattern"];
    let lists = listing.iter().any(|key| schema.get(key).is_some());
    let value = Value::Text(name.into());
    let table = (solver.nodes(), solver.enums());
    lists && admits(table, schema, &value, &mut 0) != Some(false)
}
