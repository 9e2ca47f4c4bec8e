//! State of an upstream that all workers share: load, health, and limits.
//!
//! There is one [`State`] per upstream and process. Its key is the state id that gwc computes, so
//! that the state outlives snapshots. There is one [`Host`] per address. All limits and health data
//! are in atomics. Guards return permits when they are dropped, however an exchange ends
//! (data-plane.md §7). The current hosts of an upstream are in [`Common`](super::hosts::Common).

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bundle::ir;
use policy::StateId;
use policy::network::{NetworkCounts, Networks, Places};

use crate::limits::crowding;
use crate::limits::hashing::KeyedHash;
use crate::upstream::address::Address;
use crate::upstream::breaker::VersionBreakers;
use crate::upstream::checks::{Checks, Verdict};
use crate::upstream::connection_shares::ConnectionShares;
use crate::upstream::connections::Connections;
use crate::upstream::logged_states::LoggedStates;
use crate::upstream::reach::Reach;
use crate::upstream::sharing::STREAMS_ASSUMED;
use crate::upstream::tally::Tally;

/// States of the upstreams of all versions in memory.
#[derive(Debug, Default)]
pub(crate) struct States {
    states: Mutex<HashMap<StateId, Weak<State>>>,
}

/// Number of request counters for each network size (IPv6 /64, /56 and /48; IPv4 address and /24).
/// Addresses whose hashes select the same counter have one common share of the permits.
const ADDRESSES: usize = 512;
/// Minimum of `limits.requests` for which the share of each client address is limited.
const SHARED_FROM: u64 = 128;

type Hosts = HashMap<Address, Weak<Host>>;

/// State of one upstream, shared by all workers and versions.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) name: Box<str>,
    hosts: Mutex<Hosts>,
    /// Requests in progress, including retries and the waits before them.
    pub(crate) requests: CacheAligned<AtomicU64>,
    /// Requests in progress that began while more than half of the permits were used, by client
    /// address and network. The hashes of an address and its networks select the counters.
    crowding: NetworkCounts,
    hashing: KeyedHash,
    /// Requests in progress whose clients have not yet sent the complete body.
    pub(crate) unfinished: CacheAligned<AtomicU64>,
    /// Requests in progress whose clients send the body slowly.
    pub(crate) slow: CacheAligned<AtomicU64>,
    /// Requests that wait for a connection.
    pub(crate) pending: CacheAligned<AtomicU64>,
    pub(crate) connections: CacheAligned<Connections>,
    pub(crate) connection_shares: Arc<ConnectionShares>,
    /// Maximum concurrent streams on an HTTP/2 connection, as last announced by a host, at most
    /// [`STREAMS_ASSUMED`].
    pub(crate) streams: AtomicU64,
    /// Retries in progress, or waiting to begin.
    pub(crate) retries: CacheAligned<AtomicU64>,
    pub(crate) breaker: VersionBreakers,
    /// Circuit breakers of policies at this upstream, by the id of the policy's state.
    chain_breakers: Mutex<HashMap<StateId, Weak<ChainBreaker>>>,
    /// True while one request decides if a host is ejected. Other requests then skip the decision;
    /// a later failure triggers it again.
    pub(crate) ejecting: AtomicBool,
    /// End of the current interval of outlier detection, in milliseconds of the clock.
    pub(crate) interval_ends_ms: AtomicU64,
    /// Number of retries that the retry budget rejected.
    pub(crate) exhausted: AtomicU64,
    /// Number of retries that were not made, because the body could not be sent again.
    pub(crate) unrepeatable: AtomicU64,
    /// State of the upstream as last reported in the program log.
    pub(crate) logged: LoggedStates,
}

/// Circuit breaker of a policy (kind `circuit_breaker`) at one upstream.
#[derive(Debug)]
pub(crate) struct ChainBreaker {
    /// Name of the policy.
    pub(crate) policy: Box<str>,
    pub(crate) breaker: VersionBreakers,
    /// State of the breaker as last reported in the program log.
    pub(crate) logged: LoggedStates,
}

/// Host of an upstream, with its state.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Host {
    /// Address of the host: `ADDRESS:PORT` or `unix:PATH`.
    pub(crate) name: Box<str>,
    /// Number of upstreams, in versions in memory, that have the host in their current set.
    listed: AtomicU32,
    /// Requests in progress at the host.
    pub(crate) active: AtomicU32,
    /// End of the last ejection by outlier detection, in milliseconds of the clock; 0 if there was
    /// none.
    pub(crate) ejected_until_ms: AtomicU64,
    /// Times until which other hosts are preferred because a connection attempt failed, in
    /// milliseconds of the clock. The first time is that of the running version, the second that of
    /// the candidate beside it. Settings of the candidate, such as those for TLS, may cause its
    /// failures.
    unreachable_until_ms: [AtomicU64; 2],
    pub(crate) reach: Reach,
    /// Time at which the host was added, in milliseconds of the clock. Used for slow start.
    since_ms: u64,
    pub(crate) tally: Tally,
    pub(crate) checks: Checks,
    pub(crate) breaker: VersionBreakers,
    /// State of the host as last reported in the program log.
    pub(crate) logged: LoggedStates,
}

