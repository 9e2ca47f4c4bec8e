//! Operations of gwc on a store: store a bundle, sign its origin, publish a record in a channel,
//! revoke.
//!
//! Blobs are written first, then the manifest, then the link, so that a link never refers to a
//! missing blob. Publishing a record is one compare-and-swap: the second of two writers gets
//! [`WriteError::Conflict`].

use std::collections::BTreeSet;

use crate::channel;
use crate::digest::Digest;
use crate::history;
use crate::json::INTEGER_MAX;
use crate::keys::{KeyId, PrivateKey};
use crate::lists;
use crate::manifest::Bundle;
use crate::moment::Moment;
use crate::name::{ChannelName, ProjectName};
use crate::oci::{self, Descriptor, MANIFEST_BYTES_MAX};
use crate::refused::Refused;
use crate::statement::Statement;
use crate::statement::envelope::Envelope;
use crate::statement::predicate::{
    Build, Pointer, Predicate, Record, RecordKind, Revoke, Rollout, Streams,
};
use crate::statement::stored::{self, Stored};
use crate::store::{self, Batch, Chain, Link, Store, WriteError};
use crate::trust::Trust;
use crate::verify::Unverified;

/// Content of a new record. Serial, predecessor and revocation list come from the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Project of the channel.
    pub project: ProjectName,
    /// Name of the channel.
    pub channel: ChannelName,
    /// Bundle that should run, which must be in the store.
    pub bundle: Digest,
    /// Kind of the record: release, rollback or pin.
    pub kind: RecordKind,
    /// Name of the person or program that releases.
    pub actor: String,
    /// Reason for the release, for people.
    pub reason: String,
    /// Reason for a release in a freeze window. `None`: there is no freeze.
    pub override_freeze: Option<String>,
    /// Current time, which becomes the signing time of the record.
    pub created: Moment,
    /// Time at which the record expires. `None`: never.
    pub expires: Option<Moment>,
    /// Digest of the approved plan. `None`: no plan.
    pub plan: Option<Digest>,
    /// Digest of the source artifact. `None`: no source artifact.
    pub source: Option<Digest>,
    /// Digests of the statements that the record relies on.
    pub evidence: BTreeSet<Digest>,
    /// Records of a fork (two records with the same predecessor) that this record ends. This record
    /// gets a higher serial than the listed records.
    pub merges: BTreeSet<Pointer>,
    /// Step of a progressive release. `None`: all gateways run the bundle.
    pub rollout: Option<Rollout>,
    /// Bundles to remove from the memory and disk of gateways.
    pub withdraw: BTreeSet<Digest>,
    /// Handling of open tunnels whose authorisation the bundle changes. `None`: they stay open.
    pub streams: Option<Streams>,
}

/// Entries of a revocation list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocation {
    /// Bundles that must never run.
    pub bundles: BTreeSet<Digest>,
    /// SHA-256 of credentials that must never be admitted.
    pub credentials: BTreeSet<Digest>,
    /// Revoked keys. Their signatures are refused.
    pub keys: BTreeSet<KeyId>,
}

impl Revocation {
    /// Adds the entries of a list.
    pub fn extend(&mut self, list: &Revoke) {
        self.bundles.extend(&list.bundles);
        self.credentials.extend(&list.credentials);
        self.keys.extend(&list.keys);
    }

    /// These entries without the entries of `list`.
    #[must_use]
    pub fn without(&self, list: &Revoke) -> Self {
        let mut entries = Self::default();
        entries.extend(list);
        self.minus(&entries)
    }

    /// True if the list has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bundles.is_empty() && self.credentials.is_empty() && self.keys.is_empty()
    }

    /// Entries of `list` that these entries do not contain.
    #[must_use]
    pub fn lacking(&self, list: &Revoke) -> Self {
        let mut entries = Self::default();
        entries.extend(list);
        entries.minus(self)
    }

    /// These entries without the entries of `other`.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        Self {
            bundles: self.bundles.difference(&other.bundles).copied().collect(),
            credentials: (self.credentials.difference(&other.credentials))
                .copied()
                .collect(),
            keys: self.keys.difference(&other.keys).copied().collect(),
        }
    }
}

/// Stores a bundle.
///
/// # Errors
/// As [`Store::put`].
pub fn put_bundle(store: &dyn Store, bundle: &Bundle) -> Result<Descriptor, WriteError> {
    let blobs = bundle.blobs().values().map(Vec::as_slice);
    store.commit(&Batch::of(blobs.chain([bundle.manifest()])))?;
    Ok(bundle.descriptor())
}

