//! Moves of counters between a table and a store, so that a change of `store` keeps what was used.
//!
//! A key of a limit can have two counters in a table:
//!
//! - the *own* counter, which decides while the counter is local, or while the store does not
//!   answer;
//! - the *copy* of the counter in the store, which is as high as the last answers of the store.
//!
//! From store to local: the own counter begins as the copy ([`RateTable::adopt_copy`]). From local
//! to store: the part of the own counter that the copy does not contain is added to the counter in
//! the store ([`RateTable::unmoved`]), and the own counter is emptied ([`RateTable::settle`]). Both
//! happen at the first request of a key. No step visits other keys.

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use super::{
    Algorithm, BUSY, MILLI, NewKey, RateTable, Slot, TICK_NS, TIME_MASK, Tokens, bucket, calendar,
    is_of, owner, window,
};
use crate::state::StateId;

/// Difference between the tags of a key's own counter and its copy.
const COPY: u64 = 0x9E37_79B9_7F4A_7C15;

/// Used tokens of a key's own counter that the store has not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unmoved {
    /// Number of tokens in thousandths. 0 if the counter has only the tokens of its copy.
    pub milli_tokens: u64,
    /// Time until the counter is empty by itself, in milliseconds.
    pub lasts_ms: u64,
    /// State of the own counter. It changes with each counted request, but not with time. The store
    /// adds the tokens of a state once.
    pub state: u64,
}

impl RateTable {
    /// Tag of the copy for a key with this tag.
    #[must_use]
    pub const fn copy_tag(tag: u64) -> u64 {
        match tag ^ COPY {
            0 | BUSY => COPY,
            copy => copy,
        }
    }

    /// True if the own counter of a key may have to begin as a copy: the table has or had copies,
    /// and no tokens of the own counter are used. Always false in a process without stores.
    #[must_use]
    pub fn may_adopt_copy(&self, tag: u64, now_ns: u64) -> bool {
        self.has_copies.load(Ordering::Relaxed)
            && self.find(tag).is_none_or(|slot| {
                let ends = slot.word.load(Ordering::Acquire) & TIME_MASK;
                ends <= self.ticks(now_ns) || slot.counts.load(Ordering::Acquire) == 0
            })
    }

    /// Number of used tokens of a counter, in thousandths. 0 if the key has no counter.
    #[must_use]
    pub fn used(&self, tag: u64, tokens: Tokens, now_ns: u64) -> u64 {
        let now = self.ticks(now_ns);
        let Some(slot) = self.find(tag) else { return 0 };
        let period = self.period(tokens);
        match tokens.algorithm {
            Algorithm::Bucket => bucket::used(slot, tag, now),
            Algorithm::Window => MILLI * window::used(slot, tag, tokens, period, now),
            Algorithm::Calendar(end) => MILLI * calendar::used(slot, tag, tokens, end, now),
        }
    }

    /// Used tokens of the own counter that the store has not counted. `None` if no tokens of the own
    /// counter are used.
    #[must_use]
    pub fn unmoved(&self, tag: u64, tokens: Tokens, now_ns: u64) -> Option<Unmoved> {
        let slot = self.find(tag)?;
        // Read the state before the number. If a request is counted in between, the state no longer
        // matches, and `settle` keeps the request.
        let state = state_word(slot, tokens).load(Ordering::Acquire);
        let own = self.used(tag, tokens, now_ns);
        if own == 0 {
            return None;
        }
        let copied = self.used(Self::copy_tag(tag), tokens, now_ns);
        let milli_tokens = own.saturating_sub(copied);
        let ends = slot.word.load(Ordering::Acquire) & TIME_MASK;
        let left = ends.saturating_sub(self.ticks(now_ns));
        Some(Unmoved {
            milli_tokens,
            lasts_ms: left.saturating_mul(self.tick_ns) / 1_000_000 + 1,
            state,
        })
    }

    /// Empties the own counter after the store has added `unmoved`. `is_added` is false if the
    /// store had already added this state before. Requests that were counted since
    /// [`RateTable::unmoved`] stay.
    pub fn settle(&self, tag: u64, tokens: Tokens, unmoved: Unmoved, is_added: bool) {
        let Some(slot) = self.find(tag) else { return };
        let empty = match tokens.algorithm {
            Algorithm::Bucket => unmoved.state & !TIME_MASK,
            Algorithm::Window | Algorithm::Calendar(_) => 0,
        };
        let (order, otherwise) = (Ordering::AcqRel, Ordering::Acquire);
        let emptied =
            state_word(slot, tokens).compare_exchange(unmoved.state, empty, order, otherwise);
        if emptied.is_err() && is_added {
            let requests = unmoved.milli_tokens.div_ceil(MILLI);
            match tokens.algorithm {
                Algorithm::Bucket => bucket::lower(slot, tag, unmoved.milli_tokens),
                Algorithm::Window => window::refund(slot, tag, requests),
                Algorithm::Calendar(end) => calendar::refund(slot, tag, end, requests),
            }
        }
        self.note_saved_change();
    }

