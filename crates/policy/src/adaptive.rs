//! Limits on concurrent requests that adapt to the latency of the upstream.
//!
//! The algorithm compares the median latency of a window with a long-term latency, as gradient2 of
//! Netflix's concurrency-limits and Envoy's adaptive concurrency filter do. The median is also
//! Envoy's default. Unlike a mean, the median ignores the slow requests of one caller while other
//! requests are the majority of a window.
//!
//! - `gradient` = [`TOLERANCE`] × long-term latency ÷ latency of the window, within 0.5 and 1.
//! - The target is `limit` × `gradient` + √`limit`. Each window moves the limit towards the target
//!   by the fraction [`SMOOTHING`] of the difference. The root is the headroom: without it, the
//!   limit could never grow.
//! - A window with less than half of the limit in use changes no limit, because its latency does
//!   not depend on the limit.
//!
//! The long-term latency falls within a minute and rises slowly, so that an overload of minutes
//! does not become the norm. All workers share the estimates. Each key has its own estimate, in a
//! table of a fixed size.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Maximum number of estimates. A power of two.
const SLOTS: usize = 1 << 12;
/// Number of slots that are probed for a key.
const PROBES: usize = 32;
/// Time after which an unused estimate may be replaced by that of another key: 10 minutes.
const UNUSED_NS: u64 = 600_000_000_000;
/// Length of a window: 250 ms.
const WINDOW_NS: u64 = 250_000_000;
/// Minimum number of latencies in a window. A window with fewer latencies continues until it has
/// enough.
const SAMPLES_MIN: u64 = 10;
/// Exponent of the lower end of the second bucket of latencies: 2^14 ns, about 16 µs.
const FIRST_EXPONENT: u32 = 14;
/// Number of buckets for each power of two of nanoseconds.
const BUCKETS_PER_OCTAVE: usize = 4;
/// Number of buckets of latencies. The last one begins at 275 s.
const BUCKETS: usize = 2 + 24 * BUCKETS_PER_OCTAVE;
/// Limit of a new estimate, before the limit is moved into its range ([`Bounds`]).
const FIRST: f64 = 20.0;
/// Ratio of a window's latency to the long-term latency up to which `gradient` is 1.
const TOLERANCE: f64 = 1.5;
/// Weight of the new limit when a window updates the limit: an exponential moving average.
const SMOOTHING: f64 = 0.2;
/// Weight of a window in the long-term latency if the window's latency is higher. The time constant
/// is 1,200 windows, about 5 minutes.
const RISE: f64 = 1.0 / 1_200.0;
/// Weight of a window in the long-term latency if the window's latency is lower. The time constant
/// is 120 windows, about 30 seconds: a burst of cheap requests must not make the usual latency look
/// like an overload.
const FALL: f64 = 1.0 / 120.0;

/// Range of an adaptive limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Minimum of the limit.
    pub min: u64,
    /// Maximum of the limit.
    pub max: u64,
}

/// Index of an estimate in [`Estimates`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EstimateId(u32);

/// Current value of an adaptive limit, for metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdaptedLimit {
    /// Name of the policy.
    pub policy: Box<str>,
    /// Id of the route.
    pub route: Box<str>,
    /// The limit.
    pub limit: u64,
}

/// Adaptive limits of a process, by key.
#[derive(Debug, Default)]
pub(crate) struct Estimates {
    /// Table of the estimates. Allocated on first use.
    slots: OnceLock<Box<[Estimate]>>,
    /// Name of the policy and id of the route of each estimate.
    names: Mutex<BTreeMap<u32, [Box<str>; 2]>>,
}

/// Adaptive limit of a key. Workers change the fields one by one: a latency that is counted while
/// another worker ends the window may fall into either window.
#[derive(Debug, Default)]
struct Estimate {
    /// Hash of the key. 0: the slot is free.
    tag: AtomicU64,
    /// The limit, as the bits of an `f64`.
    limit: AtomicU64,
    /// Long-term latency in nanoseconds, as the bits of an `f64`. 0: none yet.
    long: AtomicU64,
    /// Minimum and maximum of the limit, 32 bits each.
    bounds: AtomicU64,
    window_ends_ns: AtomicU64,
    /// Number of latencies in the window.
    count: AtomicU64,
    latencies: Latencies,
    /// Maximum number of concurrent requests in the window.
    in_flight: AtomicU64,
    used_ns: AtomicU64,
}

