//! Used credentials that are valid once: proofs of possession (RFC 9449 §11.1) and nonces of
//! signatures (RFC 9421 §7.2.2). The table is outside snapshots, so that a rollback does not remove
//! used credentials. All workers of a process share the table.
//!
//! The table stores a proof or nonce until no verifier accepts its age any more, and never removes
//! it earlier. If the table is full, further proofs are refused. While more than half of a shard is
//! in use, one caller may use at most a quarter of the shard. A caller with many proofs therefore
//! cannot lock out others.

#[cfg(feature = "author")]
pub(in crate::auth) mod author;

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::auth::Checked;

/// Number of shards, each with a lock.
const SHARDS: usize = 16;

/// Estimated size of a stored proof, in bytes.
const ENTRY_BYTES: usize = 120;

/// Maximum time that a client's clock may be ahead, in seconds.
const AHEAD_S: u64 = 60;

/// Maximum number of proofs of a shard. With [`ENTRY_BYTES`] each, all shards have at most 32 MiB.
const SHARD_MAX: usize = 16_384;

/// Table of used proofs or nonces, which all workers of a process share.
#[derive(Debug)]
pub struct Replays {
    shards: [Mutex<Shard>; SHARDS],
    callers: RandomState,
    shard_max: usize,
}

/// Validity of a proof or signature. Times are Unix times in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Time at which the client created the proof.
    pub created_s: u64,
    /// Time from which the proof is too old for the verifier that accepted it.
    pub ends_s: u64,
    /// Time from which the proof is too old for every verifier. `u64::MAX`: it depends on `window`.
    pub expires_s: u64,
}

/// Longest `window` of the verifiers of a gateway whose credentials are valid once, in
/// milliseconds. 0: no such verifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Windows {
    proofs_ms: u64,
    nonces_ms: u64,
}

/// Reason why a proof is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The proof was used before.
    Replayed,
    /// The table has no room to store the proof.
    Full,
}

/// Use of a stored proof.
#[derive(Clone, Copy, Debug)]
struct Use {
    /// Hash of the caller.
    caller: u32,
    /// True if every store that verifiers named at the time of the use has a record of the proof.
    is_shared: bool,
}

#[derive(Debug, Default)]
struct Shard {
    /// Use of each stored proof.
    used: BTreeMap<[u8; 16], Use>,
    /// Number of stored proofs of which a store may have no record.
    unshared: usize,
    /// Stored proofs by the second (Unix time) from which they are too old.
    ends: BTreeMap<u64, Vec<[u8; 16]>>,
    /// Number of stored proofs, by the hash of the caller.
    callers: BTreeMap<u32, usize>,
    /// Longest window of a verifier so far, in seconds. 0: no verifier.
    window_s: u64,
    /// Time of creation (Unix time, seconds) before which a proof may have been used and removed
    /// from the table. All earlier windows were shorter.
    complete_from_s: u64,
}

impl Windows {
    /// Longest windows of these verifiers.
    #[must_use]
    pub fn of<'a>(verifiers: impl Iterator<Item = &'a Checked>) -> Self {
        let mut windows = Self::default();
        for verifier in verifiers {
            if let Checked::Dpop(dpop) = verifier {
                windows.proofs_ms = windows.proofs_ms.max(dpop.window_ms());
            }
            if let Checked::HmacSignature(signature) = verifier {
                windows.nonces_ms = windows.nonces_ms.max(signature.window_ms());
            }
        }
        windows
    }

    /// Longest window of verifiers of proofs, in milliseconds.
    #[must_use]
    pub fn proofs_ms(self) -> u64 {
        self.proofs_ms
    }

    /// Longest window of verifiers of signatures, in milliseconds.
    #[must_use]
    pub fn nonces_ms(self) -> u64 {
        self.nonces_ms
    }
}

impl Default for Replays {
    fn default() -> Self {
        Self::with_room(SHARD_MAX)
    }
}

