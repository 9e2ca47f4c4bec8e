//! Resources of a worker that calls to upstreams use.

use std::sync::Arc;

use crate::limits::budget::Budgets;
use crate::message::spare_maps::SpareMaps;
use crate::runtime::clock::Clock;
use crate::runtime::random::Random;
use crate::telemetry::shard::Shard;
use crate::upstream::pool::Pools;

/// Resources of a worker that calls to upstreams use.
pub(crate) struct CallCx {
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    /// Metric counters of this worker and of the process.
    pub(crate) shard: Shard,
    /// Limits of the process on memory and on clients.
    pub(crate) budgets: Arc<Budgets>,
    /// Upstream connections of this worker.
    pub(crate) pools: Pools,
    pub(crate) spare_maps: SpareMaps,
}

impl CallCx {
    /// Resources of a new worker, without connections.
    pub(crate) fn new(clock: Clock, shard: Shard, budgets: &Arc<Budgets>) -> Self {
        Self {
            clock,
            random: Random::new(),
            shard,
            budgets: Arc::clone(budgets),
            pools: Pools::default(),
            spare_maps: SpareMaps::default(),
        }
    }
}
