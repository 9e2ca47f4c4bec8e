//! Comparison of `enum`, `const`, `default` and `pattern`.

use std::collections::BTreeSet;

use bundle::ir::Value;
use serde_json::Value as Json;

use super::{Effect, Pair, Part};
use vocab::checks::Level;

/// Maximum number of values of one `enum` with a difference each. A larger number of values shares
/// one difference, because an untrusted description can contain hundreds of thousands.
const EACH_MAX: usize = 100;

pub(super) fn compare(pair: &mut Pair<'_>) {
    values(pair);
    default(pair);
    pattern(pair);
}

/// Compares `enum` and `const`. A `const` and an `enum` of one value have the same meaning.
fn values(pair: &mut Pair<'_>) {
    let list = |schema: &Value| -> Option<Vec<Value>> {
        match (schema.get("enum"), schema.get("const")) {
            (Some(list), _) => Some(pair.joint.at(list).items().to_vec()),
            (None, Some(value)) => Some(vec![value.clone()]),
            (None, None) => None,
        }
    };
    let constant = |schema: &Value| schema.get("enum").is_none() && schema.get("const").is_some();
    let (old, new) = (list(pair.old), list(pair.new));
    let (was, is) = (constant(pair.old), constant(pair.new));
    match (old, new) {
        (None, None) => {}
        (None, Some(_)) if is => pair.keyword("const", "const-added", Effect::Narrowed),
        (Some(_), None) if was => pair.keyword("const", "const-removed", Effect::Widened),
        (None, Some(_)) => pair.keyword("enum", "became-enum", Effect::Narrowed),
        (Some(_), None) => pair.keyword("enum", "enum-removed", Effect::Widened),
        (Some(old), Some(new)) => {
            let (gone, come) = pair.joint.unmatched(&old, &new);
            // The text of a constant in a request may be read as another type, so that no value
            // shows the break. The level of the check for `enum` then applies.
            if was && is && (!pair.role.is_text || pair.role.is_response) {
                if !gone.is_empty() {
                    pair.keyword("const", "const-changed", Effect::Changed);
                }
                return;
            }
            for old in records(pair, &gone) {
                removed(pair, old);
            }
            added(pair, &old, come);
        }
    }
}

/// Adds the differences for values that `enum` newly contains. Clients that tolerate an unknown text
/// in a response fail on null or an object. A value of a new type therefore has the check for types,
/// unless `type` shows the difference.
fn added(pair: &mut Pair<'_>, old: &[Value], come: Vec<&Value>) {
    let known: BTreeSet<&str> = old.iter().map(|value| kind(pair, value)).collect();
    let is_shown = !pair.is_same("type") || !pair.is_same("nullable");
    let is_received = pair.role.is_response && !pair.role.is_absent && !pair.role.is_text;
    let is_type_new =
        |value: &Value| is_received && !is_shown && !known.contains(kind(pair, value));
    let (other, same): (Vec<&Value>, Vec<&Value>) =
        come.into_iter().partition(|value| is_type_new(value));
    for (what, values) in [("enum-value-added", same), ("type-generalized", other)] {
        for new in records(pair, &values) {
            let values = (Json::Null, new);
            pair.push("enum", what, Effect::Widened, String::new(), values);
        }
    }
}

/// Name of a value's JSON type.
fn kind(pair: &Pair<'_>, value: &Value) -> &'static str {
    match pair.joint.at(value) {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Integer(_) | Value::Decimal(_) => "number",
        Value::Text(_) => "string",
        Value::List(_) | Value::Set(_) => "array",
        Value::Map(_) | Value::Node(_) => "object",
    }
}

/// Values for one difference each: the values themselves, with null in a list of one, or the list of
/// all values if there are more than [`EACH_MAX`].
fn records(pair: &Pair<'_>, values: &[&Value]) -> Vec<Json> {
    let values: Vec<Json> = values.iter().map(|value| pair.joint.json(value)).collect();
    let one = |value: Json| match value {
        // Null alone says that a side has no value.
        Json::Null => Json::Array(vec![Json::Null]),
        other => other,
    };
    match values.len() {
        0..=EACH_MAX => values.into_iter().map(one).collect(),
        _ => vec![Json::Array(values)],
    }
}

/// Adds the difference for a value that `enum` no longer contains.
fn removed(pair: &mut Pair<'_>, old: Json) {
    pair.push(
        "enum",
        "enum-value-removed",
        Effect::Narrowed,
        String::new(),
        (old, Json::Null),
    );
    let is_body = pair.role.part == Part::Body && !pair.role.is_inner;
    if pair.role.is_response
        && is_body
        && let Some(last) = pair.local.findings.last_mut()
    {
        last.id = "response-mediatype-enum-value-removed";
        last.level = Level::Info;
    }
}

fn default(pair: &mut Pair<'_>) {
    if pair.is_same("default") {
        return;
    }
    let what = match pair.both("default") {
        (None, _) => "default-value-added",
        (_, None) => "default-value-removed",
        _ => "default-value-changed",
    };
    pair.keyword("default", what, Effect::Changed);
    if pair.role.is_inner && pair.role.part != Part::Body {
        pair.at_most(Level::Info);
    }
}

fn pattern(pair: &mut Pair<'_>) {
    if pair.is_same("pattern") {
        return;
    }
    let is_any = |value: Option<&Value>| match value {
        None => true,
        // `^.*$` refuses texts with a line end.
        Some(Value::Text(text)) => matches!(&**text, "" | ".*" | "^" | "$" | "^.*" | ".*$"),
        Some(_) => false,
    };
    let (old, new) = pair.both("pattern");
    let (was, is) = (old.is_none(), new.is_none());
    let (any, wide) = (is_any(old), is_any(new));
    let (what, effect) = match () {
        () if was => ("pattern-added", Effect::Narrowed),
        () if is => ("pattern-removed", Effect::Widened),
        () if wide && !pair.role.is_response => ("pattern-generalized", Effect::Widened),
        () => ("pattern-changed", Effect::Changed),
    };
    pair.keyword("pattern", what, effect);
    if was && (any && wide) {
        pair.at_most(Level::Info);
    }
}
