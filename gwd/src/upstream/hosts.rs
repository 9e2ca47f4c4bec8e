//! Hosts of an upstream, and their replacement while requests are in progress.
//!
//! [`Common`] is an upstream in one version: its targets, and the sources of hosts that must be
//! resolved. From these, a [`HostSet`] is built outside the workers. When the number of the set
//! changes, a worker builds a new [`Service`](super::Service); requests in progress keep the old
//! service. The state of a host is in [`Host`], which survives as long as any set has the host.
//! Hosts that are no longer in a set get no more requests, and their idle connections are closed.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use bundle::ir;
use policy::StateId;
use policy::upstream::Lb;

use crate::discovery::source::{DiscoveredHost, HOSTS_MAX, HostQuery, QueryTarget, Source};
use crate::discovery::{Discovery, Follower, share_out};
use crate::upstream::address::Address;
use crate::upstream::balance::Table;
use crate::upstream::shared::{ChainBreaker, Host, State, States};

/// Address of a host with the settings of its target.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) address: Address,
    /// Target's settings for this host: path prefix, host name, weight and zone.
    pub(crate) target: ir::Target,
}

/// Hosts of an upstream at one point in time. All lists have the same order.
#[derive(Debug, Default)]
pub(crate) struct HostSet {
    /// Number of the set, which increases with each replacement of the set.
    number: u64,
    pub(crate) hosts: Box<[Arc<Host>]>,
    pub(crate) endpoints: Box<[Arc<Endpoint>]>,
    /// Priority level of each host, starting at 0. Empty if all hosts have the same level.
    levels: Box<[u16]>,
    /// Lookup table, if the load-balancing algorithm uses hashing.
    pub(crate) table: Table,
    /// Affinity cookie value of each host.
    pub(crate) cookies: Box<[Box<str>]>,
}

/// Upstream in one version, shared by all workers.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) state: Arc<State>,
    /// Circuit breakers of policies, by the id of the policy's state.
    pub(crate) breakers: Box<[(StateId, Arc<ChainBreaker>)]>,
    lb: Lb,
    targets: Box<[Target]>,
    /// Number of `set`, which workers compare without loading the set.
    number: AtomicU64,
    set: ArcSwap<HostSet>,
    /// Lock for replacements of the set, so that the last replacement has the newest hosts.
    exchange: Mutex<()>,
}

/// Target of the configuration: an address, or the source of hosts that service discovery returns.
#[derive(Debug)]
struct Target {
    target: ir::Target,
    place: TargetPlace,
}

#[derive(Debug)]
enum TargetPlace {
    Address(Address),
    Discovered(Arc<Source>),
}

/// Address of a target, or of one of the hosts that it resolves to.
struct ResolvedHost {
    priority: u16,
    address: Address,
    weight: u32,
    zone: Option<Arc<str>>,
}

/// Host of the set that is being built.
struct Member {
    priority: u16,
    endpoint: Endpoint,
}

// === impl Common ===

impl Common {
    /// Creates an upstream of a new version. Existing state of the upstream and its hosts is used
    /// again.
    pub(crate) fn of(
        states: &States,
        upstream: &ir::Upstream,
        policies: &[&engine::CircuitBreaker],
        discovery: &Discovery,
    ) -> Arc<Self> {
        let state = states.state(upstream);
        let breakers = policies.iter();
        let breakers = breakers.map(|named| (named.state, state.chain_breaker(named)));
        let breakers = breakers.collect();
        let common = Arc::new(Self::new(upstream, state, breakers, discovery));
        discovery.follow(&common);
        common
    }

    /// Creates the upstream, without hosts until [`Discovery::follow`] is called with it.
    pub(crate) fn new(
        upstream: &ir::Upstream,
        state: Arc<State>,
        breakers: Box<[(StateId, Arc<ChainBreaker>)]>,
        discovery: &Discovery,
    ) -> Self {
        let found = |target, refresh_ms| {
            TargetPlace::Discovered(discovery.source(HostQuery { target, refresh_ms }))
        };
        let written = upstream.targets.iter().map(|target| Target {
            place: match (target.socket(), target.host.parse()) {
                (Some(path), _) => TargetPlace::Address(Address::Unix(Path::new(path).into())),
                (None, Ok(address)) => {
                    TargetPlace::Address(SocketAddr::new(address, target.port).into())
                }
                (None, Err(_)) => {
                    let (name, port) = (target.host.as_str().into(), target.port);
                    found(QueryTarget::Addresses { name, port }, None)
                }
            },
            target: target.clone(),
        });
        let discovered = upstream.discovery.iter().map(|discovery| Target {
            // Hosts from service discovery use TLS if the upstream has TLS settings.
            target: ir::Target {
                tls: upstream.tls.is_some(),
                ..discovery.target()
            },
            place: match discovery {
                ir::Discovery::Dns(dns) => {
                    let name = dns.name.as_str().into();
                    let target = match dns.port {
                        Some(port) => QueryTarget::Addresses { name, port },
                        None => QueryTarget::Services { name },
                    };
                    found(target, dns.refresh_ms)
                }
                ir::Discovery::File(file) => {
                    let path = Path::new(&file.path).into();
                    found(QueryTarget::File { path }, None)
                }
            },
        });
        Self {
            state,
            breakers,
            lb: upstream.balance.lb,
            targets: written.chain(discovered).collect(),
            number: AtomicU64::new(0),
            set: ArcSwap::default(),
            exchange: Mutex::default(),
        }
    }

