//! Encoding of counter tables, so that counters survive a restart.
//!
//! The encoding is binary. Its parts, with little-endian numbers of eight bytes:
//!
//! 1. the name of the format with its version (eight bytes);
//! 2. the seed: two numbers;
//! 3. for each table, the number of its slots, and five numbers for each slot;
//! 4. the SHA-256 of everything before it.

use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};

use super::{BUSY, EMPTY, Hasher, RateTable, TIME_MASK, is_of};
use crate::network::Places;

/// Seed and counters of a table, for saving and restoring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Seed of the hash function for keys.
    pub seed: [u64; 2],
    /// Integers of each slot in use: tag, word, counts, owner, and the `Places` of its networks.
    pub slots: Vec<[u64; 5]>,
}

/// First bytes of the encoding: the name of the format with its version.
const MAGIC: &[u8; 8] = b"gwdquot2";
/// Length of the SHA-256 at the end, in bytes.
const DIGEST: usize = 32;

/// Encodes the counters of tables that have the same seed.
#[must_use]
pub fn encode(tables: &[Saved]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    let seed = tables.first().map_or([0; 2], |first| first.seed);
    out.extend(seed.into_iter().flat_map(u64::to_le_bytes));
    for table in tables {
        out.extend((table.slots.len() as u64).to_le_bytes());
        out.extend(
            table
                .slots
                .iter()
                .flatten()
                .flat_map(|word| word.to_le_bytes()),
        );
    }
    let digest = Sha256::digest(&out);
    out.extend_from_slice(&digest);
    out
}

/// Decodes bytes that [`encode`] wrote.
///
/// # Errors
/// Text of the first mistake in the bytes.
pub fn decode(bytes: &[u8]) -> Result<Vec<Saved>, &'static str> {
    let end = bytes.len().checked_sub(DIGEST).ok_or("it is too short")?;
    let (hashed, digest) = bytes.split_at(end);
    let content_only = hashed
        .strip_prefix(MAGIC)
        .ok_or("it has another format or version")?;
    if Sha256::digest(hashed)[..] != *digest {
        return Err("its digest is wrong");
    }
    content(content_only)
}

/// Decodes the part between the name of the format and the SHA-256.
///
/// # Errors
/// Text of the first mistake in the bytes.
pub fn content(rest: &[u8]) -> Result<Vec<Saved>, &'static str> {
    let (words, odd) = rest.as_chunks::<8>();
    if !odd.is_empty() {
        return Err("its length is wrong");
    }
    let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
    let mut next = || words.next().ok_or("its length is wrong");
    let seed = [next()?, next()?];
    let mut tables = Vec::new();
    while let Ok(count) = next() {
        let mut slots = Vec::new();
        for _ in 0..count {
            slots.push([next()?, next()?, next()?, next()?, next()?]);
        }
        tables.push(Saved { seed, slots });
    }
    Ok(tables)
}

/// Hash function with a saved seed. Its results are the same in every process.
#[expect(
    deprecated,
    reason = "`DefaultHasher` promises no algorithm and takes no seed"
)]
pub(super) fn hasher(seed: &[AtomicU64; 2]) -> std::hash::SipHasher {
    let [first, second] = seed.each_ref().map(|word| word.load(Ordering::Relaxed));
    std::hash::SipHasher::new_with_keys(first, second)
}

impl RateTable {
    /// Returns true if a counter has changed since the last call, and clears the flag.
    pub fn take_changed(&self) -> bool {
        self.changed.swap(false, Ordering::AcqRel)
    }

    /// Marks the counters as changed again. For use after a failed save.
    pub fn mark_changed(&self) {
        self.note_change();
    }

    /// Saves the counters whose periods have not ended at `now_ns` (Unix time). `None` for a table
    /// that is not saved.
    #[must_use]
    pub fn save(&self, now_ns: u64) -> Option<Saved> {
        let Hasher::Saved(seed) = &self.hasher else {
            return None;
        };
        let now = self.ticks(now_ns);
        let memory = self.memory.get().into_iter();
        let slots = memory.flat_map(|memory| {
            let slots = memory.groups.iter().flat_map(|group| &group.0);
            slots.zip(&memory.networks)
        });
        let slots = slots.filter_map(|(slot, networks)| {
            let tag = slot.tag.load(Ordering::Acquire);
            let words = [&slot.word, &slot.counts, &slot.owner];
            let [word, counts, owner] = words.map(|word| word.load(Ordering::Acquire));
            let networks = networks.load(Ordering::Acquire);
            // Skip a slot that another key claims while this thread reads it.
            let whole = is_of(word, tag) && slot.tag.load(Ordering::Acquire) == tag;
            let matters = tag > BUSY && word & TIME_MASK > now;
            (whole && matters).then_some([tag, word, counts, owner, networks])
        });
        Some(Saved {
            seed: seed.each_ref().map(|word| word.load(Ordering::Relaxed)),
            slots: slots.collect(),
        })
    }

