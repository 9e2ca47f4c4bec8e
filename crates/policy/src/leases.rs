//! Counts of concurrent requests by key, in a fixed-size table that all workers share.
//!
//! Each slot is one 64-bit integer: hash of the key and count. A key has a slot only while it has
//! requests in flight, so that the table needs no eviction or clean-up. Dropping the [`Lease`]
//! releases a permit.
//!
//! While requests wait for a permit of a key ([`PermitQueue`]), the slot of the key has the flag
//! [`AWAITED`]. A released permit then goes to the queue, and no other request takes it.

use std::cell::Cell;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::adaptive::{AdaptedLimit, Bounds, EstimateId, Estimates};

/// Maximum number of keys with concurrent requests. A power of two.
const SLOTS: usize = 1 << 16;
/// Number of slots that are probed for a key.
const PROBES: usize = 32;
/// Number of bits of the count and the flag in a slot. The upper bits are the hash of the key.
const COUNT_BITS: u32 = 26;
/// Flag in the slot of a key: requests wait for a permit.
const AWAITED: u64 = 1 << (COUNT_BITS - 1);
const COUNT_MASK: u64 = AWAITED - 1;
const KEY_MASK: u64 = !(COUNT_MASK | AWAITED);

/// Flag in the count of slow clients: another request was refused, because a slow client holds the
/// only permit of the key.
const WANTED: u32 = 1 << 31;

/// Queue of the requests that wait for permits. An implementation has a lock, and holds the lock
/// while it calls [`Leases::take_or_await`], [`Leases::release`], [`Leases::has_permit`],
/// [`Leases::take_awaited`] and [`Leases::end_wait`].
pub trait PermitQueue: fmt::Debug + Send + Sync {
    /// Releases a permit of a key for which requests wait, and gives free permits of the key to
    /// waiting requests.
    fn pass_on(&self, leases: &Arc<Leases>, slot: KeySlot);
}

/// Slot of a key with requests in flight. While requests wait for a permit of the key, no other key
/// gets the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeySlot(usize);

/// Request that waits for a concurrency permit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermitWait {
    /// Hash of the key of the limit.
    pub tag: u64,
    /// Maximum number of concurrent requests of the key.
    pub limit: u64,
    /// Maximum time in the queue, in milliseconds.
    pub wait_ms: u64,
    /// Estimate of the limit, if the limit is adaptive.
    pub estimate: Option<EstimateId>,
    /// Address by which the waiting requests of a key take turns: the client's, or a substitute
    /// address that identifies the authenticated caller.
    pub turn: IpAddr,
}

/// Result of [`Leases::take_or_await`].
#[derive(Debug)]
pub enum AcquireResult {
    /// The permit, and the number of permits of the key that are now in use.
    Permit(Lease, u64),
    /// All permits are in use. The next released permit goes to the queue of waiting requests.
    Awaited(KeySlot),
    /// No slot is free, because too many keys have requests in flight.
    NoSlot,
}

/// Counts of concurrent requests of a process.
#[derive(Debug, Default)]
pub struct Leases {
    /// Slots of the table. Allocated on first use, so that a gateway without concurrency limits
    /// needs no memory.
    slots: OnceLock<Box<[AtomicU64]>>,
    /// Number of permits that slow clients hold, for the key of each slot, and the flag [`WANTED`].
    /// Allocated on first use.
    slow: OnceLock<Box<[AtomicU32]>>,
    /// Limits that adapt to latencies.
    estimates: Estimates,
    /// Queue of waiting requests. Set when the first request waits.
    queue: OnceLock<Arc<dyn PermitQueue>>,
}

/// Concurrency permit of a request, released on drop.
#[derive(Debug)]
pub struct Lease {
    leases: Arc<Leases>,
    at: usize,
    limit: u64,
    /// True if the permit counts towards the maximum of slow clients.
    is_slow: Cell<bool>,
    /// Estimate of an adaptive limit, which the latency of this request updates. `None` if the
    /// limit is fixed.
    estimate: Option<EstimateId>,
}

