//! Metrics of policies: refusals, decisions of limits, and the state of the counters (tables and
//! stores).

use std::sync::atomic::Ordering;

use prometheus::proto;

use super::{Registry, Series};
use crate::metrics::families::{Numbers, numbers};
use crate::metrics::table;
use crate::telemetry::shard::WARNED;

impl Registry {
    /// Collects the counts of the policies' refusals and decisions.
    pub(super) fn collect_policies(
        &self,
        series: &Series,
        families: &mut Vec<proto::MetricFamily>,
    ) {
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
            let counts = match key.logged {
                true => &mut logged,
                false => &mut rejections,
            };
            *counts.entry(labels).or_default() += count.load(Ordering::Relaxed) as f64;
        }
        families.push(numbers(&table::REJECTIONS_TOTAL, &rejections));
        families.push(numbers(&table::REJECTIONS_LOGGED_TOTAL, &logged));
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
        families.push(numbers(&table::RATELIMIT_DECISIONS_TOTAL, &decisions));
        families.push(numbers(&table::QUOTA_WARNINGS_TOTAL, &warnings));
        self.collect_limits(families);
    }

    /// Collects the state of stores and of the tables of limits.
    fn collect_limits(&self, families: &mut Vec<proto::MetricFamily>) {
        let (mut up, mut gateways, mut leases) = (Numbers::new(), Numbers::new(), Numbers::new());
        for state in self.shared.stores.states() {
            let labels = vec![("store", state.name.to_string())];
            up.insert(labels.clone(), f64::from(u8::from(state.is_up)));
            gateways.insert(labels.clone(), state.gateways as f64);
            leases.insert(labels, state.leases as f64);
        }
        families.push(numbers(&table::STORE_UP, &up));
        families.push(numbers(&table::STORE_GATEWAYS, &gateways));
        families.push(numbers(&table::STORE_LEASES, &leases));
        let limits = &self.shared.limits;
        let overflowed = limits.all();
        let overflowed = overflowed
            .into_iter()
            .map(|(table, counted)| (vec![("table", table.into())], counted.overflowed() as f64))
            .collect();
        families.push(numbers(&table::RATELIMIT_OVERFLOW_TOTAL, &overflowed));
        let evicted = limits.all();
        let evicted = evicted
            .into_iter()
            .map(|(table, counted)| (vec![("table", table.into())], counted.evicted() as f64))
            .collect();
        families.push(numbers(&table::RATELIMIT_EVICTED_TOTAL, &evicted));
    }
}
