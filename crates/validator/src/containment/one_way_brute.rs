//! Tests of [`super::one_way`] with random pairs of objects that have `readOnly` properties. The
//! crate jsonschema decides which values match, after names without effect were removed from
//! `required`.

use std::collections::BTreeSet;

use jsonschema::Validator;
use serde_json::{Map, Value as Json, json};

use super::brute::{Dice, classes, node};
use super::{Containment, Verdict};
use crate::lower::Direction;

/// Keywords whose schemas apply to the same value.
const LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const SINGLE: [&str; 4] = ["not", "if", "then", "else"];

/// Names of `readOnly` properties in a schema. `is_certain`: without schemas that apply to some
/// values only.
fn marked(schema: &Json, is_certain: bool, found: &mut BTreeSet<String>) {
    let properties = schema.get("properties").and_then(Json::as_object);
    for (name, inner) in properties.into_iter().flatten() {
        if inner.get("readOnly") == Some(&json!(true)) {
            found.insert(name.clone());
        }
    }
    for key in LISTS {
        let members = schema.get(key).and_then(Json::as_array);
        if key == "allOf" || !is_certain {
            let members = members.into_iter().flatten();
            members.for_each(|one| marked(one, is_certain, found));
        }
    }
    if !is_certain {
        let single = SINGLE.iter().filter_map(|key| schema.get(key));
        let by_name = schema.get("dependentSchemas").and_then(Json::as_object);
        let by_name = by_name
            .into_iter()
            .flat_map(|all| all.iter().map(|(_, one)| one));
        single
            .chain(by_name)
            .for_each(|one| marked(one, is_certain, found));
    }
}

/// Schema in which `required` lacks these names. As in gwd, `oneOf` of such a schema becomes
/// `anyOf`, and `not` and `if` have no effect.
fn without(schema: &Json, names: &BTreeSet<String>) -> (Json, bool) {
    let Some(entries) = schema.as_object() else {
        return (schema.clone(), false);
    };
    let (mut out, mut one_of) = (Map::new(), None);
    let mut all = false;
    for (key, value) in entries {
        let mut is_changed = false;
        let mut inner = |value: &Json| {
            let (value, changed) = without(value, names);
            is_changed |= changed;
            value
        };
        let value = match &**key {
            "required" => {
                let list = value.as_array().expect("a list").iter();
                let kept = list.filter(|name| !names.contains(name.as_str().unwrap_or_default()));
                let kept: Vec<Json> = kept.cloned().collect();
                is_changed = json!(kept) != *value;
                json!(kept)
            }
            "allOf" | "anyOf" | "oneOf" => {
                let members = value.as_array().expect("a list").iter();
                members.map(&mut inner).collect()
            }
            "dependentSchemas" => {
                let all = value.as_object().expect("an object").iter();
                let all: Map<String, Json> =
                    all.map(|(key, one)| (key.clone(), inner(one))).collect();
                all.into()
            }
            "not" | "if" | "then" | "else" => inner(value),
            _ => value.clone(),
        };
        all |= is_changed;
        match (&**key, is_changed) {
            ("not" | "if", true) => {}
            ("oneOf", true) => one_of = Some(json!({"anyOf": value})),
            _ => drop(out.insert(key.clone(), value)),
        }
    }
    match one_of {
        Some(any) => (json!({"allOf": [out, any]}), all),
        None => (out.into(), all),
    }
}

fn compile(schema: &Json, names: &BTreeSet<String>) -> Validator {
    let (schema, _) = without(schema, names);
    jsonschema::draft202012::new(&schema).unwrap_or_else(|error| panic!("{schema}: {error}"))
}

/// Random part of an object schema.
fn part(dice: &mut Dice, depth: usize) -> Json {
    let mut out = Map::new();
    for _ in 0..=dice.below(3) {
        let name = *dice.pick(&["i", "i", "j", "k"]);
        let other = *dice.pick(&["i", "j", "k"]);
        let inner = |dice: &mut Dice| match depth {
            0 => json!({"required": [*dice.pick(&["i", "j"])]}),
            _ => part(dice, depth - 1),
        };
        let members = |dice: &mut Dice| -> Json {
            let count = 1 + dice.below(2);
            (0..count).map(|_| inner(dice)).collect()
        };
        let (key, value) = match dice.below(13) {
            0 | 1 => ("required", json!([name])),
            2..=5 => ("properties", properties(dice, name)),
            6 | 7 => ("allOf", members(dice)),
            8 => ("anyOf", members(dice)),
            9 => ("oneOf", members(dice)),
            10 => ("dependentRequired", json!({name: [other]})),
            11 => ("dependentSchemas", json!({name: inner(dice)})),
            _ if dice.below(2) == 0 => ("not", inner(dice)),
            _ => {
                out.insert("then".into(), inner(dice));
                ("if", inner(dice))
            }
        };
        out.insert(key.into(), value);
    }
    out.into()
}

