//! Records with valid signatures that gateways refuse: required approvals are missing, or too few
//! owners signed.

use bundle::approval::Approved;
use bundle::history::Entry;
use bundle::name::ChannelName;
use bundle::refused::Refused;
use bundle::store::Blobs;
use bundle::trust::Trust;

use super::approvals::of_entries;

/// Reasons why gateways refuse the records of a channel, newest first, unless they accepted a record
/// before the trust file changed. `None`: gateways accept the record, or there is no trust file.
///
/// A threshold in the trust file has no date. A record with too few owners therefore counts as
/// refused only after a record with enough of them. Otherwise the threshold is probably new.
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
    let mut is_enforced = false;
    let records = entries.iter().zip(approved).rev();
    let mut refusals: Vec<Option<Refused>> = records
        .map(|(entry, approved)| match &entry.signed {
            Some(Err(why @ Refused::BelowThreshold { .. })) if is_enforced => Some(why.clone()),
            signed => {
                is_enforced |= matches!(signed, Some(Ok(_)));
                missing(approved)
            }
        })
        .collect();
    refusals.reverse();
    refusals
}

fn missing(approved: Result<Approved, Refused>) -> Option<Refused> {
    approved
        .err()
        .filter(|why| matches!(why, Refused::ApprovalsMissing { .. }))
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