impl Replays {
    /// Table with room for `shard_max` proofs in each shard.
    pub(in crate::auth) fn with_room(shard_max: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            callers: RandomState::new(),
            shard_max,
        }
    }

    /// Stores a proof of a caller until a time (Unix time, seconds).
    ///
    /// # Errors
    /// The proof is in the table already, or the table has no room for it.
    pub fn remember(
        &self,
        proof: [u8; 16],
        caller: &[u8],
        unix_s: u64,
        ends_s: u64,
    ) -> Result<(), Refused> {
        let times = (unix_s, ends_s);
        self.store(&mut self.shard(proof), proof, (caller, true), times)
    }

    /// Stores a proof of a caller until it is too old for every verifier. A later verifier may have
    /// a longer window than the one that accepts the proof now ([`Self::keep_for`]). `is_shared`:
    /// true if a store has a record of the proof.
    ///
    /// # Errors
    /// The proof is in the table already or may have been, or the table has no room for it.
    pub fn remember_for(
        &self,
        proof: [u8; 16],
        (caller, is_shared): (&[u8], bool),
        unix_s: u64,
        life: Life,
    ) -> Result<(), Refused> {
        let mut shard = self.shard(proof);
        if life.created_s < shard.complete_from_s {
            return Err(Refused::Replayed);
        }
        let ends_s = shard.end_of(life);
        self.store(&mut shard, proof, (caller, is_shared), (unix_s, ends_s))
    }

    /// Time from which a proof is too old for every verifier so far (Unix time, seconds).
    #[must_use]
    pub fn end_of(&self, proof: [u8; 16], life: Life) -> u64 {
        self.shard(proof).end_of(life)
    }

    /// Longest time for which a proof that is used now can be valid, in seconds: the longest window
    /// of a verifier so far, for a client whose clock is ahead.
    #[must_use]
    pub fn longest_s(&self) -> u64 {
        locked(&self.shards[0]).window_s + AHEAD_S + 1
    }

    /// Up to `max` proofs of which a store may have no record, in the order of their hashes, after
    /// the proof `after`.
    #[must_use]
    pub fn unshared(&self, after: Option<[u8; 16]>, max: usize) -> Vec<[u8; 16]> {
        let mut found: Vec<[u8; 16]> = Vec::new();
        for shard in &self.shards {
            let shard = locked(shard);
            if shard.unshared == 0 {
                continue;
            }
            let start = after.map_or(Bound::Unbounded, Bound::Excluded);
            let later = shard.used.range((start, Bound::Unbounded));
            let later = later.filter(|(_, used)| !used.is_shared);
            found.extend(later.map(|(proof, _)| *proof).take(max));
        }
        found.sort_unstable();
        found.truncate(max);
        found
    }

    /// Marks a proof as recorded in the stores of its verifiers.
    pub fn set_shared(&self, proof: [u8; 16]) {
        let mut shard = self.shard(proof);
        let changed = match shard.used.get_mut(&proof) {
            Some(used) => !std::mem::replace(&mut used.is_shared, true),
            None => false,
        };
        shard.unshared -= usize::from(changed);
    }

    /// Keeps proofs for at least this window, in milliseconds, from `unix_s` on (Unix time,
    /// seconds). Called before a verifier with this window serves requests. The window never
    /// shrinks: a rollback may bring back a verifier with a longer one.
    pub fn keep_for(&self, window_ms: u64, unix_s: u64) {
        for shard in &self.shards {
            locked(shard).keep_for(window_ms.div_ceil(1_000), unix_s);
        }
    }

    /// Stores a proof of a caller in its shard. `is_shared`: true if a store has a record of the
    /// proof. The times are the current time, and the time until which the proof is stored (Unix
    /// time, seconds).
    fn store(
        &self,
        shard: &mut Shard,
        proof: [u8; 16],
        (caller, is_shared): (&[u8], bool),
        (unix_s, ends_s): (u64, u64),
    ) -> Result<(), Refused> {
        let caller = (self.callers.hash_one(caller) >> 32) as u32;
        shard.forget_before(unix_s);
        if shard.used.contains_key(&proof) {
            return Err(Refused::Replayed);
        }
        let (all, own) = (shard.used.len(), shard.callers.get(&caller).copied());
        let is_greedy = all >= self.shard_max / 2 && own.unwrap_or(0) >= self.shard_max / 4;
        if all >= self.shard_max || is_greedy {
            return Err(Refused::Full);
        }
        shard.used.insert(proof, Use { caller, is_shared });
        shard.unshared += usize::from(!is_shared);
        shard.ends.entry(ends_s).or_default().push(proof);
        *shard.callers.entry(caller).or_default() += 1;
        Ok(())
    }

    /// True if a proof is in the table and not too old at a time (Unix time, seconds).
    #[must_use]
    pub fn contains(&self, proof: [u8; 16], unix_s: u64) -> bool {
        let mut shard = self.shard(proof);
        shard.forget_before(unix_s);
        shard.used.contains_key(&proof)
    }

    /// Number of proofs in the table. Expired proofs of a shard count until the next use of the
    /// shard removes them.
    #[must_use]
    pub fn len(&self) -> usize {
        let shards = self.shards.iter();
        shards.map(|shard| locked(shard).used.len()).sum()
    }

    /// Estimated size of the table, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.len() * ENTRY_BYTES
    }

    /// True if no proof is in the table.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Shard for a proof. A proof is a hash, so clients cannot choose the shard.
    fn shard(&self, proof: [u8; 16]) -> MutexGuard<'_, Shard> {
        locked(&self.shards[usize::from(proof[0]) % SHARDS])
    }
}

