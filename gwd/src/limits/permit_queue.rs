//! Queue of requests that wait for permits of `concurrency` policies.
//!
//! Each key has a queue of its own, in which callers take turns. At most [`WAITING_MAX`] requests
//! of the process wait. Beyond that, a new request replaces the newest waiting request of the
//! network with the most waiting requests. That network must have more than twice as many as the
//! network of the new request; otherwise the new request is refused. A flood of one caller
//! therefore delays a request of another caller by at most one permit, and does not exclude it
//! from the queue.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use policy::{AcquireResult, KeySlot, Lease, Leases, PermitWait};
use tokio::sync::oneshot;

use crate::limits::replaceable::Replaceable;
use crate::limits::turns::Turns;

/// Maximum number of requests of the process that wait for permits.
const WAITING_MAX: usize = 4_096;

/// Requests of the process that wait for permits of `concurrency` policies.
#[derive(Debug)]
pub(crate) struct PermitQueue {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Queues of the keys with waiting requests.
    queues: HashMap<KeySlot, KeyQueue>,
    entries: Replaceable<Entry>,
}

/// Waiting requests of one key, each represented by the number of its entry.
#[derive(Debug, Default)]
struct KeyQueue {
    turns: Turns<u64>,
    /// Maximum concurrent requests of the key, from the policy version of the newest request.
    limit: u64,
}

#[derive(Debug)]
struct Entry {
    slot: KeySlot,
    turn: IpAddr,
    grant: oneshot::Sender<Grant>,
}

/// Permit that a request got, at once or after a wait, and the number of permits of the key in use.
pub(crate) type Grant = (Lease, u64);

/// Entry of a request in the queue. Dropping this value removes the entry at once.
pub(crate) struct QueueEntry<'q> {
    queue: &'q PermitQueue,
    leases: Arc<Leases>,
    number: u64,
    granted: oneshot::Receiver<Grant>,
}

/// Result of requesting a permit with [`PermitQueue::enter`].
pub(crate) enum Entered<'q> {
    /// A permit was free.
    Permit(Grant),
    /// No permit was free: the request waits with this entry.
    Waits(QueueEntry<'q>),
    /// The queue is full, and no waiting request may be replaced: refuse the request.
    Full,
}

// === impl PermitQueue ===

