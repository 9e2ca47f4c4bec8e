//! Waiting for connections of an upstream that has reached its connection limit
//! ([`Connections`](crate::upstream::connections::Connections)). Requests wait in a queue.
//! Returning connections are handed over to waiting requests, and idle connections are closed for
//! waiting requests.

use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{Idle, Lease, Pool, Pools, Shared};
use crate::upstream::connection_permit::ConnectionPermit;
use crate::upstream::connections::{Grant, LOOK_AGAIN, Next, Waiter};
use crate::upstream::http2::Connection;
use crate::upstream::room::OpenConnection;
use crate::upstream::sharing::{Acceptable, Sharing};
use bundle::ir::shared_connections;

/// Result of waiting for a connection.
pub(crate) enum Acquired {
    /// Permit to open a connection. `waited`: true if the request had to wait for the permit.
    /// `counted`: count of the connection in its pool, from now on.
    New {
        permit: ConnectionPermit,
        waited: bool,
        counted: OpenConnection,
    },
    /// Existing connection.
    Kept(Lease),
}

/// Entry of a request in the queue for a connection. Dropping this value removes the entry.
struct Queued<'p> {
    pool: &'p Pool,
    waiter: Arc<Waiter>,
}

// === impl Pools ===

impl Pools {
    /// Closes idle connections of upstreams with waiters, at most one per waiter.
    pub(crate) fn close_idle(&self) {
        let mut lacking = FxHashMap::default();
        #[expect(
            clippy::iter_over_hash_type,
            reason = "the order of the pools does not matter"
        )]
        for (key, pool) in &*self.by_key.borrow() {
            let lacking = lacking.entry(key.0);
            let lacking = lacking.or_insert_with(|| pool.state.connections.0.waiting());
            *lacking -= pool.close_idle(*lacking);
        }
    }
}

// === impl Pool ===

