//! Counters of one worker. Only this worker writes them; a scrape reads them.
//!
//! An atomic counter that several threads write costs 14 ns under contention, and a histogram 96 ns
//! (observability.md §1). A counter with one writer costs one load and one store. The worker
//! announces a new series to the registry.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, mpsc};

use http::Method;
use rustc_hash::FxHashMap;

use crate::runtime::clock::unix_ms;
use crate::telemetry::cells::{add, change_by, value};
use crate::telemetry::exemplar::{BucketExemplars, Exemplar, ExemplarCells};
use crate::telemetry::histogram::{BOUNDS_NS, Counted, Histogram, bucket};
use crate::telemetry::names::UNMATCHED;
use crate::telemetry::process::Counters;
use crate::telemetry::refusals::RefusalCounts;
use crate::tls::accept::Outcome;

/// Methods that metrics distinguish. `_OTHER` is the label of every other method.
pub(crate) const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "_OTHER",
];

/// Index of a method in [`METHODS`].
pub(crate) fn method_index(method: &Method) -> u8 {
    match *method {
        Method::GET => 0,
        Method::HEAD => 1,
        Method::POST => 2,
        Method::PUT => 3,
        Method::DELETE => 4,
        Method::OPTIONS => 5,
        Method::PATCH => 6,
        Method::TRACE => 7,
        _ => 8,
    }
}

/// Label that is compared by its address, because comparing text cost 1.7 % of a request. Equal
/// text at two addresses makes two series, which a scrape adds up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label(pub(crate) &'static str);

/// Labels of a series of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RequestKey {
    pub(crate) route: u32,
    pub(crate) method: u8,
    /// Status such as 200, or its class (2) if metrics show only classes.
    pub(crate) status: u16,
    /// HTTP version: 10 for 1.0, 11 for 1.1, 20 for 2.
    pub(crate) version: u8,
    /// True if the request arrived over TLS.
    pub(crate) tls: bool,
    /// Reason of an error (`error_type` in metrics); empty if there was none.
    pub(crate) error: Label,
    /// Version that served the request. The version is not a label: a scrape adds up the series of
    /// all versions.
    pub(crate) served: Served,
}

/// Version that served a request, while a node may serve two of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Served {
    /// The node served one version only.
    #[default]
    Alone,
    /// The base of a progressive release, beside its candidate.
    Base,
    /// The candidate of a progressive release, beside its base.
    Candidate,
    /// The base, which the request selected itself (by `release.testers`, its address or its
    /// connection).
    SelectedBase,
    /// The candidate, which the request selected itself.
    SelectedCandidate,
}

impl Served {
    /// All values, in the order of [`Self::index`].
    pub(crate) const ALL: [Self; 5] = [
        Self::Alone,
        Self::Base,
        Self::Candidate,
        Self::SelectedBase,
        Self::SelectedCandidate,
    ];
    /// Values of the base. [`Self::OF_CANDIDATE`] has those of the candidate.
    pub(crate) const OF_BASE: [Self; 2] = [Self::Base, Self::SelectedBase];
    pub(crate) const OF_CANDIDATE: [Self; 2] = [Self::Candidate, Self::SelectedCandidate];

    /// Role of the same version for a request that selected the version itself. Guards do not
    /// compare such requests: any client could send its errors to one version only.
    #[must_use]
    pub(crate) const fn selected(self) -> Self {
        match self {
            Self::Base => Self::SelectedBase,
            Self::Candidate => Self::SelectedCandidate,
            Self::Alone | Self::SelectedBase | Self::SelectedCandidate => self,
        }
    }

    /// Index in [`Self::ALL`].
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

/// Counters of a request series: bytes, and two histograms. The histograms are interleaved by
/// bucket, so that a request of less than 1 ms writes to one cache line instead of four. With ten
/// thousand routes, each cache line that a request writes is a cache miss.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct RequestSeries {
    duration_sum_ns: AtomicU64,
    overhead_sum_ns: AtomicU64,
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
    buckets: [Both; BOUNDS_NS.len() + 1],
    exemplars: ExemplarCells,
}

/// Counts of the same bucket in two histograms: request duration, and processing time of the
/// gateway.
#[derive(Debug, Default)]
struct Both {
    duration: AtomicU64,
    overhead: AtomicU64,
}