impl Leases {
    /// Acquires a permit for the key with hash `tag`. Returns the permit and the new count. `None`
    /// if the key has reached `limit`, or if other requests wait for its permits. Also `None` if no
    /// slot is free: too many keys have requests in flight.
    pub fn take(self: &Arc<Self>, tag: u64, limit: u64) -> Option<(Lease, u64)> {
        match self.acquire(tag, limit, false) {
            AcquireResult::Permit(lease, count) => Some((lease, count)),
            AcquireResult::Awaited(_) | AcquireResult::NoSlot => None,
        }
    }

    /// Estimate of the adaptive limit of a key, and the current limit. `names` are the names of the
    /// policy and of the route. `None` if too many keys have adaptive limits.
    pub fn adaptive(
        &self,
        tag: u64,
        bounds: Bounds,
        now_ns: u64,
        names: [&str; 2],
    ) -> Option<(EstimateId, u64)> {
        self.estimates.of(tag, bounds, now_ns, names)
    }

    /// Current values of all adaptive limits.
    pub fn adapted(&self) -> Vec<AdaptedLimit> {
        self.estimates.all()
    }

    /// Acquires a permit as [`Self::take`]. If none is free, marks the key: its released permits
    /// then go to `queue`.
    pub fn take_or_await(
        self: &Arc<Self>,
        tag: u64,
        limit: u64,
        queue: impl FnOnce() -> Arc<dyn PermitQueue>,
    ) -> AcquireResult {
        self.queue.get_or_init(queue);
        self.acquire(tag, limit, true)
    }

    /// Releases a permit of a key for which requests wait in the queue.
    pub fn release(&self, slot: KeySlot) {
        let less = |word: u64| (word & COUNT_MASK != 0).then(|| word - 1);
        let _always = self.slots()[slot.0].fetch_update(Ordering::AcqRel, Ordering::Relaxed, less);
    }

    /// True if a key for which requests wait in the queue has a free permit.
    pub fn has_permit(&self, slot: KeySlot, limit: u64) -> bool {
        let word = self.slots()[slot.0].load(Ordering::Relaxed);
        word & COUNT_MASK < limit.min(COUNT_MASK)
    }

    /// Acquires a permit of a key for the first request that waits in the queue. Also returns the
    /// new count. `None` if the key has reached `limit`.
    pub fn take_awaited(self: &Arc<Self>, slot: KeySlot, limit: u64) -> Option<(Lease, u64)> {
        let more = |word: u64| (word & COUNT_MASK < limit.min(COUNT_MASK)).then_some(word + 1);
        let taken = self.slots()[slot.0].fetch_update(Ordering::AcqRel, Ordering::Relaxed, more);
        let before = taken.ok()?;
        Some((self.lease(slot.0, limit), (before & COUNT_MASK) + 1))
    }

    /// Clears the flag `AWAITED` of a key. Call it when no request waits for the key's permits.
    pub fn end_wait(&self, slot: KeySlot) {
        let unmarked = |word: u64| {
            let word = word & !AWAITED;
            Some(if word & COUNT_MASK == 0 { 0 } else { word })
        };
        let slots = self.slots();
        let _always = slots[slot.0].fetch_update(Ordering::AcqRel, Ordering::Relaxed, unmarked);
    }

    fn lease(self: &Arc<Self>, at: usize, limit: u64) -> Lease {
        Lease {
            leases: Arc::clone(self),
            at,
            limit,
            is_slow: Cell::new(false),
            estimate: None,
        }
    }

