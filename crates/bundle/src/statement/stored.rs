//! A statement in a store: the envelope as a blob, and a manifest that says what it is about.
//!
//! The digest of the manifest is the statement's name everywhere: in `evidence`, in `previous`,
//! in a channel's file. Its `subject` and annotations are for people and tools (`oras discover`);
//! programs neither follow nor believe
//! them. release.md §2.

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

/// The bytes of a statement as they lie in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// The envelope's bytes, the manifest's one layer.
    pub envelope: Vec<u8>,
}

impl Stored {
    /// Wraps an envelope.
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

    /// The statement's name.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    /// Every blob that has to be stored, the manifest last.
    #[must_use]
    pub fn blobs(&self) -> [&[u8]; 3] {
        [EMPTY_BLOB, &self.envelope, &self.manifest]
    }
}

/// Reads a statement's envelope. Nothing in it is verified yet.
///
/// # Errors
/// [`Refused::BlobMissing`], [`Refused::BadDigest`], [`Refused::NotABundle`] and what
/// [`Envelope::decode`] says.
pub fn open(blobs: &dyn Blobs, digest: &Digest) -> Result<Envelope, Refused> {
    let manifest = store::read(blobs, digest, MANIFEST_BYTES_MAX)?;
    let layer = layer(&manifest)?;
    Envelope::decode(&store::read_exact(blobs, &layer)?)
}

/// The descriptor of the envelope in a statement's manifest.
///
/// # Errors
/// [`Refused::NotABundle`] if the manifest is not one of a statement.
pub fn layer(manifest: &[u8]) -> Result<Descriptor, Refused> {
    let manifest = ImageManifest::decode(WHAT, manifest)?;
    if manifest.artifact_type != SIGSTORE_BUNDLE || manifest.config != Descriptor::empty() {
        return Err(Refused::NotABundle { what: "statement" });
    }
    let [layer] = <[Descriptor; 1]>::try_from(manifest.layers)
        .map_err(|_| Refused::malformed(WHAT, "not exactly one layer"))?;
    if layer.media_type != SIGSTORE_BUNDLE {
        return Err(Refused::malformed(WHAT, "a layer of another kind"));
    }
    if layer.size > ENVELOPE_BYTES_MAX {
        return Err(Refused::TooLarge {
            what: "envelope",
            limit: ENVELOPE_BYTES_MAX,
        });
    }
    Ok(layer)
}
