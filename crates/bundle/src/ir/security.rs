//! OpenAPI's security requirement, with its schemes and their verifiers.

use minicbor::{Decode, Encode};
use policy::auth::{self, Place};
use policy::declared::Settings;

use super::set::Named;

/// A security scheme of an API.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Scheme {
    /// Its name in the document.
    #[n(0)]
    pub name: String,
    /// Place of the credential.
    #[n(1)]
    pub place: Place,
    /// Verifier of the credential.
    #[n(2)]
    pub verify: Verify,
    /// True if the credential is removed before the request is forwarded.
    #[n(3)]
    pub strip_credential: bool,
    /// Settings of the scheme that gwd cannot run yet.
    #[n(4)]
    pub declared: Settings,
}

/// Verifier of a credential.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Verify {
    /// A verifier by name.
    #[n(0)]
    Auth(#[n(0)] String),
    /// The upstream: the credential must be there, and anyone can forge it.
    #[n(1)]
    Upstream,
    /// A verifier written in place; it cannot run yet.
    #[n(2)]
    Inline(#[n(0)] auth::Checked),
}

/// Alternatives in order; the first that is satisfied gives the principal. None at all: anyone
/// may call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Security(#[n(0)] pub Vec<Alternative>);

/// Schemes that must all be satisfied; none: no credential is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct Alternative(#[n(0)] pub Vec<SchemeUse>);

/// A scheme with the scopes it must give. Sorted by name within an alternative.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct SchemeUse {
    /// The scheme's name.
    #[n(0)]
    pub scheme: String,
    /// Scopes, sorted.
    #[n(1)]
    pub scopes: Vec<String>,
}

impl Security {
    /// True if a request without any credential is admitted.
    #[must_use]
    pub fn admits_anyone(&self) -> bool {
        self.0.is_empty() || self.0.iter().any(|alternative| alternative.0.is_empty())
    }
}

impl Named for Scheme {
    fn name(&self) -> &str {
        &self.name
    }
}
