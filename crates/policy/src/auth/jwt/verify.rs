//! Verification of tokens (RFC 7519 §7.2, RFC 8725, RFC 9068 §4).
//!
//! | Check | Section | Reason |
//! |---|---|---|
//! | size, format, no duplicate members | RFC 7515 §5.2, RFC 7519 §4 | `too_large`, `malformed` |
//! | `crit`, `b64` | RFC 7515 §4.1.11, RFC 7797 | `critical` |
//! | `iss` | RFC 8725 §3.8 | `issuer` |
//! | `alg` is allowed | RFC 8725 §3.1 | `algorithm` |
//! | `typ`, `cty` | RFC 8725 §3.11, RFC 9068 §4 | `type` |
//! | key by `kid` and `alg` | RFC 7515 §6, RFC 8725 §3.1 | `key` |
//! | signature | RFC 7515 §5.2 | `signature` |
//! | `aud` | RFC 8725 §3.9 | `audience` |
//! | `exp`, `nbf`, `iat`, lifetime | RFC 7519 §4.1 | `expired`, `not_yet_valid`, `lifetime` |
//! | required claims | RFC 8725 §3.10 | `claims` |
//! | `cnf` demands only proofs that the gateway supports | RFC 7800 §3 | `binding` |
//!
//! `policy::auth::binding` checks that each request contains the proof that `cnf` demands.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::TokenCache;
use super::identity::{Identity, key, single};
use super::json::{Json, Object};
use super::keys::PublicKey;
use super::numeric_date::milliseconds;
use super::signature::{Key, check_once_elsewhere, is_secret_signature, is_signed_once, key_of};
use super::token::{Token, parse};
use super::{Checked, KeySource, STALE_FOR_MS, jwk};
#[cfg(feature = "author")]
use crate::ask::Answer;
use crate::ask::{Answers, AskId, CheckResult, Effect};
use crate::auth::binding::{Binding, Confirmation};
use crate::auth::dpop::{self, ValidProof};
use crate::auth::hmac_signature::{self, Signed};
use crate::auth::oidc;
use crate::auth::reasons::reasons;
use crate::key_cell::{self, KeyCell, KeySet};
use crate::secret::{Form, SecretCell, SecretUnavailable, Secrets};
use crate::signature::Check;

/// Maximum length of a name in a token (`sub`, client, consumer), in bytes.
const NAME_MAX: usize = 1024;

reasons! {
    /// Reason why a token is refused, for logs and metrics. Clients do not see the reason.
    "token_"
    /// The token is longer than `token_bytes`.
    TooLarge "too_large";
    /// The token is not a signed token in compact serialization.
    Malformed "malformed";
    /// The algorithm is not allowed.
    Algorithm "algorithm";
    /// The token requires an extension (`crit`), which is not supported.
    Critical "critical";
    /// The type (`typ`) of the token is not allowed, or the token is nested.
    Type "type";
    /// The token is from another issuer.
    Issuer "issuer";
    /// No key matches the key id and algorithm.
    Key "key";
    /// The signature is invalid.
    Signature "signature";
    /// The token is for another audience.
    Audience "audience";
    /// The token has expired.
    Expired "expired";
    /// The token is not yet valid, or was issued in the future.
    NotYetValid "not_yet_valid";
    /// The lifetime exceeds `max_lifetime`.
    Lifetime "lifetime";
    /// A claim is absent or malformed.
    Claims "claims";
    /// No usable keys: no fetch was successful, or the keys are older than `stale_for`.
    Keys "keys_unavailable";
    /// The signature could not be verified: too many signatures wait for their verification.
    Unverified "signature_unverified";
    /// The request does not prove that it has the certificate or key to which the token is bound.
    /// Or the token lacks the required binding.
    Binding "binding";
    /// The token was revoked.
    Revoked "revoked";
    /// The introspection endpoint reports that the token is not active.
    Inactive "inactive";
    /// The introspection endpoint did not answer.
    Introspection "introspection_unavailable";
    /// The answer of the introspection endpoint cannot be used.
    Unusable "introspection_unusable";
}

