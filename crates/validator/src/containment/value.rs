//! Check of a literal value against a schema without a compiled validator. The result is `None` if
//! it is not certain.

use std::cell::RefCell;
use std::collections::BTreeSet;

use bundle::ir::Value;
use jsonschema::{Draft, Validator};
use rustc_hash::FxHashMap;
use serde_json::{Value as Json, json};

use super::number::exact;
use super::question::length;
use crate::contain::names;
use crate::format;
use crate::lower::{patterns, resolved};

/// Maximum nesting of schemas for one value.
const DEPTH_MAX: u32 = 32;
/// Maximum number of schemas that are examined for one value.
const SCHEMAS_MAX: u32 = 10_000;
/// Maximum number of compiled patterns in the cache of a thread.
const PATTERNS_MAX: usize = 4_096;

/// True if a text contains a match of a pattern. `None` if the pattern cannot be enforced.
pub(super) fn is_found(pattern: &str, text: &str) -> Option<bool> {
    thread_local! {
        static KNOWN: RefCell<FxHashMap<Box<str>, Option<Validator>>> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|known| {
        if known.len() > PATTERNS_MAX {
            known.clear();
        }
        let compiled = known.entry(pattern.into()).or_insert_with(|| {
            let options = jsonschema::options().with_draft(Draft::Draft202012);
            let options = options.with_pattern_options(patterns());
            options.build(&json!({"pattern": pattern})).ok()
        });
        let compiled = compiled.as_ref()?;
        Some(compiled.is_valid(&Json::from(text)))
    })
}

/// True if a schema accepts a literal value. `None` if that is not certain. Adds the number of
/// schemas that were examined to `count`.
pub(super) fn admits<'a>(
    nodes: &'a [Value],
    schema: &'a Value,
    value: &Value,
    count: &mut u32,
) -> Option<bool> {
    let value = match value {
        Value::Node(node) => nodes.get(*node as usize)?,
        value => value,
    };
    let mut check = Check {
        nodes,
        value,
        known: FxHashMap::default(),
        count: 0,
    };
    let admits = check.admits(schema, 0);
    *count = count.saturating_add(check.count);
    admits
}

/// Check of one value against a schema and the schemas in it that apply to the same value.
struct Check<'a, 'v> {
    nodes: &'a [Value],
    value: &'v Value,
    /// Results by node. A schema can refer to the same node many times, also on each of many
    /// levels. `None` while the node is examined: a schema that refers to itself.
    known: FxHashMap<u32, Option<bool>>,
    /// Number of schemas that were examined.
    count: u32,
}

impl<'a> Check<'a, '_> {
    fn admits(&mut self, schema: &'a Value, depth: u32) -> Option<bool> {
        let Value::Node(node) = schema else {
            return self.examine(schema, depth);
        };
        if let Some(known) = self.known.get(node) {
            return *known;
        }
        self.known.insert(*node, None);
        let admits = self.examine(resolved(self.nodes, schema), depth);
        self.known.insert(*node, admits);
        admits
    }

    fn examine(&mut self, schema: &'a Value, depth: u32) -> Option<bool> {
        let entries = match schema {
            Value::Bool(admits) => return Some(*admits),
            Value::Map(entries) => entries,
            _ => return None,
        };
        self.count += 1;
        if depth > DEPTH_MAX || self.count > SCHEMAS_MAX {
            return None;
        }
        if *self.value == Value::Null && schema.get("nullable") == Some(&Value::Bool(true)) {
            return Some(true);
        }
        let mut is_certain = true;
        for (key, argument) in entries {
            match self.keyword(schema, (key, argument), depth) {
                Some(true) => {}
                Some(false) => return Some(false),
                None => is_certain = false,
            }
        }
        is_certain.then_some(true)
    }

    fn keyword(
        &mut self,
        schema: &'a Value,
        (key, argument): (&str, &'a Value),
        depth: u32,
    ) -> Option<bool> {
        let (nodes, value) = (self.nodes, self.value);
        let members = || resolved(nodes, argument).items().iter();
        let mut admits = |schema: &'a Value| self.admits(schema, depth + 1);
        match key {
            "type" => of_types(&names(nodes, argument), value),
            "const" => is_equal(nodes, argument, value),
            "enum" => any(members().map(|one| is_equal(nodes, one, value))),
            "allOf" => all(members().map(admits)),
            "$ref" if matches!(argument, Value::Node(_)) => admits(argument),
            "anyOf" => any(members().map(admits)),
            "oneOf" if schema.get("discriminator").is_some() => None,
            "oneOf" => {
                let found: Option<Vec<bool>> = members().map(admits).collect();
                Some(found?.into_iter().filter(|one| *one).count() == 1)
            }
            "not" => admits(argument).map(|admits| !admits),
            "if" => {
                let branch = if admits(argument)? { "then" } else { "else" };
                schema.get(branch).map_or(Some(true), admits)
            }
            "x-limits" | "$ref" | "$dynamicRef" | "dependencies" => None,
            _ => of_type(nodes, schema, (key, argument), value),
        }
    }
}

