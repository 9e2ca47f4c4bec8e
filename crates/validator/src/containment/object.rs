//! Keywords of objects: properties by name and by pattern of names, and numbers of properties.

use std::collections::BTreeSet;

use bundle::ir::Value;

use super::described;
use super::evaluated::{Rest, rest};
use super::question::{Fact, Kind, Leaf, Solve, Violation, entries, property};
use super::value::{admits, is_found};

/// Maximum number of name patterns whose combinations are examined.
const PATTERNS_MAX: usize = 4;

fn texts<'a>(solver: &dyn Solve<'a>, value: &'a Value) -> Vec<&'a str> {
    let items = solver.at(value).items().iter();
    let texts = items.filter_map(|item| match item {
        Value::Text(text) => Some(&**text),
        _ => None,
    });
    texts.collect()
}

/// Reasons for which an object does not satisfy a keyword. `None`: a reason that cannot be
/// expressed as facts.
pub(super) fn facts<'a>(
    solver: &dyn Solve<'a>,
    schema: &'a Value,
    (key, value): (&'a str, &'a Value),
) -> Vec<Option<Violation<'a>>> {
    let one = |facts| Some((Vec::new(), Vec::new(), facts));
    match key {
        "properties" => {
            let all = solver.at(value).entries().iter();
            let all = all.filter(|(_, schema)| !solver.one_way().is_absent(schema));
            all.map(|(name, schema)| one(vec![Fact::Property(name, schema)]))
                .collect()
        }
        "patternProperties" => {
            let all = solver.at(value).entries().iter();
            all.map(|(text, schema)| one(vec![Fact::Patterned(text, schema)]))
                .collect()
        }
        "additionalProperties" => vec![one(vec![Fact::Additional(schema, value)])],
        // `additionalProperties` evaluates every property, so `unevaluatedProperties` has no
        // effect.
        "unevaluatedProperties" if schema.get("additionalProperties").is_some() => Vec::new(),
        "unevaluatedProperties" => match rest(solver, schema) {
            Some(_) => vec![one(vec![Fact::Additional(schema, value)])],
            None => vec![None],
        },
        "propertyNames" => vec![one(vec![Fact::Name(value)])],
        "dependentRequired" => {
            let all = solver.at(value).entries().iter();
            let pairs = all.flat_map(|(name, needed)| {
                let needed = texts(solver, needed).into_iter();
                needed.map(move |other| one(vec![Fact::Has(name), Fact::Missing(other)]))
            });
            pairs.collect()
        }
        "dependentSchemas" => {
            let all = solver.at(value).entries().iter();
            let mismatches =
                all.map(|(name, schema)| Some((Vec::new(), vec![schema], vec![Fact::Has(name)])));
            mismatches.collect()
        }
        _ => Vec::new(),
    }
}

/// Object that matches all schemas of `flat`.
struct Object<'l, 'a> {
    flat: &'l [&'a Value],
    /// Patterns of names in `patternProperties` of the schemas.
    patterns: BTreeSet<&'a str>,
}