/// Verifier of the tokens of one issuer.
pub struct Verifier {
    settings: Checked,
    /// Hash of the settings: verifiers with equal settings share cached tokens.
    id: [u8; 32],
    keys: Keys,
    #[cfg(feature = "author")]
    takes_witnesses: bool,
}

enum Keys {
    Set(Box<[Key]>),
    Secret(Arc<SecretCell>),
    Cell(Arc<KeyCell>),
}

/// Method by which the signature of a token is verified.
#[derive(Clone, Copy)]
pub(in crate::auth) enum Signature<'a> {
    /// The signature is verified at once, also with an expensive key.
    Checked,
    /// Signatures whose verification is slow are verified on a thread for computations. Contains
    /// the results that have arrived from that thread.
    ByAnswer(&'a Answers),
    /// The signature is assumed to be valid. For `gwc route`, which has no keys.
    #[cfg(feature = "author")]
    Assumed,
}

/// Reason why a verification has no identity as its result.
#[derive(Debug)]
pub(in crate::auth) enum Halt {
    /// The token is refused.
    Fault(Reason),
    /// The verifier first needs the result of this action.
    Ask(Box<Effect>),
}

/// Result of verifying a token.
#[derive(Debug)]
pub enum Verification {
    /// The token is valid.
    Valid(Arc<Identity>),
    /// The token is refused.
    Fault(Reason),
    /// The verifier first needs the result of this action, such as a fetch of the keys.
    Ask(Box<Effect>),
    /// Token and proof of possession are valid. The caller must check that the proof is used for
    /// the first time.
    ValidProof(Arc<Identity>, ValidProof),
    /// The proof of possession is refused.
    Unproved(dpop::Reason),
    /// The signature of the request is valid.
    Signed(Arc<Identity>, Signed),
    /// The signature of the request is refused.
    Unsigned(hmac_signature::Reason),
    /// The session of the browser is valid.
    Session(Arc<Identity>, Box<oidc::RequestSession>),
    /// The session of the browser is refused.
    NoSession(oidc::Reason),
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
    /// The shared secret cannot be resolved.
    pub fn verifier(&self, secrets: &dyn Secrets) -> Result<Verifier, SecretUnavailable> {
        let keys = match &self.keys {
            KeySource::Set(keys) => Keys::Set(keys.iter().map(Key::of).collect()),
            KeySource::Secret(reference) => {
                let bytes_min = self.algorithms.iter().map(|one| one.secret_bytes_min());
                let bytes_min = bytes_min.max().unwrap_or(0);
                Keys::Secret(secrets.cell(reference, Form::SharedSecret { bytes_min })?)
            }
            KeySource::Url(_) | KeySource::Discovered => {
                let remote = self.remote().expect("fetched keys have a remote source");
                Keys::Cell(secrets.keys(&remote, read_keys))
            }
        };
        Ok(Verifier {
            settings: self.clone(),
            id: Sha256::digest(minicbor::to_vec(self).unwrap_or_default()).into(),
            keys,
            #[cfg(feature = "author")]
            takes_witnesses: secrets.takes_witnesses(),
        })
    }
}

impl Verifier {
    /// Handling of tokens bound to the client's certificate. `None`: such tokens are refused.
    pub(in crate::auth) fn binding(&self) -> Option<Binding> {
        self.settings.binding
    }

