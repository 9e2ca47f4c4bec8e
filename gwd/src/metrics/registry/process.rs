//! Metrics of the process: exhausted resources, memory, rare events, and resource usage.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::proto;

use super::Registry;
use crate::metrics::caches;
use crate::metrics::families::{Numbers, counters, gauges};
use crate::runtime::program_log;
use crate::telemetry::process;
use crate::telemetry::signal::Signal;

/// Counters of the export of each signal: name and help of the dropped items, then of the exported
/// ones.
const EXPORTS: [(Signal, [&str; 2], [&str; 2]); 3] = [
    (
        Signal::Traces,
        [
            "gwd_trace_dropped_total",
            "Spans of sampled requests that were not exported.",
        ],
        [
            "gwd_trace_exported_total",
            "Spans that the collector of traces has accepted.",
        ],
    ),
    (
        Signal::Metrics,
        [
            "gwd_otlp_metric_points_dropped_total",
            "Data points of metrics that were not exported by OTLP.",
        ],
        [
            "gwd_otlp_metric_points_exported_total",
            "Data points that the collector of metrics has accepted.",
        ],
    ),
    (
        Signal::Logs,
        [
            "gwd_otlp_log_records_dropped_total",
            "Lines of the access log that were not exported by OTLP.",
        ],
        [
            "gwd_otlp_log_records_exported_total",
            "Lines of the access log that the collector of logs has accepted.",
        ],
    ),
];

impl Registry {
    /// Collects the metrics of the process: refusals at its limits, memory, rare events and
    /// resource usage.
    pub(super) fn collect_process(&self, families: &mut Vec<proto::MetricFamily>) {
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
        families.push(gauges(
            "gwd_concurrency_waiting_requests",
            "Requests that wait for a permit of a `concurrency` policy.",
            &plain(self.shared.permits.waiting() as f64),
        ));
        let adapted = self.shared.limits.leases.adapted().into_iter().map(|one| {
            let labels = vec![("policy", one.policy.into()), ("route", one.route.into())];
            (labels, one.limit as f64)
        });
        families.push(gauges(
            "gwd_concurrency_limit",
            "Adaptive limits of `concurrency` policies.",
            &adapted.collect(),
        ));
        let memory = &self.shared.budgets.memory;
        families.push(gauges(
            "gwd_buffered_bytes",
            "Bytes buffered in the process because one side is slower than the other.",
            &plain(memory.buffered() as f64),
        ));
        families.push(gauges(
            "gwd_memory_used_bytes",
            "Memory that counts against the limit: estimated and buffered, or measured if that is more.",
            &plain(memory.used() as f64),
        ));
        if let Some(max) = memory.max() {
            families.push(gauges(
                "gwd_memory_max_bytes",
                "Memory limit.",
                &plain(max as f64),
            ));
        }
        self.collect_rare(families);
        self.collect_exports(families);
        caches::collect(&self.shared, families);
        families.push(counters(
            "gwd_validators_compiled_total",
            "Validators of operations that were compiled.",
            &plain(self.shared.validators.compilations() as f64),
        ));
        collect_usage(families);
    }

    /// Collects the counters of the exports by OTLP.
    fn collect_exports(&self, families: &mut Vec<proto::MetricFamily>) {
        let counts = &self.shared.process;
        for (signal, [dropped, dropped_help], [exported, exported_help]) in EXPORTS {
            let items = counts.dropped_items(signal).into_iter();
            let items =
                items.map(|(reason, items)| (vec![("reason", reason.into())], items as f64));
            families.push(counters(dropped, dropped_help, &items.collect()));
            let items = counts.exported_items(signal) as f64;
            let items = Numbers::from([(Vec::new(), items)]);
            families.push(counters(exported, exported_help, &items));
        }
    }

    /// Collects the counters of dropped log lines, panics, removed fields, cached tokens and closed
    /// connections.
    fn collect_rare(&self, families: &mut Vec<proto::MetricFamily>) {
        let counts = &self.shared.process;
        let plain = |value: f64| Numbers::from([(Vec::new(), value)]);
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
    }
}

/// Collects the resource usage of the process.
fn collect_usage(families: &mut Vec<proto::MetricFamily>) {
    let plain = |value: f64| Numbers::from([(Vec::new(), value)]);
    let usage = process::usage();
    families.push(counters(
        "process_cpu_seconds_total",
        "CPU time that the process has used.",
        &plain(usage.cpu_s),
    ));
    for (name, help, value) in [
        (
            "process_resident_memory_bytes",
            "Memory.",
            usage.resident_bytes,
        ),
        ("process_open_fds", "Open file descriptors.", usage.open_fds),
        (
            "process_max_fds",
            "Maximum number of open file descriptors.",
            usage.max_fds,
        ),
    ] {
        families.push(gauges(name, help, &plain(value)));
    }
}
