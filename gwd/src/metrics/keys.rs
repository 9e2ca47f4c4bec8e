//! Metrics of the key sets that the verifiers of the running versions fetch.

use crate::metrics::families::Numbers;
use crate::metrics::table::{self, Metric};
use crate::published::Shared;
use crate::runtime::clock;

/// Metrics of the key sets: each with its values.
pub(crate) struct KeySetMetrics {
    pub(crate) gauges: [(&'static Metric, Numbers); 2],
    pub(crate) counters: [(&'static Metric, Numbers); 1],
}

/// Reads the key-set metrics (keys, age, fetches) for a scrape.
pub(crate) fn read(shared: &Shared) -> KeySetMetrics {
    let (mut keys, mut ages, mut fetches) = (Numbers::new(), Numbers::new(), Numbers::new());
    let unix_s = clock::unix_ms() / 1_000;
    let current = shared.current();
    let cells = current
        .iter()
        .flat_map(|current| current.versions())
        .flat_map(|loaded| loaded.snapshot.key_cells());
    for cell in cells {
        let labels = || vec![("source", cell.source().url().to_owned())];
        let report = cell.report();
        keys.insert(labels(), report.keys as f64);
        if let Some(fetched_s) = report.fetched_s {
            ages.insert(labels(), unix_s.saturating_sub(fetched_s) as f64);
        }
        for (result, count) in [("fetched", report.fetches), ("failed", report.failures)] {
            let mut labels = labels();
            labels.push(("result", result.to_owned()));
            fetches.insert(labels, count as f64);
        }
    }
    KeySetMetrics {
        gauges: [
            (&table::KEY_SET_KEYS, keys),
            (&table::KEY_SET_AGE_SECONDS, ages),
        ],
        counters: [(&table::KEY_SET_FETCHES_TOTAL, fetches)],
    }
}