fn properties(dice: &mut Dice, name: &str) -> Json {
    let mut inner = Map::new();
    if dice.below(2) == 0 {
        inner.insert("type".into(), json!("integer"));
    }
    if dice.below(3) > 0 {
        inner.insert("readOnly".into(), json!(true));
    }
    json!({name: inner})
}

/// Copy of a schema with one change: a different `readOnly`, a further keyword, or a removed one.
fn changed(dice: &mut Dice, schema: &Json) -> Json {
    let text = schema.to_string();
    let marks = text.matches("\"readOnly\":true").count();
    if marks > 0 && dice.below(3) > 0 {
        let at = dice.below(marks);
        let (start, _) = text.match_indices("\"readOnly\":true").nth(at).expect("it");
        let (head, tail) = text.split_at(start);
        let tail = tail.replacen("\"readOnly\":true", "\"readOnly\":false", 1);
        return serde_json::from_str(&format!("{head}{tail}")).expect("JSON");
    }
    let mut out = schema.as_object().expect("an object").clone();
    if dice.below(2) == 0 {
        let keys: Vec<String> = out.keys().cloned().collect();
        if !keys.is_empty() {
            out.remove(dice.pick(&keys));
        }
    } else {
        let further = part(dice, 1);
        out.extend(further.as_object().expect("an object").clone());
    }
    out.into()
}

/// Objects with the properties `i`, `j` and `k`, and other values.
fn values() -> Vec<Json> {
    let mut all = vec![json!(1)];
    for at in 0..27 {
        let mut object = Map::new();
        for (index, name) in ["i", "j", "k"].into_iter().enumerate() {
            match at / 3_usize.pow(u32::try_from(index).unwrap_or(0)) % 3 {
                0 => {}
                1 => drop(object.insert(name.into(), json!(1))),
                _ => drop(object.insert(name.into(), json!("a"))),
            }
        }
        all.push(object.into());
    }
    all
}

#[test]
fn verdicts_about_read_only_pairs_are_right() {
    let full = std::env::var("GWC_TEST_FULL").is_ok();
    let pairs = if full { 20_000 } else { 2_000 };
    let values = values();
    let mut dice = Dice(0x853c_49e6_748f_ea9b);
    let mut counts = [0; 3];
    for at in 0..pairs {
        let old = part(&mut dice, 2);
        let new = changed(&mut dice, &old);
        let (narrow, wide) = if at % 2 == 0 { (old, new) } else { (new, old) };
        let names = |schema: &Json, is_certain: bool| {
            let mut found = BTreeSet::new();
            marked(schema, is_certain, &mut found);
            found
        };
        let of_narrow = names(&narrow, false);
        let (of_wide, certain) = (names(&wide, false), names(&wide, true));
        let one = compile(&narrow, &of_narrow);
        let [other, strict] = [&of_wide, &certain].map(|names| compile(&wide, names));
        let is_message = |value: &&Json| {
            let mut absent = of_narrow.union(&of_wide);
            !absent.any(|name| value.get(name).is_some()) && one.is_valid(value)
        };
        let mut table = Vec::new();
        let edge = node(&mut table, &narrow);
        let start = u32::try_from(table.len()).expect("a small table");
        let edges = (edge, node(&mut table, &wide));
        let ranks = classes(&table);
        let class = |node: u32| ranks[node as usize];
        let mut containment =
            Containment::new(&table, &class, Direction::Request, (100_000, 10)).joined(start);
        match containment.decide(&edges.0, &edges.1) {
            Verdict::Contained => {
                counts[0] += 1;
                let mut shown = values.iter().filter(is_message);
                let example = shown.find(|value| !strict.is_valid(value) && !other.is_valid(value));
                assert_eq!(example, None, "proved: {narrow} in {wide}");
            }
            Verdict::Refuted(value) => {
                counts[1] += 1;
                assert!(
                    is_message(&&value) && !other.is_valid(&value),
                    "refuted by {value}: {narrow} in {wide}"
                );
            }
            Verdict::Undecided => counts[2] += 1,
        }
    }
    let [proved, refuted, undecided] = counts;
    println!("{pairs} pairs: {proved} proved, {refuted} refuted, {undecided} undecided");
    assert!(proved * 8 > pairs && refuted * 8 > pairs, "{counts:?}");
}
