//! Limits on the time for which peers may keep the gateway waiting. A client can do so in the
//! middle of a message, either by sending a request's body slowly or by reading a response slowly.
//! Any peer can do so by being silent.
//!
//! An idle timeout is not enough for clients: one byte per minute would keep a connection, an
//! exchange and an upstream busy indefinitely. Therefore a client has a time budget. Only time in
//! which the gateway waits for the client is subtracted. Each byte that is transferred adds to the
//! budget, up to the initial value.

use bundle::ir::ListenerLimits;

/// Time limits for clients, and for upstreams after the head of their response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimits {
    /// Initial time budget of a client: the maximum milliseconds for which it may keep the gateway
    /// waiting.
    pub grace_ms: u64,
    /// Number of bytes that add one second to the time budget. In the long run, this is the minimum
    /// rate of a client.
    pub bytes_per_s: u64,
    /// Milliseconds after which a connection with an unresponsive peer is closed
    /// (`TCP_USER_TIMEOUT`). Keep-alive probes of idle connections begin after half of it.
    pub half_open_ms: u64,
    /// Maximum milliseconds without progress in bodies that have no time budget: a response from an
    /// upstream, an upload to an upstream, and streams.
    pub stream_idle_ms: u64,
    /// Maximum milliseconds without data in either direction of a WebSocket.
    pub tunnel_idle_ms: u64,
    /// Milliseconds after which an HTTP/2 client gets GOAWAY, reduced at random by up to a fifth.
    /// Clients therefore reconnect at different times and are spread over workers (data-plane.md
    /// §6).
    pub http2_age_max_ms: u64,
}

/// Milliseconds of waiting after which an upload counts as slow. Received bytes reduce the waiting
/// time.
pub(crate) const SLOW_MS: u64 = 1_000;
/// Rate in bytes per second below which an upload becomes slow: each 8 KiB received reduce the
/// waiting time by one second. Higher than the minimum rate of a listener.
const SLOW_BYTES_PER_S: u64 = 8 << 10;
/// Upper bound of the waiting time that is counted, in milliseconds. A client that sends fast again
/// therefore soon stops counting as slow.
const SLOW_MAX_MS: u64 = 2 * SLOW_MS;

/// Time budget of the client for one message body.
#[derive(Debug)]
pub(crate) struct Pace {
    left_ms: u64,
    /// Milliseconds of waiting, compared with [`SLOW_MS`].
    slow_ms: u64,
    /// Time since which the gateway waits for the client, in milliseconds of the clock. `None`: the
    /// gateway does not wait.
    since_ms: Option<u64>,
}

impl TimeLimits {
    /// Value without process limits on bodies, so that only the limits of the listeners apply.
    pub const OF_LISTENERS: Self = Self {
        grace_ms: u64::MAX,
        bytes_per_s: 0,
        stream_idle_ms: u64::MAX,
        ..Self::DEFAULT
    };

    /// Time limits for a listener. For each limit, the stricter of the listener's value and the
    /// process's value applies.
    pub(crate) fn with(self, limits: &ListenerLimits) -> Self {
        Self {
            grace_ms: self.grace_ms.min(limits.body_timeout_ms),
            bytes_per_s: self.bytes_per_s.max(limits.min_rate_bytes),
            stream_idle_ms: self.stream_idle_ms.min(limits.stream_idle_timeout_ms),
            ..self
        }
    }

    /// Default time limits. They are the defaults of NGINX's `client_body_timeout` and
    /// `send_timeout`, of the minimum rate of IIS and Kestrel, and of Envoy's
    /// `stream_idle_timeout`. Half-open connections have two minutes, idle WebSockets an hour
    /// (semantics.md §14), HTTP/2 connections half an hour.
    pub const DEFAULT: Self = Self {
        grace_ms: 60_000,
        bytes_per_s: 240,
        half_open_ms: 120_000,
        stream_idle_ms: 300_000,
        tunnel_idle_ms: 3_600_000,
        http2_age_max_ms: 1_800_000,
    };
}

impl Pace {
    pub(crate) fn new(time_limits: &TimeLimits) -> Self {
        Self {
            left_ms: time_limits.grace_ms,
            slow_ms: 0,
            since_ms: None,
        }
    }

    /// Deadline of the client in milliseconds of the clock, or `None` if the gateway is not waiting
    /// for it.
    pub(crate) fn until_ms(&self) -> Option<u64> {
        self.since_ms
            .map(|since_ms| since_ms.saturating_add(self.left_ms))
    }

