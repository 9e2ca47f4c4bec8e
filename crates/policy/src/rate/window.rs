//! Sliding window: the number of requests in the current window, plus a weighted number of requests
//! in the window before it. The weight is the fraction of the earlier window that is within one
//! period of now.
//!
//! The counts and the number of the window are in one integer, so that one compare-and-swap counts
//! a request. The other integer of the slot contains the time at which both windows have ended.

use std::sync::atomic::Ordering;

use super::{Admission, Slot, TIME_MASK, Tokens, is_of};

/// Number of bits of a count. A limit has at most [`COUNT_MAX`] requests per window.
const COUNT_BITS: u32 = 24;
/// Largest count of a window.
pub(super) const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;
/// Position of the lowest bit of the period in [`Slot::owner`]. The bits below are the index of the
/// limit.
const PERIOD_SHIFT: u32 = 10;
const PERIOD_MASK: u64 = TIME_MASK >> 3;
const NUMBER_MASK: u64 = (1 << (64 - 2 * COUNT_BITS)) - 1;

/// Request counts of the current and the earlier window.
#[derive(Clone, Copy)]
struct Counts {
    /// Number of the current window, modulo 2^16.
    number: u64,
    before: u64,
    current: u64,
}

impl Counts {
    fn of(word: u64) -> Self {
        Self {
            number: word >> (2 * COUNT_BITS),
            before: word >> COUNT_BITS & COUNT_MAX,
            current: word & COUNT_MAX,
        }
    }

    fn word(self) -> u64 {
        let count = |count: u64| count.min(COUNT_MAX);
        self.number << (2 * COUNT_BITS) | count(self.before) << COUNT_BITS | count(self.current)
    }

    fn none(number: u64) -> Self {
        Self {
            number,
            before: 0,
            current: 0,
        }
    }

    /// Counts after a change of the limit's period: all counted requests belong to the current
    /// window.
    fn converted(self, number: u64, limit: u64) -> Self {
        Self {
            number,
            before: 0,
            current: (self.before + self.current).min(limit),
        }
    }

    /// Moves the counts to the window `number`. The count of the window directly before it becomes
    /// the earlier count; older counts are dropped.
    fn at(self, number: u64) -> Self {
        let (before, current) = match number.wrapping_sub(self.number) & NUMBER_MASK {
            0 => (self.before, self.current),
            1 => (self.current, 0),
            // Another thread has begun a later window, because it read a later time: count in that
            // window.
            NUMBER_MASK => return self,
            // The wall clock was set back: keep the counts.
            back if back > NUMBER_MASK / 2 => (self.before, self.current),
            _ => (0, 0),
        };
        Self {
            number,
            before,
            current,
        }
    }
}

/// Counts `cost` requests at the time `now` (ticks) if the limit allows them. `period` is in ticks.
pub(super) fn take(
    slot: &Slot,
    tag: u64,
    tokens: Tokens,
    period: u64,
    cost: u64,
    now: u64,
) -> Admission {
    count(slot, tag, tokens, period, now, |counts, limit| {
        (admit(counts, limit, cost, period, now % period), cost)
    })
}

/// Number of requests that count at the time `now` (ticks).
pub(super) fn used(slot: &Slot, tag: u64, tokens: Tokens, period: u64, now: u64) -> u64 {
    let word = slot.counts.load(Ordering::Acquire);
    let time = slot.word.load(Ordering::Acquire);
    if !is_of(time, tag) || time & TIME_MASK <= now || word == 0 {
        return 0;
    }
    let number = (now / period) & NUMBER_MASK;
    let before = period_of(slot);
    let counts = match before != 0 && before != period {
        true => Counts::of(word).converted(number, tokens.count.min(COUNT_MAX)),
        false => Counts::of(word).at(number),
    };
    counts.current + share(counts.before, period - now % period, period)
}

/// Counts requests in the current window without a check, until at least `least` requests count.
pub(super) fn raise(slot: &Slot, tag: u64, tokens: Tokens, period: u64, least: u64, now: u64) {
    count(slot, tag, tokens, period, now, |counts, _| {
        let used = counts.current + share(counts.before, period - now % period, period);
        let admission = Admission {
            admitted: used < least,
            remaining: 0,
            wait_ticks: 0,
        };
        (admission, least.saturating_sub(used))
    });
}

