//! Metrics of clients' requests.

use std::sync::atomic::Ordering;

use prometheus::proto;

use super::{Registry, Series, status_label, version_label};
use crate::metrics::families::{Histograms, Numbers, histograms, numbers};
use crate::metrics::table;
use crate::telemetry::shard::{BodyBytes, METHODS, RequestKey, Served};

impl Registry {
    pub(super) fn collect_requests(
        &self,
        series: &Series,
        families: &mut Vec<proto::MetricFamily>,
    ) {
        let mut durations = Histograms::new();
        let mut overheads = Histograms::new();
        let (mut received, mut sent) = (Numbers::new(), Numbers::new());
        for (key, requests) in &series.requests {
            let RequestKey {
                route,
                method,
                status,
                version,
                tls,
                error,
                served: _,
            } = *key;
            let template = self.names.template(route).unwrap_or_default();
            let route = self.name(route);
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
            let labels = vec![
                ("http_route", template.clone()),
                ("route_id", route.clone()),
                ("http_request_method", METHODS[usize::from(method)].into()),
                ("http_response_status_code", status_label(status)),
                ("network_protocol_version", version_label(version).into()),
                ("url_scheme", if tls { "https" } else { "http" }.into()),
                ("error_type", error.0.into()),
            ];
            durations
                .entry(labels)
                .or_default()
                .add(&requests.durations());
            overheads
                .entry(of_route)
                .or_default()
                .add(&requests.overheads());
        }
        families.push(histograms(
            &table::SERVER_REQUEST_DURATION_SECONDS,
            &durations,
        ));
        families.push(histograms(&table::OVERHEAD_SECONDS, &overheads));
        families.push(numbers(&table::SERVER_REQUEST_BODY_BYTES_TOTAL, &received));
        families.push(numbers(&table::SERVER_RESPONSE_BODY_BYTES_TOTAL, &sent));
        families.push(numbers(&table::RELEASE_REQUESTS_TOTAL, &by_version(series)));
        families.push(numbers(&table::SERVER_ACTIVE_REQUESTS, &active(series)));
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