    /// Acquires a permit. If none is free and `awaits` is true, sets the flag [`AWAITED`] of the
    /// key; the caller must then hold the lock of the queue.
    fn acquire(self: &Arc<Self>, tag: u64, limit: u64, awaits: bool) -> AcquireResult {
        let slots = self.slots();
        // The lower bits select the slot, the upper bits identify the key.
        let first = usize::try_from(tag & (SLOTS as u64 - 1)).unwrap_or(0);
        let key = (tag >> COUNT_BITS).max(1) << COUNT_BITS;
        let places = || (0..PROBES).map(|probe| (first + probe) & (SLOTS - 1));
        // True if another slot than `at` contains the key.
        let has_other = |at: usize| {
            let others = places().filter(|other| *other != at);
            let mut words = others.map(|other| slots[other].load(Ordering::Relaxed));
            words.any(|word| word & KEY_MASK == key)
        };
        'again: loop {
            let mut free = None;
            for at in places() {
                let word = slots[at].load(Ordering::Relaxed);
                if word == 0 {
                    free = free.or(Some(at));
                    continue;
                }
                if word & KEY_MASK != key {
                    continue;
                }
                let count = word & COUNT_MASK;
                if word & AWAITED != 0 || count >= limit.min(COUNT_MASK) {
                    if awaits && has_other(at) {
                        return AcquireResult::NoSlot;
                    }
                    if awaits && !exchange(&slots[at], word, word | AWAITED) {
                        continue 'again;
                    }
                    self.mark_wanted(at, limit);
                    return AcquireResult::Awaited(KeySlot(at));
                }
                if !exchange(&slots[at], word, word + 1) {
                    continue 'again;
                }
                return AcquireResult::Permit(self.lease(at, limit), count + 1);
            }
            let Some(at) = free.filter(|_| limit != 0) else {
                return AcquireResult::NoSlot;
            };
            if !exchange(&slots[at], 0, key | 1) {
                continue;
            }
            let taken = self.lease(at, limit);
            // Another thread has meanwhile given the same key a second slot. Release this slot and
            // retry, because a key must have only one slot.
            if has_other(at) {
                drop(taken);
                continue;
            }
            return AcquireResult::Permit(taken, 1);
        }
    }

    /// Records that a limit of 1 refused a request, so that a slow client releases the permit.
    fn mark_wanted(&self, at: usize, limit: u64) {
        let Some(slow) = self.slow.get().filter(|_| limit == 1) else {
            return;
        };
        let wanted = |count: u32| (count != 0).then_some(count | WANTED);
        let _is_in_use = slow[at].fetch_update(Ordering::Relaxed, Ordering::Relaxed, wanted);
    }

    fn slots(&self) -> &[AtomicU64] {
        self.slots
            .get_or_init(|| (0..SLOTS).map(|_| AtomicU64::new(0)).collect())
    }

    fn slow(&self) -> &[AtomicU32] {
        self.slow
            .get_or_init(|| (0..SLOTS).map(|_| AtomicU32::new(0)).collect())
    }
}

impl Lease {
    /// Assigns the estimate of an adaptive limit to the permit. The latency of the request changes
    /// the estimate.
    #[must_use]
    pub fn with_estimate(mut self, estimate: Option<EstimateId>) -> Self {
        self.estimate = estimate;
        self
    }

    /// Passes the response time of the upstream, in nanoseconds, to the estimate of the limit.
    pub(crate) fn observe(&self, took_ns: u64, now_ns: u64) {
        let Some(estimate) = self.estimate else {
            return;
        };
        let in_flight = self.leases.slots()[self.at].load(Ordering::Relaxed) & COUNT_MASK;
        let estimates = &self.leases.estimates;
        estimates.observe(estimate, took_ns, in_flight, now_ns);
    }

    /// Counts the permit as one of a slow client, until the request ends or [`Self::becomes_fast`]
    /// is called. Slow clients may hold half of the limit of a key, rounded down. With a limit of
    /// 1, a slow client holds the permit until another request is refused. Returns false if slow
    /// clients already hold their maximum.
    pub fn becomes_slow(&self) -> bool {
        if self.is_slow.get() {
            return true;
        }
        let most = u32::try_from((self.limit / 2).max(1)).unwrap_or(u32::MAX);
        let slow = &self.leases.slow()[self.at];
        let more = |count: u32| (count & !WANTED < most).then_some(count + 1);
        let fits = slow.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        self.is_slow.set(fits.is_ok());
        fits.is_ok()
    }

