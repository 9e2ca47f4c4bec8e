//! Numbers that a process uses once, for values that are derived from a secret.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// Source of numbers that never occur twice: a seed of the process and a counter. The numbers are
/// not secret.
#[derive(Debug)]
pub struct Unique {
    seed: [u64; 3],
    count: AtomicU64,
}

impl Unique {
    /// Source with a seed of three random hashes.
    #[must_use]
    pub fn new(random: impl Fn() -> RandomState) -> Self {
        Self {
            seed: [0, 1, 2].map(|number: u64| random().hash_one(number)),
            count: AtomicU64::new(0),
        }
    }

    /// Next number, which this source never returns again.
    pub fn next(&self) -> [u8; 32] {
        let [first, second, third] = self.seed;
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let mut number = [0; 32];
        let parts = number.chunks_exact_mut(8);
        for (part, word) in parts.zip([first, second, third, count]) {
            part.copy_from_slice(&word.to_le_bytes());
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_occur_once() {
        let (one, other) = (Unique::new(RandomState::new), Unique::new(RandomState::new));
        let all = [one.next(), one.next(), other.next(), other.next()];
        for (at, number) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(number));
        }
    }
}
