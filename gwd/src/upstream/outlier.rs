//! Outlier detection: ejects hosts because of the outcomes of clients' requests, with Envoy's
//! parameters and defaults (semantics.md §3).
//!
//! Counters belong to the host and are separate from active health checks. The first request after
//! the end of an interval closes the interval: success rates are compared, and the ejection count
//! of each host that is not ejected is reduced by one. A flag serialises ejections, so that several
//! workers together do not exceed the maximum number of ejected hosts.
//!
//! A host is ejected for statuses, broken connections, timeouts and rates only while another host
//! can serve its requests. This other host has another address and a weight above 0, is reachable,
//! is not ejected, and passes its health checks. Otherwise one faulty operation would make all
//! operations of a single host fail. Without such a host, a host is ejected only if no connection
//! to it can be opened.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use policy::upstream::Passive;

use crate::upstream::checks::Verdict;
use crate::upstream::shared::{Host, State};
use crate::upstream::tally::Why;

/// Outcome of a request to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HealthSignal {
    /// The host responded with this status.
    Status(u16),
    /// No connection could be opened.
    Unreachable,
    /// The connection broke before the response.
    Broken,
    /// The host did not respond in time.
    TimedOut,
}

/// Inputs of outlier detection for one outcome.
pub(crate) struct Watch<'a> {
    pub(crate) state: &'a State,
    pub(crate) hosts: &'a [Arc<Host>],
    /// True if the host at this index gets requests: its weight is above zero.
    pub(crate) is_weighted: &'a dyn Fn(usize) -> bool,
    /// True if the running version requires health checks. If false, a candidate beside it may
    /// require them.
    pub(crate) is_checked: bool,
    pub(crate) passive: &'a Passive,
    pub(crate) now_ms: u64,
    /// Random number for the jitter of the ejection time.
    pub(crate) chance: u64,
}

// === impl Watch ===

