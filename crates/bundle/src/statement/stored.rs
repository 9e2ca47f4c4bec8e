//! Stored statements: the envelope as a blob, and a manifest of it.
//!
//! The digest of the manifest identifies the statement everywhere: in `evidence`, in `previous`,
//! and in the link of a channel. The `subject` and the annotations of the manifest are for people
//! and tools (`oras discover`); gwc and gwd do not use them. release.md §2.

use std::collections::BTreeMap;

use crate::digest::Digest;
use crate::oci::{Descriptor, EMPTY_BLOB, ImageManifest, MANIFEST_BYTES_MAX};
use crate::refused::Refused;
use crate::store::{self, Blobs};

use super::envelope::{ENVELOPE_BYTES_MAX, Envelope, SIGSTORE_BUNDLE};
use super::predicate_type;

const CONTENT: &str = "dev.sigstore.bundle.content";
const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";
const WHAT: &str = "statement manifest";

/// Files of a statement in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Bytes of the statement's manifest.
    pub manifest: Vec<u8>,
    /// Bytes of the envelope, the manifest's only layer.
    pub envelope: Vec<u8>,
}

impl Stored {
    /// Creates the files for an envelope. `subject` is information for people and tools.
    ///
    /// # Errors
    /// As [`Envelope::encode`].
    pub fn new(envelope: &Envelope, subject: Option<Descriptor>) -> Result<Self, Refused> {
        let bytes = envelope.encode()?;
        let layer = Descriptor::of(SIGSTORE_BUNDLE, &bytes);
        let mut manifest = ImageManifest::new(SIGSTORE_BUNDLE, Descriptor::empty(), vec![layer]);
        manifest.subject = subject;
        manifest.annotations = BTreeMap::from([
            (CONTENT.to_owned(), "dsse-envelope".to_owned()),
            (
                PREDICATE_TYPE.to_owned(),
                predicate_type(envelope.payload())?,
            ),
        ]);
        Ok(Self {
            manifest: manifest.encode(),
            envelope: bytes,
        })
    }

    /// Digest of the manifest, which identifies the statement.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    /// All blobs to store, with the manifest as the last one.
    #[must_use]
    pub fn blobs(&self) -> [&[u8]; 3] {
        [EMPTY_BLOB, &self.envelope, &self.manifest]
    }
}

/// True if a manifest claims to contain a statement in this role. Callers must also check the role
/// in the statement itself.
#[cfg(feature = "folder")]
pub(crate) fn is_of(manifest: &ImageManifest, role: super::predicate::Role) -> bool {
    let claimed = manifest.annotations.get(PREDICATE_TYPE);
    claimed.is_some_and(|claimed| claimed == role.predicate_type())
}

/// Reads the envelope of a statement. Does not verify its signatures.
///
/// # Errors
/// [`Refused::NotABundle`] if the manifest is not that of a statement; [`Refused::BlobMissing`] or
/// [`Refused::BadDigest`] if a blob is missing or damaged; the errors of [`Envelope::decode`].
pub fn open(blobs: &dyn Blobs, digest: &Digest) -> Result<Envelope, Refused> {
    let manifest = store::read(blobs, digest, MANIFEST_BYTES_MAX)?;
    let layer = layer(&manifest)?;
    Envelope::decode(&store::read_exact(blobs, &layer)?)
}

/// Descriptor of the envelope in a statement's manifest.
///
/// # Errors
/// [`Refused::NotABundle`] if the manifest is not that of a statement.
pub fn layer(manifest: &[u8]) -> Result<Descriptor, Refused> {
    let manifest = ImageManifest::decode(WHAT, manifest)?;
    if manifest.artifact_type != SIGSTORE_BUNDLE || manifest.config != Descriptor::empty() {
        return Err(Refused::NotABundle { what: "statement" });
    }
    let [layer] = <[Descriptor; 1]>::try_from(manifest.layers)
        .map_err(|_| Refused::malformed(WHAT, "not exactly one layer"))?;
    if layer.media_type != SIGSTORE_BUNDLE {
        return Err(Refused::malformed(
            WHAT,
            "the layer has an unexpected media type",
        ));
    }
    if layer.size > ENVELOPE_BYTES_MAX {
        return Err(Refused::TooLarge {
            what: "envelope",
            limit: ENVELOPE_BYTES_MAX,
        });
    }
    Ok(layer)
}
