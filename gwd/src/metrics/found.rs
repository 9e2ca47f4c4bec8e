//! Metrics of host discovery for the upstreams of the running versions: number of hosts, age of the
//! answers, and number of answers.

use std::sync::atomic::Ordering;

use crate::metrics::families::Numbers;
use crate::metrics::table::{self, Metric};
use crate::published::Shared;

/// Metrics of host discovery: each with its values.
pub(crate) struct DiscoveryMetrics {
    pub(crate) gauges: [(&'static Metric, Numbers); 2],
    pub(crate) counters: [(&'static Metric, Numbers); 1],
}

/// Reads the host-discovery metrics (hosts, age, answers) for a scrape.
pub(crate) fn read(shared: &Shared) -> DiscoveryMetrics {
    let (mut hosts, mut ages, mut answers) = (Numbers::new(), Numbers::new(), Numbers::new());
    let now_ms = shared.clock.now_ms();
    let current = shared.current();
    let commons = current.iter().flat_map(|current| current.commons());
    for common in commons {
        let labels = || vec![("upstream", common.state.name.to_string())];
        hosts.insert(labels(), common.set().hosts.len() as f64);
        for source in common.sources() {
            let age = ages.entry(labels()).or_default();
            *age = age.max(source.age_ms(now_ms) as f64 / 1e3);
            for (result, count) in [
                ("found", &source.answers.found),
                ("absent", &source.answers.absent),
                ("failed", &source.answers.failed),
            ] {
                let mut labels = labels();
                labels.push(("result", result.to_owned()));
                let count = count.load(Ordering::Relaxed) as f64;
                *answers.entry(labels).or_default() += count;
            }
        }
    }
    DiscoveryMetrics {
        gauges: [
            (&table::UPSTREAM_ENDPOINTS, hosts),
            (&table::UPSTREAM_ENDPOINT_AGE_SECONDS, ages),
        ],
        counters: [(&table::UPSTREAM_DISCOVERY_TOTAL, answers)],
    }
}
