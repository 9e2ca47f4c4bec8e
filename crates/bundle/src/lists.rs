//! Revocation lists of a store, for a reader without memory: gwc. Such a reader cannot know when a
//! list was published. It therefore accepts a list by a retired or expired key only if a record by
//! active keys names the list.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use crate::context::{Context, check_created};
use crate::history;
use crate::keys::KeyId;
use crate::moment::Moment;
use crate::name::ChannelName;
use crate::refused::Refused;
use crate::revocation::{Revocations, decode, is_skipped, verify};
use crate::serials::reachable;
use crate::statement::predicate::{Pointer, Revoke, Role};
use crate::statement::stored;
use crate::store::{Chain, Store};
use crate::trust::{KeyState, Trust, When};

/// Maximum number of lists beyond a gap of serials ([`reachable`]) that gwc reads to find a stolen
/// key.
const FAR_MAX: usize = 128;

/// Lists in force in a channel, for a reader that has not accepted a list before: all lists in the
/// store that count. `now`: current time. Without a trust file: all lists.
///
/// Skips lists by keys of other channels, and lapsed lists: their keys were revoked, or are retired
/// or expired and no record by active keys names the list.
///
/// # Errors
/// The newest list, or the one that a record names, cannot be read, or its signatures are not
/// valid: [`Refused::AtLink`].
pub fn in_force(
    store: &dyn Store,
    trust: Option<&Trust>,
    channel: &ChannelName,
    now: Moment,
) -> Result<Revocations, Refused> {
    let reader = Reader::new(store, trust, channel, now)?;
    let mut all = Revocations::none();
    let mut unusable = None;
    for serial in reader.serials() {
        match reader.read(serial) {
            Ok(Some(list)) => {
                all.extend(list)?;
                unusable = None;
            }
            Ok(None) => {}
            Err(why @ Refused::StoreUnreachable { .. }) => return Err(why),
            Err(why) => unusable = Some(Chain::Revocations.at_link(serial, why)),
        }
    }
    if let Some(why) = unusable {
        return Err(why);
    }
    reader.check_far()?;
    // The store may hide the link of a list that a record names.
    if let Some(named) = reader.named()?.filter(|named| !all.has(*named)) {
        match reader.read_with(trust, named, When::Ever) {
            Ok(list) => all.extend(Revocations::one(named, list))?,
            Err(why) if is_skipped(&why) => {}
            Err(why) => return Err(Chain::Revocations.at_link(named.serial, why)),
        }
    }
    Ok(all)
}