    /// Raises the copy of a key to the used tokens (in thousandths) of the counter in the store.
    /// Never lowers the copy, so that a store that loses its counters gives no second allowance in
    /// an outage. `client`: as for [`RateTable::take_of`].
    pub fn raise_copy(
        &self,
        client: Option<IpAddr>,
        state: StateId,
        tag: u64,
        tokens: Tokens,
        milli: u64,
        now_ns: u64,
    ) {
        let copy = Self::copy_tag(tag);
        if self.used(copy, tokens, now_ns) >= milli {
            return;
        }
        let (now, period) = (self.ticks(now_ns), self.period(tokens));
        let Some(slot) = self.slot(&new_key(client, state, tokens), copy, now) else {
            return;
        };
        let requests = milli.div_ceil(MILLI);
        match tokens.algorithm {
            Algorithm::Bucket => bucket::raise(slot, copy, tokens, milli, now),
            Algorithm::Window => window::raise(slot, copy, tokens, period, requests, now),
            Algorithm::Calendar(end) => calendar::raise(slot, copy, tokens, end, requests, now),
        }
        self.has_copies.store(true, Ordering::Relaxed);
        self.note_saved_change();
    }

    /// Sets the own counter of a key to its copy, if no tokens of the own counter are used.
    pub fn adopt_copy(
        &self,
        client: Option<IpAddr>,
        state: StateId,
        tag: u64,
        tokens: Tokens,
        now_ns: u64,
    ) {
        let copy = Self::copy_tag(tag);
        if self.used(copy, tokens, now_ns) == 0 {
            return;
        }
        let new = new_key(client, state, tokens);
        let Some(own) = self.slot(&new, tag, self.ticks(now_ns)) else {
            return;
        };
        let before = state_word(own, tokens).load(Ordering::Acquire);
        // If another thread has adopted the copy meanwhile, `before` contains it.
        if self.used(tag, tokens, now_ns) > 0 {
            return;
        }
        let Some(copied) = self.find(copy) else {
            return;
        };
        let word = copied.word.load(Ordering::Acquire);
        let counts = copied.counts.load(Ordering::Acquire);
        if !is_of(word, copy) {
            return;
        }
        let time = word & TIME_MASK;
        let (order, otherwise) = (Ordering::AcqRel, Ordering::Acquire);
        match tokens.algorithm {
            Algorithm::Bucket => {
                own.counts.store(counts, Ordering::Release);
                let next = (tag & !TIME_MASK) | time;
                let _counted = own.word.compare_exchange(before, next, order, otherwise);
            }
            Algorithm::Window | Algorithm::Calendar(_) => {
                if tokens.algorithm == Algorithm::Window {
                    window::set_period(own, window::period_of(copied));
                }
                let later = |word: u64| {
                    let time = (word & TIME_MASK).max(time);
                    is_of(word, tag).then_some((word & !TIME_MASK) | time)
                };
                let is_own = own.word.fetch_update(order, otherwise, later).is_ok();
                if is_own {
                    let counted = &own.counts;
                    let _counted = counted.compare_exchange(before, counts, order, otherwise);
                }
            }
        }
        self.note_saved_change();
    }

    fn note_saved_change(&self) {
        if self.tick_ns != TICK_NS {
            self.note_change();
        }
    }
}

const fn new_key(client: Option<IpAddr>, state: StateId, tokens: Tokens) -> NewKey {
    NewKey {
        owner: owner(state),
        algorithm: tokens.algorithm,
        client,
    }
}

