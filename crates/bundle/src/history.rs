//! A channel's records from its head backwards, and which of them is the head.
//!
//! Links are followed by digest, so a record is what the head vouches for, whoever wrote the store.

use std::collections::BTreeSet;

use crate::channel::{self, Context, Linked};
use crate::digest::Digest;
use crate::moment::Moment;
use crate::name::ChannelName;
use crate::refused::Refused;
use crate::statement::predicate::{Build, Pointer, Record, Role};
use crate::statement::{Statement, claimed_role, stored};
use crate::store::{Blobs, Chain, Store};
use crate::trust::{Signers, Trust, When};

/// Maximum number of reported links by revoked keys. All are passed over on the way to the head.
pub const SKIPPED_MAX: usize = 1_024;

/// One record of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Position of the record in the chain.
    pub pointer: Pointer,
    /// The bundle it names.
    pub bundle: Digest,
    /// The record.
    pub record: Record,
    /// Owners and keys whose signatures counted when the record was created, or the reason why none
    /// does. `None` without a trust file.
    pub signed: Option<Result<Signers, Refused>>,
    /// Origin of the bundle: the first build statement in evidence that can be read.
    pub build: Option<Build>,
}

/// A channel's records, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The records.
    pub entries: Vec<Entry>,
    /// Reason why the walk ended before the first record: the record before the last one in
    /// `entries` cannot be read. `None` at the true beginning, and where `limit` ended the walk.
    pub broken: Option<Refused>,
}

/// The head of a channel for a reader that remembers nothing: the highest serial whose record is
/// not signed by a key that was revoked since. `None` for a channel without records.
///
/// # Errors
/// A record at the head that cannot be read or does not verify.
pub fn head(
    store: &dyn Store,
    trust: Option<&Trust>,
    channel: &ChannelName,
) -> Result<Option<Entry>, Refused> {
    Ok(find_head(store, trust, channel)?.0)
}

/// The head, and the serials above it that are passed over.
pub(crate) fn find_head(
    store: &dyn Store,
    trust: Option<&Trust>,
    channel: &ChannelName,
) -> Result<(Option<Entry>, BTreeSet<u64>), Refused> {
    let mut skipped = BTreeSet::new();
    let chain = Chain::Channel(channel.clone());
    for serial in store.serials(&chain)?.into_iter().rev() {
        let Some(digest) = store.link(&chain, serial)? else {
            continue;
        };
        let entry = entry(store, trust, channel, digest)?;
        if entry.pointer.serial != serial {
            return Err(Refused::Mislinked {
                serial: entry.pointer.serial,
                link: serial,
            });
        }
        match entry.signed {
            Some(Err(Refused::RevokedKey)) => {
                skipped.insert(serial);
            }
            // A threshold may have been raised since; who publishes next has to reach it.
            Some(Err(Refused::BelowThreshold { .. }) | Ok(_)) | None => {
                return Ok((Some(entry), skipped));
            }
            Some(Err(refused)) => return Err(refused),
        }
    }
    Ok((None, skipped))
}

/// The records from the head backwards, at most `limit`.
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

fn entry(
    blobs: &dyn Blobs,
    trust: Option<&Trust>,
    channel: &ChannelName,
    digest: Digest,
) -> Result<Entry, Refused> {
    let Linked { bundle, record } = channel::read(blobs, &digest)?;
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
