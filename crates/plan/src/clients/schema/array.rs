//! Comparison of the keywords of arrays: `items`, `prefixItems`, `contains`, `uniqueItems`.

use bundle::ir::Value;

use super::{Effect, Pair, bounds};

pub(super) fn compare(pair: &mut Pair<'_>) {
    items(pair);
    prefix(pair);
    pair.single("contains", "contains", "[]");
    for (keyword, name, is_lower) in [
        ("minContains", "min-contains", true),
        ("maxContains", "max-contains", false),
    ] {
        let (old, new) = (
            pair.old.get(keyword).cloned(),
            pair.new.get(keyword).cloned(),
        );
        // `contains` requires one matching item unless `minContains` has another value.
        let one = |value: Option<Value>, schema: &Value| {
            value.or_else(|| {
                let counts = is_lower && schema.get("contains").is_some();
                counts.then_some(Value::Integer(1))
            })
        };
        let (old, new) = (one(old, pair.old), one(new, pair.new));
        if pair.old.get("contains").is_some() == pair.new.get("contains").is_some() {
            bounds::change(
                pair,
                (keyword, name, is_lower),
                (old.as_ref(), new.as_ref()),
            );
        }
    }
    pair.single("unevaluatedItems", "unevaluated-items", "[]");
    pair.single("additionalItems", "additional-items", "[]");
    match (pair.old.get("uniqueItems"), pair.new.get("uniqueItems")) {
        (None, Some(_)) => pair.keyword("uniqueItems", "unique-items", Effect::Narrowed),
        (Some(_), None) => pair.keyword("uniqueItems", "unique-items", Effect::Widened),
        _ => {}
    }
}

fn items(pair: &mut Pair<'_>) {
    let (old, new) = (pair.old, pair.new);
    let is_list = |value: Option<&Value>| matches!(value, Some(Value::List(_)));
    if is_list(old.get("items")) || is_list(new.get("items")) {
        // A list in `items` is the tuple form of older JSON Schema dialects.
        if !pair.is_same("items") {
            pair.keyword("items", "items", Effect::Changed);
        }
        return;
    }
    match (old.get("items"), new.get("items")) {
        (None, None) => {}
        (Some(_), Some(_)) => pair.inner("items", "[]"),
        (None, Some(_)) => {
            // If the type has become `array`, the change of `type` already covers the new `items`.
            if pair.is_same("type") {
                pair.keyword("items", "items", Effect::Narrowed);
            }
        }
        (Some(_), None) => {
            if pair.is_same("type") {
                pair.keyword("items", "items", Effect::Widened);
            }
        }
    }
}

fn prefix(pair: &mut Pair<'_>) {
    let list = |schema: &Value| -> Vec<Value> {
        let list = schema
            .get("prefixItems")
            .map(|list| pair.joint.at(list).items());
        list.unwrap_or_default().to_vec()
    };
    let (old, new) = (list(pair.old), list(pair.new));
    for (at, (old, new)) in old.iter().zip(&new).enumerate() {
        let keyword = "prefixItems".to_owned();
        pair.child(keyword, format!("[{at}]"), (old, new), pair.role.inner());
    }
    if new.len() > old.len() {
        pair.keyword("prefixItems", "prefix-items-added", Effect::Changed);
    } else if new.len() < old.len() {
        pair.keyword("prefixItems", "prefix-items-removed", Effect::Changed);
    }
}
