//! Records that gateways refuse, although their signatures are valid: required approvals or
//! signatures of further owners are missing, or the build statement of the bundle does not count.
//!
//! Gateways keep what they accepted before the trust file changed or a key was revoked. A program
//! cannot know this. An operator states it by a minimum serial in the trust file: records up to it
//! count as accepted.

use bundle::approval::Approved;
use bundle::channel::{CLOCK_SKEW_S, Context};
use bundle::digest::Digest;
use bundle::follow;
use bundle::history::Entry;
use bundle::moment::Moment;
use bundle::name::ChannelName;
use bundle::refused::{Blame, Refused};
use bundle::revocation::Revocations;
use bundle::store::Blobs;
use bundle::trust::Trust;
use bundle::verify::Unverified;

use super::approvals::of_entries;
use super::clock;

/// Reasons why a gateway without state refuses the records of a channel, newest first. `None`: it
/// accepts the record, or there is no trust file.
#[must_use]
pub fn of_records(
    blobs: &dyn Blobs,
    trust: Option<&Trust>,
    channel: &ChannelName,
    entries: &[Entry],
) -> Vec<Option<Refused>> {
    let Some(trust) = trust else {
        return vec![None; entries.len()];
    };
    let approved = of_entries(blobs, trust, channel, entries);
    let records = entries.iter().zip(approved);
    records
        .map(|(entry, approved)| of_record(blobs, trust, channel, entry, approved))
        .collect()
}

/// Newest record with a bundle, and the reason why a gateway without state refuses it. `None`: the
/// gateway accepts one of the records with the bundle, or there is none.
#[must_use]
pub fn of_bundle<'e>(
    blobs: &dyn Blobs,
    trust: Option<&Trust>,
    channel: &ChannelName,
    (entries, bundle): (&'e [Entry], Digest),
) -> Option<(&'e Entry, Refused)> {
    let trust = trust?;
    let approved = of_entries(blobs, trust, channel, entries);
    let records = entries.iter().zip(approved);
    let mut first = None;
    for (entry, approved) in records.filter(|(entry, _)| entry.bundle == bundle) {
        let why = of_record(blobs, trust, channel, entry, approved)?;
        first = first.or(Some((entry, why)));
    }
    first
}

/// Reason why a gateway without state refuses the newest record of a channel.
#[must_use]
pub fn of_head(
    blobs: &dyn Blobs,
    trust: Option<&Trust>,
    channel: &ChannelName,
    head: &Entry,
) -> Option<Refused> {
    let mut refusals = of_records(blobs, trust, channel, std::slice::from_ref(head));
    refusals.pop().flatten()
}

fn of_record(
    blobs: &dyn Blobs,
    trust: &Trust,
    channel: &ChannelName,
    entry: &Entry,
    approved: Result<Approved, Refused>,
) -> Option<Refused> {
    if entry.pointer.serial <= trust.floors(channel).min_serial {
        return None;
    }
    let missing = |why: &Refused| matches!(why, Refused::ApprovalsMissing { .. });
    let too_few = |why: &Refused| matches!(why, Refused::BelowThreshold { .. });
    let approvals = approved.err().filter(missing);
    let owners = || entry.signed.clone()?.err().filter(too_few);
    approvals
        .or_else(owners)
        .or_else(|| of_created(entry.record.created))
        .or_else(|| of_build(blobs, Some(trust), channel, entry))
}

/// Reason why gateways refuse the time at which a record was created: a clock is wrong.
fn of_created(created: Moment) -> Option<Refused> {
    (created > clock::now().plus_s(CLOCK_SKEW_S)).then_some(Refused::FromTheFuture { created })
}

/// Reason why the build statements of a record's bundle do not count. `None` if they count, if the
/// store lacks the bundle, or without a trust file.
pub fn of_build(
    blobs: &dyn Blobs,
    trust: Option<&Trust>,
    channel: &ChannelName,
    entry: &Entry,
) -> Option<Refused> {
    let context = Context {
        trust: trust?,
        channel,
        now: clock::now(),
    };
    let unverified = Unverified::open(blobs, entry.bundle).ok()?;
    let none = Revocations::none();
    let verified = follow::verify_of_record(blobs, &context, &unverified, &entry.record, &none);
    verified.err().filter(|why| why.blame() != Blame::Store)
}

/// Records of a channel, newest first, without those that gateways refuse ([`of_records`]).
#[must_use]
pub fn without_refused(
    blobs: &dyn Blobs,
    trust: Option<&Trust>,
    channel: &ChannelName,
    entries: &[Entry],
) -> Vec<Entry> {
    let refusals = of_records(blobs, trust, channel, entries);
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
