//! Sums over all requests of this node, which the guard of a progressive release compares.

use std::collections::BTreeMap;

use super::{Registry, Series};
use crate::telemetry::histogram::BOUNDS_NS;
use crate::telemetry::refusals::CLIENT_GROUPS;
use crate::telemetry::shard::ServedCounts;

pub(crate) use crate::telemetry::shard::Served;

/// Number of histogram buckets.
const BUCKETS: usize = BOUNDS_NS.len() + 1;

/// Requests of this node since its start. Contains the durations until the response head, without
/// waits for the client, and the number of errors. An error is a failure for which the gateway or
/// an upstream is to blame. Also contains the requests that the gateway refused by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    durations: [u64; BUCKETS],
    errors: u64,
    /// Refused requests by reason, and by the group of the client's address.
    refusals: BTreeMap<&'static str, [u64; CLIENT_GROUPS]>,
}

/// Requests of this node since its start, by the version that served them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServedTotals([Totals; Served::ALL.len()]);

impl Registry {
    /// Adds up the requests of all workers and routes.
    pub(crate) fn totals(&self) -> ServedTotals {
        let mut series = self.series();
        series.take_announced();
        series.totals()
    }
}

impl Series {
    pub(super) fn totals(&self) -> ServedTotals {
        let mut totals = ServedTotals::default();
        for worker in &self.served {
            for (total, counts) in totals.0.iter_mut().zip(worker.iter()) {
                total.add(counts);
            }
        }
        for (served, reason, counts) in &self.refusals {
            totals.0[served.index()].add_refusals(reason, &counts.counted());
        }
        totals
    }
}

impl ServedTotals {
    /// Adds requests of a test: their bucket and number, and the number of errors among them.
    #[cfg(test)]
    pub(crate) fn count(&mut self, served: Served, (bucket, requests): (usize, u64), errors: u64) {
        self.0[served.index()].count(bucket, requests, errors);
    }