impl PermitQueue {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                queues: HashMap::new(),
                entries: Replaceable::new(),
            }),
        })
    }

    /// Number of requests of the process that wait for permits.
    pub(crate) fn waiting(&self) -> usize {
        self.state().entries.len()
    }

    /// Takes a permit, or adds the request to the queue of its key.
    pub(crate) fn enter(self: &Arc<Self>, leases: &Arc<Leases>, wait: &PermitWait) -> Entered<'_> {
        let mut state = self.state();
        let queue = || Arc::clone(self) as Arc<dyn policy::PermitQueue>;
        let slot = match leases.take_or_await(wait.tag, wait.limit, queue) {
            AcquireResult::Permit(lease, count) => return Entered::Permit((lease, count)),
            AcquireResult::NoSlot => return Entered::Full,
            AcquireResult::Awaited(slot) => slot,
        };
        let Some((number, granted)) = state.add(slot, wait, leases) else {
            state.end_if_empty(slot, leases);
            return Entered::Full;
        };
        drop(state);
        // A newer version may have raised the limit while requests waited.
        self.grant(leases, slot);
        Entered::Waits(QueueEntry {
            queue: self,
            leases: Arc::clone(leases),
            number,
            granted,
        })
    }

    /// Gives free permits of a key to the requests whose turn it is.
    fn grant(&self, leases: &Arc<Leases>, slot: KeySlot) {
        loop {
            let granted = self.state().next(slot, leases);
            let Some((sender, grant)) = granted else {
                return;
            };
            // Ignore an error: the request has just left. Dropping its permit passes the permit to
            // the next request.
            let _left = sender.send(grant);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl policy::PermitQueue for PermitQueue {
    fn pass_on(&self, leases: &Arc<Leases>, slot: KeySlot) {
        {
            let state = self.state();
            leases.release(slot);
            state.end_if_empty(slot, leases);
        }
        self.grant(leases, slot);
    }
}

// === impl State ===

impl State {
    /// Adds a waiting request. `None` if the queue is full, and no entry may be replaced.
    fn add(
        &mut self,
        slot: KeySlot,
        wait: &PermitWait,
        leases: &Leases,
    ) -> Option<(u64, oneshot::Receiver<Grant>)> {
        let places = self.entries.places(wait.turn);
        let replaced = match self.entries.len() >= WAITING_MAX {
            true => Some(self.entries.replaceable(places, |_| true)?),
            false => None,
        };
        let (grant, granted) = oneshot::channel();
        let entry = Entry {
            slot,
            turn: wait.turn,
            grant,
        };
        let number = self.entries.add(places, entry);
        let queue = self.queues.entry(slot).or_default();
        queue.turns.push(wait.turn, number);
        queue.limit = wait.limit;
        // Remove the replaced entry only after the new one was added. Both may wait for the same
        // key, which then stays marked as awaited.
        if let Some(replaced) = replaced {
            self.remove(replaced, leases);
        }
        Some((number, granted))
    }

    /// Removes an entry, which ends its wait.
    fn remove(&mut self, number: u64, leases: &Leases) {
        let Some(entry) = self.entries.remove(number) else {
            return;
        };
        if let Some(queue) = self.queues.get_mut(&entry.slot) {
            queue.turns.remove(entry.turn, |other| *other == number);
            if queue.turns.is_empty() {
                self.queues.remove(&entry.slot);
            }
        }
        self.end_if_empty(entry.slot, leases);
    }

    /// Clears the awaited flag of a key if no request waits for its permits.
    fn end_if_empty(&self, slot: KeySlot, leases: &Leases) {
        if !self.queues.contains_key(&slot) {
            leases.end_wait(slot);
        }
    }

    /// Takes a permit for the request whose turn it is. `None` if no permit is free or no request
    /// waits.
    fn next(
        &mut self,
        slot: KeySlot,
        leases: &Arc<Leases>,
    ) -> Option<(oneshot::Sender<Grant>, Grant)> {
        let queue = self.queues.get_mut(&slot)?;
        if !leases.has_permit(slot, queue.limit) {
            return None;
        }
        let limit = queue.limit;
        let number = queue.turns.pop(|_| true);
        let is_last = queue.turns.is_empty();
        let entry = number.and_then(|number| self.entries.remove(number));
        let granted =
            entry.and_then(|entry| Some((entry.grant, leases.take_awaited(slot, limit)?)));
        if is_last {
            self.queues.remove(&slot);
            leases.end_wait(slot);
        }
        granted
    }
}

// === impl QueueEntry ===

impl QueueEntry<'_> {
    /// Waits for the permit. `None` if a request of another network has replaced this one.
    pub(crate) async fn permit(&mut self) -> Option<Grant> {
        (&mut self.granted).await.ok()
    }
}

impl Drop for QueueEntry<'_> {
    fn drop(&mut self) {
        self.queue.state().remove(self.number, &self.leases);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT_MS: u64 = 1_000;

    fn wait(tag: u64, limit: u64, turn: impl Into<IpAddr>) -> PermitWait {
        PermitWait {
            tag: tag << 40,
            limit,
            wait_ms: WAIT_MS,
            estimate: None,
            turn: turn.into(),
        }
    }

    struct Fixture {
        queue: Arc<PermitQueue>,
        leases: Arc<Leases>,
    }

    impl Fixture {
        fn new() -> Self {
            Self {
                queue: PermitQueue::new(),
                leases: Arc::default(),
            }
        }

        fn waits(&self, wait: &PermitWait) -> QueueEntry<'_> {
            match self.queue.enter(&self.leases, wait) {
                Entered::Waits(place) => place,
                Entered::Permit(_) => panic!("a permit was free"),
                Entered::Full => panic!("the queue is full"),
            }
        }

        fn permit(&self, wait: &PermitWait) -> Lease {
            match self.queue.enter(&self.leases, wait) {
                Entered::Permit((lease, _)) => lease,
                Entered::Waits(_) | Entered::Full => panic!("no permit was free"),
            }
        }
    }

    /// Waits for a future on this thread and returns its result.
    fn wait_for<T>(future: impl Future<Output = T>) -> T {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.build().unwrap().block_on(future)
    }

    /// Takes the permit of a request, if it was granted.
    fn granted(place: &mut QueueEntry<'_>) -> Option<Grant> {
        place.granted.try_recv().ok()
    }

    #[test]
    fn permits_pass_to_callers_in_turns() {
        let all = Fixture::new();
        let (many, other) = ([192, 0, 2, 1], [198, 51, 100, 1]);
        let taken = all.permit(&wait(1, 1, many));
        let mut waiters: Vec<_> = (0..3).map(|_| all.waits(&wait(1, 1, many))).collect();
        let mut late = all.waits(&wait(1, 1, other));
        assert_eq!(all.queue.waiting(), 4);
        // A request that arrives while others wait does not overtake them.
        assert!(all.leases.take(1 << 40, 1).is_none());
        drop(taken);
        assert!(all.leases.take(1 << 40, 1).is_none());
        let (first, count) = granted(&mut waiters[0]).unwrap();
        assert_eq!((count, all.queue.waiting()), (1, 3));
        drop(first);
        let (second, _) = granted(&mut late).unwrap();
        assert!(waiters.iter_mut().all(|place| granted(place).is_none()));
        // A request that has left the queue gets no permit.
        waiters.remove(1);
        assert_eq!(all.queue.waiting(), 1);
        drop(second);
        assert!(granted(&mut waiters[1]).is_some());
        assert!(all.leases.take(1 << 40, 1).is_some(), "no request waits");
    }

    #[test]
    fn queue_leaves_nothing_behind() {
        let all = Fixture::new();
        let taken = all.permit(&wait(1, 1, [10, 0, 0, 1]));
        let left = all.waits(&wait(1, 1, [10, 0, 0, 2]));
        drop(left);
        let late = all.waits(&wait(1, 1, [10, 0, 0, 2]));
        drop(taken);
        // The permit was granted, but the request was cancelled before it took the permit.
        drop(late);
        let again = all.permit(&wait(1, 1, [10, 0, 0, 3]));
        drop(again);
        let state = all.queue.state();
        assert!(state.queues.is_empty() && state.entries.len() == 0);
        assert!(
            all.leases
                .take(1 << 40, 2)
                .is_some_and(|(_, count)| count == 1)
        );
    }

    #[test]
    fn higher_limit_admits_waiting_requests() {
        let all = Fixture::new();
        let _permit = all.permit(&wait(1, 1, [10, 0, 0, 1]));
        let mut first = all.waits(&wait(1, 1, [10, 0, 0, 2]));
        // The policy in the next bundle has the limit 3.
        let mut second = all.waits(&wait(1, 3, [10, 0, 0, 3]));
        let counts = [&mut first, &mut second].map(|place| granted(place).map(|(_, count)| count));
        assert_eq!(counts, [Some(2), Some(3)]);
    }

    #[test]
    fn full_queue_takes_places_of_the_largest_network() {
        let all = Fixture::new();
        let _permit = all.permit(&wait(1, 1, [10, 0, 0, 1]));
        let flood = (0..WAITING_MAX).map(|number| {
            let last = u8::try_from(number % 256).unwrap();
            all.waits(&wait(1, 1, [198, 51, 100, last]))
        });
        let mut flood: Vec<_> = flood.collect();
        assert_eq!(all.queue.waiting(), WAITING_MAX);
        let same = all.queue.enter(&all.leases, &wait(1, 1, [198, 51, 100, 7]));
        assert!(matches!(same, Entered::Full));
        // A request for another key, whose only permit is in use, also gets an entry in the queue.
        let _other = all.permit(&wait(2, 1, [203, 0, 113, 1]));
        let _mine = all.waits(&wait(2, 1, [203, 0, 113, 1]));
        assert_eq!(all.queue.waiting(), WAITING_MAX);
        let replaced = flood.last_mut().unwrap().granted.try_recv();
        assert_eq!(replaced.err(), Some(oneshot::error::TryRecvError::Closed));
    }

    #[test]
    fn newcomer_replaces_the_only_waiter_of_its_key() {
        let all = Fixture::new();
        let _permit = all.permit(&wait(1, 1, [10, 0, 0, 1]));
        let taken = all.permit(&wait(2, 1, [198, 51, 100, 1]));
        let flood = (1..WAITING_MAX).map(|_| all.waits(&wait(1, 1, [198, 51, 100, 1])));
        let _flood: Vec<_> = flood.collect();
        // The newest request of the flood waits for the same permit as the new request, which
        // replaces it.
        let mut only = all.waits(&wait(2, 1, [198, 51, 100, 1]));
        let mut newcomer = all.waits(&wait(2, 1, [203, 0, 113, 1]));
        let replaced = only.granted.try_recv();
        assert_eq!(replaced.err(), Some(oneshot::error::TryRecvError::Closed));
        assert!(all.leases.take(2 << 40, 1).is_none(), "the key is awaited");
        drop(taken);
        assert!(granted(&mut newcomer).is_some());
    }

    #[test]
    fn threads_share_permits_and_lose_none() {
        let all = Fixture::new();
        let (served, most) = (std::sync::atomic::AtomicU64::new(0), 3);
        std::thread::scope(|scope| {
            for thread in 0..4u8 {
                let (all, served) = (&all, &served);
                scope.spawn(move || {
                    for _ in 0..2_000 {
                        let wait = wait(1, most, [10, 0, 0, thread]);
                        let (lease, count) = match all.queue.enter(&all.leases, &wait) {
                            Entered::Permit(grant) => grant,
                            Entered::Waits(mut place) => wait_for(place.permit()).unwrap(),
                            Entered::Full => panic!("the queue is full"),
                        };
                        assert!((1..=most).contains(&count));
                        served.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        drop(lease);
                    }
                });
            }
        });
        assert_eq!(served.into_inner(), 8_000);
        assert!(all.queue.state().queues.is_empty());
        let (_lease, count) = all.leases.take(1 << 40, most).unwrap();
        assert_eq!(count, 1);
    }
}
