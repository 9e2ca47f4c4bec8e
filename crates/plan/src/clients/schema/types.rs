//! Comparison of `type`, `nullable` and `format`.

use std::collections::BTreeSet;

use bundle::ir::Value;
use model::contract::joint::Joint;

use super::{Effect, Pair, Part};

/// Types that a schema admits. `names`: all types except `null`, or `None` for any type.
/// `admits_null`: true if the schema admits `null`.
struct Types<'a> {
    names: Option<BTreeSet<&'a str>>,
    admits_null: bool,
}

pub(super) fn compare(pair: &mut Pair<'_>) {
    let (old, new) = (of(pair.joint, pair.old), of(pair.joint, pair.new));
    if old.names.is_some() && new.names.is_some() || old.names == new.names {
        let null = match (old.admits_null, new.admits_null) {
            (false, true) => Some(("became-nullable", Effect::Widened)),
            (true, false) => Some(("became-not-nullable", Effect::Narrowed)),
            _ => None,
        };
        if let Some((what, effect)) = null {
            let keyword = if pair.is_same("nullable") {
                "type"
            } else {
                "nullable"
            };
            pair.keyword(keyword, what, effect);
        }
    }
    if old.names == new.names {
        format(pair);
        return;
    }
    if is_wrapped(pair) {
        let what = "wrapped-in-one-of";
        pair.keyword("oneOf", what, Effect::Changed);
        return;
    }
    let several = |types: &Types<'_>| types.names.as_ref().is_some_and(|names| names.len() > 1);
    let lists = (several(&old) || several(&new)) && old.names.is_some() && new.names.is_some();
    if is_list_of(pair, old.names.as_ref()) {
        pair.keyword("type", "type-generalized", Effect::Widened);
        return;
    }
    let wider = contains(new.names.as_ref(), old.names.as_ref());
    let narrower = contains(old.names.as_ref(), new.names.as_ref());
    let is_text = is_text(pair, new.names.as_ref()) && !is_exploded(pair, old.names.as_ref());
    if is_text && !lists {
        // In a request, every parameter is text. A parameter that may now be any text admits all
        // values that it admitted before.
        pair.keyword("type", "type-generalized", Effect::Widened);
        return;
    }
    match (wider, narrower) {
        // Several occurrences of a name are a list only for a schema that describes lists.
        (true, _) if new.names.is_none() && is_exploded(pair, old.names.as_ref()) => {
            pair.keyword("type", "type-changed", Effect::Changed);
        }
        (true, _) if lists => pair.keyword("type", "list-of-types-widened", Effect::Widened),
        (_, true) if lists => pair.keyword("type", "list-of-types-narrowed", Effect::Narrowed),
        (true, _) => pair.keyword("type", "type-generalized", Effect::Widened),
        (_, true) if pair.role.is_response => {
            pair.keyword("type", "type-specialized", Effect::Narrowed);
        }
        (_, true) if is_specialized(pair) => {
            pair.keyword("type", "type-specialized", Effect::Narrowed);
        }
        (_, true) => pair.keyword("type", "type-changed", Effect::Narrowed),
        (false, false) if is_specialized(pair) && old_is_text(old.names.as_ref()) => {
            pair.keyword("type", "type-specialized", Effect::Narrowed);
        }
        (false, false) => pair.keyword("type", "type-changed", Effect::Changed),
    }
}

/// True for a property inside a parameter: only such properties have a check for narrower types.
fn is_specialized(pair: &Pair<'_>) -> bool {
    pair.role.is_inner
        && matches!(
            pair.role.part,
            Part::Parameter | Part::PathParameter | Part::FormParameter
        )
}

fn old_is_text(names: Option<&BTreeSet<&str>>) -> bool {
    names.is_some_and(|names| names.contains("string"))
}