/// Newest lapsed list for which `condition` returns true, if no newer list is in force in the
/// channel. The entries of a lapsed list do not count. `None`: there is no such list.
///
/// # Errors
/// [`Refused::StoreUnreachable`].
pub fn newest_lapsed(
    store: &dyn Store,
    trust: &Trust,
    channel: &ChannelName,
    now: Moment,
    condition: impl Fn(&Revoke) -> bool,
) -> Result<Option<(Pointer, Revoke)>, Refused> {
    let reader = Reader::new(store, Some(trust), channel, now)?;
    for serial in reader.serials().rev() {
        match reader.read(serial) {
            Ok(Some(_)) => return Ok(None),
            Err(why @ Refused::StoreUnreachable { .. }) => return Err(why),
            Ok(None) | Err(_) => {}
        }
        let found = reader.read_lapsed(serial)?;
        if let Some(found) = found.filter(|(_, list)| condition(list)) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// List with this serial, if the list is lapsed. `None`: the list counts, does not exist, or cannot
/// be read.
///
/// # Errors
/// [`Refused::StoreUnreachable`].
pub fn lapsed(
    store: &dyn Store,
    trust: &Trust,
    channel: &ChannelName,
    now: Moment,
    serial: u64,
) -> Result<Option<(Pointer, Revoke)>, Refused> {
    Reader::new(store, Some(trust), channel, now)?.read_lapsed(serial)
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
    let signers = active.signers(&envelope, Role::Revoke, None, When::Ever)?;
    let mut keys = signers.keys;
    keys.retain(|id| (trust.key(id)).is_some_and(|key| key.state == KeyState::Revoked));
    Ok(keys)
}

/// Returns the position of the newest readable list, the highest serial that readers reach, and the
/// serials of all links. A new list continues the readable list. Its serial is above the highest
/// one, and no link has it.
///
/// # Errors
/// [`Refused::StoreUnreachable`].
pub(crate) fn before_next(
    store: &dyn Store,
    floor: u64,
) -> Result<(Option<Pointer>, u64, BTreeSet<u64>), Refused> {
    let serials = store.serials(&Chain::Revocations)?;
    let reachable = reachable(&serials, floor);
    let last = reachable.last().copied().unwrap_or(0);
    for &serial in reachable.iter().rev() {
        let link = store.listed_link(&Chain::Revocations, serial);
        match link.and_then(|digest| stored::open(store, &digest).map(|_| digest)) {
            Ok(digest) => {
                let previous = Pointer { digest, serial };
                return Ok((Some(previous), last, serials.into_iter().collect()));
            }
            Err(why @ Refused::StoreUnreachable { .. }) => return Err(why),
            Err(_) => {}
        }
    }
    Ok((None, last, serials.into_iter().collect()))
}

/// Reader without memory for the revocation lists of a store.
struct Reader<'a> {
    store: &'a dyn Store,
    /// Trust file with the accepted keys. `None`: signatures are not checked.
    trust: Option<&'a Trust>,
    channel: &'a ChannelName,
    now: Moment,
    /// Serials of all lists in the store, ascending.
    serials: Vec<u64>,
    /// List that the newest record by active keys names.
    named: OnceCell<Option<Pointer>>,
}

impl<'a> Reader<'a> {
    fn new(
        store: &'a dyn Store,
        trust: Option<&'a Trust>,
        channel: &'a ChannelName,
        now: Moment,
    ) -> Result<Self, Refused> {
        Ok(Self {
            store,
            trust,
            channel,
            now,
            serials: store.serials(&Chain::Revocations)?,
            named: OnceCell::new(),
        })
    }

    /// Serials of the lists that readers read: those before the first gap ([`reachable`]).
    fn serials(&self) -> impl DoubleEndedIterator<Item = u64> {
        let trust = self.trust;
        let floor = trust.map_or(0, |trust| trust.floors(self.channel).min_revocations);
        reachable(&self.serials, floor).iter().copied()
    }

    /// Reads a list that counts. `None`: the list is lapsed, or its keys are for other channels.
    fn read(&self, serial: u64) -> Result<Option<Revocations>, Refused> {
        let pointer = self.pointer(serial)?;
        let why = match self.read_with(self.trust, pointer, When::First(self.now)) {
            Ok(list) => return Ok(Some(Revocations::one(pointer, list))),
            Err(why) if is_skipped(&why) => return Ok(None),
            Err(why) => why,
        };
        match self.read_with(self.trust, pointer, When::Ever) {
            Ok(list) if self.named()? == Some(pointer) => Ok(Some(Revocations::one(pointer, list))),
            Ok(_) => Ok(None),
            Err(_) => Err(why),
        }
    }

    fn read_lapsed(&self, serial: u64) -> Result<Option<(Pointer, Revoke)>, Refused> {
        let read = || {
            if self.read(serial).is_ok_and(|list| list.is_some()) {
                return Ok(None);
            }
            let pointer = self.pointer(serial)?;
            let active = self.trust.cloned().map(Trust::with_all_active);
            let list = self.read_with(active.as_ref(), pointer, When::Ever)?;
            Ok(Some((pointer, list)))
        };
        match read() {
            Err(why @ Refused::StoreUnreachable { .. }) => Err(why),
            other => Ok(other.ok().flatten()),
        }
    }

    fn pointer(&self, serial: u64) -> Result<Pointer, Refused> {
        let digest = self.store.listed_link(&Chain::Revocations, serial)?;
        Ok(Pointer { digest, serial })
    }

    fn read_with(
        &self,
        trust: Option<&Trust>,
        pointer: Pointer,
        when: When,
    ) -> Result<Revoke, Refused> {
        let Some(trust) = trust else {
            let envelope = stored::open(self.store, &pointer.digest)?;
            return decode(&envelope, None, &pointer);
        };
        let context = Context {
            trust,
            channel: self.channel,
            now: self.now,
        };
        let list = verify(self.store, &context, &pointer, when)?;
        check_created(&context, list.created)?;
        Ok(list)
    }

    /// Refuses a store in which a list beyond a gap of serials counts: a key was stolen, or the
    /// links in the gap were removed.
    fn check_far(&self) -> Result<(), Refused> {
        let far = self.serials.iter().skip(self.serials().count());
        for &serial in far.rev().take(FAR_MAX) {
            if let Ok(Some(_)) = self.read(serial) {
                return Err(Chain::Revocations.at_link(serial, Refused::Forked { serial }));
            }
        }
        Ok(())
    }

    /// List that the newest record by active keys names. `None` without a trust file.
    fn named(&self) -> Result<Option<Pointer>, Refused> {
        if let Some(named) = self.named.get() {
            return Ok(*named);
        }
        let named = match self.trust {
            Some(trust) => history::named_list(self.store, trust, self.channel, self.now)?,
            None => None,
        };
        Ok(*self.named.get_or_init(|| named))
    }
}
