//! Sample values of schemas, among which an example is found that one schema accepts and another
//! refuses.
//!
//! The values are those next to the bounds of both schemas. They are only candidates: the
//! validators decide if a value shows the difference.

use std::collections::BTreeSet;

use bundle::ir::Value;
use serde_json::{Map, Value as Json, json};

/// Schema in its table of schemas.
pub(crate) type Schema<'a> = (&'a [Value], &'a Value);

/// Maximum nesting of generated values.
const DEPTH_MAX: u32 = 6;
/// Maximum number of values for one place.
const VALUES_MAX: usize = 48;
/// Maximum number of values for a whole message.
const ALL_MAX: usize = 3_000;
/// Maximum length of a generated string in characters, and of an array in items.
const LENGTH_MAX: u64 = 8_192;
const ITEMS_MAX: u64 = 256;
/// Maximum number of alternatives of `anyOf` and `oneOf`.
const CHOICES_MAX: usize = 8;

/// Values next to the bounds of both schemas. The first value is meant to match `accepts`.
pub(crate) fn values(accepts: Option<Schema<'_>>, refuses: Option<Schema<'_>>) -> Vec<Json> {
    let place = Place {
        accepts: accepts.into_iter().collect(),
        refuses: refuses.into_iter().collect(),
    };
    place.values(0, ALL_MAX)
}

/// Place of a value: the schemas that apply to it.
struct Place<'a> {
    /// Schemas that must accept the value.
    accepts: Vec<Schema<'a>>,
    /// Schemas that should refuse the value.
    refuses: Vec<Schema<'a>>,
}

/// Keywords of the schemas at one place, with references and one choice of alternatives followed.
struct Keywords<'a> {
    accepts: Vec<Schema<'a>>,
    refuses: Vec<Schema<'a>>,
    /// Schemas of both sides.
    all: Vec<Schema<'a>>,
}

fn resolved<'a>((table, value): Schema<'a>) -> Schema<'a> {
    match value {
        Value::Node(node) => (table, table.get(*node as usize).unwrap_or(&Value::Null)),
        value => (table, value),
    }
}

/// Schemas at the same place as `schema`: itself, those of `$ref`, `allOf`, and one alternative of
/// `anyOf` and `oneOf`. Without a choice: all alternatives.
fn flatten<'a>(schema: Schema<'a>, choice: Option<usize>, depth: u32, out: &mut Vec<Schema<'a>>) {
    let (table, value) = resolved(schema);
    if depth > DEPTH_MAX * 2 || out.len() > 64 {
        return;
    }
    out.push((table, value));
    for (key, value) in value.entries() {
        let (_, value) = match &**key {
            "$ref" => {
                flatten((table, value), choice, depth + 1, out);
                continue;
            }
            "allOf" | "anyOf" | "oneOf" => resolved((table, value)),
            _ => continue,
        };
        let items = value.items();
        let chosen = match (&**key, choice) {
            ("allOf", _) | (_, None) => items,
            (_, Some(choice)) => match items.len() {
                0 => items,
                count => std::slice::from_ref(&items[choice % count]),
            },
        };
        for item in chosen {
            flatten((table, item), choice, depth + 1, out);
        }
    }
}

impl<'a> Place<'a> {
    /// Values for this place, at most `most`.
    fn values(&self, depth: u32, most: usize) -> Vec<Json> {
        let mut found: Vec<Json> = Vec::new();
        if depth > DEPTH_MAX {
            return found;
        }
        for choice in 0..CHOICES_MAX {
            let flat = |schemas: &[Schema<'a>], choice| {
                let mut out = Vec::new();
                schemas
                    .iter()
                    .for_each(|schema| flatten(*schema, choice, 0, &mut out));
                out
            };
            let accepts = flat(&self.accepts, Some(choice));
            let refuses = flat(&self.refuses, None);
            let all = [&accepts[..], &refuses[..]].concat();
            let keywords = Keywords {
                accepts,
                refuses,
                all,
            };
            for value in keywords.values(depth, most) {
                if found.len() >= most {
                    return found;
                }
                if !found.contains(&value) {
                    found.push(value);
                }
            }
            let choices = |schema: &Schema<'a>| {
                ["anyOf", "oneOf"]
                    .into_iter()
                    .any(|key| schema.1.get(key).is_some())
            };
            if !flat(&self.accepts, None).iter().any(choices) {
                break;
            }
        }
        found
    }
}

