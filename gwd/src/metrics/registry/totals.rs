//! Sums over all requests of this node, which the guard of a progressive release compares.

use super::Registry;
use crate::telemetry::shard::BOUNDS_NS;

/// Number of histogram buckets.
const BUCKETS: usize = BOUNDS_NS.len() + 1;

/// Requests of this node since its start: their durations, and the number of responses with status
/// 5xx.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    durations: [u64; BUCKETS],
    errors: u64,
}

impl Registry {
    /// Adds up the requests of all workers and routes.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        let mut series = self.series();
        series.take_announced();
        for (key, requests) in &series.requests {
            let counted = requests.durations();
            for (sum, count) in totals.durations.iter_mut().zip(counted.buckets) {
                *sum += count;
            }
            // The status is a class if metrics show only classes.
            if key.status == 5 || key.status / 100 == 5 {
                totals.errors += counted.buckets.iter().sum::<u64>();
            }
        }
        totals
    }
}

impl Totals {
    /// Requests since an earlier time. The registry drops unused series, so that a sum can fall:
    /// it then counts as unchanged.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let mut durations = self.durations;
        for (now, then) in durations.iter_mut().zip(earlier.durations) {
            *now = now.saturating_sub(then);
        }
        Self {
            durations,
            errors: self.errors.saturating_sub(earlier.errors),
        }
    }

    /// Number of requests.
    pub(crate) fn requests(&self) -> u64 {
        self.durations.iter().sum()
    }

    /// Number of requests whose response has the status 5xx.
    pub(crate) const fn errors(&self) -> u64 {
        self.errors
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
    use super::*;

    fn totals(counts: &[(usize, u64)], errors: u64) -> Totals {
        let mut totals = Totals {
            errors,
            ..Totals::default()
        };
        for (bucket, count) in counts {
            totals.durations[*bucket] = *count;
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
    fn difference_never_falls_below_zero() {
        let (before, after) = (totals(&[(0, 10), (1, 5)], 3), totals(&[(0, 4), (1, 9)], 1));
        assert_eq!(after.since(&before), totals(&[(1, 4)], 0));
    }
}
