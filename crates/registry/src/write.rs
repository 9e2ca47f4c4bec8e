//! Writing to a registry.
//!
//! Order: blobs, manifests, then the tags of links, so that a tag never names missing content. No
//! registry offers a compare-and-swap of tags. A writer therefore
//!
//! 1. writes the tag of a serial only if it is absent, and requests this condition from the
//!    registry, too;
//! 2. waits for [`SETTLE`], and checks that the tag still has its own record. This detects another
//!    writer that also found the tag absent, unless that writer's request arrives after the check;
//! 3. checks the head tag. If the head tag names another record with the same serial, another
//!    writer has finished first. This writer then restores that writer's tag of the serial, and
//!    fails;
//! 4. moves the head tag, and checks both tags again.
//!
//! If two writers pass all checks, no tag names one of the two records any more. The hash chain
//! shows this: gateways that accepted this record refuse the other one as `forked`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bundle::digest::Digest;
use bundle::manifest::BUNDLE;
use bundle::oci::{Descriptor, ImageManifest, MANIFEST, MANIFEST_BYTES_MAX};
use bundle::refused::Refused;
use bundle::statement::{Statement, predicate::Record, predicate::Revoke, stored};
use bundle::store::{Batch, Chain, Link, WriteError};
use bytes::Bytes;

use crate::repository::{Kind, Put};
use crate::store::Registry;
use crate::tags;
use crate::wire::{INDEX, INDEX_MAX, IndexEntry};

/// Number of blobs that are sent at the same time.
const PARALLEL: usize = 6;
/// Wait between writing a tag and checking it: 300ms.
const SETTLE: Duration = Duration::from_millis(300);

/// Contents of a batch, sorted into blobs and manifests.
struct Sorted<'a> {
    blobs: BTreeMap<Digest, &'a [u8]>,
    /// Manifests in the order of the batch.
    manifests: Vec<(Digest, &'a [u8], ImageManifest)>,
}

impl Registry {
    /// Writes a batch: blobs, manifests, links.
    pub(crate) async fn write(&self, batch: &Batch<'_>) -> Result<(), WriteError> {
        let Sorted { blobs, manifests } = sort(batch);
        self.write_blobs(&blobs).await?;
        for (digest, bytes, manifest) in &manifests {
            self.write_manifest(*digest, bytes, manifest).await?;
        }
        self.write_links(&batch.links).await
    }

    async fn write_blobs(&self, blobs: &BTreeMap<Digest, &[u8]>) -> Result<(), Refused> {
        let blobs: Vec<_> = blobs.iter().collect();
        for group in blobs.chunks(PARALLEL) {
            let sent = group.iter().map(|(digest, bytes)| {
                let bytes = Bytes::copy_from_slice(bytes);
                self.repository.put_blob(digest, bytes)
            });
            all(sent).await?;
        }
        Ok(())
    }

    async fn write_manifest(
        &self,
        digest: Digest,
        bytes: &[u8],
        manifest: &ImageManifest,
    ) -> Result<(), Refused> {
        let reference = match manifest.artifact_type == BUNDLE {
            true => tags::bundle(&digest),
            false => digest.to_string(),
        };
        let there = self
            .repository
            .manifest(&reference, MANIFEST_BYTES_MAX)
            .await?;
        let listed = match there.as_deref() == Some(bytes) {
            true => false,
            false => {
                let put = self
                    .repository
                    .put_manifest(&reference, MANIFEST, bytes, false);
                put.await? == Put::Stored(true)
            }
        };
        self.learn(Kind::Manifest, digest, bytes.to_vec());
        if let Some(subject) = &manifest.subject
            && !listed
        {
            let entry = IndexEntry {
                descriptor: Descriptor::of(MANIFEST, bytes),
                artifact_type: Some(manifest.artifact_type.clone()),
            };
            self.list_referrer(&subject.digest, entry).await?;
        }
        Ok(())
    }

    /// Adds a manifest to the referrers tag of its subject, if the registry does not support the
    /// referrers API.
    async fn list_referrer(&self, subject: &Digest, entry: IndexEntry) -> Result<(), Refused> {
        if self.repository.listed_referrers(subject).await?.is_some() {
            return Ok(());
        }
        let tag = tags::referrers(subject);
        let mut index = self
            .repository
            .tagged_index(&tag)
            .await?
            .unwrap_or_default();
        let known = |listed: &IndexEntry| listed.descriptor.digest == entry.descriptor.digest;
        if index.iter().any(known) {
            return Ok(());
        }
        if index.len() >= INDEX_MAX {
            return Err(Refused::TooLarge {
                what: "number of statements about a bundle",
                limit: INDEX_MAX as u64,
            });
        }
        index.push(entry);
        let bytes = crate::wire::write_index(&index);
        let put = self.repository.put_manifest(&tag, INDEX, &bytes, false);
        put.await.map(|_| ())
    }

    /// Writes the tags of links, checks them, and moves the head tag of each chain.
    async fn write_links(&self, links: &[Link]) -> Result<(), WriteError> {
        for link in links {
            self.write_tag(link).await?;
        }
        if !links.is_empty() {
            tokio::time::sleep(SETTLE).await;
        }
        for link in links {
            self.check_tag(link).await?;
        }
        let chains: BTreeSet<&Chain> = links.iter().map(|link| &link.chain).collect();
        for chain in chains {
            let of_chain = links.iter().filter(|link| link.chain == *chain);
            if let Some(newest) = of_chain.max_by_key(|link| link.serial) {
                self.move_head(newest).await?;
            }
        }
        Ok(())
    }