/// Integer of a slot that each counted request changes.
const fn state_word(slot: &Slot, tokens: Tokens) -> &std::sync::atomic::AtomicU64 {
    match tokens.algorithm {
        Algorithm::Bucket => &slot.word,
        Algorithm::Window | Algorithm::Calendar(_) => &slot.counts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: StateId = StateId(7);
    /// 2023-11-14 22:13:20 UTC.
    const NOW_NS: u64 = 1_700_000_000_000_000_000;
    const SECOND: u64 = 1_000_000_000;

    /// Table of rate limits for a bucket, and of quotas for other algorithms.
    fn table(tokens: Tokens) -> (RateTable, u64) {
        let table = match tokens.algorithm {
            Algorithm::Bucket => RateTable::new(64, std::hash::RandomState::new()),
            Algorithm::Window | Algorithm::Calendar(_) => RateTable::saved(64, [1, 2]),
        };
        let tag = table.tag(STATE, &[b"acme"]);
        (table, tag)
    }

    /// Limits of 10 requests per hour, one of each algorithm.
    fn limits() -> [Tokens; 3] {
        let end_min = u32::try_from(NOW_NS / (60 * SECOND)).unwrap() + 47;
        let algorithms = [
            Algorithm::Bucket,
            Algorithm::Window,
            Algorithm::Calendar(end_min),
        ];
        algorithms.map(|algorithm| Tokens {
            algorithm,
            count: 10,
            period_ms: 3_600_000,
            burst: 10,
        })
    }

    fn take((table, tag): &(RateTable, u64), tokens: Tokens, requests: usize) -> usize {
        let takes = (0..requests).filter(|_| table.take(STATE, *tag, tokens, 1, NOW_NS).admitted);
        takes.count()
    }

    #[test]
    fn used_tokens_are_moved_once() {
        for tokens in limits() {
            let both = table(tokens);
            let (table, tag) = (&both.0, both.1);
            assert_eq!(table.unmoved(tag, tokens, NOW_NS), None);
            assert_eq!(take(&both, tokens, 4), 4);
            let unmoved = table.unmoved(tag, tokens, NOW_NS).unwrap();
            assert_eq!(unmoved.milli_tokens, 4_000, "{tokens:?}");
            assert!(unmoved.lasts_ms > 1_000_000, "{unmoved:?}");
            // The state is the same until a request is counted.
            assert_eq!(table.unmoved(tag, tokens, NOW_NS), Some(unmoved));
            table.settle(tag, tokens, unmoved, true);
            assert_eq!(table.unmoved(tag, tokens, NOW_NS), None);
            assert_eq!(table.used(tag, tokens, NOW_NS), 0);
        }
    }

    /// A worker that still runs the earlier version counts a request during the move.
    #[test]
    fn request_during_a_move_is_kept() {
        for tokens in limits() {
            let both = table(tokens);
            let (table, tag) = (&both.0, both.1);
            assert_eq!(take(&both, tokens, 4), 4);
            let unmoved = table.unmoved(tag, tokens, NOW_NS).unwrap();
            assert_eq!(take(&both, tokens, 1), 1);
            table.settle(tag, tokens, unmoved, true);
            let rest = table.unmoved(tag, tokens, NOW_NS).unwrap();
            assert_eq!(rest.milli_tokens, 1_000, "{tokens:?}");
            assert_ne!(rest.state, unmoved.state);
        }
    }

    #[test]
    fn own_counter_begins_as_the_copy() {
        for tokens in limits() {
            let both = table(tokens);
            let (table, tag) = (&both.0, both.1);
            assert!(!table.may_adopt_copy(tag, NOW_NS));
            table.raise_copy(None, STATE, tag, tokens, 7_000, NOW_NS);
            table.raise_copy(None, STATE, tag, tokens, 3_000, NOW_NS);
            assert!(table.may_adopt_copy(tag, NOW_NS));
            let copy = RateTable::copy_tag(tag);
            assert_eq!(table.used(copy, tokens, NOW_NS), 7_000, "{tokens:?}");
            assert_eq!(table.used(tag, tokens, NOW_NS), 0);
            table.adopt_copy(None, STATE, tag, tokens, NOW_NS);
            assert!(!table.may_adopt_copy(tag, NOW_NS));
            assert_eq!(take(&both, tokens, 20), 3, "{tokens:?}");
            // The copy is adopted once.
            table.adopt_copy(None, STATE, tag, tokens, NOW_NS);
            assert_eq!(take(&both, tokens, 20), 0);
            // Back to the store: it has the tokens of the copy already.
            let unmoved = table.unmoved(tag, tokens, NOW_NS).unwrap();
            assert_eq!(unmoved.milli_tokens, 3_000, "{tokens:?}");
        }
    }

    #[test]
    fn copies_are_refilled_as_other_counters() {
        let [bucket, window, calendar] = limits();
        for (tokens, later_s, used) in [
            // A tenth of an hour refills one token.
            (bucket, 360, 6_000),
            // 2023-11-14 23:30: half of the next window has passed.
            (window, 76 * 60 + 40, 4_000),
            (calendar, 3_600, 0),
        ] {
            let (table, tag) = table(tokens);
            table.raise_copy(None, STATE, tag, tokens, 7_000, NOW_NS);
            let later_ns = NOW_NS + later_s * SECOND;
            let next = match tokens.algorithm {
                Algorithm::Calendar(end) => Tokens {
                    algorithm: Algorithm::Calendar(end + 60),
                    ..tokens
                },
                _ => tokens,
            };
            let copy = RateTable::copy_tag(tag);
            assert_eq!(table.used(copy, next, later_ns), used, "{tokens:?}");
        }
    }

    /// A limit whose rate changes in the same release as its store.
    #[test]
    fn changed_rate_moves_tokens_and_not_time() {
        let [old, ..] = limits();
        let both = table(old);
        let (table, tag) = (&both.0, both.1);
        assert_eq!(take(&both, old, 4), 4);
        let new = Tokens {
            count: 100,
            burst: 100,
            ..old
        };
        let unmoved = table.unmoved(tag, new, NOW_NS).unwrap();
        assert_eq!(unmoved.milli_tokens, 4_000);
    }
}
