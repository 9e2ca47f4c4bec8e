//! Objects: `properties`, `required`, `additionalProperties`, `dependentRequired` and the like.

use std::collections::BTreeSet;

use bundle::ir::{ParameterPlace, Value};
use serde_json::Value as Json;

use super::{Effect, Finding, Pair, Part, RESPELLED, Role, lifecycle};
use vocab::checks::{self, Level};

pub(super) fn compare(pair: &mut Pair<'_>) {
    let (old, new) = (properties(pair, pair.old), properties(pair, pair.new));
    let (was, is) = (required(pair, pair.old), required(pair, pair.new));
    let names: BTreeSet<&str> = old.iter().chain(new).map(|(name, _)| &**name).collect();
    for name in names {
        let of = |all: &[(Box<str>, Value)]| {
            let at = all.binary_search_by(|(key, _)| (**key).cmp(name));
            at.ok().map(|at| all[at].1.clone())
        };
        let needs = (was.contains(name), is.contains(name));
        match (of(old), of(new)) {
            (Some(old), Some(new)) => property(pair, name, (&old, &new), needs),
            (None, Some(new)) => {
                added(pair, name, &new, needs);
                unnamed(pair, name, (rest(pair, pair.old), Some(new)));
            }
            (Some(old), None) => {
                let mut new = new.iter();
                let is_respelled = new.any(|(new, _)| is_respelled(pair, name, new));
                removed(pair, (name, is_respelled), &old, needs);
                unnamed(pair, name, (Some(old), rest(pair, pair.new)));
            }
            (None, None) => {}
        }
    }
    // Names that only one side has in `required`, and that neither side has in `properties`.
    for name in was.symmetric_difference(&is) {
        let known = |all: &[(Box<str>, Value)]| all.iter().any(|(key, _)| **key == **name);
        if !known(old) && !known(new) {
            need(pair, name, None, (was.contains(*name), is.contains(*name)));
        }
    }
    additional(pair);
    patterned(pair);
    pair.single("propertyNames", "property-names", ".*");
    pair.single("unevaluatedProperties", "unevaluated-properties", ".*");
    dependent_required(pair);
    dependent_schemas(pair);
}

fn properties<'a>(pair: &Pair<'a>, schema: &'a Value) -> &'a [(Box<str>, Value)] {
    let all = schema.get("properties");
    all.map_or(&[], |all| pair.joint.at(all).entries())
}

fn required<'a>(pair: &Pair<'a>, schema: &'a Value) -> BTreeSet<&'a str> {
    let names = schema.get("required").map(|all| pair.joint.at(all).items());
    let names = names.unwrap_or_default().iter();
    names
        .filter_map(|name| match name {
            Value::Text(text) => Some(&**text),
            _ => None,
        })
        .collect()
}

/// True if a schema has a keyword with the value `true`.
pub(super) fn flag(pair: &Pair<'_>, schema: &Value, key: &str) -> bool {
    pair.joint.at(schema).get(key) == Some(&Value::Bool(true))
}

/// True if messages of this direction do not contain the property (`readOnly`, `writeOnly`).
fn is_absent(pair: &Pair<'_>, schema: &Value) -> bool {
    let key = ["readOnly", "writeOnly"][usize::from(pair.role.is_response)];
    pair.role.part == Part::Body && flag(pair, schema, key)
}

fn property(pair: &mut Pair<'_>, name: &str, (old, new): (&Value, &Value), needs: (bool, bool)) {
    let role = Role {
        is_absent: pair.role.is_absent || is_absent(pair, new),
        ..pair.role.inner()
    };
    need(pair, name, Some(new), needs);
    mutability(pair, name, (old, new), needs.1);
    presence(pair, name, (old, new), needs);
    if pair.role.part == Part::Body {
        lifecycle::compare(pair, name, (old, new));
    }
    pair.child(
        format!("properties/{name}"),
        format!(".{name}"),
        (old, new),
        role,
    );
}

/// Compares whether a property that both sides have is required.
fn need(pair: &mut Pair<'_>, name: &str, schema: Option<&Value>, (was, is): (bool, bool)) {
    if was == is {
        return;
    }
    let absent = schema.is_some_and(|schema| is_absent(pair, schema));
    let default = schema.is_some_and(|schema| pair.joint.at(schema).get("default").is_some());
    let what = match (pair.role.is_response, is, absent) {
        (false, true, false) if default && pair.role.part == Part::Body => {
            "request-property-became-required-with-default"
        }
        (false, true, _) if pair.role.part == Part::HeaderParameter => {
            "request-header-property-became-required"
        }
        (false, true, _) => "request-property-became-required",
        (false, false, _) => "request-property-became-optional",
        (true, true, false) => "response-property-became-required",
        (true, false, false) => "response-property-became-optional",
        (true, true, true) => "response-write-only-property-became-required",
        (true, false, true) => "response-write-only-property-became-optional",
    };
    push(pair, what, name, "required", (was.into(), is.into()));
    if absent {
        pair.at_most(Level::Info);
    }
}

