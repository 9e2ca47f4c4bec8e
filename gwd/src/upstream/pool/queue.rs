//! Waiting for connections of an upstream that has reached its connection limit
//! ([`Connections`](crate::upstream::connections::Connections)): requests wait, returning
//! connections are handed over to waiters, and idle connections are closed for them.

use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{Idle, Lease, Pool, Pools};
use crate::upstream::connections::{ConnectionPermit, Grant, Next, Waiter};
use crate::upstream::transport::Transport;

/// Connections that a request accepts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acceptable {
    Any,
    /// A connection that has carried no request yet. If the connection limit is reached, also a
    /// shared connection.
    Unused,
    /// A new connection that is not shared.
    Own,
}

/// Result of waiting for a connection.
pub(crate) enum Acquired {
    /// Permit to open a connection. `waited`: true if the request had to wait for the permit.
    New {
        permit: ConnectionPermit,
        waited: bool,
    },
    /// Existing connection.
    Kept(Lease),
}

/// Entry in the queue for a connection. Dropping it leaves the queue.
struct Queued<'p> {
    pool: &'p Pool,
    waiter: Arc<Waiter>,
}

// === impl Pools ===

impl Pools {
    /// Closes idle connections of upstreams with waiters, at most one per waiter.
    pub(crate) fn give_way(&self) {
        let mut lacking = FxHashMap::default();
        #[expect(
            clippy::iter_over_hash_type,
            reason = "the order of the pools does not matter"
        )]
        for (key, pool) in &*self.0.borrow() {
            let lacking = lacking.entry(key.0);
            let lacking = lacking.or_insert_with(|| pool.state.connections.0.waiting());
            *lacking -= pool.give_way(*lacking);
        }
    }
}

// === impl Pool ===

impl Pool {
    /// Gets a permit to open a connection, or an existing connection. Waits if the upstream has
    /// reached its connection limit.
    pub(crate) async fn permit(self: &Rc<Self>, wish: Acceptable) -> Acquired {
        if let Some(permit) = self.state.permit(self.connections_max.get()) {
            return Acquired::now(permit);
        }
        if wish != Acceptable::Own && self.shares() {
            // A shared connection cannot move between workers. Therefore each worker may open one
            // connection even beyond the limit, as in Envoy.
            return match self.crowd() {
                Some(lease) => Acquired::Kept(lease),
                None => Acquired::now(self.state.first_permit()),
            };
        }
        // With PROXY protocol, a connection carries one request and never returns to the pool:
        // accept only a new connection.
        let wish = match self.proxy {
            Some(_) => Acceptable::Own,
            None => wish,
        };
        loop {
            let queued = Queued::stand(self, wish);
            let grant = self.state.connections.0.granted(&queued.waiter).await;
            let permit = self.state.permit_of(grant);
            let kept = self.take_kept(&queued.waiter);
            let permit = match kept {
                Some(idle) => match self.hand_over(idle) {
                    Ok(lease) => return Acquired::Kept(lease),
                    Err(permit) => permit,
                },
                None => permit,
            };
            if let Some(permit) = permit {
                return Acquired::New {
                    permit,
                    waited: true,
                };
            }
        }
    }

    /// Takes the returned connection that was reserved for this waiter. If the connection cannot be
    /// reused, returns its permit instead.
    fn hand_over(self: &Rc<Self>, mut idle: Idle) -> Result<Lease, Option<ConnectionPermit>> {
        self.leave_behind();
        if idle.round != self.round.get() || !idle.transport.is_ready() {
            return Err(idle.transport.into_permit());
        }
        let lease = self.lease(idle.transport, idle.round);
        Ok(Lease {
            handed_on: true,
            ..lease
        })
    }

    /// True if the upstream has fewer connections than its limit.
    pub(crate) fn has_permits(&self) -> bool {
        self.state.connections.0.open() < self.connections_max.get()
    }

