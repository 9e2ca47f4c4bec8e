//! Outlier detection: ejects hosts by the outcomes of clients' requests, with Envoy's parameters
//! and defaults (semantics.md §3).
//!
//! Counters belong to the host and are separate from active checks. The first request after the end
//! of an interval closes it: rates are compared, and each host that is not ejected is forgiven one
//! earlier ejection. A flag serialises ejections, so that workers together do not exceed the
//! maximum.
//!
//! The only host of an upstream is ejected only for broken connections, never for statuses,
//! timeouts or rates: no other host could serve, and one faulty endpoint would fail all others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use policy::upstream::Passive;

use crate::upstream::shared::{Host, State};

/// Outcomes of a host's requests, counted for outlier detection.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Consecutive statuses of 500 and above.
    server_errors: AtomicU32,
    /// Consecutive 502, 503 and 504.
    gateway_errors: AtomicU32,
    /// Consecutive connect failures and broken connections, if they are counted separately.
    local_errors: AtomicU32,
    /// Requests within the interval; `good` counts the successful ones.
    total: AtomicU32,
    good: AtomicU32,
    /// Ejections that are not forgiven yet; the next ejection is that many times longer.
    ejections: AtomicU32,
    /// Ejections in total, by [`Why`].
    pub(crate) ejected: [AtomicU64; WHYS.len()],
}

/// Outcome of a request to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// The host answered with this status.
    Status(u16),
    /// No connection, or one that broke before the response.
    Broken,
    /// No response in time.
    TimedOut,
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

/// Names of [`Why`] in metrics.
pub(crate) const WHYS: [&str; 5] = [
    "consecutive_5xx",
    "consecutive_gateway_failures",
    "consecutive_local_failures",
    "failure_ratio",
    "success_rate",
];

/// Inputs of outlier detection for one outcome.
pub(crate) struct Watch<'a> {
    pub(crate) state: &'a State,
    pub(crate) hosts: &'a [Arc<Host>],
    pub(crate) passive: &'a Passive,
    pub(crate) now_ms: u64,
    /// Random number for jitter.
    pub(crate) chance: u64,
}

// === impl Tally ===

impl Tally {
    /// Resets the consecutive counters.
    pub(crate) fn clear(&self) {
        for cell in [
            &self.server_errors,
            &self.gateway_errors,
            &self.local_errors,
        ] {
            cell.store(0, Ordering::Relaxed);
        }
    }
}

// === impl Watch ===

