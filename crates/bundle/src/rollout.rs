//! Progressive release: a record names its bundle for a share of the gateways. All other gateways
//! keep the bundle of the channel's last complete record, the base.
//!
//! The share is determined by a hash of the node's name and the bundle. A gateway therefore keeps
//! its position over all steps of a release, and each release begins with other gateways.
//! release.md §6.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::refused::Refused;
use crate::statement::predicate::{Guard, Pointer, Record, RecordKind, Rollout};

/// All nodes, in parts per million.
pub const ALL_PPM: u32 = 1_000_000;
/// Maximum number of steps before the step of all nodes.
pub const STEPS_MAX: usize = 20;

/// Range of [`Guard::requests`].
pub const GUARD_REQUESTS: std::ops::RangeInclusive<u64> = 20..=1_000_000;
/// Range of [`Guard::for_ms`]: 1s to 7 days.
pub const GUARD_FOR_MS: std::ops::RangeInclusive<u64> = 1_000..=604_800_000;

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, increase) in [("errors", self.errors_ppm), ("p99", self.p99_ppm)] {
            if let Some(increase) = increase {
                write!(f, "{name}: {}, ", percent(increase))?;
            }
        }
        write!(f, "requests: {}, for: {}ms", self.requests, self.for_ms)
    }
}

impl Guard {
    fn check(&self) -> Result<(), &'static str> {
        let increases = [self.errors_ppm, self.p99_ppm];
        if increases == [None, None] {
            return Err("the guard compares nothing");
        }
        let is_share = |share: u32| (1..=ALL_PPM).contains(&share);
        if !increases.into_iter().flatten().all(is_share) {
            return Err("an increase of the guard is not between 1 and 1000000 parts per million");
        }
        if !GUARD_REQUESTS.contains(&self.requests) {
            return Err("the guard's number of requests is not between 20 and 1000000");
        }
        if !GUARD_FOR_MS.contains(&self.for_ms) {
            return Err("the guard's time is not between 1 second and 7 days");
        }
        Ok(())
    }
}

impl Rollout {
    /// Creates the first step of a release. `None` without steps: the release is complete at once.
    #[must_use]
    pub fn first(base: Pointer, steps: &[u32], guard: Option<Guard>) -> Option<Self> {
        (!steps.is_empty()).then(|| Self {
            base,
            guard,
            step: 1,
            steps: steps.to_vec(),
        })
    }

    /// Creates the next step. `None`: the next step is that of all nodes.
    #[must_use]
    pub fn next(&self) -> Option<Self> {
        let is_last = self.step as usize >= self.steps.len();
        (!is_last).then(|| Self {
            step: self.step + 1,
            ..self.clone()
        })
    }

    /// Share of the nodes that run the record's bundle, in parts per million.
    #[must_use]
    pub fn nodes_ppm(&self) -> u32 {
        let at = (self.step as usize).checked_sub(1);
        at.and_then(|at| self.steps.get(at)).copied().unwrap_or(0)
    }

    /// Number of steps, including the step of all nodes.
    #[must_use]
    pub const fn of(&self) -> usize {
        self.steps.len() + 1
    }

    /// True if the node belongs to the share, and so runs the record's bundle.
    #[must_use]
    pub fn includes(&self, node: &str, bundle: &Digest) -> bool {
        position_ppm(node, bundle) < self.nodes_ppm()
    }

    /// Checks the step against the record that contains it.
    ///
    /// # Errors
    /// [`Refused::BadRollout`] with the reason.
    pub(crate) fn check(&self, record: &Record) -> Result<(), Refused> {
        let bad = |why| Err(Refused::BadRollout { why });
        if record.kind == RecordKind::Rollback {
            return bad("a rollback has no steps");
        }
        if self.base.serial == 0 || self.base.serial >= record.serial {
            return bad("the serial of the base is not below that of the record");
        }
        if self.steps.is_empty() || self.steps.len() > STEPS_MAX {
            return bad("the number of steps is not between 1 and 20");
        }
        if self.step == 0 || self.step as usize > self.steps.len() {
            return bad("the record names a step that is not listed");
        }
        let is_share = |share: &u32| (1..ALL_PPM).contains(share);
        if !self.steps.iter().all(is_share) {
            return bad("the share of a step is not between 1 and 999999 parts per million");
        }
        if !self.steps.is_sorted_by(|one, next| one < next) {
            return bad("the shares of the steps do not increase");
        }
        self.guard
            .as_ref()
            .map_or(Ok(()), |guard| guard.check().or_else(bad))
    }
}

