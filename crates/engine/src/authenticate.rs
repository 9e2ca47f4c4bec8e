//! OpenAPI's `security`, enforced as written.
//!
//! Alternatives in order, the first that is satisfied gives the principal. An optional one (`{}`)
//! lets in who shows no credential; a credential that is there but wrong is 401, never a
//! downgrade. Two credentials in one place are 400: nobody can say which counts.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bundle::ir;
use http::{HeaderMap, HeaderValue};
use policy::auth::{self, Held, Place, decode_basic};
use policy::{Cx, Principal, Reject, RequestHead};
use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};

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

/// Every way in which authentication refuses.
pub(crate) static REJECTS: [&Reject; 3] = [&MISSING, &INVALID, &AMBIGUOUS];

/// A security requirement, linked.
#[derive(Debug)]
pub(crate) struct Requirement {
    alternatives: Box<[Box<[Use]>]>,
    optional: bool,
    challenges: Box<[HeaderValue]>,
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

/// The credentials of all consumers by their hash.
#[derive(Debug, Default)]
pub(crate) struct Credentials {
    keys: FxHashMap<[u8; 32], Owner>,
    basic: FxHashMap<[u8; 32], Owner>,
}

#[derive(Clone, Copy, Debug)]
struct Owner {
    consumer: u32,
    not_after: Option<u64>,
}

enum Outcome {
    Satisfied(Option<u32>),
    Absent,
    Invalid,
    Several,
}

// === impl Credentials ===

impl Credentials {
    /// Indexes all consumers' credentials; none where two consumers have the same one.
    pub(crate) fn index(consumers: &ir::Set<ir::Consumer>) -> Option<Self> {
        let mut index = Self::default();
        for (number, consumer) in (0u32..).zip(consumers) {
            for (map, list) in [
                (&mut index.keys, &consumer.keys),
                (&mut index.basic, &consumer.basic),
            ] {
                for credential in list {
                    let owner = Owner {
                        consumer: number,
                        not_after: credential.not_after,
                    };
                    if map.insert(credential.sha256, owner).is_some() {
                        return None;
                    }
                }
            }
        }
        Some(index)
    }
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
                        Some(verifiers.get(name).ok_or_else(|| name.clone())?)
                    }
                };
                let challenge =
                    challenge(&scheme.place, verifier.map(|verifier| &verifier.checked));
                if !challenges.contains(&challenge) {
                    challenges.push(challenge);
                }
                let check = match verifier.map(|verifier| &verifier.checked) {
                    None => Check::Held,
                    Some(auth::Checked::ApiKey(_)) => Check::Key,
                    Some(auth::Checked::Basic(_)) => Check::Basic,
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
        })
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
        consumers: &'s [Box<str>],
    ) -> Result<(), &'static Reject> {
        let mut invalid = false;
        for alternative in &self.alternatives {
            let mut principal = None;
            let mut satisfied = true;
            for wanted in alternative {
                match wanted.outcome(head, cx, credentials) {
                    Outcome::Satisfied(consumer) => {
                        let named = consumer.and_then(|consumer| consumers.get(consumer as usize));
                        principal = principal.or_else(|| {
                            named.map(|consumer| Principal {
                                consumer,
                                scheme: &wanted.scheme,
                            })
                        });
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
                cx.principal = principal;
                strip(alternative, head);
                return Ok(());
            }
        }
        match (invalid, self.optional) {
            (true, _) => Err(&INVALID),
            (false, true) => Ok(()),
            (false, false) => Err(&MISSING),
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
        owner.map_or(Outcome::Invalid, |consumer| {
            Outcome::Satisfied(Some(consumer))
        })
    }
}

/// The consumer that owns a credential which may be used now.
fn known(owners: &FxHashMap<[u8; 32], Owner>, credential: &[u8], cx: &Cx<'_>) -> Option<u32> {
    let sha256: [u8; 32] = Sha256::digest(credential).into();
    let owner = owners.get(&sha256)?;
    let in_time = owner.not_after.is_none_or(|end| cx.unix_s < end);
    (in_time && !cx.revoked.contains(&sha256)).then_some(owner.consumer)
}

fn decode_base64(token: &[u8]) -> Option<Vec<u8>> {
    STANDARD
        .decode(token)
        .or_else(|_| STANDARD_NO_PAD.decode(token))
        .ok()
}

fn strip(alternative: &[Use], head: &mut RequestHead) {
    for wanted in alternative.iter().filter(|wanted| wanted.strip) {
        strip_one(&wanted.place, head);
    }
}

fn strip_one(place: &Place, head: &mut RequestHead) {
    let headers: &mut HeaderMap = &mut head.headers;
    if place.strip_headers(headers) {
        return;
    }
    let Some(query) = head
        .target
        .query()
        .and_then(|query| place.strip_query(query))
    else {
        return;
    };
    let target = if query.is_empty() {
        head.target.path().to_owned()
    } else {
        format!("{}?{query}", head.target.path())
    };
    if let Ok(target) = target.parse() {
        head.target = target;
    }
}

/// What a 401 asks for (RFC 9110 §11.6.1). Keys have no registered scheme; the place is told, so
/// that a developer knows what is missing.
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
