//! Check of a literal value against a schema without a compiled validator. The result is `None` if
//! it is not certain.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use bundle::ir::Value;
use jsonschema::{Draft, Validator};
use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::{Value as Json, json};

use super::measure::{exact, length};
use crate::contain::names;
use crate::format;
use crate::lower::{patterns, resolved};

/// Maximum nesting of schemas for one value.
const DEPTH_MAX: u32 = 32;
/// Maximum number of schemas that are examined for one value.
const SCHEMAS_MAX: u32 = 10_000;
/// Maximum number of compiled patterns in the cache of a thread.
const PATTERNS_MAX: usize = 4_096;
/// Minimum number of literals of a list that are compared by their hashes. A shorter list is
/// compared literal by literal.
const HASHED_MIN: usize = 16;

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
    (nodes, enums): (&'a [Value], &Enums<'a>),
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
        enums,
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
    enums: &'v Enums<'a>,
    value: &'v Value,
    /// Results by node. A schema can refer to the same node many times, also on each of many
    /// levels. `None`: the result is not certain, or the node is still being examined because a
    /// schema refers to itself.
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
        let (nodes, enums, value) = (self.nodes, self.enums, self.value);
        let members = || resolved(nodes, argument).items().iter();
        let mut admits = |schema: &'a Value| self.admits(schema, depth + 1);
        match key {
            "type" => of_types(&names(nodes, argument), value),
            "const" => is_equal(nodes, argument, value),
            "enum" => enums.has(nodes, resolved(nodes, argument).items(), value),
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

/// Literals of the long lists in `enum` that were compared with a value, by the address of the
/// list. Values of one long list are often compared with another long list.
#[derive(Default)]
pub(super) struct Enums<'a>(RefCell<FxHashMap<usize, Rc<Literals<'a>>>>);

impl<'a> Enums<'a> {
    /// True if a list contains a value. `None` if that is not certain.
    fn has(&self, nodes: &'a [Value], list: &'a [Value], value: &Value) -> Option<bool> {
        if list.len() < HASHED_MIN {
            return any(list.iter().map(|one| is_equal(nodes, one, value)));
        }
        let address = list.as_ptr() as usize;
        let known = self.0.borrow().get(&address).cloned();
        let literals = known.unwrap_or_else(|| {
            let literals = Rc::new(Literals::of(nodes, list));
            self.0.borrow_mut().insert(address, Rc::clone(&literals));
            literals
        });
        literals.has(value)
    }
}

/// Set of literals. Numbers are compared by their exact values, so that `1` and `1.0` are equal.
#[derive(Default)]
struct Literals<'a> {
    values: FxHashSet<&'a Value>,
    /// Exact values of the numbers.
    numbers: FxHashSet<i128>,
    /// True if a number has too many digits for [`exact`].
    has_inexact: bool,
    has_list: bool,
    has_map: bool,
}

impl<'a> Literals<'a> {
    fn of(nodes: &'a [Value], list: &'a [Value]) -> Self {
        let mut all = Self::default();
        for one in list.iter().map(|one| resolved(nodes, one)) {
            match one {
                Value::Integer(_) | Value::Decimal(_) => {
                    let number = exact(one);
                    all.has_inexact |= number.is_none();
                    all.numbers.extend(number);
                }
                Value::List(_) | Value::Set(_) => all.has_list = true,
                Value::Map(_) => all.has_map = true,
                Value::Null | Value::Bool(_) | Value::Text(_) | Value::Node(_) => {}
            }
            all.values.insert(one);
        }
        all
    }

    fn has_number(&self) -> bool {
        self.has_inexact || !self.numbers.is_empty()
    }

    /// Result of [`is_equal`] for any of the literals.
    fn has(&self, value: &Value) -> Option<bool> {
        let has = self.values.contains(value);
        let is_uncertain = match value {
            Value::Integer(_) | Value::Decimal(_) => {
                return match exact(value) {
                    Some(number) if self.numbers.contains(&number) => Some(true),
                    Some(_) => (!self.has_inexact).then_some(false),
                    None => (!self.has_number()).then_some(false),
                };
            }
            Value::List(_) | Value::Set(_) => self.has_list,
            Value::Map(_) => self.has_map,
            Value::Null | Value::Bool(_) | Value::Text(_) | Value::Node(_) => false,
        };
        match has {
            true => Some(true),
            false => (!is_uncertain).then_some(false),
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
    #[cfg(test)]
    COMPARED.set(COMPARED.get() + 1);
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

#[cfg(test)]
thread_local! {
    /// Number of calls of [`is_equal`].
    static COMPARED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(number: usize) -> Value {
        Value::Text(format!("v{number}").into())
    }

    fn decimal(text: &str) -> Value {
        Value::Decimal(text.into())
    }

    fn list(of: Value) -> Value {
        Value::List(vec![of])
    }

    #[test]
    fn long_lists_are_compared_by_hashes() {
        let list: Vec<Value> = (0..2_000).map(text).collect();
        let schema = Value::Map(vec![("enum".into(), Value::Set(list.clone()))]);
        let (enums, mut count) = (Enums::default(), 0);
        let before = COMPARED.get();
        for one in &list {
            let admits = admits((&[], &enums), &schema, one, &mut count);
            assert_eq!(admits, Some(true), "{one:?}");
        }
        let other = admits((&[], &enums), &schema, &text(2_000), &mut count);
        assert_eq!(other, Some(false));
        assert_eq!(COMPARED.get(), before);
        assert_eq!(enums.0.borrow().len(), 1);
    }

    #[test]
    fn hashed_literals_equal_compared_literals() {
        let nodes = [Value::Integer(7)];
        let inexact = decimal("1e-99");
        let map = |value: Value| Value::Map(vec![("a".into(), value)]);
        let literals = [
            vec![Value::Integer(1), decimal("25e-1"), text(1), Value::Null],
            vec![Value::Integer(1), inexact.clone()],
            vec![text(1), list(Value::Integer(1)), Value::Bool(true)],
            vec![map(text(1)), Value::Node(0), decimal("1e1")],
            vec![text(1), text(2)],
        ];
        let values = [
            Value::Integer(1),
            Value::Integer(7),
            Value::Integer(10),
            decimal("25e-1"),
            decimal("1e1"),
            inexact,
            text(1),
            text(3),
            Value::Null,
            Value::Bool(true),
            Value::Bool(false),
            list(Value::Integer(1)),
            list(Value::Integer(2)),
            Value::Set(vec![Value::Integer(1)]),
            map(text(1)),
            map(text(2)),
        ];
        for all in &literals {
            let hashed = Literals::of(&nodes, all);
            for value in &values {
                let compared = any(all.iter().map(|one| is_equal(&nodes, one, value)));
                assert_eq!(hashed.has(value), compared, "{value:?} in {all:?}");
            }
        }
    }
}
