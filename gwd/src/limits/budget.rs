//! Limits of the process on connections, requests and memory (data-plane.md §10). A [`Share`] is an
//! amount taken from a budget; dropping it returns the amount.
//!
//! Memory use is determined in three ways:
//!
//! - Estimate: an active connection counts with the typical size of its buffers. An idle HTTP/1
//!   connection counts nothing. It becomes active only if there is memory for it; until then, its
//!   client's data waits in the kernel.
//! - Count: buffered data that the estimate does not include, because a receiver is slower than its
//!   sender ([`crate::limits::buffered`]).
//! - Measurement: the process, or its control group if it has one, is measured ten times a second.
//!
//! Used memory is the measurement, or the sum of the base, estimates and counts if that is larger.
//! The base is the measurement of the process without connections.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::limits::addresses::{Addresses, Most};
use crate::limits::crowding::Crowding;
use crate::limits::fair::FairPermits;

/// Estimated bytes of an active HTTP/1 connection: its buffers, the exchange, and the upstream
/// connection.
pub(crate) const HTTP1_BYTES: u64 = 48 << 10;
/// Estimated bytes of an HTTP/2 connection, idle or not, with its header tables and streams.
pub(crate) const HTTP2_BYTES: u64 = 96 << 10;
/// Estimated bytes of a TLS handshake.
pub(crate) const HANDSHAKE_BYTES: u64 = 64 << 10;
/// Percentage of the memory limit above which idle connections release memory while other
/// connections wait for memory.
const SCARCE: u64 = 70;
/// Percentage of the memory limit above which gwd reads no new requests from connections.
const HIGH: u64 = 80;
/// Percentage of the memory limit above which requests and connections are rejected.
const FULL: u64 = 95;
/// Percentage of the memory limit that data buffered for slow peers may use. The rest remains for
/// other requests.
const WAITING: u64 = 30;
/// Percentage of the memory limit that connections may always use, whatever the measurement says.
/// Without this minimum, a process that has grown for another reason would never serve again.
const FLOOR: u64 = 10;
/// Maximum permits for requests that a worker takes from the budget in one batch.
const BATCH_MAX: u64 = 64;
/// Minimum number of batches per worker in a budget. Small batches leave few permits unused in
/// other workers.
const BATCHES_MIN: u64 = 16;
/// Maximum number of slow uploads and slowly read responses of one client address, over all
/// upstreams. The same maximum applies separately to unfinished uploads of the address. An upload
/// counts only if it begins while unfinished uploads hold half of its upstream's request permits.
pub(crate) const SLOW_PER_ADDRESS: u32 = 64;
/// Maximum number of unfinished uploads of one client address over all upstreams. Uploads beyond
/// [`SLOW_PER_ADDRESS`] are admitted only after the beginning of their body has arrived.
pub(crate) const UPLOADS_PER_ADDRESS: u32 = SLOW_PER_ADDRESS + SLOW_PER_ADDRESS / 2;
/// Limits of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Maximum client connections over all listeners.
    pub connections: u64,
    /// Maximum connections of one client address; for IPv6, of one /64 network.
    pub connections_per_address: u32,
    /// Maximum requests in progress. WebSockets count only as connections.
    pub requests: u64,
    /// Maximum concurrent TLS handshakes; others wait.
    pub handshakes: u64,
    /// Memory limit in bytes.
    pub memory_bytes: u64,
}

/// Limits of the process with their current use.
#[derive(Debug)]
pub(crate) struct Budgets {
    pub(crate) connections: Arc<Budget>,
    pub(crate) requests: Arc<Budget>,
    pub(crate) crowding: Arc<Crowding>,
    pub(crate) handshakes: Arc<FairPermits>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) addresses: Arc<Addresses>,
    /// Slow uploads and slowly read responses per client address.
    pub(crate) slow_addresses: Arc<Addresses>,
    /// Unfinished uploads per client address. Only uploads count that begin while unfinished
    /// uploads hold half of their upstream's request permits.
    pub(crate) upload_addresses: Arc<Addresses>,
}

/// Counter with a maximum. Occupies a cache line alone, because every worker writes to it.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Budget {
    max: u64,
    used: AtomicU64,
}

/// Amount taken from a budget. Dropping this value returns the amount.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    amount: u64,
}

/// Part of a budget that one worker holds. The worker takes and returns permits in batches, so that
/// workers do not contend for one cache line with every request.
#[derive(Debug)]
pub(crate) struct LocalQuota {
    budget: Arc<Budget>,
    /// Number of unused permits that this worker holds.
    spare: Cell<u64>,
    /// Number of permits that the worker takes from the budget in one batch.
    batch: u64,
}

/// Memory accounting of the process.
#[derive(Debug)]
pub(crate) struct Memory {
    max: u64,
    /// Sum of the estimated memory of all active connections, in bytes.
    estimated: Arc<Budget>,
    /// Buffered bytes of the process that `estimated` does not include: data of senders that are
    /// faster than their receivers.
    buffered: Arc<Budget>,
    /// Measured bytes of the process at a time without active connections and buffered data.
    base: AtomicU64,
    measured: AtomicU64,
    /// Number of connections that wait until enough memory is free.
    waiting: AtomicU64,
}

