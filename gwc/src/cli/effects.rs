//! New revocation list of `gwc revoke`: its entries, and its effects on the channels of the store.
//!
//! One chain of lists is for all channels, but a list counts only in the channels of its keys. A
//! new list repeats the entries in force in all channels that accept the list. The entries then
//! remain in force if an older list is lost, or its key is revoked.

use std::collections::BTreeSet;

use bundle::history::Entry;
use bundle::keys::KeyId;
use bundle::lists;
use bundle::name::ChannelName;
use bundle::publish::Revocation;
use bundle::refused::Refused;
use bundle::revocation::Revocations;
use bundle::statement::envelope::Envelope;
use bundle::statement::predicate::Role;
use bundle::store::Store;
use bundle::trust::{Trust, When};

use super::approvals::acceptance;
use super::revoked_lists::{self, RepeatList};
use super::steps::Wanted;
use crate::release::{self, AnyStore, Place, refusals};
use model::exit::Failure;

/// Maximum number of repeated entries in a message.
const REPEATED_SHOWN_MAX: usize = 20;

/// Store and channel of a revocation, with the keys that count before and after it.
pub(super) struct Scope<'a> {
    pub(super) place: &'a Place,
    pub(super) store: &'a AnyStore,
    /// Trust file with the accepted keys. `None`: no signature is checked.
    pub(super) trust: Option<&'a Trust>,
    /// Trust file without the keys that the new list revokes.
    pub(super) left: Option<Trust>,
}

/// New revocation list before it is signed.
pub(super) struct NextList {
    /// All entries of the new list.
    pub(super) entries: Revocation,
    /// Other channels of the store that accept the new list, each with the entries that are new in
    /// the channel.
    others: Vec<(ChannelName, Revocation)>,
    /// All channels that accept the new list, with the entries that only lists of other channels
    /// have until now.
    repeated: Vec<(ChannelName, Revocation)>,
}

impl<'a> Scope<'a> {
    /// Creates the scope of a list that revokes the keys `stolen`.
    pub(super) fn new(
        place: &'a Place,
        store: &'a AnyStore,
        trust: Option<&'a Trust>,
        stolen: &BTreeSet<KeyId>,
    ) -> Self {
        Self {
            place,
            store,
            trust,
            left: trust.map(|trust| trust.clone().with_revoked(stolen)),
        }
    }

    /// Determines the next list with the entries `wanted`. `trial`: list with the signatures of the
    /// new list's keys. `decision`: decision of the operator about lapsed lists.
    ///
    /// # Errors
    /// If a list in force cannot be read, or `decision` is needed or wrong.
    pub(super) fn next_list(
        &self,
        wanted: &Revocation,
        trial: &Envelope,
        decision: Option<RepeatList>,
    ) -> anyhow::Result<NextList> {
        let own = &self.place.channel;
        let now = release::now();
        let mut own_entries = wanted.clone();
        let remains = lists::in_force(self.store, self.left.as_ref(), own, now)?;
        remains
            .list()
            .iter()
            .for_each(|list| own_entries.extend(list));
        let mut entries = own_entries.clone();
        let mut in_force = Vec::new();
        for channel in self.others(trial)? {
            let lists = lists::in_force(self.store, self.left.as_ref(), &channel, now)?;
            lists.list().iter().for_each(|list| entries.extend(list));
            in_force.push((channel, lists));
        }
        // Include the lists of keys that the new list revokes.
        let here = lists::in_force(self.store, self.trust, own, now)?;
        let mut named = wanted.clone();
        let at: (&dyn Store, _, _) = (self.store, self.left.as_ref(), own);
        if let Some(list) = revoked_lists::repeat(at, decision, here.list(), &mut entries)? {
            named.extend(&list);
        }
        if entries.is_empty() {
            return Err(Failure::usage(
                "there is nothing to revoke: no list is in force, and --repeat-list names none",
            )
            .into());
        }
        let new = |lists: &Revocations| match lists.list() {
            Some(list) => entries.without(list),
            None => entries.clone(),
        };
        let others: Vec<_> = in_force
            .into_iter()
            .map(|(channel, lists)| (channel, new(&lists)))
            .collect();
        let others_repeat = others.iter();
        let others_repeat =
            others_repeat.map(|(channel, new)| (channel.clone(), new.minus(&named)));
        let here = new(&here).minus(&named).minus(&own_entries);
        let repeated = std::iter::once((own.clone(), here)).chain(others_repeat);
        Ok(NextList {
            repeated: repeated.collect(),
            others,
            entries,
        })
    }

