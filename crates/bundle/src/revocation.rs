//! Revocation lists: bundles that must never run, not even by a rollback; credentials that are
//! never admitted; and keys whose signatures no longer count.
//!
//! The entries in force in a channel are those of all lists whose keys count there. No list can
//! remove an entry of a different list. A list counts as long as the trust file does not revoke its
//! keys. A reader that sees a list for the first time requires active keys, or a record by active
//! keys that names the list. gwc repeats the entries in force in each new list.
//! release.md §2, §5, §7.

use std::collections::BTreeSet;

use crate::context::{Context, check_created};
use crate::digest::Digest;
use crate::keys::KeyId;
use crate::moment::Moment;
use crate::name::{ChannelName, ProjectName};
use crate::refused::Refused;
use crate::serials::{is_far, reachable};
use crate::statement::Statement;
use crate::statement::envelope::Envelope;
use crate::statement::predicate::{Pointer, Revoke, Role};
use crate::statement::stored;
use crate::store::{Blobs, Chain, Store};
use crate::trust::{Signers, Trust, When};

/// Maximum number of lists of a store that a gateway reads. Somebody who can write to the store
/// could otherwise keep the gateway busy.
const LISTS_MAX: usize = 128;

/// Maximum number of entries in force in a channel: 2^20. A list with more entries is refused.
const ENTRIES_MAX: usize = 1 << 20;

/// Revocation lists in force in a channel. Empty before the first list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocations {
    /// Serials of the lists, and the digests of their manifests.
    lists: BTreeSet<(u64, Digest)>,
    /// Newest list, with the entries of all lists.
    list: Option<Revoke>,
}

impl Revocations {
    /// State of a channel before its first revocation list.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Position of the newest list in the chain. `None` if there is no list.
    #[must_use]
    pub fn pointer(&self) -> Option<Pointer> {
        self.pointers().next_back()
    }

    /// Positions of all lists, in the order of their serials.
    pub fn pointers(&self) -> impl DoubleEndedIterator<Item = Pointer> {
        let lists = self.lists.iter();
        lists.map(|&(serial, digest)| Pointer { digest, serial })
    }

    /// True if the chain of revocation lists contains this list.
    #[must_use]
    pub fn has(&self, list: Pointer) -> bool {
        self.lists.contains(&(list.serial, list.digest))
    }

    /// Serial of the newest list. 0 if there is no list.
    #[must_use]
    pub fn serial(&self) -> u64 {
        self.pointer().map_or(0, |pointer| pointer.serial)
    }

    /// Newest list, with the entries of all lists in force. `None` if there is no list.
    #[must_use]
    pub const fn list(&self) -> Option<&Revoke> {
        self.list.as_ref()
    }

    /// Newest signing time of the lists. 1970-01-01 if there is no list.
    #[must_use]
    pub fn created(&self) -> Moment {
        let list = self.list.as_ref();
        list.map_or(Moment::EPOCH, |list| list.created)
    }

    /// True if a list contains this bundle, which must never run.
    #[must_use]
    pub fn has_bundle(&self, id: &Digest) -> bool {
        self.list
            .as_ref()
            .is_some_and(|list| list.bundles.contains(id))
    }

    /// True if a list contains the credential with this SHA-256, which must never be admitted.
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

    /// Adds the lists of `other` to the lists in force.
    ///
    /// # Errors
    /// [`Refused::TooLarge`] if there would be more than 2^20 entries. Nothing is added then.
    pub fn extend(&mut self, other: Self) -> Result<(), Refused> {
        let Some(list) = other.list else {
            return Ok(());
        };
        let is_newer = other.lists.last() > self.lists.last();
        let merged = match self.list.take() {
            None => list,
            Some(known) => {
                let (mut newer, older) = if is_newer {
                    (list, &known)
                } else {
                    (known.clone(), &list)
                };
                newer.bundles.extend(&older.bundles);
                newer.credentials.extend(&older.credentials);
                newer.keys.extend(&older.keys);
                newer.created = newer.created.max(older.created);
                let entries = newer.bundles.len() + newer.credentials.len() + newer.keys.len();
                if entries > ENTRIES_MAX {
                    self.list = Some(known);
                    return Err(Refused::TooLarge {
                        what: "revoked entries",
                        limit: ENTRIES_MAX as u64,
                    });
                }
                newer
            }
        };
        self.list = Some(merged);
        self.lists.extend(other.lists);
        Ok(())
    }

    pub(crate) fn one(pointer: Pointer, list: Revoke) -> Self {
        Self {
            lists: BTreeSet::from([(pointer.serial, pointer.digest)]),
            list: Some(list),
        }
    }
}

/// Verifies a list, and adds it to the known lists.
///
/// # Errors
/// The reason why the signatures are not valid; [`Refused::WrongProject`] for a list of a different
/// project; [`Refused::RevocationsWithheld`] if the list is older than the minimum in the trust
/// file, and no newer list is known; [`Refused::Forked`] if the serial is too far ahead;
/// [`Refused::FromTheFuture`] if `created` is too far ahead of the clock.
pub fn accept(
    blobs: &dyn Blobs,
    context: &Context<'_>,
    known: &Revocations,
    candidate: Pointer,
) -> Result<Revocations, Refused> {
    take(blobs, context, known, candidate, When::First(context.now))
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
    take(blobs, context, known, candidate, When::Ever)
}

