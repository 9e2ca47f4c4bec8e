//! Kinds of authentication. Authentication is not a policy: an operation's `security` selects
//! security schemes, a scheme names the location of the credential, and a verifier checks the
//! credential.

pub mod api_key;
pub mod basic;
pub mod binding;
pub mod dpop;
pub mod hmac_signature;
pub mod introspection;
pub mod jwt;
pub mod mtls;
pub(crate) mod names;
pub mod oidc;
pub(crate) mod place;
mod reasons;
mod removals;
mod replays;
mod spelling;
mod token;

pub use place::{
    FoundCredential, Place, decode as decode_query, decode_basic, strip_cookies_of,
    strip_set_cookies_of,
};
pub use reasons::Fault;
pub use removals::Removals;
pub use replays::{Refused, Replays};
pub use spelling::{
    compared_forms, compared_in_query, has_lookalike, has_several_readings, is_malformed,
    is_read_as, name_and_value, readings, without, without_converter,
};
pub(crate) use spelling::{is_written_as, without_equals, without_unicode};
pub use token::{TokenRequest, TokenVerifier, token_digest};

use std::collections::BTreeSet;

use minicbor::{Decode, Encode};

use self::binding::Binding;
use crate::declared;
use crate::endpoint::Endpoint;

/// Settings of a verifier of any kind, in the bundle.
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
    /// `kind: introspection`
    #[n(4)]
    Introspection(#[n(0)] Box<introspection::Checked>),
    /// `kind: mtls`
    #[n(5)]
    Mtls(#[n(0)] mtls::Checked),
    /// `kind: dpop`
    #[n(6)]
    Dpop(#[n(0)] dpop::Checked),
    /// `kind: hmac_signature`
    #[n(7)]
    HmacSignature(#[n(0)] Box<hmac_signature::Checked>),
    /// `kind: oidc`
    #[n(8)]
    Oidc(#[n(0)] Box<oidc::Checked>),
    /// Verifier of a kind that this version knows but cannot run, or with a setting that this
    /// version cannot run. Gateways refuse bundles with such a verifier.
    #[n(101)]
    Declared(#[n(0)] declared::Checked),
}

/// Features of verifiers that this version can run. The names are those in a bundle's `needs`.
pub const PROVIDES: &[&str] = &[
    "auth:api_key",
    "auth:basic",
    "auth:certificate_binding",
    "auth:dpop",
    "auth:hmac_signature",
    "auth:introspection",
    "auth:introspection:signed",
    "auth:jwt",
    "auth:jwt:discovery",
    "auth:jwt:jwks_url",
    "auth:mtls",
    "auth:oidc",
    "auth:resource_metadata",
];

impl Checked {
    /// Feature that a gateway must have to run the verifier. The name is one in a bundle's `needs`.
    #[must_use]
    pub fn need(&self) -> String {
        let need = format!("auth:{}", self.kind());
        match self {
            Self::Introspection(introspection) if introspection.remote().is_some() => {
                format!("{need}:signed")
            }
            Self::Jwt(jwt) => match jwt.keys() {
                jwt::KeySource::Url(_) => format!("{need}:jwks_url"),
                jwt::KeySource::Discovered => format!("{need}:discovery"),
                jwt::KeySource::Set(_) | jwt::KeySource::Secret(_) => need,
            },
            // This version can run the kind, but does not support one of its settings.
            Self::Declared(_) if PROVIDES.contains(&need.as_str()) => format!("{need}:later"),
            _ => need,
        }
    }

    /// Features that a gateway must have to run the verifier: [`Self::need`], and features of
    /// settings that older gateways do not support.
    pub fn needs(&self) -> impl Iterator<Item = String> {
        let binding = self.binding();
        let binding = binding.map(|_| "auth:certificate_binding".to_owned());
        let metadata = self.resource_metadata();
        let metadata = metadata.map(|_| "auth:resource_metadata".to_owned());
        std::iter::once(self.need()).chain(binding).chain(metadata)
    }

    /// URL of the metadata of the protected resource (RFC 9728), which challenges name. `None`:
    /// challenges name no metadata.
    #[must_use]
    pub fn resource_metadata(&self) -> Option<&str> {
        match self {
            Self::Jwt(jwt) => jwt.resource_metadata(),
            Self::Introspection(introspection) => introspection.resource_metadata(),
            Self::ApiKey(_)
            | Self::Basic(_)
            | Self::Mtls(_)
            | Self::Dpop(_)
            | Self::HmacSignature(_)
            | Self::Oidc(_)
            | Self::Declared(_) => None,
        }
    }

    /// True if this version can run the verifier.
    #[must_use]
    pub fn runs(&self) -> bool {
        PROVIDES.contains(&self.need().as_str())
    }

    /// Handling of tokens bound to certificates. `None` for a verifier that refuses them.
    #[must_use]
    pub fn binding(&self) -> Option<Binding> {
        match self {
            Self::Jwt(jwt) => jwt.binding(),
            Self::Introspection(introspection) => introspection.binding(),
            Self::ApiKey(_)
            | Self::Basic(_)
            | Self::Mtls(_)
            | Self::Dpop(_)
            | Self::HmacSignature(_)
            | Self::Oidc(_)
            | Self::Declared(_) => None,
        }
    }

    /// Name of the verifier that checks the token itself. `None` unless this verifier checks proofs
    /// of possession (`dpop`).
    #[must_use]
    pub fn token_verifier(&self) -> Option<&str> {
        match self {
            Self::Dpop(dpop) => Some(dpop.token()),
            Self::ApiKey(_)
            | Self::Basic(_)
            | Self::Jwt(_)
            | Self::Introspection(_)
            | Self::Mtls(_)
            | Self::HmacSignature(_)
            | Self::Oidc(_)
            | Self::Declared(_) => None,
        }
    }

    /// Renames the verifier that [`Self::token_verifier`] names.
    pub fn rename_token(&mut self, name: &dyn Fn(&str) -> String) {
        match self {
            Self::Dpop(dpop) => dpop.rename_token(name),
            Self::ApiKey(_)
            | Self::Basic(_)
            | Self::Jwt(_)
            | Self::Introspection(_)
            | Self::Mtls(_)
            | Self::HmacSignature(_)
            | Self::Oidc(_)
            | Self::Declared(_) => {}
        }
    }

    /// Origins of the URLs that gwd calls for the verifier, sorted. The origins are the names of
    /// upstreams.
    #[must_use]
    pub fn origins(&self) -> Vec<String> {
        let of = |url: &str| Endpoint::of(url).map(|endpoint| endpoint.origin);
        match self {
            Self::Jwt(jwt) => jwt
                .remote()
                .and_then(|remote| of(remote.url()))
                .into_iter()
                .collect(),
            Self::Introspection(introspection) => {
                let keys = introspection.remote().and_then(|remote| of(remote.url()));
                let all: BTreeSet<String> =
                    of(introspection.url()).into_iter().chain(keys).collect();
                all.into_iter().collect()
            }
            Self::Oidc(login) => login.origins(),
            Self::ApiKey(_)
            | Self::Basic(_)
            | Self::Mtls(_)
            | Self::Dpop(_)
            | Self::HmacSignature(_)
            | Self::Declared(_) => Vec::new(),
        }
    }

    /// True if the verifier checks tokens: bearer tokens (RFC 6750) or tokens with proofs (RFC
    /// 9449).
    #[must_use]
    pub fn takes_tokens(&self) -> bool {
        match self {
            Self::Jwt(_) | Self::Introspection(_) | Self::Dpop(_) => true,
            Self::ApiKey(_)
            | Self::Basic(_)
            | Self::Mtls(_)
            | Self::HmacSignature(_)
            | Self::Oidc(_)
            | Self::Declared(_) => false,
        }
    }

    /// Value of `kind:`.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::ApiKey(_) => "api_key",
            Self::Basic(_) => "basic",
            Self::Jwt(_) => "jwt",
            Self::Introspection(_) => "introspection",
            Self::Mtls(_) => "mtls",
            Self::Dpop(_) => "dpop",
            Self::HmacSignature(_) => "hmac_signature",
            Self::Oidc(_) => "oidc",
            Self::Declared(declared) => &declared.kind,
        }
    }

    /// Settings in the form of [`declared::Settings`], for the comparison in plans.
    #[must_use]
    pub fn settings(&self) -> declared::Settings {
        match self {
            Self::ApiKey(_) => declared::Settings::default(),
            Self::Basic(basic) => basic.settings(),
            Self::Jwt(jwt) => jwt.settings(),
            Self::Introspection(introspection) => introspection.settings(),
            Self::Mtls(mtls) => mtls.settings(),
            Self::Dpop(dpop) => dpop.settings(),
            Self::HmacSignature(signed) => signed.settings(),
            Self::Oidc(login) => login.settings(),
            Self::Declared(declared) => declared.settings.clone(),
        }
    }
}

/// All kinds of verifiers, including those that this version cannot run.
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
    &[
        runs("api_key", &api_key::author::SHAPE),
        runs("basic", &basic::author::SHAPE),
        runs("jwt", &jwt::author::SHAPE),
        runs("oidc", &oidc::author::SHAPE),
        runs("introspection", &introspection::author::SHAPE),
        runs("mtls", &mtls::author::SHAPE),
        runs("hmac_signature", &hmac_signature::author::SHAPE),
        runs("dpop", &dpop::author::SHAPE),
    ]
};

/// Reads a verifier from a node that fits [`KINDS`].
#[cfg(feature = "author")]
pub fn check(kind: &str, node: diag::NodeRef<'_>) -> Option<Checked> {
    match kind {
        "api_key" => Some(Checked::ApiKey(api_key::author::check())),
        "basic" => Some(Checked::Basic(basic::author::check(node))),
        "introspection" => {
            let checked = introspection::author::check(node);
            checked.map(Box::new).map(Checked::Introspection)
        }
        "jwt" => jwt::author::check(node).map(Box::new).map(Checked::Jwt),
        "mtls" => Some(Checked::Mtls(mtls::author::check(node))),
        "oidc" => oidc::author::check(node).map(Box::new).map(Checked::Oidc),
        "dpop" => dpop::author::check(node).map(Checked::Dpop),
        "hmac_signature" => {
            let checked = hmac_signature::author::check(node);
            Some(Checked::HmacSignature(Box::new(checked)))
        }
        _ => None,
    }
}
