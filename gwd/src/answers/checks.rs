//! Queues of expensive checks: of passwords, and of signatures by expensive keys.
//!
//! The checks of a queue use at most half of the threads for computations, so that TLS handshakes
//! with RSA keys can continue. The other checks wait, limited in total and for each client address.
//! If the queue is full, a new check replaces the newest waiting check of the network with the most
//! waiting checks. That network must have more than twice as many as the network of the new check.
//! A network is an IPv6 /64, /56 or /48, an IPv4 address, or an IPv4 /24. A flood of wrong
//! credentials therefore delays only requests of its own network, even if each check comes from
//! another address of that network.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use policy::ask::AskId;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use crate::answers::joined::Key;
use crate::limits::fair::{FairPermits, Permit};
use crate::limits::replaceable::Replaceable;

/// Maximum numbers of requests whose check waits or is in progress.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Maximum number in total.
    total: usize,
    /// Maximum number from one client address (IPv6: one /64 network).
    of_one: u32,
}

/// Bounds of password checks, each of which takes tens of milliseconds.
pub(crate) const PASSWORDS: Bounds = Bounds {
    total: 256,
    of_one: 32,
};

/// Bounds of signature checks, each of which takes up to 300 µs.
pub(crate) const SIGNATURES: Bounds = Bounds {
    total: 1_024,
    of_one: 256,
};

/// Checks of one kind that wait or are in progress, in the whole process.
#[derive(Debug)]
pub(crate) struct CheckQueue {
    bounds: Bounds,
    /// Permits to compute: half the number of compute threads, at least one.
    permits: Arc<FairPermits>,
    waiting: Mutex<Replaceable<Entry>>,
    /// Random key of the process for the hashes in the cache, so that the hashes do not help to
    /// guess passwords.
    key: [u8; 32],
}

/// Check that waits or is in progress, as an entry of the queue.
#[derive(Debug)]
struct Entry {
    /// Sender whose drop signals that another check replaced this one. `None` once the check is in
    /// progress.
    replaced: Option<oneshot::Sender<()>>,
}

/// Entry of a request in the queue. Dropping this value removes the entry.
pub(crate) struct QueueEntry<'p> {
    queue: &'p CheckQueue,
    number: u64,
    replaced: oneshot::Receiver<()>,
}

/// Error: a check of another network has replaced this check in the queue.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Replaced;

// === impl CheckQueue ===

impl CheckQueue {
    /// Creates a queue without entries. `threads` is the number of threads for computations.
    pub(crate) fn new(threads: usize, bounds: Bounds) -> Self {
        let mut key = [0; 32];
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let filled = provider.secure_random.fill(&mut key);
        filled.expect("the operating system must provide random numbers");
        Self {
            bounds,
            permits: FairPermits::new((threads / 2).max(1)),
            waiting: Mutex::new(Replaceable::new()),
            key,
        }
    }

    /// Key under which equal checks share their result, and under which the result is cached.
    pub(crate) fn key_of(&self, id: AskId) -> Key {
        let hash = Sha256::new_with_prefix(self.key).chain_update(id.to_bytes());
        hash.finalize().into()
    }

    /// Waits for a permit to compute. Client addresses take turns. Returns `None` only if the queue
    /// of permits was dropped.
    pub(crate) async fn permit(&self, client: IpAddr) -> Option<Permit> {
        self.permits.take(client).await
    }

    /// Adds an entry to the queue. If the queue is full, replaces the last waiting check of the
    /// network with the most checks. That network must have more than twice as many checks as the
    /// client's network. Returns `None` if there is no such network, or if the client address
    /// already has the maximum number of checks.
    pub(crate) fn enter(&self, client: IpAddr) -> Option<QueueEntry<'_>> {
        let waiting = &mut *locked(&self.waiting);
        let places = waiting.places(client);
        if waiting.of_client(places) >= self.bounds.of_one {
            return None;
        }
        if waiting.len() >= self.bounds.total {
            let number = waiting.replaceable(places, |entry| entry.replaced.is_some())?;
            waiting.remove(number);
        }
        let (sender, replaced) = oneshot::channel();
        let entry = Entry {
            replaced: Some(sender),
        };
        let number = waiting.add(places, entry);
        Some(QueueEntry {
            queue: self,
            number,
            replaced,
        })
    }
}

// === impl QueueEntry ===

impl QueueEntry<'_> {
    /// Waits for `result`, or until a check of another network replaces this one.
    ///
    /// # Errors
    /// [`Replaced`] if another check has replaced this one.
    pub(crate) async fn keep<T>(&mut self, result: impl Future<Output = T>) -> Result<T, Replaced> {
        tokio::select! {
            biased;
            result = result => Ok(result),
            _ = &mut self.replaced => Err(Replaced),
        }
    }

    /// Marks the check as in progress, so that no other check replaces it.
    ///
    /// # Errors
    /// [`Replaced`] if another check has already replaced this one.
    pub(crate) fn mark_started(&self) -> Result<(), Replaced> {
        let mut waiting = locked(&self.queue.waiting);
        let entry = waiting.get_mut(self.number).ok_or(Replaced)?;
        entry.replaced = None;
        Ok(())
    }
}

