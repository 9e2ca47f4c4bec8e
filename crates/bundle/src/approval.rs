//! Approvals: statements by which owners agree to one change of a channel, before the record of the
//! change exists.
//!
//! An approval names the bundle, the plan, and the record that the channel has before the change
//! (the base). An approval counts for this change only: once the channel has moved, the approval
//! has no effect. Each owner signs a separate approval, on a different machine and at a different
//! time. The record lists the approvals in its evidence. release.md §5.

use std::collections::{BTreeMap, BTreeSet};

use crate::context::Context;
use crate::digest::Digest;
use crate::linked::{self, LinkedRecord};
use crate::moment::Moment;
use crate::name::ChannelName;
use crate::refused::Refused;
use crate::statement::envelope::Envelope;
use crate::statement::predicate::{Approve, Record, RecordKind, Role};
use crate::statement::{Statement, claimed_role, stored};
use crate::store::Blobs;
use crate::trust::{Signers, Trust, When};
use crate::verify::EVIDENCE_MAX;

/// Maximum number of records between a rollback or pin and the earlier record whose bundle it
/// repeats.
const RECORDS_MAX: usize = 1_000;

/// Maximum number of records in `merges` between a rollback or pin and the earlier record whose
/// bundle it repeats.
const MERGED_MAX: usize = 64;

/// Change of a channel that needs approvals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Digest of the channel's newest record before the change. `None`: the channel has no record.
    pub base: Option<Digest>,
    /// Bundle to which the channel moves.
    pub bundle: Digest,
    /// Digest of the plan. `None`: the record has no plan, so that no approval counts.
    pub plan: Option<Digest>,
    /// Signing time of the record. Approvals and their keys must be valid at this time.
    pub created: Moment,
}

/// Result of checking the approvals of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Approved {
    /// The trust file requires no approvals in this channel.
    NotRequired,
    /// The record, or the earlier record whose bundle it repeats, is `approvals_after` or precedes
    /// it.
    Before,
    /// Owners that approved the change.
    By(BTreeSet<String>),
}

/// Records that are new to a reader. Keys that are retired or expired now do not approve new
/// records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// A reader without memory: a key must have been valid when the record was created.
    Unknown,
    /// All records are new.
    Nothing,
    /// All records are new, except this one and those before it.
    Record(Digest),
}

/// Reason why an approval does not count for a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotCounted {
    /// The statement is about a different bundle, base, channel or project, or is no approval.
    OtherChange,
    /// The approval is about a different plan of the same change.
    OtherPlan {
        /// Owners that signed the approval.
        owners: BTreeSet<String>,
    },
    /// The approval has expired.
    Expired {
        /// Owners that signed the approval.
        owners: BTreeSet<String>,
        /// Time at which the approval expired (`expires`).
        at: Moment,
    },
    /// The signatures do not count, or the statement cannot be read.
    Refused(Refused),
}

/// Checks whether an approval counts for a change that is not published yet. Returns the owners and
/// keys of its signatures.
///
/// # Errors
/// The reason why it does not count.
pub fn count(
    trust: &Trust,
    channel: &ChannelName,
    change: &Change,
    envelope: &Envelope,
) -> Result<Signers, NotCounted> {
    let statement = decode(trust, channel, envelope)?;
    let when = When::First(change.created);
    count_decoded(trust, channel, (change, when), (envelope, &statement))
}

/// Decodes an approval with an accepted signature. The validity period of the keys is not checked.
fn decode(
    trust: &Trust,
    channel: &ChannelName,
    envelope: &Envelope,
) -> Result<Statement<Approve>, NotCounted> {
    let role = claimed_role(envelope.payload()).map_err(NotCounted::Refused)?;
    if role != Some(Role::Approve) {
        return Err(NotCounted::OtherChange);
    }
    trust
        .signers(envelope, Role::Approve, Some(channel), When::Ever)
        .and_then(|_| Statement::decode(envelope.payload()))
        .map_err(NotCounted::Refused)
}

/// Checks whether a decoded approval counts, as [`count`] does. Verifies the signatures only if the
/// approval is about this change.
fn count_decoded(
    trust: &Trust,
    channel: &ChannelName,
    (change, when): (&Change, When),
    (envelope, statement): (&Envelope, &Statement<Approve>),
) -> Result<Signers, NotCounted> {
    let Approve {
        project,
        channel: named,
        base,
        plan,
        acked: _,
        expires,
    } = &statement.predicate;
    let is_base = base.as_ref().map(|base| base.record) == change.base;
    let is_subject = statement.check_subject(&change.bundle).is_ok();
    if !is_base || !is_subject || project != trust.project() || named != channel {
        return Err(NotCounted::OtherChange);
    }
    let signers = trust.signers(envelope, Role::Approve, Some(channel), when);
    let signers = signers.map_err(NotCounted::Refused)?;
    let owners = signers.owners.clone();
    if Some(*plan) != change.plan {
        return Err(NotCounted::OtherPlan { owners });
    }
    if *expires <= change.created {
        return Err(NotCounted::Expired {
            owners,
            at: *expires,
        });
    }
    Ok(signers)
}

