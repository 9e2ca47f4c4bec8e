//! Metrics of the process. The workers' counters are merged when they are scraped.

pub(crate) mod caches;
pub(crate) mod families;
pub(crate) mod found;
mod keys;
pub(crate) mod openmetrics;
pub(crate) mod registry;
pub(crate) mod table;
pub(crate) mod upstream_states;
