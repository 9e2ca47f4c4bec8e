//! Verifiers of bearer tokens at run time.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::jwt::{Judged, TokenCache};
use super::{Checked, introspection, jwt};
use crate::ask::Answers;
use crate::key_cell::KeyCell;
use crate::secret::{SecretUnavailable, Secrets};

/// SHA-256 by which a token is revoked: of the signed part of a JWT, else of the whole token.
/// `None` for an invalid token: it has characters outside RFC 6750 §2.1, or has three parts but is
/// not a JWT.
#[must_use]
pub fn token_digest(token: &[u8]) -> Option<[u8; 32]> {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    let dots = token.iter().filter(|byte| **byte == b'.').count();
    let is_opaque = !token.is_empty() && dots != 2 && token.iter().all(fits);
    let whole = || is_opaque.then(|| Sha256::digest(token).into());
    jwt::signed_part(token).or_else(whole)
}

/// Verifier of bearer tokens.
#[derive(Debug)]
pub enum TokenVerifier {
    /// Checks signatures.
    Jwt(jwt::Verifier),
    /// Asks the issuer.
    Introspection(introspection::Verifier),
}

impl TokenVerifier {
    /// Builds the run-time verifier. None for kinds that check other credentials.
    ///
    /// # Errors
    /// A secret cannot be resolved.
    pub fn of(checked: &Checked, secrets: &dyn Secrets) -> Result<Option<Self>, SecretUnavailable> {
        Ok(match checked {
            Checked::Jwt(jwt) => Some(Self::Jwt(jwt.verifier(secrets)?)),
            Checked::Introspection(asked) => Some(Self::Introspection(asked.verifier(secrets)?)),
            Checked::ApiKey(_) | Checked::Basic(_) | Checked::Mtls(_) | Checked::Declared(_) => {
                None
            }
        })
    }

    /// Judges a token at a time (Unix time, seconds).
    #[must_use]
    pub fn judge(
        &self,
        token: &[u8],
        unix_s: u64,
        cache: Option<&TokenCache>,
        answers: &Answers,
    ) -> Judged {
        match self {
            Self::Jwt(jwt) => jwt.judge(token, unix_s, cache, answers),
            Self::Introspection(asked) => asked.judge(token, unix_s, cache, answers),
        }
    }

    /// The cell of its keys, if gwd fetches them.
    #[must_use]
    pub fn key_cell(&self) -> Option<&Arc<KeyCell>> {
        match self {
            Self::Jwt(jwt) => jwt.key_cell(),
            Self::Introspection(_) => None,
        }
    }
}
