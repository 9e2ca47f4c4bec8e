//! Enforcement of OpenAPI's `security`.
//!
//! Alternatives are tried in order; the first that is satisfied gives the principal. An empty
//! alternative (`{}`) admits requests without a credential; an invalid credential is still 401,
//! never treated as absent. Two credentials in one place are 400, because servers differ in which
//! one they use. Tokens in two places that no alternative requires together are also 400 (RFC 6750
//! §2). An alternative that requires several credentials fails if they belong to two consumers or
//! to two subjects of one issuer.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bundle::ir;
use http::{HeaderMap, HeaderName, HeaderValue};
use policy::ask::Effect;
use policy::auth::dpop::{self, Full, Proved};
use policy::auth::jwt::{Identity, Judged, Reason};
use policy::auth::{self, Fault, Held, Place, TokenRequest, TokenVerifier, decode_basic, mtls};
use policy::{Cx, NO_CLAIMS, Principal, Reject, RequestHead, Shown};
use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};

use crate::consumers::{self, Consumer};
use crate::credentials::{Credentials, Owner};
use crate::edge::believed::seen_url;
use crate::edge::is_lookalike;
use crate::path::normalise;
use crate::strip::{overlap, strip, stripped_places};
use crate::verifiers::Verifiers;
use challenges::Challenges;
use passes::Passes;

mod certificate;
mod challenges;
mod passes;
mod passwords;

static MISSING: Reject = Reject {
    status: 401,
    code: "credential_missing",
    title: "Authentication required",
};
static INVALID: Reject = Reject {
    status: 401,
    code: "credential_invalid",
    title: "Authentication required",
};
static AMBIGUOUS: Reject = Reject {
    status: 400,
    code: "credential_ambiguous",
    title: "More than one credential",
};
static CONFLICT: Reject = Reject {
    status: 401,
    code: "credential_conflict",
    title: "Authentication required",
};

static TOKEN_INVALID: Reject = Reject {
    status: 401,
    code: "token_invalid",
    title: "Authentication required",
};
static CERTIFICATE_INVALID: Reject = Reject {
    status: 401,
    code: "certificate_invalid",
    title: "Authentication required",
};
static KEYS_UNAVAILABLE: Reject = Reject {
    status: 503,
    code: "keys_unavailable",
    title: "The keys of the issuer cannot be fetched",
};
static INTROSPECTION_UNAVAILABLE: Reject = Reject {
    status: 503,
    code: "introspection_unavailable",
    title: "The token cannot be checked now",
};
static PASSWORD_UNCHECKED: Reject = Reject {
    status: 503,
    code: "password_check_unavailable",
    title: "The password cannot be checked now",
};
static PROOF_INVALID: Reject = Reject {
    status: 401,
    code: "dpop_proof_invalid",
    title: "Authentication required",
};
static NONCE_REQUIRED: Reject = Reject {
    status: 401,
    code: "dpop_nonce_required",
    title: "Authentication required",
};
static PROOFS_FULL: Reject = Reject {
    status: 503,
    code: "dpop_proofs_full",
    title: "No further proof can be remembered now",
};
static SCOPE_MISSING: Reject = Reject {
    status: 403,
    code: "insufficient_scope",
    title: "The token does not have the scope",
};

/// All refusals by authentication.
pub(crate) static REJECTS: [&Reject; 13] = [
    &MISSING,
    &INVALID,
    &AMBIGUOUS,
    &CONFLICT,
    &TOKEN_INVALID,
    &CERTIFICATE_INVALID,
    &SCOPE_MISSING,
    &KEYS_UNAVAILABLE,
    &INTROSPECTION_UNAVAILABLE,
    &PASSWORD_UNCHECKED,
    &PROOF_INVALID,
    &NONCE_REQUIRED,
    &PROOFS_FULL,
];

/// Refusal of a token that could not be checked now. `None` for any other reason.
fn unavailable(reason: Reason) -> Option<&'static Reject> {
    match reason {
        Reason::Keys => Some(&KEYS_UNAVAILABLE),
        Reason::Introspection | Reason::Unusable => Some(&INTROSPECTION_UNAVAILABLE),
        _ => None,
    }
}

/// Refusal of a proof of possession.
fn refusal(reason: dpop::Reason) -> &'static Reject {
    match reason {
        dpop::Reason::Nonce => &NONCE_REQUIRED,
        dpop::Reason::Full => &PROOFS_FULL,
        _ => &PROOF_INVALID,
    }
}