/// Compares whether messages of this direction must have a property that only one side excludes from
/// them (`readOnly`, `writeOnly`). `required` has no effect on such a property.
fn presence(pair: &mut Pair<'_>, name: &str, (old, new): (&Value, &Value), needs: (bool, bool)) {
    let absent = (is_absent(pair, old), is_absent(pair, new));
    if absent.0 == absent.1 {
        return;
    }
    let default = pair.joint.at(new).get("default").is_some();
    let must = (needs.0 && !absent.0, needs.1 && !absent.1);
    let id = match (pair.role.is_response, must) {
        // `need` reports the property.
        (false, _) if !needs.0 => return,
        (false, (false, true)) if default => "request-property-became-required-with-default",
        (false, (false, true)) => "request-property-became-required",
        (true, (true, false)) => "response-property-became-optional",
        _ => return,
    };
    let key = ["readOnly", "writeOnly"][usize::from(pair.role.is_response)];
    push(pair, id, name, key, (absent.0.into(), absent.1.into()));
}

/// Compares `readOnly` and `writeOnly`.
fn mutability(pair: &mut Pair<'_>, name: &str, (old, new): (&Value, &Value), is_required: bool) {
    if pair.role.part != Part::Body {
        return;
    }
    let need = if is_required { "required" } else { "optional" };
    for (key, text) in [("readOnly", "read-only"), ("writeOnly", "write-only")] {
        let (was, is) = (flag(pair, old, key), flag(pair, new, key));
        if was == is {
            continue;
        }
        let became = if is { "became" } else { "became-not" };
        let direction = pair.role.direction();
        let id = format!("{direction}-{need}-property-{became}-{text}");
        push(pair, &id, name, key, (was.into(), is.into()));
    }
}

fn added(pair: &mut Pair<'_>, name: &str, new: &Value, (_, is): (bool, bool)) {
    let absent = is_absent(pair, new);
    let default = pair.joint.at(new).get("default").is_some();
    let id = match (pair.role.is_response, is, absent) {
        (false, true, _) if pair.role.part == Part::HeaderParameter => {
            "new-required-request-header-property"
        }
        (false, true, false) if default => "new-required-request-property-with-default",
        (false, true, false) => "new-required-request-property",
        (false, _, _) => "new-optional-request-property",
        (true, true, true) => "response-required-write-only-property-added",
        (true, true, false) => "response-required-property-added",
        (true, false, true) => "response-optional-write-only-property-added",
        (true, false, false) => "response-optional-property-added",
    };
    let new = pair.joint.json(new);
    push(pair, id, name, "properties", (Json::Null, new));
}

/// Schema of the properties that an object does not name. `None` if it admits every value.
fn rest(pair: &Pair<'_>, schema: &Value) -> Option<Value> {
    let rest = schema.get("additionalProperties");
    let rest = rest.filter(|rest| !pair.joint.at(rest).entries().is_empty());
    rest.cloned()
}

/// Compares a property that one side names with `additionalProperties` of the other side, which
/// describes it there. For JSON, the comparison of values finds the difference.
fn unnamed(pair: &mut Pair<'_>, name: &str, sides: (Option<Value>, Option<Value>)) {
    let (Some(old), Some(new)) = sides else {
        return;
    };
    let is_absent = is_absent(pair, &old) || is_absent(pair, &new);
    let is_checked = pair.role.part != Part::FormParameter || pair.role.is_inner;
    if pair.role.is_text && is_checked && !is_absent {
        let (at, step) = (format!("properties/{name}"), format!(".{name}"));
        pair.child(at, step, (&old, &new), pair.role.inner());
    }
}

/// True if gwd refuses members with the old name, because the name is another spelling of `new`.
fn is_respelled(pair: &Pair<'_>, old: &str, new: &str) -> bool {
    let role = pair.role;
    let is_compared = role.part == Part::Body && !role.is_opaque && !role.is_xml;
    // Names of forms are compared as those of queries.
    let place = role.is_text.then_some(ParameterPlace::Query);
    is_compared && validator::is_other_spelling(old, new, place)
}

fn removed(
    pair: &mut Pair<'_>,
    (name, is_respelled): (&str, bool),
    old: &Value,
    (was, is): (bool, bool),
) {
    let absent = is_absent(pair, old);
    let id = match (pair.role.is_response, was, absent) {
        (false, _, _) if is_respelled => RESPELLED,
        (false, _, _) => "request-property-removed",
        (true, true, true) => "response-required-write-only-property-removed",
        (true, true, false) => "response-required-property-removed",
        (true, false, true) => "response-optional-write-only-property-removed",
        (true, false, false) => "response-optional-property-removed",
    };
    let old = pair.joint.json(old);
    push(pair, id, name, "properties", (old, Json::Null));
    if absent {
        pair.at_most(Level::Info);
    }
    if !was && is {
        need(pair, name, None, (was, is));
    }
}

