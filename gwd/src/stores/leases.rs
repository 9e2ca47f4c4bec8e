//! Leases of limits with `sync: synced`: tokens that the gateway took from the store in advance.
//!
//! A lease belongs to one counter. While it has tokens, requests take them without a call of the
//! store. When it has none, one request calls the store for more. The other requests of the same
//! counter wait for that answer. The first call takes only the tokens of the waiting requests.
//! Later calls also take as many tokens as were used in this lease or in the lease before, up to
//! the share of this gateway. A counter with few requests therefore takes nothing in advance.
//!
//! After a refusal, requests of the counter are refused without a call until the store can have
//! tokens again. When a lease ends, its unused tokens are returned to the store. This module
//! neither waits nor sends calls; its caller does.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use policy::state::StateId;
use policy::store::Count;
use policy::{Admission, Algorithm, Tokens};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Maximum number of counters with leases of one store. Requests of further counters call the store
/// each.
const LEASES_MAX: usize = 1 << 16;
/// Number of parts of the table, each with its own lock.
const SHARDS: usize = 64;
/// Maximum number of requests that wait for the tokens of one counter.
const WAITING_MAX: usize = 4_096;

/// Leases of the counters in one store: tokens that this gateway took in advance.
pub(super) struct Leases {
    shards: [Mutex<HashMap<CounterId, Lease>>; SHARDS],
    /// Number of gateways that use leases of the store. 0: unknown, so that nothing is taken in
    /// advance.
    gateways: AtomicU64,
    /// True after [`Leases::close`].
    closed: AtomicBool,
}

/// Id of a counter: state id and tokens of its limit, and key of the requests that it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct CounterId {
    state: StateId,
    key: [u8; 16],
    tokens: Tokens,
}

/// Lease of one counter: tokens that this gateway took from the store in advance.
struct Lease {
    /// First count request of the counter. Calls that take and return tokens are derived from it.
    count: Count,
    /// Number of tokens of the lease that are not used yet.
    left: u64,
    /// Time at which the lease ends and unused tokens are returned.
    ends: Instant,
    /// Number of the window in which the store counted the tokens. 0 for algorithms without
    /// windows.
    window: u64,
    /// Number of tokens left in the store after the last call. `wait_ends`: end of the wait time
    /// that the store returned for that call.
    stored: u64,
    wait_ends: Instant,
    /// Number of tokens that were used in this lease. `used_before`: in the previous lease.
    used: u64,
    used_before: u64,
    refusal: Option<Refusal>,
    is_asked: bool,
    waiting: Vec<Waiting>,
}

/// Refusal by the store. Until it ends, requests of the refused cost or more are refused without a
/// call.
#[derive(Clone, Copy)]
struct Refusal {
    cost: u64,
    ends: Instant,
}

/// Request that waits for tokens.
struct Waiting {
    cost: u64,
    answer: oneshot::Sender<Admission>,
}

/// Result of taking the tokens of a request from a lease.
pub(super) enum TakeResult {
    /// The lease or an earlier refusal decides.
    Decided(Admission),
    /// Another request calls the store. The answer arrives over the channel.
    Joined(oneshot::Receiver<Admission>),
    /// The caller requests this number of tokens from the store, and passes the answer to
    /// [`Leases::complete`] or calls [`Leases::fail`].
    Ask(TokenRange, oneshot::Receiver<Admission>),
    /// The table is full or closed. The request calls the store for itself.
    NoLease,
    /// Too many requests wait for the tokens of the counter.
    Overflow,
}

/// Number of tokens to take from the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TokenRange {
    /// Minimum number of tokens: the lowest cost of a waiting request. With fewer tokens, no
    /// waiting request can be admitted.
    pub(super) min_tokens: u64,
    /// Maximum number of tokens, including the tokens that are taken in advance.
    pub(super) max_tokens: u64,
}

/// Answer of the store to a call that takes tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoreAnswer {
    pub(super) admission: Admission,
    /// Number of tokens that were taken.
    pub(super) tokens: u64,
    /// Number of the window in which the store counted the tokens. 0 for algorithms without
    /// windows.
    pub(super) window: u64,
}

impl StoreAnswer {
    /// Answer to a record of a used credential. `is_first`: true if there was no record of it.
    pub(super) fn of_record(is_first: bool) -> Self {
        Self {
            admission: Admission {
                admitted: is_first,
                remaining: 0,
                wait_ticks: 0,
            },
            tokens: 0,
            window: 0,
        }
    }
}

/// Unused tokens to return to the store.
#[derive(Clone)]
pub(super) struct Unused {
    /// Count request of the counter, with the number of tokens as a negative cost.
    pub(super) count: Count,
    /// Number of the window in which the tokens were counted.
    pub(super) window: u64,
}

// === impl Leases ===

impl Leases {
    pub(super) fn new() -> Self {
        Self {
            shards: [(); SHARDS].map(|()| Mutex::default()),
            gateways: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        }
    }