    /// Sources of the hosts that must be resolved.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Arc<Source>> + Clone {
        self.targets
            .iter()
            .filter_map(|target| match &target.place {
                TargetPlace::Address(_) => None,
                TargetPlace::Discovered(source) => Some(source),
            })
    }

    /// Current hosts of the upstream.
    pub(crate) fn set(&self) -> Arc<HostSet> {
        self.set.load_full()
    }

    /// True if `set` is still the current set.
    pub(crate) fn is_now(&self, set: &HostSet) -> bool {
        set.number == self.number.load(Ordering::Acquire)
    }

    /// Replaces the set by one with the current hosts of the sources. Hosts that stay keep their
    /// state.
    pub(crate) fn renew(&self, now_ms: u64) {
        let _one = self.exchange.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.set.load_full();
        let mut next = HostSet::of(self.members(), self.lb, &self.state, now_ms);
        next.number = before.number + 1;
        let number = next.number;
        for host in &next.hosts {
            host.listed();
        }
        self.set.store(Arc::new(next));
        self.number.store(number, Ordering::Release);
        for host in &before.hosts {
            host.unlisted();
        }
    }

    fn members(&self) -> Vec<Member> {
        let found: Vec<Vec<ResolvedHost>> =
            self.targets.iter().map(Target::resolved_hosts).collect();
        let weights = self.targets.iter().map(|target| target.target.weight);
        let groups: Vec<(u32, usize)> = weights.zip(found.iter().map(Vec::len)).collect();
        let shares = share_out(&groups);
        let all = self.targets.iter().zip(found).zip(shares);
        let all = all.flat_map(|((target, resolved_hosts), share)| {
            let weighs = target.weighs();
            let share = (!weighs).then_some(share);
            let member = |resolved: &ResolvedHost| target.member(resolved, share);
            resolved_hosts.iter().map(member).collect::<Vec<_>>()
        });
        let mut all: Vec<Member> = all.collect();
        all.sort_by_key(|member| member.priority);
        all.truncate(HOSTS_MAX);
        all
    }
}

impl Follower for Common {
    fn sources(&self) -> Vec<Arc<Source>> {
        Self::sources(self).cloned().collect()
    }

    fn renew(&self, now_ms: u64) {
        Self::renew(self, now_ms);
    }
}

impl Drop for Common {
    fn drop(&mut self) {
        for host in &self.set.load().hosts {
            host.unlisted();
        }
    }
}

impl Target {
    fn resolved_hosts(&self) -> Vec<ResolvedHost> {
        match &self.place {
            TargetPlace::Address(address) => vec![ResolvedHost {
                priority: 0,
                address: address.clone(),
                weight: 1,
                zone: None,
            }],
            TargetPlace::Discovered(source) => {
                source.places().iter().map(ResolvedHost::of).collect()
            }
        }
    }

    /// True if the resolved hosts have their own weights. Otherwise they share the target's weight.
    /// Only service discovery provides weights, and an upstream with service discovery has no other
    /// targets.
    fn weighs(&self) -> bool {
        match &self.place {
            TargetPlace::Address(_) => false,
            TargetPlace::Discovered(source) => source.query.target.has_weights(),
        }
    }

    fn member(&self, resolved: &ResolvedHost, share: Option<u32>) -> Member {
        let mut target = self.target.clone();
        target.port = resolved.address.port();
        target.weight = share.unwrap_or(resolved.weight);
        if let Some(zone) = &resolved.zone {
            target.zone = Some(zone.to_string());
        }
        if target.host.is_empty()
            && let Address::Inet(address) = resolved.address
        {
            target.host = address.ip().to_string();
        }
        Member {
            priority: resolved.priority,
            endpoint: Endpoint {
                address: resolved.address.clone(),
                target,
            },
        }
    }
}

impl ResolvedHost {
    fn of(place: &DiscoveredHost) -> Self {
        Self {
            priority: place.priority,
            address: place.address.into(),
            weight: place.weight,
            zone: place.zone.clone(),
        }
    }
}

// === impl HostSet ===

impl HostSet {
    fn of(members: Vec<Member>, lb: Lb, state: &Arc<State>, now_ms: u64) -> Self {
        let hosts = members.iter();
        let hosts = hosts.map(|member| state.host(&member.endpoint.address, now_ms));
        let hosts: Box<[Arc<Host>]> = hosts.collect();
        let names = hosts.iter().map(|host| &*host.name);
        let weights = members.iter().map(|member| member.endpoint.target.weight);
        let mut levels: Vec<u16> = Vec::with_capacity(members.len());
        for (at, member) in members.iter().enumerate() {
            let level = match at.checked_sub(1) {
                None => 0,
                Some(before) => {
                    let lower = members[before].priority < member.priority;
                    levels[before] + u16::from(lower)
                }
            };
            levels.push(level);
        }
        if levels.last() == Some(&0) {
            levels.clear();
        }
        Self {
            number: 0,
            table: Table::build(lb, names.zip(weights)),
            cookies: hosts.iter().map(|host| state.cookie(host)).collect(),
            levels: levels.into(),
            endpoints: members
                .into_iter()
                .map(|one| Arc::new(one.endpoint))
                .collect(),
            hosts,
        }
    }

    /// Number of the last priority level; 0 if all hosts have the same level.
    pub(crate) fn last_level(&self) -> u16 {
        self.levels.last().copied().unwrap_or(0)
    }

    /// True if the host at index `at` has this priority level.
    pub(crate) fn is_of_level(&self, at: usize, level: u16) -> bool {
        self.levels.is_empty() || self.levels[at] == level
    }
}
