//! Checks of gateways before a command moves their channel. The gateways must follow this channel,
//! must not be on hold, and must not know a record or revocation list that the store has lost.

use std::collections::{BTreeMap, BTreeSet};

use bundle::digest::Digest;
use bundle::history::Entry;
use bundle::statement::predicate::Pointer;

use super::many;
use super::movement::{short, unreachable};
use super::say;
use crate::release::Place;
use crate::release::nodes::{Nodes, Status};
use diag::text::printable;
use model::exit::{Exit, Failure};

/// Maximum number of gateways that are warned of one by one.
const WARNINGS_MAX: usize = 10;

/// Failed checks of a gateway despite which a command proceeds.
#[derive(Clone, Copy)]
pub(super) struct Allowed {
    /// True to proceed even if a gateway is on hold (pinned to its current bundle).
    pub(super) over_hold: bool,
    /// True to proceed even if the guard of a progressive release failed on a gateway, or had too
    /// few requests there.
    pub(super) over_guard: bool,
    /// True to merge records that gateways accepted but the store has lost.
    pub(super) merge: bool,
}

/// Records that gateways have accepted but the store lacks, and the bundles that these gateways
/// run.
#[derive(Default)]
pub(super) struct Lost {
    pub(super) records: BTreeSet<Pointer>,
    /// Bundles that the gateways run.
    pub(super) running: BTreeSet<Digest>,
}

/// Refuses a store that lacks records which reachable gateways have accepted. These gateways would
/// refuse a new record.
pub(super) fn check_records(nodes: &Nodes, place: &Place, entries: &[Entry]) -> anyhow::Result<()> {
    let states = nodes.status().into_iter();
    let reachable = states.filter_map(|(name, status)| Some((name, status.ok()?)));
    let followers = reachable.filter(|(_, status)| follows_another(status, place).is_none());
    let lost: Vec<String> = followers
        .filter_map(|(name, status)| Some(lost_record(&name, &status, entries)?.1))
        .collect();
    match lost.is_empty() {
        true => Ok(()),
        false => Err(lost_records(place, entries, &lost)),
    }
}

/// Record that a gateway has accepted and the store lacks, and a sentence about it.
fn lost_record(name: &str, status: &Status, entries: &[Entry]) -> Option<(Pointer, String)> {
    let pointer = accepted(status).filter(|pointer| !has(entries, *pointer))?;
    let text = format!("{name} has accepted serial {}", pointer.serial);
    Some((pointer, text))
}

fn lost_records(place: &Place, entries: &[Entry], lost: &[String]) -> anyhow::Error {
    let head = entries.first().map_or(0, |head| head.pointer.serial);
    let rollout = entries
        .first()
        .and_then(|head| head.record.rollout.as_ref());
    let first = match rollout {
        None => "",
        Some(_) => "; `gwc abort` without --node first ends the progressive release of this copy",
    };
    Failure::new(
        Exit::UNVERIFIED,
        "forked",
        format!(
            "the store has lost records: its channel {} is at serial {head}, but {}; gateways \
             would refuse a new record. If this is an older copy of the store, restore the \
             newer one. If the newer one is lost, `gwc apply --merge` with every gateway as \
             --node or in --nodes writes a record that all of them accept{first}",
            place.channel,
            many::list(lost, ", ")
        ),
    )
    .into()
}

