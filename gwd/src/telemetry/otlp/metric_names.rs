//! Names, units and attributes of metrics in OTLP, from their names and labels for Prometheus.
//!
//! The conversion is the reverse of OpenTelemetry's rules for Prometheus: a collector that exports
//! to Prometheus by these rules gives the names of `/metrics` again, so that the same alerts and
//! dashboards apply.

/// Name and unit of a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MetricName {
    pub(super) name: String,
    /// Unit in UCUM; empty for a count.
    pub(super) unit: &'static str,
}

/// Suffixes of units in the names of Prometheus.
const UNITS: [(&str, &str); 2] = [("_seconds", "s"), ("_bytes", "By")];
/// Suffix of ratios in the names of Prometheus.
const RATIO: &str = "_ratio";
/// Unit of ratios.
const ONE: &str = "1";

/// First parts of names, in the form of Prometheus and of OpenTelemetry.
const NAMESPACES: [(&str, &str); 5] = [
    ("http_server_request_", "http.server.request."),
    ("http_server_response_", "http.server.response."),
    ("http_server_", "http.server."),
    ("gwd_", "gwd."),
    ("process_", "process."),
];
/// Like [`NAMESPACES`], for metrics of calls to upstreams.
const CLIENT_NAMESPACES: [(&str, &str); 2] = [
    ("http_client_request_", "http.client.request."),
    ("http_client_response_", "http.client.response."),
];

/// Labels that are attributes of OpenTelemetry's conventions.
const LABELS: [(&str, &str); 6] = [
    ("error_type", "error.type"),
    ("http_request_method", "http.request.method"),
    ("http_response_status_code", "http.response.status_code"),
    ("http_route", "http.route"),
    ("network_protocol_version", "network.protocol.version"),
    ("url_scheme", "url.scheme"),
];

impl MetricName {
    /// Name of the metric `name` of Prometheus. `is_counter`: its name ends with `_total`.
    pub(super) fn of(name: &str, is_counter: bool) -> Self {
        let base = match is_counter {
            true => name.strip_suffix("_total").unwrap_or(name),
            false => name,
        };
        let of_unit = UNITS
            .iter()
            .find_map(|(suffix, unit)| Some((base.strip_suffix(suffix)?, *unit)));
        let of_ratio = || Some((base.strip_suffix(RATIO)?, ONE)).filter(|_| !is_counter);
        let (base, unit) = of_unit.or_else(of_ratio).unwrap_or((base, ""));
        let all = CLIENT_NAMESPACES.iter().chain(&NAMESPACES);
        let mut named =
            all.filter_map(|(from, to)| Some(format!("{to}{}", base.strip_prefix(from)?)));
        Self {
            name: named.next().unwrap_or_else(|| base.to_owned()),
            unit,
        }
    }
}

/// Name of the attribute of a label.
pub(super) fn attribute_of(label: &str) -> &str {
    let known = LABELS.iter().find(|(name, _)| *name == label);
    known.map_or(label, |(_, attribute)| attribute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_form_of_opentelemetry() {
        for (name, is_counter, expected, unit) in [
            (
                "http_server_request_duration_seconds",
                false,
                "http.server.request.duration",
                "s",
            ),
            (
                "http_server_active_requests",
                false,
                "http.server.active_requests",
                "",
            ),
            (
                "http_client_request_duration_seconds",
                false,
                "http.client.request.duration",
                "s",
            ),
            (
                "http_client_response_body_bytes_total",
                true,
                "http.client.response.body",
                "By",
            ),
            ("gwd_trace_dropped_total", true, "gwd.trace_dropped", ""),
            ("gwd_bundle_info", false, "gwd.bundle_info", ""),
            (
                "gwd_bundle_last_success_timestamp_seconds",
                false,
                "gwd.bundle_last_success_timestamp",
                "s",
            ),
            ("gwd_quota_used_ratio", false, "gwd.quota_used", "1"),
            ("process_cpu_seconds_total", true, "process.cpu", "s"),
            (
                "process_resident_memory_bytes",
                false,
                "process.resident_memory",
                "By",
            ),
        ] {
            let expected = MetricName {
                name: expected.to_owned(),
                unit,
            };
            assert_eq!(MetricName::of(name, is_counter), expected);
        }
    }

    #[test]
    fn labels_of_http_have_the_names_of_opentelemetry() {
        assert_eq!(
            attribute_of("http_response_status_code"),
            "http.response.status_code"
        );
        assert_eq!(attribute_of("error_type"), "error.type");
        assert_eq!(attribute_of("route_id"), "route_id");
    }
}
