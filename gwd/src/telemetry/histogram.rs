//! Histograms of durations.

use std::sync::atomic::AtomicU64;

use super::cells::{add, value};

/// Upper bounds of the histogram buckets in nanoseconds: OpenTelemetry's recommendation, and
/// smaller bounds for a gateway.
pub(crate) const BOUNDS_NS: [u64; 17] = [
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    75_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    750_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    7_500_000_000,
    10_000_000_000,
];

/// Histogram of durations, written by one thread.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BOUNDS_NS.len() + 1],
    sum_ns: AtomicU64,
}

/// Copy of a histogram's counts.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) buckets: [u64; BOUNDS_NS.len() + 1],
    pub(crate) sum_ns: u64,
}

impl Histogram {
    pub(crate) fn observe(&self, ns: u64) {
        add(&self.buckets[bucket(ns)], 1);
        add(&self.sum_ns, ns);
    }

    /// Current counts of the histogram.
    pub(crate) fn counted(&self) -> Counted {
        Counted {
            buckets: self.buckets.each_ref().map(value),
            sum_ns: value(&self.sum_ns),
        }
    }
}

/// Index of the bucket that counts a duration.
pub(super) fn bucket(ns: u64) -> usize {
    let found = BOUNDS_NS.iter().position(|bound| ns <= *bound);
    found.unwrap_or(BOUNDS_NS.len())
}