/// True if a value is of one of these types.
fn of_types(names: &BTreeSet<&str>, value: &Value) -> Option<bool> {
    let has = |name: &str| names.contains(name);
    Some(match value {
        Value::Null => has("null"),
        Value::Bool(_) => has("boolean"),
        Value::Integer(_) => has("integer") || has("number"),
        Value::Decimal(_) => match exact(value) {
            Some(number) if number % exact(&Value::Integer(1))? == 0 => {
                has("integer") || has("number")
            }
            Some(_) => has("number"),
            None => return has("number").then_some(true),
        },
        Value::Text(_) => has("string"),
        Value::List(_) | Value::Set(_) => has("array"),
        Value::Map(_) => has("object"),
        Value::Node(_) => return None,
    })
}

/// Checks a value against a keyword that has an effect on one type only.
fn of_type<'a>(
    nodes: &'a [Value],
    schema: &'a Value,
    (key, argument): (&str, &'a Value),
    value: &Value,
) -> Option<bool> {
    let argument = resolved(nodes, argument);
    match value {
        Value::Integer(_) | Value::Decimal(_) => {
            let number = || exact(value);
            let bound = || exact(argument);
            let flagged = |key: &str| schema.get(key) == Some(&Value::Bool(true));
            match key {
                "minimum" if flagged("exclusiveMinimum") => Some(number()? > bound()?),
                "maximum" if flagged("exclusiveMaximum") => Some(number()? < bound()?),
                "exclusiveMinimum" | "exclusiveMaximum" if matches!(argument, Value::Bool(_)) => {
                    Some(true)
                }
                "minimum" => Some(number()? >= bound()?),
                "maximum" => Some(number()? <= bound()?),
                "exclusiveMinimum" => Some(number()? > bound()?),
                "exclusiveMaximum" => Some(number()? < bound()?),
                "multipleOf" => Some(number()? % bound().filter(|bound| *bound > 0)? == 0),
                "format" => match argument {
                    Value::Text(name) if format::of_strings(name) => Some(true),
                    _ => None,
                },
                _ => Some(true),
            }
        }
        Value::Text(text) => {
            let count = || text.chars().count() as u64;
            match key {
                "minLength" => Some(count() >= length(argument)?),
                "maxLength" => Some(count() <= length(argument)?),
                "pattern" => match argument {
                    Value::Text(pattern) => is_found(pattern, text),
                    _ => None,
                },
                "format" => {
                    let Value::Text(name) = argument else {
                        return None;
                    };
                    let all = format::FORMATS.iter();
                    let check = all
                        .filter(|one| one.name == &**name)
                        .find_map(|one| one.check);
                    check.map(|check| check(text))
                }
                _ => Some(true),
            }
        }
        Value::List(_) | Value::Set(_) | Value::Map(_) => match key {
            "deprecated" | "default" | "readOnly" | "writeOnly" | "nullable" | "xml"
            | "x-sunset" | "x-stability-level" => Some(true),
            _ => None,
        },
        Value::Null | Value::Bool(_) | Value::Node(_) => Some(true),
    }
}

fn is_equal(nodes: &[Value], one: &Value, other: &Value) -> Option<bool> {
    let one = resolved(nodes, one);
    match (one, other) {
        (Value::List(_) | Value::Set(_), Value::List(_) | Value::Set(_))
        | (Value::Map(_), Value::Map(_)) => (one == other).then_some(true),
        (Value::Decimal(_), Value::Integer(_) | Value::Decimal(_))
        | (Value::Integer(_), Value::Decimal(_)) => Some(exact(one)? == exact(other)?),
        _ => Some(one == other),
    }
}

/// True if all items are true, false if an item is false, otherwise `None`.
fn all(items: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut is_certain = true;
    for item in items {
        match item {
            Some(false) => return Some(false),
            Some(true) => {}
            None => is_certain = false,
        }
    }
    is_certain.then_some(true)
}

fn any(items: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    all(items.map(|item| item.map(|item| !item))).map(|all| !all)
}
