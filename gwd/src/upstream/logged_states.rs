//! States of a host, an upstream or a policy's breaker, as last logged ([`super::state_log`]).

use std::sync::{Mutex, PoisonError};

/// Minimum interval between two log lines about the same state: 10s.
const QUIET_MS: u64 = 10_000;

/// States of a host, an upstream or a policy's breaker, as last logged.
#[derive(Debug, Default)]
pub(crate) struct LoggedStates(Mutex<[Turn; 3]>);

/// State as last logged, with the time of the log line.
#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    holds: bool,
    at_ms: Option<u64>,
}

/// Indices of the states in [`LoggedStates`].
pub(super) const UNREACHED: usize = 0;
pub(super) const EJECTED: usize = 1;
pub(super) const CIRCUIT: usize = 2;

// === impl LoggedStates ===

impl LoggedStates {
    /// Stores a state as logged, and returns true, if it differs from the last logged state and may
    /// be logged again.
    pub(super) fn record_change(&self, what: usize, holds: bool, now_ms: u64) -> bool {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = &mut turns[what];
        let quiet = |at_ms: u64| now_ms < at_ms + QUIET_MS;
        if turn.holds == holds || turn.at_ms.is_some_and(quiet) {
            return false;
        }
        *turn = Turn {
            holds,
            at_ms: Some(now_ms),
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn change_is_reported_at_once_then_every_ten_seconds() {
        let logged = LoggedStates::default();
        let holds = |at: u64| at % 2 == 1;
        let logged_at: Vec<u64> = (0..40)
            .filter(|at| logged.record_change(EJECTED, holds(*at), at * 1_000))
            .collect();
        assert_eq!(logged_at, [1, 12, 23, 34]);
        assert!(
            logged.record_change(CIRCUIT, true, 40_000),
            "each state is logged separately"
        );
        assert!(!logged.record_change(CIRCUIT, true, 90_000));
    }
}
