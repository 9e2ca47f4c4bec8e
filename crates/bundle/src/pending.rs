//! Approvals in a store: operations of gwc that store and find them.
//!
//! The stored manifest of an approval has the record before the change (the base) as its `subject`.
//! One request therefore lists all approvals of a channel's next change. gwd does not list
//! approvals: it follows the digests in a record's evidence.

use crate::digest::Digest;
use crate::keys::PrivateKey;
use crate::name::ChannelName;
use crate::oci::{self, Descriptor, MANIFEST_BYTES_MAX};
use crate::publish;
use crate::refused::Refused;
use crate::statement::envelope::Envelope;
use crate::statement::predicate::Approve;
use crate::statement::{Statement, stored};
use crate::store::{self, Blobs, Chain, Store, WriteError};

/// Approval in a store. Its signatures are not checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredApproval {
    /// Digest of the statement's manifest.
    pub digest: Digest,
    /// Envelope with the signatures.
    pub envelope: Envelope,
    /// Bundle that the approval is about.
    pub bundle: Digest,
    /// Content of the approval.
    pub approve: Approve,
}

/// Signs and stores an approval. `bundle`: manifest of the bundle. Returns the statement's digest.
///
/// # Errors
/// As [`publish::put_statement`]; errors of reading the base.
pub fn put(
    store: &dyn Store,
    bundle: &Descriptor,
    approve: Approve,
    keys: &[&PrivateKey],
) -> Result<Digest, WriteError> {
    let subject = match &approve.base {
        None => bundle.clone(),
        Some(base) => {
            let manifest = store::read(store, &base.record, MANIFEST_BYTES_MAX)?;
            Descriptor::of(oci::MANIFEST, &manifest)
        }
    };
    let statement = Statement {
        subject: vec![bundle.digest],
        predicate: approve,
    };
    publish::put_statement(store, &publish::sign(&statement, keys)?, Some(subject))
}

/// Approvals that the store lists for changes of a base, or, without a base, for the first release
/// of a bundle. The signatures are not checked. Statements that cannot be read are left out.
///
/// # Errors
/// As [`Store::referrers`].
pub fn listed(
    store: &dyn Store,
    base: Option<Digest>,
    bundle: Digest,
) -> Result<Vec<StoredApproval>, Refused> {
    let mut found = Vec::new();
    for digest in store.referrers(&base.unwrap_or(bundle))? {
        if let Some(approval) = open(store, digest)
            && approval.approve.base.as_ref().map(|base| base.record) == base
        {
            found.push(approval);
        }
    }
    Ok(found)
}

/// Approvals of the next change of a channel that has a record. The signatures are not checked.
///
/// # Errors
/// As [`Store::referrers`] and [`Store::serials`].
pub fn next_changes(
    store: &dyn Store,
    channel: &ChannelName,
) -> Result<Vec<StoredApproval>, Refused> {
    let Some(head) = newest(store, channel)? else {
        return Ok(Vec::new());
    };
    let mut found = listed(store, Some(head), head)?;
    found.retain(|approval| approval.approve.channel == *channel);
    Ok(found)
}

/// Reads a statement of a store if it is an approval of the next change of its channel.
#[cfg(feature = "folder")]
pub(crate) fn open_next_change(store: &dyn Store, digest: Digest) -> Option<StoredApproval> {
    let approval = open(store, digest)?;
    let head = newest(store, &approval.approve.channel).ok()?;
    let base = approval.approve.base.as_ref().map(|base| base.record);
    (base == head).then_some(approval)
}

/// Digest of the link with the highest serial of a channel.
fn newest(store: &dyn Store, channel: &ChannelName) -> Result<Option<Digest>, Refused> {
    let chain = Chain::Channel(channel.clone());
    match store.serials(&chain)?.pop() {
        Some(serial) => store.listed_link(&chain, serial).map(Some),
        None => Ok(None),
    }
}

fn open(blobs: &dyn Blobs, digest: Digest) -> Option<StoredApproval> {
    let envelope = stored::open(blobs, &digest).ok()?;
    let statement = Statement::<Approve>::decode(envelope.payload()).ok()?;
    let [bundle] = <[Digest; 1]>::try_from(statement.subject).ok()?;
    Some(StoredApproval {
        digest,
        envelope,
        bundle,
        approve: statement.predicate,
    })
}