fn take(
    blobs: &dyn Blobs,
    context: &Context<'_>,
    known: &Revocations,
    candidate: Pointer,
    when: When,
) -> Result<Revocations, Refused> {
    let serial = candidate.serial;
    if known.has(candidate) {
        return Ok(known.clone());
    }
    let floor = context.trust.floors(context.channel).min_revocations;
    if serial < floor && known.serial() < floor {
        return Err(Refused::RevocationsWithheld {
            serial,
            known: floor,
        });
    }
    if is_far(serial, known.serial().max(floor)) {
        return Err(Refused::Forked { serial });
    }
    let mut all = known.clone();
    all.extend(read_new(blobs, context, known, candidate, when)?)?;
    Ok(all)
}

/// Verifies a list that is not known. Keys on the known lists do not count.
fn read_new(
    blobs: &dyn Blobs,
    context: &Context<'_>,
    known: &Revocations,
    candidate: Pointer,
    when: When,
) -> Result<Revocations, Refused> {
    let trust = &context.trust.clone().with_revoked(&known.keys());
    let context = &Context { trust, ..*context };
    let list = verify(blobs, context, &candidate, when)?;
    check_created(context, list.created)?;
    Ok(Revocations::one(candidate, list))
}

/// Adds the unknown lists among the newest 128 of a store. Leaves out lists that are refused.
/// Returns the reason if a refused list is newer than the accepted ones. Lists that revoked keys or
/// keys of other channels signed give no reason.
///
/// # Errors
/// [`Refused::StoreUnreachable`].
pub fn accept_newest(
    store: &dyn Store,
    context: &Context<'_>,
    known: &Revocations,
) -> Result<(Revocations, Option<Refused>), Refused> {
    let floor = context.trust.floors(context.channel).min_revocations;
    let serials = store.serials(&Chain::Revocations)?;
    let newest = serials.last().copied();
    let serials = reachable(&serials, known.serial().max(floor));
    let mut all = known.clone();
    let is_far = serials.last().copied() < newest;
    let mut refused = newest
        .filter(|_| is_far)
        .map(|serial| Refused::Forked { serial });
    let mut is_accepted = is_far;
    for &serial in serials.iter().rev().take(LISTS_MAX) {
        let read = || {
            let digest = store.listed_link(&Chain::Revocations, serial)?;
            let list = Pointer { digest, serial };
            match known.has(list) {
                true => Ok(Revocations::none()),
                false => read_new(store, context, known, list, When::First(context.now)),
            }
        };
        match read().and_then(|list| all.extend(list)) {
            Ok(()) => is_accepted = true,
            Err(why @ Refused::StoreUnreachable { .. }) => return Err(why),
            Err(why) if is_accepted || is_skipped(&why) => {}
            Err(why) => {
                refused = refused.or(Some(why));
            }
        }
    }
    let serial = all.serial();
    if all != *known && serial < floor {
        let withheld = Refused::RevocationsWithheld {
            serial,
            known: floor,
        };
        return Ok((known.clone(), Some(withheld)));
    }
    Ok((all, refused))
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
    Ok(Revocations::one(pointer, list))
}

/// True if readers skip a list that is refused for this reason: its key was revoked later, or is
/// for other channels.
#[must_use]
pub const fn is_skipped(why: &Refused) -> bool {
    matches!(why, Refused::RevokedKey | Refused::WrongChannel { .. })
}

/// Reads a list, and checks its signatures, subject, project and serial.
pub(crate) fn verify(
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

/// Checks the threshold of signers. Returns [`Refused::KeyExpired`] or [`Refused::RevokedKey`] if
/// enough owners signed, but the key of an owner is retired, expired or revoked now.
fn enough(
    trust: &Trust,
    envelope: &Envelope,
    channel: Option<&ChannelName>,
    signers: &Signers,
) -> Result<(), Refused> {
    let Err(below) = trust.enough(Role::Revoke, signers) else {
        return Ok(());
    };
    let signed = |trust: &Trust| {
        let signers = trust.authorized_signers(envelope, Role::Revoke, channel, When::Ever);
        signers.is_ok()
    };
    Err(match () {
        () if signed(trust) => Refused::KeyExpired,
        () if signed(&trust.clone().with_all_active()) => Refused::RevokedKey,
        () => below,
    })
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
    let list = decode(&envelope, Some(trust.project()), pointer)?;
    // Check the keys at the list's `created` time, so that the result is the same after a restart.
    let then = When::Past(list.created);
    trust.signers(&envelope, Role::Revoke, channel, then)?;
    Ok((list, signers))
}

/// Decodes a list, and checks its subject, project and serial. Does not check its signatures.
pub(crate) fn decode(
    envelope: &Envelope,
    project: Option<&ProjectName>,
    pointer: &Pointer,
) -> Result<Revoke, Refused> {
    let statement = Statement::<Revoke>::decode(envelope.payload())?;
    let list = statement.predicate;
    if statement.subject != list.subject() {
        return Err(Refused::WrongSubject);
    }
    if let Some(expected) = project.filter(|project| **project != list.project) {
        let expected = expected.clone();
        return Err(Refused::WrongProject { expected });
    }
    if list.serial != pointer.serial {
        return Err(Refused::Mislinked {
            serial: list.serial,
            link: pointer.serial,
        });
    }
    Ok(list)
}
