//! Entries of clients in a queue. If the queue is full, a new entry may replace an existing one.
//!
//! The replaced entry is the newest one of the network with the most entries. That network must
//! have more than twice as many entries as the network of the new entry
//! ([`NetworkCounts::excess`]). A flood from one network therefore replaces only its own entries.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::net::IpAddr;

use policy::network::{LEVELS, NetworkCounts, Networks, Places};

use crate::limits::hashing::KeyedHash;

/// Number of entries of each network that are never replaced by an entry of another network.
const KEPT_OF_NETWORK: u32 = 1;
/// Number of counters for each width of network.
const COUNTERS: usize = 1 << 14;

/// Entries with a value of type `T`, by entry number. Numbers are assigned in the order of arrival.
#[derive(Debug)]
pub(crate) struct Replaceable<T> {
    entries: HashMap<u64, (Places, T)>,
    /// Number for the entry that is added next.
    next: u64,
    counts: NetworkCounts,
    /// Upper bounds of the counts of all networks with entries, by width.
    largest: [u32; LEVELS],
    hashing: KeyedHash,
}

impl<T> Replaceable<T> {
    pub(crate) fn new() -> Self {
        Self {
            entries: HashMap::new(),
            next: 0,
            counts: NetworkCounts::new(COUNTERS),
            largest: [0; LEVELS],
            hashing: KeyedHash::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Indices of the counters that count a client's networks.
    pub(crate) fn places(&self, client: IpAddr) -> Places {
        Networks::of(client).places(|bytes| self.hashing.hash_one(bytes))
    }

    /// Number of entries of a client address (IPv6: of its /64 network).
    pub(crate) fn of_client(&self, places: Places) -> u32 {
        let [own, ..] = self.counts.counts(places);
        own
    }

    /// Adds an entry and returns its number.
    pub(crate) fn add(&mut self, places: Places, value: T) -> u64 {
        let number = self.next;
        self.next += 1;
        self.entries.insert(number, (places, value));
        self.counts.add(places);
        self.largest = max(self.largest, self.counts.counts(places));
        number
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        self.entries.get_mut(&number).map(|(_, value)| value)
    }

    /// Removes an entry. `None` if it has been removed before.
    pub(crate) fn remove(&mut self, number: u64) -> Option<T> {
        let (places, value) = self.entries.remove(&number)?;
        self.counts.remove(places);
        Some(value)
    }

    /// Number of the entry that a new entry of this client may replace. Entries for which
    /// `may_leave` is false are kept. `None` if there is no such entry.
    ///
    /// Searches all entries only if another network may have more than twice as many as this
    /// client's network. Requests of a flood therefore cost no search.
    #[expect(
        clippy::iter_over_hash_type,
        reason = "the order of the entries does not matter: their numbers differ"
    )]
    pub(crate) fn replaceable(
        &mut self,
        newcomer: Places,
        may_leave: impl Fn(&T) -> bool,
    ) -> Option<u64> {
        let own = self.counts.counts(newcomer);
        if self
            .largest
            .iter()
            .zip(own)
            .all(|(most, own)| most / 2 <= own)
        {
            return None;
        }
        let mut last: Option<(u32, u64)> = None;
        self.largest = [0; LEVELS];
        for (number, (places, value)) in &self.entries {
            self.largest = max(self.largest, self.counts.counts(*places));
            let excess = self.counts.excess(*places, newcomer, KEPT_OF_NETWORK);
            if let Some(excess) = excess.filter(|_| may_leave(value)) {
                last = last.max(Some((excess, *number)));
            }
        }
        last.map(|(_, number)| number)
    }
}

/// Greater of the two counts for each width of network.
fn max(one: [u32; LEVELS], other: [u32; LEVELS]) -> [u32; LEVELS] {
    std::array::from_fn(|level| one[level].max(other[level]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Property test: the search is skipped only if it would find no entry.
    #[test]
    fn bounds_of_the_counts_miss_no_entry() {
        let client = |number: u8| IpAddr::from([203, 0, number / 8, number % 8]);
        let mut random = 7_u32;
        let mut draw = |below: u32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 16) % below
        };
        let mut entries = Replaceable::new();
        let mut numbers = Vec::new();
        for _ in 0..4_000 {
            // Small numbers are more frequent, so that some networks are large.
            let number = u8::try_from(draw(64).min(draw(64)).min(draw(64))).unwrap();
            let places = entries.places(client(number));
            let own = |(at, _): &&(u64, Places)| entries.entries.contains_key(at);
            let may_be = numbers.iter().filter(own).any(|(_, holder)| {
                let excess = entries.counts.excess(*holder, places, KEPT_OF_NETWORK);
                excess.is_some()
            });
            assert_eq!(entries.replaceable(places, |_| true).is_some(), may_be);
            numbers.push((entries.add(places, ()), places));
            if numbers.len() > 100 {
                let at = draw(100) as usize;
                entries.remove(numbers.swap_remove(at).0);
            }
        }
    }

    #[test]
    fn newcomer_replaces_the_newest_of_the_largest() {
        let mut entries = Replaceable::new();
        let large = entries.places(IpAddr::from([198, 51, 100, 1]));
        let small = entries.places(IpAddr::from([203, 0, 113, 1]));
        let newcomer = entries.places(IpAddr::from([192, 0, 2, 1]));
        for number in 0..8 {
            assert_eq!(entries.add(large, number), number);
        }
        entries.add(small, 8);
        assert_eq!((entries.of_client(large), entries.of_client(small)), (8, 1));
        assert_eq!(entries.replaceable(newcomer, |_| true), Some(7));
        assert_eq!(entries.replaceable(newcomer, |value| *value < 5), Some(4));
        assert_eq!(entries.replaceable(large, |_| true), None);
        assert_eq!((entries.remove(7), entries.remove(7)), (Some(7), None));
        assert_eq!(entries.replaceable(newcomer, |_| true), Some(6));
        assert_eq!((entries.len(), entries.of_client(large)), (8, 7));
    }
}