/// Histogram of the latencies of a window, with [`BUCKETS_PER_OCTAVE`] buckets of equal width for
/// each power of two.
#[derive(Debug)]
struct Latencies([AtomicU32; BUCKETS]);

// === impl Estimates ===

impl Estimates {
    /// Finds or creates the estimate of a key. Returns its id and its current limit. `None` if no
    /// slot is free. `names` are the name of the policy and the id of the route.
    pub(crate) fn of(
        &self,
        tag: u64,
        bounds: Bounds,
        now_ns: u64,
        names: [&str; 2],
    ) -> Option<(EstimateId, u64)> {
        let tag = tag.max(1);
        let slots = self
            .slots
            .get_or_init(|| (0..SLOTS).map(|_| Estimate::default()).collect());
        let first = usize::try_from(tag & (SLOTS as u64 - 1)).unwrap_or(0);
        let places = || (0..PROBES).map(|probe| (first + probe) & (SLOTS - 1));
        let known = |at: &usize| slots[*at].tag.load(Ordering::Relaxed) == tag;
        let at = match places().find(known) {
            Some(at) => at,
            None => {
                let at = places().find(|at| slots[*at].claim(tag, now_ns))?;
                let names = names.map(Box::from);
                self.names().insert(u32::try_from(at).ok()?, names);
                at
            }
        };
        let estimate = &slots[at];
        estimate.used_ns.store(now_ns, Ordering::Relaxed);
        estimate.keep_within(bounds);
        Some((EstimateId(u32::try_from(at).ok()?), estimate.limit()))
    }

    /// Counts the latency of a request, in nanoseconds. `in_flight` is the number of concurrent
    /// requests of the key.
    pub(crate) fn observe(&self, id: EstimateId, took_ns: u64, in_flight: u64, now_ns: u64) {
        let slot = usize::try_from(id.0).ok();
        let estimate = slot.and_then(|at| self.slots.get()?.get(at));
        if let Some(estimate) = estimate {
            estimate.observe(took_ns, in_flight, now_ns);
        }
    }

    /// Current limits of all keys, for metrics.
    pub(crate) fn all(&self) -> Vec<AdaptedLimit> {
        let Some(slots) = self.slots.get() else {
            return Vec::new();
        };
        let names = self.names();
        let all = (0u32..).zip(slots).filter_map(|(at, estimate)| {
            let [policy, route] = names.get(&at)?.clone();
            let limit = estimate.limit();
            Some(AdaptedLimit {
                policy,
                route,
                limit,
            })
        });
        all.collect()
    }

    fn names(&self) -> MutexGuard<'_, BTreeMap<u32, [Box<str>; 2]>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Estimate ===

impl Estimate {
    /// Takes this slot for the key `tag` if the slot is free or has not been used for
    /// [`UNUSED_NS`]. Returns false if the slot is in use, or another worker took it first.
    fn claim(&self, tag: u64, now_ns: u64) -> bool {
        let before = self.tag.load(Ordering::Relaxed);
        let unused_ns = now_ns.saturating_sub(self.used_ns.load(Ordering::Relaxed));
        if before != 0 && unused_ns < UNUSED_NS {
            return false;
        }
        let claimed = (self.tag).compare_exchange(before, tag, Ordering::AcqRel, Ordering::Relaxed);
        if claimed.is_ok() {
            self.used_ns.store(now_ns, Ordering::Relaxed);
            self.limit.store(FIRST.to_bits(), Ordering::Relaxed);
            self.long.store(0, Ordering::Relaxed);
            self.window_ends_ns
                .store(now_ns.saturating_add(WINDOW_NS), Ordering::Relaxed);
            // Clear the range of the former key. The next request sets the range, and moves the
            // limit into it.
            self.bounds.store(0, Ordering::Relaxed);
            self.count.store(0, Ordering::Relaxed);
            self.in_flight.store(0, Ordering::Relaxed);
            self.latencies.clear();
        }
        claimed.is_ok()
    }

