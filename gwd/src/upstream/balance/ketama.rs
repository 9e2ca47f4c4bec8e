//! Consistent hashing on a ring (Ketama). Each target has many points on the ring. A request goes
//! to the target of the first point at or after its hash. Removing a target moves only requests of
//! that target.

use super::points;

/// Number of points of a target with average weight.
const POINTS: u64 = 160;
/// Maximum number of points of one target.
const POINTS_MAX: u64 = 1 << 14;

#[derive(Debug)]
pub(crate) struct Ketama {
    /// Points (hashes) with their targets, sorted by point.
    ring: Box<[(u64, u32)]>,
}

impl Ketama {
    /// Builds the ring. `hosts`: name and weight of each target.
    pub(crate) fn build(hosts: &[(&str, u32)]) -> Self {
        let total: u64 = hosts.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let weighing = hosts.iter().filter(|(_, weight)| *weight > 0).count() as u64;
        let mut ring = Vec::new();
        for (target, (name, weight)) in (0u32..).zip(hosts) {
            if *weight == 0 {
                continue;
            }
            let share = u64::from(*weight) * weighing * POINTS / total;
            let quarter = share.clamp(4, POINTS_MAX).div_ceil(4);
            for number in 0..u32::try_from(quarter).unwrap_or(0) {
                ring.extend(points(name, number).map(|point| (point, target)));
            }
        }
        ring.sort_unstable();
        Self { ring: ring.into() }
    }

    pub(crate) fn pick(&self, hash: u64, may: &impl Fn(usize) -> bool) -> Option<usize> {
        let first = self.ring.partition_point(|(point, _)| *point < hash);
        let (before, behind) = self.ring.split_at(first);
        let around = behind.iter().chain(before);
        let mut last = None;
        for (_, target) in around {
            if last == Some(*target) {
                continue;
            }
            last = Some(*target);
            if may(*target as usize) {
                return Some(*target as usize);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use policy::upstream::Lb;

    use super::super::points;
    use super::super::trial::{Trial, near};

    #[test]
    fn shares_follow_the_weights() {
        let trial = Trial::new(Lb::Ketama, &[1, 1, 2]);
        near(&trial.shares(20_000, |_| true), &[250, 250, 500], 60);
    }

    #[test]
    fn removed_host_moves_only_its_own_requests() {
        let trial = Trial::new(Lb::Ketama, &[1; 10]);
        let keys = (0..10_000u32).map(|key| points("k", key)[1]);
        let mut moved = 0;
        for key in keys {
            let before = trial.pick(Some(key), |_| true).unwrap();
            let after = trial.pick(Some(key), |at| at != 3).unwrap();
            assert!(before == after || before == 3);
            moved += u32::from(before != after);
        }
        assert!((700..1_300).contains(&moved), "{moved} of 10000");
    }

    #[test]
    fn a_hot_key_spills_over_only_where_load_is_bounded() {
        let mut trial = Trial::new(Lb::Ketama, &[1; 4]);
        let hot = Some(points("hot", 0)[0]);
        let mut busy = Vec::new();
        let mut fill = |trial: &Trial| {
            busy.clear();
            for _ in 0..100 {
                let at = trial.pick(hot, |_| true).unwrap();
                busy.push(trial.hosts[at].busy());
            }
            let counts = trial.hosts.iter();
            let active = |host: &std::sync::Arc<super::super::Host>| {
                host.active.load(std::sync::atomic::Ordering::Relaxed)
            };
            counts.map(active).max().unwrap()
        };
        assert_eq!(fill(&trial), 100);
        trial.bounded_load = true;
        assert_eq!(fill(&trial), 32, "1.25 x 100 / 4, rounded up");
    }
}
