//! Sequential test of a guard: whether a share of events has grown after a switch.
//!
//! The test is Wald's sequential probability ratio test (A. Wald, *Sequential Tests of Statistical
//! Hypotheses*, 1945) of two Bernoulli probabilities. Hypothesis 0: the probability of an event is
//! at most `p0`. Hypothesis 1: it is `p1`, which is `p0` and the allowed increase. After `n`
//! requests with `k` events, the logarithm of the likelihood ratio is
//!
//! ```text
//! k ln(p1/p0) + (n - k) ln((1 - p1)/(1 - p0))
//! ```
//!
//! Wald's upper bound is ln((1 - β)/α). The test has no lower bound, so that β is 0: it never ends
//! early without an alarm. The probability of an alarm is then at most α, however often the test is
//! evaluated (Ville's inequality). This requires that hypothesis 0 holds and that requests are
//! independent of each other.
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
/// Least and greatest probability in the test.
const P_MIN: f64 = 1e-6;
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
    p1: f64,
    /// Error of the test: the probability of an alarm without an increase.
    alpha: f64,
}

/// Comparison that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Errors,
    P99,
    Refusals,
}

impl Cause {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::P99 => "p99",
            Self::Refusals => "refusals",
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
        let p0 = upper_bound(before, z).clamp(P_MIN, P_MAX - P_MIN);
        let p1 = (p0 + f64::from(increase_ppm) / 1e6).clamp(p0 + P_MIN, P_MAX);
        Self { p0, p1, alpha }
    }

    /// True if the requests after the switch raise an alarm: they show that the share of events has
    /// grown.
    pub(crate) fn alarms(self, after: Sample) -> bool {
        let events = after.events.min(after.requests) as f64;
        let others = after.requests.saturating_sub(after.events) as f64;
        let with = (self.p1 / self.p0).ln();
        let without = ((1.0 - self.p1) / (1.0 - self.p0)).ln();
        events * with + others * without >= -self.alpha.ln()
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

    /// Evaluates the test after each of up to `looks` batches of 20 requests. Returns the number of
    /// requests until the alarm.
    fn run(random: &mut Random, test: Test, share: f64, looks: u64) -> Option<u64> {
        let mut after = Sample::default();
        for _ in 0..looks {
            let batch = random.draw(20, share);
            after.requests += batch.requests;
            after.events += batch.events;
            if test.alarms(after) {
                return Some(after.requests);
            }
        }
        None
    }

    #[test]
    fn equal_shares_cause_no_false_alarm() {
        let mut random = Random(1);
        let mut alarms = 0;
        for share in [0.0, 0.001, 0.01, 0.1] {
            for before in [200, 2_000] {
                for _ in 0..200 {
                    let test = Test::new(random.draw(before, share), 10_000);
                    alarms += usize::from(run(&mut random, test, share, 200).is_some());
                }
            }
        }
        // 1,600 tests at a rate of at most 0.02 %: more than 3 alarms have a probability of 0.03 %.
        assert!(alarms <= 3, "{alarms} of 1600");
    }

    #[test]
    fn increase_is_found_soon() {
        let mut random = Random(2);
        // (share before, requests before, share after, most requests until the alarm)
        let table = [
            (0.0, 200, 1.0, 100),
            (0.0, 200, 0.5, 300),
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

    #[test]
    fn bounds_match_known_values() {
        // Wilson's interval of 10 of 100 at z = 3.719: computed by hand.
        let sample = Sample {
            requests: 100,
            events: 10,
        };
        let bound = upper_bound(sample, Z);
        assert!((bound - 0.2639).abs() < 0.0001, "{bound}");
        let test = Test {
            p0: 0.01,
            p1: 0.02,
            alpha: ALPHA,
        };
        let after = |events| Sample {
            requests: 100,
            events,
        };
        // ln(1/α) = 9.21 = k ln 2 - (100 - k) 0.01015: between k = 14 and k = 15.
        assert!(!test.alarms(after(14)) && test.alarms(after(15)));
    }
}
