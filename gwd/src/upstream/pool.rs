//! Idle upstream connections of one worker, by upstream and address.
//!
//! A pool outlives snapshots: it is found by the upstream's state id and the target's address,
//! so that a new version goes on using the connections of the one before. A connection comes
//! back when request and response have both ended clean. Two ages: a `fresh` one may serve any
//! request, an older one only such as can be repeated (data-plane.md §7).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use http::Response;
use policy::StateId;
use rustc_hash::FxHashMap;

use crate::proxy::body::Gate;
use crate::published::Endpoint;
use crate::telemetry::shard::PoolGauge;
use crate::upstream::Held;
use crate::upstream::transport::{Call, Incoming, Refused, Transport};
use crate::worker::Worker;

/// Younger than this, an idle connection may serve any request: common servers keep theirs for
/// 5 s and more.
const FRESH_MS: u64 = 4_000;
/// Idle connections of one worker to one address.
const IDLE_MAX: usize = 1_024;

/// All pools of a worker.
#[derive(Default)]
pub(crate) struct Pools(RefCell<FxHashMap<Key, Rc<Pool>>>);

/// The upstream's state, the target's host and port.
type Key = (StateId, Box<str>, u16);

/// Connections to one target.
pub(crate) struct Pool {
    pub(crate) endpoint: Arc<Endpoint>,
    idle: RefCell<Vec<Idle>>,
    idle_timeout_ms: Cell<u64>,
    gauge: Arc<PoolGauge>,
}

struct Idle {
    transport: Transport,
    since_ms: u64,
}

/// A connection in use. Dropping it closes the connection.
pub(crate) struct Lease {
    /// None while a response's body has it.
    transport: Option<Transport>,
    /// What is given back when the exchange has ended.
    pub(crate) held: Option<Held>,
    pool: Rc<Pool>,
    _active: Active,
}

struct Active(Arc<PoolGauge>);

// === impl Pools ===

impl Pools {
    pub(crate) fn pool(
        &self,
        worker: &Worker,
        state: StateId,
        upstream_uid: u32,
        endpoint: &Arc<Endpoint>,
        idle_timeout_ms: u64,
    ) -> Rc<Pool> {
        let key = (state, endpoint.host.clone(), endpoint.port);
        let mut pools = self.0.borrow_mut();
        let pool = pools.entry(key).or_insert_with(|| {
            Rc::new(Pool {
                endpoint: Arc::clone(endpoint),
                idle: RefCell::default(),
                idle_timeout_ms: Cell::new(idle_timeout_ms),
                gauge: worker.shard.pool(upstream_uid),
            })
        });
        pool.idle_timeout_ms.set(idle_timeout_ms);
        Rc::clone(pool)
    }

    /// Closes what was idle for too long or was closed by the other side, and forgets pools
    /// that no version uses.
    pub(crate) fn sweep(&self, now_ms: u64) {
        self.0.borrow_mut().retain(|_, pool| {
            pool.sweep(now_ms);
            Rc::strong_count(pool) > 1 || !pool.idle.borrow().is_empty()
        });
    }
}

// === impl Pool ===

impl Pool {
    /// An idle connection, the one used last. `repeatable`: the request may be sent again if
    /// the connection turns out to be dead.
    pub(crate) fn checkout(self: &Rc<Self>, repeatable: bool, now_ms: u64) -> Option<Lease> {
        let mut idle = self.idle.borrow_mut();
        if idle.is_empty() {
            return None;
        }
        let oldest_ms = if repeatable {
            self.idle_timeout_ms.get()
        } else {
            FRESH_MS.min(self.idle_timeout_ms.get())
        };
        // The youngest stand last.
        while let Some(mut youngest) = idle.pop() {
            if now_ms.saturating_sub(youngest.since_ms) >= oldest_ms {
                idle.push(youngest);
                return None;
            }
            self.gauge.idle(-1);
            if youngest.transport.is_ready() {
                return Some(self.lease(youngest.transport));
            }
        }
        None
    }

    /// A connection that has just been opened.
    pub(crate) fn lease(self: &Rc<Self>, transport: Transport) -> Lease {
        self.gauge.active(1);
        Lease {
            transport: Some(transport),
            held: None,
            pool: Rc::clone(self),
            _active: Active(Arc::clone(&self.gauge)),
        }
    }

    fn sweep(&self, now_ms: u64) {
        let limit_ms = self.idle_timeout_ms.get();
        self.idle.borrow_mut().retain_mut(|idle| {
            let young = now_ms.saturating_sub(idle.since_ms) < limit_ms;
            let keep = young && idle.transport.is_ready();
            if !keep {
                self.gauge.idle(-1);
            }
            keep
        });
    }
}

// === impl Lease ===

impl Lease {
    /// Sends a request and waits for the head of the response, whose body has the connection
    /// from then on.
    pub(crate) async fn call(
        &mut self,
        call: Call,
        gate: Option<&Arc<Gate>>,
    ) -> Result<Response<Incoming>, Refused> {
        let transport = self.transport.take().expect("a lease is called once");
        transport.call(call, gate).await
    }

    /// The exchange is over: the connection can be used again where both sides ended clean.
    pub(crate) fn give_back(self, body: &mut Incoming, now_ms: u64) {
        let mut idle = self.pool.idle.borrow_mut();
        if idle.len() >= IDLE_MAX {
            return;
        }
        if let Some(transport) = body.take_transport() {
            self.pool.gauge.idle(1);
            idle.push(Idle {
                transport,
                since_ms: now_ms,
            });
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active(-1);
    }
}
