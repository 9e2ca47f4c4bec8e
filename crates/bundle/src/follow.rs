//! Operations of gwd on a channel: find the bundle that should run, verify it, and copy it to the
//! state folder, so that gwd can restart without the store.
//! ```text
//! remember(state) → head(store, memory) → bundle(store, accepted) → verified.load_layer(store, …)
//!                                       → keep(store, state, accepted, verified)
//! ```
//! The state folder is itself a store, so a start without network runs the same steps on it.
//! release.md §5, §6.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::channel::{self, Accepted, Context, LinkedRecord, Memory};
use crate::digest::Digest;
use crate::history::SKIPPED_MAX;
use crate::manifest::CONTRACT;
use crate::oci::{Descriptor, EMPTY_BLOB, MANIFEST_BYTES_MAX};
use crate::refused::{Blame, Refused};
use crate::revocation::{self, Revocations};
use crate::source;
use crate::statement::predicate::{Pointer, Record};
use crate::statement::stored;
use crate::store::{self, Batch, Blobs, Chain, Link, Store, WriteError};
use crate::trust::{Floors, When};
use crate::verify::{Unverified, VerificationCriteria, Verified};

/// Maximum number of digests in [`SkippedRecords`] (32 bytes each). Further records are not
/// remembered, so they are checked again on each poll.
const SKIPPED_RECORDS_MAX: usize = 1 << 16;

/// Maximum number of records between a record and the base of its progressive release.
const ROLLOUT_RECORDS_MAX: usize = 1_000;

/// Result of reading a channel in a store: the newest record that can be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Newest record that can be accepted. If the channel has not changed, its pointer is that of
    /// the record accepted before.
    pub accepted: Accepted,
    /// Reason why the store's newest revocation list was refused; the known list then stays in
    /// force. `None`: the list was accepted.
    pub revocations_refused: Option<Refused>,
    /// Serials of skipped records, whose key was revoked after they were signed. At most the
    /// [`SKIPPED_MAX`] highest serials.
    pub skipped: Vec<u64>,
}

/// Digests of records that are skipped because their key was revoked. Valid for one trust file and
/// one set of revoked keys: after a change of either, start with an empty value.
#[derive(Clone, Debug, Default)]
pub struct SkippedRecords(BTreeSet<Digest>);

/// Accepted and refused records in a state folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FolderRecords {
    /// Accepted records, newest first.
    pub accepted: Vec<Accepted>,
    /// Serials of refused records, newest first, with the reasons.
    pub refused: Vec<(u64, Refused)>,
}

/// Reads the state of a channel from a state folder, verified with the current trust file. Ignores
/// records whose key was revoked. Revoking a stolen key therefore also undoes records that the
/// thief signed with high serials. Call this function again whenever the trust file changes.
///
/// # Errors
/// [`Refused::StoreUnreachable`] if the folder cannot be read. Damaged links are skipped;
/// [`stored_records`] reports them.
pub fn remember(state: &dyn Store, context: &Context<'_>) -> Result<Memory, Refused> {
    let revocations = accepted_lists(state, context)?;
    remember_under(state, context, revocations)
}

/// Like [`remember`], with a revocation list that may be newer than the one in the folder, because
/// the folder could not be written. Ignores records that are signed by a key on the list.
///
/// # Errors
/// As [`remember`].
pub fn remember_under(
    state: &dyn Store,
    context: &Context<'_>,
    revocations: Revocations,
) -> Result<Memory, Refused> {
    let mut memory = Memory {
        revocations,
        ..Memory::default()
    };
    let chain = Chain::Channel(context.channel.clone());
    let mut damaged = Floors {
        min_serial: 0,
        min_revocations: damaged_list(state, context, &memory.revocations)?,
    };
    for serial in state.serials(&chain)?.into_iter().rev() {
        match recall(state, context, &memory, serial)? {
            Some(Ok(accepted)) => {
                memory = accepted.memory();
                break;
            }
            Some(Err(refused)) if refused.blame() != Blame::Signer => {
                damaged.min_serial = damaged.min_serial.max(serial);
            }
            Some(Err(_)) | None => {}
        }
    }
    memory.damaged = damaged;
    Ok(memory)
}

