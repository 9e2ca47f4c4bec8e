//! Guard of a progressive release: compares the requests of a bundle with those of the bundle before
//! it. The caller reads clock and counters.

use std::collections::VecDeque;

use bundle::digest::Digest;
use bundle::statement::predicate::Guard;
use serde_json::{Value, json};

use super::sprt::{Sample, Test};
use crate::metrics::registry::totals::Totals;

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
    pub(super) kept: VecDeque<(u64, Totals)>,
    pub(super) current: Option<Running>,
}

/// Guard of a bundle on this node.
#[derive(Debug)]
pub(super) struct Running {
    guard: Guard,
    pub(super) candidate: Digest,
    began_ms: u64,
    /// Counters at the last look.
    seen: Totals,
    /// Number of requests since the switch.
    requests: u64,
    looked_ms: u64,
    errors: Option<Compared>,
    /// Index of the bucket whose upper bound is the limit of slow requests, and the comparison.
    slow: Option<(usize, Compared)>,
    pub(super) result: GuardResult,
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
    pub(super) const fn as_str(self) -> &'static str {
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
    pub(super) fn keep(&mut self, now_ms: u64, totals: &dyn Fn() -> Totals) {
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
    pub(super) fn new(
        guard: &Guard,
        candidate: Digest,
        before: &Totals,
        seen: Totals,
        now_ms: u64,
    ) -> Self {
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
    pub(super) fn look(&mut self, totals: Totals, now_ms: u64) -> Option<GuardResult> {
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

    pub(super) fn json(&self) -> Value {
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
