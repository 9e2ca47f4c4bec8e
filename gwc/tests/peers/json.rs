//! Tests of gwc's JSON parser against serde_json. Both must give the same values and refuse the
//! same texts. The texts are those of the corpus and generated ones, intact and damaged. Numbers
//! are compared by value, because serde_json does not keep their text. The tests handle repeated
//! keys separately.

use std::fmt;

use serde_json::de::Deserializer;

use crate::random::Random;
use crate::value::{Value, difference, ours};
use crate::yaml::documents;
use prerequisite::corpus;

#[test]
fn json_of_the_corpus_agrees_with_serde_json() {
    let root = corpus::folder();
    let mut files = Vec::new();
    for folder in [
        "specs",
        "conformance",
        "broken",
        "oasdiff",
        "json-schema-test-suite",
    ] {
        documents(&root.join(folder), &mut files, false);
    }
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    assert!(files.len() > 100, "{}", files.len());
    for path in files {
        if let Ok(text) = std::fs::read_to_string(&path) {
            let shown = path.display();
            compare(&text).unwrap_or_else(|what| panic!("{shown} {what}"));
        }
    }
}

#[test]
fn generated_and_damaged_json_agrees_with_serde_json() {
    let full = prerequisite::is_full();
    let (mut accepted, mut refused) = (0, 0);
    for seed in 0..if full { 500_000 } else { 10_000 } {
        let random = &mut Random::new(seed);
        let mut text = String::new();
        write(random, 4, &mut text);
        if random.once_in(2) {
            text = damaged(random, &text);
        }
        match compare(&text) {
            Ok(true) => accepted += 1,
            Ok(false) => refused += 1,
            Err(what) => panic!("seed {seed} {what}\n{text:?}"),
        }
    }
    assert!(accepted > 4_000 && refused > 1_000, "{accepted} {refused}");
}

/// Compares both parsers: true if both accept the text with the same value.
fn compare(text: &str) -> Result<bool, String> {
    let theirs = theirs(text);
    match (ours("a.json", text), theirs) {
        (Ok(ours), Ok(theirs)) => match difference(&plain(ours), &theirs) {
            Some(what) => Err(what),
            None => Ok(true),
        },
        (Err(findings), Ok(theirs)) if findings.iter().all(|name| *name == "duplicate-map-key") => {
            let found = findings.len();
            let twice = repeated(&theirs);
            if found == twice {
                Ok(true)
            } else {
                Err(format!(": we find {found} keys twice, there are {twice}"))
            }
        }
        (Err(_), Err(_)) => Ok(false),
        // A number outside the range of f64 is still a valid number (RFC 8259 §6).
        (Ok(_), Err(error)) if error.contains("number out of range") => Ok(false),
        (Ok(_), Err(error)) => Err(format!(": serde_json says {error}")),
        (Err(findings), Ok(_)) => Err(format!(": we find {findings:?}")),
    }
}

/// Writes a random text that is a JSON value or nearly a JSON value.
fn write(random: &mut Random, depth: usize, text: &mut String) {
    let space = random.of(&["", "", "", " ", "\n", "\t", "\r\n  "]);
    text.push_str(space);
    match random.below(if depth == 0 { 5 } else { 8 }) {
        0 => text.push_str(random.of(&["null", "true", "false"])),
        1 | 2 => text.push_str(random.of(NUMBERS)),
        3 | 4 => string(random, text),
        5 => {
            text.push('[');
            for index in 0..random.below(4) {
                text.push_str(if index > 0 { "," } else { "" });
                write(random, depth - 1, text);
            }
            text.push(']');
        }
        _ => {
            text.push('{');
            for index in 0..random.below(5) {
                text.push_str(if index > 0 { " ," } else { "" });
                string(random, text);
                text.push_str(random.of(&[":", " :\n"]));
                write(random, depth - 1, text);
            }
            text.push('}');
        }
    }
    text.push_str(space);
}

const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "1",
    "-1",
    "10",
    "0.0",
    "0.5",
    "-0.25",
    "1e3",
    "1E-2",
    "1.5e+10",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "123456789012345678901234567890",
    "1e308",
    "1e309",
    "5e-324",
    "0.1000",
    "1.0",
];

fn string(random: &mut Random, text: &mut String) {
    text.push('"');
    for _ in 0..random.below(4) {
        text.push_str(random.of(&[
            "a",
            "key",
            "é",
            "漢",
            "😀",
            "\\n",
            "\\\"",
            "\\\\",
            "\\/",
            "\\b\\f\\r\\t",
            "\\u00e9",
            "\\u6f22",
            "\\ud83d\\ude00",
            "\\u0000",
            "{",
            "]",
            ",",
            ":",
            "'",
            " ",
            "\u{2028}",
            "\u{7f}",
        ]));
    }
    text.push('"');
}

/// Makes one random change in the text.
fn damaged(random: &mut Random, text: &str) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    let at = random
        .below(characters.len().max(1))
        .min(characters.len().saturating_sub(1));
    let other = random.of(&[
        "\"", "\\", "{", "}", "[", "]", ",", ":", "0", "1", ".", "-", "+", "e", "x", " ", "\n",
        "\u{1}", "u", "\\ud800", "\\udc00", "//", "NaN", "é", "\u{a0}",
    ]);
    match random.below(4) {
        _ if characters.is_empty() => return other.to_owned(),
        0 => drop(characters.remove(at)),
        1 => characters.truncate(at),
        2 => drop(characters.splice(at..=at, other.chars())),
        _ => drop(characters.splice(at..at, other.chars())),
    }
    characters.into_iter().collect()
}

// === serde_json's side ===

fn theirs(text: &str) -> Result<Value, String> {
    let mut deserializer = Deserializer::from_str(text);
    let read = <Read as serde::Deserialize>::deserialize(&mut deserializer);
    let read = read.map_err(|error| error.to_string())?;
    deserializer.end().map_err(|error| error.to_string())?;
    Ok(read.0)
}

struct Read(Value);

impl<'de> serde::Deserialize<'de> for Read {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor).map(Self)
    }
}

struct Visitor;

impl<'de> serde::de::Visitor<'de> for Visitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(format!("{value:?}")))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }
    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Read(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }
    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some((key, Read(value))) = entries.next_entry()? {
            map.push((key, value));
        }
        Ok(Value::Map(map))
    }
}

/// Number of keys that repeat an earlier key of the same object.
fn repeated(value: &Value) -> usize {
    match value {
        Value::List(items) => items.iter().map(repeated).sum(),
        Value::Map(entries) => {
            let again = entries
                .iter()
                .enumerate()
                .filter(|(at, (key, _))| entries[..*at].iter().any(|(before, _)| before == key));
            again.count()
                + entries
                    .iter()
                    .map(|(_, value)| repeated(value))
                    .sum::<usize>()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => 0,
    }
}

/// Converts the numbers of a value of gwc's parser to the notation of serde_json.
fn plain(value: Value) -> Value {
    match value {
        Value::Number(text) => Value::Number(match (text.parse::<u64>(), text.parse::<i64>()) {
            (Ok(number), _) => number.to_string(),
            (Err(_), Ok(number)) if number != 0 => number.to_string(),
            _ => format!("{:?}", text.parse::<f64>().expect("a number")),
        }),
        Value::List(items) => Value::List(items.into_iter().map(plain).collect()),
        Value::Map(entries) => {
            let entries = entries.into_iter().map(|(key, value)| (key, plain(value)));
            Value::Map(entries.collect())
        }
        other => other,
    }
}