/// Finds the highest serial of an unreadable revocation list in the state folder that is newer than
/// the known list. 0 if there is none.
fn damaged_list(
    state: &dyn Store,
    context: &Context<'_>,
    known: &Revocations,
) -> Result<u64, Refused> {
    let newer = state.serials(&Chain::Revocations)?.into_iter().rev();
    for serial in newer.take_while(|serial| *serial > known.serial()) {
        let recalled = match state.link(&Chain::Revocations, serial) {
            Ok(None) => continue,
            Ok(Some(digest)) => revocation::recall(state, context, Pointer { digest, serial }),
            Err(refused) => Err(refused),
        };
        if recalled.is_err_and(|refused| refused.blame() != Blame::Signer) {
            return Ok(serial);
        }
    }
    Ok(0)
}

/// Reads the newest `limit` records in a state folder that are accepted under a revocation list,
/// and the newest `limit` refused records with the reasons. An operator can roll back to the bundle
/// of any accepted record. Records that a revoked key signed do not count towards the limit of
/// accepted records.
///
/// # Errors
/// [`Refused::StoreUnreachable`] if the folder cannot be read.
pub fn stored_records(
    state: &dyn Store,
    context: &Context<'_>,
    revocations: &Revocations,
    limit: usize,
) -> Result<FolderRecords, Refused> {
    let memory = Memory {
        revocations: revocations.clone(),
        ..Memory::default()
    };
    let chain = Chain::Channel(context.channel.clone());
    let mut kept = FolderRecords::default();
    for serial in state.serials(&chain)?.into_iter().rev() {
        match recall(state, context, &memory, serial)? {
            Some(Ok(accepted)) => kept.accepted.push(accepted),
            Some(Err(refused)) if kept.refused.len() < limit => {
                kept.refused.push((serial, refused))
            }
            Some(Err(_)) | None => {}
        }
        if kept.accepted.len() >= limit {
            break;
        }
    }
    Ok(kept)
}

/// Returns the known revocation lists, and the lists of a store that are accepted. A list is
/// accepted even if the channel's head is refused, so that a stolen release key can be revoked.
///
/// # Errors
/// The reason why the newest list is refused, if no list is added. The known lists stay in force.
pub fn revocations(
    store: &dyn Store,
    context: &Context<'_>,
    memory: &Memory,
) -> Result<Revocations, Refused> {
    let known = &memory.revocations;
    match revocation::accept_newest(store, &context.after(memory), known)? {
        (lists, Some(why)) if lists == *known => Err(why),
        (lists, _) => Ok(lists),
    }
}

/// Reads the newest acceptable record of a channel in a store. `None` if the channel has no
/// records.
///
/// # Errors
/// The reason why the head is refused. The current version keeps serving.
pub fn head(
    store: &dyn Store,
    context: &Context<'_>,
    memory: &Memory,
) -> Result<Option<Head>, Refused> {
    head_past(store, context, memory, &mut SkippedRecords::default())
}

