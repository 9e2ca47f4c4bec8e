//! Permits that client addresses take in turns. The waiting requests of one network delay each
//! other; they delay a request of another network by at most one permit.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::limits::turns::Turns;

/// Limited number of permits. Client addresses with waiting requests get a permit in turn.
#[derive(Debug)]
pub(crate) struct FairPermits {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    waiting: Turns<oneshot::Sender<Permit>>,
}

/// Permit of a [`FairPermits`]. Dropping this value returns the permit.
#[derive(Debug)]
pub(crate) struct Permit(Option<Arc<FairPermits>>);

impl FairPermits {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                free: max,
                waiting: Turns::default(),
            }),
        })
    }

    /// Waits for a permit. Requests of one address are served in order of arrival. Addresses and
    /// their networks take turns. For IPv6, all addresses of a /64 network count as one, because
    /// one client usually has all of them. `None` only if the queue is dropped.
    pub(crate) async fn take(self: &Arc<Self>, client: IpAddr) -> Option<Permit> {
        let awaited = {
            let mut state = self.state();
            if state.free > 0 {
                state.free -= 1;
                return Some(Permit(Some(Arc::clone(self))));
            }
            let (waiter, awaited) = oneshot::channel();
            state.waiting.push(client, waiter);
            awaited
        };
        awaited.await.ok()
    }

    /// True if a request waits for a permit.
    pub(crate) fn are_awaited(&self) -> bool {
        !self.state().waiting.is_empty()
    }

    /// Number of free permits.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.state().free
    }

    /// Passes a returned permit to the next waiting request, or counts the permit as free.
    fn pass_on(self: Arc<Self>) {
        let mut permit = Permit(Some(Arc::clone(&self)));
        while let Some(waiter) = self.next() {
            match waiter.send(permit) {
                Ok(()) => return,
                // The waiting request was dropped: offer the permit to the next one.
                Err(returned) => permit = returned,
            }
        }
        permit.0 = None;
    }

    /// Removes and returns the next waiter. If there is no waiter, counts the permit as free and
    /// returns `None`.
    fn next(&self) -> Option<oneshot::Sender<Permit>> {
        let mut state = self.state();
        let waiter = state.waiting.pop(|waiter| !waiter.is_closed());
        if waiter.is_none() {
            state.free += 1;
        }
        waiter
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(permits) = self.0.take() {
            permits.pass_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn addresses_take_turns() {
        let permits = FairPermits::new(1);
        let many = IpAddr::from([192, 0, 2, 1]);
        let other = IpAddr::from([192, 0, 2, 2]);
        let mut first = pin!(permits.take(many));
        let Poll::Ready(Some(permit)) = poll(first.as_mut()) else {
            panic!("a free permit")
        };
        let mut waiters: Vec<_> = (0..5).map(|_| Box::pin(permits.take(many))).collect();
        for one in &mut waiters {
            assert!(poll(one.as_mut()).is_pending());
        }
        let mut late = pin!(permits.take(other));
        assert!(poll(late.as_mut()).is_pending());
        assert!(permits.are_awaited());
        drop(permit);
        let Poll::Ready(Some(permit)) = poll(waiters[0].as_mut()) else {
            panic!("the first waiter")
        };
        assert!(poll(late.as_mut()).is_pending());
        drop(permit);
        // The other address is next, although the remaining requests of the first address have
        // waited longer.
        let Poll::Ready(Some(permit)) = poll(late.as_mut()) else {
            panic!("the other address")
        };
        // Requests that were dropped while waiting are skipped.
        waiters.drain(1..4);
        drop(permit);
        assert!(matches!(poll(waiters[1].as_mut()), Poll::Ready(Some(_))));
    }

    #[test]
    fn unused_permits_are_free_again() {
        let permits = FairPermits::new(1);
        let client = IpAddr::from([192, 0, 2, 1]);
        for _ in 0..3 {
            let mut one = pin!(permits.take(client));
            let permit = poll(one.as_mut());
            assert!(matches!(permit, Poll::Ready(Some(_))));
            {
                let mut gone = Box::pin(permits.take(client));
                assert!(poll(gone.as_mut()).is_pending());
            }
        }
        assert!(!permits.are_awaited());
        assert_eq!(permits.free(), 1);
        assert!(permits.state().waiting.is_empty());
    }
}
