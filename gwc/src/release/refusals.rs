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

/// Records of a channel, newest first, that a gateway without state accepts, or that an operator
/// accepted. All records without a trust file. Verifies a record only when it is reached.
pub fn accepted<'a>(
    store: &'a dyn Store,
    trust: Option<&'a Trust>,
    channel: &'a ChannelName,
    entries: &'a [Entry],
) -> impl Iterator<Item = &'a Entry> {
    let checks = trust.map(|trust| Checks::of(store, trust, channel));
    let approvals = checks.as_ref().map(|checks| checks.approvals(entries));
    let approvals = approvals.unwrap_or_else(|| vec![None; entries.len()]);
    let records = entries.iter().zip(approvals);
    let accepted = records.filter(move |(entry, approved)| match (&checks, approved) {
        (Some(checks), Some(approved)) => checks.record(entry, approved).is_none(),
        _ => true,
    });
    accepted.map(|(entry, _)| entry)
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
    let checks = Checks::of(store, trust?, channel);
    let records = entries.iter().zip(checks.approvals(entries));
    let mut first = None;
    for (entry, approved) in records.filter(|(entry, _)| entry.bundle == bundle) {
        let why = checks.record(entry, &approved?)?;
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
    let refused = of_bundle(
        store,
        trust,
        channel,
        (std::slice::from_ref(head), head.bundle),
    );
    refused.map(|(_, why)| why)
}

/// Reason why gateways refuse the bundle of a record: it is revoked, no build statement counts, or
/// the store lacks a part of them. `None` without a trust file.
#[must_use]
pub fn of_build(
    store: &dyn Store,
    trust: Option<&Trust>,
    channel: &ChannelName,
    entry: &Entry,
) -> Option<Refused> {
    Checks::of(store, trust?, channel).build(entry)
}

/// Checks of records as a gateway without state makes them.
struct Checks<'a> {
    verifier: BundleVerifier<'a>,
    /// Newest revocation list, read once.
    revocations: Result<Revocations, Refused>,
}

impl<'a> Checks<'a> {
    fn of(store: &'a dyn Store, trust: &'a Trust, channel: &'a ChannelName) -> Self {
        let verifier = BundleVerifier {
            store,
            trust,
            channel,
        };
        Self {
            revocations: verifier.revocations(),
            verifier,
        }
    }

    /// Approvals of records, newest first. `None`: an operator accepted the record.
    fn approvals(&self, entries: &[Entry]) -> Vec<Option<Result<Approved, Refused>>> {
        let BundleVerifier {
            store,
            trust,
            channel,
        } = self.verifier;
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

    fn record(&self, entry: &Entry, approved: &Result<Approved, Refused>) -> Option<Refused> {
        let owners = || match entry.signed.clone()? {
            Err(why @ Refused::BelowThreshold { .. }) => Some(why),
            _ => None,
        };
        let approvals = approved.as_ref().err().cloned();
        approvals
            .or_else(owners)
            .or_else(|| of_created(entry.record.created))
            .or_else(|| self.build(entry))
    }

    fn build(&self, entry: &Entry) -> Option<Refused> {
        let BundleVerifier {
            store,
            trust,
            channel,
        } = self.verifier;
        let verify = || {
            let revocations = self.revocations.as_ref().map_err(Clone::clone)?;
            let context = Context {
                trust,
                channel,
                now: clock::now(),
            };
            let unverified = Unverified::open(store, entry.bundle)?;
            follow::verify_of_record(store, &context, &unverified, &entry.record, revocations)
        };
        verify().err()
    }
}

/// Reason why gateways refuse the time at which a record was created: a clock is wrong.
fn of_created(created: Moment) -> Option<Refused> {
    (created > clock::now().plus_s(CLOCK_SKEW_S)).then_some(Refused::FromTheFuture { created })
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
