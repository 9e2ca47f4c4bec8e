//! Requests in flight by key: who has how many, in a table of fixed size that all workers share.
//!
//! One word per key: its hash and its count. A key has a slot while it has requests in flight and
//! none before and after, so that nothing is ever forgotten or swept. What is taken is given back
//! by dropping the [`Lease`], whichever way a request ends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Keys that can have requests in flight at once: a power of two.
const SLOTS: usize = 1 << 16;
/// Slots that are looked at for a key.
const PROBES: usize = 32;
/// Bits of the count; those above are the key's hash.
const COUNT_BITS: u32 = 25;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// The requests in flight of a process.
#[derive(Debug, Default)]
pub struct Leases {
    /// Made when first used: a gateway without such limits pays nothing for them.
    slots: OnceLock<Box<[AtomicU64]>>,
}

/// A request in flight, counted until this is dropped.
#[derive(Debug)]
pub struct Lease {
    leases: Arc<Leases>,
    at: usize,
}

impl Leases {
    /// One request more of a key, and how many it has with it; none where it has as many as it
    /// may, or where so many keys have requests in flight that there is no slot left. `tag` is the
    /// key's hash.
    pub fn take(self: &Arc<Self>, tag: u64, limit: u64) -> Option<(Lease, u64)> {
        let slots = self.slots();
        // The lower bits say where, the upper ones who.
        let first = usize::try_from(tag & (SLOTS as u64 - 1)).unwrap_or(0);
        let who = (tag >> COUNT_BITS).max(1) << COUNT_BITS;
        let lease = |at| Lease {
            leases: Arc::clone(self),
            at,
        };
        let places = || (0..PROBES).map(|probe| (first + probe) & (SLOTS - 1));
        'again: loop {
            let mut free = None;
            for at in places() {
                let word = slots[at].load(Ordering::Relaxed);
                if word == 0 {
                    free = free.or(Some(at));
                    continue;
                }
                if word & !COUNT_MASK != who {
                    continue;
                }
                let count = word & COUNT_MASK;
                if count >= limit.min(COUNT_MASK) {
                    return None;
                }
                if !exchange(&slots[at], word, word + 1) {
                    continue 'again;
                }
                return Some((lease(at), count + 1));
            }
            let at = free?;
            if limit == 0 || !exchange(&slots[at], 0, who | 1) {
                if limit == 0 {
                    return None;
                }
                continue;
            }
            let taken = lease(at);
            let others = places().filter(|other| *other != at);
            let mut words = others.map(|other| slots[other].load(Ordering::Relaxed));
            // Somebody gave the same key another slot meanwhile: it has one only.
            if words.any(|word| word & !COUNT_MASK == who) {
                drop(taken);
                continue;
            }
            return Some((taken, 1));
        }
    }

    fn slots(&self) -> &[AtomicU64] {
        self.slots
            .get_or_init(|| (0..SLOTS).map(|_| AtomicU64::new(0)).collect())
    }
}

fn exchange(slot: &AtomicU64, before: u64, after: u64) -> bool {
    let exchanged = slot.compare_exchange(before, after, Ordering::AcqRel, Ordering::Relaxed);
    exchanged.is_ok()
}

impl Drop for Lease {
    fn drop(&mut self) {
        let slot = &self.leases.slots()[self.at];
        let less = |word: u64| match word & COUNT_MASK {
            // The last one gives the slot back.
            0 | 1 => Some(0),
            _ => Some(word - 1),
        };
        let _always = slot.fetch_update(Ordering::AcqRel, Ordering::Relaxed, less);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(leases: &Leases) -> usize {
        let words = leases.slots().iter();
        words
            .filter(|word| word.load(Ordering::Relaxed) != 0)
            .count()
    }

    #[test]
    fn key_gets_its_leases_back_when_they_are_dropped() {
        let leases = Arc::<Leases>::default();
        let (one, count) = leases.take(7 << 40, 2).unwrap();
        assert_eq!(count, 1);
        let (two, count) = leases.take(7 << 40, 2).unwrap();
        assert_eq!(count, 2);
        assert!(leases.take(7 << 40, 2).is_none());
        assert!(leases.take(8 << 40, 2).is_some(), "another key");
        drop(one);
        let (_three, count) = leases.take(7 << 40, 2).unwrap();
        assert_eq!(count, 2);
        assert_eq!(used(&leases), 1);
        drop(two);
        drop(_three);
        assert_eq!(used(&leases), 0);
        assert!(leases.take(7 << 40, 0).is_none());
        assert_eq!(used(&leases), 0);
    }

    #[test]
    fn keys_of_one_place_have_their_own_slots() {
        let leases = Arc::<Leases>::default();
        let held: Vec<_> = (1..=40).map(|key| leases.take(key << 40, 5)).collect();
        assert_eq!(held.iter().flatten().count(), PROBES);
        drop(held);
        assert_eq!(used(&leases), 0);
    }

    #[test]
    fn threads_never_have_more_together_than_may_be() {
        let leases = Arc::<Leases>::default();
        let threads: Vec<_> = (0..4u64)
            .map(|thread| {
                let leases = Arc::clone(&leases);
                std::thread::spawn(move || {
                    let mut most = 0;
                    for round in 0..20_000u64 {
                        let key = (round + thread) % 3 + 1;
                        if let Some((lease, count)) = leases.take(key << 40, 2) {
                            most = most.max(count);
                            std::hint::black_box(&lease);
                        }
                    }
                    most
                })
            })
            .collect();
        for thread in threads {
            assert!((1..=2).contains(&thread.join().unwrap()));
        }
        assert_eq!(used(&leases), 0);
    }
}
