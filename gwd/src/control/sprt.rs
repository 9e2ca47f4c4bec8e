//! Sequential test of a guard: whether a share of events has grown after a switch.
//!
//! The test is a sequential probability ratio test (A. Wald, *Sequential Tests of Statistical
//! Hypotheses*, 1945) of Bernoulli probabilities, with a mixture of alternatives (H. Robbins,
//! *Statistical Methods Related to the Law of the Iterated Logarithm*, 1970). Hypothesis 0: the
//! probability of an event is at most `p0`. Hypothesis 1: it is one of the alternatives `p1`, each
//! with a weight `w`. After `n` requests with `k` events, the statistic is the weighted sum of the
//! likelihood ratios:
//!
//! ```text
//! Σ w (p1/p0)^k ((1 - p1)/(1 - p0))^(n - k)
//! ```
//!
//! The test raises an alarm as soon as the statistic is at least 1/α. It has no lower bound: it
//! never ends early without an alarm. Each likelihood ratio has an expected value of at most 1 if
//! hypothesis 0 holds, and the weights add up to 1. The probability of an alarm is then at most α,
//! however often the test is evaluated (Ville's inequality). This requires that requests are
//! independent of each other.
//!
//! The smallest alternative is `p0` and the allowed increase. A test with this alternative alone
//! needs 216 requests to notice that all requests fail, if 50 requests before were without events:
//! each event increases the statistic by only 5 %. The other alternatives are `p0` and 2, 4, 8, …
//! times the increase, and [`P_MAX`]. The smallest alternative has half of the weight, so that a
//! small increase is found nearly as soon as with this alternative alone.
//!
//! `p0` is an upper confidence bound of the share before the switch (Wilson's score interval, E. B.
//! Wilson 1927), because the share itself is only measured. Its one-sided error is [`ALPHA`], too.
//! The false-alarm rate of one test is therefore at most 2 α = 0.02 %.
//!
//! While two versions serve requests at the same time, the number of requests of the base grows
//! during the test. [`Test::renewed`] estimates `p0` again, for the j-th time with the error
//! α/(j(j+1)) of bound and test. The sum of these errors is at most α, so that the rate stays the
//! same.

/// Probability α of an alarm without an increase: 0.01 %.
const ALPHA: f64 = 1e-4;
/// Quantile of the normal distribution for the one-sided error α.
const Z: f64 = 3.719;
/// Quantiles of the normal distribution for the one-sided errors α/(j(j+1)), from j = 1.
const Z_RENEWED: [f64; 16] = [
    3.8906, 4.1494, 4.3054, 4.4172, 4.5041, 4.5750, 4.6349, 4.6866, 4.7321, 4.7726, 4.8092, 4.8425,
    4.8730, 4.9012, 4.9274, 4.9518,
];
/// Maximum number of estimates of `p0` in one comparison.
pub(crate) const RENEWALS_MAX: usize = Z_RENEWED.len();
/// Least probability of hypothesis 0.
const P_MIN: f64 = 1e-6;
/// Greatest alternative.
const P_MAX: f64 = 0.999;

/// Requests, and those among them with an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) requests: u64,
    pub(crate) events: u64,
}

/// Test of the share of one kind of event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Test {
    p0: f64,
    /// Allowed increase of the probability.
    increase: f64,
    /// Error of the test: the probability of an alarm without an increase.
    alpha: f64,
}

/// Comparison that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Errors,
    P99,
    Refusals,
    Webhook,
}

impl Cause {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::P99 => "p99",
            Self::Refusals => "refusals",
            Self::Webhook => "webhook",
        }
    }
}

impl Sample {
    /// Share of the requests with an event. 0 without requests.
    pub(crate) fn share(self) -> f64 {
        match self.requests {
            0 => 0.0,
            requests => self.events as f64 / requests as f64,
        }
    }
}

impl Test {
    /// Creates the test for the requests before the switch. `increase`: allowed increase of the
    /// share, in parts per million.
    pub(crate) fn new(before: Sample, increase_ppm: u32) -> Self {
        Self::with_error(before, increase_ppm, (ALPHA, Z))
    }

    /// Creates the test for the requests of the base so far, for the estimate with this number,
    /// from 1 to [`RENEWALS_MAX`].
    pub(crate) fn renewed(base: Sample, increase_ppm: u32, number: usize) -> Self {
        let number = number.clamp(1, RENEWALS_MAX);
        let alpha = ALPHA / (number * (number + 1)) as f64;
        Self::with_error(base, increase_ppm, (alpha, Z_RENEWED[number - 1]))
    }

