//! Guard of a progressive release. Compares the requests of a bundle with those of the previous
//! bundle, or of the base that serves requests at the same time. The caller reads the clock and the
//! counters.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bundle::digest::Digest;
use bundle::statement::predicate::Guard;
use serde_json::{Value, json};

use super::side_by_side::SideBySide;
use super::sprt::{Cause, Sample, Test};
use super::webhook::Webhook;
use crate::metrics::registry::totals::{ServedTotals, Totals};

/// Interval at which a running guard evaluates the counters: 250ms.
const LOOK_MS: u64 = 250;
/// Interval at which the counters are stored for the comparison: 15s.
const KEEP_MS: u64 = 15_000;
/// Maximum age of the requests before the switch that a guard uses for the comparison: 10 minutes.
const BEFORE_MS: u64 = 600_000;
/// Time after the switch whose requests do not count for `p99`: 5s, at most half of the guard's
/// time. A release may replace the connections to its upstreams, and the first requests of new
/// connections are slow. Connections are opened on demand, so that a busy node has opened them by
/// then.
const WARM_UP_MS: u64 = 5_000;
/// Minimum and maximum pause before the next attempt to return to the base: 2s and 1 minute.
const RETURN_PAUSE_MS: (u64, u64) = (2_000, 60_000);
/// Allowed increase of the share of slow requests, in parts per million: one percentage point. A
/// request is slow if it exceeds the limit that follows from `p99`.
const SLOW_INCREASE_PPM: u32 = 10_000;

/// Counters of this node, and the guard of the running bundle.
#[derive(Debug, Default)]
pub(super) struct Guards {
    /// Stored counters with their times, oldest first, since the running bundle was activated.
    /// Covers at most 10 minutes.
    pub(super) kept: VecDeque<(u64, Totals)>,
    pub(super) current: Option<Running>,
}

/// Guard of a bundle on this node.
#[derive(Debug)]
pub(super) struct Running {
    guard: Guard,
    pub(super) candidate: Digest,
    began_ms: u64,
    looked_ms: u64,
    /// Time from which requests count for `p99`.
    warm_ms: u64,
    comparison: Comparison,
    /// Service that judges the release. `None`: no service does.
    pub(super) webhook: Option<Webhook>,
    /// Least number of requests of a side of a comparison after the switch, as of the last
    /// evaluation. `None`: nothing is compared.
    compared: Option<u64>,
    pub(super) result: GuardResult,
    /// Last attempt to return to the base that failed.
    refused: Option<RefusedReturn>,
}

/// Requests that a guard compares.
#[derive(Debug)]
enum Comparison {
    /// Requests after the switch with requests before it.
    Before(Box<BeforeAfter>),
    /// Requests of the candidate with requests of the base that serves requests beside it.
    Beside(Box<SideBySide>),
}

/// Comparison of the requests after the switch with those before it.
#[derive(Debug)]
struct BeforeAfter {
    /// Counters at the last evaluation.
    seen: Totals,
    errors: Option<Compared>,
    /// Index of the bucket whose upper bound is the limit of slow requests, and the comparison.
    slow: Option<(usize, Compared)>,
    refusals: Option<Compared>,
    /// Requests before the switch, and those after it.
    all: [Totals; 2],
}

/// Attempt to return to the base that failed.
#[derive(Debug)]
struct RefusedReturn {
    code: String,
    /// Time of the next attempt, and the pause before it.
    next_ms: u64,
    pause_ms: u64,
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
    /// The guard still compares the requests.
    Testing,
    /// The guard has ended without an alarm, at the end of its configured time.
    Passed,
    /// A comparison failed: the node returns to the base.
    Failed(Cause),
    /// The node had too few requests before the switch.
    NoBaseline,
    /// The time of the guard has passed with too few requests for a comparison. The guard
    /// continues.
    TooFewRequests,
    /// The time of the guard has passed, and its webhook has accepted the release not once. The
    /// guard continues.
    NoAnswer,
    /// The release was completed, or a new one has begun, before the guard had a result.
    Ended,
}

// === impl GuardResult ===

