//! Tests of the assumption about described properties ([`super::described`]) with random pairs. A
//! proof must hold for each enumerated object whose properties are all described. The crate
//! jsonschema decides which schemas an object matches.

use jsonschema::Validator;
use serde_json::{Map, Value as Json, json};

use super::brute::{Dice, changed, classes, node, schema, values};
use super::{Containment, Verdict};
use crate::lower::Direction;

/// Schema that applies to a value, and true if it is inside `not` or `if`.
type Applied<'s> = (&'s Json, bool);

fn compile(schema: &Json) -> Validator {
    jsonschema::draft202012::new(schema).unwrap_or_else(|error| panic!("{schema}: {error}"))
}

/// Schemas that a schema applies to a value, without branches of `if` that the value does not take.
fn applied<'s>(schema: &'s Json, is_condition: bool, value: &Json, found: &mut Vec<Applied<'s>>) {
    found.push((schema, is_condition));
    let Some(entries) = schema.as_object() else {
        return;
    };
    for key in ["allOf", "anyOf", "oneOf"] {
        let members = entries.get(key).and_then(Json::as_array);
        for member in members.into_iter().flatten() {
            applied(member, is_condition, value, found);
        }
    }
    for (_, inner) in entries
        .get("dependentSchemas")
        .and_then(Json::as_object)
        .into_iter()
        .flatten()
    {
        applied(inner, is_condition, value, found);
    }
    if let Some(inner) = entries.get("not") {
        applied(inner, true, value, found);
    }
    if let Some(condition) = entries.get("if") {
        applied(condition, true, value, found);
        let branch = if compile(condition).is_valid(value) {
            "then"
        } else {
            "else"
        };
        if let Some(inner) = entries.get(branch) {
            applied(inner, is_condition, value, found);
        }
    }
}

/// True if the keywords of a schema itself name a property.
fn names(schema: &Json, name: &str) -> bool {
    let has = |key: &str| schema.get(key).is_some_and(|all| all.get(name).is_some());
    let lists = |all: &Json| all.as_array().is_some_and(|all| all.contains(&json!(name)));
    let opens = |key: &str| schema.get(key).is_some_and(|one| *one != json!(false));
    has("properties")
        || has("dependentSchemas")
        || schema.get("required").is_some_and(lists)
        || opens("additionalProperties")
        || opens("unevaluatedProperties")
        || schema.get("patternProperties").is_some() && name.starts_with('a')
        || name != "c" && schema.get("dependentRequired").is_some()
}

/// True if a schema that the value matches, or could match, names each property of the value.
fn is_described(narrow: &Json, value: &Json, values: &[Json]) -> bool {
    let Some(members) = value.as_object() else {
        return !value.as_array().into_iter().flatten().any(Json::is_object);
    };
    if members
        .values()
        .any(|inner| inner.is_object() || inner.is_array())
    {
        return false;
    }
    let mut all = Vec::new();
    applied(narrow, false, value, &mut all);
    let all: Vec<(Applied<'_>, Validator)> =
        all.into_iter().map(|one| (one, compile(one.0))).collect();
    let matched = all
        .iter()
        .filter(|((_, is_condition), validator)| !is_condition && validator.is_valid(value));
    let matched: Vec<&Validator> = matched.map(|(_, validator)| validator).collect();
    let could_match = |other: &Validator| {
        let mut values = values.iter().filter(|one| one.is_object());
        values.any(|one| other.is_valid(one) && matched.iter().all(|own| own.is_valid(one)))
    };
    members.keys().all(|name| {
        let mut all = all.iter().filter(|((schema, _), _)| names(schema, name));
        all.any(|((_, is_condition), validator)| *is_condition || could_match(validator))
    })
}

/// Object schema with alternatives that describe other properties.
fn alternatives(dice: &mut Dice) -> Json {
    let member = |dice: &mut Dice| {
        let mut out = Map::new();
        let name = *dice.pick(&["a", "b"]);
        let inners = [
            json!({"type": "string"}),
            json!({"type": "integer"}),
            json!(false),
        ];
        let inner = dice.pick(&inners);
        match dice.below(6) {
            0 => {}
            1 => return json!({"not": {"properties": {name: inner.clone()}}}),
            2 => {
                out.insert("required".into(), json!([name]));
            }
            _ => {
                out.insert("properties".into(), json!({name: inner.clone()}));
            }
        }
        Json::Object(out)
    };
    let key = *dice.pick(&["anyOf", "oneOf", "allOf"]);
    let all: Vec<Json> = (0..=dice.below(2)).map(|_| member(dice)).collect();
    json!({"type": "object", key: all})
}

#[test]
fn proofs_hold_for_described_properties() {
    let full = std::env::var("GWC_TEST_FULL").is_ok();
    let pairs = if full { 20_000 } else { 2_000 };
    let values = values();
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let mut proved = 0;
    for at in 0..pairs {
        let old = match at % 4 {
            0 => schema(&mut dice, 2),
            _ => alternatives(&mut dice),
        };
        let new = match at % 3 {
            0 => alternatives(&mut dice),
            _ => changed(&mut dice, &old),
        };
        let (narrow, wide) = if at % 2 == 0 { (old, new) } else { (new, old) };
        let (one, other) = (compile(&narrow), compile(&wide));
        let shows = |value: &&Json| one.is_valid(value) && !other.is_valid(value);
        let mut table = Vec::new();
        let edges = (node(&mut table, &narrow), node(&mut table, &wide));
        let ranks = classes(&table);
        let class = |node: u32| ranks[node as usize];
        let mut containment =
            Containment::new(&table, &class, Direction::Request, (100_000, 10)).described();
        match containment.decide(&edges.0, &edges.1) {
            Verdict::Contained => {
                proved += 1;
                let shown = values.iter().filter(shows);
                let example = shown
                    .into_iter()
                    .find(|value| is_described(&narrow, value, &values));
                assert_eq!(example, None, "proved: {narrow} in {wide}");
            }
            Verdict::Refuted(value) => {
                assert!(shows(&&value), "refuted by {value}: {narrow} in {wide}");
            }
            Verdict::Undecided => {}
        }
    }
    assert!(proved * 8 > pairs, "{proved} of {pairs}");
}