    /// Creates the test. `error`: error α of the bound and of the test, and the quantile for α.
    fn with_error(before: Sample, increase_ppm: u32, error: (f64, f64)) -> Self {
        let (alpha, z) = error;
        Self {
            p0: upper_bound(before, z).max(P_MIN),
            increase: f64::from(increase_ppm) / 1e6,
            alpha,
        }
    }

    /// Probabilities of an event in hypothesis 1, with their weights. Empty if `p0` is so great that
    /// no increase can be shown.
    fn alternatives(self) -> impl Iterator<Item = (f64, f64)> {
        let doubled = std::iter::successors(Some(self.increase), |increase| Some(2.0 * increase));
        let greater = doubled.map(move |increase| self.p0 + increase);
        let greater = greater.take_while(|p1| *p1 < P_MAX);
        let all = greater.chain((self.p0 < P_MAX).then_some(P_MAX));
        let others = all.clone().count().saturating_sub(1);
        all.enumerate().map(move |(number, p1)| {
            let weight = match (number, others) {
                (_, 0) => 1.0,
                (0, _) => 0.5,
                _ => 0.5 / others as f64,
            };
            (weight, p1)
        })
    }

    /// True if the requests after the switch raise an alarm: they show that the share of events has
    /// grown.
    pub(crate) fn alarms(self, after: Sample) -> bool {
        let events = after.events.min(after.requests) as f64;
        let others = after.requests.saturating_sub(after.events) as f64;
        let ratios = self.alternatives().map(|(weight, p1)| {
            let with = (p1 / self.p0).ln();
            let without = ((1.0 - p1) / (1.0 - self.p0)).ln();
            weight * (events * with + others * without).exp()
        });
        ratios.sum::<f64>() >= self.alpha.recip()
    }
}

