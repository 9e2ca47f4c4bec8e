//! Claims of a consumer: names with values, given to a consumer in `gateway.yaml`.
//!
//! ```yaml
//! consumers:
//!   acme: {keys: [{sha256: …}], claims: {tenant: t-17, tier: gold}}
//! ```
//! A claim stands for one value wherever requests are told apart by it (`hash_on: claim:tenant`,
//! `key: claim:tenant`): a text, a number, `true` or `false`. One that is a list or a map has no
//! such value and counts there as absent.

use crate::declared::{Settings, Value};

/// The claims of a caller, sorted by name: those with one value, and those with several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    single: Vec<(Box<str>, Box<str>)>,
    /// Those with several values.
    lists: Vec<(Box<str>, Box<[Box<str>]>)>,
}

/// The claims of who has none.
pub static NO_CLAIMS: &Claims = &Claims {
    single: Vec::new(),
    lists: Vec::new(),
};

impl Claims {
    /// The claims below a consumer's `claims` that are no map.
    #[must_use]
    pub fn of(written: &Settings) -> Self {
        let mut claims = Self::default();
        // Settings are sorted by path.
        for one in written.iter() {
            let [name] = &one.path[..] else { continue };
            let name = name.as_str().into();
            match &one.value {
                Value::One(value) => claims.single.push((name, value.to_string().into())),
                Value::Set(all) | Value::List(all) => {
                    let values = all.iter().map(|value| value.to_string().into());
                    claims.lists.push((name, values.collect()));
                }
                Value::Empty => claims.lists.push((name, Box::default())),
            }
        }
        claims
    }

    /// Claims by name; the names are sorted and each comes once.
    pub(crate) fn new(claims: impl Iterator<Item = (Box<str>, Box<str>)>) -> Self {
        Self {
            single: claims.collect(),
            lists: Vec::new(),
        }
    }

    /// The value of a claim, as text: whether `17` was written as a number makes no difference.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self
            .single
            .binary_search_by(|(known, _)| (**known).cmp(name));
        found.ok().map(|index| &*self.single[index].1)
    }

    /// True if the claim has the value, alone or among others; none if there is no such claim.
    #[must_use]
    pub fn has(&self, name: &str, value: &str) -> Option<bool> {
        if let Some(single) = self.get(name) {
            return Some(single == value);
        }
        let found = self
            .lists
            .binary_search_by(|(known, _)| (**known).cmp(name));
        let (_, values) = &self.lists[found.ok()?];
        Some(values.iter().any(|one| **one == *value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declared::Scalar;

    #[test]
    fn a_claim_has_a_value_where_it_has_one() {
        let text = |text: &str| Value::One(Scalar::Text(text.into()));
        let written = Settings::default()
            .with(&["tier"], text("gold"))
            .with(&["seat"], Value::One(Scalar::Number(17)))
            .with(&["beta"], Value::One(Scalar::Flag(true)))
            .with(&["roles"], Value::Set(vec![Scalar::Text("a".into())]))
            .with(&["org", "id"], text("o-1"));
        let claims = Claims::of(&written);
        assert_eq!(claims.get("tier"), Some("gold"));
        assert_eq!(claims.get("seat"), Some("17"));
        assert_eq!(claims.get("beta"), Some("true"));
        assert_eq!(claims.has("roles", "a"), Some(true));
        assert_eq!(claims.has("roles", "b"), Some(false));
        assert_eq!(claims.has("tier", "gold"), Some(true));
        assert_eq!(claims.has("none", "gold"), None);
        for absent in ["roles", "org", "org.id", "id", "Tier", ""] {
            assert_eq!(claims.get(absent), None, "{absent}");
        }
    }
}
