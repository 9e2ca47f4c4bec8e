//! Approvals of a channel's next change, and of its records.

use std::collections::BTreeSet;

use bundle::approval::{self, Approved, Change, NotCounted, Since};
use bundle::channel::Context;
use bundle::digest::Digest;
use bundle::history::{self, Entry};
use bundle::moment::Moment;
use bundle::name::ChannelName;
use bundle::pending::{self, StoredApproval};
use bundle::refused::Refused;
use bundle::statement::predicate::Pointer;
use bundle::store::{Blobs, Store};
use bundle::trust::Trust;

use super::clock;

/// Maximum number of records that are read to find one that active keys approve.
const RECORDS_MAX: usize = 1_000;

/// Approvals of one change.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Owners whose approvals count.
    pub owners: BTreeSet<String>,
    /// Statements to list in the record's evidence: one for each owner.
    pub evidence: BTreeSet<Digest>,
    /// Approvals of the same bundle and base that do not count.
    pub others: Vec<NotCounted>,
}

/// Approvals of a possible next change of a channel, for output.
#[derive(Debug, PartialEq, Eq)]
pub struct PendingChange {
    /// Bundle to which the channel would move.
    pub bundle: Digest,
    /// Digest of the approved plan.
    pub plan: Digest,
    /// Owners whose approvals count.
    pub owners: BTreeSet<String>,
    /// Time at which the first of the approvals expires.
    pub expires: Moment,
}

/// Returns the approvals that the store lists for a change of a channel.
///
/// # Errors
/// Returns an error if the store cannot be read.
pub fn find(
    store: &dyn Store,
    trust: &Trust,
    channel: &ChannelName,
    change: &Change,
) -> Result<Found, Refused> {
    let mut listed = pending::listed(store, change.base, change.bundle)?;
    listed.retain(|approval| approval.bundle == change.bundle);
    // An approval that is valid for longer takes precedence.
    listed.sort_by_key(|approval| (std::cmp::Reverse(approval.approve.expires), approval.digest));
    let mut found = Found::default();
    for StoredApproval {
        digest, envelope, ..
    } in listed
    {
        match approval::count(trust, channel, change, &envelope) {
            Ok(signers) if signers.owners.is_subset(&found.owners) => {}
            Ok(signers) => {
                found.owners.extend(signers.owners);
                found.evidence.insert(digest);
            }
            Err(NotCounted::OtherChange) => {}
            Err(other) => found.others.push(other),
        }
    }
    Ok(found)
}

/// Returns the approvals of the next change of a channel with a newest record, by bundle and plan.
///
/// # Errors
/// Returns an error if the store cannot be read.
pub fn pending(
    store: &dyn Store,
    trust: &Trust,
    channel: &ChannelName,
    head: &Entry,
) -> Result<Vec<PendingChange>, Refused> {
    let base = Some(head.pointer.digest);
    let created = clock::now();
    let mut all: Vec<PendingChange> = Vec::new();
    for approval in pending::listed(store, base, head.bundle)? {
        let (bundle, plan) = (approval.bundle, approval.approve.plan);
        let change = Change {
            base,
            bundle,
            plan: Some(plan),
            created,
        };
        let Ok(signers) = approval::count(trust, channel, &change, &approval.envelope) else {
            continue;
        };
        let expires = approval.approve.expires;
        let mut known = all.iter_mut();
        match known.find(|known| known.bundle == bundle && known.plan == plan) {
            Some(known) => {
                known.owners.extend(signers.owners);
                known.expires = known.expires.min(expires);
            }
            None => all.push(PendingChange {
                bundle,
                plan,
                owners: signers.owners,
                expires,
            }),
        }
    }
    Ok(all)
}

/// Checks the approvals of records, newest first, as a gateway that follows the channel does. Keys
/// that are retired or expired now do not approve the records after the newest one that active keys
/// approve.
#[must_use]
pub fn of_entries(
    blobs: &dyn Blobs,
    trust: &Trust,
    channel: &ChannelName,
    entries: &[Entry],
) -> Vec<Result<Approved, Refused>> {
    let rule = trust.approvals(channel);
    let after = rule.and_then(|rule| rule.after);
    let known = rule.and_then(|_| approved_by_active(blobs, trust, channel, entries));
    let serial = known.map_or(0, |known| known.serial);
    let mut is_before = false;
    let entries = entries.iter();
    entries
        .map(|entry| {
            is_before |= Some(entry.pointer.digest) == after;
            if is_before {
                return Ok(Approved::Before);
            }
            let known = match known {
                _ if entry.pointer.serial <= serial => Since::Unknown,
                Some(known) if entry.record.merges.is_empty() => Since::Record(known.digest),
                _ => Since::Nothing,
            };
            of_entry(blobs, trust, channel, entry, known)
        })
        .collect()
}

fn of_entry(
    blobs: &dyn Blobs,
    trust: &Trust,
    channel: &ChannelName,
    entry: &Entry,
    known: Since,
) -> Result<Approved, Refused> {
    let context = Context {
        trust,
        channel,
        now: clock::now(),
    };
    let digest = Some(entry.pointer.digest);
    approval::check_since(
        blobs,
        &context,
        digest,
        (entry.bundle, &entry.record),
        known,
    )
}

/// Newest record that active keys approve. Also reads the records before `entries`. `None`: there
/// is no such record.
fn approved_by_active(
    blobs: &dyn Blobs,
    trust: &Trust,
    channel: &ChannelName,
    entries: &[Entry],
) -> Option<Pointer> {
    let known = Since::Nothing;
    let is_approved = |entry: &&Entry| of_entry(blobs, trust, channel, entry, known).is_ok();
    if let Some(entry) = entries.iter().find(is_approved) {
        return Some(entry.pointer);
    }
    let mut previous = entries.last().and_then(|entry| entry.record.previous);
    for _ in 0..RECORDS_MAX {
        let Some(digest) = previous else { break };
        let Ok(entry) = history::entry(blobs, Some(trust), channel, digest) else {
            break;
        };
        if is_approved(&&entry) {
            return Some(entry.pointer);
        }
        previous = entry.record.previous;
    }
    None
}

/// Checks the approvals of a channel's newest record, as a gateway without state does.
///
/// # Errors
/// Returns the reason why such a gateway refuses the record.
pub fn of_head(
    blobs: &dyn Blobs,
    trust: Option<&Trust>,
    channel: &ChannelName,
    head: &Entry,
) -> Result<Approved, Refused> {
    let Some(trust) = trust else {
        return Ok(Approved::NotRequired);
    };
    let mut all = of_entries(blobs, trust, channel, std::slice::from_ref(head));
    all.pop().unwrap_or(Ok(Approved::NotRequired))
}

/// Returns the approvals in the evidence of the newest record that names a bundle and has
/// approvals. A rollback or pin to this bundle lists them again.
#[must_use]
pub fn carried(blobs: &dyn Blobs, entries: &[Entry], bundle: Digest) -> BTreeSet<Digest> {
    let named = entries.iter().filter(|entry| entry.bundle == bundle);
    let mut approvals = named.map(|entry| approval::among(blobs, &entry.record.evidence));
    approvals
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}
