//! Records to which other records refer by digest.

use crate::digest::Digest;
use crate::refused::Refused;
use crate::statement::predicate::Record;
use crate::statement::{Statement, stored};
use crate::store::Blobs;

/// Record to which a verified record refers by digest. The signatures of the linked record are not
/// checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkedRecord {
    /// Bundle named in the record.
    pub bundle: Digest,
    /// Content of the record.
    pub record: Record,
}

/// Reads a record without checking its signatures. Only for digests that a verified record
/// contains.
///
/// # Errors
/// [`Refused::BlobMissing`] or [`Refused::BadDigest`] if a blob is missing or damaged;
/// [`Refused::Malformed`] if the statement is not a record; any other error of reading a statement.
pub fn read(blobs: &dyn Blobs, digest: &Digest) -> Result<LinkedRecord, Refused> {
    let envelope = stored::open(blobs, digest)?;
    decode(envelope.payload())
}

/// Decodes the payload of a record.
pub(crate) fn decode(payload: &[u8]) -> Result<LinkedRecord, Refused> {
    let statement = Statement::<Record>::decode(payload)?;
    let [bundle] = <[Digest; 1]>::try_from(statement.subject).map_err(|_| Refused::WrongSubject)?;
    Ok(LinkedRecord {
        bundle,
        record: statement.predicate,
    })
}
