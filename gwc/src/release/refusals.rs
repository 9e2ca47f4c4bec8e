//! Records that gateways refuse, although their signatures are valid: required approvals or
//! signatures of further owners are missing, the bundle is revoked, or its build statement does not
//! count.
//!
//! Gateways keep what they accepted before the trust file changed or a key was revoked. A program
//! cannot know this. An operator states it in the trust file: `accepted_until`.

use bundle::approval::Approved;
use bundle::channel::{self, CLOCK_SKEW_S, Context};
use bundle::digest::Digest;
use bundle::follow;
use bundle::history::{self, Entry};
use bundle::moment::Moment;
use bundle::name::ChannelName;
use bundle::refused::Refused;
use bundle::revocation::Revocations;
use bundle::statement::predicate::RecordKind;
use bundle::store::Store;
use bundle::trust::{Trust, When};
use bundle::verify::Unverified;

use super::approvals::of_entries;
use super::clock;
use super::evidence::BundleVerifier;

/// Records that count as accepted because of `accepted_until` in the trust file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// Only the record itself. Gateways may have refused any record before it.
    Alone,
    /// Also the records before it with at least as many signatures and approvals.
    WithEarlier,
}

/// Records of a channel, newest first, that a gateway without state accepts, or that an operator
/// accepted. All records without a trust file. Verifies a record only when it is reached.
pub fn accepted<'a>(
    store: &'a dyn Store,
    trust: Option<&'a Trust>,
    channel: &'a ChannelName,
    entries: &'a [Entry],
    extent: Accepted,
) -> impl Iterator<Item = &'a Entry> {
    let checks = trust.map(|trust| Checks::of(store, trust, channel));
    let approvals = checks
        .as_ref()
        .map(|checks| checks.approvals(entries, extent));
    let approvals = approvals.unwrap_or_else(|| vec![None; entries.len()]);
    let records = entries.iter().zip(approvals);
    let mut vouched = Vouched::default();
    let accepted = records.filter(move |(entry, approved)| match (&checks, approved) {
        (Some(checks), Some(approved)) => {
            checks.keys(entry, &mut vouched).is_none() && checks.record(entry, approved).is_none()
        }
        _ => true,
    });
    accepted.map(|(entry, _)| entry)
}

