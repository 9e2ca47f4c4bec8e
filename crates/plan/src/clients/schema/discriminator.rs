//! Comparison of `discriminator`.

use bundle::ir::Value;
use serde_json::Value as Json;

use super::{Effect, Pair};

const KEY: &str = "discriminator";

/// Compares the keyword. `is_contained`: true if the difference between two schemas was proved to
/// break no client.
pub(super) fn compare(pair: &mut Pair<'_>, is_contained: &mut dyn FnMut((u32, u32)) -> bool) {
    let (old, new) = match pair.both(KEY) {
        (None, None) => return,
        (None, Some(_)) => return pair.keyword(KEY, "discriminator-added", Effect::Changed),
        (Some(_), None) => return pair.keyword(KEY, "discriminator-removed", Effect::Changed),
        (Some(old), Some(new)) => (pair.joint.at(old).clone(), pair.joint.at(new).clone()),
    };
    let text = |value: &Value| pair.json(value.get("propertyName"));
    if text(&old) != text(&new) {
        let values = (text(&old), text(&new));
        let what = "discriminator-property-name-changed";
        pair.push(KEY, what, Effect::Changed, String::new(), values);
    }
    let mapping = |value: &Value| -> Vec<(Box<str>, Value)> {
        let all = value.get("mapping").map(|all| pair.joint.at(all).entries());
        all.unwrap_or_default().to_vec()
    };
    let defaults = [&old, &new].map(|value| value.get("defaultMapping").cloned());
    let (old, new) = (mapping(&old), mapping(&new));
    default_mapping(pair, defaults, [&old, &new]);
    for (name, target) in &new {
        match old.iter().find(|(key, _)| key == name) {
            None => {
                let values = (Json::Null, (**name).into());
                let what = "discriminator-mapping-added";
                pair.push(KEY, what, Effect::Changed, String::new(), values);
            }
            Some((_, was)) => {
                // Report the change only if another value selects one of the two schemas: the new
                // schema in the old mapping, or the old schema in the new mapping.
                let other = |all: &[(Box<str>, Value)], of: &Value| {
                    all.iter()
                        .any(|(key, value)| key != name && pair.joint.same(value, of))
                };
                if !pair.joint.same(was, target) && (other(&old, target) || other(&new, was)) {
                    let values = (pair.joint.json(was), pair.joint.json(target));
                    let what = "discriminator-mapping-changed";
                    pair.push(KEY, what, Effect::Changed, String::new(), values);
                } else if extends(pair, (was, target), is_contained) {
                    let values = (pair.joint.json(was), pair.joint.json(target));
                    let what = "discriminator-schema-changed";
                    pair.push(KEY, what, Effect::Changed, String::new(), values);
                }
            }
        }
    }
    for (name, _) in &old {
        if !new.iter().any(|(key, _)| key == name) {
            let values = ((**name).into(), Json::Null);
            let what = "discriminator-mapping-deleted";
            pair.push(KEY, what, Effect::Changed, String::new(), values);
        }
    }
}

/// True if a selected schema that differs is not an alternative of the pair: it extends the pair by
/// `allOf`. Validation does not select it, but clients read the value by it.
fn extends(
    pair: &Pair<'_>,
    sides: (&Value, &Value),
    is_contained: &mut dyn FnMut((u32, u32)) -> bool,
) -> bool {
    let (Value::Node(old), Value::Node(new)) = sides else {
        return false;
    };
    let has_alternatives = |schema: &Value| {
        let mut keys = ["oneOf", "anyOf"].iter();
        keys.any(|key| schema.get(key).is_some())
    };
    if has_alternatives(pair.old) || has_alternatives(pair.new) {
        return false;
    }
    let is_same = pair.joint.same(sides.0, sides.1)
        || is_contained((*old, *new)) && is_contained((*new, *old));
    !is_same
}

/// Compares the schemas for values that no entry of the mapping selects (`defaultMapping`, OpenAPI
/// 3.2). `mappings`: entries of both sides.
fn default_mapping(
    pair: &mut Pair<'_>,
    defaults: [Option<Value>; 2],
    mappings: [&[(Box<str>, Value)]; 2],
) {
    let selects = |all: &[(Box<str>, Value)], target: &Value| {
        all.iter().any(|(_, value)| pair.joint.same(value, target))
    };
    let what = match &defaults {
        [None, Some(_)] => "discriminator-mapping-added",
        [Some(_), None] => "discriminator-mapping-deleted",
        // As for an entry: a difference inside the schema itself is reported there.
        [Some(was), Some(is)]
            if !pair.joint.same(was, is)
                && (selects(mappings[0], is) || selects(mappings[1], was)) =>
        {
            "discriminator-mapping-changed"
        }
        _ => return,
    };
    let [old, new] = defaults.map(|target| pair.json(target.as_ref()));
    pair.push(KEY, what, Effect::Changed, String::new(), (old, new));
}
