//! Clean-up of a folder store: removes files that no retained record needs.
//!
//! Records and revocation lists are never removed, because readers walk the chains. Bundles are
//! removed with their statements. Exceptions: retained bundles, recently stored bundles, which may
//! be released soon, and bundles with approvals of a channel's next change. After a rollback, the
//! source artifact with the release rules is retained, too, even if its bundle is removed. If any
//! file cannot be read, no file is removed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::channel;
use crate::digest::Digest;
use crate::manifest::BUNDLE;
use crate::moment::Moment;
use crate::oci::{EMPTY_BLOB, ImageManifest};
use crate::pending;
use crate::refused::Refused;
use crate::statement::predicate::{RecordKind, Revoke, Role};
use crate::statement::{Statement, stored};

use crate::store::folder::Folder;
use crate::store::{Blobs as _, Chain, Store as _};

/// File that can be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Garbage {
    /// Kind of the file.
    pub kind: Kind,
    /// Size of the file in bytes.
    pub bytes: u64,
}

/// Kind of a file that can be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Manifest of a bundle.
    Bundle(Digest),
    /// Manifest of a statement about a bundle, or of a bundle's source artifact.
    Manifest(Digest),
    /// Any other blob.
    Blob(Digest),
    /// Temporary file of a writer that was interrupted.
    Temporary(PathBuf),
}

/// Bundles in the newest `records` records of each channel, and the bundles of their bases
/// (progressive releases).
///
/// # Errors
/// A record cannot be read.
pub fn retained(folder: &Folder, records: usize) -> Result<BTreeSet<Digest>, Refused> {
    let mut bundles = BTreeSet::new();
    for chain in folder.chains()? {
        if chain == Chain::Revocations {
            continue;
        }
        for serial in folder.serials(&chain)?.into_iter().rev().take(records) {
            if let Some(digest) = folder.link(&chain, serial)? {
                let linked = channel::read(folder, &digest);
                let linked = linked.map_err(|why| chain.at_link(serial, why))?;
                bundles.insert(linked.bundle);
                // A state folder can lack the base: a node of the share does not need it.
                if let Some(rollout) = linked.record.rollout
                    && folder.size(&rollout.base.digest)?.is_some()
                {
                    bundles.insert(channel::read(folder, &rollout.base.digest)?.bundle);
                }
            }
        }
    }
    Ok(bundles)
}

/// Finds the files that may be removed: unused blobs and temporary files that were written before
/// `young_since`. A blob is in use if a chain, one of `bundles`, or a manifest that was written at
/// or after `young_since` needs the blob. A manifest about such a bundle or manifest is in use as
/// well. So is an approval of the next change of a channel, with its bundle.
///
/// The caller must hold [`Folder::lock_exclusive`] until [`remove`] has returned, so
/// that no writer is active.
///
/// # Errors
/// A link, a record or a list cannot be read.
pub fn garbage(
    folder: &Folder,
    bundles: &BTreeSet<Digest>,
    young_since: Moment,
) -> Result<Vec<Garbage>, Refused> {
    let manifests = folder.manifests()?;
    let is_old = |path: &Path| -> Result<Option<u64>, Refused> {
        let written = folder.written(path)?;
        Ok(written
            .filter(|(at, _)| *at < young_since)
            .map(|(_, bytes)| bytes))
    };
    let mut kept = bundles.clone();
    for digest in manifests.keys() {
        if is_old(&folder.blob(digest))?.is_none() {
            kept.insert(*digest);
        }
    }
    let mut needed = BTreeSet::from([Digest::of(EMPTY_BLOB)]);
    // Retain approvals of the next change of a channel, with their bundle.
    for (digest, manifest) in &manifests {
        if stored::is_of(manifest, Role::Approve)
            && let Some(approval) = pending::open_next_change(folder, *digest)
        {
            kept.insert(approval.bundle);
            needed.insert(*digest);
        }
    }
    for chain in folder.chains()? {
        for serial in folder.serials(&chain)? {
            if let Some(digest) = folder.link(&chain, serial)? {
                mark_chain(folder, &chain, digest, &kept, &mut needed)
                    .map_err(|why| chain.at_link(serial, why))?;
                if chain != Chain::Revocations {
                    mark_rules(folder, digest, &kept, &mut needed)?;
                }
            }
        }
    }
    for (digest, manifest) in &manifests {
        let subject = manifest.subject.as_ref().map(|subject| subject.digest);
        let about_kept = subject.is_some_and(|subject| kept.contains(&subject));
        if kept.contains(digest) || needed.contains(digest) || about_kept {
            mark(*digest, manifest, &mut needed);
        }
    }
    let mut garbage = Vec::new();
    for digest in folder.digests()? {
        if needed.contains(&digest) {
            continue;
        }
        if let Some(bytes) = is_old(&folder.blob(&digest))? {
            let kind = match manifests.get(&digest) {
                None => Kind::Blob(digest),
                Some(manifest) if manifest.artifact_type == BUNDLE => Kind::Bundle(digest),
                Some(_) => Kind::Manifest(digest),
            };
            garbage.push(Garbage { kind, bytes });
        }
    }
    for path in folder.temporaries()? {
        if let Some(bytes) = is_old(&path)? {
            let kind = Kind::Temporary(path);
            garbage.push(Garbage { kind, bytes });
        }
    }
    Ok(garbage)
}

