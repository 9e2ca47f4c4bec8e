//! Revocation lists: bundles that must never run, not even by a rollback; credentials that are
//! never admitted; and keys whose signatures no longer count.
//!
//! The lists are a chain of signed statements with increasing serials. Each list is complete, so a
//! gateway needs only the newest one. A gateway never accepts a list that is older than the known
//! one. release.md §2, §5, §7.

use std::collections::BTreeSet;

use crate::context::{Context, check_created};
use crate::digest::Digest;
use crate::json::INTEGER_MAX;
use crate::keys::KeyId;
use crate::moment::Moment;
use crate::name::ChannelName;
use crate::refused::Refused;
use crate::statement::Statement;
use crate::statement::envelope::Envelope;
use crate::statement::predicate::{Pointer, Revoke, Role};
use crate::statement::stored;
use crate::store::{Blobs, Chain, Store};
use crate::trust::{KeyState, Signers, Trust, When};

/// Maximum distance of a serial by a key of other channels to the known serials: 2^20. Somebody with
/// such a key could otherwise use up all serials.
const SERIALS_AHEAD_MAX: u64 = 1 << 20;

/// Newest accepted revocation list. Empty before the first list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocations {
    pointer: Option<Pointer>,
    list: Option<Revoke>,
}

impl Revocations {
    /// State of a channel before its first revocation list.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Position of the list in its chain. `None` if there is no list.
    #[must_use]
    pub const fn pointer(&self) -> Option<Pointer> {
        self.pointer
    }

    /// Serial of the list. 0 if there is no list.
    #[must_use]
    pub fn serial(&self) -> u64 {
        self.pointer.map_or(0, |pointer| pointer.serial)
    }

    /// Content of the list. `None` if there is no list.
    #[must_use]
    pub const fn list(&self) -> Option<&Revoke> {
        self.list.as_ref()
    }

    /// Signing time of the list. 1970-01-01 if there is no list.
    #[must_use]
    pub fn created(&self) -> Moment {
        let list = self.list.as_ref();
        list.map_or(Moment::EPOCH, |list| list.created)
    }

    /// True if the list contains this bundle, which must never run.
    #[must_use]
    pub fn has_bundle(&self, id: &Digest) -> bool {
        self.list
            .as_ref()
            .is_some_and(|list| list.bundles.contains(id))
    }

    /// True if the list contains the credential with this SHA-256, which must never be admitted.
    #[must_use]
    pub fn has_credential(&self, sha256: &Digest) -> bool {
        let list = self.list.as_ref();
        list.is_some_and(|list| list.credentials.contains(sha256))
    }

    /// Revoked keys. Their signatures are refused.
    #[must_use]
    pub fn keys(&self) -> BTreeSet<KeyId> {
        let list = self.list.as_ref();
        list.map(|list| list.keys.clone()).unwrap_or_default()
    }
}

/// Checks that a list may replace the known one, and returns it.
///
/// # Errors
/// The reason why the signatures are not valid; [`Refused::WrongProject`] for a list of another
/// project; [`Refused::RevocationsWithheld`] for a list that is older than the known one;
/// [`Refused::Forked`] or [`Refused::ChainIncomplete`] if the chain does not lead to the known
/// list; [`Refused::FromTheFuture`] if `created` is too far ahead of the clock.
pub fn accept(
    blobs: &dyn Blobs,
    context: &Context<'_>,
    known: &Revocations,
    candidate: Pointer,
) -> Result<Revocations, Refused> {
    let list = verify(blobs, context, &candidate, When::First(context.now));
    take(blobs, context, known, candidate, list)
}

/// Like [`accept`], for a list that a record with valid signatures names. The record's signatures
/// make the list valid even if the list's own key has been retired.
///
/// # Errors
/// As [`accept`].
pub fn accept_named_by_record(
    blobs: &dyn Blobs,
    context: &Context<'_>,
    known: &Revocations,
    candidate: Pointer,
) -> Result<Revocations, Refused> {
    let list = verify(blobs, context, &candidate, When::Ever);
    take(blobs, context, known, candidate, list)
}