/// Adds a difference of a property. `id` is the id of its check.
pub(super) fn push(
    pair: &mut Pair<'_>,
    id: &str,
    name: &str,
    keyword: &'static str,
    (old, new): (Json, Json),
) {
    let Some(check) = checks::of(id) else { return };
    let level = if pair.role.is_absent {
        Level::Info
    } else {
        check.level
    };
    pair.local.findings.push(Finding {
        id: check.id,
        level,
        at: format!(".{name}"),
        keyword,
        old,
        new,
        decision: None,
        witness: None,
    });
}

/// Compares `additionalProperties`. Without the keyword, all properties are admitted.
fn additional(pair: &mut Pair<'_>) {
    const KEY: &str = "additionalProperties";
    let bool_of = |value: Option<&Value>| match value.map(|value| pair.joint.at(value)) {
        None => Some(true),
        Some(Value::Bool(value)) => Some(*value),
        Some(value) if value.entries().is_empty() => Some(true),
        Some(_) => None,
    };
    let (old, new) = pair.both(KEY);
    match (bool_of(old), bool_of(new)) {
        (None, None) => pair.inner(KEY, ".*"),
        (Some(was), Some(is)) if was == is => {}
        (Some(false), _) | (_, Some(true)) => {
            pair.keyword(KEY, "additional-properties", Effect::Widened);
        }
        (Some(true), _) | (_, Some(false)) => {
            pair.keyword(KEY, "additional-properties", Effect::Narrowed);
        }
    }
}

fn patterned(pair: &mut Pair<'_>) {
    by_key(pair, "patternProperties", "pattern-property", ".*");
}

fn dependent_schemas(pair: &mut Pair<'_>) {
    by_key(pair, "dependentSchemas", "dependent-schema", "");
}

/// Compares a keyword that is a map of schemas. Adding an entry narrows the set of messages.
fn by_key(pair: &mut Pair<'_>, keyword: &'static str, what: &str, step: &str) {
    let of = |value: Option<&Value>| -> Vec<(Box<str>, Value)> {
        let entries = value.map(|value| pair.joint.at(value).entries());
        entries.unwrap_or_default().to_vec()
    };
    let (old, new) = pair.both(keyword);
    let (old, new) = (of(old), of(new));
    for (key, value) in &new {
        match old.iter().find(|(name, _)| name == key) {
            Some((_, was)) => {
                let at = format!("{keyword}/{key}");
                pair.child(at, step.to_owned(), (was, value), pair.role.inner());
            }
            None => {
                let values = (
                    Json::Null,
                    serde_json::json!({ &**key: pair.joint.json(value) }),
                );
                let what = format!("{what}-added");
                pair.push(keyword, &what, Effect::Narrowed, String::new(), values);
            }
        }
    }
    for (key, value) in &old {
        if !new.iter().any(|(name, _)| name == key) {
            let values = (
                serde_json::json!({ &**key: pair.joint.json(value) }),
                Json::Null,
            );
            let what = format!("{what}-removed");
            pair.push(keyword, &what, Effect::Widened, String::new(), values);
        }
    }
}

fn dependent_required(pair: &mut Pair<'_>) {
    const KEY: &str = "dependentRequired";
    if pair.is_same(KEY) {
        return;
    }
    let of = |value: Option<&Value>| -> Vec<(Box<str>, Value)> {
        let entries = value.map(|value| pair.joint.at(value).entries());
        entries.unwrap_or_default().to_vec()
    };
    let (old, new) = pair.both(KEY);
    let (old, new) = (of(old), of(new));
    let names: BTreeSet<&str> = old.iter().chain(&new).map(|(name, _)| &**name).collect();
    for name in names {
        let find = |all: &[(Box<str>, Value)]| {
            let found = all.iter().find(|(key, _)| **key == *name);
            found.map(|(_, value)| value.clone())
        };
        let (was, is) = (find(&old), find(&new));
        let (what, effect) = match (&was, &is) {
            (None, _) => ("dependent-required-added", Effect::Narrowed),
            (_, None) => ("dependent-required-removed", Effect::Widened),
            (Some(was), Some(is)) if pair.joint.same(was, is) => continue,
            _ => ("dependent-required-changed", Effect::Changed),
        };
        let json = |value: Option<&Value>| match value {
            Some(value) => serde_json::json!({ name: pair.joint.json(value) }),
            None => Json::Null,
        };
        let values = (json(was.as_ref()), json(is.as_ref()));
        pair.push(KEY, what, effect, String::new(), values);
    }
}
