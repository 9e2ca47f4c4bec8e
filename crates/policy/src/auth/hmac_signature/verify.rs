//! Verification of a signature, in the order of the table in [`super`].

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use sha2::{Digest as _, Sha256};

use super::base::Message;
use super::claim::Claim;
use super::content::Content;
use super::{Algorithm, Checked, FIELD, Reason, Style, aliyun, tencent};
use crate::auth::jwt::json::{Json, Object};
use crate::auth::jwt::{Identity, Verification};
use crate::auth::replays::Life;
use crate::auth::token::TokenRequest;
use crate::secret::{Form, SecretCell, SecretUnavailable, Secrets};
use crate::store::Store;

/// Maximum time that a client's clock may be ahead, in milliseconds.
const AHEAD_MS: u64 = 60_000;

/// Maximum length of a nonce, in bytes.
const NONCE_MAX: usize = 512;

/// Issuer in the identities of callers with signatures. No token has this issuer, because the
/// issuer of a token is a URL.
const ISSUER: &str = "hmac_signature";

/// Verifier of signatures at run time.
pub struct Verifier {
    settings: Checked,
    keys: BTreeMap<String, Key>,
    /// Random key for signatures by unknown key ids, so that their check takes as long as that of a
    /// known key id.
    decoy: hmac::Key,
    store: Option<Arc<Store>>,
    #[cfg(feature = "author")]
    takes_witnesses: bool,
}

/// Secret of a key id, and the identity of its caller.
struct Key {
    secret: Arc<SecretCell>,
    identity: Arc<Identity>,
}

/// Signature that has passed all checks, but whose MAC is not verified yet.
struct Unverified<'v> {
    claim: Claim,
    key: &'v Key,
    algorithm: Algorithm,
    /// Data of the signature if its MAC is right.
    signed: Signed,
}

/// Data of a valid signature that the rest of the exchange needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Nonce of the signature, to be stored so that it is not accepted again. `None` for a
    /// signature without a nonce.
    pub used: Option<Used>,
    /// Content that the signature allows. `None`: any content.
    pub content: Option<Content>,
}

/// Nonce of a verified signature, which must not be accepted again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// Hash of key id and nonce.
    pub hash: [u8; 16],
    /// Validity of the signature.
    pub life: Life,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Checked {
    /// Builds the run-time verifier.
    ///
    /// # Errors
    /// A secret cannot be resolved.
    pub fn verifier(&self, secrets: &dyn Secrets) -> Result<Verifier, SecretUnavailable> {
        let bytes_min = self.algorithms.iter().map(|one| one.secret_bytes_min());
        let form = Form::SharedSecret {
            bytes_min: bytes_min.max().unwrap_or(0),
        };
        let keys = self.secrets.iter().map(|(id, secret)| {
            let key = Key {
                secret: secrets.cell(secret, form)?,
                identity: Arc::new(identity(id)),
            };
            Ok((id.clone(), key))
        });
        let mut random = [0; 32];
        let filled = SystemRandom::new().fill(&mut random);
        filled.expect("the system has random numbers");
        Ok(Verifier {
            keys: keys.collect::<Result<_, SecretUnavailable>>()?,
            decoy: hmac::Key::new(hmac::HMAC_SHA256, &random),
            store: self
                .store
                .as_ref()
                .map(|store| store.store(secrets))
                .transpose()?,
            settings: self.clone(),
            #[cfg(feature = "author")]
            takes_witnesses: secrets.takes_witnesses(),
        })
    }
}

/// Identity of the caller with this key id. The key id is also the name of its consumer.
fn identity(key_id: &str) -> Identity {
    let claims = vec![("sub".into(), Json::Text(key_id.into()))];
    // The prefix of NUL and `h` distinguishes these keys from consumer names and from the keys of
    // other kinds of verifiers.
    let key = [b"\0h", key_id.as_bytes()].concat();
    let sha256 = Sha256::new_with_prefix(b"hmac_signature\0").chain_update(key_id);
    let mut identity = Identity::of_claims(
        Object::new(claims),
        Some(key_id),
        key.into(),
        u64::MAX,
        sha256.finalize().into(),
    );
    identity.issuer = ISSUER.into();
    identity.consumer = Some(key_id.into());
    identity
}

impl Verifier {
    /// Store of used nonces. `None`: each gateway has its own table.
    pub(in crate::auth) fn store(&self) -> Option<&Arc<Store>> {
        self.store.as_ref()
    }

    #[cfg(test)]
    pub(super) fn style(&self) -> Style {
        self.settings.style
    }

    /// Verifies the signature of a request.
    pub(in crate::auth) fn verify(
        &self,
        credential: &[u8],
        request: &TokenRequest<'_>,
    ) -> Verification {
        #[cfg(feature = "author")]
        if self.takes_witnesses {
            return self.verify_by_assumption(credential, request);
        }
        match self.check(credential, request) {
            Ok((identity, signed)) => Verification::Signed(identity, signed),
            Err(reason) => Verification::Unsigned(reason),
        }
    }

    fn check(
        &self,
        credential: &[u8],
        request: &TokenRequest<'_>,
    ) -> Result<(Arc<Identity>, Signed), Reason> {
        let unverified = self.unverified(credential, request)?;
        let secret = unverified.key.secret.value();
        let mac = hmac::Key::new(unverified.algorithm.hmac(), &secret);
        match hmac::verify(&mac, &unverified.claim.text, &unverified.claim.mac) {
            Ok(()) => Ok((Arc::clone(&unverified.key.identity), unverified.signed)),
            Err(_) => Err(Reason::Signature),
        }
    }

