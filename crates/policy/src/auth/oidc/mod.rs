//! Browser logins by OpenID Connect (Core 1.0 §3.1, RFC 6749 §4.1), with the session in an
//! encrypted (sealed) cookie.
//!
//! ```yaml
//! auth:
//!   login:
//!     kind: oidc
//!     issuer: https://idp.example.org
//!     client_id: shop
//!     client_secret: ${file:/run/secrets/oidc}
//!     redirect_path: /login/done
//!     session: {secret: "${file:/run/secrets/session-keys}"}
//! ```
//! The gateway redirects a browser without a session to the provider, which redirects it to
//! `redirect_path` with a code. The gateway exchanges the code for tokens, verifies the ID token
//! like any other signed token, and stores an encrypted session in a cookie. A second sealed cookie
//! with `state`, `nonce` and the code verifier (RFC 7636) binds a login to its browser. The gateway
//! stores no session.

#[cfg(feature = "author")]
pub mod author;
mod callback;
mod login;
mod logout;
mod provider;
mod reasons;
mod reply;
mod seal;
mod session;
#[cfg(test)]
mod tests;
mod tokens;

pub use login::{Login, LoginContext, Outcome, RequestSession, is_navigation};
pub use reasons::Reason;
pub use session::Session;

use minicbor::{Decode, Encode};

#[cfg(feature = "author")]
use crate::ask::AskId;
use crate::auth::jwt::{self, Algorithm, GROUPS_CLAIM, KeySource};
use crate::declared::{Scalar, Settings, Value};
use crate::endpoint::Endpoint;
use crate::key_cell::Remote;
use crate::secret::SecretRef;

/// Default of `session.cookie`.
pub const COOKIE: &str = "__Host-session";
/// Default of `session.lifetime`, in milliseconds: 1 hour.
pub const LIFETIME_MS: u64 = 3_600_000;
/// Default of `timeout`, in milliseconds.
pub const TIMEOUT_MS: u64 = 5_000;
/// Default of `scopes`.
pub const SCOPES: &[&str] = &["openid"];
/// Maximum length of an ID token, in bytes: 8 KiB.
const TOKEN_BYTES: u64 = 8 << 10;

/// Settings of browser logins, in the bundle. Lists are sorted. `None` stands for the default.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    #[n(0)]
    issuer: String,
    #[n(1)]
    client_id: String,
    #[n(2)]
    client_secret: SecretRef,
    #[n(3)]
    redirect_path: String,
    #[n(4)]
    logout_path: Option<String>,
    #[n(5)]
    after_logout: Option<String>,
    /// Requested scopes, including `openid`.
    #[n(6)]
    scopes: Vec<String>,
    #[n(7)]
    audience: Vec<String>,
    #[n(8)]
    algorithms: Vec<Algorithm>,
    #[n(9)]
    jwks_url: Option<String>,
    #[n(10)]
    token_url: Option<String>,
    #[n(11)]
    timeout_ms: Option<u64>,
    #[n(12)]
    required_claims: Vec<String>,
    #[n(13)]
    consumer_claim: Option<String>,
    #[n(14)]
    groups_claim: Option<String>,
    #[n(15)]
    session_secret: SecretRef,
    #[n(16)]
    cookie: Option<String>,
    #[n(17)]
    lifetime_ms: Option<u64>,
    /// Maximum time between two requests of a session, in milliseconds. `None`: no such limit.
    #[n(18)]
    idle_ms: Option<u64>,
    /// True if the session's cookie has `SameSite=Strict`; false for `SameSite=Lax`.
    #[n(19)]
    strict: bool,
}

impl Checked {
    /// Settings of the verifier of ID tokens (OpenID Connect Core §3.1.3.7). The login checks
    /// `nonce`, `azp`, `at_hash` and further audiences.
    #[must_use]
    pub fn id_tokens(&self) -> jwt::Checked {
        self.id_tokens_for(vec![self.client_id.clone()])
    }

    /// Settings of [`Self::id_tokens`] with these allowed audiences.
    fn id_tokens_for(&self, audience: Vec<String>) -> jwt::Checked {
        let mut required = self.required_claims.clone();
        required.extend(["iat", "sub"].map(str::to_owned));
        required.sort();
        required.dedup();
        jwt::Checked::of_login(jwt::OfLogin {
            issuer: self.issuer.clone(),
            audience,
            algorithms: self.algorithms.clone(),
            keys: match &self.jwks_url {
                Some(url) => KeySource::Url(url.clone()),
                None => KeySource::Discovered,
            },
            token_bytes: TOKEN_BYTES,
            required_claims: required,
            consumer_claim: self.consumer_claim.clone(),
            groups_claim: self.groups_claim.clone(),
        })
    }