/// Like [`head`], for repeated polls. Does not check records in `skipped_records` again.
///
/// # Errors
/// As [`head`].
pub fn head_past(
    store: &dyn Store,
    context: &Context<'_>,
    memory: &Memory,
    skipped_records: &mut SkippedRecords,
) -> Result<Option<Head>, Refused> {
    let chain = Chain::Channel(context.channel.clone());
    let serials = store.serials(&chain)?;
    let list = shown_list(store, context, &memory.revocations)?;
    let mut skipped = Vec::new();
    let mut skip = |serial, digest, skipped_records: &mut SkippedRecords| {
        skipped_records.add(digest);
        if skipped.len() < SKIPPED_MAX {
            skipped.push(serial);
        }
    };
    // Skip all records by a revoked key, because a stolen key may have signed any number of them.
    for serial in serials.into_iter().rev() {
        let digest = store.listed_link(&chain, serial)?;
        if skipped_records.has(&digest) {
            skip(serial, digest, skipped_records);
            continue;
        }
        let pointer = Pointer { digest, serial };
        match channel::accept_with_store_list(store, context, memory, pointer, list) {
            Err(Refused::RevokedKey) => skip(serial, digest, skipped_records),
            Err(refused) => return Err(refused),
            Ok(accepted) => {
                let (accepted, revocations_refused) = with_newest_list(store, context, accepted);
                match accepted {
                    Err(Refused::RevokedKey) => skip(serial, digest, skipped_records),
                    Err(refused) => return Err(refused),
                    Ok(accepted) => {
                        return Ok(Some(Head {
                            accepted,
                            revocations_refused,
                            skipped,
                        }));
                    }
                }
            }
        }
    }
    match memory.record {
        None if skipped.is_empty() => Ok(None),
        None => Err(Refused::RevokedKey),
        Some(known) => Err(Refused::RecordsGone {
            remembered: known.serial,
        }),
    }
}

/// Verifies the bundle named in an accepted record. `features` are the features of this program,
/// which must include all features in the bundle's `needs`.
///
/// # Errors
/// The reason why the bundle is refused.
pub fn bundle(
    blobs: &dyn Blobs,
    context: &Context<'_>,
    accepted: &Accepted,
    features: &[&str],
) -> Result<Verified, Refused> {
    let id = accepted.bundle();
    if accepted.revocations().has_bundle(&id) {
        return Err(Refused::Revoked { bundle: id });
    }
    let unverified = Unverified::open(blobs, id)?;
    unverified.config().check_needs(features)?;
    let revocations = accepted.revocations();
    verify_of_record(blobs, context, &unverified, accepted.record(), revocations)
}

/// Verifies the bundle named in a record. The bundle may need features that this program lacks.
///
/// # Errors
/// As [`bundle`].
pub fn verify_of_record(
    blobs: &dyn Blobs,
    context: &Context<'_>,
    unverified: &Unverified,
    record: &Record,
    revocations: &Revocations,
) -> Result<Verified, Refused> {
    let id = unverified.id();
    let criteria = VerificationCriteria {
        trust: context.trust,
        channel: Some(context.channel),
        evidence: &record.evidence,
        revocations,
        when: When::Past(record.created),
    };
    let first = match unverified.clone().verify(blobs, &criteria) {
        Err(refused) if is_about_time(&refused) => refused,
        result => return result,
    };
    // The build key may have expired since the bundle was built. Accept the key if it was valid for
    // an earlier record that names the bundle.
    let mut previous = record.previous;
    let mut serial = record.serial;
    while let Some(digest) = previous {
        let Ok(older) = channel::read(blobs, &digest) else {
            break;
        };
        if older.record.serial >= serial {
            break;
        }
        if older.bundle == id {
            let criteria = VerificationCriteria {
                evidence: &older.record.evidence,
                when: When::Past(older.record.created),
                ..criteria
            };
            if let Ok(verified) = unverified.clone().verify(blobs, &criteria) {
                return Ok(verified);
            }
        }
        serial = older.record.serial;
        previous = older.record.previous;
    }
    Err(first)
}

