//! A pool's part where its upstream has as many connections as it may
//! ([`Connections`](crate::upstream::connections::Connections)): somebody waits here for a
//! connection, one that comes back is handed on, idle ones give way.

use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{Idle, Lease, Pool, Pools};
use crate::upstream::connections::{ConnectionPermit, Grant, Next, Waiter};
use crate::upstream::transport::Transport;

/// Connections that a request can use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acceptable {
    Any,
    /// One that nobody has used, but for those that are shared where there may be no more.
    Unused,
    /// One that nobody else uses.
    Own,
}

/// Result of waiting for a connection.
pub(crate) enum Acquired {
    /// The right to open one; whether it was waited for.
    New {
        permit: ConnectionPermit,
        waited: bool,
    },
    /// One that there is.
    Kept(Lease),
}

/// Stands in the queue for a connection; leaves it when dropped.
struct Queued<'p> {
    pool: &'p Pool,
    waiter: Arc<Waiter>,
}

// === impl Pools ===

impl Pools {
    /// Closes as many idle connections of each upstream as somebody waits for.
    pub(crate) fn give_way(&self) {
        let mut lacking = FxHashMap::default();
        #[expect(clippy::iter_over_hash_type, reason = "any of them may give way first")]
        for (key, pool) in &*self.0.borrow() {
            let lacking = lacking.entry(key.0);
            let lacking = lacking.or_insert_with(|| pool.state.connections.0.waiting());
            *lacking -= pool.give_way(*lacking);
        }
    }
}

// === impl Pool ===

impl Pool {
    /// The right to open a connection, or one that there is: waited for where the upstream has as
    /// many as it may.
    pub(crate) async fn permit(self: &Rc<Self>, wish: Acceptable) -> Acquired {
        if let Some(permit) = self.state.permit(self.connections_max.get()) {
            return Acquired::now(permit);
        }
        if wish != Acceptable::Own && self.shares() {
            // One that is shared is had by each worker, whatever the bound: it does not go from
            // one to another, and would keep the others waiting for as long as it lives (Envoy
            // does so, too).
            return match self.crowd() {
                Some(lease) => Acquired::Kept(lease),
                None => Acquired::now(self.state.first_permit()),
            };
        }
        // None comes back that tells of one client.
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

    /// A connection that came back, for who has waited for it; its permit, where the connection is
    /// not to be used again.
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

    /// True if another connection may be opened now.
    pub(crate) fn has_permits(&self) -> bool {
        self.state.connections.0.open() < self.connections_max.get()
    }

    /// Maximum connections of the upstream.
    pub(crate) fn connections_max(&self) -> u64 {
        self.connections_max.get()
    }

    /// A shared connection, also where it has more to do than it should: what does not fit on it
    /// waits for those before.
    fn crowd(self: &Rc<Self>) -> Option<Lease> {
        let shared = self.shared.borrow();
        let ready = shared.iter().map(|(_, one)| one);
        let ready = ready.filter(|one| one.is_ready());
        let least = ready.min_by_key(|one| one.active())?;
        Some(self.lease(Transport::Http2(Box::new(least.clone())), self.round.get()))
    }

    /// A connection has come back. One of certificates or authorities that have been exchanged
    /// since is closed.
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

    /// Gives a connection to whoever waits for it; one for which somebody elsewhere waits is
    /// closed.
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

    /// Closes up to so many connections that nobody uses, the eldest first; tells how many.
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
        // Dropped here, when nothing is borrowed: their permits go on at once.
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
        // A permit that was taken for it goes on.
        drop(unheard.and_then(|grant| self.pool.state.permit_of(grant)));
        if let Some(idle) = self.pool.take_kept(&self.waiter) {
            self.pool.keep(idle);
        }
    }
}
