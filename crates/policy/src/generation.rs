//! Caches in two generations, with a share of the room for each caller.
//!
//! New and used entries are in the younger generation. When the younger generation is full, it
//! replaces the older generation. This removes the entries that were not used since the last
//! replacement. If one caller has more than a quarter of the younger generation's bytes
//! ([`SHARE`]), only entries of this caller are moved and removed: the caller evicts no entries of
//! other callers.
#![expect(
    clippy::disallowed_types,
    reason = "keys that clients choose need a random seed, and no result depends on the order"
)]

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash};

use rustc_hash::{FxBuildHasher, FxHashMap};

/// Divisor of a generation's maximum size. If one caller has more bytes than this share of the
/// younger generation, only entries of this caller are moved and removed.
const SHARE: usize = 4;

/// Half of a cache: entries with their sizes in bytes.
pub struct Generation<K, V, S = FxBuildHasher> {
    entries: HashMap<K, Entry<V>, S>,
    bytes: usize,
}

struct Entry<V> {
    value: V,
    bytes: usize,
    caller: u64,
}

impl<K, V, S: Default> Default for Generation<K, V, S> {
    fn default() -> Self {
        Self {
            entries: HashMap::default(),
            bytes: 0,
        }
    }
}

/// Omits the entries, because they may contain tokens.
impl<K, V, S> fmt::Debug for Generation<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation")
            .field("entries", &self.entries.len())
            .field("bytes", &self.bytes)
            .finish()
    }
}

impl<K: Eq + Hash, V, S: BuildHasher + Default> Generation<K, V, S> {
    /// Value of a key. `None` if there is no such entry.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// Value of a key, to be changed. `None` if there is no such entry.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|entry| &mut entry.value)
    }

    /// Size of an entry, in bytes, and its caller. `None` if there is no such entry.
    #[must_use]
    pub fn size_of(&self, key: &K) -> Option<(usize, u64)> {
        let entry = self.entries.get(key)?;
        Some((entry.bytes, entry.caller))
    }

    /// Adds an entry of this size, or replaces the entry of the key. `caller` identifies the caller
    /// whose share contains the entry.
    pub fn insert(&mut self, key: K, value: V, (bytes, caller): (usize, u64)) {
        let entry = Entry {
            value,
            bytes,
            caller,
        };
        self.bytes += bytes;
        if let Some(before) = self.entries.insert(key, entry) {
            self.bytes -= before.bytes;
        }
    }

    /// Removes an entry. `None` if there is no such entry.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let entry = self.entries.remove(key)?;
        self.bytes -= entry.bytes;
        Some(entry.value)
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Size of all entries, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes room in this full, younger generation: moves its entries to the older one, and removes
    /// the entries of the older one. If one caller has more than its share, moves and removes only
    /// the entries of this caller. `bytes_max` is the maximum size of a generation. Returns the
    /// number of removed entries.
    pub fn make_room(&mut self, old: &mut Self, bytes_max: usize) -> usize {
        let Some(caller) = self.largest_caller(bytes_max / SHARE) else {
            let removed = std::mem::replace(old, std::mem::take(self));
            return removed.entries.len();
        };
        let before = self.entries.len() + old.entries.len();
        drop(old.take_all(caller));
        for (key, entry) in self.take_all(caller) {
            if old.bytes + entry.bytes <= bytes_max {
                old.insert(key, entry.value, (entry.bytes, caller));
            }
        }
        before - (self.entries.len() + old.entries.len())
    }

    /// Caller with the most bytes, if these are more than `share`.
    fn largest_caller(&self, share: usize) -> Option<u64> {
        let mut callers: FxHashMap<u64, usize> = FxHashMap::default();
        let entries = self.entries.values();
        entries.for_each(|entry| *callers.entry(entry.caller).or_default() += entry.bytes);
        let largest = callers.into_iter().max_by_key(|(_, bytes)| *bytes);
        largest.and_then(|(caller, bytes)| (bytes > share).then_some(caller))
    }

    /// Removes all entries of a caller.
    fn take_all(&mut self, caller: u64) -> Vec<(K, Entry<V>)> {
        let own = self.entries.extract_if(|_, entry| entry.caller == caller);
        let own: Vec<(K, Entry<V>)> = own.collect();
        self.bytes -= own.iter().map(|(_, entry)| entry.bytes).sum::<usize>();
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 100;

    /// Cache of two generations, with numbers as keys.
    #[derive(Default)]
    struct Cache {
        young: Generation<u32, ()>,
        old: Generation<u32, ()>,
        removed: usize,
    }

    impl Cache {
        fn insert(&mut self, key: u32, caller: u64) {
            if self.young.bytes() + 10 > MAX {
                self.removed += self.young.make_room(&mut self.old, MAX);
            }
            self.young.insert(key, (), (10, caller));
            assert!(self.young.bytes() <= MAX && self.old.bytes() <= MAX);
            let counted = |one: &Generation<u32, ()>| one.len() * 10 == one.bytes();
            assert!(counted(&self.young) && counted(&self.old));
        }

        fn has(&self, key: u32) -> bool {
            self.young.get(&key).is_some() || self.old.get(&key).is_some()
        }
    }

    #[test]
    fn flood_of_one_caller_evicts_its_own_entries_only() {
        let mut cache = Cache::default();
        (0..3).for_each(|key| cache.insert(key, 1));
        (100..1_000).for_each(|key| cache.insert(key, 2));
        assert!((0..3).all(|key| cache.has(key)));
        assert!(cache.has(999), "the newest entry is cached");
        let left = cache.young.len() + cache.old.len();
        assert_eq!(cache.removed + left, 903);
    }

    #[test]
    fn floods_of_two_callers_evict_no_third_one() {
        let mut cache = Cache::default();
        (0..2).for_each(|key| cache.insert(key, 1));
        (100..1_000).for_each(|key| cache.insert(key, 2 + u64::from(key % 2)));
        assert!((0..2).all(|key| cache.has(key)));
    }

    #[test]
    fn many_callers_evict_unused_entries() {
        let mut cache = Cache::default();
        (0..30).for_each(|key| cache.insert(key, u64::from(key)));
        assert!(!cache.has(0) && cache.has(15) && cache.has(29));
    }

    #[test]
    fn only_caller_has_the_whole_room() {
        let mut cache = Cache::default();
        (0..20).for_each(|key| cache.insert(key, 1));
        assert!((0..20).all(|key| cache.has(key)));
        cache.insert(20, 1);
        assert!(!cache.has(0) && cache.has(10) && cache.has(20));
    }
}
