//! Alternatives of `oneOf` and `anyOf` in comparisons. Pairs alternatives with equal hashes from
//! two lists, and decides if a property has different values in all alternatives of a list. Each
//! operation takes linear time, because a list may have thousands of members.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

use bundle::ir::Value;
use rustc_hash::{FxHashMap, FxHashSet, FxHasher};

use crate::lower::resolved;

/// Maximum nesting of the properties that [`likeness`] hashes.
const LIKENESS_DEPTH: u32 = 2;

/// Indices of the alternatives of a list, grouped by [`likeness`] hash. A comparison of two lists
/// first pairs alternatives that have the same hash.
pub(crate) struct Likenesses(FxHashMap<u64, Vec<usize>>);

impl Likenesses {
    pub(crate) fn of(table: &[Value], list: &[Value]) -> Self {
        let mut all: FxHashMap<u64, Vec<usize>> = FxHashMap::default();
        for (index, one) in list.iter().enumerate() {
            all.entry(likeness(table, one)).or_default().push(index);
        }
        Self(all)
    }

    /// Indices of the alternatives with the same [`likeness`] hash as the schema `one`, which is an
    /// alternative of another list. May be empty.
    pub(crate) fn like<'l>(
        &'l self,
        table: &[Value],
        one: &Value,
    ) -> impl Iterator<Item = usize> + use<'l> {
        self.0
            .get(&likeness(table, one))
            .into_iter()
            .flatten()
            .copied()
    }
}

/// Hash of the keywords of a schema that authors rarely edit, such as types, constants and names of
/// properties.
fn likeness(table: &[Value], schema: &Value) -> u64 {
    let mut hasher = FxHasher::default();
    add(table, schema, LIKENESS_DEPTH, &mut hasher);
    hasher.finish()
}

fn add(table: &[Value], schema: &Value, depth: u32, hasher: &mut FxHasher) {
    for (key, value) in resolved(table, schema).entries() {
        match &**key {
            "type" | "const" | "enum" | "required" | "format" | "pattern" => {
                (key, resolved(table, value)).hash(hasher);
            }
            "properties" => {
                for (name, property) in resolved(table, value).entries() {
                    name.hash(hasher);
                    if depth > 0 {
                        add(table, property, depth - 1, hasher);
                    }
                }
            }
            _ => {}
        }
    }
}

/// True if a property that all schemas require has different values in each schema. False does not
/// prove that schemas overlap. `not_required`: names of a schema that do not count, because messages
/// may omit these properties.
pub(crate) fn have_distinct_values<'a, 'n: 'f, 'f>(
    table: &'a [Value],
    schemas: &'a [Value],
    not_required: impl Fn(&'a Value) -> &'f FxHashSet<&'n str>,
) -> bool {
    let mut common: Option<BTreeSet<&str>> = None;
    for schema in schemas.iter().map(|one| resolved(table, one)) {
        let is_object = schema.get("type").is_some_and(|value| {
            let value = resolved(table, value);
            let only = match value {
                Value::List(items) | Value::Set(items) if items.len() == 1 => &items[0],
                value => value,
            };
            matches!(only, Value::Text(name) if **name == *"object")
        });
        if !is_object || is_nullable(schema) {
            return false;
        }
        let required = schema.get("required").map(|all| resolved(table, all));
        let required = required.map(Value::items).unwrap_or_default().iter();
        let names = required.filter_map(|name| match resolved(table, name) {
            Value::Text(name) => Some(&**name),
            _ => None,
        });
        let names: BTreeSet<&str> = names
            .filter(|name| !not_required(schema).contains(name))
            .filter(|name| common.as_ref().is_none_or(|common| common.contains(name)))
            .filter(|name| values(table, schema, name).is_some())
            .collect();
        if names.is_empty() {
            return false;
        }
        common = Some(names);
    }
    let common = common.unwrap_or_default();
    common.into_iter().any(|name| {
        let mut known: FxHashSet<&Value> = FxHashSet::default();
        schemas.iter().all(|schema| {
            let own: FxHashSet<&Value> = values(table, resolved(table, schema), name)
                .into_iter()
                .flatten()
                .collect();
            let are_new = own.is_disjoint(&known);
            known.extend(own);
            are_new
        })
    })
}

/// Values that a property may have. `None` if the schema does not list them.
fn values<'a>(table: &'a [Value], schema: &'a Value, name: &str) -> Option<Vec<&'a Value>> {
    let properties = resolved(table, schema.get("properties")?);
    let property = resolved(table, properties.get(name)?);
    if is_nullable(property) {
        return None;
    }
    match (property.get("enum"), property.get("const")) {
        (Some(values), _) => Some(resolved(table, values).items().iter().collect()),
        (None, value) => Some(vec![value?]),
    }
}

fn is_nullable(schema: &Value) -> bool {
    schema.get("nullable") == Some(&Value::Bool(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Schema of an object with a required property `k`, whose `enum` is `values`. `most`:
    /// `maximum` of the property `size`.
    fn choice(values: &[&str], most: i64) -> Value {
        let text = |text: &str| Value::Text(text.into());
        let map = |entries: &[(&str, Value)]| {
            let entries = entries.iter();
            Value::Map(
                entries
                    .map(|(key, value)| ((*key).into(), value.clone()))
                    .collect(),
            )
        };
        let values = values.iter().map(|value| text(value)).collect();
        let property = map(&[("enum", Value::Set(values))]);
        let size = map(&[("maximum", Value::Integer(most))]);
        map(&[
            ("properties", map(&[("k", property), ("size", size)])),
            ("required", Value::Set(vec![text("k")])),
            ("type", text("object")),
        ])
    }

    #[test]
    fn property_distinguishes_alternatives() {
        let none = FxHashSet::default();
        let are_distinct = |all: &[&[&str]]| {
            let all: Vec<Value> = all.iter().map(|values| choice(values, 1)).collect();
            have_distinct_values(&[], &all, |_| &none)
        };
        assert!(are_distinct(&[&["a"], &["b", "c"], &["d"]]));
        assert!(!are_distinct(&[&["a"], &["b", "c"], &["c"]]));
        let any = Value::Bool(true);
        let one = [choice(&["a"], 1), any];
        assert!(!have_distinct_values(&[], &one, |_| &none));
        // Messages may omit the required property `k`, so its values prove nothing.
        let all = [choice(&["a"], 1), choice(&["b"], 1)];
        let absent = FxHashSet::from_iter(["k"]);
        assert!(!have_distinct_values(&[], &all, |_| &absent));
    }

    #[test]
    fn edited_alternatives_look_alike() {
        let list = [choice(&["a"], 1), choice(&["b"], 1), choice(&["c"], 1)];
        let alike = Likenesses::of(&[], &list);
        let of = |one: &Value| alike.like(&[], one).collect::<Vec<usize>>();
        assert_eq!(of(&choice(&["b"], 9)), [1]);
        assert_eq!(of(&choice(&["x"], 1)), [0_usize; 0]);
    }
}
