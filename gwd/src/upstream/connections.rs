//! Limit on the connections of an upstream, over all its hosts and all workers (`max_connections`
//! in Envoy; data-plane.md §7).
//!
//! Each connection's socket has a [`ConnectionPermit`](super::connection_permit::ConnectionPermit),
//! which is returned when the socket is closed. Health checks need no permit. If no permit is free,
//! a waiter joins a queue of the process. The waiter gets a returned permit, or a connection that
//! returns to the pool of its worker. Idle connections of other pools are closed in order to free
//! permits. While permits are free, this module takes no lock, and returning a connection to its
//! pool costs one load.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;

use crate::telemetry::shard::PoolGauge;

/// Difference in waiting time, in milliseconds, above which a returning connection is closed. If
/// the upstream's oldest waiter has waited this much longer than the oldest waiter of the
/// connection's pool, the upstream's oldest waiter gets the permit. Otherwise the connection stays
/// in its pool, because moving a permit costs opening another connection.
const WAIT_DIFFERENCE_MS: u64 = 20;
/// Interval at which a waiter looks for idle connections: 100ms. A connection may have become idle
/// just before the waiter joined the queue.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Connection count and waiters of one upstream.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    /// Number of connection permits in use.
    open: AtomicU64,
    /// Number of waiters in the queue, readable without its lock.
    waiting: AtomicU64,
    /// Number of requests so far that found no free permit.
    full: AtomicU64,
    queue: Mutex<VecDeque<Arc<Waiter>>>,
    pools: Mutex<Vec<IdlePool>>,
}

/// Pool of one worker that may have idle connections which can be closed for waiters.
#[derive(Debug)]
struct IdlePool {
    gauge: Arc<PoolGauge>,
    /// Signals to the worker that it should close an idle connection if requests wait.
    wanted: Arc<Notify>,
}

/// Request in the queue for a connection.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// Pool from which the waiter also accepts an existing connection. `None` if the waiter needs a
    /// new connection.
    pool: Option<Arc<PoolGauge>>,
    since_ms: u64,
    /// Maximum connections of the upstream in the version of this waiter.
    most: u64,
    state: Mutex<WaiterState>,
}

#[derive(Debug, Default)]
struct WaiterState {
    grant: Option<Grant>,
    waker: Option<Waker>,
}

/// Resource that a waiter gets: a permit or a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// Permit, which was taken for the waiter.
    Permit,
    /// Connection of the waiter's pool, which is reserved for the waiter.
    Kept,
}

/// Waiter to serve when a connection returns to its pool.
pub(crate) enum Next {
    /// No waiter. The connection stays idle.
    Idle,
    /// Waiter of the same pool. It was removed from the queue and must get the connection.
    Ours(Arc<Waiter>),
    /// The waiter is of another pool or needs a new connection: this connection must be closed.
    Elsewhere,
}

// === impl Connections ===

impl Connections {
    /// Number of connections that are open or being opened.
    pub(crate) fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Number of requests so far that found no free permit.
    pub(crate) fn full(&self) -> u64 {
        self.full.load(Ordering::Relaxed)
    }

    /// Number of requests that wait for a connection.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// True if a request waits for a connection.
    pub(crate) fn are_awaited(&self) -> bool {
        self.waiting() > 0
    }

    /// Registers a pool, whose idle connections may be closed for waiters.
    pub(crate) fn join(&self, gauge: &Arc<PoolGauge>, wanted: &Arc<Notify>) {
        lock(&self.pools).push(IdlePool {
            gauge: Arc::clone(gauge),
            wanted: Arc::clone(wanted),
        });
    }

    /// Unregisters a pool: its idle connections are no longer closed for waiters.
    pub(crate) fn part(&self, gauge: &Arc<PoolGauge>) {
        lock(&self.pools).retain(|pool| !Arc::ptr_eq(&pool.gauge, gauge));
    }

    /// Adds a waiter to the queue. The caller must remove it with [`Self::leave`].
    pub(crate) fn enqueue(
        &self,
        pool: Option<&Arc<PoolGauge>>,
        most: u64,
        now_ms: u64,
    ) -> Arc<Waiter> {
        let waiter = Arc::new(Waiter {
            pool: pool.map(Arc::clone),
            since_ms: now_ms,
            most,
            state: Mutex::default(),
        });
        self.full.fetch_add(1, Ordering::Relaxed);
        let mut queue = lock(&self.queue);
        queue.push_back(Arc::clone(&waiter));
        self.count(&queue);
        // Grant free permits now: a permit may have been returned just before this waiter joined
        // the queue.
        self.call(&mut queue);
        waiter
    }

