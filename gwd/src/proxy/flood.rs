//! Budgets against floods of HTTP/2 frames that do no useful work (RFC 9113 §10.5): PING, SETTINGS,
//! PRIORITY, WINDOW_UPDATE, unknown types, and streams that are opened only to be reset.
//!
//! h2 limits the memory for such frames, and the cost of DATA and early resets. It handles any
//! number of other frames, which costs CPU time. Therefore control frames consume a budget, which
//! time, requests and sent bytes refill.

use crate::runtime::clock::Clock;

/// Maximum burst of control frames, as in Envoy's limit of queued control frames.
const CONTROL_BURST: u32 = 1_000;
/// Number of control frames that are added to the budget each second. Processing that many frames
/// takes about 100 µs.
const CONTROL_PER_S: u64 = 1_000;
/// Number of control frames that are added to the budget for each request: its priority, window
/// updates and end.
const CONTROL_PER_REQUEST: u32 = 4;
/// Number of sent bytes that add one control frame to the budget. A client that reads in small
/// pieces also sends window updates in small steps.
const BYTES_PER_CONTROL: usize = 256;
/// Number of streams that a client may reset in a burst.
const RESET_BURST: u32 = 500;
/// Number of requests that add one reset to the budget: beyond the burst, a client may reset at
/// most every other stream (compare Envoy's `premature_reset_total_stream_count`).
const RESET_COST: u32 = 2;
/// Number of resets that are added to the budget each second.
const RESETS_PER_S: u64 = 10;

/// Budgets of a connection for control frames and resets.
#[derive(Debug)]
pub(super) struct Flood {
    clock: Clock,
    control: Bucket,
    resets: Bucket,
    /// Number of bytes sent to the client that have not been added to the budget yet.
    sent: usize,
}

/// Token bucket, filled by time and by useful frames of the client.
#[derive(Debug)]
struct Bucket {
    level: u32,
    max: u32,
    per_s: u64,
    filled_ms: u64,
}

// === impl Flood ===

impl Flood {
    pub(super) fn new(clock: Clock) -> Self {
        let now_ms = clock.now_ms();
        Self {
            clock,
            control: Bucket::new(CONTROL_BURST, CONTROL_PER_S, now_ms),
            resets: Bucket::new(RESET_BURST * RESET_COST, RESETS_PER_S * 2, now_ms),
            sent: 0,
        }
    }

    /// Refills both budgets, because the client has sent a header block.
    pub(super) fn headers(&mut self) {
        self.control.earn(CONTROL_PER_REQUEST);
        self.resets.earn(1);
    }

    /// Takes a reset from the budget. Returns `false` if the budget is exhausted.
    pub(super) fn reset(&mut self) -> bool {
        self.resets.spend(RESET_COST, &self.clock)
    }

    /// True if less than half of the budget for resets is left. The connection then accepts no new
    /// streams, so that a client behind a proxy does not end the requests of other clients.
    pub(super) fn is_half_spent(&self) -> bool {
        self.resets.level < self.resets.max / 2
    }

    /// Takes a control frame from the budget. Returns `false` if the budget is exhausted.
    pub(super) fn control(&mut self) -> bool {
        self.control.spend(1, &self.clock)
    }

    /// Adds control frames to the budget for bytes that were sent to the client.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.sent >= BYTES_PER_CONTROL {
            let paid = self.sent / BYTES_PER_CONTROL;
            self.control.earn(u32::try_from(paid).unwrap_or(u32::MAX));
            self.sent %= BYTES_PER_CONTROL;
        }
    }
}

// === impl Bucket ===

impl Bucket {
    fn new(max: u32, per_s: u64, now_ms: u64) -> Self {
        Self {
            level: max,
            max,
            per_s,
            filled_ms: now_ms,
        }
    }

    fn earn(&mut self, amount: u32) {
        self.level = self.level.saturating_add(amount).min(self.max);
    }

    /// Subtracts `amount` from the level, which stays at least 0. Returns `true` if the level was
    /// sufficient. Reads the clock only if the level is below about a half.
    fn spend(&mut self, amount: u32, clock: &Clock) -> bool {
        if self.level < self.max / 2 + amount {
            let now_ms = clock.now_ms();
            let earned = now_ms
                .saturating_sub(self.filled_ms)
                .saturating_mul(self.per_s)
                / 1_000;
            if earned > 0 {
                self.filled_ms = now_ms;
                self.earn(u32::try_from(earned).unwrap_or(u32::MAX));
            }
        }
        let fine = self.level >= amount;
        self.level = self.level.saturating_sub(amount);
        fine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Budgets for tests, which are not refilled over time.
    fn begun() -> Flood {
        let mut flood = Flood::new(Clock::new());
        (flood.control.per_s, flood.resets.per_s) = (0, 0);
        flood
    }

    /// Number of control frames until the budget is exhausted, at most 10,000.
    fn controls(flood: &mut Flood) -> usize {
        (0..10_000).take_while(|_| flood.control()).count()
    }

    #[test]
    fn control_frames_are_bounded() {
        assert_eq!(controls(&mut begun()), CONTROL_BURST as usize);
    }

    #[test]
    fn requests_and_responses_refill_the_control_budget() {
        let mut flood = begun();
        for _ in 0..10_000 {
            flood.headers();
            assert!((0..4).all(|_| flood.control()));
        }
        flood.sent(BYTES_PER_CONTROL * 300);
        assert_eq!(controls(&mut flood), CONTROL_BURST as usize);
        flood.sent(BYTES_PER_CONTROL * 2 - 1);
        flood.sent(1);
        assert_eq!(controls(&mut flood), 2);
    }

    #[test]
    fn every_other_stream_may_be_reset_and_no_more() {
        let mut flood = begun();
        for at in 0..20_000 {
            flood.headers();
            assert!(at % 2 == 0 || flood.reset());
        }
        let mut flood = begun();
        let each = |_: &u32| {
            flood.headers();
            flood.reset()
        };
        assert_eq!(
            (0..5_000).take_while(each).count(),
            2 * RESET_BURST as usize - 1
        );
    }

    #[test]
    fn time_refills_the_control_budget() {
        let mut flood = begun();
        assert_eq!(controls(&mut flood), CONTROL_BURST as usize);
        flood.control.per_s = u64::MAX;
        std::thread::park_timeout(std::time::Duration::from_millis(5));
        assert!(flood.control());
    }
}
