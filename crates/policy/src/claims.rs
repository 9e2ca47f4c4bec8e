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

/// The claims of a caller that have one value, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims(Vec<(Box<str>, Box<str>)>);

/// The claims of who has none.
pub static NO_CLAIMS: &Claims = &Claims(Vec::new());

impl Claims {
    /// The claims below a consumer's `claims` that have one value.
    #[must_use]
    pub fn of(written: &Settings) -> Self {
        let single = written
            .iter()
            .filter_map(|one| match (&one.path[..], &one.value) {
                ([name], Value::One(value)) => {
                    Some((name.as_str().into(), value.to_string().into()))
                }
                _ => None,
            });
        // Settings are sorted by path.
        Self(single.collect())
    }

    /// Claims by name; the names are sorted and each comes once.
    pub(crate) fn new(claims: impl Iterator<Item = (Box<str>, Box<str>)>) -> Self {
        Self(claims.collect())
    }

    /// The value of a claim, as text: whether `17` was written as a number makes no difference.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.binary_search_by(|(known, _)| (**known).cmp(name));
        found.ok().map(|index| &*self.0[index].1)
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
        for absent in ["roles", "org", "org.id", "id", "Tier", ""] {
            assert_eq!(claims.get(absent), None, "{absent}");
        }
    }
}
