//! Smooth weighted round robin, as NGINX does it: 5:1:1 gives a a b a c a a, not a a a a a b c.

use std::cell::Cell;

/// Targets with their weights and how far behind each is.
pub(crate) struct Weighted {
    targets: Box<[Target]>,
}

struct Target {
    weight: i64,
    current: Cell<i64>,
}

impl Weighted {
    pub(crate) fn build(weights: impl Iterator<Item = u32>, offset: u64) -> Self {
        let built = Self {
            targets: weights
                .map(|weight| Target {
                    weight: i64::from(weight),
                    current: Cell::new(0),
                })
                .collect(),
        };
        // One round is as long as the sum of the weights; a beginning within few steps of it
        // is enough to part the workers.
        for _ in 0..offset % (built.targets.len() as u64).max(1) {
            built.pick(0);
        }
        built
    }

    pub(crate) fn pick(&self, avoid: u64) -> Option<usize> {
        if let [only] = &self.targets[..] {
            return (only.weight > 0 && avoid & 1 == 0).then_some(0);
        }
        let mut total = 0;
        let mut best: Option<(usize, i64)> = None;
        for (index, target) in self.targets.iter().enumerate() {
            let avoided = index < 64 && avoid & 1 << index != 0;
            if target.weight == 0 || avoided {
                continue;
            }
            total += target.weight;
            let current = target.current.get() + target.weight;
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

    fn picks(weights: &[u32], avoid: u64, count: usize) -> Vec<usize> {
        let weighted = Weighted::build(weights.iter().copied(), 0);
        (0..count).filter_map(|_| weighted.pick(avoid)).collect()
    }

    #[test]
    fn shares_are_exact_and_smooth() {
        assert_eq!(picks(&[5, 1, 1], 0, 7), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(picks(&[1, 1], 0, 4), [0, 1, 0, 1]);
        assert_eq!(picks(&[1, 0, 1], 0, 4), [0, 2, 0, 2]);
        assert!(picks(&[0, 0], 0, 4).is_empty());
        assert!(picks(&[0], 0, 1).is_empty());
    }

    #[test]
    fn who_failed_is_not_asked_again() {
        assert_eq!(picks(&[1, 1, 1], 0b010, 4), [0, 2, 0, 2]);
        assert!(picks(&[1], 1, 4).is_empty());
    }

    #[test]
    fn any_weights_get_their_share_over_a_round() {
        for weights in [[3, 2, 7], [1, 100, 10], [9, 9, 1]] {
            let round = weights.iter().sum::<u32>();
            let picks = picks(&weights, 0, round as usize * 3);
            for (index, weight) in weights.iter().enumerate() {
                let got = picks.iter().filter(|pick| **pick == index).count();
                assert_eq!(got, *weight as usize * 3, "{weights:?}");
            }
        }
    }
}
