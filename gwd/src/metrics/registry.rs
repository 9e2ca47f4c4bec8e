//! Metrics of all workers and of the control thread, merged at a scrape (observability.md §1).

mod requests;

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use prometheus::core::{Collector, Desc};
use prometheus::proto;

use crate::metrics::families::{Histograms, Numbers, Sum, counters, gauges, histograms};
use crate::metrics::{found, judging, keys};
use crate::published::Shared;
use crate::runtime::program_log;
use crate::telemetry::names::Names;
use crate::telemetry::process;
use crate::telemetry::shard::{
    Announced, BodyBytes, ByteCounts, CallKey, Histogram, METHODS, PoolGauge, RejectionKey,
    RequestKey, RequestSeries, WARNED,
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
    desc: Desc,
}

struct Series {
    announced: mpsc::Receiver<Announced>,
    requests: Vec<(RequestKey, Arc<RequestSeries>)>,
    calls: Vec<(CallKey, Arc<Histogram>)>,
    bytes: Vec<(u32, Arc<ByteCounts>)>,
    rejections: Vec<(RejectionKey, Arc<AtomicU64>)>,
    decisions: Vec<(Arc<str>, &'static str, Arc<AtomicU64>)>,
    mirrored: Vec<(u32, &'static str, Arc<AtomicU64>)>,
    asked: Vec<(&'static str, &'static str, Arc<AtomicU64>)>,
    retries: Vec<(u32, &'static str, Arc<AtomicU64>)>,
    handshakes: Vec<(Outcome, Arc<AtomicU64>)>,
    pools: Vec<(u32, Arc<PoolGauge>)>,
    active: Vec<Arc<[AtomicI64; METHODS.len()]>>,
    lags: Vec<(usize, Arc<Histogram>)>,
}

/// Metrics of the control thread about bundles.
#[derive(Debug, Default)]
pub(crate) struct Bundles {
    /// Running bundle: its id, serial and channel.
    pub(crate) running: Option<(String, u64, String)>,
    /// Number of activations by result and reason.
    pub(crate) activations: BTreeMap<(&'static str, String), u64>,
    pub(crate) activation_seconds: Seconds,
    pub(crate) propagation_seconds: Seconds,
    pub(crate) last_success_unix_s: f64,
    pub(crate) rollbacks: u64,
    /// Number of reads of the store.
    pub(crate) looks: u64,
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
    /// Sockets, by name of the listener.
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
        announced: mpsc::Receiver<Announced>,
    ) -> Arc<Self> {
        Arc::new(Self {
            shared,
            states,
            names: Names::new(),
            series: Mutex::new(Series {
                announced,
                requests: Vec::new(),
                calls: Vec::new(),
                bytes: Vec::new(),
                rejections: Vec::new(),
                decisions: Vec::new(),
                retries: Vec::new(),
                mirrored: Vec::new(),
                asked: Vec::new(),
                handshakes: Vec::new(),
                pools: Vec::new(),
                active: Vec::new(),
                lags: Vec::new(),
            }),
            bundles: Mutex::default(),
            desc: Desc::new(
                "gwd".into(),
                "metrics of gwd".into(),
                Vec::new(),
                std::collections::HashMap::new(),
            )
            .expect("a plain name"),
        })
    }

    /// Locks the metrics about bundles.
    pub(crate) fn bundles(&self) -> std::sync::MutexGuard<'_, Bundles> {
        self.bundles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the series of routes and upstreams that have been unused for a long time.
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

    /// Metrics in the Prometheus text format.
    pub(crate) fn text(self: &Arc<Self>) -> String {
        let families = Collector::collect(&**self);
        prometheus::TextEncoder::new()
            .encode_to_string(&families)
            .unwrap_or_default()
    }

    fn series(&self) -> std::sync::MutexGuard<'_, Series> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name(&self, number: u32) -> String {
        self.names.resolve(number).unwrap_or_default()
    }
}

impl Series {
    fn take_announced(&mut self) {
        while let Ok(announced) = self.announced.try_recv() {
            match announced {
                Announced::Requests(key, series) => self.requests.push((key, series)),
                Announced::Calls(key, series) => self.calls.push((key, series)),
                Announced::Bytes(upstream, counts) => self.bytes.push((upstream, counts)),
                Announced::Rejections(key, count) => self.rejections.push((key, count)),
                Announced::Decisions(policy, decision, count) => {
                    self.decisions.push((policy, decision, count));
                }
                Announced::Handshakes(outcome, count) => self.handshakes.push((outcome, count)),
                Announced::Mirrored(upstream, outcome, count) => {
                    self.mirrored.push((upstream, outcome, count));
                }
                Announced::Asked(asker, outcome, count) => self.asked.push((asker, outcome, count)),
                Announced::Retries(upstream, reason, count) => {
                    self.retries.push((upstream, reason, count));
                }
                Announced::Pool(upstream, gauge) => self.pools.push((upstream, gauge)),
                Announced::Active(active) => self.active.push(active),
                Announced::Lag(worker, lag) => self.lags.push((worker, lag)),
            }
        }
    }
}

impl Collector for Registry {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let mut families = Vec::new();
        {
            let mut series = self.series();
            series.take_announced();
            self.collect_requests(&series, &mut families);
            self.collect_upstreams(&series, &mut families);
            self.collect_policies(&series, &mut families);
            collect_workers(&series, &mut families);
        }
        self.collect_bundles(&mut families);
        self.collect_process(&mut families);
        families.retain(|family| !family.get_metric().is_empty());
        families
    }
}

impl Registry {
    fn collect_upstreams(&self, series: &Series, families: &mut Vec<proto::MetricFamily>) {
        let mut calls = Histograms::new();
        for (key, histogram) in &series.calls {
            let CallKey {
                upstream,
                method,
                status,
                error,
            } = *key;
            let upstream = self.name(upstream);
            if upstream.is_empty() {
                continue;
            }
            let labels = vec![
                ("upstream", upstream),
                ("http_request_method", METHODS[usize::from(method)].into()),
                ("http_response_status_code", status_label(status)),
                ("error_type", error.0.into()),
            ];
            calls.entry(labels).or_default().add(&histogram.counted());
        }
        families.push(histograms(
            "http_client_request_duration_seconds",
            "Time from sending a request to an upstream to its response's head.",
            &calls,
        ));
        let (mut sent, mut received) = (Numbers::new(), Numbers::new());
        for (upstream, counts) in &series.bytes {
            let labels = vec![("upstream", self.name(*upstream))];
            let BodyBytes { request, response } = counts.counted();
            *sent.entry(labels.clone()).or_default() += request as f64;
            *received.entry(labels).or_default() += response as f64;
        }
        families.push(counters(
            "http_client_request_body_bytes_total",
            "Bytes of request bodies for upstreams; retries do not count again.",
            &sent,
        ));
        families.push(counters(
            "http_client_response_body_bytes_total",
            "Bytes of response bodies that upstreams sent.",
            &received,
        ));
        let mut connections = Numbers::new();
        for (upstream, gauge) in &series.pools {
            for (state, cell) in [("active", &gauge.active), ("idle", &gauge.idle)] {
                let labels = vec![("upstream", self.name(*upstream)), ("state", state.into())];
                *connections.entry(labels).or_default() += cell.load(Ordering::Relaxed) as f64;
            }
        }
        families.push(gauges(
            "gwd_upstream_connections",
            "Connections to upstreams.",
            &connections,
        ));
        let mut retries = Numbers::new();
        for (upstream, reason, count) in &series.retries {
            let labels = vec![
                ("upstream", self.name(*upstream)),
                ("reason", (*reason).into()),
            ];
            *retries.entry(labels).or_default() += count.load(Ordering::Relaxed) as f64;
        }
        families.push(counters(
            "gwd_upstream_retries_total",
            "Requests that were retried.",
            &retries,
        ));
        let mut handshakes = Numbers::new();
        for (outcome, count) in &series.handshakes {
            let labels = vec![
                ("result", outcome.result.to_owned()),
                ("version", outcome.version.to_owned()),
            ];
            *handshakes.entry(labels).or_default() += count.load(Ordering::Relaxed) as f64;
        }
        families.push(counters(
            "gwd_tls_handshakes_total",
            "TLS handshakes with clients, by result.",
            &handshakes,
        ));
        let mut mirrored = Numbers::new();
        for (upstream, outcome, count) in &series.mirrored {
            let labels = vec![
                ("upstream", self.name(*upstream)),
                ("outcome", (*outcome).into()),
            ];
            *mirrored.entry(labels).or_default() += count.load(Ordering::Relaxed) as f64;
        }
        families.push(counters(
            "gwd_mirrored_requests_total",
            "Copies of requests for mirrors, by result.",
            &mirrored,
        ));
        let mut asked = Numbers::new();
        for (asker, outcome, count) in &series.asked {
            let labels = vec![
                ("asker", (*asker).to_owned()),
                ("outcome", (*outcome).to_owned()),
            ];
            *asked.entry(labels).or_default() += count.load(Ordering::Relaxed) as f64;
        }
        families.push(counters(
            "gwd_questions_total",
            "Requests of policies and verifiers to other services, by result.",
            &asked,
        ));
        self.collect_judging(families);
    }

