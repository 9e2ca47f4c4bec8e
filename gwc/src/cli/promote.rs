//! Command `gwc promote`: moves a progressive release to its next step, or to all gateways.

use std::collections::BTreeSet;

use bundle::digest::Digest;
use bundle::history::Entry;
use bundle::statement::predicate::{RecordKind, Rollout};
use bundle::store::{Chain, Store as _};
use bundle::trust::Trust;
use serde_json::{Value, json};

use super::apply::check_revoked;
use super::approvals::check_head;
use super::comparison::Comparison;
use super::fleet::{self, Allowed};
use super::freeze::FreezeOption;
use super::guards::{GuardOptions, StepGuard};
use super::movement::{Movement, Target};
use super::options::{FormatOption, NodeOptions, RecordOptions, StoreOptions, confirm, keys};
use super::rollout::{ExpectedRelease, WaitOption};
use super::say::{self, Context, Format};
use super::steps::{self, Wanted, step_json, step_text};
use crate::release::evidence;
use crate::release::nodes::Nodes;
use crate::release::{self, AnyStore, Place};
use model::exit::Exit;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The record names the same bundle, for the share of the gateways of the next step. The steps are
those with which the release began. With a guard, the step ends only after the guard's time, and
without a guard that failed or still compares on a --node.

Examples:
  gwc promote --key keys/release.pem                 to the next step
  gwc promote --key keys/release.pem --to-all        to all gateways
  gwc promote --key keys/release.pem --yes --node http://127.0.0.1:9901 --wait-guard 15m    as soon as its guard has passed
  gwc promote --key keys/release.pem --yes --node http://127.0.0.1:9901    and wait for this gateway"
)]
pub(super) struct Args {
    /// Key that moves the channel: a file, or env:NAME; repeat it if several owners must sign
    #[arg(long, value_name = "FILE|env:NAME", required = true)]
    key: Vec<String>,
    /// Release to all gateways, without the remaining steps
    #[arg(long)]
    to_all: bool,
    #[command(flatten)]
    record: RecordOptions,
    /// Proceed without confirmation
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    wait: WaitOption,
    /// Proceed even if a gateway is on hold (pinned to its current bundle)
    #[arg(long)]
    over_hold: bool,
    #[command(flatten)]
    guard: GuardOptions,
    #[command(flatten)]
    freeze: FreezeOption,
    #[command(flatten)]
    at: StoreOptions,
    #[command(flatten)]
    nodes: NodeOptions,
    #[command(flatten)]
    format: FormatOption,
}

impl super::Arguments for Args {}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let nodes = args.nodes.nodes()?;
    let keys = keys(&args.key)?;
    let place = args.at.place(context)?;
    let trust = args.at.trust(&place)?;
    let store = place.open()?;
    let head = release::head(&store, trust.as_ref(), &place.channel)?;
    let Some((head, before)) = head.as_ref().and_then(|head| {
        let rollout = head.record.rollout.as_ref()?;
        Some((head, rollout))
    }) else {
        return Err(steps::no_release(&place, head.as_ref()));
    };
    let movement = Movement {
        place: &place,
        trust: trust.as_ref(),
        keys: &keys,
        head: Some(head),
        publishes_list: false,
    };
    let check = || {
        check_head(&place, &store, trust.as_ref(), Some(head))?;
        movement.check_newest_list(&store)?;
        check_revoked(&store, trust.as_ref(), &place.channel, head.bundle)?;
        args.freeze.check(&place).map(drop)
    };
    check()?;
    movement.check_keys(&store, &BTreeSet::new())?;
    if wait_for_guard(args, &nodes, (&place, &store, trust.as_ref()), head)? {
        check()?;
    }
    check_fleet(args, &nodes, (&place, &store, trust.as_ref()))?;
    let comparison = compared(args, &nodes, before);
    let next = match args.to_all {
        true => None,
        false => before.next(),
    };
    let target = target(args, (&place, &store), head, next.clone())?;
    let reached = next
        .as_ref()
        .map_or_else(|| "all gateways".to_owned(), step_text);
    confirm(
        args.yes,
        &format!(
            "move the release of {} on channel {} from {} to {reached}?",
            head.bundle.short(),
            place.channel,
            step_text(before)
        ),
    )?;
    let pointer = movement.publish(&store, target)?;
    nodes.notify();
    let serial = pointer.serial;
    Ok(report(
        args,
        (&place, &nodes),
        (head, comparison),
        next,
        serial,
    ))
}