/// Reads the base of an accepted record, verified like a record that was accepted before. `None`:
/// the record is complete.
///
/// # Errors
/// [`Refused::BadRollout`] if the base is not the newest complete record before the record;
/// [`Refused::ChainIncomplete`] if a record between them is missing; the reason why the base itself
/// is refused.
pub fn rollout_base(
    blobs: &dyn Blobs,
    context: &Context<'_>,
    accepted: &Accepted,
) -> Result<Option<Accepted>, Refused> {
    let Some(rollout) = &accepted.record().rollout else {
        return Ok(None);
    };
    let base = rollout.base;
    let bad = |why| Refused::BadRollout { why };
    let mut previous = accepted.record().previous;
    for _ in 0..ROLLOUT_RECORDS_MAX {
        let digest = previous.ok_or(bad("the chain does not lead to the base"))?;
        if digest == base.digest {
            let read = channel::recall(blobs, context, &accepted.memory(), base)?;
            return match read.record().rollout {
                None => Ok(Some(read)),
                Some(_) => Err(bad("the base is not complete")),
            };
        }
        let LinkedRecord { record, .. } =
            channel::read(blobs, &digest).map_err(|refused| match refused {
                Refused::BlobMissing { .. } => Refused::ChainIncomplete { missing: digest },
                other => other,
            })?;
        if record.rollout.is_none_or(|between| between.base != base) {
            return Err(bad("a record after the base has another base"));
        }
        previous = record.previous;
    }
    Err(bad("more than 1000 records follow the base"))
}

/// Blobs and links that a restart needs and that are not yet in the state folder. These are the
/// bundle (without its contracts), statements, the revocation list, records and links.
///
/// # Errors
/// The reason why a blob cannot be read from `from`; [`Refused::StateNotDurable`] if the state
/// folder cannot be read.
pub fn to_keep(
    from: &dyn Blobs,
    state: &dyn Store,
    accepted: &Accepted,
    verified: &Verified,
) -> Result<Batch<'static>, Refused> {
    let mut copy = Copy::new(from, state);
    for layer in verified.layers().runtime() {
        debug_assert_ne!(layer.media_type, CONTRACT);
        copy.blob(layer)?;
    }
    copy.blob(verified.config_blob())?;
    copy.blobs.push(verified.manifest().to_vec());
    for digest in &accepted.record().evidence {
        copy.statement(digest)?;
    }
    copy.add_records_for_build_keys(accepted, verified)?;
    copy.record(accepted)?;
    copy.into_batch()
}

/// Writes the blobs and links of [`to_keep`] to the state folder.
///
/// # Errors
/// As [`to_keep`] and [`Store::commit`]. [`WriteError::Conflict`] if the state folder has another
/// record with this serial, which [`channel::accept`] excludes.
pub fn keep(
    from: &dyn Blobs,
    state: &dyn Store,
    accepted: &Accepted,
    verified: &Verified,
) -> Result<(), WriteError> {
    state.commit(&to_keep(from, state, accepted, verified)?)
}

/// Copies the source artifact of a record's bundle to the state folder, if the record has one. The
/// artifact can be many times as large as the bundle, and only explanations need it. gwd therefore
/// copies it after activation, and ignores a failure.
///
/// # Errors
/// As [`keep`].
pub fn keep_source(
    from: &dyn Blobs,
    state: &dyn Store,
    accepted: &Accepted,
) -> Result<(), WriteError> {
    let Some(source) = accepted.record().source else {
        return Ok(());
    };
    let mut copy = Copy::new(from, state);
    copy.source(&source)?;
    state.commit(&copy.into_batch()?)
}

/// Copies a revocation list to the state folder. The list is stored even if the bundle of the
/// record that names it is refused.
///
/// # Errors
/// As [`keep`].
pub fn keep_list(
    from: &dyn Blobs,
    state: &dyn Store,
    revocations: &Revocations,
) -> Result<(), WriteError> {
    let mut copy = Copy::new(from, state);
    copy.lists(revocations)?;
    state.commit(&copy.into_batch()?)
}

/// Copies a record without its bundle to the state folder. An accepted record is stored even if its
/// bundle could not be activated, so that no older record is accepted later.
///
/// # Errors
/// As [`keep`].
pub fn keep_record(
    from: &dyn Blobs,
    state: &dyn Store,
    accepted: &Accepted,
) -> Result<(), WriteError> {
    state.commit(&record_to_keep(from, state, accepted)?)
}

