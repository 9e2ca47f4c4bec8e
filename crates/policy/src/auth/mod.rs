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
    /// `kind: jwt`
    #[n(3)]
    Jwt(#[n(0)] Box<jwt::Checked>),
    /// A kind that this version knows and cannot run, or a setting of one that runs; no gateway
    /// takes it.
    #[n(101)]
    Declared(#[n(0)] declared::Checked),
}

/// Features of verifiers that this version can run, in the words of a bundle's `needs`.
pub const PROVIDES: &[&str] = &["auth:api_key", "auth:basic", "auth:jwt"];

impl Checked {
    /// Feature that a gateway needs to run it, in the words of a bundle's `needs`.
    #[must_use]
    pub fn need(&self) -> String {
        let need = format!("auth:{}", self.kind());
        match self {
            Self::Jwt(jwt) if matches!(jwt.keys(), jwt::KeySource::Url(_)) => {
                format!("{need}:jwks_url")
            }
            // A kind that runs, with a setting that does not.
            Self::Declared(_) if PROVIDES.contains(&need.as_str()) => format!("{need}:later"),
            _ => need,
        }
    }

    /// True if this version can run it.
    #[must_use]
    pub fn runs(&self) -> bool {
        PROVIDES.contains(&self.need().as_str())
    }

    /// The word after `kind:`.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::ApiKey(_) => "api_key",
            Self::Basic(_) => "basic",
            Self::Jwt(_) => "jwt",
            Self::Declared(declared) => &declared.kind,
        }
    }

    /// Its settings, in the form in which all kinds are compared.
    #[must_use]
    pub fn settings(&self) -> declared::Settings {
        match self {
            Self::ApiKey(_) => declared::Settings::default(),
            Self::Basic(basic) => basic.settings(),
            Self::Jwt(jwt) => jwt.settings(),
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
        runs("jwt", &jwt::author::SHAPE),
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
        "jwt" => jwt::author::check(node).map(Box::new).map(Checked::Jwt),
        _ => None,
    }
}