impl Drop for QueueEntry<'_> {
    fn drop(&mut self) {
        locked(&self.queue.waiting).remove(self.number);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// True if another check has replaced this one.
    fn is_replaced(place: &mut QueueEntry<'_>) -> bool {
        use oneshot::error::TryRecvError;
        place.replaced.try_recv() == Err(TryRecvError::Closed)
    }

    #[test]
    fn line_is_bounded_in_all_and_for_each_address() {
        let queue = CheckQueue::new(4, PASSWORDS);
        let mut places: Vec<QueueEntry<'_>> = Vec::new();
        let own = std::iter::from_fn(|| queue.enter(of("2001:db8::1")));
        places.extend(own);
        assert_eq!(places.len(), PASSWORDS.of_one as usize);
        assert!(queue.enter(of("2001:db8::ffff:1")).is_none());
        assert!(queue.enter(of("2001:db8:0:1::1")).is_some());
        for number in 0..=u8::MAX {
            let address = IpAddr::from([10, 0, 0, number]);
            places.extend(queue.enter(address));
        }
        assert_eq!(locked(&queue.waiting).len(), PASSWORDS.total);
        places.clear();
        assert_eq!(locked(&queue.waiting).len(), 0);
        assert!(queue.enter(of("10.0.0.1")).is_some());
    }

    /// Fills the queue with checks of `clients`, then adds checks of 80 other clients. Expects that
    /// nearly all of these replace checks of `clients`.
    fn flooded(clients: impl Iterator<Item = IpAddr>) {
        let queue = CheckQueue::new(4, PASSWORDS);
        let victims: Vec<_> = (1..3u8)
            .map(|number| queue.enter(IpAddr::from([192, 0, number, 1])).unwrap())
            .collect();
        let flood = clients.map(|client| queue.enter(client).unwrap());
        let mut flood: Vec<_> = flood.take(PASSWORDS.total - victims.len()).collect();
        let begun = flood[3].mark_started();
        assert_eq!(begun, Ok(()));
        let others = (0..80u8).map(|number| queue.enter(IpAddr::from([203, number, 113, 9])));
        let others: Vec<_> = others.flatten().collect();
        let last = flood[PASSWORDS.total - 3].mark_started();
        assert_eq!(last, Err(Replaced), "the last one left");
        assert_eq!(flood[0].mark_started(), Ok(()));
        let gone = flood.iter_mut().map(is_replaced).filter(|gone| *gone);
        // Expect 78, not 80: by chance (1 in 8,192) another network shares counters with the flood.
        // The two checks in progress have dropped their senders, but keep their entries.
        assert!(gone.count() >= 78);
        let kept = victims.into_iter().chain(others);
        let kept = kept.filter_map(|mut place| (!is_replaced(&mut place)).then_some(place));
        let kept: Vec<_> = kept.collect();
        assert!(kept.len() >= 78, "{}", kept.len());
        drop((kept, flood));
        assert_eq!(locked(&queue.waiting).len(), 0);
    }

    #[test]
    fn full_line_takes_places_of_the_largest_network() {
        let within = |number: u16| IpAddr::from([0x2001, 0xdb8, 1, number, 0, 0, 0, 1]);
        flooded((0..=u16::MAX).map(within));
        flooded((0..=u16::MAX).map(|number| within(number.rotate_left(8))));
        flooded((0..=u8::MAX).map(|last| IpAddr::from([198, 51, 100, last])));
        // The flood comes from 8 networks, with 32 checks each.
        flooded((0..256u16).map(|number| within(number / 32)));
    }

    #[test]
    fn line_of_signatures_has_bounds_of_its_own() {
        let queue = CheckQueue::new(4, SIGNATURES);
        let mut places: Vec<QueueEntry<'_>> = Vec::new();
        places.extend(std::iter::from_fn(|| queue.enter(of("192.0.2.1"))));
        assert_eq!(places.len(), SIGNATURES.of_one as usize);
        for number in 0..SIGNATURES.total as u32 - SIGNATURES.of_one {
            let [_, _, high, low] = number.to_be_bytes();
            places.extend(queue.enter(IpAddr::from([10, high, low, 1])));
        }
        assert_eq!(locked(&queue.waiting).len(), SIGNATURES.total);
        assert!(queue.enter(of("192.0.2.1")).is_none());
        assert!(queue.enter(of("203.0.113.9")).is_some());
    }

    #[test]
    fn half_of_the_threads_compute_hashes() {
        for (threads, expected) in [(1, 1), (2, 1), (3, 1), (4, 2), (16, 8)] {
            let permits = CheckQueue::new(threads, PASSWORDS).permits.free();
            assert_eq!(permits, expected);
        }
    }
}