    /// Collects the metrics of host discovery and of the upstreams' states.
    fn collect_judging(&self, families: &mut Vec<proto::MetricFamily>) {
        let told = judging::read(&self.states, self.shared.clock.now_ms());
        let found = found::read(&self.shared);
        let keys = keys::read(&self.shared);
        for (name, help, numbers) in told.gauges.iter().chain(&found.gauges).chain(&keys.gauges) {
            families.push(gauges(name, help, numbers));
        }
        for (name, help, numbers) in told
            .counters
            .iter()
            .chain(&found.counters)
            .chain(&keys.counters)
        {
            families.push(counters(name, help, numbers));
        }
    }

    fn collect_policies(&self, series: &Series, families: &mut Vec<proto::MetricFamily>) {
        let mut rejections = Numbers::new();
        let mut logged = Numbers::new();
        for (key, count) in &series.rejections {
            let labels = vec![
                (
                    "http_route",
                    self.names.template(key.route).unwrap_or_default(),
                ),
                ("route_id", self.name(key.route)),
                ("policy", key.policy.to_string()),
                ("reason", key.reason.into()),
            ];
            let numbers = match key.logged {
                true => &mut logged,
                false => &mut rejections,
            };
            *numbers.entry(labels).or_default() += count.load(Ordering::Relaxed) as f64;
        }
        families.push(counters(
            "gwd_rejections_total",
            "Requests that were refused.",
            &rejections,
        ));
        families.push(counters(
            "gwd_rejections_logged_total",
            "Requests that a policy with `mode: log` would have refused.",
            &logged,
        ));
        let (mut decisions, mut warnings) = (Numbers::new(), Numbers::new());
        for (policy, decision, count) in &series.decisions {
            let count = count.load(Ordering::Relaxed) as f64;
            let mut labels = vec![("policy", policy.to_string())];
            if *decision == WARNED {
                *warnings.entry(labels).or_default() += count;
                continue;
            }
            labels.push(("decision", (*decision).into()));
            *decisions.entry(labels).or_default() += count;
        }
        families.push(counters(
            "gwd_ratelimit_decisions_total",
            "Decisions of rate limits and quotas.",
            &decisions,
        ));
        families.push(counters(
            "gwd_quota_warnings_total",
            "Requests beyond a threshold of `warn` of a quota.",
            &warnings,
        ));
        let mut stores = Numbers::new();
        for (store, is_up) in self.shared.stores.states() {
            let up = f64::from(u8::from(is_up));
            stores.insert(vec![("store", store.to_string())], up);
        }
        families.push(gauges(
            "gwd_store_up",
            "1 if a store answers; 0 while its limits act as `on_outage` says.",
            &stores,
        ));
        let limits = &self.shared.limits;
        let overflowed = limits.all();
        let overflowed = overflowed
            .into_iter()
            .map(|(table, counted)| (vec![("table", table.into())], counted.overflowed() as f64))
            .collect();
        families.push(counters(
            "gwd_ratelimit_overflow_total",
            "Requests whose key found no free slot and shared the overflow limit.",
            &overflowed,
        ));
        let evicted = limits.all();
        let evicted = evicted
            .into_iter()
            .map(|(table, counted)| (vec![("table", table.into())], counted.evicted() as f64))
            .collect();
        families.push(counters(
            "gwd_ratelimit_evicted_total",
            "Keys that took a slot from a limit that used more slots than its share.",
            &evicted,
        ));
    }

