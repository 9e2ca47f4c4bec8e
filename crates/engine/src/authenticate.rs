//! Enforcement of OpenAPI's `security`.
//!
//! Alternatives are tried in order; the first one that is satisfied determines the principal. An
//! empty alternative (`{}`) admits requests without a credential. A request with an invalid
//! credential is refused with 401, even if an alternative is empty or the request also has a valid
//! credential. Two credentials in one location (such as one header field) are refused with 400,
//! because servers differ in which one they use. Tokens in two locations are also refused with 400,
//! unless an alternative requires both (RFC 6750 §2). An alternative that requires several
//! credentials fails if they belong to two consumers or to two subjects of one issuer.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue};
use policy::ask::Effect;
use policy::auth::jwt::Reason;
use policy::auth::oidc::Login;
use policy::auth::{
    Fault, FoundCredential, Place, TokenVerifier, decode_basic, dpop, hmac_signature, mtls,
};
use policy::store::Store;
use policy::used::Table;
use policy::{AdmittingCredentials, Cx, Principal, Reject, RequestHead};
use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};

use crate::consumers::{self, Consumer, NotOwned};
use crate::credentials::{Credentials, Owner};
use crate::lookalikes;
use crate::strip::{Stripped, overlap, strip};
use caller::{Caller, VerifiedCredential, remember};
use challenges::Challenges;
use first_use::NotFirst;
use passes::Passes;
use refusals::{
    AMBIGUOUS, Faults, MISSING, NONCE_REQUIRED, PROOF_INVALID, SCOPE_MISSING, SESSION_INVALID,
    SIGNATURE_INVALID, TOKEN_INVALID, refusal,
};
use token::{Bearer, NotValid, Verified};

pub use refusals::CREDENTIAL_EXPIRED;
pub(crate) use refusals::{REJECTS, login_refusal};
pub use signature::places as signed_fields;

mod caller;
mod certificate;
mod challenges;
mod first_use;
mod link;
mod passes;
mod passwords;
mod refusals;
mod signature;
mod token;

/// Security requirement, linked to its schemes and verifiers.
#[derive(Debug)]
pub(crate) struct Requirement {
    alternatives: Box<[Box<[Use]>]>,
    optional: bool,
    challenges: Challenges,
    /// Locations of tokens if there are at least two. Otherwise empty.
    token_places: Box<[Place]>,
    /// Names of credential fields for which some servers do not distinguish `-`, `_` and `.`.
    folding: Box<[Box<str>]>,
    /// Names of the fields that contain credentials, and of the fields in which upstreams receive
    /// the caller's identity.
    fields: Arc<[HeaderName]>,
    /// Locations from which credentials are removed before forwarding, for all schemes of the API.
    stripped: Stripped,
    /// Login to which browsers without a session are redirected. `None` if no session alone
    /// satisfies the requirement, or if requests without a credential are admitted.
    login: Option<Arc<TokenVerifier>>,
}

#[derive(Debug)]
struct Use {
    scheme: Box<str>,
    place: Place,
    check: Check,
    /// Scopes that the token must have.
    scopes: Box<[Box<str>]>,
    /// Roles that the owner of the credential must have.
    roles: Box<[Box<str>]>,
    strip: bool,
    passes: Passes,
}

#[derive(Debug)]
enum Check {
    Key,
    Basic,
    Token(Arc<TokenVerifier>),
    Certificate(mtls::Checked),
    /// The upstream verifies the credential. The gateway only checks that a credential is present.
    PresenceOnly,
}

enum Outcome {
    Satisfied(Option<VerifiedCredential>),
    Absent,
    Invalid,
    /// The token, certificate, proof or signature is refused for the given reason.
    Fault(Fault),
    /// Two consumers list the certificate or token.
    Disputed,
    /// The verifier needs the result of the given effect before it can decide.
    Ask(Box<Effect>),
    /// gwd could not check the password, for example because too many password checks are waiting.
    Unchecked,
    /// The token is valid, but lacks a required scope.
    ScopeMissing,
    /// The credential is valid, but its owner lacks a required role.
    RoleMissing,
    Several,
}

