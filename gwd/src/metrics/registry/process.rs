//! Metrics of the process: exhausted resources, memory, rare events, and resource usage.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::proto;

use super::Registry;
use crate::metrics::caches;
use crate::metrics::families::{Numbers, numbers};
use crate::metrics::table::{self, Metric};
use crate::runtime::program_log;
use crate::telemetry::process;
use crate::telemetry::signal::Signal;

/// Counters of the export of each signal: dropped items, then exported ones.
static EXPORTS: [(Signal, &Metric, &Metric); 3] = [
    (
        Signal::Traces,
        &table::TRACE_DROPPED_TOTAL,
        &table::TRACE_EXPORTED_TOTAL,
    ),
    (
        Signal::Metrics,
        &table::OTLP_METRIC_POINTS_DROPPED_TOTAL,
        &table::OTLP_METRIC_POINTS_EXPORTED_TOTAL,
    ),
    (
        Signal::Logs,
        &table::OTLP_LOG_RECORDS_DROPPED_TOTAL,
        &table::OTLP_LOG_RECORDS_EXPORTED_TOTAL,
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
        families.push(numbers(&table::OVERLOAD_SHED_TOTAL, &sheds.collect()));
        let plain = |value: f64| Numbers::from([(Vec::new(), value)]);
        families.push(numbers(
            &table::CONCURRENCY_WAITING_REQUESTS,
            &plain(self.shared.permits.waiting() as f64),
        ));
        let adapted = self.shared.limits.leases.adapted().into_iter().map(|one| {
            let labels = vec![("policy", one.policy.into()), ("route", one.route.into())];
            (labels, one.limit as f64)
        });
        families.push(numbers(&table::CONCURRENCY_LIMIT, &adapted.collect()));
        let memory = &self.shared.budgets.memory;
        families.push(numbers(
            &table::BUFFERED_BYTES,
            &plain(memory.buffered() as f64),
        ));
        families.push(numbers(
            &table::MEMORY_USED_BYTES,
            &plain(memory.used() as f64),
        ));
        if let Some(max) = memory.max() {
            families.push(numbers(&table::MEMORY_MAX_BYTES, &plain(max as f64)));
        }
        self.collect_rare(families);
        self.collect_exports(families);
        caches::collect(&self.shared, families);
        families.push(numbers(
            &table::VALIDATORS_COMPILED_TOTAL,
            &plain(self.shared.validators.compilations() as f64),
        ));
        collect_usage(families);
    }

    /// Collects the counters of the exports by OTLP.
    fn collect_exports(&self, families: &mut Vec<proto::MetricFamily>) {
        let counts = &self.shared.process;
        for (signal, dropped, exported) in &EXPORTS {
            let items = counts.dropped_items(*signal).into_iter();
            let items =
                items.map(|(reason, items)| (vec![("reason", reason.into())], items as f64));
            families.push(numbers(dropped, &items.collect()));
            let items = counts.exported_items(*signal) as f64;
            let items = Numbers::from([(Vec::new(), items)]);
            families.push(numbers(exported, &items));
        }
    }

    /// Collects the counters of dropped log lines, panics, removed fields, cached tokens and closed
    /// connections.
    fn collect_rare(&self, families: &mut Vec<proto::MetricFamily>) {
        let counts = &self.shared.process;
        let plain = |value: f64| Numbers::from([(Vec::new(), value)]);
        let count = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        for (metric, value) in [
            (
                &table::LOG_DROPPED_TOTAL,
                count(&counts.log_dropped) + program_log::dropped(),
            ),
            (&table::PANICS_TOTAL, count(&counts.panics)),
            (&table::LOOKALIKE_FIELDS_TOTAL, count(&counts.lookalikes)),
            (&table::TOKEN_CACHE_HITS_TOTAL, count(&counts.token_hits)),
            (
                &table::TOKEN_CACHE_MISSES_TOTAL,
                count(&counts.token_misses),
            ),
            (
                &table::DRAIN_FORCED_CLOSES_TOTAL,
                count(&counts.forced_closes),
            ),
        ] {
            families.push(numbers(metric, &plain(value as f64)));
        }
    }
}

/// Collects the resource usage of the process.
fn collect_usage(families: &mut Vec<proto::MetricFamily>) {
    let plain = |value: f64| Numbers::from([(Vec::new(), value)]);
    let usage = process::usage();
    families.push(numbers(
        &table::PROCESS_CPU_SECONDS_TOTAL,
        &plain(usage.cpu_s),
    ));
    for (metric, value) in [
        (&table::PROCESS_RESIDENT_MEMORY_BYTES, usage.resident_bytes),
        (&table::PROCESS_OPEN_FDS, usage.open_fds),
        (&table::PROCESS_MAX_FDS, usage.max_fds),
    ] {
        families.push(numbers(metric, &plain(value)));
    }
}
