//! Consumers: names, claims, and the index of their credentials.

use bundle::ir;
use policy::Claims;

use crate::credentials::Credentials;
use crate::error::BuildError;

/// A caller that is configured by name.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) name: Box<str>,
    pub(crate) claims: Claims,
}

/// All consumers of a gateway. Snapshots with the same ones share it.
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
                })
                .collect(),
            credentials: Credentials::index(consumers).ok_or(BuildError::CredentialConflict)?,
        })
    }
}