/// Newest record with a bundle, and the reason why a gateway without state refuses the record:
/// missing approvals or signatures, or its time. Does not check the bundle, because a new record
/// can name new build statements. `None`: the gateway accepts a record with the bundle, or no
/// record has the bundle.
#[must_use]
pub fn of_target<'e>(
    store: &dyn Store,
    trust: Option<&Trust>,
    channel: &ChannelName,
    (entries, bundle): (&'e [Entry], Digest),
) -> Option<(&'e Entry, Refused)> {
    let checks = Checks::of(store, trust?, channel);
    let approvals = checks.approvals(entries, Accepted::WithEarlier);
    let records = entries.iter().zip(approvals);
    let mut first = None;
    let mut vouched = Vouched::default();
    for (entry, approved) in records {
        let keys = checks.keys(entry, &mut vouched);
        if entry.bundle == bundle {
            let why = keys.or_else(|| Checks::rules(entry, approved.as_ref()?))?;
            first = first.or(Some((entry, why)));
        }
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
    let checks = Checks::of(store, trust?, channel);
    let approved = checks.approvals(std::slice::from_ref(head), Accepted::Alone);
    let approved = approved.into_iter().next()??;
    let keys = checks.keys(head, &mut Vouched::default());
    keys.or_else(|| checks.record(head, &approved))
}

/// Bundle of the gateways outside of the share of a progressive release, and the reason why
/// gateways that start refuse it. `None` without a progressive release, or without a trust file.
#[must_use]
pub fn of_base(
    store: &dyn Store,
    trust: Option<&Trust>,
    channel: &ChannelName,
    head: &Entry,
) -> Option<(Digest, Refused)> {
    let trust = trust?;
    let base = head.record.rollout.as_ref()?.base;
    let entry = history::entry(store, Some(trust), channel, base.digest).ok()?;
    let why = match &entry.signed {
        Some(Err(why)) if !matches!(why, Refused::BelowThreshold { .. }) => Some(why.clone()),
        _ => of_build(store, Some(trust), channel, &entry),
    };
    Some((entry.bundle, why?))
}

/// Reason why gateways refuse the bundle of a record: the bundle is revoked, no build statement
/// counts, or the store lacks a part of the bundle or statements. `None`: gateways accept the
/// bundle, or there is no trust file.
#[must_use]
pub fn of_build(
    store: &dyn Store,
    trust: Option<&Trust>,
    channel: &ChannelName,
    entry: &Entry,
) -> Option<Refused> {
    Checks::of(store, trust?, channel).build(entry)
}

/// Records whose keys may be retired or expired, because a newer record by active keys vouches for
/// them. Such a record vouches for all records before it. A rollback vouches for its target and all
/// records before the target.
#[derive(Default)]
struct Vouched {
    all: bool,
    /// Bundle of the target of a rollback.
    from: Option<Digest>,
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

    /// Approvals of records, newest first. `None`: the record counts as accepted because of
    /// `accepted_until`.
    fn approvals(
        &self,
        entries: &[Entry],
        extent: Accepted,
    ) -> Vec<Option<Result<Approved, Refused>>> {
        let BundleVerifier {
            store,
            trust,
            channel,
        } = self.verifier;
        let until = trust.accepted_until(channel);
        let mut least = None;
        let records = entries
            .iter()
            .zip(of_entries(store, trust, channel, entries));
        let records = records.map(|(entry, approved)| {
            let owners = (signers(entry), approvers(&approved));
            let is_named = Some(entry.pointer.digest) == until;
            if is_named && extent == Accepted::WithEarlier {
                least = Some(owners);
            }
            let has_enough = least
                .is_some_and(|least: (usize, usize)| owners.0 >= least.0 && owners.1 >= least.1);
            (!is_named && !has_enough).then_some(approved)
        });
        records.collect()
    }

    /// Reason why a gateway without state refuses the keys of a record: they are retired or
    /// expired. Call this function for records from the newest to the oldest.
    fn keys(&self, entry: &Entry, vouched: &mut Vouched) -> Option<Refused> {
        vouched.all |= vouched.from == Some(entry.bundle);
        if vouched.all {
            return None;
        }
        let BundleVerifier {
            store,
            trust,
            channel,
        } = self.verifier;
        let now = clock::now();
        let context = Context {
            trust,
            channel,
            now,
        };
        let verified = channel::verify(store, &context, entry.pointer, When::First(now));
        match (verified, &entry.signed) {
            (Ok(_), _) if entry.record.kind == RecordKind::Rollback => {
                vouched.from = Some(entry.bundle);
                None
            }
            (Ok(_), _) => {
                vouched.all = true;
                None
            }
            // A revoked key is no reason to refuse the bundle: another key can sign a record of it.
            (Err(Refused::RevokedKey), _) | (_, None | Some(Err(_))) => None,
            (Err(why), Some(Ok(_))) => Some(why),
        }
    }

    fn record(&self, entry: &Entry, approved: &Result<Approved, Refused>) -> Option<Refused> {
        Self::rules(entry, approved).or_else(|| self.build(entry))
    }

    fn rules(entry: &Entry, approved: &Result<Approved, Refused>) -> Option<Refused> {
        let owners = || match entry.signed.clone()? {
            Err(why @ Refused::BelowThreshold { .. }) => Some(why),
            _ => None,
        };
        let approvals = approved.as_ref().err().cloned();
        approvals
            .or_else(owners)
            .or_else(|| of_created(entry.record.created))
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

/// Number of owners that signed a record. The maximum if no signature is checked.
fn signers(entry: &Entry) -> usize {
    match &entry.signed {
        None => usize::MAX,
        Some(Ok(signers)) => signers.owners.len(),
        Some(Err(Refused::BelowThreshold { owners, .. })) => *owners as usize,
        Some(Err(_)) => 0,
    }
}

/// Number of owners that approved a record. The maximum if the record needs no approvals.
#[must_use]
pub fn approvers(approved: &Result<Approved, Refused>) -> usize {
    match approved {
        Ok(Approved::NotRequired | Approved::Before) => usize::MAX,
        Ok(Approved::By(owners)) => owners.len(),
        Err(Refused::ApprovalsMissing { owners, .. }) => *owners as usize,
        Err(_) => 0,
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
