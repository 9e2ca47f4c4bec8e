//! Random choice by weight. Choices are independent, so that many gateways do not choose the same
//! targets at the same time.

use super::{DRAWS, below};
use crate::runtime::random::Random;

/// Weights of the targets and their prefix sums.
#[derive(Debug)]
pub(crate) struct Weights {
    weights: Box<[u32]>,
    sums: Box<[u64]>,
}

impl Weights {
    pub(crate) fn build(weights: &[u32]) -> Self {
        let mut sum = 0;
        let sums = weights.iter().map(|weight| {
            sum += u64::from(*weight);
            sum
        });
        Self {
            sums: sums.collect(),
            weights: weights.into(),
        }
    }

    /// Selects a random target among those that may be used, by weight. `None`: no target may be
    /// used.
    pub(crate) fn pick(&self, random: &Random, may: impl Fn(usize) -> bool) -> Option<usize> {
        let total = self.total();
        if total == 0 {
            return None;
        }
        for _ in 0..DRAWS {
            let at = self.at(below(random, total) as u64);
            if may(at) {
                return Some(at);
            }
        }
        // If few targets may be used, draw among these targets only.
        let open = |(index, weight): (usize, &u32)| match may(index) {
            true => u64::from(*weight),
            false => 0,
        };
        let left: u64 = self.weights.iter().enumerate().map(open).sum();
        let mut left = (left > 0).then(|| below(random, left) as u64)?;
        for (index, weight) in self.weights.iter().enumerate() {
            let weight = open((index, weight));
            if left < weight {
                return Some(index);
            }
            left -= weight;
        }
        None
    }

    /// Maximum requests in progress at a target if the upstream has `requests` in total (bounded
    /// load): 1.25 times the target's share by weight, at least 1.
    pub(crate) fn bound(&self, index: usize, requests: u64) -> u64 {
        let weight = u64::from(self.weights[index]);
        (requests * weight * 5)
            .div_ceil(4 * self.total().max(1))
            .max(1)
    }

    fn at(&self, number: u64) -> usize {
        self.sums.partition_point(|sum| *sum <= number)
    }

    fn total(&self) -> u64 {
        self.sums.last().copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use policy::upstream::Lb;

    use super::super::trial::{Trial, near};
    use super::*;

    #[test]
    fn shares_follow_the_weights_of_the_remaining_hosts() {
        let trial = Trial::new(Lb::Random, &[1, 0, 2, 7]);
        near(&trial.shares(20_000, |_| true), &[100, 0, 200, 700], 15);
        near(&trial.shares(20_000, |at| at != 3), &[333, 0, 667, 0], 15);
    }

    #[test]
    fn a_bound_is_a_quarter_above_the_share() {
        let weights = Weights::build(&[1, 3]);
        assert_eq!((weights.bound(0, 16), weights.bound(1, 16)), (5, 15));
        assert_eq!(weights.bound(0, 1), 1);
    }
}