/// Queries all gateways. Returns the records that gateways have accepted but the store lacks. The
/// next record must merge these records. `lists`: serial of the store's newest revocation list.
pub(super) fn ask(
    nodes: &Nodes,
    place: &Place,
    entries: &[Entry],
    lists: u64,
    allowed: Allowed,
) -> anyhow::Result<Lost> {
    let mut on_hold = Vec::new();
    let mut failed = Vec::new();
    let mut untested = Vec::new();
    let mut unanswered = Vec::new();
    let mut lost = Lost::default();
    let mut lost_serials = Vec::new();
    let states = nodes.status();
    warn_of_same_names(&states);
    for (name, status) in states {
        let status = status.map_err(|error| unreachable(&name, &error))?;
        if let Some(other) = follows_another(&status, place) {
            return Err(Failure::usage(format!("--node {name}: this gateway {other}")).into());
        }
        if let Some((pointer, text)) = lost_record(&name, &status, entries) {
            lost_serials.push(text);
            lost.records.insert(pointer);
            lost.running.extend(running(&status));
        }
        let list = status.all["revocations"].as_u64().unwrap_or(0);
        if list > lists {
            return Err(lost_list(&name, list, lists));
        }
        match status.all["rollout"]["guard"]["result"].as_str() {
            Some("too-few-requests") => untested.push(name.clone()),
            Some("no-answer") => unanswered.push(name.clone()),
            _ => {}
        }
        if let Some(cause) = failed_guard(&status) {
            let refused = status.all["rollout"]["guard"]["return_refused"].as_str();
            let refused = refused.map_or_else(String::new, |why| format!(", not returned: {why}"));
            failed.push(format!("{name} ({cause}{refused})"));
        } else if let Some(hold) = status.hold {
            on_hold.push(format!("{name}{}", self::hold(&hold)));
        }
    }
    if !lost.records.is_empty() && !allowed.merge {
        return Err(lost_records(place, entries, &lost_serials));
    }
    check_progress(&failed, [&untested, &unanswered], &on_hold, allowed)?;
    for one in on_hold.iter().take(WARNINGS_MAX) {
        say::note(&format!(
            "warning: proceeding although a gateway is on hold, {one}"
        ));
    }
    if let Some(more) = on_hold.len().checked_sub(WARNINGS_MAX + 1) {
        let more = many::gateways(more + 1);
        say::note(&format!("warning: {more} more on hold"));
    }
    Ok(lost)
}

/// Refuses a command because of gateways whose guard failed, had too few requests or got no answer
/// of its webhook, or that are on hold.
fn check_progress(
    failed: &[String],
    [untested, unanswered]: [&[String]; 2],
    on_hold: &[String],
    allowed: Allowed,
) -> anyhow::Result<()> {
    if !failed.is_empty() && !allowed.over_guard {
        return Err(Failure::new(
            Exit::ROLLOUT,
            "release-guard-failed",
            format!(
                "the guard of the progressive release failed on gateways, which returned to the \
                 previous version: {}; end the release with `gwc abort`, or pass --over-guard to \
                 `gwc promote` (these gateways stay until `gwd resume`, or until the channel names \
                 another bundle)",
                many::list(failed, ", ")
            ),
        )
        .into());
    }
    if !untested.is_empty() && !allowed.over_guard {
        return Err(Failure::new(
            Exit::ROLLOUT,
            "release-guard-too-few-requests",
            format!(
                "the guard of the progressive release had too few requests within its time, \
                 although these gateways had enough before: {}; check that clients reach them, end \
                 the release with `gwc abort`, or pass --over-guard to `gwc promote`",
                many::list(untested, ", ")
            ),
        )
        .into());
    }
    if !unanswered.is_empty() && !allowed.over_guard {
        return Err(Failure::new(
            Exit::ROLLOUT,
            "release-guard-no-answer",
            format!(
                "the webhook of the guard has not accepted the release within the time of the \
                 guard, on these gateways: {}; check the service, end the release with `gwc \
                 abort`, or pass --over-guard to `gwc promote`",
                many::list(unanswered, ", ")
            ),
        )
        .into());
    }
    if !on_hold.is_empty() && !allowed.over_hold {
        return Err(Failure::new(
            Exit::ROLLOUT,
            "held",
            format!(
                "gateways are on hold ({}); run `gwd resume` there, or pass --over-hold",
                many::list(on_hold, "; ")
            ),
        )
        .into());
    }
    Ok(())
}

