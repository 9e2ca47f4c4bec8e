//! Authentication kinds. They are not policies: an operation's `security` decides whether they
//! are asked, the scheme where the credential stands, the verifier how it is checked.

pub mod api_key;
pub mod basic;
pub mod dpop;
pub mod hmac_signature;
pub mod introspection;
pub mod jwt;
pub mod mtls;
pub mod oidc;
mod place;

pub use place::{Held, Place, decode as decode_query, decode_basic};

use minicbor::{Decode, Encode};

use crate::declared;

/// A verifier as the bundle carries it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Checked {
    /// `kind: api_key`
    #[n(1)]
    ApiKey(#[n(0)] api_key::Checked),
    /// `kind: basic`
    #[n(2)]
    Basic(#[n(0)] basic::Checked),
    /// A kind that this version knows and cannot run; no gateway takes it.
    #[n(101)]
    Declared(#[n(0)] declared::Checked),
}

impl Checked {
    /// The word after `kind:`.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::ApiKey(_) => "api_key",
            Self::Basic(_) => "basic",
            Self::Declared(declared) => &declared.kind,
        }
    }

    /// Its settings, in the form in which all kinds are compared.
    #[must_use]
    pub fn settings(&self) -> declared::Settings {
        match self {
            Self::ApiKey(_) => declared::Settings::default(),
            Self::Basic(basic) => basic.settings(),
            Self::Declared(declared) => declared.settings.clone(),
        }
    }
}

/// Every kind of verifier: those that run and those that cannot run yet.
#[cfg(feature = "author")]
pub static KINDS: &[diag::shape::Variant] = {
    use diag::shape::{Object, Variant};
    const fn runs(kind: &'static str, object: &'static Object) -> Variant {
        Variant {
            kind,
            object,
            runs: true,
        }
    }
    const fn later(kind: &'static str, object: &'static Object) -> Variant {
        Variant {
            kind,
            object,
            runs: false,
        }
    }
    &[
        runs("api_key", &api_key::author::SHAPE),
        runs("basic", &basic::author::SHAPE),
        later("jwt", &jwt::author::SHAPE),
        later("oidc", &oidc::author::SHAPE),
        later("introspection", &introspection::author::SHAPE),
        later("mtls", &mtls::author::SHAPE),
        later("hmac_signature", &hmac_signature::author::SHAPE),
        later("dpop", &dpop::author::SHAPE),
    ]
};

/// Reads a verifier whose node fits [`KINDS`].
#[cfg(feature = "author")]
pub fn check(kind: &str, node: diag::NodeRef<'_>) -> Option<Checked> {
    match kind {
        "api_key" => Some(Checked::ApiKey(api_key::author::check())),
        "basic" => Some(Checked::Basic(basic::author::check(node))),
        _ => None,
    }
}