    /// True if the lists in force without the revoked keys already contain these entries.
    pub(super) fn is_known(&self, wanted: &Revocation) -> Result<bool, Refused> {
        let (left, channel) = (self.left.as_ref(), &self.place.channel);
        let remains = lists::in_force(self.store, left, channel, release::now())?;
        let lacks = remains.list().map(|list| wanted.without(list));
        Ok(lacks.as_ref().unwrap_or(wanted).is_empty())
    }

    /// Other channels of the store that accept the new list.
    fn others(&self, trial: &Envelope) -> anyhow::Result<Vec<ChannelName>> {
        let names = self.store.channels()?.into_iter();
        let others = names
            .filter_map(|name| name.parse::<ChannelName>().ok())
            .filter(|channel| *channel != self.place.channel);
        let when = When::First(release::now());
        let accept = |channel: &ChannelName| {
            self.left.as_ref().is_none_or(|left| {
                let signers = left.authorized_signers(trial, Role::Revoke, Some(channel), when);
                signers.is_ok()
            })
        };
        Ok(others.filter(accept).collect())
    }

    /// Effects of the new list on the other channels that accept it, and entries that it repeats
    /// from the lists of other channels, as sentences.
    pub(super) fn on_channels(&self, next: &NextList) -> Vec<String> {
        let others = next.others.iter();
        let effects = others.flat_map(|(channel, new)| self.on_other(channel, new));
        let repeated = next.repeated.iter();
        let repeated = repeated.filter_map(|(channel, new)| repeated_text(channel, new));
        effects.chain(repeated).collect()
    }

    fn on_other(&self, channel: &ChannelName, new: &Revocation) -> Vec<String> {
        if new.bundles.is_empty() && new.keys.is_empty() {
            return Vec::new();
        }
        let head = match release::head(self.store, self.trust, channel) {
            Ok(None) => return Vec::new(),
            Ok(Some(head)) => head,
            Err(why) => {
                return vec![format!(
                    "it is unknown what the gateways of channel {channel} run: {why}"
                )];
            }
        };
        let mut effects = Vec::new();
        if new.bundles.contains(&head.bundle) {
            effects.push(format!(
                "channel {channel} of the same store runs bundle {}, too, and its gateways could \
                 not start any more; move it first (`gwc rollback --channel {channel}`)",
                head.bundle.short()
            ));
        }
        effects.extend(self.of_base(channel, &head, new));
        effects.extend(self.of_keys(channel, Some(&head), &new.keys));
        effects
    }

    /// Sentence for a list that revokes the base of a progressive release. `None`: the list does
    /// not revoke the base.
    pub(super) fn of_base(
        &self,
        channel: &ChannelName,
        head: &Entry,
        new: &Revocation,
    ) -> Option<String> {
        let base = Wanted::of(self.store, head).base()?;
        new.bundles.contains(&base).then(|| {
            format!(
                "the gateways outside of the share of the progressive release in channel {channel} \
                 run bundle {}; they change to {} at once",
                base.short(),
                head.bundle.short()
            )
        })
    }

    /// True if a record's serial is below the minimum in the trust file.
    fn is_below_floor(&self, channel: &ChannelName, record: &Entry) -> bool {
        let floors = self.trust.map(|trust| trust.floors(channel));
        floors.is_some_and(|floors| record.pointer.serial < floors.min_serial)
    }

    /// True if, without the revoked keys, the newest valid record of the channel is below the
    /// minimum in the trust file. Gateways then do not go back to this record.
    pub(super) fn leads_below_floor(&self) -> bool {
        let head = release::head(self.store, self.left.as_ref(), &self.place.channel);
        head.ok()
            .flatten()
            .is_some_and(|head| self.is_below_floor(&self.place.channel, &head))
    }