/// Stores a statement and returns its digest. `subject` is information for people and tools.
///
/// # Errors
/// As [`Store::put`] and [`Envelope::encode`].
pub fn put_statement(
    store: &dyn Store,
    envelope: &Envelope,
    subject: Option<Descriptor>,
) -> Result<Digest, WriteError> {
    let stored = Stored::new(envelope, subject)?;
    store.commit(&Batch::of(stored.blobs()))?;
    store.refresh_index()?;
    Ok(Digest::of(&stored.manifest))
}

/// Stores a statement, and links it in a chain under this serial, in one batch.
fn put_link(
    store: &dyn Store,
    envelope: &Envelope,
    subject: Option<Descriptor>,
    (chain, serial): (Chain, u64),
) -> Result<Pointer, WriteError> {
    let stored = Stored::new(envelope, subject)?;
    let digest = Digest::of(&stored.manifest);
    let mut batch = Batch::of(stored.blobs());
    batch.links.push(Link {
        chain,
        serial,
        digest,
    });
    store.commit(&batch)?;
    // Ignore an error of the index, because the record is already committed. The next writer
    // rebuilds the index.
    let _derived = store.refresh_index();
    Ok(Pointer { digest, serial })
}

/// Creates the envelope of a statement and signs it with each key.
///
/// # Errors
/// As [`Statement::encode`].
pub fn sign<P: Predicate>(
    statement: &Statement<P>,
    keys: &[&PrivateKey],
) -> Result<Envelope, Refused> {
    let mut envelope = Envelope::new(statement)?;
    for key in keys {
        envelope.sign(key);
    }
    Ok(envelope)
}

/// Signs and stores a build statement for a bundle.
///
/// # Errors
/// As [`put_statement`].
pub fn put_build(
    store: &dyn Store,
    bundle: Descriptor,
    build: Build,
    keys: &[&PrivateKey],
) -> Result<Digest, WriteError> {
    let statement = Statement {
        subject: vec![bundle.digest],
        predicate: build,
    };
    put_statement(store, &sign(&statement, keys)?, Some(bundle))
}

/// Adds a signature to a stored statement, and stores the result as a new statement. The new
/// statement has the same payload but another digest, because the digest covers the signatures.
///
/// # Errors
/// As [`stored::open`] and [`put_statement`].
pub fn add_signature(
    store: &dyn Store,
    statement: &Digest,
    key: &PrivateKey,
) -> Result<Digest, WriteError> {
    let mut envelope = stored::open(store, statement)?;
    envelope.sign(key);
    let manifest = store::read(store, statement, MANIFEST_BYTES_MAX)?;
    let manifest = oci::ImageManifest::decode("statement manifest", &manifest)?;
    put_statement(store, &envelope, manifest.subject)
}

/// Digests of the build statements for a bundle in the store's index, for `gwc verify` and `gwc
/// apply`. The statements are not verified.
///
/// # Errors
/// As [`Store::referrers`].
pub fn build_statements(store: &dyn Store, bundle: &Digest) -> Result<Vec<Digest>, Refused> {
    let mut found = Vec::new();
    for digest in store.referrers(bundle)? {
        let Ok(envelope) = stored::open(store, &digest) else {
            continue;
        };
        let statement = Statement::<Build>::decode(envelope.payload());
        if statement.is_ok_and(|statement| statement.check_subject(bundle).is_ok()) {
            found.push(digest);
        }
    }
    Ok(found)
}

/// Creates the unsigned statement of the next record, with its serial. `base` is the expected head
/// of the channel. `Some(None)`: an empty channel. `None`: any head.
///
/// # Errors
/// [`WriteError::Conflict`] if the head is not `base`; errors of reading the head or the revocation
/// list.
pub fn prepare(
    store: &dyn Store,
    trust: Option<&Trust>,
    draft: Draft,
    base: Option<Option<Pointer>>,
) -> Result<Statement<Record>, WriteError> {
    let (head, skipped) = history::find_head(store, trust, &draft.channel)?;
    let head = head.map(|entry| entry.pointer);
    if let Some(base) = base
        && base != head
    {
        let serial = head.map_or(0, |pointer| pointer.serial);
        return Err(WriteError::Conflict { serial });
    }
    let above = draft.merges.iter().map(|merged| merged.serial).max();
    let least = above.unwrap_or(0).saturating_add(1);
    let floor = trust.map_or(0, |trust| trust.floors(&draft.channel).min_serial);
    let last = head.map_or(0, |pointer| pointer.serial);
    let serial = free_serial(last, &skipped, least.max(floor))?;
    let lists = lists::in_force(store, trust, &draft.channel, draft.created)?;
    let revocations = lists.pointer();
    let statement = Statement {
        subject: vec![draft.bundle],
        predicate: Record {
            project: draft.project,
            channel: draft.channel,
            serial,
            previous: head.map(|pointer| pointer.digest),
            merges: draft.merges.iter().map(|merged| merged.digest).collect(),
            kind: draft.kind,
            actor: draft.actor,
            reason: draft.reason,
            created: draft.created,
            override_freeze: draft.override_freeze,
            expires: draft.expires,
            plan: draft.plan,
            source: draft.source,
            evidence: draft.evidence,
            revocations,
            rollout: draft.rollout,
            withdraw: draft.withdraw,
            streams: draft.streams,
        },
    };
    Ok(statement)
}

