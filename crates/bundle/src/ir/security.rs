//! OpenAPI's security requirement, with its schemes and their verifiers.

use minicbor::{Decode, Encode};
use policy::auth::{self, Place};
use policy::declared::{Scalar, Settings, Value};

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
    /// Fields in which the upstream gets the caller.
    #[n(5)]
    pub passes: Passes,
}

/// Fields in which an upstream gets the caller. A client cannot set them on any operation of the
/// API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Passes {
    /// The field with the name of the consumer, else the subject of the token.
    #[n(0)]
    pub forward_as: Option<String>,
    /// Claims with their fields, sorted by claim; names of fields in lower case.
    #[n(1)]
    pub claims: Vec<(String, String)>,
}

impl Passes {
    /// True if nothing is passed on.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.forward_as.is_none() && self.claims.is_empty()
    }

    /// The fields.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        let claims = self.claims.iter().map(|(_, field)| field);
        self.forward_as.iter().chain(claims).map(String::as_str)
    }
}

impl Scheme {
    /// Its settings beside place, verifier and `strip_credential`, for comparison.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let text = |text: &str| Value::One(Scalar::Text(text.to_owned()));
        let mut all = self.declared.clone();
        if let Some(field) = &self.passes.forward_as {
            all = all.with(&["forward_as"], text(field));
        }
        for (claim, field) in &self.passes.claims {
            all = all.with(&["claims_to_headers", claim], text(field));
        }
        all
    }
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