/// True if the new schema of a parameter is a list that serialises one item like a value of the old
/// schema.
fn is_list_of(pair: &Pair<'_>, names: Option<&BTreeSet<&str>>) -> bool {
    if pair.role.part != Part::FormParameter || pair.role.is_inner {
        return false;
    }
    let is_array = pair.new.get("type") == Some(&Value::Text("array".into()));
    let items = pair.new.get("items").map(|items| pair.joint.at(items));
    let any = Value::Map(Vec::new());
    let items = items.unwrap_or(&any);
    let free = |key: &&str| items.get(key).is_none();
    let plain = [
        "pattern",
        "format",
        "enum",
        "const",
        "minLength",
        "maxLength",
    ];
    let item = of(pair.joint, items).names;
    let simple = |names: &BTreeSet<&str>| !names.contains("array") && !names.contains("object");
    let is_text = |names: &BTreeSet<&str>| names.contains("string");
    is_array
        && names.is_some_and(simple)
        && plain.iter().all(free)
        && (item.as_ref().is_none_or(is_text) || contains(item.as_ref(), names))
}

/// True if the new side admits any text for a parameter.
fn is_text(pair: &Pair<'_>, names: Option<&BTreeSet<&str>>) -> bool {
    let is_parameter = !matches!(pair.role.part, Part::Body | Part::ResponseHeader);
    let free = |key: &&str| pair.new.get(key).is_none();
    is_parameter
        && !pair.role.is_inner
        && names.is_some_and(|names| names.len() == 1 && names.contains("string"))
        && [
            "pattern",
            "format",
            "enum",
            "const",
            "minLength",
            "maxLength",
        ]
        .iter()
        .all(free)
        && !["items", "properties"]
            .iter()
            .any(|key| pair.old.get(key).is_some())
}

/// True if the old schema of a parameter may be a list or an object that is written as several
/// occurrences of names (`form`, exploded).
fn is_exploded(pair: &Pair<'_>, names: Option<&BTreeSet<&str>>) -> bool {
    let is_several = |names: &BTreeSet<&str>| names.contains("array") || names.contains("object");
    pair.role.part == Part::FormParameter && !pair.role.is_inner && names.is_some_and(is_several)
}

/// True if the first set contains every type of the second. `None` contains everything.
fn contains(wide: Option<&BTreeSet<&str>>, narrow: Option<&BTreeSet<&str>>) -> bool {
    match (wide, narrow) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => narrow
            .iter()
            .all(|name| wide.contains(name) || *name == "integer" && wide.contains("number")),
    }
}

fn of<'a>(joint: &'a Joint, schema: &'a Value) -> Types<'a> {
    let text = |value: &'a Value| match joint.at(value) {
        Value::Text(text) => Some(&**text),
        _ => None,
    };
    let mut names: BTreeSet<&str> = match schema.get("type") {
        None => BTreeSet::new(),
        Some(value) => match joint.at(value) {
            Value::List(items) | Value::Set(items) => items.iter().filter_map(text).collect(),
            value => text(value).into_iter().collect(),
        },
    };
    let has_null = names.remove("null");
    let nullable = schema.get("nullable") == Some(&Value::Bool(true));
    let any = schema.get("type").is_none();
    if names.contains("number") {
        names.remove("integer");
    }
    Types {
        names: (!any).then_some(names),
        admits_null: has_null || nullable || any,
    }
}

/// True if the old schema is now one of the alternatives of `oneOf`.
fn is_wrapped(pair: &Pair<'_>) -> bool {
    let (None, Some(choices)) = pair.both("oneOf") else {
        return false;
    };
    let kind = pair.old.get("type");
    let same = |choice: &Value| pair.joint.at(choice).get("type") == kind;
    kind.is_some() && pair.new.get("type").is_none() && choices.items().iter().any(same)
}

fn format(pair: &mut Pair<'_>) {
    if pair.is_same("format") {
        return;
    }
    let text = |value: Option<&Value>| match value {
        Some(Value::Text(text)) => text.to_string(),
        _ => String::new(),
    };
    let (old, new) = pair.both("format");
    let wider = |wide: &str, narrow: &str| {
        matches!((wide, narrow), ("double", "float") | ("int64", "int32"))
    };
    let (old, new) = (text(old), text(new));
    if new.is_empty() || wider(&new, &old) {
        pair.keyword("format", "type-generalized", Effect::Widened);
    } else if old.is_empty() || wider(&old, &new) {
        let what = match pair.role.is_response {
            true => "type-specialized",
            false => "type-changed",
        };
        pair.keyword("format", what, Effect::Narrowed);
    } else {
        pair.keyword("format", "type-changed", Effect::Changed);
    }
}
