//! Consumers: names, claims, and the index of their credentials.

use bundle::ir;
use policy::Claims;
use policy::auth::jwt::Identity;

use rustc_hash::FxHashMap;

use crate::credentials::{Credentials, Owner};
use crate::error::BuildError;

/// A configured consumer.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) name: Box<str>,
    pub(crate) claims: Claims,
    pub(crate) groups: Box<[Box<str>]>,
    pub(crate) plan: Option<Box<str>>,
}

/// Reason why a verified credential has no owner although a consumer lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotOwned {
    /// The entry of the consumer that lists the credential has expired.
    Expired,
    /// The credential belongs to two consumers.
    Disputed,
}

/// Consumer that owns a verified credential, and the expiry of its entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CredentialOwner {
    /// Index of the consumer. `None`: no consumer owns the credential.
    pub(crate) consumer: Option<u32>,
    /// Earliest expiry of the consumer's entries for the credential (Unix time, seconds). `None`:
    /// no entry expires.
    not_after: Option<u64>,
}

impl CredentialOwner {
    /// Adds a consumer's entry for the credential. `unix_s` is the current time (Unix time,
    /// seconds).
    ///
    /// # Errors
    /// [`NotOwned`]: the entry has expired, or belongs to another consumer.
    pub(crate) fn add(&mut self, owner: &Owner, unix_s: u64) -> Result<(), NotOwned> {
        if owner.not_after.is_some_and(|end| unix_s >= end) {
            return Err(NotOwned::Expired);
        }
        if self.consumer.is_some_and(|known| known != owner.consumer) {
            return Err(NotOwned::Disputed);
        }
        self.consumer = Some(owner.consumer);
        self.not_after = self.not_after.into_iter().chain(owner.not_after).min();
        Ok(())
    }

    /// Time from which the credential is refused (Unix time, seconds): the earlier of the
    /// credential's expiry `own_s` and the expiry of the consumer's entry.
    pub(crate) fn ends_s(&self, own_s: u64) -> u64 {
        self.not_after.map_or(own_s, |end| end.min(own_s))
    }
}

/// Consumer of a token: the consumer named by the token's `consumer_claim`, or the consumer that
/// lists the token's subject or client.
///
/// # Errors
/// [`NotOwned`]: the entry has expired, or two consumers list the token.
pub(crate) fn of_token(
    consumers: &[Consumer],
    credentials: &Credentials,
    token: &Identity,
    unix_s: u64,
) -> Result<CredentialOwner, NotOwned> {
    let mut owned = CredentialOwner {
        consumer: named(consumers, token),
        not_after: None,
    };
    if credentials.holders.is_empty() {
        return Ok(owned);
    }
    let Some(holders) = credentials.holders.get(&token.issuer) else {
        return Ok(owned);
    };
    let owner = |map: &FxHashMap<Box<str>, Owner>, name: &Option<Box<str>>| {
        name.as_ref().and_then(|name| map.get(name)).copied()
    };
    let owners = [
        owner(&holders.subjects, &token.subject),
        owner(&holders.clients, &token.client),
    ];
    for owner in owners.iter().flatten() {
        owned.add(owner, unix_s)?;
    }
    Ok(owned)
}

/// Index of the consumer named by the claim `consumer_claim` of a token.
fn named(consumers: &[Consumer], token: &Identity) -> Option<u32> {
    let name = token.consumer.as_deref()?;
    let index = consumers
        .binary_search_by(|one| (*one.name).cmp(name))
        .ok()?;
    u32::try_from(index).ok()
}

/// All consumers of a gateway, with an index of their credentials. Snapshots with the same
/// consumers share this value.
#[derive(Debug)]
pub struct Consumers {
    pub(crate) all: Box<[Consumer]>,
    pub(crate) credentials: Credentials,
}

