//! Where bundles and statements are kept.
//!
//! A store has blobs, found by digest, and chains: numbered links that are created once and never
//! change. A chain's head is its highest serial, and creating a link is the compare-and-swap.
//! Programs follow digests only; nothing at run time lists anything but serials. release.md §3.

pub mod memory;

#[cfg(feature = "folder")]
pub mod archive;
#[cfg(feature = "folder")]
pub mod folder;
#[cfg(feature = "folder")]
pub mod sweep;

use std::fmt;

use crate::digest::Digest;
use crate::name::ChannelName;
use crate::oci::Descriptor;
use crate::refused::Refused;

/// Blobs by digest. Callers read through [`read`] and [`read_exact`], which check every byte.
pub trait Blobs {
    /// The stored bytes, which may be damaged; `None` if there are none. Reads at most
    /// `bytes_max` bytes and one more, so that the caller sees that there were more.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`].
    fn fetch(&self, digest: &Digest, bytes_max: u64) -> Result<Option<Vec<u8>>, Refused>;

    /// How many bytes are stored under this digest; `None` if there are none. Says nothing about
    /// whether they are the right ones.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`].
    fn size(&self, digest: &Digest) -> Result<Option<u64>, Refused>;
}

/// A store that can be read and written.
pub trait Store: Blobs {
    /// Keeps a blob. A damaged copy that is already there is replaced.
    ///
    /// # Errors
    /// [`WriteError::Refused`] with [`Refused::StoreUnreachable`].
    fn put(&self, bytes: &[u8]) -> Result<Digest, WriteError>;

    /// Keeps several blobs, which may be much faster than one by one.
    ///
    /// # Errors
    /// As [`Store::put`].
    fn put_all(&self, blobs: &[&[u8]]) -> Result<(), WriteError> {
        for bytes in blobs {
            self.put(bytes)?;
        }
        Ok(())
    }

    /// Keeps a manifest: a blob that the store's index lists.
    ///
    /// # Errors
    /// As [`Store::put`].
    fn put_manifest(&self, bytes: &[u8]) -> Result<Digest, WriteError>;

    /// The serials of a chain, lowest first.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`].
    fn serials(&self, chain: &Chain) -> Result<Vec<u64>, Refused>;

    /// What stands under a serial; `None` if nothing does.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`], [`Refused::Malformed`] if it is not a digest.
    fn link(&self, chain: &Chain, serial: u64) -> Result<Option<Digest>, Refused>;

    /// Creates a link, if there is none under this serial yet. The digest's blob must be there.
    ///
    /// # Errors
    /// [`WriteError::Conflict`] if another writer was first (also with the same digest).
    fn create_link(&self, chain: &Chain, serial: u64, digest: &Digest) -> Result<(), WriteError>;

    /// The manifests whose `subject` is this one: for people and tools, never followed.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`].
    fn referrers(&self, subject: &Digest) -> Result<Vec<Digest>, Refused>;
}

/// A chain of numbered links.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Chain {
    /// What a channel should run.
    Channel(ChannelName),
    /// What must never run.
    Revocations,
}

/// Why something could not be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// Another writer was first: the chain moved. `gwc` ends with 3.
    Conflict {
        /// The serial that is taken.
        serial: u64,
    },
    /// Everything else.
    Refused(Refused),
}

/// Reads a blob and checks that its bytes are those the digest names.
///
/// # Errors
/// [`Refused::BlobMissing`], [`Refused::TooLarge`], [`Refused::BadDigest`],
/// [`Refused::StoreUnreachable`].
pub fn read(blobs: &dyn Blobs, digest: &Digest, bytes_max: u64) -> Result<Vec<u8>, Refused> {
    let bytes = blobs
        .fetch(digest, bytes_max)?
        .ok_or(Refused::BlobMissing { digest: *digest })?;
    if bytes.len() as u64 > bytes_max {
        return Err(Refused::TooLarge {
            what: "blob",
            limit: bytes_max,
        });
    }
    if Digest::of(&bytes) != *digest {
        return Err(Refused::BadDigest { expected: *digest });
    }
    Ok(bytes)
}

/// Reads the blob that a descriptor points at, and checks its size too. The caller has checked
/// the descriptor's size against a limit.
///
/// # Errors
/// As [`read`].
pub fn read_exact(blobs: &dyn Blobs, descriptor: &Descriptor) -> Result<Vec<u8>, Refused> {
    let expected = descriptor.digest;
    match read(blobs, &expected, descriptor.size) {
        Ok(bytes) if bytes.len() as u64 == descriptor.size => Ok(bytes),
        Ok(_) | Err(Refused::TooLarge { .. }) => Err(Refused::BadDigest { expected }),
        Err(refused) => Err(refused),
    }
}

/// Creates a link; one that is already there with the same digest is fine.
///
/// # Errors
/// [`WriteError::Conflict`] if the serial is taken by another digest.
pub fn ensure_link(
    store: &dyn Store,
    chain: &Chain,
    serial: u64,
    digest: &Digest,
) -> Result<(), WriteError> {
    match store.create_link(chain, serial, digest) {
        Err(WriteError::Conflict { .. }) if store.link(chain, serial)? == Some(*digest) => Ok(()),
        result => result,
    }
}

impl From<Refused> for WriteError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict { serial } => write!(f, "serial {serial} was taken by another writer"),
            Self::Refused(refused) => refused.fmt(f),
        }
    }
}

impl std::error::Error for WriteError {}
