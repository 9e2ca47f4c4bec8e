//! Copies channels with their bundles, and the approvals of their next change, from one store to
//! another.
//!
//! The target gets the same blobs, statements and links, so that its readers verify the same chain.
//! Links that the target already has are compared. A different record with the same serial is a
//! fork: then nothing of the chain is copied. Bundles that the source no longer has, or has only in
//! part, are left out: the state folder of a gateway has no contracts.

use std::collections::BTreeSet;

use crate::channel;
use crate::digest::Digest;
use crate::name::ChannelName;
use crate::oci::{Descriptor, EMPTY_BLOB, MANIFEST_BYTES_MAX};
use crate::pending;
use crate::publish;
use crate::refused::Refused;
use crate::source;
use crate::statement::stored;
use crate::store::{self, Batch, Chain, Link, Store, WriteError};
use crate::verify::Unverified;

/// Number of copied items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Records and revocation lists.
    pub links: usize,
    /// Bundles that the target did not have.
    pub bundles: usize,
    /// Bundles that are incomplete in both stores.
    pub incomplete: usize,
    /// Approvals of the next change of a channel that the target did not have.
    pub approvals: usize,
    /// Number of bytes of blobs that the target did not have.
    pub bytes: u64,
}

/// Copies the chain of revocation lists, and the given channels.
///
/// # Errors
/// - [`WriteError::Conflict`] if the target has another record or list with the same serial, or if
///   another writer adds one meanwhile.
/// - Errors of reading the source and of writing the target.
pub fn replicate(
    from: &dyn Store,
    to: &dyn Store,
    channels: &[ChannelName],
) -> Result<Copied, WriteError> {
    let _writing = to.writing()?;
    let mut copy = Copy {
        from,
        to,
        copied: Copied::default(),
    };
    // The lists come first: a record must not become visible before the list that it names.
    copy.chain(&Chain::Revocations)?;
    for channel in channels {
        copy.chain(&Chain::Channel(channel.clone()))?;
        copy.approvals(channel)?;
    }
    to.refresh_index()?;
    Ok(copy.copied)
}

struct Copy<'a> {
    from: &'a dyn Store,
    to: &'a dyn Store,
    copied: Copied,
}

impl Copy<'_> {
    fn chain(&mut self, chain: &Chain) -> Result<(), WriteError> {
        let there: BTreeSet<u64> = self.to.serials(chain)?.into_iter().collect();
        let mut links = Vec::new();
        for serial in self.from.serials(chain)? {
            let digest = self.from.listed_link(chain, serial)?;
            if !there.contains(&serial) {
                links.push(Link {
                    chain: chain.clone(),
                    serial,
                    digest,
                });
            } else if self.to.link(chain, serial)? != Some(digest) {
                return Err(WriteError::Conflict { serial });
            }
        }
        for link in &links {
            self.statement(&link.digest)?;
            if let Chain::Channel(_) = chain {
                self.record(&link.digest)?;
            }
        }
        self.copied.links += links.len();
        self.to.commit(&Batch {
            blobs: Vec::new(),
            links,
        })
    }

    /// Copies the approvals of the channel's next change, with their bundles and build statements.
    fn approvals(&mut self, channel: &ChannelName) -> Result<(), WriteError> {
        for approval in pending::next_changes(self.from, channel)? {
            if self.to.size(&approval.digest)?.is_some() || !self.bundle(&approval.bundle)? {
                continue;
            }
            for statement in publish::build_statements(self.from, &approval.bundle)? {
                self.statement(&statement)?;
            }
            self.statement(&approval.digest)?;
            self.copied.approvals += 1;
        }
        Ok(())
    }

    fn record(&mut self, digest: &Digest) -> Result<(), WriteError> {
        let channel::LinkedRecord { bundle, record } = channel::read(self.from, digest)?;
        // The target gets the bundle before the statements about it.
        let has_bundle = self.bundle(&bundle)?;
        for statement in &record.evidence {
            match self.statement(statement) {
                Err(WriteError::Refused(Refused::BlobMissing { .. })) if !has_bundle => {}
                result => result?,
            }
        }
        if let Some(source) = record.source
            && let Ok(manifest) = store::read(self.from, &source, MANIFEST_BYTES_MAX)
        {
            self.blob(&source::layer(&manifest)?)?;
            self.to.commit(&Batch::of([EMPTY_BLOB, &manifest]))?;
        }
        Ok(())
    }

    /// Copies a bundle. Returns false if the source does not have the whole bundle.
    fn bundle(&mut self, id: &Digest) -> Result<bool, WriteError> {
        if self.from.size(id)?.is_none() {
            return Ok(false);
        }
        let bundle = Unverified::open(self.from, *id)?;
        let is_new = self.to.size(id)?.is_none();
        let config = std::iter::once(bundle.config_blob());
        let blobs: Vec<&Descriptor> = bundle.layers().iter().chain(config).collect();
        for blob in &blobs {
            if self.from.size(&blob.digest)?.is_none() && self.to.size(&blob.digest)?.is_none() {
                self.copied.incomplete += 1;
                return Ok(false);
            }
        }
        for blob in blobs {
            self.blob(blob)?;
        }
        self.to.commit(&Batch::of([bundle.manifest()]))?;
        self.copied.bundles += usize::from(is_new);
        Ok(true)
    }

    fn statement(&mut self, digest: &Digest) -> Result<(), WriteError> {
        let manifest = store::read(self.from, digest, MANIFEST_BYTES_MAX)?;
        self.blob(&stored::layer(&manifest)?)?;
        self.to.commit(&Batch::of([EMPTY_BLOB, &manifest]))
    }

    fn blob(&mut self, descriptor: &Descriptor) -> Result<(), WriteError> {
        if self.to.size(&descriptor.digest)? == Some(descriptor.size) {
            return Ok(());
        }
        let bytes = store::read_exact(self.from, descriptor)?;
        self.copied.bytes += descriptor.size;
        self.to.commit(&Batch::of([&bytes[..]]))
    }
}
