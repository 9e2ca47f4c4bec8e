//! The services behind: balanced, pooled and called.

pub(crate) mod balance;
pub(crate) mod connect;
pub(crate) mod mirror;
pub(crate) mod pool;
pub(crate) mod resolve;
pub(crate) mod send;
pub(crate) mod upgrade;

use std::rc::Rc;
use std::sync::Arc;

use bundle::ir;

use crate::published::Endpoint;
use crate::upstream::balance::Balance;
use crate::upstream::pool::Pool;
use crate::worker::Worker;

/// One upstream as a worker sees it.
pub(crate) struct Service {
    pub(crate) balance: Balance,
    /// By target index.
    pub(crate) pools: Box<[Rc<Pool>]>,
    pub(crate) connect_timeout_ms: u64,
}

impl Service {
    pub(crate) fn new(
        worker: &Worker,
        upstream: &ir::Upstream,
        endpoints: &[Arc<Endpoint>],
        uid: u32,
    ) -> Self {
        let weights = upstream.targets.iter().map(|target| target.weight);
        Self {
            balance: Balance::new(weights, worker.random.next()),
            pools: endpoints
                .iter()
                .map(|endpoint| {
                    worker.pools.pool(
                        worker,
                        upstream.state,
                        uid,
                        endpoint,
                        upstream.idle_timeout_ms,
                    )
                })
                .collect(),
            connect_timeout_ms: upstream.connect_timeout_ms,
        }
    }
}
