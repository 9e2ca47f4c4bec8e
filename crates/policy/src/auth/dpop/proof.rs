//! Parser of a proof (RFC 9449 §4.2) and its claims. The signature is not verified here.

use sha2::{Digest as _, Sha256};

use super::Reason;
use crate::ask::Answers;
use crate::auth::jwt::json::{Json, Object};
use crate::auth::jwt::numeric_date::milliseconds;
use crate::auth::jwt::token::{Token, media_type, parse};
use crate::auth::jwt::verify::Halt;
use crate::auth::jwt::{self, Algorithm, PublicKey, jwk};

/// Maximum length of a proof, in bytes.
const BYTES_MAX: u64 = 8 << 10;

/// Maximum length of `jti`, in bytes.
const ID_MAX: usize = 512;

/// Value of `typ`.
const TYPE: &str = "dpop+jwt";

/// Parsed proof. Its signature is not verified yet.
pub struct Proof<'p> {
    token: Token<'p>,
    /// Public key in the proof (`jwk`), with which the signature must be verified.
    pub key: PublicKey,
    /// Claim `iat`, in milliseconds of Unix time.
    pub issued_ms: u64,
    /// Claim `nbf`, in milliseconds of Unix time. `None` if it is absent.
    pub(super) begins_ms: Option<u64>,
    /// Claim `exp`, in milliseconds of Unix time. `None` if it is absent.
    pub(super) ends_ms: Option<u64>,
}

impl<'p> Proof<'p> {
    /// Parses a proof. `algorithms` are the allowed signature algorithms.
    ///
    /// # Errors
    /// The reason of the first check that the proof fails.
    pub fn read(proof: &'p [u8], algorithms: &[Algorithm]) -> Result<Self, Reason> {
        let token = parse(proof, BYTES_MAX).map_err(|reason| match reason {
            jwt::Reason::TooLarge => Reason::TooLarge,
            jwt::Reason::Algorithm => Reason::Algorithm,
            jwt::Reason::Type => Reason::Type,
            _ => Reason::Malformed,
        })?;
        let typ = token.header.get("typ").and_then(Json::as_text);
        if typ.is_none_or(|typ| media_type(typ) != TYPE) {
            return Err(Reason::Type);
        }
        if !algorithms.contains(&token.algorithm) {
            return Err(Reason::Algorithm);
        }
        let key = key(&token.header, token.algorithm)?;
        let time = |claim| {
            let time = token.claims.get(claim).map(milliseconds);
            time.transpose().map_err(|_| Reason::Malformed)
        };
        let issued_ms = time("iat")?.ok_or(Reason::Malformed)?;
        let (begins_ms, ends_ms) = (time("nbf")?, time("exp")?);
        let proof = Self {
            token,
            key,
            issued_ms,
            begins_ms,
            ends_ms,
        };
        let id = proof.text("jti")?;
        if id.is_empty() || id.len() > ID_MAX {
            return Err(Reason::Malformed);
        }
        Ok(proof)
    }

    /// Value of a string claim that every proof must have.
    ///
    /// # Errors
    /// [`Reason::Malformed`] if the claim is absent or not a string.
    pub fn text(&self, claim: &str) -> Result<&str, Reason> {
        let text = self.token.claims.get(claim).and_then(Json::as_text);
        text.ok_or(Reason::Malformed)
    }

    /// Claim `nonce`. `None` if it is absent or not a string.
    pub(super) fn nonce(&self) -> Option<&str> {
        self.token.claims.get("nonce").and_then(Json::as_text)
    }

    /// True if the signature of the proof was made with the key in the proof.
    ///
    /// # Errors
    /// [`Halt`] that requests the check on another thread, if `answers` does not have its result.
    pub(super) fn is_signed(&self, answers: &Answers) -> Result<bool, Halt> {
        jwt::verify::is_signed_by(&self.token, &self.key, answers)
    }

    /// Hash of the key's thumbprint and `jti`, under which the proof is stored as used.
    pub(super) fn hash(&self, thumbprint: &[u8; 32]) -> [u8; 16] {
        let id = self.text("jti").unwrap_or_default();
        let hash = Sha256::new_with_prefix(thumbprint).chain_update(id);
        let mut short = [0; 16];
        short.copy_from_slice(&hash.finalize()[..16]);
        short
    }
}

/// Public key in a proof's header (`jwk`). Refuses shared secrets, and keys with private members.
fn key(header: &Object, algorithm: Algorithm) -> Result<PublicKey, Reason> {
    let Some(Json::Object(written)) = header.get("jwk") else {
        return Err(Reason::Key);
    };
    if jwk::is_for_encryption(written) {
        return Err(Reason::Key);
    }
    let key = jwk::key(written).map_err(|_| Reason::Key)?;
    key.fits(algorithm).then_some(key).ok_or(Reason::Key)
}