/// True if a refusal means that a token is not valid.
fn is_token_invalid(reject: &Reject) -> bool {
    reject.code == TOKEN_INVALID.code
}

/// Security requirement, linked to its schemes and verifiers.
#[derive(Debug)]
pub(crate) struct Requirement {
    alternatives: Box<[Box<[Use]>]>,
    optional: bool,
    challenges: Challenges,
    /// Places of tokens, if there are at least two; else empty.
    token_places: Box<[Place]>,
    /// Names of credential fields with `-`, `_` or `.`, which some servers do not distinguish.
    folding: Box<[Box<str>]>,
    /// Names of credential fields and of identity fields for upstreams.
    fields: Arc<[HeaderName]>,
    /// Places that are stripped before forwarding, for all schemes of the API.
    stripped: Box<[Place]>,
}

#[derive(Debug)]
struct Use {
    scheme: Box<str>,
    place: Place,
    check: Check,
    /// Scopes that the token must have.
    scopes: Box<[Box<str>]>,
    strip: bool,
    passes: Passes,
}

#[derive(Debug)]
enum Check {
    Key,
    Basic,
    Token(Arc<TokenVerifier>),
    Certificate(mtls::Checked),
    /// The upstream verifies the credential; the gateway only checks that it is present.
    Held,
}

/// Verified credential.
struct Known {
    sha256: [u8; 32],
    /// Index of the consumer that owns the credential, if any.
    consumer: Option<u32>,
    token: Option<Arc<Identity>>,
    /// Proof of possession of the token's key.
    proved: Option<Proved>,
}

/// Owner of the credentials of one alternative.
#[derive(Default)]
struct Caller<'s> {
    consumer: Option<u32>,
    token: Option<Arc<Identity>>,
    /// Scheme of the alternative's first credential.
    scheme: Option<&'s str>,
    proved: Option<Proved>,
}

enum Outcome {
    Satisfied(Option<Known>),
    Absent,
    Invalid,
    /// The token or certificate is invalid.
    Fault(Fault),
    /// Two consumers have a name of the certificate.
    Disputed,
    /// The verifier needs an answer first.
    Ask(Box<Effect>),
    /// The password could not be checked now.
    Unchecked,
    /// The token is valid, but lacks a required scope.
    Unscoped,
    Several,
}

/// Reason why a request is not admitted now: a refusal, or a missing answer.
#[derive(Debug)]
pub(crate) enum Stop {
    Reject(&'static Reject),
    Ask(Box<Effect>),
}

/// Cache of the last verified token. Several alternatives often use the same token.
#[derive(Default)]
struct Verified<'s>(Option<(&'s Arc<TokenVerifier>, &'s Place, TokenResult)>);

type TokenResult = Result<(Arc<Identity>, Option<Proved>), Fault>;

/// Reason why a token gives no identity.
enum NotValid {
    Fault(Fault),
    Ask(Box<Effect>),
}

/// Reasons why alternatives were not satisfied.
#[derive(Default)]
struct Faults {
    invalid: bool,
    unchecked: bool,
    conflict: bool,
    unscoped: bool,
    token: Option<Reason>,
    certificate: Option<mtls::Reason>,
    proof: Option<dpop::Reason>,
    /// Nonce that a proof needs.
    nonce: Option<HeaderValue>,
}

// === impl Requirement ===

impl Requirement {
    /// Links a requirement to the schemes and verifiers that it names.
    ///
    /// # Errors
    /// The name that does not exist, or the kind of a verifier that cannot be used.
    pub(crate) fn link(
        security: &ir::Security,
        schemes: &ir::Set<ir::Scheme>,
        verifiers: &Verifiers<'_>,
    ) -> Result<Self, String> {
        let mut alternatives = Vec::new();
        let mut challenges = Challenges::default();
        let mut token_places: Vec<Place> = Vec::new();
        let mut folding: Vec<Box<str>> = Vec::new();
        let stripped = stripped_places(schemes);
        let mut fields: Vec<HeaderName> = Vec::new();
        for place in &stripped {
            add_field(&mut fields, place);
            add_folding(&mut folding, place);
        }
        for alternative in security
            .0
            .iter()
            .filter(|alternative| !alternative.0.is_empty())
        {
            let mut uses = Vec::new();
            for wanted in &alternative.0 {
                let scheme = schemes
                    .get(&wanted.scheme)
                    .ok_or_else(|| wanted.scheme.clone())?;
                let verifier = match &scheme.verify {
                    ir::Verify::Upstream => None,
                    ir::Verify::Auth(name) => Some(verifiers.get(name)?),
                    ir::Verify::Inline(checked) => Some((checked, &None)),
                };
                challenges.add(wanted, &scheme.place, verifier.map(|(checked, _)| checked));
                add_folding(&mut folding, &scheme.place);
                add_field(&mut fields, &scheme.place);
                let check = match verifier {
                    None => Check::Held,
                    Some((auth::Checked::ApiKey(_), _)) => Check::Key,
                    Some((auth::Checked::Basic(_), _)) => Check::Basic,
                    Some((_, Some(verifier))) => {
                        if !token_places.contains(&scheme.place) {
                            token_places.push(scheme.place.clone());
                        }
                        Check::Token(Arc::clone(verifier))
                    }
                    Some((auth::Checked::Mtls(checked), _))
                        if scheme.place == Place::Certificate =>
                    {
                        Check::Certificate(checked.clone())
                    }
                    Some((checked, _)) => return Err(checked.kind().to_owned()),
                };
                let scopes = wanted.scopes.iter().map(|scope| scope.as_str().into());
                uses.push(Use {
                    scheme: scheme.name.as_str().into(),
                    place: scheme.place.clone(),
                    check,
                    scopes: scopes.collect(),
                    strip: scheme.strip_credential,
                    passes: Passes::of(&scheme.passes),
                });
            }
            alternatives.push(uses.into());
        }
        Ok(Self {
            alternatives: alternatives.into(),
            optional: security.admits_anyone(),
            challenges,
            token_places: match token_places.len() {
                0 | 1 => Box::default(),
                _ => token_places.into(),
            },
            folding: folding.into(),
            fields: fields.into(),
            stripped,
        })
    }

