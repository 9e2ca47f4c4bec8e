//! Peak EWMA (as in Finagle and Linkerd): picks two random targets and takes the one with the lower
//! cost. The cost is a moving average of the response times, multiplied by the requests in progress
//! plus one. The average rises to a peak at once and decays over ten seconds. Each worker has its
//! own averages; requests in progress are counted over all workers.

use std::cell::Cell;
use std::rc::Rc;

use super::{Choice, active, draw};

/// Decay time of an average: 10s, in nanoseconds.
const DECAY_NS: f64 = 10e9;
/// Cost of a target that has requests in progress but no measured response time: 1s, in
/// nanoseconds.
const UNKNOWN_NS: f64 = 1e9;

#[derive(Debug)]
pub(crate) struct PeakEwma {
    targets: Box<[Target]>,
}

#[derive(Debug)]
struct Target {
    weight: u32,
    average: Rc<Average>,
}

/// Peak EWMA of a host's response times, measured by one worker. The average belongs to the host's
/// connection pool, so that it survives a change of hosts or versions.
#[derive(Debug, Default)]
pub(crate) struct Average {
    ns: Cell<f64>,
    stamp_ns: Cell<u64>,
}

impl PeakEwma {
    pub(crate) fn build(weights: &[u32], averages: impl Iterator<Item = Rc<Average>>) -> Self {
        let targets = weights.iter().zip(averages);
        let targets = targets.map(|(weight, average)| Target {
            weight: *weight,
            average,
        });
        Self {
            targets: targets.collect(),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "an average of durations")]
    pub(crate) fn observe(&self, target: usize, took_ns: u64, now_ns: u64) {
        let known = &self.targets[target].average;
        let took = took_ns as f64;
        let average = known.ns.get();
        let gone = now_ns.saturating_sub(known.stamp_ns.replace(now_ns));
        let kept = (-(gone as f64) / DECAY_NS).exp();
        known.ns.set(match took > average {
            true => took,
            false => average * kept + took * (1.0 - kept),
        });
    }

    pub(crate) fn pick(&self, choice: &Choice<'_>, may: impl Fn(usize) -> bool) -> Option<usize> {
        let may = |at: usize| self.targets[at].weight > 0 && may(at);
        let one = draw(choice.random, self.targets.len(), &may)?;
        let other = draw(choice.random, self.targets.len(), &|at| {
            at != one && may(at)
        });
        Some(match other {
            Some(other) if self.cost(other, choice) < self.cost(one, choice) => other,
            Some(_) | None => one,
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "a cost to compare")]
    fn cost(&self, at: usize, choice: &Choice<'_>) -> f64 {
        let target = &self.targets[at];
        let busy = active(&choice.hosts[at]) as f64;
        let known = &target.average;
        let gone = (choice.now_ms * 1_000_000).saturating_sub(known.stamp_ns.get());
        let average = known.ns.get() * (-(gone as f64) / DECAY_NS).exp();
        let cost = match average > 0.0 || busy == 0.0 {
            true => average * (busy + 1.0),
            false => UNKNOWN_NS + busy,
        };
        cost * 1_000.0 / (f64::from(target.weight) * choice.pace(at) as f64)
    }
}

#[cfg(test)]
mod tests {
    use policy::upstream::Lb;

    use super::super::trial::{Trial, near};

    #[test]
    fn slower_host_is_avoided_until_its_average_decays() {
        let mut trial = Trial::new(Lb::PeakEwma, &[1, 1]);
        let now_ns = trial.now_ms * 1_000_000;
        trial.balance.observe(0, 1_000_000, now_ns);
        trial.balance.observe(1, 1_000_000, now_ns);
        trial.balance.observe(1, 50_000_000, now_ns);
        near(&trial.shares(1_000, |_| true), &[1_000, 0], 0);
        // Both targets are always drawn, and the busier target costs more.
        let _busy: Vec<_> = (0..99).map(|_| trial.hosts[0].busy()).collect();
        near(&trial.shares(1_000, |_| true), &[0, 1_000], 0);
        drop(_busy);
        trial.now_ms += 100_000;
        let now_ns = trial.now_ms * 1_000_000;
        trial.balance.observe(0, 1_000_000, now_ns);
        near(&trial.shares(1_000, |_| true), &[0, 1_000], 0);
    }

    #[test]
    fn equal_hosts_get_equal_shares() {
        let trial = Trial::new(Lb::PeakEwma, &[1, 1, 1, 1]);
        near(&trial.shares(20_000, |_| true), &[250; 4], 15);
    }
}