    /// Expected issuer of the tokens.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// Verifies a token at the time `unix_s` (Unix time, seconds), with a cache of verified tokens.
    /// The caller must check the binding to the client's certificate or key.
    ///
    /// # Errors
    /// [`Halt::Fault`] with the reason of the first check that the token fails. [`Halt::Ask`] if
    /// the signature must be verified on another thread.
    pub(in crate::auth) fn verify_with(
        &self,
        token: &[u8],
        unix_s: u64,
        cache: Option<&TokenCache>,
        signature: Signature<'_>,
    ) -> Result<Arc<Identity>, Halt> {
        let generation = match &self.keys {
            Keys::Set(_) => Some([0; 32]),
            Keys::Secret(_) => None,
            Keys::Cell(cell) => self.usable(cell, unix_s).map(|set| set.generation),
        };
        let cache = cache.filter(|_| token.len() as u64 <= self.settings.token_bytes);
        let (Some(cache), Some(generation)) = (cache, generation) else {
            return self.check(token, unix_s, signature).map(Arc::new);
        };
        let key = Sha256::new_with_prefix(self.id).chain_update(generation);
        let key = key.chain_update(token).finalize().into();
        if let Some(known) = cache.get(&key, unix_s) {
            return Ok(known);
        }
        if cache.is_refused(&key, unix_s) {
            return Err(Halt::Fault(Reason::Signature));
        }
        let verified = self.check(token, unix_s, signature).map(Arc::new);
        if let Err(Halt::Fault(Reason::Signature)) = verified {
            cache.refuse(key, unix_s);
        }
        let identity = verified?;
        cache.keep_repeated(key, &identity, identity.bytes(), unix_s..identity.ends_s);
        Ok(identity)
    }

    /// Verifies a token like [`Self::verify_with`], and its signature at once.
    #[cfg(test)]
    pub(in crate::auth) fn verify_now(
        &self,
        token: &[u8],
        unix_s: u64,
        cache: Option<&TokenCache>,
    ) -> Result<Arc<Identity>, Reason> {
        let verified = self.verify_with(token, unix_s, cache, Signature::Checked);
        verified.map_err(Halt::fault)
    }

    /// Verifies a token like [`Self::verify_with`]. Returns [`Verification::Ask`] if the keys must
    /// be fetched because the token's key is unknown, or if the signature must be verified on
    /// another thread.
    #[must_use]
    pub(in crate::auth) fn verify_or_ask(
        &self,
        token: &[u8],
        unix_s: u64,
        cache: Option<&TokenCache>,
        answers: &Answers,
    ) -> Verification {
        #[cfg(feature = "author")]
        if self.takes_witnesses && matches!(self.keys, Keys::Secret(_)) {
            return self.verify_by_assumption(token, unix_s, answers);
        }
        let signature = Signature::ByAnswer(answers);
        let fault = match self.verify_with(token, unix_s, cache, signature) {
            Ok(identity) => return Verification::Valid(identity),
            Err(Halt::Ask(effect)) => return Verification::Ask(effect),
            Err(Halt::Fault(fault)) => fault,
        };
        let (Keys::Cell(cell), Reason::Key | Reason::Keys) = (&self.keys, fault) else {
            return Verification::Fault(fault);
        };
        match answers.get(&AskId::of_keys(cell)) {
            #[cfg(feature = "author")]
            Some(Answer::Http(assumed)) if self.takes_witnesses => {
                match assumed.status.is_success() {
                    true => match self.check(token, unix_s, Signature::Assumed) {
                        Ok(identity) => Verification::Valid(Arc::new(identity)),
                        Err(halt) => Verification::Fault(halt.fault()),
                    },
                    false => Verification::Fault(Reason::Signature),
                }
            }
            None if self.may_fetch(cell, fault, (token, unix_s)) => {
                Verification::Ask(Box::new(Effect::Keys(Arc::clone(cell))))
            }
            Some(_) | None => Verification::Fault(fault),
        }
    }