/// Locks a shard, also after a panic of another thread. A panic cannot leave the shard in a state
/// that admits a proof twice.
fn locked(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    /// Time from which a proof is too old for every verifier so far (Unix time, seconds).
    fn end_of(&self, life: Life) -> u64 {
        let longest_s = life.created_s.saturating_add(self.window_s + 1);
        life.ends_s.max(longest_s.min(life.expires_s))
    }

    /// Keeps proofs for at least this window, in seconds.
    fn keep_for(&mut self, window_s: u64, unix_s: u64) {
        if window_s <= self.window_s {
            return;
        }
        let more_s = window_s - self.window_s;
        // Without a verifier so far, no proof was used.
        if self.window_s > 0 {
            self.complete_from_s = unix_s.saturating_sub(self.window_s + 1);
            let ends = std::mem::take(&mut self.ends).into_iter();
            let later = ends.map(|(ends_s, proofs)| (ends_s.saturating_add(more_s), proofs));
            self.ends = later.collect();
        }
        self.window_s = window_s;
    }

    fn forget_before(&mut self, unix_s: u64) {
        while let Some(entry) = self.ends.first_entry().filter(|one| *one.key() < unix_s) {
            for proof in entry.remove() {
                let Some(Use { caller, is_shared }) = self.used.remove(&proof) else {
                    continue;
                };
                self.unshared -= usize::from(!is_shared);
                if let Some(number) = self.callers.get_mut(&caller) {
                    *number -= 1;
                    if *number == 0 {
                        self.callers.remove(&caller);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: u64 = 1_800_000_000;

    /// Proof with this number. All these proofs belong to one shard.
    fn proof(number: u32) -> [u8; 16] {
        let mut proof = [0; 16];
        proof[12..].copy_from_slice(&number.to_be_bytes());
        proof
    }

    #[test]
    fn used_proof_is_remembered_until_its_end() {
        let table = Replays::default();
        let used = |at_s| table.remember(proof(1), b"a", at_s, NOW_S + 60);
        assert_eq!(used(NOW_S), Ok(()));
        assert_eq!(used(NOW_S), Err(Refused::Replayed));
        assert_eq!(used(NOW_S + 60), Err(Refused::Replayed));
        assert_eq!(
            used(NOW_S - 3600),
            Err(Refused::Replayed),
            "the clock went back"
        );
        assert_eq!(table.remember(proof(2), b"b", NOW_S, NOW_S + 60), Ok(()));
        assert_eq!(table.len(), 2);
        assert_eq!(used(NOW_S + 61), Ok(()));
        assert_eq!(table.len(), 1);
    }

    /// Proof that a verifier with this window accepts.
    fn life(created_s: u64, window_s: u64) -> Life {
        Life {
            created_s,
            ends_s: created_s + window_s + 1,
            expires_s: u64::MAX,
        }
    }

    #[test]
    fn proof_is_kept_for_the_longest_window() {
        let table = Replays::default();
        table.keep_for(300_000, NOW_S);
        table.keep_for(2_000, NOW_S);
        let used = |at_s, window_s| {
            table.remember_for(proof(1), (b"a", false), at_s, life(NOW_S, window_s))
        };
        assert_eq!(used(NOW_S, 2), Ok(()));
        for at_s in [NOW_S, NOW_S + 4, NOW_S + 300, NOW_S + 301] {
            assert_eq!(used(at_s, 300), Err(Refused::Replayed), "{at_s}");
        }
        // A proof that expires before the end of the window is stored until it expires.
        let expiring = Life {
            expires_s: NOW_S + 9,
            ..life(NOW_S, 2)
        };
        let table = Replays::default();
        table.keep_for(300_000, NOW_S);
        assert_eq!(
            table.remember_for(proof(2), (b"a", false), NOW_S, expiring),
            Ok(())
        );
        assert!(table.contains(proof(2), NOW_S + 9));
        assert!(!table.contains(proof(2), NOW_S + 10));
    }

    #[test]
    fn longer_window_admits_no_forgotten_proof() {
        let table = Replays::default();
        table.keep_for(2_000, NOW_S);
        let used = |number, at_s, created_s, window_s| {
            table.remember_for(
                proof(number),
                (b"a", false),
                at_s,
                life(created_s, window_s),
            )
        };
        assert_eq!(used(1, NOW_S, NOW_S, 2), Ok(()));
        assert_eq!(used(2, NOW_S + 8, NOW_S + 8, 2), Ok(()));
        // The first proof has left the table when the window grows; the second one is in the table.
        let grown_s = NOW_S + 10;
        assert!(!table.contains(proof(1), grown_s));
        table.keep_for(300_000, grown_s);
        for at_s in [grown_s, grown_s + 5, NOW_S + 300] {
            assert_eq!(used(1, at_s, NOW_S, 300), Err(Refused::Replayed), "{at_s}");
            let second = used(2, at_s, NOW_S + 8, 300);
            assert_eq!(second, Err(Refused::Replayed), "{at_s}");
        }
        // The earlier window of 2 s includes a proof of this age, so an unused one is admitted.
        assert_eq!(used(3, grown_s, grown_s - 2, 300), Ok(()));
    }

    #[test]
    fn greedy_caller_leaves_room_for_others() {
        let table = Replays::with_room(16);
        let used = |number, caller: &[u8]| table.remember(proof(number), caller, NOW_S, NOW_S + 9);
        for number in 0..8 {
            assert_eq!(used(number, b"greedy"), Ok(()), "{number}");
        }
        assert_eq!(used(8, b"greedy"), Err(Refused::Full));
        for number in 100..104 {
            assert_eq!(used(number, b"other"), Ok(()), "{number}");
        }
        assert_eq!(used(104, b"other"), Err(Refused::Full), "a quarter");
        for number in 200..204 {
            assert_eq!(used(number, b"third"), Ok(()), "{number}");
        }
        assert_eq!(used(300, b"fourth"), Err(Refused::Full), "no room");
        assert_eq!(
            used(0, b"greedy"),
            Err(Refused::Replayed),
            "nothing is lost"
        );
        let later = table.remember(proof(400), b"greedy", NOW_S + 10, NOW_S + 19);
        assert_eq!(later, Ok(()));
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn proof_is_stored_by_one_of_several_threads() {
        let table = Replays::default();
        let won: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let tries = (0..500).map(|number| {
                            let proof = [u8::try_from(number % 50).unwrap(); 16];
                            table.remember(proof, b"a", NOW_S, NOW_S + 60)
                        });
                        tries.filter(Result::is_ok).count()
                    })
                })
                .collect();
            threads.into_iter().map(|one| one.join().unwrap()).sum()
        });
        assert_eq!(won, 50);
    }

    #[test]
    fn proofs_without_a_record_are_listed_in_parts() {
        let table = Replays::default();
        let proofs: Vec<[u8; 16]> = (0..40).map(|first| [first; 16]).collect();
        for proof in &proofs {
            let is_shared = proof[0] % 4 == 0;
            let kept = table.remember_for(*proof, (b"a", is_shared), NOW_S, life(NOW_S, 60));
            assert_eq!(kept, Ok(()));
        }
        let wanted: Vec<[u8; 16]> = proofs
            .iter()
            .copied()
            .filter(|one| one[0] % 4 != 0)
            .collect();
        let first = table.unshared(None, 7);
        assert_eq!(first, wanted[..7]);
        assert_eq!(table.unshared(Some(first[6]), 1_000), wanted[7..]);
        for proof in &wanted[1..] {
            table.set_shared(*proof);
            table.set_shared(*proof);
        }
        assert_eq!(table.unshared(None, 7), wanted[..1]);
        // The table forgets the proofs when they are too old.
        for proof in &proofs {
            assert!(!table.contains(*proof, NOW_S + 62));
        }
        assert!(table.unshared(None, 7).is_empty() && table.is_empty());
    }
}
