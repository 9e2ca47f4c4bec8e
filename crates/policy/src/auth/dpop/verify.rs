//! Verification of a token with its proof, in the order of the table in [`super`].

use std::sync::{Arc, LazyLock};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};

use super::nonce::{Age, Nonces};
use super::proof::Proof;
use super::{Checked, Reason, SCHEME};
use crate::auth::binding;
use crate::auth::jwt::verify::Halt;
use crate::auth::jwt::{Identity, Verification};
use crate::auth::replays::Life;
use crate::auth::token::{TokenRequest, TokenVerifier};
use crate::secret::{Form, SecretCell, SecretUnavailable, Secrets};
use crate::store::Store;

/// Field `DPoP` with the proof.
static DPOP: HeaderName = HeaderName::from_static(SCHEME);

/// Maximum time that a client's clock may be ahead, in milliseconds. Also the leeway of `exp`.
const AHEAD_MS: u64 = 60_000;

/// Minimum length of the secret of nonces, in bytes.
const SECRET_BYTES_MIN: usize = 32;

/// Verifier of tokens and their proofs at run time.
#[derive(Debug)]
pub struct Verifier {
    settings: Checked,
    token: Arc<TokenVerifier>,
    nonce_secret: Option<Arc<SecretCell>>,
    store: Option<Arc<Store>>,
    #[cfg(feature = "author")]
    takes_witnesses: bool,
}

/// Valid proof, to be stored so that it is not accepted again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidProof {
    /// Hash of the key's thumbprint and the proof's `jti`.
    pub proof: [u8; 16],
    /// Validity of the proof.
    pub life: Life,
    /// Thumbprint of the client's key.
    pub key: [u8; 32],
    /// True if the nonce in the proof is about to expire and the client should get a new one.
    pub needs_nonce: bool,
}

impl Checked {
    /// Builds the run-time verifier. `token` verifies the token.
    ///
    /// # Errors
    /// The secret of nonces cannot be resolved.
    pub fn verifier(
        &self,
        token: Arc<TokenVerifier>,
        secrets: &dyn Secrets,
    ) -> Result<Verifier, SecretUnavailable> {
        let form = Form::SharedSecret {
            bytes_min: SECRET_BYTES_MIN,
        };
        let secret = self.nonce_secret.as_ref();
        Ok(Verifier {
            nonce_secret: secret
                .map(|secret| secrets.cell(secret, form))
                .transpose()?,
            store: self
                .store
                .as_ref()
                .map(|store| store.store(secrets))
                .transpose()?,
            settings: self.clone(),
            token,
            #[cfg(feature = "author")]
            takes_witnesses: secrets.takes_witnesses(),
        })
    }
}

impl Verifier {
    /// Store of used proofs. `None`: each gateway has its own table.
    pub(in crate::auth) fn store(&self) -> Option<&Arc<Store>> {
        self.store.as_ref()
    }

    /// Verifier of the token.
    #[must_use]
    pub fn token(&self) -> &Arc<TokenVerifier> {
        &self.token
    }

    /// Creates a nonce for the client's next proof. `None` if the verifier requires no nonces.
    #[must_use]
    pub fn fresh_nonce(&self, unix_s: u64) -> Option<HeaderValue> {
        let needs = self.settings.needs_nonce();
        let nonce = needs.then(|| self.with_nonces(|nonces| nonces.make(unix_s)))?;
        HeaderValue::try_from(nonce).ok()
    }

    fn with_nonces<T>(&self, run: impl FnOnce(&Nonces) -> T) -> T {
        /// Nonces with a random secret of the process. A static, so that these nonces stay valid
        /// after a new bundle.
        static OWN: LazyLock<Nonces> = LazyLock::new(|| {
            let mut secret = [0; 32];
            let random = SystemRandom::new().fill(&mut secret);
            random.expect("the system has random numbers");
            Nonces::new(&secret)
        });
        match &self.nonce_secret {
            Some(cell) => run(&Nonces::new(&cell.value())),
            None => run(&OWN),
        }
    }

    /// Verifies a token and the proof in the request.
    pub(in crate::auth) fn verify(&self, token: &[u8], request: &TokenRequest<'_>) -> Verification {
        #[cfg(feature = "author")]
        if self.takes_witnesses
            && let Some(shown) = super::witness::Shown::of(request.head)
        {
            let proved = shown.check(&self.settings);
            return match proved {
                Ok(key) => self.bound(token, request, &key, |_| Ok(None)),
                Err(reason) => Verification::Unproved(reason),
            };
        }
        let proof = match self.read(token, request) {
            Ok(proof) => proof,
            Err(reason) => return Verification::Unproved(reason),
        };
        let key = proof.key.material.thumbprint_sha256();
        self.bound(token, request, &key, |_| {
            let needs_nonce = self.check_signed(&proof, request)?;
            let lasts_ms = proof.issued_ms.saturating_add(self.settings.window_ms);
            Ok(Some(ValidProof {
                proof: proof.hash(&key),
                life: Life {
                    created_s: proof.issued_ms / 1_000,
                    ends_s: lasts_ms.div_ceil(1_000).saturating_add(1),
                    expires_s: u64::MAX,
                },
                key,
                needs_nonce,
            }))
        })
    }

