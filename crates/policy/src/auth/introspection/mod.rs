//! Verification of tokens by requests to the issuer's introspection endpoint (RFC 7662).
//!
//! ```yaml
//! auth:
//!   tokens: {kind: introspection, url: "https://idp.example.org/introspect", client_id: gateway, client_secret: "${file:/run/secrets/idp}"}
//! ```
//! The endpoint answers whether a token is active, and to whom the token belongs. Clients' requests
//! with the same token share one request to the endpoint. The verifier checks the answer and caches
//! it. Tokens are sent in the body of a POST over TLS, never in a URL. Answers may be signed (RFC
//! 9701).

#[cfg(feature = "author")]
pub mod author;
mod response;
#[cfg(test)]
pub(in crate::auth) mod tests;
mod verify;

pub use verify::Verifier;
pub(in crate::auth) use verify::form;

use std::collections::BTreeSet;

use minicbor::{Decode, Encode};

use crate::auth::binding::Binding;
use crate::auth::jwt::{self, Algorithm, GROUPS_CLAIM, KeySource, SCOPE_CLAIM, TOKEN_BYTES};
use crate::declared::{Scalar, Settings, Value};
use crate::endpoint::Endpoint;
use crate::key_cell::Remote;
use crate::secret::SecretRef;

/// Default of `timeout`, in milliseconds.
pub const TIMEOUT_MS: u64 = 2_000;
/// Default of `cache`, in milliseconds.
pub const CACHE_MS: u64 = 60_000;
/// Default of `cache_inactive`, in milliseconds.
pub const CACHE_INACTIVE_MS: u64 = 5_000;
/// Default of `stale_for`, in milliseconds: 10 minutes.
pub const STALE_FOR_MS: u64 = 600_000;

/// Maximum length of an answer, in bytes: 64 KiB.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Settings of a verifier by token introspection, in the bundle. Lists are sorted. `None` stands
/// for the default.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    #[n(0)]
    url: String,
    #[n(1)]
    client_id: String,
    #[n(2)]
    client_secret: SecretRef,
    #[n(3)]
    issuer: Option<String>,
    #[n(4)]
    audience: Vec<String>,
    #[n(5)]
    timeout_ms: Option<u64>,
    #[n(6)]
    cache_ms: Option<u64>,
    #[n(7)]
    cache_inactive_ms: Option<u64>,
    /// True for `on_outage: cached`: an expired cached answer may be used while the endpoint is
    /// unavailable.
    #[n(8)]
    cached: bool,
    #[n(9)]
    stale_for_ms: Option<u64>,
    #[n(10)]
    required_claims: Vec<String>,
    #[n(11)]
    consumer_claim: Option<String>,
    #[n(12)]
    scope_claim: Option<String>,
    #[n(13)]
    groups_claim: Option<String>,
    #[n(14)]
    token_bytes: Option<u64>,
    /// Handling of tokens bound to the client's certificate. `None`: such tokens are refused.
    #[n(15)]
    binding: Option<Binding>,
    /// URL of the metadata of the protected resource (RFC 9728), for challenges.
    #[n(16)]
    resource_metadata: Option<String>,
    /// Settings of signed answers (RFC 9701). `None`: answers are unsigned JSON.
    #[n(17)]
    signed: Option<SignedAnswers>,
}

/// Settings of signed answers (RFC 9701).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SignedAnswers {
    /// Allowed algorithms of the signature, sorted.
    #[n(0)]
    algorithms: Vec<Algorithm>,
    /// URL of the keys. `None`: the URL named in the issuer's metadata.
    #[n(1)]
    jwks_url: Option<String>,
}

/// Feature that a gateway needs to verify signed answers.
const SIGNED: &str = "auth:introspection:signed";

impl Checked {
    /// Settings of the verifier of signed answers. `None`: answers are unsigned.
    #[must_use]
    pub fn answers(&self) -> Option<jwt::Checked> {
        let signed = self.signed.as_ref()?;
        let keys = signed.jwks_url.clone();
        Some(jwt::Checked::of_answers(
            // gwc requires an issuer. With the empty default, every answer is refused.
            self.issuer.clone().unwrap_or_default(),
            self.client_id.clone(),
            signed.algorithms.clone(),
            keys.map_or(KeySource::Discovered, KeySource::Url),
            ANSWER_BYTES_MAX as u64,
        ))
    }

