//! Signed statements: in-toto statements in DSSE envelopes.
//!
//! Manifests are not signed directly, because it would be unclear what a signature states: that the
//! bundle was built, is approved, or should run. A statement contains its role, and a signature
//! counts for that role only. release.md §2; in-toto Statement v1; DSSE v1.
//!
//! The order of verification is fixed: first the signatures over the received bytes
//! (`Trust::judge`), then the payload ([`Statement::decode`]).

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

/// In-toto statement: a `predicate` about a `subject`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement<P> {
    /// Digests of the manifests that the statement is about; never empty.
    pub subject: Vec<Digest>,
    /// Typed contents of the statement.
    pub predicate: P,
}

impl<P: Predicate> Statement<P> {
    /// Encodes the payload canonically.
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

    /// Checks that this statement is about this manifest and no other.
    ///
    /// # Errors
    /// [`Refused::WrongSubject`] otherwise.
    pub fn check_subject(&self, digest: &Digest) -> Result<(), Refused> {
        if self.subject != [*digest] {
            return Err(Refused::WrongSubject);
        }
        Ok(())
    }
}

/// Predicate type that a payload claims. Only for selecting the verification; it is not trusted.
///
/// # Errors
/// [`Refused::Malformed`] if the payload has none.
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

/// Role that a payload claims. `None` for a predicate type that this program does not know.
///
/// # Errors
/// [`Refused::Malformed`] if the payload has no type.
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
