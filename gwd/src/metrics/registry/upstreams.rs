//! Metrics of calls to upstreams, and of the upstreams' states.

use std::sync::atomic::Ordering;

use prometheus::proto;

use super::{Registry, Series, status_label};
use crate::metrics::families::{Histograms, Numbers, Sum, histograms, numbers, sums, value};
use crate::metrics::{found, keys, table, upstream_states};
use crate::telemetry::shard::{BodyBytes, CallKey, METHODS};

impl Registry {
    /// Collects the metrics of calls, connections, and effects of the chain.
    pub(super) fn collect_upstreams(
        &self,
        series: &Series,
        families: &mut Vec<proto::MetricFamily>,
    ) {
        self.collect_calls(series, families);
        self.collect_connections(series, families);
        self.collect_effects(series, families);
        self.collect_upstream_states(families);
    }

    fn collect_calls(&self, series: &Series, families: &mut Vec<proto::MetricFamily>) {
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
        families.push(histograms(&table::CLIENT_REQUEST_DURATION_SECONDS, &calls));
        let (mut sent, mut received) = (Numbers::new(), Numbers::new());
        for (upstream, counts) in &series.bytes {
            let labels = vec![("upstream", self.name(*upstream))];
            let BodyBytes { request, response } = counts.counted();
            *sent.entry(labels.clone()).or_default() += request as f64;
            *received.entry(labels).or_default() += response as f64;
        }
        families.push(numbers(&table::CLIENT_REQUEST_BODY_BYTES_TOTAL, &sent));
        families.push(numbers(&table::CLIENT_RESPONSE_BODY_BYTES_TOTAL, &received));
    }

    fn collect_connections(&self, series: &Series, families: &mut Vec<proto::MetricFamily>) {
        let connections = series.pools.iter().flat_map(|(upstream, gauge)| {
            [("active", &gauge.active), ("idle", &gauge.idle)].map(|(state, cell)| {
                let labels = vec![("upstream", self.name(*upstream)), ("state", state.into())];
                (labels, cell.load(Ordering::Relaxed) as f64)
            })
        });
        families.push(numbers(&table::UPSTREAM_CONNECTIONS, &sums(connections)));
        let mut opened = Histograms::new();
        for (upstream, gauge) in &series.pools {
            let labels = vec![("upstream", self.name(*upstream))];
            let counted = gauge.opened.counted();
            opened.entry(labels).or_default().add(&counted);
        }
        families.push(histograms(
            &table::UPSTREAM_CONNECT_DURATION_SECONDS,
            &opened,
        ));
        let retries = series.retries.iter().map(|(upstream, reason, count)| {
            let labels = vec![
                ("upstream", self.name(*upstream)),
                ("reason", (*reason).into()),
            ];
            (labels, value(count))
        });
        families.push(numbers(&table::UPSTREAM_RETRIES_TOTAL, &sums(retries)));
        let handshakes = series.handshakes.iter().map(|(outcome, count)| {
            let labels = vec![
                ("result", outcome.result.to_owned()),
                ("version", outcome.version.to_owned()),
            ];
            (labels, value(count))
        });
        families.push(numbers(&table::TLS_HANDSHAKES_TOTAL, &sums(handshakes)));
        let mut durations = Sum::default();
        for worker in &series.handshake_durations {
            durations.add(&worker.counted());
        }
        let durations = match series.handshakes.is_empty() {
            true => Histograms::new(),
            false => Histograms::from([(Vec::new(), durations)]),
        };
        families.push(histograms(
            &table::TLS_HANDSHAKE_DURATION_SECONDS,
            &durations,
        ));
    }

    fn collect_effects(&self, series: &Series, families: &mut Vec<proto::MetricFamily>) {
        let mirrored = series.mirrored.iter().map(|(upstream, outcome, count)| {
            let labels = vec![
                ("upstream", self.name(*upstream)),
                ("outcome", (*outcome).into()),
            ];
            (labels, value(count))
        });
        families.push(numbers(&table::MIRRORED_REQUESTS_TOTAL, &sums(mirrored)));
        let calls = series.policy_calls.iter().map(|(kind, outcome, count)| {
            let labels = vec![
                ("kind", (*kind).to_owned()),
                ("outcome", (*outcome).to_owned()),
            ];
            (labels, value(count))
        });
        families.push(numbers(&table::POLICY_CALLS_TOTAL, &sums(calls)));
    }

    /// Collects the metrics of host discovery and of the upstreams' states.
    fn collect_upstream_states(&self, families: &mut Vec<proto::MetricFamily>) {
        let states = upstream_states::read(&self.states, self.shared.clock.now_ms());
        let found = found::read(&self.shared);
        let keys = keys::read(&self.shared);
        let gauges = states.gauges.iter().chain(&found.gauges);
        let all_gauges = gauges.chain(&keys.gauges);
        let counters = states.counters.iter().chain(&found.counters);
        let all_counters = counters.chain(&keys.counters);
        for (metric, series) in all_gauges.chain(all_counters) {
            families.push(numbers(metric, series));
        }
    }
}