/// Connection that waits for memory, counted until it is dropped.
pub(crate) struct MemoryWaiter<'m>(&'m Memory);

// === impl Bounds ===

impl Bounds {
    /// Bounds without any limit.
    pub const NONE: Self = Self {
        connections: u64::MAX,
        connections_per_address: u32::MAX,
        requests: u64::MAX,
        handshakes: u64::MAX,
        memory_bytes: u64::MAX,
    };

    /// Maximum connections of one client address, and of one of its wide networks: half of all, so
    /// that a client with a whole network leaves connections for others.
    fn connections_of_client(&self) -> Most {
        let address = self.connections_per_address;
        let half = u32::try_from(self.connections / 2).unwrap_or(u32::MAX);
        Most {
            address,
            network: half.max(address),
        }
    }
}

// === impl Budgets ===

impl Budgets {
    pub(crate) fn new(bounds: &Bounds) -> Self {
        let requests = Budget::of(bounds.requests);
        Self {
            connections: Budget::of(bounds.connections),
            crowding: Crowding::of(&requests),
            requests,
            handshakes: FairPermits::new(usize::try_from(bounds.handshakes).unwrap_or(usize::MAX)),
            memory: Memory::of(bounds.memory_bytes),
            addresses: Addresses::of(bounds.connections_of_client()),
            slow_addresses: Addresses::of(Most::of_address(SLOW_PER_ADDRESS)),
            upload_addresses: Addresses::of(Most::of_address(UPLOADS_PER_ADDRESS)),
        }
    }
}

// === impl Budget ===

impl Budget {
    pub(crate) fn of(max: u64) -> Arc<Self> {
        Arc::new(Self {
            max,
            used: AtomicU64::new(0),
        })
    }

    /// Takes one permit, or returns `None` at the limit.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Share> {
        self.take_below(1, self.max)
    }

    /// Takes `amount` permits, or returns `None` if the total would exceed `max`.
    fn take_below(self: &Arc<Self>, amount: u64, max: u64) -> Option<Share> {
        let before = self.used.fetch_add(amount, Ordering::Relaxed);
        // Create the share before the check: dropping it undoes the addition.
        let share = Share {
            budget: Arc::clone(self),
            amount,
        };
        (before.saturating_add(amount) <= max).then_some(share)
    }

    /// Takes `amount` permits without returning a [`Share`]. If the limit would be exceeded, takes
    /// no permit and returns false.
    fn add(&self, amount: u64) -> bool {
        let before = self.used.fetch_add(amount, Ordering::Relaxed);
        let fits = before.saturating_add(amount) <= self.max;
        if !fits {
            self.used.fetch_sub(amount, Ordering::Relaxed);
        }
        fits
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn max(&self) -> u64 {
        self.max
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.amount, Ordering::Relaxed);
    }
}

// === impl LocalQuota ===

impl LocalQuota {
    /// Creates the local quota of one of `workers` workers, which share the budget.
    pub(crate) fn new(budget: &Arc<Budget>, workers: usize) -> Self {
        let part = budget.max / (workers as u64).saturating_mul(BATCHES_MIN);
        Self {
            budget: Arc::clone(budget),
            spare: Cell::new(0),
            batch: part.clamp(1, BATCH_MAX),
        }
    }

    /// Takes one permit. Returns false at the limit. Each `true` must be followed by a call of
    /// [`Self::end`].
    pub(crate) fn begin(&self) -> bool {
        let mut spare = self.spare.get();
        if spare == 0 {
            spare = match self.budget.add(self.batch) {
                true => self.batch,
                false => u64::from(self.budget.add(1)),
            };
            if spare == 0 {
                return false;
            }
        }
        self.spare.set(spare - 1);
        true
    }

    /// Returns the permit of a request that has ended.
    pub(crate) fn end(&self) {
        let mut spare = self.spare.get() + 1;
        if spare > self.batch {
            self.budget.used.fetch_sub(self.batch, Ordering::Relaxed);
            spare -= self.batch;
        }
        self.spare.set(spare);
    }
}

impl Drop for LocalQuota {
    fn drop(&mut self) {
        self.budget
            .used
            .fetch_sub(self.spare.get(), Ordering::Relaxed);
    }
}

// === impl Memory ===

impl Memory {
    pub(crate) fn of(max: u64) -> Arc<Self> {
        Arc::new(Self {
            max,
            estimated: Budget::of(u64::MAX),
            buffered: Budget::of(u64::MAX),
            base: AtomicU64::new(0),
            measured: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
        })
    }

    /// Memory limit in bytes, or `None` if memory is not limited.
    pub(crate) fn max(&self) -> Option<u64> {
        (self.max != u64::MAX).then_some(self.max)
    }