    /// Credential fields. `Authorization` and `Cookie` are in the list only if a scheme names them
    /// as header fields.
    pub(crate) fn fields(&self) -> &Arc<[HeaderName]> {
        &self.fields
    }

    pub(crate) fn challenges(&self, reject: &Reject) -> &[HeaderValue] {
        let is = |other: &Reject| other.code == reject.code;
        if is(&SCOPE_MISSING) {
            &self.challenges.scope
        } else if is(&PROOF_INVALID) {
            &self.challenges.proof
        } else if is(&NONCE_REQUIRED) {
            &self.challenges.nonce
        } else if is(&TOKEN_INVALID) {
            &self.challenges.invalid
        } else if reject.status == 401 && REJECTS.iter().any(|one| is(one)) {
            &self.challenges.missing
        } else {
            &[]
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
        for alternative in &self.alternatives {
            let mut caller = Caller::default();
            let mut shown = Shown::default();
            let mut satisfied = true;
            for wanted in alternative {
                let outcome = wanted.outcome(head, cx, (credentials, consumers), &mut verified);
                satisfied &= matches!(outcome, Outcome::Satisfied(_));
                match outcome {
                    Outcome::Satisfied(None) | Outcome::Absent => {}
                    Outcome::Satisfied(Some(known)) => {
                        shown.add(known.sha256);
                        let bound = known.token.as_ref().and_then(|token| token.bound);
                        if let Some(certificate) = bound.and_then(|bound| bound.certificate) {
                            shown.add(certificate);
                        }
                        if !caller.join(known, &wanted.scheme) {
                            satisfied = false;
                            faults.conflict = true;
                        }
                    }
                    Outcome::Invalid => faults.invalid = true,
                    Outcome::Fault(fault) => {
                        faults.add(fault);
                        if fault == Fault::Proof(dpop::Reason::Nonce) {
                            faults.nonce = wanted.fresh_nonce(cx.unix_s);
                        }
                    }
                    Outcome::Disputed => faults.conflict = true,
                    Outcome::Unchecked => faults.unchecked = true,
                    Outcome::Unscoped => faults.unscoped = true,
                    Outcome::Several => return Err(Stop::Reject(&AMBIGUOUS)),
                    Outcome::Ask(effect) => return Err(Stop::Ask(effect)),
                }
            }
            if satisfied {
                if let Some(proved) = caller.proved
                    && let Err(reason) = remember(&proved, &caller, cx)
                {
                    cx.fault = Some(Fault::Proof(reason));
                    return Err(Stop::Reject(refusal(reason)));
                }
                if caller.proved.is_some_and(|proved| proved.needs_nonce) {
                    cx.nonce = alternative
                        .iter()
                        .find_map(|one| one.fresh_nonce(cx.unix_s));
                }
                cx.principal = caller.principal(consumers);
                cx.shown = shown;
                self.strip(alternative, head);
                if let Some(principal) = &cx.principal {
                    let passes = alternative.iter().map(|wanted| &wanted.passes);
                    passes.for_each(|passes| passes.write(principal, &mut head.headers));
                }
                return Ok(());
            }
        }
        match faults.reject() {
            Some(reject) => {
                cx.nonce = faults.nonce.take();
                cx.fault = faults.told(reject);
                Err(Stop::Reject(reject))
            }
            None if self.optional => {
                // A credential of an alternative may be present although the alternative as a whole
                // is not satisfied.
                self.strip(&[], head);
                Ok(())
            }
            None => Err(Stop::Reject(&MISSING)),
        }
    }

    /// True if the request has tokens in several places and no alternative requires all of them.
    fn has_stray_token(&self, head: &RequestHead) -> bool {
        if self.token_places.is_empty() {
            return false;
        }
        let places = self.token_places.iter();
        let held: Vec<&Place> = places
            .filter(|place| !matches!(place.held(head), Held::Absent))
            .collect();
        let asks = |alternative: &[Use], place: &Place| {
            let mut uses = alternative.iter();
            uses.any(|one| matches!(one.check, Check::Token(_)) && one.place == *place)
        };
        let takes_all = |alternative: &[Use]| held.iter().all(|place| asks(alternative, place));
        held.len() > 1 && !self.alternatives.iter().any(|one| takes_all(one))
    }
}

impl<'s> Caller<'s> {
    /// Adds a credential to the caller. False if it belongs to another consumer or subject than the
    /// earlier credentials.
    fn join(&mut self, known: Known, scheme: &'s str) -> bool {
        self.scheme.get_or_insert(scheme);
        self.proved = self.proved.or(known.proved);
        let differs = |(a, b): (u32, u32)| a != b;
        let two_consumers = self.consumer.zip(known.consumer).is_some_and(differs);
        let bearers = self.token.as_ref().zip(known.token.as_ref());
        let differ = |(a, b): (&Arc<Identity>, &Arc<Identity>)| {
            let both_named = a.key.is_some() && b.key.is_some();
            both_named && a.issuer == b.issuer && a.key != b.key
        };
        let two_bearers = bearers.is_some_and(differ);
        let one_consumer = self.consumer.is_some() && self.consumer == known.consumer;
        self.consumer = self.consumer.or(known.consumer);
        self.token = self.token.take().or(known.token);
        !two_consumers && (!two_bearers || one_consumer)
    }