/// Reason why a request is not admitted yet: a refusal, or an effect whose result authentication
/// needs first.
#[derive(Debug)]
pub(crate) enum Stop {
    Reject(&'static Reject),
    Ask(Box<Effect>),
}

// === impl Requirement ===

impl Requirement {
    /// Names of the credential fields. Includes `Authorization` and `Cookie` only if a scheme of
    /// type `apiKey` names them as header fields.
    pub(crate) fn fields(&self) -> &Arc<[HeaderName]> {
        &self.fields
    }

    /// Login to whose provider a browser is redirected instead of the refusal `reject`. `None`
    /// unless the request has no credential or its session is not accepted.
    pub(crate) fn login(&self, reject: &Reject) -> Option<&Login> {
        let is_unlogged = reject.code == MISSING.code || reject.code == SESSION_INVALID.code;
        self.login.as_ref().filter(|_| is_unlogged)?.login()
    }

    /// True if a security scheme reads its credential from the cookie of this name.
    pub(crate) fn reads_cookie(&self, name: &str) -> bool {
        let mut uses = self.alternatives.iter().flatten();
        uses.any(|wanted| match &wanted.place {
            Place::Cookie(cookie) => **cookie == *name,
            Place::Header(field) => *field == "cookie",
            Place::Authorization(_) | Place::Query(_) | Place::Certificate => false,
        })
    }

    pub(crate) fn challenges(&self, reject: &Reject) -> &[HeaderValue] {
        let is = |other: &Reject| other.code == reject.code;
        if is(&SCOPE_MISSING) {
            &self.challenges.scope
        } else if is(&PROOF_INVALID) {
            &self.challenges.proof
        } else if is(&SIGNATURE_INVALID) {
            &self.challenges.signature
        } else if is(&NONCE_REQUIRED) {
            &self.challenges.nonce
        } else if is(&TOKEN_INVALID) || is(&CREDENTIAL_EXPIRED) {
            &self.challenges.invalid
        } else if reject.status == 401 && REJECTS.iter().any(|one| is(one)) {
            &self.challenges.missing
        } else {
            &[]
        }
    }

    /// Values of `Accept-Signature` (RFC 9421 §5) for a refusal. Empty if a signature would not
    /// help.
    pub(crate) fn accepted_signatures(&self, reject: &Reject) -> &[HeaderValue] {
        match reject.code == SIGNATURE_INVALID.code || reject.code == MISSING.code {
            true => &self.challenges.accept,
            false => &[],
        }
    }

    /// Checks a request. On success, stores the principal in `cx` and removes credentials from the
    /// head that the upstream must not receive.
    pub(crate) fn check<'s>(
        &'s self,
        head: &mut RequestHead,
        cx: &mut Cx<'s>,
        credentials: &Credentials,
        consumers: &'s [Consumer],
    ) -> Result<(), Stop> {
        if !self.folding.is_empty() {
            cx.lookalikes += self.take_lookalikes(&mut head.headers);
        }
        if self.has_stray_token(head) {
            return Err(Stop::Reject(&AMBIGUOUS));
        }
        let mut faults = Faults::default();
        let mut verified = Verified::default();
        let owners = (credentials, consumers);
        for alternative in &self.alternatives {
            let found = satisfied(alternative, head, cx, owners, &mut verified, &mut faults)?;
            if let Some((caller, shown)) = found {
                if self.optional {
                    self.check_others(alternative, head, cx, owners, &mut verified)?;
                }
                return self.admit(alternative, (caller, shown), head, cx, consumers);
            }
        }
        match faults.reject() {
            Some(reject) => Err(refuse(reject, faults, cx)),
            None if self.optional => {
                // Strip credentials here as well: an alternative that is not satisfied may have
                // found one of its credentials.
                self.strip(&[], head);
                Ok(())
            }
            None => Err(Stop::Reject(&MISSING)),
        }
    }

