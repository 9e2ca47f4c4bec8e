//! Comparison of two versions that serve requests at the same time: the candidate of a progressive
//! release with its base.
//!
//! The two versions serve requests in the same period, so that a failure of an upstream affects
//! both. The share of events (errors, slow requests) of the base is estimated again whenever its
//! requests have doubled. Each estimate has its own error probability ([`Test::renewed`]). The
//! share can grow after an estimate. An alarm therefore also requires that the comparison fails
//! with the newest share. This second condition only makes alarms rarer.

use std::collections::BTreeMap;

use bundle::statement::predicate::Guard;

use super::sprt::{Cause, RENEWALS_MAX, Sample, Test};
use crate::metrics::registry::totals::{Served, ServedTotals, Totals};

/// Requests of both versions, and the tests that compare them.
#[derive(Debug)]
pub(super) struct SideBySide {
    /// Counters at the last evaluation.
    seen: ServedTotals,
    /// Requests since the beginning.
    all: Pair,
    /// Requests since the end of the warm-up.
    warm: Pair,
    errors: Option<Compared>,
    slow: Option<Slow>,
    refusals: Option<Compared>,
}

/// Requests of the base and of the candidate.
#[derive(Debug, Default)]
struct Pair {
    base: Totals,
    candidate: Totals,
}

/// Comparison of slow requests.
#[derive(Debug)]
struct Slow {
    /// Allowed increase of the percentile, in parts per million of it.
    p99_ppm: u32,
    /// Index of the bucket whose upper bound is the limit of slow requests.
    bucket: usize,
    compared: Compared,
}

/// Test of one kind of event.
#[derive(Debug)]
struct Compared {
    increase_ppm: u32,
    /// Number of estimates of the base's share of events so far.
    estimates: usize,
    /// Number of requests of the base from which its share of events is estimated again.
    renew_at: u64,
    test: Option<Test>,
    base: Sample,
    candidate: Sample,
}

impl SideBySide {
    /// Creates the comparison of a guard. `slow_ppm`: allowed increase of the share of slow
    /// requests, in parts per million of the requests. `seen`: counters at the beginning.
    pub(super) fn new(guard: &Guard, slow_ppm: u32, seen: &ServedTotals) -> Self {
        Self {
            seen: seen.clone(),
            all: Pair::default(),
            warm: Pair::default(),
            errors: guard.errors_ppm.map(Compared::new),
            slow: guard.p99_ppm.map(|p99_ppm| Slow {
                p99_ppm,
                bucket: 0,
                compared: Compared::new(slow_ppm),
            }),
            refusals: guard.refusals_ppm.map(Compared::new),
        }
    }

    /// Adds the requests since the last evaluation. Returns the comparison that fails, and the
    /// smallest number of requests that a version has in a comparison. `None`: there is no
    /// comparison. `needed`: number of requests
    /// that each version needs for a failure.
    pub(super) fn look(
        &mut self,
        totals: &ServedTotals,
        is_warm: bool,
        needed: u64,
    ) -> (Option<Cause>, Option<u64>) {
        let new = |served| totals.of(served).since(self.seen.of(served));
        let new = Pair {
            base: new(Served::Base),
            candidate: new(Served::Candidate),
        };
        self.seen = totals.clone();
        self.all.add(&new);
        if is_warm {
            self.warm.add(&new);
        }
        let mut cause = None;
        let mut compared: Option<u64> = None;
        let mut count = |requests: u64| {
            compared = Some(compared.map_or(requests, |fewest| fewest.min(requests)));
        };
        if let Some(errors) = &mut self.errors {
            errors.set(&self.all, Totals::errors);
            count(errors.requests());
            if errors.fails(needed) {
                cause = Some(Cause::Errors);
            }
        }
        if let Some(slow) = &mut self.slow {
            if slow
                .compared
                .is_renewed_at(self.warm.base.requests(), needed)
            {
                slow.bucket = self.warm.base.bucket_above_p99(slow.p99_ppm);
            }
            let bucket = slow.bucket;
            let events = |totals: &Totals| totals.slower_than(bucket);
            slow.compared.set(&self.warm, events);
            count(slow.compared.requests());
            if slow.compared.fails(needed) && cause.is_none() {
                cause = Some(Cause::P99);
            }
        }
        if let Some(refusals) = &mut self.refusals {
            refusals.set(&self.all, Totals::refusals);
            count(refusals.requests());
            if refusals.fails(needed) && cause.is_none() {
                cause = Some(Cause::Refusals);
            }
        }
        (cause, compared)
    }

    /// Requests of the base and of the candidate, in the comparisons of errors, of slow requests and
    /// of refusals.
    pub(super) fn samples(&self) -> [Option<(Sample, Sample)>; 3] {
        let both = |compared: &Compared| (compared.base, compared.candidate);
        let slow = self.slow.as_ref().map(|slow| both(&slow.compared));
        let [errors, refusals] = [&self.errors, &self.refusals].map(|it| it.as_ref().map(both));
        [errors, slow, refusals]
    }

    /// Refused requests by reason: of the base, and of the candidate.
    pub(super) fn reasons(&self) -> [BTreeMap<&'static str, u64>; 2] {
        [&self.all.base, &self.all.candidate].map(Totals::refusals_by_reason)
    }
}

impl Pair {
    fn add(&mut self, new: &Self) {
        self.base.merge(&new.base);
        self.candidate.merge(&new.candidate);
    }
}

impl Compared {
    fn new(increase_ppm: u32) -> Self {
        Self {
            increase_ppm,
            estimates: 0,
            renew_at: 0,
            test: None,
            base: Sample::default(),
            candidate: Sample::default(),
        }
    }