    fn principal(self, consumers: &'s [Consumer]) -> Option<Principal<'s>> {
        let consumer = self
            .consumer
            .and_then(|index| consumers.get(index as usize));
        if consumer.is_none() && self.token.is_none() {
            return None;
        }
        Some(Principal {
            consumer: consumer.map(|one| &*one.name),
            scheme: self.scheme?,
            claims: consumer.map_or(NO_CLAIMS, |one| &one.claims),
            groups: consumer.map_or(&[], |one| &one.groups),
            token: self.token,
        })
    }
}

impl Faults {
    /// Records why a credential is refused. The first reason is kept, except [`Reason::Issuer`] and
    /// [`mtls::Reason::Name`], which only mean that the credential may be meant for another
    /// verifier. A verifier that could not check the token has precedence over other reasons,
    /// because it might have accepted the token.
    fn add(&mut self, fault: Fault) {
        match fault {
            Fault::Token(reason) => {
                let is_later = |known: Reason| {
                    known == Reason::Issuer
                        || unavailable(reason).is_some() && unavailable(known).is_none()
                };
                if self.token.is_none_or(is_later) {
                    self.token = Some(reason);
                }
            }
            Fault::Proof(reason) => {
                self.proof.get_or_insert(reason);
            }
            Fault::Certificate(reason) => {
                let is_other = |known| known == mtls::Reason::Name;
                if self.certificate.is_none_or(is_other) {
                    self.certificate = Some(reason);
                }
            }
        }
    }

