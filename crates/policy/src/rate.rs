//! Token buckets: one atomic word per key, shared by all workers, in a table of fixed size.
//!
//! The bucket is kept as GCRA's theoretical arrival time (ITU-T I.371): one word says how far
//! ahead of its rate a key is, so that admitting is one compare-and-swap and nothing ever has to
//! refill. The table never grows on a request: a slot is empty, taken, or free again because its
//! bucket is full.
//!
//! Clients can invent keys, such as values of a header, and fill the table. A limit that holds
//! more than its share of the slots pays for that itself: where a key finds no free slot, it takes
//! the one of such a limit's key that has used no more than one token. Forgetting that key costs
//! one token. Keys that have used more keep their slots. If there is no such slot either, the keys
//! of one limit share a counter; it is strict, not open.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::state::StateId;

/// A quota: how fast tokens come back and how many fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Tokens per period.
    pub count: u64,
    /// The period in milliseconds.
    pub period_ms: u64,
    /// The most tokens a bucket holds.
    pub burst: u64,
}

/// The outcome of asking for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// True if the request is admitted.
    pub admitted: bool,
    /// Tokens left at once.
    pub remaining: u64,
    /// Ticks of 100 ns until a token is there; 0 where one is left.
    pub wait_ticks: u64,
}

/// Fixed-capacity, open-addressed, two choices of four slots each.
#[derive(Debug)]
pub struct RateTable {
    /// Made when first used: a gateway without limits pays nothing for them.
    groups: OnceLock<Box<[Group]>>,
    count: usize,
    hasher: RandomState,
    /// Slots by limit, as [`owner`] numbers them.
    held: Box<[AtomicU32]>,
    /// Counters that keys without a slot share, each of one limit: a slow one must not stop
    /// those who are under a fast one.
    overflow: [Slot; OVERFLOWS],
    overflowed: AtomicU64,
    evicted: AtomicU64,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Group([Slot; 4]);

#[derive(Debug, Default)]
struct Slot {
    /// The key's hash; [`EMPTY`] or [`BUSY`] otherwise.
    tag: AtomicU64,
    /// The upper 12 bits of the tag, then the arrival time in ticks (52 bits: 14 years). The
    /// bits of the tag make a compare-and-swap fail on a slot that changed hands meanwhile.
    word: AtomicU64,
    /// Ticks per token when the word was written: a changed limit keeps the consumed tokens.
    interval: AtomicU64,
    /// The limit that holds it.
    owner: AtomicU64,
}

const EMPTY: u64 = 0;
const BUSY: u64 = 1;
const TIME_BITS: u32 = 52;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
/// Limits whose slots are counted; further ones share a count.
const OWNERS: u64 = 1_024;
/// Part of the table that one limit may hold before it pays for its new keys itself.
const SHARE: usize = 4;
/// Shared counters for keys without a slot.
const OVERFLOWS: usize = 256;
/// Times a reader looks again at a slot that another thread is about to fill.
const SPINS_MAX: u32 = 64;

impl Tokens {
    /// Ticks of 100 ns per token, at least one.
    fn interval(self) -> u64 {
        (self.period_ms.saturating_mul(10_000) / self.count.max(1)).clamp(1, TIME_MASK >> 3)
    }

