//! Channels: chains of signed records with increasing serials, each of which contains the digest of
//! the one before it. The newest record names the bundle that should run.
//!
//! A rollback is a new record for an old bundle. An old record is refused if a newer one was
//! accepted (replay). All functions are pure: the time is an argument, and blobs come from the
//! caller's [`Blobs`]. release.md §5.

use std::collections::BTreeSet;

use crate::approval::{self, Since};
use crate::context::check_created;
use crate::digest::Digest;
use crate::linked::decode;
use crate::moment::Moment;

pub use crate::context::{CLOCK_SKEW_S, Context};
pub use crate::linked::{LinkedRecord, read};
use crate::refused::Refused;
use crate::revocation::{self, Revocations};
use crate::serials::is_far;
use crate::statement::predicate::{Pointer, Record, Role};
use crate::statement::stored;
use crate::store::Blobs;
use crate::trust::{Floors, Signers, When};

/// State of a channel: the newest accepted record and revocation list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Newest accepted record whose signatures are still valid. `None` if there is no such record.
    pub record: Option<Pointer>,
    /// Newest accepted revocation list. Empty if there is none.
    pub revocations: Revocations,
    /// Signing time (`created`) of the record or of the revocation list, whichever is later. `None`
    /// if there is neither.
    pub created: Option<Moment>,
    /// Highest serials of a record and of a revocation list that were stored but can no longer be
    /// read. Older records and lists are refused, because otherwise a damaged disk would permit a
    /// replay.
    pub damaged: Floors,
}

impl Memory {
    /// Refuses records below this serial, because a record with this serial was stored and lost.
    pub fn require_serial(&mut self, serial: u64) {
        self.damaged.min_serial = self.damaged.min_serial.max(serial);
    }
}

/// An accepted record: the bundle that a channel should run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    pointer: Pointer,
    bundle: Digest,
    record: Record,
    signers: Signers,
    revocations: Revocations,
    expired: bool,
}

/// Record with enough valid signatures, not yet checked against the channel's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRecord {
    /// Position of the record in the chain.
    pub pointer: Pointer,
    /// Bundle named in the record.
    pub bundle: Digest,
    /// The record.
    pub record: Record,
    /// Owners and keys with accepted signatures.
    pub signers: Signers,
}

// === impl Context ===

impl Context<'_> {
    /// Advances the time of the context to the newest accepted `created`. Records then expire even
    /// if the machine's clock was set back.
    #[must_use]
    pub fn after(mut self, memory: &Memory) -> Self {
        let created = memory.created.unwrap_or(Moment::EPOCH);
        self.now = self.now.max(created);
        self
    }
}

// === impl Accepted ===

impl Accepted {
    /// Serial and digest of the record's statement.
    #[must_use]
    pub const fn pointer(&self) -> Pointer {
        self.pointer
    }

    /// Bundle that the channel should run, as named in the record.
    #[must_use]
    pub const fn bundle(&self) -> Digest {
        self.bundle
    }

    /// The record.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// Owners and keys with accepted signatures on the record.
    #[must_use]
    pub const fn signers(&self) -> &Signers {
        &self.signers
    }

    /// Newest revocation list that was accepted with the record.
    #[must_use]
    pub const fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// True if the record has expired since it was accepted. Its bundle keeps running; gwd reports
    /// the expiry.
    #[must_use]
    pub const fn expired(&self) -> bool {
        self.expired
    }

    /// Builds the state of the channel in which this record is the newest.
    #[must_use]
    pub fn memory(&self) -> Memory {
        Memory {
            record: Some(self.pointer),
            revocations: self.revocations.clone(),
            created: Some(self.record.created.max(self.revocations.created())),
            damaged: Floors::default(),
        }
    }
}

/// Checks that a record may be applied to the channel, and returns the accepted record. Order of
/// the checks (release.md §5): project and signatures, serial, time, revocation list, chain,
/// approvals.
///
/// # Errors
/// The reason why the record is refused.
pub fn accept(
    blobs: &dyn Blobs,
    context: &Context<'_>,
    memory: &Memory,
    candidate: Pointer,
) -> Result<Accepted, Refused> {
    accept_with_store_list(blobs, context, memory, candidate, 0)
}

