//! Smooth weighted round robin, as in NGINX: weights 5, 1 and 1 give a a b a c a a, not a a a a a b
//! c.

use std::cell::Cell;

/// Targets with their weights and current scores.
#[derive(Debug)]
pub(crate) struct Weighted {
    targets: Box<[Target]>,
}

#[derive(Debug)]
struct Target {
    weight: u32,
    current: Cell<i64>,
}

impl Weighted {
    pub(crate) fn build(weights: &[u32], offset: u64) -> Self {
        let built = Self {
            targets: weights
                .iter()
                .map(|weight| Target {
                    weight: *weight,
                    current: Cell::new(0),
                })
                .collect(),
        };
        // Skip fewer picks than there are targets, so that workers begin at different targets. A
        // complete round (the sum of the weights) is not needed.
        for _ in 0..offset % (built.targets.len() as u64).max(1) {
            built.pick(|_, weight| weight);
        }
        built
    }

    /// Picks a target. `now` returns a target's current weight from its index and its configured
    /// weight; 0 skips the target. `None`: no target has a weight.
    pub(crate) fn pick(&self, now: impl Fn(usize, u64) -> u64) -> Option<usize> {
        if let [only] = &self.targets[..] {
            return (now(0, only.weight.into()) > 0).then_some(0);
        }
        let mut total = 0;
        let mut best: Option<(usize, i64)> = None;
        for (index, target) in self.targets.iter().enumerate() {
            if target.weight == 0 {
                continue;
            }
            let weight = i64::try_from(now(index, target.weight.into())).unwrap_or(i64::MAX >> 16);
            if weight == 0 {
                continue;
            }
            total += weight;
            let current = target.current.get() + weight;
            target.current.set(current);
            if best.is_none_or(|(_, most)| current > most) {
                best = Some((index, current));
            }
        }
        let (index, current) = best?;
        self.targets[index].current.set(current - total);
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picks(weights: &[u32], avoid: &[usize], count: usize) -> Vec<usize> {
        let weighted = Weighted::build(weights, 0);
        let now = |index, weight| match avoid.contains(&index) {
            true => 0,
            false => weight,
        };
        (0..count).filter_map(|_| weighted.pick(now)).collect()
    }

    #[test]
    fn shares_are_exact_and_smooth() {
        assert_eq!(picks(&[5, 1, 1], &[], 7), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(picks(&[1, 1], &[], 4), [0, 1, 0, 1]);
        assert_eq!(picks(&[1, 0, 1], &[], 4), [0, 2, 0, 2]);
        assert!(picks(&[0, 0], &[], 4).is_empty());
        assert!(picks(&[0], &[], 1).is_empty());
    }

    #[test]
    fn excluded_host_is_not_picked() {
        assert_eq!(picks(&[1, 1, 1], &[1], 4), [0, 2, 0, 2]);
        assert!(picks(&[1], &[0], 4).is_empty());
    }

    #[test]
    fn any_weights_get_their_share_over_a_round() {
        for weights in [[3, 2, 7], [1, 100, 10], [9, 9, 1]] {
            let round = weights.iter().sum::<u32>();
            let picks = picks(&weights, &[], round as usize * 3);
            for (index, weight) in weights.iter().enumerate() {
                let got = picks.iter().filter(|pick| **pick == index).count();
                assert_eq!(got, *weight as usize * 3, "{weights:?}");
            }
        }
    }
}