    /// Verifies the token and checks that the token is bound to `key`. Then calls `rest`, which
    /// checks the remaining parts of the proof.
    fn bound(
        &self,
        token: &[u8],
        request: &TokenRequest<'_>,
        key: &[u8; 32],
        rest: impl FnOnce(&Identity) -> Result<Option<ValidProof>, Box<Verification>>,
    ) -> Verification {
        let identity = match self.token.verify_unbound(token, request) {
            Verification::Valid(identity) => identity,
            other => return other,
        };
        let bound = identity.bound.as_ref();
        if bound.and_then(|bound| bound.key.as_ref()) != Some(key) {
            return Verification::Unproved(Reason::TokenBinding);
        }
        if let Err(reason) = binding::check(self.token.binding(), bound, Some(key), request) {
            return Verification::Fault(reason);
        }
        match rest(&identity) {
            Ok(Some(proved)) => Verification::ValidProof(identity, proved),
            Ok(None) => Verification::Valid(identity),
            Err(other) => *other,
        }
    }

    /// Parses the proof of a request, and compares its claims with the request and the token.
    fn read<'r>(&self, token: &[u8], request: &TokenRequest<'r>) -> Result<Proof<'r>, Reason> {
        let mut all = request.head.headers.get_all(&DPOP).iter();
        let proof = match (all.next(), all.next()) {
            (None, _) => return Err(Reason::Absent),
            (Some(_), Some(_)) => return Err(Reason::Several),
            (Some(proof), None) => proof,
        };
        let proof = Proof::read(proof.as_bytes(), self.settings.algorithms())?;
        if proof.text("htm")? != request.head.method.as_str() {
            return Err(Reason::Method);
        }
        let (url, seen) = (proof.text("htu")?, (request.url)());
        if !seen.is_some_and(|seen| seen.is(url, request.normalise)) {
            return Err(Reason::Url);
        }
        let (now_ms, window_ms) = (
            request.unix_s.saturating_mul(1_000),
            self.settings.window_ms,
        );
        let latest_ms = now_ms.saturating_add(AHEAD_MS);
        let is_old = now_ms > proof.issued_ms.saturating_add(window_ms);
        let has_ended = |ends_ms: u64| now_ms >= ends_ms.saturating_add(AHEAD_MS);
        let is_early = proof.begins_ms.is_some_and(|begins| begins > latest_ms);
        if is_old || proof.issued_ms > latest_ms || is_early || proof.ends_ms.is_some_and(has_ended)
        {
            return Err(Reason::Age);
        }
        let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(token));
        match proof.text("ath")? == hash {
            true => Ok(proof),
            false => Err(Reason::TokenHash),
        }
    }

    /// Verifies the signature and the nonce of a proof. Returns true if the client should get a new
    /// nonce.
    ///
    /// # Errors
    /// The proof is refused, or its signature must be verified on another thread.
    fn check_signed(
        &self,
        proof: &Proof<'_>,
        request: &TokenRequest<'_>,
    ) -> Result<bool, Box<Verification>> {
        let refused = |reason| Box::new(Verification::Unproved(reason));
        match proof.is_signed(request.answers) {
            Ok(true) => {}
            Ok(false) => return Err(refused(Reason::Signature)),
            Err(Halt::Ask(effect)) => return Err(Box::new(Verification::Ask(effect))),
            Err(Halt::Fault(_)) => return Err(refused(Reason::Unverified)),
        }
        if !self.settings.needs_nonce() {
            return Ok(false);
        }
        match self.nonce_age(proof, request)? {
            Age::Fresh => Ok(false),
            Age::Ageing => Ok(true),
            Age::Invalid => Err(refused(Reason::Nonce)),
        }
    }

    /// Age of the nonce in a proof.
    ///
    /// # Errors
    ///
    /// In gwc: the effect that checks whether the gateway made the nonce. Only gwd has the secret.
    fn nonce_age(
        &self,
        proof: &Proof<'_>,
        request: &TokenRequest<'_>,
    ) -> Result<Age, Box<Verification>> {
        let Some(nonce) = proof.nonce() else {
            return Ok(Age::Invalid);
        };
        let lifetime_s = self.settings.window_ms.div_ceil(1_000);
        #[cfg(feature = "author")]
        if let Some(question) = self
            .settings
            .secret_question()
            .filter(|_| self.takes_witnesses)
        {
            let stated = super::nonce::stated_age(nonce, request.unix_s, lifetime_s);
            // A nonce that is too old, or malformed, is invalid with every secret.
            if stated == Age::Invalid {
                return Ok(Age::Invalid);
            }
            let is_own = request.answers.assumed_check(question);
            let is_own = is_own.map_err(|effect| Box::new(Verification::Ask(effect)))?;
            return Ok(if is_own { stated } else { Age::Invalid });
        }
        Ok(self.with_nonces(|nonces| nonces.verify(nonce, request.unix_s, lifetime_s)))
    }
}