/// Like [`accept`], for a record from a store whose newest revocation list has the serial `list`.
/// The caller has verified that this list is the known list or a successor of it. The record may
/// therefore name an older list than the known one, because it may have been signed before the
/// newer list. The newest list stays in force.
///
/// # Errors
/// As [`accept`].
pub fn accept_with_store_list(
    blobs: &dyn Blobs,
    context: &Context<'_>,
    memory: &Memory,
    candidate: Pointer,
    list: u64,
) -> Result<Accepted, Refused> {
    let context = &context.after(memory);
    if memory.record == Some(candidate) {
        return recall(blobs, context, memory, candidate);
    }
    let trust = &context
        .trust
        .clone()
        .with_revoked(&memory.revocations.keys());
    let signed = verify(
        blobs,
        &Context { trust, ..*context },
        candidate,
        When::First(context.now),
    )?;
    check_serial(context, memory, candidate)?;
    check_created(context, signed.record.created)?;
    if let Some(at) = signed.record.expires.filter(|at| *at <= context.now) {
        return Err(Refused::Expired { at });
    }
    let revocations = newer_list(blobs, context, memory, &signed.record, list)?;
    if revocations != memory.revocations {
        let trust = &context.trust.clone().with_revoked(&revocations.keys());
        let context = Context { trust, ..*context };
        verify(blobs, &context, candidate, When::First(context.now))?;
    }
    if let Some(known) = memory.record {
        check_chain(blobs, known, &signed)?;
    }
    let known = memory.record;
    let known = known.map_or(Since::Unknown, |known| Since::Record(known.digest));
    check_approvals(blobs, context, (&revocations, known), &signed)?;
    Ok(Accepted {
        pointer: candidate,
        bundle: signed.bundle,
        record: signed.record,
        signers: signed.signers,
        revocations,
        expired: false,
    })
}

/// Checks the approvals of a new record. Keys on the newest revocation list do not count. A record
/// that was accepted before is not checked again: revoking the key of an approver does not undo it.
fn check_approvals(
    blobs: &dyn Blobs,
    context: &Context<'_>,
    (revocations, known): (&Revocations, Since),
    signed: &SignedRecord,
) -> Result<(), Refused> {
    let trust = &context.trust.clone().with_revoked(&revocations.keys());
    let context = &Context { trust, ..*context };
    let SignedRecord { bundle, record, .. } = signed;
    let digest = Some(signed.pointer.digest);
    approval::check_since(blobs, context, digest, (*bundle, record), known).map(drop)
}

/// Reads a record that was accepted earlier, from a state folder or a store. The record stays
/// accepted until its key or bundle is revoked. The signing keys must have been valid at the
/// record's `created` time.
///
/// # Errors
/// The reason why the record is refused.
pub fn recall(
    blobs: &dyn Blobs,
    context: &Context<'_>,
    memory: &Memory,
    pointer: Pointer,
) -> Result<Accepted, Refused> {
    let trust = &context
        .trust
        .clone()
        .with_revoked(&memory.revocations.keys());
    let with_revoked = &Context { trust, ..*context };
    let signed = read_signed(blobs, with_revoked, pointer, When::Ever)?;
    let expires = signed.record.expires;
    Ok(Accepted {
        pointer,
        bundle: signed.bundle,
        record: signed.record,
        signers: signed.signers,
        revocations: memory.revocations.clone(),
        expired: expires.is_some_and(|at| at <= context.now),
    })
}

/// Verifies the signatures, project, channel and serial of a record. Decodes the payload only after
/// the signatures are valid.
///
/// # Errors
/// The reason why the signatures are not valid; [`Refused::WrongProject`] or
/// [`Refused::WrongChannel`] for a record of another project or channel; [`Refused::Mislinked`] if
/// the serials of the record and of its link differ; [`Refused::BadRollout`] if the step of a
/// progressive release is not valid.
pub fn verify(
    blobs: &dyn Blobs,
    context: &Context<'_>,
    pointer: Pointer,
    when: When,
) -> Result<SignedRecord, Refused> {
    let signed = read_signed(blobs, context, pointer, when)?;
    context.trust.enough(Role::Release, &signed.signers)?;
    Ok(signed)
}

