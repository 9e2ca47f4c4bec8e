//! Consumers: names, claims, and the index of their credentials.

use bundle::ir;
use policy::Claims;
use policy::auth::jwt::Identity;

use crate::credentials::Credentials;
use crate::error::BuildError;

/// A configured consumer.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) name: Box<str>,
    pub(crate) claims: Claims,
    pub(crate) groups: Box<[Box<str>]>,
}

/// Index of the consumer that a token's `consumer` claim names; the verifier configures the claim.
pub(crate) fn of_token(consumers: &[Consumer], token: &Identity) -> Option<u32> {
    let name = token.consumer.as_deref()?;
    let index = consumers
        .binary_search_by(|one| (*one.name).cmp(name))
        .ok()?;
    u32::try_from(index).ok()
}

/// All consumers of a gateway. Snapshots with the same consumers share them.
#[derive(Debug)]
pub struct Consumers {
    pub(crate) all: Box<[Consumer]>,
    pub(crate) credentials: Credentials,
}

impl Consumers {
    /// Indexes consumers by their credentials.
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
                })
                .collect(),
            credentials: Credentials::index(consumers).ok_or(BuildError::CredentialConflict)?,
        })
    }
}
