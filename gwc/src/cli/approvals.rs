//! Texts and JSON about approvals: of a change that is to be released, and of records.

use std::collections::BTreeSet;

use bundle::approval::{Approved, Change, NotCounted};
use bundle::digest::Digest;
use bundle::history::Entry;
use bundle::refused::Refused;
use bundle::store::Store;
use bundle::trust::Trust;
use serde_json::{Value, json};

use super::advice::Advice;
use super::movement::{check_floor, check_newest_list, lost_store, refused};
use super::say;
use crate::release::approvals::{self, Found, PendingChange};
use crate::release::{self, Place, refusals};
use diag::text::printable;

/// Approvals of the change that a command is about to make.
pub(super) struct ApprovalsOfChange {
    /// Number of owners that must approve. 0: the trust file requires no approvals.
    pub(super) needed: u32,
    pub(super) found: Found,
}

impl ApprovalsOfChange {
    /// Finds the approvals of a change. Without a trust file, no approval is verified or required.
    pub(super) fn find(
        place: &Place,
        store: &dyn Store,
        trust: Option<&Trust>,
        change: &Change,
    ) -> anyhow::Result<Self> {
        let Some(trust) = trust else {
            let found = Found::default();
            return Ok(Self { needed: 0, found });
        };
        let rule = trust.approvals(&place.channel);
        Ok(Self {
            needed: rule.map_or(0, |rule| rule.owners),
            found: approvals::find(store, trust, &place.channel, change)?,
        })
    }

    /// Number of owners whose approvals are missing.
    pub(super) fn missing(&self) -> u32 {
        let owners = u32::try_from(self.found.owners.len()).unwrap_or(u32::MAX);
        self.needed.saturating_sub(owners)
    }

    /// Text such as `1 of 2 owners have approved this change: ann`, and a line for each approval
    /// that does not count. Empty if no approval is required or found.
    pub(super) fn text(&self) -> String {
        let found = &self.found;
        if self.needed == 0 && found.owners.is_empty() && found.others.is_empty() {
            return String::new();
        }
        let of = match self.needed {
            0 => found.owners.len().to_string(),
            needed => format!("{} of {needed}", found.owners.len()),
        };
        let mut text = format!(
            "{of} owners have approved this change{}",
            after(&found.owners)
        );
        for other in &found.others {
            text.push_str(&format!("\n  not counted: {}", not_counted(other)));
        }
        text
    }

    /// Fails if approvals are missing, with the command for the next owner.
    pub(super) fn require(&self, bundle: Digest, advice: &Advice) -> anyhow::Result<()> {
        let missing = self.missing();
        if missing == 0 {
            return Ok(());
        }
        let error = Refused::ApprovalsMissing {
            owners: self.needed - missing,
            needed: self.needed,
        };
        let others: Vec<String> = self.found.others.iter().map(not_counted).collect();
        let others = match others.is_empty() {
            true => String::new(),
            false => format!(" (not counted: {})", others.join("; ")),
        };
        let command = advice.command_of_another(&["approve", &bundle.short()]);
        Err(refused(
            &error,
            &format!(
                "gateways with this trust file would refuse the record, so the channel was not \
                 moved; approved by: {}{others}. {missing} more must run `{command}`",
                names(&self.found.owners)
            ),
        ))
    }

    /// Approvals as JSON.
    pub(super) fn json(&self) -> Value {
        json!({"needed": self.needed, "owners": self.found.owners})
    }
}

/// Owners after a colon. Empty if there are no owners.
fn after(owners: &BTreeSet<String>) -> String {
    match owners.is_empty() {
        true => String::new(),
        false => format!(": {}", names(owners)),
    }
}

/// Names of owners, separated by commas.
pub(super) fn names(owners: &BTreeSet<String>) -> String {
    if owners.is_empty() {
        return "no owner".to_owned();
    }
    let owners: Vec<String> = owners.iter().map(|owner| printable(owner)).collect();
    owners.join(", ")
}

fn not_counted(reason: &NotCounted) -> String {
    match reason {
        NotCounted::OtherChange => "an approval of another change".to_owned(),
        NotCounted::OtherPlan { owners } => format!(
            "the approval of {} is for another plan (other release rules or another version of gwc)",
            names(owners)
        ),
        NotCounted::Expired { owners, at } => {
            format!("the approval of {} expired at {at}", names(owners))
        }
        NotCounted::Refused(why) => format!("an approval: {why}"),
    }
}

/// Text about the approvals of a record. `None` if no approvals are required.
pub(super) fn record_text(approved: &Result<Approved, Refused>) -> Option<String> {
    match approved {
        Ok(Approved::NotRequired) => None,
        Ok(Approved::Before) => Some("needs no approvals (`approvals_after`)".to_owned()),
        Ok(Approved::By(owners)) => Some(format!("approved by {}", names(owners))),
        Err(why) => Some(format!("gateways refuse it: {}: {why}", why.reason())),
    }
}

