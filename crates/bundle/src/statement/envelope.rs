//! DSSE envelope (DSSE v1, `protocol.md`): a payload and its signatures.
//!
//! The signed bytes are the pre-authentication encoding (PAE) of the payload's type and the
//! payload. A signature for one type is therefore not valid for another.
//!
//! An envelope is stored as a sigstore bundle v0.3 in canonical JSON (sorted keys, no white space).
//! Its signatures are sorted by key id, so that the bytes do not depend on the order of signing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::json;
use crate::keys::{KeyId, PrivateKey};
use crate::refused::Refused;

use super::Statement;
use super::predicate::Predicate;

/// Payload type of all envelopes.
pub const PAYLOAD: &str = "application/vnd.in-toto+json";
/// Media type of a stored envelope.
pub const SIGSTORE_BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// Maximum number of signatures in an envelope.
pub const SIGNATURES_MAX: usize = 32;
/// Maximum size of a stored envelope, in bytes. A revocation list of this size has about 40,000
/// credentials.
pub const ENVELOPE_BYTES_MAX: u64 = 8 << 20;

/// Payload with signatures. Decoding checks the format and does not verify signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    payload: Vec<u8>,
    signatures: Vec<Signature>,
}

/// Signature over the envelope's [`Envelope::signed_bytes`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Id of the signing key, as the envelope states it. Not trusted: verification tries every
    /// trusted key.
    pub keyid: KeyId,
    /// ECDSA signature in DER.
    pub der: Vec<u8>,
}

impl Envelope {
    /// Creates an unsigned envelope.
    ///
    /// # Errors
    /// As [`Statement::encode`].
    pub fn new<P: Predicate>(statement: &Statement<P>) -> Result<Self, Refused> {
        Ok(Self {
            payload: statement.encode()?,
            signatures: Vec::new(),
        })
    }

    /// Adds a signature. Replaces an earlier signature by the same key.
    pub fn sign(&mut self, key: &PrivateKey) {
        let keyid = key.public().id();
        let der = key.sign(&self.signed_bytes());
        self.signatures.retain(|signature| signature.keyid != keyid);
        self.signatures.push(Signature { keyid, der });
        self.signatures.sort_by_key(|signature| signature.keyid);
    }

    /// Like [`Self::sign`], but returns the envelope.
    #[must_use]
    pub fn signed_by(mut self, key: &PrivateKey) -> Self {
        self.sign(key);
        self
    }

    /// Payload of the envelope. Verify the signatures before you trust it.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Signatures, sorted by key id.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Signed bytes: `DSSEv1 28 application/vnd.in-toto+json <length> <payload>`.
    #[must_use]
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes =
            format!("DSSEv1 {} {PAYLOAD} {} ", PAYLOAD.len(), self.payload.len()).into_bytes();
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    /// Encodes the envelope in its stored format.
    ///
    /// # Errors
    /// [`Refused::TooLarge`] beyond [`ENVELOPE_BYTES_MAX`] or [`SIGNATURES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, Refused> {
        let signatures = self.signatures.iter().map(|signature| DsseSignature {
            keyid: signature.keyid,
            sig: STANDARD.encode(&signature.der),
        });
        let hint = self.signatures.first().map(|first| first.keyid.to_string());
        let stored = Sigstore {
            dsse_envelope: Dsse {
                payload: STANDARD.encode(&self.payload),
                payload_type: PAYLOAD.to_owned(),
                signatures: signatures.collect(),
            },
            media_type: SIGSTORE_BUNDLE.to_owned(),
            verification_material: Material {
                public_key: Hint {
                    hint: hint.unwrap_or_default(),
                },
            },
        };
        let bytes = json::encode(WHAT, &stored)?;
        check_limits(bytes.len(), self.signatures.len())?;
        Ok(bytes)
    }

    /// Decodes the stored format of an envelope.
    ///
    /// # Errors
    /// [`Refused::TooLarge`] beyond [`ENVELOPE_BYTES_MAX`] or [`SIGNATURES_MAX`];
    /// [`Refused::Malformed`] or [`Refused::NotCanonical`] for bytes that [`Envelope::encode`]
    /// would not have written.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refused> {
        check_limits(bytes.len(), 0)?;
        let Sigstore {
            dsse_envelope: dsse,
            media_type,
            ..
        } = json::decode(WHAT, bytes)?;
        check_limits(bytes.len(), dsse.signatures.len())?;
        if media_type != SIGSTORE_BUNDLE || dsse.payload_type != PAYLOAD {
            return Err(Refused::malformed(WHAT, "of an unknown type"));
        }
        let binary = |text: &str| {
            let bytes = STANDARD.decode(text);
            bytes.map_err(|_| Refused::malformed(WHAT, "not base64"))
        };
        let signatures = dsse.signatures.iter().map(|signature| {
            Ok(Signature {
                keyid: signature.keyid,
                der: binary(&signature.sig)?,
            })
        });
        let envelope = Self {
            payload: binary(&dsse.payload)?,
            signatures: signatures.collect::<Result<_, Refused>>()?,
        };
        let ascending = |pair: &[Signature]| pair[0].keyid < pair[1].keyid;
        let sorted = envelope.signatures.windows(2).all(ascending);
        if !sorted || envelope.encode()? != bytes {
            return Err(Refused::NotCanonical { what: WHAT });
        }
        Ok(envelope)
    }
}

const WHAT: &str = "envelope";

fn check_limits(bytes: usize, signatures: usize) -> Result<(), Refused> {
    if bytes as u64 > ENVELOPE_BYTES_MAX {
        return Err(Refused::TooLarge {
            what: WHAT,
            limit: ENVELOPE_BYTES_MAX,
        });
    }
    if signatures > SIGNATURES_MAX {
        return Err(Refused::TooLarge {
            what: "number of signatures",
            limit: SIGNATURES_MAX as u64,
        });
    }
    Ok(())
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Sigstore {
    dsse_envelope: Dsse,
    media_type: String,
    verification_material: Material,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Dsse {
    payload: String,
    payload_type: String,
    signatures: Vec<DsseSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DsseSignature {
    keyid: KeyId,
    sig: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Material {
    public_key: Hint,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hint {
    hint: String,
}