    /// Checks all credentials of a request that is also admitted without a credential (`{}`). All
    /// of them must be valid.
    ///
    /// # Errors
    /// Returns a refusal if no verifier accepts a credential, or an effect whose result is needed
    /// first.
    #[cold]
    fn check_others<'s>(
        &'s self,
        satisfied: &[Use],
        head: &RequestHead,
        cx: &mut Cx<'s>,
        owners: (&Credentials, &[Consumer]),
        verified: &mut Verified<'s>,
    ) -> Result<(), Stop> {
        let uses = || self.alternatives.iter().flatten();
        let is_known = |place: &Place| satisfied.iter().any(|one| one.place == *place);
        for (index, first) in uses().enumerate() {
            let is_first = uses().take(index).all(|one| one.place != first.place);
            if is_known(&first.place) || !is_first {
                continue;
            }
            // Continue with other verifiers, because one may accept a credential that another one
            // refuses.
            let mut faults = Faults::default();
            let mut is_valid = false;
            for wanted in uses().filter(|one| one.place == first.place) {
                let outcome = wanted.outcome(head, cx, owners, verified);
                is_valid |= matches!(
                    outcome,
                    Outcome::Satisfied(_) | Outcome::ScopeMissing | Outcome::RoleMissing
                );
                faults.note(outcome, || wanted.fresh_nonce(cx.unix_s))?;
            }
            if let Some(reject) = faults.reject().filter(|_| !is_valid) {
                return Err(refuse(reject, faults, cx));
            }
        }
        Ok(())
    }

    /// Admits the caller of a satisfied alternative: stores the principal and strips credentials.
    fn admit<'s>(
        &'s self,
        alternative: &'s [Use],
        (mut caller, shown): (Caller<'s>, AdmittingCredentials),
        head: &mut RequestHead,
        cx: &mut Cx<'s>,
        consumers: &'s [Consumer],
    ) -> Result<(), Stop> {
        // Stores are called before anything is stored here: the step runs again with their answers.
        let content = signature::content(&caller);
        let content = content.map_err(|reason| unsigned(reason, cx))?;
        let stores: Vec<_> = alternative.iter().filter_map(Use::used_store).collect();
        let is_shared = first_use::check(&stores, &caller, cx);
        let is_shared = is_shared.map_err(|(table, why)| not_first(table, why, cx))?;
        if let Some(proved) = caller.proved {
            if let Err(reason) = remember((&proved, is_shared), &caller, cx) {
                cx.fault = Some(Fault::Proof(reason));
                return Err(Stop::Reject(refusal(reason)));
            }
            if proved.needs_nonce {
                let mut uses = alternative.iter();
                cx.nonce = uses.find_map(|one| one.fresh_nonce(cx.unix_s));
            }
        }
        let remembered = signature::remember(&caller, is_shared, cx);
        remembered.map_err(|reason| unsigned(reason, cx))?;
        cx.content = content;
        if let Some(renewed) = caller.session.as_ref().and_then(|it| it.renewed.as_ref())
            && let Some(login) = alternative.iter().find_map(Use::login)
        {
            login.renew(renewed, &mut cx.login_context());
        }
        cx.principal = caller.principal(consumers);
        cx.admitting_credentials = shown;
        self.strip(alternative, head);
        if let Some(principal) = &cx.principal {
            pass(alternative, &caller, principal, head);
        }
        Ok(())
    }

    /// True if the request has tokens in several locations and no alternative requires all of these
    /// tokens.
    fn has_stray_token(&self, head: &RequestHead) -> bool {
        if self.token_places.is_empty() {
            return false;
        }
        let places = self.token_places.iter();
        let present: Vec<&Place> = places
            .filter(|place| !matches!(place.find(head), FoundCredential::Absent))
            .collect();
        let uses_token = |alternative: &[Use], place: &Place| {
            let mut uses = alternative.iter();
            uses.any(|one| matches!(one.check, Check::Token(_)) && one.place == *place)
        };
        let takes_all =
            |alternative: &[Use]| present.iter().all(|place| uses_token(alternative, place));
        present.len() > 1 && !self.alternatives.iter().any(|one| takes_all(one))
    }
}