    /// Starts to subtract time from the budget, because the gateway waits for the client. Returns
    /// the deadline in milliseconds of the clock.
    pub(crate) fn waits(&mut self, now_ms: u64) -> u64 {
        let since_ms = *self.since_ms.get_or_insert(now_ms);
        since_ms.saturating_add(self.left_ms)
    }

    /// Time at which the upload becomes slow, in milliseconds of the clock. May be in the past. Far
    /// in the future if the gateway is not waiting for the client.
    pub(crate) fn slow_at_ms(&self) -> u64 {
        let since_ms = self.since_ms.unwrap_or(u64::MAX);
        since_ms.saturating_add(SLOW_MS.saturating_sub(self.slow_ms))
    }

    /// True if the waiting time, which received bytes reduce, has reached [`SLOW_MS`].
    pub(crate) fn is_slow(&self) -> bool {
        self.slow_ms >= SLOW_MS
    }

    /// Ends the wait for the client. Either `bytes` were transferred, or (`bytes` is 0) the gateway
    /// now waits for another party.
    pub(crate) fn moved(&mut self, bytes: u64, now_ms: u64, time_limits: &TimeLimits) {
        if let Some(since_ms) = self.since_ms.take() {
            let waited_ms = now_ms.saturating_sub(since_ms);
            self.left_ms = self.left_ms.saturating_sub(waited_ms);
            self.slow_ms = self.slow_ms.saturating_add(waited_ms).min(SLOW_MAX_MS);
        }
        let swift_ms = bytes.saturating_mul(1_000) / SLOW_BYTES_PER_S;
        self.slow_ms = self.slow_ms.saturating_sub(swift_ms);
        let earned_ms = bytes.saturating_mul(1_000) / time_limits.bytes_per_s.max(1);
        self.left_ms = self
            .left_ms
            .saturating_add(earned_ms)
            .min(time_limits.grace_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: TimeLimits = TimeLimits {
        grace_ms: 10_000,
        bytes_per_s: 100,
        half_open_ms: 0,
        ..TimeLimits::DEFAULT
    };

    #[test]
    fn waiting_spends_the_budget_and_bytes_restore_it() {
        let mut pace = Pace::new(&LIMITS);
        assert_eq!(pace.waits(1_000), 11_000);
        assert_eq!(pace.waits(4_000), 11_000, "the wait began at 1 s");
        pace.moved(200, 5_000, &LIMITS);
        assert_eq!(
            pace.waits(5_000),
            5_000 + 8_000,
            "4 s waited, 2 s added by 200 bytes"
        );
        pace.moved(1 << 40, 5_000, &LIMITS);
        assert_eq!(
            pace.waits(5_000),
            15_000,
            "the budget never exceeds its initial value"
        );
    }

    #[test]
    fn trickle_ends_and_minimum_rate_does_not() {
        let lives_s = |bytes: u64| {
            let mut pace = Pace::new(&LIMITS);
            (0..1_000).find(|second| {
                let until_ms = pace.waits(second * 1_000);
                pace.moved(bytes, (second + 1) * 1_000, &LIMITS);
                until_ms <= (second + 1) * 1_000
            })
        };
        assert_eq!(lives_s(0), Some(9));
        assert_eq!(lives_s(50), Some(18));
        assert_eq!(lives_s(100), None);
    }

    #[test]
    fn upload_above_min_rate_is_slow_until_it_delivers() {
        let seconds = |bytes: u64| {
            let mut pace = Pace::new(&LIMITS);
            (0..100).find(|second| {
                pace.waits(second * 1_000);
                pace.moved(bytes, (second + 1) * 1_000, &LIMITS);
                pace.is_slow()
            })
        };
        assert_eq!(seconds(LIMITS.bytes_per_s), Some(1));
        assert_eq!(seconds(SLOW_BYTES_PER_S / 2), Some(1));
        assert_eq!(seconds(SLOW_BYTES_PER_S), None);
        let mut pace = Pace::new(&LIMITS);
        pace.waits(0);
        assert_eq!(pace.slow_at_ms(), SLOW_MS);
        pace.moved(1, 9_000, &LIMITS);
        assert!(pace.is_slow());
        pace.moved(SLOW_BYTES_PER_S * 3 / 2, 9_000, &LIMITS);
        assert!(!pace.is_slow(), "old waiting time does not count");
    }

    #[test]
    fn waiting_for_another_party_spends_no_budget() {
        let mut pace = Pace::new(&LIMITS);
        for at in 0..100 {
            pace.waits(at * 60_000);
            pace.moved(0, at * 60_000, &LIMITS);
            assert_eq!(pace.until_ms(), None);
        }
        assert_eq!(pace.waits(0), 10_000);
    }
}