    /// Verifies a signature in gwc, which has no secrets: the result of the MAC check is assumed.
    /// The other checks come first, because their results do not depend on the secret.
    #[cfg(feature = "author")]
    fn verify_by_assumption(&self, credential: &[u8], request: &TokenRequest<'_>) -> Verification {
        if let Some(shown) = super::witness::Shown::of(credential) {
            let key_id = shown.check(&self.settings);
            let key = key_id.and_then(|id| self.keys.get(id).ok_or(Reason::Key));
            let signed = Signed {
                used: None,
                content: None,
            };
            return match key {
                Ok(key) => Verification::Signed(Arc::clone(&key.identity), signed),
                Err(reason) => Verification::Unsigned(reason),
            };
        }
        let unverified = match self.unverified(credential, request) {
            Ok(unverified) => unverified,
            Err(reason) => return Verification::Unsigned(reason),
        };
        // No secret gives a MAC of another length.
        let fits = unverified.claim.mac.len() == unverified.algorithm.secret_bytes_min();
        let question = self.settings.secret_question();
        match fits.then(|| request.answers.assumed_check(question)) {
            Some(Ok(true)) => {
                Verification::Signed(Arc::clone(&unverified.key.identity), unverified.signed)
            }
            Some(Ok(false)) | None => Verification::Unsigned(Reason::Signature),
            Some(Err(effect)) => Verification::Ask(effect),
        }
    }

    /// Makes all checks of a signature except that of its MAC.
    fn unverified(
        &self,
        credential: &[u8],
        request: &TokenRequest<'_>,
    ) -> Result<Unverified<'_>, Reason> {
        let head = request.head;
        let message = Message::new(head, request.received, (request.url)());
        let claim = match self.settings.style {
            Style::Rfc9421 => message.claim(|id| self.keys.contains_key(id)),
            Style::Aliyun => aliyun::read(&message),
            Style::Tencent => tencent::read(&message, credential),
        };
        let found = claim.and_then(|claim| match self.keys.get(&claim.key_id) {
            Some(key) => Ok((claim, key)),
            None => Err(Reason::Key),
        });
        let (claim, key) = found.inspect_err(|reason| {
            if *reason == Reason::Key {
                let _ = hmac::verify(&self.decoy, FIELD.as_bytes(), &[0; 32]);
            }
        })?;
        let algorithm = self.algorithm(&claim)?;
        let ends_s = self.check_age(&claim, request.unix_s)?;
        let nonce = claim.nonce.as_deref();
        let is_nonce = |nonce: &str| !nonce.is_empty() && nonce.len() <= NONCE_MAX;
        if nonce.map_or(self.settings.nonce, |nonce| !is_nonce(nonce)) {
            return Err(Reason::Nonce);
        }
        let covers = |wanted: &String| claim.covered.contains(wanted);
        if !self.settings.components.iter().all(covers) {
            return Err(Reason::Components);
        }
        let empty = self.settings.content_digest.then_some(Content::Empty);
        let content = claim.content.or(empty);
        let used = nonce.map(|nonce| Used {
            hash: hash(&claim.key_id, nonce),
            life: Life {
                created_s: claim.created_ms / 1_000,
                ends_s,
                expires_s: claim.expires_s.unwrap_or(u64::MAX),
            },
        });
        Ok(Unverified {
            signed: Signed { used, content },
            claim,
            key,
            algorithm,
        })
    }

    /// Algorithm of a signature: the algorithm named in the signature, otherwise the only allowed
    /// one.
    fn algorithm(&self, claim: &Claim) -> Result<Algorithm, Reason> {
        let allowed = &self.settings.algorithms;
        let named = match (claim.algorithm, allowed.as_slice()) {
            (Some(named), _) => Some(named),
            (None, [only]) => Some(*only),
            (None, _) => None,
        };
        named
            .filter(|one| allowed.contains(one))
            .ok_or(Reason::Algorithm)
    }

    /// Checks the creation and expiry times of a signature. Returns the time from which the
    /// signature is too old (Unix time, seconds).
    fn check_age(&self, claim: &Claim, now_s: u64) -> Result<u64, Reason> {
        let expires_s = claim.expires_s.unwrap_or(u64::MAX);
        let now_ms = now_s.saturating_mul(1_000);
        let ends_ms = claim.created_ms.saturating_add(self.settings.window_ms);
        let is_old = now_ms > ends_ms || now_s >= expires_s;
        // Compare whole seconds, because the gateway's clock has no fractions.
        let is_ahead = claim.created_ms / 1_000 * 1_000 > now_ms.saturating_add(AHEAD_MS);
        if is_old || is_ahead {
            return Err(Reason::Age);
        }
        Ok(ends_ms.div_ceil(1_000).saturating_add(1).min(expires_s))
    }
}

impl Algorithm {
    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::HmacSha256 => hmac::HMAC_SHA256,
            Self::HmacSha512 => hmac::HMAC_SHA512,
        }
    }
}

/// Hash under which a used nonce is stored. The hash input includes the length of the key id, so
/// that different pairs of key id and nonce never give the same input.
fn hash(key_id: &str, nonce: &str) -> [u8; 16] {
    let hash = Sha256::new_with_prefix((key_id.len() as u64).to_le_bytes());
    let hash = hash.chain_update(key_id).chain_update(nonce).finalize();
    let mut short = [0; 16];
    short.copy_from_slice(&hash[..16]);
    short
}