impl<'a> Keywords<'a> {
    /// Values of a keyword, those of accepting schemas first.
    fn all(&self, key: &str) -> impl Iterator<Item = Schema<'a>> {
        let found: Vec<Schema<'a>> = self
            .all
            .iter()
            .filter_map(|(table, value)| Some(resolved((table, value.get(key)?))))
            .collect();
        found.into_iter()
    }

    fn integers(&self, key: &str) -> impl Iterator<Item = u64> {
        self.all(key).filter_map(|(_, value)| match value {
            Value::Integer(value) => u64::try_from(*value).ok(),
            _ => None,
        })
    }

    fn types(schemas: &[Schema<'a>]) -> Vec<&'a str> {
        let mut types = Vec::new();
        let mut add = |name: &'a str| {
            if !types.contains(&name) {
                types.push(name);
            }
        };
        for (table, schema) in schemas {
            if let Some(value) = schema.get("type") {
                let (_, value) = resolved((table, value));
                match value {
                    Value::Text(name) => add(name),
                    value => value.items().iter().for_each(|one| {
                        if let (_, Value::Text(name)) = resolved((table, one)) {
                            add(name);
                        }
                    }),
                }
            }
            if schema.get("properties").is_some() || schema.get("required").is_some() {
                add("object");
            }
            if schema.get("items").is_some() {
                add("array");
            }
        }
        types
    }

    fn values(&self, depth: u32, most: usize) -> Vec<Json> {
        let mut found: Vec<Json> = Vec::new();
        for key in ["const", "enum"] {
            for (table, value) in self.all(key).take(4) {
                match (key, value) {
                    ("enum", value) => {
                        let items = value.items().iter().take(VALUES_MAX);
                        found.extend(items.map(|one| literal((table, one), 0)));
                    }
                    (_, value) => found.push(literal((table, value), 0)),
                }
            }
        }
        let mut types = Self::types(&self.accepts);
        if types.is_empty() {
            types = Self::types(&self.all);
        }
        for name in Self::types(&self.all) {
            if !types.contains(&name) {
                types.push(name);
            }
        }
        let nullable = self.all("nullable").next().is_some();
        for name in ["string", "integer", "null", "boolean", "object", "array"] {
            // Without a type, add all types. With one type, add another type that neither side
            // names.
            if !types.contains(&name) && (types.len() < 2 || name == "null" && nullable) {
                types.push(name);
            }
        }
        for name in types {
            match name {
                "string" => found.extend(self.strings()),
                "integer" | "number" => found.extend(self.numbers()),
                "boolean" => found.extend([json!(true), json!(false)]),
                "null" => found.push(Json::Null),
                "array" => found.extend(self.arrays(depth)),
                "object" => found.extend(self.objects(depth, most)),
                _ => {}
            }
        }
        found
    }

    fn strings(&self) -> Vec<Json> {
        let mut found = Vec::new();
        for (_, value) in self.all("format") {
            if let Value::Text(name) = value {
                let example = match &**name {
                    "date" => "2000-01-01",
                    "date-time" => "2000-01-01T00:00:00Z",
                    "uuid" => "00000000-0000-0000-0000-000000000000",
                    "ipv4" => "1.1.1.1",
                    "ipv6" => "::",
                    _ => continue,
                };
                found.push(json!(example));
            }
        }
        let bounds = ["minLength", "maxLength"].into_iter();
        let bounds = bounds.flat_map(|key| self.integers(key));
        let lengths: BTreeSet<u64> = bounds
            .flat_map(|bound| [bound.saturating_sub(1), bound, bound.saturating_add(1)])
            .filter(|length| *length <= LENGTH_MAX)
            .collect();
        let least = self.integers("minLength").max().unwrap_or(1);
        for length in std::iter::once(least.clamp(1, LENGTH_MAX)).chain(lengths) {
            let length = usize::try_from(length).unwrap_or(0);
            for letter in ["a", "A", "0"] {
                found.push(json!(letter.repeat(length)));
            }
        }
        found.extend(["", "-", "a b", "a0", "A-0", "a@b"].map(Json::from));
        found
    }

    fn numbers(&self) -> Vec<Json> {
        let mut found = vec![json!(0), json!(1)];
        let keys = [
            "minimum",
            "maximum",
            "exclusiveMinimum",
            "exclusiveMaximum",
            "multipleOf",
        ];
        for key in keys {
            for (table, value) in self.all(key) {
                match value {
                    Value::Integer(value) => {
                        let near = [*value, value.saturating_sub(1), value.saturating_add(1)];
                        found.extend(near.map(Json::from));
                    }
                    Value::Decimal(_) => {
                        let value = literal((table, value), 0);
                        let more = value.as_f64().map(|value| [value - 1.0, value + 1.0]);
                        found.push(value);
                        found.extend(more.into_iter().flatten().map(Json::from));
                    }
                    _ => {}
                }
            }
        }
        for (_, value) in self.all("format") {
            match value {
                Value::Text(name) if **name == *"int32" => found.push(json!(2_147_483_648_u64)),
                Value::Text(name) if **name == *"int64" => {
                    found.push(json!(9_223_372_036_854_775_808_u64));
                }
                _ => {}
            }
        }
        found.extend([json!(-1), json!(0.5)]);
        found
    }

    fn arrays(&self, depth: u32) -> Vec<Json> {
        let place = self.inner(|schema| schema.get("items"));
        let items = place.values(depth + 1, VALUES_MAX);
        let first = items.first().cloned().unwrap_or(Json::Null);
        let unique = self
            .all("uniqueItems")
            .any(|(_, one)| *one == Value::Bool(true));
        let fill = |count: u64| -> Vec<Json> {
            (0..count)
                .map(|index| match (unique, &first) {
                    (false, first) => first.clone(),
                    (true, Json::String(text)) => json!(format!("{text}{index}")),
                    (true, _) => json!(index),
                })
                .collect()
        };
        let bounds = ["minItems", "maxItems"].into_iter();
        let bounds = bounds.flat_map(|key| self.integers(key));
        let lengths: BTreeSet<u64> = bounds
            .flat_map(|bound| [bound.saturating_sub(1), bound, bound.saturating_add(1)])
            .chain([0, 1])
            .filter(|length| *length <= ITEMS_MAX)
            .collect();
        let least = self.integers("minItems").max().unwrap_or(0).min(ITEMS_MAX);
        let mut found = vec![Json::from(fill(least))];
        found.extend(lengths.into_iter().map(|count| Json::from(fill(count))));
        for item in items {
            let mut all = fill(least.max(1));
            all[0] = item;
            found.push(all.into());
        }
        if unique {
            found.push(json!([first, first]));
        }
        found
    }

    fn objects(&self, depth: u32, most: usize) -> Vec<Json> {
        let required = |schemas: &[Schema<'a>]| -> BTreeSet<&'a str> {
            let lists = schemas.iter().filter_map(|(table, schema)| {
                Some((*table, resolved((table, schema.get("required")?)).1))
            });
            let names = lists.flat_map(|(table, list)| {
                let items = list.items().iter();
                items.filter_map(move |one| match resolved((table, one)).1 {
                    Value::Text(name) => Some(&**name),
                    _ => None,
                })
            });
            names.collect()
        };
        let (must, every) = (required(&self.accepts), required(&self.all));
        let names = self.all("properties").flat_map(|(_, all)| {
            let entries = all.entries().iter();
            entries.map(|(name, _)| &**name)
        });
        let names: BTreeSet<&str> = names.chain(every.iter().copied()).collect();
        let property = |name: &str| {
            self.inner(|schema| {
                let own = schema.get("properties")?;
                match own {
                    Value::Node(_) => None,
                    own => own.get(name),
                }
            })
        };
        let base = |names: &BTreeSet<&str>| -> Map<String, Json> {
            let members = names.iter().map(|name| {
                let value = property(name).values(depth + 1, 1).into_iter().next();
                ((*name).to_owned(), value.unwrap_or(Json::Null))
            });
            members.collect()
        };
        let mut bases = vec![base(&must)];
        if every != must {
            bases.push(base(&every));
        }
        let mut found: Vec<Json> = bases.iter().cloned().map(Json::Object).collect();
        for base in &bases {
            for name in base.keys() {
                let mut less = base.clone();
                less.remove(name);
                found.push(less.into());
            }
            let mut more = base.clone();
            more.insert("x".into(), json!(0));
            found.push(more.into());
        }
        let share = (most / names.len().max(1)).clamp(8, VALUES_MAX);
        for name in names {
            let place = property(name);
            if place.is_equal() {
                continue;
            }
            for value in place.values(depth + 1, share) {
                for base in &bases {
                    let mut one = base.clone();
                    one.insert(name.to_owned(), value.clone());
                    found.push(one.into());
                }
            }
        }
        let place = self.inner(|schema| schema.get("additionalProperties"));
        for value in place.values(depth + 1, 8) {
            let mut one = bases[0].clone();
            one.insert("x".into(), value);
            found.push(one.into());
        }
        found
    }

    /// Place of an inner value.
    fn inner(&self, get: impl Fn(&'a Value) -> Option<&'a Value>) -> Place<'a> {
        let of = |schemas: &[Schema<'a>]| -> Vec<Schema<'a>> {
            let schemas = schemas.iter();
            schemas
                .filter_map(|(table, schema)| Some((*table, get(schema)?)))
                .collect()
        };
        Place {
            accepts: of(&self.accepts),
            refuses: of(&self.refuses),
        }
    }
}

impl Place<'_> {
    /// True if the schemas of both sides are literally equal and refer to no other schema, so that
    /// no value can show a difference.
    fn is_equal(&self) -> bool {
        let sides = [&self.accepts, &self.refuses].map(|schemas| {
            let mut schemas = schemas.iter();
            let one = schemas.next().map(|schema| resolved(*schema).1);
            one.filter(|_| schemas.next().is_none())
        });
        let [Some(one), Some(other)] = sides else {
            return false;
        };
        let mut is_leaf = true;
        one.each_node(&mut |_| is_leaf = false);
        is_leaf && one == other
    }
}

/// Literal value of a schema as JSON.
fn literal(schema: Schema<'_>, depth: u32) -> Json {
    let (table, value) = resolved(schema);
    if depth > DEPTH_MAX {
        return Json::Null;
    }
    match value {
        Value::Null | Value::Node(_) => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Integer(value) => Json::from(*value),
        Value::Decimal(text) => {
            let number = text.parse::<f64>();
            number.map_or(Json::Null, Json::from)
        }
        Value::Text(text) => Json::from(&**text),
        Value::List(items) | Value::Set(items) => items
            .iter()
            .map(|item| literal((table, item), depth + 1))
            .collect(),
        Value::Map(entries) => entries
            .iter()
            .map(|(key, value)| (key.to_string(), literal((table, value), depth + 1)))
            .collect(),
    }
}