    fn collect_bundles(&self, families: &mut Vec<proto::MetricFamily>) {
        let bundles = self.bundles();
        let Bundles {
            running,
            activations,
            activation_seconds,
            propagation_seconds,
            last_success_unix_s,
            rollbacks,
            looks,
            insecure,
            replay_unprotected,
            revocations_unprotected,
            stale_secrets,
            certificates,
            signing_keys,
            alarms,
            connections,
        } = &*bundles;
        let signing_keys = signing_keys.iter().map(|((owner, key), end_s)| {
            let labels = vec![("owner", owner.clone()), ("key", key.clone())];
            (labels, *end_s as f64)
        });
        families.push(gauges(
            "gwd_signing_key_not_after_timestamp_seconds",
            "Expiry of the active signing keys of the trust file.",
            &signing_keys.collect(),
        ));
        let stale = stale_secrets.iter();
        let stale = stale.map(|reference| (vec![("reference", reference.clone())], 1.0));
        families.push(gauges(
            "gwd_secret_stale",
            "Secrets whose source is missing or unusable; their last value stays in use.",
            &stale.collect(),
        ));
        let certificates = certificates.iter();
        let certificates =
            certificates.map(|(name, end_s)| (vec![("name", name.clone())], *end_s as f64));
        families.push(gauges(
            "gwd_tls_cert_not_after_timestamp_seconds",
            "Expiry of the certificates in use.",
            &certificates.collect(),
        ));
        let alarms = alarms.iter();
        let alarms = alarms.map(|alarm| (vec![("alarm", (*alarm).to_owned())], 1.0));
        families.push(gauges(
            "gwd_alarm",
            "Active alarms; traffic is still served.",
            &alarms.collect(),
        ));
        let info = running.iter().map(|(bundle, serial, channel)| {
            let labels = vec![
                ("bundle", bundle.clone()),
                ("serial", serial.to_string()),
                ("channel", channel.clone()),
            ];
            (labels, 1.0)
        });
        families.push(gauges(
            "gwd_bundle_info",
            "Running bundle.",
            &info.collect(),
        ));
        let activations = activations.iter().map(|((result, reason), count)| {
            let labels = vec![("result", (*result).into()), ("reason", reason.clone())];
            (labels, *count as f64)
        });
        families.push(counters(
            "gwd_bundle_activations_total",
            "Activations of bundles, by result and reason.",
            &activations.collect(),
        ));
        for (name, help, seconds) in [
            (
                "gwd_bundle_activation_duration_seconds",
                "Time from finding a bundle until the last worker serves it.",
                activation_seconds,
            ),
            (
                "gwd_bundle_propagation_seconds",
                "Time from the signing of a record until the last worker serves it.",
                propagation_seconds,
            ),
        ] {
            let mut sum = Sum::default();
            sum.add(&seconds.0.counted());
            families.push(histograms(
                name,
                help,
                &Histograms::from([(Vec::new(), sum)]),
            ));
        }
        let plain = |value: f64| Numbers::from([(Vec::new(), value)]);
        families.push(gauges(
            "gwd_bundle_last_success_timestamp_seconds",
            "Time of the last activation.",
            &plain(*last_success_unix_s),
        ));
        families.push(counters(
            "gwd_bundle_rollbacks_total",
            "Switches to an earlier bundle.",
            &plain(*rollbacks as f64),
        ));
        families.push(counters(
            "gwd_store_looks_total",
            "Polls of the store.",
            &plain(*looks as f64),
        ));
        let live = self.shared.live.load(Ordering::Relaxed);
        families.push(gauges(
            "gwd_bundle_snapshots_live",
            "Snapshots in memory.",
            &plain(live as f64),
        ));
        families.push(gauges(
            "gwd_insecure_allow_unsigned",
            "1 if unsigned bundles are allowed.",
            &plain(f64::from(u8::from(*insecure))),
        ));
        families.push(gauges(
            "gwd_replay_unprotected",
            "1 if neither state folder nor floor protects against replayed records.",
            &plain(f64::from(u8::from(*replay_unprotected))),
        ));
        families.push(gauges(
            "gwd_revocations_unprotected",
            "1 if neither floor nor a second record shows that the revocation list is the newest.",
            &plain(f64::from(u8::from(*revocations_unprotected))),
        ));
        let mut downstream = Numbers::new();
        for (listener, socket) in connections {
            let parked = socket.parked.load(Ordering::Relaxed);
            let open = socket.connections.load(Ordering::Relaxed);
            for (state, count) in [("active", open.saturating_sub(parked)), ("idle", parked)] {
                let labels = vec![("listener", listener.clone()), ("state", state.into())];
                *downstream.entry(labels).or_default() += count as f64;
            }
        }
        families.push(gauges(
            "gwd_downstream_connections",
            "Connections of clients.",
            &downstream,
        ));
    }