/// Upper end of Wilson's score interval of a share, for a quantile of the normal distribution.
fn upper_bound(sample: Sample, z: f64) -> f64 {
    if sample.requests == 0 {
        return 1.0;
    }
    let (n, p) = (sample.requests as f64, sample.share());
    let square = z * z;
    let middle = p + square / (2.0 * n);
    let spread = z * (p * (1.0 - p) / n + square / (4.0 * n * n)).sqrt();
    (middle + spread) / (1.0 + square / n)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deterministic random numbers from 0 to 1 (SplitMix64).
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ (z >> 31)) as f64 / u64::MAX as f64
        }

        fn draw(&mut self, requests: u64, share: f64) -> Sample {
            let events = (0..requests).filter(|_| self.next() < share).count() as u64;
            Sample { requests, events }
        }
    }

    /// Evaluates the test after each of up to `looks` batches of this number of requests. Returns
    /// the number of requests until the alarm.
    fn run_by(
        batch: u64,
        random: &mut Random,
        (test, share): (Test, f64),
        looks: u64,
    ) -> Option<u64> {
        let mut after = Sample::default();
        for _ in 0..looks {
            let batch = random.draw(batch, share);
            after.requests += batch.requests;
            after.events += batch.events;
            if test.alarms(after) {
                return Some(after.requests);
            }
        }
        None
    }

    /// Evaluates the test after each of up to `looks` batches of 20 requests.
    fn run(random: &mut Random, test: Test, share: f64, looks: u64) -> Option<u64> {
        run_by(20, random, (test, share), looks)
    }

    #[test]
    fn equal_shares_cause_no_false_alarm() {
        let mut random = Random(1);
        let mut alarms = 0;
        for share in [0.0, 0.001, 0.01, 0.1, 0.5] {
            for before in [20, 50, 200, 2_000] {
                for _ in 0..200 {
                    let test = Test::new(random.draw(before, share), 10_000);
                    alarms += usize::from(run(&mut random, test, share, 200).is_some());
                }
            }
        }
        // 4,000 tests at a rate of at most 0.02 %: more than 5 alarms have a probability of 0.02 %.
        assert!(alarms <= 5, "{alarms} of 4000");
    }

    /// An α of 5 % shows the rate of the sequential test itself, which is too rare to count at
    /// 0.01 %.
    #[test]
    fn alarm_rate_under_equality_is_below_alpha() {
        let mut random = Random(3);
        for (p0, increase) in [
            (0.01, 0.001),
            (0.01, 0.01),
            (0.1, 0.05),
            (0.5, 0.001),
            (0.5, 0.01),
        ] {
            let test = Test {
                p0,
                increase,
                alpha: 0.05,
            };
            let alarms = (0..1_000)
                .filter(|_| run_by(1, &mut random, (test, p0), 400).is_some())
                .count();
            // Expected: at most 50; standard deviation: 7. If each alternative has the weight 1/2,
            // there are up to 110.
            assert!(alarms <= 78, "{p0} {increase}: {alarms} of 1000");
        }
    }

    #[test]
    fn total_failure_is_found_at_the_least_number() {
        for requests in [20, 50, 200, 1_000] {
            for increase_ppm in [1, 1_000, 10_000, 50_000, 500_000, 1_000_000] {
                let before = Sample {
                    requests,
                    events: requests / 100,
                };
                let all = Sample {
                    requests,
                    events: requests,
                };
                assert!(Test::renewed(before, increase_ppm, 1).alarms(all));
                assert!(Test::new(before, increase_ppm).alarms(all));
                assert!(!Test::new(before, increase_ppm).alarms(before));
            }
        }
    }

    #[test]
    fn increase_is_found_soon() {
        let mut random = Random(2);
        // (share before, requests before, share after, most requests until the alarm)
        let table = [
            (0.0, 50, 1.0, 20),
            (0.0, 200, 1.0, 20),
            (0.0, 200, 0.5, 60),
            (0.001, 10_000, 0.2, 100),
            (0.001, 10_000, 0.03, 2_000),
            (0.01, 10_000, 0.05, 2_000),
        ];
        for (share, requests, worse, most) in table {
            for _ in 0..100 {
                let test = Test::new(random.draw(requests, share), 10_000);
                let found = run(&mut random, test, worse, 1_000);
                assert!(
                    found.is_some_and(|n| n <= most),
                    "{share} {worse}: {found:?}"
                );
            }
        }
    }

    /// The expected mean is that of the test whose only alternative is the allowed increase, in a
    /// separate program.
    #[test]
    fn small_increase_is_found_as_soon_as_alone() {
        let mut random = Random(4);
        // (share before, requests before, share after, mean of the single alternative)
        let table = [
            (0.0, 10_000, 0.012, 698.0),
            (0.001, 10_000, 0.02, 516.0),
            (0.01, 10_000, 0.03, 1626.0),
            (0.01, 100_000, 0.025, 1591.0),
        ];
        for (share, requests, worse, alone) in table {
            let found = (0..300).map(|_| {
                let test = Test::new(random.draw(requests, share), 10_000);
                run(&mut random, test, worse, 5_000).expect("an alarm")
            });
            let mean = found.sum::<u64>() as f64 / 300.0;
            assert!(
                mean <= 1.2 * alone,
                "{share} {worse}: {mean}, alone {alone}"
            );
        }
    }

    #[test]
    fn share_near_one_raises_no_alarm() {
        let all = |requests| Sample {
            requests,
            events: requests,
        };
        let test = Test::new(all(1_000_000), 10_000);
        assert!(!test.alarms(all(1_000_000_000)));
    }

    #[test]
    fn alternatives_double_the_increase() {
        let test = Test {
            p0: 0.1,
            increase: 0.2,
            alpha: ALPHA,
        };
        let expected = [(0.5, 0.3), (0.25, 0.5), (0.25, 0.9), (0.25, 0.999)];
        let expected =
            expected.map(|(weight, p1)| (if weight < 0.5 { 0.5 / 3.0 } else { weight }, p1));
        let found: Vec<(f64, f64)> = test.alternatives().collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            let difference = (found.0 - expected.0).abs() + (found.1 - expected.1).abs();
            assert!(difference < 1e-9, "{found:?} {expected:?}");
        }
        let greatest = Test {
            increase: 1.0,
            ..test
        };
        assert_eq!(greatest.alternatives().collect::<Vec<_>>(), [(1.0, P_MAX)]);
    }

    #[test]
    fn bounds_match_known_values() {
        // Wilson's interval of 10 of 100 at z = 3.719: computed by hand.
        let sample = Sample {
            requests: 100,
            events: 10,
        };
        let bound = upper_bound(sample, Z);
        assert!((bound - 0.2639).abs() < 0.0001, "{bound}");
        // Two alternatives, 0.75 and 0.999, each with the weight 1/2. 7 events of 7 requests:
        // (3^7 + 3.996^7)/2 = 9,228. 8 of 8: 35,787.
        let test = Test {
            p0: 0.25,
            increase: 0.5,
            alpha: ALPHA,
        };
        let after = |requests, events| Sample { requests, events };
        assert!(!test.alarms(after(7, 7)) && test.alarms(after(8, 8)));
        // 18 of 27: 3^18 (1/3)^9 / 2 = 9,841. 19 of 28: 29,524.
        assert!(!test.alarms(after(27, 18)) && test.alarms(after(28, 19)));
    }
}
