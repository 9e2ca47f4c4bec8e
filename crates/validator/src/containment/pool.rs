//! Small sample values from the literals, bounds and names in two schemas. In contrast to
//! [`crate::samples`], this module also reads the schemas in `not` and `if`.

use std::collections::BTreeSet;

use bundle::ir::Value;
use rustc_hash::FxHashSet;
use serde_json::{Value as Json, json};

use crate::lower::resolved;

/// Maximum number of schemas that are read.
const SCHEMAS_MAX: usize = 64;
/// Maximum number of scalars.
const SCALARS_MAX: usize = 20;
/// Maximum number of names of properties.
const NAMES_MAX: usize = 6;
/// Maximum length of a generated string, in characters.
const LENGTH_MAX: i64 = 64;

/// Literals and names in schemas.
#[derive(Default)]
struct Pool {
    scalars: Vec<Json>,
    names: BTreeSet<String>,
}

/// Sample values that one schema may accept and the other refuse.
pub(super) fn values(nodes: &[Value], schemas: [&Value; 2]) -> Vec<Json> {
    let mut pool = Pool::default();
    for scalar in [
        json!(""),
        json!(0),
        json!(null),
        json!(true),
        json!(1.5),
        json!("a"),
    ] {
        pool.add(scalar);
    }
    for schema in schemas {
        pool.read(nodes, schema);
    }
    let Pool { scalars, names } = pool;
    let names: Vec<String> = names.into_iter().take(NAMES_MAX).collect();
    let mut all = scalars.clone();
    all.extend([json!([]), json!({})]);
    for one in &scalars {
        all.push(json!([one]));
        all.extend(names.iter().map(|name| json!({name: one})));
        all.extend(scalars.iter().map(|other| json!([one, other])));
    }
    for (at, name) in names.iter().enumerate() {
        for other in &names[at + 1..] {
            for one in &scalars {
                all.extend(
                    scalars
                        .iter()
                        .take(8)
                        .map(|two| json!({name: one, other: two})),
                );
            }
        }
    }
    all
}

/// Names of properties that only the wide schema describes. Empty if the narrow schema may describe
/// any name.
pub(super) fn names<'a>(nodes: &'a [Value], [narrow, wide]: [&'a Value; 2]) -> FxHashSet<&'a str> {
    let of = |schema: &'a Value| -> FxHashSet<&'a str> {
        let mut found = FxHashSet::default();
        let mut seen: FxHashSet<u32> = FxHashSet::default();
        let mut waiting = vec![schema];
        while let Some(schema) = waiting.pop() {
            for (key, edge) in resolved(nodes, schema).entries() {
                let value = resolved(nodes, edge);
                match &**key {
                    "properties" => found.extend(value.entries().iter().map(|(name, _)| &**name)),
                    "required" => {
                        found.extend(value.items().iter().filter_map(|name| match name {
                            Value::Text(name) => Some(&**name),
                            _ => None,
                        }))
                    }
                    "dependentRequired" | "dependentSchemas" => {
                        for (name, list) in value.entries() {
                            found.insert(&**name);
                            let names = resolved(nodes, list).items().iter();
                            found.extend(names.filter_map(|name| match name {
                                Value::Text(name) => Some(&**name),
                                _ => None,
                            }));
                        }
                    }
                    "const" => literal_names(nodes, std::slice::from_ref(value), &mut found),
                    "enum" => literal_names(nodes, value.items(), &mut found),
                    // The schema may describe any name. The empty name marks this case.
                    "patternProperties" | "additionalProperties" | "unevaluatedProperties"
                        if *value != Value::Bool(false) =>
                    {
                        return FxHashSet::from_iter([""]);
                    }
                    "propertyNames" if value.get("pattern").is_some() => {
                        return FxHashSet::from_iter([""]);
                    }
                    "propertyNames" => {
                        let listed = value.get("enum").map(|list| resolved(nodes, list).items());
                        let all = listed.unwrap_or_default().iter().chain(value.get("const"));
                        found.extend(all.filter_map(|name| match name {
                            Value::Text(name) => Some(&**name),
                            _ => None,
                        }));
                    }
                    _ => {}
                }
                edge.each_node(&mut |node| {
                    if seen.insert(node) {
                        waiting.extend(nodes.get(node as usize));
                    }
                });
            }
        }
        found
    };
    let own = of(narrow);
    match own.contains("") {
        true => FxHashSet::default(),
        false => of(wide).difference(&own).copied().collect(),
    }
}

/// Adds the names of the properties of literal values, nested ones included.
fn literal_names<'a>(nodes: &'a [Value], values: &'a [Value], found: &mut FxHashSet<&'a str>) {
    for value in values {
        let value = resolved(nodes, value);
        for (name, inner) in value.entries() {
            found.insert(name);
            literal_names(nodes, std::slice::from_ref(inner), found);
        }
        literal_names(nodes, value.items(), found);
    }
}