    /// Sources of the metadata and the keys that gwd fetches from the provider.
    #[must_use]
    pub fn remotes(&self) -> [Remote; 2] {
        let keys = match &self.jwks_url {
            Some(url) => Remote::Set(url.clone()),
            None => Remote::Issuer(self.issuer.clone()),
        };
        [Remote::Provider(self.issuer.clone()), keys]
    }

    /// Id of the check of a session with the session secret, which gwc does not have.
    #[cfg(feature = "author")]
    #[must_use]
    pub fn secret_question(&self) -> AskId {
        AskId::of_secret("oidc", &self.owner())
    }

    /// Origin of the token endpoint, which receives the client's secret.
    #[must_use]
    pub fn token_origin(&self) -> Option<String> {
        let url = self.token_url.as_ref().unwrap_or(&self.issuer);
        Endpoint::of(url).map(|endpoint| endpoint.origin)
    }

    /// Issuer of the ID tokens.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Name of the session's cookie.
    #[must_use]
    pub fn cookie(&self) -> &str {
        self.cookie.as_deref().unwrap_or(COOKIE)
    }

    /// True if each of the logins accepts the sessions of the other one.
    #[cfg(feature = "author")]
    #[must_use]
    pub fn has_same_sessions(&self, other: &Self) -> bool {
        self.owner() == other.owner() && self.session_secret == other.session_secret
    }

    /// Path of the redirect URI.
    #[must_use]
    pub fn redirect_path(&self) -> &str {
        &self.redirect_path
    }

    /// Path that ends the session.
    #[must_use]
    pub fn logout_path(&self) -> Option<&str> {
        self.logout_path.as_deref()
    }

    fn lifetime_s(&self) -> u64 {
        self.lifetime_ms.unwrap_or(LIFETIME_MS).div_ceil(1_000)
    }

    fn idle_s(&self) -> Option<u64> {
        self.idle_ms.map(|ms| ms.div_ceil(1_000))
    }
}

impl super::Verifier for Checked {
    fn settings(&self) -> Settings {
        let text = |text: &str| Scalar::Text(text.to_owned());
        let one = |value: &str| Value::One(text(value));
        let set = |all: &[String]| Value::Set(all.iter().map(|one| text(one)).collect());
        let secret = |secret: &SecretRef| Value::One(Scalar::Secret(secret.clone()));
        let mut algorithms: Vec<Scalar> = self.algorithms.iter().map(|a| text(a.name())).collect();
        algorithms.sort();
        let mut all = Settings::default()
            .with(&["issuer"], one(&self.issuer))
            .with(&["client_id"], one(&self.client_id))
            .with(&["client_secret"], secret(&self.client_secret))
            .with(&["redirect_path"], one(&self.redirect_path))
            .with(&["session", "secret"], secret(&self.session_secret));
        if self.algorithms != [Algorithm::Rs256] {
            all = all.with(&["algorithms"], Value::Set(algorithms));
        }
        if self.scopes != SCOPES {
            all = all.with(&["scopes"], set(&self.scopes));
        }
        for (key, list) in [
            ("audience", &self.audience),
            ("required_claims", &self.required_claims),
        ] {
            if !list.is_empty() {
                all = all.with(&[key], set(list));
            }
        }
        let groups_claim = self.groups_claim.as_ref();
        let cookie = self.cookie.as_ref();
        for (path, value) in [
            (&["logout_path"][..], self.logout_path.as_ref()),
            (&["after_logout"], self.after_logout.as_ref()),
            (&["jwks_url"], self.jwks_url.as_ref()),
            (&["token_url"], self.token_url.as_ref()),
            (&["consumer_claim"], self.consumer_claim.as_ref()),
            (
                &["groups_claim"],
                groups_claim.filter(|one| *one != GROUPS_CLAIM),
            ),
            (&["session", "cookie"], cookie.filter(|one| *one != COOKIE)),
        ] {
            if let Some(value) = value {
                all = all.with(path, one(value));
            }
        }
        let timeout_ms = self.timeout_ms.filter(|ms| *ms != TIMEOUT_MS);
        let lifetime_ms = self.lifetime_ms.filter(|ms| *ms != LIFETIME_MS);
        for (path, ms) in [
            (&["timeout"][..], timeout_ms),
            (&["session", "lifetime"], lifetime_ms),
            (&["session", "idle"], self.idle_ms),
        ] {
            if let Some(ms) = ms {
                all = all.with(path, Value::One(Scalar::Duration(ms)));
            }
        }
        if self.strict {
            all = all.with(&["session", "same_site"], one("strict"));
        }
        all
    }

    fn origins(&self) -> Vec<String> {
        let urls = [
            Some(&self.issuer),
            self.jwks_url.as_ref(),
            self.token_url.as_ref(),
        ];
        let endpoints = urls
            .into_iter()
            .flatten()
            .filter_map(|url| Endpoint::of(url));
        let mut origins: Vec<String> = endpoints.map(|one| one.origin).collect();
        origins.sort();
        origins.dedup();
        origins
    }
}
