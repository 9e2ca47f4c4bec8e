//! Token bucket as GCRA (ITU-T I.371). The state of a key is one integer, the theoretical arrival
//! time (TAT). The difference between this time and the current time is the used part of the
//! bucket.

use std::sync::atomic::Ordering;

use super::{Admission, MILLI, Slot, TIME_MASK, Tokens, is_of};

impl Tokens {
    /// Number of ticks (100 ns) in which the bucket is refilled with one token. At least 1.
    fn interval(self) -> u64 {
        (self.period_ms.saturating_mul(10_000) / self.count.max(1)).clamp(1, TIME_MASK >> 3)
    }

    fn depth(self) -> u64 {
        self.interval()
            .saturating_mul(self.burst.max(1))
            .min(TIME_MASK >> 1)
    }
}

/// Takes `cost` tokens at the time `now` (ticks) if the bucket has them.
pub(super) fn take(slot: &Slot, tag: u64, tokens: Tokens, cost: u64, now: u64) -> Admission {
    let (interval, depth) = (tokens.interval(), tokens.depth());
    let taken = interval.saturating_mul(cost);
    let mut word = slot.word.load(Ordering::Acquire);
    loop {
        // If another key owns the slot now, decide as for a new key, and do not charge the owner.
        let ours = is_of(word, tag);
        let ahead = if ours {
            (word & TIME_MASK).saturating_sub(now)
        } else {
            0
        };
        let before = slot.counts.load(Ordering::Acquire);
        let ahead = if before == interval || before == 0 {
            ahead
        } else {
            rescale(ahead, interval, before)
        };
        let after = ahead.saturating_add(taken);
        if after > depth {
            return Admission {
                admitted: false,
                remaining: depth.saturating_sub(ahead) / interval,
                // A cost above the burst waits for a full bucket, and is then refused again.
                wait_ticks: (after - depth).min(ahead),
            };
        }
        let admitted = Admission {
            admitted: true,
            remaining: (depth - after) / interval,
            wait_ticks: (after + interval).saturating_sub(depth),
        };
        if !ours {
            return admitted;
        }
        let next = (word & !TIME_MASK) | (now + after) & TIME_MASK;
        match slot
            .word
            .compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => {
                if before != interval {
                    slot.counts.store(interval, Ordering::Release);
                }
                return admitted;
            }
            Err(current) => word = current,
        }
    }
}

/// Returns `cost` tokens, which [`take`] took, to the bucket.
pub(super) fn refund(slot: &Slot, tag: u64, tokens: Tokens, cost: u64) {
    give_back(slot, tag, tokens.interval().saturating_mul(cost));
}

/// Returns the tokens of this number of ticks to the bucket. If another key owns the slot now, no
/// tokens are returned.
fn give_back(slot: &Slot, tag: u64, taken: u64) {
    let back = |word: u64| {
        let time = word & TIME_MASK;
        is_of(word, tag).then(|| (word & !TIME_MASK) | time.saturating_sub(taken))
    };
    let _ = slot
        .word
        .fetch_update(Ordering::AcqRel, Ordering::Acquire, back);
}

/// Used tokens in thousandths at the time `now` (ticks).
pub(super) fn used(slot: &Slot, tag: u64, now: u64) -> u64 {
    let word = slot.word.load(Ordering::Acquire);
    let interval = slot.counts.load(Ordering::Acquire);
    if !is_of(word, tag) || interval == 0 {
        return 0;
    }
    let ahead = (word & TIME_MASK).saturating_sub(now);
    scale(ahead, MILLI, interval)
}

/// Takes tokens without a check, until at least `milli` thousandths of a token are used.
pub(super) fn raise(slot: &Slot, tag: u64, tokens: Tokens, milli: u64, now: u64) {
    let interval = tokens.interval();
    let least = scale(milli, interval, MILLI).min(tokens.depth());
    let before = slot.counts.load(Ordering::Acquire);
    let raised = |word: u64| {
        let mut ahead = (word & TIME_MASK).saturating_sub(now);
        if before != interval && before != 0 {
            ahead = rescale(ahead, interval, before);
        }
        let is_less = is_of(word, tag) && ahead < least;
        is_less.then(|| (word & !TIME_MASK) | (now + least) & TIME_MASK)
    };
    let raised = slot
        .word
        .fetch_update(Ordering::AcqRel, Ordering::Acquire, raised);
    if raised.is_ok() && before != interval {
        slot.counts.store(interval, Ordering::Release);
    }
}

/// Returns `milli` thousandths of a token to the bucket.
pub(super) fn lower(slot: &Slot, tag: u64, milli: u64) {
    let interval = slot.counts.load(Ordering::Acquire);
    give_back(slot, tag, scale(milli, interval, MILLI));
}

/// Used part of the bucket in ticks. `None` if more than one token is used: a new key must then not
/// evict this key.
pub(super) fn light_usage(slot: &Slot, now: u64) -> Option<u64> {
    let ahead = (slot.word.load(Ordering::Acquire) & TIME_MASK).saturating_sub(now);
    (ahead <= slot.counts.load(Ordering::Acquire)).then_some(ahead)
}

/// Converts the used part of a bucket from ticks of the limit's former `interval` (`before`) to
/// ticks of the new one.
fn rescale(ahead: u64, interval: u64, before: u64) -> u64 {
    scale(ahead, interval, before).min(TIME_MASK >> 1)
}

/// Product of `number` and `factor`, divided by `divisor`.
fn scale(number: u64, factor: u64, divisor: u64) -> u64 {
    let scaled = u128::from(number) * u128::from(factor) / u128::from(divisor);
    u64::try_from(scaled).unwrap_or(u64::MAX)
}
