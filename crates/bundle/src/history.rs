//! History of a channel: its records from the head backwards, and the search for the head.
//!
//! Each record contains the digest of the previous one. If the head is verified, all older records
//! are authentic as well, even if others can write to the store.

use std::collections::BTreeSet;

use crate::channel::{self, Context, LinkedRecord};
use crate::digest::Digest;
use crate::moment::Moment;
use crate::name::ChannelName;
use crate::refused::Refused;
use crate::serials;
use crate::statement::predicate::{Build, Pointer, Record, Role};
use crate::statement::{Statement, claimed_role, stored};
use crate::store::{Blobs, Chain, Store};
use crate::trust::{Signers, Trust, When};

/// Maximum number of serials that are reported as skipped because of revoked keys: 1,024. The
/// number of records that can be skipped is not limited.
pub const SKIPPED_MAX: usize = 1_024;

/// Record of a channel in the history, with its signers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Position of the record in the chain.
    pub pointer: Pointer,
    /// Bundle named in the record.
    pub bundle: Digest,
    /// The record.
    pub record: Record,
    /// Owners and keys whose signatures were valid when the record was created, or the reason why
    /// the signatures do not suffice. `None` without a trust file.
    pub signed: Option<Result<Signers, Refused>>,
    /// Origin of the bundle: the first readable build statement in the record's evidence. `None`:
    /// no build statement is readable.
    pub build: Option<Build>,
}

/// A channel's records, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The records.
    pub entries: Vec<Entry>,
    /// Reason why the record before the last entry cannot be read. `None` if `entries` ends at the
    /// first record or because of `limit`.
    pub broken: Option<Refused>,
}

/// Head of a channel, for a reader that has not accepted a record before: the record with the
/// highest serial that is not signed by a revoked key. `None` for a channel without records.
///
/// # Errors
/// [`Refused::AtLink`] if a record at the head cannot be read or its signatures are not valid. Also
/// if its serial is more than 2^20 above the one before it and above the minimum in the trust file.
pub fn head(
    store: &dyn Store,
    trust: Option<&Trust>,
    channel: &ChannelName,
) -> Result<Option<Entry>, Refused> {
    Ok(find_head(store, trust, channel)?.0)
}

/// Finds the head of a channel. Also returns the serials above the head that were skipped.
pub(crate) fn find_head(
    store: &dyn Store,
    trust: Option<&Trust>,
    channel: &ChannelName,
) -> Result<(Option<Entry>, BTreeSet<u64>), Refused> {
    let chain = Chain::Channel(channel.clone());
    let serials = store.serials(&chain)?;
    let floor = trust.map_or(0, |trust| trust.floors(channel).min_serial);
    let reachable = serials::reachable(&serials, floor).last().copied();
    let mut skipped = BTreeSet::new();
    for serial in serials.into_iter().rev() {
        let at_link = |why: Refused| chain.at_link(serial, why);
        let digest = store.listed_link(&chain, serial).map_err(at_link)?;
        let entry = entry(store, trust, channel, digest).map_err(at_link)?;
        if entry.pointer.serial != serial {
            return Err(at_link(Refused::Mislinked {
                serial: entry.pointer.serial,
                link: serial,
            }));
        }
        match entry.signed {
            Some(Err(Refused::RevokedKey)) => {
                skipped.insert(serial);
            }
            // Use this record even if the trust file now requires more signers. The new threshold
            // applies to later records.
            Some(Err(Refused::BelowThreshold { .. }) | Ok(_)) | None => {
                return match reachable < Some(serial) {
                    true => Err(at_link(Refused::Forked { serial })),
                    false => Ok((Some(entry), skipped)),
                };
            }
            Some(Err(refused)) => return Err(at_link(refused)),
        }
    }
    Ok((None, skipped))
}

/// Revocation list that the newest record by active keys names. `None`: there is no such record, or
/// the record names no list. `now`: current time.
///
/// # Errors
/// [`Refused::StoreUnreachable`].
pub(crate) fn named_list(
    store: &dyn Store,
    trust: &Trust,
    channel: &ChannelName,
    now: Moment,
) -> Result<Option<Pointer>, Refused> {
    let context = Context {
        trust,
        channel,
        now,
    };
    let chain = Chain::Channel(channel.clone());
    for serial in store.serials(&chain)?.into_iter().rev() {
        let read = || {
            let digest = store.listed_link(&chain, serial)?;
            let pointer = Pointer { digest, serial };
            channel::verify(store, &context, pointer, When::First(now))
        };
        match read() {
            Ok(signed) => return Ok(signed.record.revocations),
            Err(why @ Refused::StoreUnreachable { .. }) => return Err(why),
            Err(_) => {}
        }
    }
    Ok(None)
}

/// Records of a channel from the head backwards, at most `limit`.
///
/// # Errors
/// As [`head`].
pub fn walk(
    store: &dyn Store,
    trust: Option<&Trust>,
    channel: &ChannelName,
    limit: usize,
) -> Result<History, Refused> {
    let mut history = History::default();
    let mut next = head(store, trust, channel)?;
    while let Some(newest) = next.take() {
        let previous = newest.record.previous;
        let serial = newest.pointer.serial;
        history.entries.push(newest);
        let Some(digest) = previous.filter(|_| history.entries.len() < limit) else {
            break;
        };
        match entry(store, trust, channel, digest) {
            Ok(older) if older.pointer.serial < serial => next = Some(older),
            Ok(_) => history.broken = Some(Refused::Forked { serial }),
            Err(refused) => history.broken = Some(refused),
        }
    }
    Ok(history)
}

/// Reads the record with a digest, as an entry of the history.
///
/// # Errors
/// The record cannot be read.
pub fn entry(
    blobs: &dyn Blobs,
    trust: Option<&Trust>,
    channel: &ChannelName,
    digest: Digest,
) -> Result<Entry, Refused> {
    let LinkedRecord { bundle, record } = channel::read(blobs, &digest)?;
    let pointer = Pointer {
        digest,
        serial: record.serial,
    };
    let signed = trust.map(|trust| {
        let context = Context {
            trust,
            channel,
            now: Moment::EPOCH,
        };
        channel::verify(blobs, &context, pointer, When::Ever).map(|signed| signed.signers)
    });
    let build = record
        .evidence
        .iter()
        .find_map(|digest| build(blobs, digest));
    Ok(Entry {
        pointer,
        bundle,
        record,
        signed,
        build,
    })
}

fn build(blobs: &dyn Blobs, digest: &Digest) -> Option<Build> {
    let envelope = stored::open(blobs, digest).ok()?;
    if claimed_role(envelope.payload()) != Ok(Some(Role::Build)) {
        return None;
    }
    Some(Statement::decode(envelope.payload()).ok()?.predicate)
}