    /// Source of the keys of signed answers, which gwd fetches. `None`: answers are unsigned.
    #[must_use]
    pub fn remote(&self) -> Option<Remote> {
        self.answers()?.remote()
    }

    /// Issuer of the tokens. `None`: the answers may contain any issuer.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// True if a token must name one of certain audiences.
    #[must_use]
    pub fn has_audience(&self) -> bool {
        !self.audience.is_empty()
    }

    /// URL of the introspection endpoint.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Name of the claim that lists the token's scopes.
    #[must_use]
    pub fn scope_claim(&self) -> &str {
        self.scope_claim.as_deref().unwrap_or(SCOPE_CLAIM)
    }

    /// Name of this verifier in the header parameter `asked` of an unsigned example token. A token
    /// with this name counts as active for this verifier (see [`crate::auth::jwt::witness`]).
    #[cfg(feature = "author")]
    #[must_use]
    pub fn witness_key(&self) -> String {
        format!("introspection {} {}", self.client_id, self.url)
    }
}

impl super::Verifier for Checked {
    const FEATURES: &'static [&'static str] = &[SIGNED];

    fn settings(&self) -> Settings {
        let text = |text: &str| Value::One(Scalar::Text(text.to_owned()));
        let set = |all: &[String]| Value::Set(all.iter().cloned().map(Scalar::Text).collect());
        let secret = Value::One(Scalar::Secret(self.client_secret.clone()));
        let mut all = Settings::default()
            .with(&["url"], text(&self.url))
            .with(&["client_id"], text(&self.client_id))
            .with(&["client_secret"], secret);
        for (key, list) in [
            ("audience", &self.audience),
            ("required_claims", &self.required_claims),
        ] {
            if !list.is_empty() {
                all = all.with(&[key], set(list));
            }
        }
        for (key, time, default) in [
            ("timeout", self.timeout_ms, TIMEOUT_MS),
            ("cache", self.cache_ms, CACHE_MS),
            ("cache_inactive", self.cache_inactive_ms, CACHE_INACTIVE_MS),
            ("stale_for", self.stale_for_ms, STALE_FOR_MS),
        ] {
            if let Some(ms) = time.filter(|ms| *ms != default) {
                all = all.with(&[key], Value::One(Scalar::Duration(ms)));
            }
        }
        if self.cached {
            all = all.with(&["on_outage"], text("cached"));
        }
        for (key, claim, default) in [
            ("issuer", &self.issuer, ""),
            ("consumer_claim", &self.consumer_claim, ""),
            ("scope_claim", &self.scope_claim, SCOPE_CLAIM),
            ("groups_claim", &self.groups_claim, GROUPS_CLAIM),
        ] {
            if let Some(claim) = claim.as_deref().filter(|claim| *claim != default) {
                all = all.with(&[key], text(claim));
            }
        }
        if let Some(bytes) = self.token_bytes.filter(|bytes| *bytes != TOKEN_BYTES) {
            all = all.with(&["token_bytes"], Value::One(Scalar::Size(bytes)));
        }
        if let Some(url) = &self.resource_metadata {
            all = all.with(&["resource_metadata"], text(url));
        }
        if let Some(signed) = &self.signed {
            let names = signed.algorithms.iter().map(|one| one.name().to_owned());
            let mut names: Vec<String> = names.collect();
            names.sort();
            all = all.with(&["signed"], set(&names));
            if let Some(url) = &signed.jwks_url {
                all = all.with(&["jwks_url"], text(url));
            }
        }
        match self.binding {
            Some(binding) => binding.add_to(all),
            None => all,
        }
    }

    fn resource_metadata(&self) -> Option<&str> {
        self.resource_metadata.as_deref()
    }

    fn binding(&self) -> Option<Binding> {
        self.binding
    }

    fn feature(&self) -> Option<&'static str> {
        self.signed.as_ref().map(|_| SIGNED)
    }

    fn origins(&self) -> Vec<String> {
        let keys = self.remote().and_then(|remote| Endpoint::of(remote.url()));
        let endpoints = Endpoint::of(&self.url).into_iter().chain(keys);
        let origins: BTreeSet<String> = endpoints.map(|one| one.origin).collect();
        origins.into_iter().collect()
    }

    fn takes_tokens(&self) -> bool {
        true
    }
}