/// Counts requests at the time `now` (ticks) if `decide` admits them. `decide` gets the counts and
/// the limit, and returns its decision with the number of requests.
#[inline]
fn count(
    slot: &Slot,
    tag: u64,
    tokens: Tokens,
    period: u64,
    now: u64,
    decide: impl Fn(Counts, u64) -> (Admission, u64),
) -> Admission {
    let limit = tokens.count.min(COUNT_MAX);
    let number = now / period;
    let end = ((number + 2) * period).min(TIME_MASK);
    // Load the counts before the end time. If the end has passed, no thread had counted in the new
    // window when the counts were loaded. If a thread counts later, the compare-and-swap below
    // fails.
    let mut word = slot.counts.load(Ordering::Acquire);
    let time = slot.word.load(Ordering::Acquire);
    let mut is_over = time & TIME_MASK <= now;
    // First reserve the slot until the end of the next window, then count. Only the first request
    // of a window writes the end time. Later requests of the same key write only the counts, one
    // integer.
    let reserved = |word: u64| {
        let later = (word & TIME_MASK).max(end);
        is_of(word, tag).then_some((word & !TIME_MASK) | later)
    };
    // If another key owns the slot now, decide as for a new key, and do not charge the owner.
    let is_reserved = is_of(time, tag) && time & TIME_MASK >= end;
    let ours = is_reserved
        || slot
            .word
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, reserved)
            .is_ok();
    let number = number & NUMBER_MASK;
    loop {
        let period_before = period_of(slot);
        let has_counts = ours && !is_over && word != 0;
        let is_converted = has_counts && period_before != 0 && period_before != period;
        let counts = match has_counts {
            false => Counts::none(number),
            true if is_converted => Counts::of(word).converted(number, limit),
            true => Counts::of(word).at(number),
        };
        let (admission, cost) = decide(counts, limit);
        // Store converted counts even if the request is refused. Otherwise every refused request
        // would move them to its own window, and they would never leave the window.
        if !ours || !admission.admitted && !is_converted {
            return admission;
        }
        let counted = if admission.admitted { cost } else { 0 };
        let next = Counts {
            current: counts.current + counted,
            ..counts
        };
        let counted = slot.counts.compare_exchange_weak(
            word,
            next.word(),
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        match counted {
            Ok(_) => {
                if period_before != period {
                    set_period(slot, period);
                }
                if is_converted {
                    shorten(slot, tag, end + period);
                }
                return admission;
            }
            // Another thread has counted a request and thus begun the new window.
            Err(current) if current != word => {
                word = current;
                is_over = false;
            }
            // The compare-and-swap failed spuriously: try again.
            Err(_) => {}
        }
    }
}

/// Period in ticks at the last write of the slot. 0 for a new key.
pub(super) fn period_of(slot: &Slot) -> u64 {
    slot.owner.load(Ordering::Acquire) >> PERIOD_SHIFT & PERIOD_MASK
}

pub(super) fn set_period(slot: &Slot, period: u64) {
    let with = |owner: u64| Some(owner & !(PERIOD_MASK << PERIOD_SHIFT) | period << PERIOD_SHIFT);
    let _ = slot
        .owner
        .fetch_update(Ordering::AcqRel, Ordering::Acquire, with);
}

/// Limits the time at which both windows of a slot end to `end`. After a change to a shorter
/// period, the slot still has the end time of the longer windows.
fn shorten(slot: &Slot, tag: u64, end: u64) {
    let earlier = |word: u64| {
        let time = (word & TIME_MASK).min(end);
        is_of(word, tag).then_some((word & !TIME_MASK) | time)
    };
    let _ = slot
        .word
        .fetch_update(Ordering::AcqRel, Ordering::Acquire, earlier);
}

/// Decides on `cost` requests that arrive `elapsed` ticks after the start of the current window.
fn admit(counts: Counts, limit: u64, cost: u64, period: u64, elapsed: u64) -> Admission {
    let left = period - elapsed;
    let used = counts.current + share(counts.before, left, period);
    let after = used.saturating_add(cost);
    if after <= limit {
        return Admission {
            admitted: true,
            remaining: limit - after,
            wait_ticks: if after < limit {
                0
            } else {
                wait(counts.before, counts.current + cost, limit, 1, period, left)
            },
        };
    }
    Admission {
        admitted: false,
        remaining: limit.saturating_sub(used),
        wait_ticks: wait(counts.before, counts.current, limit, cost, period, left),
    }
}

/// Time in ticks until `cost` more requests are allowed, if no other requests arrive.
fn wait(before: u64, current: u64, limit: u64, cost: u64, period: u64, left: u64) -> u64 {
    let room = limit.saturating_sub(cost);
    if current <= room {
        // The requests fit within this window, as soon as the weight of the earlier window has
        // decreased enough.
        return left.saturating_sub(fitting(before, room - current, period));
    }
    // The requests fit in the next window, for which the current window is the earlier one.
    left + period.saturating_sub(fitting(current, room, period))
}

