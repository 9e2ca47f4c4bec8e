//! Counters of the outcomes of a host's requests ([`super::outlier`]).

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Counters of a host's outcomes.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Number of consecutive statuses of 500 and above.
    pub(super) server_errors: AtomicU32,
    /// Number of consecutive statuses 502, 503 and 504.
    pub(super) gateway_errors: AtomicU32,
    /// Number of consecutive local failures (failed or broken connections, timeouts), if they are
    /// counted separately.
    pub(super) local_errors: AtomicU32,
    /// Number of consecutive failures to connect.
    pub(super) unreachable: AtomicU32,
    /// Number of requests in the interval. [`Self::good`] counts the successful ones.
    pub(super) total: AtomicU32,
    pub(super) good: AtomicU32,
    /// Ejection count, which multiplies the time of the next ejection. Reduced by one at the end of
    /// each interval, unless the host is ejected at that time.
    pub(super) ejections: AtomicU32,
    /// Total number of ejections, by [`Why`].
    pub(crate) ejected: [AtomicU64; WHYS.len()],
}

/// Reason why a host was ejected (`reason` of `gwd_upstream_ejections_total`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Consecutive5xx = 0,
    ConsecutiveGatewayFailures = 1,
    ConsecutiveLocalFailures = 2,
    FailureRatio = 3,
    SuccessRate = 4,
}

/// Names of the [`Why`] variants in metrics.
pub(crate) const WHYS: [&str; 5] = [
    "consecutive_5xx",
    "consecutive_gateway_failures",
    "consecutive_local_failures",
    "failure_ratio",
    "success_rate",
];

// === impl Tally ===

impl Tally {
    /// Resets the consecutive counters.
    pub(crate) fn clear(&self) {
        for cell in [
            &self.server_errors,
            &self.gateway_errors,
            &self.local_errors,
            &self.unreachable,
        ] {
            cell.store(0, Ordering::Relaxed);
        }
    }
}
