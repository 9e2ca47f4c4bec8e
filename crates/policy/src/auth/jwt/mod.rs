//! Signed tokens (RFC 7519, RFC 8725, RFC 9068).
//!
//! ```yaml
//! auth:
//!   idp: {kind: jwt, issuer: "https://idp.example.org", audience: [orders], jwks_file: idp.jwks.json, algorithms: [ES256]}
//! ```
//! The algorithm of a token must be in the list `algorithms`; `none` is not supported. The library
//! jsonwebtoken checks the signature. This module makes all other checks, because the library is
//! less strict about duplicate members, extensions, types, sizes, key choice and claims.

mod algorithm;
#[cfg(feature = "author")]
pub mod author;
mod cache;
pub mod discovery;
pub(in crate::auth) mod identity;
pub mod json;
pub(in crate::auth) mod jwk;
mod keys;
pub(in crate::auth) mod numeric_date;
mod signature;
#[cfg(test)]
pub(in crate::auth) mod tests;
pub(in crate::auth) mod token;
pub(in crate::auth) mod verify;
#[cfg(feature = "author")]
pub mod witness;

pub use algorithm::{Algorithm, Family};
pub use cache::{Growth, TokenCache};
pub use identity::Identity;
pub use jwk::read_set as read_key_set;
pub use keys::{Material, PublicKey};
pub use token::{Token, parse, signed_part};
pub use verify::{Reason, Verification, Verifier};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minicbor::{Decode, Encode};
use sha2::{Digest as _, Sha256};

#[cfg(feature = "author")]
use crate::ask::AskId;
use crate::auth::binding::Binding;
use crate::declared::{Scalar, Settings, Value};
use crate::endpoint::Endpoint;
use crate::key_cell::Remote;
use crate::secret::SecretRef;

/// Default of `leeway`, in milliseconds.
pub const LEEWAY_MS: u64 = 60_000;
/// Default of `token_bytes`, in bytes.
pub const TOKEN_BYTES: u64 = 8 << 10;
/// Default of `types`: no `typ` (the empty string), `at+jwt`, `jwt`.
pub const TYPES: &[&str] = &["", "at+jwt", "jwt"];
/// Type (`typ`) of signed answers of introspection endpoints (RFC 9701 §5), without `application/`.
pub(in crate::auth) const ANSWER_TYPE: &str = "token-introspection+jwt";
/// Default of `scope_claim`.
pub const SCOPE_CLAIM: &str = "scope";
/// Default of `stale_for`, in milliseconds: 24 hours.
pub const STALE_FOR_MS: u64 = 86_400_000;
/// Default of `groups_claim`.
pub const GROUPS_CLAIM: &str = "groups";

/// Settings of a verifier of signed tokens (`kind: jwt`), in the bundle. Lists are sorted.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    #[n(0)]
    issuer: String,
    #[n(1)]
    audience: Vec<String>,
    #[n(2)]
    algorithms: Vec<Algorithm>,
    #[n(3)]
    keys: KeySource,
    #[n(4)]
    leeway_ms: u64,
    #[n(5)]
    max_lifetime_ms: Option<u64>,
    /// Types in lower case without `application/`. The empty string accepts tokens without `typ`.
    #[n(6)]
    types: Vec<String>,
    #[n(7)]
    token_bytes: u64,
    #[n(8)]
    required_claims: Vec<String>,
    #[n(9)]
    consumer_claim: Option<String>,
    #[n(10)]
    scope_claim: String,
    #[n(11)]
    groups_claim: String,
    /// Time in milliseconds for which fetched keys are used after the last successful fetch.
    /// `None`: the default.
    #[n(12)]
    stale_for_ms: Option<u64>,
    /// Handling of tokens bound to the client's certificate. `None`: such tokens are refused.
    #[n(13)]
    binding: Option<Binding>,
    /// URL of the metadata of the protected resource (RFC 9728), which challenges name. `None`:
    /// challenges name no metadata.
    #[n(14)]
    resource_metadata: Option<String>,
}

/// Combination of header parameters that the verifier accepts in a token, and the key that verifies
/// the token's signature.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signing {
    /// Header parameter `alg`.
    pub algorithm: Algorithm,
    /// Header parameter `kid`.
    pub kid: Option<String>,
    /// Thumbprint of the key, or a hash of the reference to the shared secret.
    pub key: String,
}