    /// Adds refused requests of a test: their reason, and the group of the client's address.
    #[cfg(test)]
    pub(crate) fn count_refusals(
        &mut self,
        served: Served,
        (reason, group): (&'static str, usize),
        requests: u64,
    ) {
        let mut counts = [0; CLIENT_GROUPS];
        counts[group] = requests;
        self.0[served.index()].add_refusals(reason, &counts);
    }

    /// Requests that were served by the version with the role `served`.
    pub(crate) const fn of(&self, served: Served) -> &Totals {
        &self.0[served.index()]
    }

    /// All requests except those that selected their version, which guards do not compare.
    pub(crate) fn all(&self) -> Totals {
        let mut all = self.without_candidates();
        all.merge(self.of(Served::Candidate));
        all
    }

    /// Requests as in [`Self::all`], without those that a candidate served beside its base.
    pub(crate) fn without_candidates(&self) -> Totals {
        let mut all = self.of(Served::Alone).clone();
        all.merge(self.of(Served::Base));
        all
    }
}

impl Totals {
    /// Adds the requests of `other`.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (sum, count) in self.durations.iter_mut().zip(other.durations) {
            *sum += count;
        }
        self.errors += other.errors;
        for (reason, counts) in &other.refusals {
            self.add_refusals(reason, counts);
        }
    }

    fn add_refusals(&mut self, reason: &'static str, counts: &[u64; CLIENT_GROUPS]) {
        let sums = self.refusals.entry(reason).or_insert([0; CLIENT_GROUPS]);
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum += count;
        }
    }

    /// Adds the requests of a worker.
    fn add(&mut self, counts: &ServedCounts) {
        for (sum, count) in self.durations.iter_mut().zip(counts.buckets()) {
            *sum += count;
        }
        self.errors += counts.errors();
    }

    /// Adds requests of a test: their bucket, their number, and the number of errors among them.
    #[cfg(test)]
    pub(crate) fn count(&mut self, bucket: usize, requests: u64, errors: u64) {
        self.durations[bucket] += requests;
        self.errors += errors;
    }

    /// Requests since the time of `earlier`, a former value of these counters.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let mut durations = self.durations;
        for (now, then) in durations.iter_mut().zip(earlier.durations) {
            *now = now.saturating_sub(then);
        }
        let mut refusals = self.refusals.clone();
        for (reason, counts) in &mut refusals {
            let earlier = earlier.refusals.get(reason).into_iter().flatten();
            for (now, then) in counts.iter_mut().zip(earlier) {
                *now = now.saturating_sub(*then);
            }
        }
        refusals.retain(|_, counts| counts.iter().any(|count| *count > 0));
        Self {
            durations,
            errors: self.errors.saturating_sub(earlier.errors),
            refusals,
        }
    }

    /// Number of requests.
    pub(crate) fn requests(&self) -> u64 {
        self.durations.iter().sum()
    }

    /// Number of requests that failed because of the gateway or an upstream.
    pub(crate) const fn errors(&self) -> u64 {
        self.errors
    }

    /// Number of requests that the gateway refused by itself, without those of the group of client
    /// addresses with the most of them. One client could otherwise end a release.
    pub(crate) fn refusals(&self) -> u64 {
        let of_group = |group: usize| self.refusals.values().map(|counts| counts[group]).sum();
        let groups: Vec<u64> = (0..CLIENT_GROUPS).map(of_group).collect();
        let most = groups.iter().max().copied().unwrap_or(0);
        groups.iter().sum::<u64>() - most
    }

    /// Numbers of requests that the gateway refused by itself, by reason.
    pub(crate) fn refusals_by_reason(&self) -> BTreeMap<&'static str, u64> {
        let reasons = self.refusals.iter();
        reasons
            .map(|(reason, counts)| (*reason, counts.iter().sum()))
            .collect()
    }

    /// Number of requests that took longer than the upper bound of this bucket.
    pub(crate) fn slower_than(&self, bucket: usize) -> u64 {
        self.durations.iter().skip(bucket + 1).sum()
    }

    /// Index of the first bucket whose upper bound is at least the 99th percentile with this
    /// increase, in parts per million. The percentile counts as the upper bound of its own bucket.
    pub(crate) fn bucket_above_p99(&self, increase_ppm: u32) -> usize {
        let needed = self.requests() - self.requests() / 100;
        let mut sum = 0;
        let p99 = self.durations.iter().position(|count| {
            sum += count;
            sum >= needed
        });
        let last = BOUNDS_NS.len() - 1;
        let p99_ns = BOUNDS_NS[p99.unwrap_or(last).min(last)];
        let limit_ns = u128::from(p99_ns) * u128::from(1_000_000 + increase_ppm) / 1_000_000;
        let found = BOUNDS_NS
            .iter()
            .position(|bound| u128::from(*bound) >= limit_ns);
        found.unwrap_or(last)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::telemetry::shard::{BodyBytes, EndedRequest, Label, RequestKey, Shard};

    fn totals(counts: &[(usize, u64)], errors: u64) -> Totals {
        let mut totals = Totals {
            errors,
            ..Totals::default()
        };
        for (bucket, count) in counts {
            totals.count(*bucket, *count, 0);
        }
        totals
    }

    #[test]
    fn limit_is_the_bucket_above_the_percentile() {
        // 990 requests within 5 ms and 10 slower ones: the 99th percentile is at most 5 ms.
        let all = totals(&[(0, 900), (3, 90), (8, 10)], 4);
        assert_eq!((all.requests(), all.errors()), (1_000, 4));
        assert_eq!(all.bucket_above_p99(500_000), 4, "7.5 ms is within 10 ms");
        assert_eq!(all.bucket_above_p99(1_000_000), 4, "10 ms");
        assert_eq!(all.slower_than(4), 10);
        let slow = totals(&[(BUCKETS - 1, 5)], 0);
        assert_eq!(slow.bucket_above_p99(500_000), BOUNDS_NS.len() - 1);
        assert_eq!(Totals::default().slower_than(0), 0);
    }

    #[test]
    fn totals_add_up_answer_times_by_version() {
        let (announced, receiver) = std::sync::mpsc::channel();
        let shard = Shard::new(announced, &Arc::default());
        let table = [
            (1, true, Served::Alone),
            (2, false, Served::Base),
            (2, true, Served::Candidate),
        ];
        for (route, is_error, served) in table {
            let key = RequestKey {
                route,
                method: 0,
                status: 500,
                version: 11,
                tls: false,
                error: Label("no_credential"),
                served,
            };
            let ended = EndedRequest {
                // A slow client prolongs the request, but not the time until the answer.
                duration_ns: u64::MAX,
                answer_ns: 1,
                overhead_ns: 1,
                bytes: BodyBytes::default(),
                is_error,
                refused: (!is_error).then_some([10, 0, 0, 1].into()),
                sampled: None,
            };
            shard.request(key, &ended);
        }
        let mut series = Series::new(receiver);
        series.take_announced();
        let before = series.totals();
        let counted = |totals: &Totals| (totals.requests(), totals.errors());
        assert_eq!(counted(&before.all()), (3, 2));
        assert_eq!(counted(&before.without_candidates()), (2, 1));
        assert_eq!(before.of(Served::Candidate), &totals(&[(0, 1)], 1));
        let refused = before.of(Served::Base).refusals_by_reason();
        assert_eq!(refused, [("no_credential", 1)].into());
        assert_eq!(before.of(Served::Alone).refusals_by_reason(), [].into());
        series.requests.clear();
        assert_eq!(series.totals(), before, "series of unused routes");
    }

    #[test]
    fn refusals_of_the_busiest_client_do_not_count() {
        let mut before = ServedTotals::default();
        before.count_refusals(Served::Alone, ("no_credential", 3), 40);
        before.count_refusals(Served::Alone, ("over_limit", 3), 10);
        before.count_refusals(Served::Alone, ("over_limit", 9), 7);
        assert_eq!(before.all().refusals(), 7);
        let reasons = [("no_credential", 40), ("over_limit", 17)];
        assert_eq!(before.all().refusals_by_reason(), reasons.into());
        let mut after = before.clone();
        after.count_refusals(Served::Alone, ("over_limit", 9), 100);
        after.count_refusals(Served::Alone, ("over_limit", 2), 30);
        let since = after.all().since(&before.all());
        assert_eq!(since.refusals(), 30, "the busiest client of this time");
        assert_eq!(since.refusals_by_reason(), [("over_limit", 130)].into());
    }

    #[test]
    fn difference_never_falls_below_zero() {
        let (before, after) = (totals(&[(0, 10), (1, 5)], 3), totals(&[(0, 4), (1, 9)], 1));
        assert_eq!(after.since(&before), totals(&[(1, 4)], 0));
    }
}