    fn collect_process(&self, families: &mut Vec<proto::MetricFamily>) {
        let counts = &self.shared.process;
        let sheds = counts
            .sheds()
            .into_iter()
            .map(|(resource, count)| (vec![("resource", resource.into())], count as f64));
        families.push(counters(
            "gwd_overload_shed_total",
            "Connections and requests refused because a resource of the process was exhausted.",
            &sheds.collect(),
        ));
        let plain = |value: f64| Numbers::from([(Vec::new(), value)]);
        let memory = &self.shared.budgets.memory;
        families.push(gauges(
            "gwd_buffered_bytes",
            "Bytes buffered in the process because one side is slower than the other.",
            &plain(memory.buffered() as f64),
        ));
        families.push(gauges(
            "gwd_memory_used_bytes",
            "Memory that counts against the bound: estimated and buffered, or measured.",
            &plain(memory.used() as f64),
        ));
        if let Some(max) = memory.max() {
            families.push(gauges(
                "gwd_memory_max_bytes",
                "Bound on memory.",
                &plain(max as f64),
            ));
        }
        let count = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        for (name, help, value) in [
            (
                "gwd_log_dropped_total",
                "Lines of the access log and of the program log that were dropped.",
                count(&counts.log_dropped) + program_log::dropped(),
            ),
            (
                "gwd_panics_total",
                "Exchanges that ended in a panic.",
                count(&counts.panics),
            ),
            (
                "gwd_lookalike_fields_total",
                "Request fields that were removed because a server that reads `_` or `.` as `-` \
could take them for a security-relevant field.",
                count(&counts.lookalikes),
            ),
            (
                "gwd_token_cache_hits_total",
                "Tokens found in the cache of verified tokens.",
                count(&counts.token_hits),
            ),
            (
                "gwd_token_cache_misses_total",
                "Tokens not found in the cache of verified tokens.",
                count(&counts.token_misses),
            ),
            (
                "gwd_drain_forced_closes_total",
                "Connections that were still open at the end of a drain.",
                count(&counts.forced_closes),
            ),
        ] {
            families.push(counters(name, help, &plain(value as f64)));
        }
        let usage = process::usage();
        families.push(counters(
            "process_cpu_seconds_total",
            "CPU time.",
            &plain(usage.cpu_s),
        ));
        for (name, help, value) in [
            (
                "process_resident_memory_bytes",
                "Memory.",
                usage.resident_bytes,
            ),
            ("process_open_fds", "File descriptors.", usage.open_fds),
            ("process_max_fds", "Possible descriptors.", usage.max_fds),
        ] {
            families.push(gauges(name, help, &plain(value)));
        }
    }
}

fn collect_workers(series: &Series, families: &mut Vec<proto::MetricFamily>) {
    let mut lags = Histograms::new();
    for (worker, lag) in &series.lags {
        let labels = vec![("worker", worker.to_string())];
        lags.entry(labels).or_default().add(&lag.counted());
    }
    families.push(histograms(
        "gwd_worker_loop_lag_seconds",
        "Duration of a turn of a worker's event loop, sampled ten times a second: the time that \
ready events wait.",
        &lags,
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
