//! Comparison of `allOf`, `anyOf`, `oneOf`, `not`, `if`, `then` and `else`. A changed member of a
//! list is compared with its counterpart, so that it is one change.

use bundle::ir::Value;
use serde_json::Value as Json;

use super::{Effect, Pair};

/// Function that returns true if the difference between two inner schemas was proved to break no
/// client.
type IsContained<'p> = &'p mut dyn FnMut((u32, u32)) -> bool;

pub(super) fn compare(pair: &mut Pair<'_>, is_contained: IsContained<'_>) {
    members(pair, ("allOf", "all-of"), is_contained);
    if !alternatives_of_other_keyword(pair, is_contained) {
        members(pair, ("anyOf", "any-of"), is_contained);
        members(pair, ("oneOf", "one-of"), is_contained);
    }
    pair.single("if", "if", "");
    pair.single("then", "then", "");
    pair.single("else", "else", "");
    match pair.both("not") {
        (None, Some(_)) => pair.keyword("not", "not", Effect::Narrowed),
        (Some(_), None) => pair.keyword("not", "not", Effect::Widened),
        _ => pair.inner("not", ""),
    }
}

/// Reports a schema that became one of several alternatives, or that was one of them, as one
/// difference: the other alternatives. `nodes`: numbers of the old and the new schema. Returns false
/// for other schemas.
pub(super) fn wrapped(pair: &mut Pair<'_>, (old, new): (u32, u32)) -> bool {
    let (was, is) = (
        only_alternatives(pair, pair.old),
        only_alternatives(pair, pair.new),
    );
    let (keyword, was, is) = match (was, is) {
        (None, Some((keyword, is))) => (keyword, vec![Value::Node(old)], is),
        (Some((keyword, was)), None) => (keyword, was, vec![Value::Node(new)]),
        _ => return false,
    };
    let (gone, come) = pair.joint.unmatched(&was, &is);
    let others = |members: Vec<&Value>| members.into_iter().cloned().collect::<Vec<_>>();
    match (others(gone), others(come)) {
        (gone, come) if gone.is_empty() && !come.is_empty() => {
            if keyword.0 == "oneOf" && pair.role.has_check("wrapped-in-one-of") {
                pair.keyword("oneOf", "wrapped-in-one-of", Effect::Changed);
            } else {
                report(pair, keyword, (&[], &come), OF_ALTERNATIVES);
            }
        }
        (gone, come) if come.is_empty() && !gone.is_empty() => {
            report(pair, keyword, (&gone, &[]), OF_ALTERNATIVES);
        }
        _ => return false,
    }
    true
}

/// Keyword, its name in the ids of checks, and alternatives of a schema that has only `oneOf` or
/// `anyOf`. `None` for other schemas.
fn only_alternatives(
    pair: &Pair<'_>,
    schema: &Value,
) -> Option<((&'static str, &'static str), Vec<Value>)> {
    let [(key, members)] = schema.entries() else {
        return None;
    };
    let keyword = [("anyOf", "any-of"), ("oneOf", "one-of")]
        .into_iter()
        .find(|(name, _)| *name == &**key)?;
    Some((keyword, pair.joint.at(members).items().to_vec()))
}

fn list(pair: &Pair<'_>, schema: &Value, keyword: &str) -> Vec<Value> {
    let list = schema.get(keyword).map(|list| pair.joint.at(list).items());
    list.unwrap_or_default().to_vec()
}