/// Stores a signed record and adds its link to the channel, unless another writer was faster. First
/// reads all blobs that the record names, so that a channel never refers to missing or damaged
/// blobs.
///
/// # Errors
/// [`WriteError::Conflict`]; [`Refused::BlobMissing`] or [`Refused::BadDigest`] if bundle,
/// evidence, revocation list or the base of a progressive release cannot be read from the store;
/// [`Refused::BadRollout`] if its step is not valid.
pub fn publish(store: &dyn Store, envelope: &Envelope) -> Result<Pointer, WriteError> {
    let _writing = store.writing()?;
    let statement = Statement::<Record>::decode(envelope.payload())?;
    let record = &statement.predicate;
    let bundle = statement.subject.first().ok_or(Refused::WrongSubject)?;
    let bundle = Unverified::open(store, *bundle)?;
    bundle.load_full(store)?;
    let revocations = record.revocations.map(|pointer| pointer.digest);
    for digest in record.evidence.iter().chain(&revocations) {
        stored::open(store, digest)?;
    }
    if let Some(rollout) = &record.rollout {
        rollout.check(record)?;
        let base = channel::read(store, &rollout.base.digest)?;
        Unverified::open(store, base.bundle)?.load_full(store)?;
    }
    let place = (Chain::Channel(record.channel.clone()), record.serial);
    put_link(store, envelope, Some(bundle.descriptor()), place)
}

/// Creates, signs and stores the next record: calls [`prepare`], [`sign`] and [`publish`].
///
/// # Errors
/// As these three functions.
pub fn release(
    store: &dyn Store,
    trust: Option<&Trust>,
    draft: Draft,
    base: Option<Option<Pointer>>,
    keys: &[&PrivateKey],
) -> Result<Pointer, WriteError> {
    let statement = prepare(store, trust, draft, base)?;
    publish(store, &sign(&statement, keys)?)
}

/// Publishes a new revocation list. `channel`: the publisher's channel. `entries`: all entries of
/// the new list.
///
/// # Errors
/// [`WriteError::Conflict`] if another writer was faster, [`Refused::Malformed`] if the list would
/// be empty, [`Refused::TooLarge`] if the serials are used up.
pub fn revoke(
    store: &dyn Store,
    trust: Option<&Trust>,
    project: ProjectName,
    (channel, entries): (&ChannelName, Revocation),
    created: Moment,
    keys: &[&PrivateKey],
) -> Result<Pointer, WriteError> {
    let floor = trust.map_or(0, |trust| trust.floors(channel).min_revocations);
    let (head, last, used) = lists::before_next(store, floor)?;
    let serial = free_serial(last, &used, floor)?;
    let list = Revoke {
        project,
        serial,
        previous: head.map(|pointer| pointer.digest),
        created,
        bundles: entries.bundles,
        credentials: entries.credentials,
        keys: entries.keys,
    };
    let previous = list.previous;
    let statement = Statement {
        subject: list.subject(),
        predicate: list,
    };
    let envelope = sign(&statement, keys)?;
    let previous = previous.map(|digest| store::read(store, &digest, MANIFEST_BYTES_MAX));
    let previous = previous.transpose()?;
    let subject = previous.map(|bytes| Descriptor::of(oci::MANIFEST, &bytes));
    put_link(store, &envelope, subject, (Chain::Revocations, serial))
}

/// Lowest serial above `last` that is not in `skipped`, at least `least`. Links above the head
/// exist only if a key was stolen: they are statements that the key signed before it was revoked.
/// If another writer adds a link after the head was read, creating a link with the same serial
/// fails as a conflict.
fn free_serial(last: u64, skipped: &BTreeSet<u64>, least: u64) -> Result<u64, Refused> {
    let mut serial = (last + 1).max(least);
    while skipped.contains(&serial) {
        serial += 1;
    }
    if serial > INTEGER_MAX {
        return Err(Refused::TooLarge {
            what: "serial",
            limit: INTEGER_MAX,
        });
    }
    Ok(serial)
}