/// Maximum number of remaining ticks in the current window at which `count` requests of the earlier
/// window weigh at most `room`.
fn fitting(count: u64, room: u64, period: u64) -> u64 {
    if count <= room {
        return period;
    }
    let ticks = u128::from(room) * u128::from(period) / u128::from(count);
    u64::try_from(ticks).unwrap_or(period)
}

/// Weight of `count` requests of the earlier window, rounded up, with `left` ticks left in the
/// current window.
fn share(count: u64, left: u64, period: u64) -> u64 {
    let weight = (u128::from(count) * u128::from(left)).div_ceil(u128::from(period));
    u64::try_from(weight).unwrap_or(count)
}

/// Subtracts `cost` counted requests, first from the current window, then from the earlier one.
pub(super) fn refund(slot: &Slot, tag: u64, cost: u64) {
    if !is_of(slot.word.load(Ordering::Acquire), tag) {
        return;
    }
    let back = |word: u64| {
        let counts = Counts::of(word);
        let current = counts.current.saturating_sub(cost);
        let rest = cost - (counts.current - current);
        let less = Counts {
            current,
            before: counts.before.saturating_sub(rest),
            ..counts
        };
        (word != 0).then(|| less.word())
    };
    let _ = slot
        .counts
        .fetch_update(Ordering::AcqRel, Ordering::Acquire, back);
}

