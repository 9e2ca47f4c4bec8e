//! Guards of a progressive release that have no result yet: `gwc promote` refuses to continue, or
//! waits for them.

use std::time::{Duration, Instant};

use bundle::channel;
use bundle::history::Entry;
use bundle::moment::Moment;
use bundle::statement::predicate::{Guard, Rollout};
use bundle::store::Blobs;
use serde_json::Value;

use super::fleet;
use super::options::{duration, duration_text};
use super::progress;
use super::say;
use super::steps::{Wanted, step_text};
use crate::release;
use crate::release::nodes::{Nodes, Status};
use diag::text::printable;
use model::exit::{Exit, Failure};

/// Interval between status requests: 1s.
const POLL: Duration = Duration::from_secs(1);
/// Interval between two lines about the remaining guards if standard error is no terminal: 1
/// minute.
const NOTE: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub(super) struct GuardOptions {
    /// Proceed even if the guard of the release failed on a gateway, had too few requests there, or
    /// has no result yet
    #[arg(long)]
    pub(super) over_guard: bool,
    /// Maximum time to wait until the guard has a result on every --node, and its time has passed
    /// since the step began [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "over_guard")]
    wait_guard: Option<Duration>,
}

/// Guard of the channel's current step.
pub(super) struct StepGuard<'a> {
    head: &'a Entry,
    rollout: &'a Rollout,
    guard: &'a Guard,
    wanted: Wanted,
    /// Time before which the step is not promoted.
    ends: Moment,
}

/// Results of the guard that are missing.
#[derive(Default)]
struct Missing {
    /// Texts about the time of the step and about gateways without a result.
    texts: Vec<String>,
    /// Gateways that do not respond, or had too few requests. A wait may help; otherwise, the check
    /// of the gateways has the error.
    troubles: Vec<String>,
    /// True if the guard failed on a gateway.
    has_failed: bool,
}

impl GuardOptions {
    /// Waits until the guard has results, at most for the time of `--wait-guard`. Returns true if
    /// time has passed. A failed guard ends the wait; the check of the gateways has its error.
    ///
    /// # Errors
    /// The guard has no result within this time.
    pub(super) fn wait(&self, nodes: &Nodes, step: &StepGuard<'_>) -> anyhow::Result<bool> {
        if self.over_guard {
            return Ok(false);
        }
        let time = self.wait_guard.unwrap_or_default();
        let began = Instant::now();
        let mut noted: Option<Instant> = None;
        loop {
            let missing = step.missing(nodes, release::now());
            if missing.has_failed || missing.is_empty() {
                return Ok(noted.is_some());
            }
            if began.elapsed() >= time {
                return match missing.texts.is_empty() {
                    true => Ok(noted.is_some()),
                    false => Err(step.untested(&missing.texts, self.wait_guard)),
                };
            }
            let text = missing.text();
            if noted.is_none_or(|at| at.elapsed() >= NOTE) && !progress::is_shown() {
                let time = duration_text(time);
                say::note(&format!("waiting up to {time} for the guard: {text}"));
            }
            noted = noted
                .filter(|at| at.elapsed() < NOTE)
                .or_else(|| Some(Instant::now()));
            progress::stage(format!("waiting for the guard: {text}"));
            std::thread::sleep(POLL.min(time.saturating_sub(began.elapsed())));
        }
    }
}

impl<'a> StepGuard<'a> {
    /// Guard of the channel's newest record. `None`: the record has no guard, or a shadow step, in
    /// which gateways have none.
    pub(super) fn of(blobs: &dyn Blobs, head: &'a Entry, wanted: Wanted) -> Option<Self> {
        let rollout = head.record.rollout.as_ref()?;
        let guard = rollout.guard.as_ref().filter(|_| !rollout.is_shadow())?;
        let began_s = step_began(blobs, head, rollout).unix_s();
        Some(Self {
            head,
            rollout,
            guard,
            wanted,
            ends: Moment::from_unix_s(began_s.saturating_add(guard.for_ms.div_ceil(1_000))),
        })
    }

    fn missing(&self, nodes: &Nodes, now: Moment) -> Missing {
        let mut missing = Missing::default();
        if now < self.ends {
            let left = Duration::from_secs(self.ends.unix_s().saturating_sub(now.unix_s()));
            let left = duration_text(left);
            missing
                .texts
                .push(format!("its time ends at {}, in {left}", self.ends));
        }
        for (name, status) in nodes.status() {
            match status {
                Err(error) => {
                    let text = format!("{name} does not respond ({error:#})");
                    missing.troubles.push(printable(&text));
                }
                Ok(status) => self.add(&name, &status, &mut missing),
            }
        }
        missing
    }

    /// Adds what a gateway lacks. A gateway outside of the share, or on hold, lacks nothing.
    fn add(&self, name: &str, status: &Status, missing: &mut Missing) {
        if fleet::failed_guard(status).is_some() {
            missing.has_failed = true;
        }
        if status.hold.is_some() || self.wanted.belongs(status) != Some(true) {
            return;
        }
        let serial = self.head.pointer.serial;
        if status.accepted().is_none_or(|known| known < serial) {
            let text = format!("{name} has not accepted serial {serial} yet");
            return missing.texts.push(text);
        }
        if !self.wanted.is_run_by(status) {
            let text = format!("{name} does not run the release yet");
            return missing.texts.push(text);
        }
        let guard = &status.all["rollout"]["guard"];
        let needed = self.guard.requests;
        let requests = guard["requests"].as_u64();
        let requests = requests.map_or_else(String::new, |count| {
            format!(", {count} of at least {needed} requests")
        });
        match guard["result"].as_str() {
            Some("testing") => {
                let left = Duration::from_secs(guard["left_s"].as_u64().unwrap_or(0));
                let left = duration_text(left);
                missing
                    .texts
                    .push(format!("{name} compares for {left} more{requests}"));
            }
            Some("too-few-requests") => missing
                .troubles
                .push(format!("{name} had too few requests{requests}")),
            Some("no-answer") => {
                let answers = webhook_text(&guard["webhook"]);
                let answers = answers.map_or_else(String::new, |text| format!(" ({text})"));
                let text = format!("the webhook of {name} has not accepted the release{answers}");
                missing.troubles.push(text);
            }
            _ => {}
        }
    }