impl Requirement {
    /// Removes fields whose names some servers treat as equal to the name of a credential field.
    /// Such a server would use another credential than the gateway has checked. Returns the number
    /// of removed fields.
    fn take_lookalikes(&self, headers: &mut HeaderMap) -> u32 {
        lookalikes::strip(&self.folding, headers)
    }

    /// True if requests of the API can have credentials or identity fields that must be stripped.
    pub(crate) fn strips(&self) -> bool {
        self.stripped.places().next().is_some()
    }

    /// Strips the API's credentials from a request of a public operation. Returns the number of
    /// removed lookalike fields.
    pub(crate) fn strip_all(&self, head: &mut RequestHead) -> u32 {
        self.strip(&[], head);
        self.take_lookalikes(&mut head.headers)
    }

    /// Strips the API's credentials and the client's values of identity fields. Keeps the
    /// credentials that the satisfied alternative forwards to the upstream. In an identity field,
    /// keeps only a credential that the gateway has verified. Any client could make up a credential
    /// that only the upstream verifies.
    fn strip(&self, satisfied: &[Use], head: &mut RequestHead) {
        let is_verified = |wanted: &Use| !matches!(wanted.check, Check::PresenceOnly);
        let keeps = |wanted: &Use, place: &Place| !wanted.strip && overlap(&wanted.place, place);
        for place in &self.stripped.credentials {
            if !satisfied.iter().any(|wanted| keeps(wanted, place)) {
                strip(place, head);
            }
        }
        for place in &self.stripped.identities {
            let mut verified = satisfied.iter().filter(|wanted| is_verified(wanted));
            if !verified.any(|wanted| keeps(wanted, place)) {
                strip(place, head);
            }
        }
    }
}

/// Verifies the credentials that an alternative requires, and returns their caller. `None` if a
/// credential is absent or refused; the reason is then added to `faults`.
///
/// # Errors
/// Returns a refusal that applies regardless of other alternatives, or an effect whose result is
/// needed first.
fn satisfied<'s>(
    alternative: &'s [Use],
    head: &RequestHead,
    cx: &Cx<'_>,
    owners: (&Credentials, &[Consumer]),
    verified: &mut Verified<'s>,
    faults: &mut Faults,
) -> Result<Option<(Caller<'s>, AdmittingCredentials)>, Stop> {
    let mut caller = Caller::default();
    let mut shown = AdmittingCredentials::default();
    let mut satisfied = true;
    for (index, wanted) in alternative.iter().enumerate() {
        let outcome = wanted.outcome(head, cx, owners, verified);
        satisfied &= matches!(outcome, Outcome::Satisfied(_));
        let outcome = faults.note(outcome, || wanted.fresh_nonce(cx.unix_s))?;
        if let Outcome::Satisfied(Some(known)) = outcome {
            shown.add(known.sha256);
            shown.ends(known.ends_s);
            let bound = known.token.as_ref().and_then(|token| token.bound);
            if let Some(certificate) = bound.and_then(|bound| bound.certificate) {
                shown.add(certificate);
            }
            if alternative.len() > 1 && !wanted.passes.is_empty() {
                let token = known.token.iter().cloned();
                caller.passed.extend(token.map(|token| (index, token)));
            }
            if !caller.join(known, &wanted.scheme) {
                satisfied = false;
                faults.conflict = true;
            }
        }
    }
    Ok(satisfied.then_some((caller, shown)))
}

/// Sets the identity fields of the alternative's schemes. Each scheme passes claims of its own
/// credential: the claims of another token must not appear in its fields.
fn pass(
    alternative: &[Use],
    caller: &Caller<'_>,
    principal: &Principal<'_>,
    head: &mut RequestHead,
) {
    if let [one] = alternative {
        return one.passes.write(principal, &mut head.headers);
    }
    for (index, wanted) in alternative.iter().enumerate() {
        if !wanted.passes.is_empty() {
            let mut tokens = caller.passed.iter().filter(|(of, _)| *of == index);
            let token = tokens.next().map(|(_, token)| Arc::clone(token));
            let own = Principal {
                token,
                ..*principal
            };
            wanted.passes.write(&own, &mut head.headers);
        }
    }
}

