//! OpenAPI's `security`, enforced as written.
//!
//! Alternatives in order, the first that is satisfied gives the principal. An optional one (`{}`)
//! lets in who shows no credential; a credential that is there but wrong is 401, never a
//! downgrade. Two credentials in one place are 400: nobody can say which counts. An alternative
//! that asks for several credentials is satisfied only if all of them belong to one consumer.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bundle::ir;
use http::{HeaderMap, HeaderName, HeaderValue};
use policy::auth::{self, Held, Place, decode_basic};
use policy::{Cx, Principal, Reject, RequestHead, Shown};
use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};

use crate::consumers::Consumer;
use crate::credentials::{Credentials, Owner};
use crate::edge::is_lookalike;
use crate::strip::{overlap, strip, stripped_places};

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

/// Every way in which authentication refuses.
pub(crate) static REJECTS: [&Reject; 4] = [&MISSING, &INVALID, &AMBIGUOUS, &CONFLICT];

/// A security requirement, linked.
#[derive(Debug)]
pub(crate) struct Requirement {
    alternatives: Box<[Box<[Use]>]>,
    optional: bool,
    challenges: Box<[HeaderValue]>,
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
    strip: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Key,
    Basic,
    /// The upstream checks it; here it must only be there.
    Held,
}

/// A credential that may be used now.
struct Known {
    sha256: [u8; 32],
    /// Index of the consumer that owns the credential.
    consumer: u32,
}

enum Outcome {
    Satisfied(Option<Known>),
    Absent,
    Invalid,
    Several,
}

// === impl Requirement ===

