//! Least request: picks two random targets and takes the less busy one ("power of two choices").
//! With unequal weights or slow start: round robin, in which a target's weight is divided by its
//! requests in progress plus one, as in Envoy. Requests in progress are counted over all workers.

use super::weighted::Weighted;
use super::{Choice, active, draw};

/// Factor applied to weights, so that dividing by the number of requests keeps precision.
const SCALE: u64 = 1 << 12;

#[derive(Debug)]
pub(crate) struct LeastRequest {
    weighted: Weighted,
    count: usize,
    equal: bool,
}

impl LeastRequest {
    pub(crate) fn build(weights: &[u32], offset: u64) -> Self {
        Self {
            weighted: Weighted::build(weights, offset),
            count: weights.len(),
            equal: weights.windows(2).all(|pair| pair[0] == pair[1]) && !weights.contains(&0),
        }
    }

    pub(crate) fn pick(&self, choice: &Choice<'_>, may: impl Fn(usize) -> bool) -> Option<usize> {
        if !self.equal || choice.slow_start_ms.is_some() {
            return self
                .weighted
                .pick(|index, weight| match weight > 0 && may(index) {
                    true => {
                        let scaled = weight * choice.pace(index) * SCALE;
                        (scaled / (active(&choice.hosts[index]) + 1)).max(1)
                    }
                    false => 0,
                });
        }
        let one = draw(choice.random, self.count, &may)?;
        let other = draw(choice.random, self.count, &|at| at != one && may(at));
        let busy = |at: usize| active(&choice.hosts[at]);
        Some(match other {
            Some(other) if busy(other) < busy(one) => other,
            Some(_) | None => one,
        })
    }
}

#[cfg(test)]
mod tests {
    use policy::upstream::Lb;

    use super::super::trial::{Trial, near};

    #[test]
    fn host_without_weight_gets_no_requests() {
        for weights in [&[0][..], &[0, 0]] {
            let trial = Trial::new(Lb::LeastRequest, weights);
            assert_eq!(trial.pick(None, |_| true), None);
        }
        let trial = Trial::new(Lb::LeastRequest, &[0, 3]);
        near(&trial.shares(100, |_| true), &[0, 1_000], 0);
    }

    #[test]
    fn equals_get_equal_shares_and_the_busier_of_two_none() {
        let trial = Trial::new(Lb::LeastRequest, &[1, 1, 1, 1]);
        near(&trial.shares(20_000, |_| true), &[250; 4], 15);
        let _busy: Vec<_> = (0..5).map(|_| trial.hosts[2].busy()).collect();
        // The busy target is only chosen if both draws select it, which cannot happen.
        near(&trial.shares(20_000, |_| true), &[333, 333, 0, 333], 15);
    }

    #[test]
    fn load_settles_where_each_has_its_share() {
        let trial = Trial::new(Lb::LeastRequest, &[1, 3]);
        let mut busy = Vec::new();
        for _ in 0..400 {
            let at = trial.pick(None, |_| true).unwrap();
            busy.push(trial.hosts[at].busy());
        }
        let count = trial.hosts[1]
            .active
            .load(std::sync::atomic::Ordering::Relaxed);
        // In the end, weight / (active + 1) is the same for both targets: while all requests stay
        // open, n1 / n0 tends to the square root of 3.
        assert!((240..=310).contains(&count), "{count}");
        drop(busy);
        near(&trial.shares(4_000, |_| true), &[250, 750], 5);
    }
}
