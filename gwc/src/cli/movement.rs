//! Moving a channel: code shared by `apply`, `rollback` and `revoke`.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{revoked_lists, say};
use crate::release::{self, AnyStore, Place, provenance};
use bundle::approval::{self, Since};
use bundle::channel::{self, Context};
use bundle::digest::Digest;
use bundle::history::Entry;
use bundle::keys::PrivateKey;
use bundle::lists;
use bundle::publish::{self, Draft};
use bundle::refused::Refused;
use bundle::statement::Statement;
use bundle::statement::predicate::{Pointer, Record, RecordKind, Role, Rollout};
use bundle::store::{Chain, Store, WriteError};
use bundle::trust::{KeyState, Trust, When};
use diag::text::printable;
use model::exit::{Exit, Failure};

/// Preparation of a channel move, before the record is published.
pub(super) struct Movement<'a> {
    pub(super) place: &'a Place,
    pub(super) trust: Option<&'a Trust>,
    pub(super) keys: &'a [PrivateKey],
    /// Newest record of the channel. `None` if there is no record yet.
    pub(super) head: Option<&'a Entry>,
    /// True if the command publishes a new revocation list first. The newest one may then be by a
    /// revoked key.
    pub(super) publishes_list: bool,
}

/// Bundle to which the channel moves, with the fields of the new record that come from the plan and
/// from the operator.
pub(super) struct Target {
    pub(super) bundle: Digest,
    pub(super) kind: RecordKind,
    pub(super) fields: RecordFields,
    pub(super) plan: Option<Digest>,
    pub(super) source: Option<Digest>,
    pub(super) evidence: BTreeSet<Digest>,
}

/// Optional fields of a new channel record.
#[derive(Clone, Default)]
pub(super) struct RecordFields {
    pub(super) reason: Option<String>,
    /// Reason for a release in a freeze window.
    pub(super) override_freeze: Option<String>,
    /// Bundles that gateways drop and refuse as long as this record is the newest.
    pub(super) withdraw: BTreeSet<Digest>,
    /// Records that gateways accepted but the store has lost.
    pub(super) merges: BTreeSet<Pointer>,
    /// Step of a progressive release. `None`: all gateways.
    pub(super) rollout: Option<Rollout>,
    /// Time after which gateways no longer accept the record. `None`: the record does not expire.
    pub(super) expires_in: Option<Duration>,
}

impl RecordFields {
    /// True if a record with these fields withdraws bundles that the channel's newest record does
    /// not withdraw, or expires.
    pub(super) fn adds_to(&self, head: &Entry) -> bool {
        !self.withdraw.is_subset(&head.record.withdraw) || self.expires_in.is_some()
    }
}

/// Refuses a store whose newest record of the channel has a serial below the minimum in the trust
/// file. Such a store is outdated, or hides records. A plan against it would compare with an older
/// version or with none, so gates would not apply. `newest`: 0 if the channel has no record.
///
/// A revoked key may have signed the record that the minimum names. The store then still has this
/// record, and commands skip it.
pub(super) fn check_floor(
    place: &Place,
    store: &dyn Store,
    trust: Option<&Trust>,
    newest: u64,
) -> anyhow::Result<()> {
    let Some((floor, message)) = below_floor(place, trust, newest) else {
        return Ok(());
    };
    if is_skipped(place, store, trust, floor)? {
        let compared = match newest {
            0 => "there is no older record, so the whole gateway counts as new".to_owned(),
            older => format!("the newest other record is {older}"),
        };
        say::note_once(&format!(
            "warning: a revoked key signed record {floor} of channel {}; {compared}",
            place.channel
        ));
        return Ok(());
    }
    let serial = newest;
    Err(refused(&Refused::BelowFloor { serial, floor }, &message))
}

/// Refuses a store that lacks the revocation list of the channel's newest record. Also refuses a
/// store whose newest list is below the minimum serial in the trust file. A record of a revoked key
/// could otherwise count.
pub(super) fn check_newest_list(
    place: &Place,
    store: &dyn Store,
    trust: Option<&Trust>,
    head: Option<&Entry>,
) -> anyhow::Result<()> {
    let movement = Movement {
        place,
        trust,
        keys: &[],
        head,
        publishes_list: false,
    };
    movement.check_newest_list(store)
}

/// Prints a warning under the condition of [`check_floor`], for commands that only show records.
pub(super) fn note_floor(place: &Place, trust: Option<&Trust>, head: Option<&Entry>) {
    let newest = head.map_or(0, |head| head.pointer.serial);
    if let Some((_, message)) = below_floor(place, trust, newest) {
        say::note(&format!("warning: {message}"));
    }
}