impl Watch<'_> {
    /// Counts the outcome of a request to a host, and ejects the host if it failed too often.
    pub(crate) fn saw(&self, host: &Host, sign: Sign) {
        match self.hosts {
            [_] => self.saw_only_host(host, sign),
            _ => self.saw_one_of_many(host, sign),
        }
        self.close_interval();
    }

    /// Counts consecutive broken connections.
    fn saw_only_host(&self, host: &Host, sign: Sign) {
        let passive = self.passive;
        let apart = passive.consecutive_local_failures;
        let why = match apart {
            Some(_) => Why::ConsecutiveLocalFailures,
            None => Why::Consecutive5xx,
        };
        let broken = count(&host.tally.local_errors, sign == Sign::Broken, true);
        if broken > 0 && u64::from(broken) >= apart.unwrap_or(passive.consecutive_5xx) {
            self.eject(host, why);
        }
    }

    fn saw_one_of_many(&self, host: &Host, sign: Sign) {
        let passive = self.passive;
        let apart = passive.consecutive_local_failures;
        // Local failures that are not counted separately count as 503 and 504.
        let (status, local) = match (sign, apart) {
            (Sign::Status(status), _) => (Some(status), false),
            (Sign::Broken | Sign::TimedOut, Some(_)) => (None, true),
            (Sign::Broken, None) => (Some(503), false),
            (Sign::TimedOut, None) => (Some(504), false),
        };
        let tally = &host.tally;
        let server_error = status.is_some_and(|status| status >= 500);
        let gateway_error = status.is_some_and(|status| matches!(status, 502..=504));
        let in_a_row = [
            (
                count(&tally.server_errors, server_error, status.is_some()),
                Some(passive.consecutive_5xx),
                Why::Consecutive5xx,
            ),
            (
                count(&tally.gateway_errors, gateway_error, status.is_some()),
                passive.consecutive_gateway_failures,
                Why::ConsecutiveGatewayFailures,
            ),
            (
                count(&tally.local_errors, local, true),
                apart,
                Why::ConsecutiveLocalFailures,
            ),
        ];
        tally.total.fetch_add(1, Ordering::Relaxed);
        if !server_error && !local {
            tally.good.fetch_add(1, Ordering::Relaxed);
        }
        for (count, limit, why) in in_a_row {
            if count > 0 && limit.is_some_and(|limit| u64::from(count) >= limit) {
                self.eject(host, why);
                break;
            }
        }
    }

    /// Ejects a host, unless too many are ejected.
    fn eject(&self, host: &Host, why: Why) {
        if host.is_ejected(self.now_ms) || self.state.ejecting.swap(true, Ordering::Acquire) {
            return;
        }
        let out = self.hosts.iter();
        let out = out.filter(|host| host.is_ejected(self.now_ms)).count() as u64;
        let all = self.hosts.len() as u64;
        if out == 0 || out * 1_000_000 < self.passive.max_ejected_ppm * all {
            let tally = &host.tally;
            let times = u64::from(tally.ejections.fetch_add(1, Ordering::Relaxed)) + 1;
            let most = self.passive.max_ejection_ms.max(self.passive.ejection_ms);
            let jitter_ms = self.chance % (self.passive.jitter_ms + 1);
            let out_ms = self.passive.ejection_ms.saturating_mul(times).min(most) + jitter_ms;
            tally.clear();
            tally.ejected[why as usize].fetch_add(1, Ordering::Relaxed);
            host.ejected_until_ms
                .store(self.now_ms + out_ms, Ordering::Relaxed);
        }
        self.state.ejecting.store(false, Ordering::Release);
    }

    /// Closes an interval that has ended: judges rates, reduces ejections, begins the next.
    fn close_interval(&self) {
        let ends = &self.state.interval_ends_ms;
        let end_ms = ends.load(Ordering::Relaxed);
        if self.now_ms < end_ms {
            return;
        }
        let next_ms = self.now_ms + self.passive.interval_ms.max(1);
        let ours = ends.compare_exchange(end_ms, next_ms, Ordering::Relaxed, Ordering::Relaxed);
        if ours.is_err() || end_ms == 0 {
            return;
        }
        self.judge_rates();
        for host in self.hosts {
            let tally = &host.tally;
            if !host.is_ejected(self.now_ms) {
                let before = tally.ejections.load(Ordering::Relaxed);
                let forgiven = before.saturating_sub(1);
                tally.ejections.store(forgiven, Ordering::Relaxed);
            }
            tally.total.store(0, Ordering::Relaxed);
            tally.good.store(0, Ordering::Relaxed);
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "rates of requests within an interval"
    )]
    fn judge_rates(&self) {
        if self.hosts.len() == 1 {
            return;
        }
        let passive = self.passive;
        let seen = |host: &Host| {
            let total = u64::from(host.tally.total.load(Ordering::Relaxed));
            let good = u64::from(host.tally.good.load(Ordering::Relaxed));
            (total, good.min(total))
        };
        if let Some(ppm) = passive.failure_ppm {
            for host in self.hosts {
                let (total, good) = seen(host);
                if total >= passive.min_requests.max(1) && (total - good) * 1_000_000 >= ppm * total
                {
                    self.eject(host, Why::FailureRatio);
                }
            }
        }
        let least = passive.success_requests.max(1);
        let rates = || {
            let all = self.hosts.iter().map(|host| (host, seen(host)));
            all.filter(|(_, (total, _))| *total >= least)
                .map(|(host, (total, good))| (host, good as f64 / total as f64))
        };
        let count = rates().count();
        if passive.success_stdev_milli == 0 || (count as u64) < passive.success_targets.max(2) {
            return;
        }
        let mean = rates().map(|(_, rate)| rate).sum::<f64>() / count as f64;
        let spread = rates().map(|(_, rate)| (rate - mean).powi(2)).sum::<f64>();
        let deviation = (spread / count as f64).sqrt();
        let least_rate = mean - deviation * passive.success_stdev_milli as f64 / 1_000.0;
        for (host, rate) in rates() {
            if rate < least_rate {
                self.eject(host, Why::SuccessRate);
            }
        }
    }
}