    /// Writes the tag of a link, if it is absent.
    async fn write_tag(&self, link: &Link) -> Result<(), WriteError> {
        let tag = tags::link(&link.chain, link.serial)?;
        let bytes = self.link_target(link).await?;
        if self.tagged(&tag).await?.is_some() {
            return Err(conflict(link));
        }
        let put = self.repository.put_manifest(&tag, MANIFEST, &bytes, true);
        match put.await? {
            Put::Exists => Err(conflict(link)),
            Put::Stored(_) => Ok(()),
        }
    }

    /// Checks that the tag of a link has not been replaced.
    async fn check_tag(&self, link: &Link) -> Result<(), WriteError> {
        let tag = tags::link(&link.chain, link.serial)?;
        match self.tagged(&tag).await? == Some(link.digest) {
            true => Ok(()),
            false => Err(conflict(link)),
        }
    }

    /// Moves the head tag of a chain to this link.
    async fn move_head(&self, link: &Link) -> Result<(), WriteError> {
        let head = tags::head(&link.chain)?;
        if let Some(newest) = self.tagged(&head).await? {
            match self.serial_of(&link.chain, &newest).await? {
                // Another writer has finished first, and this writer has replaced that writer's tag
                // of the serial.
                Some(other) if other == link.serial && newest != link.digest => {
                    let theirs = self.remembered(&newest).unwrap_or_default();
                    let tag = tags::link(&link.chain, link.serial)?;
                    let put = self.repository.put_manifest(&tag, MANIFEST, &theirs, false);
                    put.await?;
                    return Err(conflict(link));
                }
                Some(other) if other > link.serial => return Err(conflict(link)),
                _ => {}
            }
        }
        let bytes = self.link_target(link).await?;
        let put = self.repository.put_manifest(&head, MANIFEST, &bytes, false);
        put.await?;
        self.check_tag(link).await?;
        match self.tagged(&head).await? == Some(link.digest) {
            true => Ok(()),
            false => Err(conflict(link)),
        }
    }

    async fn link_target(&self, link: &Link) -> Result<Vec<u8>, Refused> {
        if let Some(bytes) = self.remembered(&link.digest) {
            return Ok(bytes);
        }
        let digest = link.digest;
        let read = self
            .repository
            .content(Kind::Manifest, &digest, MANIFEST_BYTES_MAX);
        let bytes = read.await?.ok_or(Refused::BlobMissing { digest })?;
        match Digest::of(&bytes) == digest {
            true => Ok(bytes),
            false => Err(Refused::BadDigest { expected: digest }),
        }
    }

    /// Serial in the statement of a link, without a check of its signature. `None` if the statement
    /// cannot be read.
    async fn serial_of(&self, chain: &Chain, digest: &Digest) -> Result<Option<u64>, Refused> {
        let Some(manifest) = self.remembered(digest) else {
            return Ok(None);
        };
        let Ok(layer) = stored::layer(&manifest) else {
            return Ok(None);
        };
        let read = self
            .repository
            .content(Kind::Blob, &layer.digest, layer.size);
        let Some(bytes) = read.await? else {
            return Ok(None);
        };
        let Ok(envelope) = bundle::statement::envelope::Envelope::decode(&bytes) else {
            return Ok(None);
        };
        let payload = envelope.payload();
        Ok(match chain {
            Chain::Channel(_) => {
                let record = Statement::<Record>::decode(payload).ok();
                record.map(|statement| statement.predicate.serial)
            }
            Chain::Revocations => {
                let list = Statement::<Revoke>::decode(payload).ok();
                list.map(|statement| statement.predicate.serial)
            }
        })
    }
}

const fn conflict(link: &Link) -> WriteError {
    WriteError::Conflict {
        serial: link.serial,
    }
}

/// Sorts the contents of a batch. A manifest that another manifest lists as a layer counts as a
/// blob.
fn sort<'a>(batch: &'a Batch<'_>) -> Sorted<'a> {
    let mut blobs: BTreeMap<Digest, &[u8]> = BTreeMap::new();
    let mut manifests = Vec::new();
    let mut named: BTreeSet<Digest> = BTreeSet::new();
    for bytes in &batch.blobs {
        let digest = Digest::of(bytes);
        match ImageManifest::decode("manifest", bytes) {
            Err(_) => {
                blobs.insert(digest, bytes);
            }
            Ok(manifest) => {
                named.insert(manifest.config.digest);
                named.extend(manifest.layers.iter().map(|layer| layer.digest));
                manifests.push((digest, bytes.as_ref(), manifest));
            }
        }
    }
    for (digest, bytes, _) in &manifests {
        if named.contains(digest) {
            blobs.insert(*digest, bytes);
        }
    }
    Sorted { blobs, manifests }
}

/// Waits for all futures. Returns the first error.
async fn all<F>(futures: impl Iterator<Item = F>) -> Result<(), Refused>
where
    F: Future<Output = Result<(), Refused>>,
{
    let mut waiting: Vec<_> = futures.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        let mut failed = None;
        waiting.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Pending => true,
            std::task::Poll::Ready(result) => {
                failed = failed.take().or(result.err());
                false
            }
        });
        match failed {
            Some(refused) => std::task::Poll::Ready(Err(refused)),
            None if waiting.is_empty() => std::task::Poll::Ready(Ok(())),
            None => std::task::Poll::Pending,
        }
    })
    .await
}