/// Blobs and links that [`keep_record`] copies.
///
/// # Errors
/// As [`to_keep`].
pub fn record_to_keep(
    from: &dyn Blobs,
    state: &dyn Store,
    accepted: &Accepted,
) -> Result<Batch<'static>, Refused> {
    let mut copy = Copy::new(from, state);
    copy.record(accepted)?;
    copy.into_batch()
}

impl SkippedRecords {
    fn has(&self, record: &Digest) -> bool {
        self.0.contains(record)
    }

    fn add(&mut self, record: Digest) {
        if self.0.len() < SKIPPED_RECORDS_MAX {
            self.0.insert(record);
        }
    }
}

/// Reads the record with this serial from a state folder. `None` if the folder has no such record.
fn recall(
    state: &dyn Store,
    context: &Context<'_>,
    memory: &Memory,
    serial: u64,
) -> Result<Option<Result<Accepted, Refused>>, Refused> {
    match state.link(&Chain::Channel(context.channel.clone()), serial) {
        Err(refused @ Refused::StoreUnreachable { .. }) => Err(refused),
        Err(refused) => Ok(Some(Err(refused))),
        Ok(None) => Ok(None),
        Ok(Some(digest)) => {
            let pointer = Pointer { digest, serial };
            Ok(Some(channel::recall(state, context, memory, pointer)))
        }
    }
}

fn with_newest_list(
    store: &dyn Store,
    context: &Context<'_>,
    accepted: Accepted,
) -> (Result<Accepted, Refused>, Option<Refused>) {
    let known = accepted.revocations().clone();
    let (lists, refused) = match revocation::accept_newest(store, context, &known) {
        Err(refused) => return (Ok(accepted), Some(refused)),
        Ok((lists, refused)) if lists == known => return (Ok(accepted), refused),
        Ok(newer) => newer,
    };
    let memory = Memory {
        revocations: lists,
        ..accepted.memory()
    };
    let pointer = accepted.pointer();
    let context = context.after(&memory);
    (channel::recall(store, &context, &memory, pointer), refused)
}

/// Serial of the newest revocation list that the store has and that is known or accepted. 0 if
/// there is no such list.
fn shown_list(
    store: &dyn Store,
    context: &Context<'_>,
    known: &Revocations,
) -> Result<u64, Refused> {
    let (newer, _) = revocation::accept_newest(store, context, known)?;
    if newer.serial() > known.serial() {
        return Ok(newer.serial());
    }
    for Pointer { digest, serial } in known.pointers().rev() {
        if store.link(&Chain::Revocations, serial)? == Some(digest) {
            return Ok(serial);
        }
    }
    Ok(0)
}

/// Reads the revocation lists in a state folder that have valid signatures. [`Revocations::none`]
/// if the folder has no such list.
///
/// # Errors
/// [`Refused::StoreUnreachable`] if the folder cannot be read.
pub fn accepted_lists(state: &dyn Store, context: &Context<'_>) -> Result<Revocations, Refused> {
    let mut all = Revocations::none();
    for serial in state.serials(&Chain::Revocations)? {
        let Ok(Some(digest)) = state.link(&Chain::Revocations, serial) else {
            continue;
        };
        if let Ok(list) = revocation::recall(state, context, Pointer { digest, serial }) {
            all.extend(list)?;
        }
    }
    Ok(all)
}

const fn is_about_time(refused: &Refused) -> bool {
    matches!(
        refused,
        Refused::KeyExpired | Refused::KeyNotYetValid | Refused::BelowThreshold { .. }
    )
}

/// Converts "store unreachable" to [`Refused::StateNotDurable`], because here the store is the
/// state folder, which the operator must repair.
fn not_durable(refused: Refused) -> Refused {
    match refused {
        Refused::StoreUnreachable { why } => Refused::StateNotDurable { why },
        other => other,
    }
}