/// Value that is aligned to its own cache lines, so that workers do not slow each other down by
/// false sharing.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct CacheAligned<T>(pub(crate) T);

/// Request in progress at an upstream; counted until the end of its response, when this value is
/// dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(super) state: Arc<State>,
    /// Maximum number of requests that the upstream receives at the same time, in the version that
    /// the request uses.
    pub(super) concurrent: u64,
    /// Address of the client. `None` for a request of the gateway itself.
    pub(super) client: Option<IpAddr>,
    /// Counters in [`State::crowding`] that count this request. `None`: the request is not counted.
    crowding: Option<Places>,
}

/// Request in progress at a host; counted until this value is dropped.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Host>);

/// Request that waits for a connection; counted until this value is dropped.
#[derive(Debug)]
pub(crate) struct Pending<'a>(&'a State);

// === impl States ===

impl States {
    /// Calls `see` for every upstream of the versions in memory.
    pub(crate) fn each(&self, mut see: impl FnMut(&State)) {
        let mut states = lock(&self.states);
        states.retain(|_, state| match state.upgrade() {
            Some(state) => {
                see(&state);
                true
            }
            None => false,
        });
    }

    /// Drops the state of upstreams and hosts that no version in memory uses.
    pub(crate) fn tidy(&self) {
        self.each(State::tidy);
    }

    /// State of an upstream: that of its other versions, or a new one.
    pub(super) fn state(&self, upstream: &ir::Upstream) -> Arc<State> {
        let mut states = lock(&self.states);
        if let Some(known) = states.get(&upstream.state).and_then(Weak::upgrade) {
            return known;
        }
        let state = Arc::new(State::new(&upstream.name));
        states.insert(upstream.state, Arc::downgrade(&state));
        state
    }
}

// === impl State ===