/// Checks that a record has the approvals that the trust file requires in its channel. `digest`:
/// digest of the record's statement; `None` if the record is not stored yet.
///
/// A release needs approvals of its own. A rollback or pin may instead repeat the bundle of an
/// earlier record of its chain: the approvals of that record must be in the evidence of the
/// rollback or pin, or that record must not be after `approvals_after`. The base of a progressive
/// release must fulfil the same conditions, because some gateways run its bundle.
///
/// # Errors
/// [`Refused::ApprovalsMissing`] with too few approvals; [`Refused::BadRollout`] if a webhook gets a
/// secret, which approvals do not cover; [`Refused::ChainIncomplete`] if an earlier record is
/// missing; errors of reading the approvals.
pub fn check(
    blobs: &dyn Blobs,
    context: &Context<'_>,
    digest: Option<Digest>,
    bundle: Digest,
    record: &Record,
) -> Result<Approved, Refused> {
    check_since(blobs, context, digest, (bundle, record), Since::Unknown)
}

/// Checks the approvals of a record as [`check`] does, for a reader that knows which records are
/// new.
///
/// # Errors
/// As [`check`].
pub fn check_since(
    blobs: &dyn Blobs,
    context: &Context<'_>,
    digest: Option<Digest>,
    (bundle, record): (Digest, &Record),
    known: Since,
) -> Result<Approved, Refused> {
    let Some(rule) = context.trust.approvals(context.channel) else {
        return Ok(Approved::NotRequired);
    };
    let approved = check_alone(blobs, (context, known), digest, (bundle, record))?;
    if let Some(rollout) = &record.rollout {
        // Approvals do not cover the guard: a release key alone could otherwise send each secret
        // of the gateways to any service.
        let webhook = rollout
            .guard
            .as_ref()
            .and_then(|guard| guard.webhook.as_ref());
        if webhook.is_some_and(|webhook| webhook.authorization.is_some()) {
            return Err(Refused::BadRollout {
                why: "the webhook of its guard has `authorization`, which approvals do not cover",
            });
        }
        let base = rollout.base.digest;
        let linked = read(blobs, base)?;
        let base_record = (linked.bundle, &linked.record);
        let checked = check_alone(blobs, (context, known), Some(base), base_record);
        match checked {
            Err(Refused::ApprovalsMissing { .. })
                if is_between(blobs, rule.after, (digest, record), base)? => {}
            checked => drop(checked?),
        }
    }
    Ok(approved)
}

/// True if `wanted` is the record or one of its predecessors down to `base`, which is included.
fn is_between(
    blobs: &dyn Blobs,
    wanted: Option<Digest>,
    (digest, record): (Option<Digest>, &Record),
    base: Digest,
) -> Result<bool, Refused> {
    let Some(wanted) = wanted else {
        return Ok(false);
    };
    let mut at = digest;
    let mut previous = record.previous;
    for _ in 0..RECORDS_MAX {
        if at == Some(wanted) {
            return Ok(true);
        }
        let Some(digest) = previous.filter(|_| at != Some(base)) else {
            return Ok(false);
        };
        at = previous;
        previous = read(blobs, digest)?.record.previous;
    }
    Ok(false)
}

/// Checks the approvals of a record, without those of the base of its progressive release.
fn check_alone(
    blobs: &dyn Blobs,
    (context, known): (&Context<'_>, Since),
    digest: Option<Digest>,
    (bundle, record): (Digest, &Record),
) -> Result<Approved, Refused> {
    let Context { trust, channel, .. } = *context;
    let Some(rule) = trust.approvals(channel) else {
        return Ok(Approved::NotRequired);
    };
    let approvals = decoded(blobs, (trust, channel), &record.evidence)?;
    let mut branches = Branches::new(blobs, known);
    let mut most = 0;
    let mut is_before = false;
    let mut at = digest;
    let mut entry = LinkedRecord {
        bundle,
        record: record.clone(),
    };
    for depth in 0..RECORDS_MAX {
        is_before |= at.is_some() && at == rule.after;
        let standing = match at {
            _ if entry.bundle != bundle => Standing::Beside,
            Some(at) if depth > 0 => branches.standing(at)?,
            _ => Standing::New,
        };
        if standing != Standing::Beside {
            if is_before {
                return Ok(Approved::Before);
            }
            let change = Change {
                base: entry.record.previous,
                bundle,
                plan: entry.record.plan,
                created: entry.record.created,
            };
            let when = match known == Since::Unknown || standing == Standing::Accepted {
                true => When::Past(change.created),
                false => When::First(context.now),
            };
            let owners = owners((trust, channel), (&change, when), &approvals);
            let number = u32::try_from(owners.len()).unwrap_or(u32::MAX);
            if number >= rule.owners {
                return Ok(Approved::By(owners));
            }
            most = most.max(number);
        }
        let is_repeated = record.kind != RecordKind::Release;
        let can_repeat = !approvals.is_empty() || rule.after.is_some();
        let Some(previous) = entry.record.previous.filter(|_| is_repeated && can_repeat) else {
            break;
        };
        branches.merged.extend(&entry.record.merges);
        let serial = entry.record.serial;
        entry = read(blobs, previous)?;
        if entry.record.serial >= serial {
            return Err(Refused::Forked { serial });
        }
        at = Some(previous);
    }
    Err(Refused::ApprovalsMissing {
        owners: most,
        needed: rule.owners,
    })
}

/// Relation of an earlier record to the records that a reader has accepted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Record that the reader has accepted.
    Accepted,
    /// Record that the reader has not accepted, and that the chain of the new record contains.
    New,
    /// Record of a merged branch that the reader did not follow, or record of another bundle.
    Beside,
}

