//! Load balancing: choice of the target for a request. Each algorithm has its own file.
//!
//! `build` runs when the hosts change. `pick` runs for every request: it allocates nothing and
//! takes no lock. The caller passes a predicate that is true for hosts that may be used; the
//! algorithm chooses among these hosts.

mod ketama;
mod least_request;
mod maglev;
mod peak_ewma;
mod random;
mod weighted;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use policy::upstream::Lb;

use crate::runtime::random::Random;
use crate::upstream::shared::Host;

use ketama::Ketama;
use least_request::LeastRequest;
use maglev::Maglev;
pub(crate) use peak_ewma::Average;
use peak_ewma::PeakEwma;
use random::Weights;
use weighted::Weighted;

/// Load-balancing algorithm with its state. Each worker has one balancer per upstream.
#[derive(Debug)]
pub(crate) enum Balance {
    /// Smooth weighted round robin.
    Weighted(Weighted),
    /// Random choice by weight.
    Random(Weights),
    /// Least request: the less busy of two random targets. With unequal weights or slow start:
    /// round robin, in which a target's weight is divided by its requests in progress plus one.
    LeastRequest(LeastRequest),
    /// The faster of two random targets, by peak EWMA.
    PeakEwma(PeakEwma),
    /// Hashing with the upstream's [`Table`]. The weights limit the load and serve as a fallback.
    Hash(Weights),
}

/// Lookup table of a hashing algorithm. Built together with the host set, not on a worker, and
/// shared by all workers.
#[derive(Debug, Default)]
pub(crate) enum Table {
    /// No table, because the algorithm does not use hashing.
    #[default]
    None,
    Ketama(Ketama),
    Maglev(Maglev),
}

/// Inputs of the choice for one request.
#[derive(Clone, Copy)]
pub(crate) struct Choice<'a> {
    pub(crate) hosts: &'a [Arc<Host>],
    pub(crate) table: &'a Table,
    pub(crate) random: &'a Random,
    /// Hash of the request, or `None` if the request has no value to hash.
    pub(crate) hash: Option<u64>,
    pub(crate) bounded_load: bool,
    pub(crate) slow_start_ms: Option<u64>,
    pub(crate) now_ms: u64,
}

/// Number of random draws. If none succeeds, the hosts are tried in order.
const DRAWS: usize = 4;
/// Minimum fraction of a host's weight during slow start, in thousandths.
const SLOW_LEAST: u64 = 100;

impl Balance {
    /// Creates a balancer. `offset` shifts the start of the sequence, so that workers do not choose
    /// the same targets at the same time. `averages`: the worker's response time average of each
    /// host.
    pub(crate) fn new(
        lb: Lb,
        weights: &[u32],
        offset: u64,
        averages: impl Iterator<Item = Rc<Average>>,
    ) -> Self {
        match lb {
            Lb::RoundRobin => Self::Weighted(Weighted::build(weights, offset)),
            Lb::Random => Self::Random(Weights::build(weights)),
            Lb::LeastRequest => Self::LeastRequest(LeastRequest::build(weights, offset)),
            Lb::PeakEwma => Self::PeakEwma(PeakEwma::build(weights, averages)),
            Lb::Ketama | Lb::Maglev => Self::Hash(Weights::build(weights)),
        }
    }

    /// Selects the next target, as an index, among those that may be used and have a positive
    /// weight. `None`: there is no such target.
    pub(crate) fn pick(&self, choice: &Choice<'_>, may: impl Fn(usize) -> bool) -> Option<usize> {
        match self {
            Self::Weighted(weighted) => weighted.pick(|index, weight| match may(index) {
                true => weight * choice.pace(index),
                false => 0,
            }),
            Self::Random(weights) => weights.pick(choice.random, may),
            Self::LeastRequest(least) => least.pick(choice, may),
            Self::PeakEwma(ewma) => ewma.pick(choice, may),
            Self::Hash(weights) => {
                let Some(hash) = choice.hash else {
                    return weights.pick(choice.random, may);
                };
                let total: u64 = choice.hosts.iter().map(|host| active(host)).sum();
                let fits = |index: usize| {
                    may(index)
                        && (!choice.bounded_load
                            || active(&choice.hosts[index]) < weights.bound(index, total + 1))
                };
                let found = match choice.table {
                    Table::Ketama(ketama) => ketama.pick(hash, &fits),
                    Table::Maglev(maglev) => maglev.pick(hash, &fits),
                    Table::None => None,
                };
                found.or_else(|| weights.pick(choice.random, may))
            }
        }
    }

    /// Records a response time of a target.
    pub(crate) fn observe(&self, target: usize, took_ns: u64, now_ns: u64) {
        if let Self::PeakEwma(ewma) = self {
            ewma.observe(target, took_ns, now_ns);
        }
    }
}

impl Table {
    pub(crate) fn build<'a>(lb: Lb, hosts: impl Iterator<Item = (&'a str, u32)>) -> Self {
        match lb {
            Lb::Ketama => Self::Ketama(Ketama::build(&hosts.collect::<Vec<_>>())),
            Lb::Maglev => Self::Maglev(Maglev::build(&hosts.collect::<Vec<_>>())),
            Lb::RoundRobin | Lb::Random | Lb::LeastRequest | Lb::PeakEwma => Self::None,
        }
    }
}

impl Choice<'_> {
    /// Fraction of a host's weight during slow start, in thousandths: grows with the host's age
    /// from 100 to 1,000. Without slow start, the same number (1) for every host.
    fn pace(&self, index: usize) -> u64 {
        let Some(slow_start_ms) = self.slow_start_ms else {
            return 1;
        };
        let age_ms = self.hosts[index].age_ms(self.now_ms);
        (age_ms.saturating_mul(1_000) / slow_start_ms.max(1)).clamp(SLOW_LEAST, 1_000)
    }
}

