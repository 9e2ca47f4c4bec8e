//! Metrics of the key sets that the verifiers of the running versions fetch.

use crate::metrics::families::Numbers;
use crate::published::Shared;
use crate::runtime::clock;

/// Metrics of the key sets: name, help text and value of each.
pub(crate) struct KeySetMetrics {
    pub(crate) gauges: [(&'static str, &'static str, Numbers); 2],
    pub(crate) counters: [(&'static str, &'static str, Numbers); 1],
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
            (
                "gwd_key_set_keys",
                "Number of keys in a fetched key set.",
                keys,
            ),
            (
                "gwd_key_set_age_seconds",
                "Time since a key set was fetched.",
                ages,
            ),
        ],
        counters: [("gwd_key_set_fetches_total", "Fetches of key sets.", fetches)],
    }
}