/// Blobs and links to copy from a store to the state folder in one batch.
struct Copy<'a> {
    from: &'a dyn Blobs,
    to: &'a dyn Store,
    blobs: Vec<Vec<u8>>,
    links: Vec<Link>,
}

impl<'a> Copy<'a> {
    fn new(from: &'a dyn Blobs, to: &'a dyn Store) -> Self {
        Self {
            from,
            to,
            blobs: vec![EMPTY_BLOB.to_vec()],
            links: Vec::new(),
        }
    }

    /// Adds a blob unless the state folder has a blob with this digest and size. A damaged copy is
    /// detected when it is read.
    fn blob(&mut self, descriptor: &Descriptor) -> Result<(), Refused> {
        let there = self.to.size(&descriptor.digest).map_err(not_durable)?;
        if there != Some(descriptor.size) {
            self.blobs.push(store::read_exact(self.from, descriptor)?);
        }
        Ok(())
    }

    fn statement(&mut self, digest: &Digest) -> Result<(), Refused> {
        let manifest = store::read(self.from, digest, MANIFEST_BYTES_MAX)?;
        self.blob(&stored::layer(&manifest)?)?;
        self.blobs.push(manifest);
        Ok(())
    }

    fn source(&mut self, digest: &Digest) -> Result<(), Refused> {
        let manifest = store::read(self.from, digest, MANIFEST_BYTES_MAX)?;
        self.blob(&source::layer(&manifest)?)?;
        self.blobs.push(manifest);
        Ok(())
    }

    /// Adds the lists that the state folder does not have.
    fn lists(&mut self, revocations: &Revocations) -> Result<(), Refused> {
        for pointer in revocations.pointers() {
            let link = self.to.link(&Chain::Revocations, pointer.serial);
            if link.map_err(not_durable)? != Some(pointer.digest)
                || self
                    .to
                    .size(&pointer.digest)
                    .map_err(not_durable)?
                    .is_none()
            {
                self.statement(&pointer.digest)?;
                self.link(Chain::Revocations, pointer);
            }
        }
        Ok(())
    }

    fn record(&mut self, accepted: &Accepted) -> Result<(), Refused> {
        self.lists(accepted.revocations())?;
        let pointer = accepted.pointer();
        self.statement(&pointer.digest)?;
        self.link(Chain::Channel(accepted.record().channel.clone()), pointer);
        Ok(())
    }

    fn link(&mut self, chain: Chain, Pointer { digest, serial }: Pointer) {
        self.links.push(Link {
            chain,
            serial,
            digest,
        });
    }

    /// Adds older records if the build keys have expired since the bundle was built: all records
    /// back to one that was created while the keys were valid. A restart needs these records to
    /// verify the bundle.
    fn add_records_for_build_keys(
        &mut self,
        accepted: &Accepted,
        verified: &Verified,
    ) -> Result<(), Refused> {
        let mut created = accepted.record().created;
        let mut previous = accepted.record().previous;
        while verified.when() != When::Past(created) {
            let digest = previous.ok_or(Refused::KeyExpired)?;
            let LinkedRecord { bundle, record } = channel::read(self.from, &digest)?;
            self.statement(&digest)?;
            previous = record.previous;
            if bundle == accepted.bundle() {
                created = record.created;
                for statement in &record.evidence {
                    self.statement(statement)?;
                }
            }
        }
        Ok(())
    }

    /// Converts the copy to a batch. Omits links that already exist.
    fn into_batch(mut self) -> Result<Batch<'static>, Refused> {
        let mut links = Vec::new();
        for link in self.links.drain(..) {
            let there = self
                .to
                .link(&link.chain, link.serial)
                .map_err(not_durable)?;
            if there != Some(link.digest) {
                links.push(link);
            }
        }
        Ok(Batch {
            blobs: self.blobs.into_iter().map(Cow::Owned).collect(),
            links,
        })
    }
}
