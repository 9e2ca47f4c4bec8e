//! Channels: a hash chain of signed records with growing serials. The newest record names the
//! bundle that should run.
//!
//! A rollback is a new record that points at an old bundle; replaying an old record is refused,
//! rolling back is not. Everything here is a pure function of what it is given: time is an
//! argument, and blobs come from the caller's [`Blobs`]. release.md §5.

use std::collections::BTreeSet;

use crate::context::check_created;
use crate::digest::Digest;
use crate::moment::Moment;

pub use crate::context::{CLOCK_SKEW_S, Context};
use crate::refused::Refused;
use crate::revocation::{self, Revocations};
use crate::statement::Statement;
use crate::statement::predicate::{Pointer, Record, Role};
use crate::statement::stored;
use crate::store::Blobs;
use crate::trust::{Floors, Signers, When};

/// Newest accepted record and revocation list of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The newest accepted record that still verifies.
    pub record: Option<Pointer>,
    /// The newest accepted revocation list.
    pub revocations: Revocations,
    /// The latest `created` among them.
    pub created: Option<Moment>,
    /// The highest serials whose record or list was there and can no longer be read: nothing
    /// older is taken, or damage on a disk would let a replay in.
    pub damaged: Floors,
}

/// A record: the bundle that a channel should run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    pointer: Pointer,
    bundle: Digest,
    record: Record,
    signers: Signers,
    revocations: Revocations,
    expired: bool,
}

/// A record whose signatures count, before the rules of the channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRecord {
    /// Position of the record in the chain.
    pub pointer: Pointer,
    /// The bundle it names.
    pub bundle: Digest,
    /// The record.
    pub record: Record,
    /// Owners and keys whose signatures count.
    pub signers: Signers,
}

// === impl Context ===

impl Context<'_> {
    /// With the clock put forward to the newest accepted `created`, so that a machine whose clock
    /// was set back does not forget that time has passed.
    #[must_use]
    pub fn after(mut self, memory: &Memory) -> Self {
        let created = memory.created.unwrap_or(Moment::EPOCH);
        self.now = self.now.max(created);
        self
    }
}

// === impl Accepted ===

impl Accepted {
    /// Position of the record.
    #[must_use]
    pub const fn pointer(&self) -> Pointer {
        self.pointer
    }

    /// The bundle that should run.
    #[must_use]
    pub const fn bundle(&self) -> Digest {
        self.bundle
    }

    /// The record.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// Owners and keys whose signatures on the record count.
    #[must_use]
    pub const fn signers(&self) -> &Signers {
        &self.signers
    }

    /// The newest revocation list.
    #[must_use]
    pub const fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// True if a record that was accepted in time has expired since. Causes an alarm, never a stop.
    #[must_use]
    pub const fn expired(&self) -> bool {
        self.expired
    }

    /// The memory to keep after the record has been acted upon.
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

/// Checks that a record may be acted upon, and returns its contents. The order of the checks is the
/// order of release.md §5: project and signatures, serial, time, revocation list, chain.
///
/// # Errors
/// The reason, see [`Refused`].
pub fn accept(
    blobs: &dyn Blobs,
    context: &Context<'_>,
    memory: &Memory,
    candidate: Pointer,
) -> Result<Accepted, Refused> {
    accept_beside(blobs, context, memory, candidate, 0)
}

/// As [`accept`], for a record from a store that shows the revocation list `list` beside it: a
/// verified list that is the known one or continues it. A record that was signed before the
/// newest list names an older one. That is normal while the store shows the newest: the newest
/// list stays in force, whichever list the record names.
///
/// # Errors
/// As [`accept`].
pub fn accept_beside(
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
    Ok(Accepted {
        pointer: candidate,
        bundle: signed.bundle,
        record: signed.record,
        signers: signed.signers,
        revocations,
        expired: false,
    })
}

/// A record that was accepted before, from a state folder or the store: it stays accepted until
/// its key or its bundle is revoked. Its keys are judged for the moment it was created.
///
/// # Errors
/// The reason, see [`Refused`].
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
    let judged = &Context { trust, ..*context };
    let signed = read_signed(blobs, judged, pointer, When::Ever)?;
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

/// A record's signatures, project, channel and serial. The payload is read after the signatures
/// have been found to count.
///
/// # Errors
/// A signature reason, [`Refused::WrongProject`], [`Refused::WrongChannel`],
/// [`Refused::Mislinked`] if the record says another serial than the one it stands under.
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

/// As [`verify`], without the threshold: what was accepted stays accepted until a key is revoked
/// (release.md §5), and a threshold that was raised since is for what comes.
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
    // What is accepted now must still be accepted after a restart, so both ask for this.
    let then = When::Past(read.record.created);
    trust.signers(&envelope, Role::Release, channel, then)?;
    Ok(SignedRecord {
        pointer,
        bundle: read.bundle,
        record: read.record,
        signers,
    })
}

/// A record that is vouched for by the digest in a verified one. Its own signatures are not looked
/// at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    /// The bundle it names.
    pub bundle: Digest,
    /// The record.
    pub record: Record,
}

/// Reads a record without judging its signatures: only for digests that a verified record names.
///
/// # Errors
/// [`Refused::BlobMissing`], [`Refused::BadDigest`], [`Refused::Malformed`], …
pub fn read(blobs: &dyn Blobs, digest: &Digest) -> Result<Linked, Refused> {
    let envelope = stored::open(blobs, digest)?;
    decode(envelope.payload())
}

fn decode(payload: &[u8]) -> Result<Linked, Refused> {
    let statement = Statement::<Record>::decode(payload)?;
    let [bundle] = <[Digest; 1]>::try_from(statement.subject).map_err(|_| Refused::WrongSubject)?;
    Ok(Linked {
        bundle,
        record: statement.predicate,
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
        Some(pointer) if pointer.serial < known.serial() => Ok(known.clone()),
        Some(pointer) => {
            let list = revocation::accept_vouched(blobs, context, known, pointer);
            list.map_err(|refused| match refused {
                // Not the record's own key: it must not be passed over for an older one.
                Refused::RevokedKey => Refused::RevocationsUntrusted {
                    serial: pointer.serial,
                },
                other => other,
            })
        }
    }
}

/// Walks back from a verified record to the remembered one, fetching what lies between.
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
        let Linked { record: older, .. } =
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