    /// Restores the seed and the counters of a saved table. Must run before the first request is
    /// counted. Returns the number of counters that found no free slot.
    pub fn restore(&self, saved: &Saved) -> usize {
        let Hasher::Saved(seed) = &self.hasher else {
            return saved.slots.len();
        };
        for (word, value) in seed.iter().zip(saved.seed) {
            word.store(value, Ordering::Relaxed);
        }
        // Any of the slots may be a copy of a counter in a store.
        let has_slots = !saved.slots.is_empty();
        self.has_copies.store(has_slots, Ordering::Relaxed);
        let mut lost = 0;
        for [tag, word, counts, owner, networks] in &saved.slots {
            let mut slots = self.candidates(*tag);
            let slot = slots.find(|(_, slot)| slot.tag.load(Ordering::Relaxed) == EMPTY);
            let Some((at, slot)) = slot.filter(|_| *tag > BUSY && is_of(*word, *tag)) else {
                lost += 1;
                continue;
            };
            slot.owner.store(*owner, Ordering::Relaxed);
            slot.counts.store(*counts, Ordering::Relaxed);
            slot.word.store(*word, Ordering::Relaxed);
            slot.tag.store(*tag, Ordering::Release);
            self.used_slots_of(*owner).fetch_add(1, Ordering::Relaxed);
            self.set_places(at, Places::from_word(*networks));
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate::{Algorithm, Tokens};
    use crate::state::StateId;

    const NOW_NS: u64 = 1_700_000_000_000_000_000;

    fn used_up(table: &RateTable, key: &[u8], algorithm: Algorithm) -> usize {
        let state = StateId(7);
        let tokens = Tokens {
            algorithm,
            count: 3,
            period_ms: 86_400_000,
            burst: 3,
        };
        let tag = table.tag(state, &[key]);
        let takes = (0..5).filter(|_| table.take(state, tag, tokens, 1, NOW_NS).admitted);
        takes.count()
    }

    #[test]
    fn restored_table_continues_its_counts() {
        let day = Algorithm::Calendar(u32::try_from(NOW_NS / 60_000_000_000).unwrap() + 60);
        let table = RateTable::saved(64, [1, 2]);
        assert_eq!(used_up(&table, b"a", day), 3);
        assert_eq!(used_up(&table, b"b", Algorithm::Window), 3);
        assert!(table.take_changed() && !table.take_changed());
        let saved = table.save(NOW_NS).unwrap();
        assert_eq!((saved.seed, saved.slots.len()), ([1, 2], 2));
        // Restore to a table with another seed and another size.
        let other = RateTable::saved(4_096, [8, 9]);
        assert_eq!(other.restore(&saved), 0);
        assert_eq!(used_up(&other, b"a", day), 0);
        assert_eq!(used_up(&other, b"b", Algorithm::Window), 0);
        assert_eq!(used_up(&other, b"c", day), 3);
        // When all periods are over, no counter is saved.
        let later = table.save(NOW_NS + 3 * 86_400_000_000_000).unwrap();
        assert_eq!(later.slots, Vec::<[u64; 5]>::new());
    }

    #[test]
    fn slots_with_impossible_words_are_left_out() {
        let table = RateTable::saved(64, [1, 2]);
        let slots = vec![
            [EMPTY, 0, 0, 0, 0],
            [BUSY, 0, 0, 0, 0],
            [u64::MAX, 1, 1, 1, 1],
        ];
        assert_eq!(
            table.restore(&Saved {
                seed: [3, 4],
                slots
            }),
            3
        );
        assert_eq!(table.save(NOW_NS).unwrap().slots.len(), 0);
    }

    #[test]
    fn encoded_tables_are_read_again() {
        let table = |slots: &[[u64; 5]]| Saved {
            seed: [5, 6],
            slots: slots.to_vec(),
        };
        let tables = [
            table(&[[2, 3, 4, 5, 6], [6, 7, 8, u64::MAX, 0]]),
            table(&[]),
        ];
        let bytes = encode(&tables);
        assert_eq!(bytes.len(), 8 + 16 + 8 + 80 + 8 + 32);
        assert_eq!(decode(&bytes).unwrap(), tables);
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_err(), "{cut}");
            let mut damaged = bytes.clone();
            damaged[cut] ^= 1;
            assert!(decode(&damaged).is_err(), "{cut}");
        }
    }

    /// Checks that a number of slots larger than the bytes allow is refused, even if the SHA-256 is
    /// correct.
    #[test]
    fn count_without_slots_is_refused() {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([[0; 8], [0; 8], [0xFF; 8]].as_flattened());
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest);
        assert_eq!(decode(&bytes), Err("its length is wrong"));
    }

    #[test]
    fn process_table_is_not_saved() {
        let table = RateTable::new(64, std::hash::RandomState::new());
        assert_eq!(table.save(NOW_NS), None);
        assert!(!table.take_changed());
    }
}
