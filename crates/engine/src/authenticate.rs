//! OpenAPI's `security`, enforced as written.
//!
//! Alternatives in order, the first that is satisfied gives the principal. An optional one (`{}`)
//! lets in who shows no credential; a credential that is there but wrong is 401, never a
//! downgrade. Two credentials in one place are 400: nobody can say which counts; so are tokens in
//! two places that no alternative asks for together (RFC 6750 §2). An alternative that asks for
//! several credentials is satisfied only if they do not belong to two consumers or to two bearers
//! of one issuer.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bundle::ir;
use http::{HeaderMap, HeaderName, HeaderValue};
use policy::auth::jwt::{self, Identity, Reason};
use policy::auth::{self, Held, Place, decode_basic};
use policy::{Cx, NO_CLAIMS, Principal, Reject, RequestHead, Shown};
use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};

use crate::consumers::{self, Consumer};
use crate::credentials::{Credentials, Owner};
use crate::edge::is_lookalike;
use crate::strip::{overlap, strip, stripped_places};
use crate::verifiers::Verifiers;
use challenges::Challenges;
use passes::Passes;

mod challenges;
mod passes;

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
static SCOPE_MISSING: Reject = Reject {
    status: 403,
    code: "insufficient_scope",
    title: "The token does not have the scope",
};

/// Every way in which authentication refuses.
pub(crate) static REJECTS: [&Reject; 6] = [
    &MISSING,
    &INVALID,
    &AMBIGUOUS,
    &CONFLICT,
    &TOKEN_INVALID,
    &SCOPE_MISSING,
];

/// True if a refusal says that a token is not valid.
fn is_token_invalid(reject: &Reject) -> bool {
    reject.code == TOKEN_INVALID.code
}

/// A security requirement, linked.
#[derive(Debug)]
pub(crate) struct Requirement {
    alternatives: Box<[Box<[Use]>]>,
    optional: bool,
    challenges: Challenges,
    /// Places of tokens, if there are several.
    token_places: Box<[Place]>,
    /// Fields that hold credentials and whose names some servers read in others, too.
    folding: Box<[Box<str>]>,
    /// Fields that hold credentials.
    fields: Arc<[HeaderName]>,
    /// Places of credentials that the upstream must not see: those of the whole API.
    stripped: Box<[Place]>,
}

#[derive(Debug)]
struct Use {
    scheme: Box<str>,
    place: Place,
    check: Check,
    /// Scopes that a token must have.
    scopes: Box<[Box<str>]>,
    strip: bool,
    passes: Passes,
}

#[derive(Debug)]
enum Check {
    Key,
    Basic,
    Token(Arc<jwt::Verifier>),
    /// The upstream checks it; here it must only be there.
    Held,
}

/// A credential that may be used now.
struct Known {
    sha256: [u8; 32],
    /// Index of the consumer that owns the credential.
    consumer: Option<u32>,
    token: Option<Arc<Identity>>,
}

/// The owner of the credentials of one alternative.
#[derive(Default)]
struct Caller<'s> {
    consumer: Option<u32>,
    token: Option<Arc<Identity>>,
    /// The scheme of the first of them.
    scheme: Option<&'s str>,
}

enum Outcome {
    Satisfied(Option<Known>),
    Absent,
    Invalid,
    /// A token is refused.
    Fault(Reason),
    /// A valid token lacks a scope.
    Unscoped,
    Several,
}

/// The last token that was verified: alternatives often ask for the same one.
#[derive(Default)]
struct Verified<'s>(Option<(&'s Arc<jwt::Verifier>, &'s Place, TokenResult)>);

type TokenResult = Result<Arc<Identity>, Reason>;

/// Reasons for which alternatives were not satisfied.
#[derive(Default)]
struct Faults {
    invalid: bool,
    conflict: bool,
    unscoped: bool,
    token: Option<Reason>,
}

// === impl Requirement ===