/// True if a revoked key signed the record with this serial.
fn is_skipped(
    place: &Place,
    store: &dyn Store,
    trust: Option<&Trust>,
    serial: u64,
) -> anyhow::Result<bool> {
    let chain = Chain::Channel(place.channel.clone());
    let (Some(trust), Some(digest)) = (trust, store.link(&chain, serial)?) else {
        return Ok(false);
    };
    let context = Context {
        trust,
        channel: &place.channel,
        now: release::now(),
    };
    let pointer = Pointer { digest, serial };
    let verified = channel::verify(store, &context, pointer, When::Ever);
    Ok(matches!(verified, Err(Refused::RevokedKey)))
}

/// Minimum serial of the channel in the trust file, and a message. `None` if the serial of the
/// store's newest record is not below the minimum.
fn below_floor(place: &Place, trust: Option<&Trust>, newest: u64) -> Option<(u64, String)> {
    let floor = trust.map_or(0, |trust| trust.floors(&place.channel).min_serial);
    if newest >= floor {
        return None;
    }
    let found = match newest {
        0 => "has no record of it".to_owned(),
        serial => format!("has {serial} as its newest record"),
    };
    let message = format!(
        "the trust file says that channel {} had record {floor}, but the store `{}` {found}; check \
         that it is the right store, that it is mounted, and that it is not an older copy (`gwc \
         apply --merge --node URL` continues from the records that gateways have accepted)",
        place.channel,
        say::store(&place.store)
    );
    Some((floor, message))
}