impl Pool {
    /// Gets a permit to open a connection, or an existing connection. Waits if the upstream has
    /// reached its connection limit.
    pub(crate) async fn permit(
        self: &Rc<Self>,
        acceptable: Acceptable,
        sharing: Sharing,
    ) -> Acquired {
        let most = self.connections_max_for(sharing);
        if let Some(permit) = self.state.permit(most) {
            return self.new_connection(permit, sharing, false);
        }
        if acceptable != Acceptable::Own && self.shares() {
            // An HTTP/2 connection cannot move between workers. Therefore each worker may have one
            // shared and one exclusive connection even beyond the limit, similar to Envoy. A shared
            // connection that accepts no more exchanges (GOAWAY) does not count, although its
            // exchanges in progress continue.
            let is_first = match sharing {
                Sharing::Shared => match self.wait_for_stream().await {
                    Some(lease) => return Acquired::Kept(lease),
                    None => true,
                },
                Sharing::Exclusive => !self.room.has_exclusive(),
            };
            if is_first {
                return self.new_connection(self.state.first_permit(), sharing, false);
            }
        }
        // With PROXY protocol, a connection carries one request and never returns to the pool:
        // accept only a new connection.
        let acceptable = match self.proxy {
            Some(_) => Acceptable::Own,
            None if sharing == Sharing::Exclusive && self.shares() => Acceptable::Own,
            None => acceptable,
        };
        loop {
            let queued = Queued::enqueue(self, acceptable, most);
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
                return self.new_connection(permit, sharing, true);
            }
        }
    }

    fn new_connection(&self, permit: ConnectionPermit, sharing: Sharing, waited: bool) -> Acquired {
        Acquired::New {
            permit,
            waited,
            counted: self.room.connected(sharing),
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

    /// True if the upstream has fewer open connections than the maximum for exchanges of this
    /// `sharing`.
    pub(crate) fn has_permits(&self, sharing: Sharing) -> bool {
        self.state.connections.0.open() < self.connections_max_for(sharing)
    }

    /// Maximum connections of the upstream.
    pub(crate) fn connections_max(&self) -> u64 {
        self.connections_max.get()
    }

    /// Number of open connections of the upstream at which an exchange of this `sharing` may open
    /// no further connection. Over HTTP/2 the last quarter is for exclusive exchanges, which cannot
    /// use an open connection instead.
    fn connections_max_for(&self, sharing: Sharing) -> u64 {
        let most = self.connections_max.get();
        match sharing {
            Sharing::Shared if self.shares() => shared_connections(most),
            Sharing::Shared | Sharing::Exclusive => most,
        }
    }

    /// Waits for a free stream of a shared connection and leases that connection. `None` if there
    /// is no shared connection. The request's time limit ends the wait. The wait is not part of the
    /// exchange, because its duration does not depend on the host.
    async fn wait_for_stream(self: &Rc<Self>) -> Option<Lease> {
        loop {
            let (lease, is_free) = self.least_busy()?;
            if is_free {
                return Some(lease);
            }
            drop(lease);
            // Look again after a while: the end of an exchange wakes only one request, which may
            // need more free streams than this one.
            let _changed = tokio::time::timeout(LOOK_AGAIN, self.room.changed()).await;
        }
    }

    /// Lease of the shared connection with the fewest exchanges, and true if the connection has a
    /// free stream. A draining connection is used only if there is no other. `None`: no shared
    /// connection.
    fn least_busy(self: &Rc<Self>) -> Option<(Lease, bool)> {
        let shared = self.shared.borrow();
        let is_usable =
            |one: &&Shared| one.sharing == Sharing::Shared && one.connection.is_usable();
        let usable = shared.iter().filter(is_usable);
        let is_full = |one: &Connection| one.active() >= one.streams();
        let cost = |one: &&Shared| {
            let connection = &one.connection;
            let is_last_resort = connection.is_draining() || connection.is_stalled();
            (is_full(connection), is_last_resort, connection.active())
        };
        let least = &usable.min_by_key(cost)?.connection;
        let is_free = !is_full(least);
        Some((self.lease_of(least, Sharing::Shared), is_free))
    }

    /// Puts a returned connection into the pool, or hands it over to a waiter. Closes a connection
    /// that was opened before certificates or CA certificates were replaced.
    pub(super) fn keep(&self, idle: Idle) {
        self.leave_behind();
        if idle.round != self.round.get() {
            return;
        }
        if self.state.connections.0.are_awaited() {
            return self.offer_to_waiter(idle);
        }
        self.gauge.idle(1);
        self.idle.borrow_mut().push(idle);
    }

    /// Hands a connection over to the next waiter. Closes the connection if that waiter cannot use
    /// it.
    #[cold]
    fn offer_to_waiter(&self, mut idle: Idle) {
        if !idle.transport.is_ready() {
            return;
        }
        match self.state.connections.0.next(&self.gauge) {
            Next::Elsewhere => drop(idle),
            Next::Ours(waiter) => {
                self.kept.borrow_mut().push((Arc::clone(&waiter), idle));
                waiter.grant(Grant::Kept);
            }
            Next::Idle => {
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

    /// Closes up to `lacking` idle connections: first the HTTP/1 connections, the longest idle
    /// first, then HTTP/2 connections without exchanges. Returns the number of closed connections.
    pub(super) fn close_idle(&self, lacking: u64) -> u64 {
        let lacking = usize::try_from(lacking).unwrap_or(usize::MAX);
        let (mut closing, mut unused) = (Vec::new(), Vec::new());
        {
            let mut idle = self.idle.borrow_mut();
            let count = lacking.min(idle.len());
            closing.extend(idle.drain(..count));
            let mut shared = self.shared.borrow_mut();
            while closing.len() + unused.len() < lacking
                && let Some(at) = shared.iter().position(|one| one.connection.active() == 0)
            {
                unused.push(shared.swap_remove(at));
            }
        }
        for _ in &closing {
            self.gauge.idle(-1);
        }
        // The connections are dropped at the end of this function, when no `RefCell` is borrowed
        // any more. Waiters can therefore take their permits at once.
        (closing.len() + unused.len()) as u64
    }
}

// === impl Queued ===

impl<'p> Queued<'p> {
    fn enqueue(pool: &'p Pool, acceptable: Acceptable, most: u64) -> Self {
        let own = (acceptable == Acceptable::Any).then_some(&pool.gauge);
        let now_ms = pool.clock.now_ms();
        let waiter = pool.state.connections.0.enqueue(own, most, now_ms);
        Self { pool, waiter }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        let unused_grant = self.pool.state.connections.0.leave(&self.waiter);
        // Drop a permit that was granted meanwhile: the next waiter gets it.
        drop(unused_grant.and_then(|grant| self.pool.state.permit_of(grant)));
        if let Some(idle) = self.pool.take_kept(&self.waiter) {
            self.pool.keep(idle);
        }
    }
}
