//! Limits the connections of an upstream, over its hosts and all workers (Envoy's
//! `max_connections`; data-plane.md §7).
//!
//! A [`ConnectionPermit`] is the permit for one connection. The connection's socket holds it, so
//! that it is released however the connection ends; health checks need none. If no permit is free,
//! a waiter joins a queue of the process. The waiter gets a released permit, or a connection that
//! returns to its own worker's pool; an idle connection of another pool is closed for it. While
//! permits are free nothing here takes a lock, and keeping a connection costs one load.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;

use crate::telemetry::shard::PoolGauge;
use crate::upstream::shared::State;

/// Time, in milliseconds, by which the eldest waiter must have waited longer than the first waiter
/// of the pool to which a connection returns. Beyond it, the connection is closed and its permit
/// goes to the eldest waiter: moving a permit costs opening another connection.
const PATIENCE_MS: u64 = 20;
/// Interval at which a waiter looks for idle connections: one that returned a moment earlier may
/// have found no waiter.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Connections of one upstream.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    /// Permits that are taken.
    open: AtomicU64,
    /// Number of waiters in the queue, readable without its lock.
    waiting: AtomicU64,
    /// Requests that found all permits taken.
    full: AtomicU64,
    queue: Mutex<VecDeque<Arc<Waiter>>>,
    pools: Mutex<Vec<IdlePool>>,
}

/// Permit for one connection, released when it is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionPermit(Arc<State>);

/// Pool of one worker that may have idle connections.
#[derive(Debug)]
struct IdlePool {
    gauge: Arc<PoolGauge>,
    /// Notifies the worker to check for waiters.
    wanted: Arc<Notify>,
}

/// Queue entry of a request that needs a connection.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// Pool whose connections the waiter accepts; none if it needs a new one.
    pool: Option<Arc<PoolGauge>>,
    since_ms: u64,
    /// Maximum connections of the upstream, as far as this waiter knows.
    most: u64,
    state: Mutex<WaiterState>,
}

#[derive(Debug, Default)]
struct WaiterState {
    grant: Option<Grant>,
    waker: Option<Waker>,
}

/// Grant to a waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// A permit was taken for the waiter.
    Permit,
    /// A connection of the waiter's pool is reserved for it.
    Kept,
}

/// Waiter that is next when a connection returns.
pub(crate) enum Next {
    /// No waiter.
    Nobody,
    /// A waiter of the same pool, which has left the queue and must be notified.
    Ours(Arc<Waiter>),
    /// A waiter elsewhere: the connection must be closed.
    Elsewhere,
}

// === impl State ===

impl State {
    /// A permit, also where all are taken.
    pub(crate) fn first_permit(self: &Arc<Self>) -> ConnectionPermit {
        self.connections.0.take(u64::MAX);
        ConnectionPermit(Arc::clone(self))
    }

    /// A permit, unless all are taken or others wait for one.
    pub(crate) fn permit(self: &Arc<Self>, most: u64) -> Option<ConnectionPermit> {
        let connections = &self.connections.0;
        let free = !connections.are_awaited() && connections.take(most);
        free.then(|| ConnectionPermit(Arc::clone(self)))
    }

    /// A permit that was taken for a waiter ([`Grant::Permit`]).
    pub(crate) fn permit_of(self: &Arc<Self>, grant: Grant) -> Option<ConnectionPermit> {
        match grant {
            Grant::Permit => Some(ConnectionPermit(Arc::clone(self))),
            Grant::Kept => None,
        }
    }
}

// === impl Connections ===

impl Connections {
    /// Connections that are open or being opened.
    pub(crate) fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Requests that found all permits taken, so far.
    pub(crate) fn full(&self) -> u64 {
        self.full.load(Ordering::Relaxed)
    }

    /// Number of waiters.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// True if there is a waiter.
    pub(crate) fn are_awaited(&self) -> bool {
        self.waiting() > 0
    }

    /// Registers a pool that may have idle connections.
    pub(crate) fn join(&self, gauge: &Arc<PoolGauge>, wanted: &Arc<Notify>) {
        lock(&self.pools).push(IdlePool {
            gauge: Arc::clone(gauge),
            wanted: Arc::clone(wanted),
        });
    }

    /// Unregisters a pool.
    pub(crate) fn part(&self, gauge: &Arc<PoolGauge>) {
        lock(&self.pools).retain(|stock| !Arc::ptr_eq(&stock.gauge, gauge));
    }

    /// Joins the queue. The caller must leave it with [`Self::leave`].
    pub(crate) fn stand(
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
        // A permit that was released just before did not see this waiter: check again.
        self.call(&mut queue);
        waiter
    }

    /// Waits for a grant.
    pub(crate) async fn granted(&self, waiter: &Waiter) -> Grant {
        loop {
            self.look_for_idle();
            let state = tokio::time::timeout(LOOK_AGAIN, poll_fn(|cx| waiter.poll(cx.waker())));
            if let Ok(grant) = state.await {
                return grant;
            }
        }
    }

    /// Leaves the queue. Returns a grant that was not received yet.
    pub(crate) fn leave(&self, waiter: &Arc<Waiter>) -> Option<Grant> {
        let mut queue = lock(&self.queue);
        if let Some(at) = queue.iter().position(|one| Arc::ptr_eq(one, waiter)) {
            queue.remove(at);
            self.count(&queue);
        }
        // Holding the queue's lock guarantees that no later grant follows.
        lock(&waiter.state).grant.take()
    }

    /// Selects the waiter that is next when a connection returns to `pool`.
    pub(crate) fn next(&self, pool: &Arc<PoolGauge>) -> Next {
        let mut queue = lock(&self.queue);
        let Some(eldest) = queue.front() else {
            return Next::Nobody;
        };
        let last_ms = eldest.since_ms + PATIENCE_MS;
        let ours = |one: &Arc<Waiter>| one.pool.as_ref().is_some_and(|at| Arc::ptr_eq(at, pool));
        let ours = queue.iter().position(ours);
        let ours = ours.filter(|at| queue[*at].since_ms <= last_ms);
        let Some(waiter) = ours.and_then(|at| queue.remove(at)) else {
            return Next::Elsewhere;
        };
        self.count(&queue);
        Next::Ours(waiter)
    }

    /// Notifies the worker with the most idle connections to close one.
    fn look_for_idle(&self) {
        let pools = lock(&self.pools);
        let idle = |stock: &&IdlePool| stock.gauge.idle.load(Ordering::Relaxed);
        let most = pools.iter().max_by_key(idle);
        if let Some(stock) = most.filter(|stock| idle(stock) > 0) {
            stock.wanted.notify_one();
        }
    }

    fn take(&self, most: u64) -> bool {
        let more = |open: u64| (open < most).then_some(open + 1);
        let taken = (self.open).fetch_update(Ordering::SeqCst, Ordering::SeqCst, more);
        taken.is_ok()
    }

    fn give_back(&self) {
        // SeqCst: either a new waiter sees the free permit, or this thread sees the waiter.
        self.open.fetch_sub(1, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.call(&mut lock(&self.queue));
        }
    }

    /// Grants free permits to the waiters, the longest waiting first.
    fn call(&self, queue: &mut VecDeque<Arc<Waiter>>) {
        while let Some(eldest) = queue.front()
            && self.take(eldest.most)
        {
            eldest.tell(Grant::Permit);
            queue.pop_front();
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
    /// Gives the waiter its grant and wakes it.
    pub(crate) fn tell(&self, grant: Grant) {
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

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.0.connections.0.give_back();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "connections_tests.rs"]
mod tests;
