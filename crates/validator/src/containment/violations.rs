//! Schemas of values that a schema refuses. [`crate::samples`] varies one property at a time. A
//! value that violates each member of an `anyOf` often needs several properties, and lengths that
//! no single schema requires.

use std::cell::Cell;
use std::slice;

use bundle::ir::Value;

use super::measure::length;
use crate::lower::resolved;
use crate::samples::{self, Search};
use serde_json::Value as Json;

/// Maximum number of combinations of violations for one schema.
const COMBINATIONS_MAX: usize = 32;
/// Maximum size of one combination ([`size`]). Larger ones are left out: nested alternatives
/// multiply it.
const SIZE_MAX: u32 = 512;
/// Maximum nesting of the schemas that are read.
const DEPTH_MAX: u32 = 6;
/// Maximum cost of the combinations of one schema: schemas that are read, and sizes of the
/// combinations that are built.
const COST_MAX: u32 = 100_000;
/// Cost of the combinations that takes about as long as one step of a search for values.
const COST_PER_STEP: u32 = 4;
/// Maximum number of steps of the search for values of one combination.
const STEPS: u32 = 3_000;
/// Maximum number of steps for all combinations.
const ALL_STEPS: u32 = 24_000;
/// Maximum number of sample values of one combination.
const VALUES_MAX: usize = 40;
/// Maximum number of sample values of one schema in a list.
const ITEMS_MAX: usize = 4;
/// Maximum number of schemas for the items of a list.
const LISTED_MAX: usize = 16;
/// Maximum length of a list for `minContains` and `maxContains`.
const LENGTH_MAX: u64 = 16;
/// Maximum number of names for `maxProperties`.
const NAMES_MAX: u64 = 64;

/// Schemas that a value should match together, so that another schema refuses it.
type Combination = Vec<Value>;

/// Remaining work of all searches.
pub(super) struct Left {
    /// Steps of the searches for values.
    steps: u32,
    /// Cost of the combinations, as [`COST_MAX`].
    cost: u32,
}

impl Left {
    /// Work of all searches of one comparison. The combinations then take below 0.2 seconds.
    pub(super) const ALL: Self = Self {
        steps: 400_000,
        cost: 2_000_000,
    };

    /// Work of these steps, with a cost of the combinations that takes about as long.
    pub(super) fn of_steps(steps: u32) -> Self {
        Self {
            steps,
            cost: steps.saturating_mul(COST_PER_STEP),
        }
    }

    /// Remaining steps.
    pub(super) fn in_steps(&self) -> u32 {
        self.steps.min(self.cost / COST_PER_STEP)
    }
}

/// Sample values of the narrow schema that probably violate the wide one. `more`: schemas that the
/// values should match, too. `left`: remaining work of all searches.
pub(super) fn values<'a>(
    nodes: &'a [Value],
    (narrow, wide): (&'a Value, &'a Value),
    more: &[&'a Value],
    left: &mut Left,
) -> Vec<Json> {
    let cost = COST_MAX.min(left.cost);
    let violations = Violations {
        nodes,
        left: Cell::new(cost),
    };
    let mut combinations = violations.of(wide, narrow, 0);
    left.cost -= cost - violations.left.get();
    combinations.push(Vec::new());
    let support = violations.support(narrow);
    let mut own_left = ALL_STEPS.min(left.steps);
    let values = combinations.iter().flat_map(|combination| {
        let all = combination.iter().chain(&support);
        let all = all.chain(more.iter().copied()).chain([narrow]);
        let all: Vec<samples::Schema<'_>> = all.map(|schema| (nodes, schema)).collect();
        let steps = STEPS.min(own_left);
        let search = Search::new(steps);
        let mut values = search.values_of(all);
        let used = steps - search.steps_left();
        own_left -= used;
        left.steps -= used;
        values.truncate(VALUES_MAX);
        values
    });
    let mut values: Vec<Json> = values.collect();
    values.extend(violations.lists([narrow, wide], &mut left.steps));
    values
}