/// Refuses a request because of its signature. Stores the reason for the log in `cx`.
#[cold]
fn unsigned(reason: hmac_signature::Reason, cx: &mut Cx<'_>) -> Stop {
    cx.fault = Some(Fault::Signature(reason));
    Stop::Reject(signature::refusal(reason))
}

/// Stops a request whose credential is not known to be used for the first time. Stores the reason
/// for the log in `cx`.
#[cold]
fn not_first(table: Table, why: NotFirst, cx: &mut Cx<'_>) -> Stop {
    let is_replayed = match why {
        NotFirst::Ask(effect) => return Stop::Ask(effect),
        NotFirst::Replayed => true,
        NotFirst::Unavailable => false,
    };
    match table {
        Table::Proofs => {
            let reason = match is_replayed {
                true => dpop::Reason::Replayed,
                false => dpop::Reason::StoreUnavailable,
            };
            cx.fault = Some(Fault::Proof(reason));
            Stop::Reject(refusal(reason))
        }
        Table::Nonces => {
            let reason = match is_replayed {
                true => hmac_signature::Reason::Replayed,
                false => hmac_signature::Reason::StoreUnavailable,
            };
            unsigned(reason, cx)
        }
    }
}

/// Refuses a request. Stores the reason for the log, and the nonce for the client's next proof, in
/// `cx`.
#[cold]
fn refuse(reject: &'static Reject, mut faults: Faults, cx: &mut Cx<'_>) -> Stop {
    cx.nonce = faults.nonce.take();
    cx.fault = faults.fault_of(reject);
    Stop::Reject(reject)
}

impl Faults {
    /// Adds the reason to `faults` if `outcome` does not accept the credential. Returns `outcome`.
    ///
    /// # Errors
    /// Returns a refusal that applies regardless of other alternatives, or an effect whose result
    /// is needed first.
    fn note(
        &mut self,
        outcome: Outcome,
        nonce: impl FnOnce() -> Option<HeaderValue>,
    ) -> Result<Outcome, Stop> {
        match outcome {
            Outcome::Satisfied(_) | Outcome::Absent => {}
            Outcome::Invalid => self.invalid = true,
            Outcome::Fault(fault) => {
                self.add(fault);
                if fault == Fault::Proof(dpop::Reason::Nonce) {
                    self.nonce = nonce();
                }
            }
            Outcome::Disputed => self.conflict = true,
            Outcome::Unchecked => self.unchecked = true,
            Outcome::ScopeMissing => self.scope_missing = true,
            Outcome::RoleMissing => self.role_missing = true,
            Outcome::Several => return Err(Stop::Reject(&AMBIGUOUS)),
            Outcome::Ask(effect) => return Err(Stop::Ask(effect)),
        }
        Ok(outcome)
    }
}

impl Use {
    /// Login whose sessions satisfy the scheme. `None` if the scheme is satisfied by other
    /// credentials.
    fn login(&self) -> Option<&Login> {
        match &self.check {
            Check::Token(verifier) => verifier.login(),
            Check::Key | Check::Basic | Check::Certificate(_) | Check::PresenceOnly => None,
        }
    }

    /// Store of used credentials, with their table. `None`: each gateway has its own table, or the
    /// credential may be used again.
    fn used_store(&self) -> Option<(Table, &Arc<Store>)> {
        match &self.check {
            Check::Token(verifier) => verifier.store(),
            Check::Key | Check::Basic | Check::Certificate(_) | Check::PresenceOnly => None,
        }
    }