/// Requests of one worker that a version served, over all routes. Guards of progressive releases
/// compare these counts.
#[derive(Debug, Default)]
pub(crate) struct ServedCounts {
    /// Histogram of [`EndedRequest::answer_ns`].
    buckets: [AtomicU64; BOUNDS_NS.len() + 1],
    /// Requests that failed because of the gateway or an upstream.
    errors: AtomicU64,
}

/// Number of body bytes, without framing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BodyBytes {
    pub(crate) request: u64,
    pub(crate) response: u64,
}

/// Values of a request that has ended.
pub(crate) struct EndedRequest {
    /// Time from the request's head to the last byte of its response.
    pub(crate) duration_ns: u64,
    /// Time from the request's head to the response's head, without waits for the client.
    pub(crate) answer_ns: u64,
    /// Time that the gateway itself spent on the request.
    pub(crate) overhead_ns: u64,
    pub(crate) bytes: BodyBytes,
    /// True if the request failed because of the gateway or an upstream.
    pub(crate) is_error: bool,
    /// Address of the client, if the gateway refused the request by itself. `None`: not refused.
    pub(crate) refused: Option<IpAddr>,
    /// Ids of a sampled trace and of its SERVER span.
    pub(crate) sampled: Option<([u8; 16], [u8; 8])>,
}

/// Number of body bytes to and from one upstream.
#[derive(Debug, Default)]
pub(crate) struct ByteCounts {
    request: AtomicU64,
    response: AtomicU64,
}

/// Labels of a series of calls to one upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CallKey {
    pub(crate) upstream: u32,
    pub(crate) method: u8,
    /// Status code of the response; 0 without a response.
    pub(crate) status: u16,
    pub(crate) error: Label,
}

/// Labels of a series of rejections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RejectionKey {
    pub(crate) route: u32,
    pub(crate) policy: Arc<str>,
    pub(crate) reason: &'static str,
    /// True if the policy is in `mode: log`, so that the request was served.
    pub(crate) logged: bool,
}

/// Connections from one worker to one upstream.
#[derive(Debug, Default)]
pub(crate) struct PoolGauge {
    pub(crate) active: AtomicI64,
    pub(crate) idle: AtomicI64,
    /// Durations of opening a connection, with its TLS handshake.
    pub(crate) opened: Histogram,
}

/// Exchange that can stay open for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LongLived {
    /// Connection that was upgraded to WebSocket.
    WebSocket,
    /// gRPC call.
    Grpc,
}