impl Watch<'_> {
    /// Counts the outcome of a request to a host. Ejects the host if a limit is reached.
    pub(crate) fn saw(&self, host: &Host, signal: HealthSignal) {
        self.count(host, signal);
        self.close_interval();
    }

    /// True if another host could serve the requests of `host`.
    fn has_substitute(&self, host: &Host) -> bool {
        let fails_checks =
            |other: &Host| self.is_checked && other.checks.verdict() == Verdict::Fails;
        let mut others = self.hosts.iter().enumerate();
        others.any(|(index, other)| {
            other.name != host.name
                && (self.is_weighted)(index)
                && !other.is_ejected(self.now_ms)
                && !fails_checks(other)
                && !other.is_unreachable(false, self.now_ms)
        })
    }

    fn count(&self, host: &Host, signal: HealthSignal) {
        let passive = self.passive;
        let apart = passive.consecutive_local_failures;
        // If local failures are not counted separately, they count as status 503 or 504.
        let (status, local) = match (signal, apart) {
            (HealthSignal::Status(status), _) => (Some(status), false),
            (
                HealthSignal::Unreachable | HealthSignal::Broken | HealthSignal::TimedOut,
                Some(_),
            ) => (None, true),
            (HealthSignal::Unreachable | HealthSignal::Broken, None) => (Some(503), false),
            (HealthSignal::TimedOut, None) => (Some(504), false),
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
        let unreachable = count(
            &tally.unreachable,
            signal == HealthSignal::Unreachable,
            true,
        );
        for (count, limit, why) in in_a_row {
            let Some(limit) = limit.filter(|limit| count > 0 && u64::from(count) >= *limit) else {
                continue;
            };
            if u64::from(unreachable) >= limit || self.has_substitute(host) {
                self.eject(host, why);
                break;
            }
        }
    }

    /// Ejects a host, unless the maximum number of hosts is ejected.
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

    /// Closes the interval if it has ended: compares rates, reduces ejection counts, and begins the
    /// next interval.
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
        self.check_success_rates();
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
    fn check_success_rates(&self) {
        let passive = self.passive;
        let seen = |host: &Host| {
            let total = u64::from(host.tally.total.load(Ordering::Relaxed));
            let good = u64::from(host.tally.good.load(Ordering::Relaxed));
            (total, good.min(total))
        };
        if let Some(ppm) = passive.failure_ppm {
            for host in self.hosts {
                let (total, good) = seen(host);
                let failed = total - good;
                if total >= passive.min_requests.max(1)
                    && failed * 1_000_000 >= ppm * total
                    && self.has_substitute(host)
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
            if rate < least_rate && self.has_substitute(host) {
                self.eject(host, Why::SuccessRate);
            }
        }
    }
}

/// Counts an outcome. Returns the number of consecutive failures including this one, or 0 if it is
/// not a failure. A success resets the counter if `counts` is true, and leaves it unchanged if
/// `counts` is false.
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
    use policy::upstream::ActiveTimes;

    use super::*;

    struct Field {
        state: State,
        hosts: Vec<Arc<Host>>,
        weightless: Vec<usize>,
        is_checked: bool,
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
                weightless: Vec::new(),
                is_checked: true,
                passive,
            }
        }

        fn saw(&self, host: usize, signal: HealthSignal, now_ms: u64) {
            let watch = Watch {
                state: &self.state,
                hosts: &self.hosts,
                is_weighted: &|index| !self.weightless.contains(&index),
                is_checked: self.is_checked,
                passive: &self.passive,
                now_ms,
                chance: 0,
            };
            watch.saw(&self.hosts[host], signal);
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
    fn defaults_are_those_of_envoy() {
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
            // Envoy has the following settings, but does not enforce them by default.
            consecutive_gateway_failures: None,
            consecutive_local_failures: None,
            failure_ppm: None,
        };
        assert_eq!(Passive::default(), expected);
    }

    /// Sets of one or two hosts in which no host can replace the first host. Either there is no
    /// second host, or the second host has no weight, has the same address, is ejected, or is
    /// unreachable.
    fn alone(passive: &Passive) -> Vec<Field> {
        let mut fields = vec![Field::of(1, passive.clone())];
        for kind in 0..4 {
            let mut field = Field::of(2, passive.clone());
            match kind {
                0 => field.weightless = vec![1],
                1 => field.hosts[1] = Arc::clone(&field.hosts[0]),
                2 => field.hosts[1]
                    .ejected_until_ms
                    .store(u64::MAX, Ordering::Relaxed),
                _ => field.hosts[1]
                    .unreachable_until_ms(false)
                    .store(u64::MAX, Ordering::Relaxed),
            }
            fields.push(field);
        }
        fields
    }

    #[test]
    fn host_without_substitute_is_ejected_by_connections() {
        let numbers = Passive {
            failure_ppm: Some(1),
            min_requests: 1,
            consecutive_gateway_failures: Some(1),
            max_ejected_ppm: 1_000_000,
            ..Passive::default()
        };
        for field in alone(&numbers) {
            let is_out = |now_ms| field.hosts[0].is_ejected(now_ms);
            let mut now_ms = 1;
            for signal in [
                HealthSignal::Status(500),
                HealthSignal::Status(503),
                HealthSignal::TimedOut,
                HealthSignal::Broken,
            ] {
                for _ in 0..100 {
                    field.saw(0, signal, now_ms);
                    now_ms += 1_000;
                }
            }
            assert!(!is_out(now_ms));
        }
        for field in alone(&Passive {
            max_ejected_ppm: 1_000_000,
            ..Passive::default()
        }) {
            for _ in 0..4 {
                field.saw(0, HealthSignal::Unreachable, 1);
            }
            field.saw(0, HealthSignal::Status(500), 1);
            field.saw(0, HealthSignal::Unreachable, 1);
            assert!(!field.hosts[0].is_ejected(1), "a response resets the count");
            for _ in 0..4 {
                field.saw(0, HealthSignal::Unreachable, 1);
            }
            assert!(field.hosts[0].is_ejected(1));
        }
    }

    #[test]
    fn five_server_errors_eject_until_the_time_is_over() {
        let field = Field::of(2, Passive::default());
        for status in [500, 503, 500, 500, 200, 500, 500, 500, 500] {
            field.saw(0, HealthSignal::Status(status), 1);
        }
        assert_eq!(field.out(1), [0; 0], "a success resets the count");
        field.saw(0, HealthSignal::Status(500), 1);
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
                field.saw(0, HealthSignal::Status(500), now_ms);
            }
            assert_eq!(field.out(now_ms + seconds * 1_000 - 1), [0]);
            assert_eq!(field.out(now_ms + seconds * 1_000), [0; 0]);
            now_ms += seconds * 1_000;
            // Keep the interval from ending, because its end would reduce the ejection count.
            field
                .state
                .interval_ends_ms
                .store(u64::MAX, Ordering::Relaxed);
        }
    }

    /// An interval at whose end the host is not ejected shortens the host's next ejection. An
    /// interval that ends during an ejection does not.
    #[test]
    fn interval_in_service_shortens_the_next_ejection() {
        let ejected_for_ms = |times_of_host_1: &[u64], time_of_host_0: Option<u64>| {
            let field = Field::of(2, Passive::default());
            for _ in 0..5 {
                field.saw(0, HealthSignal::Status(500), 1);
            }
            for now_ms in times_of_host_1 {
                field.saw(1, HealthSignal::Status(200), *now_ms);
            }
            if let Some(now_ms) = time_of_host_0 {
                field.saw(0, HealthSignal::Status(200), now_ms);
            }
            let ends = &field.state.interval_ends_ms;
            ends.store(u64::MAX, Ordering::Relaxed);
            for _ in 0..5 {
                field.saw(0, HealthSignal::Status(500), 40_000);
            }
            field.hosts[0].ejected_until_ms.load(Ordering::Relaxed) - 40_000
        };
        assert_eq!(ejected_for_ms(&[10_002, 20_003], None), 60_000);
        assert_eq!(ejected_for_ms(&[10_002, 20_003], Some(30_004)), 30_000);
    }

    #[test]
    fn ejections_stop_at_the_maximum_or_at_one_host() {
        let field = Field::of(20, Passive::default());
        for host in 0..20 {
            for _ in 0..5 {
                field.saw(host, HealthSignal::Status(500), 1);
            }
        }
        assert_eq!(field.out(1), [0, 1], "10 % of 20");
        let field = Field::of(3, Passive::default());
        for host in 0..3 {
            for _ in 0..5 {
                field.saw(host, HealthSignal::Broken, 1);
            }
        }
        assert_eq!(field.out(1), [0], "one host may always be ejected");
    }

    #[test]
    fn checks_only_of_the_candidate_are_ignored() {
        for is_checked in [true, false] {
            let field = Field {
                is_checked,
                ..Field::of(2, Passive::default())
            };
            let checks = &field.hosts[1].checks;
            let verdict = checks.record_result(Err("no".into()), &ActiveTimes::default(), 1);
            assert_eq!(verdict, Some(Verdict::Fails));
            for _ in 0..5 {
                field.saw(0, HealthSignal::Status(500), 1);
            }
            assert_eq!(field.out(1).is_empty(), is_checked);
        }
    }

    #[test]
    fn local_failures_are_counted_apart_if_configured() {
        let passive = Passive {
            consecutive_local_failures: Some(2),
            ..Passive::default()
        };
        let field = Field::of(2, passive);
        for _ in 0..4 {
            field.saw(0, HealthSignal::Status(500), 1);
        }
        field.saw(0, HealthSignal::Broken, 1);
        assert_eq!(field.out(1), [0; 0]);
        field.saw(0, HealthSignal::TimedOut, 1);
        assert_eq!(field.out(1), [0]);
        assert_eq!(
            field.hosts[0].tally.ejected[Why::ConsecutiveLocalFailures as usize]
                .load(Ordering::Relaxed),
            1
        );
    }

    #[test]
    fn gateway_failures_are_counted_if_configured() {
        let passive = Passive {
            consecutive_gateway_failures: Some(2),
            ..Passive::default()
        };
        let field = Field::of(2, passive);
        field.saw(0, HealthSignal::Status(502), 1);
        field.saw(0, HealthSignal::Status(500), 1);
        field.saw(0, HealthSignal::Status(504), 1);
        assert_eq!(field.out(1), [0; 0]);
        field.saw(0, HealthSignal::TimedOut, 1);
        assert_eq!(field.out(1), [0]);
    }

    /// Sends 100 requests to each host, with the given number of failures spread over them.
    fn interval(field: &Field, failures: &[u32]) {
        for number in 0..100 {
            for (host, failures) in failures.iter().enumerate() {
                let failed = number % 100 < *failures && number % 2 == 0;
                let failed = failed || (*failures > 50 && number % 2 == 1 && number < *failures);
                field.saw(
                    host,
                    HealthSignal::Status(if failed { 500 } else { 200 }),
                    1,
                );
            }
        }
        field.saw(0, HealthSignal::Status(200), 10_001);
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