    /// Creates a nonce for the client's next DPoP proof. `None` if the verifier requires no nonces.
    fn fresh_nonce(&self, unix_s: u64) -> Option<HeaderValue> {
        match &self.check {
            Check::Token(verifier) => verifier.fresh_nonce(unix_s),
            Check::Key | Check::Basic | Check::Certificate(_) | Check::PresenceOnly => None,
        }
    }

    /// Checks the request's credential and the roles of its owner.
    fn outcome<'s>(
        &'s self,
        head: &RequestHead,
        cx: &Cx<'_>,
        owners: (&Credentials, &[Consumer]),
        verified: &mut Verified<'s>,
    ) -> Outcome {
        match self.checked(head, cx, owners, verified) {
            Outcome::Satisfied(Some(known)) if !known.has_roles(&self.roles, owners.1) => {
                Outcome::RoleMissing
            }
            outcome => outcome,
        }
    }

    fn checked<'s>(
        &'s self,
        head: &RequestHead,
        cx: &Cx<'_>,
        (credentials, consumers): (&Credentials, &[Consumer]),
        verified: &mut Verified<'s>,
    ) -> Outcome {
        if self.place == Place::Certificate {
            return certificate::outcome(&self.check, cx, credentials);
        }
        let credential = match self.place.find(head) {
            FoundCredential::Absent => return Outcome::Absent,
            FoundCredential::Several => return Outcome::Several,
            FoundCredential::One(credential) => credential,
        };
        let known = match &self.check {
            Check::PresenceOnly => return Outcome::Satisfied(None),
            // Not reached for a certificate, which is not part of the request head.
            Check::Certificate(_) => return Outcome::Absent,
            Check::Key => known(&credentials.keys, &credential, cx),
            Check::Basic => match decode_basic(&credential, decode_base64) {
                None => None,
                Some(pair) => match known(&credentials.basic, &pair, cx) {
                    Some(known) => Some(known),
                    None => return passwords::outcome(&credentials.passwords, &pair, cx),
                },
            },
            Check::Token(verifier) => {
                return match verified.verify((verifier, &self.place), &credential, head, cx) {
                    Err(NotValid::Fault(fault)) => Outcome::Fault(fault),
                    Err(NotValid::Ask(effect)) => Outcome::Ask(effect),
                    Ok(bearer) if !bearer.token.has_scopes(&self.scopes) => Outcome::ScopeMissing,
                    Ok(Bearer {
                        token,
                        proved,
                        signed,
                        session,
                    }) => match consumers::of_token(consumers, credentials, &token, cx.unix_s) {
                        Ok(owner) => Outcome::Satisfied(Some(VerifiedCredential {
                            sha256: token.sha256,
                            ends_s: owner.ends_s(token.ends_s),
                            consumer: owner.consumer,
                            token: Some(token),
                            proved,
                            signed,
                            session,
                        })),
                        Err(NotOwned::Expired) => Outcome::Fault(Fault::Token(Reason::Expired)),
                        Err(NotOwned::Disputed) => Outcome::Disputed,
                    },
                };
            }
        };
        known.map_or(Outcome::Invalid, |known| Outcome::Satisfied(Some(known)))
    }
}

/// Consumer that owns a credential. `None` if the credential is unknown, expired or revoked.
fn known(
    owners: &FxHashMap<[u8; 32], Owner>,
    credential: &[u8],
    cx: &Cx<'_>,
) -> Option<VerifiedCredential> {
    let sha256: [u8; 32] = Sha256::digest(credential).into();
    let owner = owners.get(&sha256)?;
    let in_time = owner.not_after.is_none_or(|end| cx.unix_s < end);
    (in_time && !cx.revoked.contains(&sha256)).then_some(VerifiedCredential {
        sha256,
        ends_s: owner.not_after.unwrap_or(u64::MAX),
        consumer: Some(owner.consumer),
        token: None,
        proved: None,
        signed: None,
        session: None,
    })
}

fn decode_base64(token: &[u8]) -> Option<Vec<u8>> {
    STANDARD
        .decode(token)
        .or_else(|_| STANDARD_NO_PAD.decode(token))
        .ok()
}

#[cfg(test)]
mod tests;
