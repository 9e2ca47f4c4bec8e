//! Guard of a progressive release: a node of the share compares its requests after the switch with
//! those before it. If errors or slow requests have grown, the node returns to the base by itself.
//!
//! The node compares with itself, because its share of the traffic differs from that of other nodes,
//! and a node that is not reachable must be able to decide.
//!
//! The node holds the bundle that it left, as after a rollback by an operator. Only a signed record
//! moves the channel.

use std::collections::VecDeque;

use bundle::channel::Accepted;
use bundle::digest::Digest;
use bundle::statement::predicate::Guard;
use serde_json::{Value, json};

use super::Control;
use super::sprt::{Sample, Test};
use crate::metrics::registry::totals::Totals;
use crate::runtime::program_log::{ACTOR_GWD, Audit, Level, OK, event};

/// Interval at which a running guard looks at the counters: 250ms.
const LOOK_MS: u64 = 250;
/// Interval at which the counters are kept for the comparison: 15s.
const KEEP_MS: u64 = 15_000;
/// Maximum age of the requests with which a guard compares: 10 minutes.
const BEFORE_MS: u64 = 600_000;
/// Share of requests that may be slower than the limit from `p99`, before and after the switch: the
/// guard allows one percentage point more.
const SLOW_INCREASE_PPM: u32 = 10_000;

/// Counters of this node, and the guard of the running bundle.
#[derive(Debug, Default)]
pub(super) struct Guards {
    /// Counters since the running bundle was activated, oldest first, with their times.
    kept: VecDeque<(u64, Totals)>,
    current: Option<Running>,
}

/// Guard of a bundle on this node.
#[derive(Debug)]
struct Running {
    guard: Guard,
    candidate: Digest,
    began_ms: u64,
    /// Counters at the last look.
    seen: Totals,
    /// Number of requests since the switch.
    requests: u64,
    looked_ms: u64,
    errors: Option<Compared>,
    /// Index of the bucket whose upper bound is the limit of slow requests, and the comparison.
    slow: Option<(usize, Compared)>,
    result: GuardResult,
}

/// Requests before and after the switch, and the test that compares them.
#[derive(Debug)]
struct Compared {
    before: Sample,
    after: Sample,
    test: Test,
}

/// Result of a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GuardResult {
    /// The guard compares.
    Testing,
    /// The time of the guard has passed without an alarm.
    Passed,
    /// The node returned to the base.
    Failed(Cause),
    /// The node had too few requests before the switch.
    NoBaseline,
}

/// Comparison that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Errors,
    P99,
}

// === impl GuardResult ===

impl GuardResult {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Testing => "testing",
            Self::Passed => "passed",
            Self::Failed(_) => "failed",
            Self::NoBaseline => "no-baseline",
        }
    }
}

impl Cause {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::P99 => "p99",
        }
    }
}

// === impl Guards ===

impl Guards {
    /// Time of the next look, in milliseconds. `u64::MAX` without a running guard.
    pub(super) fn due_ms(&self) -> u64 {
        match &self.current {
            Some(running) if running.result == GuardResult::Testing => running.looked_ms + LOOK_MS,
            _ => u64::MAX,
        }
    }

    /// Keeps the counters for a later comparison.
    fn keep(&mut self, now_ms: u64, totals: &dyn Fn() -> Totals) {
        let is_due = self
            .kept
            .back()
            .is_none_or(|(at_ms, _)| now_ms.saturating_sub(*at_ms) >= KEEP_MS);
        if !is_due {
            return;
        }
        self.kept.push_back((now_ms, totals()));
        while self
            .kept
            .front()
            .is_some_and(|(at_ms, _)| now_ms.saturating_sub(*at_ms) > BEFORE_MS)
        {
            self.kept.pop_front();
        }
    }
}

// === impl Running ===