impl Movement<'_> {
    /// Checks that the store is not outdated, and that these keys may move the channel. For this,
    /// signs and verifies a trial record, which is not published.
    pub(super) fn check_keys(
        &self,
        store: &dyn Store,
        merges: &BTreeSet<Pointer>,
    ) -> anyhow::Result<()> {
        self.check_floor(store, merges)?;
        let trial = Target {
            bundle: Digest::of(b""),
            kind: RecordKind::Release,
            fields: RecordFields::default(),
            plan: None,
            source: None,
            evidence: BTreeSet::new(),
        };
        let statement = publish::prepare(store, self.trust, self.draft(trial), None)?;
        self.check_lists(store, statement.predicate.revocations)?;
        let keys: Vec<&PrivateKey> = self.keys.iter().collect();
        self.check_record(&publish::sign(&statement, &keys)?)
    }

    /// Signs a record, verifies it as a gateway would, and moves the channel to it. Fails if
    /// another writer has moved the channel meanwhile.
    pub(super) fn publish(&self, store: &AnyStore, target: Target) -> anyhow::Result<Pointer> {
        let base = self.head.map(|head| head.pointer);
        let keys: Vec<&PrivateKey> = self.keys.iter().collect();
        let prepared = publish::prepare(store, self.trust, self.draft(target), Some(base));
        let prepared = prepared.map_err(conflict)?;
        self.check_lists(store, prepared.predicate.revocations)?;
        let envelope = publish::sign(&prepared, &keys)?;
        self.check_record(&envelope)?;
        self.check_approvals(store, &prepared)?;
        fault::point("apply.record.signed")?;
        let pointer = publish::publish(store, &envelope).map_err(conflict)?;
        fault::point("apply.record.linked")?;
        Ok(pointer)
    }

    /// Refuses to move the channel if the store lacks the revocation list of the channel's newest
    /// record, or if a revoked key signed this list. Also refuses this if the newest list is below
    /// the minimum serial in the trust file. Otherwise gateways would refuse the new record, and a
    /// new gateway would admit revoked bundles and credentials.
    fn check_lists(&self, store: &dyn Store, newest: Option<Pointer>) -> anyhow::Result<()> {
        let named = self.head.and_then(|head| head.record.revocations);
        let floor = self
            .trust
            .map_or(0, |trust| trust.floors(&self.place.channel).min_revocations);
        let known = named.map_or(0, |list| list.serial).max(floor);
        let serial = newest.map_or(0, |list| list.serial);
        let linked = match named {
            Some(named) => store.link(&Chain::Revocations, named.serial)?,
            None => None,
        };
        let is_other =
            matches!((named, linked), (Some(named), Some(linked)) if named.digest != linked);
        let is_unlinked = named.is_some() && linked.is_none();
        let is_gone = match named {
            Some(list) => store.size(&list.digest)?.is_none(),
            None => false,
        };
        if serial >= known && !is_other && !is_unlinked && !is_gone {
            return Ok(());
        }
        let refusal = || revoked_lists::refusal(self.place, store, self.trust, known);
        if !is_gone && let Some((why, advice)) = refusal()? {
            return match self.publishes_list {
                true => Ok(()),
                false => Err(refused(&why, &advice)),
            };
        }
        let by = match named.filter(|list| list.serial >= floor) {
            Some(list) => format!(
                "the newest record of channel {} names revocation list {}",
                self.place.channel, list.serial
            ),
            None => format!(
                "the trust file says that channel {} had revocation list {known}",
                self.place.channel
            ),
        };
        let newest = match is_unlinked {
            true => store
                .serials(&Chain::Revocations)?
                .last()
                .copied()
                .unwrap_or(0),
            false => serial,
        };
        let has = match newest {
            _ if is_other => format!("another list {known}"),
            0 => "no list".to_owned(),
            newest if newest >= known && is_unlinked => format!("no list {known}"),
            newest if newest >= known => format!("list {known}, but not the content of the list"),
            newest => format!("list {newest} as its newest list"),
        };
        let serial = newest;
        Err(refused(
            &Refused::RevocationsWithheld { serial, known },
            &format!(
                "{by}, but the store `{}` has {has}; nothing was written. Check that this is the \
                 right store, that it is mounted, and that it is not an older copy. Restore \
                 `revocations/{known:020}` and its blob from another copy of the store, or from \
                 the state folder of a gateway, then run the command again",
                say::store(&self.place.store)
            ),
        ))
    }

    /// Runs [`Self::check_lists`] with the newest revocation list of the store, before the command
    /// decides whether to move the channel.
    pub(super) fn check_newest_list(&self, store: &dyn Store) -> anyhow::Result<()> {
        let lists = lists::in_force(store, self.trust, &self.place.channel, release::now())?;
        self.check_lists(store, lists.pointer())?;
        let warning = revoked_lists::warning(self.place, store, self.trust)?;
        if let Some(warning) = warning.filter(|_| !self.publishes_list) {
            say::note_once(&warning);
        }
        Ok(())
    }

    /// Runs [`check_floor`] for the channel's newest record. `merges`: records that the store has
    /// lost. The newest of them counts instead, if it is newer.
    pub(super) fn check_floor(
        &self,
        store: &dyn Store,
        merges: &BTreeSet<Pointer>,
    ) -> anyhow::Result<()> {
        let head = self.head.map_or(0, |head| head.pointer.serial);
        let merged = merges.iter().map(|pointer| pointer.serial).max();
        let newest = merged.map_or(head, |merged| merged.max(head));
        check_floor(self.place, store, self.trust, newest)
    }

    fn draft(&self, target: Target) -> Draft {
        let created = release::now();
        let expires_in = target.fields.expires_in;
        Draft {
            project: self.place.project.clone(),
            channel: self.place.channel.clone(),
            bundle: target.bundle,
            kind: target.kind,
            actor: provenance::actor(&self.place.root),
            reason: target
                .fields
                .reason
                .unwrap_or_else(|| "no reason given".to_owned()),
            override_freeze: target.fields.override_freeze,
            created,
            expires: expires_in.map(|time| created.plus_s(time.as_secs())),
            plan: target.plan,
            source: target.source,
            evidence: target.evidence,
            merges: target.fields.merges,
            rollout: target.fields.rollout,
            withdraw: target.fields.withdraw,
            streams: None,
        }
    }

    fn check_record(&self, envelope: &bundle::statement::envelope::Envelope) -> anyhow::Result<()> {
        let Some(trust) = self.trust else {
            return Ok(());
        };
        if *trust.project() != self.place.project {
            return Err(refused(
                &Refused::WrongProject {
                    expected: trust.project().clone(),
                },
                "the trust file belongs to another project",
            ));
        }
        let channel = Some(&self.place.channel);
        trust
            .authorized_signers(envelope, Role::Release, channel, When::First(release::now()))
            .map_err(|error| {
                refused(
                    &error,
                    &format!(
                        "gateways with this trust file would refuse the record, so it is not published; \
                         give the --key of an owner whose key has the role `release`{}",
                        known(trust, self.keys)
                    ),
                )
            })?;
        Ok(())
    }
}

impl Movement<'_> {
    /// Refuses a record that gateways would refuse because approvals are missing.
    fn check_approvals(
        &self,
        store: &AnyStore,
        prepared: &Statement<Record>,
    ) -> anyhow::Result<()> {
        let Some(trust) = self.trust else {
            return Ok(());
        };
        let context = Context {
            trust,
            channel: &self.place.channel,
            now: release::now(),
        };
        let record = &prepared.predicate;
        for bundle in &prepared.subject {
            let known = match self.head {
                Some(head) if record.merges.is_empty() => Since::Record(head.pointer.digest),
                _ => Since::Nothing,
            };
            let checked = approval::check_since(store, &context, None, (*bundle, record), known);
            checked.map_err(|error| refused(&error, unapproved(record.kind)))?;
        }
        Ok(())
    }
}

