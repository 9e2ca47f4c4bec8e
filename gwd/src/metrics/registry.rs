//! Metrics of all workers and of the control thread, merged at a scrape (observability.md §1).

mod bundles;
mod policies;
mod process;
mod requests;
pub(crate) mod totals;
mod upstreams;

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use prometheus::proto;

use crate::metrics::families::{Histograms, Numbers, histograms, numbers, value};
use crate::metrics::table;
use crate::published::Shared;
use crate::telemetry::collected::Collected;
use crate::telemetry::histogram::Histogram;
use crate::telemetry::names::Names;
use crate::telemetry::refusals::RefusalCounts;
use crate::telemetry::shard::{
    ByteCounts, CallKey, METHODS, NewSeries, PoolGauge, RejectionKey, RequestKey, RequestSeries,
    Served, ServedCounts,
};
use crate::tls::accept::Outcome;
use crate::upstream::shared::States;

/// Registry of all metric series.
pub(crate) struct Registry {
    shared: Arc<Shared>,
    states: Arc<States>,
    pub(crate) names: Names,
    series: Mutex<Series>,
    pub(crate) bundles: Mutex<Bundles>,
}

struct Series {
    announced: mpsc::Receiver<NewSeries>,
    requests: Vec<(RequestKey, Arc<RequestSeries>)>,
    /// Requests of each worker, by the version that served them.
    served: Vec<Arc<[ServedCounts; Served::ALL.len()]>>,
    /// Requests that a worker refused, by version and reason.
    refusals: Vec<(Served, &'static str, Arc<RefusalCounts>)>,
    calls: Vec<(CallKey, Arc<Histogram>)>,
    bytes: Vec<(u32, Arc<ByteCounts>)>,
    rejections: Vec<(RejectionKey, Arc<AtomicU64>)>,
    decisions: Vec<(Arc<str>, &'static str, Arc<AtomicU64>)>,
    mirrored: Vec<(u32, &'static str, Arc<AtomicU64>)>,
    policy_calls: Vec<(&'static str, &'static str, Arc<AtomicU64>)>,
    retries: Vec<(u32, &'static str, Arc<AtomicU64>)>,
    handshakes: Vec<(Outcome, Arc<AtomicU64>)>,
    pools: Vec<(u32, Arc<PoolGauge>)>,
    active: Vec<Arc<[AtomicI64; METHODS.len()]>>,
    /// Open WebSocket connections and gRPC calls of each worker.
    long_lived: Vec<Arc<[AtomicI64; 2]>>,
    handshake_durations: Vec<Arc<Histogram>>,
    lags: Vec<(usize, Arc<Histogram>)>,
    /// Requests of each worker that the sampling of the access log left out.
    log_sampled_out: Vec<Arc<AtomicU64>>,
}

/// Metrics of the control thread about bundles.
#[derive(Debug, Default)]
pub(crate) struct Bundles {
    /// Running bundle: its id, serial and channel. `None`: no bundle runs.
    pub(crate) running: Option<(String, u64, String)>,
    /// Progressive release: number of steps, true if this node belongs to the share, and current
    /// step. `None`: the channel's head is complete.
    pub(crate) rollout: Option<(usize, bool, u32)>,
    /// Number of ended guards of progressive releases, by result.
    pub(crate) guards: BTreeMap<&'static str, u64>,
    /// Number of activations by result and reason.
    pub(crate) activations: BTreeMap<(&'static str, String), u64>,
    pub(crate) activation_seconds: Seconds,
    pub(crate) propagation_seconds: Seconds,
    pub(crate) last_success_unix_s: f64,
    pub(crate) rollbacks: u64,
    /// Number of reads of the store.
    pub(crate) polls: u64,
    /// Time (Unix time in seconds) of the last update of the registry's copy, 0 if it was never
    /// updated. `None`: the store is a folder.
    pub(crate) registry_updated_unix_s: Option<u64>,
    /// Numbers of polls of the registry, by result. `None`: the store is a folder.
    pub(crate) registry_polls: Option<[(&'static str, u64); 3]>,
    pub(crate) insecure: bool,
    pub(crate) replay_unprotected: bool,
    /// True if the store could withhold a revocation list without being noticed.
    pub(crate) revocations_unprotected: bool,
    /// References of secrets whose source is missing or unusable.
    pub(crate) stale_secrets: Vec<String>,
    /// Expiry times (Unix time in seconds) of the active signing keys, by owner and key id.
    pub(crate) signing_keys: BTreeMap<(String, String), u64>,
    /// Expiry times (Unix time in seconds) of the certificates in use, by name.
    pub(crate) certificates: BTreeMap<String, i64>,
    /// Active alarms, by name.
    pub(crate) alarms: Vec<&'static str>,
    /// Listening sockets with their connection counts, each with the name of its listener.
    pub(crate) connections: Vec<(String, Arc<crate::listen::ListenSocket>)>,
}

/// Histogram of durations in seconds. Only one thread writes to it at a time.
#[derive(Debug, Default)]
pub(crate) struct Seconds(Histogram);

impl Seconds {
    pub(crate) fn observe(&self, seconds: f64) {
        // The duration is negative if a signer's clock is ahead: count it as 0.
        let ns = (seconds.max(0.0) * 1e9).min(9e18);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped"
        )]
        self.0.observe(ns as u64);
    }
}

impl Registry {
    pub(crate) fn new(
        shared: Arc<Shared>,
        states: Arc<States>,
        announced: mpsc::Receiver<NewSeries>,
    ) -> Arc<Self> {
        Arc::new(Self {
            shared,
            states,
            names: Names::new(),
            series: Mutex::new(Series::new(announced)),
            bundles: Mutex::default(),
        })
    }

    /// Locks the metrics about bundles, for reading or changing them.
    pub(crate) fn bundles(&self) -> std::sync::MutexGuard<'_, Bundles> {
        self.bundles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the series of routes and upstreams that have been unused for ten minutes. `used`:
    /// metric ids in use now.
    pub(crate) fn retain(&self, used: &HashSet<u32>, now_ms: u64) {
        self.names.retain(used, now_ms);
        let mut series = self.series();
        series.take_announced();
        let Series {
            requests,
            calls,
            bytes,
            rejections,
            ..
        } = &mut *series;
        requests.retain(|(key, _)| self.names.resolve(key.route).is_some());
        calls.retain(|(key, _)| self.names.resolve(key.upstream).is_some());
        bytes.retain(|(upstream, _)| self.names.resolve(*upstream).is_some());
        rejections.retain(|(key, _)| self.names.resolve(key.route).is_some());
    }

    /// All metrics in the Prometheus text format, which has no exemplars.
    pub(crate) fn text(&self) -> String {
        prometheus::TextEncoder::new()
            .encode_to_string(&self.collect().families)
            .unwrap_or_default()
    }

    /// All metrics, with their exemplars.
    pub(crate) fn collect(&self) -> Collected {
        let mut families = Vec::new();
        let exemplars = {
            let mut series = self.series();
            series.take_announced();
            let exemplars = self.collect_requests(&series, &mut families);
            self.collect_upstreams(&series, &mut families);
            self.collect_policies(&series, &mut families);
            collect_workers(&series, &mut families);
            exemplars
        };
        self.collect_bundles(&mut families);
        self.collect_process(&mut families);
        families.retain(|family| !family.get_metric().is_empty());
        Collected {
            families,
            exemplars,
        }
    }

    fn series(&self) -> std::sync::MutexGuard<'_, Series> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name(&self, number: u32) -> String {
        self.names.resolve(number).unwrap_or_default()
    }
}

impl Series {
    fn new(announced: mpsc::Receiver<NewSeries>) -> Self {
        Self {
            announced,
            requests: Vec::new(),
            served: Vec::new(),
            refusals: Vec::new(),
            calls: Vec::new(),
            bytes: Vec::new(),
            rejections: Vec::new(),
            decisions: Vec::new(),
            retries: Vec::new(),
            mirrored: Vec::new(),
            policy_calls: Vec::new(),
            handshakes: Vec::new(),
            pools: Vec::new(),
            active: Vec::new(),
            long_lived: Vec::new(),
            handshake_durations: Vec::new(),
            lags: Vec::new(),
            log_sampled_out: Vec::new(),
        }
    }

    fn take_announced(&mut self) {
        while let Ok(announced) = self.announced.try_recv() {
            match announced {
                NewSeries::Requests(key, series) => self.requests.push((key, series)),
                NewSeries::Served(served) => self.served.push(served),
                NewSeries::Refusals(served, reason, counts) => {
                    self.refusals.push((served, reason, counts));
                }
                NewSeries::Calls(key, series) => self.calls.push((key, series)),
                NewSeries::Bytes(upstream, counts) => self.bytes.push((upstream, counts)),
                NewSeries::Rejections(key, count) => self.rejections.push((key, count)),
                NewSeries::Decisions(policy, decision, count) => {
                    self.decisions.push((policy, decision, count));
                }
                NewSeries::Handshakes(outcome, count) => self.handshakes.push((outcome, count)),
                NewSeries::Mirrored(upstream, outcome, count) => {
                    self.mirrored.push((upstream, outcome, count));
                }
                NewSeries::PolicyCalls(kind, outcome, count) => {
                    self.policy_calls.push((kind, outcome, count))
                }
                NewSeries::Retries(upstream, reason, count) => {
                    self.retries.push((upstream, reason, count));
                }
                NewSeries::Pool(upstream, gauge) => self.pools.push((upstream, gauge)),
                NewSeries::Active(active) => self.active.push(active),
                NewSeries::LongLived(open) => self.long_lived.push(open),
                NewSeries::HandshakeDurations(taken) => self.handshake_durations.push(taken),
                NewSeries::LogSampledOut(count) => self.log_sampled_out.push(count),
                NewSeries::Lag(worker, lag) => self.lags.push((worker, lag)),
            }
        }
    }
}

fn collect_workers(series: &Series, families: &mut Vec<proto::MetricFamily>) {
    let mut lags = Histograms::new();
    for (worker, lag) in &series.lags {
        let labels = vec![("worker", worker.to_string())];
        lags.entry(labels).or_default().add(&lag.counted());
    }
    families.push(histograms(&table::WORKER_LOOP_LAG_SECONDS, &lags));
    let left_out = series
        .log_sampled_out
        .iter()
        .map(|count| value(count))
        .sum();
    families.push(numbers(
        &table::LOG_SAMPLED_OUT_TOTAL,
        &Numbers::from([(Vec::new(), left_out)]),
    ));
}

/// Value of the status label: `200`, or `2xx` if only the class is known; empty without a response.
fn status_label(status: u16) -> String {
    match status {
        0 => String::new(),
        1..=9 => format!("{status}xx"),
        _ => status.to_string(),
    }
}

fn version_label(version: u8) -> &'static str {
    match version {
        10 => "1.0",
        20 => "2",
        _ => "1.1",
    }
}
