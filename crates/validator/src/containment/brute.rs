//! Tests of [`super::Containment`] with random pairs of small schemas. Each verdict is compared
//! with an enumeration of all values up to a size. The crate jsonschema decides with the original
//! schema if a value is valid.

use std::collections::BTreeMap;

use bundle::ir::Value;
use serde_json::{Map, Value as Json, json};

use super::{Containment, Verdict};
use crate::lower::Direction;

/// Random number generator (xorshift). The field is the state.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or(0) % count
    }

    pub(super) fn pick<'t, T>(&mut self, all: &'t [T]) -> &'t T {
        &all[self.below(all.len())]
    }
}

/// Adds a schema and its subschemas to a table. Returns a reference to the schema.
pub(crate) fn node(table: &mut Vec<Value>, schema: &Json) -> Value {
    let at = table.len();
    table.push(Value::Null);
    table[at] = match schema {
        Json::Bool(value) => Value::Bool(*value),
        schema => {
            let entries = schema.as_object().expect("an object");
            let mut all: Vec<(Box<str>, Value)> = Vec::new();
            for (key, value) in entries {
                let value = match (&**key, value) {
                    ("allOf" | "anyOf" | "oneOf", Json::Array(items)) => {
                        Value::Set(items.iter().map(|item| node(table, item)).collect())
                    }
                    ("prefixItems", Json::Array(items)) => {
                        Value::List(items.iter().map(|item| node(table, item)).collect())
                    }
                    ("properties" | "patternProperties" | "dependentSchemas", value) => {
                        let entries = value.as_object().expect("an object").iter();
                        let entries =
                            entries.map(|(key, value)| ((**key).into(), node(table, value)));
                        Value::Map(entries.collect())
                    }
                    (
                        "not"
                        | "if"
                        | "then"
                        | "else"
                        | "items"
                        | "contains"
                        | "propertyNames"
                        | "additionalProperties"
                        | "unevaluatedItems"
                        | "unevaluatedProperties",
                        value,
                    ) => node(table, value),
                    (_, value) => literal(value),
                };
                all.push(((**key).into(), value));
            }
            all.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Map(all)
        }
    };
    Value::Node(u32::try_from(at).expect("a small table"))
}

/// Class of each node of a table without cycles. Equal schemas have the same class.
pub(super) fn classes(table: &[Value]) -> Vec<u32> {
    fn expanded(table: &[Value], value: &Value) -> Value {
        let all = |items: &[Value]| items.iter().map(|item| expanded(table, item)).collect();
        match value {
            Value::Node(node) => expanded(table, &table[*node as usize]),
            Value::List(items) => Value::List(all(items)),
            Value::Set(items) => Value::Set(all(items)),
            Value::Map(entries) => {
                let entries = entries.iter();
                let entries = entries.map(|(key, value)| (key.clone(), expanded(table, value)));
                Value::Map(entries.collect())
            }
            other => other.clone(),
        }
    }
    let mut known: BTreeMap<Value, u32> = BTreeMap::new();
    let all = (0..).zip(table);
    all.map(|(at, value)| *known.entry(expanded(table, value)).or_insert(at))
        .collect()
}

fn literal(value: &Json) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match number.as_i64() {
            Some(value) => Value::Integer(value),
            None => {
                let tenths = (number.as_f64().expect("a number") * 10.0).round();
                Value::Decimal(format!("{tenths}e-1").into())
            }
        },
        Json::String(text) => Value::Text(text.as_str().into()),
        Json::Array(items) => Value::List(items.iter().map(literal).collect()),
        Json::Object(entries) => {
            let entries = entries.iter();
            Value::Map(
                entries
                    .map(|(key, value)| ((**key).into(), literal(value)))
                    .collect(),
            )
        }
    }
}

const TYPES: [&str; 7] = [
    "null", "boolean", "integer", "number", "string", "array", "object",
];

fn scalar(dice: &mut Dice) -> Json {
    let all = [
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(2),
        json!(1.5),
        json!(""),
        json!("a"),
        json!("ab"),
        json!("b"),
    ];
    dice.pick(&all).clone()
}

pub(super) fn schema(dice: &mut Dice, depth: usize) -> Json {
    let mut out = Map::new();
    let kind = *dice.pick(&TYPES);
    match dice.below(6) {
        0 => {}
        1 => {
            let other = *dice.pick(&TYPES);
            let types = if other == kind {
                vec![kind]
            } else {
                vec![kind, other]
            };
            out.insert("type".into(), json!(types));
        }
        _ => {
            out.insert("type".into(), json!(kind));
        }
    }
    for _ in 0..dice.below(3) {
        keyword(dice, kind, depth, &mut out);
    }
    if depth > 0 && dice.below(3) == 0 {
        combined(dice, depth - 1, &mut out);
    }
    if dice.below(12) == 0 {
        return Json::Bool(dice.below(3) > 0);
    }
    Json::Object(out)
}

