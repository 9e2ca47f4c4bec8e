//! Comparison of `allOf`, `anyOf`, `oneOf`, `not`, `if`, `then` and `else`.

use bundle::ir::Value;
use serde_json::Value as Json;

use super::{Effect, Pair};

pub(super) fn compare(pair: &mut Pair<'_>) {
    members(pair, "allOf", "all-of");
    members(pair, "anyOf", "any-of");
    members(pair, "oneOf", "one-of");
    pair.single("if", "if", "");
    pair.single("then", "then", "");
    pair.single("else", "else", "");
    match pair.both("not") {
        (None, Some(_)) => pair.keyword("not", "not", Effect::Narrowed),
        (Some(_), None) => pair.keyword("not", "not", Effect::Widened),
        _ => pair.inner("not", ""),
    }
}

/// Compares the members of a list of schemas. Equal members are paired first, then similar ones.
fn members(pair: &mut Pair<'_>, keyword: &'static str, name: &str) {
    let list = |schema: &Value| -> Vec<Value> {
        let list = schema.get(keyword).map(|list| pair.joint.at(list).items());
        list.unwrap_or_default().to_vec()
    };
    let (old, new) = (list(pair.old), list(pair.new));
    let (gone, come) = pair.joint.unmatched(&old, &new);
    let mut gone: Vec<Value> = gone.into_iter().cloned().collect();
    let mut come: Vec<Value> = come.into_iter().cloned().collect();
    let sole = gone.len() == 1 && come.len() == 1;
    gone.retain(|old| {
        let scores = come.iter().enumerate();
        let scores = scores.map(|(at, new)| (similarity(pair, old, new), at));
        // If several members have the highest score, take the first one.
        let best = scores.max_by_key(|(score, at)| (*score, std::cmp::Reverse(*at)));
        let Some((score, at)) = best else { return true };
        if score < SIMILAR && !sole {
            return true;
        }
        let new = come.remove(at);
        pair.child(
            keyword.to_owned(),
            String::new(),
            (old, &new),
            pair.role.inner(),
        );
        false
    });
    if !come.is_empty() {
        let effect = if keyword == "allOf" {
            Effect::Narrowed
        } else {
            Effect::Widened
        };
        let values = (
            Json::Null,
            come.iter().map(|one| pair.joint.json(one)).collect(),
        );
        pair.push(
            keyword,
            &format!("{name}-added"),
            effect,
            String::new(),
            values,
        );
    }
    if !gone.is_empty() {
        let effect = if keyword == "allOf" {
            Effect::Widened
        } else {
            Effect::Narrowed
        };
        let values = (
            gone.iter().map(|one| pair.joint.json(one)).collect(),
            Json::Null,
        );
        pair.push(
            keyword,
            &format!("{name}-removed"),
            effect,
            String::new(),
            values,
        );
    }
}

/// Minimum similarity of two members to form a pair, in percent.
const SIMILAR: usize = 50;

/// Percentage of names and keywords that two schemas have in common.
fn similarity(pair: &Pair<'_>, old: &Value, new: &Value) -> usize {
    let features = |value: &Value| -> Vec<String> {
        let schema = pair.joint.at(value);
        let mut all = Vec::new();
        for (key, value) in schema.entries() {
            match (&**key, pair.joint.at(value)) {
                ("properties", Value::Map(entries)) => {
                    all.extend(entries.iter().map(|(name, _)| format!("property {name}")));
                }
                (key, Value::Text(text)) => all.push(format!("{key} {text}")),
                (key, _) => all.push(key.to_owned()),
            }
        }
        all
    };
    let (old, new) = (features(old), features(new));
    let common = old.iter().filter(|one| new.contains(one)).count();
    100 * common / old.len().max(new.len()).max(1)
}
