//! Resources of a worker that calls to upstreams use.

use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::limits::budget::Budgets;
use crate::message::spare_maps::SpareMaps;
use crate::runtime::clock::Clock;
use crate::runtime::deadlines::Deadlines;
use crate::runtime::random::Random;
use crate::telemetry::process::Counters;
use crate::telemetry::shard::Shard;
use crate::upstream::pool::Pools;

/// Resources of a worker that calls to upstreams use.
pub(crate) struct CallCx {
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) deadlines: Rc<Deadlines>,
    /// Metric counters of this worker.
    pub(crate) shard: Shard,
    /// Counters of the process for rare events.
    pub(crate) counters: Arc<Counters>,
    pub(crate) budgets: Arc<Budgets>,
    pub(crate) pools: Pools,
    /// Notified when requests wait for a connection and this worker has an idle one.
    pub(crate) wanted: Arc<Notify>,
    pub(crate) spare_maps: SpareMaps,
    /// Zone of the process. Targets in the same zone are preferred.
    pub(crate) zone: Option<Box<str>>,
}

impl CallCx {
    /// Resources of a new worker, without connections.
    pub(crate) fn new(
        clock: Clock,
        shard: Shard,
        counters: &Arc<Counters>,
        budgets: &Arc<Budgets>,
        zone: Option<&str>,
    ) -> Self {
        Self {
            clock,
            random: Random::new(),
            deadlines: Deadlines::new(clock),
            shard,
            counters: Arc::clone(counters),
            budgets: Arc::clone(budgets),
            pools: Pools::default(),
            wanted: Arc::default(),
            spare_maps: SpareMaps::default(),
            zone: zone.map(Box::from),
        }
    }
}
