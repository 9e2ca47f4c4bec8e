//! Estimate of how long a host keeps an idle connection open.
//!
//! A request is lost if the host closes the connection at the moment at which the request is sent.
//! Therefore two limits apply: a recently used connection may carry any request. A connection that
//! has been idle for longer may only carry a request that can be sent again. If the host announces
//! `Keep-Alive: timeout=N` (RFC 2068 §19.7.1), the estimate is N minus one second, but at least
//! half of N. If the host closes a connection earlier than estimated, the time is halved; it
//! doubles again after each minute without such a close (data-plane.md §7). The time never falls
//! below one second, so that a client that makes a service fail cannot force a new connection for
//! each request.

use std::cell::Cell;

use http::HeaderValue;
use http1::response::keep_alive_s;

/// Maximum idle time, in milliseconds, of a connection that may carry any request. Common servers
/// keep idle connections for 5 s or more.
const FRESH_MS: u64 = 4_000;
/// Minimum interval between two halvings, in milliseconds. A host that shuts down closes all its
/// connections at about the same time, which should count once.
const HALVED_EACH_MS: u64 = 1_000;
/// Maximum number of halvings.
const HALVED_MAX: u32 = 16;
/// Time after which the estimate doubles again if no connection was closed while idle, in
/// milliseconds.
const DOUBLED_EACH_MS: u64 = 60_000;
/// Thresholds for a connection that counts as closed while idle. The connection was idle for at
/// least `IDLE_BEFORE_MIN_MS`, and failed within `STALE_WITHIN_MS` after the request was sent.
const IDLE_BEFORE_MIN_MS: u64 = 1_000;
const STALE_WITHIN_MS: u64 = 250;
/// Lower bound of the estimated idle time in milliseconds, at which halving ends.
const IDLE_MIN_MS: u64 = 1_000;

/// Estimate of the time for which one host keeps idle connections open.
#[derive(Debug, Default)]
pub(super) struct Lifespan {
    /// Usable part of the `Keep-Alive` timeout in the last response, or `None` if the response had
    /// none.
    keep_alive_ms: Cell<Option<u64>>,
    halved: Cell<u32>,
    /// Time at which the estimate was last halved or doubled.
    changed_ms: Cell<u64>,
}

impl Lifespan {
    /// Maximum idle time, in milliseconds, of a connection for a request that can be sent again.
    /// `limit_ms` is the upstream's idle timeout.
    pub(super) fn idle_ms(&self, limit_ms: u64) -> u64 {
        let whole_ms = self.keep_alive_ms.get().unwrap_or(limit_ms).min(limit_ms);
        (whole_ms >> self.halved.get()).max(IDLE_MIN_MS.min(whole_ms))
    }

    /// Maximum idle time, in milliseconds, of a connection for a request that cannot be sent again.
    pub(super) fn fresh_ms(&self, limit_ms: u64) -> u64 {
        let fresh_ms = self.keep_alive_ms.get().unwrap_or(FRESH_MS);
        fresh_ms.min(self.idle_ms(limit_ms))
    }

    /// Records the `Keep-Alive` field of the last response. If the field has no timeout, an earlier
    /// timeout no longer counts.
    pub(super) fn record_keep_alive(&self, keep_alive: Option<&HeaderValue>) {
        let seconds = keep_alive
            .and_then(keep_alive_s)
            .filter(|seconds| *seconds > 0);
        let keep_alive_ms = seconds.map(|seconds| {
            let all_ms = u64::from(seconds) * 1_000;
            all_ms - (all_ms / 2).min(1_000)
        });
        self.keep_alive_ms.set(keep_alive_ms);
    }

    /// Records that a connection ended without a response. Halves the estimate if the connection
    /// was probably closed while idle. `idle_before_ms`: idle time before the request. `took_ms`:
    /// time since the request was sent.
    pub(super) fn record_broken(&self, idle_before_ms: u64, took_ms: u64, now_ms: u64) {
        if idle_before_ms >= IDLE_BEFORE_MIN_MS && took_ms < STALE_WITHIN_MS {
            self.halve_estimate(now_ms);
        }
    }