impl GuardResult {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Testing => "testing",
            Self::Passed => "passed",
            Self::Failed(_) => "failed",
            Self::NoBaseline => "no-baseline",
            Self::TooFewRequests => "too-few-requests",
            Self::NoAnswer => "no-answer",
            Self::Ended => "ended",
        }
    }

    /// True if the guard still compares.
    pub(super) const fn compares(self) -> bool {
        matches!(self, Self::Testing | Self::TooFewRequests | Self::NoAnswer)
    }
}

// === impl Guards ===

impl Guards {
    /// Time of the next evaluation or of the next attempt to return to the base, in milliseconds.
    /// `u64::MAX` if none is due.
    pub(super) fn due_ms(&self) -> u64 {
        self.current.as_ref().map_or(u64::MAX, Running::due_ms)
    }

    /// Stores the counters for a later comparison, if the interval [`KEEP_MS`] has passed.
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
    /// Creates the guard at the switch to a bundle. `before`: requests of the previous bundle.
    pub(super) fn new(
        guard: &Guard,
        candidate: Digest,
        before: &Totals,
        seen: Totals,
        now_ms: u64,
    ) -> Self {
        let has_baseline = before.requests() >= guard.requests;
        // Without enough requests before the switch, only the webhook judges the release.
        let increase = |ppm: Option<u32>| ppm.filter(|_| has_baseline);
        let errors = increase(guard.errors_ppm)
            .map(|increase_ppm| Compared::new(before, Totals::errors, increase_ppm));
        let slow = increase(guard.p99_ppm).map(|increase_ppm| {
            let bucket = before.bucket_above_p99(increase_ppm);
            let slower = |totals: &Totals| totals.slower_than(bucket);
            (bucket, Compared::new(before, slower, SLOW_INCREASE_PPM))
        });
        let refusals = increase(guard.refusals_ppm)
            .map(|increase_ppm| Compared::new(before, Totals::refusals, increase_ppm));
        let before_after = BeforeAfter {
            seen,
            errors,
            slow,
            refusals,
            all: [before.clone(), Totals::default()],
        };
        Self {
            result: match has_baseline || guard.webhook.is_some() {
                true => GuardResult::Testing,
                false => GuardResult::NoBaseline,
            },
            ..Self::of(
                guard,
                candidate,
                Comparison::Before(Box::new(before_after)),
                now_ms,
            )
        }
    }

    /// Creates the guard of a candidate that serves requests beside the base. `seen`: counters at
    /// the beginning.
    pub(super) fn beside(
        guard: &Guard,
        candidate: Digest,
        seen: &ServedTotals,
        now_ms: u64,
    ) -> Self {
        let comparison = Box::new(SideBySide::new(guard, SLOW_INCREASE_PPM, seen));
        Self::of(guard, candidate, Comparison::Beside(comparison), now_ms)
    }

    fn of(guard: &Guard, candidate: Digest, comparison: Comparison, now_ms: u64) -> Self {
        Self {
            guard: guard.clone(),
            candidate,
            began_ms: now_ms,
            looked_ms: now_ms,
            warm_ms: now_ms + WARM_UP_MS.min(guard.for_ms / 2),
            comparison,
            webhook: None,
            compared: None,
            refused: None,
            result: GuardResult::Testing,
        }
    }

    /// True if the guard compares a candidate with the base that serves requests beside it.
    pub(super) const fn is_beside(&self) -> bool {
        matches!(self.comparison, Comparison::Beside(_))
    }

    fn due_ms(&self) -> u64 {
        match self.result {
            result if result.compares() => self.looked_ms + LOOK_MS,
            GuardResult::Failed(_) => self.refused.as_ref().map_or(0, |refused| refused.next_ms),
            _ => u64::MAX,
        }
    }