/// Advice for a record whose approvals are missing.
const fn unapproved(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Release => {
            "gateways with this trust file would refuse the record, so the channel was not moved; \
             get approvals with `gwc approve`"
        }
        RecordKind::Rollback | RecordKind::Pin => {
            "gateways with this trust file would refuse the record, so the channel was not moved; \
             no record of the channel has this bundle with enough approvals. Release it with \
             `gwc approve` and `gwc apply`, or let the operator accept the records until now \
             (`gwc trust approvals N --accept-head`)"
        }
    }
}

/// Describes the given keys, one line for each: owner, roles, validity and state from the trust
/// file.
pub(super) fn known(trust: &Trust, keys: &[PrivateKey]) -> String {
    let mut lines = String::new();
    for key in keys {
        let id = key.public().id();
        let description = match trust.key(&id) {
            None => "is not in the trust file".to_owned(),
            Some(key) => {
                let roles: Vec<&str> = key.roles.iter().map(|role| role.as_str()).collect();
                let state = match key.state {
                    KeyState::Active => "",
                    KeyState::Retired => ", retired",
                    KeyState::Revoked => ", revoked",
                };
                format!(
                    "of {}: roles {}, from {} to {}{state}",
                    printable(&key.owner),
                    roles.join(" and "),
                    key.not_before,
                    key.not_after,
                )
            }
        };
        lines.push_str(&format!("\n  key {} {description}", &id.to_string()[..12]));
    }
    lines
}

/// Converts a refusal of a statement or bundle to an error. `what`: advice for the user, which
/// follows the reason in the message. A store that does not answer is another error (exit code 69).
pub(super) fn refused(refused: &Refused, what: &str) -> anyhow::Error {
    if let Some(lost) = lost_store(refused) {
        return lost.clone().into();
    }
    Failure::new(
        Exit::UNVERIFIED,
        refused.reason(),
        format!("{refused}: {what}"),
    )
    .into()
}

/// Reason why the store did not answer. `None`: the refusal has another reason. Without an answer,
/// nothing is known about the content of the store.
pub(super) fn lost_store(refused: &Refused) -> Option<&Refused> {
    match refused {
        Refused::StoreUnreachable { .. } => Some(refused),
        Refused::AtLink { why, .. } => lost_store(why),
        _ => None,
    }
}

/// Converts a write conflict, or a serial over the limit, to an error with advice.
pub(super) fn conflict(error: WriteError) -> anyhow::Error {
    match error {
        WriteError::Conflict { .. } => Failure::new(
            Exit::STALE,
            "stale",
            "another process moved the channel meanwhile; check `gwc history` and plan again",
        )
        .into(),
        WriteError::Refused(why @ Refused::TooLarge { what: "serial", .. }) => refused(
            &why,
            "a stolen key used up the serials, or the minimum in the trust file is one of its \
             serials; lower `min_serial` or `min_revocations` of the channel in trust.json to the \
             last valid one, on every gateway, too",
        ),
        other @ WriteError::Refused(_) => other.into(),
    }
}

/// Error for a gateway that cannot be reached.
pub(super) fn unreachable(name: &str, error: &anyhow::Error) -> anyhow::Error {
    Failure::new(
        Exit::UNREACHABLE,
        "node-unreachable",
        format!("the gateway {name}: {error:#}"),
    )
    .into()
}

/// Shortens an id for display.
pub(super) fn short(id: &str) -> &str {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    hex.get(..12).unwrap_or(hex)
}

#[cfg(test)]
mod tests {
    use model::exit;

    use super::*;

    #[test]
    fn store_without_an_answer_is_no_refusal() {
        let lost = Refused::StoreUnreachable {
            why: "connection reset".to_owned(),
        };
        let at_link = Refused::AtLink {
            channel: None,
            serial: 3,
            why: Box::new(lost.clone()),
        };
        for why in [&lost, &at_link] {
            let error = refused(why, "advice about the record");
            assert_eq!(exit::of(&error).0, Exit::UNREACHABLE);
            assert!(!error.to_string().contains("advice"), "{error}");
        }
        let error = refused(&Refused::BadSignature, "advice");
        assert_eq!(exit::of(&error).0, Exit::UNVERIFIED);
    }
}
