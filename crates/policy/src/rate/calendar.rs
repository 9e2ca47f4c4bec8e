//! Counter of requests in a calendar period, which ends at a boundary of the wall clock.
//!
//! The end of the period (in minutes of Unix time) and the count are in one integer. One
//! compare-and-swap therefore counts a request, even at a boundary. The other integer of the slot
//! contains the end of the period as a time in ticks.
//!
//! A period is over once its end has passed. If the wall clock is set back over a boundary, the
//! counter stays in the later period. Callers therefore do not get the limit of a period twice.

use std::sync::atomic::Ordering;

use super::{Admission, Slot, TIME_MASK, Tokens, is_of};

/// Number of bits of a count.
const COUNT_BITS: u32 = 40;
/// Largest count of a period.
pub(super) const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;
/// Mask for the end of a period in minutes of Unix time. The masked number repeats after 31.9
/// years.
const END_MASK: u64 = (1 << (64 - COUNT_BITS)) - 1;
/// Length of a minute in milliseconds, which are the ticks of the table.
const MINUTE_MS: u64 = 60_000;

/// End and request count of a period.
#[derive(Clone, Copy)]
struct Count {
    /// End in minutes of Unix time, modulo 2^24.
    end: u64,
    used: u64,
}

impl Count {
    fn of(word: u64) -> Self {
        Self {
            end: word >> COUNT_BITS,
            used: word & COUNT_MAX,
        }
    }

    fn word(self) -> u64 {
        self.end << COUNT_BITS | self.used.min(COUNT_MAX)
    }

    /// Count at the time `now` (ms) for the period that ends at minute `end` and is `length`
    /// minutes long. `is_over` is true if the period in the slot has ended.
    fn at(self, now: u64, end: u64, length: u64, is_over: bool) -> Self {
        let after = |minute: u64| signed(self.end.wrapping_sub(minute));
        // Another thread may have begun the new period and counted in it, but not yet written the
        // end of the period into the slot.
        let is_begun = self.end == end & END_MASK;
        if is_over && !is_begun || after(now / MINUTE_MS) <= 0 {
            // The period in the slot has ended: begin the period that ends at `end`.
            return Self {
                end: end & END_MASK,
                used: 0,
            };
        }
        // The clock was set back. Keep the period in the slot if it follows directly after `end`.
        // It may be longer than `length`, because months differ in length.
        let is_next = (1..=length.saturating_mul(2) as i64).contains(&after(end));
        Self {
            end: if is_next { self.end } else { end & END_MASK },
            used: self.used,
        }
    }
}

/// Converts the difference of two ends, which are modulo 2^24, to a signed number of minutes.
fn signed(difference: u64) -> i64 {
    let difference = (difference & END_MASK) as i64;
    match difference > (END_MASK / 2) as i64 {
        true => difference - END_MASK as i64 - 1,
        false => difference,
    }
}

/// Counts `cost` requests in the period that ends at `end_min`, if the limit allows them. `now` is
/// Unix time in milliseconds.
pub(super) fn take(
    slot: &Slot,
    tag: u64,
    tokens: Tokens,
    end_min: u32,
    cost: u64,
    now: u64,
) -> Admission {
    let limit = tokens.count.min(COUNT_MAX);
    count(slot, tag, tokens, end_min, now, |used| {
        let after = used.saturating_add(cost);
        (after <= limit).then_some(after)
    })
}

/// Number of counted requests at the time `now` (ms).
pub(super) fn used(slot: &Slot, tag: u64, tokens: Tokens, end_min: u32, now: u64) -> u64 {
    let time = slot.word.load(Ordering::Acquire);
    let word = slot.counts.load(Ordering::Acquire);
    if !is_of(time, tag) || word == 0 {
        return 0;
    }
    let length = tokens.period_ms / MINUTE_MS;
    let is_over = time & TIME_MASK <= now;
    let count = Count::of(word).at(now, u64::from(end_min), length, is_over);
    count.used
}

/// Counts requests without a check, until at least `least` requests are counted.
pub(super) fn raise(slot: &Slot, tag: u64, tokens: Tokens, end_min: u32, least: u64, now: u64) {
    count(slot, tag, tokens, end_min, now, |used| {
        (used < least).then_some(least)
    });
}