    /// Adds the requests since the last evaluation, and compares. Returns the result if it has
    /// changed.
    pub(super) fn look(&mut self, totals: &ServedTotals, now_ms: u64) -> Option<GuardResult> {
        let is_warm = self.looked_ms >= self.warm_ms;
        self.looked_ms = now_ms;
        let needed = self.guard.requests;
        let (cause, compared) = match &mut self.comparison {
            Comparison::Before(comparison) => comparison.look(totals.all(), is_warm, needed),
            Comparison::Beside(comparison) => comparison.look(totals, is_warm, needed),
        };
        self.compared = compared;
        let webhook = self.webhook.as_ref();
        let rejected = webhook.filter(|webhook| webhook.has_failed());
        let cause = cause.or(rejected.map(|_| Cause::Webhook));
        let is_over = self.left_ms() == 0;
        let result = match cause {
            Some(cause) => GuardResult::Failed(cause),
            None if !is_over => self.result,
            None if compared.is_some_and(|count| count < needed) => GuardResult::TooFewRequests,
            None if webhook.is_some_and(|webhook| !webhook.has_passed()) => GuardResult::NoAnswer,
            None => GuardResult::Passed,
        };
        if let Some(webhook) = self.webhook.as_mut().filter(|_| !result.compares()) {
            webhook.end();
        }
        (std::mem::replace(&mut self.result, result) != result).then_some(result)
    }

    /// Remaining time of the guard, as of the last evaluation, in milliseconds.
    fn left_ms(&self) -> u64 {
        let ends_ms = self.began_ms.saturating_add(self.guard.for_ms);
        ends_ms.saturating_sub(self.looked_ms)
    }

    /// Ends the guard without a result, because the release that it guards has ended.
    pub(super) fn end(&mut self) {
        self.result = GuardResult::Ended;
        self.refused = None;
        self.webhook = None;
    }

    /// Records that the node cannot return to the base yet, and when it tries again. Returns true
    /// if the reason is new.
    pub(super) fn return_refused(&mut self, code: &str, now_ms: u64) -> bool {
        let (least_ms, greatest_ms) = RETURN_PAUSE_MS;
        let before = self.refused.take();
        let pause_ms = before.as_ref().map_or(least_ms, |it| it.pause_ms * 2);
        let pause_ms = pause_ms.min(greatest_ms);
        self.refused = Some(RefusedReturn {
            code: code.to_owned(),
            next_ms: now_ms + pause_ms,
            pause_ms,
        });
        before.is_none_or(|before| before.code != code)
    }

    pub(super) fn json(&self) -> Value {
        let ([errors, slow, refusals], reasons) = match &self.comparison {
            Comparison::Before(comparison) => (comparison.samples(), comparison.reasons()),
            Comparison::Beside(comparison) => (comparison.samples(), comparison.reasons()),
        };
        let compared = |samples: Option<(Sample, Sample)>| {
            samples.map(|(before, after)| {
                json!({
                    "before": {"requests": before.requests, "events": before.events},
                    "after": {"requests": after.requests, "events": after.events},
                })
            })
        };
        json!({
            "result": self.result.as_str(),
            "by": match self.result {
                GuardResult::Failed(cause) => Some(cause.as_str()),
                _ => None,
            },
            "return_refused": self.refused.as_ref().map(|refused| &refused.code),
            "left_s": self.result.compares().then(|| self.left_ms().div_ceil(1_000)),
            "requests": self.compared,
            "errors": compared(errors),
            "slow": compared(slow),
            "refusals": compared(refusals).map(|mut refusals| {
                refusals["reasons"] = by_reason(reasons);
                refusals
            }),
            "webhook": self.webhook.as_ref().map(Webhook::json),
        })
    }
}

impl BeforeAfter {
    /// Adds the requests since the last evaluation. Returns the comparison that fails, and the
    /// number of requests after the switch in the comparison that has fewer. `None`: there is no
    /// comparison.
    fn look(&mut self, totals: Totals, is_warm: bool, needed: u64) -> (Option<Cause>, Option<u64>) {
        let new = totals.since(&self.seen);
        self.seen = totals;
        let mut cause = None;
        let mut compared: Option<u64> = None;
        let mut count = |requests: u64| {
            compared = Some(compared.map_or(requests, |fewest| fewest.min(requests)));
        };
        if let Some(errors) = &mut self.errors {
            errors.add(&new, Totals::errors);
            count(errors.after.requests);
            if errors.alarms(needed) {
                cause = Some(Cause::Errors);
            }
        }
        if let Some((bucket, slow)) = &mut self.slow {
            if is_warm {
                slow.add(&new, |totals| totals.slower_than(*bucket));
            }
            count(slow.after.requests);
            if cause.is_none() && slow.alarms(needed) {
                cause = Some(Cause::P99);
            }
        }
        if let Some(refusals) = &mut self.refusals {
            let [_, after] = &mut self.all;
            after.merge(&new);
            // The busiest client of the whole time counts, so that events are not added up.
            refusals.after = Sample {
                requests: after.requests(),
                events: after.refusals(),
            };
            count(refusals.after.requests);
            if cause.is_none() && refusals.alarms(needed) {
                cause = Some(Cause::Refusals);
            }
        }
        (cause, compared)
    }