    /// Reason of a refusal for the operator's log.
    fn told(&self, reject: &Reject) -> Option<Fault> {
        if reject.code == CERTIFICATE_INVALID.code {
            return self.certificate.map(Fault::Certificate);
        }
        if let Some(reason) = self.proof.filter(|one| refusal(*one).code == reject.code) {
            return Some(Fault::Proof(reason));
        }
        let is_told = |fault: &Reason| is_token_invalid(reject) || *fault == Reason::Unusable;
        self.token.filter(is_told).map(Fault::Token)
    }

    fn reject(&self) -> Option<&'static Reject> {
        let is_foreign = self.token == Some(Reason::Issuer);
        match self {
            Self {
                token: Some(reason),
                ..
            } if unavailable(*reason).is_some() => unavailable(*reason),
            Self {
                unchecked: true, ..
            } => Some(&PASSWORD_UNCHECKED),
            Self {
                proof: Some(reason),
                ..
            } => Some(refusal(*reason)),
            Self { token: Some(_), .. } if !(is_foreign && self.unscoped) => Some(&TOKEN_INVALID),
            Self { invalid: true, .. } => Some(&INVALID),
            Self {
                certificate: Some(_),
                ..
            } => Some(&CERTIFICATE_INVALID),
            Self { conflict: true, .. } => Some(&CONFLICT),
            Self { unscoped: true, .. } => Some(&SCOPE_MISSING),
            _ => None,
        }
    }
}

impl Requirement {
    /// Removes fields whose names differ from a credential field only by `_` or `.` for `-`
    /// (CVE-2026-88011). A server that treats these alike would read another credential than the
    /// one checked here.
    fn take_lookalikes(&self, headers: &mut HeaderMap) -> u32 {
        let is_doomed = |other: &str| {
            let mut folding = self.folding.iter();
            folding.any(|name| is_lookalike(other, name))
                && self.folding.iter().all(|name| **name != *other)
        };
        // Most requests have no such field, so this fast path allocates nothing.
        let doomed = headers.keys().filter(|other| is_doomed(other.as_str()));
        let doomed: Vec<HeaderName> = doomed.cloned().collect();
        for other in &doomed {
            headers.remove(other);
        }
        u32::try_from(doomed.len()).unwrap_or(u32::MAX)
    }

    /// True if the API has credentials or identity fields to strip from requests.
    pub(crate) fn strips(&self) -> bool {
        !self.stripped.is_empty()
    }

    /// Strips the API's credentials from a request of a public operation. Returns the number of
    /// fields removed because their names resemble those of credential fields.
    pub(crate) fn strip_all(&self, head: &mut RequestHead) -> u32 {
        self.strip(&[], head);
        self.take_lookalikes(&mut head.headers)
    }

    /// Strips the API's credentials, except in places where the satisfied alternative forwards its
    /// credential.
    fn strip(&self, satisfied: &[Use], head: &mut RequestHead) {
        for place in &self.stripped {
            let mut kept = satisfied.iter().filter(|wanted| !wanted.strip);
            if !kept.any(|wanted| overlap(&wanted.place, place)) {
                strip(place, head);
            }
        }
    }
}

/// Remembers the proof of an admitted request, unless it was used before.
fn remember(proved: &Proved, caller: &Caller<'_>, cx: &Cx<'_>) -> Result<(), dpop::Reason> {
    let token = caller.token.as_ref();
    let key = token.and_then(|token| token.key.as_deref());
    let owner = key.unwrap_or(&proved.key);
    let proofs = &cx.limits.proofs;
    let kept = proofs.remember(proved.proof, owner, cx.unix_s, proved.ends_s);
    kept.map_err(|full| match full {
        Full::Replayed => dpop::Reason::Replayed,
        Full::Full => dpop::Reason::Full,
    })
}

impl Use {
    /// A new nonce for the client, if the verifier needs nonces.
    fn fresh_nonce(&self, unix_s: u64) -> Option<HeaderValue> {
        match &self.check {
            Check::Token(verifier) => verifier.fresh_nonce(unix_s),
            Check::Key | Check::Basic | Check::Certificate(_) | Check::Held => None,
        }
    }