impl Requirement {
    /// Links a requirement to the schemes and verifiers that it names; the name that does not
    /// exist otherwise.
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
                    Some((auth::Checked::Jwt(_), Some(verifier))) => {
                        if !token_places.contains(&scheme.place) {
                            token_places.push(scheme.place.clone());
                        }
                        Check::Token(Arc::clone(verifier))
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

    /// Fields that hold credentials; `Authorization` and `Cookie` are not named.
    pub(crate) fn fields(&self) -> &Arc<[HeaderName]> {
        &self.fields
    }

    pub(crate) fn challenges(&self, reject: &Reject) -> &[HeaderValue] {
        let is = |other: &Reject| other.code == reject.code;
        if is(&SCOPE_MISSING) {
            &self.challenges.scope
        } else if is(&TOKEN_INVALID) {
            &self.challenges.invalid
        } else if reject.status == 401 && REJECTS.iter().any(|one| is(one)) {
            &self.challenges.missing
        } else {
            &[]
        }
    }

    /// Checks a request; on success the principal stands in `cx`, and credentials that the
    /// upstream shall not see are gone from the head.
    pub(crate) fn check<'s>(
        &'s self,
        head: &mut RequestHead,
        cx: &mut Cx<'s>,
        credentials: &Credentials,
        consumers: &'s [Consumer],
    ) -> Result<(), &'static Reject> {
        if !self.folding.is_empty() {
            cx.lookalikes += self.take_lookalikes(&mut head.headers);
        }
        if self.has_stray_token(head) {
            return Err(&AMBIGUOUS);
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
                        if !caller.join(known, &wanted.scheme) {
                            satisfied = false;
                            faults.conflict = true;
                        }
                    }
                    Outcome::Invalid => faults.invalid = true,
                    Outcome::Fault(reason) => faults.add(reason),
                    Outcome::Unscoped => faults.unscoped = true,
                    Outcome::Several => return Err(&AMBIGUOUS),
                }
            }
            if satisfied {
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
                cx.token_fault = faults.token.filter(|_| is_token_invalid(reject));
                Err(reject)
            }
            None if self.optional => {
                // A part of an alternative may be there.
                self.strip(&[], head);
                Ok(())
            }
            None => Err(&MISSING),
        }
    }

    /// True if tokens stand in several places and no alternative asks for all of them.
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
    /// Adds a credential; false if it belongs to another consumer or another bearer.
    fn join(&mut self, known: Known, scheme: &'s str) -> bool {
        self.scheme.get_or_insert(scheme);
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
    /// Another issuer's verifier at the same place says less than the token's own.
    fn add(&mut self, reason: Reason) {
        if self.token.is_none_or(|known| known == Reason::Issuer) {
            self.token = Some(reason);
        }
    }

    fn reject(&self) -> Option<&'static Reject> {
        let is_foreign = self.token == Some(Reason::Issuer);
        match self {
            Self { token: Some(_), .. } if !(is_foreign && self.unscoped) => Some(&TOKEN_INVALID),
            Self { invalid: true, .. } => Some(&INVALID),
            Self { conflict: true, .. } => Some(&CONFLICT),
            Self { unscoped: true, .. } => Some(&SCOPE_MISSING),
            _ => None,
        }
    }
}

impl Requirement {
    /// Takes out what is no credential here, and would be one for a server that reads `_` or `.` as
    /// `-` (CVE-2026-88011): who was let in by one credential must not be somebody else there.
    fn take_lookalikes(&self, headers: &mut HeaderMap) -> u32 {
        let is_doomed = |other: &str| {
            let mut folding = self.folding.iter();
            folding.any(|name| is_lookalike(other, name))
                && self.folding.iter().all(|name| **name != *other)
        };
        // Of most requests nothing is.
        let doomed = headers.keys().filter(|other| is_doomed(other.as_str()));
        let doomed: Vec<HeaderName> = doomed.cloned().collect();
        for other in &doomed {
            headers.remove(other);
        }
        u32::try_from(doomed.len()).unwrap_or(u32::MAX)
    }