fn combined(dice: &mut Dice, depth: usize, out: &mut Map<String, Json>) {
    let key = *dice.pick(&["allOf", "anyOf", "oneOf", "not", "if", "anyOf", "oneOf"]);
    let value = match key {
        "not" => schema(dice, depth),
        "if" => {
            for key in ["then", "else"] {
                if dice.below(2) == 0 {
                    out.insert(key.into(), schema(dice, depth));
                }
            }
            schema(dice, depth)
        }
        _ => (0..=dice.below(3)).map(|_| schema(dice, depth)).collect(),
    };
    out.insert(key.into(), value);
}

fn keyword(dice: &mut Dice, kind: &str, depth: usize, out: &mut Map<String, Json>) {
    let small = dice.below(3);
    let inner = |dice: &mut Dice| match depth {
        0 => json!({"type": *dice.pick(&TYPES[1..5])}),
        _ => schema(dice, depth - 1),
    };
    let (key, value) = match (kind, dice.below(8)) {
        (_, 0) => ("enum", (0..=dice.below(3)).map(|_| scalar(dice)).collect()),
        (_, 1) if dice.below(2) == 0 => ("const", scalar(dice)),
        ("integer" | "number", at) => (
            [
                "minimum",
                "maximum",
                "exclusiveMinimum",
                "exclusiveMaximum",
                "multipleOf",
            ][at % 5],
            match at % 5 {
                4 => dice.pick(&[json!(1), json!(2), json!(0.5)]).clone(),
                _ => dice
                    .pick(&[json!(0), json!(1), json!(2), json!(1.5)])
                    .clone(),
            },
        ),
        ("string", at) => match at % 3 {
            0 => ("minLength", json!(small)),
            1 => ("maxLength", json!(small)),
            _ => ("pattern", json!(*dice.pick(&["^a", "b$", "", "^a$"]))),
        },
        ("array", at) => match at % 7 {
            0 => ("minItems", json!(small)),
            1 => ("maxItems", json!(small)),
            2 => ("uniqueItems", json!(true)),
            3 => {
                let bound = ["minContains", "maxContains", "none"][dice.below(3)];
                if bound != "none" {
                    out.insert(bound.into(), json!(small));
                }
                ("contains", inner(dice))
            }
            5 => ("unevaluatedItems", inner(dice)),
            4 => (
                "prefixItems",
                (0..=dice.below(2)).map(|_| inner(dice)).collect(),
            ),
            _ => ("items", inner(dice)),
        },
        ("object", at) => match at {
            1 | 2 => ("required", json!([*dice.pick(&["a", "b", "c"])])),
            3 => ("additionalProperties", inner(dice)),
            4 => ("minProperties", json!(small)),
            5 => ("maxProperties", json!(small)),
            6 => match dice.below(5) {
                0 => ("patternProperties", json!({"^a": inner(dice)})),
                1 => ("propertyNames", inner(dice)),
                2 => ("dependentRequired", json!({"a": ["b"]})),
                3 => ("dependentSchemas", json!({"a": inner(dice)})),
                _ => ("unevaluatedProperties", inner(dice)),
            },
            _ => {
                let names = ["a", "b"].into_iter().take(1 + dice.below(2));
                let all: Map<String, Json> = names.map(|name| (name.into(), inner(dice))).collect();
                ("properties", all.into())
            }
        },
        _ => return,
    };
    out.insert(key.into(), value);
}

/// Returns the schema with one random change, or an equivalent schema in another form.
pub(super) fn changed(dice: &mut Dice, old: &Json) -> Json {
    let Json::Object(entries) = old else {
        return schema(dice, 1);
    };
    let mut new = entries.clone();
    match dice.below(11) {
        10 => {
            // Move the descriptions of properties into an `allOf`.
            let moved = ["properties", "patternProperties"];
            let moved: Map<String, Json> = moved
                .into_iter()
                .filter_map(|key| Some((key.to_owned(), new.remove(key)?)))
                .collect();
            if let Some(rest) = new.remove("additionalProperties") {
                new.insert("unevaluatedProperties".into(), rest);
            }
            new.insert("allOf".into(), json!([moved]));
        }
        9 => {
            // Add two keywords, so that more pairs have an equal keyword beside a different one.
            let kind = *dice.pick(&["object", "array"]);
            keyword(dice, kind, 1, &mut new);
            combined(dice, 1, &mut new);
        }
        0 => return json!({"allOf": [old, schema(dice, 1)]}),
        1 => return json!({"anyOf": [old, schema(dice, 1)]}),
        2 => return json!({"oneOf": [old, schema(dice, 1)]}),
        3 => return json!({"not": {"not": old}}),
        4 => {
            // Split the keywords into two schemas of an `allOf`.
            let own = |keys: &[&str], has: bool| -> Map<String, Json> {
                let entries = entries.iter();
                let entries = entries.filter(|(key, _)| keys.contains(&&***key) == has);
                entries
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect()
            };
            let apart = [
                "type",
                "required",
                "minimum",
                "maxLength",
                "minItems",
                "enum",
            ];
            return json!({"allOf": [own(&apart, true), own(&apart, false)]});
        }
        5 => {
            let kind = new
                .get("type")
                .and_then(Json::as_str)
                .unwrap_or("object")
                .to_owned();
            keyword(dice, &kind, 1, &mut new);
        }
        6 => {
            let keys: Vec<String> = new.keys().cloned().collect();
            if !keys.is_empty() {
                new.remove(dice.pick(&keys));
            }
        }
        7 => return schema(dice, 2),
        _ => {
            for key in ["items", "not", "contains", "additionalProperties"] {
                if let Some(inner) = new.get(key).cloned() {
                    new.insert(key.into(), changed(dice, &inner));
                }
            }
            if let Some(Json::Object(all)) = new.get_mut("properties") {
                for (_, inner) in all {
                    *inner = changed(dice, inner);
                }
            }
        }
    }
    Json::Object(new)
}