    /// Sets the range, and moves the limit into it.
    fn keep_within(&self, bounds: Bounds) {
        let word = bounds.min << 32 | bounds.max & 0xFFFF_FFFF;
        if self.bounds.load(Ordering::Relaxed) != word {
            self.bounds.store(word, Ordering::Relaxed);
            self.set(f64::from_bits(self.limit.load(Ordering::Relaxed)));
        }
    }

    /// The limit, rounded down.
    fn limit(&self) -> u64 {
        f64::from_bits(self.limit.load(Ordering::Relaxed)) as u64
    }

    /// Sets the limit within its range.
    fn set(&self, limit: f64) {
        let bounds = self.bounds.load(Ordering::Relaxed);
        let (min, max) = ((bounds >> 32) as f64, (bounds & 0xFFFF_FFFF) as f64);
        let limit = limit.min(max).max(min);
        self.limit.store(limit.to_bits(), Ordering::Relaxed);
    }

    fn observe(&self, took_ns: u64, in_flight: u64, now_ns: u64) {
        self.latencies.add(took_ns);
        self.in_flight.fetch_max(in_flight, Ordering::Relaxed);
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let ends_ns = self.window_ends_ns.load(Ordering::Relaxed);
        if now_ns < ends_ns || count < SAMPLES_MIN {
            return;
        }
        let next_ns = now_ns.saturating_add(WINDOW_NS);
        let ends = &self.window_ends_ns;
        let ended = ends.compare_exchange(ends_ns, next_ns, Ordering::AcqRel, Ordering::Relaxed);
        if ended.is_err() {
            return;
        }
        self.count.store(0, Ordering::Relaxed);
        let in_flight = self.in_flight.swap(0, Ordering::Relaxed);
        if let Some(median_ns) = self.latencies.take_median() {
            self.adapt(median_ns, in_flight);
        }
    }

    /// Adapts the limit to the median latency of a window, in nanoseconds.
    fn adapt(&self, window_ns: f64, in_flight: u64) {
        let window_ns = window_ns.max(1.0);
        let before = f64::from_bits(self.long.load(Ordering::Relaxed));
        let before = if before == 0.0 { window_ns } else { before };
        let share = if window_ns > before { RISE } else { FALL };
        let long = before + (window_ns - before) * share;
        self.long.store(long.to_bits(), Ordering::Relaxed);
        let limit = f64::from_bits(self.limit.load(Ordering::Relaxed));
        if (in_flight as f64) * 2.0 < limit {
            return;
        }
        let gradient = (TOLERANCE * long / window_ns).clamp(0.5, 1.0);
        let new = limit * gradient + limit.sqrt();
        self.set(limit + (new - limit) * SMOOTHING);
    }
}

// === impl Latencies ===

impl Default for Latencies {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU32::new(0)))
    }
}

impl Latencies {
    /// Counts a latency in nanoseconds.
    fn add(&self, took_ns: u64) {
        self.0[bucket(took_ns)].fetch_add(1, Ordering::Relaxed);
    }

    /// Removes all latencies.
    fn clear(&self) {
        for count in &self.0 {
            count.store(0, Ordering::Relaxed);
        }
    }

    /// Removes all latencies, and returns their median in nanoseconds, interpolated within its
    /// bucket. `None` if there are none.
    fn take_median(&self) -> Option<f64> {
        let counts: [u32; BUCKETS] =
            std::array::from_fn(|at| self.0[at].swap(0, Ordering::Relaxed));
        let half = counts.iter().map(|count| f64::from(*count)).sum::<f64>() / 2.0;
        let mut below = 0.0;
        for (at, count) in counts
            .into_iter()
            .enumerate()
            .filter(|(_, count)| *count > 0)
        {
            let count = f64::from(count);
            if below + count >= half {
                let [start, end] = [at, at + 1].map(bucket_start_ns);
                return Some(start + (end - start) * ((half - below) / count));
            }
            below += count;
        }
        None
    }
}