    /// Verifies a token in gwc, which has no shared secret: the result of the signature check is
    /// assumed. The other checks come first, because their results do not depend on the secret.
    #[cfg(feature = "author")]
    fn verify_by_assumption(&self, token: &[u8], unix_s: u64, answers: &Answers) -> Verification {
        let identity = match self.check(token, unix_s, Signature::Assumed) {
            Ok(identity) => identity,
            Err(halt) => return Verification::Fault(halt.fault()),
        };
        let signed = parse(token, self.settings.token_bytes);
        let is = |test: &dyn Fn(&Token<'_>) -> bool| signed.as_ref().is_ok_and(test);
        let fits = |one: &Token<'_>| one.signature.len() == one.algorithm.secret_bytes_min();
        let is_genuine = match self.settings.secret_question() {
            _ if is(&|one| self.is_witness(one)) => Ok(true),
            Some(id) if is(&fits) => answers.assumed_check(id),
            // No secret gives a signature of another length.
            _ => Ok(false),
        };
        match is_genuine {
            Ok(true) => Verification::Valid(Arc::new(identity)),
            Ok(false) => Verification::Fault(Reason::Signature),
            Err(effect) => Verification::Ask(effect),
        }
    }

    /// Verifies a signed answer about a token with the known keys, and returns its claims. `exp`
    /// and `nbf` need not be present (RFC 7519 §4.1).
    ///
    /// # Errors
    /// The reason of the first check that the answer fails.
    pub(in crate::auth) fn verified_answer(
        &self,
        answer: &[u8],
        unix_s: u64,
    ) -> Result<Object, Reason> {
        let claims = self.answer_claims(answer, unix_s, Signature::Checked);
        claims.map_err(Halt::fault)
    }

    /// True if the signature of a signed answer is verified with an expensive key.
    pub(in crate::auth) fn is_costly_answer(&self, answer: &[u8], unix_s: u64) -> bool {
        let answer = parse(answer, self.settings.token_bytes);
        answer.is_ok_and(|answer| {
            self.with_key(&answer, unix_s, Key::is_costly)
                .is_ok_and(|is_costly| is_costly == Some(true))
        })
    }

    fn answer_claims(
        &self,
        answer: &[u8],
        unix_s: u64,
        signature: Signature<'_>,
    ) -> Result<Object, Halt> {
        let answer = parse(answer, self.settings.token_bytes)?;
        self.check_origin(&answer, unix_s, signature)?;
        let (now_ms, leeway_ms) = (unix_s.saturating_mul(1000), self.settings.leeway_ms);
        let time = |name| answer.claims.get(name).map(milliseconds).transpose();
        if time("exp")?.is_some_and(|ends| now_ms >= ends + leeway_ms) {
            return Err(Halt::Fault(Reason::Expired));
        }
        if time("nbf")?.is_some_and(|begins| begins > now_ms + leeway_ms) {
            return Err(Halt::Fault(Reason::NotYetValid));
        }
        Ok(answer.claims)
    }

    /// Verifies a signed answer like [`Self::verified_answer`], with the keys that have been
    /// fetched and the signature checks that other threads have made.
    ///
    /// # Errors
    /// The reason of the first check that the answer fails. [`Verification::Ask`] if the answer's
    /// key is unknown and the keys must be fetched. Also [`Verification::Ask`] if another thread
    /// must check the signature, because the key is expensive.
    pub(in crate::auth) fn verify_response(
        &self,
        answer: &[u8],
        unix_s: u64,
        answers: &Answers,
    ) -> Result<Object, Box<Verification>> {
        let checked = self.answer_claims(answer, unix_s, Signature::ByAnswer(answers));
        checked.map_err(|halt| {
            Box::new(match (&self.keys, halt) {
                (_, Halt::Ask(effect)) => Verification::Ask(effect),
                (Keys::Cell(cell), Halt::Fault(fault @ (Reason::Key | Reason::Keys)))
                    if answers.get(&AskId::of_keys(cell)).is_none()
                        && self.may_fetch(cell, fault, (answer, unix_s)) =>
                {
                    Verification::Ask(Box::new(Effect::Keys(Arc::clone(cell))))
                }
                (_, Halt::Fault(fault)) => Verification::Fault(fault),
            })
        })
    }

    /// True if a token may cause a fetch now, because its key is unknown ([`Reason::Key`]) or
    /// because there are no usable keys ([`Reason::Keys`]).
    fn may_fetch(&self, cell: &KeyCell, fault: Reason, (token, unix_s): (&[u8], u64)) -> bool {
        if fault == Reason::Keys {
            return cell.may_replace(unix_s);
        }
        if !cell.may_fetch(unix_s) {
            return false;
        }
        let token = parse(token, self.settings.token_bytes).ok();
        let id = token.and_then(|token| token.kid).unwrap_or_default();
        cell.may_fetch_key(id.as_bytes(), unix_s)
    }

    /// Keys that gwd fetches for the verifier, with the state of the fetches. `None` if gwd does
    /// not fetch the keys.
    #[must_use]
    pub fn key_cell(&self) -> Option<&Arc<KeyCell>> {
        match &self.keys {
            Keys::Cell(cell) => Some(cell),
            Keys::Set(_) | Keys::Secret(_) => None,
        }
    }

    /// Fetched keys. `None` if the last successful fetch was more than `stale_for` ago.
    fn usable(&self, cell: &KeyCell, unix_s: u64) -> Option<Arc<KeySet>> {
        let stale_for_ms = self.settings.stale_for_ms.unwrap_or(STALE_FOR_MS);
        let set = cell.set()?;
        (unix_s < set.fetched_s.saturating_add(stale_for_ms.div_ceil(1_000))).then_some(set)
    }

    /// Verifies a token at the time `unix_s` (Unix time, seconds), except its binding.
    ///
    /// # Errors
    /// The reason of the first check that the token fails.
    #[cfg(test)]
    pub(in crate::auth) fn verify(&self, token: &[u8], unix_s: u64) -> Result<Identity, Reason> {
        let checked = self.check(token, unix_s, Signature::Checked);
        checked.map_err(Halt::fault)
    }

    fn check(&self, token: &[u8], unix_s: u64, signature: Signature<'_>) -> Result<Identity, Halt> {
        let token = parse(token, self.settings.token_bytes)?;
        self.check_origin(&token, unix_s, signature)?;
        let ends_s = self.check_times(&token.claims, unix_s)?;
        Ok(self.identity(token, ends_s)?)
    }

    /// Checks the issuer, algorithm, type, signature and audience of a token.
    fn check_origin(
        &self,
        token: &Token<'_>,
        unix_s: u64,
        signature: Signature<'_>,
    ) -> Result<(), Halt> {
        let settings = &self.settings;
        // Check the issuer first: another verifier for the same credential may accept the token.
        if token.claims.get("iss").and_then(Json::as_text) != Some(&settings.issuer) {
            return Err(Halt::Fault(Reason::Issuer));
        }
        if !settings.algorithms.contains(&token.algorithm) {
            return Err(Halt::Fault(Reason::Algorithm));
        }
        let typ = token.typ.as_deref().unwrap_or_default();
        if !settings.types.iter().any(|one| one == typ) {
            return Err(Halt::Fault(Reason::Type));
        }
        match signature {
            Signature::Checked => self.check_signature(token, unix_s, None)?,
            Signature::ByAnswer(answers) => self.check_signature(token, unix_s, Some(answers))?,
            #[cfg(feature = "author")]
            Signature::Assumed => {}
        }
        Ok(self.check_audience(&token.claims)?)
    }

    /// Verifies the signature of a token. With `answers`, a signature by an expensive key is
    /// verified on another thread.
    fn check_signature(
        &self,
        token: &Token<'_>,
        unix_s: u64,
        answers: Option<&Answers>,
    ) -> Result<(), Halt> {
        #[cfg(feature = "author")]
        if self.takes_witnesses {
            match (self.is_witness(token), &self.keys) {
                (true, _) => return Ok(()),
                // gwc cannot verify the signature, because it has no shared secrets.
                (false, Keys::Secret(_)) => return Err(Halt::Fault(Reason::Signature)),
                (false, Keys::Set(_) | Keys::Cell(_)) => {}
            }
        }
        let verified = self.with_key(token, unix_s, |key| {
            match answers.and_then(|answers| Some((answers, key.check_elsewhere(token)?))) {
                None => Ok(key.is_signer(token)),
                Some((answers, check)) => is_verified_elsewhere(check, answers),
            }
        })?;
        let is_valid = match (verified, &self.keys) {
            (None, Keys::Secret(cell)) => is_secret_signature(token, &cell.value()),
            (verified, _) => verified.unwrap_or(Ok(false))?,
        };
        match is_valid {
            true => Ok(()),
            false => Err(Halt::Fault(Reason::Signature)),
        }
    }

    /// Calls `run` with the public key of a token's signature. `None` if the verifier has a shared
    /// secret instead.
    ///
    /// # Errors
    /// No key matches the token, or there are no usable keys.
    fn with_key<T>(
        &self,
        token: &Token<'_>,
        unix_s: u64,
        run: impl FnOnce(&Key) -> T,
    ) -> Result<Option<T>, Reason> {
        let set;
        let keys = match &self.keys {
            Keys::Set(keys) => keys,
            Keys::Cell(cell) => {
                set = self.usable(cell, unix_s).ok_or(Reason::Keys)?;
                let keys = set.keys.downcast_ref::<Box<[Key]>>();
                keys.ok_or(Reason::Keys)?
            }
            Keys::Secret(_) => return Ok(None),
        };
        let key = key_of(keys, token).ok_or(Reason::Key)?;
        Ok(Some(run(key)))
    }

    #[cfg(feature = "author")]
    fn is_witness(&self, token: &Token<'_>) -> bool {
        let kid = token.kid.as_deref();
        let signings = self.settings.signings();
        let any_kid = !matches!(self.keys, Keys::Set(_));
        let mut fitting = signings.iter().filter(|one| {
            one.algorithm == token.algorithm && (any_kid || one.kid.as_deref() == kid)
        });
        fitting.any(|one| token.signature == super::witness::signature(&one.key))
    }

    fn check_audience(&self, claims: &Object) -> Result<(), Reason> {
        let own = claims.get("aud").ok_or(Reason::Audience)?;
        let own = own.texts().ok_or(Reason::Claims)?;
        let wanted = &self.settings.audience;
        match own.iter().any(|one| wanted.iter().any(|it| it == one)) {
            true => Ok(()),
            false => Err(Reason::Audience),
        }
    }

    /// Checks the times of a token. Returns the second (Unix time) from which the token is refused.
    fn check_times(&self, claims: &Object, unix_s: u64) -> Result<u64, Reason> {
        let settings = &self.settings;
        let (now_ms, leeway_ms) = (unix_s.saturating_mul(1000), settings.leeway_ms);
        let time = |name| claims.get(name).map(milliseconds).transpose();
        let (begins, issued) = (time("nbf")?, time("iat")?);
        let ends = time("exp")?.ok_or(Reason::Claims)?;
        if now_ms >= ends + leeway_ms {
            return Err(Reason::Expired);
        }
        let future = |at: &u64| *at > now_ms + leeway_ms;
        if begins.iter().chain(&issued).any(future) {
            return Err(Reason::NotYetValid);
        }
        if let Some(most) = settings.max_lifetime_ms
            && ends.saturating_sub(issued.ok_or(Reason::Claims)?) > most
        {
            return Err(Reason::Lifetime);
        }
        Ok((ends + leeway_ms).div_ceil(1000))
    }

    /// Identity of the caller of a token that an earlier call has verified.
    pub(in crate::auth) fn identity_of(
        &self,
        token: &[u8],
        ends_s: u64,
    ) -> Result<Identity, Reason> {
        let token = parse(token, self.settings.token_bytes)?;
        self.identity(token, ends_s)
    }

    fn identity(&self, token: Token<'_>, ends_s: u64) -> Result<Identity, Reason> {
        let (settings, claims) = (&self.settings, &token.claims);
        let absent = |name: &String| matches!(claims.get(name), None | Some(Json::Null));
        if settings.required_claims.iter().any(absent) {
            return Err(Reason::Claims);
        }
        let bound = Confirmation::of(claims)?;
        let consumer = settings.consumer_claim.as_deref();
        let client = name(claims, "client_id")?.or(name(claims, "azp")?);
        let subject = name(claims, "sub")?;
        Ok(Identity {
            key: key(&settings.issuer, subject.as_deref(), client.as_deref()),
            issuer: settings.issuer.as_str().into(),
            subject,
            client,
            consumer: consumer.map(|one| name(claims, one)).transpose()?.flatten(),
            claims: single(claims),
            scopes: words(claims, &settings.scope_claim)?,
            groups: words(claims, &settings.groups_claim)?,
            ends_s,
            sha256: Sha256::digest(token.signed).into(),
            all: token.claims,
            bound,
        })
    }
}

impl Halt {
    /// Reason why the token is refused: [`Reason::Unverified`] if its signature is not verified
    /// yet.
    pub(in crate::auth) fn fault(self) -> Reason {
        match self {
            Self::Fault(reason) => reason,
            Self::Ask(_) => Reason::Unverified,
        }
    }
}

impl From<Reason> for Halt {
    fn from(reason: Reason) -> Self {
        Self::Fault(reason)
    }
}

/// True if `key` fits the algorithm of a token and made the token's signature. A signature by an
/// expensive key is verified on another thread.
///
/// # Errors
/// [`Halt::Ask`] with the check of the signature, if `answers` does not have its result.
pub(in crate::auth) fn is_signed_by(
    token: &Token<'_>,
    key: &PublicKey,
    answers: &Answers,
) -> Result<bool, Halt> {
    match key.fits(token.algorithm) {
        false => Ok(false),
        true => match check_once_elsewhere(token, key) {
            None => Ok(is_signed_once(token, key)),
            Some(check) => is_verified_elsewhere(check, answers),
        },
    }
}

/// Result of the check of a signature on another thread.
///
/// # Errors
/// [`Halt::Ask`] with the check if `answers` does not have its result. [`Reason::Unverified`] if
/// gwd could not compute the check.
fn is_verified_elsewhere(check: Check, answers: &Answers) -> Result<bool, Halt> {
    match answers.check_result(&AskId::of_signature(&check)) {
        CheckResult::Pending => Err(Halt::Ask(Box::new(Effect::Signature(Box::new(check))))),
        CheckResult::Computed(is_valid) => Ok(is_valid),
        CheckResult::Unavailable => Err(Halt::Fault(Reason::Unverified)),
    }
}

/// Parses a fetched key set for a key cell.
fn read_keys(set: &[u8]) -> Result<key_cell::Keys, &'static str> {
    let keys = jwk::read_set(set)?;
    let ready: Box<[Key]> = keys.iter().map(Key::of).collect();
    Ok((Arc::new(ready), keys.len()))
}

