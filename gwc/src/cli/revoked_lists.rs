//! Lapsed revocation lists: their keys were revoked, or are retired or expired and no record by
//! active keys names the list. The entries of lapsed lists do not count. A new list repeats them
//! only if an operator says so (`gwc revoke --repeat-list`).

use bundle::keys::KeyId;
use bundle::lists;
use bundle::name::ChannelName;
use bundle::publish::Revocation;
use bundle::refused::Refused;
use bundle::statement::predicate::{Pointer, Revoke};
use bundle::store::Store;
use bundle::trust::Trust;
use model::exit::Failure;

use crate::release::{self, Place};

/// Subject of messages about lapsed lists.
const LAPSED: &str = "a key that is revoked, retired or expired now";

/// Decision of an operator about lapsed lists (`--repeat-list`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RepeatList {
    /// Repeat the entries of the list with this serial.
    Serial(u64),
    /// Repeat no lapsed list.
    None,
}

impl std::str::FromStr for RepeatList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            serial => serial
                .parse()
                .map(Self::Serial)
                .map_err(|_| "write the serial of a revocation list, or none".to_owned()),
        }
    }
}

/// Adds to a new list the entries of lapsed lists. `revoked_now`: list in force until now, signed
/// by a key that the new list revokes. Without a decision, its entries are added. Returns the
/// lapsed list that the decision names.
///
/// # Errors
/// Returns an error if a decision is needed, or if the store has no readable list with the serial
/// of the decision.
pub(super) fn repeat(
    (store, left, channel): (&dyn Store, Option<&Trust>, &ChannelName),
    decision: Option<RepeatList>,
    revoked_now: Option<&Revoke>,
    entries: &mut Revocation,
) -> anyhow::Result<Option<Revoke>> {
    let Some(left) = left else {
        revoked_now.iter().for_each(|list| entries.extend(list));
        return Ok(None);
    };
    match decision {
        Some(RepeatList::None) => Ok(None),
        Some(RepeatList::Serial(serial)) => {
            let now = release::now();
            let Some((_, list)) = lists::lapsed(store, left, channel, now, serial)? else {
                let in_force = lists::in_force(store, Some(left), channel, now)?;
                let serials = in_force.pointers().map(|pointer| pointer.serial);
                if serials.into_iter().any(|known| known == serial) {
                    return Ok(None);
                }
                return Err(Failure::usage(format!(
                    "--repeat-list {serial}: the store has no readable list {serial}"
                ))
                .into());
            };
            entries.extend(&list);
            Ok(Some(list))
        }
        None => {
            revoked_now.iter().for_each(|list| entries.extend(list));
            if let Some((pointer, list)) = dropped(store, left, channel, entries)? {
                return Err(Failure::usage(format!(
                    "{2} signed revocation list {0}, so {1} of it do not count. To repeat the \
                     entries, pass `--repeat-list {0}`. If a thief signed the list, pass \
                     `--repeat-list none`, or the serial of another list",
                    pointer.serial,
                    count(&entries.lacking(&list)),
                    LAPSED,
                ))
                .into());
            }
            Ok(None)
        }
    }
}

/// Newest lapsed list that is newer than the lists in force, and that has entries that `entries`
/// lacks.
fn dropped(
    store: &dyn Store,
    trust: &Trust,
    channel: &ChannelName,
    entries: &Revocation,
) -> Result<Option<(Pointer, Revoke)>, Refused> {
    let adds = |list: &Revoke| !entries.lacking(list).is_empty();
    lists::newest_lapsed(store, trust, channel, release::now(), adds)
}

/// Warning about entries that have no effect because their list is lapsed. `None`: there are no
/// such entries.
pub(super) fn warning(
    place: &Place,
    store: &dyn Store,
    trust: Option<&Trust>,
) -> Result<Option<String>, Refused> {
    let Some(trust) = trust else { return Ok(None) };
    let mut entries = Revocation::default();
    let in_force = lists::in_force(store, Some(trust), &place.channel, release::now())?;
    in_force.list().iter().for_each(|list| entries.extend(list));
    let dropped = dropped(store, trust, &place.channel, &entries)?;
    Ok(dropped.map(|(pointer, list)| {
        format!(
            "warning: {4} signed revocation list {0}, so {1} of it do not count in channel {2}. If \
             the project published the list, repeat it: `{3}`",
            pointer.serial,
            count(&entries.lacking(&list)),
            place.channel,
            command(store, trust, pointer),
            LAPSED,
        )
    }))
}

/// Reason and advice if the list with this serial, which the channel's newest record or the trust
/// file names, is lapsed. `None`: the list is not lapsed.
pub(super) fn refusal(
    place: &Place,
    store: &dyn Store,
    trust: Option<&Trust>,
    serial: u64,
) -> Result<Option<(Refused, String)>, Refused> {
    let Some(trust) = trust else { return Ok(None) };
    let list = lists::lapsed(store, trust, &place.channel, release::now(), serial)?;
    Ok(list.map(|(pointer, _)| {
        let advice = format!(
            "its entries do not count, and gateways without state cannot start; nothing was \
             written. If the project published the list, repeat it: `{}`. If a thief signed it, \
             replace {serial} by none, or by the serial of another list",
            command(store, trust, pointer)
        );
        (Refused::RevocationsUntrusted { serial }, advice)
    }))
}

/// Command that repeats a list.
fn command(store: &dyn Store, trust: &Trust, list: Pointer) -> String {
    let keys = lists::revoked_signers(store, trust, &list);
    let keys = keys.unwrap_or_default().into_iter();
    let keys: Vec<String> = keys
        .map(|id: KeyId| format!("--signing-key {id} "))
        .collect();
    let serial = list.serial;
    format!(
        "gwc revoke {}--repeat-list {serial} --key FILE",
        keys.concat()
    )
}

fn count(entries: &Revocation) -> String {
    let (bundles, credentials) = (entries.bundles.len(), entries.credentials.len());
    let keys = entries.keys.len();
    let one = |count: usize, what: &str| match count {
        0 => None,
        1 => Some(format!("1 {what}")),
        _ => Some(format!("{count} {what}s")),
    };
    let parts = [
        one(bundles, "bundle"),
        one(credentials, "credential"),
        one(keys, "signing key"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decision_is_a_serial_or_none() {
        assert_eq!("none".parse(), Ok(RepeatList::None));
        assert_eq!("7".parse(), Ok(RepeatList::Serial(7)));
        assert!("latest".parse::<RepeatList>().is_err());
    }
}
