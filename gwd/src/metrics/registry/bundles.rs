//! Metrics of the control thread about bundles, keys and listeners.

use std::sync::atomic::Ordering;

use prometheus::proto;

use super::{Bundles, Registry};
use crate::metrics::families::{Histograms, Numbers, Sum, histograms, numbers};
use crate::metrics::table;
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
    families.push(numbers(
        &table::SIGNING_KEY_NOT_AFTER_TIMESTAMP_SECONDS,
        &signing_keys.collect(),
    ));
    let stale = bundles.stale_secrets.iter();
    let stale = stale.map(|reference| (vec![("reference", reference.clone())], 1.0));
    families.push(numbers(&table::SECRET_STALE, &stale.collect()));
    let certificates = bundles.certificates.iter();
    let certificates =
        certificates.map(|(name, end_s)| (vec![("name", name.clone())], *end_s as f64));
    families.push(numbers(
        &table::TLS_CERT_NOT_AFTER_TIMESTAMP_SECONDS,
        &certificates.collect(),
    ));
    let alarms = bundles.alarms.iter();
    let alarms = alarms.map(|alarm| (vec![("alarm", (*alarm).to_owned())], 1.0));
    families.push(numbers(&table::ALARM, &alarms.collect()));
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
    families.push(numbers(&table::BUNDLE_INFO, &info.collect()));
    if let Some((of, belongs, step)) = bundles.rollout {
        let labels = vec![("belongs", belongs.to_string()), ("of", of.to_string())];
        families.push(numbers(
            &table::RELEASE_STEP,
            &Numbers::from([(labels, f64::from(step))]),
        ));
    }
    let guards = bundles.guards.iter().map(|(result, count)| {
        let labels = vec![("result", (*result).to_owned())];
        (labels, *count as f64)
    });
    families.push(numbers(&table::RELEASE_GUARD_TOTAL, &guards.collect()));
    let shadow = shadow.results().map(|(result, count)| {
        let labels = vec![("result", result.to_owned())];
        (labels, count as f64)
    });
    families.push(numbers(&table::RELEASE_SHADOW_TOTAL, &shadow.collect()));
    let activations = bundles.activations.iter().map(|((result, reason), count)| {
        let labels = vec![("result", (*result).into()), ("reason", reason.clone())];
        (labels, *count as f64)
    });
    families.push(numbers(
        &table::BUNDLE_ACTIVATIONS_TOTAL,
        &activations.collect(),
    ));
    for (metric, seconds) in [
        (
            &table::BUNDLE_ACTIVATION_DURATION_SECONDS,
            &bundles.activation_seconds,
        ),
        (
            &table::BUNDLE_PROPAGATION_SECONDS,
            &bundles.propagation_seconds,
        ),
    ] {
        let mut sum = Sum::default();
        sum.add(&seconds.0.counted());
        families.push(histograms(metric, &Histograms::from([(Vec::new(), sum)])));
    }
}

/// Collects the metrics about bundles that have no labels. `live`: number of snapshots in memory.
fn collect_state(bundles: &Bundles, live: i64, families: &mut Vec<proto::MetricFamily>) {
    let plain = |value: f64| Numbers::from([(Vec::new(), value)]);
    families.push(numbers(
        &table::BUNDLE_LAST_SUCCESS_TIMESTAMP_SECONDS,
        &plain(bundles.last_success_unix_s),
    ));
    families.push(numbers(
        &table::BUNDLE_ROLLBACKS_TOTAL,
        &plain(bundles.rollbacks as f64),
    ));
    families.push(numbers(
        &table::STORE_LOOKS_TOTAL,
        &plain(bundles.polls as f64),
    ));
    if let Some(updated) = bundles.registry_updated_unix_s {
        families.push(numbers(
            &table::REGISTRY_LAST_UPDATE_TIMESTAMP_SECONDS,
            &plain(updated as f64),
        ));
    }
    if let Some(polls) = bundles.registry_polls {
        let polls = polls.into_iter().map(|(result, count)| {
            let labels = vec![("result", result.to_owned())];
            (labels, count as f64)
        });
        families.push(numbers(&table::REGISTRY_POLLS_TOTAL, &polls.collect()));
    }
    families.push(numbers(&table::BUNDLE_SNAPSHOTS_LIVE, &plain(live as f64)));
    families.push(numbers(
        &table::INSECURE_ALLOW_UNSIGNED,
        &plain(f64::from(u8::from(bundles.insecure))),
    ));
    families.push(numbers(
        &table::REPLAY_UNPROTECTED,
        &plain(f64::from(u8::from(bundles.replay_unprotected))),
    ));
    families.push(numbers(
        &table::REVOCATIONS_UNPROTECTED,
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
    families.push(numbers(&table::DOWNSTREAM_CONNECTIONS, &downstream));
}