/// Results of a shadow step, which is the current one. Shows them to people before the confirmation.
/// Null in another step.
fn compared(args: &Args, nodes: &Nodes, step: &Rollout) -> Value {
    if !step.is_shadow() {
        return Value::Null;
    }
    let found = Comparison::of(nodes);
    match &found {
        None if nodes.is_empty() => say::note(
            "warning: without --node, the differences that the gateways found are unknown",
        ),
        None => say::note("warning: no gateway has compared decisions"),
        Some(found) if args.format.format == Format::Human => {
            let lines = found.lines().into_iter().map(|line| line.text);
            let text: Vec<String> = lines.collect();
            say::report(&text.join("\n  "));
        }
        Some(_) => {}
    }
    found.map_or(Value::Null, |found| found.json())
}

/// Reports the new record, waits for the gateways, and returns the exit code. `next`: step of the
/// record; `None` for all gateways. `comparison`: results of the step before.
fn report(
    args: &Args,
    (place, nodes): (&Place, &Nodes),
    (head, comparison): (&Entry, Value),
    next: Option<Rollout>,
    serial: u64,
) -> Exit {
    if args.format.format == Format::Human {
        let (reached, then) = match &next {
            Some(next) => (
                step_text(next),
                "`gwc promote` continues, `gwc abort` goes back",
            ),
            None => ("all gateways".to_owned(), "the release is complete"),
        };
        say::report(&format!(
            "channel {} is at serial {serial}: {}, {reached}; {then}",
            place.channel, head.bundle
        ));
    }
    let rollout = step_json(next.as_ref());
    let waited = args.wait.wait(
        nodes,
        &ExpectedRelease {
            wanted: Wanted::new(head.bundle, next),
            serial,
        },
    );
    let result = match waited.failure.is_some() {
        true => "blocked",
        false => "ok",
    };
    match args.format.format {
        Format::Human => waited.print(head.bundle),
        Format::Json => say::json(&say::document(
            "promote/v1",
            result,
            json!({"channel": place.channel, "serial": serial, "bundle": head.bundle,
                   "from": step_json(head.record.rollout.as_ref()), "rollout": rollout,
                   "comparison": comparison, "nodes": waited.nodes}),
        )),
    }
    waited.exit()
}

/// Waits until the guard of the current step has results. Returns true if time has passed: the store
/// may have changed.
fn wait_for_guard(
    args: &Args,
    nodes: &Nodes,
    (place, store, trust): (&Place, &AnyStore, Option<&Trust>),
    head: &Entry,
) -> anyhow::Result<bool> {
    let wanted = steps::wanted(store, trust, place, head);
    let Some(step) = StepGuard::of(store, head, wanted) else {
        return Ok(false);
    };
    if nodes.is_empty() && !args.guard.over_guard {
        say::note(
            "warning: without --node, the results of the guard on the gateways are unknown; only \
             its time is checked",
        );
    }
    args.guard.wait(nodes, &step)
}

/// Checks that the gateways follow the channel, are not on hold, and that no guard failed or had
/// too few requests.
fn check_fleet(
    args: &Args,
    nodes: &Nodes,
    (place, store, trust): (&Place, &AnyStore, Option<&Trust>),
) -> anyhow::Result<()> {
    let entries = evidence::entries(store, trust, &place.channel)?;
    let lists = store.serials(&Chain::Revocations)?;
    let allowed = Allowed {
        over_hold: args.over_hold,
        over_guard: args.guard.over_guard,
        merge: false,
    };
    let lists = lists.last().copied().unwrap_or(0);
    fleet::ask(nodes, place, &entries, lists, allowed).map(drop)
}

/// Returns the bundle and the fields of the record for the next step. `next`: `None` for all
/// gateways.
fn target(
    args: &Args,
    (place, store): (&Place, &AnyStore),
    head: &Entry,
    next: Option<Rollout>,
) -> anyhow::Result<Target> {
    let mut fields = args.record.record_fields(Some(store), head.bundle)?;
    if next.is_some() {
        steps::check_withdrawn(store, head, &fields.withdraw)?;
    }
    // A withdrawal applies only while the newest record lists it.
    fields.withdraw.extend(&head.record.withdraw);
    fields.rollout = next;
    fields.override_freeze = args.freeze.check(place)?;
    let evidence: BTreeSet<Digest> = head.record.evidence.clone();
    Ok(Target {
        bundle: head.bundle,
        kind: RecordKind::Pin,
        fields,
        plan: head.record.plan,
        source: head.record.source,
        evidence,
    })
}