impl Pool {
    fn add(&mut self, value: Json) {
        if self.scalars.len() < SCALARS_MAX && !self.scalars.contains(&value) {
            self.scalars.push(value);
        }
    }

    /// Reads a schema and the schemas that it reaches.
    fn read(&mut self, nodes: &[Value], schema: &Value) {
        let mut seen: FxHashSet<u32> = FxHashSet::default();
        let mut waiting = vec![schema];
        let mut count = 0;
        while let Some(schema) = waiting.pop() {
            count += 1;
            if count > SCHEMAS_MAX {
                break;
            }
            for (key, value) in resolved(nodes, schema).entries() {
                self.keyword(nodes, key, resolved(nodes, value));
                value.each_node(&mut |node| {
                    if seen.insert(node)
                        && let Some(inner) = nodes.get(node as usize)
                    {
                        waiting.push(inner);
                    }
                });
            }
        }
    }

    fn keyword(&mut self, nodes: &[Value], key: &str, value: &Value) {
        match (key, value) {
            ("const", value) => self.literal(nodes, value),
            ("enum", values) => {
                for value in values.items() {
                    self.literal(nodes, value);
                }
            }
            ("required", names) => {
                for name in names.items() {
                    if let Value::Text(name) = resolved(nodes, name) {
                        self.names.insert(name.to_string());
                    }
                }
            }
            ("properties" | "dependentRequired" | "dependentSchemas", Value::Map(entries)) => {
                self.names
                    .extend(entries.iter().map(|(name, _)| name.to_string()));
                if key == "dependentRequired" {
                    let lists = entries.iter().map(|(_, list)| resolved(nodes, list));
                    lists.for_each(|list| self.keyword(nodes, "required", list));
                }
            }
            ("patternProperties", Value::Map(entries)) => {
                // Add the pattern without `^` and `$` as a property name: a simple pattern such as
                // `^x-` matches it.
                let texts = entries
                    .iter()
                    .map(|(text, _)| text.trim_matches(['^', '$']));
                self.names.extend(texts.map(str::to_owned));
            }
            ("minLength" | "maxLength", Value::Integer(length)) if *length <= LENGTH_MAX => {
                for length in [*length - 1, *length, *length + 1] {
                    self.add("a".repeat(usize::try_from(length).unwrap_or(0)).into());
                }
            }
            (
                "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf",
                Value::Integer(bound),
            ) => {
                for bound in [bound.saturating_sub(1), *bound, bound.saturating_add(1)] {
                    self.add(bound.into());
                }
            }
            _ => {}
        }
    }

    fn literal(&mut self, nodes: &[Value], value: &Value) {
        match resolved(nodes, value) {
            Value::Null => self.add(Json::Null),
            Value::Bool(value) => self.add((*value).into()),
            Value::Integer(value) => self.add((*value).into()),
            Value::Text(text) => self.add((**text).into()),
            Value::Decimal(_) | Value::List(_) | Value::Set(_) | Value::Map(_) | Value::Node(_) => {
            }
        }
    }
}