/// Value of a claim that is a name: a non-empty string without control characters of at most
/// [`NAME_MAX`] bytes. `None` if the claim is absent. Fails for any other value.
pub(in crate::auth) fn name(claims: &Object, claim: &str) -> Result<Option<Box<str>>, Reason> {
    let text = match claims.get(claim) {
        None | Some(Json::Null) => return Ok(None),
        Some(Json::Text(text)) => text,
        Some(_) => return Err(Reason::Claims),
    };
    let fits = text.len() <= NAME_MAX && !text.is_empty() && !text.chars().any(char::is_control);
    fits.then(|| Some(text.clone())).ok_or(Reason::Claims)
}

/// Items of a claim, sorted. The claim is a string with items separated by spaces (RFC 8693 §4.2),
/// or a list of strings.
pub(in crate::auth) fn words(claims: &Object, claim: &str) -> Result<Box<[Box<str>]>, Reason> {
    let mut words: Vec<Box<str>> = match claims.get(claim) {
        None | Some(Json::Null) => Vec::new(),
        Some(Json::Text(text)) => text
            .split(' ')
            .filter(|word| !word.is_empty())
            .map(Into::into)
            .collect(),
        Some(list) => {
            let texts = list.texts().ok_or(Reason::Claims)?;
            texts.into_iter().map(Into::into).collect()
        }
    };
    words.sort();
    words.dedup();
    Ok(words.into())
}
