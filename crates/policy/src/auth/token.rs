//! Verifiers of tokens and signatures at run time.

use std::sync::Arc;

use http::HeaderValue;
use http::uri::PathAndQuery;
use sha2::{Digest as _, Sha256};

use super::jwt::{TokenCache, Verification};
use super::mtls::PresentedCertificates;
use super::{Checked, binding, dpop, hmac_signature, introspection, jwt, oidc};
use crate::ask::Answers;
use crate::head::RequestHead;
use crate::key_cell::KeyCell;
use crate::secret::{SecretUnavailable, Secrets};
use crate::store::Store;
use crate::used::Table;

/// SHA-256 that identifies a token in revocation lists: of the signed part of a JWT, otherwise of
/// the whole token. `None` for an invalid token, which has characters outside RFC 6750 §2.1, or has
/// three parts but is not a JWT.
#[must_use]
pub fn token_digest(token: &[u8]) -> Option<[u8; 32]> {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    let dots = token.iter().filter(|byte| **byte == b'.').count();
    let is_opaque = !token.is_empty() && dots != 2 && token.iter().all(fits);
    let whole = || is_opaque.then(|| Sha256::digest(token).into());
    jwt::signed_part(token).or_else(whole)
}

/// Request whose token a verifier checks.
#[derive(Clone, Copy)]
pub struct TokenRequest<'r> {
    /// Time of the request (Unix time, seconds).
    pub unix_s: u64,
    /// Cache of verified tokens. `None`: every token is verified.
    pub cache: Option<&'r TokenCache>,
    /// Answers of other services, and results of computations, that verifiers need.
    pub answers: &'r Answers,
    /// Client certificates of the TLS handshake and of a trusted proxy. `None` if there are none.
    pub presented: Option<&'r PresentedCertificates>,
    /// Value of `Client-Cert` (RFC 9440) that a trusted proxy sent.
    pub client_cert: Option<&'r [u8]>,
    /// Head with a normalised path.
    pub head: &'r RequestHead,
    /// Function that returns the URL of the request as the client sees it. It returns `None` if the
    /// URL is not known.
    pub url: &'r dyn Fn() -> Option<dpop::ClientUrl>,
    /// Path and query as the client sent them. `None` if normalisation did not change them.
    pub received: Option<&'r PathAndQuery>,
    /// Function that normalises a path in the same way as the path of `head`. Returns `None` for an
    /// invalid path.
    pub normalise: fn(&str) -> Option<String>,
}

/// Verifier of tokens, or of signatures of requests.
#[derive(Debug)]
pub enum TokenVerifier {
    /// Checks signed tokens.
    Jwt(Box<jwt::Verifier>),
    /// Sends tokens to the issuer's introspection endpoint.
    Introspection(Box<introspection::Verifier>),
    /// Checks proofs of possession in addition to tokens.
    Dpop(Box<dpop::Verifier>),
    /// Checks signatures of requests with shared secrets.
    Signature(Box<hmac_signature::Verifier>),
    /// Checks sessions of browsers.
    Login(Box<oidc::Login>),
}

impl TokenVerifier {
    /// Builds the run-time verifier. `None` for kinds that check neither tokens nor signatures.
    /// `named` is the verifier that [`Checked::token_verifier`] names.
    ///
    /// # Errors
    /// A secret cannot be resolved.
    pub fn of(
        checked: &Checked,
        named: Option<&Arc<Self>>,
        secrets: &dyn Secrets,
    ) -> Result<Option<Self>, SecretUnavailable> {
        Ok(match (checked, named) {
            (Checked::Jwt(jwt), _) => Some(Self::Jwt(Box::new(jwt.verifier(secrets)?))),
            (Checked::Introspection(introspection), _) => Some(Self::Introspection(Box::new(
                introspection.verifier(secrets)?,
            ))),
            (Checked::Dpop(dpop), Some(token)) => {
                let verifier = dpop.verifier(Arc::clone(token), secrets)?;
                Some(Self::Dpop(Box::new(verifier)))
            }
            (Checked::HmacSignature(signed), _) => {
                Some(Self::Signature(Box::new(signed.verifier(secrets)?)))
            }
            (Checked::Oidc(login), _) => Some(Self::Login(Box::new(login.login(secrets)?))),
            (
                Checked::ApiKey(_)
                | Checked::Basic(_)
                | Checked::Mtls(_)
                | Checked::Dpop(_)
                | Checked::Declared(_),
                _,
            ) => None,
        })
    }

