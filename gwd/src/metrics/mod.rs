//! Metrics: all cells of the process, merged when they are scraped.

pub(crate) mod families;
pub(crate) mod found;
pub(crate) mod judging;
pub(crate) mod registry;
