//! Custom keyword for the `limits` of a schema: maximum lengths, nesting and item counts of a value
//! and all values inside it.

use std::fmt::Write as _;

use bundle::ir::Value;
use jsonschema::{Keyword, ValidationError};
use serde_json::{Map, Value as Json};

use crate::steps;

/// Name of the keyword in the converted schema.
pub(crate) const KEYWORD: &str = "x-gwd-limits";
/// Names of the limits in the contract and in the converted schema.
const NAMES: [&str; 3] = ["bytes", "depth", "items"];

/// Implementation of [`KEYWORD`]. [`u64::MAX`]: no limit.
#[derive(Debug)]
pub(crate) struct Limits {
    /// Maximum length of a string or of the name of a member, in bytes.
    bytes: u64,
    /// Maximum number of nested arrays and objects.
    depth: u64,
    /// Maximum number of items of an array or members of an object.
    items: u64,
}

/// Limit that a value exceeds.
enum Exceeded {
    Bytes,
    Depth,
    Items,
}

/// Converts the limits of a contract's schema to the value of [`KEYWORD`].
pub(crate) fn lowered(limits: &Value) -> Json {
    let mut out = Map::new();
    for name in NAMES {
        if let Some(Value::Integer(most)) = limits.get(name) {
            out.insert(name.to_owned(), (*most).into());
        }
    }
    Json::Object(out)
}

/// True if every value within the limits of `narrow` is also within the limits of `wide`.
pub(crate) fn contain(wide: &Value, narrow: &Value) -> bool {
    let most = |limits: &Value, name| match limits.get(name) {
        Some(Value::Integer(most)) => *most,
        _ => i64::MAX,
    };
    let mut names = NAMES.into_iter();
    names.all(|name| most(narrow, name) <= most(wide, name))
}

// === impl Limits ===

impl Limits {
    /// Reads the value of the keyword.
    pub(crate) fn of(value: &Json) -> Self {
        let most = |name: &str| value[name].as_u64().unwrap_or(u64::MAX);
        Self {
            bytes: most("bytes"),
            depth: most("depth"),
            items: most("items"),
        }
    }

    /// Compares a value with the limits. `depth`: number of further levels that are allowed. Each
    /// visited value costs one step, because alternatives may visit the same values again.
    fn check(&self, value: &Json, depth: u64) -> Result<(), Exceeded> {
        if !steps::spend(1) {
            return Ok(());
        }
        let count = match value {
            Json::String(text) => return self.check_text(text),
            Json::Array(items) => items.len(),
            Json::Object(members) => members.len(),
            Json::Null | Json::Bool(_) | Json::Number(_) => return Ok(()),
        };
        let depth = depth.checked_sub(1).ok_or(Exceeded::Depth)?;
        if count as u64 > self.items {
            return Err(Exceeded::Items);
        }
        match value {
            Json::Array(items) => items.iter().try_for_each(|item| self.check(item, depth)),
            Json::Object(members) => members.iter().try_for_each(|(name, value)| {
                self.check_text(name)?;
                self.check(value, depth)
            }),
            _ => Ok(()),
        }
    }

    fn check_text(&self, text: &str) -> Result<(), Exceeded> {
        match text.len() as u64 > self.bytes {
            true => Err(Exceeded::Bytes),
            false => Ok(()),
        }
    }

    /// Text of a finding about this exceeded limit.
    fn describe(&self, exceeded: &Exceeded) -> String {
        let mut text = String::new();
        let _infallible = match exceeded {
            Exceeded::Bytes => write!(
                text,
                "must have no string of more than {} bytes",
                self.bytes
            ),
            Exceeded::Depth => write!(text, "must have at most {} nested levels", self.depth),
            Exceeded::Items => write!(
                text,
                "must have no array or object with more than {} members",
                self.items
            ),
        };
        text
    }
}

impl<'i> Keyword<'i> for Limits {
    fn validate(&self, value: &'i Json) -> Result<(), ValidationError<'i>> {
        let result = self.check(value, self.depth);
        result.map_err(|exceeded| ValidationError::custom(self.describe(&exceeded)))
    }

    fn is_valid(&self, value: &'i Json) -> bool {
        self.check(value, self.depth).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_limit_holds_at_all_levels() {
        let fits =
            |limits: Json, value: Json| steps::unbounded(|| Limits::of(&limits).is_valid(&value));
        for (limits, good, bad) in [
            (json!({"depth": 1}), json!([1, "a"]), json!([[]])),
            (json!({"depth": 2}), json!({"a": [1]}), json!({"a": [{}]})),
            (json!({"items": 2}), json!([[1, 2], 3]), json!([[1, 2, 3]])),
            (
                json!({"items": 1}),
                json!({"a": {"b": 1}}),
                json!({"a": {"b": 1, "c": 2}}),
            ),
            (json!({"bytes": 4}), json!(["éé"]), json!(["ééa"])),
            (json!({"bytes": 3}), json!({"abc": 1}), json!([{"abcd": 1}])),
        ] {
            assert!(fits(limits.clone(), good.clone()), "{limits} {good}");
            assert!(!fits(limits.clone(), bad.clone()), "{limits} {bad}");
            assert!(fits(json!({}), bad));
        }
    }

    #[test]
    fn narrower_limits_are_contained() {
        let limits = |pairs: &[(&str, i64)]| {
            let pair = |(key, most): &(&str, i64)| ((*key).into(), Value::Integer(*most));
            Value::Map(pairs.iter().map(pair).collect())
        };
        let wide = limits(&[("depth", 3), ("items", 5)]);
        assert!(contain(
            &wide,
            &limits(&[("bytes", 1), ("depth", 3), ("items", 4)])
        ));
        assert!(!contain(&wide, &limits(&[("depth", 4), ("items", 4)])));
        assert!(!contain(&wide, &limits(&[("bytes", 1), ("depth", 3)])));
        assert!(contain(&limits(&[]), &wide));
    }
}