    fn untested(&self, texts: &[String], waited: Option<Duration>) -> anyhow::Error {
        let advice = match waited {
            None => "pass --wait-guard DURATION to wait",
            Some(_) => "wait longer with --wait-guard",
        };
        let within = waited.map_or_else(String::new, |time| {
            format!(" within {}", duration_text(time))
        });
        Failure::new(
            Exit::ROLLOUT,
            "release-guard-testing",
            format!(
                "the guard of {} has no result{within}: {}; {advice}, end the release with `gwc \
                 abort`, or pass --over-guard to `gwc promote`",
                step_text(self.rollout),
                texts.join("; ")
            ),
        )
        .into()
    }
}

impl Missing {
    fn is_empty(&self) -> bool {
        self.texts.is_empty() && self.troubles.is_empty()
    }

    fn text(&self) -> String {
        let all: Vec<&str> = self
            .texts
            .iter()
            .chain(&self.troubles)
            .map(String::as_str)
            .collect();
        all.join("; ")
    }
}

/// Result of the guard on a gateway, with its numbers: the remaining time, the requests, and the
/// events of each comparison. `needed`: least number of requests. `None`: the gateway has no guard.
pub(super) fn guard_text(guard: &Value, needed: Option<u64>) -> Option<String> {
    let result = guard["result"].as_str()?;
    let by = guard["by"].as_str();
    let by = by.map_or_else(String::new, |by| format!(" by {by}"));
    let mut numbers = Vec::new();
    if let Some(left_s) = guard["left_s"].as_u64() {
        let left = duration_text(Duration::from_secs(left_s));
        numbers.push(format!("{left} left"));
    }
    if let (Some(requests), Some(needed)) = (guard["requests"].as_u64(), needed) {
        numbers.push(format!("{requests} of at least {needed} requests"));
    }
    for kind in ["errors", "slow", "refusals"] {
        let [before, after] = ["before", "after"].map(|side| {
            let count = |of: &str| guard[kind][side][of].as_u64();
            Some(format!("{} of {}", count("events")?, count("requests")?))
        });
        if let (Some(before), Some(after)) = (before, after) {
            numbers.push(format!("{kind} {after}, before {before}"));
        }
    }
    numbers.extend(reasons_text(&guard["refusals"]["reasons"]));
    numbers.extend(webhook_text(&guard["webhook"]));
    let numbers = match numbers.is_empty() {
        true => String::new(),
        false => format!(" ({})", numbers.join("; ")),
    };
    Some(format!("{result}{by}{numbers}"))
}

/// Responses of the webhook, and the last one. `None`: the guard has no webhook.
fn webhook_text(webhook: &Value) -> Option<String> {
    let count = |of: &str| webhook[of].as_u64();
    let (passed, failed) = (count("passed")?, count("failed")?);
    let unanswered = count("unanswered")?;
    let last = &webhook["last"];
    let status = last["status"].as_u64().map(|status| status.to_string());
    let last = status.or_else(|| last["error"].as_str().map(printable));
    let last = last.map_or_else(String::new, |last| format!(", last: {last}"));
    Some(format!(
        "webhook: {passed} passed, {failed} failed, {unanswered} unanswered{last}"
    ))
}

/// The three most frequent reasons of refusals after the switch. `None`: there was no refusal.
fn reasons_text(reasons: &Value) -> Option<String> {
    let after = |counts: &Value| counts["after"].as_u64().filter(|count| *count > 0);
    let reasons = reasons.as_object().into_iter().flatten();
    let reasons = reasons.filter_map(|(reason, counts)| Some((after(counts)?, reason)));
    let mut reasons: Vec<(u64, &String)> = reasons.collect();
    reasons.sort_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(other.1)));
    let reasons = reasons.into_iter().take(3);
    let reasons: Vec<String> = reasons
        .map(|(count, reason)| format!("{reason} {count}"))
        .collect();
    (!reasons.is_empty()).then(|| format!("reasons: {}", reasons.join(", ")))
}

/// Signing time of the first record of the current step. Records of changed rules repeat the step.
fn step_began(blobs: &dyn Blobs, head: &Entry, rollout: &Rollout) -> Moment {
    let mut first = head.record.clone();
    while let Some(previous) = first
        .previous
        .filter(|previous| *previous != rollout.base.digest)
    {
        // Ignore an error: the time of the newest record that can be read is later, and safe.
        let Ok(read) = channel::read(blobs, &previous) else {
            break;
        };
        let same_step = read.record.rollout.as_ref().map(|it| it.step) == Some(rollout.step);
        if read.bundle != head.bundle || !same_step || read.record.serial >= first.serial {
            break;
        }
        first = read.record;
    }
    first.created
}