/// Position of a node in the releases of a bundle: 0 to 999,999. The first 8 bytes of the SHA-256
/// of the bundle's id, a line feed and the node's name are scaled to parts per million.
#[must_use]
pub fn position_ppm(node: &str, bundle: &Digest) -> u32 {
    let mut hash = Sha256::new();
    hash.update(bundle.to_string());
    hash.update(b"\n");
    hash.update(node);
    let first = hash.finalize()[..8].try_into();
    let first = u64::from_be_bytes(first.expect("a SHA-256 value has 32 bytes"));
    let scaled = (u128::from(first) * u128::from(ALL_PPM)) >> 64;
    u32::try_from(scaled).expect("the product of a fraction and a million fits")
}

/// Text of a share for people, such as `5%` or `0.5%`.
#[must_use]
pub fn percent(ppm: u32) -> String {
    let (whole, rest) = (ppm / 10_000, ppm % 10_000);
    if rest == 0 {
        return format!("{whole}%");
    }
    let digits = format!("{rest:04}");
    format!("{whole}.{}%", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(step: u32, steps: &[u32]) -> Rollout {
        Rollout {
            base: Pointer {
                digest: Digest::of(b"base"),
                serial: 1,
            },
            guard: None,
            step,
            steps: steps.to_vec(),
        }
    }

    #[test]
    fn share_matches_its_nodes_within_one_percent() {
        let bundle = Digest::of(b"bundle");
        for share in [10_000, 50_000, 250_000, 500_000, 900_000] {
            let rollout = steps(1, &[share]);
            let nodes = (0..10_000).map(|node| format!("gw-{node}.example"));
            let inside = nodes.filter(|node| rollout.includes(node, &bundle)).count();
            let expected = share as usize / 100;
            assert!(inside.abs_diff(expected) <= 100, "{share}: {inside}");
        }
    }

    #[test]
    fn node_stays_in_the_share_over_all_steps() {
        let bundle = Digest::of(b"bundle");
        let [one, two] = [1, 2].map(|step| steps(step, &[50_000, 300_000]));
        let nodes: Vec<String> = (0..2_000).map(|node| format!("n{node}")).collect();
        let inside = |rollout: &Rollout, bundle| -> Vec<&String> {
            let nodes = nodes.iter();
            nodes
                .filter(|node| rollout.includes(node, bundle))
                .collect()
        };
        let (few, many) = (inside(&one, &bundle), inside(&two, &bundle));
        assert!(few.len() < many.len());
        assert!(few.iter().all(|node| many.contains(node)));
        assert_ne!(few, inside(&one, &Digest::of(b"another")));
    }

    /// Expected value: `printf '%s\n%s' sha256:$(printf bundle | sha256sum | cut -c1-64) gw-1 |
    /// sha256sum`, the first 16 digits as a fraction of 2^64.
    #[test]
    fn position_is_that_of_the_documented_hash() {
        assert_eq!(position_ppm("gw-1", &Digest::of(b"bundle")), 842_565);
    }

    #[test]
    fn next_step_leads_to_all_nodes() {
        let first = Rollout::first(steps(1, &[]).base, &[50_000, 500_000], None).unwrap();
        assert_eq!((first.step, first.nodes_ppm(), first.of()), (1, 50_000, 3));
        let second = first.next().unwrap();
        assert_eq!((second.step, second.nodes_ppm()), (2, 500_000));
        assert_eq!(second.next(), None);
        assert_eq!(Rollout::first(first.base, &[], None), None);
    }

    #[test]
    fn percentages_have_no_needless_digits() {
        let shares = [
            (50_000, "5%"),
            (5_000, "0.5%"),
            (1, "0.0001%"),
            (999_900, "99.99%"),
        ];
        for (ppm, text) in shares {
            assert_eq!(percent(ppm), text);
        }
    }
}