/// Consecutive failures including this one; 0 after a success. Outcomes that do not count leave the
/// counter unchanged.
fn count(cell: &AtomicU32, failed: bool, counts: bool) -> u32 {
    if failed {
        return cell.fetch_add(1, Ordering::Relaxed) + 1;
    }
    if counts && cell.load(Ordering::Relaxed) > 0 {
        cell.store(0, Ordering::Relaxed);
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Field {
        state: State,
        hosts: Vec<Arc<Host>>,
        passive: Passive,
    }

    impl Field {
        fn of(count: u16, passive: Passive) -> Self {
            Self {
                state: State::new("u"),
                hosts: (0..count)
                    .map(|port| {
                        Arc::new(Host::new(
                            &std::net::SocketAddr::from(([10, 0, 0, 1], port)).into(),
                            0,
                        ))
                    })
                    .collect(),
                passive,
            }
        }

        fn saw(&self, host: usize, sign: Sign, now_ms: u64) {
            let watch = Watch {
                state: &self.state,
                hosts: &self.hosts,
                passive: &self.passive,
                now_ms,
                chance: 0,
            };
            watch.saw(&self.hosts[host], sign);
        }

        fn out(&self, now_ms: u64) -> Vec<usize> {
            let hosts = self.hosts.iter().enumerate();
            hosts
                .filter(|(_, host)| host.is_ejected(now_ms))
                .map(|(index, _)| index)
                .collect()
        }
    }

    #[test]
    fn what_holds_where_nothing_is_said_is_envoys() {
        let expected = Passive {
            consecutive_5xx: 5,
            min_requests: 50,
            interval_ms: 10_000,
            ejection_ms: 30_000,
            max_ejection_ms: 300_000,
            max_ejected_ppm: 100_000,
            jitter_ms: 0,
            success_targets: 5,
            success_requests: 100,
            success_stdev_milli: 1_900,
            // Envoy has these settings, but does not enforce them by default.
            consecutive_gateway_failures: None,
            consecutive_local_failures: None,
            failure_ppm: None,
        };
        assert_eq!(Passive::default(), expected);
    }

    #[test]
    fn only_host_is_ejected_by_connections_only() {
        let numbers = Passive {
            failure_ppm: Some(1),
            min_requests: 1,
            consecutive_gateway_failures: Some(1),
            ..Passive::default()
        };
        let field = Field::of(1, numbers);
        let mut now_ms = 1;
        for sign in [Sign::Status(500), Sign::Status(503), Sign::TimedOut] {
            for _ in 0..100 {
                field.saw(0, sign, now_ms);
                now_ms += 1_000;
            }
        }
        assert_eq!(field.out(now_ms), [0; 0]);
        for _ in 0..4 {
            field.saw(0, Sign::Broken, now_ms);
        }
        field.saw(0, Sign::Status(500), now_ms);
        field.saw(0, Sign::Broken, now_ms);
        assert_eq!(field.out(now_ms), [0; 0], "it answered in between");
        for _ in 0..4 {
            field.saw(0, Sign::Broken, now_ms);
        }
        assert_eq!(field.out(now_ms), [0]);
    }

    #[test]
    fn five_server_errors_eject_until_the_time_is_over() {
        let field = Field::of(2, Passive::default());
        for status in [500, 503, 500, 500, 200, 500, 500, 500, 500] {
            field.saw(0, Sign::Status(status), 1);
        }
        assert_eq!(field.out(1), [0; 0], "a success in between");
        field.saw(0, Sign::Status(500), 1);
        assert_eq!(field.out(1), [0]);
        assert_eq!(field.out(30_000), [0]);
        assert_eq!(field.out(30_001), [0; 0]);
    }

    #[test]
    fn each_ejection_is_longer_up_to_the_longest() {
        let field = Field::of(2, Passive::default());
        let mut now_ms = 1;
        for seconds in [30, 60, 90] {
            for _ in 0..5 {
                field.saw(0, Sign::Status(500), now_ms);
            }
            assert_eq!(field.out(now_ms + seconds * 1_000 - 1), [0]);
            assert_eq!(field.out(now_ms + seconds * 1_000), [0; 0]);
            now_ms += seconds * 1_000;
            // No interval ends: nothing is forgiven while the host is ejected.
            field
                .state
                .interval_ends_ms
                .store(u64::MAX, Ordering::Relaxed);
        }
    }

    #[test]
    fn no_more_are_left_out_than_may_be_but_one_always() {
        let field = Field::of(20, Passive::default());
        for host in 0..20 {
            for _ in 0..5 {
                field.saw(host, Sign::Status(500), 1);
            }
        }
        assert_eq!(field.out(1), [0, 1], "10 % of 20");
        let field = Field::of(3, Passive::default());
        for host in 0..3 {
            for _ in 0..5 {
                field.saw(host, Sign::Broken, 1);
            }
        }
        assert_eq!(field.out(1), [0], "one always");
    }

    #[test]
    fn local_failures_count_apart_where_it_is_written() {
        let passive = Passive {
            consecutive_local_failures: Some(2),
            ..Passive::default()
        };
        let field = Field::of(2, passive);
        for _ in 0..4 {
            field.saw(0, Sign::Status(500), 1);
        }
        field.saw(0, Sign::Broken, 1);
        assert_eq!(field.out(1), [0; 0]);
        field.saw(0, Sign::TimedOut, 1);
        assert_eq!(field.out(1), [0]);
        assert_eq!(
            field.hosts[0].tally.ejected[Why::ConsecutiveLocalFailures as usize]
                .load(Ordering::Relaxed),
            1
        );
    }

    #[test]
    fn gateway_failures_count_where_it_is_written() {
        let passive = Passive {
            consecutive_gateway_failures: Some(2),
            ..Passive::default()
        };
        let field = Field::of(2, passive);
        field.saw(0, Sign::Status(502), 1);
        field.saw(0, Sign::Status(500), 1);
        field.saw(0, Sign::Status(504), 1);
        assert_eq!(field.out(1), [0; 0]);
        field.saw(0, Sign::TimedOut, 1);
        assert_eq!(field.out(1), [0]);
    }

    /// Sends 100 requests to each host, with the given number of failures, spread out.
    fn interval(field: &Field, failures: &[u32]) {
        for number in 0..100 {
            for (host, failures) in failures.iter().enumerate() {
                let failed = number % 100 < *failures && number % 2 == 0;
                let failed = failed || (*failures > 50 && number % 2 == 1 && number < *failures);
                field.saw(host, Sign::Status(if failed { 500 } else { 200 }), 1);
            }
        }
        field.saw(0, Sign::Status(200), 10_001);
    }

    #[test]
    fn host_far_below_the_others_is_ejected() {
        let passive = Passive {
            consecutive_5xx: 1_000,
            ..Passive::default()
        };
        let field = Field::of(6, passive.clone());
        interval(&field, &[2, 0, 2, 0, 2, 60]);
        assert_eq!(field.out(10_001), [5]);
        let few = Field::of(4, passive.clone());
        interval(&few, &[2, 0, 2, 60]);
        assert_eq!(few.out(10_001), [0; 0], "too few hosts to compare");
        let off = Passive {
            success_stdev_milli: 0,
            ..passive
        };
        let off = Field::of(6, off);
        interval(&off, &[2, 0, 2, 0, 2, 60]);
        assert_eq!(off.out(10_001), [0; 0]);
    }

    #[test]
    fn a_share_of_failures_ejects_from_enough_requests_on() {
        let passive = Passive {
            consecutive_5xx: 1_000,
            failure_ppm: Some(500_000),
            success_stdev_milli: 0,
            ..Passive::default()
        };
        let field = Field::of(2, passive);
        interval(&field, &[0, 80]);
        assert_eq!(field.out(10_001), [1]);
    }
}
