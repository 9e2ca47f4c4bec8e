//! Metrics of the control thread about bundles, keys and listeners.

use std::sync::atomic::Ordering;

use prometheus::proto;

use super::{Bundles, Registry};
use crate::metrics::families::{Histograms, Numbers, Sum, counters, gauges, histograms};
use crate::telemetry::shadow::ShadowReport;

impl Registry {
    /// Collects the metrics about bundles, keys, secrets, alarms and listeners.
    pub(super) fn collect_bundles(&self, families: &mut Vec<proto::MetricFamily>) {
        let bundles = self.bundles();
        collect_warnings(&bundles, families);
        collect_activations(&bundles, &self.shared.shadow, families);
        let live = self.shared.live.load(Ordering::Relaxed);
        collect_state(&bundles, live, families);
        collect_listeners(&bundles, families);
    }
}

/// Collects expiry times, stale secrets and alarms.
fn collect_warnings(bundles: &Bundles, families: &mut Vec<proto::MetricFamily>) {
    let signing_keys = bundles.signing_keys.iter().map(|((owner, key), end_s)| {
        let labels = vec![("owner", owner.clone()), ("key", key.clone())];
        (labels, *end_s as f64)
    });
    families.push(gauges(
        "gwd_signing_key_not_after_timestamp_seconds",
        "Expiry of the active signing keys of the trust file.",
        &signing_keys.collect(),
    ));
    let stale = bundles.stale_secrets.iter();
    let stale = stale.map(|reference| (vec![("reference", reference.clone())], 1.0));
    families.push(gauges(
        "gwd_secret_stale",
        "Secrets whose source is missing or unusable; their last value stays in use.",
        &stale.collect(),
    ));
    let certificates = bundles.certificates.iter();
    let certificates =
        certificates.map(|(name, end_s)| (vec![("name", name.clone())], *end_s as f64));
    families.push(gauges(
        "gwd_tls_cert_not_after_timestamp_seconds",
        "Expiry of the certificates in use.",
        &certificates.collect(),
    ));
    let alarms = bundles.alarms.iter();
    let alarms = alarms.map(|alarm| (vec![("alarm", (*alarm).to_owned())], 1.0));
    families.push(gauges(
        "gwd_alarm",
        "Active alarms; traffic is still served.",
        &alarms.collect(),
    ));
}

/// Collects the running bundle and the activations.
fn collect_activations(
    bundles: &Bundles,
    shadow: &ShadowReport,
    families: &mut Vec<proto::MetricFamily>,
) {
    let info = bundles.running.iter().map(|(bundle, serial, channel)| {
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
    if let Some((of, belongs, step)) = bundles.rollout {
        let labels = vec![("belongs", belongs.to_string()), ("of", of.to_string())];
        families.push(gauges(
            "gwd_release_step",
            "Current step of the progressive release; absent if the channel's head is complete.",
            &Numbers::from([(labels, f64::from(step))]),
        ));
    }
    let guards = bundles.guards.iter().map(|(result, count)| {
        let labels = vec![("result", (*result).to_owned())];
        (labels, *count as f64)
    });
    families.push(counters(
        "gwd_release_guard_total",
        "Guards of progressive releases that ended, by result.",
        &guards.collect(),
    ));
    let shadow = shadow.results().map(|(result, count)| {
        let labels = vec![("result", result.to_owned())];
        (labels, count as f64)
    });
    families.push(counters(
        "gwd_release_shadow_total",
        "Requests that the candidate of a progressive release decided too, by result.",
        &shadow.collect(),
    ));
    let activations = bundles.activations.iter().map(|((result, reason), count)| {
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
            &bundles.activation_seconds,
        ),
        (
            "gwd_bundle_propagation_seconds",
            "Time from the signing of a record until the last worker serves it.",
            &bundles.propagation_seconds,
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
}

/// Collects the metrics about bundles that have no labels. `live`: number of snapshots in memory.
fn collect_state(bundles: &Bundles, live: i64, families: &mut Vec<proto::MetricFamily>) {
    let plain = |value: f64| Numbers::from([(Vec::new(), value)]);
    families.push(gauges(
        "gwd_bundle_last_success_timestamp_seconds",
        "Time of the last activation.",
        &plain(bundles.last_success_unix_s),
    ));
    families.push(counters(
        "gwd_bundle_rollbacks_total",
        "Switches to an earlier bundle.",
        &plain(bundles.rollbacks as f64),
    ));
    families.push(counters(
        "gwd_store_looks_total",
        "Polls of the store.",
        &plain(bundles.polls as f64),
    ));
    if let Some(updated) = bundles.registry_updated_unix_s {
        families.push(gauges(
            "gwd_registry_last_update_timestamp_seconds",
            "Time of the last update from the registry; 0 if there was none.",
            &plain(updated as f64),
        ));
    }
    if let Some(polls) = bundles.registry_polls {
        let polls = polls.into_iter().map(|(result, count)| {
            let labels = vec![("result", result.to_owned())];
            (labels, count as f64)
        });
        families.push(counters(
            "gwd_registry_polls_total",
            "Polls of the registry, by result.",
            &polls.collect(),
        ));
    }
    families.push(gauges(
        "gwd_bundle_snapshots_live",
        "Snapshots in memory.",
        &plain(live as f64),
    ));
    families.push(gauges(
        "gwd_insecure_allow_unsigned",
        "1 if unsigned bundles are allowed.",
        &plain(f64::from(u8::from(bundles.insecure))),
    ));
    families.push(gauges(
        "gwd_replay_unprotected",
        "1 if neither state folder nor floor protects against replayed records.",
        &plain(f64::from(u8::from(bundles.replay_unprotected))),
    ));
    families.push(gauges(
        "gwd_revocations_unprotected",
        "1 if neither floor nor a second record shows that the revocation list is the newest.",
        &plain(f64::from(u8::from(bundles.revocations_unprotected))),
    ));
}

/// Collects the connections of clients.
fn collect_listeners(bundles: &Bundles, families: &mut Vec<proto::MetricFamily>) {
    let mut downstream = Numbers::new();
    for (listener, socket) in &bundles.connections {
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