    /// Waits until the waiter gets a grant.
    pub(crate) async fn granted(&self, waiter: &Waiter) -> Grant {
        loop {
            self.look_for_idle();
            let state = tokio::time::timeout(LOOK_AGAIN, poll_fn(|cx| waiter.poll(cx.waker())));
            if let Ok(grant) = state.await {
                return grant;
            }
        }
    }

    /// Removes a waiter from the queue. Returns a grant that the waiter received but has not used;
    /// `None` if there is none.
    pub(crate) fn leave(&self, waiter: &Arc<Waiter>) -> Option<Grant> {
        let mut queue = lock(&self.queue);
        if let Some(at) = queue.iter().position(|one| Arc::ptr_eq(one, waiter)) {
            queue.remove(at);
            self.count(&queue);
        }
        // Holding the queue's lock guarantees that no later grant follows.
        lock(&waiter.state).grant.take()
    }

    /// Selects the waiter that gets a connection returning to `pool`.
    pub(crate) fn next(&self, pool: &Arc<PoolGauge>) -> Next {
        let mut queue = lock(&self.queue);
        let Some(oldest) = queue.front() else {
            return Next::Idle;
        };
        let last_ms = oldest.since_ms + WAIT_DIFFERENCE_MS;
        let ours = |one: &Arc<Waiter>| one.pool.as_ref().is_some_and(|at| Arc::ptr_eq(at, pool));
        let ours = queue.iter().position(ours);
        let ours = ours.filter(|at| queue[*at].since_ms <= last_ms);
        let Some(waiter) = ours.and_then(|at| queue.remove(at)) else {
            return Next::Elsewhere;
        };
        self.count(&queue);
        Next::Ours(waiter)
    }

    /// Notifies the worker of the pool with the most idle connections to close an idle connection.
    fn look_for_idle(&self) {
        let pools = lock(&self.pools);
        let idle = |pool: &&IdlePool| pool.gauge.idle.load(Ordering::Relaxed);
        let most = pools.iter().max_by_key(idle);
        if let Some(pool) = most.filter(|pool| idle(pool) > 0) {
            pool.wanted.notify_one();
        }
    }

    pub(super) fn take(&self, most: u64) -> bool {
        let more = |open: u64| (open < most).then_some(open + 1);
        let taken = (self.open).fetch_update(Ordering::SeqCst, Ordering::SeqCst, more);
        taken.is_ok()
    }

    pub(super) fn give_back(&self) {
        // SeqCst guarantees that either a new waiter sees the free permit, or this thread sees the
        // waiter.
        self.open.fetch_sub(1, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.call(&mut lock(&self.queue));
        }
    }

    /// Grants free permits to the waiters, the oldest first. A waiter whose maximum is reached does
    /// not delay a waiter with a greater maximum.
    fn call(&self, queue: &mut VecDeque<Arc<Waiter>>) {
        let mut at = 0;
        let mut reached = None;
        while let Some(waiter) = queue.get(at) {
            let is_reached = reached.is_some_and(|reached| waiter.most <= reached);
            if is_reached || !self.take(waiter.most) {
                reached = reached.max(Some(waiter.most));
                at += 1;
                continue;
            }
            waiter.grant(Grant::Permit);
            queue.remove(at);
            self.count(queue);
        }
    }

    fn count(&self, queue: &VecDeque<Arc<Waiter>>) {
        let waiting = u64::try_from(queue.len()).unwrap_or(u64::MAX);
        self.waiting.store(waiting, Ordering::SeqCst);
    }
}

// === impl Waiter ===

impl Waiter {
    /// Stores a grant for the waiter and wakes the waiter's task.
    pub(crate) fn grant(&self, grant: Grant) {
        let mut state = lock(&self.state);
        state.grant = Some(grant);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    fn poll(&self, waker: &Waker) -> Poll<Grant> {
        let mut state = lock(&self.state);
        match state.grant.take() {
            Some(grant) => Poll::Ready(grant),
            None => {
                state.waker = Some(waker.clone());
                Poll::Pending
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "connections_tests.rs"]
mod tests;