/// Counts requests if `decide` admits them. `decide` gets the number of counted requests, and
/// returns the number after the request. `None` refuses the request.
#[inline]
fn count(
    slot: &Slot,
    tag: u64,
    tokens: Tokens,
    end_min: u32,
    now: u64,
    decide: impl Fn(u64) -> Option<u64>,
) -> Admission {
    let (limit, end) = (tokens.count.min(COUNT_MAX), u64::from(end_min));
    let length = tokens.period_ms / MINUTE_MS;
    loop {
        let time = slot.word.load(Ordering::Acquire);
        // If another key owns the slot now, decide as for a new key, and do not charge the owner.
        let ours = is_of(time, tag);
        let word = slot.counts.load(Ordering::Acquire);
        let count = match word {
            0 => Count {
                end: end & END_MASK,
                used: 0,
            },
            _ if !ours => Count {
                end: end & END_MASK,
                used: 0,
            },
            _ => Count::of(word).at(now, end, length, time & TIME_MASK <= now),
        };
        let ends = (end.wrapping_add_signed(signed(count.end.wrapping_sub(end)))) * MINUTE_MS;
        let after = decide(count.used);
        let admission = Admission {
            admitted: after.is_some(),
            remaining: limit.saturating_sub(after.unwrap_or(count.used)),
            wait_ticks: ends.saturating_sub(now),
        };
        let Some(after) = after.filter(|_| ours) else {
            return admission;
        };
        // First reserve the slot until the end of the period, then count.
        let until = (time & !TIME_MASK) | ends & TIME_MASK;
        let is_reserved = time == until
            || slot
                .word
                .compare_exchange(time, until, Ordering::AcqRel, Ordering::Acquire)
                .is_ok();
        let next = Count {
            used: after,
            ..count
        };
        let counted = is_reserved
            && slot
                .counts
                .compare_exchange(word, next.word(), Ordering::AcqRel, Ordering::Acquire)
                .is_ok();
        if counted {
            return admission;
        }
    }
}

/// Subtracts `cost` requests from the count of the period that ends at `end_min`. Has no effect if
/// the counter is in another period.
pub(super) fn refund(slot: &Slot, tag: u64, end_min: u32, cost: u64) {
    if !is_of(slot.word.load(Ordering::Acquire), tag) {
        return;
    }
    let back = |word: u64| {
        let count = Count::of(word);
        let same = count.end == u64::from(end_min) & END_MASK;
        same.then(|| {
            Count {
                used: count.used.saturating_sub(cost),
                ..count
            }
            .word()
        })
    };
    let _ = slot
        .counts
        .fetch_update(Ordering::AcqRel, Ordering::Acquire, back);
}