    /// Stops counting the permit as one of a slow client.
    pub fn becomes_fast(&self) {
        if self.is_slow.replace(false) {
            let slow = &self.leases.slow()[self.at];
            let less = |count: u32| match count & !WANTED {
                0 | 1 => Some(0),
                _ => Some(count - 1),
            };
            let _always = slow.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
    }

    /// True if the limit is 1, so that a slow client must give up the permit as soon as another
    /// request needs it.
    pub(crate) fn is_only(&self) -> bool {
        self.limit == 1
    }

    /// True if the client is slow and holds the only permit, and another request was refused
    /// because of this or waits for the permit.
    pub(crate) fn is_wanted(&self) -> bool {
        let slow = self.leases.slow.get().filter(|_| self.is_slow.get());
        slow.is_some_and(|slow| {
            slow[self.at].load(Ordering::Relaxed) & WANTED != 0
                || self.leases.slots()[self.at].load(Ordering::Relaxed) & AWAITED != 0
        })
    }
}

fn exchange(slot: &AtomicU64, before: u64, after: u64) -> bool {
    let exchanged = slot.compare_exchange(before, after, Ordering::AcqRel, Ordering::Relaxed);
    exchanged.is_ok()
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Stop counting the permit as one of a slow client before the slot is freed for another
        // key.
        self.becomes_fast();
        let slot = &self.leases.slots()[self.at];
        let less = |word: u64| match (word & AWAITED != 0, word & COUNT_MASK) {
            (true, _) => None,
            // The last permit frees the slot.
            (false, 0 | 1) => Some(0),
            (false, _) => Some(word - 1),
        };
        let released = slot.fetch_update(Ordering::AcqRel, Ordering::Relaxed, less);
        if let (Err(_), Some(queue)) = (released, self.leases.queue.get()) {
            queue.pass_on(&self.leases, KeySlot(self.at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_clients_hold_half_of_a_keys_permits() {
        let leases = Arc::<Leases>::default();
        let taken: Vec<Lease> = (0..5).map(|_| leases.take(7 << 40, 5).unwrap().0).collect();
        let slow = taken.iter().filter(|lease| lease.becomes_slow());
        assert_eq!(slow.count(), 2);
        assert!(taken[0].becomes_slow(), "it counts once");
        drop(taken);
        let (only, _) = leases.take(8 << 40, 1).unwrap();
        assert!(only.becomes_slow());
        only.becomes_fast();
        assert!(leases.take(8 << 40, 1).is_none());
        assert!(
            !only.is_wanted(),
            "no request was refused while the permit was slow"
        );
        assert!(only.becomes_slow() && !only.is_wanted());
        assert!(leases.take(8 << 40, 1).is_none());
        assert!(only.is_wanted());
        only.becomes_fast();
        assert!(only.becomes_slow() && !only.is_wanted());
        let (again, _) = leases.take(7 << 40, 5).unwrap();
        assert!(again.becomes_slow());
    }

    fn used(leases: &Leases) -> usize {
        let words = leases.slots().iter();
        words
            .filter(|word| word.load(Ordering::Relaxed) != 0)
            .count()
    }

    #[test]
    fn key_gets_its_leases_back_when_they_are_dropped() {
        let leases = Arc::<Leases>::default();
        let (one, count) = leases.take(7 << 40, 2).unwrap();
        assert_eq!(count, 1);
        let (two, count) = leases.take(7 << 40, 2).unwrap();
        assert_eq!(count, 2);
        assert!(leases.take(7 << 40, 2).is_none());
        assert!(leases.take(8 << 40, 2).is_some(), "another key");
        drop(one);
        let (_three, count) = leases.take(7 << 40, 2).unwrap();
        assert_eq!(count, 2);
        assert_eq!(used(&leases), 1);
        drop(two);
        drop(_three);
        assert_eq!(used(&leases), 0);
        assert!(leases.take(7 << 40, 0).is_none());
        assert_eq!(used(&leases), 0);
    }

    #[test]
    fn keys_with_equal_places_have_separate_slots() {
        let leases = Arc::<Leases>::default();
        let taken: Vec<_> = (1..=40).map(|key| leases.take(key << 40, 5)).collect();
        assert_eq!(taken.iter().flatten().count(), PROBES);
        drop(taken);
        assert_eq!(used(&leases), 0);
    }

    #[test]
    fn threads_together_do_not_exceed_the_limit() {
        let leases = Arc::<Leases>::default();
        let threads: Vec<_> = (0..4u64)
            .map(|thread| {
                let leases = Arc::clone(&leases);
                std::thread::spawn(move || {
                    let mut most = 0;
                    for round in 0..20_000u64 {
                        let key = (round + thread) % 3 + 1;
                        if let Some((lease, count)) = leases.take(key << 40, 2) {
                            most = most.max(count);
                            std::hint::black_box(&lease);
                        }
                    }
                    most
                })
            })
            .collect();
        for thread in threads {
            assert!((1..=2).contains(&thread.join().unwrap()));
        }
        assert_eq!(used(&leases), 0);
    }
}