impl State {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            hosts: Mutex::default(),
            requests: CacheAligned::default(),
            crowding: NetworkCounts::new(ADDRESSES),
            hashing: KeyedHash::default(),
            unfinished: CacheAligned::default(),
            slow: CacheAligned::default(),
            pending: CacheAligned::default(),
            connections: CacheAligned::default(),
            connection_shares: ConnectionShares::new(),
            streams: AtomicU64::new(STREAMS_ASSUMED as u64),
            retries: CacheAligned::default(),
            breaker: VersionBreakers::default(),
            chain_breakers: Mutex::default(),
            ejecting: AtomicBool::new(false),
            interval_ends_ms: AtomicU64::new(0),
            exhausted: AtomicU64::new(0),
            unrepeatable: AtomicU64::new(0),
            logged: LoggedStates::default(),
        }
    }

    /// Hosts that a version in memory or a request in progress uses, sorted by name.
    pub(crate) fn hosts(&self) -> Vec<Arc<Host>> {
        let hosts = lock(&self.hosts);
        let mut all: Vec<Arc<Host>> = hosts.values().filter_map(Weak::upgrade).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Drops hosts and breakers that no version in memory uses.
    fn tidy(&self) {
        lock(&self.hosts).retain(|_, host| host.strong_count() > 0);
        lock(&self.chain_breakers).retain(|_, breaker| breaker.strong_count() > 0);
    }

    /// Circuit breakers of policies in the versions in memory, sorted by policy.
    pub(crate) fn chain_breakers(&self) -> Vec<Arc<ChainBreaker>> {
        let mut breakers = lock(&self.chain_breakers);
        breakers.retain(|_, breaker| breaker.strong_count() > 0);
        let mut all: Vec<_> = breakers.values().filter_map(Weak::upgrade).collect();
        all.sort_by(|a, b| a.policy.cmp(&b.policy));
        all
    }

    /// Closes the circuit breakers of the candidate, because a new candidate begins to serve
    /// requests beside the running version.
    pub(crate) fn forget_candidate(&self) {
        self.breaker.forget_candidate();
        for named in self.chain_breakers() {
            named.breaker.forget_candidate();
        }
        for host in self.hosts() {
            host.breaker.forget_candidate();
        }
    }

    /// Returns the breaker of a policy at this upstream. Creates it if there is none yet.
    pub(super) fn chain_breaker(&self, named: &engine::CircuitBreaker) -> Arc<ChainBreaker> {
        let mut breakers = lock(&self.chain_breakers);
        if let Some(known) = breakers.get(&named.state).and_then(Weak::upgrade) {
            return known;
        }
        let breaker = Arc::new(ChainBreaker {
            policy: named.policy.clone(),
            breaker: VersionBreakers::default(),
            logged: LoggedStates::default(),
        });
        breakers.insert(named.state, Arc::downgrade(&breaker));
        breaker
    }

    /// Returns the host with an address. Creates it if there is none yet.
    pub(crate) fn host(&self, address: &Address, now_ms: u64) -> Arc<Host> {
        let mut hosts = lock(&self.hosts);
        if let Some(known) = hosts.get(address).and_then(Weak::upgrade) {
            return known;
        }
        let host = Arc::new(Host::new(address, now_ms));
        hosts.insert(address.clone(), Arc::downgrade(&host));
        host
    }

    /// Value of the affinity cookie for a host. The value does not reveal the host's address.
    pub(crate) fn cookie(&self, host: &Host) -> Box<str> {
        let text = format!("gwd sticky\0{}\0{}", self.name, host.name);
        let digest = bundle::digest::Digest::of(text.as_bytes());
        let bytes = digest.as_bytes()[..12].iter();
        bytes.map(|byte| format!("{byte:02x}")).collect()
    }

    /// Counts a request of a client in progress. `None` if the maximum `limits.requests` is
    /// reached. `concurrent` is the maximum number of requests that the upstream receives at the
    /// same time. Each client address has a share of this number.
    pub(crate) fn begin(
        self: &Arc<Self>,
        requests_max: u64,
        concurrent: u64,
        client: Option<IpAddr>,
    ) -> Option<InFlight> {
        if !take(&self.requests.0, requests_max) {
            return None;
        }
        let is_half_full = self.requests.0.load(Ordering::Relaxed) > concurrent / 2;
        let crowding = client.filter(|_| is_half_full).map(|client| {
            let places = Networks::of(client).places(|bytes| self.hashing.hash_one(bytes));
            self.crowding.add(places);
            places
        });
        Some(InFlight {
            state: Arc::clone(self),
            concurrent,
            client,
            crowding,
        })
    }

    /// Counts a request that waits for a connection. `None` if the maximum is reached.
    pub(crate) fn wait(&self, pending_max: u64) -> Option<Pending<'_>> {
        take(&self.pending.0, pending_max).then(|| Pending(self))
    }
}

// === impl Host ===

impl Host {
    pub(crate) fn new(address: &Address, now_ms: u64) -> Self {
        Self {
            name: address.to_string().into(),
            listed: AtomicU32::new(0),
            active: AtomicU32::new(0),
            ejected_until_ms: AtomicU64::new(0),
            unreachable_until_ms: [0; 2].map(AtomicU64::new),
            reach: Reach::default(),
            since_ms: now_ms,
            tally: Tally::default(),
            checks: Checks::default(),
            breaker: VersionBreakers::default(),
            logged: LoggedStates::default(),
        }
    }

    /// Records that the current set of an upstream has the host.
    pub(crate) fn listed(&self) {
        self.listed.fetch_add(1, Ordering::Relaxed);
    }

    /// Records that the current set of an upstream no longer has the host.
    pub(crate) fn unlisted(&self) {
        self.listed.fetch_sub(1, Ordering::Relaxed);
    }