fn take(
    blobs: &dyn Blobs,
    context: &Context<'_>,
    known: &Revocations,
    candidate: Pointer,
    list: Result<Revoke, Refused>,
) -> Result<Revocations, Refused> {
    if known.pointer == Some(candidate) {
        return Ok(known.clone());
    }
    let list = list?;
    let floor = context.trust.floors(context.channel).min_revocations;
    let least = known.serial().max(floor);
    if candidate.serial < least {
        return Err(Refused::RevocationsWithheld {
            serial: candidate.serial,
            known: least,
        });
    }
    check_created(context, list.created)?;
    if let Some(known) = known.pointer {
        check_chain(blobs, known, &candidate, &list)?;
    }
    Ok(Revocations {
        pointer: Some(candidate),
        list: Some(list),
    })
}

/// Reads a list that was accepted earlier from a state folder.
///
/// # Errors
/// The reason why the signatures are not valid; [`Refused::WrongProject`] for a list of another
/// project; [`Refused::BadDigest`] and any other error of reading a statement.
pub fn recall(
    blobs: &dyn Blobs,
    context: &Context<'_>,
    pointer: Pointer,
) -> Result<Revocations, Refused> {
    let (list, _) = read_signed(blobs, context, &pointer, When::Ever)?;
    Ok(Revocations {
        pointer: Some(pointer),
        list: Some(list),
    })
}

/// Result of [`successor`] and [`predecessor`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Newest {
    /// Position and content of the list. `None`: there is none.
    pub list: Option<(Pointer, Revoke)>,
    /// Serials of newer lists.
    pub skipped: BTreeSet<u64>,
}

/// Position of the list in force in a channel, found as by [`newest_list`].
///
/// # Errors
/// As [`newest_list`].
pub fn newest(
    store: &dyn Store,
    trust: Option<&Trust>,
    channel: &ChannelName,
) -> Result<Option<Pointer>, Refused> {
    Ok(newest_list(store, trust, channel)?.map(|(pointer, _)| pointer))
}

