//! The running process without its control thread: workers, sockets, and the running version.
//!
//! The node belongs to the control thread. Building, binding and publishing are separate steps, so
//! that a bundle can be persisted before it is published. Publishing cannot fail.

mod listening;
mod publishing;
mod refusal;
mod shadow;
pub(crate) mod thread;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bundle::digest::Digest;
use bundle::ir::addresses_collide;
use bundle::refused::Refused;
use engine::{Assembly, Parts};
use policy::auth::Place;
use policy::key_cell::KeyCell;
use policy::logged::SecretParameters;
use policy::{Revoked, Secrets};
use serde_json::json;

pub use crate::limits::budget::Bounds;
pub use crate::message::pace::TimeLimits;
pub use crate::settings::{AccessLog, Settings};
pub use crate::telemetry::log_file::Rotation;
pub use crate::telemetry::log_sampling::LogSampling;
pub use crate::telemetry::otlp::{Endpoint, ExportSettings, MetricSettings};
pub use crate::telemetry::signal::Signal;
pub use crate::telemetry::traces::Settings as TraceSettings;
pub use crate::telemetry::traces::b3::Form as B3Form;
pub(crate) use refusal::refused;
use refusal::unusable;

use crate::discovery::Discovery;
use crate::limits::measure;
use crate::listen::inherited::InheritedSockets;
use crate::listen::spread;
use crate::listen::{self, Bound};
use crate::metrics::registry::Registry;
use crate::node::thread::{COMMANDS_MAX, Command};
use crate::published::{Current, Live, Loaded, Shared};
use crate::quotas::QuotaWriter;
use crate::runtime::clock::Clock;
use crate::runtime::program_log::{Level, event};
use crate::runtime::vital::AbortOnPanic;
use crate::telemetry::access_log::{self, Sink};
use crate::telemetry::exporter::{Exporter, Signals};
use crate::telemetry::log_sampling::LogSampler;
use crate::telemetry::shard::Shard;
use crate::tls;
use crate::upstream::health::Prober;
use crate::upstream::hosts::Common;
use crate::upstream::shared::States;

/// Number of routes above which metrics show only the class of a status, to limit the number of
/// series.
const COARSE_ROUTES: usize = 500;
/// Maximum time for TCP handshakes in progress at an address that is not in a new version:
/// 500ms.
const HANDSHAKES: Duration = Duration::from_millis(500);
/// Like [`HANDSHAKES`], but when the process stops: 100ms. By then, load balancers have usually
/// stopped sending requests to this process.
const DRAIN_HANDSHAKES: Duration = Duration::from_millis(100);
/// Interval at which a drain checks for remaining connections: 10ms.
const DRAIN_TICK: Duration = Duration::from_millis(10);

/// Version that has been built and can be published.
#[derive(Clone, Debug)]
pub struct Version(pub(crate) Arc<Loaded>);

/// The running process, without its control thread.
pub struct Node {
    pub(crate) shared: Arc<Shared>,
    pub(crate) registry: Arc<Registry>,
    discovery: Arc<Discovery>,
    pub(crate) states: Arc<States>,
    prober: Arc<Prober>,
    workers: Vec<tokio::sync::mpsc::Sender<Command>>,
    settings: Settings,
    parts: Parts,
    /// Metric ids of the routes of each API, by the digest of its blob.
    route_uids: HashMap<[u8; 32], Arc<[u32]>>,
    /// Bound sockets, by socket id. `None` if the address was closed.
    bound: Vec<Option<(AddressKey, Bound)>>,
    /// Inherited sockets that no listener uses yet.
    inherited: Vec<InheritedSockets>,
    unused_versions: mpsc::Receiver<Arc<Current>>,
    epoch: u64,
    revoked: Arc<Revoked>,
    /// Certificates and CA certificates for clients of all versions.
    pub(crate) tls: tls::Store,
    /// Thread that exports telemetry by OTLP. `None`: nothing is exported.
    exporter: Option<Exporter>,
    /// Thread that saves the counters of quotas. `None` until the state folder is open.
    pub(crate) quotas: Option<QuotaWriter>,
}