    /// Takes memory for an active connection. `None` while more than [`HIGH`] percent of the memory
    /// limit are used: the connection must wait.
    pub(crate) fn take(&self, bytes: u64) -> Option<Share> {
        let share = self.estimated.take_below(bytes, u64::MAX)?;
        (!self.is_above(HIGH)).then_some(share)
    }

    /// Registers a waiter for memory, until the returned value is dropped.
    pub(crate) fn waits(&self) -> MemoryWaiter<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        MemoryWaiter(self)
    }

    /// True if idle connections should release their memory: above [`HIGH`] percent, or above
    /// [`SCARCE`] percent while connections wait for memory. The lower threshold makes room for the
    /// waiting connections, because no memory is granted above [`HIGH`].
    pub(crate) fn is_scarce(&self) -> bool {
        self.is_high() || self.waiting.load(Ordering::Relaxed) > 0 && self.is_above(SCARCE)
    }

    /// True above [`HIGH`] percent: gwd must read no data of requests that have not begun.
    pub(crate) fn is_high(&self) -> bool {
        self.is_above(HIGH)
    }

    /// True if no more data may be buffered: buffers use more than [`WAITING`] percent of the
    /// memory limit, or memory use is above [`HIGH`] percent.
    pub(crate) fn is_buffering_paused(&self) -> bool {
        self.max != u64::MAX && self.buffered.used() > self.max / 100 * WAITING || self.is_high()
    }

    /// True above [`FULL`] percent: new requests and connections must be rejected.
    pub(crate) fn is_full(&self) -> bool {
        self.is_above(FULL)
    }

    /// Sets the measured memory use of the process.
    pub(crate) fn measured(&self, bytes: u64) {
        if self.used_bytes() == 0 {
            self.base.store(bytes, Ordering::Relaxed);
        }
        self.measured.store(bytes, Ordering::Relaxed);
    }

    /// Adds buffered bytes to the count of the process.
    pub(crate) fn keeps(&self, bytes: u64) {
        self.buffered.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Subtracts buffered bytes from the count of the process.
    pub(crate) fn keeps_less(&self, bytes: u64) {
        self.buffered.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Buffered bytes of the process that the estimates of connections do not include.
    pub(crate) fn buffered(&self) -> u64 {
        self.buffered.used()
    }

    /// Used bytes: the base, the estimate and the count together, or the measurement if that is
    /// larger.
    pub(crate) fn used(&self) -> u64 {
        let estimated = self.base.load(Ordering::Relaxed) + self.used_bytes();
        estimated.max(self.measured.load(Ordering::Relaxed))
    }

    /// Estimated and buffered bytes of the process, without the base.
    fn used_bytes(&self) -> u64 {
        self.estimated.used() + self.buffered.used()
    }

    fn is_above(&self, percent: u64) -> bool {
        if self.max == u64::MAX {
            return false;
        }
        self.used() > self.max / 100 * percent && self.used_bytes() > self.max / 100 * FLOOR
    }
}

impl Drop for MemoryWaiter<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_grants_up_to_its_limit_and_reuses_shares() {
        let budget = Budget::of(2);
        let (one, two) = (budget.take(), budget.take());
        assert!(one.is_some() && two.is_some());
        assert!(budget.take().is_none());
        assert_eq!(budget.used(), 2, "a refused share is not counted");
        drop(one);
        assert!(budget.take().is_some());
    }

    #[test]
    fn quotas_share_one_budget_and_leave_little_unused() {
        let budget = Budget::of(1_000);
        let quotas = [LocalQuota::new(&budget, 2), LocalQuota::new(&budget, 2)];
        let begun = (0..2_000).filter(|_| quotas[0].begin()).count();
        assert_eq!(begun, 1_000, "one worker may use all permits");
        assert!(!quotas[1].begin());
        (0..1_000).for_each(|_| quotas[0].end());
        assert!(budget.used() <= quotas[0].batch, "{budget:?}");
        assert!(quotas[1].begin());
        quotas[1].end();
        drop(quotas);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn memory_thresholds_are_70_80_and_95_percent() {
        let memory = Memory::of(1_000_000);
        memory.measured(100_000);
        let first = memory.take(600_000).unwrap();
        assert!(!memory.is_scarce());
        let second = memory.take(50_000).unwrap();
        assert!(
            memory.take(100_000).is_none(),
            "100 kB measured, 650 kB granted and 100 kB more exceed 80 %"
        );
        assert!(!memory.is_scarce(), "no connection waits");
        let waits = memory.waits();
        assert!(
            memory.is_scarce() && !memory.is_high(),
            "while a connection waits, idle connections must release memory"
        );
        drop(waits);
        assert!(!memory.is_scarce());
        drop(second);
        memory.measured(900_000);
        assert!(memory.is_high() && !memory.is_full());
        memory.measured(960_000);
        assert!(memory.is_full(), "the measurement counts, too");
        drop(first);
        assert!(
            memory.take(10_000).is_some(),
            "10 % of the limit is always available"
        );
        assert!(Memory::of(u64::MAX).take(u64::MAX / 2).is_some());
    }
}
