//! Counters of rate limits: a few atomic integers per key, in a fixed-size table that all workers
//! share.
//!
//! Each algorithm has a file: [`bucket`], [`window`] and [`calendar`]. Admission takes one or two
//! compare-and-swaps; there is no refill task. The table never grows. A slot is empty, in use, or
//! free again because its counts no longer affect a limit.
//!
//! Clients can invent keys, such as header values, and fill the table. A new key that finds no free
//! slot evicts another key by the first of these rules that applies:
//!
//! 1. A key that a client of another network created. That network has more than 1/1024 of the
//!    slots, and more than twice as many as the network of the new key's client.
//! 2. A key with at most one used token, of a limit that has more than a quarter of the slots.
//! 3. A key of another limit. That limit has more than 1/64 of the slots, and more than twice as
//!    many as the limit of the new key.
//!
//! The counter of an evicted key restarts at 0. With rule 2, the limit therefore admits at most one
//! token too much. A client with an IPv6 /48 controls 65,536 /64 networks, each of which is a
//! separate key. Because of rule 1, such a client takes no slots from other clients. Because of
//! rule 3, a flood of one limit's keys takes no slots from other limits. If no rule applies, the
//! new key uses an overflow counter. Several keys of a limit share an overflow counter, so it
//! refuses requests earlier than separate counters would.

mod bucket;
mod calendar;
pub(crate) mod moved;
pub mod saved;
mod window;

use std::cmp::Reverse;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::network::{NetworkCounts, Networks, Places};
use crate::state::StateId;

/// Largest number of requests per window of [`Algorithm::Window`].
#[cfg(feature = "author")]
pub(crate) const WINDOW_MAX: u64 = window::COUNT_MAX;
/// Largest number of requests per period of [`Algorithm::Calendar`].
#[cfg(feature = "author")]
pub(crate) const CALENDAR_MAX: u64 = calendar::COUNT_MAX;

/// Algorithm of a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Token bucket. With a burst of 1 it is a leaky bucket, which spaces requests evenly.
    #[default]
    Bucket,
    /// Sliding window: the requests of the current window, and those of the window before it with a
    /// decreasing weight.
    Window,
    /// Number of requests in one calendar period. The payload is the end of the period in minutes
    /// of Unix time.
    Calendar(u32),
}

/// Number of requests that a limit admits: refill rate and capacity of a token bucket, or requests
/// per window or calendar period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tokens {
    /// Algorithm that counts the requests.
    pub algorithm: Algorithm,
    /// Tokens per period.
    pub count: u64,
    /// Length of the period, in milliseconds.
    pub period_ms: u64,
    /// Maximum number of tokens in a bucket. Not used by windows and calendar periods.
    pub burst: u64,
}

/// Result of taking a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// True if the request is admitted.
    pub admitted: bool,
    /// Number of tokens that remain.
    pub remaining: u64,
    /// Time until the next token, in ticks of 100 ns. 0 if a token remains. For
    /// [`Algorithm::Calendar`]: time until the period ends.
    pub wait_ticks: u64,
}

/// Fixed-capacity hash table of counters. Each key has two candidate groups of four slots.
#[derive(Debug)]
pub struct RateTable {
    /// Slots and counts by network. Allocated on first use, so that a gateway without limits needs
    /// no memory.
    memory: OnceLock<Memory>,
    count: usize,
    hasher: Hasher,
    /// Length of a tick in nanoseconds.
    tick_ns: u64,
    /// True if a counter has changed since the last [`RateTable::take_changed`]. Only used by
    /// tables that are saved.
    changed: AtomicBool,
    /// True if the table has copies of counters in stores ([`moved`]).
    has_copies: AtomicBool,
    /// Number of used slots of each limit. The index is the result of [`owner`].
    used_slots: Box<[AtomicU32]>,
    /// Overflow counters for keys without a slot. A hash of the limit selects the counter. A limit
    /// with a slow rate therefore seldom refuses callers of other limits.
    overflow: [Slot; 3 * OVERFLOWS],
    overflowed: AtomicU64,
    evicted: AtomicU64,
}

/// Slots of the table, and the networks of the clients that created their keys.
#[derive(Debug)]
struct Memory {
    groups: Box<[Group]>,
    /// [`Places`] of the networks of each slot. They are not in the cache lines of the counters,
    /// because only new keys read and write them.
    networks: Box<[AtomicU64]>,
    /// Number of used slots by network.
    by_network: NetworkCounts,
}

