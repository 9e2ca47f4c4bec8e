//! Metrics of clients' requests.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use prometheus::proto;

use super::{Registry, Series, status_label, version_label};
use crate::metrics::families::{Histograms, Labels, Numbers, histograms, numbers};
use crate::metrics::table;
use crate::telemetry::exemplar::BucketExemplars;
use crate::telemetry::shard::{BodyBytes, LongLived, METHODS, RequestKey, Served};

impl Registry {
    /// Collects the metrics of requests. Returns the exemplars of each series of the request
    /// durations, in the order of the family.
    pub(super) fn collect_requests(
        &self,
        series: &Series,
        families: &mut Vec<proto::MetricFamily>,
    ) -> Vec<Option<BucketExemplars>> {
        let mut durations = Histograms::new();
        let mut exemplars: BTreeMap<Labels, BucketExemplars> = BTreeMap::new();
        let mut overheads = Histograms::new();
        let (mut received, mut sent) = (Numbers::new(), Numbers::new());
        for (key, requests) in &series.requests {
            let template = self.names.template(key.route).unwrap_or_default();
            let route = self.name(key.route);
            if route.is_empty() {
                continue;
            }
            let of_route = vec![
                ("http_route", template.clone()),
                ("route_id", route.clone()),
            ];
            let BodyBytes { request, response } = requests.bytes();
            *received.entry(of_route.clone()).or_default() += request as f64;
            *sent.entry(of_route.clone()).or_default() += response as f64;
            let labels = labels_of(*key, template, route);
            let sampled = requests.exemplars();
            if sampled.iter().any(Option::is_some) {
                add_newest(exemplars.entry(labels.clone()).or_default(), &sampled);
            }
            durations
                .entry(labels)
                .or_default()
                .add(&requests.durations());
            overheads
                .entry(of_route)
                .or_default()
                .add(&requests.overheads());
        }
        let exemplars = durations
            .keys()
            .map(|labels| exemplars.get(labels).copied());
        let exemplars = exemplars.collect();
        families.push(histograms(
            &table::SERVER_REQUEST_DURATION_SECONDS,
            &durations,
        ));
        families.push(histograms(&table::OVERHEAD_SECONDS, &overheads));
        families.push(numbers(&table::SERVER_REQUEST_BODY_BYTES_TOTAL, &received));
        families.push(numbers(&table::SERVER_RESPONSE_BODY_BYTES_TOTAL, &sent));
        families.push(numbers(&table::RELEASE_REQUESTS_TOTAL, &by_version(series)));
        collect_active(series, families);
        exemplars
    }
}

fn labels_of(key: RequestKey, template: String, route: String) -> Labels {
    let scheme = if key.tls { "https" } else { "http" };
    vec![
        ("http_route", template),
        ("route_id", route),
        (
            "http_request_method",
            METHODS[usize::from(key.method)].into(),
        ),
        ("http_response_status_code", status_label(key.status)),
        (
            "network_protocol_version",
            version_label(key.version).into(),
        ),
        ("url_scheme", scheme.into()),
        ("error_type", key.error.0.into()),
    ]
}

/// Collects the numbers of requests in flight, and of exchanges that can stay open for long.
fn collect_active(series: &Series, families: &mut Vec<proto::MetricFamily>) {
    families.push(numbers(&table::SERVER_ACTIVE_REQUESTS, &active(series)));
    let open = |kind: LongLived| {
        let counts = series.long_lived.iter();
        let counts = counts.map(|worker| worker[kind as usize].load(Ordering::Relaxed));
        Numbers::from([(Vec::new(), counts.sum::<i64>() as f64)])
    };
    families.push(numbers(
        &table::WEBSOCKET_ACTIVE,
        &open(LongLived::WebSocket),
    ));
    families.push(numbers(&table::GRPC_STREAMS_ACTIVE, &open(LongLived::Grpc)));
}

/// Replaces exemplars by newer ones.
fn add_newest(all: &mut BucketExemplars, more: &BucketExemplars) {
    for (one, other) in all.iter_mut().zip(more) {
        if other.map(|other| other.unix_ms) > one.map(|one| one.unix_ms) {
            *one = *other;
        }
    }
}

/// Requests in flight, by method.
fn active(series: &Series) -> Numbers {
    let mut active = Numbers::new();
    for worker in &series.active {
        for (method, count) in METHODS.iter().zip(worker.iter()) {
            let labels = vec![
                ("http_request_method", (*method).to_owned()),
                ("url_scheme", "http".into()),
            ];
            *active.entry(labels).or_default() += count.load(Ordering::Relaxed) as f64;
        }
    }
    active
}

/// Requests of the two versions of a progressive release. Empty if the node has not served two
/// versions since its start.
fn by_version(series: &Series) -> Numbers {
    let totals = series.totals();
    let versions = [
        ("base", Served::OF_BASE),
        ("candidate", Served::OF_CANDIDATE),
    ];
    let counts = versions.map(|(name, served)| {
        let labels = vec![("version", name.to_owned())];
        let requests = served.map(|served| totals.of(served).requests());
        (labels, requests.iter().sum::<u64>() as f64)
    });
    match counts.iter().any(|(_, count)| *count > 0.0) {
        true => Numbers::from(counts),
        false => Numbers::new(),
    }
}