    fn set(&mut self, pair: &Pair, events: impl Fn(&Totals) -> u64) {
        let sample = |totals: &Totals| Sample {
            requests: totals.requests(),
            events: events(totals),
        };
        (self.base, self.candidate) = (sample(&pair.base), sample(&pair.candidate));
    }

    /// Number of requests of the version that has fewer.
    fn requests(&self) -> u64 {
        self.base.requests.min(self.candidate.requests)
    }

    /// True if the base's share of events is estimated again at this number of its requests.
    fn is_renewed_at(&self, requests: u64, needed: u64) -> bool {
        requests >= self.renew_at.max(needed) && self.estimates < RENEWALS_MAX
    }

    /// True if the comparison fails. `needed`: least number of requests of each version.
    fn fails(&mut self, needed: u64) -> bool {
        if self.is_renewed_at(self.base.requests, needed) {
            self.estimates += 1;
            self.renew_at = self.base.requests.saturating_mul(2);
            let test = Test::renewed(self.base, self.increase_ppm, self.estimates);
            self.test = Some(test);
        }
        let Some(test) = self.test.filter(|_| self.candidate.requests >= needed) else {
            return false;
        };
        let newest = Test::renewed(self.base, self.increase_ppm, self.estimates);
        test.alarms(self.candidate) && newest.alarms(self.candidate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Indices of the histogram buckets of fast requests and of slow requests.
    const FAST: usize = 4;
    const SLOW: usize = 10;
    const NEEDED: u64 = 200;

    fn guard() -> Guard {
        Guard {
            errors_ppm: Some(10_000),
            for_ms: 60_000,
            p99_ppm: Some(500_000),
            refusals_ppm: Some(10_000),
            requests: NEEDED,
            webhook: None,
        }
    }

    /// Numbers of errors and of slow requests among the 50 requests of a version between two
    /// comparisons.
    type Events = (u64, u64);

    /// Compares the versions up to `looks` times. Between two comparisons, each version serves 50
    /// requests. Returns the comparison that fails, and the number of comparisons.
    fn run(looks: u64, base: Events, candidate: Events) -> (Option<Cause>, u64) {
        let mut totals = ServedTotals::default();
        let mut compared = SideBySide::new(&guard(), 10_000, &totals);
        for look in 1..=looks {
            for (served, (errors, slow)) in [(Served::Base, base), (Served::Candidate, candidate)] {
                totals.count(served, (FAST, 50 - slow), errors);
                totals.count(served, (SLOW, slow), 0);
            }
            if let (Some(cause), _) = compared.look(&totals, true, NEEDED) {
                return (Some(cause), look);
            }
        }
        (None, looks)
    }

    #[test]
    fn equal_versions_do_not_fail() {
        for events in [(0, 0), (1, 0), (25, 0), (50, 0), (0, 1), (0, 25)] {
            assert_eq!(run(1_000, events, events).0, None, "{events:?}");
        }
        assert_eq!(run(1_000, (25, 25), (0, 0)).0, None, "a better candidate");
    }

    #[test]
    fn worse_candidate_fails_soon() {
        let (cause, looks) = run(1_000, (0, 0), (25, 0));
        assert!(cause == Some(Cause::Errors) && looks <= 10, "{looks}");
        let (cause, looks) = run(1_000, (0, 0), (0, 25));
        assert!(cause == Some(Cause::P99) && looks <= 10, "{looks}");
        // An increase of 4 percentage points over a share of 2 %.
        let (cause, looks) = run(1_000, (1, 0), (3, 0));
        assert!(cause == Some(Cause::Errors) && looks <= 400, "{looks}");
    }

    #[test]
    fn refusals_of_several_clients_fail() {
        let look = |clients: usize| {
            let mut totals = ServedTotals::default();
            let mut compared = SideBySide::new(&guard(), 10_000, &totals);
            let mut looks = (1..=100).map(|_| {
                totals.count(Served::Base, (FAST, 100), 0);
                totals.count(Served::Candidate, (FAST, 100), 0);
                for client in 0..clients {
                    let refused = 60 / clients as u64;
                    totals.count_refusals(Served::Candidate, ("no_credential", client), refused);
                }
                compared.look(&totals, true, NEEDED).0
            });
            looks.find_map(|cause| cause)
        };
        assert_eq!(look(1), None, "one client");
        assert_eq!(look(2), Some(Cause::Refusals));
        assert_eq!(look(30), Some(Cause::Refusals));
    }

    #[test]
    fn disturbance_of_both_versions_is_no_failure() {
        let mut totals = ServedTotals::default();
        let mut compared = SideBySide::new(&guard(), 10_000, &totals);
        let mut look = |errors: u64, slow: u64| {
            for served in [Served::Base, Served::Candidate] {
                totals.count(served, (FAST, 50 - slow), errors);
                totals.count(served, (SLOW, slow), 0);
            }
            compared.look(&totals, true, NEEDED).0
        };
        for _ in 0..500 {
            assert_eq!(look(0, 0), None);
        }
        for _ in 0..500 {
            assert_eq!(look(40, 40), None);
        }
    }

    #[test]
    fn few_requests_of_either_version_fail_nothing() {
        for few in [Served::Base, Served::Candidate] {
            let mut totals = ServedTotals::default();
            let mut compared = SideBySide::new(&guard(), 10_000, &totals);
            for served in [Served::Base, Served::Candidate] {
                let requests = if served == few { NEEDED - 1 } else { 10_000 };
                let errors = if served == Served::Base { 0 } else { requests };
                totals.count(served, (FAST, requests), errors);
            }
            let (cause, least) = compared.look(&totals, true, NEEDED);
            assert_eq!((cause, least), (None, Some(NEEDED - 1)));
        }
    }
}
