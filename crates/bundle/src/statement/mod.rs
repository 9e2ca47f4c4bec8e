//! Signed statements: in-toto statements (v1) in DSSE envelopes.
//!
//! A statement contains its role: build, release, revoke or approve. A signature is valid for that
//! role only. Manifests are not signed directly, because a signature of a manifest would not state
//! a role. release.md §2.
//!
//! Verification first checks the signatures over the received bytes (`Trust::authorized_signers`),
//! and only then decodes the payload ([`Statement::decode`]).

pub mod envelope;
pub mod predicate;
pub mod stored;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::json;
use crate::refused::Refused;
use predicate::{Predicate, Role};

const STATEMENT: &str = "https://in-toto.io/Statement/v1";

/// In-toto statement: a `predicate` about one or several subjects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement<P> {
    /// Digests of the manifests that the statement is about. Never empty.
    pub subject: Vec<Digest>,
    /// Typed content of the statement.
    pub predicate: P,
}

impl<P: Predicate> Statement<P> {
    /// Encodes the payload in canonical JSON.
    ///
    /// # Errors
    /// [`Refused::Malformed`] for an integer of 2^53 or more, or an empty subject.
    pub fn encode(&self) -> Result<Vec<u8>, Refused> {
        if self.subject.is_empty() {
            return Err(NO_SUBJECT);
        }
        let subject = self.subject.iter().map(|digest| Subject {
            digest: SubjectDigest {
                sha256: digest.hex(),
            },
        });
        json::encode(
            "statement",
            &Payload {
                kind: STATEMENT.to_owned(),
                predicate: &self.predicate,
                predicate_type: P::TYPE.to_owned(),
                subject: subject.collect(),
            },
        )
    }

    /// Decodes a payload whose signatures have been verified.
    ///
    /// # Errors
    /// [`Refused::WrongRole`] for a statement of another type, [`Refused::Malformed`] and
    /// [`Refused::NotCanonical`] for one that [`Statement::encode`] would not have written.
    pub fn decode(payload: &[u8]) -> Result<Self, Refused> {
        let found = predicate_type(payload)?;
        if found != P::TYPE {
            return Err(Refused::WrongRole {
                wanted: P::ROLE.as_str(),
            });
        }
        let payload: Payload<P> = json::decode("statement", payload)?;
        if payload.kind != STATEMENT {
            return Err(Refused::malformed(
                "statement",
                "not an in-toto Statement v1",
            ));
        }
        if payload.subject.is_empty() {
            return Err(NO_SUBJECT);
        }
        let subject = payload.subject.iter();
        Ok(Self {
            subject: subject
                .map(|subject| Digest::from_hex(&subject.digest.sha256))
                .collect::<Result<_, _>>()?,
            predicate: payload.predicate,
        })
    }

    /// Checks that this statement is about the manifest with this digest and no other.
    ///
    /// # Errors
    /// [`Refused::WrongSubject`] if the statement is about another manifest, or about several.
    pub fn check_subject(&self, digest: &Digest) -> Result<(), Refused> {
        if self.subject != [*digest] {
            return Err(Refused::WrongSubject);
        }
        Ok(())
    }
}

/// Predicate type in a payload whose signatures are not verified. Use the result only to select how
/// the payload is verified.
pub fn predicate_type(payload: &[u8]) -> Result<String, Refused> {
    #[derive(Deserialize)]
    struct Claim {
        #[serde(rename = "predicateType")]
        predicate_type: String,
    }
    let claim: Claim =
        serde_json::from_slice(payload).map_err(|error| json::malformed("statement", &error))?;
    Ok(claim.predicate_type)
}

/// Role in a payload whose signatures are not verified. `None` if the predicate type belongs to no
/// role.
pub fn claimed_role(payload: &[u8]) -> Result<Option<Role>, Refused> {
    let found = predicate_type(payload)?;
    Ok(Role::ALL
        .into_iter()
        .find(|role| role.predicate_type() == found))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(bound(deserialize = "P: DeserializeOwned"))]
struct Payload<P> {
    #[serde(rename = "_type")]
    kind: String,
    predicate: P,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    subject: Vec<Subject>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    digest: SubjectDigest,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubjectDigest {
    sha256: String,
}

const NO_SUBJECT: Refused = Refused::malformed("statement", "has no subject");