impl Running {
    /// Creates the guard at the switch to a bundle. `before`: requests of the bundle before it.
    fn new(guard: &Guard, candidate: Digest, before: &Totals, seen: Totals, now_ms: u64) -> Self {
        let has_baseline = before.requests() >= guard.requests;
        let errors = guard
            .errors_ppm
            .map(|increase_ppm| Compared::new(before, Totals::errors, increase_ppm));
        let slow = guard.p99_ppm.map(|increase_ppm| {
            let bucket = before.bucket_above_p99(increase_ppm);
            let slower = |totals: &Totals| totals.slower_than(bucket);
            (bucket, Compared::new(before, slower, SLOW_INCREASE_PPM))
        });
        Self {
            guard: guard.clone(),
            candidate,
            began_ms: now_ms,
            seen,
            requests: 0,
            looked_ms: now_ms,
            errors,
            slow,
            result: match has_baseline {
                true => GuardResult::Testing,
                false => GuardResult::NoBaseline,
            },
        }
    }

    /// Adds the requests since the last look. Returns the result if it has changed.
    fn look(&mut self, totals: Totals, now_ms: u64) -> Option<GuardResult> {
        let new = totals.since(&self.seen);
        self.seen = totals;
        self.looked_ms = now_ms;
        let mut cause = None;
        if let Some(errors) = &mut self.errors {
            errors.add(&new, Totals::errors);
            if errors.test.alarms(errors.after) {
                cause = Some(Cause::Errors);
            }
        }
        if let Some((bucket, slow)) = &mut self.slow {
            slow.add(&new, |totals| totals.slower_than(*bucket));
            if cause.is_none() && slow.test.alarms(slow.after) {
                cause = Some(Cause::P99);
            }
        }
        self.requests += new.requests();
        let is_over = now_ms.saturating_sub(self.began_ms) >= self.guard.for_ms;
        self.result = match cause {
            _ if self.requests < self.guard.requests => return None,
            Some(cause) => GuardResult::Failed(cause),
            None if is_over => GuardResult::Passed,
            None => return None,
        };
        Some(self.result)
    }

    fn json(&self) -> Value {
        let compared = |compared: &Compared| {
            json!({
                "before": {"requests": compared.before.requests, "events": compared.before.events},
                "after": {"requests": compared.after.requests, "events": compared.after.events},
            })
        };
        json!({
            "result": self.result.as_str(),
            "by": match self.result {
                GuardResult::Failed(cause) => Some(cause.as_str()),
                _ => None,
            },
            "errors": self.errors.as_ref().map(compared),
            "slow": self.slow.as_ref().map(|(_, slow)| compared(slow)),
        })
    }
}

impl Compared {
    fn new(before: &Totals, events: impl Fn(&Totals) -> u64, increase_ppm: u32) -> Self {
        let before = Sample {
            requests: before.requests(),
            events: events(before),
        };
        Self {
            before,
            after: Sample::default(),
            test: Test::new(before, increase_ppm),
        }
    }

    fn add(&mut self, new: &Totals, events: impl Fn(&Totals) -> u64) {
        self.after.requests += new.requests();
        self.after.events += events(new);
    }
}

// === impl Control ===

impl Control {
    /// Requests of the running bundle, for the guard of the next one.
    pub(super) fn requests_before(&self) -> Totals {
        let now = self.node.registry.totals();
        let oldest = self.guards.kept.front();
        oldest.map_or_else(Totals::default, |(_, oldest)| now.since(oldest))
    }

    /// Forgets the requests of the bundle before the one that runs now.
    pub(super) fn restart_guards(&mut self) {
        self.guards = Guards::default();
        let now = (self.now_ms(), self.node.registry.totals());
        self.guards.kept.push_back(now);
    }

    /// Begins the guard of a bundle that was activated just now. `before`: the bundle before it, and
    /// its requests.
    pub(super) fn begin_guard(&mut self, head: &Accepted, before: (Option<Digest>, &Totals)) {
        let now_ms = self.now_ms();
        let totals = self.node.registry.totals();
        let Some(guard) = head
            .record()
            .rollout
            .as_ref()
            .and_then(|it| it.guard.as_ref())
        else {
            return;
        };
        let runs_candidate = self.running.is_some_and(|it| it.bundle == head.bundle());
        if !runs_candidate || before.0.is_none() || before.0 == Some(head.bundle()) {
            return;
        }
        let running = Running::new(guard, head.bundle(), before.1, totals, now_ms);
        if running.result == GuardResult::NoBaseline {
            event(
                Level::Warn,
                "the guard of a progressive release does not judge: this node had too few requests \
                 before the switch",
                json!({"requests": before.1.requests(), "needed": guard.requests}),
            );
        }
        self.count_guard(running.result);
        self.guards.current = Some(running);
    }