/// Index of the bucket of a latency in nanoseconds.
fn bucket(took_ns: u64) -> usize {
    let Some(octave) = (took_ns.checked_ilog2()).and_then(|at| at.checked_sub(FIRST_EXPONENT))
    else {
        return 0;
    };
    // The two bits after the highest one select the quarter of the octave.
    let quarter = took_ns >> (octave + FIRST_EXPONENT - BUCKETS_PER_OCTAVE.ilog2());
    let quarter = usize::try_from(quarter).unwrap_or(0) % BUCKETS_PER_OCTAVE;
    let octave = usize::try_from(octave).unwrap_or(BUCKETS);
    (1 + octave * BUCKETS_PER_OCTAVE + quarter).min(BUCKETS - 1)
}

/// Lower end of a bucket in nanoseconds.
fn bucket_start_ns(at: usize) -> f64 {
    let Some(at) = at.checked_sub(1) else {
        return 0.0;
    };
    let octave = f64::from(FIRST_EXPONENT) + (at / BUCKETS_PER_OCTAVE) as f64;
    let quarter = (at % BUCKETS_PER_OCTAVE) as f64 / BUCKETS_PER_OCTAVE as f64;
    octave.exp2() * (1.0 + quarter)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: u64 = 7 << 40;
    const BOUNDS: Bounds = Bounds { min: 2, max: 200 };
    const MS: u64 = 1_000_000;

    /// Simulated service. Answers `capacity` concurrent requests in `base_ms` each. Further
    /// requests are queued.
    struct Service {
        base_ms: u64,
        capacity: u64,
    }

    /// Simulated load on the estimates, with its own clock.
    struct Load {
        estimates: Estimates,
        now_ns: u64,
    }

    impl Load {
        fn new() -> Self {
            Self {
                estimates: Estimates::default(),
                now_ns: 1,
            }
        }

        fn limit(&self) -> u64 {
            self.of(BOUNDS).1
        }

        fn of(&self, bounds: Bounds) -> (EstimateId, u64) {
            let found = self.estimates.of(TAG, bounds, self.now_ns, ["few", "r"]);
            found.unwrap()
        }

        /// Sends `demand` concurrent requests, as far as the limit admits them, in each of
        /// `windows` windows. Returns the limit.
        fn send(&mut self, service: &Service, demand: u64, windows: u32) -> u64 {
            for _ in 0..windows {
                let (id, limit) = self.of(BOUNDS);
                let in_flight = demand.min(limit);
                let took_ms = service.base_ms * in_flight.max(service.capacity) / service.capacity;
                for _ in 0..SAMPLES_MIN {
                    self.now_ns += WINDOW_NS / SAMPLES_MIN + 1;
                    let took_ns = took_ms * MS;
                    self.estimates.observe(id, took_ns, in_flight, self.now_ns);
                }
            }
            self.limit()
        }
    }

    #[test]
    fn limit_finds_the_capacity_of_a_service() {
        for capacity in [10, 40, 100] {
            let mut load = Load::new();
            let service = Service {
                base_ms: 20,
                capacity,
            };
            // The first latencies are those of a service that is not overloaded.
            load.send(&service, 5, 10);
            let limit = load.send(&service, 1_000, 200);
            let range = capacity..=capacity * 5 / 2;
            assert!(range.contains(&limit), "{capacity}: {limit}");
        }
    }

    #[test]
    fn limit_follows_a_service_that_slows_and_recovers() {
        let mut load = Load::new();
        let fast = Service {
            base_ms: 20,
            capacity: 80,
        };
        let before = load.send(&fast, 1_000, 400);
        let slow = Service {
            base_ms: 200,
            capacity: 80,
        };
        let slowed = load.send(&slow, 1_000, 60);
        assert!(slowed < before / 5, "{before} to {slowed}");
        assert!(slowed >= BOUNDS.min);
        let after = load.send(&fast, 1_000, 400);
        assert!(after >= 80, "{after}");
    }

    #[test]
    fn median_is_that_of_the_latencies() {
        for latencies in [
            vec![20 * MS; 11],
            vec![1, 2, 3],
            vec![MS, 2 * MS, 30 * MS],
            (1..=1_000).map(|step| step * 77_003).collect(),
            vec![u64::MAX; 3],
        ] {
            let histogram = Latencies::default();
            for took_ns in &latencies {
                histogram.add(*took_ns);
            }
            let median = histogram.take_median().unwrap();
            let mut sorted = latencies.clone();
            sorted.sort_unstable();
            // Latencies above the last bucket count as its lower end.
            let exact = sorted[sorted.len() / 2].clamp(1 << 14, 1 << 38) as f64;
            assert!(
                median <= exact * 1.25 && (median >= exact / 1.25 || exact < 2e4),
                "{median} {exact}"
            );
            assert_eq!(histogram.take_median(), None, "the window is empty again");
        }
        let starts: Vec<f64> = (0..BUCKETS).map(bucket_start_ns).collect();
        assert!(starts.is_sorted());
        for (at, start) in starts.iter().enumerate().skip(1) {
            assert_eq!(bucket(*start as u64), at, "{start}");
            assert_eq!(bucket(*start as u64 - 1), at - 1);
        }
    }

    #[test]
    fn slow_minority_does_not_lower_the_limit() {
        let mut load = Load::new();
        let service = Service {
            base_ms: 20,
            capacity: 100,
        };
        let before = load.send(&service, 1_000, 200);
        assert!(before >= 100, "{before}");
        // One caller sends four of ten requests, which take 500 times as long.
        for _ in 0..400 {
            let (id, limit) = load.of(BOUNDS);
            for number in 0..SAMPLES_MIN {
                load.now_ns += WINDOW_NS / SAMPLES_MIN + 1;
                let took_ms = if number < 4 { 10_000 } else { 20 };
                let now_ns = load.now_ns;
                load.estimates.observe(id, took_ms * MS, limit, now_ns);
            }
        }
        assert!(load.limit() >= before, "{before} to {}", load.limit());
    }

    #[test]
    fn limit_stays_within_its_bounds() {
        let mut load = Load::new();
        let endless = Service {
            base_ms: 1,
            capacity: 100_000,
        };
        assert_eq!(load.limit(), 20);
        assert_eq!(load.send(&endless, 1_000, 500), BOUNDS.max);
        assert_eq!(load.of(Bounds { min: 1, max: 5 }).1, 5, "a later version");
        let (id, _) = load.of(Bounds { min: 4, max: 8 });
        for window in 0..100u64 {
            for _ in 0..SAMPLES_MIN {
                load.now_ns += WINDOW_NS;
                let took_ns = (10 + window * 100) * MS;
                load.estimates.observe(id, took_ns, 8, load.now_ns);
            }
        }
        assert_eq!(load.of(Bounds { min: 4, max: 8 }).1, 4);
    }

    #[test]
    fn unused_limit_does_not_grow() {
        let mut load = Load::new();
        let service = Service {
            base_ms: 20,
            capacity: 100,
        };
        assert_eq!(load.send(&service, 5, 200), 20);
        assert!(load.send(&service, 15, 50) > 20);
    }

    #[test]
    fn workers_share_a_window() {
        let load = Load::new();
        let (id, before) = load.of(BOUNDS);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for step in 0..10_000 {
                        let now_ns = WINDOW_NS + step;
                        load.estimates.observe(id, 20 * MS, 20, now_ns);
                    }
                });
            }
        });
        // One window has ended, so the limit has grown by at most one step.
        let step = ((before as f64).sqrt() * SMOOTHING) as u64;
        assert!((before..=before + step + 1).contains(&load.limit()));
    }

    #[test]
    fn unused_estimate_is_replaced() {
        let estimates = Estimates::default();
        let of = |key: u64, now_ns| estimates.of(key << 40, BOUNDS, now_ns, ["few", "r"]);
        for key in 1..=PROBES as u64 {
            assert!(of(key, 1).is_some());
        }
        assert!(of(99, UNUSED_NS).is_none(), "all are in use");
        assert!(of(1, UNUSED_NS).is_some());
        assert!(of(99, UNUSED_NS + 1).is_some());
        assert_eq!(estimates.all().len(), PROBES);
        let narrow = Bounds { min: 1, max: 5 };
        for (key, now_ns) in [(200, 3 * UNUSED_NS), (201, 5 * UNUSED_NS)] {
            let (_, limit) = estimates
                .of(key << 40, narrow, now_ns, ["few", "r"])
                .unwrap();
            assert_eq!(
                limit, 5,
                "the limit of a replaced estimate is within its range"
            );
        }
    }
}