/// Compares the members of a list of schemas.
fn members(
    pair: &mut Pair<'_>,
    (keyword, name): (&'static str, &str),
    is_contained: IsContained<'_>,
) {
    let old = list(pair, pair.old, keyword);
    let new = list(pair, pair.new, keyword);
    let (gone, come) = paired(pair, keyword, (&old, &new), is_contained);
    let effects = effects(pair, keyword);
    report(pair, (keyword, name), (&gone, &come), effects);
}

/// Compares `oneOf` of one side with `anyOf` of the other side. Reports the removed and the added
/// keyword, and compares the changed members in pairs. Returns false if both sides have the same
/// keywords.
fn alternatives_of_other_keyword(pair: &mut Pair<'_>, is_contained: IsContained<'_>) -> bool {
    let keys = ["anyOf", "oneOf"];
    let has = [pair.old, pair.new].map(|schema| keys.map(|key| schema.get(key).is_some()));
    let (was, is) = match has {
        [[true, false], [false, true]] => (0, 1),
        [[false, true], [true, false]] => (1, 0),
        _ => return false,
    };
    let old = list(pair, pair.old, keys[was]);
    let new = list(pair, pair.new, keys[is]);
    paired(pair, keys[was], (&old, &new), is_contained);
    for (key, name) in [("anyOf", "any-of"), ("oneOf", "one-of")] {
        match key == keys[was] {
            true => report(pair, (key, name), (&old, &[]), effects(pair, key)),
            false => report(pair, (key, name), (&[], &new), effects(pair, key)),
        }
    }
    true
}

/// Pairs the members of two lists: first equal members, then similar ones, then members whose
/// difference was proved to break no client. Finally pairs the last members if each list has one
/// left. Adds the pairs of different members as inner pairs. Returns the members without a partner.
///
/// Similar members come before proofs. A schema with one more optional property often contains
/// other members, too.
fn paired(
    pair: &mut Pair<'_>,
    keyword: &str,
    (old, new): (&[Value], &[Value]),
    is_contained: IsContained<'_>,
) -> (Vec<Value>, Vec<Value>) {
    let (gone, come) = pair.joint.unmatched(old, new);
    let mut gone: Vec<Value> = gone.into_iter().cloned().collect();
    let mut come: Vec<Value> = come.into_iter().cloned().collect();
    let mut contained = |old: &Value, new: &Value| match (old, new) {
        (Value::Node(old), Value::Node(new)) => is_contained((*old, *new)),
        _ => false,
    };
    pair_best(pair, keyword, (&mut gone, &mut come), |pair, old, new| {
        Some(similarity(pair, old, new)).filter(|score| *score >= SIMILAR)
    });
    let count = gone.len() * come.len();
    if (2..=PROOFS_MAX).contains(&count) {
        pair_best(pair, keyword, (&mut gone, &mut come), |pair, old, new| {
            let score = contained(old, new).then(|| similarity(pair, old, new));
            score.filter(|score| *score >= RELATED)
        });
    }
    if gone.len() == 1 && come.len() == 1 {
        pair_best(pair, keyword, (&mut gone, &mut come), |_, _, _| Some(0));
    }
    (gone, come)
}

/// Adds an inner pair for each old member and the new member with the highest score, and removes
/// both from their lists. `score`: `None` if two members do not belong together.
fn pair_best(
    pair: &mut Pair<'_>,
    keyword: &str,
    (gone, come): (&mut Vec<Value>, &mut Vec<Value>),
    mut score: impl FnMut(&Pair<'_>, &Value, &Value) -> Option<usize>,
) {
    gone.retain(|old| {
        let scores = come.iter().enumerate();
        let scores = scores.filter_map(|(at, new)| Some((score(pair, old, new)?, at)));
        // If several members have the highest score, take the first one.
        let best = scores.max_by_key(|(score, at)| (*score, std::cmp::Reverse(*at)));
        let Some((_, at)) = best else { return true };
        let new = come.remove(at);
        let role = pair.role.inner();
        pair.child(keyword.to_owned(), String::new(), (old, &new), role);
        false
    });
}

/// Effects of an added and of a removed alternative.
const OF_ALTERNATIVES: [Effect; 2] = [Effect::Widened, Effect::Narrowed];

/// Effects of an added and of a removed member of a keyword. If only one side has the keyword, its
/// alternatives refuse values that the other side accepts.
fn effects(pair: &Pair<'_>, keyword: &str) -> [Effect; 2] {
    match (keyword, pair.both(keyword)) {
        ("allOf", _) => [Effect::Narrowed, Effect::Widened],
        (_, (Some(_), Some(_))) => OF_ALTERNATIVES,
        _ => [Effect::Changed, Effect::Changed],
    }
}

/// Adds the differences for members that only one side has. `effects`: of added and of removed
/// members.
fn report(
    pair: &mut Pair<'_>,
    (keyword, name): (&'static str, &str),
    (gone, come): (&[Value], &[Value]),
    effects: [Effect; 2],
) {
    let all =
        |members: &[Value]| -> Json { members.iter().map(|one| pair.joint.json(one)).collect() };
    let added = (!come.is_empty()).then(|| (Json::Null, all(come)));
    let removed = (!gone.is_empty()).then(|| (all(gone), Json::Null));
    if let Some(values) = added {
        let what = format!("{name}-added");
        pair.push(keyword, &what, effects[0], String::new(), values);
    }
    if let Some(values) = removed {
        let what = format!("{name}-removed");
        pair.push(keyword, &what, effects[1], String::new(), values);
    }
}

/// Maximum number of pairs of members of one list that are proved.
const PROOFS_MAX: usize = 64;

/// Minimum similarity of two members for a pair by proof, in percent. A member that admits nearly
/// everything also contains unrelated members.
const RELATED: usize = 20;

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
