//! Who may call: names, and the index of their credentials.

use bundle::ir;

use crate::authenticate::Credentials;
use crate::build::BuildError;

/// All consumers of a gateway. Snapshots with the same ones share it.
#[derive(Debug)]
pub struct Consumers {
    pub(crate) names: Box<[Box<str>]>,
    pub(crate) credentials: Credentials,
}

impl Consumers {
    /// Indexes consumers by their credentials.
    pub(crate) fn index(consumers: &ir::Set<ir::Consumer>) -> Result<Self, BuildError> {
        Ok(Self {
            names: consumers
                .iter()
                .map(|consumer| consumer.name.as_str().into())
                .collect(),
            credentials: Credentials::index(consumers).ok_or(BuildError::CredentialConflict)?,
        })
    }
}
