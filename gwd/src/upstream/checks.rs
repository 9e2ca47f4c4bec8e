//! Results of the active health checks of a host ([`super::health`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use policy::upstream::{ActiveTimes, Unchecked};

/// Results of the active health checks of one host. Only the health check thread writes them.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    verdict: AtomicU8,
    /// Number of consecutive results that contradict the verdict.
    against: AtomicU32,
    /// Time at which the host became healthy again, for slow start.
    pub(crate) works_since_ms: AtomicU64,
    /// Total number of passed checks.
    pub(crate) passed: AtomicU64,
    /// Total number of failed checks.
    pub(crate) failed: AtomicU64,
    /// Reason why the last check failed, or `None` if it passed.
    pub(crate) why: ArcSwapOption<String>,
}

/// Health of a host according to active checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No check has ended yet.
    Unknown = 0,
    Works = 1,
    Fails = 2,
}

// === impl Checks ===

impl Checks {
    /// True if the host may receive requests. `unchecked` decides for a host without a result.
    pub(crate) fn admit(&self, unchecked: Unchecked) -> bool {
        match (self.verdict(), unchecked) {
            (Verdict::Works, _) | (Verdict::Unknown, Unchecked::Serve) => true,
            (Verdict::Fails, _) | (Verdict::Unknown, Unchecked::Wait) => false,
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        match self.verdict.load(Ordering::Relaxed) {
            1 => Verdict::Works,
            2 => Verdict::Fails,
            _ => Verdict::Unknown,
        }
    }

    /// Counts a result. Returns the new verdict if it has changed, otherwise `None`. The first
    /// result determines the verdict at once; later changes need several results.
    pub(super) fn record_result(
        &self,
        result: Result<(), String>,
        times: &ActiveTimes,
        now_ms: u64,
    ) -> Option<Verdict> {
        let (verdict, count) = match &result {
            Ok(()) => (Verdict::Works, &self.passed),
            Err(_) => (Verdict::Fails, &self.failed),
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.why.store(result.err().map(Arc::new));
        let before = self.verdict();
        if verdict == before {
            self.against.store(0, Ordering::Relaxed);
            return None;
        }
        let against = self.against.load(Ordering::Relaxed).saturating_add(1);
        let needed = match (before, verdict) {
            (Verdict::Unknown, _) => 1,
            (_, Verdict::Works) => times.healthy_after,
            (_, Verdict::Fails | Verdict::Unknown) => times.unhealthy_after,
        };
        if u64::from(against) < needed {
            self.against.store(against, Ordering::Relaxed);
            return None;
        }
        self.against.store(0, Ordering::Relaxed);
        if (before, verdict) == (Verdict::Fails, Verdict::Works) {
            self.works_since_ms.store(now_ms, Ordering::Relaxed);
        }
        self.verdict.store(verdict as u8, Ordering::Relaxed);
        Some(verdict)
    }

    /// Resets the verdict to unknown, because the host is no longer checked.
    pub(super) fn forget(&self) {
        self.against.store(0, Ordering::Relaxed);
        self.why.store(None);
        self.verdict
            .store(Verdict::Unknown as u8, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(results: &str) -> String {
        let (checks, times) = (Checks::default(), ActiveTimes::default());
        let mut shown = String::new();
        for result in results.chars() {
            let result = match result {
                '+' => Ok(()),
                _ => Err("no".to_owned()),
            };
            checks.record_result(result, &times, 1);
            shown.push(match checks.verdict() {
                Verdict::Unknown => '?',
                Verdict::Works => 'w',
                Verdict::Fails => 'f',
            });
        }
        shown
    }

    #[test]
    fn first_result_counts_then_three_failures_two_passes() {
        assert_eq!(verdicts("-++--+---"), "ffwwwwwwf");
        assert_eq!(verdicts("+--+---+-++"), "wwwwwwffffw");
    }

    #[test]
    fn unchecked_host_is_unknown_until_the_next_result() {
        let (checks, times) = (Checks::default(), ActiveTimes::default());
        let turned = checks.record_result(Err("no".into()), &times, 1);
        assert_eq!(turned, Some(Verdict::Fails));
        assert!(!checks.admit(Unchecked::Serve));
        checks.forget();
        assert!(checks.admit(Unchecked::Serve) && !checks.admit(Unchecked::Wait));
        assert_eq!(
            checks.record_result(Ok(()), &times, 1),
            Some(Verdict::Works)
        );
        assert!(checks.admit(Unchecked::Wait));
    }
}
