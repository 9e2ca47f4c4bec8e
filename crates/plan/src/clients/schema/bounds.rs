//! Comparison of bounds: `minimum`, `maxLength` and the like.

use bundle::ir::Value;
use model::contract::joint::Joint;

use super::{Effect, Pair};
use vocab::checks::Level;

/// Maximum nesting of `allOf` and `$ref` in which a bound is looked up.
const DEPTH_MAX: usize = 8;
/// Maximum number of members of `allOf` in which a bound is looked up.
const MEMBERS_MAX: usize = 256;

/// Keywords of bounds: the keyword, its name in ids of checks, and true for a lower bound.
const BOUNDS: [(&str, &str, bool); 10] = [
    ("maximum", "max", false),
    ("exclusiveMaximum", "exclusive-max", false),
    ("maxLength", "max-length", false),
    ("maxItems", "max-items", false),
    ("maxProperties", "max-properties", false),
    ("minimum", "min", true),
    ("exclusiveMinimum", "exclusive-min", true),
    ("minLength", "min-length", true),
    ("minItems", "min-items", true),
    ("minProperties", "min-properties", true),
];

pub(super) fn compare(pair: &mut Pair<'_>) {
    for (keyword, name, is_lower) in BOUNDS {
        let (old, new) = (bound(pair.old, keyword), bound(pair.new, keyword));
        if let Some(other) = other_form(keyword) {
            let others = (bound(pair.old, other), bound(pair.new, other));
            match (&old, &new, others) {
                (None, Some(is), (Some(was), None)) => {
                    restated(pair, (keyword, name, is_lower), (&was, is));
                    continue;
                }
                // Compared with the keyword that the new schema has.
                (Some(_), None, (None, Some(_))) => continue,
                _ => {}
            }
        }
        // A bound that moves out of a member of `allOf` is the same bound, with another value.
        let old = match new {
            Some(_) => old.or_else(|| inherited(pair.joint, pair.old, keyword, is_lower)),
            None => old,
        };
        change(
            pair,
            (keyword, name, is_lower),
            (old.as_ref(), new.as_ref()),
        );
    }
}

/// Keyword of the same limit that excludes its value, or that admits it.
fn other_form(keyword: &str) -> Option<&'static str> {
    Some(match keyword {
        "maximum" => "exclusiveMaximum",
        "exclusiveMaximum" => "maximum",
        "minimum" => "exclusiveMinimum",
        "exclusiveMinimum" => "minimum",
        _ => return None,
    })
}

/// Compares a bound with the value of its other form in the old schema.
fn restated(
    pair: &mut Pair<'_>,
    (keyword, name, is_lower): (&'static str, &str, bool),
    (old, new): (&Value, &Value),
) {
    let (Some(was), Some(is)) = (number(old), number(new)) else {
        return;
    };
    let is_narrower = match (is == was, is_lower) {
        (true, _) => keyword.starts_with("exclusive"),
        (false, true) => is > was,
        (false, false) => is < was,
    };
    let what = match is_narrower == is_lower {
        true => "increased",
        false => "decreased",
    };
    let effect = match is_narrower {
        true => Effect::Narrowed,
        false => Effect::Widened,
    };
    let values = (pair.json(Some(old)), pair.json(Some(new)));
    pair.push(
        keyword,
        &format!("{name}-{what}"),
        effect,
        String::new(),
        values,
    );
}

/// Compares the values of one bound.
pub(super) fn change(
    pair: &mut Pair<'_>,
    (keyword, name, is_lower): (&'static str, &str, bool),
    (old, new): (Option<&Value>, Option<&Value>),
) {
    let values = (pair.json(old), pair.json(new));
    let mut push = |what: &str, effect| {
        pair.push(
            keyword,
            &format!("{name}-{what}"),
            effect,
            String::new(),
            values.clone(),
        );
    };
    match (old, new) {
        (None, None) => {}
        // A missing `minLength` equals 0.
        (None, Some(_)) if keyword == "minLength" => push("increased", Effect::Narrowed),
        (Some(_), None) if keyword == "minLength" => push("decreased", Effect::Widened),
        (None, Some(_)) => {
            push("set", Effect::Narrowed);
            // The service may have enforced the bound before its description contained it.
            pair.at_most(Level::Warn);
        }
        (Some(_), None) => push("unset", Effect::Widened),
        (Some(old), Some(new)) => {
            let (Some(was), Some(is)) = (number(old), number(new)) else {
                return;
            };
            if is > was {
                let effect = if is_lower {
                    Effect::Narrowed
                } else {
                    Effect::Widened
                };
                push("increased", effect);
            } else if is < was {
                let effect = if is_lower {
                    Effect::Widened
                } else {
                    Effect::Narrowed
                };
                push("decreased", effect);
            } else if old != new {
                push("changed", Effect::Changed);
            }
        }
    }
}

/// Value of a bound. `None` if the schema does not set the bound. With `exclusiveMinimum: true`
/// (OpenAPI 3.0), the value of `minimum` counts as the value of `exclusiveMinimum`. The same
/// applies to `exclusiveMaximum` and `maximum`.
fn bound(schema: &Value, keyword: &str) -> Option<Value> {
    let is_flag = |key| schema.get(key) == Some(&Value::Bool(true));
    match keyword {
        "maximum" if is_flag("exclusiveMaximum") => None,
        "minimum" if is_flag("exclusiveMinimum") => None,
        "exclusiveMaximum" if is_flag(keyword) => schema.get("maximum").cloned(),
        "exclusiveMinimum" if is_flag(keyword) => schema.get("minimum").cloned(),
        _ => schema
            .get(keyword)
            .filter(|value| number(value).is_some())
            .cloned(),
    }
}

/// Tightest value of a bound that members of `allOf` and targets of `$ref` set. `None` if they do
/// not set it. Members below [`DEPTH_MAX`] levels, and those after the first [`MEMBERS_MAX`], are
/// not read.
fn inherited(joint: &Joint, schema: &Value, keyword: &str, is_lower: bool) -> Option<Value> {
    let mut waiting = vec![(schema, 0)];
    let mut read = 0;
    let mut tightest: Option<(f64, Value)> = None;
    while let Some((outer, depth)) = waiting.pop() {
        let all_of = outer.get("allOf").map(|list| joint.at(list).items());
        let members = all_of.unwrap_or_default().iter().chain(outer.get("$ref"));
        for member in members.map(|member| joint.at(member)) {
            read += 1;
            if read > MEMBERS_MAX {
                return tightest.map(|(_, value)| value);
            }
            let own = bound(member, keyword);
            if let Some((found, value)) = own.and_then(|value| Some((number(&value)?, value))) {
                let is_tighter = tightest.as_ref().is_none_or(|(known, _)| match is_lower {
                    true => found > *known,
                    false => found < *known,
                });
                if is_tighter {
                    tightest = Some((found, value));
                }
            }
            if depth < DEPTH_MAX {
                waiting.push((member, depth + 1));
            }
        }
    }
    tightest.map(|(_, value)| value)
}

/// Number as a float, for comparison. `None` for a value that is not a number.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        #[expect(
            clippy::cast_precision_loss,
            reason = "equal numbers are compared as text, too"
        )]
        Value::Integer(number) => Some(*number as f64),
        Value::Decimal(text) => text.parse().ok(),
        _ => None,
    }
}
