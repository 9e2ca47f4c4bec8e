//! Wait between two polls of a registry: the interval of `--registry-poll` with jitter. The wait
//! grows while no registry answers.
//!
//! Jitter keeps the polls of many nodes apart, also if all of them started at the same time. After
//! an outage the polls are spread over the grown interval, so that the registry does not get those
//! of all nodes at once when it returns.

use std::time::Duration;

/// Maximum factor of the interval while no registry answers.
const BACK_OFF_MAX: u32 = 8;
/// Minimum wait, in percent of the interval.
const PERCENT_MIN: u32 = 75;
/// Range of the random part, in percent of the interval.
const PERCENT_RANGE: u32 = 50;
/// Number of different random parts, less one.
const STEPS: u32 = 511;

/// Wait before the next poll: the interval, with up to a quarter more or less. The second failed
/// poll in a row doubles the interval, and so does each further one, up to [`BACK_OFF_MAX`] times
/// the interval.
pub(super) fn pause(interval: Duration, failures: u32, random: u64) -> Duration {
    let doublings = failures.saturating_sub(1).min(BACK_OFF_MAX.ilog2());
    let step = u32::try_from(random % u64::from(STEPS + 1)).unwrap_or(0);
    let percent = PERCENT_MIN + step * PERCENT_RANGE / STEPS;
    interval.saturating_mul(1 << doublings) * percent / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(15);
    const NODES: u64 = 1_000;

    /// Sequence of random numbers (SplitMix64).
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        }
    }

    #[test]
    fn jitter_is_a_quarter_in_both_directions() {
        let pauses: Vec<Duration> = (0..512).map(|step| pause(INTERVAL, 0, step)).collect();
        assert_eq!(pauses.iter().min(), Some(&Duration::from_millis(11_250)));
        assert_eq!(pauses.iter().max(), Some(&Duration::from_millis(18_750)));
        let mean = pauses.iter().sum::<Duration>() / 512;
        assert!(
            mean.abs_diff(INTERVAL) < Duration::from_millis(150),
            "{mean:?}"
        );
        let different: std::collections::BTreeSet<&Duration> = pauses.iter().collect();
        assert!(different.len() > 40, "{}", different.len());
    }

    #[test]
    fn failures_double_the_wait_up_to_eight_times() {
        for (failures, factor) in [
            (0, 1),
            (1, 1),
            (2, 2),
            (3, 4),
            (4, 8),
            (5, 8),
            (u32::MAX, 8),
        ] {
            let shortest = pause(INTERVAL, failures, 0);
            assert_eq!(shortest, INTERVAL * factor * 3 / 4, "{failures} failures");
        }
    }

    /// Polls of all nodes in each second, if no registry answers from second 1 to second `outage_s`.
    /// All nodes poll at second 0.
    fn polls_per_second(outage_s: u64, seconds: usize) -> Vec<u64> {
        let mut polls = vec![0; seconds];
        for node in 0..NODES {
            let mut random = Random(node);
            let (mut now, mut failures) = (Duration::ZERO, 0);
            while let Some(count) = polls.get_mut(usize::try_from(now.as_secs()).unwrap()) {
                *count += 1;
                let fails = (1..outage_s).contains(&now.as_secs());
                failures = if fails { failures + 1 } else { 0 };
                now += pause(INTERVAL, failures, random.next());
            }
        }
        polls
    }

    #[test]
    fn returning_registry_gets_no_herd_of_polls() {
        // 67 polls in a second are the usual number of 1,000 nodes.
        let usual = NODES / INTERVAL.as_secs();
        for outage_s in [30, 60, 300, 3_600, 86_400] {
            let end = usize::try_from(outage_s).unwrap();
            let polls = polls_per_second(outage_s, end + 600);
            let highest = polls[end..].iter().max().unwrap();
            assert!(
                *highest < usual * 5 / 2,
                "{outage_s} s: {highest} in a second"
            );
            // All nodes have polled within eight times the interval and a quarter.
            let first = polls[end..end + 150].iter().sum::<u64>();
            assert!(first >= NODES, "{outage_s} s: {first}");
        }
    }

    #[test]
    fn long_outage_costs_an_eighth_of_the_polls() {
        let polls = polls_per_second(7_200, 7_200);
        let last_hour = polls[3_600..].iter().sum::<u64>();
        let usual = NODES * 3_600 / INTERVAL.as_secs();
        assert!(last_hour.abs_diff(usual / 8) < usual / 80, "{last_hour}");
    }
}