    /// Takes the tokens of a request from the lease of its counter.
    pub(super) fn take(&self, count: &Count, now: Instant) -> TakeResult {
        let (Some(length), Ok(cost)) = (length(count), u64::try_from(count.cost)) else {
            return TakeResult::NoLease;
        };
        if self.closed.load(Ordering::Acquire) {
            return TakeResult::NoLease;
        }
        let id = CounterId::of(count);
        let mut shard = self.shard(&id);
        let is_full = shard.len() >= LEASES_MAX / SHARDS;
        let lease = match shard.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(_) if is_full => return TakeResult::NoLease,
            Entry::Vacant(free) => free.insert(Lease::new(count.clone(), now + length, now)),
        };
        // The unused tokens of an ended lease stay until the next sweep returns them.
        if now < lease.ends && lease.left >= cost {
            lease.left -= cost;
            lease.used += cost;
            return TakeResult::Decided(lease.admission(true, now));
        }
        let refusal = lease.refusal.filter(|refusal| now < refusal.ends);
        if refusal.is_some_and(|refusal| cost >= refusal.cost) {
            return TakeResult::Decided(lease.admission(false, now));
        }
        if lease.waiting.len() >= WAITING_MAX {
            return TakeResult::Overflow;
        }
        let (answer, answered) = oneshot::channel();
        lease.waiting.push(Waiting { cost, answer });
        if lease.is_asked {
            return TakeResult::Joined(answered);
        }
        lease.is_asked = true;
        TakeResult::Ask(lease.wanted(self.share(&lease.count)), answered)
    }

    /// Distributes the answer of the store to the requests that wait for it. Returns the number of
    /// tokens to request next, if requests still wait, and unused tokens to return.
    pub(super) fn complete(
        &self,
        id: &CounterId,
        wanted: TokenRange,
        granted: StoreAnswer,
        now: Instant,
    ) -> (Option<(Count, TokenRange)>, Vec<Unused>) {
        let mut shard = self.shard(id);
        let Some(lease) = shard.get_mut(id) else {
            return (None, Vec::new());
        };
        let mut unused = Vec::new();
        if now >= lease.ends || lease.window != granted.window {
            unused.extend(lease.renew(now));
        }
        lease.is_asked = false;
        lease.window = granted.window;
        lease.left += granted.tokens;
        lease.stored = granted.admission.remaining;
        let wait_ns = granted.admission.wait_ticks.saturating_mul(100);
        lease.wait_ends = now + Duration::from_nanos(wait_ns);
        lease.refusal = match granted.admission.admitted {
            true => None,
            false => Some(lease.refusal(wanted.min_tokens, now)),
        };
        lease.serve(now);
        if self.closed.load(Ordering::Acquire) {
            unused.extend(lease.take_unused());
        }
        let next = (!lease.waiting.is_empty()).then(|| {
            lease.is_asked = true;
            (lease.count.clone(), lease.wanted(self.share(&lease.count)))
        });
        (next, unused)
    }

    /// Ends the wait of all requests of a counter without an answer.
    pub(super) fn fail(&self, id: &CounterId) {
        if let Some(lease) = self.shard(id).get_mut(id) {
            lease.is_asked = false;
            lease.waiting.clear();
        }
    }

    /// Returns the tokens of a request to the lease of its counter. Returns false if the counter
    /// has no lease.
    pub(super) fn put_back(&self, count: &Count, now: Instant) -> bool {
        if self.closed.load(Ordering::Acquire) {
            return false;
        }
        let id = CounterId::of(count);
        let mut shard = self.shard(&id);
        let lease = shard.get_mut(&id).filter(|lease| now < lease.ends);
        let (Some(lease), Ok(cost)) = (lease, u64::try_from(count.cost)) else {
            return false;
        };
        lease.left += cost;
        lease.used = lease.used.saturating_sub(cost);
        true
    }

    /// Renews the leases whose time is over, and returns their unused tokens. Removes those of
    /// which no token was used, unless a refusal of the store is still in effect. Leases with a
    /// pending call of the store stay unchanged.
    pub(super) fn sweep(&self, now: Instant) -> Vec<Unused> {
        let mut all = Vec::new();
        for shard in &self.shards {
            locked(shard).retain(|_, lease| {
                if now < lease.ends || lease.is_asked {
                    return true;
                }
                let is_refused = lease.refusal.is_some_and(|refusal| now < refusal.ends);
                let is_used = lease.used > 0 || is_refused;
                all.extend(lease.renew(now));
                is_used
            });
        }
        all
    }

    /// Ends all leases, and returns their unused tokens. Afterwards, each request calls the store.
    pub(super) fn close(&self) -> Vec<Unused> {
        self.closed.store(true, Ordering::Release);
        let mut all = Vec::new();
        for shard in &self.shards {
            let mut shard = locked(shard);
            all.extend(shard.values_mut().filter_map(Lease::take_unused));
        }
        all
    }

    /// Number of counters with leases.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| locked(shard).len()).sum()
    }

    /// Number of gateways that use leases of the store. 0: unknown.
    pub(super) fn gateways(&self) -> u64 {
        self.gateways.load(Ordering::Relaxed)
    }

    /// Sets the number of gateways that use leases of the store.
    pub(super) fn set_gateways(&self, gateways: u64) {
        self.gateways.store(gateways, Ordering::Relaxed);
    }

    /// Maximum number of tokens of a counter that this gateway may take in advance: its share of
    /// the fleet's leases. 0 if the number of gateways is unknown.
    fn share(&self, count: &Count) -> u64 {
        let leased = count.tokens.leased_by_fleet(count.lease_ms.unwrap_or(0));
        leased.checked_div(self.gateways()).unwrap_or(0)
    }

    fn shard(&self, id: &CounterId) -> MutexGuard<'_, HashMap<CounterId, Lease>> {
        // The key is already a hash: use its first byte to select the shard.
        locked(&self.shards[usize::from(id.key[0]) % SHARDS])
    }
}