/// Warns if gateways have the same name. Such gateways have the same place in every release, and
/// their metrics cannot be told apart.
pub(super) fn warn_of_same_names(states: &[(String, anyhow::Result<Status>)]) {
    let mut known: BTreeMap<&str, &str> = BTreeMap::new();
    let mut same = Vec::new();
    for (at, status) in states {
        let Some(name) = status.as_ref().ok().and_then(|it| it.all["node"].as_str()) else {
            continue;
        };
        let other = *known.entry(name).or_insert(at);
        if other != at {
            same.push((other, at, name));
        }
    }
    for (other, at, name) in same.iter().take(WARNINGS_MAX) {
        say::note(&format!(
            "warning: {other} and {at} have the same name `{}`, and belong to the same steps of \
             every release; give each gateway a name of its own (`gwd run --node`)",
            printable(name)
        ));
    }
    if let Some(more) = same.len().checked_sub(WARNINGS_MAX + 1) {
        let more = many::gateways(more + 1);
        say::note(&format!(
            "warning: {more} more share a name with another one"
        ));
    }
}

/// Comparison for which the guard of the channel's release failed on a gateway. `None`: the guard
/// did not fail.
pub(super) fn failed_guard(status: &Status) -> Option<String> {
    let guard = &status.all["rollout"]["guard"];
    (guard["result"] == "failed").then(|| guard["by"].as_str().unwrap_or("unknown").to_owned())
}

/// Creates the error for a revocation list that a gateway has and the store has lost. Unlike a
/// record, a lost list cannot be merged: each list continues the previous list, and no entry may be
/// lost.
fn lost_list(name: &str, known: u64, lists: u64) -> anyhow::Error {
    Failure::new(
        Exit::UNVERIFIED,
        "revocations-withheld",
        format!(
            "{name} has revocation list {known}, but this store has {lists}: the store has lost \
             revocations, and gateways refuse its records. Restore the newer store, or copy the \
             list from the state folder of a gateway, which is also a store: `cp -n \
             STATE/blobs/sha256/* STORE/blobs/sha256/` and `cp -n STATE/revocations/* \
             STORE/revocations/`; do not write a new list before"
        ),
    )
    .into()
}

/// Describes as text that a gateway is on hold, that is, pinned to its bundle.
pub(super) fn hold(hold: &serde_json::Value) -> String {
    let left = short(hold["from"].as_str().unwrap_or("another"));
    let until = if hold["sticky"] == true {
        "until `gwd resume`"
    } else {
        "until the channel names another bundle"
    };
    let why = hold["guard"].as_str();
    let why = why.map_or_else(String::new, |cause| {
        format!(" because its guard failed by {cause}")
    });
    format!(" (it left {left}{why}, {until})")
}

/// Describes a gateway's project or channel if it differs from `place`. `None` if the gateway
/// follows `place`.
pub(super) fn follows_another(status: &Status, place: &Place) -> Option<String> {
    let (channel, project) = (place.channel.as_str(), place.project.as_str());
    let other_project = status.project.as_deref().filter(|name| *name != project);
    let other_channel = status.channel.as_deref().filter(|name| *name != channel);
    match (other_project, other_channel) {
        (Some(other), _) => Some(format!("belongs to project `{other}`, not `{project}`")),
        (None, Some(other)) => Some(format!("follows channel `{other}`, not `{channel}`")),
        (None, None) => None,
    }
}

/// Newest record that a gateway accepted. `None` if it accepted no record.
fn accepted(status: &Status) -> Option<Pointer> {
    let accepted = &status.all["accepted"];
    let digest: Digest = accepted["record"].as_str()?.parse().ok()?;
    let serial = accepted["serial"].as_u64()?;
    Some(Pointer { digest, serial })
}

/// Bundle that a gateway runs.
fn running(status: &Status) -> Option<Digest> {
    status.all["bundle"].as_str()?.parse().ok()
}

fn has(entries: &[Entry], pointer: Pointer) -> bool {
    entries
        .iter()
        .any(|entry| entry.pointer == pointer || entry.record.merges.contains(&pointer.digest))
}
