//! The revocation list: bundles that must never run, credentials that must never be admitted, keys
//! that no longer count. Rollback included.
//!
//! A chain of signed lists with growing serials, each of them whole, so that the newest is all a
//! gateway needs. A gateway never takes an older list than the one it knows. release.md §2, §5, §7.

use std::collections::BTreeSet;

use crate::context::{Context, check_created};
use crate::digest::Digest;
use crate::keys::KeyId;
use crate::moment::Moment;
use crate::refused::Refused;
use crate::statement::Statement;
use crate::statement::predicate::{Pointer, Revoke, Role};
use crate::statement::stored;
use crate::store::{Blobs, Chain, Store};
use crate::trust::{Signers, Trust, When};

/// The newest list that was accepted; empty before the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocations {
    pointer: Option<Pointer>,
    list: Option<Revoke>,
}

impl Revocations {
    /// No list was ever accepted.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Position of the list; `None` before the first.
    #[must_use]
    pub const fn pointer(&self) -> Option<Pointer> {
        self.pointer
    }

    /// The list's serial; 0 before the first.
    #[must_use]
    pub fn serial(&self) -> u64 {
        self.pointer.map_or(0, |pointer| pointer.serial)
    }

    /// The list itself.
    #[must_use]
    pub const fn list(&self) -> Option<&Revoke> {
        self.list.as_ref()
    }

    /// Signing time of the list.
    #[must_use]
    pub fn created(&self) -> Moment {
        let list = self.list.as_ref();
        list.map_or(Moment::EPOCH, |list| list.created)
    }

    /// True if this bundle must never run.
    #[must_use]
    pub fn has_bundle(&self, id: &Digest) -> bool {
        self.list
            .as_ref()
            .is_some_and(|list| list.bundles.contains(id))
    }

    /// True if a credential with this sha256 must never be admitted.
    #[must_use]
    pub fn has_credential(&self, sha256: &Digest) -> bool {
        let list = self.list.as_ref();
        list.is_some_and(|list| list.credentials.contains(sha256))
    }

    /// The keys that no longer count.
    #[must_use]
    pub fn keys(&self) -> BTreeSet<KeyId> {
        let list = self.list.as_ref();
        list.map(|list| list.keys.clone()).unwrap_or_default()
    }
}

/// Checks that a list may take the place of the known one, and returns it.
///
/// # Errors
/// A signature reason, [`Refused::WrongProject`], [`Refused::RevocationsWithheld`],
/// [`Refused::Forked`], [`Refused::ChainIncomplete`], [`Refused::FromTheFuture`].
pub fn accept(
    blobs: &dyn Blobs,
    context: &Context<'_>,
    known: &Revocations,
    candidate: Pointer,
) -> Result<Revocations, Refused> {
    let list = verify(blobs, context, &candidate, When::First(context.now));
    take(blobs, context, known, candidate, list)
}

/// As [`accept`], for a list that a record names whose signatures count: the record vouches for it,
/// so that a list outlives the retirement of the key that wrote it.
///
/// # Errors
/// As [`accept`].
pub fn accept_vouched(
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

/// A list that was accepted before, read back from a state folder.
///
/// # Errors
/// A signature reason, [`Refused::WrongProject`], [`Refused::BadDigest`], …
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

/// Result of [`find_head`].
pub(crate) struct Newest {
    pub(crate) list: Option<(Pointer, Revoke)>,
    pub(crate) skipped: BTreeSet<u64>,
}

/// The newest list of the store whose signatures count, or, without a trust file, the newest one.
///
/// # Errors
/// As for a list that cannot be read; a signature reason.
pub fn newest(store: &dyn Store, trust: Option<&Trust>) -> Result<Option<Pointer>, Refused> {
    let newest = find_head(store, trust)?.list;
    Ok(newest.map(|(pointer, _)| pointer))
}

/// The newest list of a store for a reader that remembers nothing, and the serials above it that
/// are passed over because their key was revoked since.
///
/// # Errors
/// A list at the head that cannot be read or does not verify.
pub(crate) fn find_head(store: &dyn Store, trust: Option<&Trust>) -> Result<Newest, Refused> {
    let mut skipped = BTreeSet::new();
    let serials = store.serials(&Chain::Revocations)?;
    for serial in serials.into_iter().rev() {
        let Some(digest) = store.link(&Chain::Revocations, serial)? else {
            continue;
        };
        let envelope = stored::open(store, &digest)?;
        if let Some(trust) = trust {
            match trust.judge(&envelope, Role::Revoke, None, When::Ever) {
                Err(Refused::RevokedKey) => {
                    skipped.insert(serial);
                    continue;
                }
                judged => judged?,
            };
        }
        let list: Revoke = Statement::decode(envelope.payload())?.predicate;
        return Ok(Newest {
            list: Some((Pointer { digest, serial }, list)),
            skipped,
        });
    }
    Ok(Newest {
        list: None,
        skipped,
    })
}

fn verify(
    blobs: &dyn Blobs,
    context: &Context<'_>,
    pointer: &Pointer,
    when: When,
) -> Result<Revoke, Refused> {
    let (list, signers) = read_signed(blobs, context, pointer, when)?;
    context.trust.enough(Role::Revoke, &signers)?;
    Ok(list)
}

/// Without the threshold: for what was accepted before.
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
    // What is accepted now must still be accepted after a restart, so both ask for this.
    let then = When::Past(list.created);
    trust.signers(&envelope, Role::Revoke, channel, then)?;
    Ok((list, signers))
}

/// Walks back from a verified list to the known one. What lies between is vouched for by the
/// digests in the verified one.
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