    /// Verifies the token of a request, or takes the result from the cache. Then checks the token's
    /// binding.
    #[must_use]
    pub fn verify(&self, token: &[u8], request: &TokenRequest<'_>) -> Verification {
        match self {
            Self::Dpop(dpop) => return dpop.verify(token, request),
            Self::Signature(signed) => return signed.verify(token, request),
            Self::Login(login) => return login.verify_session(token, request),
            Self::Jwt(_) | Self::Introspection(_) => {}
        }
        match self.verify_unbound(token, request) {
            Verification::Valid(identity) => {
                let bound = identity.bound.as_ref();
                match binding::check(self.binding(), bound, None, request) {
                    Ok(()) => Verification::Valid(identity),
                    Err(reason) => Verification::Fault(reason),
                }
            }
            other => other,
        }
    }

    /// Verifies the token of a request, except its binding.
    pub(in crate::auth) fn verify_unbound(
        &self,
        token: &[u8],
        request: &TokenRequest<'_>,
    ) -> Verification {
        let TokenRequest {
            unix_s,
            cache,
            answers,
            ..
        } = *request;
        match self {
            Self::Jwt(jwt) => jwt.verify_or_ask(token, unix_s, cache, answers),
            Self::Introspection(introspection) => {
                introspection.verify(token, unix_s, cache, answers)
            }
            Self::Dpop(dpop) => dpop.token().verify_unbound(token, request),
            Self::Signature(signed) => signed.verify(token, request),
            Self::Login(login) => login.verify_session(token, request),
        }
    }

    /// Handling of tokens bound to certificates. `None`: such tokens are refused.
    pub(in crate::auth) fn binding(&self) -> Option<binding::Binding> {
        match self {
            Self::Jwt(jwt) => jwt.binding(),
            Self::Introspection(introspection) => introspection.binding(),
            Self::Dpop(dpop) => dpop.token().binding(),
            Self::Signature(_) | Self::Login(_) => None,
        }
    }

    /// True if the verifier checks tokens; false if it checks signatures of requests or sessions.
    #[must_use]
    pub fn takes_tokens(&self) -> bool {
        match self {
            Self::Jwt(_) | Self::Introspection(_) | Self::Dpop(_) => true,
            Self::Signature(_) | Self::Login(_) => false,
        }
    }

    /// Creates a nonce for a client. `None` if the verifier requires no nonces.
    #[must_use]
    pub fn fresh_nonce(&self, unix_s: u64) -> Option<HeaderValue> {
        match self {
            Self::Jwt(_) | Self::Introspection(_) | Self::Signature(_) | Self::Login(_) => None,
            Self::Dpop(dpop) => dpop.fresh_nonce(unix_s),
        }
    }

    /// Store in which the gateways of a fleet record used credentials, with their table. `None`:
    /// each gateway has its own table, or the credentials may be used again.
    #[must_use]
    pub fn store(&self) -> Option<(Table, &Arc<Store>)> {
        match self {
            Self::Dpop(dpop) => dpop.store().map(|store| (Table::Proofs, store)),
            Self::Signature(signed) => signed.store().map(|store| (Table::Nonces, store)),
            Self::Jwt(_) | Self::Introspection(_) | Self::Login(_) => None,
        }
    }

    /// The login, if the verifier checks sessions of browsers. `None` for another verifier.
    #[must_use]
    pub fn login(&self) -> Option<&oidc::Login> {
        match self {
            Self::Login(login) => Some(login),
            Self::Jwt(_) | Self::Introspection(_) | Self::Dpop(_) | Self::Signature(_) => None,
        }
    }

    /// Key sets and metadata that gwd fetches for the verifier, with the state of the fetches.
    #[must_use]
    pub fn key_cells(&self) -> Vec<&Arc<KeyCell>> {
        match self {
            Self::Jwt(jwt) => jwt.key_cell().into_iter().collect(),
            Self::Introspection(introspection) => introspection.key_cell().into_iter().collect(),
            Self::Signature(_) => Vec::new(),
            Self::Dpop(dpop) => dpop.token().key_cells(),
            Self::Login(login) => login.key_cells().collect(),
        }
    }
}