/// Key of a bound address: the configured address, and the listener's name if the system chooses
/// the port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct AddressKey {
    address: SocketAddr,
    listener: Option<Box<str>>,
}

// === impl Node ===

impl Node {
    /// Starts the workers, without a version to serve.
    ///
    /// # Errors
    /// If threads cannot be started or the access log cannot be opened.
    pub fn start(settings: Settings) -> io::Result<Self> {
        let count = settings.workers.max(1);
        let (shared, unused_versions) = Shared::new(Clock::new(), count, &settings);
        let sink = match &settings.access_log {
            AccessLog::Off => Sink::Off,
            AccessLog::Stdout => Sink::Stdout,
            AccessLog::File(path) => Sink::File(path.clone(), None),
            AccessLog::Rotated(path, rotation) => Sink::File(path.clone(), Some(*rotation)),
        };
        let (announce, announced) = mpsc::channel();
        let states = Arc::<States>::default();
        let registry = Registry::new(Arc::clone(&shared), Arc::clone(&states), announced);
        let exporter = exporter(&settings, &shared, &registry)?;
        let trace_ratio = settings.traces.as_ref().map_or(0.0, |traces| traces.ratio);
        let sampler = settings.access_log_sampling;
        let sampler = sampler.map(|sampling| LogSampler::new(sampling, trace_ratio));
        let export = exporter.as_ref().and_then(Exporter::logs);
        let logs = (sampler, export.as_ref());
        let logs = access_log::start(&sink, count, &shared.process, &shared.tails, logs)?;
        let discovery = Discovery::start(shared.clock, settings.discovery.clone())?;
        let prober = Arc::new(Prober::start(shared.clock, Arc::clone(&states))?);
        discovery.on_change({
            let (prober, shared) = (Arc::clone(&prober), Arc::clone(&shared));
            move || prober.renew(|| shared.checks())
        });
        measure::start(&shared.budgets.memory)?;
        let (peers, ends) = spread::peers(count);
        let mut workers = Vec::with_capacity(count);
        for (index, (log, handed)) in logs.into_iter().zip(ends).enumerate() {
            let (sender, commands) = tokio::sync::mpsc::channel(COMMANDS_MAX);
            let (shared, announce) = (Arc::clone(&shared), announce.clone());
            let peers = Arc::clone(&peers);
            let tracer = exporter.as_ref().and_then(Exporter::tracer);
            std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || {
                    let _vital = AbortOnPanic;
                    let shard = Shard::new(announce, &shared.process);
                    let parts = thread::Parts {
                        index,
                        shared,
                        commands,
                        peers,
                        handed,
                        shard,
                        log,
                        tracer,
                    };
                    if let Err(error) = thread::run(parts) {
                        event(
                            Level::Error,
                            "a worker could not start",
                            json!({"error": error.to_string()}),
                        );
                    }
                })?;
            workers.push(sender);
        }
        Ok(Self {
            shared,
            registry,
            discovery,
            states,
            prober,
            workers,
            settings,
            parts: Parts::default(),
            route_uids: HashMap::new(),
            bound: Vec::new(),
            inherited: Vec::new(),
            unused_versions,
            epoch: 0,
            revoked: Arc::default(),
            tls: tls::Store::default(),
            exporter,
            quotas: None,
        })
    }

    /// Adds sockets that another process bound. [`Node::bind`] uses them for listeners with a
    /// matching address or name.
    pub(crate) fn inherit(&mut self, sockets: Vec<InheritedSockets>) {
        self.inherited.extend(sockets);
    }

    /// Closes inherited sockets that no listener uses.
    pub(crate) fn close_unwanted(&mut self) {
        for unwanted in self.inherited.drain(..) {
            event(
                Level::Warn,
                "an inherited socket is closed: no listener of the bundle has its address",
                json!({"name": unwanted.name, "address": unwanted.address.to_string()}),
            );
        }
    }

    /// Listening sockets: for each address the listener's name, the configured address, the actual
    /// address, and the sockets.
    pub(crate) fn descriptors(&self) -> Vec<(String, SocketAddr, SocketAddr, Vec<BorrowedFd<'_>>)> {
        let bound = self.bound.iter().flatten();
        bound
            .filter(|(_, bound)| bound.listening)
            .map(|(wanted, bound)| {
                let name = bound.socket.name.to_string();
                (name, wanted.address, bound.address, bound.descriptors())
            })
            .collect()
    }

    /// Built APIs and shared objects, which the snapshots of all versions in memory share.
    pub fn parts(&mut self) -> &mut Parts {
        &mut self.parts
    }

    /// Builds a version of a gateway configuration.
    ///
    /// # Errors
    /// If the version cannot run. The error is the reason.
    pub fn build(
        &mut self,
        assembly: &Assembly,
        bundle: Digest,
        secrets: &dyn Secrets,
    ) -> Result<Version, Refused> {
        let snapshot = engine::build(assembly, &bundle.to_string(), secrets, &mut self.parts)
            .map_err(refused)?;
        let own = assembly.apis.iter().flat_map(|api| api.policies());
        let policies = assembly.shared.policies.iter().chain(own);
        for policy in policies {
            let quota = match policy.checked {
                policy::Checked::RateLimit(_) => false,
                policy::Checked::Quota(_) => true,
                _ => continue,
            };
            let tables = self.shared.limits.tables(quota);
            tables.into_iter().for_each(policy::RateTable::warm);
        }
        let listeners = assembly.shared.listeners.iter();
        let tls_listeners = listeners.map(|listener| {
            let tls = listener.tls();
            tls.map(|tls| self.tls.tls_listener(tls, listener.http2, secrets))
                .transpose()
        });
        let tls_listeners = tls_listeners.collect::<Result<_, _>>().map_err(unusable)?;
        let connectors = snapshot.upstreams().iter().map(|upstream| {
            let tls = upstream.tls.as_ref();
            tls.map(|tls| self.tls.connector(tls, secrets)).transpose()
        });
        let connectors = connectors.collect::<Result<_, _>>().map_err(unusable)?;
        let names = &self.registry.names;
        let route_uids = assembly.apis.iter().map(|api| {
            let known = self.route_uids.entry(*api.digest());
            Arc::clone(known.or_insert_with(|| {
                let routes = api.routes();
                names.routes(routes.map(|(id, template)| (id.as_str(), template)))
            }))
        });
        let route_uids = route_uids.collect();
        let upstreams = snapshot.upstreams();
        let breakers = breakers(&snapshot);
        let commons = upstreams.iter();
        let commons =
            commons.map(|upstream| Common::of(&self.states, upstream, &breakers, &self.discovery));
        let commons = commons.collect();
        let schemes = assembly.apis.iter().flat_map(|api| api.schemes());
        let secret_parameters: Vec<&str> = schemes
            .filter_map(|scheme| match &scheme.place {
                Place::Query(name) => Some(name.as_str()),
                Place::Header(_)
                | Place::Cookie(_)
                | Place::Authorization(_)
                | Place::Certificate => None,
            })
            .collect();
        Ok(Version(Arc::new(Loaded {
            bundle,
            tls_listeners,
            upstream_uids: upstreams
                .iter()
                .map(|upstream| names.number(&upstream.name))
                .collect(),
            connectors,
            commons,
            secret_parameters: SecretParameters::new(&secret_parameters),
            validators: assembly
                .apis
                .iter()
                .map(|api| self.shared.validators.of(api))
                .collect(),
            coarse_status: snapshot.route_count() > COARSE_ROUTES,
            route_uids,
            snapshot,
            _live: Live::new(&self.shared.live),
        })))
    }

    /// Waits until all sources of a version's hosts have an answer, at most for `limit`. Requests
    /// to upstreams without known hosts fail until there is an answer.
    pub fn wait_for_hosts(&self, version: &Version, limit: Duration) {
        let sources = version.0.commons.iter().flat_map(|common| common.sources());
        let open = self.discovery.wait(&sources.collect::<Vec<_>>(), limit);
        if open > 0 {
            event(
                Level::Warn,
                "some upstreams have no hosts yet; requests to them fail until their hosts are found",
                json!({"names": open, "waited_ms": limit.as_millis()}),
            );
        }
    }

    /// Fetches the key sets that the new version adds, so that its first requests do not wait for
    /// them. Ends after `limit`; the fetches in progress continue, and requests wait for them.
    pub fn fetch_keys(&self, version: &Version, limit: Duration) {
        let current = self.shared.current();
        let known = current
            .as_ref()
            .map_or(&[][..], |current| current.loaded.snapshot.key_cells());
        let is_new = |cell: &&Arc<KeyCell>| {
            cell.set().is_none() && !known.iter().any(|one| Arc::ptr_eq(one, cell))
        };
        let cells = version.0.snapshot.key_cells();
        let new: Vec<Arc<KeyCell>> = cells.iter().filter(is_new).cloned().collect();
        if new.is_empty() {
            return;
        }
        let (done, ended) = mpsc::channel();
        let loaded = Arc::clone(&version.0);
        self.command(0, Command::FetchKeys(loaded, new.clone(), done));
        // The worker drops the sender after the last fetch.
        let _ended = ended.recv_timeout(limit);
        let missing = new.iter().filter(|cell| cell.set().is_none());
        let missing: Vec<&str> = missing.map(|cell| cell.source().url()).collect();
        if !missing.is_empty() {
            event(
                Level::Warn,
                "some key sets are not fetched yet; requests that need them wait or are refused",
                json!({"sources": missing, "waited_max_ms": limit.as_millis()}),
            );
        }
    }

    /// Compiles validators of the new version for all operations with compiled validators in the
    /// running version. The first requests after the switch then do not wait for a compilation.
    /// Ends after `limit`; requests compile the remaining validators.
    pub fn warm_validators(&self, version: &Version, limit: Duration) {
        let Some(current) = self.shared.current() else {
            return;
        };
        let clock = &self.shared.clock;
        let began_ms = clock.now_ms();
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let may_continue = || clock.now_ms().saturating_sub(began_ms) < limit_ms;
        let before = &current.loaded.validators;
        let left: usize = version
            .0
            .validators
            .iter()
            .flatten()
            .filter_map(|api| {
                let mut before = before.iter().flatten();
                let was = before.find(|one| one.name() == api.name())?;
                Some(api.warm(was, may_continue))
            })
            .sum();
        if left > 0 {
            event(
                Level::Warn,
                "some validators are not compiled yet; the first requests that need them wait",
                json!({"validators": left, "waited_ms": limit.as_millis()}),
            );
        }
    }

    /// Binds the addresses of a version that are not bound yet. On failure, nothing changes.
    ///
    /// # Errors
    /// [`Refused::PortBusy`] if an address cannot be bound.
    pub fn bind(&mut self, version: &Version) -> Result<(), Refused> {
        self.warn_of_strange_overrides(version);
        self.refuse_colliding_overrides(version)?;
        let before = self.bound.len();
        for listener in version.0.snapshot.listeners() {
            let wanted = self.address_key(&listener.name, listener.address);
            if self.find(&wanted).is_some() {
                continue;
            }
            let id = u32::try_from(self.bound.len()).unwrap_or(u32::MAX);
            let suits = |one: &InheritedSockets| one.suits(&listener.name, wanted.address);
            if let Some(at) = self.inherited.iter().position(suits) {
                let InheritedSockets {
                    address, sockets, ..
                } = self.inherited.swap_remove(at);
                let bound = listen::adopt(id, &listener.name, address, sockets);
                self.bound.push(Some((wanted, bound)));
                continue;
            }
            let mut ours = self.bound.iter().flatten();
            let beside_ours =
                ours.any(|(_, bound)| addresses_collide(bound.address, wanted.address));
            let workers = self.workers.len();
            match listen::bind(id, &listener.name, wanted.address, workers, beside_ours) {
                Ok(bound) => self.bound.push(Some((wanted, bound))),
                Err(error) => {
                    self.bound.truncate(before);
                    return Err(Refused::PortBusy {
                        address: format!("{}: {}", wanted.address, listen::bind_error(&error)),
                    });
                }
            }
        }
        Ok(())
    }

    /// Frees unused versions, closes addresses that no version in memory names, and removes the
    /// metrics of names that have been unused for a long time. Called every few seconds.
    pub fn tidy(&mut self, residents: &[Version]) {
        self.free_unused_versions();
        let wanted: Vec<AddressKey> = residents
            .iter()
            .flat_map(|version| version.0.snapshot.listeners())
            .map(|listener| self.address_key(&listener.name, listener.address))
            .collect();
        for slot in &mut self.bound {
            if let Some((address, bound)) = slot
                && !bound.listening
                && !wanted.contains(address)
            {
                *slot = None;
            }
        }
        self.parts.prune();
        self.discovery.tidy();
        self.states.tidy();
        self.shared.stores.tidy(self.shared.clock.now_ms());
        let loaded = residents.iter().map(|version| &version.0.snapshot);
        let apis: HashSet<&[u8; 32]> = loaded
            .flat_map(|snapshot| snapshot.apis().map(|api| api.digest()))
            .collect();
        self.route_uids.retain(|digest, _| apis.contains(digest));
        let routes = self.route_uids.values().flat_map(|uids| uids.iter());
        let upstreams = residents
            .iter()
            .flat_map(|version| &version.0.upstream_uids);
        let used: HashSet<u32> = routes.chain(upstreams).copied().collect();
        self.registry.retain(&used, self.shared.clock.now_ms());
        self.publish_connections();
    }

    /// Number of snapshots in memory, including those that a request still uses.
    #[must_use]
    pub fn snapshots_live(&self) -> i64 {
        self.free_unused_versions();
        self.shared.live.load(Ordering::Relaxed)
    }

    /// Loads certificates and CA certificates for clients whose secrets have changed, if they are
    /// valid, and updates the metrics of their expiry times. Called after the secrets have been
    /// read again.
    pub fn refresh_tls(&mut self) {
        if self.tls.refresh() {
            // Open responses and tunnels of clients that the new rules refuse must end.
            for index in 0..self.workers.len() {
                self.command(index, Command::Wake);
            }
        }
        let current = self.shared.current();
        let mut expiries = BTreeMap::new();
        let versions = || current.iter().flat_map(|current| current.versions());
        let tls_listeners = versions().flat_map(|loaded| &loaded.tls_listeners);
        for (name, not_after_s) in tls_listeners
            .flatten()
            .flat_map(|tls_listener| tls_listener.expiries())
        {
            keep_earliest(&mut expiries, name.to_owned(), not_after_s);
        }
        for loaded in versions() {
            let upstreams = loaded.snapshot.upstreams().iter();
            for (upstream, connector) in upstreams.zip(&loaded.connectors) {
                if let Some(end) = connector.as_ref().and_then(|one| one.expiry()) {
                    keep_earliest(&mut expiries, format!("upstream/{}", upstream.name), end);
                }
            }
        }
        self.registry.bundles().certificates = expiries;
    }

    /// All metrics in the Prometheus text format.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.registry.text()
    }

    /// Stops accepting, ends every connection gracefully, and waits until all have ended, until the
    /// time limit, or until `impatient` returns true. Returns the number of connections left.
    pub fn drain(&mut self, timeout: Duration, impatient: &dyn Fn() -> bool) -> u64 {
        let none: Box<[Option<usize>]> = (0..self.bound.len()).map(|_| None).collect();
        for index in 0..self.workers.len() {
            self.command(index, Command::Drain(Duration::ZERO));
        }
        let left = self.leave_others(&none, DRAIN_HANDSHAKES);
        while left.recv().is_ok() {}
        self.wait_for_connections(timeout, impatient)
    }

    /// Drains while another process already accepts on the same sockets. The sockets stay
    /// unchanged, and WebSockets are served until shortly before the time limit. Returns the number
    /// of connections left.
    pub fn leave_to_successor(&mut self, timeout: Duration, impatient: &dyn Fn() -> bool) -> u64 {
        for index in 0..self.workers.len() {
            for id in (0u32..).take(self.bound.len()) {
                self.command(index, Command::Abandon(id));
            }
            let tunnels = timeout.saturating_sub(self.settings.websocket_drain);
            self.command(index, Command::Drain(tunnels));
        }
        self.wait_for_connections(timeout, impatient)
    }

    /// Waits until no connection is left, until the time limit, or until `impatient` returns true.
    /// Returns the number of connections left.
    fn wait_for_connections(&self, timeout: Duration, impatient: &dyn Fn() -> bool) -> u64 {
        let end = Instant::now() + timeout;
        loop {
            let left = self.connections();
            if left == 0 || Instant::now() >= end || impatient() {
                let forced = &self.shared.process.forced_closes;
                forced.fetch_add(left, Ordering::Relaxed);
                self.shared.stores.return_leases();
                if let Some(exporter) = &self.exporter {
                    exporter.finish();
                }
                return left;
            }
            std::thread::sleep(DRAIN_TICK);
        }
    }

    /// Number of open client connections.
    #[must_use]
    pub fn connections(&self) -> u64 {
        let sockets = self.bound.iter().flatten();
        sockets
            .map(|(_, bound)| bound.socket.connections.load(Ordering::Relaxed))
            .sum()
    }

    /// Load of each worker: 1 for each connection and 8 for each HTTP/2 stream.
    #[must_use]
    pub fn loads(&self) -> Vec<u64> {
        self.shared.loads.all()
    }

    fn command(&self, index: usize, command: Command) {
        if self.workers[index].blocking_send(command).is_err() {
            // A worker that panics ends the process; see [`AbortOnPanic`].
            event(Level::Error, "a worker has ended", json!({"worker": index}));
        }
    }

    fn publish_connections(&self) {
        let sockets = self.bound.iter().flatten();
        self.registry.bundles().connections = sockets
            .map(|(_, bound)| (bound.socket.name.to_string(), Arc::clone(&bound.socket)))
            .collect();
    }

    /// Frees the versions that workers no longer use and have sent to the control thread.
    pub(crate) fn free_unused_versions(&self) {
        while self.unused_versions.try_recv().is_ok() {}
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Version {
    /// Bundle that the version was built from.
    #[must_use]
    pub fn bundle(&self) -> Digest {
        self.0.bundle
    }

    /// Number of routes of the version.
    #[must_use]
    pub fn routes(&self) -> usize {
        self.0.snapshot.route_count()
    }
}

/// Starts the thread that exports telemetry. `None`: nothing is exported.
fn exporter(
    settings: &Settings,
    shared: &Arc<Shared>,
    registry: &Arc<Registry>,
) -> io::Result<Option<Exporter>> {
    let signals = Signals {
        traces: settings.traces.as_ref(),
        metrics: settings.metric_export.as_ref(),
        logs: settings.log_export.as_ref(),
    };
    let collected = Arc::clone(registry);
    let collect = move || collected.collect();
    Exporter::start(signals, shared.clock, &shared.process, collect)
}

/// Adds the expiry time of a certificate (Unix time, seconds). Listeners, or the upstreams of two
/// versions, may have certificates with the same name: the earliest expiry is shown.
fn keep_earliest(expiries: &mut BTreeMap<String, i64>, name: String, not_after_s: i64) {
    let end = expiries.entry(name).or_insert(not_after_s);
    *end = not_after_s.min(*end);
}

/// Circuit breakers of all policies, without duplicates. Every upstream gets all these breakers,
/// because a split may send a request to any upstream, and an unused breaker costs nothing.
fn breakers(snapshot: &engine::Snapshot) -> Vec<&engine::CircuitBreaker> {
    let mut all: Vec<&engine::CircuitBreaker> = Vec::new();
    for route in snapshot.routes() {
        for breaker in &route.treatment.breakers {
            if !all.iter().any(|known| known.state == breaker.state) {
                all.push(breaker);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earliest_expiry_of_equal_names_is_shown() {
        let mut expiries = BTreeMap::new();
        for not_after_s in [2, 1, 3] {
            keep_earliest(&mut expiries, "upstream/main".to_owned(), not_after_s);
        }
        assert_eq!(expiries["upstream/main"], 1);
    }
}
