//! Upstream on one worker: chooses the target of each request.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bundle::ir;
use policy::StateId;
use policy::traffic::circuit_breaker::Scope;
use policy::upstream::AllUnhealthy;

use crate::message::failure::{Failure, Kind};
use crate::runtime::random::Random;
use crate::upstream::affinity::Affinity;
use crate::upstream::balance::{Balance, Choice};
use crate::upstream::breaker::CircuitBreaker;
use crate::upstream::call_cx::CallCx;
use crate::upstream::hosts::{Common, Endpoint, HostSet};
use crate::upstream::outlier::{HealthSignal, Watch};
use crate::upstream::pool::{Pool, PoolResources, PooledUpstream};
use crate::upstream::tried_targets::TriedTargets;

/// Time for which other hosts are preferred after a connection attempt to a host failed: 1s.
const UNREACHABLE_MS: u64 = 1_000;
/// Upstream on one worker, with its current hosts. Targets are indices into the host set.
pub(crate) struct Service {
    pub(crate) common: Arc<Common>,
    /// True for the candidate of a progressive release that serves requests beside the base.
    pub(crate) is_candidate: bool,
    pub(crate) set: Arc<HostSet>,
    balance: Balance,
    /// Connection pool of each target.
    pub(crate) pools: Box<[Rc<Pool>]>,
    /// True for each target in the gateway's zone. `None` if zones have no effect.
    near: Option<Box<[bool]>>,
    pub(crate) connect_timeout_ms: u64,
}

/// Inputs for the choice of a target.
pub(crate) struct TargetSelection<'a> {
    pub(crate) upstream: &'a ir::Upstream,
    pub(crate) affinity: &'a Affinity,
    pub(crate) tried: &'a TriedTargets,
    pub(crate) random: &'a Random,
    pub(crate) now_ms: u64,
}

impl Service {
    /// Creates the service of an upstream for one worker. Targets in `zone`, the zone of the
    /// process, are preferred.
    pub(crate) fn new(
        calls: &CallCx,
        of: &PooledUpstream<'_>,
        common: &Arc<Common>,
        (zone, is_candidate): (Option<&str>, bool),
    ) -> Self {
        let upstream = of.upstream;
        let set = common.set();
        let endpoints = set.endpoints.iter();
        let weights: Vec<u32> = endpoints.clone().map(|one| one.target.weight).collect();
        let resources = PoolResources {
            clock: calls.clock,
            shard: &calls.shard,
            memory: &calls.budgets.memory,
        };
        let pools = endpoints.zip(&set.hosts);
        let pools = pools.map(|(one, host)| calls.pools.pool(&resources, of, one, host));
        let pools: Box<[Rc<Pool>]> = pools.collect();
        let averages = pools.iter().map(|pool| Rc::clone(&pool.average));
        let (lb, offset) = (upstream.balance.lb, calls.random.next());
        Self {
            common: Arc::clone(common),
            is_candidate,
            balance: Balance::new(lb, &weights, offset, averages),
            near: near(&set.endpoints, zone),
            connect_timeout_ms: upstream.connect_timeout_ms,
            pools,
            set,
        }
    }

    /// Circuit breaker of the upstream for requests of this version.
    pub(crate) fn breaker(&self) -> &CircuitBreaker {
        self.common.state.breaker.of(self.is_candidate)
    }

    /// Circuit breaker of a target for requests of this version.
    pub(crate) fn breaker_of(&self, target: usize) -> &CircuitBreaker {
        self.set.hosts[target].breaker.of(self.is_candidate)
    }

    /// Circuit breaker of a policy at this upstream, for requests of this version. `None` if the
    /// version does not have the policy.
    pub(crate) fn breaker_of_policy(&self, state: StateId) -> Option<&CircuitBreaker> {
        let mut known = self.common.breakers.iter();
        let (_, known) = known.find(|(known, _)| *known == state)?;
        Some(known.breaker.of(self.is_candidate))
    }

    /// True if the upstream's host set has not been replaced since this service was created.
    pub(crate) fn is_now(&self) -> bool {
        self.common.is_now(&self.set)
    }

    /// Failure to report if no target can be chosen for a request.
    pub(crate) fn no_target_failure(&self) -> Failure {
        let mut open = self.common.sources().filter_map(|source| source.why());
        match open.next() {
            Some(why) if self.set.hosts.is_empty() => Failure::because(Kind::NameUnknown, &why),
            _ => Failure::new(Kind::NoTarget),
        }
    }