/// Chains of the accepted record and of the records in `merges`. Each chain is read at most once.
struct Branches<'a> {
    blobs: &'a dyn Blobs,
    known: Since,
    /// Digests in `merges` of the records that follow the earlier record.
    merged: BTreeSet<Digest>,
    chains: BTreeMap<Digest, BTreeSet<Digest>>,
}

impl<'a> Branches<'a> {
    const fn new(blobs: &'a dyn Blobs, known: Since) -> Self {
        Self {
            blobs,
            known,
            merged: BTreeSet::new(),
            chains: BTreeMap::new(),
        }
    }

    fn standing(&mut self, record: Digest) -> Result<Standing, Refused> {
        if let Since::Record(known) = self.known
            && self.has(known, &record)?
        {
            return Ok(Standing::Accepted);
        }
        if self.merged.len() > MERGED_MAX {
            return Ok(Standing::Beside);
        }
        for branch in self.merged.clone() {
            if !self.has(branch, &record)? {
                return Ok(Standing::Beside);
            }
        }
        Ok(Standing::New)
    }

    /// True if the chain that begins with `head` contains `record`.
    fn has(&mut self, head: Digest, record: &Digest) -> Result<bool, Refused> {
        if let Some(chain) = self.chains.get(&head) {
            return Ok(chain.contains(record));
        }
        let chain = chain_of(self.blobs, head)?;
        Ok(self.chains.entry(head).or_insert(chain).contains(record))
    }
}

/// Digests of a record and of the records before it.
fn chain_of(blobs: &dyn Blobs, record: Digest) -> Result<BTreeSet<Digest>, Refused> {
    let mut chain = BTreeSet::new();
    let mut next = Some(record);
    while let Some(digest) = next.filter(|_| chain.len() < RECORDS_MAX) {
        chain.insert(digest);
        next = match read(blobs, digest) {
            Ok(linked) => linked.record.previous,
            // End the chain at a missing record: a state folder and an older copy of a store lack
            // some records.
            Err(Refused::ChainIncomplete { .. }) => None,
            Err(why) => return Err(why),
        };
    }
    Ok(chain)
}

/// Owners whose approvals count for a change.
fn owners(
    (trust, channel): (&Trust, &ChannelName),
    change: (&Change, When),
    approvals: &[(Envelope, Statement<Approve>)],
) -> BTreeSet<String> {
    let counted = approvals.iter().filter_map(|(envelope, statement)| {
        count_decoded(trust, channel, change, (envelope, statement)).ok()
    });
    counted.flat_map(|signers| signers.owners).collect()
}

/// Reads the approvals with accepted signatures among the statements in evidence.
fn decoded(
    blobs: &dyn Blobs,
    (trust, channel): (&Trust, &ChannelName),
    evidence: &BTreeSet<Digest>,
) -> Result<Vec<(Envelope, Statement<Approve>)>, Refused> {
    if evidence.len() > EVIDENCE_MAX {
        return Err(Refused::TooLarge {
            what: "number of statements in evidence",
            limit: EVIDENCE_MAX as u64,
        });
    }
    let mut approvals = Vec::new();
    for digest in evidence {
        let envelope = stored::open(blobs, digest)?;
        if let Ok(statement) = decode(trust, channel, &envelope) {
            approvals.push((envelope, statement));
        }
    }
    Ok(approvals)
}

/// Digests of the approvals among the statements in evidence, for a record that repeats the bundle.
/// Statements that cannot be read are left out.
#[must_use]
pub fn among(blobs: &dyn Blobs, evidence: &BTreeSet<Digest>) -> BTreeSet<Digest> {
    let is_approval = |digest: &&Digest| {
        let envelope = stored::open(blobs, digest).ok();
        envelope.is_some_and(|envelope| {
            claimed_role(envelope.payload()).is_ok_and(|role| role == Some(Role::Approve))
        })
    };
    evidence.iter().filter(is_approval).copied().collect()
}

fn read(blobs: &dyn Blobs, digest: Digest) -> Result<LinkedRecord, Refused> {
    linked::read(blobs, &digest).map_err(|refused| match refused {
        Refused::BlobMissing { .. } => Refused::ChainIncomplete { missing: digest },
        other => other,
    })
}