/// Number of requests in progress at a host.
fn active(host: &Host) -> u64 {
    host.active.load(Ordering::Relaxed).into()
}

/// Selects a random target: the first usable one of [`DRAWS`] draws, otherwise the next usable one
/// in order after the last draw. `None`: none was found.
fn draw(random: &Random, count: usize, may: &impl Fn(usize) -> bool) -> Option<usize> {
    if count == 0 {
        return None;
    }
    let mut at = 0;
    for _ in 0..DRAWS {
        at = below(random, count as u64);
        if may(at) {
            return Some(at);
        }
    }
    (0..count)
        .map(|step| (at + step) % count)
        .find(|at| may(*at))
}

/// Random number from 0 to `count` - 1.
fn below(random: &Random, count: u64) -> usize {
    let wide = u128::from(random.next()) * u128::from(count);
    usize::try_from(wide >> 64).unwrap_or(0)
}

/// Four hash values of a name and a number, the same in every process.
fn points(name: &str, number: u32) -> [u64; 4] {
    let digest = bundle::digest::Digest::of(format!("{name}\0{number}").as_bytes());
    let bytes = digest.as_bytes();
    std::array::from_fn(|part| {
        let part = &bytes[part * 8..part * 8 + 8];
        u64::from_le_bytes(part.try_into().expect("8 bytes"))
    })
}

#[cfg(test)]
pub(crate) mod trial {
    //! Helpers for tests of the distribution.

    use super::*;

    pub(crate) fn hosts(count: u16) -> Vec<Arc<Host>> {
        (0..count)
            .map(|port| {
                Arc::new(Host::new(
                    &std::net::SocketAddr::from(([10, 0, 0, 1], port + 1)).into(),
                    0,
                ))
            })
            .collect()
    }

    pub(crate) struct Trial {
        pub(crate) hosts: Vec<Arc<Host>>,
        pub(crate) table: Table,
        pub(crate) balance: Balance,
        pub(crate) random: Random,
        pub(crate) bounded_load: bool,
        pub(crate) slow_start_ms: Option<u64>,
        pub(crate) now_ms: u64,
    }

    impl Trial {
        pub(crate) fn new(lb: Lb, weights: &[u32]) -> Self {
            let hosts = hosts(u16::try_from(weights.len()).unwrap());
            let names = hosts.iter().map(|host| &*host.name);
            let averages = hosts.iter().map(|_| Rc::default());
            Self {
                table: Table::build(lb, names.zip(weights.iter().copied())),
                balance: Balance::new(lb, weights, 0, averages),
                hosts,
                random: Random::new(),
                bounded_load: false,
                slow_start_ms: None,
                now_ms: 1_000_000,
            }
        }

        pub(crate) fn pick(&self, hash: Option<u64>, may: impl Fn(usize) -> bool) -> Option<usize> {
            let choice = Choice {
                hosts: &self.hosts,
                table: &self.table,
                random: &self.random,
                hash,
                bounded_load: self.bounded_load,
                slow_start_ms: self.slow_start_ms,
                now_ms: self.now_ms,
            };
            self.balance.pick(&choice, may)
        }

        /// Fraction of the picks that each host got, in thousandths.
        pub(crate) fn shares(&self, picks: u64, may: impl Fn(usize) -> bool) -> Vec<u64> {
            let mut count = vec![0; self.hosts.len()];
            for number in 0..picks {
                let hash = points("key", u32::try_from(number).unwrap())[0];
                count[self.pick(Some(hash), &may).unwrap()] += 1;
            }
            count.iter().map(|count| count * 1_000 / picks).collect()
        }
    }

    pub(crate) fn near(shares: &[u64], expected: &[u64], slack: u64) {
        let fits = |(share, expected): (&u64, &u64)| share.abs_diff(*expected) <= slack;
        assert!(
            shares.iter().zip(expected).all(fits),
            "{shares:?} instead of {expected:?}"
        );
    }

    #[test]
    fn balancer_skips_unusable_hosts_until_none_is_left() {
        for lb in [
            Lb::RoundRobin,
            Lb::Random,
            Lb::LeastRequest,
            Lb::PeakEwma,
            Lb::Ketama,
            Lb::Maglev,
        ] {
            let trial = Trial::new(lb, &[1; 100]);
            for number in 0..200u32 {
                let hash = Some(points("k", number)[0]);
                assert_eq!(trial.pick(hash, |index| index == 97), Some(97), "{lb:?}");
                assert_eq!(trial.pick(hash, |_| false), None, "{lb:?}");
            }
            let none = Trial::new(lb, &[0, 0]);
            assert_eq!(none.pick(Some(1), |_| true), None, "{lb:?}");
            let one = Trial::new(lb, &[0, 3]);
            assert_eq!(one.pick(Some(1), |_| true), Some(1), "{lb:?}");
            let empty = Trial::new(lb, &[]);
            assert_eq!(empty.pick(Some(1), |_| true), None, "{lb:?}");
        }
    }

    #[test]
    fn new_host_reaches_its_share_gradually() {
        for lb in [Lb::RoundRobin, Lb::LeastRequest] {
            let mut trial = Trial::new(lb, &[1, 1]);
            trial.slow_start_ms = Some(10_000);
            trial.hosts[1] = Arc::new(Host::new(
                &std::net::SocketAddr::from(([10, 0, 0, 1], 9)).into(),
                1_000_000,
            ));
            near(&trial.shares(1_100, |_| true), &[909, 90], 2);
            trial.now_ms += 5_000;
            near(&trial.shares(1_500, |_| true), &[666, 333], 2);
            trial.now_ms += 5_000;
            near(&trial.shares(1_000, |_| true), &[500, 500], 2);
        }
    }
}