    /// Effects of revoked keys on the records and bundles of a channel. `head`: its newest record
    /// before the revocation.
    pub(super) fn of_keys(
        &self,
        channel: &ChannelName,
        head: Option<&Entry>,
        keys: &BTreeSet<KeyId>,
    ) -> Vec<String> {
        let Some(trust) = self.trust.filter(|_| !keys.is_empty()) else {
            return Vec::new();
        };
        let left = trust.clone().with_revoked(keys);
        let after = release::head(self.store, Some(&left), channel);
        let after = after.ok().flatten();
        let mut effects = Vec::new();
        match (head, &after) {
            (Some(_), None) => effects.push(format!(
                "every record of channel {channel} was signed by such a key, so no valid record \
                 remains: gateways keep serving their current version (alarm \
                 `running-untrusted`), but cannot restart until `gwc apply` with another key"
            )),
            (Some(before), Some(after)) if self.is_below_floor(channel, after) => {
                effects.push(format!(
                    "the newest valid record of channel {channel} would be {}, below the minimum \
                     {} in the trust file: gateways would keep serving serial {} ({}) and could \
                     not restart, until a new record is published",
                    after.pointer.serial,
                    trust.floors(channel).min_serial,
                    before.pointer.serial,
                    before.bundle.short()
                ));
            }
            (Some(before), Some(after)) if before.pointer != after.pointer => {
                effects.push(format!(
                    "channel {channel} goes back from serial {} to serial {} ({})",
                    before.pointer.serial,
                    after.pointer.serial,
                    after.bundle.short()
                ))
            }
            _ => {}
        }
        let build = |after: &Entry| refusals::of_build(self.store, Some(&left), channel, after);
        if after.as_ref().and_then(build) == Some(Refused::RevokedKey) {
            effects.push(format!(
                "such a key signed the bundle of the newest valid record of channel {channel}: \
                 gateways keep serving their current version (alarm `running-untrusted`), but \
                 cannot restart until `gwc apply` with another key signs the bundle again. If this \
                 version may run, accept it first: `gwc trust floor --accept-head`"
            ));
        }
        let refusal = |trust, head| refusals::of_head(self.store, Some(trust), channel, head);
        let was_accepted = head.is_some_and(|head| refusal(trust, head).is_none());
        if let Some(after) = after.as_ref().filter(|_| was_accepted)
            && let Some(why @ (Refused::ApprovalsMissing { .. } | Refused::BelowThreshold { .. })) =
                refusal(&left, after)
        {
            effects.push(format!(
                "record {} of channel {channel} needs such a key: gateways that start refuse it \
                 ({why}), until a new record is published; {}",
                after.pointer.serial,
                acceptance(&why)
            ));
        }
        let base = |after| refusals::of_base(self.store, Some(&left), channel, after);
        if let Some((base, _)) = after.as_ref().and_then(base) {
            effects.push(format!(
                "such a key signed bundle {0}, the base of the progressive release in channel \
                 {channel}, or its record: gateways cannot restart until the release ends. End it \
                 first (`gwc abort` or `gwc promote --to-all`). Otherwise sign the bundle again \
                 from its sources (`gwc build`, then `gwc sign {0} --key FILE`), then run `gwc abort`",
                base.short()
            ));
        }
        effects
    }
}

/// Sentence about entries that come into force in a channel, because the new list repeats the list
/// of another channel. `None`: no entry comes into force in this way.
fn repeated_text(channel: &ChannelName, new: &Revocation) -> Option<String> {
    let bundles = new
        .bundles
        .iter()
        .map(|id| format!("bundle {}", id.short()));
    let keys = new.keys.iter().map(|id| format!("signing key {id}"));
    let credentials = new.credentials.iter();
    let credentials = credentials.map(|sha256| format!("credential {}", sha256.hex()));
    let all: Vec<String> = bundles.chain(keys).chain(credentials).collect();
    let more = match all.len().saturating_sub(REPEATED_SHOWN_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let shown = &all[..all.len().min(REPEATED_SHOWN_MAX)];
    (!all.is_empty()).then(|| {
        format!(
            "the new list repeats entries of another channel, which are not in force in channel \
             {channel} until now: {}{more}. If they are wrong, revoke the key that signed them \
             (`gwc revoke --signing-key ID`), or use a key for one channel only",
            shown.join(", ")
        )
    })
}
