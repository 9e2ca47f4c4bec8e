//! A pool's part where its upstream has as many connections as it may
//! ([`Connections`](crate::upstream::connections::Connections)): somebody waits here for a
//! connection, one that comes back is handed on, idle ones give way.

use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{Idle, Lease, Pool, Pools};
use crate::upstream::connections::{Next, Seat, Waiter, Word};
use crate::upstream::transport::Transport;

/// Connections that a request can use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Any,
    /// One that nobody has used, but for those that are shared where there may be no more.
    Unused,
    /// One that nobody else uses.
    Own,
}

/// Result of waiting for a connection.
pub(crate) enum Seated {
    /// The right to open one; whether it was waited for.
    New { seat: Seat, waited: bool },
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
    pub(crate) async fn seat(self: &Rc<Self>, wish: Wish) -> Seated {
        if let Some(seat) = self.state.seat(self.connections_max.get()) {
            return Seated::now(seat);
        }
        if wish != Wish::Own && self.shares() {
            // One that is shared is had by each worker, whatever the bound: it does not go from
            // one to another, and would keep the others waiting for as long as it lives (Envoy
            // does so, too).
            return match self.crowd() {
                Some(lease) => Seated::Kept(lease),
                None => Seated::now(self.state.first_seat()),
            };
        }
        // None comes back that tells of one client.
        let wish = match self.proxy {
            Some(_) => Wish::Own,
            None => wish,
        };
        loop {
            let queued = Queued::stand(self, wish);
            let word = self.state.connections.0.told(&queued.waiter).await;
            let seat = self.state.seat_of(word);
            let kept = self.take_kept(&queued.waiter);
            let seat = match kept {
                Some(idle) => match self.hand_over(idle) {
                    Ok(lease) => return Seated::Kept(lease),
                    Err(seat) => seat,
                },
                None => seat,
            };
            if let Some(seat) = seat {
                return Seated::New { seat, waited: true };
            }
        }
    }

    /// A connection that came back, for who has waited for it; its seat, where the connection is
    /// not to be used again.
    fn hand_over(self: &Rc<Self>, mut idle: Idle) -> Result<Lease, Option<Seat>> {
        self.leave_behind();
        if idle.round != self.round.get() || !idle.transport.is_ready() {
            return Err(idle.transport.into_seat());
        }
        let lease = self.lease(idle.transport, idle.round);
        Ok(Lease {
            handed_on: true,
            ..lease
        })
    }

    /// True if another connection may be opened now.
    pub(crate) fn has_seats(&self) -> bool {
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
                waiter.tell(Word::Kept);
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
        // Dropped here, when nothing is borrowed: their seats go on at once.
        (doomed.len() + unused.len()) as u64
    }
}

// === impl Seated ===

impl Seated {
    fn now(seat: Seat) -> Self {
        Self::New {
            seat,
            waited: false,
        }
    }
}

// === impl Queued ===

impl<'p> Queued<'p> {
    fn stand(pool: &'p Pool, wish: Wish) -> Self {
        let own = (wish == Wish::Any).then_some(&pool.gauge);
        let most = pool.connections_max.get();
        let now_ms = pool.clock.now_ms();
        let waiter = pool.state.connections.0.stand(own, most, now_ms);
        Self { pool, waiter }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        let unheard = self.pool.state.connections.0.leave(&self.waiter);
        // A seat that was taken for it goes on.
        drop(unheard.and_then(|word| self.pool.state.seat_of(word)));
        if let Some(idle) = self.pool.take_kept(&self.waiter) {
            self.pool.keep(idle);
        }
    }
}