    /// Maximum connections of the upstream.
    pub(crate) fn connections_max(&self) -> u64 {
        self.connections_max.get()
    }

    /// Takes a share of the least busy HTTP/2 connection, even if it has the maximum number of
    /// exchanges: the request then waits for a stream.
    fn crowd(self: &Rc<Self>) -> Option<Lease> {
        let shared = self.shared.borrow();
        let ready = shared.iter().map(|(_, one)| one);
        let ready = ready.filter(|one| one.is_ready());
        let least = ready.min_by_key(|one| one.active())?;
        Some(self.lease(Transport::Http2(Box::new(least.clone())), self.round.get()))
    }

    /// Puts a returned connection into the pool, or hands it over to a waiter. Closes it if
    /// certificates or authorities have been replaced since it was opened.
    pub(super) fn keep(&self, idle: Idle) {
        self.leave_behind();
        if idle.round != self.round.get() {
            return;
        }
        if self.state.connections.0.are_awaited() {
            return self.hand_on(idle);
        }
        self.gauge.idle(1);
        self.idle.borrow_mut().push(idle);
    }

    /// Hands a connection over to the next waiter. Closes it if that waiter cannot use it.
    #[cold]
    fn hand_on(&self, mut idle: Idle) {
        if !idle.transport.is_ready() {
            return;
        }
        match self.state.connections.0.next(&self.gauge) {
            Next::Elsewhere => drop(idle),
            Next::Ours(waiter) => {
                self.kept.borrow_mut().push((Arc::clone(&waiter), idle));
                waiter.tell(Grant::Kept);
            }
            Next::Nobody => {
                self.gauge.idle(1);
                self.idle.borrow_mut().push(idle);
            }
        }
    }

    fn take_kept(&self, waiter: &Arc<Waiter>) -> Option<Idle> {
        let mut kept = self.kept.borrow_mut();
        let at = kept.iter().position(|(one, _)| Arc::ptr_eq(one, waiter))?;
        Some(kept.swap_remove(at).1)
    }

    /// Closes up to `lacking` idle connections, the longest idle first. Returns the number of
    /// closed connections.
    pub(super) fn give_way(&self, lacking: u64) -> u64 {
        let lacking = usize::try_from(lacking).unwrap_or(usize::MAX);
        let (mut doomed, mut unused) = (Vec::new(), Vec::new());
        {
            let mut idle = self.idle.borrow_mut();
            let count = lacking.min(idle.len());
            doomed.extend(idle.drain(..count));
            let mut shared = self.shared.borrow_mut();
            while doomed.len() + unused.len() < lacking
                && let Some(at) = shared.iter().position(|(_, one)| one.active() == 0)
            {
                unused.push(shared.swap_remove(at));
            }
        }
        for _ in &doomed {
            self.gauge.idle(-1);
        }
        // The connections are dropped at the end of this function, when nothing is borrowed any
        // more. Waiters can therefore take their permits at once.
        (doomed.len() + unused.len()) as u64
    }
}

// === impl Acquired ===

impl Acquired {
    fn now(permit: ConnectionPermit) -> Self {
        Self::New {
            permit,
            waited: false,
        }
    }
}

// === impl Queued ===

impl<'p> Queued<'p> {
    fn stand(pool: &'p Pool, wish: Acceptable) -> Self {
        let own = (wish == Acceptable::Any).then_some(&pool.gauge);
        let most = pool.connections_max.get();
        let now_ms = pool.clock.now_ms();
        let waiter = pool.state.connections.0.stand(own, most, now_ms);
        Self { pool, waiter }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        let unheard = self.pool.state.connections.0.leave(&self.waiter);
        // Drop a permit that was granted meanwhile: the next waiter gets it.
        drop(unheard.and_then(|grant| self.pool.state.permit_of(grant)));
        if let Some(idle) = self.pool.take_kept(&self.waiter) {
            self.pool.keep(idle);
        }
    }
}