/// New series, announced to the registry. A `u32` is the metric id of an upstream, unless stated
/// otherwise.
#[derive(Debug)]
pub(crate) enum NewSeries {
    Requests(RequestKey, Arc<RequestSeries>),
    /// Requests of a worker by the version that served them, in the order of [`Served::ALL`].
    Served(Arc<[ServedCounts; Served::ALL.len()]>),
    /// Requests that the gateway refused by itself, by version and reason.
    Refusals(Served, &'static str, Arc<RefusalCounts>),
    Calls(CallKey, Arc<Histogram>),
    /// Byte counts of an upstream.
    Bytes(u32, Arc<ByteCounts>),
    Rejections(RejectionKey, Arc<AtomicU64>),
    Decisions(Arc<str>, &'static str, Arc<AtomicU64>),
    Handshakes(Outcome, Arc<AtomicU64>),
    Mirrored(u32, &'static str, Arc<AtomicU64>),
    /// Requests of policies and verifiers to other services, by policy kind or verifier kind and by
    /// outcome.
    PolicyCalls(&'static str, &'static str, Arc<AtomicU64>),
    Retries(u32, &'static str, Arc<AtomicU64>),
    Pool(u32, Arc<PoolGauge>),
    Active(Arc<[AtomicI64; METHODS.len()]>),
    /// Numbers of open exchanges, in the order of [`LongLived`].
    LongLived(Arc<[AtomicI64; 2]>),
    /// Durations of the successful TLS handshakes of a worker.
    HandshakeDurations(Arc<Histogram>),
    /// Number of requests that the sampling of the access log left out.
    LogSampledOut(Arc<AtomicU64>),
    /// Event loop lag of the worker with this index.
    Lag(usize, Arc<Histogram>),
}

/// Decision of a quota whose warning threshold was reached.
pub(crate) const WARNED: &str = "warn";

/// Name of a rate limit or quota policy, and its decision.
type DecisionKey = (Arc<str>, &'static str);

/// Counters of one worker.
pub(crate) struct Shard {
    /// Counters of the process for rare events.
    pub(crate) process: Arc<Counters>,
    registry: mpsc::Sender<NewSeries>,
    requests: RefCell<FxHashMap<RequestKey, Arc<RequestSeries>>>,
    served: Arc<[ServedCounts; Served::ALL.len()]>,
    refusals: RefCell<FxHashMap<(Served, Label), Arc<RefusalCounts>>>,
    calls: RefCell<FxHashMap<CallKey, Arc<Histogram>>>,
    bytes: RefCell<FxHashMap<u32, Arc<ByteCounts>>>,
    rejections: RefCell<FxHashMap<RejectionKey, Arc<AtomicU64>>>,
    decisions: RefCell<FxHashMap<DecisionKey, Arc<AtomicU64>>>,
    mirrored: RefCell<FxHashMap<(u32, &'static str), Arc<AtomicU64>>>,
    policy_calls: RefCell<FxHashMap<(&'static str, &'static str), Arc<AtomicU64>>>,
    retries: RefCell<FxHashMap<(u32, Label), Arc<AtomicU64>>>,
    handshakes: RefCell<FxHashMap<Outcome, Arc<AtomicU64>>>,
    active: Arc<[AtomicI64; METHODS.len()]>,
    long_lived: Arc<[AtomicI64; 2]>,
    handshake_durations: Arc<Histogram>,
    log_sampled_out: Arc<AtomicU64>,
}

// === impl Shard ===

impl Shard {
    pub(crate) fn new(registry: mpsc::Sender<NewSeries>, process: &Arc<Counters>) -> Self {
        let active: Arc<[AtomicI64; METHODS.len()]> = Arc::default();
        let _ending = registry.send(NewSeries::Active(Arc::clone(&active)));
        let long_lived: Arc<[AtomicI64; 2]> = Arc::default();
        let _ending = registry.send(NewSeries::LongLived(Arc::clone(&long_lived)));
        let handshake_durations = Arc::<Histogram>::default();
        let durations = Arc::clone(&handshake_durations);
        let _ending = registry.send(NewSeries::HandshakeDurations(durations));
        let log_sampled_out = Arc::<AtomicU64>::default();
        let _ending = registry.send(NewSeries::LogSampledOut(Arc::clone(&log_sampled_out)));
        let served = Arc::default();
        let _ending = registry.send(NewSeries::Served(Arc::clone(&served)));
        Self {
            process: Arc::clone(process),
            registry,
            requests: RefCell::default(),
            served,
            refusals: RefCell::default(),
            calls: RefCell::default(),
            bytes: RefCell::default(),
            rejections: RefCell::default(),
            decisions: RefCell::default(),
            retries: RefCell::default(),
            mirrored: RefCell::default(),
            policy_calls: RefCell::default(),
            handshakes: RefCell::default(),
            active,
            long_lived,
            handshake_durations,
            log_sampled_out,
        }
    }

    /// Counts a request that has ended.
    pub(crate) fn request(&self, key: RequestKey, ended: &EndedRequest) {
        let mut requests = self.requests.borrow_mut();
        let series = requests.entry(key).or_insert_with(|| {
            let series = Arc::<RequestSeries>::default();
            self.announce(NewSeries::Requests(key, Arc::clone(&series)));
            series
        });
        series.observe(ended.duration_ns, ended.overhead_ns);
        add(&series.request_bytes, ended.bytes.request);
        add(&series.response_bytes, ended.bytes.response);
        if let Some(ids) = ended.sampled {
            series.sampled(ids, ended.duration_ns);
        }
        self.served[key.served.index()].observe(ended);
        if let Some(client) = ended.refused {
            self.refused_for_guard(key.served, key.error, client);
        }
    }

    /// Counts a request that the gateway refused by itself, for the guards of releases.
    #[cold]
    fn refused_for_guard(&self, served: Served, reason: Label, client: IpAddr) {
        let mut refusals = self.refusals.borrow_mut();
        let counts = refusals.entry((served, reason)).or_insert_with(|| {
            let counts = Arc::<RefusalCounts>::default();
            self.announce(NewSeries::Refusals(served, reason.0, Arc::clone(&counts)));
            counts
        });
        counts.add(client);
    }

    /// Counts a call to an upstream. The duration ends with the response head, or with a failure.
    pub(crate) fn call(&self, key: CallKey, duration_ns: u64) {
        let mut calls = self.calls.borrow_mut();
        let series = calls.entry(key).or_insert_with(|| {
            let series = Arc::<Histogram>::default();
            self.announce(NewSeries::Calls(key, Arc::clone(&series)));
            series
        });
        series.observe(duration_ns);
    }

    /// Counts the body bytes of a call to an upstream that has ended.
    pub(crate) fn passed(&self, upstream: u32, bytes: BodyBytes) {
        let mut passed = self.bytes.borrow_mut();
        let counts = passed.entry(upstream).or_insert_with(|| {
            let counts = Arc::<ByteCounts>::default();
            self.announce(NewSeries::Bytes(upstream, Arc::clone(&counts)));
            counts
        });
        add(&counts.request, bytes.request);
        add(&counts.response, bytes.response);
    }

    /// Counts a rejection of a request.
    pub(crate) fn rejected(&self, key: RejectionKey) {
        let mut rejections = self.rejections.borrow_mut();
        if let Some(count) = rejections.get(&key) {
            return add(count, 1);
        }
        let count = Arc::new(AtomicU64::new(1));
        self.announce(NewSeries::Rejections(key.clone(), Arc::clone(&count)));
        rejections.insert(key, count);
    }

    /// Counts the rejection of input from which no request was parsed.
    pub(crate) fn rejected_early(&self, reason: &'static str) {
        self.rejected(RejectionKey {
            route: UNMATCHED,
            policy: "edge".into(),
            reason,
            logged: false,
        });
    }

    /// Counts a decision of a rate limit or quota.
    pub(crate) fn limited(&self, policy: &Arc<str>, decision: &'static str) {
        let mut decisions = self.decisions.borrow_mut();
        let key = (Arc::clone(policy), decision);
        if let Some(count) = decisions.get(&key) {
            return add(count, 1);
        }
        let count = Arc::new(AtomicU64::new(1));
        self.announce(NewSeries::Decisions(
            Arc::clone(policy),
            decision,
            Arc::clone(&count),
        ));
        decisions.insert(key, count);
    }

    /// Counts a retry of a request to an upstream.
    pub(crate) fn retried(&self, upstream: u32, reason: Label) {
        let mut retries = self.retries.borrow_mut();
        let count = retries.entry((upstream, reason)).or_insert_with(|| {
            let count = Arc::<AtomicU64>::default();
            self.announce(NewSeries::Retries(upstream, reason.0, Arc::clone(&count)));
            count
        });
        add(count, 1);
    }

    /// Counts a TLS handshake by its outcome.
    pub(crate) fn handshake(&self, outcome: Outcome) {
        let mut handshakes = self.handshakes.borrow_mut();
        let count = handshakes.entry(outcome).or_insert_with(|| {
            let count = Arc::<AtomicU64>::default();
            self.announce(NewSeries::Handshakes(outcome, Arc::clone(&count)));
            count
        });
        add(count, 1);
    }

    /// Records the duration of a successful TLS handshake.
    pub(crate) fn handshake_took(&self, duration_ns: u64) {
        self.handshake_durations.observe(duration_ns);
    }

    /// Counts a mirrored copy by its outcome.
    pub(crate) fn mirrored(&self, upstream: u32, outcome: &'static str) {
        let mut mirrored = self.mirrored.borrow_mut();
        let count = mirrored.entry((upstream, outcome)).or_insert_with(|| {
            let count = Arc::<AtomicU64>::default();
            self.announce(NewSeries::Mirrored(upstream, outcome, Arc::clone(&count)));
            count
        });
        add(count, 1);
    }

    /// Counts the outcome of a lookup that a step of a chain makes at another service.
    pub(crate) fn count_policy_call(&self, kind: &'static str, outcome: &'static str) {
        let mut calls = self.policy_calls.borrow_mut();
        let count = calls.entry((kind, outcome)).or_insert_with(|| {
            let count = Arc::<AtomicU64>::default();
            self.announce(NewSeries::PolicyCalls(kind, outcome, Arc::clone(&count)));
            count
        });
        add(count, 1);
    }

    /// Creates the histogram of the event loop lag of a worker.
    pub(crate) fn lag(&self, worker: usize) -> Arc<Histogram> {
        let lag = Arc::<Histogram>::default();
        self.announce(NewSeries::Lag(worker, Arc::clone(&lag)));
        lag
    }

    /// Creates the connection gauge of a new pool.
    pub(crate) fn pool(&self, upstream: u32) -> Arc<PoolGauge> {
        let gauge = Arc::<PoolGauge>::default();
        self.announce(NewSeries::Pool(upstream, Arc::clone(&gauge)));
        gauge
    }

    /// Counts a request that the sampling of the access log leaves out.
    pub(crate) fn log_sampled_out(&self) {
        add(&self.log_sampled_out, 1);
    }

    /// Adds `change` to the number of requests in progress with this method.
    pub(crate) fn active(&self, method: u8, change: i64) {
        change_by(&self.active[usize::from(method)], change);
    }

    /// Adds `change` to the number of open exchanges of this kind.
    pub(crate) fn long_lived(&self, kind: LongLived, change: i64) {
        change_by(&self.long_lived[kind as usize], change);
    }

    #[cold]
    fn announce(&self, announced: NewSeries) {
        // Ignore an error: without a registry, the process is ending.
        let _ending = self.registry.send(announced);
    }
}

// === impl Label ===

impl PartialEq for Label {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Label {}

impl std::hash::Hash for Label {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_usize(self.0.as_ptr().addr());
    }
}

// === impl RequestSeries ===

impl RequestSeries {
    fn observe(&self, duration_ns: u64, overhead_ns: u64) {
        add(&self.buckets[bucket(duration_ns)].duration, 1);
        add(&self.duration_sum_ns, duration_ns);
        add(&self.buckets[bucket(overhead_ns)].overhead, 1);
        add(&self.overhead_sum_ns, overhead_ns);
    }

    /// Makes a sampled request the exemplar of its bucket.
    #[cold]
    fn sampled(&self, (trace_id, span_id): ([u8; 16], [u8; 8]), duration_ns: u64) {
        let exemplar = Exemplar {
            trace_id,
            span_id,
            duration_ns,
            unix_ms: unix_ms(),
        };
        self.exemplars.replace(bucket(duration_ns), &exemplar);
    }

    /// Last sampled request of each bucket of [`Self::durations`].
    pub(crate) fn exemplars(&self) -> BucketExemplars {
        self.exemplars.read()
    }

    /// Number of body bytes of the requests of this series.
    pub(crate) fn bytes(&self) -> BodyBytes {
        BodyBytes {
            request: value(&self.request_bytes),
            response: value(&self.response_bytes),
        }
    }

    /// Histogram of the requests' durations.
    pub(crate) fn durations(&self) -> Counted {
        Counted {
            buckets: self.buckets.each_ref().map(|both| value(&both.duration)),
            sum_ns: value(&self.duration_sum_ns),
        }
    }

    /// Histogram of the gateway's processing times.
    pub(crate) fn overheads(&self) -> Counted {
        Counted {
            buckets: self.buckets.each_ref().map(|both| value(&both.overhead)),
            sum_ns: value(&self.overhead_sum_ns),
        }
    }
}

// === impl ServedCounts ===

impl ServedCounts {
    fn observe(&self, ended: &EndedRequest) {
        add(&self.buckets[bucket(ended.answer_ns)], 1);
        if ended.is_error {
            add(&self.errors, 1);
        }
    }

    /// Number of requests in each bucket of [`EndedRequest::answer_ns`].
    pub(crate) fn buckets(&self) -> [u64; BOUNDS_NS.len() + 1] {
        self.buckets.each_ref().map(value)
    }

    /// Number of requests that failed because of the gateway or an upstream.
    pub(crate) fn errors(&self) -> u64 {
        value(&self.errors)
    }
}

// === impl ByteCounts ===

impl ByteCounts {
    /// Current numbers of body bytes to and from the upstream.
    pub(crate) fn counted(&self) -> BodyBytes {
        BodyBytes {
            request: value(&self.request),
            response: value(&self.response),
        }
    }
}

// === impl PoolGauge ===

impl PoolGauge {
    pub(crate) fn active(&self, change: i64) {
        change_by(&self.active, change);
    }

    pub(crate) fn idle(&self, change: i64) {
        change_by(&self.idle, change);
    }
}