/// Number of counted requests. `None` if there are more than one: a new key must then not evict
/// this key.
pub(super) fn light_usage(slot: &Slot) -> Option<u64> {
    let used = Count::of(slot.counts.load(Ordering::Acquire)).used;
    (used <= 1).then_some(used)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate::{Algorithm, RateTable};
    use crate::state::StateId;

    const STATE: StateId = StateId(1);
    const DAY_MIN: u32 = 1_440;
    const MINUTE_NS: u64 = 60_000_000_000;

    /// Quota of `count` requests for a period of `days` days, whose last day is `day`.
    fn period(count: u64, day: u32, days: u32) -> Tokens {
        Tokens {
            algorithm: Algorithm::Calendar(day * DAY_MIN),
            count,
            period_ms: u64::from(days * DAY_MIN) * MINUTE_MS,
            burst: count,
        }
    }

    fn table() -> (RateTable, u64) {
        let table = RateTable::saved(64, [1, 2]);
        let tag = table.tag(STATE, &[b"acme"]);
        (table, tag)
    }

    /// Sends 20 requests in a minute and returns the number of admitted ones.
    fn admitted((table, tag): &(RateTable, u64), tokens: Tokens, minute: u32) -> usize {
        let now_ns = u64::from(minute) * MINUTE_NS;
        let takes = (0..20).filter(|_| table.take(STATE, *tag, tokens, 1, now_ns).admitted);
        takes.count()
    }

    #[test]
    fn period_admits_the_limit_and_the_next_again() {
        let table = table();
        // Test on day 20,000, one minute after its start and in its last minute.
        let day = 19_999 * DAY_MIN;
        assert_eq!(admitted(&table, period(7, 20_000, 1), day + 1), 7);
        assert_eq!(admitted(&table, period(7, 20_000, 1), day + 1_439), 0);
        assert_eq!(admitted(&table, period(7, 20_001, 1), day + 1_440), 7);
        // The number that represents the end of a period repeats after 31.9 years.
        let later = 20_000 + (1 << 24) / DAY_MIN;
        assert_eq!(
            admitted(&table, period(7, later, 1), (later - 1) * DAY_MIN),
            7
        );
    }

    #[test]
    fn clock_set_back_gives_no_second_allowance() {
        let table = table();
        let (today, tomorrow) = (period(7, 20_000, 1), period(7, 20_001, 1));
        let midnight = 20_000 * DAY_MIN;
        assert_eq!(admitted(&table, today, midnight - 1), 7);
        assert_eq!(admitted(&table, tomorrow, midnight), 7);
        // The clock is set back by two minutes, so that midnight passes twice.
        assert_eq!(admitted(&table, today, midnight - 2), 0);
        assert_eq!(admitted(&table, tomorrow, midnight), 0);
        assert_eq!(admitted(&table, period(7, 20_002, 1), midnight + 1_440), 7);
    }

    /// Checks that callers need not wait for years after a clock that was years ahead is set back.
    #[test]
    fn clock_set_back_far_keeps_the_count() {
        let table = table();
        let ahead = 19_999 * DAY_MIN;
        let first = (0..5).filter(|_| {
            let now_ns = u64::from(ahead) * MINUTE_NS;
            let (table, tag) = &table;
            table
                .take(STATE, *tag, period(7, 20_000, 1), 1, now_ns)
                .admitted
        });
        assert_eq!(first.count(), 5);
        assert_eq!(admitted(&table, period(7, 19_000, 1), 18_999 * DAY_MIN), 2);
        assert_eq!(admitted(&table, period(7, 19_001, 1), 19_000 * DAY_MIN), 7);
    }

    #[test]
    fn changed_limit_or_period_keeps_what_was_used() {
        let table = table();
        let now = 19_990 * DAY_MIN;
        assert_eq!(admitted(&table, period(7, 19_991, 1), now), 7);
        assert_eq!(admitted(&table, period(9, 19_991, 1), now), 2);
        assert_eq!(admitted(&table, period(12, 20_000, 30), now), 3);
        assert_eq!(admitted(&table, period(15, 19_991, 1), now), 3);
    }

    #[test]
    fn wait_is_the_time_to_the_boundary() {
        let (table, tag) = table();
        let tokens = period(5, 20_000, 1);
        let now_ns = u64::from(20_000 * DAY_MIN - 90) * MINUTE_NS;
        for (cost, admitted, remaining) in [(3, true, 2), (3, false, 2), (2, true, 0)] {
            let taken = table.take(STATE, tag, tokens, cost, now_ns);
            assert_eq!((taken.admitted, taken.remaining), (admitted, remaining));
            assert_eq!(taken.wait_ticks / 10_000_000, 90 * 60, "seconds");
        }
    }

    #[test]
    fn refund_returns_requests_of_the_same_period() {
        let table = table();
        let (today, tomorrow) = (period(7, 20_000, 1), period(7, 20_001, 1));
        let midnight = 20_000 * DAY_MIN;
        assert_eq!(admitted(&table, today, midnight - 1), 7);
        table.0.refund(table.1, today, 2);
        assert_eq!(admitted(&table, today, midnight - 1), 2);
        assert_eq!(admitted(&table, tomorrow, midnight), 7);
        table.0.refund(table.1, today, 2);
        assert_eq!(admitted(&table, tomorrow, midnight), 0);
    }

    #[test]
    fn threads_at_a_boundary_get_one_limit_each_side() {
        let (table, tag) = table();
        let midnight = u64::from(20_000 * DAY_MIN) * MINUTE_NS;
        let counts = [const { std::sync::atomic::AtomicU64::new(0) }; 2];
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for request in 0..4_000_u64 {
                        let side = usize::from(request >= 2_000);
                        let now_ns = midnight - 1_000_000_000 * u64::from(side == 0);
                        let tokens = period(1_000, 20_000 + u32::from(side == 1), 1);
                        if table.take(STATE, tag, tokens, 1, now_ns).admitted {
                            counts[side].fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let [before, after] = counts.map(std::sync::atomic::AtomicU64::into_inner);
        // A request before midnight may count in the later period, if another thread has already
        // begun that period.
        assert_eq!(before + after, 2_000, "{before} {after}");
        assert!(before >= 1_000, "{before}");
    }
}
