//! Queue of password checks.
//!
//! Hashes use at most half of the threads for computations, so that TLS handshakes with RSA keys can
//! continue. The other checks wait in a queue, which is limited in total and for each client
//! address. A flood of wrong passwords therefore delays only the requests of its sender.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use policy::ask::AskId;
use policy::password::Check;
use sha2::{Digest as _, Sha256};

use crate::answers::joined::Key;
use crate::limits::fair::{FairPermits, Permit, network};

/// Maximum number of requests whose check waits or is in progress.
const WAITING_MAX: usize = 256;
/// Maximum number of requests from one client address (IPv6: one /64 network) whose check waits or
/// is in progress, while less than half of the places are taken.
const WAITING_OF_ONE_MAX: usize = 32;
/// The same maximum while at least half of the places are taken, so that a few addresses cannot take
/// all of them.
const CROWDED_OF_ONE_MAX: usize = 1;

/// Password checks of the process that wait or are in progress.
#[derive(Debug)]
pub(crate) struct Passwords {
    /// Permits to compute a hash.
    permits: Arc<FairPermits>,
    waiting: Mutex<Waiting>,
    /// Random key of the process for the hashes in the cache, so that the hashes do not help to
    /// guess passwords.
    key: [u8; 32],
}

#[derive(Debug, Default)]
struct Waiting {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Place of a request in the queue. Dropping this value frees the place.
pub(crate) struct Place<'p> {
    passwords: &'p Passwords,
    address: IpAddr,
}

// === impl Passwords ===

impl Passwords {
    /// Creates a queue without entries. `threads` is the number of threads for computations.
    pub(crate) fn new(threads: usize) -> Self {
        let mut key = [0; 32];
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let filled = provider.secure_random.fill(&mut key);
        filled.expect("the operating system must provide random numbers");
        Self {
            permits: FairPermits::new((threads / 2).max(1)),
            waiting: Mutex::default(),
            key,
        }
    }

    /// Key of a check in the cache.
    pub(crate) fn key_of(&self, check: &Check) -> Key {
        let hash =
            Sha256::new_with_prefix(self.key).chain_update(AskId::of_password(check).to_bytes());
        hash.finalize().into()
    }

    /// Waits for a permit to compute a hash. Client addresses take turns.
    pub(crate) async fn permit(&self, client: IpAddr) -> Option<Permit> {
        self.permits.take(client).await
    }

    /// Takes a place in the queue. `None` if the queue is full, in total or for this client
    /// address.
    pub(crate) fn enter(&self, client: IpAddr) -> Option<Place<'_>> {
        let address = network(client);
        let mut waiting = locked(&self.waiting);
        let own = waiting.by_address.get(&address).copied().unwrap_or(0);
        let own_max = match waiting.all < WAITING_MAX / 2 {
            true => WAITING_OF_ONE_MAX,
            false => CROWDED_OF_ONE_MAX,
        };
        if waiting.all >= WAITING_MAX || own >= own_max {
            return None;
        }
        waiting.all += 1;
        waiting.by_address.insert(address, own + 1);
        Some(Place {
            passwords: self,
            address,
        })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = locked(&self.passwords.waiting);
        waiting.all -= 1;
        if let Some(own) = waiting.by_address.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                waiting.by_address.remove(&self.address);
            }
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_is_bounded_in_all_and_for_each_address() {
        let passwords = Passwords::new(4);
        let of = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut places: Vec<Place<'_>> = Vec::new();
        let own = std::iter::from_fn(|| passwords.enter(of("2001:db8::1")));
        places.extend(own);
        assert_eq!(places.len(), WAITING_OF_ONE_MAX);
        assert!(passwords.enter(of("2001:db8::ffff:1")).is_none());
        assert!(passwords.enter(of("2001:db8:0:1::1")).is_some());
        for number in 0..=u8::MAX {
            let address = IpAddr::from([10, 0, 0, number]);
            places.extend(passwords.enter(address));
        }
        assert_eq!(places.len(), WAITING_MAX);
        places.clear();
        // A few addresses with many requests leave places for others.
        for number in 0..16u8 {
            let address = IpAddr::from([192, 0, 2, number]);
            places.extend(std::iter::from_fn(|| passwords.enter(address)));
        }
        assert_eq!(places.len(), WAITING_MAX / 2 + 12);
        assert!(passwords.enter(of("10.0.0.1")).is_some());
        places.clear();
        assert!(locked(&passwords.waiting).by_address.is_empty());
        assert!(passwords.enter(of("10.0.0.1")).is_some());
    }

    #[test]
    fn half_of_the_threads_compute_hashes() {
        for (threads, expected) in [(1, 1), (2, 1), (3, 1), (4, 2), (16, 8)] {
            let permits = Passwords::new(threads).permits.free();
            assert_eq!(permits, expected);
        }
    }
}