impl<'a> Object<'_, 'a> {
    /// Schemas that the value of a property matches. A pattern that perhaps matches the name adds
    /// no schema.
    fn of_name(&self, solver: &dyn Solve<'a>, name: &str) -> Vec<&'a Value> {
        let mut all = Vec::new();
        for schema in self.flat {
            all.extend(property(solver, schema, name));
            let own = entries(solver, schema, "patternProperties").iter();
            let own = own.filter(|(pattern, _)| is_found(pattern, name) == Some(true));
            all.extend(own.map(|(_, schema)| schema));
            if let Some(rest) = rest(solver, schema)
                && !rest.may_describe(solver, name)
            {
                all.push(rest.schema);
            }
        }
        all
    }

    /// Schemas of a property that `properties` does not name, and whose name these patterns match.
    fn of_patterns(&self, solver: &dyn Solve<'a>, matched: &BTreeSet<&'a str>) -> Vec<&'a Value> {
        let mut all = Vec::new();
        for schema in self.flat {
            let own = entries(solver, schema, "patternProperties").iter();
            let own = own.filter(|(text, _)| matched.contains(&**text));
            all.extend(own.map(|(_, schema)| schema));
            if let Some(rest) = rest(solver, schema)
                && !rest.patterns(solver).any(|text| matched.contains(text))
            {
                all.push(rest.schema);
            }
        }
        all
    }

    /// Names in `properties`.
    fn names(&self, solver: &dyn Solve<'a>) -> BTreeSet<&'a str> {
        let flat = self.flat.iter();
        let all = flat.flat_map(|schema| entries(solver, schema, "properties"));
        all.map(|(name, _)| &**name).collect()
    }

    /// True if every property outside of `properties` has a value that matches `schema`. `counts`
    /// receives the patterns that match a name, and returns false for names to ignore.
    fn has_no_other(
        &self,
        leaf: &Leaf<'_, 'a>,
        solver: &mut dyn Solve<'a>,
        more: &[&'a str],
        schema: &'a Value,
        counts: impl Fn(&BTreeSet<&'a str>) -> bool,
    ) -> bool {
        let mut texts: Vec<&'a str> = self.patterns.iter().copied().collect();
        texts.extend(more.iter().filter(|text| !self.patterns.contains(*text)));
        let is_open = described::is_any_open(leaf, solver);
        texts.len() <= PATTERNS_MAX
            && (0..1_usize << texts.len()).all(|chosen| {
                let matched = texts.iter().enumerate();
                let matched = matched.filter(|(at, _)| chosen & (1 << at) != 0);
                let matched: BTreeSet<&'a str> = matched.map(|(_, text)| *text).collect();
                let own = self.of_patterns(solver, &matched);
                !counts(&matched)
                    || match is_open {
                        true => solver.is_empty_of_any(&own, &[schema]),
                        false => solver.is_empty(&own, &[schema]),
                    }
            })
    }
}

/// True if no object satisfies the schemas and the facts of a leaf.
pub(super) fn is_empty<'a>(leaf: &Leaf<'_, 'a>, solver: &mut dyn Solve<'a>) -> bool {
    let flat = leaf.flat.iter();
    let patterns = flat.flat_map(|schema| entries(solver, schema, "patternProperties"));
    let object = Object {
        flat: leaf.flat,
        patterns: patterns.map(|(text, _)| &**text).collect(),
    };
    let flat = leaf.flat.iter().filter_map(|schema| schema.get("required"));
    let mut needed: BTreeSet<&'a str> = flat.flat_map(|names| texts(solver, names)).collect();
    let absent = |solver: &dyn Solve<'a>, name: &str| {
        let own = leaf.flat.iter();
        let mut own = own.filter_map(|schema| property(solver, schema, name));
        own.any(|own| solver.one_way().is_absent(own))
    };
    // `required` does not apply to a property that messages of this direction do not contain.
    needed.retain(|name| !solver.one_way().may_be_absent(leaf.flat, name));
    let has_required = |name: &str| needed.contains(name);
    let is_present = |fact: &Fact<'a>| matches!(fact, Fact::Missing(name) if has_required(name));
    if leaf.facts.iter().any(is_present) {
        return true;
    }
    let closed = solver.is_described() && !leaf.is_partial;
    for fact in leaf.facts {
        let Fact::Property(name, _) = fact else {
            continue;
        };
        let is_nowhere = closed && !has_required(name) && is_undescribed(leaf, solver, name);
        if is_nowhere && !described::is_elsewhere(leaf, solver, name) {
            return true;
        }
    }
    let mut present = needed;
    for fact in leaf.facts {
        if let Fact::Has(name) | Fact::Property(name, _) = fact {
            present.insert(name);
        }
    }
    add_dependent(leaf, solver, &mut present);
    let missing = |fact: &Fact<'a>| matches!(fact, Fact::Missing(name) if present.contains(name));
    let (least, most) = leaf.lengths(["minProperties", "maxProperties"]);
    if least > most || present.len() as u64 > most || leaf.facts.iter().any(missing) {
        return true;
    }
    for name in &present {
        let others = leaf.facts.iter().filter_map(|fact| match fact {
            Fact::Property(own, schema) if own == name => Some(*schema),
            _ => None,
        });
        let others: Vec<&'a Value> = others.collect();
        let gone = !others.is_empty() && absent(solver, name);
        if gone || is_no_value(leaf, solver, (&object, name), &others) {
            return true;
        }
        if is_no_name(leaf, solver, name) {
            return true;
        }
    }
    if least > present.len() as u64 && is_closed(leaf, solver) {
        let names = object.names(solver);
        let mut possible = 0;
        for name in names {
            possible += u64::from(!is_no_value(leaf, solver, (&object, name), &[]));
        }
        if possible < least {
            return true;
        }
    }
    leaf.facts
        .iter()
        .any(|fact| is_impossible(leaf, solver, (&object, fact)))
}

/// Adds the properties that `dependentRequired` of the leaf requires beside present ones.
fn add_dependent<'a>(leaf: &Leaf<'_, 'a>, solver: &dyn Solve<'a>, present: &mut BTreeSet<&'a str>) {
    let mut waiting: Vec<&'a str> = present.iter().copied().collect();
    while let Some(name) = waiting.pop() {
        for schema in leaf.flat {
            let all = schema.get("dependentRequired").map(|all| solver.at(all));
            let names = all.and_then(|all| all.get(name));
            for name in names.map_or_else(Vec::new, |names| texts(solver, names)) {
                let may_be_absent = solver.one_way().may_be_absent(leaf.flat, name);
                if !may_be_absent && present.insert(name) {
                    waiting.push(name);
                }
            }
        }
    }
}