/// Hash function for keys.
#[derive(Debug)]
enum Hasher {
    /// Hash function with a random seed, different in each process.
    Process(RandomState),
    /// SipHash-2-4 with a seed that is saved with the counters.
    Saved([AtomicU64; 2]),
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Group([Slot; 4]);

#[derive(Debug, Default)]
struct Slot {
    /// Hash of the key. [`EMPTY`] or [`BUSY`] if the slot has no key.
    tag: AtomicU64,
    /// Upper 12 bits of the tag, then 52 bits with the time in ticks at which the slot is free
    /// again. The time covers 14 years, or more in a table with longer ticks. For a bucket, this
    /// time is the theoretical arrival time. The tag bits make a compare-and-swap fail if another
    /// key has taken the slot meanwhile.
    word: AtomicU64,
    /// Ticks per token of a [`bucket`], or the packed counts of a [`window`] or a [`calendar`]
    /// period. 0 for a new key.
    counts: AtomicU64,
    /// Index of the limit that uses the slot (see [`owner`]), and a flag for the algorithm
    /// ([`WINDOW`], [`CALENDAR`]). For a [`window`], the higher bits are its period.
    owner: AtomicU64,
}

/// Properties of a key that has no slot yet.
struct NewKey {
    /// Number of the key's limit (see [`owner`]).
    owner: u64,
    algorithm: Algorithm,
    /// Client that sent the key. `None` if clients cannot invent keys of this kind.
    client: Option<IpAddr>,
}

const EMPTY: u64 = 0;
const BUSY: u64 = 1;
const TIME_BITS: u32 = 52;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
/// Number of limits whose slots are counted separately. If there are more, several limits share a
/// count.
const OWNERS: u64 = 1_024;
/// Divisor: if a limit has more than 1/`SHARE` of the slots, new keys can evict its keys.
const SHARE: usize = 4;
/// Divisor: if a limit has more than 1/`LARGE` of the slots, other limits can evict its keys with
/// more than one used token.
const LARGE: usize = 64;
/// Number of counters of each level of networks.
const NETWORK_COUNTERS: usize = 1 << 14;
/// Divisor: if a network has more than 1/`NETWORK_LARGE` of the slots, clients of other networks
/// can evict its keys.
const NETWORK_LARGE: usize = 1_024;
/// Minimum number of slots that a network keeps, if 1/`NETWORK_LARGE` of a small table is less.
const NETWORK_SLOTS_MIN: usize = 8;
/// Number of overflow counters for keys without a slot, of each algorithm.
const OVERFLOWS: usize = 128;
/// Flag in [`Slot::owner`] of slots that count in a window.
const WINDOW: u64 = 1 << 63;
/// Flag in [`Slot::owner`] of slots that count in a calendar period.
const CALENDAR: u64 = 1 << 62;
/// Length of a tick of a table that is not saved, in nanoseconds.
const TICK_NS: u64 = 100;
/// Length of a tick of a table that is saved, in nanoseconds.
const SAVED_TICK_NS: u64 = 1_000_000;
/// Thousandths of a token in a token. Buckets are refilled by parts of tokens.
const MILLI: u64 = 1_000;
/// Maximum number of times that a slot is read again while another thread claims it.
const SPINS_MAX: u32 = 64;
/// Maximum number of times that the thread yields after [`SPINS_MAX`] reads. The other thread may
/// have been suspended while it claims the slot. Afterwards the key uses an overflow counter, which
/// may admit one request too much.
const YIELDS_MAX: u32 = 64;

impl Tokens {
    /// Largest number of tokens that one request can take from a limit.
    #[must_use]
    pub fn capacity(self) -> u64 {
        match self.algorithm {
            Algorithm::Bucket => self.burst.max(1),
            Algorithm::Window | Algorithm::Calendar(_) => self.count,
        }
    }
}

impl RateTable {
    /// Creates a table for about `keys` concurrent keys (40 bytes each). The seed of `hasher` must
    /// be random per process, so that clients cannot cause collisions.
    #[must_use]
    pub fn new(keys: usize, hasher: RandomState) -> Self {
        Self::with(keys, Hasher::Process(hasher), TICK_NS)
    }

