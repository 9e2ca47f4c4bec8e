//! Source artifact of a bundle: the source locations from which the parts of the bundle come.
//! Messages and plans show these locations; no decision depends on them.
//!
//! The artifact is a manifest about the bundle with one blob: the resolved documents, and a map
//! from routes and fields to files and lines. Only gwc reads the format of the blob. The build
//! statement and each record contain the digest of the artifact. If the artifact is missing or
//! damaged, the only effect is that explanations have less detail. release.md §1.

use crate::digest::Digest;
use crate::manifest::BLOB_BYTES_MAX;
use crate::oci::{Descriptor, EMPTY_BLOB, ImageManifest, MANIFEST_BYTES_MAX};
use crate::refused::Refused;
use crate::store::{self, Batch, Blobs, Store, WriteError};

/// `artifactType` of the manifest of a source artifact.
pub const SOURCE: &str = "application/vnd.gwc.source.v1";
/// Media type of the blob of a source artifact.
pub const SOURCE_BLOB: &str = "application/vnd.gwc.source.v1+json";

/// Stores a source artifact for a bundle, and returns the digest of its manifest.
///
/// # Errors
/// [`Refused::TooLarge`] beyond [`BLOB_BYTES_MAX`], and as [`Store::put`].
pub fn put(store: &dyn Store, bytes: &[u8], bundle: Descriptor) -> Result<Digest, WriteError> {
    if bytes.len() as u64 > BLOB_BYTES_MAX {
        return Err(WriteError::Refused(Refused::TooLarge {
            what: "source artifact",
            limit: BLOB_BYTES_MAX,
        }));
    }
    let layer = Descriptor::of(SOURCE_BLOB, bytes);
    let mut manifest = ImageManifest::new(SOURCE, Descriptor::empty(), vec![layer]);
    manifest.subject = Some(bundle);
    let manifest = manifest.encode();
    store.commit(&Batch::of([EMPTY_BLOB, bytes, &manifest]))?;
    Ok(Digest::of(&manifest))
}

/// Reads the blob of a source artifact. If this fails, callers continue without the artifact.
///
/// # Errors
/// [`Refused::NotABundle`] if the manifest is not that of a source artifact;
/// [`Refused::BlobMissing`], [`Refused::BadDigest`] or another error if a blob cannot be read.
pub fn read(blobs: &dyn Blobs, digest: &Digest) -> Result<Vec<u8>, Refused> {
    store::read_exact(
        blobs,
        &layer(&store::read(blobs, digest, MANIFEST_BYTES_MAX)?)?,
    )
}

/// Descriptor of the blob in a source artifact's manifest.
///
/// # Errors
/// [`Refused::NotABundle`] if the manifest is not that of a source artifact.
pub fn layer(manifest: &[u8]) -> Result<Descriptor, Refused> {
    let manifest = ImageManifest::decode("source manifest", manifest)?;
    if manifest.artifact_type != SOURCE || manifest.config != Descriptor::empty() {
        return Err(Refused::NotABundle {
            what: "source artifact",
        });
    }
    let [layer] = <[Descriptor; 1]>::try_from(manifest.layers)
        .map_err(|_| Refused::malformed("source manifest", "not exactly one layer"))?;
    if layer.media_type != SOURCE_BLOB {
        return Err(Refused::malformed(
            "source manifest",
            "the layer has an unexpected media type",
        ));
    }
    if layer.size > BLOB_BYTES_MAX {
        return Err(Refused::TooLarge {
            what: "source artifact",
            limit: BLOB_BYTES_MAX,
        });
    }
    Ok(layer)
}