/// Source of the keys.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum KeySource {
    /// Public keys of the project, sorted.
    #[n(0)]
    Set(#[n(0)] Vec<PublicKey>),
    /// Shared secret, which gwd resolves.
    #[n(1)]
    Secret(#[n(0)] SecretRef),
    /// URL from which gwd fetches the keys.
    #[n(2)]
    Url(#[n(0)] String),
    /// Key set whose URL gwd reads from the issuer's metadata (RFC 8414, OpenID Connect Discovery
    /// 1.0).
    #[n(3)]
    Discovered,
}

/// Settings of the verifier of a login's ID tokens.
pub(in crate::auth) struct OfLogin {
    pub(in crate::auth) issuer: String,
    pub(in crate::auth) audience: Vec<String>,
    pub(in crate::auth) algorithms: Vec<Algorithm>,
    pub(in crate::auth) keys: KeySource,
    pub(in crate::auth) token_bytes: u64,
    pub(in crate::auth) required_claims: Vec<String>,
    pub(in crate::auth) consumer_claim: Option<String>,
    pub(in crate::auth) groups_claim: Option<String>,
}

/// Feature that a gateway needs to fetch keys from `jwks_url`.
const JWKS_URL: &str = "auth:jwt:jwks_url";
/// Feature that a gateway needs to fetch keys from the issuer.
const DISCOVERY: &str = "auth:jwt:discovery";

impl Checked {
    /// Creates the settings for the ID tokens of a login. Tokens without `typ`, and with `typ`
    /// `JWT`, are accepted.
    pub(in crate::auth) fn of_login(login: OfLogin) -> Self {
        let groups_claim = login.groups_claim;
        Self {
            issuer: login.issuer,
            audience: login.audience,
            algorithms: login.algorithms,
            keys: login.keys,
            leeway_ms: LEEWAY_MS,
            max_lifetime_ms: None,
            types: ["", "jwt"].map(str::to_owned).to_vec(),
            token_bytes: login.token_bytes,
            required_claims: login.required_claims,
            consumer_claim: login.consumer_claim,
            scope_claim: SCOPE_CLAIM.to_owned(),
            groups_claim: groups_claim.unwrap_or_else(|| GROUPS_CLAIM.to_owned()),
            stale_for_ms: None,
            binding: None,
            resource_metadata: None,
        }
    }

    /// Creates the settings for the signed answers of an introspection endpoint (RFC 9701 §5).
    pub(in crate::auth) fn of_answers(
        issuer: String,
        client_id: String,
        algorithms: Vec<Algorithm>,
        keys: KeySource,
        answer_bytes: u64,
    ) -> Self {
        Self {
            types: vec![ANSWER_TYPE.to_owned()],
            ..Self::of_login(OfLogin {
                issuer,
                audience: vec![client_id],
                algorithms,
                keys,
                token_bytes: answer_bytes,
                required_claims: Vec::new(),
                consumer_claim: None,
                groups_claim: None,
            })
        }
    }

    /// Combinations of header parameters that select a key, each with its key. A shared secret, or
    /// the fetched keys, have one entry per algorithm, without `kid`.
    #[must_use]
    pub fn signings(&self) -> Vec<Signing> {
        let keys = match &self.keys {
            KeySource::Set(keys) => keys,
            KeySource::Secret(reference) => {
                return self.any_kid("secret", &reference.to_string());
            }
            KeySource::Url(url) => return self.any_kid("url", url),
            KeySource::Discovered => return self.any_kid("issuer", &self.issuer),
        };
        let ids = keys.iter().filter_map(|key| key.kid.as_deref());
        let mut found = Vec::new();
        for kid in ids.map(Some).chain([None]) {
            for algorithm in &self.algorithms {
                let fits = keys
                    .iter()
                    .map(|key| (key.kid.as_deref(), key.fits(*algorithm)));
                if let Some(index) = keys::choose(fits, kid) {
                    found.push(Signing {
                        algorithm: *algorithm,
                        kid: kid.map(str::to_owned),
                        key: keys[index].material.thumbprint(),
                    });
                }
            }
        }
        found.sort();
        found.dedup();
        found
    }

    /// Header parameters without `kid` for a shared secret or fetched keys, one entry per allowed
    /// algorithm. The name of the key is `kind` with a hash of `source`.
    fn any_kid(&self, kind: &str, source: &str) -> Vec<Signing> {
        let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(source));
        let all = self.algorithms.iter().map(|algorithm| Signing {
            algorithm: *algorithm,
            kid: None,
            key: format!("{kind}-{hash}"),
        });
        all.collect()
    }

    /// Source from which gwd fetches keys. `None` for keys in the project and for shared secrets.
    #[must_use]
    pub fn remote(&self) -> Option<Remote> {
        match &self.keys {
            KeySource::Set(_) | KeySource::Secret(_) => None,
            KeySource::Url(url) => Some(Remote::Set(url.clone())),
            KeySource::Discovered => Some(Remote::Issuer(self.issuer.clone())),
        }
    }

    /// Id of the check of a token with the shared secret, which gwc does not have. `None` for
    /// tokens with other keys.
    #[cfg(feature = "author")]
    #[must_use]
    pub fn secret_question(&self) -> Option<AskId> {
        let settings = || minicbor::to_vec(self).unwrap_or_default();
        match &self.keys {
            KeySource::Secret(_) => Some(AskId::of_secret("jwt", &settings())),
            KeySource::Set(_) | KeySource::Url(_) | KeySource::Discovered => None,
        }
    }

    /// Issuer of the tokens.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Source of the keys.
    #[must_use]
    pub fn keys(&self) -> &KeySource {
        &self.keys
    }

    /// Allowed signature algorithms.
    #[must_use]
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    /// Name of the claim that lists the token's scopes.
    #[must_use]
    pub fn scope_claim(&self) -> &str {
        &self.scope_claim
    }

    /// Replaces the public keys, which must be sorted.
    pub fn set_keys(&mut self, keys: Vec<PublicKey>) {
        self.keys = KeySource::Set(keys);
    }
}

impl super::Verifier for Checked {
    const FEATURES: &'static [&'static str] = &[DISCOVERY, JWKS_URL];

    fn settings(&self) -> Settings {
        let text = |text: &str| Scalar::Text(text.to_owned());
        let set = |all: &[String]| Value::Set(all.iter().map(|one| text(one)).collect());
        let mut algorithms: Vec<Scalar> = self.algorithms.iter().map(|a| text(a.name())).collect();
        algorithms.sort();
        let mut all = Settings::default()
            .with(&["issuer"], Value::One(text(&self.issuer)))
            .with(&["audience"], set(&self.audience))
            .with(&["algorithms"], Value::Set(algorithms));
        all = match &self.keys {
            KeySource::Secret(secret) => {
                all.with(&["secret"], Value::One(Scalar::Secret(secret.clone())))
            }
            KeySource::Url(url) => all.with(&["jwks_url"], Value::One(text(url))),
            KeySource::Discovered => all.with(&["discovery"], Value::One(Scalar::Flag(true))),
            KeySource::Set(keys) => {
                let mut keys: Vec<Scalar> = keys.iter().map(|key| text(&key.describe())).collect();
                keys.sort();
                all.with(&["keys"], Value::Set(keys))
            }
        };
        if self.leeway_ms != LEEWAY_MS {
            all = all.with(&["leeway"], Value::One(Scalar::Duration(self.leeway_ms)));
        }
        if let Some(ms) = self.stale_for_ms {
            all = all.with(&["stale_for"], Value::One(Scalar::Duration(ms)));
        }
        if let Some(most) = self.max_lifetime_ms {
            all = all.with(&["max_lifetime"], Value::One(Scalar::Duration(most)));
        }
        if self.types != TYPES {
            all = all.with(&["types"], set(&self.types));
        }
        if self.token_bytes != TOKEN_BYTES {
            all = all.with(&["token_bytes"], Value::One(Scalar::Size(self.token_bytes)));
        }
        if !self.required_claims.is_empty() {
            all = all.with(&["required_claims"], set(&self.required_claims));
        }
        if let Some(claim) = &self.consumer_claim {
            all = all.with(&["consumer_claim"], Value::One(text(claim)));
        }
        for (key, value, default) in [
            ("scope_claim", &self.scope_claim, SCOPE_CLAIM),
            ("groups_claim", &self.groups_claim, GROUPS_CLAIM),
        ] {
            if value != default {
                all = all.with(&[key], Value::One(text(value)));
            }
        }
        if let Some(url) = &self.resource_metadata {
            all = all.with(&["resource_metadata"], Value::One(text(url)));
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
        match &self.keys {
            KeySource::Url(_) => Some(JWKS_URL),
            KeySource::Discovered => Some(DISCOVERY),
            KeySource::Set(_) | KeySource::Secret(_) => None,
        }
    }

    fn origins(&self) -> Vec<String> {
        let endpoint = self.remote().and_then(|remote| Endpoint::of(remote.url()));
        endpoint.map(|one| one.origin).into_iter().collect()
    }

    fn takes_tokens(&self) -> bool {
        true
    }
}
