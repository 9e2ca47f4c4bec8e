//! Sizes of the caches and tables that are outside versions, for metrics and `gwd status`.
//!
//! Key sets and validators have metrics of their own.

use std::sync::atomic::Ordering;

use policy::auth::Replays;
use prometheus::proto;
use serde_json::{Value, json};

use crate::answers::joined::Size;
use crate::metrics::families::{Numbers, numbers};
use crate::metrics::table;
use crate::published::Shared;

/// Size of a cache or table: entries, bytes and evictions.
struct Cache {
    name: &'static str,
    entries: u64,
    /// Estimated size, in bytes.
    bytes: u64,
    /// Number of entries that were removed to make room. `None` for a table that removes no entry
    /// before its time has ended.
    evicted: Option<u64>,
}

impl Cache {
    fn of_answers(name: &'static str, size: Size) -> Self {
        Self {
            name,
            entries: size.entries as u64,
            bytes: size.bytes as u64,
            evicted: Some(size.evicted),
        }
    }

    fn of_table(name: &'static str, table: &Replays) -> Self {
        Self {
            name,
            entries: table.len() as u64,
            bytes: table.bytes() as u64,
            evicted: None,
        }
    }
}

/// Reads the sizes of all caches and tables.
fn all(shared: &Shared) -> [Cache; 7] {
    let (tokens, limits) = (&shared.process.tokens, &shared.limits);
    let [admitted, refused] = shared.joined.sizes();
    let size = |count: i64| count.try_into().unwrap_or(0);
    [
        Cache {
            name: "tokens",
            entries: size(tokens.entries.load(Ordering::Relaxed)),
            bytes: size(tokens.bytes.load(Ordering::Relaxed)),
            evicted: Some(tokens.evicted.load(Ordering::Relaxed)),
        },
        Cache::of_answers("answers", admitted),
        Cache::of_answers("refusals", refused),
        Cache::of_table("proofs", &limits.proofs),
        Cache::of_table("nonces", &limits.nonces),
        Cache::of_table("logins", &limits.logins),
        Cache::of_table("ended_sessions", &limits.ended),
    ]
}

/// Collects the sizes as metrics.
pub(super) fn collect(shared: &Shared, families: &mut Vec<proto::MetricFamily>) {
    let (mut entries, mut bytes, mut evicted) = (Numbers::new(), Numbers::new(), Numbers::new());
    for cache in all(shared) {
        let labels = || vec![("cache", cache.name.to_owned())];
        entries.insert(labels(), cache.entries as f64);
        bytes.insert(labels(), cache.bytes as f64);
        if let Some(count) = cache.evicted {
            evicted.insert(labels(), count as f64);
        }
    }
    families.push(numbers(&table::CACHE_ENTRIES, &entries));
    families.push(numbers(&table::CACHE_BYTES, &bytes));
    families.push(numbers(&table::CACHE_EVICTED_TOTAL, &evicted));
}

/// Element `caches` of the status: the size of each cache and table.
pub(crate) fn status_value(shared: &Shared) -> Value {
    let caches = all(shared);
    let caches = caches.iter().map(|cache| {
        json!({
            "cache": cache.name,
            "entries": cache.entries,
            "bytes": cache.bytes,
            "evicted": cache.evicted,
        })
    });
    caches.collect()
}
