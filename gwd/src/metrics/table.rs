//! Table of all metrics: name, kind, labels and help text.
//!
//! [`families`](super::families) converts values only for metrics of this table. The page
//! `docs/metrics.md` is this table, and alerts and dashboards are tested against the page.

/// Kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Metric.
#[derive(Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Names of the labels that its series can have.
    pub(crate) labels: &'static [&'static str],
    pub(crate) help: &'static str,
}

macro_rules! metrics {
    ($($constant:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub(crate) static $constant: Metric = Metric {
            name: $name,
            kind: Kind::$kind,
            labels: &[$($label),*],
            help: $help,
        };)*

        /// All metrics.
        #[cfg(test)]
        static ALL: &[&Metric] = &[$(&$constant),*];
    };
}

metrics! {
    SERVER_REQUEST_DURATION_SECONDS: Histogram "http_server_request_duration_seconds"
        ["http_route", "route_id", "http_request_method", "http_response_status_code", "network_protocol_version", "url_scheme", "error_type"]
        "Time from a request's head to the last byte of its response.";
    OVERHEAD_SECONDS: Histogram "gwd_overhead_seconds" ["http_route", "route_id"]
        "Time that the gateway itself spends on a request.";
    SERVER_REQUEST_BODY_BYTES_TOTAL: Counter "http_server_request_body_bytes_total"
        ["http_route", "route_id"]
        "Bytes of request bodies that clients sent.";
    SERVER_RESPONSE_BODY_BYTES_TOTAL: Counter "http_server_response_body_bytes_total"
        ["http_route", "route_id"]
        "Bytes of response bodies sent to clients.";
    RELEASE_REQUESTS_TOTAL: Counter "gwd_release_requests_total" ["version"]
        "Requests while a node served two versions of a progressive release, by the version that served them.";
    SERVER_ACTIVE_REQUESTS: Gauge "http_server_active_requests"
        ["http_request_method", "url_scheme"]
        "Requests in flight.";
    WEBSOCKET_ACTIVE: Gauge "gwd_websocket_active" []
        "Open WebSocket connections of clients.";
    GRPC_STREAMS_ACTIVE: Gauge "gwd_grpc_streams_active" []
        "gRPC calls of clients in flight.";
    CLIENT_REQUEST_DURATION_SECONDS: Histogram "http_client_request_duration_seconds"
        ["upstream", "http_request_method", "http_response_status_code", "error_type"]
        "Time from sending a request to an upstream to its response's head.";
    CLIENT_REQUEST_BODY_BYTES_TOTAL: Counter "http_client_request_body_bytes_total" ["upstream"]
        "Bytes of request bodies for upstreams; retries do not count again.";
    CLIENT_RESPONSE_BODY_BYTES_TOTAL: Counter "http_client_response_body_bytes_total" ["upstream"]
        "Bytes of response bodies that upstreams sent.";
    UPSTREAM_CONNECTIONS: Gauge "gwd_upstream_connections" ["upstream", "state"]
        "Connections to upstreams.";
    UPSTREAM_CONNECT_DURATION_SECONDS: Histogram "gwd_upstream_connect_duration_seconds" ["upstream"]
        "Time to open a connection to an upstream, with its TLS handshake; only successful attempts.";
    UPSTREAM_RETRIES_TOTAL: Counter "gwd_upstream_retries_total" ["upstream", "reason"]
        "Requests that were retried.";
    TLS_HANDSHAKES_TOTAL: Counter "gwd_tls_handshakes_total" ["result", "version"]
        "TLS handshakes with clients, by result.";
    TLS_HANDSHAKE_DURATION_SECONDS: Histogram "gwd_tls_handshake_duration_seconds" []
        "Time of successful TLS handshakes with clients, from the first byte of the client.";
    MIRRORED_REQUESTS_TOTAL: Counter "gwd_mirrored_requests_total" ["upstream", "outcome"]
        "Copies of requests for mirrors, by result.";
    POLICY_CALLS_TOTAL: Counter "gwd_policy_calls_total" ["kind", "outcome"]
        "Calls of policies and verifiers (to services, stores and computations), by result.";
    UPSTREAM_HOST_HEALTHY: Gauge "gwd_upstream_host_healthy" ["upstream", "host"]
        "1 if a host receives requests; 0 while it is ejected or fails its health checks.";
    CIRCUIT_STATE: Gauge "gwd_circuit_state" ["upstream", "host", "policy"]
        "State of circuit breakers that have changed at least once: 0 closed, 1 half open (test requests), 2 open.";
    UPSTREAM_PENDING_REQUESTS: Gauge "gwd_upstream_pending_requests" ["upstream"]
        "Requests that wait for a connection or for its opening.";
    UPSTREAM_EJECTIONS_TOTAL: Counter "gwd_upstream_ejections_total" ["upstream", "reason"]
        "Hosts that outlier detection ejected.";
    CIRCUIT_TRANSITIONS_TOTAL: Counter "gwd_circuit_transitions_total"
        ["upstream", "host", "policy", "to"]
        "Transitions of circuit breakers: opened, half opened, closed.";
    RETRY_BUDGET_EXHAUSTED_TOTAL: Counter "gwd_retry_budget_exhausted_total" ["upstream"]
        "Retries that the budget did not admit.";
    UPSTREAM_RETRIES_GIVEN_UP_TOTAL: Counter "gwd_upstream_retries_given_up_total" ["upstream"]
        "Retries that were not made because the request's body could not be sent again.";
    UPSTREAM_HEALTH_CHECKS_TOTAL: Counter "gwd_upstream_health_checks_total"
        ["upstream", "host", "result"]
        "Health checks that the gateway made.";
    UPSTREAM_CONNECT_FAILURES_TOTAL: Counter "gwd_upstream_connect_failures_total"
        ["upstream", "host"]
        "Failed attempts to open a connection for a request.";
    UPSTREAM_CONNECTIONS_FULL_TOTAL: Counter "gwd_upstream_connections_full_total" ["upstream"]
        "Requests that found all connections of the upstream in use.";
    UPSTREAM_ENDPOINTS: Gauge "gwd_upstream_endpoints" ["upstream"]
        "Number of hosts of an upstream.";
    UPSTREAM_ENDPOINT_AGE_SECONDS: Gauge "gwd_upstream_endpoint_age_seconds" ["upstream"]
        "Time since the hosts of an upstream were last confirmed, by the source with the oldest answer.";
    UPSTREAM_DISCOVERY_TOTAL: Counter "gwd_upstream_discovery_total" ["upstream", "result"]
        "Answers of name servers and files about the hosts of an upstream, by result.";
    KEY_SET_KEYS: Gauge "gwd_key_set_keys" ["source"]
        "Number of keys in a fetched key set.";
    KEY_SET_AGE_SECONDS: Gauge "gwd_key_set_age_seconds" ["source"]
        "Time since a key set was fetched.";
    KEY_SET_FETCHES_TOTAL: Counter "gwd_key_set_fetches_total" ["source", "result"]
        "Fetches of key sets.";
    REJECTIONS_TOTAL: Counter "gwd_rejections_total" ["http_route", "route_id", "policy", "reason"]
        "Requests that were refused.";
    REJECTIONS_LOGGED_TOTAL: Counter "gwd_rejections_logged_total"
        ["http_route", "route_id", "policy", "reason"]
        "Requests that a policy with `mode: log` would have refused.";
    RATELIMIT_DECISIONS_TOTAL: Counter "gwd_ratelimit_decisions_total" ["policy", "decision"]
        "Decisions of rate limits and quotas.";
    QUOTA_WARNINGS_TOTAL: Counter "gwd_quota_warnings_total" ["policy"]
        "Requests that exceeded a `warn` threshold of a quota.";
    STORE_UP: Gauge "gwd_store_up" ["store"]
        "1 if a store answers; 0 while its limits apply `on_outage`.";
    STORE_GATEWAYS: Gauge "gwd_store_gateways" ["store"]
        "Gateways that use leases of a store (`sync: synced`), this one included. 0: unknown or none.";
    STORE_LEASES: Gauge "gwd_store_leases" ["store"]
        "Counters of a store for which this gateway has a lease (`sync: synced`).";
    RATELIMIT_OVERFLOW_TOTAL: Counter "gwd_ratelimit_overflow_total" ["table"]
        "Requests whose key found no free slot and shared an overflow counter.";
    RATELIMIT_EVICTED_TOTAL: Counter "gwd_ratelimit_evicted_total" ["table"]
        "Keys that took a slot from a network or a limit that used more slots than its share.";
    SIGNING_KEY_NOT_AFTER_TIMESTAMP_SECONDS: Gauge "gwd_signing_key_not_after_timestamp_seconds"
        ["owner", "key"]
        "Expiry of the active signing keys of the trust file.";
    SECRET_STALE: Gauge "gwd_secret_stale" ["reference"]
        "Secrets whose source is missing or unusable; their last value stays in use.";
    TLS_CERT_NOT_AFTER_TIMESTAMP_SECONDS: Gauge "gwd_tls_cert_not_after_timestamp_seconds" ["name"]
        "Expiry of the certificates in use.";
    ALARM: Gauge "gwd_alarm" ["alarm"]
        "Active alarms; traffic is still served.";
    BUNDLE_INFO: Gauge "gwd_bundle_info" ["bundle", "serial", "channel"]
        "Running bundle.";
    RELEASE_STEP: Gauge "gwd_release_step" ["belongs", "of"]
        "Current step of the progressive release; absent if the channel's head is complete.";
    RELEASE_SHADOW_TOTAL: Counter "gwd_release_shadow_total" ["result"]
        "Requests that the candidate of a progressive release decided too, by result.";
    RELEASE_GUARD_TOTAL: Counter "gwd_release_guard_total" ["result"]
        "Guards of progressive releases that ended, by result.";
    BUNDLE_ACTIVATIONS_TOTAL: Counter "gwd_bundle_activations_total" ["result", "reason"]
        "Activations of bundles, by result and reason.";
    BUNDLE_LAST_SUCCESS_TIMESTAMP_SECONDS: Gauge "gwd_bundle_last_success_timestamp_seconds" []
        "Time of the last activation.";
    BUNDLE_ROLLBACKS_TOTAL: Counter "gwd_bundle_rollbacks_total" []
        "Switches to an earlier bundle.";
    STORE_LOOKS_TOTAL: Counter "gwd_store_looks_total" []
        "Polls of the store.";
    REGISTRY_LAST_UPDATE_TIMESTAMP_SECONDS: Gauge "gwd_registry_last_update_timestamp_seconds" []
        "Time of the last update from the registry; 0 if there was none.";
    REGISTRY_POLLS_TOTAL: Counter "gwd_registry_polls_total" ["result"]
        "Polls of the registry, by result.";
    BUNDLE_SNAPSHOTS_LIVE: Gauge "gwd_bundle_snapshots_live" []
        "Snapshots in memory.";
    INSECURE_ALLOW_UNSIGNED: Gauge "gwd_insecure_allow_unsigned" []
        "1 if unsigned bundles are allowed.";
    REPLAY_UNPROTECTED: Gauge "gwd_replay_unprotected" []
        "1 if neither state folder nor floor protects against replayed records.";
    REVOCATIONS_UNPROTECTED: Gauge "gwd_revocations_unprotected" []
        "1 if neither floor nor a second record shows that the revocation list is the newest.";
    DOWNSTREAM_CONNECTIONS: Gauge "gwd_downstream_connections" ["listener", "state"]
        "Connections of clients.";
    BUNDLE_ACTIVATION_DURATION_SECONDS: Histogram "gwd_bundle_activation_duration_seconds" []
        "Time from finding a bundle until the last worker serves it.";
    BUNDLE_PROPAGATION_SECONDS: Histogram "gwd_bundle_propagation_seconds" []
        "Time from the signing of a record until the last worker serves it.";
    WORKER_LOOP_LAG_SECONDS: Histogram "gwd_worker_loop_lag_seconds" ["worker"]
        "Duration of an iteration of a worker's event loop, sampled ten times a second: the time that ready events wait.";
    LOG_SAMPLED_OUT_TOTAL: Counter "gwd_log_sampled_out_total" []
        "Requests without a line in the access log because of its sampling.";
    OVERLOAD_SHED_TOTAL: Counter "gwd_overload_shed_total" ["resource"]
        "Connections and requests refused because a resource of the process was exhausted.";
    CONCURRENCY_WAITING_REQUESTS: Gauge "gwd_concurrency_waiting_requests" []
        "Requests that wait for a permit of a `concurrency` policy.";
    CONCURRENCY_LIMIT: Gauge "gwd_concurrency_limit" ["policy", "route"]
        "Adaptive limits of `concurrency` policies.";
    BUFFERED_BYTES: Gauge "gwd_buffered_bytes" []
        "Bytes buffered in the process because one side is slower than the other.";
    MEMORY_USED_BYTES: Gauge "gwd_memory_used_bytes" []
        "Memory that counts against the limit: estimated and buffered, or measured if that is more.";
    MEMORY_MAX_BYTES: Gauge "gwd_memory_max_bytes" []
        "Memory limit.";
    VALIDATORS_COMPILED_TOTAL: Counter "gwd_validators_compiled_total" []
        "Validators of operations that were compiled.";
    PROCESS_CPU_SECONDS_TOTAL: Counter "process_cpu_seconds_total" []
        "CPU time that the process has used.";
    TRACE_DROPPED_TOTAL: Counter "gwd_trace_dropped_total" ["reason"]
        "Spans of sampled requests that were not exported.";
    TRACE_EXPORTED_TOTAL: Counter "gwd_trace_exported_total" []
        "Spans that the collector of traces has accepted.";
    OTLP_METRIC_POINTS_DROPPED_TOTAL: Counter "gwd_otlp_metric_points_dropped_total" ["reason"]
        "Data points of metrics that were not exported by OTLP.";
    OTLP_METRIC_POINTS_EXPORTED_TOTAL: Counter "gwd_otlp_metric_points_exported_total" []
        "Data points that the collector of metrics has accepted.";
    OTLP_LOG_RECORDS_DROPPED_TOTAL: Counter "gwd_otlp_log_records_dropped_total" ["reason"]
        "Lines of the access log that were not exported by OTLP.";
    OTLP_LOG_RECORDS_EXPORTED_TOTAL: Counter "gwd_otlp_log_records_exported_total" []
        "Lines of the access log that the collector of logs has accepted.";
    LOG_DROPPED_TOTAL: Counter "gwd_log_dropped_total" []
        "Lines of the access log and of the program log that were dropped.";
    PANICS_TOTAL: Counter "gwd_panics_total" []
        "Exchanges that ended in a panic.";
    LOOKALIKE_FIELDS_TOTAL: Counter "gwd_lookalike_fields_total" []
        "Request fields that were removed because a server that reads `_` or `.` as `-` could take them for a security-relevant field.";
    TOKEN_CACHE_HITS_TOTAL: Counter "gwd_token_cache_hits_total" []
        "Tokens found in the cache of verified tokens.";
    TOKEN_CACHE_MISSES_TOTAL: Counter "gwd_token_cache_misses_total" []
        "Tokens not found in the cache of verified tokens.";
    DRAIN_FORCED_CLOSES_TOTAL: Counter "gwd_drain_forced_closes_total" []
        "Connections that were still open at the end of a drain.";
    PROCESS_RESIDENT_MEMORY_BYTES: Gauge "process_resident_memory_bytes" []
        "Memory.";
    PROCESS_OPEN_FDS: Gauge "process_open_fds" []
        "Open file descriptors.";
    PROCESS_MAX_FDS: Gauge "process_max_fds" []
        "Maximum number of open file descriptors.";
    CACHE_ENTRIES: Gauge "gwd_cache_entries" ["cache"]
        "Entries of a cache or of a table of used credentials.";
    CACHE_BYTES: Gauge "gwd_cache_bytes" ["cache"]
        "Estimated size of a cache or of a table of used credentials.";
    CACHE_EVICTED_TOTAL: Counter "gwd_cache_evicted_total" ["cache"]
        "Entries that a cache removed to make room.";
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");

    /// The page has a fixed beginning, up to the table.
    #[test]
    fn page_of_metrics_is_this_table() {
        let kept = std::fs::read_to_string(PAGE).unwrap_or_default();
        let rule = "|---|---|---|---|\n";
        let (head, _) = kept.split_once(rule).expect("the head of a table");
        let rows = ALL.iter().map(|metric| {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            let labels: Vec<String> = metric
                .labels
                .iter()
                .map(|label| format!("`{label}`"))
                .collect();
            let (name, labels, help) = (metric.name, labels.join(", "), metric.help);
            format!("| `{name}` | {kind} | {labels} | {help} |\n")
        });
        let mut rows: Vec<String> = rows.collect();
        rows.sort();
        let page = format!("{head}{rule}{}", rows.concat());
        if std::env::var_os("GWC_UPDATE").is_some() {
            return std::fs::write(PAGE, page).expect("the page is written");
        }
        assert!(
            kept == page,
            "docs/metrics.md is stale: run with GWC_UPDATE=1"
        );
    }

    #[test]
    fn names_follow_the_conventions() {
        let mut names: Vec<&str> = ALL.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len(), "a name twice");
        for metric in ALL {
            let is_total = metric.name.ends_with("_total");
            assert_eq!(is_total, metric.kind == Kind::Counter, "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }
}
