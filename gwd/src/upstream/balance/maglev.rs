//! Consistent hashing with a lookup table (Maglev, NSDI 2016). A request needs one lookup. A change
//! of the targets moves about twice as many keys as with Ketama.

use super::points;

/// Number of slots of the table. The number is a prime, so that every step size visits all slots.
const SIZE: u64 = 65_537;
/// Maximum number of slots to try for a request. If none has a usable target, the targets are tried
/// in order.
const PROBES: u64 = 64;

#[derive(Debug)]
pub(crate) struct Maglev {
    /// Target of each slot. Empty if no target has a positive weight.
    slots: Box<[u32]>,
    targets: usize,
}

/// Sequence in which one target takes slots of the table.
struct SlotSequence {
    target: u32,
    at: u64,
    step: u64,
    weight: u64,
    /// Accumulated weight for which the target has taken no slot yet.
    given: u64,
}

impl Maglev {
    /// Builds the table. `hosts`: name and weight of each target.
    pub(crate) fn build(hosts: &[(&str, u32)]) -> Self {
        let sequence = |(target, (name, weight)): (u32, &(&str, u32))| {
            let [at, step, ..] = points(name, 0);
            SlotSequence {
                target,
                at: at % SIZE,
                step: step % (SIZE - 1) + 1,
                weight: u64::from(*weight),
                given: 0,
            }
        };
        let sequences = (0u32..).zip(hosts).map(sequence);
        let mut sequences: Vec<SlotSequence> =
            sequences.filter(|sequence| sequence.weight > 0).collect();
        let most = sequences
            .iter()
            .map(|sequence| sequence.weight)
            .max()
            .unwrap_or(0);
        let mut slots = Vec::new();
        if most > 0 {
            slots = vec![u32::MAX; usize::try_from(SIZE).unwrap_or(0)];
            fill(&mut slots, &mut sequences, most);
        }
        Self {
            slots: slots.into(),
            targets: hosts.len(),
        }
    }

    pub(crate) fn pick(&self, hash: u64, may: &impl Fn(usize) -> bool) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        // Derive the step from the key, so that the keys of an unusable target are spread over all
        // other targets.
        let step = hash / SIZE % (SIZE - 1) + 1;
        let slot = |probe: u64| {
            let at = (hash % SIZE + probe * step) % SIZE;
            self.slots[usize::try_from(at).unwrap_or(0)] as usize
        };
        let mut probes = (0..PROBES).map(slot);
        let found = probes.find(|target| may(*target));
        found.or_else(|| {
            let weighs = |target: &usize| self.slots.contains(&u32::try_from(*target).unwrap_or(0));
            (0..self.targets).find(|target| may(*target) && weighs(target))
        })
    }
}

/// Fills the table in rounds. In each round, a target with the maximum weight takes its next free
/// slot; targets with less weight take part in fewer rounds.
fn fill(slots: &mut [u32], sequences: &mut [SlotSequence], most: u64) {
    let mut left = slots.len();
    loop {
        for sequence in &mut *sequences {
            sequence.given += sequence.weight;
            if sequence.given < most {
                continue;
            }
            sequence.given -= most;
            loop {
                let slot = &mut slots[usize::try_from(sequence.at).unwrap_or(0)];
                sequence.at = (sequence.at + sequence.step) % SIZE;
                if *slot == u32::MAX {
                    *slot = sequence.target;
                    break;
                }
            }
            left -= 1;
            if left == 0 {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use policy::upstream::Lb;

    use super::super::points;
    use super::super::trial::{Trial, near};
    use super::*;

    #[test]
    fn shares_follow_the_weights_closely() {
        let trial = Trial::new(Lb::Maglev, &[1, 1, 2]);
        near(&trial.shares(20_000, |_| true), &[250, 250, 500], 15);
        let built = Maglev::build(&[("a", 1), ("b", 1), ("c", 1)]);
        let count = built.slots.iter().filter(|slot| **slot == 1).count();
        assert!(count.abs_diff(65_537 / 3) <= 1, "{count}");
    }

    #[test]
    fn removed_host_spreads_its_requests_over_the_others() {
        let trial = Trial::new(Lb::Maglev, &[1; 10]);
        let mut got = [0; 10];
        for key in 0..10_000u32 {
            let key = Some(points("k", key)[1]);
            let before = trial.pick(key, |_| true).unwrap();
            let after = trial.pick(key, |at| at != 3).unwrap();
            assert!(before == after || before == 3);
            if before == 3 {
                got[after] += 1;
            }
        }
        assert_eq!(got[3], 0);
        let rest = got.iter().enumerate().filter(|(at, _)| *at != 3);
        assert!(rest.clone().all(|(_, count)| *count > 50), "{got:?}");
    }

    #[test]
    fn a_table_without_one_target_is_nearly_the_same() {
        let names: Vec<String> = (0..10).map(|number| format!("h{number}")).collect();
        let hosts: Vec<(&str, u32)> = names.iter().map(|name| (name.as_str(), 1)).collect();
        let (all, fewer) = (Maglev::build(&hosts), Maglev::build(&hosts[..9]));
        let pairs = all.slots.iter().zip(&fewer.slots);
        let moved = pairs.filter(|(a, b)| a != b && **a != 9).count();
        assert!(moved < 65_537 / 10, "{moved}");
    }
}