/// Like [`verify`], but accepts a record with fewer signers than the trust file requires. If the
/// required number is raised, records that were accepted before stay accepted (release.md §5).
fn read_signed(
    blobs: &dyn Blobs,
    context: &Context<'_>,
    pointer: Pointer,
    when: When,
) -> Result<SignedRecord, Refused> {
    let envelope = stored::open(blobs, &pointer.digest)?;
    let channel = Some(context.channel);
    let trust = context.trust;
    let signers = trust.signers(&envelope, Role::Release, channel, when)?;
    let read = decode(envelope.payload())?;
    if read.record.project != *trust.project() {
        return Err(Refused::WrongProject {
            expected: trust.project().clone(),
        });
    }
    if read.record.channel != *context.channel {
        return Err(Refused::WrongChannel {
            expected: context.channel.clone(),
        });
    }
    if read.record.serial != pointer.serial {
        return Err(Refused::Mislinked {
            serial: read.record.serial,
            link: pointer.serial,
        });
    }
    if let Some(rollout) = &read.record.rollout {
        rollout.check(&read.record)?;
    }
    // Check the keys at the record's `created` time, so that the result is the same after a
    // restart.
    let then = When::Past(read.record.created);
    trust.signers(&envelope, Role::Release, channel, then)?;
    Ok(SignedRecord {
        pointer,
        bundle: read.bundle,
        record: read.record,
        signers,
    })
}

fn check_serial(context: &Context<'_>, memory: &Memory, candidate: Pointer) -> Result<(), Refused> {
    let serial = candidate.serial;
    if let Some(known) = memory.record {
        if serial == known.serial {
            return Err(Refused::Forked { serial });
        }
        if serial < known.serial {
            return Err(Refused::Replayed {
                serial,
                remembered: known.serial,
            });
        }
    }
    if serial < memory.damaged.min_serial {
        return Err(Refused::Replayed {
            serial,
            remembered: memory.damaged.min_serial,
        });
    }
    let floor = context.trust.floors(context.channel).min_serial;
    if serial < floor {
        return Err(Refused::BelowFloor { serial, floor });
    }
    let known = memory.record.map_or(0, |known| known.serial);
    if is_far(serial, known.max(floor)) {
        return Err(Refused::Forked { serial });
    }
    Ok(())
}

fn newer_list(
    blobs: &dyn Blobs,
    context: &Context<'_>,
    memory: &Memory,
    record: &Record,
    beside: u64,
) -> Result<Revocations, Refused> {
    let known = &memory.revocations;
    let floor = context.trust.floors(context.channel).min_revocations;
    let least = known
        .serial()
        .max(floor)
        .max(memory.damaged.min_revocations);
    let serial = record.revocations.map_or(0, |pointer| pointer.serial);
    if serial.max(beside) < least {
        return Err(Refused::RevocationsWithheld {
            serial,
            known: least,
        });
    }
    match record.revocations {
        None => Ok(known.clone()),
        Some(pointer) => {
            let is_newer = pointer.serial > known.serial();
            match revocation::accept_named_by_record(blobs, context, known, pointer) {
                // A known list is newer than the list that the record names, whose key was revoked.
                Err(why) if !is_newer && revocation::is_skipped(&why) => Ok(known.clone()),
                // Report a different reason, because the revoked key signed the list and not the
                // record. Otherwise the record would be skipped, and an older one used.
                Err(Refused::RevokedKey) => Err(Refused::RevocationsUntrusted {
                    serial: pointer.serial,
                }),
                other => other,
            }
        }
    }
}

/// Checks that a verified record is a successor of the newest accepted record. Reads the
/// predecessors of the verified record, up to a record that names the accepted record, as its
/// predecessor or in `merges`.
fn check_chain(blobs: &dyn Blobs, known: Pointer, signed: &SignedRecord) -> Result<(), Refused> {
    let forked = Refused::Forked {
        serial: signed.pointer.serial,
    };
    let mut merged: BTreeSet<Digest> = signed.record.merges.clone();
    let mut serial = signed.record.serial;
    let mut previous = signed.record.previous;
    while serial > known.serial {
        if merged.contains(&known.digest) {
            return Ok(());
        }
        let digest = previous.ok_or(forked.clone())?;
        if digest == known.digest {
            return Ok(());
        }
        let LinkedRecord { record: older, .. } =
            read(blobs, &digest).map_err(|refused| match refused {
                Refused::BlobMissing { .. } => Refused::ChainIncomplete { missing: digest },
                other => other,
            })?;
        if older.serial >= serial {
            return Err(forked);
        }
        merged.extend(&older.merges);
        serial = older.serial;
        previous = older.previous;
    }
    if merged.contains(&known.digest) {
        return Ok(());
    }
    Err(forked)
}