    fn depth(self) -> u64 {
        self.interval()
            .saturating_mul(self.burst.max(1))
            .min(TIME_MASK >> 1)
    }
}

impl RateTable {
    /// A table for about `keys` keys at once (32 bytes each). The hasher's seed must differ from
    /// process to process, so that nobody can aim at a slot.
    #[must_use]
    pub fn new(keys: usize, hasher: RandomState) -> Self {
        Self {
            groups: OnceLock::new(),
            count: (keys / 4).next_power_of_two().max(2),
            hasher,
            held: (0..OWNERS).map(|_| AtomicU32::new(0)).collect(),
            overflow: [const { Slot::empty() }; OVERFLOWS],
            overflowed: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    /// The hash of a key: limiter, then the key's parts with their lengths, so that two keys
    /// never look alike.
    #[must_use]
    pub fn tag(&self, state: StateId, parts: &[&[u8]]) -> u64 {
        use std::hash::Hasher;
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u64(state.0);
        for part in parts {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        hasher.finish().max(BUSY + 1)
    }

    /// Takes one token of a limit's key at `now_ns` if there is one. `tag` is the key's.
    #[must_use]
    pub fn take(&self, state: StateId, tag: u64, tokens: Tokens, now_ns: u64) -> Admission {
        let now = (now_ns / 100) & TIME_MASK;
        match self.slot(state, tag, now) {
            Some(slot) => slot.take(tag, tokens, now),
            None => {
                self.overflowed.fetch_add(1, Ordering::Relaxed);
                self.overflow_of(state, tokens).take(BUSY, tokens, now)
            }
        }
    }

    /// Gives back one token that [`RateTable::take`] took.
    pub fn refund(&self, tag: u64, tokens: Tokens) {
        let Some(slot) = self.find(tag) else { return };
        let back = |word: u64| {
            let time = word & TIME_MASK;
            (word >> TIME_BITS == tag >> TIME_BITS)
                .then(|| (word & !TIME_MASK) | time.saturating_sub(tokens.interval()))
        };
        // A slot that changed hands meanwhile belongs to somebody else: nothing to give back.
        let _ = slot
            .word
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, back);
    }

    /// Number of times a key found no slot and shared an overflow counter.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }

    /// Number of times a key took the slot of another one that had used no more than one token.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// The shared counter of a limit: chosen by its id and numbers, in an order of this process.
    fn overflow_of(&self, state: StateId, tokens: Tokens) -> &Slot {
        let hash = self
            .hasher
            .hash_one((state.0, tokens.count, tokens.period_ms, tokens.burst));
        &self.overflow[usize::try_from(hash % OVERFLOWS as u64).unwrap_or(0)]
    }

    /// Takes the table's memory now, so that no request has to.
    pub fn warm(&self) {
        self.groups();
    }

    fn groups(&self) -> &[Group] {
        self.groups
            .get_or_init(|| (0..self.count).map(|_| Group::default()).collect())
    }

    fn candidates(&self, tag: u64) -> impl Iterator<Item = &Slot> {
        let groups = self.groups();
        let mask = groups.len() - 1;
        let index = |bits: u64| usize::try_from(bits & 0xFFFF_FFFF).unwrap_or(0) & mask;
        let (first, second) = (index(tag), index(tag >> 32 ^ 0x9E37_79B9));
        groups[first].0.iter().chain(&groups[second].0)
    }

    fn find(&self, tag: u64) -> Option<&Slot> {
        self.candidates(tag)
            .find(|slot| slot.tag.load(Ordering::Acquire) == tag)
    }

    /// The key's slot; a free one is claimed.
    fn slot(&self, state: StateId, tag: u64, now: u64) -> Option<&Slot> {
        let owner = owner(state);
        for _ in 0..SPINS_MAX {
            let mut free = None;
            let mut busy = false;
            for slot in self.candidates(tag) {
                match slot.tag.load(Ordering::Acquire) {
                    found if found == tag => return Some(slot),
                    BUSY => busy = true,
                    EMPTY if free.is_none() => free = Some((slot, EMPTY)),
                    other
                        if free.is_none()
                            && slot.word.load(Ordering::Acquire) & TIME_MASK <= now =>
                    {
                        free = Some((slot, other))
                    }
                    _ => {}
                }
            }
            if busy {
                // Somebody is claiming a slot here, perhaps for this very key.
                std::hint::spin_loop();
                continue;
            }
            let evicts = free.is_none();
            let (slot, was) = free.or_else(|| self.light(owner, tag, now))?;
            if slot
                .tag
                .compare_exchange(was, BUSY, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
            {
                if was != EMPTY {
                    self.held_by(slot.owner.load(Ordering::Relaxed))
                        .fetch_sub(1, Ordering::Relaxed);
                }
                self.held_by(owner).fetch_add(1, Ordering::Relaxed);
                slot.owner.store(owner, Ordering::Relaxed);
                if evicts {
                    self.evicted.fetch_add(1, Ordering::Relaxed);
                }
                // Nothing is consumed yet, so that no interval of the former key counts.
                slot.interval.store(0, Ordering::Release);
                slot.word.store(tag & !TIME_MASK, Ordering::Release);
                slot.tag.store(tag, Ordering::Release);
                return Some(slot);
            }
        }
        None
    }

    /// The slot that a new key may take though it is not free, and its tag: of a limit that holds
    /// more than its share, the lightest of keys that have used no more than one token. A limit
    /// that holds more than its share takes its own only.
    #[cold]
    fn light(&self, owner: u64, tag: u64, now: u64) -> Option<(&Slot, u64)> {
        let share = self.count * 4 / SHARE;
        let is_over = |owner| self.held_by(owner).load(Ordering::Relaxed) as usize > share;
        let own_only = is_over(owner);
        self.candidates(tag)
            .filter_map(|slot| {
                let was = slot.tag.load(Ordering::Acquire);
                let ahead = (slot.word.load(Ordering::Acquire) & TIME_MASK).saturating_sub(now);
                let holder = slot.owner.load(Ordering::Relaxed);
                let pays = match own_only {
                    true => holder == owner,
                    false => is_over(holder),
                };
                let light = ahead <= slot.interval.load(Ordering::Acquire);
                (was > BUSY && pays && light).then_some((ahead, slot, was))
            })
            .min_by_key(|(ahead, ..)| *ahead)
            .map(|(_, slot, was)| (slot, was))
    }

    fn held_by(&self, owner: u64) -> &AtomicU32 {
        &self.held[usize::try_from(owner % OWNERS).unwrap_or(0)]
    }
}

/// The number under which the slots of a limit are counted.
const fn owner(state: StateId) -> u64 {
    state.0 % OWNERS
}

impl Slot {
    const fn empty() -> Self {
        Self {
            tag: AtomicU64::new(EMPTY),
            word: AtomicU64::new(0),
            interval: AtomicU64::new(0),
            owner: AtomicU64::new(0),
        }
    }

    fn take(&self, tag: u64, tokens: Tokens, now: u64) -> Admission {
        let (interval, depth) = (tokens.interval(), tokens.depth());
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            // The slot changed hands between finding and taking: judge as a fresh key, count
            // nothing on the new owner.
            let ours = word >> TIME_BITS == tag >> TIME_BITS;
            let ahead = if ours {
                (word & TIME_MASK).saturating_sub(now)
            } else {
                0
            };
            let before = self.interval.load(Ordering::Acquire);
            let ahead = if before == interval || before == 0 {
                ahead
            } else {
                rescale(ahead, interval, before)
            };
            if ahead + interval > depth {
                return Admission {
                    admitted: false,
                    remaining: 0,
                    wait_ticks: ahead + interval - depth,
                };
            }
            let after = ahead + interval;
            let admitted = Admission {
                admitted: true,
                remaining: (depth - after) / interval,
                wait_ticks: (after + interval).saturating_sub(depth),
            };
            if !ours {
                return admitted;
            }
            let next = (word & !TIME_MASK) | (now + after) & TIME_MASK;
            match self
                .word
                .compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => {
                    if before != interval {
                        self.interval.store(interval, Ordering::Release);
                    }
                    return admitted;
                }
                Err(current) => word = current,
            }
        }
    }
}

/// The same number of tokens at another interval.
fn rescale(ahead: u64, interval: u64, before: u64) -> u64 {
    let scaled = u128::from(ahead) * u128::from(interval) / u128::from(before);
    u64::try_from(scaled)
        .unwrap_or(u64::MAX)
        .min(TIME_MASK >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn table(keys: usize) -> RateTable {
        RateTable::new(keys, RandomState::new())
    }
    fn quota(count: u64, period_ms: u64, burst: u64) -> Tokens {
        Tokens {
            count,
            period_ms,
            burst,
        }
    }

    #[test]
    fn a_burst_then_the_rate() {
        let table = table(64);
        let tag = table.tag(StateId(7), &[b"acme"]);
        let tokens = quota(10, 1_000, 3);
        let left: Vec<u64> = (0..3)
            .map(|_| table.take(StateId(1), tag, tokens, SECOND).remaining)
            .collect();
        assert_eq!(left, [2, 1, 0]);
        let refused = table.take(StateId(1), tag, tokens, SECOND);
        assert!(!refused.admitted);
        assert_eq!(refused.wait_ticks, 1_000_000);
        assert!(
            !table
                .take(StateId(1), tag, tokens, SECOND + 99_999_900)
                .admitted
        );
        assert!(
            table
                .take(StateId(1), tag, tokens, SECOND + 100_000_000)
                .admitted
        );
    }

    #[test]
    fn slow_rates_are_as_slow_as_they_say() {
        const HOUR_MS: u64 = 3_600_000;
        for (count, period_ms, wait_s) in [
            (2, HOUR_MS, 1_800),
            (1, 24 * HOUR_MS, 86_400),
            (1, 365 * 24 * HOUR_MS, 31_536_000),
        ] {
            let table = table(64);
            let tag = table.tag(StateId(1), &[b"x"]);
            let tokens = quota(count, period_ms, 1);
            let first = table.take(StateId(1), tag, tokens, SECOND);
            let wait_ticks = wait_s * 10_000_000;
            assert_eq!((first.admitted, first.wait_ticks), (true, wait_ticks));
            let second = table.take(StateId(1), tag, tokens, SECOND);
            assert_eq!((second.admitted, second.wait_ticks), (false, wait_ticks));
            assert!(
                !table
                    .take(StateId(1), tag, tokens, (wait_s + 1) * SECOND - 100)
                    .admitted
            );
            assert!(
                table
                    .take(StateId(1), tag, tokens, (wait_s + 1) * SECOND)
                    .admitted
            );
        }
    }

    #[test]
    fn an_open_loop_at_twice_the_limit_gets_the_limit() {
        let table = table(64);
        let tag = table.tag(StateId(1), &[b"x"]);
        let tokens = quota(100, 1_000, 20);
        let admitted = (0..12_000u64)
            .filter(|i| {
                table
                    .take(StateId(1), tag, tokens, SECOND + i * 5_000_000)
                    .admitted
            })
            .count();
        assert!((6_000..=6_020).contains(&admitted), "{admitted} in 60 s");
    }

    #[test]
    fn a_refund_brings_the_token_back() {
        let table = table(64);
        let tag = table.tag(StateId(1), &[b"x"]);
        let tokens = quota(1, 60_000, 1);
        assert!(table.take(StateId(1), tag, tokens, SECOND).admitted);
        assert!(!table.take(StateId(1), tag, tokens, SECOND).admitted);
        table.refund(tag, tokens);
        assert!(table.take(StateId(1), tag, tokens, SECOND).admitted);
    }

    #[test]
    fn a_changed_limit_keeps_what_was_consumed() {
        let table = table(64);
        let tag = table.tag(StateId(1), &[b"x"]);
        for _ in 0..5 {
            assert!(
                table
                    .take(StateId(1), tag, quota(10, 1_000, 10), SECOND)
                    .admitted
            );
        }
        let after = table.take(StateId(1), tag, quota(1, 1_000, 10), SECOND);
        assert_eq!((after.admitted, after.remaining), (true, 4));
    }

    /// Takes two tokens of `count` keys of a limit, so that they keep their slots.
    fn fill(table: &RateTable, state: StateId, tokens: Tokens, count: u32) -> usize {
        let admitted = (0..count).filter(|key| {
            let tag = table.tag(state, &[&key.to_le_bytes()]);
            let first = table.take(state, tag, tokens, SECOND).admitted;
            table.take(state, tag, tokens, SECOND).admitted || first
        });
        admitted.count()
    }

    #[test]
    fn keys_without_a_slot_share_one_strict_counter() {
        let table = table(1);
        let tokens = quota(1, 3_600_000, 2);
        let admitted = fill(&table, StateId(1), tokens, 1_000);
        assert!(admitted <= 10, "{admitted} of 8 slots and one overflow");
        assert!(table.overflowed() > 0);
        // The limit of others is not the one that pays.
        let fast = quota(10, 1_000, 1);
        let tag = table.tag(StateId(2), &[b"acme"]);
        assert!(table.take(StateId(2), tag, fast, SECOND).admitted);
        assert!(!table.take(StateId(2), tag, fast, SECOND).admitted);
        assert!(table.take(StateId(2), tag, fast, 2 * SECOND).admitted);
        // Nor one with the same numbers.
        let other = table.tag(StateId(3), &[b"acme"]);
        assert!(table.take(StateId(3), other, tokens, SECOND).admitted);
    }

    #[test]
    fn flood_of_new_keys_pays_for_itself() {
        let table = table(1_024);
        let tokens = quota(5, 3_600_000, 5);
        let (flooded, other) = (StateId(1), StateId(2));
        // Clients of both limits that were there before, with two tokens each.
        for state in [flooded, other] {
            assert_eq!(fill(&table, state, tokens, 50), 50);
        }
        let flood = |from: u32| {
            (from..from + 100_000)
                .filter(|key| {
                    let tag = table.tag(flooded, &[b"flood", &key.to_le_bytes()]);
                    table.take(flooded, tag, tokens, SECOND).admitted
                })
                .count()
        };
        flood(0);
        assert!(table.evicted() > 90_000, "{}", table.evicted());
        // New clients of either limit get what their limit says.
        for state in [flooded, other] {
            for key in 0..50u32 {
                let tag = table.tag(state, &[b"new", &key.to_le_bytes()]);
                let admitted = (0..10)
                    .filter(|_| table.take(state, tag, tokens, SECOND).admitted)
                    .count();
                assert_eq!(admitted, 5, "{state:?} {key}");
            }
        }
        flood(200_000);
        // Those that had used tokens are not forgotten for it.
        for state in [flooded, other] {
            for key in 0..50u32 {
                let tag = table.tag(state, &[&key.to_le_bytes()]);
                let left = table.take(state, tag, tokens, SECOND).remaining;
                assert_eq!(left, 2, "{state:?} {key}");
            }
        }
    }

    #[test]
    fn slots_come_free_when_their_bucket_is_full_again() {
        let table = table(1);
        let tokens = quota(1, 1_000, 1);
        for round in 0..1_000u64 {
            let tag = table.tag(StateId(1), &[&round.to_le_bytes()]);
            assert!(
                table
                    .take(StateId(1), tag, tokens, (round + 1) * 2 * SECOND)
                    .admitted,
                "round {round}"
            );
        }
    }

    #[test]
    fn threads_together_get_no_more_than_the_burst() {
        let table = table(1_024);
        let tokens = quota(1, 3_600_000, 1_000);
        let tag = table.tag(StateId(1), &[b"hot"]);
        let admitted: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        (0..1_000)
                            .filter(|_| table.take(StateId(1), tag, tokens, SECOND).admitted)
                            .count()
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(admitted, 1_000);
    }

    #[test]
    fn keys_with_other_parts_are_other_keys() {
        let table = table(64);
        assert_ne!(
            table.tag(StateId(1), &[b"ab", b"c"]),
            table.tag(StateId(1), &[b"a", b"bc"])
        );
        assert_ne!(
            table.tag(StateId(1), &[b"a"]),
            table.tag(StateId(2), &[b"a"])
        );
    }
}