impl Requirement {
    /// Links a requirement to the schemes and verifiers that it names; the name that does not
    /// exist otherwise.
    pub(crate) fn link(
        security: &ir::Security,
        schemes: &ir::Set<ir::Scheme>,
        verifiers: &ir::Set<ir::Verifier>,
    ) -> Result<Self, String> {
        let mut alternatives = Vec::new();
        let mut challenges: Vec<HeaderValue> = Vec::new();
        let mut folding: Vec<Box<str>> = Vec::new();
        let stripped = stripped_places(schemes);
        let mut fields: Vec<HeaderName> = Vec::new();
        for place in &stripped {
            add_field(&mut fields, place);
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
                    ir::Verify::Auth(name) => {
                        Some(&verifiers.get(name).ok_or_else(|| name.clone())?.checked)
                    }
                    ir::Verify::Inline(checked) => Some(checked),
                };
                let challenge = challenge(&scheme.place, verifier);
                if !challenges.contains(&challenge) {
                    challenges.push(challenge);
                }
                if let Place::Header(name) = &scheme.place
                    && name.contains(['-', '_', '.'])
                    && folding.iter().all(|known| **known != **name)
                {
                    folding.push(name.as_str().into());
                }
                add_field(&mut fields, &scheme.place);
                let check = match verifier {
                    None => Check::Held,
                    Some(auth::Checked::ApiKey(_)) => Check::Key,
                    Some(auth::Checked::Basic(_)) => Check::Basic,
                    Some(auth::Checked::Declared(declared)) => {
                        return Err(declared.kind.clone());
                    }
                };
                uses.push(Use {
                    scheme: scheme.name.as_str().into(),
                    place: scheme.place.clone(),
                    check,
                    strip: scheme.strip_credential,
                });
            }
            alternatives.push(uses.into());
        }
        Ok(Self {
            alternatives: alternatives.into(),
            optional: security.admits_anyone(),
            challenges: challenges.into(),
            folding: folding.into(),
            fields: fields.into(),
            stripped,
        })
    }

    /// Fields that hold credentials; `Authorization` and `Cookie` are not named.
    pub(crate) fn fields(&self) -> &Arc<[HeaderName]> {
        &self.fields
    }

    pub(crate) fn challenges(&self) -> &[HeaderValue] {
        &self.challenges
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
        let (mut invalid, mut conflict) = (false, false);
        for alternative in &self.alternatives {
            // The consumer whom all credentials of the alternative belong to, and the scheme of
            // the first of them.
            let mut owner: Option<(u32, &'s str)> = None;
            let mut shown = Shown::default();
            let mut satisfied = true;
            for wanted in alternative {
                match wanted.outcome(head, cx, credentials) {
                    Outcome::Satisfied(None) => {}
                    Outcome::Satisfied(Some(known)) => {
                        shown.add(known.sha256);
                        let (first, _) = *owner.get_or_insert((known.consumer, &wanted.scheme));
                        if first != known.consumer {
                            satisfied = false;
                            conflict = true;
                        }
                    }
                    Outcome::Absent => satisfied = false,
                    Outcome::Invalid => {
                        satisfied = false;
                        invalid = true;
                    }
                    Outcome::Several => return Err(&AMBIGUOUS),
                }
            }
            if satisfied {
                cx.principal = owner.and_then(|(number, scheme)| {
                    let consumer = consumers.get(number as usize)?;
                    Some(Principal {
                        consumer: &consumer.name,
                        scheme,
                        claims: &consumer.claims,
                    })
                });
                cx.shown = shown;
                self.strip(alternative, head);
                return Ok(());
            }
        }
        match (invalid, conflict, self.optional) {
            (true, _, _) => Err(&INVALID),
            (false, true, _) => Err(&CONFLICT),
            (false, false, true) => {
                // A part of an alternative may be there.
                self.strip(&[], head);
                Ok(())
            }
            (false, false, false) => Err(&MISSING),
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

    /// Takes the API's stripped credentials out of a request that asks for none.
    pub(crate) fn strip_all(&self, head: &mut RequestHead) {
        self.strip(&[], head);
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
    fn outcome(&self, head: &RequestHead, cx: &Cx<'_>, credentials: &Credentials) -> Outcome {
        let credential = match self.place.held(head) {
            Held::Absent => return Outcome::Absent,
            Held::Several => return Outcome::Several,
            Held::One(credential) => credential,
        };
        let owner = match self.check {
            Check::Held => return Outcome::Satisfied(None),
            Check::Key => known(&credentials.keys, &credential, cx),
            Check::Basic => decode_basic(&credential, decode_base64)
                .and_then(|pair| known(&credentials.basic, &pair, cx)),
        };
        owner.map_or(Outcome::Invalid, |known| Outcome::Satisfied(Some(known)))
    }
}

/// The consumer that owns a credential which may be used now.
fn known(owners: &FxHashMap<[u8; 32], Owner>, credential: &[u8], cx: &Cx<'_>) -> Option<Known> {
    let sha256: [u8; 32] = Sha256::digest(credential).into();
    let owner = owners.get(&sha256)?;
    let in_time = owner.not_after.is_none_or(|end| cx.unix_s < end);
    let consumer = owner.consumer;
    (in_time && !cx.revoked.contains(&sha256)).then_some(Known { sha256, consumer })
}

fn decode_base64(token: &[u8]) -> Option<Vec<u8>> {
    STANDARD
        .decode(token)
        .or_else(|_| STANDARD_NO_PAD.decode(token))
        .ok()
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

/// `WWW-Authenticate` challenge of a 401 (RFC 9110 §11.6.1). Keys have no registered scheme: the
/// challenge names the place, so that a developer knows what is missing.
fn challenge(place: &Place, verifier: Option<&auth::Checked>) -> HeaderValue {
    let text = match (place, verifier) {
        (Place::Authorization(scheme), Some(auth::Checked::Basic(basic))) => {
            format!(
                "{} realm=\"{}\", charset=\"UTF-8\"",
                capital(scheme),
                basic.realm().unwrap_or("gateway")
            )
        }
        (Place::Authorization(scheme), _) => capital(scheme),
        (Place::Header(name), _) => format!("ApiKey in=\"header\", name=\"{name}\""),
        (Place::Query(name), _) => format!("ApiKey in=\"query\", name=\"{name}\""),
        (Place::Cookie(name), _) => format!("ApiKey in=\"cookie\", name=\"{name}\""),
        (Place::Certificate, _) => "Mutual".to_owned(),
    };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("ApiKey"))
}

fn capital(scheme: &str) -> String {
    let mut chars = scheme.chars();
    chars
        .next()
        .map(|first| first.to_ascii_uppercase())
        .into_iter()
        .chain(chars)
        .collect()
}

#[cfg(test)]
mod tests;