    /// Looks at the counters, if a guard runs.
    pub(super) fn check_guard(&mut self) {
        let now_ms = self.now_ms();
        let runs = self.running.map(|running| running.bundle);
        let Some(running) = &mut self.guards.current else {
            return;
        };
        if runs != Some(running.candidate) || running.result != GuardResult::Testing {
            return;
        }
        let totals = self.node.registry.totals();
        let Some(result) = running.look(totals, now_ms) else {
            return;
        };
        let details = running.json();
        self.count_guard(result);
        match result {
            GuardResult::Failed(cause) => self.leave_candidate(cause, &details),
            GuardResult::Passed => event(
                Level::Info,
                "the guard of a progressive release has passed",
                json!({"bundle": runs.map(|id| id.to_string()), "guard": details}),
            ),
            GuardResult::Testing | GuardResult::NoBaseline => {}
        }
        self.update_status();
    }

    /// Returns to the base, because the guard failed.
    fn leave_candidate(&mut self, cause: Cause, details: &Value) {
        let was = self.running.map(|running| running.bundle.to_string());
        let base = self
            .rollout
            .as_ref()
            .and_then(|rollout| rollout.base_bundle());
        let switched = base.map(|base| self.switch_for_guard(base, cause));
        let (result, message) = match &switched {
            Some(Ok(())) => (
                OK.to_owned(),
                "the guard of a release failed; this node returned to the base",
            ),
            Some(Err(code)) => (
                code.clone(),
                "the guard of a release failed, but the base cannot run",
            ),
            None => (
                "no-base".to_owned(),
                "the guard of a release failed, but the base cannot run",
            ),
        };
        self.alarm("release-guard-failed", true);
        Audit {
            what: "release-guard",
            who: ACTOR_GWD,
            from: was,
            to: base.map(|base| base.to_string()),
            why: Some(cause.as_str()),
            result: &result,
        }
        .write(message, details.clone());
    }

    /// Keeps counters for the next guard, and ends the alarm of a failed one.
    pub(super) fn tend_guards(&mut self) {
        let registry = std::sync::Arc::clone(&self.node.registry);
        let now_ms = self.now_ms();
        self.guards.keep(now_ms, &|| registry.totals());
        self.alarm("release-guard-failed", self.failed_guard().is_some());
    }

    /// Cause for which the guard of the channel's head failed on this node, also before a restart.
    fn failed_guard(&self) -> Option<String> {
        let candidate = self.head.as_ref()?.bundle();
        let hold = self.ran.hold.as_ref().filter(|hold| hold.from == candidate);
        if let Some(cause) = hold.and_then(|hold| hold.guard.clone()) {
            return Some(cause);
        }
        let running = self.guards.current.as_ref()?;
        match running.result {
            GuardResult::Failed(cause) if self.running.is_some_and(|it| it.bundle == candidate) => {
                Some(cause.as_str().to_owned())
            }
            _ => None,
        }
    }

    /// Part of the status. `None`: no guard runs or has ended for the head.
    pub(super) fn guard_json(&self) -> Option<Value> {
        let candidate = self.head.as_ref()?.bundle();
        let current = self.guards.current.as_ref();
        if let Some(running) = current.filter(|running| running.candidate == candidate) {
            return Some(running.json());
        }
        let cause = self.failed_guard()?;
        Some(json!({"result": "failed", "by": cause, "errors": null, "slow": null}))
    }

    fn count_guard(&self, result: GuardResult) {
        if result == GuardResult::Testing {
            return;
        }
        let mut bundles = self.node.registry.bundles();
        *bundles.guards.entry(result.as_str()).or_default() += 1;
    }
}