/// Generator of combinations.
struct Violations<'a> {
    nodes: &'a [Value],
    /// Remaining cost of the combinations.
    left: Cell<u32>,
}

impl<'a> Violations<'a> {
    /// Subtracts a cost. False if less is left.
    fn pay(&self, cost: u32) -> bool {
        let left = self.left.get().checked_sub(cost);
        self.left.set(left.unwrap_or(0));
        left.is_some()
    }

    /// Combinations of one of the first and one of the second.
    fn product(&self, one: &[Combination], other: &[Combination]) -> Vec<Combination> {
        let sized = |all: &[Combination]| -> Vec<u32> { all.iter().map(|one| size(one)).collect() };
        let (one_sizes, other_sizes) = (sized(one), sized(other));
        let mut found = Vec::new();
        for (one, own) in one.iter().zip(&one_sizes) {
            for (other, further) in other.iter().zip(&other_sizes) {
                let size = own + further;
                if size > SIZE_MAX {
                    continue;
                }
                if found.len() == COMBINATIONS_MAX || !self.pay(size) {
                    return found;
                }
                found.push([&one[..], &other[..]].concat());
            }
        }
        found
    }

    fn at(&self, value: &'a Value) -> &'a Value {
        resolved(self.nodes, value)
    }

    /// Schema of objects with as many properties as the narrow schema requires, with names that
    /// match its `patternProperties`.
    fn support(&self, narrow: &'a Value) -> Option<Value> {
        let narrow = self.at(narrow);
        let patterns = self.at(narrow.get("patternProperties")?).entries();
        let least = narrow.get("minProperties").and_then(length).unwrap_or(1);
        let all = patterns.iter().flat_map(|(text, schema)| {
            let names = samples::matching(text).into_iter();
            names.map(move |name| (name, schema))
        });
        let mut all: Vec<(String, &Value)> = all.filter(|(name, _)| !name.is_empty()).collect();
        all.dedup_by(|one, other| one.0 == other.0);
        all.truncate(usize::try_from(least).unwrap_or(usize::MAX).max(1));
        let names: Vec<&str> = all.iter().map(|(name, _)| &**name).collect();
        let required = having(&names);
        let properties = all
            .iter()
            .map(|(name, schema)| (&**name, (*schema).clone()));
        let mut entries = required.entries().to_vec();
        entries.push(("properties".into(), map(properties.collect())));
        entries.sort_by(|one, other| one.0.cmp(&other.0));
        Some(Value::Map(entries))
    }

    /// Lists of values of the schemas in `contains`, `prefixItems` and `items`. Empty without
    /// `contains` and `prefixItems`.
    fn lists(&self, schemas: [&'a Value; 2], left: &mut u32) -> Vec<Json> {
        let keywords = |key: &'static str| {
            let schemas = schemas.into_iter();
            schemas.filter_map(move |schema| self.at(schema).get(key))
        };
        let prefixes = keywords("prefixItems").flat_map(|list| self.at(list).items());
        let mut inner: Vec<&Value> = keywords("contains").chain(prefixes).collect();
        if inner.is_empty() {
            return Vec::new();
        }
        inner.extend(keywords("items"));
        inner.truncate(LISTED_MAX);
        let items = inner.iter().flat_map(|schema| {
            let steps = STEPS.min(*left);
            let search = Search::new(steps);
            let mut values = search.values_of(vec![(self.nodes, *schema)]);
            *left -= steps - search.steps_left();
            values.truncate(ITEMS_MAX);
            values
        });
        let mut items: Vec<Json> = items.collect();
        items.extend([Json::Null, 0.into(), "".into()]);
        let bounds = ["minContains", "maxContains"]
            .into_iter()
            .flat_map(keywords);
        let most = bounds.filter_map(length).max().unwrap_or(1).min(LENGTH_MAX);
        let most = usize::try_from(most).unwrap_or(0) + 1;
        let pairs = items.iter().flat_map(|one| {
            items
                .iter()
                .map(move |other| Json::Array(vec![one.clone(), other.clone()]))
        });
        let repeated = items
            .iter()
            .flat_map(|one| (1..=most).map(move |count| Json::Array(vec![one.clone(); count])));
        pairs.chain(repeated).collect()
    }

    /// Combinations that violate a schema. `narrow`: schema of the same value in the narrow schema.
    fn of(&self, schema: &'a Value, narrow: &'a Value, depth: u32) -> Vec<Combination> {
        let mut found = Vec::new();
        match self.at(schema) {
            _ if depth > DEPTH_MAX || !self.pay(1) => {}
            Value::Bool(false) => found.push(Vec::new()),
            schema => {
                for (key, value) in schema.entries() {
                    let value = (key.as_ref(), self.at(value), value);
                    found.extend(self.combined(schema, value, (narrow, depth)));
                    found.truncate(COMBINATIONS_MAX);
                }
            }
        }
        found
    }

    /// Combinations that violate a keyword.
    fn combined(
        &self,
        schema: &'a Value,
        (key, value, edge): (&'a str, &'a Value, &'a Value),
        (narrow, depth): (&'a Value, u32),
    ) -> Vec<Combination> {
        let of = |schema| self.of(schema, narrow, depth + 1);
        match key {
            "allOf" => value.items().iter().flat_map(of).collect(),
            "$ref" => of(edge),
            "anyOf" | "oneOf" => {
                let members = value.items().iter();
                let mut all = members
                    .map(of)
                    .fold(vec![Vec::new()], |one, other| self.product(&one, &other));
                if key == "oneOf" {
                    let pairs = value.items().windows(2);
                    all.extend(pairs.map(<[Value]>::to_vec));
                }
                all
            }
            "not" => vec![vec![edge.clone()]],
            "discriminator" => self.selected(value, (narrow, depth)),
            "if" => {
                let then = schema.get("then").map(of).unwrap_or_default();
                let other = schema.get("else").map(of).unwrap_or_default();
                let matched = then.into_iter().map(|mut one| {
                    one.push(edge.clone());
                    one
                });
                matched.chain(self.product(&of(edge), &other)).collect()
            }
            "properties" => {
                let entries = value.entries().iter();
                let all =
                    entries.flat_map(|(name, inner)| self.property(name, inner, narrow, depth));
                all.collect()
            }
            "additionalProperties" => self.additional(schema, edge, (narrow, depth)),
            "patternProperties" => {
                let entries = value.entries().iter();
                let all = entries.flat_map(|(text, inner)| {
                    let names = samples::matching(text);
                    let name = names.into_iter().find(|name| !name.is_empty());
                    name.map_or_else(Vec::new, |name| self.property(&name, inner, narrow, depth))
                });
                all.collect()
            }
            "dependentSchemas" => {
                let entries = value.entries().iter();
                let all = entries
                    .flat_map(|(name, inner)| self.product(&[vec![having(&[name])]], &of(inner)));
                all.collect()
            }
            "items" | "contains" => {
                let items = child(self.at(narrow), "items").unwrap_or(&Value::Bool(true));
                let least = i64::from(key == "items");
                let all = self.of(edge, items, depth + 1).into_iter();
                let all = all.map(|inner| {
                    let items = map(vec![("allOf", Value::List(inner))]);
                    vec![of_type(
                        "array",
                        vec![("items", items), ("minItems", Value::Integer(least))],
                    )]
                });
                all.collect()
            }
            _ => self
                .limit((key, value), narrow)
                .into_iter()
                .map(|one| vec![one])
                .collect(),
        }
    }

    /// Combinations with a value of the discriminator whose schema they violate.
    fn selected(
        &self,
        discriminator: &'a Value,
        (narrow, depth): (&'a Value, u32),
    ) -> Vec<Combination> {
        let property = discriminator.get("propertyName").map(|name| self.at(name));
        let mapping = discriminator.get("mapping").map(|all| self.at(all));
        let (Some(Value::Text(property)), Some(mapping)) = (property, mapping) else {
            return Vec::new();
        };
        let all = mapping.entries().iter().flat_map(|(value, target)| {
            let constant = map(vec![("const", Value::Text(value.clone()))]);
            let mut entries = having(&[property]).entries().to_vec();
            entries.push((
                "properties".into(),
                Value::Map(vec![(property.clone(), constant)]),
            ));
            entries.sort_by(|one, other| one.0.cmp(&other.0));
            let violated = match target {
                Value::Node(_) => self.of(target, narrow, depth + 1),
                _ => Vec::new(),
            };
            self.product(&[vec![Value::Map(entries)]], &violated)
        });
        all.take(COMBINATIONS_MAX).collect()
    }

    /// Combinations with a property whose value violates a schema.
    fn property(
        &self,
        name: &str,
        schema: &'a Value,
        narrow: &'a Value,
        depth: u32,
    ) -> Vec<Combination> {
        let own = self.at(narrow);
        let inner = child(own, "properties").and_then(|all| self.at(all).get(name));
        let rest = child(own, "additionalProperties");
        let outer = inner.or(rest).unwrap_or(&Value::Bool(true));
        let all = self.of(schema, outer, depth + 1).into_iter();
        let all = all.map(|mut violated| {
            // `samples` does not use `additionalProperties` for a property with a name.
            violated.extend(inner.is_none().then(|| outer.clone()));
            let inner = map(vec![("allOf", Value::List(violated))]);
            let properties = Value::Map(vec![(name.into(), inner)]);
            let Value::Map(mut entries) = having(&[name]) else {
                return Vec::new();
            };
            entries.push(("properties".into(), properties));
            entries.sort_by(|one, other| one.0.cmp(&other.0));
            vec![Value::Map(entries)]
        });
        all.collect()
    }

    /// Combinations with a property of the narrow schema that `properties` does not name.
    fn additional(
        &self,
        schema: &'a Value,
        edge: &'a Value,
        (narrow, depth): (&'a Value, u32),
    ) -> Vec<Combination> {
        let own = child(schema, "properties").map(|all| self.at(all));
        let names = self.names(narrow);
        let names = names
            .iter()
            .filter(|name| own.is_none_or(|own| own.get(name).is_none()));
        let all = names.flat_map(|name| self.property(name, edge, narrow, depth));
        all.take(COMBINATIONS_MAX).collect()
    }

    /// Names of properties of the narrow schema, followed by other names if it admits them.
    fn names(&self, narrow: &'a Value) -> Vec<String> {
        let narrow = self.at(narrow);
        let own = child(narrow, "properties").map(|all| self.at(all).entries());
        let own = own
            .unwrap_or_default()
            .iter()
            .map(|(name, _)| name.to_string());
        let rest = child(narrow, "additionalProperties").map(|rest| self.at(rest));
        let count = if rest == Some(&Value::Bool(false)) {
            0
        } else {
            NAMES_MAX
        };
        own.chain((0..count).map(|at| format!("x{at}"))).collect()
    }

    /// Schemas of values that violate a keyword without inner schemas.
    fn limit(&self, (key, value): (&str, &'a Value), narrow: &'a Value) -> Vec<Value> {
        let (above, below) = match length(value) {
            Some(limit) => (
                i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1),
                i64::try_from(limit).unwrap_or(i64::MAX) - 1,
            ),
            None => (0, 0),
        };
        let limited = |kind: &str, key: &str, limit: i64| {
            vec![of_type(kind, vec![(key, Value::Integer(limit))])]
        };
        let names = |all: &[&str]| vec![having(all)];
        match key {
            "maxLength" => limited("string", "minLength", above),
            "minLength" => limited("string", "maxLength", below),
            "maxItems" => limited("array", "minItems", above),
            "minItems" => limited("array", "maxItems", below),
            "uniqueItems" => limited("array", "minItems", 2),
            "maxProperties" => {
                let all = self.names(narrow);
                let count = usize::try_from(above).unwrap_or(usize::MAX);
                let all: Vec<&str> = all.iter().map(String::as_str).take(count).collect();
                if all.len() < count {
                    Vec::new()
                } else {
                    names(&all)
                }
            }
            "minProperties" | "required" => vec![of_type("object", Vec::new())],
            "pattern" => vec![of_type("string", Vec::new())],
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => {
                vec![of_type("number", Vec::new())]
            }
            "dependentRequired" => {
                let all = value.entries().iter();
                all.map(|(name, _)| having(&[name])).collect()
            }
            "propertyNames" => {
                let long = "a".repeat(40);
                ["x0", "0", "A", long.as_str()]
                    .map(|name| having(&[name]))
                    .to_vec()
            }
            "type" => {
                let all = ["string", "integer", "object", "array"].into_iter();
                let names = crate::contain::names(self.nodes, value);
                let all = all.filter(|name| !names.contains(name));
                all.map(|name| of_type(name, Vec::new())).collect()
            }
            "enum" | "const" => vec![Value::Map(Vec::new())],
            _ => Vec::new(),
        }
    }
}

fn child<'a>(schema: &'a Value, key: &str) -> Option<&'a Value> {
    schema.get(key)
}

/// Number of schemas and values in a combination.
fn size(combination: &[Value]) -> u32 {
    let inner = |value: &Value| match value {
        Value::Map(entries) => entries
            .iter()
            .map(|(_, one)| size(slice::from_ref(one)))
            .sum(),
        Value::List(items) | Value::Set(items) => size(items),
        _ => 0,
    };
    combination.iter().map(|value| 1 + inner(value)).sum()
}

fn map(entries: Vec<(&str, Value)>) -> Value {
    let mut entries: Vec<(Box<str>, Value)> = entries
        .into_iter()
        .map(|(key, value)| (key.into(), value))
        .collect();
    entries.sort_by(|one, other| one.0.cmp(&other.0));
    Value::Map(entries)
}

fn of_type(name: &str, mut entries: Vec<(&str, Value)>) -> Value {
    entries.push(("type", Value::Text(name.into())));
    map(entries)
}

/// Schema of objects with these properties.
fn having(names: &[&str]) -> Value {
    let names = names.iter().map(|name| Value::Text((*name).into()));
    of_type("object", vec![("required", Value::Set(names.collect()))])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Levels of schemas, each with `width` alternatives, of which each has a property with the
    /// schema of the next level.
    fn levels(count: u32, width: usize) -> Vec<Value> {
        let level = |at: u32| {
            let properties = map(vec![("p", Value::Node(at + 1)), ("q", Value::Node(at + 1))]);
            let one = map(vec![("properties", properties)]);
            map(vec![("anyOf", Value::List(vec![one; width]))])
        };
        let end = map(vec![("maxLength", Value::Integer(3))]);
        (0..count).map(level).chain([end]).collect()
    }

    #[test]
    fn nested_alternatives_take_bounded_work() {
        for (count, width) in [(1, 2), (2, 7), (3, 7), (3, 40)] {
            let nodes = levels(count, width);
            let violations = Violations {
                nodes: &nodes,
                left: Cell::new(COST_MAX),
            };
            let found = violations.of(&nodes[0], &Value::Bool(true), 0);
            let sizes: Vec<u32> = found.iter().map(|one| size(one)).collect();
            assert!(sizes.iter().all(|size| *size <= SIZE_MAX), "{sizes:?}");
            assert!(found.len() <= COMBINATIONS_MAX, "{count} {width}");
            assert!(count > 1 || !found.is_empty(), "{count} {width}");
        }
    }
}