/// All values up to a size.
pub(super) fn values() -> Vec<Json> {
    let scalars = vec![
        json!(null),
        json!(true),
        json!(false),
        json!(-1),
        json!(0),
        json!(0.5),
        json!(1),
        json!(1.5),
        json!(2),
        json!(3),
        json!(""),
        json!("a"),
        json!("b"),
        json!("ab"),
        json!("ba"),
        json!("aab"),
    ];
    let few = [
        json!(null),
        json!(true),
        json!(1),
        json!(1.5),
        json!(2),
        json!("a"),
        json!("ab"),
        json!(""),
    ];
    let mut all = scalars.clone();
    all.extend([json!([]), json!({})]);
    for one in &scalars {
        all.push(json!([one]));
        all.extend(["a", "b", "c", "ab"].map(|name| json!({name: one})));
    }
    for one in &few {
        for other in &few {
            all.push(json!([one, other]));
            all.push(json!({"a": one, "b": other}));
            all.push(json!({"a": one, "c": other}));
        }
    }
    for one in [
        json!([]),
        json!({}),
        json!([1]),
        json!({"a": 1}),
        json!(["a", "a"]),
        json!({"b": "a"}),
    ] {
        all.push(json!([one]));
        all.push(json!({"a": one}));
    }
    all.extend([json!([1, 1, 1]), json!(["a", 1, 2]), json!([1, 2, "a"])]);
    all.extend([
        json!({"a": 1, "b": 1, "c": 1}),
        json!({"a": "a", "b": "a", "c": "a"}),
    ]);
    all
}

#[test]
fn verdicts_about_random_pairs_are_right() {
    let full = std::env::var("GWC_TEST_FULL").is_ok();
    let pairs = if full { 20_000 } else { 2_000 };
    let values = values();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut counts = [0; 3];
    let mut contained = 0;
    for at in 0..pairs {
        let old = schema(&mut dice, 2);
        let new = changed(&mut dice, &old);
        let (narrow, wide) = if at % 2 == 0 { (old, new) } else { (new, old) };
        let compile = |schema: &Json| {
            jsonschema::draft202012::new(schema).unwrap_or_else(|error| panic!("{schema}: {error}"))
        };
        let (one, other) = (compile(&narrow), compile(&wide));
        let shows = |value: &Json| one.is_valid(value) && !other.is_valid(value);
        let mut table = Vec::new();
        let edges = (node(&mut table, &narrow), node(&mut table, &wide));
        let ranks = classes(&table);
        let class = |node: u32| ranks[node as usize];
        let mut containment = Containment::new(&table, &class, Direction::Request, (100_000, 10));
        let example = values.iter().find(|value| shows(value));
        contained += usize::from(example.is_none());
        match containment.decide(&edges.0, &edges.1) {
            Verdict::Contained => {
                counts[0] += 1;
                assert_eq!(example, None, "proved: {narrow} in {wide}");
            }
            Verdict::Refuted(value) => {
                counts[1] += 1;
                assert!(shows(&value), "refuted by {value}: {narrow} in {wide}");
            }
            Verdict::Undecided => {
                if std::env::var("SHOW").is_ok() {
                    eprintln!("{example:?} {narrow} IN {wide}");
                }
                counts[2] += 1;
            }
        }
    }
    let [proved, refuted, undecided] = counts;
    println!(
        "{pairs} pairs: {proved} proved of {contained} without a counterexample, {refuted} refuted, \
         {undecided} undecided"
    );
    // At most one of eight pairs may stay undecided.
    assert!(undecided * 8 < pairs, "{undecided} of {pairs}");
}