/// Approvals of a record as JSON. Null if no approvals are required.
pub(super) fn record_json(approved: &Result<Approved, Refused>) -> Value {
    match approved {
        Ok(Approved::NotRequired) => Value::Null,
        Ok(Approved::Before) => json!({"owners": [], "required": false, "reason": null}),
        Ok(Approved::By(owners)) => json!({"owners": owners, "required": true, "reason": null}),
        Err(why) => json!({"owners": [], "required": true, "reason": why.reason()}),
    }
}

/// Text about approvals of the next change of a channel.
pub(super) fn pending_text(change: &PendingChange, needed: u32) -> String {
    format!(
        "next change: {} is approved by {} ({} of {needed}), until {}",
        change.bundle.short(),
        names(&change.owners),
        change.owners.len(),
        change.expires
    )
}

/// Approvals of the next change of a channel as JSON.
pub(super) fn pending_json(change: &PendingChange) -> Value {
    json!({"bundle": change.bundle, "plan": change.plan, "owners": change.owners, "expires": change.expires})
}

/// Refuses a channel whose newest record gateways refuse. Such gateways run a different version, so
/// a plan against the newest record would hide what changes for them.
pub(super) fn check_head(
    place: &Place,
    store: &dyn Store,
    trust: Option<&Trust>,
    head: Option<&Entry>,
) -> anyhow::Result<()> {
    let refusal = |head: &Entry| refusals::of_head(store, trust, &place.channel, head);
    let Some((head, why)) = head.and_then(|head| Some((head, refusal(head)?))) else {
        return Ok(());
    };
    if let Refused::AtLink { .. } = &why {
        return Err(refused(
            &why,
            "gateways keep the last revocation list that they accepted. Restore the list from \
             another copy of the store, or from the state folder of a gateway. If the project did \
             not publish this list, remove its link from the store",
        ));
    }
    Err(refused(
        &why,
        &format!(
            "gateways that have not accepted record {} of channel {} refuse it, so a plan against \
             it may hide changes; {}. Otherwise go back to another version with `gwc rollback`",
            head.pointer.serial,
            place.channel,
            acceptance(&why)
        ),
    ))
}

/// Checks that a plan may compare with the channel's newest record: the store is not outdated, and
/// gateways accept the record.
pub(super) fn check_base(
    place: &Place,
    store: &dyn Store,
    trust: Option<&Trust>,
    head: Option<&Entry>,
) -> anyhow::Result<()> {
    let newest = head.map_or(0, |head| head.pointer.serial);
    check_floor(place, store, trust, newest)?;
    check_head(place, store, trust, head)?;
    check_newest_list(place, store, trust, head)
}

/// Advice for a refused record: the command that makes the record count as accepted.
pub(super) fn acceptance(why: &Refused) -> String {
    let command = match why {
        Refused::BlobMissing { .. } => {
            return "`gwc build` of its sources stores it again, and `gwc pull` copies it from \
                    another store"
                .to_owned();
        }
        Refused::ApprovalsMissing { .. } => "gwc trust approvals N --accept-head",
        _ => "gwc trust floor --accept-head",
    };
    format!("if the records until now may run, `{command}` accepts them")
}

/// Prints a warning under the condition of [`check_head`], for commands that only show records.
pub(super) fn note_head(
    place: &Place,
    store: &dyn Store,
    trust: Option<&Trust>,
    head: Option<&Entry>,
) {
    let Some(head) = head else { return };
    if let Some((base, why)) = refusals::of_base(store, trust, &place.channel, head) {
        say::note(&format!(
            "warning: gateways that start refuse bundle {}, the base of the progressive release of \
             channel {} ({}: {why})",
            base.short(),
            place.channel,
            why.reason()
        ));
    }
    let why = refusals::of_head(store, trust, &place.channel, head);
    if let Some(lost) = why.as_ref().and_then(lost_store) {
        say::note(&format!(
            "warning: the newest record is not checked: {lost}"
        ));
    } else if let Some(why) = why {
        say::note(&format!(
            "warning: gateways that have not accepted record {} of channel {} refuse it \
             ({}: {why})",
            head.pointer.serial,
            place.channel,
            why.reason()
        ));
    }
}

/// Change of a channel from its newest record to a bundle, with the current time.
pub(super) fn change(head: Option<&Entry>, bundle: Digest, plan: Digest) -> Change {
    Change {
        base: head.map(|head| head.pointer.digest),
        bundle,
        plan: Some(plan),
        created: release::now(),
    }
}