/// Number of counted requests. `None` if there are more than one: a new key must then not evict
/// this key.
pub(super) fn light_usage(slot: &Slot) -> Option<u64> {
    let counts = Counts::of(slot.counts.load(Ordering::Acquire));
    let usage = counts.before + counts.current;
    (usage <= 1).then_some(usage)
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use super::*;
    use crate::rate::{Algorithm, RateTable};
    use crate::state::StateId;

    const SECOND: u64 = 1_000_000_000;
    const STATE: StateId = StateId(1);

    fn window(count: u64, period_ms: u64) -> Tokens {
        Tokens {
            algorithm: Algorithm::Window,
            count,
            period_ms,
            burst: count,
        }
    }

    fn table() -> (RateTable, u64) {
        let table = RateTable::new(64, RandomState::new());
        let tag = table.tag(STATE, &[b"acme"]);
        (table, tag)
    }

    /// Sends a request every `step_ns` for `seconds`, beginning at second 100. Returns the number
    /// of admitted requests.
    fn admitted(tokens: Tokens, step_ns: u64, seconds: u64) -> u64 {
        let (table, tag) = table();
        let times = (0..seconds * SECOND / step_ns).map(|at| 100 * SECOND + at * step_ns);
        let takes = times.filter(|now| table.take(STATE, tag, tokens, 1, *now).admitted);
        takes.count() as u64
    }

    #[test]
    fn twice_the_limit_gets_the_limit() {
        // Send 200 requests per second for a minute to a limit of 100 per second. The admitted
        // number may differ by 1 % and one window.
        let count = admitted(window(100, 1_000), 5_000_000, 60);
        assert!((5_940..=6_160).contains(&count), "{count}");
        // Half as many requests as allowed: all are admitted.
        assert_eq!(admitted(window(100, 1_000), 20_000_000, 60), 3_000);
    }

    #[test]
    fn full_window_leaves_room_as_it_slides_out() {
        let (table, tag) = table();
        let tokens = window(10, 1_000);
        // Use up the limit at the end of second 100.
        for _ in 0..10 {
            assert!(
                table
                    .take(STATE, tag, tokens, 1, 101 * SECOND - 100)
                    .admitted
            );
        }
        // A fixed window that begins at each second would admit ten more requests here.
        let refused = table.take(STATE, tag, tokens, 1, 101 * SECOND);
        assert_eq!((refused.admitted, refused.remaining), (false, 0));
        assert_eq!(refused.wait_ticks, 1_000_000, "a tenth of the second");
        assert!(
            !table
                .take(STATE, tag, tokens, 1, 101 * SECOND + 99_999_900)
                .admitted
        );
        assert!(
            table
                .take(STATE, tag, tokens, 1, 101 * SECOND + 100_000_000)
                .admitted
        );
        // In the middle of the next window, half of the earlier requests still count.
        let half = 101 * SECOND + 500_000_000;
        let more = (0..20).filter(|_| table.take(STATE, tag, tokens, 1, half).admitted);
        assert_eq!(more.count(), 4);
        // Two windows later, none of the requests counts.
        let late = 103 * SECOND;
        let all = (0..20).filter(|_| table.take(STATE, tag, tokens, 1, late).admitted);
        assert_eq!(all.count(), 10);
    }

    #[test]
    fn waits_are_long_enough_and_not_longer() {
        let tokens = window(7, 1_000);
        for (first, at, cost) in [
            (7, 0, 1),
            (7, 300, 1),
            (5, 900, 3),
            (7, 999, 7),
            (1, 500, 7),
        ] {
            let (table, tag) = table();
            let now = 100 * SECOND + at * 1_000_000;
            assert!(table.take(STATE, tag, tokens, first, now).admitted);
            let refused = table.take(STATE, tag, tokens, cost, now);
            assert!(!refused.admitted, "{first} {at} {cost}");
            let then = now + refused.wait_ticks * 100;
            let early = table.take(STATE, tag, tokens, cost, then - 100);
            assert!(!early.admitted, "{first} {at} {cost}: sooner was enough");
            assert!(
                table.take(STATE, tag, tokens, cost, then).admitted,
                "{first} {at} {cost}"
            );
        }
    }

    #[test]
    fn changed_limit_keeps_what_was_used() {
        let (table, tag) = table();
        for _ in 0..6 {
            assert!(
                table
                    .take(STATE, tag, window(10, 1_000), 1, 100 * SECOND)
                    .admitted
            );
        }
        // First the count of the limit changes, then its period.
        let left = table
            .take(STATE, tag, window(8, 1_000), 1, 100 * SECOND)
            .remaining;
        assert_eq!(left, 1);
        let minute = table.take(STATE, tag, window(10, 60_000), 1, 100 * SECOND);
        assert_eq!((minute.admitted, minute.remaining), (true, 2));
    }

    #[test]
    fn counts_of_a_longer_period_leave_the_window() {
        // A caller that used more than the new limit is refused for at most two new periods.
        for (longer, shorter) in [
            (window(600, 60_000), window(5, 1_000)),
            (window(600, 7 * 86_400_000), window(5, 1_000)),
            (window(17_999, 3_600_000), window(300, 60_000)),
        ] {
            let (table, tag) = table();
            let now = 30 * 86_400 * SECOND;
            for _ in 0..400 {
                assert!(table.take(STATE, tag, longer, 1, now).admitted);
            }
            let period = shorter.period_ms * 1_000_000;
            for at in 0..10 {
                let refused = table.take(STATE, tag, shorter, 1, now + at * period / 10);
                assert!(!refused.admitted, "{at}");
                assert!(refused.wait_ticks <= 2 * shorter.period_ms * 10_000, "{at}");
            }
            let later = now + 2 * period;
            let admitted = (0..400).filter(|_| table.take(STATE, tag, shorter, 1, later).admitted);
            assert_eq!(admitted.count() as u64, shorter.count);
            // Window numbers repeat after 65,536 windows of the new period.
            let idle = later + 65_536 * period;
            let admitted = (0..400).filter(|_| table.take(STATE, tag, shorter, 1, idle).admitted);
            assert_eq!(admitted.count() as u64, shorter.count);
        }
    }

    #[test]
    fn refund_brings_requests_back() {
        let (table, tag) = table();
        let tokens = window(3, 1_000);
        assert!(table.take(STATE, tag, tokens, 3, 100 * SECOND).admitted);
        table.refund(tag, tokens, 3);
        assert!(table.take(STATE, tag, tokens, 3, 100 * SECOND).admitted);
        assert!(!table.take(STATE, tag, tokens, 1, 100 * SECOND).admitted);
        // After the refund, one request counts in this window, so that two fit at the beginning of
        // the next one.
        table.refund(tag, tokens, 2);
        assert!(table.take(STATE, tag, tokens, 2, 101 * SECOND).admitted);
    }

    #[test]
    fn idle_key_gets_the_full_limit() {
        let (table, tag) = table();
        let tokens = window(2, 1);
        let mut now = 100 * SECOND;
        // Window numbers repeat after 65,536 windows.
        for idle_ms in [3, 65_536, 65_537, 131_072, 86_400_000] {
            assert!(table.take(STATE, tag, tokens, 2, now).admitted);
            assert!(!table.take(STATE, tag, tokens, 1, now).admitted);
            now += idle_ms * 1_000_000;
            assert!(table.take(STATE, tag, tokens, 2, now).admitted, "{idle_ms}");
            now += 10_000_000;
        }
    }

    #[test]
    fn threads_together_get_no_more_than_the_limit() {
        let (table, tag) = table();
        // With a period of one hour, no window ends during this test.
        let tokens = window(1_000, 3_600_000);
        let count = std::sync::atomic::AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        if table.take(STATE, tag, tokens, 1, 3_600 * SECOND).admitted {
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(count.into_inner(), 1_000);
    }
}