    /// Requests before and after the switch, in the comparisons of errors, of slow requests and of
    /// refusals.
    fn samples(&self) -> [Option<(Sample, Sample)>; 3] {
        let both = |compared: &Compared| (compared.before, compared.after);
        let slow = self.slow.as_ref().map(|(_, slow)| both(slow));
        let [errors, refusals] = [&self.errors, &self.refusals].map(|it| it.as_ref().map(both));
        [errors, slow, refusals]
    }

    /// Refused requests by reason: before the switch, and after it.
    fn reasons(&self) -> [BTreeMap<&'static str, u64>; 2] {
        self.all.each_ref().map(Totals::refusals_by_reason)
    }
}

/// Refused requests by reason as JSON: before the switch or of the base, and after it or of the
/// candidate.
fn by_reason([before, after]: [BTreeMap<&'static str, u64>; 2]) -> Value {
    let reasons: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
    let count = |of: &BTreeMap<&str, u64>, reason| of.get(reason).copied().unwrap_or(0);
    let counts = reasons.into_iter().map(|reason| {
        let counts = json!({"before": count(&before, reason), "after": count(&after, reason)});
        (reason.to_owned(), counts)
    });
    Value::Object(counts.collect())
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

    /// True if the comparison fails. `needed`: least number of requests after the switch.
    fn alarms(&self, needed: u64) -> bool {
        self.after.requests >= needed && self.test.alarms(self.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::registry::totals::Served;

    /// Indices of the histogram buckets of fast requests (upper bound 10 ms) and of slow requests.
    const FAST: usize = 4;
    const SLOW: usize = 10;

    /// Counters of a node, and its guard since time 0.
    struct Stage {
        totals: ServedTotals,
        guard: Running,
        now_ms: u64,
    }

    impl Stage {
        fn new(guard: &Guard) -> Self {
            let mut totals = ServedTotals::default();
            totals.count(Served::Alone, (FAST, 10_000), 0);
            let before = totals.all();
            let guard = Running::new(guard, Digest::of(b""), &before, before.clone(), 0);
            let now_ms = 0;
            Self {
                totals,
                guard,
                now_ms,
            }
        }

        /// Advances the clock to `until_ms`. Before each evaluation, the node serves 50 requests,
        /// of which some are slow and some are errors.
        fn serve(&mut self, until_ms: u64, slow: u64, errors: u64) -> GuardResult {
            while self.now_ms < until_ms && self.guard.result.compares() {
                self.now_ms += LOOK_MS;
                self.totals.count(Served::Alone, (FAST, 50 - slow), errors);
                self.totals.count(Served::Alone, (SLOW, slow), 0);
                let _changed = self.guard.look(&self.totals, self.now_ms);
            }
            self.guard.result
        }
    }

    #[test]
    fn candidate_beside_the_base_is_warmed_up_too() {
        let guard = guard();
        let mut totals = ServedTotals::default();
        let mut running = Running::beside(&guard, Digest::of(b""), &totals, 0);
        assert!(running.is_beside());
        let mut serve = |running: &mut Running, until_ms: u64, slow: u64| {
            while running.looked_ms < until_ms && running.result.compares() {
                totals.count(Served::Base, (FAST, 50), 0);
                totals.count(Served::Candidate, (FAST, 50 - slow), 0);
                totals.count(Served::Candidate, (SLOW, slow), 0);
                let _changed = running.look(&totals, running.looked_ms + LOOK_MS);
            }
            running.result
        };
        assert_eq!(serve(&mut running, WARM_UP_MS, 10), GuardResult::Testing);
        assert_eq!(serve(&mut running, 60_000, 0), GuardResult::Passed);
        let mut running = Running::beside(&guard, Digest::of(b""), &ServedTotals::default(), 0);
        let result = serve(&mut running, 60_000, 10);
        assert_eq!(result, GuardResult::Failed(Cause::P99));
    }

    fn guard() -> Guard {
        Guard {
            errors_ppm: Some(10_000),
            for_ms: 60_000,
            p99_ppm: Some(500_000),
            refusals_ppm: Some(10_000),
            requests: 200,
            webhook: None,
        }
    }

    #[test]
    fn slow_start_of_new_connections_is_no_failure() {
        let mut stage = Stage::new(&guard());
        assert_eq!(stage.serve(WARM_UP_MS, 10, 0), GuardResult::Testing);
        assert_eq!(stage.serve(60_000, 0, 0), GuardResult::Passed);
        let mut stage = Stage::new(&guard());
        stage.serve(WARM_UP_MS, 10, 0);
        let result = stage.serve(60_000, 10, 0);
        assert_eq!(result, GuardResult::Failed(Cause::P99), "slow afterwards");
        // A short guard has half of its time for the comparison.
        let short = Guard {
            for_ms: 4_000,
            ..guard()
        };
        let mut stage = Stage::new(&short);
        let result = stage.serve(4_000, 10, 0);
        assert_eq!(result, GuardResult::Failed(Cause::P99));
    }

    #[test]
    fn errors_count_from_the_switch() {
        let mut stage = Stage::new(&guard());
        let result = stage.serve(1_000, 0, 25);
        assert_eq!(result, GuardResult::Failed(Cause::Errors));
    }

    #[test]
    fn refusals_count_from_the_switch() {
        let serve = |clients: usize| {
            let mut stage = Stage::new(&guard());
            while stage.guard.result.compares() {
                for client in 0..clients {
                    let refused = ("no_credential", client);
                    let count = 40 / clients as u64;
                    stage.totals.count_refusals(Served::Alone, refused, count);
                }
                stage.serve(stage.now_ms + LOOK_MS, 0, 0);
            }
            stage
        };
        let stage = serve(4);
        let failed = GuardResult::Failed(Cause::Refusals);
        assert_eq!((stage.guard.result, stage.now_ms), (failed, 1_000));
        let refusals = &stage.guard.json()["refusals"];
        assert_eq!(refusals["before"], json!({"requests": 10_000, "events": 0}));
        assert_eq!(refusals["after"], json!({"requests": 200, "events": 120}));
        let reasons = json!({"no_credential": {"before": 0, "after": 160}});
        assert_eq!(refusals["reasons"], reasons);
        assert_eq!(serve(1).guard.result, GuardResult::Passed, "one client");
    }

    #[test]
    fn guard_with_few_requests_goes_on() {
        let mut stage = Stage::new(&guard());
        let look = |stage: &mut Stage, now_ms| stage.guard.look(&stage.totals, now_ms);
        assert_eq!(look(&mut stage, 59_000), None);
        let few = Some(GuardResult::TooFewRequests);
        assert_eq!(look(&mut stage, 60_000), few);
        assert_eq!(look(&mut stage, 61_000), None, "reported once");
        assert_eq!(stage.guard.due_ms(), 61_000 + LOOK_MS);
        stage.totals.count(Served::Alone, (FAST, 200), 200);
        let failed = Some(GuardResult::Failed(Cause::Errors));
        assert_eq!(look(&mut stage, 62_000), failed);
        let mut stage = Stage::new(&guard());
        look(&mut stage, 60_000);
        stage.totals.count(Served::Alone, (FAST, 200), 0);
        assert_eq!(look(&mut stage, 61_000), Some(GuardResult::Passed));
    }

    #[test]
    fn refused_return_is_tried_again_with_pauses() {
        let mut stage = Stage::new(&guard());
        stage.guard.result = GuardResult::Failed(Cause::Errors);
        assert_eq!(stage.guard.due_ms(), 0);
        assert!(stage.guard.return_refused("no-base", 1_000));
        assert_eq!(stage.guard.due_ms(), 3_000);
        assert!(!stage.guard.return_refused("no-base", 3_000));
        assert_eq!(stage.guard.due_ms(), 7_000);
        assert!(stage.guard.return_refused("port-busy", 7_000));
        for _ in 0..10 {
            stage.guard.return_refused("port-busy", 10_000);
        }
        assert_eq!(stage.guard.due_ms(), 70_000);
        stage.guard.end();
        assert_eq!(stage.guard.due_ms(), u64::MAX);
    }
}
