//! Records that gateways refuse, although their signatures are valid: required approvals or
//! signatures of further owners are missing, the bundle is revoked, or its build statement does not
//! count.
//!
//! Gateways keep what they accepted before the trust file changed or a key was revoked. A program
//! cannot know this. An operator states it in the trust file: `accepted_until`.

use bundle::approval::Approved;
use bundle::channel::{CLOCK_SKEW_S, Context};
use bundle::digest::Digest;
use bundle::follow;
use bundle::history::Entry;
use bundle::moment::Moment;
use bundle::name::ChannelName;
use bundle::refused::Refused;
use bundle::revocation::Revocations;
use bundle::store::Store;
use bundle::trust::Trust;
use bundle::verify::Unverified;

use super::approvals::of_entries;
use super::clock;
use super::evidence::BundleVerifier;

/// Reasons why a gateway without state refuses the records of a channel, newest first. `None`: it
/// accepts the record, an operator accepted it, or there is no trust file.
#[must_use]
pub fn of_records(
    store: &dyn Store,
    trust: Option<&Trust>,
    channel: &ChannelName,
    entries: &[Entry],
) -> Vec<Option<Refused>> {
    let Some(trust) = trust else {
        return vec![None; entries.len()];
    };
    let records = not_accepted(store, trust, channel, entries);
    let records = entries.iter().zip(records);
    records
        .map(|(entry, approved)| of_record(store, trust, channel, entry, approved?))
        .collect()
}

/// Newest record with a bundle, and the reason why a gateway without state refuses it. `None`: the
/// gateway accepts one of the records with the bundle, or there is none.
#[must_use]
pub fn of_bundle<'e>(
    store: &dyn Store,
    trust: Option<&Trust>,
    channel: &ChannelName,
    (entries, bundle): (&'e [Entry], Digest),
) -> Option<(&'e Entry, Refused)> {
    let trust = trust?;
    let records = not_accepted(store, trust, channel, entries);
    let records = entries.iter().zip(records);
    let mut first = None;
    for (entry, approved) in records.filter(|(entry, _)| entry.bundle == bundle) {
        let why = of_record(store, trust, channel, entry, approved?)?;
        first = first.or(Some((entry, why)));
    }
    first
}

/// Reason why a gateway without state refuses the newest record of a channel.
#[must_use]
pub fn of_head(
    store: &dyn Store,
    trust: Option<&Trust>,
    channel: &ChannelName,
    head: &Entry,
) -> Option<Refused> {
    let mut refusals = of_records(store, trust, channel, std::slice::from_ref(head));
    refusals.pop().flatten()
}

/// Approvals of records, newest first. `None`: an operator accepted the record.
fn not_accepted(
    store: &dyn Store,
    trust: &Trust,
    channel: &ChannelName,
    entries: &[Entry],
) -> Vec<Option<Result<Approved, Refused>>> {
    let until = trust.accepted_until(channel);
    let mut is_accepted = false;
    let records = entries
        .iter()
        .zip(of_entries(store, trust, channel, entries));
    let records = records.map(|(entry, approved)| {
        is_accepted |= Some(entry.pointer.digest) == until;
        (!is_accepted).then_some(approved)
    });
    records.collect()
}

fn of_record(
    store: &dyn Store,
    trust: &Trust,
    channel: &ChannelName,
    entry: &Entry,
    approved: Result<Approved, Refused>,
) -> Option<Refused> {
    let owners = || match entry.signed.clone()? {
        Err(why @ Refused::BelowThreshold { .. }) => Some(why),
        _ => None,
    };
    approved
        .err()
        .or_else(owners)
        .or_else(|| of_created(entry.record.created))
        .or_else(|| of_build(store, Some(trust), channel, entry))
}

/// Reason why gateways refuse the time at which a record was created: a clock is wrong.
fn of_created(created: Moment) -> Option<Refused> {
    (created > clock::now().plus_s(CLOCK_SKEW_S)).then_some(Refused::FromTheFuture { created })
}

/// Reason why gateways refuse the bundle of a record: it is revoked, no build statement counts, or
/// the store lacks a part of them. `None` without a trust file.
pub fn of_build(
    store: &dyn Store,
    trust: Option<&Trust>,
    channel: &ChannelName,
    entry: &Entry,
) -> Option<Refused> {
    let trust = trust?;
    let verify = || {
        let verifier = BundleVerifier {
            store,
            trust,
            channel,
        };
        let revocations: Revocations = verifier.revocations()?;
        let context = Context {
            trust,
            channel,
            now: clock::now(),
        };
        let unverified = Unverified::open(store, entry.bundle)?;
        follow::verify_of_record(store, &context, &unverified, &entry.record, &revocations)
    };
    verify().err()
}

/// Records of a channel, newest first, without those that gateways refuse ([`of_records`]).
#[must_use]
pub fn without_refused(
    store: &dyn Store,
    trust: Option<&Trust>,
    channel: &ChannelName,
    entries: &[Entry],
) -> Vec<Entry> {
    let refusals = of_records(store, trust, channel, entries);
    let accepted = entries.iter().zip(refusals);
    let accepted = accepted.filter(|(_, refused)| refused.is_none());
    accepted.map(|(entry, _)| entry.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_from_the_future_is_refused() {
        let now = clock::now();
        assert_eq!(of_created(now.plus_s(CLOCK_SKEW_S - 60)), None);
        let created = now.plus_s(CLOCK_SKEW_S + 60);
        assert_eq!(
            of_created(created),
            Some(Refused::FromTheFuture { created })
        );
    }
}
