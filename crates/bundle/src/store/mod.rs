//! Stores of bundles and statements.
//!
//! A store has blobs, found by digest, and chains of numbered links, which are created once and
//! never changed. The highest serial of a chain is its head. Creating a link works like a
//! compare-and-swap: it fails if the serial is in use. Programs find all other data by digests.
//! release.md §3.

pub mod memory;

#[cfg(feature = "folder")]
#[expect(clippy::disallowed_methods, reason = "the store in a folder")]
pub mod folder;

use std::borrow::Cow;
use std::fmt;

use crate::digest::Digest;
use crate::name::ChannelName;
use crate::oci::Descriptor;
use crate::refused::Refused;

/// Blobs by their digest. Callers read them by [`read`] and [`read_exact`], which check the digest.
pub trait Blobs {
    /// Reads the stored bytes of a blob, which may be damaged. `None` if the store does not have
    /// the blob. Reads at most `bytes_max + 1` bytes, so that the caller can detect a longer blob.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`] if the store cannot be read.
    fn fetch(&self, digest: &Digest, bytes_max: u64) -> Result<Option<Vec<u8>>, Refused>;

    /// Number of bytes that are stored for a blob. `None` if the store does not have the blob. Does
    /// not check the bytes.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`] if the store cannot be read.
    fn size(&self, digest: &Digest) -> Result<Option<u64>, Refused>;
}

/// Blobs and links that are written together. No link becomes visible before all blobs are stored.
#[derive(Clone, Debug, Default)]
pub struct Batch<'a> {
    /// Blobs, manifests included.
    pub blobs: Vec<Cow<'a, [u8]>>,
    /// Links, in the order of creation.
    pub links: Vec<Link>,
}

/// A link to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Chain of the link.
    pub chain: Chain,
    /// Serial of the link.
    pub serial: u64,
    /// Target of the link, which is in the store or in the same batch.
    pub digest: Digest,
}

/// Guard of an active writer. Clean-up waits until all guards are dropped.
#[derive(Debug, Default)]
pub struct WriterGuard {
    _lock: Option<Box<dyn fmt::Debug + Send>>,
}

/// A store that can be read and written.
pub trait Store: Blobs {
    /// Stores the blobs, then creates the links. Replaces damaged blobs.
    ///
    /// # Errors
    /// [`WriteError::Conflict`] if another writer created one of the links first, even with the
    /// same digest; earlier links of the batch remain. [`Refused::StoreUnreachable`] if the store
    /// cannot be written.
    fn commit(&self, batch: &Batch<'_>) -> Result<(), WriteError>;

    /// Returns a guard that blocks clean-up. A writer that links to an existing blob must hold the
    /// guard from its check for the blob until the link is created.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`] if the store cannot be locked, or if a clean-up takes too
    /// long.
    fn writing(&self) -> Result<WriterGuard, Refused> {
        Ok(WriterGuard::default())
    }

    /// Rewrites outdated files for people and tools, such as the `index.json` of a folder.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`] if the files cannot be written.
    fn refresh_index(&self) -> Result<(), Refused> {
        Ok(())
    }

    /// Stores one blob.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn put(&self, bytes: &[u8]) -> Result<Digest, WriteError> {
        self.commit(&Batch::of([bytes]))?;
        Ok(Digest::of(bytes))
    }

    /// Creates a link with an unused serial. The blob with this digest must be in the store.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn create_link(&self, chain: &Chain, serial: u64, digest: &Digest) -> Result<(), WriteError> {
        self.commit(&Batch {
            blobs: Vec::new(),
            links: vec![Link {
                chain: chain.clone(),
                serial,
                digest: *digest,
            }],
        })
    }

    /// Serials of a chain, in ascending order.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`] if the store cannot be read.
    fn serials(&self, chain: &Chain) -> Result<Vec<u64>, Refused>;

    /// Digest in the link with this serial. `None` if there is no such link.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`] if the store cannot be read; [`Refused::Malformed`] if the
    /// link does not contain a digest.
    fn link(&self, chain: &Chain, serial: u64) -> Result<Option<Digest>, Refused>;

    /// Digest in a link that [`Self::serials`] has listed.
    ///
    /// # Errors
    /// As [`Self::link`], and [`Refused::LinkMissing`] if there is no such link: a store that
    /// hides the newest link must not show an older one instead.
    fn listed_link(&self, chain: &Chain, serial: u64) -> Result<Digest, Refused> {
        let link = self.link(chain, serial)?;
        link.ok_or(Refused::LinkMissing { serial })
    }

    /// Digests of the manifests whose `subject` is this digest, for people and tools.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`] if the store cannot be read.
    fn referrers(&self, subject: &Digest) -> Result<Vec<Digest>, Refused>;

    /// Names of channels with records, sorted. The names are not verified.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`] if the store cannot be read.
    fn channels(&self) -> Result<Vec<String>, Refused>;

    /// Digests of all bundles, which are not verified.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`] if the store cannot be read.
    fn bundles(&self) -> Result<Vec<Digest>, Refused>;
}

/// A chain of numbered links.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Chain {
    /// Chain of the records of a channel.
    Channel(ChannelName),
    /// Chain of the revocation lists.
    Revocations,
}

impl Chain {
    /// Adds the link of the chain to the reason why its record or list cannot be used. Does not
    /// change errors of an unreachable store.
    #[must_use]
    pub fn at_link(&self, serial: u64, why: Refused) -> Refused {
        match why {
            Refused::StoreUnreachable { .. } | Refused::AtLink { .. } => why,
            why => Refused::AtLink {
                channel: match self {
                    Self::Channel(channel) => Some(channel.clone()),
                    Self::Revocations => None,
                },
                serial,
                why: Box::new(why),
            },
        }
    }
}

/// Reason why a write failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// Another writer created a link with this serial first. `gwc` exits with 3.
    Conflict {
        /// Serial that another writer has used.
        serial: u64,
    },
    /// Any other error.
    Refused(Refused),
}

/// Reads a blob and checks its digest.
///
/// # Errors
/// [`Refused::BlobMissing`] if the store does not have the blob; [`Refused::TooLarge`] beyond
/// `bytes_max`; [`Refused::BadDigest`] if the bytes do not match the digest;
/// [`Refused::StoreUnreachable`] if the store cannot be read.
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

/// Reads the blob of a descriptor, and checks its digest and size. The caller has checked the size
/// in the descriptor against a limit.
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

impl<'a> Batch<'a> {
    /// Creates a batch of blobs without links.
    pub fn of(blobs: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self {
            blobs: blobs.into_iter().map(Cow::Borrowed).collect(),
            links: Vec::new(),
        }
    }
}

impl WriterGuard {
    /// Creates a guard that holds `lock` until it is dropped.
    #[must_use]
    pub fn new(lock: impl fmt::Debug + Send + 'static) -> Self {
        Self {
            _lock: Some(Box::new(lock)),
        }
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