    /// Chooses the next target: one that is available and was not tried yet. A host to which a
    /// recent connection attempt failed is chosen only if there is no other, and not for a retry. A
    /// host that is not available is chosen only if the upstream's `all_unhealthy` allows it.
    pub(crate) fn choose(&self, looking: &TargetSelection<'_>) -> Option<usize> {
        let TargetSelection {
            upstream,
            affinity,
            tried,
            random,
            now_ms,
        } = looking;
        let hosts = &self.set.hosts;
        let watched = upstream.health.passive.is_some();
        let active = upstream.health.active.as_ref();
        let settings = upstream.circuit_breaker.as_ref();
        let settings = settings.filter(|settings| settings.scope == Scope::Target);
        let works = |at: usize| {
            let host = &hosts[at];
            // The other version that serves requests may require checks that this one does not.
            active.is_none_or(|active| host.checks.admit(active.unchecked))
                && !(watched && host.is_ejected(*now_ms))
                && settings.is_none_or(|settings| {
                    host.breaker
                        .of(self.is_candidate)
                        .admits(&settings.numbers, *now_ms)
                })
                && !tried.has(at)
        };
        let is_unreachable = |at: usize| hosts[at].is_unreachable(self.is_candidate, *now_ms);
        let proven = |at: usize| works(at) && !is_unreachable(at);
        if let Some(at) = affinity.target()
            && self.set.endpoints[at].target.weight > 0
            && proven(at)
        {
            return Some(at);
        }
        let choice = Choice {
            hosts,
            table: &self.set.table,
            random,
            hash: affinity.hash(),
            bounded_load: upstream.balance.bounded_load,
            slow_start_ms: upstream.balance.slow_start_ms,
            now_ms: *now_ms,
        };
        let found = self.near(proven).and_then(|near| {
            let near = |at: usize| near[at] && proven(at);
            self.balance.pick(&choice, near)
        });
        let found = found.or_else(|| {
            let mut levels = 0..=self.set.last_level();
            levels.find_map(|level| {
                let may = |at: usize| self.set.is_of_level(at, level) && proven(at);
                self.balance.pick(&choice, may)
            })
        });
        let found = found.or_else(|| {
            // Try an unreachable host only in a first attempt, not in a retry.
            let first = tried.is_empty();
            let may = |at: usize| works(at) && (first || !is_unreachable(at));
            self.balance.pick(&choice, may)
        });
        found.or_else(|| match upstream.health.all_unhealthy {
            AllUnhealthy::Fail => None,
            AllUnhealthy::Spread => self.balance.pick(&choice, |at| !tried.has(at)),
        })
    }

    /// Targets in the gateway's zone, if at least half of them may be used. `None` if fewer may be
    /// used, because these could not handle the load of the zone.
    fn near(&self, may: impl Fn(usize) -> bool) -> Option<&[bool]> {
        let near = self.near.as_deref()?;
        let ours = || (0..near.len()).filter(|at| near[*at]);
        let left = ours().filter(|at| may(*at)).count();
        (2 * left >= ours().count()).then_some(near)
    }

    /// Records a successful connection attempt to a target.
    pub(crate) fn reached(&self, target: usize) {
        let host = &self.set.hosts[target];
        host.reach.reached();
        let until_ms = host.unreachable_until_ms(self.is_candidate);
        if until_ms.load(Ordering::Relaxed) != 0 {
            until_ms.store(0, Ordering::Relaxed);
        }
    }

    /// Records a failed connection attempt to a target.
    pub(crate) fn record_connect_failure(&self, target: usize, failure: &Failure, now_ms: u64) {
        let host = &self.set.hosts[target];
        host.reach.record_connect_failure(failure, now_ms);
        let until_ms = host.unreachable_until_ms(self.is_candidate);
        until_ms.store(now_ms + UNREACHABLE_MS, Ordering::Relaxed);
    }

    /// Reports the outcome of a request to outlier detection, if `health.passive` is configured.
    /// Outcomes of a candidate's requests do not count.
    pub(crate) fn saw(
        &self,
        upstream: &ir::Upstream,
        target: usize,
        signal: HealthSignal,
        calls: &CallCx,
        now_ms: u64,
    ) {
        let Some(passive) = &upstream.health.passive else {
            return;
        };
        // A candidate that gets errors must not take hosts from the running version. Its settings
        // for TLS, protocol or timeouts can also be the cause of failed connections and timeouts.
        if self.is_candidate {
            return;
        }
        let watch = Watch {
            state: &self.common.state,
            hosts: &self.set.hosts,
            is_weighted: &|index| self.set.endpoints[index].target.weight > 0,
            is_checked: upstream.health.active.is_some(),
            passive,
            now_ms,
            chance: match passive.jitter_ms {
                0 => 0,
                _ => calls.random.next(),
            },
        };
        watch.saw(&self.set.hosts[target], signal);
    }

    /// Records the response time of a target.
    pub(crate) fn observe(&self, target: usize, took_ns: u64, now_ns: u64) {
        self.balance.observe(target, took_ns, now_ns);
    }
}

/// True for each target that has a weight and is in the zone. `None` if no target with a weight is
/// in the zone, or all are.
fn near(endpoints: &[Arc<Endpoint>], zone: Option<&str>) -> Option<Box<[bool]>> {
    let zone = zone?;
    let targets = || endpoints.iter().map(|endpoint| &endpoint.target);
    let is_near = |target: &ir::Target| target.weight > 0 && target.zone.as_deref() == Some(zone);
    let near: Box<[bool]> = targets().map(is_near).collect();
    let far = |(near, target): (&bool, &ir::Target)| !near && target.weight > 0;
    let mixed = near.contains(&true) && near.iter().zip(targets()).any(far);
    mixed.then_some(near)
}
