//! Security requirements of OpenAPI, with their schemes and verifiers.

use minicbor::{Decode, Encode};
use policy::auth::Place;
use policy::declared::{Scalar, Settings, Value};

use super::set::Named;

/// A security scheme of an API.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Scheme {
    /// Name of the scheme in the bundle. The name describes the place, the verifier and
    /// `strip_credential`, and is not the name in the document.
    #[n(0)]
    pub name: String,
    /// Location of the credential in a request.
    #[n(1)]
    pub place: Place,
    /// Verifier of the credential.
    #[n(2)]
    pub verify: Verify,
    /// True if the credential is removed before the request is forwarded.
    #[n(3)]
    pub strip_credential: bool,
    /// Settings of the scheme that this version of gwd cannot run yet.
    #[n(4)]
    pub declared: Settings,
    /// Request fields in which the upstream receives the caller's identity.
    #[n(5)]
    pub passes: Passes,
}

/// Request fields in which an upstream receives the caller's identity. The gateway removes these
/// fields from the requests of clients, on every operation of the API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Passes {
    /// Field that receives the name of the consumer, or the subject of the token if there is no
    /// consumer. `None`: no field.
    #[n(0)]
    pub forward_as: Option<String>,
    /// Claims with the fields that receive them, sorted by claim. Field names are in lower case.
    #[n(1)]
    pub claims: Vec<(String, String)>,
}

impl Passes {
    /// True if no field receives the caller's identity.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.forward_as.is_none() && self.claims.is_empty()
    }

    /// Names of the fields that receive the caller's identity.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        let claims = self.claims.iter().map(|(_, field)| field);
        self.forward_as.iter().chain(claims).map(String::as_str)
    }
}

impl Scheme {
    /// Settings other than location, verifier and `strip_credential`, which plans compare.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let text = |text: &str| Value::One(Scalar::Text(text.to_owned()));
        let mut all = self.declared.clone();
        if let Some(field) = &self.passes.forward_as {
            all = all.with(&["forward_as"], text(field));
        }
        let claims = self.passes.claims.iter();
        let claims = claims.map(|(claim, field)| (claim.as_str(), text(field)));
        all.with_each(&["claims_to_headers"], claims)
    }
}

/// Part of the system that verifies a credential: a verifier of the gateway, or the upstream.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Verify {
    /// Name of a verifier. `NAME`: of gateway.yaml. `API/NAME`: of the API's document.
    /// `API/KIND@PLACE`: of a security scheme in the document.
    #[n(0)]
    Auth(#[n(0)] String),
    /// The upstream verifies the credential. The gateway checks only that a credential is present,
    /// so a client can send any value.
    #[n(1)]
    Upstream,
}

/// Security requirement: alternatives in order. The first alternative that is satisfied determines
/// the principal. Empty: open to everyone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Security(#[n(0)] pub Vec<Alternative>);

/// Alternative of a security requirement: schemes that must all be satisfied. Empty: no credential
/// is required.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct Alternative(#[n(0)] pub Vec<SchemeUse>);

/// Security scheme in a requirement, with the scopes or roles that the caller must have. Sorted by
/// name within an alternative.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct SchemeUse {
    /// Name of the scheme.
    #[n(0)]
    pub scheme: String,
    /// Required scopes, sorted.
    #[n(1)]
    pub scopes: Vec<String>,
    /// Required roles of the caller, sorted (OpenAPI 3.1, *Security Requirement Object*).
    #[n(2)]
    #[cbor(skip_if = "Vec::is_empty")]
    pub roles: Vec<String>,
}

impl Security {
    /// Security schemes that the alternatives require.
    pub fn uses(&self) -> impl Iterator<Item = &SchemeUse> {
        self.0.iter().flat_map(|alternative| &alternative.0)
    }

    /// Indices of the alternatives. A requirement without alternatives counts as one alternative.
    #[must_use]
    pub fn indices(&self) -> std::ops::Range<usize> {
        0..self.0.len().max(1)
    }

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