    /// Creates a table whose counters can be saved. Its times are wall-clock times. `seed` must be
    /// random; [`RateTable::restore`] replaces it.
    #[must_use]
    pub fn saved(keys: usize, seed: [u64; 2]) -> Self {
        Self::with(keys, Hasher::Saved(seed.map(AtomicU64::new)), SAVED_TICK_NS)
    }

    fn with(keys: usize, hasher: Hasher, tick_ns: u64) -> Self {
        Self {
            memory: OnceLock::new(),
            count: (keys / 4).next_power_of_two().max(2),
            hasher,
            tick_ns,
            changed: AtomicBool::new(false),
            has_copies: AtomicBool::new(false),
            used_slots: (0..OWNERS).map(|_| AtomicU32::new(0)).collect(),
            overflow: [const { Slot::empty() }; 3 * OVERFLOWS],
            overflowed: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    /// Hash of a key. The input is the limit and each part of the key with its length, so that
    /// different keys never give the same input.
    #[must_use]
    pub fn tag(&self, state: StateId, parts: &[&[u8]]) -> u64 {
        fn hash(mut hasher: impl std::hash::Hasher, state: StateId, parts: &[&[u8]]) -> u64 {
            hasher.write_u64(state.0);
            for part in parts {
                hasher.write_usize(part.len());
                hasher.write(part);
            }
            hasher.finish()
        }
        let hash = match &self.hasher {
            Hasher::Process(random) => hash(random.build_hasher(), state, parts),
            Hasher::Saved(seed) => hash(saved::hasher(seed), state, parts),
        };
        hash.max(BUSY + 1)
    }

    /// Takes `cost` tokens from the counter of a key at the time `now_ns`, if available. `state` is
    /// the limit; `tag` is the hash of the key. `now_ns` is monotonic time, or Unix time for a
    /// table that is saved. For keys that clients can invent, use [`RateTable::take_of`].
    #[must_use]
    pub fn take(
        &self,
        state: StateId,
        tag: u64,
        tokens: Tokens,
        cost: u64,
        now_ns: u64,
    ) -> Admission {
        self.take_of(None, state, tag, tokens, cost, now_ns)
    }

    /// Takes tokens as [`RateTable::take`] does, for a key that `client` can invent. If the key is
    /// new, it counts for the networks of the client.
    #[must_use]
    pub fn take_of(
        &self,
        client: Option<IpAddr>,
        state: StateId,
        tag: u64,
        tokens: Tokens,
        cost: u64,
        now_ns: u64,
    ) -> Admission {
        let now = self.ticks(now_ns);
        let new = NewKey {
            owner: owner(state),
            algorithm: tokens.algorithm,
            client,
        };
        let (slot, tag) = match self.slot(&new, tag, now) {
            Some(slot) => (slot, tag),
            None => {
                self.overflowed.fetch_add(1, Ordering::Relaxed);
                (self.overflow_of(state, tokens), BUSY)
            }
        };
        let mut admission = match tokens.algorithm {
            Algorithm::Bucket => bucket::take(slot, tag, tokens, cost, now),
            Algorithm::Window => window::take(slot, tag, tokens, self.period(tokens), cost, now),
            Algorithm::Calendar(end_min) => calendar::take(slot, tag, tokens, end_min, cost, now),
        };
        if self.tick_ns != TICK_NS {
            let ticks = self.tick_ns / TICK_NS;
            admission.wait_ticks = admission.wait_ticks.saturating_mul(ticks);
            self.note_change();
        }
        admission
    }

    /// Time in ticks of the table.
    fn ticks(&self, now_ns: u64) -> u64 {
        (now_ns / self.tick_ns) & TIME_MASK
    }

    /// Period of a quota in ticks of the table.
    fn period(&self, tokens: Tokens) -> u64 {
        tokens
            .period_ms
            .saturating_mul(1_000_000 / self.tick_ns)
            .clamp(1, TIME_MASK >> 3)
    }

    /// Sets the flag [`Self::changed`]. Does not write the flag if it is already set, because all
    /// workers share its cache line.
    fn note_change(&self) {
        if !self.changed.load(Ordering::Relaxed) {
            self.changed.store(true, Ordering::Release);
        }
    }

    /// Returns `cost` tokens that [`RateTable::take`] took.
    pub fn refund(&self, tag: u64, tokens: Tokens, cost: u64) {
        let Some(slot) = self.find(tag) else { return };
        match tokens.algorithm {
            Algorithm::Bucket => bucket::refund(slot, tag, tokens, cost),
            Algorithm::Window => window::refund(slot, tag, cost),
            Algorithm::Calendar(end_min) => calendar::refund(slot, tag, end_min, cost),
        }
        if self.tick_ns != TICK_NS {
            self.note_change();
        }
    }

    /// Number of times that a key without a slot used an overflow counter.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }

    /// Number of times that a key evicted another key.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Overflow counter for keys of a limit, selected by a hash of the limit's id and quota.
    fn overflow_of(&self, state: StateId, tokens: Tokens) -> &Slot {
        let numbers = [tokens.count, tokens.period_ms, tokens.burst].map(u64::to_le_bytes);
        let hash = self.tag(state, &numbers.each_ref().map(|bytes| bytes.as_slice()));
        let at = usize::try_from(hash % OVERFLOWS as u64).unwrap_or(0);
        match tokens.algorithm {
            Algorithm::Bucket => &self.overflow[at],
            Algorithm::Window => &self.overflow[OVERFLOWS + at],
            Algorithm::Calendar(_) => &self.overflow[2 * OVERFLOWS + at],
        }
    }

    /// Allocates the table at once, so that no request waits for the allocation.
    pub fn warm(&self) {
        self.memory();
    }

    fn memory(&self) -> &Memory {
        self.memory.get_or_init(|| Memory {
            groups: (0..self.count).map(|_| Group::default()).collect(),
            networks: (0..4 * self.count).map(|_| AtomicU64::new(0)).collect(),
            by_network: NetworkCounts::new(NETWORK_COUNTERS),
        })
    }

    /// Indexes of the two groups that a key may use.
    fn groups_of(&self, tag: u64) -> [usize; 2] {
        let mask = self.count - 1;
        let index = |bits: u64| usize::try_from(bits & 0xFFFF_FFFF).unwrap_or(0) & mask;
        [index(tag), index(tag >> 32 ^ 0x9E37_79B9)]
    }

    /// Slots that a key may use, with their indexes in [`Memory::networks`].
    fn candidates(&self, tag: u64) -> impl Iterator<Item = (usize, &Slot)> {
        let groups = &self.memory().groups;
        let group = |at: usize| (4 * at..).zip(&groups[at].0);
        self.groups_of(tag).into_iter().flat_map(group)
    }

    /// Slot of a key. Reads all eight tags without a branch between them. In a large table, their
    /// cache misses then overlap.
    fn find(&self, tag: u64) -> Option<&Slot> {
        let groups = &self.memory().groups;
        let [first, second] = self.groups_of(tag).map(|at| &groups[at].0);
        let found = |slots: &[Slot; 4]| -> u32 {
            let tags = slots
                .each_ref()
                .map(|slot| slot.tag.load(Ordering::Acquire));
            let bits = tags.map(|found| u32::from(found == tag));
            bits[0] | bits[1] << 1 | bits[2] << 2 | bits[3] << 3
        };
        let (in_first, in_second) = (found(first), found(second));
        let slots = if in_first != 0 { first } else { second };
        let bits = if in_first != 0 { in_first } else { in_second };
        slots.get(bits.trailing_zeros() as usize)
    }

    /// Finds the slot of a key. If the key has none, claims a free slot for `new`, or the slot of a
    /// key that `new` may evict. `None` if there is no such slot, or if other threads keep claiming
    /// slots.
    fn slot(&self, new: &NewKey, tag: u64, now: u64) -> Option<&Slot> {
        match self.find(tag) {
            Some(slot) => Some(slot),
            None => self.claim(new, tag, now),
        }
    }

    /// Claims a slot for a key that has none (see [`RateTable::slot`]). Another thread may have
    /// claimed one for the same key meanwhile.
    fn claim(&self, new: &NewKey, tag: u64, now: u64) -> Option<&Slot> {
        for attempt in 0..SPINS_MAX + YIELDS_MAX {
            // First free slot of each group, and number of free slots.
            let mut free = [None; 2];
            let mut room = [0; 2];
            let mut busy = false;
            for (number, (at, slot)) in self.candidates(tag).enumerate() {
                match slot.tag.load(Ordering::Acquire) {
                    found if found == tag => return Some(slot),
                    BUSY => busy = true,
                    was if was == EMPTY || slot.word.load(Ordering::Acquire) & TIME_MASK <= now => {
                        free[number / 4].get_or_insert((at, slot, was));
                        room[number / 4] += 1;
                    }
                    _ => {}
                }
            }
            if busy {
                // Another thread is claiming this slot, perhaps for the same key.
                match attempt < SPINS_MAX {
                    true => std::hint::spin_loop(),
                    false => std::thread::yield_now(),
                }
                continue;
            }
            let places = self.places(new.client);
            let free = free[preferred_group(room)];
            let evicts = free.is_none();
            let (at, slot, was) = free
                .or_else(|| self.of_larger_network(places, tag))
                .or_else(|| self.evictable(new.owner, places, tag, now))?;
            if slot
                .tag
                .compare_exchange(was, BUSY, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
            {
                if was != EMPTY {
                    self.used_slots_of(slot.owner.load(Ordering::Relaxed))
                        .fetch_sub(1, Ordering::Relaxed);
                }
                self.used_slots_of(new.owner)
                    .fetch_add(1, Ordering::Relaxed);
                slot.owner.store(new.owner_word(), Ordering::Relaxed);
                self.set_places(at, places);
                if evicts {
                    self.evicted.fetch_add(1, Ordering::Relaxed);
                }
                // Clear the counts of the former key, because the new key has used no tokens.
                slot.counts.store(0, Ordering::Release);
                slot.word.store(tag & !TIME_MASK, Ordering::Release);
                slot.tag.store(tag, Ordering::Release);
                return Some(slot);
            }
        }
        None
    }

    /// Indices of the counters for the networks of a client. [`Places::NONE`] if `client` is
    /// `None`.
    fn places(&self, client: Option<IpAddr>) -> Places {
        client.map_or(Places::NONE, |client| {
            let hash = |bytes: &[u8]| self.tag(StateId(0), &[b"network", bytes]);
            Networks::of(client).places(hash)
        })
    }

    /// Moves the count of a slot from its former networks to the networks of `places`. The caller
    /// has marked the slot as [`BUSY`].
    fn set_places(&self, at: usize, places: Places) {
        let memory = self.memory();
        let before = memory.networks[at].swap(places.to_word(), Ordering::Relaxed);
        memory.by_network.remove(Places::from_word(before));
        memory.by_network.add(places);
    }

    /// Number of slots that a network may have before clients of other networks can evict its keys.
    fn network_floor(&self) -> u32 {
        let floor = (self.count * 4 / NETWORK_LARGE).max(NETWORK_SLOTS_MIN);
        u32::try_from(floor).unwrap_or(u32::MAX)
    }

    /// Slot that a new key may evict because the network of the slot's key has many more slots
    /// (rule 1 of the module). Returns the slot, its index and the key's tag. Selects the network
    /// with the most slots, and in it the slot that is free again first.
    #[cold]
    fn of_larger_network(&self, newcomer: Places, tag: u64) -> Option<(usize, &Slot, u64)> {
        let memory = self.memory();
        let floor = self.network_floor();
        self.candidates(tag)
            .filter_map(|(at, slot)| {
                let was = slot.tag.load(Ordering::Acquire);
                let holder = Places::from_word(memory.networks[at].load(Ordering::Relaxed));
                let excess = memory.by_network.excess(holder, newcomer, floor)?;
                let usage = slot.word.load(Ordering::Acquire) & TIME_MASK;
                (was > BUSY).then_some(((excess, Reverse(usage)), at, slot, was))
            })
            .max_by_key(|(order, ..)| *order)
            .map(|(_, at, slot, was)| (at, slot, was))
    }

    /// Slot that a new key may evict (rules 2 and 3 of the module), with its index and the tag of
    /// its key. Candidates are keys with at most one used token, of limits with more than
    /// 1/[`SHARE`] of the slots. Further candidates are keys of other limits with more than
    /// 1/[`LARGE`] of the slots, and more than twice as many slots as the new key's limit. The key
    /// with the least usage is selected. A limit with more than 1/[`SHARE`] of the slots can evict
    /// only two kinds of keys: its own, and those of limits with more than twice as many slots. A
    /// key stays if a client of its network could evict the new key by rule 1. A key in the group
    /// that [`preferred_group`] returns is selected before keys with less usage in the other group.
    #[cold]
    fn evictable(
        &self,
        owner: u64,
        newcomer: Places,
        tag: u64,
        now: u64,
    ) -> Option<(usize, &Slot, u64)> {
        let memory = self.memory();
        let slots = self.count * 4;
        let used_slots = |owner| self.used_slots_of(owner).load(Ordering::Relaxed) as usize;
        let is_over = |owner| used_slots(owner) > slots / SHARE;
        let own_only = is_over(owner);
        let large = (2 * used_slots(owner)).max(slots / LARGE);
        // Returns the rule (2 or 3) by which the key of a slot may be evicted, and the usage of the
        // key. `None` if the key must stay.
        let usage = |at: usize, slot: &Slot| {
            let network = Places::from_word(memory.networks[at].load(Ordering::Relaxed));
            let counts = &memory.by_network;
            if counts
                .excess(newcomer, network, self.network_floor())
                .is_some()
            {
                return None;
            }
            let holder = slot.owner.load(Ordering::Relaxed);
            let pays = match own_only {
                true => holder % OWNERS == owner,
                false => is_over(holder),
            };
            let usage = match holder & (WINDOW | CALENDAR) {
                0 => bucket::light_usage(slot, now),
                CALENDAR => calendar::light_usage(slot),
                _ => window::light_usage(slot),
            };
            let is_other = holder % OWNERS != owner;
            match usage.filter(|_| pays) {
                Some(usage) => Some((2, usage)),
                None if is_other && used_slots(holder) > large => {
                    Some((3, slot.word.load(Ordering::Acquire) & TIME_MASK))
                }
                None => None,
            }
        };
        let evictable = || {
            let candidates = self.candidates(tag).enumerate();
            candidates.filter_map(|(number, (at, slot))| {
                let was = slot.tag.load(Ordering::Acquire);
                let (rule, usage) = usage(at, slot)?;
                (was > BUSY).then_some((rule, number / 4, usage, (at, slot, was)))
            })
        };
        let rule = evictable().map(|(rule, ..)| rule).min()?;
        let mut room = [0; 2];
        for (_, group, ..) in evictable().filter(|(own, ..)| *own == rule) {
            room[group] += 1;
        }
        let preferred = preferred_group(room);
        evictable()
            .min_by_key(|(rule, group, usage, _)| (*rule, *group != preferred, *usage))
            .map(|(.., found)| found)
    }

    fn used_slots_of(&self, owner: u64) -> &AtomicU32 {
        &self.used_slots[usize::try_from(owner % OWNERS).unwrap_or(0)]
    }
}

/// Index of the group in which a new key gets a slot. `room` is the number of available slots of
/// each group. The first group is preferred, because it is faster to find. If it has at most one
/// available slot and the second group has more, the second group is selected. A full group would
/// make keys use overflow counters although the table has room.
const fn preferred_group(room: [u32; 2]) -> usize {
    (room[0] < 2 && room[1] > room[0]) as usize
}

/// Index of a limit in [`RateTable::used_slots`]. Limits with the same index share a count.
const fn owner(state: StateId) -> u64 {
    state.0 % OWNERS
}

impl NewKey {
    /// Value of [`Slot::owner`] in a slot with this key.
    const fn owner_word(&self) -> u64 {
        let kind = match self.algorithm {
            Algorithm::Bucket => 0,
            Algorithm::Window => WINDOW,
            Algorithm::Calendar(_) => CALENDAR,
        };
        self.owner | kind
    }
}

impl Slot {
    const fn empty() -> Self {
        Self {
            tag: AtomicU64::new(EMPTY),
            word: AtomicU64::new(0),
            counts: AtomicU64::new(0),
            owner: AtomicU64::new(0),
        }
    }
}

/// True if the tag bits of a slot's `word` match those of the key `tag`.
const fn is_of(word: u64, tag: u64) -> bool {
    word >> TIME_BITS == tag >> TIME_BITS
}

#[cfg(test)]
mod cost;
#[cfg(test)]
mod tests;