    /// True if no current set of an upstream has the host.
    pub(crate) fn has_left(&self) -> bool {
        self.listed.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn is_ejected(&self, now_ms: u64) -> bool {
        self.ejected_until_ms.load(Ordering::Relaxed) > now_ms
    }

    /// Remaining milliseconds of an ejection by outlier detection, or `None` if the host is not
    /// ejected.
    pub(crate) fn ejection_left_ms(&self, now_ms: u64) -> Option<u64> {
        let until_ms = self.ejected_until_ms.load(Ordering::Relaxed);
        until_ms.checked_sub(now_ms).filter(|left_ms| *left_ms > 0)
    }

    /// True if the host is neither ejected nor failing its health checks.
    pub(crate) fn works(&self, now_ms: u64) -> bool {
        self.checks.verdict() != Verdict::Fails && !self.is_ejected(now_ms)
    }

    /// Time until which other hosts are preferred for requests of the candidate, or of the running
    /// version, in milliseconds of the clock.
    pub(crate) fn unreachable_until_ms(&self, is_candidate: bool) -> &AtomicU64 {
        &self.unreachable_until_ms[usize::from(is_candidate)]
    }

    /// True if the candidate, or the running version, prefers other hosts.
    pub(crate) fn is_unreachable(&self, is_candidate: bool, now_ms: u64) -> bool {
        let until_ms = self.unreachable_until_ms(is_candidate);
        until_ms.load(Ordering::Relaxed) > now_ms
    }

    /// Milliseconds since the host last began to get requests: when it was added, when its last
    /// ejection ended, or when its health checks passed again.
    pub(crate) fn age_ms(&self, now_ms: u64) -> u64 {
        let since = self
            .since_ms
            .max(self.ejected_until_ms.load(Ordering::Relaxed))
            .max(self.checks.works_since_ms.load(Ordering::Relaxed));
        now_ms.saturating_sub(since)
    }

    /// Ends an ejection by outlier detection, because the host works again, and resets the
    /// consecutive counters.
    pub(crate) fn let_in(&self, now_ms: u64) {
        if self.is_ejected(now_ms) {
            self.tally.clear();
            self.ejected_until_ms.store(now_ms, Ordering::Relaxed);
        }
    }

    /// Counts a request in progress at the host.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.active.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }
}

/// Increments a counter, unless it has reached `most`. Returns true if it was incremented.
pub(crate) fn take(count: &AtomicU64, most: u64) -> bool {
    let before = count.fetch_add(1, Ordering::Relaxed);
    let fits = before < most;
    if !fits {
        count.fetch_sub(1, Ordering::Relaxed);
    }
    fits
}

impl InFlight {
    /// True if requests hold more than three quarters of the permits of the upstream.
    pub(super) fn is_crowded(&self) -> bool {
        let room = self.concurrent / 4;
        self.state.requests.0.load(Ordering::Relaxed) > self.concurrent - room
    }

    /// True if the client's address uses more than a quarter of the permits, or one of its networks
    /// more than three eighths. Only requests that began while at least half of the permits were in
    /// use are counted. Always false below [`SHARED_FROM`] permits: one client may use all permits
    /// of a small limit.
    pub(super) fn exceeds_share(&self) -> bool {
        // The request itself is counted already.
        let exceeds = |places: Places| {
            let counts = self.state.crowding.counts(places);
            crowding::exceeds_share(counts.map(|count| count.saturating_sub(1)), self.concurrent)
        };
        self.concurrent >= SHARED_FROM && self.crowding.is_some_and(exceeds)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.state.requests.0.fetch_sub(1, Ordering::Relaxed);
        if let Some(places) = self.crowding {
            self.state.crowding.remove(places);
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.pending.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_are_returned_on_drop_and_bounded() {
        let state = Arc::new(State::new("u"));
        let one = state.begin(2, 2, None);
        let two = state.begin(2, 2, None);
        assert!(one.is_some() && two.is_some());
        assert!(state.begin(2, 2, None).is_none());
        drop(one);
        assert!(state.begin(2, 2, None).is_some());
        drop(two);
        assert_eq!(state.requests.0.load(Ordering::Relaxed), 0);
        assert!(state.wait(0).is_none());
        assert_eq!(state.pending.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn state_of_an_unused_host_is_dropped() {
        let state = State::new("u");
        let address = |port| Address::from(std::net::SocketAddr::from(([127, 0, 0, 1], port)));
        let one = state.host(&address(1), 0);
        drop(state.host(&address(2), 0));
        state.tidy();
        let known = lock(&state.hosts).keys().cloned().collect::<Vec<_>>();
        assert_eq!(known, [address(1)]);
        assert!(Arc::ptr_eq(&one, &state.host(&address(1), 5)));
    }

    #[test]
    fn candidate_marks_no_host_of_the_running_version() {
        let host = Host::new(&std::net::SocketAddr::from(([127, 0, 0, 1], 1)).into(), 0);
        for is_candidate in [true, false] {
            let until_ms = host.unreachable_until_ms(is_candidate);
            until_ms.store(1_000, Ordering::Relaxed);
            assert!(host.is_unreachable(is_candidate, 999));
            assert!(!host.is_unreachable(!is_candidate, 999));
            until_ms.store(0, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_host_that_is_let_in_again_begins_slowly() {
        let host = Host::new(
            &"[::1]:80".parse::<std::net::SocketAddr>().unwrap().into(),
            1_000,
        );
        assert_eq!(&*host.name, "[::1]:80");
        assert_eq!(host.age_ms(3_000), 2_000);
        host.ejected_until_ms.store(90_000, Ordering::Relaxed);
        assert!(host.is_ejected(50_000) && !host.is_ejected(90_000));
        assert_eq!(host.age_ms(91_000), 1_000);
    }
}