    fn halve_estimate(&self, now_ms: u64) {
        let since_ms = now_ms.saturating_sub(self.changed_ms.get());
        if self.halved.get() == 0 || since_ms >= HALVED_EACH_MS {
            self.halved.set((self.halved.get() + 1).min(HALVED_MAX));
            self.changed_ms.set(now_ms);
        }
    }

    /// Doubles the estimate again if no connection was closed while idle for a minute.
    pub(super) fn sweep(&self, now_ms: u64) {
        if self.halved.get() > 0 && now_ms.saturating_sub(self.changed_ms.get()) >= DOUBLED_EACH_MS
        {
            self.halved.set(self.halved.get() - 1);
            self.changed_ms.set(now_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifespan_with(text: &'static str) -> Lifespan {
        let lifespan = Lifespan::default();
        lifespan.record_keep_alive(Some(&HeaderValue::from_static(text)));
        lifespan
    }

    #[test]
    fn keep_alive_of_a_host_counts_one_second_less() {
        for (text, fresh_ms, idle_ms) in [
            ("timeout=5", 4_000, 4_000),
            ("timeout=20, max=100", 19_000, 19_000),
            ("max=100,Timeout = \"3\"", 2_000, 2_000),
            ("timeout=2", 1_000, 1_000),
            ("timeout=1", 500, 500),
            ("timeout=0", 4_000, 60_000),
            ("timeout=4294967295", 60_000, 60_000),
            ("timeout=4294967296", 4_000, 60_000),
            ("timeout=-1", 4_000, 60_000),
            ("timeout", 4_000, 60_000),
            ("300", 4_000, 60_000),
        ] {
            let lifespan = lifespan_with(text);
            let ages = (lifespan.fresh_ms(60_000), lifespan.idle_ms(60_000));
            assert_eq!(ages, (fresh_ms, idle_ms), "{text}");
        }
        assert_eq!(Lifespan::default().fresh_ms(1_000), 1_000);
        let forgotten = lifespan_with("timeout=1");
        forgotten.record_keep_alive(None);
        assert_eq!(forgotten.idle_ms(60_000), 60_000);
    }

    #[test]
    fn stale_connection_halves_the_time_and_calm_restores() {
        let lifespan = Lifespan::default();
        let at = |now_ms| {
            lifespan.sweep(now_ms);
            lifespan.idle_ms(60_000)
        };
        lifespan.halve_estimate(100_000);
        assert_eq!(at(100_000), 30_000);
        // Connections that are closed at the same time count once.
        lifespan.halve_estimate(100_900);
        assert_eq!(at(100_900), 30_000);
        lifespan.halve_estimate(101_000);
        assert_eq!(at(101_000), 15_000);
        assert_eq!(at(160_999), 15_000);
        assert_eq!(at(161_000), 30_000);
        assert_eq!(at(161_001), 30_000);
        assert_eq!(at(221_000), 60_000);
        assert_eq!(at(400_000), 60_000);
        for seconds in 0..100 {
            lifespan.halve_estimate(500_000 + seconds * 1_000);
        }
        let left = (at(600_000), lifespan.fresh_ms(60_000));
        assert_eq!(left, (1_000, 1_000), "the time is never below one second");
        assert_eq!(lifespan.idle_ms(300), 300);
    }

    #[test]
    fn only_connection_closed_while_idle_is_stale() {
        for (idle_before_ms, took_ms, idle_ms) in [
            (1_000, 0, 30_000),
            (30_000, 249, 30_000),
            (999, 0, 60_000),
            (0, 0, 60_000),
            // The connection failed 250 ms after the request, so it does not count as closed while
            // idle.
            (30_000, 250, 60_000),
        ] {
            let lifespan = Lifespan::default();
            lifespan.record_broken(idle_before_ms, took_ms, 100_000);
            assert_eq!(
                lifespan.idle_ms(60_000),
                idle_ms,
                "{idle_before_ms} {took_ms}"
            );
        }
    }
}