    /// True if the upstream must not see some credentials of a request.
    pub(crate) fn strips(&self) -> bool {
        !self.stripped.is_empty()
    }

    /// Takes the API's stripped credentials out of a request that asks for none. Returns the number
    /// of fields that look like one of them, which are taken out as well.
    pub(crate) fn strip_all(&self, head: &mut RequestHead) -> u32 {
        self.strip(&[], head);
        self.take_lookalikes(&mut head.headers)
    }

    /// Takes the API's stripped credentials out, but never what the satisfied alternative leaves
    /// in the same place.
    fn strip(&self, satisfied: &[Use], head: &mut RequestHead) {
        for place in &self.stripped {
            let mut kept = satisfied.iter().filter(|wanted| !wanted.strip);
            if !kept.any(|wanted| overlap(&wanted.place, place)) {
                strip(place, head);
            }
        }
    }
}

impl Use {
    fn outcome<'s>(
        &'s self,
        head: &RequestHead,
        cx: &Cx<'_>,
        (credentials, consumers): (&Credentials, &[Consumer]),
        verified: &mut Verified<'s>,
    ) -> Outcome {
        let credential = match self.place.held(head) {
            Held::Absent => return Outcome::Absent,
            Held::Several => return Outcome::Several,
            Held::One(credential) => credential,
        };
        let known = match &self.check {
            Check::Held => return Outcome::Satisfied(None),
            Check::Key => known(&credentials.keys, &credential, cx),
            Check::Basic => decode_basic(&credential, decode_base64)
                .and_then(|pair| known(&credentials.basic, &pair, cx)),
            Check::Token(verifier) => {
                return match verified.verify((verifier, &self.place), &credential, cx) {
                    Err(reason) => Outcome::Fault(reason),
                    Ok(token) if !token.has_scopes(&self.scopes) => Outcome::Unscoped,
                    Ok(token) => Outcome::Satisfied(Some(Known {
                        sha256: token.sha256,
                        consumer: consumers::of_token(consumers, &token),
                        token: Some(token),
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
        (verifier, place): (&'s Arc<jwt::Verifier>, &'s Place),
        credential: &[u8],
        cx: &Cx<'_>,
    ) -> TokenResult {
        if let Some((known, at, result)) = &self.0
            && Arc::ptr_eq(known, verifier)
            && *at == place
        {
            return result.clone();
        }
        let result = verifier.verify_with(credential, cx.unix_s, cx.tokens);
        let result = result.and_then(|token| match cx.revoked.contains(&token.sha256) {
            true => Err(Reason::Revoked),
            false => Ok(token),
        });
        self.0 = Some((verifier, place, result.clone()));
        result
    }
}

/// The consumer that owns a credential which may be used now.
fn known(owners: &FxHashMap<[u8; 32], Owner>, credential: &[u8], cx: &Cx<'_>) -> Option<Known> {
    let sha256: [u8; 32] = Sha256::digest(credential).into();
    let owner = owners.get(&sha256)?;
    let in_time = owner.not_after.is_none_or(|end| cx.unix_s < end);
    (in_time && !cx.revoked.contains(&sha256)).then_some(Known {
        sha256,
        consumer: Some(owner.consumer),
        token: None,
    })
}

fn decode_base64(token: &[u8]) -> Option<Vec<u8>> {
    STANDARD
        .decode(token)
        .or_else(|_| STANDARD_NO_PAD.decode(token))
        .ok()
}

/// Adds the field of a place whose name some servers read in others, too, unless it is there.
fn add_folding(folding: &mut Vec<Box<str>>, place: &Place) {
    if let Place::Header(name) = place
        && name.contains(['-', '_', '.'])
        && folding.iter().all(|known| **known != **name)
    {
        folding.push(name.as_str().into());
    }
}

/// Adds the field of a place, unless it is there.
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