/// Removes the files that [`garbage`] found: manifests first, and durably. An interruption may
/// leave blobs without a manifest, but never a manifest without its blobs.
///
/// # Errors
/// [`Refused::StoreUnreachable`] if a file cannot be removed.
pub fn remove(folder: &Folder, garbage: &[Garbage]) -> Result<(), Refused> {
    let (mut first, mut then) = (Vec::new(), Vec::new());
    for Garbage { kind, bytes: _ } in garbage {
        match kind {
            Kind::Bundle(digest) | Kind::Manifest(digest) => first.push(folder.blob(digest)),
            Kind::Blob(digest) => then.push(folder.blob(digest)),
            Kind::Temporary(path) => then.push(path.clone()),
        }
    }
    folder.remove(&first)?;
    folder.remove(&then)?;
    folder.refresh_index()
}

/// Marks the statement of a link and its predecessors as needed. Also marks the evidence and the
/// source artifact of each record whose bundle is in `kept`.
fn mark_chain(
    folder: &Folder,
    chain: &Chain,
    digest: Digest,
    kept: &BTreeSet<Digest>,
    needed: &mut BTreeSet<Digest>,
) -> Result<(), Refused> {
    let mut next = Some(digest);
    while let Some(link) = next.take() {
        // Accept a missing predecessor: a state folder does not have the older records of a chain.
        let absent = link != digest && folder.size(&link)?.is_none();
        if absent || !needed.insert(link) {
            break;
        }
        next = match chain {
            Chain::Channel(_) => {
                let linked = channel::read(folder, &link)?;
                if kept.contains(&linked.bundle) {
                    needed.extend(&linked.record.evidence);
                    needed.extend(&linked.record.source);
                }
                linked.record.previous
            }
            Chain::Revocations => {
                let envelope = stored::open(folder, &link)?;
                let list = Statement::<Revoke>::decode(envelope.payload())?;
                list.predicate.previous
            }
        };
    }
    Ok(())
}

/// Marks the source artifact that contains the release rules after a rollback to a bundle in
/// `kept`: that of the newest earlier record that is no rollback. Its own bundle may be removed.
fn mark_rules(
    folder: &Folder,
    digest: Digest,
    kept: &BTreeSet<Digest>,
    needed: &mut BTreeSet<Digest>,
) -> Result<(), Refused> {
    let mut linked = channel::read(folder, &digest)?;
    if linked.record.kind != RecordKind::Rollback || !kept.contains(&linked.bundle) {
        return Ok(());
    }
    while let Some(previous) = linked.record.previous {
        // As in `mark_chain`, a state folder does not have the older records of a chain.
        if folder.size(&previous)?.is_none() {
            break;
        }
        linked = channel::read(folder, &previous)?;
        if linked.record.kind != RecordKind::Rollback {
            needed.extend(linked.record.source);
            break;
        }
    }
    Ok(())
}

fn mark(digest: Digest, manifest: &ImageManifest, needed: &mut BTreeSet<Digest>) {
    needed.insert(digest);
    needed.insert(manifest.config.digest);
    needed.extend(manifest.layers.iter().map(|layer| layer.digest));
}
