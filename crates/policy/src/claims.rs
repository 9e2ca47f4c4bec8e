//! Claims of a consumer: names with values, given to a consumer in `gateway.yaml`.
//!
//! ```yaml
//! consumers:
//!   acme: {keys: [{sha256: …}], claims: {tenant: t-17, tier: gold}}
//! ```
//! Policies that compare a claim (`hash_on: claim:tenant`, `key: claim:tenant`) need a single
//! value: a string, a number, `true` or `false`. They treat a claim with a list or a map as absent.

use crate::declared::{Settings, Value};

/// Estimated memory of a claim with one value, without its text, in bytes: two pointers with
/// lengths, and two allocations.
const SINGLE_BYTES: usize = 64;

/// Name of a claim that has a list of values, and the values.
type Several = (Box<str>, Vec<Box<str>>);

/// Claims of a caller, sorted by name: those with one value, and those with several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    single: Vec<(Box<str>, Box<str>)>,
    /// Claims with several values.
    lists: Vec<Several>,
}

/// Empty claims.
pub static NO_CLAIMS: &Claims = &Claims {
    single: Vec::new(),
    lists: Vec::new(),
};

impl Claims {
    /// Reads the claims of a consumer from its settings. Ignores claims that are maps. An item of a
    /// list has a path that ends with its index, in at least three digits.
    #[must_use]
    pub fn of(written: &Settings) -> Self {
        let mut claims = Self::default();
        // Settings are sorted by path, so the items of a list follow each other.
        for one in written.iter() {
            match (&one.path[..], &one.value) {
                ([name], Value::One(value)) => {
                    claims
                        .single
                        .push((name.as_str().into(), value.to_string().into()));
                }
                ([name], Value::Set(all) | Value::List(all)) => {
                    for value in all {
                        claims.add(name, &value.to_string());
                    }
                }
                ([name, index], Value::One(value)) if is_index(index) => {
                    claims.add(name, &value.to_string());
                }
                _ => {}
            }
        }
        claims
    }

    /// Adds a value to a claim that has a list of values.
    fn add(&mut self, name: &str, value: &str) {
        match self.lists.last_mut() {
            Some((known, values)) if **known == *name => values.push(value.into()),
            _ => self.lists.push((name.into(), vec![value.into()])),
        }
    }

    /// Estimated size of the content in memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let single = self.single.iter();
        let single = single.map(|(name, value)| name.len() + value.len() + SINGLE_BYTES);
        let lists = self.lists.iter().map(|(name, values)| {
            let texts = values.iter().map(|value| value.len() + SINGLE_BYTES / 2);
            name.len() + SINGLE_BYTES + texts.sum::<usize>()
        });
        single.chain(lists).sum()
    }

    /// Creates claims with one value each. `claims` must be sorted by name and without duplicates.
    pub(crate) fn new(claims: impl Iterator<Item = (Box<str>, Box<str>)>) -> Self {
        Self {
            single: claims.collect(),
            lists: Vec::new(),
        }
    }

    /// Value of a claim that has one value, as a string. The number `17` and the string `"17"` are
    /// equal. `None` if the claim does not exist or has a list of values.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self
            .single
            .binary_search_by(|(known, _)| (**known).cmp(name));
        found.ok().map(|index| &*self.single[index].1)
    }

    /// Values of a claim that has a list of values. `None` if there is no such claim.
    pub(crate) fn list(&self, name: &str) -> Option<&[Box<str>]> {
        let found = self
            .lists
            .binary_search_by(|(known, _)| (**known).cmp(name));
        found.ok().map(|index| &*self.lists[index].1)
    }

    /// True if the claim has this value, as its only value or in its list. `None` if the claim does
    /// not exist.
    #[must_use]
    pub fn has(&self, name: &str, value: &str) -> Option<bool> {
        if let Some(single) = self.get(name) {
            return Some(single == value);
        }
        Some(self.list(name)?.iter().any(|one| **one == *value))
    }
}

/// True if a path element is the index of a list item.
fn is_index(key: &str) -> bool {
    key.len() >= 3 && key.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declared::Scalar;

    #[test]
    fn claims_are_read_from_settings() {
        let text = |text: &str| Value::One(Scalar::Text(text.into()));
        let written = Settings::default()
            .with(&["tier"], text("gold"))
            .with(&["seat"], Value::One(Scalar::Number(17)))
            .with(&["beta"], Value::One(Scalar::Flag(true)))
            .with(&["roles"], Value::Set(vec![Scalar::Text("a".into())]))
            .with(&["teams", "000"], text("x"))
            .with(&["teams", "001"], text("y"))
            .with(&["org", "id"], text("o-1"));
        let claims = Claims::of(&written);
        assert_eq!(claims.get("tier"), Some("gold"));
        assert_eq!(claims.get("seat"), Some("17"));
        assert_eq!(claims.get("beta"), Some("true"));
        assert_eq!(claims.has("roles", "a"), Some(true));
        assert_eq!(claims.has("roles", "b"), Some(false));
        assert_eq!(claims.has("tier", "gold"), Some(true));
        assert_eq!(claims.has("teams", "y"), Some(true));
        assert_eq!(claims.has("teams", "z"), Some(false));
        assert_eq!(claims.has("org", "o-1"), None);
        assert_eq!(claims.has("none", "gold"), None);
        for absent in ["roles", "org", "org.id", "id", "Tier", ""] {
            assert_eq!(claims.get(absent), None, "{absent}");
        }
    }
}