/// True if no schema of the leaf describes a property.
fn is_undescribed<'a>(leaf: &Leaf<'_, 'a>, solver: &dyn Solve<'a>, name: &str) -> bool {
    let mut flat = leaf.flat.iter();
    !flat.any(|schema| {
        let mut patterns = entries(solver, schema, "patternProperties").iter();
        property(solver, schema, name).is_some()
            || patterns.any(|(text, _)| is_found(text, name) != Some(false))
            || rest(solver, schema).is_some()
            || schema.get("unevaluatedProperties").is_some()
            || schema.get("dependentSchemas").is_some_and(|all| {
                let mut all = solver.at(all).entries().iter();
                all.any(|(key, own)| **key == *name || described::is_named(solver, own, name))
            })
            || schema
                .get("dependentRequired")
                .is_some_and(|all| described::is_dependent(solver, all, name))
            || schema
                .get("propertyNames")
                .is_some_and(|names| described::names(solver, names, name))
    })
}

/// True if the property `name` of an object of the leaf has no value that matches none of `others`.
fn is_no_value<'a>(
    leaf: &Leaf<'_, 'a>,
    solver: &mut dyn Solve<'a>,
    (object, name): (&Object<'_, 'a>, &'a str),
    others: &[&'a Value],
) -> bool {
    let own = object.of_name(solver, name);
    match described::is_open(leaf, solver, name, &own) {
        true => solver.is_empty_of_any(&own, others),
        false => solver.is_empty(&own, others),
    }
}

/// True if the object has no property outside of `properties`.
fn is_closed<'a>(leaf: &Leaf<'_, 'a>, solver: &dyn Solve<'a>) -> bool {
    let is_closed = |rest: &Rest<'a>| {
        *solver.at(rest.schema) == Value::Bool(false) && rest.patterns(solver).next().is_none()
    };
    let mut flat = leaf.flat.iter();
    flat.any(|schema| rest(solver, schema).is_some_and(|rest| is_closed(&rest)))
}

/// True if `propertyNames` refuses a name.
fn is_no_name<'a>(leaf: &Leaf<'_, 'a>, solver: &dyn Solve<'a>, name: &str) -> bool {
    let names = leaf
        .flat
        .iter()
        .filter_map(|schema| schema.get("propertyNames"));
    let value = Value::Text(name.into());
    names.into_iter().any(|schema| {
        let table = (solver.nodes(), solver.enums());
        admits(table, schema, &value, &mut 0) == Some(false)
    })
}

/// True if no object of the leaf can satisfy a fact.
fn is_impossible<'a>(
    leaf: &Leaf<'_, 'a>,
    solver: &mut dyn Solve<'a>,
    (object, fact): (&Object<'_, 'a>, &Fact<'a>),
) -> bool {
    match fact {
        Fact::Additional(of, schema) => {
            let Some(rest) = rest(solver, of) else {
                return false;
            };
            let own: Vec<&'a str> = rest.patterns(solver).collect();
            let names = object.names(solver).into_iter();
            let names = names.filter(|name| !rest.describes(solver, name));
            let names: Vec<&'a str> = names.collect();
            names.into_iter().all(|name| {
                let values = object.of_name(solver, name);
                values.iter().any(|own| solver.one_way().is_absent(own))
                    || is_no_name(leaf, solver, name)
                    || is_no_value(leaf, solver, (object, name), &[schema])
            }) && object.has_no_other(leaf, solver, &own, schema, |matched| {
                own.iter().all(|text| !matched.contains(text))
            })
        }
        Fact::Patterned(text, schema) => {
            let names = object.names(solver).into_iter();
            let names: Vec<&'a str> = names
                .filter(|name| is_found(text, name) != Some(false))
                .collect();
            names.into_iter().all(|name| {
                let values = object.of_name(solver, name);
                values.iter().any(|own| solver.one_way().is_absent(own))
                    || is_no_value(leaf, solver, (object, name), &[schema])
            }) && object.has_no_other(leaf, solver, &[*text], schema, |matched| {
                matched.contains(text)
            })
        }
        Fact::Name(schema) => {
            let flat = leaf.flat.iter().filter_map(|own| own.get("propertyNames"));
            let flat: Vec<&'a Value> = flat.collect();
            let is_admitted = |name: &&str| {
                let name = Value::Text((**name).into());
                let table = (solver.nodes(), solver.enums());
                admits(table, schema, &name, &mut 0) == Some(true)
            };
            is_closed(leaf, solver) && object.names(solver).iter().all(is_admitted)
                || solver.is_empty_of(Kind::String, &flat, &[schema])
        }
        _ => false,
    }
}