/// Position and content of the list in force in a channel, for a reader that has not accepted a
/// list before: the newest list with valid signatures. Skips lists by keys of other channels, and by
/// keys that were revoked later. Without a trust file: the newest list. `None`: no list is in force.
///
/// # Errors
/// The list cannot be read, or its signatures are not valid: [`Refused::AtLink`].
pub fn newest_list(
    store: &dyn Store,
    trust: Option<&Trust>,
    channel: &ChannelName,
) -> Result<Option<(Pointer, Revoke)>, Refused> {
    let serials = store.serials(&Chain::Revocations)?;
    for serial in serials.into_iter().rev() {
        if let Some(found) = read_head(store, trust, Some(channel), serial)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Finds the newest list in force in a channel whose chain contains all `known` lists.
///
/// # Errors
/// As [`newest_list`]; [`Refused::Forked`] if no list continues all known lists.
pub fn successor(
    store: &dyn Store,
    trust: Option<&Trust>,
    channel: &ChannelName,
    known: &BTreeSet<Pointer>,
) -> Result<Newest, Refused> {
    let in_force = |serial| read_head(store, trust, Some(channel), serial);
    newest_after(store, known, in_force)
}

/// Finds the list before a new one: the newest list whose chain contains all `known` lists, the
/// lists in force in the channels that accept the new one. The keys of the list may be for other
/// channels, or revoked later, so that gateways that accepted the list find it in the chain. Such a
/// list is skipped if it cannot be read, or if its serial is far above the known ones.
///
/// # Errors
/// As [`successor`].
pub fn predecessor(
    store: &dyn Store,
    trust: Option<&Trust>,
    channel: &ChannelName,
    known: &BTreeSet<Pointer>,
) -> Result<Newest, Refused> {
    let highest = highest(known).saturating_add(SERIALS_AHEAD_MAX);
    let active = trust.cloned().map(Trust::with_all_active);
    let any = |serial| match read_head(store, trust, Some(channel), serial)? {
        Some(found) => Ok(Some(found)),
        None if serial > highest => Ok(None),
        None => readable(read_head(store, active.as_ref(), None, serial)),
    };
    newest_after(store, known, any)
}

/// Newest list by keys that were revoked later that fulfils a condition, if no newer list is in force
/// in the channel. Its entries do not count. Ignores such lists that cannot be read. `None`: there is
/// none.
///
/// # Errors
/// As [`newest_list`].
pub fn newest_revoked(
    store: &dyn Store,
    trust: &Trust,
    channel: &ChannelName,
    condition: impl Fn(&Revoke) -> bool,
) -> Result<Option<(Pointer, Revoke)>, Refused> {
    for serial in store.serials(&Chain::Revocations)?.into_iter().rev() {
        if read_head(store, Some(trust), Some(channel), serial)?.is_some() {
            return Ok(None);
        }
        let found = read_revoked(store, trust, channel, serial)?;
        if let Some(found) = found.filter(|(_, list)| condition(list)) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Revoked keys that signed a list.
///
/// # Errors
/// The reason why the list cannot be read.
pub fn revoked_signers(
    store: &dyn Store,
    trust: &Trust,
    list: &Pointer,
) -> Result<BTreeSet<KeyId>, Refused> {
    let envelope = stored::open(store, &list.digest)?;
    let active = trust.clone().with_all_active();
    let mut keys = active
        .signers(&envelope, Role::Revoke, None, When::Ever)?
        .keys;
    keys.retain(|id| (trust.key(id)).is_some_and(|key| key.state == KeyState::Revoked));
    Ok(keys)
}

/// List with this serial, if its keys were revoked later. `None`: there is none, or it cannot be read.
///
/// # Errors
/// [`Refused::StoreUnreachable`].
pub fn read_revoked(
    store: &dyn Store,
    trust: &Trust,
    channel: &ChannelName,
    serial: u64,
) -> Result<Option<(Pointer, Revoke)>, Refused> {
    let read = |trust| readable(read_head(store, Some(trust), Some(channel), serial));
    if read(trust)?.is_some() {
        return Ok(None);
    }
    read(&trust.clone().with_all_active())
}

/// Replaces every error except an unreachable store by `None`.
fn readable<T>(read: Result<Option<T>, Refused>) -> Result<Option<T>, Refused> {
    match read {
        Err(why @ Refused::StoreUnreachable { .. }) => Err(why),
        other => Ok(other.ok().flatten()),
    }
}

fn highest(known: &BTreeSet<Pointer>) -> u64 {
    known.iter().map(|known| known.serial).max().unwrap_or(0)
}

fn newest_after(
    store: &dyn Store,
    known: &BTreeSet<Pointer>,
    read: impl Fn(u64) -> Result<Option<(Pointer, Revoke)>, Refused>,
) -> Result<Newest, Refused> {
    let mut skipped = BTreeSet::new();
    let serials = store.serials(&Chain::Revocations)?;
    for serial in serials.into_iter().rev() {
        if let Some((list, content)) = read(serial)?
            && serial < INTEGER_MAX
            && known
                .iter()
                .all(|known| leads_to(store, *known, &list, &content))
        {
            let list = Some((list, content));
            return Ok(Newest { list, skipped });
        }
        skipped.insert(serial);
    }
    match known.is_empty() {
        true => Ok(Newest {
            list: None,
            skipped,
        }),
        false => Err(Refused::Forked {
            serial: highest(known),
        }),
    }
}

/// True if a list is the known list, or a successor of it.
fn leads_to(blobs: &dyn Blobs, known: Pointer, list: &Pointer, content: &Revoke) -> bool {
    *list == known || check_chain(blobs, known, list, content).is_ok()
}

/// Reads the list with a serial, and checks its signatures. `None`: its key was revoked, or is for
/// other channels.
fn read_head(
    store: &dyn Store,
    trust: Option<&Trust>,
    channel: Option<&ChannelName>,
    serial: u64,
) -> Result<Option<(Pointer, Revoke)>, Refused> {
    let read = || {
        let digest = store.listed_link(&Chain::Revocations, serial)?;
        let envelope = stored::open(store, &digest)?;
        if let Some(trust) = trust {
            let signers = trust.signers(&envelope, Role::Revoke, channel, When::Ever)?;
            enough(trust, &envelope, channel, &signers)?;
        }
        let statement = Statement::<Revoke>::decode(envelope.payload())?;
        let list = statement.predicate;
        if statement.subject != list.subject() {
            return Err(Refused::WrongSubject);
        }
        if let Some(expected) = trust.map(Trust::project)
            && list.project != *expected
        {
            let expected = expected.clone();
            return Err(Refused::WrongProject { expected });
        }
        if list.serial != serial {
            return Err(Refused::Mislinked {
                serial: list.serial,
                link: serial,
            });
        }
        Ok((Pointer { digest, serial }, list))
    };
    match read() {
        Ok(found) => Ok(Some(found)),
        Err(why) if is_skipped(&why) => Ok(None),
        Err(why) => Err(Chain::Revocations.at_link(serial, why)),
    }
}

/// True if readers skip a list for this reason: its key was revoked later, or is for other channels.
#[must_use]
pub const fn is_skipped(why: &Refused) -> bool {
    matches!(why, Refused::RevokedKey | Refused::WrongChannel { .. })
}

fn verify(
    blobs: &dyn Blobs,
    context: &Context<'_>,
    pointer: &Pointer,
    when: When,
) -> Result<Revoke, Refused> {
    let (list, signers) = read_signed(blobs, context, pointer, when)?;
    let envelope = stored::open(blobs, &pointer.digest)?;
    enough(context.trust, &envelope, Some(context.channel), &signers)?;
    Ok(list)
}

/// Checks the threshold of signers. [`Refused::RevokedKey`] if enough owners signed, and a key of one
/// of them was revoked later.
fn enough(
    trust: &Trust,
    envelope: &Envelope,
    channel: Option<&ChannelName>,
    signers: &Signers,
) -> Result<(), Refused> {
    let Err(below) = trust.enough(Role::Revoke, signers) else {
        return Ok(());
    };
    let active = trust.clone().with_all_active();
    match active.authorized_signers(envelope, Role::Revoke, channel, When::Ever) {
        Ok(_) => Err(Refused::RevokedKey),
        Err(_) => Err(below),
    }
}

/// Reads a list, and checks its signatures, subject, project and serial. Does not check the
/// threshold of signers.
fn read_signed(
    blobs: &dyn Blobs,
    context: &Context<'_>,
    pointer: &Pointer,
    when: When,
) -> Result<(Revoke, Signers), Refused> {
    let envelope = stored::open(blobs, &pointer.digest)?;
    let channel = Some(context.channel);
    let trust = context.trust;
    let signers = trust.signers(&envelope, Role::Revoke, channel, when)?;
    let statement = Statement::<Revoke>::decode(envelope.payload())?;
    let list = statement.predicate;
    if statement.subject != list.subject() {
        return Err(Refused::WrongSubject);
    }
    if list.project != *context.trust.project() {
        return Err(Refused::WrongProject {
            expected: context.trust.project().clone(),
        });
    }
    if list.serial != pointer.serial {
        return Err(Refused::Mislinked {
            serial: list.serial,
            link: pointer.serial,
        });
    }
    // Check the keys at the list's `created` time, so that the result is the same after a restart.
    let then = When::Past(list.created);
    trust.signers(&envelope, Role::Revoke, channel, then)?;
    Ok((list, signers))
}

/// Reads the lists backwards from a verified list, and checks that the chain contains the known
/// list. Each list contains the digest of its predecessor, so the signatures of the lists in
/// between need no check.
fn check_chain(
    blobs: &dyn Blobs,
    known: Pointer,
    candidate: &Pointer,
    list: &Revoke,
) -> Result<(), Refused> {
    let forked = Refused::Forked {
        serial: candidate.serial,
    };
    let mut serial = list.serial;
    let mut previous = list.previous;
    while serial > known.serial {
        let digest = previous.ok_or(forked.clone())?;
        if digest == known.digest {
            return Ok(());
        }
        let older = read(blobs, &digest).map_err(|refused| match refused {
            Refused::BlobMissing { .. } => Refused::ChainIncomplete { missing: digest },
            other => other,
        })?;
        if older.serial >= serial {
            return Err(forked);
        }
        serial = older.serial;
        previous = older.previous;
    }
    Err(forked)
}

fn read(blobs: &dyn Blobs, digest: &Digest) -> Result<Revoke, Refused> {
    let envelope = stored::open(blobs, digest)?;
    Ok(Statement::decode(envelope.payload())?.predicate)
}