// === impl CounterId ===

impl CounterId {
    pub(super) fn of(count: &Count) -> Self {
        Self {
            state: count.state,
            key: count.key,
            tokens: count.tokens,
        }
    }
}

// === impl Lease ===

impl Lease {
    fn new(count: Count, ends: Instant, now: Instant) -> Self {
        Self {
            count,
            left: 0,
            ends,
            window: 0,
            stored: 0,
            wait_ends: now,
            used: 0,
            used_before: 0,
            refusal: None,
            is_asked: false,
            waiting: Vec::new(),
        }
    }

    /// Begins a new lease without tokens. Returns the unused tokens of the lease before.
    fn renew(&mut self, now: Instant) -> Option<Unused> {
        self.ends = now + length(&self.count).unwrap_or_default();
        self.used_before = std::mem::take(&mut self.used);
        self.take_unused()
    }

    fn take_unused(&mut self) -> Option<Unused> {
        let left = i64::try_from(std::mem::take(&mut self.left)).unwrap_or(i64::MAX);
        (left > 0).then(|| Unused {
            count: Count {
                cost: -left,
                ..self.count.clone()
            },
            window: self.window,
        })
    }

    /// Number of tokens to take from the store: the tokens that the waiting requests need, and the
    /// tokens to take in advance.
    fn wanted(&self, share: u64) -> TokenRange {
        let costs = self.waiting.iter().map(|waiting| waiting.cost);
        let needed: u64 = costs.clone().sum();
        TokenRange {
            min_tokens: costs.min().unwrap_or(0),
            max_tokens: needed.saturating_add(share.min(self.used.max(self.used_before))),
        }
    }

    /// Answers the waiting requests for which there are tokens, and those that the store refused.
    fn serve(&mut self, now: Instant) {
        for waiting in std::mem::take(&mut self.waiting) {
            let is_admitted = self.left >= waiting.cost;
            let is_refused = self
                .refusal
                .is_some_and(|refusal| waiting.cost >= refusal.cost);
            if !is_admitted && !is_refused {
                self.waiting.push(waiting);
                continue;
            }
            let mut after = (self.left, self.used);
            if is_admitted {
                after = (self.left - waiting.cost, self.used + waiting.cost);
            }
            let before = std::mem::replace(&mut self.left, after.0);
            // A request that does not wait any more takes no tokens.
            match waiting.answer.send(self.admission(is_admitted, now)) {
                Ok(()) => self.used = after.1,
                Err(_) => self.left = before,
            }
        }
    }

    fn refusal(&self, cost: u64, now: Instant) -> Refusal {
        let lease_ms = self.count.lease_ms.unwrap_or(0);
        let pace = Duration::from_millis(self.count.tokens.lease_pace_ms(lease_ms));
        let wait = self.wait_ends.saturating_duration_since(now);
        let longest = Duration::from_millis(lease_ms);
        Refusal {
            cost,
            ends: now + wait.max(pace).min(longest),
        }
    }

    fn admission(&self, admitted: bool, now: Instant) -> Admission {
        let remaining = self.left.saturating_add(self.stored);
        let is_calendar = matches!(self.count.tokens.algorithm, Algorithm::Calendar(_));
        let wait = match is_calendar || !admitted || remaining == 0 {
            true => self.wait_ends.saturating_duration_since(now),
            false => Duration::ZERO,
        };
        Admission {
            admitted,
            remaining,
            wait_ticks: u64::try_from(wait.as_nanos() / 100).unwrap_or(u64::MAX),
        }
    }
}

/// Duration of a lease for a count request. `None`: the limit is exact and takes no tokens in
/// advance.
fn length(count: &Count) -> Option<Duration> {
    count.lease_ms.map(Duration::from_millis)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
