//! Stores of bundles and statements.
//!
//! A store has blobs, found by digest, and chains: numbered links that are created once and never
//! change. A chain's head is its highest serial, and creating a link is the compare-and-swap.
//! Programs follow digests only; nothing at run time lists anything but serials. release.md §3.

pub mod memory;

#[cfg(feature = "folder")]
pub mod folder;

use std::borrow::Cow;
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

    /// Number of bytes stored under this digest; `None` if there are none. The bytes are not
    /// checked.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`].
    fn size(&self, digest: &Digest) -> Result<Option<u64>, Refused>;
}

/// Blobs and links that are written together. No link becomes visible before every blob is stored.
#[derive(Clone, Debug, Default)]
pub struct Batch<'a> {
    /// Blobs, manifests among them.
    pub blobs: Vec<Cow<'a, [u8]>>,
    /// Links, in the order in which they are created.
    pub links: Vec<Link>,
}

/// A link that is to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// In which chain.
    pub chain: Chain,
    /// Under which serial.
    pub serial: u64,
    /// Target of the link, which is in the store or in the same batch.
    pub digest: Digest,
}

/// Guard of a writer: clean-up waits until it is dropped.
#[derive(Debug, Default)]
pub struct Writing {
    _lock: Option<Box<dyn fmt::Debug + Send>>,
}

/// A store that can be read and written.
pub trait Store: Blobs {
    /// Keeps blobs, and then creates links. A damaged copy of a blob that is already there is
    /// replaced.
    ///
    /// # Errors
    /// [`WriteError::Conflict`] if another writer was first with a link (also with the same
    /// digest); links before it in the batch are there then. [`Refused::StoreUnreachable`].
    fn commit(&self, batch: &Batch<'_>) -> Result<(), WriteError>;

    /// Keeps clean-up away. Whoever relies on a blob that is there, and will link to it, holds this
    /// from before it looked until the link is made.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`], also if a clean-up does not end.
    fn writing(&self) -> Result<Writing, Refused> {
        Ok(Writing::default())
    }

    /// Writes anew what only people and tools read, if it is not right: a folder's `index.json`.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`].
    fn refresh_index(&self) -> Result<(), Refused> {
        Ok(())
    }

    /// Keeps one blob.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn put(&self, bytes: &[u8]) -> Result<Digest, WriteError> {
        self.commit(&Batch::of([bytes]))?;
        Ok(Digest::of(bytes))
    }

    /// Creates a link, if there is none under this serial yet. The digest's blob must be there.
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

    /// The serials of a chain, lowest first.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`].
    fn serials(&self, chain: &Chain) -> Result<Vec<u64>, Refused>;

    /// The digest under a serial; `None` if the serial is free.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`], [`Refused::Malformed`] if it is not a digest.
    fn link(&self, chain: &Chain, serial: u64) -> Result<Option<Digest>, Refused>;

    /// The manifests whose `subject` is this one: for people and tools, never followed.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`].
    fn referrers(&self, subject: &Digest) -> Result<Vec<Digest>, Refused>;
}

/// A chain of numbered links.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Chain {
    /// Records of a channel.
    Channel(ChannelName),
    /// Revocation lists.
    Revocations,
}

/// Reason why a write failed.
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

impl<'a> Batch<'a> {
    /// These blobs, and no link.
    pub fn of(blobs: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self {
            blobs: blobs.into_iter().map(Cow::Borrowed).collect(),
            links: Vec::new(),
        }
    }
}

impl Writing {
    /// Held by this.
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