impl Consumers {
    /// Creates the index of all consumers' credentials.
    pub(crate) fn index(consumers: &ir::Set<ir::Consumer>) -> Result<Self, BuildError> {
        Ok(Self {
            all: consumers
                .iter()
                .map(|consumer| Consumer {
                    name: consumer.name.as_str().into(),
                    claims: Claims::of(&consumer.claims),
                    groups: consumer
                        .groups
                        .iter()
                        .map(|group| group.as_str().into())
                        .collect(),
                    plan: consumer.plan.as_deref().map(Into::into),
                })
                .collect(),
            credentials: Credentials::index(consumers).ok_or(BuildError::CredentialConflict)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use bundle::ir::HolderName::{self, Client, Subject};

    use super::*;

    const NOW_S: u64 = 1_000;

    fn consumers(holders: &[(&str, HolderName, Option<u64>)]) -> Option<Consumers> {
        let names = ["acme", "bolt"];
        let of = |name: &str| ir::Consumer {
            name: name.to_owned(),
            keys: Vec::new(),
            basic: Vec::new(),
            declared: policy::declared::Settings::default(),
            claims: policy::declared::Settings::default(),
            groups: Vec::new(),
            metadata: policy::declared::Settings::default(),
            certificates: Vec::new(),
            plan: None,
            tokens: holders
                .iter()
                .filter(|(owner, ..)| *owner == name)
                .map(|(_, name, not_after)| ir::Holder {
                    issuer: "i".to_owned(),
                    name: name.clone(),
                    not_after: *not_after,
                })
                .collect(),
        };
        Consumers::index(&ir::Set::new(names.map(of).into()).ok()?).ok()
    }

    /// Token with this issuer, subject, client and consumer name. `-`: the token does not have the
    /// claim.
    fn token(claims: [&str; 4]) -> Identity {
        let [issuer, subject, client, consumer] = claims;
        let given = |name: &str| (name != "-").then(|| name.into());
        Identity {
            issuer: issuer.into(),
            subject: given(subject),
            client: given(client),
            consumer: given(consumer),
            key: None,
            all: policy::auth::jwt::json::Object::default(),
            bound: None,
            claims: Claims::default(),
            scopes: Box::default(),
            groups: Box::default(),
            ends_s: u64::MAX,
            sha256: [0; 32],
        }
    }

    #[test]
    fn token_belongs_to_the_consumer_that_lists_it() {
        let listed = [
            ("acme", Subject("s".into()), None),
            ("acme", Client("c".into()), Some(NOW_S + 1)),
            ("bolt", Subject("t".into()), None),
            ("bolt", Client("ended".into()), Some(NOW_S)),
        ];
        let Consumers { all, credentials } = consumers(&listed).unwrap();
        for (claims, expected) in [
            (["i", "s", "-", "-"], Ok(Some(0))),
            (["i", "t", "-", "-"], Ok(Some(1))),
            (["i", "s", "c", "-"], Ok(Some(0))),
            (["i", "other", "c", "-"], Ok(Some(0))),
            (["i", "c", "s", "-"], Ok(None)),
            (["j", "s", "c", "-"], Ok(None)),
            (["j", "s", "c", "bolt"], Ok(Some(1))),
            (["i", "t", "c", "-"], Err(NotOwned::Disputed)),
            (["i", "s", "-", "bolt"], Err(NotOwned::Disputed)),
            (["i", "s", "-", "acme"], Ok(Some(0))),
            (["i", "s", "-", "nobody"], Ok(Some(0))),
            (["i", "-", "ended", "-"], Err(NotOwned::Expired)),
        ] {
            let found = of_token(&all, &credentials, &token(claims), NOW_S);
            let found = found.map(|owned| owned.consumer);
            assert_eq!(found, expected, "{claims:?}");
        }
    }

    #[test]
    fn token_ends_with_the_earliest_expiry() {
        let listed = [
            ("acme", Subject("s".into()), Some(NOW_S + 9)),
            ("acme", Client("c".into()), Some(NOW_S + 5)),
        ];
        let Consumers { all, credentials } = consumers(&listed).unwrap();
        for (claims, own_s, expected) in [
            (["i", "s", "c", "-"], u64::MAX, NOW_S + 5),
            (["i", "s", "-", "-"], u64::MAX, NOW_S + 9),
            (["i", "s", "c", "-"], NOW_S + 2, NOW_S + 2),
            (["i", "-", "-", "acme"], u64::MAX, u64::MAX),
        ] {
            let owned = of_token(&all, &credentials, &token(claims), NOW_S).unwrap();
            assert_eq!(owned.ends_s(own_s), expected, "{claims:?}");
        }
    }

    #[test]
    fn subject_of_two_consumers_is_refused() {
        let twice = ["acme", "bolt"].map(|name| (name, Subject("s".into()), None));
        assert!(consumers(&twice).is_none());
    }
}