    fn outcome<'s>(
        &'s self,
        head: &RequestHead,
        cx: &Cx<'_>,
        (credentials, consumers): (&Credentials, &[Consumer]),
        verified: &mut Verified<'s>,
    ) -> Outcome {
        if self.place == Place::Certificate {
            return certificate::outcome(&self.check, cx, credentials);
        }
        let credential = match self.place.held(head) {
            Held::Absent => return Outcome::Absent,
            Held::Several => return Outcome::Several,
            Held::One(credential) => credential,
        };
        let known = match &self.check {
            Check::Held => return Outcome::Satisfied(None),
            // Certificates are not part of the request head.
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
                    Ok((token, _)) if !token.has_scopes(&self.scopes) => Outcome::Unscoped,
                    Ok((token, proved)) => Outcome::Satisfied(Some(Known {
                        sha256: token.sha256,
                        consumer: consumers::of_token(consumers, &token),
                        token: Some(token),
                        proved,
                    })),
                };
            }
        };
        known.map_or(Outcome::Invalid, |known| Outcome::Satisfied(Some(known)))
    }
}

impl<'s> Verified<'s> {
    fn verify(
        &mut self,
        (verifier, place): (&'s Arc<TokenVerifier>, &'s Place),
        credential: &[u8],
        head: &RequestHead,
        cx: &Cx<'_>,
    ) -> Result<(Arc<Identity>, Option<Proved>), NotValid> {
        if let Some((known, at, result)) = &self.0
            && Arc::ptr_eq(known, verifier)
            && *at == place
        {
            return result.clone().map_err(NotValid::Fault);
        }
        let request = TokenRequest {
            unix_s: cx.unix_s,
            cache: cx.tokens,
            answers: &cx.answers,
            presented: cx.presented,
            client_cert: cx.client_cert.as_ref().map(HeaderValue::as_bytes),
            head,
            url: &|| seen_url(&head.headers, cx.scheme, cx.authority?, head.path()),
            normalise: |path| normalise(path).ok().map(Cow::into_owned),
        };
        let fault = |reason| Err(Fault::Token(reason));
        let result = match verifier.judge(credential, &request) {
            Judged::Valid(token) | Judged::Proved(token, _) if is_revoked(&token, cx) => {
                fault(Reason::Revoked)
            }
            Judged::Valid(token) => Ok((token, None)),
            Judged::Proved(token, proved) => Ok((token, Some(proved))),
            Judged::Fault(reason) => fault(reason),
            Judged::Unproved(reason) => Err(Fault::Proof(reason)),
            Judged::Ask(effect) => return Err(NotValid::Ask(effect)),
        };
        self.0 = Some((verifier, place, result.clone()));
        result.map_err(NotValid::Fault)
    }
}

/// True if the token is revoked, or the certificate that it is bound to.
fn is_revoked(token: &Identity, cx: &Cx<'_>) -> bool {
    let certificate = token.bound.and_then(|bound| bound.certificate);
    let mut all = std::iter::once(token.sha256).chain(certificate);
    all.any(|sha256| cx.revoked.contains(&sha256))
}

/// Consumer that owns a credential. None if the credential is unknown, expired or revoked.
fn known(owners: &FxHashMap<[u8; 32], Owner>, credential: &[u8], cx: &Cx<'_>) -> Option<Known> {
    let sha256: [u8; 32] = Sha256::digest(credential).into();
    let owner = owners.get(&sha256)?;
    let in_time = owner.not_after.is_none_or(|end| cx.unix_s < end);
    (in_time && !cx.revoked.contains(&sha256)).then_some(Known {
        sha256,
        consumer: Some(owner.consumer),
        token: None,
        proved: None,
    })
}

fn decode_base64(token: &[u8]) -> Option<Vec<u8>> {
    STANDARD
        .decode(token)
        .or_else(|_| STANDARD_NO_PAD.decode(token))
        .ok()
}

/// Adds the field of a place if its name has `-`, `_` or `.`, which some servers do not
/// distinguish. Fields in the list already are not added again.
fn add_folding(folding: &mut Vec<Box<str>>, place: &Place) {
    if let Place::Header(name) = place
        && name.contains(['-', '_', '.'])
        && folding.iter().all(|known| **known != **name)
    {
        folding.push(name.as_str().into());
    }
}

/// Adds the field of a place, unless it is in the list already.
fn add_field(fields: &mut Vec<HeaderName>, place: &Place) {
    if let Place::Header(name) = place
        && let Ok(name) = HeaderName::try_from(name.as_str())
        && !fields.contains(&name)
    {
        fields.push(name);
    }
}

#[cfg(test)]
mod tests;
